/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Packets on their way out: what connect() did not let through does not leave. */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <string.h>
#include <unistd.h>

#include "daemon/base.h"
#include "tests/prog/fixture.h"

#define LIMIT_MS 20000

/* ---- hand-made packets ---- */

struct bytes {
	uint8_t data[512];
	size_t n;
};

static uint8_t *add(struct bytes *to, size_t n)
{
	uint8_t *at = to->data + to->n;

	to->n += n;
	return at;
}

static void add_tcp(struct bytes *to, uint16_t port)
{
	uint8_t *tcp = add(to, 20);

	tcp[0] = 40000 >> 8;
	tcp[1] = 40000 & 255;
	tcp[2] = (uint8_t)(port >> 8);
	tcp[3] = (uint8_t)port;
	tcp[12] = 5 << 4;
	tcp[13] = 2; /* SYN */
}

/*
 * Headers by letter, each eight bytes but for AH: h hop-by-hop, d destination options, r routing,
 * f first fragment, F later fragment, a AH, m mobility, then what `last` says.
 */
static uint8_t number_of(char letter, uint8_t last)
{
	switch (letter) {
	case 'h':
		return 0;
	case 'd':
		return 60;
	case 'r':
		return 43;
	case 'f':
	case 'F':
		return 44;
	case 'a':
		return 51;
	case 'm':
		return 135;
	default:
		return last;
	}
}

static void add_extensions(struct bytes *to, const char *letters, uint8_t last)
{
	for (; *letters; letters++) {
		uint8_t *header = add(to, *letters == 'a' ? 24 : 8);

		header[0] = number_of(letters[1], last);
		if (*letters == 'a')
			header[1] = 4;
		else if (*letters == 'f')
			header[3] = 1;
		else if (*letters == 'F')
			header[3] = 8 | 1;
	}
}

struct raw_case {
	const char *name;
	bool ipv6;
	const char *extensions;
	uint8_t last;  /* protocol, 6: TCP */
	uint8_t first; /* version byte instead of the right one, 0: right */
	uint8_t flags; /* IPv4: byte 6, 0x20 more fragments; byte 7 is the offset when 0x01 */
	size_t cut;    /* bytes taken from the end */
	int reason;    /* for a guarded port */
	bool any_port; /* refused whatever the port is: it is not to be seen */
};

#define UNATTRIBUTED SW_REASON_UNATTRIBUTED, false
#define MALFORMED SW_REASON_MALFORMED, true
#define PASSES SW_REASON_NONE, false

static const struct raw_case raw_cases[] = {
	{"IPv4", false, "", 6, 0, 0, 0, UNATTRIBUTED},
	{"IPv4 with options", false, "", 6, 0x48, 0, 0, UNATTRIBUTED},
	{"IPv4 first fragment", false, "", 6, 0, 0x20, 0, UNATTRIBUTED},
	{"IPv4 first fragment of eight bytes", false, "", 6, 0, 0x20, 12, UNATTRIBUTED},
	{"IPv4 first fragment without the port", false, "", 6, 0, 0x20, 18, MALFORMED},
	{"IPv4 later fragment", false, "", 6, 0, 0x01, 0, PASSES},
	{"IPv4 AH", false, "a", 6, 0, 0, 0, UNATTRIBUTED},
	{"IPv4 UDP", false, "", 17, 0, 0, 0, PASSES},
	{"IPv4 without the port", false, "", 6, 0, 0, 17, MALFORMED},
	{"IPv6", true, "", 6, 0, 0, 0, UNATTRIBUTED},
	{"IPv6 hop-by-hop", true, "h", 6, 0, 0, 0, UNATTRIBUTED},
	{"IPv6 destination options", true, "d", 6, 0, 0, 0, UNATTRIBUTED},
	{"IPv6 routing", true, "r", 6, 0, 0, 0, UNATTRIBUTED},
	{"IPv6 AH", true, "a", 6, 0, 0, 0, UNATTRIBUTED},
	{"IPv6 first fragment", true, "f", 6, 0, 0, 0, UNATTRIBUTED},
	{"IPv6 mobility", true, "m", 6, 0, 0, 0, UNATTRIBUTED},
	{"IPv6 all of them", true, "hdrfadm", 6, 0, 0, 0, UNATTRIBUTED},
	{"IPv6 eight", true, "dddddddd", 6, 0, 0, 0, UNATTRIBUTED},
	{"IPv6 nine", true, "ddddddddd", 6, 0, 0, 0, MALFORMED},
	{"IPv6 later fragment", true, "F", 6, 0, 0, 0, PASSES},
	{"IPv6 first fragment that ends before TCP", true, "fd", 6, 0, 0, 22, MALFORMED},
	{"IPv6 without the port", true, "", 6, 0, 0, 17, MALFORMED},
	{"IPv6 UDP behind options", true, "d", 17, 0, 0, 0, PASSES},
	{"IPv6 of no version", true, "", 6, 0x20, 0, 0, MALFORMED},
};

static void make_ipv4(struct bytes *packet, const struct raw_case *test)
{
	uint8_t *ip = add(packet, test->first == 0x48 ? 32 : 20);

	ip[0] = test->first ? test->first : 0x45;
	ip[6] = test->flags & 0x20;
	ip[7] = test->flags & 1;
	ip[8] = 64;
	ip[9] = number_of(test->extensions[0], test->last);
	memcpy(ip + 12, "\x7f\0\0\1\x7f\0\0\1", 8);
	memset(ip + 20, 1, test->first == 0x48 ? 12 : 0); /* no-operation options */
}

static void make_ipv6(struct bytes *packet, const struct raw_case *test)
{
	uint8_t *ip = add(packet, 40);

	ip[0] = test->first ? test->first : 0x60;
	ip[6] = number_of(test->extensions[0], test->last);
	ip[7] = 64;
	ip[23] = 1;
	ip[39] = 1;
}

/* 0 or -errno. */
static int send_raw(const struct raw_case *test, uint16_t port)
{
	const char *to = test->ipv6 ? "::1" : "127.0.0.1";
	int fd sw_autoclose = fx_socket(to, SOCK_RAW, IPPROTO_RAW);
	struct fx_addr addr = fx_addr(to, 0);
	struct bytes packet = {};

	if (test->ipv6)
		make_ipv6(&packet, test);
	else
		make_ipv4(&packet, test);
	add_extensions(&packet, test->extensions, test->last);
	add_tcp(&packet, port);
	packet.n -= test->cut;
	if (test->ipv6)
		packet.data[5] = (uint8_t)(packet.n - 40);
	return sendto(fd, packet.data, packet.n, 0, (struct sockaddr *)&addr.storage, addr.length) <
			       0
		       ? -errno
		       : 0;
}

static void check_packet_event(const struct sw_event *event, const struct raw_case *test,
			       int verdict)
{
	assert_int_equal(event->kind, SW_EVENT_PACKET);
	assert_int_equal(event->verdict, verdict);
	assert_int_equal(event->reason, test->reason);
	assert_int_equal(event->rule, SW_RULE_NONE);
	assert_int_equal(event->family, test->ipv6 ? 6 : 4);
	assert_int_equal(event->caller.pid, getpid());
	assert_true(event->caller.exe[0] == '/');
	assert_string_equal(event->caller.cgroup, "/");
}

static void raw_sockets(void **state)
{
	(void)state;
	for (size_t i = 0; i < sw_count(raw_cases); i++) {
		const struct raw_case *test = &raw_cases[i];
		int result = test->reason ? -EPERM : 0;

		print_message("# %s\n", test->name);
		fx_reset(NULL);
		fx_simple(25, SW_ACTION_ALLOW, 0);
		fx_apply();
		assert_int_equal(send_raw(test, 25), result);
		assert_int_equal(fx_events(), test->reason ? 1 : 0);
		if (test->reason)
			check_packet_event(fx_event(0), test, SW_VERDICT_DROP);
		assert_int_equal(fx_counter(SW_COUNT_PACKET_DROPPED), test->reason ? 1 : 0);
		assert_int_equal(send_raw(test, 8080), test->any_port ? -EPERM : 0);
	}
}

/* A port that shares its bit with one that is named is nobody's yet; and where nothing is said of ports at all
   each packet is asked about. */
static void ports_that_share_a_bit(void **state)
{
	const uint16_t shares = 25 + 256;

	(void)state;
	assert_int_equal(SW_UNASKED_BIT(shares), SW_UNASKED_BIT(25));
	fx_simple(25, SW_ACTION_ALLOW, 0);
	fx_apply();
	for (int said = 1; said >= 0; said--) {
		if (!said)
			fx_say_nothing_of_ports();
		for (size_t i = 0; i < sw_count(raw_cases); i++) {
			const struct raw_case *test = &raw_cases[i];

			assert_int_equal(send_raw(test, 25), test->reason ? -EPERM : 0);
			assert_int_equal(send_raw(test, shares), test->any_port ? -EPERM : 0);
			assert_int_equal(send_raw(test, 8080), test->any_port ? -EPERM : 0);
		}
	}
}

/* Ports that no rule names are never touched: without a policy that is all of them. */
static void raw_sockets_without_policy(void **state)
{
	(void)state;
	for (size_t i = 0; i < sw_count(raw_cases); i++)
		assert_int_equal(send_raw(&raw_cases[i], 25), 0);
	assert_int_equal(fx_events(), 0);
	assert_int_equal(fx_counter(SW_COUNT_PACKET_DROPPED), 0);
	assert_int_equal(fx_counter(SW_COUNT_AUDITED), 0);
}

static void raw_sockets_in_audit_mode(void **state)
{
	(void)state;
	for (size_t i = 0; i < sw_count(raw_cases); i++) {
		const struct raw_case *test = &raw_cases[i];

		fx_reset(NULL);
		fx_simple(25, SW_ACTION_REJECT, SW_RULE_AUDIT);
		fx_apply();
		assert_int_equal(send_raw(test, 25), 0);
		assert_int_equal(fx_events(), test->reason ? 1 : 0);
		if (test->reason)
			check_packet_event(fx_event(0), test, SW_VERDICT_AUDIT);
		assert_int_equal(fx_counter(SW_COUNT_AUDITED), test->reason ? 1 : 0);
	}
}

/* ---- TCP sockets ---- */

static int bound(const char *addr, uint16_t port)
{
	int fd = fx_socket(addr, SOCK_STREAM, 0), one = 1;
	struct timeval limit = {.tv_sec = LIMIT_MS / 1000};
	struct fx_addr from = fx_addr(addr, port);

	setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
	setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof(limit));
	setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof(limit));
	assert_return_code(bind(fd, (struct sockaddr *)&from.storage, from.length), errno);
	return fd;
}

static int listening(const char *addr, uint16_t port)
{
	int fd = bound(addr, port);

	assert_return_code(listen(fd, 16), errno);
	return fd;
}

static void talk(int from, int to)
{
	char byte = 'x';

	assert_int_equal(send(from, &byte, 1, 0), 1);
	assert_int_equal(recv(to, &byte, 1, 0), 1);
}

/* A client whose source port is guarded: the server's packets go to a guarded port. */
static void passive_socket(void **state)
{
	static const char *const addrs[] = {"127.0.0.1", "::1"};

	(void)state;
	for (size_t i = 0; i < 2; i++) {
		int listener sw_autoclose = listening(addrs[i], 8081);
		int client sw_autoclose = bound(addrs[i], 25), server sw_autoclose = -1;

		fx_simple(25, SW_ACTION_REJECT, 0);
		fx_apply();
		assert_int_equal(fx_connect(client, addrs[i], 8081), 0);
		server = accept(listener, NULL, NULL);
		assert_true(server >= 0);
		talk(server, client);
		talk(client, server);
		talk(server, client);
		assert_int_equal(fx_events(), 0);
		assert_int_equal(fx_counter(SW_COUNT_PACKET_DROPPED), 0);
	}
}

/* The same when the answer to the SYN is a cookie, sent without a socket of its own. */
static void passive_socket_by_cookie(void **state)
{
	int cookies sw_autoclose = open("/proc/sys/net/ipv4/tcp_syncookies", O_RDWR | O_CLOEXEC);
	char before = '1';

	if (cookies < 0)
		skip(); /* a kernel without them */
	assert_int_equal(pread(cookies, &before, 1, 0), 1);
	assert_int_equal(pwrite(cookies, "2", 1, 0), 1); /* always */
	passive_socket(state);
	assert_int_equal(pwrite(cookies, &before, 1, 0), 1);
}

/* The kernel's own answer to a SYN from a guarded port, sent from a socket of its own. */
static void kernel_reset(void **state)
{
	static const char *const addrs[] = {"127.0.0.1", "::1"};

	(void)state;
	fx_simple(587, SW_ACTION_REJECT, 0);
	fx_apply();
	for (size_t i = 0; i < 2; i++) {
		int client sw_autoclose = bound(addrs[i], 587);

		assert_int_equal(fx_connect(client, addrs[i], 9), -ECONNREFUSED);
	}
	assert_int_equal(fx_counter(SW_COUNT_PACKET_DROPPED), 0);
}

/* Open before the policy names its port: passes, is counted once, on IPv4 and IPv6. */
static void existing_connection(void **state)
{
	static const char *const addrs[] = {"127.0.0.1", "::1"};

	(void)state;
	for (unsigned int i = 0; i < 2; i++) {
		int listener sw_autoclose = listening(addrs[i], 8082);
		int client sw_autoclose = fx_socket(addrs[i], SOCK_STREAM, 0);
		int server sw_autoclose = -1;

		fx_simple(25, SW_ACTION_REJECT, 0);
		fx_apply();
		assert_int_equal(fx_connect(client, addrs[i], 8082), 0);
		server = accept(listener, NULL, NULL);
		talk(client, server);
		assert_int_equal(fx_counter(SW_COUNT_EXISTING), i);
		fx_simple(8082, SW_ACTION_REJECT, 0);
		fx_apply();
		for (int n = 0; n < 5; n++) {
			talk(client, server);
			talk(server, client);
		}
		assert_int_equal(fx_counter(SW_COUNT_EXISTING), i + 1);
		assert_int_equal(fx_try(addrs[i], 8082), -EACCES);
	}
	assert_int_equal(fx_counter(SW_COUNT_PACKET_DROPPED), 0);
}

/* Starts a connection that connect4 and connect6 don't see; the SYN is what egress sees first. */
static int start_unseen(int fd, const char *to, uint16_t port)
{
	int result;

	fx_detach(FX_CONNECT4);
	fx_detach(FX_CONNECT6);
	result = fx_connect(fd, to, port);
	fx_attach(FX_CONNECT4);
	fx_attach(FX_CONNECT6);
	return result;
}

static void check_owner(const struct sw_event *event)
{
	assert_int_equal(event->kind, SW_EVENT_PACKET);
	assert_int_equal(event->verdict, SW_VERDICT_DROP);
	assert_int_equal(event->reason, SW_REASON_UNATTRIBUTED);
	assert_int_equal(event->caller.flags, SW_CALLER_WORKER);
	assert_int_equal(event->caller.uid, geteuid());
	assert_string_equal(event->caller.cgroup, "/");
	assert_int_equal(event->dst_port, 8083);
	assert_true(event->src_port);
}

static void syn_without_a_decision(void **state)
{
	static const char *const addrs[] = {"127.0.0.1", "::1", "::ffff:127.0.0.1"};

	(void)state;
	for (size_t i = 0; i < sw_count(addrs); i++) {
		int fd sw_autoclose = fx_socket(addrs[i], SOCK_STREAM | SOCK_NONBLOCK, 0);

		fx_reset(NULL);
		fx_simple(8083, SW_ACTION_ALLOW, 0);
		fx_apply();
		assert_int_equal(start_unseen(fd, addrs[i], 8083), -EINPROGRESS);
		check_owner(fx_one_event());
		assert_int_equal(fx_counter(SW_COUNT_PACKET_DROPPED), 1);
	}
}

/* Options that hide TCP from a parser that does not walk. */
static void syn_behind_options(void **state)
{
	static const uint8_t options[8] = {0, 0, 1, 4};
	int seen sw_autoclose = fx_socket("::1", SOCK_STREAM, 0);
	int unseen sw_autoclose = fx_socket("::1", SOCK_STREAM | SOCK_NONBLOCK, 0);

	(void)state;
	setsockopt(unseen, IPPROTO_IPV6, IPV6_DSTOPTS, options, sizeof(options));
	assert_return_code(setsockopt(seen, IPPROTO_IPV6, IPV6_DSTOPTS, options, sizeof(options)),
			   errno);
	fx_simple(8083, SW_ACTION_ALLOW, 0);
	fx_apply();
	assert_int_equal(start_unseen(unseen, "::1", 8083), -EINPROGRESS);
	check_owner(fx_one_event());
	assert_int_equal(fx_connect(seen, "::1", 8083), 0);
	assert_int_equal(send(seen, "x", 1, 0), 1);
	assert_int_equal(fx_counter(SW_COUNT_PACKET_DROPPED), 1);
}

static void syn_without_a_decision_in_audit_mode(void **state)
{
	int fd sw_autoclose = fx_socket("127.0.0.1", SOCK_STREAM, 0);

	(void)state;
	fx_simple(8083, SW_ACTION_REJECT, SW_RULE_AUDIT);
	fx_apply();
	assert_int_equal(start_unseen(fd, "127.0.0.1", 8083), 0);
	assert_true(fx_events() >= 1);
	assert_int_equal(fx_event(0)->verdict, SW_VERDICT_AUDIT);
	assert_int_equal(fx_counter(SW_COUNT_PACKET_DROPPED), 0);
}

/* The permission that a socket's storage holds is for one port. */
static void stale_permission(void **state)
{
	struct sockaddr any = {.sa_family = AF_UNSPEC};
	int fd sw_autoclose = fx_socket("127.0.0.1", SOCK_STREAM | SOCK_NONBLOCK, 0);

	(void)state;
	fx_simple(8083, SW_ACTION_ALLOW, 0);
	fx_row(0, (struct fx_row){.port = 8084});
	fx_apply();
	fx_connect(fd, "127.0.0.1", 8084);
	assert_return_code(connect(fd, &any, sizeof(any)), errno);
	assert_int_equal(start_unseen(fd, "127.0.0.1", 8083), -EINPROGRESS);
	check_owner(fx_one_event());
}

/* Non-TCP is not looked at, plain or behind options, connected or not. */
static void udp(void **state)
{
	static const uint8_t options[8] = {0, 0, 1, 4};
	static const char *const addrs[] = {"127.0.0.1", "::1"};

	(void)state;
	fx_simple(25, SW_ACTION_REJECT, 0);
	fx_apply();
	for (size_t i = 0; i < 2; i++) {
		int sink sw_autoclose = fx_socket(addrs[i], SOCK_DGRAM, 0);
		int fd sw_autoclose = fx_socket(addrs[i], SOCK_DGRAM, 0);
		struct fx_addr at = fx_addr(addrs[i], 25);

		assert_return_code(bind(sink, (struct sockaddr *)&at.storage, at.length), errno);
		assert_int_equal(sendto(fd, "x", 1, 0, (struct sockaddr *)&at.storage, at.length),
				 1);
		setsockopt(fd, IPPROTO_IPV6, IPV6_DSTOPTS, options, sizeof(options));
		assert_int_equal(fx_connect(fd, addrs[i], 25), 0);
		assert_int_equal(send(fd, "x", 1, 0), 1);
	}
	assert_int_equal(fx_counter(SW_COUNT_PACKET_DROPPED), 0);
	assert_int_equal(fx_counter(SW_COUNT_CONNECT), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(raw_sockets, fx_reset),
		cmocka_unit_test_setup(ports_that_share_a_bit, fx_reset),
		cmocka_unit_test_setup(raw_sockets_without_policy, fx_reset),
		cmocka_unit_test_setup(raw_sockets_in_audit_mode, fx_reset),
		cmocka_unit_test_setup(passive_socket, fx_reset),
		cmocka_unit_test_setup(passive_socket_by_cookie, fx_reset),
		cmocka_unit_test_setup(kernel_reset, fx_reset),
		cmocka_unit_test_setup(existing_connection, fx_reset),
		cmocka_unit_test_setup(syn_without_a_decision, fx_reset),
		cmocka_unit_test_setup(syn_behind_options, fx_reset),
		cmocka_unit_test_setup(syn_without_a_decision_in_audit_mode, fx_reset),
		cmocka_unit_test_setup(stale_permission, fx_reset),
		cmocka_unit_test_setup(udp, fx_reset),
	};

	if (!fx_usable())
		return 0;
	fx_up(NULL);
	fx_listen(8083);
	fx_listen(8084);
	return cmocka_run_group_tests_name("backstop", tests, NULL, fx_down);
}
