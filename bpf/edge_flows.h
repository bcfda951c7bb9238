/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * edge_flows.h - the table of flows that the gate has to do with: find, make, make room, change.
 *
 * An entry is read and written under its lock alone, but for the comparison that finds it, which is made
 * again under the lock, and for sw_edge_is_in_tls(). What a packet decides on is in work->seen from then on; each change of state says
 * which state it starts from, and is not made when another packet was first.
 *
 * Which way it fails:
 * - A SYN makes the flow's entry anew, whatever it was: a connection that comes after one in TLS on the same
 *   ports begins in clear. So does a SYN that never reaches the server (a decoy, or somebody else's on the
 *   same link): then no byte passes until a server has answered that very SYN. A SYN that is the same again
 *   changes nothing while no byte was sent; behind the first byte it is one of a new connection.
 * - An entry that was taken for another flow is an unknown connection from then on: it is refused, but for
 *   the time of `existing keep`, when nobody can tell it from one that is older than the program.
 * - RST and FIN say only which entry makes room first; anybody can forge them, so they change no state.
 * - Two SYNs at once on two CPUs may make two entries. The first of the set counts; the other never left
 *   SW_EDGE_SYN, and lets no byte pass if it outlives the first.
 * - Addresses are taken to be somebody's alone behind an interface: VLANs of one interface share flows.
 */
#ifndef SW_EDGE_FLOWS_H
#define SW_EDGE_FLOWS_H

#include "bpf/count.h"
#include "bpf/edge_hash.h"
#include "bpf/kernel.h"
#include "bpf/maps_edge.h"

typedef __u64 __attribute__((may_alias)) sw_edge_word;

/* Is it this flow's key? `words` may be a flow's from `src` on, or a gate's. */
SW_INLINE int sw_edge_same(const void *words, const void *other)
{
	const sw_edge_word *a = words, *b = other;

	return !((a[4] ^ b[4]) | (a[1] ^ b[1]) | (a[0] ^ b[0]) | (a[2] ^ b[2]) | (a[3] ^ b[3]));
}

SW_INLINE struct sw_edge_flow_slot *sw_edge_way(const struct sw_edge_work *work, __u32 way)
{
	__u32 at = work->seen.place ^ way;

	return bpf_map_lookup_elem(&edge_flows, &at);
}

/* The entry of the flow with this key, whose place is `place`; its index goes to `at`. NULL: it has none. */
SW_INLINE struct sw_edge_flow_slot *sw_edge_search(__u32 place, const void *key, __u32 *at)
{
#pragma unroll
	for (__u32 way = 0; way < SW_EDGE_WAYS; way++) {
		__u32 index = place ^ way;
		struct sw_edge_flow_slot *flow = bpf_map_lookup_elem(&edge_flows, &index);

		if (flow && sw_edge_same(flow->src, key)) {
			*at = index;
			return flow;
		}
	}
	return 0;
}

/* Where the flow of work->key lies, if it does. The secret keeps others from filling one set. */
SW_INLINE struct sw_edge_flow_slot *sw_edge_find(struct sw_edge_work *work)
{
	const sw_edge_word *key = (const void *)work->key.src;
	__u64 words[5] = {key[0], key[1], key[2], key[3], key[4]};
	const struct sw_edge_secret *secret;
	__u32 zero = 0;

	work->seen.state = SW_EDGE_FREE;
	secret = bpf_map_lookup_elem(&edge_secret, &zero);
	if (!secret)
		return 0;
	work->seen.hash = sw_edge_flow_hash(secret, words);
	work->seen.place = sw_edge_flow_place(work->seen.hash, sw_edge_sets);
	return sw_edge_search(work->seen.place, work->key.src, &work->seen.at);
}

/* A policy that came since lets a flow in TLS finish, but for one that was applied to end what is older. */
SW_INLINE int sw_edge_may_finish(const struct sw_head *at, __u16 generation)
{
	return !at->existing_close || (__s16)(generation - (__u16)at->existing_close) >= 0;
}

/*
 * Is the flow that the entry was found for in TLS, may it finish, and is there nothing to write down? Without the
 * lock: an entry that is given to another flow, or made anew, is free while the rest of it is written
 * (sw_edge_fill), so with a state that is read behind the key and the generation these are that flow's. That takes a
 * machine that keeps the order of loads, and of stores.
 */
SW_INLINE int sw_edge_is_in_tls(const struct sw_edge_flow_slot *flow, const struct sw_head *at)
{
#ifdef __TARGET_ARCH_x86
	__u32 may;

	SW_BARRIER();
	may = sw_edge_may_finish(at, SW_READ_ONCE(flow->generation));
	SW_BARRIER();
	return may && SW_READ_ONCE(flow->state) == SW_EDGE_TLS && SW_READ_ONCE(flow->used);
#else
	return 0;
#endif
}

/* Reads the entry. `ends`: the packet is a FIN or a RST. */
SW_INLINE void sw_edge_look(struct sw_edge_flow_slot *flow, struct sw_edge_work *work, __u32 ends)
{
	struct sw_edge_seen *seen = &work->seen;
	__u8 state = SW_EDGE_FREE;
	__u32 ended = 0;

	bpf_spin_lock(&flow->lock);
	if (sw_edge_same(flow->src, work->key.src)) {
		state = flow->state;
		seen->start = flow->start;
		seen->gate = flow->gate;
		seen->rule = flow->rule;
		seen->generation = flow->generation;
		if (!flow->used)
			flow->used = 1;
		if (ends && !flow->ended)
			flow->ended = ended = 1;
	}
	bpf_spin_unlock(&flow->lock);
	seen->state = state;
	if (ended)
		sw_edge_count(SW_COUNT_EDGE_ENDED);
}

/*
 * From the state that was seen to another. `word`: what comes in place of `gate`. Returns whether this call
 * did it; otherwise another packet did something else first.
 */
static __noinline int sw_edge_change(struct sw_edge_flow_slot *flow, struct sw_edge_work *work,
				     __u8 to, __u32 word)
{
	const struct sw_edge_seen *seen = &work->seen;
	__u32 done = 0, ended = 0;
	__u8 tls = work->tls;

	bpf_spin_lock(&flow->lock);
	if (sw_edge_same(flow->src, work->key.src) && flow->state == seen->state &&
	    flow->start == seen->start && flow->gate == seen->gate) {
		flow->state = to;
		flow->gate = word;
		flow->tls = tls;
		if (to == SW_EDGE_CONDEMNED && !flow->ended)
			flow->ended = ended = 1;
		done = 1;
	}
	bpf_spin_unlock(&flow->lock);
	if (ended)
		sw_edge_count(SW_COUNT_EDGE_ENDED);
	return done;
}

/* A flow's word once it is in TLS. */
SW_INLINE __u32 sw_edge_tls_word(__u16 tls_version, __u16 cipher)
{
	struct sw_edge_flow flow = {.tls_version = tls_version, .cipher = cipher};

	return flow.gate;
}

/* ---- room ---- */

/* Who makes room: the lowest. A flood of SYNs that nobody answers takes room from itself first; so does one of
   other packets where they are only recorded: losing such an entry costs a second record. */
SW_INLINE __u32 sw_edge_worth(const struct sw_edge_flow_slot *flow)
{
	__u32 used = !!SW_READ_ONCE(flow->used);
	__u8 state = SW_READ_ONCE(flow->state);

	if (state == SW_EDGE_FREE)
		return 0;
	if (SW_READ_ONCE(flow->ended))
		return 1;
	if (state == SW_EDGE_SYN || state == SW_EDGE_UNREAD)
		return 2 + used;
	return (state == SW_EDGE_TLS ? 6 : 4) + used;
}

/* An element of the set for a new flow. Those that stay lose their mark: who sends nothing until the next
   time has been idle. */
static __noinline __attribute__((unused)) struct sw_edge_flow_slot *
sw_edge_room(struct sw_edge_work *work)
{
	struct sw_edge_flow_slot *flow, *best = 0;
	__u32 worth, least = 8;

#pragma unroll
	for (__u32 way = 0; way < SW_EDGE_WAYS; way++) {
		flow = sw_edge_way(work, way);
		if (!flow)
			continue;
		worth = sw_edge_worth(flow);
		if (worth < least) {
			least = worth;
			best = flow;
			work->seen.at = work->seen.place ^ way;
		}
	}
	if (least < 2)
		return best;
#pragma unroll
	for (__u32 way = 0; way < SW_EDGE_WAYS; way++) {
		flow = sw_edge_way(work, way);
		if (flow && flow != best && SW_READ_ONCE(flow->used))
			SW_WRITE_ONCE(flow->used, 0);
	}
	return best;
}

/* What the entry held that is made anew. */
struct sw_edge_before {
	__u32 start, gate;
	__u8 state, ended, same, again;
};

SW_INLINE void sw_edge_count_before(const struct sw_edge_before *before)
{
	sw_edge_count(SW_COUNT_EDGE_OPENED);
	if (before->state == SW_EDGE_FREE || before->ended)
		return;
	sw_edge_count(SW_COUNT_EDGE_ENDED);
	if (!before->same)
		sw_edge_count(before->state == SW_EDGE_TLS ? SW_COUNT_EDGE_EVICTED_TLS
							   : SW_COUNT_EDGE_EVICTED);
}

/* Makes the entry this flow's, in `state`. before->again: it is one already, by the same SYN. */
static __noinline __attribute__((unused)) int sw_edge_fill(struct sw_edge_flow_slot *flow,
							   struct sw_edge_work *work, __u8 state,
							   struct sw_edge_before *before)
{
	__u32 now = sw_edge_now(work) / 1000000000, start = work->packet.seq;
	sw_edge_word *to = (void *)flow->src;
	const sw_edge_word *from = (const void *)work->key.src;
	__u16 rule = work->rule, generation = work->generation;
	__u8 was, ended, same, again;
	__u32 old_start, old_gate;

	bpf_spin_lock(&flow->lock);
	was = flow->state;
	ended = flow->ended;
	old_start = flow->start;
	old_gate = flow->gate;
	same = sw_edge_same(to, from);
	again = same && old_start == start && (was == SW_EDGE_SYN || was == SW_EDGE_OPEN);
	if (!again) {
		SW_WRITE_ONCE(flow->state, SW_EDGE_FREE); /* sw_edge_is_in_tls() */
		SW_BARRIER();
		to[0] = from[0];
		to[1] = from[1];
		to[2] = from[2];
		to[3] = from[3];
		to[4] = from[4];
		flow->used = 1;
		flow->ended = 0;
		flow->tls = 0;
		flow->opened_s = now;
		flow->start = start;
		flow->gate = 0;
		flow->rule = rule;
		flow->generation = generation;
		SW_BARRIER();
		SW_WRITE_ONCE(flow->state, state);
	} else {
		flow->ended = 0;
	}
	bpf_spin_unlock(&flow->lock);
	before->state = was;
	before->ended = ended;
	before->same = same;
	before->again = again;
	before->start = old_start;
	before->gate = old_gate;
	return 0;
}

#endif
