/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * members.h - what the objects of events and of connections have in common, so that a reader finds the
 * same fact under the same name in both. Names that others chose are escaped (sw_text_escape).
 */
#ifndef SW_MEMBERS_H
#define SW_MEMBERS_H

#include <jansson.h>
#include <stdint.h>

#include "bpf/abi.h"

/* Four bytes for each byte of the longest name, as \xNN. */
#define SW_SHOWN_SIZE (4 * SW_NAME_MAX + 1)

/* null: NULL or empty; the highest id, which stands for "not known"; version 0. Each is a new
   reference, NULL when there is no memory. */
json_t *sw_json_text(const char *text);
json_t *sw_json_id(uint32_t id);
json_t *sw_json_version(uint16_t version); /* "0x0303" */
json_t *sw_json_time(uint64_t ns);         /* CLOCK_REALTIME */
json_t *sw_json_address(const uint8_t addr[16]);
json_t *sw_json_end(const uint8_t addr[16], uint16_t port); /* "192.0.2.1:25", "[2001:db8::1]:25" */

/* pid, exe, exe_note, comm, uid, gid, user, group, unit, cgroup. `user`, `group`: names, or NULL. */
void sw_json_set_caller(json_t *object, const struct sw_caller *caller, const char *user,
			const char *group);

/* The same members, all null: of what was forwarded it is not known. */
void sw_json_set_no_caller(json_t *object);

/* What must be known about `exe`; NULL: nothing. */
const char *sw_caller_note(const struct sw_caller *caller);

#endif
