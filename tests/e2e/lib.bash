# SPDX-License-Identifier: Apache-2.0
# What the end-to-end tests share: pods of their own folder, bridge and subnet, and bounded waiting.
# Each file calls lab_setup from setup_file and lab_teardown from teardown_file.
#
# DMM_TEST_STACK chooses the stack under test (default tcpip). Names in bats files of pods are short;
# the lab puts its own prefix in front, so that two files never meet.

TOP=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
# shellcheck source-path=SCRIPTDIR source=within.bash
source "$TOP/tests/e2e/within.bash"
# shellcheck source-path=SCRIPTDIR source=skip.bash
source "$TOP/tests/e2e/skip.bash"
export DMM_BUILD=${DMM_BUILD:-$TOP/build}
STACK=${DMM_TEST_STACK:-tcpip}

lab_setup() { # PREFIX NUMBER: NUMBER (1..250) chooses the subnet
    export LAB_PREFIX=$1
    # Not below /tmp: programs that give up root must still reach the pod directory.
    export DMM_EXAMPLES_DIR=/run/dmm-test-$1
    export DMM_EXAMPLES_BRIDGE=dmmt-$1
    export DMM_EXAMPLES_SUBNET=10.99.$2.0/24
    lab_teardown
    export LAB_TMP=$DMM_EXAMPLES_DIR.tmp
    mkdir -p "$LAB_TMP"
    chmod 755 "$LAB_TMP"
}

lab_teardown() {
    local state
    for state in "$DMM_EXAMPLES_DIR"/state/*/; do
        [ -d "$state" ] && "$TOP/examples/pod" down "$(basename "$state")"
    done
    rm -rf "$DMM_EXAMPLES_DIR" "$DMM_EXAMPLES_DIR.tmp"
}

# pod VERB [--plain|--all|-6] NAME ...: examples/pod with the lab's prefix on the name.
pod() {
    local verb=$1 flag=""
    shift
    case ${1:-} in --plain | --all | -6) flag=$1; shift ;; esac
    local name=$LAB_PREFIX-$1
    shift
    # fd 3 is bats' own: a daemon that keeps it keeps bats from ending.
    if [ "$verb" = up ] && [[ " $* " = *" --peer "* ]]; then
        local -a args=()
        while [ $# -gt 0 ]; do
            args+=("$1")
            [ "$1" = --peer ] && { shift; args+=("$LAB_PREFIX-$1"); }
            shift
        done
        set -- "${args[@]}"
    fi
    # shellcheck disable=SC2086
    "$TOP/examples/pod" $verb $flag "$name" "$@" 3>&-
}

# Starts CMD in a pod in the background; its pid goes to $LAST_PID, its output to a file.
pod_bg() { # [--plain] NAME CMD...
    local flag="" name
    [ "$1" = --plain ] && { flag=--plain; shift; }
    name=$1
    shift
    # Now, not when the job has started: whoever waits for output must not find an earlier program's.
    : >"$LAB_TMP/$name.out"
    # shellcheck disable=SC2086
    "$TOP/examples/pod" exec $flag "$LAB_PREFIX-$name" "$@" >"$LAB_TMP/$name.out" 2>&1 3>&- &
    LAST_PID=$!
}

# Ends a process of pod_bg and waits until it is gone, so that its ports are free again.
end_bg() { # PID
    local i
    kill "$1" 2>/dev/null || return 0
    for ((i = 0; i < 50; i++)); do
        kill -0 "$1" 2>/dev/null || break
        sleep 0.1
    done
    kill -9 "$1" 2>/dev/null || true
    wait "$1" 2>/dev/null || true
}

# A test's server, in the pod `server`; teardown ends it.
serve() { # CMD...
    pod_bg server "$@"
    SERVER_PID=$LAST_PID
}
end_served() { [ -z "${SERVER_PID:-}" ] || end_bg "$SERVER_PID"; }

# Ends a pod's sidecar with SIGKILL and waits until it is gone: memory and sockets take the kernel a moment.
kill_sidecar() { # NAME
    local pid i threads
    pid=$(pod sidecar "$1" pid)
    kill -9 "$pid"
    for ((i = 0; i < 100; i++)); do
        # The first thread may be a zombie while others still hold the process's sockets.
        threads=("/proc/$pid/task/"*)
        [ "${#threads[@]}" -gt 1 ] || grep -qs '^State:.[^ZX]' "/proc/$pid/status" || return 0
        sleep 0.05
    done
    echo "the sidecar of $1, pid $pid, does not end" >&2
    return 1
}

# Some programs can't run with a sanitizer's runtime, which has nothing to do with the shim: curl hangs in
# setlocale() with either runtime of gcc 12. It has a stand-in then; a test of any other is skipped.
[ -z "${DMM_PRELOAD_FIRST:-}" ] || PATH=$TOP/tests/e2e/stand-in:$PATH
needs_to_run() { # CMD...: a harmless call that ends at once
    [ -n "${DMM_PRELOAD_FIRST:-}" ] || return 0
    LD_PRELOAD=$DMM_PRELOAD_FIRST timeout 10 "$@" >/dev/null 2>&1 3>&- ||
        skip "$1 does not run with $(basename "$DMM_PRELOAD_FIRST"), even without the shim"
}

# True if the pod's sidecar has exactly/at least... sockets that match a jq condition.
sockets() { # NAME JQ-CONDITION: prints how many
    pod ctl "$1" sockets --json | jq "[.sockets[] | select($2)] | length"
}
has_sockets() { # NAME JQ-CONDITION COUNT
    [ "$(sockets "$1" "$2")" -eq "$3" ]
}

# Takes the host's end of a pod's net1 out of the bridge and plugs one end of a new veth in there instead: what
# joins $NEAR, towards the pod, and $FAR, towards the bridge, is the wire then (build/tests/relay).
# They go with the pod; FAR by replug, from teardown_file.
unplug() { # NAME
    local index dev
    index=$(nsenter --net="/run/netns/dmm-$LAB_PREFIX-$1" ip -j link show net1 | jq '.[0].link_index')
    NEAR=$(ip -j link | jq -r --argjson i "$index" '.[] | select(.ifindex == $i) | .ifname')
    FAR=$LAB_PREFIX-r0
    export NEAR FAR
    ip link add "$FAR" type veth peer name "$LAB_PREFIX-r1"
    ip link set "$NEAR" nomaster
    for dev in "$NEAR" "$FAR"; do
        sysctl -qw "net.ipv6.conf.$dev.disable_ipv6=1"
        ip link set "$dev" arp off up
    done
    ip link set "$LAB_PREFIX-r1" master "$DMM_EXAMPLES_BRIDGE" up
}
replug() { ip link del "$LAB_PREFIX-r0" 2>/dev/null || true; }

# One of the counters of the pod's stack, by `dmmctl stats`.
counter() { # NAME COUNTER
    pod ctl "$1" stats --json | jq --arg s "$STACK" --arg c "$2" \
        '.stacks[] | select(.name == $s) | .counters[$c]'
}

# An nginx configuration in $LAB_TMP/NAME.conf. BODY goes into the http block.
nginx_conf() { # NAME BODY
    local dir=$LAB_TMP/nginx-$1
    mkdir -p "$dir"
    chmod 777 "$dir"
    cat >"$LAB_TMP/$1.conf" <<CONF
worker_processes 2;
pid $dir/nginx.pid;
error_log $dir/error.log info;
events { worker_connections 4096; }
http {
    access_log off;
    client_body_temp_path $dir/body;
    proxy_temp_path $dir/proxy;
    fastcgi_temp_path $dir/fastcgi;
    uwsgi_temp_path $dir/uwsgi;
    scgi_temp_path $dir/scgi;
    sendfile on;
    keepalive_requests 1000000;
    $2
}
CONF
}
