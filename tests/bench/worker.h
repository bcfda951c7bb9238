/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * worker.h - the sides of a comparison as processes: each has a network namespace with rules of its own and a
 * cgroup of its own, all run on one CPU, and work only when they are asked to, so that one measures at a time.
 *
 * workers_begin() leaves the benchmark to a child and waits for it; whatever ends that child, the workers end with
 * it and their cgroups are removed.
 *
 * A worker is made in two steps. worker_place() makes its cgroups: `guarded`, where programs are attached, and
 * below it WORKER_CGROUP, which the worker enters. worker_start() then starts the process.
 */
#ifndef SW_BENCH_WORKER_H
#define SW_BENCH_WORKER_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

/* As a mail server's unit has it. */
#define WORKER_UNIT "mailer.service"
#define WORKER_CGROUP "/mail.slice/" WORKER_UNIT
#define WORKER_UID 65534

struct worker {
	const char *name;
	char guarded[256]; /* the cgroup's folder */
	int guarded_fd;
	uint64_t guarded_id;
	pid_t pid;
	int fd;
};

/* What it does. `data` is its own copy: the process is forked. */
struct worker_work {
	/* In the worker's network namespace, as root and outside its cgroup: what is made here is the far side's,
	   whose sockets no program looks at. NULL: nothing. */
	void (*outside)(void *data);
	/* In its cgroup, as WORKER_UID. NULL: nothing. */
	void (*inside)(void *data);
	/* Does `what` n times; what one time cost. */
	double (*run)(void *data, uint32_t what, uint32_t n);
	void *data;
};

/* Of the worker's network namespace; all may be NULL. */
struct worker_rules {
	const char *nft;      /* what `nft -f -` reads; CGROUP in it stands for the worker's */
	const char *iptables; /* arguments, for the shell */
	/* Opened as root; NULL: it can't be had. Then runs in a process of its own until it is killed. */
	void *(*open)(void);
	void (*serve)(void *service);
};

/* In `main`, first of all. False: this machine can't (not root, no cgroup2), which was told. Returns in the child
   only. */
bool workers_begin(void);
_Noreturn void workers_fail(const char *what); /* with errno */

void worker_place(struct worker *worker, const char *name);
/* False: the rules can't be had here, which was told. */
bool worker_start(struct worker *worker, const struct worker_work *work,
		  const struct worker_rules *rules);

/* One question to a worker, as a side's data. */
struct worker_ask {
	const struct worker *worker;
	uint32_t what, n;
};

double worker_run(void *data); /* a side's run; of a struct worker_ask */

/* The CPU that workers run on, and another one, if there is one. */
enum worker_cpu { WORKER_CPU_OWN, WORKER_CPU_OTHER };

void worker_pin(enum worker_cpu cpu); /* this thread */

#endif
