/* SPDX-License-Identifier: GPL-2.0-or-later */
/* read.c - a policy file into memory, or one diagnostic that says why not. */
#include <errno.h>
#include <string.h>
#include <sys/stat.h>

#include "daemon/policy/policy.h"
#include "daemon/policy/text.h"

#define CHUNK ((size_t)1 << 20)

static char *refuse(struct sw_diags *diags, const char *name, const char *why)
{
	struct sw_pos whole = {.source = sw_diags_add_source(diags, name, NULL, 0)};

	sw_diag(diags, SW_ERROR, whole, "%s", why);
	return NULL;
}

static const char *wrong_kind(const struct stat *status)
{
	switch (status->st_mode & S_IFMT) {
	case S_IFREG:
		return status->st_size > (off_t)SW_POLICY_BYTES_MAX
			       ? "larger than 16 MiB: this is no policy"
			       : NULL;
	case S_IFDIR:
		return "this is a directory, not a policy";
	default:
		return "this is not a regular file";
	}
}

/* Reads up to `room` bytes from the start of the file, wherever the descriptor stands. */
static ssize_t read_all(int fd, char *to, size_t room)
{
	size_t got = 0;

	while (got < room) {
		/* sysctl files refuse to fill a large buffer */
		size_t most = room - got < CHUNK ? room - got : CHUNK;
		ssize_t n = pread(fd, to + got, most, (off_t)got);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return -errno;
		if (n == 0)
			break;
		got += (size_t)n;
	}
	return (ssize_t)got;
}

static bool refuse_fault(struct sw_diags *diags, const char *name, const char *text, size_t length)
{
	struct sw_pos pos = {.length = 1};
	size_t where = 0;
	enum sw_text_fault fault = sw_text_check(text, length, &where);

	/* the parser reports control characters itself */
	if (fault != SW_TEXT_NUL && fault != SW_TEXT_INVALID)
		return false;
	pos.source = sw_diags_add_source(diags, name, text, length);
	sw_text_place(text, length, where, &pos.line, &pos.column);
	sw_diag(diags, SW_ERROR, pos, "%s",
		fault == SW_TEXT_NUL ? "a NUL byte: this is no text" : "this byte is not UTF-8");
	sw_diags_forget_text(diags, pos.source);
	return true;
}

char *sw_policy_read(int fd, const char *name, struct sw_diags *diags, size_t *length)
{
	sw_autofree char *text = NULL;
	const char *wrong;
	struct stat status;
	ssize_t got;

	if (fstat(fd, &status) < 0)
		return refuse(diags, name, strerrordesc_np(errno));
	wrong = wrong_kind(&status);
	if (wrong)
		return refuse(diags, name, wrong);
	/* One byte more than allowed is asked for: files under /proc and /sys say no size, and a file
	   can grow while it is read. */
	size_t room = status.st_size > 0 ? (size_t)status.st_size + 1 : SW_POLICY_BYTES_MAX + 1;
	text = malloc(room + 1);
	if (!text)
		return refuse(diags, name, strerrordesc_np(ENOMEM));
	got = read_all(fd, text, room);
	if (got < 0)
		return refuse(diags, name, strerrordesc_np((int)-got));
	if ((size_t)got > SW_POLICY_BYTES_MAX || (status.st_size > 0 && (size_t)got == room))
		return refuse(diags, name, "it grew while it was read, or is larger than 16 MiB");
	text[got] = '\0';
	if (refuse_fault(diags, name, text, (size_t)got))
		return NULL;
	*length = (size_t)got;
	return sw_take(text);
}
