#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# Ports on a real Open vSwitch with DPDK, with a database and a switch of our own.

# shellcheck disable=SC2154 # stderr is bats' own
bats_require_minimum_version 1.5.0
load within
load cni_lib
load hugepages
load cni_kill_lib

SWITCH=/usr/lib/openvswitch-switch-dpdk/ovs-vswitchd-dpdk
PAGES=600 # of 2 MB

setup_file() {
    [ -x $SWITCH ] || skip_file "no Open vSwitch with DPDK (openvswitch-switch-dpdk)"
    export OVS=$BATS_FILE_TMPDIR
    export OVS_RUNDIR=$OVS OVS_DBDIR=$OVS OVS_LOGDIR=$OVS OVS_SYSCONFDIR=$OVS
    hugepages_take $PAGES || skip_file "no $PAGES hugepages to be had"
    ovsdb-tool create "$OVS/conf.db" /usr/share/openvswitch/vswitch.ovsschema
    database
    vsctl --no-wait init
    vsctl --no-wait set Open_vSwitch . other_config:dpdk-init=true other_config:dpdk-lcore-mask=0x1 \
        other_config:pmd-cpu-mask=0x2 other_config:pmd-maxsleep=500 \
        other_config:dpdk-socket-mem=1024 other_config:dpdk-socket-limit=1024 \
        'other_config:dpdk-extra="--in-memory --no-pci --no-telemetry --iova-mode=va"'
    timeout 60 $SWITCH "unix:$OVS/db.sock" --pidfile --detach --log-file 3>&- >/dev/null 2>&1
    vsctl add-br cnio-sw -- set Bridge cnio-sw datapath_type=netdev
}

database() { ovsdb-server "$OVS/conf.db" --remote="punix:$OVS/db.sock" --pidfile --detach --log-file 3>&- >"$OVS/out" 2>&1 || { cat "$OVS/out"; return 1; }; }
database_gone() {
    local pid
    pid=$(cat "$OVS/ovsdb-server.pid")
    kill -9 "$pid"
    within 5 test ! -e "/proc/$pid"
}

teardown_file() {
    local name
    for name in ovs-vswitchd-dpdk ovs-vswitchd ovsdb-server; do
        [ ! -e "$OVS/$name.pid" ] || kill -9 "$(cat "$OVS/$name.pid")" || true
    done
    ip link del cnio-sw 2>/dev/null || true
    hugepages_give
}

setup() { cni_setup cnio-p; }
teardown() { cni_teardown; }

vsctl() { timeout 20 ovs-vsctl --timeout=10 "$@"; }
ports() { vsctl list-ports cnio-sw | xargs; }
link='.link = {type: "vhostuser", ovs: "cnio-sw", mtu: 1400}'

@test "ovs: a port is made with VLAN and MTU, checked, and removed" {
    pod_ns a
    result=$(conf "$link" '.link.vlan = 10' '.cniVersion = "1.1.0"' | dmm ADD a)
    port=$(ports)
    [[ "$port" = dmm??????????? ]]
    socket=$DIR/run/pods/uid-a/net1.sock
    [ "$(vsctl get Interface "$port" type)" = dpdkvhostuserclient ]
    [ "$(vsctl get Interface "$port" options:vhost-server-path)" = "\"$socket\"" ]
    [ "$(vsctl get Interface "$port" mtu_request)" = 1400 ]
    [ "$(vsctl get Port "$port" tag)" = 10 ]
    jq -e --arg s "$socket" '.interfaces[0].socketPath == $s' <<<"$result"
    jq -e --arg s "$socket" '.devargs | test("^net_virtio_user0,path=" + $s + ",.*,server=1$")' "$DIR/run/pods/uid-a/ports/net1.json"
    conf "$link" '.link.vlan = 10' '.cniVersion = "1.1.0"' | jq --argjson r "$result" '.prevResult = $r' >"$DIR/check"
    dmm CHECK a <"$DIR/check"
    vsctl del-port "$port"
    run dmm CHECK a <"$DIR/check"
    [ "$status" -eq 1 ]
    conf "$link" | dmm DEL a
    conf "$link" | dmm DEL a
    [ ! -e "$DIR/run/pods/uid-a" ]
    [ -z "$(ports)" ]
}

@test "ovs: refusals leave nothing behind; DEL works though the bridge is gone" {
    pod_ns a
    empty=$(picture)
    run --separate-stderr dmm ADD a <<<"$(conf '.link = {type: "vhostuser", ovs: "cnio-none"}')"
    refused 101 "ovs-vsctl add-port cnio-none"
    run dmm ADD a <<<"$(conf "$link" '.link.role = "client"')"
    refused 7 "link.role"
    run dmm ADD a <<<"$(conf '.link = {type: "vhostuser", vlan: 3, socket: "/x", role: "server"}')"
    refused 7 "link.vlan: needs ovs"
    run dmm ADD a <<<"$(conf "$link" '.link.vlan = 4095')"
    refused 7 "link.vlan"
    [ "$(picture)" = "$empty" ]
    [ -z "$(ports)" ]
    vsctl add-br cnio-two -- set Bridge cnio-two datapath_type=netdev
    conf '.link = {type: "vhostuser", ovs: "cnio-two"}' | dmm ADD a >/dev/null
    vsctl del-br cnio-two
    conf | dmm DEL a
    [ "$(picture)" = "$empty" ]
}

# For tests/e2e/cni_kill_lib.bash.
link_filter() { echo "$link"; }
node() { picture; ports; }

@test "ovs: ADD killed at every step" { kill_add ovs; }
@test "ovs: DEL killed at every step" { kill_del ovs; }
@test "ovs: ADD with every step failing" { fail_add ovs; }

@test "ovs: without its database ADD changes nothing; DEL does not fail, and GC or an ADD takes the port" {
    pod_ns a
    pod_ns b
    empty=$(picture)
    conf "$link" '.cniVersion = "1.1.0"' >"$DIR/conf"
    database_gone
    run --separate-stderr dmm ADD a <"$DIR/conf"
    refused 101 "Open vSwitch: database $OVS/db.sock: Connection refused"
    [ "$(picture)" = "$empty" ]
    run --separate-stderr dmm STATUS a <"$DIR/conf"
    refused 50 "link.ovs: bridge cnio-sw: Open vSwitch: database"
    database
    local by
    for by in GC ADD; do
        dmm ADD a <"$DIR/conf" >/dev/null
        database_gone
        run --separate-stderr dmm DEL a <"$DIR/conf"
        [ "$status" -eq 0 ]
        [[ "$stderr" = *"database"*"left for the next GC or ADD"* ]]
        dmm DEL a <"$DIR/conf"
        [ ! -e "$DIR/run/pods/uid-a" ]
        [ -z "$(find "$DIR/leases" -name '10.*')" ]
        [ -e "$DIR/state/cnio-p/cnio-p-a:net1.json" ]
        ip netns del cnio-p-a
        run dmm GC a <"$DIR/conf"
        refused 101 "cnio-p-a net1: Open vSwitch: database"
        database
        [ -n "$(ports)" ]
        if [ $by = GC ]; then
            dmm GC a <"$DIR/conf"
        else
            dmm ADD b <"$DIR/conf" >/dev/null
            dmm DEL b <"$DIR/conf"
        fi
        [ -z "$(ports)" ]
        [ "$(picture)" = "$empty" ]
        pod_ns a
    done
}

@test "ovs: a switch that does not run keeps no pod from going" {
    pod_ns a
    empty=$(picture)
    conf "$link" | dmm ADD a >/dev/null
    kill -STOP "$(cat "$OVS"/ovs-vswitchd*.pid)"
    conf "$link" | dmm DEL a
    [ -z "$(ports)" ]
    [ "$(picture)" = "$empty" ]
    kill -CONT "$(cat "$OVS"/ovs-vswitchd*.pid)"
}

@test "ovs: STATUS" {
    verb() { env CNI_COMMAND=STATUS "$DMM"; }
    conf "$link" '.cniVersion = "1.1.0"' | verb
    run --separate-stderr verb <<<"$(conf '.link = {type: "vhostuser", ovs: "cnio-none"}' '.cniVersion = "1.1.0"')"
    refused 50 "link.ovs: bridge cnio-none"
    PATH=/nonexistent run -127 ovs-vsctl
    run env PATH=/nonexistent CNI_COMMAND=STATUS "$DMM" <<<"$(conf "$link" '.cniVersion = "1.1.0"')"
    refused 50 "ovs-vsctl: not on PATH"
}
