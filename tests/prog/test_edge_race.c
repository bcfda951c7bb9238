/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Two CPUs at once on a few flows that share one set of the table and fewer gates than there are flows: each
 * thread sends any segment of any flow, of either side. What clients say is the same whenever it is said, so nobody
 * may be found to have sent something else; what is forbidden never passes; every packet is counted once.
 */
#include <inttypes.h>
#include <pthread.h>
#include <sched.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <netinet/tcp.h>

#include "daemon/base.h"
#include "tests/prog/edge_talk.h"
#define SW_GATE_SERVED_MAX 1 /* as in bpf/maps_edge.h */
#include "tests/unit/gate_host.h"

#define FLOWS 6
#define GATES 3
#define SECONDS 2

/* As in bpf/maps_edge.h. */
struct gate_slot {
	uint64_t owner, key[5];
	uint32_t used, rule, client_busy, server_busy;
	struct sw_gate_segment client, server;
	struct sw_gate gate;
};

struct talker {
	pthread_t thread;
	int cpu;
	bool forbidden; /* a command that must not pass is among what is said */
	uint64_t random;
	uint64_t syns, client_dropped, resets, served_dropped, provoked, bad, passed;
};

static struct {
	char lines[FLOWS][64];
	size_t n;
	volatile bool over;
} say;

/* Whenever it is said nobody need have asked for it. */
static const char greeting[] = "220 mx\r\n450 one\r\n450 two\r\n450 three\r\n450 four\r\n";
static const char forbidden[] = "MAIL FROM:<a@example>\r\n";

static uint32_t below(struct talker *talker, uint32_t limit)
{
	uint64_t x = talker->random += 0x9e3779b97f4a7c15ull;

	x = (x ^ x >> 30) * 0xbf58476d1ce4e5b9ull;
	x = (x ^ x >> 27) * 0x94d049bb133111ebull;
	return (uint32_t)((x ^ x >> 31) >> 32) % limit;
}

/* Numbers are the same for all flows, so that what is read into another's gate fits there; a client's SYN has
   one of two. */
static struct et flow_of(struct talker *talker)
{
	return (struct et){.src_port = (uint16_t)(40000 + below(talker, FLOWS)),
			   .client = 500000 * below(talker, 2),
			   .server = 0xfffffff0u};
}

static void client_packet(struct talker *talker, const struct et *et)
{
	uint32_t kind = below(talker, 40), at, n, got;
	const char *line = say.lines[et->src_port - 40000];
	struct et own = *et;

	if (kind < 2) {
		own = *et;
		got = et_syn(&own);
		talker->syns++;
	} else if (kind < 4) {
		got = et_send_at(et, 1, kind == 2 ? TH_RST : TH_FIN | TH_ACK, NULL, 0);
	} else if (kind < 6 && talker->forbidden) {
		at = below(talker, 2) ? 0 : (uint32_t)say.n;
		got = et_send_at(et, 1 + (int32_t)at, TH_ACK, forbidden, sizeof(forbidden) - 1);
		talker->bad += got == XDP_PASS;
	} else {
		at = below(talker, 3) ? 0 : below(talker, (uint32_t)say.n);
		n = 1 + below(talker, (uint32_t)say.n - at);
		got = et_send_at(et, 1 + (int32_t)at, TH_ACK, line + at, n);
		talker->passed += got == XDP_PASS;
	}
	talker->client_dropped += got != XDP_PASS;
	talker->resets += got == XDP_TX;
}

static void server_packet(struct talker *talker, const struct et *et)
{
	struct ex_segment segment = {.from = "198.51.100.1",
				     .to = "192.0.2.1",
				     .src_port = ET_PORT,
				     .dst_port = et->src_port,
				     .seq = et->server,
				     .ack = et->client + 1,
				     .flags = TH_ACK};
	struct ex_frame frame, before;
	uint32_t got;

	if (below(talker, 3)) {
		segment.flags |= TH_SYN;
	} else {
		segment.seq++;
		segment.payload = greeting;
		segment.n = 1 + below(talker, sizeof(greeting) - 1);
	}
	ex_segment(&before, segment);
	got = ex_serve(segment, &frame);
	talker->served_dropped += got == TC_ACT_SHOT;
	talker->provoked += got == ET_PASS && memcmp(frame.bytes, before.bytes, before.n) != 0;
}

static void *talk(void *context)
{
	struct talker *talker = context;
	cpu_set_t set;
	struct et et;

	CPU_ZERO(&set);
	CPU_SET(talker->cpu, &set);
	pthread_setaffinity_np(pthread_self(), sizeof(set), &set);
	while (!say.over) {
		et = flow_of(talker);
		if (below(talker, 2))
			client_packet(talker, &et);
		else
			server_packet(talker, &et);
	}
	return NULL;
}

/* A gate that is somebody's has read what that flow's client says, and nothing else; none was told of an offence
   that nobody committed. */
static void expect_gates(bool with_forbidden)
{
	static struct gate_slot slot;

	assert_int_equal(
		bpf_map__value_size(bpf_object__find_map_by_name(ex_object(), "edge_gates")),
		sizeof(slot));
	for (uint32_t i = 0; i < GATES; i++) {
		struct sw_edge_flow key;

		assert_int_equal(bpf_map_lookup_elem(ex_map("edge_gates"), &i, &slot), 0);
		assert_int_equal(slot.client_busy, 0);
		assert_int_equal(slot.server_busy, 0);
		if (!with_forbidden)
			assert_int_equal(slot.gate.reason, SW_REASON_NONE);
		assert_int_equal(slot.gate.server_reason, SW_REASON_NONE);
		if (!slot.owner)
			continue;
		memcpy(key.src, slot.key, sizeof(slot.key));
		assert_in_range(key.src_port, 40000, 40000 + FLOWS - 1);
		assert_int_equal(slot.gate.reason, SW_REASON_NONE);
		assert_in_range(slot.gate.read, 0, say.n);
		assert_memory_equal(slot.gate.seen, say.lines[key.src_port - 40000],
				    slot.gate.read);
	}
}

/* Gates that were told of an offence just now; the next owner's do not show it any longer. */
static unsigned int offences(void)
{
	static struct gate_slot slot;
	unsigned int n = 0;

	for (uint32_t i = 0; i < GATES; i++)
		n += !bpf_map_lookup_elem(ex_map("edge_gates"), &i, &slot) &&
		     (slot.gate.reason || slot.gate.server_reason);
	return n;
}

static void expect_counters(const struct talker talkers[2])
{
	struct sw_edge_flow flows[FLOWS];
	uint64_t live = 0, syns = talkers[0].syns + talkers[1].syns;
	uint64_t client = talkers[0].client_dropped + talkers[1].client_dropped;
	uint64_t served = talkers[0].served_dropped + talkers[1].served_dropped +
			  talkers[0].provoked + talkers[1].provoked;
	size_t n = ex_flows(flows, FLOWS);

	for (size_t i = 0; i < n && i < FLOWS; i++)
		live += !flows[i].ended;
	assert_int_equal(ex_counter(SW_COUNT_EDGE_CONNECT), syns);
	assert_int_equal(ex_counter(SW_COUNT_EDGE_ALLOWED), syns);
	assert_int_equal(ex_counter(SW_COUNT_EDGE_DROPPED), client + served);
	assert_int_equal(ex_counter(SW_COUNT_EDGE_RESETS), talkers[0].resets + talkers[1].resets);
	assert_int_equal(ex_counter(SW_COUNT_EDGE_OPENED) - ex_counter(SW_COUNT_EDGE_ENDED), live);
	assert_int_equal(ex_counter(SW_COUNT_EDGE_TLS), 0);
	assert_int_equal(ex_counter(SW_COUNT_EVENTS) + ex_counter(SW_COUNT_SUPPRESSED) +
				 ex_counter(SW_COUNT_LOST),
			 ex_counter(SW_COUNT_EDGE_CONDEMNED) + ex_counter(SW_COUNT_EDGE_UNKNOWN));
}

static void hammer(bool with_forbidden)
{
	struct talker talkers[2] = {};
	struct timespec end, now;
	unsigned int wrong = 0;

	ex_simple(ET_PORT, SW_ACTION_TLS, 0);
	for (size_t i = 0; i < FLOWS; i++)
		say.n = (size_t)snprintf(say.lines[i], sizeof(say.lines[i]),
					 "NOOP %zu\r\nHELO x%zu.example\r\nRSET\r\nNOOP %zu\r\n", i,
					 i, i);
	say.over = false;
	for (int i = 0; i < 2; i++) {
		talkers[i] = (struct talker){
			.cpu = i, .random = (uint64_t)(20261122 + i), .forbidden = with_forbidden};
		assert_int_equal(pthread_create(&talkers[i].thread, NULL, talk, &talkers[i]), 0);
	}
	clock_gettime(CLOCK_MONOTONIC, &end);
	end.tv_sec += SECONDS;
	do {
		ex_events();
		wrong += offences();
		clock_gettime(CLOCK_MONOTONIC, &now);
	} while (now.tv_sec < end.tv_sec && !sched_yield());
	say.over = true;
	for (int i = 0; i < 2; i++)
		assert_int_equal(pthread_join(talkers[i].thread, NULL), 0);
	print_message("# %" PRIu64 " segments in clear passed, %" PRIu64 " SYNs, %" PRIu64
		      " gates taken from others, %" PRIu64 " flows, %" PRIu64 " ended\n",
		      talkers[0].passed + talkers[1].passed, talkers[0].syns + talkers[1].syns,
		      ex_counter(SW_COUNT_EDGE_EVICTED_GATE), ex_counter(SW_COUNT_EDGE_EVICTED),
		      ex_counter(SW_COUNT_EDGE_CONDEMNED));
	assert_true(talkers[0].passed && talkers[1].passed);
	assert_int_equal(talkers[0].bad + talkers[1].bad, 0);
	if (!with_forbidden)
		assert_int_equal(wrong, 0);
	expect_counters(talkers);
	expect_gates(with_forbidden);
}

static void nobody_is_mistaken_for_another(void **state)
{
	(void)state;
	hammer(false);
}

static void nothing_forbidden_passes(void **state)
{
	(void)state;
	hammer(true);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(nobody_is_mistaken_for_another, ex_reset),
		cmocka_unit_test_setup(nothing_forbidden_passes, ex_reset),
	};

	if (!ex_usable())
		return 0;
	if (sysconf(_SC_NPROCESSORS_ONLN) < 2) {
		printf("1..0 # SKIP needs two CPUs\n");
		return 0;
	}
	ex_size(SW_EDGE_WAYS, GATES);
	return cmocka_run_group_tests_name("edge race", tests, ex_up, ex_down);
}
