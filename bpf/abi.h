/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * abi.h - what the kernel programs and the daemon must agree on: map keys and values, the event
 * record, verdicts and reasons, limits.
 *
 * Every struct here lies in a map that outlives the process that wrote it, so layouts change only
 * together with SW_ABI_VERSION. All types have a fixed width and no implicit padding; the static
 * asserts below hold them to it.
 *
 * Addresses are always sixteen bytes in network order; an IPv4 address a.b.c.d is written as
 * ::ffff:a.b.c.d, so IPv4, IPv6 and v4-mapped take one path. Ports are in host order. Users and
 * groups are the kernel's own ids, as the initial user namespace sees them.
 */
#ifndef SW_ABI_H
#define SW_ABI_H

#ifndef __bpf__
#include <assert.h>
#include <linux/types.h>
#include <stddef.h>
#endif

#include "bpf/vocabulary.h"

#define SW_ABI_VERSION 7

#define SW_RULES_MAX 256 /* rules in a policy */
#define SW_ROWS_MAX 512  /* rows: a rule has one for each alternative its lists need */
#define SW_WORDS (SW_ROWS_MAX / 64)
#define SW_CLASSES_MAX 1024  /* different sets of rows that a destination prefix can stand for */
#define SW_LENGTHS_MAX 129   /* prefix lengths 0 to 128 */
#define SW_NAME_MAX 256      /* a path or a unit name, its NUL included; longer ones do not match */
#define SW_COMM_MAX 16       /* TASK_COMM_LEN */
#define SW_RULE_NONE 0xffffu /* no rule: a refusal that no line of the policy asked for */
#define SW_ROW_NONE 0xffffu
#define SW_PATTERNS_MAX 64 /* names and patterns of interfaces in a policy */
#define SW_GROUPS_MAX 64   /* supplementary groups looked at; a caller with more is unidentified */

/* A set of rows. Row r is bit r % 64 of word r / 64; rows stand in the order of the policy, so the
   lowest bit that is set is the first match. */
struct sw_vec {
	__u64 w[SW_WORDS];
};

/*
 * The dimensions of a decision. Each contributes the set of rows that it does not rule out:
 *   any[dim]  the rows that do not ask about this dimension
 *   found     the rows whose selector names what was found (a map look-up; none if it is not there)
 * and the rows still possible after it are  rows & (any[dim] | found).
 */
enum sw_dim {
	SW_DIM_PORT = 0, /* scope and destination port; any[] is empty, every row has a port */
	SW_DIM_USER,     /* effective uid */
	SW_DIM_GROUP,    /* effective gid and supplementary groups */
	SW_DIM_DST,      /* destination address: prefix lists and `local` */
	SW_DIM_CGROUP,   /* cgroup path or an ancestor of it */
	SW_DIM_UNIT,     /* systemd unit: the topmost cgroup that is not a slice */
	SW_DIM_EXE,      /* executable */
	SW_DIM_MAX,
	/* Those of edge and serve beside port and destination; edge_match.h goes through them by itself. */
	SW_DIM_FROM = SW_DIM_MAX, /* source address */
	SW_DIM_INTERFACE,         /* where the packet came in; any[] is empty, every row has some */
	SW_DIMS
};

/* Rule flags. */
#define SW_RULE_AUDIT 0x01    /* `mode audit` covers this rule: decide and record, refuse nothing */
#define SW_RULE_IMPLICIT 0x02 /* require tls implicit: a ClientHello first */
#define SW_RULE_STARTTLS 0x04 /* require tls starttls; neither: as the port has it */
#define SW_RULE_PROXY 0x08    /* a PROXY protocol header may stand before everything else */
#define SW_RULE_ANSWER                                                                             \
	0x10 /* reject: the client is told why in SMTP. Host: connect() goes to target4 or
					target6, where the daemon says it */

/* One rule as the kernel needs it; index = rule number - 1, in the order of the file. */
struct sw_rule {
	__u8 action;       /* enum sw_action */
	__u8 flags;        /* SW_RULE_* */
	__u16 port4;       /* redirect: port for IPv4 (and v4-mapped) connections, 0 = no target */
	__u16 port6;       /* redirect: port for IPv6 connections, 0 = no target */
	__u16 tls_version; /* require tls: the oldest that may be negotiated, 0x0301 to 0x0304; 0: any */
	__u8 target4[16]; /* redirect: v4-mapped */
	__u8 target6[16]; /* redirect: IPv6, or v4-mapped when only an IPv4 target was given */
};

/* Interfaces that an edge block names. Read by the daemon, which tells the programs what it means for
   each interface there is (struct sw_interface). */
struct sw_pattern {
	char text[16];      /* IFNAMSIZ; a "*" at its end stands for anything */
	struct sw_vec rows; /* of the blocks that have it */
	__u32 keep_seconds; /* `existing keep`: how long; 0: `existing refuse` */
	__u8 enforced;      /* not `mode audit` throughout */
	__u8 reserved[3];
};

/*
 * One policy: everything but the large tables (those are the inner maps of the same slot).
 * Written only while its slot is not the active one.
 */
struct sw_policy {
	/* Near to each other what most decisions read: each page more is one more that the CPU has to look up. */
	__u64 generation; /* counts every policy ever applied; 0 = this slot was never filled */
	__u32 n_rules;
	__u32 n_rows;
	__u64 guard[65536 / 64]; /* bit p: port p is named by a host block */
	struct sw_vec any[SW_DIMS];
	struct sw_vec local;  /* rows with `to local` */
	__u32 n_lengths[2];   /* [0] IPv4, [1] IPv6: prefix lengths in use */
	__u8 lengths[2][136]; /* longest first, as bits of the 16-byte address (IPv4 /24 is 120) */
	__u32 n_from_lengths[2]; /* the same of the source prefixes of edge and serve blocks */
	__u8 from_lengths[2][136];
	__u32 n_patterns;
	__u32 serves;                /* some port is in serve_guard */
	__u16 row_rule[SW_ROWS_MAX]; /* row -> rule index */
	struct sw_rule rules[SW_RULES_MAX];
	__u64 edge_guard[65536 / 64];  /* as `guard`, by an edge block */
	__u64 serve_guard[65536 / 64]; /* by a serve block: the port that a server listens on */
	struct sw_pattern
		patterns[SW_PATTERNS_MAX]; /* interfaces of edge blocks, in the file's order */
	struct sw_vec
		classes[SW_CLASSES_MAX]; /* by the value of a prefix entry; an entry's class already
						   holds the rows of every shorter prefix that covers it */
};

/* The key of a port's rows in `ids`, by scope; host has the bare port. */
#define SW_EDGE_PORT_ID(port) (1u << 16 | (port))
#define SW_SERVE_PORT_ID(port) (2u << 16 | (port))

/* Inner map keys. Value is struct sw_vec but for prefixes. */
struct sw_id_key {
	__u32 dim; /* SW_DIM_PORT, SW_DIM_USER or SW_DIM_GROUP */
	__u32 id;  /* port: scope << 16 | port */
};

struct sw_name_key {            /* an executable (begins with '/') or a unit (never does) */
	char name[SW_NAME_MAX]; /* NUL-padded to the end */
};

struct sw_cgroup_key { /* LPM trie */
	__u32 bits;    /* 8 * length of path */
	char path
		[SW_NAME_MAX]; /* relative to the guarded cgroup, "/a/b/": the slash at the end makes
				   a longest-prefix match stop at whole components */
};

#define SW_PREFIX_FROM 0x100 /* in `bits`: of the sources, not of the destinations */

struct sw_prefix_key { /* value: __u32 class */
	__u32 bits;    /* 0 to 128, and SW_PREFIX_FROM */
	__u8 addr[16]; /* bits behind the prefix are zero */
};

#define SW_OBJECTS 3 /* of the host, and the two of the edge */

/*
 * The map `head`, one entry. `active` is the only word that changes while programs look: a program
 * reads it once and uses that slot to the end, so each decision is made against exactly one policy.
 * Filling a slot is safe because the daemon waits for running programs after each switch.
 *
 * Its upper bits count what else a decision rests on: each slot that was filled and each change of the map `interfaces`,
 * after it was made. So while the word is the same, what was decided of a packet by its port, its source and its
 * interface holds for the next.
 */
struct sw_head {
	__u32 abi;    /* SW_ABI_VERSION */
	__u32 active; /* bit 0: slot in force; the rest counts changes behind it, see below */
	__u32 serves; /* bit per slot: as `serves` of its policy, near to what each packet asks */
	__u32 elsewhere; /* SMTP on ports that no rule names is recognised */
	__u64 cgroup_id; /* the guarded cgroup: paths of callers are told from here */
	__u64 confirm_before; /* CLOCK_REALTIME ns; the daemon goes back to the other slot then; 0 = confirmed */
	__u64 existing_close; /* generation since which older connections are reset, 0 = they may finish */
	/* Ports that an edge block of either slot names: port p is bit p % 64 of word p / 64, p being what its two
	   bytes in a packet are as a number of this machine. Most packets are done with by this. */
	__u64 edge_named[65536 / 64];
	struct sw_policy slot[2];
	/* The daemon's account of events, beside no word that programs read: it is changed for each
	   event, and outlives a daemon that is killed. */
	__u64 instance;    /* random, of these maps: a store knows by it whether it may compare */
	__u64 taken;       /* events that a daemon has taken in hand: of the ring, and its own */
	__u64 taken_at[2]; /* [n & 1]: where in the ring the record began that `taken` counts as its
			      n-th, from 0; all ones: it was the daemon's own */
	__u64 urgent; /* written by programs: events that a process waits for the daemon to act on */
	/* SHA-256 of the objects that the pinned programs are of; zero: not known, or about to change. */
	__u8 objects[SW_OBJECTS][32];
};

/*
 * The map `unasked`, one entry: ports that no block of either slot names, so that a packet between such passes before
 * anything else is looked at. Ports share a bit: one that is set stands for none that is named, one that is clear says
 * nothing. All zero, as nobody wrote it: every packet is asked about.
 */
struct sw_unasked {
	__u64 to[4]; /* by a host block, where packets go; zero as well while SMTP elsewhere is looked for */
	__u64 from[4]; /* by a serve block, where servers are */
};

#define SW_UNASKED_BIT(port) ((port)&255) /* bit % 64 of word bit / 64 */

/* For people: the daemon's memory of each rule, slot * SW_RULES_MAX + index. Kernel programs never
   read it; it lies beside the policy so that a restarted daemon names rules rightly. */
struct sw_rule_info {
	__u32 line;     /* in the policy file */
	__u32 scope;    /* 0 host, 1 edge, 2 serve */
	char rule[512]; /* canonical text of the rule, cut with "..." when longer */
	char text[256]; /* the sentence of `reject "..."`, or empty */
};

struct sw_policy_info {   /* by slot */
	char path[4096];  /* where the policy came from */
	__u8 sha256[32];  /* of policy text and every list file it names, in order */
	__u64 applied_ns; /* CLOCK_REALTIME */
};

#ifndef __bpf__
#define SW_SIZE(type, size) static_assert(sizeof(type) == (size), #type " changed its layout")
SW_SIZE(struct sw_vec, 64);
SW_SIZE(struct sw_rule, 40);
SW_SIZE(struct sw_id_key, 8);
SW_SIZE(struct sw_cgroup_key, 260);
SW_SIZE(struct sw_prefix_key, 20);
SW_SIZE(struct sw_pattern, 88);
SW_SIZE(struct sw_policy, 16 + 3 * 8192 + 9 * 64 + 64 + 2 * (8 + 272) + 8 + SW_PATTERNS_MAX * 88 +
				  65536 + 1024 + 10240);
SW_SIZE(struct sw_head, 40 + 2 * sizeof(struct sw_policy) + 40 + 8192 + SW_OBJECTS * 32);
SW_SIZE(struct sw_unasked, 64);
SW_SIZE(struct sw_rule_info, 776);
SW_SIZE(struct sw_policy_info, 4136);
#undef SW_SIZE
#endif

#include "bpf/abi_event.h"

#endif
