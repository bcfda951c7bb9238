/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Who may read a store: a member of its group who can write nothing, with and without a daemon. */
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <signal.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "daemon/audit/store_internal.h"
#include "tests/unit/store_world.h"

#define GROUP 12345
#define NOBODY 65534

static struct sw_store *open_for_group(struct store_world *world)
{
	struct sw_store_limits limits = {0};
	struct sw_store *store = NULL;
	char *note;

	if (sw_store_open(world->path, &limits, GROUP, &store, &note, world->error) < 0)
		fail_msg("%s", world->error);
	return store;
}

static void need_root(const struct store_world *world)
{
	if (geteuid() != 0) {
		print_message("# only root can become nobody\n");
		skip();
	}
	assert_int_equal(chown(world->folder, 0, GROUP), 0);
	assert_int_equal(chmod(world->folder, 0750), 0);
}

static int count(void *data, const struct sw_record *record)
{
	(void)record;
	++*(uint64_t *)data;
	return 0;
}

/* How many a reader counted: 0..1000, or how it was refused. */
enum { DENIED = 1001, FAILED, MISSING, NO_LOG };

/* Counts each time that it is asked, over the pipes, with one reader. */
static int serve(struct store_world *world, int asked, int told)
{
	struct sw_reader_store *reader = NULL;
	char byte;

	while (read(asked, &byte, 1) == 1 && byte != 'q') {
		uint64_t n = 0;
		int got = reader ? 0 : sw_store_read(world->path, &reader, world->error);

		if (got == 0 &&
		    sw_store_search(reader, &sw_search_all, count, &n, world->error) < 0)
			got = -1;
		if (got == -EACCES)
			n = DENIED;
		else if (got == -ENOENT)
			n = MISSING;
		else if (got < 0)
			n = strstr(world->error, "files of its log") ? NO_LOG : FAILED;
		if (write(told, &n, sizeof(n)) != sizeof(n))
			return 1;
	}
	return 0;
}

struct reader {
	int ask, told;
	pid_t pid;
};

/* A process of its own, as nobody: within one, SQLite's readers share what its writer may do. */
static void begin_reader(struct store_world *world, gid_t group, struct reader *reader)
{
	int ask[2], told[2];

	assert_int_equal(pipe2(ask, O_CLOEXEC), 0);
	assert_int_equal(pipe2(told, O_CLOEXEC), 0);
	reader->pid = fork();
	assert_true(reader->pid >= 0);
	if (reader->pid == 0) {
		close(ask[1]);
		close(told[0]);
		if (setgroups(0, NULL) < 0 || setgid(group) < 0 || setuid(NOBODY) < 0)
			_exit(1);
		_exit(serve(world, ask[0], told[1]));
	}
	close(ask[0]);
	close(told[1]);
	reader->ask = ask[1];
	reader->told = told[0];
}

static uint64_t ask(const struct reader *reader)
{
	uint64_t n = 0;

	assert_int_equal(write(reader->ask, "", 1), 1);
	assert_int_equal(read(reader->told, &n, sizeof(n)), sizeof(n));
	return n;
}

static void end_reader(struct reader *reader)
{
	int status;

	/* Another that was begun later has its end of the pipe as well. */
	assert_int_equal(write(reader->ask, "q", 1), 1);
	close(reader->ask);
	close(reader->told);
	assert_int_equal(waitpid(reader->pid, &status, 0), reader->pid);
	assert_int_equal(status, 0);
}

static uint64_t count_as_nobody(struct store_world *world, gid_t group)
{
	struct reader reader;
	uint64_t n;

	begin_reader(world, group, &reader);
	n = ask(&reader);
	end_reader(&reader);
	return n;
}

static void add_events(struct store_world *world, struct sw_store *store, uint64_t n)
{
	struct sw_record record;

	assert_int_equal(sw_store_begin(store, world->error), 0);
	for (uint64_t i = 0; i < n; i++) {
		store_record(&record, sw_store_last(store) + 1 + i, SPRING);
		record.kind = SW_EVENT_CONNECT;
		assert_int_equal(sw_store_add(store, &record, world->error), 0);
	}
	assert_int_equal(sw_store_commit(store, world->error), 0);
}

/* While a daemon has it open, with what is only in the log; and after it has closed it. */
static void test_daemon(void **state)
{
	struct store_world *world = *state;
	struct sw_store *store;

	need_root(world);
	assert_int_equal(count_as_nobody(world, GROUP), MISSING);
	store = open_for_group(world);
	assert_int_equal(count_as_nobody(world, GROUP), 0);
	add_events(world, store, 30);
	assert_int_equal(count_as_nobody(world, GROUP), 30);
	assert_int_equal(count_as_nobody(world, NOBODY), DENIED);
	add_events(world, store, 30);
	assert_int_equal(count_as_nobody(world, GROUP), 60);
	sw_store_close(store);
	assert_int_equal(count_as_nobody(world, GROUP), 60);
	/* One that was never there before, and is only opened. */
	store = open_for_group(world);
	assert_int_equal(count_as_nobody(world, GROUP), 60);
	sw_store_close(store);
	assert_int_equal(count_as_nobody(world, GROUP), 60);
}

/* A daemon that was killed leaves a log that nobody has emptied. */
static void test_killed(void **state)
{
	struct store_world *world = *state;
	struct stat is;
	int status;
	pid_t child;

	need_root(world);
	child = fork();
	assert_true(child >= 0);
	if (child == 0) {
		add_events(world, open_for_group(world), 70);
		kill(getpid(), SIGKILL);
	}
	assert_int_equal(waitpid(child, &status, 0), child);
	assert_true(WIFSIGNALED(status));
	assert_int_equal(stat(world->log, &is), 0);
	assert_true(is.st_size > 0);
	assert_int_equal(count_as_nobody(world, GROUP), 70);
	/* Root may read as well, and leaves it as it was for the others. */
	assert_int_equal(store_count(world, &sw_search_all), 70);
	assert_int_equal(count_as_nobody(world, GROUP), 70);
}

/* Readers that stay go on over the end of one daemon and the beginning of the next, also one that came
   when there was none. */
static void test_stays(void **state)
{
	struct store_world *world = *state;
	struct sw_store *store;
	struct reader early, between;

	need_root(world);
	begin_reader(world, GROUP, &early);
	begin_reader(world, GROUP, &between);
	store = open_for_group(world);
	add_events(world, store, 10);
	assert_int_equal(ask(&early), 10);
	sw_store_close(store);
	assert_int_equal(ask(&early), 10);
	assert_int_equal(ask(&between), 10);
	store = open_for_group(world);
	for (uint64_t i = 2; i < 50; i++) {
		add_events(world, store, 10);
		assert_int_equal(ask(&early), 10 * i);
		assert_int_equal(ask(&between), 10 * i);
	}
	sw_store_close(store);
	assert_int_equal(ask(&early), 490);
	assert_int_equal(ask(&between), 490);
	end_reader(&early);
	end_reader(&between);
}

/* What cannot be read says why. */
static void test_not_readable(void **state)
{
	struct store_world *world = *state;
	char shm[160];

	need_root(world);
	sw_store_close(open_for_group(world));
	snprintf(shm, sizeof(shm), "%s-shm", world->path);
	assert_int_equal(unlink(shm), 0);
	assert_int_equal(unlink(world->log), 0);
	assert_int_equal(count_as_nobody(world, GROUP), NO_LOG);
	/* The next daemon makes them. */
	sw_store_close(open_for_group(world));
	assert_int_equal(count_as_nobody(world, GROUP), 0);
	assert_int_equal(truncate(world->path, 0), 0);
	assert_int_equal(count_as_nobody(world, GROUP), FAILED);
}

int main(void)
{
#define TEST(test) cmocka_unit_test_setup_teardown(test, store_world_new, store_world_free)
	const struct CMUnitTest tests[] = {
		TEST(test_daemon),
		TEST(test_killed),
		TEST(test_stays),
		TEST(test_not_readable),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
