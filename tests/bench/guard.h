/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * guard.h - programs on a worker's cgroup: the real ones with a policy written by hand (tests/prog/fixture.h), as
 * the daemon attaches them, or empty ones. They stay until the benchmark ends. Events are read all the while, on
 * the CPU that the workers leave alone.
 */
#ifndef SW_BENCH_GUARD_H
#define SW_BENCH_GUARD_H

#include "tests/bench/worker.h"

enum guard_programs {
	GUARD_NONE,
	GUARD_SMTPWALL,
	GUARD_EMPTY,            /* at every hook that smtpwall has */
	GUARD_LEAST,            /* empty, but for packets that leave: is it this port? */
	GUARD_LEAST_TOLD,       /* is it a port of those in a map? */
	GUARD_LEAST_TOLD_BOTH,  /* are the ports of the header or of the socket of those? */
	GUARD_LEAST_TOLD_KNOWN, /* a port of those, and what is known of the socket */
	GUARD_EMPTY_CONNECT,    /* at connect() alone */
	GUARD_EMPTY_REFUSE,     /* at connect() alone, and refuses */
};

struct guard {
	struct bpf_link *ingress;
};

/* Writes the policy with fx_rule() and fx_row(). */
typedef void guard_policy(void);

/* `policy`: of GUARD_SMTPWALL. */
void guard_attach(struct guard *guard, const struct worker *worker, enum guard_programs programs,
		  guard_policy *policy);
/* Takes the program on packets that arrive off. */
void guard_only_out(struct guard *guard);

#endif
