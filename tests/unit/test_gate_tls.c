/* SPDX-License-Identifier: GPL-2.0-or-later */
/* bpf/gate.h: ClientHello and ServerHello of every version and in every piece, and what is none. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

#include "tests/unit/gate_world.h"

static struct gw_dialogue dialogue;

#define NOT_TLS SW_REASON_NOT_TLS

/* ---- ClientHello ---- */

static const struct hello_spec clients[] = {
	{.legacy = 0x0301}, /* TLS 1.0, no extensions */
	{.record = 0x0300, .legacy = 0x0301},
	{.legacy = 0x0302, .sni = "mx.example"},
	{.record = 0x0303, .legacy = 0x0303, .sni = "mx.example"},
	{.record = 0x0301, .versions = {0x0304}},
	{.record = 0x0303, .versions = {0x0304, 0x0303, 0x0302, 0x0301}},
	{.record = 0x0301, .versions = {0x7a7a, 0x0304, 0x0303}}, /* GREASE, RFC 8701 */
	{.versions = {0x0304}, .per_record = 1},
	{.versions = {0x0304}, .per_record = 2},
	{.versions = {0x0304}, .per_record = 50},
	{.versions = {0x0304}, .size = 1800}, /* a post-quantum key share */
	{.versions = {0x0304}, .size = 1800, .per_record = 1200},
	{.versions = {0x0304}, .size = 4000, .per_record = 512},
};

static void add_client(const struct hello_spec *spec)
{
	struct hello_bytes bytes = {.n = 0};

	hello_client(&bytes, spec);
	gw_add(&dialogue, false, bytes.data, bytes.n);
}

static void add_server(const struct hello_spec *spec)
{
	struct hello_bytes bytes = {.n = 0};

	hello_server(&bytes, spec);
	gw_add(&dialogue, true, bytes.data, bytes.n);
}

static void begin(void)
{
	gw_begin(&dialogue, 465, 0);
}

static void text(const char *what)
{
	gw_texts(&dialogue, (const char *const[]){what, NULL});
}

static void client_hellos(void **data)
{
	(void)data;
	for (size_t i = 0; i < sizeof(clients) / sizeof(clients[0]); i++) {
		struct gw_result result;
		char name[40];

		snprintf(name, sizeof(name), "ClientHello %zu", i);
		begin();
		add_client(&clients[i]);
		gw_expect(name, "phase", gw_play(&dialogue, GW_WHOLE).gate->phase,
			  SW_GATE_HELLO_DONE);
		text("A");
		text("T");
		result = gw_play(&dialogue, GW_WHOLE);
		gw_expect(name, "reason", result.reason, SW_REASON_NONE);
		gw_expect(name, "phase", result.gate->phase, SW_GATE_TLS);
		gw_check_cuts(&dialogue, name);
	}
}

/* `size`: of the message in one record. */
static struct gw_result play_size(size_t size, uint8_t clear)
{
	struct hello_spec spec = {.versions = {0x0304}, .size = size};

	gw_begin(&dialogue, 587, 0);
	if (clear)
		gw_texts(&dialogue, (const char *const[]){"S220 mx\r\n", "CSTARTTLS\r\n",
							  "S220 go\r\n", NULL});
	add_client(&spec);
	text("A");
	return gw_play(&dialogue, GW_WHOLE);
}

/* What counts is all that the client sent: commands, the record's header, the message. */
static void at_most_8192(void **data)
{
	(void)data;
	assert_int_equal(play_size(8192 - 5, 0).reason, 0);
	assert_int_equal(play_size(8192 - 5 + 1, 0).reason, SW_REASON_TOO_LONG);
	assert_int_equal(play_size(8192 - 5 - strlen("STARTTLS\r\n"), 1).reason, 0);
	assert_int_equal(play_size(8192 - 4 - strlen("STARTTLS\r\n"), 1).reason,
			 SW_REASON_TOO_LONG);
	assert_int_equal(play_size(12000, 0).reason, SW_REASON_TOO_LONG);
	dialogue.isn[0] = 0xfffff000;
	assert_int_equal(play_size(8192 - 5, 0).reason, 0);
	assert_int_equal(gw_play(&dialogue, GW_BYTES).reason, 0);
}

/* ---- what is no ClientHello ---- */

struct bytes {
	const char *name;
	size_t n;
	const char *bytes;
};

#define BYTES(name, text)                                                                          \
	{                                                                                          \
		name, sizeof(text) - 1, text                                                       \
	}

/* Each is refused with its last byte at the latest. */
static const struct bytes nonsense[] = {
	BYTES("nonsense behind 16 03 01", "\x16\3\1password"),
	BYTES("command behind 16 03 01", "\x16\3\1\r\nAUTH PLAIN x"),
	BYTES("version 2", "\x16\2\1"),
	BYTES("version 4", "\x16\4\1"),
	BYTES("version 3.9", "\x16\3\x09"),
	BYTES("empty record", "\x16\3\1\0\0"),
	BYTES("record too long", "\x16\3\1\xff\xff"),
	BYTES("SSLv2 hello", "\x80\x2e\1\3\1\0\x15\0\0\0\x10"),
	BYTES("SSLv2 hello, long form", "\x20\x2e\0\1\3\1"),
	BYTES("alert", "\x15\3\1\0\2\2\x28"),
	BYTES("application data", "\x17\3\3\0\x10"),
	BYTES("change cipher spec", "\x14\3\3\0\1\1"),
	BYTES("heartbeat", "\x18\3\3\0\3\1\0\1"),
	BYTES("ServerHello", "\x16\3\1\0\x50\2\0\0\x4c\3\3"),
	BYTES("HelloRequest", "\x16\3\1\0\4\0\0\0\0"),
	BYTES("message of no length", "\x16\3\1\0\x50\1\0\0\0"),
	BYTES("message too short", "\x16\3\1\0\x50\1\0\0\x20\3\3"),
	BYTES("message of 16 MiB", "\x16\3\1\0\x50\1\xff\xff\xff\3\3"),
	BYTES("legacy version 2", "\x16\3\1\0\x50\1\0\0\x4c\2\0"),
	BYTES("legacy version 3.0", "\x16\3\1\0\x50\1\0\0\x4c\3\0"),
	BYTES("legacy version 3.7", "\x16\3\1\0\x50\1\0\0\x4c\3\7"),
	BYTES("another type in the second record", "\x16\3\1\0\1\1\x17\3\1\0\1x"),
	BYTES("alert in the second record", "\x16\3\1\0\1\1\x15\3\1\0\2\2\x28"),
	BYTES("text in the second record", "\x16\3\1\0\1\1"
					   "AUTH"),
	BYTES("HTTP", "GET / HTTP/1.1\r\n"),
	BYTES("SSH", "SSH-2.0-OpenSSH\r\n"),
	BYTES("NUL", "\0"),
};

static void no_hello(void **data)
{
	(void)data;
	for (size_t i = 0; i < sizeof(nonsense) / sizeof(nonsense[0]); i++) {
		begin();
		gw_add(&dialogue, false, nonsense[i].bytes, nonsense[i].n);
		gw_expect(nonsense[i].name, "reason", gw_play(&dialogue, GW_WHOLE).reason, NOT_TLS);
		gw_check_cuts(&dialogue, nonsense[i].name);
	}
}

/* Every byte of a length that is there, another one: refused, or not ended within what it claims. */
static void lengths_that_do_not_fit(void **data)
{
	static const struct hello_spec spec = {.versions = {0x0304}, .sni = "mx.example"};
	/* Record 5, type and length 4, version 2, random 32; session id 32, two suites, one method. */
	static const struct {
		size_t at;
		const char *name;
	} lengths[] = {
		{3, "record, high"},      {4, "record"},      {6, "message, high"},
		{7, "message, middle"},   {8, "message"},     {76, "suites, high"},
		{84, "extensions, high"}, {85, "extensions"}, {88, "extension, high"},
	};
	struct hello_bytes bytes = {.n = 0};

	(void)data;
	hello_client(&bytes, &spec);
	assert_int_equal(bytes.data[77], 4);
	assert_int_equal(bytes.data[89], 15);
	for (size_t i = 0; i < sizeof(lengths) / sizeof(lengths[0]); i++)
		for (int value = 0; value < 256; value++) {
			struct hello_bytes other = bytes;

			if (value == bytes.data[lengths[i].at])
				continue;
			other.data[lengths[i].at] = (uint8_t)value;
			begin();
			gw_add(&dialogue, false, other.data, other.n);
			if (gw_play(&dialogue, GW_WHOLE).gate->phase == SW_GATE_HELLO_DONE)
				fail_msg("%s: %d instead of %d is taken", lengths[i].name, value,
					 bytes.data[lengths[i].at]);
		}
}

/* Lengths within the message, the outer ones as they were. */
static void odd_parts(void **data)
{
	static const struct hello_spec spec = {.legacy = 0x0303};
	struct hello_bytes bytes = {.n = 0};

	(void)data;
	hello_client(&bytes, &spec);
	bytes.data[43] = 33; /* session id longer than any may be, and taken from the suites */
	begin();
	gw_add(&dialogue, false, bytes.data, bytes.n);
	assert_int_equal(gw_play(&dialogue, GW_WHOLE).reason, NOT_TLS);
	bytes.data[43] = 32;
	bytes.data[77] = 3; /* half a suite */
	begin();
	gw_add(&dialogue, false, bytes.data, bytes.n);
	assert_int_equal(gw_play(&dialogue, GW_WHOLE).reason, NOT_TLS);
}

/* A server that does not expect TLS would do what this line says. */
static void command_in_a_hello(void **data)
{
	static const char *const hidden[] = {
		"\r\nAUTH PLAIN x\r\n", "\nMAIL FROM:<>\r\n", "\r\nmail from:<>\r\n",
		"\rRCPT TO:<a>\r\n",    "\r\nDATA\r\n",       "\r\n \tBDAT 10\r\n",
		"\r\nAuTh\tPLAIN x\n",  "\nAUTH\vPLAIN x\n",  "\n\f\vMAIL\fFROM:<>\n",
	};

	(void)data;
	for (size_t i = 0; i < sizeof(hidden) / sizeof(hidden[0]); i++) {
		struct hello_spec spec = {.versions = {0x0304}, .body = hidden[i], .size = 600};

		for (size_t per_record = 0; per_record < 2; per_record++) {
			spec.per_record = per_record * 4000;
			begin();
			add_client(&spec);
			gw_expect(hidden[i], "reason", gw_play(&dialogue, GW_WHOLE).reason,
				  NOT_TLS);
			gw_check_cuts(&dialogue, "command in a hello");
		}
	}
}

/* No line end before it, or a longer word: chance, not a command. */
static void no_command_in_a_hello(void **data)
{
	static const char *const innocent[] = {"xAUTH PLAIN x\r\n", "\r\nAUTHOR x\r\n",
					       "\r\nxMAIL x", "\r\nEHLO x\r\n", "\r\n\r\n\r\n"};

	(void)data;
	for (size_t i = 0; i < sizeof(innocent) / sizeof(innocent[0]); i++) {
		struct hello_spec spec = {.versions = {0x0304}, .body = innocent[i], .size = 600};

		begin();
		add_client(&spec);
		gw_expect(innocent[i], "reason", gw_play(&dialogue, GW_WHOLE).reason, 0);
	}
}

/* ---- behind the hello ---- */

static void behind_the_hello(void **data)
{
	static const struct {
		size_t n;
		const char *bytes;
		uint8_t reason;
	} tails[] = {
		{7, "\x15\3\1\0\2\2\x28", 0},
		{6, "\x14\3\3\0\1\1", 0},
		{13, "\x14\3\3\0\1\1\x15\3\1\0\2\1\0", 0},
		{5, "\x17\3\3\0\x10", NOT_TLS},
		{5, "\x15\3\1\0\x10", NOT_TLS},
		{1, "\x16", NOT_TLS},
		{4, "AUTH", NOT_TLS},
		{6, "\r\nAUTH", NOT_TLS},
		{1, "\0", NOT_TLS},
	};
	static const struct hello_spec spec = {.versions = {0x0304}};

	(void)data;
	for (size_t i = 0; i < sizeof(tails) / sizeof(tails[0]); i++) {
		struct hello_bytes bytes = {.n = 0};

		hello_client(&bytes, &spec);
		hello_add(&bytes, tails[i].bytes, tails[i].n);
		begin();
		gw_add(&dialogue, false, bytes.data, bytes.n);
		text("A");
		gw_expect("tail", "reason", gw_play(&dialogue, GW_WHOLE).reason, tails[i].reason);
		gw_check_cuts(&dialogue, "tail");
	}
}

/* In the hello's own record, behind its end. */
static void more_in_the_record(void **data)
{
	static const struct hello_spec spec = {.versions = {0x0304}};
	struct hello_bytes message = {.n = 0}, bytes = {.n = 0};

	(void)data;
	hello_client_message(&message, &spec);
	hello_add(&message, "AUTH PLAIN x\r\n", 14);
	hello_records(&bytes, &message, 0x0301, 0);
	begin();
	gw_add(&dialogue, false, bytes.data, bytes.n);
	assert_int_equal(gw_play(&dialogue, GW_WHOLE).reason, NOT_TLS);
	gw_check_cuts(&dialogue, "more in the record");
}

/* ---- ServerHello ---- */

static const struct answer {
	struct hello_spec spec;
	uint16_t version;
} answers[] = {
	{{.record = 0x0301, .legacy = 0x0301}, 0x0301},
	{{.record = 0x0302, .legacy = 0x0302}, 0x0302},
	{{.legacy = 0x0303}, 0x0303},
	{{.legacy = 0x0303, .size = 200}, 0x0303},
	{{.versions = {0x0304}}, 0x0304},
	{{.versions = {0x0304}, .size = 200}, 0x0304},
	{{.versions = {0x0304}, .size = 3000}, 0x0304},
	{{.versions = {0x0304}, .per_record = 1}, 0x0304},
	{{.legacy = 0x0303, .per_record = 7}, 0x0303},
	{{.versions = {0x0304}, .retry = 1}, 0x0304},
};

static void server_hellos(void **data)
{
	(void)data;
	for (size_t i = 0; i < sizeof(answers) / sizeof(answers[0]); i++)
		for (uint16_t asked = 0x0300; asked <= 0x0304; asked++) {
			bool good = answers[i].version >= asked;
			struct gw_result result;

			begin();
			dialogue.tls_version = asked == 0x0300 ? 0 : asked;
			text("H");
			add_server(&answers[i].spec);
			text("T");
			result = gw_play(&dialogue, GW_WHOLE);
			gw_expect("ServerHello", "negotiated", result.gate->negotiated,
				  answers[i].version);
			gw_expect("ServerHello", "reason", result.reason,
				  good ? SW_REASON_NONE : SW_REASON_TLS_TOO_OLD);
			gw_expect("ServerHello", "from_server", result.from_server, !good);
			if (good)
				gw_expect("ServerHello", "phase", result.gate->phase, SW_GATE_TLS);
			gw_expect("ServerHello", "cipher", result.gate->cipher,
				  answers[i].version == 0x0304 ? 0x1301 : 0xc02f);
			gw_check_cuts(&dialogue, "ServerHello");
		}
}

/* SSL 3.0 is no TLS, whatever the policy says of versions. */
static void ssl3(void **data)
{
	static const struct hello_spec spec = {.record = 0x0300, .legacy = 0x0300};

	(void)data;
	begin();
	text("H");
	add_server(&spec);
	assert_int_equal(gw_play(&dialogue, GW_WHOLE).reason, SW_REASON_TLS_TOO_OLD);
}

static void no_server_hello(void **data)
{
	static const struct bytes bad[] = {
		BYTES("text", "220 mx ESMTP\r\n"),
		BYTES("refusal", "500 what?\r\n"),
		BYTES("application data", "\x17\3\3\0\x10"),
		BYTES("change cipher spec", "\x14\3\3\0\1\1"),
		BYTES("ClientHello", "\x16\3\1\0\x50\1"),
		BYTES("Certificate", "\x16\3\1\0\x50\x0b"),
		BYTES("empty record", "\x16\3\1\0\0"),
		BYTES("message too short", "\x16\3\1\0\x50\2\0\0\x10\3\3"),
	};

	(void)data;
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		struct gw_result result;

		begin();
		text("H");
		gw_add(&dialogue, true, bad[i].bytes, bad[i].n);
		text("T");
		result = gw_play(&dialogue, GW_WHOLE);
		gw_expect(bad[i].name, "reason", result.reason, NOT_TLS);
		gw_expect(bad[i].name, "from_server", result.from_server, true);
		gw_check_cuts(&dialogue, bad[i].name);
	}
}

/* A second hello follows HelloRetryRequest; the session goes on unharmed. */
static void hello_retry(void **data)
{
	static const struct hello_spec retry = {.versions = {0x0304}, .retry = 1};

	(void)data;
	begin();
	text("H");
	add_server(&retry);
	gw_add(&dialogue, false, "\x14\3\3\0\1\1", 6);
	gw_texts(&dialogue, (const char *const[]){"H", "A", "T", "t", NULL});
	assert_int_equal(gw_play(&dialogue, GW_WHOLE).reason, 0);
	gw_check_cuts(&dialogue, "HelloRetryRequest");
}

/* A server that does not know the name may say so and go on (RFC 6066, 3); behind a fatal alert is nothing. */
static void warning_before_the_hello(void **data)
{
	static const struct hello_spec answer = {.legacy = 0x0303};
	static const char warnings[] = "\x15\3\3\0\2\1\x70\x15\3\3\0\2\1\2";
	struct gw_result result;

	(void)data;
	begin();
	text("H");
	gw_add(&dialogue, true, warnings, sizeof(warnings) - 1);
	add_server(&answer);
	text("T");
	result = gw_play(&dialogue, GW_WHOLE);
	assert_int_equal(result.reason, 0);
	assert_int_equal(result.gate->phase, SW_GATE_TLS);
	/* The reader of samples gets the hello, not what stood before it. */
	assert_int_equal(result.gate->n_served, dialogue.steps[2].n);
	gw_check_cuts(&dialogue, "warning before the hello");

	begin();
	gw_texts(&dialogue, (const char *const[]){"H", "l", "A", "T", NULL});
	assert_int_equal(gw_play(&dialogue, GW_WHOLE).reason, NOT_TLS);
}

/* What the readers of samples get: the bytes as they were sent. */
static void samples(void **data)
{
	static const struct hello_spec answer = {.legacy = 0x0303};
	const struct gw_step *step;
	struct gw_result result;

	(void)data;
	gw_begin(&dialogue, 587, 0);
	gw_texts(&dialogue,
		 (const char *const[]){"S220 mx\r\n", "CSTARTTLS\r\n", "S220 go\r\n", "H", NULL});
	add_server(&answer);
	gw_add(&dialogue, true, "\x16\3\3\0\5\x0b\0\0\1\0", 10);
	for (int way = 0; way < 2; way++) {
		result = gw_play(&dialogue, way ? GW_BYTES : GW_WHOLE);
		assert_int_equal(result.gate->hello_at, strlen("STARTTLS\r\n"));
		step = &dialogue.steps[3];
		assert_int_equal(result.gate->read, result.gate->hello_at + step->n);
		assert_memory_equal(result.gate->seen, "STARTTLS\r\n", 10);
		assert_memory_equal(result.gate->seen + 10, dialogue.pool + step->at, step->n);
		assert_int_equal(result.gate->n_served, dialogue.steps[4].n + 10);
		assert_memory_equal(result.gate->served, dialogue.pool + dialogue.steps[4].at,
				    result.gate->n_served);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(client_hellos),
		cmocka_unit_test(at_most_8192),
		cmocka_unit_test(no_hello),
		cmocka_unit_test(lengths_that_do_not_fit),
		cmocka_unit_test(odd_parts),
		cmocka_unit_test(command_in_a_hello),
		cmocka_unit_test(no_command_in_a_hello),
		cmocka_unit_test(behind_the_hello),
		cmocka_unit_test(more_in_the_record),
		cmocka_unit_test(server_hellos),
		cmocka_unit_test(ssl3),
		cmocka_unit_test(no_server_hello),
		cmocka_unit_test(hello_retry),
		cmocka_unit_test(warning_before_the_hello),
		cmocka_unit_test(samples),
	};

	return cmocka_run_group_tests_name("gate and TLS", tests, NULL, NULL);
}
