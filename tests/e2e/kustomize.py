#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""The part of kustomize that deploy/ uses, for machines whose kubectl knows no components: kustomize.py FOLDER

Prints the objects as YAML. A key that is not known here is an error, so nothing is passed over. No hash is put
behind the names of generated ConfigMaps. tests/e2e/manifests.bats holds it to the real one where there is one.
"""
import copy
import os
import sys

import yaml

KEYS = {"apiVersion", "kind", "namespace", "resources", "components", "labels", "configMapGenerator", "patches"}
CLUSTER_WIDE = {"Namespace", "MutatingWebhookConfiguration", "ClusterRole", "ClusterRoleBinding"}
MERGED_BY = {"containers": "name", "initContainers": "name", "volumes": "name", "env": "name",
             "volumeMounts": "mountPath"}


def only(value, keys, where):
    if set(value) - set(keys):
        sys.exit(f"kustomize.py: {where}: unknown: {', '.join(set(value) - set(keys))}")
    return value


def load(path):
    with open(path, encoding="utf-8") as file:
        return [document for document in yaml.safe_load_all(file) if document]


# ---- patches ----

def merge(into, patch, name=""):
    """A strategic merge: maps by key, lists of MERGED_BY by that key, the patch's entries first; others replaced."""
    if isinstance(into, dict) and isinstance(patch, dict):
        merged = dict(into)
        for key, value in patch.items():
            merged[key] = merge(into[key], value, key) if key in into else copy.deepcopy(value)
        return merged
    if isinstance(into, list) and isinstance(patch, list) and name in MERGED_BY:
        key = MERGED_BY[name]
        theirs = {entry[key]: entry for entry in into}
        ours = [merge(theirs[entry[key]], entry) if entry[key] in theirs else copy.deepcopy(entry) for entry in patch]
        taken = {entry[key] for entry in patch}
        return ours + [entry for entry in into if entry[key] not in taken]
    return copy.deepcopy(patch)


def apply_json(document, operations):
    """RFC 6902: add to a list's end or an object, and replace."""
    document = copy.deepcopy(document)
    for operation in operations:
        *parents, last = operation["path"].split("/")[1:]
        target = document
        for part in parents:
            target = target[int(part)] if isinstance(target, list) else target[part]
        if operation["op"] == "add" and last == "-":
            target.append(operation["value"])
        elif isinstance(target, dict) and (operation["op"] == "add" or operation["op"] == "replace" and last in target):
            target[last] = operation["value"]
        else:
            sys.exit(f"kustomize.py: {operation['op']} {operation['path']}: not known here, or not there")
    return document


def is_target(document, target):
    only(target, ("kind", "name", "labelSelector"), "target")
    labels = document["metadata"].get("labels", {})
    key, _, value = target.get("labelSelector", "").partition("=")
    return (document["kind"] == target["kind"] and target.get("name", document["metadata"]["name"]) ==
            document["metadata"]["name"] and (not key or labels.get(key) == value))


def patched(folder, documents, entry):
    only(entry, ("target", "patch", "path"), "patches")
    patch = yaml.safe_load(entry["patch"]) if "patch" in entry else load(f"{folder}/{entry['path']}")[0]
    if not any(is_target(document, entry["target"]) for document in documents):
        sys.exit(f"kustomize.py: {folder}: patches: no {entry['target']}")
    result = []
    for document in documents:
        if is_target(document, entry["target"]):
            name = document["metadata"]["name"]
            document = apply_json(document, patch) if isinstance(patch, list) else merge(document, patch)
            document["metadata"]["name"] = name
        result.append(document)
    return result


# ---- a folder ----

def config_map(folder, entry):
    only(entry, ("name", "namespace", "files"), "configMapGenerator")
    data = {}
    for path in entry["files"]:
        with open(f"{folder}/{path}", encoding="utf-8") as file:
            data[os.path.basename(path)] = file.read()
    return {"apiVersion": "v1", "kind": "ConfigMap", "data": data,
            "metadata": {"name": entry["name"], "namespace": entry["namespace"]}}


def resources(folder, paths):
    found = []
    for path in paths:
        path = f"{folder}/{path}"
        found += build(path, []) if os.path.isdir(path) else load(path)
    return found


def build(folder, documents):
    """`documents` and what the folder adds to them; a component changes those that were there."""
    conf = only(load(f"{folder}/kustomization.yaml")[0], KEYS, f"{folder}/kustomization.yaml")
    documents = documents + resources(folder, conf.get("resources", []))
    documents += [config_map(folder, entry) for entry in conf.get("configMapGenerator", [])]
    for path in conf.get("components", []):
        documents = build(f"{folder}/{path}", documents)
    for entry in conf.get("patches", []):
        documents = patched(folder, documents, entry)
    for document in documents:
        if "namespace" in conf and document["kind"] not in CLUSTER_WIDE:
            document["metadata"]["namespace"] = conf["namespace"]
        elif "namespace" in conf and document["kind"] == "Namespace":
            document["metadata"]["name"] = conf["namespace"]
        for entry in conf.get("labels", []):
            labels = document["metadata"].setdefault("labels", {})
            labels.update(only(entry, ("pairs",), "labels")["pairs"])
    return documents


if __name__ == "__main__":
    yaml.safe_dump_all(build(sys.argv[-1], []), sys.stdout, sort_keys=False)
