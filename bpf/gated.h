/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * gated.h - packets of connections that the gate looks at: adapters of egress and ingress onto gate.h,
 * and what follows from its answers.
 *
 * Egress runs under the socket's lock, ingress before it is taken, so both may look at one connection
 * at the same time, each at its own half of the gate. A half is one program's at a time; a packet that
 * finds it taken is dropped and TCP sends it again. Whoever ends a connection's gate first says how
 * (enum sw_gated_mark); the storage is freed after both have left it.
 */
#ifndef SW_GATED_H
#define SW_GATED_H

#include "bpf/emit.h"
#include "bpf/flows.h"
#include "bpf/kernel.h"
#include "bpf/maps.h"
#include "bpf/samples.h"

/* What programs on packets answer. */
#define SW_SKB_DROP 0
#define SW_SKB_PASS 1

/* Walks the headers. Not static, so that the verifier looks at it once by itself: what follows then
   is one case for it, not one for each way through the headers. */
__noinline int sw_walk_headers(struct __sk_buff *skb, struct sw_packet *packet)
{
	if (!packet)
		return -1;
	sw_parse_begin(packet);
	packet->ether = bpf_ntohs(skb->protocol);
	sw_parse_ip(skb, packet);
	return 0;
}

/* Bytes in pages that the sender can write to while they are on their way: MSG_ZEROCOPY, sendfile,
   vmsplice. What was looked at need not be what arrives. */
static __noinline int sw_is_shared(struct __sk_buff *skb)
{
	struct sk_buff *kernel_skb = (struct sk_buff *)(unsigned long)sw_address(skb);
	struct skb_shared_info *info;

	info = (struct skb_shared_info *)(BPF_CORE_READ(kernel_skb, head) +
					  BPF_CORE_READ(kernel_skb, end));
	return !!(BPF_CORE_READ(info, flags) & SW_SHARED_FRAG);
}

/* Reads the headers of a packet of TCP. 0: side->segment is filled; -1: they cannot be read. */
SW_INLINE int sw_read_segment(struct __sk_buff *skb, struct sw_side *side)
{
	struct sw_packet *packet = &side->packet;

	sw_walk_headers(skb, packet);
	if (packet->verdict != SW_PARSE_TCP || packet->at > skb->len)
		return -1;
	/* What is there, not what the header says: a super-packet's may say nothing. */
	side->segment.length = skb->len - packet->at;
	side->segment.seq = packet->seq;
	side->segment.at = packet->at;
	side->segment.syn = !!(packet->tcp_flags & SW_TCP_SYN);
	side->segment.urgent = !!(packet->tcp_flags & SW_TCP_URG);
	return 0;
}

/* Does the gate learn anything from it? An acknowledgement alone would end the reading of what a
   server's handshake holds before the rest of it has come. */
SW_INLINE int sw_is_telling(const struct sw_side *side)
{
	return side->segment.length || side->packet.tcp_flags & (SW_TCP_SYN | SW_TCP_FIN);
}

/* The client's half. Not static: looked at by the verifier once. */
__noinline int sw_gated_client(struct __sk_buff *skb, struct sw_gated *gated)
{
	struct sw_gate *gate;
	struct sw_side *side;

	if (!gated)
		return SW_GATE_HOLD;
	gate = &gated->gate;
	side = &gated->client;
	if (sw_read_segment(skb, side)) {
		gate->reason = SW_REASON_MALFORMED;
		gate->phase = gate->enforced ? SW_GATE_CONDEMNED : SW_GATE_OVER;
		return SW_GATE_VIOLATION;
	}
	if (!sw_is_telling(side))
		return SW_GATE_PASS;
	side->segment.shared = side->segment.length && sw_is_shared(skb);
	return sw_gate_client(gate, skb, &side->segment);
}

__noinline int sw_gated_server(struct __sk_buff *skb, struct sw_gated *gated)
{
	struct sw_side *side;

	if (!gated)
		return SW_GATE_HOLD;
	side = &gated->server;
	if (sw_read_segment(skb, side)) {
		SW_WRITE_ONCE(gated->gate.server_reason, SW_REASON_MALFORMED);
		return SW_GATE_VIOLATION;
	}
	return sw_is_telling(side) ? sw_gate_server(&gated->gate, skb, &side->segment)
				   : SW_GATE_PASS;
}

/* ---- what follows ---- */

/* Neither payload nor what can't be read; acknowledgements and ends may pass. */
static __noinline int sw_drop_payload(struct __sk_buff *skb)
{
	struct sw_packet packet = {};

	sw_walk_headers(skb, &packet);
	if (packet.verdict == SW_PARSE_TCP && packet.at == skb->len)
		return SW_SKB_PASS;
	sw_count(SW_COUNT_GATE_DROPPED);
	return SW_SKB_DROP;
}

SW_INLINE void sw_flow_changes(struct sw_sock *st, const struct sw_gate *gate, __u8 state)
{
	st->flow.state = state;
	st->flow.tls = gate->tls;
	st->flow.tls_version = gate->negotiated;
	st->flow.cipher = gate->cipher;
	st->flow.changed_ns = bpf_ktime_get_boot_ns();
	/* The other direction may have condemned it meanwhile. */
	if (SW_READ_ONCE(st->gated) == SW_CONDEMNED)
		st->flow.state = SW_FLOW_CONDEMNED;
	sw_flow_store(st);
}

static __noinline void sw_report_gate(struct sw_sock *st, __u64 guarded)
{
	struct sw_report report = {
		.generation = st->flow.generation,
		.cookie = st->cookie,
		.kind = SW_EVENT_GATE,
		.verdict = st->gated == SW_CONDEMNED ? SW_VERDICT_RESET : SW_VERDICT_AUDIT,
		.reason = st->flow.reason,
		.family = st->flow.family,
		.rule = st->flow.rule,
		.src_port = st->flow.src_port,
		.dst_port = st->flow.asked_port,
	};
	struct sw_who who = {}; /* the names were found when it connected */

	__builtin_memcpy(report.src, st->flow.src, sizeof(report.src));
	__builtin_memcpy(report.dst, st->flow.asked, sizeof(report.dst));
	sw_emit(&report, st, &who, guarded);
}

/* Ends the gate of a connection that did what it must not. What becomes of the packet. */
static __noinline int sw_gated_violation(struct bpf_sock *sk, struct sw_sock *st,
					 struct sw_gated *gated, __u32 from_server)
{
	struct sw_gate *gate = &gated->gate;
	int enforced = gate->enforced;
	__u32 mark = enforced ? SW_CONDEMNED : SW_UNGATED, zero = 0;
	struct sw_head *at = bpf_map_lookup_elem(&head, &zero);

	if (__sync_val_compare_and_swap(&st->gated, SW_GATED, mark) != SW_GATED) {
		if (SW_READ_ONCE(st->gated) != SW_CONDEMNED)
			return SW_SKB_PASS;
		sw_count(SW_COUNT_GATE_DROPPED);
		return SW_SKB_DROP;
	}
	st->flow.reason = from_server ? gate->server_reason : gate->reason;
	st->verb = from_server ? SW_VERB_NONE : gate->verb;
	st->verb_length = from_server ? 0 : gate->verb_length;
	st->mechanism = from_server ? SW_MECHANISM_NONE : gate->mechanism;
	st->from_server = from_server;
	sw_flow_changes(st, gate, enforced ? SW_FLOW_CONDEMNED : SW_FLOW_RECORDED);
	bpf_sk_storage_delete(&gates, sk);
	sw_count(enforced ? SW_COUNT_CONDEMNED : SW_COUNT_AUDITED);
	if (enforced)
		sw_count(SW_COUNT_GATE_DROPPED);
	sw_report_gate(st, at ? at->cgroup_id : 0);
	return enforced ? SW_SKB_DROP : SW_SKB_PASS;
}

/* The client half has come further: tells people and the reader of samples. */
static __noinline void sw_gated_progress(struct bpf_sock *sk, struct sw_sock *st,
					 struct sw_gated *gated, __u32 state)
{
	struct sw_gate *gate = &gated->gate;
	__u32 over = state == SW_FLOW_TLS || state == SW_FLOW_RECORDED || state == SW_FLOW_UNREAD;

	if (over && __sync_val_compare_and_swap(&st->gated, SW_GATED, SW_UNGATED) != SW_GATED)
		return;
	sw_flow_changes(st, gate, state);
	if (state == SW_FLOW_HELLO_SENT)
		sw_sample_client(gate, st->cookie);
	if (state == SW_FLOW_TLS) {
		sw_count(SW_COUNT_TLS);
		sw_sample_server(gate, st->cookie);
	}
	if (over)
		bpf_sk_storage_delete(&gates, sk);
}

/* A packet of a gated connection leaves. */
static __noinline int sw_gated_egress(struct __sk_buff *skb, struct bpf_sock *sk,
				      struct sw_sock *st)
{
	struct sw_gated *gated;
	__u32 state;
	int answer;

	if (SW_READ_ONCE(st->gated) == SW_CONDEMNED)
		return sw_drop_payload(skb);
	gated = bpf_sk_storage_get(&gates, sk, 0, 0);
	if (!gated) /* the other direction has just ended it */
		return SW_READ_ONCE(st->gated) ? SW_SKB_DROP : SW_SKB_PASS;
	if (__sync_lock_test_and_set(&gated->client.busy, 1)) {
		sw_count(SW_COUNT_GATE_HELD);
		return SW_SKB_DROP;
	}
	answer = sw_gated_client(skb, gated);
	state = sw_gate_state(&gated->gate);
	__sync_lock_test_and_set(&gated->client.busy, 0);
	if (answer == SW_GATE_VIOLATION)
		return sw_gated_violation(sk, st, gated, !gated->gate.reason);
	if (state != st->flow.state)
		sw_gated_progress(sk, st, gated, state);
	if (answer == SW_GATE_PASS)
		return SW_SKB_PASS;
	sw_count(SW_COUNT_GATE_HELD);
	return SW_SKB_DROP;
}

/* A packet of a gated connection arrives. */
static __noinline int sw_gated_ingress(struct __sk_buff *skb, struct bpf_sock *sk,
				       struct sw_sock *st)
{
	struct sw_gated *gated;
	int answer;

	if (SW_READ_ONCE(st->gated) == SW_CONDEMNED)
		return sw_drop_payload(skb);
	gated = bpf_sk_storage_get(&gates, sk, 0, 0);
	if (!gated)
		return SW_READ_ONCE(st->gated) ? SW_SKB_DROP : SW_SKB_PASS;
	if (__sync_lock_test_and_set(&gated->server.busy, 1)) {
		sw_count(SW_COUNT_GATE_HELD);
		return SW_SKB_DROP;
	}
	answer = sw_gated_server(skb, gated);
	__sync_lock_test_and_set(&gated->server.busy, 0);
	if (answer == SW_GATE_VIOLATION)
		return sw_gated_violation(sk, st, gated, !gated->gate.reason);
	if (answer == SW_GATE_PASS)
		return SW_SKB_PASS;
	sw_count(SW_COUNT_GATE_HELD);
	return SW_SKB_DROP;
}

/* What arrives. Only sockets whose peer has a guarded port are asked further. */
SW_INLINE int sw_arrival(struct __sk_buff *skb)
{
	__u32 zero = 0, slot;
	struct sw_head *at = bpf_map_lookup_elem(&head, &zero);
	struct bpf_sock *sk = skb->sk;
	struct sw_sock *st;

	if (!at || !sk || !sw_guarded(sw_policy_in_force(at, &slot), bpf_ntohs(sk->dst_port)))
		return SW_SKB_PASS;
	sk = bpf_sk_fullsock(sk);
	if (!sk || sk->type != SW_SOCK_STREAM)
		return SW_SKB_PASS;
	st = bpf_sk_storage_get(&sockets, sk, 0, 0);
	return st && st->gated ? sw_gated_ingress(skb, sk, st) : SW_SKB_PASS;
}

#endif
