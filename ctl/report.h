/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * report.h - a report as plain tables, made of what was counted, and the three forms in which it is
 * shown. Nothing here reads a store or asks a clock.
 */
#ifndef SW_REPORT_H
#define SW_REPORT_H

#include <jansson.h>
#include <stdio.h>

#include "daemon/audit/store.h"
#include "daemon/audit/tally.h"

#define SW_REPORT_TOP 10     /* rows of a table; the others are summed up */
#define SW_REPORT_CHANGES 20 /* likewise of what changed */

/* What came so many times as often as before, or as seldom, is a change; differences below the second
   number are chance. */
#define SW_REPORT_FACTOR 2
#define SW_REPORT_CHANCE 10

struct sw_report_row {
	char *name; /* for people; "": not known */
	uint64_t n[SW_OUTCOMES];
};

/* What is left out of a table. */
struct sw_report_rest {
	uint64_t keys; /* how many names */
	uint64_t n[SW_OUTCOMES];
	uint64_t short_by; /* not 0: there were too many names, counts may be too low by so much */
};

struct sw_report_table {
	size_t n_rows;
	struct sw_report_row rows[SW_REPORT_TOP];
	struct sw_report_rest rest;
};

struct sw_report_sender {
	char *user, *program, *unit; /* "": not known */
	char *peer;                  /* address: the destination; with scope "serve" the client */
	unsigned int port;
	const char *scope, *reason;
	char command[32]; /* "AUTH PLAIN"; "": none that is known */
	bool cut;         /* no more of the command was seen */
	uint64_t n[SW_OUTCOMES];
};

struct sw_report_senders {
	size_t n_rows;
	struct sw_report_sender rows[SW_REPORT_TOP];
	struct sw_report_rest rest;
};

enum sw_change { SW_CHANGE_NEW, SW_CHANGE_GONE, SW_CHANGE_UP, SW_CHANGE_DOWN };

struct sw_report_change {
	enum sw_change change;
	enum sw_tally_by by;
	char *name;
	uint64_t before, now; /* all outcomes */
};

/* The tables that a report has, in this order: SW_BY_PROGRAM to SW_BY_VERDICT. */
#define SW_REPORT_TABLES (SW_BY_VERDICT + 1)

struct sw_report {
	const char *host;  /* borrowed: whose report it is */
	const char *store; /* borrowed: path */
	uint64_t made_ns;
	uint64_t oldest_ns;                  /* of the store's oldest record; 0: it is empty */
	uint64_t gaps[SW_GAP_MAX];           /* events of this time that were not recorded */
	const struct sw_tally *now, *before; /* borrowed */
	bool compares; /* the store holds (nine tenths of) the period before as well */
	struct sw_report_table tables[SW_REPORT_TABLES];
	struct sw_report_senders clear, elsewhere;
	size_t n_changes;
	uint64_t more_changes;
	struct sw_report_change changes[SW_REPORT_CHANGES];
};

/*
 * Fills the tables from two tallies of the same length, which the report borrows, as it does what is
 * in it already (host, store, made_ns, oldest_ns, gaps). Free it in either case. 0 or -ENOMEM.
 */
int sw_report_make(struct sw_report *report, const struct sw_tally *now,
		   const struct sw_tally *before);
void sw_report_free(struct sw_report *report);

/* "program", "Program": how a table is called in JSON and as a head. */
const char *sw_report_table_name(enum sw_tally_by by);
const char *sw_report_table_head(enum sw_tally_by by);
const char *sw_change_name(enum sw_change change);                 /* "new" */
const char *sw_report_version_name(enum sw_tally_version version); /* "1.3", "older", "unknown" */

/* Sessions of all scopes together. */
struct sw_tally_sessions sw_report_sessions(const struct sw_tally *tally);

/* "1,234,567" */
#define SW_GROUPED_SIZE 32
const char *sw_report_number(uint64_t n, char to[static SW_GROUPED_SIZE]);

/* "97.3 %" of a part in a whole; "-": of nothing. All and nothing are said only when they are meant. */
#define SW_PERCENT_SIZE 16
const char *sw_report_percent(uint64_t part, uint64_t whole, char to[static SW_PERCENT_SIZE]);

/* The object that smtpwall(8) describes. NULL: out of memory. */
json_t *sw_report_json(const struct sw_report *report);

/* For terminals and mail: at most 80 columns. `context` is the report; `data` is not looked at. */
void sw_report_text(FILE *to, const json_t *data, const void *context);

/* One page that needs nothing else. Errors are the stream's. */
void sw_report_html(FILE *to, const struct sw_report *report);

#endif
