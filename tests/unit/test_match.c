/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The core that the kernel runs: vectors, the order of look-ups, what is undecided, verdicts. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "bpf/abi.h"
#include "bpf/match.h"
#include "daemon/base.h"

/* ---- vectors ---- */

static void set(struct sw_vec *rows, unsigned int row)
{
	rows->w[row / 64] |= 1ull << row % 64;
}

static void test_first_and_has(void **state)
{
	struct sw_vec rows = {{0}};

	(void)state;
	assert_int_equal(sw_vec_first(&rows), SW_ROW_NONE);
	/* From behind, so that each new row is the first. */
	for (unsigned int row = SW_ROWS_MAX; row-- > 0;) {
		assert_false(sw_vec_has(&rows, row));
		set(&rows, row);
		assert_true(sw_vec_has(&rows, row));
		assert_int_equal(sw_vec_first(&rows), row);
	}
	for (unsigned int row = 0; row < SW_ROWS_MAX; row++) {
		struct sw_vec one = {{0}};

		set(&one, row);
		assert_int_equal(sw_vec_first(&one), row);
		set(&one, SW_ROWS_MAX - 1);
		assert_int_equal(sw_vec_first(&one), row);
	}
}

static void test_lowest_bit(void **state)
{
	(void)state;
	for (unsigned int bit = 0; bit < 64; bit++) {
		assert_int_equal(sw_lowest_bit(1ull << bit), bit);
		assert_int_equal(sw_lowest_bit(~0ull << bit), bit);
		assert_int_equal(sw_lowest_bit(1ull << bit | 1ull << 63), bit);
	}
}

static void test_or_and(void **state)
{
	struct sw_vec rows = {{0}}, any = {{0}}, found = {{0}};

	(void)state;
	set(&rows, 1);
	set(&rows, 200);
	set(&rows, 511);
	set(&any, 200);
	set(&found, 511);
	struct sw_vec with = rows, without = rows;

	sw_vec_and_either(&with, &any, &found);
	assert_int_equal(sw_vec_first(&with), 200);
	assert_true(sw_vec_has(&with, 511) && !sw_vec_has(&with, 1));
	sw_vec_and_either(&without, &any, NULL);
	assert_true(sw_vec_has(&without, 200) && !sw_vec_has(&without, 511));
	sw_vec_or(&without, NULL);
	sw_vec_or(&without, &found);
	assert_true(sw_vec_has(&without, 200) && sw_vec_has(&without, 511));
}

/* ---- a policy of rows ---- */

/* A row per rule unless `rule` says otherwise; `asks` has a bit per dimension. */
struct row {
	unsigned int asks, rule;
};

#define ASKS(dim) (1u << SW_DIM_##dim)

static struct sw_policy *policy_of(const struct row *rows, unsigned int n, struct sw_vec *port)
{
	struct sw_policy *policy = calloc(1, sizeof(*policy));

	assert_non_null(policy);
	memset(port, 0, sizeof(*port));
	for (unsigned int row = 0; row < n; row++) {
		set(port, row);
		policy->row_rule[row] = (__u16)rows[row].rule;
		for (unsigned int dim = SW_DIM_USER; dim < SW_DIM_MAX; dim++)
			if (!(rows[row].asks & 1u << dim))
				set(&policy->any[dim], row);
	}
	policy->n_rows = n;
	return policy;
}

static void test_asks_only_what_the_first_rows_need(void **state)
{
	static const struct row rows[] = {
		{ASKS(DST), 0},
		{ASKS(USER) | ASKS(EXE), 1},
		{ASKS(UNIT), 2},
		{0, 3},
	};
	struct sw_vec port, found = {{0}};
	sw_autofree struct sw_policy *policy = policy_of(rows, sw_count(rows), &port);
	struct sw_match match;

	(void)state;
	/* A destination of the first rule: nothing about the caller is asked. */
	set(&found, 0);
	sw_match_begin(&match, &port);
	assert_int_equal(sw_match_next(&match, policy), SW_DIM_DST);
	sw_match_give(&match, policy, SW_DIM_DST, &found, NULL, 1);
	assert_int_equal(sw_match_next(&match, policy), SW_DIM_MAX);
	assert_int_equal(sw_match_rule(&match, policy), 0);
	assert_true(match.certain);

	/* Another one: the user is cheaper than the program, and rules the row out. */
	sw_match_begin(&match, &port);
	assert_int_equal(sw_match_next(&match, policy), SW_DIM_DST);
	sw_match_give(&match, policy, SW_DIM_DST, NULL, NULL, 1);
	assert_int_equal(sw_match_next(&match, policy), SW_DIM_USER);
	sw_match_give(&match, policy, SW_DIM_USER, NULL, NULL, 1);
	assert_int_equal(sw_match_next(&match, policy), SW_DIM_UNIT);
	sw_match_give(&match, policy, SW_DIM_UNIT, NULL, NULL, 1);
	assert_int_equal(sw_match_next(&match, policy), SW_DIM_MAX);
	assert_int_equal(sw_match_rule(&match, policy), 3);
	assert_true(match.certain);
}

static void test_second_set_of_rows(void **state)
{
	static const struct row rows[] = {{ASKS(DST), 0}, {0, 1}};
	struct sw_vec port, local = {{0}};
	sw_autofree struct sw_policy *policy = policy_of(rows, sw_count(rows), &port);
	struct sw_match match;

	(void)state;
	set(&local, 0);
	sw_match_begin(&match, &port);
	sw_match_give(&match, policy, SW_DIM_DST, NULL, &local, 1);
	assert_int_equal(sw_match_next(&match, policy), SW_DIM_MAX);
	assert_int_equal(sw_match_rule(&match, policy), 0);
}

static void test_no_row(void **state)
{
	static const struct row rows[] = {{ASKS(EXE), 0}};
	struct sw_vec port;
	sw_autofree struct sw_policy *policy = policy_of(rows, sw_count(rows), &port);
	struct sw_match match;

	(void)state;
	sw_match_begin(&match, NULL);
	assert_int_equal(sw_match_next(&match, policy), SW_DIM_MAX);
	assert_int_equal(sw_match_rule(&match, policy), SW_RULE_NONE);
	assert_false(match.certain);

	sw_match_begin(&match, &port);
	sw_match_give(&match, policy, SW_DIM_EXE, NULL, NULL, 1);
	assert_int_equal(sw_match_next(&match, policy), SW_DIM_MAX);
	assert_int_equal(sw_match_rule(&match, policy), SW_RULE_NONE);
}

static void test_undecided_first_rule(void **state)
{
	static const struct row rows[] = {{ASKS(EXE), 4}, {0, 5}};
	struct sw_vec port, found = {{0}};
	sw_autofree struct sw_policy *policy = policy_of(rows, sw_count(rows), &port);
	struct sw_match match;

	(void)state;
	/* The end of a path that was too long names a program of the rule: that is not certain. */
	set(&found, 0);
	sw_match_begin(&match, &port);
	assert_int_equal(sw_match_next(&match, policy), SW_DIM_EXE);
	sw_match_give(&match, policy, SW_DIM_EXE, &found, &found, 0);
	assert_int_equal(sw_match_next(&match, policy), SW_DIM_MAX);
	assert_int_equal(sw_match_rule(&match, policy), 4);
	assert_false(match.certain);
}

static void test_undecided_behind_what_decides(void **state)
{
	static const struct row rows[] = {{ASKS(USER), 0}, {ASKS(EXE), 1}, {0, 2}};
	struct sw_vec port, found = {{0}};
	sw_autofree struct sw_policy *policy = policy_of(rows, sw_count(rows), &port);
	struct sw_match match;

	(void)state;
	set(&found, 0);
	sw_match_begin(&match, &port);
	sw_match_give(&match, policy, SW_DIM_EXE, NULL, NULL, 0);
	sw_match_give(&match, policy, SW_DIM_USER, &found, NULL, 1);
	assert_int_equal(sw_match_next(&match, policy), SW_DIM_MAX);
	assert_int_equal(sw_match_rule(&match, policy), 0);
	assert_true(match.certain);
}

/* Another row of the same rule may hold without what is undecided; it is asked for what it needs. */
static void test_another_row_makes_it_certain(void **state)
{
	static const struct row rows[] = {{ASKS(EXE), 7}, {ASKS(UNIT), 7}, {0, 8}};
	struct sw_vec port, found = {{0}};
	sw_autofree struct sw_policy *policy = policy_of(rows, sw_count(rows), &port);
	struct sw_match match;

	(void)state;
	set(&found, 1);
	for (int matches = 0; matches < 2; matches++) {
		sw_match_begin(&match, &port);
		assert_int_equal(sw_match_next(&match, policy), SW_DIM_EXE);
		sw_match_give(&match, policy, SW_DIM_EXE, NULL, NULL, 0);
		assert_int_equal(sw_match_next(&match, policy), SW_DIM_UNIT);
		sw_match_give(&match, policy, SW_DIM_UNIT, matches ? &found : NULL, NULL, 1);
		assert_int_equal(sw_match_next(&match, policy), SW_DIM_MAX);
		assert_int_equal(sw_match_rule(&match, policy), 7);
		assert_int_equal(match.certain, matches);
	}
}

/* Whatever is found in whatever dimension, the loop ends within one round per dimension. */
static void test_rounds(void **state)
{
	struct row rows[40];
	struct sw_vec port;
	struct sw_match match;

	(void)state;
	srand(1);
	for (int run = 0; run < 2000; run++) {
		for (unsigned int i = 0; i < sw_count(rows); i++)
			rows[i] = (struct row){(unsigned int)rand() & 0x7e, i / 3};
		sw_autofree struct sw_policy *policy = policy_of(rows, sw_count(rows), &port);
		unsigned int rounds = 0, given = 0, dim;

		sw_match_begin(&match, &port);
		while ((dim = sw_match_next(&match, policy)) != SW_DIM_MAX) {
			struct sw_vec found = {{(unsigned int)rand()}};

			assert_false(given & 1u << dim);
			given |= 1u << dim;
			sw_match_give(&match, policy, dim, rand() & 1 ? &found : NULL, NULL,
				      rand() & 3);
			assert_true(++rounds < SW_DIM_MAX);
		}
	}
}

/* ---- verdicts ---- */

static const struct {
	struct sw_rule rule;
	int certain, ipv4;
	unsigned int verdict, reason, refuse, port;
} decisions[] = {
	{{.action = SW_ACTION_ALLOW}, 1, 1, SW_VERDICT_ALLOW, SW_REASON_NONE, 0, 0},
	{{.action = SW_ACTION_AUDIT}, 1, 1, SW_VERDICT_AUDIT, SW_REASON_NONE, 0, 0},
	/* the connection is made; what it sends is the gate's */
	{{.action = SW_ACTION_TLS}, 1, 1, SW_VERDICT_ALLOW, SW_REASON_NONE, 0, 0},
	{{.action = SW_ACTION_TLS}, 0, 1, SW_VERDICT_REJECT, SW_REASON_UNIDENTIFIED, 1, 0},
	{{.action = SW_ACTION_TLS, .flags = SW_RULE_AUDIT},
	 1,
	 1,
	 SW_VERDICT_ALLOW,
	 SW_REASON_NONE,
	 0,
	 0},
	{{.action = SW_ACTION_REJECT}, 1, 1, SW_VERDICT_REJECT, SW_REASON_NOT_PERMITTED, 1, 0},
	{{.action = SW_ACTION_DROP}, 1, 1, SW_VERDICT_DROP, SW_REASON_NOT_PERMITTED, 1, 0},
	{{.action = SW_ACTION_MAX}, 1, 1, SW_VERDICT_REJECT, SW_REASON_NOT_PERMITTED, 1, 0},
	{{.action = SW_ACTION_REDIRECT, .port4 = 26, .port6 = 27},
	 1,
	 1,
	 SW_VERDICT_REDIRECT,
	 SW_REASON_NONE,
	 0,
	 26},
	{{.action = SW_ACTION_REDIRECT, .port4 = 26, .port6 = 27},
	 1,
	 0,
	 SW_VERDICT_REDIRECT,
	 SW_REASON_NONE,
	 0,
	 27},
	{{.action = SW_ACTION_REDIRECT, .port6 = 27},
	 1,
	 1,
	 SW_VERDICT_REJECT,
	 SW_REASON_NO_TARGET,
	 1,
	 0},
	{{.action = SW_ACTION_ALLOW}, 0, 1, SW_VERDICT_REJECT, SW_REASON_UNIDENTIFIED, 1, 0},
	{{.action = SW_ACTION_DROP}, 0, 1, SW_VERDICT_REJECT, SW_REASON_UNIDENTIFIED, 1, 0},
	/* mode audit refuses nothing and sends nothing elsewhere */
	{{.action = SW_ACTION_ALLOW, .flags = SW_RULE_AUDIT},
	 1,
	 1,
	 SW_VERDICT_ALLOW,
	 SW_REASON_NONE,
	 0,
	 0},
	{{.action = SW_ACTION_REJECT, .flags = SW_RULE_AUDIT},
	 1,
	 1,
	 SW_VERDICT_AUDIT,
	 SW_REASON_NOT_PERMITTED,
	 0,
	 0},
	/* an answer: to where it is said, and still refused */
	{{.action = SW_ACTION_REJECT, .flags = SW_RULE_ANSWER, .port4 = 26, .port6 = 27},
	 1,
	 1,
	 SW_VERDICT_REJECT,
	 SW_REASON_NOT_PERMITTED,
	 0,
	 26},
	{{.action = SW_ACTION_REJECT, .flags = SW_RULE_ANSWER, .port4 = 26, .port6 = 27},
	 1,
	 0,
	 SW_VERDICT_REJECT,
	 SW_REASON_NOT_PERMITTED,
	 0,
	 27},
	{{.action = SW_ACTION_REJECT, .flags = SW_RULE_ANSWER, .port6 = 27},
	 1,
	 1,
	 SW_VERDICT_REJECT,
	 SW_REASON_NOT_PERMITTED,
	 1,
	 0},
	{{.action = SW_ACTION_REJECT, .flags = SW_RULE_ANSWER, .port4 = 26},
	 0,
	 1,
	 SW_VERDICT_REJECT,
	 SW_REASON_UNIDENTIFIED,
	 1,
	 0},
	{{.action = SW_ACTION_REJECT, .flags = SW_RULE_ANSWER | SW_RULE_AUDIT, .port4 = 26},
	 1,
	 1,
	 SW_VERDICT_AUDIT,
	 SW_REASON_NOT_PERMITTED,
	 0,
	 0},
	/* without the flag, and for other actions, a target says nothing */
	{{.action = SW_ACTION_REJECT, .port4 = 26},
	 1,
	 1,
	 SW_VERDICT_REJECT,
	 SW_REASON_NOT_PERMITTED,
	 1,
	 0},
	{{.action = SW_ACTION_DROP, .flags = SW_RULE_ANSWER, .port4 = 26},
	 1,
	 1,
	 SW_VERDICT_DROP,
	 SW_REASON_NOT_PERMITTED,
	 1,
	 0},
	{{.action = 200, .flags = SW_RULE_ANSWER, .port4 = 26},
	 1,
	 1,
	 SW_VERDICT_REJECT,
	 SW_REASON_NOT_PERMITTED,
	 1,
	 0},
	{{.action = SW_ACTION_REDIRECT, .flags = SW_RULE_AUDIT, .port4 = 26},
	 1,
	 1,
	 SW_VERDICT_AUDIT,
	 SW_REASON_NONE,
	 0,
	 0},
	{{.action = SW_ACTION_REDIRECT, .flags = SW_RULE_AUDIT},
	 1,
	 1,
	 SW_VERDICT_AUDIT,
	 SW_REASON_NO_TARGET,
	 0,
	 0},
	{{.action = SW_ACTION_ALLOW, .flags = SW_RULE_AUDIT},
	 0,
	 1,
	 SW_VERDICT_AUDIT,
	 SW_REASON_UNIDENTIFIED,
	 0,
	 0},
};

static void test_decide(void **state)
{
	(void)state;
	for (size_t i = 0; i < sw_count(decisions); i++) {
		struct sw_decision decision;

		memset(&decision, 0xff, sizeof(decision));
		sw_decide(&decisions[i].rule, decisions[i].certain, decisions[i].ipv4, &decision);
		assert_int_equal(decision.verdict, decisions[i].verdict);
		assert_int_equal(decision.reason, decisions[i].reason);
		assert_int_equal(decision.refuse, decisions[i].refuse);
		assert_int_equal(decision.port, decisions[i].port);
		assert_int_equal(decision.ipv4, decisions[i].ipv4);
	}
}

static void test_decide_without_a_rule(void **state)
{
	struct sw_decision decision;

	(void)state;
	sw_decide(NULL, 1, 1, &decision);
	assert_int_equal(decision.verdict, SW_VERDICT_REJECT);
	assert_int_equal(decision.reason, SW_REASON_NOT_PERMITTED);
	assert_true(decision.refuse);
}

/* ---- ports and addresses ---- */

static void test_guarded(void **state)
{
	sw_autofree struct sw_policy *policy = calloc(1, sizeof(*policy));

	(void)state;
	assert_non_null(policy);
	policy->guard[0] = 1ull << 25;
	policy->guard[1023] = 1ull << 63;
	for (unsigned int port = 0; port < 65536; port++)
		assert_int_equal(sw_guarded(policy, (__u16)port), port == 25 || port == 65535);
}

static void test_is_ipv4(void **state)
{
	(void)state;
	for (int byte = 0; byte < 12; byte++) {
		__u8 addr[16] = {[10] = 0xff, 0xff, 192, 0, 2, 1};

		assert_true(sw_addr_is_ipv4(addr));
		addr[byte] ^= 0x10;
		assert_false(sw_addr_is_ipv4(addr));
	}
}

static void test_prefix_cut(void **state)
{
	(void)state;
	for (unsigned int bits = 0; bits <= 128; bits++) {
		struct sw_prefix_key key;

		memset(&key, 0xff, sizeof(key));
		sw_prefix_cut(&key, bits);
		assert_int_equal(key.bits, bits);
		for (unsigned int bit = 0; bit < 128; bit++)
			assert_int_equal(key.addr[bit / 8] >> (7 - bit % 8) & 1, bit < bits);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_first_and_has),
		cmocka_unit_test(test_lowest_bit),
		cmocka_unit_test(test_or_and),
		cmocka_unit_test(test_asks_only_what_the_first_rows_need),
		cmocka_unit_test(test_second_set_of_rows),
		cmocka_unit_test(test_no_row),
		cmocka_unit_test(test_undecided_first_rule),
		cmocka_unit_test(test_undecided_behind_what_decides),
		cmocka_unit_test(test_another_row_makes_it_certain),
		cmocka_unit_test(test_rounds),
		cmocka_unit_test(test_decide),
		cmocka_unit_test(test_decide_without_a_rule),
		cmocka_unit_test(test_guarded),
		cmocka_unit_test(test_is_ipv4),
		cmocka_unit_test(test_prefix_cut),
	};

	return cmocka_run_group_tests_name("match", tests, NULL, NULL);
}
