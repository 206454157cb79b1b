#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# The pod of the injector by podman's own commands, with the images of `make images`: podman 4.3 knows neither native
# sidecars nor the downward API (docs/compatibility.md), so what a kubelet would do is done here, step by step.

bats_require_minimum_version 1.5.0
load k8s_lib
load podman

setup_file() {
    podman_setup /run/dmm-test-pods
    k8s_images
    local image
    for image in pause dmm-stackd dmm-shim nginx; do
        podman load -q -i "$TEST_IMAGES/$image.tar" || skip_file "podman does not run here"
    done
    # No annotations come from podman: the mapping is the configuration's.
    jq -n '{cniVersion: "0.4.0", name: "fast", plugins: [{type: "dmm", link: {type: "veth", bridge: "dmm0"},
        stacks: [{name: "fast", type: "tcpip"}], mapping: {version: 1, default: "fast"},
        ipam: {type: "host-local", ranges: [[{subnet: "10.88.7.0/24"}]]}}]}' >"$P/net.d/fast.conflist"
}
teardown_file() { podman_teardown; }

# The rights that the injector gives on this link; podman's own seccomp profile is the runtime's default.
pod_up() { # NAME CMD...
    local name=$1 dir
    shift
    podman pod create --name "$name" --infra-image test.local/pause:1 --network fast --share net >/dev/null
    podman pod start "$name" >/dev/null
    dir=/run/dmm/pods/$(podman pod inspect -f '{{.InfraContainerID}}' "$name")
    [ -e "$dir/stacks.json" ]
    podman run --rm --network none --user 65532:65532 --cap-drop all --read-only -v "$P/shim-$name:/dmm" dmm.fd.io/dmm-shim:0.1.0 /dmm
    podman run -d --pod "$name" --name "$name-stackd" --user 0:0 --cap-drop all --cap-add NET_RAW --read-only \
        --security-opt no-new-privileges -v "$dir:/run/dmm/pod" dmm.fd.io/dmm-stackd:0.1.0 >/dev/null
    within 10 podman exec "$name-stackd" dmmctl ready
    # shellcheck disable=SC2016 # the dynamic linker's own variable
    podman run -d --pod "$name" --name "$name-app" -v "$dir:/run/dmm/pod:ro" -v "$P/shim-$name:/dmm:ro" \
        -e 'LD_PRELOAD=/dmm/$LIB/libdmm.so' docker.io/library/nginx:stable "$@" >/dev/null
}

pod_ip() { podman exec "$1-stackd" dmmctl --json stacks | jq -r '.stacks[] | select(.name == "fast") | .addresses[0]' | cut -d/ -f1; }

welcome() { [ "$(podman exec client-app curl -s -m 5 "http://$1/")" = "Welcome to nginx!" ]; }

@test "podman: two pods of sidecar and app; nginx on one stack, curl on the other; a sidecar that dies comes back" {
    mkdir -p "$P/shim-web" "$P/shim-client"
    chown 65532:65532 "$P"/shim-*
    mkdir -p /run/dmm
    pod_up web
    pod_up client sleep infinity
    podman exec web-stackd dmmctl --json stacks
    within 10 welcome "$(pod_ip web)"
    podman exec web-stackd dmmctl sockets | grep -E 'LISTEN .*0.0.0.0:80 .*fast +nginx/'
    [ "$(podman exec client-stackd dmmctl --json stats | jq '.clients.tx_bytes')" -gt 50 ]
    grep -E '^CapBnd:\s*0000000000002000$' "/proc/$(podman inspect -f '{{.State.Pid}}' web-stackd)/status"
    podman kill -s KILL web-stackd >/dev/null
    podman wait web-stackd >/dev/null
    podman start web-stackd >/dev/null
    within 10 podman exec web-stackd dmmctl ready
    within 10 welcome "$(pod_ip web)"
}

@test "podman: pods that are removed leave nothing" {
    podman pod rm -f -t 0 web client >/dev/null
    [ -z "$(find /run/dmm/pods -mindepth 1)" ]
    [ -z "$(find /var/lib/cni/networks/fast -name '10.*')" ]
    [ -z "$(find /var/lib/cni/dmm -name '*.json')" ]
    [ -z "$(ip -o link show type veth)" ]
}
