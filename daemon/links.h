/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * links.h - network interfaces of the daemon's network namespace, as they come, change and go. net_links.c,
 * which has it all, is libnl's second and last place.
 */
#ifndef SW_LINKS_H
#define SW_LINKS_H

#include <net/if.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "daemon/fault.h"

struct sw_link_info {
	uint32_t index;
	char name[IF_NAMESIZE];
	char kind[16]; /* "veth", "vlan", "tun", ...; empty: hardware */
	uint16_t type; /* ARPHRD_* */
	bool up;
};

/* A subscription. `changed` is called for each interface that was made, renamed or changed, `gone` for each that
   was removed or moved to another namespace. */
struct sw_links;
struct sw_links_calls {
	void *data;
	void (*changed)(void *data, const struct sw_link_info *link);
	void (*gone)(void *data, uint32_t index);
	void (*overrun)(void *data); /* messages were lost: read the list anew */
};

int sw_links_open(const struct sw_links_calls *calls, struct sw_links **links,
		  struct sw_fault *fault);
void sw_links_close(struct sw_links *links);
int sw_links_fd(const struct sw_links *links);

/* Reads what waits and calls; never blocks. */
void sw_links_drain(struct sw_links *links);

/* All there are now, malloc'ed. 0 or -1. */
int sw_links_list(struct sw_link_info **list, size_t *n, struct sw_fault *fault);

#endif
