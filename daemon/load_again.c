/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * load_again.c - going on with the programs that an earlier daemon has pinned. To load them anew means to have
 * them verified, which takes most of the time of a start; programs of the same object on the same maps are the
 * same, as long as it is the same kernel, and pins do not outlive that.
 */
#include <errno.h>
#include <string.h>

#include "daemon/load_internal.h"
#include "daemon/pages.h"
#include "daemon/policy/digest.h"

#define MAPS_MAX 64 /* maps that one program uses */

/* Of an object, which is the last that is asked of it where it is pinned. */
static int sum_of(const void *bytes, size_t n, uint8_t sum[static 32])
{
	struct sw_digest *digest = sw_digest_new();

	if (!digest)
		return -ENOMEM;
	sw_digest_add(digest, bytes, n);
	/* It lies in the daemon's own file. */
	sw_pages_let_go(bytes, n);
	return sw_digest_end(digest, sum);
}

bool sw_object_is_pinned(const struct sw_kernel *kernel, enum sw_object object, const void *bytes,
			 size_t n)
{
	uint8_t sum[32];

	return kernel->went_on && sum_of(bytes, n, sum) == 0 &&
	       memcmp(kernel->head->objects[object], sum, sizeof(sum)) == 0;
}

void sw_object_forget(struct sw_kernel *kernel, enum sw_object object)
{
	memset(kernel->head->objects[object], 0, sizeof(kernel->head->objects[object]));
}

void sw_object_remember(struct sw_kernel *kernel, enum sw_object object, const void *bytes,
			size_t n)
{
	uint8_t sum[32];

	if (sum_of(bytes, n, sum) == 0)
		memcpy(kernel->head->objects[object], sum, sizeof(sum));
}

uint32_t sw_map_id(int fd)
{
	struct bpf_map_info info = {};
	uint32_t size = sizeof(info);

	return bpf_obj_get_info_by_fd(fd, &info, &size) < 0 ? 0 : info.id;
}

bool sw_uses_only(int program, const uint32_t *maps, size_t n)
{
	uint32_t used[MAPS_MAX], size = sizeof(struct bpf_prog_info);
	struct bpf_prog_info info = {.map_ids = (uintptr_t)used, .nr_map_ids = MAPS_MAX};

	if (bpf_obj_get_info_by_fd(program, &info, &size) < 0 || info.nr_map_ids > MAPS_MAX)
		return false;
	for (uint32_t i = 0; i < info.nr_map_ids; i++) {
		size_t j = 0;

		while (j < n && maps[j] != used[i])
			j++;
		if (j == n)
			return false;
	}
	return true;
}

static uint32_t program_id(int fd)
{
	struct bpf_prog_info info = {};
	uint32_t size = sizeof(info);

	return bpf_obj_get_info_by_fd(fd, &info, &size) < 0 ? 0 : info.id;
}

static bool open_pinned(struct sw_kernel *kernel, const char *name,
			const uint32_t maps[static SW_MAP_MAX], int *fd)
{
	return sw_pin_open(kernel->pin_dir, name, fd) == SW_PIN_PROGRAM &&
	       sw_uses_only(*fd, maps, SW_MAP_MAX);
}

bool sw_programs_adopt(struct sw_kernel *kernel)
{
	uint32_t maps[SW_MAP_MAX];
	bool all = true;

	for (int i = 0; i < SW_MAP_MAX; i++)
		maps[i] = sw_map_id(sw_map_fd(kernel, i));
	for (int i = 0; i < SW_HOOK_MAX && all; i++) {
		all = open_pinned(kernel, sw_hook_rows[i].program, maps, &kernel->pinned[i]);
		kernel->programs[i] = kernel->pinned[i];
		kernel->program_ids[i] = program_id(kernel->programs[i]);
		all = all && kernel->program_ids[i];
	}
	all = all && open_pinned(kernel, SW_WIPE_PROGRAM, maps, &kernel->pinned[SW_HOOK_MAX]);
	kernel->wipe = kernel->pinned[SW_HOOK_MAX];
	if (!all)
		sw_programs_close(kernel);
	return all;
}

void sw_programs_close(struct sw_kernel *kernel)
{
	for (int i = 0; i <= SW_HOOK_MAX; i++) {
		sw_close_cleanup(&kernel->pinned[i]);
		kernel->pinned[i] = -1;
	}
}
