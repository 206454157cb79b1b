#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# make images: the archives themselves. That they run is shown by the k8s_*.bats.

bats_require_minimum_version 1.5.0
TOP=$(cd "$BATS_TEST_DIRNAME/../.." && pwd)
BUILD=${DMM_BUILD:-$TOP/build}

setup_file() {
    export OUT=$BATS_FILE_TMPDIR/images
    SOURCE_DATE_EPOCH=1700000000 "$TOP/deploy/image/build.py" --build "$BUILD" --out "$OUT"
}

# The one layer of an image, unpacked to $BATS_TEST_TMPDIR/NAME.
unpack() { # NAME
    local dir=$BATS_TEST_TMPDIR/$1
    mkdir -p "$dir/oci" "$dir/root"
    tar -C "$dir/oci" -xf "$OUT/$1.tar"
    local manifest layer
    manifest=$(jq -r '.manifests[0].digest | sub(":"; "/")' "$dir/oci/index.json")
    layer=$(jq -r '.layers[0].digest | sub(":"; "/")' "$dir/oci/blobs/$manifest")
    tar -C "$dir/root" -xzf "$dir/oci/blobs/$layer"
    jq -r '.config.digest | sub(":"; "/")' "$dir/oci/blobs/$manifest" |
        { read -r config; cp "$dir/oci/blobs/$config" "$dir/config.json"; }
}

@test "images: the same bytes twice, also for another user, place and time" {
    local umask_before
    umask_before=$(umask)
    cd /
    umask 077
    SOURCE_DATE_EPOCH=1700000000 TZ=Asia/Tokyo "$TOP/deploy/image/build.py" --build "$BUILD" --out "$BATS_TEST_TMPDIR/again"
    umask "$umask_before"
    local image
    for image in "$OUT"/*.tar; do
        cmp "$image" "$BATS_TEST_TMPDIR/again/$(basename "$image")"
    done
    # The date is in them: another one makes others.
    SOURCE_DATE_EPOCH=1700000001 "$TOP/deploy/image/build.py" --build "$BUILD" --out "$BATS_TEST_TMPDIR/later" dmm-shim
    run ! cmp "$OUT/dmm-shim.tar" "$BATS_TEST_TMPDIR/later/dmm-shim.tar"
}

@test "images: small, owned by root, dated, with names for containerd and podman" {
    [ -z "${SAN:-}" ] || skip "a sanitizer's runtime is large"
    [ "$(stat -c %s "$OUT/dmm-stackd.tar")" -lt 60000000 ]
    [ "$(stat -c %s "$OUT/dmm-shim.tar")" -lt 5000000 ]
    unpack dmm-stackd
    [ "$(jq -r '.manifests[0].annotations["io.containerd.image.name"]' "$BATS_TEST_TMPDIR/dmm-stackd/oci/index.json")" = \
        "$(jq -r '.manifests[0].annotations["org.opencontainers.image.ref.name"]' "$BATS_TEST_TMPDIR/dmm-stackd/oci/index.json")" ]
    [ "$(find "$BATS_TEST_TMPDIR/dmm-stackd/root" -mindepth 1 -newermt '2023-11-15 00:00:00Z' | wc -l)" -eq 0 ]
    [ "$(find "$BATS_TEST_TMPDIR/dmm-stackd/root" -perm /6000 | wc -l)" -eq 0 ]
    [ "$(jq -r .created "$BATS_TEST_TMPDIR/dmm-stackd/config.json")" = 2023-11-14T22:13:20Z ]
}

# As in a container: its own files, and /proc.
in_image() { # ROOT CMD...
    mkdir -p "$1/proc"
    # What a sanitizer is told names files outside.
    env -u ASAN_OPTIONS -u TSAN_OPTIONS unshare --mount --pid --fork --mount-proc=/proc --root="$1" "${@:2}"
}

@test "images: programs run from the image alone; libraries are credited to their packages" {
    unpack dmm-stackd
    local root=$BATS_TEST_TMPDIR/dmm-stackd/root
    [[ "$(in_image "$root" /usr/bin/dmm-stackd --version)" = "dmm-stackd "* ]]
    [[ "$(in_image "$root" /usr/bin/dmmctl --version)" = "dmmctl "* ]]
    ls "$root"/usr/lib/*/liblwip.so.*
    grep -q '^Version:' "$root/var/lib/dpkg/status.d/libc6"
    [ -s "$root/usr/share/doc/libc6/copyright" ]
    unpack dmm-cni
    [[ "$(in_image "$BATS_TEST_TMPDIR/dmm-cni/root" /usr/bin/dmm-install --version)" = "dmm-install "* ]]
}

@test "images: all but the installer, which writes folders of the node, name a user that is not root" {
    local name
    for name in dmm-stackd dmm-shim; do
        unpack $name
        [ "$(jq -r .config.User "$BATS_TEST_TMPDIR/$name/config.json")" = 65532:65532 ]
    done
    unpack dmm-cni
    [ "$(jq -r '.config.User // ""' "$BATS_TEST_TMPDIR/dmm-cni/config.json")" = "" ]
}

@test "images: the Dockerfile installs each package with headers that make deps does, but for those of tests" {
    local package missing=""
    while read -r package _; do
        grep -qw -- "$package" "$TOP/deploy/image/Dockerfile" || missing="$missing $package"
    done < <(grep -E '^(lib.*-dev|musl-tools)' "$TOP/mk/deps.txt" | grep -vE 'cmocka|clang')
    [ -z "$missing" ] || { echo "missing:$missing"; false; }
}

@test "dmm-shim: a library for each spelling of \$LIB; a full volume is an error that names the file" {
    local dir=$BATS_TEST_TMPDIR/volume
    mkdir -p "$dir" "$BATS_TEST_TMPDIR/from/glibc" "$BATS_TEST_TMPDIR/from/musl"
    cp "$BUILD/libdmm.so" "$BATS_TEST_TMPDIR/from/glibc/"
    echo musl >"$BATS_TEST_TMPDIR/from/musl/libdmm.so"
    "$BUILD/dmm-shim" --from "$BATS_TEST_TMPDIR/from" "$dir"
    cmp "$BUILD/libdmm.so" "$dir/lib64/libdmm.so"
    cmp "$BUILD/libdmm.so" "$dir/lib/libdmm.so"
    [ "$(cat "$dir/\$LIB/libdmm.so")" = musl ]
    [ "$(find "$dir" -name '*.new' | wc -l)" -eq 0 ]
    # glibc finds it by its own name for $LIB: no complaint, and the library is mapped.
    # shellcheck disable=SC2002 # another program than grep is to be looked at
    LD_PRELOAD="${DMM_PRELOAD_FIRST:+$DMM_PRELOAD_FIRST:}$dir/\$LIB/libdmm.so" cat /proc/self/maps 2>"$BATS_TEST_TMPDIR/err" | grep "$dir/.*libdmm.so"
    [ ! -s "$BATS_TEST_TMPDIR/err" ]

    mkdir "$BATS_TEST_TMPDIR/full"
    mount -t tmpfs -o size=64k tmpfs "$BATS_TEST_TMPDIR/full"
    run "$BUILD/dmm-shim" --from "$BATS_TEST_TMPDIR/from" "$BATS_TEST_TMPDIR/full"
    umount "$BATS_TEST_TMPDIR/full"
    [ "$status" -eq 1 ]
    [[ "$output" = *"lib/libdmm.so"*"No space left"* ]]
    run "$BUILD/dmm-shim" --from /nowhere "$dir"
    [ "$status" -eq 1 ]
    [[ "$output" = *"/nowhere/glibc/libdmm.so: No such file"* ]]
}
