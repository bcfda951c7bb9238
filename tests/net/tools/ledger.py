#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""Does every event that the kernel counted stand somewhere?

    ledger.py STATUS.json STORE.db [EVENTS.jsonl [METRICS.txt]]

Prints one line of numbers, and a line for each sum that does not hold; exits 1 when there is one.
"""
import json
import sqlite3
import sys

status = json.load(open(sys.argv[1]))
counters = status["counters"]
wrong = []


def expect(what, got, wanted):
    if got != wanted:
        wrong.append(f"{what}: {got}, not {wanted} ({got - wanted:+d})")


db = sqlite3.connect(f"file:{sys.argv[2]}?mode=ro", uri=True)
ask = lambda sql: db.execute(sql).fetchone()[0] or 0
expect("integrity", ask("PRAGMA integrity_check") == "ok", True)
recorded = ask("SELECT count(*) FROM events") + ask("SELECT count(*) FROM sessions")
missing = ask("SELECT sum(n) FROM gaps")
decided = counters["refused"] + counters["sessions"]
told = counters["events"] + counters["pretended"]
numbers = {
    "decided": decided, "told": told, "suppressed": counters["suppressed"], "lost": counters["lost"],
    "recorded": recorded, "missing": missing,
}
expect("told + suppressed + lost = decided", told + counters["suppressed"] + counters["lost"], decided)
expect("taken = told", counters["taken"], told)
expect("recorded + missing = told", recorded + missing, told)

if len(sys.argv) > 3:
    lines = lost = 0
    ids = set()
    for line in open(sys.argv[3]):
        entry = json.loads(line)
        if "lost" in entry:
            lost += entry["lost"]
        else:
            lines += 1
            ids.add(entry["id"])
    numbers.update(lines=lines, not_written=lost)
    expect("no line is there twice", len(ids), lines)
    expect("lines + not written = told", lines + lost, told)

if len(sys.argv) > 4:
    metric = {}
    for line in open(sys.argv[4]):
        if not line.startswith("#"):
            name, number = line.rsplit(" ", 1)
            metric.setdefault(name.split("{")[0], []).append((name, float(number)))
    total = lambda family, part="": int(sum(value for name, value in metric[family] if part in name))
    expect("metrics: events", total("smtpwall_events_total"), told)
    expect("metrics: of the ring", total("smtpwall_ring_events_total"), counters["events"])
    expect("metrics: lost", total("smtpwall_events_lost_total"), counters["lost"])
    expect("metrics: suppressed", total("smtpwall_events_suppressed_total"), counters["suppressed"])
    expect("metrics: refused", total("smtpwall_decisions_total", 'scope="host",decision="refused"'), counters["refused"])
    expect("metrics: written to the store", total("smtpwall_sink_written_total", 'sink="store"'), recorded)

print(" ".join(f"{name} {number}" for name, number in numbers.items()))
for line in wrong:
    print("WRONG", line)
sys.exit(1 if wrong else 0)
