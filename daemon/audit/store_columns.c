/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <stdio.h>
#include <string.h>

#include "daemon/audit/store_internal.h"

enum form { U8, U16, U32, U64, ADDRESS, MAC, TEXT };

struct column {
	char of;
	uint8_t form;
	uint16_t at; /* in struct sw_record */
	const char *name;
};

#define COLUMN(of, form, name, member)                                                             \
	{                                                                                          \
		of, form, offsetof(struct sw_record, member), name                                 \
	}
#define EVENT(form, name, member) COLUMN(SW_OF_EVENT, form, name, member)
#define CALLER(form, name, member) COLUMN(SW_OF_CALLER, form, name, member)
#define RULE(form, name, member) COLUMN(SW_OF_RULE, form, name, member)

static const struct column columns[] = {
	EVENT(U64, "time", time_ns),
	EVENT(U8, "kind", kind),
	EVENT(U8, "verdict", verdict),
	EVENT(U8, "reason", reason),
	EVENT(U8, "scope", scope),
	EVENT(U8, "family", family),
	EVENT(U32, "pid", pid),
	EVENT(U16, "src_port", src_port),
	EVENT(U16, "port", dst_port),
	EVENT(U16, "new_port", new_port),
	EVENT(U8, "tls", tls),
	EVENT(U16, "tls_version", tls_version),
	EVENT(U16, "cipher", cipher),
	EVENT(U8, "verb", verb),
	EVENT(U8, "verb_length", verb_length),
	EVENT(U8, "mechanism", mechanism),
	EVENT(U8, "from_server", from_server),
	EVENT(TEXT, "sni", text[SW_TEXT_SNI]),
	EVENT(U32, "suppressed", suppressed),
	EVENT(U64, "opened", opened_ns),
	EVENT(U64, "sent", sent),
	EVENT(U64, "received", received),
	EVENT(MAC, "mac", mac),
	EVENT(U16, "vlan0", vlan[0]),
	EVENT(U16, "vlan1", vlan[1]),
	EVENT(U16, "pppoe", pppoe_session),
	COLUMN(SW_OF_SRC, ADDRESS, "address", src),
	COLUMN(SW_OF_DST, ADDRESS, "address", dst),
	COLUMN(SW_OF_NEW_DST, ADDRESS, "address", new_dst),
	CALLER(U32, "uid", uid),
	CALLER(U32, "gid", gid),
	CALLER(TEXT, "user", text[SW_TEXT_USER]),
	CALLER(TEXT, "\"group\"", text[SW_TEXT_GROUP]),
	CALLER(TEXT, "exe", text[SW_TEXT_EXE]),
	CALLER(TEXT, "exe_note", text[SW_TEXT_EXE_NOTE]),
	CALLER(TEXT, "comm", text[SW_TEXT_COMM]),
	CALLER(TEXT, "unit", text[SW_TEXT_UNIT]),
	CALLER(TEXT, "cgroup", text[SW_TEXT_CGROUP]),
	CALLER(TEXT, "interface", text[SW_TEXT_INTERFACE]),
	RULE(U64, "generation", generation),
	RULE(U16, "number", rule),
	RULE(U32, "line", line),
	RULE(TEXT, "rule", text[SW_TEXT_RULE]),
	RULE(TEXT, "sentence", text[SW_TEXT_SENTENCE]),
};

/* The columns of a table in their order: name and form, or a mark where there is no form. */
static void list(char of, char *to, const char *form, const char *between)
{
	size_t used = 0;

	for (size_t i = 0; i < sw_count(columns); i++) {
		if (columns[i].of != of)
			continue;
		used += (size_t)snprintf(to + used, SW_COLUMNS_SQL - used, "%s",
					 used ? between : "");
		if (form)
			used += (size_t)snprintf(to + used, SW_COLUMNS_SQL - used, "%s%s",
						 columns[i].name, form);
		else
			used += (size_t)snprintf(to + used, SW_COLUMNS_SQL - used, "?");
	}
}

void sw_columns_names(char of, char to[static SW_COLUMNS_SQL])
{
	list(of, to, "", ", ");
}

void sw_columns_marks(char of, char to[static SW_COLUMNS_SQL])
{
	list(of, to, NULL, ", ");
}

void sw_columns_compare(char of, char to[static SW_COLUMNS_SQL])
{
	list(of, to, " IS ?", " AND ");
}

void sw_columns_all(char to[static SW_COLUMNS_SQL])
{
	size_t used = (size_t)snprintf(to, SW_COLUMNS_SQL, "e.id");

	for (size_t i = 0; i < sw_count(columns); i++)
		used += (size_t)snprintf(to + used, SW_COLUMNS_SQL - used, ", %c.%s", columns[i].of,
					 columns[i].name);
}

static uint64_t number_of(const struct column *column, const struct sw_record *record)
{
	const char *at = (const char *)record + column->at;

	switch (column->form) {
	case U8:
		return *(const uint8_t *)at;
	case U16:
		return *(const uint16_t *)at;
	case U32:
		return *(const uint32_t *)at;
	default:
		return *(const uint64_t *)at;
	}
}

static void set_number(const struct column *column, struct sw_record *record, uint64_t value)
{
	char *at = (char *)record + column->at;

	switch (column->form) {
	case U8:
		*(uint8_t *)at = (uint8_t)value;
		break;
	case U16:
		*(uint16_t *)at = (uint16_t)value;
		break;
	case U32:
		*(uint32_t *)at = (uint32_t)value;
		break;
	default:
		*(uint64_t *)at = value;
	}
}

static const char *text_of(const struct column *column, const struct sw_record *record)
{
	return *(const char *const *)((const char *)record + column->at);
}

static size_t bytes_of(const struct column *column)
{
	return column->form == MAC ? 6 : 16;
}

static int bind(sqlite3_stmt *statement, int at, const struct column *column,
		const struct sw_record *record)
{
	static const uint8_t none[16];
	const char *bytes = (const char *)record + column->at;
	const char *text;

	switch (column->form) {
	case MAC:
		if (memcmp(bytes, none, bytes_of(column)) == 0)
			return sqlite3_bind_null(statement, at);
		__attribute__((fallthrough));
	case ADDRESS:
		return sqlite3_bind_blob(statement, at, bytes, (int)bytes_of(column),
					 SQLITE_STATIC);
	case TEXT:
		text = text_of(column, record);
		if (column->of == SW_OF_EVENT && !*text)
			return sqlite3_bind_null(statement, at);
		return sqlite3_bind_text(statement, at, text, -1, SQLITE_STATIC);
	default:
		return sqlite3_bind_int64(statement, at, (int64_t)number_of(column, record));
	}
}

int sw_columns_bind(sqlite3_stmt *statement, char of, int first, const struct sw_record *record)
{
	int status = SQLITE_OK;

	for (size_t i = 0; i < sw_count(columns) && status == SQLITE_OK; i++)
		if (columns[i].of == of)
			status = bind(statement, first++, &columns[i], record);
	return status;
}

void sw_columns_read(sqlite3_stmt *statement, struct sw_record *record)
{
	sw_record_init(record);
	record->id = (uint64_t)sqlite3_column_int64(statement, 0);
	for (size_t i = 0; i < sw_count(columns); i++) {
		const struct column *column = &columns[i];
		char *at = (char *)record + column->at;
		int n = (int)i + 1;
		const void *value;

		switch (column->form) {
		case ADDRESS:
		case MAC:
			value = sqlite3_column_blob(statement, n);
			if (value && (size_t)sqlite3_column_bytes(statement, n) == bytes_of(column))
				memcpy(at, value, bytes_of(column));
			break;
		case TEXT:
			value = sqlite3_column_text(statement, n);
			*(const char **)at = value ? value : "";
			break;
		default:
			set_number(column, record, (uint64_t)sqlite3_column_int64(statement, n));
		}
	}
}

size_t sw_columns_key(char of, const struct sw_record *record, char *to, size_t size)
{
	size_t used = 0;

	for (size_t i = 0; i < sw_count(columns); i++) {
		const struct column *column = &columns[i];
		uint64_t number;
		const void *from = &number;
		size_t length = sizeof(number);

		if (column->of != of)
			continue;
		if (column->form == TEXT) {
			from = text_of(column, record);
			length = strlen(from) + 1;
		} else if (column->form == ADDRESS) {
			from = (const char *)record + column->at;
			length = bytes_of(column);
		} else {
			number = number_of(column, record);
		}
		if (length > size - used)
			return 0;
		memcpy(to + used, from, length);
		used += length;
	}
	return used;
}
