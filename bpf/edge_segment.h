/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * edge_segment.h - from a packet to what gate.h is told of it, at the edge; and what becomes of one that the
 * gate cannot read yet.
 */
#ifndef SW_EDGE_SEGMENT_H
#define SW_EDGE_SEGMENT_H

#include "bpf/count.h"
#include "bpf/edge_sources.h"
#include "bpf/maps_edge.h"

SW_INLINE int sw_edge_enforces(const struct sw_edge_work *work)
{
	return work->action == SW_ACTION_TLS && !work->audit;
}

/* Bytes of payload that are there. Behind what IP claims there is padding; a claim that does not even cover
   the headers is one that somebody reads otherwise (0: length of a super-packet), so all counts. */
SW_INLINE __u32 sw_edge_payload(const struct sw_packet *packet, __u32 there)
{
	__u32 end = packet->end;

	if (end < packet->at || end > there)
		end = there;
	return end > packet->at ? end - packet->at : 0;
}

SW_INLINE void sw_edge_segment(struct sw_gate_segment *segment, const struct sw_packet *packet,
			       __u32 length)
{
	segment->seq = packet->seq;
	segment->ack = packet->ack;
	segment->acks = !!(packet->tcp_flags & SW_TCP_ACK);
	segment->at = packet->at;
	segment->length = length;
	segment->syn = 0;
	segment->urgent = !!(packet->tcp_flags & SW_TCP_URG);
	segment->shared = 0;
}

SW_INLINE int sw_edge_held(const struct sw_edge_work *work)
{
	if (!sw_edge_enforces(work))
		return SW_EDGE_PASS;
	sw_edge_count(SW_COUNT_EDGE_HELD);
	return SW_EDGE_DROP;
}

#endif
