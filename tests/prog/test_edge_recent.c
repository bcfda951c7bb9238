/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What the edge remembers so as not to look it up again: what was decided about a source, what a policy's lists of
 * sources surely do not hold. Nothing of it may outlive what it rests on.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include <bpf/bpf.h>
#include <netinet/tcp.h>

#include "bpf/edge_match.h"
#include "daemon/base.h"
#include "daemon/load_edge.h"
#include "tests/prog/edge_fixture.h"

static const struct ex_segment syn = {.from = "192.0.2.1", .flags = TH_SYN};

/* Twice: the second time it is remembered. */
static void expect(struct ex_segment segment, uint32_t verdict)
{
	assert_int_equal(ex_send(segment, NULL), verdict);
	assert_int_equal(ex_send(segment, NULL), verdict);
}

static void each_is_counted(void **state)
{
	uint16_t drop;

	(void)state;
	drop = ex_simple(25, SW_ACTION_DROP, 0);
	for (int i = 0; i < 100; i++)
		assert_int_equal(ex_send(syn, NULL), XDP_DROP);
	assert_int_equal(ex_counter(SW_COUNT_EDGE_CONNECT), 100);
	assert_int_equal(ex_counter(SW_COUNT_EDGE_REFUSED), 100);
	assert_int_equal(ex_counter(SW_COUNT_EDGE_DROPPED), 100);
	assert_int_equal(ex_hits(0, drop), 100);
	assert_int_equal(ex_counter(SW_COUNT_EVENTS) + ex_counter(SW_COUNT_SUPPRESSED), 100);
}

static void another_policy_is_asked_anew(void **state)
{
	(void)state;
	ex_simple(25, SW_ACTION_DROP, 0);
	expect(syn, XDP_DROP);
	ex_begin(1);
	ex_row(ex_rule(SW_ACTION_ALLOW, 0), (struct ex_row){.port = 25});
	ex_apply();
	expect(syn, XDP_PASS);
	ex_simple(25, SW_ACTION_DROP, 0);
	expect(syn, XDP_DROP);
}

static void another_port_and_source_have_their_own_rules(void **state)
{
	struct ex_segment other = syn;
	uint16_t allow, drop;

	(void)state;
	ex_begin(0);
	allow = ex_rule(SW_ACTION_ALLOW, 0);
	drop = ex_rule(SW_ACTION_DROP, 0);
	ex_row(allow, (struct ex_row){.port = 25, .from = "192.0.2.1/32"});
	ex_row(drop, (struct ex_row){.port = 25});
	ex_row(drop, (struct ex_row){.port = 465});
	ex_apply();
	expect(syn, XDP_PASS);
	other.dst_port = 465;
	expect(other, XDP_DROP);
	expect(syn, XDP_PASS);
	for (unsigned int i = 2; i < 255; i++) {
		char from[32];

		snprintf(from, sizeof(from), "192.0.2.%u", i);
		other = syn;
		other.from = from;
		expect(other, XDP_DROP);
		assert_int_equal(ex_send(syn, NULL), XDP_PASS);
	}
}

static void destinations_that_a_rule_asks_about_count(void **state)
{
	struct ex_segment other = syn;

	(void)state;
	ex_begin(0);
	ex_row(ex_rule(SW_ACTION_ALLOW, 0),
	       (struct ex_row){.port = 25, .prefix = "198.51.100.1/32"});
	ex_row(ex_rule(SW_ACTION_DROP, 0), (struct ex_row){.port = 25});
	ex_apply();
	other.to = "198.51.100.2";
	expect(syn, XDP_PASS);
	expect(other, XDP_DROP);
	expect(syn, XDP_PASS);
}

static void addresses_that_become_local_count_at_once(void **state)
{
	(void)state;
	ex_begin(0);
	ex_row(ex_rule(SW_ACTION_ALLOW, 0), (struct ex_row){.port = 25, .to_local = true});
	ex_row(ex_rule(SW_ACTION_DROP, 0), (struct ex_row){.port = 25});
	ex_apply();
	expect(syn, XDP_DROP);
	ex_local("198.51.100.1");
	expect(syn, XDP_PASS);
}

static void an_interface_that_is_lost_counts_at_once(void **state)
{
	(void)state;
	ex_simple(25, SW_ACTION_ALLOW, 0);
	expect(syn, XDP_PASS);
	ex_unknown_interface();
	assert_int_not_equal(ex_send(syn, NULL), XDP_PASS);
}

/* ---- lists of sources ---- */

static uint64_t list_policy(void)
{
	ex_begin(0);
	ex_row(ex_rule(SW_ACTION_DROP, 0), (struct ex_row){.port = 25, .from = "192.0.2.0/28"});
	ex_row(ex_rule(SW_ACTION_ALLOW, 0), (struct ex_row){.port = 25});
	return ex_apply();
}

static void put_listed(uint64_t generation, const struct sw_prefix_key *prefix)
{
	const uint32_t class = 0;
	struct sw_edge_prefixes prefixes = {prefix, &class, prefix != NULL};

	assert_int_equal(sw_edge_put_listed(ex_map("edge_listed"), ex_map("edge_leaves"), 0,
					    generation, &prefixes),
			 0);
}

static void what_is_in_no_list_is_not_looked_for(void **state)
{
	struct sw_prefix_key prefix = {.bits = 124 | SW_PREFIX_FROM};

	(void)state;
	ex_mapped("192.0.2.0", prefix.addr);
	put_listed(list_policy(), NULL);
	expect(syn, XDP_PASS);
	put_listed(list_policy(), &prefix);
	expect(syn, XDP_DROP);
}

static void a_list_of_another_policy_says_nothing(void **state)
{
	(void)state;
	put_listed(list_policy() - 1, NULL);
	expect(syn, XDP_DROP);
}

static void every_net_of_a_prefix_is_listed(void **state)
{
	static const struct {
		const char *addr;
		uint32_t bits, first, last; /* nets of 24 bits */
	} rows[] = {
		{"192.0.2.77", 32, 0xc00002, 0xc00002},
		{"192.0.2.0", 24, 0xc00002, 0xc00002},
		{"192.0.0.0", 22, 0xc00000, 0xc00003},
		{"10.0.0.0", 8, 0x0a0000, 0x0affff},
		{"0.0.0.0", 0, 0, 0xffffff},
		{"255.255.255.255", 32, 0xffffff, 0xffffff},
	};

	(void)state;
	for (size_t i = 0; i < sw_count(rows); i++) {
		struct sw_edge_listed *listed sw_autofree = calloc(1, sizeof(*listed));
		struct sw_prefix_key key = {.bits = (96 + rows[i].bits) | SW_PREFIX_FROM};

		assert_non_null(listed);
		ex_mapped(rows[i].addr, key.addr);
		sw_edge_list(listed, &(struct sw_edge_prefixes){&key, NULL, 1});
		assert_int_equal(listed->n_leaves,
				 rows[i].bits < 2 ? 0 : rows[i].last - rows[i].first + 1);
		for (uint32_t net = 0; net < 1u << 24; net++)
			if (sw_edge_may_be_listed(listed, net << 8) !=
			    (net >= rows[i].first && net <= rows[i].last))
				fail_msg("%s/%u: net %06x", rows[i].addr, rows[i].bits, net);
	}
}

static void other_prefixes_are_not_listed(void **state)
{
	static const struct sw_edge_listed none;
	struct sw_edge_listed *listed sw_autofree = calloc(1, sizeof(*listed));
	struct sw_prefix_key key = {.bits = 120};

	(void)state;
	assert_non_null(listed);
	ex_mapped("192.0.2.0", key.addr);
	sw_edge_list(listed, &(struct sw_edge_prefixes){&key, NULL, 1}); /* of destinations */
	key.bits = 32 | SW_PREFIX_FROM;
	ex_mapped("2001:db8::", key.addr);
	sw_edge_list(listed, &(struct sw_edge_prefixes){&key, NULL, 1});
	assert_memory_equal(listed, &none, sizeof(none));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(each_is_counted, ex_reset),
		cmocka_unit_test_setup(another_policy_is_asked_anew, ex_reset),
		cmocka_unit_test_setup(another_port_and_source_have_their_own_rules, ex_reset),
		cmocka_unit_test_setup(destinations_that_a_rule_asks_about_count, ex_reset),
		cmocka_unit_test_setup(addresses_that_become_local_count_at_once, ex_reset),
		cmocka_unit_test_setup(an_interface_that_is_lost_counts_at_once, ex_reset),
		cmocka_unit_test_setup(what_is_in_no_list_is_not_looked_for, ex_reset),
		cmocka_unit_test_setup(a_list_of_another_policy_says_nothing, ex_reset),
		cmocka_unit_test_setup(every_net_of_a_prefix_is_listed, ex_reset),
		cmocka_unit_test_setup(other_prefixes_are_not_listed, ex_reset),
	};

	if (!ex_usable())
		return 0;
	return cmocka_run_group_tests_name("edge_recent", tests, ex_up, ex_down);
}
