# SPDX-License-Identifier: GPL-2.0-or-later
"""What tools that read and write packets share."""
import struct
import sys


def frames(path):
    """(bytes on the wire, bytes captured) of each frame of a pcap file as tcpdump writes it here: little-endian,
    Ethernet."""
    with open(path, "rb") as capture:
        head = capture.read(24)
        if head[:4] != b"\xd4\xc3\xb2\xa1" or struct.unpack("<I", head[20:])[0] != 1:
            sys.exit("%s: not a capture of Ethernet" % path)
        while True:
            head = capture.read(16)
            if len(head) < 16:
                return
            _, _, kept, length = struct.unpack("<IIII", head)
            yield length, capture.read(kept)


def ones_sum(data):
    """The sum that a checksum of IP or TCP is the complement of (RFC 1071)."""
    if len(data) % 2:
        data += b"\0"
    total = sum(struct.unpack("!%dH" % (len(data) // 2), data))
    while total >> 16:
        total = (total & 0xffff) + (total >> 16)
    return total
