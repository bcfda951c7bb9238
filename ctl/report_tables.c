/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The sections of the page that are tables. */
#include <string.h>

#include "ctl/report_html.h"
#include "ctl/report_svg.h"
#include "daemon/base.h"

/* A cell that names its row; it is left open. */
static void row_head(FILE *to, const char *name, const char *without)
{
	fputs("<tr><th scope=\"row\">", to);
	sw_html_text(to, *name ? name : without);
}

/* `columns`: those before the numbers. */
static void show_rest(FILE *to, const struct sw_report_rest *rest, int columns)
{
	char text[SW_GROUPED_SIZE];

	if (!rest->keys && !rest->short_by)
		return;
	fprintf(to, "<tr class=\"rest\"><th scope=\"row\" colspan=\"%d\">%s more", columns,
		sw_report_number(rest->keys, text));
	if (rest->short_by)
		fprintf(to,
			"<small>too many to count each: numbers may be too low by up to %s</small>",
			sw_report_number(rest->short_by, text));
	fputs("</th>", to);
	sw_html_outcomes(to, rest->n);
	fputs("</tr>\n", to);
}

static void show_table(FILE *to, const struct sw_report_table *table, enum sw_tally_by by)
{
	const char *head = sw_report_table_head(by);

	if (!table->n_rows)
		return;
	fprintf(to, "<div><h2>By %s</h2>\n<table class=\"by\"><thead><tr><th scope=\"col\">%s</th>",
		sw_report_table_name(by), head);
	sw_html_outcome_heads(to);
	fputs("</tr></thead>\n<tbody>\n", to);
	for (size_t i = 0; i < table->n_rows; i++) {
		row_head(to, table->rows[i].name, "none");
		fputs("</th>", to);
		sw_html_outcomes(to, table->rows[i].n);
		fputs("</tr>\n", to);
	}
	show_rest(to, &table->rest, 1);
	fputs("</tbody></table></div>\n", to);
}

void sw_html_tables(FILE *to, const struct sw_report *report)
{
	if (!report->now->events)
		return;
	fputs("<section class=\"two\">\n", to);
	for (int by = 0; by < SW_REPORT_TABLES; by++)
		if (by != SW_BY_REASON)
			show_table(to, &report->tables[by], (enum sw_tally_by)by);
	fputs("</section>\n", to);
}

static void small(FILE *to, const char *before, const char *text)
{
	if (!*text)
		return;
	fprintf(to, "<small>%s", before);
	sw_html_text(to, text);
	fputs("</small>", to);
}

/* Who: for a program of this machine itself; else the client's address and whose server it spoke to. */
static void show_who(FILE *to, const struct sw_report_sender *row)
{
	if (strcmp(row->scope, "host")) {
		row_head(to, row->peer, "");
		if (!strcmp(row->scope, "serve"))
			small(to, "to ", row->unit);
		return;
	}
	row_head(to, *row->program ? row->program : row->user, "not known");
	if (*row->program)
		small(to, "user ", row->user);
	small(to, "", row->unit);
}

static void show_what(FILE *to, const struct sw_report_sender *row)
{
	fputs("<td class=\"text\">", to);
	if (*row->command) {
		sw_html_text(to, row->command);
		fputs(row->cut ? "…" : "", to);
	}
	fputs(*row->command ? " to " : "To ", to);
	if (!strcmp(row->scope, "host")) {
		sw_html_text(to, row->peer);
		fputc(' ', to);
	}
	fprintf(to, "port %u<small>%s</small></td>", row->port, row->reason);
}

static void show_senders(FILE *to, const struct sw_report_senders *senders, const char *head,
			 const char *about)
{
	if (!senders->n_rows)
		return;
	fprintf(to,
		"<section>\n<h2>%s</h2>\n<p class=\"soft\">%s</p>\n<table "
		"class=\"senders\"><thead><tr>"
		"<th scope=\"col\">Who</th><th scope=\"col\">What</th>",
		head, about);
	sw_html_outcome_heads(to);
	fputs("</tr></thead>\n<tbody>\n", to);
	for (size_t i = 0; i < senders->n_rows; i++) {
		show_who(to, &senders->rows[i]);
		fputs("</th>", to);
		show_what(to, &senders->rows[i]);
		sw_html_outcomes(to, senders->rows[i].n);
		fputs("</tr>\n", to);
	}
	show_rest(to, &senders->rest, 2);
	fputs("</tbody></table>\n</section>\n", to);
}

void sw_html_clear(FILE *to, const struct sw_report *report)
{
	show_senders(to, &report->clear, "Sent in clear",
		     "Mail commands and passwords that were sent, or tried, before TLS.");
}

void sw_html_elsewhere(FILE *to, const struct sw_report *report)
{
	show_senders(to, &report->elsewhere, "SMTP on other ports",
		     "SMTP that was spoken on ports that no rule names. It was not refused.");
}

void sw_html_changes(FILE *to, const struct sw_report *report)
{
	char text[SW_GROUPED_SIZE];

	if (!report->compares)
		return;
	fputs("<section>\n<h2>What changed</h2>\n", to);
	if (!report->n_changes) {
		fputs("<p class=\"soft\">Nothing by a factor of two or more, and nobody new or "
		      "gone.</p>\n"
		      "</section>\n",
		      to);
		return;
	}
	fputs("<table><caption>Against the period of the same length before: who is new or gone, "
	      "and what "
	      "came twice as often, or half as often.</caption>\n<thead><tr><th scope=\"col\">Who "
	      "or what"
	      "</th><th scope=\"col\">Change</th><th class=\"n\" scope=\"col\">Before</th>"
	      "<th class=\"n\" scope=\"col\">Now</th></tr></thead>\n<tbody>\n",
	      to);
	for (size_t i = 0; i < report->n_changes; i++) {
		const struct sw_report_change *change = &report->changes[i];

		fputs("<tr><th scope=\"row\">", to);
		sw_html_text(to, *change->name ? change->name : "none");
		fprintf(to, "</th><td>%s, %s</td>", sw_report_table_name(change->by),
			sw_change_name(change->change));
		sw_html_number(to, change->before);
		sw_html_number(to, change->now);
		fputs("</tr>\n", to);
	}
	if (report->more_changes)
		fprintf(to,
			"<tr class=\"rest\"><th scope=\"row\" colspan=\"4\">and %s smaller "
			"ones</th></tr>\n",
			sw_report_number(report->more_changes, text));
	fputs("</tbody></table>\n</section>\n", to);
}
