#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# Runs on every stack.
# The differential oracle (tests/oracle): each case makes the same calls on the kernel and on the stack, and
# what they answer is compared. And many threads at once on shared sets.

TOP=$(cd "$BATS_TEST_DIRNAME/../.." && pwd)
export DMM_BUILD=${DMM_BUILD:-$TOP/build}
STACK=${DMM_TEST_STACK:-tcpip}

oracle() { # ARGS...: prints what failed and the totals
    [ "$(id -u)" -eq 0 ] || skip "needs root"
    local status=0
    "$TOP/tests/oracle/run.py" --stack "$STACK" "$@" >"$BATS_TEST_TMPDIR/out" 2>&1 3>&- || status=$?
    grep -v '^ok' "$BATS_TEST_TMPDIR/out"
    return $status
}

@test "options answer as the kernel's" { oracle --only opt_; }
@test "the option table of docs/sockets.md is true" {
    "$TOP/tests/oracle/run.py" --table >"$BATS_TEST_TMPDIR/table"
    sed -n '/run.py --table/,/<!-- end/p' "$TOP/docs/sockets.md" | sed '1d;$d' | diff - "$BATS_TEST_TMPDIR/table"
}
@test "connect, bind, listen, accept, shutdown and close do" {
    oracle --only connect_ --only bind_ --only listen_ --only accept_ --only shutdown_ --only close_ --only socket_ \
        --only wildcard_
}
@test "send and receive do, on streams and with datagrams, over IPv4 and IPv6" {
    oracle --only send_ --only recv_ --only udp_ --only v6_
}
@test "poll, select and epoll do" { oracle --only poll_ --only select_ --only epoll_; }
@test "blocking calls, threads and processes do" {
    oracle --only block_ --only fork_ --only thread_ --only signal_ --only sandbox_
}
@test "fcntl, ioctl, dup, sendfile and splice do" {
    oracle --only fcntl_ --only ioctl_ --only dup_ --only sendfile --only splice_ --only fd_ --only syscall_
}
@test "many threads open, close, shut down, reset and fork on shared sets: no byte is lost, nothing is left" {
    oracle --run "$DMM_BUILD/tests/preload/stress" ADDRESS 5 10000 1000
    [[ $(cat "$BATS_TEST_TMPDIR/out") = *" connections, 0 stalls, 0 wrong, spurious: few, 0 descriptors left"* ]]
}
@test "kernel sockets answer under the shim as they do without it" {
    [ "$STACK" = tcpip ] || skip "once is enough"
    STACK=kernel oracle
}
