/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The fixed lists as words, and the unit of a cgroup. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

#include "bpf/abi.h"
#include "daemon/policy/compile.h"
#include "daemon/policy/policy.h"

/* These names are a contract with monitoring and scripts: in the order of abi.h. */
static void test_reasons(void **state)
{
	static const char *const names[] = {
		"none",
		"not_permitted",
		"unidentified",
		"unattributed",
		"malformed",
		"table_full",
		"no_target",
		"existing",
		"cleartext_command",
		"starttls_injection",
		"starttls_stripped",
		"not_tls",
		"tls_too_old",
		"resend_mismatch",
		"too_long",
		"shared_pages",
		"smtp_elsewhere",
	};

	(void)state;
	assert_int_equal(sw_count(names), SW_REASON_MAX);
	for (unsigned int i = 0; i < SW_REASON_MAX; i++) {
		const char *words = sw_reason_words(i);

		assert_string_equal(sw_reason_name(i), names[i]);
		assert_true(strlen(words) > 10 && words[strlen(words) - 1] == '.');
	}
	assert_string_equal(sw_reason_name(SW_REASON_MAX), "?");
	assert_string_equal(sw_reason_name(~0u), "?");
	assert_string_equal(sw_reason_words(SW_REASON_MAX), "?");
}

static void test_verdicts_and_scopes(void **state)
{
	static const char *const verdicts[] = {"allow",    "reject", "drop",
					       "redirect", "audit",  "reset"};
	static const char *const scopes[] = {"host", "edge", "serve"};

	(void)state;
	assert_int_equal(sw_count(verdicts), SW_VERDICT_MAX);
	for (unsigned int i = 0; i < SW_VERDICT_MAX; i++)
		assert_string_equal(sw_verdict_name(i), verdicts[i]);
	assert_string_equal(sw_verdict_name(SW_VERDICT_MAX), "?");
	for (unsigned int i = 0; i < SW_SCOPE_MAX; i++)
		assert_string_equal(sw_scope_name(i), scopes[i]);
	assert_string_equal(sw_scope_name(SW_SCOPE_MAX), "?");
}

/* Each name of a list, in the order of vocabulary.h; NULL where there is none. */
static void assert_names(const char *(*name)(unsigned int), const char *const *names, size_t n,
			 const char *behind)
{
	for (unsigned int i = 0; i < n; i++) {
		if (names[i])
			assert_string_equal(name(i), names[i]);
		else
			assert_null(name(i));
	}
	for (unsigned int i = 0; i < 2; i++) {
		const char *beyond = name(i ? ~0u : (unsigned int)n);

		if (behind)
			assert_string_equal(beyond, behind);
		else
			assert_null(beyond);
	}
}

static void test_commands(void **state)
{
	static const char *const verbs[] = {
		NULL,   "AUTH", "MAIL", "RCPT", "DATA", "BDAT", "BURL",    "VRFY",     "EXPN",
		"ETRN", "ATRN", "TURN", "SEND", "SOML", "SAML", "XCLIENT", "XFORWARD", "PROXY",
		"EHLO", "HELO", "LHLO", "NOOP", "RSET", "QUIT", "HELP",    "STARTTLS",
	};
	static const char *const mechanisms[] = {
		NULL,      "PLAIN",       "LOGIN", "CRAM-MD5", "DIGEST-MD5", "SCRAM",
		"XOAUTH2", "OAUTHBEARER", "NTLM",  "GSSAPI",   "EXTERNAL",
	};

	(void)state;
	assert_int_equal(sw_count(verbs), SW_VERB_MAX);
	assert_names(sw_verb_name, verbs, SW_VERB_MAX, NULL);
	assert_int_equal(sw_count(mechanisms), SW_MECHANISM_MAX);
	assert_names(sw_mechanism_name, mechanisms, SW_MECHANISM_MAX, NULL);
}

static void test_tls_and_flows(void **state)
{
	static const char *const tls[] = {"none", "starttls", "implicit"};
	static const char *const flows[] = {
		"open",
		"nothing sent yet",
		"waiting for STARTTLS",
		"STARTTLS sent, waiting for the answer",
		"waiting for a ClientHello",
		"ClientHello sent, waiting for the server's",
		"TLS",
		"ended by the gate",
		"recorded: not as TLS is required",
		"not looked at",
	};

	(void)state;
	assert_int_equal(sw_count(tls), SW_TLS_MAX);
	assert_names(sw_tls_name, tls, SW_TLS_MAX, "?");
	assert_int_equal(sw_count(flows), SW_FLOW_STATE_MAX);
	assert_names(sw_flow_words, flows, SW_FLOW_STATE_MAX, "?");
}

static void test_tls_versions(void **state)
{
	(void)state;
	assert_null(sw_tls_version_name(0));
	assert_null(sw_tls_version_name(0x0300));
	assert_string_equal(sw_tls_version_name(0x0301), "1.0");
	assert_string_equal(sw_tls_version_name(0x0302), "1.1");
	assert_string_equal(sw_tls_version_name(0x0303), "1.2");
	assert_string_equal(sw_tls_version_name(0x0304), "1.3");
	assert_null(sw_tls_version_name(0x0305));
	assert_null(sw_tls_version_name(~0u));
}

static void test_unit_of_cgroup(void **state)
{
	static const struct {
		const char *cgroup, *unit;
	} cases[] = {
		{"/system.slice/postfix.service", "postfix.service"},
		{"/system.slice/system-postfix.slice/postfix@-.service", "postfix@-.service"},
		{"/system.slice/docker-1234.scope/init", "docker-1234.scope"},
		/* A user's own systemd stands below one unit, so it cannot borrow another's name. */
		{"/user.slice/user-1000.slice/user@1000.service/app.slice/postfix.service",
		 "user@1000.service"},
		{"/user.slice/user-1000.slice", ""},
		{"/mine/postfix.service", "mine"},
		{"/", ""},
		{"", ""},
		{"init.scope", "init.scope"},
		{"//a.slice///b.service//", "b.service"},
		{"/.slice/x", "x"},
		{"/a.slice.service", "a.slice.service"},
		{"/slice", "slice"},
	};
	char unit[256];

	(void)state;
	for (size_t i = 0; i < sw_count(cases); i++) {
		memset(unit, 'x', sizeof(unit));
		sw_unit_of_cgroup(cases[i].cgroup, unit);
		assert_string_equal(unit, cases[i].unit);
	}
}

static void test_unit_of_255_bytes(void **state)
{
	char cgroup[400] = "/a.slice/", unit[256];

	(void)state;
	memset(cgroup + 9, 'u', 255);
	sw_unit_of_cgroup(cgroup, unit);
	assert_string_equal(unit, cgroup + 9);
	cgroup[9 + 255] = 'u'; /* longer than any name of a file */
	sw_unit_of_cgroup(cgroup, unit);
	assert_string_equal(unit, "");
}

static void test_cgroup_key(void **state)
{
	static const struct {
		const char *path, *key;
	} cases[] = {
		{"/a/b", "/a/b/"}, {"a//b/", "/a/b/"}, {"/", "/"},
		{"", "/"},         {"///", "/"},       {"/a", "/a/"},
	};
	struct sw_cgroup_key key;
	char path[400] = "/first/";

	(void)state;
	for (size_t i = 0; i < sw_count(cases); i++) {
		assert_true(sw_cgroup_key(cases[i].path, &key));
		assert_string_equal(key.path, cases[i].key);
		assert_int_equal(key.bits, 8 * strlen(cases[i].key));
	}
	memset(path + 7, 'x', 254 - 7);
	assert_true(sw_cgroup_key(path, &key));
	assert_int_equal(key.bits, 8 * 255);
	path[254] = 'x';
	assert_false(sw_cgroup_key(path, &key));
	assert_string_equal(key.path, "/first/");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_reasons),        cmocka_unit_test(test_verdicts_and_scopes),
		cmocka_unit_test(test_unit_of_cgroup), cmocka_unit_test(test_unit_of_255_bytes),
		cmocka_unit_test(test_cgroup_key),     cmocka_unit_test(test_commands),
		cmocka_unit_test(test_tls_and_flows),  cmocka_unit_test(test_tls_versions),
	};

	return cmocka_run_group_tests_name("names", tests, NULL, NULL);
}
