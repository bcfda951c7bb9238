#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""Holds what replay says of a capture against what the kernel said of the same connections.

    compare_replay.py recorded|enforced FLOWS EVENTS REPLAY

All are JSON, an object a line. Prints a line for each thing of which they say different things, then how
many connections were compared; status 1 when any differs. Where the policy was enforced, what the client
must not send did not leave: then replay must have nothing against the client, and say the rest."""
import json
import sys


def by_ends(name, keep=lambda one: True):
    """The last one of each source port and destination: ports are used again."""
    with open(name, encoding="utf-8") as lines:
        found = [one for one in map(json.loads, lines) if keep(one)]
    found.sort(key=lambda one: one.get("opened") or one["time"])
    return {(one["src_port"], one["dst"], one["dst_port"]): one for one in found}


def differences(enforced, flow, event, stream):
    if not flow:
        yield "connection", "none", stream["verdict"]
        return
    enforced = enforced and stream["verdict"] != "audit"
    keys = ["rule", "line", "reason"]
    if enforced and stream["from"] != "server" and flow["reason"] != "none":
        keys = ["rule", "line"]
        if stream["from"]:
            yield "ESCAPED", flow["reason"], stream["verb"]
    elif flow["reason"] == "none":
        # After a violation the kernel reads no further, and replay does.
        keys += ["tls", "tls_version", "sni", "ja4"]
    for key in keys:
        if flow[key] != stream[key]:
            yield key, flow[key], stream[key]
    # In a flood events are left out, and the last one may be of an earlier connection.
    if event and event["time"] >= flow["opened"] and (not enforced or event["from"] == "server"):
        for key in "verdict", "reason", "verb", "verb_length", "from":
            if event.get(key) != stream.get(key):
                yield key, event.get(key), stream.get(key)


def main():
    mode, flows, events, replay = sys.argv[1:]
    flows = by_ends(flows)
    events = by_ends(events, lambda event: event["kind"] == "gate")
    streams = by_ends(replay, lambda stream: stream["guarded"])
    wrong = 0
    for ends, stream in streams.items():
        found = list(differences(mode == "enforced", flows.get(ends), events.get(ends), stream))
        for what, kernel, replayed in found:
            print(f"{ends[0]} to {ends[2]}: {what}: kernel {kernel}, replay {replayed}")
        wrong += bool(found)
    print(f"{len(streams)} connections, {wrong} differ")
    return wrong > 0


sys.exit(main())
