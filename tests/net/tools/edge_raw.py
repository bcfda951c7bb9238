#!/usr/bin/python3 -B
# SPDX-License-Identifier: GPL-2.0-or-later
"""Sends SYNs and what may follow them by hand, on an interface of Ethernet whose other end guards a port.

    edge_raw.py DEVICE MAC SOURCE DESTINATION PORT flood COUNT
    edge_raw.py DEVICE MAC SOURCE DESTINATION PORT cookie

MAC is the other end's. `flood` sends COUNT different SYNs and waits for an answer to each of them; it prints

    sent N answers N FLAGS largest N     the largest answer, in bytes more than the SYN

`cookie` opens a connection that `answer` ends and then does what nobody should, and prints a line for each
thing: its name, and the flags of the answers to it, with an "=" before their payload's length, and "text"
where that is the greeting. "-": there was none, although a later packet was answered.
"""
import ipaddress
import socket
import struct
import sys

from packets import ones_sum

FIN, SYN, RST, PSH, ACK = 1, 2, 4, 8, 16
ETH_P_ALL = 3
PACKET_IGNORE_OUTGOING = 23
BATCH = 100


class Link:
    def __init__(self, device, mac, source, destination, port):
        self.wire = socket.socket(socket.AF_PACKET, socket.SOCK_RAW)
        self.wire.setsockopt(socket.SOL_SOCKET, 33, 1 << 24)  # SO_RCVBUFFORCE
        self.wire.setsockopt(263, PACKET_IGNORE_OUTGOING, 1)
        self.wire.bind((device, ETH_P_ALL))
        self.wire.settimeout(60)
        own = self.wire.getsockname()[4]
        self.source = ipaddress.ip_address(source).packed
        self.destination = ipaddress.ip_address(destination).packed
        self.port = port
        self.v6 = len(self.source) == 16
        self.ethernet = bytes.fromhex(mac.replace(":", "")) + own + struct.pack("!H", 0x86dd if self.v6 else 0x0800)

    def frame(self, sport, flags, seq, ack=0, payload=b"", options=b""):
        size = 20 + len(options)
        tcp = struct.pack("!HHIIBBHHH", sport, self.port, seq, ack, size // 4 << 4, flags, 65535, 0, 0) + options + payload
        pseudo = self.source + self.destination + struct.pack("!II", len(tcp), 6)
        tcp = tcp[:16] + struct.pack("!H", ones_sum(pseudo + tcp) ^ 0xffff) + tcp[18:]
        if self.v6:
            head = struct.pack("!IHBB", 6 << 28, len(tcp), 6, 64)
        else:
            head = struct.pack("!BBHHHBBH", 0x45, 0, 20 + len(tcp), 1, 0x4000, 64, 6, 0)
            head = head[:10] + struct.pack("!H", ones_sum(head + self.source + self.destination) ^ 0xffff)
        return self.ethernet + head + self.source + self.destination + tcp

    def send(self, *arguments, **more):
        frame = self.frame(*arguments, **more)
        self.wire.send(frame)
        return len(frame)

    def receive(self):
        """(port, flags, seq, ack, payload, bytes of the frame) of the next answer of the guarded port."""
        while True:
            frame = self.wire.recv(65536)
            packet = frame[14:]
            if frame[12:14] != self.ethernet[12:14] or packet[6 if self.v6 else 9] != 6:
                continue
            if self.v6:
                tcp, addresses = packet[40:40 + struct.unpack("!H", packet[4:6])[0]], packet[8:40]
            else:
                tcp, addresses = packet[20:struct.unpack("!H", packet[2:4])[0]], packet[12:20]
            if addresses != self.destination + self.source or struct.unpack("!H", tcp[:2])[0] != self.port:
                continue
            seq, ack = struct.unpack("!II", tcp[4:12])
            return struct.unpack("!H", tcp[2:4])[0], tcp[13], seq, ack, tcp[tcp[12] >> 4 << 2:], len(frame)


def name_of(flags):
    return "".join(letter for letter, bit in zip("FSRPA", (FIN, SYN, RST, PSH, ACK)) if flags & bit)


# A SYN as Linux sends it, with its options.
OPTIONS = bytes.fromhex("020405b40402080a0000000100000000" + "01030307")


def flood(link, count):
    """In batches, so that no queue on the way is too short: a SYN is not sent again here."""
    answers, largest, seen = 0, -1 << 31, set()
    for start in range(0, count, BATCH):
        some = min(BATCH, count - start)
        for n in range(start, start + some):
            size = link.send(1024 + n % 60000, SYN, n * 7919, options=OPTIONS)
        for _ in range(some):
            _, flags, _, _, _, length = link.receive()
            answers += 1
            seen.add(name_of(flags))
            largest = max(largest, length - size)
    print("sent %d answers %d %s largest %d" % (count, answers, "+".join(sorted(seen)), largest))


class Dialogue:
    def __init__(self, link):
        self.link, self.barrier = link, 40000

    def answers(self, sport):
        """What came to this port, before the answer to a SYN that is sent now."""
        self.barrier += 1
        self.link.send(self.barrier, SYN, 1)
        found = []
        while True:
            answer = self.link.receive()
            if answer[0] == self.barrier:
                return found
            if answer[0] == sport:
                found.append(answer)

    def step(self, name, sport, *arguments, **more):
        self.link.send(sport, *arguments, **more)
        found = self.answers(sport)
        words = []
        for _, flags, _, _, payload, _ in found:
            text = "text" if payload.startswith(b"554 5.7.1 ") and payload.endswith(b"\r\n") else "other"
            words.append("%s=%d%s" % (name_of(flags), len(payload), " " + text if payload else ""))
        print(name, " ".join(words) or "-")
        return found


def cookie(link):
    talk = Dialogue(link)
    first = talk.step("syn", 30000, SYN, 5000, options=OPTIONS)[0]
    start = first[2] + 1 & 0xffffffff
    if first[3] != 5001:
        print("acknowledged %d instead of 5001" % first[3])
    greeting = talk.step("ack", 30000, ACK, 5001, start)
    length = len(greeting[0][4]) if greeting else 0
    talk.step("data", 30000, ACK | PSH, 5001, start, payload=b"EHLO x\r\n")
    talk.step("seen", 30000, ACK, 5001, start + length + 1 & 0xffffffff)
    talk.step("fin", 30000, FIN | ACK, 5001, start + length + 1 & 0xffffffff)
    talk.step("rst", 30000, RST, 5001)
    talk.step("wrong", 30000, ACK, 5001, start + 7777 & 0xffffffff)
    talk.step("near", 30000, ACK, 5001, start - 1 & 0xffffffff)
    talk.step("stolen", 30001, ACK, 5001, start)
    talk.step("no-ack", 30000, PSH, 5001, payload=b"EHLO x\r\n")
    again = talk.step("again", 30000, SYN, 9000, options=OPTIONS)
    if again and again[0][2] + 1 & 0xffffffff != start:
        print("another cookie for the same connection")


def main(device, mac, source, destination, port, what, *arguments):
    link = Link(device, mac, source, destination, int(port))
    if what == "flood":
        flood(link, int(arguments[0]))
    else:
        cookie(link)


main(*sys.argv[1:])
