/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What the check resolves, refuses and warns of, and what apply cannot do yet. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "tests/unit/policy_world.h"

struct checked {
	struct sw_diags *diags;
	struct sw_policy_ast *policy;
	int result;
};

static struct checked check(const char *text)
{
	struct sw_world world = fake_world(NULL);
	struct checked checked = {.diags = sw_diags_new()};

	checked.policy = sw_policy_parse("p", text, strlen(text), checked.diags);
	checked.result = sw_policy_check(checked.policy, &world, checked.diags);
	return checked;
}

static void checked_free(struct checked *checked)
{
	sw_policy_free(checked->policy);
	sw_diags_free(checked->diags);
}

static void test_resolves(void **state)
{
	sw_cleanup(checked_free) struct checked checked =
		check("mode enforce\n"
		      "who mta = exe \"/usr/sbin/exim4\" user Debian-exim\n"
		      "net a = { 10.0.0.0/8, file \"partners.list\", 10.0.0.0/8 }\n"
		      "net b = { a, ::1 }\n"
		      "serve { port 25 { audit } }\n"
		      "host {\n"
		      "  port 25 {\n"
		      "    allow from mta, user www-data group 33 to b, local, 192.0.2.0/24\n"
		      "    reject \"no\" }\n"
		      "  port 26 { mode audit\n"
		      "    drop }\n"
		      "}\n"
		      "host { mode audit\n port 27 { reject \"no\" }\n port 28 { mode enforce\n "
		      "drop }\n}\n");
	const struct sw_scope_block *host = checked.policy->scopes->next;
	const struct sw_rule_node *rule = host->blocks->rules;
	const struct sw_net *b = checked.policy->nets->next;

	(void)state;
	assert_int_equal(checked.result, 0);
	assert_int_equal(sw_diags_warnings(checked.diags), 0);
	assert_int_equal(checked.policy->n_rules, 6);
	assert_int_equal(checked.policy->scopes->blocks->rules->number, 1);
	assert_int_equal(rule->number, 2);
	assert_ptr_equal(rule->from->who, checked.policy->whos);
	assert_int_equal(rule->from->who->selectors->next->id, 102);
	assert_int_equal(rule->from->next->who->selectors->id, 33);
	assert_ptr_equal(rule->to->net, b);
	assert_int_equal(rule->to->next->next->net->n_prefixes, 1);
	assert_int_equal(rule->to->next->next->net->prefixes->bits, 120);
	assert_int_equal(checked.policy->nets->n_prefixes, 4);
	assert_int_equal(b->n_prefixes, 5);
	for (size_t i = 1; i < b->n_prefixes; i++)
		assert_true(memcmp(&b->prefixes[i - 1], &b->prefixes[i], 17) < 0);

	assert_int_equal(rule->mode, SW_MODE_ENFORCE);
	assert_int_equal(host->blocks->next->rules->mode, SW_MODE_AUDIT);
	assert_int_equal(host->next->blocks->rules->mode, SW_MODE_AUDIT);
	assert_int_equal(host->next->blocks->next->rules->mode, SW_MODE_ENFORCE);
	assert_int_equal(host->next->blocks->next->rules->number, 6);
}

/* The start of a policy whose port 25 is as it should be, so that one line alone is wrong. */
#define HEAD "mode enforce\n"
#define REST "host { port 25 { allow from user mail\nreject } }\n"
#define IN_25(rules) HEAD "host { port 25 {\n" rules "\nallow from user mail\nreject } }\n"

static const struct {
	const char *text, *says;
} refused[] = {
	{REST, "p:1:1: error: the policy does not say its mode"},
	{HEAD "who a = user nosuch\n" REST, "p:2:14: error: there is no user \"nosuch\" here"},
	{HEAD "who a = group nosuch\n" REST, "p:2:15: error: there is no group \"nosuch\" here"},
	{HEAD "who a = user broken\n" REST,
	 "p:2:14: error: the user \"broken\" cannot be looked up: Input/output error"},
	{HEAD "who a = user 4294967295\n" REST,
	 "p:2:14: error: the number of a user is 0 to 4294967294"},
	{HEAD "who a = exe \"smtp\" user 1\n" REST,
	 "p:2:13: error: the path of a program begins with \"/\""},
	{HEAD "who a = exe \"/usr//smtp\" user 1\n" REST,
	 "p:2:13: error: the path of a program has no \"//\", \"/./\" or \"/../\" and no \"/\" at "
	 "its "
	 "end: the kernel tells it without them"},
	{HEAD "who a = exe \"/a/../smtp\" user 1\n" REST,
	 "p:2:13: error: the path of a program has no"},
	{HEAD "who a = exe \"/a/./b\" user 1\n" REST,
	 "p:2:13: error: the path of a program has no"},
	{HEAD "who a = exe \"/a/\" user 1\n" REST, "p:2:13: error: the path of a program has no"},
	{HEAD "who a = exe \"/\" user 1\n" REST, "p:2:13: error: the path of a program has no"},
	{HEAD "who a = unit \"a/b\"\n" REST,
	 "p:2:14: error: the name of a unit has no \"/\"; a path is written as cgroup \"...\""},
	{HEAD "who a = unit \"a*.service\"\n" REST,
	 "p:2:14: error: the name of a unit is compared whole: \"*\" and \"?\" stand for nothing"},
	{HEAD "who a = unit system.slice\n" REST,
	 "p:2:14: error: a slice is no unit here, it holds units: write cgroup \"...\""},
	{HEAD "who a = cgroup \"/a/../b\"\n" REST,
	 "p:2:16: error: the path of a cgroup has no \".\" and no \"..\""},
	{HEAD "who a = user 1\nwho a = user 2\n" REST,
	 "p:3:5: error: \"a\" is defined a second time"},
	{HEAD "who a = user 1\nnet a = ::1\n" REST, "p:3:5: error: \"a\" is defined a second time"},
	{HEAD "net a = a\n" REST, "p:2:9: error: \"a\" holds itself"},
	{HEAD "net a = b\nnet b = c\nnet c = a\n" REST,
	 "p:2:9: error: \"a\" holds itself by way of \"b\""},
	{HEAD "net a = b\nnet b = ::1\n" REST, "p:2:9: error: \"b\" is used before it is defined"},
	{HEAD "who a = user 1\nnet b = a\n" REST,
	 "p:3:9: error: \"a\" is a who; addresses are expected here"},
	{HEAD "net a = partner\n" REST, "p:2:9: error: there is no net \"partner\""},
	{HEAD "net a = file \"absent.list\"\n" REST,
	 "p:2:14: error: the list file cannot be read: No such file or directory"},
	{HEAD "net a = file \"secret.list\"\n" REST,
	 "p:2:14: error: the list file cannot be read: Permission denied"},
	{HEAD "net a = file \"huge.list\"\n" REST,
	 "p:2:14: error: the list file cannot be read: it is larger than 64 MiB"},
	{IN_25("allow from mta"), "p:3:12: error: there is no who \"mta\""},
	{IN_25("allow from www-data"), "p:3:12: error: there is no who \"www-data\""},
	{IN_25("allow from later") "who later = user 1\n",
	 "p:3:12: error: \"later\" is used before it is defined"},
	{IN_25("allow from 10.0.0.0/8"),
	 "p:3:12: error: in host scope \"from\" names programs, users or units, not addresses"},
	{IN_25("allow from local"),
	 "p:3:12: error: \"local\" stands behind \"to\": it means this machine's own addresses"},
	{IN_25("allow to user mail"),
	 "p:3:10: error: \"to\" names addresses; programs, users and units stand behind \"from\""},
	{HEAD "net a = ::1\nhost { port 25 { allow from a\nreject } }\n",
	 "p:3:29: error: \"a\" is a net; programs, users or units are expected here"},
	{HEAD "edge \"x\" { port 25 { allow from user mail\nreject } }\n",
	 "p:2:33: error: in this scope \"from\" names addresses: programs and users are seen in "
	 "host "
	 "scope only"},
	{HEAD "edge \"x\" { port 25 { allow from user mail\nreject } }\n",
	 "p:2:33: note: what comes in through an interface is known by its address"},
	{HEAD "who a = user mail\nedge \"x\" { port 25 { allow from a\nreject } }\n",
	 "p:3:33: note: what comes in through an interface is known by its address"},
	{HEAD "edge \"x\" { port 25 { redirect 192.0.2.1:25 } }\n",
	 "p:2:22: error: a forwarded connection cannot be redirected"},
	{HEAD "serve { port 25 { reject \"no\" answer } }\n",
	 "p:2:31: error: \"answer\" stands in \"host\" and \"edge\": here this machine's own "
	 "server "
	 "answers"},
	{HEAD "serve { port 25 { redirect 192.0.2.1:25 } }\n",
	 "p:2:19: error: a session that this machine answers cannot be redirected"},
	{HEAD "host { port 25 { allow from user mail } }\n",
	 "p:2:8: error: the rules of port 25 do not say what becomes of everybody else"},
	{HEAD "host { port 25 { } }\n",
	 "p:2:8: error: the rules of port 25 do not say what becomes of everybody else"},
	{HEAD "host { port 587, 587 { drop } }\n", "p:2:18: error: port 587 has rules already"},
	{HEAD "host { port 1 { drop } }\nhost { port 2, 1 { drop } }\n",
	 "p:3:16: error: port 1 has rules already"},
	{HEAD "edge \"x\" { port 1 { drop }\nport 1 { drop } }\n",
	 "p:3:6: error: port 1 has rules already"},
	{HEAD "edge \"x\" { port 1 { drop } }\nedge \"y\", \"x\" { port 1 { drop } }\n",
	 "p:3:11: error: interface \"x\" has rules already"},
};

static void test_refused(void **state)
{
	(void)state;
	for (size_t i = 0; i < sw_count(refused); i++) {
		sw_cleanup(checked_free) struct checked checked = check(refused[i].text);
		sw_autofree char *said = fake_said(checked.diags);

		if (checked.result != -EINVAL || sw_diags_errors(checked.diags) != 1 ||
		    !strstr(said, refused[i].says))
			fail_msg("%s\nsays: %s\nnot:  %s", refused[i].text, said, refused[i].says);
	}
}

static void test_hints(void **state)
{
	static const struct {
		const char *text, *says;
	} hints[] = {
		{HEAD "who mta = user mail\nhost { port 25 { allow from mat\nreject } }\n",
		 "note: did you mean \"mta\"?"},
		{HEAD "net partners = ::1\nnet a = parnters\n" REST,
		 "note: did you mean \"partners\"?"},
		{IN_25("allow from www-data"), "note: there is such a user: user www-data"},
		{HEAD "who a = user 1\nwho a = user 2\n" REST, "p:2:5: note: the first is here"},
		{HEAD "host { port 7, 7 { drop } }\n", "p:2:13: note: the first are here"},
		{HEAD "host { port 25 { } }\n",
		 "note: add as the last one a rule without \"from\" and \"to\": reject, or allow"},
	};

	(void)state;
	for (size_t i = 0; i < sw_count(hints); i++) {
		sw_cleanup(checked_free) struct checked checked = check(hints[i].text);
		sw_autofree char *said = fake_said(checked.diags);

		if (!strstr(said, hints[i].says))
			fail_msg("%s\nsays: %s\nnot:  %s", hints[i].text, said, hints[i].says);
	}
}

static const struct {
	const char *text, *says; /* NULL: no warning at all */
} warned[] = {
	{HEAD REST, NULL},
	{"mode audit\n", "p:1:1: warning: this policy has no rules and guards nothing"},
	/* names */
	{HEAD "who a = user 1\n" REST, "p:2:5: warning: \"a\" is not used"},
	{HEAD "net a = ::1\n" REST, "p:2:5: warning: \"a\" is not used"},
	{HEAD "net a = ::1\nnet b = a\nhost { port 25 { allow to b\nreject } }\n", NULL},
	{HEAD "net a = file \"empty.list\"\nhost { port 25 { reject to a\nallow } }\n",
	 "p:2:5: warning: \"a\" holds no prefix and matches nothing"},
	/* programs and units */
	{IN_25("allow from exe \"/usr/sbin/exim4\""),
	 "p:3:16: warning: \"exe\" without \"user\": anybody may run this program, or preload code "
	 "into it"},
	{IN_25("allow from exe \"/usr/sbin/exim4\" group mail"),
	 "p:3:16: warning: \"exe\" without \"user\""},
	{IN_25("allow from exe \"/usr/sbin/exim4\" unit \"cron.service\""), NULL},
	{IN_25("allow from exe \"/usr/sbin/exim4\" cgroup \"/a\""), NULL},
	{IN_25("allow from exe \"/usr/sbin/exim4\" user mail"), NULL},
	{IN_25("allow from exe \"/usr/bin/none\" user root"),
	 "p:3:16: warning: this program does not exist here"},
	{IN_25("allow from exe \"/etc/mailname\" user root"),
	 "p:3:16: warning: this is no file that can be run"},
	{IN_25("allow from exe \"/usr/sbin/sendmail\" user root"),
	 "p:3:16: warning: this is a symbolic link and will not match: the kernel sees "
	 "\"/usr/sbin/exim4\""},
	{IN_25("allow from exe \"/opt/mailer/send\" user root"),
	 "p:3:16: warning: others than root can write \"/opt/mailer\", and so put another program "
	 "here"},
	{IN_25("allow from unit \"nosuch.service\""),
	 "p:3:17: warning: systemd knows no such unit here"},
	{IN_25("allow from unit cron"), "p:3:17: note: did you mean \"cron.service\"?"},
	/* rules behind others */
	{HEAD "host { port 25 { allow from user mail\nallow\nreject } }\n",
	 "p:4:1: warning: this rule can never match"},
	{IN_25("allow from user 8 group 7"), NULL},
	{IN_25("drop from user 8"), "p:4:1: warning: this rule can never match"},
	{IN_25("drop from user 8 to local"), NULL},
	{IN_25("drop to local\ndrop from user 7 to local"),
	 "p:4:1: warning: this rule can never match"},
	{IN_25("drop from group 7, user 9\nallow from user 9 unit cron.service"),
	 "p:4:1: warning: this rule can never match"},
	{IN_25("drop from cgroup \"/a\"\nallow from cgroup \"/a/b\""),
	 "p:4:1: warning: this rule can never match"},
	{IN_25("drop from cgroup \"/a\"\nallow from cgroup \"/ab\""), NULL},
	{IN_25("drop from cgroup \"/a/b\"\nallow from cgroup \"/a\""), NULL},
	{IN_25("drop from unit cron.service\nallow from unit blackbox-exporter.service"), NULL},
	{IN_25("drop to 10.0.0.0/8\nallow to 10.1.0.0/16"),
	 "p:4:1: warning: this rule can never match"},
	{IN_25("drop to 10.1.0.0/16\nallow to 10.0.0.0/8"), NULL},
	{IN_25("drop to ::/0\nallow to 10.0.0.0/8"), NULL},
	{IN_25("drop to 0.0.0.0/0, ::/0\nallow to 10.0.0.0/8, 2001:db8::/32"),
	 "p:4:1: warning: this rule can never match"},
	{HEAD "net a = { 10.0.0.0/9, 10.128.0.0/10 }\nnet b = { 10.1.0.0/16, 10.129.0.0/16 }\n"
	      "host { port 25 { allow to a\ndrop to b\nreject } }\n",
	 "p:5:1: warning: this rule can never match"},
	{HEAD "net a = { 10.0.0.0/9, 10.128.0.0/10 }\nnet b = { 10.1.0.0/16, 10.192.0.0/16 }\n"
	      "host { port 25 { allow to a\ndrop to b\nreject } }\n",
	 NULL},
	/* nobody may send mail */
	{HEAD "host { port 25 { reject } }\n",
	 "p:2:8: warning: no mail server is allowed on port 25: no mail leaves this machine"},
	{HEAD "host { port 25 { allow to local\ndrop } }\n",
	 "warning: no mail server is allowed on port 25"},
	{HEAD "host { port 25 { drop from user mail\nreject \"no\" } }\n",
	 "warning: no mail server is allowed on port 25"},
	{HEAD "host { port 24, 25 { redirect 192.0.2.1:25 } }\n",
	 "warning: no mail server is allowed on port 25"},
	{HEAD "host { port 25 { allow to local\nreject \"This machine sends no mail.\" } }\n",
	 NULL},
	{HEAD "host { port 25 { allow to 192.0.2.25\nreject } }\n", NULL},
	{HEAD "host { port 25 { audit } }\n", NULL},
	{HEAD "host { port 587 { reject } }\n", NULL},
	{HEAD "edge \"x\" { port 25 { reject } }\n", NULL},
	{HEAD "edge \"x\", \"nosuch0\" { port 25 { reject } }\n",
	 "p:2:11: warning: there is no such interface here now; it is guarded from when it "
	 "appears"},
	{HEAD "edge \"nosuch*\" { port 25 { reject } }\n", NULL},
	/* of two edge blocks that fit an interface the first has its ports */
	{HEAD "edge \"tap*\" { port 25, 26 { reject } }\nedge \"tap0\" { port 27, 25 { drop } }\n",
	 "p:3:24: warning: the rules of port 25 can never match on these interfaces"},
	{HEAD "edge \"tap*\" { port 25 { reject } }\nedge x { port 25 { drop } }\n"
	      "edge \"tap1*\", \"tap0\" { port 25 { drop } }\n",
	 "p:2:15: note: these come before them on all of these interfaces"},
	{HEAD
	 "edge \"tap*\" { port 25 { reject } }\nedge \"tap0\", \"lan0\" { port 25 { drop } }\n",
	 NULL},
	{HEAD "edge \"tap0\" { port 25 { reject } }\nedge \"tap*\" { port 25 { drop } }\n", NULL},
	{HEAD "edge \"tap*\" { port 25 { reject } }\nedge \"tap0\" { port 26 { drop } }\n", NULL},
	{HEAD "edge \"x\" { port 25 { allow from 10.0.0.0/8\nreject from 10.1.0.0/16\ndrop } }\n",
	 "p:3:1: warning: this rule can never match"},
	/* answers */
	{HEAD "edge \"x\" { port 25, 465 { reject \"no\" answer } }\n",
	 "p:2:39: warning: on port 465 programs begin with TLS at once and do not understand this "
	 "answer"},
	{HEAD "host { port 465 { reject \"no\" answer } }\n",
	 "p:2:31: warning: on port 465 programs begin with TLS at once"},
	{HEAD "edge \"x\" { port 25, 587 { reject \"no\" answer } }\n", NULL},
	/* redirect */
	{IN_25("redirect [::1]:25 from user 7"),
	 "p:3:1: warning: no IPv4 target: connections over IPv4 are refused"},
	{IN_25("redirect 127.0.0.1:25 from user 7"), NULL},
	/* a way to TLS that the port does not have */
	{HEAD "host { port 587, 465 { require tls starttls 1.2 } }\n",
	 "p:2:24: warning: on port 465 programs begin with TLS at once (implicit), which this rule "
	 "refuses"},
	{IN_25("require tls implicit from user 7"),
	 "p:3:1: warning: on port 25 TLS begins with STARTTLS alone, which this rule refuses"},
	{HEAD "edge \"x\" { port 465 { require tls starttls } }\n", "p:2:23: warning: on port 465"},
	{IN_25("require tls starttls from user 7"), NULL},
	{IN_25("require tls from user 7"), NULL},
	{HEAD "host { port 465 { require tls implicit proxy } }\n", NULL},
	{HEAD "host { port 465, 587 { require tls 1.0 } }\n", NULL},
	{HEAD "host { port 587, 2525 { require tls implicit 1.1 to local\n"
	      "require tls starttls proxy } }\n",
	 NULL},
	{HEAD "host { port 465 { audit } }\n", NULL},
};

static void test_warned(void **state)
{
	(void)state;
	for (size_t i = 0; i < sw_count(warned); i++) {
		sw_cleanup(checked_free) struct checked checked = check(warned[i].text);
		sw_autofree char *said = fake_said(checked.diags);
		size_t warnings = warned[i].says ? 1 : 0;

		if (checked.result != 0 || sw_diags_warnings(checked.diags) != warnings ||
		    (warnings && !strstr(said, warned[i].says)))
			fail_msg("%s\nsays: %s\nnot:  %s", warned[i].text, said,
				 warnings ? warned[i].says : "(nothing)");
	}
}

/* Limits of what the kernel side keeps, each at the last length that fits. */
static void test_lengths(void **state)
{
	static const struct {
		const char *before, *after;
		size_t most;
	} lengths[] = {
		{"exe \"/", "\" user 1", 255},
		{"unit \"", "\"", 255},
		{"cgroup \"/", "\"", 254},
	};
	char name[300], text[600];

	(void)state;
	memset(name, 'x', sizeof(name));
	for (size_t i = 0; i < 2 * sw_count(lengths); i++) {
		size_t most = lengths[i / 2].most, slash = i / 2 != 1;
		size_t given = most + i % 2;

		snprintf(text, sizeof(text), HEAD "who a = %s%.*s%s\n" REST, lengths[i / 2].before,
			 (int)(given - slash), name, lengths[i / 2].after);
		sw_cleanup(checked_free) struct checked checked = check(text);

		assert_int_equal(checked.result, i % 2 ? -EINVAL : 0);
	}
}

static void test_too_many_rules(void **state)
{
	sw_autofree char *text = NULL;
	size_t length = 0;
	FILE *to = open_memstream(&text, &length);

	(void)state;
	assert_non_null(to);
	fputs("mode audit\nhost {\n", to);
	for (int i = 1; i <= 257; i++)
		fprintf(to, "port %d { drop }\n", i + 100);
	fputs("}\n", to);
	fclose(to);
	sw_cleanup(checked_free) struct checked checked = check(text);
	sw_autofree char *said = fake_said(checked.diags);

	assert_int_equal(checked.result, -EINVAL);
	assert_non_null(strstr(said, "p:259:12: error: more than 256 rules\n"));
}

/* Errors of the parser and of the check are told together. */
static void test_all_in_one_go(void **state)
{
	sw_cleanup(checked_free) struct checked checked =
		check("mode enforce\n"
		      "who a = user nosuch\n"
		      "who b = usr x\n"
		      "host { port 25 {\nallow from a, b\nalow from c\n} }\n");
	sw_autofree char *said = fake_said(checked.diags);

	(void)state;
	assert_int_equal(checked.result, -EINVAL);
	assert_int_equal(sw_diags_errors(checked.diags), 3);
	assert_non_null(strstr(said, "p:2:14: error: there is no user"));
	assert_non_null(strstr(said, "p:3:9: error: expected \"exe\""));
	assert_non_null(strstr(said, "p:6:1: error: expected a rule"));
}

static void test_no_world(void **state)
{
	static const char text[] = "mode enforce\nwho a = exe \"/x\" user 5 unit u.service\n"
				   "host { port 25 { allow from a\ndrop } }\n";
	struct sw_world world = {.data = NULL};
	struct sw_diags *diags = sw_diags_new();
	struct sw_policy_ast *policy = sw_policy_parse("p", text, strlen(text), diags);

	(void)state;
	assert_int_equal(sw_policy_check(policy, &world, diags), 0);
	assert_int_equal(policy->whos->selectors->next->id, 5);
	assert_int_equal(sw_diags_warnings(diags), 0);
	sw_policy_free(policy);
	sw_diags_free(diags);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_resolves),      cmocka_unit_test(test_refused),
		cmocka_unit_test(test_hints),         cmocka_unit_test(test_warned),
		cmocka_unit_test(test_lengths),       cmocka_unit_test(test_too_many_rules),
		cmocka_unit_test(test_all_in_one_go), cmocka_unit_test(test_no_world),
	};

	return cmocka_run_group_tests_name("check", tests, NULL, NULL);
}
