#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Runs the cases of tests/oracle on the kernel and on a stack, and compares what they print.

    tests/oracle/run.py --stack NAME [--only WORD]... [--jobs N] [--show] [--list] [--table]
    tests/oracle/run.py --stack NAME --run PROGRAM ARGUMENT...

NAME is tcpip or lwip (in a network namespace of their own: root), loop (the plug-in of
tests/plugins: no root), or kernel: then the second run is made under the shim too, with a mapping
that leads everything to the kernel.

A case's transcripts must be equal, but for what known.txt lists; what is listed and does not differ
any more, or otherwise, fails. A case that differs is run once more by itself before it counts, and
if it passes then, a line says so. Output is TAP; with --show, transcripts of both follow.

--run starts one program under the shim, with the stack's address for the argument ADDRESS. When it
has printed its last line and waits for the end of its input, nothing may be left in the sidecar.
"""
import argparse
import concurrent.futures
import difflib
import fnmatch
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time

HERE = os.path.dirname(os.path.abspath(__file__))
KERNEL = ("10.98.0.1", "fd98::1")
STACK = ("10.98.0.2", "fd98::2")
FACTOR = int(os.environ.get("DMM_TIME_FACTOR", "1"))


def parse_arguments():
    parser = argparse.ArgumentParser(description=__doc__.split("\n", maxsplit=1)[0])
    parser.add_argument("--stack", default="tcpip")
    parser.add_argument("--only", action="append", default=[], metavar="WORD")
    parser.add_argument("--jobs", type=int, default=6)
    parser.add_argument("--show", action="store_true")
    parser.add_argument("--list", action="store_true", help="the cases and their sentences")
    parser.add_argument("--table", action="store_true", help="the option table of docs/sockets.md")
    parser.add_argument("--run", nargs=argparse.REMAINDER, help="a program instead of the cases")
    parser.add_argument("--build", default=os.environ.get("DMM_BUILD", HERE + "/../../build"))
    return parser.parse_args()


def sh(*words):
    return subprocess.run(words, check=True, stdout=subprocess.PIPE, text=True).stdout


class Pod:
    """A pod directory with a sidecar, and in a namespace of its own a veth for its port."""

    def __init__(self, stack, build):
        self.dir = None
        self.build = build
        self.stack = stack
        self.sidecar = None
        self.loop = stack == "loop"
        self.kernel = ("127.0.0.1", "::1") if self.loop else KERNEL
        self.address = {"loop": ("10.1.1.1",), "kernel": KERNEL}.get(stack, STACK)

    def write(self, name, value):
        path = os.path.join(self.dir, name)
        os.makedirs(os.path.dirname(path), exist_ok=True)
        with open(path, "w", encoding="ascii") as file:
            json.dump(value, file)

    def wire(self):
        sh("ip", "link", "set", "lo", "up")
        sh("ip", "link", "add", "k0", "address", "02:00:00:00:98:01", "type", "veth",
           "peer", "name", "net1", "address", "02:00:00:00:98:02")
        sh("sysctl", "-qw", "net.ipv6.conf.net1.disable_ipv6=1")
        sh("ip", "addr", "add", KERNEL[0] + "/24", "dev", "k0")
        sh("ip", "addr", "add", KERNEL[1] + "/64", "dev", "k0", "nodad")
        sh("ip", "link", "set", "k0", "up")
        sh("ip", "link", "set", "net1", "up")
        # The kernel tells of the carrier when it comes to it; until then lwIP has no route.
        for _ in range(100 * FACTOR):
            if '"operstate":"UP"' in sh("ip", "-j", "link", "show", "net1"):
                break
            time.sleep(0.05)
        self.write("ports/net1.json", {
            "version": 1, "ifname": "net1", "kind": "packet", "link": "veth",
            "mac": "02:00:00:00:98:02", "mtu": 1500,
            "addresses": [STACK[0] + "/24", STACK[1] + "/64"]})

    def start(self):
        self.dir = tempfile.mkdtemp(prefix="dmm-oracle.")
        stack = "tcpip" if self.stack == "kernel" else self.stack
        config = {"name": "fast", "type": stack, "ports": ["net1"]}
        if self.loop:
            config = {"name": "fast", "type": "plugin",
                      "options": {"path": self.build + "/tests/loop.so"}}
        else:
            self.wire()
        self.write("stacks.json", {"version": 1, "stacks": [config]})
        default = "kernel" if self.stack == "kernel" else "fast"
        self.write("mapping.json", {"version": 1, "default": default, "rules": []})
        with open(self.dir + "/log", "wb") as log:
            self.sidecar = subprocess.Popen(
                [self.build + "/dmm-stackd", "--pod-dir", self.dir], stdout=log, stderr=log)
        ctl = [self.build + "/dmmctl", "--pod-dir", self.dir, "health"]
        for _ in range(200 * FACTOR):
            if subprocess.run(ctl, capture_output=True, check=False).returncode == 0:
                return
            time.sleep(0.05)
        raise SystemExit("the sidecar did not start:\n" + self.log())

    def log(self):
        with open(self.dir + "/log", encoding="utf-8", errors="replace") as file:
            return file.read()

    def ask(self, verb):
        ctl = [self.build + "/dmmctl", "--pod-dir", self.dir, "--json", verb]
        out = subprocess.run(ctl, capture_output=True, check=True, text=True).stdout
        return json.loads(out)

    def sockets(self):
        return self.ask("sockets").get("sockets", [])

    def alive(self):
        return self.sidecar.poll() is None

    def stop(self):
        if self.sidecar:
            self.sidecar.send_signal(signal.SIGTERM)
            try:
                self.sidecar.wait(10)
            except subprocess.TimeoutExpired:
                self.sidecar.kill()
                self.sidecar.wait()
        if self.dir:
            shutil.rmtree(self.dir, ignore_errors=True)


def not_done(kernel, stack):
    """True if all that differs is an option that nobody does: it tells Linux's default, can be set
    to that, and to nothing else (ENOPROTOOPT)."""
    if len(kernel) != len(stack):
        return False
    first = [line for line in stack if line.startswith("get:")][:1]
    if not first or first[0] != next(line for line in kernel if line.startswith("get:")):
        return False
    told_otherwise = False  # what Linux has been set to here, this has not
    for ours, theirs in zip(stack, kernel):
        refused = ours.startswith("set") and ours.endswith(": ENOPROTOOPT")
        if ours in ("fresh", "bound", "connected"):
            told_otherwise = False
        told_otherwise = told_otherwise or refused
        default = told_otherwise and (ours.startswith("get, ") or ours == first[0])
        # In some states Linux refuses even its default.
        harmless = ours.startswith("set 0 ") and theirs.endswith(": EINVAL")
        if ours != theirs and not refused and not default and not harmless:
            return False
    return True


def load_known(stack, all_cases):
    """{case: (reason, [diff lines])} of what is listed for the stack; None for the lines where a case may differ or
    not, as with a sanitizer."""
    known = {}
    lines = None
    sanitizer = "SAN=" + os.environ.get("SAN", "")
    with open(HERE + "/known.txt", encoding="utf-8") as file:
        for number, line in enumerate(file, 1):
            line = line.rstrip("\n")
            if not line or line.startswith("#"):
                continue
            if line[0] in "-+~":
                if lines is not None:
                    lines.append(line)
                continue
            head, _, reason = line.partition(": ")
            *stacks, cases = head.split()
            if not stacks or not reason:
                raise SystemExit(f"known.txt:{number}: not \"STACK... CASE[,CASE]: REASON\"")
            lines = [] if stack in stacks or sanitizer in stacks else None
            for pattern in cases.split(",") if lines is not None else []:
                matching = fnmatch.filter(all_cases, pattern)
                if not matching:
                    raise SystemExit(f"known.txt:{number}: no case is called {pattern}")
                for case in matching:
                    if case in known:
                        raise SystemExit(f"known.txt:{number}: {case}: twice for {stack}")
                    known[case] = (reason, None if sanitizer in stacks else lines)
    return known


class Oracle:
    def __init__(self, pod, build):
        self.pod = pod
        self.program = build + "/tests/oracle/oracle"
        first = os.environ.get("DMM_PRELOAD_FIRST", "")
        if os.environ.get("SAN") == "thread":
            first = ""  # the runtime is in the program: the shim may come before it
        self.shim = (first + ":" if first else "") + build + "/libdmm.so"

    def list(self):
        out = subprocess.run([self.program, "list"], capture_output=True, check=True, text=True)
        return dict(line.split("\t") for line in out.stdout.splitlines())

    def transcript(self, case, addresses, shim):
        env = dict(os.environ, LC_ALL="C")
        if shim:
            env.update(LD_PRELOAD=self.shim, DMM_POD_DIR=self.pod.dir)
        with subprocess.Popen([self.program, case, *addresses], env=env, stdin=subprocess.DEVNULL,
                              stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
                              errors="backslashreplace", start_new_session=True) as process:
            try:
                out, _ = process.communicate(timeout=30 * FACTOR)
            except subprocess.TimeoutExpired:
                out = "did not end\n"
            finally:
                try:
                    os.killpg(process.pid, signal.SIGKILL)
                except ProcessLookupError:
                    pass
                process.wait()
        if process.returncode:
            out += f"exit status {process.returncode}\n"
        return out.splitlines()

    def compare(self, case):
        kernel = self.transcript(case, self.pod.kernel, False)
        stack = self.transcript(case, self.pod.address, True)
        diff = [line for line in difflib.unified_diff(kernel, stack, n=0, lineterm="")
                if not line.startswith(("---", "+++", "@@"))]
        return kernel, stack, diff


def judge(case, result, known):
    """None: as it should be; else what is wrong."""
    kernel, stack, diff = result
    if case not in known:
        return "differs from the kernel" if diff else None
    if known[case][1] is None:
        return None
    if not diff:
        return "is listed in known.txt, but does not differ any more"
    listed = known[case][1]
    if listed == ["~not done"]:
        return None if not_done(kernel, stack) else "differs by more than that it is not done"
    return None if not listed or listed == diff else "differs otherwise than known.txt says"


def run_cases(oracle, cases, known, arguments):
    failed = second = 0
    print(f"1..{len(cases) + 1}")
    with concurrent.futures.ThreadPoolExecutor(arguments.jobs) as pool:
        results = pool.map(oracle.compare, cases)
        for number, (case, result) in enumerate(zip(cases, results), 1):
            wrong = judge(case, result, known)
            if wrong:
                result = oracle.compare(case)
                wrong = judge(case, result, known)
                if not wrong:
                    second += 1
                    print(f"# {case}: only at the second try")
            kernel, stack, diff = result
            note = f" # known: {known[case][0]}" if case in known else ""
            print(f"{'not ok' if wrong else 'ok'} {number} {case}{note}", flush=True)
            if wrong:
                failed += 1
                print(f"# {wrong}:")
                print("".join(f"# {line}\n" for line in diff), end="")
            if arguments.show:
                print("".join(f"#   kernel  {line}\n" for line in kernel), end="")
                print("".join(f"#   stack   {line}\n" for line in stack), end="")
    return failed, second


def nothing_left(pod):
    """True if the sidecar lives and has no socket left (a closing one may linger for a while)."""
    for _ in range(100 * FACTOR):
        if not pod.alive():
            return False
        left = [s for s in pod.sockets() if s["state"] not in ("TIME-WAIT", "FIN-WAIT-2")]
        if not left:
            return True
        time.sleep(0.1)
    print("".join(f"# left: {s}\n" for s in left), end="")
    return False


def no_memory_left(pod):
    """True if the one process that lives has no ring left in its region."""
    for _ in range(50 * FACTOR):
        clients = pod.ask("clients").get("clients", [])
        if [(c["heap_bytes"], len(c["processes"])) for c in clients] == [(0, 1)]:
            return True
        time.sleep(0.1)
    print(f"# left: {clients}")
    return False


def run_program(oracle, words):
    """One program; True if it ended well and left nothing."""
    words = [oracle.pod.address[0] if word == "ADDRESS" else word for word in words]
    env = dict(os.environ, LD_PRELOAD=oracle.shim, DMM_POD_DIR=oracle.pod.dir)
    with subprocess.Popen(words, env=env, stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                          text=True) as process:
        print(process.stdout.readline(), end="", flush=True)
        clean = nothing_left(oracle.pod) and no_memory_left(oracle.pod)
        print("nothing is left" if clean else "something is left")
        process.stdin.close()
        process.wait()
    return clean and process.returncode == 0


def option_text(name, kinds, known):
    """What happens with one option on one stack, from what known.txt lists."""
    by_reason = {}
    for kind in kinds:
        if f"opt_{name}_{kind}" in known:
            by_reason.setdefault(known[f"opt_{name}_{kind}"][0], []).append(kind)
    texts = []
    for reason, where in by_reason.items():
        texts.append(reason if len(where) == len(kinds) else f"{reason} ({', '.join(where)})")
    return "; ".join(texts) or "as Linux"


def option_table(cases, stacks=("tcpip", "lwip")):
    """The rows of docs/sockets.md: options that fare alike on each stack share one."""
    known = {stack: load_known(stack, cases) for stack in stacks}
    kinds = {}
    for case in cases:
        if case.startswith("opt_") and "UNKNOWN" not in case:
            name, kind = case.removeprefix("opt_").rsplit("_", 1)
            kinds.setdefault(name, []).append(kind)
    rows = {}
    for name in sorted(kinds):
        texts = tuple(option_text(name, kinds[name], known[stack]) for stack in stacks)
        rows.setdefault(texts, []).append(f"`{name}`")
    print("| option | " + " | ".join(stacks) + " |")
    print("|---" * (len(stacks) + 1) + "|")
    for texts, names in sorted(rows.items(), key=lambda row: (row[0] != ("as Linux",) * 2, row)):
        print("| " + " | ".join((", ".join(names), *texts)) + " |")


def main():
    arguments = parse_arguments()
    build = os.path.abspath(arguments.build)
    if arguments.stack not in ("loop",) and not arguments.list and not arguments.table:
        if os.geteuid() != 0:
            print("1..0 # skip needs root")
            return 0
        if not os.environ.get("DMM_ORACLE_INSIDE"):
            os.environ["DMM_ORACLE_INSIDE"] = "1"
            os.execvp("unshare", ["unshare", "--net", sys.executable, *sys.argv])
    pod = Pod(arguments.stack, build)
    oracle = Oracle(pod, build)
    all_cases = oracle.list()
    if arguments.list or arguments.table:
        if arguments.table:
            option_table(all_cases)
        else:
            print("".join(f"{name:40} {text}\n" for name, text in all_cases.items()), end="")
        return 0
    cases = [c for c in all_cases if not arguments.only or any(w in c for w in arguments.only)]
    if os.environ.get("SAN"):  # a sanitizer reports the wild pointers that these are about
        cases = [c for c in cases if not c.endswith("_efault")]
    known = load_known(arguments.stack, all_cases)
    try:
        pod.start()
        if arguments.run:
            return 0 if run_program(oracle, arguments.run) else 1
        failed, second = run_cases(oracle, cases, known, arguments)
        clean = nothing_left(pod)
        print(f"{'ok' if clean else 'not ok'} {len(cases) + 1} nothing is left in the sidecar")
        if not clean or not pod.alive():
            print("".join(f"# {line}\n" for line in pod.log().splitlines()[-20:]), end="")
    finally:
        pod.stop()
    differences = sum(1 for case in cases if case in known)
    print(f"# {arguments.stack}: {len(cases)} cases, {failed} failed, {differences} known "
          f"differences, {second} only at the second try")
    return 1 if failed or not clean else 0


sys.exit(main())
