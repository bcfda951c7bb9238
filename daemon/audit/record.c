/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "daemon/audit/record.h"

#include <assert.h>
#include <string.h>

/* In front of a packed record; what lies behind is copied, so it need not be aligned. The pointers to the texts
   are left out. */
struct head {
	uint32_t size; /* with this */
	struct sw_record record;
};

#define HEAD_SIZE offsetof(struct head, record.text)

/* A text is at most so long, so that all of them fit. */
#define TEXT_MAX 2048
static_assert(HEAD_SIZE + TEXT_MAX + SW_TEXTS * 1 < SW_PACKED_MAX, "one text of full length fits");

void sw_record_init(struct sw_record *record)
{
	*record = (struct sw_record){.uid = UINT32_MAX, .gid = UINT32_MAX};
	for (int i = 0; i < SW_TEXTS; i++)
		record->text[i] = "";
}

bool sw_record_is_bound(const struct sw_record *record)
{
	static const uint8_t none[16];

	return record->src_port || memcmp(record->src, none, sizeof(none)) != 0;
}

/* Bytes of a text that are kept, without its NUL: no character of UTF-8 is cut in two. */
static size_t kept(const char *text, size_t room)
{
	size_t length = strnlen(text, TEXT_MAX);

	if (length < TEXT_MAX && length < room)
		return length;
	length = length < room ? length : room - 1;
	while (length > 0 && ((unsigned char)text[length] & 0xc0) == 0x80)
		length--;
	return length;
}

/* Each text leaves room for the NULs of those behind it. */
static size_t room_for(size_t used, int text)
{
	return SW_PACKED_MAX - used - (size_t)(SW_TEXTS - 1 - text);
}

size_t sw_record_packed_size(const struct sw_record *record)
{
	size_t used = HEAD_SIZE;

	for (int i = 0; i < SW_TEXTS; i++)
		used += kept(record->text[i], room_for(used, i)) + 1;
	return used;
}

size_t sw_record_pack(const struct sw_record *record, void *to)
{
	struct head head = {.record = *record};
	size_t used = HEAD_SIZE;
	char *at = to;

	for (int i = 0; i < SW_TEXTS; i++) {
		size_t length = kept(record->text[i], room_for(used, i));

		memcpy(at + used, record->text[i], length);
		at[used + length] = '\0';
		used += length + 1;
	}
	head.size = (uint32_t)used;
	memcpy(at, &head, HEAD_SIZE);
	return used;
}

size_t sw_record_unpack(const void *from, size_t size, struct sw_record *record)
{
	struct head head = {};
	const char *at = from, *end;

	if (size < HEAD_SIZE)
		return 0;
	memcpy(&head, from, HEAD_SIZE);
	if (head.size < HEAD_SIZE || head.size > size)
		return 0;
	end = at + head.size;
	at += HEAD_SIZE;
	*record = head.record;
	for (int i = 0; i < SW_TEXTS; i++) {
		const char *nul = memchr(at, '\0', (size_t)(end - at));

		if (!nul)
			return 0;
		record->text[i] = at;
		at = nul + 1;
	}
	return at == end ? head.size : 0;
}
