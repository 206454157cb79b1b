#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# What the kubelet decides by: the sidecar's startup and liveness probes, the app's readiness, preStop. Each is made
# to fail, on real containerd, and seen to recover. The pod is examples/kubernetes/by-hand.yaml, which no injector made.

bats_require_minimum_version 1.5.0
load k8s_lib
EXAMPLES=$TOP/examples/kubernetes

setup_file() {
    k8s_setup k8sh
    network chained
    node_start n
    node_bridge n 1
}
teardown_file() { k8s_teardown; }

# The node's configuration. What is named in $DIR/hold does not come into a pod's directory, until it is released: as
# if the plugin were late with it.
network() { # alone|chained [JQ-FILTER]
    node_conf n 1 "$@"
    mv "$DIR/n/bin/dmm" "$DIR/n/bin/dmm.real"
    cat >"$DIR/n/bin/dmm" <<PLUGIN
#!/bin/bash
"$DIR/n/bin/dmm.real" || exit
[ "\$CNI_COMMAND" = ADD ] && [ -e "$DIR/hold" ] || exit 0
uid=\${CNI_ARGS##*K8S_POD_UID=}
cd "/run/dmm/pods/\${uid%%;*}" && mv "\$(cat "$DIR/hold")" .held
PLUGIN
    chmod +x "$DIR/n/bin/dmm"
    sleep 0.5 # containerd's watch of the folder
}
hold() { echo "$1" >"$DIR/hold"; }
release() { # POD
    in_node n mv "/run/dmm/pods/$(pod_uid n "$1")"/{.held,"$(cat "$DIR/hold")"}
    rm "$DIR/hold"
}

# The example under a name of its own, changed by a Python statement; applied in the background where it can't be ready.
by_hand() { # NAME [PYTHON]
    /usr/bin/python3 - "$EXAMPLES/by-hand.yaml" "$1" "${2:-pass}" >"$DIR/$1.yaml" <<'PY'
import sys, yaml
path, name, change = sys.argv[1:]
with open(path, encoding="utf-8") as file:
    pod = yaml.safe_load(file)
pod["metadata"]["name"] = name
app = pod["spec"]["containers"][0]
exec(change)
yaml.safe_dump(pod, sys.stdout, sort_keys=False)
PY
    kubelet n apply "$DIR/$1.yaml"
}
by_hand_later() {
    (
        by_hand "$@" && touch "$DIR/$1.ready"
    ) >"$DIR/$1.log" 2>&1 3>&- &
}

fails() { # POD CONTAINER PROBE TEXT: a regular expression
    run ! kubelet n probe "$1" "$2" "$3"
    grep -E "$4" <<<"$output"
}
no_app() { [[ "$(kubelet n pid "$1" nginx 2>&1)" = *"has no container nginx" ]]; }
listens_on_stack() { [ "$(sockets n "$1" '.state == "LISTEN" and .local == "0.0.0.0:80"')" -eq 1 ]; }
fetched() { [ "$(in_node n curl -s -m 5 "http://$(port_ip n "$1" "${2:-net1}")/")" = "Welcome to nginx!" ]; }

@test "probes: by-hand.yaml as it is: its probes pass, and nginx is reached by the stack" {
    kubelet n apply "$EXAMPLES/by-hand.yaml"
    kubelet n probe by-hand dmm-stackd startup
    kubelet n probe by-hand dmm-stackd liveness
    kubelet n probe by-hand nginx readiness
    listens_on_stack by-hand
    fetched by-hand
    [ "$(sidecar_ctl n by-hand --json stats | jq '.clients.tx_bytes')" -gt 50 ]
    kubelet n delete by-hand | grep -x 'preStop of dmm-stackd: passed'
}

@test "startup: while its port is not there the app is not started; when it comes, it is" {
    hold ports/net1.json
    by_hand_later late
    within 5 fails late dmm-stackd startup '/readyz: HTTP status 503: stack fast is not up: the pod has no port for it'
    # It goes on without, for the other stacks that a pod may have; so it lives, but the startup probe holds on.
    within 5 kubelet n probe late dmm-stackd liveness
    kubelet n logs late dmm-stackd | grep 'the pod has no port for it; going on without it'
    fails late dmm-stackd startup 'the pod has no port for it'
    no_app late
    [ ! -e "$DIR/late.ready" ]
    release late
    within 10 test -e "$DIR/late.ready"
    kubelet n probe late dmm-stackd startup
    kubelet n probe late nginx readiness
    listens_on_stack late
    fetched late
    kubelet n delete late
}

@test "startup: while there is no mapping the app is not started; when it comes, it is" {
    hold mapping.json
    by_hand_later unmapped
    within 5 fails unmapped dmm-stackd startup '503: waiting for mapping.json'
    fails unmapped dmm-stackd liveness '/healthz: HTTP status 503: waiting for mapping.json'
    no_app unmapped
    release unmapped
    within 10 test -e "$DIR/unmapped.ready"
    listens_on_stack unmapped
    kubelet n delete unmapped
}

@test "startup: a port that can't be opened, and a stack that does not start, are said with the reason" {
    local ports
    hold ports/net1.json
    by_hand_later broken
    within 5 kubelet n probe broken dmm-stackd liveness
    ports=/run/dmm/pods/$(pod_uid n broken)
    in_node n cat "$ports/.held" | jq '.ifname = "net9"' | in_node n tee "$ports/ports/net9.json" >/dev/null
    within 5 fails broken dmm-stackd startup '503: stack fast is not up: port net9: '
    no_app broken
    # The sound one suffices.
    release broken
    within 10 test -e "$DIR/broken.ready"
    kubelet n probe broken dmm-stackd startup
    in_node n rm "$ports/ports/net9.json"
    kubelet n delete broken

    network chained '.plugins[1].stacks[0].options = {"nonsense": 1}'
    hold ports/net1.json
    by_hand_later options
    within 5 kubelet n probe options dmm-stackd liveness
    release options
    within 5 fails options dmm-stackd startup '503: stack fast: .*nonsense'
    no_app options
    kubelet n delete options
}

@test "startup: a sidecar that ends is no pod: the app is not started, and the reason is in its log" {
    network chained '.plugins[1].stacks[0].options = {"nonsense": 1}'
    run ! by_hand ended
    [[ "$output" = *"dmm-stackd: startup probe failed"*"stack fast: "*nonsense* ]]
    no_app ended
    kubelet n delete ended
}

@test "readiness: a listener that is mapped to the stack alone is not reached by the kubelet in mode chained" {
    network chained
    by_hand_later narrow 'pod["metadata"]["annotations"] = {"dmm.fd.io/mapping":
        "{\"version\": 1, \"default\": \"fast\", \"rules\": [{\"stack\": \"fast\", \"direction\": \"listen\"}]}"}'
    within 10 listens_on_stack narrow
    fetched narrow
    fails narrow nginx readiness 'Connection refused'
    kubelet n probe narrow dmm-stackd liveness
    [ ! -e "$DIR/narrow.ready" ]
    kubelet n delete narrow
}

# The sidecar's worker, in the middle of its work; `unhang` lets it go.
hang() { # POD
    in_node n "$CRI/hang.py" "$(kubelet n pid "$1" dmm-stackd)" dmm-worker >"$DIR/hang" 2>&1 &
    within 5 grep '^hung' "$DIR/hang"
}
unhang() { in_node n kill "$(awk '{ print $2 }' "$DIR/hang")"; }

STUCK='HTTP status 503: the worker is stuck: thread dmm-worker has made no turn for [0-9]{4,} ms'

@test "liveness: a worker that hangs is seen, by readiness too, and said; the new container has the app's listener" {
    network alone
    by_hand sick
    kubelet n probe sick nginx readiness # through the stack
    fetched sick eth0
    local app
    app=$(kubelet n pid sick nginx)

    # For a moment: no harm.
    hang sick
    fails sick nginx readiness 'timed out'
    within 5 fails sick dmm-stackd liveness "/healthz: $STUCK"
    unhang
    within 5 kubelet n probe sick dmm-stackd liveness
    within 5 kubelet n probe sick nginx readiness
    [ "$(kubelet n live sick dmm-stackd)" = "liveness: passed" ]

    # For good.
    hang sick
    within 5 fails sick dmm-stackd liveness "/healthz: $STUCK"
    fails sick dmm-stackd startup "/readyz: $STUCK"
    fails sick nginx readiness 'timed out'
    run ! sidecar_ctl n sick sockets
    grep -E "/sockets: $STUCK" <<<"$output"
    kubelet n live sick dmm-stackd >"$DIR/live"
    [ "$(grep -cE "liveness: .*$STUCK" "$DIR/live")" -eq 3 ]
    # Nothing can be drained where nothing turns.
    grep 'preStop of dmm-stackd: passed' "$DIR/live"
    recovered sick "$app"

    # While somebody waits for the worker, a new program here, the sidecar answers nothing; its log says it.
    hang sick
    kubelet n exec sick nginx curl -s -m 1 http://10.88.1.250/ >/dev/null 2>&1 &
    within 5 eval "kubelet n logs sick dmm-stackd | grep 'the worker is stuck: thread dmm-worker has made no turn for 2 s'"
    fails sick dmm-stackd liveness 'no answer in 4 s: dmm-stackd hangs'
    unhang
    within 5 kubelet n probe sick dmm-stackd liveness
    kubelet n logs sick dmm-stackd | grep 'the worker turns again'
    kubelet n delete sick
}

recovered() { # POD APP-PID
    kubelet n probe "$1" dmm-stackd liveness
    within 10 kubelet n probe "$1" nginx readiness
    fetched "$1" eth0
    listens_on_stack "$1"
    [ "$(kubelet n pid "$1" nginx)" = "$2" ]
}

# A client that holds its connection, asks once when told to, and hangs up when told to.
client_that_holds() { # ADDRESS
    # shellcheck disable=SC2016 # expanded on the node
    in_node n bash -c '
        exec 7<>"/dev/tcp/$1/80" && touch "$2/connected"
        until [ -e "$2/ask" ]; do sleep 0.1; done
        printf "GET / HTTP/1.1\r\nHost: x\r\n\r\n" >&7
        read -r line <&7 && echo "$line" >"$2/answer"
        until [ -e "$2/hangup" ]; do sleep 0.1; done' - "$1" "$DIR" &
}

@test "preStop: while the app ends in its own time, its connections are served; drain ends with the last" {
    network chained
    by_hand ending 'app["lifecycle"] = {"preStop": {"exec": {"command": ["sh", "-c",
        "until [ -e /tmp/go ]; do sleep 0.1; done"]}}}'
    client_that_holds "$(port_ip n ending)"
    within 5 test -e "$DIR/connected"
    within 5 eval "[ \$(sockets n ending '.state == \"ESTAB\"') -eq 1 ]"
    kubelet n delete ending >"$DIR/deleted" 2>&1 &
    local deletes=$!
    sleep 1
    touch "$DIR/ask"
    within 5 grep 'HTTP/1.1 200 OK' "$DIR/answer"
    [ ! -s "$DIR/deleted" ]
    touch "$DIR/hangup"
    within 5 grep -x 'preStop of dmm-stackd: passed' "$DIR/deleted"
    # The app has not ended, so neither has the sidecar.
    listens_on_stack ending
    kubelet n exec ending nginx sh -c 'echo >/tmp/go'
    wait $deletes
    grep -x 'preStop of nginx: passed' "$DIR/deleted"
}

@test "probes: nothing of these pods is left" {
    [ -z "$(node_left n)" ] || { node_left n; false; }
}
