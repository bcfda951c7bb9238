/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * trail.h - the last events in memory, packed one behind the other in a ring of fixed size. One thread
 * adds; any number of threads read, each at its own pace. Who adds never waits: the oldest records make
 * room, and a reader that was too slow learns how many it has missed.
 */
#ifndef SW_TRAIL_H
#define SW_TRAIL_H

#include "daemon/audit/record.h"

struct sw_trail;

/* `bytes`: size of the ring, at least 4 * SW_PACKED_MAX. `last`: id of the newest record of an earlier
   trail; the first one here is one more. NULL: out of memory. */
struct sw_trail *sw_trail_new(size_t bytes, uint64_t last);
void sw_trail_free(struct sw_trail *trail);

/* Keeps a copy with the next id, which it returns. Nobody is woken yet. */
uint64_t sw_trail_add(struct sw_trail *trail, const struct sw_record *record);

/* Those who wait in sw_trail_wait() look again. */
void sw_trail_wake(struct sw_trail *trail);

/* Ids of what is there: [*first, *next). */
void sw_trail_bounds(struct sw_trail *trail, uint64_t *first, uint64_t *next);

/*
 * Copies packed records, whole ones, from id *next on into `to`; *next moves behind the last. *lost is
 * how many were not there any more. Returns bytes copied, 0: nothing new.
 */
size_t sw_trail_read(struct sw_trail *trail, uint64_t *next, void *to, size_t size, uint64_t *lost);

/* Waits until there is a record of id `next` or newer, sw_trail_wake() or sw_trail_close() is called, or
   `usec` have passed. False: the trail was closed. */
bool sw_trail_wait(struct sw_trail *trail, uint64_t next, uint64_t usec);

/* Lets `usec` pass, but for a trail that is closed. False: it is. */
bool sw_trail_pause(struct sw_trail *trail, uint64_t usec);

/* Nothing more will be added: readers need not wait. */
void sw_trail_close(struct sw_trail *trail);

#endif
