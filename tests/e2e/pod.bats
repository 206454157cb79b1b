#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# examples/pod itself: what it makes, what it refuses, and that nothing is left behind.

load lib

setup_file() { lab_setup podt 1; }
teardown_file() { lab_teardown; }
teardown() {
    pod down a 2>/dev/null || true
    pod down b 2>/dev/null || true
}

leftovers() {
    ip netns list | grep "dmm-$LAB_PREFIX" || true
    ip -o link show | grep -F "$DMM_EXAMPLES_BRIDGE" || true
    find "$DMM_EXAMPLES_DIR" -type f ! -name .lock 2>/dev/null || true
}

@test "up makes eth0 for the kernel and net1 for the stack, and down takes all away" {
    pod up a "dmm.fd.io/stack=$STACK"
    run pod ip --all a
    [ "$status" -eq 0 ]
    [[ "$output" = *"eth0 kernel 10.99.1."* ]]
    [[ "$output" = *"net1 $STACK 10.99.1."* ]]
    # The stack's address is not the kernel's.
    run pod exec --plain a ip -4 -o addr show
    [[ "$output" != *"$(pod ip a)/"* ]]
    # The sidecar needs no capability but NET_RAW.
    [ "$(grep CapEff "/proc/$(pod sidecar a pid)/status" | cut -f 2)" = 0000000000002000 ]
    pod down a
    [ -z "$(leftovers)" ]
}

@test "a bad mapping fails ADD with a message that names the key, and leaves nothing" {
    run pod up a 'dmm.fd.io/mapping={"version":1,"default":"kernel","rules":[{"stack":"kernel","prot":"tcp"}]}'
    [ "$status" -ne 0 ]
    echo "$output"
    [ -z "$(leftovers)" ]
    run pod up a --stack "$STACK" 'dmm.fd.io/mapping={"version":1,"default":"kernel","rules":[{"stack":"kernel","prot":"tcp"}]}'
    [ "$status" -ne 0 ]
    [[ "$output" = *"dmm.fd.io/mapping"* ]]
    [[ "$output" = *"rules[0]"* ]]
    [[ "$output" = *"prot"* ]]
    [ -z "$(leftovers)" ]
}

@test "an unknown stack type is refused by name" {
    run pod up a dmm.fd.io/stack=nosuch
    [ "$status" -ne 0 ]
    [[ "$output" = *nosuch* ]]
    [ -z "$(leftovers)" ]
}

@test "a killed up is taken away by down" {
    "$TOP/examples/pod" up podt-a "dmm.fd.io/stack=$STACK" 3>&- &
    local pid=$!
    within 5 [ -e /run/netns/dmm-podt-a ] # in the midst of it: the kernel has the namespace, nobody the sidecar
    kill -9 $pid
    wait $pid 2>/dev/null || true
    within 5 pod down a
    [ -z "$(leftovers)" ]
}

@test "two pods and the node reach each other's kernel addresses" {
    pod up a "dmm.fd.io/stack=$STACK"
    pod up b
    pod exec --plain a ping -c 1 -W 2 "$(pod ip b)"
    pod exec --plain b ping -c 1 -W 2 "$(pod ip a)" # answered by the stack
}
