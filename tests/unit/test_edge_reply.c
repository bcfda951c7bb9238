/* SPDX-License-Identifier: GPL-2.0-or-later */
/* bpf/edge_reply.h: which answer, with which numbers, and its checksums summed the long way. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "daemon/base.h"

#include "daemon/wire/bytes.h"

#define SW_PARSE_LOAD(from, offset, to, size) sw_bytes_load(from, offset, to, size)
#include "bpf/edge_reply.h"

static struct sw_packet packet_of(bool six, uint8_t flags)
{
	struct sw_packet packet = {
		.ether = six ? SW_ETHER_IPV6 : SW_ETHER_IPV4,
		.src_port = 0xffee,
		.dst_port = 25,
		.seq = 1000,
		.ack = 2000,
		.payload = 7,
		.tcp_flags = flags,
	};

	for (int i = six ? 0 : 12; i < 16; i++) {
		packet.src[i] = (uint8_t)(0x20 + i);
		packet.dst[i] = (uint8_t)(0x30 + i);
	}
	if (!six) {
		memset(packet.src + 10, 0xff, 2);
		memset(packet.dst + 10, 0xff, 2);
	}
	return packet;
}

/* Word by word in network order, as RFC 1071 tells it. */
static uint32_t sum_of(const uint8_t *at, size_t n, uint32_t sum)
{
	for (size_t i = 0; i < n; i++)
		sum += i % 2 ? at[i] : (uint32_t)at[i] << 8;
	while (sum >> 16)
		sum = (sum & 0xffff) + (sum >> 16);
	return sum;
}

static void builds(void **state)
{
	static const uint16_t lengths[] = {0, 12, 272};

	(void)state;
	for (int six = 0; six < 2; six++)
		for (size_t i = 0; i < sw_count(lengths); i++)
			for (uint32_t number = 0; number < 300; number++) {
				struct sw_packet packet = packet_of(six, SW_TCP_ACK);
				uint8_t bytes[SW_REPLY_MAX + 272] = {};
				struct sw_reply reply = {.seq = number * 0x01234567,
							 .ack = ~number,
							 .flags = SW_TCP_ACK,
							 .length = lengths[i]};
				uint32_t n = six ? 60 : 40, tcp = n - 20, length;

				for (uint32_t at = 0; at < lengths[i]; at++)
					bytes[n + at] = (uint8_t)(at * 7 + number);
				reply.sum = (uint16_t)sum_of(bytes + n, lengths[i], 0);
				/* In memory order. */
				bytes[0] = (uint8_t)(reply.sum >> 8);
				bytes[1] = (uint8_t)reply.sum;
				memcpy(&reply.sum, bytes, 2);
				assert_int_equal(sw_reply_build(&packet, &reply, bytes), n);
				length = 20u + lengths[i];
				assert_int_equal(sum_of(bytes + tcp, length,
							sum_of(bytes + (six ? 8 : 12), six ? 32 : 8,
							       6 + length)),
						 0xffff);
				if (!six)
					assert_int_equal(sum_of(bytes, 20, 0), 0xffff);
				assert_int_equal(sw_parse_u16(bytes + (six ? 4 : 2)),
						 six ? length : length + 20);
				assert_int_equal(sw_parse_u16(bytes + tcp), 25);
				assert_int_equal(sw_parse_u16(bytes + tcp + 2), 0xffee);
				assert_int_equal(sw_parse_u32(bytes + tcp + 4), reply.seq);
				assert_int_equal(sw_parse_u32(bytes + tcp + 8), reply.ack);
			}
}

/* RFC 9293, 3.10.7.1. */
static void resets(void **state)
{
	struct sw_packet packet;
	struct sw_reply reply;

	(void)state;
	packet = packet_of(false, SW_TCP_SYN);
	sw_reply_reset(&packet, &reply);
	assert_int_equal(reply.flags, SW_TCP_RST | SW_TCP_ACK);
	assert_int_equal(reply.seq, 0);
	assert_int_equal(reply.ack, 1008);
	packet.tcp_flags = SW_TCP_ACK | SW_TCP_PSH;
	sw_reply_reset(&packet, &reply);
	assert_int_equal(reply.flags, SW_TCP_RST);
	assert_int_equal(reply.seq, 2000);
	packet.tcp_flags = SW_TCP_FIN;
	packet.seq = 0xffffffff;
	sw_reply_reset(&packet, &reply);
	assert_int_equal(reply.ack, 7);
}

static void may_or_may_not(void **state)
{
	struct sw_packet packet = packet_of(false, SW_TCP_SYN);

	(void)state;
	assert_true(sw_reply_may(&packet));
	packet.fragment = 1;
	assert_false(sw_reply_may(&packet));
	packet = packet_of(false, SW_TCP_RST | SW_TCP_ACK);
	assert_false(sw_reply_may(&packet));
	for (int last = 0; last < 256; last++) {
		packet = packet_of(false, SW_TCP_SYN);
		packet.dst[12] = (uint8_t)last;
		assert_int_equal(sw_reply_may(&packet), last && last < 224);
		packet = packet_of(false, SW_TCP_SYN);
		packet.src[12] = (uint8_t)last;
		assert_int_equal(sw_reply_may(&packet), last && last < 224);
	}
	packet = packet_of(true, SW_TCP_SYN);
	assert_true(sw_reply_may(&packet));
	packet.dst[0] = 0xff;
	assert_false(sw_reply_may(&packet));
	packet = packet_of(true, SW_TCP_SYN);
	memset(packet.src, 0, 16);
	assert_false(sw_reply_may(&packet));
}

static void converses(void **state)
{
	static const struct {
		uint8_t flags;
		uint32_t payload;
		int guess;
		enum sw_answer_kind answer;
	} cases[] = {
		{SW_TCP_SYN, 0, -1, SW_ANSWER_SYN},
		{SW_TCP_SYN | SW_TCP_PSH, 5, -1, SW_ANSWER_SYN},
		{SW_TCP_SYN | SW_TCP_ACK, 0, 0, SW_ANSWER_RESET},
		{SW_TCP_SYN | SW_TCP_FIN, 0, -1, SW_ANSWER_RESET},
		{SW_TCP_FIN, 0, 0, SW_ANSWER_RESET},
		{0, 5, 0, SW_ANSWER_RESET},
		{SW_TCP_ACK, 0, -1, SW_ANSWER_RESET},
		{SW_TCP_ACK, 0, 0, SW_ANSWER_LINE},
		{SW_TCP_ACK | SW_TCP_FIN, 6, 0, SW_ANSWER_LINE},
		{SW_TCP_ACK, 0, 1, SW_ANSWER_SILENCE},
		{SW_TCP_ACK, 0, 2, SW_ANSWER_SILENCE},
		{SW_TCP_ACK, 6, 1, SW_ANSWER_ACK},
		{SW_TCP_ACK | SW_TCP_FIN, 0, 2, SW_ANSWER_ACK},
		{SW_TCP_RST, 0, -1, SW_ANSWER_SILENCE},
		{SW_TCP_RST | SW_TCP_ACK, 0, 0, SW_ANSWER_SILENCE},
		{SW_TCP_RST | SW_TCP_SYN, 0, 0, SW_ANSWER_SILENCE},
	};

	(void)state;
	for (size_t i = 0; i < sw_count(cases); i++) {
		struct sw_packet packet = packet_of(false, cases[i].flags);

		packet.payload = cases[i].payload;
		assert_int_equal(sw_answer_to(&packet, cases[i].guess), cases[i].answer);
	}
}

/* A number says when it was made, for four slots of time; the hash says the rest. */
static void numbers_grow_old(void **state)
{
	(void)state;
	for (uint32_t slot = 0xfffffff0; slot != 32; slot++)
		for (uint32_t age = 0; age < 8; age++) {
			uint32_t number = sw_answer_number(0xabcdef0123456789ull, slot - age);

			assert_int_equal(number & ~7u, 0x23456788);
			assert_int_equal(sw_answer_age(number, slot), age < 4 ? (int)age : -1);
		}
}

static void guesses(void **state)
{
	struct sw_packet packet = packet_of(false, SW_TCP_ACK);

	(void)state;
	packet.ack = 5;
	assert_int_equal(sw_answer_guess(&packet, 100, 0), 4);
	assert_int_equal(sw_answer_guess(&packet, 100, 1), (uint32_t)(5 - 101));
	assert_int_equal(sw_answer_guess(&packet, 100, 2), (uint32_t)(5 - 102));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(builds),           cmocka_unit_test(resets),
		cmocka_unit_test(may_or_may_not),   cmocka_unit_test(converses),
		cmocka_unit_test(numbers_grow_old), cmocka_unit_test(guesses),
	};

	return cmocka_run_group_tests_name("edge_reply", tests, NULL, NULL);
}
