/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * xdp_programs.bpf.c - what the edge is compared with at XDP, and what makes packets for it: programs that change
 * the packet and then go on to the one that is measured, and one that sends packets to an interface.
 */
#include "bpf/kernel.h"

#include "tests/bench/xdp_least.h"
#include "tests/bench/xdp_packet.h"

char sw_license[] SEC("license") = "GPL";

struct {
	__uint(type, BPF_MAP_TYPE_PROG_ARRAY);
	__uint(max_entries, XDP_MEASURED_MAX);
	__type(key, __u32);
	__type(value, __u32);
} measured SEC(".maps");

/* Set by the benchmark. */
__u32 measured_next; /* index into `measured` */
__u32 random = 1;    /* never 0 */
__u32 flow_mask;     /* flows - 1, a power of two */
__u32 send_to;       /* interface; 0: nowhere */
__u32 send_drop;     /* the frame goes no further: what making it costs */
__u32 send_sum;      /* of the packet with the source port 0, as its checksum has it */
__u32 send_port;     /* goes up */
struct xdp_packet send_packet;

/* ---- to compare with ---- */

SEC("xdp.frags")
int empty(struct xdp_md *ctx __attribute__((unused)))
{
	return XDP_PASS;
}

SEC("xdp.frags")
int minimal(struct xdp_md *ctx)
{
	return to_refused_port(ctx);
}

SW_INLINE __u32 fold(__u64 sum)
{
	sum = (sum & 0xffffffff) + (sum >> 32);
	sum = (sum & 0xffff) + (sum >> 16);
	sum = (sum & 0xffff) + (sum >> 16);
	return (__u16) ~((sum & 0xffff) + (sum >> 16));
}

/* The least that answers: the headers of such a packet, turned round into those of a RST with its checksum. IP's stays
   right as it is. */
SW_INLINE int turn(struct xdp_md *ctx)
{
	__u8 *data = (void *)(unsigned long)ctx->data;
	__u32 *ip = (void *)(data + 14), *tcp = (void *)(data + 34), word, ports;
	__u16 *mac = (void *)data;

	if (data + XDP_PACKET > (__u8 *)(unsigned long)ctx->data_end)
		return XDP_ABORTED;
	for (int i = 0; i < 3; i++) {
		__u16 half = mac[i];

		mac[i] = mac[i + 3];
		mac[i + 3] = half;
	}
	word = ip[3];
	ip[3] = ip[4];
	ip[4] = word;
	ports = tcp[0] >> 16 | tcp[0] << 16;
	word = bpf_htonl(bpf_ntohl(tcp[1]) + 1);
	tcp[0] = ports;
	tcp[1] = 0;
	tcp[2] = word;
	tcp[3] = bpf_htonl(0x50140000);
	tcp[4] = fold((__u64)ip[3] + ip[4] + ports + word + tcp[3] + bpf_htonl(6 << 16 | 20));
	return XDP_TX;
}

SEC("xdp.frags")
int minimal_reset(struct xdp_md *ctx)
{
	int verdict = to_refused_port(ctx);

	return verdict == XDP_DROP ? turn(ctx) : verdict;
}

/* ---- packets that differ ---- */

SW_INLINE __u32 next_random(void)
{
	__u32 value = random;

	value ^= value << 13;
	value ^= value >> 17;
	value ^= value << 5;
	random = value;
	return value;
}

SW_INLINE int go_on(struct xdp_md *ctx, __u32 source)
{
	__u8 *data = (void *)(unsigned long)ctx->data;

	if (data + 34 > (__u8 *)(unsigned long)ctx->data_end)
		return XDP_ABORTED;
	*(__u32 *)(data + XDP_SOURCE_AT) = bpf_htonl(source);
	bpf_tail_call(ctx, &measured, measured_next);
	return XDP_ABORTED;
}

/* From anywhere. */
SEC("xdp.frags")
int vary_source(struct xdp_md *ctx)
{
	return go_on(ctx, next_random());
}

/* Of one of the flows, by chance. */
SEC("xdp.frags")
int vary_flow(struct xdp_md *ctx)
{
	return go_on(ctx, XDP_FLOW_SOURCE(next_random() & flow_mask));
}

/* Of a flow that was not there for the last 16 million packets. */
SEC("xdp.frags")
int vary_new(struct xdp_md *ctx)
{
	return go_on(ctx, XDP_FLOW_SOURCE(flow_new++));
}

/* ---- packets on their way ---- */

/* The frame is what the last one to have it left there, so it is written whole. */
SEC("xdp.frags")
int send(struct xdp_md *ctx)
{
	__u8 *data = (void *)(unsigned long)ctx->data;
	__u32 port = 1024 + (send_port++ & 0x7fff), sum = send_sum + port;

	if (data + XDP_PACKET > (__u8 *)(unsigned long)ctx->data_end)
		return XDP_ABORTED;
	*(struct xdp_words *)data = send_packet.words;
	*(__u16 *)(data + sizeof(struct xdp_words)) = send_packet.last;
	sum = (sum & 0xffff) + (sum >> 16);
	*(__u16 *)(data + XDP_PORT_AT) = bpf_htons(port);
	*(__u16 *)(data + XDP_SUM_AT) = bpf_htons((__u16) ~((sum & 0xffff) + (sum >> 16)));
	return send_drop ? XDP_DROP : (int)bpf_redirect(send_to, 0);
}

/* Where answers end. */
SEC("xdp.frags")
int sink(struct xdp_md *ctx __attribute__((unused)))
{
	return XDP_DROP;
}
