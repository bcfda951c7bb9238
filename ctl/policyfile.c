/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "ctl/policyfile.h"

#include <errno.h>
#include <fcntl.h>
#include <libgen.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>

#include "daemon/base.h"

/* The folder that list files are relative to: the one that the name says, even when the file is a
   symbolic link into another. */
static int open_folder(const char *name)
{
	sw_autofree char *copy = strdup(name);

	if (!copy)
		return -1;
	return open(strcmp(name, "-") ? dirname(copy) : ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
}

/* Policies are read from files alone, as the daemon reads them; what comes through a pipe becomes
   one, one byte longer than a policy may be at most. */
static int copy_stdin(void)
{
	sw_autoclose int to = memfd_create("policy", MFD_CLOEXEC);
	size_t left = SW_POLICY_BYTES_MAX + 1;
	char bytes[16384];

	while (to >= 0 && left) {
		ssize_t n = read(STDIN_FILENO, bytes, left < sizeof(bytes) ? left : sizeof(bytes));

		if (!n)
			break;
		if (n < 0 || write(to, bytes, (size_t)n) != n)
			return -1;
		left -= (size_t)n;
	}
	return to < 0 || lseek(to, 0, SEEK_SET) ? -1 : sw_take_fd(to);
}

static int open_stdin(void)
{
	struct stat about;

	if (fstat(STDIN_FILENO, &about))
		return -1;
	if (S_ISFIFO(about.st_mode) || S_ISSOCK(about.st_mode) || S_ISCHR(about.st_mode))
		return copy_stdin();
	return fcntl(STDIN_FILENO, F_DUPFD_CLOEXEC, 3);
}

static int open_file(struct sw_policy_file *file)
{
	bool is_stdin = !strcmp(file->name, "-");

	file->fd = is_stdin ? open_stdin()
			    : open(file->name, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
	if (file->fd >= 0)
		file->dir_fd = open_folder(file->name);
	if (is_stdin)
		file->name = "<stdin>";
	return file->dir_fd < 0 ? -errno : 0;
}

int sw_policy_file_open(struct sw_policy_file *file, const char *name)
{
	int r;

	file->name = name;
	file->diags = sw_diags_new();
	r = open_file(file);
	if (r) {
		struct sw_pos whole = {
			.source = sw_diags_add_source(file->diags, file->name, NULL, 0)};

		sw_diag(file->diags, SW_ERROR, whole, "cannot be opened: %s", strerror(-r));
		return -EINVAL;
	}
	file->text = sw_policy_read(file->fd, file->name, file->diags, &file->length);
	if (!file->text)
		return -EINVAL;
	file->policy = sw_policy_parse(file->name, file->text, file->length, file->diags);
	return sw_diags_errors(file->diags) ? -EINVAL : 0;
}

void sw_policy_file_close(struct sw_policy_file *file)
{
	if (file->image)
		sw_image_free(file->image);
	if (file->policy)
		sw_policy_free(file->policy);
	if (file->diags)
		sw_diags_free(file->diags);
	free(file->text);
	sw_close_cleanup(&file->fd);
	sw_close_cleanup(&file->dir_fd);
}

static int check(struct sw_policy_file *file, bool quiet)
{
	struct sw_world world = {0};

	file->system.dir_fd = file->dir_fd;
	file->system.show_progress = !quiet && isatty(STDERR_FILENO);
	sw_system_world(&file->system, &world);
	if (file->elsewhere)
		world.interface = NULL;
	/* Also after errors of the parser: a person wants to hear all that is wrong at once. */
	if (!file->policy || sw_policy_check(file->policy, &world, file->diags))
		return -EINVAL;
	file->image = sw_policy_compile(file->policy, file->diags);
	return file->image ? 0 : -EINVAL;
}

int sw_policy_file_check(struct sw_policy_file *file, const char *name, bool quiet)
{
	sw_policy_file_open(file, name);
	return check(file, quiet);
}

static int count(size_t n, const char *what, char *to, size_t size)
{
	if (!n)
		return snprintf(to, size, "no %ss", what);
	return snprintf(to, size, "%zu %s%s", n, what, n == 1 ? "" : "s");
}

void sw_policy_file_counts(const struct sw_policy_file *file, char to[static SW_COUNTS_SIZE])
{
	int n = count(sw_diags_errors(file->diags), "error", to, SW_COUNTS_SIZE / 2);

	n += snprintf(to + n, SW_COUNTS_SIZE - (size_t)n, " and ");
	count(sw_diags_warnings(file->diags), "warning", to + n, SW_COUNTS_SIZE - (size_t)n);
}
