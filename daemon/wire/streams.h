/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * streams.h - the packets of a capture as TCP streams, each read by the gate that the kernel runs
 * (bpf/gate.h) and judged by a compiled policy. Nothing is printed and no file is read here.
 *
 * Streams are numbered from 0 in the order of their first packets; a SYN with another initial sequence
 * number than the one its sender had begins a new one between the same ends. The client is who sent
 * the SYN; without one, the side with the higher port, and the first byte that is seen begins its half.
 *
 * What the kernel would drop, as TCP sends it again, is kept and read when its turn comes: segments
 * ahead of a gap. A gap that never closes ends the reading of that side. The hooks in the kernel see
 * packets before they are cut into fragments and after those are put together; of a fragmented packet
 * in a capture the first part is read and the others are missing, a gap.
 *
 * A capture does not say which process sent what: rules with `from` do not match, and `local` is what
 * is sure to be: loopback, and an address that speaks to itself.
 *
 * As forwarded traffic (sw_streams_at_edge) streams are judged by edge blocks: by both addresses and the
 * interface. There TLS is required of what begins with a client's SYN: a stream without one is
 * `unattributed`, as when the time of `existing keep` is over. One of which the client sent a packet in
 * fragments before TLS, and that came no further, is `malformed`.
 */
#ifndef SW_STREAMS_H
#define SW_STREAMS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "daemon/wire/hello.h"
#include "daemon/wire/ja4.h"

/* How many streams are known at a time. Older ones are forgotten, and another packet of theirs begins
   a stream; with this, a capture of any size takes less than 300 MiB. */
#define SW_STREAMS_KNOWN_MAX 262144
#define SW_STREAMS_WAITING_MAX 65536    /* not told yet, as an older one goes on */
#define SW_STREAMS_WATCHED_MAX 4096     /* read at the same time */
#define SW_STREAMS_HELD_MAX (64u << 20) /* bytes of segments ahead of gaps, of all streams */

/* Layer that a packet begins with. */
enum sw_layer {
	SW_LAYER_ETHERNET,
	SW_LAYER_COOKED,  /* Linux "any" device, version 1 */
	SW_LAYER_COOKED2, /* and 2 */
	SW_LAYER_IP,
	SW_LAYER_FAMILY, /* four bytes of address family, in either byte order */
};

/* A stream as it is told when it has ended. Numbers of fixed lists have names in policy.h. */
struct sw_stream {
	uint64_t number;
	uint64_t first_ns;        /* time of its first packet, since 1970 */
	uint8_t src[16], dst[16]; /* IPv4 as ::ffff:a.b.c.d */
	uint16_t src_port, dst_port;

	bool guarded;                 /* a rule names the port */
	unsigned int verdict, reason; /* enum sw_verdict, enum sw_reason */
	uint32_t rule, line;          /* 0: none */
	const char *rule_text;        /* the policy's; "" without a rule */
	unsigned int verb, mechanism; /* of a violation: enum sw_verb, enum sw_mechanism */
	unsigned int verb_length;     /* letters of the verb that were seen */
	bool violation;               /* the gate found the reason: by */
	bool from_server;             /* the server's bytes, or the client's */
	bool incomplete; /* bytes that belong before TLS are missing in the capture, or memory was short:
			    verdict and facts are what could be seen */

	unsigned int
		tls; /* enum sw_tls. STARTTLS: TLS behind SMTP's command; implicit: without it */
	unsigned int first_verb; /* first command in clear that may not come before TLS, 0: none */
	uint16_t tls_version, cipher; /* of the ServerHello; 0: there was none */
	char sni[SW_HELLO_NAME_MAX], alpn[SW_HELLO_NAME_MAX], ja4[SW_JA4_SIZE]; /* "": none */
};

/* What was seen of the capture besides streams. */
struct sw_streams_counts {
	uint64_t packets;
	uint64_t other;     /* no TCP */
	uint64_t unread;    /* headers that cannot be read, or are not all there */
	uint64_t fragments; /* first and later ones */
	uint64_t streams;
	uint64_t forgotten; /* streams that were given up, or forgotten, for memory */
};

struct sw_image;
struct sw_streams;

/* `tell` is called once for each stream, in the order of their numbers. NULL: no memory. The image is
   borrowed. */
struct sw_streams *sw_streams_new(const struct sw_image *image,
				  void (*tell)(void *data, const struct sw_stream *stream),
				  void *data);
void sw_streams_free(struct sw_streams *streams);

/* Before the first packet: all of them came in through this interface of a router. NULL: the first that
   an edge block names. Borrowed. */
void sw_streams_at_edge(struct sw_streams *streams, const char *interface);

/* The next packet: `n` bytes were captured of `whole`. 0 or -ENOMEM. */
int sw_streams_packet(struct sw_streams *streams, enum sw_layer layer, uint64_t time_ns,
		      const uint8_t *bytes, size_t n, size_t whole);

/* There are no more packets: tells every stream that was not told yet. 0 or -ENOMEM. */
int sw_streams_end(struct sw_streams *streams);

void sw_streams_count(const struct sw_streams *streams, struct sw_streams_counts *counts);

#endif
