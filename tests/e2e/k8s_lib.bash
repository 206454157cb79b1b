# SPDX-License-Identifier: Apache-2.0
# What the Kubernetes tests share: nodes with real containerd, images, and pods as a kubelet plays them
# (tests/e2e/cri). Each file has a prefix of its own; a node's files lie in $DIR/NODE.

TOP=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
# shellcheck source-path=SCRIPTDIR source=within.bash
source "$TOP/tests/e2e/within.bash"
# shellcheck source-path=SCRIPTDIR source=skip.bash
source "$TOP/tests/e2e/skip.bash"
export DMM_BUILD=${DMM_BUILD:-$TOP/build}
CRI=$TOP/tests/e2e/cri
TEST_IMAGES=$DMM_BUILD/tests/images

k8s_setup() { # PREFIX
    local program
    for program in containerd runc ctr; do
        command -v $program >/dev/null || skip_file "no $program: real runtimes can't be tried (containerd, runc)"
    done
    /usr/bin/python3 -c 'import grpc, google.protobuf, yaml' 2>/dev/null || skip_file "no python3-grpcio, python3-yaml"
    export DIR=/run/dmm-test-$1
    k8s_teardown
    mkdir -p "$DIR"
    k8s_images
}

# Builds what is out of date: our images from the programs, the others once. Files that run side by side wait here
# for the one that builds.
k8s_images() {
    [ -z "${SAN:-}" ] || skip_file "the images of unmodified apps have no sanitizer's runtime, which our libraries then need"
    mkdir -p "$TEST_IMAGES"
    local lock
    exec {lock}>"$TEST_IMAGES/lock"
    flock "$lock"
    build_images {lock}>&-
    exec {lock}>&-
}

build_images() {
    local newest=$TEST_IMAGES/dmm-stackd.tar
    if [ ! -e "$TEST_IMAGES/memcached.tar" ] || [ "$CRI/apps.py" -nt "$TEST_IMAGES/memcached.tar" ]; then
        gcc -O2 -static -o "$DMM_BUILD/tests/pause" "$CRI/pause.c"
        local musl=()
        if command -v musl-gcc >/dev/null; then
            musl=("$DMM_BUILD/tests/musl")
            musl-gcc -O2 -o "${musl[0]}" "$CRI/musl.c"
        fi
        /usr/bin/python3 "$CRI/apps.py" "$TEST_IMAGES" "$DMM_BUILD/tests/pause" "${musl[@]}"
    fi
    if [ ! -e "$newest" ] || [ -n "$(find "$DMM_BUILD" "$TOP/deploy/image" -maxdepth 1 -newer "$newest" -type f)" ]; then
        "$TOP/deploy/image/build.py" --build "$DMM_BUILD" --out "$TEST_IMAGES"
    fi
}

k8s_teardown() {
    local node
    for node in "$DIR"/*/pid; do
        [ -e "$node" ] && node_stop "$(basename "$(dirname "$node")")"
    done
    find /sys/fs/cgroup -depth -type d \( -name dmm-test -o -path '*/dmm-test/*' \) -exec rmdir {} + 2>/dev/null || true
    rm -rf "${DIR:?}"
}

# Starts a node, also again after node_stop, as a reboot does.
node_start() { # NODE
    mkdir -p "$DIR/$1"
    "$CRI/node.sh" "$DIR/$1" >"$DIR/$1/node.log" 2>&1 3>&- &
    echo $! >"$DIR/$1/pid"
    disown
    within 20 ctr -a "$DIR/$1/c.sock" version
    local image pids=()
    for image in "$TEST_IMAGES"/*.tar; do
        ctr -a "$DIR/$1/c.sock" -n k8s.io images import "$image" >/dev/null &
        pids+=($!)
    done
    for image in "${pids[@]}"; do wait "$image"; done
    within 10 in_node "$1" test -e /run/netns
}

# The process whose namespaces are the node's: the first in its process namespace.
node_pid() { pgrep -P "$(cat "$DIR/$1/pid")" | head -n 1; }

node_stop() { # NODE: as if power went
    local pid
    pid=$(cat "$DIR/$1/pid")
    rm -f "$DIR/$1/pid"
    kill -9 "$pid" 2>/dev/null || return 0
    while kill -0 "$pid" 2>/dev/null; do sleep 0.05; done
    # Mounts of containers go with the namespace, which goes with its last process.
    within 10 eval "! pgrep -f 'containerd-shim.*$DIR/$1'" || true
}

in_node() { # NODE CMD...
    local node=$1
    shift
    nsenter -t "$(node_pid "$node")" --net --mount --pid "$@" 3>&-
}

kubelet() { # NODE VERB...
    local node=$1
    shift
    in_node "$node" /usr/bin/python3 "$CRI/kubelet.py" "$DIR/$node" "$@"
}

# Applies a manifest as a cluster with the injector would; OLD=NEW change its text before.
apply() { # NODE FILE [OLD=NEW...]
    local node=$1 file=$2 made
    shift 2
    made=$(mktemp "$DIR/applied.XXXXXX")
    /usr/bin/python3 "$CRI/inject.py" "$DMM_BUILD/dmm-injector${INJECTOR_OPTIONS:+ $INJECTOR_OPTIONS}" \
        "${INJECTOR_CONFIG:-$TOP/deploy/kustomize/links/veth/injector.json}" "$file" "$@" >"$made" || return 1
    kubelet "$node" apply "$made"
}

# A node's CNI configuration: the cluster's own network behind it, ours chained, or ours alone. The stacks'
# network is 10.88.NUMBER.0/24, the kernel's 10.77.NUMBER.0/24.
node_conf() { # NODE NUMBER alone|chained [JQ-FILTER [JQ-OPTION...]]
    local bin=$DIR/$1/bin conf=$DIR/$1/net.d
    mkdir -p "$bin" "$conf"
    cp "$DMM_BUILD/dmm" "$bin/dmm"
    jq -n --arg n "$2" --arg mode "$3" '
        {type: "bridge", bridge: "cni0", isGateway: true, ipam: {type: "host-local",
            subnet: "10.77.\($n).0/24", routes: [{dst: "0.0.0.0/0"}]}} as $primary |
        {type: "dmm", link: {type: "veth", bridge: "dmm0"}, stacks: [{name: "fast", type: "tcpip"}],
            capabilities: {"io.kubernetes.cri.pod-annotations": true},
            ipam: {type: "host-local", subnet: "10.88.\($n).0/24", gateway: "10.88.\($n).1",
                routes: [{dst: "0.0.0.0/0"}]}} as $ours |
        {cniVersion: "1.0.0", cniVersions: ["1.0.0", "1.1.0"], name: "cluster",
            plugins: (if $mode == "alone" then [$ours] else [$primary, $ours + {mode: "chained"}] end)}' |
        jq "${@:5}" "${4:-.}" >"$conf/new"
    mv "$conf/new" "$conf/10-cluster.conflist"
}

# The stacks' network on the node, with an address for the gateway.
node_bridge() { # NODE NUMBER
    in_node "$1" ip link add dmm0 type bridge
    in_node "$1" ip addr add "10.88.$2.1/24" dev dmm0
    in_node "$1" ip link set dmm0 up
}

# All that pods leave on a node: links, leases, records, pod directories, network namespaces.
node_left() { # NODE
    in_node "$1" ip -o link show type veth
    in_node "$1" find /var/lib/cni /run/dmm \( -name '10.*' -o -name '*.json' \) 2>/dev/null || true
    in_node "$1" find /run/dmm/pods "$DIR/$1/pods" -mindepth 1 -maxdepth 1 2>/dev/null || true
}

# dmmctl in the pod's sidecar container.
sidecar_ctl() { # NODE POD ARG...
    local node=$1 pod=$2
    shift 2
    kubelet "$node" exec "$pod" dmm-stackd dmmctl "$@"
}

pod_uid() { # NODE POD
    jq -r --arg name "$2" 'select(.pod.metadata.name == $name) | .pod.metadata.uid' "$DIR/$1"/pods/*/pod.json
}

# The address of a pod's port, from its pod directory.
port_ip() { # NODE POD [IFNAME]
    in_node "$1" cat "/run/dmm/pods/$(pod_uid "$1" "$2")/ports/${3:-net1}.json" | jq -r '.addresses[0]' | cut -d/ -f1
}

# How many stack sockets of a pod match a jq condition.
sockets() { # NODE POD CONDITION
    sidecar_ctl "$1" "$2" --json sockets | jq "[.sockets[] | select($3)] | length"
}

# The node's configuration with a link of deploy/; the runtime sees the change by itself.
use_link() { # LINK [JQ-FILTER]
    local ours
    ours=$(jq "${2:-.}" "$TOP/deploy/kustomize/links/$1/cni.json")
    node_conf n 1 chained ".plugins[1] += (\$ours | del(.ipam)) | .plugins[1].mode = \"chained\"" --argjson ours "$ours"
    export INJECTOR_CONFIG=$TOP/deploy/kustomize/links/$1/injector.json
    sleep 0.5 # containerd's watch of the folder
}

# The sidecar of a pod is user 65532, and has not one capability.
unprivileged() { # POD
    local rights
    rights=$(in_node n cat "/proc/$(kubelet n pid "$1" dmm-stackd)/status")
    [ "$(awk '$1 == "Uid:" { print $2 }' <<<"$rights")" = 65532 ]
    [ "$(grep -cE '^Cap(Prm|Eff|Bnd|Inh|Amb):\s*0000000000000000$' <<<"$rights")" -eq 5 ]
    grep -E '^NoNewPrivs:\s*1$' <<<"$rights"
}
