/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The report for a terminal and for mail: at most 80 columns, and no colour but bold heads. */
#include "ctl/report.h"

#include <string.h>

#include "ctl/output.h"
#include "ctl/when.h"
#include "daemon/base.h"
#include "daemon/proto.h"

#define WIDTH 79
#define NUMBER 11 /* columns of a number with the space in front of it */
#define NAME (WIDTH - SW_OUTCOMES * NUMBER)
#define BAR 30
#define LINES 31 /* of the time line */

static void head(FILE *to, const char *text)
{
	fprintf(to, "\n%s%s%s\n", sw_color(to, SW_BOLD), text, sw_color(to, SW_PLAIN));
}

static void padded(FILE *to, const char *text, size_t columns)
{
	sw_autofree char *shown = sw_fitted(text, columns);

	fprintf(to, "%s%*s", shown, (int)(columns - sw_width(shown)), "");
}

static void number(FILE *to, uint64_t n)
{
	char text[SW_GROUPED_SIZE];

	fprintf(to, "%*s", NUMBER, n ? sw_report_number(n, text) : "-");
}

static void outcomes(FILE *to, const uint64_t n[static SW_OUTCOMES])
{
	for (int o = 0; o < SW_OUTCOMES; o++)
		number(to, n[o]);
	fputc('\n', to);
}

/* "2026-01-02 03:04Z" */
static void moment(uint64_t ns, char to[static SW_TIME_TEXT_SIZE])
{
	char time[SW_TIME_SIZE];

	sw_time_format(ns, time);
	snprintf(to, SW_TIME_TEXT_SIZE, "%.10s %.5sZ", time, time + 11);
}

static void show_title(FILE *to, const struct sw_report *report)
{
	char since[SW_TIME_TEXT_SIZE], until[SW_TIME_TEXT_SIZE], oldest[SW_TIME_TEXT_SIZE],
		span[SW_SPAN_SIZE];
	sw_autofree char *host = sw_fitted(report->host, WIDTH - 20);

	moment(report->now->since_ns, since);
	moment(report->now->until_ns, until);
	sw_span_format(report->now->until_ns - report->now->since_ns, span);
	fprintf(to, "%ssmtpwall report of %s%s\n", sw_color(to, SW_BOLD), host,
		sw_color(to, SW_PLAIN));
	fprintf(to, "%s to %s (%s)\n", since, until, span);
	if (!report->oldest_ns) {
		fputs("Nothing has been recorded yet.\n", to);
		return;
	}
	moment(report->oldest_ns, oldest);
	if (report->oldest_ns > report->now->since_ns)
		fprintf(to, "The oldest event that is kept is of %s.\n", oldest);
}

/* A number of this period, of the one before, and how they compare. */
static void show_compared(FILE *to, const struct sw_report *report, const char *what, uint64_t now,
			  uint64_t before)
{
	fprintf(to, "%-38s", what);
	number(to, now);
	if (report->compares)
		number(to, before);
	fputc('\n', to);
}

static void show_share(FILE *to, const struct sw_report *report,
		       const struct sw_tally_sessions *now, const struct sw_tally_sessions *before)
{
	char text[SW_PERCENT_SIZE];

	fprintf(to, "%-38s%*s", "  of these with TLS", NUMBER,
		sw_report_percent(sw_tally_session_tls(now), sw_tally_session_count(now), text));
	if (report->compares)
		fprintf(to, "%*s", NUMBER,
			sw_report_percent(sw_tally_session_tls(before),
					  sw_tally_session_count(before), text));
	fputc('\n', to);
}

static void show_summary(FILE *to, const struct sw_report *report)
{
	const struct sw_tally *now = report->now, *before = report->before;
	struct sw_tally_sessions sessions = sw_report_sessions(now),
				 earlier = sw_report_sessions(before);

	fprintf(to, "\n%-38s%*s", "", NUMBER, "NOW");
	fprintf(to, report->compares ? "%*s\n" : "\n", NUMBER, "BEFORE");
	show_compared(to, report, "refused", now->n[SW_OUTCOME_REFUSED],
		      before->n[SW_OUTCOME_REFUSED]);
	show_compared(to, report, "only recorded, would have been refused",
		      now->n[SW_OUTCOME_AUDIT], before->n[SW_OUTCOME_AUDIT]);
	show_compared(to, report, "other (redirected, recorded by a rule)",
		      now->n[SW_OUTCOME_OTHER], before->n[SW_OUTCOME_OTHER]);
	show_compared(to, report, "connections that ended", sw_tally_session_count(&sessions),
		      sw_tally_session_count(&earlier));
	show_share(to, report, &sessions, &earlier);
}

static void show_notes(FILE *to, const struct sw_report *report)
{
	char text[SW_GROUPED_SIZE];

	if (report->now->suppressed)
		fprintf(to,
			"\n%s of these were left out in floods: they were like the next one that "
			"is\n"
			"kept, and count as it does. Their destinations and ports may have been "
			"others.\n",
			sw_report_number(report->now->suppressed, text));
	for (int why = 0; why < SW_GAP_MAX; why++)
		if (report->gaps[why])
			fprintf(to, "\nNOT RECORDED: %s events (%s).\n",
				sw_report_number(report->gaps[why], text),
				sw_gap_words((enum sw_gap)why));
	if (report->oldest_ns && !report->compares)
		fputs("\nThe period before is not compared: too little of it was recorded.\n", to);
}

/* One line for so many steps that there are not too many lines. */
static void show_step(FILE *to, const struct sw_tally *tally, size_t from, size_t n, uint64_t most)
{
	uint64_t events = 0, sessions = 0;
	char time[SW_TIME_TEXT_SIZE];
	int bar;

	for (size_t i = from; i < from + n && i < tally->n_buckets; i++) {
		events += sw_tally_sum(tally->buckets[i].n);
		sessions += tally->buckets[i].sessions;
	}
	bar = most ? (int)(events * BAR / most) : 0;
	moment(tally->first_bucket_ns + from * tally->step_ns, time);
	fprintf(to, "%-17s", time);
	number(to, sessions);
	number(to, events);
	fprintf(to, "%s%.*s\n", bar || events ? "  " : "", bar ? bar : events > 0,
		"##############################");
}

static void show_time(FILE *to, const struct sw_tally *tally)
{
	size_t each = (tally->n_buckets + LINES - 1) / LINES;
	uint64_t most = 0, sum;
	char span[SW_SPAN_SIZE], text[64];

	if (!tally->first_ns)
		return;
	for (size_t i = 0; i < tally->n_buckets; i += each) {
		sum = 0;
		for (size_t j = i; j < i + each && j < tally->n_buckets; j++)
			sum += sw_tally_sum(tally->buckets[j].n);
		most = sum > most ? sum : most;
	}
	sw_span_format(each * tally->step_ns, span);
	snprintf(text, sizeof(text), "EVERY %-11s%*s%*s", span, NUMBER, "SESSIONS", NUMBER,
		 "EVENTS");
	head(to, text);
	for (size_t i = 0; i < tally->n_buckets; i += each)
		show_step(to, tally, i, each, most);
}

static void outcome_heads(FILE *to, const char *name)
{
	fprintf(to, "\n%s%-*s%*s%*s%*s%s\n", sw_color(to, SW_BOLD), NAME, name, NUMBER, "REFUSED",
		NUMBER, "WOULD BE", NUMBER, "OTHER", sw_color(to, SW_PLAIN));
}

static void show_rest(FILE *to, const struct sw_report_rest *rest)
{
	char text[64], n[SW_GROUPED_SIZE];

	if (rest->keys) {
		snprintf(text, sizeof(text), "%s more", sw_report_number(rest->keys, n));
		padded(to, text, NAME);
		outcomes(to, rest->n);
	}
	if (rest->short_by)
		fprintf(to, "(too many to count each: numbers may be too low by up to %s)\n",
			sw_report_number(rest->short_by, n));
}

static void show_table(FILE *to, const struct sw_report_table *table, enum sw_tally_by by)
{
	char name[32];
	size_t i;

	if (!table->n_rows)
		return;
	for (i = 0; sw_report_table_head(by)[i]; i++)
		name[i] = (char)(sw_report_table_head(by)[i] & ~0x20);
	name[i] = '\0';
	outcome_heads(to, name);
	for (i = 0; i < table->n_rows; i++) {
		padded(to, *table->rows[i].name ? table->rows[i].name : "(none)", NAME);
		outcomes(to, table->rows[i].n);
	}
	show_rest(to, &table->rest);
}

/* Who, of what is forwarded or answered: the client. */
static char *sender_name(const struct sw_report_sender *row)
{
	char *text = NULL;

	if (strcmp(row->scope, "host"))
		return strdup(row->peer);
	if (asprintf(&text, "%s%s%s", *row->user ? row->user : "?", *row->program ? " " : "",
		     row->program) < 0)
		return NULL;
	return text;
}

/* Two lines for each: who, and then where, what and why. */
static void show_sender(FILE *to, const struct sw_report_sender *row)
{
	sw_autofree char *who = sender_name(row), *what = NULL, *shown = NULL;
	bool host = !strcmp(row->scope, "host");
	const char *unit = strcmp(row->scope, "edge") ? row->unit : "";

	if (!who || asprintf(&what, "%s%s%s%s%sto %s%sport %u: %s", unit, *unit ? ", " : "",
			     row->command, row->cut ? "..." : "", *row->command ? " " : "",
			     host ? row->peer : "", host ? " " : "", row->port, row->reason) < 0)
		return;
	padded(to, who, NAME);
	outcomes(to, row->n);
	shown = sw_fitted(what, WIDTH - 2);
	fprintf(to, "  %s\n", shown);
}

static void show_senders(FILE *to, const struct sw_report_senders *senders, const char *name)
{
	if (!senders->n_rows)
		return;
	outcome_heads(to, name);
	for (size_t i = 0; i < senders->n_rows; i++)
		show_sender(to, &senders->rows[i]);
	show_rest(to, &senders->rest);
}

static void show_versions(FILE *to, const struct sw_tally_sessions *all)
{
	uint64_t tls = sw_tally_session_tls(all);
	char text[SW_PERCENT_SIZE];

	if (!tls)
		return;
	head(to, "TLS VERSION");
	for (int v = SW_TALLY_TLS_VERSIONS - 1; v >= 0; v--) {
		if (!all->versions[v])
			continue;
		fprintf(to, "%-12s", sw_report_version_name((enum sw_tally_version)v));
		number(to, all->versions[v]);
		fprintf(to, "%*s\n", NUMBER, sw_report_percent(all->versions[v], tls, text));
	}
}

static void show_sessions(FILE *to, const struct sw_tally *tally)
{
	static const char *const scopes[SW_TALLY_SCOPES] = {"opened here", "forwarded",
							    "answered here"};
	struct sw_tally_sessions all = sw_report_sessions(tally);
	char text[SW_PERCENT_SIZE];

	if (!sw_tally_session_count(&all))
		return;
	fprintf(to, "\n%s%-14s%*s%*s%*s%*s%s\n", sw_color(to, SW_BOLD), "CONNECTIONS", NUMBER,
		"IN CLEAR", NUMBER, "STARTTLS", NUMBER, "IMPLICIT", NUMBER, "WITH TLS",
		sw_color(to, SW_PLAIN));
	for (int s = 0; s < SW_TALLY_SCOPES; s++) {
		const struct sw_tally_sessions *one = &tally->sessions[s];

		if (!sw_tally_session_count(one))
			continue;
		fprintf(to, "%-14s", scopes[s]);
		number(to, one->in_clear);
		number(to, one->starttls);
		number(to, one->implicit);
		fprintf(to, "%*s\n", NUMBER,
			sw_report_percent(sw_tally_session_tls(one), sw_tally_session_count(one),
					  text));
	}
	show_versions(to, &all);
}

static void show_changes(FILE *to, const struct sw_report *report)
{
	char n[SW_GROUPED_SIZE];

	if (!report->compares)
		return;
	fprintf(to, "\n%s%-6s%-12s%-*s%*s%*s%s\n", sw_color(to, SW_BOLD), "CHANGED", "",
		WIDTH - 19 - 2 * NUMBER, "", NUMBER, "BEFORE", NUMBER, "NOW",
		sw_color(to, SW_PLAIN));
	if (!report->n_changes)
		fputs("nothing by a factor of two or more, and nobody new or gone\n", to);
	for (size_t i = 0; i < report->n_changes; i++) {
		const struct sw_report_change *change = &report->changes[i];

		fprintf(to, "%-6s%-9s", sw_change_name(change->change),
			sw_report_table_name(change->by));
		padded(to, *change->name ? change->name : "(none)", WIDTH - 15 - 2 * NUMBER);
		number(to, change->before);
		number(to, change->now);
		fputc('\n', to);
	}
	if (report->more_changes)
		fprintf(to, "and %s smaller ones\n", sw_report_number(report->more_changes, n));
}

void sw_report_text(FILE *to, const json_t *data, const void *context)
{
	const struct sw_report *report = context;

	(void)data;
	show_title(to, report);
	show_summary(to, report);
	show_notes(to, report);
	show_changes(to, report);
	show_time(to, report->now);
	show_sessions(to, report->now);
	show_senders(to, &report->clear, "SENT IN CLEAR");
	show_senders(to, &report->elsewhere, "SMTP ON OTHER PORTS");
	for (int by = 0; by < SW_REPORT_TABLES; by++)
		show_table(to, &report->tables[by], (enum sw_tally_by)by);
}
