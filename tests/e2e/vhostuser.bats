#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# Runs on every stack.
# Two pods joined by vhost-user: no kernel, no bridge in between.

load lib

setup_file() {
    lab_setup vhu 6
    pod up server --link vhostuser "dmm.fd.io/stack=$STACK"
    pod up client --link vhostuser --peer server "dmm.fd.io/stack=$STACK"
    IP=$(pod ip server)
    export IP
}
teardown_file() { lab_teardown; }

@test "there is no kernel interface for net1" {
    run pod exec --plain server ip link show net1
    [ "$status" -ne 0 ]
}

@test "nginx and curl over the pair" {
    needs_to_run curl --version
    nginx_conf server "server { listen 80; return 200 over-vhost; }"
    pod exec server nginx -c "$LAB_TMP/server.conf"
    within 10 pod exec client curl -sf --max-time 2 "http://$IP/"
    run pod exec client curl -s --max-time 5 "http://$IP/"
    [ "$output" = over-vhost ]
}

@test "iperf3 over the pair, both ways" {
    pod_bg server iperf3 -s
    local server=$LAST_PID
    within 5 has_sockets server '.state == "LISTEN" and (.local | endswith(":5201"))' 1
    timeout 30 "$TOP/examples/pod" exec vhu-client iperf3 -c "$IP" -t 2
    timeout 30 "$TOP/examples/pod" exec vhu-client iperf3 -c "$IP" -t 2 -R
    end_bg "$server"
}

@test "a restarted client end is taken back" {
    needs_to_run curl --version
    kill_sidecar client
    pod sidecar client start
    within 10 pod exec client curl -sf --max-time 2 "http://$IP/"
}

@test "a restarted server end is taken back" {
    needs_to_run curl --version
    kill_sidecar server
    pod sidecar server start
    within 15 pod exec client curl -sf --max-time 2 "http://$IP/"
}
