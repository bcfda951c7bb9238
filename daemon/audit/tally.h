/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * tally.h - many records summed up: how many, by whom, to where, why, when, and how sessions went. It
 * takes one record at a time and keeps counts alone, so ten million of them need no more memory than a
 * few lists of names.
 *
 * Every count weighs a record with the events that were left out in a flood because they were like it
 * (`suppressed`): they count as this one does. For who it was, the rule and what became of it that is
 * exact; destinations and ports of those left out may have been others.
 */
#ifndef SW_TALLY_H
#define SW_TALLY_H

#include "daemon/audit/record.h"
#include "daemon/audit/store.h"
#include "daemon/audit/tally_map.h"

/* What is counted by; in parentheses the key. Who acts is a program of this machine for what it opens
   itself, and a client's address for what it forwards or answers. */
enum sw_tally_by {
	SW_BY_PROGRAM = 0, /* of this machine's own (text: path, or short name in brackets) */
	SW_BY_USER,        /* likewise (text: name, or number) */
	SW_BY_UNIT,        /* likewise (text: unit, or cgroup) */
	SW_BY_CLIENT,      /* of what is forwarded or answered (16 bytes) */
	SW_BY_DESTINATION, /* of what this machine opens or forwards (16 bytes) */
	SW_BY_PORT,        /* (2 bytes, as the host has numbers) */
	SW_BY_RULE,        /* (line: 4 bytes, as the host has numbers; text) */
	SW_BY_REASON,      /* (text) */
	SW_BY_VERDICT,     /* (text) */
	SW_BY_CLEAR,     /* what was sent without TLS that should not be (struct sw_tally_sender) */
	SW_BY_ELSEWHERE, /* SMTP on ports that no rule names (likewise) */
	SW_BYS
};

enum sw_tally_version {
	SW_TALLY_TLS_UNKNOWN = 0,
	SW_TALLY_TLS_OLDER, /* than 1.0 */
	SW_TALLY_TLS_1_0,
	SW_TALLY_TLS_1_1,
	SW_TALLY_TLS_1_2,
	SW_TALLY_TLS_1_3,
	SW_TALLY_TLS_VERSIONS
};

/* Sessions of one scope. */
struct sw_tally_sessions {
	uint64_t in_clear, starttls, implicit;
	uint64_t versions[SW_TALLY_TLS_VERSIONS]; /* of those with TLS */
	uint64_t sent, received;                  /* bytes of payload */
};

struct sw_tally_bucket {
	uint64_t n[SW_OUTCOMES];
	uint64_t sessions, sessions_tls;
};

#define SW_TALLY_SCOPES 3 /* host, edge, serve */

struct sw_tally {
	uint64_t since_ns, until_ns; /* [since, until) */
	uint64_t events;             /* records that are no sessions */
	uint64_t suppressed;         /* events that were left out before them */
	uint64_t n[SW_OUTCOMES];     /* both, by what became of them */
	uint64_t first_ns, last_ns;  /* of all records; 0: there is none */
	struct sw_tally_map by[SW_BYS];
	struct sw_tally_sessions sessions[SW_TALLY_SCOPES];
	uint64_t first_bucket_ns,
		step_ns; /* the time line: where it begins, and each of its steps */
	size_t n_buckets;
	struct sw_tally_bucket *buckets;
};

/* Step of a time line over so long a time, so that it has between 20 and 110 of them: a minute, an hour,
   a day, ... */
uint64_t sw_tally_step(uint64_t length_ns);

/* 0 or -ENOMEM; free it in either case. `step_ns` 0: no time line. */
int sw_tally_init(struct sw_tally *tally, uint64_t since_ns, uint64_t until_ns, uint64_t step_ns);
void sw_tally_free(struct sw_tally *tally);

/* Records of another time are passed over. 0 or -ENOMEM. */
int sw_tally_add(struct sw_tally *tally, const struct sw_record *record);

/* Sessions of a scope altogether, and of them with TLS. */
uint64_t sw_tally_session_count(const struct sw_tally_sessions *sessions);
uint64_t sw_tally_session_tls(const struct sw_tally_sessions *sessions);

/* A key of SW_BY_CLEAR or SW_BY_ELSEWHERE taken apart; texts are the entry's. */
struct sw_tally_sender {
	const char *user, *program, *unit; /* as the keys of the same name; "": none is known */
	uint8_t peer[16]; /* the destination; of what this machine answers: the client */
	uint16_t port;
	uint8_t scope, reason, verb, verb_length, mechanism; /* as in a record */
};
void sw_tally_sender(const struct sw_tally_entry *entry, struct sw_tally_sender *sender);

/* ---- over a store ---- */

/* Adds all that the store has of the tally's time. 0, or -1 after filling `error`. */
int sw_tally_store(struct sw_tally *tally, struct sw_reader_store *reader,
		   char error[static SW_STORE_ERROR_SIZE]);

/* Time of about the oldest record; 0: there is none. 0 or -1. */
int sw_tally_oldest(struct sw_reader_store *reader, uint64_t *time_ns,
		    char error[static SW_STORE_ERROR_SIZE]);

#endif
