# SPDX-License-Identifier: Apache-2.0
"""percall: what single calls cost in ns (tests/preload/percall.c): on the kernel without the shim, on the kernel
under the shim, and on a stack socket. Interleaved; each figure is the median of the runs' own medians."""
import os
import statistics
import subprocess

import pods

CALLS = 2000


def _one(mode, address, program):
    out = subprocess.run(mode.command(mode.server, program, address, CALLS), env=pods.ENV, check=True, text=True,
                         capture_output=True, timeout=120).stdout
    # A name may come twice: an fd that is not ours before the first socket, and after.
    figures = {}
    for line in out.splitlines():
        name, value = line.rsplit(": ", 1)
        figures[name + ", with sockets open" if name in figures else name] = float(value)
    return figures


def run(build, modes, rounds, progress):
    """{mode: {call: ns}}; `modes`: kernel, shim on kernel sockets, stack."""
    program = os.path.join(build, "tests", "preload", "percall")
    runs = {mode.label: [] for mode in modes}
    for turn in range(rounds):
        for mode in modes:
            progress(f"calls: {mode.label}, round {turn + 1} of {rounds}")
            address = mode.ip if mode.link == "veth" and mode.name == "v" else "127.0.0.1"
            runs[mode.label].append(_one(mode, address, program))
    return {label: {name: statistics.median(figures[name] for figures in all_runs) for name in all_runs[0]}
            for label, all_runs in runs.items()}
