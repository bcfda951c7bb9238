/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The file of JSON lines: whole lines, whole batches, and that it finds its file again. */
#include <fcntl.h>
#include <jansson.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>

#include <cmocka.h>

#include "bpf/vocabulary.h"
#include "daemon/base.h"
#include "daemon/sink_json.h"

static const struct sw_sink_calls *const json = &sw_sink_json;

static char folder[64], path[96], old[96];

static int setup(void **state)
{
	(void)state;
	strcpy(folder, "/tmp/test_sink_json.XXXXXX");
	if (!mkdtemp(folder))
		return -1;
	snprintf(path, sizeof(path), "%s/events.json", folder);
	snprintf(old, sizeof(old), "%s/events.json.1", folder);
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	unlink(path);
	unlink(old);
	return rmdir(folder);
}

static void *open_sink(bool ecs)
{
	struct sw_options options = {.json_file = path, .json_ecs = ecs};
	struct sw_fault fault;
	void *sink;

	if (sw_sink_json_open(&options, &sink, &fault) < 0)
		fail_msg("%s", fault.text);
	assert_non_null(sink);
	return sink;
}

static void fails_to_open(const char *file, const char *why)
{
	struct sw_options options = {.json_file = file};
	struct sw_fault fault;
	void *sink;

	assert_int_equal(sw_sink_json_open(&options, &sink, &fault), -1);
	assert_null(sink);
	if (!strstr(fault.text, why))
		fail_msg("%s: '%s' does not say '%s'", file, fault.text, why);
}

static int batch(void *sink, uint64_t from, uint64_t n, struct sw_fault *fault)
{
	struct sw_record record;

	sw_record_init(&record);
	record.kind = SW_EVENT_CONNECT;
	record.verdict = SW_VERDICT_REJECT;
	record.family = 4;
	json->begin(sink);
	for (uint64_t id = from; id < from + n; id++) {
		record.id = id;
		json->put(sink, &record);
	}
	return json->commit(sink, fault);
}

static void write_batch(void *sink, uint64_t from, uint64_t n)
{
	struct sw_fault fault;

	if (batch(sink, from, n, &fault) < 0)
		fail_msg("%s", fault.text);
}

/* Each line is one object; their ids are `from` to `from + n - 1`. */
static void expect_ids(const char *file, uint64_t from, uint64_t n)
{
	sw_autofclose FILE *in = fopen(file, "r");
	char line[8192];
	uint64_t id = from;

	assert_non_null(in);
	for (; fgets(line, sizeof(line), in); id++) {
		json_t *object = json_loads(line, 0, NULL);

		assert_non_null(object);
		assert_non_null(strchr(line, '\n'));
		assert_int_equal(json_integer_value(json_object_get(object, "id")), id);
		json_decref(object);
	}
	assert_int_equal(id, from + n);
}

static void test_lines(void **state)
{
	mode_t before = umask(0077);
	void *sink = open_sink(false);
	struct stat st;

	(void)state;
	umask(before);
	write_batch(sink, 1, 3);
	write_batch(sink, 4, 1000);
	expect_ids(path, 1, 1003);
	assert_int_equal(stat(path, &st), 0);
	assert_int_equal(st.st_mode & 07777, 0640);
	json->close(sink);
	/* The next daemon goes on behind it. */
	sink = open_sink(false);
	write_batch(sink, 1004, 1);
	expect_ids(path, 1, 1004);
	json->close(sink);
}

static void test_formats(void **state)
{
	void *sink = open_sink(true);
	struct sw_fault fault;
	char line[8192];
	FILE *in;

	(void)state;
	write_batch(sink, 1, 1);
	json->begin(sink);
	json->lost(sink, 2, 40);
	assert_int_equal(json->commit(sink, &fault), 0);
	json->close(sink);
	sink = open_sink(false);
	json->begin(sink);
	json->lost(sink, 42, 7);
	assert_int_equal(json->commit(sink, &fault), 0);
	json->close(sink);
	in = fopen(path, "r");
	assert_non_null(fgets(line, sizeof(line), in));
	assert_non_null(strstr(line, "\"action\":\"connect-refused\""));
	assert_non_null(fgets(line, sizeof(line), in));
	assert_non_null(strstr(line, "pipeline_error"));
	assert_non_null(fgets(line, sizeof(line), in));
	assert_non_null(strstr(line, "\"lost\":7,\"first\":42"));
	assert_null(fgets(line, sizeof(line), in));
	fclose(in);
}

static void test_rotation(void **state)
{
	void *sink = open_sink(false);

	(void)state;
	write_batch(sink, 1, 10);
	/* By its name, at the next batch, at the next look, or when it is told. */
	assert_int_equal(rename(path, old), 0);
	write_batch(sink, 11, 5);
	expect_ids(old, 1, 10);
	expect_ids(path, 11, 5);
	assert_int_equal(rename(path, old), 0);
	json->tick(sink);
	assert_int_equal(access(path, F_OK), 0);
	assert_int_equal(rename(path, old), 0);
	json->reopen(sink);
	write_batch(sink, 16, 1);
	expect_ids(path, 16, 1);
	/* As logrotate does it with `create`: another file has the name. */
	assert_int_equal(rename(path, old), 0);
	close(open(path, O_CREAT | O_WRONLY, 0600));
	write_batch(sink, 17, 1);
	expect_ids(path, 17, 1);
	/* Deleted: what was in it is gone, what comes is not. */
	assert_int_equal(unlink(path), 0);
	write_batch(sink, 18, 3);
	expect_ids(path, 18, 3);
	/* As copytruncate does it: no hole in front. */
	assert_int_equal(truncate(path, 0), 0);
	write_batch(sink, 21, 4);
	expect_ids(path, 21, 4);
	json->close(sink);
}

static void test_half_line(void **state)
{
	sw_autofclose FILE *out = fopen(path, "w");
	char line[8192];
	void *sink;
	FILE *in;

	(void)state;
	fputs("{\"id\":1", out);
	fflush(out);
	sink = open_sink(false);
	write_batch(sink, 2, 1);
	json->close(sink);
	in = fopen(path, "r");
	assert_non_null(fgets(line, sizeof(line), in));
	assert_string_equal(line, "{\"id\":1\n");
	assert_non_null(fgets(line, sizeof(line), in));
	assert_non_null(strstr(line, "\"id\":2"));
	fclose(in);
}

/* A limit on the size of files stands for a disk that fills up in the middle of a batch. */
static void test_full(void **state)
{
	struct rlimit limit, before;
	struct sw_fault fault;
	void *sink = open_sink(false);
	struct stat st, now;

	(void)state;
	signal(SIGXFSZ, SIG_IGN);
	write_batch(sink, 1, 10);
	assert_int_equal(stat(path, &st), 0);
	assert_int_equal(getrlimit(RLIMIT_FSIZE, &before), 0);
	limit = before;
	limit.rlim_cur = (rlim_t)st.st_size + 1000;
	assert_int_equal(setrlimit(RLIMIT_FSIZE, &limit), 0);
	for (int i = 0; i < 3; i++) {
		assert_int_equal(batch(sink, 11, 50, &fault), -1);
		assert_non_null(strstr(fault.text, path));
		assert_int_equal(stat(path, &now), 0);
		assert_int_equal(now.st_size, st.st_size);
	}
	assert_int_equal(setrlimit(RLIMIT_FSIZE, &before), 0);
	write_batch(sink, 11, 50);
	expect_ids(path, 1, 60);
	json->close(sink);
}

static void test_refused(void **state)
{
	struct sw_options none = {};
	struct sw_fault fault;
	char name[128];
	void *sink = &none;

	(void)state;
	assert_int_equal(sw_sink_json_open(&none, &sink, &fault), 0);
	assert_null(sink);
	snprintf(name, sizeof(name), "%s/no/events.json", folder);
	fails_to_open(name, "make it");
	fails_to_open("/dev/null", "no regular file");
	fails_to_open(folder, "cannot open");
	assert_int_equal(symlink("/tmp/elsewhere", path), 0);
	fails_to_open(path, "symbolic link");
	assert_int_equal(unlink(path), 0);
	assert_int_equal(mkfifo(path, 0600), 0);
	fails_to_open(path, "no regular file");
	assert_int_equal(unlink(path), 0);
	if (geteuid() != 0)
		return;
	/* What the daemon could open now, with all its privileges, and later not. */
	close(open(path, O_CREAT | O_WRONLY, 0600));
	assert_int_equal(chown(path, 65534, 0), 0);
	fails_to_open(path, "belongs to user 65534");
	assert_int_equal(unlink(path), 0);
	assert_int_equal(chown(folder, 65534, 0), 0);
	fails_to_open(path, "belongs to user 65534");
}

#define test(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		test(test_lines),     test(test_formats), test(test_rotation),
		test(test_half_line), test(test_full),    test(test_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
