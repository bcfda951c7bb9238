/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Sessions that this machine answers: clients and a server on loopback, serve rules for the server's port. */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <string.h>
#include <unistd.h>

#include "daemon/base.h"
#include "tests/prog/fixture.h"
#include "tests/prog/talk.h"

#define TLS SW_ACTION_TLS
#define AUTH "AUTH PLAIN c2VjcmV0\r\n"

static const char *const addrs[] = {"127.0.0.1", "::1", "::ffff:127.0.0.1"};

static void check_event(const struct sw_event *event, const struct fx_talk *talk, int verdict,
			int reason)
{
	struct sw_flow flow = fx_flow_of(talk);

	assert_int_equal(event->kind, SW_EVENT_SERVE);
	assert_int_equal(event->served, 1);
	assert_int_equal(event->verdict, verdict);
	assert_int_equal(event->reason, reason);
	assert_int_equal(event->rule, 0);
	assert_int_equal(event->cookie, talk->cookie);
	assert_int_equal(event->dst_port, FX_PORT);
	assert_true(event->src_port && event->src_port != FX_PORT);
	assert_memory_equal(event->src, flow.src, 16);
	assert_memory_equal(event->dst, flow.dst, 16);
	assert_int_equal(event->caller.flags, SW_CALLER_SERVER);
	assert_int_equal(event->caller.uid, 0);
	assert_string_equal(event->caller.cgroup, "/");
	assert_int_equal(flow.served, 1);
	assert_int_equal(flow.src_port, event->src_port);
	assert_int_equal(flow.reason, reason);
}

/* Every command arrives, the first that is against TLS is told, once. */
static void recorded(void **state)
{
	(void)state;
	for (size_t i = 0; i < 2 * sw_count(addrs); i++) {
		struct fx_talk talk sw_autotalk = {-1, -1, -1, 0};
		const struct sw_event *event;
		uint8_t want[16];

		fx_reset(NULL);
		fx_serve_policy(i & 1 ? TLS : SW_ACTION_AUDIT, SW_RULE_AUDIT);
		talk = fx_visit(addrs[i / 2], 0);
		assert_int_equal(fx_flow_of(&talk).state, SW_FLOW_START);
		fx_greet(&talk);
		fx_say_line(talk.client, talk.server, AUTH);
		fx_say_line(talk.server, talk.client, "235 ok\r\n");
		fx_say_line(talk.client, talk.server, "MAIL FROM:<a@example.net>\r\n");
		event = fx_one_event();
		check_event(event, &talk, SW_VERDICT_AUDIT, SW_REASON_CLEARTEXT_COMMAND);
		assert_int_equal(event->verb, SW_VERB_AUTH);
		assert_int_equal(event->mechanism, SW_MECHANISM_PLAIN);
		fx_mapped(addrs[i / 2], want);
		assert_memory_equal(event->src, want, 16);
		assert_int_equal(event->family, i / 2 == 1 ? 6 : 4);
		assert_int_equal(fx_flow_of(&talk).state, SW_FLOW_RECORDED);
		assert_int_equal(fx_counter(SW_COUNT_SERVE_CONNECT), 1);
		assert_int_equal(fx_counter(SW_COUNT_SERVE_ALLOWED), 1);
		assert_int_equal(fx_counter(SW_COUNT_SERVE_AUDITED), 1);
		assert_int_equal(fx_counter(SW_COUNT_CONNECT), 0);
		assert_int_equal(fx_counter(SW_COUNT_AUDITED), 0);
		assert_int_equal(fx_hits(1, 0), 1);
	}
}

/* Nothing of the command arrives, nor anything afterwards, of either side. */
static void auth_never_arrives(void **state)
{
	(void)state;
	for (size_t i = 0; i < sw_count(addrs); i++) {
		struct fx_talk talk sw_autotalk = {-1, -1, -1, 0};

		fx_reset(NULL);
		fx_serve_policy(TLS, 0);
		talk = fx_visit(addrs[i], 0);
		fx_greet(&talk);
		fx_post(talk.client, AUTH);
		check_event(fx_one_event(), &talk, SW_VERDICT_RESET, SW_REASON_CLEARTEXT_COMMAND);
		assert_int_equal(fx_flow_of(&talk).state, SW_FLOW_CONDEMNED);
		fx_post(talk.client, "NOOP\r\n");
		fx_post(talk.server, "421 bye\r\n");
		fx_expect_nothing(talk.client);
		assert_int_equal(fx_counter(SW_COUNT_SERVE_CONDEMNED), 1);
		assert_true(fx_counter(SW_COUNT_SERVE_DROPPED) >= 2);
		assert_int_equal(fx_counter(SW_COUNT_CONDEMNED), 0);
		assert_int_equal(fx_counter(SW_COUNT_GATE_DROPPED), 0);
		fx_expect_nothing_but(talk.server, talk.client, "");
		assert_int_equal(fx_events(), 0);
	}
}

static void single_bytes(void **state)
{
	struct fx_talk talk sw_autotalk = {-1, -1, -1, 0};

	(void)state;
	fx_serve_policy(TLS, 0);
	talk = fx_visit("::1", 0);
	fx_say_line(talk.server, talk.client, "220 hi\r\n");
	for (const char *at = "EHLO x\r\n"; *at; at++)
		fx_say(talk.client, talk.server, at, 1);
	fx_say_line(talk.server, talk.client, "250 STARTTLS\r\n");
	fx_post(talk.client, "A");
	assert_int_equal(fx_one_event()->verb_length, 1);
	fx_expect_nothing_but(talk.server, talk.client, "");
}

/* Both ways to TLS are let through unharmed; what the session came to is told at its end. */
static void tls(void **state)
{
	(void)state;
	for (size_t i = 0; i < 2 * sw_count(addrs); i++) {
		struct fx_bytes hello = fx_client_hello(), answer = fx_server_hello(0x0303);
		struct fx_talk talk sw_autotalk = {-1, -1, -1, 0};
		const struct sw_event *event;
		uint64_t cookie;
		size_t n;

		fx_reset(NULL);
		fx_serve_policy(TLS, 0);
		talk = fx_visit(addrs[i / 2], 0);
		cookie = talk.cookie;
		if (i & 1) {
			fx_say(talk.client, talk.server, hello.data, hello.n);
			fx_say(talk.server, talk.client, answer.data, answer.n);
		} else {
			fx_come_to_tls(&talk, 0x0304);
		}
		fx_say(talk.client, talk.server, FX_FINISHED);
		fx_say_line(talk.server, talk.client, "anything");
		assert_int_equal(fx_flow_of(&talk).state, SW_FLOW_TLS);
		assert_int_equal(fx_counter(SW_COUNT_SERVE_TLS), 1);
		assert_int_equal(fx_counter(SW_COUNT_TLS), 0);
		assert_int_equal(fx_samples(), 2);
		assert_int_equal(fx_sample(0, &n)->cookie, cookie);
		assert_int_equal(fx_sample(0, &n)->from_server, 0);
		assert_int_equal(fx_sample(1, &n)->from_server, 1);
		assert_int_equal(fx_events(), 0);
		sw_close_cleanup(&talk.client);
		sw_close_cleanup(&talk.server);
		assert_int_equal(fx_await_sessions(1), 0);
		assert_int_equal(fx_sessions(), 1);
		event = fx_session(0);
		assert_int_equal(event->served, 1);
		assert_int_equal(event->cookie, cookie);
		assert_int_equal(event->verdict, SW_VERDICT_ALLOW);
		assert_int_equal(event->tls, i & 1 ? SW_TLS_IMPLICIT : SW_TLS_STARTTLS);
		assert_int_equal(event->tls_version, i & 1 ? 0x0303 : 0x0304);
		assert_int_equal(event->cipher, 0x1302);
		assert_int_equal(event->dst_port, FX_PORT);
		assert_int_equal(event->caller.flags, SW_CALLER_SERVER);
		if (i & 1) {
			assert_int_equal(event->received, hello.n + 9);
			assert_int_equal(event->sent, answer.n + strlen("anything"));
		}
	}
}

/* What each side of a session has said, whoever ends it. */
static void bytes_of_a_session(void **state)
{
	(void)state;
	for (size_t i = 0; i < 4; i++) {
		struct fx_talk talk sw_autotalk = {-1, -1, -1, 0};
		int *first = i & 1 ? &talk.client : &talk.server;
		int *last = i & 1 ? &talk.server : &talk.client;
		char byte;

		fx_reset(NULL);
		fx_serve_policy(SW_ACTION_ALLOW, 0);
		talk = fx_visit(addrs[i / 2], 0);
		fx_say_line(talk.client, talk.server, "MAIL\r\n");
		fx_say_line(talk.server, talk.client, "250 fine\r\n");
		assert_int_equal(fx_flow_of(&talk).state, SW_FLOW_OPEN);
		shutdown(*first, SHUT_WR);
		assert_int_equal(recv(*last, &byte, 1, 0), 0);
		shutdown(*last, SHUT_WR);
		assert_int_equal(recv(*first, &byte, 1, 0), 0);
		fx_await_sessions(1);
		assert_int_equal(fx_sessions(), 1);
		assert_int_equal(fx_session(0)->received, 6);
		assert_int_equal(fx_session(0)->sent, 10);
	}
}

/* ---- where they come from ---- */

static int connect_from(const char *from, bool wait)
{
	int fd = fx_socket(from, SOCK_STREAM, 0);
	struct fx_addr at = fx_addr(from, 0);

	assert_return_code(bind(fd, (struct sockaddr *)&at.storage, at.length), errno);
	if (!wait)
		assert_return_code(fcntl(fd, F_SETFL, O_NONBLOCK), errno);
	assert_int_equal(fx_connect(fd, "127.0.0.1", FX_PORT), wait ? 0 : -EINPROGRESS);
	fx_limit_waiting(fd);
	return fd;
}

static void by_source(uint8_t flags)
{
	fx_begin(1);
	fx_row(fx_rule(SW_ACTION_DROP, flags),
	       (struct fx_row){.port = FX_PORT, .serve = true, .from = "127.0.0.5/32"});
	fx_row(fx_rule(SW_ACTION_REJECT, flags),
	       (struct fx_row){.port = FX_PORT, .serve = true, .from = "127.0.0.6/32"});
	fx_row(fx_rule(SW_ACTION_ALLOW, 0), (struct fx_row){.port = FX_PORT, .serve = true});
	fx_apply();
}

/* The server is not bothered by whom its rule drops. */
static void dropped(void **state)
{
	int listener sw_autoclose = fx_listening("127.0.0.1", FX_PORT, 0);
	int client sw_autoclose = -1;
	const struct sw_event *event;
	struct pollfd in = {.fd = listener, .events = POLLIN};
	uint8_t src[16];

	(void)state;
	by_source(0);
	client = connect_from("127.0.0.5", false);
	assert_return_code(client, errno);
	event = fx_one_event();
	assert_int_equal(event->kind, SW_EVENT_SERVE);
	assert_int_equal(event->verdict, SW_VERDICT_DROP);
	assert_int_equal(event->reason, SW_REASON_NOT_PERMITTED);
	assert_int_equal(event->rule, 0);
	assert_int_equal(event->dst_port, FX_PORT);
	assert_true(event->src_port);
	fx_mapped("127.0.0.5", src);
	assert_memory_equal(event->src, src, 16);
	assert_int_equal(event->caller.flags, SW_CALLER_SERVER);
	assert_string_equal(event->caller.cgroup, "/");
	assert_int_equal(poll(&in, 1, 0), 0);
	assert_int_equal(fx_counter(SW_COUNT_SERVE_CONNECT), 1);
	assert_int_equal(fx_counter(SW_COUNT_SERVE_REFUSED), 1);
	assert_int_equal(fx_counter(SW_COUNT_SERVE_DROPPED), 1);
	assert_int_equal(fx_hits(1, 0), 1);
}

/* The handshake is made, the daemon is told to end it, and nothing of either side arrives. */
static void rejected(void **state)
{
	int listener sw_autoclose = fx_listening("127.0.0.1", FX_PORT, 0);
	int client sw_autoclose = -1, server sw_autoclose = -1, third sw_autoclose = -1;
	const struct sw_event *event;

	(void)state;
	by_source(0);
	client = connect_from("127.0.0.6", true);
	event = fx_one_event();
	assert_int_equal(event->kind, SW_EVENT_SERVE);
	assert_int_equal(event->verdict, SW_VERDICT_RESET);
	assert_int_equal(event->reason, SW_REASON_NOT_PERMITTED);
	assert_int_equal(event->rule, 1);
	server = accept4(listener, NULL, NULL, SOCK_CLOEXEC);
	fx_limit_waiting(server);
	fx_post(server, "220 hi\r\n");
	fx_expect_nothing(client);
	fx_post(client, "EHLO x\r\n");
	fx_expect_nothing_but(server, client, "");
	assert_int_equal(fx_counter(SW_COUNT_SERVE_REFUSED), 1);
	assert_int_equal(fx_counter(SW_COUNT_SERVE_ALLOWED), 0);
	third = connect_from("127.0.0.7", true);
	assert_return_code(third, errno);
	assert_int_equal(fx_counter(SW_COUNT_SERVE_ALLOWED), 1);
	assert_int_equal(fx_hits(1, 2), 1);
	assert_int_equal(fx_events(), 0);
}

static void refused_on_paper(void **state)
{
	static const char *const from[] = {"127.0.0.5", "127.0.0.6"};
	int listener sw_autoclose = fx_listening("127.0.0.1", FX_PORT, 0);

	(void)state;
	for (size_t i = 0; i < 2; i++) {
		int client sw_autoclose = -1, server sw_autoclose = -1;

		fx_reset(NULL);
		by_source(SW_RULE_AUDIT);
		client = connect_from(from[i], true);
		server = accept4(listener, NULL, NULL, SOCK_CLOEXEC);
		fx_limit_waiting(server);
		fx_say_line(client, server, AUTH);
		assert_int_equal(fx_one_event()->verdict, SW_VERDICT_AUDIT);
		assert_int_equal(fx_event(0)->reason, SW_REASON_NOT_PERMITTED);
		assert_int_equal(fx_event(0)->rule, i);
		assert_int_equal(fx_counter(SW_COUNT_SERVE_AUDITED), 1);
	}
}

/* The address that the client came to. */
static void by_destination(void **state)
{
	int listener sw_autoclose = fx_listening("0.0.0.0", FX_PORT, 0);

	(void)state;
	fx_begin(1);
	fx_row(fx_rule(SW_ACTION_ALLOW, 0),
	       (struct fx_row){.port = FX_PORT, .serve = true, .prefix = "127.0.0.1/32"});
	fx_row(fx_rule(SW_ACTION_AUDIT, 0),
	       (struct fx_row){.port = FX_PORT, .serve = true, .to_local = true});
	fx_row(fx_rule(SW_ACTION_REJECT, 0), (struct fx_row){.port = FX_PORT, .serve = true});
	fx_apply();
	assert_int_equal(fx_try("127.0.0.1", FX_PORT), 0);
	assert_int_equal(fx_hits(1, 0), 1);
	assert_int_equal(fx_try("127.0.0.8", FX_PORT), 0);
	assert_int_equal(fx_hits(1, 1), 1);
	assert_int_equal(fx_hits(1, 2), 0);
	assert_return_code(listener, errno);
}

/* ---- what is not meant ---- */

/* Ports that no serve block names, and connections that are older than the policy. */
static void untouched(void **state)
{
	struct fx_talk talk sw_autotalk = {-1, -1, -1, 0};

	(void)state;
	talk = fx_visit("127.0.0.1", 0);
	fx_serve_policy(TLS, 0);
	fx_say_line(talk.client, talk.server, AUTH);
	fx_say_line(talk.server, talk.client, "235 ok\r\n");
	fx_begin(0);
	fx_row(fx_rule(TLS, 0), (struct fx_row){.port = FX_PORT + 1, .serve = true});
	fx_apply();
	fx_talk_close(&talk);
	talk = fx_visit("::1", 0);
	fx_say_line(talk.client, talk.server, AUTH);
	assert_int_equal(fx_counter(SW_COUNT_SERVE_CONNECT), 0);
	assert_int_equal(fx_events() + fx_sessions(), 0);
}

/* Guarded at both ends: each socket has its own gate. */
static void both_ends(void **state)
{
	(void)state;
	for (size_t i = 0; i < sw_count(addrs); i++) {
		struct fx_talk talk sw_autotalk = {-1, -1, -1, 0};

		fx_reset(NULL);
		fx_begin(1);
		fx_row(fx_rule(TLS, SW_RULE_AUDIT), (struct fx_row){.port = FX_PORT});
		fx_row(fx_rule(TLS, 0), (struct fx_row){.port = FX_PORT, .serve = true});
		fx_apply();
		talk = fx_visit(addrs[i], 0);
		fx_come_to_tls(&talk, 0x0304);
		fx_say(talk.client, talk.server, FX_FINISHED);
		assert_int_equal(fx_counter(SW_COUNT_TLS), 1);
		assert_int_equal(fx_counter(SW_COUNT_SERVE_TLS), 1);
		fx_talk_close(&talk);
		fx_await_sessions(2);
		assert_int_equal(fx_sessions(), 2);
		assert_int_equal(fx_session(0)->served + fx_session(1)->served, 1);
		talk = fx_visit(addrs[i], 0);
		fx_post(talk.client, AUTH);
		assert_int_equal(fx_events(), 2);
		assert_int_equal(fx_event(0)->kind, SW_EVENT_GATE);
		assert_int_equal(fx_event(1)->kind, SW_EVENT_SERVE);
		assert_int_equal(fx_event(1)->rule, 1);
		fx_expect_nothing_but(talk.server, talk.client, "");
	}
}

/* A client whose own port is one that a host rule guards. */
static void from_a_guarded_port(void **state)
{
	int listener sw_autoclose = fx_listening("127.0.0.1", FX_PORT, 0);
	int client sw_autoclose = fx_socket("127.0.0.1", SOCK_STREAM, 0), server sw_autoclose = -1;
	struct fx_addr at = fx_addr("127.0.0.1", 25);

	(void)state;
	fx_begin(1);
	fx_row(fx_rule(SW_ACTION_REJECT, 0), (struct fx_row){.port = 25});
	fx_row(fx_rule(TLS, 0), (struct fx_row){.port = FX_PORT, .serve = true});
	fx_apply();
	assert_return_code(bind(client, (struct sockaddr *)&at.storage, at.length), errno);
	assert_int_equal(fx_connect(client, "127.0.0.1", FX_PORT), 0);
	server = accept4(listener, NULL, NULL, SOCK_CLOEXEC);
	fx_limit_waiting(server);
	fx_limit_waiting(client);
	fx_say_line(server, client, "220 hi\r\n");
	fx_say_line(client, server, "EHLO x\r\n");
	fx_post(client, AUTH);
	assert_int_equal(fx_one_event()->kind, SW_EVENT_SERVE);
	fx_expect_nothing_but(server, client, "");
}

/* An accepted socket that is made to connect somewhere is no server's any longer. */
static void used_again(void **state)
{
	int other sw_autoclose = fx_listening("127.0.0.1", FX_PORT + 1, 0);
	struct sockaddr any = {.sa_family = AF_UNSPEC};
	struct fx_talk talk sw_autotalk = {-1, -1, -1, 0};
	int server sw_autoclose = -1;

	(void)state;
	fx_serve_policy(TLS, 0);
	talk = fx_visit("127.0.0.1", 0);
	assert_return_code(connect(talk.server, &any, sizeof(any)), errno);
	assert_int_equal(fx_connect(talk.server, "127.0.0.1", FX_PORT + 1), 0);
	server = accept4(other, NULL, NULL, SOCK_CLOEXEC);
	fx_limit_waiting(server);
	fx_say_line(talk.server, server, AUTH);
	assert_int_equal(fx_events(), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(recorded, fx_reset),
		cmocka_unit_test_setup(auth_never_arrives, fx_reset),
		cmocka_unit_test_setup(single_bytes, fx_reset),
		cmocka_unit_test_setup(tls, fx_reset),
		cmocka_unit_test_setup(bytes_of_a_session, fx_reset),
		cmocka_unit_test_setup(dropped, fx_reset),
		cmocka_unit_test_setup(rejected, fx_reset),
		cmocka_unit_test_setup(refused_on_paper, fx_reset),
		cmocka_unit_test_setup(by_destination, fx_reset),
		cmocka_unit_test_setup(untouched, fx_reset),
		cmocka_unit_test_setup(both_ends, fx_reset),
		cmocka_unit_test_setup(from_a_guarded_port, fx_reset),
		cmocka_unit_test_setup(used_again, fx_reset),
	};

	if (!fx_usable())
		return 0;
	fx_up(NULL);
	return cmocka_run_group_tests_name("serve", tests, NULL, fx_down);
}
