/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * gate_script.h - what gate_run.bpf.c is given: segments of dialogues, one behind the other in the data
 * of a packet, each with a header before its bytes. Only numbers: the same header for both sides.
 */
#ifndef SW_TEST_GATE_SCRIPT_H
#define SW_TEST_GATE_SCRIPT_H

#define GS_CLIENT 0
#define GS_SERVER 1
#define GS_BEGIN 2 /* a new dialogue; its gate is zero. No bytes follow. */

#define GS_SYN 1
#define GS_URGENT 2
#define GS_SHARED 4

struct gs_head {
	__u8 what;  /* GS_CLIENT, GS_SERVER, GS_BEGIN */
	__u8 flags; /* GS_SYN, GS_URGENT, GS_SHARED */
	__u16 length;
	__u32 seq;
	__u16 gate; /* that it belongs to */
	/* GS_BEGIN: what sw_gate_begin() is given. */
	__u16 port;
	__u16 tls_version;
	__u8 action;
	__u8 rule_flags;
};

#define GS_GATES 32     /* dialogues at once; power of two */
#define GS_ANSWERS 4096 /* segments at once; power of two */

/* What became of the segments since `n` was set to 0. */
struct gs_answers {
	__u32 n;
	__u8 answer[GS_ANSWERS]; /* enum sw_gate_answer */
	__u8 phase[GS_ANSWERS];
};

#endif
