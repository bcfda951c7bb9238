/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * syslog_wait.h - waiting for a socket in a thread that may be told to end at any moment. From then on
 * nothing takes longer than a bounded time, whatever the other side does.
 */
#ifndef SW_SYSLOG_WAIT_H
#define SW_SYSLOG_WAIT_H

#include <stdbool.h>
#include <stdint.h>

/* What is still to be sent, and the collector's close, get so long once the end is asked for. */
#define SW_SYSLOG_STOP_USEC 1500000u

struct sw_syslog_stop {
	int fd;         /* eventfd: readable once the end is asked for */
	bool asked;     /* seen by the thread */
	uint64_t until; /* CLOCK_MONOTONIC microseconds; set with `asked` */
};

uint64_t sw_syslog_now(void); /* CLOCK_MONOTONIC microseconds */

/* Looks whether the end is asked for. */
bool sw_syslog_stopping(struct sw_syslog_stop *stop);

/* Waits until `fd` (-1: none) has one of `events`, `until` has come, the end is asked for for the first
   time, or the time that is left after that is over. Returns what poll() found, 0: nothing. */
short sw_syslog_wait(struct sw_syslog_stop *stop, int fd, short events, uint64_t until);

/* Is there still time? */
bool sw_syslog_in_time(const struct sw_syslog_stop *stop, uint64_t until);

#endif
