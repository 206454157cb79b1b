#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# GC and STATUS of CNI 1.1.0.

# shellcheck disable=SC2154 # stderr is bats' own
bats_require_minimum_version 1.5.0
load cni_lib

setup() { cni_setup cnig; }
teardown() { cni_teardown; }

conf11() { conf '.cniVersion = "1.1.0"' "$@"; }

# GC and STATUS get neither container nor interface.
verb() { # COMMAND
    env -u CNI_CONTAINERID -u CNI_NETNS -u CNI_IFNAME -u CNI_ARGS CNI_COMMAND="$1" "$DMM"
}

attached() { find "$DIR/state/$PREFIX" -name '*.json' -path "*:*" -printf '%f\n' | sort | xargs; }
leases() { find "$DIR/leases" -name '10.*' | wc -l; }

@test "GC: what is not in the list goes, whole" {
    for i in a b c; do
        pod_ns $i
        conf11 | dmm ADD $i >/dev/null
    done
    conf11 '."cni.dev/valid-attachments" = [{containerID: "cnig-b", ifname: "net1"}, {containerID: "cnig-c", ifname: "net2"}]' | verb GC
    [ "$(attached)" = "cnig-b:net1.json" ]
    [ "$(leases)" -eq 1 ]
    [ "$(echo "$DIR"/run/pods/*)" = "$DIR/run/pods/uid-b" ]
    [ -z "$(links_in_pod a)$(links_in_pod c)" ]
    [ "$(links_in_pod b)" = net1 ]
    conf11 '."cni.dev/attachments" = []' | verb GC
    [ -z "$(attached)" ]
    [ "$(leases)" -eq 0 ]
    run -1 ip link show cnig-br
}

@test "GC: without a list only those whose namespace is gone" {
    for i in a b; do
        pod_ns $i
        conf11 | dmm ADD $i >/dev/null
    done
    ip netns del cnig-a
    conf11 | verb GC
    [ "$(attached)" = "cnig-b:net1.json" ]
    [ "$(leases)" -eq 1 ]
    conf11 '."cni.dev/valid-attachments" = null' | verb GC
    [ "$(attached)" = "cnig-b:net1.json" ]
    # The same path, another namespace.
    ip netns del cnig-b
    pod_ns b
    conf11 | verb GC
    [ -z "$(attached)" ]
}

@test "GC: only our network's; a record of another boot goes; a broken one is quarantined" {
    for i in a b c; do pod_ns $i; done
    conf11 | dmm ADD a >/dev/null
    conf11 | dmm ADD b >/dev/null
    conf11 '.name = "cnig2"' | dmm ADD c >/dev/null
    sed -i 's/"bootId": "[^"]*"/"bootId": "00000000-0000-0000-0000-000000000000"/' "$DIR/state/cnig/cnig-a:net1.json"
    truncate -s 10 "$DIR/state/cnig/cnig-b:net1.json"
    run --separate-stderr verb GC <<<"$(conf11)"
    [ "$status" -eq 0 ]
    [[ "$stderr" = *quarantine* ]]
    [ -e "$DIR/state/cnig2/cnig-c:net1.json" ]
    [ -z "$(find "$DIR/state/cnig" -maxdepth 1 -name '*.json')" ]
    conf11 '.name = "cnig2"' | dmm DEL c
}

@test "GC: an attachment that is being worked on is left alone" {
    pod_ns a
    conf11 | dmm ADD a >/dev/null
    flock "$DIR/state/cnig/cnig-a:net1.json" sleep 2 3>&- &
    sleep 0.2
    conf11 '."cni.dev/valid-attachments" = []' | verb GC
    [ "$(attached)" = "cnig-a:net1.json" ]
    wait
    conf11 '."cni.dev/valid-attachments" = []' | verb GC
    [ -z "$(attached)" ]
}

@test "GC: refusals" {
    run verb GC <<<"$(conf)"
    refused 1 "1.0.0 has no GC"
    run verb GC <<<"$(conf11 '."cni.dev/valid-attachments" = {}')"
    refused 7 "cni.dev/valid-attachments: must be an array"
    run verb GC <<<"$(conf11 '."cni.dev/valid-attachments" = [{containerID: "x"}]')"
    refused 7 'cni.dev/valid-attachments\[0\]'
    run env -u CNI_PATH CNI_COMMAND=GC "$DMM" <<<"$(conf11)"
    refused 4 "missing: CNI_PATH"
}

@test "GC: an IPAM plugin that fails keeps its record for the next time" {
    mkdir "$DIR/bin"
    ln -s "$PLUGINS/host-local" "$DIR/bin/other" # by that name it is run
    pod_ns a
    conf11 '.ipam.type = "other"' | CNI_PATH=$DIR/bin dmm ADD a >/dev/null
    rm "$DIR/bin/other"
    run verb GC <<<"$(conf11 '."cni.dev/valid-attachments" = []')"
    refused 102 "cnig-a net1: .*other"
    [ "$(attached)" = "cnig-a:net1.json" ]
    ln -s "$PLUGINS/host-local" "$DIR/bin/other"
    conf11 '."cni.dev/valid-attachments" = []' | verb GC
    [ -z "$(attached)" ]
    [ "$(leases)" -eq 0 ]
}

@test "GC and STATUS are delegated to an IPAM plugin that knows them" {
    mkdir "$DIR/bin"
    cat >"$DIR/bin/modern" <<MODERN
#!/bin/bash
[ "\$CNI_COMMAND" != VERSION ] || { echo '{"cniVersion": "1.1.0", "supportedVersions": ["1.0.0", "1.1.0"]}'; exit; }
echo "\$CNI_COMMAND \$(jq -c '."cni.dev/valid-attachments"')" >>"$DIR/calls"
[ ! -e "$DIR/ill" ] || { echo '{"cniVersion": "1.1.0", "code": 50, "msg": "no pool"}'; exit 1; }
MODERN
    chmod +x "$DIR/bin/modern"
    export CNI_PATH=$DIR/bin
    conf11 '.ipam.type = "modern"' '."cni.dev/valid-attachments" = [{containerID: "x", ifname: "y"}]' | verb GC
    conf11 '.ipam.type = "modern"' | verb STATUS
    [ "$(cat "$DIR/calls")" = 'GC [{"containerID":"x","ifname":"y"}]
STATUS null' ]
    touch "$DIR/ill"
    run verb STATUS <<<"$(conf11 '.ipam.type = "modern"')"
    refused 50 "modern.*no pool"
}

@test "STATUS: well, and what is missing" {
    conf11 | verb STATUS
    [ ! -e "$DIR/state" ] # it changes nothing
    run verb STATUS <<<"$(conf)"
    refused 1 "has no STATUS"
    run verb STATUS <<<"$(conf11 '.ipam.type = "none-such"')"
    refused 50 "none-such"
    ip link add cnig-x type veth peer name cnig-y
    run verb STATUS <<<"$(conf11 '.link.bridge = "cnig-x"')"
    refused 50 "not a bridge"
    run verb STATUS <<<"$(conf11 '.stateDir = "/dev/null/x"')"
    refused 50 "stateDir"
    run verb STATUS <<<"$(conf11 '.link.mtuu = 1')"
    refused 2 "link.mtuu"
}

@test "after a reboot the first ADD reaps what the old boot left" {
    for i in a b c; do pod_ns $i; done
    conf11 | dmm ADD a >/dev/null
    conf11 | dmm ADD b >/dev/null
    for i in a b; do
        sed -i 's/"bootId": "[^"]*"/"bootId": "00000000-0000-0000-0000-000000000000"/' "$DIR/state/cnig/cnig-$i:net1.json"
    done
    echo 00000000-0000-0000-0000-000000000000 >"$DIR/state/cnig/.boot"
    conf11 | dmm ADD c >/dev/null
    [ "$(attached)" = "cnig-c:net1.json" ]
    [ "$(leases)" -eq 1 ]
}

@test "an ADD that finds no free address reaps the dead and tries again" {
    small='.ipam += {subnet: "10.187.0.0/29", rangeStart: "10.187.0.2", rangeEnd: "10.187.0.2"}'
    pod_ns a
    pod_ns b
    conf11 "$small" | dmm ADD a >/dev/null
    run --separate-stderr dmm ADD b <<<"$(conf11 "$small")"
    [ "$status" -eq 1 ]
    ip netns del cnig-a
    conf11 "$small" | dmm ADD b >/dev/null
    [ "$(attached)" = "cnig-b:net1.json" ]
}

@test "dmm gc: by hand, of every network or of one" {
    for i in a b c; do pod_ns $i; done
    conf | dmm ADD a >/dev/null
    conf | dmm ADD b >/dev/null
    conf '.name = "cnig2"' | dmm ADD c >/dev/null
    ip netns del cnig-a
    ip netns del cnig-c
    run "$DMM" gc --state-dir "$DIR/state" --network cnig
    [ "$status" -eq 0 ]
    [ "$output" = "cnig: 1 taken back" ]
    [ "$(attached)" = "cnig-b:net1.json" ]
    [ -e "$DIR/state/cnig2/cnig-c:net1.json" ]
    run "$DMM" gc --state-dir "$DIR/state"
    [[ "$output" = *"cnig2: 1 taken back"* ]]
    [ "$(leases)" -eq 1 ]
    run "$DMM" gc --state-dri x
    [ "$status" -eq 2 ]
    [[ "$output" = *--state-dir* ]]
}

@test "dmm gc --boot: what an earlier boot left, and nothing that is alive, without sight or power over links" {
    for i in a b; do pod_ns $i; done
    conf | dmm ADD a >/dev/null
    conf | dmm ADD b >/dev/null
    # As in a container: no namespaces to be seen, no capabilities.
    run unshare --net --mount bash -c "umount -l /run/netns 2>/dev/null; mount -t tmpfs tmpfs /run/netns &&
        exec setpriv --bounding-set=-all --inh-caps=-all '$DMM' gc --boot --state-dir '$DIR/state'"
    [ "$status" -eq 0 ]
    [ "$output" = "cnig: 0 taken back" ]
    sed -i -E 's/("bootId": *")[^"]*/\100000000-0000-0000-0000-000000000000/' "$DIR/state/cnig/cnig-a:net1.json"
    run unshare --net --mount bash -c "umount -l /run/netns 2>/dev/null; mount -t tmpfs tmpfs /run/netns &&
        exec setpriv --bounding-set=-all --inh-caps=-all '$DMM' gc --boot --state-dir '$DIR/state'"
    [ "$output" = "cnig: 1 taken back" ]
    [ "$(attached)" = "cnig-b:net1.json" ]
    [ "$(leases)" -eq 1 ]
}
