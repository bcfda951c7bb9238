/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What a policy means for an interface, and how interfaces, flows and sources of the edge are shown. */
#include <net/if_arp.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

#include "daemon/base.h"
#include "daemon/edge_show.h"
#include "tests/unit/expect_json.h"

#define SECOND 1000000000ull
#define BOOT (1700000000ull * SECOND)

/* ---- interfaces of a policy ---- */

static void add_pattern(struct sw_policy *policy, const char *text, uint64_t rows,
			uint32_t keep_seconds, bool enforced)
{
	struct sw_pattern *pattern = &policy->patterns[policy->n_patterns++];

	memcpy(pattern->text, text, strlen(text) + 1);
	pattern->rows.w[0] = rows;
	pattern->keep_seconds = keep_seconds;
	pattern->enforced = enforced;
}

static struct sw_link_info interface(const char *name, uint16_t type)
{
	struct sw_link_info link = {.index = 7, .type = type};

	memcpy(link.name, name, strlen(name) + 1);
	return link;
}

static void test_match(void **state)
{
	sw_autofree struct sw_policy *policy = calloc(1, sizeof(*policy));
	struct sw_link_info tap = interface("tap3", ARPHRD_ETHER);
	struct sw_link_info lan = interface("lan0", ARPHRD_ETHER);
	struct sw_link_info wan = interface("wan0", ARPHRD_ETHER);
	struct sw_vec rows;
	uint32_t seconds;
	bool enforced;

	(void)state;
	assert_non_null(policy);
	assert_false(sw_edges_match(policy, &tap, &rows, &enforced, &seconds));
	add_pattern(policy, "tap*", 0x3, 600, true);
	add_pattern(policy, "lan0", 0x4, 60, false);
	assert_true(sw_edges_match(policy, &tap, &rows, &enforced, &seconds));
	assert_int_equal(rows.w[0], 0x3);
	assert_true(enforced);
	assert_int_equal(seconds, 600);
	assert_true(sw_edges_match(policy, &lan, &rows, &enforced, &seconds));
	assert_int_equal(rows.w[0], 0x4);
	assert_false(enforced);
	assert_false(sw_edges_match(policy, &wan, &rows, &enforced, &seconds));
	assert_int_equal(rows.w[0], 0);
	assert_false(enforced);
}

/* Several blocks: all their rows, and what is strictest. */
static void test_match_several(void **state)
{
	sw_autofree struct sw_policy *policy = calloc(1, sizeof(*policy));
	struct sw_link_info tap = interface("tap3", ARPHRD_ETHER);
	struct sw_vec rows;
	uint32_t seconds;
	bool enforced;

	(void)state;
	assert_non_null(policy);
	add_pattern(policy, "tap*", 0x1, 600, false);
	add_pattern(policy, "tap3", 0x8, 0, true);
	add_pattern(policy, "*", 0x10, 900, false);
	assert_true(sw_edges_match(policy, &tap, &rows, &enforced, &seconds));
	assert_int_equal(rows.w[0], 0x19);
	assert_true(enforced);
	assert_int_equal(seconds, 0);
}

/* "*" is for what packets are forwarded from. */
static void test_match_loopback(void **state)
{
	sw_autofree struct sw_policy *policy = calloc(1, sizeof(*policy));
	struct sw_link_info lo = interface("lo", ARPHRD_LOOPBACK);
	struct sw_vec rows;
	uint32_t seconds;
	bool enforced;

	(void)state;
	assert_non_null(policy);
	add_pattern(policy, "*", 0x1, 600, true);
	add_pattern(policy, "l*", 0x1, 600, true);
	assert_false(sw_edges_match(policy, &lo, &rows, &enforced, &seconds));
	add_pattern(policy, "lo", 0x2, 600, true);
	assert_true(sw_edges_match(policy, &lo, &rows, &enforced, &seconds));
	assert_int_equal(rows.w[0], 0x2);
}

/* ---- objects ---- */

static const struct sw_rule_info rule = {.line = 9, .scope = 1, .rule = "require tls"};

static struct sw_edge_about about_sample(void)
{
	return (struct sw_edge_about){
		.boot_ns = BOOT,
		.now_ns = 100 * SECOND,
		.interface = "tap3",
		.rule = &rule,
		.generation = 65540,
		.cipher = "TLS_AES_128_GCM_SHA256",
	};
}

static struct sw_edge_flow flow_sample(void)
{
	return (struct sw_edge_flow){
		.state = SW_EDGE_TLS,
		.tls = SW_TLS_STARTTLS,
		.src = {[10] = 0xff, 0xff, 192, 0, 2, 7},
		.dst = {[10] = 0xff, 0xff, 198, 51, 100, 9},
		.src_port = 40000,
		.dst_port = 587,
		.interface = 7,
		.opened_s = 40,
		.tls_version = 0x0304,
		.cipher = 0x1301,
		.rule = 1,
		.generation = 4,
	};
}

static void test_flow(void **state)
{
	struct sw_edge_about about = about_sample();
	struct sw_edge_flow flow = flow_sample();
	json_auto_t *object = sw_edge_flow_json(&flow, &about);

	(void)state;
	assert_non_null(object);
	expect_text(object, "scope", "edge");
	expect_text(object, "interface", "tap3");
	expect_text(object, "src", "192.0.2.7");
	expect_number(object, "src_port", 40000);
	expect_text(object, "dst", "198.51.100.9");
	expect_number(object, "port", 587);
	expect_number(object, "rule", 2);
	expect_number(object, "line", 9);
	expect_number(object, "generation", 65540);
	expect_text(object, "state", "tls");
	expect_text(object, "state_words", "TLS 1.3");
	expect_text(object, "reason", "none");
	expect_text(object, "tls", "starttls");
	expect_text(object, "tls_version", "0x0304");
	expect_text(object, "cipher", "TLS_AES_128_GCM_SHA256");
	expect_text(object, "opened", "2023-11-14T22:14:00.000000Z");
	expect_number(object, "age_seconds", 60);
	assert_true(json_is_true(json_object_get(object, "live")));
	expect_text(object, "pid", NULL);
	expect_text(object, "exe", NULL);
	expect_text(object, "sent", NULL);
	expect_text(object, "sni", NULL);
	expect_text(object, "certificate", NULL);
}

/* Sequence numbers lie where version and cipher do in TLS: they are not shown as such. */
static void test_flow_before_tls(void **state)
{
	static const struct {
		uint8_t state;
		const char *name;
	} cases[] = {
		{SW_EDGE_SYN, "opening"},       {SW_EDGE_OPEN, "start"},
		{SW_EDGE_GATED, "clear"},       {SW_EDGE_CONDEMNED, "condemned"},
		{SW_EDGE_RECORDED, "recorded"}, {SW_EDGE_UNREAD, "unread"},
		{SW_EDGE_STATE_MAX, "?"},
	};
	struct sw_edge_about about = about_sample();

	(void)state;
	about.interface = NULL;
	about.rule = NULL;
	about.generation = 0;
	for (size_t i = 0; i < sw_count(cases); i++) {
		struct sw_edge_flow flow = flow_sample();
		json_auto_t *object = NULL;

		flow.state = cases[i].state;
		flow.ended = 1;
		flow.server_start = 0x03030304;
		object = sw_edge_flow_json(&flow, &about);
		expect_text(object, "state", cases[i].name);
		expect_text(object, "tls", "none");
		expect_text(object, "tls_version", NULL);
		expect_text(object, "cipher", NULL);
		expect_text(object, "interface", "7");
		expect_text(object, "line", NULL);
		expect_text(object, "generation", NULL);
		assert_true(json_is_false(json_object_get(object, "live")));
	}
}

static void test_source(void **state)
{
	struct sw_edge_source source = {
		.interface = 7,
		.addr = {[10] = 0xff, 0xff, 192, 0, 2, 7},
		.refused = 400000,
		.first_ns = 90 * SECOND,
		.last_ns = 100 * SECOND,
		.second = 100,
		.now = 17,
		.before = 99000,
	};
	struct sw_edge_about about = about_sample();
	json_auto_t *now = sw_edge_source_json(&source, &about), *later = NULL, *over = NULL;

	(void)state;
	expect_text(now, "source", "192.0.2.7");
	expect_text(now, "interface", "tap3");
	expect_number(now, "refused", 400000);
	expect_number(now, "per_second", 99000);
	expect_text(now, "first", "2023-11-14T22:14:50.000000Z");
	about.now_ns += SECOND;
	later = sw_edge_source_json(&source, &about);
	expect_number(later, "per_second", 17);
	about.now_ns += SECOND;
	memcpy(source.addr, (uint8_t[16]){0x20, 0x01, 0x0d, 0xb8}, 16);
	over = sw_edge_source_json(&source, &about);
	expect_number(over, "per_second", 0);
	expect_text(over, "source", "2001:db8::/64");
}

static void test_interface(void **state)
{
	struct sw_edges_interface item = {
		.link = interface("tap3", ARPHRD_ETHER),
		.entry.keep_until_ns = {0, 160 * SECOND},
		.attached = true,
		.hook.native = true,
	};
	struct sw_edge_about about = about_sample();
	json_auto_t *first = sw_edge_interface_json(&item, 0, &about);
	json_auto_t *second = sw_edge_interface_json(&item, 1, &about), *third = NULL;
	json_auto_t *open = NULL, *expired = NULL;

	(void)state;
	expect_text(first, "name", "tap3");
	expect_number(first, "index", 7);
	assert_true(json_is_true(json_object_get(first, "attached")));
	expect_text(first, "mode", "native");
	expect_text(first, "kept_until", NULL);
	expect_text(first, "problem", NULL);
	expect_text(second, "kept_until", "2023-11-14T22:16:00.000000Z");
	/* Where nothing is attached it is no question of time. */
	item.attached = false;
	open = sw_edge_interface_json(&item, 1, &about);
	expect_text(open, "kept_until", NULL);
	item.attached = true;
	about.now_ns = 160 * SECOND;
	expired = sw_edge_interface_json(&item, 1, &about);
	expect_text(expired, "kept_until", NULL);
	item.attached = false;
	snprintf(item.problem, sizeof(item.problem), "taken");
	third = sw_edge_interface_json(&item, 1, &about);
	expect_text(third, "mode", NULL);
	expect_text(third, "kept_until", NULL);
	expect_text(third, "problem", "taken");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_match),           cmocka_unit_test(test_match_several),
		cmocka_unit_test(test_match_loopback),  cmocka_unit_test(test_flow),
		cmocka_unit_test(test_flow_before_tls), cmocka_unit_test(test_source),
		cmocka_unit_test(test_interface),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
