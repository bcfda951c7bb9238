#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""event_lines.py FILE... - lines of JSON events, oldest file first.

Every line must be one object, without a byte that a terminal would act on, and their ids must go up
from line to line and from file to file. Prints how many events there are, the id of the first and the
last, and how many ids are missing between them: "12 4 15 0". With --cut the end of a file may be half a
line, which does not count, and ids may be missing where one file ends and the next begins: what somebody
copied while it was written.
"""
import json
import sys


def fail(*words):
    sys.exit(" ".join(str(word) for word in words))


def lines_of(name, may_be_cut):
    with open(name, "rb") as file:
        lines = file.read().split(b"\n")
    if lines[-1] and not may_be_cut:
        fail(name, "ends in half a line:", lines[-1])
    return lines[:-1]


def id_of(name, line):
    if any(byte < 0x20 or byte == 0x7F for byte in line):
        fail(name, "has a control character:", line)
    try:
        event = json.loads(line.decode("utf-8"))
    except ValueError as error:
        fail(name, error, line)
    if not isinstance(event, dict):
        fail(name, "has a line that is no object:", line)
    number = event.get("id", event.get("event", {}).get("sequence"))
    if not isinstance(number, int):
        fail(name, "has an event without a number:", line)
    return number


def main():
    may_be_cut = sys.argv[1] == "--cut"
    first, last, count, missing = 0, 0, 0, 0
    for name in sys.argv[2 if may_be_cut else 1 :]:
        begins = True
        for line in lines_of(name, may_be_cut):
            number = id_of(name, line)
            if number <= last:
                fail(name, f"has {number} behind {last}")
            if count and number != last + 1:
                if may_be_cut and not begins:
                    fail(name, f"has {number} behind {last}")
                missing += number - last - 1
            first, last, count, begins = first or number, number, count + 1, False
    print(count, first, last, missing)


main()
