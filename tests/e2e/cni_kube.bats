#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# Annotations from the API server: over HTTPS, with a real chain of certificates.

# shellcheck disable=SC2154 # stderr is bats' own
bats_require_minimum_version 1.5.0
load cni_lib
load kube/certify

setup_file() {
    export KUBE=$BATS_FILE_TMPDIR
    cd "$KUBE" || return 1
    authority root
    authority wrong
    certify middle root "basicConstraints=critical,CA:TRUE"
    certify server middle "subjectAltName=IP:127.0.0.1"
    certify elsewhere middle "subjectAltName=IP:127.0.0.2"
    certify client root "extendedKeyUsage=clientAuth"
    cat server.pem middle.pem >chain.pem
    cat elsewhere.pem middle.pem >elsewhere-chain.pem
    start() { # NAME CERTIFICATE KEY
        /usr/bin/python3 "$BATS_TEST_DIRNAME/kube/server.py" "$2" "$3" root.pem "$KUBE/$1.log" >"$1.port" 3>&- &
        echo $! >"$1.pid"
        for _ in $(seq 50); do [ -s "$1.port" ] && break; sleep 0.1; done
    }
    start api chain.pem server.key
    start elsewhere elsewhere-chain.pem elsewhere.key
    export PORT ELSEWHERE
    PORT=$(cat api.port) ELSEWHERE=$(cat elsewhere.port)
}
teardown_file() { kill "$(cat "$KUBE/api.pid")" "$(cat "$KUBE/elsewhere.pid")"; }

setup() {
    cni_setup cniu
    pod_ns a
    : >"$KUBE/api.log"
    kubeconfig "token: good"
}
teardown() { cni_teardown; }

kubeconfig() { # USER [CA [SERVER]]
    cat >"$DIR/kubeconfig" <<YAML
apiVersion: v1
kind: Config
current-context: main
contexts:
- name: other
  context: {cluster: none, user: none}
- name: main
  context:
    cluster: here   # a comment
    user: "us"
clusters:
- name: here
  cluster:
    ${2:-certificate-authority: $KUBE/root.pem}
    server: ${3:-https://127.0.0.1:$PORT}
users:
- name: us
  user:
    $1
YAML
}

# ADD of a pod whose name chooses the server's answer.
add() { # NAME [FILTER...]
    local name=$1
    shift
    conf '.kubernetes = {kubeconfig: "'"$DIR"'/kubeconfig", timeoutMs: 1000}' "$@" |
        ARGS="IgnoreUnknown=1;K8S_POD_NAMESPACE=t;K8S_POD_NAME=$name;K8S_POD_UID=uid-a" dmm ADD a
}
mapped() { jq -r .default "$DIR/run/pods/uid-a/mapping.json"; }
times_asked() { grep -c . "$KUBE/api.log" || true; }

@test "kubernetes: annotations by token, inline and from a file, and by client certificate, inline and from files" {
    echo good >"$DIR/token"
    data() { base64 -w0 "$KUBE/$1"; }
    for user in "token: good" "tokenFile: token" \
        "client-certificate: $KUBE/client.pem
    client-key: $KUBE/client.key" \
        "client-certificate-data: $(data client.pem)
    client-key-data: $(data client.key)"; do
        kubeconfig "$user"
        add ok >/dev/null
        [ "$(mapped)" = fast ]
        conf | dmm DEL a
    done
    kubeconfig "token: good" "certificate-authority-data: $(data root.pem)"
    add ok >/dev/null
    [ "$(mapped)" = fast ]
}

@test "kubernetes: by service account" {
    mkdir "$DIR/sa"
    echo good >"$DIR/sa/token"
    cp "$KUBE/root.pem" "$DIR/sa/ca.crt"
    conf '.kubernetes = {serviceAccount: "'"$DIR"'/sa", server: "https://127.0.0.1:'"$PORT"'/"}' |
        ARGS="IgnoreUnknown=1;K8S_POD_NAMESPACE=t;K8S_POD_NAME=ok;K8S_POD_UID=uid-a" dmm ADD a >/dev/null
    [ "$(mapped)" = fast ]
}

@test "kubernetes: not asked where the runtime passed annotations, nor on DEL" {
    add ok '.runtimeConfig = {"io.kubernetes.cri.pod-annotations": {"dmm.fd.io/stack": "kernel"}}' >/dev/null
    [ "$(mapped)" = kernel ]
    conf '.kubernetes = {kubeconfig: "/none"}' | dmm DEL a
    [ "$(times_asked)" -eq 0 ]
}

@test "kubernetes: a pod without annotations gets the configured mapping" {
    add bare '.mapping = {version: 1, default: "fast"}' >/dev/null
    [ "$(mapped)" = fast ]
}

@test "kubernetes: refused clearly, once, and nothing stays" {
    empty=$(picture)
    for case in "401 not known" "403 RBAC" "404 no such pod" "410 gone" "302 answered 302"; do
        : >"$KUBE/api.log"
        run add "${case%% *}"
        refused 106 "pod t/${case%% *}: .*${case#* }"
        [ "$(times_asked)" -eq 1 ]
    done
    kubeconfig "token: bad"
    run add ok
    refused 106 "401: who asks is not known"
    kubeconfig "token: good"
    run add other-uid
    refused 106 "another one by now: its uid is uid-b"
    run add both
    refused 100 "the API server: both"
    run add not-json
    refused 106 "the answer is not JSON"
    run add no-pod
    refused 106 "no pod"
    run add huge
    [ "$status" -eq 1 ]
    [ "$(picture)" = "$empty" ]
}

@test "kubernetes: what may pass is tried again within the deadline, then code 11" {
    add flaky >/dev/null
    [ "$(mapped)" = fast ]
    [ "$(times_asked)" -eq 3 ]
    conf | dmm DEL a
    run add 503
    refused 11 "503"
    run add 429
    refused 11 "too many requests"
    start=$(date +%s%N)
    run add slow
    took=$((($(date +%s%N) - start) / 1000000))
    refused 11 "timed out|Timeout"
    [ "$took" -ge 900 ]
    [ "$took" -lt 2500 ]
    run add cut
    [ "$status" -eq 1 ]
    kubeconfig "token: good" "" "https://127.0.0.1:1"
    run add ok
    refused 11 "127.0.0.1"
}

@test "kubernetes: a server that its certificate does not vouch for is told nothing" {
    kubeconfig "token: good" "certificate-authority: $KUBE/wrong.pem"
    run add ok
    refused 106 "certificate"
    kubeconfig "token: good" "" "https://127.0.0.1:$ELSEWHERE"
    run add ok
    refused 106 "subject name|certificate"
    [ "$(times_asked)" -eq 0 ]
    [ ! -s "$KUBE/elsewhere.log" ]
    for bad in "https://127.0.0.1:$PORT
    insecure-skip-tls-verify: true" "http://127.0.0.1:$PORT"; do
        kubeconfig "token: good" "" "$bad"
        run add ok
        refused 106 "insecure-skip-tls-verify|must be an https URL"
    done
}

@test "kubernetes: bad kubeconfigs name file and key" {
    for case in "exec: {command: x}|exec" "name: x|neither a token" "client-key-data: '!'|client-key-data: not base64" \
        "tokenFile: none|tokenFile"; do
        kubeconfig "${case%%|*}"
        run add ok
        refused 106 "kubeconfig: .*${case#*|}"
    done
    sed -i 's/current-context: main/current-context: gone/' "$DIR/kubeconfig"
    run add ok
    refused 106 'contexts: has none named "gone"'
    echo 'a: [1, 2' >"$DIR/kubeconfig"
    run add ok
    refused 106 "line [0-9]"
    printf 'a: &x 1\nb: *x\n' >"$DIR/kubeconfig"
    run add ok
    refused 106 "alias"
    rm "$DIR/kubeconfig"
    run add ok
    refused 106 "No such file"
}

@test "kubernetes: dmm-kube missing, without its libraries, or ended: said by name, code 106" {
    local bin=$DIR/alone
    mkdir "$bin"
    cp "$DMM" "$bin/dmm"
    DMM=$bin/dmm
    run add ok
    refused 106 "$bin/dmm-kube: No such file"
    for case in "exit 127|libcurl.so.4" 'kill -9 $$|ended with status 137 and no answer' "echo '{}'|no answer"; do
        printf '#!/bin/sh\n%s\n' "${case%%|*}" >"$bin/dmm-kube"
        chmod +x "$bin/dmm-kube"
        run add ok
        refused 106 "$bin/dmm-kube.*${case#*|}"
    done
    run "$DMM_BUILD/dmm-kube" <<<'{"pod": 1}'
    [ "$status" -eq 1 ]
    [[ $(jq -r .what <<<"$output") = "kubernetes: the question: "* ]]
    "$DMM_BUILD/dmm-kube" --help
}

@test "kubernetes: open by configuration: the configured mapping and a warning" {
    run --separate-stderr add 403 '.kubernetes.on_failure = "default"' '.mapping = {version: 1, default: "fast"}'
    [ "$status" -eq 0 ]
    [[ "$stderr" = *403*"configured mapping"* ]]
    [ "$(mapped)" = fast ]
}

@test "kubernetes: names that are no pod's are not put into a URL; bad keys" {
    run add '../../../x'
    refused 4 "K8S_POD_NAME"
    run dmm ADD a <<<"$(conf '.kubernetes = {}')"
    refused 7 "kubernetes: one of"
    run dmm ADD a <<<"$(conf '.kubernetes = {kubeconfig: "/x", server: "https://y"}')"
    refused 7 "kubernetes.server"
    run dmm ADD a <<<"$(conf '.kubernetes = {kubeconfi: "/x"}')"
    refused 2 "kubernetes.kubeconfi"
    run dmm ADD a <<<"$(conf '.kubernetes = {kubeconfig: "/x", timeoutMs: 0}')"
    refused 7 "kubernetes.timeoutMs"
}
