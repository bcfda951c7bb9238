/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * privileges.h - what the daemon may still do once it stands. The only file with libcap-ng.
 */
#ifndef SW_PRIVILEGES_H
#define SW_PRIVILEGES_H

#include "daemon/fault.h"

/*
 * Keeps CAP_BPF, CAP_PERFMON and CAP_NET_ADMIN, gives up every other capability in every set for
 * good, and forbids that an exec gains any. Mounts, folders and the lock must stand before. A
 * failure is a fault: a daemon that kept more than it says does not run.
 */
int sw_privileges_drop(struct sw_fault *fault);

#endif
