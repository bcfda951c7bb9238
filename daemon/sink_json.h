/* SPDX-License-Identifier: GPL-2.0-or-later */
/* sink_json.h - events as lines of JSON in a file: --json-file and --json-format. */
#ifndef SW_SINK_JSON_H
#define SW_SINK_JSON_H

#include "daemon/options.h"
#include "daemon/sink.h"

/* Opens the file, and makes it if need be. *data is for sw_sink_start(); NULL: the options do not ask for
   it. 0 or -1. */
int sw_sink_json_open(const struct sw_options *options, void **data, struct sw_fault *fault);

extern const struct sw_sink_calls sw_sink_json;

#endif
