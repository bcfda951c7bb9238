/* SPDX-License-Identifier: GPL-2.0-or-later */
/* queue.h - a verdict in user space: every packet of queue 0 of this network namespace is let through. */
#ifndef SW_BENCH_QUEUE_H
#define SW_BENCH_QUEUE_H

void *queue_open(void); /* NULL: the kernel has none; errno */
void queue_serve(void *queue);

#endif
