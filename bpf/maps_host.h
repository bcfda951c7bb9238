/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * maps_host.h - the maps of the host side alone; as maps.h.
 */
#ifndef SW_MAPS_HOST_H
#define SW_MAPS_HOST_H

#include "bpf/maps.h"

#include "bpf/gate.h"
#include "bpf/lookup.h"

struct sw_names_map {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 1);
	__uint(key_size, sizeof(struct sw_name_key));
	__uint(value_size, sizeof(struct sw_vec));
};

struct sw_cgroups_map {
	__uint(type, BPF_MAP_TYPE_LPM_TRIE);
	__uint(max_entries, 1);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__uint(key_size, sizeof(struct sw_cgroup_key));
	__uint(value_size, sizeof(struct sw_vec));
};

SW_OUTER(names, sw_names_map);
SW_OUTER(cgroups, sw_cgroups_map);

/* Written by the daemon, before `active` turns to another slot; read by the programs on packets before anything else.
   Small and not to be mapped, so it lies in memory that the kernel has mapped by its largest pages: `head` is one page
   more that the CPU has to look up. */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct sw_unasked);
} unasked SEC(".maps");

/* What a socket's storage says of it. */
enum sw_sock_state {
	SW_SOCK_UNKNOWN = 0, /* nothing was decided; not a permission */
	SW_SOCK_PASSED,      /* connect() let it through to `port` */
	SW_SOCK_REFUSED,     /* connect() refused `port` */
	SW_SOCK_EXISTING,    /* open to `port` before the policy was, or passive */
	SW_SOCK_SERVED,      /* a client's connection to a port that a serve block names */
};

/* What becomes of a connection's packets. It goes from SW_GATED to one of the others once, by compare
   and swap, as both directions can end it at the same time. */
enum sw_gated_mark {
	SW_UNGATED = 0, /* nothing is asked of them, or not any longer: TLS, or recorded */
	SW_GATED,       /* the gate looks at them */
	SW_CONDEMNED,   /* no payload leaves or arrives */
};

/*
 * Memory of one socket that was let through, or whose older connection was met. connect() holds the socket's lock;
 * egress and ingress write to what each of them has for itself, and to words by compare and swap.
 */
struct sw_sock {
	/* What each packet asks. */
	__u32 gated;    /* enum sw_gated_mark */
	__u32 to_local; /* passed only because it goes to this machine */
	__u16 port;     /* the socket's destination, after a redirect */
	__u8 state;     /* enum sw_sock_state */
	__u8 redirected;

	__u32 existing; /* 1 << 16 | port: counted as older than the policy */
	__u32 told;     /* of the gate's violation: the ring buffer took it */
	__u32 answered; /* not let through: sent to where it is told that it is refused */
	/* Of the violation that an event tells. */
	__u32 interface;
	__u8 verb, verb_length, mechanism, from_server;
	struct sw_gate_start
		start;       /* of the gate, which is made when a byte comes for it to read */
	struct sw_flow flow; /* what the map `flows` is given; the decision and who asked for it */
};

#define SW_HAVE_EXE 0x01
#define SW_HAVE_CGROUP 0x02

/*
 * What finding out who calls and deciding needs, and nobody needs after it (scratch.h). It lies in a map, not on
 * the stack, for two reasons: 512 bytes are too few, and the verifier of 6.1 looks at a loop's body once only, so
 * what a loop changes must be something whose value it does not know.
 */
struct sw_scratch {
	__u32 busy; /* taken */
	__u32 have; /* SW_HAVE_*: which names in `caller` were looked for */
	/* Addresses of kernel objects behind the caller. */
	__u64 file_at;   /* struct file of the executable; 0: a worker, or unknown */
	__u64 groups_at; /* struct group_info; 0: unknown */
	__u64 pid_at;    /* struct pid of the caller, where there is a file */
	__u64 cgroup_at; /* struct cgroup */
	struct sw_caller caller;
	/* Whose path is in caller.cgroup: what the last decision left is of use to the next one of that cgroup, as
	   no cgroup is ever renamed, nor its id given to another. 0: nobody's. */
	__u64 named,
		named_below; /* ids of the cgroup, and of the guarded one that its path begins below */
	__u32 cgroup_flags;         /* SW_CALLER_CGROUP_LONG, if that is so */
	__u32 cgroup_length;        /* of caller.cgroup */
	__u32 unit_at, unit_length; /* in caller.cgroup; length 0: there is no unit */
	__u8 asked[16];             /* where to: address, and port in host order */
	__u16 asked_port;
	__u16 reserved[3];
	struct sw_match match;
	struct sw_vec groups;      /* rows of all groups found so far */
	__u64 dentry, mount, root; /* addresses of the path walk */
	__u32 offset;              /* start of the path, or end of the cgroup's path, so far */
	__u32 level;               /* cgroup: level that the path begins below */
	__u32 done;                /* the walk came to its end */
	__u32 class;               /* of the destination, SW_CLASS_NONE: in no list */
	/* Right to left, its NUL in the middle. The second half is never written to: zeros are what follows a name
	   that is shorter than the key. */
	char path[2 * SW_NAME_MAX];
	union {
		struct {
			struct sw_cgroup_key cgroup;
			char slack[SW_NAME_MAX]; /* room that the verifier asks for */
		};
		struct sw_name_key unit;
		struct sw_prefix_key prefix;
	};
};

#define SW_CLASS_NONE 0xffffffffu

/* One for each decision that is under way on a CPU: a program may be preempted by another one that decides as
   well. None is free: as no memory, but that takes this many decisions in the middle of each other. */
#define SW_SCRATCHES 8
struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, SW_SCRATCHES);
	__type(key, __u32);
	__type(value, struct sw_scratch);
} scratches SEC(".maps");

/* Written by connect, and by sockops for clients that come to a server; read by every program; egress,
   ingress and sockops note how the connection goes. No memory for it: connect() is refused; a client's
   connection is marked as SW_UNREMEMBERED. */
struct {
	__uint(type, BPF_MAP_TYPE_SK_STORAGE);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, int);
	__type(value, struct sw_sock);
} sockets SEC(".maps");

/* A packet of one direction, while the gate looks at it. */
struct sw_side {
	__u32 busy; /* somebody does so */
	__u32 open; /* the half has what it begins with */
	struct sw_packet packet;
	struct sw_gate_segment segment;
};

struct sw_gated {
	struct sw_gate gate;
	struct sw_side client, server;
};

/*
 * The gates of connections that are not yet in TLS. Made by egress or ingress when the first byte comes: they are
 * large, and many a connection sends none. Deleted once the gate has done its work. No memory for it, or more than
 * the socket may have (net.core.optmem_max): the connection is condemned.
 */
struct {
	__uint(type, BPF_MAP_TYPE_SK_STORAGE);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, int);
	__type(value, struct sw_gated);
} gates SEC(".maps");

/* One arriving client's work. Programs that use it run in the network's own context and are not interrupted by
   others of their kind on the same CPU. */
struct sw_serve_work {
	struct sw_packet packet;
	struct sw_lookup lookup;
};

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct sw_serve_work);
} serve_work SEC(".maps");

#define SW_HELLO_WORD 5 /* EHLO and what stands behind it */

/* A connection to a port that no rule names, whose server began as one of SMTP does: until the client has said
   its first word. No memory for it: it is not told of. Only the socket's sender writes it. */
struct sw_greeted {
	struct sw_packet packet; /* that is looked at */
	__u32 have;
	__u8 word[SW_HELLO_WORD];
};

struct {
	__uint(type, BPF_MAP_TYPE_SK_STORAGE);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, int);
	__type(value, struct sw_greeted);
} greeted SEC(".maps");

/* struct sw_flow, as the kernel wants its lock to be. */
struct sw_flow_slot {
	struct bpf_spin_lock lock;
	__u8 rest[sizeof(struct sw_flow) - sizeof(struct bpf_spin_lock)];
};

/* Connections to guarded ports, for people: nothing is decided by it. Written by the programs, read by the
   daemon, both under the lock of the element. A socket's places are the SW_FLOW_WAYS elements from
   cookie % (n / SW_FLOW_WAYS) * SW_FLOW_WAYS on. Full: sw_flow_place(). An array, as a new key in a hash costs more
   than all else in connect(). */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, SW_FLOWS_MAX);
	__type(key, __u32);
	__type(value, struct sw_flow_slot);
} flows SEC(".maps");

/* Events of one kind by one caller. */
struct sw_limit_key {
	__u64 generation;
	__u64 cgroup_id;
	__u64 exe_inode;
	__u32 uid;
	__u16 rule;
	__u8 reason;
	__u8 kind;
};

struct sw_limit {
	__u64 window;     /* second << 32 | decisions in it */
	__u32 suppressed; /* since the last event */
	__u32 reserved;
};

/* Full: the least recently used key goes, and with it a count that only an event would have told;
   the counters keep it. */
struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, 4096);
	__type(key, struct sw_limit_key);
	__type(value, struct sw_limit);
} limiter SEC(".maps");

/* struct sw_sample and bytes, to the daemon; a ring of its own, so that no flood of them displaces an
   event. Full: the sample is lost and counted. */
#define SW_SAMPLES_SIZE (1 << 18)
struct {
	__uint(type, BPF_MAP_TYPE_RINGBUF);
	__uint(max_entries, SW_SAMPLES_SIZE);
} samples SEC(".maps");

/* For people, written and read by the daemon alone; by slot as `hits`. */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 2 * SW_RULES_MAX);
	__type(key, __u32);
	__type(value, struct sw_rule_info);
} rule_info SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 2);
	__type(key, __u32);
	__type(value, struct sw_policy_info);
} policy_info SEC(".maps");

#endif
