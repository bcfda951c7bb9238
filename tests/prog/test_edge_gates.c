/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The gate at the edge: dialogues through the real programs, segment by segment. */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include <bpf/bpf.h>

#include "daemon/base.h"
#include "tests/prog/edge_talk.h"
#include "tests/prog/talk.h"
#include <netinet/tcp.h>

#define AUTH "AUTH PLAIN AGpvZQBzZWNyZXQ=\r\n"
#define DATA (TH_ACK | TH_PUSH)

static struct et opened(void)
{
	ex_simple(ET_PORT, SW_ACTION_TLS, 0);
	return et_open((struct et){.client = 1000, .server = 9000});
}

static struct et greeted(void)
{
	struct et et = opened();

	et_greet(&et);
	return et;
}

/* ---- what may pass ---- */

static void check_tls(const struct et *et, uint8_t tls)
{
	struct sw_edge_flow flow = et_flow(et);

	assert_int_equal(flow.state, SW_EDGE_TLS);
	assert_int_equal(flow.tls, tls);
	assert_int_equal(flow.tls_version, 0x0304);
	assert_int_equal(flow.cipher, 0x1302);
	assert_int_equal(ex_counter(SW_COUNT_EDGE_TLS), 1);
	assert_int_equal(ex_counter(SW_COUNT_EDGE_CONDEMNED), 0);
	assert_int_equal(ex_events(), 0);
}

/* Behind TLS nothing is read, in any order. */
static void check_anything_passes(struct et *et)
{
	assert_int_equal(et_send(et, AUTH, strlen(AUTH)), XDP_PASS);
	assert_int_equal(et_send_at(et, 5000, DATA, "x", 1), XDP_PASS);
	assert_int_equal(et_send_at(et, 0, DATA | TH_URG, "x", 1), XDP_PASS);
	assert_int_equal(et_serve(et, "220 220\r\n", 9), ET_PASS);
	assert_int_equal(et_serve_at(et, 5000, DATA, "x", 1), ET_PASS);
}

static void starttls(void **state)
{
	static const struct et ends[] = {
		{.client = 1, .server = 1},
		{.client = 0xffffffff, .server = 0xfffffff0},
		{.client = 0xfffffff0, .server = 0xffffffff},
		{.from = "2001:db8::1", .to = "2001:db8:1::1", .client = 5, .server = 6},
	};

	(void)state;
	for (size_t i = 0; i < sw_count(ends); i++) {
		struct et et;

		ex_reset(NULL);
		ex_simple(ET_PORT, SW_ACTION_TLS, 0);
		et = et_open(ends[i]);
		et_expect_state(&et, SW_EDGE_OPEN);
		et_come_to_tls(&et);
		check_tls(&et, SW_TLS_STARTTLS);
		check_anything_passes(&et);
	}
}

static void implicit(void **state)
{
	static const uint16_t ports[] = {465, 587, 2525};

	(void)state;
	for (size_t i = 0; i < sw_count(ports); i++) {
		struct et et;

		ex_reset(NULL);
		ex_simple(ports[i], SW_ACTION_TLS, 0);
		et = et_open((struct et){.port = ports[i], .client = 77, .server = 88});
		et_hellos(&et, 0x0304);
		check_tls(&et, SW_TLS_IMPLICIT);
		check_anything_passes(&et);
	}
}

static void single_bytes(void **state)
{
	static const char commands[] = "EHLO client.example.net\r\nNOOP\r\nSTARTTLS\r\n";
	struct fx_bytes hello = fx_client_hello();
	struct et et = opened();

	(void)state;
	et_reply(&et, "220 hi\r\n");
	for (size_t i = 0; i < sizeof(commands) - 1; i++)
		assert_int_equal(et_send(&et, &commands[i], 1), XDP_PASS);
	for (const char *c = "250 STARTTLS\r\n250 ok\r\n220 yes\r\n"; *c; c++)
		assert_int_equal(et_serve(&et, c, 1), ET_PASS);
	for (size_t i = 0; i < hello.n; i++)
		assert_int_equal(et_send(&et, &hello.data[i], 1), XDP_PASS);
	et_expect_state(&et, SW_EDGE_GATED);
	assert_int_equal(ex_events(), 0);
}

/* Short frames are filled up behind IP: that is not payload. */
static void padding_is_no_payload(void **state)
{
	struct et et = opened();
	struct ex_frame frame;

	(void)state;
	ex_segment(&frame,
		   (struct ex_segment){.dst_port = ET_PORT, .seq = et.client, .flags = TH_ACK});
	memcpy(ex_add(&frame, 6), "AUTH P", 6);
	assert_int_equal(ex_run(&frame), XDP_PASS);
	et_expect_state(&et, SW_EDGE_OPEN);
}

/* ---- what may not ---- */

static void check_reset(const struct et *et, int reason, int from_server)
{
	const struct sw_event *event = ex_one_event();

	assert_int_equal(event->kind, SW_EVENT_EDGE);
	assert_int_equal(event->verdict, SW_VERDICT_RESET);
	assert_int_equal(event->reason, reason);
	assert_int_equal(event->rule, 0);
	assert_int_equal(event->from_server, from_server);
	assert_int_equal(event->dst_port, ET_PORT);
	et_expect_state(et, SW_EDGE_CONDEMNED);
	assert_int_equal(ex_counter(SW_COUNT_EDGE_CONDEMNED), 1);
}

/* Nothing of it any more, whatever it looks like; but a RST. */
static void check_closed(struct et *et)
{
	assert_int_equal(et_send(et, "NOOP\r\n", 6), XDP_TX);
	assert_int_equal(et_send_at(et, 0, TH_ACK, NULL, 0), XDP_TX);
	assert_int_equal(et_send_at(et, 0, TH_RST, NULL, 0), XDP_PASS);
	assert_int_not_equal(et_send_at(et, 0, TH_RST, "AUTH", 4), XDP_PASS);
	assert_int_equal(et_serve_at(et, 0, TH_RST, NULL, 0), ET_PASS);
	et_expect_state(et, SW_EDGE_CONDEMNED);
	assert_int_equal(ex_events(), 0);
}

/* Refused at the first byte that is in no permitted verb, wherever the segments are cut. */
static void auth_at_each_cut(void **state)
{
	(void)state;
	for (size_t cut = 0; cut < strlen(AUTH); cut++) {
		const struct sw_event *event;
		struct et et;

		ex_reset(NULL);
		et = greeted();
		if (cut)
			assert_int_equal(et_send(&et, AUTH, cut), XDP_TX);
		else
			assert_int_equal(et_send(&et, AUTH, strlen(AUTH)), XDP_TX);
		check_reset(&et, SW_REASON_CLEARTEXT_COMMAND, 0);
		event = ex_event(0);
		if (!cut) {
			assert_int_equal(event->verb, SW_VERB_AUTH);
			assert_int_equal(event->mechanism, SW_MECHANISM_PLAIN);
		}
		check_closed(&et);
	}
}

static void auth_behind_a_line_at_each_cut(void **state)
{
	static const char text[] = "NOOP\r\n" AUTH;

	(void)state;
	for (size_t cut = 1; cut < sizeof(text) - 1; cut++) {
		struct et et;

		ex_reset(NULL);
		et = greeted();
		if (cut <= 6) {
			assert_int_equal(et_send(&et, text, cut), XDP_PASS);
			assert_int_equal(et_send(&et, text + cut, sizeof(text) - 1 - cut), XDP_TX);
		} else {
			assert_int_equal(et_send(&et, text, cut), XDP_TX);
		}
		check_reset(&et, SW_REASON_CLEARTEXT_COMMAND, 0);
	}
}

static void first_thing_said(void **state)
{
	struct et et = opened();

	(void)state;
	assert_int_equal(et_send(&et, AUTH, strlen(AUTH)), XDP_TX);
	check_reset(&et, SW_REASON_CLEARTEXT_COMMAND, 0);
}

static void injection_behind_starttls(void **state)
{
	struct et et = greeted();

	(void)state;
	assert_int_equal(et_send(&et, "STARTTLS\r\nEHLO x\r\n", 18), XDP_TX);
	check_reset(&et, SW_REASON_STARTTLS_INJECTION, 0);
}

/* Nothing of it is read by the client, which acknowledges it all the same, and gets a RST for that. */
static void check_not_served(const struct et *et, const void *bytes, size_t n)
{
	struct ex_segment segment = {
		.from = "198.51.100.1",
		.to = "192.0.2.1",
		.src_port = ET_PORT,
		.dst_port = 40000,
		.seq = et->server,
		.ack = et->client,
		.flags = DATA,
		.payload = bytes,
		.n = n,
	};
	struct ex_frame frame, expected;

	assert_int_equal(ex_serve(segment, &frame), ET_PASS);
	segment.seq -= 1u << 30;
	ex_segment(&expected, segment);
	assert_int_equal(frame.n, expected.n);
	assert_memory_equal(frame.bytes, expected.bytes, frame.n);
}

static void server_injection(void **state)
{
	static const char text[] = "220 go ahead\r\n250 and more\r\n";
	struct et et = greeted();

	(void)state;
	et_say(&et, "STARTTLS\r\n");
	check_not_served(&et, text, strlen(text));
	check_reset(&et, SW_REASON_STARTTLS_INJECTION, 1);
	check_not_served(&et, text, strlen(text));
	check_closed(&et);
}

static void too_old_server(void **state)
{
	struct fx_bytes hello = fx_client_hello(), answer = fx_server_hello(0x0302);
	struct et et;
	uint16_t rule;

	(void)state;
	ex_begin(0);
	rule = ex_rule(SW_ACTION_TLS, 0);
	ex_version(rule, 0x0303);
	ex_row(rule, (struct ex_row){.port = ET_PORT});
	ex_apply();
	et = et_open((struct et){0});
	assert_int_equal(et_send(&et, hello.data, hello.n), XDP_PASS);
	check_not_served(&et, answer.data, answer.n);
	check_reset(&et, SW_REASON_TLS_TOO_OLD, 1);
	assert_int_equal(et_send(&et, FX_FINISHED), XDP_TX);
}

static void urgent(void **state)
{
	struct et et = greeted();

	(void)state;
	assert_int_equal(et_send_at(&et, 0, DATA | TH_URG, "NOOP\r\n", 6), XDP_TX);
	check_reset(&et, SW_REASON_MALFORMED, 0);
}

/* ---- order ---- */

static void resend(void **state)
{
	struct et et = greeted();

	(void)state;
	et_say(&et, "NOOP\r\n");
	assert_int_equal(et_send_at(&et, -6, DATA, "NOOP\r\n", 6), XDP_PASS);
	assert_int_equal(et_send_at(&et, -1, DATA, "\n", 1), XDP_PASS);
	assert_int_equal(et_send_at(&et, -2, DATA, "\r\nNO", 4), XDP_PASS);
	assert_int_equal(et_send_at(&et, -6, DATA, "AUTH\r\n", 6), XDP_TX);
	check_reset(&et, SW_REASON_RESEND_MISMATCH, 0);
}

static void ahead_is_held(void **state)
{
	struct et et = greeted();

	(void)state;
	assert_int_equal(et_send_at(&et, 6, DATA, AUTH, strlen(AUTH)), XDP_DROP);
	assert_int_equal(et_send_at(&et, 1, DATA, "OOP\r\n", 5), XDP_DROP);
	assert_int_equal(et_serve_at(&et, 9, DATA, "250 x\r\n", 7), TC_ACT_SHOT);
	assert_int_equal(ex_counter(SW_COUNT_EDGE_HELD), 3);
	et_say(&et, "NOOP\r\n");
	assert_int_equal(ex_events(), 0);
}

/* Before what is due, by more than was ever read. */
static void before_the_beginning(void **state)
{
	struct et et = greeted();

	(void)state;
	assert_int_equal(et_send_at(&et, -200, DATA, AUTH, strlen(AUTH)), XDP_DROP);
	assert_int_equal(et_send_at(&et, INT32_MIN, DATA, AUTH, strlen(AUTH)), XDP_DROP);
	et_say(&et, "NOOP\r\n");
}

static void fin_keeps_the_state(void **state)
{
	struct et et = greeted();

	(void)state;
	assert_int_equal(et_send_at(&et, 0, TH_ACK | TH_FIN, NULL, 0), XDP_PASS);
	assert_int_equal(et_send(&et, AUTH, strlen(AUTH)), XDP_TX);
	check_reset(&et, SW_REASON_CLEARTEXT_COMMAND, 0);
}

static void forged_reset_changes_nothing(void **state)
{
	struct et et = greeted();

	(void)state;
	assert_int_equal(et_send_at(&et, 0, TH_RST, NULL, 0), XDP_PASS);
	assert_int_equal(et_serve_at(&et, 0, TH_RST, NULL, 0), ET_PASS);
	et_say(&et, "NOOP\r\n");
	assert_int_equal(et_send(&et, AUTH, strlen(AUTH)), XDP_TX);
}

static void first_fragments(void **state)
{
	struct et et = greeted();
	struct ex_frame frame;
	struct ex_segment segment = {.dst_port = ET_PORT,
				     .seq = et.client,
				     .ack = et.server,
				     .flags = DATA,
				     .payload = "NOOP\r\n\0",
				     .n = 8};

	(void)state;
	ex_segment(&frame, segment);
	frame.bytes[ex_ip_at(&segment) + 6] |= 0x20;
	assert_int_equal(ex_run(&frame), XDP_DROP);
	assert_int_equal(ex_counter(SW_COUNT_EDGE_MALFORMED), 1);
	assert_int_equal(ex_one_event()->reason, SW_REASON_MALFORMED);
	et_say(&et, "STARTTLS\r\n");
	et_reply(&et, "220 yes\r\n");
	et_hellos(&et, 0x0304);
	ex_segment(&frame, segment);
	frame.bytes[ex_ip_at(&segment) + 6] |= 0x20;
	assert_int_equal(ex_run(&frame), XDP_PASS);
}

/* IP says that there are no bytes: somebody may see them all the same. */
static void length_of_zero(void **state)
{
	struct et et = greeted();
	struct ex_segment segment = {.dst_port = ET_PORT,
				     .seq = et.client,
				     .ack = et.server,
				     .flags = DATA,
				     .payload = AUTH,
				     .n = strlen(AUTH)};
	struct ex_frame frame;
	uint8_t *length;

	(void)state;
	ex_segment(&frame, segment);
	length = frame.bytes + ex_ip_at(&segment) + 2;
	length[0] = length[1] = 0;
	assert_int_not_equal(ex_run(&frame), XDP_PASS);
}

/* ---- recorded only ---- */

static void audited(uint8_t action, uint8_t flags)
{
	const struct sw_event *event;
	struct et et;

	ex_reset(NULL);
	ex_simple(ET_PORT, action, flags);
	et = et_open((struct et){.client = 5, .server = 6});
	ex_events();
	et_greet(&et);
	et_say(&et, AUTH);
	event = ex_one_event();
	assert_int_equal(event->verdict, SW_VERDICT_AUDIT);
	assert_int_equal(event->reason, SW_REASON_CLEARTEXT_COMMAND);
	assert_int_equal(event->verb, SW_VERB_AUTH);
	et_expect_state(&et, SW_EDGE_RECORDED);
	et_reply(&et, "235 yes\r\n");
	et_say(&et, "MAIL FROM:<>\r\n");
	assert_int_equal(ex_events(), 0);
	assert_int_equal(ex_counter(SW_COUNT_EDGE_AUDITED), 1);
	assert_int_equal(ex_counter(SW_COUNT_EDGE_CONDEMNED), 0);
	assert_int_equal(ex_counter(SW_COUNT_EDGE_DROPPED), 0);
}

static void audit_passes_and_records(void **state)
{
	(void)state;
	audited(SW_ACTION_TLS, SW_RULE_AUDIT);
	audited(SW_ACTION_AUDIT, 0);
}

static void audit_holds_nothing(void **state)
{
	struct et et;

	(void)state;
	ex_simple(ET_PORT, SW_ACTION_TLS, SW_RULE_AUDIT);
	et = et_open((struct et){.client = 5, .server = 6});
	et_greet(&et);
	assert_int_equal(et_send_at(&et, 100, DATA, AUTH, strlen(AUTH)), XDP_PASS);
	et_expect_state(&et, SW_EDGE_UNREAD);
	assert_int_equal(ex_counter(SW_COUNT_EDGE_DROPPED), 0);
}

/* ---- the pool ---- */

/* More connections in clear than gates: each one that lost its gate is refused, nothing of theirs passes. */
static void pool_full(void **state)
{
	enum { N = 4 * EX_GATES };
	static struct et all[N];
	unsigned int lost = 0;

	(void)state;
	ex_simple(ET_PORT, SW_ACTION_TLS, 0);
	for (unsigned int i = 0; i < N; i++)
		all[i] = et_open(
			(struct et){.src_port = (uint16_t)(1024 + i), .client = i, .server = i});
	for (unsigned int i = 0; i < N; i++)
		et_greet(&all[i]);
	for (unsigned int i = 0; i < N; i++) {
		uint32_t got = et_send(&all[i], "NOOP\r\n", 6);

		if (got == XDP_PASS)
			continue;
		assert_int_equal(got, XDP_TX);
		lost++;
		et_expect_state(&all[i], SW_EDGE_CONDEMNED);
	}
	assert_true(lost >= N - EX_GATES && lost < N);
	assert_int_equal(ex_counter(SW_COUNT_EDGE_EVICTED_GATE), lost);
	assert_int_equal(ex_counter(SW_COUNT_EDGE_CONDEMNED), lost);
	assert_true(ex_events());
	assert_int_equal(ex_event(0)->reason, SW_REASON_TABLE_FULL);
	for (unsigned int i = 0; i < N; i++)
		assert_int_not_equal(et_send(&all[i], AUTH, strlen(AUTH)), XDP_PASS);
}

static size_t gates_in_use(void)
{
	static uint8_t value[65536];
	size_t n = 0;

	for (uint32_t key = 0; key < EX_GATES; key++) {
		uint64_t owner;

		assert_int_equal(bpf_map_lookup_elem(ex_map("edge_gates"), &key, value), 0);
		memcpy(&owner, value, sizeof(owner));
		n += !!owner;
	}
	return n;
}

/* TLS, a violation, a new connection of the same ports: the gate is free again. */
static void gates_come_back(void **state)
{
	struct et et;

	(void)state;
	ex_simple(ET_PORT, SW_ACTION_TLS, 0);
	for (unsigned int i = 0; i < 3; i++) {
		et = et_open((struct et){.client = i * 1000, .server = 5});
		assert_int_equal(gates_in_use(), 0);
		if (i == 2) {
			et_come_to_tls(&et);
			assert_int_equal(gates_in_use(), 0);
			continue;
		}
		et_greet(&et);
		assert_int_equal(gates_in_use(), 1);
		if (!i)
			continue; /* left by the SYN of the next one */
		assert_int_equal(et_send(&et, AUTH, 1), XDP_TX);
		assert_int_equal(gates_in_use(), 0);
	}
}

/* Somebody else looks at packets of both halves. */
static void busy_gate(void **state)
{
	struct et et = greeted();
	static uint8_t value[65536];
	uint32_t key = et_flow(&et).gate, taken[2] = {1, 1}, given[2] = {0, 0};
	size_t at = 8 + 40 + 8;

	(void)state;
	assert_int_equal(bpf_map_lookup_elem(ex_map("edge_gates"), &key, value), 0);
	memcpy(value + at, taken, sizeof(taken));
	assert_int_equal(bpf_map_update_elem(ex_map("edge_gates"), &key, value, BPF_ANY), 0);
	assert_int_equal(et_send(&et, "NOOP\r\n", 6), XDP_DROP);
	assert_int_equal(et_serve(&et, "250 x\r\n", 7), TC_ACT_SHOT);
	memcpy(value + at, given, sizeof(given));
	assert_int_equal(bpf_map_update_elem(ex_map("edge_gates"), &key, value, BPF_ANY), 0);
	et_say(&et, "NOOP\r\n");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(starttls, ex_reset),
		cmocka_unit_test_setup(implicit, ex_reset),
		cmocka_unit_test_setup(single_bytes, ex_reset),
		cmocka_unit_test_setup(padding_is_no_payload, ex_reset),
		cmocka_unit_test_setup(auth_at_each_cut, ex_reset),
		cmocka_unit_test_setup(auth_behind_a_line_at_each_cut, ex_reset),
		cmocka_unit_test_setup(first_thing_said, ex_reset),
		cmocka_unit_test_setup(injection_behind_starttls, ex_reset),
		cmocka_unit_test_setup(server_injection, ex_reset),
		cmocka_unit_test_setup(too_old_server, ex_reset),
		cmocka_unit_test_setup(urgent, ex_reset),
		cmocka_unit_test_setup(resend, ex_reset),
		cmocka_unit_test_setup(ahead_is_held, ex_reset),
		cmocka_unit_test_setup(before_the_beginning, ex_reset),
		cmocka_unit_test_setup(fin_keeps_the_state, ex_reset),
		cmocka_unit_test_setup(forged_reset_changes_nothing, ex_reset),
		cmocka_unit_test_setup(first_fragments, ex_reset),
		cmocka_unit_test_setup(length_of_zero, ex_reset),
		cmocka_unit_test_setup(audit_passes_and_records, ex_reset),
		cmocka_unit_test_setup(audit_holds_nothing, ex_reset),
		cmocka_unit_test_setup(pool_full, ex_reset),
		cmocka_unit_test_setup(gates_come_back, ex_reset),
		cmocka_unit_test_setup(busy_gate, ex_reset),
	};

	if (!ex_usable())
		return 0;
	ex_size(8192, EX_GATES); /* so many that no set of four is full */
	return cmocka_run_group_tests_name("edge_gates", tests, ex_up, ex_down);
}
