/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * ctl.h - what the commands share. A command is one file that exports one struct sw_command; the
 * table in smtpwall.c lists them. Commands print their errors themselves and return an exit code.
 */
#ifndef SW_CTL_H
#define SW_CTL_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>

#include "ctl/options.h"
#include "ctl/output.h"
#include "daemon/base.h"

#define SW_RUN_DIR "/run/smtpwall"
#define SW_STATE_DIR "/var/lib/smtpwall"

/* Exit codes: the contract of the command line. */
enum sw_exit {
	SW_EXIT_OK = 0,
	SW_EXIT_NO = 1,        /* the answer is no */
	SW_EXIT_USAGE = 2,     /* wrong usage */
	SW_EXIT_NO_DAEMON = 3, /* nobody answers */
	SW_EXIT_KERNEL = 4,    /* the kernel refused */
};

struct sw_ctl {
	const char *run_dir;
	const char *state_dir; /* NULL: not given */
	const char *operand;   /* of the command, NULL when none was given */
	const struct sw_output *out;
	bool help, version, json;
};

struct sw_command {
	const char *name;
	const char *operand; /* "FILE"; NULL: takes none */
	const char *summary; /* one line for the list of commands */
	const char *about;   /* sentences for --help, lines under 80 columns */
	const struct sw_option *options;
	size_t n_options;
	int (*run)(struct sw_ctl *ctl, int argc, char **argv);
};

extern const struct sw_command sw_cmd_apply, sw_cmd_check, sw_cmd_confirm, sw_cmd_events,
	sw_cmd_flows, sw_cmd_fmt, sw_cmd_replay, sw_cmd_report, sw_cmd_rollback, sw_cmd_rules,
	sw_cmd_status, sw_cmd_stop, sw_cmd_why;

/*
 * Reads a command's own arguments (argv[0] is its name) into `args` and into `ctl`; answers --help.
 * -1: go on; else the command ends with this code, and everything has been said.
 */
int sw_ctl_arguments(struct sw_ctl *ctl, const struct sw_command *command, int argc, char **argv,
		     void *args);

/* "smtpwall: ..." on standard error. */
void sw_complain(const char *format, ...) sw_printf(1, 2);

/*
 * Asks the daemon and waits for the answer. SW_EXIT_OK: *answer is an object with status 0; else
 * everything has been said, and *answer may be an object that says more (or NULL).
 */
int sw_ctl_ask(const struct sw_ctl *ctl, const json_t *request, const int *fds, size_t n_fds,
	       json_t **answer);

/* The same over a connection that is open already. */
struct sw_client;
int sw_ctl_exchange(const struct sw_ctl *ctl, struct sw_client *client, const json_t *request,
		    const int *fds, size_t n_fds, json_t **answer);

/* Why a connection to the daemon failed, on standard error (`error` is -errno). Exit code. */
int sw_ctl_unreachable(const struct sw_ctl *ctl, int error);

/* The exit code of an answer; says its "error" on standard error. */
int sw_ctl_answer(const json_t *answer);

/* Members of an answer, "" and 0 when they are not there or of another type: the daemon may be of
   another version. */
const char *sw_string(const json_t *object, const char *member);
json_int_t sw_integer(const json_t *object, const char *member);
bool sw_is_true(const json_t *object, const char *member);

#endif
