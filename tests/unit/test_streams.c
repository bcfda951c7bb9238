/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Streams of a capture: their numbers and order, segments that come early, late, twice or never, and that
 * memory stays bounded. What is said of whole captures is in tests/golden/replay.sh.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "bpf/vocabulary.h"
#include "daemon/base.h"
#include "daemon/policy/policy.h"
#include "daemon/wire/streams.h"

enum { FIN = 1, SYN = 2, RST = 4, ACK = 16 };

#define KEPT 64

static struct {
	struct sw_image *image;
	struct sw_streams *streams;
	uint64_t told;
	uint64_t incomplete;
	struct sw_stream kept[KEPT]; /* the first ones */
} world;

static int setup(void **state)
{
	static const char text[] = "mode enforce\nhost { port 587 { require tls } }\n"
				   "edge \"lan0\" { port 587 { require tls } }\n"
				   "edge \"tap*\" { mode audit\nport 587 { require tls } }\n";
	struct sw_world nothing = {0};
	struct sw_diags *diags = sw_diags_new();
	struct sw_policy_ast *policy = sw_policy_parse("p", text, strlen(text), diags);

	(void)state;
	if (!sw_policy_check(policy, &nothing, diags))
		world.image = sw_policy_compile(policy, diags);
	sw_policy_free(policy);
	sw_diags_free(diags);
	return world.image ? 0 : -1;
}

static int teardown(void **state)
{
	(void)state;
	sw_image_free(world.image);
	return 0;
}

static void tell(void *data, const struct sw_stream *stream)
{
	(void)data;
	assert_int_equal(stream->number, world.told);
	if (world.told < KEPT)
		world.kept[world.told] = *stream;
	world.told++;
	world.incomplete += stream->incomplete;
}

static void begin(void)
{
	world.told = world.incomplete = 0;
	world.streams = sw_streams_new(world.image, tell, NULL);
	assert_non_null(world.streams);
}

static void end(void)
{
	struct sw_streams_counts counts;

	assert_int_equal(sw_streams_end(world.streams), 0);
	sw_streams_count(world.streams, &counts);
	assert_int_equal(world.told, counts.streams);
	sw_streams_free(world.streams);
}

static void put32(uint8_t *at, uint32_t value)
{
	for (int i = 0; i < 4; i++)
		at[i] = (uint8_t)(value >> (24 - 8 * i));
}

/* A packet without a link header; the client is 192.0.2.1 and `port` is its port. */
static void packet(bool from_server, uint16_t port, uint32_t seq, uint32_t ack, uint8_t flags,
		   const char *text)
{
	size_t n = strlen(text);
	uint8_t bytes[2048] = {0x45, 0, 0, 0, 0, 0, 0, 0, 64, 6};
	uint16_t ports[2] = {from_server ? 587 : port, from_server ? port : 587};

	assert_true(n + 40 <= sizeof(bytes));
	bytes[2] = (uint8_t)((n + 40) >> 8);
	bytes[3] = (uint8_t)(n + 40);
	memcpy(bytes + 12, from_server ? "\xc0\0\2\2\xc0\0\2\1" : "\xc0\0\2\1\xc0\0\2\2", 8);
	for (int i = 0; i < 2; i++) {
		bytes[20 + 2 * i] = (uint8_t)(ports[i] >> 8);
		bytes[21 + 2 * i] = (uint8_t)ports[i];
	}
	put32(bytes + 24, seq);
	put32(bytes + 28, ack);
	bytes[32] = 0x50;
	bytes[33] = flags;
	memcpy(bytes + 40, text, n);
	assert_int_equal(sw_streams_packet(world.streams, SW_LAYER_IP, 1, bytes, n + 40, n + 40),
			 0);
}

static void client(uint16_t port, uint32_t seq, const char *text)
{
	packet(false, port, seq, 501, ACK, text);
}

static void opened(uint16_t port, uint32_t isn)
{
	packet(false, port, isn, 0, SYN, "");
	packet(true, port, 500, isn + 1, SYN | ACK, "");
}

static void expect_reset(size_t stream, unsigned int verb, bool incomplete)
{
	assert_true(stream < world.told);
	assert_int_equal(world.kept[stream].verdict, SW_VERDICT_RESET);
	assert_int_equal(world.kept[stream].reason, SW_REASON_CLEARTEXT_COMMAND);
	assert_int_equal(world.kept[stream].first_verb, verb);
	assert_int_equal(world.kept[stream].incomplete, incomplete);
}

static void expect_allow(size_t stream, bool incomplete)
{
	assert_true(stream < world.told);
	assert_int_equal(world.kept[stream].verdict, SW_VERDICT_ALLOW);
	assert_int_equal(world.kept[stream].reason, SW_REASON_NONE);
	assert_int_equal(world.kept[stream].first_verb, SW_VERB_NONE);
	assert_int_equal(world.kept[stream].incomplete, incomplete);
}

static void expect_edge(size_t stream, unsigned int verdict, unsigned int reason)
{
	assert_true(stream < world.told);
	assert_int_equal(world.kept[stream].verdict, verdict);
	assert_int_equal(world.kept[stream].reason, reason);
	assert_true(world.kept[stream].guarded);
}

static void begin_edge(const char *interface)
{
	begin();
	sw_streams_at_edge(world.streams, interface);
}

/* The same text in pieces of every size, forwards and backwards, around the end of numbers. */
static void test_pieces(void **state)
{
	static const char text[] = "EHLO x\r\nNOOP\r\nMAIL FROM:<a>\r\n";
	const size_t n = sizeof(text) - 1;

	(void)state;
	begin();
	for (uint16_t size = 1; size <= n; size++) {
		for (int backwards = 0; backwards < 2; backwards++) {
			uint16_t port = (uint16_t)(1000 + 2 * size + backwards);
			size_t pieces = (n + size - 1) / size;

			opened(port, 0xfffffff0);
			for (size_t i = 0; i < pieces; i++) {
				size_t at = (backwards ? pieces - 1 - i : i) * size;
				char piece[sizeof(text)] = "";

				memcpy(piece, text + at, n - at < size ? n - at : size);
				client(port, 0xfffffff1 + (uint32_t)at, piece);
			}
		}
	}
	end();
	for (size_t i = 0; i < 2 * n && i < KEPT; i++)
		expect_reset(i, SW_VERB_MAIL, false);
}

static void test_gap(void **state)
{
	(void)state;
	begin();
	opened(1000, 100);
	client(1000, 111, "AUTH PLAIN x\r\n");
	opened(1001, 100);
	client(1001, 111, "AUTH PLAIN x\r\n");
	client(1001, 101, "EHLO abc\r\n");
	/* Resets and what comes behind them. */
	opened(1002, 100);
	packet(false, 1002, 101, 501, RST | ACK, "AUTH");
	client(1002, 101, "AUTH PLAIN x\r\n");
	end();
	expect_allow(0, true);
	expect_reset(1, SW_VERB_AUTH, false);
	expect_allow(2, false);
}

/* Only a SYN with another number begins a new stream between the same ends. */
static void test_numbers(void **state)
{
	(void)state;
	begin();
	opened(1000, 100);
	packet(false, 1000, 100, 0, SYN, "");
	client(1000, 101, "QUIT\r\n");
	packet(false, 1000, 107, 501, FIN | ACK, "");
	packet(true, 1000, 501, 108, FIN | ACK, "");
	assert_int_equal(world.told, 1);
	packet(false, 1000, 100, 0, SYN, "");
	client(1000, 101, "AUTH PLAIN x\r\n");
	opened(1000, 200);
	client(1000, 201, "AUTH PLAIN x\r\n");
	/* Without a SYN: the side with the higher port is the client, whoever is seen first. */
	packet(true, 1001, 700, 300, ACK, "220 x\r\n");
	client(1001, 300, "AUTH PLAIN x\r\n");
	end();
	assert_int_equal(world.told, 3);
	expect_allow(0, false);
	expect_reset(1, SW_VERB_AUTH, false);
	expect_reset(2, SW_VERB_AUTH, true);
	assert_int_equal(world.kept[2].src_port, 1001);
	assert_int_equal(world.kept[2].dst_port, 587);
}

/* An older stream that goes on keeps younger ones waiting, so that they are told in order. */
static void test_order(void **state)
{
	(void)state;
	begin();
	opened(1000, 100);
	opened(1001, 100);
	packet(false, 1001, 101, 501, RST, "");
	assert_int_equal(world.told, 0);
	packet(false, 1000, 101, 501, RST, "");
	assert_int_equal(world.told, 2);
	end();
}

/* More streams with payload than are read at a time: the oldest are given up, and that is said. */
static void test_watched(void **state)
{
	const uint32_t more = 10, n = SW_STREAMS_WATCHED_MAX + more;
	struct sw_streams_counts counts;

	(void)state;
	begin();
	for (uint32_t i = 0; i < n; i++) {
		opened((uint16_t)(1000 + i), 100);
		client((uint16_t)(1000 + i), 101, "EHLO x\r\n");
	}
	sw_streams_count(world.streams, &counts);
	assert_int_equal(counts.forgotten, more);
	end();
	assert_int_equal(world.told, n);
	assert_int_equal(world.incomplete, more);
	expect_allow(0, true);
	expect_allow(more, false);
}

/* A million attempts to connect, as a scan makes them: most are told before the capture ends. */
static void test_scan(void **state)
{
	const uint32_t n = 1000000;

	(void)state;
	begin();
	for (uint32_t i = 0; i < n; i++)
		packet(false, (uint16_t)i, 1000 + i, 0, SYN, "");
	assert_true(world.told >= n - SW_STREAMS_WAITING_MAX);
	end();
	assert_int_equal(world.told, n);
}

/* Segments ahead of gaps are kept, but not without end. */
static void test_held(void **state)
{
	char text[1401];

	(void)state;
	memset(text, 'A', sizeof(text) - 1);
	text[sizeof(text) - 1] = '\0';
	begin();
	opened(1000, 100);
	for (uint32_t i = 1; i < 1000; i++)
		client(1000, 101 + i * 1400, text);
	client(1000, 101, "AUTH PLAIN x\r\n");
	end();
	expect_allow(0, true);
}

/* Forwarded, a stream counts from its client's SYN on. */
static void test_edge_begin(void **state)
{
	(void)state;
	begin_edge("lan0");
	client(1000, 101, "AUTH PLAIN x\r\n");
	opened(1000, 200);
	client(1000, 201, "AUTH PLAIN x\r\n");
	packet(true, 1001, 500, 101, SYN | ACK, "");
	client(1001, 101, "QUIT\r\n");
	/* A server that speaks first is not to be refused, and its client has a SYN. */
	packet(true, 1002, 501, 101, ACK, "220 x\r\n");
	packet(false, 1002, 100, 0, SYN, "");
	client(1002, 101, "AUTH PLAIN x\r\n");
	/* The client's port is the lower one. */
	client(25, 101, "QUIT\r\n");
	opened(1003, 100);
	client(1003, 101, "QUIT\r\n");
	end();
	assert_int_equal(world.told, 6);
	expect_edge(0, SW_VERDICT_RESET, SW_REASON_UNATTRIBUTED);
	assert_false(world.kept[0].violation);
	expect_reset(1, SW_VERB_AUTH, false);
	expect_edge(2, SW_VERDICT_RESET, SW_REASON_UNATTRIBUTED);
	expect_reset(3, SW_VERB_AUTH, true);
	expect_edge(4, SW_VERDICT_RESET, SW_REASON_UNATTRIBUTED);
	assert_int_equal(world.kept[4].src_port, 25);
	expect_allow(5, false);
}

/* Whose rules they are: those of the interface, or of the first that is named. */
static void test_edge_interface(void **state)
{
	static const char *const interfaces[] = {"lan0", NULL, "tap7", "eth0"};

	(void)state;
	for (size_t i = 0; i < sw_count(interfaces); i++) {
		begin_edge(interfaces[i]);
		opened(1000, 100);
		client(1000, 101, "AUTH PLAIN x\r\n");
		client(1001, 101, "AUTH PLAIN x\r\n");
		end();
		assert_int_equal(world.told, 2);
		if (i == 3) {
			assert_false(world.kept[0].guarded);
			assert_int_equal(world.kept[1].reason, SW_REASON_NONE);
			continue;
		}
		expect_edge(0, i < 2 ? SW_VERDICT_RESET : SW_VERDICT_AUDIT,
			    SW_REASON_CLEARTEXT_COMMAND);
		expect_edge(1, i < 2 ? SW_VERDICT_RESET : SW_VERDICT_AUDIT, SW_REASON_UNATTRIBUTED);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_pieces),         cmocka_unit_test(test_gap),
		cmocka_unit_test(test_numbers),        cmocka_unit_test(test_order),
		cmocka_unit_test(test_watched),        cmocka_unit_test(test_scan),
		cmocka_unit_test(test_held),           cmocka_unit_test(test_edge_begin),
		cmocka_unit_test(test_edge_interface),
	};

	return cmocka_run_group_tests(tests, setup, teardown);
}
