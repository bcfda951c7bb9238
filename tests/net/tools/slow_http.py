#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""Clients that keep an HTTP server busy with nothing: silent ones, ones that send a header byte by byte,
garbage, uploads without an end, and requests whose answer nobody reads. Each comes back when it is thrown
out.

    slow_http.py ADDRESS PORT CLIENTS

Prints "thrown out N" each time that N is a multiple of CLIENTS, until it is killed.
"""
import os
import select
import socket
import sys

WAYS = (
    lambda turn: b"",
    lambda turn: b"GET /metrics HTTP/1.1\r\nX: "[turn : turn + 1] or b"y",
    lambda turn: os.urandom(512),
    lambda turn: b"\0\r\n\r\n" * 64,
    lambda turn: b"POST /metrics HTTP/1.1\r\nHost: a\r\nContent-Length: 999999999\r\n\r\n" if turn == 0 else b"z" * 4096,
    lambda turn: b"GET / HTTP/1.1\r\nHost: " + b"a" * 65536 if turn == 0 else b"b",
    lambda turn: b"GET /metrics HTTP/1.1\r\nHost: a\r\n\r\n" * 20 if turn == 0 else b"",
)


def connect(address, port):
    client = socket.socket()
    client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 2048)
    client.setblocking(False)
    client.connect_ex((address, port))
    return client


def main():
    address, port, count = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
    clients = [[connect(address, port), 0] for _ in range(count)]
    thrown_out = 0
    while True:
        poll = select.poll()
        for client, _ in clients:
            poll.register(client, select.POLLRDHUP | select.POLLHUP | select.POLLERR)
        gone = {fd for fd, _ in poll.poll(100)}
        for number, state in enumerate(clients):
            client, turn = state
            if client.fileno() in gone:
                client.close()
                clients[number] = [connect(address, port), 0]
                thrown_out += 1
                if thrown_out % count == 0:
                    print("thrown out", thrown_out, flush=True)
                continue
            try:
                client.send(WAYS[number % len(WAYS)](turn))
                state[1] += 1
            except OSError:
                pass


if __name__ == "__main__":
    main()
