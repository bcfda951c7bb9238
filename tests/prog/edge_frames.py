#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""What the edge answers, seen by scapy: lengths, checksums, addresses, tags and sequence numbers.

Runs the programs that make the answers and reads the file they write; prints TAP.
"""
import os
import subprocess
import sys
import tempfile

PROGRAMS = ("test_edge_packets", "test_edge_answers")
LEAST = {"test_edge_packets": 20, "test_edge_answers": 60}


def frames_of(program, build):
    with tempfile.TemporaryDirectory() as folder:
        path = os.path.join(folder, "frames")
        subprocess.run(
            [os.path.join(build, "tests/prog", program)],
            env=dict(os.environ, SW_EDGE_FRAMES=path),
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            check=True,
        )
        with open(path, encoding="ascii") as lines:
            return [[bytes.fromhex(word) for word in line.split()] for line in lines]


def rebuilt(packet, layer, field):
    """The packet with one field worked out anew, by scapy."""
    copy = packet.copy()
    delattr(copy[layer], field)
    return getattr(type(packet)(bytes(copy))[layer], field)


def check_lengths(answer, problems):
    ip = answer[IP] if IP in answer else answer[IPv6]
    size = len(bytes(ip))
    claimed = ip.len if IP in answer else ip.plen + 40
    if claimed != size:
        problems.append(f"IP says {claimed} bytes, there are {size}")
    if PPPoE in answer:
        size = len(bytes(answer[PPPoE].payload))
        if answer[PPPoE].len != size:
            problems.append(f"PPPoE says {answer[PPPoE].len} bytes, there are {size}")


def check_sums(answer, problems):
    wanted = [(TCP, "chksum")] + ([(IP, "chksum")] if IP in answer else [])
    for layer, field in wanted:
        right = rebuilt(answer, layer, field)
        if right != getattr(answer[layer], field):
            problems.append(f"{layer.__name__} checksum should be {right:#x}")


def check_turned(question, answer, problems):
    kind = IP if IP in answer else IPv6
    same = (
        (question.src, answer.dst),
        (question.dst, answer.src),
        (question[kind].src, answer[kind].dst),
        (question[kind].dst, answer[kind].src),
        (question[TCP].sport, answer[TCP].dport),
        (question[TCP].dport, answer[TCP].sport),
        ([tag.vlan for tag in tags(question)], [tag.vlan for tag in tags(answer)]),
        ([tag.type for tag in tags(question)], [tag.type for tag in tags(answer)]),
    )
    problems.extend(f"{asked} was answered by {said}" for asked, said in same if asked != said)
    if PPPoE in question and question[PPPoE].sessionid != answer[PPPoE].sessionid:
        problems.append("another PPPoE session")


def tags(packet):
    found, at = [], packet.payload
    while isinstance(at, (Dot1Q, Dot1AD)):
        found.append(at)
        at = at.payload
    return found


def check_numbers(question, answer, problems):
    """RFC 9293, 3.10.7: what a client would take for an answer to what it sent."""
    asked, said = question[TCP], answer[TCP]
    payload = question[IP].len - question[IP].ihl * 4 if IP in question else None
    size = payload - asked.dataofs * 4 if payload is not None else len(asked.payload)
    following = (asked.seq + size + ("S" in asked.flags) + ("F" in asked.flags)) % 2**32
    if "S" in said.flags:
        following = (asked.seq + 1) % 2**32
    if "A" in said.flags and said.ack != following:
        problems.append(f"acknowledges {said.ack}, not {following}")
    if "A" in asked.flags and said.seq != asked.ack:
        problems.append(f"continues at {said.seq}, not at {asked.ack}")


def check(question, answer):
    problems = []
    if len(answer) > 3 * len(question) and "S" in Ether(answer)[TCP].flags:
        problems.append("larger than three times the question")
    question, answer = Ether(question), Ether(answer)
    if TCP not in answer:
        return ["no TCP"]
    check_lengths(answer, problems)
    check_sums(answer, problems)
    if TCP in question and "frag" not in question.summary().lower():
        check_turned(question, answer, problems)
        check_numbers(question, answer, problems)
    return problems


def main():
    build = os.environ.get("SW_BUILD", "build")
    print(f"1..{len(PROGRAMS)}")
    failed = False
    for number, program in enumerate(PROGRAMS, 1):
        frames = frames_of(program, build)
        found = {}
        for question, answer in frames:
            for problem in check(question, answer):
                found.setdefault(problem, (question, answer))
        if len(frames) < LEAST[program]:
            found[f"only {len(frames)} answers"] = (b"", b"")
        failed = failed or bool(found)
        print(f"{'not ok' if found else 'ok'} {number} - {len(frames)} answers of {program}")
        for problem, (question, answer) in found.items():
            print(f"# {problem}: {question.hex()} {answer.hex()}")
    return failed


if os.geteuid():
    print("1..0 # SKIP needs root")
    sys.exit(0)
try:
    from scapy.all import IP, TCP, Dot1AD, Dot1Q, Ether, IPv6, PPPoE, bind_layers
except ImportError:
    print("1..0 # SKIP scapy is not installed")
    sys.exit(0)
bind_layers(Ether, Dot1Q, type=0x9100)
sys.exit(main())
