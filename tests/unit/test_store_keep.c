/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Size and age that a store is given, a log that is held, and a disk that is full. */
#include <fcntl.h>
#include <sched.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

#include "daemon/audit/store_internal.h"
#include "tests/unit/store_world.h"

#define MIB (1u << 20)
#define BATCH 700 /* as a sink has them under load */
#define LIMIT (8u * MIB)

static uint64_t bytes_of(const struct store_world *world)
{
	struct stat is;
	uint64_t bytes = 0;

	if (stat(world->path, &is) == 0)
		bytes += (uint64_t)is.st_size;
	if (stat(world->log, &is) == 0)
		bytes += (uint64_t)is.st_size;
	return bytes;
}

static void tidy_all(struct store_world *world, struct sw_store *store, uint64_t now_ns)
{
	int more;

	do {
		more = sw_store_tidy(store, now_ns, world->error);
		if (more < 0)
			fail_msg("%s", world->error);
	} while (more > 0);
}

/* The most that one batch can write: all that it has in a log, with pages of indices. */
static uint64_t one_batch(struct store_world *world, uint64_t n)
{
	struct sw_store *store = store_open(world, 0, 0);
	uint64_t before = bytes_of(world), after;

	assert_int_equal(store_fill(world, store, 1, n), 0);
	after = bytes_of(world);
	sw_store_close(store);
	unlink(world->path);
	unlink(world->log);
	return after - before;
}

/* Ids that are there are the newest, without holes; what refers to what is there. */
static void expect_newest(const struct store_world *world, uint64_t last)
{
	store_check(world);
	assert_int_equal(store_ask(world, "SELECT max(id) FROM (SELECT id FROM events UNION ALL "
					  "SELECT id FROM sessions)"),
			 last);
	assert_int_equal(store_ask(world, "SELECT max(id) - min(id) + 1 - count(*) FROM (SELECT id "
					  "FROM events UNION ALL SELECT id FROM sessions)"),
			 0);
	assert_int_equal(store_ask(world, "SELECT count(*) FROM (SELECT * FROM events UNION ALL "
					  "SELECT * FROM sessions) WHERE "
					  "caller NOT IN (SELECT id FROM callers) OR "
					  "rule NOT IN (SELECT id FROM rules) OR "
					  "dst NOT IN (SELECT id FROM addresses)"),
			 0);
	assert_int_equal(store_ask(world, "SELECT events = (SELECT count(*) FROM events) AND "
					  "sessions = (SELECT count(*) FROM sessions) FROM meta"),
			 1);
}

/* Far beyond the limit, it is never above it by more than a batch, and keeps most of what it may. */
static void test_limit(void **state)
{
	struct store_world *world = *state;
	uint64_t slack = one_batch(world, BATCH), most = 0, id = 1;
	struct sw_store *store = store_open(world, LIMIT, 0);
	struct sw_store_size size;

	for (; id < 120000; id += BATCH) {
		uint64_t bytes;

		assert_int_equal(store_fill(world, store, id, BATCH), 0);
		bytes = bytes_of(world);
		most = bytes > most ? bytes : most;
		if (id % 5 == 1)
			tidy_all(world, store, SPRING + id * SECOND);
		assert_true(bytes_of(world) <= LIMIT + slack);
	}
	print_message("# most: %llu KiB of %u, a batch has %llu\n", (unsigned long long)most / 1024,
		      LIMIT / 1024, (unsigned long long)slack / 1024);
	assert_true(most <= LIMIT + slack);
	sw_store_size(store, &size);
	assert_true(size.events + size.sessions > 30000);
	assert_int_equal(size.events + size.sessions + size.removed, id - 1);
	assert_int_equal(sw_store_last(store), id - 1);
	assert_true(size.oldest_ns > SPRING + 60000ull * SECOND);
	expect_newest(world, id - 1);
	sw_store_close(store);
	/* Opened with a smaller limit it becomes as small as that. */
	store = store_open(world, LIMIT / 2, 0);
	tidy_all(world, store, SPRING + id * SECOND);
	sw_store_close(store);
	assert_true(bytes_of(world) <= LIMIT / 2);
	expect_newest(world, id - 1);
}

/* Callers without end: what only old events refer to goes with them. */
static void test_orphans(void **state)
{
	struct store_world *world = *state;
	struct sw_store *store = store_open(world, LIMIT, 0);
	struct sw_record record;
	char comm[32];
	int64_t there;

	for (uint64_t id = 1; id < 100000;) {
		assert_int_equal(sw_store_begin(store, world->error), 0);
		for (int i = 0; i < BATCH; i++, id++) {
			store_record(&record, id, SPRING + id * SECOND);
			snprintf(comm, sizeof(comm), "comm%llu", (unsigned long long)id / 10);
			record.text[SW_TEXT_COMM] = comm;
			record.generation = id / 100;
			assert_int_equal(sw_store_add(store, &record, world->error), 0);
		}
		assert_int_equal(sw_store_commit(store, world->error), 0);
	}
	expect_newest(world, sw_store_last(store));
	/* One for ten ids that are there, and those that are kept for a while longer. */
	there = store_ask(world,
			  "SELECT count(*) FROM (SELECT id FROM events UNION ALL SELECT id FROM "
			  "sessions)");
	assert_true(there > 5000);
	assert_true(store_ask(world, "SELECT count(*) FROM (SELECT DISTINCT comm FROM callers)") <
		    there / 4 + 1024);
	assert_true(store_ask(world, "SELECT min(generation) FROM rules") > 300);
	sw_store_close(store);
}

static void test_age(void **state)
{
	struct store_world *world = *state;
	struct sw_store *store = store_open(world, 0, 3600ull * SECOND);
	uint64_t now = SPRING + 10000ull * SECOND;
	struct sw_store_size size;

	assert_int_equal(store_fill(world, store, 1, 10000), 0);
	assert_int_equal(sw_store_begin(store, world->error), 0);
	assert_int_equal(sw_store_gap(store, SW_GAP_QUEUE, 0, 3, SPRING, world->error), 0);
	assert_int_equal(sw_store_commit(store, world->error), 0);
	tidy_all(world, store, now);
	sw_store_size(store, &size);
	/* A second from one to the next: those from 6400 on are an hour old or less. */
	assert_int_equal(size.oldest_ns, now - 3600ull * SECOND);
	assert_int_equal(size.events + size.sessions, 3601);
	assert_int_equal(size.removed, 6399);
	assert_int_equal(store_ask(world, "SELECT count(*) FROM gaps"), 0);
	expect_newest(world, 10000);
	/* A clock that was set back does not keep them. */
	assert_int_equal(store_fill(world, store, 10001, 10), 0);
	tidy_all(world, store, now + 7200ull * SECOND);
	sw_store_size(store, &size);
	assert_int_equal(size.events + size.sessions, 0);
	assert_int_equal(store_ask(world, "SELECT count(*) FROM callers"), 0);
	assert_int_equal(sw_store_last(store), 10010);
	/* And it goes on from there. */
	assert_int_equal(store_fill(world, store, 10011, 100), 0);
	expect_newest(world, 10110);
	sw_store_close(store);
}

/* ---- a reader that holds the log ---- */

static sqlite3_stmt *hold(const struct store_world *world, sqlite3 **db)
{
	sqlite3_stmt *statement = NULL;

	assert_int_equal(sqlite3_open_v2(world->path, db, SQLITE_OPEN_READONLY, NULL), SQLITE_OK);
	assert_int_equal(sqlite3_prepare_v2(*db, "SELECT * FROM events", -1, &statement, NULL),
			 SQLITE_OK);
	assert_int_equal(sqlite3_step(statement), SQLITE_ROW);
	return statement;
}

static void test_held(void **state)
{
	struct store_world *world = *state;
	uint64_t slack = one_batch(world, BATCH), id = 1;
	struct sw_store *store = store_open(world, LIMIT, 0);
	sqlite3_stmt *statement;
	sqlite3 *db = NULL;

	assert_int_equal(store_fill(world, store, id, BATCH), 0);
	id += BATCH;
	statement = hold(world, &db);
	while (store_fill(world, store, id, BATCH) == 0) {
		id += BATCH;
		assert_true(bytes_of(world) <= LIMIT + slack);
		assert_true(sw_store_tidy(store, SPRING, world->error) >= 0);
		assert_true(id < 1000000);
	}
	assert_non_null(strstr(world->error, "a program that reads it holds its log"));
	assert_true(id > 10000); /* readers have a while */
	assert_int_equal(store_fill(world, store, id, BATCH), -1);
	assert_true(bytes_of(world) <= LIMIT + slack);
	assert_int_equal(sw_store_last(store), id - 1);
	/* It goes on. */
	sqlite3_finalize(statement);
	sqlite3_close(db);
	for (int i = 0; i < 50; i++, id += BATCH) {
		if (store_fill(world, store, id, BATCH) < 0)
			fail_msg("%s", world->error);
		assert_true(bytes_of(world) <= LIMIT + slack);
	}
	expect_newest(world, id - 1);
	sw_store_close(store);
}

/* Our own readers hold nothing while they hand a record on. */
static int write_meanwhile(void *data, const struct sw_record *record)
{
	static struct sw_store *store;
	struct store_world *world = data;

	(void)record;
	store = store_open(world, LIMIT, 0);
	for (uint64_t id = 2000; id < 60000; id += BATCH)
		assert_int_equal(store_fill(world, store, id, BATCH), 0);
	sw_store_close(store);
	return 1;
}

static void test_reader_holds_nothing(void **state)
{
	struct store_world *world = *state;
	struct sw_store *store = store_open(world, LIMIT, 0);
	struct sw_reader_store *reader = NULL;

	assert_int_equal(store_fill(world, store, 1, 1000), 0);
	sw_store_close(store);
	assert_int_equal(sw_store_read(world->path, &reader, world->error), 0);
	assert_int_equal(
		sw_store_search(reader, &sw_search_all, write_meanwhile, world, world->error), 1);
	sw_store_read_end(reader);
}

/* ---- a disk that is full ---- */

/* A file system of 4 MiB, which nobody else sees, in the place of the folder. */
static void mount_small(const struct store_world *world)
{
	if (geteuid() != 0 || unshare(CLONE_NEWNS) < 0 ||
	    mount("none", "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0 ||
	    mount("none", world->folder, "tmpfs", 0, "size=4m") < 0) {
		print_message("# no file system of its own can be mounted here\n");
		skip();
	}
}

static void fill_up(const char *path)
{
	char zeros[4096] = {0};
	sw_autoclose int fd = open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);

	assert_true(fd >= 0);
	while (write(fd, zeros, sizeof(zeros)) > 0)
		;
}

static void test_full(void **state)
{
	struct store_world *world = *state;
	char filler[128];

	snprintf(filler, sizeof(filler), "%s/filler", world->folder);
	mount_small(world);
	/* Full in the middle of a batch, at its end, and from its beginning, as chance will have it. */
	for (uint64_t n = 20; n < 2000; n += 400) {
		struct sw_store *store;
		uint64_t id = 1, to;

		fill_up(filler);
		assert_int_equal(truncate(filler, 3 * MIB / 2), 0);
		store = store_open(world, 0, 0);
		while (store_fill(world, store, id, n) == 0)
			id += n;
		if (!strstr(world->error, "the disk is full; recording goes on by itself") ||
		    !strstr(world->error, world->path))
			fail_msg("%s", world->error);
		/* The log may give something back; then that is gone, too. */
		for (fill_up(filler); store_fill(world, store, id, 100) == 0; fill_up(filler))
			id += 100;
		/* Readers see what was written. */
		assert_int_equal(store_ask(world, "SELECT last FROM meta"), id - 1);
		assert_int_equal(unlink(filler), 0);
		for (to = id + 1000; id < to; id += 50)
			if (store_fill(world, store, id, 50) < 0)
				fail_msg("%s", world->error);
		sw_store_close(store);
		expect_newest(world, id - 1);
		unlink(world->path);
		unlink(world->log);
	}
	umount(world->folder);
}

/* A store at its limit has room in the database for what is in its log: only the log needs the disk. */
static void test_full_at_limit(void **state)
{
	struct store_world *world = *state;
	struct sw_store *store;
	char filler[128];
	uint64_t id = 1;

	snprintf(filler, sizeof(filler), "%s/filler", world->folder);
	mount_small(world);
	store = store_open(world, 2 * MIB, 0);
	for (; id < 40000; id += 200)
		assert_int_equal(store_fill(world, store, id, 200), 0);
	fill_up(filler);
	for (int i = 0; i < 50; i++)
		if (store_fill(world, store, id, 20) == 0)
			id += 20;
	assert_int_equal(unlink(filler), 0);
	assert_int_equal(store_fill(world, store, id, 200), 0);
	sw_store_close(store);
	expect_newest(world, id + 199);
	umount(world->folder);
}

int main(void)
{
#define TEST(test) cmocka_unit_test_setup_teardown(test, store_world_new, store_world_free)
	const struct CMUnitTest tests[] = {
		TEST(test_limit),
		TEST(test_orphans),
		TEST(test_age),
		TEST(test_held),
		TEST(test_reader_holds_nothing),
		TEST(test_full),
		TEST(test_full_at_limit),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
