/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * gate.h - the SMTP first-bytes state machine: bytes and TCP sequence numbers in, verdict and reason
 * out. Pure: no map, no clock, no I/O; one code for the kernel, `smtpwall replay`, tests and fuzzers.
 *
 * The includer says how bytes are had and how a loop is made, before including this:
 *
 *     #define SW_GATE_LOAD(from, offset, to, size)     0, or negative when they are not there
 *     #define SW_GATE_LOOP(count, step, context)       calls long step(__u32 index, context) until it
 *                                                      returns 1 or count calls are made
 *
 * What the client may send before TLS (RFC 5321, 3207, 8314): EHLO HELO LHLO NOOP RSET QUIT HELP
 * STARTTLS, in any case, with any argument, blanks before them; refused is the first byte that
 * continues none of them. CR, LF and CRLF all end a line where a forbidden command is looked for; only
 * a STARTTLS between CRLFs is one that a ClientHello may follow, and only once the server said 220.
 *
 * The two directions are two halves of the state, each written by one side only, as the kernel reads
 * them at the same time on different CPUs. What one half tells the other is one word, written once
 * that what it stands for is complete.
 *
 * Which way it fails: what cannot be read is a violation, or where TCP sends it again, held back.
 */
#ifndef SW_GATE_H
#define SW_GATE_H

#include "bpf/abi.h"

#define SW_GATE_INLINE static inline __attribute__((always_inline, unused))

/* The verifier must see the mask that bounds an index; the compiler would drop it. */
#define SW_GATE_OPAQUE(value) __asm__ volatile("" : "+r"(value))
#define SW_GATE_READ(value) (*(const volatile __typeof__(value) *)&(value))
#define SW_GATE_WRITE(to, value) (*(volatile __typeof__(to) *)&(to) = (value))

#define SW_GATE_CLEAR_MAX 1024 /* bytes of a client before its ClientHello */
#define SW_GATE_MAX 8192 /* bytes of a client up to the end of its ClientHello; power of two */
#define SW_GATE_REPLY_MAX 16384 /* bytes of a server before its ServerHello */
#ifndef SW_GATE_SERVED_MAX      /* an includer that makes no samples needs none */
#define SW_GATE_SERVED_MAX 4096 /* bytes kept of a server from its ServerHello on; power of two */
#endif
#define SW_GATE_CHUNK 64 /* bytes looked at in one piece; power of two */

/* What is to be done with a segment. */
enum sw_gate_answer {
	SW_GATE_PASS = 0,
	SW_GATE_HOLD,      /* drop it: TCP will send it again, in order */
	SW_GATE_VIOLATION, /* drop it, and everything after it; `reason` says why */
};

/* Where the client half is. */
enum sw_gate_phase {
	SW_GATE_START = 0,  /* no byte yet */
	SW_GATE_PROXY_TEXT, /* in a PROXY header, version 1 */
	SW_GATE_PROXY_SIGN, /* version 2: signature and fixed part */
	SW_GATE_PROXY_BODY, /* version 2: addresses */
	SW_GATE_LINE,       /* before a command */
	SW_GATE_VERB,       /* in it */
	SW_GATE_ARGUMENT,   /* behind it */
	SW_GATE_CR,      /* behind a CR: the line has ended, unless LF follows and belongs to it */
	SW_GATE_ASKED,   /* behind STARTTLS, until the server answers */
	SW_GATE_GRANTED, /* the server said 220: a ClientHello is due */
	SW_GATE_HELLO,   /* in it */
	SW_GATE_HELLO_DONE, /* behind it: alerts, nothing else, until the server's hello */
	SW_GATE_TLS,        /* the server's hello has come: the gate has done its work */
	SW_GATE_CONDEMNED,
	SW_GATE_OVER, /* not enforced: no longer looked at */
};

/* Where the server half is. */
enum sw_gate_served {
	SW_GATE_REPLIES = 0,   /* greeting and replies */
	SW_GATE_PROMISED,      /* said 220 to STARTTLS: nothing may follow before the ClientHello */
	SW_GATE_ANSWER,        /* its first TLS records */
	SW_GATE_REFUSED_HELLO, /* an alert instead of a ServerHello */
	SW_GATE_SERVER_TLS,    /* ServerHello read; the certificate follows in TLS 1.2 and below */
	SW_GATE_UNREAD,        /* not enforced: bytes were missed, no longer looked at */
};

#define SW_GATE_MET 2 /* in `synced` */

#define SW_GATE_ANSWER_220 1
#define SW_GATE_ANSWER_OTHER 2

/* A walk through TLS records and the first handshake message in them (RFC 8446, 4.1 and 5.1). */
struct sw_gate_tls {
	__u16 left;   /* bytes of this record to come */
	__u8 head;    /* bytes read of the record's header */
	__u8 type;    /* of the record */
	__u8 field;   /* enum sw_gate_field: part of the message that is read */
	__u8 number;  /* bytes read of a number */
	__u32 value;  /* the number so far */
	__u32 skip;   /* bytes of this part to come */
	__u32 at;     /* bytes of the message read */
	__u32 length; /* of the message, its header included; 0: not known yet */
	__u32 text;   /* the last four bytes in upper case, for commands hidden in a hello */
	__u32 line;   /* letters since the last line end, and one; 0: no command can begin here */
};

/* One connection. Zero but for what sw_gate_begin() sets. */
struct sw_gate {
	/* What is asked. Set once. */
	__u16 tls_version; /* the oldest that may be negotiated; 0: any */
	__u8 flags;        /* SW_RULE_IMPLICIT, SW_RULE_STARTTLS, SW_RULE_PROXY */
	__u8 enforced;     /* 0: segments are never held, the first violation is recorded */

	/* ---- client half ---- */
	__u8 phase; /* enum sw_gate_phase */
	__u8 synced; /* `start` is known; SW_GATE_MET: from the handshake itself, no SYN changes it */
	__u8 reason; /* of the violation, enum sw_reason */
	__u8 verb;   /* enum sw_verb: of the violation */
	__u8 verb_length;
	__u8 mechanism;  /* enum sw_mechanism */
	__u8 tls;        /* enum sw_tls */
	__u8 hard;       /* the line began behind CRLF, or at the start */
	__u8 candidates; /* verbs that the letters so far may become, one bit each */
	__u8 letters;    /* how many of them */
	__u8 found;      /* reason to refuse the segment that is being looked at */
	__u8 naming;     /* what is being read for verb and mechanism; gate_verb.h */
	__u32 start;     /* sequence number of the first byte */
	__u32 read;      /* bytes read */
	__u32 bad;       /* index of the byte that was refused, in that segment */
	__u32 hello_at;  /* where the ClientHello begins */
	__u32 proxy;     /* bytes of the PROXY header read or, in its body, to come */
	__u64 word;      /* the letters of the verb in upper case, first one lowest */
	__u64 method;    /* likewise of the mechanism */
	struct sw_gate_tls hello;
	__u8 chunk[SW_GATE_CHUNK];

	/* What the client half tells the server half. */
	__u32 commands; /* lines sent */
	__u32 asked;    /* the last one that was STARTTLS; 0: none */
	__u32 greeted;  /* the last one that was EHLO; 0: none */
	__u32 begun;    /* a ClientHello has begun */

	/* ---- server half ---- */
	__u8 server_phase; /* enum sw_gate_served */
	__u8 server_synced;
	__u8 server_reason; /* of a violation by the server */
	__u8 code_bad;      /* the line does not begin as a reply does */
	__u8 caps;          /* this reply offers STARTTLS */
	__u8 more;          /* the line says that another one follows */
	__u8 mixed;         /* lines of this reply differ in their code */
	__u8 sealed;        /* `served` has no more: full, or bytes came out of order */
	__u8 server_found;  /* as `found` */
	__u16 code;         /* of this line */
	__u16 reply_code;   /* of the reply's first line; 0: that is not read yet */
	__u32 column;       /* bytes of the line read */
	__u32 keyword;      /* letters of STARTTLS that the line begins with */
	__u32 server_next;  /* sequence number of the next byte */
	__u32 server_read;  /* bytes read before TLS */
	__u32 replies;      /* complete ones, the greeting included */
	__u32 n_served;     /* bytes in `served` */
	__u16 negotiated;   /* version that the ServerHello names, 0: not known */
	__u16 cipher;       /* that it names */
	struct sw_gate_tls answer;
	__u8 server_chunk[SW_GATE_CHUNK];

	/* What the server half tells the client half. */
	__u32 answered; /* `asked` << 8 | SW_GATE_ANSWER_*: what was said to STARTTLS */
	__u32 capable;  /* `greeted` << 8 | offered: whether the answer to EHLO offered STARTTLS */
	__u32 server_tls; /* the ServerHello was read and is good enough */

	/* What samples are made of; the server's is one piece, header and bytes. */
	struct sw_sample sample;
	__u8 seen[SW_GATE_MAX]; /* what the client sent, to compare what it sends again */
	struct sw_sample server_sample;
	__u8 served
		[SW_GATE_SERVED_MAX]; /* the server's TLS records, as far as they came in order */
};

/* A segment, as its headers tell. `at` is where its payload begins in what SW_GATE_LOAD reads. */
struct sw_gate_segment {
	__u32 seq;
	__u32 ack; /* what it acknowledges, where `acks` */
	__u32 at;
	__u32 length; /* of the payload that is there */
	__u8 syn;
	__u8 urgent; /* URG is set: servers take a byte out of the stream */
	__u8 shared; /* its pages can be changed by the sender until they are on the wire */
	__u8 acks;   /* ACK is set */
};

/* One look at it. On the stack, where what a loop of the kernel's is given must lie; it does not change
   while the loop runs, so that the verifier goes through its body once. */
struct sw_gate_look {
	struct sw_gate *gate;
	void *from;
	__u32 at;     /* where the first byte to look at is in `from` */
	__u32 first;  /* its number in the stream */
	__u32 length; /* bytes to look at */
};

/* The way that `require tls` means on this port: RFC 8314 has implicit TLS on 465. Audit: either. */
SW_GATE_INLINE __u8 sw_gate_way(__u8 action, __u8 flags, __u16 port)
{
	__u8 way = flags & (SW_RULE_IMPLICIT | SW_RULE_STARTTLS);

	if (!way && port == 465 && action == SW_ACTION_TLS)
		way = SW_RULE_IMPLICIT;
	return way | (flags & SW_RULE_PROXY);
}

/* `gate` is zero. `port`: what the program asked for. */
SW_GATE_INLINE void sw_gate_begin(struct sw_gate *gate, __u8 action, __u8 flags, __u16 port,
				  __u16 tls_version)
{
	gate->flags = sw_gate_way(action, flags, port);
	gate->enforced = action == SW_ACTION_TLS && !(flags & SW_RULE_AUDIT);
	gate->tls_version = tls_version;
	gate->hard = 1;
}

/* For people: how far it has come, enum sw_flow_state. */
SW_GATE_INLINE __u8 sw_gate_state(const struct sw_gate *gate)
{
	switch (gate->phase) {
	case SW_GATE_START:
		return SW_FLOW_START;
	case SW_GATE_ASKED:
		return SW_FLOW_ASKED;
	case SW_GATE_GRANTED:
	case SW_GATE_HELLO:
		return SW_FLOW_HELLO;
	case SW_GATE_HELLO_DONE:
		return SW_FLOW_HELLO_SENT;
	case SW_GATE_TLS:
		return SW_FLOW_TLS;
	case SW_GATE_CONDEMNED:
		return SW_FLOW_CONDEMNED;
	case SW_GATE_OVER:
		return gate->reason || gate->server_reason ? SW_FLOW_RECORDED : SW_FLOW_UNREAD;
	default:
		return SW_FLOW_CLEAR;
	}
}

/* A size of 1 to SW_GATE_CHUNK as it is; said so that the verifier of 6.1 knows it is not 0 either. */
SW_GATE_INLINE __u32 sw_gate_bounded(__u32 size)
{
	__u32 less = size - 1;

	SW_GATE_OPAQUE(less);
	return (less & (SW_GATE_CHUNK - 1)) + 1;
}

#include "bpf/gate_start.h"
#include "bpf/gate_tls.h"
#include "bpf/gate_verb.h"

#include "bpf/gate_command.h"

#include "bpf/gate_client.h"
#include "bpf/gate_server.h"

/*
 * The two doors (gate_client.h, gate_server.h). Each returns enum sw_gate_answer. After
 * SW_GATE_VIOLATION the client's `reason`, `verb`, `verb_length` and `mechanism` or the server's
 * `server_reason` are set; when the gate is enforced, every later segment with payload of either
 * side gets the same answer. Not enforced: the answer is SW_GATE_VIOLATION once and nothing is
 * looked at afterwards; the caller passes the segment.
 *
 *     int sw_gate_client(struct sw_gate *gate, void *from, const struct sw_gate_segment *segment);
 *     int sw_gate_server(struct sw_gate *gate, void *from, const struct sw_gate_segment *segment);
 *
 * Once `phase` is SW_GATE_TLS the state may be thrown away.
 */

#endif
