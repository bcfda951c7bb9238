/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * elsewhere.h - SMTP on ports that no host block names, spoken by programs of this machine: a server greets with
 * 220, and the client answers EHLO, HELO or LHLO. It is told, and nothing is done about it: every packet passes,
 * whatever happens here.
 *
 * Where it is not asked for a packet pays for one test of a word. Where it is, TCP's own counters say whether a
 * connection is at its first bytes; only then is payload looked at, and only for a connection whose server has
 * greeted is anything remembered.
 */
#ifndef SW_ELSEWHERE_H
#define SW_ELSEWHERE_H

#include "bpf/emit.h"
#include "bpf/identity.h"
#include "bpf/kernel.h"
#include "bpf/maps_host.h"
#include "bpf/segment.h"

/* TCP counts the SYN of who opened the connection as a byte that was acknowledged. Of an accepted one it counts
   none: those are a server's, and left out. */
#define SW_SYN_ACKED 1

SW_INLINE struct bpf_sock *sw_tcp_of(struct __sk_buff *skb)
{
	struct bpf_sock *sk = skb->sk ? bpf_sk_fullsock(skb->sk) : 0;

	return sk && sk->type == SW_SOCK_STREAM && sk->protocol == SW_IPPROTO_TCP ? sk : 0;
}

/* ---- the server ---- */

/* The first payload that arrives on a connection which has sent none. */
static __noinline int sw_elsewhere_greeting(struct __sk_buff *skb, struct bpf_sock *sk)
{
	__u32 zero = 0;
	struct sw_serve_work *work = bpf_map_lookup_elem(&serve_work, &zero);
	struct sw_sock *st;
	__u8 text[4];

	if (!work)
		return SW_SKB_PASS;
	sw_walk_headers(skb, &work->packet);
	if (work->packet.verdict != SW_PARSE_TCP ||
	    bpf_skb_load_bytes(skb, work->packet.at, text, sizeof(text)) < 0)
		return SW_SKB_PASS;
	if (text[0] != '2' || text[1] != '2' || text[2] != '0' ||
	    (text[3] != ' ' && text[3] != '-'))
		return SW_SKB_PASS;
	/* What connect() was asked about, and moved here, is told already. */
	st = bpf_sk_storage_get(&sockets, sk, 0, 0);
	if (!st || SW_READ_ONCE(st->state) != SW_SOCK_PASSED)
		bpf_sk_storage_get(&greeted, sk, 0, BPF_SK_STORAGE_GET_F_CREATE);
	return SW_SKB_PASS;
}

SW_INLINE int sw_elsewhere_arrives(struct __sk_buff *skb)
{
	struct bpf_sock *sk = sw_tcp_of(skb);
	struct bpf_tcp_sock *tcp = sk ? bpf_tcp_sock(sk) : 0;

	if (!tcp || tcp->bytes_received || tcp->bytes_acked != SW_SYN_ACKED)
		return SW_SKB_PASS;
	return sw_elsewhere_greeting(skb, sk);
}

/* ---- the client ---- */

/* "EHLO", "HELO" or "LHLO" in any case, and what may stand behind it: the name is all of the word. */
SW_INLINE int sw_is_hello(const __u8 *word)
{
	__u32 first = word[0] & 0xdf, second = word[1] & 0xdf, third = word[2] & 0xdf;
	__u8 behind = word[4];

	if ((word[3] & 0xdf) != 'O' || (behind != ' ' && behind != '\r' && behind != '\n'))
		return 0;
	if (first == 'H')
		return second == 'E' && third == 'L';
	return (first == 'E' || first == 'L') && second == 'H' && third == 'L';
}

/*
 * Who sends it. The task that runs sends it if it holds the socket's lock: what the network does for a socket by
 * itself, in whoever's time, it does only while nobody holds it. Else the socket tells its owner.
 */
SW_INLINE void sw_identify_sender(struct sw_scratch *scratch, struct bpf_sock *sk)
{
	struct sock *kernel_sk = (struct sock *)(unsigned long)sw_address(sk);

	if (BPF_CORE_READ(kernel_sk, sk_lock.owned)) {
		sw_identify(scratch, sk);
		return;
	}
	sw_caller_clear(scratch);
	sw_identify_owner(scratch, sk);
}

static __noinline void sw_report_elsewhere(struct __sk_buff *skb, struct bpf_sock *sk,
					   const struct sw_packet *packet, const struct sw_head *at)
{
	struct sw_report report = {
		.generation = at->slot[at->active & 1].generation,
		.cookie = bpf_get_socket_cookie(skb),
		.kind = SW_EVENT_ELSEWHERE,
		.verdict = SW_VERDICT_AUDIT,
		.reason = SW_REASON_SMTP_ELSEWHERE,
		.rule = SW_RULE_NONE,
		.family = sw_addr_is_ipv4(packet->dst) ? 4 : 6,
		.src_port = packet->src_port,
		.dst_port = packet->dst_port,
	};
	struct sw_scratch *scratch = sw_scratch_take();

	sw_tally(SW_COUNT_ELSEWHERE);
	__builtin_memcpy(report.src, packet->src, sizeof(report.src));
	__builtin_memcpy(report.dst, packet->dst, sizeof(report.dst));
	if (scratch)
		sw_identify_sender(scratch, sk);
	sw_emit(&report, scratch, at->cgroup_id);
	if (scratch)
		sw_scratch_leave(scratch);
}

/* Takes what is new of the first five bytes. 1: they are all there; 0: more have to come; -1: they will not. */
static __noinline int sw_elsewhere_word(struct __sk_buff *skb, struct sw_greeted *greeted,
					__u32 first)
{
	struct sw_packet *packet = &greeted->packet;
	__u32 n = skb->len - packet->at, have = greeted->have;

	if (first > have)
		return -1; /* something was missed */
#pragma unroll
	for (__u32 i = 0; i < sizeof(greeted->word); i++) {
		if (i < have || i - first >= n)
			continue;
		if (bpf_skb_load_bytes(skb, packet->at + (i - first), &greeted->word[i], 1) < 0)
			return -1;
		greeted->have = i + 1;
	}
	return greeted->have == sizeof(greeted->word);
}

/* Payload of a client whose server has greeted. `start` is the number of its first byte. */
static __noinline int sw_elsewhere_answer(struct __sk_buff *skb, struct bpf_sock *sk,
					  const struct sw_head *at, __u32 start)
{
	struct sw_greeted *greeting = bpf_sk_storage_get(&greeted, sk, 0, 0);
	int whole;

	if (!greeting)
		return SW_SKB_PASS;
	sw_walk_headers(skb, &greeting->packet);
	if (greeting->packet.verdict != SW_PARSE_TCP || greeting->packet.at >= skb->len)
		return SW_SKB_PASS;
	whole = sw_elsewhere_word(skb, greeting, greeting->packet.seq - start);
	if (!whole)
		return SW_SKB_PASS;
	if (whole > 0 && sw_is_hello(greeting->word))
		sw_report_elsewhere(skb, sk, &greeting->packet, at);
	bpf_sk_storage_delete(&greeted, sk);
	return SW_SKB_PASS;
}

SW_INLINE int sw_elsewhere_leaves(struct __sk_buff *skb, const struct sw_head *at)
{
	struct bpf_sock *sk = sw_tcp_of(skb);
	struct bpf_tcp_sock *tcp = sk ? bpf_tcp_sock(sk) : 0;
	__u32 acked;

	if (!tcp || !tcp->bytes_received || tcp->bytes_acked < SW_SYN_ACKED ||
	    tcp->bytes_acked > SW_SYN_ACKED + SW_HELLO_WORD)
		return SW_SKB_PASS;
	acked = tcp->bytes_acked;
	return sw_elsewhere_answer(skb, sk, at, tcp->snd_una - (acked - SW_SYN_ACKED));
}

#endif
