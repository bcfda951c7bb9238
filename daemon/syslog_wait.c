/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "daemon/syslog_wait.h"

#include <poll.h>
#include <time.h>

uint64_t sw_syslog_now(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (uint64_t)now.tv_sec * 1000000u + (uint64_t)now.tv_nsec / 1000u;
}

bool sw_syslog_stopping(struct sw_syslog_stop *stop)
{
	struct pollfd asked = {.fd = stop->fd, .events = POLLIN};

	if (!stop->asked && poll(&asked, 1, 0) == 1) {
		stop->asked = true;
		stop->until = sw_syslog_now() + SW_SYSLOG_STOP_USEC;
	}
	return stop->asked;
}

bool sw_syslog_in_time(const struct sw_syslog_stop *stop, uint64_t until)
{
	uint64_t now = sw_syslog_now();

	return now < until && (!stop->asked || now < stop->until);
}

short sw_syslog_wait(struct sw_syslog_stop *stop, int fd, short events, uint64_t until)
{
	/* One that is negative is passed over. */
	struct pollfd fds[2] = {{.fd = fd, .events = events},
				{.fd = stop->asked ? -1 : stop->fd, .events = POLLIN}};
	uint64_t now = sw_syslog_now();

	if (stop->asked && stop->until < until)
		until = stop->until;
	/* Rounded up: who waits for a moment must not find itself before it. */
	poll(fds, 2, now < until ? (int)((until - now + 999) / 1000) : 0);
	sw_syslog_stopping(stop);
	return fds[0].revents;
}
