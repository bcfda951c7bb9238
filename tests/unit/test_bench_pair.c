/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The arithmetic of comparisons (tests/bench/pair.h), by sides whose costs are written down. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <jansson.h>
#include <math.h>
#include <stdio.h>
#include <unistd.h>

#include "daemon/base.h"
#include "tests/bench/pair.h"

#define ROUNDS 5

/* Costs by round; a base is asked twice in each. The first round only warms up. */
struct script {
	const double *costs;
	int calls, in_round;
};

static double play(void *data)
{
	struct script *script = data;
	int round = script->calls++ / script->in_round - 1;

	return round < 0 ? 1e6 : script->costs[round];
}

static void assert_near(double a, double b)
{
	assert_true(fabs(a - b) < 1e-6 * (fabs(b) + 1));
}

/* ---- the line that was printed ---- */

static json_t *captured(const struct pair_row *row, int rounds, const double *told)
{
	int screen sw_autoclose = dup(STDOUT_FILENO);
	FILE *file sw_autofclose = tmpfile();
	json_t *line;

	assert_true(file && screen >= 0);
	fflush(stdout);
	assert_return_code(dup2(fileno(file), STDOUT_FILENO), errno);
	if (told)
		pair_told(row, told);
	else
		pair_run(row, rounds);
	assert_return_code(dup2(screen, STDOUT_FILENO), errno);
	rewind(file);
	line = json_loadf(file, 0, NULL);
	assert_non_null(line);
	return line;
}

static double number(const json_t *line, const char *list, size_t i, const char *name)
{
	const json_t *found = json_object_get(json_array_get(json_object_get(line, list), i), name);

	assert_true(json_is_number(found));
	return json_number_value(found);
}

static bool reached(const json_t *line, size_t i)
{
	return json_is_true(
		json_object_get(json_array_get(json_object_get(line, "aims"), i), "reached"));
}

/* ---- tests ---- */

static void quantiles(void **state)
{
	double odd[] = {5, 1, 3}, even[] = {4, 1, 3, 2}, one[] = {7};

	(void)state;
	assert_near(pair_quantile(odd, 3, 0.5), 3);
	assert_near(pair_quantile(even, 4, 0.5), 2.5);
	assert_near(pair_quantile(even, 4, 0), 1);
	assert_near(pair_quantile(even, 4, 1), 4);
	assert_near(pair_quantile(even, 4, 0.1), 1.3);
	assert_near(pair_quantile(one, 1, 0.9), 7);
}

/* A machine that becomes slower and slower: only within a round the sides can be compared. */
static void ratios_are_of_rounds(void **state)
{
	static const double base[ROUNDS] = {1, 10, 100, 1000, 10000};
	static const double other[ROUNDS] = {2, 20, 200, 500, 5000};
	struct script scripts[] = {{base, 0, 2}, {other, 0, 1}};
	struct pair_row row = {
		.table = "t",
		.row = "r",
		.unit = "ns",
		.n_sides = 2,
		.sides = {{"base", play, &scripts[0]}, {"other", play, &scripts[1]}},
	};
	json_t *line = captured(&row, ROUNDS, NULL);

	(void)state;
	assert_int_equal(scripts[0].calls, 2 * (ROUNDS + 1));
	assert_int_equal(scripts[1].calls, ROUNDS + 1);
	assert_near(number(line, "sides", 1, "median"), 200);
	assert_near(number(line, "sides", 1, "min"), 2);
	assert_near(number(line, "sides", 1, "ratio"), 2);
	assert_near(number(line, "sides", 1, "difference"), 1);
	assert_near(number(line, "sides", 0, "ratio"), 1);
	assert_near(json_number_value(json_object_get(json_object_get(line, "noise"), "median")),
		    1);
	json_decref(line);
}

static void aims_of_each_measure(void **state)
{
	static const double values[] = {10, 40};
	struct pair_row row = {
		.table = "t",
		.row = "r",
		.unit = "ns",
		.n_sides = 2,
		.n_aims = 4,
		.sides = {{.name = "a"}, {.name = "b"}},
		.aims = {{1, 0, PAIR_RATIO, false, 4, NULL},
			 {1, 0, PAIR_DIFFERENCE, false, 29, "less"},
			 {0, 1, PAIR_FASTER, true, 4, NULL},
			 {0, 0, PAIR_VALUE, true, 11, NULL}},
	};
	json_t *line = captured(&row, 0, values);

	(void)state;
	assert_near(number(line, "aims", 0, "value"), 4);
	assert_near(number(line, "aims", 1, "value"), 30);
	assert_near(number(line, "aims", 2, "value"), 4);
	assert_near(number(line, "aims", 3, "value"), 10);
	assert_true(reached(line, 0));
	assert_false(reached(line, 1));
	assert_true(reached(line, 2));
	assert_false(reached(line, 3));
	assert_null(json_object_get(line, "noise"));
	json_decref(line);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(quantiles),
		cmocka_unit_test(ratios_are_of_rounds),
		cmocka_unit_test(aims_of_each_measure),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
