/* SPDX-License-Identifier: GPL-2.0-or-later */
/* bpf/edge_hash.h: places are spread as by chance, whatever the flows have in common; nothing of one pair of flows
   that share a set is true of another. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "daemon/base.h"

#include "bpf/edge_hash.h"

#define SETS (1u << 14)

/* xorshift64*: the same in each run. */
static uint64_t next(void)
{
	static uint64_t state = 88172645463325252u;

	state ^= state >> 12;
	state ^= state << 25;
	state ^= state >> 27;
	return state * 2685821657736338717u;
}

static struct sw_edge_secret make_secret(void)
{
	struct sw_edge_secret secret = {};

	for (size_t i = 0; i < sw_count(secret.flows); i++)
		secret.flows[i] = next();
	for (size_t i = 0; i < sw_count(secret.sources); i++)
		secret.sources[i] = next();
	return secret;
}

/* A flow over IPv4, addresses and port by number. */
struct flow {
	__u64 words[5];
};

static struct flow flow4(uint32_t src, uint32_t dst, uint16_t src_port)
{
	struct flow flow = {{0, (__u64)__builtin_bswap32(src) << 32 | SW_EDGE_MAPPED, 0,
			     (__u64)__builtin_bswap32(dst) << 32 | SW_EDGE_MAPPED,
			     (__u64)7 << 32 | 587u << 16 | src_port}};

	return flow;
}

static uint32_t set_of(const struct sw_edge_secret *secret, const struct flow *flow)
{
	return sw_edge_flow_place(sw_edge_flow_hash(secret, flow->words), SETS) / SW_EDGE_WAYS;
}

static void depends_on_every_bit(void **state)
{
	struct sw_edge_secret secret = make_secret();
	struct flow four = flow4(0xc0000201, 0xc6336401, 40000), six = {{1, 2, 3, 4, 5}};
	__u64 whole = sw_edge_flow_hash(&secret, six.words), addr[2] = {1, 2};
	uint32_t same = 0, set = sw_edge_source_set(&secret, addr, 3);

	(void)state;
	for (int bit = 0; bit < 5 * 64; bit++) {
		six.words[bit / 64] ^= 1ull << bit % 64;
		assert_int_not_equal(sw_edge_flow_hash(&secret, six.words), whole);
		six.words[bit / 64] ^= 1ull << bit % 64;
	}
	whole = sw_edge_flow_hash(&secret, four.words);
	for (int bit = 0; bit < 5 * 64; bit++) {
		four.words[bit / 64] ^= 1ull << bit % 64;
		assert_int_not_equal(sw_edge_flow_hash(&secret, four.words), whole);
		four.words[bit / 64] ^= 1ull << bit % 64;
	}
	for (int bit = 0; bit < 128; bit++) {
		addr[bit / 64] ^= 1ull << bit % 64;
		same += sw_edge_source_set(&secret, addr, 3) == set;
		addr[bit / 64] ^= 1ull << bit % 64;
	}
	for (int bit = 0; bit < 32; bit++)
		same += sw_edge_source_set(&secret, addr, 3 ^ 1u << bit) == set;
	assert_true(same <= 2); /* of 4,096 sets */
}

static void depends_on_every_key(void **state)
{
	struct sw_edge_secret secret = make_secret();
	struct flow six = {{1, 2, 3, 4, 5}};
	__u64 whole = sw_edge_flow_hash(&secret, six.words);

	(void)state;
	for (size_t i = 0; i < sw_count(secret.flows); i++) {
		secret.flows[i] ^= 1;
		assert_int_not_equal(sw_edge_flow_hash(&secret, six.words), whole);
		secret.flows[i] ^= 1;
	}
}

static void places_are_within_the_table(void **state)
{
	static const uint32_t sets[] = {16, 17, 1000, 1u << 18, (1u << 26) / SW_EDGE_WAYS};

	(void)state;
	for (size_t i = 0; i < sw_count(sets); i++) {
		for (int n = 0; n < 10000; n++) {
			__u64 hash = n == 0 ? ~0ull : n == 1 ? 0 : next();
			uint32_t at = sw_edge_flow_place(hash, sets[i]);

			assert_true(at < sets[i] * SW_EDGE_WAYS);
			assert_true((at ^ (SW_EDGE_WAYS - 1)) / SW_EDGE_WAYS == at / SW_EDGE_WAYS);
			assert_true(sw_edge_flow_gate(hash, sets[i]) < sets[i]);
		}
	}
}

/* As many pairs of flows in one set as by chance, n * (n - 1) / 2 / SETS, and a little. */
static void expect_chance(const struct flow *flows, uint32_t n)
{
	struct sw_edge_secret secret = make_secret();
	uint32_t *counts = calloc(SETS, sizeof(*counts));
	double pairs = 0, expected = (double)n * (n - 1) / 2 / SETS;

	assert_non_null(counts);
	for (uint32_t i = 0; i < n; i++)
		pairs += counts[set_of(&secret, &flows[i])]++;
	free(counts);
	if (pairs > expected * 1.15)
		fail_msg("%.0f pairs of %u flows share a set, %.0f by chance", pairs, n, expected);
}

#define N 32768
static void flows_that_are_near_are_spread(void **state)
{
	struct flow *flows = calloc(N, sizeof(*flows));

	(void)state;
	assert_non_null(flows);
	for (int round = 0; round < 8; round++) {
		for (uint32_t i = 0; i < N; i++)
			flows[i] = flow4(0x0a000000 + i, 0xc6336401, 40000);
		expect_chance(flows, N);
		for (uint32_t i = 0; i < N; i++)
			flows[i] = flow4(0x0a000001, 0xc6336401 + (i << 8), 40000);
		expect_chance(flows, N);
		for (uint32_t i = 0; i < N; i++)
			flows[i] = flow4(0x0a000001 + (i >> 10), 0xc6336401, (uint16_t)(i & 1023));
		expect_chance(flows, N);
		for (uint32_t i = 0; i < N; i++)
			flows[i] = (struct flow){{0x20010db8, i, 0x20010db8, 1, 5}};
		expect_chance(flows, N);
	}
	free(flows);
}

/* Two ports of one set share a set to another server no more often than others. Of a hash that is linear in the port
   all of them would. */
static void a_shared_set_says_nothing_of_others(void **state)
{
	struct sw_edge_secret secret = make_secret();
	static uint32_t first[SETS];
	uint32_t pairs = 0, again = 0;

	(void)state;
	for (uint32_t port = 1; port < 65536; port++) {
		struct flow flow = flow4(0x0a000001, 0xc6336401, (uint16_t)port), a, b;
		uint32_t set = set_of(&secret, &flow);

		if (!first[set]) {
			first[set] = port;
			continue;
		}
		pairs++;
		for (uint32_t other = 2; other < 10; other++) {
			a = flow4(0x0a000001, 0xc6336400 + other, (uint16_t)first[set]);
			b = flow4(0x0a000001, 0xc6336400 + other, (uint16_t)port);
			again += set_of(&secret, &a) == set_of(&secret, &b);
		}
	}
	assert_true(pairs > 40000);
	assert_true(again < 1000); /* of 400,000; 24 by chance */
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(depends_on_every_bit),
		cmocka_unit_test(depends_on_every_key),
		cmocka_unit_test(places_are_within_the_table),
		cmocka_unit_test(flows_that_are_near_are_spread),
		cmocka_unit_test(a_shared_set_says_nothing_of_others),
	};

	return cmocka_run_group_tests_name("edge_hash", tests, NULL, NULL);
}
