/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What is kept of connections, within bounds, and how a connection is shown. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

#include "daemon/base.h"
#include "daemon/flows.h"
#include "daemon/policy/policy.h"
#include "tests/unit/expect_json.h"

#define SECOND 1000000000ull
#define BOOT (1700000000ull * SECOND)

static void test_table(void **state)
{
	struct sw_flows *flows = sw_flows_new();
	struct sw_facts *facts;

	(void)state;
	assert_non_null(flows);
	assert_null(sw_flows_find(flows, 7));
	facts = sw_flows_make(flows, 7);
	assert_non_null(facts);
	assert_int_equal(facts->cookie, 7);
	facts->has_client = true;
	assert_ptr_equal(sw_flows_find(flows, 7), facts);
	/* the same again, as it is */
	assert_ptr_equal(sw_flows_make(flows, 7), facts);
	assert_true(facts->has_client);
	sw_flows_free(flows);
}

/* The table holds 8192; whoever is new is there, whoever goes is forgotten whole. */
static void test_table_bounds(void **state)
{
	struct sw_flows *flows = sw_flows_new();

	(void)state;
	assert_non_null(flows);
	for (uint64_t cookie = 1; cookie <= 20000; cookie++) {
		struct sw_facts *facts = sw_flows_make(flows, cookie);

		assert_non_null(facts);
		assert_false(facts->has_client);
		assert_int_equal(facts->reason, 0);
		facts->has_client = true;
		facts->reason = SW_REASON_NOT_TLS;
	}
	for (uint64_t cookie = 1; cookie <= 20000; cookie++) {
		const struct sw_facts *facts = sw_flows_find(flows, cookie);

		if (cookie <= 20000 - 8192)
			assert_null(facts);
		else
			assert_int_equal(facts->cookie, cookie);
	}
	sw_flows_free(flows);
}

static struct sw_flow sample(void)
{
	struct sw_flow flow = {
		.opened_ns = 10 * SECOND,
		.changed_ns = 11 * SECOND,
		.generation = 4,
		.rule = 2,
		.src_port = 40000,
		.dst_port = 587,
		.asked_port = 587,
		.src = {[10] = 0xff, 0xff, 192, 0, 2, 1},
		.dst = {[10] = 0xff, 0xff, 203, 0, 113, 5},
		.asked = {[10] = 0xff, 0xff, 203, 0, 113, 5},
		.state = SW_FLOW_TLS,
		.tls = SW_TLS_STARTTLS,
		.family = 4,
		.tls_version = 0x0304,
		.cipher = 0x1301,
		.caller = {.pid = 77,
			   .uid = 33,
			   .gid = 33,
			   .comm = "php8.2",
			   .exe = "/usr/bin/php8.2",
			   .cgroup = "/system.slice/php8.2-fpm.service"},
	};

	return flow;
}

static const struct sw_rule_info rule = {.line = 12, .rule = "require tls"};
static const struct sw_traffic traffic = {.cookie = 7, .sent = 4321, .received = 1234};

static const struct sw_facts facts = {
	.cookie = 7,
	.has_client = true,
	.client = {.sni = "mail.example.net",
		   .alpn = "smtp",
		   .ja4 = "t13d1516h2_8daaf6152771_e5627efa2ab1",
		   .versions = {0x0304, 0x0303},
		   .n_versions = 2},
};

static struct sw_flow_about about_sample(void)
{
	return (struct sw_flow_about){
		.boot_ns = BOOT,
		.now_ns = 75 * SECOND,
		.facts = &facts,
		.rule = &rule,
		.user = "www-data",
		.group = "www-data",
		.cipher = "TLS_AES_128_GCM_SHA256",
		.traffic = &traffic,
	};
}

static void test_live(void **state)
{
	const struct sw_flow_about about = about_sample();
	struct sw_flow flow = sample();
	json_auto_t *object = sw_flow_json(&flow, &about);

	(void)state;
	assert_non_null(object);
	expect_number(object, "pid", 77);
	expect_text(object, "exe", "/usr/bin/php8.2");
	expect_text(object, "comm", "php8.2");
	expect_number(object, "uid", 33);
	expect_text(object, "user", "www-data");
	expect_number(object, "gid", 33);
	expect_text(object, "unit", "php8.2-fpm.service");
	expect_text(object, "cgroup", "/system.slice/php8.2-fpm.service");
	expect_text(object, "src", "192.0.2.1");
	expect_number(object, "src_port", 40000);
	expect_text(object, "dst", "203.0.113.5");
	expect_number(object, "dst_port", 587);
	expect_number(object, "port", 587);
	expect_text(object, "redirect", NULL);
	expect_number(object, "rule", 3);
	expect_number(object, "line", 12);
	expect_text(object, "state", "tls");
	expect_text(object, "state_words", "TLS 1.3, mail.example.net");
	expect_text(object, "reason", "none");
	expect_text(object, "tls", "starttls");
	expect_text(object, "tls_version", "0x0304");
	expect_text(object, "cipher", "TLS_AES_128_GCM_SHA256");
	expect_text(object, "sni", "mail.example.net");
	expect_text(object, "alpn", "smtp");
	expect_text(object, "ja4", "t13d1516h2_8daaf6152771_e5627efa2ab1");
	assert_int_equal(json_array_size(json_object_get(object, "versions_offered")), 2);
	expect_text(object, "certificate", NULL);
	expect_number(object, "sent", 4321);
	expect_number(object, "received", 1234);
	expect_text(object, "opened", "2023-11-14T22:13:30.000000Z");
	expect_text(object, "ended", NULL);
	expect_number(object, "age_seconds", 65);
	assert_true(json_is_true(json_object_get(object, "live")));
	assert_null(json_object_get(object, "cookie"));
}

static void test_ended(void **state)
{
	struct sw_flow_about about = about_sample();
	struct sw_flow flow = sample();
	json_auto_t *object = NULL;

	(void)state;
	flow.ended_ns = 20 * SECOND;
	flow.sent = 5;
	flow.received = 6;
	object = sw_flow_json(&flow, &about);
	assert_true(json_is_false(json_object_get(object, "live")));
	expect_number(object, "sent", 5);
	expect_number(object, "received", 6);
	expect_text(object, "ended", "2023-11-14T22:13:40.000000Z");
	expect_number(object, "age_seconds", 65);
}

/* Not here and without an end: nobody says that it lives, or what it has sent. */
static void test_unknown(void **state)
{
	struct sw_flow_about about = {.boot_ns = BOOT, .now_ns = 75 * SECOND};
	struct sw_flow flow = sample();
	json_auto_t *object = NULL;

	(void)state;
	flow.tls_version = flow.cipher = 0;
	flow.src_port = 0;
	flow.state = SW_FLOW_CLEAR;
	flow.caller = (struct sw_caller){.uid = ~0u, .gid = ~0u};
	object = sw_flow_json(&flow, &about);
	for (size_t i = 0; i < 14; i++) {
		static const char *const members[] = {"live", "sent", "received", "line",  "sni",
						      "alpn", "ja4",  "uid",      "gid",   "user",
						      "exe",  "unit", "src",      "cipher"};

		assert_true(json_is_null(json_object_get(object, members[i])));
	}
	expect_text(object, "state_words", sw_flow_words(SW_FLOW_CLEAR));
}

static void test_redirect(void **state)
{
	struct sw_flow_about about = about_sample();
	struct sw_flow flow = sample();
	json_auto_t *object = NULL;

	(void)state;
	memset(flow.dst, 0, 15);
	flow.dst[15] = 1;
	flow.dst_port = 2525;
	object = sw_flow_json(&flow, &about);
	expect_text(object, "dst", "203.0.113.5");
	expect_number(object, "port", 587);
	expect_text(object, "redirect", "[::1]:2525");
}

/* What the gate or the daemon found goes before everything else. */
static void test_condemned(void **state)
{
	struct sw_facts pretender = {.cookie = 7, .reason = SW_REASON_NOT_TLS};
	struct sw_flow_about about = about_sample();
	struct sw_flow flow = sample();
	json_auto_t *by_gate = NULL, *by_daemon = NULL, *recorded = NULL;

	(void)state;
	flow.state = SW_FLOW_CONDEMNED;
	flow.reason = SW_REASON_CLEARTEXT_COMMAND;
	flow.tls_version = 0;
	by_gate = sw_flow_json(&flow, &about);
	expect_text(by_gate, "state", "condemned");
	expect_text(by_gate, "state_words", "ended by the gate: cleartext_command");
	expect_text(by_gate, "reason", "cleartext_command");
	flow.state = SW_FLOW_HELLO_SENT;
	flow.reason = SW_REASON_NONE;
	about.facts = &pretender;
	by_daemon = sw_flow_json(&flow, &about);
	expect_text(by_daemon, "state_words", "ended by the gate: not_tls");
	expect_text(by_daemon, "reason", "not_tls");
	expect_text(by_daemon, "sni", NULL);
	pretender.recorded = true;
	recorded = sw_flow_json(&flow, &about);
	expect_text(recorded, "state_words", "recorded: not as TLS is required: not_tls");
}

static void test_certificate(void **state)
{
	static const struct sw_facts with = {
		.cookie = 7,
		.has_server = true,
		.server = {.version = 0x0303,
			   .cipher = 0xc02f,
			   .cipher_name = "TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256",
			   .has_certificate = true,
			   .certificate = {.subject = "CN=mail.example.net",
					   .names = {"mail.example.net", "192.0.2.1"},
					   .n_names = 2,
					   .not_before = 1700000000,
					   .not_after = -5,
					   .asked = true}},
	};
	struct sw_flow_about about = about_sample();
	struct sw_flow flow = sample();
	json_auto_t *object = NULL;
	const json_t *certificate;

	(void)state;
	about.facts = &with;
	/* The kernel has not read the ServerHello: the sample's counts. */
	flow.tls_version = flow.cipher = 0;
	object = sw_flow_json(&flow, &about);
	expect_text(object, "tls_version", "0x0303");
	expect_text(object, "cipher", "TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256");
	certificate = json_object_get(object, "certificate");
	expect_text(certificate, "subject", "CN=mail.example.net");
	assert_int_equal(json_array_size(json_object_get(certificate, "names")), 2);
	expect_text(certificate, "not_before", "2023-11-14T22:13:20.000000Z");
	expect_text(certificate, "not_after", NULL);
	assert_true(json_is_false(json_object_get(certificate, "matches")));
}

/* What a caller chose cannot forge a line. */
static void test_hostile(void **state)
{
	struct sw_flow_about about = about_sample();
	struct sw_flow flow = sample();
	json_auto_t *object = NULL;

	(void)state;
	strcpy(flow.caller.exe, "/tmp/a\n\x1b[2J\xff");
	strcpy(flow.caller.cgroup, "/x\ty.service");
	object = sw_flow_json(&flow, &about);
	expect_text(object, "exe", "/tmp/a\\x0a\\x1b[2J\\xff");
	expect_text(object, "unit", "x\\x09y.service");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_table),     cmocka_unit_test(test_table_bounds),
		cmocka_unit_test(test_live),      cmocka_unit_test(test_ended),
		cmocka_unit_test(test_unknown),   cmocka_unit_test(test_redirect),
		cmocka_unit_test(test_condemned), cmocka_unit_test(test_certificate),
		cmocka_unit_test(test_hostile),
	};

	return cmocka_run_group_tests_name("flows", tests, NULL, NULL);
}
