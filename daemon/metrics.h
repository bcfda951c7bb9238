/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * metrics.h - the daemon's numbers as Prometheus reads them: text exposition format 0.0.4. Pure: who
 * gathers them is metrics_gather.c, who serves them metrics_http.c.
 *
 * Names begin with smtpwall_ (those that every Prometheus client has, with process_), counters end in
 * _total. Labels come from fixed lists only: nothing that a program, a user or a peer can choose stands
 * in one, so the number of series does not depend on anybody.
 */
#ifndef SW_METRICS_H
#define SW_METRICS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "bpf/abi.h"

/* Events as the daemon took them, since it started. */
struct sw_event_totals {
	uint64_t events[SW_EVENT_KIND_MAX][SW_VERDICT_MAX][SW_REASON_MAX];
	/* Of them: AUTH before TLS. [1]: what followed it passed, as the rule only records. */
	uint64_t credentials[SW_EVENT_KIND_MAX][2];
};

/* Adds an event that sw_event_check() has passed. */
void sw_event_totals_add(struct sw_event_totals *totals, const struct sw_event *event);

struct sw_metrics_hook {
	const char *name;
	bool attached;
};

/* A table, or a ring buffer in bytes, and how much of it is taken. */
struct sw_metrics_room {
	const char *name;
	uint64_t used, size;
};

/* A sink, as struct sw_sink_state has it. */
struct sw_metrics_sink {
	const char *name;
	uint64_t written, lost, retries;
	uint64_t behind; /* events in the trail that it has not come to yet */
	bool failing;
};

/* The store of events on disk. */
struct sw_metrics_store {
	uint64_t bytes, limit_bytes; /* 0: no limit */
	uint64_t events, sessions;   /* rows */
	uint64_t oldest_ns;          /* CLOCK_REALTIME; 0: it is empty */
	uint64_t removed;            /* rows that retention took off since the daemon started */
};

struct sw_metrics_policy {
	uint64_t generation; /* 0: none is in force, and the rest says nothing */
	uint8_t sha256[32];
	uint32_t n_rules;
	uint64_t applied_ns; /* CLOCK_REALTIME */
	const char *mode;    /* "enforce", "audit" or "mixed" */
};

/* The process, as every Prometheus client tells of it. */
struct sw_metrics_process {
	double started, cpu; /* seconds since 1970; seconds used */
	uint64_t resident_bytes, virtual_bytes, fds, fds_max;
};

/* Numbers of one moment. Strings and arrays are borrowed. */
struct sw_metrics {
	const char *version;
	struct sw_metrics_process process;
	bool enforcing;
	struct sw_metrics_policy policy;
	bool confirm_pending, reload_failed;
	const struct sw_metrics_hook *hooks;
	size_t n_hooks;
	uint64_t edge_guarded, edge_unguarded; /* interfaces */
	uint64_t problems, bad_records, pretended;
	bool has_counters; /* the kernel gave them */
	uint64_t counters[SW_COUNT_MAX];
	const struct sw_event_totals *totals;
	const struct sw_metrics_room *rings, *tables;
	size_t n_rings, n_tables;
	const struct sw_metrics_sink *sinks; /* names need not differ */
	size_t n_sinks;
	const struct sw_metrics_store *store; /* NULL: none */
};

/* Of which family of metrics a counter is, for the tests. NULL: it has no row in the table. */
const char *sw_metrics_counter(enum sw_counter counter);

/* The text, malloc'ed, a NUL behind its *length bytes. NULL: out of memory. */
char *sw_metrics_text(const struct sw_metrics *metrics, size_t *length);

#endif
