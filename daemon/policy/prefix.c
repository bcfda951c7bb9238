/* SPDX-License-Identifier: GPL-2.0-or-later */
/* prefix.c - addresses and prefixes as text and as numbers. */
#include "daemon/policy/prefix.h"

#include <arpa/inet.h>
#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static_assert(sizeof(struct sw_prefix) == 17,
	      "sorted and compared as 17 bytes: address, then bits");

static const uint8_t mapped[12] = {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff};

bool sw_addr_is_v4(const uint8_t addr[static 16])
{
	return memcmp(addr, mapped, sizeof(mapped)) == 0;
}

bool sw_prefix_is_v4(const struct sw_prefix *prefix)
{
	return prefix->bits >= 96 && sw_addr_is_v4(prefix->addr);
}

bool sw_number_parse(const char *text, size_t length, uint32_t max, uint32_t *number)
{
	uint64_t value = 0;

	if (!length)
		return false;
	for (size_t i = 0; i < length; i++) {
		if (text[i] < '0' || text[i] > '9')
			return false;
		value = value * 10 + (uint64_t)(text[i] - '0');
		if (value > max)
			return false;
	}
	*number = (uint32_t)value;
	return true;
}

/* Four numbers without leading zeros, which some programs read as octal. */
static bool parse_v4(const char *at, size_t length, uint8_t addr[static 16])
{
	const char *end = at + length;

	memcpy(addr, mapped, sizeof(mapped));
	for (int i = 0; i < 4; i++) {
		unsigned int value = 0;
		const char *from = at;

		while (at < end && *at >= '0' && *at <= '9' && at - from < 3)
			value = value * 10 + (unsigned int)(*at++ - '0');
		if (at == from || value > 255 || (*from == '0' && at - from > 1))
			return false;
		addr[12 + i] = (uint8_t)value;
		if (i < 3 && (at == end || *at++ != '.'))
			return false;
	}
	return at == end;
}

static bool parse_v6(const char *text, size_t length, uint8_t addr[static 16])
{
	char copy[INET6_ADDRSTRLEN];

	if (length >= sizeof(copy) || memchr(text, '\0', length))
		return false;
	memcpy(copy, text, length);
	copy[length] = '\0';
	return inet_pton(AF_INET6, copy, addr) == 1;
}

static bool parse_address(const char *text, size_t length, uint8_t addr[static 16],
			  char why[static SW_PREFIX_WHY])
{
	if (!memchr(text, ':', length)) {
		if (parse_v4(text, length, addr))
			return true;
		snprintf(why, SW_PREFIX_WHY,
			 "this is no IPv4 address: four numbers of 0 to 255, "
			 "without leading zeros");
		return false;
	}
	if (!parse_v6(text, length, addr)) {
		snprintf(why, SW_PREFIX_WHY, "this is no IPv6 address");
		return false;
	}
	if (sw_addr_is_v4(addr)) {
		snprintf(why, SW_PREFIX_WHY, "an IPv4 address is written as %u.%u.%u.%u", addr[12],
			 addr[13], addr[14], addr[15]);
		return false;
	}
	return true;
}

/* Clears the bits behind the prefix. Returns whether one was set. */
static bool mask(struct sw_prefix *prefix)
{
	bool found = false;

	for (unsigned int i = prefix->bits / 8; i < 16; i++) {
		unsigned int kept = i == prefix->bits / 8 ? prefix->bits % 8 : 0;
		uint8_t keep = (uint8_t)(0xff00u >> kept);

		found |= (prefix->addr[i] & ~keep & 0xff) != 0;
		prefix->addr[i] &= keep;
	}
	return found;
}

bool sw_prefix_parse(const char *text, size_t length, struct sw_prefix *prefix,
		     char why[static SW_PREFIX_WHY])
{
	const char *slash = memchr(text, '/', length);
	size_t addr_length = slash ? (size_t)(slash - text) : length;
	struct sw_prefix parsed = {.bits = 128};
	uint32_t bits;

	if (!parse_address(text, addr_length, parsed.addr, why))
		return false;
	bool v4 = sw_addr_is_v4(parsed.addr);
	if (slash) {
		if (!sw_number_parse(slash + 1, length - addr_length - 1, v4 ? 32 : 128, &bits)) {
			snprintf(why, SW_PREFIX_WHY, "the length of an %s prefix is 0 to %s",
				 v4 ? "IPv4" : "IPv6", v4 ? "32" : "128");
			return false;
		}
		parsed.bits = (uint8_t)(v4 ? bits + 96 : bits);
	}
	if (mask(&parsed)) {
		char right[SW_PREFIX_TEXT];

		sw_prefix_print(&parsed, right);
		snprintf(why, SW_PREFIX_WHY, "bits are set behind the prefix; the network is %s",
			 right);
		return false;
	}
	*prefix = parsed;
	return true;
}

/* Splits ADDR:PORT. The address is without its brackets then. */
static bool split_target(const char *text, size_t length, const char **addr, size_t *addr_length,
			 const char **port, char why[static SW_PREFIX_WHY])
{
	const char *end = text + length;
	const char *colon = memrchr(text, ':', length);
	bool brackets = length && *text == '[';
	const char *close = brackets ? memchr(text, ']', length) : NULL;

	if (brackets && (!close || close + 1 == end || close[1] != ':')) {
		snprintf(why, SW_PREFIX_WHY, "expected [ADDRESS]:PORT");
		return false;
	}
	if (!brackets && (!colon || memchr(text, ':', (size_t)(colon - text)))) {
		snprintf(why, SW_PREFIX_WHY, "%s",
			 colon ? "an IPv6 address stands in brackets: [ADDRESS]:PORT"
			       : "a port is missing: ADDRESS:PORT");
		return false;
	}
	*addr = brackets ? text + 1 : text;
	*addr_length = (size_t)((brackets ? close : colon) - *addr);
	*port = brackets ? close + 2 : colon + 1;
	return true;
}

/* An address that nobody can connect to: unspecified, multicast, broadcast. */
static bool is_no_host(const uint8_t addr[static 16])
{
	static const uint8_t zero[16];

	if (sw_addr_is_v4(addr))
		return addr[12] == 0 || addr[12] >= 224;
	return addr[0] == 0xff || memcmp(addr, zero, sizeof(zero)) == 0;
}

bool sw_target_parse(const char *text, size_t length, struct sw_target *target,
		     unsigned int *family, char why[static SW_PREFIX_WHY])
{
	const char *addr, *port;
	size_t addr_length;
	struct sw_target parsed = {.given = true};
	uint32_t number;

	if (!split_target(text, length, &addr, &addr_length, &port, why))
		return false;
	if (*text == '[' && parse_v4(addr, addr_length, parsed.addr)) {
		snprintf(why, SW_PREFIX_WHY, "an IPv4 address stands without brackets");
		return false;
	}
	if (!parse_address(addr, addr_length, parsed.addr, why))
		return false;
	if (is_no_host(parsed.addr)) {
		snprintf(why, SW_PREFIX_WHY, "nobody can be connected to at this address");
		return false;
	}
	if (!sw_number_parse(port, (size_t)(text + length - port), 65535, &number) || !number) {
		snprintf(why, SW_PREFIX_WHY, "a port is a number of 1 to 65535");
		return false;
	}
	parsed.port = (uint16_t)number;
	*target = parsed;
	*family = !sw_addr_is_v4(parsed.addr);
	return true;
}

static void address_print(const uint8_t addr[static 16], char to[static INET6_ADDRSTRLEN])
{
	if (sw_addr_is_v4(addr))
		inet_ntop(AF_INET, addr + 12, to, INET6_ADDRSTRLEN);
	else
		inet_ntop(AF_INET6, addr, to, INET6_ADDRSTRLEN);
}

void sw_prefix_print(const struct sw_prefix *prefix, char to[static SW_PREFIX_TEXT])
{
	bool v4 = sw_prefix_is_v4(prefix);

	address_print(prefix->addr, to);
	if (prefix->bits < 128)
		snprintf(to + strlen(to), 5, "/%u", (prefix->bits - (v4 ? 96u : 0u)) & 0xffu);
}

void sw_target_print(const struct sw_target *target, char to[static SW_PREFIX_TEXT])
{
	bool v4 = sw_addr_is_v4(target->addr);
	char addr[INET6_ADDRSTRLEN];

	address_print(target->addr, addr);
	snprintf(to, SW_PREFIX_TEXT, v4 ? "%.15s:%u" : "[%.39s]:%u", addr, target->port);
}

bool sw_prefix_covers(const struct sw_prefix *wide, const struct sw_prefix *narrow)
{
	unsigned int bytes = wide->bits / 8, rest = wide->bits % 8;

	if (wide->bits > narrow->bits || sw_prefix_is_v4(wide) != sw_prefix_is_v4(narrow) ||
	    memcmp(wide->addr, narrow->addr, bytes) != 0)
		return false;
	return !rest || (wide->addr[bytes] ^ narrow->addr[bytes]) >> (8 - rest) == 0;
}

static int compare(const void *a, const void *b)
{
	return memcmp(a, b, sizeof(struct sw_prefix));
}

static bool is_sorted(const struct sw_prefix *prefixes, size_t n)
{
	for (size_t i = 1; i < n; i++)
		if (compare(&prefixes[i - 1], &prefixes[i]) > 0)
			return false;
	return true;
}

size_t sw_prefix_sort(struct sw_prefix *prefixes, size_t n)
{
	size_t kept = 0;

	if (!is_sorted(prefixes, n))
		qsort(prefixes, n, sizeof(*prefixes), compare);
	for (size_t i = 0; i < n; i++)
		if (!kept || compare(&prefixes[kept - 1], &prefixes[i]) != 0)
			prefixes[kept++] = prefixes[i];
	return kept;
}

/* How many of the first bits two addresses have in common. */
static unsigned int bits_in_common(const uint8_t a[static 16], const uint8_t b[static 16])
{
	unsigned int n = 0;

	while (n < 16 && a[n] == b[n])
		n++;
	return n == 16 ? 128 : 8 * n + (unsigned int)__builtin_clz((a[n] ^ b[n]) & 0xffu) - 24;
}

static void shorten(struct sw_prefix *prefix, unsigned int bits)
{
	prefix->bits = (uint8_t)bits;
	if (bits < 128)
		prefix->addr[bits / 8] &= (uint8_t)(0xff00 >> bits % 8);
	for (unsigned int i = bits / 8 + 1; i < 16; i++)
		prefix->addr[i] = 0;
}

/* The first `n` are not behind `prefix`. */
static size_t not_behind(const struct sw_prefix *wide, size_t n, const struct sw_prefix *prefix)
{
	size_t from = 0;

	while (from < n) {
		size_t middle = from + (n - from) / 2;

		if (compare(&wide[middle], prefix) <= 0)
			from = middle + 1;
		else
			n = middle;
	}
	return from;
}

/*
 * Looks at the last one that is not behind `narrow`. Between it and one that covers there is nothing that both
 * do not share with `narrow` as many bits as the cover has: so a cover has no more bits than are shared here.
 */
static bool is_covered(const struct sw_prefix *wide, size_t n, const struct sw_prefix *narrow)
{
	struct sw_prefix at = *narrow;

	while ((n = not_behind(wide, n, &at)) > 0) {
		const struct sw_prefix *last = &wide[n - 1];
		unsigned int bits = bits_in_common(last->addr, at.addr);

		if (sw_prefix_covers(last, narrow))
			return true;
		/* A prefix of the other family. */
		if (last->bits <= bits && last->bits == 0)
			return false;
		shorten(&at, last->bits <= bits ? last->bits - 1u : bits);
	}
	return false;
}

/* A few in a long list are looked for, many are gone through with it. */
#define FEW(n_narrow, n_wide) ((n_narrow) < (n_wide) / 64)

/*
 * Sorted prefixes are a walk of the tree of addresses, a prefix before all that it covers. So the
 * one that may cover the next narrow one is the newest wide one that no other wide one covers. The
 * families are held apart: ::/0 stands before IPv4 but does not cover it.
 */
bool sw_prefixes_cover(const struct sw_prefix *wide, size_t n_wide, const struct sw_prefix *narrow,
		       size_t n_narrow)
{
	const struct sw_prefix *top[2] = {NULL, NULL};
	size_t next = 0;

	for (size_t i = 0; FEW(n_narrow, n_wide) && i < n_narrow; i++)
		if (!is_covered(wide, n_wide, &narrow[i]))
			return false;
	if (FEW(n_narrow, n_wide))
		return true;
	for (size_t i = 0; i < n_narrow; i++) {
		for (; next < n_wide && compare(&wide[next], &narrow[i]) <= 0; next++) {
			const struct sw_prefix **at = &top[sw_prefix_is_v4(&wide[next])];

			if (!*at || !sw_prefix_covers(*at, &wide[next]))
				*at = &wide[next];
		}
		const struct sw_prefix *over = top[sw_prefix_is_v4(&narrow[i])];
		if (!over || !sw_prefix_covers(over, &narrow[i]))
			return false;
	}
	return true;
}
