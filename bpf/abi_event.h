/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * abi_event.h - the second part of abi.h: who is calling, connections, and the records of the ring
 * buffers. Included by abi.h alone, whose rules hold here as well.
 */
#ifndef SW_ABI_EVENT_H
#define SW_ABI_EVENT_H

#include "bpf/abi.h"

/* Facts about a caller that could not be had, or that a reader must know. */
#define SW_CALLER_EXE_LONG 0x01 /* path longer than SW_NAME_MAX or too deep */
#define SW_CALLER_EXE_FOREIGN                                                                      \
	0x02 /* started from a mount of another mount namespace than the host's,
					   and not on the host's root filesystem: it has no name here
					   and matches no rule */
#define SW_CALLER_EXE_DELETED                                                                      \
	0x04 /* the file was removed or replaced since it was started; it keeps
					   its name, so an upgrade does not stop the mail */
#define SW_CALLER_CGROUP_LONG 0x08
#define SW_CALLER_GROUPS_MANY 0x10
#define SW_CALLER_SERVER                                                                           \
	0x40 /* owner of a server's socket, which a client came to: user and cgroup are the
					   socket's, nothing else is known */
#define SW_CALLER_WORKER                                                                           \
	0x20 /* a kernel thread acted for the socket's owner (MPTCP subflow):
					   user and cgroup are the socket's, nothing else is known */

/* Who is calling, found in the kernel at connect time. */
struct sw_caller {
	__u64 cgroup_id;
	__u64 exe_inode;
	__u32 pid;   /* thread group id, initial pid namespace */
	__u32 uid;   /* effective */
	__u32 gid;   /* effective */
	__u32 flags; /* SW_CALLER_* */
	char comm[SW_COMM_MAX];
	char exe[SW_NAME_MAX];    /* "" when it was not needed or not found */
	char cgroup[SW_NAME_MAX]; /* relative to the guarded cgroup, "/" is itself */
};

#define SW_FLOWS_MAX 8192 /* elements of the map `flows` */
#define SW_FLOW_WAYS 4    /* of them that a connection may lie in, one beside the other */

/* A connection to a guarded port that was let through, or one that this machine answers. Times are
   CLOCK_BOOTTIME. */
struct sw_flow {
	__u32 lock; /* struct bpf_spin_lock, in the map `flows` alone; readers outside of the kernel see 0 */
	__u32 element; /* 1 + its place in the map; 0: none yet */
	__u64 cookie;  /* of the socket; 0: the element is free */
	__u64 opened_ns;
	__u64 changed_ns;     /* last change of state */
	__u64 ended_ns;       /* 0: live */
	__u64 generation;     /* of the policy that let it through */
	__u64 sent, received; /* bytes of payload by this machine's socket, set when it has ended */
	__u16 rule;           /* index, or SW_RULE_NONE */
	__u16 src_port;       /* 0: not known yet */
	__u16 dst_port;       /* where the socket goes, after a redirect */
	__u16 asked_port;     /* what the program asked for */
	__u8 src[16];
	__u8 dst[16];
	__u8 asked[16];
	__u8 state;        /* enum sw_flow_state */
	__u8 reason;       /* enum sw_reason: why condemned or recorded */
	__u8 tls;          /* enum sw_tls */
	__u8 family;       /* as in struct sw_event */
	__u16 tls_version; /* negotiated, from the ServerHello; 0: not known (yet) */
	__u16 cipher;      /* likewise, TLS cipher suite number */
	__u8 served; /* this machine answers: the caller is the server's owner, src its client, dst
			and asked are what the client came to */
	__u8 reserved[15];
	struct sw_caller caller;
};

/*
 * A record of the ring buffer `samples`: TLS records of one side, from its hello on. They follow this
 * header, `length` bytes and up to seven more. A client's are its ClientHello; a server's end with its
 * ServerHello in TLS 1.3, in older versions they are what came in order and fits. A pretender's hello
 * may hold anything, so the reader wipes it.
 */
struct sw_sample {
	__u16 version; /* SW_ABI_VERSION */
	__u16 length;
	__u16 reserved;
	__u8 from_server;
	__u8 whole; /* not cut for want of room */
	__u64 cookie;
};

/* A record of the ring buffer `events`. */
struct sw_event {
	__u16 version;    /* SW_ABI_VERSION */
	__u16 size;       /* of the record */
	__u8 kind;        /* enum sw_event_kind */
	__u8 verdict;     /* enum sw_verdict */
	__u8 reason;      /* enum sw_reason */
	__u8 family;      /* 4 or 6, of the socket call; a v4-mapped destination is 4 */
	__u64 time_ns;    /* CLOCK_BOOTTIME */
	__u64 generation; /* of the policy that decided */
	__u64 cookie;     /* socket cookie; 0 at the edge */
	__u32 suppressed; /* events of this rule and caller left out since the last one */
	__u16 rule;       /* index, or SW_RULE_NONE */
	__u16 src_port;   /* 0 when not bound yet */
	__u16 dst_port;   /* as the program asked for it */
	__u16 new_port;   /* redirect: where it went instead */
	__u8 verb;        /* enum sw_verb: of the command that was refused */
	__u8 verb_length; /* letters of it that were seen before it was refused */
	__u8 mechanism;   /* enum sw_mechanism, of AUTH */
	__u8 from_server; /* the server's bytes were at fault */
	__u8 src[16];
	__u8 dst[16];
	__u8 new_dst[16];
	__u16 tls_version; /* as in struct sw_flow */
	__u8 tls;
	__u8 reserved;
	__u32 interface; /* of the gate: that the socket is bound to, 0: none; edge: where it came in */
	/* Edge only; the caller is empty there. */
	__u8 mac[6];   /* the frame's sender; zero where frames have none */
	__u16 vlan[2]; /* outer and inner tag's VLAN id, 0: no tag */
	__u16 session; /* of PPPoE, 0: none */
	__u16 cipher;  /* SW_EVENT_SESSION: TLS cipher suite number, 0: not known */
	__u8 served;   /* this machine answered: the caller is the server's owner, src its client */
	__u8 padding;  /* 0 */
	/* SW_EVENT_SESSION only; else 0. */
	__u64 opened_ns;      /* CLOCK_BOOTTIME */
	__u64 sent, received; /* bytes of payload */
	struct sw_caller caller;
};

/* A process waits for what the daemon does about it: the gate ended its connection, or what it sent first was
   dropped. */
static inline int sw_event_is_urgent(__u8 kind, __u8 verdict, __u8 reason)
{
	if (kind == SW_EVENT_GATE || kind == SW_EVENT_SERVE)
		return verdict == SW_VERDICT_RESET;
	return kind == SW_EVENT_PACKET && verdict == SW_VERDICT_DROP &&
	       reason == SW_REASON_UNATTRIBUTED;
}

/*
 * The names of most callers are short, and each line of memory that a record fills costs time. So a record
 * comes in one of two forms, which its size tells apart: whole, or as the struct above up to `caller.exe`, and
 * then the two names in less room. A name that is cut by it makes the record a whole one.
 */
#define SW_SHORT_EXE 48
#define SW_SHORT_CGROUP 64

struct sw_event_short {
	__u64 head[24]; /* struct sw_event as far as caller.exe */
	char exe[SW_SHORT_EXE];
	char cgroup[SW_SHORT_CGROUP];
};

#ifndef __bpf__
#define SW_SIZE(type, size) static_assert(sizeof(type) == (size), #type " changed its layout")
SW_SIZE(struct sw_caller, 560);
SW_SIZE(struct sw_event, 704);
SW_SIZE(struct sw_event_short,
	offsetof(struct sw_event, caller.exe) + SW_SHORT_EXE + SW_SHORT_CGROUP);
SW_SIZE(struct sw_flow, 16 + 56 + 48 + 24 + 560);
SW_SIZE(struct sw_sample, 16);
#undef SW_SIZE
#endif

#endif
