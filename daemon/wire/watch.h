/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * watch.h - the reading of one TCP stream: its segments put in order, two gates, and a look for what the
 * gates stop looking for. Private to daemon/wire.
 */
#ifndef SW_WATCH_H
#define SW_WATCH_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct sw_answer;
struct sw_stream;
struct sw_watch;

/* A segment. Without payload it only says where a side begins (`syn`). */
struct sw_segment {
	bool from_server, syn, urgent;
	bool has_ack;
	bool cut; /* bytes behind these were not captured */
	uint32_t seq, ack;
	const uint8_t *bytes;
	size_t n;
};

/* `answer` is what the policy says of the connection to `port`. `held` counts the bytes that all
   watches keep together. NULL: no memory. */
struct sw_watch *sw_watch_new(const struct sw_answer *answer, uint16_t port, size_t *held);
void sw_watch_free(struct sw_watch *watch);

/* 0 or -ENOMEM. */
int sw_watch_segment(struct sw_watch *watch, const struct sw_segment *given);

/* Will no further segment change what is told? */
bool sw_watch_done(const struct sw_watch *watch);

/* Has the gate of the rule done its work? Also when the rule asks for none. */
bool sw_watch_judged(const struct sw_watch *watch);

/* Are there segments that wait for an earlier one? */
bool sw_watch_waits(const struct sw_watch *watch);

/* Fills in what was found; verdict and reason stay as they are when the gate has nothing against them. */
void sw_watch_tell(const struct sw_watch *watch, struct sw_stream *stream);

#endif
