# SPDX-License-Identifier: Apache-2.0
# What the CNI tests share: namespaces, configurations, calls as a runtime makes them, and a picture
# of the node to compare with.
#
# Every file has a prefix of its own (PREFIX), in namespaces, bridges, folders and networks.

TOP=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
DMM_BUILD=${DMM_BUILD:-$TOP/build}
PLUGINS=${PLUGINS:-/usr/lib/cni}
DMM=$DMM_BUILD/dmm
# shellcheck source-path=SCRIPTDIR source=skip.bash
source "$TOP/tests/e2e/skip.bash"

cni_setup() { # PREFIX
    PREFIX=$1
    DIR=/run/dmm-test-$PREFIX
    export CNI_PATH=$PLUGINS
    cni_teardown
    mkdir -p "$DIR"
}

cni_teardown() {
    local ns dev
    for ns in $(ip netns list | awk -v p="$PREFIX-" 'index($1, p) == 1 { print $1 }'); do
        ip netns del "$ns"
    done
    for dev in $(ip -o link show | awk -F'[ @:]+' -v p="$PREFIX-" 'index($2, p) == 1 { print $2 }'); do
        ip link del "$dev" 2>/dev/null || true
    done
    [ -z "${DIR:-}" ] || { umount "$DIR/bpf" 2>/dev/null || true; rm -rf "$DIR"; }
}

# A network configuration on stdout; jq FILTERs change it.
conf() { # [FILTER...]
    local json filter
    json=$(jq -n --arg p "$PREFIX" --arg d "$DIR" '{cniVersion: "1.0.0", name: $p, type: "dmm",
        podDir: ($d + "/run"), stateDir: ($d + "/state"),
        link: {type: "veth", bridge: ($p + "-br"), mtu: 1400},
        stacks: [{name: "fast", type: "lwip"}],
        ipam: {type: "host-local", dataDir: ($d + "/leases"), subnet: "10.187.0.0/16",
            routes: [{dst: "0.0.0.0/0"}]}}')
    for filter; do
        json=$(jq "$filter" <<<"$json")
    done
    printf '%s\n' "$json"
}

# A bpf file system of the test's own, at $DIR/bpf.
bpf_mounted() {
    mkdir -p "$DIR/bpf"
    mount -t bpf -o mode=755 bpf "$DIR/bpf"
}

pod_ns() { ip netns add "$PREFIX-$1"; }

# Calls the plugin as a runtime does. The configuration comes on stdin.
dmm() { # COMMAND POD [IFNAME]
    CNI_COMMAND=$1 CNI_CONTAINERID=$PREFIX-$2 CNI_NETNS=${NETNS-/run/netns/$PREFIX-$2} \
        CNI_IFNAME=${3:-net1} \
        CNI_ARGS=${ARGS-"IgnoreUnknown=1;K8S_POD_NAMESPACE=t;K8S_POD_NAME=$2;K8S_POD_UID=uid-$2"} \
        "$DMM"
}

# Everything of ours on the node: links, ports, leases, files. Two of these are compared.
picture() {
    echo "links:"
    # Node ends of other tests are ports of other bridges.
    ip -j link show | jq -r --arg p "$PREFIX-" '.[] | select((.ifname | startswith($p)) or
        ((.ifname | test("^dmm[0-9a-f]{11}$")) and ((.master // $p) | startswith($p)))) | .ifname' | sort
    echo "files:"
    find "$DIR/run" "$DIR/state" -mindepth 1 2>/dev/null |
        grep -vE "^$DIR/(run/pods|state/[^/]*|state/[^/]*/quarantine(/.*)?|state/[^/]*/\.boot)$" | sort
    find "$DIR/state" -maxdepth 1 -type f 2>/dev/null
    echo "pins:"
    find "$DIR/bpf" -mindepth 2 2>/dev/null | sort
    echo "leases:"
    find "$DIR/leases" -type f 2>/dev/null | grep -vE '/(lock|last_reserved_ip\.[0-9]+)$' | sort
}

links_in_pod() { ip -n "$PREFIX-$1" -o link show | awk -F'[ @:]+' '$2 != "lo" { print $2 }'; }

# The last run failed with this code, and the details match.
# shellcheck disable=SC2154 # bats' own
refused() { # CODE PATTERN
    [ "$status" -eq 1 ] || { echo "status $status: $output"; return 1; }
    jq -e --argjson code "$1" --arg pattern "$2" \
        '.code == $code and (.details | test($pattern)) and (.msg | length > 0) and .cniVersion' \
        <<<"$output" >/dev/null || { echo "$output"; return 1; }
}
