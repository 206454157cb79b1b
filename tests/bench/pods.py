# SPDX-License-Identifier: Apache-2.0
"""pods: the pods that the benchmarks run in, made by examples/pod, with servers that end with them."""
import os
import shutil
import subprocess
import time

TOP = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
POD = os.path.join(TOP, "examples", "pod")
LAB = "/run/dmm/bench"
WORK = LAB + ".work"

ENV = dict(os.environ, DMM_EXAMPLES_DIR=LAB, DMM_EXAMPLES_BRIDGE="dmmbench",
           DMM_EXAMPLES_SUBNET="10.86.0.0/16")


def pod(*args, **kwargs):
    return subprocess.run([POD, *args], env=ENV, check=True, text=True, capture_output=True, **kwargs).stdout.strip()


class Mode:
    """A way to join a server pod and a client pod: its name, how both are brought up, and whether programs in
    them run with the shim."""

    def __init__(self, name, label, args, shim, link=None):
        self.name, self.label, self.args, self.shim, self.link = name, label, args, shim, link
        self.server, self.client = f"{name}-s", f"{name}-c"
        self.processes = []

    def up(self):
        link = ["--link", self.link] if self.link else []
        peer = ["--peer", self.server] if self.link == "vhostuser" else []
        pod("up", self.server, *self.args, *link)
        pod("up", self.client, *self.args, *link, *peer)
        self.ip = pod("ip", self.server)

    def command(self, where, *cmd):
        return [POD, "exec", *([] if self.shim else ["--plain"]), where, *map(str, cmd)]

    def serve(self, *cmd):
        process = subprocess.Popen(self.command(self.server, *cmd), env=ENV, stdin=subprocess.DEVNULL,
                                   stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        self.processes.append(process)
        return process

    def ask(self, *cmd, timeout=120):
        result = subprocess.run(self.command(self.client, *cmd), env=ENV, text=True, capture_output=True,
                                timeout=timeout, check=False)
        if result.returncode:
            raise SystemExit(f"{self.label}: {' '.join(map(str, cmd))}: status {result.returncode}\n"
                             f"{result.stdout}{result.stderr}")
        return result.stdout

    def ready(self, *cmd):
        """Waits until the client's CMD succeeds; 20 seconds at most."""
        end = time.monotonic() + 20
        while time.monotonic() < end:
            try:
                if subprocess.run(self.command(self.client, *cmd), env=ENV, timeout=8, check=False,
                                  capture_output=True).returncode == 0:
                    return
            except subprocess.TimeoutExpired:
                pass
            time.sleep(0.1)
        raise SystemExit(f"{self.label}: {' '.join(map(str, cmd))} does not succeed within 20 s")

    def sidecar_pid(self, where):
        return int(pod("sidecar", where, "pid"))

    def stop(self):
        for process in self.processes:
            process.terminate()
        for process in self.processes:
            process.wait(timeout=10)
        self.processes = []

    def down(self):
        self.stop()
        for name in (self.client, self.server):
            subprocess.run([POD, "down", name], env=ENV, check=False)


def clean():
    listed = subprocess.run([POD, "list"], env=ENV, text=True, capture_output=True, check=False).stdout
    for line in listed.splitlines():
        subprocess.run([POD, "down", line.split()[0]], env=ENV, check=False)
    shutil.rmtree(LAB, ignore_errors=True)
    shutil.rmtree(WORK, ignore_errors=True)


def nginx_conf(name, body):
    folder = f"{WORK}/{name}"
    os.makedirs(folder, exist_ok=True)
    os.chmod(WORK, 0o755)
    os.chmod(folder, 0o777)
    temps = "".join(f"{t}_temp_path {folder}/{t};" for t in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi"))
    with open(f"{folder}.conf", "w", encoding="ascii") as f:
        f.write(f"daemon off; worker_processes 1; pid {folder}/pid; error_log {folder}/error.log;\n"
                f"events {{ worker_connections 8192; }}\n"
                f"http {{ access_log off; keepalive_requests 10000000; {temps} {body} }}\n")
    return f"{folder}.conf"
