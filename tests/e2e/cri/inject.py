#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""What the API server would keep of a manifest: inject.py INJECTOR CONFIG FILE [SED-LIKE old=new ...]

INJECTOR is the program, with options behind it. Each Pod, and each pod template, goes through `dmm-injector --stdin`; all is printed as YAML.
"""
import json
import subprocess
import sys

import yaml


def injected(command, pod):
    run = subprocess.run(command, input=json.dumps(pod), capture_output=True, text=True)
    if run.returncode:
        sys.exit(run.stderr.strip())
    return json.loads(run.stdout)


def main(injector, config, path, *replacements):
    command = [*injector.split(), "--stdin", "--config", config]
    with open(path, encoding="utf-8") as file:
        text = file.read()
    for replacement in replacements:
        old, new = replacement.split("=", 1)
        if old not in text:
            sys.exit(f"{path} has no {old}")
        text = text.replace(old, new)
    documents = []
    for document in filter(None, yaml.safe_load_all(text)):
        if document["kind"] == "Pod":
            document = injected(command, document)
        elif "template" in document.get("spec", {}):
            document["spec"]["template"] = injected(command, document["spec"]["template"])
        documents.append(document)
    yaml.safe_dump_all(documents, sys.stdout, sort_keys=False)


if __name__ == "__main__":
    main(*sys.argv[1:])
