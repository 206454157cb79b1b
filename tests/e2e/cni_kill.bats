#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# The plugin killed, and each of its system calls failed, at every step of ADD and DEL, for every link:
# a DEL or a GC afterwards leaves the node as it was.
#
# strace does the killing (signal=KILL at the Nth of a kind) and the failing (error=...). Every call
# that can change something, or that comes between two that do, is a step.

bats_require_minimum_version 1.5.0
load cni_lib

CALLS="mkdir mkdirat openat write pwrite64 ftruncate fchmod fsync linkat renameat rename unlink unlinkat rmdir
    flock setns sendmsg memfd_create clone3 vfork wait4 ioctl bpf lchown"

setup() {
    cni_setup cnik
    sysctl -qw net.ipv4.ip_forward=1 # for what is routed
}
teardown() { cni_teardown; }

# The arguments of this link as jq filters.
link_filter() {
    case $1 in
    veth) echo . ;;
    routed) echo '.link = {type: "veth", routed: true}' ;;
    afxdp) echo '.link.type = "afxdp" | .link.bpffs = "'"$DIR"'/bpf"' ;;
    device) echo '.link = {type: "afxdp", device: "cnik-nic", mtu: 1400, queues: 2, bpffs: "'"$DIR"'/bpf"}
        | .runtimeConfig.mac = "02:00:00:00:cc:02"' ;;
    tap) echo '.link.type = "tap" | .sidecar.uid = 64321' ;;
    memif) echo '.link = {type: "memif", role: "server", socket: "'"$DIR"'/pair/s.sock"}' ;;
    vhostuser) echo '.link = {type: "vhostuser", role: "server", socket: "'"$DIR"'/pair/s.sock"}' ;;
    esac
}

# An interface that stands for a NIC of the node, and all that it is there.
make_nic() {
    ip link add cnik-nic numrxqueues 4 numtxqueues 4 type veth peer name cnik-wire
    ip link set cnik-nic up alias "in rack 7"
}
node() {
    picture
    [ ! -e /sys/class/net/cnik-nic ] || {
        ip -j -d link show cnik-nic | jq -c '.[0] | [.ifalias, .address, .mtu, .xdp, (.flags | contains(["NOARP"])), (.flags | contains(["UP"]))]'
        ethtool -l cnik-nic | tail -n 5
    }
}

# Runs the plugin under strace with an injection, or to count with none.
traced() { # STRACE-ARGS -- COMMAND POD
    local args=()
    while [ "$1" != -- ]; do args+=("$1"); shift; done
    CNI_COMMAND=$2 CNI_CONTAINERID=$PREFIX-$3 CNI_NETNS=/run/netns/$PREFIX-$3 CNI_IFNAME=net1 \
        CNI_ARGS="IgnoreUnknown=1;K8S_POD_UID=uid-$3" strace -qq "${args[@]}" "$DMM"
}

# Prints "CALL COUNT" for each kind of step that a verb takes.
steps() { # COMMAND CONF
    traced -o "$DIR/trace" -- "$1" a <<<"$2" 2>&1 | cat >/dev/null
    local call
    for call in $CALLS; do
        echo "$call $(grep -c "^$call(" "$DIR/trace")"
    done | grep -v ' 0$'
}

same_as_before() { # WHAT
    local now pod
    now=$(node)
    pod=$(links_in_pod a)
    [ "$now$pod" = "$empty" ] && return
    echo "after $1:"
    diff <(echo "$empty") <(echo "$now$pod")
    return 1
}

# Kills ADD at every step, then cleans up by DEL and by GC in turn.
kill_add() { # LINK
    local conf call count n tried=0
    conf=$(conf "$(link_filter "$1")" '.cniVersion = "1.1.0"')
    gc=$(jq '."cni.dev/valid-attachments" = []' <<<"$conf")
    pod_ns a
    dmm ADD a <<<"$conf" >/dev/null # makes folders that stay
    dmm DEL a <<<"$conf"
    empty=$(node)
    steps ADD "$conf" >"$DIR/steps"
    dmm DEL a <<<"$conf"
    [ -s "$DIR/steps" ]
    while read -r call count; do
        for n in $(seq "$count"); do
            run traced -o /dev/null -e "inject=$call:signal=KILL:when=$n" -- ADD a <<<"$conf"
            [ "$status" -eq 137 ] || { echo "not killed at $call $n: $output"; return 1; }
            if [ $((tried++ % 2)) -eq 0 ]; then dmm DEL a <<<"$conf"; else dmm GC a <<<"$gc"; fi
            same_as_before "ADD killed at $call $n"
        done
    done <"$DIR/steps"
    echo "# $1: killed ADD at $tried steps" >&3
}

kill_del() { # LINK
    local conf call count n tried=0
    conf=$(conf "$(link_filter "$1")")
    pod_ns a
    empty=$(node)
    dmm ADD a <<<"$conf" >/dev/null
    steps DEL "$conf" >"$DIR/steps"
    same_as_before "DEL"
    while read -r call count; do
        for n in $(seq "$count"); do
            dmm ADD a <<<"$conf" >/dev/null
            run traced -o /dev/null -e "inject=$call:signal=KILL:when=$n" -- DEL a <<<"$conf"
            dmm DEL a <<<"$conf"
            same_as_before "DEL killed at $call $n"
            tried=$((tried + 1))
        done
    done <"$DIR/steps"
    echo "# $1: killed DEL at $tried steps" >&3
}

# Fails every step of ADD: either it works all the same, or it says so and has taken all back.
fail_add() { # LINK
    local conf call count n tried=0 error
    conf=$(conf "$(link_filter "$1")")
    pod_ns a
    steps ADD "$conf" >"$DIR/steps"
    dmm DEL a <<<"$conf"
    empty=$(node)
    while read -r call count; do
        error=ENOSPC
        case $call in flock | setns | sendmsg | ioctl | bpf) error=EPERM ;; wait4) continue ;; esac
        for n in $(seq "$count"); do
            run --separate-stderr traced -o /dev/null -e "inject=$call:error=$error:when=$n" -- ADD a <<<"$conf"
            if [ "$status" -eq 0 ]; then
                dmm DEL a <<<"$conf"
            elif [ -z "${stderr##*error while loading*}" ] && [ -n "$stderr" ]; then
                : # it never started
            elif [ "$call" = setns ] && [[ "$stderr" = *leave* ]]; then
                dmm DEL a <<<"$conf" # it can't do more where it is
            elif [ "$call" = write ] && [ -z "${output//[[:space:]]/}" ]; then
                : # what failed is the answer itself
            else
                jq -e '.code > 0 and .details' <<<"$output" >/dev/null || { echo "$call $n: $output $stderr"; return 1; }
            fi
            same_as_before "ADD with $call $n failing"
            tried=$((tried + 1))
        done
    done <"$DIR/steps"
    echo "# $1: failed ADD at $tried steps" >&3
}

@test "veth: ADD killed at every step" { kill_add veth; }
@test "veth: DEL killed at every step" { kill_del veth; }
@test "veth: ADD with every step failing" { fail_add veth; }
@test "routed: ADD killed at every step" { kill_add routed; }
@test "routed: DEL killed at every step" { kill_del routed; }
@test "routed: ADD with every step failing" { fail_add routed; }
@test "tap: ADD killed at every step" { kill_add tap; }
@test "tap: DEL killed at every step" { kill_del tap; }
@test "tap: ADD with every step failing" { fail_add tap; }
@test "afxdp: ADD killed at every step" { bpf_mounted; kill_add afxdp; }
@test "afxdp: DEL killed at every step" { bpf_mounted; kill_del afxdp; }
@test "afxdp: ADD with every step failing" { bpf_mounted; fail_add afxdp; }
@test "device: ADD killed at every step" { bpf_mounted; make_nic; kill_add device; }
@test "device: DEL killed at every step" { bpf_mounted; make_nic; kill_del device; }
@test "device: ADD with every step failing" { bpf_mounted; make_nic; fail_add device; }
@test "memif: ADD killed at every step" { kill_add memif; }
@test "memif: DEL killed at every step" { kill_del memif; }
@test "memif: ADD with every step failing" { fail_add memif; }
@test "vhostuser: ADD killed at every step" { kill_add vhostuser; }
@test "vhostuser: DEL killed at every step" { kill_del vhostuser; }
@test "vhostuser: ADD with every step failing" { fail_add vhostuser; }

@test "an IPAM plugin that outlives its killed parent is waited for" {
    mkdir "$DIR/bin"
    cat >"$DIR/bin/slow" <<'SLOW'
#!/bin/bash
[ "$CNI_COMMAND" = ADD ] && sleep 1
sed 's/"type": "slow"/"type": "host-local"/' | exec /usr/lib/cni/host-local
SLOW
    chmod +x "$DIR/bin/slow"
    export CNI_PATH=$DIR/bin:$PLUGINS
    pod_ns a
    empty=$(node)
    conf '.ipam.type = "slow"' >"$DIR/conf"
    CNI_COMMAND=ADD CNI_CONTAINERID=cnik-a CNI_NETNS=/run/netns/cnik-a CNI_IFNAME=net1 \
        CNI_ARGS="IgnoreUnknown=1;K8S_POD_UID=uid-a" "$DMM" <"$DIR/conf" >/dev/null 3>&- &
    sleep 0.4
    kill -9 $!
    dmm DEL a <"$DIR/conf"
    same_as_before "DEL with ADD's IPAM plugin still running"
    sleep 1
    same_as_before "a second more"
}
