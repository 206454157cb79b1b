# SPDX-License-Identifier: Apache-2.0
# Bounded waiting, for every kind of end-to-end test.

# Runs CMD until it succeeds, at most SECONDS.
within() { # SECONDS CMD...
    local end=$((SECONDS + $1 * ${DMM_TIME_FACTOR:-1}))
    shift
    until "$@" >/dev/null 2>&1; do
        if [ $SECONDS -ge $end ]; then
            echo "not within the time: $*"
            "$@" || true
            return 1
        fi
        sleep 0.1
    done
}
