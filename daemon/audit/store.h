/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * store.h - events on disk: one SQLite file, STATE_DIR/events.db, that one daemon writes and anybody who
 * may read the folder searches, also while no daemon runs. The files store*.c and tally*.c alone know SQLite.
 *
 * Events that tell of a refusal or a violation, and sessions (that a connection has ended, and how it
 * went), lie in two tables of the same form, as there may be a thousand times as many of the latter. Who
 * did it, and which rule decided, are told once and referred to. Ids are those of the records, of both
 * tables together; where some are missing, the table `gaps` says how many and why.
 *
 * The file is in WAL mode: readers never wait for the writer, nor it for them. A kill of the daemon, or
 * of the machine, at any moment leaves whole batches.
 */
#ifndef SW_STORE_H
#define SW_STORE_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "daemon/audit/record.h"

/* PRAGMA user_version; older files are brought up to it when they are opened to write. */
#define SW_STORE_SCHEMA 2
#define SW_STORE_NAME "events.db"

/* What went wrong, as a sentence that names the file. */
#define SW_STORE_ERROR_SIZE 512

struct sw_store;

/* ---- writing: one thread ---- */

struct sw_store_limits {
	uint64_t bytes;  /* of the database with its log; 0: no limit */
	uint64_t age_ns; /* older events go; 0: none do */
};

/*
 * Opens or makes the file for writing, mode 0640, owned by `readers` as its group ((gid_t)-1: as the
 * process is; to be called while CAP_CHOWN is there, as the log gets the same group). An older schema is migrated in one transaction; a newer one is refused, as is what is no
 * store of ours. A damaged file is put aside under another name, and said so in *note (malloc'ed; NULL:
 * nothing to say). 0 or -1 after filling `error`.
 */
int sw_store_open(const char *path, const struct sw_store_limits *limits, gid_t readers,
		  struct sw_store **store, char **note, char error[static SW_STORE_ERROR_SIZE]);
/* Leaves an empty log beside the file: who may not write the folder could not read without. */
void sw_store_close(struct sw_store *store);

/* Id of the newest record that is in it or told as missing; 0: it is empty. */
uint64_t sw_store_last(const struct sw_store *store);

/*
 * A batch: nothing of it is there until it is committed. A failed call leaves the batch to be rolled back;
 * begin() does so. It fails while a reader that stands still holds the log and the log has grown to the
 * limit. A commit removes what is too much by then, at least as much as it adds. 0 or -1.
 */
int sw_store_begin(struct sw_store *store, char error[static SW_STORE_ERROR_SIZE]);
int sw_store_add(struct sw_store *store, const struct sw_record *record,
		 char error[static SW_STORE_ERROR_SIZE]);

enum sw_gap {
	SW_GAP_QUEUE = 0, /* they came faster than they could be written, or the disk was full */
	SW_GAP_KILLED,    /* a daemon was killed before it had written them */
	SW_GAP_MAX
};
const char *sw_gap_words(enum sw_gap why);

/* `n` events are missing that were to follow `after` (0: it is not known where). Where it is known, their
   ids count as given: sw_store_last() is behind them. */
int sw_store_gap(struct sw_store *store, enum sw_gap why, uint64_t after, uint64_t n,
		 uint64_t time_ns, char error[static SW_STORE_ERROR_SIZE]);
int sw_store_commit(struct sw_store *store, char error[static SW_STORE_ERROR_SIZE]);

/*
 * The account of the kernel's maps (struct sw_head: instance, taken): how many of their events are in the
 * store, or told as missing in it. Each batch adds to it what it adds: a record is one event, a gap is `n`,
 * so it is right at every commit. Called once when a daemon starts, between batches, with `taken` in
 * *accounted: where the store knows `instance`, *accounted becomes what it had, and the difference are the
 * events that a daemon before took and did not write; to be told as a gap (SW_GAP_KILLED) in the next
 * batch. A store that does not know the maps begins with *accounted as it is.
 */
int sw_store_account(struct sw_store *store, uint64_t instance, uint64_t *accounted,
		     char error[static SW_STORE_ERROR_SIZE]);

/* Retention: takes off what is too old or too much, a bounded piece of it, between batches (one that is
   open is rolled back). 1: there is more to do; 0; -1: it could not. `now_ns`: CLOCK_REALTIME. */
int sw_store_tidy(struct sw_store *store, uint64_t now_ns, char error[static SW_STORE_ERROR_SIZE]);

/* Gives back the memory that only makes writing faster, for a time in which nothing is written. */
void sw_store_rest(struct sw_store *store);

struct sw_store_size {
	uint64_t bytes;            /* of the database and its log */
	uint64_t events, sessions; /* rows */
	uint64_t oldest_ns;        /* time of the oldest; 0: empty */
	uint64_t removed;          /* rows that retention took off since it was opened */
};
void sw_store_size(struct sw_store *store, struct sw_store_size *size);

/* ---- searching: any process ---- */

/* What is looked for. Zero (or NULL, or the value said) does not ask. */
struct sw_search {
	uint64_t since_ns, until_ns; /* [since, until) by time */
	uint64_t after, before;      /* ids, exclusive */
	const char *user;            /* as recorded; or a number: by uid */
	const char *exe, *unit;      /* as recorded (escaped) */
	uint16_t port;
	bool has_to;
	uint8_t to[16], to_bits;   /* destination prefix, as bits of sixteen bytes */
	int verdict, reason, kind; /* -1: not asked */
	int rule;                  /* number; 0: not asked */
	bool sessions;             /* sessions, instead of all else */
	uint64_t limit;            /* the newest so many; 0: all */
};

extern const struct sw_search sw_search_all; /* asks for nothing */

/* Does a record fit? The same answer as the store's, `limit` apart. */
bool sw_search_fits(const struct sw_search *search, const struct sw_record *record);

struct sw_reader_store;

/* Opens a store for reading. -ENOENT: there is none; -EACCES; -1 otherwise, with `error` filled. */
int sw_store_read(const char *path, struct sw_reader_store **reader,
		  char error[static SW_STORE_ERROR_SIZE]);
void sw_store_read_end(struct sw_reader_store *reader);

/*
 * Hands on what fits, oldest first; a record's texts are valid during the call. Rows are read in pages,
 * and none is held while `each` runs, so a reader that is stopped keeps no log from being emptied. A
 * nonzero answer of `each` ends the search and is returned; -1 after filling `error`.
 */
int sw_store_search(struct sw_reader_store *reader, const struct sw_search *search,
		    int (*each)(void *data, const struct sw_record *record), void *data,
		    char error[static SW_STORE_ERROR_SIZE]);

/* Id of the newest record that is there or told as missing; and for how many events the gaps that were
   found within [since, until) stand. */
int sw_store_newest(struct sw_reader_store *reader, uint64_t *id,
		    char error[static SW_STORE_ERROR_SIZE]);
int sw_store_gaps(struct sw_reader_store *reader, uint64_t since_ns, uint64_t until_ns,
		  uint64_t counts[SW_GAP_MAX], char error[static SW_STORE_ERROR_SIZE]);

#endif
