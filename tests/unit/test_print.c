/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Canonical text: what it looks like, that it is a fixed point, that comments survive. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "tests/unit/policy_world.h"

static char *format(const char *text)
{
	struct sw_diags *diags = sw_diags_new();
	struct sw_policy_ast *policy = sw_policy_parse("p", text, strlen(text), diags);
	char *printed = fake_printed(policy);

	if (sw_diags_errors(diags))
		fail_msg("%s\n%s", text, fake_said(diags));
	sw_policy_free(policy);
	sw_diags_free(diags);
	return printed;
}

static void expect(const char *text, const char *canonical)
{
	sw_autofree char *once = format(text), *twice = format(once);

	assert_string_equal(once, canonical);
	assert_string_equal(twice, once);
}

static void test_forms(void **state)
{
	(void)state;
	expect("", "");
	expect("\n\n\nmode   audit", "mode audit\n");
	expect("mode audit\nhost{port 25,26{mode enforce\nallow}}", "mode audit\n"
								    "\n"
								    "host {\n"
								    "    port 25, 26 {\n"
								    "        mode enforce\n"
								    "        allow\n"
								    "    }\n"
								    "}\n");
	expect("edge a{existing keep 600s\n}\nedge b{mode audit\nexisting keep 7200s # two\n"
	       "port 25{reject \"x\"   answer from ::1}}\nedge c{\n# none\n\nexisting   refuse}\n"
	       "edge d{existing keep 61s\n}\nedge e{existing keep 10080m\n}",
	       "edge \"a\" {\n"
	       "    existing keep 10m\n"
	       "}\n"
	       "\n"
	       "edge \"b\" {\n"
	       "    mode audit\n"
	       "    existing keep 2h  # two\n"
	       "    port 25 {\n"
	       "        reject \"x\" answer from ::1\n"
	       "    }\n"
	       "}\n"
	       "\n"
	       "edge \"c\" {\n"
	       "    # none\n"
	       "\n"
	       "    existing refuse\n"
	       "}\n"
	       "\n"
	       "edge \"d\" {\n"
	       "    existing keep 61s\n"
	       "}\n"
	       "\n"
	       "edge \"e\" {\n"
	       "    existing keep 168h\n"
	       "}\n");
	expect("edge a,\"b*\"{mode audit\n}\nserve {}\nmode audit", "edge \"a\", \"b*\" {\n"
								    "    mode audit\n"
								    "}\n"
								    "\n"
								    "serve {\n"
								    "}\n"
								    "\n"
								    "mode audit\n");
}

static void test_selectors(void **state)
{
	(void)state;
	expect("who a=exe /bin/a user \"b\" unit u.service cgroup x/y// group 7",
	       "who a = exe \"/bin/a\" user b unit \"u.service\" cgroup \"/x/y\" group 7\n");
	expect("who a=user \"DOMAIN\\\\some one\" group \"to\"",
	       "who a = user \"DOMAIN\\\\some one\" group \"to\"\n");
	expect("who a=exe \"/b\\\"in\" user a@b", "who a = exe \"/b\\\"in\" user \"a@b\"\n");
}

static void test_columns(void **state)
{
	(void)state;
	expect("who a=user b\nwho bcd=user c\n# x\nnet ef={::1}\n\nnet longest=::2",
	       "who a   = user b\n"
	       "who bcd = user c\n"
	       "# x\n"
	       "net ef  = { ::1 }\n"
	       "\n"
	       "net longest = { ::2 }\n");
	expect("# x\n\n# y\nwho a=user b\nmode audit\nwho bcd=user c\nhost {}\nwho e=user f",
	       "# x\n"
	       "\n"
	       "# y\n"
	       "who a = user b\n"
	       "mode audit\n"
	       "who bcd = user c\n"
	       "\n"
	       "host {\n"
	       "}\n"
	       "\n"
	       "who e = user f\n");
}

static void test_nets(void **state)
{
	(void)state;
	expect("net a={10.0.0.0/8,2001:DB8::/32,file\"x y\",b,}",
	       "net a = { 10.0.0.0/8, 2001:db8::/32, file \"x y\", b }\n");
	/* one item a line: for a comment, an empty line, the width */
	expect("net a={ # open\n1.2.3.4, # one\n\n\n5.6.7.8\n# end\n} # close",
	       "# open\n"
	       "net a = {  # close\n"
	       "    1.2.3.4,  # one\n"
	       "\n"
	       "    5.6.7.8\n"
	       "    # end\n"
	       "}\n");
	expect("net a={\n\n1.2.3.4\n\n}", "net a = { 1.2.3.4 }\n");
	expect("net a={2001:db8:1111:2222::/64,2001:db8:1111:3333::/64,2001:db8:1111:4444::/64,"
	       "2001:db8:1111:5555::/64}",
	       "net a = {\n"
	       "    2001:db8:1111:2222::/64,\n"
	       "    2001:db8:1111:3333::/64,\n"
	       "    2001:db8:1111:4444::/64,\n"
	       "    2001:db8:1111:5555::/64\n"
	       "}\n");
}

static void test_comments(void **state)
{
	(void)state;
	expect("#! top\n\n\n##\n#\nmode audit#x\n\n\n#b\nhost { # h\n\n # p\n port 25 { # q\n\n"
	       "  # r\n  allow # s\n\n # t\n\n } # u\n # v\n\n} # w\n\n# end\n\n",
	       "#! top\n"
	       "\n"
	       "##\n"
	       "#\n"
	       "mode audit  #x\n"
	       "\n"
	       "#b\n"
	       "host {  # h\n"
	       "    # p\n"
	       "    port 25 {  # q\n"
	       "        # r\n"
	       "        allow  # s\n"
	       "\n"
	       "        # t\n"
	       "    }\n"
	       "    # u\n"
	       "    # v\n"
	       "}\n"
	       "# w\n"
	       "\n"
	       "# end\n");
	expect("net a = # x\n{ ::1 } # y", "# x\nnet a = { ::1 }  # y\n");
	/* a comment inside a statement moves before it */
	expect("host { port 25 {\n# a\nallow from b, # c\n# d\n e # f\n} }",
	       "host {\n"
	       "    port 25 {\n"
	       "        # a\n"
	       "        # c\n"
	       "        # d\n"
	       "        allow from b, e  # f\n"
	       "    }\n"
	       "}\n");
	expect("host # a\n{ # b\n port 25 # c\n # d\n { # e\n drop } }", "# a\n"
									 "host {  # b\n"
									 "    # c\n"
									 "    # d\n"
									 "    port 25 {  # e\n"
									 "        drop\n"
									 "    }\n"
									 "}\n");
}

static const struct sw_rule_node *only_rule(const struct sw_policy_ast *policy)
{
	return policy->scopes->blocks->rules;
}

static void test_rules(void **state)
{
	static const struct {
		const char *rule, *canonical;
	} rules[] = {
		{"allow", NULL},
		{"drop from a, b to c", NULL},
		{"audit to local, 10.0.0.0/8 from a", "audit from a to local, 10.0.0.0/8"},
		{"reject \"Say \\\"no\\\" \\\\\"", NULL},
		{"reject \"x\" from exe /bin/a user b,user 0",
		 "reject \"x\" from exe \"/bin/a\" user b, user 0"},
		{"redirect [2001:db8::1]:25,127.0.0.1:2525",
		 "redirect 127.0.0.1:2525, [2001:db8::1]:25"},
		{"redirect [::1]:1 from a to ::/0", NULL},
		{"require tls", NULL},
		{"require tls 1.0 implicit to local", "require tls implicit 1.0 to local"},
		{"require tls starttls", NULL},
		{"require tls proxy", NULL},
		{"require tls proxy 1.3 starttls from proxy to local",
		 "require tls starttls 1.3 proxy from proxy to local"},
		{"require tls 1.1 proxy from user proxy", NULL},
	};

	(void)state;
	for (size_t i = 0; i < sw_count(rules); i++) {
		const char *canonical = rules[i].canonical ? rules[i].canonical : rules[i].rule;
		char text[300], printed[300] = "x", cut[6];
		struct sw_diags *diags = sw_diags_new();
		struct sw_policy_ast *policy;

		snprintf(text, sizeof(text), "host {\nport 25 {\n# before\n%s # behind\n}\n}",
			 rules[i].rule);
		policy = sw_policy_parse("p", text, strlen(text), diags);
		assert_int_equal(sw_diags_errors(diags), 0);
		assert_int_equal(sw_rule_print(only_rule(policy), printed, sizeof(printed)),
				 strlen(canonical));
		assert_string_equal(printed, canonical);
		/* cut as snprintf() cuts */
		assert_int_equal(sw_rule_print(only_rule(policy), cut, sizeof(cut)),
				 strlen(canonical));
		assert_int_equal(strlen(cut), strlen(canonical) < 5 ? strlen(canonical) : 5);
		assert_memory_equal(cut, canonical, strlen(cut));
		assert_int_equal(sw_rule_print(only_rule(policy), NULL, 0), strlen(canonical));
		sw_policy_free(policy);
		sw_diags_free(diags);
	}
}

/* The checker resolves names in place; that must not show. */
static void test_print_after_check(void **state)
{
	static const char text[] = "mode enforce\n"
				   "\n"
				   "who mta = exe \"/usr/sbin/exim4\" user Debian-exim\n"
				   "net a   = { 10.0.0.0/8, file \"partners.list\" }\n"
				   "net b   = { a, ::1 }\n"
				   "\n"
				   "host {\n"
				   "    port 25 {\n"
				   "        allow from mta, user www-data to b, local, 192.0.2.1\n"
				   "        reject\n"
				   "    }\n"
				   "}\n";
	struct sw_world world = fake_world(NULL);
	struct sw_diags *diags = sw_diags_new();
	struct sw_policy_ast *policy = sw_policy_parse("p", text, strlen(text), diags);
	sw_autofree char *printed = NULL;

	(void)state;
	assert_int_equal(sw_policy_check(policy, &world, diags), 0);
	printed = fake_printed(policy);
	assert_string_equal(printed, text);
	sw_policy_free(policy);
	sw_diags_free(diags);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_forms),
		cmocka_unit_test(test_selectors),
		cmocka_unit_test(test_columns),
		cmocka_unit_test(test_nets),
		cmocka_unit_test(test_comments),
		cmocka_unit_test(test_rules),
		cmocka_unit_test(test_print_after_check),
	};

	return cmocka_run_group_tests_name("print", tests, NULL, NULL);
}
