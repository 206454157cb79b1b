#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# Runs on every stack.
# Each kind of link with real programs on the stack, and a sidecar that has no more than the link needs.

load lib

setup_file() { lab_setup links 7; }
teardown_file() { lab_teardown; }
# What AF_XDP pins counts for the user, in whatever namespace (RLIMIT_MEMLOCK): the run on the other stack waits.
setup() {
    [[ $BATS_TEST_DESCRIPTION = afxdp* ]] || return 0
    # shellcheck disable=SC2016 # for the inner shell
    flock -F "$DMM_BUILD/tests/afxdp.lock" sh -c 'touch "$0"; exec sleep 900' "$LAB_TMP/locked" 3>&- &
    LOCK_PID=$!
    within 300 test -e "$LAB_TMP/locked"
}
teardown() {
    local name
    for name in a b; do pod down $name; done
    [ -z "${LOCK_PID:-}" ] || { rm -f "$LAB_TMP/locked"; end_bg "$LOCK_PID"; }
}

# The sidecar's user and the bits of its bounding, permitted and effective sets.
runs_as() { # NAME UID CAPABILITIES(hex)
    local pid
    pid=$(pod sidecar "$1" pid)
    grep -E '^(Uid|Cap(Prm|Eff|Bnd)):' "/proc/$pid/status"
    [ "$(awk '$1 == "Uid:" { print $2 }' "/proc/$pid/status")" = "$2" ]
    local set
    for set in CapPrm CapEff CapBnd; do
        [ $((16#$(awk -v s=$set: '$1 == s { print $2 }' "/proc/$pid/status"))) -eq $((16#$3)) ]
    done
}

two_pods() { # LINK-ARGS...
    pod up a "dmm.fd.io/stack=$STACK" "$@"
    pod up b "dmm.fd.io/stack=$STACK" "$@"
    IP=$(pod ip a)
}

# A web server on the stack of `a`, for a kernel peer (the node) and for the stack of `b`.
web_works() {
    nginx_conf a "server { listen 80; return 200 over-the-link; }"
    pod exec a nginx -c "$LAB_TMP/a.conf"
    within 10 curl -sf --max-time 2 "http://$IP/"
    [ "$(curl -s --max-time 5 "http://$IP/")" = over-the-link ]
    needs_to_run curl --version
    within 10 pod exec b curl -sf --max-time 2 "http://$IP/"
    [ "$(pod exec b curl -s --max-time 5 "http://$IP/")" = over-the-link ]
}

counter() { pod ctl a stats --json | jq ".ports[0].$1"; } # NAME: of a's port

# Segments that the port gave one by one were merged by the stack, where that can.
merges() {
    local merged
    [ "$STACK" = tcpip ] || return 0
    merged=$(pod ctl a stats --json | jq '.stacks[] | select(.name == "tcpip").counters.tcp_merged')
    echo "merged: $merged"
    [ "$merged" -gt 1000 ]
}

# Bytes to and from a kernel peer, and between the two stacks. Prints the mean size of frames.
bulk_works() {
    pod_bg a iperf3 -s --forceflush
    local server=$LAST_PID
    within 10 grep -q listening "$LAB_TMP/a.out"
    timeout 30 iperf3 -c "$IP" -n 200M
    RX_MEAN=$(($(counter rx_bytes) / $(counter rx_frames)))
    timeout 30 iperf3 -c "$IP" -n 200M -R
    TX_MEAN=$(($(counter tx_bytes) / $(counter tx_frames)))
    timeout 30 "$TOP/examples/pod" exec "$LAB_PREFIX-b" iperf3 -c "$IP" -n 100M
    end_bg "$server"
    echo "mean frame: received $RX_MEAN, sent $TX_MEAN"
    [ "$(counter rx_bad)" -eq 0 ]
}

@test "tap: a user without any capability, whole segments both ways" {
    two_pods --link tap
    runs_as a 64321 0
    web_works
    bulk_works
    # Far above the MTU, with ACKs counted in.
    [ "$RX_MEAN" -gt 5000 ]
    [ "$TX_MEAN" -gt 5000 ]
}

@test "tap: a killed sidecar comes back to the same device" {
    two_pods --link tap
    kill_sidecar a
    pod sidecar a start
    web_works
}

@test "tap: another user may not have the device, and is told why" {
    two_pods --link tap
    pod sidecar a stop
    chown 64322 "$DMM_EXAMPLES_DIR/pods/example-$LAB_PREFIX-a"
    run timeout 10 nsenter --net="/run/netns/dmm-$LAB_PREFIX-a" setpriv --reuid 64322 --regid 64322 --clear-groups \
        --bounding-set=-all "$DMM_BUILD/dmm-stackd" --pod-dir "$DMM_EXAMPLES_DIR/pods/example-$LAB_PREFIX-a"
    echo "$output"
    [ "$status" -eq 1 ]
    [[ "$output" = *"port net1"*"owner and group are not ours"* ]]
}

@test "tap, routed" {
    two_pods --link tap --routed
    runs_as a 64321 0
    web_works
    bulk_works
    [ "$RX_MEAN" -gt 5000 ]
}

@test "veth, routed: only the node's end is a neighbour" {
    two_pods --link veth --routed
    runs_as a 0 2000
    web_works
    bulk_works
    [ ! -e "/sys/class/net/$(ip -j route get "$IP" | jq -r '.[0].dev')/master" ]
}

@test "afxdp: a user with CAP_NET_RAW alone, whatever the peer leaves to its device" {
    two_pods --link afxdp
    runs_as a 64321 2000
    web_works
    bulk_works
    # No frame above the MTU either way, all checksums whole (rx_bad, and that bytes came at all).
    [ "$RX_MEAN" -le 1514 ]
    [ "$TX_MEAN" -le 1514 ]
    merges
    # A killed sidecar's queue is taken again by the next one.
    kill_sidecar a
    pod sidecar a start
    pod exec a nginx -c "$LAB_TMP/a.conf" -s stop 2>/dev/null || true
    within 10 ping -c 1 -W 1 "$IP"
}

@test "afxdp, routed" {
    two_pods --link afxdp --routed
    web_works
}

@test "afxdp: without the capability, and for another user, the sidecar says what is missing" {
    pod up a "dmm.fd.io/stack=$STACK" --link afxdp
    pod up b "dmm.fd.io/stack=$STACK"
    pod sidecar a stop
    local dir=$DMM_EXAMPLES_DIR/pods/example-$LAB_PREFIX-a
    run timeout 10 nsenter --net="/run/netns/dmm-$LAB_PREFIX-a" setpriv --reuid 64321 --regid 64321 --clear-groups \
        --bounding-set=-all "$DMM_BUILD/dmm-stackd" --pod-dir "$dir"
    [ "$status" -eq 1 ]
    [[ "$output" = *"port net1: AF_XDP socket"*"CAP_NET_RAW is needed"* ]]
    chown 64322 "$dir"
    run timeout 10 nsenter --net="/run/netns/dmm-$LAB_PREFIX-a" setpriv --reuid 64322 --regid 64322 --clear-groups \
        --inh-caps=-all,+net_raw --ambient-caps=-all,+net_raw "$DMM_BUILD/dmm-stackd" --pod-dir "$dir"
    [ "$status" -eq 1 ]
    [[ "$output" = *"port net1"*"sidecar.uid of the CNI configuration is not ours"* ]]
    run timeout 10 nsenter --net="/run/netns/dmm-$LAB_PREFIX-a" "$DMM_BUILD/dmm-stackd" --pod-dir "$dir" --bpf-dir /nowhere
    [ "$status" -eq 1 ]
    [[ "$output" = *"/nowhere/net1: No such file or directory"*"--bpf-dir"* ]]
}

@test "memif: two pods without a kernel in between, users without any capability" {
    pod up a "dmm.fd.io/stack=$STACK" --link memif
    pod up b "dmm.fd.io/stack=$STACK" --link memif --peer a
    runs_as a 64321 0
    IP=$(pod ip a)
    nginx_conf a "server { listen 80; return 200 over-memif; }"
    pod exec a nginx -c "$LAB_TMP/a.conf"
    needs_to_run curl --version
    within 10 pod exec b curl -sf --max-time 2 "http://$IP/"
    [ "$(pod exec b curl -s --max-time 5 "http://$IP/")" = over-memif ]
    pod_bg a iperf3 -s --forceflush
    within 10 grep -q listening "$LAB_TMP/a.out"
    timeout 30 "$TOP/examples/pod" exec "$LAB_PREFIX-b" iperf3 -c "$IP" -n 50M
    timeout 30 "$TOP/examples/pod" exec "$LAB_PREFIX-b" iperf3 -c "$IP" -n 50M -R
    end_bg "$LAST_PID"
    merges
    # Either end may be restarted.
    local end
    for end in b a; do
        kill_sidecar $end
        pod sidecar $end start
        within 15 pod exec b curl -sf --max-time 2 "http://$IP/"
    done
}
