/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What would happen: the answers of `why`, from policy text to verdict. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

#include "bpf/abi.h"
#include "daemon/base.h"
#include "tests/unit/policy_image.h"

static const char web_host[] = "mode enforce\n"                                       /* 1 */
			       "who mta = exe \"/usr/sbin/exim4\" user Debian-exim\n" /* 2 */
			       "who probes = unit \"cron.service\"\n"                 /* 3 */
			       "net partners = { 192.0.2.0/24, 2001:db8::/32 }\n"     /* 4 */
			       "host {\n"                                             /* 5 */
			       "port 25 {\n"                                          /* 6 */
			       "allow to local\n"                           /* 7: rule 1 */
			       "allow from mta, probes\n"                   /* 8: rule 2 */
			       "redirect 127.0.0.1:26 from user www-data\n" /* 9: rule 3 */
			       "drop from group mail to partners\n"         /* 10: rule 4 */
			       "audit from cgroup \"/machine.slice/lab\"\n" /* 11: rule 5 */
			       "reject \"Closed.\"\n"                       /* 12: rule 6 */
			       "}\n"                                        /* 13 */
			       "port 587 {\n"                               /* 14 */
			       "mode audit\n"                               /* 15 */
			       "redirect [::1]:27 from user www-data\n"     /* 16: rule 7 */
			       "allow from exe \"/usr/bin/swaks\"\n"        /* 17: rule 8 */
			       "reject\n"                                   /* 18: rule 9 */
			       "}\n"
			       "}\n";

#define IPV4(a, b, c, d) .has_to = true, .to = {[10] = 0xff, 0xff, (a), (b), (c), (d)}
#define IPV6(...) .has_to = true, .to = {__VA_ARGS__}
#define DB8 0x20, 0x01, 0x0d, 0xb8
#define UID(id) .has_user = true, .user = (id)
#define GID(id) .has_group = true, .group = (id)

static char long_exe[300], long_cgroup[300], long_in_unit[300];
static uint32_t groups[SW_GROUPS_MAX + 1] = {[3] = 8};

struct expected {
	struct sw_query query;
	unsigned int verdict, reason;
	uint32_t rule, line;
};

static const struct expected cases[] = {
	/* everybody else */
	{{.port = 25}, SW_VERDICT_REJECT, SW_REASON_NOT_PERMITTED, 6, 12},
	{{.port = 25, UID(0), IPV4(192, 0, 2, 1)},
	 SW_VERDICT_REJECT,
	 SW_REASON_NOT_PERMITTED,
	 6,
	 12},
	{{.port = 25, UID(33), .to_is_local = true}, SW_VERDICT_ALLOW, SW_REASON_NONE, 1, 7},
	/* both selectors of a who must fit */
	{{.port = 25, UID(102), .exe = "/usr/sbin/exim4"}, SW_VERDICT_ALLOW, SW_REASON_NONE, 2, 8},
	{{.port = 25, UID(103), .exe = "/usr/sbin/exim4"},
	 SW_VERDICT_REJECT,
	 SW_REASON_NOT_PERMITTED,
	 6,
	 12},
	{{.port = 25, UID(102), .exe = "/usr/sbin/exim"},
	 SW_VERDICT_REJECT,
	 SW_REASON_NOT_PERMITTED,
	 6,
	 12},
	{{.port = 25, UID(102), .exe = "usr/sbin/exim4"},
	 SW_VERDICT_REJECT,
	 SW_REASON_NOT_PERMITTED,
	 6,
	 12},
	/* a unit by name, or by the cgroup that it is the top of */
	{{.port = 25, .unit = "cron.service"}, SW_VERDICT_ALLOW, SW_REASON_NONE, 2, 8},
	{{.port = 25, .cgroup = "/system.slice/cron.service/sub"},
	 SW_VERDICT_ALLOW,
	 SW_REASON_NONE,
	 2,
	 8},
	{{.port = 25, .cgroup = "/user@1.service/cron.service"},
	 SW_VERDICT_REJECT,
	 SW_REASON_NOT_PERMITTED,
	 6,
	 12},
	{{.port = 25, .exe = "cron.service"}, SW_VERDICT_REJECT, SW_REASON_NOT_PERMITTED, 6, 12},
	{{.port = 25, UID(102), .unit = "/usr/sbin/exim4"},
	 SW_VERDICT_REJECT,
	 SW_REASON_NOT_PERMITTED,
	 6,
	 12},
	/* redirect, both families by an IPv4 target */
	{{.port = 25, UID(33), IPV4(198, 51, 100, 1)}, SW_VERDICT_REDIRECT, SW_REASON_NONE, 3, 9},
	{{.port = 25, UID(33), IPV6(DB8)}, SW_VERDICT_REDIRECT, SW_REASON_NONE, 3, 9},
	{{.port = 25, UID(33)}, SW_VERDICT_REDIRECT, SW_REASON_NONE, 3, 9},
	/* effective and supplementary groups, prefixes of both families */
	{{.port = 25, GID(8), IPV4(192, 0, 2, 255)},
	 SW_VERDICT_DROP,
	 SW_REASON_NOT_PERMITTED,
	 4,
	 10},
	{{.port = 25, GID(8), IPV4(192, 0, 3, 0)},
	 SW_VERDICT_REJECT,
	 SW_REASON_NOT_PERMITTED,
	 6,
	 12},
	{{.port = 25, GID(8)}, SW_VERDICT_REJECT, SW_REASON_NOT_PERMITTED, 6, 12},
	{{.port = 25, .groups = groups, .n_groups = 4, IPV6(DB8, [15] = 1)},
	 SW_VERDICT_DROP,
	 SW_REASON_NOT_PERMITTED,
	 4,
	 10},
	{{.port = 25, .groups = groups, .n_groups = 3, IPV6(DB8)},
	 SW_VERDICT_REJECT,
	 SW_REASON_NOT_PERMITTED,
	 6,
	 12},
	/* a cgroup or any below it */
	{{.port = 25, .cgroup = "/machine.slice/lab"}, SW_VERDICT_AUDIT, SW_REASON_NONE, 5, 11},
	{{.port = 25, .cgroup = "/machine.slice/lab/x/y"}, SW_VERDICT_AUDIT, SW_REASON_NONE, 5, 11},
	{{.port = 25, .cgroup = "/machine.slice/lab2"},
	 SW_VERDICT_REJECT,
	 SW_REASON_NOT_PERMITTED,
	 6,
	 12},
	{{.port = 25, .cgroup = "/machine.slice"},
	 SW_VERDICT_REJECT,
	 SW_REASON_NOT_PERMITTED,
	 6,
	 12},
	/* what cannot be found out refuses where a rule depends on it */
	{{.port = 25, UID(102), .exe = long_exe}, SW_VERDICT_REJECT, SW_REASON_UNIDENTIFIED, 2, 8},
	{{.port = 25, UID(103), .exe = long_exe},
	 SW_VERDICT_REJECT,
	 SW_REASON_NOT_PERMITTED,
	 6,
	 12},
	{{.port = 25, UID(102), .exe = long_exe, .unit = "cron.service"},
	 SW_VERDICT_ALLOW,
	 SW_REASON_NONE,
	 2,
	 8},
	{{.port = 25, UID(102), .exe = long_exe, .to_is_local = true},
	 SW_VERDICT_ALLOW,
	 SW_REASON_NONE,
	 1,
	 7},
	{{.port = 25, .cgroup = long_cgroup}, SW_VERDICT_REJECT, SW_REASON_UNIDENTIFIED, 2, 8},
	{{.port = 25, .cgroup = long_in_unit}, SW_VERDICT_ALLOW, SW_REASON_NONE, 2, 8},
	{{.port = 25, .groups = groups, .n_groups = SW_GROUPS_MAX + 1, IPV4(192, 0, 2, 1)},
	 SW_VERDICT_REJECT,
	 SW_REASON_UNIDENTIFIED,
	 4,
	 10},
	/* also the rule that would be redirected */
	{{.port = 25, UID(33), .groups = groups, .n_groups = SW_GROUPS_MAX + 1},
	 SW_VERDICT_REDIRECT,
	 SW_REASON_NONE,
	 3,
	 9},
	/* mode audit: the same decisions, nothing refused, nothing redirected */
	{{.port = 587}, SW_VERDICT_AUDIT, SW_REASON_NOT_PERMITTED, 9, 18},
	{{.port = 587, .exe = "/usr/bin/swaks"}, SW_VERDICT_ALLOW, SW_REASON_NONE, 8, 17},
	{{.port = 587, .exe = long_exe}, SW_VERDICT_AUDIT, SW_REASON_UNIDENTIFIED, 8, 17},
	{{.port = 587, UID(33), IPV6(DB8)}, SW_VERDICT_AUDIT, SW_REASON_NONE, 7, 16},
	{{.port = 587, UID(33), IPV4(192, 0, 2, 1)}, SW_VERDICT_AUDIT, SW_REASON_NO_TARGET, 7, 16},
};

static void test_answers(void **state)
{
	autoimage struct sw_image *image = compiled(web_host, NULL);

	(void)state;
	memset(long_exe, 'x', 256);
	memcpy(long_exe, "/usr/sbin/exim4/", 16);
	memset(long_cgroup, 'x', 255);
	memcpy(long_cgroup, "/a.slice/", 9);
	memset(long_in_unit, 'x', 280);
	memcpy(long_in_unit, "/cron.service/", 14);
	for (size_t i = 0; i < sw_count(cases); i++) {
		const struct expected *expected = &cases[i];
		struct sw_answer answer;

		sw_image_eval(image, &expected->query, &answer);
		if (answer.rule != expected->rule || answer.reason != expected->reason ||
		    answer.verdict != expected->verdict)
			print_error("case %zu: %s %s by rule %u\n", i,
				    sw_verdict_name(answer.verdict), sw_reason_name(answer.reason),
				    answer.rule);
		assert_true(answer.guarded);
		assert_int_equal(answer.verdict, expected->verdict);
		assert_int_equal(answer.reason, expected->reason);
		assert_int_equal(answer.rule, expected->rule);
		assert_int_equal(answer.line, expected->line);
		assert_int_equal(answer.audit, expected->query.port == 587);
		assert_int_equal(!!answer.new_port, expected->verdict == SW_VERDICT_REDIRECT);
	}
}

static void test_unguarded(void **state)
{
	autoimage struct sw_image *image = compiled(web_host, NULL);
	const struct sw_query queries[] = {
		{.port = 26},
		{.port = 465, UID(33)},
		{.scope = SW_SCOPE_EDGE, .port = 25},
		{.scope = SW_SCOPE_SERVE, .port = 25},
	};

	(void)state;
	for (size_t i = 0; i < sw_count(queries); i++) {
		struct sw_answer answer;

		sw_image_eval(image, &queries[i], &answer);
		assert_false(answer.guarded);
		assert_int_equal(answer.verdict, SW_VERDICT_ALLOW);
		assert_int_equal(answer.rule, 0);
		assert_string_equal(answer.rule_text, "");
	}
}

static void test_texts(void **state)
{
	autoimage struct sw_image *image = compiled(web_host, NULL);
	struct sw_query query = {.port = 25};
	struct sw_answer answer;

	(void)state;
	sw_image_eval(image, &query, &answer);
	assert_string_equal(answer.rule_text, "reject \"Closed.\"");
	assert_string_equal(answer.text, "Closed.");
}

static void test_redirect_target(void **state)
{
	autoimage struct sw_image *image = compiled(web_host, NULL);
	static const uint8_t target[16] = {[10] = 0xff, 0xff, 127, 0, 0, 1};
	const struct sw_query queries[] = {
		{.port = 25, UID(33), IPV4(198, 51, 100, 1)},
		{.port = 25, UID(33), IPV6(DB8)},
	};

	(void)state;
	for (size_t i = 0; i < sw_count(queries); i++) {
		struct sw_answer answer;

		sw_image_eval(image, &queries[i], &answer);
		assert_memory_equal(answer.new_to, target, 16);
		assert_int_equal(answer.new_port, 26);
	}
}

/* ::/0 is every IPv6 address and no IPv4 address; 0.0.0.0/0 the other way round. */
static void test_families(void **state)
{
	sw_autofree char *said = NULL;
	autoimage struct sw_image *image = image_of(
		"mode enforce\nhost { port 25 {\nallow to ::/0\ndrop to 0.0.0.0/0\nreject\n"
		"}\n}\n",
		NULL, &said);
	static const struct {
		struct sw_query query;
		uint32_t rule;
	} families[] = {
		{{.port = 25, IPV4(192, 0, 2, 1)}, 2},
		{{.port = 25, IPV4(0, 0, 0, 0)}, 2},
		{{.port = 25, IPV6(DB8)}, 1},
		{{.port = 25, IPV6(0)}, 1},
		{{.port = 25, IPV6([10] = 0xff, 0xfe, 1)}, 1},
		{{.port = 25}, 3},
	};

	(void)state;
	assert_non_null(image);
	for (size_t i = 0; i < sw_count(families); i++) {
		struct sw_answer answer;

		sw_image_eval(image, &families[i].query, &answer);
		assert_int_equal(answer.rule, families[i].rule);
	}
}

/* A refused IPv4 connection: the redirect has an IPv6 target only. */
static void test_no_target(void **state)
{
	sw_autofree char *said = NULL;
	autoimage struct sw_image *image =
		image_of("mode enforce\nhost { port 25 {\nredirect [::1]:26\n}\n}\n", NULL, &said);
	struct sw_query query = {.port = 25, IPV4(192, 0, 2, 1)};
	struct sw_answer answer;

	(void)state;
	assert_non_null(image);
	sw_image_eval(image, &query, &answer);
	assert_int_equal(answer.verdict, SW_VERDICT_REJECT);
	assert_int_equal(answer.reason, SW_REASON_NO_TARGET);
	query.to[10] = 0; /* now IPv6 */
	sw_image_eval(image, &query, &answer);
	assert_int_equal(answer.verdict, SW_VERDICT_REDIRECT);
	assert_int_equal(answer.new_to[15], 1);
}

/* What the gate is told, and what is said to people about it. */
static const struct {
	struct sw_query query;
	struct sw_answer expected; /* the members of the gate; where TLS is required, `verdict` */
	const char *way;
	bool proxy;
} gated[] = {
	/* 465 without a way is implicit */
	{{.port = 465},
	 {.gate = true,
	  .tls = true,
	  .gate_action = SW_ACTION_TLS,
	  .gate_flags = SW_RULE_IMPLICIT,
	  .tls_version = 0x0303},
	 "implicit",
	 false},
	{{.port = 587},
	 {.gate = true, .tls = true, .gate_action = SW_ACTION_TLS, .tls_version = 0x0303},
	 "any",
	 false},
	{{.port = 465, UID(33)},
	 {.gate = true,
	  .tls = true,
	  .gate_action = SW_ACTION_TLS,
	  .gate_flags = SW_RULE_STARTTLS | SW_RULE_PROXY},
	 "starttls",
	 true},
	{{.port = 587, UID(8)},
	 {.gate = true,
	  .tls = true,
	  .gate_action = SW_ACTION_TLS,
	  .gate_flags = SW_RULE_IMPLICIT,
	  .tls_version = 0x0304},
	 "implicit",
	 false},
	/* looked at, nothing is asked */
	{{.port = 465, UID(101)}, {.gate = true, .gate_action = SW_ACTION_AUDIT}, NULL, false},
	/* not looked at: nothing asked, or nothing passes */
	{{.port = 587, UID(0)}, {0}, NULL, false},
	{{.port = 587, UID(102)}, {0}, NULL, false},
	{{.port = 587, UID(7), .exe = long_exe}, {0}, NULL, false},
	/* mode audit */
	{{.port = 2525},
	 {.gate = true,
	  .tls = true,
	  .audit = true,
	  .gate_action = SW_ACTION_TLS,
	  .gate_flags = SW_RULE_AUDIT,
	  .tls_version = 0x0303},
	 "any",
	 false},
	{{.port = 2525, UID(33)},
	 {.gate = true, .audit = true, .gate_action = SW_ACTION_AUDIT, .gate_flags = SW_RULE_AUDIT},
	 NULL,
	 false},
	{{.port = 2525, UID(0)}, {.audit = true}, NULL, false},
	/* who calls is not certain, and it passes all the same */
	{{.port = 2525, UID(7), .exe = long_exe},
	 {.gate = true,
	  .tls = true,
	  .audit = true,
	  .verdict = SW_VERDICT_AUDIT,
	  .gate_action = SW_ACTION_TLS,
	  .gate_flags = SW_RULE_AUDIT},
	 "any",
	 false},
	/* no rule names this port */
	{{.port = 25}, {0}, NULL, false},
};

static void test_gate(void **state)
{
	autoimage struct sw_image *image =
		compiled("mode enforce\n"
			 "host {\n"
			 "port 465, 587 {\n"
			 "allow from user root\n"
			 "reject from user Debian-exim\n"
			 "audit from user postfix\n"
			 "require tls starttls proxy from user www-data\n"
			 "require tls implicit 1.3 from user mail\n"
			 "require tls from user 7 exe \"/usr/sbin/smtpd\"\n"
			 "require tls 1.2\n"
			 "}\n"
			 "port 2525 {\n"
			 "mode audit\n"
			 "reject from user root\n"
			 "audit from user www-data\n"
			 "require tls from user 7 exe \"/usr/sbin/smtpd\"\n"
			 "require tls 1.2\n"
			 "}\n"
			 "}\n",
			 NULL);

	(void)state;
	memset(long_exe, 'x', 256);
	long_exe[0] = '/';
	for (size_t i = 0; i < sw_count(gated); i++) {
		const struct sw_answer *expected = &gated[i].expected;
		struct sw_answer answer;

		sw_image_eval(image, &gated[i].query, &answer);
		if (answer.gate != expected->gate || answer.tls != expected->tls)
			print_error("case %zu, by rule %u\n", i, answer.rule);
		assert_int_equal(answer.gate, expected->gate);
		assert_int_equal(answer.tls, expected->tls);
		assert_int_equal(answer.audit, expected->audit);
		assert_int_equal(answer.gate_action, expected->gate_action);
		assert_int_equal(answer.gate_flags, expected->gate_flags);
		assert_int_equal(answer.tls_version, expected->tls_version);
		assert_int_equal(sw_answer_proxy(&answer), gated[i].proxy);
		if (gated[i].way)
			assert_string_equal(sw_answer_way(&answer), gated[i].way);
		else
			assert_null(sw_answer_way(&answer));
		if (answer.tls)
			assert_int_equal(answer.verdict, expected->verdict);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_answers),  cmocka_unit_test(test_unguarded),
		cmocka_unit_test(test_texts),    cmocka_unit_test(test_redirect_target),
		cmocka_unit_test(test_families), cmocka_unit_test(test_no_target),
		cmocka_unit_test(test_gate),
	};

	return cmocka_run_group_tests_name("eval", tests, NULL, NULL);
}
