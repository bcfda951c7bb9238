/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * syslog.h - events to a syslog collector, by a thread that reads the audit store behind the position
 * that it keeps in the state directory. While the collector is away events wait in the store; when a
 * connection ends, sending goes on from what was delivered for certain (syslog_marks.h), so that each
 * event arrives at least once. A collector tells doubles by the id.
 */
#ifndef SW_SYSLOG_H
#define SW_SYSLOG_H

#include <stdbool.h>

#include "daemon/audit/trail.h"
#include "daemon/fault.h"
#include "daemon/sink.h"
#include "daemon/syslog_tls.h"

struct sw_syslog_config {
	const char *target;    /* syslog_target.h */
	const char *store;     /* path of the audit store */
	const char *state_dir; /* the position lies there */
	bool sessions;         /* sessions too, not only refusals and violations */
	/* tls: only. `name` NULL: the host of the target. */
	struct sw_syslog_tls_files tls;
};

struct sw_syslog;

/* Reads the files and the position; needs the privileges of the start, and OpenSSL as sw_inspect_prepare()
   leaves it. 0 or -1 after filling *fault. */
int sw_syslog_open(const struct sw_syslog_config *config, struct sw_syslog **syslog,
		   struct sw_fault *fault);

/*
 * Starts the thread, once privileges are dropped; new records of `trail` wake it. `last` is the id of the
 * newest record of the daemon before. Where there is no position yet it is that one: what was recorded
 * before is not sent. On failure the sink is freed.
 */
int sw_syslog_start(struct sw_syslog *syslog, struct sw_trail *trail, uint64_t last,
		    struct sw_fault *fault);

struct sw_syslog_state {
	/* written: events sent, each counted once; position: of the last one sent; retries: connections
	   that could not be opened or have ended. */
	struct sw_sink_state sink;
	uint64_t delivered; /* id up to which the collector has everything */
	uint64_t again;     /* messages sent a second time, or more often */
	bool connected;
};

void sw_syslog_state(struct sw_syslog *syslog, struct sw_syslog_state *state);

/* After sw_trail_close(), and after the store has its last events: sends them if the collector takes them
   within SW_SYSLOG_STOP_USEC, and frees the sink. NULL-safe; also for one that was not started. */
void sw_syslog_stop(struct sw_syslog *syslog);

#endif
