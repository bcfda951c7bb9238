/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * digest.h - SHA-256 of a policy and of what it reads from this machine: its list files, and the
 * numbers of users and groups that it names. A user that was removed and made again has another number,
 * so the same text is another policy then.
 */
#ifndef SW_DIGEST_H
#define SW_DIGEST_H

#include <stddef.h>
#include <stdint.h>

struct sw_digest;

/* NULL when the library has no memory or no SHA-256. */
struct sw_digest *sw_digest_new(void);
void sw_digest_add(struct sw_digest *digest, const void *bytes, size_t length);
/* Writes the sum and frees. Returns 0, or -EIO when any step failed; then *sum is untouched. */
int sw_digest_end(struct sw_digest *digest, uint8_t sum[static 32]);

#endif
