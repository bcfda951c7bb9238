/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "ctl/output.h"

#include <stdarg.h>
#include <stdint.h>
#include <string.h>
#include <unistd.h>

#include "daemon/policy/text.h"

/* Memory for a few lines of output: without it there is nothing left to do or to say. */
static void *need(void *memory)
{
	if (!memory)
		abort();
	return memory;
}

static void text_data(json_t *data, sw_text_fn *text, const void *context)
{
	text(stdout, data, context);
}

static void sw_printf(1, 2) text_say(const char *format, ...)
{
	va_list args;

	va_start(args, format);
	vprintf(format, args);
	va_end(args);
	putchar('\n');
}

static void text_diags(const struct sw_diags *diags)
{
	sw_diags_print(diags, stderr);
}

const struct sw_output sw_output_text = {
	.data = text_data,
	.say = text_say,
	.diags = text_diags,
};

static void json_data(json_t *data, sw_text_fn *text, const void *context)
{
	(void)text;
	(void)context;
	json_object_del(data, "status");
	json_dumpf(data, stdout, 0);
	putchar('\n');
}

static void sw_printf(1, 2) json_say(const char *format, ...)
{
	(void)format;
}

static void json_diags(const struct sw_diags *diags)
{
	(void)diags;
}

const struct sw_output sw_output_json = {
	.data = json_data,
	.say = json_say,
	.diags = json_diags,
};

static void add_record(const struct sw_diag_record *record, void *data)
{
	static const char *const names[] = {
		[SW_ERROR] = "error", [SW_WARNING] = "warning", [SW_NOTE] = "note"};
	sw_autofree char *file = sw_escaped(record->file), *message = sw_escaped(record->message);

	json_array_append_new(data, json_pack("{s:s, s:s, s:i, s:i, s:s}", "severity",
					      names[record->severity], "file", file, "line",
					      (int)record->line, "column", (int)record->column,
					      "message", message));
}

json_t *sw_diags_json(const struct sw_diags *diags)
{
	json_t *list = json_array();

	sw_diags_each(diags, add_record, list);
	return list;
}

static char *escape(const char *text, bool lines)
{
	const char *from = text, *end = text + strlen(text);
	char *copy = need(malloc(4 * (size_t)(end - text) + 1)), *to = copy;

	while (from < end) {
		uint32_t code = 0;
		size_t n = sw_utf8_next(from, end, &code);
		bool stays = n && !sw_is_control(code) && code != '\t' && code != '\n';

		if (stays || (lines && (*from == '\n' || *from == '\t'))) {
			memcpy(to, from, n);
			to += n;
			from += n;
			continue;
		}
		for (n = n ? n : 1; n; n--)
			to += sprintf(to, "\\x%02x", (unsigned char)*from++);
	}
	*to = '\0';
	return copy;
}

char *sw_escaped(const char *text)
{
	return escape(text, false);
}

char *sw_escaped_lines(const char *text)
{
	return escape(text, true);
}

size_t sw_width(const char *text)
{
	size_t n = 0;

	for (; *text; text++)
		n += (*text & 0xc0) != 0x80;
	return n;
}

/* Where the character with this number begins. */
static char *character(char *text, size_t n)
{
	for (; *text; text++)
		if ((*text & 0xc0) != 0x80 && !n--)
			break;
	return text;
}

char *sw_fitted(const char *text, size_t columns)
{
	static const char dots[] = "...";
	char *shown = sw_escaped(text), *from, *to;
	size_t width = sw_width(shown), head = (columns - strlen(dots)) / 3;

	if (width <= columns)
		return shown;
	from = character(shown, head);
	to = character(shown, width - (columns - strlen(dots) - head));
	/* What is cut has more characters, so more bytes, than the dots. */
	memcpy(from, dots, strlen(dots));
	memmove(from + strlen(dots), to, strlen(to) + 1);
	return shown;
}

const char *sw_color(FILE *to, enum sw_color color)
{
	static const char *const sequences[] = {
		[SW_PLAIN] = "\033[0m",  [SW_BOLD] = "\033[1m",    [SW_RED] = "\033[31m",
		[SW_GREEN] = "\033[32m", [SW_YELLOW] = "\033[33m",
	};
	const char *no_color = getenv("NO_COLOR"), *term = getenv("TERM");
	int fd = fileno(to);

	if (fd < 0 || !isatty(fd) || (no_color && *no_color) || !term || !strcmp(term, "dumb"))
		return "";
	return sequences[color];
}

void sw_time_text(const char *time, int digits, char to[static SW_TIME_TEXT_SIZE])
{
	sw_autofree char *shown = sw_escaped(time);

	if (strlen(shown) == 27 && shown[10] == 'T' && shown[19] == '.')
		snprintf(to, SW_TIME_TEXT_SIZE, "%.10s %.*sZ", shown, digits ? 9 + digits : 8,
			 shown + 11);
	else
		snprintf(to, SW_TIME_TEXT_SIZE, "%s", shown);
}

struct sw_table {
	size_t columns, n_rows;
	const char *heads[SW_TABLE_COLUMNS];
	bool right[SW_TABLE_COLUMNS];
	size_t width[SW_TABLE_COLUMNS];
	char **cells; /* n_rows * columns */
};

struct sw_table *sw_table_new(const char *const *heads, size_t columns)
{
	struct sw_table *table = need(calloc(1, sizeof(*table)));

	table->columns = columns;
	for (size_t i = 0; i < columns; i++) {
		table->right[i] = heads[i][0] == '>';
		table->heads[i] = heads[i] + table->right[i];
		table->width[i] = sw_width(table->heads[i]);
	}
	return table;
}

void sw_table_free(struct sw_table *table)
{
	for (size_t i = 0; i < table->n_rows * table->columns; i++)
		free(table->cells[i]);
	free(table->cells);
	free(table);
}

void sw_table_row(struct sw_table *table, const char *const *cells)
{
	size_t at = table->n_rows++ * table->columns;

	table->cells = need(realloc(table->cells, (at + table->columns) * sizeof(*table->cells)));
	for (size_t i = 0; i < table->columns; i++) {
		char *cell = sw_escaped(cells[i]);
		size_t width = sw_width(cell);

		table->cells[at + i] = cell;
		if (width > table->width[i])
			table->width[i] = width;
	}
}

static void print_row(const struct sw_table *table, const char *const *cells, FILE *to)
{
	for (size_t i = 0; i < table->columns; i++) {
		int pad = (int)(table->width[i] - sw_width(cells[i]));
		bool last = i == table->columns - 1;

		fprintf(to, "%*s%s%*s", table->right[i] ? pad : 0, "", cells[i],
			table->right[i] || last ? 0 : pad, "");
		fputs(last ? "\n" : "  ", to);
	}
}

void sw_table_print(const struct sw_table *table, FILE *to)
{
	fputs(sw_color(to, SW_BOLD), to);
	print_row(table, table->heads, to);
	fputs(sw_color(to, SW_PLAIN), to);
	for (size_t i = 0; i < table->n_rows; i++)
		print_row(table, (const char *const *)table->cells + i * table->columns, to);
}
