/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * tally_map.h - how often each of many keys came, in bounded memory.
 *
 * A sender can make up as many destinations as it likes. When there are too many keys those that came
 * least are forgotten: what they counted is kept as a sum, and from then on every count is a lower bound,
 * as a key that comes again is counted anew. What comes often is never forgotten. (Manku and Motwani,
 * "Approximate Frequency Counts over Data Streams", VLDB 2002.)
 */
#ifndef SW_TALLY_MAP_H
#define SW_TALLY_MAP_H

#include <stddef.h>
#include <stdint.h>

/* What became of a connection or a packet. */
enum sw_outcome {
	SW_OUTCOME_REFUSED = 0, /* refused, dropped, reset */
	SW_OUTCOME_AUDIT,       /* would have been, if the policy did not only record */
	SW_OUTCOME_OTHER,       /* redirected, recorded because a rule says so, let finish */
	SW_OUTCOMES
};

struct sw_tally_entry {
	uint64_t hash;
	uint64_t n[SW_OUTCOMES];
	uint32_t length;
	char key[];
};

struct sw_tally_map {
	struct sw_tally_entry **slots; /* NULL: free; a power of two of them */
	size_t n_slots, n;
	size_t max;                 /* keys */
	uint64_t short_by;          /* no count is too low by more; 0: none was forgotten */
	uint64_t forgotten;         /* keys; one that came again may be among them again */
	uint64_t rest[SW_OUTCOMES]; /* what they counted */
};

#define SW_TALLY_KEYS 262144

void sw_tally_map_init(struct sw_tally_map *map, size_t max);
void sw_tally_map_free(struct sw_tally_map *map);

/* 0 or -ENOMEM. */
int sw_tally_map_add(struct sw_tally_map *map, const void *key, size_t length,
		     enum sw_outcome outcome, uint64_t n);

/* How often a key came; NULL: never, or it was forgotten. */
const uint64_t *sw_tally_map_get(const struct sw_tally_map *map, const void *key, size_t length);

uint64_t sw_tally_sum(const uint64_t n[static SW_OUTCOMES]);

/* The entries, those that came most first, in the order of their keys where they came as often.
   malloc'ed; the entries stay the map's. NULL: there are none, or no memory. */
struct sw_tally_entry **sw_tally_map_sorted(const struct sw_tally_map *map);

#endif
