/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * load_hooks.c - links: putting the programs on the cgroup, keeping them there, taking them off.
 */
#include <errno.h>
#include <string.h>
#include <sys/stat.h>

#include "daemon/load_internal.h"

#define PROGRAMS_MAX 256 /* programs in effect on one hook of a cgroup */
#define MAPS_MAX 64      /* maps that one program uses */

/* What an attach has done so far, so that it can be undone. */
struct undo {
	bool created[SW_HOOK_MAX];
	int replaced[SW_HOOK_MAX]; /* the program that a link had before; -1 */
};

int sw_link_info(int fd, struct bpf_link_info *info)
{
	uint32_t size = sizeof(*info);

	memset(info, 0, sizeof(*info));
	if (bpf_obj_get_info_by_fd(fd, info, &size) < 0)
		return -errno;
	return info->type == BPF_LINK_TYPE_CGROUP ? 0 : -EINVAL;
}

static int program_info(int fd, struct bpf_prog_info *info, uint32_t maps[static MAPS_MAX])
{
	uint32_t size = sizeof(*info);

	memset(info, 0, sizeof(*info));
	info->map_ids = (uintptr_t)maps;
	info->nr_map_ids = MAPS_MAX;
	if (bpf_obj_get_info_by_fd(fd, info, &size) < 0)
		return -errno;
	return info->nr_map_ids <= MAPS_MAX ? 0 : -E2BIG;
}

/* The tag alone would not do: it leaves the maps out. */
bool sw_same_program(int a, int b)
{
	uint32_t maps_a[MAPS_MAX], maps_b[MAPS_MAX];
	struct bpf_prog_info info_a, info_b;

	if (program_info(a, &info_a, maps_a) < 0 || program_info(b, &info_b, maps_b) < 0)
		return false;
	if (memcmp(info_a.tag, info_b.tag, sizeof(info_a.tag)) != 0 ||
	    info_a.nr_map_ids != info_b.nr_map_ids)
		return false;
	for (uint32_t i = 0; i < info_a.nr_map_ids; i++) {
		bool found = false;

		for (uint32_t j = 0; j < info_b.nr_map_ids; j++)
			found |= maps_a[i] == maps_b[j];
		if (!found)
			return false;
	}
	return true;
}

/* Creates the link of a hook and pins it. 0 or -errno. */
static int create_link(struct sw_kernel *kernel, int hook)
{
	const struct sw_hook_row *row = &sw_hook_rows[hook];
	sw_autoclose int fd =
		bpf_link_create(kernel->programs[hook], kernel->cgroup_fd, row->type, NULL);
	struct bpf_prog_info info = {};
	uint32_t size = sizeof(info);
	int error;

	if (fd < 0)
		return -errno;
	if (bpf_obj_get_info_by_fd(kernel->programs[hook], &info, &size) < 0)
		return -errno;
	error = sw_pin_put(kernel->pin_dir, row->link, fd);
	if (error)
		return error;
	sw_close_cleanup(&kernel->links[hook]);
	kernel->links[hook] = sw_take_fd(fd);
	kernel->program_ids[hook] = info.id;
	return 0;
}

/* A pinned link that is alive: leave its program when it equals ours, else change it over. 0 or
   -errno. */
static int take_over_link(struct sw_kernel *kernel, int hook, const struct bpf_link_info *link,
			  struct undo *undo)
{
	sw_autoclose int old = -1;
	struct bpf_prog_info info = {};
	uint32_t size = sizeof(info);

	/* The program in effect is had through its pin: by id it would need CAP_SYS_ADMIN. */
	if (sw_pin_open(kernel->pin_dir, sw_hook_rows[hook].program, &old) == SW_PIN_PROGRAM &&
	    bpf_obj_get_info_by_fd(old, &info, &size) == 0 && info.id == link->prog_id &&
	    sw_same_program(old, kernel->programs[hook])) {
		kernel->program_ids[hook] = link->prog_id;
		return 0;
	}
	if (bpf_link_update(kernel->links[hook], kernel->programs[hook], NULL) < 0)
		return -errno;
	if (info.id == link->prog_id)
		undo->replaced[hook] = sw_take_fd(old);
	return 0;
}

static int attach_hook(struct sw_kernel *kernel, int hook, struct undo *undo)
{
	const struct sw_hook_row *row = &sw_hook_rows[hook];
	struct bpf_link_info info;
	int error;

	/* A link of another attach type behind our name would be updated to the wrong program. */
	if (sw_pin_open(kernel->pin_dir, row->link, &kernel->links[hook]) == SW_PIN_LINK &&
	    sw_link_info(kernel->links[hook], &info) == 0 && info.cgroup.attach_type == row->type &&
	    info.cgroup.cgroup_id == kernel->cgroup_id)
		return take_over_link(kernel, hook, &info, undo);
	error = create_link(kernel, hook);
	undo->created[hook] = error == 0;
	return error;
}

static void undo_attach(struct sw_kernel *kernel, struct undo *undo)
{
	for (int i = SW_HOOK_MAX - 1; i >= 0; i--) {
		if (undo->created[i]) {
			bpf_link_detach(kernel->links[i]);
			sw_pin_remove(kernel->pin_dir, sw_hook_rows[i].link);
		}
		if (undo->replaced[i] >= 0)
			bpf_link_update(kernel->links[i], undo->replaced[i], NULL);
	}
	if (kernel->pins == SW_PINS_NONE)
		sw_pins_remove_objects(kernel->pin_dir);
}

int sw_kernel_attach(struct sw_kernel *kernel, struct sw_fault *fault)
{
	struct undo undo = {};
	int result = 0;

	for (int i = 0; i < SW_HOOK_MAX; i++)
		undo.replaced[i] = -1;
	if (sw_kernel_loaded(kernel, fault) < 0)
		return -1;
	if (kernel->pinned[0] < 0)
		sw_object_forget(kernel, SW_OBJECT_HOST);
	for (int i = 0; i < SW_HOOK_MAX && result == 0; i++) {
		int error = attach_hook(kernel, i, &undo);
		char what[128];

		snprintf(what, sizeof(what), "cannot attach %s to the cgroup",
			 sw_hook_rows[i].name);
		if (error)
			result = sw_kernel_refused(fault, what, -error);
	}
	/* Links first: a start that is cut off here leaves links without a whole set of maps, which
	   the next one replaces; the other way round it would go on with maps that nobody reads. */
	if (result == 0)
		result = sw_pins_write(kernel, fault);
	if (result < 0)
		undo_attach(kernel, &undo);
	else
		kernel->pins = SW_PINS_CURRENT;
	if (result == 0)
		sw_host_remember(kernel);
	for (int i = 0; i < SW_HOOK_MAX; i++)
		sw_close_cleanup(&undo.replaced[i]);
	return result;
}

/* ---- the self-check ---- */

static bool in_effect(const struct sw_kernel *kernel, int hook)
{
	uint32_t ids[PROGRAMS_MAX], n = PROGRAMS_MAX;

	if (bpf_prog_query(kernel->cgroup_fd, sw_hook_rows[hook].type, BPF_F_QUERY_EFFECTIVE, NULL,
			   ids, &n) < 0)
		return false;
	for (uint32_t i = 0; i < n && i < PROGRAMS_MAX; i++)
		if (ids[i] == kernel->program_ids[hook])
			return true;
	return false;
}

static bool pin_is(const struct sw_kernel *kernel, int hook, uint32_t link_id)
{
	sw_autoclose int fd = -1;
	struct bpf_link_info info;

	return sw_pin_open(kernel->pin_dir, sw_hook_rows[hook].link, &fd) == SW_PIN_LINK &&
	       sw_link_info(fd, &info) == 0 && info.id == link_id;
}

/* What is wrong with a hook, or NULL. */
static const char *find_problem(const struct sw_kernel *kernel, int hook)
{
	struct bpf_link_info info;

	if (sw_link_info(kernel->links[hook], &info) < 0 ||
	    info.cgroup.cgroup_id != kernel->cgroup_id)
		return "the link was detached";
	if (info.prog_id != kernel->program_ids[hook])
		return "another program was put into the link";
	if (!in_effect(kernel, hook))
		return "the program is not in effect";
	if (!pin_is(kernel, hook, info.id))
		return "the pin of the link was removed";
	return NULL;
}

/* 0 or -errno. */
static int repair(struct sw_kernel *kernel, int hook)
{
	struct bpf_link_info info;
	struct bpf_prog_info program = {};
	uint32_t size = sizeof(program);

	if (sw_link_info(kernel->links[hook], &info) < 0 ||
	    info.cgroup.cgroup_id != kernel->cgroup_id)
		return create_link(kernel, hook);
	if (info.prog_id != kernel->program_ids[hook]) {
		if (bpf_link_update(kernel->links[hook], kernel->programs[hook], NULL) < 0 ||
		    bpf_obj_get_info_by_fd(kernel->programs[hook], &program, &size) < 0)
			return -errno;
		kernel->program_ids[hook] = program.id;
	}
	if (!pin_is(kernel, hook, info.id)) {
		mkdir(kernel->pin_dir, 0700);
		return sw_pin_put(kernel->pin_dir, sw_hook_rows[hook].link, kernel->links[hook]);
	}
	return 0;
}

unsigned int sw_kernel_check(struct sw_kernel *kernel, struct sw_hook_state states[SW_HOOK_MAX],
			     unsigned int *repaired)
{
	unsigned int missing = 0;

	*repaired = 0;
	for (int i = 0; i < SW_HOOK_MAX; i++) {
		struct sw_hook_state *state = &states[i];
		const char *problem = find_problem(kernel, i);
		struct bpf_link_info info = {};

		*state = (struct sw_hook_state){.name = sw_hook_rows[i].name};
		if (problem) {
			int error = repair(kernel, i);

			*repaired += error == 0;
			snprintf(state->problem, sizeof(state->problem), "%s; %s%s", problem,
				 error ? "it cannot be put back: " : "put back",
				 error ? strerror(-error) : "");
		}
		state->attached = in_effect(kernel, i);
		state->program_id = kernel->program_ids[i];
		if (sw_link_info(kernel->links[i], &info) == 0)
			state->link_id = info.id;
		missing += !state->attached;
	}
	return missing;
}

/* ---- taking off ---- */

int sw_pins_detach(const char *pin_dir, bool *found, struct sw_fault *fault)
{
	*found = false;
	if (sw_edge_pins_detach(pin_dir, found, fault) < 0)
		return -1;
	for (int i = SW_HOOK_MAX - 1; i >= 0; i--) {
		const char *name = sw_hook_rows[i].link;
		sw_autoclose int fd = -1;
		int error;

		if (sw_pin_open(pin_dir, name, &fd) != SW_PIN_LINK)
			continue;
		*found = true;
		if (bpf_link_detach(fd) < 0)
			return sw_fault(fault, SW_EXIT_KERNEL, "cannot detach %s/%s: %s", pin_dir,
					name, strerror(errno));
		error = sw_pin_remove(pin_dir, name);
		if (error)
			return sw_fault(fault, SW_EXIT_KERNEL, "cannot remove %s/%s: %s", pin_dir,
					name, strerror(-error));
	}
	sw_pins_remove_objects(pin_dir);
	/* Whatever is not ours stays, and the folder with it. */
	rmdir(pin_dir);
	return 0;
}

int sw_kernel_detach(struct sw_kernel *kernel, struct sw_fault *fault)
{
	bool found;

	/* By descriptor too: a pin may be gone while its link is alive. */
	for (int i = SW_HOOK_MAX - 1; i >= 0; i--)
		if (kernel->links[i] >= 0)
			bpf_link_detach(kernel->links[i]);
	sw_edge_detach_all(kernel);
	return sw_pins_detach(kernel->pin_dir, &found, fault);
}
