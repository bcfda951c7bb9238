/* SPDX-License-Identifier: GPL-2.0-or-later */
/* search_internal.h - what a search means, told once for the store and for records in memory. */
#ifndef SW_SEARCH_INTERNAL_H
#define SW_SEARCH_INTERNAL_H

#include "daemon/audit/store.h"

/* The number that `user` is; -1: it is none. */
int64_t sw_search_uid(const char *user);

/* First and last address of the prefix that is looked for. */
void sw_search_range(const struct sw_search *search, uint8_t low[static 16],
		     uint8_t high[static 16]);

#endif
