/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "daemon/load_ports.h"

#include <arpa/inet.h>
#include <stdint.h>
#include <string.h>

#include "bpf/edge_match.h"

void sw_ports_edge_named(const struct sw_head *head, __u64 named[static 65536 / 64])
{
	memset(named, 0, 65536 / 8);
	for (uint32_t port = 0; port < 65536; port++) {
		uint16_t there = htons((uint16_t)port);

		if (sw_edge_guarded(&head->slot[0], (uint16_t)port) ||
		    sw_edge_guarded(&head->slot[1], (uint16_t)port))
			named[there / 64] |= 1ull << there % 64;
	}
}

void sw_ports_unasked(const struct sw_head *head, struct sw_unasked *unasked)
{
	memset(unasked->to, head->elsewhere ? 0 : 0xff, sizeof(unasked->to));
	memset(unasked->from, 0xff, sizeof(unasked->from));
	/* Ports that share a bit are 256 from each other: four words. */
	for (uint32_t word = 0; word < 65536 / 64; word++)
		for (int slot = 0; slot < 2; slot++) {
			unasked->to[word % 4] &= ~head->slot[slot].guard[word];
			unasked->from[word % 4] &= ~head->slot[slot].serve_guard[word];
		}
}
