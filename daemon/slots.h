/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * slots.h - the policy in force and the one before: what the daemon knows of each, and going from
 * one to the other.
 */
#ifndef SW_SLOTS_H
#define SW_SLOTS_H

#include "daemon/answer.h"
#include "daemon/edge.h"
#include "daemon/fault.h"
#include "daemon/load.h"
#include "daemon/net.h"
#include "daemon/source.h"

struct sw_slot {
	uint64_t generation; /* 0: no policy here */
	uint32_t n_rules;
	struct sw_policy_info info;
	struct sw_rule_info *rules; /* n_rules of them */
	struct sw_image *image;     /* NULL: only what the kernel keeps is known */
};

struct sw_slots {
	struct sw_kernel *kernel;
	/* Borrowed: what must be there before a policy comes into force. NULL: it is not looked after. */
	struct sw_edges *edges;
	struct sw_answers *answers;
	struct sw_slot slot[2];
};

/* Reads what the kernel keeps of both slots. */
int sw_slots_open(struct sw_slots *slots, struct sw_kernel *kernel, struct sw_fault *fault);
void sw_slots_close(struct sw_slots *slots);

struct sw_slot *sw_slots_active(struct sw_slots *slots); /* NULL: no policy is in force */
struct sw_slot *sw_slots_other(struct sw_slots *slots);  /* NULL: there was none before */

/* After a restart: listens where the policies in the kernel send refused programs. Where that is not possible
   any more, the rules learn the new ports. */
void sw_slots_resume_answers(struct sw_slots *slots);

/* Host rules of the policy in force with `answer` that nobody can be sent to: such programs are refused as
   without it. */
unsigned int sw_slots_unanswered(const struct sw_slots *slots);

/* A rule of a policy that is still known, or NULL. */
const struct sw_rule_info *sw_slots_rule(const struct sw_slots *slots, uint64_t generation,
					 uint32_t rule);

/* Is this the policy in force, from the same file? */
bool sw_slots_is_active(struct sw_slots *slots, const uint8_t sha256[static 32], const char *path);

/* Gives the slot in force its image back, after a restart found the same policy on disk. */
void sw_slots_remember(struct sw_slots *slots, struct sw_image *image);

/*
 * Puts a policy in force: fills the other slot, sets `confirm_ns` (CLOCK_REALTIME; 0: none) and
 * switches. Takes `image`, also on failure. On failure the policy that was in force still is.
 */
int sw_slots_apply(struct sw_slots *slots, struct sw_image *image, const char *path,
		   uint64_t confirm_ns, struct sw_fault *fault);

/* Puts the policy before in force again. SW_EXIT_NO: there is none. */
int sw_slots_rollback(struct sw_slots *slots, struct sw_fault *fault);

#endif
