/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * load.h - everything of ours that lies in the kernel: maps, programs, links and their pins. Only
 * the files load*.c know libbpf and the skeleton; this header names neither.
 *
 * The order of a start: sw_kernel_open() - maps stand, programs are being loaded, nothing is attached that was
 * not before; sw_kernel_fill() and sw_kernel_switch() when a policy must be put in; sw_kernel_loaded() - programs
 * stand; sw_kernel_attach().
 */
#ifndef SW_LOAD_H
#define SW_LOAD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "bpf/abi.h"
#include "daemon/fault.h"
#include "daemon/policy/image.h"

struct sw_kernel;

enum sw_hook {
	SW_HOOK_CONNECT4 = 0,
	SW_HOOK_CONNECT6,
	SW_HOOK_GETPEERNAME4,
	SW_HOOK_GETPEERNAME6,
	SW_HOOK_SOCKOPS,
	SW_HOOK_INGRESS, /* before egress: the gate must see what servers say */
	SW_HOOK_EGRESS,  /* last: the backstop drops what the connect hooks did not see */
	SW_HOOK_MAX
};

struct sw_hook_state {
	const char *name;
	uint32_t program_id, link_id;
	bool attached;     /* the kernel says that our program runs on the cgroup */
	char problem[160]; /* empty when there is none */
};

/* What stands under PIN_DIR. */
enum sw_pins {
	SW_PINS_NONE = 0, /* nothing, or the rest of a start that never attached */
	SW_PINS_CURRENT,  /* maps of ours that this daemon can go on with */
	SW_PINS_REPLACE,  /* ours, but older or not whole: new maps, then the links change over */
};

/* Takes libbpf's own words off standard error: the last of them are kept, each line is handed to
   `line` unless that is NULL. One for the process, as libbpf has it. */
void sw_kernel_capture(void (*line)(const char *text));
const char *sw_kernel_said(void); /* the lines kept since the last sw_kernel_open() */

/*
 * Opens the object, takes over the maps pinned in pin_dir when they are ours and current, and has the programs
 * loaded: when maps were taken over they are loaded on return, else threads load them meanwhile, which block
 * all signals and end with sw_kernel_loaded() or sw_kernel_close(). Refuses what is foreign or newer. `cgroup_fd`
 * is borrowed and must outlive the kernel. 0 or -1; nothing that was pinned or attached has changed then.
 */
int sw_kernel_open(const char *pin_dir, int cgroup_fd, struct sw_kernel **kernel,
		   struct sw_fault *fault);

/* Waits until the programs are loaded. 0 or -1; nothing that was pinned or attached has changed then. Not in a
   child of fork(), which has no threads. */
int sw_kernel_loaded(struct sw_kernel *kernel, struct sw_fault *fault);

/* Closes what this process holds. What is pinned stays in force. */
void sw_kernel_close(struct sw_kernel *kernel);

enum sw_pins sw_kernel_pins(const struct sw_kernel *kernel);

/*
 * Waits for the programs, puts each hook on the cgroup, or brings a pinned link to the programs of this daemon,
 * and pins everything. On failure whatever this call attached, changed or pinned is as it was before.
 */
int sw_kernel_attach(struct sw_kernel *kernel, struct sw_fault *fault);

/* Takes the links off the cgroup and removes every pin of ours; `kernel` is good for closing only
   afterwards. */
int sw_kernel_detach(struct sw_kernel *kernel, struct sw_fault *fault);

/* The same for what a daemon that has ended left in pin_dir. *found: whether there was anything. */
int sw_pins_detach(const char *pin_dir, bool *found, struct sw_fault *fault);

/*
 * Asks the kernel which programs are in effect and which links are alive; fills states. A hook that
 * is not attached is attached anew: *repaired counts those, `problem` of the hook says what was
 * found (and, when it could not be repaired, why). Returns how many hooks are not attached now.
 */
unsigned int sw_kernel_check(struct sw_kernel *kernel, struct sw_hook_state states[SW_HOOK_MAX],
			     unsigned int *repaired);

/* ---- policies ---- */

/* The map `head`, as the kernel sees it. Read only; writes go through the functions below. */
const struct sw_head *sw_kernel_head(const struct sw_kernel *kernel);
unsigned int sw_kernel_active(const struct sw_kernel *kernel);            /* the slot in force */
const struct sw_policy *sw_kernel_policy(const struct sw_kernel *kernel); /* what is in it */

/*
 * Writes the image into the slot that is not in force, with hits of zero, and numbers it: the slot's
 * generation afterwards. 0 or -1; the slot in force is untouched, on failure the other one is
 * empty (generation 0).
 */
int sw_kernel_fill(struct sw_kernel *kernel, const struct sw_image *image, const char *path,
		   struct sw_fault *fault);

/* Puts the other slot in force with one store, and waits until no program looks at the old one. */
int sw_kernel_switch(struct sw_kernel *kernel, struct sw_fault *fault);

void sw_kernel_set_confirm(struct sw_kernel *kernel, uint64_t realtime_ns); /* 0: none */

/* The ports (0: none) to which a rule with SW_RULE_ANSWER sends; also of the slot in force. */
void sw_kernel_set_answer_ports(struct sw_kernel *kernel, unsigned int slot, unsigned int rule,
				uint16_t port4, uint16_t port6);
void sw_kernel_set_existing_close(struct sw_kernel *kernel, uint64_t generation);

/* Whether SMTP on ports that no host block names is recognised and told of. -1 with `fault`. */
int sw_kernel_set_elsewhere(struct sw_kernel *kernel, bool on, struct sw_fault *fault);

/* What people want to know of a slot. 0 or -errno. */
int sw_kernel_policy_info(struct sw_kernel *kernel, unsigned int slot, struct sw_policy_info *info);
int sw_kernel_rule_info(struct sw_kernel *kernel, unsigned int slot, unsigned int rule,
			struct sw_rule_info *info);

/* ---- numbers and addresses ---- */

int sw_kernel_counters(struct sw_kernel *kernel, uint64_t counters[SW_COUNT_MAX]);
int sw_kernel_hits(struct sw_kernel *kernel, unsigned int slot, unsigned int n_rules,
		   uint64_t hits[SW_RULES_MAX]);

/* Makes `local` hold exactly these addresses (which it sorts): new ones are added before old ones go.
   0 or -errno. */
int sw_kernel_local(struct sw_kernel *kernel, uint8_t (*addresses)[16], size_t n);
uint32_t sw_kernel_local_size(const struct sw_kernel *kernel); /* how many there is room for */

/* ---- events ---- */

/* An fd that is readable while a record waits, borrowed, and the reading of those that wait: `record` is called
   for each, up to a number that keeps nothing else waiting for long. Returns how many were read. */
int sw_kernel_events_fd(const struct sw_kernel *kernel);
int sw_kernel_events_open(struct sw_kernel *kernel,
			  void (*record)(void *data, const void *bytes, size_t size), void *data,
			  struct sw_fault *fault);
unsigned int sw_kernel_events_read(struct sw_kernel *kernel);

/* Bytes that wait in the ring to be read, and its size; zeros while it is not open. */
void sw_kernel_events_lag(const struct sw_kernel *kernel, uint64_t *waiting, uint64_t *size);

/* The account of events (struct sw_head): one more is in hand, of the ring (called while `record` runs)
   or of the daemon's own making. It outlives a daemon that is killed. */
void sw_kernel_took(struct sw_kernel *kernel, bool of_ring);

/* ---- connections and their first bytes ---- */

/* The same for the ring buffer `samples`: `bytes` is a struct sw_sample and what follows it. They lie
   in the ring itself and may hold what a pretender sent, so nothing of them is kept elsewhere without
   being wiped. */
int sw_kernel_samples_fd(const struct sw_kernel *kernel);
int sw_kernel_samples_open(struct sw_kernel *kernel,
			   void (*sample)(void *data, const void *bytes, size_t size), void *data,
			   struct sw_fault *fault);
void sw_kernel_samples_read(struct sw_kernel *kernel);

void sw_kernel_samples_lag(const struct sw_kernel *kernel, uint64_t *waiting, uint64_t *size);

/* Overwrites everything that was read from `samples` with zeros; reads what waits there, too. Not from
   within `sample`. 0 or -errno. */
int sw_kernel_samples_wipe(struct sw_kernel *kernel);

/* The map `flows`: one entry (-ENOENT: none), or all of them, malloc'ed. 0 or -errno. */
int sw_kernel_flow(struct sw_kernel *kernel, uint64_t cookie, struct sw_flow *flow);
int sw_kernel_flows(struct sw_kernel *kernel, struct sw_flow **flows, size_t *n);

#endif
