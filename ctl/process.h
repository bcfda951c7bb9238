/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * process.h - what /proc says about a process, in the terms of the policy. The kernel side finds
 * the same facts itself; this is for explaining (`why --pid`), never for deciding.
 */
#ifndef SW_PROCESS_H
#define SW_PROCESS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

struct sw_process {
	char *exe;        /* as the host names it; NULL: none (a kernel thread) or not to be told */
	bool exe_deleted; /* removed or replaced since it was started */
	bool exe_foreign; /* the host has no name for it; exe is NULL */
	char *cgroup;     /* in the cgroup-v2 tree, "/a/b"; NULL: not found */
	uint32_t uid, gid; /* effective */
	uint32_t *groups;
	size_t n_groups;
};

#define SW_PROCESS_NONE                                                                            \
	{                                                                                          \
		0                                                                                  \
	}
#define sw_autoprocess __attribute__((cleanup(sw_process_free)))

/* 0; -ESRCH: no such process; -errno. */
int sw_process_read(pid_t pid, struct sw_process *process);
void sw_process_free(struct sw_process *process);

/* The parts that need no machine. Each takes the text of a file in /proc. */

/* `status`: effective ids and groups. 0, -EBADMSG or -ENOMEM. */
int sw_process_ids(const char *status, struct sw_process *process);

/* `cgroup`: the path of the line "0::", malloc'ed; NULL when there is none. */
char *sw_process_cgroup(const char *cgroup);

/* `mountinfo`: is there a mount with this id? */
bool sw_mount_listed(const char *mountinfo, uint64_t id);

/*
 * How the host names a file that was started from a mount of another mount namespace: by its place on
 * the host's root file system, whatever is mounted where. `theirs` is the mountinfo of a process that
 * has the mount `id`, `path` the file as that process sees it, `host` the mountinfo of process 1.
 * 0 and *name, malloc'ed; -ENOENT: `theirs` does not tell; -EXDEV: it lies elsewhere and has no name;
 * -ENOMEM.
 */
int sw_host_name(const char *theirs, uint64_t id, const char *path, const char *host, char **name);

/*
 * `mountinfo`: where in the cgroup-v2 tree the folder `path` lies ("/" for its root), malloc'ed;
 * NULL when it lies in no cgroup-v2 mount.
 */
char *sw_cgroup_of_folder(const char *mountinfo, const char *path);

/* `path` as seen from `root`, "/" for root itself; both are absolute. NULL: not below it. Points
   into `path`. */
const char *sw_path_below(const char *path, const char *root);

/* Whole contents of a file, malloc'ed; NULL and errno. */
char *sw_read_whole(const char *path);

#endif
