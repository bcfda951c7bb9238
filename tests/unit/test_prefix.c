/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Addresses and prefixes: text and back, order, what covers what. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "daemon/policy/prefix.h"

static struct sw_prefix parse(const char *text)
{
	struct sw_prefix prefix;
	char why[SW_PREFIX_WHY] = "";

	if (!sw_prefix_parse(text, strlen(text), &prefix, why))
		fail_msg("%s: %s", text, why);
	return prefix;
}

static void test_round_trip(void **state)
{
	static const struct {
		const char *text, *canonical;
		uint8_t bits;
	} good[] = {
		{"0.0.0.0/0", NULL, 96},
		{"192.0.2.0/24", NULL, 120},
		{"255.255.255.255", NULL, 128},
		{"192.0.2.1/32", "192.0.2.1", 128},
		{"128.0.0.0/1", NULL, 97},
		{"::/0", NULL, 0},
		{"2001:db8::/32", NULL, 32},
		{"2001:DB8:0:0::/33", "2001:db8::/33", 33},
		{"::1", NULL, 128},
		{"::1/128", "::1", 128},
		{"fe80::/010", "fe80::/10", 10},
		{"::ffff:0:0:0/96", NULL, 96},
	};

	(void)state;
	for (size_t i = 0; i < sw_count(good); i++) {
		struct sw_prefix prefix = parse(good[i].text);
		char text[SW_PREFIX_TEXT];

		sw_prefix_print(&prefix, text);
		assert_string_equal(text, good[i].canonical ? good[i].canonical : good[i].text);
		assert_int_equal(prefix.bits, good[i].bits);
		assert_memory_equal(&prefix, &(struct sw_prefix[]){parse(text)}[0], sizeof(prefix));
	}
}

static void test_bad(void **state)
{
	static const char v4[] =
		"this is no IPv4 address: four numbers of 0 to 255, without leading zeros";
	static const struct {
		const char *text, *why;
	} bad[] = {
		{"", v4},
		{"1.2.3", v4},
		{"1.2.3.4.5", v4},
		{"1.2.3.256", v4},
		{"1.2.3.", v4},
		{".1.2.3", v4},
		{"1.2.3.04", v4},
		{"1.2.3.4x", v4},
		{"0001.2.3.4", v4},
		{"/8", v4},
		{"1.2.3.4/", "the length of an IPv4 prefix is 0 to 32"},
		{"1.2.3.4/33", "the length of an IPv4 prefix is 0 to 32"},
		{"1.2.3.4/-1", "the length of an IPv4 prefix is 0 to 32"},
		{"1.2.3.4/99999999999999999999", "the length of an IPv4 prefix is 0 to 32"},
		{"::/129", "the length of an IPv6 prefix is 0 to 128"},
		{"10.0.0.1/8", "bits are set behind the prefix; the network is 10.0.0.0/8"},
		{"192.0.2.130/25", "bits are set behind the prefix; the network is 192.0.2.128/25"},
		{"1.0.0.0/0", "bits are set behind the prefix; the network is 0.0.0.0/0"},
		{"2001:db8::1/64", "bits are set behind the prefix; the network is 2001:db8::/64"},
		{":", "this is no IPv6 address"},
		{"1::2::3", "this is no IPv6 address"},
		{"fe80::1%eth0", "this is no IPv6 address"},
		{"1:2:3:4:5:6:7:8:9", "this is no IPv6 address"},
		{"1111:2222:3333:4444:5555:6666:7777:88888888888888888888",
		 "this is no IPv6 address"},
		{"::ffff:192.0.2.1", "an IPv4 address is written as 192.0.2.1"},
		{"::ffff:0:0/96", "an IPv4 address is written as 0.0.0.0"},
	};

	(void)state;
	for (size_t i = 0; i < sw_count(bad); i++) {
		struct sw_prefix prefix = {.bits = 77};
		char why[SW_PREFIX_WHY] = "";

		assert_false(sw_prefix_parse(bad[i].text, strlen(bad[i].text), &prefix, why));
		assert_string_equal(why, bad[i].why);
		assert_int_equal(prefix.bits, 77);
	}
}

static void test_targets(void **state)
{
	static const struct {
		const char *text, *why;
		unsigned int family;
	} targets[] = {
		{"127.0.0.1:25", NULL, 0},
		{"[::1]:65535", NULL, 1},
		{"[2001:db8::25]:1", NULL, 1},
		{"127.0.0.1", "a port is missing: ADDRESS:PORT", 0},
		{"", "a port is missing: ADDRESS:PORT", 0},
		{"::1:25", "an IPv6 address stands in brackets: [ADDRESS]:PORT", 0},
		{"[::1]", "expected [ADDRESS]:PORT", 0},
		{"[::1", "expected [ADDRESS]:PORT", 0},
		{"[::1]25", "expected [ADDRESS]:PORT", 0},
		{"[", "expected [ADDRESS]:PORT", 0},
		{"[127.0.0.1]:25", "an IPv4 address stands without brackets", 0},
		{"[::ffff:127.0.0.1]:25", "an IPv4 address is written as 127.0.0.1", 0},
		{"127.0.0.1:0", "a port is a number of 1 to 65535", 0},
		{"127.0.0.1:65536", "a port is a number of 1 to 65535", 0},
		{"127.0.0.1:", "a port is a number of 1 to 65535", 0},
		{"127.0.0.1:smtp", "a port is a number of 1 to 65535", 0},
		{"0.0.0.0:25", "nobody can be connected to at this address", 0},
		{"224.0.0.1:25", "nobody can be connected to at this address", 0},
		{"[::]:25", "nobody can be connected to at this address", 0},
		{"[ff02::1]:25", "nobody can be connected to at this address", 0},
	};

	(void)state;
	for (size_t i = 0; i < sw_count(targets); i++) {
		const char *text = targets[i].text;
		struct sw_target target = {.given = false};
		char why[SW_PREFIX_WHY] = "", printed[SW_PREFIX_TEXT];
		unsigned int family = 7;
		bool good = sw_target_parse(text, strlen(text), &target, &family, why);

		assert_int_equal(good, !targets[i].why);
		assert_int_equal(target.given, good);
		if (!good) {
			assert_string_equal(why, targets[i].why);
			continue;
		}
		assert_int_equal(family, targets[i].family);
		sw_target_print(&target, printed);
		assert_string_equal(printed, text);
	}
}

static void test_numbers(void **state)
{
	uint32_t number = 5;

	(void)state;
	assert_true(sw_number_parse("4294967294", 10, UINT32_MAX - 1, &number));
	assert_int_equal(number, 4294967294u);
	assert_false(sw_number_parse("4294967295", 10, UINT32_MAX - 1, &number));
	assert_false(sw_number_parse("", 0, 9, &number));
	assert_false(sw_number_parse("1x", 2, 9, &number));
	assert_false(sw_number_parse("+1", 2, 9, &number));
}

static void test_covers(void **state)
{
	static const struct {
		const char *wide, *narrow;
		bool covers;
	} pairs[] = {
		{"10.0.0.0/8", "10.255.255.255", true},
		{"10.0.0.0/8", "10.0.0.0/8", true},
		{"10.0.0.0/9", "10.0.0.0/8", false},
		{"10.0.0.0/9", "10.128.0.0/9", false},
		{"10.128.0.0/9", "10.200.0.0/16", true},
		{"2001:db8::/33", "2001:db8:8000::/48", false},
		{"2001:db8::/33", "2001:db8:7fff::/48", true},
		{"::/0", "2001:db8::/32", true},
		{"::/0", "10.0.0.0/8", false},
		{"0.0.0.0/0", "::1", false},
	};

	(void)state;
	for (size_t i = 0; i < sw_count(pairs); i++) {
		struct sw_prefix wide = parse(pairs[i].wide), narrow = parse(pairs[i].narrow);

		assert_int_equal(sw_prefix_covers(&wide, &narrow), pairs[i].covers);
		assert_int_equal(sw_prefixes_cover(&wide, 1, &narrow, 1), pairs[i].covers);
	}
}

/* The same numbers each time. */
static uint32_t next_number(uint32_t *seed)
{
	*seed = *seed * 1664525u + 1013904223u;
	return *seed >> 8;
}

/* Few different ones, so that they cover each other often. `lengths`: of how many lengths. */
static struct sw_prefix any_prefix(uint32_t *seed, unsigned int lengths)
{
	bool v4 = next_number(seed) % 2;
	struct sw_prefix prefix = v4 ? parse("0.0.0.0") : parse("::");
	unsigned int base = v4 ? 96 : 0, bits = next_number(seed) % lengths;

	for (unsigned int i = 0; i < bits; i++)
		if (next_number(seed) % 2)
			prefix.addr[(base + i) / 8] |= (uint8_t)(0x80 >> (base + i) % 8);
	prefix.bits = (uint8_t)(base + bits);
	return prefix;
}

static bool cover_one_by_one(const struct sw_prefix *wide, size_t n_wide,
			     const struct sw_prefix *narrow, size_t n_narrow)
{
	for (size_t i = 0; i < n_narrow; i++) {
		size_t j = 0;

		while (j < n_wide && !sw_prefix_covers(&wide[j], &narrow[i]))
			j++;
		if (j == n_wide)
			return false;
	}
	return true;
}

static void test_lists_cover(void **state)
{
	uint32_t seed = 25;
	size_t covered = 0, tries = 20000;

	(void)state;
	for (size_t i = 0; i < tries; i++) {
		struct sw_prefix wide[12], narrow[4];
		size_t n_wide = next_number(&seed) % 13, n_narrow = next_number(&seed) % 5;

		for (size_t j = 0; j < n_wide; j++)
			wide[j] = any_prefix(&seed, 7);
		for (size_t j = 0; j < n_narrow; j++)
			narrow[j] = any_prefix(&seed, 7);
		n_wide = sw_prefix_sort(wide, n_wide);
		n_narrow = sw_prefix_sort(narrow, n_narrow);
		bool covers = cover_one_by_one(wide, n_wide, narrow, n_narrow);

		covered += covers;
		assert_int_equal(sw_prefixes_cover(wide, n_wide, narrow, n_narrow), covers);
	}
	/* both answers came up often enough to mean something */
	assert_in_range(covered, tries / 10, tries - tries / 10);
}

/* A few are looked for in a long list; some of it is short prefixes. */
static void test_long_list_covers(void **state)
{
	uint32_t seed = 587;
	size_t covered = 0, tries = 4000;

	(void)state;
	for (size_t i = 0; i < tries; i++) {
		struct sw_prefix wide[400], narrow[2];
		size_t n_wide = 200 + next_number(&seed) % 201, n_narrow = 1 + i % 2;

		for (size_t j = 0; j < n_wide; j++) {
			wide[j] = any_prefix(&seed, 17);
			if (wide[j].bits % 96 < 8 && j > i % 4)
				wide[j] = wide[0];
		}
		for (size_t j = 0; j < n_narrow; j++)
			narrow[j] = any_prefix(&seed, 20);
		n_wide = sw_prefix_sort(wide, n_wide);
		n_narrow = sw_prefix_sort(narrow, n_narrow);
		bool covers = cover_one_by_one(wide, n_wide, narrow, n_narrow);

		covered += covers;
		assert_int_equal(sw_prefixes_cover(wide, n_wide, narrow, n_narrow), covers);
	}
	assert_in_range(covered, tries / 20, tries - tries / 20);
}

static void test_sort(void **state)
{
	static const char *const unsorted[] = {"2001:db8::/32", "10.0.0.0/8",   "10.0.0.0/24",
					       "::1",           "10.0.0.0/8",   "9.0.0.0/8",
					       "0.0.0.0/0",     "2001:db8::/32"};
	static const char *const sorted[] = {"::1",        "0.0.0.0/0",   "9.0.0.0/8",
					     "10.0.0.0/8", "10.0.0.0/24", "2001:db8::/32"};
	struct sw_prefix prefixes[sw_count(unsorted)];

	(void)state;
	for (size_t i = 0; i < sw_count(unsorted); i++)
		prefixes[i] = parse(unsorted[i]);
	assert_int_equal(sw_prefix_sort(prefixes, sw_count(unsorted)), sw_count(sorted));
	for (size_t i = 0; i < sw_count(sorted); i++) {
		char text[SW_PREFIX_TEXT];

		sw_prefix_print(&prefixes[i], text);
		assert_string_equal(text, sorted[i]);
	}
	assert_int_equal(sw_prefix_sort(prefixes, 0), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_round_trip),       cmocka_unit_test(test_bad),
		cmocka_unit_test(test_targets),          cmocka_unit_test(test_numbers),
		cmocka_unit_test(test_covers),           cmocka_unit_test(test_lists_cover),
		cmocka_unit_test(test_long_list_covers), cmocka_unit_test(test_sort),
	};

	return cmocka_run_group_tests_name("prefix", tests, NULL, NULL);
}
