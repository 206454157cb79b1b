#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Asks the webhook as an API server does, over TLS that is checked: ask.py [ADDRESS:]PORT CA VERB [ARGUMENT...]

    pod FILE        CREATE of the first Pod of a YAML or JSON file; prints the pod with the patch applied
    review FILE     sends a file as it is; prints HTTP status and answer
    send N          a body of N bytes; prints the HTTP status
    get PATH        prints status and text
    serial          prints the serial number of the certificate that it is served
    load N          N reviews on one connection; prints p50 and p99 in ms, and reviews a second
"""
import base64
import copy
import http.client
import json
import socket
import ssl
import sys
import time

NAME = "dmm-injector.dmm-system.svc"


class Connection(http.client.HTTPSConnection):
    """To an address, but for the service's name, as the API server dials a service."""

    address = "127.0.0.1"

    def connect(self):
        plain = socket.create_connection((self.address, self.port), timeout=10)
        plain.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.sock = self._context.wrap_socket(plain, server_hostname=NAME)


def connection(place, ca):
    address, _, port = place.rpartition(":")
    link = Connection(NAME, int(port), context=ssl.create_default_context(cafile=ca))
    link.address = address or link.address
    return link


def post(link, body):
    link.request("POST", "/mutate?timeout=10s", body, {"Content-Type": "application/json"})
    answer = link.getresponse()
    return answer.status, answer.read().decode()


def review(pod, operation="CREATE"):
    return {"apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview",
            "request": {"uid": "705ab4f5-6393-11e8-b7cc-42010a800002", "operation": operation, "dryRun": False,
                        "kind": {"group": "", "version": "v1", "kind": "Pod"},
                        "resource": {"group": "", "version": "v1", "resource": "pods"},
                        "namespace": pod["metadata"].get("namespace", "default"),
                        "userInfo": {"username": "admin", "groups": ["system:authenticated"]},
                        "object": pod, "oldObject": None, "options": {"kind": "CreateOptions"}}}


def apply_patch(document, patch):
    """RFC 6902, "add" alone, as the API server does it: the parent must be there."""
    document = copy.deepcopy(document)
    for operation in patch:
        assert operation["op"] == "add", operation
        *parents, last = [part.replace("~1", "/").replace("~0", "~") for part in operation["path"].split("/")[1:]]
        target = document
        for part in parents:
            target = target[int(part)] if isinstance(target, list) else target[part]
        target[last] = operation["value"]
    return document


def injected(link, pod):
    status, text = post(link, json.dumps(review(pod)))
    if status != 200:
        sys.exit(f"{status} {text}")
    response = json.loads(text)["response"]
    if not response["allowed"]:
        sys.exit(f"denied the request: {response['status']['message']}")
    patch = json.loads(base64.b64decode(response["patch"])) if "patch" in response else []
    return apply_patch(pod, patch)


def first_pod(path):
    import yaml

    with open(path, encoding="utf-8") as file:
        return next(document for document in yaml.safe_load_all(file) if document and document["kind"] == "Pod")


def load(link, count):
    pod = {"metadata": {"name": "x", "annotations": {"dmm.fd.io/stack": "fast"}},
           "spec": {"containers": [{"name": f"c{i}", "image": "i", "env": [{"name": "A", "value": "b"}] * 20}
                                   for i in range(3)]}}
    body, times = json.dumps(review(pod)), []
    for _ in range(count):
        start = time.perf_counter()
        status, _ = post(link, body)
        assert status == 200
        times.append(time.perf_counter() - start)
    times.sort()
    print(f"p50 {times[count // 2] * 1e3:.2f} ms, p99 {times[count * 99 // 100] * 1e3:.2f} ms, "
          f"{count / sum(times):.0f} reviews/s")


def main(place, ca, verb, *arguments):
    link = connection(place, ca)
    if verb == "pod":
        print(json.dumps(injected(link, first_pod(arguments[0])), indent=1))
    elif verb == "review":
        with open(arguments[0], "rb") as file:
            print(*post(link, file.read()))
    elif verb == "send":
        print(post(link, b"[" * int(arguments[0]))[0])
    elif verb == "get":
        link.request("GET", arguments[0])
        answer = link.getresponse()
        print(answer.status, answer.read().decode())
    elif verb == "serial":
        link.connect()
        print(link.sock.getpeercert()["serialNumber"])
    elif verb == "load":
        load(link, int(arguments[0]))


if __name__ == "__main__":
    main(*sys.argv[1:])
