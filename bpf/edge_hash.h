/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * edge_hash.h - where flows and sources lie in their tables: keyed hashes, so that nobody outside can fill one set.
 * Pure: the programs use them, and the benchmarks, which put flows into the table.
 *
 * Pairs of words, each with a random key added, are multiplied and summed up over 64 bits, and the upper bits taken
 * (Dietzfelbinger 1996; Lemire and Kaser, "Strongly universal string hashing is fast", 2014): of keys of the table
 * that were chosen without knowing the hash's keys two lie in one set with a chance of 1 / sets, as with any better
 * function. Two products are far fewer instructions than SipHash, so that the CPU comes to the next packet's
 * look-up while this one's memory is on its way.
 *
 * Nobody sees a hash. But who opens flows sees which of them are refused later, so which five shared a set: some
 * 60,000 flows of one's own in an empty table of 2^18 sets until there are the first five. That would tell much of
 * one sum of products, as it is linear in each word: ports a and b of one set mean that a + n and b + n share one
 * for every n, of other addresses as well, and a few such fives give the keys. So the sum is not the hash. Its
 * halves are hashed once more, with keys of their own: that is universal again (the chance is 1 / sets + 2^-32), and
 * what a difference of two sums does to it depends on the sums themselves, which nobody knows. There is no proof
 * against who goes on trying, and nothing better is known than to solve for the keys as a whole, more than 300 bits;
 * SipHash has no proof either. What is to be had by it is a flow in place of another, which is refused then, for
 * three flows in TLS each: filling the table, which nothing prevents, does the same to all.
 */
#ifndef SW_EDGE_HASH_H
#define SW_EDGE_HASH_H

#include "bpf/abi_edge.h"

#define SW_EDGE_HASH_INLINE static inline __attribute__((always_inline, unused))

/* ::ffff:0:0/96, as the words of an address lie in memory of a little-endian machine. */
#define SW_EDGE_MAPPED 0xffff0000ull

SW_EDGE_HASH_INLINE __u64 sw_edge_pair(const __u64 keys[2], __u32 first, __u32 second)
{
	return (keys[0] + first) * (keys[1] + second);
}

/* Of both halves of a word. */
SW_EDGE_HASH_INLINE __u64 sw_edge_halves(const __u64 keys[2], __u64 word)
{
	return sw_edge_pair(keys, (__u32)word, word >> 32);
}

/* `key`: a flow's words from `src` to `interface`. Of IPv4 addresses only what differs is hashed. */
SW_EDGE_HASH_INLINE __u64 sw_edge_flow_hash(const struct sw_edge_secret *secret, const __u64 key[5])
{
	const __u64 *keys = secret->flows;
	__u64 sum = sw_edge_halves(keys + 2, key[4]);

	if (!(key[0] | key[2]) && (__u32)key[1] == SW_EDGE_MAPPED &&
	    (__u32)key[3] == SW_EDGE_MAPPED)
		sum += sw_edge_pair(keys + 4, key[1] >> 32, key[3] >> 32);
	else
		sum += sw_edge_halves(keys + 4, key[0]) + sw_edge_halves(keys + 6, key[1]) +
		       sw_edge_halves(keys + 8, key[2]) + sw_edge_halves(keys + 10, key[3]);
	return sw_edge_halves(keys, sum);
}

/*
 * Index of the entry that a flow lies in if it can. `sets`: of SW_EDGE_WAYS entries. The others that it may lie in are
 * those whose index differs in the lowest bits alone: at ^ 1 and so on. Each flow has its own to begin with, so that
 * most are found there.
 */
SW_EDGE_HASH_INLINE __u32 sw_edge_flow_place(__u64 hash, __u32 sets)
{
	return (__u32)((hash >> 32) * ((__u64)sets * SW_EDGE_WAYS) >> 32);
}

/* Index of the first of the gates to be tried; `gates`: how many there are. */
SW_EDGE_HASH_INLINE __u32 sw_edge_flow_gate(__u64 hash, __u32 gates)
{
	return (__u32)((hash >> 14 & 0xffffffff) * gates >> 32);
}

/* Index of the first of the entries that a source may lie in. */
SW_EDGE_HASH_INLINE __u32 sw_edge_source_set(const struct sw_edge_secret *secret,
					     const __u64 addr[2], __u32 interface)
{
	const __u64 *keys = secret->sources;
	__u64 sum = sw_edge_halves(keys + 2, addr[0]) + sw_edge_halves(keys + 4, addr[1]) +
		    sw_edge_halves(keys + 6, interface);

	return (__u32)((sw_edge_halves(keys, sum) >> 32) *
			       (SW_EDGE_SOURCES / SW_EDGE_SOURCE_WAYS) >>
		       32) *
	       SW_EDGE_SOURCE_WAYS;
}

#endif
