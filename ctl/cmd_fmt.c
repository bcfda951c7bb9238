/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <errno.h>
#include <fcntl.h>
#include <libgen.h>
#include <limits.h>
#include <string.h>
#include <sys/stat.h>

#include "ctl/ctl.h"
#include "ctl/policyfile.h"

struct args {
	bool write, check;
};

static const struct sw_option options[] = {
	{.name = "write",
	 .kind = SW_OPTION_FLAG,
	 .offset = offsetof(struct args, write),
	 .help = "rewrite FILE instead of printing it"},
	{.name = "check",
	 .kind = SW_OPTION_FLAG,
	 .offset = offsetof(struct args, check),
	 .help = "print nothing but whether FILE is canonical; exit 1 when not"},
};

static int write_all(int fd, const char *text, size_t n)
{
	while (n) {
		ssize_t done = write(fd, text, n);

		if (done < 0 && errno != EINTR)
			return -errno;
		if (done > 0) {
			text += done;
			n -= (size_t)done;
		}
	}
	return 0;
}

/* A new file beside the old one, with its mode and owner. */
static int fill(int fd, const struct stat *old, const char *text, size_t n)
{
	int r = write_all(fd, text, n);

	if (r)
		return r;
	/* The owner first: a change of it takes set-id bits away. */
	if (fchown(fd, old->st_uid, old->st_gid) || fchmod(fd, old->st_mode & 07777) || fsync(fd))
		return -errno;
	return 0;
}

/* Whoever opens the file meanwhile sees the old text or the new one, whole. A symbolic link stays
   one: the file that it names is replaced. */
static int replace(const struct sw_policy_file *file, const char *text, size_t n)
{
	sw_autofree char *path = realpath(file->name, NULL), *new = NULL;
	sw_autoclose int fd = -1;
	struct stat old;
	int r;

	if (!path || fstat(file->fd, &old))
		return -errno;
	if (asprintf(&new, "%s.XXXXXX", path) < 0)
		return -ENOMEM;
	fd = mkostemp(new, O_CLOEXEC);
	if (fd < 0)
		return -errno;
	r = fill(fd, &old, text, n);
	if (!r && rename(new, path))
		r = -errno;
	if (r)
		unlink(new);
	return r;
}

static int write_back(const struct sw_policy_file *file, const char *text, size_t n, bool canonical)
{
	int r;

	if (!strcmp(file->name, "<stdin>")) {
		sw_complain("--write needs a file, not standard input");
		return SW_EXIT_USAGE;
	}
	r = canonical ? 0 : replace(file, text, n);
	if (r) {
		sw_complain("cannot rewrite %s: %s", file->name, strerror(-r));
		return SW_EXIT_NO;
	}
	return SW_EXIT_OK;
}

static void text_only(FILE *to, const json_t *data, const void *context)
{
	(void)context;
	fputs(sw_string(data, "text"), to);
}

static void verdict_only(FILE *to, const json_t *data, const void *context)
{
	(void)context;
	fprintf(to, "%s: %s\n", sw_string(data, "file"),
		sw_is_true(data, "canonical")
			? "canonical"
			: "not canonical; \"smtpwall fmt --write\" makes it so");
}

static int format(struct sw_ctl *ctl, const struct args *args, struct sw_policy_file *file)
{
	sw_autofree char *text = NULL;
	size_t n = 0;
	FILE *to = open_memstream(&text, &n);
	bool canonical;

	if (!to) {
		sw_complain("out of memory");
		return SW_EXIT_NO;
	}
	sw_policy_print(file->policy, to);
	fclose(to);
	canonical = n == file->length && !memcmp(text, file->text, n);

	json_auto_t *data = json_pack("{s:s, s:b, s:s}", "file", file->name, "canonical",
				      (int)canonical, "text", text);
	if (args->check) {
		json_object_del(data, "text");
		ctl->out->data(data, verdict_only, NULL);
		return canonical ? SW_EXIT_OK : SW_EXIT_NO;
	}
	if (args->write)
		return write_back(file, text, n, canonical);
	ctl->out->data(data, text_only, NULL);
	return SW_EXIT_OK;
}

static int fmt(struct sw_ctl *ctl, int argc, char **argv)
{
	sw_autopolicy struct sw_policy_file file = SW_POLICY_FILE_NONE;
	struct args args = {0};
	int r = sw_ctl_arguments(ctl, &sw_cmd_fmt, argc, argv, &args);

	if (r >= 0)
		return r;
	/* A list of diagnostics has no place in formatted text, so they go to standard error. */
	if (sw_policy_file_open(&file, ctl->operand)) {
		sw_diags_print(file.diags, stderr);
		return SW_EXIT_NO;
	}
	return format(ctl, &args, &file);
}

const struct sw_command sw_cmd_fmt = {
	.name = "fmt",
	.operand = "FILE",
	.summary = "print a policy in its canonical form",
	.about = "Prints a policy as smtpwall writes it; comments stay. The meaning does\n"
		 "not change. FILE may be \"-\" for standard input. A file with errors is\n"
		 "left alone.",
	.options = options,
	.n_options = sw_count(options),
	.run = fmt,
};
