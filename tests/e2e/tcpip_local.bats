#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# shellcheck disable=SC2030,SC2031 # PIDS is meant to be each test's own
# Loopback inside the stack `tcpip`: a rule sends 127.0.0.0/8 and ::1 to it, so that client and server of one pod
# meet on the stack; the pod's own addresses always do. By default loopback stays with the kernel.

load tcpip_lib

setup_file() {
    tcpip_lab tcpo 65
    cat >"$LAB_TMP/map.json" <<M
{"version": 1, "default": "tcpip", "rules": [
  {"stack": "tcpip", "remote": "127.0.0.0/8"}, {"stack": "tcpip", "local": "127.0.0.0/8"},
  {"stack": "tcpip", "remote": "::1/128"}, {"stack": "tcpip", "local": "::1/128"}]}
M
    pod up a --stack tcpip --mapping "$LAB_TMP/map.json"
    pod up b dmm.fd.io/stack=tcpip
}

# The kernel has none of it: neither listener nor connection.
kernel_sockets() { pod exec --plain "$1" ss -Htuan; }

@test "redis and its benchmark on 127.0.0.1: on the stack, nothing in the kernel" {
    pod_bg a redis-server --bind 127.0.0.1 --save "" --dir "$LAB_TMP"
    PIDS+=("$LAST_PID")
    within 10 pod exec a redis-cli -h 127.0.0.1 ping
    has_sockets a '.state == "LISTEN" and .local == "127.0.0.1:6379"' 1
    [ -z "$(kernel_sockets a)" ]
    timeout 60 "$TOP/examples/pod" exec tcpo-a redis-benchmark -h 127.0.0.1 -q -t set,get -n 20000 -c 20
    # Whoever is not under the shim is in another world.
    run pod exec --plain a redis-cli -h 127.0.0.1 ping
    [ "$status" -ne 0 ]
}

@test "nginx and curl on localhost, over IPv4 and IPv6, 20 MB with the right checksum" {
    needs_to_run curl --version
    local to
    head -c 20000000 /dev/urandom >"$LAB_TMP/20m"
    nginx_conf local "server { listen 127.0.0.1:8080; listen [::1]:8080; location / { root $LAB_TMP; } }"
    pod exec a nginx -c "$LAB_TMP/local.conf"
    for to in 127.0.0.1 '[::1]' localhost; do
        within 5 pod exec a curl -gsf --max-time 5 -o "$LAB_TMP/got" "http://$to:8080/20m"
        cmp "$LAB_TMP/got" "$LAB_TMP/20m"
    done
    [ -z "$(kernel_sockets a)" ]
}

@test "bulk both ways at once between two programs, on 127.0.0.1, ::1 and the pod's own addresses" {
    local to
    for to in 127.0.0.1 ::1 "$(pod ip a)" "$(pod ip -6 a)"; do
        pod_bg a "$TOP/tests/e2e/bulk.py" serve "$to" 9000 5000000
        local server=$LAST_PID
        PIDS+=("$server")
        within 10 grep -q listening "$LAB_TMP/a.out"
        timeout 60 "$TOP/examples/pod" exec tcpo-a "$TOP/tests/e2e/bulk.py" connect "$to" 9000 5000000
        wait "$server"
    done
}

@test "UDP on localhost: an answer, and ECONNREFUSED from a closed port" {
    pod_bg a "$TOP/tests/e2e/udp.py" receive 127.0.0.1 5000
    PIDS+=("$LAST_PID")
    within 5 grep -q bound "$LAB_TMP/a.out"
    pod exec a "$TOP/tests/e2e/udp.py" send 127.0.0.1 5000 hello
    within 5 grep -qx "got hello from 127.0.0.1" "$LAB_TMP/a.out"
    run pod exec a "$TOP/tests/e2e/udp.py" refused ::1 5001
    [ "${lines[0]}" = ECONNREFUSED ]
    # TCP says so too.
    run pod exec a curl -s --max-time 5 http://127.0.0.1:5002/
    [ "$status" -eq 7 ]
}

@test "by default loopback is the kernel's" {
    pod_bg b redis-server --bind 127.0.0.1 --save "" --dir "$LAB_TMP"
    PIDS+=("$LAST_PID")
    within 10 pod exec --plain b redis-cli -h 127.0.0.1 ping
    has_sockets b true 0
}

@test "a program's own tests on localhost: Python's asyncio streams and socketserver" {
    pod exec a /usr/bin/python3 - <<'PY'
import asyncio, socketserver, threading, socket

class Echo(socketserver.StreamRequestHandler):
    def handle(self):
        for line in self.rfile:
            self.wfile.write(line)

for family, host in ((socket.AF_INET, "localhost"), (socket.AF_INET6, "::1")):
    server = type("S", (socketserver.ThreadingTCPServer,), {"address_family": family})((host, 0), Echo)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    for i in range(20):
        with socket.create_connection(server.server_address[:2]) as s:
            s.sendall(b"line %d\n" % i)
            assert s.makefile("rb").readline() == b"line %d\n" % i
    server.shutdown()
    server.server_close()

async def main():
    async def echo(reader, writer):
        while data := await reader.read(65536):
            writer.write(data)
            await writer.drain()
        writer.close()
    server = await asyncio.start_server(echo, "localhost", 0)
    port = server.sockets[0].getsockname()[1]
    async def ask(i):
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        data = bytes([i]) * 200000
        writer.write(data)
        writer.write_eof()
        assert await reader.read() == data
        writer.close()
    await asyncio.gather(*(ask(i) for i in range(50)))

asyncio.run(main())
PY
}
