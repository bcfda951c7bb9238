/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * options.h - options as tables: what is read and what usage says come from the same rows.
 */
#ifndef SW_CTL_OPTIONS_H
#define SW_CTL_OPTIONS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>

enum sw_option_kind {
	SW_OPTION_FLAG,   /* bool */
	SW_OPTION_TEXT,   /* const char *, borrowed from argv; an empty one is refused */
	SW_OPTION_NUMBER, /* long, from low to high; preset it to -1 to see that it was not given */
	SW_OPTION_WORD,   /* const char *, one of the two words in `value`, "keep|close" */
};

struct sw_option {
	const char *name;  /* without the dashes */
	const char *value; /* what usage calls it; NULL for a flag */
	enum sw_option_kind kind;
	bool required;
	size_t offset; /* of the member that takes it */
	long low, high;
	const char *help; /* '\n' between lines */
};

struct sw_option_set {
	const struct sw_option *options;
	size_t n;
	void *to; /* the struct that the offsets are of */
};

#define SW_ERROR_SIZE 256

/*
 * Reads argv[*next] and what follows. With `operand` at most one word that is no option is taken
 * for it; without, reading stops before the first such word, and *next says where. "--name value"
 * and "--name=value" are the same; after "--" all words are operands; the last of several wins.
 * 0, or -EINVAL with a sentence in `error`.
 */
int sw_opts_read(const struct sw_option_set *sets, size_t n_sets, int argc, char **argv, int *next,
		 const char **operand, char error[static SW_ERROR_SIZE]);

/* The first required option that was not read (its member is still NULL or -1); NULL: none. */
const struct sw_option *sw_opts_missing(const struct sw_option_set *set);

/* "[--confirm SECS] [--existing keep|close]", continued under `indent` before column 80.
   `column` is where the cursor stands; returns where it stands then. */
size_t sw_opts_synopsis(const struct sw_option_set *sets, size_t n_sets, size_t column,
			size_t indent, FILE *to);

/* One line for each option with its help behind it. */
void sw_opts_help(const struct sw_option_set *sets, size_t n_sets, FILE *to);

#endif
