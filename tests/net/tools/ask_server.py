#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""What a mail server makes of odd lines, told by its reply codes.

    ask_server.py ADDRESS PORT < LINES

Each line of standard input is a Python string literal: bytes sent in one piece behind EHLO, and QUIT
once the first reply has come. Prints for each the codes that came back, without the reply to QUIT; "-"
is none. Behind 220 (TLS may begin) nothing is sent or read.
"""
import ast
import socket
import sys


def reply(stream):
    """The code of the next reply; None at the end, however that comes."""
    while True:
        try:
            line = stream.readline()
        except ConnectionResetError:
            return None
        if not line:
            return None
        if line[3:4] != b"-":
            return line[:3].decode()


def ask(address, port, line):
    with socket.create_connection((address, port), 60) as connection:
        stream = connection.makefile("rb")
        reply(stream)
        connection.sendall(b"EHLO here.example\r\n")
        reply(stream)
        connection.sendall(line)
        codes = [reply(stream)]
        if codes != ["220"]:
            connection.sendall(b"QUIT\r\n")
            while (code := reply(stream)) not in (None, "221"):
                codes.append(code)
        return " ".join(filter(None, codes)) or "-"


for text in sys.stdin:
    print(ask(sys.argv[1], int(sys.argv[2]), ast.literal_eval(text.strip()).encode()))
