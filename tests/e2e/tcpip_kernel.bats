#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# The stack `tcpip` and the kernel's TCP, each as client and as server: what the handshake agrees on is
# seen in a capture at the kernel's end, then bytes go both ways, with the kernel's cubic and reno.

load lib

setup_file() {
    [ "$STACK" = tcpip ] || skip "this is about the stack tcpip"
    lab_setup tcpk 61
    pod up a dmm.fd.io/stack=tcpip
    pod up b dmm.fd.io/stack=tcpip
    pod exec --plain b sysctl -qw net.ipv4.tcp_ecn=1
}
teardown_file() { [ -z "${LAB_PREFIX:-}" ] || lab_teardown; }

setup() { PIDS=(); }
teardown() {
    local pid
    for pid in "${PIDS[@]}"; do
        end_bg "$pid"
    done
}

serve() { # [--plain] NAME: iperf3 listens there
    pod_bg "$@" iperf3 -s --forceflush
    PIDS+=("$LAST_PID")
    within 10 grep -q "listening" "$LAB_TMP/${!#}.out"
}

kernel_address() { # NAME: of eth0
    pod ip --all "$1" | awk '$1 == "eth0" { print $3 }'
}

# The handshakes of the kernel's end go to $LAB_TMP/syn, a line each.
capture() {
    nsenter --net="/run/netns/dmm-$LAB_PREFIX-b" tcpdump -l -n -i eth0 \
        'tcp[tcpflags] & tcp-syn != 0' >"$LAB_TMP/syn" 2>"$LAB_TMP/tcpdump.err" 3>&- &
    PIDS+=("$!")
    within 10 grep -q "listening on" "$LAB_TMP/tcpdump.err"
}

# Both the SYN and the SYN-ACK carry MSS, SACK, timestamps and a window scale.
agreed() {
    local flags line
    cat "$LAB_TMP/syn"
    for flags in 'S[EW]*' 'S\.[E]*'; do
        line=$(grep -m 1 "Flags \[$flags\]" "$LAB_TMP/syn") || return 1
        [[ $line = *mss* && $line = *sackOK* && $line = *"TS val"* && $line = *wscale* ]] || return 1
    done
}

@test "the kernel connects: SACK, timestamps, window scale and ECN are agreed on" {
    serve a
    capture
    timeout 20 "$TOP/examples/pod" exec --plain tcpk-b iperf3 -c "$(pod ip a)" -n 1M
    within 5 agreed
    grep -q "Flags \[SEW\]" "$LAB_TMP/syn"
    grep -q "Flags \[S\.E\]" "$LAB_TMP/syn"
}

@test "the stack connects: SACK, timestamps and window scale are agreed on" {
    serve --plain b
    capture
    timeout 20 "$TOP/examples/pod" exec tcpk-a iperf3 -c "$(kernel_address b)" -n 1M
    within 5 agreed
}

@test "bulk both ways, the kernel with cubic and with reno" {
    local cc
    serve a
    for cc in cubic reno; do
        timeout 20 "$TOP/examples/pod" exec --plain tcpk-b iperf3 -c "$(pod ip a)" -n 200M -C $cc
        timeout 20 "$TOP/examples/pod" exec --plain tcpk-b iperf3 -c "$(pod ip a)" -n 200M -R
    done
}

@test "bulk both ways, the stack being the client" {
    serve --plain b
    timeout 20 "$TOP/examples/pod" exec tcpk-a iperf3 -c "$(kernel_address b)" -n 200M
    timeout 20 "$TOP/examples/pod" exec tcpk-a iperf3 -c "$(kernel_address b)" -n 200M -R
}

# Loss and reordering on the kernel's end; goes with the pod's namespace.
impair() { # NETEM-ARGS
    nsenter --net="/run/netns/dmm-$LAB_PREFIX-b" tc qdisc replace dev eth0 root netem "$@" ||
        skip "this kernel has no netem"
}

@test "bulk both ways over a wire that loses 1 % and reorders" {
    impair delay 1ms loss 1% reorder 75% 50%
    serve a
    timeout 40 "$TOP/examples/pod" exec --plain tcpk-b iperf3 -c "$(pod ip a)" -n 20M
    timeout 40 "$TOP/examples/pod" exec --plain tcpk-b iperf3 -c "$(pod ip a)" -n 20M -R
}
