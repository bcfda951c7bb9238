/* SPDX-License-Identifier: GPL-2.0-or-later */
/* lex.c - policy text to tokens. */
#include "daemon/policy/lex.h"

#include <string.h>

#include "daemon/policy/arena.h"
#include "daemon/policy/text.h"

void sw_lex_init(struct sw_lexer *lexer, struct sw_arena *arena, uint16_t source, const char *text,
		 size_t length)
{
	size_t bom = sw_bom_length(text, length);

	*lexer = (struct sw_lexer){
		.arena = arena,
		.at = text + bom,
		.end = text + length,
		.counted = text + bom,
		.line = 1,
		.column = 1,
		.source = source,
		.fresh = true,
	};
}

/* Characters, not bytes: continuation bytes of UTF-8 are passed over. */
static uint32_t count_characters(const char *from, const char *to)
{
	uint32_t n = 0;

	for (; from < to; from++)
		n += ((unsigned char)*from & 0xc0) != 0x80;
	return n;
}

static struct sw_pos pos_of(struct sw_lexer *lexer, const char *from, const char *to)
{
	uint32_t length = count_characters(from, to);

	lexer->column += count_characters(lexer->counted, from);
	lexer->counted = from;
	return (struct sw_pos){
		.source = lexer->source,
		.length = length > UINT16_MAX ? UINT16_MAX : (uint16_t)length,
		.line = lexer->line,
		.column = lexer->column,
	};
}

static void next_line(struct sw_lexer *lexer)
{
	lexer->at++;
	lexer->line++;
	lexer->column = 1;
	lexer->counted = lexer->at;
	lexer->fresh = true;
}

static bool is_space(char c)
{
	return c == ' ' || c == '\t' || c == '\r';
}

static void skip_spaces(struct sw_lexer *lexer)
{
	while (lexer->at < lexer->end && is_space(*lexer->at))
		lexer->at++;
}

static const char *end_of_line(const struct sw_lexer *lexer)
{
	const char *newline = memchr(lexer->at, '\n', (size_t)(lexer->end - lexer->at));

	return newline ? newline : lexer->end;
}

/* The text of a comment at '#': from behind it to the end of the line, without spaces at its end. */
static const char *comment_end(const char *from, const char *end)
{
	while (end > from && is_space(end[-1]))
		end--;
	return end;
}

/* Passes over empty lines and lines of comments. With `to`, writes them there joined by '\n'. Returns
   how many bytes that are at most. */
static size_t skip_lines(struct sw_lexer *lexer, char *to)
{
	size_t used = 0;
	bool empty_before = false;

	for (;;) {
		skip_spaces(lexer);
		if (lexer->at == lexer->end || (*lexer->at != '\n' && *lexer->at != '#'))
			return used;
		const char *end = end_of_line(lexer);
		const char *line = lexer->at;
		size_t length;

		if (*line == '#') {
			line++;
			length = (size_t)(comment_end(line, end) - line);
			empty_before = false;
		} else {
			line = SW_EMPTY_LINE;
			length = empty_before ? 0 : strlen(SW_EMPTY_LINE);
		}
		if (!empty_before) {
			if (to && used)
				to[used - 1] = '\n';
			if (to)
				memcpy(to + used, line, length);
			used += length + 1;
		}
		empty_before = *lexer->at == '\n';
		lexer->at = end;
		if (lexer->at < lexer->end)
			next_line(lexer);
	}
}

static const char *lines_before(struct sw_lexer *lexer)
{
	struct sw_lexer look = *lexer;
	size_t bytes = skip_lines(&look, NULL);

	if (!bytes) {
		*lexer = look;
		return NULL;
	}
	char *lines = sw_arena_alloc(lexer->arena, bytes);

	skip_lines(lexer, lines);
	return lines;
}

static bool is_word(char c)
{
	return ((unsigned char)c >= 0x80) || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') ||
	       (c >= '0' && c <= '9') || (c && strchr("_-./:@%+*[]\\~$?^!", c));
}

static void take(struct sw_lexer *lexer, struct sw_token *token, enum sw_token_kind kind,
		 const char *to)
{
	token->kind = kind;
	token->pos = pos_of(lexer, lexer->at, to);
	lexer->at = to;
	lexer->fresh = false;
}

static void lex_word(struct sw_lexer *lexer, struct sw_token *token)
{
	const char *from = lexer->at, *to = from;

	while (to < lexer->end && is_word(*to))
		to++;
	token->length = (size_t)(to - from);
	token->text = sw_arena_strndup(lexer->arena, from, token->length);
	take(lexer, token, SW_TOKEN_WORD, to);
}

/* Where the closing quote of the string at `from` is; the end of the line when there is none. */
static const char *string_end(const char *from, const char *end)
{
	const char *at = from + 1;

	while (at < end && *at != '"')
		at += *at == '\\' && at + 1 < end ? 2 : 1;
	return at;
}

static void lex_string(struct sw_lexer *lexer, struct sw_token *token)
{
	const char *from = lexer->at, *line_end = end_of_line(lexer);
	const char *to = string_end(from, line_end);

	if (to >= line_end) {
		take(lexer, token, SW_TOKEN_BAD, comment_end(from, line_end));
		token->text = "the string does not end on this line";
		return;
	}
	char *text = sw_arena_alloc(lexer->arena, (size_t)(to - from)), *put = text;
	bool good = true;

	for (const char *at = from + 1; at < to; at++) {
		if (*at == '\\' && *++at != '"' && *at != '\\')
			good = false;
		*put++ = *at;
	}
	take(lexer, token, good ? SW_TOKEN_STRING : SW_TOKEN_BAD, to + 1);
	token->text =
		good ? text : "a backslash in a string stands before \" or \\ only; write \\\\";
	token->length = (size_t)(put - text);
}

static void lex_odd(struct sw_lexer *lexer, struct sw_token *token)
{
	char odd = *lexer->at;

	take(lexer, token, SW_TOKEN_BAD, lexer->at + 1);
	if (odd == ';')
		token->text = "\";\" has no meaning here: a statement ends with its line";
	else if (odd == '\'')
		token->text = "a string stands in double quotes";
	else
		token->text = "this character has no meaning here";
}

static void lex_line_end(struct sw_lexer *lexer, struct sw_token *token)
{
	const char *end = end_of_line(lexer);

	take(lexer, token, SW_TOKEN_EOL, lexer->at);
	if (lexer->at < lexer->end && *lexer->at == '#') {
		const char *from = lexer->at + 1;

		token->length = (size_t)(comment_end(from, end) - from);
		token->text = sw_arena_strndup(lexer->arena, from, token->length);
	}
	lexer->at = end;
	if (lexer->at < lexer->end)
		next_line(lexer);
	lexer->fresh = true;
}

/* Asked again, the end stays the end. */
static void take_end(struct sw_lexer *lexer, struct sw_token *token)
{
	take(lexer, token, SW_TOKEN_END, lexer->at);
	lexer->fresh = true;
}

struct sw_token sw_lex_next(struct sw_lexer *lexer)
{
	struct sw_token token = {};

	if (lexer->fresh)
		token.before = lines_before(lexer);
	skip_spaces(lexer);
	bool at_end = lexer->at == lexer->end;
	char c = at_end ? '\n' : *lexer->at;

	if (at_end && lexer->fresh)
		take_end(lexer, &token);
	else if (c == '\n' || c == '#')
		lex_line_end(lexer, &token);
	else if (c == '"')
		lex_string(lexer, &token);
	else if (c == '{' || c == '}')
		take(lexer, &token, c == '{' ? SW_TOKEN_OPEN : SW_TOKEN_CLOSE, lexer->at + 1);
	else if (c == ',' || c == '=')
		take(lexer, &token, c == ',' ? SW_TOKEN_COMMA : SW_TOKEN_EQUALS, lexer->at + 1);
	else if (is_word(c))
		lex_word(lexer, &token);
	else
		lex_odd(lexer, &token);
	return token;
}
