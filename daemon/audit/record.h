/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * record.h - one event as it is kept, searched, shown and exported: everything that is said of it, with
 * names instead of references to what may be gone by then.
 *
 * Texts are borrowed, never NULL ("": there is none), and hold only what may be shown: UTF-8 without
 * control characters, escaped as sw_text_escape() does when the record is made. So no sink can be led
 * astray by the name that a program gave itself; each only quotes as its own format asks.
 *
 * Numbers of kinds, verdicts, reasons, verbs and the like are those of bpf/vocabulary.h. They lie in
 * stores for years: the lists there may grow at their ends, and change in no other way.
 */
#ifndef SW_RECORD_H
#define SW_RECORD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum sw_record_text {
	SW_TEXT_USER = 0, /* name; "": none is known for uid */
	SW_TEXT_GROUP,
	SW_TEXT_EXE,
	SW_TEXT_EXE_NOTE, /* what must be known about exe */
	SW_TEXT_COMM,
	SW_TEXT_UNIT,
	SW_TEXT_CGROUP,
	SW_TEXT_INTERFACE, /* edge: name, or its index when that is gone */
	SW_TEXT_SNI,
	SW_TEXT_RULE,     /* canonical text of the rule */
	SW_TEXT_SENTENCE, /* of `reject "..."` */
	SW_TEXTS
};

struct sw_record {
	uint64_t id; /* from 1, one more for each event, also from one daemon to the next; 0: not
			       given yet */
	uint64_t time_ns;        /* CLOCK_REALTIME */
	uint64_t opened_ns;      /* of a session: CLOCK_REALTIME; else 0 */
	uint64_t sent, received; /* of a session: bytes of payload */
	uint64_t generation;     /* of the policy that decided */
	uint32_t line;           /* of the policy file; 0: no rule, or it is not known any more */
	uint32_t pid;            /* 0: not known */
	uint32_t uid, gid;       /* UINT32_MAX: not known */
	uint32_t suppressed;     /* events like it that were left out since the last one */
	uint16_t rule;           /* number from 1; 0: no rule decided */
	uint16_t src_port;       /* with src all zero: the socket was not bound */
	uint16_t dst_port;       /* as it was asked for */
	uint16_t new_port; /* redirect, or a refusal that answers: where it went; 0: nowhere else */
	uint16_t tls_version;   /* as on the wire, 0x0303; 0: not known */
	uint16_t cipher;        /* TLS cipher suite; 0: not known */
	uint16_t vlan[2];       /* outer and inner tag; 0: none */
	uint16_t pppoe_session; /* 0: none */
	uint8_t kind;           /* enum sw_event_kind */
	uint8_t verdict;        /* enum sw_verdict */
	uint8_t reason;         /* enum sw_reason */
	uint8_t scope;          /* enum sw_scope */
	uint8_t family;         /* 4 or 6 */
	uint8_t tls;            /* enum sw_tls */
	uint8_t verb;           /* enum sw_verb */
	uint8_t verb_length;    /* letters of it that were seen before it was refused */
	uint8_t mechanism;      /* enum sw_mechanism */
	uint8_t from_server;    /* 1: the server's bytes were at fault */
	uint8_t src[16];        /* as in bpf/abi.h: network order, IPv4 as ::ffff:a.b.c.d */
	uint8_t dst[16];
	uint8_t new_dst[16];
	uint8_t mac[6]; /* edge: the frame's sender; zero: none */
	const char *text[SW_TEXTS];
};

/* Nothing known: ids not known, texts empty. */
void sw_record_init(struct sw_record *record);

/* The addresses and ports that no socket had yet are not told. */
bool sw_record_is_bound(const struct sw_record *record);

/* A record in one piece: its members, then its texts, each with its NUL. */
#define SW_PACKED_MAX 8192 /* of the longest; texts that do not fit are cut */

size_t sw_record_packed_size(const struct sw_record *record);

/* Writes sw_record_packed_size() bytes, at most SW_PACKED_MAX; returns how many. */
size_t sw_record_pack(const struct sw_record *record, void *to);

/* Reads a piece that sw_record_pack() wrote; texts point into it. Returns its length, 0: it is none. */
size_t sw_record_unpack(const void *from, size_t size, struct sw_record *record);

#endif
