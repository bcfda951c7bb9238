/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * edge_match.h - the bit vectors of match.h for what is known by its addresses alone: forwarded packets, and the
 * clients of this machine's servers. Nothing is undecided here, so a decision is the AND of what the dimensions
 * leave. Pure: the kernel runs it, and `smtpwall why` and replay.
 *
 *     if (!sw_edge_guarded(policy, port)) pass;
 *     sw_edge_begin(&rows, rows of scope and port, rows of the interface);
 *     if (sw_vec_first(&rows) == SW_ROW_NONE) pass;        this port is not guarded on this interface
 *     sw_edge_give(&rows, &policy->any[SW_DIM_FROM], class of the source prefix, NULL);
 *     sw_edge_give(&rows, &policy->any[SW_DIM_DST], class of the destination prefix, rows of `local`);
 *     rule = sw_edge_rule(policy, &rows);
 *
 * Sessions that this machine answers are decided likewise, by sw_serve_guarded() and the rows of the port alone.
 */
#ifndef SW_EDGE_MATCH_H
#define SW_EDGE_MATCH_H

#include "bpf/abi_edge.h"
#include "bpf/match.h"

/* Does an edge block name this port (host order)? */
SW_MATCH_INLINE int sw_edge_guarded(const struct sw_policy *policy, __u16 port)
{
	return sw_port_in(policy->edge_guard, port);
}

/* Does a serve block name this port of a server? Where sw_policy.serves is 0 none does. */
SW_MATCH_INLINE int sw_serve_guarded(const struct sw_policy *policy, __u16 port)
{
	return sw_port_in(policy->serve_guard, port);
}

/* Does an IPv6 header hold an address of IPv4? It is nobody's on a wire (RFC 4291, 2.5.5.2), and rules and flows
   would take it for IPv4's. */
SW_MATCH_INLINE int sw_edge_is_mapped(int ipv6, const __u8 *src, const __u8 *dst)
{
	return ipv6 && (sw_addr_is_ipv4(src) || sw_addr_is_ipv4(dst));
}

/* May a list of sources hold this IPv4 address (host order)? */
SW_MATCH_INLINE int sw_edge_may_be_listed(const struct sw_edge_listed *listed, __u32 addr)
{
	__u64 word = addr >> 14;

	SW_MATCH_OPAQUE(word);
	word &= (1u << 24) / 64 - 1;
	return (int)(listed->nets[word] >> (addr >> 8 & 63) & 1);
}

/* Number of the leaf of its net, which is listed. */
SW_MATCH_INLINE __u32 sw_edge_leaf_of(const struct sw_edge_listed *listed, __u32 addr)
{
	__u64 word = addr >> 14;

	SW_MATCH_OPAQUE(word);
	word &= (1u << 24) / 64 - 1;
	return listed->ranks[word] +
	       sw_count_bits(listed->nets[word] & ((1ull << (addr >> 8 & 63)) - 1));
}

/* NULL: none. */
SW_MATCH_INLINE void sw_edge_begin(struct sw_vec *rows, const struct sw_vec *port_rows,
				   const struct sw_vec *interface_rows)
{
#pragma GCC unroll 8
	for (__u32 i = 0; i < SW_WORDS; i++)
		rows->w[i] =
			port_rows && interface_rows ? port_rows->w[i] & interface_rows->w[i] : 0;
}

/* Rows that do not ask (`any`), and what was found; NULL: nothing was. */
SW_MATCH_INLINE void sw_edge_give(struct sw_vec *rows, const struct sw_vec *any,
				  const struct sw_vec *found, const struct sw_vec *more)
{
#pragma GCC unroll 8
	for (__u32 i = 0; i < SW_WORDS; i++)
		rows->w[i] &= any->w[i] | (found ? found->w[i] : 0) | (more ? more->w[i] : 0);
}

/* Index of the rule that decides. SW_RULE_NONE: each list of a port ends in a rule for everybody, so an entry
   was lost; refused. */
SW_MATCH_INLINE __u32 sw_edge_rule(const struct sw_policy *policy, const struct sw_vec *rows)
{
	__u64 row = sw_vec_first(rows);

	if (row == SW_ROW_NONE)
		return SW_RULE_NONE;
	SW_MATCH_OPAQUE(row);
	row &= SW_ROWS_MAX - 1;
	return policy->row_rule[row];
}

#endif
