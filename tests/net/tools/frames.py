#!/usr/bin/python3 -B
# SPDX-License-Identifier: GPL-2.0-or-later
"""Prints the TCP segments of a pcap file of Ethernet as tcpdump writes it, one a line:

    LINK SOURCE PORT DESTINATION PORT FLAGS FRAME PAYLOAD SUMS SEQ ACK TEXT

LINK     plain, or what stands between Ethernet and IP, from the outside: vlan:10, qinq:100,vlan:10,
         pppoe:77
FLAGS    of FSRPA, in this order
FRAME    bytes on the wire; PAYLOAD: bytes behind the TCP header
SUMS     ok, or bad: the checksums of IPv4 and TCP, computed anew. Those of the sender of a capture are
         wrong where its interface was to compute them
TEXT     the payload, as Python prints bytes
"""
import ipaddress
import struct
import sys

from packets import frames, ones_sum

TAGS = {0x8100: "vlan", 0x88a8: "qinq"}


def unwrap(frame):
    """(names of what stands before IP, IP packet or None)"""
    kind, at, names = struct.unpack("!H", frame[12:14])[0], 14, []
    while kind in TAGS:
        tag, after = struct.unpack("!HH", frame[at:at + 4])
        names.append("%s:%d" % (TAGS[kind], tag & 0xfff))
        kind, at = after, at + 4
    if kind == 0x8864:
        session, length, inner = struct.unpack("!HHH", frame[at + 2:at + 8])
        names.append("pppoe:%d" % session)
        kind = {0x0021: 0x0800, 0x0057: 0x86dd}.get(inner)
        frame, at = frame[:at + 6 + length], at + 8
    return ",".join(names) or "plain", kind, frame[at:]


def segment(kind, packet):
    """(source, destination, TCP segment, is the IP header's sum right), without extension headers."""
    if kind == 0x0800 and len(packet) >= 20 and packet[9] == 6 and not struct.unpack("!H", packet[6:8])[0] & 0x1fff:
        header = (packet[0] & 15) * 4
        return (packet[12:16], packet[16:20], packet[header:struct.unpack("!H", packet[2:4])[0]],
                ones_sum(packet[:header]) == 0xffff)
    if kind == 0x86dd and len(packet) >= 40 and packet[6] == 6:
        return packet[8:24], packet[24:40], packet[40:40 + struct.unpack("!H", packet[4:6])[0]], True
    return None


def describe(length, frame):
    link, kind, packet = unwrap(frame)
    found = segment(kind, packet)
    if not found or len(found[2]) < 20:
        return None
    src, dst, tcp, right = found
    ports = struct.unpack("!HH", tcp[:4])
    seq, ack = struct.unpack("!II", tcp[4:12])
    flags = "".join(name for name, bit in zip("FSRPA", (1, 2, 4, 8, 16)) if tcp[13] & bit)
    payload = tcp[(tcp[12] >> 4) * 4:]
    right = right and ones_sum(src + dst + struct.pack("!II", len(tcp), 6) + tcp) == 0xffff
    return "%s %s %d %s %d %s %d %d %s %d %d %r" % (
        link, ipaddress.ip_address(src), ports[0], ipaddress.ip_address(dst), ports[1], flags or "-", length,
        len(payload), "ok" if right else "bad", seq, ack, payload[:300])


for number, bytes_of_it in frames(sys.argv[1]):
    line = describe(number, bytes_of_it)
    if line:
        print(line)
