#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# The injector as it is shipped: its Deployment of deploy/kustomize with the certificate of deploy/certs, in its
# container on real containerd; asked over TLS at the pod's address, by the service's name.

bats_require_minimum_version 1.5.0
load k8s_lib
load kustomize
EXAMPLES=$TOP/examples/kubernetes
POD=dmm-injector-0

setup_file() {
    k8s_setup k8si
    export HOME=$DIR CERTS=$DIR/certs
    choose_kustomize
    kustomize "$KUSTOMIZE/overlays/veth-chained" | /usr/bin/python3 -c '
import sys, yaml
yaml.safe_dump_all([d for d in yaml.safe_load_all(sys.stdin) if d["kind"] in ("ConfigMap", "Deployment")], sys.stdout)' \
        >"$DIR/injector.yaml"
    node_conf n 1 chained
    node_start n
    node_bridge n 1
}
teardown_file() { k8s_teardown; }

# A new certificate of the folder's CA, which is made with the folder.
new_certificate() { # FOLDER
    "$TOP/deploy/certs" secret "$1" >"$DIR/secret.yaml"
}
authority() { # FOLDER: by the bundle, as the webhook's configuration has it
    "$TOP/deploy/certs" bundle "$1" | base64 -d >"$1/bundle.crt"
    echo "$1/bundle.crt"
}

ask() { # FOLDER VERB...
    local ca
    ca=$(authority "$1")
    in_node n "$TOP/tests/e2e/injector/ask.py" "$(cat "$DIR/address"):8443" "$ca" "${@:2}"
}
served() { # FOLDER: its certificate is what clients see
    [ "$(ask "$1" serial)" = "$(openssl x509 -in "$1/tls.crt" -noout -serial | cut -d= -f2)" ]
}

@test "injector's pod: starts as shipped, with the rights of its manifest and no others, and its probes pass" {
    local pid status
    new_certificate "$CERTS"
    kubelet n apply "$DIR/injector.yaml" "$DIR/secret.yaml" | awk '{ print $3 }' >"$DIR/address"
    [[ "$(cat "$DIR/address")" = 10.77.1.* ]]
    kubelet n probe $POD injector readiness
    kubelet n probe $POD injector liveness
    kubelet n logs $POD injector | grep 'ready: port 8443, link veth'
    pid=$(kubelet n pid $POD injector)
    status=$(in_node n cat "/proc/$pid/status")
    grep -E '^Uid:\s65532\s65532\s65532\s65532$' <<<"$status"
    grep -E '^Gid:\s65532\s65532\s65532\s65532$' <<<"$status"
    [ "$(grep -cE '^Cap(Prm|Eff|Bnd|Inh|Amb):\s*0000000000000000$' <<<"$status")" -eq 5 ]
    grep -E '^NoNewPrivs:\s*1$' <<<"$status"
    grep -E '^Seccomp:\s*2$' <<<"$status"
    # Nothing of it can be written to, and there is no token of its account.
    in_node n cat "/proc/$pid/mounts" >"$DIR/mounts"
    for path in / /etc/dmm /etc/dmm-tls; do awk -v path=$path '$2 == path { print $4 }' "$DIR/mounts" | grep -E '^ro(,|$)'; done
    run ! grep serviceaccount "$DIR/mounts"
}

@test "injector's pod: a review over TLS is answered; the pod that comes of it runs on its stack" {
    ask "$CERTS" pod "$EXAMPLES/nginx.yaml" >"$DIR/patched.json"
    # As the program makes it by hand.
    "$TOP/tests/e2e/cri/inject.py" "$DMM_BUILD/dmm-injector" "$KUSTOMIZE/links/veth/injector.json" "$EXAMPLES/nginx.yaml" |
        /usr/bin/python3 -c 'import json, sys, yaml; json.dump(next(yaml.safe_load_all(sys.stdin)), sys.stdout)' |
        jq -S . | cmp - <(jq -S . "$DIR/patched.json")
    kubelet n apply "$DIR/patched.json"
    [ "$(sockets n nginx '.state == "LISTEN" and .local == "0.0.0.0:80" and .instance == "fast"')" -eq 1 ]
    [ "$(in_node n curl -s -m 5 "http://$(port_ip n nginx)/")" = "Welcome to nginx!" ]
    kubelet n delete nginx
    # What is refused, with the text that kubectl prints.
    sed 's/stack: fast/stack: fats/' "$EXAMPLES/by-hand.yaml" | sed '/initContainers/,/^  containers/{/^  containers/!d}' >"$DIR/fats.yaml"
    run -1 ask "$CERTS" pod "$DIR/fats.yaml"
    [[ "$output" = *'denied the request: annotation dmm.fd.io/stack: no stack has the name "fats"'* ]]
    kubelet n logs $POD injector | grep 'refused'
    ask "$CERTS" get /metrics | grep '^dmm_injector_reviews_total{outcome="refused"} 1$'
}

# It looks when somebody connects.
unfit_is_said() { # FOLDER that is served on
    served "$1" && kubelet n logs $POD injector | grep 'do not belong together'
}

@test "injector's pod: certificates rotate in the volume, also to a new CA, and the container goes on" {
    local pid
    pid=$(kubelet n pid $POD injector)
    served "$CERTS"
    new_certificate "$CERTS"
    run ! served "$CERTS"
    kubelet n object "$DIR/secret.yaml"
    within 10 served "$CERTS"
    # Another CA: who trusts the old one alone is lost, so the bundle changes with it.
    new_certificate "$DIR/other-certs"
    kubelet n object "$DIR/secret.yaml"
    within 10 served "$DIR/other-certs"
    run ! ask "$CERTS" serial
    [[ "$output" = *"certificate verify failed"* ]]
    # A pair that does not fit is kept out, and the one in use stays.
    sed "s|^  tls.key: .*|  tls.key: $(base64 -w0 <"$CERTS/tls.key")|" "$DIR/secret.yaml" >"$DIR/unfit.yaml"
    kubelet n object "$DIR/unfit.yaml"
    within 5 unfit_is_said "$DIR/other-certs"
    kubelet n probe $POD injector readiness
    new_certificate "$CERTS"
    kubelet n object "$DIR/secret.yaml"
    within 10 served "$CERTS"
    ask "$CERTS" pod "$EXAMPLES/nginx.yaml" | grep dmm-stackd >/dev/null
    [ "$(kubelet n pid $POD injector)" = "$pid" ]
}

@test "injector's pod: one that hangs fails both probes; a new container serves the certificate of the volume" {
    local pid
    pid=$(kubelet n pid $POD injector)
    in_node n kill -STOP "$pid"
    run ! kubelet n probe $POD injector readiness
    [[ "$output" = *"timed out"* ]]
    kubelet n live $POD injector >"$DIR/live"
    [ "$(grep -c 'liveness: .*timed out' "$DIR/live")" -eq 3 ]
    kubelet n probe $POD injector readiness
    [ "$(kubelet n pid $POD injector)" != "$pid" ]
    served "$CERTS"
}

@test "injector's pod: without a certificate it does not start, and says which file" {
    sed 's/tls.crt:/other.crt:/' "$DIR/secret.yaml" >"$DIR/no-cert.yaml"
    kubelet n object "$DIR/no-cert.yaml"
    sleep 1.1 # it looks once a second; what it has stays
    kubelet n probe $POD injector readiness
    kubelet n delete $POD
    kubelet n apply "$DIR/injector.yaml" "$DIR/no-cert.yaml" >/dev/null 2>&1 &
    within 5 eval "kubelet n logs $POD injector | grep '/etc/dmm-tls/tls.crt'"
    run ! kubelet n probe $POD injector readiness
    kill $! 2>/dev/null || true
    kubelet n delete $POD
    [ -z "$(node_left n)" ] || { node_left n; false; }
}
