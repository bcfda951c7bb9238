/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * net.h - this machine's addresses and its TCP connections, in the daemon's own network namespace.
 * net.c is the only file that knows libnl.
 */
#ifndef SW_NET_H
#define SW_NET_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "daemon/fault.h"

/* A subscription to changes of addresses. */
struct sw_addresses;

int sw_addresses_open(struct sw_addresses **addresses, struct sw_fault *fault);
void sw_addresses_close(struct sw_addresses *addresses);
int sw_addresses_fd(const struct sw_addresses *addresses); /* readable: something has changed */

/* Takes note of what has changed, whatever it was; read the list anew afterwards. */
void sw_addresses_drain(struct sw_addresses *addresses);

/* All addresses as they are now (v4-mapped when IPv4), malloc'ed; 0 or -1. */
int sw_addresses_list(uint8_t (**list)[16], size_t *n, struct sw_fault *fault);

/* A TCP connection that was opened from here. */
struct sw_connection {
	uint8_t src[16], dst[16]; /* v4-mapped when IPv4 */
	uint16_t src_port, dst_port;
	uint32_t uid;
	uint32_t inode;
	uint64_t cgroup_id; /* of the socket; 0: not told */
	bool closed;        /* sw_connection_close() succeeded */
	/* How the kernel tells it from any other. */
	uint8_t family;
	uint32_t interface;
	uint32_t cookie[2];
};

/*
 * Connections to a port whose bit is set in `ports` (bit p of word p / 64). Left out are those
 * whose local port is one that somebody here listens on: they were opened by the other side.
 */
int sw_connections_list(const uint64_t ports[static 65536 / 64], struct sw_connection **list,
			size_t *n, struct sw_fault *fault);

/* Resets it: both sides learn of it. 0 or -errno; -ENOENT: it has ended by itself. */
int sw_connection_close(struct sw_connection *connection);

/* The same for the socket with this cookie, if it has asked for a connection and has no answer:
   its connect() fails with ECONNABORTED. -ENOENT: there is none in this network namespace. */
int sw_connection_close_opening(uint64_t cookie);

/* Not known to which interface a socket is bound: it is looked for among all, which takes a millisecond
   or more. */
#define SW_INTERFACE_UNKNOWN UINT32_MAX

/* The same for an open one, told by its ends (v4-mapped when IPv4), the interface that it is bound to
   (0: none), and its cookie. */
int sw_connection_close_flow(const uint8_t src[16], uint16_t src_port, const uint8_t dst[16],
			     uint16_t dst_port, uint32_t interface, uint64_t cookie);

/* Payload of a connection, as TCP counts it. */
struct sw_traffic {
	uint64_t cookie;
	/* Bytes that the other side has acknowledged: of a connection that was opened from here, and
	   of one that was accepted. The kernel does not tell which it is. */
	uint64_t sent, sent_accepted;
	uint64_t received;
};

/* Of every TCP connection in this network namespace that has not ended, by cookie; malloc'ed. */
int sw_connections_traffic(struct sw_traffic **list, size_t *n, struct sw_fault *fault);

/* NULL: not in the list. */
const struct sw_traffic *sw_traffic_find(const struct sw_traffic *list, size_t n, uint64_t cookie);

#endif
