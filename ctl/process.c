/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "ctl/process.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "daemon/base.h"

#define DELETED " (deleted)"

char *sw_read_whole(const char *path)
{
	sw_autofclose FILE *from = fopen(path, "re");
	sw_autofree char *text = NULL;
	size_t size = 0;

	/* Nothing in /proc that is read here holds a NUL, so one piece is the whole. */
	if (!from || (getdelim(&text, &size, '\0', from) < 0 && !feof(from)))
		return NULL;
	return text ? sw_take(text) : strdup("");
}

void sw_process_free(struct sw_process *process)
{
	free(process->exe);
	free(process->cgroup);
	free(process->groups);
}

/* Behind "NAME:" at the start of a line; NULL when there is no such line. */
static const char *line_of(const char *text, const char *name)
{
	size_t n = strlen(name);

	while (text) {
		if (!strncmp(text, name, n) && text[n] == ':')
			return text + n + 1;
		text = strchr(text, '\n');
		text = text ? text + 1 : NULL;
	}
	return NULL;
}

/* Real, effective, saved and file system id: the second is what the kernel side looks at. */
static int effective_id(const char *status, const char *name, uint32_t *id)
{
	const char *line = line_of(status, name);

	return line && sscanf(line, "%*u %u", id) == 1 ? 0 : -EBADMSG;
}

static int read_groups(const char *line, struct sw_process *process)
{
	size_t n = strcspn(line, "\n");
	const char *end = line + n;
	char *next;

	/* A number and the space behind it take two characters at least. */
	process->groups = calloc(n / 2 + 1, sizeof(*process->groups));
	if (!process->groups)
		return -ENOMEM;
	for (;;) {
		unsigned long id = strtoul(line, &next, 10);

		/* The line may be empty: strtoul() then goes on to the next one. */
		if (next == line || next > end)
			return 0;
		process->groups[process->n_groups++] = (uint32_t)id;
		line = next;
	}
}

int sw_process_ids(const char *status, struct sw_process *process)
{
	const char *groups = line_of(status, "Groups");

	if (effective_id(status, "Uid", &process->uid) ||
	    effective_id(status, "Gid", &process->gid) || !groups)
		return -EBADMSG;
	return read_groups(groups, process);
}

char *sw_process_cgroup(const char *cgroup)
{
	const char *line = line_of(cgroup, "0:");

	return line ? strndup(line, strcspn(line, "\n")) : NULL;
}

bool sw_mount_listed(const char *mountinfo, uint64_t id)
{
	while (mountinfo && *mountinfo) {
		char *end;

		if (strtoull(mountinfo, &end, 10) == id && end != mountinfo)
			return true;
		mountinfo = strchr(mountinfo, '\n');
		mountinfo = mountinfo ? mountinfo + 1 : NULL;
	}
	return false;
}

const char *sw_path_below(const char *path, const char *root)
{
	size_t n = strlen(root);

	if (n && root[n - 1] == '/')
		n--;
	if (strncmp(path, root, n) || (path[n] && path[n] != '/'))
		return NULL;
	return path[n] ? path + n : "/";
}

/* The fields of mountinfo(5) write space, tab, newline and backslash in octal. */
static void undo_octal(char *text)
{
	char *to = text;

	for (; *text; text++) {
		unsigned int byte;

		if (text[0] == '\\' && sscanf(text + 1, "%3o", &byte) == 1) {
			*to++ = (char)byte;
			text += 3;
		} else {
			*to++ = *text;
		}
	}
	*to = '\0';
}

/* A line of mountinfo(5). */
struct mount {
	uint64_t id;
	char *device; /* "major:minor" of the file system */
	char *root;   /* which folder of the file system is mounted */
	char *point;  /* where, as seen from the root of the process */
	char *type;
};

#define MOUNT_NONE                                                                                 \
	{                                                                                          \
		0                                                                                  \
	}

static void mount_free(struct mount *mount)
{
	free(mount->device);
	free(mount->root);
	free(mount->point);
	free(mount->type);
}

/* The file or folder that was mounted is gone since. It keeps its name here, as in the kernel side. */
static void undo_gone(char *root)
{
	static const char gone[] = "//deleted";
	size_t n = strlen(root);

	if (n > strlen(gone) && !strcmp(root + n - strlen(gone), gone))
		root[n - strlen(gone)] = '\0';
}

static bool mount_read(const char *line, struct mount *mount)
{
	if (sscanf(line, "%" SCNu64 " %*u %ms %ms %ms %*[^\n-]- %ms", &mount->id, &mount->device,
		   &mount->root, &mount->point, &mount->type) != 5)
		return false;
	undo_octal(mount->root);
	undo_octal(mount->point);
	undo_gone(mount->root);
	return true;
}

/* Where on its file system lies what a process sees as `path`? NULL: not on this mount. */
static char *on_file_system(const struct mount *mount, const char *path)
{
	const char *rest = sw_path_below(path, mount->point);
	char *joined = NULL;

	if (!rest)
		return NULL;
	if (!strcmp(mount->root, "/"))
		return strdup(rest);
	if (!strcmp(rest, "/"))
		return strdup(mount->root);
	return asprintf(&joined, "%s%s", mount->root, rest) < 0 ? NULL : joined;
}

static char *below_mount(const char *line, const char *path)
{
	struct mount mount __attribute__((cleanup(mount_free))) = MOUNT_NONE;

	if (!mount_read(line, &mount) || strcmp(mount.type, "cgroup2"))
		return NULL;
	return on_file_system(&mount, path);
}

char *sw_cgroup_of_folder(const char *mountinfo, const char *path)
{
	while (mountinfo && *mountinfo) {
		char *found = below_mount(mountinfo, path);

		if (found)
			return found;
		mountinfo = strchr(mountinfo, '\n');
		mountinfo = mountinfo ? mountinfo + 1 : NULL;
	}
	return NULL;
}

/* The mount with this id; NULL: that of the root folder, which a later one at "/" only lies over. */
static bool mount_find(const char *mountinfo, const uint64_t *id, struct mount *mount)
{
	while (mountinfo && *mountinfo) {
		struct mount one __attribute__((cleanup(mount_free))) = MOUNT_NONE;

		if (mount_read(mountinfo, &one) && (id ? one.id == *id : !strcmp(one.point, "/"))) {
			*mount = one;
			one = (struct mount)MOUNT_NONE;
			return true;
		}
		mountinfo = strchr(mountinfo, '\n');
		mountinfo = mountinfo ? mountinfo + 1 : NULL;
	}
	return false;
}

int sw_host_name(const char *theirs, uint64_t id, const char *path, const char *host, char **name)
{
	struct mount mount __attribute__((cleanup(mount_free))) = MOUNT_NONE;
	struct mount root __attribute__((cleanup(mount_free))) = MOUNT_NONE;
	sw_autofree char *place = NULL;
	const char *below;

	if (!mount_find(theirs, &id, &mount) || !sw_path_below(path, mount.point) ||
	    !mount_find(host, NULL, &root))
		return -ENOENT;
	if (strcmp(mount.device, root.device))
		return -EXDEV;
	place = on_file_system(&mount, path);
	if (!place)
		return -ENOMEM;
	below = sw_path_below(place, root.root);
	if (!below)
		return -EXDEV;
	*name = strdup(below);
	return *name ? 0 : -ENOMEM;
}

/* "/proc/PID/NAME". */
static const char *of_pid(pid_t pid, const char *name, char to[static 64])
{
	snprintf(to, 64, "/proc/%d/%s", (int)pid, name);
	return to;
}

static pid_t parent_of(pid_t pid)
{
	char path[64];
	sw_autofree char *status = sw_read_whole(of_pid(pid, "status", path));
	const char *line = status ? line_of(status, "PPid") : NULL;

	return line ? (pid_t)strtol(line, NULL, 10) : 0;
}

/* As sw_host_name(), for a path as /proc shows it to us: from the top of the tree of mounts. */
static int host_name_by(pid_t pid, uint64_t mount, const char *exe, const char *host, char **name)
{
	char path[64], root[PATH_MAX + 1];
	sw_autofree char *theirs = sw_read_whole(of_pid(pid, "mountinfo", path));
	ssize_t n = readlink(of_pid(pid, "root", path), root, sizeof(root) - 1);
	const char *seen;

	if (!theirs || n <= 0)
		return -ENOENT;
	root[n] = '\0';
	seen = sw_path_below(exe, root);
	return seen ? sw_host_name(theirs, mount, seen, host, name) : -ENOENT;
}

/*
 * A process in a chroot is not shown the mounts outside of it. Mail servers put their children into
 * one, and the parent, which started them from the same mount, is outside.
 */
static int host_name_of(pid_t pid, uint64_t mount, const char *exe, const char *host, char **name)
{
	int r = -ENOENT;

	for (; pid > 0 && r == -ENOENT; pid = parent_of(pid))
		r = host_name_by(pid, mount, exe, host, name);
	return r;
}

/* A file may be named like that: only one that is gone has lost its last name. `root` stands before
   the path where it is not one of ours. */
static bool undo_deleted(char *exe, const char *root)
{
	size_t n = strlen(exe);
	sw_autofree char *path = NULL;

	if (n <= strlen(DELETED) || strcmp(exe + n - strlen(DELETED), DELETED) != 0 ||
	    asprintf(&path, "%s%s", root, exe) < 0 || !access(path, F_OK))
		return false;
	exe[n - strlen(DELETED)] = '\0';
	return true;
}

static void read_exe(pid_t pid, struct sw_process *process)
{
	char path[64], exe[PATH_MAX + sizeof(DELETED)];
	ssize_t n = readlink(of_pid(pid, "exe", path), exe, sizeof(exe) - 1);
	sw_autofree char *host = NULL;
	struct statx file;

	if (n <= 0)
		return;
	exe[n] = '\0';
	host = sw_read_whole("/proc/1/mountinfo");
	/* The mount of the file, not of the process: a program keeps the mount it was started from. */
	if (!host || !*host || statx(AT_FDCWD, path, 0, STATX_MNT_ID, &file) ||
	    sw_mount_listed(host, file.stx_mnt_id)) {
		process->exe_deleted = undo_deleted(exe, "");
		process->exe = strdup(exe);
		return;
	}
	process->exe_deleted = undo_deleted(exe, of_pid(pid, "root", path));
	process->exe_foreign =
		host_name_of(pid, file.stx_mnt_id, exe, host, &process->exe) == -EXDEV;
}

int sw_process_read(pid_t pid, struct sw_process *process)
{
	sw_autofree char *status = NULL, *cgroup = NULL;
	char path[64];
	int r;

	status = sw_read_whole(of_pid(pid, "status", path));
	if (!status)
		return errno == ENOENT || errno == ESRCH ? -ESRCH : -errno;
	r = sw_process_ids(status, process);
	if (r)
		return r;
	cgroup = sw_read_whole(of_pid(pid, "cgroup", path));
	if (cgroup)
		process->cgroup = sw_process_cgroup(cgroup);
	read_exe(pid, process);
	return 0;
}
