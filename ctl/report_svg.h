/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * report_svg.h - charts as SVG, from numbers alone. Colours are the page's: each series has a CSS class.
 *
 * Widths are shares of the chart's width and everything else is in CSS pixels, without a viewBox: so a
 * chart is as wide as where it stands, and its letters are as large on a phone as on a desk.
 */
#ifndef SW_REPORT_SVG_H
#define SW_REPORT_SVG_H

#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

/* Text for HTML and SVG: escaped as sw_escaped() does, and so that it is text in elements and attributes. */
void sw_html_text(FILE *to, const char *text);

struct sw_svg_series {
	const char *name;  /* "refused" */
	const char *style; /* CSS class */
};

#define SW_SVG_SERIES 3

/* Bars side by side, each made of one part of every series, the first at the bottom. */
struct sw_svg_bars {
	const char *id; /* of the element, and in front of those of its title and description */
	const char *title, *desc; /* for those who do not see it */
	size_t n_series, n_bars;
	struct sw_svg_series series[SW_SVG_SERIES];
	const uint64_t *values;   /* n_bars rows of n_series */
	const char *const *names; /* one for each bar: when */
	size_t n_ticks;           /* labels below, spread evenly over the bars */
};

void sw_svg_bars(FILE *to, const struct sw_svg_bars *chart);

/* One bar as wide as the chart, or as `of` allows: its parts as shares of `of` (not 0). */
struct sw_svg_strip {
	const char *id, *title, *desc;
	size_t n_series;
	const struct sw_svg_series *series;
	const uint64_t *values; /* n_series */
	uint64_t of;
};

void sw_svg_strip(FILE *to, const struct sw_svg_strip *chart);

/* Where an axis up to at least `most` ends: a number of one digit before its zeros. */
uint64_t sw_svg_axis(uint64_t most);

#endif
