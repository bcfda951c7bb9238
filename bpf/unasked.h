/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * unasked.h - packets that are done with before the policy is looked at: those between ports that nobody named, and
 * those of connections about which all is decided. Whatever is not told here is asked in full, so an answer of 0 is
 * never wrong.
 */
#ifndef SW_UNASKED_H
#define SW_UNASKED_H

#include "bpf/kernel.h"
#include "bpf/maps_host.h"
#include "bpf/parse.h"
#include "bpf/passed.h"

/* ---- the header at a glance ---- */

#define SW_GLANCE_OTHER -1 /* not TCP */
#define SW_GLANCE_ODD -2   /* to be walked: options, extension headers, fragments, short buffers */

/* A packet that is not the plainest of TCP. */
SW_INLINE int sw_glance_ipv4(const __u8 *data, const __u8 *end)
{
	if (data + 24 > end || data[0] >> 4 != 4)
		return SW_GLANCE_ODD;
	return data[9] == SW_PROTOCOL_TCP || data[9] == SW_PROTOCOL_AH ? SW_GLANCE_ODD
								       : SW_GLANCE_OTHER;
}

SW_INLINE int sw_glance_ipv6(const __u8 *data, const __u8 *end)
{
	if (data + 44 > end)
		return SW_GLANCE_ODD;
	if (data[0] >> 4 != 6 || sw_parse_is_extension(data[6], 1))
		return SW_GLANCE_ODD;
	if (data[6] != SW_PROTOCOL_TCP)
		return SW_GLANCE_OTHER;
	return data[42] << 8 | data[43];
}

#define SW_LIKELY(condition) __builtin_expect(!!(condition), 1)

/* The TCP port that the packet goes to, when the plainest header says it; else SW_GLANCE_*. */
SW_INLINE int sw_glance(const struct __sk_buff *skb)
{
	const __u8 *data = (const __u8 *)(unsigned long)skb->data;
	const __u8 *end = (const __u8 *)(unsigned long)skb->data_end;

	/* Few instructions, and in a row: what costs is that the CPU has lost them since the last packet. */
	if (SW_LIKELY(skb->protocol == bpf_htons(SW_ETHER_IPV4) && data + 24 <= end &&
		      data[0] == 0x45 && data[9] == SW_PROTOCOL_TCP &&
		      !(*(const __u16 *)(data + 6) & bpf_htons(0x3fff))))
		return bpf_ntohs(*(const __u16 *)(data + 22));
	if (skb->protocol == bpf_htons(SW_ETHER_IPV4))
		return sw_glance_ipv4(data, end);
	if (skb->protocol == bpf_htons(SW_ETHER_IPV6))
		return sw_glance_ipv6(data, end);
	return SW_GLANCE_ODD;
}

/* ---- ports and sockets ---- */

SW_INLINE int sw_unasked_in(const __u64 *ports, __u32 port)
{
	__u64 bit = SW_UNASKED_BIT(port);

	SW_OPAQUE(bit);
	bit &= 255;
	return ports[bit / 64] >> (bit & 63) & 1;
}

SW_INLINE const struct sw_unasked *sw_unasked(void)
{
	__u32 zero = 0;

	return bpf_map_lookup_elem(&unasked, &zero);
}

/* No rule names the ports of this socket. */
SW_INLINE int sw_unasked_socket(const struct sw_unasked *of, const struct bpf_sock *sk)
{
	return sw_unasked_in(of->to, bpf_ntohs(sk->dst_port)) &&
	       sw_unasked_in(of->from, sk->src_port);
}

/* Does connect() say that a packet of this connection passes, and no gate looks at it? `port`: that both go to. */
SW_INLINE int sw_settled_out(struct __sk_buff *skb, struct bpf_sock *sk, __u32 port)
{
	struct sw_sock *st = bpf_sk_storage_get(&sockets, sk, 0, 0);

	return st && sw_passed(st, port) && !sw_has_left(skb, sk, st) && !SW_READ_ONCE(st->gated);
}

/* The same of one that arrives for a socket that is no server's. */
SW_INLINE int sw_settled_in(const struct sw_unasked *of, struct bpf_sock *sk)
{
	struct sw_sock *st;

	if (!sw_unasked_in(of->from, sk->src_port))
		return 0;
	st = bpf_sk_storage_get(&sockets, sk, 0, 0);
	return st && SW_READ_ONCE(st->state) == SW_SOCK_PASSED && !SW_READ_ONCE(st->gated);
}

/* Most packets: no rule names their ports, or connect() let their connection through and there is no gate. */
SW_INLINE int sw_leaves_unasked(struct __sk_buff *skb, struct bpf_sock *sk, int port)
{
	const struct sw_unasked *of = sw_unasked();

	if (!of)
		return 0;
	if (SW_LIKELY(sk && port == bpf_ntohs(sk->dst_port)))
		return SW_LIKELY(sw_unasked_socket(of, sk)) || sw_settled_out(skb, sk, port);
	if (port == SW_GLANCE_ODD || (port >= 0 && !sw_unasked_in(of->to, port)))
		return 0;
	return !sk || sw_unasked_socket(of, sk);
}

/* The same of one that arrives for a socket. */
SW_INLINE int sw_arrives_unasked(struct bpf_sock *sk)
{
	const struct sw_unasked *of = sw_unasked();

	return of && (sw_unasked_socket(of, sk) || sw_settled_in(of, sk));
}

#endif
