/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * smtpwall - the command: a table and a loop. Each command is a file of its own.
 */
#include <errno.h>
#include <signal.h>
#include <string.h>

#include "ctl/ctl.h"

static const struct sw_command *const commands[] = {
	&sw_cmd_check,  &sw_cmd_fmt,    &sw_cmd_apply,  &sw_cmd_confirm, &sw_cmd_rollback,
	&sw_cmd_stop,   &sw_cmd_status, &sw_cmd_rules,  &sw_cmd_why,     &sw_cmd_events,
	&sw_cmd_report, &sw_cmd_flows,  &sw_cmd_replay,
};

static const struct sw_option options[] = {
	{"run-dir", "DIR", SW_OPTION_TEXT, false, offsetof(struct sw_ctl, run_dir), 0, 0,
	 "where smtpwalld's socket lies (" SW_RUN_DIR ")"},
	{"state-dir", "DIR", SW_OPTION_TEXT, false, offsetof(struct sw_ctl, state_dir), 0, 0,
	 "where smtpwalld keeps events, when none answers (" SW_STATE_DIR ")"},
	{"version", NULL, SW_OPTION_FLAG, false, offsetof(struct sw_ctl, version), 0, 0,
	 "print the version and exit"},
	{"help", NULL, SW_OPTION_FLAG, false, offsetof(struct sw_ctl, help), 0, 0,
	 "print this and exit"},
};

static void help(FILE *to, const struct sw_option_set *set)
{
	fputs("usage: smtpwall [--run-dir DIR] [--state-dir DIR] COMMAND ...\n\n", to);
	for (size_t i = 0; i < sw_count(commands); i++)
		fprintf(to, "  %-10s%s\n", commands[i]->name, commands[i]->summary);
	fputs("\n\"smtpwall COMMAND --help\" says more.\n\n", to);
	sw_opts_help(set, 1, to);
}

static int unknown_command(const char *name)
{
	const char *names[sw_count(commands)], *near;

	for (size_t i = 0; i < sw_count(commands); i++)
		names[i] = commands[i]->name;
	near = sw_diag_nearest(name, names, sw_count(commands));
	fprintf(stderr, "smtpwall: unknown command \"%s\"%s%s%s\ntry: smtpwall --help\n", name,
		near ? " (nearest: " : "", near ? near : "", near ? ")" : "");
	return SW_EXIT_USAGE;
}

/* A reader that went away (smtpwall rules | head) is no error; a full disk is one. */
static int finish(int code)
{
	if ((fflush(stdout) || ferror(stdout)) && errno != EPIPE) {
		sw_complain("cannot write: %s", strerror(errno));
		return code ? code : SW_EXIT_NO;
	}
	return code;
}

int main(int argc, char **argv)
{
	struct sw_ctl ctl = {.run_dir = SW_RUN_DIR};
	const struct sw_option_set set = {options, sw_count(options), &ctl};
	char error[SW_ERROR_SIZE];
	int at = 1;

	signal(SIGPIPE, SIG_IGN);
	if (sw_opts_read(&set, 1, argc, argv, &at, NULL, error)) {
		fprintf(stderr, "smtpwall: %s\ntry: smtpwall --help\n", error);
		return SW_EXIT_USAGE;
	}
	if (ctl.version) {
		puts("smtpwall " SW_VERSION);
		return finish(SW_EXIT_OK);
	}
	if (ctl.help || at == argc) {
		help(ctl.help ? stdout : stderr, &set);
		return finish(ctl.help ? SW_EXIT_OK : SW_EXIT_USAGE);
	}
	for (size_t i = 0; i < sw_count(commands); i++)
		if (!strcmp(commands[i]->name, argv[at]))
			return finish(commands[i]->run(&ctl, argc - at, argv + at));
	return unknown_command(argv[at]);
}
