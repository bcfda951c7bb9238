/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * output.h - how answers look. A command holds its data as JSON; struct sw_output shows it to
 * people or to programs. Whatever a process of the machine can choose (its name, its path, its
 * cgroup) goes through sw_escaped() before a terminal sees it.
 */
#ifndef SW_OUTPUT_H
#define SW_OUTPUT_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>

#include "daemon/base.h"
#include "daemon/policy/diag.h"

typedef void sw_text_fn(FILE *to, const json_t *data, const void *context);

struct sw_output {
	/* Data: `text` writes it for people; for programs it is one line, without its "status". */
	void (*data)(json_t *data, sw_text_fn *text, const void *context);
	/* A sentence that no program needs; standard output. */
	void (*say)(const char *format, ...) sw_printf(1, 2);
	/* What is wrong with a policy, with carets; standard error. Programs find it in the data. */
	void (*diags)(const struct sw_diags *diags);
};

extern const struct sw_output sw_output_text, sw_output_json;

/* Every record as {severity, file, line, column, message}. */
json_t *sw_diags_json(const struct sw_diags *diags);

/* A copy (malloc'ed; never NULL) in which control characters, what is not UTF-8 and what changes
   the direction of writing stand as \xNN. */
char *sw_escaped(const char *text);

/* The same, but line ends stay: text of several lines. */
char *sw_escaped_lines(const char *text);

/* Columns of a text that is UTF-8: its characters. */
size_t sw_width(const char *text);

/* As sw_escaped(), in at most so many columns (from 8): a longer one loses some of its middle to
   "...", as the end of a path says most. */
char *sw_fitted(const char *text, size_t columns);

enum sw_color { SW_PLAIN, SW_BOLD, SW_RED, SW_GREEN, SW_YELLOW };

/* The sequence that starts a colour, "" unless `to` is a terminal and NO_COLOR is not set. */
const char *sw_color(FILE *to, enum sw_color color);

/* "2026-01-02T03:04:05.678901Z" as people read it: a space for the T. `digits` of the fraction
   stay (0 to 6). Anything else is copied, escaped. */
#define SW_TIME_TEXT_SIZE 40
void sw_time_text(const char *time, int digits, char to[static SW_TIME_TEXT_SIZE]);

/* Columns as wide as their widest cell; the last one is not padded. */
struct sw_table;
#define SW_TABLE_COLUMNS 8

/* `heads` holds one head for each column; those that begin with '>' are aligned right. */
struct sw_table *sw_table_new(const char *const *heads, size_t columns);
void sw_table_free(struct sw_table *table);
/* Copies and escapes as many cells as there are columns. */
void sw_table_row(struct sw_table *table, const char *const *cells);
void sw_table_print(const struct sw_table *table, FILE *to);

#endif
