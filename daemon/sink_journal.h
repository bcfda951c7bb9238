/* SPDX-License-Identifier: GPL-2.0-or-later */
/* sink_journal.h - events as native entries of the systemd journal: --journal. */
#ifndef SW_SINK_JOURNAL_H
#define SW_SINK_JOURNAL_H

#include "daemon/options.h"
#include "daemon/sink.h"

/* Takes SIGALRM, which is sent to the sink's thread only. *data is for sw_sink_start(); NULL: the options do
   not ask for it. 0 or -1. A journald that is not there is no error: it may come. */
int sw_sink_journal_open(const struct sw_options *options, void **data, struct sw_fault *fault);

extern const struct sw_sink_calls sw_sink_journal;

#endif
