/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "tests/bench/contest.h"

void contest_begin(struct contest_side *side, const struct worker_work *work)
{
	worker_place(&side->worker, side->name);
	guard_attach(&side->guard, &side->worker, side->programs, side->policy);
	side->there = worker_start(&side->worker, work, &side->rules);
}

void contest_add(struct contest *contest, size_t side, uint32_t what, uint32_t n)
{
	size_t i = contest->row.n_sides;

	if (!contest->all[side].there)
		return;
	contest->sides[i] = side;
	contest->asks[i] = (struct worker_ask){&contest->all[side].worker, what, n};
	contest->row.sides[i] = (struct pair_side){.name = contest->all[side].name};
	contest->row.n_sides++;
}

static bool find(const struct contest *contest, size_t side, size_t *at)
{
	for (*at = 0; *at < contest->row.n_sides; ++*at)
		if (contest->sides[*at] == side)
			return true;
	return false;
}

void contest_aim(struct contest *contest, size_t side, size_t against, struct pair_aim aim)
{
	if (find(contest, side, &aim.side) && find(contest, against, &aim.against))
		contest->row.aims[contest->row.n_aims++] = aim;
}

void contest_run(struct contest *contest, int rounds)
{
	for (size_t i = 0; i < contest->row.n_sides; i++) {
		contest->row.sides[i].run = worker_run;
		contest->row.sides[i].data = &contest->asks[i];
	}
	pair_run(&contest->row, rounds);
}
