/* SPDX-License-Identifier: GPL-2.0-or-later */
/* bpf/gate.h: what TCP does to bytes - sent again, in part, ahead, in the SYN, urgent. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

#include "tests/unit/gate_world.h"

static struct sw_gate gate;

/* First sequence numbers: the second ones wrap within the first command. */
static const uint32_t isns[] = {1000, 0xfffffffa, 0xffffffff, 0x7ffffffe};

static void begin(uint32_t isn, uint8_t flags)
{
	memset(&gate, 0, sizeof(gate));
	sw_gate_begin(&gate, SW_ACTION_TLS, flags, 587, 0);
	assert_int_equal(gh_segment(&gate, false, isn, "", 0, GH_SYN), SW_GATE_PASS);
	assert_int_equal(gh_segment(&gate, true, 77, "", 0, GH_SYN), SW_GATE_PASS);
}

/* At `at` bytes behind the SYN. */
static int client(uint32_t isn, uint32_t at, const char *text)
{
	return gh_segment(&gate, false, isn + 1 + at, text, strlen(text), 0);
}

static int server(uint32_t at, const char *text)
{
	return gh_segment(&gate, true, 78 + at, text, strlen(text), 0);
}

static void same_bytes_again(void **data)
{
	(void)data;
	for (size_t i = 0; i < sizeof(isns) / sizeof(isns[0]); i++) {
		begin(isns[i], 0);
		assert_int_equal(client(isns[i], 0, "EHLO abc\r\n"), SW_GATE_PASS);
		assert_int_equal(client(isns[i], 0, "EHLO abc\r\n"), SW_GATE_PASS);
		assert_int_equal(client(isns[i], 9, "\n"), SW_GATE_PASS); /* a tail-loss probe */
		assert_int_equal(client(isns[i], 3, "O ab"), SW_GATE_PASS);
		assert_int_equal(gate.read, 10);
		assert_int_equal(gate.commands, 1);
		/* An overlap with news in it, then all of it. */
		assert_int_equal(client(isns[i], 5, "abc\r\nNOOP\r"), SW_GATE_PASS);
		assert_int_equal(client(isns[i], 0, "EHLO abc\r\nNOOP\r\n"), SW_GATE_PASS);
		assert_int_equal(gate.read, 16);
		assert_int_equal(gate.commands, 2);
		assert_int_equal(client(isns[i], 10, "NOOP\r\nRSET\r\n"), SW_GATE_PASS);
		assert_int_equal(gate.read, 22);
	}
}

/* Sent again, each byte must be what was read. */
static void other_bytes_again(void **data)
{
	static const char text[] = "EHLO abc\r\n";

	(void)data;
	for (size_t i = 0; i < sizeof(isns) / sizeof(isns[0]); i++)
		for (uint32_t at = 0; at < sizeof(text) - 1; at++)
			for (uint32_t from = 0; from <= at; from++) {
				char other[sizeof(text)];

				memcpy(other, text, sizeof(text));
				other[at] ^= 1;
				begin(isns[i], 0);
				assert_int_equal(client(isns[i], 0, text), SW_GATE_PASS);
				assert_int_equal(client(isns[i], from, other + from),
						 SW_GATE_VIOLATION);
				assert_int_equal(gate.reason, SW_REASON_RESEND_MISMATCH);
				assert_int_equal(gate.phase, SW_GATE_CONDEMNED);
				assert_int_equal(client(isns[i], 0, text), SW_GATE_VIOLATION);
			}
}

/* The classic: something harmless that is lost on the way, then another command in its place. */
static void another_command_again(void **data)
{
	(void)data;
	begin(1000, 0);
	assert_int_equal(client(1000, 0, "NOOP aaaaaaaa\r\n"), SW_GATE_PASS);
	assert_int_equal(client(1000, 0, "AUTH PLAIN zQ7\r\n"), SW_GATE_VIOLATION);
	assert_int_equal(gate.reason, SW_REASON_RESEND_MISMATCH);
	gw_check_secret(&gate, "zQ7", "resend");
	gw_check_secret(&gate, "PLAIN", "resend");
}

/* Ahead: held back, not condemned, and read once that it comes in order. */
static void ahead(void **data)
{
	(void)data;
	for (size_t i = 0; i < sizeof(isns) / sizeof(isns[0]); i++) {
		begin(isns[i], 0);
		assert_int_equal(client(isns[i], 4, " abc\r\n"), SW_GATE_HOLD);
		assert_int_equal(client(isns[i], 1, "HLO"), SW_GATE_HOLD);
		assert_int_equal(client(isns[i], 2000000000, "AUTH"), SW_GATE_HOLD);
		assert_int_equal(gate.read, 0);
		assert_int_equal(client(isns[i], 0, "EHLO"), SW_GATE_PASS);
		assert_int_equal(client(isns[i], 10, "MAIL FROM:<>\r\n"), SW_GATE_HOLD);
		assert_int_equal(gate.reason, 0);
		assert_int_equal(client(isns[i], 4, " abc\r\n"), SW_GATE_PASS);
		assert_int_equal(client(isns[i], 10, "MAIL FROM:<>\r\n"), SW_GATE_VIOLATION);
	}
}

/* Before the first byte: nothing there can be compared, so it does not pass. */
static void before_the_first(void **data)
{
	(void)data;
	begin(1000, 0);
	assert_int_equal(client(1000, 0, "EHLO abc\r\n"), SW_GATE_PASS);
	assert_int_not_equal(gh_segment(&gate, false, 1000, "xEHLO", 5, 0), SW_GATE_PASS);
	begin(1000, 0);
	assert_int_not_equal(gh_segment(&gate, false, 990, "AUTH PLAIN x", 12, 0), SW_GATE_PASS);
}

static void server_again(void **data)
{
	(void)data;
	begin(1000, 0);
	assert_int_equal(server(0, "220 mx\r\n"), SW_GATE_PASS);
	assert_int_equal(server(0, "220 mx\r\n"), SW_GATE_PASS);
	assert_int_equal(server(7, "\n"), SW_GATE_PASS);
	assert_int_equal(gate.replies, 1);
	assert_int_equal(client(1000, 0, "EHLO abc\r\n"), SW_GATE_PASS);
	assert_int_equal(server(20, "x"), SW_GATE_HOLD);
	assert_int_equal(server(4, "mx\r\n250-mx\r\n25"), SW_GATE_PASS);
	assert_int_equal(server(8, "250-mx\r\n250 STARTTLS\r\n"), SW_GATE_PASS);
	assert_int_equal(gate.replies, 2);
	assert_int_equal(client(1000, 10, "STARTTLS\r\n"), SW_GATE_PASS);
	/* The last byte of an old reply is not an answer. */
	assert_int_equal(server(28, "\n"), SW_GATE_PASS);
	assert_int_equal(gate.answered, 0);
	assert_int_equal(server(8 + 22, "220 go\r\n"), SW_GATE_PASS);
	assert_int_equal(server(8 + 22, "220 go\r\n"), SW_GATE_PASS);
	assert_int_equal(client(1000, 20, "\x16"), SW_GATE_PASS);
	assert_int_equal(gate.phase, SW_GATE_HELLO);
}

/* STARTTLS and what follows it are told apart when they come again in one segment. */
static void starttls_again(void **data)
{
	(void)data;
	begin(1000, 0);
	assert_int_equal(server(0, "220 mx\r\n"), SW_GATE_PASS);
	assert_int_equal(client(1000, 0, "STARTTLS\r\n"), SW_GATE_PASS);
	assert_int_equal(client(1000, 0, "STARTTLS\r\n"), SW_GATE_PASS);
	assert_int_equal(gate.asked, 1);
	assert_int_equal(client(1000, 9, "\nNOOP\r\n"), SW_GATE_VIOLATION);
	assert_int_equal(gate.reason, SW_REASON_STARTTLS_INJECTION);
}

/* TCP Fast Open: the payload of a SYN stands behind the number that the SYN itself takes. */
static void data_in_the_syn(void **data)
{
	(void)data;
	for (size_t i = 0; i < sizeof(isns) / sizeof(isns[0]); i++) {
		for (int bad = 0; bad < 2; bad++) {
			const char *text = bad ? "MAIL FROM:<>\r\n" : "EHLO abc\r\n";

			memset(&gate, 0, sizeof(gate));
			sw_gate_begin(&gate, SW_ACTION_TLS, 0, 587, 0);
			assert_int_equal(
				gh_segment(&gate, false, isns[i], text, strlen(text), GH_SYN),
				bad ? SW_GATE_VIOLATION : SW_GATE_PASS);
		}
		memset(&gate, 0, sizeof(gate));
		sw_gate_begin(&gate, SW_ACTION_TLS, 0, 587, 0);
		assert_int_equal(gh_segment(&gate, false, isns[i], "EHLO ", 5, GH_SYN),
				 SW_GATE_PASS);
		/* Not acknowledged: again with the SYN, then without it. */
		assert_int_equal(gh_segment(&gate, false, isns[i], "EHLO ", 5, GH_SYN),
				 SW_GATE_PASS);
		assert_int_equal(gh_segment(&gate, false, isns[i], "", 0, GH_SYN), SW_GATE_PASS);
		assert_int_equal(client(isns[i], 0, "EHLO abc\r\n"), SW_GATE_PASS);
		assert_int_equal(gate.read, 10);
		assert_int_equal(gh_segment(&gate, false, isns[i], "MAIL", 4, GH_SYN),
				 SW_GATE_VIOLATION);
		assert_int_equal(gate.reason, SW_REASON_RESEND_MISMATCH);
	}
}

/* A SYN with another number before anything was read begins anew (a connect that was tried again). */
static void syn_again(void **data)
{
	(void)data;
	begin(1000, 0);
	assert_int_equal(gh_segment(&gate, false, 1000, "", 0, GH_SYN), SW_GATE_PASS);
	assert_int_equal(gh_segment(&gate, false, 5000, "", 0, GH_SYN), SW_GATE_PASS);
	assert_int_equal(client(5000, 0, "EHLO abc\r\n"), SW_GATE_PASS);
	/* Afterwards it moves nothing. */
	assert_int_equal(gh_segment(&gate, false, 5010, "", 0, GH_SYN), SW_GATE_PASS);
	assert_int_equal(client(5000, 10, "NOOP\r\n"), SW_GATE_PASS);
	assert_int_equal(gate.read, 16);
}

/* A gate that is made at the first byte knows of the handshake what one knows that saw it; a SYN of the server that
   answers none of ours says nothing. */
static void made_later(void **data)
{
	struct sw_gate_start start;

	(void)data;
	memset(&gate, 0, sizeof(gate));
	sw_gate_start(&start, SW_ACTION_TLS, 0, 587, 0x0303);
	sw_gate_start_server(&start, 7000, 5001, 1);
	assert_false(start.server_synced);
	sw_gate_start_client(&start, 5000);
	sw_gate_start_server(&start, 7000, 4000, 1);
	assert_false(start.server_synced);
	sw_gate_start_server(&start, 9000, 5001, 1);
	sw_gate_start_server(&start, 7000, 5001, 1);
	sw_gate_open_server(&gate, &start);
	assert_int_equal(gate.tls_version, 0x0303);
	assert_int_equal(gate.enforced, 1);
	assert_int_equal(gh_segment(&gate, true, 9001, "220 hi\r\n", 8, 0), SW_GATE_PASS);
	sw_gate_open_client(&gate, &start);
	assert_int_equal(gh_segment(&gate, false, 5002, "OOP\r\n", 5, 0), SW_GATE_HOLD);
	assert_int_equal(gh_segment(&gate, false, 5001, "NOOP\r\n", 6, 0), SW_GATE_PASS);
	assert_int_equal(gate.read, 6);
}

/* Met behind its handshake: a SYN that a client sends into the connection must not move where it begins, or
   what stands before that would be read as if the server had it. */
static void met(void **data)
{
	struct sw_gate_start start;

	(void)data;
	begin(1000, 0);
	memset(&gate, 0, sizeof(gate));
	sw_gate_start(&start, SW_ACTION_TLS, 0, 587, 0);
	sw_gate_start_met(&start, 5001, 9001);
	sw_gate_open_server(&gate, &start);
	sw_gate_open_client(&gate, &start);
	assert_int_equal(gh_segment(&gate, false, 4995, "", 0, GH_SYN), SW_GATE_PASS);
	assert_int_equal(gh_segment(&gate, false, 4996, "NOOP ", 5, 0), SW_GATE_HOLD);
	assert_int_equal(gh_segment(&gate, true, 9001, "220 hi\r\n", 8, 0), SW_GATE_PASS);
	assert_int_equal(gh_segment(&gate, true, 9100, "250 ok\r\n", 8, 0), SW_GATE_HOLD);
	assert_int_equal(gh_segment(&gate, false, 5001, "NOOP\r\n", 6, 0), SW_GATE_PASS);
	assert_int_equal(gate.read, 6);
	assert_int_equal(gate.replies, 1);
	assert_int_equal(gh_segment(&gate, false, 5007, "AUTH PLAIN\r\n", 12, 0),
			 SW_GATE_VIOLATION);
	assert_int_equal(gate.reason, SW_REASON_CLEARTEXT_COMMAND);
}

static void no_payload(void **data)
{
	(void)data;
	begin(1000, 0);
	assert_int_equal(client(1000, 0, "EHLO abc\r\n"), SW_GATE_PASS);
	assert_int_equal(client(1000, 9, ""), SW_GATE_PASS); /* keep-alive */
	assert_int_equal(client(1000, 10, ""), SW_GATE_PASS);
	assert_int_equal(client(1000, 500, ""), SW_GATE_PASS);
	assert_int_equal(gh_segment(&gate, false, 1011, "", 0, GH_URGENT), SW_GATE_PASS);
	assert_int_equal(client(1000, 9, "\n"), SW_GATE_PASS); /* keep-alive with a byte */
	assert_int_equal(client(1000, 10, "DATA\r\n"), SW_GATE_VIOLATION);
	/* What carries nothing, FIN and RST too, still leaves. */
	assert_int_equal(client(1000, 10, ""), SW_GATE_PASS);
}

static void urgent(void **data)
{
	(void)data;
	begin(1000, 0);
	assert_int_equal(gh_segment(&gate, false, 1001, "E", 1, GH_URGENT), SW_GATE_VIOLATION);
	assert_int_equal(gate.reason, SW_REASON_MALFORMED);
	assert_int_equal(client(1000, 0, "EHLO x\r\n"), SW_GATE_VIOLATION);
}

/* Pages that the sender can still write to: what would be read is not what arrives. */
static void shared_pages(void **data)
{
	(void)data;
	begin(1000, 0);
	assert_int_equal(gh_segment(&gate, false, 1001, "EHLO x\r\n", 8, GH_SHARED),
			 SW_GATE_VIOLATION);
	assert_int_equal(gate.reason, SW_REASON_SHARED_PAGES);
	assert_int_equal(client(1000, 0, "EHLO x\r\n"), SW_GATE_VIOLATION);
	/* Sent again from such pages as well, and ahead too. */
	begin(1000, 0);
	assert_int_equal(client(1000, 0, "EHLO x\r\n"), SW_GATE_PASS);
	assert_int_equal(gh_segment(&gate, false, 1001, "EHLO x\r\n", 8, GH_SHARED),
			 SW_GATE_VIOLATION);
	begin(1000, 0);
	assert_int_equal(gh_segment(&gate, false, 1001, "", 0, GH_SHARED), SW_GATE_PASS);
	assert_int_equal(client(1000, 0, "EHLO x\r\n"), SW_GATE_PASS);
}

/* A connection whose SYN was not seen. */
static void no_syn(void **data)
{
	(void)data;
	memset(&gate, 0, sizeof(gate));
	sw_gate_begin(&gate, SW_ACTION_TLS, 0, 587, 0);
	assert_int_equal(client(1000, 0, "EHLO x\r\n"), SW_GATE_VIOLATION);
	assert_int_equal(gate.reason, SW_REASON_MALFORMED);
}

/* The answer to the SYN of an earlier connection: TCP does not take it either. */
static void stale_answer(void **data)
{
	struct sw_gate_segment answer = {.seq = 7000, .ack = 900, .acks = 1, .syn = 1};
	struct gh_payload none = {NULL, 0};

	(void)data;
	memset(&gate, 0, sizeof(gate));
	sw_gate_begin(&gate, SW_ACTION_TLS, 0, 587, 0);
	assert_int_equal(gh_segment(&gate, false, 1000, "", 0, GH_SYN), SW_GATE_PASS);
	assert_int_equal(sw_gate_server(&gate, &none, &answer), SW_GATE_PASS);
	answer = (struct sw_gate_segment){.seq = 8000, .ack = 1001, .acks = 1, .syn = 1};
	assert_int_equal(sw_gate_server(&gate, &none, &answer), SW_GATE_PASS);
	assert_int_equal(gh_segment(&gate, true, 8001, "220 hi\r\n", 8, 0), SW_GATE_PASS);
	assert_int_equal(gate.replies, 1);
}

/* What can't be read does not pass. */
static void unreadable(void **data)
{
	struct gh_payload payload = {(const uint8_t *)"EHLO x\r\n", 4};
	struct sw_gate_segment segment = {.seq = 1001, .at = GH_AT, .length = 8};

	(void)data;
	begin(1000, 0);
	assert_int_equal(sw_gate_client(&gate, &payload, &segment), SW_GATE_VIOLATION);
	assert_int_equal(gate.reason, SW_REASON_MALFORMED);
	begin(1000, 0);
	segment.seq = 78;
	assert_int_equal(sw_gate_server(&gate, &payload, &segment), SW_GATE_VIOLATION);
	assert_int_equal(gate.server_reason, SW_REASON_MALFORMED);
}

/* ---- where nothing is enforced ---- */

static void recorded_once(void **data)
{
	(void)data;
	begin(1000, SW_RULE_AUDIT);
	assert_int_equal(client(1000, 0, "EHLO x\r\n"), SW_GATE_PASS);
	assert_int_equal(client(1000, 8, "AUTH PLAIN zQ7\r\n"), SW_GATE_VIOLATION);
	assert_int_equal(gate.reason, SW_REASON_CLEARTEXT_COMMAND);
	assert_int_equal(gate.verb, SW_VERB_AUTH);
	assert_int_equal(gate.mechanism, SW_MECHANISM_PLAIN);
	assert_int_equal(sw_gate_state(&gate), SW_FLOW_RECORDED);
	assert_int_equal(client(1000, 24, "MAIL FROM:<>\r\n"), SW_GATE_PASS);
	assert_int_equal(gh_segment(&gate, false, 1001, "x", 1, GH_URGENT), SW_GATE_PASS);
	assert_int_equal(server(0, "220 a\r\n220 b\r\n"), SW_GATE_PASS);
	assert_int_equal(gate.verb, SW_VERB_AUTH);
	gw_check_secret(&gate, "zQ7", "recorded");
}

static void recorded_of_a_server(void **data)
{
	(void)data;
	begin(1000, SW_RULE_AUDIT);
	assert_int_equal(server(0, "220 a\r\n220 b\r\n"), SW_GATE_VIOLATION);
	assert_int_equal(gate.server_reason, SW_REASON_STARTTLS_INJECTION);
	assert_int_equal(server(14, "220 a\r\n220 b\r\n"), SW_GATE_PASS);
	assert_int_equal(client(1000, 0, "MAIL FROM:<>\r\n"), SW_GATE_PASS);
	assert_int_equal(gate.reason, 0);
	assert_int_equal(sw_gate_state(&gate), SW_FLOW_RECORDED);
}

/* Nothing is held; what was missed ends the reading. */
static void never_held(void **data)
{
	(void)data;
	begin(1000, SW_RULE_AUDIT);
	assert_int_equal(client(1000, 4, " x\r\n"), SW_GATE_PASS);
	assert_int_equal(sw_gate_state(&gate), SW_FLOW_UNREAD);
	assert_int_equal(client(1000, 0, "MAIL"), SW_GATE_PASS);
	begin(1000, SW_RULE_AUDIT);
	assert_int_equal(server(4, "mx\r\n"), SW_GATE_PASS);
	assert_int_equal(server(0, "220 "), SW_GATE_PASS);
	assert_int_equal(client(1000, 0, "STARTTLS\r\n"), SW_GATE_PASS);
}

/* ---- which way applies ---- */

static void ways(void **data)
{
	const uint8_t both = SW_RULE_IMPLICIT | SW_RULE_STARTTLS;

	(void)data;
	assert_int_equal(sw_gate_way(SW_ACTION_TLS, 0, 465), SW_RULE_IMPLICIT);
	assert_int_equal(sw_gate_way(SW_ACTION_TLS, SW_RULE_STARTTLS, 465), SW_RULE_STARTTLS);
	assert_int_equal(sw_gate_way(SW_ACTION_TLS, 0, 587) & both, 0);
	assert_int_equal(sw_gate_way(SW_ACTION_TLS, SW_RULE_PROXY, 465),
			 SW_RULE_IMPLICIT | SW_RULE_PROXY);
	assert_int_equal(sw_gate_way(SW_ACTION_AUDIT, 0, 465) & both, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(same_bytes_again),
		cmocka_unit_test(other_bytes_again),
		cmocka_unit_test(another_command_again),
		cmocka_unit_test(ahead),
		cmocka_unit_test(before_the_first),
		cmocka_unit_test(server_again),
		cmocka_unit_test(starttls_again),
		cmocka_unit_test(data_in_the_syn),
		cmocka_unit_test(syn_again),
		cmocka_unit_test(made_later),
		cmocka_unit_test(met),
		cmocka_unit_test(no_payload),
		cmocka_unit_test(urgent),
		cmocka_unit_test(shared_pages),
		cmocka_unit_test(no_syn),
		cmocka_unit_test(stale_answer),
		cmocka_unit_test(unreadable),
		cmocka_unit_test(recorded_once),
		cmocka_unit_test(recorded_of_a_server),
		cmocka_unit_test(never_held),
		cmocka_unit_test(ways),
	};

	return cmocka_run_group_tests_name("gate and TCP", tests, NULL, NULL);
}
