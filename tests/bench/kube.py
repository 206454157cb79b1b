# SPDX-License-Identifier: Apache-2.0
"""kube: what Kubernetes adds: a pod's way from creation to the first byte on real containerd, and the webhook.

The pods are those of the tests (tests/e2e/k8s_lib.bash, tests/e2e/cri): two nodes that differ by DMM alone."""
import json
import os
import re
import shutil
import socket
import statistics
import subprocess
import sys
import tempfile
import time

import pods
from measure import percentiles, wrk_latency, wrk_requests

E2E = os.path.join(pods.TOP, "tests", "e2e")
EXAMPLE = os.path.join(pods.TOP, "examples", "kubernetes", "nginx.yaml")
CONFIG = os.path.join(pods.TOP, "deploy", "kustomize", "links", "veth", "injector.json")
PLAIN, DMM = "without DMM", "with DMM"
NODES = (("a", PLAIN), ("b", DMM))
PREFIX = "k8sbench"
FOLDER = f"/run/dmm-test-{PREFIX}"
PROBE_SECONDS = 0.01  # between two startup probes; a kubelet's shortest period is a second
PODS_A_ROUND = 4
REVIEW_SECONDS = 3


def _bash(script):
    """With the functions of the tests; what they would skip for ends it."""
    text = f'skip() {{ echo "$1"; exit 77; }}; source {E2E}/k8s_lib.bash; DIR={FOLDER}; {script}'
    return subprocess.run(["bash", "-euc", text], text=True, capture_output=True, check=False)


def _up():
    """The nodes; returns why there are none, or None."""
    made = _bash(f"""k8s_setup {PREFIX}
        node_conf a 1 chained '.plugins |= [.[0]]'; node_start a
        node_conf b 2 chained; node_start b; node_bridge b 2""")
    if made.returncode == 77:
        return made.stdout.strip()
    if made.returncode:
        raise SystemExit(f"nodes: {made.stdout}{made.stderr}")
    return None


def _worker(node):
    """A process in the node's namespaces, which starts a pod for each line that it reads."""
    pid = _bash(f"node_pid {node}").stdout.strip()
    return subprocess.Popen(["nsenter", "-t", pid, "--net", "--mount", "--pid", "/usr/bin/python3", __file__,
                             f"{FOLDER}/{node}"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)


def _specs(build):
    """The example's nginx, as it is and as the injector makes it. It is asked, so it needs no probe of its own."""
    import yaml

    with open(EXAMPLE, encoding="utf-8") as file:
        pod = next(yaml.safe_load_all(file))
    for probe in ("readinessProbe", "livenessProbe"):
        pod["spec"]["containers"][0].pop(probe, None)
    text = json.dumps(pod)
    made = subprocess.run([f"{build}/dmm-injector", "--stdin", "--config", CONFIG], input=text, text=True,
                          capture_output=True, check=True).stdout
    return {PLAIN: pod, DMM: json.loads(made)}


def pod_start(build, rounds, progress):
    """Milliseconds from the pod's creation to the first byte of an answer, and to what comes before that."""
    reason = _up()
    if reason:
        return {"skipped": reason}
    specs, samples, workers = _specs(build), {}, {}
    try:
        for node, label in NODES:
            workers[label] = _worker(node)
        for turn in range(rounds * PODS_A_ROUND + 1):
            for _, label in NODES:
                progress(f"pod to first byte: {label}, pod {turn} of {rounds * PODS_A_ROUND}")
                workers[label].stdin.write(json.dumps(specs[label]) + "\n")
                workers[label].stdin.flush()
                line = workers[label].stdout.readline()
                if not line:
                    raise SystemExit(f"pod {label}: did not start")
                if turn:  # the first one fills caches
                    for part, value in json.loads(line).items():
                        samples.setdefault(label, {}).setdefault(part, []).append(value)
    finally:
        for worker in workers.values():
            worker.stdin.close()
            worker.wait(timeout=60)
        _bash("k8s_teardown")
    return {label: {part: percentiles(values) for part, values in parts.items()} for label, parts in samples.items()}


def _certificate(folder):
    subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days",
                    "2", "-subj", "/CN=dmm-injector", "-keyout", f"{folder}/key", "-out", f"{folder}/crt"],
                   check=True, capture_output=True)


def _review(folder):
    """wrk's script: the review of the example's nginx."""
    sys.path.insert(0, os.path.join(E2E, "injector"))
    import ask

    body = json.dumps(ask.review(ask.first_pod(EXAMPLE)))
    with open(f"{folder}/review.lua", "w", encoding="ascii") as file:
        file.write(f'wrk.method = "POST"\nwrk.headers["Content-Type"] = "application/json"\nwrk.body = [==[{body}]==]\n')


def _port(log):
    """Of its line `ready: port N`."""
    end = time.monotonic() + 20
    while time.monotonic() < end:
        with open(log, encoding="utf-8") as file:
            found = re.search(r"ready: port (\d+)", file.read())
        if found:
            return found.group(1)
        time.sleep(0.01)
    raise SystemExit("the injector does not begin")


def injector(build, rounds, progress):
    """Latency and rate of the webhook over TLS; medians of the rounds."""
    folder = tempfile.mkdtemp()
    _certificate(folder)
    _review(folder)
    with open(f"{folder}/log", "w", encoding="utf-8") as log:
        server = subprocess.Popen([f"{build}/dmm-injector", "--config", CONFIG, "--cert", f"{folder}/crt", "--key",
                                   f"{folder}/key", "--port", "0"], stderr=log)
    cases = {"1 connection": ["-c1"], "16 connections": ["-c16"],
             "16 connections, a handshake each": ["-c16", "-H", "Connection: close"]}
    samples = {}
    try:
        port = _port(f"{folder}/log")
        for turn in range(rounds):
            for label, options in cases.items():
                progress(f"injector: {label}, round {turn + 1} of {rounds}")
                out = subprocess.run(["wrk", "-t1", f"-d{REVIEW_SECONDS}", "--latency", "-s", f"{folder}/review.lua",
                                      *options, f"https://127.0.0.1:{port}/mutate"], text=True, capture_output=True,
                                     check=True).stdout
                if "Non-2xx" in out:
                    raise SystemExit(f"injector: {out}")
                figures = {"reviews_per_second": wrk_requests(out)[1], **wrk_latency(out)}
                for key, value in figures.items():
                    samples.setdefault(label, {}).setdefault(key, []).append(value)
    finally:
        server.terminate()
        server.wait(timeout=20)
        shutil.rmtree(folder)
    return {label: {key: statistics.median(values) for key, values in figures.items()}
            for label, figures in samples.items()}


def run(build, rounds, progress):
    return {"pod_ms": pod_start(build, rounds, progress), "injector": injector(build, rounds, progress)}


# ---- on the node ----

def _first_byte(address):
    end = time.monotonic() + 20
    while True:
        try:
            with socket.create_connection((address, 80), timeout=5) as link:
                link.sendall(b"GET / HTTP/1.0\r\n\r\n")
                if link.recv(1):
                    return time.perf_counter()
        except OSError:
            pass
        if time.monotonic() > end:
            raise SystemExit(f"{address}: nothing is served")
        time.sleep(0.001)


def _stack_address(pod):
    """Of net1 where the pod has it, so that it is the stack that serves."""
    try:
        with open(f"/run/dmm/pods/{pod.metadata['uid']}/ports/net1.json", encoding="utf-8") as file:
            return json.load(file)["addresses"][0].split("/")[0]
    except FileNotFoundError:
        return pod.ip


def _node(folder):
    sys.path.insert(0, os.path.join(E2E, "cri"))
    import uuid

    import kubelet

    kubelet.PERIOD = PROBE_SECONDS

    class Timed(kubelet.Node):
        """Notes when the sandbox was there, and when the app's container began."""

        def start(self, *args):
            self.starts.append(time.perf_counter())
            return super().start(*args)

    node = Timed(folder)
    for line in sys.stdin:
        spec, node.starts = json.loads(line), []
        spec["metadata"].update(namespace="default", uid=str(uuid.uuid4()))
        begin = time.perf_counter()
        pod = kubelet.Pod(node, spec, {})
        pod.save()
        node.pods[spec["metadata"]["name"]] = pod
        node.sync_pod(pod)
        end = _first_byte(_stack_address(pod))
        print(json.dumps({"sandbox": (node.starts[0] - begin) * 1e3, "app_started": (node.starts[-1] - begin) * 1e3,
                          "first_byte": (end - begin) * 1e3}), flush=True)
        node.delete(spec["metadata"]["name"])


if __name__ == "__main__":
    _node(sys.argv[1])
