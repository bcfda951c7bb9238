/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * metrics_http.h - /metrics over HTTP, for Prometheus and nobody else: on loopback or on a socket in the
 * file system, as it knows neither TLS nor users. It knows no number; who asks is given what `body` makes.
 *
 * Nothing that a client does holds up the loop or makes memory grow: there are few connections, each is
 * for one request and lives for a few seconds, the oldest goes when there are too many, and a body serves
 * all who ask within a quarter of a second. It comes behind everything that enforces.
 */
#ifndef SW_METRICS_HTTP_H
#define SW_METRICS_HTTP_H

#include <stddef.h>
#include <sys/types.h>
#include <systemd/sd-event.h>

#include "daemon/fault.h"

/* Connections at a time, what a request may have of bytes, and how long it may take from connecting to the
   last byte of the answer. */
#define SW_METRICS_PEERS 32
#define SW_METRICS_REQUEST_BYTES 8192
#define SW_METRICS_SECONDS 5

/* Text of the format 0.0.4, malloc'ed. NULL: out of memory. */
typedef char *sw_metrics_body(void *data, size_t *length);

struct sw_metrics_http;

/*
 * Listens on `address`: "127.0.0.1:PORT" (all of 127.0.0.0/8 will do), "[::1]:PORT", or "unix:PATH" with
 * PATH absolute; the socket then has mode 0660 and the group `readers` ((gid_t)-1: mode 0600), and takes
 * the place of one that nobody listens on. Call it before privileges are dropped. -1 after filling *fault:
 * SW_EXIT_USAGE for an address that will not do, SW_EXIT_KERNEL for one that cannot be had.
 */
int sw_metrics_http_open(sd_event *loop, const char *address, gid_t readers, sw_metrics_body *body,
			 void *data, struct sw_metrics_http **http, struct sw_fault *fault);
void sw_metrics_http_close(struct sw_metrics_http *http); /* NULL: nothing happens */

#endif
