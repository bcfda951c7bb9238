/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * diag.h - what is wrong with a policy, kept as records and printed last.
 *
 * Printed form, one per record:
 *     FILE:LINE:COL: error: message
 *         the source line
 *         ^~~~ (a caret under the first character, tildes to the end of the token)
 *     FILE:LINE:COL: note: ... (expected what, nearest known word, where the first one was)
 */
#ifndef SW_DIAG_H
#define SW_DIAG_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include "daemon/base.h"

/* A place in a source. `source` is an index given by sw_diags_add_source(). */
struct sw_pos {
	uint16_t source;
	uint16_t length; /* characters that the tildes cover, 0 or 1: a caret alone */
	uint32_t line;   /* from 1; 0: the file as a whole */
	uint32_t column; /* from 1, in characters */
};

enum sw_severity { SW_ERROR, SW_WARNING, SW_NOTE };

struct sw_diags;

struct sw_diags *sw_diags_new(void);
void sw_diags_free(struct sw_diags *diags);

/* Registers a file; `text` (may be NULL when no line of it can be shown) must outlive `diags` or
   be forgotten before it is freed: lines already reported are shown from copies. */
uint16_t sw_diags_add_source(struct sw_diags *diags, const char *name, const char *text,
			     size_t length);
void sw_diags_forget_text(struct sw_diags *diags, uint16_t source);

/* A SW_NOTE belongs to the error or warning before it. More than SW_DIAGS_MAX errors: the rest is
   counted and told in one closing line. */
#define SW_DIAGS_MAX 100
void sw_diag(struct sw_diags *diags, enum sw_severity severity, struct sw_pos pos,
	     const char *format, ...) sw_printf(4, 5);

size_t sw_diags_errors(const struct sw_diags *diags);
size_t sw_diags_warnings(const struct sw_diags *diags);

/* Prints all in order of source, line and column. Whatever came from the file is shown with control
   characters escaped. */
void sw_diags_print(const struct sw_diags *diags, FILE *to);

/* The same as data, for --json: calls `each` per record, in the order of printing. */
struct sw_diag_record {
	enum sw_severity severity;
	const char *file;
	uint32_t line, column;
	const char *message;
};
void sw_diags_each(const struct sw_diags *diags,
		   void (*each)(const struct sw_diag_record *record, void *data), void *data);

/* Nearest of `words` to `word` by edit distance, or NULL when none is near. */
const char *sw_diag_nearest(const char *word, const char *const *words, size_t n_words);

#endif
