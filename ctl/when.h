/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef SW_WHEN_H
#define SW_WHEN_H

#include <stdint.h>

/*
 * A moment as people say it: "10m", "2h", "1d" (s, m, h, d, w before `now`), or an RFC 3339 time.
 * Nanoseconds since 1970. 0 or -EINVAL, also for what lies before 1970.
 */
int sw_when_parse(const char *text, uint64_t now, uint64_t *ns);

/* "2 h 5 min", "12 s": a length of time to two units, for people. */
#define SW_SPAN_SIZE 32
void sw_span_format(uint64_t ns, char to[static SW_SPAN_SIZE]);

/* CLOCK_REALTIME in nanoseconds. */
uint64_t sw_when_now(void);

#endif
