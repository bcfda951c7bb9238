/* SPDX-License-Identifier: GPL-2.0-or-later */
/* ClientHello and ServerHello: what is read, however they are cut into records, and what is wrong. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "daemon/wire/hello.h"
#include "tests/unit/wire_hello.h"

#define EXTENSIONS_AT                                                                              \
	(4 + 2 + 32 + 1 + 10 + 2) /* head, version, random, session, ciphers, compression */

static struct sw_client_hello client;
static struct sw_server_hello server;

static enum sw_hello read_client(const struct wire *wire)
{
	return sw_client_hello_read(wire->data, wire->n, &client);
}

static enum sw_hello read_server(const struct wire *wire)
{
	return sw_server_hello_read(wire->data, wire->n, &server);
}

static void expect_whole_client(const struct wire *wire)
{
	static const uint16_t ciphers[] = {0x1301, 0x1302, 0xc02f};
	static const uint16_t extensions[] = {0, 16, 10, 13, 43};

	assert_int_equal(read_client(wire), SW_HELLO_WHOLE);
	assert_int_equal(client.legacy_version, 0x0303);
	assert_true(client.has_sni);
	assert_false(client.lists_full);
	assert_string_equal(client.sni, "mail.example.net");
	assert_string_equal(client.alpn, "h2,http/1.1");
	assert_int_equal(client.alpn_first_length, 2);
	assert_memory_equal(client.alpn_ends, "h2", 2);
	assert_int_equal(client.n_ciphers, 3);
	assert_memory_equal(client.ciphers, ciphers, sizeof(ciphers));
	assert_int_equal(client.n_extensions, 5);
	assert_memory_equal(client.extensions, extensions, sizeof(extensions));
	assert_int_equal(client.n_signatures, 2);
	assert_int_equal(client.signatures[1], 0x0804);
	assert_int_equal(client.n_versions, 2);
	assert_int_equal(client.versions[0], 0x0304);
}

/* A hello with every list that is read, GREASE in each. */
static struct wire whole_client(void)
{
	struct wire wire = {0};

	wire_hex(&wire, "010000 00 0303");
	wire_fill(&wire, 0x11, 32);
	wire_hex(&wire, "00 0008 0a0a 1301 1302 c02f 01 00 0000");
	wire_hex(&wire, "0000 0015 0013 00 0010");
	wire_text(&wire, "mail.example.net");
	wire_hex(&wire, "0010 000e 000c 02 6832 08");
	wire_text(&wire, "http/1.1");
	wire_hex(&wire, "dada 0000"
			"000a 0006 0004 baba 001d"
			"000d 0008 0006 0403 2a2a 0804"
			"002b 0007 06 fafa 0304 0303");
	wire_length(&wire, EXTENSIONS_AT, 2);
	wire_length(&wire, 1, 3);
	return wire;
}

static void test_client(void **state)
{
	struct wire message = whole_client();

	(void)state;
	for (size_t most = 1; most <= message.n; most++) {
		struct wire wire = wire_records(&message, 22, 0x0301, most);

		expect_whole_client(&wire);
		/* What comes behind it does not matter. */
		wire_hex(&wire, "14 0303 0001 01");
		expect_whole_client(&wire);
	}
}

/* Every cut of it is cut, never bad, and shows only what is there. */
static void test_client_cut(void **state)
{
	struct wire message = whole_client(), wire = wire_records(&message, 22, 0x0301, 50);

	(void)state;
	for (size_t n = 0; n < wire.n; n++) {
		assert_int_equal(sw_client_hello_read(wire.data, n, &client), SW_HELLO_CUT);
		assert_true(client.n_ciphers <= 3 && client.n_extensions <= 5);
		assert_true(!client.sni[0] || !strcmp(client.sni, "mail.example.net"));
	}
}

static void expect_client(enum sw_hello expected, const char *hex)
{
	struct wire wire = {0};

	wire_hex(&wire, hex);
	if (read_client(&wire) != expected)
		fail_msg("not as expected: %s", hex);
}

#define RANDOM "0000000000000000000000000000000000000000000000000000000000000000"

static void test_client_wrong(void **state)
{
	(void)state;
	expect_client(SW_HELLO_WHOLE, "16 0301 002d 01 000029 0301" RANDOM "00 0002 002f 01 00");
	assert_int_equal(client.legacy_version, 0x0301);
	assert_int_equal(client.n_extensions, 0);
	/* Not a handshake, not a hello, another major version, an empty record. */
	expect_client(SW_HELLO_BAD, "15 0301 0002 0128");
	expect_client(SW_HELLO_BAD, "16 0301 002d 02 000029 0301" RANDOM "00 0002 002f 01 00");
	expect_client(SW_HELLO_BAD, "16 0401 002d 01 000029 0301" RANDOM "00 0002 002f 01 00");
	expect_client(SW_HELLO_BAD, "16 0301 0000");
	expect_client(SW_HELLO_BAD, "802e 01 0301 0015 0000 0010 01");
	/* Lists that end behind the message, or in the middle of a value. */
	expect_client(SW_HELLO_BAD, "16 0301 002d 01 000029 0301" RANDOM "00 0009 002f 01 00");
	expect_client(SW_HELLO_BAD, "16 0301 002e 01 00002a 0301" RANDOM "00 0003 002f00 01 00");
	/* Extensions longer and shorter than the message. */
	expect_client(SW_HELLO_BAD, "16 0301 002f 01 00002b 0301" RANDOM "00 0002 002f 01 00 0004");
	expect_client(SW_HELLO_BAD,
		      "16 0301 0030 01 00002c 0301" RANDOM "00 0002 002f 01 00 0000 00");
	/* Another record within the message. */
	expect_client(SW_HELLO_BAD, "16 0301 0006 01 000029 0301 14 0301 0001 01");
	/* A name with bytes that no name has is seen, and not shown. */
	expect_client(SW_HELLO_WHOLE, "16 0301 003b 01 000037 0301" RANDOM
				      "00 0002 002f 01 00 000c 0000 0008 0006 00 0003 610a62");
	assert_true(client.has_sni);
	assert_string_equal(client.sni, "");
}

/* More values than there is room for: said, and nothing written behind the room. */
static void test_client_many(void **state)
{
	struct wire wire = {0}, message = {0};

	(void)state;
	wire_hex(&message, "01 000000 0303" RANDOM "00 0000");
	for (size_t i = 0; i < SW_HELLO_CIPHERS_MAX + 1; i++)
		wire_hex(&message, "1301");
	message.data[39] = (SW_HELLO_CIPHERS_MAX + 1) * 2 >> 8;
	message.data[40] = ((SW_HELLO_CIPHERS_MAX + 1) * 2) & 0xff;
	wire_hex(&message, "01 00");
	wire_length(&message, 1, 3);
	wire = wire_records(&message, 22, 0x0301, message.n);
	assert_int_equal(read_client(&wire), SW_HELLO_WHOLE);
	assert_true(client.lists_full);
	assert_int_equal(client.n_ciphers, SW_HELLO_CIPHERS_MAX);
}

static void expect_server(enum sw_hello expected, const char *hex)
{
	struct wire wire = {0};

	wire_hex(&wire, hex);
	if (read_server(&wire) != expected)
		fail_msg("not as expected: %s", hex);
}

#define SERVER12 "02 000026 0303" RANDOM "00 c02f 00"

static void test_server(void **state)
{
	(void)state;
	expect_server(SW_HELLO_WHOLE, "16 0303 0032 02 00002e 0303" RANDOM
				      "00 1301 00 0006 002b 0002 0304 14 0303 0001 01");
	assert_true(server.has_hello && !server.retry);
	assert_int_equal(server.version, 0x0304);
	assert_int_equal(server.cipher, 0x1301);
	assert_int_equal(server.certificate_length, 0);

	expect_server(SW_HELLO_WHOLE,
		      "16 0303 0032 02 00002e 0303"
		      "cf21ad74e59a6111be1d8c021e65b891c2a211167abb8c5e079e09e2c8a8339c"
		      "00 1302 00 0006 002b 0002 0304");
	assert_true(server.retry);
	assert_int_equal(server.cipher, 0x1302);
}

/* The certificate lies where sw_handshake_join() puts it, in one record or in many. */
static void test_certificate(void **state)
{
	struct wire message = {0}, joined = {0};

	(void)state;
	wire_hex(&message, SERVER12 "0b 000010 00000d 000005 3003020107 000002 3000 0e 000000");
	for (size_t most = 1; most <= message.n; most++) {
		struct wire wire = wire_records(&message, 22, 0x0303, most);

		assert_int_equal(read_server(&wire), SW_HELLO_WHOLE);
		assert_int_equal(server.version, 0x0303);
		assert_true(server.certificate_whole);
		assert_int_equal(server.certificate_length, 5);
		joined.n = sw_handshake_join(wire.data, wire.n, joined.data, sizeof(joined.data));
		assert_int_equal(joined.n, message.n);
		assert_memory_equal(joined.data + server.certificate_at, "\x30\3\2\1\7", 5);
		/* In place, and into less room than it needs. */
		assert_int_equal(sw_handshake_join(wire.data, wire.n, wire.data, wire.n),
				 message.n);
		assert_memory_equal(wire.data, message.data, message.n);
		wire = wire_records(&message, 22, 0x0303, most);
		assert_int_equal(sw_handshake_join(wire.data, wire.n, joined.data, 7), 7);
	}
}

static void test_server_cut(void **state)
{
	struct wire message = {0}, wire;
	size_t whole;

	(void)state;
	wire_hex(&message, SERVER12 "0b 00000b 000008 000005 3003020107");
	wire = wire_records(&message, 22, 0x0303, 20);
	whole = wire.n;
	for (wire.n = 0; wire.n < whole; wire.n++) {
		assert_int_equal(read_server(&wire), SW_HELLO_CUT);
		assert_false(server.certificate_whole);
	}
	/* A resumed session, and an alert behind the hello. */
	expect_server(SW_HELLO_WHOLE, "16 0303 002a " SERVER12 "14 0303 0001 01");
	expect_server(SW_HELLO_WHOLE, "16 0303 002a " SERVER12 "15 0303 0002 0228");
}

static void test_server_wrong(void **state)
{
	(void)state;
	expect_server(SW_HELLO_BAD, "15 0303 0002 0228");
	assert_false(server.has_hello);
	expect_server(SW_HELLO_CUT, "");
	expect_server(SW_HELLO_BAD, "32 3230 2072 6561 6479");
	expect_server(SW_HELLO_BAD, "16 0303 0004 0e 000000");
	expect_server(SW_HELLO_BAD, "16 0303 0008 02 000026 0303 0000 17 0303 0001 00");
}

static void test_words(void **state)
{
	(void)state;
	assert_string_equal(sw_hello_version_name(0x0304), "TLS 1.3");
	assert_string_equal(sw_hello_version_name(0x0300), "SSL 3.0");
	assert_null(sw_hello_version_name(0x0305));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_client),       cmocka_unit_test(test_client_cut),
		cmocka_unit_test(test_client_wrong), cmocka_unit_test(test_client_many),
		cmocka_unit_test(test_server),       cmocka_unit_test(test_certificate),
		cmocka_unit_test(test_server_cut),   cmocka_unit_test(test_server_wrong),
		cmocka_unit_test(test_words),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
