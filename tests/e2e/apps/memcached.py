#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""memcached.py HOST PORT CONNECTIONS ROUNDS: each connection stores values of many sizes and must get them back."""
import random
import socket
import sys
import threading

SECONDS = 30


def expect(got, wanted):
    if got != wanted:
        raise ValueError(f"got {got[:60]!r}, not {wanted[:60]!r}")


def talk(host, port, number, rounds):
    chance = random.Random(number)
    with socket.create_connection((host, port), SECONDS) as connection, connection.makefile("rwb") as stream:
        for i in range(rounds):
            key, value = b"%d-%d" % (number, i), chance.randbytes(chance.choice((1, 64, 4000, 100000)))
            stream.write(b"set %s 0 0 %d\r\n%s\r\nget %s\r\n" % (key, len(value), value, key))
            stream.flush()
            expect(stream.readline(), b"STORED\r\n")
            expect(stream.readline(), b"VALUE %s 0 %d\r\n" % (key, len(value)))
            expect(stream.read(len(value)), value)
            expect(stream.readline() + stream.readline(), b"\r\nEND\r\n")


def main():
    host, port, connections, rounds = sys.argv[1], *map(int, sys.argv[2:])
    failed = []

    def run(number):
        try:
            talk(host, port, number, rounds)
        except (OSError, ValueError) as error:
            failed.append(str(error))

    threads = [threading.Thread(target=run, args=(i,)) for i in range(connections)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    print(f"{connections - len(failed)} of {connections}", *failed[:5], sep="\n")
    sys.exit(1 if failed else 0)


main()
