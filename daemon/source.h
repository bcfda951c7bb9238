/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * source.h - from a policy file to an image that can be enforced, with everything there was to say
 * about it.
 */
#ifndef SW_SOURCE_H
#define SW_SOURCE_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>

#include "daemon/policy/image.h"

struct sw_source {
	struct sw_image *image; /* NULL: the policy has errors, or asks for what cannot be done */
	char *said;             /* the diagnostics as printed, with carets; may be empty */
	bool want_records;      /* in: fill `diagnostics` */
	json_t *diagnostics;    /* the same as proto.h lists them */
	size_t errors, warnings;
};

/* Reads, checks and compiles. `name` is what diagnostics call the file; list files are relative to
   dir_fd; both fds are borrowed. */
void sw_source_read(struct sw_source *source, const char *name, int fd, int dir_fd, bool progress);

/* The same for a path. A file that cannot be opened is an error like any other. */
void sw_source_open(struct sw_source *source, const char *path, bool progress);

/* The sum that the image of this file would have (struct sw_image), without looking into lists: whether the
   file is right is not known. False: it cannot be read, or not parsed. */
bool sw_source_sum(const char *path, uint8_t sha256[static 32]);

void sw_source_free(struct sw_source *source); /* what it holds; for sw_cleanup */

#endif
