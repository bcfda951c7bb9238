/* SPDX-License-Identifier: GPL-2.0-or-later */
/* bpf/siphash.h against vectors as published by its authors, which OpenSSL computes as well. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "daemon/base.h"

#include "bpf/siphash.h"

/* Of the bytes 0, 1, 2 ... with the key 0, 1 ... 15; the hash as bytes, lowest first. */
static const struct {
	size_t bytes;
	const char *hash;
} vectors[] = {
	{0, "\x31\x0e\x0e\xdd\x47\xdb\x6f\x72"},  {8, "\x62\x24\x93\x9a\x79\xf5\xf5\x93"},
	{16, "\xdb\x9b\xc2\x57\x7f\xcc\x2a\x3f"}, {24, "\x94\xaf\x49\xf6\xc6\x50\xad\xb8"},
	{40, "\xd0\xa7\x04\x53\x6b\xa9\x3e\x0e"}, {48, "\x51\xa9\xcb\x9e\xcb\xa3\x12\xe6"},
	{64, "\xd8\xca\x02\x85\x0b\xc4\xd2\xac"},
};

static void agrees_with_vectors(void **state)
{
	uint8_t bytes[64];
	__u64 key[2], words[8], hash;

	(void)state;
	for (size_t i = 0; i < sizeof(bytes); i++)
		bytes[i] = (uint8_t)i;
	memcpy(key, bytes, sizeof(key));
	memcpy(words, bytes, sizeof(words));
	for (size_t i = 0; i < sw_count(vectors); i++) {
		hash = sw_siphash_24(key, words, (__u32)(vectors[i].bytes / 8));
		assert_memory_equal(&hash, vectors[i].hash, sizeof(hash));
	}
}

static void depends_on_every_bit(void **state)
{
	__u64 key[2] = {1, 2}, words[5] = {}, whole = sw_siphash_24(key, words, 5);

	(void)state;
	for (int bit = 0; bit < 5 * 64; bit++) {
		words[bit / 64] ^= 1ull << bit % 64;
		assert_int_not_equal(sw_siphash_24(key, words, 5), whole);
		words[bit / 64] ^= 1ull << bit % 64;
	}
	for (int bit = 0; bit < 128; bit++) {
		key[bit / 64] ^= 1ull << bit % 64;
		assert_int_not_equal(sw_siphash_24(key, words, 5), whole);
		key[bit / 64] ^= 1ull << bit % 64;
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(agrees_with_vectors),
		cmocka_unit_test(depends_on_every_bit),
	};

	return cmocka_run_group_tests_name("siphash", tests, NULL, NULL);
}
