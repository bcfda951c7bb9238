/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * syslog_peer.h - a connection to a collector. Framing: on a datagram socket a message is a datagram; on
 * a Unix stream it ends in a line feed (no message has one); over TCP and TLS its length stands before
 * it (RFC 6587, 3.4.1; RFC 5425, 4.3). What the collector says is read and thrown away.
 */
#ifndef SW_SYSLOG_PEER_H
#define SW_SYSLOG_PEER_H

#include <stddef.h>
#include <stdint.h>

#include "daemon/fault.h"
#include "daemon/syslog_target.h"
#include "daemon/syslog_tls.h"
#include "daemon/syslog_wait.h"

struct sw_syslog_peer;

/* Opens a connection within a few seconds, and for TLS shakes hands. `context`: for SW_SYSLOG_TLS. NULL
   after filling *fault, also when the end was asked for. */
struct sw_syslog_peer *sw_syslog_peer_open(const struct sw_syslog_target *target,
					   struct sw_syslog_tls_context *context,
					   struct sw_syslog_stop *stop, struct sw_fault *fault);
void sw_syslog_peer_close(struct sw_syslog_peer *peer);

/* Sends a message, or keeps it until there are more of them or flush() is called. -1 after filling *fault:
   the connection is over. */
int sw_syslog_peer_send(struct sw_syslog_peer *peer, const char *message, size_t length,
			struct sw_syslog_stop *stop, struct sw_fault *fault);
int sw_syslog_peer_flush(struct sw_syslog_peer *peer, struct sw_syslog_stop *stop,
			 struct sw_fault *fault);

/* Does not wait. -1: the collector has ended the connection, or does not answer. */
int sw_syslog_peer_look(struct sw_syslog_peer *peer, struct sw_fault *fault);

struct sw_syslog_figures {
	uint64_t bytes;        /* handed to the kernel */
	uint64_t acknowledged; /* of them: by the other side's kernel */
	uint64_t unread; /* of the acknowledged, so many at most may be unread by the collector */
};

/* Also of a connection that is over. */
void sw_syslog_peer_figures(struct sw_syslog_peer *peer, struct sw_syslog_figures *figures);

/* Says that nothing more will come, and waits for the collector to close its side, which it does once it
   has read everything. True: it has. */
bool sw_syslog_peer_finish(struct sw_syslog_peer *peer, struct sw_syslog_stop *stop);

#endif
