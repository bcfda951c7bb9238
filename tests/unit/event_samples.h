/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Events as the kernel could have told them, and what becomes of them. Included behind cmocka.h. */
#ifndef EVENT_SAMPLES_H
#define EVENT_SAMPLES_H

#include "daemon/base.h"
#include "daemon/events.h"
#include "daemon/record_json.h"
#include "tests/unit/expect_json.h"

static const struct sw_rule_info rule = {
	.line = 14,
	.rule = "reject \"Port 25 is closed here.\"",
	.text = "Port 25 is closed here.",
};

static const struct sw_event_about about = {
	.boot_ns = 1700000000000000000ull,
	.rule = &rule,
	.user = "www-data",
	.group = "www-data",
};

static inline struct sw_event sample(void)
{
	struct sw_event event = {
		.version = SW_ABI_VERSION,
		.size = sizeof(event),
		.kind = SW_EVENT_CONNECT,
		.verdict = SW_VERDICT_REJECT,
		.reason = SW_REASON_NOT_PERMITTED,
		.family = 4,
		.time_ns = 5123456789,
		.generation = 3,
		.rule = 1,
		.dst_port = 25,
		.dst = {[10] = 0xff, 0xff, 203, 0, 113, 5},
		.caller = {.pid = 77,
			   .uid = 33,
			   .gid = 33,
			   .comm = "php8.2",
			   .exe = "/usr/bin/php8.2",
			   .cgroup = "/system.slice/php8.2-fpm.service"},
	};

	return event;
}

static inline json_t *object_of(const struct sw_event *event, const struct sw_event_about *with)
{
	struct sw_event_texts texts;
	struct sw_record record;

	sw_event_record(event, with, &texts, &record);
	return sw_record_json(&record);
}

static inline void line_of(const struct sw_event *event, const struct sw_event_about *with,
			   FILE *to)
{
	struct sw_event_texts texts;
	struct sw_record record;

	sw_event_record(event, with, &texts, &record);
	sw_record_line(&record, to);
}

static const struct sw_rule_info tls_rule = {.line = 12, .rule = "require tls"};
static const struct sw_event_about gate_about = {
	.boot_ns = 1700000000000000000ull,
	.rule = &tls_rule,
	.user = "www-data",
	.sni = "mail.example.net",
};

static inline struct sw_event gate_sample(uint8_t reason)
{
	struct sw_event event = sample();

	event.kind = SW_EVENT_GATE;
	event.verdict = SW_VERDICT_RESET;
	event.reason = reason;
	event.dst_port = 587;
	event.src_port = 40000;
	return event;
}

static const struct sw_rule_info edge_rule = {
	.line = 9, .scope = 1, .rule = "reject \"Port 25 is closed here.\""};
static const struct sw_event_about edge_about = {
	.boot_ns = 1700000000000000000ull, .rule = &edge_rule, .interface = "tap3"};

static inline struct sw_event edge_sample(void)
{
	struct sw_event event = sample();

	event.kind = SW_EVENT_EDGE;
	event.caller = (struct sw_caller){};
	event.src_port = 40000;
	memcpy(event.src, (uint8_t[16]){[10] = 0xff, 0xff, 192, 0, 2, 7}, 16);
	event.interface = 7;
	memcpy(event.mac, (uint8_t[6]){0x52, 0x54, 0, 0x12, 0x34, 0x56}, 6);
	return event;
}

static inline void expect_line(const struct sw_event *event, const struct sw_event_about *with,
			       const char *expected)
{
	char line[4096] = "";
	FILE *to = fmemopen(line, sizeof(line), "w");

	assert_non_null(to);
	line_of(event, with, to);
	fclose(to);
	assert_string_equal(line, expected);
}

#endif
