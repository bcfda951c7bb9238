/* SPDX-License-Identifier: GPL-2.0-or-later */
/* syslog_connect.h - from a target to a connected socket, without blocking the end of the thread. */
#ifndef SW_SYSLOG_CONNECT_H
#define SW_SYSLOG_CONNECT_H

#include <stdbool.h>

#include "daemon/fault.h"
#include "daemon/syslog_target.h"
#include "daemon/syslog_wait.h"

/* A descriptor that does not block; *datagram: a Unix socket of that kind. -1 after filling *fault with
   the reason alone. Names are looked up by a thread of the C library's. */
int sw_syslog_connect(const struct sw_syslog_target *target, struct sw_syslog_stop *stop,
		      bool *datagram, struct sw_fault *fault);

/* Connects to a Unix socket of `type` at once, or not. -1 with errno. */
int sw_syslog_connect_unix(const char *path, int type);

#endif
