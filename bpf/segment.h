/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * segment.h - from a packet to what gate.h is told of it.
 */
#ifndef SW_SEGMENT_H
#define SW_SEGMENT_H

#include "bpf/kernel.h"
#include "bpf/maps_host.h"

/* What programs on packets answer. */
#define SW_SKB_DROP 0
#define SW_SKB_PASS 1

/* Walks the headers. Not static, so that the verifier looks at it once by itself: what follows then
   is one case for it, not one for each way through the headers. */
__noinline int sw_walk_headers(struct __sk_buff *skb, struct sw_packet *packet)
{
	if (!packet)
		return -1;
	sw_parse_begin(packet);
	packet->ether = bpf_ntohs(skb->protocol);
	sw_parse_ip(skb, packet);
	return 0;
}

/* Bytes in pages that the sender can write to while they are on their way: MSG_ZEROCOPY, sendfile,
   vmsplice. What was looked at need not be what arrives. */
static __noinline int sw_is_shared(struct __sk_buff *skb)
{
	struct sk_buff *kernel_skb = (struct sk_buff *)(unsigned long)sw_address(skb);
	struct skb_shared_info *info;

	info = (struct skb_shared_info *)(BPF_CORE_READ(kernel_skb, head) +
					  BPF_CORE_READ(kernel_skb, end));
	return !!(BPF_CORE_READ(info, flags) & SW_SHARED_FRAG);
}

/* Reads the headers of a packet of TCP. 0: side->segment is filled; -1: they cannot be read. */
SW_INLINE int sw_read_segment(struct __sk_buff *skb, struct sw_side *side)
{
	struct sw_packet *packet = &side->packet;

	sw_walk_headers(skb, packet);
	if (packet->verdict != SW_PARSE_TCP || packet->at > skb->len)
		return -1;
	/* What is there, not what the header says: a super-packet's may say nothing. */
	side->segment.length = skb->len - packet->at;
	side->segment.seq = packet->seq;
	side->segment.ack = packet->ack;
	side->segment.acks = !!(packet->tcp_flags & SW_TCP_ACK);
	side->segment.at = packet->at;
	side->segment.syn = !!(packet->tcp_flags & SW_TCP_SYN);
	side->segment.urgent = !!(packet->tcp_flags & SW_TCP_URG);
	return 0;
}

/* Does the gate learn anything from it? An acknowledgement alone would end the reading of what a
   server's handshake holds before the rest of it has come. */
SW_INLINE int sw_is_telling(const struct sw_side *side)
{
	return side->segment.length || side->packet.tcp_flags & (SW_TCP_SYN | SW_TCP_FIN);
}

#endif
