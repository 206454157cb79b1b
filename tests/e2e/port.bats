#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# shellcheck disable=SC2030,SC2031 # PIDS is meant to be each test's own
# Ports on the real thing, frame by frame, without a stack: a packet port on a veth against a kernel
# peer with all its offloads on, and vhost against virtio_user in two processes.

TOP=$(cd "$BATS_TEST_DIRNAME/../.." && pwd)
DRIVER=${DMM_BUILD:-$TOP/build}/tests/portdriver
NEAR=ports-near # the port's namespace; ports-far is the kernel peer's
FAR=ports-far
MAC_A=02:00:00:00:00:0a
MAC_B=02:00:00:00:00:0b

setup() {
    RUN_DIR=$(mktemp -d /tmp/dmm-ports.XXXXXX)
    SOCK=$RUN_DIR/vhost.sock
    PIDS=()
}
teardown() {
    local pid
    for pid in "${PIDS[@]}"; do
        kill -9 "$pid" 2>/dev/null || true
    done
    wait
    ip netns del $NEAR 2>/dev/null || true
    ip netns del $FAR 2>/dev/null || true
    rm -rf "$RUN_DIR"
}

# A veth pair: near end without a kernel address, far end with one, and knowing the port's MAC.
make_pair() {
    local ns
    for ns in $NEAR $FAR; do
        ip netns add "$ns"
        ip netns exec "$ns" sysctl -qw net.ipv6.conf.all.disable_ipv6=1
        ip -n "$ns" link set lo up
    done
    ip link add near0 netns $NEAR type veth peer name far0 netns $FAR
    ip -n $NEAR link set near0 address $MAC_A up
    ip -n $FAR link set far0 address $MAC_B up
    ip -n $FAR addr add 10.77.0.2/24 dev far0
}
know_port() { ip -n $FAR neigh add 10.77.0.1 lladdr $MAC_A dev far0; }

# Starts the driver; its output is in $RUN_DIR/NAME, its pid in $LAST_PID.
drive() { # NAME NETNS ARGS...
    local name=$1 ns=$2
    shift 2
    local -a in=()
    [ "$ns" != - ] && in=(ip netns exec "$ns")
    "${in[@]}" "$DRIVER" ifname="$name" "$@" >"$RUN_DIR/$name" 2>&1 3>&- &
    LAST_PID=$!
    PIDS+=("$LAST_PID")
}
packet() { # NAME ARGS...: on near0
    drive near0 $NEAR kind=packet ip=10.77.0.1 peer_ip=10.77.0.2 peer_mac=$MAC_B "$@"
    within 5 grep -q ^ready "$RUN_DIR/near0"
}
vhost_end() { # DEVARGS ARGS...
    local devargs=$1
    shift
    drive vhost - kind=ethdev mac=$MAC_A peer_mac=$MAC_B ip=10.77.0.1 peer_ip=10.77.0.2 \
        devargs="net_vhost0,iface=$SOCK,queues=1,tso=1$devargs" "$@"
}
virtio_end() { # DEVARGS ARGS...
    local devargs=$1
    shift
    local args="net_virtio_user0,path=$SOCK,queues=1,queue_size=1024,mac=$MAC_B,mrg_rxbuf=1$devargs"
    drive virtio - kind=ethdev mac=$MAC_B peer_mac=$MAC_A ip=10.77.0.2 peer_ip=10.77.0.1 \
        devargs="$args" "$@"
}

within() { # SECONDS CMD...
    local i
    for ((i = 0; i < $1 * 20; i++)); do
        "${@:2}" && return 0
        sleep 0.05
    done
    echo "not within $1 s: ${*:2}" >&2
    tail -n 5 "$RUN_DIR"/* >&2 || true
    return 1
}
finish() { # PID: ends a driver, which then prints its sums
    kill "$1"
    wait "$1"
}
value() { sed -n "s/^$2=//p" "$RUN_DIR/$1"; }      # NAME KEY: of the sums
progress() { sed -n "s/^progress .*$2=\([0-9]*\).*/\1/p" "$RUN_DIR/$1" | tail -n 1; }
is() { # NAME KEY OP NUMBER
    local got
    got=$(value "$1" "$2")
    test "$got" "-$3" "$4" || {
        echo "$2 is $got, not $3 $4" >&2
        cat "$RUN_DIR/$1" >&2
        return 1
    }
}
progressed() {
    local got
    got=$(progress "$1" "$2")
    [ "${got:-0}" -gt "$3" ]
}

@test "packet: a kernel peer's merged, partly checksummed and TCP frames" {
    make_pair
    know_port
    packet role=sink seconds=30
    ip netns exec $FAR /usr/bin/python3 - <<'EOF'
import socket, time
s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
for i in range(100): s.sendto(b"x" * 100, ("10.77.0.1", 9))
s.setsockopt(socket.IPPROTO_UDP, 103, 1400)  # UDP_SEGMENT
for i in range(10): s.sendto(b"y" * 60000, ("10.77.0.1", 9))
t = socket.socket()
t.settimeout(0.2)
try: t.connect(("10.77.0.1", 80))
except OSError: pass
EOF
    finish "$LAST_PID"
    is near0 udp eq 110
    is near0 tcp ge 1
    is near0 gso eq 10
    is near0 gso_size eq 1400
    is near0 max_len eq 60042
    is near0 partial ge 111
    is near0 csum_bad eq 0
    is near0 ip_bad eq 0
    is near0 rx_bad eq 0
}

@test "packet: a kernel peer without offloads sends complete checksums" {
    make_pair
    know_port
    ip netns exec $FAR ethtool -K far0 tx off gso off tso off >/dev/null
    packet role=sink seconds=30
    ip netns exec $FAR /usr/bin/python3 - <<'EOF'
import socket
s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
for i in range(50): s.sendto(b"x" * (100 + i), ("10.77.0.1", 9))
EOF
    finish "$LAST_PID"
    is near0 udp eq 50
    is near0 partial eq 0
    is near0 csum_bad eq 0
}

@test "packet: a VLAN tag that the kernel took out arrives as vlan_tci" {
    make_pair
    packet role=sink seconds=30
    ip netns exec $FAR /usr/bin/python3 -c '
import socket
s = socket.socket(socket.AF_PACKET, socket.SOCK_RAW)
s.bind(("far0", 0))
head = bytes.fromhex("02000000000a" "02000000000b" "8100" "0007" "88b5")
for i in range(5): s.send(head + b"x" * 100)'
    finish "$LAST_PID"
    is near0 vlan eq 5
    is near0 max_len eq 114
}

@test "packet: one 60 KB TCP frame leaves as checksummed segments" {
    make_pair
    # Without its own offloads the far end sees what a wire would.
    ip netns exec $FAR ethtool -K far0 gro off >/dev/null
    ip netns exec $NEAR ethtool -K near0 tso off gso off tx off >/dev/null
    ip netns exec $FAR tcpdump -i far0 -w "$RUN_DIR/cap" -U --immediate-mode -s 2000 tcp 2>"$RUN_DIR/dump" 3>&- &
    local dump=$!
    PIDS+=("$dump")
    within 5 grep -q listening "$RUN_DIR/dump"
    packet role=flood size=60054 proto=tcp count=5 seconds=5
    wait "$LAST_PID"
    is near0 sent eq 5
    is near0 tx_errors eq 0
    sleep 0.5
    kill "$dump"
    wait "$dump" || true
    tcpdump -r "$RUN_DIR/cap" -nvv 2>/dev/null >"$RUN_DIR/text"
    # 60000 = 41 * 1460 + 140, five times.
    [ "$(grep -c 'cksum.*length 1460$' "$RUN_DIR/text")" -eq 205 ]
    [ "$(grep -c 'cksum.*length 140$' "$RUN_DIR/text")" -eq 5 ]
    [ "$(grep -c '(correct)' "$RUN_DIR/text")" -eq 210 ]
    [ "$(grep -c incorrect "$RUN_DIR/text")" -eq 0 ]
}

@test "packet: the kernel resolves the port by ARP and gets its datagrams back" {
    make_pair
    packet role=echo seconds=30
    # 1 byte, the largest unfragmented one, and one in between
    local size text
    for size in 1 1472 700; do
        text=$(head -c "$size" /dev/zero | tr '\0' q)
        printf %s "$text" >"$RUN_DIR/in"
        ip netns exec $FAR timeout 5 socat -b 2000 -t 0.5 - UDP4:10.77.0.1:7 \
            <"$RUN_DIR/in" >"$RUN_DIR/out"
        cmp "$RUN_DIR/in" "$RUN_DIR/out"
    done
    finish "$LAST_PID"
    is near0 answered eq 3
}

@test "packet: needs CAP_NET_RAW only, and says so" {
    make_pair
    know_port
    run ip netns exec $NEAR setpriv --reuid 65534 --clear-groups --bounding-set -net_raw \
        --inh-caps=-all "$DRIVER" kind=packet ifname=near0 role=sink seconds=1
    [ "$status" -eq 2 ]
    [[ "$output" == *near0*CAP_NET_RAW* ]]
    ip netns exec $NEAR setpriv --reuid 65534 --clear-groups --bounding-set -all,+net_raw \
        --inh-caps=-all,+net_raw --ambient-caps=-all,+net_raw \
        "$DRIVER" kind=packet ifname=near0 role=sink seconds=2 >"$RUN_DIR/near0" 2>&1 3>&- &
    local pid=$!
    PIDS+=("$pid")
    within 5 grep -q ^ready "$RUN_DIR/near0"
    ip netns exec $FAR /usr/bin/python3 -c '
import socket
s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
s.setsockopt(socket.IPPROTO_UDP, 103, 1400)
s.sendto(b"y" * 60000, ("10.77.0.1", 9))'
    wait "$pid"
    is near0 gso eq 1
    is near0 csum_bad eq 0
}

@test "packet: an absent interface is named" {
    run "$DRIVER" kind=packet ifname=nosuch0 role=sink seconds=1
    [ "$status" -eq 2 ]
    [[ "$output" == *"nosuch0"*"No such device"* ]]
}

@test "packet: the interface goes down, comes up, is deleted, comes back; nothing spins" {
    make_pair
    know_port
    packet role=sink seconds=30
    ip -n $NEAR link set near0 down
    within 3 grep -q "link up=0" "$RUN_DIR/near0"
    ip -n $NEAR link set near0 mtu 1400 up
    within 3 grep -q "link up=1 mtu=1400" "$RUN_DIR/near0"
    ip -n $NEAR link del near0
    within 3 eval "tail -n 2 $RUN_DIR/near0 | grep -q 'link up=0\|up=0'"
    sleep 1
    ip link add near0 netns $NEAR type veth peer name far0 netns $FAR
    ip -n $NEAR link set near0 address $MAC_A up
    ip -n $FAR link set far0 address $MAC_B up
    ip -n $FAR addr add 10.77.0.2/24 dev far0
    know_port
    within 3 eval "tail -n 2 $RUN_DIR/near0 | grep -q 'mtu=1500\|ready'"
    ip netns exec $FAR /usr/bin/python3 -c '
import socket
s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
for i in range(7): s.sendto(b"x" * 100, ("10.77.0.1", 9))'
    sleep 0.3
    finish "$LAST_PID"
    is near0 udp eq 7
    is near0 cpu_ms lt $((300 * ${DMM_TIME_FACTOR:-1}))
}

@test "packet: an idle port sleeps" {
    make_pair
    packet role=sink seconds=3
    wait "$LAST_PID"
    is near0 cpu_ms lt $((60 * ${DMM_TIME_FACTOR:-1}))
}

@test "ethdev: small and 60 KB frames there and back, unchanged" {
    local size proto
    for proto in udp tcp; do
        [ $proto = udp ] && size=64 || size=60000
        vhost_end "" role=reflect seconds=30
        local reflector=$LAST_PID
        virtio_end "" role=ping size="$size" proto="$proto" count=2000 seconds=10
        wait "$LAST_PID"
        is virtio replies eq 2000
        is virtio mismatched eq 0
        is virtio rx_bad eq 0
        finish "$reflector"
        is vhost rx_bad eq 0
        is vhost answered ge 2000
    done
}

@test "ethdev: packed ring in order" {
    vhost_end "" role=reflect seconds=30
    virtio_end ,packed_vq=1,in_order=1 role=ping size=60000 proto=tcp count=500 seconds=10
    wait "$LAST_PID"
    is virtio replies eq 500
    is virtio mismatched eq 0
}

# One end pings, the other is killed and started again; each in turn starts first.
survives() { # PINGER VICTIM PINGER_DEVARGS VICTIM_DEVARGS [PINGER_ARG]
    "$1_end" "$3" role=ping size=60000 proto=tcp seconds=60 ${5:+"$5"}
    local pinger=$LAST_PID seen
    sleep 0.5
    "$2_end" "$4" role=reflect seconds=60
    within 10 progressed "$1" replies 0
    kill -9 "$LAST_PID"
    within 5 grep -q "link up=0" "$RUN_DIR/$1"
    seen=$(progress "$1" replies)
    "$2_end" "$4" role=reflect seconds=60
    within 10 progressed "$1" replies $((seen + 100))
    local reflector=$LAST_PID
    finish "$pinger"
    is "$1" mismatched eq 0
    finish "$reflector"
}

@test "ethdev: vhost listens; the virtio_user end dies and comes back" { survives vhost virtio "" ""; }
@test "ethdev: vhost listens, dies and comes back; virtio_user was first" { survives virtio vhost "" ""; }
@test "ethdev: virtio_user listens, dies and comes back" {
    survives vhost virtio ,client=1 ,server=1
}
@test "ethdev: virtio_user listens; the vhost end dies and comes back" {
    survives virtio vhost ,server=1 ,client=1
}
# The interrupt thread is then in the driver's handler when the keeper takes the device down.
@test "ethdev: the vhost end dies while the virtio_user end's interrupt thread is slow" {
    survives virtio vhost "" "" slow_intr_ms=60
}
@test "ethdev: the same where virtio_user listens" {
    survives virtio vhost ,server=1 ,client=1 slow_intr_ms=60
}

@test "ethdev: both ends sleep when idle" {
    vhost_end "" role=sink seconds=5
    local vhost=$LAST_PID
    virtio_end "" role=sink seconds=4
    wait "$LAST_PID"
    wait "$vhost"
    is vhost cpu_ms lt $((100 * ${DMM_TIME_FACTOR:-1}))
    is virtio cpu_ms lt $((100 * ${DMM_TIME_FACTOR:-1}))
}

@test "ethdev: a port whose peer never comes waits asleep and ends at once" {
    virtio_end ,server=1 role=sink seconds=60
    local server=$LAST_PID
    within 5 test -S "$SOCK"
    sleep 2
    finish "$server"
    is virtio cpu_ms lt $((100 * ${DMM_TIME_FACTOR:-1}))
    [ ! -e "$SOCK" ] || rm "$SOCK"
    virtio_end "" role=sink seconds=60
    sleep 1
    finish "$LAST_PID"
    is virtio cpu_ms lt $((100 * ${DMM_TIME_FACTOR:-1}))
}

@test "ethdev: bad device arguments are named" {
    run "$DRIVER" kind=ethdev ifname=net1 devargs=net_vhost0,queues=1 role=sink seconds=1
    [ "$status" -eq 2 ]
    [[ "$output" == *"port net1"*"iface= is missing"* ]]
    run "$DRIVER" kind=ethdev ifname=net1 devargs=net_nosuch0,a=1 role=sink seconds=1
    [ "$status" -eq 2 ]
    [[ "$output" == *"port net1"*"net_nosuch"* ]]
}

@test "a process without ethdev ports never starts EAL" {
    make_pair
    packet role=sink seconds=5
    [ "$(find "/proc/$LAST_PID/task" -mindepth 1 -maxdepth 1 | wc -l)" -eq 1 ]
}
