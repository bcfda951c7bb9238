/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Any bytes as a parsed policy, compiled, and asked the same questions as the naive reader of
 * rules: the answers must agree in every member.
 */
#include <assert.h>

#include "daemon/policy/image.h"
#include "tests/fuzz/naive.h"
#include "tests/fuzz/random_policy.h"

#define QUESTIONS 64

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n);

/* The compiler's one refusal that these policies can meet: two groups that a caller must be in. */
static bool asks_two_groups(const struct sw_party *from)
{
	for (; from; from = from->next)
		for (const struct sw_selector *a = from->who->selectors; a; a = a->next)
			for (const struct sw_selector *b = a->next; b; b = b->next)
				if (a->kind == SW_SELECT_GROUP && b->kind == SW_SELECT_GROUP &&
				    a->id != b->id)
					return true;
	return false;
}

static bool must_be_refused(const struct sw_policy_ast *policy)
{
	for (const struct sw_scope_block *scope = policy->scopes; scope; scope = scope->next)
		for (const struct sw_port_block *block = scope->blocks; block; block = block->next)
			for (const struct sw_rule_node *rule = block->rules; rule;
			     rule = rule->next)
				if (scope->scope == SW_SCOPE_HOST && asks_two_groups(rule->from))
					return true;
	return false;
}

static void check_tables(const struct sw_image *image)
{
	for (size_t i = 0; i < image->n_prefixes; i++)
		assert(image->prefix_classes[i] < SW_CLASSES_MAX);
	for (size_t i = 0; i < image->n_names; i++)
		assert(image->names[i].name[0] && !image->names[i].name[SW_NAME_MAX - 1]);
	for (size_t i = 0; i < image->n_cgroups; i++)
		assert(image->cgroups[i].path[image->cgroups[i].bits / 8 - 1] == '/');
	assert(image->policy.n_rows <= SW_ROWS_MAX);
	for (size_t i = 1; i < image->policy.n_rows; i++)
		assert(image->policy.row_rule[i] >= image->policy.row_rule[i - 1]);
}

static void compare(const struct sw_policy_ast *policy, const struct sw_image *image,
		    struct bytes *bytes)
{
	struct sw_answer expected, answer;
	struct question question;

	random_question(bytes, policy, &question);
	naive_eval(policy, &question.query, &expected);
	sw_image_eval(image, &question.query, &answer);
	assert(answer.guarded == expected.guarded);
	assert(answer.rule == expected.rule);
	assert(answer.line == expected.line);
	assert(answer.verdict == expected.verdict);
	assert(answer.reason == expected.reason);
	assert(answer.audit == expected.audit);
	assert(answer.new_port == expected.new_port);
	assert(memcmp(answer.new_to, expected.new_to, sizeof(answer.new_to)) == 0);
	assert(answer.gate == expected.gate && answer.tls == expected.tls);
	assert(answer.gate_action == expected.gate_action);
	assert(answer.gate_flags == expected.gate_flags);
	assert(answer.tls_version == expected.tls_version);
	assert(answer.answer == expected.answer);
	assert(answer.rule_text && answer.text);
}

/* Questions are made from numbers that follow from the input, so that a short one asks many. */
static void ask(const struct sw_policy_ast *policy, const struct sw_image *image, uint64_t seed)
{
	uint8_t noise[256];

	for (int i = 0; i < QUESTIONS; i++) {
		struct bytes bytes = {noise, sizeof(noise)};

		for (size_t k = 0; k < sizeof(noise); k++) {
			seed = seed * 6364136223846793005ull + 1442695040888963407ull;
			noise[k] = (uint8_t)(seed >> 56);
		}
		compare(policy, image, &bytes);
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n)
{
	struct bytes left = {bytes, n};
	struct sw_arena *arena = sw_arena_new();
	struct sw_diags *diags = sw_diags_new();
	struct sw_policy_ast *policy = random_policy(arena, &left);
	struct sw_image *image = sw_policy_compile(policy, diags);
	uint64_t seed = n;

	assert(!image == must_be_refused(policy));
	assert(!image == (sw_diags_errors(diags) > 0));
	for (size_t i = 0; i < n; i++)
		seed = seed * 31 + bytes[i];
	if (image) {
		check_tables(image);
		ask(policy, image, seed);
	}
	sw_image_free(image);
	sw_diags_free(diags);
	sw_arena_free(arena);
	return 0;
}
