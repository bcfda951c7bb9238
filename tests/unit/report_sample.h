/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Two weeks on a web host, as records: what reports are tested with. */
#ifndef SW_TEST_REPORT_SAMPLE_H
#define SW_TEST_REPORT_SAMPLE_H

#include <arpa/inet.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "bpf/abi.h"
#include "daemon/audit/tally.h"
#include "daemon/policy/ast.h"
#include "daemon/proto.h"

#define SAMPLE_HOUR 3600000000000ull
#define SAMPLE_WEEK (168 * SAMPLE_HOUR)
#define SAMPLE_SINCE 1767312000000000000ull /* 2026-01-02T00:00:00Z */

/* A program that called itself this would be markup, a second line, or a colour. */
#define SAMPLE_HOSTILE "/tmp/<script>alert(1)</script>\"'&\\x0a\\x1b[31m"

static inline struct sw_record sample_record(uint64_t time_ns, unsigned int kind,
					     unsigned int verdict, unsigned int reason,
					     const char *dst, uint16_t port)
{
	struct sw_record record;

	sw_record_init(&record);
	record.time_ns = time_ns;
	record.kind = (uint8_t)kind;
	record.verdict = (uint8_t)verdict;
	record.reason = (uint8_t)reason;
	record.scope = SW_SCOPE_HOST;
	record.dst_port = port;
	sw_addr_parse(dst, record.dst);
	return record;
}

static inline void sample_caller(struct sw_record *record, const char *user, uint32_t uid,
				 const char *exe, const char *unit)
{
	record->uid = uid;
	record->text[SW_TEXT_USER] = user;
	record->text[SW_TEXT_EXE] = exe;
	record->text[SW_TEXT_UNIT] = unit;
	record->text[SW_TEXT_CGROUP] = "/";
}

static inline void sample_rule(struct sw_record *record, uint16_t rule, uint32_t line,
			       const char *text)
{
	record->rule = rule;
	record->line = line;
	record->text[SW_TEXT_RULE] = text;
}

static inline void sample_add(struct sw_tally *tally, const struct sw_record *record)
{
	assert_int_equal(sw_tally_add(tally, record), 0);
}

static inline void sample_hour(struct sw_tally *tally, uint64_t time, unsigned int hour, bool now)
{
	static const char *const peers[] = {"203.0.113.5", "203.0.113.77", "2001:db8:25::1",
					    "198.51.100.9", "203.0.113.99"};
	unsigned int day = hour % 24, busy = day > 7 && day < 20 ? 6 : 2;
	struct sw_record record;

	for (unsigned int i = 0; i < busy * (now && hour > 100 && hour < 118 ? 4 : 1); i++) {
		record = sample_record(time + i, SW_EVENT_CONNECT, SW_VERDICT_REJECT,
				       SW_REASON_NOT_PERMITTED, peers[(hour + i) % 5], 25);
		sample_caller(&record, "www-data", 33, "/usr/sbin/php-fpm8.2",
			      "php8.2-fpm.service");
		sample_rule(&record, 4, 14,
			    "reject \"Port 25 is closed here. Submit to port 587 with TLS.\"");
		record.suppressed = i == 3 ? 2 : 0;
		sample_add(tally, &record);
	}
	if (now && hour % 5 == 0) {
		record = sample_record(time + 9, SW_EVENT_GATE, SW_VERDICT_AUDIT,
				       SW_REASON_CLEARTEXT_COMMAND, "198.51.100.25", 587);
		sample_caller(&record, "backup", 34, "/usr/lib/python3/bin/nightly-mail",
			      "nightly.service");
		sample_rule(&record, 7, 22, "require tls 1.2");
		record.verb = SW_VERB_AUTH;
		record.verb_length = 4;
		record.mechanism = SW_MECHANISM_PLAIN;
		sample_add(tally, &record);
	}
	for (unsigned int i = 0; i < 40 * busy; i++) {
		record = sample_record(time + 100 + i, SW_EVENT_SESSION, SW_VERDICT_ALLOW,
				       SW_REASON_NONE, peers[i % 5], 587);
		record.scope = i % 8 == 7 ? SW_SCOPE_SERVE : SW_SCOPE_HOST;
		record.tls = i % 16 == 5 ? SW_TLS_NONE : i % 3 ? SW_TLS_IMPLICIT : SW_TLS_STARTTLS;
		record.tls_version = i % 4 ? 0x0304 : 0x0303;
		record.sent = 5000;
		record.received = 700;
		sample_add(tally, &record);
	}
}

static inline void sample_rare(struct sw_tally *tally, uint64_t since)
{
	struct sw_record record =
		sample_record(since + 50 * SAMPLE_HOUR, SW_EVENT_CONNECT, SW_VERDICT_DROP,
			      SW_REASON_NOT_PERMITTED, "203.0.113.5", 25);

	sample_caller(&record, "", 1003, SAMPLE_HOSTILE, "");
	sample_rule(&record, 4, 14,
		    "reject \"Port 25 is closed here. Submit to port 587 with TLS.\"");
	record.suppressed = 41;
	sample_add(tally, &record);
	record = sample_record(since + 60 * SAMPLE_HOUR, SW_EVENT_SERVE, SW_VERDICT_RESET,
			       SW_REASON_STARTTLS_STRIPPED, "192.0.2.1", 587);
	record.scope = SW_SCOPE_SERVE;
	sw_addr_parse("2001:db8:feed:beef:1234:5678:9abc:def0", record.src);
	sample_caller(&record, "postfix", 108, "/usr/lib/postfix/sbin/smtpd", "postfix@-.service");
	record.verb = SW_VERB_MAIL;
	record.verb_length = 1;
	sample_add(tally, &record);
	record = sample_record(since + 61 * SAMPLE_HOUR, SW_EVENT_EDGE, SW_VERDICT_RESET,
			       SW_REASON_NOT_PERMITTED, "203.0.113.5", 25);
	record.scope = SW_SCOPE_EDGE;
	sw_addr_parse("192.0.2.130", record.src);
	record.suppressed = 300;
	sample_add(tally, &record);
	record = sample_record(since + 62 * SAMPLE_HOUR, SW_EVENT_ELSEWHERE, SW_VERDICT_AUDIT,
			       SW_REASON_SMTP_ELSEWHERE, "203.0.113.8", 2526);
	sample_caller(&record, "www-data", 33, "/usr/sbin/php-fpm8.2", "php8.2-fpm.service");
	sample_add(tally, &record);
}

/* Free both with sw_tally_free(). */
static inline void sample_tallies(struct sw_tally *now, struct sw_tally *before)
{
	uint64_t earlier = SAMPLE_SINCE - SAMPLE_WEEK;

	assert_int_equal(sw_tally_init(now, SAMPLE_SINCE, SAMPLE_SINCE + SAMPLE_WEEK,
				       sw_tally_step(SAMPLE_WEEK)),
			 0);
	assert_int_equal(sw_tally_init(before, earlier, SAMPLE_SINCE, 0), 0);
	for (unsigned int hour = 0; hour < 168; hour++) {
		sample_hour(now, SAMPLE_SINCE + hour * SAMPLE_HOUR, hour, true);
		sample_hour(before, earlier + hour * SAMPLE_HOUR, hour, false);
	}
	sample_rare(now, SAMPLE_SINCE);
}

#endif
