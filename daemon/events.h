/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * events.h - the records of the ring buffer: checked, named, turned into event objects (proto.h) and
 * into lines for people; and the last of them, kept in memory. Pure but for the user data base.
 */
#ifndef SW_EVENTS_H
#define SW_EVENTS_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include "bpf/abi.h"

/* Copies a record out when it is one: version, size, ranges, ends of strings. 0 or -EINVAL. */
int sw_event_check(const void *bytes, size_t size, struct sw_event *event);

/* Names of users and groups, remembered for a while. One fixed table: a name that collides with
   another is looked up again. */
struct sw_names;
struct sw_names *sw_names_new(void);
void sw_names_free(struct sw_names *names);
/* NULL: no such user or group. Valid until the next call. */
const char *sw_names_user(struct sw_names *names, uint32_t uid);
const char *sw_names_group(struct sw_names *names, uint32_t gid);

/* What an event object says besides the record. */
struct sw_event_about {
	uint64_t boot_ns;                /* CLOCK_REALTIME minus CLOCK_BOOTTIME */
	const struct sw_rule_info *rule; /* NULL: no rule decided, or it is not known any more */
	const char *user, *group;        /* NULL: no name */
	const char *sni;                 /* NULL: not known */
	const char *interface;           /* edge: its name; NULL: it is not there any more */
};

/* The event object of proto.h. NULL: out of memory. */
json_t *sw_event_json(const struct sw_event *event, const struct sw_event_about *about);

/* One line in plain words, in local time, without the newline at its end. */
void sw_event_line(const struct sw_event *event, const struct sw_event_about *about, FILE *to);

/* ---- history ---- */

#define SW_HISTORY_SIZE 4096

/* The last events, each as the frame that is sent for it. Numbers count from 1 without a gap;
   [first, next) are there. */
struct sw_history {
	uint64_t first, next;
	struct sw_history_entry {
		uint64_t time_ns; /* CLOCK_REALTIME */
		char *frame;
		size_t length;
	} entries[SW_HISTORY_SIZE];
};

struct sw_history *sw_history_new(void);
void sw_history_free(struct sw_history *history);

/* Keeps an event; `frame` passes to the history. */
void sw_history_add(struct sw_history *history, uint64_t time_ns, char *frame, size_t length);

/* NULL: not there (any more). */
const struct sw_history_entry *sw_history_get(const struct sw_history *history, uint64_t number);

#endif
