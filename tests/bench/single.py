# SPDX-License-Identifier: Apache-2.0
"""single: figures of one side alone: CNI ADD and DEL, the sidecar's start, its idle CPU and memory."""
import json
import os
import statistics
import subprocess
import time
from concurrent.futures import ThreadPoolExecutor

import pods
from measure import percentiles, process_seconds, pss_bytes

BUILD = os.environ.get("DMM_BUILD", os.path.join(pods.TOP, "build"))
CNI_AT_ONCE = 50


def _cni(plugin, command, netns, conf):
    env = dict(pods.ENV, CNI_COMMAND=command, CNI_CONTAINERID=netns, CNI_IFNAME="net1",
               CNI_NETNS=f"/run/netns/{netns}", CNI_PATH=f"{BUILD}:/usr/lib/cni",
               CNI_ARGS=f"IgnoreUnknown=1;K8S_POD_UID={netns}")
    begin = time.perf_counter()
    subprocess.run([plugin], env=env, input=json.dumps(conf).encode(), check=True, capture_output=True)
    return (time.perf_counter() - begin) * 1e3


def cni_times(batches, progress):
    """Milliseconds of ADD and DEL, ours and Debian's bridge, both with host-local, one at a time and fifty at once
    (each in a network namespace of its own); interleaved."""
    ipam = {"type": "host-local", "dataDir": pods.WORK + "/ipam", "ranges": [[{"subnet": "10.85.0.0/16"}]]}
    common = {"cniVersion": "1.0.0", "name": "bench-cni", "ipam": ipam}
    ours = dict(common, type="dmm", podDir=pods.WORK + "/run", stateDir=pods.WORK + "/state",
                link={"type": "veth", "bridge": "dmmbcni"}, stacks=[{"name": "fast", "type": "tcpip"}])
    theirs = dict(common, type="bridge", bridge="dmmbcni")
    plugins = (("dmm", f"{BUILD}/dmm", ours), ("bridge", "/usr/lib/cni/bridge", theirs))
    names = [f"dmm-bench-cni{i}" for i in range(CNI_AT_ONCE)]
    figures = {}
    for name in names:
        subprocess.run(["ip", "netns", "add", name], check=True)
    try:
        for at_once in (1, CNI_AT_ONCE):
            with ThreadPoolExecutor(at_once) as pool:
                for batch in range(batches):
                    progress(f"CNI, {at_once} at once: batch {batch + 1} of {batches}")
                    for plugin, path, conf in plugins:
                        for command in ("ADD", "DEL"):
                            times = pool.map(lambda n, p=path, c=command, f=conf: _cni(p, c, n, f), names)
                            figures.setdefault(f"{plugin} {command}, {at_once} at once", []).extend(times)
    finally:
        for name in names:
            subprocess.run(["ip", "netns", "del", name], check=False)
        subprocess.run(["ip", "link", "del", "dmmbcni"], check=False)
    return {key: percentiles(samples) for key, samples in figures.items()}


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
