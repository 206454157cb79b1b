#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# Chained after a plugin that made the pod's eth0, and what runtimes pass as capabilities.

# shellcheck disable=SC2154,SC2030,SC2031 # stderr is bats' own; each test is a subshell
bats_require_minimum_version 1.5.0
load cni_lib

setup() { cni_setup cnic; }
teardown() { cni_teardown; }

primary() { jq -n --arg d "$DIR" '{cniVersion: "1.0.0", name: "cnic", type: "bridge", bridge: "cnic-p", isGateway: true,
    ipam: {type: "host-local", dataDir: ($d + "/leases"), subnet: "10.186.0.0/16", routes: [{dst: "0.0.0.0/0"}]}}'; }

# One plugin of the chain, all of which get CNI_IFNAME=eth0.
plugin() { # COMMAND TYPE
    CNI_COMMAND=$1 CNI_CONTAINERID=cnic-a CNI_NETNS=/run/netns/cnic-a CNI_IFNAME=eth0 \
        CNI_ARGS="IgnoreUnknown=1;K8S_POD_UID=uid-a" "$2"
}

chained() { conf '.mode = "chained"' "$@"; }

@test "chained: prevResult is passed on, ours comes after it, the primary keeps its interface" {
    pod_ns a
    empty=$(picture)
    prev=$(primary | plugin ADD "$PLUGINS/bridge")
    result=$(chained | jq --argjson p "$prev" '.prevResult = $p' | plugin ADD "$DMM")
    jq -e --argjson p "$prev" '.interfaces[0:3] == $p.interfaces and .ips == $p.ips
        and .routes == $p.routes and (.interfaces | length) == 6
        and .interfaces[5].name == "net1" and .interfaces[5].sandbox == "/run/netns/cnic-a"' <<<"$result"
    [ "$(links_in_pod a | sort | xargs)" = "eth0 net1" ]
    jq -e '.ifname == "net1" and (.addresses | length == 1)' "$DIR/run/pods/uid-a/ports/net1.json"
    # A plugin of Debian's after us in the chain takes our result.
    jq -n --argjson r "$result" '{cniVersion: "1.0.0", name: "cnic", type: "tuning", mtu: 1300, prevResult: $r}' |
        plugin ADD "$PLUGINS/tuning" | jq -e '.interfaces | length == 6'
    [ "$(ip -n cnic-a -j link show eth0 | jq '.[0].mtu')" -eq 1300 ]
    chained | jq --argjson p "$result" '.prevResult = $p' | plugin CHECK "$DMM"
    ip -n cnic-a link set net1 down
    run plugin CHECK "$DMM" <<<"$(chained | jq --argjson p "$result" '.prevResult = $p')"
    refused 104 "net1: is down"
    chained | plugin DEL "$DMM"
    [ "$(links_in_pod a)" = eth0 ]
    primary | plugin DEL "$PLUGINS/bridge"
    ip link del cnic-p
    [ "$(picture)" = "$empty" ]
}

@test "chained: with an interface name of one's own; GC knows it by CNI_IFNAME" {
    pod_ns a
    prev=$(primary | plugin ADD "$PLUGINS/bridge")
    chained '.ifname = "dmm9"' '.cniVersion = "1.1.0"' | jq --argjson p "$prev" '.prevResult = $p' | plugin ADD "$DMM" >/dev/null
    [ "$(links_in_pod a | sort | xargs)" = "dmm9 eth0" ]
    chained '.cniVersion = "1.1.0"' '."cni.dev/valid-attachments" = [{containerID: "cnic-a", ifname: "eth0"}]' | plugin GC "$DMM"
    [ "$(links_in_pod a | sort | xargs)" = "dmm9 eth0" ]
    chained '.cniVersion = "1.1.0"' '."cni.dev/valid-attachments" = []' | plugin GC "$DMM"
    [ "$(links_in_pod a)" = eth0 ]
}

# As a runtime that passes annotations does: its word, and the result before us.
asked() { # ANNOTATIONS-JSON [FILTER...]
    chained '.unannotated = "skip"' "${@:2}" | jq --argjson a "$1" --argjson p "$prev" \
        '.prevResult = $p | .runtimeConfig = {"io.kubernetes.cri.pod-annotations": $a}'
}

@test "chained: who has no annotation of ours is left alone, where the runtime passes annotations" {
    pod_ns a
    prev=$(primary | plugin ADD "$PLUGINS/bridge")
    local none before
    before=$(picture)
    for none in null '{}' '{"kubernetes.io/config.source": "api"}' '{"dmm.fd.io/inject": "false"}'; do
        asked "$none" | plugin ADD "$DMM" | jq -e --argjson p "$prev" 'del(.dns) == ($p | del(.dns))'
        asked "$none" | plugin CHECK "$DMM"
        [ "$(picture)" = "$before" ]
        asked "$none" | plugin DEL "$DMM"
    done
    # Asked for by any of ours; or not known, where the runtime does not pass them; or by default.
    local some
    for some in '{"dmm.fd.io/stack": "fast"}' '{"dmm.fd.io/inject": "true"}' '{"dmm.fd.io/injected": "0.1.0"}'; do
        asked "$some" | plugin ADD "$DMM" >/dev/null
        [ "$(links_in_pod a | sort | xargs)" = "eth0 net1" ]
        asked "$some" | plugin DEL "$DMM"
    done
    asked null | jq 'del(.runtimeConfig)' | plugin ADD "$DMM" >/dev/null
    [ "$(links_in_pod a | sort | xargs)" = "eth0 net1" ]
    chained | plugin DEL "$DMM"
    asked null 'del(.unannotated)' | plugin ADD "$DMM" >/dev/null
    [ "$(links_in_pod a | sort | xargs)" = "eth0 net1" ]
    # The configuration was changed since: what is there is looked at all the same.
    ip -n cnic-a link set net1 down
    run plugin CHECK "$DMM" <<<"$(asked null)"
    refused 104 "net1: is down"
    chained | plugin DEL "$DMM"
    [ "$(picture)" = "$before" ]
    run plugin ADD "$DMM" <<<"$(conf '.unannotated = "skip"')"
    refused 7 'unannotated: "skip" needs mode "chained"'
}

@test "chained: refusals" {
    pod_ns a
    run plugin ADD "$DMM" <<<"$(chained)"
    refused 7 "prevResult: missing"
    run plugin ADD "$DMM" <<<"$(chained '.ifname = "eth0" | .prevResult = {}')"
    refused 7 "ifname: .*eth0.* the kernel and a stack can.t share it"
    run plugin ADD "$DMM" <<<"$(chained '.prevResult = {ips: [{address: "x"}]}')"
    refused 6 'prevResult: ips\[0\]'
    run plugin ADD "$DMM" <<<"$(conf '.prevResult = {}')"
    refused 7 "needs mode"
    [ -z "$(links_in_pod a)" ]
}

@test "ips: the runtime's wish reaches the IPAM plugin" {
    pod_ns a
    conf '.runtimeConfig = {ips: ["10.187.7.7/16"]}' | dmm ADD a | jq -e '.ips[0].address == "10.187.7.7/16"'
    jq -e '.addresses == ["10.187.7.7/16"]' "$DIR/run/pods/uid-a/ports/net1.json"
    conf | dmm DEL a
    conf | ARGS="IgnoreUnknown=1;IP=10.187.7.8" dmm ADD a | jq -e '.ips[0].address == "10.187.7.8/16"'
}

@test "CNIDeviceInfoFile: written for vhostuser, removed by DEL; nothing for veth" {
    pod_ns a
    link='.link = {type: "vhostuser", role: "server", socket: "'$DIR'/s.sock"}'
    info='.runtimeConfig = {CNIDeviceInfoFile: "'$DIR'/info/dp/a.json"}'
    conf "$link" "$info" | dmm ADD a >/dev/null
    jq -e --arg s "$DIR/s.sock" '. == {type: "vhost-user", version: "1.1.0", "vhost-user": {mode: "server", path: $s}}' "$DIR/info/dp/a.json"
    conf "$link" | dmm DEL a
    [ ! -e "$DIR/info/dp/a.json" ]
    conf "$info" | dmm ADD a >/dev/null
    [ ! -e "$DIR/info/dp/a.json" ]
    conf | dmm DEL a
    # One that can't be written takes everything back.
    run dmm ADD a <<<"$(conf "$link" '.runtimeConfig = {CNIDeviceInfoFile: "/dev/null/x"}')"
    refused 5 "/dev/null"
    [ ! -e "$DIR/state/cnic/cnic-a:net1.json" ]
    [ -z "$(find "$DIR/leases" -name '10.*')" ]
}
