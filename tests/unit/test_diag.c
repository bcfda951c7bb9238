/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Diagnostics: order, carets, what of a file is escaped, how many are kept. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "tests/unit/policy_world.h"

struct fixture {
	struct sw_diags *diags;
	uint16_t source;
};

static int setup(void **state)
{
	static struct fixture fixture;

	fixture.diags = sw_diags_new();
	*state = &fixture;
	return 0;
}

static int teardown(void **state)
{
	struct fixture *fixture = *state;

	sw_diags_free(fixture->diags);
	return 0;
}

static struct sw_pos at(uint16_t source, uint32_t line, uint32_t column, uint16_t length)
{
	return (struct sw_pos){.source = source, .line = line, .column = column, .length = length};
}

static void expect(const struct sw_diags *diags, const char *text)
{
	sw_autofree char *said = fake_said(diags);

	assert_string_equal(said, text);
}

static void test_order_and_notes(void **state)
{
	struct fixture *f = *state;
	const char *text = "first line\nsecond line\nthird\n";
	uint16_t a = sw_diags_add_source(f->diags, "a", text, strlen(text));
	uint16_t b = sw_diags_add_source(f->diags, "b", "other\n", 6);

	sw_diag(f->diags, SW_ERROR, at(b, 1, 1, 5), "in the other file");
	sw_diag(f->diags, SW_WARNING, at(a, 2, 8, 4), "later");
	sw_diag(f->diags, SW_NOTE, at(a, 2, 8, 4), "the same place has no line of its own");
	sw_diag(f->diags, SW_NOTE, at(a, 1, 1, 5), "elsewhere");
	sw_diag(f->diags, SW_ERROR, at(a, 2, 1, 1), "earlier");
	sw_diag(f->diags, SW_ERROR, at(a, 2, 1, 1), "the same, told second");
	sw_diag(f->diags, SW_ERROR, at(a, 0, 0, 0), "the whole file");
	assert_int_equal(sw_diags_errors(f->diags), 4);
	assert_int_equal(sw_diags_warnings(f->diags), 1);
	expect(f->diags, "a: error: the whole file\n"
			 "a:2:1: error: earlier\n"
			 "    second line\n"
			 "    ^\n"
			 "a:2:1: error: the same, told second\n"
			 "    second line\n"
			 "    ^\n"
			 "a:2:8: warning: later\n"
			 "    second line\n"
			 "           ^~~~\n"
			 "a:2:8: note: the same place has no line of its own\n"
			 "a:1:1: note: elsewhere\n"
			 "    first line\n"
			 "    ^~~~~\n"
			 "b:1:1: error: in the other file\n"
			 "    other\n"
			 "    ^~~~~\n");
}

static void test_tabs(void **state)
{
	struct fixture *f = *state;
	const char *text = "\ta\tbc d";
	uint16_t a = sw_diags_add_source(f->diags, "a", text, strlen(text));

	sw_diag(f->diags, SW_ERROR, at(a, 1, 2, 1), "a");
	sw_diag(f->diags, SW_ERROR, at(a, 1, 4, 2), "bc");
	expect(f->diags, "a:1:2: error: a\n"
			 "            a       bc d\n"
			 "            ^\n"
			 "a:1:4: error: bc\n"
			 "            a       bc d\n"
			 "                    ^~\n");
}

static void test_escapes(void **state)
{
	struct fixture *f = *state;
	const char *text = "x\x1b[1m\xff\xc3\xa4\xe2\x80\xae y\r\nz";
	uint16_t a = sw_diags_add_source(f->diags, "a\nb\x1b", text, strlen(text));

	sw_diag(f->diags, SW_ERROR, at(a, 1, 10, 1), "%s",
		"\x07"
		"ring\n\xfe");
	expect(f->diags, "a\\x0ab\\x1b:1:10: error: \\x07ring\\x0a\\xfe\n"
			 "    x\\x1b[1m\\xff\xc3\xa4\\u{202e} y\n"
			 "                          ^\n");
}

static void test_long_line(void **state)
{
	struct fixture *f = *state;
	char text[1001];
	sw_autofree char *said = NULL;
	uint16_t a;

	memset(text, 'x', 1000);
	text[1000] = '\0';
	memcpy(text + 500, "HERE", 4);
	a = sw_diags_add_source(f->diags, "a", text, 1000);
	sw_diag(f->diags, SW_ERROR, at(a, 1, 501, 4), "e");
	said = fake_said(f->diags);
	const char *line = strstr(said, "    ..."), *caret = strchr(said, '^');

	assert_non_null(line);
	assert_non_null(caret);
	/* the caret stands under the H */
	const char *newline = memrchr(said, '\n', (size_t)(caret - said));

	assert_memory_equal(line + (caret - newline - 1), "HERE", 4);
	assert_memory_equal(caret, "^~~~\n", 5);
	assert_in_range(strlen(said), 200, 500);
}

/* A list file is freed long before the diagnostics are printed. */
static void test_forgotten_text(void **state)
{
	struct fixture *f = *state;
	char *text = strdup("one\ntwo\n");
	uint16_t a = sw_diags_add_source(f->diags, "a", text, 8);

	sw_diag(f->diags, SW_ERROR, at(a, 2, 1, 3), "e");
	sw_diags_forget_text(f->diags, a);
	free(text);
	sw_diag(f->diags, SW_ERROR, at(a, 1, 1, 3), "without its line");
	expect(f->diags, "a:1:1: error: without its line\n"
			 "a:2:1: error: e\n    two\n    ^~~\n");
}

static void count_record(const struct sw_diag_record *record, void *data)
{
	assert_string_equal(record->file, "a");
	++*(size_t *)data;
}

static void test_most(void **state)
{
	struct fixture *f = *state;
	uint16_t a = sw_diags_add_source(f->diags, "a", NULL, 0);
	sw_autofree char *said = NULL;
	size_t n = 0;

	for (uint32_t i = 1; i <= SW_DIAGS_MAX + 7; i++) {
		sw_diag(f->diags, SW_ERROR, at(a, i, 1, 1), "e%u", i);
		sw_diag(f->diags, SW_NOTE, at(a, i, 1, 1), "n%u", i);
	}
	sw_diag(f->diags, SW_WARNING, at(a, 1, 2, 1), "w");
	assert_int_equal(sw_diags_errors(f->diags), SW_DIAGS_MAX + 7);
	sw_diags_each(f->diags, count_record, &n);
	assert_int_equal(n, 2 * SW_DIAGS_MAX + 1);
	said = fake_said(f->diags);
	assert_non_null(strstr(said, "a:100:1: note: n100\n"));
	assert_null(strstr(said, "n101"));
	assert_non_null(strstr(said, "a:1:2: warning: w\n"));
	assert_non_null(strstr(said, "\n7 more errors are not shown\n"));
}

/* A place that lies outside of the text, and sources beyond counting. */
static void test_odd_places(void **state)
{
	struct fixture *f = *state;
	uint16_t a = sw_diags_add_source(f->diags, "a", "x\n", 2);

	for (int i = 0; i < 70000; i++)
		sw_diags_add_source(f->diags, "many", NULL, 0);
	sw_diag(f->diags, SW_ERROR, at(a, 9, 1, 1), "no such line");
	sw_diag(f->diags, SW_ERROR, at(a, 1, 50, 9), "no such column");
	sw_diag(f->diags, SW_ERROR, at(UINT16_MAX, 1, 1, 1), "no such source");
	expect(f->diags, "a:1:50: error: no such column\n    x\n     ^\n"
			 "a:9:1: error: no such line\n"
			 "?:1:1: error: no such source\n");
}

static void test_nearest(void **state)
{
	static const char *const words[] = {"allow", "reject", "redirect", "require", "from", "to"};
	static const struct {
		const char *word, *nearest;
	} cases[] = {
		{"alow", "allow"},   {"allwo", "allow"},
		{"rejct", "reject"}, {"redirekt", "redirect"},
		{"form", "from"},    {"ot", "to"},
		{"xyz", NULL},       {"", NULL},
		{"permit", NULL},    {"requires", "require"},
	};
	char word[200];

	(void)state;
	for (size_t i = 0; i < sw_count(cases); i++) {
		const char *nearest = sw_diag_nearest(cases[i].word, words, sw_count(words));

		if (cases[i].nearest)
			assert_string_equal(nearest, cases[i].nearest);
		else
			assert_null(nearest);
	}
	memset(word, 'a', sizeof(word) - 1);
	word[sizeof(word) - 1] = '\0';
	assert_null(sw_diag_nearest(word, (const char *const[]){word}, 1));
	assert_null(sw_diag_nearest("allow", NULL, 0));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_order_and_notes, setup, teardown),
		cmocka_unit_test_setup_teardown(test_tabs, setup, teardown),
		cmocka_unit_test_setup_teardown(test_escapes, setup, teardown),
		cmocka_unit_test_setup_teardown(test_long_line, setup, teardown),
		cmocka_unit_test_setup_teardown(test_forgotten_text, setup, teardown),
		cmocka_unit_test_setup_teardown(test_most, setup, teardown),
		cmocka_unit_test_setup_teardown(test_odd_places, setup, teardown),
		cmocka_unit_test(test_nearest),
	};

	return cmocka_run_group_tests_name("diag", tests, NULL, NULL);
}
