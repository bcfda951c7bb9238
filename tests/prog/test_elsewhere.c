/* SPDX-License-Identifier: GPL-2.0-or-later */
/* SMTP on ports that no rule names: recognised by first bytes, told once, and never touched. */
#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "daemon/base.h"
#include "tests/prog/fixture.h"
#include "tests/prog/talk.h"

static const char *const addrs[] = {"127.0.0.1", "::1", "::ffff:127.0.0.1"};

/* Says all of it, in pieces of one size; 0: in one. */
static void say_in(int from, int to, const char *text, size_t piece)
{
	size_t n = strlen(text);

	for (size_t at = 0; at < n; at += piece ? piece : n)
		fx_say(from, to, text + at, piece && piece < n - at ? piece : n - at);
}

static void check_event(const struct sw_event *event, const char *addr)
{
	uint8_t want[16];

	fx_mapped(addr, want);
	assert_int_equal(event->kind, SW_EVENT_ELSEWHERE);
	assert_int_equal(event->verdict, SW_VERDICT_AUDIT);
	assert_int_equal(event->reason, SW_REASON_SMTP_ELSEWHERE);
	assert_int_equal(event->rule, SW_RULE_NONE);
	assert_int_equal(event->served, 0);
	assert_int_equal(event->dst_port, FX_PORT);
	assert_true(event->src_port && event->src_port != FX_PORT);
	assert_memory_equal(event->dst, want, 16);
	assert_int_equal(event->caller.pid, getpid());
	assert_int_equal(event->caller.exe[0], '/');
	assert_string_equal(event->caller.cgroup, "/some.service");
}

static void told(void **state)
{
	static const char *const hellos[] = {"EHLO a.example\r\n", "helo\r\n", "LhLo x\r\n",
					     "eHLO\n"};

	(void)state;
	for (size_t i = 0; i < sw_count(hellos) * sw_count(addrs); i++) {
		struct fx_talk talk sw_autotalk = {-1, -1, -1, 0};

		fx_reset(NULL);
		fx_enter(0, "some.service");
		fx_elsewhere(true);
		talk = fx_talk_open(addrs[i % 3], 0);
		fx_say_line(talk.server, talk.client, i & 1 ? "220-a\r\n220 b\r\n" : "220 hi\r\n");
		/* Whole, in single bytes, in twos. */
		say_in(talk.client, talk.server, hellos[i / 3], i % 3);
		check_event(fx_one_event(), addrs[i % 3]);
		fx_say_line(talk.server, talk.client, "250 ok\r\n");
		fx_say_line(talk.client, talk.server, "EHLO again\r\nMAIL FROM:<>\r\n");
		assert_int_equal(fx_events(), 0);
		assert_int_equal(fx_counter(SW_COUNT_ELSEWHERE), 1);
	}
}

static void not_told(void **state)
{
	static const struct {
		const char *greeting, *answer;
	} cases[] = {
		{"SSH-2.0-OpenSSH_9.2\r\n", "SSH-2.0-x\r\n"},
		{"220 ready\r\n", "USER x\r\n"},
		{"220 ready\r\n", "EHLOX a\r\n"},
		{"220 ready\r\n", "HELLO a\r\n"},
		{"220 ready\r\n", "EHL\r\nO \r\n"},
		{"220ready\r\n", "EHLO x\r\n"},
		{"221 ready\r\n", "EHLO x\r\n"},
		{"HTTP/1.1 200 OK\r\n", "EHLO x\r\n"},
	};

	(void)state;
	for (size_t i = 0; i < sw_count(cases); i++) {
		struct fx_talk talk sw_autotalk = {-1, -1, -1, 0};

		fx_reset(NULL);
		fx_elsewhere(true);
		talk = fx_talk_open(addrs[i % 3], 0);
		fx_say_line(talk.server, talk.client, cases[i].greeting);
		fx_say_line(talk.client, talk.server, cases[i].answer);
		fx_say_line(talk.client, talk.server, "EHLO x\r\n");
		assert_int_equal(fx_events(), 0);
	}
}

/* A client that speaks first, as of HTTP; and a server of ours to which the other side does as one of SMTP. */
static void other_ways_round(void **state)
{
	struct fx_talk talk sw_autotalk = {-1, -1, -1, 0};

	(void)state;
	fx_elsewhere(true);
	talk = fx_talk_open("127.0.0.1", 0);
	fx_say_line(talk.client, talk.server, "GET / HTTP/1.0\r\n\r\n");
	fx_say_line(talk.server, talk.client, "220 hi\r\n");
	fx_say_line(talk.client, talk.server, "EHLO x\r\n");
	fx_talk_close(&talk);
	talk = fx_talk_open("::1", 0);
	fx_say_line(talk.client, talk.server, "220 hi\r\n");
	fx_say_line(talk.server, talk.client, "EHLO x\r\n");
	assert_int_equal(fx_events(), 0);
}

static void off(void **state)
{
	struct fx_talk talk sw_autotalk = {-1, -1, -1, 0};

	(void)state;
	talk = fx_talk_open("127.0.0.1", 0);
	fx_greet(&talk);
	assert_int_equal(fx_events(), 0);
	assert_int_equal(fx_counter(SW_COUNT_ELSEWHERE), 0);
}

/* What a rule names is told by its rule, also what is sent from there to a port that none names. */
static void guarded(void **state)
{
	int listener sw_autoclose = fx_listening("127.0.0.1", FX_PORT + 1, 0), server = -1;
	int client sw_autoclose = fx_socket("127.0.0.1", SOCK_STREAM, 0);
	struct fx_talk talk sw_autotalk = {-1, -1, -1, 0};
	uint16_t rule;

	(void)state;
	fx_elsewhere(true);
	fx_gate_policy(SW_ACTION_ALLOW, 0);
	talk = fx_talk_open("127.0.0.1", 0);
	fx_greet(&talk);
	fx_begin(0);
	rule = fx_rule(SW_ACTION_REDIRECT, 0);
	fx_target(rule, "127.0.0.1", FX_PORT + 1);
	fx_row(rule, (struct fx_row){.port = 25});
	fx_apply();
	assert_int_equal(fx_connect(client, "127.0.0.1", 25), 0);
	server = accept4(listener, NULL, NULL, SOCK_CLOEXEC);
	fx_limit_waiting(server);
	fx_limit_waiting(client);
	fx_say_line(server, client, "220 hi\r\n");
	fx_say_line(client, server, "EHLO x\r\n");
	close(server);
	assert_int_equal(fx_one_event()->kind, SW_EVENT_CONNECT);
	assert_int_equal(fx_counter(SW_COUNT_ELSEWHERE), 0);
}

/* Each connection is counted; events are as many as the limiter lets through. */
static void limited(void **state)
{
	uint64_t told = 0;

	(void)state;
	fx_elsewhere(true);
	for (int i = 0; i < 40; i++) {
		struct fx_talk talk sw_autotalk = fx_talk_open("127.0.0.1", 0);

		fx_greet(&talk);
	}
	told = fx_events();
	assert_in_range(told, 1, 40);
	assert_int_equal(fx_counter(SW_COUNT_ELSEWHERE), 40);
	assert_int_equal(told + fx_counter(SW_COUNT_SUPPRESSED), 40);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(told, fx_reset),
		cmocka_unit_test_setup(not_told, fx_reset),
		cmocka_unit_test_setup(other_ways_round, fx_reset),
		cmocka_unit_test_setup(off, fx_reset),
		cmocka_unit_test_setup(guarded, fx_reset),
		cmocka_unit_test_setup(limited, fx_reset),
	};

	if (!fx_usable())
		return 0;
	fx_up(NULL);
	return cmocka_run_group_tests_name("elsewhere", tests, NULL, fx_down);
}
