#!/usr/bin/python3 -B
# SPDX-License-Identifier: GPL-2.0-or-later
"""Ways to get a command past the edge, in frames that no kernel would send.

    evade.py play FIRST_PORT GROUP   each attack of the group in turn, from a port of its own, in this network
                                     namespace; prints "NAME PORT opened|unopened reset|silent"
    evade.py search FOLDER GROUP FIRST_PORT
                                     what tools/record.c has of them there: "NAME taken|wire|nowhere", and
                                     "ESCAPED ..." for what must not be there; status 1 when there is any
    evade.py found FOLDER GROUP      the other way round: "MISSED NAME" and status 1 for what did not get there

Each attack brings the line "AUTH PLAIN s3cret-NAME!". It acts as a machine of its own on the link, whose address
the kernel here does not own, so that nobody answers for it. SW_HELLO and SW_SERVER_HELLO are TLS messages in
hexadecimal digits. A link's router has the MAC address 02:00:00:00:0N:01.
"""
import logging
import os
import re
import select
import socket
import struct
import sys
import time

logging.getLogger("scapy").setLevel(logging.CRITICAL)
from scapy.layers.inet import IP, TCP, ICMP  # noqa: E402
from scapy.layers.inet6 import IPv6, ICMPv6EchoRequest  # noqa: E402

FAR = {4: "192.0.2.2", 6: "2001:db8:1::2"}
HELLO = bytes.fromhex(os.environ.get("SW_HELLO", ""))
SERVER_HELLO = bytes.fromhex(os.environ.get("SW_SERVER_HELLO", ""))
PATIENCE = 60  # seconds, for what must come
WORLD = 1 << 32


class Link:
    """Frames from and to one machine behind an interface."""

    def __init__(self, number, device, host, head=b"", compressed=False):
        self.at = {4: "100.64.%d.66" % host, 6: "2001:db8:c00%d::66" % host}
        self.macs = b"\x02\0\0\0%c\x01\x02\0\0\0%c\x66" % (number, number)
        self.head, self.compressed = head, compressed
        self.socket = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(3))
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 22)
        self.socket.bind((device, 0))

    def send(self, packet):
        packet = bytes(packet)
        kind = 0x86dd if packet[0] >> 4 == 6 else 0x0800
        if self.compressed:
            frame = struct.pack("!HBBHH", 0x8864, 0x11, 0, 77, len(packet) + 1)
            frame += b"\x57" if kind == 0x86dd else b"\x21"
        else:
            frame = self.head + struct.pack("!H", kind)
        self.socket.send((self.macs + frame + packet).ljust(60, b"\0"))

    def receive(self, until):
        """The next IP packet, or None. What stands before it is not looked at: a tag may have been taken off."""
        while True:
            ready, _, _ = select.select([self.socket], [], [], max(0, until - time.monotonic()))
            if not ready:
                return None
            frame, origin = self.socket.recvfrom(65536)
            if origin[2] == socket.PACKET_OUTGOING:
                continue
            found = re.match(rb"(?:(?:\x81\0|\x88\xa8).{2})*(?:\x08\0(?=[E-O])|\x86\xdd(?=[`-o])|\x88\x64.{6}\0?[!W])",
                             frame[12:], re.S)
            if found:
                packet = frame[12 + found.end():]
                return IP(packet) if packet[0] >> 4 == 4 else IPv6(packet)


class Connection:
    """One side of TCP. What it sends, and what it makes others believe, is the caller's."""

    def __init__(self, link, family, port, name, to=587, start=None):
        self.link, self.family, self.port, self.to = link, family, port, to
        self.start = (port * 7919 << 8) % WORLD if start is None else start
        self.seq, self.ack = self.start, 0
        self.secret = b"AUTH PLAIN s3cret-%s!\r\n" % name.encode()
        self.chain, self.options, self.tcp_options = (), [], []
        self.opened = self.reset = False

    def ip(self, ttl=64, **fields):
        if self.family == 4:
            return IP(src=self.link.at[4], dst=FAR[4], ttl=ttl, options=self.options, **fields)
        packet = IPv6(src=self.link.at[6], dst=FAR[6], hlim=ttl, **fields)
        for header in self.chain:
            packet = packet / header.copy()
        return packet

    def tcp(self, data=b"", at=0, flags="PA", **fields):
        fields.setdefault("ack", self.ack if "A" in flags else 0)
        fields.setdefault("seq", (self.seq + at) % WORLD)
        return TCP(sport=self.port, dport=self.to, flags=flags, window=65535,
                   options=self.tcp_options, **fields) / data

    def packet(self, data=b"", at=0, flags="PA", ttl=64, ip=None, **tcp):
        return self.ip(ttl, **(ip or {})) / self.tcp(data, at, flags, **tcp)

    def send(self, data=b"", at=0, flags="PA", **fields):
        self.link.send(self.packet(data, at, flags, **fields))

    def say(self, data):
        self.send(data)
        self.seq = (self.seq + len(data)) % WORLD

    def segments(self, until):
        """Those of the server, until there is no more time or an echo of ours came back."""
        while True:
            packet = self.link.receive(until)
            if packet is None:
                return
            if TCP in packet and packet[TCP].dport == self.port and packet[TCP].sport == self.to:
                tcp = packet[TCP]
                self.reset = self.reset or "R" in tcp.flags
                length = (packet.len - packet.ihl * 4 if self.family == 4 else packet.plen) - tcp.dataofs * 4
                yield tcp, bytes(tcp.payload)[:max(length, 0)]
            elif ICMP in packet and packet[ICMP].type == 0 and packet[ICMP].id == self.port:
                return
            elif packet.haslayer("ICMPv6EchoReply") and packet["ICMPv6EchoReply"].id == self.port:
                return

    def echo(self):
        """Asks for what ends segments(): whatever was sent before has been decided then."""
        if self.family == 4:
            self.link.send(IP(src=self.link.at[4], dst=FAR[4]) / ICMP(id=self.port))
        else:
            self.link.send(IPv6(src=self.link.at[6], dst=FAR[6]) / ICMPv6EchoRequest(id=self.port))

    def settle(self, patience=PATIENCE):
        self.echo()
        return list(self.segments(time.monotonic() + patience))

    def take(self, answer):
        self.seq = (self.start + 1) % WORLD
        self.ack = (answer.seq + 1) % WORLD
        self.opened = True
        self.send(flags="A")

    def open(self, patience=PATIENCE, **syn):
        self.seq = self.start
        self.send(flags="S", **syn)
        for tcp, _ in self.settle(patience):
            if tcp.flags == "SA" and tcp.ack == (self.start + 1) % WORLD and not self.opened:
                self.take(tcp)
        return self.opened

    def hear(self):
        """Bytes of the server, which must come."""
        for tcp, data in self.segments(time.monotonic() + PATIENCE):
            if self.reset:
                return b""
            if data and tcp.seq == self.ack:
                self.ack = (self.ack + len(data)) % WORLD
                return data
        raise TimeoutError("nothing heard on port %d" % self.port)

    def greeted(self, **syn):
        """As far as anybody may come in clear."""
        if self.open(**syn):
            self.hear()
            self.say(b"EHLO x\r\n")
            self.hear()
        return self


# ---- the attacks themselves, by group ----

ATTACKS = {}  # group: {name: Attack}


class Attack:
    def __init__(self, function, family, **words):
        self.function, self.family = function, family
        self.to, self.start, self.link = words.get("to", 587), words.get("start"), words.get("link", "plain")
        # Packets that nobody would put together to a segment may pass.
        self.only_taken = words.get("only_taken", False)
        # The network itself stops it: it does not arrive where nothing is enforced.
        self.dies = words.get("dies", False)


def attack(group, families=(4, 6), **words):
    def add(function):
        for family in families:
            name = "%s-%d" % (function.__name__.replace("_", "-"), family)
            ATTACKS.setdefault(group, {})[name] = Attack(function, family, **words)
        return function
    return add


def links():
    tags = b"\x88\xa8\0\x64\x81\0\0\x0a\x81\0\0\x14"
    return {"plain": lambda: Link(1, "x1", 1), "triple": lambda: Link(3, "x3", 5, tags),
            "compressed": lambda: Link(4, "x4", 4, compressed=True)}


def play(first_port, group):
    made, known = {}, links()
    for n, (name, one) in enumerate(ATTACKS[group].items()):
        if one.link not in made:
            made[one.link] = known[one.link]()
        c = Connection(made[one.link], one.family, first_port + n, name, one.to, one.start)
        one.function(c)
        if one.link != "triple":
            c.settle()
        print(name, c.port, "opened" if c.opened else "unopened", "reset" if c.reset else "silent", flush=True)


# ---- what came of them ----

# Lines that may come before TLS, how one of them may begin, and TLS.
VERBS = [b"EHLO", b"NOOP", b"STARTTLS\r\n"]
BEGUN = b"|".join(verb[:n] for verb in VERBS for n in range(len(verb) + 1))
BEFORE_TLS = re.compile(rb"(?:(?:EHLO|NOOP)[^\r\n]*\r\n)*(?:(?:STARTTLS\r\n)?\x16\x03.*|(?:EHLO|NOOP)[^\r\n]*\r?|"
                        + BEGUN + rb")", re.S)


def taken(folder):
    for name in os.listdir(folder + "/taken"):
        with open(folder + "/taken/" + name, "rb") as file:
            yield name, file.read()


def where(folder, group):
    with open(folder + "/wire", "rb") as file:
        wire = file.read()
    everything = b"\0\0".join(data for _, data in taken(folder))
    for name, one in ATTACKS[group].items():
        mark = b"s3cret-%s!" % name.encode()
        yield name, one, "taken" if mark in everything else "wire" if mark in wire else "nowhere"


def search(folder, group, first_port):
    escaped = 0
    for name, one, place in where(folder, group):
        print(name, place)
        if place == "taken" or place == "wire" and not one.only_taken:
            escaped += 1
            print("ESCAPED: %s (%s)" % (name, place))
    for name, data in taken(folder):
        if int(name.split("-")[0]) // 100 != first_port // 100:
            continue  # another group's
        if b"s3cret" in data or not BEFORE_TLS.fullmatch(data):
            escaped += 1
            print("ESCAPED: connection %s brought %r" % (name, data[:80]))
    return escaped


def found(folder, group):
    missed = 0
    for name, one, place in where(folder, group):
        print(name, place)
        if place == "nowhere" and not one.dies:
            missed += 1
            print("MISSED:", name)
    return missed


def main(arguments):
    what, where_or_port, group = arguments[:3]
    if what == "play":
        os.sched_setaffinity(0, [min(os.sched_getaffinity(0))])  # frames stay in order
        return play(int(where_or_port), group)
    if what == "search":
        return min(1, search(where_or_port, group, int(arguments[3])))
    return min(1, found(where_or_port, group))


if __name__ == "__main__":
    sys.path.insert(0, os.path.dirname(os.path.realpath(__file__)))
    sys.modules["evade"] = sys.modules["__main__"]
    import evade_ways  # noqa: E402,F401
    sys.exit(main(sys.argv[1:]))
