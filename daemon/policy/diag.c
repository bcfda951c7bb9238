/* SPDX-License-Identifier: GPL-2.0-or-later */
/* diag.c - what is wrong with a policy: kept, sorted, printed. */
#include "daemon/policy/diag.h"

#include <stdarg.h>
#include <string.h>

#include "daemon/policy/arena.h"
#include "daemon/policy/text.h"

#define MESSAGE_MAX 1024    /* bytes of a message */
#define WIDTH_MAX 160       /* columns of a source line that are shown */
#define LINE_MAX_SHOWN 4096 /* bytes; a place further right is told by its number alone */
#define TAB 8
#define INDENT "    "

struct record {
	struct record *next;  /* in the order of coming */
	struct record *notes; /* of an error or warning */
	enum sw_severity severity;
	struct sw_pos pos;
	const char *message;
	const char *line; /* as shown, NULL: none */
	uint32_t caret, tildes;
};

struct source {
	struct source *next;
	uint16_t index;
	const char *name; /* escaped */
	const char *text;
	size_t length;
};

struct sw_diags {
	struct sw_arena *arena;
	struct source *sources, **source_end;
	struct record *records, **record_end;
	struct record **note_end; /* where the next note goes; NULL: its head is not kept */
	struct sw_pos last_place; /* of the newest error or warning */
	size_t n_sources, n_records, errors, warnings;
};

struct sw_diags *sw_diags_new(void)
{
	struct sw_arena *arena = sw_arena_new();
	struct sw_diags *diags = sw_arena_alloc(arena, sizeof(*diags));

	diags->arena = arena;
	diags->source_end = &diags->sources;
	diags->record_end = &diags->records;
	return diags;
}

void sw_diags_free(struct sw_diags *diags)
{
	if (diags)
		sw_arena_free(diags->arena);
}

uint16_t sw_diags_add_source(struct sw_diags *diags, const char *name, const char *text,
			     size_t length)
{
	char shown[MESSAGE_MAX];
	struct source *source;

	/* Far more files than a policy can name; the last ones then share a name. */
	if (diags->n_sources == UINT16_MAX)
		return UINT16_MAX - 1;
	source = sw_arena_alloc(diags->arena, sizeof(*source));
	sw_text_escape(name, strlen(name), shown, sizeof(shown));
	*source = (struct source){
		.index = (uint16_t)diags->n_sources++,
		.name = sw_arena_strndup(diags->arena, shown, strlen(shown)),
		.text = text,
		.length = length,
	};
	*diags->source_end = source;
	diags->source_end = &source->next;
	return source->index;
}

static struct source *find_source(const struct sw_diags *diags, uint16_t index)
{
	struct source *source = diags->sources;

	while (source && source->index != index)
		source = source->next;
	return source;
}

void sw_diags_forget_text(struct sw_diags *diags, uint16_t source)
{
	struct source *found = find_source(diags, source);

	if (found)
		found->text = NULL;
}

static const char *find_line(const struct source *source, uint32_t line, const char **end)
{
	const char *at = source->text + sw_bom_length(source->text, source->length);
	const char *last = source->text + source->length, *newline;

	for (uint32_t i = 1; i < line; i++) {
		newline = memchr(at, '\n', (size_t)(last - at));
		if (!newline)
			return NULL;
		at = newline + 1;
	}
	newline = memchr(at, '\n', (size_t)(last - at));
	*end = newline ? newline : last;
	if (*end > at && (*end)[-1] == '\r')
		--*end;
	return at;
}

/* A line as it is shown: tabs widened, the rest escaped; of a long one, the part around the caret. */
struct view {
	char text[4 * WIDTH_MAX];
	size_t used, columns;
};

static void view_add(struct view *view, const char *text)
{
	size_t length = strlen(text);

	if (view->used + length >= sizeof(view->text))
		return;
	memcpy(view->text + view->used, text, length + 1);
	view->used += length;
}

/* Text and columns of one character that begins at column `column`. Returns its bytes in the source. */
static size_t show_character(const char *at, const char *end, size_t column, char to[static 16],
			     size_t *columns)
{
	uint32_t code;
	size_t step = sw_utf8_next(at, end, &code);

	if (*at == '\t') {
		*columns = TAB - column % TAB;
		memset(to, ' ', *columns);
		to[*columns] = '\0';
		return 1;
	}
	sw_text_escape(at, step ? step : 1, to, 16);
	*columns = step && !sw_is_control(code) ? 1 : strlen(to);
	return step ? step : 1;
}

/* Column (from 0) at which character `n` (from 0) of the line begins. */
static size_t column_of(const char *line, const char *end, size_t n)
{
	size_t column = 0, columns;
	char shown[16];

	for (const char *at = line; at < end && n--; column += columns)
		at += show_character(at, end, column, shown, &columns);
	return column;
}

static void show_line(struct view *view, const char *line, const char *end, size_t first)
{
	size_t column = 0, columns;
	char shown[16];

	if (first)
		view_add(view, "...");
	for (const char *at = line; at < end; column += columns) {
		at += show_character(at, end, column, shown, &columns);
		if (column >= first + WIDTH_MAX) {
			view_add(view, "...");
			return;
		}
		if (column >= first)
			view_add(view, shown);
	}
}

/* Keeps a copy: a list file is gone from memory when the diagnostics are printed. */
static void keep_line(struct sw_diags *diags, struct record *record)
{
	const struct source *source = find_source(diags, record->pos.source);
	const char *line, *end;
	struct view view = {.used = 0};

	if (!source || !source->text || !record->pos.line || !record->pos.column)
		return;
	line = find_line(source, record->pos.line, &end);
	if (!line || line == end || record->pos.column > LINE_MAX_SHOWN)
		return;
	if (end - line > LINE_MAX_SHOWN)
		end = line + LINE_MAX_SHOWN;
	size_t caret = column_of(line, end, record->pos.column - 1);
	size_t last = column_of(line, end, record->pos.column - 1 + record->pos.length);
	size_t first = caret > WIDTH_MAX / 2 ? caret - WIDTH_MAX / 2 : 0;

	if (column_of(line, end, SIZE_MAX) <= WIDTH_MAX)
		first = 0;
	show_line(&view, line, end, first);
	if (last > first + WIDTH_MAX)
		last = first + WIDTH_MAX;
	record->line = sw_arena_strndup(diags->arena, view.text, view.used);
	record->caret = (uint32_t)(caret - first + (first ? 3 : 0));
	record->tildes = last > caret + 1 ? (uint32_t)(last - caret - 1) : 0;
}

/* Counts it, and says whether it is one of those that are kept. */
static bool wanted(struct sw_diags *diags, enum sw_severity severity)
{
	if (severity == SW_ERROR)
		return diags->errors++ < SW_DIAGS_MAX;
	if (severity == SW_WARNING)
		return diags->warnings++ < SW_DIAGS_MAX;
	return diags->note_end != NULL;
}

static bool same_place(struct sw_pos a, struct sw_pos b)
{
	return a.source == b.source && a.line == b.line && a.column == b.column;
}

void sw_diag(struct sw_diags *diags, enum sw_severity severity, struct sw_pos pos,
	     const char *format, ...)
{
	char message[MESSAGE_MAX], shown[MESSAGE_MAX];
	struct record *record;
	va_list list;
	bool note = severity == SW_NOTE;

	if (!wanted(diags, severity)) {
		if (!note)
			diags->note_end = NULL;
		return;
	}
	va_start(list, format);
	vsnprintf(message, sizeof(message), format, list);
	va_end(list);
	sw_text_escape(message, strlen(message), shown, sizeof(shown));

	record = sw_arena_alloc(diags->arena, sizeof(*record));
	record->severity = severity;
	record->pos = pos;
	record->message = sw_arena_strndup(diags->arena, shown, strlen(shown));
	diags->n_records += !note;
	if (!note || !same_place(pos, diags->last_place))
		keep_line(diags, record);
	if (!note)
		diags->last_place = pos;
	if (note) {
		*diags->note_end = record;
		diags->note_end = &record->next;
	} else {
		*diags->record_end = record;
		diags->record_end = &record->next;
		diags->note_end = &record->notes;
	}
}

size_t sw_diags_errors(const struct sw_diags *diags)
{
	return diags->errors;
}

size_t sw_diags_warnings(const struct sw_diags *diags)
{
	return diags->warnings;
}

struct place {
	const struct record *record;
	size_t order; /* of coming: makes the sort stable */
};

static int compare(const void *left, const void *right)
{
	const struct place *a = left, *b = right;
	const struct sw_pos *x = &a->record->pos, *y = &b->record->pos;

	if (x->source != y->source)
		return x->source < y->source ? -1 : 1;
	if (x->line != y->line)
		return x->line < y->line ? -1 : 1;
	if (x->column != y->column)
		return x->column < y->column ? -1 : 1;
	return a->order < b->order ? -1 : a->order > b->order;
}

typedef void visit(const struct sw_diags *diags, const struct record *record, void *data);

static void visit_sorted(const struct sw_diags *diags, visit *each, void *data)
{
	struct place *places = sw_arena_alloc(diags->arena, diags->n_records * sizeof(*places));
	size_t n = 0;

	for (const struct record *record = diags->records; record; record = record->next, n++)
		places[n] = (struct place){.record = record, .order = n};
	qsort(places, n, sizeof(*places), compare);
	for (size_t i = 0; i < n; i++) {
		each(diags, places[i].record, data);
		for (const struct record *note = places[i].record->notes; note; note = note->next)
			each(diags, note, data);
	}
}

static const char *source_name(const struct sw_diags *diags, const struct record *record)
{
	const struct source *source = find_source(diags, record->pos.source);

	return source ? source->name : "?";
}

static void print_record(const struct sw_diags *diags, const struct record *record, void *data)
{
	static const char *const words[] = {"error", "warning", "note"};
	FILE *to = data;

	fputs(source_name(diags, record), to);
	if (record->pos.line)
		fprintf(to, ":%u", record->pos.line);
	if (record->pos.line && record->pos.column)
		fprintf(to, ":%u", record->pos.column);
	fprintf(to, ": %s: %s\n", words[record->severity], record->message);
	if (!record->line)
		return;
	fprintf(to, INDENT "%s\n" INDENT "%*s^", record->line, (int)record->caret, "");
	for (uint32_t i = 0; i < record->tildes; i++)
		fputc('~', to);
	fputc('\n', to);
}

static size_t unshown(size_t n)
{
	return n > SW_DIAGS_MAX ? n - SW_DIAGS_MAX : 0;
}

void sw_diags_print(const struct sw_diags *diags, FILE *to)
{
	visit_sorted(diags, print_record, to);
	if (unshown(diags->errors))
		fprintf(to, "%zu more errors are not shown\n", unshown(diags->errors));
	if (unshown(diags->warnings))
		fprintf(to, "%zu more warnings are not shown\n", unshown(diags->warnings));
}

struct each_data {
	void (*each)(const struct sw_diag_record *record, void *data);
	void *data;
};

static void give_record(const struct sw_diags *diags, const struct record *record, void *data)
{
	const struct each_data *each = data;
	struct sw_diag_record given = {
		.severity = record->severity,
		.file = source_name(diags, record),
		.line = record->pos.line,
		.column = record->pos.column,
		.message = record->message,
	};

	each->each(&given, each->data);
}

void sw_diags_each(const struct sw_diags *diags,
		   void (*each)(const struct sw_diag_record *record, void *data), void *data)
{
	struct each_data given = {.each = each, .data = data};

	visit_sorted(diags, give_record, &given);
}

#define WORD_MAX 63 /* longer words are near to none */

/* Edit distance where two neighbours that changed places count as one edit. */
static size_t distance(const char *a, size_t n_a, const char *b, size_t n_b)
{
	size_t rows[3][WORD_MAX + 1];
	size_t *before = rows[0], *above = rows[1], *row = rows[2];

	for (size_t j = 0; j <= n_b; j++)
		above[j] = j;
	for (size_t i = 1; i <= n_a; i++) {
		row[0] = i;
		for (size_t j = 1; j <= n_b; j++) {
			size_t least = above[j - 1] + (a[i - 1] != b[j - 1]);

			if (above[j] + 1 < least)
				least = above[j] + 1;
			if (row[j - 1] + 1 < least)
				least = row[j - 1] + 1;
			if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1] &&
			    before[j - 2] + 1 < least)
				least = before[j - 2] + 1;
			row[j] = least;
		}
		size_t *oldest = before;

		before = above;
		above = row;
		row = oldest;
	}
	return above[n_b];
}

const char *sw_diag_nearest(const char *word, const char *const *words, size_t n_words)
{
	size_t length = strlen(word), least = length < 3 ? 2 : 1 + (length + 2) / 3;
	const char *nearest = NULL;

	if (length > WORD_MAX)
		return NULL;
	for (size_t i = 0; i < n_words; i++) {
		size_t other = strlen(words[i]), edits;

		if (other > WORD_MAX || other > length + least || length > other + least)
			continue;
		edits = distance(word, length, words[i], other);
		if (edits < least && edits < other) {
			least = edits;
			nearest = words[i];
		}
	}
	return nearest;
}
