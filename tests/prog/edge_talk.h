/* SPDX-License-Identifier: GPL-2.0-or-later */
/* edge_talk.h - connections through the edge, segment by segment. A step that must pass fails the test. */
#ifndef SW_TEST_EDGE_TALK_H
#define SW_TEST_EDGE_TALK_H

#include "tests/prog/edge_fixture.h"

#define ET_PORT 587
#define ET_PASS ((uint32_t)TC_ACT_UNSPEC) /* of what servers send */

/* Members that are 0 or NULL have the value that ex_segment() gives them; `port`: ET_PORT. */
struct et {
	const char *from, *to;
	uint16_t src_port, port;
	uint32_t client, server; /* sequence numbers of the next bytes */
	uint32_t start;          /* of the client's SYN */
};

/* Sequence numbers of the SYNs are `client` and `server`. */
uint32_t et_syn(struct et *et);        /* XDP_*; client is behind it */
uint32_t et_syn_answer(struct et *et); /* TC_ACT_*; server is behind it */
struct et et_open(struct et et);       /* the whole handshake passes */

/* A segment at the sequence number that is due, which goes on if it passed. */
uint32_t et_send(struct et *et, const void *bytes, size_t n);
uint32_t et_serve(struct et *et, const void *bytes, size_t n);
/* The same at another place, and with other flags. Nothing goes on. */
uint32_t et_send_at(const struct et *et, int32_t ahead, uint8_t flags, const void *bytes, size_t n);
uint32_t et_serve_at(const struct et *et, int32_t ahead, uint8_t flags, const void *bytes,
		     size_t n);

/* Passes. */
void et_say(struct et *et, const char *line);
void et_reply(struct et *et, const char *line);
void et_greet(struct et *et);                    /* up to the answer to EHLO */
void et_hellos(struct et *et, uint16_t version); /* ClientHello, ServerHello, and a byte more */
void et_come_to_tls(struct et *et);              /* with STARTTLS, and in TLS */

/* The flow's entry; fails if there is none. */
struct sw_edge_flow et_flow(const struct et *et);
void et_expect_state(const struct et *et, int state);

#endif
