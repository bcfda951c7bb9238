#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""Holds what a collector has written against the audit store.

    compare_syslog.py STORE FILE [--sessions] [--after ID]

FILE has a JSON object a line, as the rsyslog of syslog.bash writes it: the message as rsyslog has read
it. Each event of the store behind ID has to be there, with the same facts; none may be there that the
store has not. Prints
    store N arrived N missing N doubles N cut N
where `cut` are lines that end in the middle, as one does when a collector is killed, and a line for
whatever is wrong. Status 0: all is right, 1: some are missing, 2: something is wrong.
"""
import argparse
import ipaddress
import json
import sqlite3
import sys

SEVERITY = {"allow": 6, "audit": 5, "redirect": 5}

# Structured data, and the column of the store's readable view. What is unknown or empty is left out.
SAME = [("verdict", "verdict"), ("reason", "reason"), ("scope", "scope"), ("rule", "rule"), ("line", "line"),
        ("rule_text", "rule_text"), ("user", "user"), ("uid", "uid"), ("exe", "exe"), ("comm", "comm"),
        ("unit", "unit"), ("pid", "pid"), ("dst", "dst"), ("dst_port", "port")]


def events(path, sessions):
    store = sqlite3.connect(f"file:{path}?mode=ro", uri=True)
    store.row_factory = sqlite3.Row
    tables = ["events", "sessions"] if sessions else ["events"]
    return {row["id"]: row for table in tables for row in store.execute(f"SELECT * FROM readable_{table}")}


def messages(path, wrong):
    cut = 0
    found = []
    with open(path, encoding="utf-8") as file:
        for line in file:
            try:
                found.append(json.loads(line))
            except ValueError:
                cut += 1
                continue
            if any(ord(c) < 32 for c in found[-1]["msg"] + found[-1]["parsed"]):
                wrong.append(f"control character: {line!r}")
    return found, cut


def structured(message):
    """What rsyslog has read of the structured data, which it hands out as a text of JSON."""
    return json.loads(message["parsed"])["rfc5424-sd"]["smtpwall@32473"]


def differences(message, row):
    data = structured(message)
    severity = SEVERITY.get(row["verdict"], 4)
    if message["pri"] != str(2 * 8 + severity):
        yield f"priority {message['pri']}"
    if message["msgid"] != row["kind"].upper() or message["app"] != "smtpwalld":
        yield f"msgid {message['msgid']} app {message['app']}"
    if message["time"][:19] != row["time"][:19] or len(message["time"]) != 27:
        yield f"time {message['time']}"
    for name, column in SAME:
        want = row[column]
        want = "" if want is None or want in (0, 4294967295) and column != "uid" else str(want)
        if column == "dst":
            want = str(ipaddress.ip_address(want))
        if data.get(name, "") != want:
            yield f"{name} {data.get(name)!r} instead of {want!r}"
    if row["exe"] and row["exe"] not in message["msg"]:
        yield f"no sentence about it: {message['msg']!r}"


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("store")
    parser.add_argument("file")
    parser.add_argument("--sessions", action="store_true")
    parser.add_argument("--after", type=int, default=0)
    args = parser.parse_args()
    wrong = []
    store = events(args.store, args.sessions)
    arrived, cut = messages(args.file, wrong)
    seen = {}
    for message in arrived:
        number = int(structured(message)["id"])
        seen[number] = seen.get(number, 0) + 1
        if number not in store:
            wrong.append(f"forged: {message}")
            continue
        wrong += [f"{number}: {text}" for text in differences(message, store[number])]
    missing = sorted(number for number in store if number > args.after and number not in seen)
    print(f"store {sum(number > args.after for number in store)} arrived {len(arrived)} missing {len(missing)} "
          f"doubles {len(arrived) - len(seen)} cut {cut}")
    for number in missing[:5]:
        print(f"missing: {number}")
    for text in wrong[:5]:
        print(text)
    sys.exit(2 if wrong else 1 if missing else 0)


if __name__ == "__main__":
    main()
