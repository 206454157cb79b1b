#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""UDP as programs use it, a verb each; run on a stack and on the kernel.

    udp.py join GROUP PORT IFADDR|IFINDEX   join, print "joined", what comes, then leave and print "left"
    udp.py send ADDRESS PORT TEXT [IFADDR|IFINDEX]
    udp.py broadcast ADDRESS PORT TEXT      first without SO_BROADCAST, which must be refused
    udp.py receive ADDRESS PORT             print "bound", then what comes and from where
    udp.py pktinfo PORT COUNT               answer COUNT datagrams from the address that each came to
    udp.py ask ADDRESS PORT                 send, and print where the answer came from
    udp.py refused ADDRESS PORT             send to a closed port: the errors, in order
    udp.py fragments_send|fragments_receive ADDRESS PORT    a datagram of 30000 known bytes
    udp.py segments_send ADDRESS PORT       the same bytes in datagrams of 1200, by one call
    udp.py segments_receive ADDRESS PORT GRO    in how many receives they came, with UDP_GRO 0 or 1
"""
import errno
import socket
import struct
import sys
import time

TIMEOUT = 10


def family_of(address):
    return socket.AF_INET6 if ":" in address else socket.AF_INET


def new(address):
    s = socket.socket(family_of(address), socket.SOCK_DGRAM)
    s.settimeout(TIMEOUT)
    return s


def say(*words):
    print(*words, flush=True)


def membership(group, interface):
    if ":" in group:
        request = socket.inet_pton(socket.AF_INET6, group) + struct.pack("=I", int(interface))
        return socket.IPPROTO_IPV6, socket.IPV6_JOIN_GROUP, socket.IPV6_LEAVE_GROUP, request
    request = socket.inet_aton(group) + socket.inet_aton(interface)
    return socket.IPPROTO_IP, socket.IP_ADD_MEMBERSHIP, socket.IP_DROP_MEMBERSHIP, request


def join(group, port, interface):
    s = new(group)
    s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    s.bind((group, int(port)))
    level, add, drop, request = membership(group, interface)
    s.setsockopt(level, add, request)
    say("joined")
    say("got", s.recv(100).decode())
    s.setsockopt(level, drop, request)
    say("left")
    s.settimeout(0.7)
    try:
        say("got after leaving", s.recv(100).decode())
    except TimeoutError:
        say("quiet")


def send(address, port, text, interface=None):
    s = new(address)
    if interface is not None and ":" in address:
        s.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_MULTICAST_IF, int(interface))
    elif interface is not None:
        s.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_IF, socket.inet_aton(interface))
    s.sendto(text.encode(), (address, int(port)))


def broadcast(address, port, text):
    s = new(address)
    try:
        s.sendto(b"unasked", (address, int(port)))
        # A stack tells what became of a datagram at the next call.
        deadline = time.monotonic() + 2
        error = 0
        while error == 0 and time.monotonic() < deadline:
            error = s.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
        say(errno.errorcode.get(error, "sent without SO_BROADCAST"))
    except PermissionError:
        say("EACCES")
    s.setsockopt(socket.SOL_SOCKET, socket.SO_BROADCAST, 1)
    s.sendto(text.encode(), (address, int(port)))


def receive(address, port):
    s = new(address)
    s.bind((address, int(port)))
    say("bound")
    data, peer = s.recvfrom(100)
    say("got", data.decode(), "from", peer[0])


def pktinfo(port, count):
    """One socket of both families; in_pktinfo's ipi_spec_dst, in6_pktinfo's address are put back."""
    s = new("::")
    s.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
    s.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_RECVPKTINFO, 1)
    s.bind(("::", int(port)))
    say("bound")
    for _ in range(int(count)):
        data, control, _, peer = s.recvmsg(100, 200)
        (level, kind, info), = [c for c in control if c[1] == socket.IPV6_PKTINFO]
        say("to", socket.inet_ntop(socket.AF_INET6, info[:16]), "by", struct.unpack("=I", info[16:20])[0] > 0)
        s.sendmsg([data], [(level, kind, info[:16] + struct.pack("=I", 0))], 0, peer)


def ask(address, port):
    s = new(address)
    s.sendto(b"question", (address, int(port)))
    say("answer from", s.recvfrom(100)[1][0])


def refused(address, port):
    s = new(address)
    s.connect((address, int(port)))
    s.send(b"one")
    for call in (lambda: s.recv(10), lambda: s.send(b"two")):
        try:
            call()
            say("ok")
        except OSError as e:
            say(errno.errorcode.get(e.errno, str(e)))
    s.settimeout(0.5)
    try:
        s.recv(10)
    except OSError as e:
        say(errno.errorcode.get(e.errno, str(e)))
    s.close()
    # Not connected: nobody is told, as on Linux.
    s = new(address)
    s.settimeout(0.5)
    s.sendto(b"one", (address, int(port)))
    try:
        s.recv(10)
    except TimeoutError:
        say("unconnected: quiet")
    except OSError as e:
        say("unconnected:", errno.errorcode.get(e.errno, str(e)))


LARGE = bytes(range(250)) * 120


def fragments_send(address, port):
    new(address).sendto(LARGE, (address, int(port)))


def fragments_receive(address, port):
    s = new(address)
    s.bind((address, int(port)))
    say("bound")
    say("whole" if s.recv(65535) == LARGE else "wrong")


UDP_SEGMENT, UDP_GRO = 103, 104


def segments_send(address, port):
    s = new(address)
    s.sendto(b"there?", (address, int(port)))  # now the neighbour is known
    s.recv(10)
    s.sendmsg([LARGE], [(socket.IPPROTO_UDP, UDP_SEGMENT, struct.pack("=H", 1200))], 0, (address, int(port)))


def segments_receive(address, port, gro):
    s = new(address)
    s.bind((address, int(port)))
    s.setsockopt(socket.IPPROTO_UDP, UDP_GRO, int(gro))
    say("bound")
    s.sendto(b"yes", s.recvfrom(10)[1])
    got, sizes = [], set()
    while sum(map(len, got)) < len(LARGE):
        data, control, _, _ = s.recvmsg(65535, 100)
        got.append(data)
        sizes |= {struct.unpack("=i", c[2])[0] for c in control if c[:2] == (socket.IPPROTO_UDP, UDP_GRO)}
    say("whole" if b"".join(got) == LARGE else "wrong", "in", len(got), *sizes)


globals()[sys.argv[1]](*sys.argv[2:])
