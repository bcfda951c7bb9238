/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * match.h - bit vectors in, first rule and verdict out. Pure: no map, no clock, no I/O. Compiles for
 * BPF and for the host, so that `smtpwall why` and the tests run what the kernel runs.
 *
 * Include after the fixed-width types (kernel.h for BPF; abi.h brings them on the host).
 *
 * A decision, in order:
 *
 *     if (!sw_guarded(policy, port)) pass;              the fast path
 *     sw_match_begin(&match, rows of scope and port);   NULL: none
 *     while ((dim = sw_match_next(&match, policy)) != SW_DIM_MAX)      at most SW_DIM_MAX times
 *             sw_match_give(&match, policy, dim, found, more, decided);
 *     rule = sw_match_rule(&match, policy);
 *     sw_decide(rule == SW_RULE_NONE ? NULL : &policy->rules[rule], match.certain, ipv4, &decision);
 *
 * sw_match_next() names only a dimension that the outcome still depends on, the cheap ones first, so
 * a path is walked only for a connection whose first possible row asks about the executable.
 *
 * For BPF keep struct sw_match in a map value: of the stack the verifier remembers each word, and a
 * loop over these functions is then more than it looks at.
 *
 * A dimension that could not be found out (path too long, too many groups, a kernel worker) is given
 * with decided = 0: its rows stay possible but are not certain. The first rule that is possible
 * decides if one of its rows is certain; if none is, the answer is unidentified, and that refuses.
 */
#ifndef SW_MATCH_H
#define SW_MATCH_H

#include "bpf/abi.h"
#include "bpf/verdict.h"

/* The verifier must see the mask that bounds an index; the compiler would drop it where it can tell
   the range by itself. */
#ifdef __bpf__
#define SW_MATCH_OPAQUE(value) asm volatile("" : "+r"(value))
#else
#define SW_MATCH_OPAQUE(value) ((void)0)
#endif

/* How many bits are set. Without branches: each would double what the verifier has to look at. BPF
   has no instruction for it. */
SW_MATCH_INLINE __u32 sw_count_bits(__u64 word)
{
	word -= word >> 1 & 0x5555555555555555ull;
	word = (word & 0x3333333333333333ull) + (word >> 2 & 0x3333333333333333ull);
	word = (word + (word >> 4)) & 0x0f0f0f0f0f0f0f0full;
	return (__u32)(word * 0x0101010101010101ull >> 56);
}

/* Number of the lowest bit that is set; `word` is not 0. */
SW_MATCH_INLINE __u32 sw_lowest_bit(__u64 word)
{
	return sw_count_bits((word & -word) - 1);
}

/* All ones when `word` is not 0, else 0; without a branch. */
SW_MATCH_INLINE __u64 sw_ones_if(__u64 word)
{
	return -((word | -word) >> 63);
}

/* The first row of a set, or SW_ROW_NONE. */
SW_MATCH_INLINE __u32 sw_vec_first(const struct sw_vec *rows)
{
	__u64 word = 0, empty = ~0ull; /* all ones: only empty words so far */
	__u32 base = 64;

	if (rows->w[0]) /* few policies have more than 64 rows */
		return sw_lowest_bit(rows->w[0]);
#pragma GCC unroll 8
	for (__u32 i = 1; i < SW_WORDS; i++) {
		__u64 here = rows->w[i] & empty;

		word |= here;
		empty &= ~sw_ones_if(here);
		base += (__u32)empty & 64;
	}
	return empty ? SW_ROW_NONE : base + sw_lowest_bit(word);
}

/* `rows` lies in a map or on the host; a row beyond the last is taken modulo SW_ROWS_MAX. */
SW_MATCH_INLINE int sw_vec_has(const struct sw_vec *rows, __u32 row)
{
	__u64 word = row >> 6;

	SW_MATCH_OPAQUE(word);
	word &= SW_WORDS - 1;
	return (int)(rows->w[word] >> (row & 63) & 1);
}

/* to |= from; `from` may be NULL. For what is found in more than one look-up (groups). */
SW_MATCH_INLINE void sw_vec_or(struct sw_vec *to, const struct sw_vec *from)
{
	if (!from)
		return;
#pragma GCC unroll 8
	for (__u32 i = 0; i < SW_WORDS; i++)
		to->w[i] |= from->w[i];
}

/* rows &= any | found; `found` may be NULL: nothing was. */
SW_MATCH_INLINE void sw_vec_and_either(struct sw_vec *rows, const struct sw_vec *any,
				       const struct sw_vec *found)
{
	if (found) {
#pragma GCC unroll 8
		for (__u32 i = 0; i < SW_WORDS; i++)
			rows->w[i] &= any->w[i] | found->w[i];
	} else {
#pragma GCC unroll 8
		for (__u32 i = 0; i < SW_WORDS; i++)
			rows->w[i] &= any->w[i];
	}
}

/* A port (host order) in a set of all of them. */
SW_MATCH_INLINE int sw_port_in(const __u64 ports[65536 / 64], __u16 port)
{
	__u64 word = port >> 6;

	SW_MATCH_OPAQUE(word);
	word &= 65536 / 64 - 1;
	return (int)(ports[word] >> (port & 63) & 1);
}

/* Does a host block name this port? */
SW_MATCH_INLINE int sw_guarded(const struct sw_policy *policy, __u16 port)
{
	return sw_port_in(policy->guard, port);
}

/* ---- which rule ---- */

struct sw_match {
	struct sw_vec possible; /* rows that nothing given so far rules out */
	struct sw_vec sure;     /* of these, the ones that rest on nothing undecided */
	__u32 given;            /* bit per enum sw_dim: was given */
	__u32 row;              /* after sw_match_next: the first possible row, or SW_ROW_NONE */
	__u32 certain;          /* at the end: the rule of `row` matches whatever is undecided */
	__u32 reserved;
};

/* `port_rows` is what the ids map holds for scope << 16 | port; NULL: no rows. */
SW_MATCH_INLINE void sw_match_begin(struct sw_match *match, const struct sw_vec *port_rows)
{
#pragma GCC unroll 8
	for (__u32 i = 0; i < SW_WORDS; i++) {
		match->possible.w[i] = port_rows ? port_rows->w[i] : 0;
		match->sure.w[i] = match->possible.w[i];
	}
	match->given = 1u << SW_DIM_PORT;
	match->row = SW_ROW_NONE;
	match->certain = 0;
	match->reserved = 0;
}

/*
 * What was found in a dimension: `found` and `more` are sets of rows, each may be NULL (`more` is for
 * the destination, which is in a prefix class and may be local as well). With decided = 0 they are not
 * looked at: what was found before a search was given up may be the end of a longer path, which
 * anybody can make look like another program's.
 */
SW_MATCH_INLINE void sw_match_give(struct sw_match *match, const struct sw_policy *policy,
				   __u32 dim, const struct sw_vec *found, const struct sw_vec *more,
				   int decided)
{
	__u64 index = dim;

	SW_MATCH_OPAQUE(index);
	index &= 7;
	if (index >= SW_DIM_MAX)
		return;
#pragma GCC unroll 8
	for (__u32 i = 0; i < SW_WORDS; i++) {
		__u64 keep = policy->any[index].w[i];

		if (decided) {
			if (found)
				keep |= found->w[i];
			if (more)
				keep |= more->w[i];
			match->possible.w[i] &= keep;
		}
		match->sure.w[i] &= keep;
	}
	match->given |= 1u << index;
}

/* The cheapest dimension that `row` asks about and that was not given yet, or SW_DIM_MAX. */
SW_MATCH_INLINE __u32 sw_match_asks(const struct sw_match *match, const struct sw_policy *policy,
				    __u32 row)
{
#pragma GCC unroll 8
	for (__u32 dim = SW_DIM_USER; dim < SW_DIM_MAX; dim++)
		if (!(match->given >> dim & 1) && !sw_vec_has(&policy->any[dim], row))
			return dim;
	return SW_DIM_MAX;
}

/* The rule that a row belongs to. */
SW_MATCH_INLINE __u32 sw_row_rule(const struct sw_policy *policy, __u32 row)
{
	__u64 index = row;

	SW_MATCH_OPAQUE(index);
	index &= SW_ROWS_MAX - 1;
	return policy->row_rule[index];
}

/*
 * The dimension to look up next, or SW_DIM_MAX: decided, `row` and `certain` are final.
 *
 * The rows of a rule stand together. So the first possible rule is certain if the first sure row
 * is one of its rows, once nothing that this row asks about is left open.
 */
SW_MATCH_INLINE __u32 sw_match_next(struct sw_match *match, const struct sw_policy *policy)
{
	__u32 row = sw_vec_first(&match->possible), sure, dim;

	match->row = row;
	match->certain = 0;
	if (row == SW_ROW_NONE)
		return SW_DIM_MAX;
	dim = sw_match_asks(match, policy, row);
	if (dim != SW_DIM_MAX)
		return dim;
	if (!sw_vec_has(&match->sure, row)) {
		sure = sw_vec_first(&match->sure);
		if (sure == SW_ROW_NONE || sw_row_rule(policy, sure) != sw_row_rule(policy, row))
			return SW_DIM_MAX;
		dim = sw_match_asks(match, policy, sure);
		if (dim != SW_DIM_MAX)
			return dim;
	}
	match->certain = 1;
	return SW_DIM_MAX;
}

/* Index of the rule that decides, certain or not; SW_RULE_NONE when no row is possible. */
SW_MATCH_INLINE __u32 sw_match_rule(const struct sw_match *match, const struct sw_policy *policy)
{
	if (match->row == SW_ROW_NONE)
		return SW_RULE_NONE;
	return sw_row_rule(policy, match->row);
}

/* ---- destinations ---- */

/* Is an address of sixteen bytes IPv4 (::ffff:0:0/96)? */
SW_MATCH_INLINE int sw_addr_is_ipv4(const __u8 *addr)
{
	__u8 differs = (__u8)((addr[10] ^ 0xff) | (addr[11] ^ 0xff));

#pragma GCC unroll 16
	for (__u32 i = 0; i < 10; i++)
		differs |= addr[i];
	return !differs;
}

/*
 * Cuts a key down to its first `bits` (0 to 128) bits. The caller puts the address in key->addr, then
 * goes through policy->lengths[ipv4 ? 0 : 1], longest first, cutting the same key further each time;
 * the first prefix that is there ends the search, as its class holds the rows of the shorter ones.
 * The family of the address picks the list: an IPv6 prefix that happens to cover ::ffff:0:0/96, such
 * as ::/0, says nothing about IPv4.
 */
SW_MATCH_INLINE void sw_prefix_cut(struct sw_prefix_key *key, __u32 bits)
{
	__u64 mask[2] = {~0ull, 0}, words[2];

	key->bits = bits;
	if (bits < 64)
		mask[0] = ~(~0ull >> bits);
	else if (bits > 64)
		mask[1] = ~(~0ull >> 1 >> ((bits - 65) & 63));
#if __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__
	mask[0] = __builtin_bswap64(mask[0]);
	mask[1] = __builtin_bswap64(mask[1]);
#endif
	__builtin_memcpy(words, key->addr, sizeof(words));
	words[0] &= mask[0];
	words[1] &= mask[1];
	__builtin_memcpy(key->addr, words, sizeof(words));
}

#endif
