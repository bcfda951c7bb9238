/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * syslog_marks.h - how far a collector has come. Pure: bytes and times are handed in.
 *
 * Syslog has no acknowledgements, so what has been sent is in doubt for a while: our kernel may not
 * have sent it, the collector's kernel may have it unread, the collector may have it in memory only.
 * A message counts as delivered when all of this holds:
 *
 *   - the other side's kernel has acknowledged it,
 *   - so many bytes behind it that what may lie unread there cannot reach back to it (`unread`); or the
 *     connection ended in such a way that nothing was unread (`unread` is 0 then),
 *   - it was sent SW_SYSLOG_AGE_USEC ago, so that the collector had time to write it to its disk.
 *
 * When a connection ends, whatever is not delivered is sent again: at least once, never less.
 */
#ifndef SW_SYSLOG_MARKS_H
#define SW_SYSLOG_MARKS_H

#include <stddef.h>
#include <stdint.h>

#define SW_SYSLOG_AGE_USEC 10000000u

#define SW_SYSLOG_MARKS 1024

struct sw_syslog_marks {
	uint64_t delivered; /* id: it and all before it are */
	uint64_t bytes;     /* of the connection up to its end */
	size_t n;
	struct sw_syslog_mark {
		uint64_t id;
		uint64_t bytes; /* of the connection up to the end of this message */
		uint64_t usec;  /* when they were handed to the kernel */
	} marks[SW_SYSLOG_MARKS];
};

/* A new connection: nothing behind `delivered` was sent over it. */
void sw_syslog_marks_begin(struct sw_syslog_marks *marks, uint64_t delivered);

/* Everything up to `id` has been handed to the kernel. Numbers never become less from call to call. When
   there is no room a mark is given up, which only makes messages count as delivered later. */
void sw_syslog_marks_add(struct sw_syslog_marks *marks, uint64_t id, uint64_t bytes, uint64_t usec);

/* What is known now. Moves and returns `delivered`. */
uint64_t sw_syslog_marks_settle(struct sw_syslog_marks *marks, uint64_t acknowledged,
				uint64_t unread, uint64_t usec);

#endif
