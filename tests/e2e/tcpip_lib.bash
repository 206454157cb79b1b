# SPDX-License-Identifier: Apache-2.0
# What the files about the stack `tcpip` share: a lab with IPv6 too, and programs in the background that end with
# their test.

load lib

tcpip_lab() { # PREFIX NUMBER: lab_setup, and IPv6 in fd00:NUMBER::/64
    [ "$STACK" = tcpip ] || skip_file "this is about the stack tcpip"
    export DMM_EXAMPLES_SUBNET6=fd00:$2::/64
    lab_setup "$1" "$2"
}
teardown_file() { [ -z "${LAB_PREFIX:-}" ] || lab_teardown; }

# PIDS: what the test has started.
setup() { PIDS=(); }
teardown() {
    local pid
    for pid in "${PIDS[@]}"; do
        end_bg "$pid"
    done
}
