# SPDX-License-Identifier: Apache-2.0
# kustomize FOLDER: by kubectl, or, where its kustomize is of 2019 (Debian 12's own) or there is none, by
# tests/e2e/kustomize.py.

KUSTOMIZE=$TOP/deploy/kustomize

real_kustomize() { HOME=${BATS_FILE_TMPDIR:-/tmp} command kubectl kustomize --load-restrictor LoadRestrictionsNone "$@"; }

has_real_kustomize() {
    command -v kubectl >/dev/null && real_kustomize "$KUSTOMIZE/overlays/veth-chained" >/dev/null 2>&1
}

# Once a file: export KUSTOMIZE_BY.
choose_kustomize() {
    export KUSTOMIZE_BY=$TOP/tests/e2e/kustomize.py
    ! has_real_kustomize || KUSTOMIZE_BY=real_kustomize
}

kustomize() { "$KUSTOMIZE_BY" "$@"; }
