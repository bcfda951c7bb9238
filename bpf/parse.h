/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * parse.h - a cursor over what stands before IP (parse_link.h), IPv4 with options, IPv6 with extension
 * headers, TCP. One function a header, a named verdict for each odd case. Pure: no map, no clock, no
 * I/O, so the kernel programs, `smtpwall replay` and the tests walk headers alike.
 *
 * The includer says how bytes are had, before including this:
 *
 *     #define SW_PARSE_LOAD(from, offset, to, size)    0, or negative when they are not there
 *
 * What decides is the bytes that are there; lengths that headers claim are used for the payload's
 * size alone, so a false length hides nothing. Ports, sequence numbers and offsets are in host order,
 * addresses in network order, IPv4 as ::ffff:a.b.c.d.
 *
 * Which way it fails: each verdict from SW_PARSE_TRUNCATED on means that TCP can't be excluded and its
 * port isn't known. What that leads to is the caller's to say.
 */
#ifndef SW_PARSE_H
#define SW_PARSE_H

#include "bpf/abi.h"

#define SW_PARSE_INLINE static inline __attribute__((always_inline, unused))

/* The verifier must see the mask that bounds an offset; the compiler would drop it. */
#define SW_PARSE_OPAQUE(value) __asm__ volatile("" : "+r"(value))

#define SW_PARSE_EXT_MAX 8        /* extension headers of one packet */
#define SW_PARSE_VLAN_MAX 2       /* tags */
#define SW_PARSE_OFFSET_MAX 16383 /* where a header may begin */

enum sw_parse {
	SW_PARSE_TCP = 0,        /* whole TCP header read */
	SW_PARSE_TCP_PORTS,      /* TCP; ports read, the rest of the header is not there */
	SW_PARSE_OTHER,          /* another protocol than TCP */
	SW_PARSE_LATER_FRAGMENT, /* not the first fragment: begins behind the ports */
	SW_PARSE_NOT_IP,         /* neither IPv4 nor IPv6 inside */
	SW_PARSE_TRUNCATED,      /* ends before the ports. In a first fragment too: a reader that
				    puts fragments together would see a header that we do not */
	SW_PARSE_BAD_HEADER,     /* version or length that no header may have */
	SW_PARSE_HEADERS_MANY,   /* more extension headers than are walked */
	SW_PARSE_LINK_UNREAD,    /* more tags than are read, SNAP, PPP that packs its load */
	SW_PARSE_MAX
};

enum sw_ether_type {
	SW_ETHER_IPV4 = 0x0800,
	SW_ETHER_IPV6 = 0x86dd,
	SW_ETHER_VLAN = 0x8100,
	SW_ETHER_QINQ = 0x88a8,
	SW_ETHER_QINQ_OLD = 0x9100,
	SW_ETHER_PPPOE = 0x8864, /* session */
};

enum sw_protocol {
	SW_PROTOCOL_HOP_BY_HOP = 0,
	SW_PROTOCOL_TCP = 6,
	SW_PROTOCOL_ROUTING = 43,
	SW_PROTOCOL_FRAGMENT = 44,
	SW_PROTOCOL_AH = 51,
	SW_PROTOCOL_DESTINATION = 60,
	SW_PROTOCOL_MOBILITY = 135,
	SW_PROTOCOL_HIP = 139,
	SW_PROTOCOL_SHIM6 = 140,
};

#define SW_TCP_FIN 0x01
#define SW_TCP_SYN 0x02
#define SW_TCP_RST 0x04
#define SW_TCP_PSH 0x08
#define SW_TCP_ACK 0x10
#define SW_TCP_URG 0x20

/* What was found. Also the cursor: `at` and `protocol` say what comes next and where. */
struct sw_packet {
	__u32 verdict;  /* enum sw_parse */
	__u32 at;       /* offset of the header to read next; at the end, of the payload */
	__u32 end;      /* offset behind the IP packet as its header claims, 0: it does not say */
	__u16 ether;    /* enum sw_ether_type, host order */
	__u8 protocol;  /* of the header at `at` */
	__u8 fragment;  /* 1: first of several, 2: a later one */
	__u8 tcp_flags; /* SW_TCP_* */
	__u8 gap;       /* in a fragment: other headers stand between its own and TCP */
	__u16 src_port, dst_port;
	__u32 seq, ack;
	__u32 payload; /* bytes of TCP payload, as the headers claim */
	__u32 ip_at;   /* offset of the IP header */
	__u8 src[16] __attribute__((aligned(8))), dst[16];
	__u16 vlan[2]; /* ids of outer and inner tag, 0: no tag */
	__u16 tcp_at;  /* offset of the TCP header */
	__u16 session; /* of PPPoE */
	__u8 pppoe;    /* bytes of its header and PPP's, 0: there is none */
	__u8 reserved;
};

SW_PARSE_INLINE __u16 sw_parse_u16(const __u8 *at)
{
	return (__u16)(at[0] << 8 | at[1]);
}

SW_PARSE_INLINE __u32 sw_parse_u32(const __u8 *at)
{
	return (__u32)at[0] << 24 | (__u32)at[1] << 16 | (__u32)at[2] << 8 | at[3];
}

SW_PARSE_INLINE void sw_parse_begin(struct sw_packet *packet)
{
	__builtin_memset(packet, 0, sizeof(*packet));
	packet->verdict = SW_PARSE_NOT_IP;
}

#include "bpf/parse_link.h"

/* ---- IP ---- */

/* Reads an IPv4 header. 0: packet->protocol and packet->at are set. */
SW_PARSE_INLINE int sw_parse_ipv4(void *from, struct sw_packet *packet)
{
	__u32 length, fragment;
	__u8 bytes[20];

	if (SW_PARSE_LOAD(from, packet->at, bytes, sizeof(bytes)) < 0) {
		packet->verdict = SW_PARSE_TRUNCATED;
		return -1;
	}
	length = (bytes[0] & 15) * 4u;
	if (bytes[0] >> 4 != 4 || length < sizeof(bytes)) {
		packet->verdict = SW_PARSE_BAD_HEADER;
		return -1;
	}
	packet->src[10] = packet->src[11] = packet->dst[10] = packet->dst[11] = 0xff;
	__builtin_memcpy(packet->src + 12, bytes + 12, 4);
	__builtin_memcpy(packet->dst + 12, bytes + 16, 4);
	packet->end = packet->at + sw_parse_u16(bytes + 2);
	packet->protocol = bytes[9];
	packet->at += length;
	fragment = sw_parse_u16(bytes + 6);
	if (fragment & 0x1fff)
		packet->fragment = 2;
	else if (fragment & 0x2000)
		packet->fragment = 1;
	return 0;
}

/* Reads the fixed IPv6 header. 0: packet->protocol and packet->at are set. */
SW_PARSE_INLINE int sw_parse_ipv6(void *from, struct sw_packet *packet)
{
	__u8 bytes[40];
	__u32 length;

	if (SW_PARSE_LOAD(from, packet->at, bytes, sizeof(bytes)) < 0) {
		packet->verdict = SW_PARSE_TRUNCATED;
		return -1;
	}
	if (bytes[0] >> 4 != 6) {
		packet->verdict = SW_PARSE_BAD_HEADER;
		return -1;
	}
	__builtin_memcpy(packet->src, bytes + 8, 16);
	__builtin_memcpy(packet->dst, bytes + 24, 16);
	length = sw_parse_u16(bytes + 4);
	packet->protocol = bytes[6];
	packet->at += sizeof(bytes);
	packet->end = length ? packet->at + length : 0; /* 0: jumbogram */
	return 0;
}

/* Is it a header that another one follows? AH may stand in IPv4 as well. */
SW_PARSE_INLINE int sw_parse_is_extension(__u8 protocol, int ipv6)
{
	if (protocol == SW_PROTOCOL_AH)
		return 1;
	return ipv6 && (protocol == SW_PROTOCOL_HOP_BY_HOP || protocol == SW_PROTOCOL_ROUTING ||
			protocol == SW_PROTOCOL_FRAGMENT || protocol == SW_PROTOCOL_DESTINATION ||
			protocol == SW_PROTOCOL_MOBILITY || protocol == SW_PROTOCOL_HIP ||
			protocol == SW_PROTOCOL_SHIM6);
}

/* Steps over one extension header. 0: packet->protocol and packet->at are those of the next. */
SW_PARSE_INLINE int sw_parse_extension(void *from, struct sw_packet *packet)
{
	__u8 protocol = packet->protocol, bytes[4];
	__u32 at = packet->at, length, fragment;

	if (SW_PARSE_LOAD(from, at, bytes, sizeof(bytes)) < 0) {
		packet->verdict = SW_PARSE_TRUNCATED;
		return -1;
	}
	if (protocol == SW_PROTOCOL_FRAGMENT) {
		length = 8;
		fragment = sw_parse_u16(bytes + 2);
		if (fragment & 0xfff8)
			packet->fragment = 2;
		else if (fragment & 1 && !packet->fragment)
			packet->fragment = 1;
	} else if (protocol == SW_PROTOCOL_AH) {
		length = (bytes[1] + 2u) * 4;
	} else {
		length = (bytes[1] + 1u) * 8;
	}
	at += length;
	if (at > SW_PARSE_OFFSET_MAX) {
		packet->verdict = SW_PARSE_HEADERS_MANY;
		return -1;
	}
	/* One range for every way here, so that the verifier sees each round of the loop once. */
	SW_PARSE_OPAQUE(at);
	packet->at = at & SW_PARSE_OFFSET_MAX;
	packet->protocol = bytes[0];
	return 0;
}

/* ---- TCP ---- */

SW_PARSE_INLINE void sw_parse_tcp(void *from, struct sw_packet *packet)
{
	__u32 at = packet->at, length;
	__u8 bytes[20];

	if (SW_PARSE_LOAD(from, at, bytes, 4) < 0) {
		packet->verdict = SW_PARSE_TRUNCATED;
		return;
	}
	packet->src_port = sw_parse_u16(bytes);
	packet->dst_port = sw_parse_u16(bytes + 2);
	packet->verdict = SW_PARSE_TCP_PORTS;
	if (SW_PARSE_LOAD(from, at, bytes, sizeof(bytes)) < 0)
		return;
	length = (bytes[12] >> 4) * 4u;
	if (length < sizeof(bytes))
		return;
	packet->tcp_at = (__u16)at;
	packet->seq = sw_parse_u32(bytes + 4);
	packet->ack = sw_parse_u32(bytes + 8);
	packet->tcp_flags = bytes[13];
	packet->at = at + length;
	if (packet->end > packet->at)
		packet->payload = packet->end - packet->at;
	packet->verdict = SW_PARSE_TCP;
}

/* From an IP header at packet->at, of the kind that packet->ether says, to the verdict. */
SW_PARSE_INLINE void sw_parse_ip(void *from, struct sw_packet *packet)
{
	int ipv6 = packet->ether == SW_ETHER_IPV6;

	if (!ipv6 && packet->ether != SW_ETHER_IPV4) {
		packet->verdict = SW_PARSE_NOT_IP;
		return;
	}
	packet->ip_at = packet->at;
	if ((ipv6 ? sw_parse_ipv6(from, packet) : sw_parse_ipv4(from, packet)) < 0)
		return;
	for (int i = 0; i <= SW_PARSE_EXT_MAX; i++) {
		/* In a later fragment there is payload where a header would be. */
		if (packet->fragment == 2) {
			packet->verdict = SW_PARSE_LATER_FRAGMENT;
			return;
		}
		if (packet->protocol == SW_PROTOCOL_TCP) {
			sw_parse_tcp(from, packet);
			return;
		}
		if (!sw_parse_is_extension(packet->protocol, ipv6)) {
			packet->verdict = SW_PARSE_OTHER;
			return;
		}
		/* Whoever puts fragments together may have these bytes from another one. */
		if (packet->fragment)
			packet->gap = 1;
		if (sw_parse_extension(from, packet) < 0)
			return;
	}
	packet->verdict = SW_PARSE_HEADERS_MANY;
}

/* From an Ethernet header to the verdict. */
SW_PARSE_INLINE void sw_parse_frame(void *from, struct sw_packet *packet)
{
	sw_parse_begin(packet);
	if (!sw_parse_ethernet(from, packet))
		sw_parse_ip(from, packet);
}

/* Is the verdict one that leaves open whether this is TCP, and to which port? */
SW_PARSE_INLINE int sw_parse_unknown(__u32 verdict)
{
	return verdict >= SW_PARSE_TRUNCATED;
}

#endif
