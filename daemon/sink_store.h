/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * sink_store.h - the audit store as a sink. A store that cannot be opened, or written, holds up nothing: it
 * is tried again with each batch, and what the trail forgets meanwhile is told in it as missing.
 */
#ifndef SW_SINK_STORE_H
#define SW_SINK_STORE_H

#include <sys/types.h>

#include "daemon/audit/store.h"
#include "daemon/sink.h"

struct sw_store_sink;

/* `path` is copied. *problem (malloc'ed, NULL: none) says what people should know: why it could not be
   opened, or that a damaged file was put aside. NULL: out of memory. */
struct sw_store_sink *sw_store_sink_open(const char *path, const struct sw_store_limits *limits,
					 gid_t readers, char **problem);

/* Ids go on behind this. Of a store that could not be opened, or is
   new in the place of a damaged one, it is a number that none can have reached. */
uint64_t sw_store_sink_last(const struct sw_store_sink *sink);

/* The account of the kernel's maps (struct sw_head), before the thread starts. Returns how many events a
   daemon before took and did not write; the store tells them as missing. */
uint64_t sw_store_sink_account(struct sw_store_sink *sink, uint64_t instance, uint64_t taken);

/* As of the last batch. Any thread, until the sink is stopped. */
void sw_store_sink_size(struct sw_store_sink *sink, struct sw_store_size *size);

extern const struct sw_sink_calls sw_sink_store;

#endif
