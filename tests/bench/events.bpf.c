/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Records of events as the programs make them, as many at once as are asked for: what a record costs, and
 * more of them than connects could cause for a daemon to take.
 */
#include "bpf/emit.h"

char sw_license[] SEC("license") = "GPL";

enum ways {
	WAY_NONE = 0, /* what a step costs without a record */
	WAY_EVENT,    /* as the programs do it */
	WAY_BARE,     /* reserved and submitted, nothing in it, nobody woken: the kernel's part */
	WAY_WAKING,   /* the reader is woken for each */
};

/* For the benchmark, which cannot include what the kernel side alone knows. */
const volatile __u32 flow_at = __builtin_offsetof(struct sw_sock, flow);

struct request {
	__u32 n, way;
	__u32 done; /* records that there was room for */
};

/* The socket that refused connects are told of; filled by the benchmark. */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct sw_sock);
} subject SEC(".maps");

static int bare(void)
{
	void *record = bpf_ringbuf_reserve(&events, sizeof(struct sw_event_short), 0);

	if (!record)
		return -1;
	bpf_ringbuf_submit(record, BPF_RB_NO_WAKEUP);
	return 0;
}

static int submit(const struct sw_report *report, const struct sw_sock *st, __u64 flags)
{
	struct sw_event *event = sw_event_reserve(&st->flow.caller);

	if (!event)
		return -1;
	sw_event_fill(event, report, report->cookie, 0);
	sw_count(SW_COUNT_EVENTS);
	bpf_ringbuf_submit(event, flags);
	return 0;
}

static long step(__u32 i, void *context)
{
	struct request *request = context;
	struct sw_report report = {.generation = 1,
				   .cookie = i + 1,
				   .kind = SW_EVENT_CONNECT,
				   .verdict = SW_VERDICT_REJECT,
				   .reason = SW_REASON_NOT_PERMITTED,
				   .family = 4,
				   .rule = SW_RULE_NONE,
				   .dst_port = 25};
	struct sw_sock *st;
	__u32 zero = 0;

	st = bpf_map_lookup_elem(&subject, &zero);
	if (!st)
		return 1;
	switch (request->way) {
	case WAY_EVENT:
		request->done += !sw_emit_at(&report, &st->flow.caller, st, 0, i);
		break;
	case WAY_BARE:
		request->done += !bare();
		break;
	case WAY_WAKING:
		request->done += !submit(&report, st, BPF_RB_FORCE_WAKEUP);
		break;
	}
	return 0;
}

SEC("syscall") int emit_events(struct request *context)
{
	struct request request = {.n = context->n, .way = context->way};

	bpf_loop(request.n, step, &request, 0);
	context->done = request.done;
	return 0;
}
