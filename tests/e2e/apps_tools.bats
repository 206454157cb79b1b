#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# Tools on the stack: rsync, OpenSSH, iperf3, sockperf, socat, and a program that asks a DNS server.
# apps.bats has iperf3 and socat with one connection.

load apps_lib

setup_file() {
    two_pods apt 74
    make_file "$LAB_TMP/files/big" 200M
    local i
    for i in {1..200}; do head -c $((i * 37)) "$LAB_TMP/files/big" >"$LAB_TMP/files/$i"; done
}
teardown_file() { lab_teardown; }
teardown() { end_started; }

@test "rsync: a folder to its daemon, which drops root, and back" {
    mkdir "$LAB_TMP/store"
    chown nobody "$LAB_TMP/store"
    cat >"$LAB_TMP/rsyncd.conf" <<C
uid = nobody
gid = nogroup
use chroot = no
[store]
path = $LAB_TMP/store
read only = no
C
    serve rsync --daemon --no-detach --config "$LAB_TMP/rsyncd.conf"
    listens 873
    on_stacks rsync -a --no-o --no-g "$LAB_TMP/files/" "rsync://$IP/store/"
    diff -r "$LAB_TMP/files" "$LAB_TMP/store"
    echo more >>"$LAB_TMP/files/7"
    on_stacks rsync -a --no-o --no-g --checksum "$LAB_TMP/files/" "rsync://$IP/store/"
    on_stacks rsync -a "rsync://$IP/store/" "$LAB_TMP/back/"
    diff -r "$LAB_TMP/files" "$LAB_TMP/back"
    within 5 has_sockets server '.state != "LISTEN"' 0
}

@test "iperf3: eight connections each way" {
    serve iperf3 -s
    listens 5201
    run on_stacks iperf3 -c "$IP" -t 1 -P 8
    echo "$output"
    grep -q 'SUM.*receiver' <<<"$output"
    run on_stacks iperf3 -c "$IP" -t 1 -P 8 -R
    grep -q 'SUM.*receiver' <<<"$output"
    run kernel_client iperf3 -c "$IP" -t 1 -P 8
    grep -q 'SUM.*receiver' <<<"$output"
}

@test "iperf3: datagrams at a rate, few lost" {
    serve iperf3 -s
    listens 5201
    run on_stacks iperf3 -c "$IP" -u -b 20M -t 2 -J
    local sum
    sum=$(jq -c '.end.sum' <<<"$output")
    echo "$sum"
    jq -e '.packets > 1000 and .lost_percent < 10' <<<"$sum"
}

@test "sockperf: TCP with addresses given to sendto, and UDP; every answer is checked" {
    printf 'T:0.0.0.0:11111\nU:0.0.0.0:11112\n' >"$LAB_TMP/feed"
    serve sockperf server -f "$LAB_TMP/feed"
    listens 11111
    run on_stacks sockperf ping-pong --tcp -i "$IP" -p 11111 -t 1 --data-integrity
    echo "$output"
    [ "$status" -eq 0 ]
    grep -q 'dropped messages = 0; # duplicated messages = 0; # out-of-order messages = 0' <<<"$output"
    run client sockperf ping-pong -i "$IP" -p 11112 -t 1 --data-integrity
    echo "$output"
    [ "$status" -eq 0 ]
    grep -q 'duplicated messages = 0; # out-of-order messages = 0' <<<"$output"
}

@test "socat: 200 MB through a pair of relays that fork, both ways at once" {
    # The server pod echoes; the client pod's relay joins a UNIX socket, which is the kernel's, to the stack.
    serve socat TCP-LISTEN:7000,fork,reuseaddr EXEC:cat
    listens 7000
    start_in client socat "UNIX-LISTEN:$LAB_TMP/relay,fork" "TCP:$IP:7000"
    within 5 test -S "$LAB_TMP/relay"
    [ "$(client socat -t 60 "UNIX-CONNECT:$LAB_TMP/relay" - <"$LAB_TMP/files/big" | sha256sum)" = \
        "$(sha256sum <"$LAB_TMP/files/big")" ]
    within 5 has_sockets server '.state == "ESTAB"' 0
}

@test "sockets that are not IP ones, and loopback, stay the kernel's" {
    run client /usr/bin/python3 -c "
import socket
a, b = socket.socketpair(); a.send(b'x'); assert b.recv(1) == b'x'
n = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, 0); n.bind((0, 0)); assert n.getsockname()[0]
s = socket.socket(); s.bind(('127.0.0.1', 0)); s.listen(); c = socket.create_connection(s.getsockname())
assert len(socket.if_nameindex()) >= 2
assert socket.getaddrinfo('localhost', 80)
print('fine')"
    [ "$output" = fine ]
    has_sockets client true 0
    client ip addr show >/dev/null
}

@test "libc looks names up through the kernel, and reaches a DNS server on a stack" {
    start_in server /usr/bin/python3 -c "
import socket
s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM); s.bind(('', 53))
while True:
    q, who = s.recvfrom(512)
    end = q.index(b'\\0', 12) + 5
    a = b'\\xc0\\x0c\\0\\1\\0\\1\\0\\0\\0\\x3c\\0\\4' + bytes([10, 1, 2, 3])
    is_a = q[end - 4:end - 2] == b'\\0\\1'
    s.sendto(q[:2] + b'\\x81\\x80\\0\\1' + (b'\\0\\1' if is_a else b'\\0\\0') + b'\\0\\0\\0\\0' + q[12:end] + (a if is_a else b''), who)"
    within 5 has_sockets server '.protocol == "udp" and (.local | endswith(":53"))' 1
    local before
    before=$(counter client udp_out)
    # Each pod has the machine's /etc/resolv.conf: this one command gets its own.
    run client unshare --mount bash -c "echo nameserver $IP >$LAB_TMP/resolv && mount --bind $LAB_TMP/resolv /etc/resolv.conf && getent ahostsv4 name.example"
    echo "$output"
    [[ "$output" = *10.1.2.3* ]]
    [ "$(counter client udp_out)" -eq "$before" ]
}

ssh_up() {
    local dir=$LAB_TMP/ssh
    mkdir -p "$dir" /run/sshd
    ssh-keygen -q -t ed25519 -N '' -f "$dir/host"
    ssh-keygen -q -t ed25519 -N '' -f "$dir/user"
    cat >"$dir/sshd" <<C
HostKey $dir/host
AuthorizedKeysFile $dir/user.pub
PidFile $dir/pid
StrictModes no
UsePAM no
PermitRootLogin yes
Subsystem sftp internal-sftp
C
    printf 'Host *\n IdentityFile %s\n UserKnownHostsFile /dev/null\n StrictHostKeyChecking no\n User root\n LogLevel ERROR\n' \
        "$dir/user" >"$dir/client"
    serve /usr/sbin/sshd -D -e -f "$dir/sshd"
    listens 22
}

@test "OpenSSH: a command, scp of 200 MB each way, and a forwarded port" {
    needs_to_run ssh -V
    ssh_up
    local config=$LAB_TMP/ssh/client
    [ "$(on_stacks ssh -F "$config" "$IP" "echo \$((6 * 7)); cat" <<<"and input")" = $'42\nand input' ]
    on_stacks scp -F "$config" "$LAB_TMP/files/big" "$IP:$LAB_TMP/up"
    cmp "$LAB_TMP/files/big" "$LAB_TMP/up"
    on_stacks scp -O -F "$config" "$IP:$LAB_TMP/files/big" "$LAB_TMP/down"
    cmp "$LAB_TMP/files/big" "$LAB_TMP/down"
    serve /usr/bin/python3 "$APPS/echo.py" thread 9000
    listens 9000
    start_in client ssh -F "$config" -N -L "127.0.0.1:9999:$IP:9000" "$IP"
    within 10 client nc -z 127.0.0.1 9999
    client /usr/bin/python3 "$APPS/echo.py" client 127.0.0.1 9999 5 300000
    end_started
    within 5 has_sockets server true 0
}

@test "nothing is left in the sidecars, and they had nothing to say" {
    nothing_left server client
}
