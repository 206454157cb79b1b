#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# Web servers and proxies of Debian on the stack: nginx with 8 workers, Apache httpd, haproxy; asked by curl
# (HTTP/1.1, HTTP/2), wrk, ab and h2load. web.bats has nginx as such.

load apps_lib

STOP=() # what ends a server that went to the background by itself

setup_file() {
    two_pods apw 71
    make_file "$LAB_TMP/www/20m" 20M
    make_file "$LAB_TMP/www/64" 64
}
teardown_file() { lab_teardown; }
stops() { pod exec server "${STOP[@]}" && within 10 has_sockets server true 0; }
teardown() {
    end_started
    [ "${#STOP[@]}" -gt 0 ] || return 0
    # Under TSan's runtime Apache loses the first SIGTERM after a graceful restart, also without the shim.
    stops || { [[ ${DMM_PRELOAD_FIRST:-} = *libtsan* ]] && stops; }
}

nginx_up() {
    nginx_conf nginx "server { listen 80 reuseport; listen 81; root $LAB_TMP/www; location /pid { return 200 \"\$pid\\n\"; } }"
    sed -i 's/^worker_processes.*/worker_processes 8;/' "$LAB_TMP/nginx.conf"
    pod exec server /usr/sbin/nginx -c "$LAB_TMP/nginx.conf" # a path, for its exec of itself
    STOP=(nginx -c "$LAB_TMP/nginx.conf" -s stop)
    listens 80 8
    listens 81 1
}

pids() { # PORT: the workers that 80 connections met, and how many each had
    # shellcheck disable=SC2016
    client bash -c 'for ((i = 0; i < 80; i++)); do curl -s --max-time 5 "$0"; done' "http://$IP:$1/pid" | sort | uniq -c
}

meets_workers() { [ "$(pids 80 | wc -l)" -eq "$1" ]; }

no_errors() { # the output of wrk, ab or h2load
    echo "$output"
    [ "$status" -eq 0 ] || return
    ! grep -E 'Socket errors|Non-2xx|Failed requests: *[1-9]|[1-9][0-9]* (failed|errored|timeout)' <<<"$output" || { traces; false; }
}
traces() { # what both ends have counted and said
    local name
    for name in server client; do
        pod ctl $name stats | grep -v ' 0$' | sed "s/^/$name /"
        pod logs $name | tail -n 5
    done
    tail -n 5 "$LAB_TMP"/*/error.log
}

@test "nginx: 8 workers with SO_REUSEPORT share the connections" {
    nginx_up
    pids 80 >"$LAB_TMP/pids"
    cat "$LAB_TMP/pids"
    [ "$(wc -l <"$LAB_TMP/pids")" -eq 8 ]
    awk '$1 > 26 { exit 1 }' "$LAB_TMP/pids" # five standard deviations
    run on_stacks wrk -t 2 -c 1500 -d 3 --timeout 10 "http://$IP/64"
    no_errors
    run kernel_client wrk -t 2 -c 100 -d 1 "http://$IP/64"
    no_errors
}

@test "nginx: reloads under load lose no connection, and the workers are new" {
    nginx_up
    local old new
    old=$(pgrep -P "$(cat "$LAB_TMP/nginx-nginx/nginx.pid")" | sort)
    client ab -q -n 6000 -c 20 "http://$IP:81/64" >"$LAB_TMP/ab" 2>&1 &
    local ab=$!
    sleep 0.3
    pod exec server nginx -c "$LAB_TMP/nginx.conf" -s reload
    sleep 0.5
    pod exec server nginx -c "$LAB_TMP/nginx.conf" -s reload
    wait "$ab" || { cat "$LAB_TMP/ab"; false; }
    grep -E 'Complete requests: *6000' "$LAB_TMP/ab"
    grep -E 'Failed requests: *0' "$LAB_TMP/ab"
    new=$(pgrep -P "$(cat "$LAB_TMP/nginx-nginx/nginx.pid")" | sort)
    [ -z "$(comm -12 <(echo "$old") <(echo "$new"))" ]
    within 10 meets_workers 8 # an old one may still have to answer
}

@test "nginx: a new binary takes the listeners over (exec) while clients ask" {
    nginx_up
    local pid=$LAB_TMP/nginx-nginx/nginx.pid old
    old=$(cat "$pid")
    client ab -q -n 6000 -c 20 "http://$IP:81/64" >"$LAB_TMP/ab" 2>&1 &
    local ab=$!
    kill -USR2 "$old"
    within 10 test -e "$pid.oldbin"
    within 10 eval "[ \$(pgrep -cP \$(cat $pid)) -ge 8 ]"
    kill -WINCH "$old"
    within 10 eval "[ \$(pgrep -cP $old) -eq 1 ]" # the new master
    kill -QUIT "$old"
    within 10 eval "! kill -0 $old"
    wait "$ab" || { cat "$LAB_TMP/ab"; false; }
    grep -E 'Complete requests: *6000' "$LAB_TMP/ab"
    grep -E 'Failed requests: *0' "$LAB_TMP/ab"
    [ "$(pids 80 | wc -l)" -eq 8 ]
    on_stacks curl -sf "http://$IP/20m" | cmp - "$LAB_TMP/www/20m"
}

httpd_up() { # MPM
    local dir=$LAB_TMP/httpd-$1
    mkdir -p "$dir"
    cat >"$dir/conf" <<C
ServerRoot $dir
ServerName test
PidFile $dir/pid
ErrorLog $dir/log
User www-data
Group www-data
Listen 80
LoadModule mpm_$1_module /usr/lib/apache2/modules/mod_mpm_$1.so
LoadModule authz_core_module /usr/lib/apache2/modules/mod_authz_core.so
LoadModule http2_module /usr/lib/apache2/modules/mod_http2.so
Protocols h2c http/1.1
DocumentRoot $LAB_TMP/www
EnableSendfile On
MaxKeepAliveRequests 0
StartServers 4
MinSpare$2 10
MaxSpare$2 250
C
    HTTPD="$dir/conf"
    pod exec server apache2 -f "$HTTPD" -k start
    STOP=(apache2 -f "$HTTPD" -k stop)
    listens 80
}

httpd_serves() {
    on_stacks curl -sf "http://$IP/20m" | cmp - "$LAB_TMP/www/20m"
    kernel_client curl -sf "http://$IP/20m" | cmp - "$LAB_TMP/www/20m"
    run on_stacks ab -q -n 2000 -c 20 "http://$IP/64"
    no_errors
    on_stacks h2load -n 2000 -c 10 -m 10 "http://$IP/64" >"$LAB_TMP/h2load"
    grep ' 2000 succeeded, 0 failed, 0 errored, 0 timeout' "$LAB_TMP/h2load"
    pod exec server apache2 -f "$HTTPD" -k graceful
    within 10 client curl -sf --max-time 2 "http://$IP/64"
    run on_stacks ab -q -n 500 -c 5 "http://$IP/64"
    no_errors
}

@test "Apache httpd with processes (prefork): HTTP/1.1, HTTP/2, graceful restart" {
    httpd_up prefork Servers
    httpd_serves
}

@test "Apache httpd with threads (event): HTTP/1.1, HTTP/2, graceful restart" {
    httpd_up event Threads
    httpd_serves
}

@test "curl: many requests on one connection; HTTP/2" {
    [ -z "${DMM_PRELOAD_FIRST:-}" ] || skip "curl does not run with $(basename "$DMM_PRELOAD_FIRST"), even without the shim"
    httpd_up event Threads
    local opened
    opened=$(counter client tcp_active_opens)
    client curl -sf "http://$IP/20m" "http://$IP/64" "http://$IP/20m" >"$LAB_TMP/got"
    cat "$LAB_TMP"/www/{20m,64,20m} | cmp - "$LAB_TMP/got"
    [ "$(counter client tcp_active_opens)" -eq $((opened + 1)) ]
    [ "$(on_stacks curl -sf --http2-prior-knowledge -w '%{http_version}' -o "$LAB_TMP/got" "http://$IP/20m")" = 2 ]
    cmp "$LAB_TMP/got" "$LAB_TMP/www/20m"
}

haproxy_up() { # OPTION...: lines for both proxies
    pod up proxy "dmm.fd.io/stack=$STACK"
    cat >"$LAB_TMP/haproxy.cfg" <<C
global
  user haproxy
  group haproxy
  nbthread 2
  maxconn 3000
  stats socket $LAB_TMP/haproxy.sock
defaults
  timeout connect 5s
  timeout client 30s
  timeout server 30s
$(printf '  option %s\n' "$@")
listen tcp
  mode tcp
  bind :81
  server one $IP:80
listen http
  mode http
  bind :82
  server one $IP:80 check inter 500
C
    start_in proxy haproxy -f "$LAB_TMP/haproxy.cfg" -db
    within 10 has_sockets proxy '.state == "LISTEN"' 2
    PROXY=$(pod ip proxy)
    within 10 client curl -sf --max-time 2 -o "$LAB_TMP/got" "http://$PROXY:82/64"
}

haproxy_down() {
    end_started
    nothing_left proxy
    pod down proxy
}

# The bytes that haproxy has moved through pipes (TotalSplicdedBytesOut, as some releases spell it).
spliced() { echo "show info" | socat - "UNIX-CONNECT:$LAB_TMP/haproxy.sock" | awk '/^TotalSpli/ {print $2}'; }

@test "haproxy: TCP and HTTP, as its own user with two threads, between two stacks" {
    local port
    nginx_up
    haproxy_up dontlognull
    for port in 81 82; do
        on_stacks curl -sf "http://$PROXY:$port/20m" | cmp - "$LAB_TMP/www/20m"
        kernel_client curl -sf "http://$PROXY:$port/20m" | cmp - "$LAB_TMP/www/20m"
        run on_stacks wrk -t 2 -c 100 -d 1 "http://$PROXY:$port/64"
        no_errors
        run on_stacks ab -q -n 1000 -c 20 "http://$PROXY:$port/64"
        no_errors
    done
    [ "$(spliced)" -eq 0 ]
    haproxy_down
}

@test "haproxy with splice: bytes go from stack socket to stack socket through pipes" {
    local port before
    nginx_up
    haproxy_up splice-auto splice-response splice-request
    for port in 81 82; do
        before=$(spliced)
        on_stacks curl -sf "http://$PROXY:$port/20m" | cmp - "$LAB_TMP/www/20m"
        kernel_client curl -sf "http://$PROXY:$port/20m" | cmp - "$LAB_TMP/www/20m"
        echo "spliced $before $(spliced)"
        [ $(($(spliced) - before)) -ge 20000000 ]
        run on_stacks ab -q -n 40 -c 8 "http://$PROXY:$port/20m"
        no_errors || { tail -n 40 "$LAB_TMP/proxy.out"; false; }
    done
    haproxy_down
}

@test "nothing is left in the sidecars, and they had nothing to say" {
    nothing_left server client
}
