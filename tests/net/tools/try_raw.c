/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * try_raw.c - SYN packets made by hand on raw IP sockets: plain, with options, with extension
 * headers, in fragments. args[0] is the source address. "connected" means that the kernel took the
 * packet; whether it arrived, only the far side knows.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/ip.h>
#include <netinet/ip6.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "try.h"

#define SYN_SOURCE_PORT 31025
#define FRAGMENT_ID 0x25

struct packet {
	uint8_t data[256];
	size_t length;
};

static void put(struct packet *packet, const void *data, size_t length)
{
	if (length)
		memcpy(packet->data + packet->length, data, length);
	packet->length += length;
}

static uint32_t sum_words(uint32_t sum, const void *data, size_t length)
{
	const uint8_t *bytes = data;

	for (size_t i = 0; i + 1 < length; i += 2)
		sum += (uint32_t)bytes[i] << 8 | bytes[i + 1];
	return sum;
}

static uint16_t fold(uint32_t sum)
{
	while (sum >> 16)
		sum = (sum & 0xffff) + (sum >> 16);
	return htons((uint16_t)~sum);
}

static const void *address_of(const struct target *target, size_t *length)
{
	*length = target->family == AF_INET ? 4 : 16;
	if (target->family == AF_INET)
		return &((const struct sockaddr_in *)&target->addr)->sin_addr;
	return &((const struct sockaddr_in6 *)&target->addr)->sin6_addr;
}

static int source_of(const struct target *target, uint8_t source[static 16])
{
	if (target->n_args < 1 || inet_pton(target->family, target->args[0], source) != 1)
		return -EINVAL;
	return 0;
}

/* The SYN's own 20 bytes, checksum included. */
static void make_syn(const struct target *target, const uint8_t *source, struct tcphdr *syn)
{
	size_t length;
	const void *destination = address_of(target, &length);
	uint32_t sum;

	*syn = (struct tcphdr){.source = htons(SYN_SOURCE_PORT),
			       .dest = htons(target->port),
			       .seq = htonl(0x25252525),
			       .doff = 5,
			       .syn = 1,
			       .window = htons(1024)};
	sum = sum_words(IPPROTO_TCP + sizeof(*syn), source, length);
	sum = sum_words(sum, destination, length);
	syn->check = fold(sum_words(sum, syn, sizeof(*syn)));
}

static int send_packet(int fd, const struct target *target, const struct packet *packet)
{
	struct target to = *target;

	if (target->family == AF_INET6) /* a port here would be taken for a protocol */
		((struct sockaddr_in6 *)&to.addr)->sin6_port = 0;
	if (sendto(fd, packet->data, packet->length, 0, (const struct sockaddr *)&to.addr,
		   to.length) < 0)
		return -errno;
	return 0;
}

static int raw_socket(const struct target *target, int protocol)
{
	int fd = socket(target->family, SOCK_RAW | SOCK_CLOEXEC, protocol);

	if (fd < 0)
		return errno == EPERM ? TRY_SKIP : -errno;
	return fd;
}

/* The kernel writes the IP header, the program the TCP header. */
static int way_raw(const struct target *target)
{
	struct packet packet = {.length = 0};
	struct tcphdr syn;
	uint8_t source[16];
	int fd = raw_socket(target, IPPROTO_TCP);

	if (fd < 0 || source_of(target, source) < 0)
		return fd < 0 ? fd : -EINVAL;
	make_syn(target, source, &syn);
	put(&packet, &syn, sizeof(syn));
	return send_packet(fd, target, &packet);
}

/* IPv4 header with `options` (a multiple of four bytes); offset in units of eight bytes. */
static void put_ip4(struct packet *packet, const struct target *target, const uint8_t *source,
		    const void *options, size_t n_options, size_t payload, unsigned int fragment)
{
	size_t length;
	struct iphdr ip = {.version = 4,
			   .ihl = (unsigned int)(5 + n_options / 4) & 15,
			   .ttl = 64,
			   .id = htons(FRAGMENT_ID),
			   .tot_len = htons((uint16_t)(20 + n_options + payload)),
			   .frag_off = htons((uint16_t)fragment),
			   .protocol = IPPROTO_TCP};

	memcpy(&ip.saddr, source, 4);
	memcpy(&ip.daddr, address_of(target, &length), 4);
	ip.check = fold(sum_words(sum_words(0, &ip, sizeof(ip)), options, n_options));
	put(packet, &ip, sizeof(ip));
	put(packet, options, n_options);
}

static void put_ip6(struct packet *packet, const struct target *target, const uint8_t *source,
		    uint8_t next, size_t payload)
{
	size_t length;
	struct ip6_hdr ip = {.ip6_flow = htonl(6u << 28),
			     .ip6_plen = htons((uint16_t)payload),
			     .ip6_nxt = next,
			     .ip6_hlim = 64};

	memcpy(&ip.ip6_src, source, 16);
	memcpy(&ip.ip6_dst, address_of(target, &length), 16);
	put(packet, &ip, sizeof(ip));
}

static int send_whole(const struct target *target, const void *options, size_t n_options)
{
	struct packet packet = {.length = 0};
	struct tcphdr syn;
	uint8_t source[16];
	int fd = raw_socket(target, IPPROTO_RAW);

	if (fd < 0 || source_of(target, source) < 0)
		return fd < 0 ? fd : -EINVAL;
	make_syn(target, source, &syn);
	if (target->family == AF_INET)
		put_ip4(&packet, target, source, options, n_options, sizeof(syn), 0);
	else
		put_ip6(&packet, target, source, n_options ? IPPROTO_HOPOPTS : IPPROTO_TCP,
			n_options + sizeof(syn));
	if (target->family == AF_INET6)
		put(&packet, options, n_options);
	put(&packet, &syn, sizeof(syn));
	return send_packet(fd, target, &packet);
}

static int way_raw_header(const struct target *target)
{
	return send_whole(target, NULL, 0);
}

/* IPv4: options. IPv6: hop-by-hop, routing-free, then destination options, then TCP. */
static int way_raw_options(const struct target *target)
{
	static const uint8_t options[8] = {1, 1, 1, 1, 1, 1, 1, 0};
	static const uint8_t chain[16] = {IPPROTO_DSTOPTS, 0, 1, 4, 0, 0, 0, 0,
					  IPPROTO_TCP,     0, 1, 4, 0, 0, 0, 0};

	if (target->family == AF_INET)
		return send_whole(target, options, sizeof(options));
	return send_whole(target, chain, sizeof(chain));
}

static int send_fragments4(int fd, const struct target *target, const uint8_t *source)
{
	struct packet first = {.length = 0}, second = {.length = 0};
	struct tcphdr syn;

	make_syn(target, source, &syn);
	put_ip4(&first, target, source, NULL, 0, 8, IP_MF);
	put(&first, &syn, 8);
	put_ip4(&second, target, source, NULL, 0, 12, 1);
	put(&second, (const uint8_t *)&syn + 8, 12);
	int result = send_packet(fd, target, &first);
	int later = send_packet(fd, target, &second);
	return result ? result : later;
}

/* `lead` bytes of destination options stand before TCP inside the fragments; the first fragment
   holds `split` bytes of what is fragmented. */
static int send_fragments6(int fd, const struct target *target, const uint8_t *source, size_t lead,
			   size_t split)
{
	static const uint8_t options[8] = {IPPROTO_TCP, 0, 1, 4, 0, 0, 0, 0};
	struct packet whole = {.length = 0}, first = {.length = 0}, second = {.length = 0};
	struct tcphdr syn;
	struct ip6_frag head = {.ip6f_nxt = lead ? IPPROTO_DSTOPTS : IPPROTO_TCP,
				.ip6f_offlg = IP6F_MORE_FRAG,
				.ip6f_ident = htonl(FRAGMENT_ID)};

	make_syn(target, source, &syn);
	put(&whole, options, lead);
	put(&whole, &syn, sizeof(syn));
	put_ip6(&first, target, source, IPPROTO_FRAGMENT, sizeof(head) + split);
	put(&first, &head, sizeof(head));
	put(&first, whole.data, split);
	head.ip6f_offlg = htons((uint16_t)split);
	put_ip6(&second, target, source, IPPROTO_FRAGMENT, sizeof(head) + whole.length - split);
	put(&second, &head, sizeof(head));
	put(&second, whole.data + split, whole.length - split);
	int result = send_packet(fd, target, &first);
	int later = send_packet(fd, target, &second);
	return result ? result : later;
}

static int way_raw_fragments(const struct target *target)
{
	uint8_t source[16];
	int fd = raw_socket(target, IPPROTO_RAW);

	if (fd < 0 || source_of(target, source) < 0)
		return fd < 0 ? fd : -EINVAL;
	if (target->family == AF_INET)
		return send_fragments4(fd, target, source);
	return send_fragments6(fd, target, source, 0, 8);
}

/* IPv6 only: the first fragment ends before the TCP header begins, so it shows no port. */
static int way_raw_hidden(const struct target *target)
{
	uint8_t source[16];
	int fd = raw_socket(target, IPPROTO_RAW);

	if (fd < 0 || source_of(target, source) < 0 || target->family != AF_INET6)
		return fd < 0 ? fd : -EINVAL;
	return send_fragments6(fd, target, source, 8, 8);
}

const struct way raw_ways[] = {
	{"raw", way_raw, "SOURCE: a SYN on a raw TCP socket"},
	{"raw-header", way_raw_header, "SOURCE: a SYN with an IP header of one's own"},
	{"raw-options", way_raw_options, "SOURCE: with IP options or IPv6 extension headers"},
	{"raw-fragments", way_raw_fragments, "SOURCE: in two fragments"},
	{"raw-hidden", way_raw_hidden, "SOURCE: IPv6, the TCP header in the second fragment"},
	{0},
};
