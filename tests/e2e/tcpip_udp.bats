#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# shellcheck disable=SC2030,SC2031 # PIDS is meant to be each test's own
# UDP between the stack `tcpip` and the kernel by real programs: groups, broadcast, which address a datagram came
# to, errors that routers and hosts send back, over IPv4 and IPv6.

load tcpip_lib

setup_file() {
    tcpip_lab tcpu 64
    pod up a dmm.fd.io/stack=tcpip
    pod up b
    # Without a querier a bridge that snoops would have to guess.
    ip link set "$DMM_EXAMPLES_BRIDGE" type bridge mcast_snooping 0
    pod exec --plain b ip route add 224.0.0.0/4 dev eth0
}

udp() { # a|b VERB...: on the stack in a, on the kernel in b
    local plain=""
    [ "$1" = b ] && plain=--plain
    # shellcheck disable=SC2086
    pod exec $plain "$1" "$TOP/tests/e2e/udp.py" "${@:2}"
}
udp_bg() { # a|b VERB...: in the background, until its first line is there
    local -a plain=()
    [ "$1" = b ] && plain=(--plain)
    pod_bg "${plain[@]}" "$1" "$TOP/tests/e2e/udp.py" "${@:2}"
    PIDS+=("$LAST_PID")
    within 5 grep -q . "$LAB_TMP/$1.out"
}
said() { # a|b TEXT
    within 5 grep -qx -- "$2" "$LAB_TMP/$1.out" || { cat "$LAB_TMP/$1.out"; false; }
}
other() { [ "$1" = a ] && echo b || echo a; }
ifindex() { # a|b: of the interface that leads to the other
    if [ "$1" = b ]; then pod exec --plain b ip -j link show eth0 | jq '.[0].ifindex'; else echo 0; fi
}

@test "groups: join, receive, leave, in both directions, over IPv4" {
    local name from
    for name in a b; do
        from=$(other $name)
        udp_bg $name join 239.64.1.1 5001 "$(pod ip $name)"
        udp "$from" send 239.64.1.1 5001 first "$(pod ip "$from")"
        said $name "got first"
        said $name left
        udp "$from" send 239.64.1.1 5001 second "$(pod ip "$from")"
        said $name quiet
    done
}

@test "groups over IPv6" {
    local name from
    for name in a b; do
        from=$(other $name)
        udp_bg $name join ff05::64 5002 "$(ifindex $name)"
        udp "$from" send ff05::64 5002 first "$(ifindex "$from")"
        said $name "got first"
        said $name left
        udp "$from" send ff05::64 5002 second "$(ifindex "$from")"
        said $name quiet
    done
}

@test "a member leaves by IGMP and MLD messages that the kernel's end sees" {
    nsenter --net="/run/netns/dmm-$LAB_PREFIX-b" tcpdump -l -n -v -i eth0 'igmp or (ip6 and ip6[6] = 0)' \
        >"$LAB_TMP/reports" 2>"$LAB_TMP/tcpdump.err" 3>&- &
    PIDS+=("$!")
    within 10 grep -q "listening on" "$LAB_TMP/tcpdump.err"
    udp_bg a join 239.64.1.3 5003 "$(pod ip a)"
    udp b send 239.64.1.3 5003 x "$(pod ip b)"
    said a left
    within 5 grep -qE "gaddr 239.64.1.3 (to_ex|allow)" "$LAB_TMP/reports"
    within 5 grep -qE "gaddr 239.64.1.3 (to_in|block)" "$LAB_TMP/reports"
    end_bg "$LAST_PID"
    udp_bg a join ff05::65 5003 0
    within 5 grep -qE "gaddr ff05::65 (to_ex|allow)" "$LAB_TMP/reports"
}

@test "broadcast, in both directions: to the subnet and to all" {
    local subnet=10.99.64.255 to name
    pod exec --plain b ip route add 255.255.255.255 dev eth0
    for to in $subnet 255.255.255.255; do
        udp_bg b receive 0.0.0.0 5004
        [ "$(udp a broadcast "$to" 5004 hello)" = EACCES ]
        said b "got hello from $(pod ip a)"
        udp_bg a receive 0.0.0.0 5004
        [ "$(udp b broadcast "$to" 5004 hello)" = EACCES ]
        said a "got hello from $(pod ip b)"
    done
}

@test "pktinfo: an answer comes from the address that was asked, of both families" {
    udp_bg a pktinfo 5005 2
    [ "$(udp b ask "$(pod ip a)" 5005)" = "answer from $(pod ip a)" ]
    [ "$(udp b ask "$(pod ip -6 a)" 5005)" = "answer from $(pod ip -6 a)" ]
    said a "to ::ffff:$(pod ip a) by True"
    said a "to $(pod ip -6 a) by True"
}

@test "a closed port is ECONNREFUSED, once for each datagram, and only where connected" {
    local name from six
    for name in a b; do
        from=$(other $name)
        for six in "" -6; do
            # shellcheck disable=SC2086
            run udp "$from" refused "$(pod ip $six $name)" 5006
            echo "$from to $name: $output"
            [ "${lines[0]}" = ECONNREFUSED ]
            [ "${lines[1]}" = ok ]
            [ "${lines[2]}" = ECONNREFUSED ]
            [ "${lines[3]}" = "unconnected: quiet" ]
        done
    done
}

@test "socat: an echo service on the stack and on the kernel, over IPv4 and IPv6" {
    local name from to flag
    for name in a b; do
        from=$(other $name)
        flag="" && [ $name = b ] && flag=--plain
        # shellcheck disable=SC2086
        pod_bg $flag $name socat UDP6-RECVFROM:5007,ipv6only=0,fork EXEC:cat
        PIDS+=("$LAST_PID")
        flag="" && [ "$from" = b ] && flag=--plain
        for to in "UDP4:$(pod ip $name)" "UDP6:[$(pod ip -6 $name)]"; do
            # shellcheck disable=SC2086
            echoed() { [ "$(echo hello | pod exec $flag "$from" socat -t 1 - "$to:5007")" = hello ]; }
            within 5 echoed
        done
    done
}

@test "UDP_SEGMENT and UDP_GRO: many datagrams in one call and in one frame, both ways" {
    local name from six
    for name in a b; do
        from=$(other $name)
        for six in "" -6; do
            # shellcheck disable=SC2086
            udp_bg $name segments_receive "$(pod ip $six $name)" 5009 0
            # shellcheck disable=SC2086
            udp "$from" segments_send "$(pod ip $six $name)" 5009
            said $name "whole in 25"
            # The kernel's packet sockets pass such frames since 6.2.
            # shellcheck disable=SC2086
            [ "$(printf '%s\n' 6.2 "$(uname -r)" | sort -V | head -n 1)" = 6.2 ] || continue
            # shellcheck disable=SC2086
            udp_bg $name segments_receive "$(pod ip $six $name)" 5010 1
            # shellcheck disable=SC2086
            udp "$from" segments_send "$(pod ip $six $name)" 5010
            said $name "whole in 1 1200"
        done
    done
}

@test "large datagrams are cut into fragments and put together, both ways" {
    local name from six
    for name in a b; do
        from=$(other $name)
        for six in "" -6; do
            # shellcheck disable=SC2086
            udp_bg $name fragments_receive "$(pod ip $six $name)" 5008
            # shellcheck disable=SC2086
            udp "$from" fragments_send "$(pod ip $six $name)" 5008
            said $name "whole"
        done
    done
    [ "$(counter a frag_done)" -ge 2 ]
    [ "$(counter a frag_out)" -ge 2 ]
}
