/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * edge_fixture.h - the real programs of the edge, run on packets of the test's own (BPF_PROG_TEST_RUN), with
 * policies written by hand.
 *
 * ex_up() unshares the network and loads both objects onto one set of maps; packets come in by loopback,
 * interface EX_INTERFACE. Nothing is attached. A failed step ends the test program.
 */
#ifndef SW_TEST_EDGE_FIXTURE_H
#define SW_TEST_EDGE_FIXTURE_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <linux/bpf.h>
#include <linux/pkt_cls.h>
#include <stdbool.h>

#include "bpf/abi_edge.h"

#define EX_INTERFACE 1
#define EX_FLOWS 64 /* entries of the flow table, unless ex_size() said otherwise before ex_up() */
#define EX_GATES 64
#define EX_FRAME_MAX 3072

bool ex_usable(void);                         /* false, with a line of TAP: not root */
void ex_size(uint32_t flows, uint32_t gates); /* before ex_up() */
int ex_up(void **state);
int ex_down(void **state);
int ex_reset(void **state); /* cmocka setup: empty policies, tables empty, counters zero */

/* Puts sw_edge on EX_INTERFACE as well: a program that is attached nowhere pays two grace periods a run, longer than
   anything is remembered for. After ex_up(). */
void ex_attach(void);
/* This process, until it ends. */
void ex_stay_on_this_cpu(void);

struct bpf_object;
struct bpf_object *ex_object(void);        /* of sw_edge; its maps are those of both */
struct bpf_object *ex_object_served(void); /* of sw_edge_served */
int ex_map(const char *name);              /* fd, borrowed */

/* ---- policies ---- */

/* A row; members that are 0 or NULL are not asked about. */
struct ex_row {
	uint16_t port;
	const char *from;   /* "192.0.2.0/24" */
	const char *prefix; /* of the destination */
	bool to_local;
};

void ex_begin(unsigned int slot); /* empties a slot, its tables, and what EX_INTERFACE says of it */
uint16_t ex_rule(uint8_t action, uint8_t flags);
void ex_version(uint16_t rule, uint16_t tls_version);
void ex_answer(uint16_t rule, const char *text); /* the sentence of `reject "text" answer` */
void ex_row(uint16_t rule, struct ex_row row);   /* of EX_INTERFACE */
void ex_keep(uint64_t keep_until_ns);            /* of EX_INTERFACE, for the slot begun last */
void ex_audit_all(void);                         /* nothing on EX_INTERFACE enforces */
void ex_link(uint8_t link);                      /* enum sw_link of EX_INTERFACE */
uint64_t ex_apply(void); /* the slot begun last is in force; its generation */
uint64_t ex_generation(unsigned int slot);
void ex_local(const char *addr);
void ex_unknown_interface(void); /* EX_INTERFACE has no entry, until ex_apply() or ex_reset() */
void ex_unnamed_interface(void); /* no edge block names it, likewise */
void ex_forget(
	void); /* says that an interface changed, so that the next packet goes the long way */

/* One rule for everybody on one port of EX_INTERFACE, in force: what most tests begin with. */
uint16_t ex_simple(uint16_t port, uint8_t action, uint8_t flags);

/* ---- packets ---- */

struct ex_frame {
	size_t n;
	uint8_t bytes[EX_FRAME_MAX];
};

/* A segment of TCP with right checksums. Members that are 0 or NULL have the value said here. */
struct ex_segment {
	const char *from, *to;       /* 192.0.2.1 and 198.51.100.1; both of one family */
	uint16_t src_port, dst_port; /* 40000 and 25 */
	uint32_t seq, ack;
	uint8_t flags; /* SW_TCP_* */
	const void *payload;
	size_t n;
	/* What stands between the MAC addresses and IP, as numbers of 16 bits: "8100 0005 0800". NULL: the
	   EtherType alone. "": the frame begins with IP. */
	const char *link;
	bool from_edge; /* as the edge answers: MAC addresses turned round, DF, window 65535 or, of a RST, 0 */
	size_t ip_options, tcp_options; /* bytes of no-operation, a multiple of four */
};

void ex_segment(struct ex_frame *frame, struct ex_segment segment);
uint8_t *ex_add(struct ex_frame *frame, size_t n); /* zeros at its end */
size_t ex_ip_at(const struct ex_segment *segment); /* where its IP header begins */
/* Ones' complement sum of bytes as a checksum has it, not yet complemented; `sum` is what was before. */
uint32_t ex_sum(const uint8_t *at, size_t n, uint32_t sum);

/* Runs a program; the frame is then what it left. Returns XDP_*, TC_ACT_*. Every Ethernet frame that is answered, and
   the answer, are written as a line to the file that SW_EDGE_FRAMES in the environment names. */
uint32_t ex_run(struct ex_frame *frame);        /* sw_edge: from a client */
uint32_t ex_run_served(struct ex_frame *frame); /* sw_edge_served: to a client */
/* The same of a segment; `frame` may be NULL. */
uint32_t ex_send(struct ex_segment segment, struct ex_frame *frame);
uint32_t ex_serve(struct ex_segment segment, struct ex_frame *frame);

/* The answer to expect: of the server to the client, of this segment's connection; a RST as RFC 9293 has it. */
struct ex_segment ex_turned(struct ex_segment segment);
struct ex_segment ex_reset_of(struct ex_segment segment);
/* Is the frame this segment, byte for byte, as the edge would have made it? */
void ex_expect(const struct ex_frame *frame, struct ex_segment expected);

/* ---- what became of it ---- */

uint64_t ex_counter(enum sw_counter counter);
uint64_t
ex_short(bool resets); /* SYNs that were refused on the short way; or of them: answered by a RST */
uint64_t ex_hits(unsigned int slot, uint16_t rule);

/* Takes what is in the ring buffer; returns how many there were. ex_event(i) is valid until then. */
size_t ex_events(void);
const struct sw_event *ex_event(size_t index);
const struct sw_event *ex_one_event(void); /* the only one since the last ex_events() */

/* Entries in use; the first `most` of them. */
size_t ex_flows(struct sw_edge_flow *flows, size_t most);
size_t ex_sources(struct sw_edge_source *sources, size_t most);

void ex_note(const struct ex_frame *question,
	     const struct ex_frame *answer);        /* for SW_EDGE_FRAMES */
void ex_mapped(const char *text, uint8_t addr[16]); /* as events have it */
_Noreturn void ex_fail(const char *what);           /* with errno, ends the program */

#endif
