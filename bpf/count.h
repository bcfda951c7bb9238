/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * count.h - counters, hits, and the policy in force: what host and edge ask of the shared maps alike.
 * Additions are atomic, also in per-CPU maps: programs of a cgroup may be preempted by another that runs
 * on the same CPU. Those of the edge, which run with bottom halves off, are not: what they alone count needs no
 * more than an addition (sw_edge_count, sw_edge_hit).
 */
#ifndef SW_COUNT_H
#define SW_COUNT_H

#include "bpf/kernel.h"
#include "bpf/maps.h"

SW_INLINE void sw_count(__u32 counter)
{
	__u64 *value = bpf_map_lookup_elem(&counters, &counter);

	if (value)
		__sync_fetch_and_add(value, 1);
}

SW_INLINE void sw_hit(__u32 slot, __u32 rule)
{
	__u32 key = slot * SW_RULES_MAX + rule;
	__u64 *value = bpf_map_lookup_elem(&hits, &key);

	if (value)
		__sync_fetch_and_add(value, 1);
}

/* Of SW_COUNT_EDGE_*, and of rules of edge blocks. */
SW_INLINE void sw_edge_count(__u32 counter)
{
	__u64 *value = bpf_map_lookup_elem(&counters, &counter);

	if (value)
		++*value;
}

SW_INLINE void sw_edge_hit(__u32 slot, __u32 rule)
{
	__u32 key = slot * SW_RULES_MAX + rule;
	__u64 *value = bpf_map_lookup_elem(&hits, &key);

	if (value)
		++*value;
}

SW_INLINE const struct sw_policy *sw_policy_in_force(struct sw_head *at, __u32 *slot)
{
	__u64 active = SW_READ_ONCE(at->active);

	SW_OPAQUE(active);
	active &= 1;
	*slot = active;
	return &at->slot[active];
}

SW_INLINE const struct sw_vec *sw_rows_of_id(__u32 slot, __u32 dim, __u32 id)
{
	struct sw_id_key key = {.dim = dim, .id = id};
	void *inner = bpf_map_lookup_elem(&ids, &slot);

	return inner ? bpf_map_lookup_elem(inner, &key) : 0;
}

#endif
