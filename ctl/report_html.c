/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The report as one page. Its policy (Content-Security-Policy) lets it load nothing and run nothing: a
 * name that found a way around the escaping could still do no more than look odd.
 */
#include "ctl/report_html.h"

#include <string.h>

#include "ctl/report_svg.h"
#include "ctl/when.h"
#include "daemon/base.h"
#include "daemon/proto.h"

const char *sw_html_moment(uint64_t ns, char to[static SW_MOMENT_SIZE])
{
	char time[SW_TIME_SIZE];

	sw_time_format(ns, time);
	snprintf(to, SW_MOMENT_SIZE, "%.10s %.5sZ", time, time + 11);
	return to;
}

void sw_html_number(FILE *to, uint64_t n)
{
	char text[SW_GROUPED_SIZE];

	fprintf(to, "<td class=\"n\">%s</td>", n ? sw_report_number(n, text) : "–");
}

void sw_html_outcome_heads(FILE *to)
{
	fputs("<th class=\"n\" scope=\"col\">Refused</th><th class=\"n\" scope=\"col\">Would "
	      "be</th>"
	      "<th class=\"n\" scope=\"col\">Other</th>",
	      to);
}

void sw_html_outcomes(FILE *to, const uint64_t n[static SW_OUTCOMES])
{
	static const char *const names[SW_OUTCOMES] = {"Refused", "Would be", "Other"};
	char text[SW_GROUPED_SIZE];

	/* The names are for narrow screens, where a row is no row. */
	for (int o = 0; o < SW_OUTCOMES; o++)
		fprintf(to, "<td class=\"n\" data-name=\"%s\">%s</td>", names[o],
			n[o] ? sw_report_number(n[o], text) : "–");
}

static void begin(FILE *to, const struct sw_report *report)
{
	char since[SW_MOMENT_SIZE], until[SW_MOMENT_SIZE], span[SW_SPAN_SIZE];

	fputs("<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n"
	      "<meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; "
	      "style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'\">\n"
	      "<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n"
	      "<meta name=\"color-scheme\" content=\"light dark\">\n"
	      "<meta name=\"referrer\" content=\"no-referrer\">\n<title>Outbound mail of ",
	      to);
	sw_html_text(to, report->host);
	fprintf(to,
		"</title>\n<style>\n%s</style>\n</head>\n<body>\n<main>\n<header>\n<h1>Outbound "
		"mail of ",
		sw_report_style);
	sw_html_text(to, report->host);
	sw_span_format(report->now->until_ns - report->now->since_ns, span);
	fprintf(to, "</h1>\n<p class=\"soft\">%s to %s · %s</p>\n",
		sw_html_moment(report->now->since_ns, since),
		sw_html_moment(report->now->until_ns, until), span);
	fputs("</header>\n", to);
}

/* "1,234" with what it was before below it. */
static void figure(FILE *to, const char *style, const char *name, const char *now,
		   const char *before)
{
	fprintf(to, "<div class=\"%s\"><dt>%s</dt><dd><b>", style, name);
	sw_html_text(to, now);
	fputs("</b>", to);
	if (before) {
		fputs("<span>", to);
		sw_html_text(to, before);
		fputs(" before</span>", to);
	}
	fputs("</dd></div>\n", to);
}

static void count_figure(FILE *to, const struct sw_report *report, const char *style,
			 const char *name, uint64_t now, uint64_t before)
{
	char a[SW_GROUPED_SIZE], b[SW_GROUPED_SIZE];

	figure(to, style, name, sw_report_number(now, a),
	       report->compares ? sw_report_number(before, b) : NULL);
}

static void figures(FILE *to, const struct sw_report *report)
{
	const struct sw_tally *now = report->now, *before = report->before;
	struct sw_tally_sessions sessions = sw_report_sessions(now),
				 earlier = sw_report_sessions(before);
	char a[SW_PERCENT_SIZE], b[SW_PERCENT_SIZE];

	fputs("<dl class=\"figures\">\n", to);
	count_figure(to, report, "f-refused", "Refused", now->n[SW_OUTCOME_REFUSED],
		     before->n[SW_OUTCOME_REFUSED]);
	count_figure(to, report, "f-would", "Would be refused, only recorded",
		     now->n[SW_OUTCOME_AUDIT], before->n[SW_OUTCOME_AUDIT]);
	count_figure(to, report, "f-other", "Redirected, or recorded by a rule",
		     now->n[SW_OUTCOME_OTHER], before->n[SW_OUTCOME_OTHER]);
	count_figure(to, report, "f-sessions", "Connections that ended",
		     sw_tally_session_count(&sessions), sw_tally_session_count(&earlier));
	sw_report_percent(sw_tally_session_tls(&sessions), sw_tally_session_count(&sessions), a);
	sw_report_percent(sw_tally_session_tls(&earlier), sw_tally_session_count(&earlier), b);
	figure(to, "f-tls", "Of these with TLS", a, report->compares ? b : NULL);
	fputs("</dl>\n", to);
}

static void notes(FILE *to, const struct sw_report *report)
{
	char text[SW_GROUPED_SIZE], oldest[SW_MOMENT_SIZE];
	bool gaps = false;

	for (int why = 0; why < SW_GAP_MAX; why++)
		gaps = gaps || report->gaps[why];
	if (!gaps && report->compares)
		return;
	fputs("<div class=\"note\">\n", to);
	for (int why = 0; why < SW_GAP_MAX; why++)
		if (report->gaps[why])
			fprintf(to, "<p><strong>Not recorded:</strong> %s events (%s).</p>\n",
				sw_report_number(report->gaps[why], text),
				sw_gap_words((enum sw_gap)why));
	if (!report->oldest_ns)
		fputs("<p>Nothing has been recorded yet.</p>\n", to);
	else if (!report->compares)
		fprintf(to,
			"<p>The oldest event that is kept is of %s, so there is no period of this "
			"length "
			"before to compare with.</p>\n",
			sw_html_moment(report->oldest_ns, oldest));
	fputs("</div>\n", to);
}

static void end(FILE *to, const struct sw_report *report)
{
	char text[SW_GROUPED_SIZE], made[SW_MOMENT_SIZE];

	fputs("<footer>\n<p><strong>Reading the numbers.</strong> “Would be” is what was let "
	      "through and "
	      "recorded, and would have been refused if the policy were enforced. “Other” is what "
	      "was "
	      "redirected, recorded because a rule says so, or let finish. Programs, users and "
	      "units are "
	      "those of this machine; clients are those whose mail it forwards or answers.",
	      to);
	if (report->now->suppressed)
		fprintf(to,
			" %s of these events were left out in floods: each counts as the next one "
			"like it "
			"that was kept, and may have gone to another destination or port.",
			sw_report_number(report->now->suppressed, text));
	fputs(" Times are UTC.</p>\n<p>Made ", to);
	fputs(sw_html_moment(report->made_ns, made), to);
	fputs(" by smtpwall " SW_VERSION " from ", to);
	sw_html_text(to, report->store);
	fputs(".</p>\n</footer>\n</main>\n</body>\n</html>\n", to);
}

void sw_report_html(FILE *to, const struct sw_report *report)
{
	begin(to, report);
	figures(to, report);
	notes(to, report);
	sw_html_time(to, report);
	sw_html_changes(to, report);
	sw_html_clear(to, report);
	sw_html_elsewhere(to, report);
	sw_html_sessions(to, report);
	sw_html_reasons(to, report);
	sw_html_tables(to, report);
	end(to, report);
}
