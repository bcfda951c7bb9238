/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "tests/bench/pair.h"

#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#include "daemon/base.h"

/* Of one row, by side and round. The last column is the base's second run. */
struct rounds {
	size_t n;
	double cost[PAIR_SIDES_MAX + 1][PAIR_ROUNDS_MAX];
};

uint64_t pair_now(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

static int by_size(const void *a, const void *b)
{
	double left = *(const double *)a, right = *(const double *)b;

	return (left > right) - (left < right);
}

double pair_quantile(double *values, size_t n, double part)
{
	double at = part * (double)(n - 1);
	size_t below = (size_t)at;

	qsort(values, n, sizeof(*values), by_size);
	if (below + 1 >= n)
		return values[n - 1];
	return values[below] + (at - (double)below) * (values[below + 1] - values[below]);
}

/* The quantile over all rounds of what two columns make of each other. */
static double over_rounds(const struct rounds *rounds, size_t a, size_t b,
			  enum pair_measure measure, double part)
{
	double values[PAIR_ROUNDS_MAX];

	for (size_t i = 0; i < rounds->n; i++) {
		double x = rounds->cost[a][i], y = rounds->cost[b][i];

		values[i] = measure == PAIR_RATIO        ? x / y
			    : measure == PAIR_FASTER     ? y / x
			    : measure == PAIR_DIFFERENCE ? x - y
							 : x;
	}
	return pair_quantile(values, rounds->n, part);
}

/* ---- the line ---- */

static json_t *side_json(const struct pair_row *row, const struct rounds *rounds, size_t i,
			 bool compared)
{
	json_t *side = json_pack("{s:s, s:f, s:f}", "name", row->sides[i].name, "median",
				 over_rounds(rounds, i, i, PAIR_VALUE, 0.5), "min",
				 over_rounds(rounds, i, i, PAIR_VALUE, 0));

	if (!side || !compared)
		return side;
	json_object_set_new(side, "ratio", json_real(over_rounds(rounds, i, 0, PAIR_RATIO, 0.5)));
	json_object_set_new(side, "difference",
			    json_real(over_rounds(rounds, i, 0, PAIR_DIFFERENCE, 0.5)));
	return side;
}

static json_t *aim_json(const struct pair_row *row, const struct rounds *rounds,
			const struct pair_aim *aim)
{
	static const char *const measures[] = {"ratio", "difference", "faster", "value"};
	double value = over_rounds(rounds, aim->side, aim->against, aim->measure, 0.5);
	bool reached = aim->at_least ? value >= aim->limit : value <= aim->limit;
	json_t *line = json_pack("{s:s, s:s, s:s, s:f, s:f, s:b}", "side",
				 row->sides[aim->side].name, "measure", measures[aim->measure],
				 "sense", aim->at_least ? "least" : "most", "limit", aim->limit,
				 "value", value, "reached", reached);

	if (line && aim->measure != PAIR_VALUE)
		json_object_set_new(line, "against", json_string(row->sides[aim->against].name));
	if (line && aim->allows)
		json_object_set_new(line, "allows", json_string(aim->allows));
	return line;
}

static void print(const struct pair_row *row, const struct rounds *rounds, bool noise)
{
	json_t *sides = json_array(), *aims = json_array();
	json_t *line = json_pack("{s:s, s:s, s:s, s:I, s:o, s:o}", "table", row->table, "row",
				 row->row, "unit", row->unit, "rounds", (json_int_t)rounds->n,
				 "sides", sides, "aims", aims);

	for (size_t i = 0; i < row->n_sides; i++)
		json_array_append_new(sides, side_json(row, rounds, i, noise));
	for (size_t i = 0; i < row->n_aims; i++)
		json_array_append_new(aims, aim_json(row, rounds, &row->aims[i]));
	if (line && row->note)
		json_object_set_new(line, "note", json_string(row->note));
	if (line && noise)
		json_object_set_new(
			line, "noise",
			json_pack("{s:f, s:f, s:f}", "median",
				  over_rounds(rounds, row->n_sides, 0, PAIR_RATIO, 0.5), "low",
				  over_rounds(rounds, row->n_sides, 0, PAIR_RATIO, 0.1), "high",
				  over_rounds(rounds, row->n_sides, 0, PAIR_RATIO, 0.9)));
	if (!line || json_dumpf(line, stdout, JSON_COMPACT | JSON_REAL_PRECISION(6))) {
		fprintf(stderr, "no memory for the row \"%s\"\n", row->row);
		exit(1);
	}
	putchar('\n');
	fflush(stdout);
	json_decref(line);
}

/* ---- rounds ---- */

static void progress(const struct pair_row *row, int i, int n)
{
	if (!isatty(STDERR_FILENO))
		return;
	if (i == n)
		fprintf(stderr, "\r\033[K");
	else
		fprintf(stderr, "\r\033[K%s: %s, round %d of %d", row->table, row->row, i + 1, n);
}

/* Each round begins with another side, so that none always comes after the same one. */
static void run_round(const struct pair_row *row, struct rounds *rounds, size_t round)
{
	size_t n = row->n_sides + 1;

	for (size_t k = 0; k < n; k++) {
		size_t i = (round + k) % n;
		const struct pair_side *side = &row->sides[i == row->n_sides ? 0 : i];

		rounds->cost[i][round] = side->run(side->data);
	}
}

void pair_run(const struct pair_row *row, int n)
{
	struct rounds *rounds sw_autofree = calloc(1, sizeof(*rounds));

	if (!rounds)
		exit(1);
	if (n < 1 || n > PAIR_ROUNDS_MAX)
		n = PAIR_ROUNDS_MAX;
	/* Caches, branch predictors and maps find themselves before it counts. */
	run_round(row, rounds, 0);
	for (int i = 0; i < n; i++) {
		progress(row, i, n);
		run_round(row, rounds, (size_t)i);
	}
	progress(row, n, n);
	rounds->n = (size_t)n;
	print(row, rounds, true);
}

void pair_told(const struct pair_row *row, const double *values)
{
	struct rounds *rounds sw_autofree = calloc(1, sizeof(*rounds));

	if (!rounds)
		exit(1);
	rounds->n = 1;
	for (size_t i = 0; i < row->n_sides; i++)
		rounds->cost[i][0] = values[i];
	print(row, rounds, false);
}
