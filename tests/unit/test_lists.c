/* SPDX-License-Identifier: GPL-2.0-or-later */
/* List files, the sum over a policy and its lists, reading a policy, and the real machine. */
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "daemon/policy/prefix.h"
#include "tests/unit/policy_world.h"

static const char one_list[] = "mode enforce\nnet a = file \"a.list\"\n"
			       "host { port 25 { allow to a\nreject } }\n";

struct checked {
	struct sw_diags *diags;
	struct sw_policy_ast *policy;
	int result;
};

static struct checked check(const char *text, const struct sw_world *world)
{
	struct checked checked = {.diags = sw_diags_new()};

	checked.policy = sw_policy_parse("p", text, strlen(text), checked.diags);
	checked.result = sw_policy_check(checked.policy, world, checked.diags);
	return checked;
}

static struct checked check_list(const char *text, size_t length)
{
	const struct fake_file files[] = {{"a.list", text, length}, {NULL, NULL, 0}};
	struct sw_world world = fake_world(files);

	return check(one_list, &world);
}

static void checked_free(struct checked *checked)
{
	sw_policy_free(checked->policy);
	sw_diags_free(checked->diags);
}

static void test_forms(void **state)
{
	static const char text[] = "\xef\xbb\xbf# list\r\n"
				   "192.0.2.0/24\r\n"
				   "\t 2001:db8::/32\t# one\n"
				   "10.0.0.0/8#close\n"
				   "\n"
				   "   \n"
				   "192.0.2.0/24\n"
				   "203.0.113.7";
	sw_cleanup(checked_free) struct checked checked = check_list(text, strlen(text));
	const struct sw_net *net = checked.policy->nets;

	(void)state;
	assert_int_equal(checked.result, 0);
	assert_int_equal(net->n_prefixes, 4);
	assert_int_equal(net->prefixes[0].addr[12], 10);
	assert_int_equal(net->prefixes[3].addr[0], 0x20);
}

static void test_wrong_lines(void **state)
{
	struct sw_world world = fake_world(NULL);
	sw_cleanup(checked_free) struct checked checked =
		check("mode enforce\nnet a = file \"wrong.list\"\n"
		      "host { port 25 { allow to a\nreject } }\n",
		      &world);
	sw_autofree char *said = fake_said(checked.diags);

	(void)state;
	assert_int_equal(checked.result, -EINVAL);
	assert_string_equal(
		said, "wrong.list:2:2: error: bits are set behind the prefix; the network is "
		      "192.0.2.0/24\n"
		      "            192.0.2.1/24 # inside\n"
		      "            ^~~~~~~~~~~~\n"
		      "wrong.list:3:13: error: one prefix a line; a comment begins with \"#\"\n"
		      "     10.0.0.0/8 10.0.0.0/9\n"
		      "                ^~~~~~~~~~\n"
		      "wrong.list:4:1: error: the length of an IPv6 prefix is 0 to 128\n"
		      "    fe80::/129\n"
		      "    ^~~~~~~~~~\n");
}

static void test_many_wrong_lines(void **state)
{
	char text[50 * 2 + 1];
	sw_autofree char *said = NULL;

	(void)state;
	for (size_t i = 0; i < 50; i++)
		memcpy(text + 2 * i, "x\n", 3);
	sw_cleanup(checked_free) struct checked checked = check_list(text, strlen(text));

	assert_int_equal(sw_diags_errors(checked.diags), 21);
	said = fake_said(checked.diags);
	assert_non_null(strstr(said, "a.list:20:1: error"));
	assert_null(strstr(said, "a.list:21:1: error"));
	assert_non_null(strstr(said, "a.list: error: 30 more wrong lines are not shown\n"));
}

static void test_odd_bytes(void **state)
{
	static const char nul[] = "10.0.0.0/8\n# \0\n", odd[] = "10.0.0.0/8\n\x1b\xff\n";
	sw_cleanup(checked_free) struct checked with_nul = check_list(nul, sizeof(nul) - 1);
	sw_cleanup(checked_free) struct checked with_odd = check_list(odd, sizeof(odd) - 1);
	sw_autofree char *first = fake_said(with_nul.diags), *second = fake_said(with_odd.diags);

	(void)state;
	assert_memory_equal(first, "a.list:2:3: error: a NUL byte: this is no text\n", 47);
	assert_non_null(strstr(second, "\n    \\x1b\\xff\n    ^"));
}

/* Two families, each line another prefix, in no order; some twice. */
static char *make_list(size_t n, size_t doubles, size_t *length)
{
	char *text = NULL;
	FILE *to = open_memstream(&text, length);

	assert_non_null(to);
	for (size_t i = 0; i < n + doubles; i++) {
		/* an odd factor makes each number below 2^20 another one */
		size_t number = (i % n) * 611953 & 0xfffff;

		if (number % 8 == 0)
			fprintf(to, "2001:db8:%zx:%zx::/64\n", number >> 16, number & 0xffff);
		else
			fprintf(to, "10.%zu.%zu.0/28\n", number >> 8 & 0xff, number & 0xff);
		if (number % 8 && number >> 16)
			fprintf(to, "%zu.%zu.%zu.%zu\n", 11 + (number >> 16), number >> 8 & 0xff,
				number & 0xff, number % 251);
	}
	fclose(to);
	return text;
}

struct seen {
	size_t calls, done, total;
};

static struct seen seen;

static void watch(void *data, const char *what, size_t done, size_t total)
{
	(void)data;
	assert_string_equal(what, "a.list");
	assert_true(done >= seen.done && done <= total);
	seen = (struct seen){.calls = seen.calls + 1, .done = done, .total = total};
}

static void test_million(void **state)
{
	size_t length = 0;
	sw_autofree char *text = make_list(1u << 20, 1000, &length);
	const struct fake_file files[] = {{"a.list", text, length}, {NULL, NULL, 0}};
	struct sw_world world = fake_world(files);

	(void)state;
	world.progress = watch;
	sw_cleanup(checked_free) struct checked checked = check(one_list, &world);
	const struct sw_net *net = checked.policy->nets;

	assert_int_equal(checked.result, 0);
	assert_in_range(net->n_prefixes, 900000, 1u << 20);
	for (size_t i = 1; i < net->n_prefixes; i++)
		assert_true(memcmp(&net->prefixes[i - 1], &net->prefixes[i], 17) < 0);
	assert_true(seen.calls > 10);
	assert_int_equal(seen.done, length);
	assert_int_equal(seen.total, length);
}

/* `n` different addresses, from `first` on. */
static char *make_addresses(size_t first, size_t n, size_t *length)
{
	char *text = NULL;
	FILE *to = open_memstream(&text, length);

	assert_non_null(to);
	for (size_t i = first; i < first + n; i++)
		fprintf(to, "10.%zu.%zu.%zu\n", i >> 16, i >> 8 & 0xff, i & 0xff);
	fclose(to);
	return text;
}

/* Just as many as fit, three times over: doubles do not count. One more: too many. */
static void test_most_prefixes(void **state)
{
	const size_t most = SW_LIST_PREFIXES_MAX;
	size_t length_full = 0, length_more = 0;
	sw_autofree char *full = make_addresses(0, most, &length_full);
	sw_autofree char *more = make_addresses(most - 5, 6, &length_more);
	const struct fake_file files[] = {
		{"full", full, length_full}, {"more", more, length_more}, {NULL, NULL, 0}};
	static const struct {
		const char *nets, *says;
	} cases[] = {
		{"net a = { file \"full\", file \"full\", file \"full\" }\n", ""},
		{"net a = { file \"full\", file \"more\" }\n", "p:2:5: error: more than 1048576"},
		{"net a = { file \"full\" }\nnet b = { file \"more\" }\n",
		 "p:2:5: error: more than 1048576"},
		{"net a = { file \"full\" }\nnet b = { a }\nnet c = { b, a }\n", ""},
		{"net a = { file \"full\" }\nnet b = a\nnet c = b\nnet d = c\nnet e = d\n",
		 "p:6:5: error: more than 1048576"},
	};
	struct sw_world world = fake_world(files);

	(void)state;
	for (size_t i = 0; i < sw_count(cases); i++) {
		char text[600];

		snprintf(text, sizeof(text), "mode audit\n%s", cases[i].nets);
		sw_cleanup(checked_free) struct checked checked = check(text, &world);
		sw_autofree char *said = fake_said(checked.diags);

		if (*cases[i].says && checked.result == 0)
			fail_msg("%s passes", cases[i].nets);
		if (*cases[i].says)
			assert_memory_equal(said, cases[i].says, strlen(cases[i].says));
		else
			assert_int_equal(checked.result, 0);
	}
}

static void sum_of(const char *policy, const char *a, const char *b, uint8_t sum[static 32])
{
	const struct fake_file files[] = {{"a", a, 0}, {"b", b, 0}, {NULL, NULL, 0}};
	struct sw_world world = fake_world(files);
	sw_cleanup(checked_free) struct checked checked = check(policy, &world);

	assert_int_equal(checked.result, 0);
	memcpy(sum, checked.policy->sha256, 32);
}

static void test_sum(void **state)
{
	/* printf 'mode audit\n' | sha256sum */
	static const uint8_t known[32] = {0x09, 0x68, 0xaf, 0x9e, 0xdc, 0xac, 0xd9, 0x82,
					  0x92, 0x79, 0x80, 0xaa, 0x4b, 0x51, 0xae, 0x70,
					  0x92, 0xe3, 0xa7, 0xeb, 0xd1, 0x69, 0x19, 0x53,
					  0xa2, 0x80, 0x21, 0x00, 0x0a, 0x8f, 0x98, 0x62};
	static const char two[] = "mode audit\nnet a = { file \"a\", file \"b\" }\n";
	uint8_t first[32], second[32];

	(void)state;
	sum_of("mode audit\n", "", "", first);
	assert_memory_equal(first, known, 32);
	sum_of(two, "10.0.0.1\n10.0.0.2\n", "10.0.0.3\n", first);
	sum_of(two, "10.0.0.1\n10.0.0.2\n", "10.0.0.3\n", second);
	assert_memory_equal(first, second, 32);
	/* the same lines, one of them in the other file */
	sum_of(two, "10.0.0.1\n", "10.0.0.2\n10.0.0.3\n", second);
	assert_memory_not_equal(first, second, 32);
	sum_of(two, "10.0.0.1\n10.0.0.2\n", "10.0.0.4\n", second);
	assert_memory_not_equal(first, second, 32);
}

static int other_user(void *data, const char *name, uint32_t *id)
{
	int found = fake_user(data, name, id);

	*id += 1000;
	return found;
}

/* A user that was made again under another number: the text alone does not show it. */
static void test_sum_of_ids(void **state)
{
	static const char text[] = "mode audit\nwho a = user mail\n";
	const struct fake_file none[] = {{NULL, NULL, 0}};
	struct sw_world world = fake_world(none);
	sw_cleanup(checked_free) struct checked first = check(text, &world);

	(void)state;
	assert_int_equal(first.result, 0);
	world.user = other_user;
	sw_cleanup(checked_free) struct checked second = check(text, &world);

	assert_int_equal(second.result, 0);
	assert_memory_not_equal(first.policy->sha256, second.policy->sha256, 32);
}

/* ---- reading ---- */

struct folder {
	char path[64];
	int fd;
};

static int setup(void **state)
{
	static struct folder folder;

	snprintf(folder.path, sizeof(folder.path), "/tmp/smtpwall-lists-%d-XXXXXX", (int)getpid());
	assert_non_null(mkdtemp(folder.path));
	folder.fd = open(folder.path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	assert_true(folder.fd >= 0);
	*state = &folder;
	return 0;
}

static int teardown(void **state)
{
	static const char *const names[] = {"file", "fifo", "link", "open/run", "run"};
	struct folder *folder = *state;

	for (size_t i = 0; i < sw_count(names); i++)
		unlinkat(folder->fd, names[i], 0);
	unlinkat(folder->fd, "open", AT_REMOVEDIR);
	close(folder->fd);
	return rmdir(folder->path);
}

static void put(const struct folder *folder, const char *name, const void *bytes, size_t length)
{
	sw_autoclose int fd =
		openat(folder->fd, name, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);

	assert_true(fd >= 0);
	assert_int_equal(write(fd, bytes, length), length);
}

/* Reads and compares what is said; NULL: nothing, and the text is `text`. */
static void expect_read(const struct folder *folder, const char *name, const char *says,
			const char *text)
{
	sw_autoclose int fd = openat(folder->fd, name, O_RDONLY | O_NONBLOCK | O_CLOEXEC);
	struct sw_diags *diags = sw_diags_new();
	size_t length = 0;
	sw_autofree char *got = sw_policy_read(fd, "p", diags, &length);
	sw_autofree char *said = fake_said(diags);

	assert_string_equal(said, says ? says : "");
	if (says) {
		assert_null(got);
	} else {
		assert_string_equal(got, text);
		assert_int_equal(length, strlen(text));
	}
	sw_diags_free(diags);
}

static void test_read(void **state)
{
	const struct folder *folder = *state;

	put(folder, "file", "mode audit\r\n", 12);
	expect_read(folder, "file", NULL, "mode audit\r\n");
	put(folder, "file", "", 0);
	expect_read(folder, "file", NULL, "");
	put(folder, "file", "a\nb\0c", 5);
	expect_read(folder, "file",
		    "p:2:2: error: a NUL byte: this is no text\n    b\\x00c\n     ^~~~\n", NULL);
	put(folder, "file", "\xc3\xa4\xfe", 3);
	expect_read(folder, "file",
		    "p:1:2: error: this byte is not UTF-8\n    \xc3\xa4\\xfe\n     ^~~~\n", NULL);
	expect_read(folder, ".", "p: error: this is a directory, not a policy\n", NULL);
	assert_int_equal(mkfifoat(folder->fd, "fifo", 0600), 0);
	expect_read(folder, "fifo", "p: error: this is not a regular file\n", NULL);
	expect_read(folder, "/dev/zero", "p: error: this is not a regular file\n", NULL);
	expect_read(folder, "absent", "p: error: Bad file descriptor\n", NULL);
	/* files whose size is told as 0 */
	expect_read(folder, "/proc/sys/net/ipv4/ip_default_ttl", NULL, "64\n");
}

static void test_read_large(void **state)
{
	const struct folder *folder = *state;
	sw_autofree char *text = malloc(SW_POLICY_BYTES_MAX + 1);

	assert_non_null(text);
	memset(text, '\n', SW_POLICY_BYTES_MAX);
	text[SW_POLICY_BYTES_MAX] = '\0';
	put(folder, "file", text, SW_POLICY_BYTES_MAX);
	expect_read(folder, "file", NULL, text);
	/* sparse: it takes no room, and must not be read */
	sw_autoclose int fd = openat(folder->fd, "file", O_WRONLY | O_TRUNC | O_CLOEXEC);

	assert_int_equal(ftruncate(fd, (off_t)100 << 20), 0);
	expect_read(folder, "file", "p: error: larger than 16 MiB: this is no policy\n", NULL);
	assert_int_equal(ftruncate(fd, SW_POLICY_BYTES_MAX + 1), 0);
	expect_read(folder, "file", "p: error: larger than 16 MiB: this is no policy\n", NULL);
}

/* ---- the real machine ---- */

static void test_system_ids(void **state)
{
	struct sw_system system = {.dir_fd = -1};
	struct sw_world world;
	uint32_t id = 7;

	(void)state;
	sw_system_world(&system, &world);
	assert_int_equal(world.user(world.data, "root", &id), 0);
	assert_int_equal(id, 0);
	assert_int_equal(world.group(world.data, "daemon", &id), 0);
	assert_int_equal(world.user(world.data, "no-such-user-here", &id), -ENOENT);
	assert_int_equal(world.group(world.data, "no-such-group-here", &id), -ENOENT);
	assert_int_equal(world.user(world.data, "", &id), -ENOENT);
}

static void test_system_files(void **state)
{
	const struct folder *folder = *state;
	struct sw_system system = {.dir_fd = folder->fd};
	struct sw_world world;
	sw_autofree char *text = NULL;
	size_t length = 0;

	sw_system_world(&system, &world);
	put(folder, "file", "10.0.0.0/8\n", 11);
	assert_int_equal(symlinkat("file", folder->fd, "link"), 0);
	assert_int_equal(world.read_file(world.data, "link", &text, &length), 0);
	assert_string_equal(text, "10.0.0.0/8\n");
	assert_int_equal(length, 11);
	assert_int_equal(mkfifoat(folder->fd, "fifo", 0600), 0);
	assert_int_equal(world.read_file(world.data, "fifo", &text, &length), -EINVAL);
	assert_int_equal(world.read_file(world.data, ".", &text, &length), -EISDIR);
	assert_int_equal(world.read_file(world.data, "absent", &text, &length), -ENOENT);
	sw_autoclose int fd = openat(folder->fd, "file", O_WRONLY | O_CLOEXEC);

	assert_int_equal(ftruncate(fd, ((off_t)64 << 20) + 1), 0);
	assert_int_equal(world.read_file(world.data, "file", &text, &length), -EFBIG);
}

static void sum_by(const struct folder *folder, bool alone, const char *text,
		   uint8_t sum[static 32])
{
	struct sw_system system = {.dir_fd = folder->fd};
	struct sw_diags *diags = sw_diags_new();
	struct sw_policy_ast *ast = sw_policy_parse("p", text, strlen(text), diags);
	struct sw_world world;

	if (alone)
		sw_system_world_of_sum(&system, &world);
	else
		sw_system_world(&system, &world);
	assert_int_equal(sw_policy_check(ast, &world, diags), alone ? -EINVAL : 0);
	memcpy(sum, ast->sha256, 32);
	sw_policy_free(ast);
	sw_diags_free(diags);
}

/* The sum is the same whether lists are looked into or not, and tells that one has changed. */
static void test_system_sum(void **state)
{
	static const char text[] = "mode enforce\n"
				   "net a = { file \"one\", 192.0.2.1 }\nnet b = { file \"two\" }\n"
				   "host {\n port 25 {\n allow from user daemon to a\n"
				   "allow to b\n reject\n }\n}\n";
	const struct folder *folder = *state;
	sw_autofree char *long_list = malloc(299997);
	uint8_t whole[32], alone[32];

	assert_non_null(long_list);
	for (size_t i = 0; i < 299997; i++)
		long_list[i] = "10.0.0.1\n"[i % 9];
	put(folder, "one", long_list, 299997);
	put(folder, "two", "198.51.100.7\n", 13);
	sum_by(folder, false, text, whole);
	sum_by(folder, true, text, alone);
	assert_memory_equal(whole, alone, 32);
	put(folder, "two", "198.51.100.8\n", 13);
	sum_by(folder, true, text, alone);
	assert_memory_not_equal(whole, alone, 32);
	unlinkat(folder->fd, "one", 0);
	unlinkat(folder->fd, "two", 0);
}

static void test_system_programs(void **state)
{
	const struct folder *folder = *state;
	struct sw_system system = {.dir_fd = -1};
	sw_autofree char *self = realpath("/usr/bin/env", NULL);
	const char *where = NULL;
	struct sw_world world;
	char path[128];

	sw_system_world(&system, &world);
	assert_int_equal(world.program(world.data, self, &where), 0);
	assert_int_equal(world.program(world.data, "/nonexistent/program", &where), -ENOENT);
	assert_int_equal(world.program(world.data, "/etc/passwd", &where), -EACCES);
	assert_int_equal(world.program(world.data, "/usr/bin", &where), -EACCES);

	/* /tmp is writable by all, sticky or not */
	put(folder, "run", "", 0);
	assert_int_equal(fchmodat(folder->fd, "run", 0755, 0), 0);
	snprintf(path, sizeof(path), "%s/run", folder->path);
	assert_int_equal(world.program(world.data, path, &where), -EPERM);
	assert_string_equal(where, "/tmp");
	assert_int_equal(symlinkat("run", folder->fd, "link"), 0);
	snprintf(path, sizeof(path), "%s/link", folder->path);
	assert_int_equal(world.program(world.data, path, &where), -ELOOP);
	assert_memory_equal(where, folder->path, strlen(folder->path));
	assert_string_equal(where + strlen(folder->path), "/run");
}

static void test_system_units(void **state)
{
	struct sw_system system = {.dir_fd = -1};
	struct sw_world world;

	(void)state;
	sw_system_world(&system, &world);
	assert_int_equal(world.unit(world.data, "session-1.scope"), 0);
	if (access("/lib/systemd/system", F_OK) != 0 && access("/etc/systemd/system", F_OK) != 0)
		skip();
	assert_int_equal(world.unit(world.data, "no-such-unit-here.service"), -ENOENT);
	assert_int_equal(world.unit(world.data, "../../passwd"), -ENOENT);
	if (access("/lib/systemd/system/getty@.service", F_OK) == 0)
		assert_int_equal(world.unit(world.data, "getty@tty7.service"), 0);
	assert_int_equal(world.unit(world.data, "no-such-unit-here@x.service"), -ENOENT);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_forms),
		cmocka_unit_test(test_wrong_lines),
		cmocka_unit_test(test_many_wrong_lines),
		cmocka_unit_test(test_odd_bytes),
		cmocka_unit_test(test_million),
		cmocka_unit_test(test_most_prefixes),
		cmocka_unit_test(test_sum),
		cmocka_unit_test(test_sum_of_ids),
		cmocka_unit_test_setup_teardown(test_read, setup, teardown),
		cmocka_unit_test_setup_teardown(test_read_large, setup, teardown),
		cmocka_unit_test(test_system_ids),
		cmocka_unit_test_setup_teardown(test_system_files, setup, teardown),
		cmocka_unit_test_setup_teardown(test_system_sum, setup, teardown),
		cmocka_unit_test_setup_teardown(test_system_programs, setup, teardown),
		cmocka_unit_test(test_system_units),
	};

	return cmocka_run_group_tests_name("lists", tests, NULL, NULL);
}
