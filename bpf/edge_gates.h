/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * edge_gates.h - what clients send to ports whose rule needs the gate. The other direction is in
 * edge_tc.bpf.c.
 *
 * Until the gate has seen TLS a byte passes only in order, and only behind a SYN that the server answered.
 * A RST without payload always passes: it carries nothing, and the server learns from it. First fragments do
 * not, before TLS: what follows them is not read.
 *
 * Which way it fails: what is not known is refused; where nothing is enforced, everything passes and the
 * flow is no longer looked at once a byte was missed.
 */
#ifndef SW_EDGE_GATES_H
#define SW_EDGE_GATES_H

#include "bpf/edge_packet.h"
#include "bpf/edge_pool.h"

/* The client's half. Not static: looked at by the verifier once. */
__noinline int sw_edge_client(struct xdp_md *ctx, struct sw_edge_gate *slot)
{
	return slot ? sw_gate_client(&slot->gate, ctx, &slot->client) : SW_GATE_HOLD;
}

/* ---- what becomes of a packet ---- */

/* Fragments. Whether it was the gate's to read what is in them does not matter. */
static __noinline int sw_edge_fragment(struct sw_edge_work *work)
{
	if (!sw_edge_enforces(work))
		return SW_EDGE_PASS;
	sw_edge_count(SW_COUNT_EDGE_MALFORMED);
	sw_edge_report(work, SW_VERDICT_DROP, SW_REASON_MALFORMED);
	return SW_EDGE_DROP;
}

/* Until when connections pass whose beginning was not seen. */
SW_INLINE int sw_edge_keeps(struct sw_edge_work *work)
{
	__u32 index = work->key.interface, slot = work->slot & 1;
	const struct sw_interface *interface = bpf_map_lookup_elem(&interfaces, &index);
	__u64 until = interface ? interface->keep_until_ns[slot] : 0;

	return until && sw_edge_now(work) < until;
}

/* Of a connection that nothing is known of. Where that is only recorded, it is recorded once. */
static __noinline int sw_edge_unknown(struct sw_edge_work *work)
{
	struct sw_edge_before before = {};
	struct sw_edge_flow_slot *flow;

	if (work->action != SW_ACTION_TLS)
		return SW_EDGE_PASS;
	if (sw_edge_keeps(work)) {
		sw_edge_count(SW_COUNT_EDGE_EXISTING);
		return SW_EDGE_PASS;
	}
	if (!work->audit) {
		sw_edge_count(SW_COUNT_EDGE_UNKNOWN);
		sw_edge_report(work, SW_VERDICT_RESET, SW_REASON_UNATTRIBUTED);
		return SW_EDGE_RESET;
	}
	flow = sw_edge_room(work);
	if (flow) {
		sw_edge_fill(flow, work, SW_EDGE_UNREAD, &before);
		sw_edge_count_before(&before);
		sw_edge_give_back(work, &before);
	}
	sw_edge_count(SW_COUNT_EDGE_AUDITED);
	sw_edge_report(work, SW_VERDICT_AUDIT, SW_REASON_UNATTRIBUTED);
	return SW_EDGE_PASS;
}

/* A connection begins. Data comes later: what a server would make of it now is not known. */
static __noinline int sw_edge_begin_flow(struct sw_edge_work *work, struct sw_edge_flow_slot *flow,
					 __u32 length)
{
	struct sw_edge_before before = {};

	if (length && sw_edge_enforces(work))
		return sw_edge_held(work);
	flow = flow ? flow : sw_edge_room(work);
	if (!flow)
		return sw_edge_held(work);
	sw_edge_fill(flow, work, SW_EDGE_SYN, &before);
	/* A server that still has an older connection of these ports makes the client send a RST first. */
	if (before.again && before.ended)
		sw_edge_count(SW_COUNT_EDGE_OPENED);
	if (before.again)
		return SW_EDGE_PASS;
	sw_edge_count_before(&before);
	sw_edge_give_back(work, &before);
	return SW_EDGE_PASS;
}

/* ---- gated ---- */

/* The gate has done its work. Who has changed the entry gives it back. */
SW_INLINE void sw_edge_finish(struct sw_edge_flow_slot *flow, struct sw_edge_work *work,
			      struct sw_edge_gate *slot, __u8 state)
{
	__u32 word = 0;

	if (state == SW_EDGE_TLS) {
		work->tls = slot->gate.tls;
		word = sw_edge_tls_word(slot->gate.negotiated, slot->gate.cipher);
	}
	if (!sw_edge_change(flow, work, state, word))
		return;
	SW_WRITE_ONCE(slot->owner, 0);
	if (state == SW_EDGE_TLS)
		sw_edge_count(SW_COUNT_EDGE_TLS);
}

/* The gate's answer has been had and `busy` is still in hand. */
SW_INLINE int sw_edge_answered(struct sw_edge_flow_slot *flow, struct sw_edge_work *work,
			       struct sw_edge_gate *slot, int answer)
{
	const struct sw_gate *gate = &slot->gate;
	__u32 enforced = gate->enforced;

	if (answer == SW_GATE_VIOLATION) {
		__u8 reason = sw_edge_tell(work, gate);

		if (sw_edge_condemn(flow, work, reason, enforced))
			SW_WRITE_ONCE(slot->owner, 0);
		return enforced ? SW_EDGE_RESET : SW_EDGE_PASS;
	}
	if (gate->phase == SW_GATE_TLS)
		sw_edge_finish(flow, work, slot, SW_EDGE_TLS);
	else if (gate->phase == SW_GATE_OVER)
		sw_edge_finish(flow, work, slot, SW_EDGE_UNREAD);
	if (answer == SW_GATE_PASS)
		return SW_EDGE_PASS;
	sw_edge_count(SW_COUNT_EDGE_HELD);
	return SW_EDGE_DROP;
}

static __noinline int sw_edge_read(struct xdp_md *ctx, struct sw_edge_work *work,
				   struct sw_edge_flow_slot *flow, __u32 length)
{
	struct sw_edge_gate *slot = sw_edge_gate_at(work->seen.gate);
	int answer;

	if (!slot)
		return sw_edge_lost(flow, work);
	if (sw_edge_busy(&slot->client_busy))
		return sw_edge_held(work);
	if (!sw_edge_owns(slot, work)) {
		sw_edge_done(&slot->client_busy);
		return sw_edge_lost(flow, work);
	}
	slot->used = 1;
	sw_edge_segment(&slot->client, &work->packet, length);
	answer = sw_edge_client(ctx, slot);
	answer = sw_edge_answered(flow, work, slot, answer);
	sw_edge_done(&slot->client_busy);
	return answer;
}

/* ---- the door ---- */

SW_INLINE int sw_edge_clear(struct xdp_md *ctx, struct sw_edge_work *work,
			    struct sw_edge_flow_slot *flow)
{
	__u32 length = sw_edge_payload(&work->packet, (__u32)bpf_xdp_get_buff_len(ctx));
	__u8 flags = work->packet.tcp_flags, state = work->seen.state;

	if (flags & SW_TCP_RST && !length && !work->packet.fragment)
		return SW_EDGE_PASS;
	if ((flags & (SW_TCP_SYN | SW_TCP_ACK | SW_TCP_FIN | SW_TCP_RST)) == SW_TCP_SYN)
		return work->packet.fragment ? sw_edge_fragment(work)
					     : sw_edge_begin_flow(work, flow, length);
	if (!flow)
		return sw_edge_unknown(work);
	if (state == SW_EDGE_RECORDED || state == SW_EDGE_UNREAD)
		return SW_EDGE_PASS;
	if (state == SW_EDGE_CONDEMNED)
		return SW_EDGE_RESET;
	if (work->packet.fragment)
		return sw_edge_fragment(work);
	/* A SYN and something else: nobody's answer to anything here. */
	if (flags & SW_TCP_SYN || (state == SW_EDGE_SYN && length))
		return sw_edge_held(work);
	if (!length && (state != SW_EDGE_GATED || !(flags & SW_TCP_FIN)))
		return SW_EDGE_PASS;
	if (state == SW_EDGE_OPEN && !sw_edge_first_byte(flow, work))
		return sw_edge_held(work);
	return sw_edge_read(ctx, work, flow, length);
}

/* What is known of the flow: work->seen. */
SW_INLINE void sw_edge_recall(struct sw_edge_work *work)
{
	struct sw_edge_flow_slot *flow = sw_edge_find(work);

	if (flow)
		sw_edge_look(flow, work, work->packet.tcp_flags & (SW_TCP_FIN | SW_TCP_RST));
}

/* In TLS already, so that no rule need be looked for: a hash and an element. Leaves what is known of the flow in
   work->seen when it is not. */
SW_INLINE int sw_edge_is_settled(struct sw_edge_work *work, const struct sw_head *at)
{
	__u32 ends = work->packet.tcp_flags & (SW_TCP_FIN | SW_TCP_RST);
	struct sw_edge_flow_slot *flow = sw_edge_find(work);

	if (!flow)
		return 0;
	if (!ends && sw_edge_is_in_tls(flow, at))
		return 1;
	sw_edge_look(flow, work, ends);
	return work->seen.state == SW_EDGE_TLS && sw_edge_may_finish(at, work->seen.generation);
}

/* A packet of TCP to a port whose rule needs the gate. Of one that begins no connection work->seen is known
   already. */
SW_INLINE int sw_edge_gated(struct xdp_md *ctx, struct sw_edge_work *work)
{
	__u8 flags = work->packet.tcp_flags;
	struct sw_edge_flow_slot *flow;

	if (flags & SW_TCP_SYN)
		sw_edge_recall(work);
	else if (work->seen.state == SW_EDGE_TLS)
		return SW_EDGE_PASS;
	flow = work->seen.state == SW_EDGE_FREE
		       ? 0
		       : sw_edge_way(work, work->seen.at ^ work->seen.place);
	return sw_edge_clear(ctx, work, flow);
}

#endif
