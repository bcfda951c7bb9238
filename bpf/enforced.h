/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * enforced.h - for what no rule was matched against: is there a rule that would refuse it? `mode audit`
 * refuses nothing, also not what could not be decided or was never asked about.
 */
#ifndef SW_ENFORCED_H
#define SW_ENFORCED_H

#include "bpf/kernel.h"
#include "bpf/match.h"

struct sw_enforced {
	const struct sw_policy *policy;
	const struct sw_vec *rows; /* NULL: all rows */
};

static long sw_row_step(__u32 index, struct sw_enforced *ask)
{
	__u64 row = index, rule;

	SW_OPAQUE(row);
	if (row >= SW_ROWS_MAX || row >= ask->policy->n_rows)
		return 0;
	if (ask->rows && !sw_vec_has(ask->rows, row))
		return 0;
	rule = sw_row_rule(ask->policy, row);
	SW_OPAQUE(rule);
	rule &= SW_RULES_MAX - 1;
	return !(ask->policy->rules[rule].flags & SW_RULE_AUDIT);
}

/*
 * Does one of these rows belong to a rule that enforces? For what no rule was matched against: it is
 * let through only where `mode audit` covers everything that could have been said about it. Not static: looked at
 * by the verifier once.
 */
__noinline int sw_rows_enforced(const struct sw_policy *policy, const struct sw_vec *rows)
{
	struct sw_enforced ask = {.policy = policy, .rows = rows};

	if (!policy)
		return 1;
	/* bpf_loop tells how many rounds it made: one more than there are rows if none stopped it. */
	return bpf_loop(SW_ROWS_MAX + 1, sw_row_step, &ask, 0) <= SW_ROWS_MAX;
}

static long sw_guard_step(__u32 index, struct sw_enforced *ask)
{
	__u64 word = index;

	SW_OPAQUE(word);
	return word < 65536 / 64 && ask->policy->guard[word];
}

/* Is there a guarded port at all? */
__noinline int sw_any_guarded(const struct sw_policy *policy)
{
	struct sw_enforced ask = {.policy = policy};

	if (!policy)
		return 1;
	return bpf_loop(65536 / 64 + 1, sw_guard_step, &ask, 0) <= 65536 / 64;
}

#endif
