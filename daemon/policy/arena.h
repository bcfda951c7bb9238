/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * arena.h - memory of a parsed policy: everything hangs on one arena and is freed with it.
 * Allocation never fails for the caller: out of memory ends the process, as a policy is bounded
 * (see the limits in policy.h) and both programs that read one can be started again.
 */
#ifndef SW_ARENA_H
#define SW_ARENA_H

#include <stddef.h>

struct sw_arena;

struct sw_arena *sw_arena_new(void);
void sw_arena_free(struct sw_arena *arena);
void *sw_arena_alloc(struct sw_arena *arena, size_t size); /* zeroed, aligned for any type */
char *sw_arena_strndup(struct sw_arena *arena, const char *text, size_t length);

#endif
