/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * siphash.h - SipHash-2-4 (Aumasson and Bernstein, 2012) over whole words of 64 bits, as they lie in memory of a
 * little-endian machine, for hashes that are shown to others. Pure.
 */
#ifndef SW_SIPHASH_H
#define SW_SIPHASH_H

#include "bpf/abi.h"

#define SW_SIPHASH_INLINE static inline __attribute__((always_inline, unused))

struct sw_siphash {
	__u64 v0, v1, v2, v3;
};

#define SW_SIPHASH_ROTATE(word, bits) ((word) << (bits) | (word) >> (64 - (bits)))

SW_SIPHASH_INLINE void sw_siphash_round(struct sw_siphash *s)
{
	s->v0 += s->v1;
	s->v1 = SW_SIPHASH_ROTATE(s->v1, 13) ^ s->v0;
	s->v0 = SW_SIPHASH_ROTATE(s->v0, 32);
	s->v2 += s->v3;
	s->v3 = SW_SIPHASH_ROTATE(s->v3, 16) ^ s->v2;
	s->v0 += s->v3;
	s->v3 = SW_SIPHASH_ROTATE(s->v3, 21) ^ s->v0;
	s->v2 += s->v1;
	s->v1 = SW_SIPHASH_ROTATE(s->v1, 17) ^ s->v2;
	s->v2 = SW_SIPHASH_ROTATE(s->v2, 32);
}

SW_SIPHASH_INLINE void sw_siphash_begin(struct sw_siphash *s, const __u64 key[2])
{
	s->v0 = key[0] ^ 0x736f6d6570736575ull;
	s->v1 = key[1] ^ 0x646f72616e646f6dull;
	s->v2 = key[0] ^ 0x6c7967656e657261ull;
	s->v3 = key[1] ^ 0x7465646279746573ull;
}

SW_SIPHASH_INLINE void sw_siphash_word(struct sw_siphash *s, __u64 word)
{
	s->v3 ^= word;
	sw_siphash_round(s);
	sw_siphash_round(s);
	s->v0 ^= word;
}

/* `n`: words given. */
SW_SIPHASH_INLINE __u64 sw_siphash_end(struct sw_siphash *s, __u64 n)
{
	sw_siphash_word(s, n * 8 << 56);
	s->v2 ^= 0xff;
	sw_siphash_round(s);
	sw_siphash_round(s);
	sw_siphash_round(s);
	sw_siphash_round(s);
	return s->v0 ^ s->v1 ^ s->v2 ^ s->v3;
}

/* `n` is a constant of at most 8. */
SW_SIPHASH_INLINE __u64 sw_siphash_24(const __u64 key[2], const __u64 *words, __u32 n)
{
	struct sw_siphash s;

	sw_siphash_begin(&s, key);
#pragma GCC unroll 8
	for (__u32 i = 0; i < n; i++)
		sw_siphash_word(&s, words[i]);
	return sw_siphash_end(&s, n);
}

#endif
