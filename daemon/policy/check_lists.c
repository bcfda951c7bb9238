/* SPDX-License-Identifier: GPL-2.0-or-later */
/* check_lists.c - nets to sorted prefixes, from the policy and from list files. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "daemon/pages.h"
#include "daemon/policy/check.h"
#include "daemon/policy/prefix.h"
#include "daemon/policy/text.h"

#define FILE_ERRORS_MAX 20 /* shown of one list file */
#define PROGRESS_LINES 65536

/* Doubles are taken out when this many are held, so that memory is bounded whatever the files say. */
#define HELD_MAX (2 * (size_t)SW_LIST_PREFIXES_MAX)

/* Nets that hold other nets have copies of their prefixes. */
#define COPIES_MAX (4 * (size_t)SW_LIST_PREFIXES_MAX)

struct list {
	struct sw_prefix *at;
	size_t n, room;
};

static void list_free(struct list *list)
{
	free(list->at);
}

static bool list_reserve(struct list *list, size_t more)
{
	size_t room = list->room ? list->room : 64;
	struct sw_prefix *at;

	while (room < list->n + more)
		room *= 2;
	if (room == list->room)
		return true;
	at = realloc(list->at, room * sizeof(*at));
	if (!at)
		return false;
	sw_pages_enlarge(at, room * sizeof(*at));
	list->at = at;
	list->room = room;
	return true;
}

/* false: too many different ones, or no memory for them. */
static bool list_add(struct list *list, const struct sw_prefix *prefixes, size_t n)
{
	if (!n)
		return true;
	if (list->n + n > HELD_MAX) {
		list->n = sw_prefix_sort(list->at, list->n);
		if (list->n > SW_LIST_PREFIXES_MAX)
			return false;
	}
	if (!list_reserve(list, n))
		return false;
	memcpy(list->at + list->n, prefixes, n * sizeof(*prefixes));
	list->n += n;
	return true;
}

static void report_many(struct sw_checker *checker, struct sw_pos pos)
{
	sw_diag(checker->diags, SW_ERROR, pos,
		"more than %u different prefixes in all lists together", SW_LIST_PREFIXES_MAX);
}

struct reader {
	struct sw_checker *checker;
	const char *text, *end;
	uint16_t source;
	size_t errors;
	struct list *list;
};

static void report_line(struct reader *reader, uint32_t line, const char *begin, const char *from,
			const char *to, const char *why)
{
	struct sw_pos pos = {.source = reader->source, .line = line};
	uint32_t last, row;

	if (reader->errors++ >= FILE_ERRORS_MAX)
		return;
	sw_text_place(begin, (size_t)(to - begin), (size_t)(from - begin), &row, &pos.column);
	sw_text_place(begin, (size_t)(to - begin), (size_t)(to - begin), &row, &last);
	pos.length = last - pos.column > UINT16_MAX ? UINT16_MAX : (uint16_t)(last - pos.column);
	sw_diag(reader->checker->diags, SW_ERROR, pos, "%s", why);
}

static bool is_space(char c)
{
	return c == ' ' || c == '\t' || c == '\r';
}

/* One line: nothing, a prefix, or a prefix and a comment. false: the list is full. */
static bool read_line(struct reader *reader, uint32_t line, const char *begin, const char *end)
{
	const char *from = begin, *to;
	char why[SW_PREFIX_WHY];
	struct sw_prefix prefix;

	while (from < end && is_space(*from))
		from++;
	for (to = from; to < end && !is_space(*to) && *to != '#';)
		to++;
	if (to == from)
		return true;
	const char *rest = to;
	while (rest < end && is_space(*rest))
		rest++;
	if (rest < end && *rest != '#')
		report_line(reader, line, begin, rest, end,
			    "one prefix a line; a comment begins with \"#\"");
	else if (!sw_prefix_parse(from, (size_t)(to - from), &prefix, why))
		report_line(reader, line, begin, from, to, why);
	else
		return list_add(reader->list, &prefix, 1);
	return true;
}

static bool read_lines(struct reader *reader, const char *name)
{
	const struct sw_world *world = reader->checker->world;
	const char *at = reader->text;
	size_t length = (size_t)(reader->end - reader->text);

	at += sw_bom_length(at, length);
	for (uint32_t line = 1; at < reader->end; line++) {
		const char *newline = memchr(at, '\n', (size_t)(reader->end - at));
		const char *end = newline ? newline : reader->end;

		if (!read_line(reader, line, at, end))
			return false;
		at = newline ? newline + 1 : reader->end;
		if (world->progress && line % PROGRESS_LINES == 0)
			world->progress(world->data, name, (size_t)(at - reader->text), length);
	}
	if (world->progress)
		world->progress(world->data, name, length, length);
	return true;
}

static void report_rest(struct reader *reader)
{
	if (reader->errors > FILE_ERRORS_MAX)
		sw_diag(reader->checker->diags, SW_ERROR, (struct sw_pos){.source = reader->source},
			"%zu more wrong lines are not shown", reader->errors - FILE_ERRORS_MAX);
}

static void report_nul(struct reader *reader, size_t where, size_t length)
{
	struct sw_pos pos = {.source = reader->source, .length = 1};

	sw_text_place(reader->text, length, where, &pos.line, &pos.column);
	sw_diag(reader->checker->diags, SW_ERROR, pos, "a NUL byte: this is no text");
}

/* A NUL goes between the files, which hold none themselves: what moves from the end of one to the
   start of the next changes the sum. */
static void add_to_digest(struct sw_checker *checker, const char *text, size_t length)
{
	if (!checker->digest)
		return;
	sw_digest_add(checker->digest, "", 1);
	sw_digest_add(checker->digest, text, length);
}

static void add_piece(void *digest, const char *text, size_t length)
{
	sw_digest_add(digest, text, length);
}

/* As add_to_digest() of the whole file. */
static void sum_list(struct sw_checker *checker, const struct sw_net_item *item)
{
	const struct sw_world *world = checker->world;

	if (!checker->digest)
		return;
	sw_digest_add(checker->digest, "", 1);
	if (world->sum_file(world->data, item->text, add_piece, checker->digest) < 0)
		sw_diag(checker->diags, SW_ERROR, item->pos, "the list file cannot be read");
}

static void read_list(struct sw_checker *checker, const struct sw_net_item *item, struct list *list)
{
	const struct sw_world *world = checker->world;
	sw_autofree char *text = NULL;
	size_t length = 0;
	int got = world->read_file ? world->read_file(world->data, item->text, &text, &length)
				   : -ENOSYS;

	if (got < 0) {
		sw_diag(checker->diags, SW_ERROR, item->pos, "the list file cannot be read: %s",
			got == -EFBIG ? "it is larger than 64 MiB" : strerrordesc_np(-got));
		return;
	}
	struct reader reader = {
		.checker = checker,
		.text = text,
		.end = text + length,
		.source = sw_diags_add_source(checker->diags, item->text, text, length),
		.list = list,
	};

	add_to_digest(checker, text, length);
	const char *nul = memchr(text, '\0', length);
	if (nul)
		report_nul(&reader, (size_t)(nul - text), length);
	else if (!read_lines(&reader, item->text))
		report_many(checker, item->pos);
	report_rest(&reader);
	sw_diags_forget_text(checker->diags, reader.source);
}

static void add_net(struct sw_checker *checker, const struct sw_net_item *item, struct list *list)
{
	const struct sw_name *name = sw_check_use(checker, item->text, item->pos, true);

	if (name && !list_add(list, name->net->prefixes, name->net->n_prefixes))
		report_many(checker, item->pos);
}

/* Is `net` among those that the net at `name` holds, directly or by way of others? The search is
   bounded: it only makes the sentence about names before use more exact. */
static bool holds(struct sw_checker *checker, const struct sw_net *from, const struct sw_net *net,
		  int depth, int *steps)
{
	for (const struct sw_net_item *item = from->items; item; item = item->next) {
		if (depth >= 16 || --*steps < 0)
			return false;
		const struct sw_name *name =
			item->kind == SW_NET_NAME ? sw_check_find(checker, item->text) : NULL;

		if (name && name->net &&
		    (name->net == net || holds(checker, name->net, net, depth + 1, steps)))
			return true;
	}
	return false;
}

/* true after an error: the item is the net itself, or leads back to it. */
static bool refuse_cycle(struct sw_checker *checker, const struct sw_net *net,
			 const struct sw_net_item *item)
{
	struct sw_name *name = sw_check_find(checker, item->text);
	int steps = 1000;

	if (!net->name || !name || !name->net || name->defined)
		return false;
	if (name->net != net && !holds(checker, name->net, net, 0, &steps))
		return false;
	name->net->used = true;
	/* one error for the whole round */
	name->net->broken = true;
	if (net->broken && name->net != net)
		return true;
	sw_diag(checker->diags, SW_ERROR, item->pos,
		name->net == net ? "\"%s\" holds itself" : "\"%s\" holds itself by way of \"%s\"",
		net->name, item->text);
	return true;
}

static void add_item(struct sw_checker *checker, const struct sw_net *net,
		     const struct sw_net_item *item, struct list *list)
{
	switch (item->kind) {
	case SW_NET_PREFIX:
		if (!list_add(list, &item->prefix, 1))
			report_many(checker, item->pos);
		break;
	case SW_NET_FILE:
		if (checker->world->sum_file)
			sum_list(checker, item);
		else
			read_list(checker, item, list);
		break;
	case SW_NET_NAME:
		if (!refuse_cycle(checker, net, item))
			add_net(checker, item, list);
		break;
	}
}

void sw_check_net(struct sw_checker *checker, struct sw_net *net)
{
	sw_cleanup(list_free) struct list list = {.n = 0};

	for (const struct sw_net_item *item = net->items; item; item = item->next)
		add_item(checker, net, item, &list);
	if (!list.at)
		return;
	list.n = sw_prefix_sort(list.at, list.n);
	checker->held += list.n;
	if (list.n > SW_LIST_PREFIXES_MAX || checker->held > COPIES_MAX) {
		report_many(checker, net->pos);
		return;
	}
	net->prefixes = sw_arena_alloc(checker->arena, list.n * sizeof(*net->prefixes));
	memcpy(net->prefixes, list.at, list.n * sizeof(*net->prefixes));
	net->n_prefixes = list.n;
}

/* Prefixes that stand in several nets count once. */
void sw_check_lists_total(struct sw_checker *checker)
{
	sw_cleanup(list_free) struct list all = {.n = 0};

	if (checker->held <= SW_LIST_PREFIXES_MAX)
		return;
	for (const struct sw_net *net = checker->policy->nets; net; net = net->next)
		if (!list_add(&all, net->prefixes, net->n_prefixes)) {
			report_many(checker, net->pos);
			return;
		}
	if (all.n && sw_prefix_sort(all.at, all.n) > SW_LIST_PREFIXES_MAX)
		report_many(checker, checker->policy->nets->pos);
}
