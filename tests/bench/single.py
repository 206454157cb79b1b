# SPDX-License-Identifier: Apache-2.0
"""single: figures of one side alone: CNI ADD and DEL, the sidecar's start, its idle CPU and memory."""
import json
import os
import statistics
import subprocess
import time

import pods
from measure import process_seconds, pss_bytes


def _cni(plugin, command, netns, conf):
    env = dict(pods.ENV, CNI_COMMAND=command, CNI_CONTAINERID="bench-cni", CNI_IFNAME="net1",
               CNI_NETNS=f"/run/netns/{netns}", CNI_PATH=f"{pods.TOP}/build:/usr/lib/cni",
               CNI_ARGS="IgnoreUnknown=1;K8S_POD_UID=bench-cni")
    begin = time.perf_counter()
    subprocess.run([plugin], env=env, input=json.dumps(conf).encode(), check=True, capture_output=True)
    return (time.perf_counter() - begin) * 1e3


def cni_times(rounds):
    """Milliseconds of ADD and DEL, ours and Debian's bridge, both with host-local; interleaved medians."""
    netns = "dmm-bench-cni"
    ipam = {"type": "host-local", "dataDir": pods.WORK + "/ipam", "ranges": [[{"subnet": "10.85.0.0/16"}]]}
    common = {"cniVersion": "1.0.0", "name": "bench-cni", "ipam": ipam}
    ours = dict(common, type="dmm", podDir=pods.WORK + "/run", stateDir=pods.WORK + "/state",
                link={"type": "veth", "bridge": "dmmbcni"}, stacks=[{"name": "fast", "type": "tcpip"}])
    theirs = dict(common, type="bridge", bridge="dmmbcni")
    figures = {key: [] for key in ("dmm ADD", "dmm DEL", "bridge ADD", "bridge DEL")}
    subprocess.run(["ip", "netns", "add", netns], check=True)
    try:
        for _ in range(rounds):
            for name, plugin, conf in (("dmm", f"{pods.TOP}/build/dmm", ours), ("bridge", "/usr/lib/cni/bridge", theirs)):
                figures[name + " ADD"].append(_cni(plugin, "ADD", netns, conf))
                figures[name + " DEL"].append(_cni(plugin, "DEL", netns, conf))
    finally:
        subprocess.run(["ip", "netns", "del", netns], check=False)
        subprocess.run(["ip", "link", "del", "dmmbcni"], check=False)
    return {key: statistics.median(values) for key, values in figures.items()}


def sidecar_start(mode, rounds):
    """Milliseconds from exec to an answer of the health check (examples/pod polls it each 50 ms at most)."""
    times = []
    for _ in range(rounds):
        pods.pod("sidecar", mode.server, "stop")
        begin = time.perf_counter()
        pods.pod("sidecar", mode.server, "start")
        times.append((time.perf_counter() - begin) * 1e3)
    return statistics.median(times)


def sidecar_idle(mode, seconds):
    """Percent of one core, over so many seconds without traffic; and its PSS in MB."""
    pid = mode.sidecar_pid(mode.server)
    before = process_seconds(pid)
    time.sleep(seconds)
    return (process_seconds(pid) - before) / seconds * 100, pss_bytes(pid) / 1e6


HOLD = """
import socket, sys, time
held = [socket.create_connection((sys.argv[1], 6379)) for _ in range(int(sys.argv[2]))]
print('held', flush=True); time.sleep(60)
"""


def _slab_bytes():
    with open("/proc/meminfo", encoding="ascii") as f:
        return sum(int(line.split()[1]) * 1024 for line in f if line.startswith(("Slab:", "Percpu:")))


def memory_per_connection(mode, connections):
    """Bytes that one idle connection costs at the server: redis, its sidecar if there is one, and the kernel's
    slab (which for the kernel's case counts the client's end too)."""
    server = mode.processes[0].pid
    server = int(subprocess.run(["pgrep", "-P", str(server)], capture_output=True, text=True,
                                check=False).stdout.split()[0]) if not os.path.exists(f"/proc/{server}/smaps_rollup") else server
    pids = [server] + ([mode.sidecar_pid(mode.server)] if mode.shim else [])
    before = sum(map(pss_bytes, pids)) + _slab_bytes()
    holder = subprocess.Popen(mode.command(mode.client, "/usr/bin/python3", "-c", HOLD, mode.ip, connections),
                              env=pods.ENV, stdout=subprocess.PIPE, text=True)
    try:
        if holder.stdout.readline().strip() != "held":
            raise SystemExit(f"{mode.label}: the connections could not be made")
        time.sleep(1)
        return (sum(map(pss_bytes, pids)) + _slab_bytes() - before) / connections
    finally:
        holder.kill()
        holder.wait()
