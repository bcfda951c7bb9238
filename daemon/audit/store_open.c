/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>

#include "daemon/audit/store_internal.h"

/* Somebody who looks with sqlite3 may hold the file for a moment. */
#define BUSY_MSEC 250

static const char *advice(int status, int system_error)
{
	switch (status & 0xff) {
	case SQLITE_FULL:
		return "the disk is full; recording goes on by itself when there is room";
	case SQLITE_CORRUPT:
	case SQLITE_NOTADB:
		return "the file is damaged";
	case SQLITE_BUSY:
		return "another program holds it locked; recording goes on by itself when it is "
		       "let go";
	case SQLITE_READONLY:
		return "it cannot be written; see to its owner and mode, and to how the file "
		       "system is mounted";
	case SQLITE_IOERR:
		if (system_error == ENOSPC || system_error == EDQUOT)
			return advice(SQLITE_FULL, 0);
		break;
	default:
		break;
	}
	return system_error ? strerror(system_error) : sqlite3_errstr(status);
}

int sw_store_fault(sqlite3 *db, int status, const char *path, const char *what,
		   char error[static SW_STORE_ERROR_SIZE])
{
	bool by_system = (status & 0xff) == SQLITE_IOERR || (status & 0xff) == SQLITE_CANTOPEN;

	snprintf(error, SW_STORE_ERROR_SIZE, "%s: %s: %s", path, what,
		 advice(status, db && by_system ? sqlite3_system_errno(db) : 0));
	return -1;
}

static bool is_damage(int status)
{
	return (status & 0xff) == SQLITE_CORRUPT || (status & 0xff) == SQLITE_NOTADB;
}

int sw_store_failed(struct sw_store *store, int status, const char *what,
		    char error[static SW_STORE_ERROR_SIZE])
{
	if (!is_damage(status))
		return sw_store_fault(store->db, status, store->path, what, error);
	store->damaged = true;
	snprintf(error, SW_STORE_ERROR_SIZE,
		 "%s: %s: the file is damaged; it will be put aside and a new one begun",
		 store->path, what);
	return -1;
}

static int refuse(const char *path, const char *why, char error[static SW_STORE_ERROR_SIZE])
{
	snprintf(error, SW_STORE_ERROR_SIZE,
		 "%s: %s; move it away, and a new store is made at the next start", path, why);
	return -1;
}

/* Makes the file if there is none, and sees to it that it is a file of our own, for our readers. */
static int check_file(const char *path, gid_t readers, char error[static SW_STORE_ERROR_SIZE])
{
	sw_autoclose int fd =
		open(path, O_RDWR | O_CREAT | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC, 0640);
	struct stat is;

	if (fd < 0 && errno == ELOOP)
		return refuse(path, "is a symbolic link", error);
	if (fd < 0 && errno == EISDIR)
		return refuse(path, "is a directory", error);
	if (fd < 0 || fstat(fd, &is) < 0) {
		snprintf(error, SW_STORE_ERROR_SIZE, "%s: cannot be opened: %s", path,
			 strerror(errno));
		return -1;
	}
	if (!S_ISREG(is.st_mode))
		return refuse(path, "is not a file", error);
	if (is.st_uid != geteuid())
		return refuse(path, "belongs to another user", error);
	if ((readers != (gid_t)-1 && is.st_gid != readers && fchown(fd, (uid_t)-1, readers) < 0) ||
	    ((is.st_mode & 07777) != 0640 && fchmod(fd, 0640) < 0)) {
		snprintf(error, SW_STORE_ERROR_SIZE,
			 "%s: cannot be given to group %u with mode 0640: %s", path,
			 (unsigned int)readers, strerror(errno));
		return -1;
	}
	return 0;
}

/* Gives the file, and what lies beside it, another name. */
static int put_aside(const char *path, char **note, char error[static SW_STORE_ERROR_SIZE])
{
	static const char *const beside[] = {"", "-wal", "-shm"};
	char aside[4096 + 64], from[4096 + 64], to[4096 + 64];
	struct timespec now;
	struct tm utc;
	char when[32];

	clock_gettime(CLOCK_REALTIME, &now);
	gmtime_r(&now.tv_sec, &utc);
	strftime(when, sizeof(when), "%Y%m%dT%H%M%S", &utc);
	snprintf(aside, sizeof(aside), "%s.damaged-%s", path, when);
	for (size_t i = 0; i < sw_count(beside); i++) {
		if ((size_t)snprintf(from, sizeof(from), "%s%s", path, beside[i]) >= sizeof(from) ||
		    (size_t)snprintf(to, sizeof(to), "%s%s", aside, beside[i]) >= sizeof(to))
			return refuse(path, "has too long a name", error);
		if (rename(from, to) < 0 && errno != ENOENT) {
			snprintf(error, SW_STORE_ERROR_SIZE,
				 "%s: is damaged and cannot be put aside as %.200s: %s", path, to,
				 strerror(errno));
			return -1;
		}
	}
	if (note && asprintf(note, "%s: was damaged; it lies in %s now, and a new one was begun",
			     path, aside) < 0)
		*note = NULL;
	return 0;
}

static int open_db(struct sw_store *store)
{
	int yes = 1;
	int status =
		sqlite3_open_v2(store->path, &store->db,
				SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE | SQLITE_OPEN_NOMUTEX |
					SQLITE_OPEN_NOFOLLOW | SQLITE_OPEN_EXRESCODE,
				NULL);

	if (status != SQLITE_OK)
		return status;
	sqlite3_busy_timeout(store->db, BUSY_MSEC);
	sqlite3_db_config(store->db, SQLITE_DBCONFIG_DEFENSIVE, 1, NULL);
	sqlite3_db_config(store->db, SQLITE_DBCONFIG_TRUSTED_SCHEMA, 0, NULL);
	/* The log stays when the store is closed, as who may not write the folder cannot read without. */
	sqlite3_file_control(store->db, "main", SQLITE_FCNTL_PERSIST_WAL, &yes);
	return sqlite3_exec(store->db,
			    "PRAGMA auto_vacuum = INCREMENTAL; PRAGMA journal_mode = WAL;"
			    "PRAGMA synchronous = NORMAL; PRAGMA wal_autocheckpoint = 0;"
			    "PRAGMA journal_size_limit = 0; PRAGMA cache_size = -2048;"
			    "PRAGMA temp_store = MEMORY",
			    NULL, NULL, NULL);
}

static void close_db(struct sw_store *store)
{
	sw_store_finalize(store);
	sqlite3_close(store->db);
	store->db = NULL;
}

static int read_meta(struct sw_store *store)
{
	sqlite3_stmt *statement;
	int status = sqlite3_prepare_v2(
		store->db, "SELECT last, instance, accounted, events, sessions FROM meta", -1,
		&statement, NULL);

	if (status == SQLITE_OK)
		status = sqlite3_step(statement);
	if (status == SQLITE_ROW)
		store->meta = (struct sw_meta){
			.last = sqlite3_column_int64(statement, 0),
			.instance = sqlite3_column_int64(statement, 1),
			.accounted = sqlite3_column_int64(statement, 2),
			.events = sqlite3_column_int64(statement, 3),
			.sessions = sqlite3_column_int64(statement, 4),
		};
	sqlite3_finalize(statement);
	return status == SQLITE_ROW ? SQLITE_OK : status;
}

/* The file as it is now. 1: it is damaged; 0; -1 after filling `error`. */
static int open_file(struct sw_store *store, char error[static SW_STORE_ERROR_SIZE])
{
	int status, version = 0;

	if (check_file(store->path, store->readers, error) < 0)
		return -1;
	status = open_db(store);
	if (status == SQLITE_OK)
		status = sw_schema_version(store->db, &version);
	if (status == SQLITE_OK && version > SW_STORE_SCHEMA)
		return refuse(store->path, "was written by a newer smtpwalld", error);
	if (status == SQLITE_OK && version < 0)
		return refuse(store->path, "is a database of something else", error);
	if (status == SQLITE_OK)
		status =
			version ? sw_schema_migrate(store->db, version) : sw_schema_make(store->db);
	if (status == SQLITE_OK)
		status = sw_store_prepare(store);
	if (status == SQLITE_OK)
		status = read_meta(store);
	if (status == SQLITE_OK)
		return 0;
	if (is_damage(status))
		return 1;
	return sw_store_fault(store->db, status, store->path, "cannot be opened", error);
}

/* Opens it; what is damaged is put aside, once. */
static int open_or_begin(struct sw_store *store, char **note,
			 char error[static SW_STORE_ERROR_SIZE])
{
	int status = open_file(store, error);

	if (status <= 0)
		return status;
	close_db(store);
	if (put_aside(store->path, note, error) < 0)
		return -1;
	status = open_file(store, error);
	return status > 0 ? refuse(store->path, "is damaged as soon as it is made", error) : status;
}

int sw_store_renew(struct sw_store *store, char error[static SW_STORE_ERROR_SIZE])
{
	struct sw_meta before = store->meta;

	close_db(store);
	if (store->damaged && put_aside(store->path, NULL, error) < 0)
		return -1;
	store->damaged = false;
	if (open_or_begin(store, NULL, error) < 0) {
		close_db(store);
		return -1;
	}
	/* Ids and the account go on. */
	if (store->meta.last < before.last)
		store->meta.last = before.last;
	store->meta.instance = before.instance;
	store->meta.accounted = before.accounted;
	return 0;
}

int sw_store_open(const char *path, const struct sw_store_limits *limits, gid_t readers,
		  struct sw_store **store, char **note, char error[static SW_STORE_ERROR_SIZE])
{
	struct sw_store *made = calloc(1, sizeof(*made));

	*note = NULL;
	if (made) {
		made->limits = *limits;
		made->readers = readers;
		made->span.block = -1;
		made->path = strdup(path);
		if (asprintf(&made->log, "%s-wal", path) < 0)
			made->log = NULL;
	}
	if (!made || !made->path || !made->log) {
		sw_store_close(made);
		snprintf(error, SW_STORE_ERROR_SIZE, "%s: no memory to open it", path);
		return -1;
	}
	if (open_or_begin(made, note, error) < 0) {
		sw_store_close(made);
		return -1;
	}
	*store = made;
	return 0;
}

void sw_store_close(struct sw_store *store)
{
	if (!store)
		return;
	if (store->db)
		sw_store_rollback(store);
	close_db(store);
	free(store->path);
	free(store->log);
	free(store);
}
