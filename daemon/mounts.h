/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * mounts.h - where the cgroup and bpf file systems are, as this process sees them.
 */
#ifndef SW_MOUNTS_H
#define SW_MOUNTS_H

#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include "daemon/fault.h"

/* Reads mountinfo text and returns the mount point (malloc'ed) of the first cgroup2 mount that shows
   the whole hierarchy, or NULL. */
char *sw_mounts_find_cgroup2(FILE *mountinfo);

/* The same from /proc/self/mountinfo. */
char *sw_cgroup2_root(struct sw_fault *fault);

/* Opens a folder of a cgroup2 mount; the fd, or -1 with a fault. */
int sw_cgroup_open(const char *path, struct sw_fault *fault);

/*
 * Ids of a cgroup and of all below it, sorted, malloc'ed. *ids = NULL with *n = 0: it is the root, so
 * every cgroup is below it. 0 or -1.
 */
int sw_cgroup_tree(const char *path, uint64_t **ids, size_t *n, struct sw_fault *fault);

/*
 * Makes PIN_DIR. Its parent must lie on a bpf file system; the usual place is mounted when it is
 * not yet. Nothing is mounted elsewhere, nor from a mount namespace of our own, where the pins
 * would end with the daemon.
 */
int sw_pin_dir_make(const char *path, struct sw_fault *fault);

#endif
