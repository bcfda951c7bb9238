/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Tokens, their places, and the comments that travel with them. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

#include "daemon/policy/arena.h"
#include "daemon/policy/lex.h"
#include "daemon/policy/text.h"

static struct sw_arena *arena;
static struct sw_lexer lexer;

static int setup(void **state)
{
	(void)state;
	arena = sw_arena_new();
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	sw_arena_free(arena);
	return 0;
}

static void begin(const char *text)
{
	sw_lex_init(&lexer, arena, 3, text, strlen(text));
}

static struct sw_token expect(enum sw_token_kind kind, const char *text, uint32_t line,
			      uint32_t column)
{
	struct sw_token token = sw_lex_next(&lexer);

	assert_int_equal(token.kind, kind);
	assert_int_equal(token.pos.line, line);
	assert_int_equal(token.pos.column, column);
	assert_int_equal(token.pos.source, 3);
	if (text)
		assert_string_equal(token.text, text);
	return token;
}

static void test_words_and_signs(void **state)
{
	(void)state;
	begin("who a-b=exe\"/x y\" user 10 {2001:db8::/32,[::1]:25}");
	expect(SW_TOKEN_WORD, "who", 1, 1);
	expect(SW_TOKEN_WORD, "a-b", 1, 5);
	expect(SW_TOKEN_EQUALS, NULL, 1, 8);
	expect(SW_TOKEN_WORD, "exe", 1, 9);
	assert_int_equal(expect(SW_TOKEN_STRING, "/x y", 1, 12).pos.length, 6);
	expect(SW_TOKEN_WORD, "user", 1, 19);
	expect(SW_TOKEN_WORD, "10", 1, 24);
	expect(SW_TOKEN_OPEN, NULL, 1, 27);
	expect(SW_TOKEN_WORD, "2001:db8::/32", 1, 28);
	expect(SW_TOKEN_COMMA, NULL, 1, 41);
	expect(SW_TOKEN_WORD, "[::1]:25", 1, 42);
	expect(SW_TOKEN_CLOSE, NULL, 1, 50);
	expect(SW_TOKEN_EOL, NULL, 1, 51);
	expect(SW_TOKEN_END, NULL, 1, 51);
	expect(SW_TOKEN_END, NULL, 1, 51);
}

static void test_columns_count_characters(void **state)
{
	(void)state;
	begin("\xef\xbb\xbf\tä€\"ö\" x\r\n  y");
	assert_int_equal(expect(SW_TOKEN_WORD, "ä€", 1, 2).pos.length, 2);
	assert_int_equal(expect(SW_TOKEN_STRING, "ö", 1, 4).pos.length, 3);
	expect(SW_TOKEN_WORD, "x", 1, 8);
	expect(SW_TOKEN_EOL, NULL, 1, 10);
	expect(SW_TOKEN_WORD, "y", 2, 3);
	expect(SW_TOKEN_EOL, NULL, 2, 4);
	expect(SW_TOKEN_END, NULL, 2, 4);
}

static void test_comments(void **state)
{
	(void)state;
	begin("\n\n# one  \n#two\n\n\n \n  a # behind\t\n#!last\n\n");
	assert_string_equal(expect(SW_TOKEN_WORD, "a", 8, 3).before, "\f\n one\ntwo\n\f");
	expect(SW_TOKEN_EOL, " behind", 8, 5);
	assert_string_equal(expect(SW_TOKEN_END, NULL, 11, 1).before, "!last\n\f");
}

static void test_empty_comment(void **state)
{
	(void)state;
	begin("#\n# x\na #\n");
	assert_string_equal(expect(SW_TOKEN_WORD, "a", 3, 1).before, "\n x");
	expect(SW_TOKEN_EOL, "", 3, 3);
	assert_null(expect(SW_TOKEN_END, NULL, 4, 1).before);
}

static void test_strings(void **state)
{
	(void)state;
	begin("\"a\\\"b\\\\c\" \"\" \"#{}\"");
	expect(SW_TOKEN_STRING, "a\"b\\c", 1, 1);
	expect(SW_TOKEN_STRING, "", 1, 11);
	expect(SW_TOKEN_STRING, "#{}", 1, 14);
}

static void test_bad(void **state)
{
	static const struct {
		const char *text, *says;
	} bad[] = {
		{"\"abc", "the string does not end on this line"},
		{"\"abc\\", "the string does not end on this line"},
		{"\"abc\\\"", "the string does not end on this line"},
		{"\"", "the string does not end on this line"},
		{"\"a\nb\"", "the string does not end on this line"},
		{"\"a\\n\"", "a backslash in a string stands before \" or \\ only; write \\\\"},
		{";", "\";\" has no meaning here: a statement ends with its line"},
		{"'a'", "a string stands in double quotes"},
		{"(", "this character has no meaning here"},
	};

	(void)state;
	for (size_t i = 0; i < sw_count(bad); i++) {
		begin(bad[i].text);
		expect(SW_TOKEN_BAD, bad[i].says, 1, 1);
		while (sw_lex_next(&lexer).kind != SW_TOKEN_END)
			;
	}
}

static void test_copy_looks_ahead(void **state)
{
	struct sw_lexer ahead;

	(void)state;
	begin("a\n# c\nb");
	ahead = lexer;
	sw_lex_next(&ahead);
	sw_lex_next(&ahead);
	assert_string_equal(sw_lex_next(&ahead).text, "b");
	expect(SW_TOKEN_WORD, "a", 1, 1);
}

static void test_text_check(void **state)
{
	static const struct {
		const char *text;
		size_t length, where;
		enum sw_text_fault fault;
	} texts[] = {
		{"plain\ttext\r\n\xc3\xa4", 14, 0, SW_TEXT_OK},
		{"\xef\xbb\xbf# a", 6, 0, SW_TEXT_OK},
		{"ab\0c", 4, 2, SW_TEXT_NUL},
		{"ab\xff", 3, 2, SW_TEXT_INVALID},
		{"\xc3", 1, 0, SW_TEXT_INVALID},             /* cut short */
		{"\xc0\xaf", 2, 0, SW_TEXT_INVALID},         /* longer than need be */
		{"\xe0\x80\xaf", 3, 0, SW_TEXT_INVALID},     /* likewise */
		{"\xed\xa0\x80", 3, 0, SW_TEXT_INVALID},     /* a surrogate */
		{"\xf4\x90\x80\x80", 4, 0, SW_TEXT_INVALID}, /* behind the last code point */
		{"a\x1b[31m", 6, 1, SW_TEXT_CONTROL},
		{"a\rb", 3, 1, SW_TEXT_CONTROL},
		{"a\x7f", 2, 1, SW_TEXT_CONTROL},
		{"a\f", 2, 1, SW_TEXT_CONTROL},
		{"a\xe2\x80\xae", 4, 1, SW_TEXT_CONTROL}, /* writes on from right to left */
		{"a\xef\xbb\xbf", 4, 1, SW_TEXT_CONTROL}, /* a byte order mark inside */
	};

	(void)state;
	for (size_t i = 0; i < sw_count(texts); i++) {
		size_t where = 0;

		assert_int_equal(sw_text_check(texts[i].text, texts[i].length, &where),
				 texts[i].fault);
		if (texts[i].fault != SW_TEXT_OK)
			assert_int_equal(where, texts[i].where);
	}
}

static void test_text_place(void **state)
{
	const char *text = "\xef\xbb\xbf"
			   "a\n\xc3\xa4"
			   "b\xff"
			   "c";
	uint32_t line, column;

	(void)state;
	sw_text_place(text, strlen(text), strlen(text) - 1, &line, &column);
	assert_int_equal(line, 2);
	assert_int_equal(column, 4);
	sw_text_place(text, strlen(text), 3, &line, &column);
	assert_int_equal(line, 1);
	assert_int_equal(column, 1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_words_and_signs),
		cmocka_unit_test(test_columns_count_characters),
		cmocka_unit_test(test_comments),
		cmocka_unit_test(test_empty_comment),
		cmocka_unit_test(test_strings),
		cmocka_unit_test(test_bad),
		cmocka_unit_test(test_copy_looks_ahead),
		cmocka_unit_test(test_text_check),
		cmocka_unit_test(test_text_place),
	};

	return cmocka_run_group_tests_name("lex", tests, setup, teardown);
}
