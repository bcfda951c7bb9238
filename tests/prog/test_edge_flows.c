/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The flow table of the edge: beginnings, ends, decoys, and what happens when it is full. */
#include <errno.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>

#include <netinet/tcp.h>

#include <bpf/bpf.h>

#include "daemon/base.h"
#include "tests/prog/edge_talk.h"
#include "tests/prog/talk.h"

#define FLOWS 1000 /* entries of the table */
#define MANY 5000  /* connections */
#define AUTH "AUTH PLAIN AGpvZQBzZWNyZXQ=\r\n"
#define DATA (TH_ACK | TH_PUSH)

static const struct et usual = {.client = 1000, .server = 9000};

static struct et in_tls(struct et et)
{
	et = et_open(et);
	et_come_to_tls(&et);
	et_expect_state(&et, SW_EDGE_TLS);
	return et;
}

static void need_tls(void)
{
	ex_simple(ET_PORT, SW_ACTION_TLS, 0);
}

static void check_counts(uint64_t opened, uint64_t ended)
{
	assert_int_equal(ex_counter(SW_COUNT_EDGE_OPENED), opened);
	assert_int_equal(ex_counter(SW_COUNT_EDGE_ENDED), ended);
}

/* ---- beginnings ---- */

static void syn_with_data(void **state)
{
	struct et et = usual;

	(void)state;
	need_tls();
	assert_int_equal(et_send_at(&et, 0, TH_SYN, AUTH, strlen(AUTH)), XDP_DROP);
	assert_int_equal(ex_counter(SW_COUNT_EDGE_HELD), 1);
	assert_int_equal(ex_flows(NULL, 0), 0);
	et = et_open(et);
	et_greet(&et);
}

static void no_data_before_the_answer(void **state)
{
	struct et et = usual;

	(void)state;
	need_tls();
	assert_int_equal(et_syn(&et), XDP_PASS);
	assert_int_equal(et_send(&et, "NOOP\r\n", 6), XDP_DROP);
	assert_int_equal(et_serve(&et, "220 hi\r\n", 8), TC_ACT_SHOT);
	et_expect_state(&et, SW_EDGE_SYN);
	assert_int_equal(et_syn_answer(&et), ET_PASS);
	et_say(&et, "NOOP\r\n");
}

static void same_syn_again(void **state)
{
	struct et et = usual, again = usual;

	(void)state;
	need_tls();
	assert_int_equal(et_syn(&et), XDP_PASS);
	assert_int_equal(et_syn(&again), XDP_PASS);
	assert_int_equal(et_syn_answer(&et), ET_PASS);
	again = usual;
	assert_int_equal(et_syn(&again), XDP_PASS);
	et_expect_state(&et, SW_EDGE_OPEN);
	check_counts(1, 0);
	et_greet(&et);
}

/* An answer to another SYN, or none: the connection is not open. */
static void wrong_answers(void **state)
{
	struct et et = usual;

	(void)state;
	need_tls();
	assert_int_equal(et_syn(&et), XDP_PASS);
	et.client += 7;
	assert_int_equal(et_serve_at(&et, 0, TH_SYN | TH_ACK, NULL, 0), ET_PASS);
	et_expect_state(&et, SW_EDGE_SYN);
	et.client -= 7;
	assert_int_equal(et_serve_at(&et, 0, TH_ACK, NULL, 0), ET_PASS);
	assert_int_equal(et_serve_at(&et, 0, TH_SYN, NULL, 0), ET_PASS);
	et_expect_state(&et, SW_EDGE_SYN);
	assert_int_equal(et_serve_at(&et, 0, TH_SYN | TH_ACK, "220 hi\r\n", 8), TC_ACT_SHOT);
	et_expect_state(&et, SW_EDGE_SYN);
}

/* While nothing was said, the last answer counts; a forged one that came first does no harm. */
static void last_answer_counts(void **state)
{
	struct et et = usual, forged;

	(void)state;
	need_tls();
	assert_int_equal(et_syn(&et), XDP_PASS);
	forged = et;
	forged.server = 77;
	assert_int_equal(et_syn_answer(&forged), ET_PASS);
	assert_int_equal(et_syn_answer(&et), ET_PASS);
	et_come_to_tls(&et);
	et_expect_state(&et, SW_EDGE_TLS);
}

/* ---- the same ports again ---- */

/* Behind a connection in TLS one in clear gets nowhere, whatever its sequence number is. */
static void ports_again(void **state)
{
	static const uint32_t starts[] = {1000, 1001, 0, 0x80000000};

	(void)state;
	for (size_t i = 0; i < sw_count(starts); i++) {
		struct et et;

		ex_reset(NULL);
		need_tls();
		et = in_tls(usual);
		if (i & 1)
			assert_int_equal(et_send_at(&et, 0, TH_FIN | TH_ACK, NULL, 0), XDP_PASS);
		et = et_open((struct et){.client = starts[i], .server = 5});
		check_counts(2, 1);
		et_greet(&et);
		assert_int_equal(et_send(&et, AUTH, strlen(AUTH)), XDP_TX);
		et_expect_state(&et, SW_EDGE_CONDEMNED);
		et = in_tls((struct et){.client = 12345, .server = 5});
		check_counts(3, 2);
	}
}

/* SYNs that the server never sees: until it answers one, no byte passes. */
static void decoys(void **state)
{
	static const uint32_t starts[] = {1000, 2000, 999};

	(void)state;
	for (size_t i = 0; i < sw_count(starts); i++) {
		struct et et, decoy = {.client = starts[i], .server = 1};

		ex_reset(NULL);
		need_tls();
		et = et_open(usual);
		et_greet(&et);
		assert_int_equal(et_syn(&decoy), XDP_PASS);
		et_expect_state(&et, SW_EDGE_SYN);
		assert_int_not_equal(et_send(&et, "NOOP\r\n", 6), XDP_PASS);
		assert_int_not_equal(et_send(&et, AUTH, strlen(AUTH)), XDP_PASS);
		/* The server acknowledges what it knows: no answer to the decoy. */
		assert_int_equal(et_serve_at(&et, 0, TH_ACK, NULL, 0), ET_PASS);
		assert_int_not_equal(et_send(&decoy, "NOOP\r\n", 6), XDP_PASS);
		et_expect_state(&et, SW_EDGE_SYN);
	}
}

static void odd_flags(void **state)
{
	struct et et;

	(void)state;
	need_tls();
	et = et_open(usual);
	assert_int_equal(et_send_at(&et, 0, TH_SYN | TH_ACK, NULL, 0), XDP_DROP);
	assert_int_equal(et_send_at(&et, 0, TH_SYN | TH_FIN, NULL, 0), XDP_DROP);
	assert_int_equal(et_send_at(&et, -50, TH_SYN | TH_ACK, AUTH, 4), XDP_DROP);
	et_expect_state(&et, SW_EDGE_OPEN);
	et_come_to_tls(&et);
	assert_int_equal(et_send_at(&et, 0, TH_SYN | TH_ACK, NULL, 0), XDP_DROP);
	et_expect_state(&et, SW_EDGE_TLS);
}

/* ---- unknown ---- */

static uint64_t boot_ns(void)
{
	struct timespec now;

	clock_gettime(CLOCK_BOOTTIME, &now);
	return (uint64_t)now.tv_sec * 1000000000 + (uint64_t)now.tv_nsec;
}

static void keep_until(uint64_t ns)
{
	uint16_t rule;

	ex_begin(0);
	rule = ex_rule(SW_ACTION_TLS, 0);
	ex_row(rule, (struct ex_row){.port = ET_PORT});
	ex_keep(ns);
	ex_apply();
}

static void unknown_is_refused(void **state)
{
	static const uint8_t flags[] = {TH_ACK, DATA, TH_SYN | TH_ACK, TH_FIN | TH_ACK, TH_PUSH, 0};

	(void)state;
	keep_until(boot_ns() - 1);
	for (size_t i = 0; i < sizeof(flags); i++)
		assert_int_equal(et_send_at(&usual, 0, flags[i], NULL, 0), XDP_TX);
	assert_int_equal(et_send_at(&usual, 0, DATA, AUTH, strlen(AUTH)), XDP_TX);
	assert_int_equal(ex_counter(SW_COUNT_EDGE_UNKNOWN), sizeof(flags) + 1);
	assert_true(ex_events());
	assert_int_equal(ex_event(0)->reason, SW_REASON_UNATTRIBUTED);
	assert_int_equal(ex_event(0)->verdict, SW_VERDICT_RESET);
	/* A RST tells the server that the connection is over. */
	assert_int_equal(et_send_at(&usual, 0, TH_RST, NULL, 0), XDP_PASS);
	assert_int_equal(et_serve_at(&usual, 0, DATA, "250 x\r\n", 7), ET_PASS);
	assert_int_equal(ex_flows(NULL, 0), 0);
}

static void unknown_is_kept(void **state)
{
	struct et et;

	(void)state;
	keep_until(boot_ns() + 3600ull * 1000000000);
	assert_int_equal(et_send_at(&usual, 0, DATA, AUTH, strlen(AUTH)), XDP_PASS);
	assert_int_equal(ex_counter(SW_COUNT_EDGE_EXISTING), 1);
	assert_int_equal(ex_counter(SW_COUNT_EDGE_UNKNOWN), 0);
	/* What begins now is no older connection. */
	et = et_open(usual);
	et_greet(&et);
	assert_int_equal(et_send(&et, AUTH, strlen(AUTH)), XDP_TX);
	assert_int_equal(et_send(&et, AUTH, strlen(AUTH)), XDP_TX);
}

static void unknown_is_recorded_once(void **state)
{
	(void)state;
	ex_simple(ET_PORT, SW_ACTION_TLS, SW_RULE_AUDIT);
	for (int i = 0; i < 3; i++)
		assert_int_equal(et_send_at(&usual, i, DATA, "x", 1), XDP_PASS);
	assert_int_equal(ex_one_event()->reason, SW_REASON_UNATTRIBUTED);
	assert_int_equal(ex_event(0)->verdict, SW_VERDICT_AUDIT);
	assert_int_equal(ex_counter(SW_COUNT_EDGE_AUDITED), 1);
	et_expect_state(&usual, SW_EDGE_UNREAD);
}

/* ---- which flow ---- */

static uint32_t place_of(const struct et *et, struct sw_edge_flow *flow)
{
	struct sw_edge_flow wanted = et_flow(et);

	for (uint32_t key = 0; key < FLOWS; key++)
		if (!bpf_map_lookup_elem(ex_map("edge_flows"), &key, flow) &&
		    !memcmp(flow, &wanted, sizeof(wanted)))
			return key;
	fail_msg("no entry");
	return 0;
}

/* One bit of the key, interface and family included, is another flow. */
static void whole_key(void **state)
{
	(void)state;
	for (size_t bit = 8 * offsetof(struct sw_edge_flow, src);
	     bit < 8 * offsetof(struct sw_edge_flow, opened_s); bit++) {
		struct sw_edge_flow flow;
		uint32_t place;
		struct et et;

		if (bit == 8 * offsetof(struct sw_edge_flow, src))
			need_tls();
		et = in_tls(usual);
		place = place_of(&et, &flow);
		((uint8_t *)&flow)[bit / 8] ^= (uint8_t)(1 << bit % 8);
		assert_int_equal(bpf_map_update_elem(ex_map("edge_flows"), &place, &flow, BPF_ANY),
				 0);
		assert_int_equal(et_send_at(&et, 0, DATA, "x", 1), XDP_TX);
		memset(&flow, 0, sizeof(flow));
		assert_int_equal(bpf_map_update_elem(ex_map("edge_flows"), &place, &flow, BPF_ANY),
				 0);
	}
}

/* ---- ends ---- */

static void ends(void **state)
{
	static const uint8_t flags[] = {TH_FIN | TH_ACK, TH_RST, TH_RST | TH_ACK};

	(void)state;
	for (size_t i = 0; i < 2 * sizeof(flags); i++) {
		struct et et;

		ex_reset(NULL);
		need_tls();
		et = in_tls(usual);
		assert_int_equal(et_flow(&et).ended, 0);
		for (int again = 0; again < 2; again++) {
			if (i & 1)
				assert_int_equal(et_send_at(&et, 0, flags[i / 2], NULL, 0),
						 XDP_PASS);
			else
				assert_int_equal(et_serve_at(&et, 0, flags[i / 2], NULL, 0),
						 ET_PASS);
			assert_int_equal(et_flow(&et).ended, 1);
			check_counts(1, 1);
		}
		assert_int_equal(et_send(&et, AUTH, strlen(AUTH)), XDP_PASS);
		et_expect_state(&et, SW_EDGE_TLS);
	}
}

/* ---- no room ---- */

static struct et all[MANY];

static struct et nth(unsigned int i)
{
	return (struct et){.src_port = (uint16_t)(10000 + i), .client = i * 977, .server = i};
}

/* 5,000 connections in 1,000 entries: those that lost theirs are refused, nothing in clear passes. */
static void full_of_connections_in_clear(void **state)
{
	unsigned int refused = 0;

	(void)state;
	need_tls();
	for (unsigned int i = 0; i < MANY; i++)
		all[i] = et_open(nth(i));
	assert_int_equal(ex_counter(SW_COUNT_EDGE_OPENED), MANY);
	assert_int_equal(ex_counter(SW_COUNT_EDGE_EVICTED), MANY - ex_flows(NULL, 0));
	assert_int_equal(ex_counter(SW_COUNT_EDGE_ENDED), MANY - ex_flows(NULL, 0));
	assert_int_equal(ex_counter(SW_COUNT_EDGE_EVICTED_TLS), 0);
	for (unsigned int i = 0; i < MANY; i++) {
		uint32_t got = et_send(&all[i], AUTH, strlen(AUTH));

		assert_int_not_equal(got, XDP_PASS);
		refused += got == XDP_TX;
	}
	assert_int_equal(refused, MANY);
	assert_int_equal(ex_counter(SW_COUNT_EDGE_UNKNOWN) + ex_counter(SW_COUNT_EDGE_CONDEMNED),
			 MANY);
}

/* SYNs take entries of what is not in TLS, and only then of what is; each loss is counted. */
static void full_of_tls(void **state)
{
	unsigned int lost = 0, first = 0;
	uint64_t evicted;

	(void)state;
	need_tls();
	for (unsigned int i = 0; i < FLOWS / 2; i++)
		all[i] = in_tls(nth(i));
	first = FLOWS / 2;
	evicted = ex_counter(SW_COUNT_EDGE_EVICTED_TLS);
	for (unsigned int i = first; i < MANY; i++) {
		all[i] = nth(i);
		assert_int_equal(et_syn(&all[i]), XDP_PASS);
	}
	for (unsigned int i = 0; i < first; i++)
		lost += et_send(&all[i], "x", 1) != XDP_PASS;
	assert_int_equal(ex_counter(SW_COUNT_EDGE_EVICTED_TLS), lost);
	assert_int_equal(ex_counter(SW_COUNT_EDGE_UNKNOWN), lost);
	print_message("# %u of %u in TLS lost, %llu before the SYNs\n", lost, first,
		      (unsigned long long)evicted);
	/* Sets that TLS filled whole lose one at a time to a SYN, which the next SYN takes. */
	assert_true(lost < first / 5 && lost >= evicted);
	assert_int_equal(ex_counter(SW_COUNT_EDGE_OPENED) - ex_counter(SW_COUNT_EDGE_ENDED),
			 ex_flows(NULL, 0));
}

static void the_ended_go_first(void **state)
{
	(void)state;
	need_tls();
	for (unsigned int i = 0; i < FLOWS; i++) {
		all[i] = in_tls(nth(i));
		assert_int_equal(et_send_at(&all[i], 0, TH_FIN | TH_ACK, NULL, 0), XDP_PASS);
	}
	for (unsigned int i = FLOWS; i < 2 * FLOWS; i++) {
		all[i] = nth(i);
		assert_int_equal(et_syn(&all[i]), XDP_PASS);
		assert_int_equal(et_send_at(&all[i], 0, TH_RST, NULL, 0), XDP_PASS);
	}
	assert_int_equal(ex_counter(SW_COUNT_EDGE_EVICTED), 0);
	assert_int_equal(ex_counter(SW_COUNT_EDGE_EVICTED_TLS), 0);
	check_counts(2 * FLOWS, 2 * FLOWS);
}

/* Where connections are only recorded, packets of none make entries: those make room for each other. */
static void recorded_ones_take_no_room(void **state)
{
	unsigned int kept = 0;

	(void)state;
	ex_begin(0);
	ex_row(ex_rule(SW_ACTION_TLS, 0), (struct ex_row){.port = ET_PORT});
	ex_row(ex_rule(SW_ACTION_TLS, SW_RULE_AUDIT), (struct ex_row){.port = 2525});
	ex_apply();
	for (unsigned int i = 0; i < FLOWS / 4; i++)
		all[i] = et_open(nth(i));
	kept = FLOWS / 4 - (unsigned int)ex_counter(SW_COUNT_EDGE_EVICTED);
	for (unsigned int i = 0; i < MANY; i++) {
		struct et other = nth(i);

		other.port = 2525;
		assert_int_equal(et_send_at(&other, 0, DATA, "x", 1), XDP_PASS);
	}
	for (unsigned int i = 0; i < FLOWS / 4; i++)
		kept -= et_send(&all[i], "NOOP\r\n", 6) == XDP_PASS;
	/* But for sets that were all theirs. */
	assert_in_range(kept, 0, FLOWS / 50);
}

/* ---- in TLS, which most packets are ---- */

/* Nothing that is odd passes because its flow is in TLS. Offsets are of Ethernet and IPv4 without options. */
static void odd_packets_of_a_settled_flow(void **state)
{
	static const struct {
		size_t at;
		uint8_t byte;
		uint32_t verdict;
	} cases[] = {
		{17, 20 + 20 + 4, XDP_PASS},     /* length: as it is */
		{17, 20 + 20 + 5, XDP_DROP},     /* more than there is */
		{17, 20 + 19, XDP_DROP},         /* less than the headers */
		{46, 4 << 4, XDP_DROP},          /* TCP's header: 16 bytes */
		{46, 8 << 4, XDP_DROP},          /* beyond the packet */
		{47, TH_SYN | TH_ACK, XDP_DROP}, /* nobody's */
		{47, TH_FIN | TH_ACK, XDP_PASS},
		{36, 25 >> 8, XDP_PASS}, /* a port that no rule names */
	};
	struct et et = usual;
	struct ex_frame frame;

	(void)state;
	need_tls();
	et = in_tls(et);
	for (size_t i = 0; i < sw_count(cases); i++) {
		ex_segment(&frame, (struct ex_segment){.dst_port = ET_PORT,
						       .seq = et.client,
						       .ack = et.server,
						       .flags = DATA,
						       .payload = "abcd",
						       .n = 4});
		frame.bytes[cases[i].at] = cases[i].byte;
		if (ex_run(&frame) != cases[i].verdict)
			fail_msg("case %zu", i);
	}
	assert_int_equal(et_flow(&et).ended, 1);
	et_expect_state(&et, SW_EDGE_TLS);
}

static void set_existing_close(uint64_t generation)
{
	struct sw_head *head =
		mmap(NULL, sizeof(*head), PROT_READ | PROT_WRITE, MAP_SHARED, ex_map("head"), 0);

	assert_ptr_not_equal(head, MAP_FAILED);
	head->existing_close = generation;
	munmap(head, sizeof(*head));
}

/* What is in TLS finishes under a policy that refuses it, unless that was applied to end it. */
static void settled_flows_and_other_policies(void **state)
{
	struct et et = usual;
	uint64_t generation;

	(void)state;
	need_tls();
	et = in_tls(et);
	ex_begin(1);
	ex_row(ex_rule(SW_ACTION_DROP, 0), (struct ex_row){.port = ET_PORT});
	generation = ex_apply();
	assert_int_equal(et_send(&et, "abc", 3), XDP_PASS);
	set_existing_close(generation);
	assert_int_equal(et_send(&et, "abc", 3), XDP_DROP);
	set_existing_close(generation - 1);
	assert_int_equal(et_send(&et, "abc", 3), XDP_PASS);
	set_existing_close(0);
	assert_int_equal(et_send(&et, "abc", 3), XDP_PASS);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(syn_with_data, ex_reset),
		cmocka_unit_test_setup(no_data_before_the_answer, ex_reset),
		cmocka_unit_test_setup(same_syn_again, ex_reset),
		cmocka_unit_test_setup(wrong_answers, ex_reset),
		cmocka_unit_test_setup(last_answer_counts, ex_reset),
		cmocka_unit_test_setup(ports_again, ex_reset),
		cmocka_unit_test_setup(decoys, ex_reset),
		cmocka_unit_test_setup(odd_flags, ex_reset),
		cmocka_unit_test_setup(unknown_is_refused, ex_reset),
		cmocka_unit_test_setup(unknown_is_kept, ex_reset),
		cmocka_unit_test_setup(unknown_is_recorded_once, ex_reset),
		cmocka_unit_test_setup(whole_key, ex_reset),
		cmocka_unit_test_setup(ends, ex_reset),
		cmocka_unit_test_setup(full_of_connections_in_clear, ex_reset),
		cmocka_unit_test_setup(full_of_tls, ex_reset),
		cmocka_unit_test_setup(the_ended_go_first, ex_reset),
		cmocka_unit_test_setup(recorded_ones_take_no_room, ex_reset),
		cmocka_unit_test_setup(odd_packets_of_a_settled_flow, ex_reset),
		cmocka_unit_test_setup(settled_flows_and_other_policies, ex_reset),
	};

	if (!ex_usable())
		return 0;
	ex_size(FLOWS, EX_GATES);
	return cmocka_run_group_tests_name("edge_flows", tests, ex_up, ex_down);
}
