/* SPDX-License-Identifier: GPL-2.0-or-later */
/* check.c - resolves what the parser read, and what of it the kernel side can do. */
#include "daemon/policy/check.h"

#include <errno.h>
#include <string.h>

static void check_mode(struct sw_checker *checker)
{
	struct sw_pos start = {.source = checker->policy->source, .line = 1, .column = 1};

	if (checker->policy->mode_seen)
		return;
	sw_diag(checker->diags, SW_ERROR, start, "the policy does not say its mode");
	sw_diag(checker->diags, SW_NOTE, start,
		"add as the first line: mode enforce, or mode audit to refuse nothing yet");
}

static void check_items(struct sw_checker *checker)
{
	uint32_t number = 0;

	for (struct sw_item *item = checker->policy->items; item; item = item->next) {
		number++;
		switch (item->kind) {
		case SW_ITEM_MODE:
			break;
		case SW_ITEM_WHO:
			sw_check_who(checker, item->who);
			sw_check_define(checker, item->who->name, item->who);
			break;
		case SW_ITEM_NET:
			sw_check_net(checker, item->net);
			sw_check_define(checker, item->net->name, item->net);
			break;
		case SW_ITEM_SCOPE:
			sw_check_scope(checker, item->scope, number);
			break;
		}
	}
}

static void warn(struct sw_checker *checker)
{
	struct sw_pos start = {.source = checker->policy->source, .line = 1, .column = 1};

	sw_warn_unused(checker);
	sw_warn_hidden(checker);
	sw_warn_interfaces(checker);
	sw_warn_no_mail(checker);
	if (!checker->policy->n_rules)
		sw_diag(checker->diags, SW_WARNING, start,
			"this policy has no rules and guards nothing");
}

static void begin_digest(struct sw_checker *checker)
{
	checker->digest = sw_digest_new();
	if (checker->digest)
		sw_digest_add(checker->digest, checker->policy->source_text,
			      checker->policy->source_length);
}

static void end_digest(struct sw_checker *checker)
{
	struct sw_pos whole = {.source = checker->policy->source};

	if (!checker->digest || sw_digest_end(checker->digest, checker->policy->sha256) < 0)
		sw_diag(checker->diags, SW_ERROR, whole, "its SHA-256 cannot be computed");
}

int sw_policy_check(struct sw_policy_ast *policy, const struct sw_world *world,
		    struct sw_diags *diags)
{
	struct sw_checker checker = {
		.policy = policy,
		.world = world,
		.diags = diags,
		.arena = policy->arena,
	};

	begin_digest(&checker);
	check_mode(&checker);
	sw_check_collect(&checker);
	check_items(&checker);
	sw_check_interfaces(&checker);
	sw_check_lists_total(&checker);
	end_digest(&checker);
	/* Behind an error, what looks unused or hidden may not be. */
	if (sw_diags_errors(diags) || world->sum_file)
		return -EINVAL;
	warn(&checker);
	return 0;
}
