#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# docs/kubernetes.md's quick start, command by command, on Kubernetes' own API server, controllers, scheduler,
# kubelet and kube-proxy; then what docs/operations.md says.
#
# The newest Kubernetes whose whole source Debian has is 1.20.2, so sidecars are not native here
# ("nativeSidecar": false), and one object has its older version.

bats_require_minimum_version 1.5.0
load lib

setup_file() { cluster_setup veth chained; }
teardown_file() { k8s_teardown; }
setup() { cd "$DIR" || return; }

@test "quick start: the overlay is applied, installer and injector roll out" {
    install_dmm
    jq -e '.plugins[-1].type == "dmm"' "$DIR/n/net.d/0-dmm.conflist"
}

@test "quick start: nginx on the stack, reached by a client through its own" {
    kubectl label namespace default dmm.fd.io/injection=enabled
    kubectl apply -f examples/kubernetes/nginx.yaml
    running pod/nginx pod/client
    ctl nginx stacks
    welcome "http://$(stack_ip nginx)/"
    ctl nginx sockets | grep -E 'LISTEN .*0\.0\.0\.0:80 .*fast +nginx/'
    [ "$(ctl client --json stats | jq '.clients.tx_bytes')" -gt 50 ]
}

@test "cluster: a wrong annotation: kubectl apply says key and value" {
    sed 's/name: nginx$/name: wrong/; s/"default": "kernel"/"default": "nosuch"/' examples/kubernetes/nginx.yaml >wrong.yaml
    run ! kubectl apply -f wrong.yaml
    [[ "$output" = *'denied the request: annotation dmm.fd.io/mapping: default: no stack has the name "nosuch"'* ]]
}

@test "cluster: past the injector, kubectl describe pod says key and value" {
    kubectl create namespace other
    kubectl -n other run bad --image=nginx:stable --restart=Never --overrides='{"metadata": {"annotations": {"dmm.fd.io/stack": "nosuch"}}}'
    within 30 eval "kubectl -n other describe pod bad | grep 'FailedCreatePodSandBox.*annotation dmm.fd.io/stack.*nosuch'"
    kubectl delete namespace other
}

@test "cluster: a Service and the probes reach nginx by the kernel" {
    local address before
    kubectl expose pod nginx --port=80 --name=web
    address=$(kubectl get service web -o 'jsonpath={.spec.clusterIP}')
    before=$(ctl client --json stats | jq '.clients.tx_bytes')
    within 10 welcome "http://$address/"
    [ "$(ctl client --json stats | jq '.clients.tx_bytes')" -eq "$before" ]
    sleep 15 # one period more of the liveness probes
    [ "$(kubectl get pod nginx -o 'jsonpath={.status.containerStatuses[*].restartCount}')" = "0 0" ]
    kubectl delete service web
}

@test "cluster: kubectl annotate --overwrite changes where new sockets go" {
    kubectl annotate --overwrite pod client \
        'dmm.fd.io/mapping={"version": 1, "default": "kernel", "rules": []}'
    within 100 eval "ctl client --json mapping | jq -e '.mapping.rules == []'"
    # The node's bridge has no address: the kernel cannot reach the stacks' network.
    run ! fetch "http://$(stack_ip nginx)/"
    kubectl annotate --overwrite pod client \
        'dmm.fd.io/mapping={"version": 1, "default": "kernel", "rules": [{"stack": "fast", "direction": "connect", "remote": "10.88.0.0/16"}]}'
    within 100 welcome "http://$(stack_ip nginx)/"
}

@test "cluster: a killed sidecar is started again, and nginx listens on it" {
    local uid pid
    uid=$(kubectl get pod nginx -o 'jsonpath={.metadata.uid}')
    pid=$(in_node n pgrep -x dmm-stackd | while read -r pid; do
        ! in_node n grep -q "$uid" "/proc/$pid/cgroup" || echo "$pid"
    done)
    in_node n kill -9 "$pid"
    within 60 eval "kubectl get pod nginx -o 'jsonpath={.status.containerStatuses[*].restartCount}' | grep -w 1"
    within 60 welcome "http://$(stack_ip nginx)/"
    running pod/nginx
}

@test "cluster: a Deployment is rolled anew; nothing of its old pods is left" {
    jq -n '{apiVersion: "apps/v1", kind: "Deployment", metadata: {name: "web"}, spec: {replicas: 2,
        selector: {matchLabels: {app: "web"}}, template: {
            metadata: {labels: {app: "web"}, annotations: {"dmm.fd.io/stack": "fast"}},
            spec: {containers: [{name: "nginx", image: "nginx:stable"}]}}}}' | kubectl apply -f -
    kubectl rollout status --timeout=120s deployment/web
    kubectl rollout restart deployment/web
    kubectl rollout status --timeout=120s deployment/web
    within 60 eval "[ \"\$(kubectl get pods -l app=web -o name | wc -l)\" -eq 2 ]"
    kubectl delete deployment web
    within 60 eval "[ -z \"\$(kubectl get pods -l app=web -o name)\" ]"
    # The two pods of the quick start have one each.
    within 30 eval "[ \"\$(in_node n find /run/dmm/pods -mindepth 1 -maxdepth 1 | wc -l)\" -eq 2 ]"
}

@test "cluster: with the watch a changed annotation counts at once" {
    echo 'components: [../../watch]' >>deploy/kustomize/overlays/mine/kustomization.yaml
    overlay | kubectl apply -f -
    rolled_out deployment/dmm-injector
    kubectl -n default create rolebinding dmm-pod-watch --clusterrole=dmm-pod-watch --group=system:serviceaccounts:default
    kubectl delete pod client
    kubectl apply -f examples/kubernetes/nginx.yaml
    running pod/client
    within 10 eval "kubectl exec client -- curl -s --unix-socket /run/dmm/pod/api.sock http://sidecar/metrics | grep -x 'dmm_pod_watch_up 1'"
    kubectl annotate --overwrite pod client 'dmm.fd.io/mapping={"version": 1, "default": "kernel", "rules": []}'
    within 3 eval "ctl client --json mapping | jq -e '.mapping.rules == []'"
}

@test "cluster: the certificate is made anew; the injector takes it without a restart" {
    local address before
    address=$(kubectl -n dmm-system get service dmm-injector -o 'jsonpath={.spec.clusterIP}')
    serial() { in_node n openssl s_client -connect "$address:443" </dev/null 2>/dev/null | openssl x509 -noout -serial; }
    before=$(serial)
    deploy/certs secret | kubectl apply -f -
    within 120 eval "[ \"\$(serial)\" != \"$before\" ]"
    run ! kubectl apply -f wrong.yaml
    [[ "$output" = *"denied the request"* ]]
    [ "$(kubectl -n dmm-system get pods -o 'jsonpath={.items[*].status.containerStatuses[*].restartCount}' | tr ' ' '\n' | sort -u)" = 0 ]
}

@test "cluster: upgrade and rollback of plugin and injector; pods that are there are not touched" {
    local image version
    for image in dmm-cni dmm-injector; do
        ctr -a "$DIR/n/c.sock" -n k8s.io images tag "dmm.fd.io/$image:0.1.0" "dmm.fd.io/$image:0.1.1"
    done
    cp deploy/kustomize/overlays/mine/kustomization.yaml kept.yaml
    for version in 0.1.1 0.1.0; do
        cp kept.yaml deploy/kustomize/overlays/mine/kustomization.yaml
        printf 'images:\n- {name: dmm.fd.io/dmm-cni, newTag: %s}\n- {name: dmm.fd.io/dmm-injector, newTag: %s}\n' \
            $version $version >>deploy/kustomize/overlays/mine/kustomization.yaml
        overlay | kubectl apply -f -
        rolled_out daemonset/dmm-installer
        rolled_out deployment/dmm-injector
        [ "$(kubectl -n dmm-system get daemonset dmm-installer -o 'jsonpath={.spec.template.spec.containers[0].image}')" = dmm.fd.io/dmm-cni:$version ]
    done
    kubectl annotate --overwrite pod client \
        'dmm.fd.io/mapping={"version": 1, "default": "kernel", "rules": [{"stack": "fast", "direction": "connect", "remote": "10.88.0.0/16"}]}'
    within 10 welcome "http://$(stack_ip nginx)/"
}

@test "cluster: uninstalled as docs/operations.md says; nothing is left" {
    kubectl label namespace default dmm.fd.io/injection-
    kubectl delete pod nginx client
    kubectl delete mutatingwebhookconfiguration dmm-injector
    sed -i 's,^components: .*,components: [../../watch\, ../../uninstall],' deploy/kustomize/overlays/mine/kustomization.yaml
    overlay | kubectl apply -f -
    rolled_out daemonset/dmm-installer
    [ ! -e "$DIR/n/net.d/0-dmm.conflist" ]
    overlay | kubectl delete --ignore-not-found -f -
    in_node n /opt/cni/bin/dmm gc
    [ -z "$(in_node n find /run/dmm/pods /var/lib/cni/dmm -mindepth 1 -name '*.json')" ]
    kubectl run plain --image=nginx:stable --restart=Never
    running pod/plain
}
