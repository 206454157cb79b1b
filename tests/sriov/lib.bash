# SPDX-License-Identifier: Apache-2.0
# What the SR-IOV tests share. They run in a guest of tests/sriov/boot: two NICs joined by a cable, of which
# the plugin gets the first, with VFS virtual functions; the second is the wire's other end, an interface of
# the kernel in the namespace "wire".

# shellcheck source=tests/e2e/cni_lib.bash
source "$(dirname "${BASH_SOURCE[0]}")/../e2e/cni_lib.bash"

PF_PCI=0000:01:00.0
WIRE_PCI=0000:02:00.0
DEVICES=/sys/bus/pci/devices

within() { # SECONDS CMD...
    local end=$((SECONDS + $1))
    shift
    until "$@" >/dev/null 2>&1; do
        if [ $SECONDS -ge $end ]; then
            echo "not within the time: $*"
            "$@" || true
            return 1
        fi
        sleep 0.2
    done
}

# Starting a program takes the emulated guest a long time: what is called often is done by the shell alone.
interface_of() { # PCI: its interface on the node
    local path
    for path in "$DEVICES/$1/net/"*; do
        [ -e "$path" ] && echo "${path##*/}"
    done
}
vf_pci() { ( cd -P "$DEVICES/$PF_PCI/virtfn$1" && echo "${PWD##*/}" ); }
driver_of() { ( cd -P "$DEVICES/$1/driver" && echo "${PWD##*/}" ); }
has_interface() { [ -n "$(interface_of "$1")" ]; }

# Once in a guest.
sriov_setup() { # VFS
    modprobe -a igb igbvf vfio-pci 8021q
    within 10 has_interface "$PF_PCI"
    within 10 has_interface "$WIRE_PCI"
    export PF VFS=$1
    PF=$(interface_of "$PF_PCI")
    ip link set "$PF" up
    ip netns add wire
    ip link set "$(interface_of "$WIRE_PCI")" netns wire name wire
    ip -n wire link set lo up
    ip -n wire link set wire up
    within 20 grep -q 1 "/sys/class/net/$PF/carrier"
    echo "$VFS" >"$DEVICES/$PF_PCI/sriov_numvfs"
    local i
    for ((i = 0; i < VFS; i++)); do
        within 10 has_interface "$(vf_pci "$i")"
    done
}

# All that a VF is on the node: name, address, driver, MTU, up or down, and what its PF says of it.
vfs() {
    local i pci name override address mtu flags
    for ((i = 0; i < VFS; i++)); do
        pci=$(vf_pci "$i")
        name=$(interface_of "$pci")
        read -r override <"$DEVICES/$pci/driver_override"
        address='' mtu='' flags=''
        if [ -n "$name" ]; then
            read -r address <"/sys/class/net/$name/address"
            read -r mtu <"/sys/class/net/$name/mtu"
            read -r flags <"/sys/class/net/$name/flags"
        fi
        echo "$i $pci $(driver_of "$pci") [$override] $name $address $mtu $flags"
    done
    # An address that the VF gave itself shows there too, once it has told its PF.
    ip -j link show "$PF" | jq -c '.[0].vfinfo_list[] | if .address | startswith("02:00:00:00:b0:") then . else del(.address) end'
}
vf_attr() { ip -j link show "$PF" | jq -c ".[0].vfinfo_list[$1] | $2"; } # NUMBER FILTER

# The node must be as it was when $before was taken.
# shellcheck disable=SC2154 # the tests'
same_vfs() {
    local now
    now=$(vfs; picture)
    [ "$now" = "$before" ] && return
    diff <(echo "$before") <(echo "$now")
    return 1
}

# As conf() of the CNI tests, by one jq. FILTERs change it.
sriov_conf() { # [FILTER...]
    local filter=.
    for part; do filter="$filter | $part"; done
    jq -n --arg p "$PREFIX" --arg d "$DIR" --arg pf "$PF" '{cniVersion: "1.1.0", name: $p, type: "dmm",
        podDir: ($d + "/run"), stateDir: ($d + "/state"), link: {type: "sriov", pf: $pf},
        stacks: [{name: "fast", type: "tcpip"}], mapping: {version: 1, default: "fast", rules: []},
        ipam: {type: "host-local", dataDir: ($d + "/leases"), subnet: "10.187.0.0/16"}} | '"$filter"
}
device_conf() { # PCI [FILTER...]: by deviceID, of no PF
    local pci=$1
    shift
    sriov_conf 'del(.link.pf) | .deviceID = "'"$pci"'"' "$@"
}
port_file() { cat "$DIR/run/pods/uid-$1/ports/net1.json"; }
