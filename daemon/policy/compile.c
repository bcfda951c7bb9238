/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * compile.c - a checked policy as the kernel reads it.
 *
 * Each rule becomes one or more rows, in the order of the file, so that the first row that matches
 * belongs to the first rule that does. The destinations of a rule are one set, and so are the sources
 * of edge and serve rules: what makes a rule need several rows is the callers of a host rule alone.
 */
#include <stdio.h>
#include <string.h>

#include "bpf/abi.h"
#include "bpf/match.h"
#include "daemon/policy/compile.h"
#include "daemon/policy/policy.h"

static const uint8_t dim_of[] = {
	[SW_SELECT_EXE] = SW_DIM_EXE,       [SW_SELECT_USER] = SW_DIM_USER,
	[SW_SELECT_GROUP] = SW_DIM_GROUP,   [SW_SELECT_UNIT] = SW_DIM_UNIT,
	[SW_SELECT_CGROUP] = SW_DIM_CGROUP,
};
static_assert(sw_count(dim_of) == SW_SELECT_MAX, "a dimension for each kind of selector");

static const uint8_t action_of[] = {
	[SW_RULE_ALLOW] = SW_ACTION_ALLOW,     [SW_RULE_REJECT] = SW_ACTION_REJECT,
	[SW_RULE_DROP] = SW_ACTION_DROP,       [SW_RULE_REDIRECT] = SW_ACTION_REDIRECT,
	[SW_RULE_REQUIRE_TLS] = SW_ACTION_TLS, [SW_RULE_AUDIT_ONLY] = SW_ACTION_AUDIT,
};
static_assert(sw_count(action_of) == SW_RULE_ACTION_MAX, "an action for each action");

/* A port block and the scope that it stands in. */
struct place {
	const struct sw_scope_block *scope;
	const struct sw_port *ports;
	uint32_t pattern; /* edge: place of the scope's first interface among all */
};

/* ---- the rule itself ---- */

/* Copies text that fits `size` with its NUL, else as much as leaves room for `mark`, without cutting
   a character of UTF-8 in two. */
static void copy_cut(char *to, size_t size, const char *text, const char *mark)
{
	size_t length = strlen(text);

	if (length < size) {
		memcpy(to, text, length + 1);
		return;
	}
	length = size - 1 - strlen(mark);
	while (length > 0 && ((unsigned char)text[length] & 0xc0) == 0x80)
		length--;
	memcpy(to, text, length);
	memcpy(to + length, mark, strlen(mark) + 1);
}

/* Ones' complement sum (RFC 1071) of the words as they lie in memory, not inverted. The zeros behind
   the end of the line do not change it, and fill up a last word that is half. */
static uint16_t line_sum(const struct sw_answer_line *line)
{
	uint16_t words[SW_ANSWER_MAX / 2];
	uint32_t sum = 0;

	memcpy(words, line->bytes, sizeof(words));
	for (size_t i = 0; i < sw_count(words); i++)
		sum += words[i];
	sum = (sum & 0xffff) + (sum >> 16);
	return (uint16_t)((sum & 0xffff) + (sum >> 16));
}

/* A greeting that takes no mail (RFC 5321, 3.1), with the code of a policy's refusal (RFC 3463). */
static void put_answer(const struct sw_rule_node *rule, struct sw_answer_line *line)
{
	char text[SW_ANSWER_MAX + 1];
	int length;

	if (!rule->answer || !rule->text)
		return;
	/* The parser sees to it that the text fits. */
	length = snprintf(text, sizeof(text), SW_ANSWER_CODE " %s\r\n", rule->text);
	if (length < 0 || (size_t)length > sizeof(line->bytes))
		return;
	memcpy(line->bytes, text, (size_t)length);
	line->length = (uint16_t)length;
	line->sum = line_sum(line);
}

static void put_info(struct sw_compile *compile, enum sw_scope scope,
		     const struct sw_rule_node *rule, struct sw_rule_info *info)
{
	size_t length = sw_rule_print(rule, NULL, 0);
	char *text = sw_arena_alloc(compile->arena, length + 1);

	sw_rule_print(rule, text, length + 1);
	info->line = rule->pos.line;
	info->scope = scope;
	copy_cut(info->rule, sizeof(info->rule), text, "...");
	copy_cut(info->text, sizeof(info->text), rule->text ? rule->text : "", "");
}

static void put_tls(const struct sw_rule_node *rule, struct sw_rule *to)
{
	static const uint8_t ways[] = {
		[SW_WAY_ANY] = 0,
		[SW_WAY_IMPLICIT] = SW_RULE_IMPLICIT,
		[SW_WAY_STARTTLS] = SW_RULE_STARTTLS,
	};

	to->flags |= ways[rule->tls_way];
	if (rule->tls_proxy)
		to->flags |= SW_RULE_PROXY;
	to->tls_version = rule->tls_version;
}

/* An IPv6 connection can go to an IPv4 target, written v4-mapped; not the other way round. */
static void put_rule(const struct sw_rule_node *rule, struct sw_rule *to)
{
	const struct sw_target *ipv4 = &rule->targets[0], *ipv6 = &rule->targets[1];

	to->action = action_of[rule->action];
	to->flags = rule->mode == SW_MODE_AUDIT ? SW_RULE_AUDIT : 0;
	if (rule->action == SW_RULE_REQUIRE_TLS)
		put_tls(rule, to);
	if (rule->answer)
		to->flags |= SW_RULE_ANSWER;
	if (rule->action != SW_RULE_REDIRECT)
		return;
	if (!ipv6->given)
		ipv6 = ipv4;
	if (ipv4->given) {
		memcpy(to->target4, ipv4->addr, sizeof(to->target4));
		to->port4 = ipv4->port;
	}
	if (ipv6->given) {
		memcpy(to->target6, ipv6->addr, sizeof(to->target6));
		to->port6 = ipv6->port;
	}
}

/* ---- its rows ---- */

/* False: an empty list, no packet comes from one. */
static bool has_source(const struct sw_party *from)
{
	bool some = !from;

	for (const struct sw_party *party = from; party; party = party->next)
		some |= party->kind == SW_PARTY_NET && party->net->n_prefixes > 0;
	return some;
}

/* False: an empty list of destinations, no connection goes to one. */
static bool has_destination(struct sw_compile *compile, const struct sw_party *to)
{
	bool some = !to;

	for (const struct sw_party *party = to; party; party = party->next) {
		if (party->kind == SW_PARTY_WHO)
			sw_diag(compile->diags, SW_ERROR, party->pos,
				"callers stand behind `from`; `to` takes networks and `local`");
		some |= party->kind == SW_PARTY_LOCAL ||
			(party->kind == SW_PARTY_NET && party->net->n_prefixes > 0);
	}
	return some;
}

static void put_row_to(struct sw_compile *compile, uint32_t row, const struct sw_party *to)
{
	struct sw_policy *policy = &compile->image->policy;

	if (!to)
		sw_vec_set(&policy->any[SW_DIM_DST], row);
	for (const struct sw_party *party = to; party; party = party->next) {
		struct sw_hit hit = {.key = (uintptr_t)party->net, .row = row};

		if (party->kind == SW_PARTY_LOCAL)
			sw_vec_set(&policy->local, row);
		else if (party->kind == SW_PARTY_NET)
			sw_hits_add(&compile->nets, compile->arena, hit);
	}
}

static void put_row_from(struct sw_compile *compile, uint32_t row,
			 const struct sw_alternative *alternative)
{
	for (size_t kind = 0; kind < SW_SELECT_MAX; kind++) {
		const struct sw_set *set = &alternative->sets[kind];
		bool is_id = kind == SW_SELECT_USER || kind == SW_SELECT_GROUP;
		struct sw_hits *hits = is_id                      ? &compile->ids
				       : kind == SW_SELECT_CGROUP ? &compile->cgroups
								  : &compile->names;

		if (set->any)
			sw_vec_set(&compile->image->policy.any[dim_of[kind]], row);
		for (size_t i = 0; !set->any && i < set->n; i++) {
			struct sw_hit hit = {.row = row};

			if (is_id)
				hit.key = (uint64_t)dim_of[kind] << 32 | set->values[i];
			else
				hit.text = (const char *)(uintptr_t)set->values[i];
			sw_hits_add(hits, compile->arena, hit);
		}
	}
}

static void put_row_ports(struct sw_compile *compile, uint32_t row, const struct place *place)
{
	for (const struct sw_port *port = place->ports; port; port = port->next) {
		uint32_t id = (uint32_t)place->scope->scope << 16 | port->port;
		struct sw_hit hit = {.key = (uint64_t)SW_DIM_PORT << 32 | id, .row = row};

		sw_hits_add(&compile->ids, compile->arena, hit);
	}
}

/* The number of the row, SW_ROW_NONE when there is no room for it. */
static uint32_t new_row(struct sw_compile *compile, const struct sw_rule_node *rule)
{
	uint32_t row = (uint32_t)compile->n_rows++;

	if (row >= SW_ROWS_MAX)
		return SW_ROW_NONE;
	compile->image->policy.row_rule[row] = (uint16_t)(rule->number - 1);
	return row;
}

/* Of a rule that knows its clients by address: edge, which has interfaces, and serve. */
static void put_address_row(struct sw_compile *compile, const struct place *place,
			    const struct sw_rule_node *rule)
{
	struct sw_policy *policy = &compile->image->policy;
	uint32_t row, pattern = place->pattern;

	if (!has_source(rule->from) || !has_destination(compile, rule->to))
		return;
	row = new_row(compile, rule);
	if (row == SW_ROW_NONE)
		return;
	put_row_ports(compile, row, place);
	put_row_to(compile, row, rule->to);
	if (!rule->from)
		sw_vec_set(&policy->any[SW_DIM_FROM], row);
	for (const struct sw_party *party = rule->from; party; party = party->next) {
		struct sw_hit hit = {.key = (uintptr_t)party->net, .row = row};

		if (party->kind == SW_PARTY_NET)
			sw_hits_add(&compile->sources, compile->arena, hit);
	}
	for (const struct sw_interface_node *at = place->scope->interfaces;
	     at && pattern < SW_PATTERNS_MAX; at = at->next, pattern++)
		sw_vec_set(&policy->patterns[pattern].rows, row);
}

static void put_rows(struct sw_compile *compile, const struct place *place,
		     const struct sw_rule_node *rule)
{
	struct sw_alternative *alternatives;
	size_t n = sw_compile_from(compile, rule->from, &alternatives);

	if (!has_destination(compile, rule->to))
		return;
	if (n > compile->most_rows) {
		compile->most_rows = n;
		compile->most_rows_pos = rule->pos;
	}
	for (size_t i = 0; i < n; i++) {
		uint32_t row = new_row(compile, rule);

		if (row == SW_ROW_NONE)
			continue;
		put_row_ports(compile, row, place);
		put_row_from(compile, row, &alternatives[i]);
		put_row_to(compile, row, rule->to);
	}
}

/* ---- the policy ---- */

static void compile_rule(struct sw_compile *compile, const struct place *place,
			 const struct sw_rule_node *rule)
{
	struct sw_image *image = compile->image;

	if (rule->number == SW_RULES_MAX + 1)
		sw_diag(compile->diags, SW_ERROR, rule->pos,
			"%u rules, %d are the most: join rules that differ in their lists only",
			compile->policy->n_rules, SW_RULES_MAX);
	if (rule->number < 1 || rule->number > SW_RULES_MAX)
		return;
	put_rule(rule, &image->policy.rules[rule->number - 1]);
	put_answer(rule, &image->answers[rule->number - 1]);
	put_info(compile, place->scope->scope, rule, &image->info[rule->number - 1]);
	if (place->scope->scope == SW_SCOPE_HOST)
		put_rows(compile, place, rule);
	else
		put_address_row(compile, place, rule);
}

static void compile_block(struct sw_compile *compile, const struct sw_scope_block *scope,
			  const struct sw_port_block *block, uint32_t pattern)
{
	struct sw_policy *policy = &compile->image->policy;
	struct place place = {scope, block->ports, pattern};
	__u64 *const guards[SW_SCOPE_MAX] = {
		[SW_SCOPE_HOST] = policy->guard,
		[SW_SCOPE_EDGE] = policy->edge_guard,
		[SW_SCOPE_SERVE] = policy->serve_guard,
	};

	for (const struct sw_port *port = block->ports; port; port = port->next)
		guards[scope->scope][port->port / 64] |= 1ull << port->port % 64;
	if (scope->scope == SW_SCOPE_SERVE && block->ports)
		policy->serves = 1;
	for (const struct sw_rule_node *rule = block->rules; rule; rule = rule->next)
		compile_rule(compile, &place, rule);
}

static bool enforces(const struct sw_scope_block *scope)
{
	for (const struct sw_port_block *block = scope->blocks; block; block = block->next)
		for (const struct sw_rule_node *rule = block->rules; rule; rule = rule->next)
			if (rule->mode != SW_MODE_AUDIT)
				return true;
	return false;
}

/* What holds for the interfaces of an edge block; their rows come with the rules. */
static void put_patterns(struct sw_compile *compile, const struct sw_scope_block *scope)
{
	struct sw_policy *policy = &compile->image->policy;

	for (const struct sw_interface_node *at = scope->interfaces; at; at = at->next) {
		struct sw_pattern *pattern = &policy->patterns[policy->n_patterns];

		if (policy->n_patterns == SW_PATTERNS_MAX) {
			sw_diag(compile->diags, SW_ERROR, at->pos,
				"more than %d interfaces and patterns", SW_PATTERNS_MAX);
			return;
		}
		copy_cut(pattern->text, sizeof(pattern->text), at->pattern, "");
		pattern->keep_seconds = scope->keep_seconds;
		pattern->enforced = enforces(scope);
		policy->n_patterns++;
	}
}

static void check_rows(struct sw_compile *compile)
{
	if (compile->n_rows <= SW_ROWS_MAX)
		return;
	sw_diag(compile->diags, SW_ERROR, compile->most_rows_pos,
		"the policy needs %zu rows, %d are the most; this rule alone needs %zu",
		compile->n_rows, SW_ROWS_MAX, compile->most_rows);
	sw_diag(compile->diags, SW_NOTE, compile->most_rows_pos,
		"elements of a list share a row when they differ in one selector only: several "
		"programs "
		"of one user, several users of one program. Give more of them a user, a group or a "
		"cgroup in common");
}

static void image_cleanup(struct sw_image **image)
{
	sw_image_free(*image);
}

static void arena_cleanup(struct sw_arena **arena)
{
	sw_arena_free(*arena);
}

struct sw_image *sw_policy_compile(const struct sw_policy_ast *policy, struct sw_diags *diags)
{
	sw_cleanup(image_cleanup) struct sw_image *image = sw_compile_array(1, sizeof(*image));
	sw_cleanup(arena_cleanup) struct sw_arena *arena = sw_arena_new();
	struct sw_compile compile = {
		.policy = policy, .diags = diags, .arena = arena, .image = image};
	size_t errors = sw_diags_errors(diags);

	for (const struct sw_scope_block *scope = policy->scopes; scope; scope = scope->next) {
		uint32_t pattern = image->policy.n_patterns;

		put_patterns(&compile, scope);
		for (const struct sw_port_block *b = scope->blocks; b; b = b->next)
			compile_block(&compile, scope, b, pattern);
	}
	check_rows(&compile);
	if (sw_diags_errors(diags) != errors)
		return NULL;
	image->policy.n_rules = policy->n_rules;
	image->policy.n_rows = (uint32_t)compile.n_rows;
	memcpy(image->sha256, policy->sha256, sizeof(image->sha256));
	sw_compile_tables(&compile);
	sw_compile_prefixes(&compile);
	if (sw_diags_errors(diags) != errors)
		return NULL;
	return sw_take(image);
}

void sw_image_free(struct sw_image *image)
{
	if (!image)
		return;
	free(image->ids);
	free(image->id_rows);
	free(image->names);
	free(image->name_rows);
	free(image->cgroups);
	free(image->cgroup_rows);
	free(image->prefixes);
	free(image->prefix_classes);
	free(image);
}
