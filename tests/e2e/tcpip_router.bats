#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# shellcheck disable=SC2030,SC2031 # PIDS is meant to be each test's own
# The stack `tcpip` among the kernel's neighbours: a router with a narrow link behind it, router advertisements by
# radvd, duplicate addresses, a VLAN, several addresses.
#
#     pod a (stack) --- bridge --- pod r (the kernel forwards) --- far, by packets of at most 1300 bytes

load tcpip_lib

SECRET='a secret of some length'

setup_file() {
    tcpip_lab tcpr 63
    pod up a dmm.fd.io/stack=tcpip --options "{\"ip6_secret\": \"$SECRET\"}"
    pod up r
    make_far
    A=$(pod ip a) A6=$(pod ip -6 a)
    export A A6
}
teardown_file() {
    [ -z "${LAB_PREFIX:-}" ] || lab_teardown
    ip netns del tcpr-far 2>/dev/null || true
    [ -z "${LAB_PREFIX:-}" ] || replug
}

in_ns() { nsenter --net="/run/netns/$1" "${@:2}"; }
router() { in_ns dmm-tcpr-r "$@"; }
far() { in_ns tcpr-far "$@"; }
# In the background: $! of a function would be a shell's, not the program's.
ns_bg() { # NETNS OUTPUT CMD...
    nsenter --net="/run/netns/$1" "${@:3}" >"$2" 2>&1 3>&- &
    LAST_PID=$!
    PIDS+=("$LAST_PID")
}

# far is 10.98.63.2 and fd00:98::2; the router forwards 1300 bytes at most towards it, and says so.
make_far() {
    ip netns del tcpr-far 2>/dev/null || true
    ip netns add tcpr-far
    ip link add far0 netns dmm-tcpr-r type veth peer name eth0 netns tcpr-far
    router sysctl -qw net.ipv4.ip_forward=1 net.ipv6.conf.all.forwarding=1
    router ip addr add 10.98.63.1/30 dev far0
    router ip addr add fd00:98::1/64 dev far0 nodad
    router ip link set far0 up
    router ip route add 10.98.63.2/32 dev far0 mtu lock 1300
    router ip route add fd00:98::2/128 dev far0 mtu lock 1300
    far ip link set lo up
    far ip link set eth0 up
    far ip addr add 10.98.63.2/30 dev eth0
    far ip addr add fd00:98::2/64 dev eth0 nodad
    far ip route add default via 10.98.63.1
    far ip route add default via fd00:98::1
}

# Routes and addresses are of the port's file; the sidecar reads it when it starts.
port_file() { echo "$DMM_EXAMPLES_DIR/pods/example-tcpr-$1/ports/net1.json"; }
change_port() { # NAME JQ-FILTER ARGS...
    local file
    file=$(port_file "$1")
    pod sidecar "$1" stop
    jq "${@:2}" "$file" >"$file.new"
    mv "$file.new" "$file"
    pod sidecar "$1" start
}

# The address that the stack would use towards another: a program's view.
source_towards() { # ADDRESS
    pod exec a /usr/bin/python3 -c "
import socket, sys
s = socket.socket(socket.AF_INET6 if ':' in sys.argv[1] else socket.AF_INET, socket.SOCK_DGRAM)
s.connect((sys.argv[1], 9)); print(s.getsockname()[0])" "$1"
}

# 20 MB each way between a program on a and one in far, checked.
bulk_with_far() { # ADDRESS
    ns_bg tcpr-far "$LAB_TMP/far" "$TOP/tests/e2e/bulk.py" serve "$1" 9000 20000000
    local server=$LAST_PID
    within 10 grep -q listening "$LAB_TMP/far"
    timeout 60 "$TOP/examples/pod" exec tcpr-a "$TOP/tests/e2e/bulk.py" connect "$1" 9000 20000000
    wait "$server"
}

@test "a gateway, and a narrow link behind it: the path's MTU is learned from the kernel's router, IPv4" {
    # shellcheck disable=SC2016 # jq's variable
    change_port a --arg gw "$(pod ip r)" '.routes = [{dst: "10.98.63.0/24", gw: $gw}]'
    # The server's larger segments are merged on the way, so the narrow route is one way.
    bulk_with_far 10.98.63.2
    [ "$(counter a pmtu_updates)" -ge 1 ]
    [ "$(counter a tcp_pmtu_black_holes)" -eq 0 ]
    [ "$(router nstat -az IpFragFails | awk '$1 == "IpFragFails" { print $2 }')" -ge 1 ]
    # What is not routed is refused at once.
    run pod exec a curl -s --max-time 5 http://10.97.1.1/
    [ "$status" -eq 7 ]
}

@test "radvd advertises a prefix, a default route and a route: addresses, and PMTU discovery over IPv6" {
    local auto before
    cat >"$LAB_TMP/radvd.conf" <<CONF
interface eth0 {
    AdvSendAdvert on; MinRtrAdvInterval 3; MaxRtrAdvInterval 4; AdvDefaultLifetime 30;
    prefix fd00:97::/64 { AdvOnLink on; AdvAutonomous on; };
    route fd00:98::/64 { AdvRouteLifetime 600; RemoveRoute off; };
};
CONF
    router ip addr add fd00:97::1/64 dev eth0 nodad
    ns_bg dmm-tcpr-r "$LAB_TMP/radvd" radvd -n -m stderr -C "$LAB_TMP/radvd.conf" -p "$LAB_TMP/radvd.pid"
    local radvd=$LAST_PID
    has_auto() { [[ $(source_towards fd00:97::1) = fd00:97::* ]]; }
    within 10 has_auto
    [ "$(counter a nd_ra_in)" -ge 1 ]
    auto=$(source_towards fd00:97::1)
    router ping -6 -c 1 -W 2 "$auto"
    # By default route and by the advertised one.
    [ "$(source_towards 2001:db8::1)" != "" ]
    before=$(counter a pmtu_updates)
    bulk_with_far fd00:98::2
    [ "$(counter a pmtu_updates)" -gt "$before" ]
    # RFC 7217: the same address again, though nothing was kept.
    pod sidecar a stop
    pod sidecar a start
    within 10 has_auto
    [ "$(source_towards fd00:97::1)" = "$auto" ]
    # A router that resigns leaves the route that it advertised besides.
    kill "$radvd"
    wait "$radvd" || true
    no_default() { ! source_towards 2001:db8::1 2>/dev/null; }
    within 5 no_default
    [ "$(source_towards fd00:98::2)" != "" ]
}

@test "duplicate addresses: the stack defends its own against the kernel, and gives way to the kernel's" {
    local own
    # The bridge plugin turned detection off. The kernel tries ours: its detection hears the stack.
    router sysctl -qw net.ipv6.conf.eth0.accept_dad=1
    router ip addr add "$A6/64" dev eth0
    dad_failed() { router ip -6 addr show dev eth0 | grep -F "$A6/64" | grep -q dadfailed; }
    within 5 dad_failed
    router ip addr del "$A6/64" dev eth0
    # The kernel has what the stack will want: the stack hears the kernel and takes the next identifier.
    own=$(pod exec a /usr/bin/python3 -c "
import socket
s = socket.socket(socket.AF_INET6, socket.SOCK_DGRAM); s.connect(('fe80::1', 9, 0, 1)); print(s.getsockname()[0].split('%')[0])")
    [[ "$own" = fe80::* ]]
    pod sidecar a stop
    router ip addr add "$own/64" dev eth0 nodad
    pod sidecar a start
    heard() { [ "$(counter a nd_dad_failed)" -ge 1 ]; }
    within 5 heard
    pod logs a | grep -F "$own is used by another node"
    router ip addr del "$own/64" dev eth0
}

@test "ARP: the stack answers the kernel's probe for its address" {
    # arping -D: RFC 5227 as the kernel's end does it; 1 is "in use".
    run router arping -D -c 2 -w 3 -I eth0 "$A"
    echo "$output"
    [ "$status" -eq 1 ]
}

@test "several addresses on one port: each is reached, and a socket bound to one leaves by it" {
    change_port a '.addresses += ["10.99.63.200/24", "fd00:63::200/64"]'
    local to
    for to in "$A" 10.99.63.200 "$A6" fd00:63::200; do
        router ping -c 1 -W 2 "$to"
    done
    # shellcheck disable=SC2016 # socat's shell expands it
    ns_bg dmm-tcpr-r "$LAB_TMP/socat" socat -u TCP4-LISTEN:9001,reuseaddr,fork \
        SYSTEM:'echo $SOCAT_PEERADDR >>'"$LAB_TMP/peers"
    send_from() { echo x | pod exec a socat -u - "TCP4:$(pod ip r):9001,bind=$1"; }
    within 5 send_from 10.99.63.200
    within 5 grep -qx 10.99.63.200 "$LAB_TMP/peers"
    send_from "$A"
    within 5 grep -qx "$A" "$LAB_TMP/peers"
}

# This kernel may have no VLAN interfaces: the relay takes the tags off, as a switch does at its access ports.
@test "a VLAN: all frames carry its tag, merged ones too, and others are not heard" {
    pod up v dmm.fd.io/stack=tcpip --options '{"vlan": 63}'
    local v
    v=$(pod ip v)
    run router ping -c 1 -W 1 "$v"
    [ "$status" -ne 0 ]
    unplug v
    "$DMM_BUILD/tests/relay" a="$NEAR" b="$FAR" vlan=63 >"$LAB_TMP/relay" 2>&1 3>&- &
    local relay=$!
    PIDS+=("$relay")
    within 5 grep -q ready "$LAB_TMP/relay"
    within 5 router ping -c 1 -W 1 "$v" # the neighbour was given up for lost just now
    pod_bg v iperf3 -s --forceflush
    PIDS+=("$LAST_PID")
    within 10 grep -q listening "$LAB_TMP/v.out"
    timeout 20 "$TOP/examples/pod" exec --plain tcpr-r iperf3 -c "$v" -n 50M
    timeout 20 "$TOP/examples/pod" exec --plain tcpr-r iperf3 -c "$v" -n 50M -R
    kill "$relay"
    wait "$relay"
    cat "$LAB_TMP/relay"
    [ "$(sed -n 's/.*segments=\([0-9]*\).*/\1/p' "$LAB_TMP/relay")" -gt 100 ]
    pod down v
    replug
}
