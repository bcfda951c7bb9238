/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Gated connections made in odd ways, and what is told of connections: flows, first bytes. */
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/sendfile.h>
#include <unistd.h>

#include <netinet/tcp.h>

#include "daemon/base.h"
#include "tests/prog/fixture.h"
#include "tests/prog/talk.h"

#define TLS SW_ACTION_TLS

static const char *const addrs[] = {"127.0.0.1", "::1", "::ffff:127.0.0.1"};

/* ---- other ways to a port ---- */

static void redirected(void **state)
{
	int listener sw_autoclose = fx_listening("127.0.0.1", FX_PORT + 1, 0);
	int client sw_autoclose = fx_socket("127.0.0.1", SOCK_STREAM, 0), server sw_autoclose = -1;
	struct sw_flow flow;
	uint16_t rule;

	(void)state;
	fx_begin(1);
	rule = fx_rule(SW_ACTION_REDIRECT, 0);
	fx_target(rule, "127.0.0.1", FX_PORT + 1);
	fx_row(rule, (struct fx_row){.port = FX_PORT});
	fx_row(fx_rule(TLS, 0), (struct fx_row){.port = FX_PORT + 1});
	fx_apply();
	assert_int_equal(fx_connect(client, "127.0.0.1", FX_PORT), 0);
	server = accept4(listener, NULL, NULL, SOCK_CLOEXEC);
	assert_return_code(server, errno);
	fx_say_line(client, server, "MAIL FROM:<a@example.net>\r\n");
	assert_true(fx_flow(fx_cookie(client), &flow));
	assert_int_equal(flow.state, SW_FLOW_OPEN);
	assert_int_equal(flow.asked_port, FX_PORT);
	assert_int_equal(flow.dst_port, FX_PORT + 1);
}

/* The same socket once more: what the first connection was allowed says nothing of the second. */
static void connected_again(void **state)
{
	struct sockaddr any = {.sa_family = AF_UNSPEC};
	struct fx_talk talk sw_autotalk = {-1, -1, -1, 0};

	(void)state;
	fx_gate_policy(TLS, 0);
	talk = fx_talk_open("127.0.0.1", 0);
	fx_come_to_tls(&talk, 0x0304);
	fx_say(talk.client, talk.server, FX_FINISHED);
	assert_int_equal(fx_flow_of(&talk).state, SW_FLOW_TLS);
	assert_return_code(connect(talk.client, &any, sizeof(any)), errno);
	sw_close_cleanup(&talk.server);
	assert_int_equal(fx_connect(talk.client, "127.0.0.1", FX_PORT), 0);
	talk.server = accept4(talk.listener, NULL, NULL, SOCK_CLOEXEC);
	fx_limit_waiting(talk.server);
	assert_int_equal(fx_flow_of(&talk).state, SW_FLOW_START);
	fx_post(talk.client, "MAIL FROM:<a@example.net>\r\n");
	fx_check_gate_event(fx_one_event(), &talk, SW_VERDICT_RESET, SW_REASON_CLEARTEXT_COMMAND);
	fx_expect_nothing_but(talk.server, talk.client, "");
}

/* Options hide the TCP header from whoever does not walk there. */
static void behind_options(void **state)
{
	static const uint8_t options6[8] = {0, 0, 1, 4}, options4[4] = {1, 1, 1, 0};

	(void)state;
	for (size_t i = 0; i < 2; i++) {
		struct fx_talk talk sw_autotalk = {-1, -1, -1, 0};

		fx_reset(NULL);
		fx_gate_policy(TLS, 0);
		talk = fx_talk_open(addrs[i], 0);
		if (i)
			setsockopt(talk.client, IPPROTO_IPV6, IPV6_DSTOPTS, options6,
				   sizeof(options6));
		else
			setsockopt(talk.client, IPPROTO_IP, IP_OPTIONS, options4, sizeof(options4));
		fx_greet(&talk);
		fx_post(talk.client, "DATA\r\n");
		assert_int_equal(fx_one_event()->verb, SW_VERB_DATA);
		fx_expect_nothing_but(talk.server, talk.client, "");
	}
}

/* The administrator's address translation: packets go to a port that no rule names. */
static void translated_port(void **state)
{
	struct fx_talk talk sw_autotalk = {-1, -1, -1, 0};

	(void)state;
	if (system("nft -f - <<'.'\n"
		   "table ip smtpwall-test { chain out { type nat hook output priority -100;\n"
		   "tcp dport 5870 redirect to :5880; }; }\n.\n"))
		skip();
	fx_gate_policy(TLS, 0);
	talk.listener = fx_listening("127.0.0.1", FX_PORT + 10, 0);
	talk.client = fx_socket("127.0.0.1", SOCK_STREAM, 0);
	fx_limit_waiting(talk.client);
	assert_int_equal(fx_connect(talk.client, "127.0.0.1", FX_PORT), 0);
	talk.server = accept4(talk.listener, NULL, NULL, SOCK_CLOEXEC);
	assert_return_code(talk.server, errno);
	fx_limit_waiting(talk.server);
	talk.cookie = fx_cookie(talk.client);
	fx_greet(&talk);
	fx_post(talk.client, "DATA\r\n");
	fx_check_gate_event(fx_one_event(), &talk, SW_VERDICT_RESET, SW_REASON_CLEARTEXT_COMMAND);
	fx_expect_nothing_but(talk.server, talk.client, "");
	assert_int_equal(system("nft delete table ip smtpwall-test"), 0);
}

/* A socket may have so much memory; in this network namespace less than a gate needs. It is made when a byte comes,
   of either side. */
static void no_memory(void **state)
{
	int limit sw_autoclose = open("/proc/sys/net/core/optmem_max", O_RDWR | O_CLOEXEC);
	char before[32] = "";

	(void)state;
	if (limit < 0)
		skip(); /* older kernels have one limit for all network namespaces */
	assert_true(pread(limit, before, sizeof(before) - 1, 0) > 0);
	for (size_t i = 0; i < 4; i++) {
		struct fx_talk talk sw_autotalk = {-1, -1, -1, 0};
		int audit = i & 1, from, to;

		fx_reset(NULL);
		fx_gate_policy(TLS, audit ? SW_RULE_AUDIT : 0);
		assert_int_equal(pwrite(limit, "8192", 4, 0), 4);
		talk = fx_talk_open("127.0.0.1", 0);
		assert_int_equal(fx_events(), 0);
		from = i / 2 ? talk.client : talk.server;
		to = i / 2 ? talk.server : talk.client;
		fx_post(from, "NOOP\r\n");
		fx_check_gate_event(fx_one_event(), &talk,
				    audit ? SW_VERDICT_AUDIT : SW_VERDICT_RESET,
				    SW_REASON_TABLE_FULL);
		assert_int_equal(pwrite(limit, before, strlen(before), 0), strlen(before));
		if (audit) {
			fx_expect(to, "NOOP\r\n", 6);
			fx_say_line(talk.client, talk.server, "AUTH PLAIN AGEAYg==\r\n");
			continue;
		}
		fx_expect_nothing(to);
		fx_post(talk.client, "QUIT\r\n");
		fx_expect_nothing_but(talk.server, talk.client, "");
		assert_int_equal(fx_counter(SW_COUNT_CONDEMNED), 1);
	}
}

/* Data in the SYN itself, once the server has given a cookie for it. */
static void fast_open(void **state)
{
	int setting sw_autoclose = open("/proc/sys/net/ipv4/tcp_fastopen", O_WRONLY | O_CLOEXEC);
	struct fx_addr at = fx_addr("127.0.0.1", FX_PORT);
	static const char *const said[] = {"NOOP\r\n", "NOOP\r\n", "MAIL FROM:<a@example.net>\r\n"};
	int listener sw_autoclose = fx_listening("127.0.0.1", FX_PORT, 0), queue = 16;

	(void)state;
	assert_int_equal(write(setting, "3", 1), 1);
	assert_return_code(setsockopt(listener, IPPROTO_TCP, TCP_FASTOPEN, &queue, sizeof(queue)),
			   errno);
	fx_gate_policy(TLS, 0);
	for (size_t i = 0; i < sw_count(said); i++) {
		int client sw_autoclose = fx_socket("127.0.0.1", SOCK_STREAM, 0);
		int server sw_autoclose = -1;
		struct tcp_info info = {};
		socklen_t size = sizeof(info);
		struct fx_talk talk;

		assert_int_equal(sendto(client, said[i], strlen(said[i]), MSG_FASTOPEN,
					(struct sockaddr *)&at.storage, at.length),
				 strlen(said[i]));
		server = accept4(listener, NULL, NULL, SOCK_CLOEXEC);
		assert_return_code(server, errno);
		fx_limit_waiting(server);
		talk = (struct fx_talk){.client = client, .cookie = fx_cookie(client)};
		if (i < 2) {
			fx_expect(server, said[i], strlen(said[i]));
			assert_int_equal(getsockopt(client, IPPROTO_TCP, TCP_INFO, &info, &size),
					 0);
			assert_int_equal(!!(info.tcpi_options & 32 /* TCPI_OPT_SYN_DATA */), i);
			continue;
		}
		fx_check_gate_event(fx_one_event(), &talk, SW_VERDICT_RESET,
				    SW_REASON_CLEARTEXT_COMMAND);
		fx_expect_nothing_but(server, client, "");
	}
}

static void mptcp(void **state)
{
	struct fx_talk talk sw_autotalk = {-1, -1, -1, 0};

	(void)state;
	fx_gate_policy(TLS, 0);
	talk = fx_talk_open("127.0.0.1", IPPROTO_MPTCP);
	fx_greet(&talk);
	fx_post(talk.client, "AUTH PLAIN c2VjcmV0\r\n");
	assert_int_equal(fx_await_events(), 1);
	assert_int_equal(fx_event(0)->reason, SW_REASON_CLEARTEXT_COMMAND);
	fx_expect_nothing(talk.server);
}

/* Bytes could be sent in another order than they are read in: additional subflows are refused. */
static void mptcp_subflow(void **state)
{
	struct fx_talk talk sw_autotalk = {-1, -1, -1, 0};

	(void)state;
	if (system("ip mptcp limits set subflow 2 && ip mptcp endpoint add 127.0.0.3 subflow"))
		skip();
	fx_gate_policy(TLS, 0);
	talk = fx_talk_open("127.0.0.1", IPPROTO_MPTCP);
	fx_say_line(talk.client, talk.server, "NOOP\r\n");
	fx_say_line(talk.server, talk.client, "220 hi\r\n");
	assert_int_equal(fx_await_events(), 1);
	assert_int_equal(fx_event(0)->kind, SW_EVENT_CONNECT);
	assert_int_equal(fx_event(0)->reason, SW_REASON_UNIDENTIFIED);
	assert_int_equal(fx_event(0)->verdict, SW_VERDICT_REJECT);
	assert_int_equal(system("ip mptcp endpoint flush"), 0);
}

/* ---- what is told ---- */

/* How much of what was sent and received; the ends of the connection are no payload. */
static void flow_ends(void **state)
{
	(void)state;
	for (size_t i = 0; i < 4; i++) {
		int client_first = i & 1;
		struct fx_talk talk sw_autotalk = {-1, -1, -1, 0};
		struct sw_flow flow;
		uint8_t want[16];
		char byte;

		fx_reset(NULL);
		fx_gate_policy(SW_ACTION_ALLOW, 0);
		talk = fx_talk_open(addrs[i / 2], 0);
		fx_say_line(talk.client, talk.server, "MAIL\r\n");
		fx_say_line(talk.server, talk.client, "250 fine\r\n");
		flow = fx_flow_of(&talk);
		assert_int_equal(flow.state, SW_FLOW_OPEN);
		assert_int_equal(flow.ended_ns, 0);
		assert_true(flow.opened_ns && flow.src_port);
		assert_int_equal(flow.dst_port, FX_PORT);
		assert_int_equal(flow.family, i / 2 ? 6 : 4);
		fx_mapped(addrs[i / 2], want);
		assert_memory_equal(flow.src, want, 16);
		assert_memory_equal(flow.dst, want, 16);
		assert_int_equal(flow.caller.exe[0], '/');
		shutdown(client_first ? talk.client : talk.server, SHUT_WR);
		assert_int_equal(recv(client_first ? talk.server : talk.client, &byte, 1, 0), 0);
		shutdown(client_first ? talk.server : talk.client, SHUT_WR);
		assert_int_equal(recv(client_first ? talk.client : talk.server, &byte, 1, 0), 0);
		flow = fx_flow_of(&talk);
		assert_true(flow.ended_ns >= flow.opened_ns);
		assert_int_equal(flow.sent, 6);
		assert_int_equal(flow.received, 10);
	}
}

/* The event of a connection's end: what `flows` has of it, and who made it. */
static const struct sw_event *ended_session(uint64_t cookie)
{
	static const struct sw_event none;
	const struct sw_event *event = &none;
	unsigned int found = 0;
	struct sw_flow flow;

	/* One of an earlier test, that TCP was not done with, may have ended meanwhile. */
	fx_events();
	assert_int_equal(fx_sessions(), fx_counter(SW_COUNT_SESSIONS));
	for (size_t i = 0; i < fx_sessions(); i++) {
		if (fx_session(i)->cookie != cookie)
			continue;
		event = fx_session(i);
		found++;
	}
	assert_int_equal(found, 1);
	assert_true(fx_flow(cookie, &flow));
	assert_int_equal(event->served, 0);
	assert_int_equal(event->generation, flow.generation);
	assert_int_equal(event->rule, 0);
	assert_int_equal(event->reason, flow.reason);
	assert_int_equal(event->tls, flow.tls);
	assert_int_equal(event->tls_version, flow.tls_version);
	assert_int_equal(event->cipher, flow.cipher);
	assert_int_equal(event->time_ns, flow.ended_ns);
	assert_int_equal(event->opened_ns, flow.opened_ns);
	assert_int_equal(event->src_port, flow.src_port);
	assert_memory_equal(event->src, flow.src, 16);
	assert_int_equal(event->dst_port, flow.asked_port);
	assert_memory_equal(event->dst, flow.asked, 16);
	assert_int_equal(event->sent, flow.sent);
	assert_int_equal(event->received, flow.received);
	assert_memory_equal(&event->caller, &flow.caller, sizeof(flow.caller));
	assert_int_equal(event->caller.pid, getpid());
	assert_int_equal(event->caller.exe[0], '/');
	return event;
}

/* What a connection came to is told when it ends, once, and nothing of one that lives. */
static void session(void **state)
{
	struct fx_talk talk sw_autotalk = {-1, -1, -1, 0};
	const struct sw_event *event;
	uint64_t cookie;

	(void)state;
	fx_gate_policy(TLS, 0);
	talk = fx_talk_open("::1", 0);
	cookie = talk.cookie;
	fx_come_to_tls(&talk, 0x0304);
	fx_say(talk.client, talk.server, FX_FINISHED);
	fx_events();
	assert_int_equal(fx_sessions(), 0);
	sw_close_cleanup(&talk.server);
	sw_close_cleanup(&talk.client);
	event = ended_session(cookie);
	assert_int_equal(event->verdict, SW_VERDICT_ALLOW);
	assert_int_equal(event->family, 6);
	assert_int_equal(event->tls, SW_TLS_STARTTLS);
	assert_int_equal(event->tls_version, 0x0304);
	assert_int_equal(event->cipher, 0x1302);
	assert_true(event->sent && event->received);
	assert_true(event->time_ns >= event->opened_ns);
	assert_int_equal(event->new_port, 0);
}

static void session_that_was_moved(void **state)
{
	int listener sw_autoclose = fx_listening("127.0.0.1", FX_PORT + 1, 0);
	int client sw_autoclose = fx_socket("127.0.0.1", SOCK_STREAM, 0), server sw_autoclose = -1;
	uint64_t cookie = fx_cookie(client);
	const struct sw_event *event;
	uint8_t to[16];
	uint16_t rule;

	(void)state;
	fx_begin(1);
	rule = fx_rule(SW_ACTION_REDIRECT, 0);
	fx_target(rule, "127.0.0.1", FX_PORT + 1);
	fx_row(rule, (struct fx_row){.port = FX_PORT});
	fx_apply();
	assert_int_equal(fx_connect(client, "127.0.0.9", FX_PORT), 0);
	server = accept4(listener, NULL, NULL, SOCK_CLOEXEC);
	sw_close_cleanup(&server);
	sw_close_cleanup(&client);
	event = ended_session(cookie);
	assert_int_equal(event->verdict, SW_VERDICT_REDIRECT);
	fx_mapped("127.0.0.1", to);
	assert_memory_equal(event->new_dst, to, 16);
	assert_int_equal(event->new_port, FX_PORT + 1);
}

/* Refused, but connected to what says so: that is no session of a guarded port. */
static void no_session_of_an_answer(void **state)
{
	int listener sw_autoclose = fx_listening("127.0.0.1", FX_PORT + 2, 0);
	int client sw_autoclose = fx_socket("127.0.0.1", SOCK_STREAM, 0), server sw_autoclose = -1;
	uint16_t rule;

	(void)state;
	fx_begin(1);
	rule = fx_rule(SW_ACTION_REJECT, SW_RULE_ANSWER);
	fx_target(rule, "127.0.0.1", FX_PORT + 2);
	fx_row(rule, (struct fx_row){.port = FX_PORT});
	fx_apply();
	assert_int_equal(fx_connect(client, "127.0.0.1", FX_PORT), 0);
	server = accept4(listener, NULL, NULL, SOCK_CLOEXEC);
	sw_close_cleanup(&server);
	sw_close_cleanup(&client);
	assert_int_equal(fx_one_event()->verdict, SW_VERDICT_REJECT);
	assert_int_equal(fx_sessions(), 0);
	assert_int_equal(fx_counter(SW_COUNT_SESSIONS), 0);
}

static void flow_of_a_failure(void **state)
{
	int client sw_autoclose = fx_socket("127.0.0.1", SOCK_STREAM, 0);
	const struct sw_event *event;
	struct sw_flow flow;

	(void)state;
	fx_gate_policy(TLS, 0);
	assert_int_equal(fx_connect(client, "127.0.0.1", FX_PORT), -ECONNREFUSED);
	assert_true(fx_flow(fx_cookie(client), &flow));
	assert_true(flow.ended_ns != 0);
	assert_int_equal(flow.sent, 0);
	assert_int_equal(flow.received, 0);
	event = ended_session(fx_cookie(client));
	assert_int_equal(event->sent, 0);
	assert_int_equal(event->received, 0);
}

static void samples(void **state)
{
	struct fx_bytes hello = fx_client_hello(), answer = fx_server_hello(0x0304);
	struct fx_talk talk sw_autotalk = {-1, -1, -1, 0};
	const struct sw_sample *sample;
	size_t n;

	(void)state;
	fx_gate_policy(TLS, 0);
	talk = fx_talk_open("127.0.0.1", 0);
	fx_come_to_tls(&talk, 0x0304);
	assert_int_equal(fx_samples(), 1);
	sample = fx_sample(0, &n);
	assert_int_equal(sample->version, SW_ABI_VERSION);
	assert_int_equal(sample->cookie, talk.cookie);
	assert_int_equal(sample->from_server, 0);
	assert_int_equal(sample->whole, 1);
	assert_int_equal(sample->length, hello.n);
	assert_true(n >= sizeof(*sample) + sample->length && n % 8 == 0);
	/* Nothing of what was said in clear before it. */
	assert_memory_equal(sample + 1, hello.data, hello.n);
	fx_say(talk.client, talk.server, FX_FINISHED);
	assert_int_equal(fx_samples(), 1);
	sample = fx_sample(0, &n);
	assert_int_equal(sample->from_server, 1);
	assert_int_equal(sample->cookie, talk.cookie);
	assert_int_equal(sample->length, answer.n);
	assert_memory_equal(sample + 1, answer.data, answer.n);
	assert_int_equal(fx_counter(SW_COUNT_SAMPLES), 2);
	assert_int_equal(fx_counter(SW_COUNT_SAMPLES_LOST), 0);
}

static bool in_ring(const char *text)
{
	size_t n;
	const uint8_t *memory = fx_samples_memory(&n);

	return memmem(memory, n, text, strlen(text));
}

#define RANDOM                                                                                     \
	11 /* where 32 bytes of a ClientHello's own choice begin, behind both headers and version */

/* What was read is overwritten, wherever in the ring it lay. */
static void wipe(void **state)
{
	static const char *const marks[] = {"wipe-one", "wipe-two"};
	uint64_t begin, end;
	size_t size;

	(void)state;
	fx_gate_policy(TLS, 0);
	fx_samples_memory(&size);
	for (size_t i = 0; i < sw_count(marks); i++) {
		struct fx_talk talk sw_autotalk = fx_talk_open("127.0.0.1", 0);
		struct fx_bytes hello = fx_client_hello();
		uint8_t marked[512];

		assert_true(hello.n <= sizeof(marked));
		memcpy(marked, hello.data, hello.n);
		memcpy(marked + RANDOM, marks[i], strlen(marks[i]));
		fx_say_line(talk.client, talk.server, "NOOP unseen\r\nSTARTTLS\r\n");
		fx_say_line(talk.server, talk.client, "220 hi\r\n250 ok\r\n220 yes\r\n");
		fx_say(talk.client, talk.server, marked, hello.n);
		assert_true(in_ring(marks[i]));
		assert_int_equal(fx_samples(), 1);
	}
	assert_true(in_ring(marks[0]) && in_ring(marks[1]));
	assert_false(in_ring("unseen"));
	begin = end = fx_wipe();
	for (int i = 0; i < 8 && end - begin < size; i++) {
		assert_int_equal(fx_samples(), 0); /* nothing to read, but room again */
		end = fx_wipe();
	}
	assert_true(end - begin >= size);
	assert_false(in_ring(marks[0]));
	assert_false(in_ring(marks[1]));
	assert_int_equal(fx_samples(), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(redirected, fx_reset),
		cmocka_unit_test_setup(connected_again, fx_reset),
		cmocka_unit_test_setup(behind_options, fx_reset),
		cmocka_unit_test_setup(translated_port, fx_reset),
		cmocka_unit_test_setup(no_memory, fx_reset),
		cmocka_unit_test_setup(fast_open, fx_reset),
		cmocka_unit_test_setup(mptcp, fx_reset),
		cmocka_unit_test_setup(mptcp_subflow, fx_reset),
		cmocka_unit_test_setup(flow_ends, fx_reset),
		cmocka_unit_test_setup(session, fx_reset),
		cmocka_unit_test_setup(session_that_was_moved, fx_reset),
		cmocka_unit_test_setup(no_session_of_an_answer, fx_reset),
		cmocka_unit_test_setup(flow_of_a_failure, fx_reset),
		cmocka_unit_test_setup(samples, fx_reset),
		cmocka_unit_test_setup(wipe, fx_reset),
	};

	if (!fx_usable())
		return 0;
	fx_up(NULL);
	return cmocka_run_group_tests_name("flows", tests, NULL, fx_down);
}
