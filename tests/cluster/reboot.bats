#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# What happens to a node, on Kubernetes' own programs, with the link whose sidecar has no rights at all.

bats_require_minimum_version 1.5.0
load lib

setup_file() { cluster_setup tap chained; }
teardown_file() { k8s_teardown; }
setup() { cd "$DIR" || return; }

restarts() { kubectl get pod "$1" -o 'jsonpath={.status.containerStatuses[*].restartCount}'; }

# Pods of a Deployment, so that a drained one comes again.
apply_server() {
    jq -n '{apiVersion: "apps/v1", kind: "Deployment", metadata: {name: "web"}, spec: {replicas: 1,
        selector: {matchLabels: {app: "web"}}, template: {metadata: {labels: {app: "web"}, annotations: {"dmm.fd.io/mapping":
            ({version: 1, default: "kernel", rules: [{stack: ["fast", "kernel"], protocol: "tcp", direction: "listen", port: 80}]} | tojson)}},
            spec: {containers: [{name: "nginx", image: "nginx:stable", readinessProbe: {httpGet: {path: "/", port: 80}}}]}}}}' |
        kubectl apply -f -
    kubectl rollout status --timeout=120s deployment/web
}
served() { welcome "http://$(stack_ip "$(server)")/"; }
server() { kubectl get pods -l app=web -o 'jsonpath={.items[?(@.status.phase=="Running")].metadata.name}'; }

@test "reboot: a sidecar that is not root and has no capability serves nginx" {
    install_dmm
    kubectl label namespace default dmm.fd.io/injection=enabled
    apply_server
    kubectl apply -f examples/kubernetes/nginx.yaml
    running pod/client
    served
    local pid status
    for pid in $(in_node n pgrep -x dmm-stackd); do
        status=$(in_node n cat "/proc/$pid/status")
        [ "$(awk '$1 == "Uid:" { print $2 }' <<<"$status")" = 65532 ]
        [ "$(grep -cE '^Cap(Prm|Eff|Bnd|Inh|Amb):\s*0000000000000000$' <<<"$status")" -eq 5 ]
    done
    [ -n "$pid" ]
}

@test "reboot: kubelet and containerd are started anew; pods go on" {
    local name pid
    name=$(server)
    in_node n pkill -x kubelet
    in_node n pkill -x containerd
    start_kubelet
    within 30 served
    running pod/client
    [ "$(restarts "$name")" = "0 0" ]
    [ "$(restarts client)" = "0 0" ]
}

@test "reboot: the node's power fails; all pods come back, nothing of the old ones is left" {
    node_stop n
    cluster_boot
    rolled_out daemonset/dmm-installer
    rolled_out deployment/dmm-injector
    within 90 served
    # A folder and a lease for each pod that has a stack: nginx, client, web; and for the two injectors, which have none.
    within 30 eval "[ \"\$(in_node n find /run/dmm/pods -mindepth 1 -maxdepth 1 | wc -l)\" -eq \"\$(in_node n find /var/lib/cni/networks/cluster -name '10.88.*' | wc -l)\" ]"
    [ "$(in_node n ip -o link show type tun | wc -l)" -eq 0 ]
}

@test "reboot: kubectl drain; the pods come again elsewhere, here after uncordon" {
    local before
    before=$(server)
    # The injector has no other node to go to, and its PodDisruptionBudget holds the last one.
    kubectl drain node --ignore-daemonsets --force --delete-emptydir-data --timeout=120s \
        --pod-selector='app.kubernetes.io/name!=dmm-injector'
    [ -z "$(kubectl get pods -o 'jsonpath={.items[?(@.status.phase=="Running")].metadata.name}')" ]
    kubectl uncordon node
    kubectl rollout status --timeout=120s deployment/web
    [ "$(server)" != "$before" ]
    [ "$(ctl "$(server)" --json sockets | jq '[.sockets[] | select(.state == "LISTEN")] | length')" -eq 1 ]
}
