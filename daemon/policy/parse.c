/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * parse.c - policy text to a tree: recursive descent, one token ahead. After an error the statement
 * is given up and the next one is read, so that one look shows all the errors.
 *
 *   policy    = { mode | who | net | scope }
 *   mode      = "mode" ( "enforce" | "audit" ) EOL                      once, required
 *   who       = "who" NAME "=" selectors EOL
 *   selectors = selector { selector }                                   each kind once; AND
 *   selector  = "exe" STRING | ( "user" | "group" ) ( NAME | NUMBER | STRING )
 *             | ( "unit" | "cgroup" ) ( WORD | STRING )
 *   net       = "net" NAME "=" ( item | "{" item { "," item } [ "," ] "}" ) EOL
 *   item      = PREFIX | NAME | "file" STRING
 *   scope     = ( "host" | "serve" ) "{" [ mode ] { port } "}" EOL
 *             | "edge" interface { "," interface }
 *               "{" [ mode ] [ existing ] { port } "}" EOL
 *   existing  = "existing" ( "keep" TIME | "refuse" ) EOL
 *   interface = STRING | WORD
 *   port      = "port" NUMBER { "," NUMBER } "{" [ mode ] { rule } "}" EOL
 *   rule      = action { "from" list | "to" list } EOL                  each once, in any order
 *   action    = "allow" | "drop" | "audit" | "reject" [ STRING [ "answer" ] ]
 *             | "redirect" TARGET [ "," TARGET ]                        one of each family
 *             | "require" "tls" { "implicit" | "starttls" | "1.0" ... "1.3" | "proxy" }
 *   list      = party { "," party }                                     OR
 *   party     = NAME | selectors | PREFIX | "local"
 *
 * A statement ends with its line (EOL), before a "}" or at the end of the file; it goes on behind a
 * comma, behind "=" and inside "{" of a net. "{" may stand on the line behind its header. "#" begins
 * a comment that ends with the line.
 *   NAME      a letter or "_", then letters, digits, "_" and "-"; no word of the language. Names of
 *             users and groups that look otherwise stand in quotes.
 *   PREFIX    192.0.2.0/24, 2001:db8::/32; without "/": one address
 *   TARGET    127.0.0.1:25, [::1]:25
 *   TIME      90s, 10m, 1h; up to a week
 *   STRING    in double quotes, on one line; \" and \\ stand for " and \
 *   NUMBER    decimal; ports are 1 to 65535
 * The text is UTF-8, a byte order mark at its start and CRLF line ends are accepted.
 */
#include "daemon/policy/parse.h"

#include <stdio.h>
#include <string.h>

#include "daemon/policy/policy.h"
#include "daemon/policy/text.h"

static const char *const reserved[] = {
	"mode",    "enforce", "audit",    "who",      "net",  "host",     "edge",
	"serve",   "port",    "allow",    "reject",   "drop", "redirect", "local",
	"require", "tls",     "implicit", "starttls", "from", "to",       "exe",
	"user",    "group",   "unit",     "cgroup",   "file",
};

bool sw_is_reserved(const char *word)
{
	for (size_t i = 0; i < sw_count(reserved); i++)
		if (strcmp(word, reserved[i]) == 0)
			return true;
	return false;
}

void sw_parse_advance(struct sw_parser *parser)
{
	parser->token = sw_lex_next(&parser->lexer);
}

bool sw_parse_is(const struct sw_parser *parser, const char *word)
{
	return parser->token.kind == SW_TOKEN_WORD && strcmp(parser->token.text, word) == 0;
}

bool sw_parse_accept(struct sw_parser *parser, const char *word)
{
	if (!sw_parse_is(parser, word))
		return false;
	sw_parse_advance(parser);
	return true;
}

bool sw_parse_accept_kind(struct sw_parser *parser, enum sw_token_kind kind)
{
	if (parser->token.kind != kind)
		return false;
	sw_parse_advance(parser);
	return true;
}

void sw_parse_keep(struct sw_parser *parser, const char *text)
{
	struct sw_loose *loose;

	if (!text)
		return;
	loose = sw_arena_alloc(parser->arena, sizeof(*loose));
	loose->text = text;
	*parser->loose_end = loose;
	parser->loose_end = &loose->next;
}

/* Joins `first`, the comments kept, and `last`; keeps none any more. */
static const char *join(struct sw_parser *parser, const char *first, const char *last)
{
	size_t size = (first ? strlen(first) + 1 : 0) + (last ? strlen(last) + 1 : 0);
	struct sw_loose head = {.text = first, .next = parser->loose}, foot = {.text = last};

	if (!size && !parser->loose)
		return NULL;
	*(parser->loose ? parser->loose_end : &head.next) = &foot;
	for (struct sw_loose *loose = parser->loose; loose; loose = loose->next)
		size += loose->text ? strlen(loose->text) + 1 : 0;
	char *joined = sw_arena_alloc(parser->arena, size), *put = joined;

	for (struct sw_loose *loose = &head; loose; loose = loose->next) {
		if (!loose->text)
			continue;
		if (put != joined)
			*put++ = '\n';
		memcpy(put, loose->text, strlen(loose->text));
		put += strlen(loose->text);
	}
	parser->loose = NULL;
	parser->loose_end = &parser->loose;
	return joined;
}

void sw_parse_skip_lines(struct sw_parser *parser)
{
	while (parser->token.kind == SW_TOKEN_EOL) {
		sw_parse_keep(parser, parser->token.text);
		sw_parse_advance(parser);
		const char *before = parser->token.before;
		if (before && strncmp(before, SW_EMPTY_LINE, 1) == 0)
			before = before[1] ? before + 2 : NULL;
		sw_parse_keep(parser, before);
	}
}

const char *sw_parse_take_kept(struct sw_parser *parser)
{
	return join(parser, NULL, parser->token.before);
}

void sw_parse_begin(struct sw_parser *parser, struct sw_comments *comments)
{
	const char *before = sw_parse_take_kept(parser);

	if (before && strncmp(before, SW_EMPTY_LINE, 1) == 0) {
		comments->blank_before = true;
		before += before[1] ? 2 : 1;
	}
	comments->before = before && *before ? before : NULL;
}

void sw_parse_add_before(struct sw_parser *parser, struct sw_comments *comments, const char *text)
{
	comments->before = join(parser, comments->before, text);
}

bool sw_parse_end(struct sw_parser *parser, struct sw_comments *comments)
{
	if (parser->loose)
		sw_parse_add_before(parser, comments, NULL);
	if (parser->token.kind == SW_TOKEN_CLOSE || parser->token.kind == SW_TOKEN_END)
		return true;
	if (parser->token.kind != SW_TOKEN_EOL)
		return sw_parse_unexpected(parser, "the end of the line", NULL, 0);
	comments->behind = parser->token.text;
	sw_parse_advance(parser);
	return true;
}

const char *sw_parse_shown(struct sw_parser *parser, const char *text)
{
	const size_t most = 60;
	size_t length = strlen(text);

	if (length <= most)
		return text;
	for (length = most; length && ((unsigned char)text[length] & 0xc0) == 0x80;)
		length--;
	char *shown = sw_arena_alloc(parser->arena, length + 4);

	memcpy(shown, text, length);
	memcpy(shown + length, "...", 3);
	return shown;
}

bool sw_parse_unexpected(struct sw_parser *parser, const char *expected, const char *const *words,
			 size_t n_words)
{
	static const char *const kinds[] = {
		[SW_TOKEN_END] = "the end of the file",
		[SW_TOKEN_EOL] = "the end of the line",
		[SW_TOKEN_STRING] = "a string",
		[SW_TOKEN_OPEN] = "\"{\"",
		[SW_TOKEN_CLOSE] = "\"}\"",
		[SW_TOKEN_COMMA] = "\",\"",
		[SW_TOKEN_EQUALS] = "\"=\"",
	};
	const struct sw_token *token = &parser->token;
	const char *near = NULL;

	if (token->kind == SW_TOKEN_BAD) {
		sw_diag(parser->diags, SW_ERROR, token->pos, "%s", token->text);
		return false;
	}
	if (token->kind != SW_TOKEN_WORD) {
		sw_diag(parser->diags, SW_ERROR, token->pos, "expected %s, found %s", expected,
			kinds[token->kind]);
		return false;
	}
	sw_diag(parser->diags, SW_ERROR, token->pos, "expected %s, found \"%s\"", expected,
		sw_parse_shown(parser, token->text));
	near = sw_diag_nearest(token->text, words, n_words);
	if (near)
		sw_diag(parser->diags, SW_NOTE, token->pos, "did you mean \"%s\"?", near);
	return false;
}

bool sw_parse_expect(struct sw_parser *parser, enum sw_token_kind kind, const char *expected)
{
	return sw_parse_accept_kind(parser, kind) || sw_parse_unexpected(parser, expected, NULL, 0);
}

/* A text that is none is refused as a whole: its lines could not be shown as they are. */
static bool is_text(const char *text, size_t length, uint16_t source, struct sw_diags *diags)
{
	struct sw_pos pos = {.source = source, .length = 1};
	size_t where = 0;

	switch (sw_text_check(text, length, &where)) {
	case SW_TEXT_OK:
		return true;
	case SW_TEXT_NUL:
		sw_text_place(text, length, where, &pos.line, &pos.column);
		sw_diag(diags, SW_ERROR, pos, "a NUL byte: this is no text");
		return false;
	case SW_TEXT_INVALID:
		sw_text_place(text, length, where, &pos.line, &pos.column);
		sw_diag(diags, SW_ERROR, pos, "this byte is not UTF-8");
		return false;
	case SW_TEXT_CONTROL:
		sw_text_place(text, length, where, &pos.line, &pos.column);
		sw_diag(diags, SW_ERROR, pos, "a control character");
		return false;
	}
	return false;
}

struct sw_policy_ast *sw_policy_parse(const char *name, const char *text, size_t length,
				      struct sw_diags *diags)
{
	struct sw_arena *arena = sw_arena_new();
	struct sw_policy_ast *policy = sw_arena_alloc(arena, sizeof(*policy));
	struct sw_parser parser = {
		.arena = arena,
		.diags = diags,
		.policy = policy,
		.who_end = &policy->whos,
		.net_end = &policy->nets,
		.item_end = &policy->items,
		.scope_end = &policy->scopes,
	};

	policy->arena = arena;
	policy->source_text = text;
	policy->source_length = length;
	policy->source = sw_diags_add_source(diags, name, text, length);
	policy->mode_seen = true;
	if (!is_text(text, length, policy->source, diags))
		return policy;
	parser.loose_end = &parser.loose;
	sw_lex_init(&parser.lexer, arena, policy->source, text, length);
	sw_parse_advance(&parser);
	sw_parse_statements(&parser);
	policy->tail = sw_parse_take_kept(&parser);
	policy->mode_seen = parser.mode_pos.line != 0;
	return policy;
}

void sw_policy_free(struct sw_policy_ast *policy)
{
	if (policy)
		sw_arena_free(policy->arena);
}
