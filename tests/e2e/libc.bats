#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# The shim and C libraries: what it needs of glibc, its build for musl, what loading it costs, and
# programs that it must leave alone. No pod, no packets: a sidecar with the loop stack.

TOP=$(cd "$BATS_TEST_DIRNAME/../.." && pwd)
BUILD=${DMM_BUILD:-$TOP/build}

setup_file() {
    POD=$(mktemp -d "${TMPDIR:-/tmp}/dmm-libc-test.XXXXXX")
    chmod 755 "$POD"
    export POD DMM_POD_DIR=$POD
    cat >"$POD/stacks.json" <<JSON
{"version":1,"stacks":[{"name":"loop","type":"plugin","options":{"path":"$BUILD/tests/loop.so"}}]}
JSON
    echo '{"version":1,"default":"loop","rules":[]}' >"$POD/mapping.json"
    "$BUILD/dmm-stackd" --pod-dir "$POD" >"$POD/log" 2>&1 3>&- &
    echo $! >"$POD/pid"
    for _ in $(seq 100); do [ -S "$POD/stackd.sock" ] && break; sleep 0.1; done
}
teardown_file() {
    kill "$(cat "$POD/pid")"
    rm -rf "$POD"
}

doctor() { # [VARIABLE=VALUE...] -- PROGRAM
    local -a set=()
    while [ "$1" != -- ]; do set+=("$1"); shift; done
    shift
    run env "${set[@]}" "$BUILD/dmmctl" --pod-dir "$POD" doctor "$@"
    echo "$output"
}

plain() { [ -z "${SAN:-}" ] || skip "a sanitizer's runtime is another matter"; }

@test "the shim needs nothing of glibc that came after 2.28" {
    plain
    run bash -c "objdump -T '$BUILD/libdmm.so' | grep -o 'GLIBC_[0-9.]*' | sort -Vu | tail -1"
    echo "$output"
    [ "$(printf '%s\n' "$output" GLIBC_2.28 | sort -V | tail -1)" = GLIBC_2.28 ]
    run bash -c "objdump -T '$BUILD/libdmm.so' | grep -c 'UND.*GLIBC_PRIVATE'"
    [ "$output" = 0 ]
}

same_on_musl() { # NAME
    plain
    [ -e "$BUILD/libdmm-musl.so" ] || skip "no musl-gcc"
    local program=$BUILD/musl/tests/preload/$1
    SAY_NO_SHELL=1 timeout 60 "$program" 127.0.0.1 >"$POD/$1.kernel" 2>&1
    # The programs around it are glibc's: only this one may see the variable.
    SAY_NO_SHELL=1 timeout 60 env "LD_PRELOAD=$BUILD/libdmm-musl.so" "$program" 10.1.1.1 >"$POD/$1.stack" 2>&1
    diff -U3 "$POD/$1.kernel" "$POD/$1.stack"
    grep -q '^# ' "$POD/$1.stack"
}

@test "musl: streams" { same_on_musl stream; }
@test "musl: poll, select, epoll" { same_on_musl events; }
@test "musl: descriptors, options, datagrams" { same_on_musl fds; }
@test "musl: processes and threads" { same_on_musl processes; }
@test "musl: exec, spawn, SCM_RIGHTS" { same_on_musl exec; }
@test "musl: stdio" { same_on_musl files; }
@test "musl: daemons and clone()" { same_on_musl daemons; }

@test "musl: the exports are the table of calls, and nothing of glibc is needed" {
    plain
    [ -e "$BUILD/libdmm-musl.so" ] || skip "no musl-gcc"
    "$BUILD/musl/tests/preload/calls" | sort >"$POD/table"
    nm -D --defined-only "$BUILD/libdmm-musl.so" | awk '$2 == "T" {print $3}' | grep -v '^_init\|^_fini' | sort >"$POD/exports"
    diff "$POD/table" "$POD/exports"
    run bash -c "objdump -T '$BUILD/libdmm-musl.so' | grep GLIBC"
    [ "$status" -ne 0 ]
}

@test "loading costs few system calls, and a program without sockets makes no other" {
    plain
    LD_PRELOAD='' strace -f -c -o "$POD/without" /bin/true
    strace -f -E "LD_PRELOAD=$BUILD/libdmm.so" -o "$POD/with" /bin/true
    local with without
    with=$(grep -vc '+++' "$POD/with")
    without=$(awk '$NF == "total" { print ($4 ~ /^[0-9]+$/ ? $4 : $3) }' "$POD/without")
    echo "system calls with the shim: $with, without: $without"
    [ $((with - without)) -le 24 ]
    # What it does is the loader's: nothing of the sidecar, no memory of its own.
    run grep -E 'socket\(|connect\(|stackd|memfd' "$POD/with"
    [ "$status" -eq 1 ]
}

@test "setuid programs are run without the shim, and work" {
    plain
    [ "$(id -u)" -eq 0 ] || skip "needs root"
    # Secure mode: the loader drops libraries whose path has a slash.
    cp /usr/bin/cat "$POD/cat"
    chown nobody "$POD/cat"
    chmod 4755 "$POD/cat"
    run setpriv --reuid=daemon env "LD_PRELOAD=$BUILD/libdmm.so" "$POD/cat" /proc/self/maps
    [ "$status" -eq 0 ] || skip "setuid programs do not run here"
    [[ "$output" != *libdmm* ]]
    run setpriv --reuid=daemon env "LD_PRELOAD=$BUILD/libdmm.so" /usr/bin/cat /proc/self/maps
    [[ "$output" = *libdmm* ]]
}

@test "valgrind: a program under it and the shim answers the same, without an error" {
    plain
    command -v valgrind >/dev/null || skip "no valgrind"
    LD_PRELOAD=$BUILD/libdmm.so timeout 90 valgrind -q --error-exitcode=9 "$BUILD/tests/preload/files" 10.1.1.1 >"$POD/valgrind" 2>"$POD/valgrind.err"
    cat "$POD/valgrind.err"
    "$BUILD/tests/preload/files" 127.0.0.1 | diff - "$POD/valgrind"
}

@test "a static program and one of Go's keep working, on the kernel" {
    plain
    command -v busybox >/dev/null || skip "no static busybox"
    run env "LD_PRELOAD=$BUILD/libdmm.so" timeout 5 busybox nc -w 1 127.0.0.1 1
    [ "$status" -eq 1 ]
    [[ "$output" = *refused* ]]
    command -v go >/dev/null || skip "no go"
    mkdir "$POD/go"
    cat >"$POD/go/main.go" <<'GO'
package main
import ("fmt"; "io"; "net")
func main() {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil { panic(err) }
	go func() { c, _ := l.Accept(); c.Write([]byte("from go")); c.Close() }()
	c, err := net.Dial("tcp", l.Addr().String())
	if err != nil { panic(err) }
	b, _ := io.ReadAll(c)
	fmt.Println(string(b))
}
GO
    (cd "$POD/go" && HOME=$POD GO111MODULE=off GOCACHE=$POD/go/cache CGO_ENABLED=0 go build -o prog main.go)
    run env "LD_PRELOAD=$BUILD/libdmm.so" timeout 5 "$POD/go/prog"
    [ "$output" = "from go" ]
}

# ---- dmmctl doctor ----

@test "doctor: a program that the shim sees, and a script" {
    plain
    doctor "LD_PRELOAD=$BUILD/libdmm.so" -- curl
    [ "$status" -eq 0 ]
    [[ "$output" = *"dynamically linked, with glibc"*"would load $BUILD/libdmm.so"*"it answers at"*"default is loop"*"The shim sees curl"* ]]
    printf '#!/usr/bin/env -S sed -n\n' >"$POD/script"
    chmod 755 "$POD/script"
    doctor "LD_PRELOAD=$BUILD/libdmm.so" -- "$POD/script"
    [ "$status" -eq 0 ]
    [[ "$output" = *"is a script; what runs is"*"/sed"*'the process "script"'* ]]
    run env "LD_PRELOAD=$BUILD/libdmm.so" "$BUILD/dmmctl" --pod-dir "$POD" --json doctor curl
    [ "$(jq -r '[.seen, .well, (.findings | length)] | @csv' <<<"$output")" = "true,true,4" ]
}

@test "doctor: programs that it does not, and why" {
    plain
    doctor LD_PRELOAD= -- curl
    [ "$status" -eq 1 ]
    [[ "$output" = *"does not name the shim"*"does not see curl"* ]]
    doctor LD_PRELOAD=/nonexistent/libdmm.so -- curl
    [ "$status" -eq 1 ]
    [[ "$output" = *"/nonexistent/libdmm.so: No such file"* ]]
    doctor -- no-such-program
    [ "$status" -eq 1 ]
    [[ "$output" = *"no-such-program: no such program"* ]]
    for each in "busybox|statically linked" "go|Go program"; do
        command -v "${each%|*}" >/dev/null || continue
        doctor "LD_PRELOAD=$BUILD/libdmm.so" -- "${each%|*}"
        [ "$status" -eq 1 ]
        [[ "$output" = *"${each#*|}"*"its sockets are the kernel's"* ]]
    done
    if [ -e "$BUILD/libdmm-musl.so" ]; then
        doctor "LD_PRELOAD=$BUILD/libdmm.so" -- "$BUILD/musl/tests/preload/files"
        [ "$status" -eq 1 ]
        [[ "$output" = *"built for glibc, and the program needs one for musl"* ]]
    fi
    if [ "$(id -u)" -eq 0 ]; then
        cp /usr/bin/cat "$POD/owned"
        chown nobody "$POD/owned"
        chmod 4755 "$POD/owned"
        doctor "LD_PRELOAD=$BUILD/libdmm.so" -- "$POD/owned"
        [ "$status" -eq 1 ]
        [[ "$output" = *"setuid: the loader"* ]]
    fi
}

@test "doctor: a pod without a sidecar, and one whose mapping is the kernel's" {
    plain
    run env "LD_PRELOAD=$BUILD/libdmm.so" "$BUILD/dmmctl" --pod-dir /nonexistent doctor curl
    echo "$output"
    [ "$status" -eq 1 ]
    [[ "$output" = *"no pod directory /nonexistent"* ]]
    mkdir "$POD/empty"
    run env "LD_PRELOAD=$BUILD/libdmm.so" "$BUILD/dmmctl" --pod-dir "$POD/empty" doctor curl
    [ "$status" -eq 1 ]
    [[ "$output" = *"no sidecar at $POD/empty/stackd.sock"*"The shim sees curl, but"* ]]
    map() { echo "$1" >"$POD/.m" && mv "$POD/.m" "$POD/mapping.json"; }
    map '{"version":1,"default":"kernel","rules":[{"stack":"loop","process":"other"}]}'
    for _ in $(seq 50); do
        doctor "LD_PRELOAD=$BUILD/libdmm.so" -- curl
        [ "$status" -eq 0 ] || break
        sleep 0.1
    done
    [ "$status" -eq 1 ]
    [[ "$output" = *"default is kernel; 0 rules on a stack can match the process \"curl\": all its sockets are the kernel's"* ]]
    map '{"version":1,"default":"loop","rules":[]}'
}
