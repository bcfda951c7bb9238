/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * served.h - sessions that this machine answers. A client's connection to a port that a serve block names is
 * decided when its handshake is over, by its addresses; from then on the gate reads it as it reads those that
 * this machine makes (gated.h). What comes before there is a socket for it: arrival.h.
 *
 * It runs in the network's own context: who owns the server is what the socket says, no task is asked.
 */
#ifndef SW_SERVED_H
#define SW_SERVED_H

#include "bpf/decide.h"
#include "bpf/enforced.h"
#include "bpf/flows.h"
#include "bpf/gated.h"
#include "bpf/kernel.h"
#include "bpf/lookup.h"
#include "bpf/maps_host.h"
#include "bpf/remember.h"
#include "bpf/subflow.h"

/* Which rule says what of the client whose addresses are in `serve_work`: its index, or SW_RULE_NONE. Not static:
   looked at by the verifier once. */
__noinline int sw_serve_rule(const struct sw_policy *policy, __u32 slot, __u32 port)
{
	__u32 zero = 0;
	struct sw_serve_work *work = bpf_map_lookup_elem(&serve_work, &zero);
	const struct sw_vec *rows = sw_rows_of(slot, SW_DIM_PORT, SW_SERVE_PORT_ID(port));
	struct sw_ask ask = {.policy = policy, .slot = slot};

	if (!work || !policy || !rows)
		return SW_RULE_NONE;
	ask.to = &work->lookup;
	ask.ipv6 = !sw_addr_is_ipv4(work->packet.dst);
	__builtin_memcpy(&work->lookup.rows, rows, sizeof(*rows));
	return sw_lookup_rule(&ask, work->packet.src, work->packet.dst, 1);
}

/* What a rule does, of the policy; where there is none: it refuses. */
SW_INLINE __u8 sw_serve_action(const struct sw_policy *policy, __u32 rule, __u8 *flags)
{
	__u64 index = rule;

	*flags = 0;
	if (index >= SW_RULES_MAX)
		return SW_ACTION_REJECT;
	SW_OPAQUE(index);
	index &= SW_RULES_MAX - 1;
	*flags = policy->rules[index].flags;
	return policy->rules[index].action;
}

/*
 * Without memory for it a connection looks like one that is older than the policy, which may finish. What is then
 * still to be had is these flags of the socket, which nobody else sets together: the socket's programs are told
 * of retransmissions, changes of state, and options of TCP that the kernel does not know.
 */
#define SW_UNREMEMBERED                                                                            \
	(BPF_SOCK_OPS_RETRANS_CB_FLAG | BPF_SOCK_OPS_STATE_CB_FLAG |                               \
	 BPF_SOCK_OPS_PARSE_UNKNOWN_HDR_OPT_CB_FLAG)

SW_INLINE int sw_is_unremembered(struct bpf_sock *sk)
{
	struct tcp_sock *tcp = (struct tcp_sock *)(unsigned long)sw_address(sk);

	return BPF_CORE_READ(tcp, bpf_sock_ops_cb_flags) == SW_UNREMEMBERED;
}

/* ---- a client has come ---- */

/* IPv4 and IPv6, and IPv4 at a server's IPv6 socket. */
SW_INLINE void sw_served_ends(struct bpf_sock_ops *ctx, struct sw_report *report)
{
	__u32 *src = (__u32 *)report->src, *dst = (__u32 *)report->dst;

	if (ctx->family == SW_AF_INET) {
		__u32 from = ctx->remote_ip4, to = ctx->local_ip4;

		SW_OPAQUE(from); /* or the compiler joins two loads, which may not be */
		SW_OPAQUE(to);
		src[2] = dst[2] = bpf_htonl(0xffff);
		src[3] = from;
		dst[3] = to;
	} else {
		src[0] = ctx->remote_ip6[0];
		src[1] = ctx->remote_ip6[1];
		src[2] = ctx->remote_ip6[2];
		src[3] = ctx->remote_ip6[3];
		dst[0] = ctx->local_ip6[0];
		dst[1] = ctx->local_ip6[1];
		dst[2] = ctx->local_ip6[2];
		dst[3] = ctx->local_ip6[3];
	}
	report->src_port = bpf_ntohl(ctx->remote_port);
	report->dst_port = ctx->local_port;
	report->family = sw_addr_is_ipv4(report->dst) ? 4 : 6;
}

/* No memory: refused, but where the rule asks for nothing or only records. */
static __noinline void sw_served_no_memory(struct bpf_sock_ops *ctx, struct sw_report *report,
					   __u32 action, __u32 flags)
{
	if (action == SW_ACTION_ALLOW || action == SW_ACTION_AUDIT) {
		sw_tally(SW_COUNT_SERVE_ALLOWED);
		return;
	}
	report->reason = SW_REASON_TABLE_FULL;
	report->verdict = SW_VERDICT_AUDIT;
	if (flags & SW_RULE_AUDIT) {
		sw_tally(SW_COUNT_SERVE_AUDITED);
	} else {
		report->verdict = SW_VERDICT_RESET;
		sw_tally(SW_COUNT_SERVE_REFUSED);
		bpf_sock_ops_cb_flags_set(ctx, SW_UNREMEMBERED);
	}
	sw_emit_now(report, 0, 0);
}

/* The server's owner. Without a scratch nobody is known. */
static __noinline void sw_served_owner(struct bpf_sock *sk, struct sw_caller *caller, __u64 guarded)
{
	struct sw_scratch *scratch = sw_scratch_take();

	if (!scratch) {
		caller->flags = SW_CALLER_SERVER;
		caller->uid = caller->gid = ~0u;
		return;
	}
	sw_identify_server(scratch, sk);
	sw_identify_names(scratch, guarded);
	bpf_probe_read_kernel(caller, sizeof(*caller), &scratch->caller);
	sw_scratch_leave(scratch);
}

/* What is remembered of it. `state` is written last: packets may be looked at already. */
SW_INLINE void sw_served_remember(struct bpf_sock *sk, struct sw_sock *st,
				  const struct sw_report *report, __u64 guarded)
{
	st->flow.cookie = report->cookie;
	st->interface = sk->bound_dev_if;
	sw_served_owner(sk, &st->flow.caller, guarded);
	__builtin_memcpy(st->flow.dst, report->dst, sizeof(st->flow.dst));
	__builtin_memcpy(st->flow.asked, report->dst, sizeof(st->flow.asked));
	st->flow.asked_port = st->port = report->dst_port;
	st->flow.generation = report->generation;
	st->flow.rule = report->rule;
	sw_flow_begin(st, report->family);
	st->flow.served = 1;
	__builtin_memcpy(st->flow.src, report->src, sizeof(st->flow.src));
	st->flow.src_port = report->src_port;
}

/* Has it gated. Enum sw_reason: why that cannot be. */
static __noinline __u32 sw_served_arm(struct bpf_sock_ops *ctx, struct bpf_sock *sk,
				      struct sw_sock *st, const struct sw_rule *rule)
{
	if (sw_is_joined(sk))
		return SW_REASON_UNIDENTIFIED;
	sw_sock_gate(st, rule);
	sw_gate_start_met(&st->start, ctx->rcv_nxt, ctx->snd_nxt);
	st->flow.state = SW_FLOW_START;
	SW_WRITE_ONCE(st->gated, SW_GATED);
	return SW_REASON_NONE;
}

/* Why the connection is refused, or would be; SW_REASON_NONE: it may go on. */
SW_INLINE __u32 sw_served_judge(struct bpf_sock_ops *ctx, struct bpf_sock *sk, struct sw_sock *st,
				const struct sw_policy *policy, __u32 action)
{
	__u64 index = st->flow.rule;
	__u32 reason;

	if (action == SW_ACTION_ALLOW)
		return SW_REASON_NONE;
	if (action != SW_ACTION_TLS && action != SW_ACTION_AUDIT)
		return SW_REASON_NOT_PERMITTED;
	SW_OPAQUE(index);
	index &= SW_RULES_MAX - 1;
	reason = sw_served_arm(ctx, sk, st, &policy->rules[index]);
	if (!reason || action == SW_ACTION_TLS)
		return reason;
	st->flow.state = SW_FLOW_UNREAD;
	return SW_REASON_NONE;
}

/* Decided: the memory is whole, packets may be looked at. A refused one is told, and the daemon ends it; until
   then, and without a daemon, no payload passes either way. */
static __noinline void sw_served_act(struct sw_sock *st, __u32 reason, __u32 recorded)
{
	if (reason && !recorded) {
		st->flow.reason = reason;
		st->flow.state = SW_FLOW_CONDEMNED;
		SW_WRITE_ONCE(st->gated, SW_CONDEMNED);
	} else if (reason) {
		st->flow.reason = reason;
		st->flow.state = SW_FLOW_RECORDED;
	}
	SW_WRITE_ONCE(st->state, SW_SOCK_SERVED);
	sw_flow_store(st);
	if (!reason) {
		sw_tally(SW_COUNT_SERVE_ALLOWED);
		return;
	}
	sw_tally(recorded ? SW_COUNT_SERVE_AUDITED : SW_COUNT_SERVE_REFUSED);
	sw_report_gate(st);
}

/* A client's connection to a port that is named. */
static __noinline void sw_served_guarded(struct bpf_sock_ops *ctx, const struct sw_head *at,
					 const struct sw_policy *policy, __u32 slot)
{
	struct sw_report report = {.kind = SW_EVENT_SERVE};
	struct bpf_sock *sk = ctx->sk;
	struct sw_serve_work *work;
	__u32 zero = 0, action, reason;
	struct sw_sock *st;
	__u8 flags;

	work = bpf_map_lookup_elem(&serve_work, &zero);
	if (!work || !sk)
		return;
	sw_tally(SW_COUNT_SERVE_CONNECT);
	report.generation = policy->generation;
	report.cookie = bpf_get_socket_cookie(ctx);
	sw_served_ends(ctx, &report);
	__builtin_memcpy(work->packet.src, report.src, sizeof(report.src));
	__builtin_memcpy(work->packet.dst, report.dst, sizeof(report.dst));
	report.rule = sw_serve_rule(policy, slot, report.dst_port);
	action = sw_serve_action(policy, report.rule, &flags);
	if (report.rule < SW_RULES_MAX)
		sw_hit(slot, report.rule);
	st = bpf_sk_storage_get(&sockets, sk, 0, BPF_SK_STORAGE_GET_F_CREATE);
	if (!st) {
		sw_served_no_memory(ctx, &report, action, flags);
		return;
	}
	sw_served_remember(sk, st, &report, at->cgroup_id);
	reason = sw_served_judge(ctx, sk, st, policy, action);
	bpf_sock_ops_cb_flags_set(ctx, ctx->bpf_sock_ops_cb_flags | BPF_SOCK_OPS_STATE_CB_FLAG);
	sw_served_act(st, reason, flags & SW_RULE_AUDIT);
}

SW_INLINE void sw_served_begin(struct bpf_sock_ops *ctx)
{
	__u32 zero = 0, slot;
	struct sw_head *at = bpf_map_lookup_elem(&head, &zero);
	const struct sw_policy *policy;

	if (!at)
		return;
	policy = sw_policy_in_force(at, &slot);
	if (at->serves >> slot & 1 && sw_serve_guarded(policy, ctx->local_port))
		sw_served_guarded(ctx, at, policy, slot);
}

#endif
