/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A report's tables and its three forms. */
#include "ctl/output.h"
#include "ctl/report.h"
#include "ctl/report_svg.h"
#include "daemon/base.h"
#include "tests/unit/report_sample.h"

struct made {
	struct sw_tally now, before;
	struct sw_report report;
};

static int make(void **state)
{
	struct made *made = calloc(1, sizeof(*made));

	sample_tallies(&made->now, &made->before);
	made->report = (struct sw_report){
		.host = "web1.example.net",
		.store = "/var/lib/smtpwall/events.db",
		.made_ns = SAMPLE_SINCE + SAMPLE_WEEK,
		.oldest_ns = SAMPLE_SINCE - SAMPLE_WEEK,
		.gaps = {[SW_GAP_QUEUE] = 120},
	};
	assert_int_equal(sw_report_make(&made->report, &made->now, &made->before), 0);
	*state = made;
	return 0;
}

static int unmake(void **state)
{
	struct made *made = *state;

	sw_report_free(&made->report);
	sw_tally_free(&made->now);
	sw_tally_free(&made->before);
	free(made);
	return 0;
}

static char *text_of(const struct sw_report *report)
{
	char *text = NULL;
	size_t n;
	FILE *to = open_memstream(&text, &n);

	sw_report_text(to, NULL, report);
	fclose(to);
	return text;
}

static char *page_of(const struct sw_report *report)
{
	char *text = NULL;
	size_t n;
	FILE *to = open_memstream(&text, &n);

	sw_report_html(to, report);
	fclose(to);
	return text;
}

static void has(const char *text, const char *part)
{
	if (!strstr(text, part))
		fail_msg("\"%s\" is not in:\n%s", part, text);
}

/* Lines that stand one below the other. */
static void test_text(void **state)
{
	struct made *made = *state;
	sw_autofree char *text = text_of(&made->report);

	has(text, "smtpwall report of web1.example.net\n"
		  "2026-01-02 00:00Z to 2026-01-09 00:00Z (7 d)\n\n"
		  "                                              NOW     BEFORE\n"
		  "refused                                     1,440        840\n"
		  "only recorded, would have been refused         34          -\n"
		  "other (redirected, recorded by a rule)          1          -\n"
		  "connections that ended                     26,880     26,880\n"
		  "  of these with TLS                        93.8 %     93.8 %\n\n"
		  "519 of these were left out in floods");
	has(text,
	    "\nCHANGED                                                       BEFORE        NOW\n"
	    "new   client   192.0.2.130                                         -        301\n");
	has(text,
	    "\nUSER                                              REFUSED   WOULD BE      OTHER\n"
	    "www-data                                            1,096          -          1\n"
	    "1003                                                   42          -          -\n"
	    "backup                                                  -         34          -\n");
	has(text,
	    "\nbackup /usr/lib/python3/bin/nightly-mail                -         34          -\n"
	    "  nightly.service, AUTH PLAIN to 198.51.100.25 port 587: cleartext_command\n"
	    "2001:db8:feed:beef:1234:5678:9abc:def0                  1          -          -\n"
	    "  postfix@-.service, M... to port 587: starttls_stripped\n");
	has(text, "\n2026-01-04 12:00Z      1,440        353  ##############################\n");
	has(text, "NOT RECORDED: 120 events (");
}

static void test_text_is_narrow(void **state)
{
	struct made *made = *state;
	sw_autofree char *text = text_of(&made->report);
	char *save = NULL;

	for (char *line = strtok_r(text, "\n", &save); line; line = strtok_r(NULL, "\n", &save)) {
		if (sw_width(line) > 80)
			fail_msg("%zu columns: %s", sw_width(line), line);
		assert_null(strchr(line, '\033'));
	}
}

/* Nothing that came from a program is markup, and the page asks nobody for anything. */
static void test_page(void **state)
{
	struct made *made = *state;
	sw_autofree char *page = page_of(&made->report);

	has(page, "<!DOCTYPE html>\n<html lang=\"en\">");
	has(page, "content=\"default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; "
		  "form-action 'none'\"");
	has(page, "/tmp/&lt;script&gt;alert(1)&lt;/script&gt;&quot;&#39;&amp;\\x0a\\x1b[31m");
	assert_null(strstr(page, "<script"));
	assert_null(strstr(page, "://"));
	assert_null(strstr(page, "url("));
	assert_null(strstr(page, "@import"));
	has(page, "<b>1,440</b><span>840 before</span>");
	has(page, "role=\"img\" aria-labelledby=\"events-title events-desc\"");
}

static void test_json(void **state)
{
	struct made *made = *state;
	json_auto_t *data = sw_report_json(&made->report);
	json_t *by, *row;
	const char *name;

	assert_int_equal(
		json_integer_value(json_object_get(json_object_get(data, "events"), "refused")),
		1440);
	json_object_foreach (json_object_get(data, "by"), name, by) {
		json_int_t sum = 0;
		size_t i;

		json_array_foreach (json_object_get(by, "rows"), i, row)
			sum += json_integer_value(json_object_get(row, "refused"));
		sum += json_integer_value(json_object_get(json_object_get(by, "rest"), "refused"));
		if (!strcmp(name, "verdict") || !strcmp(name, "reason") || !strcmp(name, "port"))
			assert_int_equal(sum, 1440);
		if (!strcmp(name, "program") || !strcmp(name, "user") || !strcmp(name, "unit"))
			assert_int_equal(sum, 1440 - 302);
	}
	assert_true(json_is_object(json_object_get(data, "before")));
}

/* A store that is younger than the period before: nothing is compared, and all three say so. */
static void test_young_store(void **state)
{
	struct sw_tally now, before;
	struct sw_report report = {
		.host = "h", .store = "s", .oldest_ns = SAMPLE_SINCE - SAMPLE_WEEK / 2};
	json_auto_t *data = NULL;

	(void)state;
	sample_tallies(&now, &before);
	assert_int_equal(sw_report_make(&report, &now, &before), 0);
	{
		sw_autofree char *text = text_of(&report), *page = page_of(&report);

		has(text, "The period before is not compared");
		has(page, "no period of this length before");
		assert_null(strstr(text, "CHANGED"));
		assert_null(strstr(page, "What changed"));
	}
	data = sw_report_json(&report);
	assert_true(json_is_null(json_object_get(data, "before")));
	assert_int_equal(json_array_size(json_object_get(data, "changes")), 0);
	sw_report_free(&report);
	sw_tally_free(&now);
	sw_tally_free(&before);
}

static void test_empty(void **state)
{
	struct sw_tally now, before;
	struct sw_report report = {.host = "h", .store = "s"};

	(void)state;
	assert_int_equal(
		sw_tally_init(&now, SAMPLE_SINCE, SAMPLE_SINCE + SAMPLE_HOUR, SAMPLE_HOUR / 60), 0);
	assert_int_equal(sw_tally_init(&before, SAMPLE_SINCE - SAMPLE_HOUR, SAMPLE_SINCE, 0), 0);
	assert_int_equal(sw_report_make(&report, &now, &before), 0);
	{
		sw_autofree char *text = text_of(&report), *page = page_of(&report);

		has(text, "Nothing has been recorded yet.");
		has(page, "Nothing has been recorded yet.");
		assert_null(strstr(page, "<table"));
	}
	sw_report_free(&report);
	sw_tally_free(&now);
	sw_tally_free(&before);
}

/* Names that came as often and new ones; a difference of a few is none. */
static void test_changes(void **state)
{
	static const struct {
		const char *user;
		unsigned int before, now;
		int change; /* -1: none */
	} users[] = {
		{"same", 50, 50, -1},         {"chance", 4, 9, -1},
		{"up", 10, 20, SW_CHANGE_UP}, {"down", 40, 20, SW_CHANGE_DOWN},
		{"new", 0, 1, SW_CHANGE_NEW}, {"gone", 1, 0, SW_CHANGE_GONE},
		{"little", 100, 199, -1},
	};
	struct sw_tally tallies[2];
	struct sw_report report = {.host = "h", .store = "s", .oldest_ns = 1};
	size_t n = 0;

	(void)state;
	for (int t = 0; t < 2; t++) {
		assert_int_equal(sw_tally_init(&tallies[t], t ? 0 : 1000, t ? 1000 : 2000, 0), 0);
		for (size_t i = 0; i < sw_count(users); i++)
			for (unsigned int j = t ? users[i].before : users[i].now; j; j--) {
				struct sw_record record = sample_record(
					t ? 500 : 1500, SW_EVENT_CONNECT, SW_VERDICT_REJECT,
					SW_REASON_NONE, "192.0.2.1", 25);

				record.text[SW_TEXT_USER] = users[i].user;
				sample_add(&tallies[t], &record);
			}
	}
	assert_int_equal(sw_report_make(&report, &tallies[0], &tallies[1]), 0);
	for (size_t i = 0; i < report.n_changes; i++) {
		const struct sw_report_change *change = &report.changes[i];

		if (change->by != SW_BY_USER)
			continue;
		for (size_t j = 0; j < sw_count(users); j++)
			if (!strcmp(users[j].user, change->name))
				assert_int_equal(users[j].change, change->change);
		n++;
	}
	assert_int_equal(n, 4);
	sw_report_free(&report);
	sw_tally_free(&tallies[0]);
	sw_tally_free(&tallies[1]);
}

/* ---- small things ---- */

static void test_numbers(void **state)
{
	static const struct {
		uint64_t part, whole;
		const char *text;
	} shares[] = {
		{0, 0, "-"},           {0, 5, "0 %"},         {5, 5, "100 %"},
		{1, 3, "33.3 %"},      {1, 100000, "<0.1 %"}, {99999, 100000, ">99.9 %"},
		{999, 1000, "99.9 %"},
	};
	char text[SW_GROUPED_SIZE];

	(void)state;
	assert_string_equal(sw_report_number(0, text), "0");
	assert_string_equal(sw_report_number(999, text), "999");
	assert_string_equal(sw_report_number(1000, text), "1,000");
	assert_string_equal(sw_report_number(UINT64_MAX, text), "18,446,744,073,709,551,615");
	for (size_t i = 0; i < sw_count(shares); i++) {
		char share[SW_PERCENT_SIZE];

		assert_string_equal(sw_report_percent(shares[i].part, shares[i].whole, share),
				    shares[i].text);
	}
}

static void test_axis(void **state)
{
	static const uint64_t most[][2] = {{1, 1},       {3, 3},       {7, 8},
					   {9, 10},      {353, 400},   {999, 1000},
					   {1001, 2000}, {5000, 5000}, {5001, 6000}};

	(void)state;
	for (size_t i = 0; i < sw_count(most); i++)
		assert_int_equal(sw_svg_axis(most[i][0]), most[i][1]);
	assert_true(sw_svg_axis(UINT64_MAX) == UINT64_MAX);
}

/* Heights are parts of the axis, parts stand on one another, and what is little is still seen. */
static void test_bars(void **state)
{
	static const uint64_t values[] = {100, 100, 0, 0, 1, 0};
	static const char *const names[] = {"a", "b<", "c"};
	struct sw_svg_bars chart = {.id = "x",
				    .title = "t",
				    .desc = "d",
				    .n_series = 2,
				    .n_bars = 3,
				    .series = {{"one", "s1"}, {"two", "s2"}},
				    .values = values,
				    .names = names,
				    .n_ticks = 3};
	char *svg = NULL;
	size_t n;
	FILE *to = open_memstream(&svg, &n);

	(void)state;
	sw_svg_bars(to, &chart);
	fclose(to);
	has(svg,
	    "<title>a: 100 one, 100 two</title>"
	    "<rect class=\"s1\" x=\"3.000%\" y=\"88.00\" width=\"27.333%\" height=\"70.00\"/>"
	    "<rect class=\"s2\" x=\"3.000%\" y=\"18.00\" width=\"27.333%\" height=\"70.00\"/>");
	has(svg,
	    "<title>c: 1 one, 0 two</title>"
	    "<rect class=\"s1\" x=\"69.667%\" y=\"156.50\" width=\"27.333%\" height=\"1.50\"/>");
	has(svg, "text-anchor=\"middle\">b&lt;</text>");
	has(svg, ">200</text>");
	has(svg, ">100</text>");
	free(svg);
}

static void test_strip(void **state)
{
	static const struct sw_svg_series series[] = {
		{"one", "s1"}, {"two", "s2"}, {"three", "s3"}};
	static const uint64_t values[] = {750, 249, 1};
	struct sw_svg_strip chart = {.id = "x",
				     .title = "t",
				     .desc = "d",
				     .n_series = 3,
				     .series = series,
				     .values = values,
				     .of = 1000};
	char *svg = NULL;
	size_t n;
	FILE *to = open_memstream(&svg, &n);

	(void)state;
	sw_svg_strip(to, &chart);
	fclose(to);
	has(svg, "class=\"s1\" x=\"0.000%\" width=\"75.000%\"");
	has(svg, "class=\"s2\" x=\"75.000%\" width=\"24.900%\"");
	has(svg, "class=\"s3\" x=\"99.400%\" width=\"0.600%\"");
	free(svg);
}

static void test_fitted(void **state)
{
	static const struct {
		const char *text;
		size_t columns;
		const char *shown;
	} texts[] = {
		{"", 10, ""},
		{"short", 10, "short"},
		{"0123456789", 10, "0123456789"},
		{"0123456789a", 10, "01...6789a"},
		{"/usr/lib/x/y\n", 12, "/us.../y\\x0a"},
		{"\xc3\xa4\xc3\xa4\xc3\xa4\xc3\xa4\xc3\xa4\xc3\xa4\xc3\xa4\xc3\xa4\xc3\xa4", 8,
		 "\xc3\xa4...\xc3\xa4\xc3\xa4\xc3\xa4\xc3\xa4"},
	};

	(void)state;
	for (size_t i = 0; i < sw_count(texts); i++) {
		sw_autofree char *shown = sw_fitted(texts[i].text, texts[i].columns);

		assert_string_equal(shown, texts[i].shown);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_text, make, unmake),
		cmocka_unit_test_setup_teardown(test_text_is_narrow, make, unmake),
		cmocka_unit_test_setup_teardown(test_page, make, unmake),
		cmocka_unit_test_setup_teardown(test_json, make, unmake),
		cmocka_unit_test(test_young_store),
		cmocka_unit_test(test_empty),
		cmocka_unit_test(test_changes),
		cmocka_unit_test(test_numbers),
		cmocka_unit_test(test_axis),
		cmocka_unit_test(test_bars),
		cmocka_unit_test(test_strip),
		cmocka_unit_test(test_fitted),
	};

	return cmocka_run_group_tests_name("report", tests, NULL, NULL);
}
