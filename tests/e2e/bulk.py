#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Bulk data both ways at once over one TCP connection, compared by checksum.

    bulk.py serve|connect ADDRESS PORT BYTES [CONGESTION-CONTROL]

Each side sends BYTES of its own and closes its half, and checks that what it got is the other's, whole
and in order. Prints one line of what TCP_INFO says; the exit status is 0 only if all bytes were right.
`serve` prints "listening", takes one connection and ends."""
import hashlib
import random
import socket
import struct
import sys
import threading

CHUNK = 256 * 1024
TIMEOUT = 60


def payload(role, length):
    return random.Random(role).randbytes(length)


def send_all(conn, data):
    for at in range(0, len(data), CHUNK):
        conn.sendall(data[at:at + CHUNK])
    conn.shutdown(socket.SHUT_WR)


def receive_all(conn):
    got = hashlib.sha256()
    count = 0
    while True:
        data = conn.recv(CHUNK)
        if not data:
            return count, got.hexdigest()
        count += len(data)
        got.update(data)


def info(conn):
    """tcpi_options, tcpi_total_retrans of struct tcp_info."""
    raw = conn.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 104)
    return raw[5], struct.unpack_from("=I", raw, 100)[0]


def main():
    role, address, port, length = sys.argv[1], sys.argv[2], int(sys.argv[3]), int(sys.argv[4])
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    sock = socket.socket(family, socket.SOCK_STREAM)
    if len(sys.argv) > 5:
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_CONGESTION, sys.argv[5].encode())
    sock.settimeout(TIMEOUT)
    if role == "serve":
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        sock.bind((address, port))
        sock.listen()
        print("listening", flush=True)
        conn = sock.accept()[0]
        conn.settimeout(TIMEOUT)
        other = "connect"
    else:
        sock.connect((address, port))
        conn = sock
        other = "serve"
    used = conn.getsockopt(socket.IPPROTO_TCP, socket.TCP_CONGESTION, 16).split(b"\0")[0].decode()
    sender = threading.Thread(target=send_all, args=(conn, payload(role, length)), daemon=True)
    sender.start()
    count, digest = receive_all(conn)
    sender.join(TIMEOUT)
    options, retransmitted = info(conn)
    print(f"{role}: {used} got {count} options {options} retransmitted {retransmitted}", flush=True)
    if digest != hashlib.sha256(payload(other, length)).hexdigest():
        sys.exit(f"{role}: wrong: {count} bytes with sha256 {digest}")
    if sender.is_alive():
        sys.exit(f"{role}: could not send all")


main()
