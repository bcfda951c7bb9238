/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <stdio.h>
#include <string.h>

#include "daemon/audit/store_internal.h"

/* Each key has one slot; the one that came last keeps it. Whoever is thrown out is found again in the
   table, so this is only for speed, and of bounded size. */
#define SLOTS 8192

/* Texts of a record that were packed fit. */
#define KEY_MAX (2 * SW_PACKED_MAX)

static int prepare(sqlite3 *db, sqlite3_stmt **statement, const char *sql)
{
	return sqlite3_prepare_v3(db, sql, -1, SQLITE_PREPARE_PERSISTENT, statement, NULL);
}

int sw_dictionary_open(struct sw_dictionary *dictionary, sqlite3 *db, const char *table, char of)
{
	char names[SW_COLUMNS_SQL], marks[SW_COLUMNS_SQL], compare[SW_COLUMNS_SQL];
	char sql[3 * SW_COLUMNS_SQL];
	int status;

	if (!dictionary->slots)
		dictionary->slots = calloc(SLOTS, sizeof(*dictionary->slots));
	if (!dictionary->slots)
		return SQLITE_NOMEM;
	sw_columns_names(of, names);
	sw_columns_marks(of, marks);
	sw_columns_compare(of, compare);
	snprintf(sql, sizeof(sql), "SELECT id, until FROM %s WHERE %s", table, compare);
	status = prepare(db, &dictionary->find, sql);
	snprintf(sql, sizeof(sql), "INSERT INTO %s (until, %s) VALUES (?, %s)", table, names,
		 marks);
	if (status == SQLITE_OK)
		status = prepare(db, &dictionary->insert, sql);
	snprintf(sql, sizeof(sql), "UPDATE %s SET until = ?1 WHERE id = ?2", table);
	if (status == SQLITE_OK)
		status = prepare(db, &dictionary->touch, sql);
	return status;
}

void sw_dictionary_forget(struct sw_dictionary *dictionary)
{
	for (size_t i = 0; dictionary->slots && i < SLOTS; i++) {
		free(dictionary->slots[i].key);
		dictionary->slots[i] = (struct sw_dictionary_entry){0};
	}
}

void sw_dictionary_close(struct sw_dictionary *dictionary)
{
	sw_dictionary_forget(dictionary);
	free(dictionary->slots);
	sqlite3_finalize(dictionary->find);
	sqlite3_finalize(dictionary->insert);
	sqlite3_finalize(dictionary->touch);
	*dictionary = (struct sw_dictionary){0};
}

/* FNV-1a, eight bytes at a time. Whoever makes two keys meet gains a look into the table. */
static uint64_t hash_of(const char *key, size_t size)
{
	uint64_t hash = 0xcbf29ce484222325u, word;

	for (; size >= sizeof(word); key += sizeof(word), size -= sizeof(word)) {
		memcpy(&word, key, sizeof(word));
		hash = (hash ^ word) * 0x100000001b3u;
		hash ^= hash >> 32;
	}
	for (; size; key++, size--)
		hash = (hash ^ (uint8_t)*key) * 0x100000001b3u;
	return hash ^ hash >> 32;
}

static int touch(struct sw_dictionary *dictionary, int64_t id, int64_t until)
{
	int status;

	sqlite3_bind_int64(dictionary->touch, 1, until);
	sqlite3_bind_int64(dictionary->touch, 2, id);
	status = sqlite3_step(dictionary->touch);
	sqlite3_reset(dictionary->touch);
	return status == SQLITE_DONE ? SQLITE_OK : status;
}

/* Id and `until` of the row in the table, which is made if there is none. */
static int look_up(struct sw_dictionary *dictionary, char of, const struct sw_record *record,
		   int64_t *id, int64_t *until)
{
	sqlite3_stmt *find = dictionary->find, *insert = dictionary->insert;
	int status = sw_columns_bind(find, of, 1, record);

	if (status == SQLITE_OK)
		status = sqlite3_step(find);
	if (status == SQLITE_ROW) {
		*id = sqlite3_column_int64(find, 0);
		*until = sqlite3_column_int64(find, 1);
	}
	sqlite3_reset(find);
	if (status != SQLITE_DONE)
		return status == SQLITE_ROW ? SQLITE_OK : status;
	*until = (int64_t)record->id + dictionary->keep;
	status = sqlite3_bind_int64(insert, 1, *until);
	if (status == SQLITE_OK)
		status = sw_columns_bind(insert, of, 2, record);
	if (status == SQLITE_OK)
		status = sqlite3_step(insert);
	*id = sqlite3_last_insert_rowid(sqlite3_db_handle(insert));
	sqlite3_reset(insert);
	return status == SQLITE_DONE ? SQLITE_OK : status;
}

static bool is(const struct sw_dictionary_entry *entry, uint64_t hash, const char *key, size_t size)
{
	return entry->id && entry->hash == hash && entry->size == size &&
	       memcmp(entry->key, key, size) == 0;
}

/* False: there is no memory for it; the slot is as it was. */
static bool keep(struct sw_dictionary_entry *entry, uint64_t hash, const char *key, size_t size)
{
	char *copy = malloc(size);

	if (!copy)
		return false;
	memcpy(copy, key, size);
	free(entry->key);
	*entry = (struct sw_dictionary_entry){.hash = hash, .size = size, .key = copy};
	return true;
}

int sw_dictionary_id(struct sw_dictionary *dictionary, char of, const struct sw_record *record,
		     int64_t *id)
{
	char key[KEY_MAX];
	size_t size = sw_columns_key(of, record, key, sizeof(key));
	uint64_t hash = hash_of(key, size);
	struct sw_dictionary_entry *entry = &dictionary->slots[hash % SLOTS];
	bool known = size && is(entry, hash, key, size);
	int64_t until = entry->until;
	int status = SQLITE_OK;

	if (known) {
		*id = entry->id;
	} else {
		status = look_up(dictionary, of, record, id, &until);
		if (status != SQLITE_OK)
			return status;
		known = size && keep(entry, hash, key, size);
	}
	if ((int64_t)record->id >= until) {
		until = (int64_t)record->id + dictionary->keep;
		status = touch(dictionary, *id, until);
	}
	if (known) {
		entry->id = *id;
		entry->until = until;
	}
	return status;
}
