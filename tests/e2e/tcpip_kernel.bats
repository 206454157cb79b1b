#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# The stack `tcpip` and the kernel's TCP, each as client and as server, over IPv4 and IPv6: what the handshake
# agrees on is seen in a capture at the kernel's end, then bytes go both ways, with the kernel's cubic, reno
# and bbr. Over a bad wire: tcpip_lossy.bats.

load tcpip_lib

setup_file() {
    tcpip_lab tcpk 61
    pod up a dmm.fd.io/stack=tcpip --options '{"ecn": "on"}'
    pod up b
    pod exec --plain b sysctl -qw net.ipv4.tcp_ecn=1
}

serve() { # [--plain] NAME: iperf3 listens there
    pod_bg "$@" iperf3 -s --forceflush
    PIDS+=("$LAST_PID")
    within 10 grep -q "listening" "$LAB_TMP/${!#}.out"
}

# The handshakes of the kernel's end go to $LAB_TMP/syn, a line each.
capture() {
    nsenter --net="/run/netns/dmm-$LAB_PREFIX-b" tcpdump -l -n -i eth0 \
        '(tcp[tcpflags] & tcp-syn != 0) or (ip6[6] = 6 and ip6[53] & 2 != 0)' \
        >"$LAB_TMP/syn" 2>"$LAB_TMP/tcpdump.err" 3>&- &
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

# ECN is asked for by the SYN and granted by the SYN-ACK (RFC 3168, 6.1.1).
ecn_agreed() { grep -q "Flags \[SEW\]" "$LAB_TMP/syn" && grep -q "Flags \[S\.E\]" "$LAB_TMP/syn"; }

to_stack() { # [-6] ARGS...: iperf3 of the kernel's end
    local six=""
    [ "$1" = -6 ] && { six=-6; shift; }
    # shellcheck disable=SC2086
    timeout 20 "$TOP/examples/pod" exec --plain tcpk-b iperf3 -c "$(pod ip $six a)" "$@"
}
to_kernel() { # the same, of the stack's
    local six=""
    [ "$1" = -6 ] && { six=-6; shift; }
    # shellcheck disable=SC2086
    timeout 20 "$TOP/examples/pod" exec tcpk-a iperf3 -c "$(pod ip $six b)" "$@"
}

@test "the kernel connects, over IPv4: SACK, timestamps, window scale and ECN are agreed on" {
    serve a
    capture
    to_stack -n 1M
    within 5 agreed
    ecn_agreed
}

@test "the kernel connects, over IPv6: the same" {
    serve a
    capture
    to_stack -6 -n 1M
    within 5 agreed
    ecn_agreed
    grep -q 'IP6 fd00:61::' "$LAB_TMP/syn"
}

@test "the stack connects, over IPv4: SACK, timestamps, window scale and ECN are agreed on" {
    serve --plain b
    capture
    to_kernel -n 1M
    within 5 agreed
    ecn_agreed
}

@test "the stack connects, over IPv6: the same" {
    serve --plain b
    capture
    to_kernel -6 -n 1M
    within 5 agreed
    ecn_agreed
    grep -q 'IP6 fd00:61::' "$LAB_TMP/syn"
}

@test "bulk both ways, the kernel being the client, with each congestion control that it has" {
    local cc
    serve a
    for cc in $(</proc/sys/net/ipv4/tcp_available_congestion_control); do
        to_stack -n 200M -C "$cc"
        to_stack -6 -n 200M -C "$cc" -R
    done
}

@test "bulk both ways, the stack being the client, with each congestion control that it has" {
    local cc
    serve --plain b
    for cc in cubic reno dctcp; do
        to_kernel -n 200M -C $cc
        to_kernel -6 -n 200M -C $cc
    done
    to_kernel -n 200M -R
    to_kernel -6 -n 200M -R
}

@test "nginx and curl over IPv6, each on the stack and on the kernel" {
    needs_to_run curl --version
    local name
    head -c 1000000 /dev/urandom >"$LAB_TMP/1m"
    for name in a b; do
        nginx_conf $name "server { listen [::]:8080; location / { root $LAB_TMP; } }"
    done
    pod exec a nginx -c "$LAB_TMP/a.conf"
    pod exec --plain b nginx -c "$LAB_TMP/b.conf"
    within 5 pod exec --plain b curl -gsf -o "$LAB_TMP/got" "http://[$(pod ip -6 a)]:8080/1m"
    cmp "$LAB_TMP/got" "$LAB_TMP/1m"
    within 5 pod exec a curl -gsf -o "$LAB_TMP/got2" "http://[$(pod ip -6 b)]:8080/1m"
    cmp "$LAB_TMP/got2" "$LAB_TMP/1m"
    # A listener of both families takes IPv4 too, as a mapped address.
    nginx_conf both "server { listen [::]:8081 ipv6only=off; return 200 \"\$remote_addr\"; }"
    pod exec a nginx -c "$LAB_TMP/both.conf"
    within 5 pod exec --plain b curl -gsf "http://[$(pod ip -6 a)]:8081/"
    [ "$(pod exec --plain b curl -s "http://$(pod ip a):8081/")" = "::ffff:$(pod ip b)" ]
}
