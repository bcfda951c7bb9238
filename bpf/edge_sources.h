/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * edge_sources.h - who is refused at the edge: a count for each source, and events, of which each source has a
 * few in a while. For programs on XDP and TC alike.
 *
 * Each decision worth an event is counted in exactly one of SW_COUNT_EVENTS, SW_COUNT_SUPPRESSED and
 * SW_COUNT_LOST, so their sum is exact whatever was reported.
 */
#ifndef SW_EDGE_SOURCES_H
#define SW_EDGE_SOURCES_H

#include "bpf/count.h"
#include "bpf/edge_hash.h"
#include "bpf/kernel.h"
#include "bpf/maps_edge.h"
#include "bpf/match.h"

/* What is to be done with a packet that the gate was asked about. */
enum sw_edge_answer {
	SW_EDGE_PASS = 0,
	SW_EDGE_DROP,
	SW_EDGE_RESET, /* and the client is told by a RST */
};

/* What happened, and what its source's entry made of it. */
struct sw_edge_note {
	__u64 now; /* ns, sw_edge_now() */
	__u64 addr[2];
	__u32 interface;
	__u32 second, window;
	__u32 refused;    /* 1: it was; 0: only recorded */
	__u32 permitted;  /* an event may be made */
	__u32 suppressed; /* those left out before it */
	__u32 quiet;      /* there is none for the rest of the tick */
};

SW_INLINE void sw_source_begin(struct sw_edge_note *note, struct sw_edge_work *work, __u8 verdict)
{
	note->now = sw_edge_now(work);
	__builtin_memcpy(note->addr, work->key.src, sizeof(note->addr));
	/* Whoever has one address of a network of IPv6 has them all. */
	if (note->addr[0] || (__u32)note->addr[1] != bpf_htonl(0xffff))
		note->addr[1] = 0;
	note->interface = work->key.interface;
	note->second = work->second;
	note->window = work->window;
	note->refused = verdict != SW_VERDICT_AUDIT;
	note->permitted = note->suppressed = note->quiet = 0;
}

SW_INLINE int sw_source_is(const struct sw_edge_source_slot *slot, const struct sw_edge_note *note)
{
	__u64 addr[2];

	__builtin_memcpy(addr, slot->addr, sizeof(addr));
	return addr[0] == note->addr[0] && addr[1] == note->addr[1] &&
	       slot->interface == note->interface && slot->first_ns;
}

/* The most of a flood: it is as in the last packet, and no event is due. Without the lock: another CPU that gives the
   entry to another source just then gets one more. */
SW_INLINE int sw_source_add_quickly(struct sw_edge_source_slot *slot, struct sw_edge_note *note)
{
	if (SW_READ_ONCE(slot->second) != note->second ||
	    SW_READ_ONCE(slot->window) != note->window || SW_READ_ONCE(slot->told) < SW_EDGE_EVENTS)
		return 0;
	note->quiet = 1;
	__sync_fetch_and_add(&slot->suppressed, 1);
	if (slot->last_ns != note->now)
		slot->last_ns = note->now;
	if (!note->refused)
		return 1;
	__sync_fetch_and_add(&slot->refused, 1);
	__sync_fetch_and_add(&slot->now, 1);
	return 1;
}

/* Under the lock; additions as in sw_source_add_quickly(), which does not take it. */
SW_INLINE void sw_source_add(struct sw_edge_source_slot *slot, struct sw_edge_note *note)
{
	__sync_fetch_and_add(&slot->refused, note->refused);
	slot->last_ns = note->now;
	/* A packet of another CPU may have been here first, a little later. */
	if (note->second > slot->second) {
		slot->before = note->second == slot->second + 1 ? slot->now : 0;
		slot->now = 0;
		slot->second = note->second;
	}
	__sync_fetch_and_add(&slot->now, note->refused);
	if (note->window > slot->window) {
		slot->window = note->window;
		slot->told = 0;
	}
	if (slot->told < SW_EDGE_EVENTS) {
		slot->told++;
		note->permitted = 1;
		note->suppressed = __sync_lock_test_and_set(&slot->suppressed, 0);
	} else {
		__sync_fetch_and_add(&slot->suppressed, 1);
	}
}

/* Returns whether the entry was that source's. */
SW_INLINE int sw_source_update(struct sw_edge_source_slot *slot, struct sw_edge_note *note)
{
	int same;

	if (!sw_source_is(slot, note))
		return 0;
	if (sw_source_add_quickly(slot, note))
		return 1;
	bpf_spin_lock(&slot->lock);
	same = sw_source_is(slot, note);
	if (same)
		sw_source_add(slot, note);
	bpf_spin_unlock(&slot->lock);
	return same;
}

/* The entry becomes this source's, unless another CPU has just made it so. Returns whether somebody lost it. */
SW_INLINE int sw_source_take(struct sw_edge_source_slot *slot, struct sw_edge_note *note)
{
	int evicted = 0;

	bpf_spin_lock(&slot->lock);
	if (!sw_source_is(slot, note)) {
		evicted = !!slot->first_ns;
		__builtin_memcpy(slot->addr, note->addr, sizeof(slot->addr));
		slot->interface = note->interface;
		slot->refused = 0;
		slot->first_ns = note->now;
		slot->second = slot->window = 0;
		slot->now = slot->before = slot->told = slot->suppressed = 0;
	}
	sw_source_add(slot, note);
	bpf_spin_unlock(&slot->lock);
	return evicted;
}

SW_INLINE __u32 sw_source_set(const struct sw_edge_note *note)
{
	const struct sw_edge_secret *secret;
	__u32 zero = 0;

	secret = bpf_map_lookup_elem(&edge_secret, &zero);
	return secret ? sw_edge_source_set(secret, note->addr, note->interface) : 0;
}

/* Finds the source's entry in its set, or takes one. */
SW_INLINE struct sw_edge_source_slot *sw_source_search(struct sw_edge_work *work,
						       struct sw_edge_note *note)
{
	struct sw_edge_source_slot *slot, *least = 0;
	__u32 set = sw_source_set(note), at, least_at = set;

#pragma GCC unroll 4
	for (__u32 way = 0; way < SW_EDGE_SOURCE_WAYS; way++) {
		at = set + way;
		slot = bpf_map_lookup_elem(&edge_sources, &at);
		if (!slot)
			return 0;
		if (sw_source_update(slot, note)) {
			work->source = at;
			return slot;
		}
		if (!least || slot->refused < least->refused) {
			least = slot;
			least_at = at;
		}
	}
	work->source = least_at;
	if (sw_source_take(least, note))
		sw_edge_count(SW_COUNT_EDGE_EVICTED_SOURCE);
	return least;
}

/* Counts, and says whether an event may be made. Without an entry it may not. */
SW_INLINE struct sw_edge_source_slot *sw_source_count(struct sw_edge_work *work,
						      struct sw_edge_note *note)
{
	__u32 at = work->source;
	struct sw_edge_source_slot *slot = bpf_map_lookup_elem(&edge_sources, &at);

	if (slot && sw_source_update(slot, note))
		return slot;
	return sw_source_search(work, note);
}

/* What events say of the frame, and nothing yet of a gate; the sender's address is the caller's to find. */
SW_INLINE void sw_edge_describe(struct sw_edge_work *work)
{
	const struct sw_packet *packet = &work->packet;

	work->vlan[0] = packet->vlan[0];
	work->vlan[1] = packet->vlan[1];
	work->session = packet->session;
	work->verb = work->verb_length = work->mechanism = work->from_server = 0;
	work->tls_version = 0;
	work->tls = SW_TLS_NONE;
}

SW_INLINE void sw_edge_event_fill(struct sw_event *event, const struct sw_edge_work *work)
{
	event->family = sw_addr_is_ipv4(work->key.dst) ? 4 : 6;
	event->generation = work->generation;
	event->rule = work->rule;
	event->src_port = work->key.src_port;
	event->dst_port = work->key.dst_port;
	__builtin_memcpy(event->src, work->key.src, sizeof(event->src));
	__builtin_memcpy(event->dst, work->key.dst, sizeof(event->dst));
	event->verb = work->verb;
	event->verb_length = work->verb_length;
	event->mechanism = work->mechanism;
	event->from_server = work->from_server;
	event->tls_version = work->tls_version;
	event->tls = work->tls;
	event->interface = work->key.interface;
	__builtin_memcpy(event->mac, work->mac, sizeof(event->mac));
	event->vlan[0] = work->vlan[0];
	event->vlan[1] = work->vlan[1];
	event->session = work->session;
}

SW_INLINE void sw_source_untold(struct sw_edge_source_slot *slot, __u32 suppressed)
{
	if (!slot || !suppressed)
		return;
	__sync_fetch_and_add(&slot->suppressed, suppressed);
}

/* The second and the number in it share a word, as in emit.h. */
SW_INLINE int sw_edge_affords(const struct sw_edge_note *note)
{
	__u64 *budget, window;
	__u32 zero = 0;

	budget = bpf_map_lookup_elem(&edge_budget, &zero);
	if (!budget)
		return 0;
	window = SW_READ_ONCE(*budget);
	if (window >> 32 < note->second)
		__sync_val_compare_and_swap(budget, window, (__u64)note->second << 32);
	window = __sync_fetch_and_add(budget, 1);
	return (__u32)window < SW_EDGE_EVENTS_PER_SECOND;
}

/*
 * Something was refused or ended, or with verdict audit would have been. work->key says whose packet it was,
 * work->rule, `generation` which rule decided (SW_RULE_NONE: none). Returns whether an event was made.
 */
static __noinline int sw_edge_report(struct sw_edge_work *work, __u8 verdict, __u8 reason)
{
	struct sw_edge_source_slot *slot;
	struct sw_edge_note note;
	struct sw_event *event;

	sw_source_begin(&note, work, verdict);
	slot = sw_source_count(work, &note);
	work->quiet = note.quiet;
	if (!note.permitted || !sw_edge_affords(&note)) {
		if (note.permitted)
			sw_source_untold(slot, note.suppressed + 1);
		sw_count(SW_COUNT_SUPPRESSED);
		return 0;
	}
	event = bpf_ringbuf_reserve(&events, sizeof(struct sw_event_short), 0);
	if (!event) {
		sw_source_untold(slot, note.suppressed);
		sw_count(SW_COUNT_LOST);
		return 0;
	}
	__builtin_memset(event, 0, sizeof(struct sw_event_short));
	event->version = SW_ABI_VERSION;
	event->size = sizeof(struct sw_event_short);
	event->kind = SW_EVENT_EDGE;
	event->verdict = verdict;
	event->reason = reason;
	event->time_ns = bpf_ktime_get_boot_ns();
	event->suppressed = note.suppressed;
	sw_edge_event_fill(event, work);
	sw_count(SW_COUNT_EVENTS);
	bpf_ringbuf_submit(event, 0);
	return 1;
}

#endif
