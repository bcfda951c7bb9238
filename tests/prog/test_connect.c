/* SPDX-License-Identifier: GPL-2.0-or-later */
/* connect(): verdicts, counters, events, on real sockets. */
#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "daemon/base.h"
#include "tests/prog/fixture.h"

#ifndef IPPROTO_MPTCP
#define IPPROTO_MPTCP 262
#endif

/* ---- a table: one rule for everybody, one connect ---- */

struct connect_case {
	const char *name;
	uint8_t action, flags;
	const char *to;
	uint16_t port;
	int type, protocol;
	int result; /* of connect() */
	int verdict, reason;
	int family;  /* that the event tells; 0: no event */
	int counter; /* that goes up; -1: none, the connect is not looked at */
};

#define ALLOW SW_ACTION_ALLOW
#define REJECT SW_ACTION_REJECT
#define REFUSED -EACCES, SW_VERDICT_REJECT, SW_REASON_NOT_PERMITTED
#define UNTOUCHED 0, 0, 0, 0, -1
#define TCP SOCK_STREAM, 0

static const struct connect_case connect_cases[] = {
	{"IPv4", REJECT, 0, "127.0.0.1", 25, TCP, REFUSED, 4, SW_COUNT_REFUSED},
	{"IPv6", REJECT, 0, "::1", 25, TCP, REFUSED, 6, SW_COUNT_REFUSED},
	{"v4-mapped", REJECT, 0, "::ffff:127.0.0.1", 25, TCP, REFUSED, 4, SW_COUNT_REFUSED},
	{"MPTCP", REJECT, 0, "127.0.0.1", 25, SOCK_STREAM, IPPROTO_MPTCP, REFUSED, 4,
	 SW_COUNT_REFUSED},
	{"MPTCP6", REJECT, 0, "::1", 25, SOCK_STREAM, IPPROTO_MPTCP, REFUSED, 6, SW_COUNT_REFUSED},
	{"non-blocking", REJECT, 0, "127.0.0.1", 25, SOCK_STREAM | SOCK_NONBLOCK, 0, REFUSED, 4,
	 SW_COUNT_REFUSED},
	{"drop is told at once", SW_ACTION_DROP, 0, "127.0.0.1", 25, TCP, -EACCES, SW_VERDICT_DROP,
	 SW_REASON_NOT_PERMITTED, 4, SW_COUNT_REFUSED},
	{"unknown action", 200, 0, "127.0.0.1", 25, TCP, REFUSED, 4, SW_COUNT_REFUSED},
	{"allow IPv4", ALLOW, 0, "127.0.0.1", 25, TCP, 0, 0, 0, 0, SW_COUNT_ALLOWED},
	{"allow IPv6", ALLOW, 0, "::1", 25, TCP, 0, 0, 0, 0, SW_COUNT_ALLOWED},
	{"allow v4-mapped", ALLOW, 0, "::ffff:127.0.0.1", 25, TCP, 0, 0, 0, 0, SW_COUNT_ALLOWED},
	{"allow MPTCP", ALLOW, 0, "127.0.0.1", 25, SOCK_STREAM, IPPROTO_MPTCP, 0, 0, 0, 0,
	 SW_COUNT_ALLOWED},
	{"action audit", SW_ACTION_AUDIT, 0, "127.0.0.1", 25, TCP, 0, SW_VERDICT_AUDIT,
	 SW_REASON_NONE, 4, SW_COUNT_ALLOWED},
	{"mode audit, reject", REJECT, SW_RULE_AUDIT, "127.0.0.1", 25, TCP, 0, SW_VERDICT_AUDIT,
	 SW_REASON_NOT_PERMITTED, 4, SW_COUNT_AUDITED},
	{"mode audit, allow", ALLOW, SW_RULE_AUDIT, "127.0.0.1", 25, TCP, 0, 0, 0, 0,
	 SW_COUNT_ALLOWED},
	{"mode audit, no target", SW_ACTION_REDIRECT, SW_RULE_AUDIT, "127.0.0.1", 25, TCP, 0,
	 SW_VERDICT_AUDIT, SW_REASON_NO_TARGET, 4, SW_COUNT_AUDITED},
	{"no target", SW_ACTION_REDIRECT, 0, "127.0.0.1", 25, TCP, -EACCES, SW_VERDICT_REJECT,
	 SW_REASON_NO_TARGET, 4, SW_COUNT_REFUSED},
	{"another port", REJECT, 0, "127.0.0.1", 8080, TCP, UNTOUCHED},
	{"another port, IPv6", REJECT, 0, "::1", 8080, TCP, UNTOUCHED},
	{"UDP to 25", REJECT, 0, "127.0.0.1", 25, SOCK_DGRAM, 0, UNTOUCHED},
	{"UDP to 25, IPv6", REJECT, 0, "::1", 25, SOCK_DGRAM, 0, UNTOUCHED},
};

static void check_event(const struct sw_event *event, const struct connect_case *test,
			uint64_t generation)
{
	uint8_t dst[16];

	fx_mapped(test->to, dst);
	assert_int_equal(event->version, SW_ABI_VERSION);
	assert_int_equal(event->size, sizeof(*event));
	assert_int_equal(event->kind, SW_EVENT_CONNECT);
	assert_int_equal(event->verdict, test->verdict);
	assert_int_equal(event->reason, test->reason);
	assert_int_equal(event->family, test->family);
	assert_int_equal(event->generation, generation);
	assert_int_equal(event->rule, 0);
	assert_int_equal(event->dst_port, test->port);
	assert_int_equal(event->new_port, 0);
	assert_memory_equal(event->dst, dst, 16);
	assert_true(event->cookie && event->time_ns);
	assert_int_equal(event->caller.pid, getpid());
	assert_int_equal(event->caller.uid, geteuid());
	assert_int_equal(event->caller.gid, getegid());
	assert_string_equal(event->caller.cgroup, "/");
}

static void run_connect_case(const struct connect_case *test)
{
	static const enum sw_counter kinds[] = {SW_COUNT_ALLOWED, SW_COUNT_REFUSED,
						SW_COUNT_REDIRECTED, SW_COUNT_AUDITED};
	uint64_t generation;
	int fd sw_autoclose = -1;

	fx_reset(NULL);
	fx_simple(25, test->action, test->flags);
	generation = fx_apply();
	fd = fx_socket(test->to, test->type, test->protocol);
	assert_int_equal(fx_connect(fd, test->to, test->port), test->result);
	assert_int_equal(fx_events(), test->family ? 1 : 0);
	if (test->family)
		check_event(fx_event(0), test, generation);
	assert_int_equal(fx_counter(SW_COUNT_CONNECT), test->counter >= 0);
	for (size_t i = 0; i < sw_count(kinds); i++)
		assert_int_equal(fx_counter(kinds[i]), test->counter == (int)kinds[i]);
	assert_int_equal(fx_counter(SW_COUNT_PACKET_DROPPED), 0);
}

static void table(void **state)
{
	(void)state;
	for (size_t i = 0; i < sw_count(connect_cases); i++) {
		print_message("# %s\n", connect_cases[i].name);
		run_connect_case(&connect_cases[i]);
	}
}

/* ---- TCP Fast Open: data rides on the SYN, connect() is never called ---- */

static int fast_open(const char *to, uint16_t port)
{
	int fd sw_autoclose = fx_socket(to, SOCK_STREAM, 0);
	struct fx_addr addr = fx_addr(to, port);

	return sendto(fd, "EHLO\r\n", 6, MSG_FASTOPEN, (struct sockaddr *)&addr.storage,
		      addr.length) < 0
		       ? -errno
		       : 0;
}

static void fast_open_is_refused(void **state)
{
	(void)state;
	fx_simple(25, REJECT, 0);
	fx_apply();
	assert_int_equal(fast_open("127.0.0.1", 25), -EACCES);
	assert_int_equal(fast_open("::1", 25), -EACCES);
	assert_int_equal(fast_open("127.0.0.1", 8080), 0);
	assert_int_equal(fx_counter(SW_COUNT_REFUSED), 2);
}

/* ---- which rule ---- */

static void first_match_decides(void **state)
{
	uint32_t me = geteuid(), other = 4711;
	uint16_t rule;

	(void)state;
	fx_begin(1);
	rule = fx_rule(REJECT, 0);
	fx_row(rule, (struct fx_row){.port = 25, .user = &other});
	rule = fx_rule(ALLOW, 0);
	fx_row(rule, (struct fx_row){.port = 25, .user = &other});
	fx_row(rule, (struct fx_row){.port = 25, .user = &me});
	rule = fx_rule(REJECT, 0);
	fx_row(rule, (struct fx_row){.port = 25});
	fx_apply();
	assert_int_equal(fx_try("127.0.0.1", 25), 0);
	assert_int_equal(fx_hits(1, 0), 0);
	assert_int_equal(fx_hits(1, 1), 1);
	assert_int_equal(fx_hits(1, 2), 0);
}

/* Rows beyond the first word, and the last of all. */
static void last_row_of_all(void **state)
{
	uint32_t nobody = 4711;
	uint16_t rule;

	(void)state;
	fx_begin(1);
	for (int i = 0; i < SW_RULES_MAX - 1; i++) {
		rule = fx_rule(REJECT, 0);
		fx_row(rule, (struct fx_row){.port = 25, .user = &nobody});
		fx_row(rule, (struct fx_row){.port = 25, .user = &nobody});
	}
	rule = fx_rule(ALLOW, 0);
	fx_row(rule, (struct fx_row){.port = 25, .user = &nobody});
	fx_row(rule, (struct fx_row){.port = 25});
	fx_apply();
	assert_int_equal(fx_try("127.0.0.1", 25), 0);
	assert_int_equal(fx_hits(1, SW_RULES_MAX - 1), 1);
}

/* A guarded port without a row: only a lost map entry makes it so, and nothing permits it. */
static void no_row_is_refused(void **state)
{
	const struct sw_event *event;

	(void)state;
	fx_begin(1);
	fx_guard(25);
	fx_apply();
	assert_int_equal(fx_try("127.0.0.1", 25), -EACCES);
	event = fx_one_event();
	assert_int_equal(event->rule, SW_RULE_NONE);
	assert_int_equal(event->reason, SW_REASON_NOT_PERMITTED);
}

static void slots_flip(void **state)
{
	(void)state;
	fx_begin(0);
	fx_row(fx_rule(REJECT, 0), (struct fx_row){.port = 25});
	fx_apply();
	assert_int_equal(fx_try("127.0.0.1", 25), -EACCES);
	fx_begin(1);
	fx_row(fx_rule(ALLOW, 0), (struct fx_row){.port = 25});
	fx_apply();
	assert_int_equal(fx_try("127.0.0.1", 25), 0);
	fx_flip(0);
	assert_int_equal(fx_try("127.0.0.1", 25), -EACCES);
	assert_int_equal(fx_hits(0, 0), 2);
	assert_int_equal(fx_hits(1, 0), 1);
}

/* ---- destinations ---- */

static void destination(void **state)
{
	static const struct {
		const char *prefix, *to;
		int result;
	} cases[] = {
		{"127.0.0.0/8", "127.0.0.1", 0},
		{"127.0.0.1/32", "127.0.0.1", 0},
		{"0.0.0.0/0", "127.0.0.1", 0},
		{"127.0.0.0/30", "127.0.0.3", 0},
		{"127.0.0.0/30", "127.0.0.4", -EACCES},
		{"127.0.0.0/8", "::ffff:127.0.0.1", 0},
		{"127.0.0.0/8", "::1", -EACCES},
		{"::1/128", "::1", 0},
		{"::/0", "::1", 0},
		{"::/64", "::1", 0},
		{"::/0", "127.0.0.1", -EACCES},
		{"2001:db8::/32", "::1", -EACCES},
	};

	(void)state;
	for (size_t i = 0; i < sw_count(cases); i++) {
		fx_begin(1);
		fx_row(fx_rule(ALLOW, 0), (struct fx_row){.port = 25, .prefix = cases[i].prefix});
		fx_row(fx_rule(REJECT, 0), (struct fx_row){.port = 25});
		fx_apply();
		print_message("# %s to %s\n", cases[i].prefix, cases[i].to);
		assert_int_equal(fx_try(cases[i].to, 25), cases[i].result);
	}
}

/* The longest prefix that holds the address decides, whichever was tried before. */
static void longest_prefix(void **state)
{
	uint16_t rule;

	(void)state;
	fx_begin(1);
	rule = fx_rule(REJECT, 0);
	fx_row(rule, (struct fx_row){.port = 25, .prefix = "127.0.0.0/24"});
	rule = fx_rule(ALLOW, 0);
	fx_row(rule, (struct fx_row){.port = 25, .prefix = "127.0.0.0/8"});
	rule = fx_rule(SW_ACTION_DROP, 0);
	fx_row(rule, (struct fx_row){.port = 25});
	fx_apply();
	assert_int_equal(fx_try("127.0.0.9", 25), -EACCES);
	assert_int_equal(fx_try("127.1.0.9", 25), 0);
	assert_int_equal(fx_try("::1", 25), -EACCES);
	assert_int_equal(fx_hits(1, 0), 1);
	assert_int_equal(fx_hits(1, 1), 1);
	assert_int_equal(fx_hits(1, 2), 1);
}

/* Without a look-up: loopback, and the unspecified address, which connects to it. A refusal elsewhere
   comes before a route is asked for, so the addresses need not exist. */
static void local_addresses(void **state)
{
	static const struct {
		const char *to;
		bool local;
	} cases[] = {
		{"127.0.0.1", true},
		{"127.9.9.9", true},
		{"0.0.0.0", true},
		{"::1", true},
		{"::", true},
		{"::ffff:127.0.0.1", true},
		{"192.0.2.1", false},
		{"2001:db8::1", false},
		{"::2", false},
		{"198.51.100.7", true},
		{"::ffff:198.51.100.7", true},
		{"2001:db8:7::7", true},
		{"::ffff:192.0.2.1", false},
	};

	(void)state;
	fx_local("198.51.100.7");
	fx_local("2001:db8:7::7");
	fx_begin(1);
	fx_row(fx_rule(ALLOW, 0), (struct fx_row){.port = 25, .to_local = true});
	fx_row(fx_rule(REJECT, 0), (struct fx_row){.port = 25});
	fx_apply();
	for (size_t i = 0; i < sw_count(cases); i++) {
		print_message("# %s\n", cases[i].to);
		assert_int_equal(fx_try(cases[i].to, 25) == -EACCES, !cases[i].local);
	}
}

/* The names of an event are those of its own caller, however long the last one's were. */
static void no_stale_names(void **state)
{
	int fd sw_autoclose = fx_socket("127.0.0.1", SOCK_STREAM, 0);
	const struct sw_event *event;

	(void)state;
	fx_simple(25, REJECT, 0);
	fx_apply();
	fx_enter(0, "a-rather-long-name.slice/another.service");
	assert_int_equal(fx_connect(fd, "127.0.0.1", 25), -EACCES);
	fx_enter(0, "b.service");
	assert_int_equal(fx_connect(fd, "127.0.0.1", 25), -EACCES);
	assert_int_equal(fx_events(), 2);
	assert_string_equal(fx_event(0)->caller.cgroup,
			    "/a-rather-long-name.slice/another.service");
	event = fx_event(1);
	assert_string_equal(event->caller.cgroup, "/b.service");
	for (size_t i = strlen("/b.service"); i < SW_NAME_MAX; i++)
		assert_int_equal(event->caller.cgroup[i], 0);
	for (size_t i = strlen(event->caller.exe); i < SW_NAME_MAX; i++)
		assert_int_equal(event->caller.exe[i], 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(table, fx_reset),
		cmocka_unit_test_setup(fast_open_is_refused, fx_reset),
		cmocka_unit_test_setup(first_match_decides, fx_reset),
		cmocka_unit_test_setup(last_row_of_all, fx_reset),
		cmocka_unit_test_setup(no_row_is_refused, fx_reset),
		cmocka_unit_test_setup(slots_flip, fx_reset),
		cmocka_unit_test_setup(destination, fx_reset),
		cmocka_unit_test_setup(longest_prefix, fx_reset),
		cmocka_unit_test_setup(local_addresses, fx_reset),
		cmocka_unit_test_setup(no_stale_names, fx_reset),
	};

	if (!fx_usable())
		return 0;
	fx_up(NULL);
	fx_listen(25);
	fx_listen(8080);
	return cmocka_run_group_tests_name("connect", tests, NULL, fx_down);
}
