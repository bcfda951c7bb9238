/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * metrics_library.h - libmicrohttpd, loaded when metrics are asked for. It brings GnuTLS with it, which sets
 * itself up as it is loaded: some 10 ms of each start and 2 MiB, for those who do not ask.
 */
#ifndef SW_METRICS_LIBRARY_H
#define SW_METRICS_LIBRARY_H

#include <microhttpd.h>

#include "daemon/fault.h"

/* What is used of it: MHD_run() is `run` and so on. */
#define SW_MHD_FUNCTIONS(X)                                                                        \
	X(add_connection)                                                                          \
	X(add_response_header)                                                                     \
	X(create_response_from_buffer)                                                             \
	X(destroy_response)                                                                        \
	X(get_connection_info)                                                                     \
	X(get_daemon_info)                                                                         \
	X(get_timeout)                                                                             \
	X(queue_response)                                                                          \
	X(run)                                                                                     \
	X(start_daemon)                                                                            \
	X(stop_daemon)

struct sw_mhd {
	void *handle;
#define SW_MHD_MEMBER(name) __typeof__(MHD_##name) *name;
	SW_MHD_FUNCTIONS(SW_MHD_MEMBER)
#undef SW_MHD_MEMBER
};

/* 0 or -1; it stays loaded to the end of the process. */
int sw_mhd_load(struct sw_mhd *mhd, struct sw_fault *fault);

#endif
