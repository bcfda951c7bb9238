#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""Writes the captures that replay.sh reads, one file for each function below that begins with "cap_".

usage: captures.py FOLDER

The packets are put together here byte by byte and hold nothing that was ever sent."""
import struct
import sys

CLIENT, SERVER = "192.0.2.10", "198.51.100.20"
FIN, SYN, RST, PSH, ACK, URG = 1, 2, 4, 8, 16, 32
SECRET = b"AHVzZXIAc2VjcmV0LXdvcmQ="


def u16(n):
    return struct.pack(">H", n)


def vector(width, body):
    return len(body).to_bytes(width, "big") + body


def record(body, version=0x0301, kind=22):
    return bytes([kind]) + u16(version) + vector(2, body)


def message(kind, body):
    return bytes([kind]) + vector(3, body)


def extension(kind, body):
    return u16(kind) + vector(2, body)


def client_hello(sni=b"mail.example.net", versions=(0x0304, 0x0303), alpn=(), legacy=0x0303):
    ext = b""
    if sni:
        ext += extension(0, vector(2, b"\0" + vector(2, sni)))
    if alpn:
        ext += extension(16, vector(2, b"".join(vector(1, name) for name in alpn)))
    ext += extension(13, vector(2, bytes.fromhex("04030804")))
    if versions:
        ext += extension(43, vector(1, b"".join(u16(v) for v in versions)))
    ciphers = bytes.fromhex("0a0a13011302c02f")
    return message(1, u16(legacy) + bytes(32) + vector(1, b"") + vector(2, ciphers) +
                   vector(1, b"\0") + vector(2, ext))


def server_hello(version=0x0304, cipher=0x1301, certificate=True):
    ext = extension(43, u16(version)) if version > 0x0303 else b""
    body = message(2, u16(min(version, 0x0303)) + bytes(32) + vector(1, b"") + u16(cipher) + b"\0" +
                   (vector(2, ext) if ext else b""))
    if version <= 0x0303 and certificate:
        body += message(11, vector(3, vector(3, b"\x30\x03\x02\x01\x05")))
    return record(body, 0x0303)


HELLO = record(client_hello())
ENCRYPTED = record(b"\x55" * 40, 0x0303, 23)


def ip4(payload, src, dst, protocol=6, offset=0, more=False, number=1):
    addresses = b"".join(bytes(int(x) for x in a.split(".")) for a in (src, dst))
    head = struct.pack(">BBHHHBBH", 0x45, 0, 20 + len(payload), number,
                       offset // 8 | (0x2000 if more else 0), 64, protocol, 0)
    return head + addresses + payload


def ip6(payload, src, dst, protocol=6):
    addresses = b"".join(bytes.fromhex("20010db8" + "00" * 11 + "%02x" % int(a.split(".")[3]))
                         for a in (src, dst))
    return struct.pack(">IHBB", 0x60000000, len(payload), protocol, 64) + addresses + payload


def tcp(src_port, dst_port, seq, ack, flags, data=b""):
    return struct.pack(">HHIIBBHHH", src_port, dst_port, seq & 0xffffffff, ack & 0xffffffff, 0x50,
                       flags, 65535, 0, 0) + data


class Talk:
    """One connection; packets are IP packets in the order in which they were seen."""

    def __init__(self, port, src_port=40000, isn=1000, server_isn=0xfffffff0, ip=ip4, server=SERVER):
        self.port, self.src_port, self.ip, self.server = port, src_port, ip, server
        self.next = {"c": isn, "s": server_isn}
        self.packets = []

    def segment(self, who, data=b"", flags=ACK, seq=None):
        other = "s" if who == "c" else "c"
        ports = (self.src_port, self.port) if who == "c" else (self.port, self.src_port)
        ends = (CLIENT, self.server) if who == "c" else (self.server, CLIENT)
        at = self.next[who] if seq is None else seq
        ack = self.next[other] if flags & ACK else 0
        return self.ip(tcp(*ports, at, ack, flags, data), *ends)

    def send(self, who, data=b"", flags=ACK | PSH):
        packet = self.segment(who, data, flags)
        self.next[who] += len(data) + bool(flags & (SYN | FIN))
        self.packets.append(packet)
        return self

    def open(self):
        self.send("c", flags=SYN)
        self.send("s", flags=SYN | ACK)
        return self.send("c", flags=ACK)

    def close(self):
        self.send("c", flags=FIN | ACK)
        self.send("s", flags=FIN | ACK)
        return self.send("c", flags=ACK)

    def greet(self, starttls=True):
        self.send("s", b"220 mail.example.net ESMTP\r\n")
        self.send("c", b"EHLO client.example\r\n")
        offer = b"250-STARTTLS\r\n" if starttls else b""
        return self.send("s", b"250-mail.example.net\r\n" + offer + b"250 SIZE 1000\r\n")

    def starttls(self):
        self.send("c", b"STARTTLS\r\n")
        return self.send("s", b"220 go ahead\r\n")

    def handshake(self, hello=HELLO, answer=None):
        self.send("c", hello)
        self.send("s", answer or server_hello())
        return self.send("c", ENCRYPTED)

    def auth(self):
        return self.send("c", b"AUTH PLAIN " + SECRET + b"\r\n")


def begun(port, **how):
    return Talk(port, **how).open()


def in_tls(port, **how):
    return begun(port, **how).greet().starttls().handshake().close()


# ---- files ----

def ether(packet, tags=b""):
    return bytes(12) + tags + (b"\x08\x00" if packet[0] >> 4 == 4 else b"\x86\xdd") + packet


def pcap(link, frames, order="<", nano=False):
    out = struct.pack(order + "IHHiIII", 0xa1b23c4d if nano else 0xa1b2c3d4, 2, 4, 0, 0, 65535, link)
    for i, frame in enumerate(frames):
        frame, whole = frame if isinstance(frame, tuple) else (frame, len(frame))
        out += struct.pack(order + "IIII", 1700000000 + i, 1000 * i, len(frame), whole) + frame
    return out


def block(kind, body):
    body += bytes(-len(body) % 4)
    return struct.pack("<II", kind, len(body) + 12) + body + struct.pack("<I", len(body) + 12)


def pcapng(frames):
    out = block(0x0a0d0d0a, struct.pack("<IHHq", 0x1a2b3c4d, 1, 0, -1))
    out += block(1, struct.pack("<HHI", 1, 0, 0))
    for i, frame in enumerate(frames):
        time = (1700000000 + i) * 1000000
        out += block(6, struct.pack("<IIIII", 0, time >> 32, time & 0xffffffff, len(frame),
                                    len(frame)) + frame)
    return out


def plain(*talks):
    return pcap(1, [ether(p) for talk in talks for p in talk.packets])


# ---- captures ----

def cap_verdicts():
    """One stream for each thing that a gate may find."""
    ports = iter(range(41000, 42000))

    def talk(port=587, **how):
        return begun(port, src_port=next(ports), **how)

    return plain(
        talk().greet().auth().close(),
        talk().greet(starttls=False).auth(),
        talk().greet().send("c", b"STARTTLS\r\nEHLO x\r\n"),
        talk().greet().send("c", b"STARTTLS\r\n").send("s", b"220 ok\r\n250 injected\r\n"),
        talk().greet().starttls().send("c", b"EHLO again\r\n"),
        talk().greet().starttls().handshake(),
        talk().greet().send("c", b"STARTTLS\r\n").send("s", b"454 not now\r\n").auth(),
        talk().handshake(),
        talk(465).handshake(record(client_hello(alpn=(b"h2", b"smtp")))),
        talk(465).greet().auth(),
        talk(465).handshake(record(client_hello(versions=())), server_hello(0x0301, 0x002f)),
        talk(2525).greet().auth(),
        talk(25).greet().send("c", b"MAIL FROM:<>\r\n"),
        talk(26).greet().send("c", b"MAIL FROM:<>\r\n"),
        talk(80).send("c", b"GET / HTTP/1.1\r\n\r\n"),
        talk(443).handshake(),
        talk(587, server="127.0.0.1").greet().auth(),
        talk().greet().send("c", b"N" * 3),
        talk().send("s", b"220 x\r\n").send("c", b"NOOP\r\n" * 200),
        talk().send("c", b"PROXY TCP4 192.0.2.1 192.0.2.2 1 2\r\n"),
        talk().send("c", b"EHLO x\r\n", ACK | URG),
    )


def cap_later_tls():
    """Mail in clear first, TLS afterwards; and another protocol's STARTTLS."""
    mail = begun(25).greet().send("c", b"MAIL FROM:<>\r\n").send("s", b"250 ok\r\n")
    mail.send("c", b"RSET\r\n").send("s", b"250 ok\r\n").starttls().handshake()
    imap = begun(143, src_port=40001).send("s", b"* OK\r\n").send("c", b". STARTTLS\r\n")
    imap.send("s", b". OK\r\n").handshake()
    return plain(mail, imap)


def cap_bytes():
    """Every byte in a segment of its own, each sent twice."""
    talk = begun(587).greet()
    for byte in b"STARTTLS\r\n":
        talk.packets += [talk.segment("c", bytes([byte]))] * 2
        talk.next["c"] += 1
    talk.send("s", b"220 go ahead\r\n")
    for byte in HELLO:
        talk.send("c", bytes([byte]))
    talk.send("s", server_hello()).send("c", ENCRYPTED)
    clear = begun(587, src_port=40001).greet()
    for byte in b"AUTH PLAIN " + SECRET + b"\r\n":
        clear.send("c", bytes([byte]))
    # Refused at its first byte, which is no proof of the command that it may have begun.
    hello = begun(465, src_port=40002)
    for byte in b"EHLO client.example\r\n":
        hello.send("c", bytes([byte]))
    proxied = begun(2526, src_port=40003)
    for byte in b"PROXY TCP4 192.0.2.1 198.51.100.20 1234 587\r\n" + HELLO:
        proxied.send("c", bytes([byte]))
    proxied.send("s", server_hello()).send("c", ENCRYPTED)
    return plain(talk, clear, hello, proxied)


def cap_order():
    """Segments ahead of a gap that closes: two halves of the hello, and of the answer, changed round."""
    talk = begun(587).greet().starttls()
    at = talk.next["c"]
    talk.packets += [talk.segment("c", HELLO[50:], seq=at + 50), talk.segment("c", HELLO[:70], seq=at)]
    talk.next["c"] += len(HELLO)
    answer, at = server_hello(), talk.next["s"]
    talk.packets += [talk.segment("s", answer[20:], seq=at + 20), talk.segment("s", answer[:20], seq=at)]
    talk.next["s"] += len(answer)
    return plain(talk.send("c", ENCRYPTED))


def cap_gap():
    """Segments that were lost and never came: of the client, of the server, and one that was cut."""
    client = begun(587).greet()
    client.next["c"] += 10
    client.auth()
    server = begun(587, src_port=40001).greet().send("c", b"STARTTLS\r\n")
    server.next["s"] += len(b"220 go ahead\r\n")
    server.handshake()
    cut = begun(587, src_port=40002).greet()
    cut.send("c", b"HELP me\r\n").auth()
    frames = [ether(p) for p in client.packets + server.packets]
    frames += [ether(p) for p in cut.packets[:-2]] + [(ether(cut.packets[-2])[:-4], 63)]
    return pcap(1, frames + [ether(cut.packets[-1])])


def cap_resend():
    """A re-send with other bytes."""
    talk = begun(587).greet()
    at = talk.next["c"]
    talk.send("c", b"NOOP\r\n")
    talk.packets.append(talk.segment("c", b"AUTH P", seq=at))
    return plain(talk)


def cap_numbers():
    """One pair of ends, several streams: a SYN again, a SYN with another number, one without a SYN."""
    first = begun(587).greet()
    first.packets.insert(1, first.packets[0])
    first.auth()
    second = begun(587, isn=5000).greet().starttls().handshake().close()
    third = Talk(587, isn=9000).greet().auth()
    middle = Talk(587, src_port=40001).greet().auth()
    return plain(first, second, third, middle)


def cap_one_side():
    """Only one side was captured."""
    frames = []
    for i, talk in enumerate([in_tls(587), begun(587).greet().auth(), begun(587).greet()]):
        for side in "cs":
            one = Talk(587, src_port=40000 + i * 2 + (side == "s"))
            source = bytes(int(x) for x in (CLIENT if side == "c" else SERVER).split("."))
            ports = u16(one.src_port) + u16(587) if side == "c" else u16(587) + u16(one.src_port)
            frames += [ether(p[:20] + ports + p[24:]) for p in talk.packets if p[12:16] == source]
    return pcap(1, frames)


def cap_fast_open():
    """The first bytes come with the SYN."""
    talk = Talk(465)
    talk.send("c", HELLO, SYN)
    return plain(talk.send("s", flags=SYN | ACK).send("s", server_hello()).send("c", ENCRYPTED))


def cap_fragments():
    """IPv4 fragments of one segment, IPv6 extension headers, AH, something that is no TCP."""
    talk = begun(587).greet()
    whole = talk.segment("c", b"AUTH PLAIN " + SECRET + b"\r\n")[20:]
    parts = [ip4(whole[:24], CLIENT, SERVER, more=True), ip4(whole[24:], CLIENT, SERVER, offset=24)]

    def extended(payload, src, dst):
        return ip6(bytes([43, 0]) + bytes(6) + bytes([6, 0]) + bytes(6) + payload, src, dst, 60)

    other = begun(587, ip=extended).greet().auth()
    udp = ip4(struct.pack(">HHHH", 53, 53, 8, 0), CLIENT, SERVER, 17)
    short = talk.packets[0][:22]
    return pcap(1, [ether(p) for p in talk.packets + parts + other.packets + [udp, short]])


def cap_vlan():
    tags = bytes.fromhex("88a80001810000ff")
    return pcap(1, [ether(p, tags) for p in in_tls(587, ip=ip6).packets], ">", True)


def cap_qinq():
    """Two tags of the types that came before 802.1ad, and IPv4 inside."""
    tags = bytes.fromhex("910000058100000a")
    return pcap(1, [ether(p, tags) for p in in_tls(587).packets])


def session(packet, protocol=None):
    """A packet in a PPPoE session."""
    kind = protocol or (b"\0\x21" if packet[0] >> 4 == 4 else b"\0\x57")
    body = kind + packet
    return bytes(12) + b"\x88\x64\x11\0" + u16(7) + u16(len(body)) + body


def cap_pppoe():
    """Sessions: both families, a PPP protocol of one byte, behind a tag, and LCP."""
    frames = [session(p) for p in in_tls(587).packets]
    frames += [session(p) for p in begun(587, ip=ip6).greet().auth().packets]
    frames += [session(p, b"\x21") for p in begun(587, src_port=40001).greet().auth().packets]
    tagged = [session(p) for p in begun(587, src_port=40002).greet().auth().packets]
    frames += [f[:12] + bytes.fromhex("8100000a") + f[12:] for f in tagged]
    return pcap(1, frames + [session(bytes(8), b"\xc0\x21")])


def cap_cooked():
    return pcap(113, [bytes(14) + b"\x08\x00" + p for p in in_tls(587).packets])


def cap_cooked2():
    return pcap(276, [b"\x86\xdd" + bytes(18) + p for p in in_tls(587, ip=ip6).packets])


def cap_cooked_tags():
    """What libpcap puts into a capture of all devices: a tag, a PPPoE session, both."""
    def cooked(frame):
        return bytes(14) + frame[12:]

    frames = [cooked(ether(p, bytes.fromhex("81000005"))) for p in in_tls(587).packets]
    frames += [cooked(session(p)) for p in begun(587, src_port=40001).greet().auth().packets]
    for p in begun(587, src_port=40002, ip=ip6).greet().auth().packets:
        frames.append(bytes(14) + bytes.fromhex("81000005") + session(p)[12:])
    return pcap(113, frames)


def cap_raw():
    return pcap(101, in_tls(587).packets + begun(587, ip=ip6).greet().auth().packets)


def cap_loopback():
    return pcap(0, [struct.pack("<I", 2) + p for p in in_tls(587).packets])


def cap_openbsd():
    return pcap(108, [struct.pack(">I", 24) + p for p in in_tls(587, ip=ip6).packets])


def cap_wifi():
    return pcap(105, in_tls(587).packets)


def cap_ng():
    return pcapng([ether(p) for p in in_tls(587).packets])


# ---- forwarded traffic, judged by edge.policy ----

def cap_edge_verdicts():
    """Rules by source and destination, both families, and the gate."""
    ports = iter(range(41000, 42000))

    def talk(port, **how):
        return begun(port, src_port=next(ports), **how)

    return plain(
        talk(25, server="198.51.100.21").greet().close(),
        talk(25).send("s", b"220 x\r\n"),
        talk(25, ip=ip6).greet().close(),
        talk(26).greet().close(),
        talk(27).greet().send("c", b"MAIL FROM:<>\r\n"),
        talk(465).handshake(),
        talk(587).greet().starttls().handshake(),
        talk(587).greet().auth(),
        talk(587, ip=ip6).greet().auth(),
        talk(2525).greet().auth(),
        talk(80).send("c", b"GET / HTTP/1.1\r\n\r\n"),
    )


def cap_edge_begin():
    """Streams without their SYN: of the client, of the server; a late one; where only recorded; an allowed
    one; a client whose port is the lower one."""
    def middle(port, src_port):
        return Talk(port, src_port=src_port).greet().starttls().handshake()

    late = Talk(587, src_port=40001).greet()
    late.send("c", flags=SYN)
    return plain(
        middle(587, 40000),
        late,
        middle(2525, 40002),
        middle(27, 40003),
        Talk(25, src_port=40004, server="198.51.100.21").greet(),
        Talk(26, src_port=40005).greet(),
        middle(2525, 1025),
        Talk(587, src_port=40006).send("s", flags=SYN | ACK).send("c", flags=ACK).greet().auth(),
        begun(587, src_port=40007).greet().auth().close(),
        begun(587, src_port=40007, isn=70000).greet().starttls().handshake(),
    )


def cap_edge_fragments():
    """The first part of a packet that was cut: before TLS, in TLS, of the server, where anything may pass."""
    def cut(talk, who, data):
        packet = talk.segment(who, data)
        ends = (CLIENT, SERVER) if who == "c" else (SERVER, CLIENT)
        talk.packets += [ip4(packet[20:44], *ends, more=True), ip4(packet[44:], *ends, offset=24)]
        talk.next[who] += len(data)
        return talk

    return plain(
        cut(begun(587).greet(), "c", b"NOOP and more\r\n").auth(),
        cut(begun(587, src_port=40001).greet().starttls().handshake(), "c", ENCRYPTED),
        cut(begun(587, src_port=40002), "s", b"220 mail.example.net\r\n").auth(),
        cut(begun(587, src_port=40003).greet().auth(), "c", b"NOOP\r\n"),
        cut(begun(26, src_port=40004), "c", b"EHLO client.example\r\n"),
        cut(begun(2525, src_port=40005), "c", b"EHLO client.example\r\n"),
    )


def cap_damaged():
    return plain(begun(587).greet().auth())[:-30]


def cap_empty():
    return pcap(1, [])


def cap_nothing():
    return b""


def cap_compressed():
    return bytes.fromhex("1f8b0800000000000003") + bytes(40)


def main():
    for name, make in sorted(globals().items()):
        if name.startswith("cap_"):
            with open(sys.argv[1] + "/" + name[4:] + ".pcap", "wb") as file:
                file.write(make())


main()
