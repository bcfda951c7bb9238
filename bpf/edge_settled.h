/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * edge_settled.h - most packets that go to a guarded port: of a connection over IPv4 that is in TLS already, without
 * anything odd in their headers. They pass after a look at the headers in place and at one entry of the table,
 * before anything is written. What is not told to be one of them goes the whole way, where more is looked at.
 */
#ifndef SW_EDGE_SETTLED_H
#define SW_EDGE_SETTLED_H

#include "bpf/edge_flows.h"
#include "bpf/edge_packet.h"

/*
 * A frame of Ethernet that sw_xdp_glance() told a port of. IPv4, a whole header of TCP and all that it says it holds,
 * neither beginning nor end of a connection? Then `key` is its flow's, as the words of struct sw_edge_flow from `src`
 * on.
 */
SW_INLINE int sw_xdp_is_midway(struct xdp_md *ctx, __u64 key[5])
{
	void *data = (void *)(unsigned long)ctx->data, *end = (void *)(unsigned long)ctx->data_end;
	__u32 ports;

	if (data + 54 > end || SW_XDP_U16(data, 12) != bpf_htons(SW_ETHER_IPV4) ||
	    SW_XDP_U8(data, 47) & (SW_TCP_SYN | SW_TCP_FIN | SW_TCP_RST) ||
	    !sw_xdp_is_whole(data, end))
		return 0;
	ports = bpf_ntohl(SW_XDP_U32(data, 34));
	key[0] = key[2] = 0;
	key[1] = sw_xdp_mapped(data + 26);
	key[3] = sw_xdp_mapped(data + 30);
	key[4] = (__u64)ctx->ingress_ifindex << 32 | (ports >> 16 | ports << 16);
	return 1;
}

/* May it pass at once? Not inline: what is called when it may not needs the stack. */
static __noinline int sw_xdp_is_settled(struct xdp_md *ctx)
{
	const struct sw_edge_flow_slot *flow;
	const struct sw_edge_secret *secret;
	__u32 zero = 0, place, at;
	__u64 key[5];

	if (!sw_xdp_is_midway(ctx, key))
		return 0;
	secret = bpf_map_lookup_elem(&edge_secret, &zero);
	if (!secret)
		return 0;
	place = sw_edge_flow_place(sw_edge_flow_hash(secret, key), sw_edge_sets);
	flow = sw_edge_search(place, key, &at);
	return flow && sw_edge_is_in_tls(flow, &edge_head);
}

#endif
