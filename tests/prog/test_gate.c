/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The gate on live sockets: what leaves before TLS, and what becomes of the rest. */
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

/* TLS is required; the client has said EHLO and has its answer. */
static struct fx_talk greeted(void)
{
	struct fx_talk talk;

	fx_gate_policy(TLS, 0);
	talk = fx_talk_open("127.0.0.1", 0);
	fx_greet(&talk);
	return talk;
}

/* ---- what may pass ---- */

static const char *const addrs[] = {"127.0.0.1", "::1", "::ffff:127.0.0.1"};

static void check_tls_flow(const struct fx_talk *talk, uint8_t tls)
{
	struct sw_flow flow = fx_flow_of(talk);

	assert_int_equal(flow.state, SW_FLOW_TLS);
	assert_int_equal(flow.tls, tls);
	assert_int_equal(flow.tls_version, 0x0304);
	assert_int_equal(flow.cipher, 0x1302);
	assert_int_equal(flow.reason, SW_REASON_NONE);
	assert_int_equal(fx_counter(SW_COUNT_TLS), 1);
	assert_int_equal(fx_counter(SW_COUNT_CONDEMNED), 0);
	assert_int_equal(fx_events(), 0);
}

static void starttls(void **state)
{
	(void)state;
	for (size_t i = 0; i < sw_count(addrs); i++) {
		struct fx_talk talk sw_autotalk = {-1, -1, -1, 0};

		fx_reset(NULL);
		fx_gate_policy(TLS, 0);
		talk = fx_talk_open(addrs[i], 0);
		fx_come_to_tls(&talk, 0x0304);
		assert_int_equal(fx_flow_of(&talk).state, SW_FLOW_HELLO_SENT);
		fx_say(talk.client, talk.server, FX_FINISHED);
		check_tls_flow(&talk, SW_TLS_STARTTLS);
		/* What is within TLS is nobody's business. */
		fx_say_line(talk.client, talk.server, "AUTH PLAIN c2VjcmV0\r\n");
		fx_say_line(talk.server, talk.client, "220 220 220\r\n");
	}
}

static void implicit(void **state)
{
	struct fx_bytes hello = fx_client_hello(), answer = fx_server_hello(0x0304);
	struct fx_talk talk sw_autotalk = {-1, -1, -1, 0};

	(void)state;
	fx_gate_policy(TLS, SW_RULE_IMPLICIT);
	talk = fx_talk_open("127.0.0.1", 0);
	fx_say(talk.client, talk.server, hello.data, hello.n);
	fx_say(talk.server, talk.client, answer.data, answer.n);
	fx_say(talk.client, talk.server, FX_FINISHED);
	check_tls_flow(&talk, SW_TLS_IMPLICIT);
}

static void single_bytes(void **state)
{
	static const char commands[] = "EHLO client.example.net\r\nNOOP\r\nSTARTTLS\r\n";
	struct fx_bytes hello = fx_client_hello();
	struct fx_talk talk sw_autotalk = {-1, -1, -1, 0};

	(void)state;
	fx_gate_policy(TLS, 0);
	talk = fx_talk_open("127.0.0.1", 0);
	fx_say_line(talk.server, talk.client, "220 hi\r\n");
	for (size_t i = 0; i < sizeof(commands) - 1; i++)
		fx_say(talk.client, talk.server, &commands[i], 1);
	for (const char *c = "250 STARTTLS\r\n250 ok\r\n220 yes\r\n"; *c; c++)
		fx_say(talk.server, talk.client, c, 1);
	for (size_t i = 0; i < hello.n; i++)
		fx_say(talk.client, talk.server, &hello.data[i], 1);
	assert_int_equal(fx_flow_of(&talk).state, SW_FLOW_HELLO_SENT);
	assert_int_equal(fx_events(), 0);
}

static void states_in_between(void **state)
{
	struct fx_bytes hello = fx_client_hello();
	struct fx_talk talk sw_autotalk = {-1, -1, -1, 0};

	(void)state;
	fx_gate_policy(TLS, 0);
	talk = fx_talk_open("127.0.0.1", 0);
	assert_int_equal(fx_flow_of(&talk).state, SW_FLOW_START);
	fx_greet(&talk);
	assert_int_equal(fx_flow_of(&talk).state, SW_FLOW_CLEAR);
	fx_say_line(talk.client, talk.server, "STARTTLS\r\n");
	assert_int_equal(fx_flow_of(&talk).state, SW_FLOW_ASKED);
	fx_say_line(talk.server, talk.client, "220 go ahead\r\n");
	fx_say(talk.client, talk.server, hello.data, 10);
	assert_int_equal(fx_flow_of(&talk).state, SW_FLOW_HELLO);
}

/* ---- what may not ---- */

static void auth_never_arrives(void **state)
{
	const struct sw_event *event;

	(void)state;
	for (size_t i = 0; i < sw_count(addrs); i++) {
		struct fx_talk talk sw_autotalk = {-1, -1, -1, 0};

		fx_reset(NULL);
		fx_gate_policy(TLS, 0);
		talk = fx_talk_open(addrs[i], 0);
		fx_greet(&talk);
		fx_post(talk.client, "AUTH PLAIN c2VjcmV0\r\n");
		event = fx_one_event();
		fx_check_gate_event(event, &talk, SW_VERDICT_RESET, SW_REASON_CLEARTEXT_COMMAND);
		assert_int_equal(event->verb, SW_VERB_AUTH);
		assert_int_equal(event->mechanism, SW_MECHANISM_PLAIN);
		assert_int_equal(event->from_server, 0);
		assert_int_equal(fx_counter(SW_COUNT_CONDEMNED), 1);
		assert_true(fx_counter(SW_COUNT_GATE_DROPPED) >= 1);
		fx_expect_nothing_but(talk.server, talk.client, "");
	}
}

/* Also what would have been permitted; and nothing of the server's. */
static void condemned_for_good(void **state)
{
	struct fx_talk talk sw_autotalk = greeted();

	(void)state;
	fx_post(talk.client, "MAIL FROM:<a@example.net>\r\n");
	fx_post(talk.client, "QUIT\r\n");
	fx_post(talk.server, "221 bye\r\n");
	fx_expect_nothing(talk.client);
	assert_int_equal(fx_events(), 1);
	assert_int_equal(fx_event(0)->verb, SW_VERB_MAIL);
	assert_true(fx_counter(SW_COUNT_GATE_DROPPED) >= 2);
	fx_expect_nothing_but(talk.server, talk.client, "");
}

/* The first byte that cannot become anything else is the first that does not leave. */
static void split_verb(void **state)
{
	struct fx_talk talk sw_autotalk = greeted();

	(void)state;
	fx_say_line(talk.client, talk.server, "R");
	fx_post(talk.client, "C");
	fx_post(talk.client, "PT TO:<b@example.net>\r\n");
	assert_int_equal(fx_one_event()->reason, SW_REASON_CLEARTEXT_COMMAND);
	fx_expect_nothing_but(talk.server, talk.client, "");
}

static void stripped(void **state)
{
	struct fx_talk talk sw_autotalk = {-1, -1, -1, 0};

	(void)state;
	fx_gate_policy(TLS, 0);
	talk = fx_talk_open("127.0.0.1", 0);
	fx_say_line(talk.server, talk.client, "220 hi\r\n");
	fx_say_line(talk.client, talk.server, "EHLO c\r\n");
	fx_say_line(talk.server, talk.client, "250-hi\r\n250 SIZE\r\n");
	fx_post(talk.client, "MAIL FROM:<a@example.net>\r\n");
	assert_int_equal(fx_one_event()->reason, SW_REASON_STARTTLS_STRIPPED);
}

static void injected_by_the_server(void **state)
{
	struct fx_talk talk sw_autotalk = {-1, -1, -1, 0};
	const struct sw_event *event;

	(void)state;
	fx_gate_policy(TLS, 0);
	talk = fx_talk_open("127.0.0.1", 0);
	fx_greet(&talk);
	fx_say_line(talk.client, talk.server, "STARTTLS\r\n");
	fx_post(talk.server, "220 go ahead\r\n250 injected\r\n");
	event = fx_one_event();
	fx_check_gate_event(event, &talk, SW_VERDICT_RESET, SW_REASON_STARTTLS_INJECTION);
	assert_int_equal(event->from_server, 1);
	fx_expect_nothing(talk.client);
	fx_post(talk.client, "NOOP\r\n");
	fx_expect_nothing_but(talk.server, talk.client, "");
}

static void tls_too_old(void **state)
{
	struct fx_bytes hello = fx_client_hello(), answer = fx_server_hello(0x0302);
	struct fx_talk talk sw_autotalk = {-1, -1, -1, 0};
	const struct sw_event *event;
	uint16_t rule;

	(void)state;
	rule = fx_simple(FX_PORT, TLS, 0);
	fx_version(rule, 0x0303);
	fx_apply();
	talk = fx_talk_open("127.0.0.1", 0);
	fx_say(talk.client, talk.server, hello.data, hello.n);
	assert_int_equal(send(talk.server, answer.data, answer.n, 0), answer.n);
	event = fx_one_event();
	fx_check_gate_event(event, &talk, SW_VERDICT_RESET, SW_REASON_TLS_TOO_OLD);
	assert_int_equal(event->tls_version, 0x0302);
	assert_int_equal(event->tls, SW_TLS_IMPLICIT);
	fx_expect_nothing(talk.client);
}

static void urgent_data(void **state)
{
	struct fx_talk talk sw_autotalk = {-1, -1, -1, 0};

	(void)state;
	fx_gate_policy(TLS, 0);
	talk = fx_talk_open("127.0.0.1", 0);
	assert_int_equal(send(talk.client, "NXOOP\r\n", 2, MSG_OOB), 2);
	assert_int_equal(fx_one_event()->reason, SW_REASON_MALFORMED);
}

/* ---- segments ahead of what was read ---- */

/* In repair mode TCP takes bytes for sent and does not send them: to it, they were lost before the gate
   could see them, and it sends them again by its own timer. */
static void lose(int fd, const char *bytes)
{
	static const int on = TCP_REPAIR_ON, off = TCP_REPAIR_OFF_NO_WP, queue = TCP_SEND_QUEUE;

	assert_return_code(setsockopt(fd, IPPROTO_TCP, TCP_REPAIR, &on, sizeof(on)), errno);
	assert_return_code(setsockopt(fd, IPPROTO_TCP, TCP_REPAIR_QUEUE, &queue, sizeof(queue)),
			   errno);
	fx_post(fd, bytes);
	assert_return_code(setsockopt(fd, IPPROTO_TCP, TCP_REPAIR, &off, sizeof(off)), errno);
}

static void held_until_the_rest_came(void **state)
{
	(void)state;
	for (size_t i = 0; i < sw_count(addrs); i++) {
		struct fx_talk talk sw_autotalk = {-1, -1, -1, 0};

		fx_reset(NULL);
		fx_gate_policy(TLS, 0);
		talk = fx_talk_open(addrs[i], 0);
		fx_greet(&talk);
		assert_int_equal(fx_counter(SW_COUNT_GATE_HELD), 0);
		lose(talk.client, "NOOP\r\n");
		fx_post(talk.client, "RSET\r\n");
		assert_true(fx_counter(SW_COUNT_GATE_HELD) >= 1);
		fx_expect(talk.server, "NOOP\r\nRSET\r\n", 12);
		assert_int_equal(fx_events(), 0);
		assert_int_equal(fx_counter(SW_COUNT_CONDEMNED), 0);
	}
}

/* What passes for a permitted command may be the end of another one. */
static void nothing_slips_past(void **state)
{
	struct fx_talk talk sw_autotalk = greeted();

	(void)state;
	lose(talk.client, "AUTH PLAIN c2VjcmV0\r\n");
	fx_post(talk.client, "NOOP\r\n");
	assert_int_equal(fx_await_events(), 1);
	fx_check_gate_event(fx_event(0), &talk, SW_VERDICT_RESET, SW_REASON_CLEARTEXT_COMMAND);
	assert_int_equal(fx_event(0)->verb, SW_VERB_AUTH);
	fx_expect_nothing_but(talk.server, talk.client, "");
}

/* Bytes that passed while nobody looked do not come again: no waiting for them. */
static void missed_for_good(void **state)
{
	(void)state;
	for (int server = 0; server < 2; server++) {
		struct fx_talk talk sw_autotalk = {-1, -1, -1, 0};
		enum fx_program hook = server ? FX_INGRESS : FX_EGRESS;
		int from, to;

		fx_reset(NULL);
		fx_gate_policy(TLS, 0);
		talk = fx_talk_open("127.0.0.1", 0);
		fx_greet(&talk);
		from = server ? talk.server : talk.client;
		to = server ? talk.client : talk.server;
		fx_detach(hook);
		fx_say_line(from, to, "250 ok\r\n");
		fx_attach(hook);
		fx_post(from, "250 ok\r\n");
		assert_int_equal(fx_await_events(), 1);
		fx_check_gate_event(fx_event(0), &talk, SW_VERDICT_RESET, SW_REASON_MALFORMED);
		assert_int_equal(fx_event(0)->from_server, server);
		fx_expect_nothing(to);
	}
}

/* ---- pages that the sender can still write to ---- */

static void refused_for_shared_pages(struct fx_talk *talk)
{
	fx_check_gate_event(fx_one_event(), talk, SW_VERDICT_RESET, SW_REASON_SHARED_PAGES);
	fx_expect_nothing_but(talk->server, talk->client, "");
}

static void from_a_file(void **state)
{
	struct fx_talk talk sw_autotalk = {-1, -1, -1, 0};
	int file sw_autoclose = memfd_create("smtpwall-test", MFD_CLOEXEC);
	off_t at = 0;

	(void)state;
	assert_int_equal(write(file, "NOOP\r\n", 6), 6);
	fx_gate_policy(TLS, 0);
	talk = fx_talk_open("127.0.0.1", 0);
	fx_greet(&talk);
	assert_int_equal(sendfile(talk.client, file, &at, 6), 6);
	refused_for_shared_pages(&talk);
}

static void without_copying(void **state)
{
	struct fx_talk talk sw_autotalk = {-1, -1, -1, 0};
	char page[4096] = "NOOP\r\n";
	int one = 1;

	(void)state;
	fx_gate_policy(TLS, 0);
	talk = fx_talk_open("127.0.0.1", 0);
	fx_greet(&talk);
	assert_return_code(setsockopt(talk.client, SOL_SOCKET, SO_ZEROCOPY, &one, sizeof(one)),
			   errno);
	assert_int_equal(send(talk.client, page, 6, MSG_ZEROCOPY), 6);
	refused_for_shared_pages(&talk);
}

static void shared_pages_within_tls(void **state)
{
	struct fx_talk talk sw_autotalk = {-1, -1, -1, 0};
	int file sw_autoclose = memfd_create("smtpwall-test", MFD_CLOEXEC);
	off_t at = 0;

	(void)state;
	assert_int_equal(write(file, "NOOP\r\n", 6), 6);
	fx_gate_policy(TLS, 0);
	talk = fx_talk_open("127.0.0.1", 0);
	fx_come_to_tls(&talk, 0x0304);
	assert_int_equal(sendfile(talk.client, file, &at, 6), 6);
	fx_expect(talk.server, "NOOP\r\n", 6);
	assert_int_equal(fx_flow_of(&talk).state, SW_FLOW_TLS);
}

/* ---- where it is only recorded ---- */

static void recorded(uint8_t action, uint8_t flags)
{
	struct fx_talk talk sw_autotalk = {-1, -1, -1, 0};
	size_t connects = action == SW_ACTION_AUDIT;

	fx_reset(NULL);
	fx_gate_policy(action, flags);
	talk = fx_talk_open("127.0.0.1", 0);
	assert_int_equal(fx_events(), connects);
	fx_greet(&talk);
	fx_say_line(talk.client, talk.server, "AUTH LOGIN\r\n");
	fx_check_gate_event(fx_one_event(), &talk, SW_VERDICT_AUDIT, SW_REASON_CLEARTEXT_COMMAND);
	fx_say_line(talk.client, talk.server, "MAIL FROM:<a@example.net>\r\n");
	assert_int_equal(fx_events(), 0);
	assert_int_equal(fx_counter(SW_COUNT_AUDITED), 1);
	assert_int_equal(fx_counter(SW_COUNT_CONDEMNED), 0);
	assert_int_equal(fx_counter(SW_COUNT_GATE_DROPPED), 0);
}

static void recorded_only(void **state)
{
	(void)state;
	recorded(TLS, SW_RULE_AUDIT);
	recorded(SW_ACTION_AUDIT, 0);
	recorded(SW_ACTION_AUDIT, SW_RULE_AUDIT);
}

/* A packet that finds its half taken: held where the rule is enforced, and only there. */
static void taken_on_another_cpu(void **state)
{
	struct fx_talk talk sw_autotalk = {-1, -1, -1, 0}, other sw_autotalk = {-1, -1, -1, 0};

	(void)state;
	fx_gate_policy(TLS, SW_RULE_AUDIT);
	talk = fx_talk_open("127.0.0.1", 0);
	fx_greet(&talk);
	fx_take_gate(talk.client);
	fx_say_line(talk.client, talk.server, "NOOP\r\n");
	fx_say_line(talk.server, talk.client, "250 ok\r\n");
	assert_int_equal(fx_counter(SW_COUNT_GATE_HELD), 0);
	assert_int_equal(fx_counter(SW_COUNT_GATE_DROPPED), 0);

	fx_reset(NULL);
	fx_gate_policy(TLS, 0);
	other = fx_talk_open("::1", 0);
	fx_greet(&other);
	fx_take_gate(other.client);
	fx_post(other.client, "NOOP\r\n");
	assert_true(fx_counter(SW_COUNT_GATE_HELD) >= 1);
	fx_expect_nothing(other.server);
}

/* Opens one after the other, each of which is ended, until the ring has no room. */
static void lose_events(struct fx_talk *last)
{
	uint64_t lost = fx_counter(SW_COUNT_LOST);

	while (fx_counter(SW_COUNT_LOST) == lost) {
		fx_talk_close(last);
		*last = fx_talk_open("127.0.0.1", 0);
		fx_post(last->client, "DATA\r\n");
	}
}

static bool is_told(const struct fx_talk *talk, size_t events)
{
	for (size_t i = 0; i < events; i++)
		if (fx_event(i)->cookie == talk->cookie)
			return true;
	return false;
}

/* The ring is full when a connection is condemned: its event comes when the program, told nothing, has its
   bytes sent again. Each attempt is counted. */
static void lost_event_is_told_again(void **state)
{
	struct fx_talk last sw_autotalk = {-1, -1, -1, 0};
	uint64_t counted, taken = 0;
	size_t events;

	(void)state;
	fx_gate_policy(TLS, 0);
	/* What was lost may be the end of a connection that was closed before, then the last one was told. */
	do {
		lose_events(&last);
		/* Connections that were closed end meanwhile. */
		counted = fx_counter(SW_COUNT_EVENTS);
		events = fx_events();
		taken += events + fx_sessions();
		assert_in_range(taken, counted, fx_counter(SW_COUNT_EVENTS));
	} while (is_told(&last, events));
	assert_int_equal(fx_await_events(), 1);
	fx_check_gate_event(fx_event(0), &last, SW_VERDICT_RESET, SW_REASON_CLEARTEXT_COMMAND);
	fx_expect_nothing_but(last.server, last.client, "");
	assert_int_equal(fx_events(), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(starttls, fx_reset),
		cmocka_unit_test_setup(implicit, fx_reset),
		cmocka_unit_test_setup(single_bytes, fx_reset),
		cmocka_unit_test_setup(states_in_between, fx_reset),
		cmocka_unit_test_setup(auth_never_arrives, fx_reset),
		cmocka_unit_test_setup(condemned_for_good, fx_reset),
		cmocka_unit_test_setup(split_verb, fx_reset),
		cmocka_unit_test_setup(stripped, fx_reset),
		cmocka_unit_test_setup(injected_by_the_server, fx_reset),
		cmocka_unit_test_setup(tls_too_old, fx_reset),
		cmocka_unit_test_setup(urgent_data, fx_reset),
		cmocka_unit_test_setup(held_until_the_rest_came, fx_reset),
		cmocka_unit_test_setup(nothing_slips_past, fx_reset),
		cmocka_unit_test_setup(missed_for_good, fx_reset),
		cmocka_unit_test_setup(from_a_file, fx_reset),
		cmocka_unit_test_setup(without_copying, fx_reset),
		cmocka_unit_test_setup(shared_pages_within_tls, fx_reset),
		cmocka_unit_test_setup(recorded_only, fx_reset),
		cmocka_unit_test_setup(taken_on_another_cpu, fx_reset),
		cmocka_unit_test_setup(lost_event_is_told_again, fx_reset),
	};

	if (!fx_usable())
		return 0;
	fx_up(NULL);
	return cmocka_run_group_tests_name("gate", tests, NULL, fx_down);
}
