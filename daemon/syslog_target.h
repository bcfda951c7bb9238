/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * syslog_target.h - where messages go, as it is written on the command line:
 *
 *   unix:/dev/log           a socket in the file system, datagram or stream
 *   tcp:HOST[:PORT]         RFC 6587, octet counting; port 514
 *   tls:HOST[:PORT]         RFC 5425; port 6514
 *
 * HOST is a name or an address; one of IPv6 stands in brackets. Pure.
 */
#ifndef SW_SYSLOG_TARGET_H
#define SW_SYSLOG_TARGET_H

#include "daemon/fault.h"

enum sw_syslog_transport { SW_SYSLOG_UNIX = 0, SW_SYSLOG_TCP, SW_SYSLOG_TLS };

struct sw_syslog_target {
	enum sw_syslog_transport transport;
	char text[300]; /* as it was written, for messages */
	char host[256]; /* without brackets; Unix: the path */
	char port[6];   /* decimal; Unix: "" */
};

/* 0, or -1 after filling *fault, SW_EXIT_USAGE. */
int sw_syslog_target(const char *text, struct sw_syslog_target *target, struct sw_fault *fault);

#endif
