/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * load_maps.c - numbers and connections out of the kernel, this machine's addresses into it. The ring
 * buffers: load_rings.c.
 */
#include <errno.h>
#include <string.h>

#include "daemon/load_internal.h"

/* Sum over the CPUs of one entry of a per-CPU array. */
static int sum(const struct sw_kernel *kernel, enum sw_map map, uint32_t key, uint64_t *values,
	       uint64_t *total)
{
	if (bpf_map_lookup_elem(sw_map_fd(kernel, map), &key, values) < 0)
		return -errno;
	*total = 0;
	for (int i = 0; i < kernel->cpus; i++)
		*total += values[i];
	return 0;
}

static int sum_range(const struct sw_kernel *kernel, enum sw_map map, uint32_t first, uint32_t n,
		     uint64_t *totals)
{
	sw_autofree uint64_t *values = calloc((size_t)kernel->cpus, sizeof(*values));

	if (!values)
		return -ENOMEM;
	for (uint32_t i = 0; i < n; i++) {
		int error = sum(kernel, map, first + i, values, &totals[i]);

		if (error)
			return error;
	}
	return 0;
}

struct sw_edge_recents *sw_kernel_recents(const struct sw_kernel *kernel)
{
	sw_autofree struct sw_edge_recents *recents =
		calloc((size_t)kernel->cpus, sizeof(*recents));
	uint32_t zero = 0;

	if (!recents)
		return NULL;
	if (bpf_map_lookup_elem(sw_map_fd(kernel, SW_MAP_REMEMBERED), &zero, recents) < 0)
		return NULL;
	return sw_take(recents);
}

/* What was counted on the short way of the edge, and only there. */
static void add_short(const struct sw_edge_recent *recent, uint64_t counters[SW_COUNT_MAX])
{
	counters[SW_COUNT_EDGE_CONNECT] += recent->refused;
	counters[SW_COUNT_EDGE_REFUSED] += recent->refused;
	counters[SW_COUNT_EDGE_DROPPED] += recent->refused;
	counters[SW_COUNT_SUPPRESSED] += recent->refused;
	counters[SW_COUNT_EDGE_RESETS] += recent->resets;
}

int sw_kernel_counters(struct sw_kernel *kernel, uint64_t counters[SW_COUNT_MAX])
{
	sw_autofree struct sw_edge_recents *recents = NULL;
	int error = sum_range(kernel, SW_MAP_COUNTERS, 0, SW_COUNT_MAX, counters);

	if (error)
		return error;
	recents = sw_kernel_recents(kernel);
	if (!recents)
		return -errno;
	for (int cpu = 0; cpu < kernel->cpus; cpu++)
		for (size_t i = 0; i < sw_count(recents[cpu].of); i++)
			add_short(&recents[cpu].of[i], counters);
	return 0;
}

#define HITS_TRIES 8

/* Hits of the short way that are not in `hits`, of the policy in this slot. False: some went there between `before` and
   `after`. */
static bool add_hits(const struct sw_kernel *kernel, unsigned int slot, unsigned int n_rules,
		     const struct sw_edge_recents *before, const struct sw_edge_recents *after,
		     uint64_t hits[SW_RULES_MAX])
{
	bool same = true;

	for (int cpu = 0; cpu < kernel->cpus; cpu++) {
		for (size_t i = 0; i < sw_count(after->of); i++) {
			const struct sw_edge_recent *recent = &after[cpu].of[i];
			uint32_t rule = recent->hit - slot * SW_RULES_MAX;

			same &= recent->hit_settled == before[cpu].of[i].hit_settled;
			if (rule < n_rules &&
			    recent->hit_generation == kernel->head->slot[slot & 1].generation)
				hits[rule] += recent->refused - recent->hit_settled;
		}
	}
	return same;
}

int sw_kernel_hits(struct sw_kernel *kernel, unsigned int slot, unsigned int n_rules,
		   uint64_t hits[SW_RULES_MAX])
{
	if (n_rules > SW_RULES_MAX)
		n_rules = SW_RULES_MAX;
	/* What a program moves from one to the other meanwhile would be missing, or be there twice. */
	for (int i = 0; i < HITS_TRIES; i++) {
		sw_autofree struct sw_edge_recents *before = sw_kernel_recents(kernel);
		int error = sum_range(kernel, SW_MAP_HITS, slot * SW_RULES_MAX, n_rules, hits);
		sw_autofree struct sw_edge_recents *after = sw_kernel_recents(kernel);

		if (error)
			return error;
		if (!before || !after)
			return -errno;
		if (add_hits(kernel, slot, n_rules, before, after, hits))
			break;
	}
	return 0;
}

static int by_bytes(const void *a, const void *b)
{
	return memcmp(a, b, 16);
}

/* `sorted` is in the order of by_bytes(). */
static bool contains(const uint8_t (*sorted)[16], size_t n, const uint8_t key[16])
{
	return n && bsearch(key, sorted, n, 16, by_bytes);
}

/* All keys of `local`, sorted, malloc'ed. */
static int local_keys(int fd, uint32_t max, uint8_t (**keys)[16], size_t *n)
{
	uint8_t(*all)[16] = calloc(max, sizeof(*all));
	void *last = NULL;

	*n = 0;
	if (!all)
		return -ENOMEM;
	while (*n < max && bpf_map_get_next_key(fd, last, all[*n]) == 0)
		last = all[(*n)++];
	qsort(all, *n, sizeof(*all), by_bytes);
	*keys = all;
	return 0;
}

int sw_kernel_local(struct sw_kernel *kernel, uint8_t (*addresses)[16], size_t n)
{
	const uint32_t max = bpf_map__max_entries(kernel->maps[SW_MAP_LOCAL]);
	int fd = sw_map_fd(kernel, SW_MAP_LOCAL), error, result = 0;
	uint8_t(*old)[16] = NULL;
	size_t n_old;

	qsort(addresses, n, 16, by_bytes);
	error = local_keys(fd, max, &old, &n_old);
	if (error)
		return error;
	for (size_t i = 0; i < n; i++)
		if (!contains(old, n_old, addresses[i]) &&
		    bpf_map_update_elem(fd, addresses[i], &(uint8_t){1}, BPF_ANY) < 0)
			result = -errno;
	for (size_t i = 0; i < n_old; i++)
		if (!contains(addresses, n, old[i]) && bpf_map_delete_elem(fd, old[i]) < 0)
			result = -errno;
	free(old);
	return result;
}

uint32_t sw_kernel_local_size(const struct sw_kernel *kernel)
{
	return bpf_map__max_entries(kernel->maps[SW_MAP_LOCAL]);
}

/* ---- connections ---- */

int sw_kernel_flow(struct sw_kernel *kernel, uint64_t cookie, struct sw_flow *flow)
{
	uint32_t set = cookie % (SW_FLOWS_MAX / SW_FLOW_WAYS) * SW_FLOW_WAYS;
	int fd = sw_map_fd(kernel, SW_MAP_FLOWS);
	struct sw_flow found;

	for (uint32_t at = set; at < set + SW_FLOW_WAYS; at++) {
		if (bpf_map_lookup_elem_flags(fd, &at, &found, BPF_F_LOCK) < 0)
			return -errno;
		if (found.cookie == cookie) {
			*flow = found;
			return 0;
		}
	}
	return -ENOENT;
}

#define FLOWS_AT_ONCE 256

static int by_cookie(const void *a, const void *b)
{
	const struct sw_flow *first = a, *second = b;

	return (first->cookie > second->cookie) - (first->cookie < second->cookie);
}

/* Sorts them; of two with one cookie the first stays. Returns how many there are then. */
static size_t unique_flows(struct sw_flow *flows, size_t n)
{
	size_t kept = 0;

	if (n)
		qsort(flows, n, sizeof(*flows), by_cookie);
	for (size_t i = 0; i < n; i++)
		if (!kept || flows[kept - 1].cookie != flows[i].cookie)
			flows[kept++] = flows[i];
	return kept;
}

/* Reads a stretch of the map behind the first `n`, of which those stay that are connections. */
static int read_flows(struct sw_kernel *kernel, uint32_t *from, struct sw_flow *flows, size_t *n)
{
	DECLARE_LIBBPF_OPTS(bpf_map_batch_opts, opts, .elem_flags = BPF_F_LOCK);
	uint32_t keys[FLOWS_AT_ONCE], count = FLOWS_AT_ONCE, next;
	const struct sw_flow *stretch = flows + *n;

	if (bpf_map_lookup_batch(sw_map_fd(kernel, SW_MAP_FLOWS), *from ? from : NULL, &next, keys,
				 flows + *n, &count, &opts) < 0 &&
	    errno != ENOENT)
		return -errno;
	for (uint32_t i = 0; i < count; i++)
		if (stretch[i].cookie)
			flows[(*n)++] = stretch[i];
	*from = next;
	return count < FLOWS_AT_ONCE ? 0 : 1;
}

int sw_kernel_flows(struct sw_kernel *kernel, struct sw_flow **flows, size_t *n)
{
	sw_autofree struct sw_flow *all = NULL;
	size_t count = 0;
	uint32_t from = 0;
	int more = 1;

	while (more > 0 && from < SW_FLOWS_MAX) {
		struct sw_flow *grown = realloc(all, (count + FLOWS_AT_ONCE) * sizeof(*all));

		if (!grown)
			return -ENOMEM;
		all = grown;
		more = read_flows(kernel, &from, all, &count);
	}
	if (more < 0)
		return more;
	*n = unique_flows(all, count);
	*flows = sw_take(all);
	return 0;
}
