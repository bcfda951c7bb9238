/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * edge_tc.bpf.c - TC egress of guarded interfaces: what servers send to clients. The gate learns from it what
 * was offered and granted; nothing is asked of flows that have no entry, or are in TLS.
 *
 * Which way it fails: what the gate did not read grants nothing, so packets whose headers cannot be walked
 * pass. A packet that looks like a server's but is somebody else's can at most keep a connection from coming
 * to TLS, unless its sender sees what the client sends: then he can be the server just as well. Clients see
 * that, so nothing is learnt from what comes back to the interface that it came in through.
 */
#include "bpf/edge_pool.h"

#include "bpf/edge_match.h"

#define SW_TC_PASS (-1) /* TC_ACT_UNSPEC: other programs are asked as well */
#define SW_TC_DROP 2    /* TC_ACT_SHOT */

/* Is it an Ethernet frame that surely comes from no port that is named? 0: it must be walked. Most packets of
   an interface are told by this. */
SW_INLINE int sw_served_passes(struct __sk_buff *skb, const struct sw_policy *policy)
{
	const __u8 *data = (void *)(unsigned long)skb->data;
	const __u8 *end = (void *)(unsigned long)skb->data_end;
	__u16 ether;

	/* A packet that begins with IP has 4 or 6 in its first digit. */
	if (data + 38 > end || data[0] >> 4 == 4 || data[0] >> 4 == 6)
		return 0;
	ether = sw_parse_u16(data + 12);
	if (ether == SW_ETHER_IPV4) {
		if (data[14] != 0x45 || data[23] == SW_PROTOCOL_AH)
			return 0;
		return data[23] != SW_PROTOCOL_TCP ||
		       !sw_edge_guarded(policy, sw_parse_u16(data + 34));
	}
	if (ether != SW_ETHER_IPV6 || data + 58 > end || data[20] != SW_PROTOCOL_TCP)
		return 0;
	return !sw_edge_guarded(policy, sw_parse_u16(data + 54));
}

/* Not static: looked at by the verifier once. */
__noinline int sw_served_walk(struct __sk_buff *skb, struct sw_packet *packet, __u32 link)
{
	if (!packet)
		return -1;
	sw_parse_begin(packet);
	if (link == SW_LINK_IP ? sw_parse_bare(skb, packet) : sw_parse_ethernet(skb, packet))
		return -1;
	sw_parse_ip(skb, packet);
	return 0;
}

/* The server's half. */
__noinline int sw_served_gate(struct __sk_buff *skb, struct sw_edge_gate *slot)
{
	return slot ? sw_gate_server(&slot->gate, skb, &slot->server) : SW_GATE_HOLD;
}

static __noinline int sw_served_read(struct __sk_buff *skb, struct sw_edge_work *work,
				     struct sw_edge_flow_slot *flow, __u32 length)
{
	struct sw_edge_gate *slot = sw_edge_gate_at(work->seen.gate);
	__u32 enforced;
	int answer;

	if (!slot)
		return sw_edge_lost(flow, work);
	if (sw_edge_busy(&slot->server_busy))
		return sw_edge_held(work);
	if (!sw_edge_owns(slot, work)) {
		sw_edge_done(&slot->server_busy);
		return sw_edge_lost(flow, work);
	}
	slot->used = 1;
	enforced = slot->gate.enforced;
	sw_edge_segment(&slot->server, &work->packet, length);
	answer = sw_served_gate(skb, slot);
	if (answer == SW_GATE_VIOLATION &&
	    sw_edge_condemn(flow, work, sw_edge_tell(work, &slot->gate), enforced))
		SW_WRITE_ONCE(slot->owner, 0);
	sw_edge_done(&slot->server_busy);
	if (answer == SW_GATE_PASS || !enforced)
		return SW_EDGE_PASS;
	if (answer == SW_GATE_VIOLATION)
		return SW_EDGE_RESET;
	sw_edge_count(SW_COUNT_EDGE_HELD);
	return SW_EDGE_DROP;
}

/* The server's answer to the client's SYN. While no byte was sent the last one counts: a forged one that
   came first would keep the connection from ever being read. */
static __noinline int sw_served_answer(struct sw_edge_work *work, struct sw_edge_flow_slot *flow,
				       __u32 length)
{
	const struct sw_edge_seen *seen = &work->seen;
	const struct sw_packet *packet = &work->packet;

	if (length)
		return sw_edge_held(work);
	if ((seen->state == SW_EDGE_SYN || seen->state == SW_EDGE_OPEN) &&
	    packet->ack == seen->start + 1)
		sw_edge_change(flow, work, SW_EDGE_OPEN, packet->seq);
	return SW_EDGE_PASS;
}

/* What the flow's rule asks for, where it is still there; and for events, where the packet goes. */
SW_INLINE void sw_served_rule(struct __sk_buff *skb, struct sw_edge_work *work)
{
	const struct sw_rule *rule;
	__u32 which;

	rule = sw_edge_rule_of(work->seen.rule, work->seen.generation, &which);
	work->action = rule ? rule->action : SW_ACTION_TLS;
	work->audit = rule && rule->flags & SW_RULE_AUDIT;
	work->rule = SW_RULE_NONE;
	work->slot = 0;
	work->generation = 0;
	sw_edge_describe(work);
	if (!work->packet.ip_at || bpf_skb_load_bytes(skb, 0, work->mac, sizeof(work->mac)) < 0)
		__builtin_memset(work->mac, 0, sizeof(work->mac));
}

static __noinline int sw_served_clear(struct __sk_buff *skb, struct sw_edge_work *work,
				      struct sw_edge_flow_slot *flow)
{
	__u32 length = sw_edge_payload(&work->packet, skb->len);
	__u8 flags = work->packet.tcp_flags, state = work->seen.state;

	sw_served_rule(skb, work);
	/* What a RST carries is nobody's to read. */
	if (flags & SW_TCP_RST)
		return SW_EDGE_PASS;
	if (work->packet.fragment)
		return sw_edge_held(work);
	if ((flags & (SW_TCP_SYN | SW_TCP_ACK | SW_TCP_FIN)) == (SW_TCP_SYN | SW_TCP_ACK))
		return sw_served_answer(work, flow, length);
	if (!length)
		return SW_EDGE_PASS;
	if (state == SW_EDGE_CONDEMNED)
		return SW_EDGE_RESET;
	if (flags & SW_TCP_SYN || state == SW_EDGE_SYN)
		return sw_edge_held(work);
	if (state == SW_EDGE_OPEN && !sw_edge_first_byte(flow, work))
		return sw_edge_held(work);
	return sw_served_read(skb, work, flow, length);
}

/* The flow of a packet to its client. */
SW_INLINE void sw_served_key(struct sw_edge_work *work, __u32 interface)
{
	const struct sw_packet *packet = &work->packet;
	struct sw_edge_flow *key = &work->key;

	__builtin_memcpy(key->src, packet->dst, sizeof(key->src));
	__builtin_memcpy(key->dst, packet->src, sizeof(key->dst));
	key->src_port = packet->dst_port;
	key->dst_port = packet->src_port;
	key->interface = interface;
}

SW_INLINE int sw_served(struct __sk_buff *skb, struct sw_edge_work *work,
			const struct sw_policy *policy)
{
	__u32 index = skb->ifindex;
	const struct sw_interface *interface = bpf_map_lookup_elem(&interfaces, &index);
	struct sw_packet *packet = &work->packet;
	struct sw_edge_flow_slot *flow;
	__u8 state;

	if (!interface || skb->ingress_ifindex == index)
		return SW_EDGE_PASS;
	sw_served_walk(skb, packet, interface->link);
	if (packet->verdict != SW_PARSE_TCP || !sw_edge_guarded(policy, packet->src_port) ||
	    sw_edge_is_mapped(packet->ether == SW_ETHER_IPV6, packet->src, packet->dst))
		return SW_EDGE_PASS;
	sw_served_key(work, index);
	flow = sw_edge_find(work);
	if (!flow)
		return SW_EDGE_PASS;
	sw_edge_look(flow, work, packet->tcp_flags & (SW_TCP_FIN | SW_TCP_RST));
	state = work->seen.state;
	if (state == SW_EDGE_TLS || state == SW_EDGE_FREE || state == SW_EDGE_RECORDED ||
	    state == SW_EDGE_UNREAD)
		return SW_EDGE_PASS;
	return sw_served_clear(skb, work, flow);
}

/*
 * What the server said does not reach the client, but the client is to say something, as that is when it gets
 * its RST: a segment far behind what it has is acknowledged and not read (RFC 9293, 3.10.7.4). Nothing else of
 * the packet changes, so that its checksum stays right whoever is to finish it.
 */
SW_INLINE int sw_served_provoke(struct __sk_buff *skb, const struct sw_packet *packet)
{
	__u32 old = bpf_htonl(packet->seq), new = bpf_htonl(packet->seq - (1u << 30));
	__u32 tcp = packet->tcp_at;

	if (packet->fragment || bpf_l4_csum_replace(skb, tcp + 16, old, new, sizeof(new)) < 0 ||
	    bpf_skb_store_bytes(skb, tcp + 4, &new, sizeof(new), 0) < 0)
		return SW_TC_DROP;
	return SW_TC_PASS;
}

SEC("tc")
int sw_edge_served(struct __sk_buff *skb)
{
	__u32 zero = 0, tc = 1, slot;
	struct sw_head *at = bpf_map_lookup_elem(&head, &zero);
	const struct sw_policy *policy;
	struct sw_edge_work *work;
	int answer;

	if (!at)
		return SW_TC_PASS;
	policy = sw_policy_in_force(at, &slot);
	if (sw_served_passes(skb, policy))
		return SW_TC_PASS;
	work = bpf_map_lookup_elem(&edge_work, &tc);
	answer = work ? sw_served(skb, work, policy) : SW_EDGE_PASS;
	if (answer == SW_EDGE_PASS)
		return SW_TC_PASS;
	sw_edge_count(SW_COUNT_EDGE_DROPPED);
	return answer == SW_EDGE_RESET ? sw_served_provoke(skb, &work->packet) : SW_TC_DROP;
}

char sw_license[] SEC("license") = "GPL";
