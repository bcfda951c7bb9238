/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * load_edge.h - the edge's part of load.h: its programs on interfaces, its maps. They are made when the first
 * policy with an edge block comes, as the flow table takes memory; and go on from what is pinned.
 *
 * Of an interface that is guarded two things are attached: XDP by a link that is pinned, and a TC filter at
 * clsact egress, where the gate reads what servers say.
 */
#ifndef SW_LOAD_EDGE_H
#define SW_LOAD_EDGE_H

#include <net/if.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "bpf/abi_edge.h"
#include "daemon/fault.h"
#include "daemon/load.h"

enum sw_xdp_mode { SW_XDP_AUTO = 0, SW_XDP_NATIVE, SW_XDP_GENERIC };

/* Is something of the edge open or pinned? What is pinned can be listed and detached without being open. */
bool sw_edge_is_open(const struct sw_kernel *kernel);

/* Opens, loads, takes over or makes what the edge needs; nothing is attached. `flows`: entries of the table. Done
   already: nothing happens. A pinned table of another size is replaced, its flows are then unknown (*replaced); so
   they are after a start that replaced it and was broken off. 0 or -1. */
int sw_edge_open(struct sw_kernel *kernel, uint32_t flows, bool *replaced, struct sw_fault *fault);
void sw_edge_close(
	struct sw_kernel *kernel); /* what this process holds; called by sw_kernel_close() */

/* Closes it and removes its pins, so that its memory is given back. False: something is attached, all stays. */
bool sw_edge_release(struct sw_kernel *kernel);

/* What is attached to an interface. */
struct sw_edge_hook {
	uint32_t interface;
	bool xdp, tc; /* ours run there, as the kernel says */
	bool native;  /* XDP in the driver, else generic */
	uint32_t link_id, program_id;
	char problem[160]; /* empty: none */
};

/*
 * Attaches to an interface, or brings what is attached there to the programs of this daemon. The entry in
 * `interfaces` must have been written. With SW_XDP_AUTO native mode is tried first, but for drivers in which a
 * native program's answers get lost (`driver`, as ethtool or the kind of the link names it: "veth"). What is
 * attached stays in its mode, since to change it would let packets through undecided; `problem` says so when
 * another was asked for. 0; -1 with *fault: somebody else's XDP program is there (named), a queueing discipline or
 * filter of somebody else is in the way, or the kernel refused; then all on it is as it was before.
 */
int sw_edge_attach(struct sw_kernel *kernel, uint32_t interface, const char *name,
		   const char *driver, enum sw_xdp_mode mode, struct sw_edge_hook *hook,
		   struct sw_fault *fault);

/* Takes both off; the interface may be gone. 0 or -errno. */
int sw_edge_detach(struct sw_kernel *kernel, uint32_t interface);

/* Asks the kernel what is true of an interface that was attached; puts back what is missing (*repaired), in the
   same mode. `problem` says what was found, and when it could not be put back, why; hook->xdp and hook->tc are what
   is true afterwards. */
void sw_edge_check(struct sw_kernel *kernel, uint32_t interface, struct sw_edge_hook *hook,
		   bool *repaired);

/* Interfaces that pins of ours stand for, sorted, malloc'ed. Of those that are gone, or in another network
   namespace under another number, the pin and the entry in `interfaces` are removed. 0 or -errno. */
int sw_edge_attached(struct sw_kernel *kernel, uint32_t **interfaces, size_t *n);

/* The map `interfaces`. 0 or -errno. */
int sw_edge_set_interface(struct sw_kernel *kernel, uint32_t interface,
			  const struct sw_interface *value);
int sw_edge_get_interface(struct sw_kernel *kernel, uint32_t interface, struct sw_interface *value);
int sw_edge_remove_interface(struct sw_kernel *kernel, uint32_t interface);

/* The answers of a slot and what its lists of sources hold, from the image; called by sw_kernel_fill() when the edge
   is open. */
int sw_edge_fill(struct sw_kernel *kernel, unsigned int slot, const struct sw_image *image);

/* Prefixes as an image has them: of two that lie in each other the longer comes behind the shorter. */
struct sw_edge_prefixes {
	const struct sw_prefix_key *keys;
	const uint32_t *classes;
	size_t n;
};

/* Notes the nets of 24 bits that sources of IPv4 among these prefixes lie in; `listed` is zeros before. */
void sw_edge_list(struct sw_edge_listed *listed, const struct sw_edge_prefixes *prefixes);

/* And then writes the leaves of these nets, listed->n_leaves, which are zeros before. */
void sw_edge_list_leaves(const struct sw_edge_listed *listed,
			 const struct sw_edge_prefixes *prefixes, struct sw_edge_leaves *leaves);

/* Puts both into a slot of the maps `edge_listed` and `edge_leaves`, which must not be in force. 0 or -errno. */
int sw_edge_put_listed(int listed_fd, int leaves_fd, uint32_t slot, uint64_t generation,
		       const struct sw_edge_prefixes *prefixes);

struct sw_edge_room {
	uint32_t flows, gates, sources; /* entries there are */
	uint32_t flows_used, gates_used;
};
void sw_edge_room(struct sw_kernel *kernel, struct sw_edge_room *room);

/* Of it what no table has to be walked for: flows there are, and room for them. Zeros: it is not open. */
void sw_edge_flows_room(struct sw_kernel *kernel, uint64_t *used, uint64_t *size);

/* Entries in use, live ones first, then the newest, at most `most`, malloc'ed; *left_out: how many more there are.
   This and the other readers of tables read events meanwhile, as a large table takes a while. 0 or -errno. */
int sw_edge_flows(struct sw_kernel *kernel, size_t most, struct sw_edge_flow **flows, size_t *n,
		  size_t *left_out);

/* Counts the live ones, from which on the counters tell how many there are (room.flows_used): they outlive the
   table. Done when that is first asked for; again when programs went on with an earlier table after sw_edge_open(). */
void sw_edge_compare(struct sw_kernel *kernel);

/* Sources, those with most refusals first, malloc'ed. 0 or -errno. */
int sw_edge_sources(struct sw_kernel *kernel, size_t most, struct sw_edge_source **sources,
		    size_t *n);

#endif
