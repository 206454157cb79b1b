#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# Links by vhost-user and memif on real containerd, with the rights of deploy/: on Open vSwitch with DPDK, whose
# overlay is the one that is shipped, and in direct pairs. And the rights of the SR-IOV links, another link
# standing in for the virtual function that no container can have here (tests/sriov has real ones).

bats_require_minimum_version 1.5.0
load k8s_lib
load hugepages
EXAMPLES=$TOP/examples/kubernetes
SWITCH=/usr/lib/openvswitch-switch-dpdk/ovs-vswitchd-dpdk
PAGES=700 # of 2 MB: the switch has 512, a sidecar 64

setup_file() {
    k8s_setup k8sv
    hugepages_take $PAGES || true # what needs them is skipped
    # The plugin's ovs-vsctl finds the switch by the environment of containerd.
    export OVS_RUNDIR=$DIR/ovs OVS_DBDIR=$DIR/ovs OVS_LOGDIR=$DIR/ovs OVS_SYSCONFDIR=$DIR/ovs
    mkdir -p "$DIR/n/seccomp/dmm" "$OVS_RUNDIR"
    cp "$TOP"/deploy/seccomp/*.json "$DIR/n/seccomp/dmm/"
    node_conf n 1 chained
    node_start n
    node_bridge n 1
}
teardown_file() {
    k8s_teardown
    hugepages_give
}

vsctl() { in_node n timeout 20 ovs-vsctl --timeout=10 "$@"; }

# On the node, which it does not outlive.
switch() { # BRIDGE
    in_node n sh -c "ovsdb-tool create $OVS_DBDIR/conf.db /usr/share/openvswitch/vswitch.ovsschema
        ovsdb-server $OVS_DBDIR/conf.db --remote=punix:$OVS_RUNDIR/db.sock --detach --log-file >/dev/null 2>&1"
    vsctl --no-wait init
    vsctl --no-wait set Open_vSwitch . other_config:dpdk-init=true other_config:dpdk-lcore-mask=0x1 \
        other_config:pmd-cpu-mask=0x2 other_config:pmd-maxsleep=500 \
        other_config:dpdk-socket-mem=1024 other_config:dpdk-socket-limit=1024 \
        other_config:userspace-tso-enable=true \
        'other_config:dpdk-extra="--in-memory --no-pci --no-telemetry --iova-mode=va"'
    in_node n timeout 60 $SWITCH "unix:$OVS_RUNDIR/db.sock" --detach --log-file >/dev/null 2>&1
    vsctl add-br "$1" -- set Bridge "$1" datapath_type=netdev
}

# A profile of ours in place of the runtime's, and whatever else, in an injector.json of deploy/.
with_profile() { # LINK [JQ-FILTER]
    jq '.seccompProfile = {type: "Localhost", localhostProfile: "dmm/dmm-stackd.json"} | '"${2:-.}" \
        "$TOP/deploy/kustomize/links/$1/injector.json" >"$DIR/injector-$1.json"
    export INJECTOR_CONFIG=$DIR/injector-$1.json
}

# One of the two pods of the example under another name, on the link of the moment.
pod_of_link() { # server|client NAME
    /usr/bin/python3 -c '
import sys, yaml
wanted = {"server": "redis", "client": "redis-client"}[sys.argv[2]]
pod = next(d for d in yaml.safe_load_all(open(sys.argv[1], encoding="utf-8")) if d["metadata"]["name"] == wanted)
pod["metadata"]["name"] = sys.argv[3]
yaml.safe_dump(pod, sys.stdout)' "$EXAMPLES/redis.yaml" "$1" "$2" >"$DIR/$2.yaml"
    apply n "$DIR/$2.yaml"
}

# The client's pod reaches the server's, and both by their stacks.
pair_talks() { # SERVER CLIENT
    within 10 kubelet n exec "$2" client redis-cli -h "$(port_ip n "$1")" ping
    kubelet n exec "$2" client redis-cli -h "$(port_ip n "$1")" set k "$(head -c 30000 /dev/zero | tr '\0' x)" | grep OK
    [ "$(sidecar_ctl n "$1" --json stats | jq '.clients.rx_bytes')" -gt 30000 ]
    [ "$(sidecar_ctl n "$2" --json stats | jq '.clients.tx_bytes')" -gt 30000 ]
}

read_only_and_filtered() { # POD
    local pid
    pid=$(kubelet n pid "$1" dmm-stackd)
    in_node n grep -E '^Seccomp:\s*2$' "/proc/$pid/status"
    in_node n grep ' / ' "/proc/$pid/mounts" | grep -E ' ro[, ]'
}

@test "vhostuser: two pods on Open vSwitch with DPDK; sidecars without rights, under our seccomp profile" {
    [ -x $SWITCH ] || skip "no Open vSwitch with DPDK (openvswitch-switch-dpdk)"
    [ -n "${HUGEPAGES:-}" ] || skip "no $PAGES hugepages to be had"
    switch br-dpdk
    use_link vhostuser
    with_profile vhostuser
    pod_of_link server swserver
    pod_of_link client swclient
    unprivileged swserver
    unprivileged swclient
    read_only_and_filtered swclient
    pair_talks swserver swclient
    [ "$(vsctl list-ports br-dpdk | wc -l)" -eq 2 ]
    kubelet n delete swclient
    kubelet n delete swserver
    [ -z "$(vsctl list-ports br-dpdk)" ]
}

# The two ends of a direct pair are two networks; which one a pod has is what Multus chooses on a cluster.
direct() { # TYPE ROLE
    use_link vhostuser ".link = {type: \"$1\", socket: \"/run/dmm/pairs/web/net1.sock\", role: \"$2\", mtu: 1500}"
}

@test "vhostuser: a direct pair, each sidecar with the folder of the socket and no right" {
    direct vhostuser client
    with_profile vhostuser '.socketsDir = "/run/dmm/pairs"'
    pod_of_link client pairclient 3>&- &
    local starting=$!
    within 8 eval "kubelet n probe pairclient dmm-stackd startup 2>&1 | grep 'stack fast: the link of port net1 is down'"
    # The other end is not there, and is waited for 10 s: then the app is started, and is told.
    wait $starting
    kubelet n probe pairclient dmm-stackd startup
    run ! kubelet n exec pairclient client redis-cli -h 10.88.1.250 ping
    [[ "$output" = *"Network is down"* ]]
    direct vhostuser server
    with_profile vhostuser '.socketsDir = "/run/dmm/pairs"'
    pod_of_link server pairserver
    unprivileged pairserver
    unprivileged pairclient
    read_only_and_filtered pairserver
    pair_talks pairserver pairclient
    # The app sees neither the folder nor the socket.
    run ! kubelet n exec pairserver redis ls /run/dmm/pairs
    kubelet n delete pairserver
    kubelet n delete pairclient
}

@test "memif: a direct pair, without rights" {
    direct memif server
    with_profile vhostuser '.link = "memif" | .socketsDir = "/run/dmm/pairs"'
    pod_of_link server memserver
    kubelet n probe memserver dmm-stackd startup
    direct memif client
    with_profile vhostuser '.link = "memif" | .socketsDir = "/run/dmm/pairs"'
    pod_of_link client memclient
    unprivileged memserver
    pair_talks memserver memclient
    kubelet n delete memclient
    kubelet n delete memserver
}

@test "vhostuser: a sidecar that has not the folder of its pair's socket names it, and the key that mounts it" {
    direct vhostuser server
    with_profile vhostuser
    pod_of_link server nofolder
    kubelet n logs nofolder dmm-stackd | grep '/run/dmm/pairs/web/net1.sock.*has to be mounted.*socketsDir'
    kubelet n delete nofolder
}

@test "sriov-netdev: the sidecar's rights are enough for an interface in the pod (a veth stands in for the VF)" {
    use_link veth
    with_profile sriov-netdev
    pod_of_link server vfserver
    within 10 kubelet n exec vfserver redis redis-cli -h "$(port_ip n vfserver)" ping
    in_node n grep -E '^Cap(Eff|Bnd):\s*0000000000002000$' "/proc/$(kubelet n pid vfserver dmm-stackd)/status"
    read_only_and_filtered vfserver
    kubelet n delete vfserver
}

# A pod with the rights that the injector gives for sriov-vfio, on a pair, whose folder is no part of that link.
vfio_pod() { # NAME ROLE
    # Records and folders are root's there.
    use_link vhostuser "del(.sidecar) | .link = {type: \"vhostuser\", role: \"$2\", socket: \"/run/dmm/pairs/vf/net1.sock\"}"
    with_profile sriov-vfio
    echo '{"metadata": {"annotations": {"dmm.fd.io/stack": "fast"}}, "spec": {"containers": [{"name": "a"}]}}' |
        "$DMM_BUILD/dmm-injector" --stdin --config "$INJECTOR_CONFIG" |
        jq '.spec.initContainers[1].securityContext' >"$DIR/rights.json"
    with_profile sriov-vfio '.link = "vhostuser" | .socketsDir = "/run/dmm/pairs"'
    /usr/bin/python3 "$CRI/inject.py" "$DMM_BUILD/dmm-injector" "$INJECTOR_CONFIG" "$EXAMPLES/redis.yaml" |
        /usr/bin/python3 -c '
import json, sys, yaml
pod = next(yaml.safe_load_all(sys.stdin))
pod["metadata"]["name"] = sys.argv[1]
pod["spec"]["initContainers"][1]["securityContext"] = json.load(open(sys.argv[2], encoding="utf-8"))
yaml.safe_dump(pod, sys.stdout)' "$1" "$DIR/rights.json" >"$DIR/$1.yaml"
    kubelet n apply "$DIR/$1.yaml"
}

@test "sriov-vfio: hugepages and IPC_LOCK alone (a vhost-user pair stands in for the device)" {
    [ -n "${HUGEPAGES:-}" ] || skip "no $PAGES hugepages to be had"
    local free pid
    free=$(awk '$1 == "HugePages_Free:" { print $2 }' /proc/meminfo)
    vfio_pod vfone server
    vfio_pod vftwo client
    pid=$(kubelet n pid vfone dmm-stackd)
    in_node n grep -E '^CapBnd:\s*0000000000004000$' "/proc/$pid/status"
    in_node n grep -E '^CapEff:\s*0000000000000000$' "/proc/$pid/status" # given up once the port is open
    read_only_and_filtered vfone
    [ "$(awk '$1 == "HugePages_Free:" { print $2 }' /proc/meminfo)" -lt "$free" ]
    within 10 kubelet n exec vftwo redis redis-cli -h "$(port_ip n vfone)" ping
    kubelet n delete vfone
    kubelet n delete vftwo
}

@test "vhostuser: the pods are gone without a trace, sockets and folders too" {
    [ -z "$(node_left n)" ] || { node_left n; false; }
    run ! in_node n ls /run/dmm/pairs/web
}
