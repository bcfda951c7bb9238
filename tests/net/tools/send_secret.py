#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""Sends a password where it must not be sent, each time in another place.

    send_secret.py WAY ADDRESS USER PASSWORD

    plain         in the argument of AUTH PLAIN
    login         behind AUTH LOGIN, without waiting for leave
    verb          where a command should be
    argument      in arguments of NOOP, EHLO and HELP, which may be sent, before AUTH
    argument-tls  likewise, before STARTTLS and a real handshake
    hello         behind STARTTLS, in what begins like a ClientHello
    hello-465     likewise on port 465
    broken-465    in a ClientHello whose extensions are longer than itself
    twice-465     in a ClientHello that is whole, but has an extension twice
Ends with status 0 when the connection was ended by the other side, or for argument-tls in TLS.
"""
import base64
import socket
import ssl
import sys


class Connection:
    def __init__(self, address, port):
        self.socket = socket.create_connection((address, port), 90)

    def say(self, data):
        """Sends, and returns the reply."""
        self.socket.sendall(data)
        return self.hear()

    def hear(self):
        data = b""
        while not data.endswith(b"\n") or data.splitlines()[-1][3:4] == b"-":
            piece = self.socket.recv(4096)
            if not piece:
                raise ConnectionError("closed")
            data += piece
        return data


def begin(address, port=587):
    connection = Connection(address, port)
    connection.hear()
    connection.say(b"EHLO here.example\r\n")
    return connection


def plain(address, user, password):
    begin(address).say(b"AUTH PLAIN " + base64.b64encode(b"\0" + user + b"\0" + password) + b"\r\n")


def login(address, user, password):
    lines = [b"AUTH LOGIN", base64.b64encode(user), base64.b64encode(password), b""]
    begin(address).say(b"\r\n".join(lines))


def verb(address, user, password):
    begin(address).say(password + b"\r\n")


def arguments(address, password):
    connection = begin(address)
    for line in b"NOOP " + password, b"EHLO " + password, b"HELP " + base64.b64encode(password):
        connection.say(line + b"\r\n")
    return connection


def argument(address, user, password):
    arguments(address, password).say(b"AUTH PLAIN\r\n")


def argument_tls(address, user, password):
    connection = arguments(address, password)
    connection.say(b"STARTTLS\r\n")
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    connection.socket = context.wrap_socket(connection.socket, server_hostname="mail.example.net")
    connection.say(b"EHLO here.example\r\n")


def pretended(password):
    body = b"\x03\x03" + password * 4 + base64.b64encode(b"\0user\0" + password)
    message = b"\x01" + len(body).to_bytes(3, "big") + body
    return b"\x16\x03\x01" + len(message).to_bytes(2, "big") + message


def real_hello(password):
    """A ClientHello with the password for its random number, and where its extensions begin."""
    outgoing = ssl.MemoryBIO()
    context = ssl.create_default_context()
    try:
        context.wrap_bio(ssl.MemoryBIO(), outgoing, server_hostname="mail.example.net").do_handshake()
    except ssl.SSLWantReadError:
        pass
    hello = bytearray(outgoing.read())
    # Record header 5, message header 4, version 2, random 32, then the session's name.
    hello[11:11 + len(password)] = password
    at = 44 + hello[43]
    at += 2 + int.from_bytes(hello[at:at + 2], "big")
    return hello, at + 1 + hello[at]


def broken(password):
    hello, at = real_hello(password)
    hello[at] ^= 0x40
    return bytes(hello)


def twice(password):
    hello, at = real_hello(password)
    # An extension that nobody knows, with the password in it, and one more extended_master_secret.
    more = b"\xfa\xfa" + len(password).to_bytes(2, "big") + password + b"\0\x17\0\0" * 2
    hello += more
    for place, size in (at, 2), (6, 3), (3, 2):
        length = int.from_bytes(hello[place:place + size], "big") + len(more)
        hello[place:place + size] = length.to_bytes(size, "big")
    return bytes(hello)


def hello(address, user, password):
    connection = begin(address)
    connection.say(b"STARTTLS\r\n")
    connection.say(pretended(password))
    connection.say(b"AUTH PLAIN " + base64.b64encode(password) + b"\r\n")


def hello_465(address, user, password):
    Connection(address, 465).say(pretended(password))


def broken_465(address, user, password):
    Connection(address, 465).say(broken(password))


def twice_465(address, user, password):
    Connection(address, 465).say(twice(password))


def main(way, address, user, password):
    try:
        globals()[way.replace("-", "_")](address, user.encode(), password.encode())
    except (ConnectionError, BrokenPipeError) as error:
        print(error)
        return 0
    return 0 if way == "argument-tls" else 1


sys.exit(main(*sys.argv[1:]))
