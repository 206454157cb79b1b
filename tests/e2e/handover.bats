#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# Runs on every stack.
# Sockets that programs hand to each other: over exec, and by SCM_RIGHTS.

load lib

T=$((5 * ${DMM_TIME_FACTOR:-1})) # seconds that one answer may take

setup_file() {
    lab_setup hand 27
    pod up server "dmm.fd.io/stack=$STACK"
    IP=$(pod ip server)
    export IP
}
teardown_file() { lab_teardown; }
teardown() { end_served; }
listening() { # PORT
    within 5 has_sockets server ".state == \"LISTEN\" and (.local | endswith(\":$1\"))" 1
}
ask() { # PORT TEXT: the line that the server answers, by the kernel's client
    timeout $T "$TOP/examples/pod" exec --plain hand-server /usr/bin/python3 -c '
import socket, sys
with socket.create_connection((sys.argv[1], int(sys.argv[2])), float(sys.argv[4])) as c:
    c.sendall(sys.argv[3].encode() + b"\n")
    print(c.makefile().readline(), end="")' "$IP" "$1" "$2" "$T"
}
get() { # FILE: from nginx
    timeout $T "$TOP/examples/pod" exec --plain hand-server curl -sf --max-time $T "http://$IP:8080/$1"
}

@test "nginx takes over from nginx: USR2, QUIT, connections all the while" {
    needs_to_run curl --version
    local dir=$LAB_TMP/nginx-up old new
    mkdir -p "$dir/root"
    echo content >"$dir/root/file"
    chmod -R 777 "$dir"
    nginx_conf up "server { listen 8080; root $dir/root; }"
    "$TOP/examples/pod" exec hand-server "$(command -v nginx)" -c "$LAB_TMP/up.conf" 3>&-
    within 5 get file
    old=$(cat "$dir/nginx.pid")
    (for _ in $(seq 60); do get file; sleep 0.05; done) >"$dir/answers" 2>&1 3>&- &
    local asking=$!
    kill -USR2 "$old"
    within 5 test -s "$dir/nginx.pid.oldbin"
    within 5 eval "[ -s '$dir/nginx.pid' ] && [ \"\$(cat '$dir/nginx.pid')\" != '$old' ]"
    new=$(cat "$dir/nginx.pid")
    within 5 eval "[ \$(pgrep -c -P '$new') -ge 2 ]"
    kill -QUIT "$old"
    within 10 eval "! kill -0 '$old' 2>/dev/null"
    [ "$(get file)" = content ]
    wait "$asking" || true
    cat "$dir/answers"
    [ "$(grep -cx content "$dir/answers")" -eq 60 ]
    kill -QUIT "$new"
    within 10 eval "! kill -0 '$new' 2>/dev/null"
    within 5 has_sockets server '.local | endswith(":8080")' 0
}

@test "inetd: the connection is stdin and stdout of an unmodified program" {
    serve socat TCP4-LISTEN:7001,fork,reuseaddr EXEC:'/bin/cat',nofork
    listening 7001
    for i in 1 2 3; do
        [ "$(ask 7001 "round $i")" = "round $i" ]
    done
    within 5 has_sockets server '.state != "LISTEN"' 0
}

@test "inetd: programs that use stdio on it" {
    # shellcheck disable=SC2016 # for the script
    echo 'read -r x; echo "bash: $x"' >"$LAB_TMP/service.bash"
    serve socat TCP4-LISTEN:7007,fork,reuseaddr EXEC:"/bin/bash $LAB_TMP/service.bash",nofork
    listening 7007
    [ "$(ask 7007 hello)" = "bash: hello" ]
    end_bg "$SERVER_PID"
    serve socat TCP4-LISTEN:7007,fork,reuseaddr EXEC:"/bin/sed -u s/h/sed=h/",nofork
    listening 7007
    [ "$(ask 7007 hello)" = "sed=hello" ]
}

@test "socket activation: LISTEN_FDS, the activator goes on and the service ends" {
    cat >"$LAB_TMP/activate.py" <<'PY'
import os, socket, sys
s = socket.socket(); s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
s.bind(('0.0.0.0', 7002)); s.listen(5)
while True:
    pid = os.fork()
    if pid == 0:
        os.dup2(s.fileno(), 3)
        os.set_inheritable(3, True)
        os.environ.update(LISTEN_FDS='1', LISTEN_PID=str(os.getpid()))
        os.execvp(sys.argv[1], sys.argv[1:])
    os.waitpid(pid, 0)
PY
    cat >"$LAB_TMP/service.py" <<'PY'
import os, socket
assert int(os.environ['LISTEN_PID']) == os.getpid() and os.environ['LISTEN_FDS'] == '1'
s = socket.socket(fileno=3)
c, _ = s.accept()
c.sendall(c.recv(100).upper())
PY
    serve /usr/bin/python3 "$LAB_TMP/activate.py" /usr/bin/python3 "$LAB_TMP/service.py"
    listening 7002
    [ "$(ask 7002 one)" = ONE ]
    [ "$(ask 7002 two)" = TWO ]
    listening 7002
    end_bg "$SERVER_PID" # the third service waits already, and lives on
    [ "$(ask 7002 three)" = THREE ]
    within 5 has_sockets server '.local | endswith(":7002")' 0
}

@test "without the shim the inherited socket is an error there, and nothing here" {
    cat >"$LAB_TMP/bare.py" <<'PY'
import os, socket, subprocess
s = socket.socket(); s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
s.bind(('0.0.0.0', 7003)); s.listen(5)
c, _ = s.accept()
env = dict(os.environ, LD_PRELOAD='')
answer = ''
for program in (['dd', 'bs=1', 'count=1', 'status=none'], ['busybox', 'cat']):
    p = subprocess.run(program, stdin=c, env=env, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    answer += '%s %d %r; ' % (program[0], p.returncode, b'unavailable' in p.stdout)
c.sendall(answer.encode() + c.recv(100))
PY
    serve /usr/bin/python3 "$LAB_TMP/bare.py"
    listening 7003
    run ask 7003 intact
    echo "$output"
    [ "$output" = "dd 1 True; busybox 1 True; intact" ]
}

# A program that was started by itself hands sockets to another one, which may be another user's.
hand_over() { # HOW: what the giver does after sending; RECEIVER...: a prefix of the receiver's command
    local how=$1
    shift
    cat >"$LAB_TMP/give.py" <<'PY'
import os, socket, sys
s = socket.socket(); s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
s.bind((sys.argv[1], 7004)); s.listen(5)
path = sys.argv[3]
u = socket.socket(socket.AF_UNIX); u.bind(path); os.chmod(path, 0o777); u.listen(1)
c, _ = s.accept()
x, _ = u.accept()
socket.send_fds(x, [b'x'], [c.fileno(), s.fileno()])
if sys.argv[2] == 'exit': sys.exit()
if sys.argv[2] == 'close': c.close(); s.close()
print(x.recv(10))
PY
    cat >"$LAB_TMP/take.py" <<'PY'
import socket, sys
x = socket.socket(socket.AF_UNIX); x.connect(sys.argv[1])
own = []
if sys.argv[2] == 'own': own = [socket.socket()]; own[0].bind((sys.argv[3], 7005)); own[0].listen(1)
_, fds, _, _ = socket.recv_fds(x, 10, 4)
c, s = (socket.socket(fileno=f) for f in fds)
try:
    d = c.recv(100); c.sendall(b'taken: ' + d); c.close()
    c, _ = s.accept(); c.sendall(b'accepted ' + c.recv(100)); c.close()
except OSError as e: print(e)
x.send(b'bye')
PY
    rm -f "$LAB_TMP/give.sock"
    serve /usr/bin/python3 "$LAB_TMP/give.py" "$IP" "$how" "$LAB_TMP/give.sock"
    listening 7004
    ask 7004 hello >"$LAB_TMP/answer" 2>&1 &
    local asking=$!
    within 5 has_sockets server '.state == "ESTAB"' 1
    pod exec server "$@" /usr/bin/python3 "$LAB_TMP/take.py" "$LAB_TMP/give.sock" "${OWN:-none}" "$IP" \
        >"$LAB_TMP/take" 2>&1 3>&- &
    local taking=$!
    wait "$asking" || true
    ask 7004 again >>"$LAB_TMP/answer" 2>&1 || true
    wait "$taking" || true
    cat "$LAB_TMP/answer" "$LAB_TMP/take"
}

@test "SCM_RIGHTS to a program of another family, which shares them with the giver" {
    hand_over hold
    [ "$(cat "$LAB_TMP/answer")" = $'taken: hello\naccepted again' ]
}

@test "SCM_RIGHTS to one with sockets of its own: they move when the giver has closed them, or ended" {
    OWN=own hand_over close
    [ "$(cat "$LAB_TMP/answer")" = $'taken: hello\naccepted again' ]
    end_bg "$SERVER_PID"
    OWN=own hand_over exit
    [ "$(cat "$LAB_TMP/answer")" = $'taken: hello\naccepted again' ]
}

@test "SCM_RIGHTS to another user: it moves; while the giver keeps it, the receiver is told no" {
    hand_over close setpriv --reuid=nobody
    [ "$(cat "$LAB_TMP/answer")" = $'taken: hello\naccepted again' ]
    end_bg "$SERVER_PID"
    hand_over hold setpriv --reuid=nobody
    grep -q 'Connection reset by peer' "$LAB_TMP/take"
    grep -q 'another client still holds the socket' "$LAB_TMP/take"
}

@test "sshd executes itself for each connection, drops its privileges, and moves 20 MB" {
    needs_to_run ssh -V
    local dir=$LAB_TMP/ssh
    mkdir -p "$dir" /run/sshd
    ssh-keygen -q -t ed25519 -N '' -f "$dir/host"
    ssh-keygen -q -t ed25519 -N '' -f "$dir/user"
    cat >"$dir/sshd" <<C
Port 7022
HostKey $dir/host
AuthorizedKeysFile $dir/user.pub
StrictModes no
UsePAM no
PidFile none
Subsystem sftp internal-sftp
C
    cat >"$dir/client" <<C
Port 7022
IdentityFile $dir/user
StrictHostKeyChecking no
UserKnownHostsFile /dev/null
LogLevel ERROR
C
    head -c 20000000 /dev/urandom >"$dir/file"
    serve /usr/sbin/sshd -D -e -f "$dir/sshd"
    listening 7022
    for _ in 1 2; do
        timeout $((T * 4)) "$TOP/examples/pod" exec --plain hand-server scp -q -F "$dir/client" "$dir/file" "$IP:$dir/there"
        cmp "$dir/file" "$dir/there"
        rm "$dir/there"
    done
    within 5 has_sockets server '.state != "LISTEN" and .state != "TIME-WAIT"' 0
}

@test "node's cluster: workers serve what the primary listens on" {
    command -v node >/dev/null || skip "no node"
    cat >"$LAB_TMP/cluster.js" <<'JS'
const cluster = require('cluster'), http = require('http');
if (process.argv[3] === 'shared') cluster.schedulingPolicy = cluster.SCHED_NONE;
if (cluster.isPrimary) { for (let i = 0; i < 2; i++) cluster.fork(); }
else http.createServer((q, r) => r.end('worker ' + cluster.worker.id + '\n')).listen(7006, process.argv[2]);
JS
    for how in handles shared; do
        serve node "$LAB_TMP/cluster.js" "$IP" $how
        within 10 eval "timeout $T '$TOP/examples/pod' exec --plain hand-server curl -sf --max-time $T http://$IP:7006/"
        for i in $(seq 20); do
            timeout $T "$TOP/examples/pod" exec --plain hand-server curl -sf --max-time $T "http://$IP:7006/"
        done >"$LAB_TMP/cluster.$how"
        sort "$LAB_TMP/cluster.$how" | uniq -c
        [ "$(grep -c '^worker' "$LAB_TMP/cluster.$how")" -eq 20 ]
        end_bg "$SERVER_PID"
        within 5 has_sockets server '.local | endswith(":7006")' 0
    done
}

@test "nothing is left after all that" {
    within 5 has_sockets server true 0 || { pod ctl server sockets; pod ctl server clients; false; }
    within 5 eval "[ \"\$('$TOP/examples/pod' ctl hand-server clients --json | jq '.clients | length')\" -eq 0 ]"
}
