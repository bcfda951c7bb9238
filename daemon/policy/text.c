/* SPDX-License-Identifier: GPL-2.0-or-later */
/* text.c - what counts as text. */
#include "daemon/policy/text.h"

#include <stdio.h>
#include <string.h>

static size_t sequence_length(unsigned char first)
{
	if (first < 0x80)
		return 1;
	if (first >= 0xc2 && first < 0xe0)
		return 2;
	if (first >= 0xe0 && first < 0xf0)
		return 3;
	if (first >= 0xf0 && first < 0xf5)
		return 4;
	return 0;
}

size_t sw_utf8_next(const char *at, const char *end, uint32_t *code)
{
	const unsigned char *byte = (const unsigned char *)at;
	size_t length = sequence_length(byte[0]);

	if (!length || (size_t)(end - at) < length)
		return 0;
	*code = length == 1 ? byte[0] : byte[0] & (0x7fu >> length);
	for (size_t i = 1; i < length; i++) {
		if ((byte[i] & 0xc0) != 0x80)
			return 0;
		*code = *code << 6 | (byte[i] & 0x3f);
	}
	/* written longer than need be, a surrogate, behind the last code point */
	if ((length == 3 && *code < 0x800) || (length == 4 && *code < 0x10000) ||
	    (*code >= 0xd800 && *code < 0xe000) || *code > 0x10ffff)
		return 0;
	return length;
}

bool sw_is_control(uint32_t code)
{
	if (code < 0x20)
		return code != '\t' && code != '\n';
	return (code >= 0x7f && code < 0xa0) || code == 0x200b || code == 0x200e ||
	       code == 0x200f || (code >= 0x2028 && code <= 0x202e) ||
	       (code >= 0x2060 && code <= 0x206f) || code == 0xfeff;
}

size_t sw_bom_length(const char *text, size_t length)
{
	return length >= 3 && memcmp(text, "\xef\xbb\xbf", 3) == 0 ? 3 : 0;
}

enum sw_text_fault sw_text_check(const char *text, size_t length, size_t *where)
{
	const char *end = text + length, *at = text + sw_bom_length(text, length);

	while (at < end) {
		uint32_t code = 0;
		size_t step = sw_utf8_next(at, end, &code);

		*where = (size_t)(at - text);
		if (!step)
			return SW_TEXT_INVALID;
		if (!code)
			return SW_TEXT_NUL;
		if (sw_is_control(code) && !(code == '\r' && at + 1 < end && at[1] == '\n'))
			return SW_TEXT_CONTROL;
		at += step;
	}
	return SW_TEXT_OK;
}

void sw_text_place(const char *text, size_t length, size_t where, uint32_t *line, uint32_t *column)
{
	const char *end = text + length, *begin = text + sw_bom_length(text, length), *newline;

	*line = 1;
	while (begin < text + where && (newline = memchr(begin, '\n', text + where - begin))) {
		begin = newline + 1;
		++*line;
	}
	*column = 1;
	for (const char *at = begin; at < text + where; ++*column) {
		uint32_t code;
		size_t step = sw_utf8_next(at, end, &code);

		at += step ? step : 1;
	}
}

/* One character in printable form. Returns how many bytes were read. */
static size_t escape_one(const char *at, const char *end, char to[static 16])
{
	uint32_t code = 0;
	size_t step = sw_utf8_next(at, end, &code);

	if (!step) {
		snprintf(to, 16, "\\x%02x", (unsigned char)*at);
		return 1;
	}
	if (code < 0x80 && (sw_is_control(code) || code == '\t' || code == '\n')) {
		snprintf(to, 16, "\\x%02x", (unsigned int)code);
	} else if (sw_is_control(code)) {
		snprintf(to, 16, "\\u{%x}", (unsigned int)code);
	} else {
		memcpy(to, at, step);
		to[step] = '\0';
	}
	return step;
}

/* How many bytes stand for themselves: most of what is shown is nothing else. */
static size_t plain(const char *at, const char *end)
{
	const char *from = at;

	while (at < end && (unsigned char)(*at - 0x20) < 0x7f - 0x20)
		at++;
	return (size_t)(at - from);
}

void sw_text_escape(const char *text, size_t length, char *to, size_t size)
{
	const char *end = text + length;
	size_t used = 0;

	for (const char *at = text; at < end;) {
		size_t n = plain(at, end), room = size - used - 1;
		char shown[16];

		memcpy(to + used, at, n < room ? n : room);
		used += n < room ? n : room;
		at += n;
		if (n > room || at == end)
			break;
		at += escape_one(at, end, shown);
		n = strlen(shown);
		if (used + n >= size)
			break;
		memcpy(to + used, shown, n);
		used += n;
	}
	to[used] = '\0';
}
