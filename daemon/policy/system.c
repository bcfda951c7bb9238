/* SPDX-License-Identifier: GPL-2.0-or-later */
/* system.c - the machine a policy is checked against: its users, files, programs and units. */
#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <pwd.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "daemon/pages.h"
#include "daemon/policy/policy.h"
#include "daemon/policy/text.h"

#define FILE_BYTES_MAX ((off_t)64 << 20)
#define RECORD_BYTES_MAX ((size_t)16 << 20) /* of a user or group record: a group may be large */
#define BAR_WIDTH 30

/* Runs a look-up with ever more room until its record fits. */
struct lookup {
	const char *name;
	uint32_t id;
};

static int try_user(struct lookup *lookup, char *room, size_t size)
{
	struct passwd record, *found = NULL;
	int error = getpwnam_r(lookup->name, &record, room, size, &found);

	if (found)
		lookup->id = found->pw_uid;
	return found ? 0 : -error;
}

static int try_group(struct lookup *lookup, char *room, size_t size)
{
	struct group record, *found = NULL;
	int error = getgrnam_r(lookup->name, &record, room, size, &found);

	if (found)
		lookup->id = found->gr_gid;
	return found ? 0 : -error;
}

static int look_up(const char *name, uint32_t *id,
		   int (*try)(struct lookup *lookup, char *room, size_t size))
{
	struct lookup lookup = {.name = name, .id = UINT32_MAX};

	for (size_t size = 4096; size <= RECORD_BYTES_MAX; size *= 4) {
		sw_autofree char *room = malloc(size);
		int result = room ? try(&lookup, room, size) : -ENOMEM;

		if (result == -ERANGE)
			continue;
		if (result == 0 && lookup.id != UINT32_MAX) {
			*id = lookup.id;
			return 0;
		}
		/* what the C library may say for "not found", see getpwnam_r(3) */
		if (result == 0 || result == -ESRCH || result == -EBADF || result == -EPERM)
			return -ENOENT;
		return result;
	}
	return -ERANGE;
}

static int system_user(void *data, const char *name, uint32_t *id)
{
	(void)data;
	return look_up(name, id, try_user);
}

static int system_group(void *data, const char *name, uint32_t *id)
{
	(void)data;
	return look_up(name, id, try_group);
}

static int open_list(int dir_fd, const char *name, off_t *size)
{
	/* not to wait for a writer, should it be a FIFO */
	sw_autoclose int fd = openat(dir_fd, name, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
	struct stat status;

	if (fd < 0 || fstat(fd, &status) < 0)
		return -errno;
	if (S_ISDIR(status.st_mode))
		return -EISDIR;
	if (!S_ISREG(status.st_mode))
		return -EINVAL;
	if (status.st_size > FILE_BYTES_MAX)
		return -EFBIG;
	*size = status.st_size;
	return sw_take_fd(fd);
}

/* Up to `size` bytes; *got is how many there were. 0 or -errno. */
static int read_up_to(int fd, char *to, size_t size, size_t *got)
{
	*got = 0;
	while (*got < size) {
		ssize_t n = read(fd, to + *got, size - *got);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return -errno;
		if (n == 0)
			break;
		*got += (size_t)n;
	}
	return 0;
}

static int system_read_file(void *data, const char *name, char **text, size_t *length)
{
	const struct sw_system *system = data;
	off_t size = 0;
	sw_autoclose int fd = open_list(system->dir_fd, name, &size);
	sw_autofree char *bytes = NULL;
	size_t got;
	int error;

	if (fd < 0)
		return fd;
	bytes = malloc((size_t)size + 1);
	if (!bytes)
		return -ENOMEM;
	sw_pages_enlarge(bytes, (size_t)size + 1);
	error = read_up_to(fd, bytes, (size_t)size, &got);
	if (error)
		return error;
	bytes[got] = '\0';
	*text = sw_take(bytes);
	*length = got;
	return 0;
}

/* So much stays in the CPU's cache, and needs no new memory. */
#define PIECE_BYTES ((size_t)128 << 10)

static int system_sum_file(void *data, const char *name,
			   void (*piece)(void *to, const char *text, size_t length), void *to)
{
	const struct sw_system *system = data;
	off_t size = 0;
	sw_autoclose int fd = open_list(system->dir_fd, name, &size);
	sw_autofree char *bytes = malloc(PIECE_BYTES);
	int error = fd < 0 ? fd : bytes ? 0 : -ENOMEM;

	for (size_t left = (size_t)size, got = 1; !error && left && got; left -= got) {
		error = read_up_to(fd, bytes, left < PIECE_BYTES ? left : PIECE_BYTES, &got);
		if (!error)
			piece(to, bytes, got);
	}
	return error;
}

/* A folder with the sticky bit counts as well: others can put a file where none is yet. */
static bool others_write(const char *path)
{
	struct stat status;

	return stat(path, &status) == 0 && (status.st_uid != 0 || (status.st_mode & 022));
}

/* The first part of the path, from the root on, that others than root can write. */
static bool find_writable(const char *path, char where[static 4096])
{
	if (others_write("/")) {
		snprintf(where, 4096, "/");
		return true;
	}
	for (const char *end = path + 1; *end; end++) {
		end += strcspn(end, "/");
		snprintf(where, 4096, "%.*s", (int)(end - path), path);
		if (others_write(where))
			return true;
		if (!*end)
			break;
	}
	return false;
}

static int system_program(void *data, const char *path, const char **where)
{
	struct sw_system *system = data;
	sw_autofree char *real = realpath(path, NULL);
	struct stat status;

	*where = system->where;
	if (!real)
		return errno == ENOENT || errno == ENOTDIR ? -ENOENT : 0;
	if (strcmp(real, path) != 0) {
		snprintf(system->where, sizeof(system->where), "%s", real);
		return -ELOOP;
	}
	if (stat(path, &status) < 0)
		return errno == ENOENT ? -ENOENT : 0;
	if (!S_ISREG(status.st_mode) || !(status.st_mode & 0111))
		return -EACCES;
	return find_writable(path, system->where) ? -EPERM : 0;
}

static const char *const unit_dirs[] = {
	"/etc/systemd/system",    "/run/systemd/system",           "/run/systemd/transient",
	"/run/systemd/generator", "/usr/local/lib/systemd/system", "/usr/lib/systemd/system",
	"/lib/systemd/system",
};

static bool unit_file_exists(const char *name)
{
	for (size_t i = 0; i < sw_count(unit_dirs); i++) {
		char path[600];
		struct stat status;

		if (snprintf(path, sizeof(path), "%s/%s", unit_dirs[i], name) < (int)sizeof(path) &&
		    lstat(path, &status) == 0)
			return true;
	}
	return false;
}

static bool has_systemd(void)
{
	for (size_t i = 0; i < sw_count(unit_dirs); i++)
		if (access(unit_dirs[i], F_OK) == 0)
			return true;
	return false;
}

/* foo@bar.service is made from foo@.service. */
static bool template_of(const char *name, char template[static 300])
{
	const char *at = strchr(name, '@'), *dot = strrchr(name, '.');

	if (!at || !dot || dot < at)
		return false;
	return snprintf(template, 300, "%.*s@%s", (int)(at - name), name, dot) < 300;
}

static int system_unit(void *data, const char *name)
{
	const char *dot = strrchr(name, '.');
	char template[300];

	(void)data;
	/* scopes are made at run time and have no file */
	if ((dot && strcmp(dot, ".scope") == 0) || !has_systemd())
		return 0;
	if (strchr(name, '/'))
		return -ENOENT;
	if (unit_file_exists(name) || (template_of(name, template) && unit_file_exists(template)))
		return 0;
	return -ENOENT;
}

/* Lines of "name: counters", of the caller's network namespace; what is mounted on /sys may show another's. */
static int system_interface(void *data, const char *name)
{
	sw_autofree char *line = NULL;
	sw_autofclose FILE *list = fopen("/proc/net/dev", "re");
	size_t size = 0, length = strlen(name);
	int found = -ENOENT;

	(void)data;
	if (!list)
		return 0;
	while (found && getline(&line, &size, list) > 0) {
		const char *at = line + strspn(line, " ");

		if (strncmp(at, name, length) == 0 && at[length] == ':')
			found = 0;
	}
	return found;
}

static void system_progress(void *data, const char *what, size_t done, size_t total)
{
	static const char full[] = "##############################";
	struct sw_system *system = data;
	int filled = total ? (int)(done * BAR_WIDTH / total) : BAR_WIDTH;
	char name[41];

	static_assert(sizeof(full) == BAR_WIDTH + 1, "as wide as the bar");
	if (!system->show_progress || (done >= total && !system->drawn))
		return;
	system->drawn = done < total;
	if (!system->drawn) {
		fputs("\r\033[K", stderr);
		return;
	}
	sw_text_escape(what, strlen(what), name, sizeof(name));
	fprintf(stderr, "\r%s [%.*s%*s] %zu %%", name, filled, full, BAR_WIDTH - filled, "",
		done * 100 / total);
	fflush(stderr);
}

void sw_system_world(struct sw_system *system, struct sw_world *world)
{
	*world = (struct sw_world){
		.data = system,
		.user = system_user,
		.group = system_group,
		.read_file = system_read_file,
		.program = system_program,
		.unit = system_unit,
		.interface = system_interface,
		.progress = system_progress,
	};
}

void sw_system_world_of_sum(struct sw_system *system, struct sw_world *world)
{
	sw_system_world(system, world);
	world->sum_file = system_sum_file;
}
