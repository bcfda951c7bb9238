/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * syslog_tls.h - the client's side of TLS to a collector (RFC 5425), over a socket that does not block.
 * TLS 1.2 or newer. The server's certificate must lead to an authority that is trusted, and carry the
 * name that was asked for; before that nothing of a message is sent.
 */
#ifndef SW_SYSLOG_TLS_H
#define SW_SYSLOG_TLS_H

#include <stddef.h>
#include <sys/types.h>

#include "daemon/fault.h"

struct sw_syslog_tls_files {
	const char *ca;   /* PEM; NULL: the authorities that this system trusts */
	const char *cert; /* PEM, with its chain; NULL: none is shown */
	const char *key;  /* PEM, without a passphrase; NULL: in `cert` */
	const char *name; /* what the server's certificate must say: a DNS name or an address */
};

struct sw_syslog_tls_context;
struct sw_syslog_tls;

/* Reads the files. 0 or -1 after filling *fault. */
int sw_syslog_tls_open(const struct sw_syslog_tls_files *files,
		       struct sw_syslog_tls_context **context, struct sw_fault *fault);
void sw_syslog_tls_close(struct sw_syslog_tls_context *context);

/* One connection over `fd`, which stays the caller's. NULL: out of memory. */
struct sw_syslog_tls *sw_syslog_tls_new(struct sw_syslog_tls_context *context, int fd);
void sw_syslog_tls_free(struct sw_syslog_tls *tls);

/*
 * What follows returns how many bytes it dealt with (the handshake: 1), 0 when it must be called again
 * once the socket has *events of poll(), or -1 after filling *fault: the connection is over.
 */
int sw_syslog_tls_handshake(struct sw_syslog_tls *tls, short *events, struct sw_fault *fault);
ssize_t sw_syslog_tls_write(struct sw_syslog_tls *tls, const void *bytes, size_t n, short *events,
			    struct sw_fault *fault);
ssize_t sw_syslog_tls_read(struct sw_syslog_tls *tls, void *bytes, size_t n, short *events,
			   struct sw_fault *fault);

/* Says that nothing more will be sent (close_notify), if there is room for that. */
void sw_syslog_tls_end(struct sw_syslog_tls *tls);

#endif
