/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The sections of the page that have charts, each with its numbers as a table. */
#include <string.h>

#include "ctl/report_html.h"
#include "ctl/report_svg.h"
#include "ctl/when.h"
#include "daemon/base.h"
#include "daemon/proto.h"

#define TICKS 3 /* as many as fit on a phone */
#define DAY_NS 86400000000000ull

static const struct sw_svg_series outcomes[SW_OUTCOMES] = {
	[SW_OUTCOME_REFUSED] = {"refused", "refused"},
	[SW_OUTCOME_AUDIT] = {"would be refused", "would"},
	[SW_OUTCOME_OTHER] = {"other", "other"},
};
static const struct sw_svg_series ways[] = {
	{"implicit TLS", "implicit"}, {"STARTTLS", "starttls"}, {"in clear", "clear"}};
static const struct sw_svg_series tls[] = {{"with TLS", "implicit"}, {"in clear", "clear"}};
static const struct sw_svg_series versions[] = {{"TLS 1.3", "implicit"},
						{"TLS 1.2", "starttls"},
						{"older", "clear"},
						{"not known", "other"}};

static void key(FILE *to, const struct sw_svg_series *series, size_t n)
{
	fputs("<ul class=\"key\">", to);
	for (size_t i = 0; i < n; i++)
		fprintf(to,
			"<li><svg width=\"11\" height=\"11\" aria-hidden=\"true\"><rect "
			"class=\"%s\" "
			"width=\"11\" height=\"11\" rx=\"2\"/></svg>%s</li>",
			series[i].style, series[i].name);
	fputs("</ul>\n", to);
}

/* ---- the time line ---- */

/* How a step is called: "01-02" of whole days, "01-02 06:00" of parts of one. */
struct names {
	char (*text)[16];
	const char **list;
};

static void free_names(struct names *names)
{
	free(names->text);
	free(names->list);
}

static bool make_names(struct names *names, const struct sw_tally *tally)
{
	names->text = calloc(tally->n_buckets, sizeof(*names->text));
	names->list = calloc(tally->n_buckets, sizeof(*names->list));
	for (size_t i = 0; names->text && names->list && i < tally->n_buckets; i++) {
		char time[SW_TIME_SIZE];

		sw_time_format(tally->first_bucket_ns + i * tally->step_ns, time);
		if (tally->step_ns >= DAY_NS)
			snprintf(names->text[i], sizeof(names->text[i]), "%.10s", time);
		else
			snprintf(names->text[i], sizeof(names->text[i]), "%.5s %.5s", time + 5,
				 time + 11);
		names->list[i] = names->text[i];
	}
	return names->text && names->list;
}

static void event_bars(FILE *to, const struct sw_tally *tally, const struct names *names,
		       uint64_t *values)
{
	struct sw_svg_bars chart = {
		.id = "events",
		.title = "Events over time",
		.desc = "A bar for each step, made of what was refused, would be refused, "
			"and other. The numbers are in the table below.",
		.n_series = SW_OUTCOMES,
		.n_bars = tally->n_buckets,
		.values = values,
		.names = names->list,
		.n_ticks = TICKS};

	for (size_t i = 0; i < tally->n_buckets; i++)
		memcpy(values + i * SW_OUTCOMES, tally->buckets[i].n, sizeof(tally->buckets[i].n));
	memcpy(chart.series, outcomes, sizeof(outcomes));
	fputs("<figure><figcaption>Events</figcaption>\n", to);
	sw_svg_bars(to, &chart);
	key(to, outcomes, sw_count(outcomes));
	fputs("</figure>\n", to);
}

static void session_bars(FILE *to, const struct sw_tally *tally, const struct names *names,
			 uint64_t *values)
{
	struct sw_svg_bars chart = {
		.id = "sessions",
		.title = "Connections over time",
		.desc = "A bar for each step, made of connections with TLS and of those in "
			"clear. The numbers are in the table below.",
		.n_series = sw_count(tls),
		.n_bars = tally->n_buckets,
		.values = values,
		.names = names->list,
		.n_ticks = TICKS};

	for (size_t i = 0; i < tally->n_buckets; i++) {
		values[2 * i] = tally->buckets[i].sessions_tls;
		values[2 * i + 1] = tally->buckets[i].sessions - tally->buckets[i].sessions_tls;
	}
	memcpy(chart.series, tls, sizeof(tls));
	fputs("<figure><figcaption>Connections that ended</figcaption>\n", to);
	sw_svg_bars(to, &chart);
	key(to, tls, sw_count(tls));
	fputs("</figure>\n", to);
}

/* Steps in which nothing was are left out. */
static void time_table(FILE *to, const struct sw_tally *tally, const struct names *names)
{
	fputs("<details><summary>The numbers</summary>\n<table><thead><tr><th "
	      "scope=\"col\">From</th>",
	      to);
	sw_html_outcome_heads(to);
	fputs("<th class=\"n\" scope=\"col\">With TLS</th><th class=\"n\" scope=\"col\">In "
	      "clear</th>"
	      "</tr></thead>\n<tbody>\n",
	      to);
	for (size_t i = 0; i < tally->n_buckets; i++) {
		const struct sw_tally_bucket *bucket = &tally->buckets[i];

		if (!sw_tally_sum(bucket->n) && !bucket->sessions)
			continue;
		fprintf(to, "<tr><th scope=\"row\">%s</th>", names->list[i]);
		sw_html_outcomes(to, bucket->n);
		sw_html_number(to, bucket->sessions_tls);
		sw_html_number(to, bucket->sessions - bucket->sessions_tls);
		fputs("</tr>\n", to);
	}
	fputs("</tbody></table></details>\n", to);
}

void sw_html_time(FILE *to, const struct sw_report *report)
{
	const struct sw_tally *tally = report->now;
	sw_autofree uint64_t *values =
		calloc(tally->n_buckets + 1, SW_SVG_SERIES * sizeof(*values));
	struct sw_tally_sessions all = sw_report_sessions(tally);
	sw_cleanup(free_names) struct names names = {0};
	char span[SW_SPAN_SIZE];

	if (!tally->first_ns || !values || !make_names(&names, tally))
		return;
	sw_span_format(tally->step_ns, span);
	fprintf(to, "<section>\n<h2>When</h2>\n<p class=\"soft\">Each bar is %s.</p>\n", span);
	if (tally->events)
		event_bars(to, tally, &names, values);
	if (sw_tally_session_count(&all))
		session_bars(to, tally, &names, values);
	time_table(to, tally, &names);
	fputs("</section>\n", to);
}

/* ---- TLS ---- */

static void strip(FILE *to, const char *id, const char *name, const char *said,
		  const struct sw_svg_series *series, size_t n, const uint64_t *values, uint64_t of)
{
	struct sw_svg_strip chart = {.id = id,
				     .title = name,
				     .desc = "The same numbers are in the table.",
				     .n_series = n,
				     .series = series,
				     .values = values,
				     .of = of};

	fputs("<div><div class=\"name\"><span>", to);
	sw_html_text(to, name);
	fputs("</span><span>", to);
	sw_html_text(to, said);
	fputs("</span></div>\n", to);
	sw_svg_strip(to, &chart);
	fputs("</div>\n", to);
}

static const char *const scope_names[SW_TALLY_SCOPES] = {
	"Opened by this machine", "Forwarded for clients", "Answered by this machine"};

static void way_strips(FILE *to, const struct sw_tally *tally)
{
	static const char *const ids[SW_TALLY_SCOPES] = {"tls-host", "tls-edge", "tls-serve"};

	fputs("<figure><figcaption>How connections came to TLS</figcaption>\n<div "
	      "class=\"strips\">\n",
	      to);
	for (int s = 0; s < SW_TALLY_SCOPES; s++) {
		const struct sw_tally_sessions *one = &tally->sessions[s];
		uint64_t values[] = {one->implicit, one->starttls, one->in_clear};
		char share[SW_PERCENT_SIZE], text[SW_PERCENT_SIZE + 16];

		if (!sw_tally_session_count(one))
			continue;
		sw_report_percent(sw_tally_session_tls(one), sw_tally_session_count(one), share);
		snprintf(text, sizeof(text), "%s with TLS", share);
		strip(to, ids[s], scope_names[s], text, ways, sw_count(ways), values,
		      sw_tally_session_count(one));
	}
	fputs("</div>\n", to);
	key(to, ways, sw_count(ways));
	fputs("</figure>\n", to);
}

static void way_table(FILE *to, const struct sw_tally *tally)
{
	fputs("<table><thead><tr><th scope=\"col\">Connections</th><th class=\"n\" "
	      "scope=\"col\">Implicit"
	      "</th><th class=\"n\" scope=\"col\">STARTTLS</th><th class=\"n\" scope=\"col\">In "
	      "clear</th>"
	      "</tr></thead>\n<tbody>\n",
	      to);
	for (int s = 0; s < SW_TALLY_SCOPES; s++) {
		const struct sw_tally_sessions *one = &tally->sessions[s];

		if (!sw_tally_session_count(one))
			continue;
		fprintf(to, "<tr><th scope=\"row\">%s</th>", scope_names[s]);
		sw_html_number(to, one->implicit);
		sw_html_number(to, one->starttls);
		sw_html_number(to, one->in_clear);
		fputs("</tr>\n", to);
	}
	fputs("</tbody></table>\n", to);
}

static void version_strip(FILE *to, const struct sw_tally_sessions *all)
{
	const uint64_t *v = all->versions;
	uint64_t values[] = {v[SW_TALLY_TLS_1_3], v[SW_TALLY_TLS_1_2],
			     v[SW_TALLY_TLS_1_1] + v[SW_TALLY_TLS_1_0] + v[SW_TALLY_TLS_OLDER],
			     v[SW_TALLY_TLS_UNKNOWN]};
	char share[SW_PERCENT_SIZE], text[SW_PERCENT_SIZE + 16];

	sw_report_percent(values[0], sw_tally_session_tls(all), share);
	snprintf(text, sizeof(text), "%s TLS 1.3", share);
	fputs("<figure><figcaption>TLS versions</figcaption>\n<div class=\"strips\">\n", to);
	strip(to, "tls-versions", "All of them", text, versions, sw_count(versions), values,
	      sw_tally_session_tls(all));
	fputs("</div>\n", to);
	key(to, versions, sw_count(versions));
	fputs("</figure>\n", to);
}

static void version_table(FILE *to, const struct sw_tally_sessions *all)
{
	char text[SW_PERCENT_SIZE];

	fputs("<table><thead><tr><th scope=\"col\">Version</th><th class=\"n\" "
	      "scope=\"col\">Connections</th>"
	      "<th class=\"n\" scope=\"col\">Share</th></tr></thead>\n<tbody>\n",
	      to);
	for (int v = SW_TALLY_TLS_VERSIONS - 1; v >= 0; v--) {
		if (!all->versions[v])
			continue;
		fprintf(to, "<tr><th scope=\"row\">%s</th>",
			sw_report_version_name((enum sw_tally_version)v));
		sw_html_number(to, all->versions[v]);
		fputs("<td class=\"n\">", to);
		sw_html_text(to,
			     sw_report_percent(all->versions[v], sw_tally_session_tls(all), text));
		fputs("</td></tr>\n", to);
	}
	fputs("</tbody></table>\n", to);
}

void sw_html_sessions(FILE *to, const struct sw_report *report)
{
	struct sw_tally_sessions all = sw_report_sessions(report->now);

	if (!sw_tally_session_count(&all))
		return;
	fputs("<section>\n<h2>TLS</h2>\n<div class=\"two\">\n<div>\n", to);
	way_strips(to, report->now);
	way_table(to, report->now);
	fputs("</div>\n", to);
	if (sw_tally_session_tls(&all)) {
		fputs("<div>\n", to);
		version_strip(to, &all);
		version_table(to, &all);
		fputs("</div>\n", to);
	}
	fputs("</div>\n</section>\n", to);
}

/* ---- reasons ---- */

static void reason_strips(FILE *to, const struct sw_report_table *table)
{
	uint64_t most = sw_tally_sum(table->rows[0].n);

	fputs("<figure>\n<div class=\"strips\">\n", to);
	for (size_t i = 0; i < table->n_rows; i++) {
		char id[32], text[SW_GROUPED_SIZE];

		snprintf(id, sizeof(id), "reason-%zu", i + 1);
		sw_report_number(sw_tally_sum(table->rows[i].n), text);
		strip(to, id, table->rows[i].name, text, outcomes, sw_count(outcomes),
		      table->rows[i].n, most);
	}
	fputs("</div>\n", to);
	key(to, outcomes, sw_count(outcomes));
	fputs("</figure>\n", to);
}

void sw_html_reasons(FILE *to, const struct sw_report *report)
{
	const struct sw_report_table *table = &report->tables[SW_BY_REASON];

	if (!table->n_rows)
		return;
	fputs("<section>\n<h2>Why</h2>\n<div class=\"two\">\n", to);
	reason_strips(to, table);
	fputs("<table class=\"by\"><thead><tr><th scope=\"col\">Reason</th>", to);
	sw_html_outcome_heads(to);
	fputs("</tr></thead>\n<tbody>\n", to);
	for (size_t i = 0; i < table->n_rows; i++) {
		fputs("<tr><th scope=\"row\">", to);
		sw_html_text(to, table->rows[i].name);
		fputs("</th>", to);
		sw_html_outcomes(to, table->rows[i].n);
		fputs("</tr>\n", to);
	}
	fputs("</tbody></table>\n</div>\n</section>\n", to);
}
