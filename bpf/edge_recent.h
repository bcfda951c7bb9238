/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * edge_recent.h - what this CPU remembers of sources: what was decided about them, and how many of their SYNs were
 * refused on the short way (edge_flood.h) since their entry in the table of sources was last written.
 */
#ifndef SW_EDGE_RECENT_H
#define SW_EDGE_RECENT_H

#include "bpf/edge_sources.h"

/* The map `head` again: whoever loads this object puts it in the place of its .bss, so that it is found without a
   look-up. There is no other variable. */
struct sw_head edge_head;

/* `active`: read once for a packet. */
SW_INLINE const struct sw_policy *sw_head_policy(__u64 active)
{
	SW_OPAQUE(active);
	return &edge_head.slot[active & 1];
}

/* `port`: as it is in the packet. */
SW_INLINE int sw_head_names(__u64 port)
{
	SW_OPAQUE(port);
	port &= 0xffff;
	return edge_head.edge_named[port / 64] >> (port & 63) & 1;
}

#define SW_RECENT_HASH(word) (((word)*0x9e3779b1u) >> (32 - SW_EDGE_RECENT_BITS))

SW_INLINE struct sw_edge_recents *sw_recents(void)
{
	__u32 zero = 0;

	return bpf_map_lookup_elem(&remembered, &zero);
}

/* The element that a source's packet was looked for in. */
SW_INLINE struct sw_edge_recent *sw_recent_of(const struct sw_edge_work *work)
{
	struct sw_edge_recents *recents = sw_recents();
	__u64 at = work->recent_at;

	SW_OPAQUE(at);
	return recents ? &recents->of[at & (SW_EDGE_RECENT - 1)] : 0;
}

SW_INLINE __u32 sw_recent_pending(const struct sw_edge_recent *recent)
{
	return (__u32)recent->refused - recent->settled;
}

/* Under the lock. What was refused in a second counts for that one, or is too old to be told. */
SW_INLINE void sw_source_add_pending(struct sw_edge_source_slot *slot,
				     const struct sw_edge_recent *recent)
{
	__u32 pending = sw_recent_pending(recent);

	__sync_fetch_and_add(&slot->refused, pending);
	__sync_fetch_and_add(&slot->suppressed, pending);
	if (slot->second == recent->second)
		__sync_fetch_and_add(&slot->now, pending);
	else if (slot->second == recent->second + 1)
		slot->before += pending;
}

/* What was counted on the short way goes into the source's entry, where it still has one. */
static __noinline void sw_recent_settle(struct sw_edge_recent *recent)
{
	struct sw_edge_note note = {.addr = {recent->src[0], recent->src[1]},
				    .interface = recent->interface};
	__u32 at = recent->source;
	struct sw_edge_source_slot *slot = bpf_map_lookup_elem(&edge_sources, &at);

	recent->tick = 0;
	if (slot) {
		bpf_spin_lock(&slot->lock);
		if (sw_source_is(slot, &note))
			sw_source_add_pending(slot, recent);
		bpf_spin_unlock(&slot->lock);
	}
	recent->settled = recent->refused;
}

/* Hits that were counted on the short way go to the rule that they are of, where it still is. */
SW_INLINE void sw_recent_settle_hits(struct sw_edge_recent *recent, __u32 hit, __u64 generation)
{
	__u64 n = recent->refused - recent->hit_settled, slot = recent->hit / SW_RULES_MAX, *value;

	if (recent->hit == hit && recent->hit_generation == generation)
		return;
	if (n && recent->hit_generation == sw_head_policy(slot)->generation) {
		value = bpf_map_lookup_elem(&hits, &recent->hit);
		if (value)
			*value += n;
	}
	recent->hit = hit;
	recent->hit_generation = generation;
	recent->hit_settled = recent->refused;
}

/* Was it decided not long ago? The index of its rule, or SW_RECENT_UNKNOWN. */
#define SW_RECENT_UNKNOWN 0x10000

SW_INLINE __u32 sw_recent_rule(struct sw_edge_work *work, const struct sw_policy *policy)
{
	const struct sw_packet *packet = &work->packet;
	const __u64 *src = (const void *)packet->src;
	struct sw_edge_recent *recent;

	work->recent_at = SW_RECENT_HASH((__u32)(src[1] >> 32) ^ (__u32)(src[0] >> 32));
	recent = sw_recent_of(work);
	if (!recent)
		return SW_RECENT_UNKNOWN;
	work->source = recent->source;
	if (recent->src[0] != src[0] || recent->src[1] != src[1] ||
	    recent->port != packet->dst_port || recent->generation != policy->generation ||
	    recent->interface != work->key.interface || recent->state != work->state)
		return SW_RECENT_UNKNOWN;
	if (sw_recent_pending(recent))
		sw_recent_settle(recent);
	work->known = 1;
	return recent->rule;
}

/* `rows`: of the port on this interface, before anything was asked about. */
SW_INLINE void sw_recent_remember(struct sw_edge_work *work, const struct sw_policy *policy,
				  __u64 rows)
{
	const __u64 *src = (const void *)work->packet.src;
	struct sw_edge_recent *recent = sw_recent_of(work);

	if (!recent || policy->n_rows > 64 || rows & ~policy->any[SW_DIM_DST].w[0])
		return;
	if (sw_recent_pending(recent))
		sw_recent_settle(recent);
	recent->src[0] = src[0];
	recent->src[1] = src[1];
	recent->generation = policy->generation;
	recent->tick = 0;
	recent->interface = work->key.interface;
	recent->state = work->state;
	recent->port = work->packet.dst_port;
	recent->rule = work->rule;
	work->known = 1;
}

/* A SYN was refused; those that follow in this tick are to be counted and nothing else, where that is all. Not inline:
   the stack of what calls it is needed below it. */
static __noinline void sw_recent_expect(const struct sw_edge_work *work, __u32 reset)
{
	struct sw_edge_recent *recent;

	if (!work->known)
		return;
	recent = sw_recent_of(work);
	if (!recent)
		return;
	recent->source = work->source;
	if (!work->quiet || !work->ethernet || work->packet.ether != SW_ETHER_IPV4 ||
	    work->rule >= SW_RULES_MAX)
		return;
	recent->second = work->second;
	sw_recent_settle_hits(recent, work->slot * SW_RULES_MAX + work->rule, work->generation);
	recent->reset = reset;
	recent->tick = work->tick;
}

#endif
