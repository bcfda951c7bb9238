/* SPDX-License-Identifier: GPL-2.0-or-later */
/* compile_tables.c - the tables of ids, names and cgroups, each sorted by its key. */
#include <stdlib.h>
#include <string.h>

#include "bpf/abi.h"
#include "bpf/match.h"
#include "daemon/pages.h"
#include "daemon/policy/compile.h"

void *sw_compile_array(size_t n, size_t size)
{
	void *memory = calloc(n ? n : 1, size);

	if (!memory) {
		fputs("smtpwall: out of memory\n", stderr);
		abort();
	}
	sw_pages_enlarge(memory, n * size);
	return memory;
}

void sw_hits_add(struct sw_hits *hits, struct sw_arena *arena, struct sw_hit hit)
{
	if (hits->n == hits->room) {
		size_t room = hits->room ? 2 * hits->room : 64;
		struct sw_hit *at = sw_arena_alloc(arena, room * sizeof(*at));

		if (hits->n)
			memcpy(at, hits->at, hits->n * sizeof(*at));
		hits->at = at;
		hits->room = room;
	}
	hits->at[hits->n++] = hit;
}

/* Texts are interned: equal ones are the same pointer. */
static bool same_value(const struct sw_hit *a, const struct sw_hit *b)
{
	return a->text == b->text && a->key == b->key;
}

static int hit_compare(const void *a, const void *b)
{
	const struct sw_hit *one = a, *other = b;

	if (one->text != other->text)
		return strcmp(one->text, other->text);
	if (one->key != other->key)
		return one->key < other->key ? -1 : 1;
	return (one->row > other->row) - (one->row < other->row);
}

void sw_hits_sort(struct sw_hits *hits)
{
	if (hits->n)
		qsort(hits->at, hits->n, sizeof(*hits->at), hit_compare);
}

size_t sw_hits_run(const struct sw_hits *hits, size_t from, struct sw_vec *rows)
{
	size_t i = from;

	for (; i < hits->n && same_value(&hits->at[i], &hits->at[from]); i++)
		sw_vec_set(rows, hits->at[i].row);
	return i;
}

static size_t count_values(const struct sw_hits *hits)
{
	size_t n = 0;

	for (size_t i = 0; i < hits->n; i++)
		n += i == 0 || !same_value(&hits->at[i], &hits->at[i - 1]);
	return n;
}

static void make_ids(struct sw_image *image, struct sw_hits *hits)
{
	sw_hits_sort(hits);
	image->n_ids = count_values(hits);
	image->ids = sw_compile_array(image->n_ids, sizeof(*image->ids));
	image->id_rows = sw_compile_array(image->n_ids, sizeof(*image->id_rows));
	for (size_t i = 0, n = 0; i < hits->n; n++) {
		image->ids[n].dim = (uint32_t)(hits->at[i].key >> 32);
		image->ids[n].id = (uint32_t)hits->at[i].key;
		i = sw_hits_run(hits, i, &image->id_rows[n]);
	}
}

static void make_names(struct sw_compile *compile, struct sw_hits *hits)
{
	struct sw_image *image = compile->image;

	sw_hits_sort(hits);
	image->n_names = count_values(hits);
	if (image->n_names > SW_NAMES_MAX)
		sw_diag(compile->diags, SW_ERROR, (struct sw_pos){0},
			"%zu different programs and units, %d are the most: name the cgroup or the "
			"user "
			"that they run in instead",
			image->n_names, SW_NAMES_MAX);
	image->names = sw_compile_array(image->n_names, sizeof(*image->names));
	image->name_rows = sw_compile_array(image->n_names, sizeof(*image->name_rows));
	for (size_t i = 0, n = 0; i < hits->n; n++) {
		/* shorter than the key, see selector_value(): padded with NULs to the end */
		memcpy(image->names[n].name, hits->at[i].text, strlen(hits->at[i].text));
		i = sw_hits_run(hits, i, &image->name_rows[n]);
	}
}

static bool is_below(const struct sw_cgroup_key *key, const struct sw_cgroup_key *ancestor)
{
	return key->bits >= ancestor->bits &&
	       memcmp(key->path, ancestor->path, ancestor->bits / 8) == 0;
}

/*
 * The trie gives the longest key only, so each holds the rows of its ancestors too. Sorted, all
 * below "/a/" stand right behind it: the nearest ancestor is the key before, or one of that key's
 * ancestors.
 */
static void make_cgroups(struct sw_compile *compile, struct sw_hits *hits)
{
	struct sw_image *image = compile->image;

	sw_hits_sort(hits);
	image->n_cgroups = count_values(hits);
	image->cgroups = sw_compile_array(image->n_cgroups, sizeof(*image->cgroups));
	image->cgroup_rows = sw_compile_array(image->n_cgroups, sizeof(*image->cgroup_rows));
	size_t *parents = sw_arena_alloc(compile->arena, (image->n_cgroups + 1) * sizeof(*parents));

	/* numbers from 1; 0: no ancestor */
	for (size_t i = 0, n = 0; i < hits->n; n++) {
		struct sw_cgroup_key *key = &image->cgroups[n];
		size_t length = strlen(hits->at[i].text), parent = n;

		key->bits = (uint32_t)(8 * length);
		memcpy(key->path, hits->at[i].text, length);
		i = sw_hits_run(hits, i, &image->cgroup_rows[n]);
		while (parent && !is_below(key, &image->cgroups[parent - 1]))
			parent = parents[parent];
		parents[n + 1] = parent;
		if (parent)
			sw_vec_or(&image->cgroup_rows[n], &image->cgroup_rows[parent - 1]);
	}
}

void sw_compile_tables(struct sw_compile *compile)
{
	make_ids(compile->image, &compile->ids);
	make_names(compile, &compile->names);
	make_cgroups(compile, &compile->cgroups);
}
