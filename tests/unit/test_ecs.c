/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Records in the field names of the Elastic Common Schema: every event with values that ECS allows. */
#include <arpa/inet.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

#include "bpf/vocabulary.h"
#include "daemon/base.h"
#include "daemon/ecs.h"
#include "daemon/policy/policy.h"
#include "daemon/proto.h"

static void release(json_t **object)
{
	json_decref(*object);
}

#define autojson sw_cleanup(release) json_t *

/* The value at a path like "source.ip"; NULL: there is none. */
static json_t *at(json_t *object, const char *path)
{
	for (const char *dot; object && (dot = strchr(path, '.')); path = dot + 1)
		object = json_object_getn(object, path, (size_t)(dot - path));
	return json_object_get(object, path);
}

static void expect(json_t *object, const char *path, const char *text)
{
	json_t *value = at(object, path);

	if (!value || !json_is_string(value) || strcmp(json_string_value(value), text) != 0)
		fail_msg("%s is %s, not %s", path, json_string_value(value), text);
}

static void expect_count(json_t *object, const char *path, json_int_t number)
{
	json_t *value = at(object, path);

	if (!json_is_integer(value))
		fail_msg("%s is no number", path);
	assert_int_equal(json_integer_value(value), number);
}

static void expect_types(json_t *object, const char *types)
{
	char text[128] = "";
	json_t *value;
	size_t i;

	json_array_foreach (at(object, "event.type"), i, value) {
		if (i)
			strcat(text, " ");
		strcat(text, json_string_value(value));
	}
	assert_string_equal(text, types);
}

static void address(uint8_t to[16], const char *text)
{
	assert_int_equal(sw_addr_parse(text, to), 0);
}

static void sample(struct sw_record *record, enum sw_event_kind kind, enum sw_verdict verdict,
		   enum sw_reason reason)
{
	sw_record_init(record);
	record->id = 4711;
	record->time_ns = 1767323045678901000u;
	record->kind = kind;
	record->verdict = verdict;
	record->reason = reason;
	record->family = 4;
	address(record->dst, "203.0.113.5");
	record->dst_port = 25;
	if (kind == SW_EVENT_EDGE)
		record->scope = SW_SCOPE_EDGE;
	if (kind == SW_EVENT_SERVE)
		record->scope = SW_SCOPE_SERVE;
}

/* ---- what ECS 8 lists ---- */

static bool is_of(const json_t *value, const char *const *list)
{
	for (; *list; list++)
		if (strcmp(json_string_value(value), *list) == 0)
			return true;
	return false;
}

static const char *const kinds[] = {"alert", "asset",          "enrichment", "event", "metric",
				    "state", "pipeline_error", "signal",     NULL};

/* Those that go with the category "network". */
static const char *const types[] = {"access", "allowed",  "connection", "denied", "end",
				    "info",   "protocol", "start",      NULL};

/* The fields of ECS that may stand beside "smtpwall". */
static const char *const fields[] = {
	"@timestamp",
	"destination.bytes",
	"destination.domain",
	"destination.ip",
	"destination.nat.ip",
	"destination.nat.port",
	"destination.port",
	"ecs.version",
	"event.action",
	"event.category",
	"event.code",
	"event.duration",
	"event.end",
	"event.kind",
	"event.module",
	"event.provider",
	"event.sequence",
	"event.start",
	"event.type",
	"message",
	"network.direction",
	"network.inner.vlan.id",
	"network.protocol",
	"network.transport",
	"network.type",
	"network.vlan.id",
	"observer.ingress.interface.name",
	"observer.product",
	"observer.type",
	"observer.version",
	"process.executable",
	"process.name",
	"process.pid",
	"rule.id",
	"rule.name",
	"rule.version",
	"source.bytes",
	"source.ip",
	"source.mac",
	"source.port",
	"tls.client.server_name",
	"tls.established",
	"tls.version",
	"tls.version_protocol",
	"user.group.id",
	"user.group.name",
	"user.id",
	"user.name",
	NULL,
};

static void check_fields(json_t *object, const char *prefix)
{
	const char *key;
	json_t *value;

	json_object_foreach (object, key, value) {
		char path[256];
		json_t *name;

		snprintf(path, sizeof(path), "%s%s%s", prefix, *prefix ? "." : "", key);
		assert_false(json_is_null(value));
		if (strcmp(path, "smtpwall") == 0)
			continue;
		if (json_is_object(value)) {
			check_fields(value, path);
			continue;
		}
		name = json_string(path);
		if (!is_of(name, fields))
			fail_msg("%s is no field of ECS", path);
		json_decref(name);
	}
}

static void test_every_event(void **state)
{
	(void)state;
	for (unsigned int kind = SW_EVENT_CONNECT; kind < SW_EVENT_KIND_MAX; kind++) {
		for (unsigned int verdict = 0; verdict < SW_VERDICT_MAX; verdict++) {
			struct sw_record record;
			autojson object = NULL;
			json_t *value;
			size_t i;

			sample(&record, kind, verdict, SW_REASON_NOT_PERMITTED);
			object = sw_ecs_json(&record);
			assert_non_null(object);
			check_fields(object, "");
			expect(object, "ecs.version", SW_ECS_VERSION);
			expect(object, "@timestamp", "2026-01-02T03:04:05.678901Z");
			expect(object, "event.code", "not_permitted");
			expect_count(object, "event.sequence", 4711);
			assert_true(is_of(at(object, "event.kind"), kinds));
			assert_int_equal(json_array_size(at(object, "event.category")), 1);
			assert_string_equal(
				json_string_value(json_array_get(at(object, "event.category"), 0)),
				"network");
			assert_true(json_array_size(at(object, "event.type")) > 0);
			json_array_foreach (at(object, "event.type"), i, value)
				assert_true(is_of(value, types));
			/* A refusal is no failure of what refused. */
			assert_null(at(object, "event.outcome"));
		}
	}
}

static void test_actions(void **state)
{
	static const struct {
		enum sw_event_kind kind;
		enum sw_verdict verdict;
		enum sw_reason reason;
		const char *action, *event_kind, *types;
	} rows[] = {
		{SW_EVENT_CONNECT, SW_VERDICT_REJECT, SW_REASON_NOT_PERMITTED, "connect-refused",
		 "alert", "connection denied"},
		{SW_EVENT_CONNECT, SW_VERDICT_DROP, SW_REASON_NOT_PERMITTED, "connect-refused",
		 "alert", "connection denied"},
		{SW_EVENT_CONNECT, SW_VERDICT_AUDIT, SW_REASON_NOT_PERMITTED, "connect-recorded",
		 "alert", "connection allowed"},
		{SW_EVENT_CONNECT, SW_VERDICT_AUDIT, SW_REASON_NONE, "connect-recorded", "event",
		 "connection allowed"},
		{SW_EVENT_CONNECT, SW_VERDICT_REDIRECT, SW_REASON_NONE, "connect-redirected",
		 "event", "connection allowed"},
		{SW_EVENT_PACKET, SW_VERDICT_DROP, SW_REASON_UNATTRIBUTED, "packet-refused",
		 "alert", "connection denied"},
		{SW_EVENT_GATE, SW_VERDICT_RESET, SW_REASON_CLEARTEXT_COMMAND, "session-reset",
		 "alert", "connection protocol denied"},
		{SW_EVENT_GATE, SW_VERDICT_AUDIT, SW_REASON_CLEARTEXT_COMMAND, "session-recorded",
		 "alert", "connection protocol allowed"},
		{SW_EVENT_EDGE, SW_VERDICT_REJECT, SW_REASON_NOT_PERMITTED, "forward-refused",
		 "alert", "connection denied"},
		{SW_EVENT_EDGE, SW_VERDICT_RESET, SW_REASON_NOT_TLS, "forward-reset", "alert",
		 "connection protocol denied"},
		{SW_EVENT_SESSION, SW_VERDICT_ALLOW, SW_REASON_NONE, "session-ended", "event",
		 "connection end"},
		{SW_EVENT_SERVE, SW_VERDICT_AUDIT, SW_REASON_CLEARTEXT_COMMAND, "serve-recorded",
		 "alert", "connection protocol allowed"},
		{SW_EVENT_ELSEWHERE, SW_VERDICT_AUDIT, SW_REASON_SMTP_ELSEWHERE,
		 "elsewhere-recorded", "alert", "connection protocol allowed"},
	};

	(void)state;
	for (size_t i = 0; i < sw_count(rows); i++) {
		struct sw_record record;
		autojson object = NULL;

		sample(&record, rows[i].kind, rows[i].verdict, rows[i].reason);
		object = sw_ecs_json(&record);
		expect(object, "event.action", rows[i].action);
		expect(object, "event.kind", rows[i].event_kind);
		expect_types(object, rows[i].types);
	}
}

static void test_refusal(void **state)
{
	struct sw_record record;
	autojson object = NULL;

	(void)state;
	sample(&record, SW_EVENT_CONNECT, SW_VERDICT_REJECT, SW_REASON_NOT_PERMITTED);
	record.rule = 3;
	record.line = 14;
	record.generation = 9;
	record.pid = 4242;
	record.uid = record.gid = 33;
	record.text[SW_TEXT_USER] = record.text[SW_TEXT_GROUP] = "www-data";
	record.text[SW_TEXT_EXE] = "/usr/bin/php8.2";
	record.text[SW_TEXT_COMM] = "php";
	record.text[SW_TEXT_UNIT] = "apache2.service";
	record.text[SW_TEXT_RULE] = "reject \"Closed.\"";
	object = sw_ecs_json(&record);
	expect(object, "rule.id", "3");
	expect(object, "rule.name", "reject \"Closed.\"");
	expect(object, "rule.version", "9");
	expect_count(object, "smtpwall.line", 14);
	expect_count(object, "process.pid", 4242);
	expect(object, "process.executable", "/usr/bin/php8.2");
	expect(object, "process.name", "php");
	expect(object, "user.id", "33");
	expect(object, "user.name", "www-data");
	expect(object, "user.group.id", "33");
	expect(object, "user.group.name", "www-data");
	expect(object, "smtpwall.unit", "apache2.service");
	expect(object, "smtpwall.verdict", "reject");
	expect(object, "destination.ip", "203.0.113.5");
	expect_count(object, "destination.port", 25);
	expect(object, "network.transport", "tcp");
	expect(object, "network.type", "ipv4");
	expect(object, "network.direction", "egress");
	assert_non_null(strstr(json_string_value(at(object, "message")), "php8.2"));
	/* Not known, so not there: the socket was not bound, nothing was said. */
	assert_null(at(object, "source"));
	assert_null(at(object, "tls"));
	assert_null(at(object, "network.protocol"));
	assert_null(at(object, "smtpwall.exe_note"));
}

static void test_unknown_caller(void **state)
{
	struct sw_record record;
	autojson object = NULL;

	(void)state;
	sample(&record, SW_EVENT_PACKET, SW_VERDICT_DROP, SW_REASON_UNATTRIBUTED);
	object = sw_ecs_json(&record);
	assert_null(at(object, "process"));
	assert_null(at(object, "user"));
	assert_null(at(object, "rule.id"));
}

static void test_edge(void **state)
{
	static const uint8_t sender[6] = {0x52, 0x54, 0, 0xab, 0xcd, 0xef};
	struct sw_record record;
	autojson object = NULL;

	(void)state;
	sample(&record, SW_EVENT_EDGE, SW_VERDICT_RESET, SW_REASON_CLEARTEXT_COMMAND);
	record.family = 6;
	address(record.src, "2001:db8::7");
	address(record.dst, "2001:db8::25");
	record.src_port = 40000;
	record.verb = SW_VERB_AUTH;
	record.verb_length = 4;
	record.vlan[0] = 7;
	record.vlan[1] = 12;
	memcpy(record.mac, sender, sizeof(sender));
	record.text[SW_TEXT_INTERFACE] = "tap3";
	object = sw_ecs_json(&record);
	check_fields(object, "");
	expect(object, "source.ip", "2001:db8::7");
	expect_count(object, "source.port", 40000);
	expect(object, "source.mac", "52-54-00-AB-CD-EF");
	expect(object, "network.type", "ipv6");
	expect(object, "network.protocol", "smtp");
	expect(object, "network.direction", "outbound");
	expect(object, "network.vlan.id", "7");
	expect(object, "network.inner.vlan.id", "12");
	expect(object, "observer.ingress.interface.name", "tap3");
	expect(object, "smtpwall.verb", "AUTH");
}

static void test_session(void **state)
{
	struct sw_record record;

	(void)state;
	for (int served = 0; served < 2; served++) {
		autojson object = NULL;

		sample(&record, SW_EVENT_SESSION, SW_VERDICT_ALLOW, SW_REASON_NONE);
		record.scope = served ? SW_SCOPE_SERVE : SW_SCOPE_HOST;
		record.opened_ns = record.time_ns - 2500000000u;
		record.sent = 100;
		record.received = 7;
		record.tls = SW_TLS_STARTTLS;
		record.tls_version = 0x0304;
		record.cipher = 0x1302;
		record.text[SW_TEXT_SNI] = "mail.example.net";
		object = sw_ecs_json(&record);
		check_fields(object, "");
		expect(object, "event.start", "2026-01-02T03:04:03.178901Z");
		expect(object, "event.end", "2026-01-02T03:04:05.678901Z");
		expect_count(object, "event.duration", 2500000000);
		expect_count(object, served ? "destination.bytes" : "source.bytes", 100);
		expect_count(object, served ? "source.bytes" : "destination.bytes", 7);
		assert_true(json_is_true(at(object, "tls.established")));
		expect(object, "tls.version", "1.3");
		expect(object, "tls.version_protocol", "tls");
		expect(object, "tls.client.server_name", "mail.example.net");
		expect(object, "destination.domain", "mail.example.net");
		expect(object, "network.protocol", "smtp");
		expect(object, "smtpwall.tls", "starttls");
		expect(object, "smtpwall.cipher_suite", "0x1302");
	}
}

static void test_redirect(void **state)
{
	struct sw_record record;
	autojson object = NULL;

	(void)state;
	sample(&record, SW_EVENT_CONNECT, SW_VERDICT_REDIRECT, SW_REASON_NONE);
	address(record.new_dst, "127.0.0.1");
	record.new_port = 2525;
	object = sw_ecs_json(&record);
	expect(object, "destination.nat.ip", "127.0.0.1");
	expect_count(object, "destination.nat.port", 2525);
}

static void test_lost(void **state)
{
	autojson object = sw_ecs_lost(1767323045678901000u, 100, 23);

	(void)state;
	check_fields(object, "");
	expect(object, "@timestamp", "2026-01-02T03:04:05.678901Z");
	assert_true(is_of(at(object, "event.kind"), kinds));
	expect(object, "event.action", "events-lost");
	expect_count(object, "event.sequence", 100);
	expect_count(object, "smtpwall.lost", 23);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_every_event), cmocka_unit_test(test_actions),
		cmocka_unit_test(test_refusal),     cmocka_unit_test(test_unknown_caller),
		cmocka_unit_test(test_edge),        cmocka_unit_test(test_session),
		cmocka_unit_test(test_redirect),    cmocka_unit_test(test_lost),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
