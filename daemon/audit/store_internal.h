/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * store_internal.h - what the files of the store share. Nothing here is for others.
 *
 *   store_schema.c      the tables, what older files had, and the way from them
 *   store_words.c       words and views, for people who look with sqlite3
 *   store_columns.c     which member of a record lies in which column
 *   store_open.c        opening to write: a new file, one of ours, somebody else's, a damaged one
 *   store_dictionary.c  who, which rule and which addresses, told once
 *   store_write.c       batches
 *   store_keep.c        size: the log, and what is too old or too much
 *   store_read.c        opening to read
 *   store_search.c      searching
 *   search.c            what is looked for, without SQLite
 */
#ifndef SW_STORE_INTERNAL_H
#define SW_STORE_INTERNAL_H

#include <sqlite3.h>

#include "daemon/audit/store.h"
#include "daemon/base.h"

/* Numbers of SQLite have a sign; none of ours is as large. */
static inline int64_t sw_store_number(uint64_t number)
{
	return number > INT64_MAX ? INT64_MAX : (int64_t)number;
}

/* ---- store_schema.c ---- */

#define SW_STORE_APPLICATION 0x736d7470 /* PRAGMA application_id: "smtp" */

/* Ids of one block stand together in the table `spans`. */
#define SW_SPAN_IDS 1024

/* Version of the file; 0: it is empty; -1: a database of something else. SQLite's code. */
int sw_schema_version(sqlite3 *db, int *version);

/* Makes the tables, or brings older ones up to SW_STORE_SCHEMA, in one transaction. SQLite's code. */
int sw_schema_make(sqlite3 *db);
int sw_schema_migrate(sqlite3 *db, int version);

/* ---- store_words.c ---- */

/* Fills the table `words`, as lists may have grown, and makes the views. SQLite's code. */
int sw_schema_words(sqlite3 *db);

/* ---- store_columns.c ---- */

/* The tables of the columns, as they are called in queries. */
#define SW_OF_EVENT 'e'
#define SW_OF_CALLER 'c'
#define SW_OF_RULE 'r'
/* Rows of `addresses`, by what the event has them for. */
#define SW_OF_SRC 's'
#define SW_OF_DST 'd'
#define SW_OF_NEW_DST 'n'

#define SW_COLUMNS_SQL 2048

/* "name, name" of one table's columns, and as many "?"; "name IS ? AND name IS ?". */
void sw_columns_names(char of, char to[static SW_COLUMNS_SQL]);
void sw_columns_marks(char of, char to[static SW_COLUMNS_SQL]);
void sw_columns_compare(char of, char to[static SW_COLUMNS_SQL]);
/* "e.id, e.name, c.name, r.name" of all, in the order in which sw_columns_read() takes them. */
void sw_columns_all(char to[static SW_COLUMNS_SQL]);

/* Binds the columns of a table from parameter `first` on. Texts must stay until the statement is reset. */
int sw_columns_bind(sqlite3_stmt *statement, char of, int first, const struct sw_record *record);
/* Texts are the statement's. */
void sw_columns_read(sqlite3_stmt *statement, struct sw_record *record);
/* All that tells apart two rows of a table, one behind the other. Bytes used, 0: `size` is too little. */
size_t sw_columns_key(char of, const struct sw_record *record, char *to, size_t size);

/* ---- store_dictionary.c ---- */

struct sw_dictionary_entry {
	uint64_t hash;
	int64_t id;    /* 0: the slot is free */
	int64_t until; /* what the row says */
	size_t size;
	char *key;
};

/* Rows of `callers`, `rules` or `addresses` that were lately used. */
struct sw_dictionary {
	int64_t keep; /* a row that is used stays until retention is so many ids further */
	sqlite3_stmt *find, *insert, *touch;
	struct sw_dictionary_entry *slots;
};

/* `of`: any of those that lie in the table. */
int sw_dictionary_open(struct sw_dictionary *dictionary, sqlite3 *db, const char *table, char of);
void sw_dictionary_close(struct sw_dictionary *dictionary);
/* Rows may not be there any more: after a rollback, or when some were removed. */
void sw_dictionary_forget(struct sw_dictionary *dictionary);
/* The row for a record, made if there is none. SQLite's code. */
int sw_dictionary_id(struct sw_dictionary *dictionary, char of, const struct sw_record *record,
		     int64_t *id);

/* ---- the store ---- */

enum sw_statement {
	SW_SQL_BEGIN = 0,
	SW_SQL_COMMIT,
	SW_SQL_ROLLBACK,
	SW_SQL_EVENT,
	SW_SQL_SESSION,
	SW_SQL_SPAN,
	SW_SQL_GAP,
	SW_SQL_META,
	SW_SQL_PAGES,
	SW_SQL_FREE,
	SW_SQL_FIRST_SPAN,
	SW_SQL_OLD_SPAN,
	SW_SQL_REMOVE_EVENTS,
	SW_SQL_REMOVE_SESSIONS,
	SW_SQL_REMOVE_SPAN,
	SW_SQL_AGAIN_SPAN,
	SW_SQL_REMOVE_GAPS,
	SW_SQL_REMOVE_CALLERS,
	SW_SQL_REMOVE_RULES,
	SW_SQL_REMOVE_ADDRESSES,
	SW_SQL_MAX
};

/* The one row of the table `meta`. */
struct sw_meta {
	int64_t last, instance, accounted, events, sessions;
};

/* Times within a block of ids. */
struct sw_span {
	int64_t block; /* -1: none */
	int64_t oldest, newest;
};

struct sw_store {
	sqlite3 *db;
	char *path, *log; /* log: name of the WAL file */
	struct sw_store_limits limits;
	gid_t readers;
	sqlite3_stmt *sql[SW_SQL_MAX];
	struct sw_dictionary callers, rules, addresses;
	struct sw_meta meta, batch; /* as committed, and as it will be */
	struct sw_span span;        /* of the batch; not written yet */
	uint64_t batch_rows;
	uint64_t checkpoint_at; /* bytes of log */
	bool log_held;          /* the last checkpoint could not empty it: somebody reads */
	bool full;              /* the last batch found no room on the disk */
	bool damaged;           /* to be put aside */
	uint64_t removed;
};

/* ---- store_open.c ---- */

/* "events.db: what: why, and what to do", of SQLite's code; returns -1. */
int sw_store_fault(sqlite3 *db, int status, const char *path, const char *what,
		   char error[static SW_STORE_ERROR_SIZE]);
/* The same for a store; remembers that it is damaged. */
int sw_store_failed(struct sw_store *store, int status, const char *what,
		    char error[static SW_STORE_ERROR_SIZE]);
/* Puts the file aside and goes on with a new one. */
int sw_store_renew(struct sw_store *store, char error[static SW_STORE_ERROR_SIZE]);

/* ---- store_write.c ---- */

int sw_store_prepare(struct sw_store *store); /* SQLite's code */
void sw_store_finalize(struct sw_store *store);
/* Runs a statement without result to its end. SQLite's code, SQLITE_OK when it went well. */
int sw_store_run(struct sw_store *store, enum sw_statement which);
int sw_store_run1(struct sw_store *store, enum sw_statement which, int64_t value);
/* First column of the first row; `otherwise` when there is none. */
int64_t sw_store_ask(struct sw_store *store, enum sw_statement which, int64_t otherwise);
int sw_store_write_meta(struct sw_store *store, const struct sw_meta *meta);
void sw_store_rollback(struct sw_store *store);
/* Rows of the dictionaries may have gone. */
void sw_store_forget(struct sw_store *store);

/* ---- store_keep.c ---- */

/* Is there room for a batch? 0, or -1 when the log takes it all and cannot be emptied. */
int sw_store_room(struct sw_store *store, char error[static SW_STORE_ERROR_SIZE]);
/* Says for how long callers, rules and addresses that a batch uses are kept. */
void sw_store_set_keep(struct sw_store *store);
/* After a batch: empties the log when it is long, and removes at least as much as was added if that
   is too much. What fails here is tried again after the next batch. */
void sw_store_settle(struct sw_store *store);

/* ---- store_read.c ---- */

struct sw_reader_store {
	sqlite3 *db;
	char *path;
	uint64_t steps;
};

/* As sw_store_fault(), for people who read. */
int sw_reader_fault(struct sw_reader_store *reader, int status,
		    char error[static SW_STORE_ERROR_SIZE]);

/* Steps of SQLite's machine that searches took since the reader was opened: what the tests go by,
   instead of time. */
uint64_t sw_store_steps(const struct sw_reader_store *reader);

#endif
