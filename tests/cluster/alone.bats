#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# Mode alone on Kubernetes' own programs: the stacks' network is the cluster's.

bats_require_minimum_version 1.5.0
load lib

setup_file() { cluster_setup veth alone; }
teardown_file() { k8s_teardown; }
setup() { cd "$DIR" || return; }

@test "alone: installer and injector roll out, on the node's network" {
    install_dmm
    jq -e '.plugins | length == 1 and .[0].type == "dmm"' "$DIR/n/net.d/0-dmm.conflist"
    [ "$(kubectl -n dmm-system get pods -o 'jsonpath={.items[*].status.podIP}' | tr ' ' '\n' | sort -u)" = "$NODE_IP" ]
    # The next ones come when the network is DMM's.
    kubectl -n dmm-system rollout restart deployment/dmm-injector
    rolled_out deployment/dmm-injector
}

@test "alone: the pod's address is the stack's; a client reaches nginx by it, and the kubelet's probes do" {
    kubectl label namespace default dmm.fd.io/injection=enabled
    in_node n ip link add dmm0 type bridge
    in_node n ip addr add 10.88.0.1/16 dev dmm0
    in_node n ip link set dmm0 up
    # All on the stack: there is nothing else.
    sed 's/"default": "kernel", "rules": \[/"default": "fast", "rules": [/' examples/kubernetes/nginx.yaml | kubectl apply -f -
    running pod/nginx pod/client
    local address
    address=$(kubectl get pod nginx -o 'jsonpath={.status.podIP}')
    [ "$address" = "$(stack_ip nginx)" ]
    welcome "http://$address/"
    sleep 15 # one period more of the liveness probes
    [ "$(kubectl get pod nginx -o 'jsonpath={.status.containerStatuses[*].restartCount}')" = "0 0" ]
}

@test "alone: a Service's endpoint is the stack's address, and the node reaches it" {
    local address
    kubectl expose pod nginx --port=80 --name=web
    address=$(kubectl get service web -o 'jsonpath={.spec.clusterIP}')
    [ "$(kubectl get endpoints web -o 'jsonpath={.subsets[0].addresses[0].ip}')" = "$(stack_ip nginx)" ]
    within 10 eval "in_node n curl -s -m 5 http://$address/ | grep 'Welcome to nginx!'"
}
