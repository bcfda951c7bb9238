/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * compile.h - what the parts of the compiler share. compile.c walks the policy and hands out rows;
 * compile_from.c turns a `from` list into as few alternatives as it can; compile_tables.c makes the
 * tables of ids, names and cgroups; compile_prefix.c the one of prefixes, and the classes.
 *
 * Memory for the time of compiling hangs on one arena; what becomes part of the image is malloc'ed.
 */
#ifndef SW_COMPILE_H
#define SW_COMPILE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "daemon/policy/arena.h"
#include "daemon/policy/ast.h"
#include "daemon/policy/diag.h"
#include "daemon/policy/image.h"

#define SW_NAMES_MAX 4096 /* different executables and units in a policy */

/* "This row names this value." A table is a list of these, sorted and folded. */
struct sw_hit {
	const char *text; /* executable, unit, cgroup; NULL: the value is `key` */
	uint64_t key;     /* dim << 32 | id; for a net its number */
	uint32_t row;
};

struct sw_hits {
	struct sw_hit *at;
	size_t n, room;
};

void sw_hits_add(struct sw_hits *hits, struct sw_arena *arena, struct sw_hit hit);
void sw_hits_sort(struct sw_hits *hits);
/* Adds the rows of the run of equal values that begins at `from` to `rows`; returns its end. */
size_t sw_hits_run(const struct sw_hits *hits, size_t from, struct sw_vec *rows);

/* Equal texts become the same pointer. */
struct sw_texts {
	const char **slots; /* open addressing, a power of two */
	size_t n, room;
};

struct sw_compile {
	const struct sw_policy_ast *policy;
	struct sw_diags *diags;
	struct sw_arena *arena;
	struct sw_image *image;
	struct sw_texts texts;
	struct sw_hits ids, names, cgroups;
	struct sw_hits nets, sources; /* of `to`, of edge and serve blocks' `from`; key: address of
					 the struct sw_net */
	size_t n_rows;    /* needed; may go over SW_ROWS_MAX, the rows above it are only counted */
	size_t most_rows; /* of one rule */
	struct sw_pos most_rows_pos;
};

/* Values of one kind of selector: sorted, no doubles. */
struct sw_set {
	bool any; /* not asked about */
	uint64_t *values;
	size_t n;
};

/* One way for a caller to match: a value out of each set. */
struct sw_alternative {
	struct sw_set sets[SW_SELECT_MAX];
	size_t order; /* place of the first party that it stands for */
};

/* The alternatives of a `from` list, as few as merging finds. Returns how many; 0: nobody can
   match. Adds an error for a selector that the kernel tables cannot hold. */
size_t sw_compile_from(struct sw_compile *compile, const struct sw_party *from,
		       struct sw_alternative **alternatives);

void sw_compile_tables(struct sw_compile *compile);
void sw_compile_prefixes(struct sw_compile *compile);

/*
 * The key of a cgroup path: "a//b/" -> "/a/b/". False when it does not fit; then the key holds the
 * components from the top that do. As on the kernel side there must be room for a NUL.
 */
bool sw_cgroup_key(const char *path, struct sw_cgroup_key *key);

/* Zeroed, malloc'ed, never NULL (as with an arena, out of memory ends the process). */
void *sw_compile_array(size_t n, size_t size);

static inline void sw_vec_set(struct sw_vec *rows, uint32_t row)
{
	rows->w[row / 64] |= 1ull << row % 64;
}

#endif
