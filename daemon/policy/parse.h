/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * parse.h - what the files of the parser share. A function that returns bool has reported its error
 * when it returns false; the statement it was in is then given up.
 */
#ifndef SW_PARSE_H
#define SW_PARSE_H

#include <stdbool.h>
#include <stddef.h>

#include "daemon/policy/arena.h"
#include "daemon/policy/ast.h"
#include "daemon/policy/diag.h"
#include "daemon/policy/lex.h"

#define SW_IDENTIFIER_MAX 63 /* characters in the name of a who or a net */

/* A comment that stands inside a statement: it moves before it. */
struct sw_loose {
	struct sw_loose *next;
	const char *text;
};

struct sw_parser {
	struct sw_arena *arena;
	struct sw_diags *diags;
	struct sw_policy_ast *policy;
	struct sw_lexer lexer;
	struct sw_token token; /* the next one, not taken yet */
	struct sw_loose *loose, **loose_end;
	struct sw_who **who_end;
	struct sw_net **net_end;
	struct sw_item **item_end;
	struct sw_scope_block **scope_end;
	struct sw_pos mode_pos; /* of the file's mode; line 0: none yet */
	struct sw_pos
		unclosed; /* where a closing brace was missed last: told once for all blocks */
};

/* parse.c: tokens */
void sw_parse_advance(struct sw_parser *parser);
bool sw_parse_is(const struct sw_parser *parser, const char *word);
bool sw_parse_accept(struct sw_parser *parser, const char *word);
bool sw_parse_accept_kind(struct sw_parser *parser, enum sw_token_kind kind);
/* Passes over ends of lines where a statement may go on; keeps the comments found. */
void sw_parse_skip_lines(struct sw_parser *parser);
/* Reports that something else was expected. Always false. With words: names the nearest. */
bool sw_parse_unexpected(struct sw_parser *parser, const char *expected, const char *const *words,
			 size_t n_words);
bool sw_parse_expect(struct sw_parser *parser, enum sw_token_kind kind, const char *expected);
/* The text of a token for a message: cut when it is long. */
const char *sw_parse_shown(struct sw_parser *parser, const char *text);
bool sw_is_reserved(const char *word);

/* parse.c: comments. Those of a statement that begins here, and that ends here. */
void sw_parse_begin(struct sw_parser *parser, struct sw_comments *comments);
bool sw_parse_end(struct sw_parser *parser, struct sw_comments *comments);
/* Keeps a comment (or NULL) for the statement that ends or begins next. */
void sw_parse_keep(struct sw_parser *parser, const char *text);
/* What was kept, and the lines before the next token. */
const char *sw_parse_take_kept(struct sw_parser *parser);
/* Adds what was kept, then `text` (or NULL), to the lines before a statement. */
void sw_parse_add_before(struct sw_parser *parser, struct sw_comments *comments, const char *text);

/* parse_names.c */
bool sw_parse_name(struct sw_parser *parser, const char *expected, const char **name);
bool sw_parse_who(struct sw_parser *parser);
bool sw_parse_net(struct sw_parser *parser);
bool sw_parse_is_selector(const struct sw_parser *parser);
bool sw_parse_selectors(struct sw_parser *parser, struct sw_selector **selectors);
bool sw_parse_is_prefix(const struct sw_parser *parser);
bool sw_parse_prefix(struct sw_parser *parser, struct sw_net_item *item);

/* parse_rule.c */
extern const char *const sw_parse_actions[];
extern const size_t sw_parse_n_actions;
bool sw_parse_rule(struct sw_parser *parser, enum sw_scope scope, struct sw_rule_node *rule);

/* parse_block.c: all statements to the end of the file */
void sw_parse_statements(struct sw_parser *parser);

#endif
