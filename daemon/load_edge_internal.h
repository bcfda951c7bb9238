/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * load_edge_internal.h - shared by load_edge*.c alone.
 */
#ifndef SW_LOAD_EDGE_INTERNAL_H
#define SW_LOAD_EDGE_INTERNAL_H

#include "daemon/load_edge.h"
#include "daemon/load_internal.h"

/* The edge's own maps, in the order in which they are pinned: gates before flows, as new gates under old
   flows are refused by the programs, old gates under new flows might not be. */
enum sw_edge_map {
	SW_EDGE_MAP_INTERFACES = 0,
	SW_EDGE_MAP_SECRET,
	SW_EDGE_MAP_WORK,
	SW_EDGE_MAP_ANSWERS,
	SW_EDGE_MAP_LEAVES,
	SW_EDGE_MAP_LISTED,
	SW_EDGE_MAP_BUDGET,
	SW_EDGE_MAP_SOURCES,
	SW_EDGE_MAP_GATES,
	SW_EDGE_MAP_FLOWS,
	SW_EDGE_MAP_MAX
};

extern const char *const sw_edge_map_names[SW_EDGE_MAP_MAX];

/* The two objects, with a program each. */
enum sw_edge_side { SW_EDGE_XDP = 0, SW_EDGE_TC, SW_EDGE_SIDES };

extern const char *const sw_edge_programs[SW_EDGE_SIDES];  /* in the object, and as pinned */
extern const char *const sw_edge_constants[SW_EDGE_SIDES]; /* its .rodata, as pinned */

/* How an interface was attached to, to put it back likewise. */
struct sw_edge_place {
	uint32_t interface;
	uint32_t flags;        /* XDP_FLAGS_DRV_MODE or XDP_FLAGS_SKB_MODE */
	enum sw_xdp_mode mode; /* that was asked for */
};

struct sw_edge_program {
	int fd; /* owned */
	uint32_t id;
};

struct sw_edge_objects {
	struct sw_edge *xdp;
	struct sw_edge_tc *tc;
	struct bpf_object *objects[SW_EDGE_SIDES]; /* of these two */
	struct bpf_map *maps[SW_EDGE_MAP_MAX];     /* of the XDP object; the other has the same */
	bool adopted[SW_EDGE_MAP_MAX];
	struct sw_edge_program programs[SW_EDGE_SIDES];
	struct sw_edge_program
		previous[SW_EDGE_SIDES]; /* pinned before; fd -1: none, or the same */
	int64_t elsewhere; /* flows that the counters take for live and that are not in this table, */
	bool compared;     /* once it was read */
	struct sw_edge_place *places; /* by interface */
	size_t n_places, room;
};

static inline int sw_edge_map_fd(const struct sw_kernel *kernel, enum sw_edge_map map)
{
	return bpf_map__fd(kernel->edge->maps[map]);
}

/* load_edge_ask.c: what the kernel says over netlink. */

/* The XDP program of an interface; id 0: none. 0 or -errno. */
struct sw_edge_xdp {
	uint32_t id;
	bool native;
};

int sw_edge_ask_xdp(uint32_t interface, struct sw_edge_xdp *xdp);

/* Filters at clsact: ours, which has handle and priority of ours (id 0: none), and how many others, with
   which the priority itself counts as one. 0 or -errno. */
struct sw_edge_filters {
	uint32_t id;
	unsigned int others;
};

#define SW_EDGE_FILTER_HANDLE 0x5357u /* "SW" */
#define SW_EDGE_FILTER_PRIORITY 1u /* first: one before it could end the walk through the filters */

int sw_edge_ask_filters(uint32_t interface, struct sw_edge_filters *filters);

/* Is the queueing discipline that filters are put into clsact? It may be `ingress`, which has no egress; the kernel
   takes a filter for egress there and runs it at ingress. -ENOENT: there is none. 0 or -errno. */
int sw_edge_ask_clsact(uint32_t interface, bool *clsact);

/* load_edge_tc.c: what a call has changed, so that it can be undone. */
struct sw_edge_filter_undo {
	bool qdisc;   /* the queueing discipline was made */
	bool made;    /* the filter was */
	uint32_t was; /* the program it had; 0: that is as it was */
};

/* The filter stands with this program afterwards. 0 or -errno, -EBUSY: `ingress` is there; then all is as it
   was. */
int sw_edge_filter_put(uint32_t interface, int program, uint32_t id,
		       struct sw_edge_filter_undo *undo);

/* Takes it off; with `qdisc` the queueing discipline too, when nobody else has a filter there. The interface may
   be gone. 0 or -errno. */
int sw_edge_filter_remove(uint32_t interface, bool qdisc);

/* load_edge_pins.c: PIN_DIR/link_xdp_INTERFACE. */
#define SW_EDGE_LINK_SIZE 32
void sw_edge_link_name(char name[static SW_EDGE_LINK_SIZE], uint32_t interface);

/* The interfaces of all such names, sorted, malloc'ed. 0 or -errno. */
int sw_edge_links(const char *pin_dir, uint32_t **interfaces, size_t *n);

/* Opens one; -1: there is none. */
int sw_edge_link_open(const char *pin_dir, uint32_t interface, struct bpf_link_info *info);

/* Takes the link of an interface off whatever it is on, its pin and the filter. 0 or -errno. */
int sw_edge_take_off(const char *pin_dir, uint32_t interface);

#endif
