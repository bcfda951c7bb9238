/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * print.c - a policy as canonical text: four spaces a level, one statement a line, the "=" of
 * neighbouring definitions in one column, comments and single empty lines kept.
 */
#include <stdio.h>
#include <string.h>

#include "daemon/policy/lex.h"
#include "daemon/policy/parse.h"
#include "daemon/policy/policy.h"
#include "daemon/policy/prefix.h"

#define LINE_WIDTH 100 /* a list of prefixes that is wider has one item a line */

static const char *const scope_words[SW_SCOPE_MAX] = {"host", "edge", "serve"};
static const char *const mode_words[] = {"", "enforce", "audit"};
static const char *const selector_words[SW_SELECT_MAX] = {"exe", "user", "group", "unit", "cgroup"};
static const char *const action_words[SW_RULE_ACTION_MAX] = {
	[SW_RULE_ALLOW] = "allow",
	[SW_RULE_REJECT] = "reject",
	[SW_RULE_DROP] = "drop",
	[SW_RULE_REDIRECT] = "redirect",
	[SW_RULE_REQUIRE_TLS] = "require tls",
	[SW_RULE_AUDIT_ONLY] = "audit",
};

struct printer {
	FILE *to;
	bool fresh; /* no empty line is wanted here: start of the file or of a block, or one was there */
	size_t width; /* of the names in the run of definitions at hand */
};

static void put_string(FILE *to, const char *text)
{
	fputc('"', to);
	for (; *text; text++) {
		if (*text == '"' || *text == '\\')
			fputc('\\', to);
		fputc(*text, to);
	}
	fputc('"', to);
}

/* Names of users and groups stand bare when they need no quotes. */
static void put_user(FILE *to, const char *text)
{
	size_t plain =
		strspn(text, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_.-");

	if (text[plain] || sw_is_reserved(text))
		put_string(to, text);
	else
		fputs(text, to);
}

static void put_selectors(FILE *to, const struct sw_selector *selector)
{
	for (; selector; selector = selector->next) {
		fprintf(to, "%s ", selector_words[selector->kind]);
		if (selector->kind == SW_SELECT_USER || selector->kind == SW_SELECT_GROUP)
			put_user(to, selector->text);
		else
			put_string(to, selector->text);
		if (selector->next)
			fputc(' ', to);
	}
}

static void put_item(FILE *to, const struct sw_net_item *item)
{
	char text[SW_PREFIX_TEXT];

	switch (item->kind) {
	case SW_NET_PREFIX:
		sw_prefix_print(&item->prefix, text);
		fputs(text, to);
		break;
	case SW_NET_FILE:
		fputs("file ", to);
		put_string(to, item->text);
		break;
	case SW_NET_NAME:
		fputs(item->text, to);
		break;
	}
}

static void put_party(FILE *to, const struct sw_party *party)
{
	if (party->kind == SW_PARTY_LOCAL)
		fputs("local", to);
	else if (party->name)
		fputs(party->name, to);
	else if (party->kind == SW_PARTY_WHO)
		put_selectors(to, party->who->selectors);
	else
		put_item(to, party->net->items);
}

static void put_list(FILE *to, const char *word, const struct sw_party *party)
{
	if (party)
		fprintf(to, " %s ", word);
	for (; party; party = party->next) {
		put_party(to, party);
		if (party->next)
			fputs(", ", to);
	}
}

static void put_targets(FILE *to, const struct sw_target targets[static 2])
{
	const char *before = " ";

	for (int i = 0; i < 2; i++) {
		char text[SW_PREFIX_TEXT];

		if (!targets[i].given)
			continue;
		sw_target_print(&targets[i], text);
		fprintf(to, "%s%s", before, text);
		before = ", ";
	}
}

static void put_rule(FILE *to, const struct sw_rule_node *rule)
{
	static const char *const ways[] = {"", " implicit", " starttls"};

	fputs(action_words[rule->action], to);
	if (rule->text) {
		fputc(' ', to);
		put_string(to, rule->text);
	}
	if (rule->answer)
		fputs(" answer", to);
	put_targets(to, rule->targets);
	fputs(ways[rule->tls_way], to);
	if (rule->tls_version)
		fprintf(to, " 1.%d", rule->tls_version - 0x0301);
	if (rule->tls_proxy)
		fputs(" proxy", to);
	put_list(to, "from", rule->from);
	put_list(to, "to", rule->to);
}

size_t sw_rule_print(const struct sw_rule_node *rule, char *to, size_t size)
{
	sw_autofree char *text = NULL;
	size_t length = 0;
	FILE *stream = open_memstream(&text, &length);

	if (size)
		*to = '\0';
	if (!stream)
		return 0;
	put_rule(stream, rule);
	if (fclose(stream) != 0)
		return 0;
	if (size)
		snprintf(to, size, "%s", text);
	return length;
}

static void put_empty_line(struct printer *printer)
{
	if (!printer->fresh)
		fputc('\n', printer->to);
	printer->fresh = true;
}

static void begin_line(struct printer *printer, int depth)
{
	fprintf(printer->to, "%*s", 4 * depth, "");
	printer->fresh = false;
}

static void end_line(struct printer *printer, const char *comment)
{
	if (comment)
		fprintf(printer->to, "  #%s", comment);
	fputc('\n', printer->to);
}

/* Lines of comments as struct sw_comments keeps them. At the end of a block (`tail`) no empty line
   follows them. */
static void put_lines(struct printer *printer, const char *lines, int depth, bool tail)
{
	while (lines) {
		size_t length = strcspn(lines, "\n");
		bool last = !lines[length];

		if (strncmp(lines, SW_EMPTY_LINE, 1) != 0) {
			begin_line(printer, depth);
			fprintf(printer->to, "#%.*s\n", (int)length, lines);
		} else if (!last || !tail) {
			put_empty_line(printer);
		}
		lines = last ? NULL : lines + length + 1;
	}
}

static void put_before(struct printer *printer, const struct sw_comments *comments, int depth)
{
	if (comments->blank_before)
		put_empty_line(printer);
	put_lines(printer, comments->before, depth, false);
}

static void put_mode(struct printer *printer, enum sw_mode mode, const struct sw_comments *comments,
		     int depth)
{
	if (mode == SW_MODE_INHERIT)
		return;
	put_before(printer, comments, depth);
	begin_line(printer, depth);
	fprintf(printer->to, "mode %s", mode_words[mode]);
	end_line(printer, comments->behind);
}

static void put_rule_line(struct printer *printer, const struct sw_rule_node *rule)
{
	put_before(printer, &rule->comments, 2);
	begin_line(printer, 2);
	put_rule(printer->to, rule);
	end_line(printer, rule->comments.behind);
}

static void open_block(struct printer *printer, const char *comment)
{
	fputs(" {", printer->to);
	end_line(printer, comment);
	printer->fresh = true;
}

static void close_block(struct printer *printer, const char *tail, int depth)
{
	put_lines(printer, tail, depth + 1, true);
	begin_line(printer, depth);
	fputs("}\n", printer->to);
}

static void put_port_block(struct printer *printer, const struct sw_port_block *block)
{
	put_before(printer, &block->comments, 1);
	begin_line(printer, 1);
	fputs("port ", printer->to);
	for (const struct sw_port *port = block->ports; port; port = port->next)
		fprintf(printer->to, "%u%s", port->port, port->next ? ", " : "");
	open_block(printer, block->comments.behind);
	put_mode(printer, block->mode, &block->mode_comments, 2);
	for (const struct sw_rule_node *rule = block->rules; rule; rule = rule->next)
		put_rule_line(printer, rule);
	close_block(printer, block->tail, 1);
}

/* A time in the largest unit that holds it whole. */
static void put_existing(struct printer *printer, const struct sw_scope_block *scope)
{
	uint32_t seconds = scope->keep_seconds;

	if (!scope->existing_given)
		return;
	put_before(printer, &scope->existing_comments, 1);
	begin_line(printer, 1);
	if (!seconds)
		fputs("existing refuse", printer->to);
	else if (seconds % 3600 == 0)
		fprintf(printer->to, "existing keep %uh", seconds / 3600);
	else if (seconds % 60 == 0)
		fprintf(printer->to, "existing keep %um", seconds / 60);
	else
		fprintf(printer->to, "existing keep %us", seconds);
	end_line(printer, scope->existing_comments.behind);
}

static void put_scope(struct printer *printer, const struct sw_scope_block *scope)
{
	put_empty_line(printer);
	put_before(printer, &scope->comments, 0);
	begin_line(printer, 0);
	fputs(scope_words[scope->scope], printer->to);
	for (const struct sw_interface_node *interface = scope->interfaces; interface;
	     interface = interface->next) {
		fputc(' ', printer->to);
		put_string(printer->to, interface->pattern);
		if (interface->next)
			fputc(',', printer->to);
	}
	open_block(printer, scope->comments.behind);
	put_mode(printer, scope->mode, &scope->mode_comments, 1);
	put_existing(printer, scope);
	for (const struct sw_port_block *block = scope->blocks; block; block = block->next)
		put_port_block(printer, block);
	close_block(printer, scope->tail, 0);
}

static void put_who(struct printer *printer, const struct sw_who *who)
{
	put_before(printer, &who->comments, 0);
	begin_line(printer, 0);
	fprintf(printer->to, "who %-*s = ", (int)printer->width, who->name);
	put_selectors(printer->to, who->selectors);
	end_line(printer, who->comments.behind);
}

/* Bytes of the list on one line; more than LINE_WIDTH when it cannot stand there. */
static size_t list_width(const struct sw_net *net)
{
	size_t width = 0;

	if (net->tail && strcmp(net->tail, SW_EMPTY_LINE) != 0)
		return LINE_WIDTH + 1;
	for (const struct sw_net_item *item = net->items; item; item = item->next) {
		char text[SW_PREFIX_TEXT];

		if (item->comments.before || item->comments.behind ||
		    (item->comments.blank_before && item != net->items))
			return LINE_WIDTH + 1;
		if (item->kind == SW_NET_PREFIX) {
			sw_prefix_print(&item->prefix, text);
			width += strlen(text) + 2;
		} else {
			width += strlen(item->text) + 10;
		}
		if (width > LINE_WIDTH)
			return width;
	}
	return width + 16;
}

static void put_net(struct printer *printer, const struct sw_net *net)
{
	bool one_line = list_width(net) + printer->width <= LINE_WIDTH;

	put_before(printer, &net->comments, 0);
	begin_line(printer, 0);
	fprintf(printer->to, "net %-*s = {", (int)printer->width, net->name);
	if (!one_line) {
		end_line(printer, net->comments.behind);
		printer->fresh = true;
	}
	for (const struct sw_net_item *item = net->items; item; item = item->next) {
		if (one_line) {
			fputc(' ', printer->to);
		} else {
			put_before(printer, &item->comments, 1);
			begin_line(printer, 1);
		}
		put_item(printer->to, item);
		if (item->next)
			fputc(',', printer->to);
		if (!one_line)
			end_line(printer, item->comments.behind);
	}
	if (one_line) {
		fputs(" }", printer->to);
		end_line(printer, net->comments.behind);
	} else {
		close_block(printer, net->tail, 0);
	}
}

static const char *defined_name(const struct sw_item *item, const struct sw_comments **comments)
{
	if (item->kind == SW_ITEM_WHO) {
		*comments = &item->who->comments;
		return item->who->name;
	}
	if (item->kind == SW_ITEM_NET) {
		*comments = &item->net->comments;
		return item->net->name;
	}
	return NULL;
}

/* Does the run of definitions that share a column begin anew here? */
static bool begins_run(const struct sw_item *item)
{
	const struct sw_comments *comments;

	return !defined_name(item, &comments) || comments->blank_before ||
	       (comments->before && strstr(comments->before, SW_EMPTY_LINE));
}

static size_t run_width(const struct sw_item *item)
{
	const struct sw_comments *comments;
	size_t width = 0;

	do {
		const char *name = defined_name(item, &comments);
		size_t length = name ? strlen(name) : 0;

		if (length > width)
			width = length;
		item = item->next;
	} while (item && !begins_run(item));
	return width;
}

static void put_item_lines(struct printer *printer, const struct sw_item *item)
{
	switch (item->kind) {
	case SW_ITEM_MODE:
		put_mode(printer, item->mode, &item->comments, 0);
		break;
	case SW_ITEM_WHO:
		put_who(printer, item->who);
		break;
	case SW_ITEM_NET:
		put_net(printer, item->net);
		break;
	case SW_ITEM_SCOPE:
		put_scope(printer, item->scope);
		break;
	}
}

void sw_policy_print(const struct sw_policy_ast *policy, FILE *to)
{
	struct printer printer = {.to = to, .fresh = true};
	const struct sw_item *before = NULL;

	for (const struct sw_item *item = policy->items; item; before = item, item = item->next) {
		if (before && before->kind == SW_ITEM_SCOPE)
			put_empty_line(&printer);
		if (!before || before->kind == SW_ITEM_SCOPE || before->kind == SW_ITEM_MODE ||
		    begins_run(item))
			printer.width = run_width(item);
		put_item_lines(&printer, item);
	}
	put_lines(&printer, policy->tail, 0, true);
}
