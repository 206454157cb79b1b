#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# Runs on every stack.
# Unmodified programs on the stack, against peers on a stack and on the kernel.

load lib

setup_file() {
    lab_setup apps 3
    pod up server "dmm.fd.io/stack=$STACK"
    pod up client "dmm.fd.io/stack=$STACK"
    IP=$(pod ip server)
    export IP
}
teardown_file() { lab_teardown; }
teardown() { end_served; }


redis_up() {
    serve redis-server --bind 0.0.0.0 --port 6379 --save '' --appendonly no --protected-mode no --maxclients 4000
    within 5 timeout 3 "$TOP/examples/pod" exec apps-client redis-cli -h "$IP" ping
}

@test "redis: 50 connections, stack to stack" {
    redis_up
    run timeout 60 "$TOP/examples/pod" exec apps-client redis-benchmark -h "$IP" -c 50 -n 50000 -t get,set -q
    echo "$output"
    [ "$status" -eq 0 ]
    [[ "$output" = *"GET: "*"requests per second"* ]]
}

@test "redis: 1000 connections, stack to stack" {
    redis_up
    run timeout 100 "$TOP/examples/pod" exec apps-client redis-benchmark -h "$IP" -c 1000 -n 50000 -t get -q
    echo "$output"
    [ "$status" -eq 0 ]
    [[ "$output" = *"GET: "*"requests per second"* ]]
    within 5 has_sockets server '.state == "ESTAB"' 0
}

@test "redis: kernel client, stack server, with pipelining and large values" {
    redis_up
    run timeout 60 "$TOP/examples/pod" exec --plain apps-client redis-benchmark -h "$IP" -c 50 -P 16 -n 100000 -t get -q
    [ "$status" -eq 0 ]
    head -c 3000000 /dev/urandom | base64 -w 0 >"$LAB_TMP/value"
    pod exec --plain client redis-cli -h "$IP" -x set big <"$LAB_TMP/value"
    pod exec client redis-cli -h "$IP" get big | tr -d '\n' | cmp - "$LAB_TMP/value"
}

@test "iperf3 both ways, stack to stack" {
    serve iperf3 -s
    within 5 has_sockets server '.state == "LISTEN" and (.local | endswith(":5201"))' 1
    timeout 30 "$TOP/examples/pod" exec apps-client iperf3 -c "$IP" -t 2
    timeout 30 "$TOP/examples/pod" exec apps-client iperf3 -c "$IP" -t 2 -R
}

@test "iperf3 both ways, kernel to stack" {
    serve iperf3 -s
    within 5 has_sockets server '.state == "LISTEN" and (.local | endswith(":5201"))' 1
    timeout 30 "$TOP/examples/pod" exec --plain apps-client iperf3 -c "$IP" -t 2
    timeout 30 "$TOP/examples/pod" exec --plain apps-client iperf3 -c "$IP" -t 2 -R
}

@test "iperf3 UDP, stack to stack" {
    serve iperf3 -s
    within 5 has_sockets server '.state == "LISTEN" and (.local | endswith(":5201"))' 1
    run timeout 30 "$TOP/examples/pod" exec apps-client iperf3 -c "$IP" -u -b 50M -t 2
    echo "$output"
    [ "$status" -eq 0 ]
}

@test "python3 http.server" {
    needs_to_run curl --version
    mkdir -p "$LAB_TMP/py"
    head -c 300000 /dev/urandom >"$LAB_TMP/py/file"
    serve /usr/bin/python3 -m http.server 8000 -d "$LAB_TMP/py"
    within 10 pod exec client curl -sf --max-time 2 -o "$LAB_TMP/got" "http://$IP:8000/file"
    pod exec client curl -sf --max-time 5 -o "$LAB_TMP/got" "http://$IP:8000/file"
    cmp "$LAB_TMP/got" "$LAB_TMP/py/file"
    pod exec --plain client curl -sf --max-time 5 -o "$LAB_TMP/got" "http://$IP:8000/file"
    cmp "$LAB_TMP/got" "$LAB_TMP/py/file"
}

@test "UDP echo with socat, and a datagram of 8000 bytes" {
    serve socat UDP4-RECVFROM:7777,fork EXEC:cat
    within 5 has_sockets server '.protocol == "udp" and (.local | endswith(":7777"))' 1
    run bash -c "printf hello | timeout 5 '$TOP/examples/pod' exec apps-client socat -t 1 - UDP4:$IP:7777"
    [ "$output" = hello ]
    head -c 8000 /dev/urandom >"$LAB_TMP/dgram"
    timeout 5 "$TOP/examples/pod" exec apps-client socat -b 9000 -t 1 - "UDP4:$IP:7777" <"$LAB_TMP/dgram" >"$LAB_TMP/back"
    cmp "$LAB_TMP/dgram" "$LAB_TMP/back"
}

@test "a refused connection is refused, as the kernel says it" {
    needs_to_run curl --version
    run pod exec client curl -s --max-time 5 "http://$IP:9"
    [ "$status" -eq 7 ]
}
