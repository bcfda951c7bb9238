/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <stdio.h>
#include <string.h>

#include "bpf/vocabulary.h"
#include "daemon/audit/store_internal.h"
#include "daemon/audit/tally.h"

/* Ids that one run of a statement looks at: while it runs, the log cannot be emptied. */
#define WINDOW (1 << 16)

/* Callers and rules at hand, by their id: there may be any number, and few of them act at a time. */
#define KEPT 4096
#define KEPT_ADDRESSES 65536

struct row {
	int64_t id;      /* 0: none */
	uint32_t number; /* uid, or line */
	uint16_t rule;
	char *text[5]; /* user, exe, comm, unit, cgroup; or the rule */
};

struct address {
	int64_t id; /* 0: none */
	uint8_t bytes[16];
};

struct scan {
	struct sw_reader_store *reader;
	struct sw_tally *tally;
	struct row *callers, *rules;           /* KEPT of each */
	struct address *addresses;             /* KEPT_ADDRESSES */
	sqlite3_stmt *caller, *rule, *address; /* that find one */
	bool no_memory;
};

static int prepare(const struct scan *scan, const char *sql, sqlite3_stmt **statement)
{
	return sqlite3_prepare_v2(scan->reader->db, sql, -1, statement, NULL);
}

static void empty_row(struct row *row)
{
	for (size_t i = 0; i < sw_count(row->text); i++)
		free(row->text[i]);
	*row = (struct row){0};
}

/* The row with this id: number, rule, texts. One that is not there any more is empty. */
static struct row *find_row(struct scan *scan, struct row *rows, sqlite3_stmt *statement,
			    int64_t id)
{
	struct row *row = &rows[(uint64_t)id % KEPT];

	if (row->id == id && id)
		return row;
	empty_row(row);
	row->id = id;
	sqlite3_bind_int64(statement, 1, id);
	if (sqlite3_step(statement) == SQLITE_ROW) {
		row->number = (uint32_t)sqlite3_column_int64(statement, 0);
		row->rule = (uint16_t)sqlite3_column_int64(statement, 1);
		for (int i = 0; i < sqlite3_column_count(statement) - 2; i++) {
			const char *text = (const char *)sqlite3_column_text(statement, i + 2);

			row->text[i] = text ? strdup(text) : NULL;
			scan->no_memory = scan->no_memory || !row->text[i];
		}
	}
	sqlite3_reset(statement);
	return row;
}

static const char *text_of(const struct row *row, int which)
{
	return row->text[which] ? row->text[which] : "";
}

/* An address by its id; none, or one that is not there any more, is left as it is. */
static void set_address(struct scan *scan, uint8_t to[static 16], int64_t id)
{
	struct address *kept = &scan->addresses[(uint64_t)id % KEPT_ADDRESSES];

	if (!id)
		return;
	if (kept->id != id) {
		*kept = (struct address){.id = id};
		sqlite3_bind_int64(scan->address, 1, id);
		if (sqlite3_step(scan->address) == SQLITE_ROW &&
		    sqlite3_column_bytes(scan->address, 0) == sizeof(kept->bytes))
			memcpy(kept->bytes, sqlite3_column_blob(scan->address, 0),
			       sizeof(kept->bytes));
		sqlite3_reset(scan->address);
	}
	memcpy(to, kept->bytes, sizeof(kept->bytes));
}

static void set_caller(struct scan *scan, struct sw_record *record, int64_t id)
{
	const struct row *row = find_row(scan, scan->callers, scan->caller, id);

	record->uid = row->text[0] ? row->number : UINT32_MAX;
	record->text[SW_TEXT_USER] = text_of(row, 0);
	record->text[SW_TEXT_EXE] = text_of(row, 1);
	record->text[SW_TEXT_COMM] = text_of(row, 2);
	record->text[SW_TEXT_UNIT] = text_of(row, 3);
	record->text[SW_TEXT_CGROUP] = text_of(row, 4);
}

static void set_rule(struct scan *scan, struct sw_record *record, int64_t id)
{
	const struct row *row = find_row(scan, scan->rules, scan->rule, id);

	record->line = row->number;
	record->rule = row->rule;
	record->text[SW_TEXT_RULE] = text_of(row, 0);
}

/* What a tally looks at, and no more: a column that is not read costs nothing. */
#define EVENT_SQL                                                                                  \
	"SELECT time, kind, verdict, reason, scope, tls, caller, rule, src, dst, port, verb, "     \
	"verb_length, mechanism, suppressed FROM events NOT INDEXED "                              \
	"WHERE id >= ?1 AND id < ?2 AND time >= ?3 AND time < ?4"
#define SESSION_SQL                                                                                \
	"SELECT time, kind, verdict, reason, scope, tls, tls_version, sent, received "             \
	"FROM sessions NOT INDEXED WHERE id >= ?1 AND id < ?2 AND time >= ?3 AND time < ?4"

static void read_common(sqlite3_stmt *row, struct sw_record *record)
{
	sw_record_init(record);
	record->time_ns = (uint64_t)sqlite3_column_int64(row, 0);
	record->kind = (uint8_t)sqlite3_column_int(row, 1);
	record->verdict = (uint8_t)sqlite3_column_int(row, 2);
	record->reason = (uint8_t)sqlite3_column_int(row, 3);
	record->scope = (uint8_t)sqlite3_column_int(row, 4);
	record->tls = (uint8_t)sqlite3_column_int(row, 5);
}

static void read_event(struct scan *scan, sqlite3_stmt *row, struct sw_record *record)
{
	read_common(row, record);
	set_caller(scan, record, sqlite3_column_int64(row, 6));
	set_rule(scan, record, sqlite3_column_int64(row, 7));
	set_address(scan, record->src, sqlite3_column_int64(row, 8));
	set_address(scan, record->dst, sqlite3_column_int64(row, 9));
	record->dst_port = (uint16_t)sqlite3_column_int(row, 10);
	record->verb = (uint8_t)sqlite3_column_int(row, 11);
	record->verb_length = (uint8_t)sqlite3_column_int(row, 12);
	record->mechanism = (uint8_t)sqlite3_column_int(row, 13);
	record->suppressed = (uint32_t)sqlite3_column_int64(row, 14);
}

static void read_session(struct scan *scan, sqlite3_stmt *row, struct sw_record *record)
{
	(void)scan;
	read_common(row, record);
	record->tls_version = (uint16_t)sqlite3_column_int(row, 6);
	record->sent = (uint64_t)sqlite3_column_int64(row, 7);
	record->received = (uint64_t)sqlite3_column_int64(row, 8);
}

typedef void read_row(struct scan *scan, sqlite3_stmt *row, struct sw_record *record);

/* Rows of the ids [first, end). SQLite's code. */
static int add_window(struct scan *scan, sqlite3_stmt *rows, int64_t first, int64_t end,
		      read_row *read)
{
	struct sw_record record;
	int status;

	sqlite3_bind_int64(rows, 1, first);
	sqlite3_bind_int64(rows, 2, end);
	while ((status = sqlite3_step(rows)) == SQLITE_ROW) {
		read(scan, rows, &record);
		if (sw_tally_add(scan->tally, &record) || scan->no_memory) {
			status = SQLITE_NOMEM;
			break;
		}
	}
	sqlite3_reset(rows);
	return status == SQLITE_DONE ? SQLITE_OK : status;
}

/* All rows of a table with these ids and the tally's time. SQLite's code. */
static int add_table(struct scan *scan, const char *sql, int64_t first, int64_t end, read_row *read)
{
	sqlite3_stmt *rows;
	int status = prepare(scan, sql, &rows);

	if (status != SQLITE_OK)
		return status;
	sqlite3_bind_int64(rows, 3, sw_store_number(scan->tally->since_ns));
	sqlite3_bind_int64(rows, 4, sw_store_number(scan->tally->until_ns));
	for (; status == SQLITE_OK && first < end; first += WINDOW)
		status = add_window(scan, rows, first, end - first > WINDOW ? first + WINDOW : end,
				    read);
	sqlite3_finalize(rows);
	return status;
}

/* Ids [*first, *end) between which all records of the tally's time lie; none: 0 and 0. SQLite's code. */
static int find_ids(const struct scan *scan, int64_t *first, int64_t *end)
{
	sqlite3_stmt *spans;
	int status = prepare(scan,
			     "SELECT min(block), max(block) + 1 FROM spans "
			     "WHERE newest >= ?1 AND oldest < ?2",
			     &spans);

	if (status != SQLITE_OK)
		return status;
	sqlite3_bind_int64(spans, 1, sw_store_number(scan->tally->since_ns));
	sqlite3_bind_int64(spans, 2, sw_store_number(scan->tally->until_ns));
	status = sqlite3_step(spans);
	if (status == SQLITE_ROW) {
		*first = sqlite3_column_int64(spans, 0) * SW_SPAN_IDS;
		*end = sqlite3_column_int64(spans, 1) * SW_SPAN_IDS;
	}
	sqlite3_finalize(spans);
	return status == SQLITE_ROW ? SQLITE_OK : status;
}

static int prepare_lookups(struct scan *scan)
{
	int status = prepare(scan,
			     "SELECT uid, 0, user, exe, comm, unit, cgroup FROM main.callers "
			     "WHERE id = ?1",
			     &scan->caller);

	if (status == SQLITE_OK)
		status = prepare(scan, "SELECT line, number, rule FROM main.rules WHERE id = ?1",
				 &scan->rule);
	if (status == SQLITE_OK)
		status = prepare(scan, "SELECT address FROM main.addresses WHERE id = ?1",
				 &scan->address);
	return status;
}

static int add_all(struct scan *scan)
{
	int64_t first = 0, end = 0;
	int status = find_ids(scan, &first, &end);

	if (status == SQLITE_OK)
		status = prepare_lookups(scan);
	if (status == SQLITE_OK)
		status = add_table(scan, EVENT_SQL, first, end, read_event);
	if (status == SQLITE_OK)
		status = add_table(scan, SESSION_SQL, first, end, read_session);
	return status;
}

static void free_rows(struct row *rows)
{
	for (size_t i = 0; rows && i < KEPT; i++)
		empty_row(&rows[i]);
	free(rows);
}

int sw_tally_store(struct sw_tally *tally, struct sw_reader_store *reader,
		   char error[static SW_STORE_ERROR_SIZE])
{
	struct scan scan = {.reader = reader,
			    .tally = tally,
			    .callers = calloc(KEPT, sizeof(struct row)),
			    .rules = calloc(KEPT, sizeof(struct row)),
			    .addresses = calloc(KEPT_ADDRESSES, sizeof(struct address))};
	int status = scan.callers && scan.rules && scan.addresses ? add_all(&scan) : SQLITE_NOMEM;

	free_rows(scan.callers);
	free_rows(scan.rules);
	free(scan.addresses);
	sqlite3_finalize(scan.caller);
	sqlite3_finalize(scan.rule);
	sqlite3_finalize(scan.address);
	return status == SQLITE_OK ? 0 : sw_reader_fault(reader, status, error);
}

int sw_tally_oldest(struct sw_reader_store *reader, uint64_t *time_ns,
		    char error[static SW_STORE_ERROR_SIZE])
{
	sqlite3_stmt *statement;
	int status = sqlite3_prepare_v2(reader->db, "SELECT min(oldest) FROM spans", -1, &statement,
					NULL);

	if (status == SQLITE_OK)
		status = sqlite3_step(statement);
	if (status == SQLITE_ROW)
		*time_ns = (uint64_t)sqlite3_column_int64(statement, 0);
	sqlite3_finalize(statement);
	return status == SQLITE_ROW ? 0 : sw_reader_fault(reader, status, error);
}
