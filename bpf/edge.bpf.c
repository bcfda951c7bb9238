/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * edge.bpf.c - the edge: what clients send, at XDP on the interfaces that they come in by. What servers send back is
 * looked at by edge_tc.bpf.c.
 */
#include "bpf/edge_load.h"

#include "bpf/edge_answer.h"
#include "bpf/edge_flood.h"
#include "bpf/edge_gates.h"
#include "bpf/edge_packet.h"
#include "bpf/edge_settled.h"
#include "bpf/edge_sources.h"

char sw_license[] SEC("license") = "GPL";

/* ---- what does not pass ---- */

/* Headers that cannot be walked, or not as a receiver would. */
static __noinline int sw_xdp_malformed(struct sw_edge_work *work, __u32 enforced)
{
	if (!enforced) {
		sw_edge_count(SW_COUNT_EDGE_AUDITED);
		sw_edge_report(work, SW_VERDICT_AUDIT, SW_REASON_MALFORMED);
		return XDP_PASS;
	}
	sw_edge_count(SW_COUNT_EDGE_MALFORMED);
	sw_edge_count(SW_COUNT_EDGE_DROPPED);
	sw_edge_report(work, SW_VERDICT_DROP, SW_REASON_MALFORMED);
	return XDP_DROP;
}

SW_INLINE int sw_xdp_is_syn(const struct sw_packet *packet)
{
	return (packet->tcp_flags & (SW_TCP_SYN | SW_TCP_ACK | SW_TCP_RST | SW_TCP_FIN)) ==
	       SW_TCP_SYN;
}

/* Under a rule that refuses; also under none, and on an interface that nothing is known of. */
static __noinline int sw_xdp_refuse(struct xdp_md *ctx, struct sw_edge_work *work, __u8 reason)
{
	__u32 syn = sw_xdp_is_syn(&work->packet), drop = work->action == SW_ACTION_DROP;
	__u32 answer = !drop && work->flags & SW_RULE_ANSWER;
	int verdict;

	if (work->audit) {
		if (syn) {
			sw_edge_count(SW_COUNT_EDGE_AUDITED);
			sw_edge_report(work, SW_VERDICT_AUDIT, reason);
		}
		return XDP_PASS;
	}
	if (syn)
		sw_edge_count(SW_COUNT_EDGE_REFUSED);
	/* Of a connection that is answered its SYN tells everything (and sw_xdp_answer() of one whose SYN was not
	   seen), of one that ends its RST nothing. */
	if (syn || !(answer || work->packet.tcp_flags & SW_TCP_RST))
		sw_edge_report(work,
			       drop  ? SW_VERDICT_DROP
			       : syn ? SW_VERDICT_REJECT
				     : SW_VERDICT_RESET,
			       reason);
	if (answer) {
		verdict = sw_xdp_answer(ctx, work);
		if (verdict != SW_XDP_NO_ANSWER)
			return verdict;
	}
	if (syn && !answer)
		sw_recent_expect(work, !drop);
	if (!drop)
		return sw_xdp_reset(ctx, work);
	sw_edge_count(SW_COUNT_EDGE_DROPPED);
	return XDP_DROP;
}

/* ---- what may pass ---- */

/* Under a rule that the gate has to do with. */
static __noinline int sw_xdp_gate(struct xdp_md *ctx, struct sw_edge_work *work)
{
	__u32 syn = sw_xdp_is_syn(&work->packet);
	int answer = sw_edge_gated(ctx, work);

	if (answer == SW_EDGE_RESET)
		return sw_xdp_reset(ctx, work);
	if (answer != SW_EDGE_PASS) {
		sw_edge_count(SW_COUNT_EDGE_DROPPED);
		return XDP_DROP;
	}
	if (syn) {
		sw_edge_count(SW_COUNT_EDGE_ALLOWED);
		if (work->action == SW_ACTION_AUDIT)
			sw_edge_report(work, SW_VERDICT_AUDIT, SW_REASON_NONE);
	}
	return XDP_PASS;
}

SW_INLINE int sw_xdp_act(struct xdp_md *ctx, struct sw_edge_work *work)
{
	__u32 syn = sw_xdp_is_syn(&work->packet);

	if (syn) {
		sw_edge_count(SW_COUNT_EDGE_CONNECT);
		if (work->rule < SW_RULES_MAX)
			sw_edge_hit(work->slot, work->rule);
	}
	if (work->action == SW_ACTION_TLS || work->action == SW_ACTION_AUDIT)
		return sw_xdp_gate(ctx, work);
	if (work->action != SW_ACTION_ALLOW)
		return sw_xdp_refuse(ctx, work, SW_REASON_NOT_PERMITTED);
	if (syn)
		sw_edge_count(SW_COUNT_EDGE_ALLOWED);
	return XDP_PASS;
}

/* ---- the way of a packet ---- */

/* An interface without an entry: nothing passes to a port that is named anywhere. */
static __noinline int sw_xdp_unknown(struct xdp_md *ctx, struct sw_edge_work *work)
{
	if (!sw_xdp_has_port(&work->packet) || !sw_xdp_is_sound(ctx, &work->packet))
		return sw_xdp_malformed(work, 1);
	if (sw_xdp_is_syn(&work->packet))
		sw_edge_count(SW_COUNT_EDGE_CONNECT);
	return sw_xdp_refuse(ctx, work, SW_REASON_UNIDENTIFIED);
}

/* To a port that an edge block names, or to one that cannot be told. */
SW_INLINE int sw_xdp_guarded(struct xdp_md *ctx, struct sw_edge_work *work,
			     const struct sw_policy *policy, const struct sw_interface *interface)
{
	__u32 named = sw_xdp_has_port(&work->packet), sound = sw_xdp_is_sound(ctx, &work->packet);
	__u32 rule = SW_RECENT_UNKNOWN;
	__u64 slot = work->slot;

	SW_OPAQUE(slot);
	slot &= 1;
	work->rule = SW_RULE_NONE;
	work->action = SW_ACTION_REJECT;
	work->flags = work->audit = work->known = 0;
	work->generation = policy->generation;
	sw_xdp_set_key(ctx, work);
	if (!interface) {
		sw_xdp_identify(ctx, work, SW_LINK_ETHERNET);
		return sw_xdp_unknown(ctx, work);
	}
	if (!interface->named[slot])
		return XDP_PASS;
	if (sound && !(work->packet.tcp_flags & SW_TCP_SYN) && sw_edge_is_settled(work, &edge_head))
		return XDP_PASS;
	if (named) {
		rule = sw_recent_rule(work, policy);
		if (rule == SW_RECENT_UNKNOWN && !sw_xdp_begin(work, interface))
			return XDP_PASS;
	}
	work->ethernet = interface->link == SW_LINK_ETHERNET;
	sw_xdp_identify(ctx, work, interface->link);
	if (!sound)
		return sw_xdp_malformed(work, interface->enforced[slot]);
	if (rule == SW_RECENT_UNKNOWN)
		sw_xdp_decide(work, policy);
	else
		sw_xdp_set_rule(work, policy, rule);
	return sw_xdp_act(ctx, work);
}

/* Leaves the headers in `packet`, as the interface has them. */
SW_INLINE void sw_xdp_read(struct xdp_md *ctx, struct sw_packet *packet,
			   const struct sw_interface *interface, __u32 plain)
{
	__u32 link = interface ? interface->link : SW_LINK_ETHERNET;

	if (plain && link == SW_LINK_ETHERNET && sw_xdp_read_plain(ctx, packet))
		return;
	sw_xdp_walk(ctx, packet, link);
	/* Of an interface that nothing is known of either reading counts. */
	if (!interface && sw_xdp_is_other(packet) && sw_xdp_may_be_bare(ctx))
		sw_xdp_walk(ctx, packet, SW_LINK_IP);
}

/* `plain`: an Ethernet frame that sw_xdp_glance() told a port of, or a packet without a link header that looks so. */
static __noinline int sw_xdp_packet(struct xdp_md *ctx, __u32 plain)
{
	__u32 zero = 0, index = ctx->ingress_ifindex;
	const struct sw_interface *interface;
	const struct sw_policy *policy;
	struct sw_edge_work *work;
	struct sw_packet *packet;

	work = bpf_map_lookup_elem(&edge_work, &zero);
	if (!work)
		return XDP_DROP;
	work->state = SW_READ_ONCE(edge_head.active);
	work->slot = work->state & 1;
	policy = sw_head_policy(work->state);
	packet = &work->packet;
	interface = bpf_map_lookup_elem(&interfaces, &index);
	sw_xdp_read(ctx, packet, interface, plain);
	if (sw_xdp_is_other(packet))
		return XDP_PASS;
	if (sw_xdp_has_port(packet) && !sw_edge_guarded(policy, packet->dst_port))
		return XDP_PASS;
	return sw_xdp_guarded(ctx, work, policy, interface);
}

/* What may go to a port that is named, and what must be walked to tell. */
static __noinline int sw_xdp_named(struct xdp_md *ctx, __u32 glance)
{
	__u32 plain = glance < SW_GLANCE_OTHER;
	int answer = SW_FLOOD_NOT;

	if (plain && sw_xdp_is_settled(ctx))
		return XDP_PASS;
	if (plain)
		answer = sw_flood(ctx);
	/* Looked at by the verifier once for both. */
	SW_OPAQUE(plain);
	return answer == SW_FLOOD_NOT ? sw_xdp_packet(ctx, plain) : answer;
}

SEC("xdp.frags")
int sw_edge(struct xdp_md *ctx)
{
	__u32 glance = sw_xdp_glance(ctx);

	if (glance < SW_GLANCE_OTHER ? !sw_head_names(glance) : glance == SW_GLANCE_OTHER)
		return XDP_PASS;
	return sw_xdp_named(ctx, glance);
}
