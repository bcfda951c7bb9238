/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What policies become: rows, rules, tables, classes. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

#include "bpf/abi.h"
#include "bpf/edge_match.h"
#include "bpf/match.h"
#include "daemon/base.h"
#include "tests/unit/policy_image.h"

static const struct sw_vec *rows_of_id(const struct sw_image *image, unsigned int dim,
				       unsigned int id)
{
	for (size_t i = 0; i < image->n_ids; i++)
		if (image->ids[i].dim == dim && image->ids[i].id == id)
			return &image->id_rows[i];
	return NULL;
}

static const struct sw_vec *rows_of_name(const struct sw_image *image, const char *name)
{
	for (size_t i = 0; i < image->n_names; i++)
		if (strcmp(image->names[i].name, name) == 0)
			return &image->name_rows[i];
	return NULL;
}

/* Rows as "0 2 5", in a static buffer; "-" for NULL. */
static const char *rows_text(const struct sw_vec *rows)
{
	static char text[4096];
	size_t at = 0;

	if (!rows)
		return "-";
	text[0] = '\0';
	for (unsigned int row = 0; row < SW_ROWS_MAX; row++)
		if (sw_vec_has(rows, row))
			at += (size_t)snprintf(text + at, sizeof(text) - at, "%s%u", at ? " " : "",
					       row);
	return text;
}

#define assert_rows(rows, text) assert_string_equal(rows_text(rows), text)

/* ---- rows ---- */

static void test_rows_follow_the_rules(void **state)
{
	autoimage struct sw_image *image =
		compiled("mode enforce\n"
			 "who mta = exe \"/usr/sbin/exim4\" user Debian-exim\n"
			 "host {\n"
			 "port 25, 2525 {\n"
			 "allow to local\n"
			 "allow from mta\n"
			 "reject\n"
			 "}\n"
			 "port 587 {\n"
			 "allow from user root\n"
			 "drop\n"
			 "}\n"
			 "}\n",
			 NULL);
	const struct sw_policy *policy = &image->policy;

	(void)state;
	assert_int_equal(policy->n_rules, 5);
	assert_int_equal(policy->n_rows, 5);
	assert_rows(rows_of_id(image, SW_DIM_PORT, 25), "0 1 2");
	assert_rows(rows_of_id(image, SW_DIM_PORT, 2525), "0 1 2");
	assert_rows(rows_of_id(image, SW_DIM_PORT, 587), "3 4");
	assert_rows(rows_of_id(image, SW_DIM_PORT, 465), "-");
	assert_rows(rows_of_id(image, SW_DIM_USER, 102), "1");
	assert_rows(rows_of_id(image, SW_DIM_USER, 0), "3");
	assert_rows(rows_of_name(image, "/usr/sbin/exim4"), "1");
	assert_rows(&policy->local, "0");
	assert_rows(&policy->any[SW_DIM_PORT], "");
	assert_rows(&policy->any[SW_DIM_USER], "0 2 4");
	assert_rows(&policy->any[SW_DIM_EXE], "0 2 3 4");
	assert_rows(&policy->any[SW_DIM_DST], "1 2 3 4");
	assert_rows(&policy->any[SW_DIM_GROUP], "0 1 2 3 4");
	for (unsigned int i = 0; i < 5; i++)
		assert_int_equal(policy->row_rule[i], i);
	for (unsigned int port = 0; port < 65536; port++)
		assert_int_equal(sw_guarded(policy, (__u16)port),
				 port == 25 || port == 587 || port == 2525);
	assert_int_equal(policy->generation, 0);
}

/* Alternatives that differ in one selector share a row. */
static void test_merging(void **state)
{
	static const struct {
		const char *from;
		unsigned int rows; /* of this rule */
	} cases[] = {
		{"user root, user mail, user 700", 1},
		{"user root, group mail", 2},
		{"exe \"/a\" user root, exe \"/b\" user root", 1},
		{"exe \"/a\" user root, exe \"/b\" user mail", 2},
		{"exe \"/a\" user root, exe \"/b\" user mail, exe \"/a\" user mail, "
		 "exe \"/b\" user root",
		 1},
		/* covered by a wider one */
		{"exe \"/a\" user root, user root", 1},
		{"exe \"/a\" user root, exe \"/a\"", 1},
		{"exe \"/a\" user root, user root, group mail unit \"x\"", 2},
		{"user root, exe \"/a\" group mail user root, exe \"/b\" unit \"y\" user root", 1},
		{"user root, user root", 1},
	};

	(void)state;
	for (size_t i = 0; i < sw_count(cases); i++) {
		sw_autofree char *rules = NULL;

		assert_true(asprintf(&rules, "allow from %s\nreject\n", cases[i].from) > 0);
		autoimage struct sw_image *image = compiled_rules("", rules);

		if (image->policy.n_rows != cases[i].rows + 1)
			print_error("from %s\n", cases[i].from);
		assert_int_equal(image->policy.n_rows, cases[i].rows + 1);
		assert_int_equal(image->policy.row_rule[cases[i].rows], 1);
	}
}

static void test_a_thousand_programs_share_a_row(void **state)
{
	sw_autofree char *rules = NULL;
	size_t length = 0;
	FILE *to = open_memstream(&rules, &length);

	(void)state;
	fputs("allow from user root", to);
	for (int i = 0; i < 4000; i++)
		fprintf(to, ", exe \"/opt/%d/send\" user %d", i, i % 7);
	fputs("\nreject\n", to);
	fclose(to);
	autoimage struct sw_image *image = compiled_rules("", rules);

	/* a row for root, whatever runs, and one for each of the six other users */
	assert_int_equal(image->policy.n_rows, 1 + 6 + 1);
	assert_true(image->n_names >= 3400);
}

static void test_an_empty_list_matches_nothing(void **state)
{
	autoimage struct sw_image *image =
		compiled_rules("net none = { file \"empty.list\" }\n",
			       "allow to none\nallow to none, local\nreject\n");

	(void)state;
	assert_int_equal(image->policy.n_rows, 2);
	assert_int_equal(image->policy.row_rule[0], 1);
	assert_rows(&image->policy.local, "0");
	assert_rows(&image->policy.any[SW_DIM_DST], "1");
	assert_int_equal(image->n_prefixes, 0);
}

static void test_scopes(void **state)
{
	autoimage struct sw_image *image = compiled("mode enforce\n"
						    "edge \"lan0\" { port 26 { reject } }\n"
						    "host { port 25 { reject } }\n"
						    "serve { port 27 { audit } }\n",
						    NULL);

	(void)state;
	assert_int_equal(image->policy.n_rules, 3);
	assert_int_equal(image->policy.n_rows, 3);
	for (uint16_t i = 0; i < 3; i++)
		assert_int_equal(image->policy.row_rule[i], i);
	for (uint16_t port = 25; port < 28; port++) {
		assert_int_equal(sw_guarded(&image->policy, port), port == 25);
		assert_int_equal(sw_edge_guarded(&image->policy, port), port == 26);
		assert_int_equal(sw_serve_guarded(&image->policy, port), port == 27);
	}
	assert_true(image->policy.serves);
	assert_rows(rows_of_id(image, SW_DIM_PORT, SW_SERVE_PORT_ID(27)), "2");
	assert_rows(rows_of_id(image, SW_DIM_PORT, 27), "-");
	assert_int_equal(image->info[0].scope, SW_SCOPE_EDGE);
	assert_int_equal(image->info[1].scope, SW_SCOPE_HOST);
	assert_int_equal(image->info[2].scope, SW_SCOPE_SERVE);
}

/* ---- rules ---- */

static void test_rules(void **state)
{
	autoimage struct sw_image *image = compiled("mode enforce\n"
						    "host {\n"
						    "port 25 {\n"
						    "redirect 127.0.0.1:26 from user root\n"
						    "redirect [::1]:27 from user mail\n"
						    "redirect 127.0.0.1:26, [::1]:27 from user 9\n"
						    "audit from user 10\n"
						    "reject \"No.\"\n"
						    "}\n"
						    "port 26 {\n"
						    "mode audit\n"
						    "drop\n"
						    "}\n"
						    "}\n",
						    NULL);
	static const __u8 ipv4[16] = {[10] = 0xff, 0xff, 127, 0, 0, 1}, ipv6[16] = {[15] = 1};
	const struct sw_rule *rules = image->policy.rules;

	(void)state;
	/* an IPv6 socket reaches an IPv4 address, written v4-mapped */
	assert_int_equal(rules[0].action, SW_ACTION_REDIRECT);
	assert_int_equal(rules[0].port4, 26);
	assert_int_equal(rules[0].port6, 26);
	assert_memory_equal(rules[0].target4, ipv4, 16);
	assert_memory_equal(rules[0].target6, ipv4, 16);
	/* the other way round nothing is reached */
	assert_int_equal(rules[1].port4, 0);
	assert_int_equal(rules[1].port6, 27);
	assert_memory_equal(rules[1].target6, ipv6, 16);
	assert_int_equal(rules[2].port4, 26);
	assert_int_equal(rules[2].port6, 27);
	assert_int_equal(rules[3].action, SW_ACTION_AUDIT);
	assert_int_equal(rules[4].action, SW_ACTION_REJECT);
	assert_int_equal(rules[4].flags, 0);
	assert_int_equal(rules[5].action, SW_ACTION_DROP);
	assert_int_equal(rules[5].flags, SW_RULE_AUDIT);
	assert_int_equal(image->info[4].line, 8);
	assert_string_equal(image->info[4].text, "No.");
	assert_string_equal(image->info[4].rule, "reject \"No.\"");
	assert_string_equal(image->info[0].rule, "redirect 127.0.0.1:26 from user root");
	assert_string_equal(image->info[0].text, "");
}

/* A rule that is too long is cut behind a whole character of UTF-8. */
/* The rule as the gate is told it; its rows are those of any other action. */
static void test_tls(void **state)
{
	autoimage struct sw_image *image = compiled("mode enforce\n"
						    "host {\n"
						    "port 465, 587 {\n"
						    "require tls to local\n"
						    "require tls implicit 1.0 from user root\n"
						    "require tls starttls 1.3 proxy from user 9\n"
						    "allow to 192.0.2.1\n"
						    "require tls proxy\n"
						    "}\n"
						    "port 2525 {\n"
						    "mode audit\n"
						    "require tls 1.2 proxy\n"
						    "}\n"
						    "}\n",
						    NULL);
	static const struct sw_rule expected[] = {
		{.action = SW_ACTION_TLS},
		{.action = SW_ACTION_TLS, .flags = SW_RULE_IMPLICIT, .tls_version = 0x0301},
		{.action = SW_ACTION_TLS,
		 .flags = SW_RULE_STARTTLS | SW_RULE_PROXY,
		 .tls_version = 0x0304},
		{.action = SW_ACTION_ALLOW},
		{.action = SW_ACTION_TLS, .flags = SW_RULE_PROXY},
		{.action = SW_ACTION_TLS,
		 .flags = SW_RULE_AUDIT | SW_RULE_PROXY,
		 .tls_version = 0x0303},
	};

	(void)state;
	assert_int_equal(image->policy.n_rules, sw_count(expected));
	for (size_t i = 0; i < sw_count(expected); i++)
		assert_memory_equal(&image->policy.rules[i], &expected[i], sizeof(expected[i]));
	assert_string_equal(image->info[2].rule, "require tls starttls 1.3 proxy from user 9");
	assert_rows(rows_of_id(image, SW_DIM_PORT, 587), "0 1 2 3 4");
	assert_rows(rows_of_id(image, SW_DIM_PORT, 2525), "5");
	assert_rows(rows_of_id(image, SW_DIM_USER, 9), "2");
	assert_rows(&image->policy.local, "0");
}

static void test_long_rules_are_cut(void **state)
{
	(void)state;
	for (size_t shift = 0; shift < 3; shift++) {
		sw_autofree char *rules = NULL;
		size_t length = 0;
		FILE *to = open_memstream(&rules, &length);

		fputs("reject \"", to);
		for (int i = 0; i < 85; i++)
			fputs("\xe2\x82\xac", to);
		fprintf(to, "\" from exe \"/%.*s", (int)shift, "xx");
		for (int i = 0; i < 80; i++)
			fputs("\xe2\x82\xac", to);
		fputs("\", user root\nreject\n", to);
		fclose(to);
		autoimage struct sw_image *image = compiled_rules("", rules);
		const struct sw_rule_info *info = &image->info[0];

		assert_int_equal(strlen(info->text), 255);
		assert_true(strlen(info->rule) > 508 - 3 && strlen(info->rule) < 512);
		assert_memory_equal(info->rule + strlen(info->rule) - 6, "\xe2\x82\xac...", 6);
	}
}

/* ---- names and cgroups ---- */

static void test_names(void **state)
{
	autoimage struct sw_image *image = compiled_rules(
		"", "allow from exe \"/usr/sbin/exim4\", exe \"/b\"\n"
		    "allow from unit \"cron.service\", unit \"cron.service\" user root\n"
		    "drop from exe \"/b\"\n"
		    "reject\n");

	(void)state;
	assert_int_equal(image->n_names, 3);
	assert_rows(rows_of_name(image, "/usr/sbin/exim4"), "0");
	assert_rows(rows_of_name(image, "/b"), "0 2");
	assert_rows(rows_of_name(image, "cron.service"), "1");
	for (size_t i = 0; i < image->n_names; i++)
		for (size_t k = strlen(image->names[i].name); k < SW_NAME_MAX; k++)
			assert_int_equal(image->names[i].name[k], 0);
	for (size_t i = 1; i < image->n_names; i++)
		assert_true(memcmp(&image->names[i - 1], &image->names[i], SW_NAME_MAX) < 0);
}

static void test_cgroups_hold_their_ancestors_rows(void **state)
{
	autoimage struct sw_image *image = compiled_rules("", "allow from cgroup \"/a/b\"\n"
							      "allow from cgroup \"/a\"\n"
							      "allow from cgroup \"/a-b\"\n"
							      "allow from cgroup \"/a/b/c/d\"\n"
							      "allow from cgroup \"/a/c\"\n"
							      "drop from cgroup \"/\"\n"
							      "reject\n");
	static const struct {
		const char *path, *rows;
	} expected[] = {
		{"/", "5"},         {"/a-b/", "2 5"},         {"/a/", "1 5"},
		{"/a/b/", "0 1 5"}, {"/a/b/c/d/", "0 1 3 5"}, {"/a/c/", "1 4 5"},
	};

	(void)state;
	assert_int_equal(image->n_cgroups, sw_count(expected));
	for (size_t i = 0; i < sw_count(expected); i++) {
		assert_string_equal(image->cgroups[i].path, expected[i].path);
		assert_int_equal(image->cgroups[i].bits, 8 * strlen(expected[i].path));
		assert_rows(&image->cgroup_rows[i], expected[i].rows);
	}
}

/* ---- prefixes ---- */

static const char *prefix_rows(const struct sw_image *image, const __u8 *addr, unsigned int bits)
{
	for (size_t i = 0; i < image->n_prefixes; i++)
		if (image->prefixes[i].bits == bits &&
		    memcmp(image->prefixes[i].addr, addr, 16) == 0)
			return rows_text(&image->policy.classes[image->prefix_classes[i]]);
	return "-";
}

#define IPV4(a, b, c, d) ((const __u8[16]){[10] = 0xff, 0xff, (a), (b), (c), (d)})
#define DB8 0x20, 0x01, 0x0d, 0xb8

static void test_prefixes_hold_what_covers_them(void **state)
{
	autoimage struct sw_image *image =
		compiled_rules("net a = { 10.0.0.0/8, 2001:db8::/32 }\n"
			       "net b = { 10.1.0.0/16, 192.0.2.1, 2001:db8:1::/48 }\n"
			       "net c = { 10.1.2.0/24, 10.0.0.0/8 }\n"
			       "net every = { 0.0.0.0/0, ::/0 }\n",
			       "allow to a\nallow to b\ndrop to c, b\nallow to every\nreject\n");
	const struct sw_policy *policy = &image->policy;

	(void)state;
	assert_string_equal(prefix_rows(image, IPV4(0, 0, 0, 0), 96), "3");
	assert_string_equal(prefix_rows(image, IPV4(10, 0, 0, 0), 104), "0 2 3");
	assert_string_equal(prefix_rows(image, IPV4(10, 1, 0, 0), 112), "0 1 2 3");
	/* says nothing that the one around it does not say: left out */
	assert_string_equal(prefix_rows(image, IPV4(10, 1, 2, 0), 120), "-");
	assert_string_equal(prefix_rows(image, IPV4(192, 0, 2, 1), 128), "1 2 3");
	assert_string_equal(prefix_rows(image, (const __u8[16]){0}, 0), "3");
	assert_string_equal(prefix_rows(image, (const __u8[16]){DB8}, 32), "0 3");
	assert_string_equal(prefix_rows(image, (const __u8[16]){DB8, 0, 1}, 48), "0 1 2 3");
	assert_int_equal(image->n_prefixes, 7);

	static const __u8 lengths4[] = {128, 112, 104, 96}, lengths6[] = {48, 32, 0};

	assert_int_equal(policy->n_lengths[0], sizeof(lengths4));
	assert_memory_equal(policy->lengths[0], lengths4, sizeof(lengths4));
	assert_int_equal(policy->n_lengths[1], sizeof(lengths6));
	assert_memory_equal(policy->lengths[1], lengths6, sizeof(lengths6));
}

/* ::/0 covers the bytes of every IPv4 address; its rows must not get into an IPv4 class. */
static void test_ipv6_says_nothing_about_ipv4(void **state)
{
	autoimage struct sw_image *image =
		compiled_rules("", "allow to ::/0\nallow to 192.0.2.0/24\nreject\n");

	(void)state;
	assert_string_equal(prefix_rows(image, (const __u8[16]){0}, 0), "0");
	assert_string_equal(prefix_rows(image, IPV4(192, 0, 2, 0), 120), "1");
	assert_int_equal(image->policy.n_lengths[0], 1);
	assert_int_equal(image->policy.n_lengths[1], 1);
}

/* Others lie before, among and behind what the largest list has, and each has one in common with it. */
static void test_lists_come_together(void **state)
{
	autoimage struct sw_image *image = compiled_rules(
		"net low = { 10.0.0.1, 10.0.0.2, 2001:db8::1 }\n"
		"net large = { 10.0.0.2, 10.0.0.4, 10.0.0.6, 2001:db8::2, 2001:db8::4 }\n"
		"net high = { 10.0.0.5, 10.0.0.7, 2001:db8::4, 2001:db8::5 }\n",
		"allow to large\nallow to low\nallow to high\nreject\n");
	static const struct {
		bool ipv4;
		__u8 last;
		const char *rows;
	} expected[] = {{false, 1, "1"}, {false, 2, "0"},  {false, 4, "0 2"}, {false, 5, "2"},
			{true, 1, "1"},  {true, 2, "0 1"}, {true, 4, "0"},    {true, 5, "2"},
			{true, 6, "0"},  {true, 7, "2"}};

	(void)state;
	assert_int_equal(image->n_prefixes, sw_count(expected));
	for (size_t i = 0; i < sw_count(expected); i++) {
		assert_int_equal(image->prefixes[i].addr[0] == 0, expected[i].ipv4);
		assert_int_equal(image->prefixes[i].addr[15], expected[i].last);
		assert_rows(&image->policy.classes[image->prefix_classes[i]], expected[i].rows);
	}
}

static void test_many_prefixes(void **state)
{
	enum { N = 65536 };
	sw_autofree char *list = NULL;
	size_t length = 0;
	FILE *to = open_memstream(&list, &length);

	(void)state;
	/* from behind, and each twice */
	for (int i = N; i-- > 0;)
		fprintf(to, "10.%d.%d.%d\n10.%d.%d.%d/32\n", i >> 8, i & 255, i & 63, i >> 8,
			i & 255, i & 63);
	fclose(to);
	const struct fake_file files[] = {{"many.list", list, length}, {NULL, NULL, 0}};
	sw_autofree char *text =
		host_policy("net many = { file \"many.list\" }\n", "allow to many\nreject\n");
	autoimage struct sw_image *image = compiled(text, files);

	assert_int_equal(image->n_prefixes, N);
	for (int i = 0; i < N; i++) {
		assert_int_equal(image->prefix_classes[i], 0);
		assert_int_equal(image->prefixes[i].addr[15], i & 63);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_rows_follow_the_rules),
		cmocka_unit_test(test_merging),
		cmocka_unit_test(test_a_thousand_programs_share_a_row),
		cmocka_unit_test(test_an_empty_list_matches_nothing),
		cmocka_unit_test(test_scopes),
		cmocka_unit_test(test_rules),
		cmocka_unit_test(test_tls),
		cmocka_unit_test(test_long_rules_are_cut),
		cmocka_unit_test(test_names),
		cmocka_unit_test(test_cgroups_hold_their_ancestors_rows),
		cmocka_unit_test(test_prefixes_hold_what_covers_them),
		cmocka_unit_test(test_ipv6_says_nothing_about_ipv4),
		cmocka_unit_test(test_lists_come_together),
		cmocka_unit_test(test_many_prefixes),
	};

	return cmocka_run_group_tests_name("compile", tests, NULL, NULL);
}
