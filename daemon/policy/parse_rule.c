/* SPDX-License-Identifier: GPL-2.0-or-later */
/* parse_rule.c - one rule: what to do, and for whom. */
#include <string.h>

#include "daemon/policy/parse.h"
#include "daemon/policy/prefix.h"

const char *const sw_parse_actions[] = {"allow", "reject", "drop", "redirect", "require", "audit"};
const size_t sw_parse_n_actions = sw_count(sw_parse_actions);

/* The kernel side keeps this much of a text, its NUL included. */
#define TEXT_MAX 255

static bool parse_text(struct sw_parser *parser, struct sw_rule_node *rule)
{
	const struct sw_token *token = &parser->token;

	if (token->kind != SW_TOKEN_STRING)
		return true;
	if (!token->length || token->length > TEXT_MAX) {
		sw_diag(parser->diags, SW_ERROR, token->pos,
			token->length ? "this text has %zu bytes, %d are the most"
				      : "an empty text; leave it out",
			token->length, TEXT_MAX);
		return false;
	}
	rule->text = token->text;
	sw_parse_advance(parser);
	return true;
}

/* `answer` says the text in SMTP, whose replies are ASCII (RFC 5321, 4.2). */
static bool parse_answer(struct sw_parser *parser, struct sw_rule_node *rule, struct sw_pos text)
{
	if (!sw_parse_is(parser, "answer"))
		return true;
	rule->answer = true;
	rule->answer_pos = parser->token.pos;
	for (const char *at = rule->text; at && *at; at++)
		if (*at < ' ' || *at > '~') {
			sw_diag(parser->diags, SW_ERROR, text,
				"\"answer\" says this text in SMTP, which takes printable ASCII "
				"only");
			return false;
		}
	if (!rule->text) {
		sw_diag(parser->diags, SW_ERROR, rule->answer_pos,
			"\"answer\" needs a text to say: reject \"...\" answer");
		return false;
	}
	sw_parse_advance(parser);
	return true;
}

static bool parse_reject(struct sw_parser *parser, struct sw_rule_node *rule)
{
	struct sw_pos text = parser->token.pos;

	return parse_text(parser, rule) && parse_answer(parser, rule, text);
}

static bool parse_target(struct sw_parser *parser, struct sw_rule_node *rule)
{
	static const char *const families[] = {"IPv4", "IPv6"};
	const struct sw_token *token = &parser->token;
	char why[SW_PREFIX_WHY];
	struct sw_target target;
	unsigned int family;

	if (token->kind != SW_TOKEN_WORD || sw_is_reserved(token->text))
		return sw_parse_unexpected(parser, "ADDRESS:PORT", NULL, 0);
	if (!sw_target_parse(token->text, token->length, &target, &family, why)) {
		sw_diag(parser->diags, SW_ERROR, token->pos, "%s", why);
		return false;
	}
	if (rule->targets[family].given) {
		sw_diag(parser->diags, SW_ERROR, token->pos,
			"a second %s target: one of each family can be given", families[family]);
		return false;
	}
	rule->targets[family] = target;
	sw_parse_advance(parser);
	return true;
}

static bool parse_redirect(struct sw_parser *parser, struct sw_rule_node *rule)
{
	do {
		sw_parse_skip_lines(parser);
		if (!parse_target(parser, rule))
			return false;
	} while (sw_parse_accept_kind(parser, SW_TOKEN_COMMA));
	return true;
}

/* TLS 1.2 is 0x0303 on the wire. */
static uint16_t tls_version(const char *text)
{
	if (strncmp(text, "1.", 2) == 0 && text[2] >= '0' && text[2] <= '3' && !text[3])
		return (uint16_t)(0x0301 + (text[2] - '0'));
	return 0;
}

static bool tls_twice(struct sw_parser *parser, bool twice)
{
	if (twice)
		sw_diag(parser->diags, SW_ERROR, parser->token.pos,
			"\"require tls\" has one way, one version and one \"proxy\"");
	return !twice;
}

/* One word behind `require tls`. "proxy" is not reserved: Debian has a user of that name. */
static bool parse_tls_word(struct sw_parser *parser, struct sw_rule_node *rule)
{
	static const char *const words[] = {"implicit", "starttls", "proxy", "from", "to"};
	uint16_t version = 0;

	if (parser->token.kind == SW_TOKEN_WORD)
		version = tls_version(parser->token.text);
	if (version) {
		if (!tls_twice(parser, rule->tls_version))
			return false;
		rule->tls_version = version;
	} else if (sw_parse_is(parser, "implicit") || sw_parse_is(parser, "starttls")) {
		if (!tls_twice(parser, rule->tls_way))
			return false;
		rule->tls_way = sw_parse_is(parser, "implicit") ? SW_WAY_IMPLICIT : SW_WAY_STARTTLS;
	} else if (sw_parse_is(parser, "proxy")) {
		if (!tls_twice(parser, rule->tls_proxy))
			return false;
		rule->tls_proxy = true;
	} else {
		return sw_parse_unexpected(parser,
					   "\"implicit\", \"starttls\", a version (1.0, 1.1, "
					   "1.2, 1.3), \"proxy\" or the end of the line",
					   words, sw_count(words));
	}
	sw_parse_advance(parser);
	return true;
}

static bool parse_tls(struct sw_parser *parser, struct sw_rule_node *rule)
{
	if (!sw_parse_accept(parser, "tls")) {
		static const char *const tls[] = {"tls"};

		return sw_parse_unexpected(parser, "\"tls\"", tls, 1);
	}
	while ((parser->token.kind == SW_TOKEN_WORD || parser->token.kind == SW_TOKEN_STRING) &&
	       !sw_parse_is(parser, "from") && !sw_parse_is(parser, "to"))
		if (!parse_tls_word(parser, rule))
			return false;
	return true;
}

static bool parse_action(struct sw_parser *parser, struct sw_rule_node *rule)
{
	if (sw_parse_accept(parser, "allow")) {
		rule->action = SW_RULE_ALLOW;
		return true;
	}
	if (sw_parse_accept(parser, "drop")) {
		rule->action = SW_RULE_DROP;
		return true;
	}
	if (sw_parse_accept(parser, "audit")) {
		rule->action = SW_RULE_AUDIT_ONLY;
		return true;
	}
	if (sw_parse_accept(parser, "reject")) {
		rule->action = SW_RULE_REJECT;
		return parse_reject(parser, rule);
	}
	if (sw_parse_accept(parser, "redirect")) {
		rule->action = SW_RULE_REDIRECT;
		return parse_redirect(parser, rule);
	}
	if (sw_parse_accept(parser, "require")) {
		rule->action = SW_RULE_REQUIRE_TLS;
		return parse_tls(parser, rule);
	}
	return sw_parse_unexpected(
		parser, "a rule (allow, reject, drop, redirect, require tls, audit) or \"}\"",
		sw_parse_actions, sw_parse_n_actions);
}

/* What stands in a list but belongs elsewhere: says where. */
static bool refuse_misplaced(struct sw_parser *parser)
{
	const struct sw_token *token = &parser->token;

	if (token->kind == SW_TOKEN_STRING)
		sw_diag(parser->diags, SW_ERROR, token->pos,
			"a string alone names nothing: write exe, user, group, unit or cgroup "
			"before it");
	else if (token->kind == SW_TOKEN_OPEN)
		sw_diag(parser->diags, SW_ERROR, token->pos,
			"a list in a rule has no braces; or give it a name: net NAME = { ... }");
	else if (sw_parse_is(parser, "file"))
		sw_diag(parser->diags, SW_ERROR, token->pos,
			"a list file stands in a net: net NAME = { file \"...\" }");
	else
		return true;
	return false;
}

static bool parse_party(struct sw_parser *parser, enum sw_party_kind named, struct sw_party *party)
{
	party->pos = parser->token.pos;
	if (!refuse_misplaced(parser))
		return false;
	if (sw_parse_accept(parser, "local")) {
		party->kind = SW_PARTY_LOCAL;
		return true;
	}
	if (sw_parse_is_selector(parser)) {
		party->kind = SW_PARTY_WHO;
		party->who = sw_arena_alloc(parser->arena, sizeof(*party->who));
		party->who->pos = party->pos;
		return sw_parse_selectors(parser, &party->who->selectors);
	}
	if (sw_parse_is_prefix(parser)) {
		party->kind = SW_PARTY_NET;
		party->net = sw_arena_alloc(parser->arena, sizeof(*party->net));
		party->net->pos = party->pos;
		party->net->items = sw_arena_alloc(parser->arena, sizeof(*party->net->items));
		return sw_parse_prefix(parser, party->net->items);
	}
	party->kind = named;
	return sw_parse_name(parser,
			     named == SW_PARTY_WHO
				     ? "the name of a who, exe, user, group, unit or cgroup"
				     : "\"local\", the name of a net or a prefix",
			     &party->name);
}

static bool parse_list(struct sw_parser *parser, enum sw_party_kind named, struct sw_party **list)
{
	struct sw_party **end = list;

	if (*list) {
		sw_diag(parser->diags, SW_ERROR, parser->token.pos,
			"a second \"%s\": one list holds them all, with commas",
			parser->token.text);
		return false;
	}
	sw_parse_advance(parser);
	do {
		struct sw_party *party = sw_arena_alloc(parser->arena, sizeof(*party));

		sw_parse_skip_lines(parser);
		if (!parse_party(parser, named, party))
			return false;
		*end = party;
		end = &party->next;
	} while (sw_parse_accept_kind(parser, SW_TOKEN_COMMA));
	return true;
}

static bool end_rule(struct sw_parser *parser, struct sw_rule_node *rule)
{
	static const char *const words[] = {"from", "to", "answer"};
	bool answer = rule->text && !rule->answer, list = rule->from || rule->to;

	if (parser->token.kind != SW_TOKEN_WORD && parser->token.kind != SW_TOKEN_STRING)
		return sw_parse_end(parser, &rule->comments);
	if (sw_parse_is(parser, "answer")) {
		sw_diag(parser->diags, SW_ERROR, parser->token.pos,
			"\"answer\" stands once, right behind a text: reject \"...\" answer");
		return false;
	}
	return sw_parse_unexpected(parser,
				   list     ? "\",\", \"from\", \"to\" or the end of the line"
				   : answer ? "\"answer\", \"from\", \"to\" or the end of the line"
					    : "\"from\", \"to\" or the end of the line",
				   words, answer && !list ? 3 : 2);
}

bool sw_parse_rule(struct sw_parser *parser, enum sw_scope scope, struct sw_rule_node *rule)
{
	bool good = true;

	sw_parse_begin(parser, &rule->comments);
	rule->pos = parser->token.pos;
	if (!parse_action(parser, rule))
		return false;
	while (good) {
		if (sw_parse_is(parser, "from"))
			good = parse_list(parser,
					  scope == SW_SCOPE_HOST ? SW_PARTY_WHO : SW_PARTY_NET,
					  &rule->from);
		else if (sw_parse_is(parser, "to"))
			good = parse_list(parser, SW_PARTY_NET, &rule->to);
		else
			return end_rule(parser, rule);
	}
	return false;
}
