/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "daemon/audit/tally_map.h"

#include <errno.h>
#include <string.h>

#include "daemon/base.h"

#define SLOTS_FIRST 64

void sw_tally_map_init(struct sw_tally_map *map, size_t max)
{
	*map = (struct sw_tally_map){.max = max};
}

void sw_tally_map_free(struct sw_tally_map *map)
{
	for (size_t i = 0; i < map->n_slots; i++)
		free(map->slots[i]);
	free(map->slots);
	*map = (struct sw_tally_map){0};
}

/* FNV-1a. Keys that collide on purpose cost time of the one who asks for a report, and no more. */
static uint64_t hash_of(const void *key, size_t length)
{
	const unsigned char *at = key;
	uint64_t hash = 14695981039346656037u;

	for (size_t i = 0; i < length; i++)
		hash = (hash ^ at[i]) * 1099511628211u;
	return hash ^ hash >> 32;
}

/* The slot of a key, or the free one where it belongs. */
static struct sw_tally_entry **slot_of(const struct sw_tally_map *map, uint64_t hash,
				       const void *key, size_t length)
{
	size_t at = hash & (map->n_slots - 1);

	for (;; at = (at + 1) & (map->n_slots - 1)) {
		const struct sw_tally_entry *entry = map->slots[at];

		if (!entry || (entry->hash == hash && entry->length == length &&
			       !memcmp(entry->key, key, length)))
			return &map->slots[at];
	}
}

/* Moves the entries into a table of so many slots, but for those that came `floor` times or less. */
static int rebuild(struct sw_tally_map *map, size_t n_slots, uint64_t floor)
{
	struct sw_tally_map from = *map;
	struct sw_tally_entry **slots = calloc(n_slots, sizeof(struct sw_tally_entry *));

	if (!slots)
		return -ENOMEM;
	map->slots = slots;
	map->n_slots = n_slots;
	map->n = 0;
	for (size_t i = 0; i < from.n_slots; i++) {
		struct sw_tally_entry *entry = from.slots[i];

		if (!entry)
			continue;
		if (sw_tally_sum(entry->n) > floor) {
			*slot_of(map, entry->hash, entry->key, entry->length) = entry;
			map->n++;
			continue;
		}
		for (int o = 0; o < SW_OUTCOMES; o++)
			map->rest[o] += entry->n[o];
		map->forgotten++;
		free(entry);
	}
	free(from.slots);
	return 0;
}

/* Forgets what came least, until a quarter of the keys is gone. */
static int forget(struct sw_tally_map *map)
{
	size_t enough = map->max - map->max / 4;
	uint64_t floor = 1;
	int r = rebuild(map, map->n_slots, floor);

	while (!r && map->n > enough) {
		floor *= 2;
		r = rebuild(map, map->n_slots, floor);
	}
	map->short_by += floor;
	return r;
}

static int make_room(struct sw_tally_map *map)
{
	if (map->n_slots && map->n >= map->max)
		return forget(map);
	if (2 * (map->n + 1) <= map->n_slots)
		return 0;
	return rebuild(map, map->n_slots ? 2 * map->n_slots : SLOTS_FIRST, 0);
}

int sw_tally_map_add(struct sw_tally_map *map, const void *key, size_t length,
		     enum sw_outcome outcome, uint64_t n)
{
	uint64_t hash = hash_of(key, length);
	struct sw_tally_entry **slot = map->n_slots ? slot_of(map, hash, key, length) : NULL,
			      *entry;
	int r;

	if (slot && *slot) {
		(*slot)->n[outcome] += n;
		return 0;
	}
	r = make_room(map);
	if (r)
		return r;
	entry = calloc(1, sizeof(*entry) + length);
	if (!entry)
		return -ENOMEM;
	entry->hash = hash;
	entry->length = (uint32_t)length;
	memcpy(entry->key, key, length);
	entry->n[outcome] = n;
	*slot_of(map, hash, key, length) = entry;
	map->n++;
	return 0;
}

const uint64_t *sw_tally_map_get(const struct sw_tally_map *map, const void *key, size_t length)
{
	struct sw_tally_entry **slot =
		map->n_slots ? slot_of(map, hash_of(key, length), key, length) : NULL;

	return slot && *slot ? (*slot)->n : NULL;
}

uint64_t sw_tally_sum(const uint64_t n[static SW_OUTCOMES])
{
	uint64_t sum = 0;

	for (int o = 0; o < SW_OUTCOMES; o++)
		sum += n[o];
	return sum;
}

static int by_count(const void *a, const void *b)
{
	const struct sw_tally_entry *x = *(struct sw_tally_entry *const *)a,
				    *y = *(struct sw_tally_entry *const *)b;
	uint64_t more = sw_tally_sum(x->n), less = sw_tally_sum(y->n);
	size_t common = x->length < y->length ? x->length : y->length;
	int r;

	if (more != less)
		return more > less ? -1 : 1;
	r = memcmp(x->key, y->key, common);
	return r ? r : (x->length > y->length) - (x->length < y->length);
}

struct sw_tally_entry **sw_tally_map_sorted(const struct sw_tally_map *map)
{
	struct sw_tally_entry **list =
		map->n ? calloc(map->n, sizeof(struct sw_tally_entry *)) : NULL;
	size_t n = 0;

	for (size_t i = 0; list && i < map->n_slots; i++)
		if (map->slots[i])
			list[n++] = map->slots[i];
	if (list)
		qsort(list, n, sizeof(*list), by_count);
	return list;
}
