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

static void ask(__u64 *ports, uint32_t port)
{
	uint32_t bit = SW_UNASKED_BIT(port);

	ports[bit / 64] &= ~(1ull << bit % 64);
}

void sw_ports_unasked(const struct sw_head *head, struct sw_unasked *unasked)
{
	memset(unasked->to, head->elsewhere ? 0 : 0xff, sizeof(unasked->to));
	memset(unasked->from, 0xff, sizeof(unasked->from));
	for (uint32_t port = 0; port < 65536; port++)
		for (int slot = 0; slot < 2; slot++) {
			if (sw_guarded(&head->slot[slot], (uint16_t)port))
				ask(unasked->to, port);
			if (sw_serve_guarded(&head->slot[slot], (uint16_t)port))
				ask(unasked->from, port);
		}
}
