/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <stdio.h>

#include "daemon/audit/store_internal.h"

/*
 * The tables of events and of sessions have one form. Ids come in the order of time, but for a clock that
 * was set, so an index that ends in the id (each of SQLite's does) finds the newest of one caller or one
 * destination, and no column of times needs an index: see `spans`.
 */
#define EVENT_COLUMNS                                                                              \
	"(id INTEGER PRIMARY KEY,"            /* of the record */                                  \
	" time INTEGER NOT NULL,"             /* nanoseconds since 1970, UTC */                    \
	" kind INTEGER NOT NULL,"             /* words: kind */                                    \
	" verdict INTEGER NOT NULL,"          /* words: verdict */                                 \
	" reason INTEGER NOT NULL,"           /* words: reason */                                  \
	" scope INTEGER NOT NULL,"            /* words: scope */                                   \
	" family INTEGER NOT NULL,"           /* 4 or 6 */                                         \
	" caller INTEGER NOT NULL,"           /* callers.id */                                     \
	" rule INTEGER NOT NULL,"             /* rules.id */                                       \
	" pid INTEGER NOT NULL,"              /* 0: not known */                                   \
	" src INTEGER,"                       /* addresses.id; NULL: the socket was not bound */   \
	" src_port INTEGER NOT NULL,"         /* 0: not bound */                                   \
	" dst INTEGER NOT NULL,"              /* addresses.id */                                   \
	" port INTEGER NOT NULL,"             /* of dst, as it was asked for */                    \
	" new_dst INTEGER,"                   /* addresses.id; NULL: it went nowhere else */       \
	" new_port INTEGER NOT NULL,"         /* 0: nowhere else */                                \
	" tls INTEGER NOT NULL,"              /* words: tls */                                     \
	" tls_version INTEGER NOT NULL,"      /* as on the wire: 771 is TLS 1.2; 0: not known */   \
	" verb INTEGER NOT NULL,"             /* words: verb */                                    \
	" verb_length INTEGER NOT NULL,"      /* letters of it that were seen */                   \
	" mechanism INTEGER NOT NULL,"        /* words: mechanism */                               \
	" from_server INTEGER NOT NULL,"      /* 1: the server's bytes were at fault */            \
	" sni TEXT,"                          /* name that the client asked for in TLS */          \
	" suppressed INTEGER NOT NULL,"       /* events like it that were left out before it */    \
	" opened INTEGER NOT NULL,"           /* of a session: as time; else 0 */                  \
	" sent INTEGER NOT NULL,"             /* of a session: bytes of payload */                 \
	" received INTEGER NOT NULL,"         /* likewise */                                       \
	" mac BLOB,"                          /* edge: 6 bytes, of the sender */                   \
	" vlan0 INTEGER NOT NULL,"            /* edge: outer tag; 0: none */                       \
	" vlan1 INTEGER NOT NULL,"            /* edge: inner tag */                                \
	" pppoe INTEGER NOT NULL,"            /* edge: session; 0: none */                         \
	" cipher INTEGER NOT NULL DEFAULT 0)" /* TLS cipher suite; 0: not known */

static const char tables[] =
	"CREATE TABLE events " EVENT_COLUMNS ";"
	"CREATE TABLE sessions " EVENT_COLUMNS ";"
	"CREATE INDEX events_caller ON events (caller);"
	"CREATE INDEX events_dst ON events (dst);"
	"CREATE INDEX sessions_caller ON sessions (caller);"
	/* Who did it. Texts are escaped, '' when there is none. */
	"CREATE TABLE callers (id INTEGER PRIMARY KEY,"
	" until INTEGER NOT NULL," /* records that refer to it have ids below: retention goes by it */
	" uid INTEGER NOT NULL, gid INTEGER NOT NULL," /* 4294967295: not known */
	" user TEXT NOT NULL, \"group\" TEXT NOT NULL,"
	" exe TEXT NOT NULL,"
	" exe_note TEXT NOT NULL," /* what must be known about exe */
	" comm TEXT NOT NULL,"     /* what the thread called itself */
	" unit TEXT NOT NULL, cgroup TEXT NOT NULL,"
	" interface TEXT NOT NULL," /* edge: the sender's side */
	" UNIQUE (uid, gid, user, \"group\", exe, exe_note, comm, unit, cgroup, interface));"
	"CREATE INDEX callers_until ON callers (until);"
	/* What decided. */
	"CREATE TABLE rules (id INTEGER PRIMARY KEY,"
	" until INTEGER NOT NULL,"      /* as of callers */
	" generation INTEGER NOT NULL," /* of the policy */
	" number INTEGER NOT NULL,"     /* from 1; 0: no rule decided */
	" line INTEGER NOT NULL,"       /* of the policy file; 0: not known */
	" rule TEXT NOT NULL,"          /* canonical text */
	" sentence TEXT NOT NULL,"      /* of reject \"...\" */
	" UNIQUE (generation, number, line, rule, sentence));"
	"CREATE INDEX rules_until ON rules (until);"
	/* Of both ends. */
	"CREATE TABLE addresses (id INTEGER PRIMARY KEY,"
	" until INTEGER NOT NULL,"        /* as of callers */
	" address BLOB NOT NULL UNIQUE);" /* 16 bytes in network order, IPv4 as ::ffff:a.b.c.d */
	"CREATE INDEX addresses_until ON addresses (until);"
	/* When the records of SW_SPAN_IDS ids each were: one row for a thousand stands for an index by
	   time, also where the clock was set back. */
	"CREATE TABLE spans (block INTEGER PRIMARY KEY," /* id / 1024 */
	" oldest INTEGER NOT NULL, newest INTEGER NOT NULL);"
	/* The one row that says what there is. */
	"CREATE TABLE meta (one INTEGER PRIMARY KEY CHECK (one = 1),"
	" last INTEGER NOT NULL,"      /* newest id that is there or told as missing */
	" instance INTEGER NOT NULL,"  /* of the kernel's maps that `accounted` counts */
	" accounted INTEGER NOT NULL," /* their events that are here or told as missing */
	" events INTEGER NOT NULL, sessions INTEGER NOT NULL);" /* rows */
	"INSERT INTO meta VALUES (1, 0, 0, 0, 0, 0);"
	/* What the numbers mean; for people, the programs have their own. */
	"CREATE TABLE words (list TEXT NOT NULL, number INTEGER NOT NULL, word TEXT NOT NULL,"
	" PRIMARY KEY (list, number)) WITHOUT ROWID;";

/* What version 2 has and 1 had not, `cipher` apart. */
static const char since_2[] =
	"CREATE INDEX sessions_dst ON sessions (dst);"
	"CREATE TABLE gaps (id INTEGER PRIMARY KEY,"
	" time INTEGER NOT NULL,"  /* when it was found */
	" why INTEGER NOT NULL,"   /* words: gap */
	" after INTEGER NOT NULL," /* id of the record in front of it; 0: not known */
	" n INTEGER NOT NULL);";   /* events that are missing */

static const char from_1[] = "ALTER TABLE events ADD COLUMN cipher INTEGER NOT NULL DEFAULT 0;"
			     "ALTER TABLE sessions ADD COLUMN cipher INTEGER NOT NULL DEFAULT 0;"
			     "DROP VIEW IF EXISTS readable_events;"
			     "DROP VIEW IF EXISTS readable_sessions;";

static int ask(sqlite3 *db, const char *sql, int64_t *answer)
{
	sqlite3_stmt *statement;
	int status = sqlite3_prepare_v2(db, sql, -1, &statement, NULL);

	if (status == SQLITE_OK)
		status = sqlite3_step(statement);
	*answer = status == SQLITE_ROW ? sqlite3_column_int64(statement, 0) : 0;
	sqlite3_finalize(statement);
	return status == SQLITE_ROW || status == SQLITE_DONE ? SQLITE_OK : status;
}

int sw_schema_version(sqlite3 *db, int *version)
{
	int64_t application, number = 0, tables_there = 0;
	int status = ask(db, "PRAGMA application_id", &application);

	if (status == SQLITE_OK)
		status = ask(db, "PRAGMA user_version", &number);
	if (status == SQLITE_OK)
		status = ask(db, "SELECT count(*) FROM sqlite_schema", &tables_there);
	if (!application && !number && !tables_there)
		*version = 0;
	else
		*version = application == SW_STORE_APPLICATION && number > 0 ? (int)number : -1;
	return status;
}

/* Runs the texts of a list that ends in NULL, and what each version ends with, in one transaction. */
static int in_one(sqlite3 *db, const char *const *texts)
{
	char version[128];
	int status = sqlite3_exec(db, "BEGIN IMMEDIATE", NULL, NULL, NULL);

	for (; *texts && status == SQLITE_OK; texts++)
		status = sqlite3_exec(db, *texts, NULL, NULL, NULL);
	if (status == SQLITE_OK)
		status = sw_schema_words(db);
	snprintf(version, sizeof(version), "PRAGMA application_id = %d; PRAGMA user_version = %d",
		 SW_STORE_APPLICATION, SW_STORE_SCHEMA);
	if (status == SQLITE_OK)
		status = sqlite3_exec(db, version, NULL, NULL, NULL);
	if (status == SQLITE_OK)
		status = sqlite3_exec(db, "COMMIT", NULL, NULL, NULL);
	return status;
}

int sw_schema_make(sqlite3 *db)
{
	static const char *const all[] = {tables, since_2, NULL};

	return in_one(db, all);
}

int sw_schema_migrate(sqlite3 *db, int version)
{
	static const char *const steps[SW_STORE_SCHEMA + 1][3] = {[1] = {from_1, since_2}};

	return in_one(db, steps[version]);
}
