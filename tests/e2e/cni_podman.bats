#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# The plugin under podman's CNI back-end: the runtime that passes address and interface name by CNI_ARGS, and
# knows nothing of annotations.

bats_require_minimum_version 1.5.0
load cni_lib
load podman

setup_file() {
    podman_setup /run/dmm-test-podman
    mkdir -p "$P"/rootfs/{bin,proc,sys,dev,run,etc,tmp}
    cp /bin/busybox "$P/rootfs/bin/"
    ln -s busybox "$P/rootfs/bin/sleep"
    ln -s busybox "$P/rootfs/bin/ip"
    tar -C "$P/rootfs" -c . | podman import - lab.local/box:1 >"$P/import.log" 2>&1 ||
        skip_file "podman does not run: $(tail -1 "$P/import.log")"
}
teardown_file() { podman_teardown; }

setup() {
    cni_setup cnipod
    list "" >"$P/net.d/fast.conflist"
}
teardown() {
    podman rm -af -t 0 >/dev/null 2>&1 || true
    cni_teardown
}

# The configuration as a list, with what podman wants in one.
list() { # FILTER
    conf "${1:-.}" | jq '. as $c | {cniVersion: "0.4.0", name: "fast", plugins: [$c | del(.name, .cniVersion)]}'
}
start() { # NAME ARG...
    local name=$1
    shift
    podman run -d --name "$name" "$@" lab.local/box:1 /bin/sleep 1000 2>"$DIR/err" || {
        cat "$DIR/err"
        return 1
    }
}
pod_dir() { echo "$DIR/run/pods/$(podman inspect -f '{{.Id}}' "$1")"; }

@test "podman: a container gets its port; address and interface name as asked; all is gone after it" {
    empty=$(picture)
    start web --network fast:ip=10.187.0.42,mac=02:00:00:00:00:42,interface_name=dmm7
    dir=$(pod_dir web)
    jq -e '.mac == "02:00:00:00:00:42" and .addresses == ["10.187.0.42/16"] and .kind == "packet"' "$dir/ports/dmm7.json"
    jq -e '.podName == "web"' "$dir/pod.json"
    podman exec web /bin/ip link show dmm7 | grep -q 02:00:00:00:00:42
    start two --network fast
    [ "$(jq -r '.addresses[0]' "$(pod_dir two)/ports/eth0.json")" = 10.187.0.43/16 ]
    podman rm -f -t 0 web two
    [ "$(picture)" = "$empty" ]
}

@test "podman: what is refused is in its message; nothing is left" {
    empty=$(picture)
    list '.link.brigde = "x"' >"$P/net.d/fast.conflist"
    run start bad --network fast
    [ "$status" -ne 0 ]
    [[ "$output" = *"link.brigde: unknown key"* ]]
    [ "$(picture)" = "$empty" ]
}
