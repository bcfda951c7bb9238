/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Option tables: reading, refusing, and the usage text made from them. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "ctl/options.h"
#include "daemon/base.h"

struct args {
	bool flag;
	const char *text, *word;
	long number;
};

static const struct sw_option options[] = {
	{"flag", NULL, SW_OPTION_FLAG, false, offsetof(struct args, flag), 0, 0, "a flag"},
	{"text", "T", SW_OPTION_TEXT, true, offsetof(struct args, text), 0, 0, "two\nlines"},
	{"word", "keep|close", SW_OPTION_WORD, false, offsetof(struct args, word), 0, 0, "a word"},
	{"number", "N", SW_OPTION_NUMBER, false, offsetof(struct args, number), 1, 60, "a number"},
};

#define READ(args, operand, error, ...)                                                            \
	read_all(args, operand, error, (char *[]){"command", __VA_ARGS__, NULL})

static int read_all(struct args *args, const char **operand, char *error, char **argv)
{
	const struct sw_option_set set = {options, sw_count(options), args};
	int argc = 0, next = 1;

	*args = (struct args){.number = -1};
	if (operand)
		*operand = NULL;
	while (argv[argc])
		argc++;
	return sw_opts_read(&set, 1, argc, argv, &next, operand, error);
}

static void test_reads_all_kinds(void **state)
{
	char error[SW_ERROR_SIZE];
	const char *operand;
	struct args args;

	(void)state;
	assert_int_equal(READ(&args, &operand, error, "--flag", "file", "--text", "a b",
			      "--word=close", "--number", "60"),
			 0);
	assert_true(args.flag);
	assert_string_equal(args.text, "a b");
	assert_string_equal(args.word, "close");
	assert_int_equal(args.number, 60);
	assert_string_equal(operand, "file");
}

static void test_a_value_may_look_like_an_option(void **state)
{
	char error[SW_ERROR_SIZE];
	const char *operand;
	struct args args;

	(void)state;
	assert_int_equal(READ(&args, &operand, error, "--text", "--flag"), 0);
	assert_string_equal(args.text, "--flag");
	assert_false(args.flag);
	assert_int_equal(READ(&args, &operand, error, "--text=a=b"), 0);
	assert_string_equal(args.text, "a=b");
}

static void test_operands(void **state)
{
	char error[SW_ERROR_SIZE];
	const char *operand;
	struct args args;

	(void)state;
	assert_int_equal(READ(&args, &operand, error, "-"), 0);
	assert_string_equal(operand, "-");
	assert_int_equal(READ(&args, &operand, error, "--", "--flag"), 0);
	assert_string_equal(operand, "--flag");
	assert_false(args.flag);
	assert_int_equal(READ(&args, &operand, error, "a", "b"), -EINVAL);
	assert_string_equal(error, "unexpected word \"b\"");
}

static void test_stops_before_a_command(void **state)
{
	const struct sw_option_set set = {options, sw_count(options), &(struct args){0}};
	char *argv[] = {"smtpwall", "--text", "x", "status", "--nonsense", NULL};
	char error[SW_ERROR_SIZE];
	int next = 1;

	(void)state;
	assert_int_equal(sw_opts_read(&set, 1, 5, argv, &next, NULL, error), 0);
	assert_int_equal(next, 3);
}

static void test_refuses(void **state)
{
	static const struct {
		char *first, *second;
		const char *error;
	} bad[] = {
		{"--txt", "x", "unknown option --txt (nearest: --text)"},
		{"--txt=x", NULL, "unknown option --txt (nearest: --text)"},
		{"--qqqqqqqqqq", NULL, "unknown option --qqqqqqqqqq"},
		{"-f", NULL, "unknown option -f: options have two dashes"},
		{"--flag=1", NULL, "--flag takes no value"},
		{"--text", NULL, "--text needs a value: T"},
		{"--text", "", "--text takes T, not an empty word"},
		{"--word", "kee", "--word takes keep or close, not \"kee\""},
		{"--word", "keep|close", "--word takes keep or close, not \"keep|close\""},
		{"--number", "0", "--number takes a number from 1 to 60, not \"0\""},
		{"--number", "61", "--number takes a number from 1 to 60, not \"61\""},
		{"--number", "6x", "--number takes a number from 1 to 60, not \"6x\""},
		{"--number", " 6", "--number takes a number from 1 to 60, not \" 6\""},
		{"--number", "-6", "--number takes a number from 1 to 60, not \"-6\""},
		{"--number", "99999999999999999999",
		 "--number takes a number from 1 to 60, not \"99999999999999999999\""},
	};

	(void)state;
	for (size_t i = 0; i < sw_count(bad); i++) {
		char error[SW_ERROR_SIZE] = "";
		const char *operand;
		struct args args;

		assert_int_equal(READ(&args, &operand, error, bad[i].first, bad[i].second),
				 -EINVAL);
		assert_string_equal(error, bad[i].error);
	}
}

static void test_missing(void **state)
{
	struct args args = {0};
	const struct sw_option_set set = {options, sw_count(options), &args};

	(void)state;
	assert_ptr_equal(sw_opts_missing(&set), &options[1]);
	args.text = "x";
	assert_null(sw_opts_missing(&set));
}

static void test_usage(void **state)
{
	const struct sw_option_set set = {options, sw_count(options), NULL};
	sw_autofree char *text = NULL;
	size_t n;
	FILE *to = open_memstream(&text, &n);

	(void)state;
	assert_int_equal(sw_opts_synopsis(&set, 1, 40, 8, to), 7 + 13);
	fputc('\n', to);
	sw_opts_help(&set, 1, to);
	fclose(to);
	assert_string_equal(text, " [--flag] --text T [--word keep|close]\n"
				  "        [--number N]\n"
				  "  --flag             a flag\n"
				  "  --text T           two\n"
				  "                     lines\n"
				  "  --word keep|close  a word\n"
				  "  --number N         a number\n");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_reads_all_kinds),
		cmocka_unit_test(test_a_value_may_look_like_an_option),
		cmocka_unit_test(test_operands),
		cmocka_unit_test(test_stops_before_a_command),
		cmocka_unit_test(test_refuses),
		cmocka_unit_test(test_missing),
		cmocka_unit_test(test_usage),
	};

	return cmocka_run_group_tests_name("ctl_options", tests, NULL, NULL);
}
