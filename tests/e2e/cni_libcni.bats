#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# The plugin under real libcni, alone and in chains with Debian's plugins: its caching, capabilities
# and version checks are none of our writing.

# shellcheck disable=SC2154,SC2030,SC2031 # stderr is bats' own; each test is a process of its own
bats_require_minimum_version 1.5.0
load within
load cni_lib

setup_file() {
    command -v go >/dev/null || skip_file "no Go compiler: libcni can't be built (golang-go, golang-github-appc-cni-dev)"
    mkdir -p "$DMM_BUILD/tests"
    (cd "$BATS_TEST_DIRNAME/libcni" && GO111MODULE=off GOFLAGS="" GOPATH=/usr/share/gocode \
        GOCACHE=$DMM_BUILD/tests/go-cache go build -o "$DMM_BUILD/tests/drive" drive.go)
}

setup() {
    cni_setup cnil
    export CNI_CACHE=$DIR/cache CNI_PATH=$DMM_BUILD:$PLUGINS
    export CNI_ARGS="IgnoreUnknown=1;K8S_POD_UID=uid-a;K8S_POD_NAME=a;K8S_POD_NAMESPACE=t"
}
teardown() { cni_teardown; }

# The plugins on stdin, as an array, become a network of this version.
network() { # [VERSION]
    jq --arg v "${1:-1.0.0}" '{cniVersion: $v, name: "cnil", plugins: map(del(.cniVersion, .name))}' >"$DIR/net.conflist"
}
drive() { "$DMM_BUILD/tests/drive" "$1" "$DIR/net.conflist" cnil-a "${NETNS-/run/netns/cnil-a}" eth0; }

@test "libcni: validate, add, check, del, del again, in each version that it speaks" {
    pod_ns a
    empty=$(picture)
    for version in 0.3.0 0.3.1 0.4.0 1.0.0; do
        conf | jq -s . | network $version
        drive validate
        result=$(drive add)
        jq -e --arg v $version '.cniVersion == $v and .interfaces[2].name == "eth0"' <<<"$result"
        if [ $version != 0.3.0 ] && [ $version != 0.3.1 ]; then
            drive check
            ip -n cnil-a link set eth0 down
            run drive check
            [ "$status" -eq 1 ]
            [[ "$output" = *"eth0: is down"* ]]
        fi
        drive del
        drive del
        [ "$(picture)" = "$empty" ]
        [ -z "$(links_in_pod a)" ]
    done
}

@test "libcni: annotations and MAC by capability, as containerd passes them" {
    pod_ns a
    conf '.capabilities = {"io.kubernetes.cri.pod-annotations": true, mac: true, ips: true}' | jq -s . | network
    export CAPABILITIES='{"io.kubernetes.cri.pod-annotations": {"dmm.fd.io/stack": "fast", "other": "x"},
        "mac": "02:aa:00:00:00:01", "ips": ["10.187.3.3/16"], "portMappings": []}'
    drive add | jq -e '.interfaces[2].mac == "02:aa:00:00:00:01" and .ips[0].address == "10.187.3.3/16"'
    [ "$(jq -r .default "$DIR/run/pods/uid-a/mapping.json")" = fast ]
    drive check
    drive del
    export CAPABILITIES='{"io.kubernetes.cri.pod-annotations": {"dmm.fd.io/mapping": "{\"version\": 1, \"default\": \"fast\", \"rules\": [{\"stack\": \"fats\"}]}"}}'
    run drive add
    [ "$status" -eq 1 ]
    [[ "$output" = *"rules[0].stack"* ]]
    [ ! -e "$DIR/run/pods/uid-a" ]
}

@test "libcni: a chain of bridge, dmm, tuning, bandwidth" {
    pod_ns a
    empty=$(picture)
    {
        jq -n --arg d "$DIR" '{type: "bridge", bridge: "cnil-p", isGateway: true,
            ipam: {type: "host-local", dataDir: ($d + "/leases"), subnet: "10.186.0.0/16", routes: [{dst: "0.0.0.0/0"}]}}'
        conf '.mode = "chained"' '.capabilities = {"io.kubernetes.cri.pod-annotations": true}'
        jq -n '{type: "tuning", mtu: 1300}'
        jq -n '{type: "bandwidth", ingressRate: 1000000, ingressBurst: 1000000}'
    } | jq -s . | network
    drive validate
    drive add >"$DIR/result"
    jq -e '[.interfaces[].name] | index("net1") and index("eth0")' "$DIR/result"
    [ "$(links_in_pod a | sort | xargs)" = "eth0 net1" ]
    drive check
    drive del
    [ -z "$(links_in_pod a)" ]
    drive del
    ip link del cnil-p
    [ "$(picture)" = "$empty" ]
}

@test "libcni: a chain of bridge, dmm, portmap: the host's port is the kernel's eth0, not the stack's" {
    command -v iptables >/dev/null || skip "no iptables, which portmap needs"
    pod_ns a
    ip link set lo up
    sysctl -qw net.ipv4.ip_forward=1
    empty=$(picture; iptables -t nat -S | grep -v ' CNI-HOSTPORT-')
    {
        jq -n --arg d "$DIR" '{type: "bridge", bridge: "cnil-p", isGateway: true,
            ipam: {type: "host-local", dataDir: ($d + "/leases"), subnet: "10.186.0.0/16", routes: [{dst: "0.0.0.0/0"}]}}'
        conf '.mode = "chained"'
        jq -n '{type: "portmap", capabilities: {portMappings: true}}'
    } | jq -s . | network
    export CAPABILITIES='{"portMappings": [{"hostPort": 18080, "containerPort": 8080, "protocol": "tcp"}]}'
    drive add >"$DIR/result"
    kernel=$(jq -r '.ips[0].address | split("/")[0]' "$DIR/result")
    jq -e '(.ips | length == 1) and .interfaces[.ips[0].interface].name == "eth0"' "$DIR/result"
    [[ "$(iptables -t nat -S)" = *"--dport 18080 -j DNAT --to-destination $kernel:8080"* ]]
    ip netns exec cnil-a timeout 20 socat -u EXEC:'echo by-the-port' TCP-LISTEN:8080,fork,reuseaddr 3>&- &
    node=$(ip -j -4 addr show cnil-p | jq -r '.[0].addr_info[0].local')
    within 10 socat -u "TCP:$node:18080" "OPEN:$DIR/got,creat,trunc"
    [ "$(cat "$DIR/got")" = by-the-port ]
    # Those before portmap have nothing to say. Debian's own CHECK fails where there is no IPv6, with or without us.
    run drive check
    [ "$status" -eq 0 ] || [[ "$output" = "could not check ipv6 dnat: "* ]]
    drive del
    [ -z "$(links_in_pod a)" ]
    drive del
    ip link del cnil-p
    [ "$(picture; iptables -t nat -S | grep -v ' CNI-HOSTPORT-')" = "$empty" ]
}

@test "libcni: DEL with the namespace gone, and with no namespace at all" {
    pod_ns a
    empty=$(picture)
    conf | jq -s . | network
    drive add >/dev/null
    ip netns del cnil-a
    NETNS="" drive del
    [ "$(picture)" = "$empty" ]
    NETNS="" drive del
}

@test "libcni: an ADD that fails late in the chain is taken back by the chain's DEL" {
    pod_ns a
    empty=$(picture)
    { conf; jq -n '{type: "tuning", sysctl: {"net.no.such": "1"}}'; } | jq -s . | network
    run drive add
    [ "$status" -eq 1 ]
    drive del
    [ "$(picture)" = "$empty" ]
    [ -z "$(links_in_pod a)" ]
}
