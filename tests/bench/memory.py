# SPDX-License-Identifier: Apache-2.0
"""memory: the TCP/IP library alone, two instances on one core with a wire in memory (tcpip_mem.c). Rounds are
interleaved; each figure is the median, per second of CPU time."""
import os
import statistics
import subprocess

CASES = [("request-response 64 B, 50 connections", ("rr", "50"), "1/s"),
         ("request-response 64 B, 1,000 connections", ("rr", "1000"), "1/s"),
         ("request-response 64 B, 10,000 connections", ("rr", "10000"), "1/s"),
         ("request-response 64 B, 100,000 connections", ("rr", "100000"), "1/s"),
         ("bulk, 1 connection", ("bulk",), "bit/s"),
         ("bulk in segments of 1,448 B, 1 connection", ("segments",), "bit/s"),
         ("open and close", ("open",), "1/s")]


def run(build, rounds, progress):
    """{label: {unit, value, samples}}"""
    program = os.path.join(build, "tests", "bench", "tcpip_mem")
    samples = {label: [] for label, _, _ in CASES}
    for turn in range(rounds):
        for label, args, _ in CASES:
            progress(f"in memory: {label}, round {turn + 1} of {rounds}")
            out = subprocess.run([program, "1", *args], check=True, text=True, capture_output=True, timeout=120).stdout
            samples[label].append(float(out))
    return {label: {"unit": unit, "value": statistics.median(samples[label]), "samples": samples[label]}
            for label, _, unit in CASES}
