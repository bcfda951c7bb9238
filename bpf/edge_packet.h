/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * edge_packet.h - from a packet to the rule that decides about it. First what needs no memory: a packet that goes
 * to no port that an edge block names leaves after a look at its headers in place. The rest is walked header by
 * header by parse.h.
 */
#ifndef SW_EDGE_PACKET_H
#define SW_EDGE_PACKET_H

#include "bpf/count.h"
#include "bpf/edge_listed.h"
#include "bpf/edge_match.h"
#include "bpf/edge_recent.h"
#include "bpf/kernel.h"
#include "bpf/lookup.h"
#include "bpf/maps_edge.h"

#define SW_XDP_U8(at, offset) (*((const __u8 *)(at) + (offset)))
#define SW_XDP_U16(at, offset) (*(const __u16 *)((const __u8 *)(at) + (offset)))
#define SW_XDP_U32(at, offset) (*(const __u32 *)((const __u8 *)(at) + (offset)))

/* ---- what passes at once ---- */

/* A packet without a link header begins with 4 or 6 in its first digit, an Ethernet frame seldom: only then
   must it be known which of them the interface has. */
SW_INLINE int sw_xdp_is_bare_digit(__u8 first)
{
	return (first & 0xd0) == 0x40;
}

SW_INLINE int sw_xdp_may_be_bare(struct xdp_md *ctx)
{
	void *data = (void *)(unsigned long)ctx->data, *end = (void *)(unsigned long)ctx->data_end;

	return data + 1 > end || sw_xdp_is_bare_digit(SW_XDP_U8(data, 0));
}

/* What a look at the headers says: the port that they go to as it is there, or one of these. */
#define SW_GLANCE_OTHER 0x10000 /* surely to none: no TCP */
#define SW_GLANCE_ODD 0x10001   /* it must be walked */

/* Read there, and not with the place worked out first for both families. */
SW_INLINE __u32 sw_xdp_port(const void *data, __u32 at)
{
	__u32 port = SW_XDP_U16(data, at);

	SW_OPAQUE(port);
	return port;
}

SW_INLINE __u32 sw_xdp_glance_ipv6(void *data, void *end)
{
	__u32 protocol;

	if (data + 58 > end || SW_XDP_U8(data, 14) >> 4 != 6)
		return SW_GLANCE_ODD;
	protocol = SW_XDP_U8(data, 20);
	if (protocol == SW_PROTOCOL_TCP)
		return sw_xdp_port(data, 56);
	return sw_parse_is_extension(protocol, 1) ? SW_GLANCE_ODD : SW_GLANCE_OTHER;
}

/* EtherType, version and length of the header in one word; fragment, time to live and protocol in another: a mask and
   a comparison for each is all that most packets pay. */
#define SW_XDP_IPV4 bpf_htonl(SW_ETHER_IPV4 << 16 | 0x45 << 8)
#define SW_XDP_IPV4_MASK bpf_htonl(0xffffff00)
#define SW_XDP_WHOLE_TCP bpf_htonl(SW_PROTOCOL_TCP)
#define SW_XDP_WHOLE_TCP_MASK bpf_htonl(0x3fff00ff)

SW_INLINE __u32 sw_xdp_glance(struct xdp_md *ctx)
{
	void *data = (void *)(unsigned long)ctx->data, *end = (void *)(unsigned long)ctx->data_end;
	__u8 protocol;

	if (data + 38 > end || sw_xdp_is_bare_digit(SW_XDP_U8(data, 0)))
		return SW_GLANCE_ODD;
	if ((SW_XDP_U32(data, 12) & SW_XDP_IPV4_MASK) != SW_XDP_IPV4)
		return SW_XDP_U16(data, 12) == bpf_htons(SW_ETHER_IPV6)
			       ? sw_xdp_glance_ipv6(data, end)
			       : SW_GLANCE_ODD;
	if ((SW_XDP_U32(data, 20) & SW_XDP_WHOLE_TCP_MASK) == SW_XDP_WHOLE_TCP)
		return sw_xdp_port(data, 36);
	protocol = SW_XDP_U8(data, 23);
	return protocol == SW_PROTOCOL_TCP || protocol == SW_PROTOCOL_AH ? SW_GLANCE_ODD
									 : SW_GLANCE_OTHER;
}

/* ---- headers without anything odd ---- */

SW_INLINE __u32 sw_xdp_tcp_length(const void *tcp)
{
	return (SW_XDP_U8(tcp, 12) >> 4) * 4u;
}

/* A frame of Ethernet and IPv4 without options, whose first 54 bytes are there: is all of the header of TCP, and all
   that it says it holds, in the first piece of the packet? */
SW_INLINE int sw_xdp_is_whole(const void *data, const void *end)
{
	__u32 headers = sw_xdp_tcp_length(data + 34), length = bpf_ntohs(SW_XDP_U16(data, 16));

	return headers >= 20 && length >= 20 + headers && 14 + length <= end - data;
}

/* TCP at `tcp`, whose 20 bytes are there. 0: its length is one that no header has. */
SW_INLINE int sw_xdp_plain_tcp(const void *tcp, __u32 at, struct sw_packet *packet)
{
	__u32 length = sw_xdp_tcp_length(tcp);

	if (length < 20)
		return 0;
	packet->verdict = SW_PARSE_TCP;
	packet->tcp_at = at;
	packet->at = at + length;
	packet->payload = packet->end > packet->at ? packet->end - packet->at : 0;
	packet->protocol = SW_PROTOCOL_TCP;
	packet->tcp_flags = SW_XDP_U8(tcp, 13);
	packet->src_port = bpf_ntohs(SW_XDP_U16(tcp, 0));
	packet->dst_port = bpf_ntohs(SW_XDP_U16(tcp, 2));
	packet->seq = bpf_ntohl(SW_XDP_U32(tcp, 4));
	packet->ack = bpf_ntohl(SW_XDP_U32(tcp, 8));
	packet->ip_at = 14;
	packet->fragment = packet->gap = packet->pppoe = 0;
	packet->session = packet->vlan[0] = packet->vlan[1] = 0;
	return 1;
}

/* The second half of an address of IPv4 as abi_edge.h has it; the first is zero. */
SW_INLINE __u64 sw_xdp_mapped(const void *from)
{
	return (__u64)SW_XDP_U32(from, 0) << 32 | SW_EDGE_MAPPED;
}

SW_INLINE void sw_xdp_plain_address(__u8 *to, const void *from)
{
	__u64 *word = (__u64 *)to;

	word[0] = 0;
	word[1] = sw_xdp_mapped(from);
}

/*
 * An Ethernet frame that sw_xdp_glance() told a port of, which by far the most are: what sw_xdp_walk() would find in
 * it. 0: it is to be walked.
 */
SW_INLINE int sw_xdp_read_plain(struct xdp_md *ctx, struct sw_packet *packet)
{
	void *data = (void *)(unsigned long)ctx->data, *end = (void *)(unsigned long)ctx->data_end;
	__u32 length;

	if (data + 54 > end)
		return 0;
	if (SW_XDP_U16(data, 12) == bpf_htons(SW_ETHER_IPV4)) {
		packet->ether = SW_ETHER_IPV4;
		packet->end = 14 + bpf_ntohs(SW_XDP_U16(data, 16));
		sw_xdp_plain_address(packet->src, data + 26);
		sw_xdp_plain_address(packet->dst, data + 30);
		return sw_xdp_plain_tcp(data + 34, 34, packet);
	}
	if (data + 74 > end)
		return 0;
	length = bpf_ntohs(SW_XDP_U16(data, 18));
	packet->ether = SW_ETHER_IPV6;
	packet->end = length ? 54 + length : 0;
	__builtin_memcpy(packet->src, data + 22, 16);
	__builtin_memcpy(packet->dst, data + 38, 16);
	return sw_xdp_plain_tcp(data + 54, 54, packet);
}

/* Turns the Ethernet addresses of a frame round. */
SW_INLINE void sw_xdp_swap_addresses(void *data)
{
	__u16 *words = data;

#pragma GCC unroll 3
	for (int i = 0; i < 3; i++) {
		__u16 word = words[i];

		words[i] = words[i + 3];
		words[i + 3] = word;
	}
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

/* Whose packet it is, for the flow table. */
SW_INLINE void sw_xdp_set_key(struct xdp_md *ctx, struct sw_edge_work *work)
{
	const struct sw_packet *packet = &work->packet;

	__builtin_memcpy(work->key.src, packet->src, sizeof(work->key.src));
	__builtin_memcpy(work->key.dst, packet->dst, sizeof(work->key.dst));
	*(__u64 *)&work->key.src_port = (__u64)ctx->ingress_ifindex << 32 |
					(__u32)packet->dst_port << 16 | packet->src_port;
}

/* And for events. */
SW_INLINE void sw_xdp_identify(struct xdp_md *ctx, struct sw_edge_work *work, __u32 link)
{
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

SW_INLINE void sw_xdp_set_rule(struct sw_edge_work *work, const struct sw_policy *policy,
			       __u64 rule)
{
	work->rule = rule;
	work->action = SW_ACTION_REJECT;
	work->flags = 0;
	if (rule < SW_RULES_MAX) {
		work->action = policy->rules[rule].action;
		work->flags = policy->rules[rule].flags;
	}
	work->audit = !!(work->flags & SW_RULE_AUDIT);
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
	__u64 rows = work->lookup.rows.w[0];

	if (work->packet.ether == SW_ETHER_IPV4)
		sw_edge_ask_listed(&ask, bpf_ntohl(((const __u32 *)work->packet.src)[3]));
	sw_xdp_set_rule(work, policy, sw_lookup_rule(&ask, work->packet.src, work->packet.dst, 0));
	sw_recent_remember(work, policy, rows);
}

#endif
