/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Messages of RFC 5424, read back by a reader of their grammar; targets; and what counts as delivered. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "bpf/vocabulary.h"
#include "daemon/base.h"
#include "daemon/policy/text.h"
#include "daemon/syslog_marks.h"
#include "daemon/syslog_message.h"
#include "daemon/syslog_target.h"

/* ---- a reader, from the grammar of section 6 ---- */

struct message {
	int pri;
	char time[40], host[256], app[49], procid[129], msgid[33], sd_id[33];
	size_t n;
	struct {
		char name[33], value[SW_SYSLOG_MESSAGE_MAX];
	} params[64];
	bool bom;
	char text[SW_SYSLOG_MESSAGE_MAX];
};

/* A field of printable ASCII without spaces, and the space behind it. */
static const char *field(const char *at, const char *end, char *to, size_t size)
{
	size_t n = 0;

	while (at < end && *at >= '!' && *at <= '~' && n < size - 1)
		to[n++] = *at++;
	to[n] = '\0';
	assert_true(n > 0);
	assert_true(at < end);
	assert_int_equal(*at, ' ');
	return at + 1;
}

static const char *name(const char *at, const char *end, char to[33])
{
	size_t n = 0;

	while (at < end && *at >= '!' && *at <= '~' && !strchr("= ]\"", *at) && n < 32)
		to[n++] = *at++;
	to[n] = '\0';
	assert_true(n > 0);
	assert_true(at < end);
	return at;
}

static const char *param(const char *at, const char *end, struct message *message)
{
	size_t n = 0;

	assert_true(message->n < sw_count(message->params));
	at = name(at, end, message->params[message->n].name);
	assert_memory_equal(at, "=\"", 2);
	for (at += 2; at < end && *at != '"'; at++) {
		assert_int_not_equal(*at, ']');
		if (*at == '\\') {
			at++;
			assert_true(at < end && strchr("\"\\]", *at));
		}
		message->params[message->n].value[n++] = *at;
	}
	assert_true(at < end);
	message->params[message->n++].value[n] = '\0';
	return at + 1;
}

static void read_message(const char *at, size_t length, struct message *message)
{
	const char *end = at + length;
	char *rest;
	uint32_t code;

	*message = (struct message){};
	for (const char *byte = at; byte < end; byte++)
		assert_true((unsigned char)*byte >= ' ' && *byte != 0x7f);
	assert_int_equal(*at, '<');
	message->pri = (int)strtol(at + 1, &rest, 10);
	assert_memory_equal(rest, ">1 ", 3);
	at = field(rest + 3, end, message->time, sizeof(message->time));
	at = field(at, end, message->host, sizeof(message->host));
	at = field(at, end, message->app, sizeof(message->app));
	at = field(at, end, message->procid, sizeof(message->procid));
	at = field(at, end, message->msgid, sizeof(message->msgid));
	assert_int_equal(*at, '[');
	at = name(at + 1, end, message->sd_id);
	while (at < end && *at == ' ')
		at = param(at + 1, end, message);
	assert_memory_equal(at, "] ", 2);
	at += 2;
	message->bom = end - at >= 3 && memcmp(at, "\xef\xbb\xbf", 3) == 0;
	at += message->bom ? 3 : 0;
	memcpy(message->text, at, (size_t)(end - at));
	while (at < end) {
		size_t n = sw_utf8_next(at, end, &code);

		assert_true(n);
		at += n;
	}
}

static const char *value(const struct message *message, const char *wanted)
{
	for (size_t i = 0; i < message->n; i++)
		if (strcmp(message->params[i].name, wanted) == 0)
			return message->params[i].value;
	return "(none)";
}

static void make(const struct sw_record *record, const char *sentence, struct message *message)
{
	const struct sw_syslog_origin origin = {.host = "web.example.org", .pid = 812};
	char text[SW_SYSLOG_MESSAGE_MAX + 1];
	size_t length;

	memset(text, 0x7e, sizeof(text));
	length = sw_syslog_message(&origin, record, sentence, text);
	assert_true(length <= SW_SYSLOG_MESSAGE_MAX);
	assert_int_equal(text[SW_SYSLOG_MESSAGE_MAX], 0x7e);
	read_message(text, length, message);
}

static void sample(struct sw_record *record)
{
	sw_record_init(record);
	record->id = 7;
	record->time_ns = 1772352930123456789u;
	record->kind = SW_EVENT_CONNECT;
	record->verdict = SW_VERDICT_REJECT;
	record->reason = SW_REASON_NOT_PERMITTED;
	record->rule = 3;
	record->line = 14;
	record->pid = 4711;
	record->uid = 33;
	record->dst_port = 25;
	memcpy(record->dst, "\0\0\0\0\0\0\0\0\0\0\xff\xff\xcb\0\x71\x05", 16);
	record->text[SW_TEXT_USER] = "www-data";
	record->text[SW_TEXT_EXE] = "/usr/bin/php8.2";
}

static void test_message(void **state)
{
	struct message message;
	struct sw_record record;

	(void)state;
	sample(&record);
	make(&record, "refused  user www-data", &message);
	assert_int_equal(message.pri, 2 * 8 + 4);
	assert_string_equal(message.time, "2026-03-01T08:15:30.123456Z");
	assert_string_equal(message.host, "web.example.org");
	assert_string_equal(message.app, "smtpwalld");
	assert_string_equal(message.procid, "812");
	assert_string_equal(message.msgid, "CONNECT");
	assert_string_equal(message.sd_id, "smtpwall@32473");
	assert_string_equal(value(&message, "id"), "7");
	assert_string_equal(value(&message, "verdict"), "reject");
	assert_string_equal(value(&message, "reason"), "not_permitted");
	assert_string_equal(value(&message, "rule"), "3");
	assert_string_equal(value(&message, "line"), "14");
	assert_string_equal(value(&message, "dst"), "203.0.113.5");
	assert_string_equal(value(&message, "dst_port"), "25");
	assert_string_equal(value(&message, "pid"), "4711");
	assert_string_equal(value(&message, "uid"), "33");
	assert_string_equal(value(&message, "user"), "www-data");
	assert_string_equal(value(&message, "exe"), "/usr/bin/php8.2");
	/* What is not known is not there. */
	assert_string_equal(value(&message, "gid"), "(none)");
	assert_string_equal(value(&message, "src"), "(none)");
	assert_string_equal(value(&message, "sni"), "(none)");
	assert_string_equal(value(&message, "cut"), "(none)");
	assert_false(message.bom);
	assert_string_equal(message.text, "refused  user www-data");
}

static void test_kinds(void **state)
{
	static const char *const names[] = {"CONNECT", "PACKET", "GATE",     "EDGE",
					    "SESSION", "SERVE",  "ELSEWHERE"};
	static const int severities[SW_VERDICT_MAX] = {
		[SW_VERDICT_ALLOW] = 6,    [SW_VERDICT_REJECT] = 4, [SW_VERDICT_DROP] = 4,
		[SW_VERDICT_REDIRECT] = 5, [SW_VERDICT_AUDIT] = 5,  [SW_VERDICT_RESET] = 4,
	};
	struct message message;
	struct sw_record record;

	(void)state;
	sample(&record);
	for (size_t i = 0; i < sw_count(names); i++) {
		record.kind = (uint8_t)(SW_EVENT_CONNECT + i);
		make(&record, "", &message);
		assert_string_equal(message.msgid, names[i]);
	}
	for (size_t i = 0; i < SW_VERDICT_MAX; i++) {
		record.verdict = (uint8_t)i;
		make(&record, "", &message);
		assert_int_equal(message.pri, 16 + severities[i]);
	}
}

static void test_session(void **state)
{
	struct message message;
	struct sw_record record;

	(void)state;
	sample(&record);
	record.kind = SW_EVENT_SESSION;
	record.verdict = SW_VERDICT_REDIRECT;
	record.tls = SW_TLS_STARTTLS;
	record.tls_version = 0x0304;
	record.cipher = 0x1301;
	record.sent = 1234;
	record.received = UINT64_MAX;
	record.opened_ns = 1772352930000000000u;
	record.new_port = 2525;
	record.new_dst[15] = 1;
	record.vlan[0] = 7;
	record.vlan[1] = 8;
	make(&record, "", &message);
	assert_string_equal(value(&message, "tls"), "starttls");
	assert_string_equal(value(&message, "tls_version"), "0x0304");
	assert_string_equal(value(&message, "cipher_suite"), "0x1301");
	assert_string_equal(value(&message, "sent"), "1234");
	assert_string_equal(value(&message, "received"), "18446744073709551615");
	assert_string_equal(value(&message, "opened"), "2026-03-01T08:15:30.000000Z");
	assert_string_equal(value(&message, "redirect"), "[::1]:2525");
	assert_string_equal(value(&message, "vlan"), "7");
}

/* ---- names that programs give themselves ---- */

static void test_hostile(void **state)
{
	static const char *const names[] = {
		"/tmp/a\"] forged",
		"/tmp/]",
		"/tmp/\\",
		"/tmp/\\\"]\\]\\",
		"/tmp/a\n<20>1 2026-03-01T08:15:30Z host smtpwalld - CONNECT - forged",
		"/tmp/\x1b[2J\x1b]0;title\x07",
		"/tmp/b\r\n\t\x7f\x01",
		"/tmp/\xff\xfe\xc0\x80",
		"/tmp/\xc3\xa9\xe2\x80\xae.txt",
	};
	struct message message;
	struct sw_record record;

	(void)state;
	sample(&record);
	for (size_t i = 0; i < sw_count(names); i++) {
		char shown[512];

		sw_text_escape(names[i], strlen(names[i]), shown, sizeof(shown));
		record.text[SW_TEXT_EXE] = record.text[SW_TEXT_COMM] = shown;
		record.text[SW_TEXT_CGROUP] = shown;
		make(&record, shown, &message);
		assert_string_equal(value(&message, "exe"), shown);
		assert_string_equal(value(&message, "comm"), shown);
		assert_string_equal(value(&message, "cgroup"), shown);
		assert_string_equal(message.text, shown);
		/* Of a store that somebody has written to, as it is: still one message. */
		record.text[SW_TEXT_EXE] = names[i];
		make(&record, names[i], &message);
		assert_string_equal(value(&message, "id"), "7");
	}
	sample(&record);
	make(&record, "refused \xc3\xa9", &message);
	assert_true(message.bom);
	assert_string_equal(message.text, "refused \xc3\xa9");
}

static void test_long(void **state)
{
	char quotes[2048], letters[2048];
	struct message message;
	struct sw_record record;

	(void)state;
	memset(quotes, '"', sizeof(quotes));
	quotes[sizeof(quotes) - 1] = '\0';
	for (size_t i = 0; i + 2 < sizeof(letters); i += 2)
		memcpy(letters + i, "\xc3\xa9", 3);
	sample(&record);
	for (size_t long_ones = 1; long_ones <= SW_TEXTS; long_ones++) {
		for (size_t i = 0; i < long_ones; i++)
			record.text[i] = i % 2 ? letters : quotes;
		make(&record, long_ones % 2 ? letters : quotes, &message);
		assert_string_equal(value(&message, "id"), "7");
		assert_string_equal(value(&message, "cut"), "1");
		assert_true(strlen(message.text) >= 256);
	}
}

/* ---- targets ---- */

static void test_targets(void **state)
{
	static const struct {
		const char *text, *host, *port;
		enum sw_syslog_transport transport;
	} right[] = {
		{"unix:/dev/log", "/dev/log", "", SW_SYSLOG_UNIX},
		{"tcp:192.0.2.1:601", "192.0.2.1", "601", SW_SYSLOG_TCP},
		{"tcp:logs.example.org", "logs.example.org", "514", SW_SYSLOG_TCP},
		{"tls:[2001:db8::1]:65535", "2001:db8::1", "65535", SW_SYSLOG_TLS},
		{"tls:[2001:db8::1]", "2001:db8::1", "6514", SW_SYSLOG_TLS},
		{"tls:logs.example.org:06514", "logs.example.org", "6514", SW_SYSLOG_TLS},
	};
	static const char *const wrong[] = {
		"",         "/dev/log",     "unix:",      "unix:log",     "udp:a:1",   "tcp:",
		"tcp::514", "tcp:a:",       "tcp:a:0",    "tcp:a:65536",  "tcp:a:5x",  "tcp:a:-1",
		"tcp:a: 1", "tcp:[::1",     "tcp:[]:514", "tcp:[::1]514", "tls:::1:5", "TCP:a:1",
		"tcp:a:1:", "tcp:a:123456",
	};
	struct sw_syslog_target target;
	struct sw_fault fault;
	char path[200] = "unix:/";

	(void)state;
	for (size_t i = 0; i < sw_count(right); i++) {
		assert_int_equal(sw_syslog_target(right[i].text, &target, &fault), 0);
		assert_int_equal(target.transport, right[i].transport);
		assert_string_equal(target.host, right[i].host);
		assert_string_equal(target.port, right[i].port);
		assert_string_equal(target.text, right[i].text);
	}
	for (size_t i = 0; i < sw_count(wrong); i++) {
		assert_int_equal(sw_syslog_target(wrong[i], &target, &fault), -1);
		assert_int_equal(fault.status, SW_EXIT_USAGE);
		assert_non_null(strstr(fault.text, wrong[i]));
	}
	memset(path + 6, 'a', sizeof(path) - 7);
	assert_int_equal(sw_syslog_target(path, &target, &fault), -1);
}

/* ---- delivered ---- */

#define SECOND 1000000u

static void test_marks(void **state)
{
	static struct sw_syslog_marks marks;
	uint64_t now = 100 * SECOND;

	(void)state;
	sw_syslog_marks_begin(&marks, 40);
	sw_syslog_marks_add(&marks, 41, 500, now);
	sw_syslog_marks_add(&marks, 45, 2500, now + SECOND);
	/* Acknowledged is not enough, nor is time. */
	assert_int_equal(sw_syslog_marks_settle(&marks, 2500, 0, now + SECOND), 40);
	assert_int_equal(sw_syslog_marks_settle(&marks, 499, 0, now + 99 * SECOND), 40);
	assert_int_equal(sw_syslog_marks_settle(&marks, 2500, 0, now + SW_SYSLOG_AGE_USEC - 1), 40);
	/* What may be unread at the other side is in doubt however old it is. */
	assert_int_equal(sw_syslog_marks_settle(&marks, 2500, 2001, now + 99 * SECOND), 40);
	assert_int_equal(sw_syslog_marks_settle(&marks, 2500, 2000, now + 99 * SECOND), 41);
	assert_int_equal(sw_syslog_marks_settle(&marks, 2500, 2000, now + 999 * SECOND), 41);
	assert_int_equal(sw_syslog_marks_settle(&marks, 2500, 0, now + 11 * SECOND), 45);
	/* Another connection counts its bytes anew. */
	sw_syslog_marks_add(&marks, 46, 3000, now);
	sw_syslog_marks_begin(&marks, 45);
	assert_int_equal(sw_syslog_marks_settle(&marks, 9999, 0, now + 999 * SECOND), 45);
}

/* However many there are: never sooner than each by itself, and in the end all. */
static void test_marks_many(void **state)
{
	static struct sw_syslog_marks marks;
	uint64_t n = 10 * SW_SYSLOG_MARKS;

	(void)state;
	sw_syslog_marks_begin(&marks, 0);
	for (uint64_t i = 1; i <= n; i++)
		sw_syslog_marks_add(&marks, i, i * 100, i);
	for (uint64_t i = 0; i <= n; i += 97) {
		uint64_t at = sw_syslog_marks_settle(&marks, i * 100, 0, n + SW_SYSLOG_AGE_USEC);

		assert_true(at <= i);
		assert_true(at + n / 16 >= i);
	}
	assert_int_equal(sw_syslog_marks_settle(&marks, n * 100, 0, n + SW_SYSLOG_AGE_USEC), n);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_message), cmocka_unit_test(test_kinds),
		cmocka_unit_test(test_session), cmocka_unit_test(test_hostile),
		cmocka_unit_test(test_long),    cmocka_unit_test(test_targets),
		cmocka_unit_test(test_marks),   cmocka_unit_test(test_marks_many),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
