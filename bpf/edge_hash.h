/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * edge_hash.h - where a flow lies in the table of flows: a keyed hash, so that nobody outside can fill one set. Pure:
 * the programs use it, and the benchmarks, which put flows into the table.
 */
#ifndef SW_EDGE_HASH_H
#define SW_EDGE_HASH_H

#include "bpf/abi_edge.h"
#include "bpf/siphash.h"

/* ::ffff:0:0/96, as the words of an address lie in memory of a little-endian machine. */
#define SW_EDGE_MAPPED 0xffff0000ull

/* `key`: a flow's words from `src` to `interface`. Of IPv4 addresses only what differs is hashed. */
SW_SIPHASH_INLINE __u64 sw_edge_flow_hash(const __u64 secret[2], const __u64 key[5])
{
	__u64 words[5] = {key[0], key[1], key[2], key[3], key[4]};

	if (!(key[0] | key[2]) && (__u32)key[1] == SW_EDGE_MAPPED &&
	    (__u32)key[3] == SW_EDGE_MAPPED) {
		words[0] = key[1] >> 32 << 32 | key[3] >> 32;
		words[1] = key[4];
		return sw_siphash_13(secret, words, 2);
	}
	return sw_siphash_13(secret, words, 5);
}

/* Index of the first of the entries that the flow may lie in. `sets`: of SW_EDGE_WAYS entries. */
SW_SIPHASH_INLINE __u32 sw_edge_flow_set(__u64 hash, __u32 sets)
{
	return (__u32)((hash & 0xffffffff) * sets >> 32) * SW_EDGE_WAYS;
}

#endif
