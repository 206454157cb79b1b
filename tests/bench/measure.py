# SPDX-License-Identifier: Apache-2.0
"""measure: what the benchmarks have in common: CPU of the whole machine, and the tools' outputs."""
import os
import re

TICK = os.sysconf("SC_CLK_TCK")


def cpu_seconds():
    """CPU time that everything on the machine has used: user, nice, system, irq, softirq.

    All parties are counted this way, also the kernel's work on behalf of nobody in particular; so nothing
    else may run on the machine meanwhile."""
    with open("/proc/stat", encoding="ascii") as f:
        v = [int(x) for x in f.readline().split()[1:]]
    return (v[0] + v[1] + v[2] + v[5] + v[6]) / TICK


def process_seconds(pid):
    """CPU time of one process with all its threads."""
    with open(f"/proc/{pid}/stat", encoding="ascii") as f:
        v = f.read().rsplit(")", 1)[1].split()
    return (int(v[11]) + int(v[12])) / TICK


def pss_bytes(pid):
    """Proportional set size: shared pages are divided among those who map them."""
    with open(f"/proc/{pid}/smaps_rollup", encoding="ascii") as f:
        return int(re.search(r"^Pss:\s+(\d+) kB", f.read(), re.M).group(1)) * 1024


def percentiles(samples):
    ordered = sorted(samples)
    return {f"p{p}": ordered[min(len(ordered) - 1, len(ordered) * p // 100)] for p in (50, 95, 99)}


def wrk_latency(out):
    """{"p50_ms": ..., "p99_ms": ...} of wrk --latency."""
    scale = {"us": 1e-3, "ms": 1, "s": 1e3}
    found = {p: re.search(rf"^\s+{p}%\s+([\d.]+)(us|ms|s)$", out, re.M) for p in (50, 99)}
    return {f"p{p}_ms": float(match.group(1)) * scale[match.group(2)] for p, match in found.items()}


def wrk_requests(out):
    """(requests done, requests a second) of wrk's output; errors are failures."""
    errors = re.search(r"Socket errors: connect (\d+), read (\d+), write (\d+), timeout (\d+)", out)
    if errors and any(int(n) for n in errors.groups()):
        raise SystemExit(f"wrk: {errors.group(0)}")
    return (int(re.search(r"(\d+) requests in", out).group(1)),
            float(re.search(r"Requests/sec:\s+([\d.]+)", out).group(1)))
