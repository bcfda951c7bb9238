/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * remember.h - what connect() leaves in a socket for the packets that follow: where it may go, who asked for it,
 * and the gate where the rule wants one.
 */
#ifndef SW_REMEMBER_H
#define SW_REMEMBER_H

#include "bpf/decide.h"
#include "bpf/kernel.h"
#include "bpf/maps_host.h"
#include "bpf/subflow.h"

/* Not static, as sw_sock_note(): the verifier looks at it once by itself. */
__noinline int sw_sock_clear(struct sw_sock *st, __u64 generation)
{
	if (!st)
		return -1;
	st->flow.opened_ns = 0;
	st->flow.served = 0;
	st->flow.generation = generation;
	st->flow.rule = SW_RULE_NONE;
	st->redirected = 0;
	st->answered = 0;
	st->to_local = 0;
	st->existing = 0;
	st->told = 0;
	return 0;
}

/* Nothing of what an earlier connect of this socket left may be taken for this one's. */
SW_INLINE void sw_sock_begin(struct bpf_sock *sk, struct sw_sock *st, __u64 generation)
{
	SW_WRITE_ONCE(st->state, SW_SOCK_UNKNOWN);
	if (st->gated)
		bpf_sk_storage_delete(&gates, sk);
	SW_WRITE_ONCE(st->gated, SW_UNGATED);
	sw_sock_clear(st, generation);
}

/* What the gate that the rule wants will begin with; no packet is kept from passing before st->gated says so. */
__noinline int sw_sock_gate(struct sw_sock *st, const struct sw_rule *rule)
{
	if (!st || !rule)
		return -1;
	sw_gate_start(&st->start, rule->action, rule->flags, st->flow.asked_port,
		      rule->tls_version);
	return 0;
}

/* Has a connection that is let through gated. Enum sw_reason: why that cannot be. */
SW_INLINE __u32 sw_arm(struct bpf_sock *sk, struct sw_sock *st, const struct sw_rule *rule)
{
	if (sw_is_additional(sk))
		return SW_REASON_UNIDENTIFIED;
	sw_sock_gate(st, rule);
	SW_WRITE_ONCE(st->gated, SW_GATED);
	return SW_REASON_NONE;
}

/* What the rule wants of a connection that is let through to where it was meant to go. Where that is
   only recorded, it goes on without a gate when there can be none. */
SW_INLINE void sw_let_through(struct bpf_sock *sk, struct sw_sock *st, const struct sw_rule *rule,
			      struct sw_decision *decision)
{
	__u32 reason;

	if (rule->action != SW_ACTION_TLS && rule->action != SW_ACTION_AUDIT)
		return;
	reason = sw_arm(sk, st, rule);
	if (reason && rule->action == SW_ACTION_TLS && !(rule->flags & SW_RULE_AUDIT))
		sw_decide_refuse(decision, SW_VERDICT_REJECT, reason);
}

__noinline int sw_sock_note(struct sw_sock *st, const struct sw_report *report,
			    const struct sw_scratch *scratch)
{
	if (!st || !report || !scratch)
		return -1;
	__builtin_memcpy(&st->flow.caller, &scratch->caller, sizeof(st->flow.caller));
	st->flow.cookie = report->cookie;
	st->flow.rule = report->rule;
	__builtin_memcpy(st->flow.asked, report->dst, sizeof(st->flow.asked));
	__builtin_memcpy(st->flow.dst, report->dst, sizeof(st->flow.dst));
	st->flow.asked_port = st->port = report->dst_port;
	return 0;
}

/* What is asked for, and who asks. */
SW_INLINE void sw_sock_remember(struct bpf_sock *sk, struct sw_sock *st,
				const struct sw_report *report, struct sw_call *call)
{
	sw_sock_begin(sk, st, report->generation);
	sw_identify_names(call->scratch, call->guarded);
	sw_sock_note(st, report, call->scratch);
}

#endif
