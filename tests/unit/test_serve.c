/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Serve blocks from text to what is said of a client, and what the check says of them. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

#include "bpf/edge_match.h"
#include "daemon/base.h"
#include "tests/unit/policy_image.h"

#define IPV4(a, b, c, d)                                                                           \
	{                                                                                          \
		[10] = 0xff, 0xff, (a), (b), (c), (d)                                              \
	}
#define FROM4(a, b, c, d) .has_from = true, .from = IPV4(a, b, c, d)
#define TO4(a, b, c, d) .has_to = true, .to = IPV4(a, b, c, d)

static const char server[] = "mode enforce\n"                                   /* 1 */
			     "net partners = { 192.0.2.0/24, 2001:db8::/32 }\n" /* 2 */
			     "host {\n"                                         /* 3 */
			     "port 25 { allow }\n"                              /* 4: rule 1 */
			     "}\n"                                              /* 5 */
			     "edge \"lan0\" {\n"                                /* 6 */
			     "port 25 { drop }\n"                               /* 7: rule 2 */
			     "}\n"                                              /* 8 */
			     "serve {\n"                                        /* 9 */
			     "port 25 {\n"                                      /* 10 */
			     "allow from partners\n"                            /* 11: rule 3 */
			     "drop from 198.51.100.0/24\n"                      /* 12: rule 4 */
			     "reject from 203.0.113.0/24 to 10.0.0.1\n"         /* 13: rule 5 */
			     "require tls 1.2 to local\n"                       /* 14: rule 6 */
			     "audit\n"                                          /* 15: rule 7 */
			     "}\n"                                              /* 16 */
			     "port 465 { require tls }\n"                       /* 17: rule 8 */
			     "port 587 { mode audit\nreject }\n"                /* 18, 19: rule 9 */
			     "}\n";

static void answers(void **state)
{
	static const struct {
		struct sw_query query;
		int verdict, reason;
		uint32_t rule;
	} cases[] = {
		{{.port = 25, FROM4(192, 0, 2, 7)}, SW_VERDICT_ALLOW, 0, 3},
		{{.port = 25, FROM4(198, 51, 100, 7)}, SW_VERDICT_DROP, SW_REASON_NOT_PERMITTED, 4},
		{{.port = 25, FROM4(203, 0, 113, 7), TO4(10, 0, 0, 1)},
		 SW_VERDICT_REJECT,
		 SW_REASON_NOT_PERMITTED,
		 5},
		{{.port = 25, FROM4(203, 0, 113, 7), TO4(10, 0, 0, 2)}, SW_VERDICT_AUDIT, 0, 7},
		{{.port = 25, FROM4(203, 0, 113, 7), TO4(10, 0, 0, 2), .to_is_local = true},
		 SW_VERDICT_ALLOW,
		 0,
		 6},
		{{.port = 25}, SW_VERDICT_AUDIT, 0, 7},
		{{.port = 465}, SW_VERDICT_ALLOW, 0, 8},
		{{.port = 587}, SW_VERDICT_AUDIT, SW_REASON_NOT_PERMITTED, 9},
	};
	autoimage struct sw_image *image = compiled(server, NULL);
	struct sw_query query = {.scope = SW_SCOPE_SERVE, .port = 26};
	struct sw_answer answer;

	(void)state;
	for (size_t i = 0; i < sw_count(cases); i++) {
		query = cases[i].query;
		query.scope = SW_SCOPE_SERVE;
		sw_image_eval(image, &query, &answer);
		if (!answer.guarded || answer.rule != cases[i].rule)
			print_error("case %zu: rule %u\n", i, answer.rule);
		assert_true(answer.guarded);
		assert_int_equal(answer.rule, cases[i].rule);
		assert_int_equal(answer.verdict, cases[i].verdict);
		assert_int_equal(answer.reason, cases[i].reason);
		assert_int_equal(answer.tls, cases[i].rule == 6 || cases[i].rule == 8);
	}
	query = (struct sw_query){.scope = SW_SCOPE_SERVE, .port = 26};
	sw_image_eval(image, &query, &answer);
	assert_false(answer.guarded);
	/* Neither of the other scopes knows of it. */
	query = (struct sw_query){.port = 465};
	sw_image_eval(image, &query, &answer);
	assert_false(answer.guarded);
}

/* An image without serve blocks costs packets no look at ports. */
static void only_where_asked(void **state)
{
	autoimage struct sw_image *without =
		compiled("mode enforce\nhost { port 25 { allow } }\n", NULL);
	autoimage struct sw_image *with = compiled(server, NULL);
	size_t named = 0;

	(void)state;
	assert_false(without->policy.serves);
	assert_true(with->policy.serves);
	for (uint32_t port = 0; port < 65536; port++) {
		assert_false(sw_serve_guarded(&without->policy, (uint16_t)port));
		named += sw_serve_guarded(&with->policy, (uint16_t)port);
	}
	assert_int_equal(named, 3);
}

static void check(void **state)
{
	static const struct {
		const char *serve, *says;
	} cases[] = {
		{"port 25 { allow from user mail\nreject }",
		 "policy:2:30: note: who comes to a server is known by its address"},
		{"port 25 { allow from local\nreject }", "error: \"local\" stands behind \"to\""},
		{"port 25 { redirect 127.0.0.1:25\n}",
		 "error: a session that this machine answers cannot be redirected"},
		{"port 25 { reject \"No.\" answer\n}", "error: \"answer\" stands in"},
		{"port 25 { allow from 10.0.0.0/8\n}", "do not say what becomes of everybody else"},
		{"port 25 { allow }\nport 25 { drop }", "error: port 25 has rules already"},
		{"port 25 { require tls }",
		 "policy:2:19: warning: other mail servers that do not speak TLS cannot deliver"},
		{"port 25 { allow from 10.0.0.0/8\nrequire tls }", "warning: other mail servers"},
	};
	static const char *const fine[] = {
		"port 587 { require tls }",
		"port 25 { mode audit\nrequire tls }",
		"port 25 { require tls from 10.0.0.0/8\naudit }",
	};

	(void)state;
	for (size_t i = 0; i < sw_count(cases) + sw_count(fine); i++) {
		sw_autofree char *text = NULL, *said = NULL;
		bool good = i >= sw_count(cases);
		int n = asprintf(&text, "mode enforce\nserve { %s }\n",
				 good ? fine[i - sw_count(cases)] : cases[i].serve);

		assert_true(n > 0);
		sw_image_free(image_of(text, NULL, &said));
		if (good)
			assert_string_equal(said, "");
		else
			assert_non_null(strstr(said, cases[i].says));
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(answers),
		cmocka_unit_test(only_where_asked),
		cmocka_unit_test(check),
	};

	return cmocka_run_group_tests_name("serve", tests, NULL, NULL);
}
