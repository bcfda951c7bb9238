/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * gated.h - packets of connections that the gate looks at: from a packet to one of the two halves of gate.h. What
 * follows from its answer: outcome.h. Of a connection that this machine made the client's half is fed by egress and the
 * server's by ingress; of one that it answers it is the other way round.
 *
 * Egress runs under the socket's lock, ingress before it is taken, so both may look at one connection
 * at the same time, each at its own half of the gate. A half is one program's at a time; a packet that
 * finds it taken is dropped and TCP sends it again. Whoever ends a connection's gate first says how
 * (enum sw_gated_mark); the storage is freed after both have left it.
 */
#ifndef SW_GATED_H
#define SW_GATED_H

#include "bpf/kernel.h"
#include "bpf/maps_host.h"
#include "bpf/outcome.h"
#include "bpf/segment.h"

/*
 * A packet of a connection that has no gate yet. Without payload it only tells where the numbers of its side begin:
 * 1. 0: the gate has to read it. Not static, as what follows: looked at by the verifier once.
 */
__noinline int sw_gated_early(struct __sk_buff *skb, struct sw_sock *st, __u32 server)
{
	struct sw_packet packet = {};

	sw_walk_headers(skb, &packet);
	if (!st || packet.verdict != SW_PARSE_TCP || packet.at != skb->len)
		return 0;
	if (packet.tcp_flags & SW_TCP_SYN && server)
		sw_gate_start_server(&st->start, packet.seq, packet.ack,
				     packet.tcp_flags & SW_TCP_ACK);
	else if (packet.tcp_flags & SW_TCP_SYN)
		sw_gate_start_client(&st->start, packet.seq);
	return 1;
}

/* The client's half. */
__noinline int sw_gated_client(struct __sk_buff *skb, struct sw_gated *gated,
			       const struct sw_sock *st)
{
	struct sw_gate *gate;
	struct sw_side *side;

	if (!gated || !st)
		return SW_GATE_HOLD;
	gate = &gated->gate;
	side = &gated->client;
	if (!side->open)
		sw_gate_open_client(gate, &st->start);
	side->open = 1;
	if (sw_read_segment(skb, side)) {
		/* One that comes from elsewhere TCP has not looked at: anybody may have sent it. */
		if (gate->synced == SW_GATE_MET)
			return gate->enforced ? SW_GATE_HOLD : SW_GATE_PASS;
		gate->reason = SW_REASON_MALFORMED;
		gate->phase = gate->enforced ? SW_GATE_CONDEMNED : SW_GATE_OVER;
		return SW_GATE_VIOLATION;
	}
	if (!sw_is_telling(side))
		return SW_GATE_PASS;
	side->segment.shared = side->segment.length && sw_is_shared(skb);
	return sw_gate_client(gate, skb, &side->segment);
}

__noinline int sw_gated_server(struct __sk_buff *skb, struct sw_gated *gated,
			       const struct sw_sock *st)
{
	struct sw_side *side;

	if (!gated || !st)
		return SW_GATE_HOLD;
	side = &gated->server;
	if (!side->open)
		sw_gate_open_server(&gated->gate, &st->start);
	side->open = 1;
	if (sw_read_segment(skb, side)) {
		SW_WRITE_ONCE(gated->gate.server_reason, SW_REASON_MALFORMED);
		return SW_GATE_VIOLATION;
	}
	return sw_is_telling(side) ? sw_gate_server(&gated->gate, skb, &side->segment)
				   : SW_GATE_PASS;
}

/* ---- what the answer means ---- */

/* A packet whose half somebody else looks at. Where nothing is enforced nothing is dropped either: it
   passes, and the gate ends at the bytes that it missed. */
SW_INLINE int sw_taken(const struct sw_sock *st)
{
	if (!st->start.enforced)
		return SW_SKB_PASS;
	sw_count_held(st);
	return SW_SKB_DROP;
}

/* A segment is ahead: will what is missing come? Not if it passed while no policy named the port, or no
   program was attached. Returns the answer, and leaves the reason. */
SW_INLINE int sw_ahead(struct bpf_sock *sk, struct sw_gate *gate, int server, int arrives)
{
	__u32 next = server ? gate->server_next : gate->start + gate->read;
	struct bpf_tcp_sock *tcp = bpf_tcp_sock(sk);
	__u32 received, sent;

	if (!tcp)
		return SW_GATE_HOLD;
	received = tcp->rcv_nxt;
	sent = tcp->snd_una;
	SW_OPAQUE(
		received); /* or the compiler chooses the member before it loads, which may not be */
	SW_OPAQUE(sent);
	if ((__s32)((arrives ? received : sent) - next) <= 0)
		return SW_GATE_HOLD;
	*(server ? &gate->server_reason : &gate->reason) = SW_REASON_MALFORMED;
	return SW_GATE_VIOLATION;
}

/* ---- the halves ---- */

/*
 * The gate, made if need be. Only from SW_GATED does a connection come to another mark, which is set before the gate
 * is deleted. So one that was made too late is seen by who made it, or deleted by who set the mark.
 */
static __noinline struct sw_gated *sw_gated_make(struct bpf_sock *sk, const struct sw_sock *st)
{
	struct sw_gated *gated;

	gated = bpf_sk_storage_get(&gates, sk, 0, BPF_SK_STORAGE_GET_F_CREATE);
	if (!gated) /* the other direction was quicker */
		gated = bpf_sk_storage_get(&gates, sk, 0, 0);
	if (SW_READ_ONCE(st->gated) == SW_GATED)
		return gated;
	bpf_sk_storage_delete(&gates, sk);
	return 0;
}

/* What looks at the packet; NULL: nothing has to, and `answer` is what becomes of it. */
SW_INLINE struct sw_gated *sw_gated_of(struct __sk_buff *skb, struct bpf_sock *sk,
				       struct sw_sock *st, int server, int *answer)
{
	struct sw_gated *gated = bpf_sk_storage_get(&gates, sk, 0, 0);

	if (gated)
		return gated;
	*answer = SW_SKB_PASS;
	if (SW_READ_ONCE(st->gated) == SW_GATED) {
		if (sw_gated_early(skb, st, server))
			return 0;
		gated = sw_gated_make(sk, st);
		if (gated)
			return gated;
		if (SW_READ_ONCE(st->gated) == SW_GATED) {
			*answer = sw_gated_violation(sk, st, 0, 0);
			return 0;
		}
	}
	/* The other direction has just ended it. */
	if (SW_READ_ONCE(st->gated))
		*answer = SW_SKB_DROP;
	return 0;
}

/* A packet that the client of a gated connection sends. `arrives`: this machine is the server. */
static __noinline int sw_gated_from_client(struct __sk_buff *skb, struct bpf_sock *sk,
					   struct sw_sock *st, int arrives)
{
	struct sw_gated *gated;
	__u32 state;
	int answer;

	if (SW_READ_ONCE(st->gated) == SW_CONDEMNED)
		return sw_condemned(skb, st);
	gated = sw_gated_of(skb, sk, st, 0, &answer);
	if (!gated)
		return answer;
	if (__sync_lock_test_and_set(&gated->client.busy, 1))
		return sw_taken(st);
	answer = sw_gated_client(skb, gated, st);
	if (answer == SW_GATE_HOLD)
		answer = sw_ahead(sk, &gated->gate, 0, arrives);
	state = sw_gated_state(gated);
	__sync_lock_test_and_set(&gated->client.busy, 0);
	if (answer == SW_GATE_VIOLATION)
		return sw_gated_violation(sk, st, gated, !gated->gate.reason);
	if (state != st->flow.state)
		sw_gated_progress(sk, st, gated, state);
	if (answer == SW_GATE_PASS)
		return SW_SKB_PASS;
	sw_count_held(st);
	return SW_SKB_DROP;
}

/* A packet that its server sends. `arrives`: this machine is the client. */
static __noinline int sw_gated_from_server(struct __sk_buff *skb, struct bpf_sock *sk,
					   struct sw_sock *st, int arrives)
{
	struct sw_gated *gated;
	int answer;

	if (SW_READ_ONCE(st->gated) == SW_CONDEMNED)
		return sw_condemned(skb, st);
	gated = sw_gated_of(skb, sk, st, 1, &answer);
	if (!gated)
		return answer;
	if (__sync_lock_test_and_set(&gated->server.busy, 1))
		return sw_taken(st);
	answer = sw_gated_server(skb, gated, st);
	if (answer == SW_GATE_HOLD)
		answer = sw_ahead(sk, &gated->gate, 1, arrives);
	__sync_lock_test_and_set(&gated->server.busy, 0);
	if (answer == SW_GATE_VIOLATION)
		return sw_gated_violation(sk, st, gated, !gated->gate.reason);
	if (answer == SW_GATE_PASS)
		return SW_SKB_PASS;
	sw_count_held(st);
	return SW_SKB_DROP;
}

/* ---- the ways ---- */

SW_INLINE int sw_gated_egress(struct __sk_buff *skb, struct bpf_sock *sk, struct sw_sock *st)
{
	return st->state == SW_SOCK_SERVED ? sw_gated_from_server(skb, sk, st, 0)
					   : sw_gated_from_client(skb, sk, st, 0);
}

SW_INLINE int sw_gated_ingress(struct __sk_buff *skb, struct bpf_sock *sk, struct sw_sock *st)
{
	return st->state == SW_SOCK_SERVED ? sw_gated_from_client(skb, sk, st, 1)
					   : sw_gated_from_server(skb, sk, st, 1);
}

#endif
