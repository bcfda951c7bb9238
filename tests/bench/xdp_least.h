/* SPDX-License-Identifier: GPL-2.0-or-later */
/* xdp_least.h - the least that a program of the edge must do, for what it must know: what the kernel allows. */
#ifndef SW_BENCH_XDP_LEAST_H
#define SW_BENCH_XDP_LEAST_H

#include "bpf/kernel.h"

#include "bpf/edge_hash.h"

#include "tests/bench/xdp_packet.h"

/* As many as a table of a million flows, of a cache line each. */
struct xdp_line {
	__u64 words[8];
};

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1u << XDP_LINES_BITS);
	__type(key, __u32);
	__type(value, struct xdp_line);
} lines SEC(".maps");

/* By XDP_PREFIX(); two lists. */
struct xdp_prefixes {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 1);
	__type(key, __u64);
	__type(value, __u32);
};

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY_OF_MAPS);
	__uint(max_entries, 2);
	__type(key, __u32);
	__array(values, struct xdp_prefixes);
} lists SEC(".maps");

struct xdp_flow {
	__u32 src, dst, ports, interface;
};

/* As the kernel keeps flows for a program that keeps none itself. */
struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, XDP_FLOWS_MAX);
	__type(key, struct xdp_flow);
	__type(value, __u64);
} kernel_flows SEC(".maps");

/* Set by the benchmark. */
__u64 secret[12]; /* random, of struct sw_edge_secret */
__u32 list;       /* index into `lists` */
__u32 flow_new;   /* goes up */

/* The least that tells a packet of TCP over IPv4 to a port: bounds, three headers, one comparison. */
SW_INLINE int to_refused_port(struct xdp_md *ctx)
{
	const __u8 *data = (void *)(unsigned long)ctx->data;
	const __u8 *end = (void *)(unsigned long)ctx->data_end;

	if (data + 54 > end || *(const __u16 *)(data + 12) != bpf_htons(0x0800))
		return XDP_PASS;
	if (data[14] != 0x45 || data[23] != SW_IPPROTO_TCP)
		return XDP_PASS;
	return *(const __u16 *)(data + 36) == bpf_htons(XDP_REFUSED_PORT) ? XDP_DROP : XDP_PASS;
}

/* The line of a packet's source in a large table. NULL: it has no source. */
SW_INLINE struct xdp_line *line_of(struct xdp_md *ctx)
{
	const __u8 *data = (void *)(unsigned long)ctx->data;
	__u32 at;

	if (data + XDP_SOURCE_AT + 4 > (const __u8 *)(unsigned long)ctx->data_end)
		return 0;
	at = *(const __u32 *)(data + XDP_SOURCE_AT) * 0x9e3779b1u >> (32 - XDP_LINES_BITS);
	return bpf_map_lookup_elem(&lines, &at);
}

/* The least that is known by a packet's source in such a table: one line of it. */
SEC("xdp.frags")
int minimal_line(struct xdp_md *ctx)
{
	int answer = to_refused_port(ctx);
	const struct xdp_line *line = line_of(ctx);

	return line && !line->words[0] ? answer : XDP_ABORTED;
}

/* The least that tells a packet's flow there by the whole of its key, where nobody may know which flows lie beside each
   other. */
SEC("xdp.frags")
int minimal_told(struct xdp_md *ctx)
{
	const __u8 *data = (void *)(unsigned long)ctx->data;
	int answer = to_refused_port(ctx);
	const struct xdp_line *line;
	__u64 key[5] = {}, different;
	__u32 at;

	if (data + XDP_PACKET > (const __u8 *)(unsigned long)ctx->data_end)
		return XDP_ABORTED;
	key[1] = (__u64) * (const __u32 *)(data + XDP_SOURCE_AT) << 32 | SW_EDGE_MAPPED;
	key[3] = (__u64) * (const __u32 *)(data + XDP_SOURCE_AT + 4) << 32 | SW_EDGE_MAPPED;
	key[4] = (__u64)ctx->ingress_ifindex << 32 | *(const __u32 *)(data + XDP_PORT_AT);
	at = sw_edge_flow_place(sw_edge_flow_hash((const void *)secret, key),
				(1u << XDP_LINES_BITS) / SW_EDGE_WAYS);
	line = bpf_map_lookup_elem(&lines, &at);
	if (!line)
		return XDP_ABORTED;
	different = (line->words[0] ^ key[0]) | (line->words[1] ^ key[1]) |
		    (line->words[2] ^ key[2]) | (line->words[3] ^ key[3]) |
		    (line->words[4] ^ key[4]);
	return different ? answer : XDP_ABORTED;
}

/* The least that is kept of a packet there, and that no other CPU may undo. */
SEC("xdp.frags")
int minimal_kept(struct xdp_md *ctx)
{
	int answer = to_refused_port(ctx);
	struct xdp_line *line = line_of(ctx);

	if (!line || line->words[0])
		return XDP_ABORTED;
	__sync_fetch_and_add(&line->words[1], 1);
	return answer;
}

/* The same, waited for: the next packet is not begun meanwhile. What the CPU does of two packets at once is otherwise
   not seen. */
SEC("xdp.frags")
int minimal_waited(struct xdp_md *ctx)
{
	int answer = to_refused_port(ctx);
	struct xdp_line *line = line_of(ctx);

	if (!line)
		return XDP_ABORTED;
	flow_new += (__u32)line->words[0]; /* 0, which only memory knows */
	__sync_fetch_and_add(&line->words[1], 1);
	return answer;
}

/* The least that keeps a flow by the kernel's own table. */
SEC("xdp.frags")
int minimal_flow(struct xdp_md *ctx)
{
	const __u8 *data = (void *)(unsigned long)ctx->data;
	int answer = to_refused_port(ctx);
	struct xdp_flow flow = {.interface = ctx->ingress_ifindex};
	__u64 none = 0;

	if (data + XDP_PACKET > (const __u8 *)(unsigned long)ctx->data_end)
		return XDP_ABORTED;
	flow.src = *(const __u32 *)(data + XDP_SOURCE_AT);
	flow.dst = *(const __u32 *)(data + XDP_SOURCE_AT + 4);
	flow.ports = *(const __u32 *)(data + XDP_PORT_AT);
	return bpf_map_update_elem(&kernel_flows, &flow, &none, BPF_ANY) ? XDP_ABORTED : answer;
}

/* The least that holds a source against a list of prefixes: one look for each of four lengths. */
SEC("xdp.frags")
int minimal_list(struct xdp_md *ctx)
{
	static const __u32 lengths[] = {32, 24, 22, 19};
	const __u8 *data = (void *)(unsigned long)ctx->data;
	int answer = to_refused_port(ctx);
	void *prefixes = bpf_map_lookup_elem(&lists, &list);
	__u32 addr;

	if (!prefixes || data + XDP_SOURCE_AT + 4 > (const __u8 *)(unsigned long)ctx->data_end)
		return XDP_ABORTED;
	addr = bpf_ntohl(*(const __u32 *)(data + XDP_SOURCE_AT));
#pragma unroll
	for (int i = 0; i < 4; i++) {
		__u64 key = XDP_PREFIX(addr & ~0u << (32 - lengths[i]), lengths[i]);

		if (bpf_map_lookup_elem(prefixes, &key))
			return XDP_DROP;
	}
	return answer;
}

#endif
