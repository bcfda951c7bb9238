/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * edge_packet.h - from a packet to the rule that decides about it. First what needs no memory: a packet that goes
 * to no port that an edge block names leaves after a look at its headers in place. The rest is walked header by
 * header by parse.h.
 */
#ifndef SW_EDGE_PACKET_H
#define SW_EDGE_PACKET_H

#include "bpf/count.h"
#include "bpf/edge_match.h"
#include "bpf/edge_sources.h"
#include "bpf/kernel.h"
#include "bpf/lookup.h"
#include "bpf/maps_edge.h"

#define SW_XDP_U8(at, offset) (*((const __u8 *)(at) + (offset)))
#define SW_XDP_U16(at, offset) (*(const __u16 *)((const __u8 *)(at) + (offset)))

/* ---- what passes at once ---- */

/* A packet without a link header begins with 4 or 6 in its first digit, an Ethernet frame seldom: only then
   must it be known which of them the interface has. */
SW_INLINE int sw_xdp_may_be_bare(struct xdp_md *ctx)
{
	void *data = (void *)(unsigned long)ctx->data, *end = (void *)(unsigned long)ctx->data_end;
	__u8 digit;

	if (data + 1 > end)
		return 1;
	digit = SW_XDP_U8(data, 0) >> 4;
	return digit == 4 || digit == 6;
}

/* Is it an Ethernet frame that surely holds nothing for a port that is named? 0: it must be walked. */
SW_INLINE int sw_xdp_passes(struct xdp_md *ctx, const struct sw_policy *policy)
{
	void *data = (void *)(unsigned long)ctx->data, *end = (void *)(unsigned long)ctx->data_end;
	__u32 ether, protocol;

	if (data + 38 > end)
		return 0;
	ether = SW_XDP_U16(data, 12);
	if (ether == bpf_htons(SW_ETHER_IPV4)) {
		protocol = SW_XDP_U8(data, 23);
		if (SW_XDP_U8(data, 14) != 0x45 || protocol == SW_PROTOCOL_AH)
			return 0;
		if (protocol != SW_PROTOCOL_TCP)
			return 1;
		if (SW_XDP_U16(data, 20) & bpf_htons(0x3fff))
			return 0;
		return !sw_edge_guarded(policy, bpf_ntohs(SW_XDP_U16(data, 36)));
	}
	if (ether != bpf_htons(SW_ETHER_IPV6) || data + 58 > end || SW_XDP_U8(data, 14) >> 4 != 6)
		return 0;
	protocol = SW_XDP_U8(data, 20);
	if (protocol != SW_PROTOCOL_TCP)
		return !sw_parse_is_extension(protocol, 1);
	return !sw_edge_guarded(policy, bpf_ntohs(SW_XDP_U16(data, 56)));
}

/* ---- the walk ---- */

/* Not static, so that the verifier looks at it once by itself. */
__noinline int sw_xdp_walk(struct xdp_md *ctx, struct sw_packet *packet, __u32 link)
{
	if (!packet)
		return -1;
	sw_parse_begin(packet);
	if (!(link == SW_LINK_IP ? sw_parse_bare(ctx, packet) : sw_parse_ethernet(ctx, packet)))
		sw_parse_ip(ctx, packet);
	return 0;
}

/* Do the headers say where the packet goes? */
SW_INLINE int sw_xdp_has_port(const struct sw_packet *packet)
{
	return (packet->verdict == SW_PARSE_TCP || packet->verdict == SW_PARSE_TCP_PORTS) &&
	       !packet->gap;
}

/* Nothing to do with any port: no TCP, or a later fragment. The first one of its packet is looked at; without it
   no receiver can put the packet together. */
SW_INLINE int sw_xdp_is_other(const struct sw_packet *packet)
{
	return packet->verdict == SW_PARSE_OTHER || packet->verdict == SW_PARSE_NOT_IP ||
	       packet->verdict == SW_PARSE_LATER_FRAGMENT;
}

/* A whole TCP header, in a packet that is as long as it says and holds all of it? */
SW_INLINE int sw_xdp_is_sound(struct xdp_md *ctx, const struct sw_packet *packet)
{
	if (sw_edge_is_mapped(packet->ether == SW_ETHER_IPV6, packet->src, packet->dst))
		return 0;
	return packet->verdict == SW_PARSE_TCP && !packet->gap && packet->end >= packet->at &&
	       packet->end <= bpf_xdp_get_buff_len(ctx);
}

/* Whose packet it is, for the flow table and for events. */
SW_INLINE void sw_xdp_identify(struct xdp_md *ctx, struct sw_edge_work *work, __u32 link)
{
	const struct sw_packet *packet = &work->packet;

	__builtin_memcpy(work->key.src, packet->src, sizeof(work->key.src));
	__builtin_memcpy(work->key.dst, packet->dst, sizeof(work->key.dst));
	work->key.src_port = packet->src_port;
	work->key.dst_port = packet->dst_port;
	work->key.interface = ctx->ingress_ifindex;
	sw_edge_describe(work);
	if (link == SW_LINK_IP || sw_xdp_load(ctx, 6, work->mac, sizeof(work->mac)) < 0)
		__builtin_memset(work->mac, 0, sizeof(work->mac));
}

/* ---- the rule ---- */

/* Rows of this port on this interface. Returns whether there are any. */
SW_INLINE int sw_xdp_begin(struct sw_edge_work *work, const struct sw_interface *interface)
{
	__u64 slot = work->slot;

	SW_OPAQUE(slot);
	slot &= 1;
	sw_edge_begin(
		&work->lookup.rows,
		sw_rows_of_id(work->slot, SW_DIM_PORT, SW_EDGE_PORT_ID(work->packet.dst_port)),
		&interface->rows[slot]);
	return sw_vec_first(&work->lookup.rows) != SW_ROW_NONE;
}

/* Leaves the deciding rule, its action and flags in `work`. */
static __noinline void sw_xdp_decide(struct sw_edge_work *work, const struct sw_policy *policy)
{
	struct sw_ask ask = {
		.to = &work->lookup,
		.policy = policy,
		.slot = work->slot,
		.ipv6 = work->packet.ether == SW_ETHER_IPV6 && !sw_addr_is_ipv4(work->packet.dst),
	};
	__u64 rule = sw_lookup_rule(&ask, work->packet.src, work->packet.dst, 0);

	work->rule = rule;
	work->action = SW_ACTION_REJECT;
	work->flags = 0;
	if (rule < SW_RULES_MAX) {
		work->action = policy->rules[rule].action;
		work->flags = policy->rules[rule].flags;
	}
	work->audit = !!(work->flags & SW_RULE_AUDIT);
}

#endif
