/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * compile_from.c - a `from` list as alternatives.
 *
 * A row of the image is a product of sets: any of these users AND any of these programs AND ... A
 * list of `who`s is an OR of such products, so each needs a row of its own, unless two differ in one
 * set only: then their union is a product too, and says the same.
 */
#include <stdlib.h>
#include <string.h>

#include "bpf/abi.h"
#include "daemon/policy/compile.h"

/* Dropping alternatives that another one covers compares each pair. So many are over the limit of
   rows whatever comes of it. */
#define COVER_MAX ((size_t)8 * SW_ROWS_MAX)

/* ---- equal texts become the same pointer ---- */

static uint64_t text_hash(const char *text, size_t length)
{
	uint64_t hash = 0xcbf29ce484222325ull; /* FNV-1a */

	for (size_t i = 0; i < length; i++)
		hash = (hash ^ (unsigned char)text[i]) * 0x100000001b3ull;
	return hash ^ hash >> 32;
}

static const char **text_slot(const struct sw_texts *texts, const char *text, size_t length)
{
	size_t i = text_hash(text, length) & (texts->room - 1);

	while (texts->slots[i] &&
	       (strncmp(texts->slots[i], text, length) != 0 || texts->slots[i][length]))
		i = (i + 1) & (texts->room - 1);
	return &texts->slots[i];
}

static void texts_grow(struct sw_compile *compile)
{
	struct sw_texts old = compile->texts, *texts = &compile->texts;

	texts->room = old.room ? 2 * old.room : 64;
	texts->slots = sw_arena_alloc(compile->arena, texts->room * sizeof(*texts->slots));
	for (size_t i = 0; i < old.room; i++)
		if (old.slots[i])
			*text_slot(texts, old.slots[i], strlen(old.slots[i])) = old.slots[i];
}

static const char *intern(struct sw_compile *compile, const char *text, size_t length)
{
	if (2 * compile->texts.n >= compile->texts.room)
		texts_grow(compile);
	const char **slot = text_slot(&compile->texts, text, length);

	if (!*slot) {
		*slot = sw_arena_strndup(compile->arena, text, length);
		compile->texts.n++;
	}
	return *slot;
}

/* ---- one selector ---- */

/* The value that stands for a selector, or an error and 0. */
static uint64_t selector_value(struct sw_compile *compile, const struct sw_selector *selector)
{
	const char *text = selector->text;
	struct sw_cgroup_key key;

	switch (selector->kind) {
	case SW_SELECT_USER:
	case SW_SELECT_GROUP:
		return selector->id;
	case SW_SELECT_CGROUP:
		if (sw_cgroup_key(text, &key))
			return (uintptr_t)intern(compile, key.path, key.bits / 8);
		sw_diag(compile->diags, SW_ERROR, selector->pos,
			"cgroup path too long: %d bytes are the most", SW_NAME_MAX - 2);
		return 0;
	default:
		break;
	}
	/* Programs and units share a table: the first character keeps them apart. */
	bool is_exe = selector->kind == SW_SELECT_EXE;

	if (strlen(text) >= SW_NAME_MAX)
		sw_diag(compile->diags, SW_ERROR, selector->pos,
			"name too long: %zu bytes, %d are the most", strlen(text), SW_NAME_MAX - 1);
	else if (is_exe && *text != '/')
		sw_diag(compile->diags, SW_ERROR, selector->pos,
			"an executable is named by its full path, from \"/\"");
	else if (!is_exe && strchr(text, '/'))
		sw_diag(compile->diags, SW_ERROR, selector->pos,
			"a unit's name has no \"/\"; see also: cgroup");
	else
		return (uintptr_t)intern(compile, text, strlen(text));
	return 0;
}

/* ---- one party ---- */

/* Of two cgroups that a caller must both be in, the deeper; 0: no cgroup is below both. */
static uint64_t cgroup_both(uint64_t a, uint64_t b)
{
	const char *one = (const char *)(uintptr_t)a, *other = (const char *)(uintptr_t)b;
	size_t n = strlen(one), m = strlen(other);

	if (strncmp(one, other, n < m ? n : m) != 0)
		return 0;
	return n < m ? b : a;
}

/* Adds a selector to what `set` asks already (AND). False: nobody can have both. */
static bool narrow(struct sw_compile *compile, struct sw_set *set,
		   const struct sw_selector *selector)
{
	uint64_t value = selector_value(compile, selector);

	if (set->any) {
		set->any = false;
		set->n = 1;
		set->values = sw_arena_alloc(compile->arena, sizeof(*set->values));
		set->values[0] = value;
		return true;
	}
	if (set->values[0] == value)
		return true;
	if (selector->kind == SW_SELECT_CGROUP && value && set->values[0]) {
		set->values[0] = cgroup_both(set->values[0], value);
		return set->values[0] != 0;
	}
	if (selector->kind == SW_SELECT_GROUP)
		sw_diag(compile->diags, SW_ERROR, selector->pos,
			"two groups that a caller must both be in: one `who` can ask for one "
			"group");
	return false;
}

static bool alternative_of(struct sw_compile *compile, const struct sw_party *party,
			   struct sw_alternative *alternative)
{
	if (party->kind != SW_PARTY_WHO) {
		sw_diag(compile->diags, SW_ERROR, party->pos,
			"a host rule knows its callers by program, user, group, unit and cgroup");
		return false;
	}
	for (size_t kind = 0; kind < SW_SELECT_MAX; kind++)
		alternative->sets[kind].any = true;
	bool can_match = true;

	for (const struct sw_selector *s = party->who->selectors; s; s = s->next)
		can_match &= narrow(compile, &alternative->sets[s->kind], s);
	return can_match;
}

/* ---- merging ---- */

static int values_compare(const void *a, const void *b)
{
	uint64_t one = *(const uint64_t *)a, other = *(const uint64_t *)b;

	return (one > other) - (one < other);
}

static int set_compare(const struct sw_set *a, const struct sw_set *b)
{
	if (a->any || b->any)
		return a->any - b->any;
	if (a->n != b->n)
		return a->n < b->n ? -1 : 1;
	return memcmp(a->values, b->values, a->n * sizeof(*a->values));
}

/* Orders by all sets but one. */
static int others_compare(const struct sw_alternative *a, const struct sw_alternative *b,
			  size_t but)
{
	for (size_t kind = 0; kind < SW_SELECT_MAX; kind++) {
		int differs = kind == but ? 0 : set_compare(&a->sets[kind], &b->sets[kind]);

		if (differs)
			return differs;
	}
	return 0;
}

static int order_compare(const void *a, const void *b)
{
	const struct sw_alternative *one = a, *other = b;

	return (one->order > other->order) - (one->order < other->order);
}

static int merge_compare(const void *a, const void *b, void *but)
{
	int differs = others_compare(a, b, *(const size_t *)but);

	return differs ? differs : order_compare(a, b);
}

/* The union of one set over a run of alternatives that agree in all others. */
static void run_union(struct sw_arena *arena, const struct sw_alternative *run, size_t n,
		      size_t kind, struct sw_set *result)
{
	struct sw_set sum = {.any = false};
	size_t kept = 0;

	for (size_t i = 0; i < n; i++) {
		sum.any |= run[i].sets[kind].any;
		sum.n += run[i].sets[kind].n;
	}
	if (sum.any) {
		*result = (struct sw_set){.any = true};
		return;
	}
	sum.values = sw_arena_alloc(arena, sum.n * sizeof(*sum.values));
	for (size_t i = 0, at = 0; i < n; at += run[i++].sets[kind].n)
		memcpy(sum.values + at, run[i].sets[kind].values,
		       run[i].sets[kind].n * sizeof(*sum.values));
	qsort(sum.values, sum.n, sizeof(*sum.values), values_compare);
	for (size_t i = 0; i < sum.n; i++)
		if (!kept || sum.values[i] != sum.values[kept - 1])
			sum.values[kept++] = sum.values[i];
	sum.n = kept;
	*result = sum;
}

static size_t merge_kind(struct sw_arena *arena, struct sw_alternative *all, size_t n, size_t kind)
{
	size_t kept = 0;

	qsort_r(all, n, sizeof(*all), merge_compare, &kind);
	for (size_t i = 0, end; i < n; i = end) {
		for (end = i + 1; end < n && others_compare(&all[i], &all[end], kind) == 0; end++)
			;
		struct sw_alternative merged = all[i];

		if (end - i > 1)
			run_union(arena, all + i, end - i, kind, &merged.sets[kind]);
		all[kept++] = merged;
	}
	return kept;
}

/* Both are sorted. */
static bool set_covers(const struct sw_set *wide, const struct sw_set *narrow)
{
	size_t at = 0;

	if (wide->any || narrow->any)
		return wide->any;
	for (size_t i = 0; i < narrow->n; i++) {
		while (at < wide->n && wide->values[at] < narrow->values[i])
			at++;
		if (at == wide->n || wide->values[at] != narrow->values[i])
			return false;
	}
	return true;
}

static bool covers(const struct sw_alternative *wide, const struct sw_alternative *narrow)
{
	for (size_t kind = 0; kind < SW_SELECT_MAX; kind++)
		if (!set_covers(&wide->sets[kind], &narrow->sets[kind]))
			return false;
	return true;
}

static bool covered(const struct sw_alternative *all, size_t n, size_t which)
{
	for (size_t i = 0; i < n; i++)
		if (i != which && covers(&all[i], &all[which]))
			return true;
	return false;
}

static size_t drop_covered(struct sw_alternative *all, size_t n)
{
	if (n > COVER_MAX)
		return n;
	for (size_t i = 0; i < n;) {
		if (covered(all, n, i))
			memmove(all + i, all + i + 1, (--n - i) * sizeof(*all));
		else
			i++;
	}
	return n;
}

size_t sw_compile_from(struct sw_compile *compile, const struct sw_party *from,
		       struct sw_alternative **alternatives)
{
	size_t n_parties = 0, n = 0, before;

	for (const struct sw_party *party = from; party; party = party->next)
		n_parties++;
	struct sw_alternative *all = sw_arena_alloc(compile->arena, (n_parties + 1) * sizeof(*all));

	*alternatives = all;
	if (!from) {
		for (size_t kind = 0; kind < SW_SELECT_MAX; kind++)
			all[0].sets[kind].any = true;
		return 1;
	}
	for (const struct sw_party *party = from; party; party = party->next) {
		all[n].order = n;
		if (alternative_of(compile, party, &all[n]))
			n++;
		else
			memset(&all[n], 0, sizeof(all[n]));
	}
	do {
		before = n;
		for (size_t kind = 0; kind < SW_SELECT_MAX; kind++)
			n = merge_kind(compile->arena, all, n, kind);
	} while (n < before);
	qsort(all, n, sizeof(*all), order_compare);
	return drop_covered(all, n);
}
