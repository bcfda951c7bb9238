/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * lookup.h - the maps' side of edge_match.h: which rule says what about a source and a destination. For the edge
 * and for servers of this machine.
 */
#ifndef SW_LOOKUP_H
#define SW_LOOKUP_H

#include "bpf/count.h"
#include "bpf/edge_match.h"
#include "bpf/kernel.h"
#include "bpf/maps.h"

/* Loopback without a look-up; and the unspecified address, which the kernel takes for loopback. */
SW_INLINE int sw_is_loopback(const __u8 *addr, __u32 ipv4)
{
	const __u32 *word = (const __u32 *)addr;

	if (ipv4)
		return addr[12] == 127 || !word[3];
	return !(word[0] | word[1] | word[2]) && (!word[3] || word[3] == bpf_htonl(1));
}

/* What a decision changes while it is made: in a map value, as the verifier of 6.1 wants it of what a loop
   changes. */
struct sw_lookup {
	struct sw_vec rows; /* still possible; the caller sets those of the port */
	struct sw_prefix_key prefix;
	__u32 class;
};

/* The question. */
struct sw_ask {
	struct sw_lookup *to;
	const struct sw_policy *policy;
	__u32 slot, ipv6, from; /* `from`: SW_PREFIX_FROM, or 0 */
	/* Of the source alone: its prefixes of fewer than `least` bits need not be looked for, as `known` is 1 + class
	   of the longest of them; 0: it is in none. */
	__u32 least, known;
};

#define SW_LOOKUP_NET 120          /* bits of a /24 of IPv4 */
#define SW_LOOKUP_ALL 129          /* more than any prefix has */
#define SW_LOOKUP_NONE 0xffffffffu /* in no list */

static long sw_lookup_step(__u32 index, struct sw_ask *ask)
{
	void *inner = bpf_map_lookup_elem(&prefixes, &ask->slot);
	struct sw_lookup *to = ask->to;
	__u64 at = index, family = ask->ipv6 & 1;
	const __u32 *class;
	__u32 bits;

	SW_OPAQUE(at);
	if (!inner || at >= sizeof(ask->policy->lengths[0]))
		return 1;
	bits = ask->from ? ask->policy->from_lengths[family][at] : ask->policy->lengths[family][at];
	if (ask->from && bits < ask->least)
		return 1;
	sw_prefix_cut(&to->prefix, bits);
	to->prefix.bits |= ask->from;
	class = bpf_map_lookup_elem(inner, &to->prefix);
	if (!class)
		return 0;
	to->class = *class;
	return 1;
}

/* Rows of the longest prefix that an address lies in; NULL: of none. */
SW_INLINE const struct sw_vec *sw_lookup_prefix(struct sw_ask *ask, const __u8 *addr,
						__u32 n_lengths)
{
	struct sw_lookup *to = ask->to;
	__u64 class;

	to->class = ask->from ? ask->known - 1 : SW_LOOKUP_NONE;
	if (n_lengths && !(ask->from && ask->least == SW_LOOKUP_ALL)) {
		__builtin_memcpy(to->prefix.addr, addr, sizeof(to->prefix.addr));
		bpf_loop(n_lengths, sw_lookup_step, ask, 0);
	}
	class = to->class;
	if (class >= SW_CLASSES_MAX)
		return 0;
	return &ask->policy->classes[class];
}

/* Does a row that is still possible ask about this dimension? */
SW_INLINE int sw_lookup_asks(const struct sw_lookup *to, const struct sw_vec *any)
{
	__u64 asks = 0;

#pragma GCC unroll 8
	for (__u32 i = 0; i < SW_WORDS; i++)
		asks |= to->rows.w[i] & ~any->w[i];
	return !!asks;
}

/* Rows with `to local`. At the edge loopback is none of it: the kernel takes no packet for it from a wire
   (RFC 1122, 3.2.1.3). */
SW_INLINE const struct sw_vec *sw_lookup_local(const struct sw_ask *ask, const __u8 *addr,
					       int loopback)
{
	if (loopback && sw_is_loopback(addr, !ask->ipv6))
		return &ask->policy->local;
	return bpf_map_lookup_elem(&local, addr) ? &ask->policy->local : 0;
}

/* Index of the rule that decides, of those whose rows are in `to`; SW_RULE_NONE: none. */
SW_INLINE __u32 sw_lookup_rule(struct sw_ask *ask, const __u8 *src, const __u8 *dst, int loopback)
{
	const struct sw_policy *policy = ask->policy;
	struct sw_lookup *to = ask->to;
	const struct sw_vec *found;

	if (sw_lookup_asks(to, &policy->any[SW_DIM_FROM])) {
		ask->from = SW_PREFIX_FROM;
		found = sw_lookup_prefix(ask, src, policy->n_from_lengths[ask->ipv6 & 1]);
		sw_edge_give(&to->rows, &policy->any[SW_DIM_FROM], found, 0);
	}
	if (sw_lookup_asks(to, &policy->any[SW_DIM_DST])) {
		ask->from = 0;
		found = sw_lookup_prefix(ask, dst, policy->n_lengths[ask->ipv6 & 1]);
		sw_edge_give(&to->rows, &policy->any[SW_DIM_DST], found,
			     sw_lookup_local(ask, dst, loopback));
	}
	return sw_edge_rule(policy, &to->rows);
}

#endif
