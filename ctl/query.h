/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * query.h - the question of `why`, in the form in which the daemon takes it (proto.h), and its
 * answer from a policy file when no daemon is asked.
 */
#ifndef SW_QUERY_H
#define SW_QUERY_H

#include <jansson.h>

#include "ctl/process.h"

struct sw_image;

/*
 * Adds "uid", "user", "gid" and "groups" of a user given by name or number, as this machine knows
 * them; of a number that belongs to nobody only "uid". 0 or -ENOENT.
 */
int sw_query_user(json_t *query, const char *user);

/* Adds "gid" of a group given by name or number. 0 or -ENOENT. */
int sw_query_group(json_t *query, const char *group);

/* Can an interface be called this? A pattern ("tap*") is none: whether it fits depends on the interface. */
bool sw_query_is_interface(const char *name);

/* Adds what a process is, but for its cgroup. Sentences about it go to `notes`. */
void sw_query_process(json_t *query, const struct sw_process *process, json_t *notes);

/* Adds "cgroup" and the "unit" that follows from it. */
void sw_query_cgroup(json_t *query, const char *cgroup);

/* The answer of a compiled policy, as the daemon would give it. */
json_t *sw_query_eval(const json_t *query, const struct sw_image *image);

/* The answer for a process that no policy is for. */
json_t *sw_query_outside(void);

#endif
