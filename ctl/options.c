/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "ctl/options.h"

#include <ctype.h>
#include <errno.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include "daemon/base.h"
#include "daemon/policy/diag.h"

#define NAMES_MAX 32

static int sw_printf(2, 3) refuse(char *error, const char *format, ...)
{
	va_list args;

	va_start(args, format);
	vsnprintf(error, SW_ERROR_SIZE, format, args);
	va_end(args);
	return -EINVAL;
}

/* The option that the first `n` bytes of `name` are the whole name of. */
static const struct sw_option *find(const struct sw_option_set *sets, size_t n_sets,
				    const char *name, size_t n, void **to)
{
	for (size_t s = 0; s < n_sets; s++) {
		for (size_t i = 0; i < sets[s].n; i++) {
			const struct sw_option *option = &sets[s].options[i];

			if (strlen(option->name) == n && !memcmp(option->name, name, n)) {
				*to = (char *)sets[s].to + option->offset;
				return option;
			}
		}
	}
	return NULL;
}

static int unknown(const struct sw_option_set *sets, size_t n_sets, const char *name, int n,
		   char *error)
{
	const char *names[NAMES_MAX], *near;
	size_t n_names = 0;
	char word[64];

	for (size_t s = 0; s < n_sets; s++)
		for (size_t i = 0; i < sets[s].n && n_names < NAMES_MAX; i++)
			names[n_names++] = sets[s].options[i].name;
	snprintf(word, sizeof(word), "%.*s", n, name);
	near = sw_diag_nearest(word, names, n_names);
	return near ? refuse(error, "unknown option --%s (nearest: --%s)", word, near)
		    : refuse(error, "unknown option --%s", word);
}

static int read_number(const struct sw_option *option, const char *text, long *to, char *error)
{
	char *end;
	long value;

	errno = 0;
	value = strtol(text, &end, 10);
	if (!isdigit((unsigned char)*text) || *end || errno || value < option->low ||
	    value > option->high)
		return refuse(error, "--%s takes a number from %ld to %ld, not \"%s\"",
			      option->name, option->low, option->high, text);
	*to = value;
	return 0;
}

static int read_word(const struct sw_option *option, const char *text, const char **to, char *error)
{
	size_t n = strcspn(option->value, "|");
	const char *second = option->value + n + 1;

	if (strcmp(text, second) && (strlen(text) != n || memcmp(text, option->value, n)))
		return refuse(error, "--%s takes %.*s or %s, not \"%s\"", option->name, (int)n,
			      option->value, second, text);
	*to = text;
	return 0;
}

static int read_text(const struct sw_option *option, const char *text, const char **to, char *error)
{
	if (!*text)
		return refuse(error, "--%s takes %s, not an empty word", option->name,
			      option->value);
	*to = text;
	return 0;
}

static int read_value(const struct sw_option *option, const char *text, void *to, char *error)
{
	if (!text)
		return refuse(error, "--%s needs a value: %s", option->name, option->value);
	switch (option->kind) {
	case SW_OPTION_NUMBER:
		return read_number(option, text, to, error);
	case SW_OPTION_WORD:
		return read_word(option, text, to, error);
	default:
		return read_text(option, text, to, error);
	}
}

/* argv[*next] begins with two dashes and is more than them. */
static int read_option(const struct sw_option_set *sets, size_t n_sets, int argc, char **argv,
		       int *next, char *error)
{
	const char *name = argv[*next] + 2, *value = strchr(name, '=');
	size_t n = value ? (size_t)(value - name) : strlen(name);
	const struct sw_option *option;
	void *to;

	option = find(sets, n_sets, name, n, &to);
	if (!option)
		return unknown(sets, n_sets, name, (int)n, error);
	++*next;
	if (option->kind == SW_OPTION_FLAG) {
		if (value)
			return refuse(error, "--%s takes no value", option->name);
		*(bool *)to = true;
		return 0;
	}
	if (value)
		value++;
	else if (*next < argc)
		value = argv[(*next)++];
	return read_value(option, value, to, error);
}

static int read_operand(const char *word, const char **operand, char *error)
{
	if (*operand)
		return refuse(error, "unexpected word \"%s\"", word);
	*operand = word;
	return 0;
}

int sw_opts_read(const struct sw_option_set *sets, size_t n_sets, int argc, char **argv, int *next,
		 const char **operand, char error[static SW_ERROR_SIZE])
{
	bool options_end = false;
	int r = 0;

	while (!r && *next < argc) {
		const char *word = argv[*next];

		if (!options_end && !strcmp(word, "--")) {
			options_end = true;
			++*next;
		} else if (!options_end && !strncmp(word, "--", 2)) {
			r = read_option(sets, n_sets, argc, argv, next, error);
		} else if (!options_end && word[0] == '-' && word[1]) {
			r = refuse(error, "unknown option %s: options have two dashes", word);
		} else if (operand) {
			r = read_operand(word, operand, error);
			++*next;
		} else {
			break;
		}
	}
	return r;
}

const struct sw_option *sw_opts_missing(const struct sw_option_set *set)
{
	for (size_t i = 0; i < set->n; i++) {
		const struct sw_option *option = &set->options[i];
		const void *at = (const char *)set->to + option->offset;

		if (!option->required)
			continue;
		if (option->kind == SW_OPTION_NUMBER ? *(const long *)at < 0
						     : !*(const char *const *)at)
			return option;
	}
	return NULL;
}

size_t sw_opts_synopsis(const struct sw_option_set *sets, size_t n_sets, size_t column,
			size_t indent, FILE *to)
{
	for (size_t s = 0; s < n_sets; s++) {
		for (size_t i = 0; i < sets[s].n; i++) {
			const struct sw_option *option = &sets[s].options[i];
			char word[96];
			size_t n;

			n = (size_t)snprintf(
				word, sizeof(word), "%s--%s%s%s%s", option->required ? "" : "[",
				option->name, option->value ? " " : "",
				option->value ? option->value : "", option->required ? "" : "]");
			if (column + 1 + n > 79) {
				fprintf(to, "\n%*s", (int)indent - 1, "");
				column = indent - 1;
			}
			fprintf(to, " %s", word);
			column += 1 + n;
		}
	}
	return column;
}

static void help_lines(const char *help, int indent, FILE *to)
{
	const char *end;

	while ((end = strchr(help, '\n'))) {
		fprintf(to, "%.*s\n%*s", (int)(end - help), help, indent, "");
		help = end + 1;
	}
	fprintf(to, "%s\n", help);
}

void sw_opts_help(const struct sw_option_set *sets, size_t n_sets, FILE *to)
{
	size_t width = 0;

	for (size_t s = 0; s < n_sets; s++) {
		for (size_t i = 0; i < sets[s].n; i++) {
			const struct sw_option *o = &sets[s].options[i];
			size_t n = strlen(o->name) + (o->value ? 1 + strlen(o->value) : 0);

			width = n > width ? n : width;
		}
	}
	for (size_t s = 0; s < n_sets; s++) {
		for (size_t i = 0; i < sets[s].n; i++) {
			const struct sw_option *o = &sets[s].options[i];
			int n = fprintf(to, "  --%s%s%s", o->name, o->value ? " " : "",
					o->value ? o->value : "");

			fprintf(to, "%*s", (int)width + 6 - n, "");
			help_lines(o->help, (int)width + 6, to);
		}
	}
}
