/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * lex.h - policy text to tokens, one at a time. A lexer is a plain value: a copy of it looks ahead.
 *
 * The end of a line is a token, but only of lines that hold another token; empty lines and lines
 * of comments travel with the token that follows them. The text is text as sw_text_check() has it.
 */
#ifndef SW_LEX_H
#define SW_LEX_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "daemon/policy/diag.h"

struct sw_arena;

enum sw_token_kind {
	SW_TOKEN_END,    /* of the file */
	SW_TOKEN_EOL,    /* `text` is the comment before it, or NULL */
	SW_TOKEN_WORD,   /* name, number, address: whatever stands between spaces */
	SW_TOKEN_STRING, /* `text` without quotes and backslashes */
	SW_TOKEN_OPEN,
	SW_TOKEN_CLOSE,
	SW_TOKEN_COMMA,
	SW_TOKEN_EQUALS,
	SW_TOKEN_BAD /* `text` says what is wrong */
};

struct sw_token {
	enum sw_token_kind kind;
	struct sw_pos pos;
	const char *text;
	size_t length;
	const char *before; /* lines before it, in the form of struct sw_comments; NULL: none */
};

struct sw_lexer {
	struct sw_arena *arena;
	const char *at, *end;
	const char *counted; /* up to here `column` has counted */
	uint32_t line, column;
	uint16_t source;
	bool fresh; /* no token on this line yet */
};

void sw_lex_init(struct sw_lexer *lexer, struct sw_arena *arena, uint16_t source, const char *text,
		 size_t length);
struct sw_token sw_lex_next(struct sw_lexer *lexer);

/* A line of `before` that stands for an empty line. No comment can hold it. */
#define SW_EMPTY_LINE "\f"

#endif
