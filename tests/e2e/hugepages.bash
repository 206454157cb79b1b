# SPDX-License-Identifier: Apache-2.0
# Hugepages of 2 MB for a test file. The number is the machine's, and files run side by side, so each adds what it
# needs and takes off as much.

_hugepages() { # CHANGE: fails, with nothing changed, where the kernel can't
    local have=/proc/sys/vm/nr_hugepages before
    (
        flock 8
        before=$(cat $have)
        echo $((before + $1 > 0 ? before + $1 : 0)) >$have
        [ "$(cat $have)" -ge $((before + $1)) ] || {
            echo "$before" >$have
            exit 1
        }
    ) 8>"$DMM_BUILD/tests/hugepages.lock"
}

# Once a file, in setup_file.
hugepages_take() { # N
    _hugepages "$1" && export HUGEPAGES=$1
}

# In teardown_file.
hugepages_give() { [ -z "${HUGEPAGES:-}" ] || _hugepages "-$HUGEPAGES"; }
