/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * edge_pool.h - the pool of gates at the edge: take, own, give back; and what both directions do with what a
 * gate says.
 *
 * A gate is named by its index, which the flow's entry has, and is the flow's as long as its owner and key
 * say so. Who has a `busy` and then finds its flow the owner may use that half until it gives the `busy`
 * back. An owner that is done writes 0 there, with one `busy` in hand; the other half may still be in use
 * then. A new owner is written by who has both, so nobody writes to a gate that is another's already.
 *
 * Which way it fails: a packet that finds its half taken is dropped and TCP sends it again. A flow that
 * finds its gate gone is ended (table_full). No gate to be had while all are in use: as the former.
 * Where nothing is enforced, the flow is no longer looked at instead.
 */
#ifndef SW_EDGE_POOL_H
#define SW_EDGE_POOL_H

#include "bpf/edge_flows.h"
#include "bpf/edge_segment.h"
#include "bpf/edge_sources.h"

#define SW_EDGE_GATE_WAYS 8

SW_INLINE __u64 sw_edge_owner(__u32 at, __u32 start)
{
	return (__u64)start << 32 | (at + 1);
}

/* One `busy` is in hand. */
SW_INLINE int sw_edge_owns(const struct sw_edge_gate *slot, const struct sw_edge_work *work)
{
	return SW_READ_ONCE(slot->owner) == sw_edge_owner(work->seen.at, work->seen.start) &&
	       sw_edge_same(slot->key, work->key.src);
}

SW_INLINE struct sw_edge_gate *sw_edge_gate_at(__u32 index)
{
	return bpf_map_lookup_elem(&edge_gates, &index);
}

SW_INLINE int sw_edge_busy(__u32 *busy)
{
	return __sync_lock_test_and_set(busy, 1);
}

SW_INLINE void sw_edge_done(__u32 *busy)
{
	__sync_lock_test_and_set(busy, 0);
}

/* ---- take ---- */

/* Both halves, for an owner to be. */
SW_INLINE int sw_edge_seize(struct sw_edge_gate *slot)
{
	if (sw_edge_busy(&slot->client_busy))
		return 0;
	if (!sw_edge_busy(&slot->server_busy))
		return 1;
	sw_edge_done(&slot->client_busy);
	return 0;
}

SW_INLINE void sw_edge_leave(struct sw_edge_gate *slot)
{
	sw_edge_done(&slot->server_busy);
	sw_edge_done(&slot->client_busy);
}

/* Does the flow that the gate is for still go on, and with this gate? A guess, made without its lock. */
SW_INLINE int sw_edge_lives(const struct sw_edge_gate *slot, __u32 index)
{
	__u64 owner = SW_READ_ONCE(slot->owner);
	__u32 at = (__u32)owner - 1;
	const struct sw_edge_flow_slot *flow = bpf_map_lookup_elem(&edge_flows, &at);

	return flow && flow->state == SW_EDGE_GATED && flow->gate == index &&
	       flow->start == owner >> 32 && !flow->ended;
}

/* May it be taken in this round: a free one; one whose flow has ended; an idle one; any. */
SW_INLINE int sw_edge_to_be_had(struct sw_edge_gate *slot, __u32 index, __u32 round)
{
	if (!SW_READ_ONCE(slot->owner))
		return 1;
	if (round == 1)
		return !sw_edge_lives(slot, index);
	if (round == 2)
		return !__sync_lock_test_and_set(&slot->used, 0);
	return round == 3;
}

/* A gate with both halves seized; its index goes to work->word. NULL: all are in use just now. */
static __noinline struct sw_edge_gate *sw_edge_seize_some(struct sw_edge_work *work)
{
	__u32 first = sw_edge_flow_gate(work->seen.hash, sw_edge_gate_count), index;
	struct sw_edge_gate *slot;

	for (__u32 round = 0; round < 4; round++) {
		for (__u32 way = 0; way < SW_EDGE_GATE_WAYS; way++) {
			index = (first + way) % sw_edge_gate_count;
			slot = sw_edge_gate_at(index);
			if (!slot || !sw_edge_to_be_had(slot, index, round) || !sw_edge_seize(slot))
				continue;
			work->word = index;
			return slot;
		}
	}
	return 0;
}

/* The policy that a flow or a packet began under: its rule. Two policies are there; NULL: it is neither. */
SW_INLINE const struct sw_rule *sw_edge_rule_of(__u32 rule, __u16 generation, __u32 *slot)
{
	struct sw_head *at;
	__u64 index = rule;
	__u32 zero = 0;

	at = bpf_map_lookup_elem(&head, &zero);
	if (!at)
		return 0;
	SW_OPAQUE(index);
	index &= SW_RULES_MAX - 1;
	if ((__u16)at->slot[0].generation == generation) {
		*slot = 0;
		return &at->slot[0].rules[index];
	}
	if ((__u16)at->slot[1].generation == generation) {
		*slot = 1;
		return &at->slot[1].rules[index];
	}
	return 0;
}

/* All but `seen`, of which nothing is read that was not written. */
SW_INLINE void sw_edge_gate_clear(struct sw_gate *gate)
{
	sw_edge_word *words = (void *)gate;

#pragma unroll
	for (__u32 i = 0; i < __builtin_offsetof(struct sw_gate, seen) / sizeof(*words); i++)
		words[i] = 0;
}

/*
 * A gate for a flow of SW_EDGE_OPEN, which is told where both directions begin. Returns whether the flow has one
 * now. When two policies have come since its SYN its rule is not known any longer: TLS is required then.
 */
static __noinline int sw_edge_take(struct sw_edge_flow_slot *flow, struct sw_edge_work *work)
{
	struct sw_edge_seen *seen = &work->seen;
	struct sw_edge_gate *slot = sw_edge_seize_some(work);
	const struct sw_rule *rule;
	__u32 which;

	if (!slot)
		return 0;
	if (slot->owner && sw_edge_lives(slot, work->word))
		sw_edge_count(SW_COUNT_EDGE_EVICTED_GATE);
	sw_edge_gate_clear(&slot->gate);
	rule = sw_edge_rule_of(seen->rule, seen->generation, &which);
	if (rule)
		sw_gate_begin(&slot->gate, rule->action, rule->flags, work->key.dst_port,
			      rule->tls_version);
	else
		sw_gate_begin(&slot->gate, SW_ACTION_TLS, 0, work->key.dst_port, 0);
	slot->gate.start = seen->start + 1;
	slot->gate.synced = 1;
	slot->gate.server_next = seen->gate + 1;
	slot->gate.server_synced = 1;
	slot->used = 1;
	slot->rule = seen->rule | (__u32)seen->generation << 16;
	__builtin_memcpy(slot->key, work->key.src, sizeof(slot->key));
	SW_WRITE_ONCE(slot->owner, sw_edge_owner(seen->at, seen->start));
	work->tls = 0;
	if (sw_edge_change(flow, work, SW_EDGE_GATED, work->word)) {
		seen->state = SW_EDGE_GATED;
		seen->gate = work->word;
	} else {
		SW_WRITE_ONCE(slot->owner, 0);
	}
	sw_edge_leave(slot);
	return seen->state == SW_EDGE_GATED;
}

/* The gate of an entry that is another flow's now. In use: its second chance will find it. */
SW_INLINE void sw_edge_give_back(const struct sw_edge_work *work,
				 const struct sw_edge_before *before)
{
	struct sw_edge_gate *slot;

	if (before->state != SW_EDGE_GATED)
		return;
	slot = sw_edge_gate_at(before->gate);
	if (!slot || !sw_edge_seize(slot))
		return;
	if (slot->owner == sw_edge_owner(work->seen.at, before->start))
		SW_WRITE_ONCE(slot->owner, 0);
	sw_edge_leave(slot);
}

/* ---- what follows ---- */

/* Events name the rule that the flow came under, where that is still there. */
SW_INLINE void sw_edge_name_rule(struct sw_edge_work *work)
{
	struct sw_head *at;
	__u32 zero = 0, which = 0;

	if (!sw_edge_rule_of(work->seen.rule, work->seen.generation, &which))
		return;
	at = bpf_map_lookup_elem(&head, &zero);
	if (!at)
		return;
	work->rule = work->seen.rule;
	work->slot = which;
	work->generation = at->slot[which & 1].generation;
}

/* The connection is refused from now on, or only recorded. Told and counted by who did it first. */
static __noinline int sw_edge_condemn(struct sw_edge_flow_slot *flow, struct sw_edge_work *work,
				      __u8 reason, __u32 enforced)
{
	if (!sw_edge_change(flow, work, enforced ? SW_EDGE_CONDEMNED : SW_EDGE_RECORDED, 0))
		return 0;
	sw_edge_count(enforced ? SW_COUNT_EDGE_CONDEMNED : SW_COUNT_EDGE_AUDITED);
	sw_edge_name_rule(work);
	sw_edge_report(work, enforced ? SW_VERDICT_RESET : SW_VERDICT_AUDIT, reason);
	return 1;
}

/* What is told of a gate that has ended a connection. */
SW_INLINE __u8 sw_edge_tell(struct sw_edge_work *work, const struct sw_gate *gate)
{
	__u8 reason = gate->reason;

	work->from_server = !reason;
	work->tls = gate->tls;
	work->tls_version = gate->negotiated;
	if (!reason)
		return SW_READ_ONCE(gate->server_reason);
	work->verb = gate->verb;
	work->verb_length = gate->verb_length;
	work->mechanism = gate->mechanism;
	return reason;
}

/* Its gate went to another flow. */
SW_INLINE int sw_edge_lost(struct sw_edge_flow_slot *flow, struct sw_edge_work *work)
{
	if (!sw_edge_enforces(work)) {
		sw_edge_change(flow, work, SW_EDGE_UNREAD, 0);
		return SW_EDGE_PASS;
	}
	sw_edge_condemn(flow, work, SW_REASON_TABLE_FULL, 1);
	return SW_EDGE_RESET;
}

/* The first byte of a connection that the server has answered. */
static __noinline int sw_edge_first_byte(struct sw_edge_flow_slot *flow, struct sw_edge_work *work)
{
	if (sw_edge_take(flow, work))
		return 1;
	if (!sw_edge_enforces(work))
		sw_edge_change(flow, work, SW_EDGE_UNREAD, 0);
	return 0;
}

#endif
