/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "ctl/ctl.h"
#include "ctl/policyfile.h"

static void check_text(FILE *to, const json_t *data, const void *context)
{
	const struct sw_policy_file *file = context;
	char counts[SW_COUNTS_SIZE];

	sw_policy_file_counts(file, counts);
	fprintf(to, "%s: %s", file->name, counts);
	if (!sw_integer(data, "errors"))
		fprintf(to, ", %u rule%s", (unsigned int)file->policy->n_rules,
			file->policy->n_rules == 1 ? "" : "s");
	fputc('\n', to);
}

static int check(struct sw_ctl *ctl, int argc, char **argv)
{
	sw_autopolicy struct sw_policy_file file = SW_POLICY_FILE_NONE;
	int r = sw_ctl_arguments(ctl, &sw_cmd_check, argc, argv, NULL);

	if (r >= 0)
		return r;
	r = sw_policy_file_check(&file, ctl->operand, ctl->json);

	json_auto_t *data = json_pack("{s:s, s:i, s:i, s:o}", "file", file.name, "errors",
				      (int)sw_diags_errors(file.diags), "warnings",
				      (int)sw_diags_warnings(file.diags), "diagnostics",
				      sw_diags_json(file.diags));
	ctl->out->diags(file.diags);
	ctl->out->data(data, check_text, &file);
	return r ? SW_EXIT_NO : SW_EXIT_OK;
}

const struct sw_command sw_cmd_check = {
	.name = "check",
	.operand = "FILE",
	.summary = "is this policy right? errors and warnings",
	.about = "Reads a policy as apply would, and says what is wrong with it. Nothing\n"
		 "changes, and no daemon is needed. FILE may be \"-\" for standard input.\n"
		 "Exit code: 0 without errors, also with warnings; 1 with errors.",
	.run = check,
};
