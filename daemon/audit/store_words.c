/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <stdio.h>

#include "bpf/vocabulary.h"
#include "daemon/audit/store_internal.h"
#include "daemon/policy/policy.h"

static const char *kind_word(unsigned int kind)
{
	static const char *const words[SW_EVENT_KIND_MAX] = {
		[SW_EVENT_CONNECT] = "connect",     [SW_EVENT_PACKET] = "packet",
		[SW_EVENT_GATE] = "gate",           [SW_EVENT_EDGE] = "edge",
		[SW_EVENT_SESSION] = "session",     [SW_EVENT_SERVE] = "serve",
		[SW_EVENT_ELSEWHERE] = "elsewhere",
	};

	return words[kind];
}

static const char *gap_word(unsigned int why)
{
	return sw_gap_words((enum sw_gap)why);
}

static const struct {
	const char *list;
	unsigned int n;
	const char *(*word)(unsigned int number); /* NULL: there is none */
} lists[] = {
	{"kind", SW_EVENT_KIND_MAX, kind_word},
	{"verdict", SW_VERDICT_MAX, sw_verdict_name},
	{"reason", SW_REASON_MAX, sw_reason_name},
	{"scope", 3, sw_scope_name},
	{"tls", SW_TLS_MAX, sw_tls_name},
	{"verb", SW_VERB_MAX, sw_verb_name},
	{"mechanism", SW_MECHANISM_MAX, sw_mechanism_name},
	{"gap", SW_GAP_MAX, gap_word},
};

static int add_word(sqlite3_stmt *insert, const char *list, unsigned int number, const char *word)
{
	int status;

	sqlite3_bind_text(insert, 1, list, -1, SQLITE_STATIC);
	sqlite3_bind_int64(insert, 2, number);
	sqlite3_bind_text(insert, 3, word, -1, SQLITE_STATIC);
	status = sqlite3_step(insert);
	sqlite3_reset(insert);
	return status == SQLITE_DONE ? SQLITE_OK : status;
}

static int fill_words(sqlite3 *db)
{
	sqlite3_stmt *insert = NULL;
	int status = sqlite3_prepare_v2(db, "INSERT OR IGNORE INTO words VALUES (?, ?, ?)", -1,
					&insert, NULL);

	for (size_t i = 0; i < sw_count(lists); i++)
		for (unsigned int n = 0; n < lists[i].n && status == SQLITE_OK; n++)
			if (lists[i].word(n))
				status = add_word(insert, lists[i].list, n, lists[i].word(n));
	sqlite3_finalize(insert);
	return status;
}

/* One step of an address: %1$s is the column, %2$d the place in its hexadecimal digits. */
static void append(char *to, size_t size, size_t *used, const char *between, const char *form,
		   const char *column, int at)
{
	*used += (size_t)snprintf(to + *used, size - *used, "%s", between);
	/* The two forms below. */
	*used += (size_t)snprintf(to + *used, size - *used, form, column, at, at + 1);
}

/* An expression for the text of an address: SQLite has nothing for it. */
static void address_text(const char *column, char *to, size_t size)
{
	static const char octet[] = "(16 * instr('123456789ABCDEF', substr(hex(%1$s), %2$d, 1))"
				    " + instr('123456789ABCDEF', substr(hex(%1$s), %3$d, 1)))";
	static const char group[] = "lower(substr(hex(%1$s), %2$d, 4))";
	size_t used = (size_t)snprintf(to, size,
				       "CASE WHEN hex(%s) LIKE '00000000000000000000FFFF%%'"
				       " THEN ",
				       column);

	for (int i = 0; i < 4; i++)
		append(to, size, &used, i ? " || '.' || " : "", octet, column, 25 + 2 * i);
	used += (size_t)snprintf(to + used, size - used, " WHEN %s IS NOT NULL THEN ", column);
	for (int i = 0; i < 8; i++)
		append(to, size, &used, i ? " || ':' || " : "", group, column, 1 + 4 * i);
	snprintf(to + used, size - used, " END");
}

#define WORD "(SELECT word FROM words WHERE list = '%s' AND number = e.%s) AS %s, "

static int make_view(sqlite3 *db, const char *table)
{
	static const char *const in_words[] = {"kind", "verdict", "reason", "scope", "tls"};
	char words[1024] = "", src[2048], dst[2048];
	size_t used = 0;
	char *sql;
	int status;

	for (size_t i = 0; i < sw_count(in_words); i++)
		used += (size_t)snprintf(words + used, sizeof(words) - used, WORD, in_words[i],
					 in_words[i], in_words[i]);
	address_text("s.address", src, sizeof(src));
	address_text("d.address", dst, sizeof(dst));
	sql = sqlite3_mprintf(
		"CREATE VIEW IF NOT EXISTS readable_%s AS SELECT e.id, "
		"strftime('%%Y-%%m-%%dT%%H:%%M:%%SZ', e.time / 1000000000, 'unixepoch') AS time, "
		"%s c.user, c.uid, c.exe, c.comm, c.unit, e.pid, %s AS src, e.src_port, "
		"%s AS dst, e.port, e.sni, e.sent, e.received, e.suppressed, "
		"r.number AS rule, r.line, r.rule AS rule_text "
		"FROM %s e JOIN callers c ON c.id = e.caller JOIN rules r ON r.id = e.rule "
		"JOIN addresses d ON d.id = e.dst LEFT JOIN addresses s ON s.id = e.src",
		table, words, src, dst, table);
	status = sql ? sqlite3_exec(db, sql, NULL, NULL, NULL) : SQLITE_NOMEM;
	sqlite3_free(sql);
	return status;
}

int sw_schema_words(sqlite3 *db)
{
	int status = fill_words(db);

	if (status == SQLITE_OK)
		status = make_view(db, "events");
	return status == SQLITE_OK ? make_view(db, "sessions") : status;
}
