# SPDX-License-Identifier: Apache-2.0
# What the tests of real programs share: two pods, servers in one, clients in the other, and the proof that
# their sockets were on the stack. Loaded instead of lib.bash.
# shellcheck source-path=SCRIPTDIR source=lib.bash
source "$(dirname "${BASH_SOURCE[0]}")/lib.bash"

APPS=$TOP/tests/e2e/apps
STARTED=()

two_pods() { # PREFIX NUMBER
    lab_setup "$@"
    pod up server "dmm.fd.io/stack=$STACK"
    pod up client "dmm.fd.io/stack=$STACK"
    IP=$(pod ip server)
    export IP
}

# Runs CMD in a pod, for $LIMIT seconds at most (120: a loaded machine is no failure).
in_pod() { # [--plain] NAME CMD...
    local plain=""
    [ "$1" != --plain ] || { plain=--plain; shift; }
    # shellcheck disable=SC2086
    timeout $((${LIMIT:-120} * ${DMM_TIME_FACTOR:-1})) "$TOP/examples/pod" exec $plain "$LAB_PREFIX-$1" "${@:2}" 3>&-
}

client() { in_pod client "$@"; }
kernel_client() { in_pod --plain client "$@"; }

# Runs CMD in the pod `client`; fails, too, unless both pods' stacks have opened connections meanwhile.
on_stacks() { # CMD...
    local opened accepted
    opened=$(counter client tcp_active_opens)
    accepted=$(counter server tcp_passive_opens)
    client "$@" || return
    [ "$(counter client tcp_active_opens)" -gt "$opened" ] || { echo "the client was not on the stack"; return 1; }
    [ "$(counter server tcp_passive_opens)" -gt "$accepted" ] || { echo "the server was not on the stack"; return 1; }
}

# Starts a program in a pod until the test's end.
start_in() { # NAME CMD...
    pod_bg "$@"
    STARTED+=("$LAST_PID")
}
serve() { start_in server "$@"; }

# Waits until the pod `server` listens on a TCP port, on the stack.
listens() { # PORT [SOCKETS]
    within 30 has_sockets server ".state == \"LISTEN\" and (.local | endswith(\":$1\"))" "${2:-1}"
}

# A file of pseudo-random bytes, the same for a size each time.
make_file() { # PATH SIZE
    mkdir -p "$(dirname "$1")"
    head -c "$2" /dev/zero | openssl enc -aes-128-ctr -K 00112233445566778899aabbccddeeff -iv 0 -nosalt 2>/dev/null >"$1"
    chmod a+r "$1"
}

# Runs CMD as an unprivileged user: the pod directory must let it in.
as_user() { # USER CMD...
    setpriv --reuid="$1" --regid="$1" --clear-groups "${@:2}"
}

end_started() {
    local pid
    for pid in "${STARTED[@]}"; do end_bg "$pid"; done
    STARTED=()
}

# No socket is left in a sidecar, and none had anything to complain about.
nothing_left() { # NAME...
    local name
    for name in "$@"; do
        within 5 has_sockets "$name" true 0
        run grep -E ' (warn|error) ' <(pod logs "$name")
        echo "$output"
        [ -z "$output" ]
    done
}
