/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * naive.h - what a policy says, read straight from the parsed rules: no rows, no tables, one rule
 * after the other. Slow and simple on purpose; the compiled policy must say the same.
 *
 * Knowledge is of three kinds, since a path that is too long or too many groups leave it open
 * whether a selector fits.
 */
#ifndef SW_NAIVE_H
#define SW_NAIVE_H

#include <string.h>

#include "bpf/abi.h"
#include "daemon/policy/policy.h"

enum fits { NO, MAYBE, YES };

static enum fits fits_if(bool fits)
{
	return fits ? YES : NO;
}

/* The next component of a path, *length 0 at its end. */
static const char *component(const char *path, size_t *length)
{
	while (*path == '/')
		path++;
	*length = 0;
	while (path[*length] && path[*length] != '/')
		++*length;
	return path;
}

/* Bytes that the path takes from "/" on, with one slash before each component. */
static size_t path_bytes(const char *path)
{
	size_t length, sum = 0;

	for (path = component(path, &length); length; path = component(path + length, &length))
		sum += 1 + length;
	return sum;
}

/* Is `path` the cgroup `ancestor` or below it? */
static bool is_in_cgroup(const char *path, const char *ancestor)
{
	size_t n, m;

	for (;;) {
		ancestor = component(ancestor, &n);
		path = component(path, &m);
		if (!n)
			return true;
		if (n != m || memcmp(path, ancestor, n) != 0)
			return false;
		path += m;
		ancestor += n;
	}
}

static enum fits unit_fits(const char *unit, const struct sw_query *query)
{
	const char *part;
	size_t length, sum = 0;

	if (query->unit)
		return fits_if(strcmp(unit, query->unit) == 0);
	if (!query->cgroup)
		return NO;
	for (part = component(query->cgroup, &length); length;
	     part = component(part + length, &length)) {
		sum += 1 + length;
		if (sum > SW_NAME_MAX - 2) /* a slash behind it and a NUL must have room */
			return MAYBE;
		if (length < 6 || memcmp(part + length - 6, ".slice", 6) != 0)
			return fits_if(strlen(unit) == length && memcmp(part, unit, length) == 0);
	}
	return NO;
}

static enum fits group_fits(uint32_t group, const struct sw_query *query)
{
	if (query->n_groups > SW_GROUPS_MAX)
		return MAYBE;
	for (size_t i = 0; i < query->n_groups; i++)
		if (query->groups[i] == group)
			return YES;
	return fits_if(query->has_group && query->group == group);
}

static enum fits selector_fits(const struct sw_selector *selector, const struct sw_query *query)
{
	switch (selector->kind) {
	case SW_SELECT_EXE:
		if (query->exe && strlen(query->exe) >= SW_NAME_MAX)
			return MAYBE;
		return fits_if(query->exe && strcmp(query->exe, selector->text) == 0);
	case SW_SELECT_USER:
		return fits_if(query->has_user && query->user == selector->id);
	case SW_SELECT_GROUP:
		return group_fits(selector->id, query);
	case SW_SELECT_UNIT:
		return unit_fits(selector->text, query);
	case SW_SELECT_CGROUP:
		if (query->cgroup && path_bytes(query->cgroup) > SW_NAME_MAX - 2)
			return MAYBE;
		return fits_if(query->cgroup && is_in_cgroup(query->cgroup, selector->text));
	default:
		return NO;
	}
}

/* Two selectors that nobody can fit at once, whatever is known. */
static bool contradict(const struct sw_selector *a, const struct sw_selector *b)
{
	if (a->kind != b->kind || a->kind == SW_SELECT_GROUP)
		return false;
	if (a->kind == SW_SELECT_USER)
		return a->id != b->id;
	if (a->kind == SW_SELECT_CGROUP)
		return !is_in_cgroup(a->text, b->text) && !is_in_cgroup(b->text, a->text);
	return strcmp(a->text, b->text) != 0;
}

static enum fits who_fits(const struct sw_who *who, const struct sw_query *query)
{
	enum fits all = YES;

	for (const struct sw_selector *a = who->selectors; a; a = a->next) {
		enum fits one = selector_fits(a, query);

		if (one < all)
			all = one;
		for (const struct sw_selector *b = a->next; b; b = b->next)
			if (contradict(a, b))
				return NO;
	}
	return all;
}

static bool is_ipv4(const uint8_t addr[16])
{
	static const uint8_t mapped[12] = {[10] = 0xff, [11] = 0xff};

	return memcmp(addr, mapped, sizeof(mapped)) == 0;
}

static bool prefix_fits(const struct sw_prefix *prefix, const uint8_t addr[16])
{
	if ((prefix->bits >= 96 && is_ipv4(prefix->addr)) != is_ipv4(addr))
		return false;
	for (unsigned int bit = 0; bit < prefix->bits; bit++)
		if ((prefix->addr[bit / 8] ^ addr[bit / 8]) & (0x80 >> bit % 8))
			return false;
	return true;
}

/* Is the address in one of the lists? */
static bool lists_fit(const struct sw_party *list, bool known, const uint8_t addr[16])
{
	for (; known && list; list = list->next)
		for (size_t i = 0; list->kind == SW_PARTY_NET && i < list->net->n_prefixes; i++)
			if (prefix_fits(&list->net->prefixes[i], addr))
				return true;
	return false;
}

static bool to_fits(const struct sw_party *to, const struct sw_query *query)
{
	if (!to || lists_fit(to, query->has_to, query->to))
		return true;
	for (; to; to = to->next)
		if (to->kind == SW_PARTY_LOCAL && query->to_is_local)
			return true;
	return false;
}

static enum fits rule_fits(const struct sw_rule_node *rule, const struct sw_query *query)
{
	enum fits some = rule->from ? NO : YES;

	if (!to_fits(rule->to, query))
		return NO;
	if (query->scope != SW_SCOPE_HOST)
		return fits_if(!rule->from || lists_fit(rule->from, query->has_from, query->from));
	for (const struct sw_party *party = rule->from; party; party = party->next) {
		enum fits one = who_fits(party->who, query);

		if (one > some)
			some = one;
	}
	return some;
}

static void refuse(struct sw_answer *answer, unsigned int verdict, unsigned int reason)
{
	answer->verdict = answer->audit ? SW_VERDICT_AUDIT : verdict;
	answer->reason = reason;
}

static void redirect(const struct sw_rule_node *rule, const struct sw_query *query,
		     struct sw_answer *answer)
{
	bool ipv4 = query->has_to ? is_ipv4(query->to) : rule->targets[0].given;
	const struct sw_target *target = &rule->targets[ipv4 ? 0 : 1];

	if (!ipv4 && !target->given)
		target = &rule->targets[0];
	if (!target->given) {
		refuse(answer, SW_VERDICT_REJECT, SW_REASON_NO_TARGET);
		return;
	}
	if (answer->audit) {
		answer->verdict = SW_VERDICT_AUDIT;
		return;
	}
	answer->verdict = SW_VERDICT_REDIRECT;
	answer->new_port = target->port;
	memcpy(answer->new_to, target->addr, sizeof(answer->new_to));
}

/* A connection that passes and whose first bytes are looked at. */
static void look_at(const struct sw_rule_node *rule, const struct sw_query *query,
		    struct sw_answer *answer)
{
	answer->gate = true;
	answer->gate_flags = answer->audit ? SW_RULE_AUDIT : 0;
	if (rule->action == SW_RULE_AUDIT_ONLY) {
		answer->gate_action = SW_ACTION_AUDIT;
		return;
	}
	answer->tls = true;
	answer->gate_action = SW_ACTION_TLS;
	answer->tls_version = rule->tls_version;
	if (rule->tls_proxy)
		answer->gate_flags |= SW_RULE_PROXY;
	if (rule->tls_way == SW_WAY_STARTTLS)
		answer->gate_flags |= SW_RULE_STARTTLS;
	else if (rule->tls_way == SW_WAY_IMPLICIT || query->port == 465)
		answer->gate_flags |= SW_RULE_IMPLICIT;
}

static void naive_rule(const struct sw_rule_node *rule, const struct sw_query *query,
		       enum fits fits, struct sw_answer *answer)
{
	answer->rule = rule->number;
	answer->line = rule->pos.line;
	answer->audit = rule->mode == SW_MODE_AUDIT;
	if ((fits == YES || answer->audit) &&
	    (rule->action == SW_RULE_AUDIT_ONLY || rule->action == SW_RULE_REQUIRE_TLS))
		look_at(rule, query, answer);
	if (fits == MAYBE)
		refuse(answer, SW_VERDICT_REJECT, SW_REASON_UNIDENTIFIED);
	else if (rule->action == SW_RULE_ALLOW || rule->action == SW_RULE_REQUIRE_TLS)
		answer->verdict = SW_VERDICT_ALLOW;
	else if (rule->action == SW_RULE_AUDIT_ONLY)
		answer->verdict = SW_VERDICT_AUDIT;
	else if (rule->action == SW_RULE_REDIRECT)
		redirect(rule, query, answer);
	else if (rule->action == SW_RULE_DROP)
		refuse(answer, SW_VERDICT_DROP, SW_REASON_NOT_PERMITTED);
	else
		refuse(answer, SW_VERDICT_REJECT, SW_REASON_NOT_PERMITTED);
	answer->answer = fits == YES && rule->answer && !answer->audit;
}

static bool names_port(const struct sw_port_block *block, uint16_t number)
{
	for (const struct sw_port *port = block->ports; port; port = port->next)
		if (port->port == number)
			return true;
	return false;
}

static bool scope_names_port(const struct sw_scope_block *scope, uint16_t number)
{
	const struct sw_port_block *block = scope->blocks;

	while (block && !names_port(block, number))
		block = block->next;
	return block != NULL;
}

static bool pattern_fits(const char *pattern, const char *name)
{
	while (*pattern && *pattern != '*' && *pattern == *name) {
		pattern++;
		name++;
	}
	return *pattern == '*' || (!*pattern && !*name);
}

/* Of no interface in particular: that which the first block with this port names first. */
static const char *asked_interface(const struct sw_policy_ast *policy, const struct sw_query *query)
{
	const struct sw_scope_block *scope = policy->scopes;

	if (query->interface)
		return query->interface;
	while (scope && (scope->scope != SW_SCOPE_EDGE || !scope_names_port(scope, query->port)))
		scope = scope->next;
	return scope ? scope->interfaces->pattern : "";
}

static bool scope_fits(const struct sw_policy_ast *policy, const struct sw_scope_block *scope,
		       const struct sw_query *query)
{
	if (scope->scope != query->scope)
		return false;
	if (scope->scope != SW_SCOPE_EDGE)
		return true;
	for (const struct sw_interface_node *at = scope->interfaces; at; at = at->next)
		if (pattern_fits(at->pattern, asked_interface(policy, query)))
			return true;
	return false;
}

/* Fills all of `answer` but the two texts. */
static void naive_eval(const struct sw_policy_ast *policy, const struct sw_query *query,
		       struct sw_answer *answer)
{
	*answer = (struct sw_answer){.verdict = SW_VERDICT_ALLOW};
	for (const struct sw_scope_block *scope = policy->scopes; scope; scope = scope->next)
		for (const struct sw_port_block *block = scope->blocks; block;
		     block = block->next) {
			if (!scope_fits(policy, scope, query) || !names_port(block, query->port))
				continue;
			answer->guarded = true;
			for (const struct sw_rule_node *rule = block->rules; rule;
			     rule = rule->next) {
				enum fits fits = rule_fits(rule, query);

				if (fits == NO)
					continue;
				naive_rule(rule, query, fits, answer);
				return;
			}
		}
	if (answer->guarded)
		refuse(answer, SW_VERDICT_REJECT, SW_REASON_NOT_PERMITTED);
}

#endif
