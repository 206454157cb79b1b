#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# The link tap with vhostNet: here because the guest's kernel has vhost-net whatever the host's has.

# shellcheck disable=SC2030,SC2031 # each test is a process of its own
bats_require_minimum_version 1.5.0
load lib

setup_file() {
    modprobe -a vhost_net tun sch_ingress cls_u32 act_mirred bridge veth
    chmod 666 /dev/vhost-net /dev/net/tun # as a container's are
}
setup() {
    cni_setup vn
    ip link add vn-br type bridge
    ip addr add 10.187.0.1/16 dev vn-br
    ip link set vn-br up
    pod_ns a
}
teardown() {
    [ -z "${SIDECAR:-}" ] || kill -9 "$SIDECAR" || true
    cni_teardown
}

# As a user without any capability. Sets IP.
sidecar() { # VHOST-NET
    conf '.link = {type: "tap", bridge: "vn-br", vhostNet: "'"$1"'"}' '.sidecar = {uid: 64321, gid: 64321}' \
        '.stacks[0].type = "tcpip"' '.mapping = {version: 1, default: "fast", rules: []}' >"$DIR/conf"
    dmm ADD a <"$DIR/conf" >/dev/null
    chmod 755 "$DIR"
    ip netns exec vn-a setpriv --reuid 64321 --regid 64321 --clear-groups --bounding-set -all \
        "$DMM_BUILD/dmm-stackd" --pod-dir "$DIR/run/pods/uid-a" >"$DIR/log" 2>&1 3>&- &
    SIDECAR=$!
    IP=$(jq -r '.addresses[0] | split("/")[0]' "$DIR/run/pods/uid-a/ports/net1.json")
    within 30 ping -c 1 -W 1 "$IP" || { cat "$DIR/log"; return 1; }
}
vhost_threads() { pgrep -c "^vhost-"; }
in_pod() { ip netns exec vn-a env LD_PRELOAD="$DMM_BUILD/libdmm.so" DMM_POD_DIR="$DIR/run/pods/uid-a" "$@"; }

@test "tap: vhost-net where the sidecar has it, without a capability; bytes both ways" {
    sidecar auto
    [ "$(vhost_threads)" -ge 1 ]
    run ! grep -q "without vhost-net" "$DIR/log"
    head -c 2000000 /dev/urandom >"$DIR/sent"
    in_pod timeout 60 socat -u TCP-LISTEN:7000,reuseaddr "OPEN:$DIR/got,creat" 3>&- &
    within 20 timeout 30 socat -u "OPEN:$DIR/sent" "TCP:$IP:7000"
    wait $!
    cmp "$DIR/sent" "$DIR/got"
    timeout 60 socat -u TCP-LISTEN:7001,reuseaddr "OPEN:$DIR/back,creat" 3>&- &
    within 20 in_pod timeout 30 socat -u "OPEN:$DIR/sent" TCP:10.187.0.1:7001
    wait $!
    cmp "$DIR/sent" "$DIR/back"
    # Whole segments, not frames of the MTU.
    "$DMM_BUILD/dmmctl" --pod-dir "$DIR/run/pods/uid-a" stats --json |
        jq -e '.ports[0] | .rx_bytes / .rx_frames > 2000 and .rx_bad == 0'
    kill -9 "$SIDECAR"
    wait "$SIDECAR" || true
    SIDECAR=
    dmm DEL a <"$DIR/conf"
    [ -z "$(links_in_pod a)" ]
}

@test "tap: the port reads and writes by itself where vhost-net may not be opened, or is not wished for" {
    chmod 600 /dev/vhost-net
    sidecar auto
    chmod 666 /dev/vhost-net
    grep -q "port net1: without vhost-net: /dev/vhost-net: Permission denied" "$DIR/log"
    run vhost_threads
    [ "$output" = 0 ]
    kill -9 "$SIDECAR"
    wait "$SIDECAR" || true
    dmm DEL a <"$DIR/conf"
    sidecar off
    run vhost_threads
    [ "$output" = 0 ]
}
