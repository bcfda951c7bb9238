/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "daemon/sink_store.h"

#include <malloc.h>
#include <stdatomic.h>
#include <string.h>
#include <time.h>

#include "daemon/base.h"

#define INTERVAL_USEC 200000u

/* Under load nothing comes between batches, and ticks neither. */
#define TIDY_NSEC 1000000000u
/* Retention may take so long at a time. */
#define TIDY_FOR_NSEC 50000000u

struct sw_store_sink {
	char *path;
	struct sw_store_limits limits;
	gid_t readers;
	struct sw_store *store; /* NULL: not open */
	uint64_t instance, taken;
	bool has_account;
	bool renewed; /* a damaged file was put aside: nobody knows which ids it had */
	bool failed;  /* this batch */
	char error[SW_STORE_ERROR_SIZE];
	uint64_t tidied_ns; /* when last: CLOCK_MONOTONIC */
	enum { RESTING = 0, IDLE, WRITING } pace;
	struct {
		_Atomic uint64_t bytes, events, sessions, oldest_ns, removed;
	} size;
};

static uint64_t now_ns(clockid_t clock)
{
	struct timespec now;

	clock_gettime(clock, &now);
	return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

static void note_size(struct sw_store_sink *sink)
{
	struct sw_store_size size;

	sw_store_size(sink->store, &size);
	sink->size.bytes = size.bytes;
	sink->size.events = size.events;
	sink->size.sessions = size.sessions;
	sink->size.oldest_ns = size.oldest_ns;
	sink->size.removed = size.removed;
}

void sw_store_sink_size(struct sw_store_sink *sink, struct sw_store_size *size)
{
	*size = (struct sw_store_size){
		.bytes = sink->size.bytes,
		.events = sink->size.events,
		.sessions = sink->size.sessions,
		.oldest_ns = sink->size.oldest_ns,
		.removed = sink->size.removed,
	};
}

static void close_sink(void *data)
{
	struct sw_store_sink *sink = data;

	sw_store_close(sink->store);
	free(sink->path);
	free(sink);
}

struct sw_store_sink *sw_store_sink_open(const char *path, const struct sw_store_limits *limits,
					 gid_t readers, char **problem)
{
	struct sw_store_sink *sink = calloc(1, sizeof(*sink));

	*problem = NULL;
	if (!sink)
		return NULL;
	sink->limits = *limits;
	sink->readers = readers;
	sink->path = strdup(path);
	if (!sink->path) {
		close_sink(sink);
		return NULL;
	}
	if (sw_store_open(path, limits, readers, &sink->store, problem, sink->error) < 0)
		*problem = strdup(sink->error);
	else
		note_size(sink);
	sink->renewed = *problem != NULL;
	return sink;
}

uint64_t sw_store_sink_last(const struct sw_store_sink *sink)
{
	if (sink->store && !sink->renewed)
		return sw_store_last(sink->store);
	/* A million events for each second of time: later starts begin higher, and JSON's numbers of 53
	   bits have room for them. */
	return now_ns(CLOCK_REALTIME) / 1000u;
}

/* What is missing since the last batch of a daemon before, as a batch of its own. */
static int settle_account(struct sw_store_sink *sink, uint64_t *missing)
{
	uint64_t accounted = sink->taken;

	*missing = 0;
	if (!sink->has_account)
		return 0;
	if (sw_store_account(sink->store, sink->instance, &accounted, sink->error) < 0)
		return -1;
	if (accounted >= sink->taken)
		return 0;
	*missing = sink->taken - accounted;
	if (sw_store_begin(sink->store, sink->error) < 0 ||
	    sw_store_gap(sink->store, SW_GAP_KILLED, sw_store_last(sink->store), *missing,
			 now_ns(CLOCK_REALTIME), sink->error) < 0)
		return -1;
	return sw_store_commit(sink->store, sink->error);
}

uint64_t sw_store_sink_account(struct sw_store_sink *sink, uint64_t instance, uint64_t taken)
{
	uint64_t missing = 0;

	sink->instance = instance;
	sink->taken = taken;
	sink->has_account = true;
	if (sink->store && settle_account(sink, &missing) < 0) {
		/* Opened anew with the first batch, and settled then. */
		sw_store_close(sink->store);
		sink->store = NULL;
	}
	return missing;
}

/* ---- in the thread ---- */

static int open_again(struct sw_store_sink *sink)
{
	sw_autofree char *note = NULL;
	uint64_t missing;

	if (sw_store_open(sink->path, &sink->limits, sink->readers, &sink->store, &note,
			  sink->error) < 0)
		return -1;
	if (settle_account(sink, &missing) == 0)
		return 0;
	sw_store_close(sink->store);
	sink->store = NULL;
	return -1;
}

static void begin(void *data)
{
	struct sw_store_sink *sink = data;

	sink->failed = (!sink->store && open_again(sink) < 0) ||
		       sw_store_begin(sink->store, sink->error) < 0;
}

static void lost(void *data, uint64_t first, uint64_t n)
{
	struct sw_store_sink *sink = data;

	if (!sink->failed)
		sink->failed = sw_store_gap(sink->store, SW_GAP_QUEUE, first - 1, n,
					    now_ns(CLOCK_REALTIME), sink->error) < 0;
}

static void put(void *data, const struct sw_record *record)
{
	struct sw_store_sink *sink = data;

	if (!sink->failed)
		sink->failed = sw_store_add(sink->store, record, sink->error) < 0;
}

/* What cannot be removed now is tried again; if nothing can be written at all, the next batch says so. */
static void tidy(void *data)
{
	struct sw_store_sink *sink = data;
	uint64_t began = now_ns(CLOCK_MONOTONIC);
	char error[SW_STORE_ERROR_SIZE];

	if (!sink->store)
		return;
	while (sw_store_tidy(sink->store, now_ns(CLOCK_REALTIME), error) > 0 &&
	       now_ns(CLOCK_MONOTONIC) - began < TIDY_FOR_NSEC)
		;
	sink->tidied_ns = now_ns(CLOCK_MONOTONIC);
	note_size(sink);
}

/* A second without a batch is the end of a flood: memory goes back to the system, also what the C library
   keeps of what was freed. */
static void tick(void *data)
{
	struct sw_store_sink *sink = data;

	tidy(sink);
	if (sink->pace == IDLE && sink->store) {
		sw_store_rest(sink->store);
		malloc_trim(0);
	}
	sink->pace = sink->pace == WRITING ? IDLE : RESTING;
}

static int commit(void *data, struct sw_fault *fault)
{
	struct sw_store_sink *sink = data;

	sink->pace = WRITING;
	if (sink->failed || sw_store_commit(sink->store, sink->error) < 0)
		return sw_fault(fault, SW_EXIT_KERNEL, "%s", sink->error);
	if (now_ns(CLOCK_MONOTONIC) - sink->tidied_ns > TIDY_NSEC)
		tidy(sink);
	else
		note_size(sink);
	return 0;
}

const struct sw_sink_calls sw_sink_store = {
	.name = "store",
	.interval_usec = INTERVAL_USEC,
	.begin = begin,
	.lost = lost,
	.put = put,
	.commit = commit,
	.tick = tick,
	.close = close_sink,
};
