/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * place.h - where a benchmark runs the real smtpwalld: a network and a mount namespace of its own, a child
 * cgroup, folders below /tmp and a file system for pins. Names carry the pid. The namespaces end with the
 * benchmark, however it ends, and with them what is pinned and so what is attached; folder and cgroup, which
 * a killed benchmark leaves, the next one removes.
 */
#ifndef SW_BENCH_PLACE_H
#define SW_BENCH_PLACE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

/* False, with the reason on standard error: no root, no cgroup2, or the programs are not built. */
bool place_up(void);
void place_down(void);

/* Ends the benchmark with a message and errno, after place_down(). */
_Noreturn void place_fail(const char *what);

/* Below the folder; valid for the next three calls. */
const char *place_path(const char *name);

/* A file in the folder; `policy` is the one that the daemon begins with. */
void place_write(const char *name, const char *text);

/* A policy of `rules` rules of which the first allows what a list of `prefixes` prefixes names: 0, no list. The
   last one refuses port 25. With `edge` there is an edge block as well, for an interface that is there. */
void place_policy(const char *name, unsigned int rules, unsigned int prefixes, bool edge);

/* ---- the daemon ---- */

/* Starts smtpwalld with `options` (up to NULL) behind those for its place, and waits until it says that it is
   ready. Its pid; *ready_ns: from the moment before it was executed until then. */
pid_t place_daemon(const char *const *options, uint64_t *ready_ns);
void place_daemon_end(int signal);
void place_detach(void); /* and its pins, after place_daemon_end() */

/* Runs smtpwall with these words (up to NULL), without output. Wall clock ns; it must end well. */
uint64_t place_command(const char *const *words);

/* ---- somebody who connects to port 25 all the time, in the guarded cgroup ---- */

struct place_probe {
	uint64_t refused, undecided; /* connects so far */
	uint64_t first_refused_ns;   /* CLOCK_MONOTONIC; 0: none yet */
	uint64_t stop;
};

volatile struct place_probe *place_probe_start(void);
void place_probe_stop(void);

/* ---- what it costs ---- */

struct place_memory {
	double rss;    /* MiB resident, but for maps of the kernel */
	double mapped; /* maps of the kernel that are mapped */
	double kernel; /* what the maps take in the kernel */
};

struct place_memory place_memory(pid_t pid);

/* CPU time of a thread, ns. */
uint64_t place_cpu(pid_t pid, pid_t thread);

#endif
