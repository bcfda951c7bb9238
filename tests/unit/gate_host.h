/* SPDX-License-Identifier: GPL-2.0-or-later */
/* gate_host.h - bpf/gate.h on the host: segments of memory instead of packets. */
#ifndef SW_TEST_GATE_HOST_H
#define SW_TEST_GATE_HOST_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#define GH_AT 54 /* where a payload begins, as if headers stood before it */

struct gh_payload {
	const uint8_t *bytes;
	size_t n;
};

/* What is not there is not to be had; headers are no business of the gate. */
static inline int gh_load(void *from, uint32_t offset, void *to, uint32_t size)
{
	const struct gh_payload *payload = from;

	if (!size || offset < GH_AT || offset - GH_AT > payload->n ||
	    size > payload->n - (offset - GH_AT))
		return -1;
	memcpy(to, payload->bytes + (offset - GH_AT), size);
	return 0;
}

#define SW_GATE_LOAD(from, offset, to, size) gh_load(from, offset, to, size)
#define SW_GATE_LOOP(count, step, context)                                                         \
	do {                                                                                       \
		for (uint32_t gh_index = 0; gh_index < (count); gh_index++)                        \
			if (step(gh_index, context))                                               \
				break;                                                             \
	} while (0)

#include "bpf/gate.h"

#define GH_SYN 1
#define GH_URGENT 2
#define GH_SHARED 4

static inline int gh_segment(struct sw_gate *gate, bool server, uint32_t seq, const void *bytes,
			     size_t n, unsigned int flags)
{
	struct gh_payload payload = {bytes, n};
	struct sw_gate_segment segment = {
		.seq = seq,
		.at = GH_AT,
		.length = (uint32_t)n,
		.syn = !!(flags & GH_SYN),
		.urgent = !!(flags & GH_URGENT),
		.shared = !!(flags & GH_SHARED),
	};

	return server ? sw_gate_server(gate, &payload, &segment)
		      : sw_gate_client(gate, &payload, &segment);
}

#endif
