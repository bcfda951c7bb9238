/* SPDX-License-Identifier: GPL-2.0-or-later */
/* sinks.h - all sinks that the options ask for, together. Each kind is a file of its own. */
#ifndef SW_SINKS_H
#define SW_SINKS_H

#include <stddef.h>
#include <sys/types.h>

#include "daemon/options.h"
#include "daemon/sink.h"

#define SW_SINKS_MAX 8

struct sw_sinks;

/* NULL: out of memory. */
struct sw_sinks *sw_sinks_new(void);

/* What is written to is opened while the daemon still has its privileges. 0 or -1. */
int sw_sinks_open(struct sw_sinks *sinks, const struct sw_options *options, struct sw_fault *fault);

/* One more that was opened elsewhere; `data` is its own. */
void sw_sinks_add(struct sw_sinks *sinks, const struct sw_sink_calls *calls, void *data);

/* The threads begin, once privileges are dropped. 0 or -1. */
int sw_sinks_start(struct sw_sinks *sinks, struct sw_trail *trail, struct sw_fault *fault);

/* After sw_trail_close(): waits until they have written what there is, and returns how many events were not
   written to one of them in the end. Frees all. NULL: nothing. */
uint64_t sw_sinks_stop(struct sw_sinks *sinks);

void sw_sinks_reopen(struct sw_sinks *sinks);

/* Returns how many there are. */
size_t sw_sinks_states(struct sw_sinks *sinks, struct sw_sink_state states[static SW_SINKS_MAX]);

/* Calls `changed` for each that began to fail since the last call, or goes on. */
void sw_sinks_check(struct sw_sinks *sinks,
		    void (*changed)(void *data, const struct sw_sink_state *state), void *data);

#endif
