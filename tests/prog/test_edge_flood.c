/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The short way of the edge (bpf/edge_flood.h): it is taken, it does and counts what the long way does, and nothing
 * that has changed is answered by it. SW_EDGE_PACKETS says how many packets by chance, SW_SEED which.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <arpa/inet.h>
#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <net/if.h>
#include <netinet/tcp.h>

#include "daemon/base.h"
#include "tests/prog/edge_fixture.h"

#define PACKETS 20000
#define TRIES 100000 /* a tick is over long before */

static const struct ex_segment syn = {.from = "192.0.2.1", .flags = TH_SYN};

static uint64_t number(const char *name, uint64_t otherwise)
{
	const char *text = getenv(name);

	return text && *text ? strtoull(text, NULL, 0) : otherwise;
}

/* Sends it until one went the short way; returns how many there were. */
static uint64_t warm(struct ex_segment segment, uint32_t verdict)
{
	uint64_t before = ex_short(false), n = 0;

	do {
		assert_int_equal(ex_send(segment, NULL), verdict);
		n++;
	} while (ex_short(false) == before && n < TRIES);
	assert_true(ex_short(false) > before);
	return n;
}

/* Sends it until one goes the long way again. */
static uint64_t cool(struct ex_segment segment, uint32_t verdict)
{
	uint64_t before, n = 0;

	do {
		before = ex_short(false);
		assert_int_equal(ex_send(segment, NULL), verdict);
		n++;
	} while (ex_short(false) != before && n < TRIES);
	assert_int_equal(ex_short(false), before);
	return n;
}

static void expect_source(const char *text, uint64_t refused)
{
	struct sw_edge_source sources[8];
	size_t n = ex_sources(sources, sw_count(sources));
	uint8_t addr[16];

	ex_mapped(text, addr);
	assert_in_range(n, 1, sw_count(sources));
	for (size_t i = 0; i < n; i++) {
		if (memcmp(sources[i].addr, addr, sizeof(addr)))
			continue;
		assert_int_equal(sources[i].refused, refused);
		return;
	}
	fail_msg("%s is no source", text);
}

static uint64_t told(void)
{
	return ex_counter(SW_COUNT_EVENTS) + ex_counter(SW_COUNT_SUPPRESSED) +
	       ex_counter(SW_COUNT_LOST);
}

/* ---- what is counted ---- */

static void each_is_counted_once(void **state)
{
	uint16_t drop = ex_simple(25, SW_ACTION_DROP, 0);
	uint64_t n = 0;

	(void)state;
	for (int ticks = 0; ticks < 3; ticks++) {
		n += warm(syn, XDP_DROP);
		expect_source("192.0.2.1", n);
		n += cool(syn, XDP_DROP);
		expect_source("192.0.2.1", n);
	}
	assert_int_equal(ex_counter(SW_COUNT_EDGE_CONNECT), n);
	assert_int_equal(ex_counter(SW_COUNT_EDGE_REFUSED), n);
	assert_int_equal(ex_counter(SW_COUNT_EDGE_DROPPED), n);
	assert_int_equal(ex_counter(SW_COUNT_EDGE_RESETS), 0);
	assert_int_equal(ex_hits(0, drop), n);
	assert_int_equal(told(), n);
	assert_int_equal(ex_events(), ex_counter(SW_COUNT_EVENTS));
}

static void each_reset_is_counted_once(void **state)
{
	uint16_t reject = ex_simple(25, SW_ACTION_REJECT, 0);
	uint64_t n = warm(syn, XDP_TX);

	(void)state;
	n += cool(syn, XDP_TX);
	assert_int_equal(ex_counter(SW_COUNT_EDGE_CONNECT), n);
	assert_int_equal(ex_counter(SW_COUNT_EDGE_REFUSED), n);
	assert_int_equal(ex_counter(SW_COUNT_EDGE_DROPPED), n);
	assert_int_equal(ex_counter(SW_COUNT_EDGE_RESETS), n);
	assert_int_equal(ex_hits(0, reject), n);
	assert_int_equal(told(), n);
	expect_source("192.0.2.1", n);
}

/* Does this go the short way, sooner or later? */
static bool goes_short(struct ex_segment segment, uint32_t verdict)
{
	uint64_t before = ex_short(false);

	for (int i = 0; i < 2000 && ex_short(false) == before; i++)
		assert_int_equal(ex_send(segment, NULL), verdict);
	return ex_short(false) != before;
}

static void only_what_is_refused_goes_it(void **state)
{
	struct ex_segment other = syn;

	(void)state;
	ex_simple(25, SW_ACTION_REJECT, SW_RULE_AUDIT);
	assert_false(goes_short(syn, XDP_PASS));
	ex_simple(25, SW_ACTION_ALLOW, 0);
	assert_false(goes_short(syn, XDP_PASS));
	ex_begin(0);
	ex_answer(ex_rule(SW_ACTION_REJECT, 0), "no");
	ex_row(0, (struct ex_row){.port = 25});
	ex_apply();
	assert_false(goes_short(syn, XDP_TX));
	ex_simple(25, SW_ACTION_DROP, 0);
	other.flags = TH_ACK;
	assert_false(goes_short(other, XDP_DROP));
	other.flags = TH_SYN | TH_ACK;
	assert_false(goes_short(other, XDP_DROP));
	other.flags = TH_SYN;
	other.from = "2001:db8::1";
	other.to = "2001:db8::2";
	assert_false(goes_short(other, XDP_DROP));
	assert_true(goes_short(syn, XDP_DROP));
}

/* ---- what is answered ---- */

static void a_reset_is_the_same_either_way(void **state)
{
	static const struct ex_segment kinds[] = {
		{.flags = TH_SYN, .seq = 1},
		{.flags = TH_SYN, .seq = 0xfffffffe, .tcp_options = 20},
		{.flags = TH_SYN | TH_PUSH,
		 .seq = 0xfffffff0,
		 .payload = "0123456789abcdef",
		 .n = 16},
		{.flags = TH_SYN, .seq = 7, .tcp_options = 40, .payload = "odd", .n = 3},
		{.flags = TH_SYN | TH_URG, .from = "10.255.255.255", .to = "223.255.255.255"},
		{.flags = TH_SYN, .src_port = 65535, .from = "255.1.2.3"},
		{.flags = TH_SYN, .to = "224.0.0.1"},
	};

	(void)state;
	ex_simple(25, SW_ACTION_REJECT, 0);
	for (size_t i = 0; i < sw_count(kinds); i++) {
		struct ex_segment heat = syn;
		struct ex_frame first, second;
		uint32_t verdict;

		ex_forget();
		verdict = ex_send(kinds[i], &first);
		heat.from = kinds[i].from ? kinds[i].from : syn.from;
		if (verdict == XDP_TX)
			warm(heat, XDP_TX);
		assert_int_equal(ex_send(kinds[i], &second), verdict);
		assert_int_equal(first.n, second.n);
		assert_memory_equal(first.bytes, second.bytes, first.n);
		if (verdict == XDP_TX)
			ex_expect(&second, ex_reset_of(kinds[i]));
	}
}

/* ---- what has changed ---- */

static void another_policy_counts_at_once(void **state)
{
	uint16_t rule;

	(void)state;
	for (int i = 0; i < 50; i++) {
		ex_simple(25, SW_ACTION_DROP, 0);
		warm(syn, XDP_DROP);
		ex_simple(25, SW_ACTION_REJECT, 0);
		assert_int_equal(ex_send(syn, NULL), XDP_TX);
		ex_simple(25, SW_ACTION_REJECT, SW_RULE_AUDIT);
		assert_int_equal(ex_send(syn, NULL), XDP_PASS);
		ex_simple(25, SW_ACTION_DROP, 0);
		warm(syn, XDP_DROP);
		ex_begin(1);
		rule = ex_rule(SW_ACTION_ALLOW, 0);
		ex_row(rule, (struct ex_row){.port = 25});
		ex_apply();
		assert_int_equal(ex_send(syn, NULL), XDP_PASS);
		ex_simple(26, SW_ACTION_DROP, 0);
		assert_int_equal(ex_send(syn, NULL), XDP_PASS);
	}
}

static void another_interface_counts_at_once(void **state)
{
	(void)state;
	ex_simple(25, SW_ACTION_DROP, 0);
	for (int i = 0; i < 50; i++) {
		warm(syn, XDP_DROP);
		ex_unnamed_interface();
		assert_int_equal(ex_send(syn, NULL), XDP_PASS);
		ex_apply();
		warm(syn, XDP_DROP);
		ex_unknown_interface();
		assert_int_equal(ex_send(syn, NULL), XDP_TX);
		ex_apply();
	}
}

/* What becomes of the same SYN on an interface of which no edge block says anything. */
static uint32_t send_elsewhere(uint32_t interface)
{
	const struct bpf_program *edge = bpf_object__find_program_by_name(ex_object(), "sw_edge");
	struct xdp_md context = {.ingress_ifindex = interface};
	struct ex_frame frame;

	ex_segment(&frame, syn);
	context.data_end = (uint32_t)frame.n;
	LIBBPF_OPTS(bpf_test_run_opts, options, .data_in = frame.bytes,
		    .data_size_in = (uint32_t)frame.n, .ctx_in = &context,
		    .ctx_size_in = sizeof(context));
	assert_return_code(bpf_prog_test_run_opts(bpf_program__fd(edge), &options), errno);
	return options.retval;
}

static void other_interfaces_are_not_touched(void **state)
{
	struct sw_interface unnamed = {};
	uint32_t other;

	(void)state;
	assert_int_equal(system("ip link add other type veth peer name other-far"), 0);
	other = if_nametoindex("other");
	assert_return_code(bpf_map_update_elem(ex_map("interfaces"), &other, &unnamed, BPF_ANY),
			   errno);
	ex_simple(25, SW_ACTION_DROP, 0);
	for (int i = 0; i < 50; i++) {
		warm(syn, XDP_DROP);
		assert_int_equal(send_elsewhere(other), XDP_PASS);
	}
}

static void what_is_odd_is_looked_at(void **state)
{
	static const struct {
		struct ex_segment segment;
		size_t claims; /* bytes more than there are */
		uint32_t verdict;
	} rows[] = {
		{{.flags = TH_SYN, .dst_port = 443}, 0, XDP_PASS},
		{{.flags = TH_SYN, .ip_options = 4}, 0, XDP_DROP},
		{{.flags = TH_SYN, .link = "8100 0005 0800"}, 0, XDP_DROP},
		{{.flags = TH_SYN}, 1, XDP_DROP},
		{{.flags = TH_SYN | TH_RST}, 0, XDP_DROP},
		{{.flags = TH_SYN | TH_FIN}, 0, XDP_DROP},
	};
	uint64_t before, malformed;

	(void)state;
	ex_simple(25, SW_ACTION_DROP, 0);
	for (size_t i = 0; i < sw_count(rows); i++) {
		struct ex_frame frame;

		warm(syn, XDP_DROP);
		ex_segment(&frame, rows[i].segment);
		frame.bytes[17] = (uint8_t)(frame.bytes[17] + rows[i].claims);
		before = ex_short(false);
		malformed = ex_counter(SW_COUNT_EDGE_MALFORMED);
		assert_int_equal(ex_run(&frame), rows[i].verdict);
		assert_int_equal(ex_short(false), before);
		assert_int_equal(ex_counter(SW_COUNT_EDGE_MALFORMED) - malformed, !!rows[i].claims);
	}
}

/* ---- places that are taken ---- */

/* Another source whose element is the same: as in bpf/edge_recent.h. */
static void find_rival(char *text, size_t size)
{
	uint32_t at = (inet_addr(syn.from) * 0x9e3779b1u) >> (32 - SW_EDGE_RECENT_BITS);
	struct in_addr addr;

	for (uint32_t i = 1; i < 1u << 16; i++) {
		addr.s_addr = htonl(0x0a000000 | i);
		if ((addr.s_addr * 0x9e3779b1u) >> (32 - SW_EDGE_RECENT_BITS) != at)
			continue;
		snprintf(text, size, "%s", inet_ntoa(addr));
		return;
	}
	fail_msg("no other source has this element");
}

static void whoever_loses_the_element_keeps_the_count(void **state)
{
	struct ex_segment rival = syn;
	uint64_t n = 0, rivals = 0;
	char text[32];

	(void)state;
	ex_simple(25, SW_ACTION_DROP, 0);
	find_rival(text, sizeof(text));
	rival.from = text;
	for (int i = 0; i < 20; i++) {
		n += warm(syn, XDP_DROP);
		rivals += warm(rival, XDP_DROP);
		expect_source(syn.from, n);
		expect_source(text, rivals);
	}
	assert_int_equal(ex_counter(SW_COUNT_EDGE_REFUSED), n + rivals);
	assert_int_equal(told(), n + rivals);
}

static void hits_stay_with_their_rule(void **state)
{
	struct ex_segment rival = syn;
	uint64_t n = 0, rivals = 0;
	uint16_t drop, reject;
	char text[32];

	(void)state;
	ex_begin(0);
	drop = ex_rule(SW_ACTION_DROP, 0);
	reject = ex_rule(SW_ACTION_REJECT, 0);
	ex_row(drop, (struct ex_row){.port = 25, .from = "192.0.2.1/32"});
	ex_row(reject, (struct ex_row){.port = 25});
	ex_apply();
	find_rival(text, sizeof(text));
	rival.from = text;
	for (int i = 0; i < 20; i++) {
		n += warm(syn, XDP_DROP);
		rivals += warm(rival, XDP_TX);
		assert_int_equal(ex_hits(0, drop), n);
		assert_int_equal(ex_hits(0, reject), rivals);
		assert_int_equal(ex_counter(SW_COUNT_EDGE_RESETS), rivals);
	}
}

static void whoever_loses_the_entry_begins_anew(void **state)
{
	struct sw_edge_source none = {}, sources[2];
	uint64_t events;

	(void)state;
	ex_simple(25, SW_ACTION_DROP, 0);
	warm(syn, XDP_DROP);
	events = ex_counter(SW_COUNT_EVENTS);
	for (uint32_t i = 0; i < SW_EDGE_SOURCES; i++)
		assert_return_code(bpf_map_update_elem(ex_map("edge_sources"), &i, &none, BPF_ANY),
				   errno);
	cool(syn, XDP_DROP);
	assert_int_equal(ex_sources(sources, 2), 1);
	assert_int_equal(sources[0].refused, 1);
	assert_int_equal(ex_counter(SW_COUNT_EVENTS), events + 1);
}

/* The entry as it is when its window has ended. */
static void end_window(void)
{
	struct sw_edge_source source;

	for (uint32_t i = 0; i < SW_EDGE_SOURCES; i++) {
		assert_return_code(bpf_map_lookup_elem(ex_map("edge_sources"), &i, &source), errno);
		if (!source.first_ns)
			continue;
		source.window--;
		assert_return_code(
			bpf_map_update_elem(ex_map("edge_sources"), &i, &source, BPF_ANY), errno);
	}
}

static void an_event_that_is_due_is_made(void **state)
{
	uint64_t n, events;

	(void)state;
	ex_simple(25, SW_ACTION_DROP, 0);
	n = warm(syn, XDP_DROP);
	ex_events();
	events = ex_counter(SW_COUNT_EVENTS);
	end_window();
	n += cool(syn, XDP_DROP);
	assert_int_equal(ex_counter(SW_COUNT_EVENTS), events + 1);
	assert_int_equal(ex_one_event()->suppressed, n - events - 1);
}

/* ---- packets by chance ---- */

struct sums {
	uint64_t counters[SW_COUNT_MAX], told, hits[8], refused, suppressed, shortly;
};

#define LONGEST 256 /* bytes of a frame */

struct packet {
	uint32_t question_n, answer_n, verdict;
	uint8_t question[LONGEST], answer[LONGEST];
};

static uint64_t chance = 1;

static uint32_t below(uint32_t limit)
{
	uint64_t x = chance += 0x9e3779b97f4a7c15ull;

	x = (x ^ x >> 30) * 0xbf58476d1ce4e5b9ull;
	x = (x ^ x >> 27) * 0x94d049bb133111ebull;
	return (uint32_t)((x ^ x >> 31) >> 32) % limit;
}

/* Ports 25 to 29: drop, reject, audit, allow, and what a list says. */
static void mixed_policy(void)
{
	uint16_t drop, reject;

	ex_begin(0);
	drop = ex_rule(SW_ACTION_DROP, 0);
	reject = ex_rule(SW_ACTION_REJECT, 0);
	ex_row(drop, (struct ex_row){.port = 25});
	ex_row(reject, (struct ex_row){.port = 26});
	ex_row(ex_rule(SW_ACTION_DROP, SW_RULE_AUDIT), (struct ex_row){.port = 27});
	ex_row(ex_rule(SW_ACTION_ALLOW, 0), (struct ex_row){.port = 28, .from = "192.0.2.0/31"});
	ex_row(reject, (struct ex_row){.port = 28});
	ex_row(ex_rule(SW_ACTION_ALLOW, 0),
	       (struct ex_row){.port = 29, .prefix = "198.51.100.1/32"});
	ex_row(drop, (struct ex_row){.port = 29});
	ex_apply();
}

/* Mostly the same few packets, sometimes something else about them. */
static void make_packet(struct packet *packet)
{
	static const char *const froms[] = {"192.0.2.0", "192.0.2.1", "192.0.2.2",
					    "10.9.8.7",  "224.0.0.5", "2001:db8::7"};
	static const char *const tos[] = {"198.51.100.1", "198.51.100.2", "239.1.1.1"};
	static const char *const links[] = {"8100 0005 0800", "88a8 0001 8100 0002 0800"};
	struct ex_segment segment = {
		.from = froms[below(below(8) ? 3 : sw_count(froms))],
		.to = tos[below(below(8) ? 2 : sw_count(tos))],
		.dst_port = (uint16_t)(24 + below(6)),
		.src_port = (uint16_t)(1024 + below(4)),
		.seq = below(2) ? 0xffffffffu : below(1000),
		.flags = below(8) ? TH_SYN : (uint8_t)below(64),
		.payload = "payload of a SYN",
		.n = below(4) ? 0 : below(16),
		.tcp_options = 4 * below(11),
		.ip_options = below(16) ? 0 : 4,
		.link = below(16) ? NULL : links[below(2)],
	};
	struct ex_frame frame;

	if (strchr(segment.from, ':')) {
		segment.to = "2001:db8::9";
		segment.link = NULL;
		segment.ip_options = 0;
	}
	ex_segment(&frame, segment);
	/* MAC addresses, and from IP's length to TCP's flags. */
	if (!below(32))
		frame.bytes[below(12)] ^= 1;
	if (!below(16))
		frame.bytes[14 + below(34)] ^= (uint8_t)(1u << below(8));
	if (!below(32))
		frame.n -= below((uint32_t)frame.n - 14);
	assert_in_range(frame.n, 14, LONGEST);
	packet->question_n = (uint32_t)frame.n;
	memcpy(packet->question, frame.bytes, frame.n);
}

static void run_all(struct packet *all, size_t n, bool forget)
{
	struct ex_frame frame;

	for (size_t i = 0; i < n; i++) {
		if (forget)
			ex_forget();
		frame.n = all[i].question_n;
		memcpy(frame.bytes, all[i].question, frame.n);
		all[i].verdict = ex_run(&frame);
		assert_in_range(frame.n, 1, LONGEST);
		all[i].answer_n = (uint32_t)frame.n;
		memcpy(all[i].answer, frame.bytes, frame.n);
		ex_events();
	}
}

static void take_sums(struct sums *sums)
{
	struct sw_edge_source sources[64];
	size_t n = ex_sources(sources, sw_count(sources));

	memset(sums, 0, sizeof(*sums));
	for (int i = 0; i < SW_COUNT_MAX; i++)
		sums->counters[i] = ex_counter((enum sw_counter)i);
	sums->told = told();
	/* Which of them are told depends on when they come. */
	sums->counters[SW_COUNT_EVENTS] = sums->counters[SW_COUNT_SUPPRESSED] = 0;
	for (uint32_t i = 0; i < sw_count(sums->hits); i++)
		sums->hits[i] = ex_hits(0, i);
	assert_in_range(n, 1, sw_count(sources));
	for (size_t i = 0; i < n; i++)
		sums->refused += sources[i].refused;
	sums->shortly = ex_short(false);
}

static void both_ways_agree(void **state)
{
	size_t n = number("SW_EDGE_PACKETS", PACKETS);
	struct packet *shortly, *longly;
	struct sums both[2];

	(void)state;
	chance = number("SW_SEED", 20261130);
	print_message("# SW_SEED=%llu SW_EDGE_PACKETS=%zu\n", (unsigned long long)chance, n);
	shortly = calloc(n, sizeof(*shortly));
	longly = calloc(n, sizeof(*longly));
	assert_true(shortly && longly);
	for (size_t i = 0; i < n; i++) {
		if (i && below(3))
			shortly[i] = shortly[i - 1];
		else
			make_packet(&shortly[i]);
		longly[i] = shortly[i];
	}
	mixed_policy();
	run_all(shortly, n, false);
	take_sums(&both[0]);
	ex_reset(NULL);
	mixed_policy();
	run_all(longly, n, true);
	take_sums(&both[1]);
	for (size_t i = 0; i < n; i++)
		if (memcmp(&shortly[i], &longly[i], sizeof(shortly[i])))
			fail_msg("packet %zu: %u and %u", i, shortly[i].verdict, longly[i].verdict);
	print_message("# %llu went the short way\n", (unsigned long long)both[0].shortly);
	assert_true(both[0].shortly > n / 20);
	assert_int_equal(both[1].shortly, 0);
	both[0].shortly = 0;
	assert_memory_equal(&both[0], &both[1], sizeof(both[0]));
	free(shortly);
	free(longly);
}

static int up(void **state)
{
	/* What another CPU remembers would be told as well. */
	ex_stay_on_this_cpu();
	ex_up(state);
	ex_attach();
	return 0;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(each_is_counted_once, ex_reset),
		cmocka_unit_test_setup(each_reset_is_counted_once, ex_reset),
		cmocka_unit_test_setup(only_what_is_refused_goes_it, ex_reset),
		cmocka_unit_test_setup(a_reset_is_the_same_either_way, ex_reset),
		cmocka_unit_test_setup(another_policy_counts_at_once, ex_reset),
		cmocka_unit_test_setup(another_interface_counts_at_once, ex_reset),
		cmocka_unit_test_setup(other_interfaces_are_not_touched, ex_reset),
		cmocka_unit_test_setup(what_is_odd_is_looked_at, ex_reset),
		cmocka_unit_test_setup(whoever_loses_the_element_keeps_the_count, ex_reset),
		cmocka_unit_test_setup(hits_stay_with_their_rule, ex_reset),
		cmocka_unit_test_setup(whoever_loses_the_entry_begins_anew, ex_reset),
		cmocka_unit_test_setup(an_event_that_is_due_is_made, ex_reset),
		cmocka_unit_test_setup(both_ways_agree, ex_reset),
	};

	if (!ex_usable())
		return 0;
	return cmocka_run_group_tests_name("edge flood", tests, up, ex_down);
}
