#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# Servers in Python, node and Java on the stack: each way in which they wait for sockets.

load apps_lib

setup_file() { two_pods apl 72; }
teardown_file() { lab_teardown; }
teardown() { end_started; }

# Big answers, many connections, and a client on the kernel; each ends its half first.
echoes() {
    on_stacks /usr/bin/python3 "$APPS/echo.py" client "$IP" 9000 20 1000000
    on_stacks /usr/bin/python3 "$APPS/echo.py" client "$IP" 9000 200 20000
    kernel_client /usr/bin/python3 "$APPS/echo.py" client "$IP" 9000 10 500000
    within 5 has_sockets server '.state != "LISTEN"' 0
}

@test "Python asyncio" {
    serve /usr/bin/python3 "$APPS/echo.py" asyncio 9000
    listens 9000
    echoes
}

@test "Python socketserver with a thread per connection" {
    serve /usr/bin/python3 "$APPS/echo.py" thread 9000
    listens 9000
    echoes
}

@test "Python socketserver with a process per connection" {
    serve /usr/bin/python3 "$APPS/echo.py" fork 9000
    listens 9000
    echoes
}

@test "Python http.server" {
    make_file "$LAB_TMP/www/file" 5M
    serve /usr/bin/python3 -m http.server 9000 -d "$LAB_TMP/www"
    listens 9000
    on_stacks curl -sf "http://$IP:9000/file" | cmp - "$LAB_TMP/www/file"
    kernel_client curl -sf "http://$IP:9000/file" | cmp - "$LAB_TMP/www/file"
}

@test "node: net" {
    needs_to_run node --version
    serve node "$APPS/echo.js" echo 9000
    listens 9000
    echoes
}

@test "node: http" {
    needs_to_run node --version
    make_file "$LAB_TMP/body" 5M
    serve node "$APPS/echo.js" http 9000
    listens 9000
    on_stacks curl -sf --data-binary "@$LAB_TMP/body" "http://$IP:9000/" | cmp - "$LAB_TMP/body"
    run on_stacks wrk -t 2 -c 50 -d 1 "http://$IP:9000/"
    echo "$output"
    [[ "$output" != *"Socket errors"* ]]
    run on_stacks ab -q -n 500 -c 10 "http://$IP:9000/"
    echo "$output"
    [[ "$output" =~ Failed\ requests:\ *0 ]]
    within 10 has_sockets server '.state != "LISTEN"' 0
}

all_four_answer() {
    client curl -sf "http://$IP:9000/" | cat >>"$LAB_TMP/pids" # the stand-in would empty a file
    [ "$(sort -u "$LAB_TMP/pids" | wc -l)" -eq 4 ]
}

@test "node: cluster, whose primary hands connections to its four workers" {
    needs_to_run node --version
    make_file "$LAB_TMP/body" 5M
    serve node "$APPS/echo.js" cluster 9000
    listens 9000
    on_stacks curl -sf --data-binary "@$LAB_TMP/body" "http://$IP:9000/" | cmp - "$LAB_TMP/body"
    within 20 all_four_answer
    run on_stacks wrk -t 2 -c 50 -d 1 "http://$IP:9000/"
    echo "$output"
    [[ "$output" != *"Socket errors"* ]]
    within 10 has_sockets server '.state != "LISTEN"' 0
}

@test "Java: NIO" {
    needs_to_run java -version
    serve java -XX:TieredStopAtLevel=1 "$APPS/Echo.java" 9000
    listens 9000
    echoes
}

@test "nothing is left in the sidecars, and they had nothing to say" {
    nothing_left server client
}
