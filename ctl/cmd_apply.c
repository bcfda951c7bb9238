/* SPDX-License-Identifier: GPL-2.0-or-later */
/* apply, confirm and rollback: what changes the policy in force. */
#include <limits.h>
#include <string.h>
#include <sys/stat.h>

#include "ctl/ctl.h"
#include "ctl/policyfile.h"
#include "daemon/proto.h"

#define CONFIRM_MAX_S 86400

struct args {
	long confirm;
	const char *existing;
};

static const struct sw_option options[] = {
	{.name = "confirm",
	 .value = "SECS",
	 .kind = SW_OPTION_NUMBER,
	 .offset = offsetof(struct args, confirm),
	 .low = 1,
	 .high = CONFIRM_MAX_S,
	 .help = "go back to the policy before after SECS seconds,\n"
		 "unless \"smtpwall confirm\" comes first"},
	{.name = "existing",
	 .value = "keep|close",
	 .kind = SW_OPTION_WORD,
	 .offset = offsetof(struct args, existing),
	 .help = "connections that are open already may finish (keep,\n"
		 "as without this option), or are reset"},
};

/* How this very command line is called, for the sentences that name the next one. */
static const char *self(const struct sw_ctl *ctl, char to[static PATH_MAX])
{
	if (strcmp(ctl->run_dir, SW_RUN_DIR))
		snprintf(to, PATH_MAX, "smtpwall --run-dir %s", ctl->run_dir);
	else
		snprintf(to, PATH_MAX, "smtpwall");
	return to;
}

static void show_rule(const struct sw_rule_node *rule, FILE *to)
{
	char text[160];
	size_t n = sw_rule_print(rule, text, sizeof(text));
	sw_autofree char *shown = sw_escaped(text);

	fprintf(to, "    %s%s%s\n", rule->mode == SW_MODE_AUDIT ? "(only recorded) " : "", shown,
		n >= sizeof(text) ? "..." : "");
}

/* edge "lan0", "tap*" */
static void show_scope(const struct sw_scope_block *scope, FILE *to)
{
	fputs(sw_scope_name(scope->scope), to);
	for (const struct sw_interface_node *i = scope->interfaces; i; i = i->next) {
		sw_autofree char *shown = sw_escaped(i->pattern);

		fprintf(to, "%s \"%s\"", i == scope->interfaces ? "" : ",", shown);
	}
}

/* What is guarded, block by block, from the file that was sent. */
static void show_guards(const struct sw_policy_ast *policy, FILE *to)
{
	for (const struct sw_scope_block *s = policy->scopes; s; s = s->next) {
		for (const struct sw_port_block *b = s->blocks; b; b = b->next) {
			fputs("  ", to);
			show_scope(s, to);
			fputs(", port", to);
			for (const struct sw_port *p = b->ports; p; p = p->next)
				fprintf(to, " %u%s", p->port, p->next ? "," : "\n");
			for (const struct sw_rule_node *r = b->rules; r; r = r->next)
				show_rule(r, to);
		}
	}
}

static void show_existing(const json_t *list, FILE *to)
{
	size_t i, n = json_array_size(list);
	json_t *one;

	if (!n)
		return;
	fprintf(to, "%zu connection%s older than this policy:\n", n, n == 1 ? " is" : "s are");
	json_array_foreach (list, i, one) {
		sw_autofree char *src = sw_escaped(sw_string(one, "src")),
				 *dst = sw_escaped(sw_string(one, "dst"));

		fprintf(to, "  %s port %lld -> %s port %lld, user %lld: %s\n", src,
			(long long)sw_integer(one, "src_port"), dst,
			(long long)sw_integer(one, "dst_port"), (long long)sw_integer(one, "uid"),
			sw_is_true(one, "closed") ? "reset" : "may finish");
	}
}

struct applied {
	const struct sw_ctl *ctl;
	const struct sw_policy_file *file;
};

static void applied_text(FILE *to, const json_t *data, const void *context)
{
	const struct applied *applied = context;
	char command[PATH_MAX], time[SW_TIME_TEXT_SIZE];

	fprintf(to, "%s %s force: generation %lld\n", applied->file->name,
		sw_is_true(data, "unchanged") ? "was already in" : "is in",
		(long long)sw_integer(data, "generation"));
	show_guards(applied->file->policy, to);
	show_existing(json_object_get(data, "existing"), to);
	if (!*sw_string(data, "confirm_before"))
		return;
	sw_time_text(sw_string(data, "confirm_before"), 0, time);
	fprintf(to, "At %s the policy before comes back, unless you run: %s confirm\n", time,
		self(applied->ctl, command));
}

/* The daemon keeps the path, so it must name the same file whatever folder it runs in. */
static char *absolute(const char *name)
{
	sw_autofree char *here = NULL;
	char *path = NULL;

	/* Standard input is no file of any folder. */
	if (name[0] == '/' || !strcmp(name, "<stdin>"))
		return strdup(name);
	here = getcwd(NULL, 0);
	if (!here || asprintf(&path, "%s/%s", here, name) < 0)
		return NULL;
	return path;
}

static int send_policy(struct sw_ctl *ctl, const struct args *args,
		       const struct sw_policy_file *file)
{
	const int fds[] = {file->fd, file->dir_fd};
	struct applied applied = {ctl, file};
	sw_autofree char *path = absolute(file->name);
	json_auto_t *request = NULL, *answer = NULL;
	int r;

	if (!path || lseek(file->fd, 0, SEEK_SET)) {
		sw_complain("%s must be a file that the daemon can read again", file->name);
		return SW_EXIT_USAGE;
	}
	request = json_pack("{s:s, s:s, s:i, s:s}", "request", "apply", "path", path, "confirm",
			    args->confirm < 0 ? 0 : (int)args->confirm, "existing", args->existing);
	if (!request) {
		sw_complain("the path of %s is not UTF-8", file->name);
		return SW_EXIT_NO;
	}
	r = sw_ctl_ask(ctl, request, fds, sw_count(fds), &answer);
	/* A file that is right here may be wrong there: users, lists and limits are looked up again. */
	if (r && *sw_string(answer, "text")) {
		sw_autofree char *text = sw_escaped_lines(sw_string(answer, "text"));

		fputs(text, stderr);
	}
	if (!r || (answer && ctl->json))
		ctl->out->data(answer, applied_text, &applied);
	return r;
}

/* The same members as when the daemon refuses. */
static int not_sent(const struct sw_ctl *ctl, const struct sw_policy_file *file)
{
	json_auto_t *data = json_pack("{s:s, s:o}", "error", "the policy was not sent",
				      "diagnostics", sw_diags_json(file->diags));

	sw_complain("%s was not sent; the policy in force stays", file->name);
	if (ctl->json)
		ctl->out->data(data, NULL, NULL);
	return SW_EXIT_NO;
}

static int apply(struct sw_ctl *ctl, int argc, char **argv)
{
	sw_autopolicy struct sw_policy_file file = SW_POLICY_FILE_NONE;
	struct args args = {.confirm = -1, .existing = "keep"};
	int r = sw_ctl_arguments(ctl, &sw_cmd_apply, argc, argv, &args);

	if (r >= 0)
		return r;
	r = sw_policy_file_check(&file, ctl->operand, ctl->json);
	sw_diags_print(file.diags, stderr);
	if (r)
		return not_sent(ctl, &file);
	return send_policy(ctl, &args, &file);
}

static void confirm_text(FILE *to, const json_t *data, const void *context)
{
	(void)context;
	fprintf(to, "Generation %lld stays in force.\n", (long long)sw_integer(data, "generation"));
}

static void rollback_text(FILE *to, const json_t *data, const void *context)
{
	sw_autofree char *path = sw_escaped(sw_string(data, "path"));

	(void)context;
	fprintf(to, "%s is in force again: generation %lld.\n", path,
		(long long)sw_integer(data, "generation"));
}

static int plain_request(struct sw_ctl *ctl, const char *name, sw_text_fn *text)
{
	json_auto_t *request = json_pack("{s:s}", "request", name), *answer = NULL;
	int r = sw_ctl_ask(ctl, request, NULL, 0, &answer);

	if (!r)
		ctl->out->data(answer, text, NULL);
	return r;
}

static int confirm(struct sw_ctl *ctl, int argc, char **argv)
{
	int r = sw_ctl_arguments(ctl, &sw_cmd_confirm, argc, argv, NULL);

	return r >= 0 ? r : plain_request(ctl, "confirm", confirm_text);
}

static int rollback(struct sw_ctl *ctl, int argc, char **argv)
{
	int r = sw_ctl_arguments(ctl, &sw_cmd_rollback, argc, argv, NULL);

	return r >= 0 ? r : plain_request(ctl, "rollback", rollback_text);
}

const struct sw_command sw_cmd_apply = {
	.name = "apply",
	.operand = "FILE",
	.summary = "put a policy in force",
	.about = "Checks a policy and has smtpwalld put it in force, whole or not at all.\n"
		 "Every connection is decided by the old policy or by the new one, none by\n"
		 "neither. Connections that are open already are listed.",
	.options = options,
	.n_options = sw_count(options),
	.run = apply,
};

const struct sw_command sw_cmd_confirm = {
	.name = "confirm",
	.summary = "keep a policy that was applied with --confirm",
	.about = "Keeps the policy that \"apply --confirm\" put in force; without this the\n"
		 "policy before comes back when the time is over.",
	.run = confirm,
};

const struct sw_command sw_cmd_rollback = {
	.name = "rollback",
	.summary = "go back to the policy before",
	.about = "Puts the policy before the one in force in force again.",
	.run = rollback,
};
