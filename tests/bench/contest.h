/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * contest.h - rows (pair.h) whose sides are workers (worker.h) with programs on their cgroups (guard.h) or rules in
 * their network namespaces. A benchmark has a table of sides; a row takes those that it compares.
 */
#ifndef SW_BENCH_CONTEST_H
#define SW_BENCH_CONTEST_H

#include "tests/bench/guard.h"
#include "tests/bench/pair.h"
#include "tests/bench/worker.h"

/* A chain that all packets which leave go through. */
#define CONTEST_NFT(rules)                                                                         \
	"table inet bench { chain out { type filter hook output priority 0; " rules "; }; }"

struct contest_side {
	const char *name;
	enum guard_programs programs;
	guard_policy *policy; /* of GUARD_SMTPWALL */
	struct worker_rules rules;
	/* By contest_begin(). */
	bool there; /* else it can't be had on this machine */
	struct worker worker;
	struct guard guard;
};

/* Makes the worker and what it is compared by. */
void contest_begin(struct contest_side *side, const struct worker_work *work);

struct contest {
	struct pair_row row;
	const struct contest_side *all; /* the benchmark's table */
	size_t sides[PAIR_SIDES_MAX];   /* the row's, by index in it */
	struct worker_ask asks[PAIR_SIDES_MAX];
};

/* Adds a side, unless it isn't there. `what`, `n`: what its worker is asked. */
void contest_add(struct contest *contest, size_t side, uint32_t what, uint32_t n);
/* Adds an aim, unless one of both isn't there. `side`, `against`: in the benchmark's table. */
void contest_aim(struct contest *contest, size_t side, size_t against, struct pair_aim aim);
void contest_run(struct contest *contest, int rounds);

#endif
