#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# The sidecar watches its pod at an API server: over HTTPS, with a real chain of certificates.

bats_require_minimum_version 1.5.0
load kube/certify
load within
TOP=$(cd "$BATS_TEST_DIRNAME/../.." && pwd)
BUILD=${DMM_BUILD:-$TOP/build}

setup_file() {
    export KUBE=$BATS_FILE_TMPDIR
    cd "$KUBE" || return 1
    authority root
    authority wrong
    certify middle root "basicConstraints=critical,CA:TRUE"
    certify server middle "subjectAltName=IP:127.0.0.1"
    cat server.pem middle.pem >chain.pem
}

setup() {
    export DIR=$BATS_TEST_TMPDIR
    mkdir "$DIR/pod" "$DIR/kube" "$DIR/api"
    echo '{"version": 1, "stacks": [{"name": "fast", "type": "tcpip"}]}' >"$DIR/pod/stacks.json"
    echo '{"version": 1, "default": "kernel"}' >"$DIR/pod/mapping.json"
    cp "$KUBE/root.pem" "$DIR/kube/ca.crt"
    echo one | tee "$DIR/kube/token" >"$DIR/api/token"
    : >"$DIR/api/log"
    mode ok
    says 10 '{"dmm.fd.io/stack": "fast"}'
    api 0
}
teardown() {
    local name
    for name in stackd api/pid; do
        [ ! -e "$DIR/$name" ] || kill -9 "$(cat "$DIR/$name")" 2>/dev/null || true
    done
}

api() { # PORT; 0: any
    "$BATS_TEST_DIRNAME/kube/watch.py" "$KUBE/chain.pem" "$KUBE/server.key" "$DIR/api" "$@" >"$DIR/api/port" 2>/dev/null 3>&- &
    echo $! >"$DIR/api/pid"
    disown
    within 10 test -s "$DIR/api/port"
}

put() { # FILE: standard input, at once
    cat >"$1.new" && mv "$1.new" "$1"
}
mode() { echo "$1" | put "$DIR/api/mode"; }
says() { # VERSION ANNOTATIONS
    jq -n --argjson v "$1" --argjson a "$2" '{version: $v, annotations: $a}' | put "$DIR/api/pod.json"
}

sidecar() { # [OPTION...]
    DMM_POD_UID=u1 "$BUILD/dmm-stackd" --pod-dir "$DIR/pod" --kube-dir "$DIR/kube" --watch-pod t/web \
        --kube-api "https://127.0.0.1:$(cat "$DIR/api/port")/" "$@" >"$DIR/log" 2>&1 3>&- &
    echo $! >"$DIR/stackd"
    disown
}
mapping() { "$BUILD/dmmctl" --pod-dir "$DIR/pod" --json mapping | jq -c .mapping; }
default_is() { [ "$(mapping | jq -r .default)" = "$1" ]; }
said() { grep -E "$1" "$DIR/log"; }
asked() { grep -xc -e "$1" "$DIR/api/log"; }
up() { curl -s --unix-socket "$DIR/pod/api.sock" http://s/metrics | grep -x "dmm_pod_watch_up $1"; }

@test "podwatch: what the pod says is in force at once, and what changes; removed, the pod's first mapping is back" {
    sidecar
    within 10 default_is fast
    within 5 up 1
    says 11 '{"dmm.fd.io/mapping": "{\"version\": 1, \"default\": \"kernel\", \"rules\": [{\"stack\": \"fast\", \"port\": 80}]}"}'
    within 5 eval "mapping | jq -e '.rules | length == 1'"
    # A bad one is kept out, by name.
    says 12 '{"dmm.fd.io/stack": "fats"}'
    within 5 said 'annotation dmm.fd.io/stack: no stack has the name "fats"'
    mapping | jq -e '.rules | length == 1'
    says 13 '{}'
    within 5 eval "mapping | jq -e '(.rules // []) == []'"
    default_is kernel
    [ "$(wc -l <"$DIR/api/log")" -eq 1 ]
}

@test "podwatch: it resumes where it was, and learns what happened meanwhile" {
    sidecar
    within 10 default_is fast
    mode close
    says 11 '{"dmm.fd.io/stack": "kernel"}'
    within 10 asked 10
    mode ok
    within 10 default_is kernel
    [ "$(asked -)" -eq 1 ]
    # A token that the kubelet has renewed.
    echo two | tee "$DIR/kube/token" | put "$DIR/api/token"
    mode close
    within 10 asked 11
    says 12 '{"dmm.fd.io/stack": "fast"}'
    mode ok
    within 10 default_is fast
    run ! said 401
}

begun_more_than() { [ "$(asked -)" -gt "$1" ]; }

@test "podwatch: a version that has expired, told by an event or by the status: it begins anew" {
    local how begun version=10 times=0
    sidecar
    within 10 default_is fast
    for how in expired gone; do
        begun=$(asked -)
        mode $how
        within 10 asked $version
        within 15 begun_more_than "$begun"
        [ "$(grep -c 'has expired: beginning anew' "$DIR/log")" -eq $((++times)) ]
        says $((++version)) '{"dmm.fd.io/stack": "kernel"}'
        mode ok
        within 20 default_is kernel
        says $((++version)) '{"dmm.fd.io/stack": "fast"}'
        within 10 default_is fast
    done
}

@test "podwatch: refusals say what is wrong, it waits longer each time, and what was in force stays" {
    sidecar
    within 10 default_is fast
    mode 403
    within 10 said 'answered 403: who asks may not watch pods: RBAC, verb "watch"; trying again in 1 s'
    within 10 said 'answered 403.*; trying again in 2 s'
    within 10 said 'answered 403.*; trying again in 4 s'
    up 0
    default_is fast
    echo other >"$DIR/kube/token"
    within 15 said 'answered 401: who asks is not known: the token; trying again in 8 s'
    # It works again: a first failure waits a second.
    echo one >"$DIR/kube/token"
    mode ok
    says 11 '{"dmm.fd.io/stack": "kernel"}'
    within 20 default_is kernel
    mode 503
    within 10 said 'answered 503; trying again in 1 s'
}

@test "podwatch: streams that break off, have no sense or no end are an error, and it lives on" {
    local what version=10
    sidecar
    within 10 default_is fast
    for what in "cut|the last event is cut off" "noise|not an event" "huge|an event has more than 2097152 bytes"; do
        mode "${what%%|*}"
        within 20 said "${what#*|}.*trying again"
        mode ok
        says $((++version)) '{"dmm.fd.io/stack": "kernel"}'
        within 70 default_is kernel
        says $((++version)) '{"dmm.fd.io/stack": "fast"}'
        within 10 default_is fast
    done
    # The server dies and is back.
    local port
    port=$(cat "$DIR/api/port")
    kill -9 "$(cat "$DIR/api/pid")"
    within 10 said 'https://127.0.0.1:[0-9]+: .*trying again'
    within 10 up 0
    rm "$DIR/api/port"
    within 10 api "$port"
    within 20 up 1
}

@test "podwatch: a server that the CA does not vouch for is told nothing; without a token it is not asked" {
    cp "$KUBE/wrong.pem" "$DIR/kube/ca.crt"
    sidecar
    within 10 said 'SSL.*certificate.*trying again'
    within 10 default_is kernel # the sidecar serves without it
    [ ! -s "$DIR/api/log" ]
    cp "$KUBE/root.pem" "$DIR/kube/ca.crt"
    rm "$DIR/kube/token"
    within 20 said 'kube/token: No such file'
    [ ! -s "$DIR/api/log" ]
    echo one >"$DIR/kube/token"
    within 40 default_is fast || { cat "$DIR/log" "$DIR/api/log"; false; }
}

gone() { ! kill -0 "$(cat "$DIR/stackd")" 2>/dev/null; }

@test "podwatch: SIGTERM does not wait for the server; wrong options are said" {
    sidecar --drain-seconds 0
    within 10 default_is fast
    kill "$(cat "$DIR/stackd")"
    within 5 gone
    run -2 "$BUILD/dmm-stackd" --pod-dir "$DIR/pod" --watch-pod web
    [[ "$output" = *'--watch-pod: must be NAMESPACE/NAME, not "web"'* ]]
    run -2 "$BUILD/dmm-stackd" --pod-dir "$DIR/pod" --watch-pod 'a/b?c'
    run -2 "$BUILD/dmm-stackd" --pod-dir "$DIR/pod" --watch-pod t/web --kube-api http://127.0.0.1
    [[ "$output" = *'--kube-api: must be an https URL'* ]]
    run -2 env -u KUBERNETES_SERVICE_HOST "$BUILD/dmm-stackd" --pod-dir "$DIR/pod" --watch-pod t/web
    [[ "$output" = *KUBERNETES_SERVICE_HOST* ]]
}

@test "podwatch: not asked for, libcurl is not loaded" {
    "$BUILD/dmm-stackd" --pod-dir "$DIR/pod" >"$DIR/log" 2>&1 3>&- &
    echo $! >"$DIR/stackd"
    disown
    within 10 said ready
    run ! grep libcurl "/proc/$(cat "$DIR/stackd")/maps"
    run ! up '[01]'
}
