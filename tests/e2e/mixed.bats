#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# Runs on every stack.
# Several stacks in one process, mappings by rule, and mappings that change while programs run.

load lib

setup_file() { lab_setup mixed 5; }
teardown() {
    local n
    for n in front back client; do pod down $n 2>/dev/null || true; done
}
teardown_file() { lab_teardown; }

@test "nginx as a reverse proxy: the stack in front, the kernel behind, in one process" {
    needs_to_run curl --version
    cat >"$LAB_TMP/map.json" <<M
{"version": 1, "default": "kernel", "rules": [
  {"stack": "$STACK", "direction": "listen", "port": 80}]}
M
    pod up front --stack "$STACK" --mapping "$LAB_TMP/map.json"
    pod up back
    pod up client "dmm.fd.io/stack=$STACK"
    nginx_conf back "server { listen 8080; return 200 'from behind'; }"
    pod exec --plain back nginx -c "$LAB_TMP/back.conf"
    nginx_conf front "server { listen 80; location / { proxy_pass http://$(pod ip back):8080; } }"
    pod exec front nginx -c "$LAB_TMP/front.conf"
    local ip
    ip=$(pod ip --all front | awk -v s="$STACK" '$2 == s {print $3}')
    within 5 pod exec client curl -sf --max-time 2 "http://$ip/"
    run pod exec client curl -s --max-time 5 "http://$ip/"
    [ "$output" = "from behind" ]
    # The listen rule names the stack alone: the kernel's address refuses.
    local eth0
    eth0=$(pod ip --all front | awk '$2 == "kernel" {print $3}')
    run pod exec --plain client curl -s --max-time 3 "http://$eth0/"
    [ "$status" -eq 7 ]
}

@test "a changed mapping takes new sockets over at once" {
    pod up back
    pod up client --stack "$STACK" 'dmm.fd.io/mapping={"version":1,"default":"kernel","rules":[]}'
    pod_bg --plain back /usr/bin/python3 -m http.server 8000
    local ip dir=$DMM_EXAMPLES_DIR/pods/example-mixed-client
    ip=$(pod ip back)
    within 5 pod exec --plain client curl -sf -o /dev/null "http://$ip:8000/"
    # One process, two connections, the mapping changed between them.
    pod_bg client /usr/bin/python3 -u -c "
import socket, sys, time
def own():
    s = socket.create_connection(('$ip', 8000), 5); a = s.getsockname()[0]; s.close(); return a
print('first', own())
for i in range(200):
    time.sleep(0.05)
    a = own()
    if a == '$(jq -r '.addresses[0] | (.address? // .) | split("/")[0]' "$dir/ports/net1.json")': print('moved'); break
"
    local bg=$LAST_PID
    within 5 grep -q first "$LAB_TMP/client.out"
    jq --arg s "$STACK" '.default = $s' "$dir/mapping.json" >"$dir/mapping.json.new"
    mv "$dir/mapping.json.new" "$dir/mapping.json"
    wait "$bg"
    grep -q moved "$LAB_TMP/client.out"
    # A broken one is refused and the old one stays.
    echo '{"version": 1, "default": "nosuch"}' >"$dir/mapping.json"
    within 3 bash -c "'$TOP/examples/pod' logs mixed-client | grep nosuch"
    [ "$(pod ctl client mapping --json | jq -r '.default // .mapping.default')" = "$STACK" ]
}

@test "a rule by process name" {
    needs_to_run /usr/bin/curl --version
    pod up back
    pod up client --stack "$STACK" "dmm.fd.io/mapping={\"version\":1,\"default\":\"kernel\",\"rules\":[{\"stack\":\"$STACK\",\"process\":\"curl\"}]}"
    pod_bg --plain back /usr/bin/python3 -u -m http.server 8000
    local ip stack_ip
    ip=$(pod ip back)
    stack_ip=$(pod ip --all client | awk -v s="$STACK" '$2 == s {print $3}')
    within 5 pod exec --plain client curl -s -o /dev/null "http://$ip:8000/by-default"
    pod exec client curl -s -o /dev/null "http://$ip:8000/by-curl"
    pod exec client /usr/bin/python3 -c "
import socket; s = socket.create_connection(('$ip', 8000)); s.send(b'GET /by-python HTTP/1.0\r\n\r\n'); s.recv(10)"
    within 2 grep -q by-python "$LAB_TMP/back.out"
    grep by-curl "$LAB_TMP/back.out" | grep -F "$stack_ip "
    run grep by-python "$LAB_TMP/back.out"
    [[ "$output" != *"$stack_ip "* ]]
}

# The pod's address that belongs to a stack (or `kernel`).
address_of() { # POD STACK
    pod ip --all "$1" | awk -v s="$2" '$2 == s {print $3}'
}

# Prints by which address of its own each protocol reached the pod `back`; one process.
both_protocols() { # POD
    local ip
    ip=$(pod ip back)
    pod exec "$1" /usr/bin/python3 -c "
import socket
u = socket.socket(socket.AF_INET, socket.SOCK_DGRAM); u.settimeout(20); u.sendto(b'x', ('$ip', 7777))
t = socket.create_connection(('$ip', 8000), 20); t.send(b'GET / HTTP/1.0\r\n\r\n')
print('udp', u.recv(100).decode().strip())
print('tcp', t.getsockname()[0], t.recv(100)[:8].decode())"
}

back_up() {
    pod up back
    # shellcheck disable=SC2016 # socat's shell expands it
    pod_bg --plain back socat UDP4-RECVFROM:7777,fork 'SYSTEM:head -c 1 >/dev/null; echo $SOCAT_PEERADDR'
    pod_bg --plain back /usr/bin/python3 -m http.server 8000
    within 10 eval "pod exec --plain back ss -Hlun 'sport = :7777' | grep -q 7777"
    within 10 eval "pod exec --plain back ss -Hltn 'sport = :8000' | grep -q 8000"
}

@test "UDP on the stack and TCP on the kernel, by rule, in one process" {
    back_up
    pod up client --stack "$STACK" "dmm.fd.io/mapping={\"version\":1,\"default\":\"kernel\",\"rules\":[{\"stack\":\"$STACK\",\"protocol\":\"udp\"}]}"
    run both_protocols client
    echo "$output"
    [ "${lines[0]}" = "udp $(address_of client "$STACK")" ]
    [ "${lines[1]}" = "tcp $(address_of client kernel) HTTP/1.0" ]
}

@test "UDP on one stack and TCP on another, by rule, in one process" {
    local other=lwip
    [ "$STACK" != lwip ] || other=tcpip
    back_up
    pod up client --stack "$STACK" --stack $other "dmm.fd.io/mapping={\"version\":1,\"default\":\"kernel\",\"rules\":[{\"stack\":\"$other\",\"protocol\":\"udp\"},{\"stack\":\"$STACK\",\"protocol\":\"tcp\"}]}"
    run both_protocols client
    echo "$output"
    [ "${lines[0]}" = "udp $(address_of client $other)" ]
    [ "${lines[1]}" = "tcp $(address_of client "$STACK") HTTP/1.0" ]
}

@test "a wildcard listener on two stacks and the kernel accepts from each in turn" {
    local other=lwip
    [ "$STACK" != lwip ] || other=tcpip
    pod up client
    pod up front --stack "$STACK" --stack $other "dmm.fd.io/mapping={\"version\":1,\"default\":\"kernel\",\"rules\":[{\"stack\":[\"$STACK\",\"$other\",\"kernel\"],\"direction\":\"listen\",\"port\":8080}]}"
    # Slow on purpose: each of its three queues has always someone in it.
    pod_bg front /usr/bin/python3 -u -c "
import socket, time
listener = socket.socket(); listener.bind(('0.0.0.0', 8080)); listener.listen(16); print('listening')
took = []
while len(took) < 120:
    s, peer = listener.accept(); took.append(s.getsockname()[0]); time.sleep(0.01); s.sendall(b'x'); s.close()
for a in sorted(set(took)): print('took', a, took.count(a))"
    local server=$LAST_PID a
    within 20 grep -q listening "$LAB_TMP/front.out"
    pod_bg --plain client /usr/bin/python3 -u -c "
import socket, sys, threading
def ask(a):
    try:
        while socket.create_connection((a, 8080), 20).recv(1): pass
    except OSError: pass
for a in sys.argv[1:] * 6: threading.Thread(target=ask, args=(a,), daemon=True).start()
threading.Event().wait(60)" \
        "$(address_of front kernel)" "$(address_of front "$STACK")" "$(address_of front $other)"
    local clients=$LAST_PID
    wait "$server"
    end_bg "$clients"
    cat "$LAB_TMP/front.out"
    for a in kernel "$STACK" $other; do
        [ "$(awk -v a="$(address_of front "$a")" '$1 == "took" && $2 == a {print $3}' "$LAB_TMP/front.out")" -ge 25 ]
    done
}
