/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * edge_reply.h - what the edge says to a client in a server's name: a RST, a SYN-ACK, the segment with a 554 line,
 * an ACK. IP and TCP headers without options, with their checksums, from what was read of the client's
 * packet (parse.h). Pure: the caller puts them in place of the client's.
 *
 * Checksums are sums of 16-bit words as they lie in memory, so that nothing is swapped; ones' complement
 * arithmetic comes out the same in either byte order (RFC 1071, section 2(B)).
 */
#ifndef SW_EDGE_REPLY_H
#define SW_EDGE_REPLY_H

#include "bpf/parse.h"

#define SW_REPLY_MAX 60 /* IPv6 and TCP */

/* Of the segment to be sent. Ports and addresses are those of the client's, turned round. */
struct sw_reply {
	__u32 seq, ack;
	__u8 flags;
	__u8 reserved;
	__u16 length; /* of the payload, which the caller writes behind the headers */
	__u16 sum;    /* of the payload, in memory order */
};

/* To a segment that nobody is to have an answer to but this (RFC 9293, 3.10.7.1); never to a RST. */
SW_PARSE_INLINE void sw_reply_reset(const struct sw_packet *packet, struct sw_reply *reply)
{
	__builtin_memset(reply, 0, sizeof(*reply));
	reply->flags = SW_TCP_RST;
	if (packet->tcp_flags & SW_TCP_ACK) {
		reply->seq = packet->ack;
		return;
	}
	reply->flags |= SW_TCP_ACK;
	reply->ack = packet->seq + packet->payload + !!(packet->tcp_flags & SW_TCP_SYN) +
		     !!(packet->tcp_flags & SW_TCP_FIN);
}

/* To a SYN; what it carries is not acknowledged. */
SW_PARSE_INLINE void sw_reply_syn(const struct sw_packet *packet, __u32 cookie,
				  struct sw_reply *reply)
{
	__builtin_memset(reply, 0, sizeof(*reply));
	reply->flags = SW_TCP_SYN | SW_TCP_ACK;
	reply->seq = cookie;
	reply->ack = packet->seq + 1;
}

/* Acknowledges all that the client sent, from where it expects us to be. */
SW_PARSE_INLINE void sw_reply_ack(const struct sw_packet *packet, struct sw_reply *reply)
{
	__builtin_memset(reply, 0, sizeof(*reply));
	reply->flags = SW_TCP_ACK;
	reply->seq = packet->ack;
	reply->ack = packet->seq + packet->payload + !!(packet->tcp_flags & SW_TCP_FIN);
}

/* May this packet be answered at all? Not what was sent to or from more than one, nor a piece. */
SW_PARSE_INLINE int sw_reply_may(const struct sw_packet *packet)
{
	__u8 any = 0;

	if (packet->fragment || packet->tcp_flags & SW_TCP_RST)
		return 0;
	if (packet->ether == SW_ETHER_IPV4)
		return packet->src[12] && packet->src[12] < 224 && packet->dst[12] &&
		       packet->dst[12] < 224;
#pragma GCC unroll 16
	for (int i = 0; i < 16; i++)
		any |= packet->src[i];
	return any && packet->src[0] != 0xff && packet->dst[0] != 0xff;
}

SW_PARSE_INLINE void sw_reply_u16(__u8 *at, __u32 value)
{
	at[0] = (__u8)(value >> 8);
	at[1] = (__u8)value;
}

SW_PARSE_INLINE void sw_reply_u32(__u8 *at, __u32 value)
{
	sw_reply_u16(at, value >> 16);
	sw_reply_u16(at + 2, value);
}

/* `bytes` is a constant; even. */
SW_PARSE_INLINE __u64 sw_reply_sum(const __u8 *at, __u32 bytes)
{
	__u64 sum = 0;
	__u16 word;

#pragma GCC unroll 32
	for (__u32 i = 0; i < bytes; i += 2) {
		__builtin_memcpy(&word, at + i, sizeof(word));
		sum += word;
	}
	return sum;
}

/* The checksum field of a sum. */
SW_PARSE_INLINE void sw_reply_check(__u8 *at, __u64 sum)
{
	__u16 check;

	sum = (sum & 0xffff) + (sum >> 16);
	sum = (sum & 0xffff) + (sum >> 16);
	sum = (sum & 0xffff) + (sum >> 16);
	check = (__u16)~sum;
	__builtin_memcpy(at, &check, sizeof(check));
}

/* A number that a checksum is taken over, as its two bytes lie in memory. */
SW_PARSE_INLINE __u64 sw_reply_word(__u16 value)
{
	__u8 bytes[2] = {(__u8)(value >> 8), (__u8)value};
	__u16 word;

	__builtin_memcpy(&word, bytes, sizeof(word));
	return word;
}

SW_PARSE_INLINE void sw_reply_ipv4(const struct sw_packet *packet, const struct sw_reply *reply,
				   __u8 *ip)
{
	__builtin_memset(ip, 0, 20);
	ip[0] = 0x45;
	sw_reply_u16(ip + 2, 40u + reply->length);
	ip[6] = 0x40; /* never in pieces, so that no identification is needed (RFC 6864) */
	ip[8] = 64;
	ip[9] = SW_PROTOCOL_TCP;
	__builtin_memcpy(ip + 12, packet->dst + 12, 4);
	__builtin_memcpy(ip + 16, packet->src + 12, 4);
	sw_reply_check(ip + 10, sw_reply_sum(ip, 20));
}

SW_PARSE_INLINE void sw_reply_ipv6(const struct sw_packet *packet, const struct sw_reply *reply,
				   __u8 *ip)
{
	__builtin_memset(ip, 0, 8);
	ip[0] = 0x60;
	sw_reply_u16(ip + 4, 20u + reply->length);
	ip[6] = SW_PROTOCOL_TCP;
	ip[7] = 64;
	__builtin_memcpy(ip + 8, packet->dst, 16);
	__builtin_memcpy(ip + 24, packet->src, 16);
}

/* `addresses`: the sum of both, which the pseudo-header holds. */
SW_PARSE_INLINE void sw_reply_tcp(const struct sw_packet *packet, const struct sw_reply *reply,
				  __u64 addresses, __u8 *tcp)
{
	sw_reply_u16(tcp, packet->dst_port);
	sw_reply_u16(tcp + 2, packet->src_port);
	sw_reply_u32(tcp + 4, reply->seq);
	sw_reply_u32(tcp + 8, reply->ack);
	tcp[12] = 5 << 4;
	tcp[13] = reply->flags;
	/* A RST offers nothing. */
	tcp[14] = tcp[15] = reply->flags & SW_TCP_RST ? 0 : 0xff;
	__builtin_memset(tcp + 16, 0, 4);
	sw_reply_check(tcp + 16, addresses + sw_reply_word(SW_PROTOCOL_TCP) +
					 sw_reply_word(20 + reply->length) + reply->sum +
					 sw_reply_sum(tcp, 20));
}

/* Writes IP and TCP headers; returns how many bytes, 40 or 60. */
SW_PARSE_INLINE __u32 sw_reply_build(const struct sw_packet *packet, const struct sw_reply *reply,
				     __u8 headers[SW_REPLY_MAX])
{
	if (packet->ether == SW_ETHER_IPV4) {
		sw_reply_ipv4(packet, reply, headers);
		sw_reply_tcp(packet, reply, sw_reply_sum(headers + 12, 8), headers + 20);
		return 40;
	}
	sw_reply_ipv6(packet, reply, headers);
	sw_reply_tcp(packet, reply, sw_reply_sum(headers + 8, 32), headers + 40);
	return 60;
}

/* ---- the conversation of `reject "text" answer` ---- */

enum sw_answer_kind {
	SW_ANSWER_RESET = 0, /* not of a conversation of ours */
	SW_ANSWER_SYN,       /* the client's first segment */
	SW_ANSWER_LINE,      /* its handshake is proven: it is to have the line */
	SW_ANSWER_ACK,       /* it has the line, and sent more or ends */
	SW_ANSWER_SILENCE,   /* nothing need be said */
};

/* Which numbers of ours does an acknowledgement stand for? Those that the server's first may have been. */
#define SW_ANSWER_GUESSES 3
SW_PARSE_INLINE __u32 sw_answer_guess(const struct sw_packet *packet, __u16 length, int guess)
{
	return guess ? packet->ack - length - (__u32)guess : packet->ack - 1;
}

/* `guess`: the one that was right, or negative. */
SW_PARSE_INLINE enum sw_answer_kind sw_answer_to(const struct sw_packet *packet, int guess)
{
	__u8 flags = packet->tcp_flags & (SW_TCP_SYN | SW_TCP_ACK | SW_TCP_RST | SW_TCP_FIN);

	if (flags & SW_TCP_RST)
		return SW_ANSWER_SILENCE;
	if (flags == SW_TCP_SYN)
		return SW_ANSWER_SYN;
	if (!(flags & SW_TCP_ACK) || flags & SW_TCP_SYN || guess < 0)
		return SW_ANSWER_RESET;
	if (!guess)
		return SW_ANSWER_LINE;
	return packet->payload || flags & SW_TCP_FIN ? SW_ANSWER_ACK : SW_ANSWER_SILENCE;
}

/* Is this number's time slot (its low bits) one of the last four, and which? Negative: no. */
#define SW_ANSWER_SLOT_S 64
#define SW_ANSWER_SLOTS 4
SW_PARSE_INLINE __s32 sw_answer_age(__u32 number, __u32 slot)
{
	__u32 age = (slot - number) & 7;

	return age < SW_ANSWER_SLOTS ? (__s32)age : -1;
}

SW_PARSE_INLINE __u32 sw_answer_number(__u64 hash, __u32 slot)
{
	return ((__u32)hash & ~7u) | (slot & 7);
}

#endif
