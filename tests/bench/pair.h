/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * pair.h - comparing costs: sides that do the same work each in its own way are run in turn, round by round, so
 * that what disturbs the machine disturbs all of them; what counts is the ratio within a round.
 *
 * The first side is the base that ratios and differences are to. It runs twice in each round: how far these two
 * are apart is the noise that every other ratio of the row has as well.
 *
 * A row is printed as one line of JSON on standard output, which tests/bench/render.py makes tables and charts
 * of:
 *
 *   {"table": "xdp-run", "row": "packet to a port nobody named", "unit": "ns", "rounds": 31,
 *    "sides": [{"name": "minimal", "median": 7.2, "min": 7.1, "ratio": 1, "difference": 0}, ...],
 *    "noise": {"median": 1.001, "low": 0.98, "high": 1.02},
 *    "aims": [{"side": "smtpwall", "against": "minimal", "measure": "ratio", "sense": "most",
 *              "limit": 1.15, "value": 1.1, "reached": true, "allows": "1.0"}]}
 */
#ifndef SW_BENCH_PAIR_H
#define SW_BENCH_PAIR_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define PAIR_SIDES_MAX 12
#define PAIR_AIMS_MAX 4
#define PAIR_ROUNDS_MAX 1001

struct pair_side {
	const char *name;
	/* Does the work once and says what an operation cost, in the row's unit. */
	double (*run)(void *data);
	void *data;
};

enum pair_measure {
	PAIR_RATIO,      /* side / against */
	PAIR_DIFFERENCE, /* side - against */
	PAIR_FASTER,     /* against / side */
	PAIR_VALUE,      /* side alone */
};

/* What a row is to reach. `side`, `against`: indices. */
struct pair_aim {
	size_t side, against;
	enum pair_measure measure;
	bool at_least; /* else at most */
	double limit;
	const char *allows; /* what the kernel allows, in words */
};

struct pair_row {
	const char *table, *row, *unit;
	const char *note; /* what the reader must know; NULL: nothing */
	size_t n_sides, n_aims;
	struct pair_side sides[PAIR_SIDES_MAX];
	struct pair_aim aims[PAIR_AIMS_MAX];
};

/* Runs `n` rounds and prints the row's line. Progress goes to standard error when that is a terminal. */
void pair_run(const struct pair_row *row, int n);

/* A row of what was had otherwise, once: each side's value. No noise is told, and neither ratio nor difference. */
void pair_told(const struct pair_row *row, const double *values);

/* CLOCK_MONOTONIC, ns. */
uint64_t pair_now(void);

/* ---- the arithmetic, for itself ---- */

/* Sorts. `part`: 0 to 1; 0.5 is the median. */
double pair_quantile(double *values, size_t n, double part);

#endif
