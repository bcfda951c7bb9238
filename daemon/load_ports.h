/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * load_ports.h - which ports the programs on packets need not ask about: what is in the maps for them to see before
 * they look at a policy. Told of both slots at once, so that it holds before and after `active` turns.
 */
#ifndef SW_LOAD_PORTS_H
#define SW_LOAD_PORTS_H

#include "bpf/abi.h"

/* sw_head.edge_named of the policies in its slots. */
void sw_ports_edge_named(const struct sw_head *head, __u64 named[static 65536 / 64]);

/* The map `unasked` of the policies in its slots and of sw_head.elsewhere. */
void sw_ports_unasked(const struct sw_head *head, struct sw_unasked *unasked);

#endif
