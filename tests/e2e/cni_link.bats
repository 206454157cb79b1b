#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# What ADD, CHECK, DEL and STATUS do for each kind of link, on real namespaces.

bats_require_minimum_version 1.5.0
load within
load cni_lib

setup() {
    cni_setup cniw
    sysctl -qw net.ipv4.ip_forward=1 net.ipv6.conf.all.forwarding=1
}
teardown() { cni_teardown; }

check() { # RESULT FILTER...: CHECK with it as prevResult
    local result=$1
    shift
    conf "$@" ".prevResult = $result" | dmm CHECK a
}

in_pod() { ip netns exec "$PREFIX-a" "$@"; }

TAP='.link = {type: "tap", bridge: "cniw-br", mtu: 1400} | .sidecar = {uid: 64321, gid: 64322}'

@test "tap: a device of the sidecar's in the pod, joined with a port of the bridge" {
    pod_ns a
    empty=$(picture)
    result=$(conf "$TAP" '.cniVersion = "1.1.0"' | dmm ADD a)
    host=$(jq -r '.interfaces[1].name' <<<"$result")
    jq -e '.interfaces | length == 3 and .[0].name == "cniw-br" and .[2].name == "net1" and .[2].mtu == 1400' <<<"$result"
    jq -e '.ips[0].interface == 2' <<<"$result"
    ip -j link show "$host" | jq -e '.[0].master == "cniw-br" and .[0].mtu == 1400'
    ip -n cniw-a -d -j link show net1 | jq -e --argjson r "$result" '.[0] | .mtu == 1400
        and .address == $r.interfaces[2].mac and (.linkinfo.info_data | .user == 64321 and .group == 64322
        and .type == "tap" and .vnet_hdr and .persist and (.pi | not) and (.multi_queue | not))'
    for dev in net1 "$host"; do
        ip -n cniw-a -j addr show "$dev" | jq -e '.[0].addr_info == [] and (.[0].flags | index("NOARP") and index("UP"))'
        [ "$(in_pod cat "/proc/sys/net/ipv6/conf/$dev/disable_ipv6")" = 1 ]
    done
    jq -e '.kind == "tap" and .link == "tap" and .mtu == 1400' "$DIR/run/pods/uid-a/ports/net1.json"
    # The sidecar makes its sockets there; what we wrote it can't change.
    [ "$(stat -c %u:%g:%a "$DIR/run/pods/uid-a")" = 64321:64322:755 ]
    [ "$(stat -c %u:%a "$DIR/run/pods/uid-a/stacks.json")" = 0:644 ]
    check "$result" "$TAP" '.cniVersion = "1.1.0"'
    conf "$TAP" | dmm DEL a
    conf "$TAP" | dmm DEL a
    [ "$(picture)$(links_in_pod a)" = "$empty" ]
}

@test "tap: CHECK sees a device and a redirection that are gone" {
    pod_ns a
    result=$(conf "$TAP" | dmm ADD a)
    host=$(jq -r '.interfaces[1].name' <<<"$result")
    in_pod tc qdisc del dev net1 ingress
    run check "$result" "$TAP"
    refused 104 "net1: is not redirected to $host"
    ip -n cniw-a link del net1
    run check "$result" "$TAP"
    refused 104 "in the pod.*net1"
    conf "$TAP" | dmm DEL a
}

@test "tap: an interface of the pod's own stays, whatever its kind" {
    pod_ns a
    for how in "tuntap add net1 mode tap" "link add net1 type veth peer name peer1"; do
        # shellcheck disable=SC2086 # words
        ip -n cniw-a $how
        before=$(links_in_pod a)
        run dmm ADD a <<<"$(conf "$TAP")"
        refused 101 "the pod has an interface net1 already"
        [ "$(links_in_pod a)" = "$before" ]
        conf "$TAP" | dmm DEL a
        [ "$(links_in_pod a)" = "$before" ]
        ip -n cniw-a link del net1
    done
    [ -z "$(picture | grep -E '^(dmm|cniw)' || true)" ]
}

@test "tap: DEL with the namespace gone, or replaced by another one" {
    for again in "" new; do
        pod_ns a
        empty=$(picture)
        conf "$TAP" | dmm ADD a >/dev/null
        ip netns del cniw-a
        if [ "$again" ]; then
            pod_ns a
            ip -n cniw-a tuntap add net1 mode tap
        fi
        conf "$TAP" | dmm DEL a
        [ "$(picture)" = "$empty" ]
        [ -z "$again" ] || [ "$(links_in_pod a)" = net1 ]
    done
}

@test "the sidecar's user: every attachment of a pod names the same; ids are checked" {
    pod_ns a
    conf "$TAP" | dmm ADD a >/dev/null
    run dmm ADD a net2 <<<"$(conf)"
    refused 7 "sidecar: 0:0 is not who an earlier attachment of this pod names \\(64321:64322\\)"
    conf '.sidecar = {uid: 64321, gid: 64322}' | dmm ADD a net2 >/dev/null
    for bad in '{uid: -1}' '{uid: "x"}' '{gid: 4294967295}'; do
        run dmm ADD a net3 <<<"$(conf ".sidecar = $bad")"
        refused 7 "sidecar\\.[ug]id"
    done
    run dmm ADD a net3 <<<"$(conf '.sidecar = {name: "me"}')"
    refused 2 "sidecar.name: unknown key"
    conf | dmm DEL a net2
    conf | dmm DEL a
}

AFXDP='.link = {type: "afxdp", bridge: "cniw-br", mtu: 1400, bpffs: .podDir} | .link.bpffs |= sub("/run$"; "/bpf")
    | .sidecar = {uid: 64321}'

@test "tap: without vhost-net on the node, auto does without, and on is refused" {
    [ ! -e /dev/vhost-net ] || skip "the node has /dev/vhost-net: tests/sriov/vhostnet.bats is what tries it"
    pod_ns a
    tap='.link = {type: "tap", bridge: "cniw-br", vhostNet: "auto"} | .sidecar = {uid: 64321, gid: 64321}'
    empty=$(picture)
    run dmm ADD a <<<"$(conf "$tap" '.link.vhostNet = "on"')"
    refused 101 "link.vhostNet: /dev/vhost-net: No such file or directory"
    run dmm STATUS a <<<"$(conf "$tap" '.link.vhostNet = "on"' '.cniVersion = "1.1.0"')"
    refused 50 "link.vhostNet: /dev/vhost-net: No such file or directory"
    [ "$(picture)$(links_in_pod a)" = "$empty" ]
    conf "$tap" | dmm ADD a >/dev/null
    jq -e '.kind == "tap" and .vhostNet == "auto"' "$DIR/run/pods/uid-a/ports/net1.json"
    chmod 755 "$DIR"
    ip netns exec cniw-a setpriv --reuid 64321 --regid 64321 --clear-groups --bounding-set -all \
        "$DMM_BUILD/dmm-stackd" --pod-dir "$DIR/run/pods/uid-a" >"$DIR/log" 2>&1 3>&- &
    within 20 test -S "$DIR/run/pods/uid-a/stackd.sock"
    grep -q "port net1: without vhost-net: /dev/vhost-net: No such file or directory" "$DIR/log"
    kill $!
    wait $! || true
    conf "$tap" | dmm DEL a
    [ "$(picture)$(links_in_pod a)" = "$empty" ]
}

@test "afxdp: program, pinned map, no checksum offload at the node's end" {
    pod_ns a
    bpf_mounted
    info='.runtimeConfig = {CNIDeviceInfoFile: "'$DIR'/info.json"}'
    empty=$(picture)
    result=$(conf "$AFXDP" "$info" | dmm ADD a)
    host=$(jq -r '.interfaces[1].name' <<<"$result")
    ip -n cniw-a -j link show net1 | jq -e '.[0].xdp.prog.name == "dmm_xsk" and .[0].xdp.mode == 1'
    [ "$(stat -c %u:%a "$DIR/bpf/dmm/uid-a/net1")" = 64321:600 ]
    [[ "$(ethtool -k "$host")" = *"tx-checksumming: off"* ]]
    jq -e --arg pin "$DIR/bpf/dmm/uid-a/net1" '.kind == "afxdp" and .queues == 1 and .xskMap == $pin' \
        "$DIR/run/pods/uid-a/ports/net1.json"
    jq -e --arg pin "$DIR/bpf/dmm/uid-a/net1" '. == {type: "af-xdp", version: "1.1.0", "af-xdp": {path: $pin}}' "$DIR/info.json"
    check "$result" "$AFXDP"
    mv "$DIR/bpf/dmm/uid-a/net1" "$DIR/bpf/dmm/uid-a/away"
    run check "$result" "$AFXDP"
    refused 104 "map .*/net1: No such file"
    mv "$DIR/bpf/dmm/uid-a/away" "$DIR/bpf/dmm/uid-a/net1"
    ip -n cniw-a link set net1 xdp off
    run check "$result" "$AFXDP"
    refused 104 "net1: has no XDP program"
    conf "$AFXDP" | dmm DEL a
    conf "$AFXDP" | dmm DEL a
    [ "$(picture)$(links_in_pod a)" = "$empty" ]
    [ ! -e "$DIR/info.json" ]
}

@test "afxdp: modes and queues; DEL with the namespace and the bpf file system gone" {
    pod_ns a
    bpf_mounted
    empty=$(picture)
    conf "$AFXDP" '.link += {mode: "skb", queues: 3}' | dmm ADD a >/dev/null
    ip -n cniw-a -j -d link show net1 | jq -e '.[0].xdp.mode == 2 and .[0].num_rx_queues == 3'
    conf "$AFXDP" | dmm DEL a
    conf "$AFXDP" '.link.mode = "native"' | dmm ADD a >/dev/null
    ip -n cniw-a -j link show net1 | jq -e '.[0].xdp.mode == 1'
    ip netns del cniw-a
    umount "$DIR/bpf"
    conf "$AFXDP" | dmm DEL a
    [ "$(picture)" = "$empty" ]
}

@test "afxdp: what is refused" {
    pod_ns a
    mkdir "$DIR/bpf"
    empty=$(picture)
    run dmm ADD a <<<"$(conf "$AFXDP")"
    refused 101 "link.bpffs: .*/bpf is not a bpf file system: mount -t bpf"
    run dmm STATUS a <<<"$(conf "$AFXDP" '.cniVersion = "1.1.0"')"
    refused 50 "is not a bpf file system"
    run dmm ADD a <<<"$(conf "$AFXDP" '.link.bpffs = "bpf"')"
    refused 7 "link.bpffs"
    run dmm ADD a <<<"$(conf "$AFXDP" '.link.queues = 17')"
    refused 7 "link.queues: 17 is not in 1..16"
    run dmm ADD a <<<"$(conf "$AFXDP" '.link.mtu = 9000')"
    refused 7 "link.mtu: 9000 is not in 68..3498"
    run dmm ADD a <<<"$(conf "$AFXDP" '.link.mode = "fast"')"
    refused 7 "link.mode: .*none of: auto, native, skb"
    [ "$(picture)$(links_in_pod a)" = "$empty" ]
}

@test "memif: two ends of one socket; what is refused" {
    pod_ns a
    memif='.link = {type: "memif", role: "server", socket: "'$DIR'/pair/s.sock"} | .sidecar.uid = 64321'
    info='.runtimeConfig = {CNIDeviceInfoFile: "'$DIR'/info.json"}'
    empty=$(picture)
    result=$(conf "$memif" "$info" '.cniVersion = "1.1.0"' | dmm ADD a)
    jq -e --arg s "$DIR/pair/s.sock" '.interfaces | length == 1 and .[0].socketPath == $s and .[0].mtu == 1500' <<<"$result"
    jq -e --arg s "$DIR/pair/s.sock" '. == {type: "memif", version: "1.1.0", memif: {role: "server", path: $s}}' "$DIR/info.json"
    [ "$(stat -c %u "$DIR/pair")" = 64321 ]
    check "$result" "$memif" '.cniVersion = "1.1.0"'
    rmdir "$DIR/pair"
    run check "$result" "$memif" '.cniVersion = "1.1.0"'
    refused 104 "the socket's directory"
    conf "$memif" | dmm DEL a
    conf "$memif" | dmm DEL a
    [ "$(picture)" = "$empty" ]
    [ ! -e "$DIR/pair" ] && [ ! -e "$DIR/info.json" ]
    run dmm ADD a <<<"$(conf '.link = {type: "memif", role: "server"}')"
    refused 7 "link.socket: missing"
    run dmm ADD a <<<"$(conf '.link = {type: "memif", socket: "/a/b"}')"
    refused 7 "link.role: missing"
    run dmm ADD a <<<"$(conf "$memif" '.link.mtu = 9001')"
    refused 7 "link.mtu: 9001 is not in 68..9000"
}

# A sidecar of that user and these groups serves the link's socket, until the condition holds.
serves_socket() { # FILTER GROUPS CMD...
    local filter=$1 groups=$2 held=
    shift 2
    pod_ns a
    conf "$filter" '.sidecar = {uid: 64321, gid: 64321}' | dmm ADD a >/dev/null
    chmod 755 "$DIR"
    ip netns exec cniw-a setpriv --reuid 64321 --regid 64321 --groups "$groups" --bounding-set -all \
        "$DMM_BUILD/dmm-stackd" --pod-dir "$DIR/run/pods/uid-a" >"$DIR/log" 2>&1 3>&- &
    local stackd=$!
    within 20 "$@" && held=yes
    kill "$stackd"
    wait "$stackd" || true
    conf "$filter" | dmm DEL a
    ip netns del cniw-a
    [ -n "$held" ] || { cat "$DIR/log"; return 1; }
}
socket_is() { [ "$(stat -c %a:%u:%g "$DIR/pair/s.sock")" = "$1" ]; } # MODE:UID:GID

@test "vhostuser and memif: the socket has its owner, mode and group; a group that the sidecar is not in is told" {
    vhostuser='.link = {type: "vhostuser", role: "server", socket: "'$DIR'/pair/s.sock"}'
    memif='.link = {type: "memif", role: "server", socket: "'$DIR'/pair/s.sock"}'
    serves_socket "$vhostuser" 64333 socket_is 755:64321:64321
    serves_socket "$vhostuser | .link += {socketMode: \"0660\", socketGid: 64333}" 64333 socket_is 660:64321:64333
    serves_socket "$memif | .link += {socketMode: \"770\"}" 64333 socket_is 770:64321:64321
    serves_socket "$memif | .link += {socketMode: \"0600\", socketGid: 64333}" 64333 socket_is 600:64321:64333
    serves_socket "$memif | .link += {socketGid: 64333}" 64334 grep -q \
        'port net1: .*its mode or group: Operation not permitted (the sidecar must be in the group of link.socketGid)' "$DIR/log"
}

ROUTED='.link = {type: "veth", routed: true, mtu: 1400}
    | .ipam = {type: "host-local", dataDir: .ipam.dataDir, routes: [{dst: "0.0.0.0/0"}],
        ranges: [[{subnet: "10.187.0.0/16"}], [{subnet: "fd00:187::/64"}]]}'

@test "routed: host addresses, the link's gateway, and a route on the node to each" {
    pod_ns a
    empty=$(picture)
    result=$(conf "$ROUTED" '.cniVersion = "1.1.0"' | dmm ADD a)
    jq -e '(.interfaces | length) == 2 and .interfaces[1].name == "net1"
        and [.ips[] | [.address, .gateway, .interface]] == [["10.187.0.2/32", "169.254.1.1", 1],
            ["fd00:187::2/128", "fe80::1", 1]]
        and .routes == [{dst: "169.254.1.1/32", scope: 253}, {dst: "fd00:187::/64", gw: "fe80::1"},
            {dst: "0.0.0.0/0", gw: "169.254.1.1"}]' <<<"$result"
    jq -e '.addresses == ["10.187.0.2/32", "fd00:187::2/128"] and .routes == [{dst: "169.254.1.1/32"},
        {dst: "fd00:187::/64", gw: "fe80::1"}, {dst: "0.0.0.0/0", gw: "169.254.1.1"}]' \
        "$DIR/run/pods/uid-a/ports/net1.json"
    host=$(jq -r '.interfaces[0].name' <<<"$result")
    [ "$(ip -j route get 10.187.0.2 | jq -r '.[0].dev')" = "$host" ]
    [ "$(ip -j -6 route get fd00:187::2 | jq -r '.[0].dev')" = "$host" ]
    # The kernel never sends from the gateway's address.
    ip addr add 192.0.2.9/32 dev lo
    [ "$(ip -j route get 10.187.0.2 | jq -r '.[0].prefsrc')" = 192.0.2.9 ]
    ip addr del 192.0.2.9/32 dev lo
    check "$result" "$ROUTED" '.cniVersion = "1.1.0"'
    ip route del 10.187.0.2
    run check "$result" "$ROUTED" '.cniVersion = "1.1.0"'
    refused 104 "10.187.0.2: is not by interface $host"
    conf "$ROUTED" | dmm DEL a
    conf "$ROUTED" | dmm DEL a
    [ "$(picture)$(links_in_pod a)" = "$empty" ]
    [ -z "$(ip route show 10.187.0.2)" ]
}

@test "routed: the stack answers the node by IPv4 and by IPv6" {
    pod_ns a
    ip addr add 192.0.2.9/32 dev lo
    ip addr add fd00:9::9/128 dev lo nodad
    conf "$ROUTED" '.ipam.routes += [{dst: "::/0"}]' '.stacks[0].type = "tcpip"' | dmm ADD a >/dev/null
    ip netns exec cniw-a "$DMM_BUILD/dmm-stackd" --pod-dir "$DIR/run/pods/uid-a" 2>"$DIR/log" 3>&- &
    stackd=$!
    for to in 10.187.0.2 fd00:187::2; do
        ping -q -c 20 -i 0.2 -W 1 "$to" | tee "$DIR/ping"
        grep -q ' [1-9][0-9]* received' "$DIR/ping"
    done
    kill $stackd
    wait $stackd || true
    ip addr del 192.0.2.9/32 dev lo
    ip addr del fd00:9::9/128 dev lo
    conf "$ROUTED" | dmm DEL a
}

@test "routed: refused where the node does not forward, without addresses, and with a bridge" {
    pod_ns a
    empty=$(picture)
    sysctl -qw net.ipv4.ip_forward=0
    run dmm ADD a <<<"$(conf "$ROUTED")"
    refused 101 "the node does not forward: sysctl net/ipv4/ip_forward is 0"
    run dmm STATUS a <<<"$(conf "$ROUTED" '.cniVersion = "1.1.0"')"
    refused 50 "net/ipv4/ip_forward is 0"
    sysctl -qw net.ipv4.ip_forward=1
    run dmm ADD a <<<"$(conf "$ROUTED" 'del(.ipam)')"
    refused 101 "link.routed: needs addresses"
    run dmm ADD a <<<"$(conf "$ROUTED" '.link.bridge = "x"')"
    refused 7 "link.routed: contradicts link.bridge"
    run dmm ADD a <<<"$(conf "$ROUTED" '.link.mtu = 1000')"
    refused 7 "link.mtu"
    # Another pod's address is not taken over.
    ip route add 10.187.0.0/24 dev lo
    ip route add 10.187.0.2/32 dev lo
    rm -rf "$DIR/leases"
    run dmm ADD a <<<"$(conf "$ROUTED")"
    ip route del 10.187.0.2/32 dev lo
    ip route del 10.187.0.0/24 dev lo
    refused 101 "10.187.0.2: the node has one already"
    [ "$(picture)$(links_in_pod a)" = "$empty" ]
}

# Folders and node names of the test's own in place of the examples'.
own() {
    jq --arg p "$PREFIX" --arg d "$DIR" '.plugins[] |= (
        if .type == "dmm" then .podDir = $d + "/run" | .stateDir = $d + "/state" else . end
        | if has("bridge") then .bridge = $p + "-br" else . end
        | if .link.type? == "afxdp" then .link.bpffs = $d + "/bpf" else . end
        | if .link.bridge? then .link.bridge = $p + "-br" else . end
        | .ipam.dataDir = $d + "/leases")'
}

# A NIC, or Open vSwitch, is not here: STATUS finds the configuration right and that lacking. (The VFs'
# are made by tests/sriov.) False for a file that needs neither.
lacks_only_the_device() { # FILE CONF
    local wanted
    case ${1##*/} in
    sriov-vfio*) wanted='link.driver: vfio-pci: the module is not loaded' ;;
    sriov*) wanted='link.pf: ens1f0: no interface' ;;
    afxdp-device*) wanted='link.device: ens1f1: no such interface' ;;
    afxdp-vf*) wanted='link.pf: ens1f0: no interface' ;;
    vhostuser-ovs*) wanted='link.ovs: bridge br-dpdk' ;;
    *) return 1 ;;
    esac
    run --separate-stderr env CNI_COMMAND=STATUS "$DMM" <<<"$(jq '.cniVersion = "1.1.0" | del(.prevResult)' <<<"$2")"
    refused 50 "$wanted" || exit 1
}

@test "the examples of examples/cni are taken as they are" {
    local file result n=0
    bpf_mounted
    for file in "$TOP"/examples/cni/*.conflist; do
        pod_ns a
        empty=$(picture)
        result=null
        own <"$file" >"$DIR/list"
        for ((n = 0; n < $(jq '.plugins | length' "$DIR/list"); n++)); do
            jq --argjson n $n --argjson prev "$result" '. as $list | .plugins[$n] + {name: $list.name,
                cniVersion: $list.cniVersion} + if $prev then {prevResult: $prev} else {} end' "$DIR/list" >"$DIR/conf"
            type=$(jq -r .type "$DIR/conf")
            if [ "$type" = dmm ] && lacks_only_the_device "$file" "$(cat "$DIR/conf")"; then break; fi
            result=$(CNI_COMMAND=ADD CNI_CONTAINERID=cniw-a CNI_NETNS=/run/netns/cniw-a CNI_IFNAME=eth0 \
                CNI_ARGS="IgnoreUnknown=1;K8S_POD_UID=uid-a" "$(PATH=$DMM_BUILD:$PLUGINS type -P "$type")" <"$DIR/conf") ||
                { echo "$file: $result"; return 1; }
        done
        # Without prevResult, as the second DEL of a runtime comes.
        jq 'del(.prevResult)' "$DIR/conf" >"$DIR/last"
        CNI_COMMAND=DEL CNI_CONTAINERID=cniw-a CNI_NETNS=/run/netns/cniw-a CNI_IFNAME=eth0 \
            CNI_ARGS="IgnoreUnknown=1;K8S_POD_UID=uid-a" "$DMM" <"$DIR/last"
        ip netns del cniw-a
        rm -rf "$DIR/leases"
        ip link del cniw-br 2>/dev/null || true
        [ "$(picture)" = "$empty" ] || { echo "$file"; diff <(echo "$empty") <(picture); }
    done
    [ "$n" -gt 0 ]
    for file in "$TOP"/examples/cni/*.yaml; do
        sed -n '/config: |/,$p' "$file" | sed 1d |
            jq '{plugins: [.]}' | own | jq '.plugins[0]' >"$DIR/conf"
        if lacks_only_the_device "$file" "$(cat "$DIR/conf")"; then continue; fi
        pod_ns a
        dmm ADD a <"$DIR/conf" >"$DIR/result" || { cat "$file" "$DIR/result"; return 1; }
        dmm DEL a <"$DIR/conf"
        ip netns del cniw-a
    done
}
