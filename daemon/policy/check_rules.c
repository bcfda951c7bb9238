/* SPDX-License-Identifier: GPL-2.0-or-later */
/* check_rules.c - scopes, port blocks and their rules. */
#include <string.h>

#include "bpf/abi.h"
#include "daemon/policy/check.h"

static bool is_for_all(const struct sw_rule_node *rule)
{
	return !rule->from && !rule->to;
}

static void resolve_party(struct sw_checker *checker, struct sw_party *party)
{
	bool net = party->kind == SW_PARTY_NET;
	const struct sw_name *name;

	if (party->kind == SW_PARTY_LOCAL)
		return;
	if (!party->name && net)
		sw_check_net(checker, party->net);
	else if (!party->name)
		sw_check_who(checker, party->who);
	else if ((name = sw_check_use(checker, party->name, party->pos, net))) {
		party->who = name->who;
		party->net = name->net;
	}
}

/* Processes are seen in host scope only, addresses of clients in the two others only. */
static bool check_from(struct sw_checker *checker, enum sw_scope scope,
		       const struct sw_party *party)
{
	enum sw_party_kind wanted = scope == SW_SCOPE_HOST ? SW_PARTY_WHO : SW_PARTY_NET;

	if (party->kind == wanted)
		return true;
	if (party->kind == SW_PARTY_LOCAL)
		sw_diag(checker->diags, SW_ERROR, party->pos,
			"\"local\" stands behind \"to\": it means this machine's own addresses");
	else if (party->kind == SW_PARTY_NET)
		sw_diag(checker->diags, SW_ERROR, party->pos,
			"in host scope \"from\" names programs, users or units, not addresses");
	else
		sw_diag(checker->diags, SW_ERROR, party->pos,
			"in this scope \"from\" names addresses: programs and users are seen in "
			"host "
			"scope only");
	return false;
}

static bool check_to(struct sw_checker *checker, const struct sw_party *party)
{
	if (party->kind != SW_PARTY_WHO)
		return true;
	sw_diag(checker->diags, SW_ERROR, party->pos,
		"\"to\" names addresses; programs, users and units stand behind \"from\"");
	return false;
}

/* Who writes a program into an edge or serve block thinks of processes of this machine. */
static void hint_host(struct sw_checker *checker, enum sw_scope scope, const struct sw_party *party)
{
	const struct sw_name *name = party->name ? sw_check_find(checker, party->name) : NULL;

	if (scope == SW_SCOPE_HOST || (party->kind != SW_PARTY_WHO && !(name && name->who)))
		return;
	sw_diag(checker->diags, SW_NOTE, party->pos,
		"%s is known by its address: name a net or a prefix; programs of this machine "
		"stand in \"host\"",
		scope == SW_SCOPE_EDGE ? "what comes in through an interface"
				       : "who comes to a server");
}

static void check_parties(struct sw_checker *checker, enum sw_scope scope,
			  struct sw_rule_node *rule)
{
	struct sw_party *party;

	for (party = rule->from; party; party = party->next) {
		if (check_from(checker, scope, party))
			resolve_party(checker, party);
		hint_host(checker, scope, party);
	}
	for (party = rule->to; party; party = party->next)
		if (check_to(checker, party))
			resolve_party(checker, party);
}

static void check_action(struct sw_checker *checker, enum sw_scope scope,
			 const struct sw_rule_node *rule)
{
	if (rule->answer && scope == SW_SCOPE_SERVE)
		sw_diag(checker->diags, SW_ERROR, rule->answer_pos,
			"\"answer\" stands in \"host\" and \"edge\": here this machine's own "
			"server answers");
	if (rule->answer && scope == SW_SCOPE_EDGE && rule->text &&
	    strlen(rule->text) > SW_ANSWER_EDGE_MAX)
		sw_diag(checker->diags, SW_ERROR, rule->answer_pos,
			"this answer is %zu characters long: in \"edge\", where it is put into the "
			"client's own packet, there is room for %d",
			strlen(rule->text), SW_ANSWER_EDGE_MAX);
	if (rule->action != SW_RULE_REDIRECT)
		return;
	if (scope == SW_SCOPE_EDGE) {
		sw_diag(checker->diags, SW_ERROR, rule->pos,
			"a forwarded connection cannot be redirected");
		sw_diag(checker->diags, SW_NOTE, rule->pos,
			"to tell clients what to do instead: reject \"...\" answer");
	} else if (scope == SW_SCOPE_SERVE)
		sw_diag(checker->diags, SW_ERROR, rule->pos,
			"a session that this machine answers cannot be redirected");
	else if (!rule->targets[0].given)
		sw_diag(checker->diags, SW_WARNING, rule->pos,
			"no IPv4 target: connections over IPv4 are refused");
}

static void number_rule(struct sw_checker *checker, struct sw_rule_node *rule)
{
	rule->number = ++checker->policy->n_rules;
	if (rule->number == SW_RULES_MAX + 1)
		sw_diag(checker->diags, SW_ERROR, rule->pos, "more than %d rules", SW_RULES_MAX);
}

static void check_rule_list(struct sw_checker *checker, enum sw_scope scope, enum sw_mode mode,
			    struct sw_port_block *block)
{
	const struct sw_rule_node *all = NULL;

	for (struct sw_rule_node *rule = block->rules; rule; rule = rule->next) {
		number_rule(checker, rule);
		rule->mode = mode;
		check_action(checker, scope, rule);
		sw_warn_tls(checker, block, rule);
		if (scope == SW_SCOPE_SERVE)
			sw_warn_public(checker, block, rule);
		sw_warn_answer(checker, block, rule);
		check_parties(checker, scope, rule);
		if (all) {
			sw_diag(checker->diags, SW_WARNING, rule->pos, "this rule can never match");
			sw_diag(checker->diags, SW_NOTE, all->pos,
				"this one before it is for everybody");
		} else if (is_for_all(rule)) {
			all = rule;
		}
	}
	if (all || block->broken || !block->ports)
		return;
	sw_diag(checker->diags, SW_ERROR, block->pos,
		"the rules of port %u do not say what becomes of everybody else",
		block->ports->port);
	sw_diag(checker->diags, SW_NOTE, block->pos,
		"add as the last one a rule without \"from\" and \"to\": reject, or allow");
}

static void check_ports(struct sw_checker *checker, const struct sw_scope_block *scope,
			const struct sw_port_block *block, uint32_t number)
{
	struct sw_port_seen **seen = &checker->ports[scope->scope];

	if (!*seen)
		*seen = sw_arena_alloc(checker->arena, 65536 * sizeof(**seen));
	for (const struct sw_port *port = block->ports; port; port = port->next) {
		struct sw_port_seen *first = &(*seen)[port->port];

		if (first->block == number) {
			sw_diag(checker->diags, SW_ERROR, port->pos, "port %u has rules already",
				port->port);
			sw_diag(checker->diags, SW_NOTE, first->pos, "the first are here");
			continue;
		}
		*first = (struct sw_port_seen){.block = number, .pos = port->pos};
	}
}

void sw_check_scope(struct sw_checker *checker, struct sw_scope_block *scope, uint32_t number)
{
	enum sw_mode mode = scope->mode ? scope->mode : checker->policy->mode;

	/* The blocks of host, and of serve, are one list; edge blocks are told apart by interface. */
	if (scope->scope != SW_SCOPE_EDGE)
		number = 1;
	if (!mode)
		mode = SW_MODE_ENFORCE;
	for (struct sw_port_block *block = scope->blocks; block; block = block->next) {
		check_ports(checker, scope, block, number);
		check_rule_list(checker, scope->scope, block->mode ? block->mode : mode, block);
	}
}

static int compare_interfaces(const void *left, const void *right)
{
	const struct sw_interface_node *a = *(struct sw_interface_node *const *)left;
	const struct sw_interface_node *b = *(struct sw_interface_node *const *)right;
	int order = strcmp(a->pattern, b->pattern);

	if (order)
		return order;
	if (a->pos.line != b->pos.line)
		return a->pos.line < b->pos.line ? -1 : 1;
	return a->pos.column < b->pos.column ? -1 : a->pos.column > b->pos.column;
}

static size_t gather_interfaces(const struct sw_policy_ast *policy,
				const struct sw_interface_node **to)
{
	size_t n = 0;

	for (const struct sw_scope_block *scope = policy->scopes; scope; scope = scope->next)
		for (const struct sw_interface_node *at = scope->interfaces; at; at = at->next, n++)
			if (to)
				to[n] = at;
	return n;
}

void sw_check_interfaces(struct sw_checker *checker)
{
	size_t n = gather_interfaces(checker->policy, NULL);
	const struct sw_interface_node **all = sw_arena_alloc(checker->arena, n * sizeof(*all));

	gather_interfaces(checker->policy, all);
	if (n > SW_PATTERNS_MAX)
		sw_diag(checker->diags, SW_ERROR, all[SW_PATTERNS_MAX]->pos,
			"%zu interfaces and patterns, %d are the most: join them with a \"*\"", n,
			SW_PATTERNS_MAX);
	qsort(all, n, sizeof(*all), compare_interfaces);
	for (size_t i = 1; i < n; i++) {
		if (strcmp(all[i]->pattern, all[i - 1]->pattern) != 0)
			continue;
		sw_diag(checker->diags, SW_ERROR, all[i]->pos, "interface \"%s\" has rules already",
			all[i]->pattern);
		sw_diag(checker->diags, SW_NOTE, all[i - 1]->pos, "the first are here");
	}
}
