/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The thread of a sink: batches, what is tried again, what is lost and counted, and how it ends. */
#include <pthread.h>
#include <sched.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include <cmocka.h>

#include "daemon/base.h"
#include "daemon/sink.h"

#define RING (4 * SW_PACKED_MAX)

/* What the sink wrote, and how it is to behave. The thread and the test share it under `lock`. */
struct probe {
	pthread_mutex_t lock;
	bool fails;    /* each commit */
	bool hands_on; /* each event on its own, see `reached` */
	uint64_t
		stops_at; /* with hands_on: this id and those behind it cannot be handed on; 0: none */
	uint64_t batch_first, batch_n, batch_lost;
	uint64_t next, written, lost; /* of batches that were committed */
	uint64_t reached;
	unsigned int commits, failures, reopened, ticked, closed;
	bool in_batch, wrong;
	struct feeder *feeder; /* each commit takes so long that a large batch waits behind it */
};

static struct probe probe;

/* Adds events without a pause. */
struct feeder {
	struct sw_trail *trail;
	bool stop;
};

#define LARGE 2000 /* events, more than a small batch has */

static void wait_for_more(const struct feeder *feeder)
{
	uint64_t first, start, next;

	sw_trail_bounds(feeder->trail, &first, &start);
	do {
		sched_yield();
		sw_trail_bounds(feeder->trail, &first, &next);
	} while (next < start + LARGE && !__atomic_load_n(&feeder->stop, __ATOMIC_ACQUIRE));
}

static void probe_begin(void *data)
{
	struct probe *to = data;

	pthread_mutex_lock(&to->lock);
	to->wrong |= to->in_batch;
	to->in_batch = true;
	to->batch_first = to->batch_n = to->batch_lost = 0;
	pthread_mutex_unlock(&to->lock);
}

static void probe_lost(void *data, uint64_t first, uint64_t n)
{
	struct probe *to = data;

	pthread_mutex_lock(&to->lock);
	to->wrong |= !to->in_batch || to->batch_n || first != to->next;
	to->batch_lost = n;
	if (to->hands_on && !to->stops_at) {
		to->lost += n;
		to->next = first + n;
		to->reached = to->next - 1;
	}
	pthread_mutex_unlock(&to->lock);
}

static void probe_put(void *data, const struct sw_record *record)
{
	struct probe *to = data;

	pthread_mutex_lock(&to->lock);
	to->wrong |= !to->in_batch || record->pid != record->id;
	if (to->hands_on) {
		if (!to->stops_at || record->id < to->stops_at) {
			to->wrong |= record->id != to->next;
			to->next = record->id + 1;
			to->reached = record->id;
			to->written++;
		}
	} else {
		to->wrong |= record->id != to->next + to->batch_lost + to->batch_n;
		to->batch_n++;
	}
	pthread_mutex_unlock(&to->lock);
}

static int probe_commit(void *data, struct sw_fault *fault)
{
	struct probe *to = data;
	bool fails;

	if (to->feeder)
		wait_for_more(to->feeder);
	pthread_mutex_lock(&to->lock);
	to->in_batch = false;
	fails = to->fails || to->stops_at;
	to->commits += fails ? 0 : 1;
	to->failures += fails ? 1 : 0;
	if (!fails && !to->hands_on) {
		to->written += to->batch_n;
		to->lost += to->batch_lost;
		to->next += to->batch_n + to->batch_lost;
	}
	pthread_mutex_unlock(&to->lock);
	return fails ? sw_fault(fault, SW_EXIT_KERNEL, "the disk is full") : 0;
}

static void probe_tick(void *data)
{
	struct probe *to = data;

	pthread_mutex_lock(&to->lock);
	to->wrong |= to->in_batch;
	to->ticked++;
	pthread_mutex_unlock(&to->lock);
}

static void probe_reopen(void *data)
{
	struct probe *to = data;

	pthread_mutex_lock(&to->lock);
	to->wrong |= to->in_batch;
	to->reopened++;
	pthread_mutex_unlock(&to->lock);
}

static void probe_close(void *data)
{
	struct probe *to = data;

	pthread_mutex_lock(&to->lock);
	to->closed++;
	pthread_mutex_unlock(&to->lock);
}

static uint64_t probe_reached(void *data)
{
	return ((struct probe *)data)->reached;
}

static const struct sw_sink_calls whole = {
	.name = "whole",
	.begin = probe_begin,
	.lost = probe_lost,
	.put = probe_put,
	.commit = probe_commit,
	.tick = probe_tick,
	.reopen = probe_reopen,
	.close = probe_close,
};

static const struct sw_sink_calls single = {
	.name = "single",
	.begin = probe_begin,
	.lost = probe_lost,
	.put = probe_put,
	.commit = probe_commit,
	.close = probe_close,
	.reached = probe_reached,
};

/* ---- the test's side ---- */

static struct sw_sink *start(struct sw_trail *trail, const struct sw_sink_calls *calls)
{
	struct sw_fault fault;
	struct sw_sink *sink;

	probe = (struct probe){.lock = PTHREAD_MUTEX_INITIALIZER, .next = 1};
	probe.hands_on = calls->reached != NULL;
	sink = sw_sink_start(trail, calls, &probe, 0, &fault);
	assert_non_null(sink);
	return sink;
}

static void set(bool *member, bool value)
{
	pthread_mutex_lock(&probe.lock);
	*member = value;
	pthread_mutex_unlock(&probe.lock);
}

static void add(struct sw_trail *trail, uint32_t from, uint32_t n)
{
	struct sw_record record;

	sw_record_init(&record);
	for (uint32_t i = from; i < from + n; i++) {
		record.pid = i;
		assert_int_equal(sw_trail_add(trail, &record), i);
	}
	sw_trail_wake(trail);
}

/* Until a state is as wanted; the limit is only there so that a failure ends. */
static void await(struct sw_sink *sink, struct sw_sink_state *state, uint64_t position,
		  bool failing)
{
	const struct timespec pause = {.tv_nsec = 1000000};

	for (int i = 0; i < 60000; i++) {
		sw_sink_state(sink, state);
		if (state->position == position && state->failing == failing)
			return;
		nanosleep(&pause, NULL);
	}
	fail_msg("position %llu, failing %d", (unsigned long long)state->position, state->failing);
}

static void await_count(const unsigned int *member, unsigned int at_least)
{
	const struct timespec pause = {.tv_nsec = 1000000};

	for (int i = 0; i < 60000; i++) {
		unsigned int now;

		pthread_mutex_lock(&probe.lock);
		now = *member;
		pthread_mutex_unlock(&probe.lock);
		if (now >= at_least)
			return;
		nanosleep(&pause, NULL);
	}
	fail_msg("it stays below %u", at_least);
}

/* ---- tests ---- */

static void test_batches(void **state)
{
	struct sw_trail *trail = sw_trail_new(64 * RING, 0);
	struct sw_sink *sink = start(trail, &whole);
	struct sw_sink_state now;

	(void)state;
	add(trail, 1, 1);
	await(sink, &now, 1, false);
	add(trail, 2, 1000);
	await(sink, &now, 1001, false);
	assert_string_equal(now.name, "whole");
	assert_int_equal(now.written, 1001);
	assert_int_equal(now.lost, 0);
	assert_int_equal(now.retries, 0);
	assert_string_equal(now.problem, "");
	/* What is there when the trail closes is written. */
	add(trail, 1002, 500);
	sw_trail_close(trail);
	assert_int_equal(sw_sink_stop(sink), 0);
	assert_int_equal(probe.written, 1501);
	assert_true(probe.commits < 1501);
	assert_int_equal(probe.closed, 1);
	assert_false(probe.wrong);
	sw_trail_free(trail);
}

static void test_position(void **state)
{
	struct sw_trail *trail = sw_trail_new(64 * RING, 41);
	struct sw_fault fault;
	struct sw_sink *sink;

	(void)state;
	add(trail, 42, 10);
	probe = (struct probe){.lock = PTHREAD_MUTEX_INITIALIZER, .next = 45};
	sink = sw_sink_start(trail, &whole, &probe, 44, &fault);
	sw_trail_close(trail);
	assert_int_equal(sw_sink_stop(sink), 0);
	assert_int_equal(probe.written, 7);
	assert_false(probe.wrong);
	sw_trail_free(trail);
}

static void test_retry(void **state)
{
	struct sw_trail *trail = sw_trail_new(64 * RING, 0);
	struct sw_sink *sink = start(trail, &whole);
	struct sw_sink_state now;

	(void)state;
	set(&probe.fails, true);
	add(trail, 1, 100);
	await(sink, &now, 0, true);
	assert_string_equal(now.problem, "the disk is full");
	assert_true(now.retries > 0);
	assert_int_equal(now.written, 0);
	add(trail, 101, 100);
	set(&probe.fails, false);
	await(sink, &now, 200, false);
	assert_int_equal(now.written, 200);
	assert_int_equal(now.lost, 0);
	assert_string_equal(now.problem, "");
	sw_trail_close(trail);
	sw_sink_stop(sink);
	assert_int_equal(probe.written, 200);
	assert_false(probe.wrong);
	sw_trail_free(trail);
}

/* More comes than the trail holds while nothing can be written. */
static void test_lost(void **state)
{
	struct sw_trail *trail = sw_trail_new(RING, 0);
	struct sw_sink *sink = start(trail, &whole);
	struct sw_sink_state now;
	uint64_t first, next;

	(void)state;
	set(&probe.fails, true);
	add(trail, 1, 10);
	await(sink, &now, 0, true);
	add(trail, 11, 5000);
	sw_trail_bounds(trail, &first, &next);
	set(&probe.fails, false);
	await(sink, &now, 5010, false);
	assert_int_equal(now.lost, first - 1);
	assert_int_equal(now.written, next - first);
	sw_trail_close(trail);
	sw_sink_stop(sink);
	assert_int_equal(probe.lost, now.lost);
	assert_int_equal(probe.written, now.written);
	assert_false(probe.wrong);
	sw_trail_free(trail);
}

/* One that hands on each event as it comes goes on behind the last one, and none comes twice; events that
   it has handed on are not lost when the trail forgets them. */
static void test_reached(void **state)
{
	struct sw_trail *trail = sw_trail_new(RING, 0);
	struct sw_sink *sink = start(trail, &single);
	struct sw_sink_state now;
	uint64_t first, next;

	(void)state;
	pthread_mutex_lock(&probe.lock);
	probe.stops_at = 7;
	pthread_mutex_unlock(&probe.lock);
	add(trail, 1, 10);
	await(sink, &now, 6, true);
	assert_int_equal(now.written, 6);
	add(trail, 11, 5000);
	sw_trail_bounds(trail, &first, &next);
	pthread_mutex_lock(&probe.lock);
	probe.stops_at = 0;
	pthread_mutex_unlock(&probe.lock);
	await(sink, &now, 5010, false);
	assert_int_equal(now.lost, first - 7);
	assert_int_equal(now.written, 6 + next - first);
	assert_int_equal(probe.written, now.written);
	assert_int_equal(probe.lost, now.lost);
	sw_trail_close(trail);
	sw_sink_stop(sink);
	assert_false(probe.wrong);
	sw_trail_free(trail);
}

/* It ends although nothing can be written, and says how much that was. */
static void test_stop_failing(void **state)
{
	struct sw_trail *trail = sw_trail_new(64 * RING, 0);
	struct sw_sink *sink = start(trail, &whole);
	struct sw_sink_state now;

	(void)state;
	add(trail, 1, 5);
	await(sink, &now, 5, false);
	set(&probe.fails, true);
	add(trail, 6, 7);
	await(sink, &now, 5, true);
	sw_trail_close(trail);
	assert_int_equal(sw_sink_stop(sink), 7);
	assert_int_equal(probe.closed, 1);
	assert_int_equal(probe.written, 5);
	sw_trail_free(trail);
}

static void *feed(void *data)
{
	struct feeder *feeder = data;
	uint32_t next = 1;

	while (!__atomic_load_n(&feeder->stop, __ATOMIC_ACQUIRE)) {
		add(feeder->trail, next, 50);
		next += 50;
	}
	return (void *)(uintptr_t)(next - 1);
}

/* Files are opened anew also while batches come without a pause. */
static void test_reopen(void **state)
{
	struct feeder feeder = {.trail = sw_trail_new(16 * RING, 0)};
	struct sw_sink *sink = start(feeder.trail, &whole);
	struct timespec from, to;
	pthread_t thread;
	void *total;

	(void)state;
	sw_sink_reopen(sink);
	await_count(&probe.reopened, 1);
	probe.feeder = &feeder; /* the thread sees it behind the first event's lock */
	clock_gettime(CLOCK_MONOTONIC, &from);
	pthread_create(&thread, NULL, feed, &feeder);
	for (unsigned int i = 2; i < 20; i++) {
		sw_sink_reopen(sink);
		await_count(&probe.reopened, i);
	}
	await_count(&probe.ticked, 2);
	__atomic_store_n(&feeder.stop, true, __ATOMIC_RELEASE);
	pthread_join(thread, &total);
	sw_trail_close(feeder.trail);
	sw_sink_stop(sink);
	clock_gettime(CLOCK_MONOTONIC, &to);
	assert_int_equal(probe.written + probe.lost, (uintptr_t)total);
	assert_true(probe.ticked <= to.tv_sec - from.tv_sec + 2);
	assert_false(probe.wrong);
	sw_trail_free(feeder.trail);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_batches),      cmocka_unit_test(test_position),
		cmocka_unit_test(test_retry),        cmocka_unit_test(test_lost),
		cmocka_unit_test(test_reached),      cmocka_unit_test(test_reopen),
		cmocka_unit_test(test_stop_failing),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
