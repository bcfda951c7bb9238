/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * make_store FILE UNTIL EVENTS SESSIONS - a store with so many events and sessions, spread over the two
 * weeks before UNTIL (seconds since 1970), the same for the same arguments: callers, destinations, reasons
 * and names as they come, among them one that is markup, a second line and a colour.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "bpf/vocabulary.h"
#include "daemon/audit/store.h"
#include "daemon/policy/ast.h"

#define SECOND 1000000000ull
#define SPAN (14 * 86400 * SECOND)
#define BATCH 20000
#define GAP 120

static const struct {
	const char *user;
	uint32_t uid;
	const char *exe, *unit;
} callers[] = {
	{"www-data", 33, "/usr/sbin/php-fpm8.2", "php8.2-fpm.service"},
	{"www-data", 33, "/usr/bin/perl", "apache2.service"},
	{"shop", 1001, "/usr/bin/php8.2", "user-1001.slice"},
	{"backup", 34, "/usr/lib/nightly/bin/nightly-mail", "nightly.service"},
	{"", 1003, "/tmp/<script>alert(1)</script>\"'&\\x0a\\x1b[31m", ""},
	{"postfix", 108, "/usr/lib/postfix/sbin/smtp", "postfix@-.service"},
};
#define N_CALLERS (sizeof(callers) / sizeof(callers[0]))

static const struct {
	uint8_t kind, verdict, reason, scope, verb, mechanism;
	uint16_t port;
	const char *rule;
} sorts[] = {
	{SW_EVENT_CONNECT, SW_VERDICT_REJECT, SW_REASON_NOT_PERMITTED, SW_SCOPE_HOST, 0, 0, 25,
	 "reject \"Port 25 is closed here.\""},
	{SW_EVENT_CONNECT, SW_VERDICT_REJECT, SW_REASON_NOT_PERMITTED, SW_SCOPE_HOST, 0, 0, 25,
	 "reject \"Port 25 is closed here.\""},
	{SW_EVENT_CONNECT, SW_VERDICT_AUDIT, SW_REASON_NOT_PERMITTED, SW_SCOPE_HOST, 0, 0, 2525,
	 "reject"},
	{SW_EVENT_CONNECT, SW_VERDICT_REDIRECT, SW_REASON_NONE, SW_SCOPE_HOST, 0, 0, 25,
	 "redirect 127.0.0.1:25 from user backup"},
	{SW_EVENT_GATE, SW_VERDICT_RESET, SW_REASON_CLEARTEXT_COMMAND, SW_SCOPE_HOST, SW_VERB_AUTH,
	 SW_MECHANISM_PLAIN, 587, "require tls 1.2"},
	{SW_EVENT_SERVE, SW_VERDICT_AUDIT, SW_REASON_STARTTLS_STRIPPED, SW_SCOPE_SERVE,
	 SW_VERB_MAIL, 0, 25, "audit"},
	{SW_EVENT_EDGE, SW_VERDICT_RESET, SW_REASON_NOT_PERMITTED, SW_SCOPE_EDGE, 0, 0, 25,
	 "reject"},
	{SW_EVENT_ELSEWHERE, SW_VERDICT_AUDIT, SW_REASON_SMTP_ELSEWHERE, SW_SCOPE_HOST, 0, 0, 2526,
	 ""},
};
#define N_SORTS (sizeof(sorts) / sizeof(sorts[0]))

static uint64_t state = 88172645463325252u;

static uint64_t below(uint64_t n)
{
	state ^= state << 13;
	state ^= state >> 7;
	state ^= state << 17;
	return state % n;
}

static void set_address(uint8_t to[16], uint32_t number)
{
	static const uint8_t mapped[12] = {[10] = 0xff, [11] = 0xff};

	memcpy(to, mapped, sizeof(mapped));
	to[12] = 203;
	to[13] = (uint8_t)(number >> 16);
	to[14] = (uint8_t)(number >> 8);
	to[15] = (uint8_t)number;
}

static void set_caller(struct sw_record *record)
{
	/* Few send much. */
	size_t i = below(4) ? 0 : below(N_CALLERS);

	record->uid = record->gid = callers[i].uid;
	record->text[SW_TEXT_USER] = callers[i].user;
	record->text[SW_TEXT_EXE] = callers[i].exe;
	record->text[SW_TEXT_UNIT] = callers[i].unit;
	record->text[SW_TEXT_CGROUP] = "/";
	record->pid = (uint32_t)(1000 + below(30000));
}

static void make_event(struct sw_record *record)
{
	size_t i = below(N_SORTS);

	record->kind = sorts[i].kind;
	record->verdict = sorts[i].verdict;
	record->reason = sorts[i].reason;
	record->scope = sorts[i].scope;
	record->dst_port = sorts[i].port;
	record->rule = (uint16_t)(*sorts[i].rule ? i + 1 : 0);
	record->line = (uint32_t)(*sorts[i].rule ? 10 + i : 0);
	record->text[SW_TEXT_RULE] = sorts[i].rule;
	record->verb = sorts[i].verb;
	record->verb_length = record->verb ? 4 : 0;
	record->mechanism = sorts[i].mechanism;
	record->suppressed = below(20) ? 0 : (uint32_t)below(50);
	set_address(record->dst, (uint32_t)below(below(5) ? 20 : 100000));
	if (record->scope != SW_SCOPE_EDGE)
		set_caller(record);
	if (record->scope != SW_SCOPE_HOST)
		set_address(record->src, 0x640000 + (uint32_t)below(300));
}

static void make_session(struct sw_record *record)
{
	record->kind = SW_EVENT_SESSION;
	record->scope = (uint8_t)(below(4) ? SW_SCOPE_HOST : SW_SCOPE_SERVE);
	record->dst_port = below(3) ? 25 : 587;
	record->tls = (uint8_t)(below(10) ? SW_TLS_STARTTLS : below(SW_TLS_MAX));
	record->tls_version = record->tls ? (uint16_t)(0x0304 - !below(4) - !below(50)) : 0;
	record->sent = 500 + below(50000);
	record->received = 200 + below(900);
	record->opened_ns = record->time_ns - below(30) * SECOND;
	set_address(record->dst, (uint32_t)below(500));
	set_address(record->src, 0x640000 + (uint32_t)below(300));
	set_caller(record);
}

static int fill(struct sw_store *store, uint64_t until, uint64_t events, uint64_t sessions,
		char error[static SW_STORE_ERROR_SIZE])
{
	uint64_t all = events + sessions, step = all ? SPAN / all : 1;
	int r = 0;

	for (uint64_t id = 1; !r && id <= all; id++) {
		struct sw_record record;

		if (id % BATCH == 1)
			r = sw_store_begin(store, error);
		sw_record_init(&record);
		record.id = id;
		record.family = 4;
		record.generation = 1;
		record.time_ns = until - (all - id + 1) * step;
		if (below(all) < events)
			make_event(&record);
		else
			make_session(&record);
		if (!r)
			r = sw_store_add(store, &record, error);
		if (!r && id == all)
			r = sw_store_gap(store, SW_GAP_QUEUE, id, GAP, record.time_ns, error);
		if (!r && (id % BATCH == 0 || id == all))
			r = sw_store_commit(store, error);
	}
	return r;
}

int main(int argc, char **argv)
{
	const struct sw_store_limits limits = {0};
	char error[SW_STORE_ERROR_SIZE], *note = NULL;
	struct sw_store *store;
	int r;

	if (argc != 5) {
		fputs("usage: make_store FILE UNTIL EVENTS SESSIONS\n", stderr);
		return 2;
	}
	r = sw_store_open(argv[1], &limits, (gid_t)-1, &store, &note, error);
	if (!r) {
		r = fill(store, strtoull(argv[2], NULL, 10) * SECOND, strtoull(argv[3], NULL, 10),
			 strtoull(argv[4], NULL, 10), error);
		sw_store_close(store);
	}
	if (r)
		fprintf(stderr, "make_store: %s\n", error);
	free(note);
	return r ? 1 : 0;
}
