#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Builds DMM's images as OCI archives, without a registry, from this machine's Debian packages and build/.

    build.py [--build DIR] [--out DIR] [--tag TAG] [NAME...]

The same inputs give the same bytes. SOURCE_DATE_EPOCH dates all files (default: the last commit).
Load them:  ctr -n k8s.io images import build/images/dmm-stackd.tar     or     podman load -i ...
"""
import argparse
import os
import re
import subprocess
import sys

import debian
import oci

TOP = os.path.normpath(os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", ".."))
REPOSITORY = "dmm.fd.io"
DMM_USER = ("dmm", 65532)
NONROOT = "65532:65532"


def lwip():
    """The library that the stack lwip loads by name, when it is used."""
    cache = subprocess.run(["/sbin/ldconfig", "-p"], capture_output=True, text=True, check=True).stdout
    found = re.search(r"liblwip\.so\.\S* .*=> (\S+)", cache)
    return found and found.group(1)


def stackd(layer, build):
    debian.add_program(layer, f"{build}/dmm-stackd", "usr/bin/dmm-stackd", strip=True)
    debian.add_program(layer, f"{build}/dmmctl", "usr/bin/dmmctl", strip=True)
    library = lwip()
    if not library:
        raise SystemExit("liblwip is not installed: make deps")
    debian.add_program(layer, library)
    return {"Entrypoint": ["/usr/bin/dmm-stackd"], "User": NONROOT}


def shim(layer, build):
    debian.add_file(layer, f"{build}/dmm-shim", "dmm-shim", strip=True)
    debian.add_file(layer, f"{build}/libdmm.so", "shim/glibc/libdmm.so", strip=True)
    if os.path.exists(f"{build}/libdmm-musl.so"):
        debian.add_file(layer, f"{build}/libdmm-musl.so", "shim/musl/libdmm.so", strip=True)
    return {"Entrypoint": ["/dmm-shim"], "Cmd": ["/dmm"], "User": NONROOT}


def cni(layer, build):
    debian.add_program(layer, f"{build}/dmm", "usr/lib/cni/dmm", strip=True)
    debian.add_file(layer, f"{build}/dmm-kube", "usr/lib/cni/dmm-kube", strip=True)  # runs with the node's libraries
    debian.add_program(layer, f"{build}/dmm-install", "usr/bin/dmm-install", strip=True)
    for name in sorted(os.listdir(f"{TOP}/deploy/seccomp")):
        debian.add_file(layer, f"{TOP}/deploy/seccomp/{name}", f"usr/lib/dmm/seccomp/{name}")
    return {"Entrypoint": ["/usr/bin/dmm-install"]}  # root: it writes folders of the node


def injector(layer, build):
    debian.add_program(layer, f"{build}/dmm-injector", "usr/bin/dmm-injector", strip=True)
    return {"Entrypoint": ["/usr/bin/dmm-injector"], "User": NONROOT}


IMAGES = {
    "dmm-stackd": (stackd, "The sidecar of DMM: user-space network stacks for one pod"),
    "dmm-shim": (shim, "Copies DMM's preload library into a pod's shared volume"),
    "dmm-cni": (cni, "Installs DMM's CNI plugin on a node"),
    "dmm-injector": (injector, "Mutating admission webhook that adds DMM to annotated pods"),
}


def epoch():
    given = os.environ.get("SOURCE_DATE_EPOCH")
    if not given:
        run = subprocess.run(["git", "-C", TOP, "log", "-1", "--format=%ct"], capture_output=True, text=True)
        given = run.stdout.strip() or "0"
    if not given.isdecimal():
        raise SystemExit(f'SOURCE_DATE_EPOCH: "{given}" is not a number of seconds')
    return int(given)


def version():
    with open(f"{TOP}/common/version.h", encoding="utf-8") as file:
        return re.search(r'DMM_VERSION\s+"([^"]+)"', file.read()).group(1)


def build_image(name, build, out, tag):
    make, title = IMAGES[name]
    layer = oci.Layer(epoch())
    debian.base(layer, [DMM_USER])
    config = make(layer, build)
    layer.file(f"usr/share/doc/{name}/copyright", open(f"{TOP}/LICENSE", "rb").read())
    config.setdefault("Env", ["PATH=/usr/bin:/usr/sbin"])
    labels = {"org.opencontainers.image.title": name, "org.opencontainers.image.description": title,
              "org.opencontainers.image.version": version(), "org.opencontainers.image.licenses": "Apache-2.0"}
    path = f"{out}/{name}.tar"
    oci.write_archive(path, f"{REPOSITORY}/{name}:{tag}", layer, config, labels)
    return path


def main():
    parser = argparse.ArgumentParser(description="Builds DMM's images as OCI archives.")
    parser.add_argument("--build", default=f"{TOP}/build", help="where make put the programs")
    parser.add_argument("--out", default=f"{TOP}/build/images")
    parser.add_argument("--tag", default=version())
    parser.add_argument("names", nargs="*", metavar="NAME", help="of: " + ", ".join(IMAGES))
    arguments = parser.parse_args()
    unknown = [name for name in arguments.names if name not in IMAGES]
    if unknown:
        parser.error(f"no image {', '.join(unknown)}; there are {', '.join(IMAGES)}")
    os.makedirs(arguments.out, exist_ok=True)
    for name in arguments.names or IMAGES:
        path = build_image(name, arguments.build, arguments.out, arguments.tag)
        print(f"{os.path.getsize(path) / 1e6:6.1f} MB  {REPOSITORY}/{name}:{arguments.tag}  {path}")


if __name__ == "__main__":
    sys.exit(main())
