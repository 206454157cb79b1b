#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# The link afxdp on an interface of the node: it goes into the pod, and comes back as it was. A veth pair stands
# for a NIC and the wire; what the kernel does with a real one when a namespace dies is in tests/sriov.

# shellcheck disable=SC2154 # stderr is bats' own
bats_require_minimum_version 1.5.0
load within
load cni_lib

setup() {
    cni_setup cnid
    bpf_mounted
    ip link add cnid-nic mtu 1450 address 02:00:00:00:cc:01 numrxqueues 4 numtxqueues 4 type veth \
        peer name cnid-wire numrxqueues 4 numtxqueues 4
    ip link set cnid-nic up alias "in rack 7"
    ip link set cnid-wire up
    ethtool -K cnid-wire tx off >/dev/null
}
teardown() {
    [ -z "${SIDECAR:-}" ] || kill -9 "$SIDECAR" || true
    cni_teardown
}

device='.link = {type: "afxdp", device: "cnid-nic", bpffs: .podDir} | .link.bpffs |= sub("/run$"; "/bpf")
    | .ipam.rangeStart = "10.187.0.9"'

# All that the device is on the node.
nic() {
    ip -j -d link show cnid-nic | jq -c '.[0] | [.ifname, .ifalias, .address, .mtu, (.flags | contains(["UP"])),
        (.flags | contains(["NOARP"])), .xdp]'
    ethtool -l cnid-nic | tail -n 5
}

@test "afxdp on a device: it goes to the pod, is checked, and comes back as it was" {
    pod_ns a
    before=$(nic; picture)
    result=$(conf "$device" '.link += {mtu: 1300, queues: 2}' '.cniVersion = "1.1.0"' | dmm ADD a)
    jq -e '.interfaces == [{name: "net1", mac: "02:00:00:00:cc:01", mtu: 1300, sandbox: "/run/netns/cnid-a"}]
        and .ips[0].interface == 0' <<<"$result"
    [ ! -e /sys/class/net/cnid-nic ]
    ip -n cnid-a -j -d link show net1 | jq -e '.[0] | .mtu == 1300 and .xdp.prog.name == "dmm_xsk"
        and .address == "02:00:00:00:cc:01" and (.ifalias | startswith("dmm")) and (.flags | contains(["UP", "NOARP"]))'
    [ "$(ip netns exec cnid-a ethtool -l net1 | tail -n 5 | awk '/RX/ { print $2 }')" -eq 2 ]
    jq -e '.kind == "afxdp" and .queues == 2 and .mtu == 1300 and (has("busyPoll") | not)' "$DIR/run/pods/uid-a/ports/net1.json"
    conf "$device" '.link += {mtu: 1300, queues: 2}' '.cniVersion = "1.1.0"' | jq --argjson r "$result" '.prevResult = $r' >"$DIR/check"
    dmm CHECK a <"$DIR/check"
    ip -n cnid-a link set net1 xdpgeneric off # fewer queues than its peer's: no native program
    run dmm CHECK a <"$DIR/check"
    refused 104 "net1: has no XDP program"
    conf "$device" | dmm DEL a
    [ "$(nic; picture)" = "$before" ]
    conf "$device" | dmm DEL a
    [ "$(nic; picture)" = "$before" ]
}

@test "afxdp on a device: all its queues unless told otherwise; the runtime's address; a name that the pod gave it" {
    pod_ns a
    before=$(nic; picture)
    conf "$device" '.runtimeConfig.mac = "02:00:00:00:cc:02"' '.link.mode = "skb"' | dmm ADD a >/dev/null
    jq -e '.queues == 4 and .mac == "02:00:00:00:cc:02" and .mtu == 1450' "$DIR/run/pods/uid-a/ports/net1.json"
    ip -n cnid-a link set net1 down
    ip -n cnid-a link set net1 name other
    conf "$device" | dmm DEL a
    [ "$(nic; picture)" = "$before" ]
}

@test "afxdp on a device: what is refused changes nothing" {
    pod_ns a
    before=$(nic; picture)
    refuses() { # CODE PATTERN FILTER...
        local code=$1 pattern=$2
        shift 2
        run dmm ADD a <<<"$(conf "$device" "$@")"
        refused "$code" "$pattern"
        [ "$(nic; picture)$(links_in_pod a)" = "$before" ]
    }
    refuses 101 "link.device: cnid-none: no such interface on the node" '.link.device = "cnid-none"'
    refuses 7 'link.device: "a/b" is not an interface name' '.link.device = "a/b"'
    refuses 7 "link.bridge: contradicts link.device" '.link.bridge = "x"'
    refuses 7 "link.routed: contradicts link.device" '.link.routed = true'
    refuses 7 "link.pf: contradicts link.device" '.link.pf = "ens1f0"'
    refuses 101 "deviceID: contradicts link.device" '.deviceID = "0000:01:10.0"'
    refuses 101 "link.vlan: needs link.pf, or a deviceID" 'del(.link.device) | .link.vlan = 7'
    refuses 7 "link.busyPollBudget: needs link.busyPoll" '.link.busyPollBudget = 7'
    refuses 7 "link.busyPoll: 0 is not in 1..1000000" '.link.busyPoll = 0'
    refuses 101 "link.queues: interface net1: 9 receive queues: " '.link.queues = 9'
    ip addr add 10.1.1.1/24 dev cnid-nic
    refuses 101 "link.device: interface cnid-nic is in use on the node: it has an address"
    ip addr del 10.1.1.1/24 dev cnid-nic
    ip link set cnid-nic mtu 3600
    run dmm ADD a <<<"$(conf "$device")"
    refused 101 "link.mtu: cnid-nic has 3600, 3498 is the most for AF_XDP"
    ip link set cnid-nic mtu 1450
    ip -n cnid-a link add net1 type veth peer name other
    run dmm ADD a <<<"$(conf "$device")"
    refused 101 "the pod has an interface net1 already"
    ip -n cnid-a link del net1
    [ "$(nic; picture)$(links_in_pod a)" = "$before" ]
}

@test "afxdp on a device: two pods that want it at once; STATUS; one that died with its namespace" {
    pod_ns a
    pod_ns b
    conf "$device" '.cniVersion = "1.1.0"' >"$DIR/conf"
    env CNI_COMMAND=STATUS "$DMM" <"$DIR/conf"
    for pod in a b; do
        { dmm ADD $pod <"$DIR/conf" >"$DIR/$pod.out" 2>/dev/null || true; } 3>&- &
    done
    wait
    [ "$(cat "$DIR"/?.out | jq -r '.interfaces[0].name // empty' | wc -l)" -eq 1 ]
    loser=$(jq -r 'select(.code) | input_filename' "$DIR"/?.out)
    jq -e '.code == 101 and (.details | test("cnid-nic: (belongs to cnid/cnid-.|another attachment|no such)"))' "$loser"
    run --separate-stderr env CNI_COMMAND=STATUS "$DMM" <"$DIR/conf"
    refused 50 "link.device: cnid-nic: no such interface"
    ip netns del cnid-a
    ip netns del cnid-b
    # Software dies with its namespace: there is nothing to give back.
    NETNS='' dmm DEL a <"$DIR/conf"
    NETNS='' dmm DEL b <"$DIR/conf"
    [ -z "$(find "$DIR/state" -name '*.json')" ]
    [ ! -e "$DIR/bpf/dmm/uid-a" ]
}

# The stack answers the wire. Prints the sidecar's system calls to $DIR/calls.
answers() { # FILTER
    pod_ns a
    ip addr add 10.187.0.1/16 dev cnid-wire
    conf "$device" "$1" | dmm ADD a >/dev/null
    ip netns exec cnid-a setpriv --bounding-set "-all,+net_raw,+ipc_lock,$CAPS" strace -D -qq -f -e trace=setsockopt,recvfrom -o "$DIR/calls" \
        "$DMM_BUILD/dmm-stackd" --pod-dir "$DIR/run/pods/uid-a" 2>"$DIR/log" 3>&- &
    SIDECAR=$!
    within 20 ping -q -c 1 -W 1 10.187.0.9
}

@test "afxdp on a device: the stack answers the wire, with a socket on each of four queues" {
    CAPS=-net_admin answers .
    [ "$(ip netns exec cnid-a ethtool -l net1 | tail -n 5 | awk '/RX/ { print $2 }')" -eq 4 ]
    jq -e '.queues == 4' "$DIR/run/pods/uid-a/ports/net1.json"
    run ! grep -q BUSY_POLL "$DIR/calls"
}

@test "afxdp: busyPoll is the socket's; without CAP_NET_ADMIN the sidecar says what is missing" {
    CAPS=+net_admin answers '.link += {queues: 1, busyPoll: 25, busyPollBudget: 16}'
    jq -e '.busyPoll == 25 and .busyPollBudget == 16' "$DIR/run/pods/uid-a/ports/net1.json"
    grep -q 'SO_PREFER_BUSY_POLL, \[1\], 4) = 0' "$DIR/calls"
    grep -q 'SO_BUSY_POLL, \[25\], 4) = 0' "$DIR/calls"
    grep -q 'SO_BUSY_POLL_BUDGET, \[16\], 4) = 0' "$DIR/calls"
    grep -q 'recvfrom(.*NULL, 0, MSG_DONTWAIT' "$DIR/calls" # the driver is asked
    kill -9 "$SIDECAR"
    wait "$SIDECAR" || true
    SIDECAR=
    run timeout 10 ip netns exec cnid-a setpriv --bounding-set -all,+net_raw "$DMM_BUILD/dmm-stackd" --pod-dir "$DIR/run/pods/uid-a"
    [ "$status" -eq 1 ]
    [[ "$output" = *"busy polling"*"CAP_NET_ADMIN is needed"* ]]
}
