# SPDX-License-Identifier: Apache-2.0
"""Fills a layer with programs, the shared libraries that they need, and files of Debian packages.

For each library and file the package that it came from is named in var/lib/dpkg/status.d, as
scanners look for it, and its licence comes along.
"""
import functools
import os
import re
import subprocess
import tempfile

FOLDERS = {"bin": "usr/bin", "sbin": "usr/sbin", "lib": "usr/lib", "lib64": "usr/lib64"}


def base(layer, users=()):
    """What every image has: Debian's layout, root and `users` ((name, id), ...), a world-writable /tmp."""
    for path in ("proc", "sys", "dev", "run", "var", "etc", *FOLDERS.values()):
        layer.folder(path)
    layer.folder("tmp", 0o1777)
    for path, target in FOLDERS.items():
        layer.symlink(path, target)
    users = [("root", 0), *users]
    layer.file("etc/passwd", "".join(f"{n}:x:{i}:{i}::/:/usr/sbin/nologin\n" for n, i in users).encode())
    layer.file("etc/group", "".join(f"{n}:x:{i}:\n" for n, i in users).encode())
    layer.file("etc/nsswitch.conf", b"passwd: files\ngroup: files\nhosts: files dns\n")


def place(path):
    """Where a file of this machine lies in the image: below usr, whichever way it was named."""
    path = path.lstrip("/")
    first, _, rest = path.partition("/")
    return f"{FOLDERS[first]}/{rest}" if first in FOLDERS else path


def _stripped(path):
    with tempfile.NamedTemporaryFile() as out:
        subprocess.run(["strip", "--strip-unneeded", "-o", out.name, path], check=True)
        with open(out.name, "rb") as file:
            return file.read()


def _read(path):
    with open(path, "rb") as file:
        return file.read()


def needed(path):
    """The libraries that the dynamic linker would load for a program or library, itself excluded."""
    run = subprocess.run(["ldd", path], capture_output=True, text=True, env={**os.environ, "LC_ALL": "C"})
    if "not a dynamic executable" in run.stderr + run.stdout or "statically linked" in run.stdout:
        return []
    if run.returncode or "not found" in run.stdout:
        raise SystemExit(f"ldd {path}: {run.stdout}{run.stderr}")
    return sorted(set(re.findall(r"(/\S+) \(0x", run.stdout)))


@functools.lru_cache(maxsize=None)
def package_of(path):
    for name in (path, "/" + place(path), path.replace("/usr/lib", "/lib", 1)):
        run = subprocess.run(["dpkg-query", "-S", name], capture_output=True, text=True)
        if run.returncode == 0:
            return run.stdout.split(": ")[0].split(",")[0]
    return None


def _credit(layer, path):
    package = package_of(path)
    if not package:
        return
    name = package.split(":")[0]
    copyright = f"/usr/share/doc/{name}/copyright"
    if os.path.exists(copyright):
        layer.file(copyright, _read(copyright))
    status = subprocess.run(["dpkg-query", "-s", package], capture_output=True, check=True).stdout
    layer.file(f"var/lib/dpkg/status.d/{name}", status)


def add_file(layer, path, to=None, strip=False):
    layer.file(to or place(path), _stripped(path) if strip else _read(path), 0o755 if os.access(path, os.X_OK) else 0o644)
    _credit(layer, path)


def add_program(layer, path, to=None, strip=False):
    """A program or library with all that it needs."""
    add_file(layer, path, to, strip)
    for library in needed(path):
        add_file(layer, library)


def add_package(layer, name, wanted):
    """Files of an installed package whose path `wanted` (a predicate) takes."""
    listed = subprocess.run(["dpkg-query", "-L", name], capture_output=True, text=True, check=True).stdout.split("\n")
    for path in filter(wanted, listed):
        if os.path.islink(path):
            layer.symlink(place(path), os.readlink(path))
        elif os.path.isfile(path):
            add_file(layer, path)
