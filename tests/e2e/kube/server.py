#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""An HTTPS server that answers for pods as a Kubernetes API server does, well or badly.

    server.py CERTIFICATE KEY CLIENT-CA LOG      prints its port, then serves

The pod's name chooses what happens: "ok", "bare" (no annotations), "both", "other-uid", "slow", "cut",
"huge", "not-json", "no-pod", "flaky" (503 twice, then well), or a status code. Who asks needs
"Bearer good" or a client certificate.
"""
import json
import ssl
import sys
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

PREFIX = "/api/v1/namespaces/t/pods/"
certificate, key, client_ca, log = sys.argv[1:]
asked = {}


def pod(name, uid="uid-a", **annotations):
    return json.dumps({"kind": "Pod", "metadata": {"name": name, "uid": uid, "annotations": annotations}})


class Handler(BaseHTTPRequestHandler):
    def answer(self, status, body, length=None):
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(length or len(body)))
        self.end_headers()
        self.wfile.write(body.encode())

    def known(self):
        return self.headers.get("Authorization") == "Bearer good" or bool(self.connection.getpeercert())

    def do_GET(self):
        name = self.path.removeprefix(PREFIX)
        asked[name] = asked.get(name, 0) + 1
        with open(log, "a", encoding="utf-8") as file:
            print(name, file=file)
        if not self.path.startswith(PREFIX) or not self.known():
            self.answer(401, json.dumps({"kind": "Status", "message": "Unauthorized"}))
        elif name.isdigit():
            self.answer(int(name), json.dumps({"kind": "Status"}))
        elif name == "slow":
            time.sleep(5)
        elif name == "cut":
            self.answer(200, pod(name)[:40], length=4000)
        elif name == "not-json":
            self.answer(200, pod(name)[:40])
        elif name == "huge":
            self.answer(200, pod(name, x="x" * 6_000_000))
        elif name == "no-pod":
            self.answer(200, "[]")
        elif name == "bare":
            self.answer(200, json.dumps({"metadata": {"uid": "uid-a"}}))
        elif name == "other-uid":
            self.answer(200, pod(name, uid="uid-b", **{"dmm.fd.io/stack": "fast"}))
        elif name == "both":
            self.answer(200, pod(name, **{"dmm.fd.io/stack": "fast", "dmm.fd.io/mapping": "{}"}))
        elif name == "flaky" and asked[name] <= 2:
            self.answer(503, "{}")
        else:
            self.answer(200, pod(name, **{"dmm.fd.io/stack": "fast"}))

    def log_message(self, *_):
        pass


server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
context.load_cert_chain(certificate, key)
context.load_verify_locations(client_ca)
context.verify_mode = ssl.CERT_OPTIONAL
server.socket = context.wrap_socket(server.socket, server_side=True)
print(server.server_port, flush=True)
server.serve_forever()
