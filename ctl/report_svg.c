/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "ctl/report_svg.h"

#include <string.h>

#include "ctl/output.h"
#include "ctl/report.h"
#include "daemon/base.h"

/* Pixels. */
#define PLOT_TOP 18
#define PLOT_HEIGHT 140
#define BASE (PLOT_TOP + PLOT_HEIGHT)
#define BARS_HEIGHT (BASE + 22)
#define STRIP_HEIGHT 16
#define LEAST 1.5       /* what is there is seen */
#define LEAST_SHARE 0.6 /* likewise, of a width */
#define FILLED 0.82     /* of a bar's place */

void sw_html_text(FILE *to, const char *text)
{
	sw_autofree char *shown = sw_escaped(text);

	for (const char *at = shown; *at; at++) {
		switch (*at) {
		case '&':
			fputs("&amp;", to);
			break;
		case '<':
			fputs("&lt;", to);
			break;
		case '>':
			fputs("&gt;", to);
			break;
		case '"':
			fputs("&quot;", to);
			break;
		case '\'':
			fputs("&#39;", to);
			break;
		default:
			fputc(*at, to);
		}
	}
}

uint64_t sw_svg_axis(uint64_t most)
{
	static const unsigned int steps[] = {1, 2, 3, 4, 5, 6, 8};
	uint64_t power = 1;

	for (;; power *= 10) {
		for (size_t i = 0; i < sw_count(steps); i++)
			if (most <= steps[i] * power)
				return steps[i] * power;
		if (power > UINT64_MAX / 100)
			return most;
	}
}

static void begin(FILE *to, const char *id, const char *title, const char *desc, int height)
{
	fprintf(to,
		"<svg id=\"%s\" width=\"100%%\" height=\"%d\" role=\"img\" "
		"aria-labelledby=\"%s-title %s-desc\">\n<title id=\"%s-title\">",
		id, height, id, id, id);
	sw_html_text(to, title);
	fprintf(to, "</title>\n<desc id=\"%s-desc\">", id);
	sw_html_text(to, desc);
	fputs("</desc>\n", to);
}

static uint64_t bar_sum(const struct sw_svg_bars *chart, size_t bar)
{
	uint64_t sum = 0;

	for (size_t s = 0; s < chart->n_series; s++)
		sum += chart->values[bar * chart->n_series + s];
	return sum;
}

/* Lines at the axis' end and its middle. */
static void grid(FILE *to)
{
	for (int y = PLOT_TOP; y < BASE; y += PLOT_HEIGHT / 2)
		fprintf(to,
			"<line class=\"grid\" x1=\"0\" x2=\"100%%\" y1=\"%d.5\" y2=\"%d.5\"/>\n", y,
			y);
}

/* What they stand for, above them and above the bars. */
static void grid_numbers(FILE *to, uint64_t axis)
{
	char text[SW_GROUPED_SIZE];

	fprintf(to, "<text class=\"axis\" x=\"0\" y=\"%d\">%s</text>\n", PLOT_TOP - 4,
		sw_report_number(axis, text));
	if (axis % 2 == 0)
		fprintf(to, "<text class=\"axis\" x=\"0\" y=\"%d\">%s</text>\n",
			PLOT_TOP + PLOT_HEIGHT / 2 - 4, sw_report_number(axis / 2, text));
}

static void bar_title(FILE *to, const struct sw_svg_bars *chart, size_t bar)
{
	char text[SW_GROUPED_SIZE];

	fputs("<title>", to);
	sw_html_text(to, chart->names[bar]);
	for (size_t s = 0; s < chart->n_series; s++) {
		fprintf(to, "%s %s ", s ? "," : ":",
			sw_report_number(chart->values[bar * chart->n_series + s], text));
		sw_html_text(to, chart->series[s].name);
	}
	fputs("</title>", to);
}

/* The parts of one bar, from the base up. */
static void bar_parts(FILE *to, const struct sw_svg_bars *chart, size_t bar, uint64_t axis)
{
	double place = 100.0 / (double)chart->n_bars, y = BASE;

	fputs("<g>", to);
	bar_title(to, chart, bar);
	for (size_t s = 0; s < chart->n_series; s++) {
		uint64_t value = chart->values[bar * chart->n_series + s];
		double height = PLOT_HEIGHT * (double)value / (double)axis;

		if (!value)
			continue;
		height = height < LEAST ? LEAST : height;
		y -= height;
		fprintf(to,
			"<rect class=\"%s\" x=\"%.3f%%\" y=\"%.2f\" width=\"%.3f%%\" "
			"height=\"%.2f\"/>",
			chart->series[s].style, place * ((double)bar + (1 - FILLED) / 2), y,
			place * FILLED, height);
	}
	fputs("</g>\n", to);
}

/* The first and the last label keep within the chart. */
static void ticks(FILE *to, const struct sw_svg_bars *chart)
{
	size_t n = chart->n_ticks < chart->n_bars ? chart->n_ticks : chart->n_bars;

	for (size_t i = 0; i < n; i++) {
		size_t bar = n > 1 ? i * (chart->n_bars - 1) / (n - 1) : 0;
		double at = 100.0 * ((double)bar + 0.5) / (double)chart->n_bars;
		const char *anchor = "middle";

		if (i == 0)
			anchor = "start", at = 0;
		else if (i == n - 1)
			anchor = "end", at = 100;
		fprintf(to, "<text class=\"axis\" x=\"%.3f%%\" y=\"%d\" text-anchor=\"%s\">", at,
			BASE + 16, anchor);
		sw_html_text(to, chart->names[bar]);
		fputs("</text>\n", to);
	}
}

void sw_svg_bars(FILE *to, const struct sw_svg_bars *chart)
{
	uint64_t most = 1, axis;

	for (size_t i = 0; i < chart->n_bars; i++)
		most = bar_sum(chart, i) > most ? bar_sum(chart, i) : most;
	axis = sw_svg_axis(most);
	begin(to, chart->id, chart->title, chart->desc, BARS_HEIGHT);
	grid(to);
	for (size_t i = 0; i < chart->n_bars; i++)
		if (bar_sum(chart, i))
			bar_parts(to, chart, i, axis);
	fprintf(to, "<line class=\"base\" x1=\"0\" x2=\"100%%\" y1=\"%d.5\" y2=\"%d.5\"/>\n", BASE,
		BASE);
	grid_numbers(to, axis);
	ticks(to, chart);
	fputs("</svg>\n", to);
}

void sw_svg_strip(FILE *to, const struct sw_svg_strip *chart)
{
	double x = 0;

	begin(to, chart->id, chart->title, chart->desc, STRIP_HEIGHT);
	fprintf(to, "<rect class=\"empty\" width=\"100%%\" height=\"%d\"/>\n", STRIP_HEIGHT);
	for (size_t s = 0; s < chart->n_series; s++) {
		double width = 100.0 * (double)chart->values[s] / (double)chart->of;

		if (!chart->values[s])
			continue;
		width = width < LEAST_SHARE ? LEAST_SHARE : width;
		x = x + width > 100 ? 100 - width : x;
		fprintf(to, "<rect class=\"%s\" x=\"%.3f%%\" width=\"%.3f%%\" height=\"%d\"/>\n",
			chart->series[s].style, x, width, STRIP_HEIGHT);
		x += width;
	}
	fputs("</svg>\n", to);
}
