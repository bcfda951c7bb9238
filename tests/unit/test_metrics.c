/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Metrics as text: every line is one of the format, every counter has its place, nothing twice. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

#include <ctype.h>

#include "daemon/base.h"
#include "daemon/metrics.h"

static const struct sw_metrics_hook hooks[] = {{"connect4", true}, {"egress", false}};
static const struct sw_metrics_room rings[] = {{"events", 712, 1 << 20}};
static const struct sw_metrics_room tables[] = {{"local", 3, 16384}};
static const struct sw_metrics_sink sinks[] = {{"store", 10, 1, 2, 3, true},
					       {"syslog", 20, 0, 0, 0, false},
					       {"syslog", 21, 0, 0, 0, false}};
static const struct sw_metrics_store store = {4096, 8192, 7, 8, 1700000000250000000u, 5};

static struct sw_metrics some(const struct sw_event_totals *totals)
{
	struct sw_metrics metrics = {
		.version = "1.0",
		.process = {.started = 1700000000.5, .cpu = 0.25, .resident_bytes = 1 << 20},
		.enforcing = true,
		.policy = {.generation = 7,
			   .sha256 = {0xab, 0xcd, 0xef, 0x01, 0x02, 0x03, 0x04},
			   .n_rules = 3,
			   .applied_ns = 1700000001000000000u,
			   .mode = "mixed"},
		.hooks = hooks,
		.n_hooks = sw_count(hooks),
		.has_counters = true,
		.totals = totals,
		.rings = rings,
		.n_rings = sw_count(rings),
		.tables = tables,
		.n_tables = sw_count(tables),
		.sinks = sinks,
		.n_sinks = sw_count(sinks),
		.store = &store,
	};

	for (unsigned int i = 0; i < SW_COUNT_MAX; i++)
		metrics.counters[i] = 1000 + i;
	return metrics;
}

static char *text_of(const struct sw_metrics *metrics)
{
	size_t length;
	char *text = sw_metrics_text(metrics, &length);

	assert_non_null(text);
	assert_int_equal(strlen(text), length);
	return text;
}

static void assert_line(const char *text, const char *line)
{
	sw_autofree char *whole = NULL;

	assert_true(asprintf(&whole, "\n%s\n", line) > 0);
	if (!strstr(text, whole))
		fail_msg("there is no line: %s", line);
}

/* ---- the format, as its description has it ---- */

static size_t take_name(const char *at)
{
	size_t n = 0;

	while (isalnum((unsigned char)at[n]) || at[n] == '_' || at[n] == ':')
		n++;
	return isdigit((unsigned char)*at) ? 0 : n;
}

/* What follows {...}; NULL: it is not of the form. */
static const char *skip_labels(const char *at)
{
	do {
		size_t n = take_name(++at);

		at += n;
		if (!n || strncmp(at, "=\"", 2) != 0)
			return NULL;
		for (at += 2; *at && *at != '"'; at++)
			if (*at == '\\' && !strchr("\\\"n", *++at))
				return NULL;
		if (*at++ != '"')
			return NULL;
	} while (*at == ',');
	return *at == '}' ? at + 1 : NULL;
}

static bool is_sample(const char *line)
{
	size_t n = take_name(line);
	const char *at = line + n;
	char *end;

	if (!n)
		return false;
	if (*at == '{')
		at = skip_labels(at);
	if (!at || *at != ' ')
		return false;
	strtod(at + 1, &end);
	return end > at + 1 && !*end;
}

/* Of the family that was begun last? */
static bool belongs(const char *line, const char *name)
{
	size_t n = take_name(line);

	return n == strlen(name) && strncmp(line, name, n) == 0;
}

static void check_type(const char *line, const char *name, bool *seen)
{
	size_t n = strlen(name);
	const char *type = line + strlen("# TYPE ") + n + 1;
	bool counter = strcmp(type, "counter") == 0;

	assert_memory_equal(line + strlen("# TYPE "), name, n);
	assert_true(counter || strcmp(type, "gauge") == 0);
	assert_true(counter == (n > 6 && strcmp(name + n - 6, "_total") == 0));
	*seen = true;
}

static void check_text(char *text)
{
	char name[128] = "", *rest = text;
	bool typed = true;

	for (char *line; (line = strsep(&rest, "\n")) && rest;) {
		if (strncmp(line, "# HELP ", 7) == 0) {
			size_t n = take_name(line + 7);

			assert_true(n && n < sizeof(name) && typed && line[7 + n] == ' ');
			assert_true(strlen(line + 8 + n) > 10);
			snprintf(name, sizeof(name), "%.*s", (int)n, line + 7);
			typed = false;
		} else if (strncmp(line, "# TYPE ", 7) == 0) {
			check_type(line, name, &typed);
		} else if (!is_sample(line) || !typed || !belongs(line, name)) {
			fail_msg("not a line of the format, or out of its place: %s", line);
		}
	}
}

/* Sorted, two equal lines stand beside each other. */
static int by_text(const void *a, const void *b)
{
	return strcmp(*(char *const *)a, *(char *const *)b);
}

static void check_unique(char *text)
{
	static char *lines[4096];
	char *rest = text;
	size_t n = 0;

	for (char *line; (line = strsep(&rest, "\n")) && *line;) {
		char *value = strrchr(line, ' ');

		assert_true(n < sw_count(lines));
		if (*line != '#')
			*value = '\0';
		lines[n++] = line;
	}
	qsort(lines, n, sizeof(*lines), by_text);
	for (size_t i = 1; i < n; i++)
		assert_string_not_equal(lines[i - 1], lines[i]);
	assert_true(n > 100);
}

/* ---- tests ---- */

static void every_line_is_of_the_format(void **state)
{
	struct sw_event_totals totals = {};
	struct sw_metrics metrics = some(&totals);
	sw_autofree char *text = text_of(&metrics), *again = text_of(&metrics);

	(void)state;
	check_text(text);
	check_unique(again);
}

static void with_nothing_known_too(void **state)
{
	struct sw_event_totals totals = {};
	struct sw_metrics metrics = {.version = "", .totals = &totals};
	sw_autofree char *text = text_of(&metrics), *again = text_of(&metrics);

	(void)state;
	assert_null(strstr(text, "smtpwall_policy_info{"));
	assert_null(strstr(text, "smtpwall_connects_total{"));
	check_text(text);
	check_unique(again);
}

static void values_are_escaped(void **state)
{
	struct sw_event_totals totals = {};
	struct sw_metrics metrics = some(&totals);
	sw_autofree char *text = NULL;

	(void)state;
	metrics.version = "1\"} 9\n\\x";
	text = text_of(&metrics);
	assert_line(text, "smtpwall_build_info{version=\"1\\\"} 9\\n\\\\x\"} 1");
	check_text(text);
}

static void each_counter_has_a_row_of_its_own(void **state)
{
	struct sw_event_totals totals = {};
	struct sw_metrics metrics = some(&totals);
	sw_autofree char *text = text_of(&metrics);

	(void)state;
	for (unsigned int i = 0; i < SW_COUNT_MAX; i++) {
		char value[32];
		const char *at;

		if (!sw_metrics_counter(i))
			fail_msg("counter %u has no metric", i);
		snprintf(value, sizeof(value), " %u\n", 1000 + i);
		at = strstr(text, value);
		assert_non_null(at);
		while (at[-1] != '\n')
			at--;
		assert_true(belongs(at, sw_metrics_counter(i)));
	}
	assert_line(text, "smtpwall_decisions_total{scope=\"host\",decision=\"refused\"} 1002");
}

static void what_is_known_is_told(void **state)
{
	struct sw_event_totals totals = {};
	struct sw_metrics metrics = some(&totals);
	sw_autofree char *text = text_of(&metrics);

	(void)state;
	assert_line(text, "smtpwall_policy_info{generation=\"7\",sha256=\"abcdef010203\"} 1");
	assert_line(text, "smtpwall_mode{mode=\"enforce\"} 0");
	assert_line(text, "smtpwall_mode{mode=\"mixed\"} 1");
	assert_line(text, "smtpwall_hook_attached{hook=\"egress\"} 0");
	assert_line(text, "smtpwall_ring_waiting_bytes{ring=\"events\"} 712");
	assert_line(text, "smtpwall_map_max_entries{map=\"local\"} 16384");
	assert_line(text, "smtpwall_sink_lost_total{sink=\"store\"} 1");
	assert_line(text, "smtpwall_sink_behind_events{sink=\"store\"} 3");
	assert_line(text, "smtpwall_sink_failing{sink=\"store\"} 1");
	assert_line(text, "smtpwall_sink_written_total{sink=\"syslog\"} 20");
	assert_line(text, "smtpwall_sink_written_total{sink=\"syslog_2\"} 21");
	assert_line(text, "smtpwall_store_rows{table=\"sessions\"} 8");
	assert_line(text, "smtpwall_store_oldest_timestamp_seconds 1700000000.250");
	assert_line(text, "process_start_time_seconds 1700000000.500");
}

static void events_are_counted_by_kind_verdict_and_reason(void **state)
{
	struct sw_event event = {.kind = SW_EVENT_GATE,
				 .verdict = SW_VERDICT_RESET,
				 .reason = SW_REASON_CLEARTEXT_COMMAND,
				 .verb = SW_VERB_AUTH};
	struct sw_event_totals totals = {};
	struct sw_metrics metrics;
	sw_autofree char *text = NULL;

	(void)state;
	sw_event_totals_add(&totals, &event);
	event.verb = SW_VERB_MAIL;
	sw_event_totals_add(&totals, &event);
	event.verdict = SW_VERDICT_AUDIT;
	event.verb = SW_VERB_AUTH;
	sw_event_totals_add(&totals, &event);
	/* Nobody expects that one, and it is told all the same. */
	sw_event_totals_add(&totals, &(struct sw_event){.kind = SW_EVENT_PACKET,
							.verdict = SW_VERDICT_ALLOW,
							.reason = SW_REASON_EXISTING});
	sw_event_totals_add(&totals, &(struct sw_event){.kind = SW_EVENT_KIND_MAX});
	metrics = some(&totals);
	text = text_of(&metrics);
	assert_line(text, "smtpwall_events_total{kind=\"gate\",verdict=\"reset\","
			  "reason=\"cleartext_command\"} 2");
	assert_line(text, "smtpwall_events_total{kind=\"gate\",verdict=\"audit\","
			  "reason=\"cleartext_command\"} 1");
	assert_line(text, "smtpwall_events_total{kind=\"packet\",verdict=\"allow\","
			  "reason=\"existing\"} 1");
	assert_line(text, "smtpwall_events_total{kind=\"connect\",verdict=\"reject\","
			  "reason=\"not_permitted\"} 0");
	assert_line(text,
		    "smtpwall_cleartext_credentials_total{kind=\"gate\",result=\"stopped\"} 1");
	assert_line(text,
		    "smtpwall_cleartext_credentials_total{kind=\"gate\",result=\"passed\"} 1");
	assert_line(text,
		    "smtpwall_cleartext_credentials_total{kind=\"edge\",result=\"passed\"} 0");
	check_text(text);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_line_is_of_the_format),
		cmocka_unit_test(with_nothing_known_too),
		cmocka_unit_test(values_are_escaped),
		cmocka_unit_test(each_counter_has_a_row_of_its_own),
		cmocka_unit_test(what_is_known_is_told),
		cmocka_unit_test(events_are_counted_by_kind_verdict_and_reason),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
