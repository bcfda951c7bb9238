/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * edge_answer.h - packets that are turned round: the client's own, with other headers, back through the interface
 * that it came by (XDP_TX). What stands before IP stays but for its addresses and lengths.
 *
 * Nothing is remembered of a conversation: the sequence number that the server's side begins with is a keyed hash
 * of the connection and of the time, so what a client acknowledges says whether it had it from here.
 */
#ifndef SW_EDGE_ANSWER_H
#define SW_EDGE_ANSWER_H

#include "bpf/edge_packet.h"
#include "bpf/edge_reply.h"
#include "bpf/edge_sources.h"
#include "bpf/siphash.h"

/* Ethernet addresses of one machine each? Also for frames without any. */
SW_INLINE int sw_xdp_is_single(struct xdp_md *ctx, const struct sw_packet *packet)
{
	void *data = (void *)(unsigned long)ctx->data, *end = (void *)(unsigned long)ctx->data_end;

	if (!packet->ip_at)
		return 1;
	return data + 12 <= end && !((SW_XDP_U8(data, 0) | SW_XDP_U8(data, 6)) & 1);
}

/*
 * Makes the packet `length` bytes from IP on. Behind it there is room only where the driver left some: with a packet of
 * this machine's own, which generic XDP is given as it is, most often none. In front of it there are
 * XDP_PACKET_HEADROOM bytes in any case, but for what the kernel keeps there itself. 0, or negative: it cannot grow
 * so much.
 */
#define SW_XDP_FRONT 208
#define SW_XDP_LINK 32 /* as long as what stands before IP may be; power of two */

/* At its front, where what stands before IP goes then. */
static __noinline int sw_xdp_grow(struct xdp_md *ctx, struct sw_edge_work *work, __u32 by)
{
	__u64 link = work->packet.ip_at;

	if (bpf_xdp_adjust_head(ctx, -(int)by) < 0)
		return -1;
	if (!link)
		return 0;
	if (link > SW_XDP_LINK)
		return -1;
	/* As it is; said so that the verifier of 6.1 knows it is not 0 either. */
	link--;
	SW_OPAQUE(link);
	link = (link & (SW_XDP_LINK - 1)) + 1;
	if (bpf_xdp_load_bytes(ctx, by, work->frame, link) < 0)
		return -1;
	return (int)bpf_xdp_store_bytes(ctx, 0, work->frame, link);
}

SW_INLINE int sw_xdp_resize(struct xdp_md *ctx, struct sw_edge_work *work, __u32 length)
{
	int delta = (int)(work->packet.ip_at + length) - (int)bpf_xdp_get_buff_len(ctx);

	if (!delta || bpf_xdp_adjust_tail(ctx, delta) == 0)
		return 0;
	if (delta < 0)
		return -1;
	if (delta <= SW_XDP_FRONT)
		return sw_xdp_grow(ctx, work, (__u32)delta);
	if (bpf_xdp_adjust_tail(ctx, delta - SW_XDP_FRONT) < 0)
		return -1;
	return sw_xdp_grow(ctx, work, SW_XDP_FRONT);
}

/* Turns round what stands before IP. `length`: of the IP packet. */
SW_INLINE int sw_xdp_turn_link(struct xdp_md *ctx, const struct sw_packet *packet, __u32 length)
{
	void *data = (void *)(unsigned long)ctx->data, *end = (void *)(unsigned long)ctx->data_end;
	__u8 bytes[2];

	if (!packet->ip_at)
		return 0;
	if (data + 12 > end)
		return -1;
	sw_xdp_swap_addresses(data);
	if (!packet->pppoe)
		return 0;
	sw_reply_u16(bytes, length + packet->pppoe - 6u);
	return bpf_xdp_store_bytes(ctx, packet->ip_at - packet->pppoe + 4u, bytes, sizeof(bytes));
}

/* `line`: the payload, or NULL. 0: the packet is the reply; negative: it could not be made. */
static __noinline int sw_xdp_reply(struct xdp_md *ctx, struct sw_edge_work *work,
				   const struct sw_reply *reply, const struct sw_answer_line *line)
{
	const struct sw_packet *packet = &work->packet;
	__u32 headers = packet->ether == SW_ETHER_IPV4 ? 40 : 60;
	__u64 length = line ? line->length : 0;

	if (length > SW_ANSWER_MAX || sw_xdp_resize(ctx, work, headers + length) < 0)
		return -1;
	sw_reply_build(packet, reply, work->frame);
	if (sw_xdp_turn_link(ctx, packet, headers + length) < 0 ||
	    bpf_xdp_store_bytes(ctx, packet->ip_at, work->frame, headers) < 0)
		return -1;
	if (!line)
		return 0;
	/* The verifier of 6.1 does not learn from a comparison that a size is not 0. */
	length--;
	SW_OPAQUE(length);
	if (length >= SW_ANSWER_MAX)
		return -1;
	return (int)bpf_xdp_store_bytes(ctx, packet->ip_at + headers, (void *)line->bytes,
					length + 1);
}

SW_INLINE int sw_xdp_may_reply(struct xdp_md *ctx, const struct sw_edge_work *work)
{
	return sw_reply_may(&work->packet) && sw_xdp_is_single(ctx, &work->packet);
}

/* The packet does not pass; its sender is told by a RST, where that may be. Returns the program's answer. */
static __noinline int sw_xdp_reset(struct xdp_md *ctx, struct sw_edge_work *work)
{
	struct sw_reply reply;

	sw_edge_count(SW_COUNT_EDGE_DROPPED);
	if (!sw_xdp_may_reply(ctx, work))
		return XDP_DROP;
	sw_reply_reset(&work->packet, &reply);
	if (sw_xdp_reply(ctx, work, &reply, 0) < 0)
		return XDP_DROP;
	sw_edge_count(SW_COUNT_EDGE_RESETS);
	return XDP_TX;
}

/* ---- the answer in SMTP ---- */

/* The number that the server's side of a connection begins with, in a slot of time. */
static __noinline __u32 sw_xdp_number(const struct sw_edge_work *work, __u32 slot)
{
	const struct sw_edge_flow *key = &work->key;
	__u32 zero = 0;
	const struct sw_edge_secret *secret = bpf_map_lookup_elem(&edge_secret, &zero);
	__u64 words[6];

	if (!secret)
		return 0;
	__builtin_memcpy(words, key->src, 16);
	__builtin_memcpy(words + 2, key->dst, 16);
	words[4] = (__u64)key->interface << 32 | (__u32)key->src_port << 16 | key->dst_port;
	words[5] = slot;
	return sw_answer_number(sw_siphash_24(secret->answers, words, 6), slot);
}

/* Which of the numbers that an acknowledgement may stand for is one of ours? Negative: none. */
SW_INLINE int sw_xdp_guess(const struct sw_edge_work *work, __u32 slot, __u16 length)
{
	const struct sw_packet *packet = &work->packet;

	if ((packet->tcp_flags & (SW_TCP_ACK | SW_TCP_SYN | SW_TCP_RST)) != SW_TCP_ACK)
		return -1;
#pragma GCC unroll 3
	for (int guess = 0; guess < SW_ANSWER_GUESSES; guess++) {
		__u32 number = sw_answer_guess(packet, length, guess);
		__s32 age = sw_answer_age(number, slot);

		if (age >= 0 && sw_xdp_number(work, slot - (__u32)age) == number)
			return guess;
	}
	return -1;
}

#define SW_XDP_NO_ANSWER (-1)

/* Says it. */
SW_INLINE int sw_xdp_say(struct xdp_md *ctx, struct sw_edge_work *work,
			 const struct sw_reply *reply, const struct sw_answer_line *line)
{
	if (!sw_xdp_may_reply(ctx, work))
		goto drop;
	if (sw_xdp_reply(ctx, work, reply, line) < 0)
		return SW_XDP_NO_ANSWER;
	if (line)
		sw_edge_count(SW_COUNT_EDGE_ANSWERS);
	sw_edge_count(SW_COUNT_EDGE_DROPPED);
	return XDP_TX;
drop:
	sw_edge_count(SW_COUNT_EDGE_DROPPED);
	return XDP_DROP;
}

/* A packet under a rule `reject "text" answer`. SW_XDP_NO_ANSWER: the client is to be told by a RST. */
static __noinline int sw_xdp_answer(struct xdp_md *ctx, struct sw_edge_work *work)
{
	__u32 key = work->slot * SW_RULES_MAX + work->rule;
	const struct sw_answer_line *line = bpf_map_lookup_elem(&answers, &key);
	__u32 slot = sw_edge_now(work) / 1000000000 / SW_ANSWER_SLOT_S;
	struct sw_reply reply;

	if (!line || !line->length)
		return SW_XDP_NO_ANSWER;
	switch (sw_answer_to(&work->packet, sw_xdp_guess(work, slot, line->length))) {
	case SW_ANSWER_SYN:
		sw_reply_syn(&work->packet, sw_xdp_number(work, slot), &reply);
		return sw_xdp_say(ctx, work, &reply, 0);
	case SW_ANSWER_LINE:
		sw_reply_ack(&work->packet, &reply);
		reply.flags |= SW_TCP_PSH | SW_TCP_FIN;
		reply.length = line->length;
		reply.sum = line->sum;
		return sw_xdp_say(ctx, work, &reply, line);
	case SW_ANSWER_ACK:
		sw_reply_ack(&work->packet, &reply);
		return sw_xdp_say(ctx, work, &reply, 0);
	case SW_ANSWER_SILENCE:
		sw_edge_count(SW_COUNT_EDGE_DROPPED);
		return XDP_DROP;
	default:
		/* Of a connection that did not begin here, as it is older than the program. */
		sw_edge_report(work, SW_VERDICT_RESET, SW_REASON_NOT_PERMITTED);
		return SW_XDP_NO_ANSWER;
	}
}

#endif
