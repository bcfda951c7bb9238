/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * edge.h - which interfaces the edge blocks of a policy mean: finds them as they come, are renamed and go, tells
 * the programs what each of them is (the map `interfaces`), attaches and detaches.
 *
 * Putting a policy in force goes
 *     sw_edges_ready()     the programs are there, if the policy has an edge block
 *     sw_edges_prepare()   what it names is known and carries the programs; on failure all is as before
 *     ... fill, switch ...
 *     sw_edges_settle()    whichever policy is in force now: what it does not name is let go
 */
#ifndef SW_EDGE_H
#define SW_EDGE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "daemon/fault.h"
#include "daemon/links.h"
#include "daemon/load.h"
#include "daemon/load_edge.h"

struct sw_edges;

struct sw_edges_calls {
	void *data;
	/* Something that people must know of: an interface that is not guarded, or was not. */
	void (*problem)(void *data, const char *text);
	void (*note)(void *data, const char *text);
};

/* An interface that there is. */
struct sw_edges_interface {
	struct sw_link_info link;
	struct sw_interface entry; /* as in the map, when some policy names it */
	bool written;              /* it is there */
	bool attached;
	struct sw_edge_hook hook;
	char problem
		[480]; /* why it is not guarded though it should be; empty: it is, or need not */
};

/* Reads the list of interfaces and watches it from then on. `flows`: entries of the flow table. */
int sw_edges_open(struct sw_kernel *kernel, uint32_t flows, enum sw_xdp_mode mode,
		  const struct sw_edges_calls *calls, struct sw_edges **edges,
		  struct sw_fault *fault);
void sw_edges_close(struct sw_edges *edges);

/* Readable: interfaces have changed. sw_edges_drain() then does what follows from it. */
int sw_edges_fd(const struct sw_edges *edges);
void sw_edges_drain(struct sw_edges *edges);

/* Loads the programs when the policy (NULL: none in particular) has an edge block, or something of the edge is in
   the kernel already. 0 or -1. */
int sw_edges_ready(struct sw_edges *edges, const struct sw_policy *policy, struct sw_fault *fault);

/* Before `policy` comes into force in this slot, which is at rest. 0; -1: an interface that it names cannot be
   guarded. Without `fault` that is a problem as it is at a start, and the others are guarded: a way back is not
   to be barred. */
int sw_edges_prepare(struct sw_edges *edges, unsigned int slot, const struct sw_policy *policy,
		     struct sw_fault *fault);
void sw_edges_settle(struct sw_edges *edges);

/* At the end of a start: from now on interfaces are attached, and those of the policy in force at once. What
   cannot be guarded is a problem, and tried again. */
void sw_edges_start(struct sw_edges *edges);

/* Nothing is attached any more: enforcement was taken off. NULL: nothing happens. */
void sw_edges_stop(struct sw_edges *edges);

/* Asks the kernel what is attached, repairs and reports; tries again what could not be done. */
void sw_edges_check(struct sw_edges *edges);

/* All there are. */
const struct sw_edges_interface *sw_edges_list(const struct sw_edges *edges, size_t *n);

/* NULL: there is none of this index. */
const struct sw_edges_interface *sw_edges_find(const struct sw_edges *edges, uint32_t index);

/* What a policy means for an interface: the part of one slot of struct sw_interface. False: no block names it.
   *keep_seconds is the shortest of the blocks'. Pure. */
bool sw_edges_match(const struct sw_policy *policy, const struct sw_link_info *link,
		    struct sw_vec *rows, bool *enforced, uint32_t *keep_seconds);

#endif
