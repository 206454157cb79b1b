#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# A node for tests: containerd in network, mount and process namespaces of its own. It ends, with all in
# it, when this script is killed.
#
#   node.sh FOLDER     FOLDER outlives the node, as a disk does: images, CNI files, pods. Whatever a reboot
#                      loses lies on file systems of the namespace.
set -euo pipefail
dir=$(realpath "$1")
mkdir -p "$dir"/{root,state,bin,net.d,lib-cni,seccomp} /run/dmm /run/netns /var/lib/cni /opt/cni/bin /etc/cni/net.d /var/lib/kubelet/seccomp
rm -rf "${dir:?}/state" "$dir/c.sock"
mkdir "$dir/state"
cat >"$dir/containerd.toml" <<TOML
version = 2
root = "$dir/root"
state = "$dir/state"
disabled_plugins = ["io.containerd.snapshotter.v1.btrfs", "io.containerd.snapshotter.v1.zfs", "io.containerd.snapshotter.v1.aufs", "io.containerd.snapshotter.v1.devmapper", "io.containerd.tracing.processor.v1.otlp", "io.containerd.internal.v1.tracing"]
[grpc]
  address = "$dir/c.sock"
[plugins."io.containerd.grpc.v1.cri"]
  netns_mounts_under_state_dir = true
  sandbox_image = "test.local/pause:1"
  disable_tcp_service = true
  stream_server_address = "127.0.0.1"
  stream_server_port = "0"
  disable_apparmor = true
  disable_hugetlb_controller = true
  restrict_oom_score_adj = true
  [plugins."io.containerd.grpc.v1.cri".cni]
    max_conf_num = ${DMM_NODE_CONFS:-1}
TOML
export dir
# shellcheck disable=SC2016 # expanded inside
exec unshare --net --mount --propagation private --pid --fork --kill-child --mount-proc bash -euc '
    ip link set lo up
    echo 1 >/proc/sys/net/ipv4/ip_forward
    mount -t tmpfs tmpfs /run/netns
    mount -t tmpfs -o mode=755 tmpfs /run/dmm
    mount --bind "$dir/lib-cni" /var/lib/cni
    mount --bind "$dir/bin" /opt/cni/bin
    mount --bind "$dir/net.d" /etc/cni/net.d
    mount --bind "$dir/seccomp" /var/lib/kubelet/seccomp
    cp -n /usr/lib/cni/{bridge,host-local,loopback,static} "$dir/bin/"
    while :; do containerd --config "$dir/containerd.toml" >>"$dir/containerd.log" 2>&1 || sleep 0.1; done'
