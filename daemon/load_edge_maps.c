/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * load_edge_maps.c - interfaces and answers into the kernel; flows, sources and the room there is out of it.
 */
#include <errno.h>
#include <string.h>

#include "daemon/load_edge_internal.h"

/* Entries read in one call, which cannot be interrupted. */
#define BATCH 16384

/* ---- written ---- */

int sw_edge_set_interface(struct sw_kernel *kernel, uint32_t interface,
			  const struct sw_interface *value)
{
	if (!kernel->edge)
		return -ENOENT;
	return bpf_map_update_elem(sw_edge_map_fd(kernel, SW_EDGE_MAP_INTERFACES), &interface,
				   value, BPF_ANY) < 0
		       ? -errno
		       : 0;
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
	return 0;
}

int sw_edge_fill(struct sw_kernel *kernel, unsigned int slot, const struct sw_image *image)
{
	for (uint32_t i = 0; i < SW_RULES_MAX; i++) {
		uint32_t key = slot * SW_RULES_MAX + i;

		if (bpf_map_update_elem(sw_edge_map_fd(kernel, SW_EDGE_MAP_ANSWERS), &key,
					&image->answers[i], BPF_ANY) < 0)
			return -errno;
	}
	return 0;
}

/* ---- read ---- */

/* Calls `take` for each value of an array. 0 or -errno. */
static int walk(const struct bpf_map *map, uint64_t flags,
		int (*take)(void *data, const void *value), void *data)
{
	LIBBPF_OPTS(bpf_map_batch_opts, opts, .elem_flags = flags);
	const size_t size = bpf_map__value_size(map);
	sw_autofree uint32_t *keys = calloc(BATCH, sizeof(*keys));
	sw_autofree char *values = calloc(BATCH, size);
	uint32_t left = bpf_map__max_entries(map), place = 0;
	void *from = NULL;

	if (!keys || !values)
		return -ENOMEM;
	while (left) {
		uint32_t n = left < BATCH ? left : BATCH;

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
	}
	return 0;
}

/* struct sw_edge_gate of maps_edge.h, which only programs know whole, begins with its owner. */
static int count_gate(void *data, const void *value)
{
	uint64_t owner;

	memcpy(&owner, value, sizeof(owner));
	*(uint32_t *)data += owner != 0;
	return 0;
}

void sw_edge_room(struct sw_kernel *kernel, struct sw_edge_room *room)
{
	struct bpf_map *const *maps = kernel->edge ? kernel->edge->maps : NULL;

	*room = (struct sw_edge_room){};
	if (!maps)
		return;
	room->flows = bpf_map__max_entries(maps[SW_EDGE_MAP_FLOWS]);
	room->gates = bpf_map__max_entries(maps[SW_EDGE_MAP_GATES]);
	room->sources = bpf_map__max_entries(maps[SW_EDGE_MAP_SOURCES]);
	walk(maps[SW_EDGE_MAP_GATES], 0, count_gate, &room->gates_used);
}

/* Values that are kept, in an array that grows. */
struct list {
	char *values;
	size_t size, n, room, most, left_out;
};

static int keep(struct list *list, const void *value)
{
	if (list->n == list->most) {
		list->left_out++;
		return 0;
	}
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

static int keep_flow(void *data, const void *value)
{
	const struct sw_edge_flow *flow = value;

	return flow->state == SW_EDGE_FREE ? 0 : keep(data, value);
}

int sw_edge_flows(struct sw_kernel *kernel, size_t most, struct sw_edge_flow **flows, size_t *n,
		  size_t *left_out)
{
	struct list list = {.size = sizeof(**flows), .most = most};
	int error;

	*flows = NULL;
	*n = *left_out = 0;
	if (!kernel->edge)
		return 0;
	/* Each is copied under its lock, so none is half of one and half of another. */
	error = walk(kernel->edge->maps[SW_EDGE_MAP_FLOWS], BPF_F_LOCK, keep_flow, &list);
	if (error) {
		free(list.values);
		return error;
	}
	*flows = (struct sw_edge_flow *)list.values;
	*n = list.n;
	*left_out = list.left_out;
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

int sw_edge_sources(struct sw_kernel *kernel, size_t most, struct sw_edge_source **sources,
		    size_t *n)
{
	struct list list = {.size = sizeof(**sources), .most = SIZE_MAX};
	int error;

	*sources = NULL;
	*n = 0;
	if (!kernel->edge)
		return 0;
	error = walk(kernel->edge->maps[SW_EDGE_MAP_SOURCES], BPF_F_LOCK, keep_source, &list);
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
