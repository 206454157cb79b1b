#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# The stack `tcpip` against the kernel's TCP over a wire that loses, doubles, reorders and marks, in both
# roles, over IPv4 and IPv6: all bytes arrive, both ways, compared by checksum.

load tcpip_lib

SIZE=3000000

setup_file() {
    tcpip_lab tcpl 62
    pod up a dmm.fd.io/stack=tcpip
    pod up b
    pod exec --plain b sysctl -qw net.ipv4.tcp_ecn=1
    unplug a
    segments apart
}
teardown_file() {
    [ -n "${LAB_PREFIX:-}" ] || return 0
    lab_teardown
    replug
}

in_pod() { nsenter --net="/run/netns/dmm-$LAB_PREFIX-$1" "${@:2}"; }

# Apart, each segment is a frame of its own, so that each may be lost.
segments() { # apart|merged: on the wire
    local tso=on
    [ "$1" = merged ] || tso=off
    in_pod a ethtool -K net1 tso $tso
    in_pod b ethtool -K eth0 tso $tso
}

# The wire is there while the test runs.
wire() { # KEY=VALUE...
    "$DMM_BUILD/tests/relay" a="$NEAR" b="$FAR" "$@" >"$LAB_TMP/relay" 2>&1 3>&- &
    RELAY=$!
    PIDS+=("$RELAY")
    within 5 grep -q ready "$LAB_TMP/relay"
}
sums() { # ends the wire and shows what it did
    kill "$RELAY"
    wait "$RELAY"
    tail -n 1 "$LAB_TMP/relay"
}
did() { # KEY: so many, by the relay's last line
    sed -n "s/^passed=.*$1=\([0-9]*\).*/\1/p; s/^\($1\)=\([0-9]*\).*/\2/p" "$LAB_TMP/relay" | tail -n 1
}

# One transfer: the server's pod is named, the other one connects.
transfer() { # SERVER 4|6 KERNEL-CC STACK-CC
    local server=$1 client=b cc_server=$4 cc_client=$3 six="" to status=0
    [ "$2" = 6 ] && six=-6
    # shellcheck disable=SC2086
    to=$(pod ip $six "$server")
    if [ "$server" = b ]; then
        client=a cc_server=$3 cc_client=$4
        pod_bg --plain b "$TOP/tests/e2e/bulk.py" serve "$to" 9000 $SIZE "$cc_server"
    else
        pod_bg a "$TOP/tests/e2e/bulk.py" serve "$to" 9000 $SIZE "$cc_server"
    fi
    local server_pid=$LAST_PID
    PIDS+=("$server_pid")
    within 10 grep -q listening "$LAB_TMP/$server.out"
    if [ "$client" = b ]; then
        timeout 60 "$TOP/examples/pod" exec --plain tcpl-b "$TOP/tests/e2e/bulk.py" connect "$to" 9000 $SIZE "$cc_client"
    else
        timeout 60 "$TOP/examples/pod" exec tcpl-a "$TOP/tests/e2e/bulk.py" connect "$to" 9000 $SIZE "$cc_client"
    fi
    wait "$server_pid" || status=$?
    cat "$LAB_TMP/$server.out"
    [ "$status" -eq 0 ]
}

# What the kernel has; a name that it lacks would only fail.
kernel_has() { grep -qw "$1" /proc/sys/net/ipv4/tcp_available_congestion_control; }

@test "1 % lost, the kernel connects, over IPv4: cubic, reno and bbr against cubic, reno, dctcp" {
    wire seed=11 loss=10 delay_us=300
    transfer a 4 cubic cubic
    transfer a 4 reno reno
    kernel_has bbr && transfer a 4 bbr dctcp
    sums
    [ "$(did dropped)" -gt 50 ]
}

@test "1 % lost, the stack connects, over IPv6" {
    wire seed=12 loss=10 delay_us=300
    transfer b 6 cubic cubic
    transfer b 6 reno reno
    kernel_has bbr && transfer b 6 bbr cubic
    sums
    [ "$(did dropped)" -gt 50 ]
}

@test "reordered and doubled, the stack connects, over IPv4" {
    wire seed=13 reorder=50 reorder_us=1500 dup=10 delay_us=300
    transfer b 4 cubic cubic
    transfer b 4 reno cubic
    sums
    [ "$(did late)" -gt 200 ]
    [ "$(did doubled)" -gt 50 ]
}

@test "all at once, the kernel connects, over IPv6" {
    wire seed=14 loss=10 reorder=20 reorder_us=1500 dup=10 delay_us=300
    transfer a 6 cubic cubic
    transfer a 6 reno cubic
    sums
    [ "$(did dropped)" -gt 30 ]
}

@test "marked with CE: both sides see the marks and their echoes" {
    local name
    wire seed=15 mark=20 delay_us=300
    transfer a 4 cubic cubic
    transfer a 6 reno dctcp
    transfer b 4 cubic dctcp
    sums
    [ "$(did marked)" -gt 50 ]
    for name in tcp_ecn_ce_in tcp_ecn_echo_in; do
        echo "$name $(counter a $name)"
        [ "$(counter a $name)" -gt 0 ]
    done
}

# The kernel's view of the window that the stack offers.
window_is_above() { # BYTES
    local window
    window=$(in_pod b ss -tin 'dport = 5201' | grep -o 'snd_wnd:[0-9]*' | cut -d : -f 2 | sort -n | tail -n 1)
    [ "${window:-0}" -gt "$1" ]
}

@test "a long path: the receive buffer grows with what comes in a round trip of 40 ms" {
    segments merged
    wire seed=17 delay_us=20000
    in_pod b sysctl -qw net.ipv4.tcp_wmem="4096 1048576 33554432"
    pod_bg a iperf3 -s --forceflush
    PIDS+=("$LAST_PID")
    within 10 grep -q listening "$LAB_TMP/a.out"
    pod_bg --plain b iperf3 -c "$(pod ip a)" -t 8 -C cubic
    PIDS+=("$LAST_PID")
    within 8 window_is_above 6000000
    segments apart
}

@test "merged frames of 64 KB are lost and marked whole, both ways" {
    local echoed seen
    echoed=$(counter a tcp_ecn_echo_in) seen=$(counter a tcp_ecn_ce_in)
    segments merged
    wire seed=16 loss=10 mark=100 delay_us=300
    transfer a 4 cubic cubic
    transfer b 6 cubic cubic
    segments apart
    sums
    [ "$(did segments)" -gt 20 ]
    [ "$(did dropped)" -gt 0 ]
    [ "$(counter a tcp_ecn_echo_in)" -gt "$echoed" ]
    [ "$(counter a tcp_ecn_ce_in)" -gt "$seen" ]
}
