/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Any bytes as the first flight of a client and of a server. What is said of them must fit into them,
 * and must not change when they are cut: what was read whole is read whole of any longer bytes, what is
 * bad stays bad, and what is there of a cut hello agrees with the whole one.
 */
#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "daemon/wire/ja4.h"

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n);

static void check_text(const char *text, size_t size)
{
	assert(memchr(text, '\0', size));
	for (; *text; text++)
		assert(*text >= 0x21 && *text <= 0x7e);
}

static void check_client(const uint8_t *bytes, size_t n, enum sw_hello *whole)
{
	static struct sw_client_hello hello;
	char ja4[SW_JA4_SIZE];

	*whole = sw_client_hello_read(bytes, n, &hello);
	check_text(hello.sni, sizeof(hello.sni));
	check_text(hello.alpn, sizeof(hello.alpn));
	assert(hello.n_ciphers <= SW_HELLO_CIPHERS_MAX);
	assert(hello.n_extensions <= SW_HELLO_EXTENSIONS_MAX);
	assert(hello.has_sni || !hello.sni[0]);
	if (sw_ja4(&hello, ja4)) {
		assert(hello.lists_full && !ja4[0]);
		return;
	}
	check_text(ja4, sizeof(ja4));
	assert(strlen(ja4) == SW_JA4_SIZE - 1 && ja4[10] == '_' && ja4[23] == '_');
}

static void check_server(const uint8_t *bytes, size_t n, enum sw_hello *whole)
{
	struct sw_server_hello hello;
	uint8_t *joined = malloc(n ? n : 1);
	size_t length;

	*whole = sw_server_hello_read(bytes, n, &hello);
	assert(joined);
	length = sw_handshake_join(bytes, n, joined, n);
	assert(length <= n);
	assert(*whole != SW_HELLO_WHOLE || hello.has_hello);
	if (hello.certificate_length) {
		assert(hello.has_hello && hello.version <= 0x0303 &&
		       hello.certificate_at < length + 1);
		assert(hello.certificate_whole ==
		       (hello.certificate_at + hello.certificate_length <= length &&
			hello.certificate_at + hello.certificate_length <= SW_HELLO_BYTES_MAX));
	}
	free(joined);
}

/* A part of the bytes, in memory of exactly its size. */
static void check_part(const uint8_t *bytes, size_t n, enum sw_hello *client, enum sw_hello *server)
{
	uint8_t *copy = malloc(n ? n : 1);

	assert(copy);
	if (n)
		memcpy(copy, bytes, n);
	check_client(copy, n, client);
	check_server(copy, n, server);
	free(copy);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n)
{
	enum sw_hello client, server, part_client, part_server;

	check_part(bytes, n, &client, &server);
	for (size_t part = n / 2; part && part < n; part += (n - part) / 2 + 1) {
		check_part(bytes, part, &part_client, &part_server);
		assert(part_client == SW_HELLO_CUT || part_client == client);
		assert(part_server != SW_HELLO_BAD || server == SW_HELLO_BAD);
	}
	return 0;
}
