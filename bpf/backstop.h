/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * backstop.h - packets on their way out. connect() has decided already; here it is only asked whether
 * it did. A packet to a guarded port whose socket it did not let through is dropped.
 *
 * What a client's connection to a server of this machine sends is the gate's (arrival.h), where a serve block
 * names the port; it opens nothing.
 *
 * Which port: the one in the TCP header (DNAT may have changed it since connect) and the one of the
 * socket (headers may be such that TCP is hard to find). Either one being guarded is enough to ask.
 *
 * What is older than the policy passes and is counted: connections that already are beyond their
 * first packet when a policy first names their port. A passive connection whose peer uses a guarded
 * source port looks just like one, so it can't be told apart here and passes as well. Closing older
 * connections (`--existing close`) is the daemon's work for the same reason: it sees which of them
 * have a listener.
 */
#ifndef SW_BACKSTOP_H
#define SW_BACKSTOP_H

#include "bpf/arrival.h"
#include "bpf/decide.h"
#include "bpf/elsewhere.h"
#include "bpf/emit.h"
#include "bpf/enforced.h"
#include "bpf/gated.h"
#include "bpf/kernel.h"
#include "bpf/maps_host.h"
#include "bpf/parse.h"
#include "bpf/passed.h"
#include "bpf/unasked.h"

/* ---- what is not plain ---- */

struct sw_out {
	struct __sk_buff *skb;
	struct bpf_sock *sk; /* a full socket, or NULL */
	const struct sw_policy *policy;
	__u64 guarded; /* id of the guarded cgroup */
	__u32 slot;
	__u32 tcp;         /* the socket is TCP's */
	__u32 socket_port; /* that it is connected to, when it is TCP's; else 0 */
};

/*
 * TCP answers for sockets that are gone or never were (RST, ACK in TIME_WAIT) from a socket of the
 * kernel's own. It belongs to whoever made the network namespace, and never sends a SYN, so it opens
 * nothing; programs can't have such a socket.
 */
SW_INLINE int sw_is_control_socket(const struct sw_out *out, const struct sw_packet *packet)
{
	struct sock *sk;

	if (!out->sk || out->sk->type != SW_SOCK_RAW || out->sk->protocol != SW_IPPROTO_TCP)
		return 0;
	if (packet->verdict != SW_PARSE_TCP || packet->tcp_flags & SW_TCP_SYN)
		return 0;
	sk = (struct sock *)(unsigned long)sw_address(out->sk);
	return BPF_CORE_READ_BITFIELD_PROBED(sk, sk_kern_sock);
}

/* Is the packet of a TCP socket part of a connection that has its first packet behind it? */
SW_INLINE int sw_is_under_way(const struct bpf_sock *sk, const struct sw_packet *packet)
{
	return sk->state != SW_TCP_SYN_SENT &&
	       (packet->tcp_flags & (SW_TCP_SYN | SW_TCP_ACK)) != SW_TCP_SYN;
}

/* Counts a connection that is older than the policy, once. Without memory it still passes: it was
   there before, and cutting it in silence is what must not happen. */
SW_INLINE void sw_note_existing(struct bpf_sock *sk, __u32 port)
{
	__u32 mark = 1 << 16 | port;
	struct sw_sock *st;

	if (sk->state == SW_TCP_LISTEN)
		return; /* an answer to a SYN: the connection is not there yet */
	st = bpf_sk_storage_get(&sockets, sk, 0, BPF_SK_STORAGE_GET_F_CREATE);
	if (!st || __sync_lock_test_and_set(&st->existing, mark) == mark)
		return;
	st->port = port;
	SW_WRITE_ONCE(st->state, SW_SOCK_EXISTING);
	sw_tally(SW_COUNT_EXISTING);
}

/*
 * Who sent it. A raw socket sends in the context of its owner, so the running task is to blame. What a TCP socket
 * sends may be a timer's doing: only the socket's owner is told. Without a socket nobody is.
 */
SW_INLINE void sw_report_packet(const struct sw_out *out, const struct sw_report *report)
{
	struct sw_scratch *scratch = out->sk ? sw_scratch_take() : 0;

	if (scratch && out->tcp) {
		sw_caller_clear(scratch);
		sw_identify_owner(scratch, out->sk);
	} else if (scratch) {
		sw_identify(scratch, out->sk);
	}
	sw_emit(report, scratch, out->guarded);
	if (scratch)
		sw_scratch_leave(scratch);
}

/*
 * Refuses a packet, or where everything is only recorded, records it. `port`: the guarded one; 0: what
 * it goes to is not known, then every rule of the policy is asked.
 */
SW_INLINE int sw_refuse_packet(const struct sw_out *out, const struct sw_packet *packet, __u32 port,
			       __u8 reason)
{
	const struct sw_vec *rows = port ? sw_rows_of_port(out->slot, port) : 0;
	int enforced = sw_rows_enforced(out->policy, rows);
	struct sw_report report = {
		.generation = out->policy->generation,
		.cookie = bpf_get_socket_cookie(out->skb),
		.kind = SW_EVENT_PACKET,
		.verdict = enforced ? SW_VERDICT_DROP : SW_VERDICT_AUDIT,
		.reason = reason,
		.rule = SW_RULE_NONE,
		.src_port = packet->src_port,
		.dst_port = packet->dst_port ? packet->dst_port : out->socket_port,
	};

	__builtin_memcpy(report.src, packet->src, sizeof(report.src));
	__builtin_memcpy(report.dst, packet->dst, sizeof(report.dst));
	report.family = packet->ether == SW_ETHER_IPV6 ? 6 : 4;
	sw_tally(enforced ? SW_COUNT_PACKET_DROPPED : SW_COUNT_AUDITED);
	sw_report_packet(out, &report);
	return enforced ? SW_SKB_DROP : SW_SKB_PASS;
}

/* The guarded port that the packet goes to, or 0. */
SW_INLINE __u32 sw_guarded_port(const struct sw_out *out, const struct sw_packet *packet)
{
	if ((packet->verdict == SW_PARSE_TCP || packet->verdict == SW_PARSE_TCP_PORTS) &&
	    sw_guarded(out->policy, packet->dst_port))
		return packet->dst_port;
	if (out->tcp && sw_guarded(out->policy, out->socket_port))
		return out->socket_port;
	return 0;
}

/* Why a packet must not leave; SW_REASON_NONE: it may. `port`: the guarded one, or 0. */
SW_INLINE __u8 sw_judge_packet(const struct sw_out *out, const struct sw_packet *packet, __u32 port)
{
	int unknown = sw_parse_unknown(packet->verdict);
	struct bpf_sock *sk = out->sk;
	struct sw_sock *st;

	if (!port) {
		/* Only a raw socket can send TCP in a shape that hides its port; where no port is
		   guarded, nothing can be hidden. Else: not TCP, or to a port that no rule names. */
		if (unknown && (!sk || sk->type == SW_SOCK_RAW) && sw_any_guarded(out->policy))
			return SW_REASON_MALFORMED;
		return SW_REASON_NONE;
	}
	if (sk && out->tcp) {
		st = bpf_sk_storage_get(&sockets, sk, 0, 0);
		if (st && sw_passed(st, port)) {
			/* connect() let it through, if it goes where it was said to go */
			if (sw_has_left(out->skb, sk, st) || sw_is_detour(out->skb, packet, st))
				return SW_REASON_UNATTRIBUTED;
			return SW_REASON_NONE;
		}
		if (unknown)
			return SW_REASON_MALFORMED; /* not to be read, on a guarded socket */
		if (sw_is_under_way(sk, packet)) {
			sw_note_existing(sk, port);
			return SW_REASON_NONE; /* older than the policy, or passive */
		}
	}
	if (sw_is_control_socket(out, packet))
		return SW_REASON_NONE; /* opens nothing */
	return SW_REASON_UNATTRIBUTED;
}

/* The long way: walks the headers and decides. */
static __noinline int sw_walk_packet(struct sw_out *out)
{
	struct sw_packet packet = {};
	__u32 port;
	__u8 reason;

	sw_walk_headers(out->skb, &packet);
	port = sw_guarded_port(out, &packet);
	reason = sw_judge_packet(out, &packet, port);
	return reason ? sw_refuse_packet(out, &packet, port, reason) : SW_SKB_PASS;
}

#define SW_NOT_PASSED -1

/* The common way of a packet to a guarded port: connect() let it through. Only TCP's sockets have such a memory, and
   only full ones. */
SW_INLINE int sw_passed_egress(struct __sk_buff *skb, struct bpf_sock *sk, int port)
{
	struct sw_sock *st;

	if (port != bpf_ntohs(sk->dst_port))
		return SW_NOT_PASSED;
	st = bpf_sk_storage_get(&sockets, sk, 0, 0);
	if (!st || !sw_passed(st, port) || sw_has_left(skb, sk, st))
		return SW_NOT_PASSED;
	if (!st->gated)
		return SW_SKB_PASS;
	sk = bpf_sk_fullsock(sk);
	return sk ? sw_gated_egress(skb, sk, st) : SW_NOT_PASSED;
}

/* Another packet that has to do with a port that a rule names, or that cannot be told at a glance. */
static __noinline int sw_backstop_guarded(struct __sk_buff *skb, const struct sw_head *at,
					  __u32 slot)
{
	struct bpf_sock *sk = skb->sk;
	__u32 socket_port = sk ? bpf_ntohs(sk->dst_port) : 0;
	struct sw_out out = {.skb = skb, .guarded = at->cgroup_id, .slot = slot};
	struct sw_sock *st;

	out.policy = &at->slot[slot & 1];
	out.sk = sk ? bpf_sk_fullsock(sk) : 0;
	out.tcp = out.sk && out.sk->type == SW_SOCK_STREAM && out.sk->protocol == SW_IPPROTO_TCP;
	out.socket_port = out.tcp ? socket_port : 0;
	if (sw_walk_packet(&out) == SW_SKB_DROP)
		return SW_SKB_DROP;
	/* What is not plain to see is for the gate to read as well. */
	st = out.tcp ? bpf_sk_storage_get(&sockets, out.sk, 0, 0) : 0;
	return st && st->gated ? sw_gated_egress(skb, out.sk, st) : SW_SKB_PASS;
}

SW_INLINE int sw_backstop(struct __sk_buff *skb)
{
	__u32 zero = 0, slot;
	struct bpf_sock *sk = skb->sk;
	const struct sw_policy *policy;
	int port = sw_glance(skb), answer;
	struct sw_head *at;

	if (sw_leaves_unasked(skb, sk, port))
		return SW_SKB_PASS;
	at = bpf_map_lookup_elem(&head, &zero);
	if (!at)
		return SW_SKB_PASS; /* an array's element is always there */
	policy = sw_policy_in_force(at, &slot);
	if (at->serves >> slot & 1 && sk && sw_serve_guarded(policy, sk->src_port)) {
		answer = sw_served_egress(skb, at, slot);
		if (answer != SW_NOT_SERVED)
			return answer;
	}
	if (port == SW_GLANCE_ODD || (port >= 0 && sw_guarded(policy, port)) ||
	    (sk && sw_guarded(policy, bpf_ntohs(sk->dst_port)))) {
		answer = sk ? sw_passed_egress(skb, sk, port) : SW_NOT_PASSED;
		return answer != SW_NOT_PASSED ? answer : sw_backstop_guarded(skb, at, slot);
	}
	/* no rule names these ports */
	return at->elsewhere ? sw_elsewhere_leaves(skb, at) : SW_SKB_PASS;
}

#endif
