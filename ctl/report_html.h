/* SPDX-License-Identifier: GPL-2.0-or-later */
/* report_html.h - the parts of the page that sw_report_html() puts together. */
#ifndef SW_REPORT_HTML_H
#define SW_REPORT_HTML_H

#include <stdio.h>

#include "ctl/report.h"

extern const char sw_report_style[]; /* CSS */

/* "2026-01-02 03:04Z" */
#define SW_MOMENT_SIZE 32
const char *sw_html_moment(uint64_t ns, char to[static SW_MOMENT_SIZE]);

/* Sections with charts and the tables beside them; nothing where there is nothing to show. */
void sw_html_time(FILE *to, const struct sw_report *report);
void sw_html_sessions(FILE *to, const struct sw_report *report);
void sw_html_reasons(FILE *to, const struct sw_report *report);

/* Sections that are tables. */
void sw_html_clear(FILE *to, const struct sw_report *report);
void sw_html_elsewhere(FILE *to, const struct sw_report *report);
void sw_html_changes(FILE *to, const struct sw_report *report);
void sw_html_tables(FILE *to, const struct sw_report *report);

/* A cell with a number; nothing is a dash. */
void sw_html_number(FILE *to, uint64_t n);

/* The heads of the columns of outcomes, and their cells. */
void sw_html_outcome_heads(FILE *to);
void sw_html_outcomes(FILE *to, const uint64_t n[static SW_OUTCOMES]);

#endif
