/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * bpf/gate.h decides alike on the host and in the kernel: random dialogues through both, every answer
 * and at the end the whole state compared. SW_DIALOGUES says how many, SW_SEED which.
 */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

#include <bpf/bpf.h>
#include <bpf/libbpf.h>

#include "daemon/base.h"
#include "tests/prog/dialogue.h"
#include "tests/prog/gate_run.skel.h"
#include "tests/unit/gate_host.h"

/* What BPF_PROG_TEST_RUN of every kernel takes: a page less its own needs. */
#define PACKET_MAX 3500
#define ETHERNET 14
#define DIALOGUES 1000000

static_assert(sizeof(struct sw_gate) % 8 == 0, "the kernel rounds up the size of map values");

static struct {
	struct sw_gate_run *skel;
	int fd;
	struct sw_gate *gates;
	struct gs_answers *answers;
	/* A batch: a dialogue for each gate. */
	struct dialogue *dialogues;
	uint64_t seeds[GS_GATES];
	size_t n_dialogues, n_segments;
	struct sw_gate host;
	uint8_t packet[PACKET_MAX];
	size_t packet_n;
	uint64_t dialogues_run, segments_run;
	/* How often each was the end of a dialogue, or for phases the end of a segment. */
	uint64_t phases[SW_GATE_OVER + 1], served[SW_GATE_UNREAD + 1];
	uint64_t reasons[SW_REASON_MAX], server_reasons[SW_REASON_MAX];
	uint64_t answers_seen[3], tls[SW_TLS_MAX], verbs[SW_VERB_MAX], mechanisms[SW_MECHANISM_MAX];
} run;

/* ---- the kernel's side ---- */

static void send_packet(void)
{
	LIBBPF_OPTS(bpf_test_run_opts, options, .data_in = run.packet,
		    .data_size_in = (uint32_t)run.packet_n, .repeat = 1);

	if (run.packet_n > ETHERNET)
		assert_return_code(bpf_prog_test_run_opts(run.fd, &options), errno);
	run.packet_n = ETHERNET;
}

static void add_to_packet(const struct gs_head *head, uint16_t gate, const uint8_t *bytes)
{
	struct gs_head copy = *head;

	copy.gate = gate;
	if (run.packet_n + sizeof(copy) + copy.length > PACKET_MAX)
		send_packet();
	memcpy(run.packet + run.packet_n, &copy, sizeof(copy));
	run.packet_n += sizeof(copy);
	if (copy.length)
		memcpy(run.packet + run.packet_n, bytes, copy.length);
	run.packet_n += copy.length;
}

static void run_kernel(void)
{
	memset(run.gates, 0, run.n_dialogues * sizeof(*run.gates));
	run.answers->n = 0;
	for (size_t i = 0; i < run.n_dialogues; i++) {
		const struct dialogue *dialogue = &run.dialogues[i];

		add_to_packet(&dialogue->begin, (uint16_t)i, dialogue->pool);
		for (size_t k = 0; k < dialogue->n_segments; k++)
			add_to_packet(&dialogue->segments[k].head, (uint16_t)i,
				      dialogue->pool + dialogue->segments[k].at);
	}
	send_packet();
	assert_int_equal(run.answers->n, run.n_segments);
}

/* ---- the host's side ---- */

static void count(const struct sw_gate *gate)
{
	run.reasons[gate->reason]++;
	run.server_reasons[gate->server_reason]++;
	run.served[gate->server_phase]++;
	run.tls[gate->tls]++;
	run.verbs[gate->verb]++;
	run.mechanisms[gate->mechanism]++;
}

/* Gaps between members, too: both began as zeros and nothing writes there. */
static bool same_bytes(const void *a, const void *b, size_t n)
{
	return !memcmp(a, b, n);
}

/* What differs first, for the one who reads the failure; NULL: nothing does. `at`: the first segment's
   place among the answers. */
static const char *run_host(const struct dialogue *dialogue, size_t slot, size_t at,
			    size_t *segment)
{
	const struct gs_head *begin = &dialogue->begin;

	memset(&run.host, 0, sizeof(run.host));
	sw_gate_begin(&run.host, begin->action, begin->rule_flags, begin->port, begin->tls_version);
	for (size_t i = 0; i < dialogue->n_segments; i++) {
		const struct dialogue_segment *one = &dialogue->segments[i];
		int answer =
			gh_segment(&run.host, one->head.what == GS_SERVER, one->head.seq,
				   dialogue->pool + one->at, one->head.length, one->head.flags);

		*segment = i;
		run.phases[run.host.phase]++;
		run.answers_seen[answer]++;
		if (answer != run.answers->answer[at + i])
			return "answer";
		if (run.host.phase != run.answers->phase[at + i])
			return "phase";
	}
	return same_bytes(&run.host, &run.gates[slot], sizeof(run.host)) ? NULL : "state";
}

/* Returns how many dialogues differed. */
static size_t compare(bool differing_is_wrong)
{
	size_t at = 0, differ = 0, segment = 0;

	for (size_t i = 0; i < run.n_dialogues; i++) {
		const char *what = run_host(&run.dialogues[i], i, at, &segment);

		if (what && differing_is_wrong) {
			print_error("# SW_SEED=%llu SW_DIALOGUES=1: %s of segment %zu, phases %d "
				    "and %d\n",
				    (unsigned long long)run.seeds[i], what, segment, run.host.phase,
				    run.gates[i].phase);
			fail();
		}
		differ += !!what;
		at += run.dialogues[i].n_segments;
		count(&run.host);
	}
	return differ;
}

/* ---- many ---- */

/* As many dialogues from `seed` on as the answers have room for. */
static void make_batch(uint64_t seed, size_t most)
{
	run.n_dialogues = run.n_segments = 0;
	while (run.n_dialogues < GS_GATES && run.n_dialogues < most &&
	       run.n_segments + DIALOGUE_SEGMENTS <= GS_ANSWERS) {
		struct dialogue *dialogue = &run.dialogues[run.n_dialogues];

		run.seeds[run.n_dialogues] = seed + run.n_dialogues;
		dialogue_make(dialogue, seed + run.n_dialogues++);
		run.n_segments += dialogue->n_segments;
	}
}

static uint64_t number(const char *name, uint64_t otherwise)
{
	const char *text = getenv(name);

	return text && *text ? strtoull(text, NULL, 0) : otherwise;
}

static double seconds(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (double)now.tv_sec + (double)now.tv_nsec / 1e9;
}

static void random_dialogues(void **state)
{
	uint64_t n = number("SW_DIALOGUES", DIALOGUES);
	uint64_t seed = number("SW_SEED", 20261121);
	double began = seconds();

	(void)state;
	print_message("# SW_SEED=%llu SW_DIALOGUES=%llu\n", (unsigned long long)seed,
		      (unsigned long long)n);
	for (uint64_t done = 0; done < n; done += run.n_dialogues) {
		make_batch(seed + done, n - done);
		run_kernel();
		compare(true);
		run.dialogues_run += run.n_dialogues;
		run.segments_run += run.n_segments;
	}
	print_message("# %llu dialogues, %llu segments, %.1f s\n",
		      (unsigned long long)run.dialogues_run, (unsigned long long)run.segments_run,
		      seconds() - began);
}

static void tell(const char *name, const uint64_t *counts, size_t n)
{
	char text[512];
	size_t at = 0;

	for (size_t i = 0; i < n && at < sizeof(text); i++)
		at += (size_t)snprintf(text + at, sizeof(text) - at, " %zu:%llu", i,
				       (unsigned long long)counts[i]);
	print_message("# %s%s\n", name, text);
}

static void reached(const char *name, const uint64_t *counts, size_t index)
{
	if (!counts[index])
		fail_msg("%s %zu was never reached", name, index);
}

/* Agreement is worth as much as what was seen of the gate. */
static void everything_was_reached(void **state)
{
	static const uint8_t client[] = {SW_REASON_NONE,
					 SW_REASON_CLEARTEXT_COMMAND,
					 SW_REASON_STARTTLS_INJECTION,
					 SW_REASON_STARTTLS_STRIPPED,
					 SW_REASON_NOT_TLS,
					 SW_REASON_RESEND_MISMATCH,
					 SW_REASON_TOO_LONG,
					 SW_REASON_MALFORMED,
					 SW_REASON_SHARED_PAGES};
	static const uint8_t server[] = {SW_REASON_NONE,      SW_REASON_STARTTLS_INJECTION,
					 SW_REASON_MALFORMED, SW_REASON_NOT_TLS,
					 SW_REASON_TOO_LONG,  SW_REASON_TLS_TOO_OLD};

	(void)state;
	tell("segments by answer", run.answers_seen, 3);
	tell("segments by phase", run.phases, SW_GATE_OVER + 1);
	tell("dialogues by the server's phase", run.served, SW_GATE_UNREAD + 1);
	tell("by reason", run.reasons, SW_REASON_MAX);
	tell("by the server's reason", run.server_reasons, SW_REASON_MAX);
	tell("by way to TLS", run.tls, SW_TLS_MAX);
	tell("by verb", run.verbs, SW_VERB_MAX);
	tell("by mechanism", run.mechanisms, SW_MECHANISM_MAX);
	if (run.dialogues_run < 5000) {
		print_message("# too few dialogues to say what they do not reach\n");
		return;
	}
	for (size_t i = 0; i < sizeof(client); i++)
		reached("reason", run.reasons, client[i]);
	for (size_t i = 0; i < sizeof(server); i++)
		reached("the server's reason", run.server_reasons, server[i]);
	/* SW_GATE_GRANTED lasts until the byte that is looked at then; the hello behind it is its trace. */
	for (size_t i = 0; i <= SW_GATE_OVER; i++)
		if (i != SW_GATE_GRANTED)
			reached("phase", run.phases, i);
	for (size_t i = 0; i <= SW_GATE_UNREAD; i++)
		reached("the server's phase", run.served, i);
	for (size_t i = 0; i < SW_TLS_MAX; i++)
		reached("way to TLS", run.tls, i);
	for (size_t i = 0; i < 3; i++)
		reached("answer", run.answers_seen, i);
}

/* The first byte of a client, where it was read; NULL: it was not. */
static uint8_t *first_byte_read(struct dialogue *dialogue, const struct sw_gate *gate, size_t at)
{
	for (size_t i = 0; gate->read && i < dialogue->n_segments; i++) {
		const struct gs_head *head = &dialogue->segments[i].head;

		if (head->what == GS_CLIENT && head->length &&
		    head->seq + !!(head->flags & GS_SYN) == gate->start)
			return run.answers->answer[at + i]
				       ? NULL
				       : dialogue->pool + dialogue->segments[i].at;
	}
	return NULL;
}

/* One bit of one byte that only the host sees otherwise: it must be told, in every dialogue. */
static void difference_is_noticed(void **state)
{
	size_t altered = 0, differ = 0;

	(void)state;
	for (uint64_t seed = 1; seed < 2000; seed += run.n_dialogues) {
		make_batch(seed, GS_GATES);
		run_kernel();
		for (size_t i = 0, at = 0; i < run.n_dialogues;
		     at += run.dialogues[i++].n_segments) {
			uint8_t *byte = first_byte_read(&run.dialogues[i], &run.gates[i], at);

			if (byte) {
				*byte ^= 0x20;
				altered++;
			}
		}
		differ += compare(false);
	}
	assert_true(altered > 1000);
	assert_int_equal(differ, altered);
}

/* ---- up and down ---- */

static int up(void **state)
{
	struct bpf_prog_info info = {};
	uint32_t size = sizeof(info);

	(void)state;
	run.skel = sw_gate_run__open_and_load();
	assert_non_null(run.skel);
	run.fd = bpf_program__fd(run.skel->progs.gate_run);
	run.gates = mmap(NULL, GS_GATES * sizeof(*run.gates), PROT_READ | PROT_WRITE, MAP_SHARED,
			 bpf_map__fd(run.skel->maps.gates), 0);
	run.answers = mmap(NULL, sizeof(*run.answers), PROT_READ | PROT_WRITE, MAP_SHARED,
			   bpf_map__fd(run.skel->maps.answers), 0);
	run.dialogues = calloc(GS_GATES, sizeof(*run.dialogues));
	assert_true(run.gates != MAP_FAILED && run.answers != MAP_FAILED && run.dialogues);
	/* A type that no header is looked for behind. */
	memset(run.packet, 0, ETHERNET);
	memcpy(run.packet + 12, "\x88\xb5", 2);
	run.packet_n = ETHERNET;
	if (!bpf_obj_get_info_by_fd(run.fd, &info, &size))
		print_message("# %-15s %6u instructions verified, %5u bytes of code\n", info.name,
			      info.verified_insns, info.jited_prog_len);
	return 0;
}

static int down(void **state)
{
	(void)state;
	free(run.dialogues);
	munmap(run.gates, GS_GATES * sizeof(*run.gates));
	munmap(run.answers, sizeof(*run.answers));
	sw_gate_run__destroy(run.skel);
	return 0;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(random_dialogues),
		cmocka_unit_test(everything_was_reached),
		cmocka_unit_test(difference_is_noticed),
	};

	if (geteuid()) {
		printf("1..0 # SKIP needs root\n");
		return 0;
	}
	return cmocka_run_group_tests_name("agreement", tests, up, down);
}
