/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "ctl/ctl.h"

static void rules_text(FILE *to, const json_t *data, const void *context)
{
	static const char *const heads[] = {">RULE", ">LINE", ">HITS", "SCOPE", "TEXT"};
	const json_t *rules = json_object_get(data, "rules");
	struct sw_table *table = sw_table_new(heads, sw_count(heads));
	sw_autofree char *path = sw_escaped(sw_string(data, "path"));
	size_t i;
	json_t *rule;

	(void)context;
	json_array_foreach (rules, i, rule) {
		char number[24], line[24], hits[24];
		sw_autofree char *text = NULL;

		snprintf(number, sizeof(number), "%lld", (long long)sw_integer(rule, "rule"));
		snprintf(line, sizeof(line), "%lld", (long long)sw_integer(rule, "line"));
		snprintf(hits, sizeof(hits), "%lld", (long long)sw_integer(rule, "hits"));
		if (asprintf(&text, "%s%s", sw_is_true(rule, "audit") ? "(only recorded) " : "",
			     sw_string(rule, "text")) < 0)
			continue;
		sw_table_row(table, (const char *const[]){number, line, hits,
							  sw_string(rule, "scope"), text});
	}
	if (json_array_size(rules)) {
		fprintf(to, "%s, generation %lld\n", path,
			(long long)sw_integer(data, "generation"));
		sw_table_print(table, to);
	} else {
		fputs("No policy is in force: nothing is guarded.\n", to);
	}
	sw_table_free(table);
}

static int rules(struct sw_ctl *ctl, int argc, char **argv)
{
	json_auto_t *request = json_pack("{s:s}", "request", "rules"), *answer = NULL;
	int r = sw_ctl_arguments(ctl, &sw_cmd_rules, argc, argv, NULL);

	if (r >= 0)
		return r;
	r = sw_ctl_ask(ctl, request, NULL, 0, &answer);
	if (!r)
		ctl->out->data(answer, rules_text, NULL);
	return r;
}

const struct sw_command sw_cmd_rules = {
	.name = "rules",
	.summary = "every rule in force with its line and its hits",
	.about = "Lists the rules in force in the order in which they are tried, each with\n"
		 "its line in the policy file and how often it has decided.",
	.run = rules,
};
