/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * abi_edge.h - abi.h for what the edge has for itself. The same rules: fixed widths, no gaps, layouts
 * change only together with SW_ABI_VERSION; addresses of sixteen bytes in network order, IPv4 as
 * ::ffff:a.b.c.d; ports in host order; times of CLOCK_BOOTTIME.
 */
#ifndef SW_ABI_EDGE_H
#define SW_ABI_EDGE_H

#include "bpf/abi.h"

#define SW_EDGE_FLOWS_DEFAULT (1u << 20) /* entries of the flow table */
#define SW_EDGE_FLOWS_MIN 64
#define SW_EDGE_FLOWS_LIMIT (1u << 26)
#define SW_EDGE_FLOWS_PER_GATE 256 /* a gate is needed until TLS has begun, for seconds */
#define SW_EDGE_GATES_MIN 64
#define SW_EDGE_WAYS 4 /* entries that a flow may lie in, one beside the other */
#define SW_EDGE_SOURCES 16384
#define SW_EDGE_SOURCE_WAYS 4
#define SW_EDGE_INTERFACES 16384
#define SW_ANSWER_MAX 272 /* "554 5.7.1 ", 255 characters, CR LF; even */

/* How frames of an interface begin. */
enum sw_link {
	SW_LINK_ETHERNET = 0,
	SW_LINK_IP, /* with the IP header: tun, ppp */
};

/* An interface, by its index: value of the map `interfaces`. Members by slot. */
struct sw_interface {
	struct sw_vec rows[2]; /* of the edge blocks that name it */
	__u64 keep_until_ns
		[2];   /* connections whose beginning was not seen pass until then; 0: none does */
	__u8 named[2]; /* some edge block names it; 0: nothing is guarded here */
	__u8 enforced[2]; /* one of them enforces: what cannot be read does not pass */
	__u8 link;        /* enum sw_link */
	__u8 reserved[3];
};

/*
 * What the lists of sources of a policy hold of each n.n.n.0/24 of IPv4, n being the first 24 bits of an address: the
 * map `edge_listed`, by slot; says nothing when `generation` is not the policy's. Bit n of `nets` is set when a prefix
 * of SW_PREFIX_FROM holds an address of it. Each such net has a leaf: leaf number ranks[n / 64] + the bits of its word
 * below it, in the map of `edge_leaves` of that slot. So a source costs a bit, and if it is set a rank and a leaf,
 * whatever lengths of prefixes there are; only where a leaf says so it may be in a prefix of more than 24 bits.
 */
struct sw_edge_listed {
	__u64 generation;
	__u64 n_leaves; /* 0: none were made */
	__u64 nets[(1u << 24) / 64];
	__u32 ranks[(1u << 24) / 64];
};

#define SW_EDGE_LEAVES 32             /* beside each other: a cache line */
#define SW_EDGE_LEAVES_MAX (1u << 22) /* with more nets than that, none are made */
#define SW_EDGE_LEAF_LONGER 0x8000u   /* longer prefixes begin with this net */
#define SW_EDGE_LEAF_KNOWN                                                                         \
	0x7fffu /* 1 + class of the longest prefix around all of it; 0: none is */
#define SW_EDGE_LEAVES_FLAGS (BPF_F_MMAPABLE | BPF_F_INNER_MAP)
struct sw_edge_leaves {
	__u16 leaf[SW_EDGE_LEAVES];
};

/* The map `edge_secret`, one entry: random numbers, made once by the daemon. Nobody outside may know
   where a flow or a source lies in its table (edge_hash.h), nor which sequence number an answer begins with. */
struct sw_edge_secret {
	__u64 flows[12];
	__u64 sources[8];
	__u64 answers[2];
};

/* How far a connection through the edge has come. */
enum sw_edge_state {
	SW_EDGE_FREE = 0,
	SW_EDGE_SYN,   /* the client's SYN was seen */
	SW_EDGE_OPEN,  /* and the server's answer to it; no byte yet */
	SW_EDGE_GATED, /* a gate reads it: `gate` says which */
	SW_EDGE_TLS,   /* the gate has done its work */
	SW_EDGE_CONDEMNED,
	SW_EDGE_RECORDED, /* only recorded: did what TLS is required against */
	SW_EDGE_UNREAD,   /* only recorded: bytes were missed, or there was no gate for it */
	SW_EDGE_STATE_MAX
};

/*
 * A flow: an element of the array `edge_flows`, one cache line. A flow lies in one of SW_EDGE_WAYS
 * elements that follow each other, told by a keyed hash (edge_hash.h); only flows to ports whose
 * rule needs the gate have one. The whole key is compared, the hash only says where to look.
 */
struct sw_edge_flow {
	__u32 lock;            /* struct bpf_spin_lock; readers outside of the kernel see 0 */
	__u8 state;            /* enum sw_edge_state */
	__u8 used;             /* a packet came since an evictor last looked */
	__u8 ended;            /* FIN or RST was seen: the first to make room */
	__u8 tls;              /* enum sw_tls */
	__u8 src[16], dst[16]; /* client, server */
	__u16 src_port, dst_port;
	__u32 interface;
	__u32 opened_s; /* seconds */
	__u32 start;    /* sequence number of the client's SYN */
	union {
		__u32 server_start; /* SW_EDGE_OPEN: of the server's SYN */
		__u32 gate;         /* SW_EDGE_GATED: index into `edge_gates` */
		struct {
			__u16 tls_version; /* SW_EDGE_TLS: negotiated */
			__u16 cipher;
		};
	};
	__u16 rule;       /* index */
	__u16 generation; /* low bits of that of the policy that let it through */
};

/* A source of refused connections: an element of the array `edge_sources`; lies as flows do. */
struct sw_edge_source {
	__u32 lock;
	__u32 interface;
	__u8 addr
		[16]; /* IPv6: the first 64 bits, the rest zero: who has one address has them all */
	__u64 refused; /* SYNs, and connections ended by the gate; since `first_ns` */
	__u64 first_ns, last_ns;
	__u32 second;     /* CLOCK_BOOTTIME: the one that `now` counts */
	__u32 now;        /* refused in that second */
	__u32 before;     /* in the second before it */
	__u32 window;     /* in units of SW_EDGE_WINDOW_S: the one that `told` counts */
	__u32 told;       /* events in it */
	__u32 suppressed; /* events left out since the last one */
};

/*
 * What was decided about a source not long ago. Holds while sw_head.active is the same, where the policy has asked
 * about nothing but this; one of more rows than one word's is not remembered.
 *
 * In a flood the decision is known, no event is due, and all that is left to do with a SYN is to count it: `tick` says
 * how long (edge_flood.h). Such SYNs are in `refused` and nowhere else, but for those up to `settled`, which the
 * source's entry has as well, and up to `hit_settled`, which `hits` has. What is counted outlasts the source: it goes
 * on when the element is another's.
 */
struct sw_edge_recent {
	__u64 src[2];
	__u64 tick; /* the kernel's, in which SYNs need no more than counting; 0: none */
	__u64 refused; /* SYNs: each counts as connect, refused, dropped and suppressed, and as a hit */
	__u32 state; /* sw_head.active */
	__u32 interface;
	__u32 reset; /* 1: they are answered by a RST; 0: dropped */
	__u16 port, rule;
	__u32 settled;    /* low bits of `refused` as it was when the source's entry was written */
	__u64 generation; /* of the policy; 0: there is none */
	__u64 resets;     /* of `refused`: answered */
	__u64 hit_settled;
	__u64 hit_generation; /* of the policy that `hit` is of */
	__u32 hit;            /* key of the rule in `hits` */
	__u32 source;         /* where the source may lie in `edge_sources` */
	__u32 second;         /* CLOCK_BOOTTIME: in which those not settled were refused */
	__u64 reserved[3];
};

#define SW_EDGE_RECENT_BITS 7
#define SW_EDGE_RECENT (1u << SW_EDGE_RECENT_BITS)

/* The map `remembered`, of each CPU one. */
struct sw_edge_recents {
	struct sw_edge_recent of[SW_EDGE_RECENT];
};

#define SW_EDGE_WINDOW_S 10           /* seconds */
#define SW_EDGE_EVENTS 3              /* of one source in a window */
#define SW_EDGE_EVENTS_PER_SECOND 256 /* of all sources together: sources can be forged */

/* What `reject "..." answer` says, by slot * SW_RULES_MAX + rule: the map `answers`. */
struct sw_answer_line {
	__u16 length; /* 0: the rule has none */
	__u16 sum; /* ones' complement sum (RFC 1071) of the bytes as 16-bit words as they lie in memory */
	__u8 bytes[SW_ANSWER_MAX]; /* "554 5.7.1 text\r\n", zeros behind it */
};

#ifndef __bpf__
static_assert(sizeof(struct sw_interface) == 152, "struct sw_interface changed its layout");
static_assert(sizeof(struct sw_edge_flow) == 64, "a flow is one cache line");
static_assert(sizeof(struct sw_edge_source) == 72, "struct sw_edge_source changed its layout");
static_assert(sizeof(struct sw_edge_recent) == 128, "struct sw_edge_recent changed its layout");
static_assert(sizeof(struct sw_answer_line) == 276, "struct sw_answer_line changed its layout");
#endif

#endif
