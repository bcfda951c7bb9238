/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "daemon/syslog_marks.h"

#include <string.h>

void sw_syslog_marks_begin(struct sw_syslog_marks *marks, uint64_t delivered)
{
	marks->delivered = delivered;
	marks->bytes = 0;
	marks->n = 0;
}

/* How many bytes would lie before the next one if this one were not there. */
static uint64_t gap_without(const struct sw_syslog_marks *marks, size_t i)
{
	return marks->marks[i + 1].bytes - (i ? marks->marks[i - 1].bytes : marks->bytes);
}

/* The next one stands for the one that is missed least. */
static void make_room(struct sw_syslog_marks *marks)
{
	struct sw_syslog_mark *all = marks->marks;
	size_t least = 0;

	for (size_t i = 1; i + 1 < marks->n; i++)
		if (gap_without(marks, i) < gap_without(marks, least))
			least = i;
	marks->n--;
	memmove(all + least, all + least + 1, (marks->n - least) * sizeof(*all));
}

void sw_syslog_marks_add(struct sw_syslog_marks *marks, uint64_t id, uint64_t bytes, uint64_t usec)
{
	if (marks->n == SW_SYSLOG_MARKS)
		make_room(marks);
	marks->marks[marks->n++] = (struct sw_syslog_mark){.id = id, .bytes = bytes, .usec = usec};
}

uint64_t sw_syslog_marks_settle(struct sw_syslog_marks *marks, uint64_t acknowledged,
				uint64_t unread, uint64_t usec)
{
	size_t gone = 0;

	while (gone < marks->n) {
		const struct sw_syslog_mark *mark = &marks->marks[gone];

		if (mark->bytes + unread > acknowledged || mark->usec + SW_SYSLOG_AGE_USEC > usec)
			break;
		marks->delivered = mark->id;
		marks->bytes = mark->bytes;
		gone++;
	}
	marks->n -= gone;
	memmove(marks->marks, marks->marks + gone, marks->n * sizeof(*marks->marks));
	return marks->delivered;
}
