/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <errno.h>
#include <fcntl.h>
#include <string.h>

#include "daemon/audit/store_internal.h"

/* The daemon may be about to begin a new log. */
#define BUSY_MSEC 2000

int sw_reader_fault(struct sw_reader_store *reader, int status,
		    char error[static SW_STORE_ERROR_SIZE])
{
	/* SQLite would make them, and may not. */
	bool no_log = (status & 0xff) == SQLITE_CANTOPEN || (status & 0xff) == SQLITE_READONLY;

	if (!no_log)
		return sw_store_fault(reader->db, status, reader->path, "cannot be read", error);
	snprintf(error, SW_STORE_ERROR_SIZE,
		 "%s: cannot be read: the files of its log beside it are missing, or not yours to "
		 "read; they are there from the next start of smtpwalld on",
		 reader->path);
	return -1;
}

static int check_version(struct sw_reader_store *reader, char error[static SW_STORE_ERROR_SIZE])
{
	int version, status = sw_schema_version(reader->db, &version);

	if (status != SQLITE_OK)
		return sw_reader_fault(reader, status, error);
	if (version == SW_STORE_SCHEMA)
		return 0;
	snprintf(error, SW_STORE_ERROR_SIZE, "%s: %s", reader->path,
		 version == 0  ? "is empty"
		 : version < 0 ? "is no store of smtpwalld"
		 : version < SW_STORE_SCHEMA
			 ? "was written by an older smtpwalld; it can be read when a newer "
			   "one has been started"
			 : "was written by a newer smtpwalld than this program knows");
	return -1;
}

static int open_reader(struct sw_reader_store *reader)
{
	int status = sqlite3_open_v2(reader->path, &reader->db,
				     SQLITE_OPEN_READONLY | SQLITE_OPEN_NOMUTEX |
					     SQLITE_OPEN_NOFOLLOW | SQLITE_OPEN_EXRESCODE,
				     NULL);

	if (status != SQLITE_OK)
		return status;
	sqlite3_busy_timeout(reader->db, BUSY_MSEC);
	sqlite3_db_config(reader->db, SQLITE_DBCONFIG_DEFENSIVE, 1, NULL);
	sqlite3_db_config(reader->db, SQLITE_DBCONFIG_TRUSTED_SCHEMA, 0, NULL);
	return sqlite3_exec(reader->db,
			    "PRAGMA temp_store = MEMORY; PRAGMA cell_size_check = ON;"
			    "CREATE TEMP TABLE callers (id INTEGER PRIMARY KEY);"
			    "CREATE TEMP TABLE dsts (id INTEGER PRIMARY KEY)",
			    NULL, NULL, NULL);
}

static int readable(const char *path, char error[static SW_STORE_ERROR_SIZE])
{
	sw_autoclose int fd = open(path, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
	int why = errno;

	if (fd >= 0)
		return 0;
	snprintf(error, SW_STORE_ERROR_SIZE, "%s: cannot be opened: %s", path,
		 why == ELOOP ? "it is a symbolic link" : strerror(why));
	return why == ENOENT || why == EACCES ? -why : -1;
}

int sw_store_read(const char *path, struct sw_reader_store **reader,
		  char error[static SW_STORE_ERROR_SIZE])
{
	int status = readable(path, error);
	struct sw_reader_store *made;

	if (status < 0)
		return status;
	made = calloc(1, sizeof(*made));
	if (made)
		made->path = strdup(path);
	if (!made || !made->path) {
		free(made);
		snprintf(error, SW_STORE_ERROR_SIZE, "%s: no memory to open it", path);
		return -1;
	}
	status = open_reader(made);
	if (status != SQLITE_OK)
		sw_reader_fault(made, status, error);
	if (status != SQLITE_OK || check_version(made, error) < 0) {
		sw_store_read_end(made);
		return -1;
	}
	*reader = made;
	return 0;
}

void sw_store_read_end(struct sw_reader_store *reader)
{
	if (!reader)
		return;
	sqlite3_close(reader->db);
	free(reader->path);
	free(reader);
}

uint64_t sw_store_steps(const struct sw_reader_store *reader)
{
	return reader->steps;
}

/* Runs a statement with a period; *value: the first column of its only row. */
static int ask(struct sw_reader_store *reader, const char *sql, uint64_t since, uint64_t until,
	       uint64_t *value)
{
	sqlite3_stmt *statement;
	int status = sqlite3_prepare_v2(reader->db, sql, -1, &statement, NULL);

	if (status != SQLITE_OK)
		return status;
	if (sqlite3_bind_parameter_count(statement) == 2) {
		sqlite3_bind_int64(statement, 1, sw_store_number(since));
		sqlite3_bind_int64(statement, 2, until ? sw_store_number(until) : INT64_MAX);
	}
	status = sqlite3_step(statement);
	if (status == SQLITE_ROW)
		*value = (uint64_t)sqlite3_column_int64(statement, 0);
	sqlite3_finalize(statement);
	return status == SQLITE_ROW ? SQLITE_OK : status;
}

int sw_store_newest(struct sw_reader_store *reader, uint64_t *id,
		    char error[static SW_STORE_ERROR_SIZE])
{
	int status = ask(reader, "SELECT last FROM meta", 0, 0, id);

	return status == SQLITE_OK ? 0 : sw_reader_fault(reader, status, error);
}

int sw_store_gaps(struct sw_reader_store *reader, uint64_t since_ns, uint64_t until_ns,
		  uint64_t counts[SW_GAP_MAX], char error[static SW_STORE_ERROR_SIZE])
{
	static const char *const sql[SW_GAP_MAX] = {
		[SW_GAP_QUEUE] =
			"SELECT total(n) FROM gaps WHERE why = 0 AND time >= ? AND time < ?",
		[SW_GAP_KILLED] =
			"SELECT total(n) FROM gaps WHERE why = 1 AND time >= ? AND time < ?",
	};
	int status = SQLITE_OK;

	for (int why = 0; why < SW_GAP_MAX && status == SQLITE_OK; why++)
		status = ask(reader, sql[why], since_ns, until_ns, &counts[why]);
	return status == SQLITE_OK ? 0 : sw_reader_fault(reader, status, error);
}
