#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Hangs one thread of a process in the middle of its work, as an endless loop would: hang.py PID THREAD-NAME

The thread is stopped just after it came back from a wait for events; the others run on. Prints "hung", and this
program's process id. SIGTERM to it lets the thread go.
"""
import ctypes
import os
import signal
import struct
import sys

CONT_TO_SYSCALL, SINGLESTEP, DETACH, SEIZE, INTERRUPT, GET_SYSCALL_INFO = 24, 9, 17, 0x4206, 0x4207, 0x420e
TRACESYSGOOD, ALL_CHILDREN = 1, 0x40000000
ENTRY, EXIT = 1, 2
EPOLL_PWAIT2 = 441
STEPS = 80  # past what it does with the wait's result, and far from the next wait

libc = ctypes.CDLL(None, use_errno=True)
libc.ptrace.argtypes = [ctypes.c_long, ctypes.c_long, ctypes.c_void_p, ctypes.c_void_p]
libc.ptrace.restype = ctypes.c_long


def ptrace(request, thread, size=0, data=0):
    if libc.ptrace(request, thread, size, data) < 0:
        raise OSError(ctypes.get_errno(), "ptrace")


def step(request, thread):
    ptrace(request, thread)
    os.waitpid(thread, ALL_CHILDREN)


def find(pid, name):
    for thread in os.listdir(f"/proc/{pid}/task"):
        with open(f"/proc/{pid}/task/{thread}/comm", encoding="utf-8") as file:
            if file.read().strip() == name:
                return int(thread)
    sys.exit(f"process {pid} has no thread {name}")


def leave_a_wait(thread):
    number = None
    info = ctypes.create_string_buffer(88)
    while True:
        step(CONT_TO_SYSCALL, thread)
        ptrace(GET_SYSCALL_INFO, thread, len(info), ctypes.addressof(info))
        if info.raw[0] == ENTRY:
            number = struct.unpack_from("Q", info.raw, 24)[0]
        elif info.raw[0] == EXIT and number == EPOLL_PWAIT2:
            return


def main(pid, name):
    thread = find(pid, name)
    ptrace(SEIZE, thread, 0, TRACESYSGOOD)
    step(INTERRUPT, thread)
    leave_a_wait(thread)
    for _ in range(STEPS):
        step(SINGLESTEP, thread)

    def let_go(*_):
        ptrace(DETACH, thread)
        sys.exit()

    signal.signal(signal.SIGTERM, let_go)
    print("hung", os.getpid(), flush=True)
    os.waitpid(thread, ALL_CHILDREN)  # its end, which its process' waits for


if __name__ == "__main__":
    main(*sys.argv[1:])
