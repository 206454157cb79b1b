# SPDX-License-Identifier: Apache-2.0
# shellcheck disable=SC2154 # status and output are bats' own
# The plugin killed, and each of its system calls failed, at every step of ADD and DEL, for one link: a DEL or a GC
# afterwards leaves the node as it was.
#
# strace does the killing (signal=KILL at the Nth of a kind) and the failing (error=...). Every call that can change
# something, or that comes between two that do, is a step.
#
# The file that loads this has link_filter LINK, the link's configuration as a jq filter, and node, all of ours on
# the node as text.

CALLS="mkdir mkdirat openat write pwrite64 ftruncate fchmod fsync linkat renameat rename unlink unlinkat rmdir
    flock setns sendmsg connect memfd_create clone3 vfork wait4 ioctl bpf lchown"

# Runs the plugin under strace with an injection, or to count with none.
traced() { # STRACE-ARGS -- COMMAND POD
    local args=()
    while [ "$1" != -- ]; do args+=("$1"); shift; done
    CNI_COMMAND=$2 CNI_CONTAINERID=$PREFIX-$3 CNI_NETNS=/run/netns/$PREFIX-$3 CNI_IFNAME=net1 \
        CNI_ARGS="IgnoreUnknown=1;K8S_POD_UID=uid-$3" strace -qq "${args[@]}" "$DMM"
}

# Prints "CALL COUNT" for each kind of step that a verb takes.
steps() { # COMMAND CONF
    traced -o "$DIR/trace" -- "$1" a <<<"$2" 2>&1 | cat >/dev/null
    local call
    for call in $CALLS; do
        echo "$call $(grep -c "^$call(" "$DIR/trace")"
    done | grep -v ' 0$'
}

same_as_before() { # WHAT
    local now pod
    now=$(node)
    pod=$(links_in_pod a)
    [ "$now$pod" = "$empty" ] && return
    echo "after $1:"
    diff <(echo "$empty") <(echo "$now$pod")
    return 1
}

# Kills ADD at every step, then cleans up by DEL and by GC in turn.
kill_add() { # LINK
    local conf call count n tried=0
    conf=$(conf "$(link_filter "$1")" '.cniVersion = "1.1.0"')
    gc=$(jq '."cni.dev/valid-attachments" = []' <<<"$conf")
    pod_ns a
    dmm ADD a <<<"$conf" >/dev/null # makes folders that stay
    dmm DEL a <<<"$conf"
    empty=$(node)
    # Twice, and what both have: one that has to wait for the kernel makes more, and says so.
    steps ADD "$conf" >"$DIR/once"
    dmm DEL a <<<"$conf"
    steps ADD "$conf" >"$DIR/twice"
    dmm DEL a <<<"$conf"
    awk 'NR == FNR { once[$1] = $2; next } $1 in once { print $1, $2 < once[$1] ? $2 : once[$1] }' "$DIR/once" "$DIR/twice" >"$DIR/steps"
    [ -s "$DIR/steps" ]
    while read -r call count; do
        for n in $(seq "$count"); do
            run traced -o /dev/null -e "inject=$call:signal=KILL:when=$n" -- ADD a <<<"$conf"
            # Of the calls of libraries and a sanitizer there may be one less this time.
            [ "$status" -eq 137 ] || [ "$n" -eq "$count" ] || { echo "not killed at $call $n: $output"; return 1; }
            if [ $((tried++ % 2)) -eq 0 ]; then dmm DEL a <<<"$conf"; else dmm GC a <<<"$gc"; fi
            same_as_before "ADD killed at $call $n"
        done
    done <"$DIR/steps"
    echo "# $1: killed ADD at $tried steps" >&3
}

kill_del() { # LINK
    local conf call count n tried=0
    conf=$(conf "$(link_filter "$1")")
    pod_ns a
    empty=$(node)
    dmm ADD a <<<"$conf" >/dev/null
    steps DEL "$conf" >"$DIR/steps"
    same_as_before "DEL"
    while read -r call count; do
        for n in $(seq "$count"); do
            dmm ADD a <<<"$conf" >/dev/null
            run traced -o /dev/null -e "inject=$call:signal=KILL:when=$n" -- DEL a <<<"$conf"
            dmm DEL a <<<"$conf"
            same_as_before "DEL killed at $call $n"
            tried=$((tried + 1))
        done
    done <"$DIR/steps"
    echo "# $1: killed DEL at $tried steps" >&3
}

# Fails every step of ADD: either it works all the same, or it says so and has taken all back.
fail_add() { # LINK
    local conf call count n tried=0 error
    conf=$(conf "$(link_filter "$1")")
    pod_ns a
    steps ADD "$conf" >"$DIR/steps"
    dmm DEL a <<<"$conf"
    empty=$(node)
    while read -r call count; do
        error=ENOSPC
        case $call in flock | setns | sendmsg | connect | ioctl | bpf) error=EPERM ;; wait4) continue ;; esac
        for n in $(seq "$count"); do
            run --separate-stderr traced -o /dev/null -e "inject=$call:error=$error:when=$n" -- ADD a <<<"$conf"
            if [ "$status" -eq 0 ]; then
                dmm DEL a <<<"$conf"
            elif [ -z "${stderr##*error while loading*}" ] && [ -n "$stderr" ]; then
                : # it never started
            elif [ "$call" = setns ] && [[ "$stderr" = *leave* ]]; then
                dmm DEL a <<<"$conf" # it can't do more where it is
            elif [ "$call" = write ] && [ -z "${output//[[:space:]]/}" ]; then
                : # what failed is the answer itself
            else
                jq -e '.code > 0 and .details' <<<"$output" >/dev/null || { echo "$call $n: $output $stderr"; return 1; }
            fi
            same_as_before "ADD with $call $n failing"
            tried=$((tried + 1))
        done
    done <"$DIR/steps"
    echo "# $1: failed ADD at $tried steps" >&3
}
