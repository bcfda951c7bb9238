/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * JA4 of hellos that the published description tells in full, with the sums that it gives, and its rules
 * one by one. (https://github.com/FoxIO-LLC/ja4, technical_details/JA4.md)
 */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "daemon/base.h"
#include "daemon/wire/ja4.h"

/* The description's example: 15 ciphers and 16 extensions of a browser. */
static void example(struct sw_client_hello *hello)
{
	static const uint16_t ciphers[] = {0x1301, 0x1302, 0x1303, 0xc02b, 0xc02f,
					   0xc02c, 0xc030, 0xcca9, 0xcca8, 0xc013,
					   0xc014, 0x009c, 0x009d, 0x002f, 0x0035};
	static const uint16_t extensions[] = {0x001b, 0x0000, 0x0033, 0x0010, 0x4469, 0x0017,
					      0x002d, 0x000d, 0x0005, 0x0023, 0x0012, 0x002b,
					      0xff01, 0x000b, 0x000a, 0x0015};
	static const uint16_t signatures[] = {0x0403, 0x0804, 0x0401, 0x0503,
					      0x0805, 0x0501, 0x0806, 0x0601};

	*hello = (struct sw_client_hello){
		.legacy_version = 0x0303,
		.has_sni = true,
		.alpn_ends = {'h', '2'},
		.alpn_first_length = 2,
		.n_ciphers = sw_count(ciphers),
		.n_extensions = sw_count(extensions),
		.n_signatures = sw_count(signatures),
		.n_versions = 2,
		.versions = {0x0303, 0x0304},
	};
	memcpy(hello->ciphers, ciphers, sizeof(ciphers));
	memcpy(hello->extensions, extensions, sizeof(extensions));
	memcpy(hello->signatures, signatures, sizeof(signatures));
}

static void expect(const struct sw_client_hello *hello, const char *expected)
{
	char ja4[SW_JA4_SIZE];

	assert_int_equal(sw_ja4(hello, ja4), 0);
	assert_string_equal(ja4, expected);
}

static void test_example(void **state)
{
	struct sw_client_hello hello;

	(void)state;
	example(&hello);
	expect(&hello, "t13d1516h2_8daaf6152771_e5627efa2ab1");
	/* No signature algorithms: no underscore either. */
	hello.n_signatures = 0;
	expect(&hello, "t13d1516h2_8daaf6152771_6d807ffa2a79");
	/* Neither name nor protocol: the sums stay. */
	example(&hello);
	hello.has_sni = false;
	hello.alpn_first_length = 0;
	memmove(hello.extensions + 1, hello.extensions + 2, 14 * sizeof(uint16_t));
	memmove(hello.extensions + 2, hello.extensions + 3, 12 * sizeof(uint16_t));
	hello.n_extensions = 14;
	expect(&hello, "t13i151400_8daaf6152771_e5627efa2ab1");
}

static void test_versions(void **state)
{
	static const struct {
		uint16_t offered, legacy;
		const char *letters;
	} cases[] = {
		{0x0304, 0x0303, "13"}, {0, 0x0303, "12"},      {0, 0x0302, "11"},
		{0, 0x0301, "10"},      {0, 0x0300, "s3"},      {0, 0x0002, "s2"},
		{0, 0x1234, "00"},      {0x0302, 0x0303, "11"}, {0x7f1c, 0x0303, "00"},
	};
	struct sw_client_hello hello = {0};
	char expected[SW_JA4_SIZE];

	(void)state;
	for (size_t i = 0; i < sw_count(cases); i++) {
		hello.legacy_version = cases[i].legacy;
		hello.versions[0] = cases[i].offered;
		hello.n_versions = !!cases[i].offered;
		snprintf(expected, sizeof(expected), "t%si000000_000000000000_000000000000",
			 cases[i].letters);
		expect(&hello, expected);
	}
}

static void test_protocols(void **state)
{
	static const struct {
		uint8_t ends[2];
		const char *letters;
	} cases[] = {
		{{'h', '1'}, "h1"},   {{'x', 'x'}, "xx"},   {{0xab, 0xab}, "ab"},
		{{0xab, 0xcd}, "ad"}, {{0x30, 0xab}, "3b"}, {{0x30, 0xcd}, "3d"},
		{{0xab, 0x31}, "a1"}, {{'h', '-'}, "6d"},
	};
	struct sw_client_hello hello = {.legacy_version = 0x0303, .alpn_first_length = 2};
	char expected[SW_JA4_SIZE];

	(void)state;
	for (size_t i = 0; i < sw_count(cases); i++) {
		memcpy(hello.alpn_ends, cases[i].ends, 2);
		snprintf(expected, sizeof(expected), "t12i0000%s_000000000000_000000000000",
			 cases[i].letters);
		expect(&hello, expected);
	}
}

static void test_many(void **state)
{
	struct sw_client_hello hello = {.legacy_version = 0x0303, .n_ciphers = 150};
	char ja4[SW_JA4_SIZE];

	(void)state;
	assert_int_equal(sw_ja4(&hello, ja4), 0);
	assert_memory_equal(ja4, "t12i990000_", 11);
	hello.lists_full = true;
	assert_int_equal(sw_ja4(&hello, ja4), -E2BIG);
	assert_string_equal(ja4, "");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_example),
		cmocka_unit_test(test_versions),
		cmocka_unit_test(test_protocols),
		cmocka_unit_test(test_many),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
