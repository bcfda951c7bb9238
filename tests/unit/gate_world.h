/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * gate_world.h - dialogues for the gate: what client and server say in turn, played whole, cut at
 * every position, or byte by byte.
 */
#ifndef SW_TEST_GATE_WORLD_H
#define SW_TEST_GATE_WORLD_H

#include "tests/unit/gate_hello.h"
#include "tests/unit/gate_host.h"

#define GW_STEPS 20
#define GW_POOL 40000

struct gw_dialogue {
	uint8_t action, flags;
	uint16_t port, tls_version;
	uint32_t isn[2]; /* first sequence numbers of client and server */
	size_t n_steps;
	struct gw_step {
		bool server;
		size_t at, n; /* in pool */
	} steps[GW_STEPS];
	size_t used;
	uint8_t pool[GW_POOL];
};

/* What became of it. `gate` is valid until the next play. */
struct gw_result {
	int answer;     /* of the first segment that did not pass */
	size_t step;    /* that it belongs to; n_steps: all passed */
	uint8_t reason; /* of the client's or the server's violation */
	bool from_server;
	const struct sw_gate *gate;
};

#define GW_WHOLE 0
#define GW_BYTES SIZE_MAX

void gw_begin(struct gw_dialogue *dialogue, uint16_t port, uint8_t flags);
void gw_add(struct gw_dialogue *dialogue, bool server, const void *bytes, size_t n);
/*
 * Steps as text: the first letter says who speaks, C or S. Alone stand H, a ClientHello; A, the
 * ServerHello for it; 0, a NUL of the client; T and t, an application data record of client and
 * server; L and l, an alert of theirs. NULL ends.
 */
void gw_texts(struct gw_dialogue *dialogue, const char *const *texts);
size_t gw_length(const struct gw_dialogue *dialogue);

/* `cut`: GW_WHOLE, GW_BYTES, or where in all the bytes a segment ends that otherwise would not. */
struct gw_result gw_play(const struct gw_dialogue *dialogue, size_t cut);

/* The same reason, step and end however it is cut; a failure names the dialogue and the cut. */
void gw_check_cuts(const struct gw_dialogue *dialogue, const char *name);

/* No three letters in a row of `secret` are anywhere in the state, in either case. */
void gw_check_secret(const struct sw_gate *gate, const char *secret, const char *name);

/* Asserts with the name of what failed. */
void gw_expect(const char *name, const char *what, long got, long wanted);

#endif
