/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <errno.h>
#include <string.h>

#include "bpf/vocabulary.h"
#include "daemon/audit/search_internal.h"

const struct sw_search sw_search_all = {.verdict = -1, .reason = -1, .kind = -1};

int64_t sw_search_uid(const char *user)
{
	uint64_t uid = 0;

	for (const char *at = user; *at; at++) {
		if (*at < '0' || *at > '9')
			return -1;
		uid = 10 * uid + (uint64_t)(*at - '0');
		if (uid > UINT32_MAX)
			return -1;
	}
	return *user ? (int64_t)uid : -1;
}

void sw_search_range(const struct sw_search *search, uint8_t low[static 16],
		     uint8_t high[static 16])
{
	for (unsigned int i = 0; i < 16; i++) {
		unsigned int bits = search->to_bits > 8 * i ? search->to_bits - 8 * i : 0;
		uint8_t mask = bits >= 8 ? 0xff : (uint8_t)(0xff00 >> bits);

		low[i] = search->to[i] & mask;
		high[i] = low[i] | (uint8_t)~mask;
	}
}

static bool fits_caller(const struct sw_search *search, const struct sw_record *record)
{
	if (search->user && strcmp(search->user, record->text[SW_TEXT_USER]) != 0 &&
	    sw_search_uid(search->user) != (int64_t)record->uid)
		return false;
	if (search->exe && strcmp(search->exe, record->text[SW_TEXT_EXE]) != 0)
		return false;
	return !search->unit || strcmp(search->unit, record->text[SW_TEXT_UNIT]) == 0;
}

static bool fits_place(const struct sw_search *search, const struct sw_record *record)
{
	if (search->since_ns && record->time_ns < search->since_ns)
		return false;
	if (search->until_ns && record->time_ns >= search->until_ns)
		return false;
	if (search->after && record->id <= search->after)
		return false;
	return !search->before || record->id < search->before;
}

static bool fits_to(const struct sw_search *search, const struct sw_record *record)
{
	uint8_t low[16], high[16];

	if (!search->has_to)
		return true;
	sw_search_range(search, low, high);
	return memcmp(record->dst, low, 16) >= 0 && memcmp(record->dst, high, 16) <= 0;
}

bool sw_search_fits(const struct sw_search *search, const struct sw_record *record)
{
	return search->sessions == (record->kind == SW_EVENT_SESSION) &&
	       (search->verdict < 0 || search->verdict == record->verdict) &&
	       (search->reason < 0 || search->reason == record->reason) &&
	       (search->kind < 0 || search->kind == record->kind) &&
	       (!search->rule || search->rule == record->rule) &&
	       (!search->port || search->port == record->dst_port) && fits_place(search, record) &&
	       fits_to(search, record) && fits_caller(search, record);
}
