/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The edge decides as bpf/gate.h does: random dialogues as segments of both directions through sw_edge and
 * sw_edge_served, each verdict compared with the gate's on the host, and in the end every counter. Gates are taken
 * from connections that went before, whatever those left in them. SW_EDGE_DIALOGUES says how many, SW_SEED which.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <netinet/tcp.h>

#include "daemon/base.h"
#include "tests/prog/dialogue.h"
#include "tests/prog/edge_talk.h"
#include "tests/unit/gate_host.h"

#define DIALOGUES 6000
#define FIRST_PORT 1024
#define PORTS 60000

/* What dialogues are about: dialogue.c. */
static const uint16_t ports[] = {587, 2525, 465}, versions[] = {0, 0x0301, 0x0302, 0x0303, 0x0304};
static const uint8_t flags[] = {0, SW_RULE_IMPLICIT, SW_RULE_STARTTLS, SW_RULE_PROXY,
				SW_RULE_IMPLICIT | SW_RULE_PROXY};
#define FLAGS (sizeof(flags) / sizeof(flags[0]))
#define RULES (4 * FLAGS * (sizeof(versions) / sizeof(versions[0])))

/* What becomes of a segment. */
enum verdict { PASSES, HELD, ENDED };

static struct {
	struct dialogue dialogue;
	struct sw_gate gate;
	struct et et;
	char from[16];
	bool condemned; /* and enforced */
	uint64_t held, resets, ended, condemned_n, tls, segments;
	uint64_t phases[SW_GATE_OVER + 1];
} run;

static uint64_t number(const char *name, uint64_t otherwise)
{
	const char *text = getenv(name);

	return text && *text ? strtoull(text, NULL, 0) : otherwise;
}

/* ---- both sides ---- */

/* The sequence number of a side's SYN; false: the dialogue has none. */
static bool begins_at(bool server, uint32_t *seq)
{
	for (size_t i = 0; i < run.dialogue.n_segments; i++) {
		const struct gs_head *head = &run.dialogue.segments[i].head;

		if (head->flags & GS_SYN && head->what == (server ? GS_SERVER : GS_CLIENT)) {
			*seq = head->seq;
			return true;
		}
	}
	return false;
}

/* Each rule that a dialogue may come under has a customer, so that one policy does for all of them. */
static void make_policy(void)
{
	char from[32];
	uint16_t rule;

	ex_begin(0);
	for (uint32_t i = 0; i < RULES; i++) {
		rule = ex_rule(i & 1 ? SW_ACTION_AUDIT : SW_ACTION_TLS,
			       flags[i / 4 % FLAGS] | (i & 2 ? SW_RULE_AUDIT : 0));
		ex_version(rule, versions[i / 4 / FLAGS]);
		snprintf(from, sizeof(from), "10.0.0.%u/32", i + 1);
		for (size_t port = 0; port < sizeof(ports) / sizeof(ports[0]); port++)
			ex_row(rule, (struct ex_row){.port = ports[port], .from = from});
	}
	ex_apply();
}

static uint32_t rule_of(const struct gs_head *begin)
{
	for (uint32_t i = 0; i < RULES; i++)
		if ((i & 1 ? SW_ACTION_AUDIT : SW_ACTION_TLS) == begin->action &&
		    (flags[i / 4 % FLAGS] | (i & 2 ? SW_RULE_AUDIT : 0)) == begin->rule_flags &&
		    versions[i / 4 / FLAGS] == begin->tls_version)
			return i;
	fail_msg("a dialogue with a rule of another kind");
	return 0;
}

/* A new connection on both sides; false: nothing to compare. */
static bool begin(uint64_t seed)
{
	const struct gs_head *begin = &run.dialogue.begin;
	uint32_t client, server;

	dialogue_make(&run.dialogue, seed);
	if (!begins_at(false, &client) || !begins_at(true, &server))
		return false;
	snprintf(run.from, sizeof(run.from), "10.0.0.%u", rule_of(begin) + 1);
	run.et = et_open((struct et){.from = run.from,
				     .src_port = (uint16_t)(FIRST_PORT + seed % PORTS),
				     .port = begin->port,
				     .client = client,
				     .server = server});
	memset(&run.gate, 0, sizeof(run.gate));
	sw_gate_begin(&run.gate, begin->action, begin->rule_flags, begin->port, begin->tls_version);
	gh_segment(&run.gate, false, client, NULL, 0, GH_SYN);
	gh_segment(&run.gate, true, server, NULL, 0, GH_SYN);
	run.condemned = false;
	return true;
}

/* What the gate says of a segment with payload, and what the edge makes of it. */
static enum verdict expected(bool server, const struct gs_head *head, const void *bytes)
{
	static const enum verdict of[] = {
		[SW_GATE_PASS] = PASSES, [SW_GATE_HOLD] = HELD, [SW_GATE_VIOLATION] = ENDED};
	bool tls = run.gate.phase == SW_GATE_TLS;
	int answer;

	if (!head->length)
		return run.condemned && !server ? ENDED : PASSES;
	answer = gh_segment(&run.gate, server, head->seq, bytes, head->length,
			    head->flags & GS_URGENT);
	run.tls += !tls && run.gate.phase == SW_GATE_TLS;
	run.phases[run.gate.phase]++;
	if (!run.gate.enforced)
		return PASSES;
	run.condemned_n += answer == SW_GATE_VIOLATION && !run.condemned;
	run.condemned |= answer == SW_GATE_VIOLATION;
	return of[answer];
}

static enum verdict sent(const struct gs_head *head, const void *bytes)
{
	uint8_t tcp_flags = TH_ACK | (head->flags & GS_URGENT ? TH_URG : 0);
	struct et et = run.et;
	uint32_t got;

	et.client = head->seq;
	got = et_send_at(&et, 0, tcp_flags, bytes, head->length);
	return got == XDP_PASS ? PASSES : got == XDP_DROP ? HELD : ENDED;
}

static enum verdict served(const struct gs_head *head, const void *bytes)
{
	struct ex_segment segment = {
		.from = "198.51.100.1",
		.to = run.from,
		.src_port = run.et.port,
		.dst_port = run.et.src_port,
		.seq = head->seq,
		.ack = run.et.client,
		.flags = TH_ACK,
		.payload = bytes,
		.n = head->length,
	};
	struct ex_frame frame, before;
	uint32_t got;

	ex_segment(&before, segment);
	got = ex_serve(segment, &frame);
	if (got == TC_ACT_SHOT)
		return HELD;
	assert_int_equal(got, ET_PASS);
	assert_int_equal(frame.n, before.n);
	if (!memcmp(frame.bytes, before.bytes, frame.n))
		return PASSES;
	/* What is to provoke the client lies far behind what it has. */
	segment.seq -= 1u << 30;
	ex_segment(&before, segment);
	assert_memory_equal(frame.bytes, before.bytes, frame.n);
	return ENDED;
}

static void compare(uint64_t seed)
{
	for (size_t i = 0; i < run.dialogue.n_segments; i++) {
		const struct gs_head *head = &run.dialogue.segments[i].head;
		const uint8_t *bytes = run.dialogue.pool + run.dialogue.segments[i].at;
		bool server = head->what == GS_SERVER;
		enum verdict want, got;

		if (head->flags & GS_SYN)
			continue;
		want = expected(server, head, bytes);
		got = server ? served(head, bytes) : sent(head, bytes);
		run.segments++;
		run.held += want == HELD;
		run.ended += want == ENDED;
		run.resets += want == ENDED && !server;
		if (want != got)
			fail_msg("SW_SEED=%llu SW_EDGE_DIALOGUES=1: segment %zu of the %s: %d, "
				 "expected %d, phase %d",
				 (unsigned long long)seed, i, server ? "server" : "client", got,
				 want, run.gate.phase);
	}
	if (run.gate.phase == SW_GATE_TLS)
		et_expect_state(&run.et, SW_EDGE_TLS);
	else if (run.condemned)
		et_expect_state(&run.et, SW_EDGE_CONDEMNED);
}

/* ---- many ---- */

static void random_dialogues(void **state)
{
	uint64_t n = number("SW_EDGE_DIALOGUES", DIALOGUES), done = 0;
	uint64_t seed = number("SW_SEED", 20261122);

	(void)state;
	make_policy();
	print_message("# SW_SEED=%llu SW_EDGE_DIALOGUES=%llu\n", (unsigned long long)seed,
		      (unsigned long long)n);
	for (uint64_t i = 0; i < n; i++) {
		if (!begin(seed + i))
			continue;
		compare(seed + i);
		ex_events();
		done++;
	}
	print_message("# %llu dialogues, %llu segments, %llu held, %llu ended, %llu in TLS\n",
		      (unsigned long long)done, (unsigned long long)run.segments,
		      (unsigned long long)run.held, (unsigned long long)run.condemned_n,
		      (unsigned long long)run.tls);
	assert_int_equal(ex_counter(SW_COUNT_EDGE_CONNECT), done);
	assert_int_equal(ex_counter(SW_COUNT_EDGE_ALLOWED), done);
	assert_int_equal(ex_counter(SW_COUNT_EDGE_OPENED), done);
	assert_int_equal(ex_counter(SW_COUNT_EDGE_HELD), run.held);
	assert_int_equal(ex_counter(SW_COUNT_EDGE_CONDEMNED), run.condemned_n);
	assert_int_equal(ex_counter(SW_COUNT_EDGE_TLS), run.tls);
	assert_int_equal(ex_counter(SW_COUNT_EDGE_RESETS), run.resets);
	assert_int_equal(ex_counter(SW_COUNT_EDGE_DROPPED), run.held + run.ended);
	assert_int_equal(ex_counter(SW_COUNT_EDGE_UNKNOWN), 0);
	if (n < DIALOGUES)
		return;
	assert_true(run.held && run.tls);
	for (size_t i = SW_GATE_LINE; i <= SW_GATE_OVER; i++)
		if (i != SW_GATE_GRANTED && !run.phases[i])
			fail_msg("phase %zu was never reached", i);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(random_dialogues, ex_reset),
	};

	if (!ex_usable())
		return 0;
	return cmocka_run_group_tests_name("edge agreement", tests, ex_up, ex_down);
}
