/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Sessions that this machine answers, made in odd ways: data before there is a socket for it, no memory, MPTCP. */
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include <netinet/tcp.h>

#include "daemon/base.h"
#include "tests/prog/fixture.h"
#include "tests/prog/talk.h"

#define TLS SW_ACTION_TLS
#define AUTH "AUTH PLAIN c2VjcmV0\r\n"

/* Data in the SYN, once there is a cookie for it: where TLS is enforced the client has to send it again. */
static void fast_open(void **state)
{
	int setting sw_autoclose = open("/proc/sys/net/ipv4/tcp_fastopen", O_WRONLY | O_CLOEXEC);
	struct fx_addr at = fx_addr("127.0.0.1", FX_PORT);
	static const struct {
		const char *says;
		uint8_t flags;
	} cases[] = {{"NOOP\r\n", 0}, {"NOOP\r\n", 0}, {AUTH, 0}, {AUTH, SW_RULE_AUDIT}};
	int listener sw_autoclose = fx_listening("127.0.0.1", FX_PORT, 0), queue = 16;

	(void)state;
	assert_int_equal(write(setting, "3", 1), 1);
	assert_return_code(setsockopt(listener, IPPROTO_TCP, TCP_FASTOPEN, &queue, sizeof(queue)),
			   errno);
	for (size_t i = 0; i < sw_count(cases); i++) {
		int client sw_autoclose = fx_socket("127.0.0.1", SOCK_STREAM, 0);
		int server sw_autoclose = -1;
		size_t length = strlen(cases[i].says);

		fx_reset(NULL);
		fx_serve_policy(TLS, cases[i].flags);
		assert_int_equal(sendto(client, cases[i].says, length, MSG_FASTOPEN,
					(struct sockaddr *)&at.storage, at.length),
				 length);
		server = accept4(listener, NULL, NULL, SOCK_CLOEXEC);
		assert_return_code(server, errno);
		fx_limit_waiting(server);
		if (i < 2 || cases[i].flags) {
			struct sw_flow flow;

			fx_expect(server, cases[i].says, length);
			assert_true(fx_flow(fx_cookie(server), &flow));
			assert_int_equal(!!fx_counter(SW_COUNT_SERVE_HELD), !cases[i].flags);
			assert_int_equal(flow.state, i < 2 ? SW_FLOW_CLEAR : SW_FLOW_START);
			if (cases[i].flags) {
				fx_say_line(client, server, AUTH);
				assert_true(fx_flow(fx_cookie(server), &flow));
				assert_int_equal(flow.state, SW_FLOW_UNREAD);
			}
		} else {
			if (!fx_events())
				assert_int_equal(fx_await_events(), 1);
			assert_int_equal(fx_event(0)->kind, SW_EVENT_SERVE);
			assert_int_equal(fx_event(0)->reason, SW_REASON_CLEARTEXT_COMMAND);
			fx_expect_nothing_but(server, client, "");
		}
	}
}

/* Data in the packet that ends the handshake: a client of this kind sends no other. */
static void with_the_handshake(void **state)
{
	(void)state;
	for (size_t i = 0; i < 3; i++) {
		int listener sw_autoclose = fx_listening("127.0.0.1", FX_PORT, 0), one = 1;
		int client sw_autoclose = fx_socket("127.0.0.1", SOCK_STREAM, 0);
		int server sw_autoclose = -1;
		const char *says = i == 1 ? AUTH : "NOOP\r\n";

		fx_reset(NULL);
		fx_serve_policy(TLS, i == 2 ? SW_RULE_AUDIT : 0);
		setsockopt(client, IPPROTO_TCP, TCP_DEFER_ACCEPT, &one, sizeof(one));
		assert_int_equal(fx_connect(client, "127.0.0.1", FX_PORT), 0);
		fx_post(client, says);
		assert_int_equal(!!fx_counter(SW_COUNT_SERVE_HELD), i < 2);
		server = accept4(listener, NULL, NULL, SOCK_CLOEXEC);
		assert_return_code(server, errno);
		fx_limit_waiting(server);
		if (i == 1) {
			if (!fx_events())
				assert_int_equal(fx_await_events(), 1);
			assert_int_equal(fx_event(0)->reason, SW_REASON_CLEARTEXT_COMMAND);
			fx_expect_nothing_but(server, client, "");
		} else {
			fx_expect(server, says, strlen(says));
		}
	}
}

/* ---- want of memory ---- */

static void set_limit(int fd, const char *text)
{
	assert_int_equal(pwrite(fd, text, strlen(text), 0), strlen(text));
}

/* For the gate, when the first byte comes, and for anything at all: ended where it is enforced, else let through. */
static void no_memory(void **state)
{
	int limit sw_autoclose = open("/proc/sys/net/core/optmem_max", O_RDWR | O_CLOEXEC);
	static const char *const limits[] = {"8192", "512"};
	char before[32] = "";

	(void)state;
	if (limit < 0)
		skip(); /* older kernels have one limit for all network namespaces */
	assert_true(pread(limit, before, sizeof(before) - 1, 0) > 0);
	for (size_t i = 0; i < 4; i++) {
		struct fx_talk talk sw_autotalk = {-1, -1, -1, 0};
		const struct sw_event *event;

		fx_reset(NULL);
		fx_serve_policy(TLS, i & 1 ? SW_RULE_AUDIT : 0);
		set_limit(limit, limits[i / 2]);
		talk = fx_visit("127.0.0.1", 0);
		if (i & 1) {
			fx_say_line(talk.client, talk.server, AUTH);
			assert_int_equal(fx_counter(SW_COUNT_SERVE_AUDITED), 1);
		} else {
			fx_post(talk.server, "220 hi\r\n");
			fx_expect_nothing(talk.client);
		}
		set_limit(limit, before);
		event = fx_one_event();
		assert_int_equal(event->kind, SW_EVENT_SERVE);
		assert_int_equal(event->reason, SW_REASON_TABLE_FULL);
		assert_int_equal(event->verdict, i & 1 ? SW_VERDICT_AUDIT : SW_VERDICT_RESET);
		assert_int_equal(event->cookie, talk.cookie);
		assert_int_equal(event->dst_port, FX_PORT);
		if (i & 1)
			continue;
		fx_post(talk.client, AUTH);
		fx_expect_nothing_but(talk.server, talk.client, "");
		assert_int_equal(
			fx_counter(i / 2 ? SW_COUNT_SERVE_REFUSED : SW_COUNT_SERVE_CONDEMNED), 1);
		assert_true(fx_counter(SW_COUNT_SERVE_DROPPED) >= 2);
	}
}

/* ---- MPTCP ---- */

static void mptcp(void **state)
{
	struct fx_talk talk sw_autotalk = {-1, -1, -1, 0};

	(void)state;
	fx_serve_policy(TLS, 0);
	talk = fx_talk_open("127.0.0.1", IPPROTO_MPTCP);
	fx_greet(&talk);
	fx_post(talk.client, AUTH);
	assert_int_equal(fx_await_events(), 1);
	assert_int_equal(fx_event(0)->reason, SW_REASON_CLEARTEXT_COMMAND);
	assert_int_equal(fx_event(0)->kind, SW_EVENT_SERVE);
	fx_expect_nothing(talk.server);
}

/* Bytes could be sent in another order than they are read in. */
static void mptcp_subflow(void **state)
{
	struct fx_talk talk sw_autotalk = {-1, -1, -1, 0};

	(void)state;
	if (system("ip mptcp limits set subflow 2 && ip mptcp endpoint add 127.0.0.3 subflow"))
		skip();
	fx_serve_policy(TLS, 0);
	talk = fx_talk_open("127.0.0.1", IPPROTO_MPTCP);
	fx_say_line(talk.client, talk.server, "NOOP\r\n");
	fx_say_line(talk.server, talk.client, "220 hi\r\n");
	assert_int_equal(fx_await_events(), 1);
	assert_int_equal(fx_event(0)->kind, SW_EVENT_SERVE);
	assert_int_equal(fx_event(0)->reason, SW_REASON_UNIDENTIFIED);
	assert_int_equal(fx_event(0)->verdict, SW_VERDICT_RESET);
	assert_int_equal(system("ip mptcp endpoint flush"), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(fast_open, fx_reset),
		cmocka_unit_test_setup(with_the_handshake, fx_reset),
		cmocka_unit_test_setup(no_memory, fx_reset),
		cmocka_unit_test_setup(mptcp, fx_reset),
		cmocka_unit_test_setup(mptcp_subflow, fx_reset),
	};

	if (!fx_usable())
		return 0;
	fx_up(NULL);
	return cmocka_run_group_tests_name("serve, odd ways", tests, NULL, fx_down);
}
