/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statvfs.h>

#include "daemon/audit/store_internal.h"

/*
 * What the limit of bytes is made of: the log is emptied into the database when it has grown to `log`
 * bytes, and rows are removed while the database has more than `database` in use. The rest is room for
 * what a piece of removal writes, and for readers who keep the log from being emptied for a moment.
 */
#define LOG_LEAST (256u << 10)
#define LOG_MOST (16u << 20)

/* Pages given back at a time. */
#define VACUUM_PAGES "512"

static int64_t log_quota(const struct sw_store *store)
{
	uint64_t part = store->limits.bytes / 16;

	if (!store->limits.bytes || part > LOG_MOST)
		return LOG_MOST;
	return part < LOG_LEAST ? LOG_LEAST : (int64_t)part;
}

static int64_t database_quota(const struct sw_store *store)
{
	int64_t quota;

	if (!store->limits.bytes || store->limits.bytes > INT64_MAX)
		return INT64_MAX;
	quota = (int64_t)store->limits.bytes - 3 * log_quota(store);
	return quota > 0 ? quota : 0;
}

static int64_t size_of_file(const char *path)
{
	struct stat is;

	return stat(path, &is) == 0 ? (int64_t)is.st_size : 0;
}

/* What the database takes once the log is in it. */
static int64_t database_bytes(struct sw_store *store)
{
	int64_t there = size_of_file(store->path), page = 4096;
	int64_t will_be = page * sw_store_ask(store, SW_SQL_PAGES, 0);

	return there > will_be ? there : will_be;
}

static int64_t bytes_in_use(struct sw_store *store)
{
	return 4096 * (sw_store_ask(store, SW_SQL_PAGES, 0) - sw_store_ask(store, SW_SQL_FREE, 0));
}

/* Empties the log into the database. SQLITE_BUSY: somebody reads it. */
static int checkpoint(struct sw_store *store)
{
	int status =
		sqlite3_wal_checkpoint_v2(store->db, NULL, SQLITE_CHECKPOINT_TRUNCATE, NULL, NULL);

	store->log_held = (status & 0xff) == SQLITE_BUSY;
	/* Waiting for readers costs time: not again before it has grown as much once more. */
	store->checkpoint_at = (uint64_t)(size_of_file(store->log) + log_quota(store));
	return status;
}

/* A log that takes the last of a disk leaves no room to empty it. */
static bool disk_is_short(const struct sw_store *store, int64_t log)
{
	struct statvfs is;

	return statvfs(store->path, &is) == 0 &&
	       (uint64_t)log > (uint64_t)is.f_bavail * is.f_frsize / 2;
}

static void checkpoint_if_long(struct sw_store *store)
{
	int64_t log = size_of_file(store->log);

	if (!store->checkpoint_at)
		store->checkpoint_at = (uint64_t)log_quota(store);
	if ((uint64_t)log >= store->checkpoint_at ||
	    (log > 0 && !store->log_held && disk_is_short(store, log)))
		checkpoint(store);
}

int sw_store_room(struct sw_store *store, char error[static SW_STORE_ERROR_SIZE])
{
	int64_t log;
	int status;

	/* Where the database has room for it, the log is what can be given back. */
	if (store->full)
		checkpoint(store);
	store->full = false;
	log = size_of_file(store->log);
	if (!store->limits.bytes || log <= 2 * log_quota(store) ||
	    (uint64_t)(database_bytes(store) + log) <= store->limits.bytes)
		return 0;
	status = checkpoint(store);
	if (status == SQLITE_OK)
		return 0;
	if (!store->log_held)
		return sw_store_failed(store, status, "its log cannot be emptied", error);
	snprintf(error, SW_STORE_ERROR_SIZE,
		 "%s: a program that reads it holds its log, which has grown to the limit of the "
		 "store's size; recording stops until that program goes on or ends",
		 store->path);
	return -1;
}

/* Removes what is older than `before` of a block of ids. */
static int remove_from_block(struct sw_store *store, int64_t block, int64_t before,
			     struct sw_meta *meta)
{
	static const enum sw_statement which[] = {SW_SQL_REMOVE_EVENTS, SW_SQL_REMOVE_SESSIONS};
	int64_t first = block * SW_SPAN_IDS, last = first + SW_SPAN_IDS - 1;
	int64_t *const rows[] = {&meta->events, &meta->sessions};
	sqlite3_stmt *again = store->sql[SW_SQL_AGAIN_SPAN];
	int status = SQLITE_OK;

	for (size_t i = 0; i < sw_count(which) && status == SQLITE_OK; i++) {
		sqlite3_stmt *statement = store->sql[which[i]];

		sqlite3_bind_int64(statement, 1, first);
		sqlite3_bind_int64(statement, 2, last);
		sqlite3_bind_int64(statement, 3, before);
		status = sw_store_run(store, which[i]);
		if (status == SQLITE_OK)
			*rows[i] -= sqlite3_changes(store->db);
	}
	if (status == SQLITE_OK)
		status = sw_store_run1(store, SW_SQL_REMOVE_SPAN, block);
	if (status != SQLITE_OK || before == INT64_MAX)
		return status;
	sqlite3_bind_int64(again, 1, block);
	sqlite3_bind_int64(again, 2, first);
	sqlite3_bind_int64(again, 3, last);
	return sw_store_run(store, SW_SQL_AGAIN_SPAN);
}

/* Oldest block that is there, and the oldest time in it. False: there is none. */
static bool first_span(struct sw_store *store, int64_t *block, int64_t *oldest)
{
	sqlite3_stmt *statement = store->sql[SW_SQL_FIRST_SPAN];
	bool is = sqlite3_step(statement) == SQLITE_ROW;

	if (is) {
		*block = sqlite3_column_int64(statement, 0);
		*oldest = sqlite3_column_int64(statement, 1);
	}
	sqlite3_reset(statement);
	return is;
}

/* Gaps older than all events, and what none of them refers to any more: some of them. *n: how many. */
static int remove_orphans(struct sw_store *store, const struct sw_meta *meta, int *n)
{
	static const enum sw_statement which[] = {SW_SQL_REMOVE_CALLERS, SW_SQL_REMOVE_RULES,
						  SW_SQL_REMOVE_ADDRESSES};
	int64_t block = 0, oldest = 0, first = INT64_MAX;
	int status;

	if (first_span(store, &block, &oldest) || meta->events + meta->sessions)
		first = block * SW_SPAN_IDS;
	*n = 0;
	/* Gaps stay until there is something newer. */
	status = sw_store_run1(store, SW_SQL_REMOVE_GAPS, oldest);
	for (size_t i = 0; i < sw_count(which) && status == SQLITE_OK; i++) {
		status = sw_store_run1(store, which[i], first);
		*n += sqlite3_changes(store->db);
	}
	if (*n)
		sw_store_forget(store);
	return status;
}

/* Ends a transaction of removal. SQLite's code. */
static int end(struct sw_store *store, int status)
{
	if (status == SQLITE_OK)
		status = sw_store_run(store, SW_SQL_COMMIT);
	if (status != SQLITE_OK)
		sw_store_rollback(store);
	checkpoint_if_long(store);
	return status;
}

/* A block of ids. 1: it was removed; -SQLite's code. */
static int remove_piece(struct sw_store *store, int64_t block, int64_t before)
{
	struct sw_meta meta = store->meta;
	int status = sw_store_run(store, SW_SQL_BEGIN), n;

	if (status == SQLITE_OK)
		status = remove_from_block(store, block, before, &meta);
	if (status == SQLITE_OK)
		status = remove_orphans(store, &meta, &n);
	if (status == SQLITE_OK)
		status = sw_store_write_meta(store, &meta);
	status = end(store, status);
	if (status != SQLITE_OK)
		return -status;
	store->removed +=
		(uint64_t)(store->meta.events + store->meta.sessions - meta.events - meta.sessions);
	store->meta = meta;
	return 1;
}

/* What removed events referred to, where there were more of it than of them. 1: there was some. */
static int remove_rest(struct sw_store *store)
{
	int status = sw_store_run(store, SW_SQL_BEGIN), n = 0;

	if (status == SQLITE_OK)
		status = remove_orphans(store, &store->meta, &n);
	status = end(store, status);
	return status == SQLITE_OK ? n > 0 : -status;
}

/* The oldest block, when more is in use than may be. 1: it was removed; 0; -SQLite's code. */
static int remove_excess(struct sw_store *store)
{
	int64_t block, oldest;

	if (bytes_in_use(store) <= database_quota(store) || !first_span(store, &block, &oldest))
		return 0;
	return remove_piece(store, block, INT64_MAX);
}

/* While the log is held, whatever is removed makes it grow. */
static bool may_remove(struct sw_store *store)
{
	return !store->log_held || size_of_file(store->log) <= 2 * log_quota(store);
}

void sw_store_set_keep(struct sw_store *store)
{
	int64_t block, oldest, keep = SW_SPAN_IDS, there = 0;

	/* Longer the more there is, so that rows are not often written only to be kept. */
	if (first_span(store, &block, &oldest))
		there = store->meta.last - block * SW_SPAN_IDS;
	if (there / 8 > keep)
		keep = there / 8;
	store->callers.keep = store->rules.keep = store->addresses.keep = keep;
}

void sw_store_settle(struct sw_store *store)
{
	uint64_t pieces = 2 + 2 * store->batch_rows / SW_SPAN_IDS;

	checkpoint_if_long(store);
	while (pieces-- && may_remove(store) && remove_excess(store) > 0)
		;
}

static int remove_aged(struct sw_store *store, uint64_t now_ns)
{
	sqlite3_stmt *statement = store->sql[SW_SQL_OLD_SPAN];
	int64_t before, block;

	if (!store->limits.age_ns || now_ns <= store->limits.age_ns)
		return 0;
	before = (int64_t)(now_ns - store->limits.age_ns);
	sqlite3_bind_int64(statement, 1, before);
	block = sw_store_ask(store, SW_SQL_OLD_SPAN, -1);
	return block < 0 ? 0 : remove_piece(store, block, before);
}

/* Gives free pages back to the file system when the database is larger than it may be. */
static int shrink(struct sw_store *store)
{
	int status;

	if (database_bytes(store) <= database_quota(store) ||
	    sw_store_ask(store, SW_SQL_FREE, 0) == 0)
		return 0;
	status = sqlite3_exec(store->db, "PRAGMA incremental_vacuum(" VACUUM_PAGES ")", NULL, NULL,
			      NULL);
	checkpoint_if_long(store);
	return status == SQLITE_OK ? 1 : -status;
}

int sw_store_tidy(struct sw_store *store, uint64_t now_ns, char error[static SW_STORE_ERROR_SIZE])
{
	int did;

	if (!store->db || store->damaged || !may_remove(store))
		return 0;
	sw_store_rollback(store);
	did = remove_aged(store, now_ns);
	if (did == 0)
		did = remove_excess(store);
	if (did == 0)
		did = remove_rest(store);
	if (did == 0)
		did = shrink(store);
	if (did >= 0)
		return did;
	return sw_store_failed(store, -did, "old events cannot be removed", error);
}

void sw_store_size(struct sw_store *store, struct sw_store_size *size)
{
	int64_t block, oldest = 0;

	*size = (struct sw_store_size){
		.bytes = (uint64_t)(size_of_file(store->path) + size_of_file(store->log)),
		.events = (uint64_t)store->meta.events,
		.sessions = (uint64_t)store->meta.sessions,
		.removed = store->removed,
	};
	if (store->db && first_span(store, &block, &oldest))
		size->oldest_ns = (uint64_t)oldest;
}

void sw_store_rest(struct sw_store *store)
{
	if (store->db)
		sqlite3_db_release_memory(store->db);
}
