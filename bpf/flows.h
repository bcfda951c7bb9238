/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * flows.h - the map `flows`: what people are shown of the connections to guarded ports. A connection is
 * in it from its SYN on, one that a client made from the end of its handshake. The program on sock_ops tells its source address, its end and its bytes;
 * sockets that connect() was not asked about cost it a look at a storage that they do not have.
 */
#ifndef SW_FLOWS_H
#define SW_FLOWS_H

#include "bpf/decide.h"
#include "bpf/emit.h"
#include "bpf/kernel.h"
#include "bpf/maps_host.h"

/*
 * A place for a new connection: a free one or what the same socket left, else that of the one that ended first, else
 * that of the one that nothing happened to for the longest. Cookies are given out by a batch for each CPU and to all
 * sockets of the machine, so their order does not tell which that is.
 */
SW_INLINE __u32 sw_flow_place(const struct sw_flow *of)
{
	__u32 element = 0, set = (__u32)of->cookie % (SW_FLOWS_MAX / SW_FLOW_WAYS) * SW_FLOW_WAYS;
	__u64 least = ~0ull;

#pragma nounroll
	for (__u32 way = 0; way < SW_FLOW_WAYS; way++) {
		__u32 at = set + way;
		const struct sw_flow *flow = bpf_map_lookup_elem(&flows, &at);
		__u64 since;

		if (!flow)
			continue;
		if (!flow->cookie || flow->cookie == of->cookie)
			return at + 1;
		/* Live ones come after all that have ended. */
		since = flow->ended_ns ? flow->ended_ns : flow->changed_ns | 1ull << 63;
		if (since < least) {
			least = since;
			element = at + 1;
		}
	}
	return element;
}

/* 1 + the place of a connection; 0: another one has it now. Not static: looked at by the verifier once. */
__noinline int sw_flow_element(const struct sw_flow *of)
{
	const struct sw_flow *there;
	__u32 at;

	if (!of)
		return 0;
	if (!of->element)
		return sw_flow_place(of);
	at = of->element - 1;
	there = bpf_map_lookup_elem(&flows, &at);
	return there && there->cookie == of->cookie ? of->element : 0;
}

/* In its place, unless another connection has that now. */
SW_INLINE void sw_flow_store(struct sw_sock *st)
{
	__u32 element = sw_flow_element(&st->flow), at = element - 1;

	if (!element)
		return;
	st->flow.element = element;
	bpf_map_update_elem(&flows, &at, &st->flow, BPF_F_LOCK);
}

/* What connect() knows. The caller's names are in st->flow already. */
SW_INLINE void sw_flow_begin(struct sw_sock *st, __u8 family)
{
	struct sw_flow *flow = &st->flow;

	flow->element = 0;
	flow->opened_ns = flow->changed_ns = bpf_ktime_get_boot_ns();
	flow->ended_ns = 0;
	flow->sent = flow->received = 0;
	flow->src_port = 0;
	__builtin_memset(flow->src, 0, sizeof(flow->src));
	flow->dst_port = st->port;
	flow->state = st->gated ? SW_FLOW_START : SW_FLOW_OPEN;
	flow->reason = SW_REASON_NONE;
	flow->tls = SW_TLS_NONE;
	flow->family = family;
	flow->tls_version = flow->cipher = 0;
}

/* The memory of a socket that connect() let through to where it goes now. */
SW_INLINE struct sw_sock *sw_flow_of(struct bpf_sock_ops *ctx)
{
	__u32 port = bpf_ntohl(ctx->remote_port);
	struct bpf_sock *sk = ctx->sk;
	struct sw_sock *st;

	if (!sk)
		return 0;
	/* The port that it goes to tells nothing: a redirect may lead to one that no rule names. */
	st = bpf_sk_storage_get(&sockets, sk, 0, 0);
	return st && st->state == SW_SOCK_PASSED && st->port == port ? st : 0;
}

/* A SYN is about to be sent: the source address is known now. */
SW_INLINE void sw_flow_opening(struct bpf_sock_ops *ctx)
{
	struct sw_sock *st = sw_flow_of(ctx);
	__u32 ip4 = ctx->local_ip4, *word;

	SW_OPAQUE(ip4); /* or the compiler makes one load of two members, which may not be */
	if (!st)
		return;
	word = (__u32 *)st->flow.src;
	if (sw_addr_is_ipv4(st->flow.dst)) {
		word[0] = word[1] = 0;
		word[2] = bpf_htonl(0xffff);
		word[3] = ip4;
	} else {
		word[0] = ctx->local_ip6[0];
		word[1] = ctx->local_ip6[1];
		word[2] = ctx->local_ip6[2];
		word[3] = ctx->local_ip6[3];
	}
	st->flow.src_port = ctx->local_port;
	sw_flow_store(st);
	bpf_sock_ops_cb_flags_set(ctx, ctx->bpf_sock_ops_cb_flags | BPF_SOCK_OPS_STATE_CB_FLAG);
}

/* TCP counts our SYN as a byte, where that opened the connection, and our FIN. */
SW_INLINE __u64 sw_bytes_sent(const struct bpf_sock_ops *ctx, __u32 before, int served)
{
	__u64 acked = ctx->bytes_acked;
	int closed = before == SW_TCP_FIN_WAIT1 || before == SW_TCP_FIN_WAIT2 ||
		     before == SW_TCP_CLOSING || before == SW_TCP_LAST_ACK ||
		     before == SW_TCP_TIME_WAIT;

	if (acked && !served)
		acked--;
	if (acked && closed && ctx->snd_una == ctx->snd_nxt)
		acked--;
	return acked;
}

SW_INLINE __u64 sw_bytes_received(const struct bpf_sock_ops *ctx, struct bpf_sock *sk)
{
	struct sock *kernel_sk = (struct sock *)(unsigned long)sw_address(sk);
	__u64 done = bpf_core_enum_value(enum sock_flags, SOCK_DONE);
	__u64 received = ctx->bytes_received;

	if (received && BPF_CORE_READ(kernel_sk, __sk_common.skc_flags) >> (done & 63) & 1)
		received--;
	return received;
}

/* Each is a connection that was made and not a packet that somebody can repeat, so the limiter has no say. */
__noinline int sw_report_session(struct sw_sock *st)
{
	const struct sw_flow *flow;
	struct sw_report report;

	if (!st || st->answered)
		return 0;
	flow = &st->flow;
	report = (struct sw_report){
		.generation = flow->generation,
		.cookie = flow->cookie,
		.kind = SW_EVENT_SESSION,
		.verdict = st->redirected ? SW_VERDICT_REDIRECT : SW_VERDICT_ALLOW,
		.reason = flow->reason,
		.family = flow->family,
		.rule = flow->rule,
		.src_port = flow->src_port,
		.dst_port = flow->asked_port,
	};

	__builtin_memcpy(report.src, flow->src, sizeof(report.src));
	__builtin_memcpy(report.dst, flow->asked, sizeof(report.dst));
	if (st->redirected) {
		__builtin_memcpy(report.new_dst, flow->dst, sizeof(report.new_dst));
		report.new_port = flow->dst_port;
	}
	sw_tally(SW_COUNT_SESSIONS);
	sw_emit_now(&report, &flow->caller, st);
	return 0;
}

/* Only sockets that asked for it are told about, ours and those of other programs. */
SW_INLINE void sw_flow_ended(struct bpf_sock_ops *ctx)
{
	struct bpf_sock *sk = ctx->sk;
	struct sw_sock *st;

	if (!sk || ctx->args[1] != SW_TCP_CLOSE)
		return;
	st = bpf_sk_storage_get(&sockets, sk, 0, 0);
	if (!st || !st->flow.opened_ns || st->flow.ended_ns)
		return;
	st->flow.sent = sw_bytes_sent(ctx, ctx->args[0], st->flow.served);
	st->flow.received = sw_bytes_received(ctx, sk);
	st->flow.ended_ns = bpf_ktime_get_boot_ns();
	sw_flow_store(st);
	sw_report_session(st);
}

SW_INLINE void sw_flow_ops(struct bpf_sock_ops *ctx)
{
	if (ctx->op == BPF_SOCK_OPS_TCP_CONNECT_CB)
		sw_flow_opening(ctx);
	else if (ctx->op == BPF_SOCK_OPS_STATE_CB)
		sw_flow_ended(ctx);
}

#endif
