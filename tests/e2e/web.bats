#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# Runs on every stack.
# nginx with two workers on the stack, asked by curl and wrk from a stack and from the kernel.

load lib

setup_file() {
    lab_setup web 2
    pod up server "dmm.fd.io/stack=$STACK"
    pod up client "dmm.fd.io/stack=$STACK"
    mkdir -p "$LAB_TMP/www"
    head -c 64 /dev/urandom | base64 -w 0 | head -c 64 >"$LAB_TMP/www/64"
    head -c 1000000 /dev/urandom >"$LAB_TMP/www/1m"
    nginx_conf server "server { listen 80; location / { root $LAB_TMP/www; } }"
    pod exec server nginx -c "$LAB_TMP/server.conf"
    IP=$(pod ip server)
    export IP
    within 5 pod exec --plain client curl -sf --max-time 2 "http://$IP/64"
}
teardown_file() { lab_teardown; }

@test "curl on the stack fetches from nginx on the stack" {
    needs_to_run curl --version
    run pod exec client curl -s --max-time 5 "http://$IP/64"
    [ "$status" -eq 0 ]
    [ "$output" = "$(cat "$LAB_TMP/www/64")" ]
}

@test "both workers accept, on the stack" {
    needs_to_run curl --version
    has_sockets server '.state == "LISTEN" and (.local | endswith(":80"))' 1
    local i
    for i in 1 2 3 4 5 6 7 8; do
        pod exec client curl -s --max-time 5 -o "$LAB_TMP/got" "http://$IP/1m"
        cmp "$LAB_TMP/got" "$LAB_TMP/www/1m"
    done
}

@test "a kernel client reaches the same server" {
    run pod exec --plain client curl -s --max-time 5 "http://$IP/64"
    [ "$status" -eq 0 ]
    [ "$output" = "$(cat "$LAB_TMP/www/64")" ]
}

@test "the server's kernel address answers too: a wildcard listen is on every stack" {
    local eth0
    eth0=$(pod ip --all server | awk '$2 == "kernel" {print $3}')
    run pod exec --plain client curl -s --max-time 5 "http://$eth0/64"
    [ "$output" = "$(cat "$LAB_TMP/www/64")" ]
}

@test "wrk keep-alive: no errors" {
    run timeout 30 "$TOP/examples/pod" exec web-client wrk -t 2 -c 50 -d 3 "http://$IP/64"
    echo "$output"
    [ "$status" -eq 0 ]
    [[ "$output" != *"Socket errors"* ]]
    [[ "$output" != *"Non-2xx"* ]]
}

@test "wrk with Connection: close: no errors" {
    run timeout 30 "$TOP/examples/pod" exec web-client wrk -t 2 -c 20 -d 3 -H 'Connection: close' "http://$IP/64"
    echo "$output"
    [ "$status" -eq 0 ]
    [[ "$output" != *"Socket errors"* ]]
}

@test "wrk from the kernel against the stack: no errors" {
    run timeout 30 "$TOP/examples/pod" exec --plain web-client wrk -t 2 -c 50 -d 3 "http://$IP/64"
    echo "$output"
    [[ "$output" != *"Socket errors"* ]]
}

@test "nginx reload keeps serving" {
    needs_to_run curl --version
    pod exec server nginx -c "$LAB_TMP/server.conf" -s reload
    within 5 pod exec client curl -sf --max-time 2 "http://$IP/64"
    sleep 1
    pod exec client curl -sf --max-time 5 "http://$IP/64"
}

@test "connections are gone from the sidecar once clients are" {
    within 5 has_sockets client true 0
    within 5 has_sockets server '.state == "ESTAB"' 0
}

@test "1 GB by sendfile arrives with the same checksum" {
    needs_to_run curl --version
    head -c 1G /dev/zero | openssl enc -aes-128-ctr -K 00112233445566778899aabbccddeeff \
        -iv 0 -nosalt 2>/dev/null >"$LAB_TMP/www/1g"
    local want got
    want=$(sha256sum <"$LAB_TMP/www/1g")
    got=$(timeout 120 "$TOP/examples/pod" exec web-client curl -s "http://$IP/1g" | sha256sum)
    rm "$LAB_TMP/www/1g"
    [ "$got" = "$want" ]
}
