/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * store_schema_1.h - a store as schema 1 had it, with 8000 events, every fourth a session. Frozen: what is
 * changed in daemon/audit/store_schema.c later is no business of a file that was written before.
 */
#ifndef STORE_SCHEMA_1_H
#define STORE_SCHEMA_1_H

#define SCHEMA_1_ROWS 8000

#define SCHEMA_1_TABLE(name)                                                                       \
	"CREATE TABLE " name " (id INTEGER PRIMARY KEY, time INTEGER NOT NULL,"                    \
	" kind INTEGER NOT NULL, verdict INTEGER NOT NULL, reason INTEGER NOT NULL,"               \
	" scope INTEGER NOT NULL, family INTEGER NOT NULL, caller INTEGER NOT NULL,"               \
	" rule INTEGER NOT NULL, pid INTEGER NOT NULL, src INTEGER, src_port INTEGER NOT NULL,"    \
	" dst INTEGER NOT NULL, port INTEGER NOT NULL, new_dst INTEGER,"                           \
	" new_port INTEGER NOT NULL, tls INTEGER NOT NULL, tls_version INTEGER NOT NULL,"          \
	" verb INTEGER NOT NULL, verb_length INTEGER NOT NULL, mechanism INTEGER NOT NULL,"        \
	" from_server INTEGER NOT NULL, sni TEXT, suppressed INTEGER NOT NULL,"                    \
	" opened INTEGER NOT NULL, sent INTEGER NOT NULL, received INTEGER NOT NULL, mac BLOB,"    \
	" vlan0 INTEGER NOT NULL, vlan1 INTEGER NOT NULL, pppoe INTEGER NOT NULL);"

/* Rows `i` of a table, where a condition holds. */
#define SCHEMA_1_FILL(table, kind, where)                                                          \
	"INSERT INTO " table " SELECT i, 1700000000000000000 + i * 1000000000, " kind              \
	", 1, 1, 0, 4, 1, 1, i, NULL, 0, 1, 25, NULL, 0, 0, 771, 0, 0, 0, 0, NULL, 0, 0, i, 0,"    \
	" NULL, 0, 0, 0 FROM n WHERE " where ";"

static const char schema_1[] =
	"PRAGMA auto_vacuum = INCREMENTAL; PRAGMA journal_mode = WAL; BEGIN;" SCHEMA_1_TABLE(
		"events")
		SCHEMA_1_TABLE(
			"sessions") "CREATE INDEX events_caller ON events (caller);"
				    "CREATE INDEX events_dst ON events (dst);"
				    "CREATE INDEX sessions_caller ON sessions (caller);"
				    "CREATE TABLE callers (id INTEGER PRIMARY KEY, until INTEGER "
				    "NOT NULL,"
				    " uid INTEGER NOT NULL, gid INTEGER NOT NULL, user TEXT NOT "
				    "NULL, \"group\" TEXT NOT NULL,"
				    " exe TEXT NOT NULL, exe_note TEXT NOT NULL, comm TEXT NOT "
				    "NULL, unit TEXT NOT NULL,"
				    " cgroup TEXT NOT NULL, interface TEXT NOT NULL, UNIQUE (uid, "
				    "gid, user, \"group\", exe,"
				    " exe_note, comm, unit, cgroup, interface));"
				    "CREATE INDEX callers_until ON callers (until);"
				    "CREATE TABLE rules (id INTEGER PRIMARY KEY, until INTEGER NOT "
				    "NULL,"
				    " generation INTEGER NOT NULL, number INTEGER NOT NULL, line "
				    "INTEGER NOT NULL,"
				    " rule TEXT NOT NULL, sentence TEXT NOT NULL,"
				    " UNIQUE (generation, number, line, rule, sentence));"
				    "CREATE INDEX rules_until ON rules (until);"
				    "CREATE TABLE addresses (id INTEGER PRIMARY KEY, until INTEGER "
				    "NOT NULL,"
				    " address BLOB NOT NULL UNIQUE);"
				    "CREATE INDEX addresses_until ON addresses (until);"
				    "CREATE TABLE spans (block INTEGER PRIMARY KEY, oldest INTEGER "
				    "NOT NULL,"
				    " newest INTEGER NOT NULL);"
				    "CREATE TABLE meta (one INTEGER PRIMARY KEY CHECK (one = 1), "
				    "last INTEGER NOT NULL,"
				    " instance INTEGER NOT NULL, accounted INTEGER NOT NULL, "
				    "events INTEGER NOT NULL,"
				    " sessions INTEGER NOT NULL);"
				    "CREATE TABLE words (list TEXT NOT NULL, number INTEGER NOT "
				    "NULL, word TEXT NOT NULL,"
				    " PRIMARY KEY (list, number)) WITHOUT ROWID;"
				    "INSERT INTO meta VALUES (1, 8000, 77, 8000, 6000, 2000);"
				    "INSERT INTO callers VALUES (1, 9000, 33, 33, 'www-data', "
				    "'www-data', '/usr/bin/php8.2', '',"
				    " 'php', 'php.service', '/system.slice/php.service', '');"
				    "INSERT INTO rules VALUES (1, 9000, 1, 2, 3, 'reject to any', "
				    "'');"
				    "INSERT INTO addresses VALUES (1, 9000, "
				    "x'00000000000000000000ffffc0000201');"
				    "CREATE TEMP TABLE n AS WITH RECURSIVE n (i) AS (SELECT 1 "
				    "UNION ALL SELECT i + 1 FROM n"
				    " WHERE i < 8000) SELECT i FROM n;" SCHEMA_1_FILL("events", "1",
										      "i % 4 > 0")
					    SCHEMA_1_FILL(
						    "sessions", "5",
						    "i % 4 = 0") "INSERT INTO spans SELECT i / "
								 "1024, min(1700000000000000000 + "
								 "i * 1000000000),"
								 " max(1700000000000000000 + i * "
								 "1000000000) FROM n GROUP BY i / "
								 "1024;"
								 "PRAGMA application_id = "
								 "1936553072; PRAGMA user_version "
								 "= 1; COMMIT;";

#endif
