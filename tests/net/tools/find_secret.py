#!/usr/bin/python3 -B
# SPDX-License-Identifier: GPL-2.0-or-later
"""Looks for a password where it must not be. Prints a line for each place and ends with status 1.

    find_secret.py USER PASSWORD files PATH...    files, and all files below folders
    find_secret.py USER PASSWORD process PID      every mapping that can be read
    find_secret.py USER PASSWORD capture FILE     a pcap file, packets and streams; SMTP commands too

The password is looked for as it is, in any case of letters, and as base64, whatever stands before it
(AUTH PLAIN, AUTH LOGIN); each half of it counts as well, since a buffer may end in the middle.
"""
import base64
import os
import re
import struct
import sys

from packets import frames

VERBS = rb"(?im)(?:^|[\r\n])[ \t]*(?:AUTH[ \t]|MAIL[ \t]+FROM|RCPT[ \t]+TO|DATA\r?\n|BDAT[ \t])[ -~]*"
CHUNK = 1 << 24
OVERLAP = 256


def core(data, before):
    """What base64 makes of data behind `before` bytes, without the letters that those decide too."""
    text = base64.b64encode(b"\0" * before + data)
    first = (before * 8 + 5) // 6
    last = (before + len(data)) * 8 // 6
    return text[first:last]


def forms(user, password):
    found = []
    half = len(password) // 2
    for part in password, password[:half], password[half:]:
        found.append(rb"(?i:%s)" % re.escape(part))
        found += [re.escape(core(part, before)) for before in range(3)]
    found.append(re.escape(base64.b64encode(b"\0" + user + b"\0" + password)))
    return re.compile(b"|".join(found))


def report(where, match):
    print("%s: at %#x: %r" % (where, match.start(), match.group()[:60]))
    return 1


def in_stream(where, stream, pattern):
    """Reads in pieces that overlap, as some mappings are large."""
    count, tail = 0, b""
    while True:
        piece = stream.read(CHUNK)
        if not piece:
            return count
        data = tail + piece
        count += sum(report(where, match) for match in pattern.finditer(data))
        tail = data[-OVERLAP:]


def below(path):
    if not os.path.isdir(path):
        yield path
    for folder, _, names in os.walk(path):
        for name in names:
            yield os.path.join(folder, name)


def in_files(pattern, *paths):
    count = 0
    for path in paths:
        for name in below(path):
            count += sum(report("name of " + name, match) for match in pattern.finditer(name.encode()))
            if os.path.isfile(name):
                with open(name, "rb") as stream:
                    count += in_stream(name, stream, pattern)
    return count


def in_process(pattern, pid):
    """Of a mapping that the kernel keeps to itself the name is printed on standard error."""
    count = 0
    with open("/proc/%s/maps" % pid) as maps, open("/proc/%s/mem" % pid, "rb", 0) as memory:
        for line in maps:
            bounds, rights, _, _, _, *name = line.split(None, 5)
            name = name[0].strip() if name else "anonymous"
            if not rights.startswith("r"):
                continue
            start, end = (int(number, 16) for number in bounds.split("-"))
            # A sanitizer's shadow has terabytes, and no text in it.
            if end - start > 1 << 31:
                print("skipped %s %d" % (name, end - start), file=sys.stderr)
                continue
            try:
                memory.seek(start)
                data = memory.read(end - start)
            except (OSError, OverflowError):
                print("unreadable %s %d" % (name, end - start), file=sys.stderr)
                continue
            if len(data) != end - start:
                print("short %s %d of %d" % (name, len(data), end - start), file=sys.stderr)
            count += sum(report("memory " + name, match) for match in pattern.finditer(data))
    return count


def segment(frame):
    """(stream, sequence number, payload) of a TCP segment without extension headers, or None."""
    kind, packet = struct.unpack("!H", frame[12:14])[0], frame[14:]
    if kind == 0x0800 and packet[9] == 6:
        header = (packet[0] & 15) * 4
        addresses, body = packet[12:20], packet[header:struct.unpack("!H", packet[2:4])[0]]
    elif kind == 0x86dd and packet[6] == 6:
        addresses, body = packet[8:40], packet[40:40 + struct.unpack("!H", packet[4:6])[0]]
    else:
        return None
    return addresses + body[:4], struct.unpack("!I", body[4:8])[0], body[(body[12] >> 4) * 4:]


def in_capture(pattern, path):
    pattern = re.compile(b"%s|%s" % (VERBS, pattern.pattern))
    streams = {}
    count = 0
    for _, frame in frames(path):
        found = segment(frame)
        for data in [frame] + ([found[2]] if found else []):
            count += sum(report(path, match) for match in pattern.finditer(data))
        if found and found[2]:
            streams.setdefault(found[0], []).append(found[1:])
    for pieces in streams.values():
        first = pieces[0][0]
        pieces.sort(key=lambda piece: (piece[0] - first + (1 << 31)) % (1 << 32))
        data = b"".join(payload for _, payload in pieces)
        count += sum(report("stream of " + path, match) for match in pattern.finditer(data))
    return count


def main(user, password, where, *arguments):
    search = {"files": in_files, "process": in_process, "capture": in_capture}[where]
    return 1 if search(forms(user.encode(), password.encode()), *arguments) else 0


sys.exit(main(*sys.argv[1:]))
