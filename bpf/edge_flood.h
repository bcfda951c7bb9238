/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * edge_flood.h - the short way of a flood: a SYN that is to be refused as the one before it from the same source was,
 * when all that is left to do is to count it. Frames of IPv4 and TCP with nothing odd about them, sources whose events
 * have all been made for now, and nothing that a decision rests on has changed; everything else takes the long way,
 * which comes to the same verdict.
 *
 * It lasts to the end of a tick: then a packet goes the long way again, which sees to clocks, events and the source's
 * entry. An entry that another source has taken meanwhile is missed then.
 */
#ifndef SW_EDGE_FLOOD_H
#define SW_EDGE_FLOOD_H

#include "bpf/edge_packet.h"

#define SW_FLOOD_NOT (-1) /* nothing was done or counted */

/* Both: Ethernet header, IPv4 and TCP without options. */
#define SW_FLOOD_HEADERS 54

/* Four bytes as they lie in memory. */
#define SW_FLOOD_WORD(a, b, c, d) bpf_htonl((__u32)(a) << 24 | (b) << 16 | (c) << 8 | (d))

SW_INLINE __u32 sw_flood_fold(__u64 sum)
{
	sum = (sum & 0xffffffff) + (sum >> 32);
	sum = (sum & 0xffff) + (sum >> 16);
	sum = (sum & 0xffff) + (sum >> 16);
	sum = (sum & 0xffff) + (sum >> 16);
	return (__u16)~sum;
}

/* Of the answer: what sw_reply_reset() and sw_reply_build() make of such a SYN. Sums as in edge_reply.h, of 32 bits at
   once. */
SW_INLINE void sw_flood_write(void *data, __u32 ack)
{
	__u32 *ip = data + 14, src = SW_XDP_U32(data, 26), dst = SW_XDP_U32(data, 30);
	__u32 ports = SW_XDP_U32(data, 34), *tcp = data + 34;
	__u64 addresses = (__u64)src + dst;
	const __u32 first = SW_FLOOD_WORD(0x45, 0, 0, 40), second = SW_FLOOD_WORD(0, 0, 0x40, 0);
	const __u32 third = SW_FLOOD_WORD(64, SW_PROTOCOL_TCP, 0, 0);
	const __u32 flags = SW_FLOOD_WORD(5 << 4, SW_TCP_RST | SW_TCP_ACK, 0, 0);

	ports = ports >> 16 | ports << 16;
	ip[0] = first;
	ip[1] = second;
	ip[2] = third | sw_flood_fold((__u64)first + second + third + addresses) << 16;
	ip[3] = dst;
	ip[4] = src;
	tcp[0] = ports;
	tcp[1] = 0;
	tcp[2] = bpf_htonl(ack);
	tcp[3] = flags;
	tcp[4] = sw_flood_fold(addresses + SW_FLOOD_WORD(0, SW_PROTOCOL_TCP, 0, 20) + ports +
			       bpf_htonl(ack) + flags);
}

/* May be answered, as sw_reply_may() and sw_xdp_is_single() have it? */
SW_INLINE int sw_flood_may_reply(const void *data)
{
	__u8 src = SW_XDP_U8(data, 26), dst = SW_XDP_U8(data, 30);

	return src && src < 224 && dst && dst < 224 &&
	       !((SW_XDP_U8(data, 0) | SW_XDP_U8(data, 6)) & 1);
}

SW_INLINE int sw_flood_turn(void *data, void *end, __u32 ack)
{
	if (data + SW_FLOOD_HEADERS > end)
		return XDP_DROP;
	sw_xdp_swap_addresses(data);
	sw_flood_write(data, ack);
	return XDP_TX;
}

/* The answer in the place of the SYN, which sw_flood() has looked at. */
static __noinline int sw_flood_reset(struct xdp_md *ctx)
{
	void *data = (void *)(unsigned long)ctx->data, *end = (void *)(unsigned long)ctx->data_end;
	__u32 ack;
	int more;

	if (data + SW_FLOOD_HEADERS > end || !sw_flood_may_reply(data))
		return SW_FLOOD_NOT;
	ack = bpf_ntohl(SW_XDP_U32(data, 38)) + 1 + bpf_ntohs(SW_XDP_U16(data, 16)) - 20 -
	      sw_xdp_tcp_length(data + 34);
	more = (int)(end - data) - SW_FLOOD_HEADERS;
	if (!more)
		return sw_flood_turn(data, end, ack);
	if (bpf_xdp_adjust_tail(ctx, -more) < 0)
		return SW_FLOOD_NOT;
	data = (void *)(unsigned long)ctx->data;
	end = (void *)(unsigned long)ctx->data_end;
	return sw_flood_turn(data, end, ack);
}

/* A SYN, whole and sound? */
SW_INLINE int sw_flood_is_syn(const void *data, const void *end)
{
	return (SW_XDP_U8(data, 47) & (SW_TCP_SYN | SW_TCP_ACK | SW_TCP_RST | SW_TCP_FIN)) ==
		       SW_TCP_SYN &&
	       sw_xdp_is_whole(data, end);
}

/* A frame that sw_xdp_glance() told a port of, which may be named. Returns the program's answer. */
SW_INLINE int sw_flood(struct xdp_md *ctx)
{
	/* What calls something comes first, so that nothing of the packet need be kept over it. */
	struct sw_edge_recents *recents = sw_recents();
	__u64 tick = bpf_jiffies64();
	void *data = (void *)(unsigned long)ctx->data, *end = (void *)(unsigned long)ctx->data_end;
	struct sw_edge_recent *recent;
	__u32 addr, port;
	int answer;

	if (!recents || data + SW_FLOOD_HEADERS > end ||
	    SW_XDP_U16(data, 12) != bpf_htons(SW_ETHER_IPV4) || !sw_flood_is_syn(data, end))
		return SW_FLOOD_NOT;
	addr = SW_XDP_U32(data, 26);
	port = bpf_ntohs(SW_XDP_U16(data, 36));
	recent = &recents->of[SW_RECENT_HASH(addr)];
	/* Not to be computed again for each of its members. */
	SW_OPAQUE(recent);
	if (SW_XDP_U32(recent->src, 12) != addr || recent->tick != tick || recent->port != port ||
	    recent->state != SW_READ_ONCE(edge_head.active) ||
	    recent->interface != ctx->ingress_ifindex)
		return SW_FLOOD_NOT;
	if (!recent->reset) {
		recent->refused++;
		return XDP_DROP;
	}
	answer = sw_flood_reset(ctx);
	if (answer != SW_FLOOD_NOT)
		recent->refused++;
	if (answer == XDP_TX)
		recent->resets++;
	return answer;
}

#endif
