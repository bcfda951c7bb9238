/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>

#include "daemon/lock.h"

/* Who holds a lock on this file, as the kernel lists it; 0: not to be found. */
static int holder(int fd)
{
	sw_autofclose FILE *locks = fopen("/proc/locks", "re");
	struct stat st;
	char line[256];

	if (!locks || fstat(fd, &st) < 0)
		return 0;
	while (fgets(line, sizeof(line), locks)) {
		unsigned int major, minor;
		unsigned long long inode;
		int pid;

		if (sscanf(line, "%*d: FLOCK %*s %*s %d %x:%x:%llu", &pid, &major, &minor,
			   &inode) == 4 &&
		    inode == st.st_ino && major == major(st.st_dev) && minor == minor(st.st_dev))
			return pid;
	}
	return 0;
}

static int held(const char *path, int pid, struct sw_fault *fault)
{
	char who[32] = "another process";

	if (pid > 0)
		snprintf(who, sizeof(who), "process %d", pid);
	return sw_fault(
		fault, SW_EXIT_NO,
		"smtpwalld runs already: %s uses %s. A second one needs --run-dir, --state-dir "
		"and --pin-dir of its own, and a cgroup of its own with --cgroup",
		who, path);
}

/* The pid that the holder wrote, where the kernel's list does not name it. */
static int written_pid(int fd)
{
	char text[32] = "";

	return pread(fd, text, sizeof(text) - 1, 0) > 0 ? atoi(text) : 0;
}

int sw_lock_run_dir(const char *run_dir, struct sw_fault *fault)
{
	sw_autofree char *path = NULL;
	sw_autoclose int fd = -1;
	char text[32];
	int n;

	if (asprintf(&path, "%s/lock", run_dir) < 0)
		return sw_fault(fault, SW_EXIT_KERNEL, "out of memory");
	fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0644);
	if (fd < 0)
		return sw_fault(fault, SW_EXIT_KERNEL, "cannot open %s: %s", path, strerror(errno));
	if (flock(fd, LOCK_EX | LOCK_NB) < 0) {
		int pid = holder(fd);

		return held(run_dir, pid ? pid : written_pid(fd), fault);
	}
	n = snprintf(text, sizeof(text), "%d\n", getpid());
	/* The lock is what counts: a full disk keeps nobody from enforcing. Without the number a second
	   daemon names us by the kernel's list or not at all, but never somebody else. */
	if (ftruncate(fd, 0) < 0 || (pwrite(fd, text, (size_t)n, 0) != n && ftruncate(fd, 0) < 0))
		return sw_fault(fault, SW_EXIT_KERNEL, "cannot write %s: %s", path,
				strerror(errno));
	return sw_take_fd(fd);
}

int sw_lock_pin_dir(const char *pin_dir, struct sw_fault *fault)
{
	sw_autoclose int fd = open(pin_dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	if (fd < 0)
		return sw_fault(fault, SW_EXIT_KERNEL, "cannot open %s: %s", pin_dir,
				strerror(errno));
	if (flock(fd, LOCK_EX | LOCK_NB) < 0)
		return held(pin_dir, holder(fd), fault);
	return sw_take_fd(fd);
}
