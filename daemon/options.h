/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * options.h - the daemon's command line.
 */
#ifndef SW_OPTIONS_H
#define SW_OPTIONS_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

#include "daemon/load_edge.h"

/* What --store-size may be, in bytes. */
#define SW_STORE_BYTES_MIN (8ull << 20)
#define SW_STORE_BYTES_MAX (1ull << 44)

struct sw_options {
	const char *policy;
	const char *cgroup; /* NULL: the root of the cgroup2 mount */
	const char *run_dir;
	const char *state_dir;
	const char *pin_dir;
	uint32_t edge_flows;   /* --flows: entries of the edge's flow table */
	enum sw_xdp_mode xdp;  /* --xdp auto|native|generic */
	uint64_t store_bytes;  /* --store-size: of the audit store, 0: no store */
	uint32_t keep_days;    /* --keep-days: age of the oldest event in it, 0: no limit */
	bool journal;          /* --journal: events as native entries of the systemd journal */
	const char *json_file; /* --json-file: NULL: none */
	bool json_ecs;         /* --json-format ecs */
	const char *syslog;    /* --syslog: NULL: none */
	const char *syslog_name, *syslog_ca, *syslog_cert, *syslog_key;
	bool syslog_sessions; /* --syslog-sessions: sessions as well */
	const char *metrics;  /* --metrics: where they are served, NULL: nowhere */
	bool elsewhere;       /* tell of SMTP on ports that no rule names */
	bool foreground;      /* show each refusal as a line on standard output */
	bool check;           /* check the policy and end */
	bool detach;          /* take off what is pinned and end */
	bool verbose;
	bool help, version;
};

/* Fills *options with the defaults and what argv says; strings are argv's own. 0, or -1 after
   writing to `errors` what is wrong (the exit code is then SW_EXIT_USAGE). */
int sw_options_parse(int argc, char *const *argv, struct sw_options *options, FILE *errors);

void sw_options_help(FILE *to);

#endif
