/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <errno.h>
#include <pthread.h>
#include <string.h>
#include <time.h>

#include "daemon/pages.h"
#include "daemon/sink.h"

#define BATCH_BYTES (1u << 20) /* a store writes fewer pages for each event in large batches */
#define BATCH_KEPT (64u << 10) /* of its memory, when there is nothing to write */
#define TICK_USEC 1000000u
#define RETRY_USEC 1000000u

struct sw_sink {
	struct sw_trail *trail;
	const struct sw_sink_calls *calls;
	void *data;
	pthread_t thread;
	uint64_t next;  /* id */
	time_t ticked;  /* CLOCK_MONOTONIC seconds */
	size_t largest; /* batch since its memory was given back */

	pthread_mutex_t lock; /* of what follows */
	struct sw_sink_state state;
	bool reopen;

	char batch[BATCH_BYTES];
};

/* `sink->next` stands behind what was written or lost; `fault` says why it stands no further. */
static void keep_state(struct sw_sink *sink, uint64_t written, uint64_t lost,
		       const struct sw_fault *fault)
{
	struct sw_sink_state *state = &sink->state;

	pthread_mutex_lock(&sink->lock);
	state->written += written;
	state->lost += lost;
	state->position = sink->next - 1;
	state->failing = fault != NULL;
	state->retries += fault ? 1 : 0;
	snprintf(state->problem, sizeof(state->problem), "%.399s", fault ? fault->text : "");
	pthread_mutex_unlock(&sink->lock);
}

/* The next try begins where this one began, or behind what was handed on all the same. */
static void go_back(struct sw_sink *sink, uint64_t first, uint64_t lost,
		    const struct sw_fault *fault)
{
	uint64_t reached = sink->calls->reached ? sink->calls->reached(sink->data) : 0;

	sink->next = first;
	if (reached < first || reached + 1 < first + lost) {
		keep_state(sink, 0, 0, fault);
		return;
	}
	sink->next = reached + 1;
	keep_state(sink, sink->next - first - lost, lost, fault);
}

static uint64_t put_all(struct sw_sink *sink, size_t size)
{
	struct sw_record record;
	uint64_t n = 0;

	for (size_t at = 0; at < size; n++) {
		size_t length = sw_record_unpack(sink->batch + at, size - at, &record);

		if (!length)
			break; /* never: the trail hands out what was packed */
		sink->calls->put(sink->data, &record);
		at += length;
	}
	return n;
}

/* One batch. Returns bytes written, 0: there is nothing, -1: it must be tried again. */
static ssize_t write_batch(struct sw_sink *sink)
{
	const struct sw_sink_calls *calls = sink->calls;
	uint64_t first = sink->next, lost, n;
	struct sw_fault fault;
	size_t size = sw_trail_read(sink->trail, &sink->next, sink->batch, BATCH_BYTES, &lost);

	if (!size && !lost)
		return 0;
	if (size > sink->largest)
		sink->largest = size;
	if (calls->begin)
		calls->begin(sink->data);
	if (lost && calls->lost)
		calls->lost(sink->data, first, lost);
	n = put_all(sink, size);
	if (calls->commit(sink->data, &fault) < 0) {
		go_back(sink, first, lost, &fault);
		return -1;
	}
	keep_state(sink, n, lost, NULL);
	return (ssize_t)size;
}

/* After a flood. */
static void let_go(struct sw_sink *sink)
{
	if (sink->largest > BATCH_KEPT)
		sw_pages_let_go(sink->batch, BATCH_BYTES);
	sink->largest = 0;
}

static bool second_has_passed(struct sw_sink *sink)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	if (now.tv_sec == sink->ticked)
		return false;
	sink->ticked = now.tv_sec;
	return true;
}

static void between(struct sw_sink *sink)
{
	bool reopen;

	pthread_mutex_lock(&sink->lock);
	reopen = sink->reopen;
	sink->reopen = false;
	pthread_mutex_unlock(&sink->lock);
	if (reopen && sink->calls->reopen)
		sink->calls->reopen(sink->data);
	if (sink->calls->tick && second_has_passed(sink))
		sink->calls->tick(sink->data);
}

static void *run(void *data)
{
	struct sw_sink *sink = data;
	bool open = true;

	while (open) {
		ssize_t size;

		open = sw_trail_wait(sink->trail, sink->next, TICK_USEC);
		do {
			between(sink);
			size = write_batch(sink);
		} while (size > (ssize_t)BATCH_BYTES / 2);
		if (!size)
			let_go(sink);
		if (open)
			open = sw_trail_pause(sink->trail,
					      size < 0 ? RETRY_USEC : sink->calls->interval_usec);
		/* What came last is tried once more, however it went before. */
		while (!open && write_batch(sink) > 0)
			;
	}
	if (sink->calls->close)
		sink->calls->close(sink->data);
	return NULL;
}

struct sw_sink *sw_sink_start(struct sw_trail *trail, const struct sw_sink_calls *calls, void *data,
			      uint64_t position, struct sw_fault *fault)
{
	struct sw_sink *sink = calloc(1, sizeof(*sink));
	int error = ENOMEM;

	if (sink) {
		sink->trail = trail;
		sink->calls = calls;
		sink->data = data;
		sink->next = position + 1;
		sink->state.name = calls->name;
		sink->state.position = position;
		pthread_mutex_init(&sink->lock, NULL);
		error = pthread_create(&sink->thread, NULL, run, sink);
	}
	if (!error)
		return sink;
	if (calls->close)
		calls->close(data);
	free(sink);
	sw_fault(fault, SW_EXIT_KERNEL, "cannot start a thread for %s: %s", calls->name,
		 strerror(error));
	return NULL;
}

void sw_sink_state(struct sw_sink *sink, struct sw_sink_state *state)
{
	pthread_mutex_lock(&sink->lock);
	*state = sink->state;
	pthread_mutex_unlock(&sink->lock);
}

void sw_sink_reopen(struct sw_sink *sink)
{
	pthread_mutex_lock(&sink->lock);
	sink->reopen = true;
	pthread_mutex_unlock(&sink->lock);
	sw_trail_wake(sink->trail);
}

uint64_t sw_sink_stop(struct sw_sink *sink)
{
	uint64_t first, next;

	if (!sink)
		return 0;
	pthread_join(sink->thread, NULL);
	sw_trail_bounds(sink->trail, &first, &next);
	next -= sink->next;
	pthread_mutex_destroy(&sink->lock);
	free(sink);
	return next;
}
