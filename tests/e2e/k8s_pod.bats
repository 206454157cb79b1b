#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# From annotation to stack on one node: real containerd, the examples' YAML through the injector, DMM's plugin
# chained after the cluster's own bridge.

bats_require_minimum_version 1.5.0
load k8s_lib
EXAMPLES=$TOP/examples/kubernetes

setup_file() {
    k8s_setup k8sp
    node_conf n 1 chained
    node_start n
    node_bridge n 1
}
teardown_file() { k8s_teardown; }

welcome() { [ "$(fetch "http://$(port_ip n nginx)/")" = "Welcome to nginx!" ]; }
no_sockets() { [ "$(sockets n nginx true)" -eq 0 ]; }
fetch() { kubelet n exec client client curl -s -m 5 "$@"; }
stack_of_client() { sidecar_ctl n client --json stats | jq '.clients.tx_bytes'; }

@test "k8s: an annotated nginx listens on the stack; a client pod fetches from it through its own" {
    apply n "$EXAMPLES/nginx.yaml"
    [ "$(sockets n nginx '.state == "LISTEN" and .local == "0.0.0.0:80" and .instance == "fast"')" -eq 1 ]
    [ "$(fetch "http://$(port_ip n nginx)/")" = "Welcome to nginx!" ]
    # It went through both stacks: the client's counted the request's bytes, the server's has the listener.
    [ "$(stack_of_client)" -gt 50 ]
    sidecar_ctl n nginx sockets | grep -E 'LISTEN .*0.0.0.0:80 .*fast +nginx/'
}

@test "k8s: the kubelet's view: address, HTTP and TCP probes from the node, exec, logs" {
    local before
    kubelet n probe nginx nginx readiness
    kubelet n probe nginx nginx liveness
    kubelet n probe nginx dmm-stackd startup
    kubelet n probe nginx dmm-stackd liveness
    # The pod's address is the cluster's, and the kernel's alone.
    kubelet n exec client client cat /proc/net/fib_trie | grep '10\.77\.1\.'
    run ! grep '10\.88\.' <(kubelet n exec client client cat /proc/net/fib_trie)
    # By it, the kernel: the stack sees nothing.
    before=$(stack_of_client)
    [ "$(fetch "http://$(kubelet n sync | awk '$1 == "nginx" { print $3 }')/")" = "Welcome to nginx!" ]
    [ "$(stack_of_client)" -eq "$before" ]
    kubelet n logs nginx dmm-stackd | grep 'ready: /run/dmm/pod'
}

@test "k8s: DNS by the cluster's resolver through the kernel, while mapped sockets use the stack" {
    in_node n "$CRI/dns.py" 10.77.1.1 web.default.svc.cluster.local "$(port_ip n nginx)" >"$DIR/dns.log" 2>&1 &
    sed 's/^  name: client$/&dns/; s/name: nginx$/name: web/' "$EXAMPLES/nginx.yaml" >"$DIR/dns.yaml"
    sed -i 's/^    command: \[sleep, infinity\]/&\n  dnsConfig: {nameservers: [10.77.1.1]}/' "$DIR/dns.yaml"
    apply n "$DIR/dns.yaml"
    [ "$(kubelet n exec clientdns client curl -s -m 5 http://web.default.svc.cluster.local/)" = "Welcome to nginx!" ]
    [ "$(sidecar_ctl n clientdns --json stats | jq '.clients.tx_bytes')" -gt 50 ]
    grep '^10\.77\.1\..* web.default.svc.cluster.local' "$DIR/dns.log"
    kubelet n delete clientdns
    kubelet n delete web
}

# As kube-proxy does it: a virtual address is another one on the node, and what comes back goes through it.
service() { # -A|-D ADDRESS POD-ADDRESS
    in_node n iptables -t nat "$1" PREROUTING -d "$2/32" -p tcp --dport 80 -j DNAT --to-destination "$3:80"
    in_node n iptables -t nat "$1" POSTROUTING -d "$3/32" -p tcp --dport 80 -m conntrack --ctstate DNAT -j MASQUERADE
}

@test "k8s: a Service is reached by the kernel's sockets, while the stack has the mapped ones" {
    local before address
    command -v iptables >/dev/null || skip "no iptables"
    address=$(kubelet n sync | awk '$1 == "nginx" { print $3 }')
    service -A 10.96.0.10 "$address"
    before=$(stack_of_client)
    [ "$(fetch http://10.96.0.10/)" = "Welcome to nginx!" ]
    [ "$(stack_of_client)" -eq "$before" ]
    [ "$(fetch "http://$(port_ip n nginx)/")" = "Welcome to nginx!" ]
    [ "$(stack_of_client)" -gt "$before" ]
    # Everything on the stack: the node routes what comes from the stacks' network, and so translates it.
    kubelet n annotate client dmm.fd.io/mapping= dmm.fd.io/stack=fast
    within 5 eval "sidecar_ctl n client --json mapping | jq -e '.mapping.default == \"fast\"'"
    before=$(stack_of_client)
    [ "$(fetch http://10.96.0.10/)" = "Welcome to nginx!" ]
    [ "$(stack_of_client)" -gt "$before" ]
    kubelet n annotate client dmm.fd.io/stack= 'dmm.fd.io/mapping={"version": 1, "default": "kernel", "rules": [{"stack": "fast", "protocol": "tcp", "direction": "connect", "remote": "10.88.0.0/16"}]}'
    within 5 eval "sidecar_ctl n client --json mapping | jq -e '.mapping.rules | length == 1'"
    service -D 10.96.0.10 "$address"
}

@test "k8s: the sidecar has the rights that its link needs and no others; the app has none of ours" {
    local rights
    # shellcheck disable=SC2016 # expanded on the node
    rights=$(in_node n sh -c 'for p in $(pgrep -x dmm-stackd); do cat /proc/$p/status; done')
    # CAP_NET_RAW is bit 13.
    [ "$(grep -cE '^Cap(Prm|Eff|Bnd):\s*0000000000002000$' <<<"$rights")" -eq 6 ]
    [ "$(grep -cE '^Cap(Inh|Amb):\s*0000000000000000$' <<<"$rights")" -eq 4 ]
    grep -E '^NoNewPrivs:\s*1$' <<<"$rights"
    grep -E '^Seccomp:\s*2$' <<<"$rights"
    # Its root is read-only.
    # shellcheck disable=SC2016
    in_node n sh -c 'grep " / " /proc/$(pgrep -x dmm-stackd | head -n 1)/mounts' | grep -E ' ro[, ]'
    # The app can't write into the pod directory.
    run ! kubelet n exec nginx nginx sh -c 'echo x >/run/dmm/pod/mapping.json'
    [[ "$output" = *"Read-only file system"* ]]
}

@test "k8s: the shipped seccomp profile allows what the sidecar and its probes do, and nothing else" {
    cp "$TOP/deploy/seccomp/dmm-stackd.json" "$DIR/n/seccomp/"
    jq '.seccompProfile = {type: "Localhost", localhostProfile: "dmm-stackd.json"}' \
        "$TOP/deploy/kustomize/links/veth/injector.json" >"$DIR/seccomp.json"
    INJECTOR_CONFIG=$DIR/seccomp.json apply n "$EXAMPLES/memcached.yaml" 'name: memcached
  annot=name: tight
  annot'
    kubelet n probe tight dmm-stackd startup
    kubelet n probe tight dmm-stackd liveness
    within 10 stored tight
    kubelet n exec tight dmm-stackd dmmctl sockets | grep 11211
    # It is in force: what the profile does not name is refused.
    jq '.syscalls[0].names -= ["socket"]' "$TOP/deploy/seccomp/dmm-stackd.json" >"$DIR/n/seccomp/dmm-stackd.json"
    kubelet n kill tight dmm-stackd
    run ! kubelet n sync
    [[ "$output" = *"Operation not permitted"* ]]
    kubelet n delete tight
}

@test "k8s: a redis pair, every socket on the stack" {
    apply n "$EXAMPLES/redis.yaml"
    within 10 kubelet n exec redis-client client redis-cli -h "$(port_ip n redis)" ping
    kubelet n exec redis-client client redis-benchmark -h "$(port_ip n redis)" -t set,get -n 2000 -c 10 -q | grep 'requests per second'
    [ "$(sockets n redis '.state == "LISTEN" and .local == "0.0.0.0:6379"')" -eq 1 ]
    [ "$(sidecar_ctl n redis --json stats | jq '.clients.rx_bytes')" -gt 50000 ]
    # 127.0.0.1 stays in the pod.
    kubelet n exec redis redis redis-cli ping | grep PONG
    kubelet n delete redis-client
    kubelet n delete redis
}

talk_to_memcached() { # POD
    kubelet n exec client client sh -c "printf 'set k 0 0 5\r\nhello\r\nget k\r\nquit\r\n' | curl -s -m 5 telnet://$(port_ip n "$1"):11211"
}

stored() { talk_to_memcached "$1" | grep hello; }

@test "k8s: memcached, threads of one process" {
    apply n "$EXAMPLES/memcached.yaml"
    within 10 stored memcached
    [ "$(sidecar_ctl n memcached --json stats | jq '.clients.rx_bytes')" -gt 20 ]
    kubelet n delete memcached
}

@test "k8s: the reverse proxy: its front on the stack alone, its back on the kernel" {
    apply n "$EXAMPLES/reverse-proxy.yaml"
    within 10 fetch "http://$(port_ip n reverse-proxy):8080/"
    fetch "http://$(port_ip n reverse-proxy):8080/" | grep "from the back end; the front was asked by $(port_ip n client)"
    # The mapping narrows port 8080 to the stack: by the pod's kernel address there is nothing.
    run ! fetch "http://$(kubelet n sync | awk '$1 == "reverse-proxy" { print $3 }'):8080/"
    kubelet n delete reverse-proxy
}

@test "k8s: a changed annotation maps new sockets within seconds; a bad one is kept out and said" {
    local before
    # To the kernel: the stacks' network is reached through the node then.
    kubelet n annotate client 'dmm.fd.io/mapping={"version": 1, "default": "kernel", "rules": []}'
    within 5 eval "sidecar_ctl n client --json mapping | jq -e '.mapping.rules == [] or (.mapping | has(\"rules\") | not)'"
    before=$(stack_of_client)
    [ "$(fetch "http://$(port_ip n nginx)/")" = "Welcome to nginx!" ]
    [ "$(stack_of_client)" -eq "$before" ]
    # The one-word form.
    kubelet n annotate client dmm.fd.io/mapping= dmm.fd.io/stack=fast
    within 5 eval "sidecar_ctl n client --json mapping | jq -e '.mapping.default == \"fast\"'"
    [ "$(fetch "http://$(port_ip n nginx)/")" = "Welcome to nginx!" ]
    [ "$(stack_of_client)" -gt "$before" ]
    kubelet n annotate client dmm.fd.io/stack=fats
    within 5 eval "kubelet n logs client dmm-stackd | grep 'annotation dmm.fd.io/stack: no stack has the name \"fats\"'"
    [ "$(sidecar_ctl n client --json mapping | jq -r .mapping.default)" = fast ]
    in_node n curl -s --unix-socket "/run/dmm/pods/$(pod_uid n client)/api.sock" http://s/metrics | grep '^dmm_mappings_refused_total 1$'
    # The sidecar starts again while it is bad: with what the pod began with.
    kubelet n kill client dmm-stackd
    kubelet n sync
    [ "$(sidecar_ctl n client --json mapping | jq -r .mapping.default)" = kernel ]
    kubelet n annotate client dmm.fd.io/stack= 'dmm.fd.io/mapping={"version": 1, "default": "kernel", "rules": [{"stack": "fast", "protocol": "tcp", "direction": "connect", "remote": "10.88.0.0/16"}]}'
    within 5 eval "sidecar_ctl n client --json mapping | jq -e '.mapping.rules | length == 1'"
}

@test "k8s: the sidecar dies and comes back: the app's listener is on the stack again" {
    kubelet n kill nginx dmm-stackd
    # Kernel sockets do not notice.
    kubelet n probe nginx nginx readiness
    kubelet n sync
    within 10 welcome
    [ "$(sockets n nginx '.state == "LISTEN"')" -eq 1 ]
}

@test "k8s: the app dies and comes back; so does containerd" {
    kubelet n kill nginx nginx
    within 5 no_sockets
    kubelet n sync
    within 5 welcome

    # shellcheck disable=SC2016
    in_node n sh -c 'kill -9 $(pgrep -x containerd)'
    [ "$(curl_from_node)" = "Welcome to nginx!" ]
    within 10 ctr -a "$DIR/n/c.sock" version
    within 10 kubelet n sync
    [ "$(fetch "http://$(port_ip n nginx)/")" = "Welcome to nginx!" ]
}
curl_from_node() { in_node n curl -s -m 5 "http://$(port_ip n nginx)/"; }

@test "k8s: a missing sidecar, volume or shim is said by name in the app's log, with the policy" {
    local url
    url=http://$(port_ip n nginx)/
    # A pod on the stack alone, for the word `fast` says that nothing goes to the kernel.
    apply n "$EXAMPLES/redis.yaml" 'name: redis-client=name: lonely' 'name: redis
  annot=name: lone
  annot'
    kubelet n delete lone
    run kubelet n exec lonely client env DMM_POD_DIR=/nowhere curl -s -m 5 "$url"
    [[ "$output" = *"no pod directory /nowhere"*"is its volume mounted? sockets of stacks fail with ENETDOWN"* ]]
    run kubelet n exec lonely client env LD_PRELOAD=/gone/libdmm.so curl -s -m 5 "$url"
    [[ "$output" = *"/gone/libdmm.so"*"cannot be preloaded"* ]]
    kubelet n kill lonely dmm-stackd
    run kubelet n exec lonely client curl -s -m 5 "$url"
    [[ "$output" = *"no sidecar at /run/dmm/pod/stackd.sock"*"sockets of stacks fail with ENETDOWN"* ]]
    # The other policy.
    in_node n sh -c "echo kernel >/run/dmm/pods/$(pod_uid n lonely)/on_failure"
    run kubelet n exec lonely client curl -s -m 5 "$url"
    [[ "$output" = *"no sidecar at /run/dmm/pod/stackd.sock"*"sockets go to the kernel"* ]]
    [[ "$output" = *"Welcome to nginx!"* ]]
    kubelet n delete lonely
}

@test "k8s: a bad annotation fails the pod, by the injector and by the plugin, and leaves nothing" {
    run ! apply n "$EXAMPLES/redis.yaml" 'stack: fast=stack: fats'
    [[ "$output" = *'annotation dmm.fd.io/stack: no stack has the name "fats"'* ]]
    sed 's/stack: fast/stack: fats/; s/by-hand/refused/' "$EXAMPLES/by-hand.yaml" >"$DIR/refused.yaml"
    run ! kubelet n apply "$DIR/refused.yaml"
    [[ "$output" = *'annotation dmm.fd.io/stack: no stack has the name "fats"'* ]]
    kubelet n delete refused
}

@test "k8s: the node reboots: state directories kept, namespaces gone: all pods come back" {
    node_stop n
    # As after a real boot: another boot's id in the records.
    sed -i -E 's/("bootId": *")[^"]*/\100000000-0000-0000-0000-000000000000/' "$DIR"/n/lib-cni/dmm/cluster/*.json
    node_start n
    node_bridge n 1
    kubelet n sync
    [ "$(fetch "http://$(port_ip n nginx)/")" = "Welcome to nginx!" ]
    # Two pods, two leases of each network, two records: what the old boot had is gone.
    [ "$(in_node n find /var/lib/cni/networks -name '10.*' | wc -l)" -eq 4 ]
    [ "$(in_node n find /var/lib/cni/dmm -name '*.json' | wc -l)" -eq 2 ]
}

drained() { grep -x 0 "$DIR/drained"; }
held() { [ "$(sockets n memcached '.state == "ESTAB"')" -eq "$1" ]; }

@test "k8s: drain waits while a connection is held, and ends with it" {
    apply n "$EXAMPLES/memcached.yaml"
    within 10 stored memcached
    within 10 held 0
    kubelet n exec client client sh -c "sleep 1000 | curl -s telnet://$(port_ip n memcached):11211 & echo \$! >/tmp/held" >/dev/null 3>&- &
    within 10 held 1
    rm -f "$DIR/drained"
    (
        kubelet n exec memcached dmm-stackd dmmctl drain
        echo $? >"$DIR/drained"
    ) 3>&- &
    # Some round trips to the sidecar later it waits still.
    for _ in 1 2 3; do held 1; done
    [ ! -e "$DIR/drained" ]
    kubelet n kill client client
    within 15 drained
    kubelet n sync
    kubelet n delete memcached
}

@test "k8s: pods are ended: what an app wrote before its end is delivered, and nothing is left" {
    # 1 MB, which the client takes slowly: nearly all of it lies in the sidecar when nginx ends.
    # shellcheck disable=SC2016 # expanded in the container
    kubelet n exec nginx nginx sh -c 'i=0
        while [ $i -lt 20000 ]; do echo "line $i of a file that is larger than socket buffers"; i=$((i + 1)); done >/usr/share/nginx/html/large'
    kubelet n exec client client curl -s -m 18 --limit-rate 300k -o /tmp/large "http://$(port_ip n nginx)/large" 3>&- &
    within 10 eval "[ \$(sockets n nginx '.state == \"ESTAB\"') -ge 1 ]"
    kubelet n delete nginx
    wait
    kubelet n exec client client cat /tmp/large >"$DIR/fetched"
    [ "$(wc -l <"$DIR/fetched")" -eq 20000 ] || { tail -n 1 "$DIR/fetched"; false; }
    kubelet n delete client
    [ -z "$(node_left n)" ] || { node_left n; false; }
}
