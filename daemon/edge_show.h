/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * edge_show.h - what the edge knows, as objects of proto.h. Pure.
 */
#ifndef SW_EDGE_SHOW_H
#define SW_EDGE_SHOW_H

#include <jansson.h>
#include <stdint.h>

#include "bpf/abi_edge.h"
#include "daemon/edge.h"

struct sw_edge_about {
	uint64_t boot_ns;                /* CLOCK_REALTIME minus CLOCK_BOOTTIME */
	uint64_t now_ns;                 /* CLOCK_BOOTTIME */
	const char *interface;           /* NULL: it is not there any more */
	const struct sw_rule_info *rule; /* of a flow; NULL: not known any more */
	uint64_t generation;             /* of a flow: whole; 0: not known any more */
	const char *cipher;              /* of a flow in TLS: its name */
};

/* NULL: out of memory. */
json_t *sw_edge_flow_json(const struct sw_edge_flow *flow, const struct sw_edge_about *about);
json_t *sw_edge_source_json(const struct sw_edge_source *source, const struct sw_edge_about *about);

/* `slot`: the one in force. */
json_t *sw_edge_interface_json(const struct sw_edges_interface *item, unsigned int slot,
			       const struct sw_edge_about *about);

#endif
