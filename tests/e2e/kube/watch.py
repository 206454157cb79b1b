#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""An HTTPS server that lets one pod be watched as a Kubernetes API server does, well or badly.

    watch.py CERTIFICATE KEY FOLDER [PORT]      (0: any) prints its port, then serves

FOLDER/pod.json is {"version": N, "annotations": {...}}: whoever watches without a resourceVersion gets it as
ADDED, and each change with a higher version as MODIFIED. FOLDER/mode says how it behaves: "ok"; "close" ends watches;
"expired" and "gone" answer to any version with an event, or the status, 410; "cut", "huge", "noise" break the
stream; a number is the status of the answer. FOLDER/token holds the token that is let in. FOLDER/log gets a line
for each request: the resourceVersion, or "-".
"""
import json
import ssl
import sys
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, urlsplit

certificate, key, folder = sys.argv[1:4]
WANTED = {"watch": ["true"], "allowWatchBookmarks": ["true"]}
NAMES = (["metadata.name=web"], ["metadata.name=watched"])


def read(name):
    with open(f"{folder}/{name}", encoding="utf-8") as file:
        return file.read().strip()


def pod():
    return json.loads(read("pod.json"))


def event(kind, state):
    return {"type": kind, "object": {"kind": "Pod", "metadata": {
        "name": "web", "namespace": "t", "uid": "u1", "resourceVersion": str(state["version"]),
        "annotations": state["annotations"]}}}


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def chunk(self, data):
        self.wfile.write(b"%x\r\n%s\r\n" % (len(data), data))
        self.wfile.flush()

    def send(self, value):
        self.chunk(json.dumps(value).encode() + b"\n")

    def refuse(self, status):
        body = json.dumps({"kind": "Status", "code": status, "message": "no"}).encode()
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def broken(self, mode):
        if mode == "cut":
            self.chunk(json.dumps(event("ADDED", pod())).encode()[:60])
        elif mode == "noise":
            self.chunk(b"\x00\xff{{{\n")
        elif mode == "huge":
            for _ in range(400):
                self.chunk(b"x" * 10000)
        self.chunk(b"")

    def watch(self, version):
        seen = int(version) if version else -1
        while read("mode") == "ok":
            state = pod()
            if state["version"] > seen:
                self.send(event("ADDED" if seen < 0 else "MODIFIED", state))
                seen = state["version"]
            time.sleep(0.05)
        self.chunk(b"")

    def do_GET(self):
        asked = parse_qs(urlsplit(self.path).query)
        version, mode = asked.get("resourceVersion", [""])[0], read("mode")
        with open(f"{folder}/log", "a", encoding="utf-8") as file:
            print(version or "-", file=file)
        if any(asked.get(name) != value for name, value in WANTED.items()) or asked.get("fieldSelector") not in NAMES:
            self.refuse(400)
        elif not self.path.startswith("/api/v1/namespaces/t/pods?"):
            self.refuse(404)
        elif self.headers.get("Authorization") != f"Bearer {read('token')}":
            self.refuse(401)
        elif mode.isdigit():
            self.refuse(int(mode))
        elif mode == "gone" and version:
            self.refuse(410)
        else:
            self.send_response(200)
            self.send_header("Content-Type", "application/json")
            self.send_header("Transfer-Encoding", "chunked")
            self.end_headers()
            if mode == "expired" and version:
                self.send({"type": "ERROR", "object": {"kind": "Status", "code": 410, "message": "too old"}})
                self.chunk(b"")
            elif mode in ("cut", "noise", "huge"):
                self.broken(mode)
            else:
                self.watch(version)

    def log_message(self, *_):
        pass


class Server(ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, *_):
        """Clients that go are what this is for."""


server = Server(("", int(sys.argv[4]) if len(sys.argv) > 4 else 0), Handler)
context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
context.load_cert_chain(certificate, key)
server.socket = context.wrap_socket(server.socket, server_side=True, do_handshake_on_connect=False)
print(server.server_port, flush=True)
server.serve_forever()
