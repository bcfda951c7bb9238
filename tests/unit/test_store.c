/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The store's file: batches, the account, what it is opened from, and what is left after a kill. */
#include <fcntl.h>
#include <glob.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "daemon/audit/store_internal.h"
#include "tests/unit/store_schema_1.h"
#include "tests/unit/store_world.h"

#define KILLS 20

static void write_file(const char *path, const void *bytes, size_t n, off_t at)
{
	sw_autoclose int fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0640);

	assert_true(fd >= 0);
	assert_int_equal(pwrite(fd, bytes, n, at), n);
}

static void execute(const struct store_world *world, const char *sql)
{
	sqlite3 *db = NULL;
	char *message = NULL;

	if (sqlite3_open(world->path, &db) != SQLITE_OK ||
	    sqlite3_exec(db, sql, NULL, NULL, &message) != SQLITE_OK)
		fail_msg("%s", message ? message : sqlite3_errmsg(db));
	sqlite3_close(db);
}

static bool refused(struct store_world *world, const char *words)
{
	struct sw_store_limits limits = {0};
	struct sw_store *store = NULL;
	char *note = NULL;

	if (sw_store_open(world->path, &limits, (gid_t)-1, &store, &note, world->error) == 0)
		return false;
	assert_null(note);
	assert_non_null(strstr(world->error, world->path));
	if (!strstr(world->error, words))
		fail_msg("\"%s\" does not say \"%s\"", world->error, words);
	return true;
}

/* What a batch adds is there when it is committed, and not before. */
static void test_batches(void **state)
{
	struct store_world *world = *state;
	struct sw_store *store = store_open(world, 0, 0);
	struct sw_record record;

	assert_int_equal(sw_store_last(store), 0);
	assert_int_equal(store_fill(world, store, 1, 100), 0);
	assert_int_equal(sw_store_last(store), 100);
	/* A batch that is not committed leaves nothing, also of who and which rule. */
	assert_int_equal(sw_store_begin(store, world->error), 0);
	store_record(&record, 101, SPRING);
	record.text[SW_TEXT_COMM] = "only once";
	assert_int_equal(sw_store_add(store, &record, world->error), 0);
	assert_int_equal(sw_store_begin(store, world->error), 0);
	assert_int_equal(sw_store_add(store, &record, world->error), 0);
	/* The same id twice: the batch is lost, the store is not. */
	assert_int_equal(sw_store_add(store, &record, world->error), -1);
	assert_int_equal(sw_store_commit(store, world->error), -1);
	assert_int_equal(sw_store_last(store), 100);
	assert_int_equal(store_ask(world, "SELECT count(*) FROM callers WHERE comm = 'only once'"),
			 0);
	assert_int_equal(sw_store_begin(store, world->error), 0);
	assert_int_equal(sw_store_add(store, &record, world->error), 0);
	assert_int_equal(sw_store_commit(store, world->error), 0);
	assert_int_equal(store_ask(world, "SELECT count(*) FROM callers WHERE comm = 'only once'"),
			 1);
	sw_store_close(store);
	store_check(world);
	/* Opened again it goes on where it was. */
	store = store_open(world, 0, 0);
	assert_int_equal(sw_store_last(store), 101);
	sw_store_close(store);
}

static void test_size(void **state)
{
	struct store_world *world = *state;
	struct sw_search sessions = sw_search_all;
	struct sw_store *store = store_open(world, 0, 0);
	struct sw_store_size size;

	sessions.sessions = true;
	sw_store_size(store, &size);
	assert_int_equal(size.events + size.sessions + size.oldest_ns, 0);
	store_fill(world, store, 5, 300);
	sw_store_size(store, &size);
	assert_int_equal(size.events, store_count(world, &sw_search_all));
	assert_int_equal(size.sessions, store_count(world, &sessions));
	assert_int_equal(size.events + size.sessions, 300);
	assert_int_equal(size.oldest_ns, SPRING + 5ull * SECOND);
	assert_true(size.bytes > 30000);
	sw_store_close(store);
}

static void test_gaps(void **state)
{
	struct store_world *world = *state;
	struct sw_store *store = store_open(world, 0, 0);
	struct sw_reader_store *reader = NULL;
	uint64_t counts[SW_GAP_MAX];

	assert_int_equal(sw_store_begin(store, world->error), 0);
	assert_int_equal(sw_store_gap(store, SW_GAP_KILLED, 0, 7, SPRING, world->error), 0);
	assert_int_equal(sw_store_gap(store, SW_GAP_QUEUE, 10, 30, SPRING + 1, world->error), 0);
	assert_int_equal(sw_store_gap(store, SW_GAP_QUEUE, 50, 2, SPRING + 2, world->error), 0);
	assert_int_equal(sw_store_commit(store, world->error), 0);
	assert_int_equal(sw_store_last(store), 52);
	assert_int_equal(sw_store_read(world->path, &reader, world->error), 0);
	assert_int_equal(sw_store_gaps(reader, 0, 0, counts, world->error), 0);
	assert_int_equal(counts[SW_GAP_KILLED], 7);
	assert_int_equal(counts[SW_GAP_QUEUE], 32);
	assert_int_equal(sw_store_gaps(reader, SPRING + 1, SPRING + 2, counts, world->error), 0);
	assert_int_equal(counts[SW_GAP_KILLED], 0);
	assert_int_equal(counts[SW_GAP_QUEUE], 30);
	sw_store_read_end(reader);
	sw_store_close(store);
}

/* taken - accounted is what a daemon took and did not write. */
static void test_account(void **state)
{
	const uint64_t maps = 0xfedcba9876543210u;
	struct store_world *world = *state;
	struct sw_store *store = store_open(world, 0, 0);
	uint64_t taken = 40;

	/* Maps that the store has never seen: what was taken before it is not its business. */
	assert_int_equal(sw_store_account(store, maps, &taken, world->error), 0);
	assert_int_equal(taken, 40);
	store_fill(world, store, 1, 100);
	sw_store_close(store);
	/* 150 were taken when it was killed, 10 of them not written. */
	store = store_open(world, 0, 0);
	taken = 150;
	assert_int_equal(sw_store_account(store, maps, &taken, world->error), 0);
	assert_int_equal(taken, 140);
	assert_int_equal(sw_store_begin(store, world->error), 0);
	assert_int_equal(sw_store_gap(store, SW_GAP_KILLED, 100, 10, SPRING, world->error), 0);
	assert_int_equal(sw_store_commit(store, world->error), 0);
	taken = 150;
	assert_int_equal(sw_store_account(store, maps, &taken, world->error), 0);
	assert_int_equal(taken, 150);
	/* A batch that comes to nothing is not accounted. */
	assert_int_equal(sw_store_begin(store, world->error), 0);
	assert_int_equal(sw_store_gap(store, SW_GAP_QUEUE, 110, 10, SPRING, world->error), 0);
	sw_store_close(store);
	store = store_open(world, 0, 0);
	assert_int_equal(sw_store_account(store, maps, &taken, world->error), 0);
	assert_int_equal(taken, 150);
	/* New maps begin anew. */
	taken = 3;
	assert_int_equal(sw_store_account(store, maps + 1, &taken, world->error), 0);
	assert_int_equal(taken, 3);
	sw_store_close(store);
}

/* ---- what it is opened from ---- */

static void test_refused(void **state)
{
	struct store_world *world = *state;
	char other[128];

	snprintf(other, sizeof(other), "%s/other", world->folder);
	mkdir(world->path, 0750);
	assert_true(refused(world, "is a directory"));
	rmdir(world->path);
	write_file(other, "x", 1, 0);
	assert_int_equal(symlink(other, world->path), 0);
	assert_true(refused(world, "symbolic link"));
	unlink(world->path);
	assert_int_equal(mkfifo(world->path, 0600), 0);
	assert_true(refused(world, "is not a file"));
	unlink(world->path);
	execute(world, "CREATE TABLE mine (x); PRAGMA application_id = 5");
	assert_true(refused(world, "something else"));
	execute(world, "PRAGMA application_id = 0");
	assert_true(refused(world, "something else"));
	unlink(world->path);
	sw_store_close(store_open(world, 0, 0));
	execute(world, "PRAGMA user_version = 3");
	assert_true(refused(world, "newer smtpwalld"));
	if (geteuid() != 0)
		return;
	execute(world, "PRAGMA user_version = 2");
	assert_int_equal(chown(world->path, 65534, 0), 0);
	assert_true(refused(world, "another user"));
}

static void test_modes(void **state)
{
	static const char *const beside[] = {"", "-wal", "-shm"};
	struct store_world *world = *state;
	struct sw_store_limits limits = {0};
	struct sw_store *store = NULL;
	char *note = NULL, path[160];
	struct stat is;
	mode_t mask = umask(077);

	if (geteuid() != 0)
		skip();
	assert_int_equal(sw_store_open(world->path, &limits, 12345, &store, &note, world->error),
			 0);
	umask(mask);
	store_fill(world, store, 1, 10);
	for (size_t i = 0; i < sw_count(beside); i++) {
		snprintf(path, sizeof(path), "%s%s", world->path, beside[i]);
		assert_int_equal(stat(path, &is), 0);
		assert_int_equal(is.st_mode & 07777, 0640);
		assert_int_equal(is.st_uid, 0);
		assert_int_equal(is.st_gid, 12345);
	}
	sw_store_close(store);
}

/* Opens what is damaged: a new one is begun, and the old one lies beside it. */
static void expect_aside(struct store_world *world)
{
	struct sw_store_limits limits = {0};
	struct sw_store *store = NULL;
	sw_autofree char *note = NULL;
	char pattern[160];
	glob_t found;

	if (sw_store_open(world->path, &limits, (gid_t)-1, &store, &note, world->error) < 0)
		fail_msg("%s", world->error);
	assert_non_null(note);
	assert_non_null(strstr(note, "was damaged"));
	assert_int_equal(sw_store_last(store), 0);
	assert_int_equal(store_fill(world, store, 1, 10), 0);
	sw_store_close(store);
	store_check(world);
	snprintf(pattern, sizeof(pattern), "%s.damaged-*[0-9]", world->path);
	assert_int_equal(glob(pattern, 0, NULL, &found), 0);
	assert_int_equal(found.gl_pathc, 1);
	assert_non_null(strstr(note, found.gl_pathv[0]));
	unlink(found.gl_pathv[0]);
	globfree(&found);
}

static void test_damaged(void **state)
{
	struct store_world *world = *state;
	struct sw_store *store = store_open(world, 0, 0);
	char garbage[8192];

	memset(garbage, 0xa5, sizeof(garbage));
	store_fill(world, store, 1, 3000);
	sw_store_close(store);
	assert_int_equal(truncate(world->path, 100000), 0);
	expect_aside(world);
	write_file(world->path, garbage, sizeof(garbage), 0);
	expect_aside(world);
	write_file(world->path, garbage, 100, 100); /* within the schema's page */
	expect_aside(world);
	unlink(world->path);
	write_file(world->path, "no database at all\n", 19, 0);
	expect_aside(world);
	/* An empty file, as an open that was killed at once leaves, is begun. */
	unlink(world->path);
	unlink(world->log);
	write_file(world->path, "", 0, 0);
	sw_store_close(store_open(world, 0, 0));
}

/* Damage that shows while it is written: the batch fails, and the next one begins a new file. */
static void test_damaged_later(void **state)
{
	const uint64_t maps = 5;
	struct store_world *world = *state;
	struct sw_store *store = store_open(world, 0, 0);
	uint64_t taken = 0, id = 20001;
	char garbage[4096];
	struct stat is;

	memset(garbage, 0xa5, sizeof(garbage));
	assert_int_equal(sw_store_account(store, maps, &taken, world->error), 0);
	for (uint64_t first = 1; first < 20000; first += 2000)
		assert_int_equal(store_fill(world, store, first, 2000), 0);
	sw_store_close(store);
	store = store_open(world, 0, 0);
	assert_int_equal(stat(world->path, &is), 0);
	for (off_t at = (off_t)30 * 4096; at < is.st_size; at += 4096)
		write_file(world->path, garbage, sizeof(garbage), at);
	while (store_fill(world, store, id, 100) == 0)
		id += 100;
	assert_non_null(strstr(world->error, "is damaged; it will be put aside"));
	assert_int_equal(store_fill(world, store, id, 100), 0);
	assert_int_equal(sw_store_last(store), id + 99);
	sw_store_close(store);
	store_check(world);
	/* The account goes on: those of the old file are not told as missing. */
	store = store_open(world, 0, 0);
	assert_int_equal(sw_store_account(store, maps, &taken, world->error), 0);
	assert_int_equal(taken, id + 99);
	sw_store_close(store);
}

/* ---- an older file ---- */

static void expect_all(struct store_world *world, uint64_t n)
{
	struct sw_search sessions = sw_search_all;

	sessions.sessions = true;
	store_check(world);
	assert_int_equal(store_ask(world, "PRAGMA user_version"), SW_STORE_SCHEMA);
	assert_int_equal(store_count(world, &sw_search_all) + store_count(world, &sessions), n);
}

static int is_as_written(void *data, const struct sw_record *record)
{
	assert_int_equal(record->id, ++*(uint64_t *)data * 4);
	assert_int_equal(record->time_ns, SPRING + record->id * SECOND);
	assert_int_equal(record->pid, record->id);
	assert_int_equal(record->tls_version, 0x0303);
	assert_int_equal(record->cipher, 0);
	assert_int_equal(record->sent, record->id);
	assert_int_equal(record->line, 3);
	assert_string_equal(record->text[SW_TEXT_EXE], "/usr/bin/php8.2");
	return 0;
}

static void test_migrate(void **state)
{
	struct store_world *world = *state;
	struct sw_search search = sw_search_all;
	struct sw_reader_store *reader = NULL;
	uint64_t counts[SW_GAP_MAX], seen = 0;
	struct sw_store *store;

	execute(world, schema_1);
	assert_int_equal(sw_store_read(world->path, &reader, world->error), -1);
	assert_non_null(strstr(world->error, "older smtpwalld"));
	store = store_open(world, 0, 0);
	assert_int_equal(sw_store_last(store), SCHEMA_1_ROWS);
	expect_all(world, SCHEMA_1_ROWS);
	search.sessions = true;
	search.user = "www-data";
	assert_int_equal(sw_store_read(world->path, &reader, world->error), 0);
	assert_int_equal(sw_store_search(reader, &search, is_as_written, &seen, world->error), 0);
	assert_int_equal(seen, SCHEMA_1_ROWS / 4);
	assert_int_equal(sw_store_gaps(reader, 0, 0, counts, world->error), 0);
	sw_store_read_end(reader);
	assert_int_equal(store_fill(world, store, SCHEMA_1_ROWS + 1, 1000), 0);
	expect_all(world, SCHEMA_1_ROWS + 1000);
	sw_store_close(store);
}

/* ---- killed ---- */

/* Writes until it is killed; each commit is told through the pipe first, so that the file may have one
   batch more than was told, but no less. */
static void write_on(struct store_world *world, int told)
{
	struct sw_store *store = store_open(world, 2 << 20, 0);
	uint64_t next = sw_store_last(store) + 1;

	for (;;) {
		if (store_fill(world, store, next, 50) < 0)
			_exit(1);
		next += 50;
		if (write(told, &next, sizeof(next)) < 0)
			_exit(1);
	}
}

static uint64_t kill_one(struct store_world *world, uint64_t commits)
{
	uint64_t next = 0;
	int told[2], status;
	pid_t child;

	assert_int_equal(pipe2(told, O_CLOEXEC), 0);
	child = fork();
	assert_true(child >= 0);
	if (child == 0)
		write_on(world, told[1]);
	close(told[1]);
	for (uint64_t i = 0; i < commits; i++)
		assert_int_equal(read(told[0], &next, sizeof(next)), sizeof(next));
	usleep((useconds_t)store_random(3000)); /* anywhere within a batch */
	kill(child, SIGKILL);
	assert_int_equal(waitpid(child, &status, 0), child);
	assert_true(WIFSIGNALED(status));
	while (read(told[0], &commits, sizeof(commits)) == sizeof(commits))
		next = commits;
	close(told[0]);
	return next - 1;
}

static void test_killed(void **state)
{
	struct store_world *world = *state;

	for (int i = 0; i < KILLS; i++) {
		uint64_t told = kill_one(world, 1 + store_random(40)), last;
		struct sw_store *store;

		/* Readers see it whole before any daemon has touched it again. */
		store_check(world);
		store = store_open(world, 2 << 20, 0);
		last = sw_store_last(store);
		assert_true(last == told || last == told + 50);
		assert_int_equal(store_ask(world, "SELECT max(id) - min(id) + 1 - count(*) FROM "
						  "(SELECT id FROM events UNION ALL "
						  "SELECT id FROM sessions)"),
				 0);
		assert_int_equal(store_ask(world,
					   "SELECT max(id) FROM (SELECT id FROM events UNION "
					   "ALL SELECT id FROM sessions)"),
				 last);
		assert_int_equal(store_ask(world,
					   "SELECT events = (SELECT count(*) FROM events) AND "
					   "sessions = (SELECT count(*) FROM sessions) FROM meta"),
				 1);
		sw_store_close(store);
	}
}

/* In the middle of a migration: the file is as it was, or as it is to be. */
static void test_killed_migrating(void **state)
{
	struct store_world *world = *state;
	int old = 0;

	for (int i = 0; i < 8; i++) {
		int status;
		pid_t child;

		unlink(world->path);
		unlink(world->log);
		execute(world, schema_1);
		child = fork();
		assert_true(child >= 0);
		if (child == 0) {
			sw_store_close(store_open(world, 0, 0));
			_exit(0);
		}
		usleep((useconds_t)(i * 1500));
		kill(child, SIGKILL);
		assert_int_equal(waitpid(child, &status, 0), child);
		store_check(world);
		old += store_ask(world, "PRAGMA user_version") == 1;
		sw_store_close(store_open(world, 0, 0));
		expect_all(world, SCHEMA_1_ROWS);
	}
	assert_true(old > 0);
}

int main(void)
{
#define TEST(test) cmocka_unit_test_setup_teardown(test, store_world_new, store_world_free)
	const struct CMUnitTest tests[] = {
		TEST(test_batches),
		TEST(test_size),
		TEST(test_gaps),
		TEST(test_account),
		TEST(test_refused),
		TEST(test_modes),
		TEST(test_damaged),
		TEST(test_damaged_later),
		TEST(test_migrate),
		TEST(test_killed),
		TEST(test_killed_migrating),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
