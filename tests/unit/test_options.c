/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The daemon's command line, and what it finds in mountinfo when --cgroup is not given. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

#include "daemon/base.h"
#include "daemon/mounts.h"
#include "daemon/options.h"

#define ARGS_MAX 8

/* Parses a list of words that ends in NULL; what is said about it goes to `said`. */
static int parse(const char *const *words, struct sw_options *options, char said[static 512])
{
	char *argv[ARGS_MAX + 2] = {(char *)"smtpwalld"};
	FILE *to = fmemopen(said, 512, "w");
	int argc = 1, result;

	assert_non_null(to);
	said[0] = '\0';
	while (words[argc - 1] && argc <= ARGS_MAX) {
		argv[argc] = (char *)words[argc - 1];
		argc++;
	}
	result = sw_options_parse(argc, argv, options, to);
	fclose(to);
	return result;
}

static void test_defaults(void **state)
{
	const char *const words[] = {NULL};
	struct sw_options options;
	char said[512];

	(void)state;
	assert_int_equal(parse(words, &options, said), 0);
	assert_string_equal(options.policy, "/etc/smtpwall/policy");
	assert_null(options.cgroup);
	assert_string_equal(options.run_dir, "/run/smtpwall");
	assert_string_equal(options.state_dir, "/var/lib/smtpwall");
	assert_string_equal(options.pin_dir, "/sys/fs/bpf/smtpwall");
	assert_int_equal(options.edge_flows, 1048576);
	assert_int_equal(options.xdp, SW_XDP_AUTO);
	assert_false(options.foreground || options.check || options.detach || options.help ||
		     options.version || options.verbose);
}

static void test_values(void **state)
{
	const char *const words[] = {"--policy", "/p",      "--cgroup=/c",  "--run-dir",
				     "/r=1",     "--check", "--foreground", NULL};
	struct sw_options options;
	char said[512];

	(void)state;
	assert_int_equal(parse(words, &options, said), 0);
	assert_string_equal(options.policy, "/p");
	assert_string_equal(options.cgroup, "/c");
	assert_string_equal(options.run_dir, "/r=1");
	assert_true(options.check && options.foreground);
	assert_string_equal(options.pin_dir, "/sys/fs/bpf/smtpwall");
}

static void test_edge_values(void **state)
{
	static const struct {
		const char *word;
		enum sw_xdp_mode mode;
	} modes[] = {{"auto", SW_XDP_AUTO}, {"native", SW_XDP_NATIVE}, {"generic", SW_XDP_GENERIC}};
	struct sw_options options;
	char said[512];

	(void)state;
	for (size_t i = 0; i < sw_count(modes); i++) {
		const char *const words[] = {"--flows=1000", "--xdp", modes[i].word, NULL};

		assert_int_equal(parse(words, &options, said), 0);
		assert_int_equal(options.edge_flows, 1000);
		assert_int_equal(options.xdp, modes[i].mode);
	}
}

static void test_last_one_counts(void **state)
{
	const char *const words[] = {"--policy", "/one", "--policy=/two", NULL};
	struct sw_options options;
	char said[512];

	(void)state;
	assert_int_equal(parse(words, &options, said), 0);
	assert_string_equal(options.policy, "/two");
}

/* Each is refused, and what is said names the word that is wrong. */
static void test_wrong_usage(void **state)
{
	static const struct {
		const char *words[3];
		const char *named;
	} cases[] = {
		{{"--polic", "x"}, "--polic"},
		{{"--flows", "63"}, "63"},
		{{"--flows", "67108865"}, "67108865"},
		{{"--flows", "1000x"}, "1000x"},
		{{"--flows", "-1"}, "-1"},
		{{"--flows", "99999999999999999999999"}, "--flows"},
		{{"--flows"}, "--flows"},
		{{"--xdp", "offload"}, "offload"},
		{{"--xdp="}, "--xdp"},
		{{"--policy"}, "--policy"},
		{{"--policy="}, "--policy"},
		{{"--policy", ""}, "--policy"},
		{{"-f"}, "-f"},
		{{"policy"}, "policy"},
		{{"--foreground=yes"}, "foreground"},
		{{"--"}, "--"},
		{{""}, "''"},
		{{"--policy-file", "x"}, "--policy-file"},
		{{"--check", "--nope"}, "--nope"},
		{{"-"}, "-"},
	};

	(void)state;
	for (size_t i = 0; i < sw_count(cases); i++) {
		struct sw_options options;
		char said[512];

		assert_int_equal(parse(cases[i].words, &options, said), -1);
		assert_non_null(strstr(said, cases[i].named));
		assert_non_null(strchr(said, '\n'));
	}
}

/* The usage text is made from the table that parses: every option is in it. */
static void test_help(void **state)
{
	static const char *const names[] = {"--policy FILE",   "--cgroup DIR",  "--run-dir DIR",
					    "--state-dir DIR", "--pin-dir DIR", "--foreground",
					    "--check",         "--detach",      "--verbose",
					    "--help",          "--version"};
	char text[4096] = "";
	FILE *to = fmemopen(text, sizeof(text), "w");

	(void)state;
	assert_non_null(to);
	sw_options_help(to);
	fclose(to);
	for (size_t i = 0; i < sw_count(names); i++)
		assert_non_null(strstr(text, names[i]));
}

static char *find(const char *mountinfo)
{
	FILE *from = fmemopen((void *)mountinfo, strlen(mountinfo), "r");
	char *found;

	assert_non_null(from);
	found = sw_mounts_find_cgroup2(from);
	fclose(from);
	return found;
}

static void test_cgroup2_mount(void **state)
{
	static const struct {
		const char *text, *found;
	} cases[] = {
		{"30 23 0:26 / /sys/fs/cgroup rw,nosuid shared:9 - cgroup2 cgroup2 rw\n",
		 "/sys/fs/cgroup"},
		/* hybrid: version 1 first, version 2 below it */
		{"31 30 0:27 / /sys/fs/cgroup/cpu rw - cgroup cgroup rw,cpu\n"
		 "32 30 0:28 / /sys/fs/cgroup/unified rw - cgroup2 none rw\n",
		 "/sys/fs/cgroup/unified"},
		/* several optional fields, and a blank in the path */
		{"33 1 0:29 / /mnt/a\\040b rw shared:1 master:2 - cgroup2 none rw\n", "/mnt/a b"},
		/* a part of the hierarchy does not stand for the whole */
		{"34 1 0:29 /machine.slice /mnt/part rw - cgroup2 none rw\n"
		 "35 1 0:29 / /mnt/whole rw - cgroup2 none rw\n",
		 "/mnt/whole"},
		{"36 1 0:30 / /mnt rw - tmpfs cgroup2 rw\n", NULL},
		{"37 1 0:30 / /mnt rw\n38\n\n", NULL},
	};

	(void)state;
	for (size_t i = 0; i < sw_count(cases); i++) {
		sw_autofree char *found = find(cases[i].text);

		if (cases[i].found) {
			assert_non_null(found);
			assert_string_equal(found, cases[i].found);
		} else {
			assert_null(found);
		}
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_defaults),      cmocka_unit_test(test_values),
		cmocka_unit_test(test_edge_values),   cmocka_unit_test(test_last_one_counts),
		cmocka_unit_test(test_wrong_usage),   cmocka_unit_test(test_help),
		cmocka_unit_test(test_cgroup2_mount),
	};

	return cmocka_run_group_tests_name("options", tests, NULL, NULL);
}
