/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * log.h - the daemon's voice. Only the top layer calls it: whatever lies below returns a fault.
 *
 * Under systemd each line carries the "<N>" prefix that the journal reads as a priority; elsewhere
 * lines are plain. A text of several lines (diagnostics) is logged line by line.
 */
#ifndef SW_LOG_H
#define SW_LOG_H

#include <stdbool.h>

#include "daemon/base.h"

/* The numbers are syslog's. */
enum sw_level {
	SW_LOG_ERROR = 3,
	SW_LOG_WARNING = 4,
	SW_LOG_NOTICE = 5,
	SW_LOG_INFO = 6,
	SW_LOG_DEBUG = 7
};

void sw_log_open(bool verbose); /* verbose: debug lines too */
void sw_log(enum sw_level level, const char *format, ...) sw_printf(2, 3);

#endif
