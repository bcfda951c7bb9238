/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * outcome.h - what follows from what the gate found: a connection goes on, is told about, or ends. gated.h asks it.
 */
#ifndef SW_OUTCOME_H
#define SW_OUTCOME_H

#include "bpf/emit.h"
#include "bpf/flows.h"
#include "bpf/kernel.h"
#include "bpf/maps_host.h"
#include "bpf/samples.h"
#include "bpf/segment.h"

/* Connections that this machine made and those that it answers are counted apart. */
SW_INLINE void sw_count_of(const struct sw_sock *st, __u32 made, __u32 served)
{
	sw_tally(st->state == SW_SOCK_SERVED ? served : made);
}

SW_INLINE void sw_count_dropped(const struct sw_sock *st)
{
	sw_count_of(st, SW_COUNT_GATE_DROPPED, SW_COUNT_SERVE_DROPPED);
}

SW_INLINE void sw_count_held(const struct sw_sock *st)
{
	sw_count_of(st, SW_COUNT_GATE_HELD, SW_COUNT_SERVE_HELD);
}

/* A packet of TCP with nothing in it. */
__noinline int sw_is_bare(struct __sk_buff *skb)
{
	struct sw_packet packet = {};

	sw_walk_headers(skb, &packet);
	return packet.verdict == SW_PARSE_TCP && packet.at == skb->len;
}

/* Neither payload nor what can't be read; acknowledgements and ends may pass. */
SW_INLINE int sw_drop_payload(struct __sk_buff *skb)
{
	return sw_is_bare(skb) ? SW_SKB_PASS : SW_SKB_DROP;
}

/* Not static, as others below that need nothing of the socket: looked at by the verifier once. */
__noinline int sw_flow_changes(struct sw_sock *st, const struct sw_gated *gated, __u32 state)
{
	if (!st)
		return -1;
	st->flow.state = state;
	if (gated) {
		st->flow.tls = gated->gate.tls;
		st->flow.tls_version = gated->gate.negotiated;
		st->flow.cipher = gated->gate.cipher;
	}
	st->flow.changed_ns = bpf_ktime_get_boot_ns();
	/* The other direction may have condemned it meanwhile. */
	if (SW_READ_ONCE(st->gated) == SW_CONDEMNED)
		st->flow.state = SW_FLOW_CONDEMNED;
	return 0;
}

/* Once; again where there was no room for it. The names were found when the connection was made, and the
   limiter has no say: the daemon ends a connection for each. */
__noinline int sw_report_gate(struct sw_sock *st)
{
	struct sw_report report;

	if (!st || __sync_lock_test_and_set(&st->told, 1))
		return 0;
	report = (struct sw_report){
		.generation = st->flow.generation,
		.cookie = st->flow.cookie,
		.kind = st->state == SW_SOCK_SERVED ? SW_EVENT_SERVE : SW_EVENT_GATE,
		.verdict = st->gated == SW_CONDEMNED ? SW_VERDICT_RESET : SW_VERDICT_AUDIT,
		.reason = st->flow.reason,
		.family = st->flow.family,
		.rule = st->flow.rule,
		.src_port = st->flow.src_port,
		.dst_port = st->flow.asked_port,
	};

	__builtin_memcpy(report.src, st->flow.src, sizeof(report.src));
	__builtin_memcpy(report.dst, st->flow.asked, sizeof(report.dst));
	if (sw_emit_now(&report, &st->flow.caller, st))
		__sync_lock_test_and_set(&st->told, 0);
	return 0;
}

/* A packet of a condemned connection. When its program sends again, so is an event that was lost. */
static __noinline int sw_condemned(struct __sk_buff *skb, struct sw_sock *st)
{
	int answer = sw_drop_payload(skb);

	if (answer != SW_SKB_DROP)
		return answer;
	sw_count_dropped(st);
	if (!SW_READ_ONCE(st->told))
		sw_report_gate(st);
	return answer;
}

/* What an event will tell of a violation. */
__noinline int sw_gated_blame(struct sw_sock *st, const struct sw_gated *gated, __u32 from_server)
{
	const struct sw_gate *gate;

	if (!st)
		return -1;
	st->verb = SW_VERB_NONE;
	st->verb_length = 0;
	st->mechanism = SW_MECHANISM_NONE;
	st->from_server = from_server;
	if (!gated) {
		st->flow.reason = SW_REASON_TABLE_FULL;
		return 0;
	}
	gate = &gated->gate;
	st->flow.reason = from_server ? gate->server_reason : gate->reason;
	if (!from_server) {
		st->verb = gate->verb;
		st->verb_length = gate->verb_length;
		st->mechanism = gate->mechanism;
	}
	return 0;
}

/* Ends the gate of a connection that did what it must not, or for which there is no memory: `gated` is NULL. What
   becomes of the packet. */
static __noinline int sw_gated_violation(struct bpf_sock *sk, struct sw_sock *st,
					 struct sw_gated *gated, __u32 from_server)
{
	int enforced = st->start.enforced;
	__u32 mark = enforced ? SW_CONDEMNED : SW_UNGATED;

	if (__sync_val_compare_and_swap(&st->gated, SW_GATED, mark) != SW_GATED) {
		if (SW_READ_ONCE(st->gated) != SW_CONDEMNED)
			return SW_SKB_PASS;
		sw_count_dropped(st);
		return SW_SKB_DROP;
	}
	sw_gated_blame(st, gated, from_server);
	st->interface = sk->bound_dev_if;
	sw_flow_changes(st, gated, enforced ? SW_FLOW_CONDEMNED : SW_FLOW_RECORDED);
	sw_flow_store(st);
	bpf_sk_storage_delete(&gates, sk);
	if (enforced) {
		sw_count_of(st, SW_COUNT_CONDEMNED, SW_COUNT_SERVE_CONDEMNED);
		sw_count_dropped(st);
	} else {
		sw_count_of(st, SW_COUNT_AUDITED, SW_COUNT_SERVE_AUDITED);
	}
	sw_report_gate(st);
	return enforced ? SW_SKB_DROP : SW_SKB_PASS;
}

/* For people: how far the client half has come, enum sw_flow_state. */
__noinline int sw_gated_state(const struct sw_gated *gated)
{
	return gated ? sw_gate_state(&gated->gate) : SW_FLOW_OPEN;
}

/* What the reader of samples is given of it. */
__noinline int sw_gated_samples(struct sw_gated *gated, const struct sw_sock *st, __u32 state)
{
	if (!gated || !st)
		return -1;
	if (state == SW_FLOW_HELLO_SENT)
		sw_sample_client(&gated->gate, st->flow.cookie);
	if (state == SW_FLOW_TLS) {
		sw_count_of(st, SW_COUNT_TLS, SW_COUNT_SERVE_TLS);
		sw_sample_server(&gated->gate, st->flow.cookie);
	}
	return 0;
}

/* The client half has come further: tells people and the reader of samples. */
static __noinline void sw_gated_progress(struct bpf_sock *sk, struct sw_sock *st,
					 struct sw_gated *gated, __u32 state)
{
	__u32 over = state == SW_FLOW_TLS || state == SW_FLOW_RECORDED || state == SW_FLOW_UNREAD;

	if (over && __sync_val_compare_and_swap(&st->gated, SW_GATED, SW_UNGATED) != SW_GATED)
		return;
	sw_flow_changes(st, gated, state);
	sw_flow_store(st);
	sw_gated_samples(gated, st, state);
	if (over)
		bpf_sk_storage_delete(&gates, sk);
}

#endif
