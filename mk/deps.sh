#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# Installs the packages of LIST, by default mk/deps.txt, that are missing. Does nothing, and needs no root, where none is.
# A second word on a line names a program that makes the package needless, wherever it came from.
#
#   mk/deps.sh [LIST]
set -eu
list=${1:-$(dirname "$0")/deps.txt}

missing=
while read -r package program; do
    [ -z "$program" ] || ! command -v "$program" >/dev/null || continue
    [ "$(dpkg-query -W -f='${db:Status-Status}' "$package" 2>/dev/null)" = installed ] ||
        missing="$missing $package"
done <"$list"
[ -n "$missing" ] || exit 0

if [ "$(id -u)" -ne 0 ]; then
    echo "These packages are missing; install them as root (sudo make deps):$missing" >&2
    exit 1
fi
echo "Installing:$missing"

# Some packages bring daemons. The tests start their own; those of the packages stay down.
policy=/usr/sbin/policy-rc.d
if [ ! -e "$policy" ]; then
    trap 'rm -f "$policy"' EXIT
    trap 'exit 1' INT TERM
    printf '#!/bin/sh\nexit 101\n' >"$policy"
    chmod 755 "$policy"
fi
export DEBIAN_FRONTEND=noninteractive
apt-get -o DPkg::Lock::Timeout=300 -q update
# shellcheck disable=SC2086 # a list of words
apt-get -o DPkg::Lock::Timeout=300 -q install -y --no-install-recommends $missing
