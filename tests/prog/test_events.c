/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Events, the limiter and the counters: whatever is left out, nothing is miscounted. */
#include <errno.h>
#include <pthread.h>
#include <string.h>
#include <unistd.h>

#include "daemon/base.h"
#include "tests/prog/fixture.h"

#define PER_SECOND 16
#define THREADS 2
#define TRIES 3000

static uint64_t eventful(void)
{
	return fx_counter(SW_COUNT_EVENTS) + fx_counter(SW_COUNT_SUPPRESSED) +
	       fx_counter(SW_COUNT_LOST);
}

static void refuse_all(void)
{
	fx_simple(25, SW_ACTION_REJECT, 0);
	fx_apply();
}

/* The rule asks about nothing, the event tells all of it. */
static void complete_identity(void **state)
{
	const struct sw_event *event;
	char exe[SW_NAME_MAX] = "", comm[SW_COMM_MAX + 1] = "";
	FILE *file sw_cleanup(sw_fclose_cleanup) = fopen("/proc/self/comm", "re");

	(void)state;
	assert_true(readlink("/proc/self/exe", exe, sizeof(exe) - 1) > 0);
	assert_non_null(file);
	assert_non_null(fgets(comm, sizeof(comm), file));
	comm[strcspn(comm, "\n")] = 0;
	fx_enter(0, "some.slice/some.service/below");
	refuse_all();
	assert_int_equal(fx_try("127.0.0.1", 25), -EACCES);
	event = fx_one_event();
	assert_string_equal(event->caller.exe, exe);
	assert_string_equal(event->caller.cgroup, "/some.slice/some.service/below");
	assert_string_equal(event->caller.comm, comm);
	assert_int_equal(event->caller.flags, 0);
	assert_true(event->caller.exe_inode && event->caller.cgroup_id);
	assert_int_equal(event->suppressed, 0);
}

static void bound_source(void **state)
{
	int fd sw_autoclose = fx_socket("127.0.0.1", SOCK_STREAM, 0);
	struct fx_addr from = fx_addr("127.0.0.7", 4025);
	const struct sw_event *event;
	uint8_t src[16];

	(void)state;
	refuse_all();
	assert_return_code(bind(fd, (struct sockaddr *)&from.storage, from.length), errno);
	assert_int_equal(fx_connect(fd, "127.0.0.1", 25), -EACCES);
	event = fx_one_event();
	fx_mapped("127.0.0.7", src);
	assert_memory_equal(event->src, src, 16);
	assert_int_equal(event->src_port, 4025);
}

/* One thread: no second holds more than it may, and an event says what went before it unsaid. */
static void limit_per_second(void **state)
{
	uint64_t second = 0, in_second = 0, suppressed = 0;
	size_t n;

	(void)state;
	refuse_all();
	for (int i = 0; i < TRIES; i++)
		assert_int_equal(fx_try("127.0.0.1", 25), -EACCES);
	n = fx_events();
	assert_true(n >= PER_SECOND);
	for (size_t i = 0; i < n; i++) {
		const struct sw_event *event = fx_event(i);

		in_second = event->time_ns / 1000000000 == second ? in_second + 1 : 1;
		second = event->time_ns / 1000000000;
		assert_true(in_second <= PER_SECOND);
		suppressed += event->suppressed;
	}
	assert_int_equal(fx_counter(SW_COUNT_EVENTS), n);
	assert_int_equal(eventful(), TRIES);
	assert_true(suppressed <= fx_counter(SW_COUNT_SUPPRESSED));
}

static void *flood(void *data)
{
	(void)data;
	for (int i = 0; i < TRIES; i++)
		if (fx_try("127.0.0.1", 25) != -EACCES)
			return "a connect was not refused";
	return NULL;
}

/* Sum over the events taken since fx_events() was called. */
static uint64_t told_suppressed(size_t n)
{
	uint64_t total = 0;

	for (size_t i = 0; i < n; i++)
		total += fx_event(i)->suppressed;
	return total;
}

/* Two threads at once: every decision is in exactly one count, and once an event comes again, the
   events have told all that was suppressed before it. */
static void exact_under_threads(void **state)
{
	uint64_t told, events, tries = THREADS * TRIES;
	pthread_t threads[THREADS];
	void *failed;
	size_t n;

	(void)state;
	refuse_all();
	for (int i = 0; i < THREADS; i++)
		assert_int_equal(pthread_create(&threads[i], NULL, flood, NULL), 0);
	for (int i = 0; i < THREADS; i++) {
		assert_int_equal(pthread_join(threads[i], &failed), 0);
		assert_null(failed);
	}
	events = n = fx_events();
	told = told_suppressed(n);
	assert_int_equal(fx_counter(SW_COUNT_REFUSED), tries);
	assert_int_equal(eventful(), tries);
	assert_true(fx_counter(SW_COUNT_SUPPRESSED) > 0);
	do {
		assert_int_equal(fx_try("127.0.0.1", 25), -EACCES);
		tries++;
		n = fx_events();
		told += told_suppressed(n);
	} while (!n);
	assert_int_equal(fx_counter(SW_COUNT_EVENTS), events + 1);
	assert_int_equal(told, fx_counter(SW_COUNT_SUPPRESSED));
	assert_int_equal(eventful(), tries);
}

/* Another caller has an account of its own. */
static void limit_per_caller(void **state)
{
	(void)state;
	refuse_all();
	for (int i = 0; i < 4 * PER_SECOND; i++)
		fx_try("127.0.0.1", 25);
	fx_events();
	assert_return_code(seteuid(4711), errno);
	assert_int_equal(fx_try("127.0.0.1", 25), -EACCES);
	assert_return_code(seteuid(0), errno);
	assert_int_equal(fx_one_event()->caller.uid, 4711);
}

/* Full ring buffer: the verdict stands, the loss is counted, and reporting goes on after. */
static void ring_buffer_full(void **state)
{
	uint64_t tries = 0;

	(void)state;
	refuse_all();
	for (uid_t uid = 1000; !fx_counter(SW_COUNT_LOST); uid++) {
		assert_return_code(seteuid(uid), errno);
		for (int i = 0; i < PER_SECOND; i++, tries++)
			assert_int_equal(fx_try("127.0.0.1", 25), -EACCES);
		assert_return_code(seteuid(0), errno);
	}
	assert_int_equal(fx_counter(SW_COUNT_REFUSED), tries);
	assert_int_equal(eventful(), tries);
	assert_int_equal(fx_events(), fx_counter(SW_COUNT_EVENTS));
	assert_return_code(seteuid(4712), errno);
	assert_int_equal(fx_try("127.0.0.1", 25), -EACCES);
	assert_return_code(seteuid(0), errno);
	assert_int_equal(fx_one_event()->caller.uid, 4712);
}

/* Plain permission makes no noise, but for the end of each connection. */
static void nothing_for_allow(void **state)
{
	(void)state;
	fx_simple(25, SW_ACTION_ALLOW, 0);
	fx_apply();
	for (int i = 0; i < 10; i++)
		assert_int_equal(fx_try("127.0.0.1", 25), 0);
	/* The kernel ends them when the other side has, which may be later. */
	assert_int_equal(fx_await_sessions(10), 0);
	assert_int_equal(fx_sessions(), 10);
	assert_int_equal(eventful(), 10);
	assert_int_equal(fx_counter(SW_COUNT_ALLOWED), 10);
	assert_int_equal(fx_hits(1, 0), 10);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(complete_identity, fx_reset),
		cmocka_unit_test_setup(bound_source, fx_reset),
		cmocka_unit_test_setup(limit_per_second, fx_reset),
		cmocka_unit_test_setup(exact_under_threads, fx_reset),
		cmocka_unit_test_setup(limit_per_caller, fx_reset),
		cmocka_unit_test_setup(ring_buffer_full, fx_reset),
		cmocka_unit_test_setup(nothing_for_allow, fx_reset),
	};

	if (!fx_usable())
		return 0;
	fx_up(NULL);
	fx_listen(25);
	return cmocka_run_group_tests_name("events", tests, NULL, fx_down);
}
