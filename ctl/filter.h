/* SPDX-License-Identifier: GPL-2.0-or-later */
/* filter.h - which events are asked for: from options to what the store and the daemon are asked. */
#ifndef SW_FILTER_H
#define SW_FILTER_H

#include <jansson.h>

#include "ctl/options.h"
#include "daemon/audit/store.h"

/* As the options have them; NULL or -1: not given. */
struct sw_filter {
	const char *since, *until, *user, *exe, *unit, *to, *verdict, *reason;
	long port, rule;
	bool sessions;
};

#define SW_FILTER_NONE                                                                             \
	{                                                                                          \
		.port = -1, .rule = -1                                                             \
	}

/* A path of the kernel and room for escapes. */
#define SW_FILTER_TEXT 4096

/* What the texts of a search lie in. */
struct sw_filter_texts {
	char user[SW_FILTER_TEXT], exe[SW_FILTER_TEXT], unit[SW_FILTER_TEXT];
};

/* "--since takes a time like ...". Also for other commands that take times. 0 or -EINVAL. */
int sw_filter_time(const char *option, const char *text, uint64_t now, uint64_t *ns,
		   char error[static SW_ERROR_SIZE]);

/* Checks the options; `search` borrows from `texts`. 0, or -EINVAL with a sentence in `error`. */
int sw_filter_search(const struct sw_filter *filter, uint64_t now, struct sw_search *search,
		     struct sw_filter_texts *texts, char error[static SW_ERROR_SIZE]);

/* The members of the request `events` that ask for the same, ids apart. NULL: out of memory. */
json_t *sw_filter_request(const struct sw_search *search);

#endif
