/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "daemon/wire/ja4.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "daemon/policy/digest.h"

#define SUM_LETTERS 12
#define NO_VALUES "000000000000"
#define COUNT_MAX 99u

enum { EXT_SERVER_NAME = 0, EXT_ALPN = 16 }; /* told in letters, and so not in the sum */

static const char *version_letters(const struct sw_client_hello *hello)
{
	uint16_t version = hello->n_versions ? 0 : hello->legacy_version;

	for (uint16_t i = 0; i < hello->n_versions; i++)
		if (hello->versions[i] > version)
			version = hello->versions[i];
	switch (version) {
	case 0x0304:
		return "13";
	case 0x0303:
		return "12";
	case 0x0302:
		return "11";
	case 0x0301:
		return "10";
	case 0x0300:
		return "s3";
	case 0x0002:
		return "s2";
	default:
		return "00";
	}
}

/* Of ASCII, whatever the locale says. */
static int is_alphanumeric(uint8_t byte)
{
	return (byte >= '0' && byte <= '9') || (byte >= 'A' && byte <= 'Z') ||
	       (byte >= 'a' && byte <= 'z');
}

static void protocol_letters(const struct sw_client_hello *hello, char to[static 3])
{
	static const char digits[] = "0123456789abcdef";
	uint8_t first = hello->alpn_ends[0], last = hello->alpn_ends[1];

	memcpy(to, "00", 3);
	if (!hello->alpn_first_length)
		return;
	if (is_alphanumeric(first) && is_alphanumeric(last)) {
		to[0] = (char)first;
		to[1] = (char)last;
	} else {
		to[0] = digits[first >> 4];
		to[1] = digits[last & 15];
	}
}

static void add_value(struct sw_digest *digest, const char *before, uint16_t value)
{
	char text[8];
	int n = snprintf(text, sizeof(text), "%s%04x", before, value);

	sw_digest_add(digest, text, (size_t)n);
}

static int compare(const void *a, const void *b)
{
	uint16_t one = *(const uint16_t *)a, other = *(const uint16_t *)b;

	return (one > other) - (one < other);
}

/* Twelve letters for the values in ascending order and, behind them, `ordered` as they are. */
static int sum(uint16_t *values, uint16_t n, const uint16_t *ordered, uint16_t n_ordered,
	       char to[static SUM_LETTERS + 1])
{
	struct sw_digest *digest;
	uint8_t bytes[32];

	if (!n) {
		memcpy(to, NO_VALUES, sizeof(NO_VALUES));
		return 0;
	}
	digest = sw_digest_new();
	if (!digest)
		return -EIO;
	qsort(values, n, sizeof(*values), compare);
	for (uint16_t i = 0; i < n; i++)
		add_value(digest, i ? "," : "", values[i]);
	for (uint16_t i = 0; i < n_ordered; i++)
		add_value(digest, i ? "," : "_", ordered[i]);
	if (sw_digest_end(digest, bytes))
		return -EIO;
	for (size_t i = 0; i < SUM_LETTERS / 2; i++)
		snprintf(to + 2 * i, 3, "%02x", bytes[i]);
	return 0;
}

static int sum_ciphers(const struct sw_client_hello *hello, char to[static SUM_LETTERS + 1])
{
	uint16_t values[SW_HELLO_CIPHERS_MAX];

	memcpy(values, hello->ciphers, sizeof(values));
	return sum(values, hello->n_ciphers, NULL, 0, to);
}

static int sum_extensions(const struct sw_client_hello *hello, char to[static SUM_LETTERS + 1])
{
	uint16_t values[SW_HELLO_EXTENSIONS_MAX], n = 0;

	for (uint16_t i = 0; i < hello->n_extensions; i++)
		if (hello->extensions[i] != EXT_SERVER_NAME && hello->extensions[i] != EXT_ALPN)
			values[n++] = hello->extensions[i];
	return sum(values, n, hello->signatures, hello->n_signatures, to);
}

static unsigned int count(uint16_t n)
{
	return n < COUNT_MAX ? n : COUNT_MAX;
}

int sw_ja4(const struct sw_client_hello *hello, char ja4[static SW_JA4_SIZE])
{
	char protocol[3], ciphers[SUM_LETTERS + 1], extensions[SUM_LETTERS + 1];

	ja4[0] = '\0';
	if (hello->lists_full)
		return -E2BIG;
	if (sum_ciphers(hello, ciphers) || sum_extensions(hello, extensions))
		return -EIO;
	protocol_letters(hello, protocol);
	snprintf(ja4, SW_JA4_SIZE, "t%s%c%02u%02u%s_%s_%s", version_letters(hello),
		 hello->has_sni ? 'd' : 'i', count(hello->n_ciphers), count(hello->n_extensions),
		 protocol, ciphers, extensions);
	return 0;
}
