#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""bench.py: DMM against the kernel, in one run, on one machine, with the same binaries.

Modes: the kernel over veth and a bridge; the stack over veth and the same kind of bridge; the stack over a
vhost-user pair; and the kernel again under the shim, its sockets mapped to `kernel`. Rounds are interleaved
(every mode once, then again), the figure is the median. CPU is that of the whole machine: both programs, both
sidecars, softirq. Nothing here is a pass mark.

Writes OUT/bench.json and OUT/bench.svg and prints the table."""
import argparse
import json
import os
import platform
import statistics
import sys
import time

import cases
import kube
import memory
import percall
import plot
import pods
import single


def modes(stack):
    on = [f"dmm.fd.io/stack={stack}"]
    mapped = ["--stack", stack, 'dmm.fd.io/mapping={"version":1,"default":"kernel","rules":[]}']
    return [pods.Mode("k", "kernel, veth", [], shim=False),
            pods.Mode("v", f"{stack}, veth", on, shim=True, link="veth"),
            pods.Mode("u", f"{stack}, vhost-user", on, shim=True, link="vhostuser"),
            pods.Mode("m", "kernel under the shim", mapped, shim=True, link="veth")]


BUILD = single.BUILD
WITHOUT_PODS = ("memory", "kubernetes")  # these have no use for the pods of the modes
BEGAN = time.monotonic()


def progress(text):
    """To stderr: on a terminal one line that changes, else a line each."""
    seconds = int(time.monotonic() - BEGAN)
    line = f"[{seconds // 60:2}:{seconds % 60:02}] {text}"
    if sys.stderr.isatty():
        sys.stderr.write(f"\r\x1b[K{line}")
    else:
        sys.stderr.write(line + "\n")
    sys.stderr.flush()


def say(text):
    """A result, in the place of the line that shows the progress."""
    if sys.stderr.isatty():
        sys.stderr.write("\r\x1b[K")
        sys.stderr.flush()
    print(text, flush=True)


def run_group(group, all_modes, rounds, results):
    for mode in all_modes:
        progress(f"{group[0].label}: server on {mode.label}")
        group[0].start(mode)
    for case in group:
        samples = {mode.name: [] for mode in all_modes}
        for turn in range(rounds):
            for mode in all_modes:
                progress(f"{case.label}: {mode.label}, round {turn + 1} of {rounds}")
                samples[mode.name].append(case.measure(mode))
        entry = {"case": case.label, "unit": case.unit, "better": case.better, "modes": {}}
        for mode in all_modes:
            value, cpu = (statistics.median(column) for column in zip(*samples[mode.name]))
            entry["modes"][mode.name] = {"label": mode.label, "value": value, "cpu_us_per_op": cpu,
                                         "samples": samples[mode.name]}
        add_ratios(entry)
        results.append(entry)
        print_entry(entry)
    for mode in all_modes:
        mode.stop()


def add_ratios(entry):
    kernel = entry["modes"]["k"]
    for mode in entry["modes"].values():
        ratio = mode["value"] / kernel["value"]
        mode["ratio"] = ratio
        mode["goodness"] = ratio if entry["better"] == "higher" else 1 / ratio
        mode["cpu_ratio"] = mode["cpu_us_per_op"] / kernel["cpu_us_per_op"]


def print_entry(entry):
    for mode in entry["modes"].values():
        say(f"{entry['case']:32} {mode['label']:24} {mode['value']:>12,.2f} {entry['unit']:11} x{mode['ratio']:<6.2f}"
            f" CPU {mode['cpu_us_per_op']:>9.2f} us/op x{mode['cpu_ratio']:.2f}")


def singles(all_modes, rounds):
    by_name = {mode.name: mode for mode in all_modes}
    veth = by_name["v"]
    out = {"cni_ms": single.cni_times(4, progress)}
    progress("sidecar: start")
    out["sidecar_start_ms"] = single.sidecar_start(veth, rounds)
    progress("sidecar: 10 s without traffic")
    out["idle_cpu_percent"], out["sidecar_pss_mb"] = single.sidecar_idle(veth, 10)
    redis = cases.GROUPS[0][0]
    out["bytes_per_idle_connection"] = {}
    for mode in (by_name["k"], veth):
        progress(f"memory of idle connections: {mode.label}")
        redis.start(mode)
        out["bytes_per_idle_connection"][mode.label] = single.memory_per_connection(mode, 1000)
        mode.stop()
    return out


def print_memory(figures):
    for label, figure in figures.items():
        say(f"in memory: {label:44} {figure['value']:>16,.0f} {figure['unit']}")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--stack", default=os.environ.get("DMM_BENCH_STACK", "tcpip"))
    parser.add_argument("--rounds", type=int, default=5, help="samples of each figure (default 5)")
    parser.add_argument("--only", default="", help="run only cases whose label contains this; `memory`: the library alone; `kubernetes`: pods "
                        "on containerd and the injector")
    parser.add_argument("--modes", default="kvum", help="of k, v, u, m (default all; k is always run)")
    parser.add_argument("--out", default="build/bench")
    args = parser.parse_args()
    if os.getuid() != 0:
        sys.exit("bench.py: must run as root")
    pods.clean()
    os.makedirs(pods.WORK)
    report = {}
    chosen = [m for m in modes(args.stack) if m.name in args.modes + "k"]
    results = []
    try:
        for mode in chosen if args.only not in WITHOUT_PODS else []:
            progress(f"pods: {mode.label}")
            mode.up()
        for group in cases.GROUPS:
            wanted = [case for case in group if args.only in case.label]
            if wanted:
                run_group(wanted, chosen, args.rounds, results)
        report = {"kernel": platform.release(), "cpus": os.cpu_count(), "stack": args.stack, "rounds": args.rounds,
                  "cases": results}
        if not args.only:
            report["calls_ns"] = percall.run(BUILD, [m for m in chosen if m.name != "u"], args.rounds, progress)
            say(json.dumps(report["calls_ns"], indent=2))
        if not args.only or args.only == "memory":
            report["tcpip_in_memory"] = memory.run(BUILD, args.rounds, progress)
            print_memory(report["tcpip_in_memory"])
        if not args.only and {"v", "k"} <= {m.name for m in chosen}:
            report["single"] = singles(chosen, args.rounds)
            say(json.dumps(report["single"], indent=2))
        if not args.only or args.only == "kubernetes":
            report["kubernetes"] = kube.run(BUILD, args.rounds, progress)
            say(json.dumps(report["kubernetes"], indent=2))
    finally:
        for mode in chosen:
            mode.down()
        pods.clean()
    os.makedirs(args.out, exist_ok=True)
    with open(f"{args.out}/bench.json", "w", encoding="ascii") as f:
        json.dump(report, f, indent=1)
    others = [m for m in chosen if m.name != "k"]
    rows = [(f"{e['case']}{what}", [1 / e["modes"][m.name]["cpu_ratio"] if what else e["modes"][m.name]["goodness"]
                                    for m in others]) for e in results for what in ("", ", per CPU")]
    with open(f"{args.out}/bench.svg", "w", encoding="ascii") as f:
        f.write(plot.svg(f"DMM ({args.stack}) against the kernel, {os.cpu_count()} CPUs", rows, [m.label for m in others]))
    say(f"written: {args.out}/bench.json, {args.out}/bench.svg")


if __name__ == "__main__":
    main()
