#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Builds the images of programs that the tests run: apps.py OUT-FOLDER PAUSE-PROGRAM [MUSL-PROGRAM]

Debian's own nginx, redis and memcached under the names that examples/kubernetes uses, with the layout and
the start command of the images that a cluster would pull. A registry is not asked.
"""
import os
import shutil
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "../../../deploy/image"))
import debian
import oci

NGINX_CONF = b"""user nginx;
worker_processes auto;
error_log /dev/stderr notice;
pid /run/nginx.pid;
events { worker_connections 1024; }
http {
    include /etc/nginx/mime.types;
    access_log off;
    sendfile on;
    include /etc/nginx/conf.d/*.conf;
}
"""
NGINX_SITE = b"""server {
    listen 80;
    location / { root /usr/share/nginx/html; index index.html; }
}
"""
TOOLS = ("sh", "sleep", "cat", "ls", "id", "env", "curl", "getent", "grep")


def libc(layer):
    """All of it, as every image of a distribution with glibc has: also what the programs at hand do not name."""
    debian.add_package(layer, "libc6", lambda path: "/ld-" not in path and path.endswith((".so.0", ".so.1", ".so.2", ".so.6")))


def programs(layer, *names):
    for name in names:
        path = shutil.which(name, path="/usr/sbin:/usr/bin")
        if not path:
            raise SystemExit(f"{name} is not installed: make deps")
        debian.add_program(layer, os.path.realpath(path), debian.place(path))


def nginx(layer):
    programs(layer, "nginx", *TOOLS)
    debian.add_file(layer, "/etc/nginx/mime.types")
    layer.file("etc/nginx/nginx.conf", NGINX_CONF)
    layer.file("etc/nginx/conf.d/default.conf", NGINX_SITE)
    layer.file("usr/share/nginx/html/index.html", b"Welcome to nginx!\n")
    for folder in ("var/log/nginx", "var/lib/nginx"):
        layer.folder(folder)
    return ["nginx", "-g", "daemon off;"]


def redis(layer):
    programs(layer, "redis-server", "redis-cli", "redis-benchmark", *TOOLS)
    return ["redis-server", "--bind", "0.0.0.0", "--protected-mode", "no", "--save", ""]


def memcached(layer):
    programs(layer, "memcached", *TOOLS)
    return ["memcached", "-u", "nobody"]


IMAGES = {"nginx": ("docker.io/library/nginx:stable", nginx), "redis": ("docker.io/library/redis:7", redis),
          "memcached": ("docker.io/library/memcached:1.6", memcached)}


def musl(out, program):
    """A distribution on musl: its linker, which is its libc, and one program."""
    layer = oci.Layer(0)
    debian.base(layer)
    debian.add_file(layer, program, "usr/bin/get")
    debian.add_file(layer, "/lib/x86_64-linux-musl/libc.so", "usr/lib/ld-musl-x86_64.so.1")
    oci.write_archive(f"{out}/musl.tar", "test.local/musl:1", layer, {"Cmd": ["/usr/bin/get", "sleep"]}, {}, compress=False)


def main(out, pause, *musl_program):
    os.makedirs(out, exist_ok=True)
    layer = oci.Layer(0)
    debian.base(layer)
    debian.add_file(layer, pause, "pause")
    oci.write_archive(f"{out}/pause.tar", "test.local/pause:1", layer, {"Entrypoint": ["/pause"]}, {}, compress=False)
    for program in musl_program:
        musl(out, program)
    for name, (reference, make) in IMAGES.items():
        layer = oci.Layer(0)
        debian.base(layer, [("nginx", 101), ("nobody", 65534)])
        libc(layer)
        command = make(layer)
        oci.write_archive(f"{out}/{name}.tar", reference, layer,
                          {"Cmd": command, "Env": ["PATH=/usr/sbin:/usr/bin:/sbin:/bin"]}, {}, compress=False)


if __name__ == "__main__":
    main(*sys.argv[1:])
