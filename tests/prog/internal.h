/* SPDX-License-Identifier: GPL-2.0-or-later */
/* internal.h - what the files of the fixture share. */
#ifndef SW_TEST_INTERNAL_H
#define SW_TEST_INTERNAL_H

#include <stdint.h>

struct sw_host;

struct fx {
	struct sw_host *skel;
	uint64_t cgroup_id; /* of the guarded cgroup */
};

extern struct fx fx;

_Noreturn void fx_fail(const char *what); /* with errno, ends the program */
void fx_stop_listening(void);
void fx_samples_up(void);
void fx_samples_down(void);

#endif
