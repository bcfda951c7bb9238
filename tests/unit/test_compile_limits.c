/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What cannot be compiled, each with what it tells; and rules that the checker keeps out. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

#include "bpf/abi.h"
#include "daemon/base.h"
#include "daemon/policy/arena.h"
#include "tests/unit/policy_image.h"

/* ---- limits ---- */

/* 1024 classes are room for 1024 sets; the list that needs one more is named. */
static void test_too_many_classes(void **state)
{
	sw_autofree char *definitions = NULL, *rules = NULL;
	size_t length;

	(void)state;
	for (unsigned int n = 10; n <= 11; n++) {
		FILE *to = open_memstream(&definitions, &length);

		/* Net i holds the addresses whose number has bit i: one set for each number but 0. */
		for (unsigned int i = 0; i < n; i++) {
			fprintf(to, "net n%u = { ", i);
			for (unsigned int k = 1; k < 1u << n; k++)
				if (k >> i & 1)
					fprintf(to, "10.0.%u.%u, ", k >> 8, k & 255);
			fputs("}\n", to);
		}
		fclose(to);
		to = open_memstream(&rules, &length);
		for (unsigned int i = 0; i < n; i++)
			fprintf(to, "allow to n%u\n", i);
		fputs("reject\n", to);
		fclose(to);
		sw_autofree char *text = host_policy(definitions, rules);

		if (n == 10)
			sw_image_free(compiled(text, NULL));
		else
			assert_refused(text, NULL, "overlap in more than 1024 different ways");
		free(sw_take(definitions));
		free(sw_take(rules));
	}
}

static void test_too_many_rows(void **state)
{
	sw_autofree char *rules = NULL;
	size_t length = 0;
	FILE *to = open_memstream(&rules, &length);

	(void)state;
	/* 511 rows and the last rule: all there is room for. */
	fputs("allow from user 0 exe \"/e0\"", to);
	for (int i = 1; i < SW_ROWS_MAX - 1; i++)
		fprintf(to, ", user %d exe \"/e%d\"", i, i);
	fflush(to);
	sw_autofree char *fitting = NULL;

	assert_true(asprintf(&fitting, "%s\nreject\n", rules) > 0);
	autoimage struct sw_image *image = compiled_rules("", fitting);

	assert_int_equal(image->policy.n_rows, SW_ROWS_MAX);
	fprintf(to, ", user %d exe \"/e%d\"\nreject\n", SW_ROWS_MAX, SW_ROWS_MAX);
	fclose(to);
	sw_autofree char *text = host_policy("", rules);

	assert_refused(text, NULL, "needs 513 rows, 512 are the most; this rule alone needs 512");
	assert_refused(text, NULL, "differ in one selector only");
}

static void test_too_many_rules(void **state)
{
	(void)state;
	for (int n = SW_RULES_MAX; n <= SW_RULES_MAX + 1; n++) {
		sw_autofree char *rules = NULL;
		size_t length = 0;
		FILE *to = open_memstream(&rules, &length);

		for (int i = 1; i < n; i++)
			fprintf(to, "allow from user %d\n", i);
		fputs("reject\n", to);
		fclose(to);
		sw_autofree char *text = host_policy("", rules);

		if (n == SW_RULES_MAX)
			sw_image_free(compiled(text, NULL));
		else
			assert_refused(text, NULL, "more than 256 rules");
	}
}

static void test_too_many_names(void **state)
{
	sw_autofree char *rules = NULL;
	size_t length = 0;
	FILE *to = open_memstream(&rules, &length);

	(void)state;
	fputs("allow from exe \"/0\"", to);
	for (int i = 1; i <= 4096; i++)
		fprintf(to, ", exe \"/%d\"", i);
	fputs("\nreject\n", to);
	fclose(to);
	sw_autofree char *text = host_policy("", rules);

	assert_refused(text, NULL, "4097 different programs and units, 4096 are the most");
}

/* ---- what the checker keeps out, should it come through ---- */

static struct sw_image *compiled_by_hand(struct sw_arena *arena, struct sw_rule_node *rule,
					 enum sw_selector_kind kind, const char *first,
					 const char *second, size_t *errors)
{
	struct sw_selector *selector = sw_arena_alloc(arena, 2 * sizeof(*selector));
	struct sw_who who = {.name = "both", .selectors = selector};
	struct sw_party from = {.kind = SW_PARTY_WHO, .name = "both", .who = &who};
	struct sw_port port = {.port = 25};
	struct sw_port_block block = {.ports = &port, .rules = rule};
	struct sw_scope_block scope = {.scope = SW_SCOPE_HOST, .blocks = &block};
	struct sw_policy_ast policy = {.arena = arena, .scopes = &scope, .n_rules = 1};
	struct sw_diags *diags = sw_diags_new();

	selector[0] = (struct sw_selector){
		.kind = kind, .text = first, .id = (uint32_t)strlen(first), .next = selector + 1};
	selector[1] =
		(struct sw_selector){.kind = kind, .text = second, .id = (uint32_t)strlen(second)};
	rule->number = 1;
	rule->mode = SW_MODE_ENFORCE;
	rule->from = &from;
	struct sw_image *image = sw_policy_compile(&policy, diags);

	rule->from = NULL;
	*errors = sw_diags_errors(diags);
	sw_diags_free(diags);
	return image;
}

static void test_two_selectors_of_a_kind(void **state)
{
	static const struct {
		const char *first, *second;
		enum sw_selector_kind kind;
		int rows; /* -1: refused */
	} cases[] = {
		{"/a", "/b", SW_SELECT_EXE, 0},
		{"/a", "/a", SW_SELECT_EXE, 1},
		{"x", "xx", SW_SELECT_USER, 0},
		{"x", "y", SW_SELECT_USER, 1},
		{"x", "y", SW_SELECT_UNIT, 0},
		{"/a", "/b", SW_SELECT_CGROUP, 0},
		{"/a", "/ab", SW_SELECT_CGROUP, 0},
		{"/a/b", "/a", SW_SELECT_CGROUP, 1},
		{"/a", "a//b/", SW_SELECT_CGROUP, 1},
		{"x", "y", SW_SELECT_GROUP, 1},
		/* a caller can be in both, but the rows of a dimension are an OR */
		{"x", "xx", SW_SELECT_GROUP, -1},
		{"a", "a", SW_SELECT_EXE, -1},
		{"/a", "/a", SW_SELECT_UNIT, -1},
	};

	(void)state;
	for (size_t i = 0; i < sw_count(cases); i++) {
		struct sw_arena *arena = sw_arena_new();
		struct sw_rule_node rule = {.action = SW_RULE_ALLOW};
		size_t errors = 0;
		autoimage struct sw_image *image = compiled_by_hand(
			arena, &rule, cases[i].kind, cases[i].first, cases[i].second, &errors);

		assert_int_equal(!image, cases[i].rows < 0);
		assert_int_equal(errors > 0, cases[i].rows < 0);
		if (image)
			assert_int_equal(image->policy.n_rows, cases[i].rows);
		if (image && image->n_cgroups)
			assert_string_equal(image->cgroups[0].path, "/a/b/");
		sw_arena_free(arena);
	}
}

static void test_names_of_256_bytes(void **state)
{
	static const enum sw_selector_kind kinds[] = {SW_SELECT_EXE, SW_SELECT_UNIT,
						      SW_SELECT_CGROUP};
	char name[300] = "/";

	(void)state;
	memset(name + 1, 'x', 256);
	for (size_t i = 0; i < sw_count(kinds); i++) {
		const char *text = kinds[i] == SW_SELECT_UNIT ? name + 1 : name;
		struct sw_arena *arena = sw_arena_new();
		struct sw_rule_node rule = {.action = SW_RULE_ALLOW};
		size_t errors = 0;

		assert_null(compiled_by_hand(arena, &rule, kinds[i], text, text, &errors));
		assert_true(errors > 0);
		sw_arena_free(arena);
	}
}

static void test_long_texts_are_cut(void **state)
{
	(void)state;
	for (size_t shift = 0; shift < 3; shift++) {
		struct sw_arena *arena = sw_arena_new();
		char text[400] = "xx";
		struct sw_rule_node rule = {.action = SW_RULE_REJECT, .text = text};
		size_t errors = 0;

		for (int i = 0; i < 100; i++)
			memcpy(text + shift + 3 * i, "\xe2\x82\xac", 4);
		autoimage struct sw_image *image =
			compiled_by_hand(arena, &rule, SW_SELECT_USER, "x", "x", &errors);

		assert_non_null(image);
		assert_int_equal(strlen(image->info[0].text), shift + (255 - shift) / 3 * 3);
		assert_memory_equal(image->info[0].text, text, strlen(image->info[0].text));
		sw_arena_free(arena);
	}
}

static void test_rule_257(void **state)
{
	struct sw_arena *arena = sw_arena_new();
	struct sw_rule_node *rules = sw_arena_alloc(arena, 257 * sizeof(*rules));
	struct sw_port port = {.port = 25};
	struct sw_port_block block = {.ports = &port, .rules = rules};
	struct sw_scope_block scope = {.scope = SW_SCOPE_HOST, .blocks = &block};
	struct sw_policy_ast policy = {.arena = arena, .scopes = &scope};

	(void)state;
	for (uint32_t n = 1; n <= 257; n++) {
		struct sw_diags *diags = sw_diags_new();

		rules[n - 1].number = policy.n_rules = n;
		rules[n - 1].mode = SW_MODE_ENFORCE;
		if (n > 1)
			rules[n - 2].next = &rules[n - 1];
		if (n > 255) {
			autoimage struct sw_image *image = sw_policy_compile(&policy, diags);

			assert_int_equal(!image, n == 257);
		}
		sw_diags_free(diags);
	}
	sw_arena_free(arena);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_too_many_classes),
		cmocka_unit_test(test_too_many_rows),
		cmocka_unit_test(test_too_many_rules),
		cmocka_unit_test(test_too_many_names),
		cmocka_unit_test(test_two_selectors_of_a_kind),
		cmocka_unit_test(test_names_of_256_bytes),
		cmocka_unit_test(test_long_texts_are_cut),
		cmocka_unit_test(test_rule_257),
	};

	return cmocka_run_group_tests_name("compile_limits", tests, NULL, NULL);
}
