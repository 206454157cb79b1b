#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# The CNI plugin on real namespaces, with the real host-local and static.

bats_require_minimum_version 1.5.0
load cni_lib

setup() { cni_setup cnit; }
teardown() { cni_teardown; }

count() { find "$1" -mindepth 1 -maxdepth 1 | wc -l; }
# shellcheck disable=SC2016 # awk's, not the shell's
forwarded() { ip netns exec "$PREFIX-$1" awk '/^Ip: [0-9]/ { print $7 }' /proc/net/snmp; }

@test "VERSION: every version from 0.3.0 to 1.1.0, nothing else needed" {
    run env -i CNI_COMMAND=VERSION "$DMM" <<<'{"cniVersion": "0.4.0"}'
    [ "$status" -eq 0 ]
    [ "$(jq -c . <<<"$output")" = '{"cniVersion":"0.4.0","supportedVersions":["0.3.0","0.3.1","0.4.0","1.0.0","1.1.0"]}' ]
    run env -i CNI_COMMAND=VERSION "$DMM" </dev/null
    [ "$(jq -r .cniVersion <<<"$output")" = 1.1.0 ]
}

@test "the plugin needs nothing of the node's distribution" {
    [ -z "${DMM_PRELOAD_FIRST:-}" ] || skip "a sanitizer's runtime is a library"
    run readelf -l "$DMM"
    [[ $output != *INTERP* ]]
    mkdir "$DIR/empty"
    cp "$DMM" "$DIR/empty/dmm"
    [ "$(CNI_COMMAND=VERSION chroot "$DIR/empty" /dmm </dev/null | jq -r .cniVersion)" = 1.1.0 ]
}

@test "ADD: all missing variables in one error, code 4" {
    run env -i CNI_COMMAND=ADD "$DMM" <<<"$(conf)"
    refused 4 "missing: CNI_CONTAINERID, CNI_NETNS, CNI_IFNAME, CNI_PATH"
}

@test "ADD: results in the form of each version" {
    for version in 0.3.0 0.3.1 0.4.0 1.0.0 1.1.0; do
        pod_ns v
        result=$(conf ".cniVersion = \"$version\"" | dmm ADD v)
        jq -e --arg v $version --arg ns /run/netns/cnit-v '
            .cniVersion == $v and (.interfaces | length == 3)
            and .interfaces[0].name == "cnit-br" and (.interfaces[0] | has("sandbox") | not)
            and .interfaces[2].name == "net1" and .interfaces[2].sandbox == $ns
            and (.interfaces[2].mac | test("^([0-9a-f]{2}:){5}[0-9a-f]{2}$"))
            and .ips[0].interface == 2 and (.ips[0].address | test("^10.187.0.[0-9]+/16$"))
            and .ips[0].gateway == "10.187.0.1"
            and (.ips[0] | has("version")) == ($v < "1.0.0")
            and (.interfaces[2] | has("mtu")) == ($v == "1.1.0")
            and .routes == [{dst: "0.0.0.0/0"}]' <<<"$result"
        conf ".cniVersion = \"$version\"" | dmm DEL v
        ip netns del cnit-v
    done
}

@test "ADD: a pair, one end in a bridge that is up, the other without a kernel address" {
    pod_ns a
    result=$(conf | dmm ADD a)
    host=$(jq -r '.interfaces[1].name' <<<"$result")
    ip -j link show "$host" | jq -e '.[0].master == "cnit-br" and .[0].mtu == 1400 and .[0].operstate == "UP"'
    ip -j link show cnit-br | jq -e '.[0].mtu == 1400 and (.[0].flags | index("UP"))'
    ip -n cnit-a -j addr show net1 | jq -e --argjson r "$result" \
        '.[0].addr_info == [] and .[0].address == $r.interfaces[2].mac and .[0].operstate == "UP"'
    [ "$(ip netns exec cnit-a cat /proc/sys/net/ipv6/conf/net1/disable_ipv6)" = 1 ]
    # The bridge has the address that the result says, and keeps it.
    [ "$(jq -r '.interfaces[0].mac' <<<"$result")" = "$(cat /sys/class/net/cnit-br/address)" ]
}

@test "ADD: the kernel in the pod answers for nothing on the stack's interface, and forwards nothing" {
    pod_ns a
    # A pod with an address of its own on eth0, on a node that forwards.
    ip netns exec cnit-a sysctl -qw net.ipv4.ip_forward=1 net.ipv4.conf.all.arp_ignore=0
    ip -n cnit-a link add eth0 type veth peer name eth0p
    ip -n cnit-a addr add 10.187.77.1/16 dev eth0
    ip -n cnit-a link set eth0 up
    ip -n cnit-a link set eth0p up
    address=$(conf | dmm ADD a | jq -r '.ips[0].address')
    ip addr add 10.187.99.1/16 dev cnit-br
    run -1 arping -q -c 2 -w 2 -I cnit-br 10.187.77.1
    run -1 arping -q -c 2 -w 2 -I cnit-br "${address%/*}"
    ip neigh replace "${address%/*}" lladdr "$(ip -n cnit-a -j link show net1 | jq -r '.[0].address')" dev cnit-br
    ping -q -c 3 -i 0.05 -W 1 "${address%/*}" || true
    [ "$(forwarded a)" -eq 0 ]
    # The same with forwarding: so there was something to be seen.
    ip netns exec cnit-a sysctl -qw net.ipv4.conf.net1.forwarding=1
    ping -q -c 3 -i 0.05 -W 1 "${address%/*}" || true
    [ "$(forwarded a)" -gt 0 ]
    ip addr del 10.187.99.1/16 dev cnit-br
}

@test "ADD: the pod directory says who, what, where" {
    pod_ns a
    conf '.stacks[0].options = {"x": 1}' '.on_failure = "kernel"' \
        '.mapping = {version: 1, default: "fast", rules: [{stack: "kernel", port: 22}]}' \
        '.ipam.routes += [{dst: "10.9.0.0/16", gw: "10.187.0.7"}]' | dmm ADD a
    cd "$DIR/run/pods/uid-a"
    jq -e '. == {version: 1, podUid: "uid-a", podName: "a", podNamespace: "t", containerId: "cnit-a",
        netns: "/run/netns/cnit-a"}' pod.json
    jq -e '.stacks[0].name == "fast" and .stacks[0].options == {x: 1}' stacks.json
    jq -e '.default == "fast" and .rules[0].stack == "kernel"' mapping.json
    [ "$(cat on_failure)" = kernel ]
    jq -e '.kind == "packet" and .link == "veth" and .mtu == 1400 and .addresses == ["10.187.0.2/16"]
        and .routes == [{dst: "0.0.0.0/0", gw: "10.187.0.1"}, {dst: "10.9.0.0/16", gw: "10.187.0.7"}]' ports/net1.json
    [ "$(stat -c %a . ports | sort -u)" = 755 ]
    [ "$(stat -c %a "$DIR"/state/cnit/cnit-a:net1.json)" = 600 ]
}

@test "ADD: without K8S_POD_UID the container id names the directory" {
    pod_ns a
    conf | ARGS="" dmm ADD a
    [ -e "$DIR/run/pods/cnit-a/ports/net1.json" ]
    conf | ARGS="" dmm DEL a
    [ ! -e "$DIR/run/pods/cnit-a" ]
    run dmm ADD a <<<"$(conf)"
    ARGS="K8S_POD_UID=../../x" run dmm ADD a net2 <<<"$(conf)"
    refused 4 "K8S_POD_UID"
}

@test "annotations: runtimeConfig before args.cni before CNI_ARGS before the configuration" {
    pod_ns a
    base='.stacks = [{name: "s1", type: "lwip"}, {name: "s2", type: "lwip"}, {name: "s3", type: "lwip"}] | .mapping = {version: 1, default: "kernel"}'
    by_cri='.runtimeConfig = {"io.kubernetes.cri.pod-annotations": {"dmm.fd.io/stack": "s1"}}'
    by_multus='.args = {cni: {"dmm.fd.io/mapping": {version: 1, default: "s2", rules: []}}}'
    export ARGS="IgnoreUnknown=1;dmm.fd.io/stack=s3;K8S_POD_UID=uid-a;dmm.fd.io/stack=s3"
    for case in "s1 $by_cri | $by_multus" "s2 $by_multus" "s3 ."; do
        conf "$base | ${case#* }" | dmm ADD a
        [ "$(jq -r .default "$DIR/run/pods/uid-a/mapping.json")" = "${case%% *}" ]
        conf "$base" | dmm DEL a
    done
    ARGS="IgnoreUnknown=true;K8S_POD_UID=uid-a"
    conf "$base" | dmm ADD a
    [ "$(jq -r .default "$DIR/run/pods/uid-a/mapping.json")" = kernel ]
}

@test "a bad mapping or configuration fails ADD, names key and place, and leaves nothing behind" {
    pod_ns a
    empty=$(picture)
    run dmm ADD a <<<"$(conf '.mapping = {version: 1, default: "fast", rules: [{stack: "fast", port: "80-"}]}')"
    refused 100 'rules\[0\].port'
    run dmm ADD a <<<"$(conf '.runtimeConfig = {"io.kubernetes.cri.pod-annotations": {"dmm.fd.io/mapping": "{\"version\":1,\"default\":\"fats\"}"}}')"
    refused 100 'runtimeConfig: annotation dmm.fd.io/mapping.*default'
    run dmm ADD a <<<"$(conf '.runtimeConfig = {"io.kubernetes.cri.pod-annotations": {"dmm.fd.io/stack": "none"}}')"
    refused 100 'dmm.fd.io/stack'
    run dmm ADD a <<<"$(conf '.link.bridgee = "x"')"
    refused 2 'link.bridgee.*"x"'
    run dmm ADD a <<<"$(conf '.cniVersion = "3.0.0"')"
    refused 1 '3.0.0'
    run dmm ADD a <<<'{'
    refused 6 'line [0-9]'
    [ "$(picture)" = "$empty" ]
    [ -z "$(links_in_pod a)" ]
    [ ! -e "$DIR/state" ]
}

@test "ADD: failures at each stage leave nothing behind" {
    pod_ns a
    empty=$(picture)
    # the namespace
    NETNS=/run/netns/cnit-none run dmm ADD a <<<"$(conf)"
    refused 4 CNI_NETNS
    NETNS=/etc/passwd run dmm ADD a <<<"$(conf)"
    refused 4 "not a network namespace"
    NETNS=/proc/self/ns/net run dmm ADD a <<<"$(conf)"
    refused 4 "own"
    # the state directory
    run dmm ADD a <<<"$(conf '.stateDir = "/dev/null/x"')"
    refused 103 "/dev/null"
    # the link: the pod has that interface; the bridge is none; the bridge is down
    ip -n cnit-a link add net1 type veth peer name other
    run dmm ADD a <<<"$(conf)"
    refused 101 "net1"
    ip -n cnit-a link del net1
    ip link add cnit-x type veth peer name cnit-y
    run dmm ADD a <<<"$(conf '.link.bridge = "cnit-x"')"
    refused 101 "cnit-x is not a bridge"
    ip link del cnit-x
    ip link add cnit-d type bridge
    run dmm ADD a <<<"$(conf '.link.bridge = "cnit-d"')"
    refused 101 "cnit-d is down"
    ip link del cnit-d
    # IPAM: absent, refusing, out of addresses
    run dmm ADD a <<<"$(conf '.ipam.type = "no-such-plugin"')"
    refused 102 "no-such-plugin"
    run --separate-stderr dmm ADD a <<<"$(conf '.ipam.subnet = "10.300.0.0/16"')"
    refused 999 "ipam host-local ADD:.*10.300.0.0/16"
    run dmm ADD a <<<"$(conf '.ipam.subnet = "10.187.0.0/30" | .ipam.rangeStart = "10.187.0.1" | .ipam.gateway = "10.187.0.2" | .ipam.rangeEnd = "10.187.0.1"')"
    [ "$status" -eq 0 ]
    pod_ns b
    run dmm ADD b <<<"$(conf '.ipam.subnet = "10.187.0.0/30" | .ipam.rangeStart = "10.187.0.1" | .ipam.gateway = "10.187.0.2" | .ipam.rangeEnd = "10.187.0.1"')"
    [ "$status" -eq 1 ]
    [ -z "$(links_in_pod b)" ]
    conf | dmm DEL a
    # the pod directory
    run dmm ADD a <<<"$(conf '.podDir = "/dev/null/x"')"
    [ "$status" -eq 1 ]
    mkdir -p "$DIR/run/pods/uid-a"
    ln -s /etc "$DIR/run/pods/uid-a/ports"
    run dmm ADD a <<<"$(conf)"
    refused 105 "ports"
    [ ! -e /etc/net1.json ]
    rm -rf "$DIR/run/pods/uid-a"
    [ "$(picture)" = "$empty" ]
    [ -z "$(links_in_pod a)" ]
}

@test "DEL: twice, without prevResult, without CNI_NETNS, with the namespace gone, before any ADD" {
    empty=$(picture)
    conf | dmm DEL a
    pod_ns a
    conf | dmm ADD a
    conf | dmm DEL a
    [ "$(picture)" = "$empty" ]
    conf | NETNS="" dmm DEL a
    conf | dmm ADD a
    ip netns del cnit-a
    conf | NETNS="" dmm DEL a
    [ "$(picture)" = "$empty" ]
    conf | NETNS="" dmm DEL a
    pod_ns a
    conf | dmm ADD a
    # Another namespace by the same path: it is not touched.
    ip netns del cnit-a
    pod_ns a
    ip -n cnit-a link add net1 type veth peer name other
    conf | dmm DEL a
    [ "$(links_in_pod a | sort | xargs)" = "net1 other" ]
}

@test "DEL works from the record although the configuration was broken or emptied since" {
    empty=$(picture)
    pod_ns a
    conf | dmm ADD a
    conf '.link = {type: "gone"} | .ipam = {type: "gone"} | .nonsense = 1' | dmm DEL a
    [ "$(picture)" = "$empty" ]
}

@test "DEL: a lost record is made up for by names; a broken one is quarantined and reported" {
    pod_ns a
    empty=$(picture)
    conf | dmm ADD a
    rm -rf "$DIR/state/cnit"
    conf | dmm DEL a
    run -1 ip link show cnit-br
    [ -z "$(find "$DIR/leases" -name '10.*')" ]
    conf | dmm ADD a
    truncate -s 100 "$DIR/state/cnit/cnit-a:net1.json"
    run dmm DEL a <<<"$(conf)"
    [ "$status" -eq 0 ]
    [[ "$output" = *quarantine* ]]
    [ "$(count "$DIR/state/cnit/quarantine")" -eq 1 ]
    [ "$(picture)" = "$empty" ]
}

@test "ADD again while attached is refused and harms nothing; after a reboot it takes over" {
    pod_ns a
    conf | dmm ADD a
    before=$(picture)
    run dmm ADD a <<<"$(conf)"
    refused 103 "already"
    [ "$(picture)" = "$before" ]
    # A record of another boot: its pod is gone whatever its path says.
    sed -i 's/"bootId": "[^"]*"/"bootId": "00000000-0000-0000-0000-000000000000"/' "$DIR/state/cnit/cnit-a:net1.json"
    conf | dmm ADD a
    [ "$(find "$DIR/leases" -name '10.*' | wc -l)" -eq 1 ]
    conf | dmm DEL a
}

@test "several attachments share one pod directory; the last DEL removes it" {
    pod_ns a
    empty=$(picture)
    conf | dmm ADD a net1
    conf '.name = "cnit2"' '.stacks = [{name: "slow", type: "lwip"}]' | dmm ADD a net2
    cd "$DIR/run/pods/uid-a"
    [ "$(jq -r '[.stacks[].name] | join(" ")' stacks.json)" = "fast slow" ]
    [ "$(echo ports/*)" = "ports/net1.json ports/net2.json" ]
    # One name, two meanings; two mappings; two policies.
    run dmm ADD a net3 <<<"$(conf '.stacks = [{name: "fast", type: "tcpip"}]')"
    refused 7 'stacks\[0\].*fast'
    conf '.name = "cnit2"' | dmm DEL a net2
    [ "$(echo ports/*)" = "ports/net1.json" ]
    conf | dmm DEL a net1
    cd /
    [ "$(picture)" = "$empty" ]
}

@test "a second attachment must not change the mapping of the first" {
    pod_ns a
    conf '.mapping = {version: 1, default: "fast"}' | dmm ADD a net1
    run dmm ADD a net2 <<<"$(conf '.mapping = {version: 1, default: "kernel", rules: [{stack: "fast", port: 1}]}')"
    refused 100 "earlier attachment"
    run dmm ADD a net2 <<<"$(conf '.on_failure = "kernel"')"
    refused 7 "on_failure"
    conf | dmm ADD a net2 # no opinion
    [ "$(jq -r .default "$DIR/run/pods/uid-a/mapping.json")" = fast ]
}

@test "the bridge goes with its last port if we made it, and stays if it was there or has an address" {
    pod_ns a
    pod_ns b
    conf | dmm ADD a
    conf | dmm ADD b
    conf | dmm DEL a
    ip link show cnit-br
    conf | dmm DEL b
    run ip link show cnit-br
    [ "$status" -ne 0 ]
    ip link add cnit-br type bridge
    ip link set cnit-br up
    conf | dmm ADD a
    conf | dmm DEL a
    ip link show cnit-br
    ip link del cnit-br
    conf | dmm ADD a
    ip addr add 10.187.99.1/16 dev cnit-br
    conf | dmm DEL a
    ip link show cnit-br
}

@test "CHECK: passes after ADD; finds what is missing or changed" {
    pod_ns a
    result=$(conf | dmm ADD a)
    checked=$(conf | jq --argjson r "$result" '.prevResult = $r')
    dmm CHECK a <<<"$checked"
    run dmm CHECK a <<<"$(conf)"
    refused 7 "prevResult: missing"
    run dmm CHECK a <<<"$(jq '.prevResult.ips[0].address = "10.187.9.9/16"' <<<"$checked")"
    refused 104 "addresses"
    ip -n cnit-a link set net1 mtu 1300
    run dmm CHECK a <<<"$checked"
    refused 104 "MTU is 1300, not 1400"
    ip -n cnit-a link set net1 mtu 1400
    host=$(jq -r '.interfaces[1].name' <<<"$result")
    ip link set "$host" nomaster
    run dmm CHECK a <<<"$checked"
    refused 104 "not a port of bridge"
    ip link set "$host" master cnit-br
    dmm CHECK a <<<"$checked"
    mv "$DIR/run/pods/uid-a/ports/net1.json" "$DIR/"
    run dmm CHECK a <<<"$checked"
    refused 104 "net1.json"
    mv "$DIR/net1.json" "$DIR/run/pods/uid-a/ports/"
    rm "$DIR"/leases/cnit/10.*
    run dmm CHECK a <<<"$checked"
    [ "$status" -eq 1 ]
    jq -e '.details | test("host-local CHECK")' <<<"$output"
    ip -n cnit-a link del net1
    run dmm CHECK a <<<"$checked"
    refused 104 "dmm[0-9a-f]+"
    run dmm CHECK a <<<"$(jq '.cniVersion = "0.3.1"' <<<"$checked")"
    refused 1 "0.3.1 has no CHECK"
    run dmm CHECK none <<<"$checked"
    refused 3 ""
}

@test "static IPAM, two families, DNS; no IPAM at all" {
    pod_ns a
    result=$(conf '.cniVersion = "1.1.0"' '.ipam = {type: "static", addresses: [{address: "10.187.0.9/16", gateway: "10.187.0.1"}, {address: "fd00:187::9/64"}],
        routes: [{dst: "10.0.0.0/8"}], dns: {nameservers: ["10.187.0.1"]}}' | dmm ADD a)
    jq -e '.cniVersion == "1.1.0" and ([.ips[].address] == ["10.187.0.9/16", "fd00:187::9/64"])
        and .dns.nameservers == ["10.187.0.1"]' <<<"$result"
    jq -e '.addresses == ["10.187.0.9/16", "fd00:187::9/64"]' "$DIR/run/pods/uid-a/ports/net1.json"
    conf | dmm DEL a
    conf 'del(.ipam)' | dmm ADD a | jq -e '.ips == []'
    jq -e '.addresses == []' "$DIR/run/pods/uid-a/ports/net1.json"
}

@test "MAC: the runtime's, that of CNI_ARGS, else the same for the same attachment" {
    pod_ns a
    first=$(conf | dmm ADD a | jq -r '.interfaces[2].mac')
    conf | dmm DEL a
    [ "$(conf | dmm ADD a | jq -r '.interfaces[2].mac')" = "$first" ]
    conf | dmm DEL a
    [ "$(conf '.runtimeConfig = {mac: "02:11:22:33:44:55"}' | dmm ADD a | jq -r '.interfaces[2].mac')" = 02:11:22:33:44:55 ]
    conf | dmm DEL a
    [ "$(conf | ARGS="IgnoreUnknown=1;MAC=02:11:22:33:44:66" dmm ADD a | jq -r '.interfaces[2].mac')" = 02:11:22:33:44:66 ]
    conf | ARGS="" dmm DEL a
    run dmm ADD a <<<"$(conf '.runtimeConfig = {mac: "01:00:5e:00:00:01"}')"
    refused 7 "runtimeConfig.mac"
}

@test "vhostuser: a port file for each end, the socket's folder made and removed" {
    pod_ns a
    pod_ns b
    empty=$(picture)
    link='.link = {type: "vhostuser", socket: "'$DIR'/pair/x/s.sock", role: "'
    result=$(conf "$link"'server"}' '.cniVersion = "1.1.0"' | dmm ADD a)
    jq -e --arg s "$DIR/pair/x/s.sock" '.interfaces | length == 1 and .[0].name == "net1" and .[0].socketPath == $s and .[0].sandbox == "/run/netns/cnit-a"' <<<"$result"
    conf "$link"'client"}' | dmm ADD b
    [ -z "$(links_in_pod a)$(links_in_pod b)" ]
    jq -e '.kind == "ethdev" and .link == "vhostuser" and (.devargs | test("^net_virtio_user0,path=.*,server=1$"))' "$DIR/run/pods/uid-a/ports/net1.json"
    jq -e '.devargs | test("^net_vhost0,iface=.*,client=1$")' "$DIR/run/pods/uid-b/ports/net1.json"
    [ "$(jq -r .mac "$DIR/run/pods/uid-a/ports/net1.json")" != "$(jq -r .mac "$DIR/run/pods/uid-b/ports/net1.json")" ]
    conf "$link"'server"}' '.cniVersion = "1.1.0"' | jq --argjson r "$result" '.prevResult = $r' | dmm CHECK a
    # What the sidecar left.
    python3 -c 'import socket, sys; socket.socket(socket.AF_UNIX).bind(sys.argv[1])' "$DIR/pair/x/s.sock"
    conf "$link"'client"}' | dmm DEL b
    [ -S "$DIR/pair/x/s.sock" ]
    conf "$link"'server"}' | dmm DEL a
    [ ! -e "$DIR/pair" ]
    [ "$(picture)" = "$empty" ]
}

@test "50 ADDs at once, then 50 DELs at once: each its own, nothing lost, nothing left" {
    empty=$(picture)
    for i in $(seq 50); do pod_ns "p$i"; done
    pids=()
    for i in $(seq 50); do
        (conf | dmm ADD "p$i" >"$DIR/result.$i") &
        pids+=($!)
    done
    for pid in "${pids[@]}"; do wait "$pid"; done
    [ "$(jq -r '.ips[0].address' "$DIR"/result.* | sort -u | wc -l)" -eq 50 ]
    [ "$(count "$DIR/run/pods")" -eq 50 ]
    [ "$(count /sys/class/net/cnit-br/brif)" -eq 50 ]
    pids=()
    for i in $(seq 50); do
        (conf | dmm DEL "p$i") &
        pids+=($!)
    done
    for pid in "${pids[@]}"; do wait "$pid"; done
    [ "$(picture)" = "$empty" ]
}

@test "ADDs and DELs at once share a bridge that comes and goes" {
    for i in $(seq 10); do pod_ns "p$i"; done
    pids=()
    for i in $(seq 10); do
        (for _ in 1 2 3 4 5; do
            conf | dmm ADD "p$i" >/dev/null || exit 1
            conf | dmm DEL "p$i" || exit 1
        done) &
        pids+=($!)
    done
    for pid in "${pids[@]}"; do wait "$pid"; done
    [ -z "$(find "$DIR/leases" -name '10.*')" ]
    [ ! -e /sys/class/net/cnit-br ]
}
