/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <stdio.h>
#include <string.h>

#include "daemon/audit/search_internal.h"
#include "daemon/audit/store_internal.h"

/* Records handed on at a time, and bytes that they may take in memory. */
#define PAGE_ROWS 512
#define PAGE_BYTES (256u << 10)

/*
 * Ids are looked through in windows, so that no statement runs for long: one that is stopped in its
 * middle keeps the log from being emptied. A window grows while it yields little.
 */
#define WINDOW_LEAST 4096
#define WINDOW_MOST (1 << 20)

/* Callers or destinations, more of which are not looked up one by one. */
#define KEYS_MAX 2000

struct page {
	int64_t ids[PAGE_ROWS];
	char bytes[PAGE_BYTES];
};

/* One search: what is asked for, and how it is found. */
struct query {
	struct sw_reader_store *reader;
	const struct sw_search *search;
	const char *table;
	const char *index;         /* that finds it; NULL: ids one after the other */
	bool callers;              /* temp.callers holds those who are asked for */
	uint8_t low[16], high[16]; /* of the destination */
	int64_t since, until;      /* [since, until) */
	sqlite3_stmt *find, *load;
	struct page *page;
};

/* ---- statements ---- */

/* Ends a run of a statement, and with it the look at one state of the store. */
static void finish(struct sw_reader_store *reader, sqlite3_stmt *statement)
{
	sqlite3_reset(statement);
	reader->steps += (uint64_t)sqlite3_stmt_status(statement, SQLITE_STMTSTATUS_VM_STEP, 1);
}

static int prepare(struct sw_reader_store *reader, const char *sql, sqlite3_stmt **statement)
{
	return sqlite3_prepare_v2(reader->db, sql, -1, statement, NULL);
}

static void bind_name(sqlite3_stmt *statement, const char *name, int64_t value)
{
	int at = sqlite3_bind_parameter_index(statement, name);

	if (at)
		sqlite3_bind_int64(statement, at, value);
}

static void bind_text(sqlite3_stmt *statement, const char *name, const char *value)
{
	int at = sqlite3_bind_parameter_index(statement, name);

	if (at && value)
		sqlite3_bind_text(statement, at, value, -1, SQLITE_STATIC);
}

static void bind_range(sqlite3_stmt *statement, const struct query *query)
{
	int low = sqlite3_bind_parameter_index(statement, ":low");
	int high = sqlite3_bind_parameter_index(statement, ":high");

	if (low)
		sqlite3_bind_blob(statement, low, query->low, 16, SQLITE_STATIC);
	if (high)
		sqlite3_bind_blob(statement, high, query->high, 16, SQLITE_STATIC);
}

/* All that a search may ask for, by the name of the parameter; what a statement has not is passed over. */
static void bind_search(sqlite3_stmt *statement, const struct query *query)
{
	const struct sw_search *search = query->search;

	bind_name(statement, ":since", query->since);
	bind_name(statement, ":until", query->until);
	bind_name(statement, ":port", search->port);
	bind_name(statement, ":verdict", search->verdict);
	bind_name(statement, ":reason", search->reason);
	bind_name(statement, ":kind", search->kind);
	bind_name(statement, ":rule", search->rule);
	bind_name(statement, ":uid", search->user ? sw_search_uid(search->user) : -1);
	bind_text(statement, ":user", search->user);
	bind_text(statement, ":exe", search->exe);
	bind_text(statement, ":unit", search->unit);
	bind_range(statement, query);
}

/* Runs one statement; *value is the first column of its last row. */
static int run(const struct query *query, const char *sql, int64_t *value)
{
	sqlite3_stmt *statement;
	int status = prepare(query->reader, sql, &statement);

	if (status != SQLITE_OK)
		return status;
	bind_search(statement, query);
	while ((status = sqlite3_step(statement)) == SQLITE_ROW)
		*value = sqlite3_column_int64(statement, 0);
	finish(query->reader, statement);
	sqlite3_finalize(statement);
	return status == SQLITE_DONE ? SQLITE_OK : status;
}

/* ---- what to look at ---- */

/* Those callers that the search asks for; *n: how many. */
static int find_callers(struct query *query, int64_t *n)
{
	const struct sw_search *search = query->search;
	int64_t none;
	char sql[512];
	int status;

	snprintf(sql, sizeof(sql),
		 "INSERT INTO temp.callers SELECT id FROM main.callers WHERE 1%s%s%s",
		 search->user ? " AND (user = :user OR uid = :uid)" : "",
		 search->exe ? " AND exe = :exe" : "", search->unit ? " AND unit = :unit" : "");
	status = run(query, "DELETE FROM temp.callers", &none);
	if (status == SQLITE_OK)
		status = run(query, sql, &none);
	if (status == SQLITE_OK)
		status = run(query, "SELECT count(*) FROM temp.callers", n);
	query->callers = true;
	return status;
}

/* The addresses within the prefix; *n: how many. */
static int find_dsts(struct query *query, int64_t *n)
{
	int64_t none;
	int status = run(query, "DELETE FROM temp.dsts", &none);

	if (status == SQLITE_OK)
		status = run(query,
			     "INSERT INTO temp.dsts SELECT id FROM main.addresses "
			     "WHERE address BETWEEN :low AND :high",
			     &none);
	if (status == SQLITE_OK)
		status = run(query, "SELECT count(*) FROM temp.dsts", n);
	return status;
}

/* Chooses the index. *n: 0 when nothing can fit. */
static int choose(struct query *query, int64_t *n)
{
	const struct sw_search *search = query->search;
	int64_t callers = INT64_MAX, dsts = INT64_MAX;
	int status = SQLITE_OK;

	if (search->user || search->exe || search->unit)
		status = find_callers(query, &callers);
	if (status == SQLITE_OK && search->has_to) {
		sw_search_range(search, query->low, query->high);
		status = find_dsts(query, &dsts);
	}
	*n = callers < dsts ? callers : dsts;
	if (dsts <= callers && dsts <= KEYS_MAX)
		query->index = "dst";
	else if (callers <= KEYS_MAX)
		query->index = "caller";
	return status;
}

/* Ids [*first, *end) that may fit. */
static int bounds(struct query *query, int64_t *first, int64_t *end)
{
	const struct sw_search *search = query->search;
	int64_t low = 0, high = 0, from = 0, to = 0;
	char sql[256];
	int status = SQLITE_OK;

	snprintf(sql, sizeof(sql), "SELECT min(id) FROM %s", query->table);
	status = run(query, sql, &low);
	snprintf(sql, sizeof(sql), "SELECT max(id) + 1 FROM %s", query->table);
	if (status == SQLITE_OK)
		status = run(query, sql, &high);
	if (status == SQLITE_OK && (search->since_ns || search->until_ns)) {
		status = run(
			query,
			"SELECT min(block) FROM spans WHERE newest >= :since AND oldest < :until",
			&from);
		if (status == SQLITE_OK)
			status = run(query,
				     "SELECT max(block) + 1 FROM spans WHERE newest >= :since AND "
				     "oldest < :until",
				     &to);
		from *= SW_SPAN_IDS;
		to *= SW_SPAN_IDS;
		low = from > low ? from : low;
		high = to < high ? to : high;
	}
	if (search->after && sw_store_number(search->after) >= low)
		low = search->after < INT64_MAX ? (int64_t)search->after + 1 : INT64_MAX;
	if (search->before && sw_store_number(search->before) < high)
		high = sw_store_number(search->before);
	*first = low;
	*end = high;
	return status;
}

/* ---- finding ---- */

static int prepare_find(struct query *query, bool newest_first)
{
	const struct sw_search *search = query->search;
	char by[64] = "NOT INDEXED", sql[1024];

	sqlite3_finalize(query->find);
	query->find = NULL;
	if (query->index)
		snprintf(by, sizeof(by), "INDEXED BY %s_%s", query->table, query->index);
	snprintf(sql, sizeof(sql),
		 "SELECT id FROM main.%s %s WHERE id >= :first AND id < :end%s%s%s%s%s%s%s%s%s"
		 " ORDER BY id%s LIMIT :limit",
		 query->table, by, query->callers ? " AND caller IN temp.callers" : "",
		 search->has_to ? " AND dst IN temp.dsts" : "",
		 search->since_ns ? " AND time >= :since" : "",
		 search->until_ns ? " AND time < :until" : "",
		 search->port ? " AND port = :port" : "",
		 search->verdict >= 0 ? " AND verdict = :verdict" : "",
		 search->reason >= 0 ? " AND reason = :reason" : "",
		 search->kind >= 0 ? " AND kind = :kind" : "",
		 search->rule ? " AND rule IN (SELECT id FROM main.rules WHERE number = :rule)"
			      : "",
		 newest_first ? " DESC" : "");
	return prepare(query->reader, sql, &query->find);
}

/* Ids of at most `limit` that fit within [first, end), in the order of the statement. SQLite's code. */
static int find(struct query *query, int64_t first, int64_t end, int64_t limit, size_t *n)
{
	sqlite3_stmt *statement = query->find;
	int status;

	*n = 0;
	bind_search(statement, query);
	bind_name(statement, ":first", first);
	bind_name(statement, ":end", end);
	bind_name(statement, ":limit", limit);
	while ((status = sqlite3_step(statement)) == SQLITE_ROW)
		query->page->ids[(*n)++] = sqlite3_column_int64(statement, 0);
	finish(query->reader, statement);
	return status == SQLITE_DONE ? SQLITE_OK : status;
}

/* The next window, after one that held n of the `most` that were asked for. */
static int64_t resize(int64_t window, size_t n, size_t most)
{
	if (n < most / 4)
		return window < WINDOW_MOST ? 2 * window : window;
	return n == most && window > WINDOW_LEAST ? window / 2 : window;
}

/* Id of the newest but `limit` that fits, to begin there. */
static int start_of_newest(struct query *query, int64_t first, int64_t end, uint64_t limit,
			   int64_t *start)
{
	int64_t window = WINDOW_LEAST;
	int status = prepare_find(query, true);

	*start = end;
	while (status == SQLITE_OK && first < end && limit > 0) {
		size_t most = limit < PAGE_ROWS ? (size_t)limit : PAGE_ROWS, n;
		int64_t from = end - first > window ? end - window : first;

		status = find(query, from, end, (int64_t)most, &n);
		if (status != SQLITE_OK)
			break;
		if (n)
			*start = query->page->ids[n - 1];
		end = n == most ? *start : from;
		limit -= n;
		window = resize(window, n, most);
	}
	return status;
}

/* ---- handing on ---- */

static int prepare_load(struct query *query)
{
	char columns[SW_COLUMNS_SQL], sql[SW_COLUMNS_SQL + 256];

	sw_columns_all(columns);
	snprintf(sql, sizeof(sql),
		 "SELECT %s FROM main.%s e CROSS JOIN main.callers c ON c.id = e.caller "
		 "CROSS JOIN main.rules r ON r.id = e.rule "
		 "CROSS JOIN main.addresses d ON d.id = e.dst "
		 "LEFT JOIN main.addresses s ON s.id = e.src "
		 "LEFT JOIN main.addresses n ON n.id = e.new_dst WHERE e.id = ?1",
		 columns, query->table);
	return prepare(query->reader, sql, &query->load);
}

/* Packs a record into the page; nothing when retention has taken it meanwhile. SQLite's code. */
static int load_one(struct query *query, int64_t id, size_t *used)
{
	struct sw_record record;
	int status;

	sqlite3_bind_int64(query->load, 1, id);
	status = sqlite3_step(query->load);
	if (status == SQLITE_ROW) {
		sw_columns_read(query->load, &record);
		*used += sw_record_pack(&record, query->page->bytes + *used);
	}
	finish(query->reader, query->load);
	return status == SQLITE_ROW || status == SQLITE_DONE ? SQLITE_OK : status;
}

/* Packs what ids[from..n) stand for, until the page is full. *next: the first that found no room. */
static int load(struct query *query, size_t from, size_t n, size_t *next, size_t *used)
{
	sqlite3 *db = query->reader->db;
	int status = sqlite3_exec(db, "BEGIN", NULL, NULL, NULL), ended;

	*used = 0;
	while (status == SQLITE_OK && from < n && PAGE_BYTES - *used >= SW_PACKED_MAX)
		status = load_one(query, query->page->ids[from++], used);
	ended = sqlite3_exec(db, "COMMIT", NULL, NULL, NULL);
	*next = from;
	return status == SQLITE_OK ? ended : status;
}

static int hand_on(struct query *query, size_t used,
		   int (*each)(void *data, const struct sw_record *record), void *data)
{
	struct sw_record record;

	for (size_t at = 0; at < used;) {
		size_t length = sw_record_unpack(query->page->bytes + at, used - at, &record);
		int answer;

		if (!length)
			break; /* never: load() packed them */
		answer = each(data, &record);
		if (answer)
			return answer;
		at += length;
	}
	return 0;
}

/* All that fits in [first, end), oldest first. SQLite's code; *answer: what `each` said. */
static int walk(struct query *query, int64_t first, int64_t end, int *answer,
		int (*each)(void *data, const struct sw_record *record), void *data)
{
	int64_t window = WINDOW_LEAST;
	int status = prepare_find(query, false);

	if (status == SQLITE_OK)
		status = prepare_load(query);
	while (status == SQLITE_OK && first < end) {
		int64_t to = end - first > window ? first + window : end;
		size_t n, at = 0, used;

		status = find(query, first, to, PAGE_ROWS, &n);
		while (status == SQLITE_OK && at < n) {
			status = load(query, at, n, &at, &used);
			*answer = status == SQLITE_OK ? hand_on(query, used, each, data) : 0;
			if (*answer)
				return SQLITE_OK;
		}
		first = n == PAGE_ROWS ? query->page->ids[n - 1] + 1 : to;
		window = resize(window, n, PAGE_ROWS);
	}
	return status;
}

static int find_and_hand_on(struct query *query, int *answer,
			    int (*each)(void *data, const struct sw_record *record), void *data)
{
	int64_t first, end, keys;
	/* What comes from now on is not part of it, so callers that come now are not either. */
	int status = bounds(query, &first, &end);

	if (status == SQLITE_OK)
		status = choose(query, &keys);
	if (status != SQLITE_OK || keys == 0)
		return status;
	if (query->search->limit)
		status = start_of_newest(query, first, end, query->search->limit, &first);
	if (status == SQLITE_OK)
		status = walk(query, first, end, answer, each, data);
	return status;
}

int sw_store_search(struct sw_reader_store *reader, const struct sw_search *search,
		    int (*each)(void *data, const struct sw_record *record), void *data,
		    char error[static SW_STORE_ERROR_SIZE])
{
	sw_autofree struct page *page = malloc(sizeof(*page));
	struct query query = {
		.reader = reader,
		.search = search,
		.table = search->sessions ? "sessions" : "events",
		.since = sw_store_number(search->since_ns),
		.until = search->until_ns ? sw_store_number(search->until_ns) : INT64_MAX,
		.page = page,
	};
	int status = page ? SQLITE_OK : SQLITE_NOMEM, answer = 0;

	if (status == SQLITE_OK)
		status = find_and_hand_on(&query, &answer, each, data);
	sqlite3_finalize(query.find);
	sqlite3_finalize(query.load);
	return status == SQLITE_OK ? answer : sw_reader_fault(reader, status, error);
}
