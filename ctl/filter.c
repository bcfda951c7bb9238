/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "ctl/filter.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "ctl/when.h"
#include "daemon/base.h"
#include "daemon/policy/diag.h"
#include "daemon/policy/policy.h"
#include "daemon/policy/prefix.h"
#include "daemon/policy/text.h"
#include "daemon/proto.h"

/* Longer than the fixed lists of verdicts and reasons. */
#define WORDS 32

int sw_filter_time(const char *option, const char *text, uint64_t now, uint64_t *ns,
		   char error[static SW_ERROR_SIZE])
{
	if (!text || !sw_when_parse(text, now, ns))
		return 0;
	snprintf(error, SW_ERROR_SIZE,
		 "--%s takes a time like 10m, 2h, 1d or 2026-01-02T03:04:05Z, not \"%s\"", option,
		 text);
	return -EINVAL;
}

/* The number of a word of a fixed list, whose end is where names are "?". */
static int number_of(const char *option, const char *word, const char *(*name)(unsigned int),
		     int *number, char error[static SW_ERROR_SIZE])
{
	const char *words[WORDS], *near;
	size_t n = 0;

	if (!word)
		return 0;
	for (; n < WORDS && strcmp(name((unsigned int)n), "?") != 0; n++) {
		words[n] = name((unsigned int)n);
		if (strcmp(words[n], word) != 0)
			continue;
		*number = (int)n;
		return 0;
	}
	near = sw_diag_nearest(word, words, n);
	snprintf(error, SW_ERROR_SIZE, "there is no %s \"%s\"%s%s%s", option, word,
		 near ? " (nearest: " : "", near ? near : "", near ? ")" : "");
	return -EINVAL;
}

static int take_prefix(const char *text, struct sw_search *search, char error[static SW_ERROR_SIZE])
{
	char why[SW_PREFIX_WHY];
	struct sw_prefix prefix;

	if (!text)
		return 0;
	if (!sw_prefix_parse(text, strlen(text), &prefix, why)) {
		snprintf(error, SW_ERROR_SIZE, "--to takes an address or a prefix: %s", why);
		return -EINVAL;
	}
	search->has_to = true;
	search->to_bits = prefix.bits;
	memcpy(search->to, prefix.addr, sizeof(search->to));
	return 0;
}

/* What is recorded is escaped, so what is looked for is as well. */
static const char *take_text(const char *text, char to[static SW_FILTER_TEXT])
{
	if (!text)
		return NULL;
	sw_text_escape(text, strlen(text), to, SW_FILTER_TEXT);
	return to;
}

int sw_filter_search(const struct sw_filter *filter, uint64_t now, struct sw_search *search,
		     struct sw_filter_texts *texts, char error[static SW_ERROR_SIZE])
{
	int r;

	*search = sw_search_all;
	r = sw_filter_time("since", filter->since, now, &search->since_ns, error);
	if (!r)
		r = sw_filter_time("until", filter->until, now, &search->until_ns, error);
	if (!r)
		r = number_of("verdict", filter->verdict, sw_verdict_name, &search->verdict, error);
	if (!r)
		r = number_of("reason", filter->reason, sw_reason_name, &search->reason, error);
	if (!r)
		r = take_prefix(filter->to, search, error);
	search->user = take_text(filter->user, texts->user);
	search->exe = take_text(filter->exe, texts->exe);
	search->unit = take_text(filter->unit, texts->unit);
	search->port = filter->port > 0 ? (uint16_t)filter->port : 0;
	search->rule = filter->rule > 0 ? (int)filter->rule : 0;
	search->sessions = filter->sessions;
	return r;
}

static void set_text(json_t *request, const char *member, const char *text)
{
	if (text)
		json_object_set_new(request, member, json_string(text));
}

static void set_number(json_t *request, const char *member, long long number)
{
	if (number)
		json_object_set_new(request, member, json_integer(number));
}

static void set_time(json_t *request, const char *member, uint64_t ns)
{
	char time[SW_TIME_SIZE];

	if (!ns)
		return;
	sw_time_format(ns, time);
	json_object_set_new(request, member, json_string(time));
}

json_t *sw_filter_request(const struct sw_search *search)
{
	json_t *request = json_pack("{s:s}", "request", "events");
	struct sw_prefix prefix = {.bits = search->to_bits};
	char to[SW_PREFIX_TEXT];

	set_time(request, "since", search->since_ns);
	set_time(request, "until", search->until_ns);
	set_text(request, "user", search->user);
	set_text(request, "exe", search->exe);
	set_text(request, "unit", search->unit);
	set_number(request, "port", search->port);
	set_number(request, "rule", search->rule);
	if (search->has_to) {
		memcpy(prefix.addr, search->to, sizeof(prefix.addr));
		sw_prefix_print(&prefix, to);
		set_text(request, "to", to);
	}
	if (search->verdict >= 0)
		set_text(request, "verdict", sw_verdict_name((unsigned int)search->verdict));
	if (search->reason >= 0)
		set_text(request, "reason", sw_reason_name((unsigned int)search->reason));
	if (search->sessions)
		json_object_set_new(request, "sessions", json_true());
	return request;
}
