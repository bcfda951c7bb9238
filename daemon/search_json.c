/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "daemon/search_json.h"

#include <string.h>

#include "bpf/vocabulary.h"
#include "daemon/base.h"
#include "daemon/policy/policy.h"
#include "daemon/policy/prefix.h"
#include "daemon/proto.h"

/* Each takes a member that is there, and says whether it is right. */

static bool take_time(const json_t *member, uint64_t *to)
{
	return json_is_string(member) && sw_time_parse(json_string_value(member), to) == 0;
}

static bool take_since(const json_t *member, struct sw_search *search)
{
	return take_time(member, &search->since_ns);
}

static bool take_until(const json_t *member, struct sw_search *search)
{
	return take_time(member, &search->until_ns);
}

static bool take_after(const json_t *member, struct sw_search *search)
{
	search->after = (uint64_t)json_integer_value(member);
	return json_is_integer(member) && json_integer_value(member) >= 0;
}

static bool take_user(const json_t *member, struct sw_search *search)
{
	search->user = json_string_value(member);
	return search->user != NULL;
}

static bool take_exe(const json_t *member, struct sw_search *search)
{
	search->exe = json_string_value(member);
	return search->exe != NULL;
}

static bool take_unit(const json_t *member, struct sw_search *search)
{
	search->unit = json_string_value(member);
	return search->unit != NULL;
}

static bool take_port(const json_t *member, struct sw_search *search)
{
	json_int_t port = json_integer_value(member);

	search->port = (uint16_t)port;
	return json_is_integer(member) && port > 0 && port <= UINT16_MAX;
}

static bool take_to(const json_t *member, struct sw_search *search)
{
	const char *text = json_string_value(member);
	char why[SW_PREFIX_WHY];
	struct sw_prefix prefix;

	if (!text || !sw_prefix_parse(text, strlen(text), &prefix, why))
		return false;
	memcpy(search->to, prefix.addr, sizeof(search->to));
	search->to_bits = prefix.bits;
	search->has_to = true;
	return true;
}

/* The number of a name of one of the fixed lists; -1: it is not on it. */
static int number_of(const json_t *member, const char *(*name)(unsigned int), unsigned int n)
{
	const char *text = json_string_value(member);

	for (unsigned int i = 0; text && i < n; i++)
		if (strcmp(text, name(i)) == 0)
			return (int)i;
	return -1;
}

static bool take_verdict(const json_t *member, struct sw_search *search)
{
	search->verdict = number_of(member, sw_verdict_name, SW_VERDICT_MAX);
	return search->verdict >= 0;
}

static bool take_reason(const json_t *member, struct sw_search *search)
{
	search->reason = number_of(member, sw_reason_name, SW_REASON_MAX);
	return search->reason >= 0;
}

static bool take_rule(const json_t *member, struct sw_search *search)
{
	search->rule = (int)json_integer_value(member);
	return json_is_integer(member) && search->rule > 0 && search->rule <= UINT16_MAX;
}

static bool take_sessions(const json_t *member, struct sw_search *search)
{
	search->sessions = json_is_true(member);
	return json_is_boolean(member);
}

const char *sw_search_from_json(const json_t *request, struct sw_search *search)
{
	static const struct {
		const char *name;
		bool (*take)(const json_t *member, struct sw_search *search);
	} members[] = {
		{"since", take_since},   {"until", take_until}, {"after", take_after},
		{"user", take_user},     {"exe", take_exe},     {"unit", take_unit},
		{"port", take_port},     {"to", take_to},       {"verdict", take_verdict},
		{"reason", take_reason}, {"rule", take_rule},   {"sessions", take_sessions},
	};

	*search = sw_search_all;
	for (size_t i = 0; i < sw_count(members); i++) {
		const json_t *member = json_object_get(request, members[i].name);

		if (member && !json_is_null(member) && !members[i].take(member, search))
			return members[i].name;
	}
	return NULL;
}
