/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Edge blocks from text to image and to what is said of a packet; answers of host and edge. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>
#include <time.h>

#include <cmocka.h>

#include "bpf/abi_edge.h"
#include "bpf/edge_match.h"
#include "daemon/base.h"
#include "tests/unit/policy_image.h"

#define IPV4(a, b, c, d)                                                                           \
	{                                                                                          \
		[10] = 0xff, 0xff, (a), (b), (c), (d)                                              \
	}
#define FROM4(a, b, c, d) .has_from = true, .from = IPV4(a, b, c, d)
#define TO4(a, b, c, d) .has_to = true, .to = IPV4(a, b, c, d)
#define DB8(last)                                                                                  \
	{                                                                                          \
		0x20, 0x01, 0x0d, 0xb8, [15] = (last)                                              \
	}

static const char isp[] = "mode enforce\n"                                         /* 1 */
			  "net partners = { 192.0.2.0/24, 2001:db8::/32 }\n"       /* 2 */
			  "host {\n"                                               /* 3 */
			  "port 25 {\n"                                            /* 4 */
			  "allow from user mail\n"                                 /* 5: rule 1 */
			  "reject \"Ask the office.\" answer\n"                    /* 6: rule 2 */
			  "}\n"                                                    /* 7 */
			  "}\n"                                                    /* 8 */
			  "edge \"lan0\", \"tap*\" {\n"                            /* 9 */
			  "existing keep 90s\n"                                    /* 10 */
			  "port 25 {\n"                                            /* 11 */
			  "allow from partners to local\n"                         /* 12: rule 3 */
			  "allow from 192.0.2.7, 2001:db8::7 to 198.51.100.0/24\n" /* 13: rule 4 */
			  "drop to partners\n"                                     /* 14: rule 5 */
			  "reject \"Port 25 is closed.\" answer\n"                 /* 15: rule 6 */
			  "}\n"                                                    /* 16 */
			  "port 587 {\n"                                           /* 17 */
			  "require tls 1.2\n"                                      /* 18: rule 7 */
			  "}\n"                                                    /* 19 */
			  "}\n"                                                    /* 20 */
			  "edge \"tap7\", \"wan*\" {\n"                            /* 21 */
			  "mode audit\n"                                           /* 22 */
			  "existing refuse\n"                                      /* 23 */
			  "port 25, 465 {\n"                                       /* 24 */
			  "reject \"No.\" answer\n"                                /* 25: rule 8 */
			  "}\n"                                                    /* 26 */
			  "port 2525 {\n"                                          /* 27 */
			  "reject\n"                                               /* 28: rule 9 */
			  "}\n"                                                    /* 29 */
			  "}\n"                                                    /* 30 */
			  "edge \"eth0\" {\n"                                      /* 31 */
			  "port 25 {\n"                                            /* 32 */
			  "mode audit\n"                                           /* 33 */
			  "audit\n"                                                /* 34: rule 10 */
			  "}\n"                                                    /* 35 */
			  "port 26 {\n"                                            /* 36 */
			  "reject from 10.0.0.0/8\n"                               /* 37: rule 11 */
			  "allow\n"                                                /* 38: rule 12 */
			  "}\n"                                                    /* 39 */
			  "}\n";

/* ---- what is said of a packet ---- */

struct expected {
	struct sw_query query;
	unsigned int verdict, reason;
	uint32_t rule, line;
	bool answer;
};

#define REJECT SW_VERDICT_REJECT, SW_REASON_NOT_PERMITTED
#define ALLOW SW_VERDICT_ALLOW, SW_REASON_NONE

static const struct expected cases[] = {
	/* everybody else; an address that no rule names */
	{{.port = 25, .interface = "lan0"}, REJECT, 6, 15, true},
	{{.port = 25, .interface = "tap0", FROM4(10, 0, 0, 1), TO4(203, 0, 113, 1)},
	 REJECT,
	 6,
	 15,
	 true},
	/* both lists must fit */
	{{.port = 25, .interface = "lan0", FROM4(192, 0, 2, 9)}, REJECT, 6, 15, true},
	{{.port = 25, .interface = "lan0", FROM4(192, 0, 2, 9), .to_is_local = true},
	 ALLOW,
	 3,
	 12,
	 false},
	{{.port = 25, .interface = "lan0", FROM4(192, 0, 3, 9), .to_is_local = true},
	 REJECT,
	 6,
	 15,
	 true},
	{{.port = 25, .interface = "lan0", FROM4(192, 0, 2, 7), TO4(198, 51, 100, 1)},
	 ALLOW,
	 4,
	 13,
	 false},
	{{.port = 25, .interface = "lan0", FROM4(192, 0, 2, 8), TO4(198, 51, 100, 1)},
	 REJECT,
	 6,
	 15,
	 true},
	{{.port = 25,
	  .interface = "lan0",
	  .has_from = true,
	  .from = DB8(7),
	  .has_to = true,
	  .to = DB8(1)},
	 SW_VERDICT_DROP,
	 SW_REASON_NOT_PERMITTED,
	 5,
	 14,
	 false},
	/* a source is not taken for a destination */
	{{.port = 25, .interface = "lan0", TO4(192, 0, 2, 7), FROM4(198, 51, 100, 1)},
	 SW_VERDICT_DROP,
	 SW_REASON_NOT_PERMITTED,
	 5,
	 14,
	 false},
	{{.port = 587, .interface = "tap00"}, ALLOW, 7, 18, false},
	/* of two blocks that fit the interface the first has the port, the other its own ports */
	{{.port = 25, .interface = "tap7"}, REJECT, 6, 15, true},
	{{.port = 465, .interface = "tap7"},
	 SW_VERDICT_AUDIT,
	 SW_REASON_NOT_PERMITTED,
	 8,
	 25,
	 false},
	{{.port = 2525, .interface = "tap7"},
	 SW_VERDICT_AUDIT,
	 SW_REASON_NOT_PERMITTED,
	 9,
	 28,
	 false},
	{{.port = 25, .interface = "wan"}, SW_VERDICT_AUDIT, SW_REASON_NOT_PERMITTED, 8, 25, false},
	{{.port = 25, .interface = "eth0"}, SW_VERDICT_AUDIT, SW_REASON_NONE, 10, 34, false},
	{{.port = 26, .interface = "eth0", FROM4(10, 9, 8, 7)}, REJECT, 11, 37, false},
	{{.port = 26, .interface = "eth0", FROM4(11, 9, 8, 7)}, ALLOW, 12, 38, false},
	/* no interface: one that the first block with this port names */
	{{.port = 25}, REJECT, 6, 15, true},
	{{.port = 2525}, SW_VERDICT_AUDIT, SW_REASON_NOT_PERMITTED, 9, 28, false},
	{{.port = 26, FROM4(10, 9, 8, 7)}, REJECT, 11, 37, false},
};

static const struct sw_query unguarded[] = {
	{.port = 24, .interface = "lan0"},  {.port = 587, .interface = "eth0"},
	{.port = 25, .interface = "lan1"},  {.port = 25, .interface = "ta"},
	{.port = 25, .interface = "lan00"}, {.port = 2525, .interface = "tap70"},
	{.port = 25, .interface = ""},      {.port = 80},
};

static void test_answers(void **state)
{
	autoimage struct sw_image *image = compiled(isp, NULL);

	(void)state;
	for (size_t i = 0; i < sw_count(cases); i++) {
		struct sw_query query = cases[i].query;
		struct sw_answer answer;

		query.scope = SW_SCOPE_EDGE;
		sw_image_eval(image, &query, &answer);
		if (!answer.guarded || answer.rule != cases[i].rule)
			print_error("case %zu: rule %u\n", i, answer.rule);
		assert_true(answer.guarded);
		assert_int_equal(answer.rule, cases[i].rule);
		assert_int_equal(answer.line, cases[i].line);
		assert_int_equal(answer.verdict, cases[i].verdict);
		assert_int_equal(answer.reason, cases[i].reason);
		assert_int_equal(answer.answer, cases[i].answer);
		assert_int_equal(answer.new_port, 0);
	}
	for (size_t i = 0; i < sw_count(unguarded); i++) {
		struct sw_query query = unguarded[i];
		struct sw_answer answer;

		query.scope = SW_SCOPE_EDGE;
		sw_image_eval(image, &query, &answer);
		assert_false(answer.guarded);
		assert_int_equal(answer.verdict, SW_VERDICT_ALLOW);
		assert_int_equal(answer.rule, 0);
	}
}

static void test_tls(void **state)
{
	autoimage struct sw_image *image = compiled(isp, NULL);
	struct sw_query query = {.scope = SW_SCOPE_EDGE, .port = 587, .interface = "tap7"};
	struct sw_answer answer;

	(void)state;
	sw_image_eval(image, &query, &answer);
	assert_true(answer.gate && answer.tls && !answer.audit);
	assert_int_equal(answer.tls_version, 0x0303);
	assert_string_equal(sw_answer_way(&answer), "any");
}

/* With and without a listener that the daemon has put into the rule; `why` says the same. */
static void test_host_answer(void **state)
{
	autoimage struct sw_image *image = compiled(isp, NULL);
	struct sw_query query = {.port = 25, TO4(192, 0, 2, 1)};
	struct sw_answer answer;

	(void)state;
	for (uint16_t port = 0; port < 2; port++) {
		image->policy.rules[1].port4 = (uint16_t)(port * 4000);
		sw_image_eval(image, &query, &answer);
		assert_int_equal(answer.rule, 2);
		assert_int_equal(answer.verdict, SW_VERDICT_REJECT);
		assert_int_equal(answer.reason, SW_REASON_NOT_PERMITTED);
		assert_true(answer.answer);
		assert_false(answer.gate);
		assert_int_equal(answer.new_port, 0);
		assert_string_equal(answer.text, "Ask the office.");
		assert_string_equal(answer.rule_text, "reject \"Ask the office.\" answer");
	}
	query.has_user = true;
	query.user = 8;
	sw_image_eval(image, &query, &answer);
	assert_int_equal(answer.rule, 1);
	assert_false(answer.answer);
}

static void test_interfaces(void **state)
{
	(void)state;
	assert_true(sw_interface_matches("lan0", "lan0"));
	assert_false(sw_interface_matches("lan0", "lan"));
	assert_false(sw_interface_matches("lan0", "lan01"));
	assert_true(sw_interface_matches("tap*", "tap"));
	assert_true(sw_interface_matches("tap*", "tap-of.a"));
	assert_false(sw_interface_matches("tap*", "ta"));
	assert_false(sw_interface_matches("tap*", "xtap0"));
	assert_true(sw_interface_matches("*", "lo"));
	assert_false(sw_interface_matches("", "lo"));
}

/* ---- the image ---- */

static void assert_pattern(const struct sw_pattern *pattern, const char *text, uint32_t keep,
			   bool enforced, uint64_t rows)
{
	assert_string_equal(pattern->text, text);
	assert_int_equal(pattern->keep_seconds, keep);
	assert_int_equal(pattern->enforced, enforced);
	assert_int_equal(pattern->rows.w[0], rows);
	for (size_t i = 1; i < SW_WORDS; i++)
		assert_int_equal(pattern->rows.w[i], 0);
}

static const struct sw_vec *id_rows(const struct sw_image *image, uint32_t dim, uint32_t id)
{
	for (size_t i = 0; i < image->n_ids; i++)
		if (image->ids[i].dim == dim && image->ids[i].id == id)
			return &image->id_rows[i];
	return NULL;
}

static void test_image(void **state)
{
	autoimage struct sw_image *image = compiled(isp, NULL);
	const struct sw_policy *policy = &image->policy;
	const struct sw_vec *rows;

	(void)state;
	assert_int_equal(policy->n_rules, 12);
	assert_int_equal(policy->n_rows, 12);
	for (uint32_t row = 0; row < 12; row++)
		assert_int_equal(policy->row_rule[row], row);
	assert_int_equal(policy->n_patterns, 5);
	assert_pattern(&policy->patterns[0], "lan0", 90, true, 0x7c);
	assert_pattern(&policy->patterns[1], "tap*", 90, true, 0x7c);
	assert_pattern(&policy->patterns[2], "tap7", 0, false, 0x180);
	assert_pattern(&policy->patterns[3], "wan*", 0, false, 0x180);
	assert_pattern(&policy->patterns[4], "eth0", SW_KEEP_DEFAULT, true, 0xe00);
	assert_true(sw_guarded(policy, 25));
	assert_false(sw_guarded(policy, 587));
	for (uint32_t port = 0; port < 65536; port++)
		assert_int_equal(sw_edge_guarded(policy, (uint16_t)port),
				 port == 25 || port == 26 || port == 465 || port == 587 ||
					 port == 2525);
	/* host and edge have the same port by other keys */
	rows = id_rows(image, SW_DIM_PORT, 25);
	assert_non_null(rows);
	assert_int_equal(rows->w[0], 0x3);
	rows = id_rows(image, SW_DIM_PORT, 1 << 16 | 25);
	assert_non_null(rows);
	assert_int_equal(rows->w[0], 0x3c | 0x80 | 0x200);
	/* who asks about what */
	assert_int_equal(policy->any[SW_DIM_FROM].w[0] & 0xffc, 0xbf0);
	assert_int_equal(policy->any[SW_DIM_DST].w[0] & 0xffc, 0xfe0);
	assert_int_equal(policy->any[SW_DIM_INTERFACE].w[0], 0);
	assert_int_equal(policy->local.w[0], 0x4);
}

static void test_prefixes(void **state)
{
	static const __u8 from4[] = {128, 120, 104}, from6[] = {128, 32}, to4[] = {120},
			  to6[] = {32};
	autoimage struct sw_image *image = compiled(isp, NULL);
	const struct sw_policy *policy = &image->policy;
	size_t from = 0;

	(void)state;
	assert_int_equal(policy->n_from_lengths[0], sizeof(from4));
	assert_memory_equal(policy->from_lengths[0], from4, sizeof(from4));
	assert_int_equal(policy->n_from_lengths[1], sizeof(from6));
	assert_memory_equal(policy->from_lengths[1], from6, sizeof(from6));
	assert_int_equal(policy->n_lengths[0], sizeof(to4));
	assert_memory_equal(policy->lengths[0], to4, sizeof(to4));
	assert_int_equal(policy->n_lengths[1], sizeof(to6));
	assert_memory_equal(policy->lengths[1], to6, sizeof(to6));
	assert_int_equal(image->n_prefixes, 8);
	for (size_t i = 0; i < image->n_prefixes; i++) {
		const struct sw_vec *rows = &policy->classes[image->prefix_classes[i]];
		bool is_from = image->prefixes[i].bits & SW_PREFIX_FROM;

		from += is_from;
		assert_true((image->prefixes[i].bits & ~SW_PREFIX_FROM) <= 128);
		/* rows that ask about it, and no others */
		assert_int_equal(rows->w[0] & ~(is_from ? 0x40cull : 0x18ull), 0);
		if (image->prefixes[i].bits == (SW_PREFIX_FROM | 128))
			assert_int_equal(rows->w[0], 0xc);
	}
	assert_int_equal(from, 5);
}

/* RFC 1071, byte by byte. */
static uint16_t sum_of(const uint8_t *bytes, size_t n)
{
	uint32_t even = 0, odd = 0;

	for (size_t i = 0; i < n; i++)
		*(i % 2 ? &odd : &even) += bytes[i];
	even += odd << 8;
	while (even >> 16)
		even = (even & 0xffff) + (even >> 16);
	return (uint16_t)even;
}

static void test_lines(void **state)
{
	static const struct {
		unsigned int rule;
		const char *line;
	} lines[] = {
		{2, "554 5.7.1 Ask the office.\r\n"},
		{6, "554 5.7.1 Port 25 is closed.\r\n"},
		{8, "554 5.7.1 No.\r\n"},
	};
	autoimage struct sw_image *image = compiled(isp, NULL);

	(void)state;
	for (unsigned int rule = 1, at = 0; rule <= SW_RULES_MAX; rule++) {
		const struct sw_answer_line *line = &image->answers[rule - 1];
		bool answers = at < sw_count(lines) && lines[at].rule == rule;
		bool flag = image->policy.rules[rule - 1].flags & SW_RULE_ANSWER;

		assert_int_equal(flag, answers);
		assert_int_equal(line->length, answers ? strlen(lines[at].line) : 0);
		if (!answers)
			continue;
		assert_string_equal((const char *)line->bytes, lines[at].line);
		assert_int_equal(line->sum, sum_of(line->bytes, line->length));
		at++;
	}
}

static void test_longest_line(void **state)
{
	char text[256];

	(void)state;
	/* In a host block there is room for the longest text that a rule may have. */
	for (size_t length = 254; length <= 255; length++) {
		sw_autofree char *policy = NULL;

		memset(text, '~', length);
		text[length] = '\0';
		assert_true(asprintf(&policy,
				     "mode enforce\nhost { port 25 { reject \"%s\" answer } }\n",
				     text) > 0);
		autoimage struct sw_image *image = compiled(policy, NULL);
		const struct sw_answer_line *line = &image->answers[0];

		assert_int_equal(line->length, length + 12);
		assert_memory_equal(line->bytes + 10, text, length);
		assert_memory_equal(line->bytes + 10 + length, "\r\n", 3);
		assert_int_equal(line->sum, sum_of(line->bytes, line->length));
	}
}

/* A rule whose lists hold nothing has no row: nothing comes from there. */
static void test_empty_lists(void **state)
{
	autoimage struct sw_image *image =
		compiled("mode enforce\nnet none = file \"empty.list\"\n"
			 "edge x { port 25 { allow from none\nallow to none\n"
			 "allow from none, 10.0.0.0/8\nreject } }\n",
			 NULL);

	(void)state;
	assert_int_equal(image->policy.n_rows, 2);
	assert_int_equal(image->policy.row_rule[0], 2);
	assert_int_equal(image->policy.row_rule[1], 3);
	assert_int_equal(image->policy.patterns[0].rows.w[0], 0x3);
}

/* 64 interfaces and patterns, over blocks; one more is refused where it stands. */
static void test_most_patterns(void **state)
{
	(void)state;
	for (int n = SW_PATTERNS_MAX; n <= SW_PATTERNS_MAX + 1; n++) {
		sw_autofree char *text = NULL;
		size_t length = 0;
		FILE *to = open_memstream(&text, &length);

		assert_non_null(to);
		fputs("mode enforce\nedge x0", to);
		for (int i = 1; i < n; i++)
			fprintf(to, i == 60 ? " { port 25 { drop } }\nedge y%d" : ", x%d", i);
		fputs(" { port 25 { drop } }\n", to);
		fclose(to);
		if (n > SW_PATTERNS_MAX) {
			assert_refused(text, NULL,
				       "policy:3:26: error: 65 interfaces and patterns, 64 are the "
				       "most: join them with a \"*\"");
			continue;
		}
		autoimage struct sw_image *image = compiled(text, NULL);

		assert_int_equal(image->policy.n_patterns, SW_PATTERNS_MAX);
		assert_pattern(&image->policy.patterns[59], "x59", SW_KEEP_DEFAULT, true, 1);
		assert_pattern(&image->policy.patterns[60], "y60", SW_KEEP_DEFAULT, true, 2);
		assert_pattern(&image->policy.patterns[63], "x63", SW_KEEP_DEFAULT, true, 2);
	}
}

/* ---- a list of a million sources ---- */

static char *million(size_t *length)
{
	char *list = NULL;
	FILE *to = open_memstream(&list, length);

	if (!to)
		abort();
	for (unsigned int i = 0; i < 1u << 20; i++)
		if (i % 4)
			fprintf(to, "%u.%u.%u.%u\n", 11 + (i >> 18), i >> 10 & 255, i >> 2 & 255,
				i << 6 & 255);
		else
			fprintf(to, "2001:db8:%x:%x::/64\n", i >> 16, i & 0xffff);
	fclose(to);
	return list;
}

static double seconds(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (double)now.tv_sec + (double)now.tv_nsec / 1e9;
}

static void test_a_million_sources(void **state)
{
	static const char text[] = "mode enforce\nnet many = file \"many.list\"\n"
				   "edge x { port 25 { allow from many\nreject } }\n";
	size_t length = 0;
	sw_autofree char *list = million(&length);
	const struct fake_file files[] = {{"many.list", list, length}, {NULL, NULL, 0}};
	double start = seconds();
	autoimage struct sw_image *image = compiled(text, files);
	struct sw_query query = {.scope = SW_SCOPE_EDGE, .port = 25, FROM4(11, 0, 0, 64)};
	struct sw_answer answer;

	(void)state;
	print_message("# read, checked and compiled in %.2f s\n", seconds() - start);
	assert_int_equal(image->n_prefixes, 1u << 20);
	sw_image_eval(image, &query, &answer);
	assert_int_equal(answer.rule, 1);
	query.from[15] = 65;
	sw_image_eval(image, &query, &answer);
	assert_int_equal(answer.rule, 2);
	memcpy(query.from, (const uint8_t[16]){0x20, 0x01, 0x0d, 0xb8, 0, 15, 0xff, 0xfc, [15] = 1},
	       16);
	sw_image_eval(image, &query, &answer);
	assert_int_equal(answer.rule, 1);
	query.from[7] = 0xfd;
	sw_image_eval(image, &query, &answer);
	assert_int_equal(answer.rule, 2);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_answers),       cmocka_unit_test(test_tls),
		cmocka_unit_test(test_host_answer),   cmocka_unit_test(test_interfaces),
		cmocka_unit_test(test_image),         cmocka_unit_test(test_prefixes),
		cmocka_unit_test(test_lines),         cmocka_unit_test(test_longest_line),
		cmocka_unit_test(test_empty_lists),   cmocka_unit_test(test_a_million_sources),
		cmocka_unit_test(test_most_patterns),
	};

	return cmocka_run_group_tests_name("edge_policy", tests, NULL, NULL);
}
