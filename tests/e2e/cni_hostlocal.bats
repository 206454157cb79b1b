#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# Our own host-local beside Debian's: on the same files, in turn and at once.

bats_require_minimum_version 1.5.0
load cni_lib

setup() { cni_setup cnihl; }
teardown() { cni_teardown; }

# Debian's, as the plugin of another network type would call it.
debian() { # COMMAND CONTAINER < CONF
    CNI_COMMAND=$1 CNI_CONTAINERID=$PREFIX-$2 CNI_NETNS=/run/netns/x CNI_IFNAME=net1 CNI_ARGS='' "$PLUGINS/host-local"
}
leases() { find "$DIR/leases/cnihl" -type f | grep -vE '/(lock|last_reserved_ip\.[0-9]+)$' | sort; }
address() { jq -r '.ips[].address' | xargs; }

@test "host-local: addresses in turn with Debian's, and each gives back what the other gave" {
    for pod in a c; do pod_ns $pod; done
    conf '.ipam.ranges = [[{subnet: "10.187.0.0/29"}], [{subnet: "fd87::/64"}]] | del(.ipam.subnet)' >"$DIR/conf"
    [ "$(dmm ADD a <"$DIR/conf" | address)" = "10.187.0.2/29 fd87::2/64" ]
    [ "$(debian ADD b <"$DIR/conf" | address)" = "10.187.0.3/29 fd87::3/64" ]
    [ "$(dmm ADD c <"$DIR/conf" | address)" = "10.187.0.4/29 fd87::4/64" ]
    [ "$(debian ADD d <"$DIR/conf" | address)" = "10.187.0.5/29 fd87::5/64" ]
    cmp <(cat "$DIR/leases/cnihl/10.187.0.4") <(printf 'cnihl-c\r\nnet1')
    [ "$(stat -c %a "$DIR/leases/cnihl/10.187.0.4")" = "$(stat -c %a "$DIR/leases/cnihl/10.187.0.5")" ]
    debian CHECK c <"$DIR/conf"
    debian DEL a <"$DIR/conf" # dmm's own DEL finds none any more
    dmm DEL a <"$DIR/conf"
    NETNS='' dmm DEL b <"$DIR/conf" # without a record, by name
    dmm DEL c <"$DIR/conf"
    debian DEL d <"$DIR/conf"
    [ -z "$(leases)" ]
    [ "$(debian ADD e <"$DIR/conf" | address)" = "10.187.0.6/29 fd87::6/64" ]
    pod_ns f
    [ "$(dmm ADD f <"$DIR/conf" | address)" = "10.187.0.2/29 fd87::7/64" ]
}

@test "host-local: what ours does not do is done by Debian's; its answer is the same" {
    pod_ns a
    conf >"$DIR/conf"
    ours=$(dmm ADD a <"$DIR/conf" | jq -S '{ips: [.ips[] | del(.interface)], routes}')
    dmm DEL a <"$DIR/conf"
    echo 10.187.0.1 >"$DIR/leases/cnihl/last_reserved_ip.0"
    theirs=$(debian ADD a <"$DIR/conf" | jq -S '{ips, routes}')
    debian DEL a <"$DIR/conf"
    [ "$ours" = "$theirs" ]
    [ "$(dmm ADD a <<<"$(conf '.runtimeConfig.ips = ["10.187.0.77/16"]')" | address)" = 10.187.0.77/16 ]
    conf | dmm DEL a
    [ "$(ARGS='IgnoreUnknown=1;IP=10.187.0.78' dmm ADD a <"$DIR/conf" | address)" = 10.187.0.78/16 ]
    conf | dmm DEL a
    run dmm ADD a <<<"$(conf '.ipam.subnet = "10.187.0.1/16"')"
    [ "$status" -eq 1 ]
    [[ "$output" = *"ipam host-local ADD: "*"host bits"* ]]
    strace -f -qq -e trace=execve -o "$DIR/trace" env CNI_COMMAND=ADD CNI_CONTAINERID=cnihl-a CNI_IFNAME=net1 \
        CNI_NETNS=/run/netns/cnihl-a CNI_ARGS=IgnoreUnknown=1 "$DMM" <"$DIR/conf" >/dev/null
    run -1 grep host-local "$DIR/trace"
    conf | dmm DEL a
    [ -z "$(leases)" ]
}

@test "host-local: 40 ADDs at once, half of them Debian's, on 60 addresses: no two are the same" {
    conf '.ipam.subnet = "10.187.0.0/26"' >"$DIR/conf"
    for i in $(seq 20); do pod_ns "p$i"; done
    for i in $(seq 20); do
        dmm ADD "p$i" <"$DIR/conf" >"$DIR/ours$i" 3>&- &
        debian ADD "q$i" <"$DIR/conf" >"$DIR/theirs$i" 3>&- &
    done
    wait
    [ "$(cat "$DIR"/ours* "$DIR"/theirs* | jq -r '.ips[].address' | sort -u | wc -l)" -eq 40 ]
    [ "$(leases | wc -l)" -eq 40 ]
    for i in $(seq 20); do
        debian DEL "q$i" <"$DIR/conf" 3>&- &
        dmm DEL "p$i" <"$DIR/conf" 3>&- &
    done
    wait
    [ -z "$(leases)" ]
}
