/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * sink.h - where events go besides the control socket. Each sink is a thread that reads the trail at its
 * own pace, so that one that is slow, or stands still, holds up neither the daemon nor another sink.
 *
 * Events come in batches. A batch that could not be written is tried again, until it is, or until the
 * trail has no room for it any more: only then events are lost to this sink, and it knows how many.
 */
#ifndef SW_SINK_H
#define SW_SINK_H

#include <stdbool.h>
#include <stdint.h>

#include "daemon/audit/record.h"
#include "daemon/audit/trail.h"
#include "daemon/fault.h"

/* What a kind of sink does. All run in its thread; `data` is its own. NULL members: nothing to do. */
struct sw_sink_calls {
	const char *name; /* "store", "journal", "json" */
	uint64_t
		interval_usec; /* batches are not written more often than this, unless they are large */
	void (*begin)(void *data);
	void (*lost)(void *data, uint64_t first, uint64_t n); /* ids from `first` on are gone */
	void (*put)(void *data, const struct sw_record *record);
	/* Writes what was put since begin(), all of it or nothing. -1 after filling *fault. */
	int (*commit)(void *data, struct sw_fault *fault);
	void (*tick)(void *data);   /* once a second at most, between batches */
	void (*reopen)(void *data); /* asked for by sw_sink_reopen(); between batches */
	void (*close)(void *data);  /* last of all; frees `data` */
	/* A sink that hands on each event as it is put: id of the last one that was handed on, and is not
	   to come again, though the commit failed. NULL: a batch is written whole or not at all. */
	uint64_t (*reached)(void *data);
};

struct sw_sink_state {
	const char *name;
	uint64_t written;  /* events since the daemon started */
	uint64_t lost;     /* that were not there any more when they could have been written */
	uint64_t position; /* id of the last one that was written or lost */
	uint64_t retries;  /* how often a batch could not be written */
	bool failing;      /* the last batch could not be written */
	char problem[400]; /* why; "" when not failing */
};

struct sw_sink;

/*
 * Starts a thread that reads from the record behind `position` on. `data` passes to the sink, also on
 * failure. NULL after filling *fault. Call it once privileges are dropped: threads have their own.
 */
struct sw_sink *sw_sink_start(struct sw_trail *trail, const struct sw_sink_calls *calls, void *data,
			      uint64_t position, struct sw_fault *fault);

void sw_sink_state(struct sw_sink *sink, struct sw_sink_state *state);

/* Files are closed and opened again by their names, before the next batch. */
void sw_sink_reopen(struct sw_sink *sink);

/* After sw_trail_close(): waits until what the trail still has is written, or cannot be, and frees the
   sink. Returns how many events were not written in the end, but for those that were counted as lost. */
uint64_t sw_sink_stop(struct sw_sink *sink);

#endif
