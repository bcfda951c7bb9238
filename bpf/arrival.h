/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * arrival.h - packets that arrive, and what servers of this machine send: for whom of them the gate must be asked.
 *
 * Of a connection to a guarded port of a server the first packets find no socket of its own: they are the
 * listener's. A SYN from where nobody may come (`drop`) ends here, so the server is not bothered. Payload has no
 * business here where the gate must read it (TCP Fast Open, data with the last packet of the handshake): it is
 * dropped, and TCP sends it again when the handshake is over. Where it is only recorded it passes unread.
 */
#ifndef SW_ARRIVAL_H
#define SW_ARRIVAL_H

#include "bpf/elsewhere.h"
#include "bpf/gated.h"
#include "bpf/kernel.h"
#include "bpf/maps_host.h"
#include "bpf/segment.h"
#include "bpf/served.h"
#include "bpf/unasked.h"

/* ---- before there is a socket for it ---- */

static __noinline void sw_report_knock(struct bpf_sock *sk, const struct sw_report *report,
				       __u64 guarded)
{
	struct sw_scratch *scratch = sw_scratch_take();

	if (scratch)
		sw_identify_server(scratch, sk);
	sw_emit(report, scratch, guarded);
	if (scratch)
		sw_scratch_leave(scratch);
}

/* A SYN that a rule, or the want of one, drops. Connections are counted by them: each that is sent again counts. */
static __noinline int sw_refuse_knock(struct bpf_sock *sk, const struct sw_packet *packet,
				      const struct sw_head *at, __u32 slot, __u32 rule)
{
	struct sw_report report = {
		.generation = at->slot[slot & 1].generation,
		.kind = SW_EVENT_SERVE,
		.verdict = SW_VERDICT_DROP,
		.reason = SW_REASON_NOT_PERMITTED,
		.family = sw_addr_is_ipv4(packet->dst) ? 4 : 6,
		.rule = rule,
		.src_port = packet->src_port,
		.dst_port = sk->src_port,
	};

	__builtin_memcpy(report.src, packet->src, sizeof(report.src));
	__builtin_memcpy(report.dst, packet->dst, sizeof(report.dst));
	sw_tally(SW_COUNT_SERVE_CONNECT);
	sw_tally(SW_COUNT_SERVE_REFUSED);
	sw_tally(SW_COUNT_SERVE_DROPPED);
	if (rule < SW_RULES_MAX)
		sw_hit(slot, rule);
	sw_report_knock(sk, &report, at->cgroup_id);
	return SW_SKB_DROP;
}

/* A packet for a listener, or for a connection of its whose handshake is not over. */
static __noinline int sw_knock(struct __sk_buff *skb, struct bpf_sock *sk, const struct sw_head *at,
			       __u32 slot)
{
	const struct sw_policy *policy = &at->slot[slot & 1];
	__u32 zero = 0, rule, action, syn, port = sk->src_port;
	struct sw_serve_work *work = bpf_map_lookup_elem(&serve_work, &zero);
	struct sw_packet *packet;
	__u8 flags;

	if (!work)
		return SW_SKB_DROP;
	packet = &work->packet;
	sw_walk_headers(skb, packet);
	if (packet->verdict != SW_PARSE_TCP)
		return sw_rows_enforced(policy,
					sw_rows_of(slot, SW_DIM_PORT, SW_SERVE_PORT_ID(port)))
			       ? SW_SKB_DROP
			       : SW_SKB_PASS;
	syn = (packet->tcp_flags & (SW_TCP_SYN | SW_TCP_ACK)) == SW_TCP_SYN;
	if (!syn && packet->at >= skb->len)
		return SW_SKB_PASS;
	rule = sw_serve_rule(policy, slot, port);
	action = sw_serve_action(policy, rule, &flags);
	if (flags & SW_RULE_AUDIT || action == SW_ACTION_ALLOW || action == SW_ACTION_AUDIT)
		return SW_SKB_PASS;
	if (syn && (action == SW_ACTION_DROP || rule == SW_RULE_NONE))
		return sw_refuse_knock(sk, packet, at, slot, rule);
	if (packet->at >= skb->len)
		return SW_SKB_PASS;
	sw_tally(SW_COUNT_SERVE_HELD);
	return SW_SKB_DROP;
}

/* ---- servers' ports ---- */

/* No answer: it is none of a server's connections. */
#define SW_NOT_SERVED -1

/* A packet for a port of a server, or from it. */
SW_INLINE int sw_served_packet(struct __sk_buff *skb, struct bpf_sock *sk, const struct sw_head *at,
			       __u32 slot, int arrives)
{
	struct sw_sock *st = bpf_sk_storage_get(&sockets, sk, 0, 0);

	if (st && SW_READ_ONCE(st->state) == SW_SOCK_SERVED) {
		if (!st->gated)
			return SW_SKB_PASS;
		return arrives ? sw_gated_ingress(skb, sk, st) : sw_gated_egress(skb, sk, st);
	}
	if (arrives && (sk->state == SW_TCP_LISTEN || sk->state == SW_TCP_SYN_RECV))
		return sw_knock(skb, sk, at, slot);
	if (!st && sw_is_unremembered(sk)) {
		sw_tally(SW_COUNT_SERVE_DROPPED);
		return sw_drop_payload(skb);
	}
	return SW_NOT_SERVED; /* older than the policy, or a connection that this machine made */
}

/* What leaves a server. Called for sockets with a port that is named. */
static __noinline int sw_served_egress(struct __sk_buff *skb, const struct sw_head *at, __u32 slot)
{
	struct bpf_sock *sk = skb->sk ? bpf_sk_fullsock(skb->sk) : 0;

	if (!sk || sk->type != SW_SOCK_STREAM)
		return SW_NOT_SERVED;
	return sw_served_packet(skb, sk, at, slot, 0);
}

/* What arrives. Only sockets that have a guarded port, or whose peer has, are asked further. */
SW_INLINE int sw_arrival(struct __sk_buff *skb)
{
	__u32 zero = 0, slot, served;
	struct bpf_sock *sk = skb->sk;
	const struct sw_policy *policy;
	struct sw_head *at;
	struct sw_sock *st;
	int answer;

	if (!sk || sw_arrives_unasked(sk))
		return SW_SKB_PASS;
	at = bpf_map_lookup_elem(&head, &zero);
	if (!at)
		return SW_SKB_PASS;
	policy = sw_policy_in_force(at, &slot);
	served = at->serves >> slot & 1 && sw_serve_guarded(policy, sk->src_port);
	if (!served && !sw_guarded(policy, bpf_ntohs(sk->dst_port)))
		return at->elsewhere ? sw_elsewhere_arrives(skb) : SW_SKB_PASS;
	sk = bpf_sk_fullsock(sk);
	if (!sk || sk->type != SW_SOCK_STREAM)
		return SW_SKB_PASS;
	if (served) {
		answer = sw_served_packet(skb, sk, at, slot, 1);
		if (answer != SW_NOT_SERVED)
			return answer;
	}
	st = bpf_sk_storage_get(&sockets, sk, 0, 0);
	return st && st->gated ? sw_gated_ingress(skb, sk, st) : SW_SKB_PASS;
}

#endif
