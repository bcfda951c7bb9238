/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "daemon/syslog_position.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>

#define NEW_NAME SW_SYSLOG_POSITION ".new"

static int failed(const char *what, struct sw_fault *fault)
{
	return sw_fault(fault, SW_EXIT_KERNEL, "cannot %s %s in the state directory: %s", what,
			SW_SYSLOG_POSITION, strerror(errno));
}

int sw_syslog_position_read(int state_dir, uint64_t *id, struct sw_fault *fault)
{
	sw_autoclose int fd = openat(state_dir, SW_SYSLOG_POSITION, O_RDONLY | O_CLOEXEC);
	char text[32], *end;
	ssize_t n;

	if (fd < 0 && errno == ENOENT)
		return 0;
	n = fd < 0 ? -1 : read(fd, text, sizeof(text) - 1);
	if (n < 0)
		return failed("read", fault);
	text[n] = '\0';
	errno = 0;
	*id = strtoull(text, &end, 10);
	if (*text < '0' || *text > '9' || strcmp(end, "\n") != 0 || errno)
		*id = 0;
	return 1;
}

int sw_syslog_position_write(int state_dir, uint64_t id, struct sw_fault *fault)
{
	sw_autoclose int fd =
		openat(state_dir, NEW_NAME, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
	char text[32];
	int n = snprintf(text, sizeof(text), "%llu\n", (unsigned long long)id);

	if (fd < 0 || write(fd, text, (size_t)n) != n || fsync(fd) < 0 ||
	    renameat(state_dir, NEW_NAME, state_dir, SW_SYSLOG_POSITION) < 0 ||
	    fsync(state_dir) < 0)
		return failed("write", fault);
	return 0;
}
