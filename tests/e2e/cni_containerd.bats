#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# The plugin under real containerd, called as the kubelet calls it. The node is thrown away after each
# test: its own network, mount and process namespaces; containerd ends with them.

# shellcheck disable=SC2154 # stderr is bats' own
bats_require_minimum_version 1.5.0
load cni_lib

setup_file() {
    local program
    for program in containerd runc ctr; do
        command -v $program >/dev/null || skip_file "no $program: real runtimes can't be tried (containerd, runc)"
    done
    /usr/bin/python3 -c 'import grpc, google.protobuf' 2>/dev/null || skip_file "no python3-grpcio: CRI can't be spoken"
    mkdir -p "$DMM_BUILD/tests"
    gcc -O2 -static -o "$DMM_BUILD/tests/pause" "$BATS_TEST_DIRNAME/cri/pause.c"
    /usr/bin/python3 "$BATS_TEST_DIRNAME/cri/cri.py" image "$DMM_BUILD/tests/pause.tar" test.local/pause:1 "$DMM_BUILD/tests/pause"
}

setup() {
    cni_setup cnir
    mkdir -p "$DIR"/{root,state,net.d,bin}
    ln -s "$PLUGINS"/* "$DIR/bin/"
    # Writes down what containerd says, then is the plugin.
    cat >"$DIR/bin/dmm" <<SPY
#!/bin/bash
input=\$(cat)
jq -nc --arg c "\$CNI_COMMAND" --arg ns "\$CNI_NETNS" --argjson in "\$input" \
    '{command: \$c, netns: \$ns, prev: (\$in | has("prevResult")), runtime: \$in.runtimeConfig}' >>"$DIR/calls"
exec "$DMM" <<<"\$input"
SPY
    chmod +x "$DIR/bin/dmm"
    {
        jq -n --arg d "$DIR" '{type: "bridge", bridge: "cnir-p", isGateway: true,
            ipam: {type: "host-local", dataDir: ($d + "/leases"), subnet: "10.186.0.0/16", routes: [{dst: "0.0.0.0/0"}]}}'
        conf '.mode = "chained"' '.capabilities = {"io.kubernetes.cri.pod-annotations": true}' 'del(.name, .cniVersion)'
    } | jq -s '{cniVersion: "1.0.0", cniVersions: ["1.0.0", "1.1.0"], name: "cnir", plugins: .}' >"$DIR/net.d/10-cnir.conflist"
    cat >"$DIR/config.toml" <<CONFIG
version = 2
root = "$DIR/root"
state = "$DIR/state-c"
disabled_plugins = ["io.containerd.snapshotter.v1.btrfs", "io.containerd.snapshotter.v1.zfs", "io.containerd.snapshotter.v1.aufs", "io.containerd.snapshotter.v1.devmapper"]
[grpc]
  address = "$DIR/c.sock"
[plugins."io.containerd.grpc.v1.cri"]
  netns_mounts_under_state_dir = true
  sandbox_image = "test.local/pause:1"
  disable_tcp_service = true
  stream_server_address = "127.0.0.1"
  stream_server_port = "0"
  disable_apparmor = true
  disable_hugetlb_controller = true
  restrict_oom_score_adj = true
  [plugins."io.containerd.grpc.v1.cri".cni]
    bin_dir = "$DIR/bin"
    conf_dir = "$DIR/net.d"
CONFIG
}
teardown() { cni_teardown; }

# Runs a function of this file on a node of its own.
# shellcheck disable=SC2163,SC2016 # the function's name is in $1; the inner shell expands
on_node() { # FUNCTION
    export DIR DMM DMM_BUILD PREFIX BATS_TEST_DIRNAME
    export -f "$1" cri links_in_sandbox same
    timeout 120 unshare --net --mount --pid --fork --kill-child --mount-proc bash -euc '
        ip link set lo up
        containerd --config "$DIR/config.toml" >"$DIR/containerd.log" 2>&1 &
        for _ in $(seq 100); do ctr -a "$DIR/c.sock" version >/dev/null 2>&1 && break; sleep 0.1; done
        ctr -a "$DIR/c.sock" -n k8s.io images import "$DMM_BUILD/tests/pause.tar" >/dev/null
        '"$1" 3>&- || { tail -n 20 "$DIR/containerd.log"; return 1; }
}
cri() { /usr/bin/python3 "$BATS_TEST_DIRNAME/cri/cri.py" "$DIR/c.sock" "$@"; }
links_in_sandbox() { nsenter --net="$(find "$DIR/state-c" -name 'cni-*' -path '*netns*' | head -n 1)" ip -o link show | awk -F'[ @:]+' '$2 != "lo" { print $2 }' | sort | xargs; }
same() { [ "$1" = "$2" ] || { echo "\"$1\" is not \"$2\""; exit 1; }; }

pod_lives_and_goes() {
    id=$(cri run web uid-web "$DIR/logs" dmm.fd.io/stack=fast other=x)
    same "$(links_in_sandbox)" "eth0 net1"
    same "$(jq -r .default "$DIR/run/pods/uid-web/mapping.json")" fast
    same "$(jq -r '.podName + " " + .podNamespace + " " + .podUid' "$DIR/run/pods/uid-web/pod.json")" "web default uid-web"
    same "$(jq -r .ifname "$DIR/run/pods/uid-web/ports/net1.json")" net1
    cri stop "$id"
    [ ! -e "$DIR/run/pods/uid-web" ]
    cri remove "$id"
    same "$(jq -r .command "$DIR/calls" | uniq -c | awk '{ print $2 }' | xargs)" "ADD DEL"
    # containerd's last DEL knows neither namespace nor result.
    jq -se '.[-1] | .command == "DEL" and .netns == "" and .prev == false' "$DIR/calls"
    jq -se '.[0].runtime["io.kubernetes.cri.pod-annotations"]["dmm.fd.io/stack"] == "fast"' "$DIR/calls"
    same "$(find "$DIR/leases" -name '10.*')" ""
    same "$(find "$DIR/state/cnir" -name '*.json')" ""
}

@test "containerd: a pod with annotations comes and goes; the second DEL has no namespace" {
    on_node pod_lives_and_goes
}

without_annotations() {
    id=$(cri run web uid-web "$DIR/logs")
    jq -se '.[0] | .command == "ADD" and .runtime == {"io.kubernetes.cri.pod-annotations": null}' "$DIR/calls"
    # It is attached as any other; with nothing asked for, the configuration's mapping counts.
    same "$(links_in_sandbox)" "eth0 net1"
    same "$(jq -r .default "$DIR/run/pods/uid-web/mapping.json")" kernel
    cri stop "$id"
    cri remove "$id"
    [ ! -e "$DIR/run/pods/uid-web" ]
    same "$(find "$DIR/leases" -name '10.*')" ""
}

@test "containerd: of a pod without any annotation it says null; the pod is attached all the same" {
    on_node without_annotations
}

bad_mapping() {
    ! cri run web uid-web "$DIR/logs" 'dmm.fd.io/mapping={"version": 1, "default": "fast", "rules": [{"stack": "fast", "port": "80-"}]}' 2>"$DIR/refusal"
    grep -F 'rules[0].port' "$DIR/refusal"
    grep -F 'annotation dmm.fd.io/mapping' "$DIR/refusal"
    same "$(find "$DIR/leases" -name '10.*')" ""
    same "$(find "$DIR/state/cnir" -name '*.json' 2>/dev/null)" ""
    [ ! -e "$DIR/run/pods/uid-web" ]
}

@test "containerd: a bad mapping fails the pod with a message that names the key; nothing stays" {
    on_node bad_mapping
}

killed_node() {
    id=$(cri run web uid-web "$DIR/logs" dmm.fd.io/stack=fast)
    kill -9 "$(pgrep -f '^/?.*pause$' | head -n 1)" # the pod dies under containerd
    cri stop "$id"
    cri remove "$id"
    same "$(find "$DIR/leases" -name '10.*')" ""
    [ ! -e "$DIR/run/pods/uid-web" ]
}

@test "containerd: a pod that died is cleaned up" {
    on_node killed_node
}
