/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Two ends of a connection, and what they say. */
#include <errno.h>
#include <string.h>
#include <unistd.h>

#include <netinet/tcp.h>

#include "tests/prog/talk.h"

#define LIMIT_MS 20000

/* ---- two ends of a connection ---- */

void fx_talk_close(struct fx_talk *talk)
{
	const struct linger at_once = {.l_onoff = 1};

	/* What does not pass would be sent again for minutes, and counted in the tests that come after. */
	setsockopt(talk->client, SOL_SOCKET, SO_LINGER, &at_once, sizeof(at_once));
	setsockopt(talk->server, SOL_SOCKET, SO_LINGER, &at_once, sizeof(at_once));
	sw_close_cleanup(&talk->client);
	sw_close_cleanup(&talk->server);
	sw_close_cleanup(&talk->listener);
	talk->listener = talk->client = talk->server = -1;
}

void fx_limit_waiting(int fd)
{
	struct timeval limit = {.tv_sec = LIMIT_MS / 1000};

	setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof(limit));
	setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof(limit));
}

int fx_listening(const char *addr, uint16_t port, int protocol)
{
	int fd = fx_socket(addr, SOCK_STREAM, protocol), one = 1;
	struct fx_addr at = fx_addr(addr, port);
	int result;

	setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
	/* Not within the assertion, which may read errno first. */
	result = bind(fd, (struct sockaddr *)&at.storage, at.length);
	assert_return_code(result, errno);
	result = listen(fd, 16);
	assert_return_code(result, errno);
	return fd;
}

struct fx_talk fx_talk_open(const char *addr, int protocol)
{
	struct fx_talk talk = {.listener = fx_listening(addr, FX_PORT, protocol), .server = -1};
	int one = 1;

	talk.client = fx_socket(addr, SOCK_STREAM, protocol);
	fx_limit_waiting(talk.client);
	setsockopt(talk.client, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
	assert_int_equal(fx_connect(talk.client, addr, FX_PORT), 0);
	talk.server = accept4(talk.listener, NULL, NULL, SOCK_CLOEXEC);
	assert_return_code(talk.server, errno);
	fx_limit_waiting(talk.server);
	setsockopt(talk.server, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
	talk.cookie = fx_cookie(talk.client);
	return talk;
}

void fx_expect(int fd, const void *bytes, size_t n)
{
	char got[8192];

	assert_true(n <= sizeof(got));
	assert_int_equal(recv(fd, got, n, MSG_WAITALL), n);
	assert_memory_equal(got, bytes, n);
}

void fx_say(int from, int to, const void *bytes, size_t n)
{
	assert_int_equal(send(from, bytes, n, 0), n);
	fx_expect(to, bytes, n);
}

void fx_say_line(int from, int to, const char *line)
{
	fx_say(from, to, line, strlen(line));
}

void fx_post(int fd, const char *bytes)
{
	assert_int_equal(send(fd, bytes, strlen(bytes), 0), strlen(bytes));
}

/* The far side has nothing to read, and did not get to its end either. */
void fx_expect_nothing(int fd)
{
	char byte;

	assert_int_equal(recv(fd, &byte, 1, MSG_DONTWAIT), -1);
	assert_true(errno == EAGAIN);
}

/* Both ends are closed without what waits to be sent: nothing is left that TCP sends again. */
void fx_expect_nothing_but(int fd, int client, const char *before)
{
	struct linger hard = {.l_onoff = 1};
	char got[4096];
	size_t n = 0;
	ssize_t more;

	setsockopt(client, SOL_SOCKET, SO_LINGER, &hard, sizeof(hard));
	assert_int_equal(shutdown(client, SHUT_RD), 0);
	/* An end of the connection that TCP tells without payload arrives: then all that could has. */
	assert_return_code(connect(client, &(struct sockaddr){.sa_family = AF_UNSPEC},
				   sizeof(struct sockaddr)),
			   errno);
	while ((more = recv(fd, got + n, sizeof(got) - n, 0)) > 0)
		n += (size_t)more;
	assert_int_equal(more, -1);
	assert_int_equal(errno, ECONNRESET);
	assert_int_equal(n, strlen(before));
	assert_memory_equal(got, before, n);
}

/* ---- hellos that the gate takes ---- */

static void add(struct fx_bytes *to, const void *data, size_t n)
{
	memcpy(to->data + to->n, data, n);
	to->n += n;
}

static void record_ends(struct fx_bytes *to)
{
	to->data[3] = (uint8_t)((to->n - 5) >> 8);
	to->data[4] = (uint8_t)(to->n - 5);
	to->data[8] = (uint8_t)(to->n - 9);
}

struct fx_bytes fx_client_hello(void)
{
	struct fx_bytes hello = {};
	uint8_t random[32];

	memset(random, 0x5a, sizeof(random));
	add(&hello, "\x16\3\1\0\0\1\0\0\0\3\3", 11);
	add(&hello, random, sizeof(random));
	add(&hello, "\0\0\2\x13\1\1\0\0\7\0\x2b\0\3\2\3\4", 16);
	record_ends(&hello);
	return hello;
}

/* `version`: 0x0304 goes into supported_versions. */
struct fx_bytes fx_server_hello(uint16_t version)
{
	uint8_t old[2] = {3, version > 0x0303 ? 3 : (uint8_t)version}, random[32];
	struct fx_bytes hello = {};

	memset(random, 0xa5, sizeof(random));
	add(&hello, "\x16\3\3\0\0\2\0\0\0", 9);
	add(&hello, old, 2);
	add(&hello, random, sizeof(random));
	add(&hello, "\0\x13\2\0", 4);
	if (version > 0x0303)
		add(&hello, "\0\6\0\x2b\0\2\3\4", 8);
	record_ends(&hello);
	return hello;
}

void fx_greet(const struct fx_talk *talk)
{
	fx_say_line(talk->server, talk->client, "220 mail.example.net\r\n");
	fx_say_line(talk->client, talk->server, "EHLO client.example.net\r\n");
	fx_say_line(talk->server, talk->client, "250-mail.example.net\r\n250 STARTTLS\r\n");
}

void fx_come_to_tls(const struct fx_talk *talk, uint16_t version)
{
	struct fx_bytes hello = fx_client_hello(), answer = fx_server_hello(version);

	fx_greet(talk);
	fx_say_line(talk->client, talk->server, "STARTTLS\r\n");
	fx_say_line(talk->server, talk->client, "220 go ahead\r\n");
	fx_say(talk->client, talk->server, hello.data, hello.n);
	fx_say(talk->server, talk->client, answer.data, answer.n);
}

struct sw_flow fx_flow_of(const struct fx_talk *talk)
{
	struct sw_flow flow;

	assert_true(fx_flow(talk->cookie, &flow));
	return flow;
}

void fx_gate_policy(uint8_t action, uint8_t flags)
{
	fx_simple(FX_PORT, action, flags);
	fx_apply();
}

void fx_serve_policy(uint8_t action, uint8_t flags)
{
	fx_begin(1);
	fx_row(fx_rule(action, flags), (struct fx_row){.port = FX_PORT, .serve = true});
	fx_apply();
}

struct fx_talk fx_visit(const char *addr, int protocol)
{
	struct fx_talk talk = fx_talk_open(addr, protocol);

	talk.cookie = fx_cookie(talk.server);
	return talk;
}

void fx_check_gate_event(const struct sw_event *event, const struct fx_talk *talk, int verdict,
			 int reason)
{
	struct sw_flow flow = fx_flow_of(talk);

	assert_int_equal(event->kind, SW_EVENT_GATE);
	assert_int_equal(event->verdict, verdict);
	assert_int_equal(event->reason, reason);
	assert_int_equal(event->rule, 0);
	assert_int_equal(event->cookie, talk->cookie);
	assert_int_equal(event->dst_port, FX_PORT);
	assert_int_equal(event->src_port, flow.src_port);
	assert_memory_equal(event->src, flow.src, 16);
	assert_memory_equal(event->dst, flow.asked, 16);
	assert_true(event->src_port != 0);
	assert_int_equal(event->caller.pid, getpid());
	assert_int_equal(event->caller.exe[0], '/');
	assert_string_equal(event->caller.cgroup, "/");
	assert_int_equal(flow.reason, reason);
	assert_int_equal(flow.state,
			 verdict == SW_VERDICT_RESET ? SW_FLOW_CONDEMNED : SW_FLOW_RECORDED);
}
