#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""quick.py POD KERNEL-URL DMM-URL: the small table of `make demo`.

Interleaves short wrk runs in the pods k-client (kernel) and client (stack); prints medians and ratios."""
import statistics
import subprocess
import sys

from measure import cpu_seconds, wrk_requests

ROUNDS, SECONDS = 3, 2


def run(pod, plain, name, url, close):
    cmd = [pod, "exec"] + (["--plain"] if plain else []) + [name, "wrk", "-t1", "-c50", f"-d{SECONDS}", url]
    if close:
        cmd += ["-H", "Connection: close"]
    before = cpu_seconds()
    out = subprocess.run(cmd, capture_output=True, text=True, timeout=60, check=True).stdout
    requests, rate = wrk_requests(out)
    return rate, (cpu_seconds() - before) * 1e6 / max(requests, 1)


def main():
    pod, kernel_url, dmm_url = sys.argv[1:]
    print(f"{'':26}{'kernel':>22}{'stack':>22}{'ratio':>8}")
    for label, close in (("keep-alive", False), ("Connection: close", True)):
        kernel, dmm = [], []
        for _ in range(ROUNDS):
            kernel.append(run(pod, True, "k-client", kernel_url, close))
            dmm.append(run(pod, False, "client", dmm_url, close))
        k, d = ([statistics.median(column) for column in zip(*runs)] for runs in (kernel, dmm))
        print(f"{label:26}{k[0]:>14,.0f} req/s {d[0]:>15,.0f} req/s {d[0] / k[0]:>7.2f}")
        print(f"{'  CPU a request':26}{k[1]:>17.1f} us {d[1]:>18.1f} us {d[1] / k[1]:>8.2f}")


if __name__ == "__main__":
    main()
