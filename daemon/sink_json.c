/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * sink_json.c - events as lines of JSON in a file.
 *
 * A batch is one write(), so a line is whole for whoever reads, also when the file is truncated under us.
 * What was written of a batch that did not go through (a full disk) is cut off again: the batch comes
 * once more, as a whole.
 *
 * The file is opened anew when its name leads to another one, or to none: then it was rotated.
 */
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>

#include "daemon/ecs.h"
#include "daemon/proto.h"
#include "daemon/record_json.h"
#include "daemon/sink_json.h"

/* Members of this group may read what the daemon knows. */
#define READERS_GROUP "smtpwall"

/* How often a batch is written anew because its file was deleted meanwhile. */
#define TRIES 8

struct json_sink {
	char *path;
	bool ecs;
	gid_t readers; /* -1: there is no such group */
	int fd;        /* -1: not open */
	off_t excess;  /* bytes at the end of `fd` that could not be cut off yet */

	FILE *batch; /* NULL: no memory */
	char *lines;
	size_t size;
	bool incomplete; /* no memory for one of the lines */
};

/* ---- the file ---- */

/* The daemon has given up CAP_DAC_OVERRIDE when it opens the file the next time, so what belongs to
   another user would be out of reach then. */
static int check_owner(const char *path, const struct stat *st, struct sw_fault *fault)
{
	if (st->st_uid == geteuid())
		return 0;
	return sw_fault(fault, SW_EXIT_KERNEL,
			"%s belongs to user %u: smtpwalld, which keeps no right to write others' "
			"files, needs a file and a folder of its own",
			path, (unsigned int)st->st_uid);
}

static int check_folder(const char *path, struct sw_fault *fault)
{
	const char *slash = strrchr(path, '/');
	sw_autofree char *folder = slash ? strndup(path, (size_t)(slash - path) + 1) : strdup(".");
	struct stat st;

	if (!folder)
		return sw_fault(fault, SW_EXIT_KERNEL, "out of memory");
	if (stat(folder, &st) < 0)
		return sw_fault(fault, SW_EXIT_KERNEL,
				"cannot write to %s: its folder: %s; make it, or give another file "
				"with --json-file",
				path, strerror(errno));
	return check_owner(folder, &st, fault);
}

/* What was cut off by a crash stays by itself on its line. */
static int begin_line(int fd, off_t size)
{
	char last = '\n';

	if (size > 0 && pread(fd, &last, 1, size - 1) == 1 && last != '\n' &&
	    write(fd, "\n", 1) != 1)
		return -errno;
	return 0;
}

static int prepare(struct json_sink *sink, int fd, bool made, struct sw_fault *fault)
{
	struct stat st;
	int error;

	if (fstat(fd, &st) < 0)
		return sw_fault(fault, SW_EXIT_KERNEL, "cannot look at %s: %s", sink->path,
				strerror(errno));
	if (!S_ISREG(st.st_mode))
		return sw_fault(fault, SW_EXIT_KERNEL,
				"%s is no regular file: give another one with --json-file",
				sink->path);
	if (check_owner(sink->path, &st, fault) < 0)
		return -1;
	/* Whatever the umask was. Only a daemon that starts may give the file to a group that it is no
	   member of; later ones have the group of a folder with the setgid bit, or are made by logrotate. */
	if (made && fchmod(fd, 0640) == 0 && sink->readers != (gid_t)-1 && !(st.st_mode & S_ISGID))
		(void)!fchown(fd, (uid_t)-1, sink->readers);
	error = begin_line(fd, st.st_size);
	if (error < 0)
		return sw_fault(fault, SW_EXIT_KERNEL, "cannot write to %s: %s", sink->path,
				strerror(-error));
	return 0;
}

/* O_NONBLOCK: nobody need read from a FIFO of that name. */
#define OPEN_FLAGS (O_RDWR | O_APPEND | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY)

static int open_file(struct json_sink *sink, struct sw_fault *fault)
{
	bool made = true;
	sw_autoclose int fd = open(sink->path, OPEN_FLAGS | O_CREAT | O_EXCL, 0640);

	if (fd < 0 && errno == EEXIST) {
		made = false;
		fd = open(sink->path, OPEN_FLAGS);
	}
	if (fd < 0 && errno == ELOOP)
		return sw_fault(fault, SW_EXIT_KERNEL,
				"%s is a symbolic link: name the file itself with --json-file",
				sink->path);
	if (fd < 0)
		return sw_fault(fault, SW_EXIT_KERNEL,
				"cannot open %s: %s; file and folder should belong to root and be "
				"writable",
				sink->path, strerror(errno));
	if (prepare(sink, fd, made, fault) < 0)
		return -1;
	sink->fd = sw_take_fd(fd);
	return 0;
}

static bool name_leads_here(const struct json_sink *sink)
{
	struct stat named, opened;

	return lstat(sink->path, &named) == 0 && fstat(sink->fd, &opened) == 0 &&
	       named.st_ino == opened.st_ino && named.st_dev == opened.st_dev;
}

static void close_file(struct json_sink *sink)
{
	sw_close_cleanup(&sink->fd);
	sink->fd = -1;
}

static int cut_back(struct json_sink *sink)
{
	struct stat st;

	if (!sink->excess)
		return 0;
	if (fstat(sink->fd, &st) < 0)
		return -1;
	/* Shorter than what we wrote: somebody has truncated it since. */
	if (st.st_size >= sink->excess && ftruncate(sink->fd, st.st_size - sink->excess) < 0)
		return -1;
	sink->excess = 0;
	return 0;
}

/* The file that the name leads to is open, and ends behind a whole line. */
static int ready(struct json_sink *sink, struct sw_fault *fault)
{
	if (sink->fd >= 0 && cut_back(sink) < 0)
		return sw_fault(fault, SW_EXIT_KERNEL,
				"cannot cut a half line off the end of %s: %s", sink->path,
				strerror(errno));
	if (sink->fd >= 0 && name_leads_here(sink))
		return 0;
	close_file(sink);
	return open_file(sink, fault);
}

static int write_lines(struct json_sink *sink, struct sw_fault *fault)
{
	size_t done = 0;
	int error;

	while (done < sink->size) {
		ssize_t n = write(sink->fd, sink->lines + done, sink->size - done);

		if (n > 0) {
			done += (size_t)n;
			continue;
		}
		if (n < 0 && errno == EINTR)
			continue;
		error = n < 0 ? errno : ENOSPC;
		sink->excess = (off_t)done;
		(void)cut_back(sink); /* or before the next batch */
		return sw_fault(
			fault, SW_EXIT_KERNEL, "cannot write to %s: %s; %s", sink->path,
			strerror(error),
			error == ENOSPC || error == EDQUOT
				? "make room there: events wait in memory as long as it lasts"
				: "it is tried again");
	}
	return 0;
}

static bool is_deleted(const struct json_sink *sink)
{
	struct stat st;

	return fstat(sink->fd, &st) == 0 && st.st_nlink == 0;
}

/* ---- batches ---- */

static void drop_batch(struct json_sink *sink)
{
	if (sink->batch)
		fclose(sink->batch);
	sink->batch = NULL;
	free(sink->lines);
	sink->lines = NULL;
	sink->size = 0;
}

static void begin(void *data)
{
	struct json_sink *sink = data;

	drop_batch(sink);
	sink->batch = open_memstream(&sink->lines, &sink->size);
	sink->incomplete = !sink->batch;
}

/* Takes the object. */
static void put_line(struct json_sink *sink, json_t *object)
{
	if (!object || !sink->batch || json_dumpf(object, sink->batch, JSON_COMPACT) < 0 ||
	    putc('\n', sink->batch) == EOF)
		sink->incomplete = true;
	json_decref(object);
}

static void put(void *data, const struct sw_record *record)
{
	struct json_sink *sink = data;

	put_line(sink, sink->ecs ? sw_ecs_json(record) : sw_record_json(record));
}

/* As in the answer to `events`. */
static json_t *native_lost(uint64_t time_ns, uint64_t first, uint64_t n)
{
	char time[SW_TIME_SIZE];

	sw_time_format(time_ns, time);
	return json_pack("{s:s, s:I, s:I}", "time", time, "lost", (json_int_t)n, "first",
			 (json_int_t)first);
}

static void lost(void *data, uint64_t first, uint64_t n)
{
	struct json_sink *sink = data;
	struct timespec now;
	uint64_t ns;

	clock_gettime(CLOCK_REALTIME, &now);
	ns = (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
	put_line(sink, sink->ecs ? sw_ecs_lost(ns, first, n) : native_lost(ns, first, n));
}

static int write_batch(struct json_sink *sink, struct sw_fault *fault)
{
	/* A file that was deleted while we wrote takes the batch with it. */
	for (int i = 0; i < TRIES; i++) {
		if (ready(sink, fault) < 0 || write_lines(sink, fault) < 0)
			return -1;
		if (!is_deleted(sink))
			return 0;
	}
	return sw_fault(fault, SW_EXIT_KERNEL, "%s is deleted again and again", sink->path);
}

static int commit(void *data, struct sw_fault *fault)
{
	struct json_sink *sink = data;
	int result;

	if (sink->batch && fclose(sw_take(sink->batch)) != 0)
		sink->incomplete = true;
	if (sink->incomplete)
		return sw_fault(fault, SW_EXIT_KERNEL, "out of memory for the lines of %s",
				sink->path);
	result = write_batch(sink, fault);
	drop_batch(sink);
	return result;
}

/* Whatever goes wrong here is told by the next batch, which needs the file. */
static void look_again(void *data)
{
	struct sw_fault ignored;

	(void)ready(data, &ignored);
}

static void reopen(void *data)
{
	struct json_sink *sink = data;

	if (cut_back(sink) == 0)
		close_file(sink);
	look_again(sink);
}

static void json_close(void *data)
{
	struct json_sink *sink = data;

	drop_batch(sink);
	close_file(sink);
	free(sink->path);
	free(sink);
}

const struct sw_sink_calls sw_sink_json = {
	.name = "json",
	.interval_usec = 100000,
	.begin = begin,
	.lost = lost,
	.put = put,
	.commit = commit,
	.tick = look_again,
	.reopen = reopen,
	.close = json_close,
};

int sw_sink_json_open(const struct sw_options *options, void **data, struct sw_fault *fault)
{
	const struct group *readers = getgrnam(READERS_GROUP);
	struct json_sink *sink;

	*data = NULL;
	if (!options->json_file)
		return 0;
	sink = calloc(1, sizeof(*sink));
	if (sink)
		sink->path = strdup(options->json_file);
	if (!sink || !sink->path) {
		free(sink);
		return sw_fault(fault, SW_EXIT_KERNEL, "out of memory");
	}
	sink->ecs = options->json_ecs;
	sink->readers = readers ? readers->gr_gid : (gid_t)-1;
	sink->fd = -1;
	if (check_folder(sink->path, fault) < 0 || open_file(sink, fault) < 0) {
		json_close(sink);
		return -1;
	}
	*data = sink;
	return 0;
}
