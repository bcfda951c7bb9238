/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The tree that a text becomes, what is said about a wrong one, and that nothing makes it fall. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "tests/unit/policy_world.h"

/* Every construct once. */
static const char whole[] =
	"mode enforce\n"
	"who mta = exe \"/usr/lib/postfix/sbin/smtp\" user postfix # the mail server\n"
	"who odd = group \"postdrop\" unit cron.service cgroup \"system.slice//a.service/\" user "
	"7\n"
	"net partners = { 192.0.2.0/24, 2001:db8::/32, file \"partners.list\", }\n"
	"net all = { partners,\n"
	"    # a comment\n"
	"    10.0.0.0/8\n"
	"}\n"
	"net one = ::1\n"
	"host {\n"
	"    mode audit\n"
	"    port 25, 26 {\n"
	"        mode enforce\n"
	"        allow to local, partners, 203.0.113.0/24\n"
	"        allow from mta, user www-data group 33,\n"
	"            odd to all\n"
	"        redirect [::1]:2525, 127.0.0.1:25 to one from exe /usr/sbin/exim4 user mail\n"
	"        reject \"Not \\\"here\\\".\"\n"
	"    }\n"
	"    port 587 { require tls starttls 1.2 }\n"
	"}\n"
	"edge \"lan0\", tap* { port 465 { require tls 1.3 proxy implicit from partners\n"
	"    drop } }\n"
	"serve\n"
	"{\n"
	"    port 25 { audit }\n"
	"}\n";

struct parsed {
	struct sw_diags *diags;
	struct sw_policy_ast *policy;
};

static struct parsed parse(const char *text, size_t length)
{
	struct parsed parsed = {.diags = sw_diags_new()};

	parsed.policy = sw_policy_parse("p", text, length, parsed.diags);
	return parsed;
}

static void parsed_free(struct parsed *parsed)
{
	sw_policy_free(parsed->policy);
	sw_diags_free(parsed->diags);
}

static void expect_clean(const struct parsed *parsed)
{
	sw_autofree char *said = fake_said(parsed->diags);

	assert_string_equal(said, "");
}

static void test_definitions(void **state)
{
	sw_cleanup(parsed_free) struct parsed parsed = parse(whole, strlen(whole));
	const struct sw_who *who = parsed.policy->whos;
	const struct sw_net *net = parsed.policy->nets;

	(void)state;
	expect_clean(&parsed);
	assert_int_equal(parsed.policy->mode, SW_MODE_ENFORCE);
	assert_string_equal(who->name, "mta");
	assert_string_equal(who->comments.behind, " the mail server");
	assert_int_equal(who->pos.line, 2);
	assert_int_equal(who->pos.column, 5);
	assert_int_equal(who->selectors->kind, SW_SELECT_EXE);
	assert_int_equal(who->selectors->next->kind, SW_SELECT_USER);
	assert_string_equal(who->selectors->next->text, "postfix");
	assert_string_equal(who->next->selectors->text, "postdrop");
	assert_string_equal(who->next->selectors->next->text, "cron.service");
	assert_string_equal(who->next->selectors->next->next->text, "/system.slice/a.service");
	assert_null(who->next->next);

	assert_string_equal(net->name, "partners");
	assert_int_equal(net->items->prefix.bits, 120);
	assert_int_equal(net->items->next->prefix.bits, 32);
	assert_int_equal(net->items->next->next->kind, SW_NET_FILE);
	assert_string_equal(net->items->next->next->text, "partners.list");
	assert_null(net->items->next->next->next);
	assert_int_equal(net->next->items->kind, SW_NET_NAME);
	assert_string_equal(net->next->items->next->comments.before, " a comment");
	assert_int_equal(net->next->next->items->prefix.bits, 128);
}

static void test_rules(void **state)
{
	sw_cleanup(parsed_free) struct parsed parsed = parse(whole, strlen(whole));
	const struct sw_scope_block *host = parsed.policy->scopes;
	const struct sw_rule_node *rule = host->blocks->rules;

	(void)state;
	assert_int_equal(host->scope, SW_SCOPE_HOST);
	assert_int_equal(host->mode, SW_MODE_AUDIT);
	assert_int_equal(host->blocks->mode, SW_MODE_ENFORCE);
	assert_int_equal(host->blocks->ports->port, 25);
	assert_int_equal(host->blocks->ports->next->port, 26);

	assert_int_equal(rule->action, SW_RULE_ALLOW);
	assert_null(rule->from);
	assert_int_equal(rule->to->kind, SW_PARTY_LOCAL);
	assert_string_equal(rule->to->next->name, "partners");
	assert_int_equal(rule->to->next->kind, SW_PARTY_NET);
	assert_null(rule->to->next->next->name);
	assert_int_equal(rule->to->next->next->net->items->prefix.bits, 120);

	rule = rule->next;
	assert_string_equal(rule->from->name, "mta");
	assert_int_equal(rule->from->next->who->selectors->next->kind, SW_SELECT_GROUP);
	assert_string_equal(rule->from->next->next->name, "odd");
	assert_string_equal(rule->to->name, "all");

	rule = rule->next;
	assert_int_equal(rule->action, SW_RULE_REDIRECT);
	assert_true(rule->targets[0].given && rule->targets[1].given);
	assert_int_equal(rule->targets[0].port, 25);
	assert_int_equal(rule->targets[1].port, 2525);
	assert_int_equal(rule->targets[0].addr[10], 0xff);
	assert_non_null(rule->from);
	assert_non_null(rule->to);

	rule = rule->next;
	assert_int_equal(rule->action, SW_RULE_REJECT);
	assert_string_equal(rule->text, "Not \"here\".");
	assert_null(rule->next);
}

static void test_scopes(void **state)
{
	sw_cleanup(parsed_free) struct parsed parsed = parse(whole, strlen(whole));
	const struct sw_scope_block *host = parsed.policy->scopes, *edge = host->next;
	const struct sw_rule_node *rule = host->blocks->next->rules;

	(void)state;
	assert_int_equal(rule->tls_way, SW_WAY_STARTTLS);
	assert_int_equal(rule->tls_version, 0x0303);
	assert_false(rule->tls_proxy);
	assert_int_equal(edge->scope, SW_SCOPE_EDGE);
	assert_string_equal(edge->interfaces->pattern, "lan0");
	assert_string_equal(edge->interfaces->next->pattern, "tap*");
	assert_int_equal(edge->blocks->rules->tls_way, SW_WAY_IMPLICIT);
	assert_int_equal(edge->blocks->rules->tls_version, 0x0304);
	assert_true(edge->blocks->rules->tls_proxy);
	assert_int_equal(edge->blocks->rules->from->kind, SW_PARTY_NET);
	assert_int_equal(edge->blocks->rules->next->action, SW_RULE_DROP);
	assert_int_equal(edge->next->scope, SW_SCOPE_SERVE);
	assert_int_equal(edge->next->blocks->rules->action, SW_RULE_AUDIT_ONLY);
	assert_null(edge->next->next);
}

/* Text that is wrong in one place: where, and what is said. Goldens hold the carets. */
static const struct {
	const char *text, *says;
} wrong[] = {
	{"mode\n", "p:1:5: error: expected \"enforce\" or \"audit\", found the end of the line"},
	{"mode enforce audit\n", "p:1:14: error: expected the end of the line, found \"audit\""},
	{"mode audit\nmode audit\n", "p:2:1: error: the mode of the file is said twice"},
	{"}\n", "p:1:1: error: this \"}\" closes no block"},
	{"port 25 { allow }\n", "p:1:1: error: a port block stands in host, edge or serve"},
	{"ho\xc3\xa4st {}\n",
	 "p:1:1: error: expected mode, who, net, host, edge or serve, found \"ho\xc3\xa4st\""},
	{"who\n", "p:1:4: error: expected a name, found the end of the line"},
	{"who \"a\" = user b\n", "p:1:5: error: expected a name, found a string"},
	{"who from = user b\n",
	 "p:1:5: error: expected a name, found \"from\", which is a word of the language"},
	{"who 1a = user b\n",
	 "p:1:5: error: expected a name, found \"1a\": a name is a letter or \"_\", then letters, "
	 "digits, \"_\" and \"-\""},
	{"who aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa = user b\n",
	 "p:1:5: error: this name has 64 characters, 63 are the most"},
	{"who a user b\n", "p:1:7: error: expected \"=\", found \"user\""},
	{"who a = b\n", "p:1:9: error: expected \"exe\", \"user\", \"group\", \"unit\" or "
			"\"cgroup\", found \"b\""},
	{"who a = exe\n",
	 "p:1:12: error: expected the path of a program, in quotes, found the end of the line"},
	{"who a = user to\n",
	 "p:1:14: error: expected a user's name or number, found \"to\"; if that "
	 "is the name, put it in quotes"},
	{"who a = unit \"\"\n",
	 "p:1:14: error: expected the name of a systemd unit, in quotes, found an empty string"},
	{"who a = user b, user c\n", "p:1:15: error: expected the end of the line, found \",\""},
	{"who a = user b group c user d\n", "p:1:24: error: a second \"user\": selectors on one "
					    "line must all hold; for one or the other, "
					    "list them with a comma in the rule"},
	{"net a = {}\n",
	 "p:1:10: error: expected a prefix, the name of a net or \"file\", found \"}\""},
	{"net a = { 1.2.3.4 5.6.7.8 }\n",
	 "p:1:19: error: expected \",\" or \"}\", found \"5.6.7.8\""},
	{"net a = { 1.2.3.4\n, ::1 }\n", "p:2:1: error: expected \",\" or \"}\", found \",\""},
	{"net a = { \"x\" }\n",
	 "p:1:11: error: expected a prefix, the name of a net or \"file\", found a string"},
	{"net a = file x\n",
	 "p:1:14: error: expected the name of a list file, in quotes, found \"x\""},
	{"net a = [::1]\n", "p:1:9: error: an address stands here without brackets"},
	{"net a = 10.0.0.1/8\n",
	 "p:1:9: error: bits are set behind the prefix; the network is 10.0.0.0/8"},
	{"net a = { 10.0.0.0/8\nhost { }\n",
	 "p:2:1: error: expected \",\" or \"}\", found \"host\""},
	{"net a = { 10.0.0.0/8\nhost { port 25 { allow } }\n",
	 "p:2:1: error: expected \",\" or \"}\", found \"host\""},
	{"host \"lan0\" { }\n", "p:1:6: error: interfaces are named by \"edge\" only"},
	{"host { existing refuse }\n",
	 "p:1:8: error: \"existing\" stands once in an edge block, before its ports"},
	{"edge x { existing refuse\nexisting keep 1s }\n",
	 "p:2:1: error: \"existing\" stands once in an edge block, before its ports"},
	{"edge x { port 25 { drop }\nexisting keep 1s }\n",
	 "p:2:1: error: \"existing\" stands once in an edge block, before its ports"},
	{"edge x { existing keep 1s\nmode audit }\n",
	 "p:2:1: error: \"mode\" stands once in a block, before all else"},
	{"edge x { existing }\n", "p:1:19: error: expected \"keep\" or \"refuse\", found \"}\""},
	{"edge x { existing kep 10m }\n",
	 "p:1:19: error: expected \"keep\" or \"refuse\", found \"kep\""},
	{"edge x { existing refuse 10m }\n",
	 "p:1:26: error: expected the end of the line, found \"10m\""},
	{"edge x { existing keep }\n", "p:1:24: error: expected a time such as 90s, 10m or 1h, at "
				       "most a week (168h), found \"}\""},
	{"edge x { existing keep 10 m }\n",
	 "p:1:24: error: expected a time such as 90s, 10m or 1h, at most a week (168h), found "
	 "\"10\""},
	{"edge x { existing keep 169h }\n", "p:1:24: error: expected a time such as 90s, 10m or "
					    "1h, at most a week (168h), found \"169h\""},
	{"edge x { existing keep 604801s }\n", "p:1:24: error: expected a time such as 90s, 10m or "
					       "1h, at most a week (168h), found \"604801s\""},
	{"edge x { existing keep m }\n", "p:1:24: error: expected a time such as 90s, 10m or 1h, "
					 "at most a week (168h), found \"m\""},
	{"edge x { existing keep 1d }\n", "p:1:24: error: expected a time such as 90s, 10m or 1h, "
					  "at most a week (168h), found \"1d\""},
	{"edge x { existing keep -1s }\n", "p:1:24: error: expected a time such as 90s, 10m or 1h, "
					   "at most a week (168h), found \"-1s\""},
	{"edge x { existing keep \"1s\" }\n", "p:1:24: error: expected a time such as 90s, 10m or "
					      "1h, at most a week (168h), found a string"},
	{"edge x { existing keep 0m }\n",
	 "p:1:24: error: this keeps nothing; that is: existing refuse"},
	{"edge x { existng keep 1m }\n",
	 "p:1:10: error: expected \"port\" or \"}\", found \"existng\""},
	{"host { port 25 { reject answer } }\n",
	 "p:1:25: error: \"answer\" needs a text to say: reject \"...\" answer"},
	{"host { port 25 { reject \"gr\xc3\xbc\xc3\x9f\" answer } }\n",
	 "p:1:25: error: \"answer\" says this text in SMTP, which takes printable ASCII only"},
	{"host { port 25 { reject \"a\tb\" answer } }\n",
	 "p:1:25: error: \"answer\" says this text in SMTP, which takes printable ASCII only"},
	{"host { port 25 { reject \"a\" answer answer } }\n",
	 "p:1:36: error: \"answer\" stands once, right behind a text: reject \"...\" answer"},
	{"host { port 25 { reject \"a\" to local answer } }\n",
	 "p:1:38: error: \"answer\" stands once, right behind a text: reject \"...\" answer"},
	{"host { port 25 { allow answer } }\n",
	 "p:1:24: error: \"answer\" stands once, right behind a text: reject \"...\" answer"},
	{"host { port 25 { reject \"a\" anser } }\n",
	 "p:1:29: error: expected \"answer\", \"from\", \"to\" or the end of the line, found "
	 "\"anser\""},
	{"edge { }\n", "p:1:6: error: expected the name of an interface, in quotes, found \"{\""},
	{"edge \"a/b\" { }\n", "p:1:6: error: this is no name of an interface: 1 to 15 characters, "
			       "no \"/\", \":\" or space, "
			       "\"*\" only at the end"},
	{"host\nwho a = user b\n", "p:1:5: error: expected \"{\", found the end of the line"},
	{"host { allow }\n", "p:1:8: error: a rule stands in a port block: port 25 { ... }"},
	{"host { port { allow } }\n", "p:1:13: error: expected a port, 1 to 65535, found \"{\""},
	{"host { port 0 { allow } }\n", "p:1:13: error: expected a port, 1 to 65535, found \"0\""},
	{"host { port 65536 { allow } }\n",
	 "p:1:13: error: expected a port, 1 to 65535, found \"65536\""},
	{"host { port 25, { allow } }\n",
	 "p:1:17: error: expected a port, 1 to 65535, found \"{\""},
	{"host { port 25 { allow\nmode audit } }\n",
	 "p:2:1: error: \"mode\" stands once in a block, before all else"},
	{"host { mode audit\nmode audit\n }\n",
	 "p:2:1: error: \"mode\" stands once in a block, before all else"},
	{"host { port 25 { allow reject } }\n",
	 "p:1:24: error: expected \"from\", \"to\" or the end of the line, found \"reject\""},
	{"host { port 25 { allow from a b } }\n",
	 "p:1:31: error: expected \",\", \"from\", \"to\" or the end of the line, found \"b\""},
	{"host { port 25 { allow from a from b } }\n",
	 "p:1:31: error: a second \"from\": one list holds them all, with commas"},
	{"host { port 25 { allow from } }\n", "p:1:29: error: expected the name of a who, exe, "
					      "user, group, unit or cgroup, found \"}\""},
	{"host { port 25 { allow to \"x\" } }\n", "p:1:27: error: a string alone names nothing: "
						  "write exe, user, group, unit or cgroup before "
						  "it"},
	{"host { port 25 { allow to { ::1 } } }\n",
	 "p:1:27: error: a list in a rule has no braces; or give it a name: net NAME = { ... }"},
	{"host { port 25 { allow to file \"x\" } }\n",
	 "p:1:27: error: a list file stands in a net: net NAME = { file \"...\" }"},
	{"host { port 25 { reject \"\" } }\n", "p:1:25: error: an empty text; leave it out"},
	{"host { port 25 { redirect } }\n", "p:1:27: error: expected ADDRESS:PORT, found \"}\""},
	{"host { port 25 { redirect from a } }\n",
	 "p:1:27: error: expected ADDRESS:PORT, found \"from\""},
	{"host { port 25 { redirect ::1:25 } }\n",
	 "p:1:27: error: an IPv6 address stands in brackets: [ADDRESS]:PORT"},
	{"host { port 25 { redirect 1.2.3.4:25, 1.2.3.5:25 } }\n",
	 "p:1:39: error: a second IPv4 target: one of each family can be given"},
	{"host { port 25 { require } }\n", "p:1:26: error: expected \"tls\", found \"}\""},
	{"host { port 25 { require tls 1.4 } }\n",
	 "p:1:30: error: expected \"implicit\", \"starttls\", a version (1.0, 1.1, 1.2, 1.3), "
	 "\"proxy\" or the end of the line, found \"1.4\""},
	{"host { port 25 { require tls \"1.2\" } }\n",
	 "p:1:30: error: expected \"implicit\", \"starttls\", a version (1.0, 1.1, 1.2, 1.3), "
	 "\"proxy\" or the end of the line, found a string"},
	{"host { port 25 { require tls 1.2 1.3 } }\n",
	 "p:1:34: error: \"require tls\" has one way, one version and one \"proxy\""},
	{"host { port 25 { require tls implicit starttls } }\n",
	 "p:1:39: error: \"require tls\" has one way, one version and one \"proxy\""},
	{"host { port 25 { require tls proxy 1.2 proxy } }\n",
	 "p:1:40: error: \"require tls\" has one way, one version and one \"proxy\""},
	{"host { port 25 { allow ; } }\n",
	 "p:1:24: error: \";\" has no meaning here: a statement ends with its line"},
	{"host { port 25 { allow }\n", "p:2:1: error: expected \"}\", found the end of the file"},
	{"host {\n port 25 {\n allow\n port 26 { allow }\n}\n",
	 "p:4:2: error: expected \"}\", found \"port\""},
	{"mode audit\n# \x1b[31m\n", "p:2:3: error: a control character"},
	{"mode audit # \xe2\x80\xae\n", "p:1:14: error: a control character"},
	{"mode audit \xff\n", "p:1:12: error: this byte is not UTF-8"},
};

static void test_wrong(void **state)
{
	(void)state;
	for (size_t i = 0; i < sw_count(wrong); i++) {
		sw_cleanup(parsed_free) struct parsed parsed =
			parse(wrong[i].text, strlen(wrong[i].text));
		sw_autofree char *said = fake_said(parsed.diags);
		size_t length = strlen(wrong[i].says);

		/* one mistake, one error */
		if (sw_diags_errors(parsed.diags) != 1)
			fail_msg("%s\nsays: %s", wrong[i].text, said);
		if (strncmp(said, wrong[i].says, length) != 0 || said[length] != '\n')
			fail_msg("%s\nsays: %s\nnot:  %s", wrong[i].text, said, wrong[i].says);
	}
}

/* After each mistake the parser goes on, and what is right is still read. */
static void test_goes_on(void **state)
{
	static const char text[] = "mode enforce\n"
				   "who a = nobody\n"
				   "who b = user c\n"
				   "hots {\n"
				   "    prot 25 {\n"
				   "        alow to local\n"
				   "        allow to local\n"
				   "        redirect { x\n"
				   "        }\n"
				   "        reject\n"
				   "    }\n"
				   "    port 0, 26 {\n"
				   "        drop }\n"
				   "}\n"
				   "net x = 1.2.3.4/x\n"
				   "net y = 1.2.3.4\n";
	sw_cleanup(parsed_free) struct parsed parsed = parse(text, strlen(text));
	const struct sw_scope_block *host = parsed.policy->scopes;

	(void)state;
	assert_int_equal(sw_diags_errors(parsed.diags), 7);
	assert_string_equal(parsed.policy->whos->next->name, "b");
	assert_true(parsed.policy->whos->broken);
	assert_false(parsed.policy->whos->next->broken);
	assert_int_equal(host->scope, SW_SCOPE_HOST);
	assert_true(host->blocks->broken);
	assert_int_equal(host->blocks->rules->action, SW_RULE_ALLOW);
	assert_int_equal(host->blocks->rules->next->action, SW_RULE_REJECT);
	assert_int_equal(host->blocks->next->rules->action, SW_RULE_DROP);
	assert_string_equal(parsed.policy->nets->next->name, "y");
}

/* Every beginning of a policy is a policy or has a diagnostic. */
static void test_truncated(void **state)
{
	size_t clean = 0;

	(void)state;
	for (size_t length = 0; length <= strlen(whole); length++) {
		/* a copy of just that size, so that a sanitizer sees a step too far */
		sw_autofree char *text = malloc(length ? length : 1);
		struct sw_world world = fake_world(NULL);

		assert_non_null(text);
		memcpy(text, whole, length);
		sw_cleanup(parsed_free) struct parsed parsed = parse(text, length);

		clean += sw_diags_errors(parsed.diags) == 0;
		if (sw_policy_check(parsed.policy, &world, parsed.diags) != 0)
			assert_true(sw_diags_errors(parsed.diags) > 0);
		free(fake_said(parsed.diags));
	}
	assert_true(clean > 10);
}

/* Likewise with a byte changed to each of a few that mean something. */
static void test_changed(void **state)
{
	static const char signs[] = "{}\"\\\n#,= x\xff";

	(void)state;
	for (size_t i = 0; i < strlen(whole); i++)
		for (size_t j = 0; j < sizeof(signs); j++) {
			sw_autofree char *text = strdup(whole);
			struct sw_world world = fake_world(NULL);

			assert_non_null(text);
			text[i] = signs[j];
			sw_cleanup(parsed_free) struct parsed parsed = parse(text, strlen(whole));

			sw_policy_check(parsed.policy, &world, parsed.diags);
		}
}

/* Deep nesting and long lists use memory, not stack. */
static void test_large(void **state)
{
	const size_t n = 1 << 20;
	sw_autofree char *text = malloc(2 * n);

	(void)state;
	assert_non_null(text);
	for (int i = 0; i < 3; i++) {
		memset(text, "{}#"[i], n);
		memcpy(text, "host ", 5);
		sw_cleanup(parsed_free) struct parsed parsed = parse(text, n);

		assert_true(sw_diags_errors(parsed.diags) > 0);
	}
	size_t at = (size_t)snprintf(text, n, "net a = {");

	while (at + 5 < n)
		at += (size_t)snprintf(text + at, n - at, "b,\n");
	snprintf(text + at, n - at, "}");
	sw_cleanup(parsed_free) struct parsed parsed = parse(text, strlen(text));

	expect_clean(&parsed);
}

static void test_accepted_forms(void **state)
{
	static const char *const forms[] = {
		"",
		"\n\n# only a comment",
		"\xef\xbb\xbfmode audit\r\nhost\r\n{\r\n}\r\n",
		"mode audit\nhost { mode audit }",
		"who a =\n  user b",
		"net a =\n # why\n {\n 1.2.3.4,\n }",
		"host { port 25,\n 26 { allow from a,\n # comment\n b to c,\n d } }",
		"host { port 25 { redirect 1.2.3.4:25,\n [::1]:25\n } }",
		"host{port 25{reject\"x\"from a}}",
	};

	(void)state;
	for (size_t i = 0; i < sw_count(forms); i++) {
		sw_cleanup(parsed_free) struct parsed parsed = parse(forms[i], strlen(forms[i]));

		if (sw_diags_errors(parsed.diags))
			fail_msg("%s\n%s", forms[i], fake_said(parsed.diags));
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_definitions),    cmocka_unit_test(test_rules),
		cmocka_unit_test(test_scopes),         cmocka_unit_test(test_wrong),
		cmocka_unit_test(test_goes_on),        cmocka_unit_test(test_truncated),
		cmocka_unit_test(test_changed),        cmocka_unit_test(test_large),
		cmocka_unit_test(test_accepted_forms),
	};

	return cmocka_run_group_tests_name("parse", tests, NULL, NULL);
}
