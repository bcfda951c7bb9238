/* SPDX-License-Identifier: GPL-2.0-or-later */
/* connect() to somewhere else than was asked for: redirects, answers, and the same socket used again. */
#include <errno.h>
#include <string.h>

#include "daemon/base.h"
#include "tests/prog/fixture.h"

/* ---- redirect ---- */

static void peer_of(int fd, struct fx_addr *addr)
{
	addr->length = sizeof(addr->storage);
	memset(&addr->storage, 0, sizeof(addr->storage));
	assert_return_code(getpeername(fd, (struct sockaddr *)&addr->storage, &addr->length),
			   errno);
}

static void assert_peer(int fd, const char *text, uint16_t port)
{
	struct fx_addr want = fx_addr(text, port), got;

	peer_of(fd, &got);
	assert_int_equal(got.length, want.length);
	assert_memory_equal(&got.storage, &want.storage, want.length);
}

static void redirect_policy(void)
{
	uint16_t rule = fx_simple(25, SW_ACTION_REDIRECT, 0);

	fx_target(rule, "127.0.0.1", 2525);
	fx_target(rule, "::1", 2526);
	fx_apply();
}

/* Where connections to port 25 end up. */
static const struct way {
	const char *to, *arrives;
	uint16_t port;
} ways[] = {
	{"192.0.2.1", "127.0.0.1", 2525},
	{"2001:db8::1", "::1", 2526},
	{"::ffff:192.0.2.1", "127.0.0.1", 2525},
};

/* Connects, and something can be sent; the event that came of it. */
static const struct sw_event *connect_elsewhere(const struct way *way)
{
	int fd sw_autoclose = fx_socket(way->to, SOCK_STREAM, 0);
	const struct sw_event *event;
	uint8_t to[16];

	assert_int_equal(fx_connect(fd, way->to, 25), 0);
	assert_peer(fd, way->to, 25);
	event = fx_one_event();
	assert_int_equal(event->dst_port, 25);
	assert_int_equal(event->new_port, way->port);
	fx_mapped(way->arrives, to);
	assert_memory_equal(event->new_dst, to, 16);
	fx_mapped(way->to, to);
	assert_memory_equal(event->dst, to, 16);
	assert_int_equal(send(fd, "x", 1, 0), 1);
	assert_int_equal(fx_counter(SW_COUNT_PACKET_DROPPED), 0);
	return event;
}

static void redirect(void **state)
{
	for (size_t i = 0; i < sw_count(ways); i++) {
		const struct sw_event *event;

		fx_reset(state);
		redirect_policy();
		event = connect_elsewhere(&ways[i]);
		assert_int_equal(event->verdict, SW_VERDICT_REDIRECT);
		assert_int_equal(fx_counter(SW_COUNT_REDIRECTED), 1);
	}
}

/* The target's port is guarded as well: the permission is for where the socket goes. */
static void redirect_to_a_guarded_port(void **state)
{
	int fd sw_autoclose = fx_socket("192.0.2.1", SOCK_STREAM, 0);
	uint16_t rule;

	(void)state;
	fx_begin(1);
	rule = fx_rule(SW_ACTION_REDIRECT, 0);
	fx_target(rule, "127.0.0.1", 587);
	fx_row(rule, (struct fx_row){.port = 25});
	fx_row(fx_rule(SW_ACTION_REJECT, 0), (struct fx_row){.port = 587});
	fx_apply();
	assert_int_equal(fx_connect(fd, "192.0.2.1", 25), 0);
	assert_int_equal(send(fd, "x", 1, 0), 1);
	assert_int_equal(fx_try("127.0.0.1", 587), -EACCES);
	assert_int_equal(fx_counter(SW_COUNT_PACKET_DROPPED), 0);
}

/* Only the IPv4 target is there. */
static void redirect_without_target(void **state)
{
	uint16_t rule = fx_simple(25, SW_ACTION_REDIRECT, 0);

	(void)state;
	fx_target(rule, "127.0.0.1", 2525);
	fx_apply();
	assert_int_equal(fx_try("::1", 25), -EACCES);
	assert_int_equal(fx_one_event()->reason, SW_REASON_NO_TARGET);
	assert_int_equal(fx_try("::ffff:192.0.2.1", 25), 0);
}

static void redirect_in_audit_mode(void **state)
{
	int fd sw_autoclose = fx_socket("127.0.0.1", SOCK_STREAM, 0);
	uint16_t rule = fx_simple(25, SW_ACTION_REDIRECT, SW_RULE_AUDIT);
	const struct sw_event *event;

	(void)state;
	fx_target(rule, "127.0.0.1", 2525);
	fx_apply();
	assert_int_equal(fx_connect(fd, "127.0.0.1", 25), 0);
	assert_peer(fd, "127.0.0.1", 25);
	event = fx_one_event();
	assert_int_equal(event->verdict, SW_VERDICT_AUDIT);
	assert_int_equal(event->reason, SW_REASON_NONE);
	assert_int_equal(event->new_port, 0);
}

/* ---- a refusal that answers: to where it is said ---- */

static void answer_policy(uint8_t flags)
{
	uint16_t rule = fx_simple(25, SW_ACTION_REJECT, SW_RULE_ANSWER | flags);

	fx_target(rule, "127.0.0.1", 2525);
	fx_target(rule, "::1", 2526);
	fx_apply();
}

/* A refusal to who asks and counts, and a connection all the same. */
static void answer(void **state)
{
	for (size_t i = 0; i < sw_count(ways); i++) {
		const struct sw_event *event;

		fx_reset(state);
		answer_policy(0);
		event = connect_elsewhere(&ways[i]);
		assert_int_equal(event->kind, SW_EVENT_CONNECT);
		assert_int_equal(event->verdict, SW_VERDICT_REJECT);
		assert_int_equal(event->reason, SW_REASON_NOT_PERMITTED);
		assert_int_equal(event->rule, 0);
		assert_int_equal(fx_counter(SW_COUNT_CONNECT), 1);
		assert_int_equal(fx_counter(SW_COUNT_REFUSED), 1);
		assert_int_equal(fx_counter(SW_COUNT_REDIRECTED), 0);
		assert_int_equal(fx_counter(SW_COUNT_ALLOWED), 0);
		assert_int_equal(fx_hits(1, 0), 1);
	}
}

/* Where the daemon does not listen there is no answer, but a refusal. */
static void answer_without_target(void **state)
{
	const struct sw_event *event;
	uint16_t rule;

	(void)state;
	fx_simple(25, SW_ACTION_REJECT, SW_RULE_ANSWER);
	fx_apply();
	assert_int_equal(fx_try("192.0.2.1", 25), -EACCES);
	event = fx_one_event();
	assert_int_equal(event->verdict, SW_VERDICT_REJECT);
	assert_int_equal(event->reason, SW_REASON_NOT_PERMITTED);
	assert_int_equal(event->new_port, 0);

	rule = fx_simple(25, SW_ACTION_REJECT, SW_RULE_ANSWER);
	fx_target(rule, "::1", 2526);
	fx_apply();
	assert_int_equal(fx_try("192.0.2.1", 25), -EACCES);
	assert_int_equal(fx_try("::ffff:192.0.2.1", 25), -EACCES);
	assert_int_equal(fx_try("2001:db8::1", 25), 0);
}

static void answer_in_audit_mode(void **state)
{
	int fd sw_autoclose = fx_socket("127.0.0.1", SOCK_STREAM, 0);
	const struct sw_event *event;

	(void)state;
	answer_policy(SW_RULE_AUDIT);
	assert_int_equal(fx_connect(fd, "127.0.0.1", 25), 0);
	assert_peer(fd, "127.0.0.1", 25);
	event = fx_one_event();
	assert_int_equal(event->verdict, SW_VERDICT_AUDIT);
	assert_int_equal(event->reason, SW_REASON_NOT_PERMITTED);
	assert_int_equal(event->new_port, 0);
	assert_int_equal(fx_counter(SW_COUNT_AUDITED), 1);
	assert_int_equal(fx_counter(SW_COUNT_REFUSED), 0);
}

/* ---- a socket used again ---- */

static void disconnect(int fd)
{
	struct sockaddr any = {.sa_family = AF_UNSPEC};

	assert_return_code(connect(fd, &any, sizeof(any)), errno);
}

/* What an earlier connect was told is not told about a later one. */
static void no_stale_peer(void **state)
{
	int fd sw_autoclose = fx_socket("127.0.0.1", SOCK_STREAM, 0);

	(void)state;
	redirect_policy();
	assert_int_equal(fx_connect(fd, "192.0.2.1", 25), 0);
	assert_peer(fd, "192.0.2.1", 25);
	disconnect(fd);
	assert_int_equal(fx_connect(fd, "127.0.0.1", 2525), 0);
	assert_peer(fd, "127.0.0.1", 2525);
}

static void no_stale_permission(void **state)
{
	int fd sw_autoclose = fx_socket("127.0.0.1", SOCK_STREAM, 0);

	(void)state;
	fx_begin(1);
	fx_row(fx_rule(SW_ACTION_REJECT, 0), (struct fx_row){.port = 25});
	fx_row(fx_rule(SW_ACTION_ALLOW, 0), (struct fx_row){.port = 587});
	fx_apply();
	assert_int_equal(fx_connect(fd, "127.0.0.1", 25), -EACCES);
	assert_int_equal(fx_connect(fd, "127.0.0.1", 587), 0);
	disconnect(fd);
	assert_int_equal(fx_connect(fd, "127.0.0.1", 25), -EACCES);
	assert_int_equal(fx_connect(fd, "127.0.0.1", 8080), 0);
	assert_int_equal(send(fd, "x", 1, 0), 1);
	assert_int_equal(fx_counter(SW_COUNT_REFUSED), 2);
	assert_int_equal(fx_counter(SW_COUNT_ALLOWED), 1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(redirect, fx_reset),
		cmocka_unit_test_setup(redirect_to_a_guarded_port, fx_reset),
		cmocka_unit_test_setup(redirect_without_target, fx_reset),
		cmocka_unit_test_setup(redirect_in_audit_mode, fx_reset),
		cmocka_unit_test_setup(answer, fx_reset),
		cmocka_unit_test_setup(answer_without_target, fx_reset),
		cmocka_unit_test_setup(answer_in_audit_mode, fx_reset),
		cmocka_unit_test_setup(no_stale_peer, fx_reset),
		cmocka_unit_test_setup(no_stale_permission, fx_reset),
	};

	if (!fx_usable())
		return 0;
	fx_up(NULL);
	fx_listen(25);
	fx_listen(587);
	fx_listen(2525);
	fx_listen(2526);
	fx_listen(8080);
	return cmocka_run_group_tests_name("redirect", tests, NULL, fx_down);
}
