/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * parse_link.h - what stands before IP: Ethernet with up to two tags, a PPPoE session (RFC 2516), or nothing.
 * Pure, like parse.h, which includes it.
 */
#ifndef SW_PARSE_LINK_H
#define SW_PARSE_LINK_H

/* PPP protocols (RFC 1661). Those of SW_PPP_UNREAD carry IP in a form that is not read here. */
enum sw_ppp {
	SW_PPP_IPV4 = 0x21,
	SW_PPP_IPV6 = 0x57,
	SW_PPP_ROHC_SMALL = 0x03,
	SW_PPP_ROHC_LARGE = 0x05,
	SW_PPP_VJ_COMPRESSED = 0x2d,
	SW_PPP_VJ_UNCOMPRESSED = 0x2f,
	SW_PPP_MULTILINK = 0x3d,
	SW_PPP_ENCRYPTED = 0x53,
	SW_PPP_LINK_ENCRYPTED = 0x55,
	SW_PPP_LINK_COMPRESSED = 0xfb,
	SW_PPP_COMPRESSED = 0xfd,
};

SW_PARSE_INLINE int sw_parse_ppp_unread(__u32 protocol)
{
	return protocol == SW_PPP_ROHC_SMALL || protocol == SW_PPP_ROHC_LARGE ||
	       protocol == SW_PPP_VJ_COMPRESSED || protocol == SW_PPP_VJ_UNCOMPRESSED ||
	       protocol == SW_PPP_MULTILINK || protocol == SW_PPP_ENCRYPTED ||
	       protocol == SW_PPP_LINK_ENCRYPTED || protocol == SW_PPP_LINK_COMPRESSED ||
	       protocol == SW_PPP_COMPRESSED;
}

SW_PARSE_INLINE int sw_parse_is_tag(__u16 ether)
{
	return ether == SW_ETHER_VLAN || ether == SW_ETHER_QINQ || ether == SW_ETHER_QINQ_OLD;
}

/* Reads a PPPoE session header and the PPP protocol. 0: packet->ether and packet->at are set. */
SW_PARSE_INLINE int sw_parse_pppoe(void *from, struct sw_packet *packet)
{
	__u8 bytes[8];
	__u32 protocol, length = 8;

	packet->verdict = SW_PARSE_TRUNCATED;
	if (SW_PARSE_LOAD(from, packet->at, bytes, sizeof(bytes)) < 0)
		return -1;
	packet->verdict = SW_PARSE_BAD_HEADER;
	if (bytes[0] != 0x11 || bytes[1])
		return -1;
	packet->verdict = SW_PARSE_NOT_IP;
	packet->session = sw_parse_u16(bytes + 2);
	protocol = sw_parse_u16(bytes + 6);
	/* One byte is enough for a protocol that is odd and has no upper half. */
	if (bytes[6] & 1) {
		protocol = bytes[6];
		length = 7;
	}
	packet->pppoe = (__u8)length;
	packet->at += length;
	packet->ether = 0;
	if (protocol == SW_PPP_IPV4)
		packet->ether = SW_ETHER_IPV4;
	else if (protocol == SW_PPP_IPV6)
		packet->ether = SW_ETHER_IPV6;
	if (!sw_parse_ppp_unread(protocol))
		return 0;
	packet->verdict = SW_PARSE_LINK_UNREAD;
	return -1;
}

/* Is what follows LLC and SNAP (RFC 1042) before IP, or before what IP may follow? Few hosts read that, some
   routers do. */
SW_PARSE_INLINE int sw_parse_is_snap(void *from, const struct sw_packet *packet)
{
	__u8 bytes[8];
	__u16 ether;

	/* Smaller numbers are a length. */
	if (packet->ether >= 0x600 || SW_PARSE_LOAD(from, packet->at, bytes, sizeof(bytes)) < 0)
		return 0;
	ether = sw_parse_u16(bytes + 6);
	return sw_parse_u32(bytes) == 0xaaaa0300 && !bytes[4] && !bytes[5] &&
	       (ether == SW_ETHER_IPV4 || ether == SW_ETHER_IPV6 || ether == SW_ETHER_PPPOE ||
		sw_parse_is_tag(ether));
}

/* Behind an EtherType: its tags and what PPPoE puts behind them. 0: packet->ether and packet->at are set. */
SW_PARSE_INLINE int sw_parse_tags(void *from, struct sw_packet *packet)
{
	__u8 bytes[4];

#pragma GCC unroll 2
	for (int i = 0; i < SW_PARSE_VLAN_MAX; i++) {
		if (!sw_parse_is_tag(packet->ether))
			break;
		if (SW_PARSE_LOAD(from, packet->at, bytes, 4) < 0) {
			packet->verdict = SW_PARSE_TRUNCATED;
			return -1;
		}
		packet->vlan[i] = sw_parse_u16(bytes) & 0xfff;
		packet->ether = sw_parse_u16(bytes + 2);
		packet->at += 4;
	}
	if (sw_parse_is_tag(packet->ether) || sw_parse_is_snap(from, packet)) {
		packet->verdict = SW_PARSE_LINK_UNREAD;
		return -1;
	}
	return packet->ether == SW_ETHER_PPPOE ? sw_parse_pppoe(from, packet) : 0;
}

/* Reads the Ethernet header and what follows it before IP. 0: packet->ether and packet->at are set. */
SW_PARSE_INLINE int sw_parse_ethernet(void *from, struct sw_packet *packet)
{
	__u8 bytes[2];

	if (SW_PARSE_LOAD(from, 12, bytes, sizeof(bytes)) < 0) {
		packet->verdict = SW_PARSE_TRUNCATED;
		return -1;
	}
	packet->ether = sw_parse_u16(bytes);
	packet->at = 14;
	return sw_parse_tags(from, packet);
}

/* A packet without a link header: the first digit says which IP it is. */
SW_PARSE_INLINE int sw_parse_bare(void *from, struct sw_packet *packet)
{
	__u8 first;

	if (SW_PARSE_LOAD(from, 0, &first, 1) < 0) {
		packet->verdict = SW_PARSE_TRUNCATED;
		return -1;
	}
	packet->ether = first >> 4 == 4 ? SW_ETHER_IPV4 : first >> 4 == 6 ? SW_ETHER_IPV6 : 0;
	packet->at = 0;
	return 0;
}

#endif
