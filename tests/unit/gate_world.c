/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <ctype.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

#include "tests/unit/gate_world.h"

static struct sw_gate world_gate;

void gw_expect(const char *name, const char *what, long got, long wanted)
{
	if (got != wanted)
		fail_msg("%s: %s is %ld, not %ld", name, what, got, wanted);
}

void gw_begin(struct gw_dialogue *dialogue, uint16_t port, uint8_t flags)
{
	dialogue->action = SW_ACTION_TLS;
	dialogue->flags = flags;
	dialogue->port = port;
	dialogue->tls_version = 0;
	dialogue->isn[0] = 1000;
	dialogue->isn[1] = 0xfffffff0; /* wraps within the greeting */
	dialogue->n_steps = 0;
	dialogue->used = 0;
}

void gw_add(struct gw_dialogue *dialogue, bool server, const void *bytes, size_t n)
{
	assert_true(dialogue->n_steps < GW_STEPS && n <= GW_POOL - dialogue->used);
	if (n)
		memcpy(dialogue->pool + dialogue->used, bytes, n);
	dialogue->steps[dialogue->n_steps++] = (struct gw_step){server, dialogue->used, n};
	dialogue->used += n;
}

static void add_hello(struct gw_dialogue *dialogue, bool server)
{
	static const struct hello_spec client = {.versions = {0x0304, 0x0303}, .sni = "mx.example"},
				       answer = {.versions = {0x0304}};
	struct hello_bytes bytes = {.n = 0};

	if (server)
		hello_server(&bytes, &answer);
	else
		hello_client(&bytes, &client);
	gw_add(dialogue, server, bytes.data, bytes.n);
}

void gw_texts(struct gw_dialogue *dialogue, const char *const *texts)
{
	for (; *texts; texts++) {
		const char *text = *texts;

		if (*text == 'H' || *text == 'A')
			add_hello(dialogue, *text == 'A');
		else if (*text == '0')
			gw_add(dialogue, false, "", 1);
		else if (*text == 'T' || *text == 't')
			gw_add(dialogue, *text == 't', "\x17\3\3\0\4abcd", 9);
		else if (*text == 'L' || *text == 'l')
			gw_add(dialogue, *text == 'l', "\x15\3\3\0\2\2\x28", 7);
		else
			gw_add(dialogue, *text == 'S', text + 1, strlen(text + 1));
	}
}

size_t gw_length(const struct gw_dialogue *dialogue)
{
	return dialogue->used;
}

/* ---- playing ---- */

static void send_part(const struct gw_dialogue *dialogue, size_t step, size_t at, size_t n,
		      uint32_t seq[2], struct gw_result *result)
{
	bool server = dialogue->steps[step].server;
	int answer = gh_segment(&world_gate, server, seq[server], dialogue->pool + at, n, 0);

	seq[server] += (uint32_t)n;
	if (result->answer) {
		/* Only one thing may follow a violation: the same, or not enforced nothing. */
		if (result->answer == SW_GATE_VIOLATION)
			gw_expect("after a violation", "answer", answer,
				  world_gate.enforced ? SW_GATE_VIOLATION : SW_GATE_PASS);
		return;
	}
	result->answer = answer;
	if (!answer)
		return;
	result->step = step;
	result->from_server = world_gate.server_reason != SW_REASON_NONE;
	result->reason = result->from_server ? world_gate.server_reason : world_gate.reason;
}

static size_t part_length(const struct gw_step *step, size_t at, size_t cut)
{
	size_t end = step->at + step->n;

	if (cut == GW_BYTES)
		return 1;
	return (cut > at && cut < end ? cut : end) - at;
}

struct gw_result gw_play(const struct gw_dialogue *dialogue, size_t cut)
{
	struct gw_result result = {.step = dialogue->n_steps, .gate = &world_gate};
	uint32_t seq[2] = {dialogue->isn[0], dialogue->isn[1]};

	memset(&world_gate, 0, sizeof(world_gate));
	sw_gate_begin(&world_gate, dialogue->action, dialogue->flags, dialogue->port,
		      dialogue->tls_version);
	for (int side = 0; side < 2; side++) {
		assert_int_equal(gh_segment(&world_gate, side, seq[side], "", 0, GH_SYN),
				 SW_GATE_PASS);
		seq[side]++;
	}
	for (size_t i = 0; i < dialogue->n_steps; i++) {
		const struct gw_step *step = &dialogue->steps[i];

		for (size_t at = step->at; at < step->at + step->n;) {
			size_t n = part_length(step, at, cut);

			send_part(dialogue, i, at, n, seq, &result);
			at += n;
		}
	}
	return result;
}

/* ---- properties ---- */

static void check_same(const char *name, size_t cut, const struct gw_result *got,
		       const struct gw_result *wanted, const struct sw_gate *whole)
{
	char where[200];

	snprintf(where, sizeof(where), "%s, cut at %zd", name, (ssize_t)cut);
	gw_expect(where, "answer", got->answer, wanted->answer);
	gw_expect(where, "reason", got->reason, wanted->reason);
	gw_expect(where, "from_server", got->from_server, wanted->from_server);
	gw_expect(where, "step", (long)got->step, (long)wanted->step);
	gw_expect(where, "phase", got->gate->phase, whole->phase);
	gw_expect(where, "tls", got->gate->tls, whole->tls);
	gw_expect(where, "server_phase", got->gate->server_phase, whole->server_phase);
	gw_expect(where, "negotiated", got->gate->negotiated, whole->negotiated);
}

void gw_check_cuts(const struct gw_dialogue *dialogue, const char *name)
{
	struct gw_result wanted = gw_play(dialogue, GW_WHOLE), got;
	struct sw_gate whole = *wanted.gate;

	for (size_t cut = 1; cut < gw_length(dialogue); cut++) {
		got = gw_play(dialogue, cut);
		check_same(name, cut, &got, &wanted, &whole);
	}
	got = gw_play(dialogue, GW_BYTES);
	check_same(name, GW_BYTES, &got, &wanted, &whole);
}

void gw_check_secret(const struct sw_gate *gate, const char *secret, const char *name)
{
	const uint8_t *state = (const uint8_t *)gate;

	for (size_t at = 0; at + 3 <= sizeof(*gate); at++)
		for (const char *part = secret; part[0] && part[1] && part[2]; part++)
			if (toupper(state[at]) == toupper(part[0]) &&
			    toupper(state[at + 1]) == toupper(part[1]) &&
			    toupper(state[at + 2]) == toupper(part[2]))
				fail_msg("%s: \"%.3s\" is kept at %zu", name, part, at);
}
