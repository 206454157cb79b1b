#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# The shim on a sidecar with the loop stack: no pod, no packets, no root. The programs of
# tests/preload print what socket calls answer; on the stack they must print what they print on the
# kernel.

TOP=$(cd "$BATS_TEST_DIRNAME/../.." && pwd)
BUILD=${DMM_BUILD:-$TOP/build}
STACK_ADDRESS=10.1.1.1

setup_file() {
    POD=$(mktemp -d "${TMPDIR:-/tmp}/dmm-preload-test.XXXXXX")
    export POD DMM_POD_DIR=$POD
    cat >"$POD/stacks.json" <<JSON
{"version":1,"stacks":[{"name":"loop","type":"plugin","options":{"path":"$BUILD/tests/loop.so"}}]}
JSON
    mapping '{"version":1,"default":"loop","rules":[]}'
    start_sidecar
}

teardown_file() {
    stop_sidecar TERM
    rm -rf "$POD"
}

mapping() {
    echo "$1" >"$POD/.mapping" && mv "$POD/.mapping" "$POD/mapping.json"
}

start_sidecar() {
    "$BUILD/dmm-stackd" --pod-dir "$POD" >>"$POD/log" 2>&1 3>&- &
    echo $! >"$POD/pid"
    within 10 test -S "$POD/stackd.sock"
    within 10 "$BUILD/dmmctl" stacks
}

stop_sidecar() { # SIGNAL
    kill "-$1" "$(cat "$POD/pid")" 2>/dev/null || true
    within 10 eval "! kill -0 $(cat "$POD/pid") 2>/dev/null"
    rm -f "$POD/stackd.sock"
}

within() { # SECONDS CMD...
    local end=$((SECONDS + $1))
    shift
    until "$@" >/dev/null 2>&1; do
        [ $SECONDS -lt $end ] || { echo "not within the time: $*"; return 1; }
        sleep 0.05
    done
}

shim() {
    LD_PRELOAD="${DMM_PRELOAD_FIRST:+$DMM_PRELOAD_FIRST:}$BUILD/libdmm.so" timeout 100 "$@"
}

# The thread sanitizer's runtime is in the programs of tests/preload: the shim may come before it. Nothing is left out
# then.
own_shim() {
    if [ "${SAN:-}" = thread ]; then
        DMM_PRELOAD_FIRST="" TSAN_OPTIONS="$TSAN_OPTIONS:suppressions=/dev/null" shim "$@"
    else
        shim "$@"
    fi
}

# The same program on the kernel and on the stack.
same() { # NAME
    "$BUILD/tests/preload/$1" 127.0.0.1 >"$POD/$1.kernel" 2>&1
    own_shim "$BUILD/tests/preload/$1" $STACK_ADDRESS >"$POD/$1.stack" 2>&1
    diff -U3 "$POD/$1.kernel" "$POD/$1.stack"
}

py() { shim /usr/bin/python3 -u "$@"; }

@test "the exports are the table of calls" {
    "$BUILD/tests/preload/calls" | sort >"$POD/table"
    nm -D --defined-only "$BUILD/libdmm.so" | awk '$2 == "T" {print $3}' | grep -v '^_init\|^_fini' |
        sort >"$POD/exports"
    diff "$POD/table" "$POD/exports"
}

@test "io_uring is not there, for a program that asks by syscall()" {
    run shim /usr/bin/python3 -c 'import ctypes, errno
libc = ctypes.CDLL(None, use_errno=True)
print(libc.syscall(425, 8, ctypes.create_string_buffer(120)), errno.errorcode[ctypes.get_errno()])'
    [ "$output" = "-1 ENOSYS" ]
}

@test "a program without sockets never attaches" {
    before=$("$BUILD/dmmctl" --json clients)
    DMM_POD_DIR=/nonexistent shim /bin/ls / >/dev/null
    run env DMM_POD_DIR=/nonexistent LD_PRELOAD="${DMM_PRELOAD_FIRST:+$DMM_PRELOAD_FIRST:}$BUILD/libdmm.so" \
        /usr/bin/python3 -c 'import socket; a, b = socket.socketpair(); a.send(b"x"); print(b.recv(1))'
    echo "$output"
    [ "$status" -eq 0 ]
    [ "$output" = "b'x'" ]
}

@test "streams answer as the kernel's: data, flags, ends, timeouts, signals, connect, accept" { same stream; }
@test "poll, select and epoll answer as the kernel's: level, edge, one shot, mixed, nested" { same events; }
@test "descriptors answer as the kernel's: dup, close, fcntl, ioctl, options, sendfile, datagrams" { same fds; }
@test "processes and threads: fork, shared listeners, one epfd for many, blocked calls" { same processes; }
@test "exec, spawn, system, popen and SCM_RIGHTS hand sockets over as the kernel does" { same exec; }
@test "stdio over sockets: fdopen, lines, errors, dprintf; what is a socket" { same files; }
@test "daemons and clone(): double fork, every number closed, a child that crashes" { same daemons; }

several() {
    own_shim "$BUILD/tests/preload/several" $STACK_ADDRESS >"$POD/several"
    diff -U3 "$TOP/tests/preload/several.expected" "$POD/several"
}

@test "a wildcard bind takes stack and kernel, and merges them" { several; }

@test "the same where the kernel is the default" {
    mapping '{"version":1,"default":"kernel","rules":[{"stack":"loop","remote":"10.0.0.0/8"},{"stack":"loop","direction":"listen","local":"10.0.0.0/8"}]}'
    within 5 eval "'$BUILD/dmmctl' --json mapping | grep -q '\"default\": *\"kernel\"'"
    several
    same stream
    same events
    mapping '{"version":1,"default":"loop","rules":[]}'
    within 5 eval "'$BUILD/dmmctl' --json mapping | grep -q '\"default\": *\"loop\"'"
}

@test "SIGIO of a socket whose stack is not known yet: it goes along to the kernel, and to the stack" {
    mapping '{"version":1,"default":"kernel","rules":[{"stack":"loop","direction":"listen","local":"10.1.1.1/32"}]}'
    within 5 eval "'$BUILD/dmmctl' --json mapping | grep -q '\"default\": *\"kernel\"'"
    py - >"$POD/out" 2>"$POD/err" <<'PY'
import fcntl, os, signal, socket, time
came = []
signal.signal(signal.SIGIO, lambda *_: came.append(1))
def asynchronous(at):
    s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    fcntl.fcntl(s, fcntl.F_SETOWN, os.getpid())
    fcntl.fcntl(s, fcntl.F_SETFL, os.O_ASYNC | os.O_NONBLOCK)
    assert fcntl.fcntl(s, fcntl.F_GETFL) & os.O_ASYNC
    s.bind((at, 0))
    return s
s = asynchronous("127.0.0.1")
socket.socket(socket.AF_INET, socket.SOCK_DGRAM).sendto(b"x", s.getsockname())
def await_one():
    for _ in range(1000):
        if came: break
        time.sleep(0.005)
    print("came", len(came))
await_one()
s = asynchronous("10.1.1.1")
came.clear()
other = socket.socket(socket.AF_INET, socket.SOCK_DGRAM); other.bind(("10.1.1.1", 0))
other.sendto(b"x", s.getsockname())
await_one()
PY
    mapping '{"version":1,"default":"loop","rules":[]}'
    within 5 eval "'$BUILD/dmmctl' --json mapping | grep -q '\"default\": *\"loop\"'"
    cat "$POD/out" "$POD/err"
    [ "$(grep -Fxc "came 1" "$POD/out")" -eq 2 ]
    [ ! -s "$POD/err" ]
}

@test "sidecar killed: whoever waits gets ECONNRESET, new sockets ENETDOWN; and it is back" {
    cat >"$POD/killed.py" <<'PY'
import os, select, signal, socket, threading, time
s = socket.socket(); s.bind(('10.1.1.1', 0)); s.listen(5)
c = socket.socket(); c.connect(s.getsockname()); a, _ = s.accept()
ep = select.epoll(); ep.register(c.fileno(), select.EPOLLIN)
p = select.poll(); p.register(a.fileno(), select.POLLIN)
got = {}
def run(name, f):
    def g():
        try: got[name] = f()
        except OSError as e: got[name] = e.errno
    t = threading.Thread(target=g); t.start(); return t
waits = [run('recv', lambda: c.recv(1)), run('epoll', lambda: ep.poll(5)[0][1]),
         run('poll', lambda: p.poll(5000)[0][1]), run('select', lambda: len(select.select([a], [], [], 5)[0]))]
time.sleep(0.2)
os.kill(int(open(os.environ['POD'] + '/pid').read()), signal.SIGKILL)
for t in waits: t.join(3)
print(got['recv'], got['select'], got['poll'] & (select.POLLERR | select.POLLHUP | select.POLLIN),
      got['epoll'] & (select.POLLHUP | select.POLLIN))
def errno(f):
    try: return f()
    except OSError as e: return e.errno
print(errno(lambda: a.recv(1)), errno(lambda: a.recv(1)), errno(lambda: a.send(b'x')))
n = socket.socket()
print(errno(lambda: n.connect(('10.1.1.1', 1))))
k = socket.socket(); k.bind(('127.0.0.1', 0)); k.listen(1)
m = socket.create_connection(k.getsockname()); print('kernel works')
PY
    run py "$POD/killed.py"
    echo "$output"
    [ "$(grep -v 'warn dmm' <<<"$output")" = "104 1 25 17
104 b'' 32
100
kernel works" ]
    [[ "$output" = *"stackd.sock"* ]]
    start_sidecar
    same stream
}

@test "sidecar killed and back: listeners recover by themselves, however they wait" {
    cat >"$POD/recover.py" <<'PY'
import fcntl, os, select, signal, socket, subprocess, sys, threading, time
mode = sys.argv[1]
s = socket.socket(); s.bind(('10.1.1.1', 0)); s.listen(5)
ep = select.epoll(); ep.register(s.fileno(), select.EPOLLIN)
p = select.poll(); p.register(s.fileno(), select.POLLIN)
came = []
if mode == 'sigio':
    signal.signal(signal.SIGIO, lambda *_: came.append(1))
    fcntl.fcntl(s, fcntl.F_SETOWN, os.getpid())
    fcntl.fcntl(s, fcntl.F_SETFL, os.O_ASYNC)
def wait():
    if mode in ('poll', 'sigio'): p.poll()
    if mode == 'epoll': ep.poll()
    if mode == 'select': select.select([s], [], [])
    return s.accept()[0]
def serve():
    for i in b'A', b'B':
        with wait() as c: c.send(i)
t = threading.Thread(target=serve); t.start()
def ask():
    with socket.create_connection(s.getsockname(), 5) as c: return c.recv(1)
print(ask(), flush=True)
time.sleep(0.1)
os.kill(int(open(os.environ['POD'] + '/pid').read()), signal.SIGKILL)
sys.stdin.readline()
time.sleep(0.3)
before = len(came)
print(ask())
t.join()
for _ in range(600):
    if len(came) > before: break
    time.sleep(0.005)
if mode == 'sigio' and len(came) <= before: sys.exit('no SIGIO')
PY
    for mode in accept poll epoll select sigio; do
        mkfifo "$POD/go"
        py "$POD/recover.py" $mode >"$POD/out" 2>&1 <"$POD/go" &
        pid=$!
        exec 5>"$POD/go"
        within 5 grep -q "b'A'" "$POD/out"
        within 5 eval "! kill -0 $(cat "$POD/pid") 2>/dev/null"
        rm -f "$POD/stackd.sock"
        start_sidecar
        echo >&5
        exec 5>&-
        wait $pid || { cat "$POD/out"; false; }
        cat "$POD/out"
        grep -q "b'B'" "$POD/out"
        rm "$POD/go"
    done
}

@test "sidecar killed in the midst of an option's answer: the call ends, and so do the next ones" {
    cat >"$POD/option.py" <<'PY'
import os, signal, socket, subprocess
s = socket.create_server(('10.1.1.1', 0))
c = socket.create_connection(s.getsockname())
killer = subprocess.Popen(['sh', '-c', 'sleep 0.3; kill -9 $(cat $POD/pid)'], env={'POD': os.environ['POD']})
n = 0
try:
    while True: c.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 104); n += 1
except OSError as e: print(n > 10, e.errno)
try: c.send(b'x')
except OSError as e: print(e.errno)
PY
    run timeout -s KILL 20 env LD_PRELOAD="${DMM_PRELOAD_FIRST:+$DMM_PRELOAD_FIRST:}$BUILD/libdmm.so" \
        /usr/bin/python3 -u "$POD/option.py"
    echo "$output"
    stop_sidecar KILL
    start_sidecar
    [ "$(grep -v 'warn dmm' <<<"$output")" = "True 104
104" ]
}

@test "sidecar killed while epoll_ctl waits for its answer: the call ends, the set tells of the end" {
    cat >"$POD/control.py" <<'PY'
import os, select, signal, socket, subprocess, time
s = socket.create_server(('10.1.1.1', 0))
c = socket.create_connection(s.getsockname())
d = socket.create_connection(s.getsockname())
sets = [select.epoll() for i in range(9)]
for e in sets: e.register(d, 0)
killer = subprocess.Popen(['sh', '-c', 'sleep 1; kill -9 $(cat $POD/pid)'], env={'POD': os.environ['POD']})
os.kill(int(open(os.environ['POD'] + '/pid').read()), signal.SIGSTOP)
time.sleep(0.1)
for e in sets: e.register(c, select.EPOLLIN) # one of them asks for more slots than a socket has at first
print('registered')
print([len(e.poll(5)) for e in sets])
PY
    run timeout -s KILL 20 env LD_PRELOAD="${DMM_PRELOAD_FIRST:+$DMM_PRELOAD_FIRST:}$BUILD/libdmm.so" \
        /usr/bin/python3 -u "$POD/control.py"
    echo "$output"
    stop_sidecar KILL
    start_sidecar
    [ "$(grep -v 'warn dmm' <<<"$output")" = "registered
[2, 2, 2, 2, 2, 2, 2, 2, 2]" ]
}

@test "sidecar killed and back: each of many sleepers hears of it" {
    cat >"$POD/many.py" <<'PY'
import os, select, signal, socket, sys, threading, time
def polled(s):
    p = select.poll(); p.register(s.fileno(), select.POLLIN); p.poll()
def epolled(s):
    with select.epoll() as e: e.register(s.fileno(), select.EPOLLIN); e.poll()
waits = [lambda s: None, lambda s: select.select([s], [], []), polled, epolled]
def serve(s, wait):
    for i in range(2):
        wait(s)
        with s.accept()[0] as c: c.send(b'x')
listeners = [socket.create_server(('10.1.1.1', 0)) for _ in range(16)]
for i, s in enumerate(listeners):
    threading.Thread(target=serve, args=(s, waits[i % 4]), daemon=True).start()
def ask(s):
    try:
        with socket.create_connection(s.getsockname(), 3) as c: return c.recv(1) == b'x'
    except OSError as e: return e
print(all(ask(s) for s in listeners), flush=True)
time.sleep(0.2)
os.kill(int(open(os.environ['POD'] + '/pid').read()), signal.SIGKILL)
sys.stdin.readline()
time.sleep(0.3)
print([i for i, s in enumerate(listeners) if ask(s) is not True])
PY
    for round in 1 2 3; do
        mkfifo "$POD/go"
        py "$POD/many.py" >"$POD/out" 2>&1 <"$POD/go" &
        pid=$!
        exec 5>"$POD/go"
        within 10 grep -q True "$POD/out"
        within 10 eval "! kill -0 $(cat "$POD/pid") 2>/dev/null"
        rm -f "$POD/stackd.sock"
        start_sidecar
        echo >&5
        exec 5>&-
        wait $pid || { cat "$POD/out"; false; }
        echo "round $round"
        cat "$POD/out"
        grep -Fqx "[]" "$POD/out"
        rm "$POD/go"
    done
}

@test "a program that inherits 300 sockets looks at each a few times, not at each pair of them" {
    [ -z "${SAN:-}" ] || skip "strace and sanitizers do not go together"
    cat >"$POD/heir.py" <<'PY'
import os, socket, sys
if len(sys.argv) > 1:
    print([socket.socket(fileno=int(a)).getsockname()[0] for a in sys.argv[1:]])
    sys.exit()
kept = [socket.socket() for i in range(300)]
for s in kept:
    s.bind(("10.1.1.1", 0)); s.listen(1); s.set_inheritable(True)
os.environ["LD_PRELOAD"] = os.environ["SHIM"]
os.execv("/usr/bin/strace", ["strace", "-qq", "-e", "trace=getsockopt,sendmsg", "-o", os.environ["POD"] + "/trace",
         sys.executable, sys.argv[0], str(kept[0].fileno()), str(kept[299].fileno())])
PY
    # strace is not to have the sockets for itself: they go through it.
    SHIM=$BUILD/libdmm.so py "$POD/heir.py" >"$POD/out" 2>&1 || { cat "$POD/out"; false; }
    cat "$POD/out"
    grep -Fqx "['10.1.1.1', '10.1.1.1']" "$POD/out"
    echo "getsockopt $(grep -c getsockopt "$POD/trace"), requests $(grep -c sendmsg "$POD/trace")"
    [ "$(grep -c getsockopt "$POD/trace")" -lt 1500 ]
    [ "$(grep -c sendmsg "$POD/trace")" -lt 320 ]
}

# Answers one attach as a sidecar of another build would: PROTOCOL: refuses, speaking that one (0:
# the caller's); REGION: with a region of that version.
strange_sidecar() {
    mkdir -p "$POD/strange"
    rm -f "$POD/strange/stackd.sock"
    python3 - "$POD/strange/stackd.sock" "$1" "$2" 3>&- <<'PY' &
import array, os, socket, struct, sys
path, protocol, region = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
listener = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
listener.bind(path + ".tmp")
listener.listen(1)
os.rename(path + ".tmp", path)
line, _ = listener.accept()
known, = struct.unpack_from("I", line.recv(4096))
fds = [os.memfd_create("region"), *os.pipe()]
os.ftruncate(fds[0], 1 << 20)
os.pwrite(fds[0], struct.pack("QI", 0x31304d4d442d4f49, region), 0)
if protocol:
    said = struct.pack("IiIIIIQ16s128s", protocol, -71, 0, 0, 0, 0, 0, b"", b"the sidecar, DMM 7.7.7, speaks protocol 99")
    line.send(said)
else:
    said = struct.pack("IiIIIIQ16s128s", known, 0, 0, 0, 0, 3, 1 << 20, b"t" * 16, b"7.7.7")
    line.sendmsg([said], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", fds))])
line.recv(1)
PY
    within 10 test -S "$POD/strange/stackd.sock"
}

@test "a sidecar of another build is named, with both versions and what to do" {
    local make='import socket; socket.socket()'
    strange_sidecar 99 0
    DMM_POD_DIR=$POD/strange py -c "$make" >"$POD/out" 2>&1
    cat "$POD/out"
    grep -q "of different builds: the sidecar, DMM 7.7.7, speaks protocol 99; this library, DMM [0-9.]*, has protocol" "$POD/out"
    grep -q "Start the pod anew" "$POD/out"
    strange_sidecar 0 77
    DMM_POD_DIR=$POD/strange py -c "$make" >"$POD/out" 2>&1
    cat "$POD/out"
    grep -q "DMM 7.7.7, makes regions of version 77; this library, DMM [0-9.]*, has protocol [0-9]* and regions of version" "$POD/out"
}

@test "a connect to where it connected before waits for no answer, and is a connect all the same" {
    cat >"$POD/ahead.py" <<'PY'
import os, select, signal, socket
server = socket.create_server(('10.1.1.1', 0), backlog=64)
at = server.getsockname()
sidecar = int(open(os.environ['POD'] + '/pid').read())
def begin(to):
    s = socket.socket(); s.setblocking(False)
    s.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    try: s.connect(to); return None
    except BlockingIOError: return s
def end(s):
    select.select([], [s], [], 10)
    return s.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
def talk(s):
    c, peer = server.accept()
    c.send(b'x'); select.select([s], [], [], 10)
    return peer == s.getsockname() and s.getpeername() == at and s.recv(1) == b'x'
for i in range(3):
    s = begin(at)
    if end(s) or not talk(s): print('warming up fails')
os.kill(sidecar, signal.SIGSTOP)
some = [begin(at) for i in range(5)]       # a call that waited would wait for ever
print(len(some))
os.kill(sidecar, signal.SIGCONT)
names = [s.getsockname() for s in some]
print(len(set(names)), all(n[0] == at[0] and n[1] for n in names))
print([end(s) for s in some])
print(sorted(server.accept()[1] for s in some) == sorted(names))
closed = socket.create_server(('10.1.1.1', 0)); gone = closed.getsockname(); closed.close()
print(end(begin(gone)))
try: socket.create_connection(gone, 5)
except OSError as e: print(e.errno)
if os.fork() == 0:
    s = begin(at)
    os._exit(0 if end(s) == 0 and talk(s) else 1)
print(os.wait()[1])
PY
    run timeout -s KILL 20 env LD_PRELOAD="${DMM_PRELOAD_FIRST:+$DMM_PRELOAD_FIRST:}$BUILD/libdmm.so" \
        /usr/bin/python3 -u "$POD/ahead.py"
    kill -CONT "$(cat "$POD/pid")"
    echo "$output"
    [ "$output" = "5
5 True
[0, 0, 0, 0, 0]
True
111
111
0" ]
}

@test "accept on stack and kernel: an idle kernel is asked less and less, a busy one in turn" {
    [ -z "${SAN:-}" ] || skip "strace and sanitizers do not go together"
    cat >"$POD/turns.py" <<'PY'
import socket, sys
server = socket.socket(); server.bind(('0.0.0.0', 0)); server.listen(400)
port = server.getsockname()[1]
kept = []
def connect(host, n):
    for i in range(n): kept.append(socket.create_connection((host, port), 10))
def accept(n):
    for i in range(n):
        c, peer = server.accept(); kept.append(c)
        yield peer[0]
connect('10.1.1.1', 200)                     # of the stack alone
print(set(accept(200)) == {'10.1.1.1'})
connect('10.1.1.1', 150); connect('127.0.0.1', 20) # the kernel's come last, and are not starved
got = list(accept(170))
print(0 < got.index('127.0.0.1') <= 130, got[-20:].count('127.0.0.1') == 0)
PY
    strace -e trace=accept,accept4 -E "LD_PRELOAD=$BUILD/libdmm.so" -o "$POD/trace" /usr/bin/python3 "$POD/turns.py" >"$POD/out"
    cat "$POD/out"
    [ "$(cat "$POD/out")" = "True
True True" ]
    grep -c EAGAIN "$POD/trace"
    [ "$(grep -c EAGAIN "$POD/trace")" -lt 30 ]
}

@test "nobody asks for the process's name where no rule does" {
    [ -z "${SAN:-}" ] || skip "strace and sanitizers do not go together"
    cat >"$POD/names.py" <<'PY'
import socket, threading
def many():
    server = socket.create_server(('10.1.1.1', 0))
    for i in range(20): socket.create_connection(server.getsockname()).close()
many()
t = threading.Thread(target=many); t.start(); t.join() # not the thread that gives the process its name
PY
    strace -f -e trace=openat,prctl -E "LD_PRELOAD=$BUILD/libdmm.so" -o "$POD/trace" /usr/bin/python3 "$POD/names.py"
    [ "$(grep -c 'self/comm\|PR_GET_NAME' "$POD/trace")" -le 3 ] # to attach, and for a waitset
}

@test "nothing is left in the sidecar after all that" {
    within 3 eval "[ \"\$('$BUILD/dmmctl' sockets | wc -l)\" -le 1 ]"
}
