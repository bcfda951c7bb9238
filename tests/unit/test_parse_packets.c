/* SPDX-License-Identifier: GPL-2.0-or-later */
/* bpf/parse.h: headers put together in many ways, each odd case by its name, and every truncation. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "daemon/base.h"

struct bytes {
	size_t n;
	uint8_t data[1024];
};

/* What is not there is not to be had; a read beyond the packet is an error of the parser's caller. */
static int load(void *from, uint32_t offset, void *to, uint32_t size)
{
	const struct bytes *bytes = from;

	if (offset > bytes->n || size > bytes->n - offset)
		return -1;
	memcpy(to, bytes->data + offset, size);
	return 0;
}

#define SW_PARSE_LOAD(from, offset, to, size) load(from, offset, to, size)
#include "bpf/parse.h"

/* ---- packets ---- */

static uint8_t *add(struct bytes *to, size_t n)
{
	uint8_t *at = to->data + to->n;

	assert_true(to->n + n <= sizeof(to->data));
	memset(at, 0, n);
	to->n += n;
	return at;
}

static void add_u16(struct bytes *to, uint16_t value)
{
	uint8_t *at = add(to, 2);

	at[0] = (uint8_t)(value >> 8);
	at[1] = (uint8_t)value;
}

/* `text` is what stands between the addresses and IP, as numbers: "8100 0005 0800". */
static void add_ethernet(struct bytes *to, const char *text)
{
	unsigned int value;
	int n;

	add(to, 12);
	while (sscanf(text, "%x%n", &value, &n) == 1) {
		add_u16(to, (uint16_t)value);
		text += n;
	}
}

static void add_ipv4(struct bytes *to, uint8_t protocol, uint8_t options, uint16_t fragment,
		     uint16_t total)
{
	uint8_t *ip = add(to, 20u + options);

	ip[0] = (uint8_t)(0x40 | (5 + options / 4));
	ip[2] = (uint8_t)(total >> 8);
	ip[3] = (uint8_t)total;
	ip[6] = (uint8_t)(fragment >> 8);
	ip[7] = (uint8_t)fragment;
	ip[9] = protocol;
	memcpy(ip + 12, "\xc0\0\2\1\xc0\0\2\2", 8);
}

static void add_ipv6(struct bytes *to, uint8_t protocol, uint16_t length)
{
	uint8_t *ip = add(to, 40);

	ip[0] = 0x60;
	ip[4] = (uint8_t)(length >> 8);
	ip[5] = (uint8_t)length;
	ip[6] = protocol;
	ip[8] = 0x20;
	ip[23] = 1;
	ip[24] = 0x20;
	ip[39] = 2;
}

/* An extension header of `units` times eight bytes more than the least. */
static uint8_t *add_extension(struct bytes *to, uint8_t next, uint8_t units)
{
	uint8_t *header = add(to, 8u + units * 8u);

	header[0] = next;
	header[1] = units;
	return header;
}

static void add_tcp(struct bytes *to, uint8_t options, size_t payload)
{
	uint8_t *tcp = add(to, 20u + options + payload);

	memcpy(tcp, "\x9c\x40\x00\x19\x01\x02\x03\x04\x11\x12\x13\x14", 12);
	tcp[12] = (uint8_t)((5 + options / 4) << 4);
	tcp[13] = SW_TCP_SYN | SW_TCP_ACK;
}

static uint32_t parse(struct bytes *bytes, struct sw_packet *packet)
{
	sw_parse_frame(bytes, packet);
	return packet->verdict;
}

static void check_tcp(const struct sw_packet *packet)
{
	assert_int_equal(packet->verdict, SW_PARSE_TCP);
	assert_int_equal(packet->src_port, 40000);
	assert_int_equal(packet->dst_port, 25);
	assert_int_equal(packet->seq, 0x01020304);
	assert_int_equal(packet->ack, 0x11121314);
	assert_int_equal(packet->tcp_flags, SW_TCP_SYN | SW_TCP_ACK);
}

/* ---- tests ---- */

static void ethernet_and_tags(void **state)
{
	static const struct {
		const char *tags;
		uint32_t verdict;
	} cases[] = {
		{"0800", SW_PARSE_TCP},
		{"8100 0005 0800", SW_PARSE_TCP},
		{"88a8 0005 8100 0006 0800", SW_PARSE_TCP},
		{"8100 0005 8100 0006 0800", SW_PARSE_TCP},
		{"9100 0005 0800", SW_PARSE_TCP},
		{"8100 0005 8100 0006 8100 0007 0800", SW_PARSE_LINK_UNREAD},
		{"8864 1100 0007 002a 0021", SW_PARSE_TCP},
		{"8100 0005 88a8 0006 8864 1100 0007 002a 0021", SW_PARSE_TCP},
		{"8864 1200 0007 002a 0021", SW_PARSE_BAD_HEADER},
		{"8864 1101 0007 002a 0021", SW_PARSE_BAD_HEADER},
		{"8864 1100 0007 002a 0057", SW_PARSE_BAD_HEADER},
		{"8864 1100 0007 002a c021", SW_PARSE_NOT_IP},
		{"8864 1100 0007 002a 002d", SW_PARSE_LINK_UNREAD},
		{"8864 1100 0007 002a 2f00", SW_PARSE_LINK_UNREAD},
		{"8864 1100 0007 002a 003d", SW_PARSE_LINK_UNREAD},
		{"8864 1100 0007 002a 00fd", SW_PARSE_LINK_UNREAD},
		{"8863 1109 0007 002a 0021", SW_PARSE_NOT_IP},
		{"0806", SW_PARSE_NOT_IP},
		{"8100 0005 0806", SW_PARSE_NOT_IP},
		{"86dd", SW_PARSE_BAD_HEADER},
	};

	(void)state;
	for (size_t i = 0; i < sw_count(cases); i++) {
		struct bytes bytes = {};
		struct sw_packet packet;

		add_ethernet(&bytes, cases[i].tags);
		add_ipv4(&bytes, 6, 0, 0, 40);
		add_tcp(&bytes, 0, 0);
		assert_int_equal(parse(&bytes, &packet), cases[i].verdict);
		if (packet.verdict == SW_PARSE_TCP)
			check_tcp(&packet);
	}
}

/* What is told of the link, and where IP begins. */
static void what_the_link_says(void **state)
{
	struct bytes bytes = {};
	struct sw_packet packet;

	(void)state;
	add_ethernet(&bytes, "88a8 6005 8100 0fff 8864 1100 abcd 002a 0021");
	add_ipv4(&bytes, 6, 0, 0, 40);
	add_tcp(&bytes, 0, 0);
	parse(&bytes, &packet);
	check_tcp(&packet);
	assert_int_equal(packet.vlan[0], 5);
	assert_int_equal(packet.vlan[1], 0xfff);
	assert_int_equal(packet.session, 0xabcd);
	assert_int_equal(packet.pppoe, 8);
	assert_int_equal(packet.ip_at, 14 + 8 + 8);
	/* The protocol in one byte. */
	memmove(bytes.data + 28, bytes.data + 29, bytes.n - 29);
	bytes.n--;
	parse(&bytes, &packet);
	check_tcp(&packet);
	assert_int_equal(packet.pppoe, 7);
	assert_int_equal(packet.ip_at, 14 + 8 + 7);
	for (bytes.n = 0; bytes.n < 29; bytes.n++)
		assert_int_equal(parse(&bytes, &packet), SW_PARSE_TRUNCATED);
}

static void without_a_link(void **state)
{
	for (int six = 0; six < 2; six++) {
		struct bytes bytes = {};
		struct sw_packet packet;

		(void)state;
		if (six)
			add_ipv6(&bytes, 6, 20);
		else
			add_ipv4(&bytes, 6, 0, 0, 40);
		add_tcp(&bytes, 0, 0);
		sw_parse_begin(&packet);
		assert_int_equal(sw_parse_bare(&bytes, &packet), 0);
		sw_parse_ip(&bytes, &packet);
		check_tcp(&packet);
		assert_int_equal(packet.ip_at, 0);
		bytes.data[0] = 0x50;
		sw_parse_begin(&packet);
		assert_int_equal(sw_parse_bare(&bytes, &packet), 0);
		sw_parse_ip(&bytes, &packet);
		assert_int_equal(packet.verdict, SW_PARSE_NOT_IP);
	}
}

/* Other headers between that of a fragment and TCP: bytes that another fragment may replace. */
static void gaps_in_fragments(void **state)
{
	(void)state;
	for (int first = 0; first < 2; first++)
		for (int behind = 0; behind < 2; behind++) {
			struct bytes bytes = {};
			struct sw_packet packet;

			add_ethernet(&bytes, "86dd");
			add_ipv6(&bytes, 60, 0);
			add_extension(&bytes, 44, 0);
			add_extension(&bytes, behind ? 60 : 6, 0)[3] = (uint8_t)first;
			if (behind)
				add_extension(&bytes, 6, 0);
			add_tcp(&bytes, 0, 0);
			parse(&bytes, &packet);
			check_tcp(&packet);
			assert_int_equal(packet.fragment, first);
			assert_int_equal(packet.gap, first && behind);
		}
}

static void ipv4(void **state)
{
	static const struct {
		uint8_t protocol, options;
		uint16_t fragment;
		uint32_t verdict;
		uint8_t is_fragment;
	} cases[] = {
		{6, 0, 0, SW_PARSE_TCP, 0},
		{6, 0, 0x4000, SW_PARSE_TCP, 0}, /* don't fragment */
		{6, 4, 0, SW_PARSE_TCP, 0},
		{6, 40, 0, SW_PARSE_TCP, 0},
		{6, 0, 0x2000, SW_PARSE_TCP, 1},
		{6, 40, 0x2000, SW_PARSE_TCP, 1},
		{6, 0, 0x0001, SW_PARSE_LATER_FRAGMENT, 2},
		{6, 0, 0x2001, SW_PARSE_LATER_FRAGMENT, 2},
		{6, 0, 0x1fff, SW_PARSE_LATER_FRAGMENT, 2},
		{17, 0, 0, SW_PARSE_OTHER, 0},
		{0, 0, 0, SW_PARSE_OTHER, 0}, /* extension headers are IPv6's */
		{60, 0, 0, SW_PARSE_OTHER, 0},
	};

	(void)state;
	for (size_t i = 0; i < sw_count(cases); i++) {
		struct bytes bytes = {};
		struct sw_packet packet;

		add_ethernet(&bytes, "0800");
		add_ipv4(&bytes, cases[i].protocol, cases[i].options, cases[i].fragment,
			 (uint16_t)(40 + cases[i].options + 12 + 100));
		add_tcp(&bytes, 12, 100);
		assert_int_equal(parse(&bytes, &packet), cases[i].verdict);
		assert_int_equal(packet.fragment, cases[i].is_fragment);
		assert_memory_equal(packet.src, "\0\0\0\0\0\0\0\0\0\0\xff\xff\xc0\0\2\1", 16);
		assert_memory_equal(packet.dst, "\0\0\0\0\0\0\0\0\0\0\xff\xff\xc0\0\2\2", 16);
		if (packet.verdict != SW_PARSE_TCP)
			continue;
		check_tcp(&packet);
		assert_int_equal(packet.payload, 100);
		assert_int_equal(packet.at, bytes.n - 100);
	}
}

static void ipv4_bad_headers(void **state)
{
	static const uint8_t first[] = {0x44, 0x40, 0x55, 0x65, 0x05};

	(void)state;
	for (size_t i = 0; i < sizeof(first); i++) {
		struct bytes bytes = {};
		struct sw_packet packet;

		add_ethernet(&bytes, "0800");
		add_ipv4(&bytes, 6, 0, 0, 40);
		add_tcp(&bytes, 0, 0);
		bytes.data[14] = first[i];
		assert_int_equal(parse(&bytes, &packet), SW_PARSE_BAD_HEADER);
		assert_true(sw_parse_unknown(packet.verdict));
	}
}

/* Each kind of extension header, short and long, before TCP and before UDP. */
static void ipv6_extensions(void **state)
{
	static const uint8_t kinds[] = {0, 43, 60, 135, 139, 140};

	(void)state;
	for (size_t i = 0; i < sizeof(kinds); i++)
		for (unsigned int units = 0; units < 40; units += 13)
			for (unsigned int last = 6; last <= 17; last += 11) {
				struct bytes bytes = {};
				struct sw_packet packet;

				add_ethernet(&bytes, "86dd");
				add_ipv6(&bytes, kinds[i], (uint16_t)(8 + units * 8 + 20 + 7));
				add_extension(&bytes, (uint8_t)last, (uint8_t)units);
				add_tcp(&bytes, 0, 7);
				parse(&bytes, &packet);
				if (last == 17) {
					assert_int_equal(packet.verdict, SW_PARSE_OTHER);
					continue;
				}
				check_tcp(&packet);
				assert_int_equal(packet.payload, 7);
				assert_int_equal(packet.dst[15], 2);
			}
}

static void ah_in_both(void **state)
{
	(void)state;
	for (int ipv6 = 0; ipv6 < 2; ipv6++) {
		struct bytes bytes = {};
		struct sw_packet packet;

		add_ethernet(&bytes, ipv6 ? "86dd" : "0800");
		if (ipv6)
			add_ipv6(&bytes, 51, 44);
		else
			add_ipv4(&bytes, 51, 0, 0, 64);
		memcpy(add(&bytes, 24), "\6\4", 2); /* in units of four bytes, less two */
		add_tcp(&bytes, 0, 0);
		parse(&bytes, &packet);
		check_tcp(&packet);
	}
}

static void ipv6_fragments(void **state)
{
	static const struct {
		uint16_t offset; /* as in the header */
		uint32_t verdict;
		uint8_t is_fragment;
	} cases[] = {
		{0, SW_PARSE_TCP, 0}, /* atomic: the only one */
		{1, SW_PARSE_TCP, 1},
		{8, SW_PARSE_LATER_FRAGMENT, 2},
		{9, SW_PARSE_LATER_FRAGMENT, 2},
		{0xfff8, SW_PARSE_LATER_FRAGMENT, 2},
		{6, SW_PARSE_TCP, 0}, /* reserved bits say nothing */
	};

	(void)state;
	for (size_t i = 0; i < sw_count(cases); i++) {
		struct bytes bytes = {};
		struct sw_packet packet;
		uint8_t *header;

		add_ethernet(&bytes, "86dd");
		add_ipv6(&bytes, 60, 36);
		add_extension(&bytes, 44, 0);
		header = add_extension(&bytes, 6, 0);
		header[2] = (uint8_t)(cases[i].offset >> 8);
		header[3] = (uint8_t)cases[i].offset;
		add_tcp(&bytes, 0, 0);
		assert_int_equal(parse(&bytes, &packet), cases[i].verdict);
		assert_int_equal(packet.fragment, cases[i].is_fragment);
	}
}

static void too_many_headers(void **state)
{
	(void)state;
	for (int n = 0; n < 12; n++) {
		struct bytes bytes = {};
		struct sw_packet packet;

		add_ethernet(&bytes, "86dd");
		add_ipv6(&bytes, n ? 60 : 6, 0);
		for (int i = 0; i < n; i++)
			add_extension(&bytes, i + 1 < n ? 60 : 6, 0);
		add_tcp(&bytes, 0, 0);
		assert_int_equal(parse(&bytes, &packet),
				 n <= SW_PARSE_EXT_MAX ? SW_PARSE_TCP : SW_PARSE_HEADERS_MANY);
	}
}

/* However short: never another answer than for the whole, only a less certain one. */
static void every_truncation(void **state)
{
	struct bytes whole = {}, bytes;
	struct sw_packet packet;
	size_t tcp;

	(void)state;
	add_ethernet(&whole, "8100 0005 86dd");
	add_ipv6(&whole, 0, 52);
	add_extension(&whole, 60, 1);
	add_extension(&whole, 6, 0);
	tcp = whole.n;
	add_tcp(&whole, 0, 8);
	for (size_t n = 0; n <= whole.n; n++) {
		bytes = whole;
		bytes.n = n;
		parse(&bytes, &packet);
		if (n < tcp + 4)
			assert_int_equal(packet.verdict, SW_PARSE_TRUNCATED);
		else if (n < tcp + 20)
			assert_int_equal(packet.verdict, SW_PARSE_TCP_PORTS);
		else
			check_tcp(&packet);
		if (n >= tcp + 4)
			assert_int_equal(packet.dst_port, 25);
	}
}

/* Lengths that headers claim hide nothing and give no payload that is not there. */
static void false_lengths(void **state)
{
	static const uint16_t lengths[] = {0, 1, 19, 20, 21, 39, 40, 65535};

	(void)state;
	for (size_t i = 0; i < sw_count(lengths); i++) {
		struct bytes four = {}, six = {};
		struct sw_packet packet;

		add_ethernet(&four, "0800");
		add_ipv4(&four, 6, 0, 0, lengths[i]);
		add_tcp(&four, 0, 0);
		parse(&four, &packet);
		check_tcp(&packet);
		assert_int_equal(packet.payload, lengths[i] > 40 ? lengths[i] - 40 : 0);
		add_ethernet(&six, "86dd");
		add_ipv6(&six, 6, lengths[i]);
		add_tcp(&six, 0, 0);
		parse(&six, &packet);
		check_tcp(&packet);
		assert_int_equal(packet.payload, lengths[i] > 20 ? lengths[i] - 20 : 0);
	}
}

static void tcp_header_of_no_length(void **state)
{
	struct bytes bytes = {};
	struct sw_packet packet;

	(void)state;
	add_ethernet(&bytes, "0800");
	add_ipv4(&bytes, 6, 0, 0, 40);
	add_tcp(&bytes, 0, 0);
	bytes.data[14 + 20 + 12] = 0x40;
	assert_int_equal(parse(&bytes, &packet), SW_PARSE_TCP_PORTS);
	assert_int_equal(packet.dst_port, 25);
}

/* Whatever comes: an answer, and the cursor within bounds. */
static void random_bytes(void **state)
{
	uint32_t seed = 1;

	(void)state;
	for (int round = 0; round < 200000; round++) {
		struct bytes bytes = {.n = (size_t)(round % 200)};
		struct sw_packet packet;

		for (size_t i = 0; i < bytes.n; i++) {
			seed = seed * 1664525 + 1013904223;
			bytes.data[i] = (uint8_t)(seed >> 24);
		}
		if (bytes.n > 54 && round & 1)
			memcpy(bytes.data + 12, round & 2 ? "\x86\xdd\x60" : "\x08\x00\x45", 3);
		assert_true(parse(&bytes, &packet) < SW_PARSE_MAX);
		assert_true(packet.at <= SW_PARSE_OFFSET_MAX + 60);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(ethernet_and_tags),       cmocka_unit_test(ipv4),
		cmocka_unit_test(what_the_link_says),      cmocka_unit_test(without_a_link),
		cmocka_unit_test(gaps_in_fragments),       cmocka_unit_test(ipv4_bad_headers),
		cmocka_unit_test(ipv6_extensions),         cmocka_unit_test(ah_in_both),
		cmocka_unit_test(ipv6_fragments),          cmocka_unit_test(too_many_headers),
		cmocka_unit_test(every_truncation),        cmocka_unit_test(false_lengths),
		cmocka_unit_test(tcp_header_of_no_length), cmocka_unit_test(random_bytes),
	};

	return cmocka_run_group_tests_name("parse_packets", tests, NULL, NULL);
}
