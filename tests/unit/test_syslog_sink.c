/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The whole sink: a store that is written to, its thread, and a collector that comes and goes. */
#include <arpa/inet.h>
#include <fcntl.h>
#include <poll.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>

#include <cmocka.h>

#include "bpf/vocabulary.h"
#include "daemon/audit/store.h"
#include "daemon/base.h"
#include "daemon/syslog.h"
#include "daemon/syslog_position.h"

#define RING (4 * SW_PACKED_MAX)
#define DAY 86400000000000u
#define MSEC 1000000

struct world {
	char folder[32], path[64], target[64];
	uint16_t port; /* network order; 0: not chosen yet */
	struct sw_store *store;
	struct sw_trail *trail;
	uint64_t last; /* id */
	struct sw_syslog *syslog;
	bool sessions;
	int listener, end;
	size_t used;
	char bytes[1 << 16];
};

static void open_store(struct world *world, uint64_t age_ns)
{
	const struct sw_store_limits limits = {.age_ns = age_ns};
	sw_autofree char *note = NULL;
	char error[SW_STORE_ERROR_SIZE];

	if (sw_store_open(world->path, &limits, (gid_t)-1, &world->store, &note, error) < 0)
		fail_msg("%s", error);
}

static int setup(void **state)
{
	struct world *world = calloc(1, sizeof(*world));

	assert_non_null(world);
	strcpy(world->folder, "/tmp/syslog-XXXXXX");
	assert_non_null(mkdtemp(world->folder));
	snprintf(world->path, sizeof(world->path), "%s/%s", world->folder, SW_STORE_NAME);
	world->listener = world->end = -1;
	open_store(world, 0);
	world->trail = sw_trail_new(RING, 0);
	assert_non_null(world->trail);
	*state = world;
	return 0;
}

static int teardown(void **state)
{
	struct world *world = *state;
	char command[64];

	sw_trail_close(world->trail);
	sw_syslog_stop(world->syslog);
	sw_trail_free(world->trail);
	sw_store_close(world->store);
	close(world->listener);
	close(world->end);
	snprintf(command, sizeof(command), "rm -r %s", world->folder);
	assert_int_equal(system(command), 0);
	free(world);
	return 0;
}

static void nap(void)
{
	const struct timespec time = {.tv_nsec = 5 * MSEC};

	nanosleep(&time, NULL);
}

/* ---- the store ---- */

static uint64_t now_ns(void)
{
	struct timespec now;

	clock_gettime(CLOCK_REALTIME, &now);
	return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

/* `n` records, the last of each three a session if `mixed`, as the daemon and its store do it. */
static void add(struct world *world, uint64_t n, bool mixed, uint64_t time_ns)
{
	char error[SW_STORE_ERROR_SIZE];

	assert_int_equal(sw_store_begin(world->store, error), 0);
	for (uint64_t i = 0; i < n; i++) {
		struct sw_record record;

		sw_record_init(&record);
		record.time_ns = time_ns;
		record.family = 4;
		record.kind = mixed && i % 3 == 2 ? SW_EVENT_SESSION : SW_EVENT_CONNECT;
		record.verdict = SW_VERDICT_REJECT;
		record.text[SW_TEXT_EXE] = "/usr/bin/php8.2";
		world->last = record.id = sw_trail_add(world->trail, &record);
		assert_int_equal(sw_store_add(world->store, &record, error), 0);
	}
	assert_int_equal(sw_store_commit(world->store, error), 0);
	sw_trail_wake(world->trail);
}

/* ---- the sink ---- */

static void start(struct world *world)
{
	struct sw_syslog_config config = {.target = world->target,
					  .store = world->path,
					  .state_dir = world->folder,
					  .sessions = world->sessions};
	struct sw_fault fault;

	if (sw_syslog_open(&config, &world->syslog, &fault) < 0 ||
	    sw_syslog_start(world->syslog, world->trail, world->last, &fault) < 0)
		fail_msg("%s", fault.text);
}

static struct sw_syslog_state state_of(struct world *world)
{
	struct sw_syslog_state now;

	sw_syslog_state(world->syslog, &now);
	return now;
}

/* The collector may have something before the thread has said so. */
static struct sw_syslog_state state_at(struct world *world, uint64_t id)
{
	while (state_of(world).sink.position < id)
		nap();
	return state_of(world);
}

static uint64_t position(struct world *world)
{
	sw_autoclose int folder = open(world->folder, O_RDONLY | O_DIRECTORY);
	struct sw_fault fault;
	uint64_t id = UINT64_MAX;

	assert_int_equal(sw_syslog_position_read(folder, &id, &fault), 1);
	return id;
}

/* ---- the collector ---- */

static void collector_begins(struct world *world)
{
	struct sockaddr_in address = {.sin_family = AF_INET,
				      .sin_addr.s_addr = htonl(INADDR_LOOPBACK),
				      .sin_port = world->port};
	socklen_t size = sizeof(address);
	int on = 1;

	world->listener = socket(AF_INET, SOCK_STREAM, 0);
	setsockopt(world->listener, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
	assert_int_equal(bind(world->listener, (void *)&address, size), 0);
	assert_int_equal(listen(world->listener, 8), 0);
	assert_int_equal(getsockname(world->listener, (void *)&address, &size), 0);
	world->port = address.sin_port;
	snprintf(world->target, sizeof(world->target), "tcp:127.0.0.1:%u", ntohs(world->port));
}

static void collector_dies(struct world *world)
{
	close(world->listener);
	close(world->end);
	world->listener = world->end = -1;
	world->used = 0;
}

/* The id of the message that begins at `at`; *next is behind it. 0: it is not whole yet. */
static uint64_t message_at(struct world *world, char *at, char **next)
{
	char *end = world->bytes + world->used, *text, *id;
	unsigned long length;

	*end = '\0';
	length = strtoul(at, &text, 10);
	if (*text != ' ' || (size_t)(end - text - 1) < length)
		return 0;
	*next = text + 1 + length;
	id = strstr(text, " id=\"");
	assert_true(id && id < *next);
	return strtoull(id + 5, NULL, 10);
}

/* Reads messages until the one with the id `last`; their ids are in `ids`. Returns how many. */
static size_t collect(struct world *world, uint64_t last, uint64_t *ids)
{
	uint64_t id = 0;
	size_t n = 0;

	if (world->end < 0)
		world->end = accept(world->listener, NULL, NULL);
	while (id != last) {
		char *at = world->bytes, *next;
		ssize_t got;

		while (id != last && (id = message_at(world, at, &next))) {
			ids[n++] = id;
			at = next;
		}
		world->used -= (size_t)(at - world->bytes);
		memmove(world->bytes, at, world->used);
		if (id == last)
			break;
		got = recv(world->end, world->bytes + world->used,
			   sizeof(world->bytes) - 1 - world->used, 0);
		assert_true(got > 0);
		world->used += (size_t)got;
	}
	return n;
}

static void expect(struct world *world, uint64_t first, uint64_t last)
{
	sw_autofree uint64_t *ids = calloc(last + 1, sizeof(*ids));
	size_t n = collect(world, last, ids);

	assert_int_equal(n, last - first + 1);
	for (size_t i = 0; i < n; i++)
		assert_int_equal(ids[i], first + i);
}

/* Stops while the collector reads to the end and closes, as collectors do. */
static void stop(struct world *world)
{
	pid_t child = fork();
	char scrap[4096];

	if (child == 0) {
		while (recv(world->end, scrap, sizeof(scrap), 0) > 0)
			;
		_exit(0);
	}
	close(world->end);
	world->end = -1;
	sw_syslog_stop(world->syslog);
	world->syslog = NULL;
}

/* ---- what is tested ---- */

static void test_in_order(void **state)
{
	struct world *world = *state;

	add(world, 10, false, now_ns());
	collector_begins(world);
	start(world); /* what was there before is not sent */
	add(world, 50, false, now_ns());
	expect(world, 11, 60);
	add(world, 3000, false, now_ns());
	expect(world, 61, 3060);
	assert_int_equal(state_at(world, 3060).sink.written, 3050);
	assert_int_equal(state_of(world).delivered, 10); /* it is too soon to be certain */
	stop(world);
	assert_int_equal(position(world), 3060);
	/* Nothing twice, and nothing left out. */
	add(world, 5, false, now_ns());
	start(world);
	expect(world, 3061, 3065);
	assert_int_equal(state_of(world).again, 0);
	stop(world);
}

static void test_dies(void **state)
{
	struct world *world = *state;
	struct sw_syslog_state now;

	collector_begins(world);
	start(world);
	add(world, 100, false, now_ns());
	expect(world, 1, 100);
	add(world, 100, false, now_ns());
	state_at(world, 200);
	/* With a hundred unread, and what was read perhaps not written. */
	collector_dies(world);
	while (state_of(world).connected)
		nap();
	now = state_of(world);
	assert_true(now.sink.failing);
	assert_non_null(strstr(now.sink.problem, world->target));
	add(world, 100, false, now_ns());
	collector_begins(world);
	expect(world, 1, 300);
	now = state_at(world, 300);
	assert_int_equal(now.again, 200);
	assert_int_equal(now.sink.written, 300);
	assert_false(now.sink.failing);
	stop(world);
	assert_int_equal(position(world), 300);
}

static void test_away(void **state)
{
	struct world *world = *state;

	collector_begins(world);
	collector_dies(world);
	start(world);
	add(world, 20000, false, now_ns());
	while (!state_of(world).sink.failing)
		nap();
	collector_begins(world);
	expect(world, 1, 20000);
	assert_int_equal(state_of(world).again, 0);
	assert_int_equal(state_of(world).sink.lost, 0);
	stop(world);
}

static void test_sessions(void **state)
{
	struct world *world = *state;
	sw_autofree uint64_t *ids = calloc(6001, sizeof(*ids));
	size_t n;

	collector_begins(world);
	start(world);
	add(world, 2999, true, now_ns());
	add(world, 1, false, now_ns());
	n = collect(world, 3000, ids);
	assert_int_equal(n, 3000 - 999);
	for (size_t i = 0; i < n - 1; i++)
		assert_true(ids[i] < ids[i + 1] && ids[i] % 3);
	stop(world);
	world->sessions = true;
	start(world);
	add(world, 3000, true, now_ns());
	expect(world, 3001, 6000);
	stop(world);
}

/* What retention removes before it could be sent is told. */
static void test_lost(void **state)
{
	struct world *world = *state;
	char error[SW_STORE_ERROR_SIZE];

	collector_begins(world);
	collector_dies(world);
	start(world);
	sw_syslog_stop(world->syslog);
	sw_store_close(world->store);
	open_store(world, 7 * DAY);
	add(world, 40, false, now_ns() - 8 * DAY);
	add(world, 60, false, now_ns());
	while (sw_store_tidy(world->store, now_ns(), error) > 0)
		;
	collector_begins(world);
	start(world);
	expect(world, 41, 100);
	assert_int_equal(state_at(world, 100).sink.lost, 40);
	assert_int_equal(state_of(world).sink.written, 60);
	stop(world);
}

static void test_position(void **state)
{
	struct world *world = *state;
	char path[64];
	FILE *file;

	add(world, 30, false, now_ns());
	collector_begins(world);
	collector_dies(world);
	snprintf(path, sizeof(path), "%s/%s", world->folder, SW_SYSLOG_POSITION);
	/* Beyond what there is: of a store that was there before this one. */
	file = fopen(path, "w");
	fputs("99999\n", file);
	fclose(file);
	start(world);
	sw_syslog_stop(world->syslog);
	assert_int_equal(position(world), 30);
	file = fopen(path, "w");
	fputs("what?\n", file);
	fclose(file);
	collector_begins(world);
	start(world);
	expect(world, 1, 30);
	stop(world);
	assert_int_equal(position(world), 30);
}

static void test_stop(void **state)
{
	struct world *world = *state;
	struct timespec before, after;

	collector_begins(world);
	start(world);
	add(world, 20000, false, now_ns());
	world->end = accept(world->listener, NULL, NULL);
	state_at(world, 1);
	clock_gettime(CLOCK_MONOTONIC, &before);
	sw_syslog_stop(world->syslog); /* nobody reads, nobody closes */
	world->syslog = NULL;
	clock_gettime(CLOCK_MONOTONIC, &after);
	assert_true(after.tv_sec - before.tv_sec < 10);
	assert_int_equal(position(world), 0);
}

static void test_refused(void **state)
{
	struct world *world = *state;
	struct sw_syslog_config config = {
		.target = "tls:192.0.2.1", .store = world->path, .state_dir = world->folder};
	struct sw_fault fault;

	config.tls.ca = "/nonexistent/ca";
	assert_int_equal(sw_syslog_open(&config, &world->syslog, &fault), -1);
	assert_non_null(strstr(fault.text, "/nonexistent/ca"));
	config.tls = (struct sw_syslog_tls_files){.key = world->path};
	assert_int_equal(sw_syslog_open(&config, &world->syslog, &fault), -1);
	assert_non_null(strstr(fault.text, "--syslog-cert"));
	config.tls = (struct sw_syslog_tls_files){.cert = world->path};
	assert_int_equal(sw_syslog_open(&config, &world->syslog, &fault), -1);
	assert_non_null(strstr(fault.text, world->path));
	config.target = "tcp:192.0.2.1";
	assert_int_equal(sw_syslog_open(&config, &world->syslog, &fault), -1);
	assert_non_null(strstr(fault.text, "tls:"));
	config.tls = (struct sw_syslog_tls_files){};
	config.state_dir = "/nonexistent";
	assert_int_equal(sw_syslog_open(&config, &world->syslog, &fault), -1);
	assert_non_null(strstr(fault.text, "/nonexistent"));
}

#define test(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		test(test_in_order), test(test_dies),     test(test_away), test(test_sessions),
		test(test_lost),     test(test_position), test(test_stop), test(test_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
