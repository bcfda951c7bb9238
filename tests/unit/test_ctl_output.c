/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What people see: escapes, tables, times, the line of an event, moments and spans. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "ctl/event.h"
#include "ctl/output.h"
#include "ctl/when.h"
#include "daemon/base.h"

#define S 1000000000ull
#define NOON 1767355200000000000ull /* 2026-01-02T12:00:00Z */

static void test_escapes(void **state)
{
	static const struct {
		const char *text, *shown;
	} texts[] = {
		{"", ""},
		{"/usr/sbin/exim4", "/usr/sbin/exim4"},
		{"dev-\\x2d.service", "dev-\\x2d.service"},
		{"K\xc3\xa4se \xe2\x82\xac", "K\xc3\xa4se \xe2\x82\xac"},
		{"a\033[31mb", "a\\x1b[31mb"},
		{"two\nlines\r\ttab", "two\\x0alines\\x0d\\x09tab"},
		{"\x7f", "\\x7f"},
		{"\xc2\x9b"
		 "31m",
		 "\\xc2\\x9b31m"},
		{"\xff\xfe", "\\xff\\xfe"},
		{"cut \xe2\x82", "cut \\xe2\\x82"},
		{"\xe2\x80\xae"
		 "fdp",
		 "\\xe2\\x80\\xaefdp"},
	};

	(void)state;
	for (size_t i = 0; i < sw_count(texts); i++) {
		sw_autofree char *shown = sw_escaped(texts[i].text);

		assert_string_equal(shown, texts[i].shown);
	}
}

static void test_escapes_lines(void **state)
{
	sw_autofree char *shown = sw_escaped_lines("a\n\tb\033\n");

	(void)state;
	assert_string_equal(shown, "a\n\tb\\x1b\n");
}

static void test_table(void **state)
{
	static const char *const heads[] = {">N", "NAME", "TEXT"};
	struct sw_table *table = sw_table_new(heads, sw_count(heads));
	sw_autofree char *text = NULL;
	size_t n;
	FILE *to = open_memstream(&text, &n);

	(void)state;
	sw_table_row(table, (const char *const[]){"1", "K\xc3\xa4se", "x"});
	sw_table_row(table, (const char *const[]){"100", "a\nb", "longer text"});
	sw_table_print(table, to);
	sw_table_free(table);
	fclose(to);
	assert_string_equal(text, "  N  NAME    TEXT\n"
				  "  1  K\xc3\xa4se    x\n"
				  "100  a\\x0ab  longer text\n");
}

static void test_time_text(void **state)
{
	char text[SW_TIME_TEXT_SIZE];

	(void)state;
	sw_time_text("2026-01-02T03:04:05.678901Z", 6, text);
	assert_string_equal(text, "2026-01-02 03:04:05.678901Z");
	sw_time_text("2026-01-02T03:04:05.678901Z", 0, text);
	assert_string_equal(text, "2026-01-02 03:04:05Z");
	sw_time_text("no\033time", 0, text);
	assert_string_equal(text, "no\\x1btime");
	sw_time_text("a text that is much longer than any time that there is", 6, text);
	assert_int_equal(strlen(text), SW_TIME_TEXT_SIZE - 1);
}

static char *event_line(const char *json)
{
	json_t *event = json_loads(json, 0, NULL);
	char *text = NULL;
	size_t n;
	FILE *to = open_memstream(&text, &n);

	assert_non_null(event);
	sw_event_text(to, event, NULL);
	fclose(to);
	json_decref(event);
	return text;
}

static void test_event_line(void **state)
{
	sw_autofree char *line =
		event_line("{\"time\": \"2026-01-02T03:04:05.678901Z\", \"verdict\": \"reject\","
			   " \"reason\": \"not_permitted\", \"line\": 14, \"dst_port\": 25,"
			   " \"dst\": \"203.0.113.5\", \"user\": \"www-data\", \"uid\": 33,"
			   " \"exe\": \"/usr/bin/php8.2\", \"comm\": \"php\","
			   " \"unit\": \"php8.2-fpm.service\", \"suppressed\": 0}");

	(void)state;
	assert_string_equal(line, "2026-01-02 03:04:05.678Z refused       25 -> 203.0.113.5    "
				  "  www-data /usr/bin/php8.2 (php8.2-fpm.service) line 14"
				  " not_permitted\n");
}

static void test_event_line_of_little(void **state)
{
	sw_autofree char *bare = event_line("{}");
	sw_autofree char *line =
		event_line("{\"time\": \"2026-01-02T03:04:05.678901Z\", \"verdict\": \"redirect\","
			   " \"reason\": \"none\", \"line\": null, \"dst_port\": 2525, \"dst\": "
			   "\"2001:db8::1\","
			   " \"redirect\": \"[::1]:25\", \"uid\": 4711, \"exe\": \"\", \"comm\": "
			   "\"e\\u001bvil\","
			   " \"exe_note\": \"deleted\", \"unit\": \"\", \"cgroup\": \"/a\\nb\","
			   " \"suppressed\": 12}");

	(void)state;
	assert_string_equal(bare, " ?              0 ->                          \n");
	assert_string_equal(line, "2026-01-02 03:04:05.678Z redirected  2525 -> 2001:db8::1    "
				  " (sent to [::1]:25)  4711     [e\\x1bvil] <deleted> (/a\\x0ab)"
				  " (and 12 like it before)\n");
}

/* Of today only the time is said; of what this machine answers the client. */
static void test_event_line_of_today(void **state)
{
	json_auto_t *event = json_loads(
		"{\"time\": \"2026-01-02T03:04:05.678901Z\", \"kind\": \"session\","
		" \"verdict\": \"allow\", \"scope\": \"serve\", \"dst_port\": 587,"
		" \"src\": \"198.51.100.7\", \"dst\": \"192.0.2.1\", \"user\": \"postfix\","
		" \"exe\": \"/usr/lib/postfix/sbin/smtpd\", \"unit\": \"postfix.service\","
		" \"tls\": \"starttls\", \"tls_version\": \"0x0304\", \"sni\": null,"
		" \"opened\": \"2026-01-02T03:04:03.000000Z\", \"sent\": 999,"
		" \"received\": 12345678}",
		0, NULL);
	sw_autofree char *text = NULL;
	size_t n;
	FILE *to = open_memstream(&text, &n);

	(void)state;
	sw_event_text(to, event, "2026-01-02");
	sw_event_text(to, event, "2026-01-01");
	fclose(to);
	assert_string_equal(text,
			    "03:04:05.678Z ended        587 <- 198.51.100.7     postfix "
			    " /usr/lib/postfix/sbin/smtpd (postfix.service) STARTTLS 1.3,"
			    " sent 999 B, received 12.3 MB, in 2 s\n"
			    "2026-01-02 03:04:05.678Z ended        587 <- 198.51.100.7     postfix "
			    " /usr/lib/postfix/sbin/smtpd (postfix.service) STARTTLS 1.3,"
			    " sent 999 B, received 12.3 MB, in 2 s\n");
}

static void test_when(void **state)
{
	static const struct {
		const char *text;
		uint64_t ns;
	} good[] = {
		{"0s", NOON},
		{"30s", NOON - 30 * S},
		{"10m", NOON - 600 * S},
		{"2h", NOON - 7200 * S},
		{"1d", NOON - 86400 * S},
		{"2w", NOON - 14 * 86400 * S},
		{"2026-01-02T12:00:00Z", NOON},
		{"2026-01-03T12:00:00Z", NOON + 86400 * S},
	};
	static const char *const bad[] = {
		"",          "m",   "10",   "10x",     "10mm", "-1h",
		"+1h",       " 1h", "1.5h", "100000w", "1 h",  "99999999999999999999s",
		"yesterday",
	};
	uint64_t ns;

	(void)state;
	for (size_t i = 0; i < sw_count(good); i++) {
		assert_int_equal(sw_when_parse(good[i].text, NOON, &ns), 0);
		assert_true(ns == good[i].ns);
	}
	for (size_t i = 0; i < sw_count(bad); i++)
		assert_int_equal(sw_when_parse(bad[i], NOON, &ns), -EINVAL);
}

static void test_span(void **state)
{
	static const struct {
		uint64_t s;
		const char *text;
	} spans[] = {
		{0, "0 s"},          {59, "59 s"},        {60, "1 min"},
		{61, "1 min 1 s"},   {7500, "2 h 5 min"}, {86400, "1 d"},
		{86400 + 59, "1 d"}, {90000, "1 d 1 h"},  {1000 * 86400, "1000 d"},
	};

	(void)state;
	for (size_t i = 0; i < sw_count(spans); i++) {
		char text[SW_SPAN_SIZE];

		sw_span_format(spans[i].s * S, text);
		assert_string_equal(text, spans[i].text);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_escapes),
		cmocka_unit_test(test_escapes_lines),
		cmocka_unit_test(test_table),
		cmocka_unit_test(test_time_text),
		cmocka_unit_test(test_event_line),
		cmocka_unit_test(test_event_line_of_little),
		cmocka_unit_test(test_event_line_of_today),
		cmocka_unit_test(test_when),
		cmocka_unit_test(test_span),
	};

	return cmocka_run_group_tests_name("ctl_output", tests, NULL, NULL);
}
