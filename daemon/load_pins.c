/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * load_pins.c - what lies under PIN_DIR: whose it is, whether it can be gone on with, and putting
 * our own there. A pin says what was put there once, never that it is in force (load_hooks.c asks
 * the kernel for that).
 */
#include <dirent.h>
#include <errno.h>
#include <string.h>
#include <sys/stat.h>

#include "daemon/load_internal.h"

/* Objects are pinned in this folder first and renamed over what is there, so no name is missing
   at any time. */
#define NEW "new"
#define PATH_SIZE 4096

static int pin_path(char path[static PATH_SIZE], const char *pin_dir, const char *folder,
		    const char *name)
{
	int n = snprintf(path, PATH_SIZE, "%s/%s%s%s", pin_dir, folder, *folder ? "/" : "", name);

	return n < PATH_SIZE ? 0 : -ENAMETOOLONG;
}

/* A descriptor from a pin may be of any of three kinds; only its fdinfo says which. */
static enum sw_pin_kind kind_of(int fd)
{
	static const struct {
		const char *member;
		enum sw_pin_kind kind;
	} kinds[] = {{"map_type:", SW_PIN_MAP},
		     {"prog_type:", SW_PIN_PROGRAM},
		     {"link_type:", SW_PIN_LINK}};
	sw_autofclose FILE *info = NULL;
	char path[64], line[256];

	snprintf(path, sizeof(path), "/proc/self/fdinfo/%d", fd);
	info = fopen(path, "re");
	while (info && fgets(line, sizeof(line), info))
		for (size_t i = 0; i < sw_count(kinds); i++)
			if (strncmp(line, kinds[i].member, strlen(kinds[i].member)) == 0)
				return kinds[i].kind;
	return SW_PIN_OTHER;
}

enum sw_pin_kind sw_pin_open(const char *pin_dir, const char *name, int *fd)
{
	char path[PATH_SIZE];
	enum sw_pin_kind kind;

	*fd = -1;
	if (pin_path(path, pin_dir, "", name) < 0)
		return SW_PIN_OTHER;
	*fd = bpf_obj_get(path);
	if (*fd < 0) {
		*fd = -1;
		return errno == ENOENT ? SW_PIN_MISSING : SW_PIN_OTHER;
	}
	kind = kind_of(*fd);
	if (kind == SW_PIN_OTHER) {
		close(*fd);
		*fd = -1;
	}
	return kind;
}

int sw_pin_put(const char *pin_dir, const char *name, int fd)
{
	char folder[PATH_SIZE], from[PATH_SIZE], to[PATH_SIZE];

	if (pin_path(folder, pin_dir, "", NEW) < 0 || pin_path(from, pin_dir, NEW, name) < 0 ||
	    pin_path(to, pin_dir, "", name) < 0)
		return -ENAMETOOLONG;
	if (mkdir(folder, 0700) < 0 && errno != EEXIST)
		return -errno;
	unlink(from);
	if (bpf_obj_pin(fd, from) < 0)
		return -errno;
	if (rename(from, to) < 0) {
		int error = -errno;

		unlink(from);
		return error;
	}
	rmdir(folder);
	return 0;
}

int sw_pin_remove(const char *pin_dir, const char *name)
{
	char path[PATH_SIZE];

	if (pin_path(path, pin_dir, "", name) < 0)
		return -ENAMETOOLONG;
	return unlink(path) < 0 && errno != ENOENT ? -errno : 0;
}

/* What kind of object a name of ours stands for; SW_PIN_OTHER: not a name of ours. */
static enum sw_pin_kind kind_expected(const char *name)
{
	for (int i = 0; i < SW_MAP_MAX; i++)
		if (strcmp(name, sw_map_names[i]) == 0)
			return SW_PIN_MAP;
	if (strcmp(name, SW_WIPE_PROGRAM) == 0)
		return SW_PIN_PROGRAM;
	for (int i = 0; i < SW_HOOK_MAX; i++) {
		if (strcmp(name, sw_hook_rows[i].program) == 0)
			return SW_PIN_PROGRAM;
		if (strcmp(name, sw_hook_rows[i].link) == 0)
			return SW_PIN_LINK;
	}
	return sw_edge_pin_kind(name);
}

static int foreign(const struct sw_kernel *kernel, const char *name, const char *why,
		   struct sw_fault *fault)
{
	return sw_fault(
		fault, SW_EXIT_KERNEL,
		"%s/%s is not what smtpwalld would have put there (%s); nothing was changed. "
		"Move it away, or give smtpwalld a folder of its own with --pin-dir",
		kernel->pin_dir, name, why);
}

static int check_names(const struct sw_kernel *kernel, struct sw_fault *fault)
{
	DIR *dir = opendir(kernel->pin_dir);
	const struct dirent *entry;
	int result = 0;

	if (!dir)
		return sw_fault(fault, SW_EXIT_KERNEL, "cannot read the folder %s: %s",
				kernel->pin_dir, strerror(errno));
	while (result == 0 && (entry = readdir(dir))) {
		sw_autoclose int fd = -1;
		enum sw_pin_kind kind;

		if (entry->d_name[0] == '.' || strcmp(entry->d_name, NEW) == 0)
			continue;
		kind = kind_expected(entry->d_name);
		if (kind == SW_PIN_OTHER)
			result = foreign(kernel, entry->d_name, "an unknown name", fault);
		else if (sw_pin_open(kernel->pin_dir, entry->d_name, &fd) != kind)
			result = foreign(kernel, entry->d_name, "an object of another kind", fault);
	}
	closedir(dir);
	return result;
}

static int map_info(int fd, struct bpf_map_info *info)
{
	uint32_t size = sizeof(*info);

	memset(info, 0, sizeof(*info));
	return bpf_obj_get_info_by_fd(fd, info, &size) < 0 ? -errno : 0;
}

/* The first word of `head` is the ABI version in every version, the lowest bit of the second the active slot. */
static int head_abi(const struct sw_kernel *kernel, int fd, uint32_t *abi, uint64_t *cgroup_id,
		    struct sw_fault *fault)
{
	sw_autofree struct sw_head *head = NULL;
	struct bpf_map_info info;

	if (map_info(fd, &info) < 0 || info.type != BPF_MAP_TYPE_ARRAY || info.key_size != 4 ||
	    info.max_entries != 1 || info.value_size < offsetof(struct sw_head, confirm_before))
		return foreign(kernel, "head", "a map of another form", fault);
	/* The kernel writes the map's own value size. */
	head = calloc(1, info.value_size > sizeof(*head) ? info.value_size : sizeof(*head));
	if (!head)
		return sw_fault(fault, SW_EXIT_KERNEL, "out of memory");
	if (bpf_map_lookup_elem(fd, &(uint32_t){0}, head) < 0)
		return sw_fault(fault, SW_EXIT_KERNEL, "cannot read the map %s/head: %s",
				kernel->pin_dir, strerror(errno));
	*abi = head->abi;
	*cgroup_id = head->cgroup_id;
	return 0;
}

static int check_form(const struct sw_kernel *kernel, enum sw_map map, int fd,
		      struct sw_fault *fault)
{
	const struct bpf_map *want = kernel->maps[map];
	struct bpf_map_info info;

	if (map_info(fd, &info) < 0 || info.type != bpf_map__type(want) ||
	    info.key_size != bpf_map__key_size(want) ||
	    info.value_size != bpf_map__value_size(want) ||
	    info.max_entries != bpf_map__max_entries(want) ||
	    info.map_flags != bpf_map__map_flags(want))
		return foreign(kernel, sw_map_names[map], "a map of another form", fault);
	return 0;
}

/* Links that still hold a program on a cgroup: on ours, and on others. */
static void count_links(const struct sw_kernel *kernel, unsigned int *ours, unsigned int *others)
{
	*ours = *others = 0;
	for (int i = 0; i < SW_HOOK_MAX; i++) {
		sw_autoclose int fd = -1;
		struct bpf_link_info info;

		if (sw_pin_open(kernel->pin_dir, sw_hook_rows[i].link, &fd) != SW_PIN_LINK ||
		    sw_link_info(fd, &info) < 0 || !info.cgroup.cgroup_id)
			continue;
		if (info.cgroup.cgroup_id == kernel->cgroup_id)
			++*ours;
		else
			++*others;
	}
}

/* Can the pinned maps be gone on with? 1, 0: ours but not to be used, or -1 with a fault. */
static int judge_maps(const struct sw_kernel *kernel, const int fds[static SW_MAP_MAX],
		      struct sw_fault *fault)
{
	uint64_t cgroup_id = 0;
	uint32_t abi = 0;
	bool whole = true;

	if (fds[SW_MAP_HEAD] < 0)
		return 0;
	if (head_abi(kernel, fds[SW_MAP_HEAD], &abi, &cgroup_id, fault) < 0)
		return -1;
	if (abi > SW_ABI_VERSION)
		return sw_fault(fault, SW_EXIT_KERNEL,
				"what is pinned in %s is of a newer smtpwall (ABI %u, this one has "
				"%u); start that one, or take it off first: smtpwalld --detach "
				"--pin-dir %s",
				kernel->pin_dir, abi, SW_ABI_VERSION, kernel->pin_dir);
	/* Another cgroup without a link: that cgroup is gone, and with it what its policy was for. */
	if (abi < SW_ABI_VERSION || cgroup_id != kernel->cgroup_id)
		return 0;
	for (int i = 0; i < SW_MAP_MAX; i++) {
		whole &= fds[i] >= 0;
		if (fds[i] >= 0 && check_form(kernel, i, fds[i], fault) < 0)
			return -1;
	}
	return whole;
}

int sw_pins_inspect(struct sw_kernel *kernel, int fds[static SW_MAP_MAX], struct sw_fault *fault)
{
	unsigned int ours, others;
	int usable;

	if (check_names(kernel, fault) < 0)
		return -1;
	count_links(kernel, &ours, &others);
	if (others)
		return sw_fault(
			fault, SW_EXIT_KERNEL,
			"what is pinned in %s guards another cgroup than the one asked for; "
			"use another --pin-dir, or take it off first: smtpwalld --detach "
			"--pin-dir %s",
			kernel->pin_dir, kernel->pin_dir);
	for (int i = 0; i < SW_MAP_MAX; i++)
		sw_pin_open(kernel->pin_dir, sw_map_names[i], &fds[i]);
	usable = judge_maps(kernel, fds, fault);
	if (usable < 0)
		return -1;
	if (usable) {
		kernel->pins = SW_PINS_CURRENT;
		return 0;
	}
	for (int i = 0; i < SW_MAP_MAX; i++) {
		sw_close_cleanup(&fds[i]);
		fds[i] = -1;
	}
	kernel->pins = ours ? SW_PINS_REPLACE : SW_PINS_NONE;
	return 0;
}

int sw_pins_write(struct sw_kernel *kernel, struct sw_fault *fault)
{
	for (int i = 0; i < SW_HOOK_MAX; i++) {
		sw_autoclose int old = -1;
		struct bpf_prog_info info = {};
		uint32_t size = sizeof(info);
		int error;

		/* A pinned program that is in effect stays pinned. */
		if (sw_pin_open(kernel->pin_dir, sw_hook_rows[i].program, &old) == SW_PIN_PROGRAM &&
		    bpf_obj_get_info_by_fd(old, &info, &size) == 0 &&
		    info.id == kernel->program_ids[i])
			continue;
		error = sw_pin_put(kernel->pin_dir, sw_hook_rows[i].program, kernel->programs[i]);
		if (error)
			return sw_fault(fault, SW_EXIT_KERNEL, "cannot pin %s/%s: %s",
					kernel->pin_dir, sw_hook_rows[i].program, strerror(-error));
	}
	if (kernel->pinned[SW_HOOK_MAX] < 0) {
		int error = sw_pin_put(kernel->pin_dir, SW_WIPE_PROGRAM, kernel->wipe);

		if (error)
			return sw_fault(fault, SW_EXIT_KERNEL, "cannot pin %s/%s: %s",
					kernel->pin_dir, SW_WIPE_PROGRAM, strerror(-error));
	}
	for (int i = 0; i < SW_MAP_MAX && kernel->pins != SW_PINS_CURRENT; i++) {
		int error = sw_pin_put(kernel->pin_dir, sw_map_names[i], sw_map_fd(kernel, i));

		if (error)
			return sw_fault(fault, SW_EXIT_KERNEL, "cannot pin %s/%s: %s",
					kernel->pin_dir, sw_map_names[i], strerror(-error));
	}
	return 0;
}

void sw_pins_remove_objects(const char *pin_dir)
{
	/* Head first: what is left without it is not whole, should this be interrupted. */
	for (int i = SW_MAP_MAX - 1; i >= 0; i--)
		sw_pin_remove(pin_dir, sw_map_names[i]);
	for (int i = 0; i < SW_HOOK_MAX; i++)
		sw_pin_remove(pin_dir, sw_hook_rows[i].program);
	sw_pin_remove(pin_dir, SW_WIPE_PROGRAM);
	sw_edge_pins_remove_objects(pin_dir);
}
