#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# A link whose sidecar is not root and has no capability, with the rights of deploy/, on real containerd; and a program
# of a musl distribution.

bats_require_minimum_version 1.5.0
load k8s_lib
load kube/certify
EXAMPLES=$TOP/examples/kubernetes

setup_file() {
    k8s_setup k8sl
    node_conf n 1 chained
    node_start n
    node_bridge n 1
    apply n "$EXAMPLES/nginx.yaml"
}
teardown_file() { k8s_teardown; }

client_of_link() { # NAME
    apply n "$EXAMPLES/redis.yaml" "name: redis-client=name: $1" 'image: redis:7
    args: [sleep, infinity]=image: nginx:stable
    args: [sleep, infinity]'
    kubelet n delete redis
}

@test "tap: a sidecar without rights opens the pod's device and reaches another pod" {
    [ -c /dev/net/tun ] || skip "no /dev/net/tun"
    use_link tap
    client_of_link tapped
    unprivileged tapped
    [ "$(kubelet n exec tapped client curl -s -m 5 "http://$(port_ip n nginx)/")" = "Welcome to nginx!" ]
    [ "$(sidecar_ctl n tapped --json stats | jq '.clients.tx_bytes')" -gt 50 ]
    kubelet n delete tapped
}

@test "afxdp: a sidecar with NET_RAW alone uses the map that the plugin pinned for the pod" {
    in_node n mount -t bpf bpf /sys/fs/bpf || skip "no bpf file system"
    # The runtime's default profile forbids bpf(2), by which a socket is put into the map.
    mkdir -p "$DIR/n/seccomp/dmm"
    cp "$TOP"/deploy/seccomp/*.json "$DIR/n/seccomp/dmm/"
    use_link afxdp
    apply n "$EXAMPLES/redis.yaml" 'name: redis-client=name: swift' 'image: redis:7
    args: [sleep, infinity]=image: nginx:stable
    args: [sleep, infinity]'
    kubelet n delete redis
    [ "$(kubelet n exec swift client curl -s -m 5 "http://$(port_ip n nginx)/")" = "Welcome to nginx!" ]
    [ "$(sidecar_ctl n swift --json stats | jq '.clients.tx_bytes')" -gt 50 ]
    in_node n cat "/proc/$(kubelet n pid swift dmm-stackd)/status" | grep -E '^CapEff:\s*0000000000002000$'
    kubelet n delete swift
}

@test "a program of a musl distribution finds the library that was built for it" {
    [ -e "$DMM_BUILD/libdmm-musl.so" ] && [ -e "$TEST_IMAGES/musl.tar" ] || skip "no musl-tools"
    unset INJECTOR_CONFIG
    node_conf n 1 chained
    sleep 0.5
    apply n "$EXAMPLES/memcached.yaml" 'name: memcached
  annot=name: alpine
  annot' 'name: memcached
    image: memcached:1.6
    args: [memcached, -u, nobody, -t, "4"]=name: client
    image: test.local/musl:1'
    kubelet n exec alpine client get "$(port_ip n nginx)" | tee /dev/stderr | grep "Welcome to nginx!"
    [ "$(sidecar_ctl n alpine --json stats | jq '.clients.tx_bytes')" -gt 15 ]
    kubelet n delete alpine
}

# Ours alone: what the kubelet brings does not change in this test.
mapped_by_watch() { [ "$(kubelet n exec watched dmm-stackd dmmctl --json mapping | jq -r .mapping.default)" = "$1" ]; }

@test "a watch at the API server, by the pod's own network, with the rights of the sidecar and its seccomp profile" {
    local api=$DIR/api
    unset INJECTOR_CONFIG
    node_conf n 1 chained
    sleep 0.5
    mkdir -p "$api" "$DIR/n/seccomp/dmm"
    cp "$TOP"/deploy/seccomp/*.json "$DIR/n/seccomp/dmm/"
    (
        cd "$api" || exit 1
        authority root
        certify server root "subjectAltName=IP:10.77.1.1"
    )
    echo one >"$api/token"
    echo ok >"$api/mode"
    : >"$api/log"
    echo '{"version": 1, "annotations": {"dmm.fd.io/stack": "kernel"}}' >"$api/pod.json"
    in_node n "$TOP/tests/e2e/kube/watch.py" "$api/server.pem" "$api/server.key" "$api" 6443 >"$api/port" 2>&1 &
    within 10 test -s "$api/port"
    {
        /usr/bin/python3 -c '
import sys, yaml
pod = next(yaml.safe_load_all(open(sys.argv[1], encoding="utf-8")))
pod["metadata"].update(name="watched", uid="u1", namespace="t")
print(yaml.safe_dump(pod))' "$EXAMPLES/memcached.yaml"
        echo ---
        root_ca_configmap "$api/root.pem"
    } >"$DIR/watched.yaml"
    jq '.stackdArgs = ["--kube-api", "https://10.77.1.1:6443"]
        | .seccompProfile = {type: "Localhost", localhostProfile: "dmm/dmm-stackd.json"}' \
        "$TOP/deploy/kustomize/links/veth/injector.json" >"$DIR/watch.json"
    INJECTOR_OPTIONS=--watch INJECTOR_CONFIG=$DIR/watch.json apply n "$DIR/watched.yaml"
    within 10 mapped_by_watch kernel || { kubelet n logs watched dmm-stackd; cat "$api/log"; false; }
    echo '{"version": 2, "annotations": {"dmm.fd.io/stack": "fast"}}' >"$api/new" && mv "$api/new" "$api/pod.json"
    within 10 mapped_by_watch fast
    # The app has neither the token nor the folder.
    run ! kubelet n exec watched memcached ls /etc/dmm/kube
    kubelet n delete watched
    echo close >"$api/mode"
}

# The ConfigMap that each namespace of a cluster has.
root_ca_configmap() { # CA
    jq -n --rawfile ca "$1" '{apiVersion: "v1", kind: "ConfigMap", metadata: {name: "kube-root-ca.crt"}, data: {"ca.crt": $ca}}'
}

@test "links: pods of every link are gone without a trace" {
    kubelet n delete nginx
    kubelet n delete client
    [ -z "$(node_left n)" ] || { node_left n; false; }
}
