#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# The plugin killed, and each of its system calls failed, at every step of ADD and DEL, for every link that needs
# nothing but the kernel. (cni_ovs.bats has Open vSwitch, tests/sriov a NIC with VFs.)

bats_require_minimum_version 1.5.0
load cni_lib
load cni_kill_lib

setup() {
    cni_setup cnik
    sysctl -qw net.ipv4.ip_forward=1 # for what is routed
}
teardown() { cni_teardown; }

# The arguments of this link as jq filters.
link_filter() {
    case $1 in
    veth) echo . ;;
    routed) echo '.link = {type: "veth", routed: true}' ;;
    afxdp) echo '.link.type = "afxdp" | .link.bpffs = "'"$DIR"'/bpf"' ;;
    device) echo '.link = {type: "afxdp", device: "cnik-nic", mtu: 1400, queues: 2, bpffs: "'"$DIR"'/bpf"}
        | .runtimeConfig.mac = "02:00:00:00:cc:02"' ;;
    tap) echo '.link.type = "tap" | .sidecar.uid = 64321' ;;
    memif) echo '.link = {type: "memif", role: "server", socket: "'"$DIR"'/pair/s.sock"}' ;;
    vhostuser) echo '.link = {type: "vhostuser", role: "server", socket: "'"$DIR"'/pair/s.sock"}' ;;
    esac
}

# An interface that stands for a NIC of the node, and all that it is there.
make_nic() {
    ip link add cnik-nic numrxqueues 4 numtxqueues 4 type veth peer name cnik-wire
    ip link set cnik-nic up alias "in rack 7"
}
node() {
    picture
    [ ! -e /sys/class/net/cnik-nic ] || {
        ip -j -d link show cnik-nic | jq -c '.[0] | [.ifalias, .address, .mtu, .xdp, (.flags | contains(["NOARP"])), (.flags | contains(["UP"]))]'
        ethtool -l cnik-nic | tail -n 5
    }
}

@test "veth: ADD killed at every step" { kill_add veth; }
@test "veth: DEL killed at every step" { kill_del veth; }
@test "veth: ADD with every step failing" { fail_add veth; }
@test "routed: ADD killed at every step" { kill_add routed; }
@test "routed: DEL killed at every step" { kill_del routed; }
@test "routed: ADD with every step failing" { fail_add routed; }
@test "tap: ADD killed at every step" { kill_add tap; }
@test "tap: DEL killed at every step" { kill_del tap; }
@test "tap: ADD with every step failing" { fail_add tap; }
@test "afxdp: ADD killed at every step" { bpf_mounted; kill_add afxdp; }
@test "afxdp: DEL killed at every step" { bpf_mounted; kill_del afxdp; }
@test "afxdp: ADD with every step failing" { bpf_mounted; fail_add afxdp; }
@test "device: ADD killed at every step" { bpf_mounted; make_nic; kill_add device; }
@test "device: DEL killed at every step" { bpf_mounted; make_nic; kill_del device; }
@test "device: ADD with every step failing" { bpf_mounted; make_nic; fail_add device; }
@test "memif: ADD killed at every step" { kill_add memif; }
@test "memif: DEL killed at every step" { kill_del memif; }
@test "memif: ADD with every step failing" { fail_add memif; }
@test "vhostuser: ADD killed at every step" { kill_add vhostuser; }
@test "vhostuser: DEL killed at every step" { kill_del vhostuser; }
@test "vhostuser: ADD with every step failing" { fail_add vhostuser; }

@test "an IPAM plugin that outlives its killed parent is waited for" {
    mkdir "$DIR/bin"
    cat >"$DIR/bin/slow" <<'SLOW'
#!/bin/bash
[ "$CNI_COMMAND" = ADD ] && sleep 1
sed 's/"type": "slow"/"type": "host-local"/' | exec /usr/lib/cni/host-local
SLOW
    chmod +x "$DIR/bin/slow"
    export CNI_PATH=$DIR/bin:$PLUGINS
    pod_ns a
    empty=$(node)
    conf '.ipam.type = "slow"' >"$DIR/conf"
    CNI_COMMAND=ADD CNI_CONTAINERID=cnik-a CNI_NETNS=/run/netns/cnik-a CNI_IFNAME=net1 \
        CNI_ARGS="IgnoreUnknown=1;K8S_POD_UID=uid-a" "$DMM" <"$DIR/conf" >/dev/null 3>&- &
    sleep 0.4
    kill -9 $!
    dmm DEL a <"$DIR/conf"
    same_as_before "DEL with ADD's IPAM plugin still running"
    sleep 1
    same_as_before "a second more"
}
