/* SPDX-License-Identifier: GPL-2.0-or-later */
/* How clients of this machine's servers, sessions that have ended, and SMTP elsewhere are told. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

#include "daemon/base.h"
#include "daemon/events.h"
#include "tests/unit/expect_json.h"

static struct sw_event sample(uint8_t kind, uint8_t reason)
{
	return (struct sw_event){
		.version = SW_ABI_VERSION,
		.size = sizeof(struct sw_event),
		.kind = kind,
		.reason = reason,
		.family = 4,
		.time_ns = 5123456789,
		.rule = 1,
		.src_port = 40000,
		.dst_port = 587,
		.caller = {.pid = 77, .uid = 33, .gid = 33, .exe = "/usr/bin/php8.2"},
	};
}

static void expect_line(const struct sw_event *event, const struct sw_event_about *with,
			const char *expected)
{
	char line[4096] = "";
	FILE *to = fmemopen(line, sizeof(line), "w");

	assert_non_null(to);
	sw_event_line(event, with, to);
	fclose(to);
	/* Behind the time of day, which is local. */
	assert_string_equal(strchr(line, ' ') + 2, expected);
}

/* Of a client: its address first, then whose server it came to. */
static void test_serve(void **state)
{
	static const struct sw_rule_info serves = {
		.line = 9, .scope = 2 /* serve */, .rule = "audit"};
	const struct sw_event_about with = {.boot_ns = 1700000000000000000ull,
					    .rule = &serves,
					    .user = "mail",
					    .cipher = "TLS_AES_256_GCM_SHA384"};
	struct sw_event event = sample(SW_EVENT_SERVE, SW_REASON_CLEARTEXT_COMMAND);
	json_auto_t *object = NULL, *session = NULL;

	(void)state;
	event.served = 1;
	event.verdict = SW_VERDICT_AUDIT;
	event.verb = SW_VERB_AUTH;
	event.verb_length = 4;
	event.mechanism = SW_MECHANISM_PLAIN;
	event.caller = (struct sw_caller){
		.flags = SW_CALLER_SERVER, .gid = UINT32_MAX, .cgroup = "/system.slice/a.service"};
	memcpy(event.src, (uint8_t[16]){[10] = 0xff, 0xff, 203, 0, 113, 5}, 16);
	memcpy(event.dst, (uint8_t[16]){[10] = 0xff, 0xff, 192, 0, 2, 1}, 16);
	object = sw_event_json(&event, &with);
	expect_text(object, "kind", "serve");
	expect_text(object, "scope", "serve");
	expect_text(object, "verb", "AUTH PLAIN");
	expect_text(object, "src", "203.0.113.5");
	expect_text(object, "unit", "a.service");
	expect_text(object, "exe_note", NULL);
	expect_line(&event, &with,
		    "recorded  203.0.113.5 port 40000 -> 192.0.2.1 port 587 (user mail, unit "
		    "a.service): line 9: audit: AUTH PLAIN was sent before TLS began");
	event.verdict = SW_VERDICT_DROP;
	event.reason = SW_REASON_NOT_PERMITTED;
	expect_line(&event, &with,
		    "dropped  203.0.113.5 port 40000 -> 192.0.2.1 port 587 (user mail, unit "
		    "a.service): line 9: audit");
	event.kind = SW_EVENT_SESSION;
	event.verdict = SW_VERDICT_ALLOW;
	event.reason = SW_REASON_NONE;
	event.tls = SW_TLS_STARTTLS;
	event.tls_version = 0x0304;
	event.sent = 120;
	event.received = 300;
	session = sw_event_json(&event, &with);
	expect_text(session, "kind", "session");
	expect_text(session, "tls", "starttls");
	expect_text(session, "tls_version", "0x0304");
	expect_text(session, "cipher", "TLS_AES_256_GCM_SHA384");
	expect_number(session, "sent", 120);
	expect_number(session, "received", 300);
	assert_null(json_object_get(session, "verb"));
	expect_line(&event, &with,
		    "ended  203.0.113.5 port 40000 -> 192.0.2.1 port 587 (user mail, unit "
		    "a.service) (TLS 1.3; 120 bytes sent, 300 received): line 9: audit");
}

/* A program that speaks SMTP where no rule looks for it. */
static void test_elsewhere(void **state)
{
	const struct sw_event_about with = {.user = "www-data"};
	struct sw_event event = sample(SW_EVENT_ELSEWHERE, SW_REASON_SMTP_ELSEWHERE);
	json_auto_t *object = NULL;

	(void)state;
	event.verdict = SW_VERDICT_AUDIT;
	event.rule = SW_RULE_NONE;
	object = sw_event_json(&event, &with);
	expect_text(object, "kind", "elsewhere");
	expect_text(object, "scope", "host");
	expect_text(object, "reason", "smtp_elsewhere");
	assert_true(json_is_null(json_object_get(object, "rule")));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_serve),
		cmocka_unit_test(test_elsewhere),
	};

	return cmocka_run_group_tests_name("events of clients", tests, NULL, NULL);
}
