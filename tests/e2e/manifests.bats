#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# deploy/ and the Kubernetes examples, without a cluster: what kustomize and Helm make of them, whether types and
# names are right, and that the ways to one pod agree.

bats_require_minimum_version 1.5.0
TOP=$(cd "$BATS_TEST_DIRNAME/../.." && pwd)
BUILD=${DMM_BUILD:-$TOP/build}
load kustomize
LINKS="veth tap vhostuser sriov-netdev sriov-vfio afxdp"

setup_file() {
    export HOME=$BATS_FILE_TMPDIR
    choose_kustomize
}

# YAML documents as sorted JSON lines, without what differs by design: the hashes that kustomize puts behind
# names of ConfigMaps, Helm's checksum of the same, and the spelling of JSON within strings.
normal() {
    /usr/bin/python3 -c '
import json, re, sys, yaml
def inner(value):
    try: return json.loads(value)
    except ValueError: return value
out = []
for d in filter(None, yaml.safe_load_all(sys.stdin)):
    if d["kind"] == "ConfigMap": d["data"] = {k: inner(v) for k, v in d["data"].items()}
    if d["kind"] == "NetworkAttachmentDefinition": d["spec"]["config"] = inner(d["spec"]["config"])
    text = json.dumps(d, sort_keys=True)
    text = re.sub("(\"dmm-(?:cni|injector))-[a-z0-9]{10}\"", "\\1\"", text)
    text = re.sub("\"annotations\": {\"checksum/config\": \"[0-9a-f]*\"}, ", "", text)
    out.append(text)
print("\n".join(sorted(out)))'
}

json() { /usr/bin/python3 -c 'import json, sys, yaml; print(json.dumps(yaml.safe_load(sys.stdin), sort_keys=True, indent=1))'; }

@test "manifests: every link in every mode: kustomize makes it, and its objects are the ones wanted" {
    local link mode out
    for link in $LINKS; do
        for mode in alone chained multus; do
            out=$(kustomize "$KUSTOMIZE/overlays/$link-$mode")
            grep -q 'kind: DaemonSet' <<<"$out"
            [ "$(grep -c "^          - --mode=\|^        - --mode=" <<<"$out")" -eq 1 ]
            [ "$(grep -c 'kind: NetworkAttachmentDefinition' <<<"$out")" -eq "$([ $mode = multus ] && echo 1 || echo 0)" ]
        done
    done
    kustomize "$KUSTOMIZE/overlays/veth-alone" | grep -e '- --mode=alone'
    kustomize "$KUSTOMIZE/overlays/veth-multus" | grep -e '- --mode=binary'
}

@test "manifests: what stands in for kustomize makes the same as kubectl" {
    has_real_kustomize || skip "this kubectl's kustomize knows no components: $(kubectl version --client 2>&1 | head -n 1)"
    local overlay
    for overlay in "$KUSTOMIZE"/overlays/*; do
        diff <(real_kustomize "$overlay" | normal) <("$TOP/tests/e2e/kustomize.py" "$overlay" | normal)
    done
}

@test "manifests: the plugin takes each cni.json, the injector each injector.json; Multus gets the same" {
    local link answer unknown=""
    for link in $LINKS; do
        "$BUILD/dmm-injector" --stdin --config "$KUSTOMIZE/links/$link/injector.json" <<<'{}' >/dev/null
        # STATUS checks the whole configuration: what is wrong with it is code 2 or 7.
        answer=$(jq '{cniVersion: "1.1.0", name: "t"} + .' "$KUSTOMIZE/links/$link/cni.json" |
            CNI_COMMAND=STATUS CNI_PATH=/usr/lib/cni "$BUILD/dmm" || true)
        if grep -q '"details": "link.type' <<<"$answer"; then
            unknown="$unknown $link"
            continue
        fi
        run ! grep -E '"code": [27],' <<<"$answer"
        [ "$(/usr/bin/python3 -c 'import sys, yaml; print(yaml.safe_load(sys.stdin)["spec"]["config"])' \
            <"$KUSTOMIZE/links/$link/network/network.yaml" | jq -S 'del(.cniVersion, .name)')" = "$(jq -S . "$KUSTOMIZE/links/$link/cni.json")" ]
    done
    [ -z "$unknown" ] || skip "links that this plugin does not have:$unknown"
}

@test "manifests: without the injector, the kustomize component makes the identical pod" {
    local link dir=$BATS_TEST_TMPDIR/pod
    mkdir -p "$dir"
    cat >"$dir/pod.yaml" <<'YAML'
apiVersion: v1
kind: Pod
metadata:
  name: web
  labels: {dmm.fd.io/sidecar: "true"}
  annotations: {dmm.fd.io/stack: fast, dmm.fd.io/skip-containers: log}
spec:
  initContainers:
  - {name: prepare, image: i}
  containers:
  - name: app
    image: nginx:stable
    env: [{name: A, value: b}]
    volumeMounts: [{name: data, mountPath: /data}]
  - {name: log, image: l}
  volumes: [{name: data, emptyDir: {}}]
YAML
    for link in $LINKS; do
        printf 'resources: [pod.yaml]\ncomponents: [%s]\n' "$(realpath --relative-to="$dir" "$KUSTOMIZE/sidecar/$link")" >"$dir/kustomization.yaml"
        kustomize "$dir" | json >"$dir/by-component"
        json <"$dir/pod.yaml" | "$BUILD/dmm-injector" --stdin --config "$KUSTOMIZE/links/$link/injector.json" |
            json >"$dir/by-injector"
        diff "$dir/by-component" "$dir/by-injector"
        # The stand-in by itself, where it is not what made the first.
        "$TOP/tests/e2e/kustomize.py" "$dir" | json | diff - "$dir/by-injector"
    done
}

@test "manifests: the Helm chart makes the same objects as kustomize; a wrong value is refused by its schema" {
    local link mode change dir=$BATS_TEST_TMPDIR
    if command -v helm >/dev/null; then
        render() { helm template dmm "$TOP/deploy/helm/dmm" --namespace dmm-system --kube-version "${KUBE_VERSION:-v1.30.0}" -f "$1"; }
    else
        GO111MODULE=off GOPATH=/usr/share/gocode GOCACHE=${GOCACHE:-$dir/cache} \
            go build -o "$dir/render" "$TOP/tests/e2e/helm/render.go"
        render() { "$dir/render" "$TOP/deploy/helm/dmm" "$1"; }
    fi
    for link in $LINKS; do
        for mode in alone chained multus; do
            # Links and modes do not meet in the templates: each of both once.
            [ "$link" = veth ] || [ $mode = multus ] || continue
            echo "{\"link\": \"$link\", \"mode\": \"$mode\"}" >"$dir/values.json"
            render "$dir/values.json" | normal >"$dir/by-helm"
            kustomize "$KUSTOMIZE/overlays/$link-$mode" | normal >"$dir/by-kustomize"
            diff "$dir/by-kustomize" "$dir/by-helm"
        done
    done
    # What is optional is the same by either.
    mkdir -p "$dir/options"
    printf 'resources: [%s]\ncomponents: [%s, %s]\n' "$(realpath --relative-to="$dir/options" "$KUSTOMIZE/overlays/veth-alone")" \
        "$(realpath --relative-to="$dir/options" "$KUSTOMIZE/watch")" \
        "$(realpath --relative-to="$dir/options" "$KUSTOMIZE/uninstall")" >"$dir/options/kustomization.yaml"
    echo '{"mode": "alone", "watch": {"enabled": true}, "uninstall": true}' >"$dir/values.json"
    render "$dir/values.json" | normal >"$dir/by-helm"
    kustomize "$dir/options" | normal >"$dir/by-kustomize"
    diff "$dir/by-kustomize" "$dir/by-helm"
    grep -F '"--uninstall", "--stay"' "$dir/by-helm"
    grep -F '"verbs": ["watch"]' "$dir/by-helm"
    echo '{"watch": {"enabled": true, "namespaces": ["shop"]}}' >"$dir/values.json"
    render "$dir/values.json" | grep -F 'name: "system:serviceaccounts:shop"'
    # More than one range, for all nodes and for one; the shipped one is gone then.
    echo '{"cni": {"ipam": {"ranges": [[{"subnet": "10.9.0.0/24"}], [{"subnet": "fd00:9::/64"}]]}},
        "nodes": {"n1": {"ipam": {"ranges": [[{"subnet": "10.9.1.0/24"}]]}}}}' >"$dir/values.json"
    render "$dir/values.json" >"$dir/out"
    grep -F '\"ranges\":[[{\"subnet\":\"10.9.0.0/24\"}],[{\"subnet\":\"fd00:9::/64\"}]]' "$dir/out"
    grep -F 'nodes.json: "{\"n1\":{\"ipam\":{\"ranges\":[[{\"subnet\":\"10.9.1.0/24\"}]]}}}"' "$dir/out"
    run ! grep -F 10.88.0.0 "$dir/out"
    # Sidecars that Kubernetes does not know are not asked for.
    echo '{}' >"$dir/values.json"
    KUBE_VERSION=v1.28.3 run ! render "$dir/values.json"
    [[ "$output" = *'Kubernetes v1.28.3 has no native sidecars: set injection.nativeSidecar=false'* ]]
    echo '{"injection": {"nativeSidecar": false}}' >"$dir/values.json"
    KUBE_VERSION=v1.28.3 render "$dir/values.json" | grep -F '\"nativeSidecar\":false'
    # Values get where they belong.
    echo '{"cni": {"link": {"bridge": "br9"}}, "injection": {"stacks": ["a", "b"]}, "images": {"repository": "r.example/x", "tag": "2"},
        "injector": {"replicas": 3, "caBundle": "QUJD"}}' >"$dir/values.json"
    render "$dir/values.json" >"$dir/out"
    grep -F '\"bridge\":\"br9\"' "$dir/out"
    grep -F 'image: r.example/x/dmm-cni:2' "$dir/out"
    grep -F 'r.example/x/dmm-stackd:2' "$dir/out"
    grep -F 'caBundle: QUJD' "$dir/out"
    grep -F 'replicas: 3' "$dir/out"
    normal <"$dir/out" >/dev/null
    /usr/bin/python3 - "$TOP/deploy/helm/dmm" <<'PY'
import json, sys, jsonschema, yaml
root = sys.argv[1]
schema = json.load(open(root + "/values.schema.json"))
jsonschema.Draft7Validator.check_schema(schema)
values = yaml.safe_load(open(root + "/values.yaml"))
jsonschema.validate(values, schema)
for change in ({"link": "wire"}, {"mode": "solo"}, {"lnik": 1}, {"injector": {"replicas": 0}}, {"cni": {"mode": "alone"}},
               {"injection": {"hugepagesMi": -1}}, {"watch": {"enabled": True}}, {"images": {"repository": "r"}}):
    try:
        jsonschema.validate({**values, **change}, schema)
    except jsonschema.ValidationError:
        continue
    raise SystemExit(f"{change} is accepted")
PY
    command -v helm >/dev/null || return 0
    helm lint --strict "$TOP/deploy/helm/dmm"
    for change in link=wire mode=solo lnik=1 injector.replicas=0 cni.mode=alone injection.hugepagesMi=-1; do
        run ! helm template dmm "$TOP/deploy/helm/dmm" --set "$change"
        grep -E -- "- (\(root\): .* ${change%=*} |${change%=*}: )" <<<"$output"
    done
}

every_kind() { # FOLDER: what deploy/ can make, all that is optional included, and a pod
    local folder
    mkdir "$1/options"
    folder=$(realpath --relative-to="$1/options" "$KUSTOMIZE")
    printf 'resources: [%s/overlays/veth-multus]\ncomponents: [%s/watch, %s/uninstall]\n' "$folder" "$folder" "$folder" \
        >"$1/options/kustomization.yaml"
    kustomize "$1/options"
    echo ---
    cat "$TOP/examples/kubernetes/nginx.yaml"
}

@test "manifests: typed decoding finds no unknown field, in deploy/, the examples and what is injected" {
    /usr/bin/python3 -c 'import kubernetes' || skip "no python3-kubernetes: nothing here knows the types"
    local overlay file dir=$BATS_TEST_TMPDIR
    for overlay in "$KUSTOMIZE"/overlays/*; do
        kustomize "$overlay" | "$TOP/tests/e2e/typed.py"
    done
    every_kind "$dir" >"$dir/all.yaml"
    "$TOP/tests/e2e/typed.py" <"$dir/all.yaml"
    "$TOP/deploy/certs" secret "$dir/certs" | "$TOP/tests/e2e/typed.py"
    for file in "$TOP"/examples/kubernetes/*.yaml; do
        "$TOP/tests/e2e/typed.py" <"$file"
        /usr/bin/python3 "$TOP/tests/e2e/cri/inject.py" "$BUILD/dmm-injector" "$KUSTOMIZE/links/veth/injector.json" "$file" |
            "$TOP/tests/e2e/typed.py"
    done
}

@test "manifests: typed decoding does find what is wrong, in every kind" {
    /usr/bin/python3 -c 'import kubernetes' || skip "no python3-kubernetes: nothing here knows the types"
    local dir=$BATS_TEST_TMPDIR kinds change
    every_kind "$dir" >"$dir/all.yaml"
    kinds=$(grep -c '^kind:' "$dir/all.yaml")
    [ "$kinds" -ge 14 ]
    run -1 "$TOP/tests/e2e/typed.py" < <(sed 's/^kind:/unknown: 1\n&/' "$dir/all.yaml")
    [ "$(grep -c '\.unknown: no such field' <<<"$output")" -eq "$kinds" ]
    for change in readOnlyRootFilesystem/readOnlyRootFileSystem failurePolicy/failPolicy verbs/verb \
        minAvailable/minimum targetPort/toPort mountPath/path; do
        run -1 "$TOP/tests/e2e/typed.py" < <(sed "s/$change/" "$dir/all.yaml")
        grep -F ".${change#*/}: no such field" <<<"$output" || [ "${change#*/}" = path ]
    done
    grep -F 'mountPath: is required' <<<"$output"
    run -1 "$TOP/tests/e2e/typed.py" < <(sed 's/hostNetwork: true/hostNetwork: "true"/' "$dir/all.yaml")
    grep -F 'hostNetwork: "true" is no bool' <<<"$output"
    run -1 "$TOP/tests/e2e/typed.py" < <(sed 's/apps\/v1/extensions\/v1/' "$dir/all.yaml")
    grep -F 'extensions/v1 has no such kind' <<<"$output"
}

@test "deploy/certs: a certificate for the service that the webhook is asked by, and the bundle of its CA" {
    local dir=$BATS_TEST_TMPDIR/certs
    "$TOP/deploy/certs" secret "$dir" | json | jq -r '.data["tls.crt"]' | base64 -d >"$BATS_TEST_TMPDIR/crt"
    "$TOP/deploy/certs" bundle "$dir" | base64 -d >"$BATS_TEST_TMPDIR/ca"
    openssl verify -CAfile "$BATS_TEST_TMPDIR/ca" -verify_hostname dmm-injector.dmm-system.svc -purpose sslserver "$BATS_TEST_TMPDIR/crt"
    [ "$(stat -c %a "$dir/ca.key")" = 600 ]
    # Again: another certificate, the same CA.
    "$TOP/deploy/certs" secret "$dir" >/dev/null
    "$TOP/deploy/certs" bundle "$dir" | base64 -d | cmp - "$BATS_TEST_TMPDIR/ca"
    run ! "$TOP/deploy/certs" bundle "$BATS_TEST_TMPDIR/none"
}
