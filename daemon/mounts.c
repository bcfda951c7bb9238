/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <errno.h>
#include <fcntl.h>
#include <fts.h>
#include <linux/magic.h>
#include <stdbool.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/vfs.h>

#include "daemon/mounts.h"

#define USUAL_BPFFS "/sys/fs/bpf"

/* mountinfo writes blank, tab, newline and backslash in octal. In place. */
static void unescape(char *text)
{
	char *to = text;

	for (const char *at = text; *at; to++) {
		unsigned int value;

		if (at[0] == '\\' && sscanf(at + 1, "%3o", &value) == 1) {
			*to = (char)value;
			at += 4;
		} else {
			*to = *at++;
		}
	}
	*to = '\0';
}

/* A line is: id parent dev root point options [optional...] - type source options. */
static bool parse_line(char *line, char **root, char **point, char **type)
{
	char *fields[5], *save = NULL;

	for (int i = 0; i < 5; i++) {
		fields[i] = strtok_r(i ? NULL : line, " \n", &save);
		if (!fields[i])
			return false;
	}
	for (char *field; (field = strtok_r(NULL, " \n", &save));) {
		if (strcmp(field, "-") == 0) {
			*root = fields[3];
			*point = fields[4];
			*type = strtok_r(NULL, " \n", &save);
			return *type != NULL;
		}
	}
	return false;
}

char *sw_mounts_find_cgroup2(FILE *mountinfo)
{
	sw_autofree char *line = NULL;
	size_t size = 0;

	while (getline(&line, &size, mountinfo) >= 0) {
		char *root, *point, *type;

		/* A bind mount of a part of the hierarchy guards less than it seems to. */
		if (!parse_line(line, &root, &point, &type) || strcmp(type, "cgroup2") != 0 ||
		    strcmp(root, "/") != 0)
			continue;
		unescape(point);
		return strdup(point);
	}
	return NULL;
}

char *sw_cgroup2_root(struct sw_fault *fault)
{
	sw_autofclose FILE *mountinfo = fopen("/proc/self/mountinfo", "re");
	char *root;

	if (!mountinfo) {
		sw_fault(fault, SW_EXIT_KERNEL, "cannot read /proc/self/mountinfo: %s",
			 strerror(errno));
		return NULL;
	}
	root = sw_mounts_find_cgroup2(mountinfo);
	if (!root)
		sw_fault(fault, SW_EXIT_KERNEL,
			 "no cgroup2 file system is mounted here; mount one (mount -t cgroup2 none "
			 "DIR) "
			 "or say where with --cgroup");
	return root;
}

int sw_cgroup_open(const char *path, struct sw_fault *fault)
{
	sw_autoclose int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	struct statfs fs;

	if (fd < 0)
		return sw_fault(fault, SW_EXIT_KERNEL, "cannot open the cgroup %s: %s", path,
				strerror(errno));
	if (fstatfs(fd, &fs) < 0 || fs.f_type != CGROUP2_SUPER_MAGIC)
		return sw_fault(fault, SW_EXIT_KERNEL,
				"%s is not a folder of a cgroup2 file system", path);
	return sw_take_fd(fd);
}

static int by_id(const void *a, const void *b)
{
	uint64_t left = *(const uint64_t *)a, right = *(const uint64_t *)b;

	return left < right ? -1 : left > right;
}

/* A folder's inode number is the cgroup's id. Cgroups come and go during the walk: one that is gone
   is passed over. */
static int collect_ids(FTS *walk, uint64_t **ids, size_t *n)
{
	size_t room = 0;

	for (const FTSENT *entry; (entry = fts_read(walk));) {
		if (entry->fts_info != FTS_D)
			continue;
		if (*n == room) {
			uint64_t *more = reallocarray(*ids, room = 2 * room + 64, sizeof(*more));

			if (!more)
				return -ENOMEM;
			*ids = more;
		}
		(*ids)[(*n)++] = entry->fts_statp->st_ino;
	}
	return 0;
}

int sw_cgroup_tree(const char *path, uint64_t **ids, size_t *n, struct sw_fault *fault)
{
	char *const paths[] = {(char *)path, NULL};
	sw_autofree char *events = NULL;
	FTS *walk;
	int error;

	*ids = NULL;
	*n = 0;
	if (asprintf(&events, "%s/cgroup.events", path) < 0)
		return sw_fault(fault, SW_EXIT_KERNEL, "out of memory");
	/* Every cgroup but the root has this file. */
	if (access(events, F_OK) < 0)
		return 0;
	walk = fts_open(paths, FTS_PHYSICAL | FTS_NOCHDIR, NULL);
	if (!walk)
		return sw_fault(fault, SW_EXIT_KERNEL, "cannot read the cgroup %s: %s", path,
				strerror(errno));
	error = collect_ids(walk, ids, n);
	fts_close(walk);
	if (error) {
		free(*ids);
		*ids = NULL;
		return sw_fault(fault, SW_EXIT_KERNEL, "out of memory");
	}
	if (*ids)
		qsort(*ids, *n, sizeof(**ids), by_id);
	return 0;
}

static bool is_bpffs(const char *path)
{
	struct statfs fs;

	return statfs(path, &fs) == 0 && fs.f_type == BPF_FS_MAGIC;
}

static bool in_first_mount_namespace(void)
{
	struct stat own, first;

	return stat("/proc/self/ns/mnt", &own) == 0 && stat("/proc/1/ns/mnt", &first) == 0 &&
	       own.st_dev == first.st_dev && own.st_ino == first.st_ino;
}

static int mount_usual(struct sw_fault *fault)
{
	if (!in_first_mount_namespace())
		return sw_fault(fault, SW_EXIT_KERNEL,
				"no bpf file system is mounted at " USUAL_BPFFS
				", and one mounted from this mount namespace would end with the "
				"daemon; mount it on the host: mount -t bpf bpf " USUAL_BPFFS);
	if (mount("bpf", USUAL_BPFFS, "bpf", MS_NOSUID | MS_NODEV | MS_NOEXEC, "mode=0700") < 0)
		return sw_fault(fault, SW_EXIT_KERNEL,
				"cannot mount a bpf file system at " USUAL_BPFFS ": %s",
				strerror(errno));
	return 0;
}

int sw_pin_dir_make(const char *path, struct sw_fault *fault)
{
	sw_autofree char *parent = strdup(path);
	char *slash;

	if (!parent)
		return sw_fault(fault, SW_EXIT_KERNEL, "out of memory");
	while ((slash = strrchr(parent, '/')) && slash != parent && !slash[1])
		*slash = '\0';
	if (!slash || path[0] != '/')
		return sw_fault(fault, SW_EXIT_USAGE, "--pin-dir %s is not an absolute path", path);
	slash[slash == parent] = '\0';
	if (!is_bpffs(parent) && strcmp(parent, USUAL_BPFFS) == 0 && mount_usual(fault) < 0)
		return -1;
	if (mkdir(path, 0700) == 0 || errno == EEXIST) {
		if (is_bpffs(path))
			return 0;
		rmdir(path);
		return sw_fault(fault, SW_EXIT_KERNEL,
				"%s does not lie on a bpf file system; mount one there: "
				"mount -t bpf bpf %s",
				path, parent);
	}
	return sw_fault(fault, SW_EXIT_KERNEL, "cannot make the folder %s for the pins: %s", path,
			strerror(errno));
}
