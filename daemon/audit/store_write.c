/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <stdio.h>
#include <string.h>

#include "bpf/vocabulary.h"
#include "daemon/audit/store_internal.h"

/* Those two are made from the list of columns. */
static const char *const texts[SW_SQL_MAX] = {
	[SW_SQL_BEGIN] = "BEGIN IMMEDIATE",
	[SW_SQL_COMMIT] = "COMMIT",
	[SW_SQL_ROLLBACK] = "ROLLBACK",
	[SW_SQL_EVENT] = "events",
	[SW_SQL_SESSION] = "sessions",
	[SW_SQL_SPAN] = "INSERT INTO spans VALUES (?1, ?2, ?3) ON CONFLICT (block) DO UPDATE SET "
			"oldest = min(oldest, ?2), newest = max(newest, ?3)",
	[SW_SQL_GAP] = "INSERT INTO gaps (time, why, after, n) VALUES (?, ?, ?, ?)",
	[SW_SQL_META] = "UPDATE meta SET last = ?, instance = ?, accounted = ?, events = ?, "
			"sessions = ?",
	[SW_SQL_PAGES] = "PRAGMA page_count",
	[SW_SQL_FREE] = "PRAGMA freelist_count",
	[SW_SQL_FIRST_SPAN] = "SELECT block, oldest FROM spans ORDER BY block LIMIT 1",
	[SW_SQL_OLD_SPAN] = "SELECT block FROM spans WHERE oldest < ? ORDER BY block LIMIT 1",
	[SW_SQL_REMOVE_EVENTS] = "DELETE FROM events WHERE id BETWEEN ?1 AND ?2 AND time < ?3",
	[SW_SQL_REMOVE_SESSIONS] = "DELETE FROM sessions WHERE id BETWEEN ?1 AND ?2 AND time < ?3",
	[SW_SQL_REMOVE_SPAN] = "DELETE FROM spans WHERE block = ?",
	[SW_SQL_AGAIN_SPAN] =
		"INSERT INTO spans SELECT ?1, min(oldest), max(newest) FROM ("
		"SELECT min(time) AS oldest, max(time) AS newest FROM events WHERE id BETWEEN ?2 "
		"AND ?3 "
		"UNION ALL SELECT min(time), max(time) FROM sessions WHERE id BETWEEN ?2 AND ?3) "
		"HAVING min(oldest) IS NOT NULL",
	[SW_SQL_REMOVE_GAPS] = "DELETE FROM gaps WHERE id IN (SELECT id FROM gaps WHERE time < ? "
			       "LIMIT 1024)",
	[SW_SQL_REMOVE_CALLERS] = "DELETE FROM callers WHERE id IN (SELECT id FROM callers WHERE "
				  "until <= ? LIMIT 1024)",
	[SW_SQL_REMOVE_RULES] = "DELETE FROM rules WHERE id IN (SELECT id FROM rules WHERE "
				"until <= ? LIMIT 1024)",
	[SW_SQL_REMOVE_ADDRESSES] = "DELETE FROM addresses WHERE id IN (SELECT id FROM addresses "
				    "WHERE until <= ? LIMIT 2048)",
};

static int prepare_insert(struct sw_store *store, enum sw_statement which)
{
	char names[SW_COLUMNS_SQL], marks[SW_COLUMNS_SQL], sql[3 * SW_COLUMNS_SQL];

	sw_columns_names(SW_OF_EVENT, names);
	sw_columns_marks(SW_OF_EVENT, marks);
	snprintf(sql, sizeof(sql),
		 "INSERT INTO %s (id, caller, rule, dst, src, new_dst, %s) VALUES (?, ?, ?, ?, ?, "
		 "?, %s)",
		 texts[which], names, marks);
	return sqlite3_prepare_v3(store->db, sql, -1, SQLITE_PREPARE_PERSISTENT, &store->sql[which],
				  NULL);
}

int sw_store_prepare(struct sw_store *store)
{
	int status = sw_dictionary_open(&store->callers, store->db, "callers", SW_OF_CALLER);

	if (status == SQLITE_OK)
		status = sw_dictionary_open(&store->rules, store->db, "rules", SW_OF_RULE);
	if (status == SQLITE_OK)
		status = sw_dictionary_open(&store->addresses, store->db, "addresses", SW_OF_DST);
	for (int i = 0; i < SW_SQL_MAX && status == SQLITE_OK; i++) {
		if (i == SW_SQL_EVENT || i == SW_SQL_SESSION)
			status = prepare_insert(store, i);
		else
			status =
				sqlite3_prepare_v3(store->db, texts[i], -1,
						   SQLITE_PREPARE_PERSISTENT, &store->sql[i], NULL);
	}
	return status;
}

void sw_store_finalize(struct sw_store *store)
{
	sw_dictionary_close(&store->callers);
	sw_dictionary_close(&store->rules);
	sw_dictionary_close(&store->addresses);
	for (int i = 0; i < SW_SQL_MAX; i++) {
		sqlite3_finalize(store->sql[i]);
		store->sql[i] = NULL;
	}
}

int sw_store_run(struct sw_store *store, enum sw_statement which)
{
	int status = sqlite3_step(store->sql[which]);

	sqlite3_reset(store->sql[which]);
	return status == SQLITE_DONE || status == SQLITE_ROW ? SQLITE_OK : status;
}

int sw_store_run1(struct sw_store *store, enum sw_statement which, int64_t value)
{
	sqlite3_bind_int64(store->sql[which], 1, value);
	return sw_store_run(store, which);
}

int64_t sw_store_ask(struct sw_store *store, enum sw_statement which, int64_t otherwise)
{
	sqlite3_stmt *statement = store->sql[which];
	int64_t answer = otherwise;

	if (sqlite3_step(statement) == SQLITE_ROW)
		answer = sqlite3_column_int64(statement, 0);
	sqlite3_reset(statement);
	return answer;
}

int sw_store_write_meta(struct sw_store *store, const struct sw_meta *meta)
{
	sqlite3_stmt *statement = store->sql[SW_SQL_META];

	sqlite3_bind_int64(statement, 1, meta->last);
	sqlite3_bind_int64(statement, 2, meta->instance);
	sqlite3_bind_int64(statement, 3, meta->accounted);
	sqlite3_bind_int64(statement, 4, meta->events);
	sqlite3_bind_int64(statement, 5, meta->sessions);
	return sw_store_run(store, SW_SQL_META);
}

uint64_t sw_store_last(const struct sw_store *store)
{
	return (uint64_t)store->meta.last;
}

void sw_store_forget(struct sw_store *store)
{
	sw_dictionary_forget(&store->callers);
	sw_dictionary_forget(&store->rules);
	sw_dictionary_forget(&store->addresses);
}

void sw_store_rollback(struct sw_store *store)
{
	if (sqlite3_get_autocommit(store->db))
		return;
	sw_store_run(store, SW_SQL_ROLLBACK);
	sw_store_forget(store);
}

/* After a commit that failed SQLite may have rolled back by itself. */
static int failed(struct sw_store *store, int status, char error[static SW_STORE_ERROR_SIZE])
{
	store->full = (status & 0xff) == SQLITE_FULL || (status & 0xff) == SQLITE_IOERR;
	sw_store_failed(store, status, "events cannot be written", error);
	sw_store_rollback(store);
	sw_store_forget(store);
	return -1;
}

int sw_store_begin(struct sw_store *store, char error[static SW_STORE_ERROR_SIZE])
{
	int status;

	if ((store->damaged || !store->db) && sw_store_renew(store, error) < 0)
		return -1;
	sw_store_rollback(store);
	if (sw_store_room(store, error) < 0)
		return -1;
	store->batch = store->meta;
	store->batch_rows = 0;
	store->span.block = -1;
	sw_store_set_keep(store);
	status = sw_store_run(store, SW_SQL_BEGIN);
	return status == SQLITE_OK ? 0 : failed(store, status, error);
}

static int flush_span(struct sw_store *store)
{
	sqlite3_stmt *statement = store->sql[SW_SQL_SPAN];

	if (store->span.block < 0)
		return SQLITE_OK;
	sqlite3_bind_int64(statement, 1, store->span.block);
	sqlite3_bind_int64(statement, 2, store->span.oldest);
	sqlite3_bind_int64(statement, 3, store->span.newest);
	store->span.block = -1;
	return sw_store_run(store, SW_SQL_SPAN);
}

static int add_to_span(struct sw_store *store, const struct sw_record *record)
{
	int64_t block = (int64_t)(record->id / SW_SPAN_IDS), time = (int64_t)record->time_ns;
	struct sw_span *span = &store->span;
	int status = SQLITE_OK;

	if (span->block == block) {
		span->oldest = time < span->oldest ? time : span->oldest;
		span->newest = time > span->newest ? time : span->newest;
		return status;
	}
	status = flush_span(store);
	*span = (struct sw_span){block, time, time};
	return status;
}

/* Binds what an event refers to: caller, rule, dst, src, new_dst. */
static int bind_references(struct sw_store *store, sqlite3_stmt *insert,
			   const struct sw_record *record)
{
	static const uint8_t none[16];
	const struct {
		struct sw_dictionary *dictionary;
		char of;
		bool there;
	} references[] = {
		{&store->callers, SW_OF_CALLER, true},
		{&store->rules, SW_OF_RULE, true},
		{&store->addresses, SW_OF_DST, true},
		{&store->addresses, SW_OF_SRC, memcmp(record->src, none, sizeof(none)) != 0},
		{&store->addresses, SW_OF_NEW_DST,
		 memcmp(record->new_dst, none, sizeof(none)) != 0},
	};
	int status = SQLITE_OK;

	for (size_t i = 0; i < sw_count(references) && status == SQLITE_OK; i++) {
		int64_t id;

		sqlite3_bind_null(insert, 2 + (int)i);
		if (!references[i].there)
			continue;
		status = sw_dictionary_id(references[i].dictionary, references[i].of, record, &id);
		if (status == SQLITE_OK)
			sqlite3_bind_int64(insert, 2 + (int)i, id);
	}
	return status;
}

static int add(struct sw_store *store, const struct sw_record *record)
{
	bool session = record->kind == SW_EVENT_SESSION;
	enum sw_statement which = session ? SW_SQL_SESSION : SW_SQL_EVENT;
	sqlite3_stmt *insert = store->sql[which];
	int status;

	sqlite3_bind_int64(insert, 1, (int64_t)record->id);
	status = bind_references(store, insert, record);
	if (status == SQLITE_OK)
		status = sw_columns_bind(insert, SW_OF_EVENT, 7, record);
	if (status == SQLITE_OK)
		status = sw_store_run(store, which);
	if (status == SQLITE_OK)
		status = add_to_span(store, record);
	if (status != SQLITE_OK)
		return status;
	*(session ? &store->batch.sessions : &store->batch.events) += 1;
	if ((int64_t)record->id > store->batch.last)
		store->batch.last = (int64_t)record->id;
	store->batch.accounted++;
	store->batch_rows++;
	return SQLITE_OK;
}

/* Between a call that failed and the next begin() there is no batch. */
static int no_batch(struct sw_store *store, char error[static SW_STORE_ERROR_SIZE])
{
	snprintf(error, SW_STORE_ERROR_SIZE, "%s: no batch was begun", store->path);
	return -1;
}

int sw_store_add(struct sw_store *store, const struct sw_record *record,
		 char error[static SW_STORE_ERROR_SIZE])
{
	int status;

	if (!store->db || sqlite3_get_autocommit(store->db))
		return no_batch(store, error);
	status = add(store, record);
	return status == SQLITE_OK ? 0 : failed(store, status, error);
}

const char *sw_gap_words(enum sw_gap why)
{
	static const char *const words[SW_GAP_MAX] = {
		[SW_GAP_QUEUE] = "came faster than they could be written",
		[SW_GAP_KILLED] = "a daemon was killed before it had written them",
	};

	return why < SW_GAP_MAX ? words[why] : "?";
}

int sw_store_gap(struct sw_store *store, enum sw_gap why, uint64_t after, uint64_t n,
		 uint64_t time_ns, char error[static SW_STORE_ERROR_SIZE])
{
	sqlite3_stmt *insert;
	int status;

	if (!store->db || sqlite3_get_autocommit(store->db))
		return no_batch(store, error);
	insert = store->sql[SW_SQL_GAP];
	sqlite3_bind_int64(insert, 1, (int64_t)time_ns);
	sqlite3_bind_int64(insert, 2, why);
	sqlite3_bind_int64(insert, 3, (int64_t)after);
	sqlite3_bind_int64(insert, 4, (int64_t)n);
	status = sw_store_run(store, SW_SQL_GAP);
	if (status != SQLITE_OK)
		return failed(store, status, error);
	store->batch.accounted += (int64_t)n;
	if (after && (int64_t)(after + n) > store->batch.last)
		store->batch.last = (int64_t)(after + n);
	return 0;
}

int sw_store_commit(struct sw_store *store, char error[static SW_STORE_ERROR_SIZE])
{
	int status;

	if (!store->db || sqlite3_get_autocommit(store->db))
		return no_batch(store, error);
	status = flush_span(store);
	if (status == SQLITE_OK)
		status = sw_store_write_meta(store, &store->batch);
	if (status == SQLITE_OK)
		status = sw_store_run(store, SW_SQL_COMMIT);
	if (status != SQLITE_OK)
		return failed(store, status, error);
	store->meta = store->batch;
	sw_store_settle(store);
	return 0;
}

int sw_store_account(struct sw_store *store, uint64_t instance, uint64_t *accounted,
		     char error[static SW_STORE_ERROR_SIZE])
{
	struct sw_meta meta = store->meta;
	int status;

	if (!store->db)
		return no_batch(store, error);
	if (meta.instance == (int64_t)instance) {
		*accounted = (uint64_t)meta.accounted;
		return 0;
	}
	meta.instance = (int64_t)instance;
	meta.accounted = (int64_t)*accounted;
	status = sw_store_write_meta(store, &meta);
	if (status != SQLITE_OK)
		return sw_store_failed(store, status, "the account cannot be written", error);
	store->meta = meta;
	return 0;
}
