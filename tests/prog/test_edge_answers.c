/* SPDX-License-Identifier: GPL-2.0-or-later */
/* bpf/edge.bpf.c: the conversation of `reject "text" answer`, byte for byte; what is told of those refused. */
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "daemon/base.h"
#include "tests/prog/edge_fixture.h"
#include "tests/prog/edge_words.h"

#include "bpf/edge_reply.h"
#include "bpf/siphash.h"

/* ---- answers ---- */

#define TEXT "Port 25 is closed here; see https://example.net/port25"
#define LINE "554 5.7.1 " TEXT "\r\n"
#define LINE_SIZE (sizeof(LINE) - 1)

static uint32_t u32_at(const uint8_t *at)
{
	return (uint32_t)at[0] << 24 | (uint32_t)at[1] << 16 | (uint32_t)at[2] << 8 | at[3];
}

static void set_answer(void)
{
	uint16_t rule;

	ex_begin(0);
	rule = ex_rule(SW_ACTION_REJECT, 0);
	ex_answer(rule, TEXT);
	ex_row(rule, (struct ex_row){.port = 25});
	ex_apply();
}

/* The server's first number. */
static uint32_t shake_hands(struct ex_segment syn)
{
	size_t at = ex_ip_at(&syn) + (syn.from && strchr(syn.from, ':') ? 40 : 20);
	struct ex_segment answer = ex_turned(syn);
	struct ex_frame frame, question;

	ex_segment(&question, syn);
	assert_int_equal(ex_send(syn, &frame), XDP_TX);
	assert_true(frame.n <= question.n);
	answer.flags = SYN | ACK;
	answer.seq = u32_at(frame.bytes + at + 4);
	answer.ack = syn.seq + 1;
	ex_expect(&frame, answer);
	return answer.seq;
}

static void expect_answer(struct ex_segment segment, uint8_t flags, uint32_t seq, uint32_t ack,
			  const char *line)
{
	struct ex_segment answer = ex_turned(segment);
	struct ex_frame frame;

	answer.flags = flags;
	answer.seq = seq;
	answer.ack = ack;
	answer.payload = line;
	answer.n = line ? strlen(line) : 0;
	assert_int_equal(ex_send(segment, &frame), XDP_TX);
	ex_expect(&frame, answer);
}

static void converses(struct ex_segment of)
{
	struct ex_segment syn = of, segment = of;
	uint32_t number;

	syn.flags = SYN;
	syn.seq = 0xfffffff0;
	syn.tcp_options = 20;
	number = shake_hands(syn);
	segment.seq = syn.seq + 1;
	segment.ack = number + 1;
	segment.flags = ACK;
	expect_answer(segment, PSH | ACK | FIN, number + 1, segment.seq, LINE);
	/* Sent again, it says the same again. */
	expect_answer(segment, PSH | ACK | FIN, number + 1, segment.seq, LINE);
	segment.payload = "EHLO client.example\r\n";
	segment.n = 21;
	expect_answer(segment, PSH | ACK | FIN, number + 1, segment.seq + 21, LINE);
	segment.payload = "QUIT\r\n";
	segment.n = 6;
	for (uint32_t fin = 0; fin < 2; fin++) {
		segment.ack = number + 1 + (uint32_t)LINE_SIZE + fin;
		segment.flags = ACK | PSH;
		expect_answer(segment, ACK, segment.ack, segment.seq + 6, NULL);
		segment.flags = ACK | FIN;
		expect_answer(segment, ACK, segment.ack, segment.seq + 7, NULL);
	}
	segment.n = 0;
	segment.flags = ACK;
	assert_int_equal(ex_send(segment, NULL), XDP_DROP);
	segment.flags = RST;
	assert_int_equal(ex_send(segment, NULL), XDP_DROP);
	segment.flags = RST | ACK;
	assert_int_equal(ex_send(segment, NULL), XDP_DROP);
}

static void answers(void **state)
{
	(void)state;
	set_answer();
	converses((struct ex_segment){.src_port = 1025});
	converses((struct ex_segment){.src_port = 1026, .link = "8100 0005 0800"});
	converses((struct ex_segment){.src_port = 1027, .link = "88a8 0005 8100 0006 0800"});
	converses((struct ex_segment){V6});
	converses((struct ex_segment){V6, .link = "8100 0005 86dd"});
	assert_int_equal(ex_counter(SW_COUNT_EDGE_ANSWERS), 5 * 3);
	assert_int_equal(ex_counter(SW_COUNT_EDGE_RESETS), 0);
	assert_int_equal(ex_counter(SW_COUNT_EDGE_REFUSED), 5);
	/* Its SYN alone is told. */
	assert_int_equal(ex_events(), 5);
}

static void answers_over_pppoe(void **state)
{
	struct ex_segment segment = {.flags = SYN, .link = "8864 1100 0003 002a 0021"};
	struct ex_segment answer = ex_turned(segment);
	struct ex_frame frame;
	uint32_t number;

	(void)state;
	set_answer();
	number = shake_hands(segment);
	segment.flags = ACK;
	segment.seq = 1;
	segment.ack = number + 1;
	assert_int_equal(ex_send(segment, &frame), XDP_TX);
	answer.link = "8864 1100 0003 006c 0021";
	assert_int_equal(0x2a + LINE_SIZE, 0x6c);
	answer.flags = PSH | ACK | FIN;
	answer.seq = number + 1;
	answer.ack = 1;
	answer.payload = LINE;
	answer.n = LINE_SIZE;
	ex_expect(&frame, answer);
}

/* A number that was not given out here, for this connection, in this time. */
static void answers_nobody_else(void **state)
{
	struct ex_segment syn = {.flags = SYN, .seq = 100}, segment = {.flags = ACK, .seq = 101};
	uint32_t number;

	(void)state;
	set_answer();
	number = shake_hands(syn);
	for (uint32_t bit = 0; bit < 32; bit++) {
		segment.ack = (number ^ 1u << bit) + 1;
		expect_answer(segment, RST, segment.ack, 0, NULL);
	}
	segment.ack = number + 2;
	expect_answer(segment, RST, segment.ack, 0, NULL);
	segment.ack = number + 1 + (uint32_t)LINE_SIZE + 2;
	expect_answer(segment, RST, segment.ack, 0, NULL);
	segment.ack = number + 1;
	segment.src_port = 40001;
	expect_answer(segment, RST, segment.ack, 0, NULL);
	segment.src_port = 0;
	segment.from = "192.0.2.2";
	expect_answer(segment, RST, segment.ack, 0, NULL);
	segment.from = NULL;
	segment.to = "198.51.100.2";
	expect_answer(segment, RST, segment.ack, 0, NULL);
	segment.to = NULL;
	segment.flags = ACK | SYN;
	expect_answer(segment, RST, segment.ack, 0, NULL);
	segment.flags = FIN;
	expect_answer(segment, RST | ACK, 0, 102, NULL);
	assert_int_equal(ex_counter(SW_COUNT_EDGE_ANSWERS), 0);
}

/* A connection that is older than the program ends here, and nobody would know who ended it. */
static void ends_older_ones_and_tells(void **state)
{
	struct ex_segment segment = {
		.flags = ACK, .seq = 101, .ack = 7, .payload = "QUIT\r\n", .n = 6};

	(void)state;
	set_answer();
	expect_answer(segment, RST, 7, 0, NULL);
	assert_int_equal(ex_one_event()->verdict, SW_VERDICT_RESET);
	assert_int_equal(ex_event(0)->reason, SW_REASON_NOT_PERMITTED);
	/* Of the client's own end there is nothing to tell. */
	segment.flags = RST;
	segment.n = 0;
	assert_int_equal(ex_send(segment, NULL), XDP_DROP);
	assert_int_equal(ex_events(), 0);
}

/* Numbers of other slots of time, made with the secret that the fixture has; tests/unit/test_siphash.c holds the
   hash to its vectors. */

static uint32_t number_of(uint32_t slot)
{
	static const uint64_t secret[] = {0x1716151413121110, 0x1f1e1d1c1b1a1918};
	__u64 words[6] = {}, key[2] = {secret[0], secret[1]};

	ex_mapped("192.0.2.1", (uint8_t *)words);
	ex_mapped("198.51.100.1", (uint8_t *)(words + 2));
	words[4] = (uint64_t)EX_INTERFACE << 32 | 40000u << 16 | 25;
	words[5] = slot;
	return sw_answer_number(sw_siphash_24(key, words, 6), slot);
}

static uint32_t slot_now(void)
{
	struct timespec now;

	assert_int_equal(clock_gettime(CLOCK_BOOTTIME, &now), 0);
	return (uint32_t)(now.tv_sec / SW_ANSWER_SLOT_S);
}

static void answers_for_a_while(void **state)
{
	uint32_t slot;

	(void)state;
	set_answer();
	do { /* the slot may end while this runs */
		slot = slot_now();
		for (uint32_t age = 0; age < 9; age++) {
			struct ex_segment segment = {
				.flags = ACK, .seq = 5, .ack = number_of(slot - age) + 1};
			struct ex_frame frame;

			assert_int_equal(ex_send(segment, &frame), XDP_TX);
			if (slot_now() != slot)
				break;
			assert_int_equal(frame.bytes[14 + 20 + 13],
					 age < 4 ? PSH | ACK | FIN : RST);
		}
	} while (slot_now() != slot);
}

/* The answer may be shorter than what it answers. */
static void answers_long_segments(void **state)
{
	struct ex_segment segment = {.flags = ACK, .seq = 5};
	static uint8_t payload[2900];
	struct ex_frame frame;
	uint32_t slot;

	(void)state;
	set_answer();
	segment.payload = payload;
	segment.n = sizeof(payload);
	do {
		slot = slot_now();
		segment.ack = number_of(slot) + 1;
		assert_int_equal(ex_send(segment, &frame), XDP_TX);
	} while (slot_now() != slot);
	assert_int_equal(frame.n, 14 + 40 + LINE_SIZE);
}

/* ---- sources and events ---- */

static void tells_of_a_source_a_few_times(void **state)
{
	struct sw_edge_source sources[4];
	struct ex_frame frame;
	uint64_t made;

	(void)state;
	ex_simple(25, SW_ACTION_REJECT, 0);
	for (uint16_t i = 0; i < 1000; i++)
		ex_send((struct ex_segment){.flags = SYN, .src_port = (uint16_t)(i + 1)}, &frame);
	made = ex_events();
	assert_in_range(made, SW_EDGE_EVENTS, 2 * SW_EDGE_EVENTS); /* a window may have ended */
	assert_int_equal(ex_event(0)->kind, SW_EVENT_EDGE);
	assert_int_equal(ex_event(0)->family, 4);
	assert_int_equal(ex_event(0)->src_port, 1);
	assert_int_equal(ex_event(0)->dst_port, 25);
	assert_int_equal(ex_event(0)->interface, EX_INTERFACE);
	assert_memory_equal(ex_event(0)->mac, "\x02\0\0\0\0\x01", 6);
	assert_int_equal(ex_counter(SW_COUNT_EVENTS), made);
	assert_int_equal(ex_counter(SW_COUNT_EVENTS) + ex_counter(SW_COUNT_SUPPRESSED), 1000);
	assert_int_equal(ex_sources(sources, 4), 1);
	assert_int_equal(sources[0].refused, 1000);
	assert_int_equal(sources[0].interface, EX_INTERFACE);
	assert_memory_equal(sources[0].addr, ex_event(0)->src, 16);
}

/* Every address of a network of IPv6 is one source; those of IPv4 are each their own. */
static void sources_are_networks(void **state)
{
	static const char *const from[] = {"2001:db8::1", "2001:db8::ffff:2", "2001:db8:0:1::1",
					   "192.0.2.1", "192.0.2.2"};
	struct sw_edge_source sources[8];
	struct ex_frame frame;

	(void)state;
	ex_simple(25, SW_ACTION_REJECT, 0);
	for (size_t i = 0; i < sw_count(from); i++)
		ex_send((struct ex_segment){.flags = SYN,
					    .from = from[i],
					    .to = strchr(from[i], ':') ? SERVER6 : NULL},
			&frame);
	assert_int_equal(ex_sources(sources, 8), 4);
	assert_int_equal(ex_events(), 5);
}

static void tags_are_told(void **state)
{
	struct ex_frame frame;

	(void)state;
	ex_simple(25, SW_ACTION_REJECT, 0);
	ex_send((struct ex_segment){.flags = SYN,
				    .link = "88a8 2005 8100 6006 8864 1100 0007 002a 0021"},
		&frame);
	assert_int_equal(ex_one_event()->vlan[0], 5);
	assert_int_equal(ex_event(0)->vlan[1], 6);
	assert_int_equal(ex_event(0)->session, 7);
}

/* More sources than there is room for: who was refused least goes, and it is counted. */
static void sources_make_room(void **state)
{
	static struct sw_edge_source sources[SW_EDGE_SOURCES];
	uint64_t refused = 0, lost;
	struct ex_frame frame;
	size_t n;
	char from[64];

	(void)state;
	ex_simple(25, SW_ACTION_DROP, 0);
	for (int i = 0; i < 100; i++)
		ex_send((struct ex_segment){.flags = SYN}, &frame);
	for (unsigned int i = 0; i < 20000; i++) {
		snprintf(from, sizeof(from), "10.0.%u.%u", i >> 8, i & 255);
		ex_send((struct ex_segment){.flags = SYN, .from = from}, &frame);
	}
	while (ex_events())
		;
	lost = ex_counter(SW_COUNT_EDGE_EVICTED_SOURCE);
	assert_true(lost > 0);
	n = ex_sources(sources, SW_EDGE_SOURCES);
	assert_int_equal(n + lost, 20001);
	for (size_t i = 0; i < n; i++)
		if (sources[i].refused > refused)
			refused = sources[i].refused;
	assert_int_equal(refused, 100);
	assert_int_equal(ex_counter(SW_COUNT_EVENTS) + ex_counter(SW_COUNT_SUPPRESSED) +
				 ex_counter(SW_COUNT_LOST),
			 20100);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(answers, ex_reset),
		cmocka_unit_test_setup(answers_over_pppoe, ex_reset),
		cmocka_unit_test_setup(answers_nobody_else, ex_reset),
		cmocka_unit_test_setup(ends_older_ones_and_tells, ex_reset),
		cmocka_unit_test_setup(answers_for_a_while, ex_reset),
		cmocka_unit_test_setup(answers_long_segments, ex_reset),
		cmocka_unit_test_setup(tells_of_a_source_a_few_times, ex_reset),
		cmocka_unit_test_setup(sources_are_networks, ex_reset),
		cmocka_unit_test_setup(tags_are_told, ex_reset),
		cmocka_unit_test_setup(sources_make_room, ex_reset),
	};

	if (!ex_usable())
		return 0;
	return cmocka_run_group_tests_name("edge_answers", tests, ex_up, ex_down);
}
