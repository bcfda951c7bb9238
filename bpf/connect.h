/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * connect.h - connect() and getpeername() of both families, on the contexts that the kernel gives.
 */
#ifndef SW_CONNECT_H
#define SW_CONNECT_H

#include "bpf/decide.h"
#include "bpf/emit.h"
#include "bpf/enforced.h"
#include "bpf/flows.h"
#include "bpf/kernel.h"
#include "bpf/maps_host.h"
#include "bpf/remember.h"
#include "bpf/subflow.h"

/* What a connect or getpeername program answers. */
#define SW_ADDR_REFUSE 0
#define SW_ADDR_PASS 1

/* An address as the context has it: in four words, as the verifier has them read, network order. */
SW_INLINE void sw_words_to_addr(__u8 *addr, __u32 a, __u32 b, __u32 c, __u32 d)
{
	__u32 *word = (__u32 *)addr;

	word[0] = a;
	word[1] = b;
	word[2] = c;
	word[3] = d;
}

#define SW_MAPPED bpf_htonl(0xffff) /* third word of ::ffff:a.b.c.d */

SW_INLINE void sw_user_addr(const struct bpf_sock_addr *ctx, int socket6, __u8 *addr)
{
	if (socket6)
		sw_words_to_addr(addr, ctx->user_ip6[0], ctx->user_ip6[1], ctx->user_ip6[2],
				 ctx->user_ip6[3]);
	else
		sw_words_to_addr(addr, 0, 0, SW_MAPPED, ctx->user_ip4);
}

SW_INLINE void sw_set_user_addr(struct bpf_sock_addr *ctx, int socket6, const __u8 *addr,
				__u16 port)
{
	const __u32 *word = (const __u32 *)addr;

	if (socket6) {
		ctx->user_ip6[0] = word[0];
		ctx->user_ip6[1] = word[1];
		ctx->user_ip6[2] = word[2];
		ctx->user_ip6[3] = word[3];
	} else {
		ctx->user_ip4 = word[3];
	}
	ctx->user_port = bpf_htons(port);
}

/* Empty when the socket is not bound. */
SW_INLINE void sw_socket_src(struct bpf_sock *sk, int socket6, struct sw_report *report)
{
	report->src_port = sk->src_port;
	if (socket6)
		sw_words_to_addr(report->src, sk->src_ip6[0], sk->src_ip6[1], sk->src_ip6[2],
				 sk->src_ip6[3]);
	else if (sk->src_ip4)
		sw_words_to_addr(report->src, 0, 0, SW_MAPPED, sk->src_ip4);
}

/* The error is EACCES, "Permission denied"; without this the kernel would say EPERM. */
SW_INLINE int sw_refuse(void)
{
	bpf_set_retval(-SW_EACCES);
	return SW_ADDR_REFUSE;
}

SW_INLINE void sw_count_decision(const struct sw_decision *decision)
{
	if (decision->reason == SW_REASON_UNIDENTIFIED)
		sw_tally(SW_COUNT_UNIDENTIFIED);
	if (decision->refuse || decision->verdict == SW_VERDICT_REJECT)
		sw_tally(SW_COUNT_REFUSED); /* also those that are sent to where they are told so */
	else if (decision->verdict == SW_VERDICT_REDIRECT)
		sw_tally(SW_COUNT_REDIRECTED);
	else if (decision->verdict == SW_VERDICT_AUDIT && decision->reason)
		sw_tally(SW_COUNT_AUDITED);
	else
		sw_tally(SW_COUNT_ALLOWED);
}

/*
 * No memory: to find out who calls, or to remember the connection. It is refused, as the backstop would not let
 * its packets pass either; where everything is only recorded, both pass.
 */
SW_INLINE void sw_decide_no_memory(const struct sw_call *call, const struct sw_report *report,
				   struct sw_decision *decision)
{
	const struct sw_vec *rows = sw_rows_of_port(call->slot, report->dst_port);
	int enforced = !rows || sw_rows_enforced(call->policy, rows);

	__builtin_memset(decision, 0, sizeof(*decision));
	decision->verdict = enforced ? SW_VERDICT_REJECT : SW_VERDICT_AUDIT;
	decision->reason = SW_REASON_TABLE_FULL;
	decision->refuse = enforced;
}

/* Carries out a redirect, or a refusal that answers; egress and getpeername find in the storage what
   became of it. */
SW_INLINE void sw_redirect(struct bpf_sock_addr *ctx, int socket6, struct sw_sock *st,
			   const struct sw_rule *rule, const struct sw_decision *decision,
			   struct sw_report *report)
{
	if (decision->ipv4)
		__builtin_memcpy(st->flow.dst, rule->target4, sizeof(st->flow.dst));
	else
		__builtin_memcpy(st->flow.dst, rule->target6, sizeof(st->flow.dst));
	st->port = decision->port;
	st->redirected = 1;
	st->answered = decision->verdict == SW_VERDICT_REJECT;
	__builtin_memcpy(report->new_dst, st->flow.dst, sizeof(report->new_dst));
	report->new_port = decision->port;
	sw_set_user_addr(ctx, socket6, st->flow.dst, decision->port);
}

/* A connect that is not refused so far. Without memory for it, it is. */
SW_INLINE void sw_connect_remember(struct bpf_sock_addr *ctx, int socket6, struct sw_call *call,
				   struct sw_decision *decision, struct sw_report *report)
{
	const struct sw_rule *rule = sw_call_rule(call, report->rule);
	struct bpf_sock *sk = ctx->sk;
	struct sw_sock *st;

	st = sk ? bpf_sk_storage_get(&sockets, sk, 0, BPF_SK_STORAGE_GET_F_CREATE) : 0;
	if (!st) {
		sw_decide_no_memory(call, report, decision);
		return;
	}
	sw_sock_remember(sk, st, report, call);
	if (rule && !decision->port)
		sw_let_through(sk, st, rule, decision);
	if (rule && decision->port)
		sw_redirect(ctx, socket6, st, rule, decision, report);
	else
		st->to_local = sw_only_local(call);
	if (!decision->refuse)
		sw_flow_begin(st, report->family);
	SW_WRITE_ONCE(st->state, decision->refuse ? SW_SOCK_REFUSED : SW_SOCK_PASSED);
}

/* One that is refused needs no memory; what an earlier connect left must not let it through. */
SW_INLINE void sw_connect_forget(struct bpf_sock_addr *ctx, __u64 generation)
{
	struct sw_sock *st = ctx->sk ? bpf_sk_storage_get(&sockets, ctx->sk, 0, 0) : 0;

	if (!st)
		return;
	sw_sock_begin(ctx->sk, st, generation);
	SW_WRITE_ONCE(st->state, SW_SOCK_REFUSED);
}

/* Who asks, and which rule says what about it. */
SW_INLINE void sw_connect_decide(struct bpf_sock_addr *ctx, struct sw_call *call,
				 struct sw_decision *decision, struct sw_report *report)
{
	struct sw_scratch *scratch = call->scratch;
	__u32 index = SW_RULE_NONE;

	__builtin_memcpy(scratch->asked, report->dst, sizeof(scratch->asked));
	scratch->asked_port = report->dst_port;
	sw_identify(scratch, ctx->sk);
	sw_call_decide(call, decision, &index);
	report->rule = index;
}

/* A connect of a TCP socket to a guarded port. */
SW_INLINE int sw_connect_guarded(struct bpf_sock_addr *ctx, int socket6, struct sw_call *call,
				 __u32 port)
{
	struct sw_report report = {
		.kind = SW_EVENT_CONNECT, .dst_port = port, .rule = SW_RULE_NONE};
	struct sw_decision decision = {};

	sw_tally(SW_COUNT_CONNECT);
	if (!ctx->sk)
		return sw_refuse(); /* a connect without a socket: none is known to exist */
	report.generation = call->policy->generation;
	report.cookie = bpf_get_socket_cookie(ctx);
	sw_user_addr(ctx, socket6, report.dst);
	sw_socket_src(ctx->sk, socket6, &report);
	call->ipv4 = sw_addr_is_ipv4(report.dst);
	report.family = call->ipv4 ? 4 : 6;
	call->scratch = sw_scratch_take();
	if (call->scratch)
		sw_connect_decide(ctx, call, &decision, &report);
	else
		sw_decide_no_memory(call, &report, &decision);
	if (call->scratch && !decision.refuse)
		sw_connect_remember(ctx, socket6, call, &decision, &report);
	else
		sw_connect_forget(ctx, report.generation);
	report.verdict = decision.verdict;
	report.reason = decision.reason;
	sw_count_decision(&decision);
	if (report.rule < SW_RULES_MAX)
		sw_hit(call->slot, report.rule);
	if (decision.verdict != SW_VERDICT_ALLOW)
		sw_emit(&report, call->scratch, call->guarded);
	if (call->scratch)
		sw_scratch_leave(call->scratch);
	return decision.refuse ? sw_refuse() : SW_ADDR_PASS;
}

/* Only what may become a TCP connection: UDP to the same number is somebody else's. */
SW_INLINE int sw_is_tcp_connect(const struct bpf_sock_addr *ctx)
{
	return ctx->type == SW_SOCK_STREAM && (ctx->protocol == SW_IPPROTO_TCP ||
					       ctx->protocol == SW_IPPROTO_MPTCP || !ctx->protocol);
}

SW_INLINE int sw_connect(struct bpf_sock_addr *ctx, int socket6)
{
	__u32 zero = 0;
	struct sw_head *at = bpf_map_lookup_elem(&head, &zero);
	struct sw_call call = {};
	struct bpf_sock *sk;
	struct sw_sock *st;
	__u16 port = bpf_ntohs(ctx->user_port);

	if (!at)
		return SW_ADDR_PASS; /* an array's element is always there */
	call.policy = sw_policy_in_force(at, &call.slot);
	call.guarded = at->cgroup_id;
	if (sw_is_tcp_connect(ctx)) {
		port = sw_port_of_connection(call.policy, ctx->sk, port);
		if (sw_guarded(call.policy, port))
			return sw_connect_guarded(ctx, socket6, &call, port);
	}
	/* No rule names this port: passes whatever happens. What an earlier connect of the socket was
	   told must not be told about this one. */
	sk = ctx->sk;
	if (sk) {
		st = bpf_sk_storage_get(&sockets, sk, 0, 0);
		if (st)
			sw_sock_begin(sk, st, 0);
	}
	return SW_ADDR_PASS;
}

/* A program that was redirected is shown the peer that it asked for. */
SW_INLINE int sw_getpeername(struct bpf_sock_addr *ctx, int socket6)
{
	struct sw_sock *st = ctx->sk ? bpf_sk_storage_get(&sockets, ctx->sk, 0, 0) : 0;
	__u64 peer[2], *addr;

	if (!st || !st->redirected || bpf_ntohs(ctx->user_port) != st->port)
		return SW_ADDR_PASS;
	sw_user_addr(ctx, socket6, (__u8 *)peer);
	addr = (__u64 *)st->flow.dst;
	if (peer[0] == addr[0] && peer[1] == addr[1])
		sw_set_user_addr(ctx, socket6, st->flow.asked, st->flow.asked_port);
	return SW_ADDR_PASS;
}

#endif
