#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# Two nodes joined by a link, and the ways to attach pods: chained on one, alone on the other, as a second
# interface. The plugin gets onto the nodes by the installer, played from deploy/kustomize.

bats_require_minimum_version 1.5.0
load k8s_lib
load kustomize
EXAMPLES=$TOP/examples/kubernetes

# What kustomize makes of an overlay, with ConfigMaps and the DaemonSet alone, and this node's range, as an
# administrator gives it.
for_node() { # NUMBER <YAML
    /usr/bin/python3 -c '
import json, sys, yaml
number, out = sys.argv[1], []
for d in yaml.safe_load_all(sys.stdin):
    if "dmm-cni" in d["metadata"]["name"]:
        own = {"subnet": f"10.88.{number}.0/24", "gateway": f"10.88.{number}.1"}
        d["data"]["nodes.json"] = json.dumps({"node": {"ipam": {"ranges": [[own]]}}, "another": {}})
    if d["kind"] in ("ConfigMap", "DaemonSet"): out.append(d)
yaml.safe_dump_all(out, sys.stdout)' "$1"
}

setup_file() {
    k8s_setup k8sm
    export HOME=$DIR
    choose_kustomize
    local node number mode
    while read -r node number mode; do
        node_conf "$node" "$number" chained '.plugins |= [.[0]]' # the cluster's own network alone
        rm "$DIR/$node/bin/dmm"
        [ "$mode" = chained ] || rm "$DIR/$node/net.d"/*
        kustomize "$KUSTOMIZE/overlays/veth-$mode" | for_node "$number" >"$DIR/$node.yaml"
        node_start "$node"
        node_bridge "$node" "$number"
    done <<<"a 1 chained
b 2 alone"
    join_nodes
}
teardown_file() { k8s_teardown; }

# A cable, and routes of the nodes to each other's pods.
join_nodes() {
    nsenter -t "$(node_pid a)" --net ip link add cable type veth peer name cable netns "$(node_pid b)"
    in_node a sh -c 'ip addr add 192.0.2.1/30 dev cable; ip link set cable up
        ip route add 10.88.2.0/24 via 192.0.2.2; ip route add 10.77.2.0/24 via 192.0.2.2'
    in_node b sh -c 'ip addr add 192.0.2.2/30 dev cable; ip link set cable up
        ip route add 10.88.1.0/24 via 192.0.2.1; ip route add 10.77.1.0/24 via 192.0.2.1'
}

installed() { # NODE
    [ -x "$DIR/$1/bin/dmm" ] && [ -e "$DIR/$1/net.d/0-dmm.conflist" ]
}

@test "installer: as it runs in its container: plugin, then configuration; repaired when damaged" {
    local node
    for node in a b; do
        kubelet $node apply "$DIR/$node.yaml"
        within 10 installed $node || { kubelet $node logs dmm-installer-0 installer; ls -l "$DIR/$node"/{bin,net.d}; false; }
        within 5 kubelet $node probe dmm-installer-0 installer readiness
    done
    cmp "$DMM_BUILD/dmm" "$DIR/a/bin/dmm" || strip -o "$DIR/stripped" "$DMM_BUILD/dmm"
    "$DIR/a/bin/dmm-kube" --help
    jq -e '.name == "cluster" and (.plugins | map(.type) == ["bridge", "dmm"]) and .plugins[1].mode == "chained"' "$DIR/a/net.d/0-dmm.conflist"
    jq -e '.name == "dmm" and (.plugins | map(.type) == ["dmm"])' "$DIR/b/net.d/0-dmm.conflist"
    cmp "$TOP/deploy/seccomp/dmm-stackd.json" "$DIR/a/seccomp/dmm/dmm-stackd.json"
    cmp "$TOP/deploy/seccomp/dmm-stackd-afxdp.json" "$DIR/b/seccomp/dmm/dmm-stackd-afxdp.json"
    # Damage is repaired.
    rm "$DIR/a/seccomp/dmm/dmm-stackd.json"
    within 5 cmp "$TOP/deploy/seccomp/dmm-stackd.json" "$DIR/a/seccomp/dmm/dmm-stackd.json"
    cp "$DIR/a/bin/dmm" "$DIR/dmm.good"
    rm "$DIR/a/bin/dmm"
    echo '{}' >"$DIR/b/net.d/0-dmm.conflist"
    within 5 cmp "$DIR/dmm.good" "$DIR/a/bin/dmm"
    within 5 jq -e .plugins "$DIR/b/net.d/0-dmm.conflist"
    # The primary network changes: ours follows.
    jq '.plugins[0].mtu = 1400' "$DIR/a/net.d/10-cluster.conflist" >"$DIR/new" && mv "$DIR/new" "$DIR/a/net.d/10-cluster.conflist"
    within 5 jq -e '.plugins[0].mtu == 1400' "$DIR/a/net.d/0-dmm.conflist"
    # No privilege: not one capability, though root, for the folders are root's.
    # shellcheck disable=SC2016 # expanded on the node
    in_node a sh -c 'cat /proc/$(pgrep -x dmm-install)/status' | grep -E '^CapEff:\s*0000000000000000$'
    # A pod that ends leaves all in place; so does an upgrade.
    kubelet a delete dmm-installer-0
    installed a
    kubelet a apply "$DIR/a.yaml"
}

@test "two nodes: pod to pod across them, chained on one and alone on the other" {
    apply a "$EXAMPLES/nginx.yaml"
    apply b "$EXAMPLES/nginx.yaml" 'name: nginx=name: far' 'name: client=name: farclient' \
        '"remote": "10.88.0.0/16"="remote": "10.88.0.0/15"'
    # Alone: the pod's address is the stack's.
    local far
    far=$(kubelet b sync | awk '$1 == "far" { print $3 }')
    [[ $far = 10.88.2.* ]]
    [ "$(port_ip b far eth0)" = "$far" ]
    [ "$(kubelet a exec client client curl -s -m 5 "http://$far/")" = "Welcome to nginx!" ]
    [ "$(kubelet b exec farclient farclient curl -s -m 5 "http://$(port_ip a nginx)/")" = "Welcome to nginx!" ]
    [ "$(sidecar_ctl a client --json stats | jq '.clients.tx_bytes')" -gt 50 ]
    [ "$(sidecar_ctl b farclient --json stats | jq '.clients.tx_bytes')" -gt 50 ]
    # The kubelet's probes reach the stack by the bridge.
    kubelet b probe far far readiness
    kubelet b probe far far liveness
}

plain_pod() { # NODE
    cat >"$DIR/plain.yaml" <<'YAML'
apiVersion: v1
kind: Pod
metadata: {name: plain}
spec:
  containers: [{name: app, image: "nginx:stable", command: [sleep, infinity]}]
YAML
    apply "$1" "$DIR/plain.yaml"
    run ! kubelet "$1" pid plain dmm-stackd
}
plain_reads() { kubelet "$1" exec plain app cat "/proc/net/$2"; }

@test "a pod without an annotation: chained it has the network that it had; alone it has none" {
    plain_pod a
    [[ "$(kubelet a sync | awk '$1 == "plain" { print $3 }')" = 10.77.1.* ]]
    run ! grep net1: <(plain_reads a dev)
    in_node a test ! -e "/run/dmm/pods/$(pod_uid a plain)"
    kubelet a exec plain app curl -s -m 5 "http://$(kubelet a sync | awk '$1 == "nginx" { print $3 }')/" | grep 'Welcome to nginx!'
    kubelet a delete plain
    plain_pod b
    [[ "$(port_ip b plain eth0)" = 10.88.2.* ]]
    run ! grep '10\.88\.' <(plain_reads b fib_trie)
    [ "$(plain_reads b route | wc -l)" -eq 1 ] # the heading
    run ! kubelet b exec plain app curl -s -m 5 "http://$(port_ip b far eth0)/"
    kubelet b delete plain
}

@test "two nodes: one reboots while the other stays; the installer takes back what the old boot left" {
    node_stop b
    sed -i -E 's/("bootId": *")[^"]*/\100000000-0000-0000-0000-000000000000/' "$DIR"/b/lib-cni/dmm/dmm/*.json
    node_start b
    node_bridge b 2
    join_nodes
    kubelet b sync
    [ "$(kubelet a exec client client curl -s -m 5 "http://$(port_ip b far eth0)/")" = "Welcome to nginx!" ]
    kubelet b logs dmm-installer-0 installer | grep -E 'dmm: [0-9]+ taken back'
    [ "$(in_node b find /var/lib/cni/networks -name '10.*' | wc -l)" -eq 2 ]
}

@test "a second interface: the runtime attaches two networks; the stack has the second" {
    local node
    node_stop b
    rm -rf "$DIR"/b/pods/* "$DIR"/b/lib-cni/*
    node_conf b 2 chained '.plugins |= [.[0]]'
    jq '.name = "fast"' "$DIR/b/net.d/0-dmm.conflist" >"$DIR/b/net.d/20-fast.conflist"
    rm "$DIR/b/net.d/0-dmm.conflist"
    DMM_NODE_CONFS=0 node_start b
    node_bridge b 2
    join_nodes
    apply b "$EXAMPLES/nginx.yaml" 'name: nginx=name: second' 'name: client=name: other'
    [[ "$(kubelet b sync | awk '$1 == "second" { print $3 }')" = 10.77.2.* ]]
    [ "$(kubelet a exec client client curl -s -m 5 "http://$(port_ip b second eth1)/")" = "Welcome to nginx!" ]
    [ "$(sockets b second '.state == "LISTEN"')" -eq 1 ]
    for node in second other; do kubelet b delete $node; done
    run ! grep -v cable <(node_left b)
}

removed() { [ ! -e "$DIR/a/net.d/0-dmm.conflist" ]; }

@test "uninstall: as it runs in its container: the configuration goes and stays away; pods that are left end well" {
    local left dir=$DIR/uninstall
    mkdir -p "$dir"
    printf 'resources: [%s]\ncomponents: [%s]\n' "$(realpath --relative-to="$dir" "$KUSTOMIZE/overlays/veth-chained")" \
        "$(realpath --relative-to="$dir" "$KUSTOMIZE/uninstall")" >"$dir/kustomization.yaml"
    kustomize "$dir" | for_node 1 >"$DIR/uninstall.yaml"
    installed a
    kubelet a delete dmm-installer-0
    kubelet a apply "$DIR/uninstall.yaml"
    within 10 removed
    kubelet a probe dmm-installer-0 installer readiness
    kubelet a logs dmm-installer-0 installer | grep 'removed: the configuration in /etc/cni/net.d; the plugin stays'
    [ -x "$DIR/a/bin/dmm" ]
    # The cluster's own network is in force again; a pod with the annotation has nothing of ours.
    sleep 0.5 # containerd's watch of the folder
    sed 's/by-hand/bare/; /initContainers/,$d' "$EXAMPLES/by-hand.yaml" >"$DIR/bare.yaml"
    echo '  containers: [{name: app, image: "nginx:stable", command: [sleep, infinity]}]' >>"$DIR/bare.yaml"
    kubelet a apply "$DIR/bare.yaml"
    [[ "$(kubelet a sync | awk '$1 == "bare" { print $3 }')" = 10.77.1.* ]]
    run ! kubelet a exec bare app grep net1 /proc/net/dev
    kubelet a delete bare
    # containerd calls the plugins of the configuration in force, so what ours made of earlier pods is left to gc.
    kubelet a delete nginx
    kubelet a delete client
    kubelet a delete dmm-installer-0
    in_node a /opt/cni/bin/dmm gc
    left=$(node_left a | grep -v cable || true)
    [ -z "$left" ] || { echo "$left"; false; }
}
