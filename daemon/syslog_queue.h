/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * syslog_queue.h - what a collector has not got yet, read from the audit store. The store is the queue:
 * nothing is kept twice, and what bounds the store bounds it.
 */
#ifndef SW_SYSLOG_QUEUE_H
#define SW_SYSLOG_QUEUE_H

#include <stdbool.h>
#include <stdint.h>

#include "daemon/audit/record.h"
#include "daemon/fault.h"

struct sw_syslog_queue;

/* `sessions`: those too, not only refusals and violations. The file is opened when it is first read. NULL:
   out of memory. */
struct sw_syslog_queue *sw_syslog_queue_new(const char *path, bool sessions);
void sw_syslog_queue_free(struct sw_syslog_queue *queue);

struct sw_syslog_page {
	uint64_t newest; /* id of the newest record in the store */
	uint64_t upto;   /* id: what is wanted up to here has been handed on */
	uint64_t n;      /* how many that were */
	uint64_t lost;   /* that retention had removed behind `after` before they were read */
};

/* Id of the newest record; 0: there is none. -1 after filling *fault. */
int sw_syslog_queue_newest(struct sw_syslog_queue *queue, uint64_t *id, struct sw_fault *fault);

/*
 * Hands on the next records behind `after` in the order of their ids, a bounded number of them. An answer
 * of `each` below 0 ends that, and is returned. -1 after filling *fault: the store cannot be read.
 */
int sw_syslog_queue_read(struct sw_syslog_queue *queue, uint64_t after,
			 int (*each)(void *data, const struct sw_record *record), void *data,
			 struct sw_syslog_page *page, struct sw_fault *fault);

#endif
