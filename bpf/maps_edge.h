/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * maps_edge.h - the maps of the edge alone; as maps.h. The daemon gives the arrays their sizes before they
 * are made; programs learn them from the constants below.
 */
#ifndef SW_MAPS_EDGE_H
#define SW_MAPS_EDGE_H

#include "bpf/lookup.h"
#include "bpf/maps.h"

#include "bpf/abi_edge.h"

/* No samples are made at the edge. */
#define SW_GATE_SERVED_MAX 1
#include "bpf/gate.h"

/* Set by the daemon before loading: sets of SW_EDGE_WAYS flows, gates. */
const volatile __u32 sw_edge_sets = SW_EDGE_FLOWS_DEFAULT / SW_EDGE_WAYS;
const volatile __u32 sw_edge_gate_count = SW_EDGE_FLOWS_DEFAULT / SW_EDGE_FLOWS_PER_GATE;

/* Written by the daemon, which knows names and patterns; read for each packet to a guarded port. Without an
   entry nothing passes to a port that any edge block names: a program is attached only where one is. */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, SW_EDGE_INTERFACES);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, __u32);
	__type(value, struct sw_interface);
} interfaces SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct sw_edge_secret);
} edge_secret SEC(".maps");

/* struct sw_edge_flow of abi_edge.h as the kernel's type information wants it. */
struct sw_edge_flow_slot {
	struct bpf_spin_lock lock;
	__u8 state, used, ended, tls;
	__u8 src[16], dst[16];
	__u16 src_port, dst_port;
	__u32 interface;
	__u32 opened_s;
	__u32 start;
	__u32 gate; /* server_start; tls_version and cipher */
	__u16 rule, generation;
};

/* Written by the programs; read by the daemon, for people. All of a set taken: ended flows make room first,
   then SYNs without an answer, then what is not yet in TLS, then what is, of each kind one that has been idle;
   it is counted, and what comes of the flow afterwards is refused as a connection whose beginning is not
   known. The flag has elements begin with a page, so that each is one line of the CPU's caches; without it they
   begin behind the kernel's own record of the map. (A map with locks can not be mapped all the same.) */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, SW_EDGE_FLOWS_DEFAULT);
	__uint(map_flags, BPF_F_MMAPABLE);
	__type(key, __u32);
	__type(value, struct sw_edge_flow_slot);
} edge_flows SEC(".maps");

/* A gate at the edge. Who has taken `busy` of a side and then finds itself the owner may use that side; who
   gives the gate to another flow takes both first. */
struct sw_edge_gate {
	__u64 owner; /* 1 + index of the flow's entry, its `start` in the upper half; 0: free */
	__u64 key
		[5]; /* the flow's, from `src` to `interface`: with `owner` it names one connection */
	__u32 used; /* as of a flow */
	__u32 rule; /* index | generation << 16, as of the flow */
	__u32 client_busy, server_busy;
	struct sw_gate_segment client, server;
	struct sw_gate gate;
};

/* Gates of flows that have sent something and are not in TLS. Taken at the first byte of an answered
   connection, so SYNs alone take none. All taken: one whose flow was idle goes, and that flow is refused from
   then on (table_full). */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, SW_EDGE_FLOWS_DEFAULT / SW_EDGE_FLOWS_PER_GATE);
	__type(key, __u32);
	__type(value, struct sw_edge_gate);
} edge_gates SEC(".maps");

struct sw_edge_source_slot {
	struct bpf_spin_lock lock;
	__u32 interface;
	__u8 addr[16];
	__u64 refused;
	__u64 first_ns, last_ns;
	__u32 second, now, before, window, told, suppressed;
};

/* Written by the programs; read by the daemon. All of a set taken: the one with the fewest refusals goes, and
   that is counted. */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, SW_EDGE_SOURCES);
	__type(key, __u32);
	__type(value, struct sw_edge_source_slot);
} edge_sources SEC(".maps");

/* One entry: second << 32 | events that sources had a right to in it. */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, __u64);
} edge_budget SEC(".maps");

/* Written by the daemon with the slot. */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 2 * SW_RULES_MAX);
	__type(key, __u32);
	__type(value, struct sw_answer_line);
} answers SEC(".maps");

/* Written by the daemon with the slot. */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 2);
	__type(key, __u32);
	__type(value, struct sw_edge_listed);
} edge_listed SEC(".maps");

/* Leaves of the nets in `edge_listed`, as many as it has. */
struct sw_edge_leaves_map {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__uint(map_flags, SW_EDGE_LEAVES_FLAGS);
	__uint(key_size, sizeof(__u32));
	__uint(value_size, sizeof(struct sw_edge_leaves));
};

SW_OUTER(edge_leaves, sw_edge_leaves_map);

/* A flow's entry as it was when a packet asked, read under its lock. */
struct sw_edge_seen {
	__u64 hash;  /* of its key */
	__u32 place; /* index of the element that it lies in if it can (sw_edge_flow_place) */
	__u32 at;    /* index of its entry */
	__u32 start; /* this and what follows: as in the entry */
	__u32 gate;  /* index into `edge_gates`, or the server's start */
	__u16 rule, generation;
	__u8 state; /* SW_EDGE_FREE: there is none */
	__u8 reserved[3];
};

/* One packet's work, too large for the stack. Programs on packets are not interrupted by others of their kind
   on the same CPU. */
struct sw_edge_work {
	struct sw_packet packet;
	struct sw_edge_flow key
		__attribute__((aligned(8))); /* of the flow: addresses, ports, interface */
	struct sw_edge_seen seen;
	__u32 word;           /* index of a gate that is being taken */
	__u64 tick, now_ns;   /* sw_edge_now() */
	__u32 second, window; /* of now_ns, as in struct sw_edge_source */
	__u32 recent_at;      /* index of the source's element in `remembered` */
	__u32 source;         /* where the source may lie in `edge_sources` */
	__u32 state;          /* sw_head.active, as it was before anything else was looked at */
	struct sw_lookup lookup;
	__u32 slot, rule;
	__u64 generation;
	__u8 action, flags; /* of the rule */
	__u8 audit;         /* the rule is only recorded */
	__u8 known;         /* the source's element in `remembered` says this */
	__u8 quiet;         /* no event of the source is due in this tick */
	__u8 ethernet;      /* frames of the interface begin so */
	/* For an event of the gate; zero otherwise. */
	__u8 verb, verb_length, mechanism, from_server;
	__u16 tls_version;
	__u8 tls;
	__u8 mac[6];
	__u16 vlan[2], session;
	__u8 frame[128]; /* an answer that is being built */
};

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 2); /* XDP, TC */
	__type(key, __u32);
	__type(value, struct sw_edge_work);
} edge_work SEC(".maps");

/* CLOCK_BOOTTIME, as exact as the kernel's tick. */
SW_INLINE __u64 sw_edge_now(struct sw_edge_work *work)
{
	__u64 tick = bpf_jiffies64();

	if (work->tick != tick) {
		work->tick = tick;
		work->now_ns = bpf_ktime_get_boot_ns();
		work->second = work->now_ns / 1000000000;
		work->window = work->second / SW_EDGE_WINDOW_S;
	}
	return work->now_ns;
}

#endif
