#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# The webhook over real TLS, asked as API servers ask. What it makes of pods runs in k8s_*.bats.

bats_require_minimum_version 1.5.0
TOP=$(cd "$BATS_TEST_DIRNAME/../.." && pwd)
BUILD=${DMM_BUILD:-$TOP/build}
PORT=18443

# A CA once, and a certificate for the service, with serial number $1, into $TLS.
certificate() { # SERIAL [KEY-OPTIONS...]
    local serial=$1
    shift
    [ $# -gt 0 ] || set -- -newkey ec -pkeyopt ec_paramgen_curve:P-256
    if [ ! -e "$TLS/ca.crt" ]; then
        openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 2 -subj /CN=test-ca \
            -keyout "$TLS/ca.key" -out "$TLS/ca.crt" 2>/dev/null
    fi
    openssl req "$@" -nodes -subj /CN=dmm-injector -keyout "$TLS/new.key" -out "$TLS/new.csr" 2>/dev/null
    printf 'subjectAltName=DNS:dmm-injector.dmm-system.svc\nextendedKeyUsage=serverAuth\n' >"$TLS/ext"
    openssl x509 -req -in "$TLS/new.csr" -CA "$TLS/ca.crt" -CAkey "$TLS/ca.key" -set_serial "$serial" -days 2 \
        -extfile "$TLS/ext" -out "$TLS/new.crt" 2>/dev/null
}

put_pair() { mv "$TLS/new.key" "$TLS/tls.key"; mv "$TLS/new.crt" "$TLS/tls.crt"; }

within() { # SECONDS CMD...
    local end=$((SECONDS + $1 * ${DMM_TIME_FACTOR:-1}))
    shift
    until "$@" >/dev/null 2>&1; do
        [ $SECONDS -lt $end ] || { echo "not within the time: $*"; return 1; }
        sleep 0.1
    done
}

ask() { "$TOP/tests/e2e/injector/ask.py" $PORT "$TLS/ca.crt" "$@"; }

serial_is() { [ "$(ask serial)" = "$1" ]; }
gone() { ! kill -0 "$(cat "$TLS/pid")"; }

setup_file() {
    export TLS=$BATS_FILE_TMPDIR
    certificate 100
    put_pair
    echo '{"version": 1, "stacks": ["fast", "slow"], "images": {"stackd": "s", "shim": "h"}}' >"$TLS/config.json"
    "$BUILD/dmm-injector" --config "$TLS/config.json" --cert "$TLS/tls.crt" --key "$TLS/tls.key" --port $PORT \
        >"$TLS/log" 2>&1 3>&- &
    echo $! >"$TLS/pid"
    within 5 grep ready "$TLS/log"
}

teardown_file() {
    kill "$(cat "$TLS/pid")" 2>/dev/null || true
}

pod() { # ANNOTATIONS-JSON
    jq -n --argjson a "$1" '{apiVersion: "v1", kind: "Pod", metadata: {name: "web", annotations: $a},
        spec: {containers: [{name: "app", image: "i"}]}}' >"$BATS_TEST_TMPDIR/pod.json"
}

@test "injector: an annotated pod gets its patch; a second time there is none; others are not touched" {
    pod '{"dmm.fd.io/stack": "fast"}'
    ask pod "$BATS_TEST_TMPDIR/pod.json" >"$BATS_TEST_TMPDIR/once.json"
    jq -e '.spec.initContainers | map(.name) == ["dmm-shim", "dmm-stackd"]' "$BATS_TEST_TMPDIR/once.json"
    ask pod "$BATS_TEST_TMPDIR/once.json" >"$BATS_TEST_TMPDIR/twice.json"
    cmp "$BATS_TEST_TMPDIR/once.json" "$BATS_TEST_TMPDIR/twice.json"
    pod '{}'
    ask pod "$BATS_TEST_TMPDIR/pod.json" | jq -S . | cmp - <(jq -S . "$BATS_TEST_TMPDIR/pod.json")
    # By the command line it is the same.
    pod '{"dmm.fd.io/stack": "fast"}'
    "$BUILD/dmm-injector" --stdin --config "$TLS/config.json" <"$BATS_TEST_TMPDIR/pod.json" |
        jq -S . | cmp - <(jq -S . "$BATS_TEST_TMPDIR/once.json")
}

@test "injector: a bad mapping is refused with the message that kubectl shows" {
    pod '{"dmm.fd.io/mapping": "{\"version\": 1, \"default\": \"kernel\", \"rules\": [{\"stack\": \"quick\"}]}"}'
    run -1 ask pod "$BATS_TEST_TMPDIR/pod.json"
    [[ "$output" = *'annotation dmm.fd.io/mapping: rules[0].stack'*'"quick"'* ]]
    grep -F 'default/web: refused' "$TLS/log"
}

@test "injector: reviews of several API servers: v1 and v1beta1, UPDATE, subresources, unknown fields" {
    local seed
    for seed in "$TOP"/tests/fuzz/seeds/review/*; do
        ask review "$seed" | grep -q '^200 .*"patch"'
    done
    jq '.request.operation = "UPDATE"' "$TOP/tests/fuzz/seeds/review/create" >"$BATS_TEST_TMPDIR/r"
    ask review "$BATS_TEST_TMPDIR/r" | grep '"allowed":true'
    run ! grep '"patch"' <(ask review "$BATS_TEST_TMPDIR/r")
    jq '.request.subResource = "ephemeralcontainers" | .request.requestSubResource = "ephemeralcontainers"' \
        "$TOP/tests/fuzz/seeds/review/create" >"$BATS_TEST_TMPDIR/r"
    run ! grep '"patch"' <(ask review "$BATS_TEST_TMPDIR/r")
    jq '.request.fieldOfTheFuture = {} | .apiVersion = "admission.k8s.io/v2"' \
        "$TOP/tests/fuzz/seeds/review/create" >"$BATS_TEST_TMPDIR/r"
    ask review "$BATS_TEST_TMPDIR/r" | grep '^400 AdmissionReview: apiVersion'
    jq '.request.fieldOfTheFuture = {}' "$TOP/tests/fuzz/seeds/review/create" >"$BATS_TEST_TMPDIR/r"
    ask review "$BATS_TEST_TMPDIR/r" | grep -q '^200 .*"patch"'
}

@test "injector: malformed, huge, slow, plain and foreign clients get an error, and it lives on" {
    echo '{"kind": "AdmissionReview"' >"$BATS_TEST_TMPDIR/r"
    ask review "$BATS_TEST_TMPDIR/r" | grep '^400 AdmissionReview: line 2'
    : >"$BATS_TEST_TMPDIR/r"
    ask review "$BATS_TEST_TMPDIR/r" | grep '^400'
    [ "$(ask send 3000000)" = 400 ]  # deeply nested
    [ "$(ask send 9000000)" = 413 ]
    ask get /mutate | grep '^405'
    ask get /nowhere | grep '^404'
    # Plain HTTP; a client that says nothing; one that hangs up in the middle.
    run curl -s -m 2 http://127.0.0.1:$PORT/healthz
    exec 7<>/dev/tcp/127.0.0.1/$PORT
    printf '\x16\x03' >&7
    # Old TLS, and a name that the certificate does not have.
    run ! openssl s_client -connect 127.0.0.1:$PORT -tls1_1 </dev/null
    run ! curl -s -m 5 --cacert "$TLS/ca.crt" --resolve other.svc:$PORT:127.0.0.1 https://other.svc:$PORT/healthz
    ask get /healthz | grep '^200 ok'
    exec 7>&-
    ask get /metrics | grep '^dmm_injector_bad_requests_total [1-9]'
    ask get /metrics | grep '^dmm_injector_reviews_total{outcome="refused"} [1-9]'
    kill -0 "$(cat "$TLS/pid")"
}

@test "injector: certificates rotate without a restart; a pair that does not fit is not used" {
    [ "$(ask serial)" = 64 ]
    certificate 101
    put_pair
    within 5 serial_is 65
    # The key alone, as between two writes: the old pair stays.
    certificate 102
    mv "$TLS/new.key" "$TLS/tls.key"
    sleep 1.1 # it looks once a second
    [ "$(ask serial)" = 65 ]
    grep 'do not belong together' "$TLS/log"
    mv "$TLS/new.crt" "$TLS/tls.crt"
    within 5 serial_is 66
    certificate 103 -newkey rsa:2048
    put_pair
    within 5 serial_is 67
    certificate 104 -newkey ed25519
    put_pair
    within 5 serial_is 68
    kill -0 "$(cat "$TLS/pid")"
}

@test "injector: many at once" {
    local i
    for i in 1 2 3 4; do ask load 200 >"$BATS_TEST_TMPDIR/load$i" 3>&- & done
    wait
    [ "$(cat "$BATS_TEST_TMPDIR"/load* | grep -c reviews/s)" -eq 4 ]
}

@test "injector: a bad configuration, certificate or port is said, with its own exit status" {
    echo '{"version": 1, "stacks": ["fast"], "lnik": "veth", "images": {"stackd": "s", "shim": "h"}}' >"$BATS_TEST_TMPDIR/c"
    run -78 "$BUILD/dmm-injector" --config "$BATS_TEST_TMPDIR/c"
    [[ "$output" = *"$BATS_TEST_TMPDIR/c: lnik: unknown key"* ]]
    run -78 "$BUILD/dmm-injector" --config /nowhere
    run -1 "$BUILD/dmm-injector" --config "$TLS/config.json" --cert /nowhere --key "$TLS/tls.key"
    [[ "$output" = */nowhere* ]]
    run -1 "$BUILD/dmm-injector" --config "$TLS/config.json" --cert "$TLS/tls.crt" --key "$TLS/tls.key" --port $PORT
    [[ "$output" = *"port $PORT: Address already in use"* ]]
    run -2 "$BUILD/dmm-injector" --port 70000
}

@test "injector: SIGTERM ends it in order" {
    kill "$(cat "$TLS/pid")"
    within 8 gone
    grep 'Terminated: ending' "$TLS/log"
}
