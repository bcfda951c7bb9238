/* SPDX-License-Identifier: GPL-2.0-or-later */
/* try_identity.c - callers that are not what they were started as. */
#include <errno.h>
#include <fcntl.h>
#include <linux/prctl.h>
#include <linux/sched.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "try.h"

struct thread_try {
	const struct target *target;
	long uid;
	int result;
	uint64_t us;
};

static int connect_once(const struct target *target)
{
	int fd = tcp_socket(target, 0);

	if (fd < 0)
		return fd;
	int result = plain_connect(fd, target);
	close(fd);
	return result;
}

/* The raw system call changes this thread alone; the C library would change them all. */
static void *other_user(void *data)
{
	struct thread_try *try = data;
	uint64_t start = now_us();

	if (syscall(SYS_setresuid, try->uid, try->uid, try->uid) < 0)
		try->result = -EIO;
	else
		try->result = connect_once(try->target);
	try->us = now_us() - start;
	return NULL;
}

/* args[0]: a uid. One thread becomes that user and connects, then the first thread does, unchanged.
   Two lines; the last is the first thread's. */
static int way_thread_user(const struct target *target)
{
	pthread_t thread;

	if (target->n_args < 1)
		return -EINVAL;
	struct thread_try try = {.target = target, .uid = atol(target->args[0])};
	if (pthread_create(&thread, NULL, other_user, &try) != 0)
		return -EIO;
	pthread_join(thread, NULL);
	print_result("thread ", try.result, try.us);
	return connect_once(target);
}

/* Lays an anonymous copy over a mapping of this program's own file, the running code included. */
static int replace_mapping(char *start, size_t length, int protection)
{
	char *copy = mmap(NULL, length, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	if (copy == MAP_FAILED)
		return -errno;
	memcpy(copy, start, length);
	if (mprotect(copy, length, protection) < 0)
		return -errno;
	if (mremap(copy, length, length, MREMAP_MAYMOVE | MREMAP_FIXED, start) == MAP_FAILED)
		return -errno;
	return 0;
}

/* The kernel lets mm->exe_file change only when nothing maps the old file any more. */
static int leave_own_file(void)
{
	struct {
		char *start, *end;
		int protection;
	} own[32];
	char line[512], self[256] = "";
	size_t n = 0;
	FILE *maps = fopen("/proc/self/maps", "re");

	if (!maps || readlink("/proc/self/exe", self, sizeof(self) - 1) < 0)
		return -EIO;
	while (fgets(line, sizeof(line), maps) && n < 32) {
		char mode[8];
		if (!strstr(line, self) || sscanf(line, "%p-%p %7s", (void **)&own[n].start,
						  (void **)&own[n].end, mode) != 3)
			continue;
		own[n].protection = (mode[0] == 'r' ? PROT_READ : 0) |
				    (mode[1] == 'w' ? PROT_WRITE : 0) |
				    (mode[2] == 'x' ? PROT_EXEC : 0);
		n++;
	}
	fclose(maps);
	for (size_t i = 0; i < n; i++) {
		int error = replace_mapping(own[i].start, (size_t)(own[i].end - own[i].start),
					    own[i].protection);
		if (error)
			return error;
	}
	return 0;
}

/* Fills the map from what the kernel says of this process: it takes no other values lightly. */
static int read_mm_map(struct prctl_mm_map *map)
{
	char text[2048] = "", *field;
	unsigned long long value[53] = {0};
	int fd = open("/proc/self/stat", O_RDONLY | O_CLOEXEC), n = 3;

	if (fd < 0 || read(fd, text, sizeof(text) - 1) <= 0)
		return -EIO;
	close(fd);
	field = strrchr(text, ')');
	for (field = strtok(field ? field + 2 : text, " "); field && n < 53;
	     field = strtok(NULL, " "))
		value[n++] = strtoull(field, NULL, 10);
	*map = (struct prctl_mm_map){
		.start_code = value[26],
		.end_code = value[27],
		.start_stack = value[28],
		.start_data = value[45],
		.end_data = value[46],
		.start_brk = value[47],
		.brk = (unsigned long long)(uintptr_t)sbrk(0),
		.arg_start = value[48],
		.arg_end = value[49],
		.env_start = value[50],
		.env_end = value[51],
	};
	return 0;
}

static struct prctl_mm_map swap_map;
static int swap_error;

/* Runs in a user namespace of its own, where it has every capability, on its parent's memory. */
static int swap_exe(void *unused)
{
	(void)unused;
	if (prctl(PR_SET_MM, PR_SET_MM_MAP, &swap_map, sizeof(swap_map), 0) < 0)
		swap_error = errno;
	return 0;
}

/*
 * args[0]: a program. Makes /proc/self/exe name that program, as any user can who may make user
 * namespaces, and connects. Known limit: `exe` alone proves nothing, so rules name a user as well.
 */
static int way_swap_exe(const struct target *target)
{
	static char stack[65536] __attribute__((aligned(16)));
	char before[256] = "", after[256] = "";

	if (target->n_args < 1 || leave_own_file() < 0 || read_mm_map(&swap_map) < 0)
		return -EIO;
	(void)!readlink("/proc/self/exe", before, sizeof(before) - 1);
	swap_map.exe_fd = (uint32_t)open(target->args[0], O_RDONLY | O_CLOEXEC);
	pid_t child =
		clone(swap_exe, stack + sizeof(stack), CLONE_VM | CLONE_NEWUSER | SIGCHLD, NULL);
	if (child < 0)
		return TRY_SKIP;
	waitpid(child, NULL, 0);
	if (swap_error)
		printf("swap %s\n", errno_name(swap_error));
	(void)!readlink("/proc/self/exe", after, sizeof(after) - 1);
	printf("exe %s -> %s\n", before, after);
	if (strcmp(after, target->args[0]) != 0)
		return TRY_SKIP;
	return connect_once(target);
}

/* Connects now, says "first ...", waits for a line on standard input, connects again. For a program
   whose file is removed or replaced in between. */
static int way_twice(const struct target *target)
{
	char line[16];
	uint64_t start = now_us();

	print_result("first ", connect_once(target), now_us() - start);
	if (!fgets(line, sizeof(line), stdin))
		return -EIO;
	return connect_once(target);
}

const struct way identity_ways[] = {
	{"thread-user", way_thread_user,
	 "UID: one thread becomes UID and connects, then the other"},
	{"swap-exe", way_swap_exe, "PROGRAM: become PROGRAM for /proc/self/exe, then connect"},
	{"twice", way_twice, "connect, wait for a line, connect again"},
	{0},
};
