/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * bpf/edge.bpf.c, packet by packet: what becomes of each odd one, the RST that answers it byte for byte, its counter
 * and its event.
 */
#include <errno.h>
#include <string.h>

#include <bpf/bpf.h>
#include <bpf/libbpf.h>

#include "daemon/base.h"
#include "tests/prog/edge_fixture.h"
#include "tests/prog/edge_words.h"

/* ---- ports that nobody named ---- */

static void leaves_other_ports_alone(void **state)
{
	static const char *const links[] = {NULL, "8100 0005 0800", "88a8 0005 8100 0006 0800",
					    "8864 1100 0001 002a 0021"};
	struct ex_frame frame, before;

	(void)state;
	ex_simple(25, SW_ACTION_DROP, 0);
	for (size_t i = 0; i < sw_count(links); i++)
		for (size_t options = 0; options <= 40; options += 40) {
			struct ex_segment segment = {.dst_port = 80,
						     .flags = SYN,
						     .link = links[i],
						     .ip_options = options};

			ex_segment(&before, segment);
			assert_int_equal(ex_send(segment, &frame), XDP_PASS);
			assert_int_equal(frame.n, before.n);
			assert_memory_equal(frame.bytes, before.bytes, frame.n);
		}
	assert_int_equal(ex_send((struct ex_segment){.from = CLIENT6,
						     .to = SERVER6,
						     .dst_port = 80,
						     .flags = SYN},
				 &frame),
			 XDP_PASS);
	for (int counter = 0; counter < SW_COUNT_MAX; counter++)
		assert_int_equal(ex_counter((enum sw_counter)counter), 0);
}

/* Another protocol, also with what would be a guarded port where TCP has it. */
static void leaves_other_protocols_alone(void **state)
{
	static const uint8_t protocols[] = {1, 4, 17, 41, 47, 50, 58, 132};
	struct ex_frame frame;

	(void)state;
	ex_simple(25, SW_ACTION_DROP, 0);
	for (size_t i = 0; i < sizeof(protocols); i++)
		for (int six = 0; six < 2; six++) {
			ex_segment(&frame, (struct ex_segment){.flags = SYN,
							       .from = six ? CLIENT6 : NULL,
							       .to = six ? SERVER6 : NULL});
			frame.bytes[six ? 20 : 23] = protocols[i];
			assert_int_equal(ex_run(&frame), XDP_PASS);
		}
	ex_segment(&frame, (struct ex_segment){.flags = SYN, .link = "0806"});
	assert_int_equal(ex_run(&frame), XDP_PASS);
	assert_int_equal(ex_counter(SW_COUNT_EDGE_DROPPED), 0);
}

/* ---- reject ---- */

/* Every way that a SYN may be wrapped, and what its answer is wrapped in. */
static void rejects_syns(void **state)
{
	static const struct {
		const char *link, *answer_link;
		size_t options;
		bool six;
	} cases[] = {
		{NULL, NULL, 0, false},
		{NULL, NULL, 4, false},
		{NULL, NULL, 40, false},
		{"8100 6005 0800", "8100 6005 0800", 0, false},
		{"9100 0005 0800", "9100 0005 0800", 0, false},
		{"88a8 0005 8100 0006 0800", "88a8 0005 8100 0006 0800", 8, false},
		{"8864 1100 0007 0042 0021", "8864 1100 0007 002a 0021", 8, false},
		{"8100 0005 8864 1100 0007 0042 0021", "8100 0005 8864 1100 0007 002a 0021", 0,
		 false},
		{NULL, NULL, 0, true},
		{"8100 0005 86dd", "8100 0005 86dd", 0, true},
		{"8100 0005 8100 0006 86dd", "8100 0005 8100 0006 86dd", 0, true},
		{"8864 1100 ffff 0050 0057", "8864 1100 ffff 003e 0057", 0, true},
	};

	(void)state;
	ex_simple(25, SW_ACTION_REJECT, 0);
	for (size_t i = 0; i < sw_count(cases); i++) {
		struct ex_segment syn = {.flags = SYN,
					 .seq = 0xfffffffe + (uint32_t)i,
					 .link = cases[i].link,
					 .ip_options = cases[i].options,
					 .tcp_options = 20,
					 .from = cases[i].six ? CLIENT6 : NULL,
					 .to = cases[i].six ? SERVER6 : NULL};
		struct ex_segment answer = ex_reset_of(syn);
		struct ex_frame frame;

		answer.link = cases[i].answer_link;
		assert_int_equal(ex_send(syn, &frame), XDP_TX);
		ex_expect(&frame, answer);
	}
	assert_int_equal(ex_counter(SW_COUNT_EDGE_CONNECT), sw_count(cases));
	assert_int_equal(ex_counter(SW_COUNT_EDGE_REFUSED), sw_count(cases));
	assert_int_equal(ex_counter(SW_COUNT_EDGE_RESETS), sw_count(cases));
	assert_int_equal(ex_counter(SW_COUNT_EDGE_DROPPED), sw_count(cases));
	assert_int_equal(ex_hits(0, 0), sw_count(cases));
}

/* PPP with its protocol in one byte: the frame is of odd length up to IP. */
static void rejects_in_short_ppp(void **state)
{
	for (int six = 0; six < 2; six++) {
		struct ex_segment syn = {.flags = SYN,
					 .seq = 7,
					 .link = "8864 1100 0007 0000 0000",
					 .from = six ? CLIENT6 : NULL,
					 .to = six ? SERVER6 : NULL};
		struct ex_frame frame, other;
		size_t at = ex_ip_at(&syn), ip = six ? 40 : 20;

		(void)state;
		ex_simple(25, SW_ACTION_REJECT, 0);
		ex_segment(&frame, syn);
		memmove(frame.bytes + at - 1, frame.bytes + at, frame.n - at);
		frame.n--;
		frame.bytes[at - 2] = six ? 0x57 : 0x21;
		assert_int_equal(ex_run(&frame), XDP_TX);
		syn = ex_reset_of(syn);
		syn.from_edge = true;
		ex_segment(&other, syn);
		assert_int_equal(frame.n, other.n - 1);
		assert_int_equal(frame.bytes[at - 4] << 8 | frame.bytes[at - 3], ip + 20 + 1);
		assert_int_equal(frame.bytes[at - 2], six ? 0x57 : 0x21);
		assert_memory_equal(frame.bytes, other.bytes, at - 4);
		assert_memory_equal(frame.bytes + at - 1, other.bytes + at, ip + 20);
	}
}

static void rejects_without_a_link(void **state)
{
	(void)state;
	ex_begin(0);
	ex_row(ex_rule(SW_ACTION_REJECT, 0), (struct ex_row){.port = 25});
	ex_link(SW_LINK_IP);
	ex_apply();
	for (int six = 0; six < 2; six++) {
		struct ex_segment syn = {.flags = SYN,
					 .link = "",
					 .seq = 99,
					 .from = six ? CLIENT6 : NULL,
					 .to = six ? SERVER6 : NULL};
		struct ex_frame frame;

		assert_int_equal(ex_send(syn, &frame), XDP_TX);
		ex_expect(&frame, ex_reset_of(syn));
		assert_memory_equal(ex_event((ex_events(), 0))->mac, "\0\0\0\0\0\0", 6);
		syn.dst_port = 80;
		assert_int_equal(ex_send(syn, &frame), XDP_PASS);
	}
	/* An address may look like an Ethernet header to those who take it for one. */
	assert_int_equal(
		ex_send((struct ex_segment){.from = "8.0.69.0", .link = "", .flags = SYN}, NULL),
		XDP_TX);
}

/* Segments that are no SYN: the number that the client expects, or one for what it sent. */
static void rejects_other_segments(void **state)
{
	static const struct ex_segment cases[] = {
		{.flags = ACK, .seq = 1000, .ack = 2000},
		{.flags = ACK | PSH, .seq = 1000, .ack = 2000, .payload = "QUIT\r\n", .n = 6},
		{.flags = FIN | ACK, .seq = 1000, .ack = 0xffffffff},
		{.flags = SYN | ACK, .seq = 1000, .ack = 2000},
		{.flags = FIN, .seq = 1000},
		{.flags = 0, .seq = 0xfffffffd, .payload = "QUIT\r\n", .n = 6},
		{.flags = SYN, .seq = 1000, .payload = "EHLO a\r\n", .n = 8},
		{.flags = SYN | FIN, .seq = 1000},
	};
	struct ex_frame frame;

	(void)state;
	ex_simple(25, SW_ACTION_REJECT, 0);
	for (size_t i = 0; i < sw_count(cases); i++) {
		assert_int_equal(ex_send(cases[i], &frame), XDP_TX);
		ex_expect(&frame, ex_reset_of(cases[i]));
	}
}

/* What gets no answer. */
static void drops_without_an_answer(void **state)
{
	static const struct ex_segment cases[] = {
		{.flags = RST, .seq = 1},
		{.flags = RST | ACK, .seq = 1, .ack = 5},
		{.flags = SYN, .to = "224.0.0.1"},
		{.flags = SYN, .to = "255.255.255.255"},
		{.flags = SYN, .from = "255.255.255.255"},
		{.flags = SYN, .from = "0.0.0.0"},
		{.flags = SYN, .from = "239.1.1.1"},
		{.flags = SYN, .from = CLIENT6, .to = "ff02::1"},
		{.flags = SYN, .from = "ff02::1", .to = SERVER6},
		{.flags = SYN, .from = "::", .to = SERVER6},
	};
	struct ex_frame frame;

	(void)state;
	ex_simple(25, SW_ACTION_REJECT, 0);
	for (size_t i = 0; i < sw_count(cases); i++)
		assert_int_equal(ex_send(cases[i], &frame), XDP_DROP);
	for (size_t group = 0; group <= 6; group += 6) {
		ex_segment(&frame, (struct ex_segment){.flags = SYN});
		frame.bytes[group] |= 1;
		assert_int_equal(ex_run(&frame), XDP_DROP);
	}
	assert_int_equal(ex_counter(SW_COUNT_EDGE_RESETS), 0);
	assert_int_equal(ex_counter(SW_COUNT_EDGE_DROPPED), sw_count(cases) + 2);
}

/* ---- the other actions ---- */

static void allows_and_drops(void **state)
{
	struct ex_frame frame;
	uint16_t rule;

	(void)state;
	ex_simple(25, SW_ACTION_ALLOW, 0);
	assert_int_equal(ex_send((struct ex_segment){.flags = SYN}, &frame), XDP_PASS);
	assert_int_equal(ex_send((struct ex_segment){.flags = ACK}, &frame), XDP_PASS);
	assert_int_equal(ex_counter(SW_COUNT_EDGE_CONNECT), 1);
	assert_int_equal(ex_counter(SW_COUNT_EDGE_ALLOWED), 1);
	assert_int_equal(ex_events(), 0);
	rule = ex_simple(25, SW_ACTION_DROP, 0);
	assert_int_equal(ex_send((struct ex_segment){.flags = SYN}, &frame), XDP_DROP);
	assert_int_equal(ex_one_event()->verdict, SW_VERDICT_DROP);
	assert_int_equal(ex_event(0)->reason, SW_REASON_NOT_PERMITTED);
	assert_int_equal(ex_event(0)->rule, rule);
	assert_int_equal(ex_counter(SW_COUNT_EDGE_REFUSED), 1);
}

static void only_records_in_audit_mode(void **state)
{
	struct ex_frame frame;

	(void)state;
	ex_simple(25, SW_ACTION_REJECT, SW_RULE_AUDIT);
	assert_int_equal(ex_send((struct ex_segment){.flags = SYN}, &frame), XDP_PASS);
	assert_int_equal(ex_send((struct ex_segment){.flags = ACK}, &frame), XDP_PASS);
	assert_int_equal(ex_one_event()->verdict, SW_VERDICT_AUDIT);
	assert_int_equal(ex_event(0)->reason, SW_REASON_NOT_PERMITTED);
	assert_int_equal(ex_counter(SW_COUNT_EDGE_AUDITED), 1);
	assert_int_equal(ex_counter(SW_COUNT_EDGE_REFUSED), 0);
	assert_int_equal(ex_counter(SW_COUNT_EDGE_DROPPED), 0);
	/* Nothing enforces, so what cannot be read passes as well. */
	ex_segment(&frame, (struct ex_segment){.flags = SYN});
	frame.bytes[14] = 0x44;
	assert_int_equal(ex_run(&frame), XDP_PASS);
	assert_int_equal(ex_one_event()->verdict, SW_VERDICT_AUDIT);
	assert_int_equal(ex_event(0)->reason, SW_REASON_MALFORMED);
}

/* By source, by destination, by `local`, of both families; the first that fits. */
static void goes_by_addresses(void **state)
{
	static const struct {
		const char *from, *to;
		uint32_t verdict;
	} cases[] = {
		{"192.0.2.1", "198.51.100.1", XDP_PASS},
		{"192.0.3.1", "198.51.100.1", XDP_TX},
		{"192.0.3.1", "203.0.113.5", XDP_PASS},
		{"192.0.3.1", "198.51.100.77", XDP_PASS},
		{"2001:db8:5::9", SERVER6, XDP_PASS},
		{"2001:db8:6::9", SERVER6, XDP_TX},
		/* What only ends like an IPv4 address of the list is not it. */
		{"2001:db8::192.0.2.1", "2001:db8::203.0.113.5", XDP_TX},
	};
	struct ex_frame frame;
	uint16_t allow, reject;

	(void)state;
	ex_begin(1);
	allow = ex_rule(SW_ACTION_ALLOW, 0);
	reject = ex_rule(SW_ACTION_REJECT, 0);
	ex_row(allow, (struct ex_row){.port = 25, .from = "192.0.2.0/24"});
	ex_row(allow, (struct ex_row){.port = 25, .from = "2001:db8:5::/48"});
	ex_row(allow, (struct ex_row){.port = 25, .prefix = "203.0.113.0/25"});
	ex_row(allow, (struct ex_row){.port = 25, .to_local = true});
	ex_row(reject, (struct ex_row){.port = 25});
	ex_local("198.51.100.77");
	ex_apply();
	for (size_t i = 0; i < sw_count(cases); i++)
		assert_int_equal(ex_send((struct ex_segment){.flags = SYN,
							     .from = cases[i].from,
							     .to = cases[i].to},
					 &frame),
				 cases[i].verdict);
	assert_int_equal(ex_hits(1, allow), 4);
	assert_int_equal(ex_hits(1, reject), 3);
}

static void interfaces_decide(void **state)
{
	struct ex_frame frame;

	(void)state;
	ex_simple(25, SW_ACTION_ALLOW, 0);
	ex_unknown_interface();
	assert_int_equal(ex_send((struct ex_segment){.flags = SYN}, &frame), XDP_TX);
	assert_int_equal(ex_one_event()->reason, SW_REASON_UNIDENTIFIED);
	assert_int_equal(ex_event(0)->rule, SW_RULE_NONE);
	assert_int_equal(ex_send((struct ex_segment){.flags = SYN, .dst_port = 80}, &frame),
			 XDP_PASS);
	/* Guarded, but not here. */
	ex_begin(0);
	ex_row(ex_rule(SW_ACTION_REJECT, 0), (struct ex_row){.port = 25});
	ex_begin(1);
	ex_apply();
	assert_int_equal(ex_send((struct ex_segment){.flags = SYN}, &frame), XDP_PASS);
}

/* ---- odd packets ---- */

enum where { LINK, IP, TCP };

/* A segment to port 25, and one byte or its length changed. */
struct odd {
	const char *name;
	struct ex_segment segment;
	enum where where; /* of the change */
	size_t at;
	int value;   /* new byte */
	size_t keep; /* bytes of that header that are left, 0: all */
	uint32_t verdict;
};

#define DROPPED XDP_DROP
#define PPP(begin, protocol) "8864 " begin " 0001 002a " protocol
#define LINKED(name, link_, verdict)                                                               \
	{                                                                                          \
		name, {.flags = SYN, .link = link_}, LINK, 0, -1, 0, verdict                       \
	}

static const struct odd odd_packets[] = {
	{"version 5", {.flags = SYN}, IP, 0, 0x55, 0, DROPPED},
	{"ihl 4", {.flags = SYN}, IP, 0, 0x44, 0, DROPPED},
	{"ihl beyond the end", {.flags = SYN}, IP, 0, 0x4f, 0, DROPPED},
	{"total length below the headers", {.flags = SYN}, IP, 3, 30, 0, DROPPED},
	{"total length beyond the end", {.flags = SYN}, IP, 2, 1, 0, DROPPED},
	{"doff 4", {.flags = SYN}, TCP, 12, 0x40, 0, DROPPED},
	{"doff beyond the end", {.flags = SYN}, TCP, 12, 0xf0, 0, DROPPED},
	{"no TCP header", {.flags = SYN}, TCP, 0, -1, 0, XDP_TX},
	{"half of IPv4", {.flags = SYN}, IP, 0, -1, 10, DROPPED},
	{"half of the ports", {.flags = SYN}, TCP, 0, -1, 3, DROPPED},
	{"ports alone", {.flags = SYN}, TCP, 0, -1, 4, DROPPED},
	{"half of TCP", {.flags = SYN}, TCP, 0, -1, 19, DROPPED},
	{"ports alone, another port", {.flags = SYN, .dst_port = 80}, TCP, 0, -1, 4, XDP_PASS},
	{"doff 4, another port", {.flags = SYN, .dst_port = 80}, TCP, 12, 0x40, 0, XDP_PASS},
	{"first fragment", {.flags = SYN}, IP, 6, 0x20, 0, DROPPED},
	{"tiny first fragment", {.flags = SYN}, IP, 6, 0x20, 28, DROPPED},
	{"tinier first fragment", {.flags = SYN}, IP, 6, 0x20, 22, DROPPED},
	{"first fragment, another port", {.flags = SYN, .dst_port = 80}, IP, 6, 0x20, 0, XDP_PASS},
	{"later fragment", {.flags = SYN}, IP, 7, 1, 0, XDP_PASS},
	{"later fragment at the end", {.flags = SYN}, IP, 6, 0x1f, 0, XDP_PASS},
	{"IPv6, version 4", {.flags = SYN, V6}, IP, 0, 0x40, 0, DROPPED},
	{"IPv6, length 0", {.flags = SYN, V6}, IP, 5, 0, 0, DROPPED},
	{"IPv6, length beyond the end", {.flags = SYN, V6}, IP, 4, 1, 0, DROPPED},
	{"half of IPv6", {.flags = SYN, V6}, IP, 0, -1, 20, DROPPED},
	{"IPv6, half of TCP", {.flags = SYN, V6}, TCP, 0, -1, 12, DROPPED},
	{"IPv6, no next header", {.flags = SYN, V6}, IP, 6, 59, 0, XDP_PASS},
	{"half a tag", {.flags = SYN, .link = "8100 0005 0800"}, LINK, 0, -1, 16, DROPPED},
	{"half of PPPoE", {.flags = SYN, .link = PPP("1100", "0021")}, LINK, 0, -1, 18, DROPPED},
	LINKED("three tags", "88a8 0001 8100 0002 8100 0003 0800", DROPPED),
	LINKED("PPPoE, version 2", PPP("2100", "0021"), DROPPED),
	LINKED("PPPoE, code", PPP("1109", "0021"), DROPPED),
	LINKED("PPP, LCP", PPP("1100", "c021"), XDP_PASS),
	LINKED("PPP, VJ compressed", PPP("1100", "002d"), DROPPED),
	LINKED("PPP, VJ in one byte", PPP("1100", "2f00"), DROPPED),
	LINKED("PPP, multilink", PPP("1100", "003d"), DROPPED),
	LINKED("PPP, compressed datagram", PPP("1100", "00fd"), DROPPED),
	LINKED("PPPoE discovery", "8863 1109 0001 002a 0021", XDP_PASS),
};

static void make_odd(const struct odd *odd, struct ex_frame *frame)
{
	size_t ip = ex_ip_at(&odd->segment), at = 0;

	ex_segment(frame, odd->segment);
	if (odd->where == IP)
		at = ip;
	if (odd->where == TCP)
		at = ip + (odd->segment.from ? 40 : 20);
	if (odd->value >= 0)
		frame->bytes[at + odd->at] = (uint8_t)odd->value;
	if (odd->keep)
		frame->n = at + odd->keep;
}

static void odd_ones(void **state)
{
	uint64_t dropped = 0;

	(void)state;
	ex_simple(25, SW_ACTION_REJECT, 0);
	for (size_t i = 0; i < sw_count(odd_packets); i++) {
		const struct odd *odd = &odd_packets[i];
		struct ex_frame frame, before;
		uint32_t verdict;

		make_odd(odd, &frame);
		before = frame;
		verdict = ex_run(&frame);
		if (verdict != odd->verdict)
			print_error("%s: %u\n", odd->name, verdict);
		assert_int_equal(verdict, odd->verdict);
		if (verdict != XDP_TX) {
			assert_int_equal(frame.n, before.n);
			assert_memory_equal(frame.bytes, before.bytes, frame.n);
		}
		/* A whole first fragment is refused by the rule: its headers are all there. */
		dropped += verdict == DROPPED && strcmp(odd->name, "first fragment");
	}
	assert_int_equal(ex_counter(SW_COUNT_EDGE_MALFORMED), dropped);
}

/* IPv6 with extension headers in front of TCP; each is {kind, second byte, third and fourth}. */
static void extension_headers(void **state)
{
	static const struct {
		const char *headers; /* kinds; "f" first fragment, "a" atomic, "l" later */
		uint32_t verdict;
	} cases[] = {
		{"", XDP_TX},           {"h", XDP_TX},   {"hdrd", XDP_TX}, {"dddddddd", XDP_TX},
		{"ddddddddd", DROPPED}, {"a", XDP_TX},   {"hda", XDP_TX},  {"f", DROPPED},
		{"df", DROPPED},        {"fd", DROPPED}, {"l", XDP_PASS},  {"fl", XDP_PASS},
	};
	static const char letters[] = "hdrfal";
	static const uint8_t kinds[] = {0, 60, 43, 44, 44, 44};

	(void)state;
	ex_simple(25, SW_ACTION_REJECT, 0);
	for (size_t i = 0; i < sw_count(cases); i++) {
		struct ex_segment syn = {.flags = SYN, .seq = 5, V6};
		size_t n = strlen(cases[i].headers);
		struct ex_frame frame, tcp;
		uint8_t *next;

		ex_segment(&tcp, syn);
		frame = tcp;
		frame.n = 54;
		next = frame.bytes + 20;
		frame.bytes[19] = (uint8_t)(20 + n * 8);
		for (size_t at = 0; at < n; at++) {
			char letter = cases[i].headers[at];
			uint8_t *header = ex_add(&frame, 8);

			*next = kinds[strchr(letters, letter) - letters];
			next = header;
			header[3] = letter == 'f' ? 1 : letter == 'l' ? 8 : 0;
		}
		*next = 6;
		memcpy(ex_add(&frame, 20), tcp.bytes + 54, 20);
		assert_int_equal(ex_run(&frame), cases[i].verdict);
		ex_segment(&tcp, syn);
		if (cases[i].verdict == XDP_TX)
			ex_expect(&frame, ex_reset_of(syn));
		else
			assert_int_equal(frame.n, 54 + n * 8 + 20);
	}
	assert_int_equal(ex_counter(SW_COUNT_EDGE_RESETS), 6);
	assert_int_equal(ex_counter(SW_COUNT_EDGE_MALFORMED), 2);
}

/* Bytes that another fragment may replace say nothing: not even that the port is another one. */
static void ports_behind_a_gap(void **state)
{
	struct ex_segment segment = {.flags = SYN, .dst_port = 80, V6};
	struct ex_frame frame, tcp;

	(void)state;
	ex_simple(25, SW_ACTION_REJECT, 0);
	for (uint8_t more = 0; more < 2; more++) {
		ex_segment(&tcp, segment);
		frame = tcp;
		frame.n = 54;
		frame.bytes[20] = 44;
		frame.bytes[19] = 36;
		memcpy(ex_add(&frame, 2), "\x3c", 2);
		*ex_add(&frame, 2) = 0;
		frame.bytes[57] = more;
		ex_add(&frame, 4);
		*ex_add(&frame, 8) = 6;
		memcpy(ex_add(&frame, 20), tcp.bytes + 54, 20);
		assert_int_equal(ex_run(&frame), more ? XDP_DROP : XDP_PASS);
	}
	assert_int_equal(ex_counter(SW_COUNT_EDGE_MALFORMED), 1);
	assert_int_equal(ex_one_event()->rule, SW_RULE_NONE);
}

/* A first fragment to a rule that allows is like any packet. */
static void fragments_of_what_is_allowed(void **state)
{
	struct ex_frame frame;

	(void)state;
	ex_simple(25, SW_ACTION_ALLOW, 0);
	ex_segment(&frame, (struct ex_segment){.flags = SYN});
	frame.bytes[20] = 0x20;
	assert_int_equal(ex_run(&frame), XDP_PASS);
	ex_segment(&frame, (struct ex_segment){.flags = SYN});
	frame.bytes[20] = 0x20;
	frame.n = 14 + 28;
	assert_int_equal(ex_run(&frame), XDP_DROP);
	assert_int_equal(ex_one_event()->reason, SW_REASON_MALFORMED);
}

/* Figures to watch, not a test: nanoseconds that a packet takes. */
static void tell_time(const char *name, struct ex_segment segment)
{
	struct ex_frame frame;
	uint8_t out[EX_FRAME_MAX];
	LIBBPF_OPTS(bpf_test_run_opts, options, .data_in = frame.bytes, .data_out = out,
		    .data_size_out = sizeof(out), .repeat = 100000);
	int fd = bpf_program__fd(bpf_object__find_program_by_name(ex_object(), "sw_edge"));

	ex_segment(&frame, segment);
	options.data_size_in = (uint32_t)frame.n;
	assert_return_code(bpf_prog_test_run_opts(fd, &options), errno);
	print_message("# %-32s %4u ns\n", name, options.duration);
}

static void how_long_it_takes(void **state)
{
	(void)state;
	ex_simple(25, SW_ACTION_REJECT, 0);
	tell_time("a port that is not named", (struct ex_segment){.flags = ACK, .dst_port = 443});
	tell_time("the same over IPv6", (struct ex_segment){.flags = ACK, .dst_port = 443, V6});
	tell_time("the same, tagged",
		  (struct ex_segment){.flags = ACK, .dst_port = 443, .link = "8100 0005 0800"});
	ex_simple(25, SW_ACTION_ALLOW, 0);
	tell_time("allowed", (struct ex_segment){.flags = ACK});
	ex_simple(25, SW_ACTION_DROP, 0);
	tell_time("a SYN dropped", (struct ex_segment){.flags = SYN});
	ex_simple(25, SW_ACTION_REJECT, 0);
	/* The packet of a repeated run is the answer of the run before: a RST to another port. */
	tell_time("a RST", (struct ex_segment){.flags = RST});
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(leaves_other_ports_alone, ex_reset),
		cmocka_unit_test_setup(leaves_other_protocols_alone, ex_reset),
		cmocka_unit_test_setup(rejects_syns, ex_reset),
		cmocka_unit_test_setup(rejects_in_short_ppp, ex_reset),
		cmocka_unit_test_setup(rejects_without_a_link, ex_reset),
		cmocka_unit_test_setup(rejects_other_segments, ex_reset),
		cmocka_unit_test_setup(drops_without_an_answer, ex_reset),
		cmocka_unit_test_setup(allows_and_drops, ex_reset),
		cmocka_unit_test_setup(only_records_in_audit_mode, ex_reset),
		cmocka_unit_test_setup(goes_by_addresses, ex_reset),
		cmocka_unit_test_setup(interfaces_decide, ex_reset),
		cmocka_unit_test_setup(odd_ones, ex_reset),
		cmocka_unit_test_setup(extension_headers, ex_reset),
		cmocka_unit_test_setup(ports_behind_a_gap, ex_reset),
		cmocka_unit_test_setup(fragments_of_what_is_allowed, ex_reset),
		cmocka_unit_test_setup(how_long_it_takes, ex_reset),
	};

	if (!ex_usable())
		return 0;
	return cmocka_run_group_tests_name("edge_packets", tests, ex_up, ex_down);
}
