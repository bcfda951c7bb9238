/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * fault.h - what went wrong, as a sentence for people and a status for programs. A function that
 * can fail fills one and returns -1; only the top layer shows it.
 */
#ifndef SW_FAULT_H
#define SW_FAULT_H

#include "daemon/base.h"

/* Exit codes of both programs; proto.h has the same numbers as SW_STATUS_*. */
#define SW_EXIT_OK 0
#define SW_EXIT_NO 1
#define SW_EXIT_USAGE 2
#define SW_EXIT_NO_DAEMON 3
#define SW_EXIT_KERNEL 4

struct sw_fault {
	int status; /* SW_EXIT_* */
	char text[2048];
};

/* Fills *fault and returns -1. A text that is too long is cut. */
int sw_fault(struct sw_fault *fault, int status, const char *format, ...) sw_printf(3, 4);

#endif
