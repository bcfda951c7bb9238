/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * lock.h - one daemon per run folder and per pin folder.
 */
#ifndef SW_LOCK_H
#define SW_LOCK_H

#include "daemon/fault.h"

/* Locks RUN_DIR by a file in it that names our pid. The fd holds the lock until it is closed; a
   daemon that is killed leaves none. -1: the fault names the process that has it. */
int sw_lock_run_dir(const char *run_dir, struct sw_fault *fault);

/* Locks a folder that can hold no ordinary file. */
int sw_lock_pin_dir(const char *pin_dir, struct sw_fault *fault);

#endif
