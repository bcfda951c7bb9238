# SPDX-License-Identifier: GPL-2.0-or-later
"""The attacks that evade.py plays. Each gets a connection that is not open yet."""
from scapy.layers.inet import IP, IPOption_EOL, IPOption_NOP, IPOption_RR
from scapy.layers.inet6 import (IPv6, IPv6ExtHdrDestOpt, IPv6ExtHdrFragment, IPv6ExtHdrHopByHop, PadN)
from scapy.layers.ipsec import AH
from scapy.packet import Raw

from evade import FAR, HELLO, SERVER_HELLO, WORLD, attack

BAD = 0x1234  # for a checksum


# ---- segments of TCP ----

@attack("segments")
def plain(c):
    c.greeted().say(c.secret)


@attack("segments")
def one_byte_each(c):
    c.greeted()
    for i in range(len(c.secret)):
        c.say(c.secret[i:i + 1])


@attack("segments")
def before_the_greeting(c):
    c.open()
    c.say(c.secret)


@attack("segments")
def ack_without_syn(c):
    c.ack = 4711
    c.send(c.secret)


@attack("segments")
def syn_with_data(c):
    c.send(c.secret, flags="S")


@attack("segments")
def data_behind_the_syn(c):
    c.send(flags="S")
    c.ack = 4711
    c.send(c.secret, at=1)


@attack("segments", start=WORLD - 20)
def sequence_wraps(c):
    c.greeted()
    for part in (c.secret[:10], c.secret[10:]):
        c.say(part)


@attack("segments")
def urgent(c):
    c.greeted().send(b"AX" + c.secret[1:], flags="PAU", urgptr=2)


@attack("segments")
def urgent_behind(c):
    c.greeted().send(b"NOOP\r\n" + c.secret, flags="PAU", urgptr=1)


@attack("segments")
def no_flags(c):
    c.greeted().send(c.secret, flags="")


@attack("segments")
def only_fin(c):
    c.greeted().send(c.secret, flags="FA")


@attack("segments")
def all_options(c):
    c.tcp_options = [("NOP", None)] * 40
    c.greeted().say(c.secret)


# ---- the same place twice ----

@attack("overlaps")
def again_and_more(c):
    c.greeted().say(b"NOOP\r\n")
    c.send(b"NOOP\r\n" + c.secret, at=-6)


@attack("overlaps")
def other_bytes_again(c):
    c.greeted().say(b"NOOP\r\n")
    c.send(b"AUTH " + c.secret, at=-5)


@attack("overlaps")
def ahead_first(c):
    c.greeted().send(c.secret, at=6)
    c.send(b"NOOP\r\n")


@attack("overlaps")
def ahead_over_it(c):
    c.greeted().send(c.secret[1:], at=1)
    c.send(b"EHLO " + b"x" * len(c.secret))
    c.send(c.secret[:1])


@attack("overlaps")
def half_and_half(c):
    """Two segments that overlap by half, each of them harmless before."""
    c.greeted().send(b"NOOP")
    c.send(c.secret, at=2)
    c.send(c.secret)


@attack("overlaps")
def a_byte_before_the_start(c):
    c.greeted().send(b"\n" + c.secret, at=-1)


@attack("overlaps")
def half_the_world_away(c):
    c.greeted().send(HELLO, at=1 << 31)
    c.send(c.secret)


# ---- decoys: seen by the edge, never by the server ----

@attack("decoys")
def noop_dies(c):
    c.greeted().send(b"NOOP x" + b"y" * (len(c.secret) - 8) + b"\r\n", ttl=1)
    c.send(c.secret)


@attack("decoys", to=465)
def hello_dies(c):
    c.open()
    c.send(HELLO, ttl=1)
    c.send(c.secret)


@attack("decoys", to=465)
def hello_dies_and_on(c):
    c.open()
    c.send(HELLO, ttl=1)
    c.send(c.secret, at=len(HELLO))
    c.send(b"\r\n" * (len(HELLO) // 2) + b"\n" * (len(HELLO) % 2))


@attack("decoys", to=465)
def hello_with_a_bad_sum(c):
    c.open()
    c.send(HELLO, chksum=BAD)
    c.send(c.secret)


@attack("decoys", families=[4], to=465)
def hello_with_a_bad_sum_of_ip(c):
    c.open()
    c.send(HELLO, ip={"chksum": BAD})
    c.send(c.secret)


@attack("decoys", to=465)
def hello_behind_the_end(c):
    """In the frame, but behind what the IP header says is the packet."""
    c.open()
    c.send(HELLO, ip={"len": 40} if c.family == 4 else {"plen": 20})
    c.send(c.secret)


@attack("decoys")
def starttls_dies(c):
    c.greeted().send(b"STARTTLS\r\n", ttl=1)
    c.send(HELLO, at=10, ttl=1)
    c.send(c.secret)


@attack("decoys")
def hello_dies_behind_starttls(c):
    c.greeted().say(b"STARTTLS\r\n")
    if c.opened:
        c.hear()
    c.send(HELLO, ttl=1)
    c.send(c.secret)


def forged(c, data, flags="PA", seq=None):
    """From the server, as far as the addresses say; the router sends it back to where it came from."""
    ip = (IP(src=FAR[4], dst=c.link.at[4]) if c.family == 4 else IPv6(src=FAR[6], dst=c.link.at[6]))
    tcp = c.tcp(data, flags=flags)
    tcp.sport, tcp.dport, tcp.seq, tcp.ack = c.to, c.port, c.ack if seq is None else seq, c.seq
    return ip / tcp


@attack("decoys", to=465)
def answer_is_forged(c):
    c.open()
    c.send(HELLO, ttl=1)
    c.seq = (c.seq + len(HELLO)) % WORLD
    c.link.send(forged(c, SERVER_HELLO))
    c.settle()
    c.send(c.secret, at=-len(HELLO))


@attack("decoys")
def permission_is_forged(c):
    c.greeted().send(b"STARTTLS\r\n", ttl=1)
    c.seq += 10
    c.link.send(forged(c, b"220 ok\r\n"))
    c.settle()
    c.send(HELLO, ttl=1)
    c.seq, c.ack = (c.seq + len(HELLO)) % WORLD, c.ack + 8
    c.link.send(forged(c, SERVER_HELLO))
    c.settle()
    c.ack -= 8
    c.send(c.secret, at=-len(HELLO) - 10)


@attack("decoys", to=465)
def syn_ack_is_forged(c):
    c.send(flags="S", ttl=1)
    c.seq = (c.start + 1) % WORLD
    c.link.send(forged(c, b"", flags="SA", seq=4711))
    c.ack = 4712
    c.send(HELLO, ttl=1)
    c.seq = (c.seq + len(HELLO)) % WORLD
    c.link.send(forged(c, SERVER_HELLO))
    c.settle()
    c.send(c.secret, at=-len(HELLO))


# ---- beginnings and ends that are none ----

@attack("restarts")
def syn_again(c):
    c.greeted().send(flags="S", at=-1)
    c.send(c.secret)


@attack("restarts")
def syn_of_another_place(c):
    c.greeted().send(flags="S", at=1 << 20)
    c.send(HELLO, at=(1 << 20) + 1, ttl=1)
    c.send(c.secret)


@attack("restarts")
def syn_ack_of_the_client(c):
    c.greeted().send(flags="SA", at=-1)
    c.send(c.secret)


@attack("restarts")
def syn_dies(c):
    c.send(flags="S", at=777, ttl=1)
    c.greeted().say(c.secret)


@attack("restarts")
def reset_dies(c):
    c.greeted().send(flags="RA", ttl=1)
    c.send(c.secret)


@attack("restarts")
def reset_with_a_bad_sum(c):
    c.greeted().send(flags="RA", chksum=BAD)
    c.send(c.secret)


@attack("restarts")
def reset_out_of_the_window(c):
    c.greeted().send(flags="R", at=1 << 31)
    c.send(c.secret)


@attack("restarts")
def fin_dies(c):
    c.greeted().send(flags="FA", ttl=1)
    c.send(c.secret)


@attack("restarts")
def fin_with_a_bad_sum(c):
    c.greeted().send(flags="FA", chksum=BAD)
    c.send(c.secret)


def in_tls(c):
    if c.open():
        c.say(HELLO)
        c.hear()
        c.say(b"\x17\x03\x03\0\x05abcde")


@attack("restarts", to=465)
def tuple_again(c):
    """A connection in TLS is ended, and another one begins between the same ports."""
    in_tls(c)
    c.send(flags="RA")
    c.settle()
    c.start, c.opened, c.reset = (c.start + (1 << 24)) % WORLD, False, False
    c.open()
    c.say(c.secret)


@attack("restarts", to=465)
def tuple_again_where_the_other_was(c):
    """The same, with numbers that the one before had."""
    in_tls(c)
    c.send(flags="RA")
    c.settle()
    c.opened = c.reset = False
    c.open()
    c.say(c.secret)


@attack("restarts", to=465)
def tuple_again_without_a_syn(c):
    in_tls(c)
    c.send(flags="RA")
    c.settle()
    c.to = 587
    c.send(c.secret)


# ---- headers ----

@attack("headers", families=[4])
def options(c):
    c.options = [IPOption_NOP()] * 40
    c.greeted().say(c.secret)


@attack("headers", families=[4])
def options_late(c):
    c.greeted().options = [IPOption_NOP()] * 3 + [IPOption_EOL()]
    c.say(c.secret)


@attack("headers", families=[4])
def record_route(c):
    c.options = [IPOption_RR(routers=["0.0.0.0"] * 9)]
    c.greeted().say(c.secret)


@attack("headers")
def data_offset_too_small(c):
    c.greeted().send(c.secret, dataofs=4)


@attack("headers")
def data_offset_zero(c):
    c.greeted().send(c.secret, dataofs=0)


@attack("headers")
def data_offset_too_large(c):
    c.greeted().send(c.secret[:-2] + b"\r\n", dataofs=15)


@attack("headers", dies=True)
def length_too_short(c):
    c.greeted().send(c.secret, ip={"len": 41} if c.family == 4 else {"plen": 21})


@attack("headers", dies=True)
def length_too_long(c):
    c.greeted().send(c.secret, ip={"len": 1400} if c.family == 4 else {"plen": 1400})


@attack("headers", families=[6], dies=True)
def length_zero(c):
    c.greeted().send(c.secret, ip={"plen": 0})


@attack("headers", families=[4], dies=True)
def header_too_long(c):
    c.greeted().send(c.secret[:10], ip={"ihl": 15})
    c.send(c.secret, ip={"ihl": 15})


@attack("headers", families=[4], dies=True)
def header_too_short(c):
    c.greeted().send(c.secret, ip={"ihl": 4})


# ---- fragments ----

def pieces(c, packet, cuts):
    """Fragments of a packet: (offset, bytes, more come)."""
    payload = bytes(packet.payload)
    ends = [cut for cut in cuts if cut < len(payload)] + [len(payload)]
    return [(begin, payload[begin:end], end < len(payload)) for begin, end in zip([0] + ends, ends)]


def fragment(c, offset, data, more, header=6):
    if c.family == 4:
        return IP(src=c.link.at[4], dst=FAR[4], id=c.port, proto=6, frag=offset // 8, flags=int(more)) / Raw(data)
    return (IPv6(src=c.link.at[6], dst=FAR[6]) /
            IPv6ExtHdrFragment(nh=header, offset=offset // 8, m=int(more), id=c.port) / Raw(data))


def in_fragments(c, cuts, order=1, header=6, later=None, **fields):
    """`later`: the header that fragments after the first one name, where it is another."""
    for offset, data, more in pieces(c, c.packet(c.secret, **fields), cuts)[::order]:
        c.link.send(fragment(c, offset, data, more, header=later or header if offset else header))


@attack("fragments", only_taken=True)
def tiny_8(c):
    in_fragments(c.greeted(), [8])


@attack("fragments", only_taken=True)
def tiny_16(c):
    in_fragments(c.greeted(), [16])


@attack("fragments", only_taken=True)
def behind_the_header(c):
    in_fragments(c.greeted(), [24])


@attack("fragments", families=[4], only_taken=True)
@attack("fragments", families=[6], only_taken=True, dies=True)  # Linux takes none so short
def all_tiny(c):
    in_fragments(c.greeted(), range(8, 64, 8))


@attack("fragments", only_taken=True)
def last_one_first(c):
    in_fragments(c.greeted(), [24, 32], order=-1)


@attack("fragments", only_taken=True)
def syn_in_fragments(c):
    for piece in pieces(c, c.packet(flags="S"), [8]):
        c.link.send(fragment(c, *piece))
    for tcp, _ in c.settle():
        if tcp.flags == "SA":
            c.take(tcp)
    in_fragments(c, [8])


@attack("fragments", only_taken=True)
def overlapping(c):
    """The first one is harmless, the second lies over its command."""
    c.greeted()
    harmless = bytes(c.packet(b"NOOP".ljust(len(c.secret) - 2, b"x") + b"\r\n").payload)
    bad = bytes(c.packet(c.secret).payload)
    c.link.send(fragment(c, 0, harmless[:32], True))
    c.link.send(fragment(c, 16, bad[16:], False))


@attack("fragments", only_taken=True)
def overlapping_the_header(c):
    """The first one goes to a port that nobody guards; the next would change that."""
    c.greeted()
    bad = bytes(c.packet(c.secret).payload)
    free = bad[:2] + b"\0\x09" + bad[4:]
    c.link.send(fragment(c, 0, free[:24], True))
    c.link.send(fragment(c, 0, bad[:24], True))
    c.link.send(fragment(c, 24, bad[24:], False))


@attack("fragments", only_taken=True)
def an_empty_first_one(c):
    c.greeted()
    bad = bytes(c.packet(c.secret).payload)
    c.link.send(fragment(c, 0, b"", True))
    c.link.send(fragment(c, 0, bad[:24], True))
    c.link.send(fragment(c, 24, bad[24:], False))


# ---- headers of IPv6 ----

def options_header(length=8):
    return IPv6ExtHdrDestOpt(options=[PadN(optdata=b"\0" * (length - 4))])


def with_chain(length):
    def chain(c):
        c.chain = [options_header()] * length
        c.greeted().say(c.secret)
    chain.__name__ = "chain_of_%d" % length
    attack("chains", families=[6])(chain)


for n in range(1, 10):
    with_chain(n)


@attack("chains", families=[6])
def chain_late(c):
    c.greeted().chain = [IPv6ExtHdrHopByHop(options=[PadN(optdata=b"\0" * 4)]), options_header()]
    c.say(c.secret)


@attack("chains", families=[6])
def a_long_one(c):
    c.chain = [options_header(248)] * 4
    c.greeted().say(c.secret)


@attack("chains", families=[6])
def atomic(c):
    c.chain = [IPv6ExtHdrFragment(id=c.port)]
    c.greeted().say(c.secret)


@attack("chains", families=[6])
def atomic_twice(c):
    c.greeted().chain = [IPv6ExtHdrFragment(id=c.port), IPv6ExtHdrFragment(id=c.port + 1)]
    c.say(c.secret)


@attack("chains", families=[6])
def authentication(c):
    c.greeted().chain = [AH(nh=6, payloadlen=4, spi=1, seq=1, icv=b"\0" * 12, padding=b"")]
    c.say(c.secret)


@attack("chains", families=[6], only_taken=True)
def unknown(c):
    """TCP for nobody: no host looks behind a header that it does not know."""
    c.greeted()
    tcp = bytes(c.packet(c.secret).payload)
    c.link.send(IPv6(src=c.link.at[6], dst=FAR[6], nh=253) / Raw(b"\x06\0\0\0\0\0\0\0" + tcp))


@attack("chains", families=[6], only_taken=True)
def first_fragment_without_tcp(c):
    """RFC 7112: only a header of options lies in it."""
    c.greeted()
    c.chain = [options_header()]
    in_fragments(c, [8], header=60)


@attack("chains", families=[6], only_taken=True)
def first_fragment_with_options(c):
    c.greeted()
    c.chain = [options_header()]
    in_fragments(c, [40], header=60)


@attack("chains", families=[6], only_taken=True)
def later_ones_of_another_kind(c):
    c.greeted()
    in_fragments(c, [24], later=17)


@attack("chains", families=[6], only_taken=True)
def options_before_the_fragment(c):
    c.greeted()
    for offset, data, more in pieces(c, c.packet(c.secret), [8]):
        c.link.send(IPv6(src=c.link.at[6], dst=FAR[6]) / options_header() /
                    IPv6ExtHdrFragment(nh=6, offset=offset // 8, m=int(more), id=c.port) / Raw(data))


# ---- frames ----

@attack("frames", families=[4, 6], link="triple")
def three_tags(c):
    # The edge lets nothing of it pass, not even an echo.
    if c.open(patience=2):
        c.hear()
        c.say(c.secret)


@attack("frames", families=[4, 6], link="compressed")
def short_protocol(c):
    c.greeted().say(c.secret)
