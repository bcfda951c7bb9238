/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "daemon/wire/layers.h"

/* What a capture of all devices has in place of the Ethernet header; tags follow it. */
static bool read_cooked(struct sw_bytes *bytes, size_t head, size_t type, struct sw_packet *packet)
{
	if (bytes->n < head)
		return false;
	packet->ether = sw_parse_u16(bytes->at + type);
	packet->at = (uint32_t)head;
	return !sw_parse_tags(bytes, packet);
}

/* The header before IP, by kind. Returns false when there is none that can be read. */
static bool read_link(struct sw_bytes *bytes, enum sw_layer layer, struct sw_packet *packet)
{
	switch (layer) {
	case SW_LAYER_ETHERNET:
		return !sw_parse_ethernet(bytes, packet);
	case SW_LAYER_COOKED:
		return read_cooked(bytes, 16, 14, packet);
	case SW_LAYER_COOKED2:
		return read_cooked(bytes, 20, 0, packet);
	default:
		break;
	}
	packet->at = layer == SW_LAYER_FAMILY ? 4 : 0;
	if (bytes->n <= packet->at)
		return false;
	/* The families' numbers differ between systems; the first digit of IP does not. */
	packet->ether = bytes->at[packet->at] >> 4 == 6 ? SW_ETHER_IPV6 : SW_ETHER_IPV4;
	return true;
}

/* Bytes of payload that the packet had when it was captured. A length of zero is that of a packet
   which the network card cuts up. */
static size_t claimed(const struct sw_packet *packet, uint32_t ip_at, size_t whole)
{
	bool unsaid = !packet->end || packet->end == ip_at;

	if (unsaid)
		return whole > packet->at ? whole - packet->at : 0;
	return packet->payload;
}

bool sw_layers_read(struct sw_bytes *bytes, enum sw_layer layer, size_t whole,
		    struct sw_packet *packet, size_t *payload)
{
	uint32_t ip_at;

	sw_parse_begin(packet);
	if (!read_link(bytes, layer, packet))
		return false;
	ip_at = packet->at;
	sw_parse_ip(bytes, packet);
	*payload = claimed(packet, ip_at, whole);
	return true;
}
