/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * emit.h - counters, the flood limiter, events.
 *
 * Every decision worth an event is counted in exactly one of SW_COUNT_EVENTS, SW_COUNT_SUPPRESSED and
 * SW_COUNT_LOST, so their sum is exact whatever was reported. All additions are atomic, also in
 * per-CPU maps: programs of a cgroup may be preempted by another that runs on the same CPU.
 */
#ifndef SW_EMIT_H
#define SW_EMIT_H

#include "bpf/cgroup.h"
#include "bpf/count.h"
#include "bpf/identity.h"
#include "bpf/kernel.h"
#include "bpf/maps_host.h"

/*
 * Counts. Not static, as what else in these headers needs nothing but memory and numbers: the verifier looks at such
 * a function once by itself, and not again on each way that leads to it. And it copies a whole program for each
 * look-up in it that it writes out in full, so a look-up is better made in one place.
 */
__noinline int sw_tally(__u32 counter)
{
	sw_count(counter);
	return 0;
}

#define SW_EVENTS_PER_SECOND 16 /* of one kind by one caller */

/* What an event says beside who the caller is. Members as in struct sw_event. */
struct sw_report {
	__u64 generation;
	__u64 cookie;
	__u8 kind, verdict, reason, family;
	__u16 rule;
	__u16 src_port, dst_port, new_port;
	__u32 reserved;
	__u8 src[16], dst[16], new_dst[16];
};

/* The limiter's memory of this report and caller; NULL when there is no room for it. */
SW_INLINE struct sw_limit *sw_limit_of(const struct sw_report *report,
				       const struct sw_caller *caller)
{
	struct sw_limit_key key = {
		.generation = report->generation,
		.rule = report->rule,
		.reason = report->reason,
		.kind = report->kind,
	};
	struct sw_limit *limit, fresh = {};

	if (caller) {
		key.cgroup_id = caller->cgroup_id;
		key.exe_inode = caller->exe_inode;
		key.uid = caller->uid;
	}
	limit = bpf_map_lookup_elem(&limiter, &key);
	if (limit)
		return limit;
	bpf_map_update_elem(&limiter, &key, &fresh, BPF_NOEXIST);
	return bpf_map_lookup_elem(&limiter, &key);
}

/*
 * May this one be reported? The second and the number of decisions in it share a word: whoever sees
 * an old second tries to put a new one there, then everybody adds one, and the number that comes
 * back says whether there was room. Each decision so gets one answer, without a lock.
 */
SW_INLINE int sw_limit_permits(struct sw_limit *limit, __u64 now)
{
	__u64 second = now / 1000000000, window = SW_READ_ONCE(limit->window);

	if (window >> 32 < second)
		__sync_val_compare_and_swap(&limit->window, window, second << 32);
	window = __sync_fetch_and_add(&limit->window, 1);
	return (__u32)window < SW_EVENTS_PER_SECOND;
}

/* Everything but the caller. */
SW_INLINE void sw_event_fill(struct sw_event *event, const struct sw_report *report, __u64 now,
			     __u32 suppressed)
{
	event->version = SW_ABI_VERSION;
	event->kind = report->kind;
	event->verdict = report->verdict;
	event->reason = report->reason;
	event->family = report->family;
	event->time_ns = now;
	event->generation = report->generation;
	event->cookie = report->cookie;
	event->suppressed = suppressed;
	event->rule = report->rule;
	event->src_port = report->src_port;
	event->dst_port = report->dst_port;
	event->new_port = report->new_port;
	event->verb = event->verb_length = event->mechanism = event->from_server = 0;
	event->tls_version = 0;
	event->tls = SW_TLS_NONE;
	event->reserved = 0;
	event->interface = 0;
	event->cipher = 0;
	event->served = report->kind == SW_EVENT_SERVE;
	event->padding = 0;
	/* One by one: the compiler would make one of them, of many single bytes. */
	SW_WRITE_ONCE(event->opened_ns, 0);
	SW_WRITE_ONCE(event->sent, 0);
	SW_WRITE_ONCE(event->received, 0);
	__builtin_memcpy(event->src, report->src, sizeof(event->src));
	__builtin_memcpy(event->dst, report->dst, sizeof(event->dst));
	__builtin_memcpy(event->new_dst, report->new_dst, sizeof(event->new_dst));
}

/* Nobody is blamed who was not seen: uid 0 is somebody. */
SW_INLINE void sw_event_nobody(struct sw_event *event, struct sw_event_short *names)
{
	__builtin_memset(&event->caller, 0, __builtin_offsetof(struct sw_caller, exe));
	event->caller.flags = SW_CALLER_WORKER;
	event->caller.uid = event->caller.gid = ~0u;
	__builtin_memset(names->exe, 0, sizeof(names->exe));
	__builtin_memset(names->cgroup, 0, sizeof(names->cgroup));
}

/* The two names end before the last byte of their room. */
SW_INLINE int sw_names_are_short(const struct sw_caller *caller)
{
	return !caller->exe[SW_SHORT_EXE - 1] && !caller->cgroup[SW_SHORT_CGROUP - 1];
}

/* A record of the form that the caller's names ask for, with the caller in it. NULL: no room. */
SW_INLINE struct sw_event *sw_event_reserve(const struct sw_caller *caller)
{
	struct sw_event_short *names;
	struct sw_event *event;

	if (caller && !sw_names_are_short(caller)) {
		event = bpf_ringbuf_reserve(&events, sizeof(*event), 0);
		if (!event)
			return 0;
		event->size = sizeof(*event);
		bpf_probe_read_kernel(&event->caller, sizeof(event->caller), caller);
		return event;
	}
	names = bpf_ringbuf_reserve(&events, sizeof(*names), 0);
	if (!names)
		return 0;
	event = (struct sw_event *)names;
	event->size = sizeof(*names);
	if (!caller) {
		sw_event_nobody(event, names);
		return event;
	}
	__builtin_memcpy(&event->caller, caller, __builtin_offsetof(struct sw_caller, exe));
	__builtin_memcpy(names->exe, caller->exe, sizeof(names->exe));
	__builtin_memcpy(names->cgroup, caller->cgroup, sizeof(names->cgroup));
	return event;
}

/* What an event of the gate says beside the rest. */
SW_INLINE void sw_event_gate(struct sw_event *event, const struct sw_sock *st)
{
	event->verb = st->verb;
	event->verb_length = st->verb_length;
	event->mechanism = st->mechanism;
	event->from_server = st->from_server;
	event->tls_version = st->flow.tls_version;
	event->tls = st->flow.tls;
	event->interface = st->interface;
}

/* A connection that has ended: how it went. The names were found when it was made. */
SW_INLINE void sw_event_session(struct sw_event *event, const struct sw_sock *st)
{
	const struct sw_flow *flow = &st->flow;

	event->time_ns = flow->ended_ns;
	event->opened_ns = flow->opened_ns;
	event->sent = flow->sent;
	event->received = flow->received;
	event->tls = flow->tls;
	event->tls_version = flow->tls_version;
	event->cipher = flow->cipher;
	event->served = flow->served;
}

/*
 * How the reader is woken. Without a flag the kernel does it for a record that is the first behind what was
 * read, so a reader that reads in batches is woken once for each; it leaves them lying for a while. What a
 * process waits for the daemon to act on - its connection ends - comes at once: the reader learns by
 * `urgent` that it was woken for that. It is counted first; should it be looked at in between, the record is
 * read with the batch.
 */
SW_INLINE __u64 sw_event_wakes(const struct sw_report *report)
{
	struct sw_head *to;
	__u32 zero = 0;

	if (!sw_event_is_urgent(report->kind, report->verdict, report->reason))
		return 0;
	to = bpf_map_lookup_elem(&head, &zero);
	if (to)
		__sync_fetch_and_add(&to->urgent, 1);
	return BPF_RB_FORCE_WAKEUP;
}

/* `caller`: NULL: nobody is known. `st`: of the socket, for what is told of a connection that was let through; else
   NULL. Returns 0, or -1 when there was no room. */
__noinline int sw_emit_at(const struct sw_report *report, const struct sw_caller *caller,
			  const struct sw_sock *st, struct sw_limit *limit, __u64 now)
{
	struct sw_event *event;
	__u32 suppressed = 0;

	if (!report)
		return -1;
	if (limit)
		suppressed = __sync_lock_test_and_set(&limit->suppressed, 0);
	event = sw_event_reserve(caller);
	if (!event) {
		if (limit && suppressed)
			__sync_fetch_and_add(&limit->suppressed, suppressed);
		sw_tally(SW_COUNT_LOST);
		return -1;
	}
	sw_event_fill(event, report, now, suppressed);
	if (st && (report->kind == SW_EVENT_GATE || report->kind == SW_EVENT_SERVE))
		sw_event_gate(event, st);
	if (st && report->kind == SW_EVENT_SESSION)
		sw_event_session(event, st);
	sw_tally(SW_COUNT_EVENTS);
	bpf_ringbuf_submit(event, sw_event_wakes(report));
	return 0;
}

SW_INLINE int sw_emit_now(const struct sw_report *report, const struct sw_caller *caller,
			  const struct sw_sock *st)
{
	return sw_emit_at(report, caller, st, 0, bpf_ktime_get_boot_ns());
}

/*
 * Reports, unless the limiter holds it back. The cheap part of the caller is in `scratch`; the names are completed
 * here, as only what is reported needs them. It may be NULL: there was none, and the event tells the verdict alone.
 */
__noinline int sw_emit(const struct sw_report *report, struct sw_scratch *scratch, __u64 guarded)
{
	struct sw_limit *limit;

	if (!report)
		return -1;
	limit = sw_limit_of(report, scratch ? &scratch->caller : 0);
	if (limit && !sw_limit_permits(limit, bpf_ktime_get_coarse_ns())) {
		__sync_fetch_and_add(&limit->suppressed, 1);
		sw_tally(SW_COUNT_SUPPRESSED);
		return 0;
	}
	if (scratch)
		sw_identify_names(scratch, guarded);
	return sw_emit_at(report, scratch ? &scratch->caller : 0, 0, limit,
			  bpf_ktime_get_boot_ns());
}

#endif
