/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Events as lines for people. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>
#include <time.h>

#include <cmocka.h>

#include "tests/unit/event_samples.h"

#define GATE_LINE                                                                                  \
	"reset  user www-data (/usr/bin/php8.2, unit php8.2-fpm.service) -> "                      \
	"203.0.113.5 port 587: line 12: require tls: "

static void test_line(void **state)
{
	struct sw_event event = sample();

	(void)state;
	expect_line(&event, &about,
		    "refused  user www-data (/usr/bin/php8.2, unit php8.2-fpm.service) -> "
		    "203.0.113.5 port 25: line 14: reject \"Port 25 is closed here.\"");
	event.suppressed = 3;
	event.caller.exe[0] = '\0';
	event.caller.cgroup[0] = '\0';
	expect_line(&event, &about,
		    "refused  user www-data (php8.2) -> 203.0.113.5 port 25: line 14: "
		    "reject \"Port 25 is closed here.\" (and 3 more like it)");
}

static void test_line_gate(void **state)
{
	static const struct {
		struct sw_event event;
		const char *words;
	} cases[] = {
		{{.reason = SW_REASON_CLEARTEXT_COMMAND,
		  .verb = SW_VERB_AUTH,
		  .verb_length = 4,
		  .mechanism = SW_MECHANISM_PLAIN},
		 GATE_LINE "AUTH PLAIN was sent before TLS began"},
		{{.reason = SW_REASON_CLEARTEXT_COMMAND, .verb = SW_VERB_AUTH, .verb_length = 1},
		 GATE_LINE "a command that begins with A was sent before TLS began"},
		{{.reason = SW_REASON_CLEARTEXT_COMMAND},
		 GATE_LINE "a command was sent before TLS began"},
		{{.reason = SW_REASON_STARTTLS_STRIPPED, .verb = SW_VERB_MAIL, .verb_length = 4},
		 GATE_LINE "MAIL was sent without TLS, as the server did not offer STARTTLS"},
		{{.reason = SW_REASON_STARTTLS_INJECTION},
		 GATE_LINE "plain bytes were sent behind STARTTLS"},
		{{.reason = SW_REASON_STARTTLS_INJECTION, .from_server = 1},
		 GATE_LINE "the server sent what was not asked for before TLS began"},
		{{.reason = SW_REASON_NOT_TLS, .verb = SW_VERB_EHLO, .verb_length = 4},
		 GATE_LINE "EHLO was sent where TLS was due"},
		{{.reason = SW_REASON_NOT_TLS}, GATE_LINE "what was sent is not TLS"},
		{{.reason = SW_REASON_NOT_TLS, .from_server = 1},
		 GATE_LINE "the server's answer to the ClientHello is not TLS"},
		{{.reason = SW_REASON_TLS_TOO_OLD, .from_server = 1, .tls_version = 0x0302},
		 GATE_LINE "the server chose TLS 1.1"},
	};

	(void)state;
	for (size_t i = 0; i < sw_count(cases); i++) {
		struct sw_event event = gate_sample(cases[i].event.reason);

		event.verb = cases[i].event.verb;
		event.verb_length = cases[i].event.verb_length;
		event.mechanism = cases[i].event.mechanism;
		event.from_server = cases[i].event.from_server;
		event.tls_version = cases[i].event.tls_version;
		expect_line(&event, &gate_about, cases[i].words);
	}
}

static void test_line_verdicts(void **state)
{
	static const struct {
		uint8_t verdict, reason;
		const char *word;
	} cases[] = {
		{SW_VERDICT_ALLOW, SW_REASON_NONE, "passed"},
		{SW_VERDICT_DROP, SW_REASON_NOT_PERMITTED, "refused"},
		{SW_VERDICT_AUDIT, SW_REASON_NOT_PERMITTED, "would be refused"},
		{SW_VERDICT_AUDIT, SW_REASON_NONE, "recorded"},
		{SW_VERDICT_RESET, SW_REASON_EXISTING, "reset"},
	};

	(void)state;
	for (size_t i = 0; i < sw_count(cases); i++) {
		struct sw_event event = sample();
		char line[4096] = "";
		FILE *to = fmemopen(line, sizeof(line), "w");

		assert_non_null(to);
		event.verdict = cases[i].verdict;
		event.reason = cases[i].reason;
		line_of(&event, &about, to);
		fclose(to);
		assert_memory_equal(line, cases[i].word, strlen(cases[i].word));
	}
}

static void test_line_edge(void **state)
{
	struct sw_event event = edge_sample();

	(void)state;
	event.suppressed = 3998;
	expect_line(&event, &edge_about,
		    "refused  192.0.2.7 port 40000 (tap3, 52:54:00:12:34:56) -> "
		    "203.0.113.5 port "
		    "25: line 9: reject \"Port 25 is closed here.\" (and 3998 more like it)");
	event.suppressed = 0;
	event.vlan[0] = 100;
	event.session = 17;
	event.verdict = SW_VERDICT_DROP;
	expect_line(&event, &edge_about,
		    "dropped  192.0.2.7 port 40000 (tap3, 52:54:00:12:34:56, VLAN 100, PPPoE "
		    "session 17) -> 203.0.113.5 port 25: line 9: reject \"Port 25 is closed "
		    "here.\"");
}

static void test_line_edge_gate(void **state)
{
	const struct sw_event_about nothing = {.boot_ns = about.boot_ns};
	struct sw_event event = edge_sample();

	(void)state;
	memset(event.mac, 0, sizeof(event.mac));
	event.rule = SW_RULE_NONE;
	event.verdict = SW_VERDICT_RESET;
	event.reason = SW_REASON_CLEARTEXT_COMMAND;
	event.verb = SW_VERB_AUTH;
	event.verb_length = 4;
	event.mechanism = SW_MECHANISM_PLAIN;
	expect_line(&event, &nothing,
		    "reset  192.0.2.7 port 40000 (interface 7) -> 203.0.113.5 port 25: "
		    "AUTH PLAIN "
		    "was sent before TLS began");
	event.verdict = SW_VERDICT_AUDIT;
	expect_line(&event, &nothing,
		    "recorded  192.0.2.7 port 40000 (interface 7) -> 203.0.113.5 port "
		    "25: AUTH "
		    "PLAIN was sent before TLS began");
	event.reason = SW_REASON_UNATTRIBUTED;
	expect_line(&event, &nothing,
		    "would be refused  192.0.2.7 port 40000 (interface 7) -> 203.0.113.5 "
		    "port 25: "
		    "the beginning of the connection was not seen, or is forgotten");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_line),           cmocka_unit_test(test_line_gate),
		cmocka_unit_test(test_line_verdicts),  cmocka_unit_test(test_line_edge),
		cmocka_unit_test(test_line_edge_gate),
	};

	return cmocka_run_group_tests_name("event lines", tests, NULL, NULL);
}
