/* SPDX-License-Identifier: GPL-2.0-or-later */
/* check_warn.c - what is legal but unwise. */
#include <errno.h>
#include <string.h>

#include "daemon/policy/check.h"
#include "daemon/policy/prefix.h"

#define MAIL_PORT 25
#define SUBMISSIONS_PORT 465

/* Lists longer than this times each other are not compared. */
#define PAIRS_MAX 100000

static bool has(const struct sw_who *who, enum sw_selector_kind kind)
{
	for (const struct sw_selector *at = who->selectors; at; at = at->next)
		if (at->kind == kind)
			return true;
	return false;
}

static void warn_program(struct sw_checker *checker, const struct sw_selector *exe)
{
	const struct sw_world *world = checker->world;
	const char *where = NULL;
	int found = world->program ? world->program(world->data, exe->text, &where) : 0;

	if (!where)
		where = exe->text;
	if (found == -ENOENT)
		sw_diag(checker->diags, SW_WARNING, exe->pos, "this program does not exist here");
	else if (found == -ELOOP)
		sw_diag(checker->diags, SW_WARNING, exe->pos,
			"this is a symbolic link and will not match: the kernel sees \"%s\"",
			where);
	else if (found == -EACCES)
		sw_diag(checker->diags, SW_WARNING, exe->pos, "this is no file that can be run");
	else if (found == -EPERM)
		sw_diag(checker->diags, SW_WARNING, exe->pos,
			"others than root can write \"%s\", and so put another program here",
			where);
}

void sw_warn_exe(struct sw_checker *checker, const struct sw_who *who)
{
	const struct sw_selector *exe = who->selectors;

	while (exe && exe->kind != SW_SELECT_EXE)
		exe = exe->next;
	if (!exe)
		return;
	/* A unit or a cgroup cannot be entered at will, a program can be started by anybody. */
	if (!has(who, SW_SELECT_USER) && !has(who, SW_SELECT_UNIT) && !has(who, SW_SELECT_CGROUP))
		sw_diag(checker->diags, SW_WARNING, exe->pos,
			"\"exe\" without \"user\": anybody may run this program, or preload code "
			"into it");
	warn_program(checker, exe);
}

void sw_warn_unit(struct sw_checker *checker, const struct sw_selector *selector)
{
	const struct sw_world *world = checker->world;
	char whole[300];

	if (!world->unit || world->unit(world->data, selector->text) != -ENOENT)
		return;
	sw_diag(checker->diags, SW_WARNING, selector->pos, "systemd knows no such unit here");
	if (strchr(selector->text, '.'))
		return;
	snprintf(whole, sizeof(whole), "%s.service", selector->text);
	if (world->unit(world->data, whole) == 0)
		sw_diag(checker->diags, SW_NOTE, selector->pos, "did you mean \"%s\"?", whole);
}

void sw_warn_unused(struct sw_checker *checker)
{
	for (const struct sw_who *who = checker->policy->whos; who; who = who->next)
		if (!who->used)
			sw_diag(checker->diags, SW_WARNING, who->pos, "\"%s\" is not used",
				who->name);
	for (const struct sw_net *net = checker->policy->nets; net; net = net->next)
		if (!net->used)
			sw_diag(checker->diags, SW_WARNING, net->pos, "\"%s\" is not used",
				net->name);
		else if (!net->n_prefixes)
			sw_diag(checker->diags, SW_WARNING, net->pos,
				"\"%s\" holds no prefix and matches nothing", net->name);
}

static bool inside(const char *outer, const char *inner)
{
	size_t length = strlen(outer);

	return strcmp(outer, "/") == 0 ||
	       (strncmp(outer, inner, length) == 0 && (!inner[length] || inner[length] == '/'));
}

/* Does whoever passes `narrow` pass `wide` as well? */
static bool selector_covers(const struct sw_selector *wide, const struct sw_selector *narrow)
{
	if (wide->kind != narrow->kind)
		return false;
	if (wide->kind == SW_SELECT_USER || wide->kind == SW_SELECT_GROUP)
		return wide->id == narrow->id;
	if (wide->kind == SW_SELECT_CGROUP)
		return inside(wide->text, narrow->text);
	return strcmp(wide->text, narrow->text) == 0;
}

static bool who_covers(const struct sw_who *wide, const struct sw_who *narrow)
{
	for (const struct sw_selector *one = wide->selectors; one; one = one->next) {
		const struct sw_selector *other = narrow->selectors;

		while (other && !selector_covers(one, other))
			other = other->next;
		if (!other)
			return false;
	}
	return true;
}

static bool party_covers(const struct sw_party *wide, const struct sw_party *narrow)
{
	if (wide->kind != narrow->kind)
		return false;
	if (wide->kind == SW_PARTY_LOCAL)
		return true;
	if (wide->kind == SW_PARTY_WHO)
		return wide->who == narrow->who || who_covers(wide->who, narrow->who);
	return wide->net == narrow->net ||
	       sw_prefixes_cover(wide->net->prefixes, wide->net->n_prefixes, narrow->net->prefixes,
				 narrow->net->n_prefixes);
}

static size_t list_length(const struct sw_party *party)
{
	size_t n = 0;

	for (; party; party = party->next)
		n++;
	return n;
}

/* No list at all is everybody. */
static bool list_covers(const struct sw_party *wide, const struct sw_party *narrow)
{
	if (!wide)
		return true;
	if (!narrow || list_length(wide) > PAIRS_MAX / list_length(narrow))
		return false;
	for (; narrow; narrow = narrow->next) {
		const struct sw_party *one = wide;

		while (one && !party_covers(one, narrow))
			one = one->next;
		if (!one)
			return false;
	}
	return true;
}

static void warn_hidden_in(struct sw_checker *checker, const struct sw_port_block *block)
{
	for (const struct sw_rule_node *rule = block->rules; rule; rule = rule->next) {
		for (const struct sw_rule_node *other = block->rules; other != rule;
		     other = other->next) {
			if (!list_covers(other->from, rule->from) ||
			    !list_covers(other->to, rule->to))
				continue;
			sw_diag(checker->diags, SW_WARNING, rule->pos, "this rule can never match");
			sw_diag(checker->diags, SW_NOTE, other->pos,
				"this one before it takes all that it would");
			break;
		}
		/* what comes behind a rule for everybody is told when the rules are numbered */
		if (!rule->from && !rule->to)
			return;
	}
}

/* Does each interface that fits `narrow` fit `wide` too? */
static bool pattern_covers(const char *wide, const char *narrow)
{
	return strcmp(wide, narrow) == 0 || sw_interface_matches(wide, narrow);
}

static bool has_port(const struct sw_port_block *block, uint16_t number)
{
	const struct sw_port *port = block->ports;

	while (port && port->port != number)
		port = port->next;
	return port != NULL;
}

/* Where a block before `last` gives rules for the port to every interface of the pattern; NULL: none
   does. */
static const struct sw_port_block *taken_before(const struct sw_policy_ast *policy,
						const struct sw_scope_block *last,
						const char *pattern, uint16_t port)
{
	for (const struct sw_scope_block *scope = policy->scopes; scope != last;
	     scope = scope->next)
		for (const struct sw_interface_node *at = scope->interfaces; at; at = at->next) {
			const struct sw_port_block *block = scope->blocks;

			if (!pattern_covers(at->pattern, pattern))
				continue;
			while (block && !has_port(block, port))
				block = block->next;
			if (block)
				return block;
		}
	return NULL;
}

/* Of two edge blocks that fit an interface the first has its ports. */
static void warn_taken(struct sw_checker *checker, const struct sw_scope_block *scope,
		       const struct sw_port *port)
{
	const struct sw_port_block *block = NULL;

	for (const struct sw_interface_node *at = scope->interfaces; at; at = at->next) {
		block = taken_before(checker->policy, scope, at->pattern, port->port);
		if (!block)
			break;
	}
	if (!block)
		return;
	sw_diag(checker->diags, SW_WARNING, port->pos,
		"the rules of port %u can never match on these interfaces", port->port);
	sw_diag(checker->diags, SW_NOTE, block->pos,
		"these come before them on all of these interfaces");
}

void sw_warn_hidden(struct sw_checker *checker)
{
	for (const struct sw_scope_block *scope = checker->policy->scopes; scope;
	     scope = scope->next)
		for (const struct sw_port_block *block = scope->blocks; block;
		     block = block->next) {
			warn_hidden_in(checker, block);
			if (scope->scope != SW_SCOPE_EDGE)
				continue;
			for (const struct sw_port *port = block->ports; port; port = port->next)
				warn_taken(checker, scope, port);
		}
}

/* A name that is mistyped guards nothing. One with a "*" is meant for what comes and goes. */
void sw_warn_interfaces(struct sw_checker *checker)
{
	const struct sw_world *world = checker->world;

	for (const struct sw_scope_block *scope = checker->policy->scopes; scope;
	     scope = scope->next)
		for (const struct sw_interface_node *at = scope->interfaces; at; at = at->next)
			if (world->interface && !strchr(at->pattern, '*') &&
			    world->interface(world->data, at->pattern) == -ENOENT)
				sw_diag(checker->diags, SW_WARNING, at->pos,
					"there is no such interface here now; it is guarded from "
					"when it appears");
}

/* Who waits for TLS does not read a greeting. */
void sw_warn_answer(struct sw_checker *checker, const struct sw_port_block *block,
		    const struct sw_rule_node *rule)
{
	if (rule->answer && has_port(block, SUBMISSIONS_PORT))
		sw_diag(checker->diags, SW_WARNING, rule->answer_pos,
			"on port %d programs begin with TLS at once and do not understand this "
			"answer",
			SUBMISSIONS_PORT);
}

/* A way to TLS that nobody takes on this port: the rule refuses every connection. */
void sw_warn_tls(struct sw_checker *checker, const struct sw_port_block *block,
		 const struct sw_rule_node *rule)
{
	if (rule->action != SW_RULE_REQUIRE_TLS)
		return;
	if (rule->tls_way == SW_WAY_STARTTLS && has_port(block, SUBMISSIONS_PORT))
		sw_diag(checker->diags, SW_WARNING, rule->pos,
			"on port %d programs begin with TLS at once (implicit), which this rule "
			"refuses",
			SUBMISSIONS_PORT);
	if (rule->tls_way == SW_WAY_IMPLICIT && has_port(block, MAIL_PORT))
		sw_diag(checker->diags, SW_WARNING, rule->pos,
			"on port %d TLS begins with STARTTLS alone, which this rule refuses",
			MAIL_PORT);
}

/* A public mail server must not require it (RFC 3207, 4): not all of those that bring mail speak TLS. */
void sw_warn_public(struct sw_checker *checker, const struct sw_port_block *block,
		    const struct sw_rule_node *rule)
{
	if (rule->action == SW_RULE_REQUIRE_TLS && rule->mode != SW_MODE_AUDIT && !rule->from &&
	    has_port(block, MAIL_PORT))
		sw_diag(checker->diags, SW_WARNING, rule->pos,
			"other mail servers that do not speak TLS cannot deliver on port %d: to "
			"see whether there are some, begin with \"mode audit\"",
			MAIL_PORT);
}

/* May somebody connect to another machine by this rule? */
static bool lets_out(const struct sw_rule_node *rule)
{
	const struct sw_party *to = rule->to;

	if (rule->action == SW_RULE_REJECT || rule->action == SW_RULE_DROP ||
	    rule->action == SW_RULE_REDIRECT)
		return false;
	while (to && to->kind == SW_PARTY_LOCAL)
		to = to->next;
	return !rule->to || to;
}

/* A list that names nobody and closes with a sentence for those who are refused is meant so. */
static bool closed_on_purpose(const struct sw_port_block *block)
{
	const struct sw_rule_node *rule = block->rules;

	for (; rule && rule->next; rule = rule->next)
		if (rule->from)
			return false;
	return rule && rule->action == SW_RULE_REJECT && rule->text;
}

void sw_warn_no_mail(struct sw_checker *checker)
{
	for (const struct sw_scope_block *scope = checker->policy->scopes; scope;
	     scope = scope->next)
		for (const struct sw_port_block *block = scope->blocks; block;
		     block = block->next) {
			const struct sw_rule_node *rule = block->rules;

			if (scope->scope != SW_SCOPE_HOST || !has_port(block, MAIL_PORT))
				continue;
			while (rule && !lets_out(rule))
				rule = rule->next;
			if (rule || closed_on_purpose(block))
				continue;
			sw_diag(checker->diags, SW_WARNING, block->pos,
				"no mail server is allowed on port %d: no mail leaves this machine",
				MAIL_PORT);
			sw_diag(checker->diags, SW_NOTE, block->pos,
				"if that is meant, name nobody here and say it: reject \"...\"");
		}
}
