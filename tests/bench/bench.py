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
    try:
        for mode in all_modes:
            progress(f"{group[0].label}: server on {mode.label}")
            group[0].start(mode)
        run_cases(group, all_modes, rounds, results)
    finally:
        for mode in all_modes:
            mode.stop()


def run_cases(group, all_modes, rounds, results):
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


def parse_args():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--stack", default=os.environ.get("DMM_BENCH_STACK", "tcpip"))
    parser.add_argument("--rounds", type=int, default=5, help="samples of each figure (default 5)")
    parser.add_argument("--only", default="", help="run only cases whose label contains this; or one part: `calls`: single calls; "
                        "`memory`: the library alone; `single`: CNI, start, idle, memory of connections; `kubernetes`: "
                        "pods on containerd and the injector")
    parser.add_argument("--modes", default="kvum", help="of k, v, u, m (default all; k is always run)")
    parser.add_argument("--out", default="build/bench")
    args = parser.parse_args()
    if args.only and args.only not in PARTS and not any(args.only in case.label for group in cases.GROUPS for case in group):
        parser.error(f"--only {args.only}: no case and no part is called so")
    return args


def calls(args, chosen):
    figures = percall.run(BUILD, [m for m in chosen if m.name != "u"], args.rounds, progress)
    say(json.dumps(figures, indent=2))
    return figures


def in_memory(args, _):
    figures = memory.run(BUILD, args.rounds, progress)
    print_memory(figures)
    return figures


def one_pod(args, chosen):
    if not {"v", "k"} <= {m.name for m in chosen}:
        return {"skipped": "needs the modes k and v"}
    figures = singles(chosen, args.rounds)
    say(json.dumps(figures, indent=2))
    return figures


def kubernetes(args, _):
    figures = kube.run(BUILD, args.rounds, progress)
    say(json.dumps(figures, indent=2))
    return figures


# What runs besides the cases: by --only's word, the key in the JSON, the function, whether it needs the pods.
PARTS = {"calls": ("calls_ns", calls, True), "memory": ("tcpip_in_memory", in_memory, False),
         "single": ("single", one_pod, True), "kubernetes": ("kubernetes", kubernetes, False)}


def attempt(what, function, *args):
    """The function's result. One part that fails does not take the others' figures with it."""
    try:
        return function(*args)
    except Exception as error:  # pylint: disable=broad-except
        detail = getattr(error, "stderr", None)
        say(f"FAILED: {what}: {error}" + (f": {detail}" if detail else ""))
        return {"failed": str(error)}


def run_all(args, chosen, report):
    for group in cases.GROUPS:
        wanted = [case for case in group if args.only in case.label and args.only not in PARTS]
        if wanted:
            failed = attempt(wanted[0].label, run_group, wanted, chosen, args.rounds, report["cases"])
            if failed:
                report.setdefault("failed_cases", {})[wanted[0].label] = failed["failed"]
    for name, (key, function, _) in PARTS.items():
        if args.only in ("", name):
            report[key] = attempt(name, function, args, chosen)


def write(args, chosen, report):
    os.makedirs(args.out, exist_ok=True)
    with open(f"{args.out}/bench.json", "w", encoding="ascii") as f:
        json.dump(report, f, indent=1)
    others = [m for m in chosen if m.name != "k"]
    rows = [(f"{e['case']}{what}", [1 / e["modes"][m.name]["cpu_ratio"] if what else e["modes"][m.name]["goodness"]
                                    for m in others]) for e in report["cases"] for what in ("", ", per CPU")]
    with open(f"{args.out}/bench.svg", "w", encoding="ascii") as f:
        f.write(plot.svg(f"DMM ({args.stack}) against the kernel, {os.cpu_count()} CPUs", rows, [m.label for m in others]))
    say(f"written: {args.out}/bench.json, {args.out}/bench.svg")


def main():
    args = parse_args()
    if os.getuid() != 0:
        sys.exit("bench.py: must run as root")
    pods.clean()
    os.makedirs(pods.WORK)
    chosen = [m for m in modes(args.stack) if m.name in args.modes + "k"]
    report = {"kernel": platform.release(), "cpus": os.cpu_count(), "stack": args.stack, "rounds": args.rounds, "cases": []}
    needs_pods = args.only not in PARTS or PARTS[args.only][2]
    try:
        for mode in chosen if needs_pods else []:
            progress(f"pods: {mode.label}")
            mode.up()
        run_all(args, chosen, report)
    finally:
        for mode in chosen:
            mode.down()
        pods.clean()
        write(args, chosen, report)
    if "failed_cases" in report or any("failed" in report.get(key, {}) for key, _, _ in PARTS.values()):
        sys.exit(1)


if __name__ == "__main__":
    main()
