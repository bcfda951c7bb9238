/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Records of the kernel: what is taken for one, how it is named, and the history of the last. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

#include <time.h>

#include "daemon/base.h"
#include "daemon/events.h"
#include "daemon/proto.h"
#include "tests/unit/expect_json.h"

static const struct sw_rule_info rule = {
	.line = 14,
	.rule = "reject \"Port 25 is closed here.\"",
	.text = "Port 25 is closed here.",
};

static const struct sw_event_about about = {
	.boot_ns = 1700000000000000000ull,
	.rule = &rule,
	.user = "www-data",
	.group = "www-data",
};

static struct sw_event sample(void)
{
	struct sw_event event = {
		.version = SW_ABI_VERSION,
		.size = sizeof(event),
		.kind = SW_EVENT_CONNECT,
		.verdict = SW_VERDICT_REJECT,
		.reason = SW_REASON_NOT_PERMITTED,
		.family = 4,
		.time_ns = 5123456789,
		.generation = 3,
		.rule = 1,
		.dst_port = 25,
		.dst = {[10] = 0xff, 0xff, 203, 0, 113, 5},
		.caller = {.pid = 77,
			   .uid = 33,
			   .gid = 33,
			   .comm = "php8.2",
			   .exe = "/usr/bin/php8.2",
			   .cgroup = "/system.slice/php8.2-fpm.service"},
	};

	return event;
}

static void test_check(void **state)
{
	struct sw_event event = sample(), out;

	(void)state;
	assert_int_equal(sw_event_check(&event, sizeof(event), &out), 0);
	assert_memory_equal(&event, &out, sizeof(event));
	event.rule = SW_RULE_NONE;
	assert_int_equal(sw_event_check(&event, sizeof(event), &out), 0);
}

#define REFUSED(change)                                                                            \
	do {                                                                                       \
		struct sw_event event = sample(), out;                                             \
                                                                                                   \
		change;                                                                            \
		assert_int_equal(sw_event_check(&event, sizeof(event), &out), -EINVAL);            \
	} while (0)

static void test_check_refuses(void **state)
{
	struct sw_event whole = sample(), none;
	char longer[sizeof(whole) + 8] = {};

	(void)state;
	for (size_t n = 0; n < sizeof(whole); n++)
		assert_int_equal(sw_event_check(&whole, n, &none), -EINVAL);
	memcpy(longer, &whole, sizeof(whole));
	assert_int_equal(sw_event_check(longer, sizeof(longer), &none), -EINVAL);
	REFUSED(event.version++);
	REFUSED(event.size--);
	REFUSED(event.kind = 0);
	REFUSED(event.kind = SW_EVENT_KIND_MAX);
	REFUSED(event.verdict = SW_VERDICT_MAX);
	REFUSED(event.reason = SW_REASON_MAX);
	REFUSED(event.family = 5);
	REFUSED(event.rule = SW_RULES_MAX);
	REFUSED(event.verb = SW_VERB_MAX);
	REFUSED(event.mechanism = SW_MECHANISM_MAX);
	REFUSED(event.tls = SW_TLS_MAX);
	REFUSED(event.from_server = 2);
	REFUSED(event.served = 2);
	REFUSED(memset(event.caller.comm, 'x', sizeof(event.caller.comm)));
	REFUSED(memset(event.caller.exe, 'x', sizeof(event.caller.exe)));
	REFUSED(memset(event.caller.cgroup, 'x', sizeof(event.caller.cgroup)));
}

static void test_object(void **state)
{
	struct sw_event event = sample();
	json_auto_t *object = sw_event_json(&event, &about);

	(void)state;
	assert_non_null(object);
	expect_text(object, "time", "2023-11-14T22:13:25.123456Z");
	expect_text(object, "kind", "connect");
	expect_text(object, "verdict", "reject");
	expect_text(object, "reason", "not_permitted");
	expect_number(object, "rule", 2);
	expect_number(object, "line", 14);
	expect_text(object, "rule_text", rule.rule);
	expect_text(object, "text", rule.text);
	expect_text(object, "scope", "host");
	expect_number(object, "port", 25);
	expect_text(object, "src", NULL);
	expect_text(object, "src_port", NULL);
	expect_text(object, "dst", "203.0.113.5");
	expect_number(object, "dst_port", 25);
	expect_text(object, "redirect", NULL);
	expect_number(object, "pid", 77);
	expect_text(object, "exe", "/usr/bin/php8.2");
	expect_text(object, "exe_note", NULL);
	expect_number(object, "uid", 33);
	expect_text(object, "user", "www-data");
	expect_text(object, "unit", "php8.2-fpm.service");
	expect_text(object, "tls", NULL);
	expect_text(object, "sni", NULL);
	expect_number(object, "generation", 3);
	expect_number(object, "suppressed", 0);
}

/* What is not known is null, never a number or a name that somebody has. */
static void test_object_unknown(void **state)
{
	const struct sw_event_about nothing = {};
	struct sw_event event = sample();
	json_auto_t *object = NULL;

	(void)state;
	event.rule = SW_RULE_NONE;
	event.caller = (struct sw_caller){.uid = ~0u, .gid = ~0u, .flags = SW_CALLER_WORKER};
	object = sw_event_json(&event, &nothing);
	expect_text(object, "rule", NULL);
	expect_text(object, "line", NULL);
	expect_text(object, "uid", NULL);
	expect_text(object, "gid", NULL);
	expect_text(object, "user", NULL);
	expect_text(object, "exe", NULL);
	assert_true(json_is_string(json_object_get(object, "exe_note")));
}

static void test_object_redirect(void **state)
{
	struct sw_event event = sample();
	json_auto_t *four = NULL, *six = NULL;

	(void)state;
	event.verdict = SW_VERDICT_REDIRECT;
	event.new_port = 2525;
	event.src_port = 40000;
	memcpy(event.src, (uint8_t[16]){[10] = 0xff, 0xff, 192, 0, 2, 1}, 16);
	memcpy(event.new_dst, (uint8_t[16]){[10] = 0xff, 0xff, 127, 0, 0, 1}, 16);
	four = sw_event_json(&event, &about);
	expect_text(four, "redirect", "127.0.0.1:2525");
	expect_text(four, "src", "192.0.2.1");
	expect_number(four, "src_port", 40000);
	memcpy(event.new_dst, (uint8_t[16]){[15] = 1}, 16);
	six = sw_event_json(&event, &about);
	expect_text(six, "redirect", "[::1]:2525");
}

/* Refused with an answer: where it was sent for that is of no interest. */
static void test_object_answer(void **state)
{
	struct sw_event event = sample();
	json_auto_t *object = NULL;
	char line[2048] = "";
	FILE *to = fmemopen(line, sizeof(line), "w");

	(void)state;
	assert_non_null(to);
	event.new_port = 44991;
	memcpy(event.new_dst, (uint8_t[16]){[10] = 0xff, 0xff, 127, 0, 0, 1}, 16);
	object = sw_event_json(&event, &about);
	expect_text(object, "redirect", NULL);
	sw_event_line(&event, &about, to);
	fclose(to);
	assert_non_null(strstr(line, "port 25 (and told so): line 14"));
	assert_null(strstr(line, "44991"));
}

/* ---- the gate ---- */

static const struct sw_rule_info tls_rule = {.line = 12, .rule = "require tls"};
static const struct sw_event_about gate_about = {
	.boot_ns = 1700000000000000000ull,
	.rule = &tls_rule,
	.user = "www-data",
	.sni = "mail.example.net",
};

static struct sw_event gate_sample(uint8_t reason)
{
	struct sw_event event = sample();

	event.kind = SW_EVENT_GATE;
	event.verdict = SW_VERDICT_RESET;
	event.reason = reason;
	event.dst_port = 587;
	event.src_port = 40000;
	return event;
}

static void test_object_gate(void **state)
{
	struct sw_event event = gate_sample(SW_REASON_CLEARTEXT_COMMAND);
	json_auto_t *object = NULL, *cut = NULL, *server = NULL, *unknown = NULL;

	(void)state;
	event.verb = SW_VERB_AUTH;
	event.verb_length = 4;
	event.mechanism = SW_MECHANISM_PLAIN;
	object = sw_event_json(&event, &gate_about);
	expect_text(object, "kind", "gate");
	expect_text(object, "verdict", "reset");
	expect_text(object, "reason", "cleartext_command");
	expect_text(object, "verb", "AUTH PLAIN");
	assert_null(json_object_get(object, "verb_length"));
	expect_text(object, "from", "client");
	expect_text(object, "tls", "none");
	expect_text(object, "tls_version", NULL);
	expect_text(object, "sni", "mail.example.net");
	/* The letters that were seen and not one more. */
	event.verb_length = 1;
	event.mechanism = SW_MECHANISM_NONE;
	cut = sw_event_json(&event, &gate_about);
	expect_text(cut, "verb", "A");
	expect_number(cut, "verb_length", 1);
	event = gate_sample(SW_REASON_TLS_TOO_OLD);
	event.from_server = 1;
	event.tls = SW_TLS_STARTTLS;
	event.tls_version = 0x0301;
	server = sw_event_json(&event, &about);
	expect_text(server, "from", "server");
	expect_text(server, "tls", "starttls");
	expect_text(server, "tls_version", "0x0301");
	expect_text(server, "verb", NULL);
	expect_text(server, "sni", NULL);
	event = gate_sample(SW_REASON_CLEARTEXT_COMMAND);
	unknown = sw_event_json(&event, &about);
	expect_text(unknown, "verb", NULL);
}

/* Names that a caller chose cannot forge a line, move a cursor or break the JSON. */
static void test_hostile_names(void **state)
{
	struct sw_event event = sample();
	json_auto_t *object = NULL;
	char line[4096] = "";
	FILE *to = fmemopen(line, sizeof(line), "w");

	(void)state;
	assert_non_null(to);
	strcpy(event.caller.exe, "/tmp/a\n12:00:00  passed\x1b[2J\xff\xe2\x80\xae");
	strcpy(event.caller.comm, "\r\x80");
	strcpy(event.caller.cgroup, "/x\ty.service");
	object = sw_event_json(&event, &about);
	expect_text(object, "exe", "/tmp/a\\x0a12:00:00  passed\\x1b[2J\\xff\\u{202e}");
	expect_text(object, "comm", "\\x0d\\x80");
	expect_text(object, "unit", "x\\x09y.service");
	sw_event_line(&event, &about, to);
	fclose(to);
	for (const char *at = line; *at; at++)
		assert_true((unsigned char)*at >= 0x20 && (unsigned char)*at < 0x7f);
}

static void expect_line(const struct sw_event *event, const struct sw_event_about *with,
			const char *expected)
{
	char line[4096] = "";
	FILE *to = fmemopen(line, sizeof(line), "w");

	assert_non_null(to);
	sw_event_line(event, with, to);
	fclose(to);
	assert_string_equal(line, expected);
}

static void test_line(void **state)
{
	struct sw_event event = sample();

	(void)state;
	expect_line(
		&event, &about,
		"22:13:25  refused  user www-data (/usr/bin/php8.2, unit php8.2-fpm.service) -> "
		"203.0.113.5 port 25: line 14: reject \"Port 25 is closed here.\"");
	event.suppressed = 3;
	event.caller.exe[0] = '\0';
	event.caller.cgroup[0] = '\0';
	expect_line(&event, &about,
		    "22:13:25  refused  user www-data (php8.2) -> 203.0.113.5 port 25: line 14: "
		    "reject \"Port 25 is closed here.\" (and 3 more like it)");
}

#define GATE_LINE                                                                                  \
	"22:13:25  reset  user www-data (/usr/bin/php8.2, unit php8.2-fpm.service) -> "            \
	"203.0.113.5 port 587: line 12: require tls: "

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
		sw_event_line(&event, &about, to);
		fclose(to);
		assert_memory_equal(line + strlen("22:13:25  "), cases[i].word,
				    strlen(cases[i].word));
	}
}

static void test_names(void **state)
{
	struct sw_names *names = sw_names_new();

	(void)state;
	assert_non_null(names);
	assert_string_equal(sw_names_user(names, 0), "root");
	assert_string_equal(sw_names_group(names, 0), "root");
	/* the second time from memory; and one that takes the same place in the table */
	assert_string_equal(sw_names_user(names, 0), "root");
	assert_null(sw_names_user(names, 4000000000u - 4000000000u % 256));
	assert_string_equal(sw_names_user(names, 0), "root");
	assert_null(sw_names_user(names, UINT32_MAX));
	sw_names_free(names);
}

static void test_history(void **state)
{
	struct sw_history *history = sw_history_new();

	(void)state;
	assert_non_null(history);
	assert_null(sw_history_get(history, 0));
	assert_null(sw_history_get(history, 1));
	for (uint64_t i = 1; i <= SW_HISTORY_SIZE + 10; i++) {
		char *frame = malloc(1);

		assert_non_null(frame);
		sw_history_add(history, i * 100, frame, 1);
	}
	assert_int_equal(history->first, 11);
	assert_int_equal(history->next, SW_HISTORY_SIZE + 11);
	assert_null(sw_history_get(history, 10));
	assert_int_equal(sw_history_get(history, 11)->time_ns, 1100);
	assert_int_equal(sw_history_get(history, SW_HISTORY_SIZE + 10)->time_ns,
			 (SW_HISTORY_SIZE + 10) * 100);
	assert_null(sw_history_get(history, SW_HISTORY_SIZE + 11));
	sw_history_free(history);
}

/* ---- the edge ---- */

static const struct sw_rule_info edge_rule = {
	.line = 9, .scope = 1, .rule = "reject \"Port 25 is closed here.\""};
static const struct sw_event_about edge_about = {
	.boot_ns = 1700000000000000000ull, .rule = &edge_rule, .interface = "tap3"};

static struct sw_event edge_sample(void)
{
	struct sw_event event = sample();

	event.kind = SW_EVENT_EDGE;
	event.caller = (struct sw_caller){};
	event.src_port = 40000;
	memcpy(event.src, (uint8_t[16]){[10] = 0xff, 0xff, 192, 0, 2, 7}, 16);
	event.interface = 7;
	memcpy(event.mac, (uint8_t[6]){0x52, 0x54, 0, 0x12, 0x34, 0x56}, 6);
	return event;
}

static void test_object_edge(void **state)
{
	struct sw_event event = edge_sample();
	json_auto_t *object = sw_event_json(&event, &edge_about), *tagged = NULL;
	static const char *const nobody[] = {"pid", "exe",  "exe_note", "comm", "uid",
					     "gid", "user", "group",    "unit", "cgroup"};

	(void)state;
	expect_text(object, "kind", "edge");
	expect_text(object, "scope", "edge");
	expect_text(object, "verdict", "reject");
	expect_text(object, "interface", "tap3");
	expect_text(object, "mac", "52:54:00:12:34:56");
	assert_int_equal(json_array_size(json_object_get(object, "vlan")), 0);
	expect_text(object, "pppoe_session", NULL);
	expect_text(object, "tls", "none");
	expect_text(object, "from", "client");
	expect_text(object, "verb", NULL);
	for (size_t i = 0; i < sw_count(nobody); i++)
		assert_true(json_is_null(json_object_get(object, nobody[i])));
	memset(event.mac, 0, sizeof(event.mac));
	event.vlan[0] = 100;
	event.vlan[1] = 7;
	event.session = 17;
	event.rule = SW_RULE_NONE;
	tagged = sw_event_json(&event, &(struct sw_event_about){});
	expect_text(tagged, "scope", "edge");
	expect_text(tagged, "interface", "7");
	expect_text(tagged, "mac", NULL);
	assert_int_equal(json_array_size(json_object_get(tagged, "vlan")), 2);
	assert_int_equal(json_integer_value(json_array_get(json_object_get(tagged, "vlan"), 1)), 7);
	expect_number(tagged, "pppoe_session", 17);
}

static void test_line_edge(void **state)
{
	struct sw_event event = edge_sample();

	(void)state;
	event.suppressed = 3998;
	expect_line(&event, &edge_about,
		    "22:13:25  refused  192.0.2.7 port 40000 (tap3, 52:54:00:12:34:56) -> "
		    "203.0.113.5 port "
		    "25: line 9: reject \"Port 25 is closed here.\" (and 3998 more like it)");
	event.suppressed = 0;
	event.vlan[0] = 100;
	event.session = 17;
	event.verdict = SW_VERDICT_DROP;
	expect_line(
		&event, &edge_about,
		"22:13:25  dropped  192.0.2.7 port 40000 (tap3, 52:54:00:12:34:56, VLAN 100, PPPoE "
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
		    "22:13:25  reset  192.0.2.7 port 40000 (interface 7) -> 203.0.113.5 port 25: "
		    "AUTH PLAIN "
		    "was sent before TLS began");
	event.verdict = SW_VERDICT_AUDIT;
	expect_line(&event, &nothing,
		    "22:13:25  recorded  192.0.2.7 port 40000 (interface 7) -> 203.0.113.5 port "
		    "25: AUTH "
		    "PLAIN was sent before TLS began");
	event.reason = SW_REASON_UNATTRIBUTED;
	expect_line(&event, &nothing,
		    "22:13:25  would be refused  192.0.2.7 port 40000 (interface 7) -> 203.0.113.5 "
		    "port 25: "
		    "the beginning of the connection was not seen, or is forgotten");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_check),           cmocka_unit_test(test_object_answer),
		cmocka_unit_test(test_object_edge),     cmocka_unit_test(test_line_edge),
		cmocka_unit_test(test_line_edge_gate),  cmocka_unit_test(test_check_refuses),
		cmocka_unit_test(test_object),          cmocka_unit_test(test_object_unknown),
		cmocka_unit_test(test_object_redirect), cmocka_unit_test(test_object_gate),
		cmocka_unit_test(test_hostile_names),   cmocka_unit_test(test_line),
		cmocka_unit_test(test_line_gate),       cmocka_unit_test(test_line_verdicts),
		cmocka_unit_test(test_names),           cmocka_unit_test(test_history),
	};

	/* Lines are in local time. */
	setenv("TZ", "UTC", 1);
	tzset();
	return cmocka_run_group_tests_name("events", tests, NULL, NULL);
}
