/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Records of the kernel: what is taken for one, and what is said of it. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>
#include <time.h>

#include <cmocka.h>

#include "tests/unit/event_samples.h"

static void test_check(void **state)
{
	struct sw_event event = sample(), out;

	(void)state;
	assert_int_equal(sw_event_check(&event, sizeof(event), &out), 0);
	assert_memory_equal(&event, &out, sizeof(event));
	event.rule = SW_RULE_NONE;
	assert_int_equal(sw_event_check(&event, sizeof(event), &out), 0);
}

/* A record with short names is the same event. */
static void test_check_short(void **state)
{
	struct sw_event event = sample(), whole = sample(), out;
	struct sw_event_short names = {};

	(void)state;
	event.size = sizeof(names);
	memcpy(names.head, &event, sizeof(names.head));
	strcpy(names.exe, event.caller.exe);
	strcpy(names.cgroup, event.caller.cgroup);
	assert_int_equal(sw_event_check(&names, sizeof(names), &out), 0);
	assert_memory_equal(&whole, &out, sizeof(whole));
	assert_int_equal(sw_event_check(&names, sizeof(names) - 1, &out), -EINVAL);
	/* Names without an end go as far as their room. */
	memset(names.exe, 'x', sizeof(names.exe));
	assert_int_equal(sw_event_check(&names, sizeof(names), &out), 0);
	assert_int_equal(strlen(out.caller.exe), sizeof(names.exe));
	event.size = sizeof(event);
	memcpy(names.head, &event, sizeof(names.head));
	assert_int_equal(sw_event_check(&names, sizeof(names), &out), -EINVAL);
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
	json_auto_t *object = object_of(&event, &about);

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
	object = object_of(&event, &nothing);
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
	four = object_of(&event, &about);
	expect_text(four, "redirect", "127.0.0.1:2525");
	expect_text(four, "src", "192.0.2.1");
	expect_number(four, "src_port", 40000);
	memcpy(event.new_dst, (uint8_t[16]){[15] = 1}, 16);
	six = object_of(&event, &about);
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
	object = object_of(&event, &about);
	expect_text(object, "redirect", NULL);
	line_of(&event, &about, to);
	fclose(to);
	assert_non_null(strstr(line, "port 25 (and told so): line 14"));
	assert_null(strstr(line, "44991"));
}

/* ---- the gate ---- */

static void test_object_gate(void **state)
{
	struct sw_event event = gate_sample(SW_REASON_CLEARTEXT_COMMAND);
	json_auto_t *object = NULL, *cut = NULL, *server = NULL, *unknown = NULL;

	(void)state;
	event.verb = SW_VERB_AUTH;
	event.verb_length = 4;
	event.mechanism = SW_MECHANISM_PLAIN;
	object = object_of(&event, &gate_about);
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
	cut = object_of(&event, &gate_about);
	expect_text(cut, "verb", "A");
	expect_number(cut, "verb_length", 1);
	event = gate_sample(SW_REASON_TLS_TOO_OLD);
	event.from_server = 1;
	event.tls = SW_TLS_STARTTLS;
	event.tls_version = 0x0301;
	server = object_of(&event, &about);
	expect_text(server, "from", "server");
	expect_text(server, "tls", "starttls");
	expect_text(server, "tls_version", "0x0301");
	expect_text(server, "verb", NULL);
	expect_text(server, "sni", NULL);
	event = gate_sample(SW_REASON_CLEARTEXT_COMMAND);
	unknown = object_of(&event, &about);
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
	object = object_of(&event, &about);
	expect_text(object, "exe", "/tmp/a\\x0a12:00:00  passed\\x1b[2J\\xff\\u{202e}");
	expect_text(object, "comm", "\\x0d\\x80");
	expect_text(object, "unit", "x\\x09y.service");
	line_of(&event, &about, to);
	fclose(to);
	for (const char *at = line; *at; at++)
		assert_true((unsigned char)*at >= 0x20 && (unsigned char)*at < 0x7f);
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
	assert_null(sw_names_user(names, 4000000000u - 4000000000u % 4096));
	assert_string_equal(sw_names_user(names, 0), "root");
	assert_null(sw_names_user(names, UINT32_MAX));
	sw_names_free(names);
}

/* ---- sessions, and what this machine serves ---- */

static void test_session(void **state)
{
	static const struct sw_rule_info allow = {.line = 7, .rule = "allow from mta"};
	struct sw_event_about with = about;
	struct sw_event event = sample();
	json_auto_t *object = NULL;

	(void)state;
	with.rule = &allow;
	with.sni = "mx.example.net";
	event.kind = SW_EVENT_SESSION;
	event.verdict = SW_VERDICT_ALLOW;
	event.reason = SW_REASON_NONE;
	event.tls = SW_TLS_STARTTLS;
	event.tls_version = 0x0304;
	event.cipher = 0x1302;
	event.opened_ns = 123456789;
	event.sent = 4711;
	event.received = 812;
	object = object_of(&event, &with);
	expect_text(object, "kind", "session");
	expect_text(object, "tls", "starttls");
	expect_text(object, "tls_version", "0x0304");
	expect_text(object, "cipher_suite", "0x1302");
	expect_text(object, "opened", "2023-11-14T22:13:20.123456Z");
	expect_text(object, "sni", "mx.example.net");
	expect_number(object, "sent", 4711);
	expect_number(object, "received", 812);
	assert_null(json_object_get(object, "verb"));
	expect_line(&event, &with,
		    "ended  user www-data (/usr/bin/php8.2, unit php8.2-fpm.service) -> "
		    "203.0.113.5 port 25: TLS 1.3, 5.000 s, 4711 bytes sent, 812 received: line 7: "
		    "allow from mta");
}

static void test_served(void **state)
{
	static const struct sw_rule_info rule_of = {.line = 20, .scope = 2, .rule = "audit"};
	struct sw_event_about with = about;
	struct sw_event event = gate_sample(SW_REASON_CLEARTEXT_COMMAND);
	json_auto_t *object = NULL, *forgotten = NULL;

	(void)state;
	with.rule = &rule_of;
	event.kind = SW_EVENT_SERVE;
	event.served = 1;
	event.verdict = SW_VERDICT_AUDIT;
	event.verb = SW_VERB_AUTH;
	event.verb_length = 4;
	event.mechanism = SW_MECHANISM_LOGIN;
	memcpy(event.src, (uint8_t[16]){[10] = 0xff, 0xff, 192, 0, 2, 7}, 16);
	object = object_of(&event, &with);
	expect_text(object, "kind", "serve");
	expect_text(object, "scope", "serve");
	expect_text(object, "src", "192.0.2.7");
	expect_text(object, "verb", "AUTH LOGIN");
	expect_line(&event, &with,
		    "recorded  192.0.2.7 port 40000 -> 203.0.113.5 port 587 (user www-data, unit "
		    "php8.2-fpm.service): line 20: audit: AUTH LOGIN was sent before TLS began");
	event.verdict = SW_VERDICT_DROP;
	event.reason = SW_REASON_NOT_PERMITTED;
	event.caller.flags = SW_CALLER_SERVER;
	expect_line(&event, &with,
		    "dropped  192.0.2.7 port 40000 -> 203.0.113.5 port 587 (user www-data, unit "
		    "php8.2-fpm.service): line 20: audit");
	with.rule = NULL;
	forgotten = object_of(&event, &with);
	expect_text(forgotten, "exe_note", NULL);
	expect_text(forgotten, "scope", "serve");
}

static void test_elsewhere(void **state)
{
	struct sw_event event = sample();
	json_auto_t *object = NULL;

	(void)state;
	event.kind = SW_EVENT_ELSEWHERE;
	event.verdict = SW_VERDICT_AUDIT;
	event.reason = SW_REASON_SMTP_ELSEWHERE;
	event.rule = SW_RULE_NONE;
	event.dst_port = 2526;
	object = object_of(&event, &(struct sw_event_about){});
	expect_text(object, "kind", "elsewhere");
	expect_text(object, "reason", "smtp_elsewhere");
	expect_text(object, "rule", NULL);
	expect_text(object, "tls", NULL);
	expect_line(
		&event, &(struct sw_event_about){},
		"recorded  user 33 (/usr/bin/php8.2, unit php8.2-fpm.service) -> 203.0.113.5 port "
		"2526: SMTP was spoken on a port that no rule names.");
}

/* ---- the edge ---- */

static void test_object_edge(void **state)
{
	struct sw_event event = edge_sample();
	json_auto_t *object = object_of(&event, &edge_about), *tagged = NULL;
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
	tagged = object_of(&event, &(struct sw_event_about){});
	expect_text(tagged, "scope", "edge");
	expect_text(tagged, "interface", "7");
	expect_text(tagged, "mac", NULL);
	assert_int_equal(json_array_size(json_object_get(tagged, "vlan")), 2);
	assert_int_equal(json_integer_value(json_array_get(json_object_get(tagged, "vlan"), 1)), 7);
	expect_number(tagged, "pppoe_session", 17);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_check),          cmocka_unit_test(test_object_answer),
		cmocka_unit_test(test_object_edge),    cmocka_unit_test(test_check_refuses),
		cmocka_unit_test(test_check_short),    cmocka_unit_test(test_object),
		cmocka_unit_test(test_object_unknown), cmocka_unit_test(test_object_redirect),
		cmocka_unit_test(test_object_gate),    cmocka_unit_test(test_hostile_names),
		cmocka_unit_test(test_names),          cmocka_unit_test(test_session),
		cmocka_unit_test(test_served),         cmocka_unit_test(test_elsewhere),
	};

	return cmocka_run_group_tests_name("events", tests, NULL, NULL);
}
