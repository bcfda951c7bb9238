/* SPDX-License-Identifier: GPL-2.0-or-later */
/* parse_names.c - `who` and `net`, and what can stand in place of their names. */
#include <string.h>

#include "daemon/policy/parse.h"
#include "daemon/policy/prefix.h"

static const struct {
	const char *word, *value;
} selectors[SW_SELECT_MAX] = {
	[SW_SELECT_EXE] = {"exe", "the path of a program, in quotes"},
	[SW_SELECT_USER] = {"user", "a user's name or number"},
	[SW_SELECT_GROUP] = {"group", "a group's name or number"},
	[SW_SELECT_UNIT] = {"unit", "the name of a systemd unit, in quotes"},
	[SW_SELECT_CGROUP] = {"cgroup", "the path of a cgroup, in quotes"},
};

static const char *const item_words[] = {"file"};

static bool is_identifier(const char *text)
{
	for (const char *at = text; *at; at++) {
		bool letter =
			(*at >= 'a' && *at <= 'z') || (*at >= 'A' && *at <= 'Z') || *at == '_';

		if (!letter && (at == text || !((*at >= '0' && *at <= '9') || *at == '-')))
			return false;
	}
	return *text != '\0';
}

bool sw_parse_name(struct sw_parser *parser, const char *expected, const char **name)
{
	const struct sw_token *token = &parser->token;
	const char *shown;

	if (token->kind != SW_TOKEN_WORD)
		return sw_parse_unexpected(parser, expected, NULL, 0);
	shown = sw_parse_shown(parser, token->text);
	if (sw_is_reserved(token->text))
		sw_diag(parser->diags, SW_ERROR, token->pos,
			"expected %s, found \"%s\", which is a word of the language", expected,
			shown);
	else if (!is_identifier(token->text))
		sw_diag(parser->diags, SW_ERROR, token->pos,
			"expected %s, found \"%s\": a name is a letter or \"_\", then letters, "
			"digits, "
			"\"_\" and \"-\"",
			expected, shown);
	else if (token->length > SW_IDENTIFIER_MAX)
		sw_diag(parser->diags, SW_ERROR, token->pos,
			"this name has %zu characters, %d are the most", token->length,
			SW_IDENTIFIER_MAX);
	else {
		*name = token->text;
		sw_parse_advance(parser);
		return true;
	}
	return false;
}

static bool selector_kind(const struct sw_parser *parser, enum sw_selector_kind *kind)
{
	for (int i = 0; i < SW_SELECT_MAX; i++)
		if (sw_parse_is(parser, selectors[i].word)) {
			*kind = (enum sw_selector_kind)i;
			return true;
		}
	return false;
}

bool sw_parse_is_selector(const struct sw_parser *parser)
{
	enum sw_selector_kind kind;

	return selector_kind(parser, &kind);
}

/* One spelling for each cgroup: "/a/b", a slash before every part and none at the end. */
static const char *canonical_cgroup(struct sw_parser *parser, const struct sw_token *token)
{
	char *path = sw_arena_alloc(parser->arena, token->length + 2), *put = path;

	*put++ = '/';
	for (const char *at = token->text; *at; at++)
		if (*at != '/' || put[-1] != '/')
			*put++ = *at;
	if (put > path + 1 && put[-1] == '/')
		*--put = '\0';
	return path;
}

static bool parse_selector(struct sw_parser *parser, enum sw_selector_kind kind,
			   struct sw_selector *selector)
{
	const struct sw_token *token = &parser->token;

	selector->kind = kind;
	selector->pos = token->pos;
	sw_parse_advance(parser);
	if (token->kind != SW_TOKEN_STRING && token->kind != SW_TOKEN_WORD)
		return sw_parse_unexpected(parser, selectors[kind].value, NULL, 0);
	if (token->kind == SW_TOKEN_WORD && sw_is_reserved(token->text)) {
		sw_diag(parser->diags, SW_ERROR, token->pos,
			"expected %s, found \"%s\"; if that is the name, put it in quotes",
			selectors[kind].value, token->text);
		return false;
	}
	if (!token->length) {
		sw_diag(parser->diags, SW_ERROR, token->pos, "expected %s, found an empty string",
			selectors[kind].value);
		return false;
	}
	selector->text = kind == SW_SELECT_CGROUP ? canonical_cgroup(parser, token) : token->text;
	selector->pos = token->pos;
	sw_parse_advance(parser);
	return true;
}

/* A caller has one program, one user, one unit. Of groups and cgroups it has several, but a list of
   names says that as well. */
static bool refuse_second(struct sw_parser *parser, const struct sw_selector *first,
			  enum sw_selector_kind kind)
{
	for (; first; first = first->next) {
		if (first->kind != kind)
			continue;
		sw_diag(parser->diags, SW_ERROR, parser->token.pos,
			"a second \"%s\": selectors on one line must all hold; for one or the "
			"other, "
			"list them with a comma in the rule",
			selectors[kind].word);
		sw_diag(parser->diags, SW_NOTE, first->pos, "the first is here");
		return false;
	}
	return true;
}

bool sw_parse_selectors(struct sw_parser *parser, struct sw_selector **list)
{
	static const char *const words[] = {"exe", "user", "group", "unit", "cgroup"};
	struct sw_selector **end = list;
	enum sw_selector_kind kind;

	while (selector_kind(parser, &kind)) {
		struct sw_selector *selector = sw_arena_alloc(parser->arena, sizeof(*selector));

		if (!refuse_second(parser, *list, kind) || !parse_selector(parser, kind, selector))
			return false;
		*end = selector;
		end = &selector->next;
	}
	if (*list)
		return true;
	return sw_parse_unexpected(parser, "\"exe\", \"user\", \"group\", \"unit\" or \"cgroup\"",
				   words, sw_count(words));
}

static struct sw_item *add_item(struct sw_parser *parser, int kind)
{
	struct sw_item *item = sw_arena_alloc(parser->arena, sizeof(*item));

	item->kind = kind;
	*parser->item_end = item;
	parser->item_end = &item->next;
	return item;
}

bool sw_parse_who(struct sw_parser *parser)
{
	struct sw_who *who = sw_arena_alloc(parser->arena, sizeof(*who));

	sw_parse_begin(parser, &who->comments);
	sw_parse_advance(parser);
	who->pos = parser->token.pos;
	if (!sw_parse_name(parser, "a name", &who->name))
		return false;
	add_item(parser, SW_ITEM_WHO)->who = who;
	*parser->who_end = who;
	parser->who_end = &who->next;
	who->broken = true;
	if (!sw_parse_expect(parser, SW_TOKEN_EQUALS, "\"=\""))
		return false;
	sw_parse_skip_lines(parser);
	if (!sw_parse_selectors(parser, &who->selectors) || !sw_parse_end(parser, &who->comments))
		return false;
	who->broken = false;
	return true;
}

bool sw_parse_is_prefix(const struct sw_parser *parser)
{
	const char *text = parser->token.text;

	return parser->token.kind == SW_TOKEN_WORD &&
	       ((*text >= '0' && *text <= '9') || strpbrk(text, ":/[") != NULL);
}

bool sw_parse_prefix(struct sw_parser *parser, struct sw_net_item *item)
{
	const struct sw_token *token = &parser->token;
	char why[SW_PREFIX_WHY] = "an address stands here without brackets";

	if (*token->text == '[' ||
	    !sw_prefix_parse(token->text, token->length, &item->prefix, why)) {
		sw_diag(parser->diags, SW_ERROR, token->pos, "%s", why);
		return false;
	}
	item->kind = SW_NET_PREFIX;
	item->pos = token->pos;
	sw_parse_advance(parser);
	return true;
}

static bool parse_file(struct sw_parser *parser, struct sw_net_item *item)
{
	sw_parse_advance(parser);
	if (parser->token.kind != SW_TOKEN_STRING || !parser->token.length)
		return sw_parse_unexpected(parser, "the name of a list file, in quotes", NULL, 0);
	item->kind = SW_NET_FILE;
	item->pos = parser->token.pos;
	item->text = parser->token.text;
	sw_parse_advance(parser);
	return true;
}

static bool parse_item(struct sw_parser *parser, struct sw_net_item *item)
{
	if (sw_parse_is_prefix(parser))
		return sw_parse_prefix(parser, item);
	if (sw_parse_is(parser, "file"))
		return parse_file(parser, item);
	if (parser->token.kind != SW_TOKEN_WORD)
		return sw_parse_unexpected(parser, "a prefix, the name of a net or \"file\"",
					   item_words, sw_count(item_words));
	item->kind = SW_NET_NAME;
	item->pos = parser->token.pos;
	return sw_parse_name(parser, "a prefix, the name of a net or \"file\"", &item->text);
}

/* After an error in an item: on to what ends it, so that the next ones are looked at too. */
static void give_up_item(struct sw_parser *parser)
{
	while (parser->token.kind == SW_TOKEN_WORD || parser->token.kind == SW_TOKEN_STRING ||
	       parser->token.kind == SW_TOKEN_EQUALS || parser->token.kind == SW_TOKEN_BAD)
		sw_parse_advance(parser);
}

/* A comment behind an item, or behind its comma, belongs to that item. */
static bool parse_listed(struct sw_parser *parser, struct sw_net_item *item, bool *more)
{
	bool good;

	sw_parse_begin(parser, &item->comments);
	good = parse_item(parser, item);
	if (!good)
		give_up_item(parser);
	*more = sw_parse_accept_kind(parser, SW_TOKEN_COMMA);
	if (parser->token.kind == SW_TOKEN_EOL) {
		item->comments.behind = parser->token.text;
		sw_parse_advance(parser);
	}
	return good;
}

/* A word that begins a statement: no list goes on here, its brace was not closed. */
static bool begins_statement(const struct sw_parser *parser)
{
	static const char *const words[] = {"mode", "who", "net", "host", "edge", "serve", "port"};

	for (size_t i = 0; i < sw_count(words); i++)
		if (sw_parse_is(parser, words[i]))
			return true;
	return false;
}

static bool list_ends(const struct sw_parser *parser)
{
	return begins_statement(parser) ||
	       (parser->token.kind != SW_TOKEN_WORD && parser->token.kind != SW_TOKEN_STRING &&
		parser->token.kind != SW_TOKEN_BAD && parser->token.kind != SW_TOKEN_COMMA);
}

static bool end_list(struct sw_parser *parser, struct sw_net *net, struct sw_pos open, bool good)
{
	static const char item[] = "a prefix, the name of a net or \"file\"";
	bool closed = parser->token.kind == SW_TOKEN_CLOSE;

	if (!closed || (good && !net->items))
		good = sw_parse_unexpected(parser, net->items ? "\",\" or \"}\"" : item, NULL, 0);
	if (!closed) {
		sw_diag(parser->diags, SW_NOTE, open, "in this list");
		return false;
	}
	net->tail = parser->token.before;
	sw_parse_advance(parser);
	return good;
}

/* From the opening brace to the closing one. */
static bool parse_items(struct sw_parser *parser, struct sw_net *net)
{
	struct sw_net_item **end = &net->items;
	struct sw_pos open = parser->token.pos;
	bool more = true, good = true;

	sw_parse_advance(parser);
	if (parser->token.kind == SW_TOKEN_EOL) {
		net->comments.behind = parser->token.text;
		sw_parse_advance(parser);
	}
	while (!list_ends(parser)) {
		struct sw_net_item *item = sw_arena_alloc(parser->arena, sizeof(*item));

		if (!more)
			good = sw_parse_unexpected(parser, "\",\" or \"}\"", NULL, 0);
		if (!more && sw_parse_accept_kind(parser, SW_TOKEN_COMMA)) {
			more = true;
			continue;
		}
		if (!parse_listed(parser, item, &more)) {
			good = false;
			continue;
		}
		*end = item;
		end = &item->next;
	}
	return end_list(parser, net, open, good);
}

/* Two comments on the lines of one statement: the first moves before it. */
static bool end_net(struct sw_parser *parser, struct sw_net *net)
{
	const char *first = net->comments.behind;

	net->comments.behind = NULL;
	if (!sw_parse_end(parser, &net->comments))
		return false;
	if (!net->comments.behind) {
		net->comments.behind = first;
	} else if (first) {
		sw_parse_add_before(parser, &net->comments, first);
	}
	return true;
}

bool sw_parse_net(struct sw_parser *parser)
{
	struct sw_net *net = sw_arena_alloc(parser->arena, sizeof(*net));

	sw_parse_begin(parser, &net->comments);
	sw_parse_advance(parser);
	net->pos = parser->token.pos;
	if (!sw_parse_name(parser, "a name", &net->name))
		return false;
	add_item(parser, SW_ITEM_NET)->net = net;
	*parser->net_end = net;
	parser->net_end = &net->next;
	net->broken = true;
	if (!sw_parse_expect(parser, SW_TOKEN_EQUALS, "\"=\""))
		return false;
	sw_parse_skip_lines(parser);
	if (parser->loose)
		sw_parse_add_before(parser, &net->comments, NULL);
	if (parser->token.kind == SW_TOKEN_OPEN) {
		/* what begins a statement is not given up with the list */
		if (!parse_items(parser, net))
			return begins_statement(parser);
	} else {
		struct sw_net_item *item = sw_arena_alloc(parser->arena, sizeof(*item));

		if (!parse_item(parser, item))
			return false;
		net->items = item;
	}
	if (!end_net(parser, net))
		return false;
	net->broken = false;
	return true;
}
