/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * vocabulary.h - the fixed lists of abi.h: what can happen, why, and what is counted. Their numbers lie
 * in maps and records, so they change only together with SW_ABI_VERSION; their names are the policy
 * library's.
 */
#ifndef SW_VOCABULARY_H
#define SW_VOCABULARY_H

/* What happened to a connection or a packet. Names: sw_verdict_name() of the policy library. */
enum sw_verdict {
	SW_VERDICT_ALLOW = 0, /* passed */
	SW_VERDICT_REJECT,    /* refused, the caller was told (host: EACCES; edge: TCP RST) */
	SW_VERDICT_DROP,      /* refused (host: EACCES as well, connect() never hangs) */
	SW_VERDICT_REDIRECT,  /* passed, to another destination */
	SW_VERDICT_AUDIT,     /* passed and recorded; with a reason: enforcing would have refused */
	SW_VERDICT_RESET,     /* a connection that was open was ended */
	SW_VERDICT_MAX
};

/* Why. The list is fixed: monitoring and scripts match on the names. */
enum sw_reason {
	SW_REASON_NONE = 0,
	SW_REASON_NOT_PERMITTED, /* a rule says so */
	SW_REASON_UNIDENTIFIED,  /* a rule depends on what could not be found out (path too long,
					   too many groups, a kernel worker): refused, design 2.7 */
	SW_REASON_UNATTRIBUTED, /* a packet to a guarded port whose socket connect() did not pass; edge:
					   of a connection whose beginning was not seen, or is forgotten */
	SW_REASON_MALFORMED,  /* headers that cannot be walked on a guarded socket */
	SW_REASON_TABLE_FULL, /* no memory to remember the connection */
	SW_REASON_NO_TARGET,  /* redirect has no target of this address family */
	SW_REASON_EXISTING,   /* the connection is older than the policy: let finish, or reset */
	SW_REASON_CLEARTEXT_COMMAND,
	SW_REASON_STARTTLS_INJECTION,
	SW_REASON_STARTTLS_STRIPPED,
	SW_REASON_NOT_TLS,
	SW_REASON_TLS_TOO_OLD,
	SW_REASON_RESEND_MISMATCH,
	SW_REASON_TOO_LONG,
	SW_REASON_SHARED_PAGES,   /* bytes before TLS in pages that the sender can still change */
	SW_REASON_SMTP_ELSEWHERE, /* SMTP on a port that no rule names */
	SW_REASON_MAX
};

/* What a rule asks for. */
enum sw_action {
	SW_ACTION_ALLOW = 0,
	SW_ACTION_REJECT,
	SW_ACTION_DROP,
	SW_ACTION_REDIRECT,
	SW_ACTION_AUDIT, /* allow, and record every connection and what it does in clear */
	SW_ACTION_TLS,   /* allow; the gate sees to it that TLS comes first */
	SW_ACTION_MAX
};

/*
 * Commands that a violation may be named after. Only what is on this list is ever told, so a password
 * that stands where a command should is not.
 */
enum sw_verb {
	SW_VERB_NONE = 0, /* not a command of this list */
	SW_VERB_AUTH,
	SW_VERB_MAIL,
	SW_VERB_RCPT,
	SW_VERB_DATA,
	SW_VERB_BDAT,
	SW_VERB_BURL,
	SW_VERB_VRFY,
	SW_VERB_EXPN,
	SW_VERB_ETRN,
	SW_VERB_ATRN,
	SW_VERB_TURN,
	SW_VERB_SEND,
	SW_VERB_SOML,
	SW_VERB_SAML,
	SW_VERB_XCLIENT,
	SW_VERB_XFORWARD,
	SW_VERB_PROXY,
	/* Those that may come before TLS: named where nothing may. */
	SW_VERB_EHLO,
	SW_VERB_HELO,
	SW_VERB_LHLO,
	SW_VERB_NOOP,
	SW_VERB_RSET,
	SW_VERB_QUIT,
	SW_VERB_HELP,
	SW_VERB_STARTTLS,
	SW_VERB_MAX
};

enum sw_mechanism {
	SW_MECHANISM_NONE = 0,
	SW_MECHANISM_PLAIN,
	SW_MECHANISM_LOGIN,
	SW_MECHANISM_CRAM_MD5,
	SW_MECHANISM_DIGEST_MD5,
	SW_MECHANISM_SCRAM, /* SCRAM-SHA-1 and its kin */
	SW_MECHANISM_XOAUTH2,
	SW_MECHANISM_OAUTHBEARER,
	SW_MECHANISM_NTLM,
	SW_MECHANISM_GSSAPI,
	SW_MECHANISM_EXTERNAL,
	SW_MECHANISM_MAX
};

/* How a connection came to TLS. */
enum sw_tls { SW_TLS_NONE = 0, SW_TLS_STARTTLS, SW_TLS_IMPLICIT, SW_TLS_MAX };

/* How far a connection has come. */
enum sw_flow_state {
	SW_FLOW_OPEN = 0,   /* nothing is asked of it */
	SW_FLOW_START,      /* nothing sent yet */
	SW_FLOW_CLEAR,      /* commands that may come before TLS */
	SW_FLOW_ASKED,      /* STARTTLS sent, no answer yet */
	SW_FLOW_HELLO,      /* a ClientHello is due or has begun */
	SW_FLOW_HELLO_SENT, /* the server's answer to it is due */
	SW_FLOW_TLS,
	SW_FLOW_CONDEMNED, /* nothing more leaves */
	SW_FLOW_RECORDED,  /* did what TLS is required against, where that is only recorded */
	SW_FLOW_UNREAD,    /* only recorded, and bytes were missed: not looked at any longer */
	SW_FLOW_STATE_MAX
};

enum sw_event_kind {
	SW_EVENT_CONNECT = 1, /* a connect() was decided */
	SW_EVENT_PACKET,      /* a packet was decided on the way out */
	SW_EVENT_GATE,        /* a connection did not do as `require tls` or `audit` has it */
	SW_EVENT_EDGE,    /* a forwarded connection was refused, or did not do as its rule has it */
	SW_EVENT_SESSION, /* a connection to or from a guarded port has ended: how it went */
	SW_EVENT_SERVE,   /* a session that this machine answers did not do as its rule has it */
	SW_EVENT_ELSEWHERE, /* SMTP was spoken on a port that no rule names */
	SW_EVENT_KIND_MAX
};

/* The map `counters`: exact, whatever happens to the events. */
enum sw_counter {
	SW_COUNT_CONNECT = 0, /* connect() to a guarded port */
	SW_COUNT_ALLOWED,
	SW_COUNT_REFUSED, /* EACCES, or connected to what answers why not */
	SW_COUNT_REDIRECTED,
	SW_COUNT_AUDITED,        /* would have been refused */
	SW_COUNT_UNIDENTIFIED,   /* of the refused or audited: the caller could not be told */
	SW_COUNT_PACKET_DROPPED, /* dropped by the backstop */
	SW_COUNT_EXISTING,       /* connections older than the policy that were let finish */
	SW_COUNT_EVENTS,         /* records handed to the ring buffer */
	SW_COUNT_SUPPRESSED,     /* events left out by the flood limiter */
	SW_COUNT_LOST,           /* events for which the ring buffer had no room */
	SW_COUNT_TLS,            /* connections that came to TLS as required */
	SW_COUNT_CONDEMNED,      /* connections that the gate ended */
	SW_COUNT_GATE_DROPPED,   /* packets of theirs that were dropped */
	SW_COUNT_GATE_HELD,      /* packets ahead of what was read: dropped, sent again by TCP */
	SW_COUNT_SAMPLES,        /* records handed to the ring buffer `samples` */
	SW_COUNT_SAMPLES_LOST,   /* those for which it had no room */
	SW_COUNT_SESSIONS,       /* connections that were let through, and have ended */
	/* Sessions that this machine answers. */
	SW_COUNT_SERVE_CONNECT, /* connections to a port that a serve block names, and dropped SYNs */
	SW_COUNT_SERVE_ALLOWED, /* of them: let through */
	SW_COUNT_SERVE_REFUSED, /* of them: refused for where they come from, or for want of memory */
	SW_COUNT_SERVE_AUDITED,   /* would have been refused, or ended by the gate */
	SW_COUNT_SERVE_TLS,       /* that came to TLS as required */
	SW_COUNT_SERVE_CONDEMNED, /* that the gate ended */
	SW_COUNT_SERVE_DROPPED,   /* packets of refused and ended connections that did not pass */
	SW_COUNT_SERVE_HELD, /* packets ahead of what was read, or before the server's socket was there:
				dropped, sent again by TCP */
	SW_COUNT_ELSEWHERE, /* connections in which SMTP was spoken on a port that no rule names */
	/* The edge. Connections are counted by their SYNs: each that is sent again counts again. */
	SW_COUNT_EDGE_CONNECT, /* SYNs to a port that is guarded on the interface: passed, refused,
				      or one of those counted as audited, held or malformed */
	SW_COUNT_EDGE_ALLOWED, /* of them: passed */
	SW_COUNT_EDGE_REFUSED, /* of them: rejected or dropped */
	SW_COUNT_EDGE_AUDITED, /* SYNs or connections that would have been refused or ended */
	SW_COUNT_EDGE_DROPPED, /* packets of every kind that did not pass */
	SW_COUNT_EDGE_RESETS,  /* RSTs sent to clients */
	SW_COUNT_EDGE_ANSWERS, /* 554 greetings sent */
	SW_COUNT_EDGE_MALFORMED,   /* packets dropped: headers that cannot be walked, fragments */
	SW_COUNT_EDGE_UNKNOWN,     /* packets refused of connections whose beginning is not known */
	SW_COUNT_EDGE_EXISTING,    /* such packets that passed under `existing keep` */
	SW_COUNT_EDGE_HELD,        /* packets ahead of what was read, or SYNs with data: dropped */
	SW_COUNT_EDGE_TLS,         /* connections that came to TLS as required */
	SW_COUNT_EDGE_CONDEMNED,   /* connections that the gate ended */
	SW_COUNT_EDGE_OPENED,      /* entries of the flow table taken */
	SW_COUNT_EDGE_ENDED,       /* of them: ended or taken for another flow */
	SW_COUNT_EDGE_EVICTED,     /* live flows not yet in TLS whose entry was taken for another */
	SW_COUNT_EDGE_EVICTED_TLS, /* live flows in TLS likewise */
	SW_COUNT_EDGE_EVICTED_GATE,   /* flows that lost the gate that was reading them */
	SW_COUNT_EDGE_EVICTED_SOURCE, /* sources that lost their place in the table of sources */
	SW_COUNT_MAX
};

#endif
