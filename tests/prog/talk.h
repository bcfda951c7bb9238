/* SPDX-License-Identifier: GPL-2.0-or-later */
/* talk.h - two ends of a connection to a guarded port, and what they say. A failed step fails the test. */
#ifndef SW_TEST_TALK_H
#define SW_TEST_TALK_H

#include "daemon/base.h"
#include "tests/prog/fixture.h"

#ifndef IPPROTO_MPTCP
#define IPPROTO_MPTCP 262
#endif

#define FX_PORT 5870 /* guarded */

struct fx_talk {
	int listener, client, server;
	uint64_t cookie; /* of the client's socket */
};

#define sw_autotalk sw_cleanup(fx_talk_close)

struct fx_bytes {
	uint8_t data[512];
	size_t n;
};

void fx_talk_close(struct fx_talk *talk);
void fx_limit_waiting(int fd); /* for sends and receives, to a time that only a failure takes */
int fx_listening(const char *addr, uint16_t port, int protocol);
struct fx_talk fx_talk_open(const char *addr, int protocol);

/* Sends from one end, and sees it arrive at the other. */
void fx_say(int from, int to, const void *bytes, size_t n);
void fx_say_line(int from, int to, const char *line);
void fx_post(int fd, const char *bytes); /* sends only */
void fx_expect(int fd, const void *bytes, size_t n);
void fx_expect_nothing(int fd); /* by now */

/* The far side got `before` and nothing else, up to the connection's end, which this brings about. */
void fx_expect_nothing_but(int fd, int client, const char *before);

/* Hellos that the gate takes. `version`: 0x0304 goes into supported_versions. */
struct fx_bytes fx_client_hello(void);
struct fx_bytes fx_server_hello(uint16_t version);
#define FX_FINISHED "\x17\3\3\0\4data", 9

void fx_greet(const struct fx_talk *talk);                         /* up to the answer to EHLO */
void fx_come_to_tls(const struct fx_talk *talk, uint16_t version); /* up to the ServerHello */

struct sw_flow fx_flow_of(const struct fx_talk *talk);
void fx_gate_policy(uint8_t action, uint8_t flags);  /* one rule for FX_PORT, in force */
void fx_serve_policy(uint8_t action, uint8_t flags); /* the same for clients that come to it */
/* As fx_talk_open(), but `cookie` is that of the server's socket. */
struct fx_talk fx_visit(const char *addr, int protocol);
void fx_check_gate_event(const struct sw_event *event, const struct fx_talk *talk, int verdict,
			 int reason);

#endif
