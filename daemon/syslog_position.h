/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * syslog_position.h - STATE_DIR/syslog.position: the id of the last event that the collector has for
 * certain, in decimal. Written beside its place and renamed, so there is always a whole one.
 */
#ifndef SW_SYSLOG_POSITION_H
#define SW_SYSLOG_POSITION_H

#include <stdint.h>

#include "daemon/fault.h"

#define SW_SYSLOG_POSITION "syslog.position"

/* 1: there is one; 0: none, *id is not touched. One that is not a number counts as 0: everything that is
   kept is sent. -1 after filling *fault. */
int sw_syslog_position_read(int state_dir, uint64_t *id, struct sw_fault *fault);

/* On disk when it returns 0. */
int sw_syslog_position_write(int state_dir, uint64_t id, struct sw_fault *fault);

#endif
