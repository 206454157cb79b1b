# SPDX-License-Identifier: Apache-2.0
# A cluster of one node for tests: Kubernetes' own API server, controllers, scheduler, kubelet and kube-proxy
# (tests/cluster/build makes them) over real containerd, in the namespaces of a node of k8s_lib.bash.

# shellcheck source-path=SCRIPTDIR source=../e2e/k8s_lib.bash
source "$(dirname "${BASH_SOURCE[0]}")/../e2e/k8s_lib.bash"
# shellcheck source-path=SCRIPTDIR source=../e2e/kustomize.bash
source "$(dirname "${BASH_SOURCE[0]}")/../e2e/kustomize.bash"
CLUSTER_BIN=${CLUSTER_DIR:-$DMM_BUILD/cluster}/bin
PKI=/run/dmm-test-cluster/pki
NODE_IP=192.168.77.1
API=https://127.0.0.1:6443

# ---- certificates ----

certificate() { # NAME SUBJECT [ALTERNATIVE-NAMES]
    openssl req -newkey rsa:2048 -nodes -keyout "$PKI/$1.key" -subj "$2" -out "$PKI/$1.csr" 2>/dev/null
    openssl x509 -req -in "$PKI/$1.csr" -CA "$PKI/ca.crt" -CAkey "$PKI/ca.key" -CAcreateserial -days 2 \
        -out "$PKI/$1.crt" -extfile <(echo "subjectAltName=${3:-DNS:$1}") 2>/dev/null
}

kubeconfig() { # NAME
    cat >"$PKI/$1.conf" <<YAML
apiVersion: v1
kind: Config
clusters: [{name: c, cluster: {server: "$API", certificate-authority: $PKI/ca.crt}}]
users: [{name: u, user: {client-certificate: $PKI/$1.crt, client-key: $PKI/$1.key}}]
contexts: [{name: x, context: {cluster: c, user: u}}]
current-context: x
YAML
}

make_pki() {
    mkdir -p "$PKI"
    openssl req -x509 -newkey rsa:2048 -nodes -keyout "$PKI/ca.key" -out "$PKI/ca.crt" -days 2 -subj /CN=test-ca 2>/dev/null
    openssl genrsa -out "$PKI/account.key" 2048 2>/dev/null
    certificate apiserver /CN=kube-apiserver \
        "DNS:kubernetes.default.svc,DNS:kubernetes.default,IP:127.0.0.1,IP:$NODE_IP,IP:10.96.0.1"
    certificate admin /O=system:masters/CN=admin
    certificate node /O=system:nodes/CN=system:node:node "DNS:node,IP:$NODE_IP"
    kubeconfig admin
    kubeconfig node
}

# ---- programs ----

# In the node, as its init's child: it ends with the node.
run_in_node() { # PROGRAM ARG...
    local name
    name=$(basename "$1")
    in_node n "$@" >"$DIR/$name.log" 2>&1 &
    disown
}

kubectl() { in_node n /usr/bin/env -C "$PWD" KUBECONFIG="$PKI/admin.conf" kubectl "$@"; }

start_control_plane() {
    local bin=$CLUSTER_BIN
    run_in_node etcd --data-dir "$DIR/etcd" --unsafe-no-fsync
    run_in_node "$bin/kube-apiserver" --etcd-servers=http://127.0.0.1:2379 --secure-port=6443 \
        --advertise-address=$NODE_IP --service-cluster-ip-range=10.96.0.0/24 --allow-privileged \
        --tls-cert-file="$PKI/apiserver.crt" --tls-private-key-file="$PKI/apiserver.key" \
        --client-ca-file="$PKI/ca.crt" --cert-dir="$DIR/certs" \
        --kubelet-preferred-address-types=InternalIP --kubelet-client-certificate="$PKI/admin.crt" --kubelet-client-key="$PKI/admin.key" \
        --service-account-issuer=https://kubernetes.default.svc \
        --service-account-key-file="$PKI/account.key" --service-account-signing-key-file="$PKI/account.key" \
        --authorization-mode=Node,RBAC --enable-admission-plugins=NodeRestriction
    within 60 kubectl get --raw /readyz
    run_in_node "$bin/kube-controller-manager" --kubeconfig="$PKI/admin.conf" --leader-elect=false \
        --use-service-account-credentials --service-account-private-key-file="$PKI/account.key" \
        --root-ca-file="$PKI/ca.crt" --cert-dir="$DIR/certs"
    run_in_node "$bin/kube-scheduler" --kubeconfig="$PKI/admin.conf" --leader-elect=false --cert-dir="$DIR/certs"
    run_in_node "$bin/kube-proxy" --kubeconfig="$PKI/admin.conf" --proxy-mode=iptables --hostname-override=node \
        --conntrack-max-per-core=0 --conntrack-tcp-timeout-established=0s --conntrack-tcp-timeout-close-wait=0s
}

start_kubelet() {
    # A kubelet ends what it finds below its root and does not know: each has one of its own.
    local controller root
    root=dmm-test/$(basename "$BATS_TEST_FILENAME" .bats)
    for controller in /sys/fs/cgroup/*/; do mkdir -p "$controller/$root"; done 2>/dev/null
    cat >"$DIR/kubelet.yaml" <<YAML
apiVersion: kubelet.config.k8s.io/v1beta1
kind: KubeletConfiguration
authentication: {anonymous: {enabled: false}, x509: {clientCAFile: $PKI/ca.crt}}
tlsCertFile: $PKI/node.crt
tlsPrivateKeyFile: $PKI/node.key
cgroupDriver: cgroupfs
cgroupRoot: /$root
enforceNodeAllocatable: []
failSwapOn: false
evictionHard: {nodefs.available: 1%, imagefs.available: 1%}
resolvConf: /dev/null
syncFrequency: 10s
fileCheckFrequency: 10s
YAML
    run_in_node "$CLUSTER_BIN/kubelet" --config "$DIR/kubelet.yaml" --kubeconfig "$PKI/node.conf" --hostname-override node \
        --node-ip $NODE_IP --container-runtime remote --container-runtime-endpoint "unix://$DIR/n/c.sock" \
        --image-service-endpoint "unix://$DIR/n/c.sock" --pod-infra-container-image test.local/pause:1 \
        --volume-plugin-dir "$DIR/volume-plugins"
    within 60 eval "kubectl get node node | grep -w Ready"
}

# ---- the whole ----

# Also again after node_stop, as a reboot does: $DIR is the disk.
cluster_boot() {
    mkdir -p "$DIR"/{kubelet,log}
    node_start n
    in_node n mount --bind "$DIR/kubelet" /var/lib/kubelet
    in_node n mount --bind "$DIR/log" /var/log
    in_node n ip link add host0 type bridge
    in_node n ip addr add $NODE_IP/24 dev host0
    in_node n ip link set host0 up
    in_node n ip route add default dev host0
    start_control_plane
    start_kubelet
}

# A cluster, and in $DIR what its administrator has: the repository's deploy/ and examples/, with an overlay "mine" of
# LINK-MODE that is right for this old a Kubernetes.
cluster_setup() { # LINK MODE
    [ -x "$CLUSTER_BIN/kubelet" ] || skip_file "no Kubernetes: tests/cluster/build makes it"
    k8s_setup cluster
    choose_kustomize
    node_conf n 1 chained '.plugins |= .[:1]'
    make_pki
    cluster_boot
    cp -r "$TOP/deploy" "$TOP/examples" "$DIR/"
    local kustomize=$DIR/deploy/kustomize
    sed -i 's,^apiVersion: policy/v1$,&beta1,' "$kustomize/base/injector.yaml"
    [ "$2" != alone ] || sed -i 's/^  replicas: 2/  replicas: 1/' "$kustomize/base/injector.yaml" # one a node
    mkdir "$kustomize/overlays/mine"
    jq '.nativeSidecar = false' "$kustomize/links/$1/injector.json" >"$kustomize/overlays/mine/injector.json"
    cat >"$kustomize/overlays/mine/kustomization.yaml" <<YAML
resources: [../$1-$2]
configMapGenerator:
- {name: dmm-injector, namespace: dmm-system, behavior: merge, files: [injector.json]}
YAML
}

# ---- what an administrator does ----

overlay() { "$KUSTOMIZE_BY" "$DIR/deploy/kustomize/overlays/mine"; }
rolled_out() { kubectl -n dmm-system rollout status --timeout=120s "$1"; }
running() { kubectl wait --for=condition=Ready --timeout=60s "$@"; }
ctl() { kubectl exec "$1" -c dmm-stackd -- dmmctl "${@:2}"; } # POD ARG...
stack_ip() { ctl "$1" --json stacks | jq -r '.stacks[].addresses[]?' | grep -m 1 -oE '^10\.88\.[0-9.]+'; } # POD
fetch() { kubectl exec client -- curl -s -m 5 "$@"; }
welcome() { [ "$(fetch "$@" | grep -c 'Welcome to nginx!')" -eq 1 ]; }

install_dmm() {
    overlay | kubectl apply -f -
    deploy/certs secret | kubectl apply -f -
    kubectl patch mutatingwebhookconfiguration dmm-injector --type=json -p \
        "[{\"op\":\"add\",\"path\":\"/webhooks/0/clientConfig/caBundle\",\"value\":\"$(deploy/certs bundle)\"}]"
    rolled_out daemonset/dmm-installer
    rolled_out deployment/dmm-injector
}
