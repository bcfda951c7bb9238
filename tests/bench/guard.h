/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * guard.h - programs on a worker's cgroup: the real ones with a policy written by hand (tests/prog/fixture.h), as
 * the daemon attaches them, or empty ones. They stay until the benchmark ends. Events are read all the while, on
 * the CPU that the workers leave alone.
 */
#ifndef SW_BENCH_GUARD_H
#define SW_BENCH_GUARD_H

#include "tests/bench/worker.h"

/* Writes the policy with fx_rule() and fx_row(). */
typedef void guard_policy(void);

void guard_smtpwall(struct worker *worker, guard_policy *policy);

enum guard_hooks {
	GUARD_EMPTY_ALL,     /* at every hook that smtpwall has */
	GUARD_EMPTY_CONNECT, /* at connect() alone */
	GUARD_EMPTY_PACKETS, /* egress and ingress */
	GUARD_EMPTY_REFUSE,  /* at connect(), and refuses */
};

void guard_empty(struct worker *worker, enum guard_hooks hooks);

#endif
