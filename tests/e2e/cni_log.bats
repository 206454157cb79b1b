#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# The plugin's log: its key, its lines, its file.

# shellcheck disable=SC2154 # stderr is bats' own
bats_require_minimum_version 1.5.0
load cni_lib

TRACE=0af7651916cd43dd8448eb211c80319c

setup() { cni_setup cnilog; }
teardown() { cni_teardown; }

@test "log: a line for each call on stderr and in the file, in JSON, with pod and trace id" {
    pod_ns a
    conf '.log = {file: "'"$DIR"'/log"}' >"$DIR/conf"
    export TRACEPARENT=00-$TRACE-b7ad6b7169203331-01
    run --separate-stderr dmm ADD a <"$DIR/conf"
    [ "$status" -eq 0 ]
    jq -e '.level == "info" and .message == "done" and .command == "ADD" and .network == "cnilog" and
        .containerId == "cnilog-a" and .ifname == "net1" and .pod == "t/a" and .traceId == "'$TRACE'" and
        (.tookMs | tonumber > 0)' <<<"$stderr"
    cmp <(echo "$stderr") "$DIR/log"
    [ "$(stat -c %a "$DIR/log")" = 640 ]
    run --separate-stderr dmm ADD a <"$DIR/conf"
    refused 103 "already"
    tail -1 "$DIR/log" | jq -e '.code == "103" and (.message | test("^failed: .*already"))'
    unset TRACEPARENT
    dmm DEL a <"$DIR/conf" 2>/dev/null
    tail -1 "$DIR/log" | jq -e '.command == "DEL" and (has("traceId") | not)'
    [ "$(wc -l <"$DIR/log")" -eq 3 ]
}

@test "log: silent by default; text if asked; a file that can't be is a warning; bad keys are errors" {
    pod_ns a
    run --separate-stderr dmm ADD a <<<"$(conf)"
    [ "$status" -eq 0 ]
    [ -z "$stderr" ]
    run --separate-stderr dmm DEL a <<<"$(conf '.log = {level: "info", format: "text"}')"
    [[ "$stderr" = *" info dmm: done tookMs="*" command=DEL network=cnilog containerId=cnilog-a"* ]]
    run --separate-stderr dmm ADD a <<<"$(conf '.log.file = "/nonexistent/log"')"
    [ "$status" -eq 0 ]
    head -1 <<<"$stderr" | jq -e '.level == "warn" and (.message | test("log.file: /nonexistent/log: No such"))'
    ln -s "$DIR/elsewhere" "$DIR/link"
    dmm DEL a <<<"$(conf '.log.file = "'"$DIR"'/link"')" 2>/dev/null
    [ ! -e "$DIR/elsewhere" ]
    run dmm ADD a <<<"$(conf '.log.level = "loud"')"
    refused 7 'log.level: "loud" is none of'
    run dmm ADD a <<<"$(conf '.log.file = "log"')"
    refused 7 "log.file: must be an absolute path"
    run dmm ADD a <<<"$(conf '.log.colour = "red"')"
    refused 2 "log.colour: unknown key"
    TRACEPARENT=00-00000000000000000000000000000000-b7ad6b7169203331-01 run --separate-stderr dmm DEL a \
        <<<"$(conf '.log.level = "info"')"
    jq -e 'has("traceId") | not' <<<"$stderr"
}

@test "cgroupPath: kept in the pod's directory" {
    pod_ns a
    conf '.runtimeConfig.cgroupPath = "/kubepods/pod1"' | dmm ADD a >/dev/null
    jq -e '.cgroupPath == "/kubepods/pod1"' "$DIR/run/pods/uid-a/pod.json"
    conf | dmm DEL a
    run dmm ADD a <<<"$(conf '.runtimeConfig.cgroupPath = 7')"
    refused 7 "runtimeConfig.cgroupPath"
}
