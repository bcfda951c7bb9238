/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * maps.h - the maps that host and edge share; those of one side alone are in maps_host.h and
 * maps_edge.h. Of every map these say who writes it, who reads it, and what happens when it is full. All
 * are pinned by the daemon and outlive it. Layouts that the daemon knows are in abi.h.
 */
#ifndef SW_MAPS_H
#define SW_MAPS_H

#include "bpf/kernel.h"

#include "bpf/abi_edge.h"
#include "bpf/match.h"
#include "bpf/parse.h"

/*
 * The two policies and which one is in force. Written by the daemon, read by every program. May be
 * mapped into memory, so that the daemon can fill the slot at rest and then turn one word.
 */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__uint(map_flags, BPF_F_MMAPABLE);
	__type(key, __u32);
	__type(value, struct sw_head);
} head SEC(".maps");

/*
 * The tables of each slot, made by the daemon with as many entries as the policy has, so they are
 * never full; an outer map's element is replaced whole. They are filled before `active` turns to the
 * slot and stay as they are while it is in force. What has no entry is named by no row.
 */
struct sw_ids_map {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 1);
	__uint(key_size, sizeof(struct sw_id_key));
	__uint(value_size, sizeof(struct sw_vec));
};

struct sw_prefixes_map {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 1);
	__uint(key_size, sizeof(struct sw_prefix_key));
	__uint(value_size, sizeof(__u32));
};

#define SW_OUTER(name_, inner)                                                                     \
	struct {                                                                                   \
		__uint(type, BPF_MAP_TYPE_ARRAY_OF_MAPS);                                          \
		__uint(max_entries, 2);                                                            \
		__type(key, __u32);                                                                \
		__array(values, struct inner);                                                     \
	} name_ SEC(".maps")

SW_OUTER(ids, sw_ids_map);
SW_OUTER(prefixes, sw_prefixes_map);

/* This machine's own addresses, kept current by the daemon: key is an address, the value says nothing.
   Loopback need not be in it. Full: the daemon says so; what is not in it is not `local`. */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 16384);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, __u8[16]);
	__type(value, __u8);
} local SEC(".maps");

/* Written by the programs, read by the daemon; enum sw_counter. */
struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, SW_COUNT_MAX);
	__type(key, __u32);
	__type(value, __u64);
} counters SEC(".maps");

/* Connections that each rule decided: slot * SW_RULES_MAX + rule. The daemon clears a slot before it
   fills it. */
struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 2 * SW_RULES_MAX);
	__type(key, __u32);
	__type(value, __u64);
} hits SEC(".maps");

/* What the edge remembers of sources, and what it has counted of them: it is part of what `counters` says, so that it
   lasts as long. Written by the programs of the edge alone; full: another source's place is taken. */
struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct sw_edge_recents);
} remembered SEC(".maps");

/* struct sw_event, to the daemon. Full: the event is lost and counted, the verdict stands. As large as a
   quarter of a second of 50,000 records a second needs. */
struct {
	__uint(type, BPF_MAP_TYPE_RINGBUF);
	__uint(max_entries, 1 << 22);
} events SEC(".maps");

#endif
