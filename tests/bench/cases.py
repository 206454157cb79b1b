# SPDX-License-Identifier: Apache-2.0
"""cases: what is measured between two pods. One class a program; each gives (value, CPU-us per operation)."""
import json
import re

from measure import cpu_seconds, wrk_requests
from pods import nginx_conf


class Redis:
    unit, better = "requests/s", "higher"

    def __init__(self, clients, requests, pipeline=1):
        self.clients, self.requests, self.pipeline = clients, requests, pipeline
        self.label = f"redis GET c={clients}" + (f" P={pipeline}" if pipeline > 1 else "")

    server = ("redis-server", "--bind", "0.0.0.0", "--save", "", "--appendonly", "no", "--protected-mode", "no",
              "--maxclients", "4000")

    def start(self, mode):
        mode.serve(*self.server)
        mode.ready("redis-cli", "-h", mode.ip, "ping")

    def measure(self, mode):
        before = cpu_seconds()
        out = mode.ask("redis-benchmark", "-h", mode.ip, "-t", "get", "-d", 64, "-c", self.clients, "-P",
                       self.pipeline, "-n", self.requests, "--csv")
        cpu = cpu_seconds() - before
        rate = float(re.search(r'"GET","([\d.]+)"', out).group(1))
        return rate, cpu * 1e6 / self.requests


class Sockperf:
    unit, better = "us", "lower"

    def __init__(self, percentile):
        self.percentile = percentile
        self.label = f"sockperf TCP 64 B p{percentile}"

    def start(self, mode):
        mode.serve("sockperf", "server", "--tcp", "-i", "0.0.0.0", "-p", "11111")
        mode.ready("sockperf", "ping-pong", "--tcp", "-i", mode.ip, "-p", "11111", "-t", "1")

    def measure(self, mode):
        before = cpu_seconds()
        out = mode.ask("sockperf", "ping-pong", "--tcp", "-i", mode.ip, "-p", "11111", "-m", "64", "-t", "2")
        cpu = cpu_seconds() - before
        wanted = re.search(rf"percentile {self.percentile}(?:\.0+)?\s*=\s*([\d.]+)", out)
        messages = re.search(r"ReceivedMessages=(\d+)", out)
        # sockperf's figure is half of a round trip.
        return float(wanted.group(1)), cpu * 1e6 / max(int(messages.group(1)), 1)


class Iperf:
    unit, better = "Gbit/s", "higher"

    def __init__(self, reverse):
        self.extra = ["-R"] if reverse else []
        self.label = "iperf3 server to client" if reverse else "iperf3 client to server"

    def start(self, mode):
        mode.serve("iperf3", "-s")
        mode.ready("iperf3", "-c", mode.ip, "-t", "1")

    def measure(self, mode):
        before = cpu_seconds()
        out = json.loads(mode.ask("iperf3", "-c", mode.ip, "-t", "3", "-J", *self.extra))
        cpu = cpu_seconds() - before
        received = out["end"]["sum_received"]
        # CPU per MB (10^6 bytes) is the operation here.
        return received["bits_per_second"] / 1e9, cpu * 1e6 / (received["bytes"] / 1e6)


class Nginx:
    unit, better = "requests/s", "higher"

    def __init__(self, close):
        self.extra = ["-H", "Connection: close"] if close else []
        self.label = "nginx 64 B, Connection: close" if close else "nginx 64 B, keep-alive"

    def start(self, mode):
        conf = nginx_conf(mode.name, "server { listen 80; return 200 '" + 64 * "x" + "'; }")
        mode.serve("nginx", "-c", conf)
        mode.ready("curl", "-sf", f"http://{mode.ip}/")

    def measure(self, mode):
        before = cpu_seconds()
        out = mode.ask("wrk", "-t1", "-c50", "-d3", f"http://{mode.ip}/", *self.extra)
        cpu = cpu_seconds() - before
        requests, rate = wrk_requests(out)
        return rate, cpu * 1e6 / max(requests, 1)


# Of one group the server is started once.
GROUPS = [
    [Redis(1, 20000), Redis(50, 200000), Redis(1000, 100000), Redis(50, 500000, pipeline=16)],
    [Sockperf(50), Sockperf(99)],
    [Iperf(False), Iperf(True)],
    [Nginx(False), Nginx(True)],
]
