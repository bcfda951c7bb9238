/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * load_edge_maps.c - interfaces and answers into the kernel; flows, sources and the room there is out of it.
 */
#include <errno.h>
#include <string.h>

#include "daemon/load_edge_internal.h"

/* Bytes read in one call, which cannot be interrupted: some milliseconds. */
#define BATCH_SIZE (1u << 20)

/* ---- written ---- */

int sw_edge_set_interface(struct sw_kernel *kernel, uint32_t interface,
			  const struct sw_interface *value)
{
	if (!kernel->edge)
		return -ENOENT;
	if (bpf_map_update_elem(sw_edge_map_fd(kernel, SW_EDGE_MAP_INTERFACES), &interface, value,
				BPF_ANY) < 0)
		return -errno;
	sw_head_changed(kernel);
	return 0;
}

int sw_edge_get_interface(struct sw_kernel *kernel, uint32_t interface, struct sw_interface *value)
{
	if (!kernel->edge)
		return -ENOENT;
	return bpf_map_lookup_elem(sw_edge_map_fd(kernel, SW_EDGE_MAP_INTERFACES), &interface,
				   value) < 0
		       ? -errno
		       : 0;
}

int sw_edge_remove_interface(struct sw_kernel *kernel, uint32_t interface)
{
	if (!kernel->edge)
		return 0;
	if (bpf_map_delete_elem(sw_edge_map_fd(kernel, SW_EDGE_MAP_INTERFACES), &interface) < 0 &&
	    errno != ENOENT)
		return -errno;
	sw_head_changed(kernel);
	return 0;
}

int sw_edge_fill(struct sw_kernel *kernel, unsigned int slot, const struct sw_image *image)
{
	const struct sw_edge_prefixes prefixes = {image->prefixes, image->prefix_classes,
						  image->n_prefixes};

	for (uint32_t i = 0; i < SW_RULES_MAX; i++) {
		uint32_t key = slot * SW_RULES_MAX + i;

		if (bpf_map_update_elem(sw_edge_map_fd(kernel, SW_EDGE_MAP_ANSWERS), &key,
					&image->answers[i], BPF_ANY) < 0)
			return -errno;
	}
	/* The generation is the one that sw_kernel_fill() gives the slot at its end. */
	return sw_edge_put_listed(sw_edge_map_fd(kernel, SW_EDGE_MAP_LISTED),
				  sw_edge_map_fd(kernel, SW_EDGE_MAP_LEAVES), slot,
				  kernel->generation + 1, &prefixes);
}

/* ---- read ---- */

/* Calls `take` for each value of an array. 0 or -errno. */
static int walk(struct sw_kernel *kernel, enum sw_edge_map which, uint64_t flags,
		int (*take)(void *data, const void *value), void *data)
{
	LIBBPF_OPTS(bpf_map_batch_opts, opts, .elem_flags = flags);
	const struct bpf_map *map = kernel->edge->maps[which];
	const size_t size = bpf_map__value_size(map), batch = BATCH_SIZE / size;
	sw_autofree uint32_t *keys = calloc(batch, sizeof(*keys));
	sw_autofree char *values = calloc(batch, size);
	uint32_t left = bpf_map__max_entries(map), place = 0;
	void *from = NULL;

	if (!keys || !values)
		return -ENOMEM;
	while (left) {
		uint32_t n = left < batch ? left : (uint32_t)batch;

		/* -ENOENT: the end, which may come with the last entries. */
		if (bpf_map_lookup_batch(bpf_map__fd(map), from, &place, keys, values, &n, &opts) <
			    0 &&
		    errno != ENOENT)
			return -errno;
		for (uint32_t i = 0; i < n; i++) {
			int error = take(data, values + i * size);

			if (error)
				return error;
		}
		if (!n)
			break;
		left -= n;
		from = &place;
		/* A large table takes a while, and no violation is to wait for it. */
		sw_kernel_events_read(kernel);
	}
	return 0;
}

struct gates {
	struct sw_kernel *kernel;
	uint32_t used;
};

/* struct sw_edge_gate of maps_edge.h, which only programs know whole, begins with its owner. One whose flow has
   ended keeps it until another flow takes the gate, which any may. */
static int count_gate(void *data, const void *value)
{
	struct gates *gates = data;
	struct sw_edge_flow flow;
	uint64_t owner;
	uint32_t at;

	memcpy(&owner, value, sizeof(owner));
	at = (uint32_t)owner - 1;
	if (owner &&
	    bpf_map_lookup_elem(sw_edge_map_fd(gates->kernel, SW_EDGE_MAP_FLOWS), &at, &flow) == 0)
		gates->used +=
			flow.state == SW_EDGE_GATED && !flow.ended && flow.start == owner >> 32;
	return 0;
}

static bool is_live(const struct sw_edge_flow *flow)
{
	return flow->state != SW_EDGE_FREE && !flow->ended;
}

static int count_live(void *data, const void *value)
{
	*(uint32_t *)data += is_live(value);
	return 0;
}

/* Flows that the counters take for live. */
static int64_t counted(struct sw_kernel *kernel)
{
	uint64_t values[SW_COUNT_MAX] = {};

	sw_kernel_counters(kernel, values);
	return (int64_t)(values[SW_COUNT_EDGE_OPENED] - values[SW_COUNT_EDGE_ENDED]);
}

void sw_edge_compare(struct sw_kernel *kernel)
{
	uint32_t live = 0;

	if (kernel->edge)
		kernel->edge->compared = true;
	if (kernel->edge && walk(kernel, SW_EDGE_MAP_FLOWS, BPF_F_LOCK, count_live, &live) == 0)
		kernel->edge->elsewhere = counted(kernel) - live;
}

static uint32_t used(struct sw_kernel *kernel, uint32_t room)
{
	int64_t n;

	/* Not before somebody asks: a start need not wait for a large table to be read. */
	if (!kernel->edge->compared)
		sw_edge_compare(kernel);
	n = counted(kernel) - kernel->edge->elsewhere;
	/* Connections come and go while the table is read. */
	if (n < 0)
		return 0;
	return n > room ? room : (uint32_t)n;
}

void sw_edge_room(struct sw_kernel *kernel, struct sw_edge_room *room)
{
	struct bpf_map *const *maps = kernel->edge ? kernel->edge->maps : NULL;
	struct gates gates = {kernel, 0};

	*room = (struct sw_edge_room){};
	if (!maps)
		return;
	room->flows = bpf_map__max_entries(maps[SW_EDGE_MAP_FLOWS]);
	room->gates = bpf_map__max_entries(maps[SW_EDGE_MAP_GATES]);
	room->sources = bpf_map__max_entries(maps[SW_EDGE_MAP_SOURCES]);
	room->flows_used = used(kernel, room->flows);
	walk(kernel, SW_EDGE_MAP_GATES, 0, count_gate, &gates);
	room->gates_used = gates.used;
}

void sw_edge_flows_room(struct sw_kernel *kernel, uint64_t *n_used, uint64_t *size)
{
	*n_used = *size = 0;
	if (!kernel->edge)
		return;
	*size = bpf_map__max_entries(kernel->edge->maps[SW_EDGE_MAP_FLOWS]);
	*n_used = used(kernel, (uint32_t)*size);
}

static int live_then_newest(const void *a, const void *b)
{
	const struct sw_edge_flow *left = a, *right = b;

	if (left->ended != right->ended)
		return left->ended ? 1 : -1;
	return left->opened_s > right->opened_s ? -1 : left->opened_s < right->opened_s;
}

/* The first `most` in order, and behind them some that may yet prove to be among them. */
struct first {
	struct sw_edge_flow *flows; /* 2 * most */
	size_t n, most, total;
	bool sorted; /* the first `most` are, and there are so many */
};

static void sort_first(struct first *first)
{
	if (first->n)
		qsort(first->flows, first->n, sizeof(*first->flows), live_then_newest);
	first->sorted = first->n >= first->most;
	if (first->sorted)
		first->n = first->most;
}

static int keep_flow(void *data, const void *value)
{
	const struct sw_edge_flow *flow = value;
	struct first *first = data;

	if (flow->state == SW_EDGE_FREE)
		return 0;
	first->total++;
	if (first->sorted && live_then_newest(flow, &first->flows[first->most - 1]) >= 0)
		return 0;
	first->flows[first->n++] = *flow;
	if (first->n == 2 * first->most)
		sort_first(first);
	return 0;
}

int sw_edge_flows(struct sw_kernel *kernel, size_t most, struct sw_edge_flow **flows, size_t *n,
		  size_t *left_out)
{
	struct first first = {.most = most};
	int error;

	*flows = NULL;
	*n = *left_out = 0;
	if (!kernel->edge)
		return 0;
	first.flows = calloc(2 * most, sizeof(*first.flows));
	if (!first.flows)
		return -ENOMEM;
	/* Each is copied under its lock, so none is half of one and half of another. */
	error = walk(kernel, SW_EDGE_MAP_FLOWS, BPF_F_LOCK, keep_flow, &first);
	if (error) {
		free(first.flows);
		return error;
	}
	sort_first(&first);
	*flows = first.flows;
	*n = first.n;
	*left_out = first.total - first.n;
	return 0;
}

/* Values that are kept, in an array that grows. */
struct list {
	char *values;
	size_t size, n, room;
};

static int keep(struct list *list, const void *value)
{
	if (list->n == list->room) {
		size_t more = list->room ? list->room * 2 : 256;
		char *grown = realloc(list->values, more * list->size);

		if (!grown)
			return -ENOMEM;
		list->values = grown;
		list->room = more;
	}
	memcpy(list->values + list->n++ * list->size, value, list->size);
	return 0;
}

static int keep_source(void *data, const void *value)
{
	const struct sw_edge_source *source = value;

	return source->refused ? keep(data, value) : 0;
}

static int by_refused(const void *a, const void *b)
{
	const struct sw_edge_source *first = a, *second = b;

	return (first->refused < second->refused) - (first->refused > second->refused);
}

/* What programs have counted of a source and not yet put into its entry. */
static void add_pending(struct sw_edge_source *sources, size_t n,
			const struct sw_edge_recent *recent)
{
	uint32_t pending = (uint32_t)recent->refused - recent->settled;

	for (size_t i = 0; i < n && pending; i++) {
		if (memcmp(sources[i].addr, recent->src, sizeof(recent->src)) != 0 ||
		    sources[i].interface != recent->interface)
			continue;
		sources[i].refused += pending;
		sources[i].suppressed += pending;
		if (sources[i].second == recent->second)
			sources[i].now += pending;
		else if (sources[i].second == recent->second + 1)
			sources[i].before += pending;
		return;
	}
}

static int add_all_pending(struct sw_kernel *kernel, struct list *list)
{
	sw_autofree struct sw_edge_recents *recents = sw_kernel_recents(kernel);
	struct sw_edge_source *sources = (struct sw_edge_source *)list->values;

	if (!recents)
		return -errno;
	for (int cpu = 0; cpu < kernel->cpus; cpu++)
		for (size_t i = 0; i < sw_count(recents[cpu].of); i++)
			add_pending(sources, list->n, &recents[cpu].of[i]);
	return 0;
}

int sw_edge_sources(struct sw_kernel *kernel, size_t most, struct sw_edge_source **sources,
		    size_t *n)
{
	struct list list = {.size = sizeof(**sources)};
	int error;

	*sources = NULL;
	*n = 0;
	if (!kernel->edge)
		return 0;
	error = walk(kernel, SW_EDGE_MAP_SOURCES, BPF_F_LOCK, keep_source, &list);
	if (!error)
		error = add_all_pending(kernel, &list);
	if (error) {
		free(list.values);
		return error;
	}
	if (list.n)
		qsort(list.values, list.n, list.size, by_refused);
	*sources = (struct sw_edge_source *)list.values;
	*n = list.n < most ? list.n : most;
	return 0;
}
