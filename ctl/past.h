/* SPDX-License-Identifier: GPL-2.0-or-later */
/* past.h - the store that smtpwalld writes events to, for commands that look back. */
#ifndef SW_PAST_H
#define SW_PAST_H

#include "ctl/ctl.h"
#include "daemon/audit/store.h"

struct sw_past {
	int daemon; /* 0: one answers; else why not, as sw_client_open() says it */
	char *path; /* NULL: the daemon that answers keeps no store */
	struct sw_reader_store *reader;  /* NULL: it cannot be read */
	int fault;                       /* why: as sw_store_read() */
	char error[SW_STORE_ERROR_SIZE]; /* the same as a sentence */
};

#define SW_PAST_NONE                                                                               \
	{                                                                                          \
		.path = NULL                                                                       \
	}
#define sw_autopast __attribute__((cleanup(sw_past_close)))

/*
 * Opens the store: the one that the daemon names; when none answers, or `own`, that of --state-dir.
 * Nothing is printed.
 */
void sw_past_open(struct sw_past *past, const struct sw_ctl *ctl, bool own);
void sw_past_close(struct sw_past *past);

#endif
