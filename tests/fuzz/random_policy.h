/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * random_policy.h - bytes as a policy that the checker could have handed on, and as questions to it.
 * The values come from small sets, chosen so that they meet: cgroups inside each other, prefixes
 * that cover each other, names that begin alike.
 */
#ifndef SW_RANDOM_POLICY_H
#define SW_RANDOM_POLICY_H

#include <stdio.h>
#include <string.h>

#include "bpf/abi.h"
#include "daemon/policy/arena.h"
#include "daemon/policy/policy.h"
#include "daemon/policy/prefix.h"

/* Bytes of the input; behind its end zeros, which choose the plainest case everywhere. */
struct bytes {
	const uint8_t *at;
	size_t left;
};

static unsigned int take(struct bytes *bytes)
{
	if (!bytes->left)
		return 0;
	bytes->left--;
	return *bytes->at++;
}

static unsigned int below(struct bytes *bytes, unsigned int n)
{
	return take(bytes) % n;
}

static const uint32_t ids[] = {0, 33, 1000, 1001, 65534, UINT32_MAX};
static const char *const exes[] = {"/usr/sbin/exim4", "/usr/sbin/exim", "/a", "/a/b", "/a.service"};
static const char *const units[] = {"a", "b.service", "c.slice.service", "a.service"};
static const char *const cgroups[] = {"/",          "/a",   "a/b/",          "/a/b/c",
				      "/a.slice/b", "/a-b", "//a//b.service"};
static const uint16_t ports[] = {25, 465, 587, 2525, 65535};

static const char *const patterns[] = {"eth0", "tap*", "tap0", "tap0*", "*", "e*"};
static const char *const interfaces[] = {"eth0", "eth",   "tap0", "tap",
					 "tap1", "tap01", "ta",   "lan0"};

/* Questions take these as well, which no rule names. */
static const char *const more_exes[] = {"", "relative", "/usr/sbin/exim4x", "/usr/sbin"};
static const char *const more_cgroups[] = {
	"/a/b/c/d", "/x", "/a.slice", "/a.slice/b.service/x", "/ab", "/a.slice/b.slice/a.service",
	""};

#define PICK(bytes, list) ((list)[below((bytes), sizeof(list) / sizeof((list)[0]))])

/* ---- values ---- */

static void random_addr(struct bytes *bytes, uint8_t addr[static 16])
{
	static const uint8_t bases[][16] = {
		{[10] = 0xff, 0xff, 10, 1, 2, 3},
		{[10] = 0xff, 0xff, 192, 0, 2, 128},
		{0x20, 0x01, 0x0d, 0xb8, [15] = 1},
		{0x20, 0x01, 0x0d, 0xb8, 0x80, [9] = 0x40},
		{[15] = 1},
		{[10] = 0xff, 0xfe, [15] = 9},
	};

	memcpy(addr, PICK(bytes, bases), 16);
	for (unsigned int flips = below(bytes, 4); flips; flips--) {
		unsigned int bit = take(bytes) & 127;

		addr[bit / 8] ^= (uint8_t)(0x80 >> bit % 8);
	}
}

static struct sw_prefix random_prefix(struct bytes *bytes)
{
	static const uint8_t lengths[] = {128, 120, 97, 96, 95, 65, 64, 63, 33, 32, 1, 0};
	struct sw_prefix prefix;

	random_addr(bytes, prefix.addr);
	prefix.bits = PICK(bytes, lengths);
	if (take(bytes) & 1)
		prefix.bits = (uint8_t)(take(bytes) % 129);
	for (unsigned int bit = prefix.bits; bit < 128; bit++)
		prefix.addr[bit / 8] &= (uint8_t) ~(0x80 >> bit % 8);
	return prefix;
}

/* ---- rules ---- */

static struct sw_selector *random_selectors(struct sw_arena *arena, struct bytes *bytes)
{
	struct sw_selector *first = NULL, **end = &first;

	for (unsigned int n = 1 + below(bytes, 3); n; n--) {
		struct sw_selector *selector = sw_arena_alloc(arena, sizeof(*selector));

		selector->kind = below(bytes, SW_SELECT_MAX);
		selector->id = PICK(bytes, ids);
		selector->text = selector->kind == SW_SELECT_EXE      ? PICK(bytes, exes)
				 : selector->kind == SW_SELECT_UNIT   ? PICK(bytes, units)
				 : selector->kind == SW_SELECT_CGROUP ? PICK(bytes, cgroups)
								      : "id";
		*end = selector;
		end = &selector->next;
	}
	return first;
}

static struct sw_net *random_net(struct sw_arena *arena, struct bytes *bytes)
{
	struct sw_net *net = sw_arena_alloc(arena, sizeof(*net));

	net->n_prefixes = below(bytes, 5);
	net->prefixes = sw_arena_alloc(arena, 5 * sizeof(*net->prefixes));
	for (size_t i = 0; i < net->n_prefixes; i++)
		net->prefixes[i] = random_prefix(bytes);
	/* as a policy that was checked has them */
	net->n_prefixes = sw_prefix_sort(net->prefixes, net->n_prefixes);
	return net;
}

/* `callers`: a who, else addresses. */
static struct sw_party *random_party(struct sw_arena *arena, struct bytes *bytes, bool callers,
				     const struct sw_party *seen)
{
	struct sw_party *party = sw_arena_alloc(arena, sizeof(*party));

	party->name = "name";
	if (callers) {
		party->kind = SW_PARTY_WHO;
		party->who = sw_arena_alloc(arena, sizeof(*party->who));
		party->who->selectors = random_selectors(arena, bytes);
	} else if (take(bytes) & 1) {
		party->kind = SW_PARTY_LOCAL;
	} else {
		party->kind = SW_PARTY_NET;
		/* the same list in two rules */
		if (seen && seen->kind == SW_PARTY_NET && take(bytes) & 1)
			party->net = seen->net;
		else
			party->net = random_net(arena, bytes);
	}
	return party;
}

static struct sw_party *random_parties(struct sw_arena *arena, struct bytes *bytes, bool callers,
				       const struct sw_party *seen)
{
	struct sw_party *first = NULL, **end = &first;

	for (unsigned int n = below(bytes, 6); n; n--) {
		*end = random_party(arena, bytes, callers, seen);
		end = &(*end)->next;
	}
	return first;
}

static void random_tls(struct bytes *bytes, struct sw_rule_node *rule)
{
	static const uint16_t versions[] = {0, 0x0301, 0x0302, 0x0303, 0x0304};

	rule->tls_way = below(bytes, 3);
	rule->tls_version = PICK(bytes, versions);
	rule->tls_proxy = take(bytes) & 1;
}

/* The checker takes no `local` behind `from`. */
static struct sw_party *random_sources(struct sw_arena *arena, struct bytes *bytes,
				       const struct sw_party *seen)
{
	struct sw_party *first = random_parties(arena, bytes, false, seen);
	struct sw_net *nobody = sw_arena_alloc(arena, sizeof(*nobody));

	for (struct sw_party *party = first; party; party = party->next) {
		if (party->kind == SW_PARTY_LOCAL)
			party->net = nobody;
		party->kind = SW_PARTY_NET;
	}
	return first;
}

static struct sw_rule_node *random_rule(struct sw_arena *arena, struct bytes *bytes,
					enum sw_scope scope, uint32_t number,
					const struct sw_party *seen)
{
	static const enum sw_rule_action actions[] = {SW_RULE_ALLOW,      SW_RULE_REJECT,
						      SW_RULE_DROP,       SW_RULE_REDIRECT,
						      SW_RULE_AUDIT_ONLY, SW_RULE_REQUIRE_TLS};
	struct sw_rule_node *rule = sw_arena_alloc(arena, sizeof(*rule));
	unsigned int given;

	rule->number = number;
	rule->pos.line = 10 + number;
	rule->action = PICK(bytes, actions);
	rule->mode = take(bytes) & 1 ? SW_MODE_AUDIT : SW_MODE_ENFORCE;
	rule->from = scope == SW_SCOPE_HOST ? random_parties(arena, bytes, true, NULL)
					    : random_sources(arena, bytes, seen);
	rule->to = random_parties(arena, bytes, false, seen);
	if (rule->action == SW_RULE_REQUIRE_TLS)
		random_tls(bytes, rule);
	rule->answer = rule->action == SW_RULE_REJECT && take(bytes) & 1;
	rule->text = rule->answer ? "No." : NULL;
	given = 1 + below(bytes, 3);
	for (int i = 0; rule->action == SW_RULE_REDIRECT && i < 2; i++) {
		rule->targets[i].given = given >> i & 1;
		rule->targets[i].port = (uint16_t)(2500 + i);
		rule->targets[i].addr[15] = (uint8_t)(1 + i);
		if (i == 0)
			rule->targets[i].addr[10] = rule->targets[i].addr[11] = 0xff;
	}
	return rule;
}

/* ---- the policy ---- */

/* Of an edge block the lists end as the checker has it: without any rule a port would be none. */
static struct sw_port_block *random_block(struct sw_arena *arena, struct bytes *bytes,
					  struct sw_policy_ast *policy, enum sw_scope scope)
{
	struct sw_port_block *block = sw_arena_alloc(arena, sizeof(*block));
	struct sw_rule_node **end = &block->rules;
	const struct sw_party *seen = NULL;

	for (unsigned int n = 1 + below(bytes, 2); n; n--) {
		struct sw_port *port = sw_arena_alloc(arena, sizeof(*port));

		port->port = PICK(bytes, ports);
		port->next = block->ports;
		block->ports = port;
	}
	for (unsigned int n = below(bytes, 9); n; n--) {
		*end = random_rule(arena, bytes, scope, ++policy->n_rules, seen);
		seen = (*end)->to;
		end = &(*end)->next;
	}
	if (scope == SW_SCOPE_EDGE) {
		*end = random_rule(arena, bytes, scope, ++policy->n_rules, NULL);
		(*end)->from = (*end)->to = NULL;
	}
	return block;
}

static struct sw_interface_node *random_interfaces(struct sw_arena *arena, struct bytes *bytes)
{
	struct sw_interface_node *first = NULL;

	for (unsigned int n = 1 + below(bytes, 2); n; n--) {
		struct sw_interface_node *at = sw_arena_alloc(arena, sizeof(*at));

		at->pattern = PICK(bytes, patterns);
		at->next = first;
		first = at;
	}
	return first;
}

static enum sw_scope random_scope(struct bytes *bytes)
{
	static const enum sw_scope scopes[] = {SW_SCOPE_EDGE,  SW_SCOPE_EDGE, SW_SCOPE_EDGE,
					       SW_SCOPE_HOST,  SW_SCOPE_HOST, SW_SCOPE_HOST,
					       SW_SCOPE_SERVE, SW_SCOPE_SERVE};

	return PICK(bytes, scopes);
}

static struct sw_policy_ast *random_policy(struct sw_arena *arena, struct bytes *bytes)
{
	struct sw_policy_ast *policy = sw_arena_alloc(arena, sizeof(*policy));
	struct sw_scope_block **end = &policy->scopes;

	policy->arena = arena;
	for (unsigned int n = 1 + below(bytes, 3); n; n--) {
		struct sw_scope_block *scope = sw_arena_alloc(arena, sizeof(*scope));

		scope->scope = random_scope(bytes);
		if (scope->scope == SW_SCOPE_EDGE)
			scope->interfaces = random_interfaces(arena, bytes);
		scope->blocks = random_block(arena, bytes, policy, scope->scope);
		if (take(bytes) & 1)
			scope->blocks->next = random_block(arena, bytes, policy, scope->scope);
		*end = scope;
		end = &scope->next;
	}
	return policy;
}

/* ---- questions ---- */

/* What a question points to. */
struct question {
	struct sw_query query;
	uint32_t groups[SW_GROUPS_MAX + 1];
	char exe[300], cgroup[600];
};

/* A name of `length` characters that ends like `text`. */
static const char *lengthen(char *to, size_t length, char fill, const char *text)
{
	size_t end = strlen(text);

	memset(to, fill, length);
	to[0] = '/';
	if (end < length)
		memcpy(to + length - end, text, end);
	to[length] = '\0';
	return to;
}

static void random_names(struct bytes *bytes, struct question *question)
{
	struct sw_query *query = &question->query;
	static const unsigned int lengths[] = {252, 253, 254, 255, 256, 280};

	switch (below(bytes, 8)) {
	case 0:
		break;
	case 1:
		query->exe = PICK(bytes, more_exes);
		break;
	case 2:
		query->exe = lengthen(question->exe, PICK(bytes, lengths), 'x', PICK(bytes, exes));
		break;
	default:
		query->exe = PICK(bytes, exes);
	}
	switch (below(bytes, 8)) {
	case 0:
		break;
	case 1:
		query->cgroup = PICK(bytes, more_cgroups);
		break;
	case 2: /* long, from where a rule may name it */
		snprintf(question->cgroup, sizeof(question->cgroup), "%s/%0*d.slice/%0*d",
			 PICK(bytes, more_cgroups), 100 + (int)below(bytes, 100), 0,
			 (int)below(bytes, 160), 0);
		query->cgroup = question->cgroup;
		break;
	default:
		query->cgroup = PICK(bytes, cgroups);
	}
	if (below(bytes, 4) == 0)
		query->unit = PICK(bytes, units);
}

static void random_ids(struct bytes *bytes, struct question *question)
{
	struct sw_query *query = &question->query;

	query->has_user = take(bytes) & 3;
	query->user = PICK(bytes, ids);
	query->has_group = take(bytes) & 3;
	query->group = PICK(bytes, ids);
	query->groups = question->groups;
	query->n_groups = below(bytes, 8) ? below(bytes, 4) : SW_GROUPS_MAX + (take(bytes) & 1);
	for (size_t i = 0; i < query->n_groups; i++)
		question->groups[i] = PICK(bytes, ids);
}

/* An address; half the time one that a prefix of the policy covers or nearly covers. */
static void random_address(struct bytes *bytes, const struct sw_policy_ast *policy, bool source,
			   uint8_t addr[static 16])
{
	unsigned int skip = take(bytes);

	random_addr(bytes, addr);
	if (take(bytes) & 1)
		return;
	for (const struct sw_scope_block *scope = policy->scopes; scope; scope = scope->next)
		for (const struct sw_port_block *block = scope->blocks; block; block = block->next)
			for (const struct sw_rule_node *rule = block->rules; rule;
			     rule = rule->next)
				for (const struct sw_party *party = source ? rule->from : rule->to;
				     party; party = party->next) {
					if (party->kind != SW_PARTY_NET || !party->net->n_prefixes)
						continue;
					memcpy(addr, party->net->prefixes[0].addr, 16);
					addr[15] |= (uint8_t)(take(bytes) & 1);
					if (!skip--)
						return;
				}
}

static void random_question(struct bytes *bytes, const struct sw_policy_ast *policy,
			    struct question *question)
{
	memset(question, 0, sizeof(*question));
	question->query.scope = random_scope(bytes);
	question->query.port = PICK(bytes, ports);
	random_names(bytes, question);
	random_ids(bytes, question);
	question->query.has_to = take(bytes) & 7;
	question->query.to_is_local = !(take(bytes) & 3);
	random_address(bytes, policy, false, question->query.to);
	question->query.has_from = take(bytes) & 7;
	random_address(bytes, policy, true, question->query.from);
	if (take(bytes) & 3)
		question->query.interface = PICK(bytes, interfaces);
}

#endif
