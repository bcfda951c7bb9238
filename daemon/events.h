/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * events.h - the records of the ring buffer: checked, named, and made into what is kept of them. Pure
 * but for the user data base.
 */
#ifndef SW_EVENTS_H
#define SW_EVENTS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "bpf/abi.h"
#include "daemon/audit/record.h"

/* Copies a record, of either form, out as a whole one when it is one: version, size, ranges, ends of strings.
   0 or -EINVAL. */
int sw_event_check(const void *bytes, size_t size, struct sw_event *event);

/* Names of users and groups, remembered for a while. One fixed table: a name that collides with
   another is looked up again. */
struct sw_names;
struct sw_names *sw_names_new(void);
void sw_names_free(struct sw_names *names);
/* NULL: no such user or group. Valid until the next call. */
const char *sw_names_user(struct sw_names *names, uint32_t uid);
const char *sw_names_group(struct sw_names *names, uint32_t gid);

/* What is said of an event besides what the kernel tells. */
struct sw_event_about {
	uint64_t boot_ns;                /* CLOCK_REALTIME minus CLOCK_BOOTTIME */
	const struct sw_rule_info *rule; /* NULL: no rule decided, or it is not known any more */
	const char *user, *group;        /* NULL: no name */
	const char *sni;                 /* NULL: not known */
	const char *interface;           /* edge: its name; NULL: it is not there any more */
};

/* Room for the texts of a record, escaped. */
struct sw_event_texts {
	char exe[4 * SW_NAME_MAX + 1], cgroup[4 * SW_NAME_MAX + 1], unit[4 * SW_NAME_MAX + 1];
	char comm[4 * SW_COMM_MAX + 1], interface[64 + 1], sni[1025];
	char rule[4 * sizeof(((struct sw_rule_info *)0)->rule) + 1];
	char sentence[4 * sizeof(((struct sw_rule_info *)0)->text) + 1];
};

/* What is kept of an event. The record borrows `texts` and the names in `about`. */
void sw_event_record(const struct sw_event *event, const struct sw_event_about *about,
		     struct sw_event_texts *texts, struct sw_record *record);

#endif
