#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""typed.py < MANIFESTS: decodes each object into its type, as the API server does with --validate=strict.

A field that the type does not have, a value of another type and a required field that is missing are printed with
their paths; then the exit status is 1. The types are those of python3-kubernetes (Kubernetes 1.22), what is newer
and used here is in NEWER, and what other projects define in OTHER.
"""
import json
import re
import sys

import kubernetes.client
import kubernetes.client.models as models
import yaml

# Model: {field: type}, with the Kubernetes version that has it.
NEWER = {
    "V1Container": {"restartPolicy": "str"},  # 1.28: sidecars
}
# k8snetworkplumbingwg's multi-network-policy CRD: its openAPIV3Schema.
OTHER = {
    "NetworkAttachmentDefinition": {"apiVersion": "str", "kind": "str", "metadata": "V1ObjectMeta", "spec": {"config": "str"}},
}
SCALARS = {"str": str, "int": int, "float": (int, float), "bool": bool, "datetime": str}


class Checked:
    """Stands for the object in a model's setters, which refuse None where the field is required."""

    class local_vars_configuration:
        client_side_validation = True


def is_required(model, name):
    try:
        getattr(model, name).fset(Checked(), None)
    except ValueError:
        return True
    return False


def fields_of(type_name):
    """{field: type} of a model, and its required fields."""
    model = getattr(models, type_name)
    fields = {field: model.openapi_types[name] for name, field in model.attribute_map.items()}
    required = [field for name, field in model.attribute_map.items() if is_required(model, name)]
    return {**fields, **NEWER.get(type_name, {})}, required


def faults(value, kind, path):
    """Yields what is wrong with a value that should be of a type."""
    if isinstance(kind, dict):
        yield from faults_of_object(value, kind, [], path)
    elif kind == "object":  # IntOrString and the like
        return
    elif kind in SCALARS:
        if not isinstance(value, SCALARS[kind]) or (kind == "int" and isinstance(value, bool)):
            yield f"{path}: {json.dumps(value)} is no {kind}"
    elif match := re.fullmatch(r"list\[(.*)\]", kind):
        if not isinstance(value, list):
            yield f"{path}: is no list"
            return
        for i, item in enumerate(value):
            yield from faults(item, match[1], f"{path}[{i}]")
    elif match := re.fullmatch(r"dict\(str, (.*)\)", kind):
        if not isinstance(value, dict):
            yield f"{path}: is no map"
            return
        for key, item in value.items():
            yield from faults(item, match[1], f"{path}.{key}")
    else:
        yield from faults_of_object(value, *fields_of(kind), path)


def faults_of_object(value, fields, required, path):
    if not isinstance(value, dict):
        yield f"{path}: is no object"
        return
    for key, item in value.items():
        if key not in fields:
            yield f"{path}.{key}: no such field"
        elif item is not None:
            yield from faults(item, fields[key], f"{path}.{key}")
    for key in required:
        if value.get(key) is None:
            yield f"{path}.{key}: is required"


def type_of(document):
    """Its type, or None where the API has no such kind in that group and version."""
    kind, (group, _, version) = document["kind"], document["apiVersion"].rpartition("/")
    if kind in OTHER:
        return OTHER[kind]
    version = version.capitalize()
    words = (group or "core").removesuffix(".k8s.io").split(".")
    api = getattr(kubernetes.client, "".join(map(str.capitalize, words)) + version + "Api", None)
    snake = re.sub(r"(?<!^)(?=[A-Z])", "_", kind).lower()
    if hasattr(api, "create_" + snake) or hasattr(api, "create_namespaced_" + snake):
        return version + kind
    return None


def main():
    found, n = [], 0
    for document in filter(None, yaml.safe_load_all(sys.stdin)):
        n += 1
        path = f"{document['kind']}/{document['metadata']['name']}"
        kind = type_of(document)
        if kind:
            found += faults(document, kind, path)
        else:
            found.append(f"{path}: {document['apiVersion']} has no such kind")
    if not n:
        found.append("no object")
    print("\n".join(found), end="\n" if found else "")
    return bool(found)


if __name__ == "__main__":
    sys.exit(main())
