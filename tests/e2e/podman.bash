# SPDX-License-Identifier: Apache-2.0
# podman with its CNI back end, in a folder of its own.

podman_setup() { # FOLDER
    command -v podman >/dev/null || skip_file "no podman"
    export P=$1
    rm -rf "$P"
    mkdir -p "$P/net.d" "$P/bin" "$P/tmp"
    cat >"$P/containers.conf" <<CONF
[containers]
default_ulimits = ["nofile=4096:4096", "nproc=4096:4096"]
apparmor_profile = "unconfined"
log_driver = "k8s-file"
[network]
network_backend = "cni"
cni_plugin_dirs = ["$P/bin"]
network_config_dir = "$P/net.d"
[engine]
runtime = "runc"
cgroup_manager = "cgroupfs"
events_logger = "file"
tmp_dir = "$P/tmp"
CONF
    printf '[storage]\ndriver = "vfs"\ngraphroot = "%s/root"\nrunroot = "%s/run"\n' "$P" "$P" >"$P/storage.conf"
    export CONTAINERS_CONF=$P/containers.conf CONTAINERS_STORAGE_CONF=$P/storage.conf
    cp "$DMM_BUILD/dmm" /usr/lib/cni/loopback /usr/lib/cni/host-local "$P/bin/"
}

podman_teardown() {
    [ -n "${P:-}" ] || return 0
    podman pod rm -af -t 0 >/dev/null 2>&1 || true
    podman rm -af -t 0 >/dev/null 2>&1 || true
    rm -rf "$P"
}
