#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# The link sriov on a NIC that has VFs (QEMU's igb).

# shellcheck disable=SC2154,SC2030,SC2031 # stderr is bats' own; each test is a process of its own
bats_require_minimum_version 1.5.0
load lib

setup_file() { sriov_setup 3; }
setup() {
    cni_setup sv
    before=$(vfs; picture)
}
teardown() {
    [ -z "${SIDECAR:-}" ] || kill -9 "$SIDECAR" || true
    if [ -z "$BATS_TEST_COMPLETED" ]; then # the next test is to find the VFs as they were
        for pod in a b c d; do
            device_conf "$(vf_pci 0)" | NETNS='' dmm DEL $pod || true
        done
    fi
    cni_teardown
}

sidecar() { # POD
    ip netns exec "sv-$1" "$DMM_BUILD/dmm-stackd" --pod-dir "$DIR/run/pods/uid-$1" --log-level debug \
        >"$DIR/sidecar.log" 2>&1 3>&- &
    SIDECAR=$!
    within 20 test -S "$DIR/run/pods/uid-$1/stackd.sock"
}
in_pod() { # POD CMD...: under the shim
    local pod=$1
    shift
    ip netns exec "sv-$pod" env LD_PRELOAD="$DMM_BUILD/libdmm.so" DMM_POD_DIR="$DIR/run/pods/uid-$pod" "$@"
}

# The kernel at the wire's other end talks TCP and ICMP with the stack.
talks() { # POD ADDRESS
    within 20 ip netns exec wire ping -c1 -W1 "$2"
    head -c 300000 /dev/urandom >"$DIR/sent"
    in_pod "$1" timeout 40 socat -u TCP-LISTEN:7000,reuseaddr "OPEN:$DIR/got,creat" 3>&- &
    within 20 ip netns exec wire timeout 20 socat -u "OPEN:$DIR/sent" "TCP:$2:7000"
    wait $!
    cmp "$DIR/sent" "$DIR/got"
    ip netns exec wire timeout 60 socat -u TCP-LISTEN:7001,reuseaddr "OPEN:$DIR/back,creat" 3>&- &
    within 20 in_pod "$1" timeout 20 socat -u "OPEN:$DIR/sent" TCP:10.187.0.1:7001
    wait $!
    cmp "$DIR/sent" "$DIR/back"
}

@test "an interface: attributes read back, CHECK, result and device information; all as it was after DEL" {
    pod_ns a
    sriov_conf '.link += {vlan: 100, vlanQoS: 3, spoofchk: "off", trust: "on", max_tx_rate: 100,
        mac: "02:00:00:00:b0:01", mtu: 1400} | .runtimeConfig = {CNIDeviceInfoFile: "'"$DIR"'/info/a.json"}' >"$DIR/conf"
    result=$(dmm ADD a <"$DIR/conf")
    vf=$(jq -r '.interfaces[0].pciID' <<<"$result")
    [ "$vf" = "$(vf_pci 0)" ]
    jq -e '.interfaces[0] == {name: "net1", mac: "02:00:00:00:b0:01", mtu: 1400, pciID: "'"$vf"'",
        sandbox: "/run/netns/sv-a"} and .ips[0].interface == 0' <<<"$result"
    jq -e '.type == "pci" and .pci == {"pci-address": "'"$vf"'", "pf-pci-address": "'"$PF_PCI"'"}' "$DIR/info/a.json"
    port_file a | jq -e '.kind == "packet" and .link == "sriov" and .mac == "02:00:00:00:b0:01" and .mtu == 1400'
    [ "$(vf_attr 0 '[.address, .vlan_list[0].vlan, .vlan_list[0].qos, .spoofchk, .trust, .rate.max_tx]')" = \
        '["02:00:00:00:b0:01",100,3,false,true,100]' ]
    ip -n sv-a -j link show net1 | jq -e '.[0] | .address == "02:00:00:00:b0:01" and .mtu == 1400 and (.flags | index("UP"))'
    [ -z "$(ip -n sv-a -br addr show net1 | awk '{ print $3 }')" ]
    jq --argjson r "$result" '.prevResult = $r' "$DIR/conf" >"$DIR/check"
    dmm CHECK a <"$DIR/check"
    ip link set "$PF" vf 0 trust off
    run dmm CHECK a <"$DIR/check"
    refused 104 "VF 0: trust: was changed"
    dmm DEL a <"$DIR/conf"
    same_vfs
    [ ! -e "$DIR/info/a.json" ]
    dmm DEL a <"$DIR/conf"
    same_vfs
}

@test "an interface with a VLAN: the stack answers the wire, tagged" {
    pod_ns a
    ip -n wire link add link wire name wire.100 type vlan id 100
    ip -n wire link set wire.100 up
    ip -n wire addr add 10.187.0.1/16 dev wire.100
    sriov_conf '.link.vlan = 100 | .ipam.rangeStart = "10.187.0.9"' >"$DIR/conf"
    dmm ADD a <"$DIR/conf" >/dev/null
    sidecar a
    ip netns exec wire timeout 60 tcpdump -c 4 -enli wire vlan 100 and host 10.187.0.9 >"$DIR/wire" 2>/dev/null 3>&- &
    talks a 10.187.0.9
    within 5 grep -q 'vlan 100, p 0.*10.187.0.9' "$DIR/wire"
    ip -n wire link del wire.100
    dmm DEL a <"$DIR/conf"
    same_vfs
}

@test "bound to vfio-pci, as it is asked: the stack on DPDK answers the wire; bound back by DEL" {
    pod_ns a
    ip -n wire addr add 10.187.0.1/16 dev wire
    sriov_conf '.link.driver = "vfio-pci" | .ipam.rangeStart = "10.187.0.9"' >"$DIR/conf"
    result=$(dmm ADD a <"$DIR/conf")
    vf=$(jq -r '.interfaces[0].pciID' <<<"$result")
    [ "$(driver_of "$vf")" = vfio-pci ]
    port_file a | jq -e --arg vf "$vf" '.kind == "ethdev" and .devargs == $vf'
    jq --argjson r "$result" '.prevResult = $r' "$DIR/conf" | dmm CHECK a
    sidecar a
    talks a 10.187.0.9 || { cat "$DIR/sidecar.log"; false; }
    kill -9 "$SIDECAR"
    wait "$SIDECAR" || true
    SIDECAR=
    dmm DEL a <"$DIR/conf"
    ip -n wire addr flush dev wire
    same_vfs
}

@test "a VF that is bound to vfio-pci already is taken as it is; one that a program has is refused" {
    pod_ns a
    vf=$(vf_pci 1)
    name=$(interface_of "$vf")
    mac=$(cat "/sys/class/net/$name/address")
    echo vfio-pci >"$DEVICES/$vf/driver_override"
    echo "$vf" >"$DEVICES/$vf/driver/unbind"
    echo "$vf" >/sys/bus/pci/drivers_probe
    bound=$(vfs)
    exec 7<>"/dev/vfio/$(basename "$(readlink "$DEVICES/$vf/iommu_group")")"
    run dmm ADD a <<<"$(device_conf "$vf" 'del(.deviceID) | .runtimeConfig.deviceID = "'"$vf"'"')"
    refused 101 "a program has the device"
    exec 7>&-
    device_conf "$vf" 'del(.deviceID) | .runtimeConfig.deviceID = "'"$vf"'"' >"$DIR/conf"
    dmm ADD a <"$DIR/conf" >/dev/null
    port_file a | jq -e --arg vf "$vf" '.devargs == $vf'
    dmm DEL a <"$DIR/conf"
    [ "$(vfs)" = "$bound" ]
    echo >"$DEVICES/$vf/driver_override"
    echo "$vf" >"$DEVICES/$vf/driver/unbind"
    echo "$vf" >/sys/bus/pci/drivers_probe
    ip link set "$(interface_of "$vf")" name "$name" address "$mac"
    same_vfs
}

@test "by deviceID, from the runtime or from Multus' keys; what it must not be" {
    pod_ns a
    pod_ns b
    vf=$(vf_pci 2)
    device_conf "$vf" '.pciBusID = "'"$vf"'"' >"$DIR/conf"
    [ "$(dmm ADD a <"$DIR/conf" | jq -r '.interfaces[0].pciID')" = "$vf" ]
    run dmm ADD b <<<"$(device_conf "$vf" 'del(.deviceID) | .runtimeConfig.deviceID = "'"$vf"'"')"
    refused 101 "deviceID: VF $vf: belongs to sv/sv-a/net1"
    dmm DEL a <"$DIR/conf"
    for bad in 0000:0f:00.0:"no PCI function" "$PF_PCI:is no VF" nonsense:"no PCI function"; do
        run dmm ADD a <<<"$(device_conf "${bad%:*}")"
        refused 101 "deviceID: .*${bad##*:}"
    done
    run dmm ADD a <<<"$(device_conf "$vf" '.pciBusID = "0000:01:10.0"')"
    refused 7 "pciBusID"
    run dmm ADD a <<<"$(device_conf "$vf" '.link = {type: "veth"}')"
    refused 7 "deviceID: link.type \"veth\" takes no device"
    run dmm ADD a <<<"$(sriov_conf 'del(.link.pf)')"
    refused 101 "link.pf: missing, and there is no deviceID"
    run dmm ADD a <<<"$(sriov_conf '.link.pf = "lo"')"
    refused 101 "link.pf: lo: no interface of a PCI device"
    same_vfs
}

@test "what the NIC refuses is an error, and nothing has changed" {
    pod_ns a
    refuses() { # FILTER PATTERN
        run dmm ADD a <<<"$(sriov_conf "$1")"
        refused 101 "$2"
        same_vfs
    }
    refuses '.link.link_state = "enable"' "link: link_state: the NIC refuses it"
    refuses '.link += {min_tx_rate: 10, trust: "on", spoofchk: "off"}' "link: min_tx_rate, max_tx_rate: the NIC refuses it"
    refuses '.link += {vlan: 5, vlanProto: "802.1ad"}' "link: vlan.*: the NIC refuses it"
    refuses '.link.mtu = 9000' "link.mtu: 9000 is more than the 1500 of PF $PF"
    ip -n sv-a link add net1 type veth peer name other
    refuses . "the pod has an interface net1 already"
    ip -n sv-a link del net1
    ip link set "$PF" down
    refuses . "PF $PF: is down"
    run --separate-stderr env CNI_COMMAND=STATUS "$DMM" <<<"$(sriov_conf)"
    refused 51 "PF $PF: is down"
    ip link set "$PF" up
    within 20 grep -q 1 "/sys/class/net/$PF/carrier"
    ip addr add 10.1.1.1/24 dev "$(interface_of "$(vf_pci 0)")"
    run dmm ADD a <<<"$(device_conf "$(vf_pci 0)")"
    refused 101 "is in use on the node"
    ip addr del 10.1.1.1/24 dev "$(interface_of "$(vf_pci 0)")"
    same_vfs
}

@test "many ADDs at once get VFs of their own; STATUS counts; DELs at once give them back" {
    env CNI_COMMAND=STATUS "$DMM" <<<"$(sriov_conf)"
    for pod in a b c d; do pod_ns $pod; done
    sriov_conf >"$DIR/conf"
    for pod in a b c d; do
        { dmm ADD $pod <"$DIR/conf" >"$DIR/$pod.out" 2>/dev/null || true; } 3>&- &
    done
    wait
    [ "$(cat "$DIR"/?.out | jq -r '.interfaces[0].pciID // empty' | sort -u | wc -l)" -eq 3 ]
    [ "$(cat "$DIR"/?.out | jq -r 'select(.code).details' | grep -c 'none of its 3 VFs is free')" -eq 1 ]
    run --separate-stderr env CNI_COMMAND=STATUS "$DMM" <<<"$(sriov_conf)"
    refused 50 "none of its 3 VFs is free"
    for pod in a b c d; do
        dmm DEL $pod <"$DIR/conf" 3>&- &
    done
    wait
    same_vfs
}

@test "a namespace that died: DEL puts back what the kernel brought home" {
    pod_ns a
    sriov_conf '.link += {vlan: 7, mac: "02:00:00:00:b0:02"}' >"$DIR/conf"
    dmm ADD a <"$DIR/conf" >/dev/null
    ip netns del sv-a
    dmm DEL a <"$DIR/conf"
    same_vfs
}

@test "a pod that died without DEL: the next one gets its VF, reset; the late DEL leaves it alone" {
    pod_ns a
    pod_ns b
    vf=$(vf_pci 0)
    device_conf "$vf" '.link += {vlan: 7, trust: "on"}' >"$DIR/a.conf"
    device_conf "$vf" >"$DIR/b.conf"
    dmm ADD a <"$DIR/a.conf" >/dev/null
    ip netns del sv-a
    dmm ADD b <"$DIR/b.conf" >/dev/null
    [ "$(vf_attr 0 '[.vlan_list[0].vlan // 0, .trust]')" = '[0,false]' ]
    had=$(vfs; ip -n sv-b -br link show net1)
    NETNS='' dmm DEL a <"$DIR/a.conf"
    [ "$(vfs; ip -n sv-b -br link show net1)" = "$had" ]
    dmm DEL b <"$DIR/b.conf"
    same_vfs
}

@test "an interface that others moved on: DEL succeeds, leaves it; it is reset when it is home and wanted" {
    pod_ns a
    pod_ns b
    device_conf "$(vf_pci 0)" '.link.vlan = 7' >"$DIR/conf"
    dmm ADD a <"$DIR/conf" >/dev/null
    ip -n sv-a link set net1 netns sv-b
    ip netns del sv-a
    run --separate-stderr dmm DEL a <"$DIR/conf"
    [ "$status" -eq 0 ]
    [[ "$stderr" = *"in a namespace that is not known"* ]]
    ip -n sv-b link show net1
    ip netns del sv-b
    within 10 has_interface "$(vf_pci 0)"
    pod_ns c
    dmm ADD c <"$DIR/conf" >/dev/null
    dmm DEL c <"$DIR/conf"
    same_vfs
}

@test "GC takes back the VFs of pods that are gone, and only those; VFs that were unmade are no error" {
    pod_ns a
    pod_ns b
    sriov_conf '.link.vlan = 9' >"$DIR/conf"
    dmm ADD a <"$DIR/conf" >/dev/null
    dmm ADD b <"$DIR/conf" >/dev/null
    ip netns del sv-a
    dmm GC x <"$DIR/conf"
    [ "$(vf_attr 0 '.vlan_list[0].vlan // 0')" = 0 ]
    [ "$(vf_attr 1 '.vlan_list[0].vlan // 0')" = 9 ]
    ip -n sv-b link show net1
    echo 0 >"$DEVICES/$PF_PCI/sriov_numvfs"
    dmm DEL b <"$DIR/conf"
    [ -z "$(find "$DIR/state" -name '*.json')" ]
    echo 3 >"$DEVICES/$PF_PCI/sriov_numvfs"
    for i in 0 1 2; do within 10 has_interface "$(vf_pci $i)"; done
}

afxdp='.link += {type: "afxdp", mtu: 1400} | .link.bpffs = (.podDir | sub("/run$"; "/bpf"))'

@test "afxdp on a VF: the stack answers the wire; CHECK; all as it was after DEL" {
    pod_ns a
    bpf_mounted
    ip -n wire addr add 10.187.0.1/16 dev wire
    sriov_conf "$afxdp" '.link.trust = "on" | .ipam.rangeStart = "10.187.0.9"' >"$DIR/conf"
    result=$(dmm ADD a <"$DIR/conf")
    jq -e '.interfaces | length == 1 and .[0].mtu == 1400 and .[0].pciID' <<<"$result"
    port_file a | jq -e '.kind == "afxdp" and .queues == 1 and .mtu == 1400'
    ip -n sv-a -j link show net1 | jq -e '.[0].xdp.prog.name == "dmm_xsk"'
    jq --argjson r "$result" '.prevResult = $r' "$DIR/conf" | dmm CHECK a
    sidecar a
    talks a 10.187.0.9 || { cat "$DIR/sidecar.log"; false; }
    kill -9 "$SIDECAR"
    wait "$SIDECAR" || true
    SIDECAR=
    dmm DEL a <"$DIR/conf"
    ip -n wire addr flush dev wire
    same_vfs
    # Bound to vfio-pci it has no interface to put a program on.
    vf=$(vf_pci 0)
    name=$(interface_of "$vf")
    mac=$(cat "/sys/class/net/$name/address")
    echo vfio-pci >"$DEVICES/$vf/driver_override"
    echo "$vf" >"$DEVICES/$vf/driver/unbind"
    echo "$vf" >/sys/bus/pci/drivers_probe
    run dmm ADD a <<<"$(device_conf "$vf" "$afxdp")"
    refused 101 "VF $vf: is bound to vfio-pci: AF_XDP needs its interface"
    echo >"$DEVICES/$vf/driver_override"
    echo "$vf" >"$DEVICES/$vf/driver/unbind"
    echo "$vf" >/sys/bus/pci/drivers_probe
    within 10 has_interface "$vf"
    ip link set "$(interface_of "$vf")" name "$name" address "$mac"
    same_vfs
}

@test "afxdp on a NIC's interface: its namespace died, and DEL, or who wants it next, puts it back" {
    pod_ns a
    bpf_mounted
    name=$(interface_of "$(vf_pci 0)")
    sriov_conf "$afxdp" 'del(.link.pf) | .link.device = "'"$name"'"' >"$DIR/conf"
    dmm ADD a <"$DIR/conf" >/dev/null
    [ -z "$(interface_of "$(vf_pci 0)")" ]
    ip -n sv-a link set net1 alias "not the plugin's" # a pod may, and gains nothing by it
    ip netns del sv-a
    NETNS='' dmm DEL a <"$DIR/conf"
    same_vfs
    [[ "$(ip link show "$name")" != *xdp* ]]
    pod_ns b
    pod_ns c
    dmm ADD b <"$DIR/conf" >/dev/null
    run dmm ADD c <<<"$(<"$DIR/conf")"
    refused 101 "link.device: $name: belongs to sv/sv-b/net1"
    ip netns del sv-b
    dmm ADD c <"$DIR/conf" >/dev/null
    [[ "$(ip -n sv-c link show net1)" = *xdp* ]]
    NETNS='' dmm DEL b <"$DIR/conf" # late: it is not its own any more
    [[ "$(ip -n sv-c link show net1)" = *xdp* ]]
    dmm DEL c <"$DIR/conf"
    same_vfs
}
