/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * load_edge_pins.c - what the edge has under PIN_DIR, and taking it off, with or without a running daemon.
 */
#include <dirent.h>
#include <errno.h>
#include <linux/if_link.h>
#include <string.h>

#include "daemon/load_edge_internal.h"

#define LINK "link_xdp_"

const char *const sw_edge_map_names[SW_EDGE_MAP_MAX] = {
	[SW_EDGE_MAP_INTERFACES] = "interfaces", [SW_EDGE_MAP_SECRET] = "edge_secret",
	[SW_EDGE_MAP_WORK] = "edge_work",        [SW_EDGE_MAP_ANSWERS] = "answers",
	[SW_EDGE_MAP_BUDGET] = "edge_budget",    [SW_EDGE_MAP_SOURCES] = "edge_sources",
	[SW_EDGE_MAP_GATES] = "edge_gates",      [SW_EDGE_MAP_FLOWS] = "edge_flows",
	[SW_EDGE_MAP_LISTED] = "edge_listed",    [SW_EDGE_MAP_LEAVES] = "edge_leaves",
};

const char *const sw_edge_programs[SW_EDGE_SIDES] = {"sw_edge", "sw_edge_served"};
const char *const sw_edge_constants[SW_EDGE_SIDES] = {"edge_rodata", "edge_tc_rodata"};

void sw_edge_link_name(char name[static SW_EDGE_LINK_SIZE], uint32_t interface)
{
	snprintf(name, SW_EDGE_LINK_SIZE, LINK "%u", interface);
}

/* The interface that a name of a link stands for; 0: it is no such name. */
static uint32_t interface_of(const char *name)
{
	char again[SW_EDGE_LINK_SIZE];
	unsigned int interface;

	if (sscanf(name, LINK "%u", &interface) != 1)
		return 0;
	sw_edge_link_name(again, interface);
	return strcmp(name, again) == 0 ? interface : 0;
}

enum sw_pin_kind sw_edge_pin_kind(const char *name)
{
	for (int i = 0; i < SW_EDGE_MAP_MAX; i++)
		if (strcmp(name, sw_edge_map_names[i]) == 0)
			return SW_PIN_MAP;
	for (int i = 0; i < SW_EDGE_SIDES; i++) {
		if (strcmp(name, sw_edge_programs[i]) == 0)
			return SW_PIN_PROGRAM;
		if (strcmp(name, sw_edge_constants[i]) == 0)
			return SW_PIN_MAP;
	}
	return interface_of(name) ? SW_PIN_LINK : SW_PIN_OTHER;
}

static int by_number(const void *a, const void *b)
{
	const uint32_t *first = a, *second = b;

	return (*first > *second) - (*first < *second);
}

/* Adds one to a list that grows. 0 or -ENOMEM. */
static int add(uint32_t **list, size_t *n, size_t *room, uint32_t interface)
{
	if (*n == *room) {
		size_t more = *room ? *room * 2 : 16;
		uint32_t *grown = realloc(*list, more * sizeof(*grown));

		if (!grown)
			return -ENOMEM;
		*list = grown;
		*room = more;
	}
	(*list)[(*n)++] = interface;
	return 0;
}

int sw_edge_links(const char *pin_dir, uint32_t **interfaces, size_t *n)
{
	sw_autofree uint32_t *list = NULL;
	const struct dirent *entry;
	size_t count = 0, room = 0;
	DIR *dir = opendir(pin_dir);
	int error = 0;

	*interfaces = NULL;
	*n = 0;
	if (!dir)
		return errno == ENOENT ? 0 : -errno;
	while (!error && (entry = readdir(dir))) {
		uint32_t interface = interface_of(entry->d_name);

		if (interface)
			error = add(&list, &count, &room, interface);
	}
	closedir(dir);
	if (error)
		return error;
	if (count)
		qsort(list, count, sizeof(*list), by_number);
	*interfaces = sw_take(list);
	*n = count;
	return 0;
}

int sw_edge_link_open(const char *pin_dir, uint32_t interface, struct bpf_link_info *info)
{
	char name[SW_EDGE_LINK_SIZE];
	uint32_t size = sizeof(*info);
	int fd;

	sw_edge_link_name(name, interface);
	if (sw_pin_open(pin_dir, name, &fd) == SW_PIN_LINK) {
		memset(info, 0, sizeof(*info));
		if (bpf_obj_get_info_by_fd(fd, info, &size) == 0 && info->type == BPF_LINK_TYPE_XDP)
			return fd;
	}
	if (fd >= 0)
		close(fd);
	return -1;
}

int sw_edge_take_off(const char *pin_dir, uint32_t interface)
{
	char name[SW_EDGE_LINK_SIZE];
	struct bpf_link_info info;
	sw_autoclose int fd = sw_edge_link_open(pin_dir, interface, &info);
	int error;

	/* Programs first: without what servers say XDP would hold everything that a client sends. */
	if (fd >= 0 && info.xdp.ifindex && bpf_link_detach(fd) < 0)
		return -errno;
	error = sw_edge_filter_remove(interface, true);
	if (error)
		return error;
	sw_edge_link_name(name, interface);
	return sw_pin_remove(pin_dir, name);
}

int sw_edge_pins_detach(const char *pin_dir, bool *found, struct sw_fault *fault)
{
	sw_autofree uint32_t *interfaces = NULL;
	size_t n;
	int error = sw_edge_links(pin_dir, &interfaces, &n);

	for (size_t i = 0; i < n && !error; i++)
		error = sw_edge_take_off(pin_dir, interfaces[i]);
	*found |= n > 0;
	if (error)
		return sw_fault(fault, SW_EXIT_KERNEL,
				"cannot take off what is pinned in %s for interfaces: %s", pin_dir,
				strerror(-error));
	return 0;
}

void sw_edge_pins_remove_objects(const char *pin_dir)
{
	for (int i = SW_EDGE_MAP_MAX - 1; i >= 0; i--)
		sw_pin_remove(pin_dir, sw_edge_map_names[i]);
	for (int i = 0; i < SW_EDGE_SIDES; i++) {
		sw_pin_remove(pin_dir, sw_edge_programs[i]);
		sw_pin_remove(pin_dir, sw_edge_constants[i]);
	}
}

bool sw_edge_is_open(const struct sw_kernel *kernel)
{
	sw_autofree uint32_t *interfaces = NULL;
	sw_autoclose int fd = -1;
	size_t n;

	return kernel->edge ||
	       sw_pin_open(kernel->pin_dir, sw_edge_map_names[SW_EDGE_MAP_FLOWS], &fd) ==
		       SW_PIN_MAP ||
	       (sw_edge_links(kernel->pin_dir, &interfaces, &n) == 0 && n);
}
