/* SPDX-License-Identifier: GPL-2.0-or-later */
/* gate_run.bpf.c - bpf/gate.h in the kernel, over scripts (gate_script.h) instead of connections. */
#include "bpf/kernel.h"

#include "bpf/gate.h"
#include "tests/prog/gate_script.h"

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(map_flags, BPF_F_MMAPABLE);
	__uint(max_entries, GS_GATES);
	__type(key, __u32);
	__type(value, struct sw_gate);
} gates SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(map_flags, BPF_F_MMAPABLE);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct gs_answers);
} answers SEC(".maps");

struct script {
	struct __sk_buff *skb;
	__u32 at; /* of the next header */
};

/* Each side by itself, as the hooks for the two directions have it. */
static __noinline int run_client(struct __sk_buff *skb, struct sw_gate *gate,
				 const struct sw_gate_segment *segment)
{
	return sw_gate_client(gate, skb, segment);
}

static __noinline int run_server(struct __sk_buff *skb, struct sw_gate *gate,
				 const struct sw_gate_segment *segment)
{
	return sw_gate_server(gate, skb, segment);
}

static __noinline void record(const struct sw_gate *gate, int answer)
{
	__u32 zero = 0;
	struct gs_answers *to = bpf_map_lookup_elem(&answers, &zero);
	__u64 n;

	if (!to)
		return;
	n = to->n;
	SW_OPAQUE(n);
	n &= GS_ANSWERS - 1;
	to->answer[n] = (__u8)answer;
	to->phase[n] = gate->phase;
	to->n++;
}

static long run_segment(__u32 index, struct script *script)
{
	struct sw_gate_segment segment = {};
	struct sw_gate *gate;
	struct gs_head head;
	__u32 key;

	(void)index;
	if (bpf_skb_load_bytes(script->skb, script->at, &head, sizeof(head)) < 0)
		return 1;
	script->at += sizeof(head);
	key = head.gate;
	gate = bpf_map_lookup_elem(&gates, &key);
	if (!gate)
		return 1;
	if (head.what == GS_BEGIN) {
		sw_gate_begin(gate, head.action, head.rule_flags, head.port, head.tls_version);
		return 0;
	}
	segment.seq = head.seq;
	segment.at = script->at;
	segment.length = head.length;
	segment.syn = !!(head.flags & GS_SYN);
	segment.urgent = !!(head.flags & GS_URGENT);
	segment.shared = !!(head.flags & GS_SHARED);
	script->at += head.length;
	record(gate, head.what == GS_SERVER ? run_server(script->skb, gate, &segment)
					    : run_client(script->skb, gate, &segment));
	return 0;
}

SEC("cgroup_skb/egress")
int gate_run(struct __sk_buff *skb)
{
	struct script script = {.skb = skb};

	bpf_loop(GS_ANSWERS, run_segment, &script, 0);
	return 1;
}

char gate_license[] SEC("license") = "GPL";
