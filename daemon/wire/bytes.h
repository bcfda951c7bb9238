/* SPDX-License-Identifier: GPL-2.0-or-later */
/* bytes.h - bytes as the cores of bpf/ read them outside of the kernel. Private to daemon/wire. */
#ifndef SW_BYTES_H
#define SW_BYTES_H

#include <stddef.h>
#include <stdint.h>
#include <string.h>

struct sw_bytes {
	const uint8_t *at;
	size_t n;
};

/* What is not there is not to be had. */
static inline int sw_bytes_load(void *from, uint32_t offset, void *to, uint32_t size)
{
	const struct sw_bytes *bytes = from;

	if (offset > bytes->n || size > bytes->n - offset)
		return -1;
	memcpy(to, bytes->at + offset, size);
	return 0;
}

#endif
