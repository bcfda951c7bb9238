/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * load_edge.c - the edge's two objects: opened, given the host's maps and what is pinned, loaded, pinned.
 *
 * The XDP object makes the maps; the TC object is given them. Maps, constants and programs that are pinned
 * and equal to what would be made are gone on with, so that a restart changes nothing in force.
 */
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/random.h>

#include "bpf/abi_edge.h"

#include "bpf/edge.skel.h"
#include "bpf/edge_tc.skel.h"
#include "daemon/load_edge_internal.h"

/* ---- opening ---- */

static void close_program(struct sw_edge_program *program)
{
	sw_close_cleanup(&program->fd);
	program->fd = -1;
}

static void objects_free(struct sw_edge_objects *edge)
{
	if (!edge)
		return;
	for (int i = 0; i < SW_EDGE_SIDES; i++) {
		close_program(&edge->programs[i]);
		close_program(&edge->previous[i]);
	}
	sw_edge__destroy(edge->xdp);
	sw_edge_tc__destroy(edge->tc);
	free(edge->places);
	free(edge);
}

void sw_edge_close(struct sw_kernel *kernel)
{
	objects_free(sw_take(kernel->edge));
}

static struct sw_edge_objects *objects_new(void)
{
	struct sw_edge_objects *edge = calloc(1, sizeof(*edge));

	if (!edge)
		return NULL;
	for (int i = 0; i < SW_EDGE_SIDES; i++)
		edge->programs[i].fd = edge->previous[i].fd = -1;
	return edge;
}

static uint32_t whole_sets(uint32_t flows)
{
	if (flows < SW_EDGE_FLOWS_MIN)
		flows = SW_EDGE_FLOWS_MIN;
	if (flows > SW_EDGE_FLOWS_LIMIT)
		flows = SW_EDGE_FLOWS_LIMIT;
	return (flows + SW_EDGE_WAYS - 1) / SW_EDGE_WAYS * SW_EDGE_WAYS;
}

/* Opens both and tells them the sizes. */
static int open_objects(struct sw_edge_objects *edge, uint32_t flows, struct sw_fault *fault)
{
	uint32_t gates = flows / SW_EDGE_FLOWS_PER_GATE;

	if (gates < SW_EDGE_GATES_MIN)
		gates = SW_EDGE_GATES_MIN;
	edge->xdp = sw_edge__open();
	edge->tc = edge->xdp ? sw_edge_tc__open() : NULL;
	if (!edge->tc)
		return sw_kernel_refused(fault, "cannot open the BPF objects of the edge", errno);
	edge->objects[SW_EDGE_XDP] = edge->xdp->obj;
	edge->objects[SW_EDGE_TC] = edge->tc->obj;
	edge->xdp->rodata->sw_edge_sets = edge->tc->rodata->sw_edge_sets = flows / SW_EDGE_WAYS;
	edge->xdp->rodata->sw_edge_gate_count = edge->tc->rodata->sw_edge_gate_count = gates;
	for (int i = 0; i < SW_EDGE_MAP_MAX; i++) {
		edge->maps[i] = bpf_object__find_map_by_name(edge->xdp->obj, sw_edge_map_names[i]);
		if (!edge->maps[i])
			return sw_fault(fault, SW_EXIT_KERNEL, "the BPF object has no map %s",
					sw_edge_map_names[i]);
	}
	if (bpf_map__set_max_entries(edge->maps[SW_EDGE_MAP_FLOWS], flows) < 0 ||
	    bpf_map__set_max_entries(edge->maps[SW_EDGE_MAP_GATES], gates) < 0)
		return sw_fault(fault, SW_EXIT_KERNEL, "cannot set the size of the flow table");
	return 0;
}

/* The map that the host has for a map of an object, or for TC that XDP has; -1: the object makes its own. */
static int shared_map(const struct sw_kernel *kernel, const struct sw_edge_objects *edge,
		      enum sw_edge_side side, const struct bpf_map *of)
{
	const char *name = bpf_map__name(of);
	const struct bpf_map *map = NULL;

	/* Its only variable stands for the map `head`: bpf/edge_recent.h. */
	if (side == SW_EDGE_XDP && of == edge->xdp->maps.bss)
		return sw_map_fd(kernel, SW_MAP_HEAD);
	for (int i = 0; i < SW_MAP_MAX; i++)
		if (strcmp(name, sw_map_names[i]) == 0)
			return sw_map_fd(kernel, i);
	if (side == SW_EDGE_TC)
		map = bpf_object__find_map_by_name(edge->objects[SW_EDGE_XDP], name);
	return map && !bpf_map__is_internal(map) ? bpf_map__fd(map) : -1;
}

/* Gives an object the maps that exist already. */
static int give_maps(const struct sw_kernel *kernel, const struct sw_edge_objects *edge,
		     enum sw_edge_side side, struct sw_fault *fault)
{
	struct bpf_map *map;

	bpf_object__for_each_map(map, edge->objects[side])
	{
		int fd = shared_map(kernel, edge, side, map), error;

		if (fd < 0)
			continue;
		error = bpf_map__reuse_fd(map, fd);
		if (error)
			return sw_fault(fault, SW_EXIT_KERNEL, "cannot share the map %s: %s",
					bpf_map__name(map), strerror(-error));
	}
	return 0;
}

/* ---- taking over ---- */

/* Opens the map pinned as `name` when it has the form of `want`, else -1. */
static int open_equal(const struct sw_kernel *kernel, const char *name, const struct bpf_map *want)
{
	sw_autoclose int fd = -1;
	struct bpf_map_info info = {};
	uint32_t size = sizeof(info);

	if (sw_pin_open(kernel->pin_dir, name, &fd) != SW_PIN_MAP ||
	    bpf_obj_get_info_by_fd(fd, &info, &size) < 0 || info.type != bpf_map__type(want) ||
	    info.key_size != bpf_map__key_size(want) ||
	    info.value_size != bpf_map__value_size(want) ||
	    info.max_entries != bpf_map__max_entries(want) ||
	    info.map_flags != bpf_map__map_flags(want))
		return -1;
	return sw_take_fd(fd);
}

static bool is_pinned(const struct sw_kernel *kernel, const char *name)
{
	sw_autoclose int fd = -1;

	return sw_pin_open(kernel->pin_dir, name, &fd) == SW_PIN_MAP;
}

static void close_all(int (*fds)[SW_EDGE_MAP_MAX])
{
	for (int i = 0; i < SW_EDGE_MAP_MAX; i++)
		sw_close_cleanup(&(*fds)[i]);
}

/* Gates say by number whose they are, and flows which gate is theirs: both stay, or neither. */
static int adopt_maps(struct sw_kernel *kernel, struct sw_edge_objects *edge, bool *replaced,
		      struct sw_fault *fault)
{
	sw_cleanup(close_all) int fds[SW_EDGE_MAP_MAX];

	for (int i = 0; i < SW_EDGE_MAP_MAX; i++)
		fds[i] = kernel->went_on ? open_equal(kernel, sw_edge_map_names[i], edge->maps[i])
					 : -1;
	if (fds[SW_EDGE_MAP_FLOWS] < 0 || fds[SW_EDGE_MAP_GATES] < 0) {
		*replaced = is_pinned(kernel, sw_edge_map_names[SW_EDGE_MAP_FLOWS]);
		sw_close_cleanup(&fds[SW_EDGE_MAP_FLOWS]);
		sw_close_cleanup(&fds[SW_EDGE_MAP_GATES]);
		fds[SW_EDGE_MAP_FLOWS] = fds[SW_EDGE_MAP_GATES] = -1;
	}
	for (int i = 0; i < SW_EDGE_MAP_MAX; i++) {
		int error = fds[i] < 0 ? 0 : bpf_map__reuse_fd(edge->maps[i], fds[i]);

		if (error)
			return sw_fault(fault, SW_EXIT_KERNEL, "cannot take over the map %s/%s: %s",
					kernel->pin_dir, sw_edge_map_names[i], strerror(-error));
		edge->adopted[i] = fds[i] >= 0;
	}
	return 0;
}

static struct bpf_map *constants(const struct sw_edge_objects *edge, enum sw_edge_side side)
{
	return side == SW_EDGE_XDP ? edge->xdp->maps.rodata : edge->tc->maps.rodata;
}

/* A program counts as the same on the same maps only, and its constants are one of them. */
static void adopt_constants(const struct sw_kernel *kernel, const struct sw_edge_objects *edge,
			    enum sw_edge_side side)
{
	struct bpf_map *map = constants(edge, side);
	sw_autoclose int fd = open_equal(kernel, sw_edge_constants[side], map);
	sw_autofree void *pinned = NULL;
	size_t size = 0;
	const void *ours = bpf_map__initial_value(map, &size);

	if (fd < 0 || !ours)
		return;
	pinned = malloc(bpf_map__value_size(map));
	if (pinned && size <= bpf_map__value_size(map) &&
	    bpf_map_lookup_elem(fd, &(uint32_t){0}, pinned) == 0 && memcmp(pinned, ours, size) == 0)
		bpf_map__reuse_fd(map, fd);
}

/* ---- loading ---- */

static int open_program(int fd, struct sw_edge_program *program)
{
	struct bpf_prog_info info = {};
	uint32_t size = sizeof(info);

	if (fd < 0 || bpf_obj_get_info_by_fd(fd, &info, &size) < 0)
		return -errno;
	program->fd = fcntl(fd, F_DUPFD_CLOEXEC, 3);
	program->id = info.id;
	return program->fd < 0 ? -errno : 0;
}

/* The program of an object, or its equal that is pinned and may be attached. */
static int choose_program(const struct sw_kernel *kernel, struct sw_edge_objects *edge,
			  enum sw_edge_side side)
{
	const struct bpf_program *program =
		bpf_object__find_program_by_name(edge->objects[side], sw_edge_programs[side]);
	sw_autoclose int pinned = -1;
	int ours = program ? bpf_program__fd(program) : -1;

	if (ours < 0)
		return -ENOENT;
	if (sw_pin_open(kernel->pin_dir, sw_edge_programs[side], &pinned) != SW_PIN_PROGRAM)
		return open_program(ours, &edge->programs[side]);
	if (sw_same_program(ours, pinned))
		return open_program(pinned, &edge->programs[side]);
	open_program(pinned, &edge->previous[side]);
	return open_program(ours, &edge->programs[side]);
}

static const void *object_bytes(enum sw_edge_side side, size_t *size)
{
	return side == SW_EDGE_XDP ? sw_edge__elf_bytes(size) : sw_edge_tc__elf_bytes(size);
}

static enum sw_object object_of(enum sw_edge_side side)
{
	return side == SW_EDGE_XDP ? SW_OBJECT_XDP : SW_OBJECT_TC;
}

/* The pinned program of an object, when it is of the same file, and on maps that were gone on with; constants are
   one of them. */
static bool adopt_program(const struct sw_kernel *kernel, struct sw_edge_objects *edge,
			  enum sw_edge_side side)
{
	sw_autoclose int fd = -1;
	size_t size, n = 0;
	const void *bytes = object_bytes(side, &size);
	uint32_t maps[SW_MAP_MAX + SW_EDGE_MAP_MAX + 1];

	for (int i = 0; i < SW_MAP_MAX; i++)
		maps[n++] = sw_map_id(sw_map_fd(kernel, i));
	for (int i = 0; i < SW_EDGE_MAP_MAX; i++)
		maps[n++] = sw_map_id(bpf_map__fd(edge->maps[i]));
	maps[n++] = sw_map_id(bpf_map__fd(constants(edge, side)));
	return sw_object_is_pinned(kernel, object_of(side), bytes, size) &&
	       sw_pin_open(kernel->pin_dir, sw_edge_programs[side], &fd) == SW_PIN_PROGRAM &&
	       sw_uses_only(fd, maps, n) && open_program(fd, &edge->programs[side]) == 0;
}

static bool adopt_programs(const struct sw_kernel *kernel, struct sw_edge_objects *edge)
{
	for (int i = 0; i < SW_EDGE_MAP_MAX; i++)
		if (!edge->adopted[i])
			return false;
	for (int i = 0; i < SW_EDGE_SIDES; i++) {
		adopt_constants(kernel, edge, i);
		if (adopt_program(kernel, edge, i))
			continue;
		for (int j = 0; j < SW_EDGE_SIDES; j++)
			close_program(&edge->programs[j]);
		return false;
	}
	return true;
}

static int load_objects(const struct sw_kernel *kernel, struct sw_edge_objects *edge,
			struct sw_fault *fault)
{
	if (adopt_programs(kernel, edge))
		return 0;
	for (int i = 0; i < SW_EDGE_SIDES; i++) {
		int error;

		if (give_maps(kernel, edge, i, fault) < 0)
			return -1;
		adopt_constants(kernel, edge, i);
		error = i == SW_EDGE_XDP ? sw_edge__load(edge->xdp) : sw_edge_tc__load(edge->tc);
		if (error)
			return sw_kernel_refused(
				fault, "the kernel refused the programs of the edge", -error);
		error = choose_program(kernel, edge, i);
		if (error)
			return sw_kernel_refused(fault, "cannot find the program of the edge",
						 -error);
	}
	return 0;
}

static int make_secret(const struct sw_edge_objects *edge, struct sw_fault *fault)
{
	struct sw_edge_secret secret;
	int error = 0;

	if (edge->adopted[SW_EDGE_MAP_SECRET])
		return 0;
	if (getrandom(&secret, sizeof(secret), 0) != sizeof(secret) ||
	    bpf_map_update_elem(bpf_map__fd(edge->maps[SW_EDGE_MAP_SECRET]), &(uint32_t){0},
				&secret, BPF_ANY) < 0)
		error = errno;
	explicit_bzero(&secret, sizeof(secret));
	return error ? sw_kernel_refused(fault, "cannot make the edge's random numbers", error) : 0;
}

/* ---- pinning ---- */

static int put(const struct sw_kernel *kernel, const char *name, int fd, struct sw_fault *fault)
{
	int error = sw_pin_put(kernel->pin_dir, name, fd);

	if (error)
		return sw_fault(fault, SW_EXIT_KERNEL, "cannot pin %s/%s: %s", kernel->pin_dir,
				name, strerror(-error));
	return 0;
}

static int write_pins(struct sw_kernel *kernel, const struct sw_edge_objects *edge,
		      struct sw_fault *fault)
{
	for (int i = 0; i < SW_EDGE_SIDES; i++)
		sw_object_forget(kernel, object_of(i));
	for (int i = 0; i < SW_EDGE_MAP_MAX; i++)
		if (!edge->adopted[i] &&
		    put(kernel, sw_edge_map_names[i], bpf_map__fd(edge->maps[i]), fault) < 0)
			return -1;
	for (int i = 0; i < SW_EDGE_SIDES; i++)
		if (put(kernel, sw_edge_constants[i], bpf_map__fd(constants(edge, i)), fault) < 0 ||
		    put(kernel, sw_edge_programs[i], edge->programs[i].fd, fault) < 0)
			return -1;
	for (int i = 0; i < SW_EDGE_SIDES; i++) {
		size_t size;
		const void *bytes = object_bytes(i, &size);

		sw_object_remember(kernel, object_of(i), bytes, size);
	}
	return 0;
}

/* Does something run other programs than were pinned until now? Then an earlier start pinned its own and ended
   before it could put them in place: what is pinned of the flow table need not be what has been in use. */
static bool was_broken_off(const struct sw_kernel *kernel, const struct sw_edge_objects *edge)
{
	const struct sw_edge_program *previous = &edge->previous[SW_EDGE_XDP];
	uint32_t pinned = previous->fd >= 0 ? previous->id : edge->programs[SW_EDGE_XDP].id;
	sw_autofree uint32_t *interfaces = NULL;
	bool other = false;
	size_t n;

	if (sw_edge_links(kernel->pin_dir, &interfaces, &n) < 0)
		return true;
	for (size_t i = 0; i < n; i++) {
		struct bpf_link_info info;
		sw_autoclose int fd = sw_edge_link_open(kernel->pin_dir, interfaces[i], &info);

		other |= fd >= 0 && info.xdp.ifindex && info.prog_id != pinned;
	}
	return other;
}

static void objects_cleanup(struct sw_edge_objects **edge)
{
	objects_free(*edge);
}

int sw_edge_open(struct sw_kernel *kernel, uint32_t flows, bool *replaced, struct sw_fault *fault)
{
	sw_cleanup(objects_cleanup) struct sw_edge_objects *edge = NULL;

	*replaced = false;
	if (kernel->edge)
		return 0;
	edge = objects_new();
	if (!edge)
		return sw_fault(fault, SW_EXIT_KERNEL, "out of memory");
	if (open_objects(edge, whole_sets(flows), fault) < 0 ||
	    adopt_maps(kernel, edge, replaced, fault) < 0 ||
	    load_objects(kernel, edge, fault) < 0 || make_secret(edge, fault) < 0)
		return -1;
	*replaced |= was_broken_off(kernel, edge);
	if (write_pins(kernel, edge, fault) < 0)
		return -1;
	kernel->edge = sw_take(edge);
	return 0;
}

bool sw_edge_release(struct sw_kernel *kernel)
{
	sw_autofree uint32_t *interfaces = NULL;
	size_t n;

	if (sw_edge_links(kernel->pin_dir, &interfaces, &n) < 0 || n)
		return false;
	sw_edge_close(kernel);
	sw_edge_pins_remove_objects(kernel->pin_dir);
	return true;
}
