/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * capture.h - a file of captured packets, pcap or pcapng. Nothing is printed here.
 */
#ifndef SW_CAPTURE_H
#define SW_CAPTURE_H

#include <stdio.h>

#include "daemon/wire/streams.h"

#define SW_CAPTURE_ERROR_SIZE 512

struct sw_capture;

struct sw_captured {
	uint64_t time_ns;     /* since 1970 */
	const uint8_t *bytes; /* valid until the next one is read */
	size_t n, whole;      /* captured, and as it was on the wire */
};

/* Opens a file; "-" is standard input. `file` is closed in any case. NULL: a sentence in `error`. */
struct sw_capture *sw_capture_open(const char *name, char error[static SW_CAPTURE_ERROR_SIZE]);
struct sw_capture *sw_capture_open_file(FILE *file, char error[static SW_CAPTURE_ERROR_SIZE]);
void sw_capture_close(struct sw_capture *capture);

enum sw_layer sw_capture_link(const struct sw_capture *capture);

/* 1: the next packet; 0: the file ends; -EBADMSG: it is damaged, a sentence in `error`. */
int sw_capture_next(struct sw_capture *capture, struct sw_captured *packet,
		    char error[static SW_CAPTURE_ERROR_SIZE]);

/* Bytes that were read. */
size_t sw_capture_at(const struct sw_capture *capture);

#endif
