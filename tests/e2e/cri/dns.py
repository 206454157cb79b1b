#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""A cluster's resolver of one name: dns.py ADDRESS NAME ANSWER. Prints who asked."""
import socket
import sys


def question(packet):
    labels, at = [], 12
    while packet[at]:
        labels.append(packet[at + 1:at + 1 + packet[at]].decode())
        at += 1 + packet[at]
    return ".".join(labels), packet[at + 2], packet[12:at + 5]


def main(address, name, answer):
    link = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    link.bind((address, 53))
    while True:
        packet, peer = link.recvfrom(512)
        asked, kind, raw = question(packet)
        print(peer[0], asked, flush=True)
        found = asked == name and kind == 1
        head = packet[:2] + (b"\x81\x80" if asked == name else b"\x81\x83") + b"\0\1" + bytes([0, found]) + b"\0\0\0\0"
        record = b"\xc0\x0c\0\1\0\1\0\0\0\x3c\0\4" + socket.inet_aton(answer) if found else b""
        link.sendto(head + raw + record, peer)


if __name__ == "__main__":
    main(*sys.argv[1:])
