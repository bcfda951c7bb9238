/* SPDX-License-Identifier: GPL-2.0-or-later */
/* parse_block.c - the blocks of a policy, its statements, and going on after an error. */
#include <string.h>

#include "daemon/policy/parse.h"
#include "daemon/policy/policy.h"
#include "daemon/policy/prefix.h"

static const char *const top_words[] = {"mode", "who", "net", "host", "edge", "serve"};

/* Gives up a statement: on to the end of its line, or of the block that it opens. */
static void give_up(struct sw_parser *parser)
{
	size_t depth = 0;

	for (;; sw_parse_advance(parser)) {
		switch (parser->token.kind) {
		case SW_TOKEN_END:
			return;
		case SW_TOKEN_EOL:
			if (depth)
				break;
			sw_parse_advance(parser);
			return;
		case SW_TOKEN_OPEN:
			depth++;
			break;
		case SW_TOKEN_CLOSE:
			if (!depth)
				return;
			depth--;
			break;
		default:
			break;
		}
	}
}

/* After an error in the header of a block: on to its brace, if it is on this line. */
static bool skip_to_open(struct sw_parser *parser)
{
	while (parser->token.kind != SW_TOKEN_OPEN && parser->token.kind != SW_TOKEN_EOL &&
	       parser->token.kind != SW_TOKEN_CLOSE && parser->token.kind != SW_TOKEN_END)
		sw_parse_advance(parser);
	return parser->token.kind == SW_TOKEN_OPEN;
}

static bool open_follows(const struct sw_parser *parser)
{
	struct sw_lexer look = parser->lexer;

	return parser->token.kind == SW_TOKEN_EOL && sw_lex_next(&look).kind == SW_TOKEN_OPEN;
}

static bool parse_open(struct sw_parser *parser, struct sw_comments *comments, struct sw_pos *open)
{
	if (open_follows(parser))
		sw_parse_skip_lines(parser);
	*open = parser->token.pos;
	if (!sw_parse_expect(parser, SW_TOKEN_OPEN, "\"{\""))
		return false;
	if (parser->loose)
		sw_parse_add_before(parser, comments, NULL);
	if (parser->token.kind == SW_TOKEN_EOL) {
		comments->behind = parser->token.text;
		sw_parse_advance(parser);
	}
	return true;
}

/* What stands where a brace is missing begins a statement further out: that one is not given up. */
static void miss_close(struct sw_parser *parser, struct sw_pos open)
{
	struct sw_pos here = parser->token.pos;

	if (here.line == parser->unclosed.line && here.column == parser->unclosed.column)
		return;
	parser->unclosed = here;
	sw_parse_unexpected(parser, "\"}\"", NULL, 0);
	sw_diag(parser->diags, SW_NOTE, open, "to close this block");
}

/* The comment behind a closing brace goes before the next statement. */
static bool parse_close(struct sw_parser *parser, const char **tail, struct sw_pos open)
{
	if (parser->token.kind != SW_TOKEN_CLOSE) {
		miss_close(parser, open);
		return true;
	}
	*tail = sw_parse_take_kept(parser);
	sw_parse_advance(parser);
	if (parser->token.kind == SW_TOKEN_EOL) {
		sw_parse_keep(parser, parser->token.text);
		sw_parse_advance(parser);
		return true;
	}
	return parser->token.kind == SW_TOKEN_CLOSE || parser->token.kind == SW_TOKEN_END ||
	       sw_parse_unexpected(parser, "the end of the line", NULL, 0);
}

static bool parse_mode(struct sw_parser *parser, enum sw_mode *mode, struct sw_comments *comments)
{
	static const char *const words[] = {"enforce", "audit"};

	sw_parse_begin(parser, comments);
	sw_parse_advance(parser);
	if (sw_parse_accept(parser, "enforce"))
		*mode = SW_MODE_ENFORCE;
	else if (sw_parse_accept(parser, "audit"))
		*mode = SW_MODE_AUDIT;
	else
		return sw_parse_unexpected(parser, "\"enforce\" or \"audit\"", words,
					   sw_count(words));
	return sw_parse_end(parser, comments);
}

static bool parse_file_mode(struct sw_parser *parser)
{
	struct sw_item *item = sw_arena_alloc(parser->arena, sizeof(*item));
	struct sw_pos pos = parser->token.pos;

	item->kind = SW_ITEM_MODE;
	item->pos = pos;
	if (parser->mode_pos.line) {
		sw_diag(parser->diags, SW_ERROR, pos, "the mode of the file is said twice");
		sw_diag(parser->diags, SW_NOTE, parser->mode_pos, "the first is here");
		return false;
	}
	parser->mode_pos = pos;
	if (!parse_mode(parser, &item->mode, &item->comments))
		return false;
	parser->policy->mode = item->mode;
	*parser->item_end = item;
	parser->item_end = &item->next;
	return true;
}

static bool parse_block_mode(struct sw_parser *parser, bool first, enum sw_mode *mode,
			     struct sw_comments *comments)
{
	if (first && *mode == SW_MODE_INHERIT)
		return parse_mode(parser, mode, comments);
	sw_diag(parser->diags, SW_ERROR, parser->token.pos,
		"\"mode\" stands once in a block, before all else");
	return false;
}

/* ---- existing ---- */

#define KEEP_MAX (7u * 24 * 3600) /* seconds */

static bool parse_time(struct sw_parser *parser, uint32_t *seconds)
{
	static const struct {
		char letter;
		uint32_t seconds;
	} units[] = {{'s', 1}, {'m', 60}, {'h', 3600}};
	const struct sw_token *token = &parser->token;
	bool word = token->kind == SW_TOKEN_WORD && token->length > 1;
	uint32_t number;

	for (size_t i = 0; word && i < sw_count(units); i++) {
		if (token->text[token->length - 1] != units[i].letter ||
		    !sw_number_parse(token->text, token->length - 1, KEEP_MAX / units[i].seconds,
				     &number))
			continue;
		if (!number) {
			sw_diag(parser->diags, SW_ERROR, token->pos,
				"this keeps nothing; that is: existing refuse");
			return false;
		}
		*seconds = number * units[i].seconds;
		sw_parse_advance(parser);
		return true;
	}
	return sw_parse_unexpected(parser, "a time such as 90s, 10m or 1h, at most a week (168h)",
				   NULL, 0);
}

static bool parse_existing(struct sw_parser *parser, struct sw_scope_block *scope)
{
	static const char *const words[] = {"keep", "refuse"};

	if (scope->scope != SW_SCOPE_EDGE || scope->existing_given || scope->blocks) {
		sw_diag(parser->diags, SW_ERROR, parser->token.pos,
			"\"existing\" stands once in an edge block, before its ports");
		return false;
	}
	scope->existing_given = true;
	scope->existing_pos = parser->token.pos;
	sw_parse_begin(parser, &scope->existing_comments);
	sw_parse_advance(parser);
	if (sw_parse_accept(parser, "refuse")) {
		scope->keep_seconds = 0;
	} else if (!sw_parse_accept(parser, "keep")) {
		return sw_parse_unexpected(parser, "\"keep\" or \"refuse\"", words,
					   sw_count(words));
	} else if (!parse_time(parser, &scope->keep_seconds)) {
		return false;
	}
	return sw_parse_end(parser, &scope->existing_comments);
}

/* ---- ports ---- */

static bool parse_ports(struct sw_parser *parser, struct sw_port_block *block)
{
	struct sw_port **end = &block->ports;

	do {
		struct sw_port *port = sw_arena_alloc(parser->arena, sizeof(*port));
		uint32_t number;

		sw_parse_skip_lines(parser);
		if (parser->token.kind != SW_TOKEN_WORD ||
		    !sw_number_parse(parser->token.text, parser->token.length, 65535, &number) ||
		    !number)
			return sw_parse_unexpected(parser, "a port, 1 to 65535", NULL, 0);
		port->pos = parser->token.pos;
		port->port = (uint16_t)number;
		*end = port;
		end = &port->next;
		sw_parse_advance(parser);
	} while (sw_parse_accept_kind(parser, SW_TOKEN_COMMA));
	return true;
}

/* A misspelt word that begins a block is taken for what it means, so that what stands inside the
   block is checked as well. */
static bool means(const struct sw_parser *parser, const char *word, const char *const *words,
		  size_t n_words)
{
	const char *near = parser->token.kind == SW_TOKEN_WORD
				   ? sw_diag_nearest(parser->token.text, words, n_words)
				   : NULL;

	return near && strcmp(near, word) == 0;
}

static bool is_one_of(const struct sw_parser *parser, const char *const *words, size_t n_words)
{
	for (size_t i = 0; i < n_words; i++)
		if (sw_parse_is(parser, words[i]))
			return true;
	return false;
}

/* A word that begins a block further out: the closing brace of this one is missing. */
static bool begins_outside(const struct sw_parser *parser, bool in_port)
{
	return (in_port && sw_parse_is(parser, "port")) ||
	       is_one_of(parser, top_words + 1, sw_count(top_words) - 1);
}

static bool at_block_end(const struct sw_parser *parser, bool in_port)
{
	return parser->token.kind == SW_TOKEN_CLOSE || parser->token.kind == SW_TOKEN_END ||
	       begins_outside(parser, in_port);
}

static void parse_rules(struct sw_parser *parser, enum sw_scope scope, struct sw_port_block *block)
{
	struct sw_rule_node **end = &block->rules;
	bool first = true;

	for (; !at_block_end(parser, true); first = false) {
		if (sw_parse_accept_kind(parser, SW_TOKEN_EOL))
			continue;
		if (sw_parse_is(parser, "mode")) {
			if (!parse_block_mode(parser, first, &block->mode, &block->mode_comments))
				give_up(parser);
			continue;
		}
		struct sw_rule_node *rule = sw_arena_alloc(parser->arena, sizeof(*rule));

		if (sw_parse_rule(parser, scope, rule)) {
			*end = rule;
			end = &rule->next;
		} else {
			block->broken = true;
			give_up(parser);
		}
	}
}

static bool parse_port_block(struct sw_parser *parser, enum sw_scope scope,
			     struct sw_port_block *block)
{
	struct sw_pos open;

	sw_parse_begin(parser, &block->comments);
	block->pos = parser->token.pos;
	sw_parse_advance(parser);
	if (!parse_ports(parser, block) && !skip_to_open(parser))
		return false;
	if (!parse_open(parser, &block->comments, &open))
		return false;
	parse_rules(parser, scope, block);
	return parse_close(parser, &block->tail, open);
}

static void parse_port_blocks(struct sw_parser *parser, struct sw_scope_block *scope)
{
	static const char *const words[] = {"port", "mode", "existing"};
	const size_t n_words = scope->scope == SW_SCOPE_EDGE ? 3 : 2;
	struct sw_port_block **end = &scope->blocks;
	bool first = true;

	for (; !at_block_end(parser, false); first = false) {
		if (sw_parse_accept_kind(parser, SW_TOKEN_EOL))
			continue;
		if (sw_parse_is(parser, "mode")) {
			if (!parse_block_mode(parser, first, &scope->mode, &scope->mode_comments))
				give_up(parser);
			continue;
		}
		if (sw_parse_is(parser, "existing")) {
			if (!parse_existing(parser, scope))
				give_up(parser);
			continue;
		}
		if (!sw_parse_is(parser, "port")) {
			if (is_one_of(parser, sw_parse_actions, sw_parse_n_actions))
				sw_diag(parser->diags, SW_ERROR, parser->token.pos,
					"a rule stands in a port block: port 25 { ... }");
			else
				sw_parse_unexpected(parser, "\"port\" or \"}\"", words, n_words);
			if (!means(parser, "port", words, n_words)) {
				give_up(parser);
				continue;
			}
		}
		struct sw_port_block *block = sw_arena_alloc(parser->arena, sizeof(*block));

		*end = block;
		end = &block->next;
		if (!parse_port_block(parser, scope->scope, block))
			give_up(parser);
	}
}

static bool parse_interface(struct sw_parser *parser, struct sw_interface_node *interface)
{
	const struct sw_token *token = &parser->token;

	if (token->kind != SW_TOKEN_STRING && token->kind != SW_TOKEN_WORD)
		return sw_parse_unexpected(parser, "the name of an interface, in quotes", NULL, 0);
	if (!sw_interface_is_pattern(token->text)) {
		sw_diag(parser->diags, SW_ERROR, token->pos,
			"this is no name of an interface: 1 to %d characters, no \"/\", \":\" or "
			"space, "
			"\"*\" only at the end",
			SW_INTERFACE_MAX);
		return false;
	}
	interface->pos = token->pos;
	interface->pattern = token->text;
	sw_parse_advance(parser);
	return true;
}

static bool parse_interfaces(struct sw_parser *parser, struct sw_scope_block *scope)
{
	struct sw_interface_node **end = &scope->interfaces;

	if (scope->scope != SW_SCOPE_EDGE) {
		if (parser->token.kind != SW_TOKEN_STRING)
			return true;
		sw_diag(parser->diags, SW_ERROR, parser->token.pos,
			"interfaces are named by \"edge\" only");
		return false;
	}
	do {
		struct sw_interface_node *interface =
			sw_arena_alloc(parser->arena, sizeof(*interface));

		sw_parse_skip_lines(parser);
		if (!parse_interface(parser, interface))
			return false;
		*end = interface;
		end = &interface->next;
	} while (sw_parse_accept_kind(parser, SW_TOKEN_COMMA));
	return true;
}

static bool parse_scope(struct sw_parser *parser, enum sw_scope kind)
{
	struct sw_scope_block *scope = sw_arena_alloc(parser->arena, sizeof(*scope));
	struct sw_item *item = sw_arena_alloc(parser->arena, sizeof(*item));
	struct sw_pos open;

	scope->scope = kind;
	scope->keep_seconds = SW_KEEP_DEFAULT;
	item->kind = SW_ITEM_SCOPE;
	item->scope = scope;
	*parser->item_end = item;
	parser->item_end = &item->next;
	*parser->scope_end = scope;
	parser->scope_end = &scope->next;

	sw_parse_begin(parser, &scope->comments);
	scope->pos = parser->token.pos;
	sw_parse_advance(parser);
	if (!parse_interfaces(parser, scope) && !skip_to_open(parser))
		return false;
	if (!parse_open(parser, &scope->comments, &open))
		return false;
	parse_port_blocks(parser, scope);
	return parse_close(parser, &scope->tail, open);
}

static bool parse_statement(struct sw_parser *parser)
{
	static const char *const scopes[SW_SCOPE_MAX] = {"host", "edge", "serve"};

	if (sw_parse_is(parser, "mode"))
		return parse_file_mode(parser);
	if (sw_parse_is(parser, "who"))
		return sw_parse_who(parser);
	if (sw_parse_is(parser, "net"))
		return sw_parse_net(parser);
	for (int i = 0; i < SW_SCOPE_MAX; i++)
		if (sw_parse_is(parser, scopes[i]))
			return parse_scope(parser, (enum sw_scope)i);
	if (sw_parse_is(parser, "port")) {
		sw_diag(parser->diags, SW_ERROR, parser->token.pos,
			"a port block stands in host, edge or serve");
		return false;
	}
	sw_parse_unexpected(parser, "mode, who, net, host, edge or serve", top_words,
			    sw_count(top_words));
	for (int i = 0; i < SW_SCOPE_MAX; i++)
		if (means(parser, scopes[i], top_words, sw_count(top_words)))
			return parse_scope(parser, (enum sw_scope)i);
	if (means(parser, "mode", top_words, sw_count(top_words)))
		parser->mode_pos = parser->token.pos;
	return false;
}

void sw_parse_statements(struct sw_parser *parser)
{
	while (parser->token.kind != SW_TOKEN_END) {
		if (sw_parse_accept_kind(parser, SW_TOKEN_EOL))
			continue;
		if (parser->token.kind == SW_TOKEN_CLOSE) {
			sw_diag(parser->diags, SW_ERROR, parser->token.pos,
				"this \"}\" closes no block");
			sw_parse_advance(parser);
			continue;
		}
		if (!parse_statement(parser))
			give_up(parser);
	}
}
