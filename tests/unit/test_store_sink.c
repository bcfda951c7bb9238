/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The store as a sink: every event of a trail is in it or told as missing. */
#include <time.h>

#include "daemon/audit/trail.h"
#include "daemon/sink_store.h"
#include "tests/unit/store_world.h"

#define EVENTS 20000
#define MAPS 99

static struct sw_sink_store *open_sink(struct store_world *world, uint64_t taken, uint64_t *missing,
				       uint64_t *last)
{
	struct sw_store_limits limits = {.bytes = 64 << 20, .age_ns = 3600ull * SECOND};
	struct sw_fault fault;
	char *note;
	struct sw_sink_store *sink =
		sw_sink_store_open(world->path, &limits, (gid_t)-1, &note, &fault);

	assert_non_null(sink);
	assert_null(note);
	assert_int_equal(sw_sink_store_account(sink, MAPS, taken, missing, last, &fault), 0);
	return sink;
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
	struct sw_sink_store *data = open_sink(world, 0, &missing, &last);
	struct sw_trail *trail = sw_trail_new(64 << 20, last);
	struct sw_store_size size;
	struct sw_fault fault;
	struct sw_sink *sink = sw_sink_start(trail, &sw_sink_store_calls, data, last, &fault);

	assert_non_null(sink);
	add(trail, EVENTS);
	do
		sw_sink_store_size(data, &size);
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
	sw_sink_store_close(data);
	data = open_sink(world, EVENTS + 7, &missing, &last);
	assert_int_equal(missing, 0);
	sw_sink_store_close(data);
	assert_int_equal(told(world), EVENTS + 7);
}

/* A trail that is too short for a store that could not be written meanwhile. */
static void test_overrun(void **state)
{
	struct store_world *world = *state;
	uint64_t missing, last, lost;
	struct sw_sink_store *data = open_sink(world, 0, &missing, &last);
	struct sw_trail *trail = sw_trail_new(4 * SW_PACKED_MAX, last);
	struct sw_sink_state is;
	struct sw_fault fault;
	struct sw_sink *sink;

	add(trail, EVENTS);
	sink = sw_sink_start(trail, &sw_sink_store_calls, data, last, &fault);
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
	sw_sink_store_close(data);
}

/* What is too old goes between batches. */
static void test_tick(void **state)
{
	struct store_world *world = *state;
	uint64_t missing, last;
	struct sw_store *store = store_open(world, 0, 0);
	struct sw_sink_store *data;
	struct sw_store_size size;

	assert_int_equal(store_fill(world, store, 1, 5000), 0); /* of the year 2023 */
	sw_store_close(store);
	data = open_sink(world, 0, &missing, &last);
	sw_sink_store_size(data, &size);
	assert_int_equal(size.events + size.sessions, 5000);
	do {
		sw_sink_store_calls.tick(data);
		sw_sink_store_size(data, &size);
	} while (size.events + size.sessions > 0);
	assert_int_equal(size.removed, 5000);
	sw_sink_store_calls.close(data);
}

int main(void)
{
#define TEST(test) cmocka_unit_test_setup_teardown(test, store_world_new, store_world_free)
	const struct CMUnitTest tests[] = {TEST(test_sink), TEST(test_overrun), TEST(test_tick)};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
