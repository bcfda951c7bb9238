/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * dialogue.h - random SMTP dialogues as segments: grown from a grammar of sessions that lead to TLS,
 * attacks among them, mutated, cut anywhere, sent again, overlapping, ahead, in another order.
 */
#ifndef SW_TEST_DIALOGUE_H
#define SW_TEST_DIALOGUE_H

#include <stddef.h>
#include <stdint.h>

#include <linux/types.h>

#include "tests/prog/gate_script.h"

#define DIALOGUE_SEGMENTS 1024
#define DIALOGUE_POOL 60000
#define DIALOGUE_SEGMENT_MAX 2800 /* bytes */

struct dialogue {
	struct gs_head begin;
	size_t n_segments;
	struct dialogue_segment {
		struct gs_head head;
		uint32_t at; /* of its bytes, in pool */
	} segments[DIALOGUE_SEGMENTS];
	size_t used;
	uint8_t pool[DIALOGUE_POOL];
};

/* The same seed makes the same dialogue. */
void dialogue_make(struct dialogue *dialogue, uint64_t seed);

#endif
