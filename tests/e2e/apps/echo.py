#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""A byte echo, served in the ways that Python has, and its client.

    echo.py asyncio|thread|fork PORT                  serves until it is ended
    echo.py client HOST PORT CONNECTIONS BYTES        all at once; each sends BYTES, ends its half of the
                                                      connection, and must get the same bytes, then the end
"""
import asyncio
import hashlib
import random
import socket
import socketserver
import sys
import threading

PIECE = 65536
SECONDS = 60


class Handler(socketserver.BaseRequestHandler):
    def handle(self):
        while data := self.request.recv(PIECE):
            self.request.sendall(data)


def serve(kind, port):
    kind.allow_reuse_address = True
    kind.request_queue_size = 500
    kind.max_children = 1000
    with kind(("", port), Handler) as server:
        server.serve_forever()


async def echo(reader, writer):
    while data := await reader.read(PIECE):
        writer.write(data)
        await writer.drain()
    writer.close()


async def serve_asyncio(port):
    server = await asyncio.start_server(echo, None, port, backlog=500)
    await server.serve_forever()


def send(connection, data):
    connection.sendall(data)
    connection.shutdown(socket.SHUT_WR)


def ask(host, port, number, size, failed):
    try:
        data = random.Random(number).randbytes(size)
        got = hashlib.sha256()
        with socket.create_connection((host, port), SECONDS) as connection:
            sender = threading.Thread(target=send, args=(connection, data))
            sender.start()
            while piece := connection.recv(PIECE):
                got.update(piece)
            sender.join()
        if got.digest() != hashlib.sha256(data).digest():
            failed.append("other bytes came back")
    except OSError as error:
        failed.append(str(error))


def main():
    mode, rest = sys.argv[1], sys.argv[2:]
    if mode == "asyncio":
        asyncio.run(serve_asyncio(int(rest[0])))
    elif mode == "thread":
        serve(socketserver.ThreadingTCPServer, int(rest[0]))
    elif mode == "fork":
        serve(socketserver.ForkingTCPServer, int(rest[0]))
    elif mode == "client":
        host, port, connections, size = rest[0], int(rest[1]), int(rest[2]), int(rest[3])
        failed = []
        threads = [threading.Thread(target=ask, args=(host, port, i, size, failed))
                   for i in range(connections)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        print(f"{connections - len(failed)} of {connections}", *failed[:5], sep="\n")
        sys.exit(1 if failed else 0)
    else:
        sys.exit(__doc__)


main()
