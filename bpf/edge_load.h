/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * edge_load.h - how XDP programs have a packet's bytes. Included before everything else, as the cores are told by
 * it. What lies in the first piece of a packet is read in place, the rest by the kernel's helper.
 */
#ifndef SW_EDGE_LOAD_H
#define SW_EDGE_LOAD_H

#define SW_PARSE_LOAD(from, offset, to, size) sw_xdp_load(from, offset, to, size)
#define SW_GATE_LOAD(from, offset, to, size) bpf_xdp_load_bytes(from, offset, to, size)

#include "bpf/kernel.h"

#define SW_XDP_OFFSET_MAX 0x7fff /* the verifier follows offsets of a packet up to 65535 */

/* `size` is a constant. */
SW_INLINE long sw_xdp_load(struct xdp_md *ctx, __u32 offset, void *to, __u32 size)
{
	void *data = (void *)(unsigned long)ctx->data, *end = (void *)(unsigned long)ctx->data_end;
	__u64 at = offset;

	if (at <= SW_XDP_OFFSET_MAX) {
		SW_OPAQUE(at);
		at &= SW_XDP_OFFSET_MAX;
		data += at;
		if (data + size <= end) {
			__builtin_memcpy(to, data, size);
			return 0;
		}
	}
	return bpf_xdp_load_bytes(ctx, offset, to, size);
}

#endif
