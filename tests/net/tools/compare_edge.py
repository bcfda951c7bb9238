#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""Holds what `replay --as edge` says of captures against what the edge said of the same connections.

    compare_edge.py recorded|enforced FLOWS EVENTS REPLAY

All are JSON, an object a line. Prints a line for each thing of which they say different things, then
"N connections, N of them with an event, N without, N differ"; status 1 when any differs. In a flood
events are left out, so one that is not there is counted and no difference. Where the policy was enforced,
what a server must not send did not come to the customer's end, where the captures are from: then replay
has nothing to say of it."""
import json
import sys

ENDS = "src", "src_port", "dst", "dst_port"
FOUND = "verdict", "reason", "rule", "line", "verb", "verb_length", "from"


def by_ends(name, keep):
    """The last one of each connection: ports are used again."""
    with open(name, encoding="utf-8") as lines:
        found = [one for one in map(json.loads, lines) if keep(one)]
    found.sort(key=lambda one: one.get("opened") or one["time"])
    return {tuple(one[end] for end in ENDS): one for one in found}


def differences(enforced, flow, event, stream):
    if not flow:
        yield "flow", "none", stream["verdict"]
        return
    keys = ["rule", "line"]
    if flow["tls"] != "none" or (stream["reason"] == "none" and stream["tls_version"]):
        keys += ["tls", "tls_version"]
    for key in keys:
        if flow[key] != stream[key]:
            yield key, flow[key], stream[key]
    if event and stream["reason"] == "none":
        if enforced and event["from"] == "server":
            return
        yield "event", event["reason"], "none"
    elif event:
        for key in FOUND:
            if event.get(key) != stream.get(key):
                yield key, event.get(key), stream.get(key)


def main():
    enforced = sys.argv[1] == "enforced"
    flows = by_ends(sys.argv[2], lambda flow: flow["scope"] == "edge")
    events = by_ends(sys.argv[3], lambda event: event["kind"] == "edge" and event["reason"] != "none")
    streams = by_ends(sys.argv[4], lambda stream: stream["guarded"])
    wrong = told = untold = 0
    for ends, stream in streams.items():
        event = events.get(ends)
        found = list(differences(enforced, flows.get(ends), event, stream))
        for what, edge, replayed in found:
            print(f"{ends[0]} {ends[1]} to {ends[3]}: {what}: edge {edge}, replay {replayed}")
        wrong += bool(found)
        told += bool(event)
        untold += not event and stream["reason"] != "none"
    print(f"{len(streams)} connections, {told} of them with an event, {untold} without, {wrong} differ")
    return wrong > 0


sys.exit(main())
