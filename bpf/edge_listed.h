/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * edge_listed.h - what is known of a source before prefixes of each length are looked for: abi_edge.h says how it is
 * kept. Says nothing of IPv6, of another policy than the one that it was made of, and where a map is missing; then all
 * lengths are asked, as always.
 */
#ifndef SW_EDGE_LISTED_H
#define SW_EDGE_LISTED_H

#include "bpf/edge_match.h"
#include "bpf/kernel.h"
#include "bpf/lookup.h"
#include "bpf/maps_edge.h"

/* The leaf of a net that is listed; -1: it cannot be had. */
SW_INLINE int sw_edge_leaf(const struct sw_edge_listed *listed, __u32 slot, __u32 addr)
{
	__u32 number = sw_edge_leaf_of(listed, addr), at = number / SW_EDGE_LEAVES;
	void *inner = bpf_map_lookup_elem(&edge_leaves, &slot);
	const struct sw_edge_leaves *leaves;
	__u64 which = number;

	if (!inner || number >= listed->n_leaves)
		return -1;
	leaves = bpf_map_lookup_elem(inner, &at);
	SW_OPAQUE(which);
	which &= SW_EDGE_LEAVES - 1;
	return leaves ? leaves->leaf[which] : -1;
}

/* Tells `ask` what need not be looked for, of a source of IPv4 (host order). */
SW_INLINE void sw_edge_ask_listed(struct sw_ask *ask, __u32 addr)
{
	__u32 slot = ask->slot & 1;
	const struct sw_edge_listed *listed = bpf_map_lookup_elem(&edge_listed, &slot);
	int leaf = 0;

	if (!listed || listed->generation != ask->policy->generation)
		return;
	if (sw_edge_may_be_listed(listed, addr))
		leaf = sw_edge_leaf(listed, slot, addr);
	if (leaf < 0)
		return;
	ask->known = leaf & SW_EDGE_LEAF_KNOWN;
	ask->least = leaf & SW_EDGE_LEAF_LONGER ? SW_LOOKUP_NET + 1 : SW_LOOKUP_ALL;
}

#endif
