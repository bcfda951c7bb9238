/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What the edge has counted: counters, hits and sources, and what of each is only in `remembered`. */
#include <stdlib.h>
#include <string.h>

#include <bpf/bpf.h>
#include <bpf/libbpf.h>

#include "daemon/base.h"
#include "tests/prog/edge_fixture.h"

static uint64_t sum(const char *map, uint32_t key)
{
	uint64_t values[512] = {}, total = 0;
	int n = libbpf_num_possible_cpus();

	if (n < 0 || n > 512 || bpf_map_lookup_elem(ex_map(map), &key, values))
		ex_fail(map);
	for (int i = 0; i < n; i++)
		total += values[i];
	return total;
}

/* Of each CPU what it remembers, for the caller to free. */
static struct sw_edge_recents *recents(int *n)
{
	struct sw_edge_recents *values;
	uint32_t zero = 0;

	*n = libbpf_num_possible_cpus();
	values = *n > 0 ? calloc((size_t)*n, sizeof(*values)) : NULL;
	if (!values || bpf_map_lookup_elem(ex_map("remembered"), &zero, values))
		ex_fail("remembered");
	return values;
}

uint64_t ex_short(bool resets)
{
	uint64_t total = 0;
	int n;
	struct sw_edge_recents *values sw_autofree = recents(&n);

	for (int i = 0; i < n; i++)
		for (size_t at = 0; at < SW_EDGE_RECENT; at++)
			total += resets ? values[i].of[at].resets : values[i].of[at].refused;
	return total;
}

uint64_t ex_counter(enum sw_counter counter)
{
	uint64_t total = sum("counters", counter);

	switch (counter) {
	case SW_COUNT_EDGE_CONNECT:
	case SW_COUNT_EDGE_REFUSED:
	case SW_COUNT_EDGE_DROPPED:
	case SW_COUNT_SUPPRESSED:
		return total + ex_short(false);
	case SW_COUNT_EDGE_RESETS:
		return total + ex_short(true);
	default:
		return total;
	}
}

uint64_t ex_hits(unsigned int slot, uint16_t rule)
{
	uint64_t total = sum("hits", slot * SW_RULES_MAX + rule);
	int n;
	struct sw_edge_recents *values sw_autofree = recents(&n);

	for (int i = 0; i < n; i++) {
		for (size_t at = 0; at < SW_EDGE_RECENT; at++) {
			const struct sw_edge_recent *recent = &values[i].of[at];

			if (recent->hit == slot * SW_RULES_MAX + rule &&
			    recent->hit_generation == ex_generation(slot))
				total += recent->refused - recent->hit_settled;
		}
	}
	return total;
}

/* What is not yet in a source's entry. */
static void add_pending(struct sw_edge_source *source)
{
	int n;
	struct sw_edge_recents *values sw_autofree = recents(&n);

	for (int i = 0; i < n; i++) {
		for (size_t at = 0; at < SW_EDGE_RECENT; at++) {
			const struct sw_edge_recent *recent = &values[i].of[at];

			if (memcmp(recent->src, source->addr, sizeof(source->addr)) ||
			    recent->interface != source->interface)
				continue;
			source->refused += (uint32_t)recent->refused - recent->settled;
			source->suppressed += (uint32_t)recent->refused - recent->settled;
			if (source->second == recent->second)
				source->now += (uint32_t)recent->refused - recent->settled;
		}
	}
}

size_t ex_sources(struct sw_edge_source *sources, size_t most)
{
	struct sw_edge_source source;
	size_t n = 0;

	for (uint32_t key = 0; key < SW_EDGE_SOURCES; key++) {
		if (bpf_map_lookup_elem(ex_map("edge_sources"), &key, &source))
			ex_fail("edge_sources");
		if (!source.first_ns)
			continue;
		add_pending(&source);
		if (n < most)
			sources[n] = source;
		n++;
	}
	return n;
}
