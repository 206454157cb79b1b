#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# Crashes under real programs: one that is killed leaves no socket; a sidecar that is killed and comes back has
# every long-lived server listening again.

load apps_lib

setup_file() {
    two_pods apc 75
    make_file "$LAB_TMP/www/big" 200M
    nginx_conf nginx "server { listen 80 reuseport; root $LAB_TMP/www; location / { limit_rate 1m; } location /ok { return 200 ok; } }"
}
teardown_file() { lab_teardown; }
teardown() { end_started; }

nginx_up() {
    serve nginx -c "$LAB_TMP/nginx.conf" -g 'daemon off;'
    listens 80 2
}

@test "a worker of nginx killed in the middle of its answers: its connections end at once, others go on" {
    nginx_up
    local i pids=() ended=0 worker
    for i in {1..16}; do
        client curl -s --max-time 60 -o /dev/null "http://$IP/big" &
        pids+=($!)
    done
    within 10 has_sockets server '.state == "ESTAB"' 16
    worker=$(pod ctl server sockets --json | jq '[.sockets[] | select(.state == "ESTAB") | .processes[].pid] | group_by(.)[0][0]')
    kill -9 "$worker"
    within 1 has_sockets server "any(.processes[]; .pid == $worker)" 0
    within 2 has_sockets client '.state != "ESTAB"' 0
    for i in "${pids[@]}"; do kill -0 "$i" 2>/dev/null || ended=$((ended + 1)); done
    [ "$ended" -gt 0 ]
    [ "$ended" -lt 16 ]
    # The master has started another.
    within 5 client curl -sf --max-time 2 "http://$IP/ok"
    kill "${pids[@]}" 2>/dev/null || true
    wait "${pids[@]}" || true
}

@test "clients killed in the middle: the server's connections end, nothing is left" {
    nginx_up
    local i
    for i in {1..16}; do
        pod_bg client curl -s -o /dev/null "http://$IP/big"
    done
    within 10 has_sockets server '.state == "ESTAB"' 16
    nsenter --net="/run/netns/dmm-$LAB_PREFIX-client" pkill -9 -x curl ||
        pkill -9 -f "http://$IP/big"
    within 1 has_sockets client true 0
    within 5 has_sockets server '.state == "ESTAB"' 0
}

# ---- a sidecar's restart ----

all_up() {
    local dir=$LAB_TMP/all port
    mkdir -p "$dir"
    nginx_up
    serve redis-server --bind 0.0.0.0 --port 6379 --save '' --dir "$dir" --protected-mode no
    serve memcached -u nobody -t 4
    printf '[www]\npath = %s\n' "$LAB_TMP/www" >"$dir/rsyncd.conf"
    serve rsync --daemon --no-detach --config "$dir/rsyncd.conf"
    serve iperf3 -s
    serve socat TCP-LISTEN:7000,fork,reuseaddr EXEC:cat
    printf 'defaults\n timeout connect 5s\n timeout client 5s\n timeout server 5s\nlisten l\n mode http\n bind :82\n server s %s:80\n' \
        "$IP" >"$dir/haproxy.cfg"
    serve haproxy -f "$dir/haproxy.cfg" -db
    port=9001
    for mode in asyncio thread fork; do
        serve /usr/bin/python3 "$APPS/echo.py" "$mode" $port
        port=$((port + 1))
    done
    ssh-keygen -q -t ed25519 -N '' -f "$dir/host"
    mkdir -p /run/sshd
    serve /usr/sbin/sshd -D -e -f /dev/null -h "$dir/host" -o "PidFile=$dir/sshd.pid"
    if [ -z "${DMM_PRELOAD_FIRST:-}" ]; then
        serve node "$APPS/echo.js" echo 9004
        serve node "$APPS/echo.js" cluster 9005
        serve java -XX:TieredStopAtLevel=1 "$APPS/Echo.java" 9006
    fi
}

echoes() { # PORT
    client /usr/bin/python3 "$APPS/echo.py" client "$IP" "$1" 3 100000
}

all_serve() {
    local port
    within 40 client curl -sf --max-time 2 "http://$IP/ok"
    within 20 client curl -sf --max-time 2 "http://$IP:82/ok"
    within 20 eval "client redis-cli -h $IP ping | grep PONG"
    within 20 client /usr/bin/python3 "$APPS/memcached.py" "$IP" 11211 2 2
    within 20 client rsync "rsync://$IP/www/"
    within 20 client iperf3 -c "$IP" -n 1M
    within 20 eval "[ \"\$(echo hello | client socat -t 2 - TCP:$IP:7000)\" = hello ]"
    within 20 eval "client ssh-keyscan -t ed25519 $IP | grep -q ssh-ed25519"
    for port in 9001 9002 9003; do within 20 echoes "$port"; done
    [ -n "${DMM_PRELOAD_FIRST:-}" ] || {
        within 20 echoes 9004
        within 20 client curl -sf --max-time 2 "http://$IP:9005/"
        within 20 echoes 9006
    }
}

@test "the sidecar killed and started again, twice, under fourteen servers: each serves again" {
    all_up
    all_serve
    local i before
    before=$(sockets server '.state == "LISTEN"')
    for i in 1 2; do
        kill_sidecar server
        pod sidecar server start
        all_serve
    done
    within 20 has_sockets server '.state == "LISTEN"' "$before" || { pod ctl server sockets; false; }
    end_started
    nothing_left server client
}
