#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# Runs on every stack.
# What a crash touches, and what it does not.

load lib

setup_file() { lab_setup crash 4; }
setup() {
    pod up server "dmm.fd.io/stack=$STACK"
    pod up client "dmm.fd.io/stack=$STACK"
    IP=$(pod ip server)
}
teardown() {
    pod down server
    pod down client
}
teardown_file() { lab_teardown; }

# A server and a client that tell what their sockets say.
py_server() {
    pod_bg server /usr/bin/python3 -u -c "
import socket
s = socket.socket(); s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
s.bind(('0.0.0.0', 5000)); s.listen(5); print('ready')
c, a = s.accept(); print('accepted')
try:
    while True:
        d = c.recv(100)
        if not d: print('eof'); break
        c.send(d)
except OSError as e: print('errno', e.errno)
"
    SERVER=$LAST_PID
    within 5 grep -q ready "$LAB_TMP/server.out"
}

py_client() {
    pod_bg client /usr/bin/python3 -u -c "
import socket
s = socket.create_connection(('$IP', 5000)); s.send(b'x'); s.recv(1); print('up')
try:
    d = s.recv(100); print('eof' if not d else d)
except OSError as e: print('errno', e.errno)
"
    CLIENT=$LAST_PID
    within 5 grep -q up "$LAB_TMP/client.out"
}

@test "app killed with -9: its sockets are gone in a second and the peer sees it" {
    py_server
    py_client
    has_sockets server '.state == "ESTAB"' 1
    pkill -9 -P "$SERVER" || kill -9 "$SERVER"
    within 1 has_sockets server '.state == "ESTAB" or .state == "LISTEN"' 0
    within 2 grep -Eq 'eof|errno 104' "$LAB_TMP/client.out"
}

@test "sidecar killed with -9: stack sockets end with ECONNRESET, nothing hangs" {
    py_server
    py_client
    kill_sidecar client
    within 2 grep -q 'errno 104' "$LAB_TMP/client.out"
    wait "$CLIENT"
    # The other pod's sidecar is untouched.
    pod ctl server stacks
}

@test "sidecar killed with -9: kernel sockets do not notice" {
    pod_bg client /usr/bin/python3 -u -c "
import socket, time
a = socket.socket(); a.bind(('127.0.0.1', 0)); a.listen(1)
b = socket.create_connection(a.getsockname()); c, _ = a.accept()
t = socket.socket()
try: t.connect(('$IP', 9))
except OSError as e: print('stack', e.errno)
for i in range(100):
    b.send(b'x'); assert c.recv(1) == b'x'; time.sleep(0.05)
print('kernel fine')
"
    within 5 grep -q stack "$LAB_TMP/client.out"
    kill_sidecar client
    wait "$LAST_PID"
    grep -q 'kernel fine' "$LAB_TMP/client.out"
}

@test "sidecar back: new connections work, a listening nginx recovers by itself" {
    needs_to_run curl --version
    nginx_conf crash "server { listen 80; return 200 ok; }"
    pod exec server nginx -c "$LAB_TMP/crash.conf"
    within 5 pod exec client curl -sf --max-time 2 "http://$IP/"
    kill_sidecar server
    pod sidecar server start
    within 10 pod exec client curl -sf --max-time 2 "http://$IP/"
    # The workers stand behind one listener again.
    has_sockets server '.state == "LISTEN" and (.local | endswith(":80"))' 1
}

@test "no sidecar, policy fail: a stack socket fails with a message, a loopback one works" {
    needs_to_run curl --version
    pod sidecar client stop
    run pod exec client curl -s --max-time 3 "http://$IP/"
    [ "$status" -ne 0 ]
    run pod exec client /usr/bin/python3 -c "
import socket
a = socket.socket(); a.bind(('127.0.0.1', 0)); a.listen(1)
socket.create_connection(a.getsockname()); print('loopback works')
try: socket.create_connection(('$IP', 80), 2)
except OSError as e: print('errno', e.errno)"
    echo "$output"
    [[ "$output" = *"loopback works"* ]]
    [[ "$output" = *"errno 100"* ]]
    [[ "$output" = *"stackd.sock"* ]]
}

@test "no sidecar, policy kernel: the same program runs on the kernel, with a message" {
    needs_to_run curl --version
    pod down client
    pod up client --on-failure kernel "dmm.fd.io/stack=$STACK"
    pod exec --plain server ip link set eth0 up
    pod sidecar client stop
    local eth0
    eth0=$(pod ip --all server | awk '$2 == "kernel" {print $3}')
    pod_bg --plain server /usr/bin/python3 -m http.server 8000
    within 5 pod exec --plain client curl -sf --max-time 2 "http://$eth0:8000/"
    run pod exec client curl -sf --max-time 3 "http://$eth0:8000/" -o /dev/null
    echo "$output"
    [ "$status" -eq 0 ]
    [[ "$output" = *"stackd.sock"* ]]
}
