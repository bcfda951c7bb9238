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

struct sw_xdp_lookup {
	struct sw_edge_work *work;
	const struct sw_policy *policy;
	__u32 slot, family, from; /* `from`: SW_PREFIX_FROM, or 0 */
};

#define SW_XDP_CLASS_NONE 0xffffffffu

static long sw_xdp_prefix_step(__u32 index, struct sw_xdp_lookup *lookup)
{
	void *inner = bpf_map_lookup_elem(&prefixes, &lookup->slot);
	struct sw_edge_work *work = lookup->work;
	__u64 at = index, family = lookup->family & 1;
	const __u32 *class;
	__u32 bits;

	SW_OPAQUE(at);
	if (!inner || at >= sizeof(lookup->policy->lengths[0]))
		return 1;
	bits = lookup->from ? lookup->policy->from_lengths[family][at]
			    : lookup->policy->lengths[family][at];
	sw_prefix_cut(&work->prefix, bits);
	work->prefix.bits |= lookup->from;
	class = bpf_map_lookup_elem(inner, &work->prefix);
	if (!class)
		return 0;
	work->class = *class;
	return 1;
}

/* Rows of the longest prefix that an address lies in; NULL: of none. */
SW_INLINE const struct sw_vec *sw_xdp_prefix(struct sw_xdp_lookup *lookup, const __u8 *addr,
					     __u32 n_lengths)
{
	struct sw_edge_work *work = lookup->work;
	__u64 class;

	work->class = SW_XDP_CLASS_NONE;
	if (!n_lengths)
		return 0;
	__builtin_memcpy(work->prefix.addr, addr, sizeof(work->prefix.addr));
	bpf_loop(n_lengths, sw_xdp_prefix_step, lookup, 0);
	class = work->class;
	if (class >= SW_CLASSES_MAX)
		return 0;
	return &lookup->policy->classes[class];
}

/* Rows with `to local`, when the address is this machine's. Loopback is not asked about as at connect(): the
   kernel takes no packet for it from a wire (RFC 1122, 3.2.1.3). */
SW_INLINE const struct sw_vec *sw_xdp_local(const struct sw_policy *policy, const __u8 *addr)
{
	return bpf_map_lookup_elem(&local, addr) ? &policy->local : 0;
}

/* Rows of this port on this interface. Returns whether there are any. */
SW_INLINE int sw_xdp_begin(struct sw_edge_work *work, const struct sw_interface *interface)
{
	__u64 slot = work->slot;

	SW_OPAQUE(slot);
	slot &= 1;
	sw_edge_begin(
		&work->rows,
		sw_rows_of_id(work->slot, SW_DIM_PORT, SW_EDGE_PORT_ID(work->packet.dst_port)),
		&interface->rows[slot]);
	return sw_vec_first(&work->rows) != SW_ROW_NONE;
}

/* Does a row that is still possible ask about this dimension? */
SW_INLINE int sw_xdp_asks(const struct sw_edge_work *work, const struct sw_vec *any)
{
	__u64 asks = 0;

#pragma GCC unroll 8
	for (__u32 i = 0; i < SW_WORDS; i++)
		asks |= work->rows.w[i] & ~any->w[i];
	return !!asks;
}

/* Leaves the deciding rule, its action and flags in `work`. */
static __noinline void sw_xdp_decide(struct sw_edge_work *work, const struct sw_policy *policy)
{
	struct sw_xdp_lookup lookup = {
		.work = work,
		.policy = policy,
		.slot = work->slot,
		.family = work->packet.ether == SW_ETHER_IPV6 && !sw_addr_is_ipv4(work->packet.dst),
	};
	const struct sw_vec *found;
	__u64 rule;

	if (sw_xdp_asks(work, &policy->any[SW_DIM_FROM])) {
		lookup.from = SW_PREFIX_FROM;
		found = sw_xdp_prefix(&lookup, work->packet.src,
				      policy->n_from_lengths[lookup.family & 1]);
		sw_edge_give(&work->rows, &policy->any[SW_DIM_FROM], found, 0);
	}
	if (sw_xdp_asks(work, &policy->any[SW_DIM_DST])) {
		lookup.from = 0;
		found = sw_xdp_prefix(&lookup, work->packet.dst,
				      policy->n_lengths[lookup.family & 1]);
		sw_edge_give(&work->rows, &policy->any[SW_DIM_DST], found,
			     sw_xdp_local(policy, work->packet.dst));
	}
	rule = sw_edge_rule(policy, &work->rows);
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
