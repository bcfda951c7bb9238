/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The store as a sink: every event of a trail is in it or told as missing. */
#include <string.h>
#include <sys/stat.h>
#include <time.h>

#include "daemon/audit/trail.h"
#include "daemon/sink_store.h"
#include "tests/unit/store_world.h"

#define EVENTS 20000
#define MAPS 99

static struct sw_store_sink *open_sink(struct store_world *world, uint64_t taken, uint64_t *missing,
				       uint64_t *last)
{
	struct sw_store_limits limits = {.bytes = 64 << 20, .age_ns = 3600ull * SECOND};
	char *problem;
	struct sw_store_sink *sink = sw_store_sink_open(world->path, &limits, (gid_t)-1, &problem);

	assert_non_null(sink);
	assert_null(problem);
	*missing = sw_store_sink_account(sink, MAPS, taken);
	*last = sw_store_sink_last(sink);
	return sink;
}

/* Of one that no thread was started for. */
static void close_sink(struct sw_store_sink *sink)
{
	sw_sink_store.close(sink);
}

static void add(struct sw_trail *trail, uint64_t n)
{
	struct sw_record record;
	struct timespec now;

	clock_gettime(CLOCK_REALTIME, &now);
	for (uint64_t i = 0; i < n; i++) {
		store_record(&record, 0, (uint64_t)now.tv_sec * SECOND);
		record.id = 0;
		sw_trail_add(trail, &record);
	}
	sw_trail_wake(trail);
}

/* Rows, and what gaps stand for. */
static uint64_t told(const struct store_world *world)
{
	return (uint64_t)store_ask(world, "SELECT (SELECT count(*) FROM events) + "
					  "(SELECT count(*) FROM sessions) + "
					  "(SELECT ifnull(sum(n), 0) FROM gaps)");
}

static void test_sink(void **state)
{
	struct store_world *world = *state;
	uint64_t missing, last;
	struct sw_store_sink *data = open_sink(world, 0, &missing, &last);
	struct sw_trail *trail = sw_trail_new(64 << 20, last);
	struct sw_store_size size;
	struct sw_fault fault;
	struct sw_sink *sink = sw_sink_start(trail, &sw_sink_store, data, last, &fault);

	assert_non_null(sink);
	add(trail, EVENTS);
	do
		sw_store_sink_size(data, &size);
	while (size.events + size.sessions < EVENTS);
	sw_trail_close(trail);
	sw_sink_stop(sink);
	sw_trail_free(trail);
	assert_int_equal(told(world), EVENTS);
	store_check(world);
	/* 7 more were taken when it ended: its successor tells that they are missing, once. */
	data = open_sink(world, EVENTS + 7, &missing, &last);
	assert_int_equal(missing, 7);
	assert_int_equal(last, EVENTS + 7);
	close_sink(data);
	data = open_sink(world, EVENTS + 7, &missing, &last);
	assert_int_equal(missing, 0);
	close_sink(data);
	assert_int_equal(told(world), EVENTS + 7);
}

/* A trail that is too short for a store that could not be written meanwhile. */
static void test_overrun(void **state)
{
	struct store_world *world = *state;
	uint64_t missing, last, lost;
	struct sw_store_sink *data = open_sink(world, 0, &missing, &last);
	struct sw_trail *trail = sw_trail_new(4 * SW_PACKED_MAX, last);
	struct sw_sink_state is;
	struct sw_fault fault;
	struct sw_sink *sink;

	add(trail, EVENTS);
	sink = sw_sink_start(trail, &sw_sink_store, data, last, &fault);
	assert_non_null(sink);
	do
		sw_sink_state(sink, &is);
	while (is.position < EVENTS);
	lost = is.lost;
	assert_true(lost > 0 && is.written > 0);
	sw_trail_close(trail);
	sw_sink_stop(sink);
	sw_trail_free(trail);
	assert_int_equal(told(world), EVENTS);
	assert_int_equal(store_ask(world, "SELECT sum(n) FROM gaps WHERE why = 0"), lost);
	/* Also for who asks what is missing after a restart. */
	data = open_sink(world, EVENTS, &missing, &last);
	assert_int_equal(missing, 0);
	assert_int_equal(last, EVENTS);
	close_sink(data);
}

/* What is too old goes between batches. */
static void test_tick(void **state)
{
	struct store_world *world = *state;
	uint64_t missing, last;
	struct sw_store *store = store_open(world, 0, 0);
	struct sw_store_sink *data;
	struct sw_store_size size;

	assert_int_equal(store_fill(world, store, 1, 5000), 0); /* of the year 2023 */
	sw_store_close(store);
	data = open_sink(world, 0, &missing, &last);
	sw_store_sink_size(data, &size);
	assert_int_equal(size.events + size.sessions, 5000);
	do {
		sw_sink_store.tick(data);
		sw_store_sink_size(data, &size);
	} while (size.events + size.sessions > 0);
	assert_int_equal(size.removed, 5000);
	sw_sink_store.close(data);
}

/* A store that cannot be opened is tried again, and has what came meanwhile. */
static void test_opened_late(void **state)
{
	struct store_world *world = *state;
	struct sw_store_limits limits = {};
	sw_autofree char *problem = NULL;
	struct sw_store_sink *data;
	struct sw_trail *trail;
	struct sw_fault fault;
	struct sw_sink *sink;
	struct sw_sink_state is;
	uint64_t last;

	assert_int_equal(mkdir(world->path, 0700), 0);
	data = sw_store_sink_open(world->path, &limits, (gid_t)-1, &problem);
	assert_non_null(data);
	assert_non_null(problem);
	assert_int_equal(sw_store_sink_account(data, MAPS, 0), 0);
	last = sw_store_sink_last(data);
	assert_true(last > 1600000000000000u);
	trail = sw_trail_new(8 << 20, last);
	add(trail, 100);
	sink = sw_sink_start(trail, &sw_sink_store, data, last, &fault);
	assert_non_null(sink);
	do
		sw_sink_state(sink, &is);
	while (!is.failing);
	assert_non_null(strstr(is.problem, world->path));
	assert_int_equal(rmdir(world->path), 0);
	sw_trail_close(trail);
	assert_int_equal(sw_sink_stop(sink), 0);
	sw_trail_free(trail);
	assert_int_equal(told(world), 100);
}

int main(void)
{
#define TEST(test) cmocka_unit_test_setup_teardown(test, store_world_new, store_world_free)
	const struct CMUnitTest tests[] = {TEST(test_sink), TEST(test_overrun), TEST(test_tick),
					   TEST(test_opened_late)};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
