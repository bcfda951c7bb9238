/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * client.h - one conversation with smtpwalld. Nothing is printed here.
 */
#ifndef SW_CLIENT_H
#define SW_CLIENT_H

#include "daemon/proto.h"

struct sw_client {
	int fd;
	struct sw_reader reader;
};

#define SW_CLIENT_CLOSED                                                                           \
	{                                                                                          \
		.fd = -1                                                                           \
	}
#define sw_autoclient __attribute__((cleanup(sw_client_close)))

/* Connects to RUN_DIR/control. 0 or -errno. */
int sw_client_open(struct sw_client *client, const char *run_dir);
void sw_client_close(struct sw_client *client);

/* 0 or -errno; the descriptors stay the caller's. */
int sw_client_send(struct sw_client *client, const json_t *message, const int *fds, size_t n_fds);

/*
 * Waits for the next message, owned by the caller. With stop_fd -1 the wait ends after two minutes
 * without a byte (-ETIMEDOUT): the longest request, a policy of a million prefixes, takes seconds.
 * Else it is for ever, and ends with -ECANCELED when stop_fd can be read. 0 or -errno as
 * sw_reader_read() has them.
 */
int sw_client_next(struct sw_client *client, int stop_fd, json_t **message);

#endif
