#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# The plugin killed at every step of ADD and DEL that has to do with a VF: a DEL afterwards leaves the VF and
# the node as they were. (tests/e2e/cni_kill.bats has all that the links share.)

bats_require_minimum_version 1.5.0
load lib

setup_file() { sriov_setup 1; }
setup() {
    cni_setup sk
    pod_ns a
}
teardown() { cni_teardown; }

# As vfs() and picture(), by few programs. What the PF says of the VF is one text here.
now() {
    local pci name file
    pci=$(vf_pci 0)
    name=$(interface_of "$pci")
    echo "$pci $(driver_of "$pci") $name"
    for file in "$DEVICES/$pci/driver_override" "/sys/class/net/${name:-none}"/{address,mtu,flags}; do
        [ ! -e "$file" ] || echo "$(<"$file")"
    done
    ip link show "$PF"
    [[ $(ip link show "${name:-lo}") != *xdp* ]] || echo "an XDP program"
    find "$DIR/run" "$DIR/state" "$DIR/bpf" -type f ! -name .boot 2>/dev/null || true # not all of them are there
}
same() { # WHAT
    local is
    is=$(now)
    [ "$is" = "$before" ] && return
    echo "after $1:"
    diff <(echo "$before") <(echo "$is")
    return 1
}

traced() { # COMMAND STRACE-ARGS...
    local command=$1
    shift
    CNI_COMMAND=$command CNI_CONTAINERID=sk-a CNI_NETNS=/run/netns/sk-a CNI_IFNAME=net1 \
        CNI_ARGS="IgnoreUnknown=1;K8S_POD_UID=uid-a" strace -qq "$@" "$DMM" <"$DIR/conf"
}

# "CALL N" for the Nth call of its kind, where it changes an interface or a VF, moves between namespaces,
# writes to sysfs or /proc, or has to do with the record or the claim.
steps() { # COMMAND
    traced "$1" -y -o "$DIR/trace" >/dev/null
    awk -F'(' '{ n[$1]++ }
        $1 ~ /^(sendmsg|write|setns|flock|renameat|unlinkat|fsync|bpf|lchown|unlink)$/ &&
        /RTM_SETLINK|RTM_NEWLINK|<\/sys|<\/proc|\/state|\/bpf|^setns|^bpf/ { print $1, n[$1] }' "$DIR/trace"
}

killed() { # COMMAND CALL N
    run traced "$1" -o /dev/null -e "trace=$2" -e "inject=$2:signal=KILL:when=$3"
    [ "$status" -eq 137 ] || { echo "$1 was not killed at $2 $3: $output"; return 1; }
}

kill_everywhere() { # FILTER
    local call n tried=0
    sriov_conf "$1" 'del(.ipam)' >"$DIR/conf"
    dmm ADD a <"$DIR/conf" >/dev/null # makes folders that stay
    dmm DEL a <"$DIR/conf"
    before=$(now)
    steps ADD >"$DIR/add"
    steps DEL >"$DIR/del"
    same "ADD and DEL"
    while read -r call n; do
        killed ADD "$call" "$n"
        dmm DEL a <"$DIR/conf"
        same "ADD was killed at $call $n"
        tried=$((tried + 1))
    done <"$DIR/add"
    while read -r call n; do
        dmm ADD a <"$DIR/conf" >/dev/null
        killed DEL "$call" "$n"
        dmm DEL a <"$DIR/conf"
        same "DEL was killed at $call $n"
        tried=$((tried + 1))
    done <"$DIR/del"
    [ "$tried" -gt 20 ]
    echo "# killed at $tried steps" >&3
}

@test "interface: killed at every step of ADD and DEL" {
    kill_everywhere '.link += {vlan: 5, trust: "on", mac: "02:00:00:00:b0:03"}'
}

@test "vfio: killed at every step of ADD and DEL" {
    kill_everywhere '.link += {driver: "vfio-pci", vlan: 5}'
}

@test "afxdp on a VF: killed at every step of ADD and DEL" {
    bpf_mounted
    kill_everywhere '.link += {type: "afxdp", vlan: 5, bpffs: "'"$DIR"'/bpf"}'
}

@test "afxdp on a device: killed at every step of ADD and DEL" {
    bpf_mounted
    kill_everywhere '.link = {type: "afxdp", device: "'"$(interface_of "$(vf_pci 0)")"'", mtu: 1400, bpffs: "'"$DIR"'/bpf"}'
}

@test "interface: killed in ADD, then its namespace dies, then DEL" {
    sriov_conf '.link.mac = "02:00:00:00:b0:03"' 'del(.ipam)' >"$DIR/conf"
    dmm ADD a <"$DIR/conf" >/dev/null
    dmm DEL a <"$DIR/conf"
    before=$(now)
    steps ADD >"$DIR/add"
    dmm DEL a <"$DIR/conf"
    tail -n 8 "$DIR/add" >"$DIR/late" # about where it moves
    while read -r call n; do
        killed ADD "$call" "$n"
        ip netns del sk-a
        dmm DEL a <"$DIR/conf"
        same "ADD was killed at $call $n, and its namespace died"
        pod_ns a
    done <"$DIR/late"
}
