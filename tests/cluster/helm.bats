#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# The Helm chart on Kubernetes' own programs: installed, upgraded, uninstalled as docs/ says. Debian has no helm.

bats_require_minimum_version 1.5.0
load lib

setup_file() {
    type -P helm >/dev/null || skip_file "no helm"
    cluster_setup veth chained
    sed -i 's,policy/v1$,policy/v1beta1,; s/^kubeVersion:.*//' "$DIR"/deploy/helm/dmm/templates/*.yaml "$DIR/deploy/helm/dmm/Chart.yaml"
}
teardown_file() { k8s_teardown; }
setup() { cd "$DIR" || return; }

helm() { in_node n /usr/bin/env -C "$PWD" KUBECONFIG="$PKI/admin.conf" HOME="$DIR" "$(type -P helm)" "$@"; }

@test "helm: installed as the quick start says; the injector's pods wait for the Secret" {
    deploy/certs secret >dmm-secret.yaml
    helm install dmm deploy/helm/dmm --set "link=veth,mode=chained,injection.nativeSidecar=false,injector.caBundle=$(deploy/certs bundle)"
    kubectl apply -f dmm-secret.yaml && rm dmm-secret.yaml
    rolled_out daemonset/dmm-installer
    rolled_out deployment/dmm-injector
    helm list | grep -w deployed
    kubectl label namespace default dmm.fd.io/injection=enabled
    kubectl apply -f examples/kubernetes/nginx.yaml
    running pod/nginx pod/client
    welcome "http://$(stack_ip nginx)/"
}

@test "helm: upgraded with the watch, for one namespace; rolled back" {
    helm upgrade dmm deploy/helm/dmm --reuse-values --set 'watch.enabled=true,watch.namespaces={default}'
    rolled_out deployment/dmm-injector
    kubectl delete pod client
    kubectl apply -f examples/kubernetes/nginx.yaml
    running pod/client
    within 10 eval "kubectl exec client -- curl -s --unix-socket /run/dmm/pod/api.sock http://sidecar/metrics | grep -x 'dmm_pod_watch_up 1'"
    helm rollback dmm 1
    rolled_out deployment/dmm-injector
    run ! kubectl get clusterrole dmm-pod-watch
    # Pods that are there go on; the one that has lost its right to watch says so and keeps what it has.
    welcome "http://$(stack_ip nginx)/"
}

@test "helm: a value that is wrong is refused before anything is changed" {
    run ! helm upgrade dmm deploy/helm/dmm --reuse-values --set link=veht
    [[ "$output" = *"link"* ]]
    [ "$(helm list -o json | jq -r '.[0].revision')" = 3 ]
}

@test "helm: uninstalled as docs/operations.md says" {
    kubectl label namespace default dmm.fd.io/injection-
    kubectl delete pod nginx client
    kubectl delete mutatingwebhookconfiguration dmm-injector
    helm upgrade dmm deploy/helm/dmm --reuse-values --set uninstall=true
    rolled_out daemonset/dmm-installer
    [ ! -e "$DIR/n/net.d/0-dmm.conflist" ]
    helm uninstall dmm
    within 60 eval "[ -z \"\$(kubectl get pods -A -l app.kubernetes.io/part-of=dmm -o name)\" ]"
    [ -z "$(helm list -q)" ]
}
