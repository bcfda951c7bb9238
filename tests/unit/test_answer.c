/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The listener that tells refused programs why: with real sockets on loopback, and one event loop. */
#include <errno.h>
#include <netinet/in.h>
#include <poll.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>
#include <sys/socket.h>

#include <cmocka.h>

#include "daemon/answer.h"
#include "daemon/base.h"

#define TURN_USEC 10000
#define TURNS_MAX 6000
#define TEXT "Port 25 is closed here."
#define GREETING "554 5.7.1 " TEXT "\r\n"

static sd_event *loop;

static int setup(void **state)
{
	(void)state;
	return sd_event_new(&loop) < 0;
}

static int teardown(void **state)
{
	(void)state;
	loop = sd_event_unref(loop);
	return 0;
}

static void answers_cleanup(struct sw_answers **answers)
{
	sw_answers_close(*answers);
}

#define autoanswers sw_cleanup(answers_cleanup)

static struct sw_answer_ports listening(struct sw_answers *answers, unsigned int slot,
					const char *text)
{
	struct sw_answer_ports ports = {};

	assert_int_equal(sw_answers_listen(answers, slot, text, &ports), 0);
	assert_int_not_equal(ports.ipv4, 0);
	return ports;
}

/* A connected socket that does not block, or -errno. */
static int try_connect(int family, uint16_t port)
{
	struct sockaddr_in ipv4 = {.sin_family = AF_INET,
				   .sin_port = htons(port),
				   .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	struct sockaddr_in6 ipv6 = {.sin6_family = AF_INET6,
				    .sin6_port = htons(port),
				    .sin6_addr = IN6ADDR_LOOPBACK_INIT};
	sw_autoclose int fd = socket(family, SOCK_STREAM | SOCK_CLOEXEC, 0);

	assert_return_code(fd, errno);
	if (connect(fd, family == AF_INET ? (void *)&ipv4 : (void *)&ipv6,
		    family == AF_INET ? sizeof(ipv4) : sizeof(ipv6)) < 0)
		return -errno;
	return sw_take_fd(fd);
}

static int connected(uint16_t port)
{
	int fd = try_connect(AF_INET, port);

	assert_true(fd >= 0);
	return fd;
}

/* Turns the loop until `wanted` has come or the other side has closed. */
static void expect_bytes(int fd, const char *wanted)
{
	size_t have = 0, length = strlen(wanted);
	char bytes[2048] = "";

	for (int i = 0; have < length && i < TURNS_MAX; i++) {
		ssize_t n;

		sd_event_run(loop, TURN_USEC);
		n = recv(fd, bytes + have, length - have, MSG_DONTWAIT);
		assert_int_not_equal(n, 0);
		have += n > 0 ? (size_t)n : 0;
	}
	assert_string_equal(bytes, wanted);
}

static void expect_close(int fd)
{
	char byte;

	for (int i = 0; i < TURNS_MAX; i++) {
		ssize_t n = recv(fd, &byte, 1, MSG_DONTWAIT);

		if (n == 0 || (n < 0 && errno == ECONNRESET))
			return;
		assert_int_equal(n, -1);
		sd_event_run(loop, TURN_USEC);
	}
	fail_msg("it was not closed");
}

static void say(int fd, const char *text)
{
	assert_int_equal(send(fd, text, strlen(text), MSG_NOSIGNAL), strlen(text));
}

static void test_greets_and_takes_quit(void **state)
{
	autoanswers struct sw_answers *answers = sw_answers_new(loop);
	struct sw_answer_ports ports = listening(answers, 0, TEXT);
	static const char *const quits[] = {"QUIT\r\n", "quit \r\n", "Quit\n"};

	(void)state;
	for (size_t i = 0; i < sw_count(quits); i++) {
		sw_autoclose int fd = connected(ports.ipv4);

		expect_bytes(fd, GREETING);
		say(fd, quits[i]);
		expect_bytes(fd, "221 2.0.0 Bye\r\n");
		expect_close(fd);
	}
	assert_int_equal(sw_answers_clients(answers), 0);
}

static void test_ipv6(void **state)
{
	autoanswers struct sw_answers *answers = sw_answers_new(loop);
	struct sw_answer_ports ports = listening(answers, 0, TEXT);
	sw_autoclose int fd = -1;

	(void)state;
	if (!ports.ipv6)
		skip();
	fd = try_connect(AF_INET6, ports.ipv6);
	assert_true(fd >= 0);
	expect_bytes(fd, GREETING);
}

/* Whatever else is said, byte by byte or not, is answered with 503; QUIT is a whole line. */
static void test_other_commands(void **state)
{
	autoanswers struct sw_answers *answers = sw_answers_new(loop);
	sw_autoclose int fd = connected(listening(answers, 0, TEXT).ipv4);
	static const char *const lines[] = {"EHLO here.example\r\n", "QUITE\r\n", "XQUIT\r\n",
					    "QUIT now\r\n", "\r\n"};

	(void)state;
	expect_bytes(fd, GREETING);
	for (size_t i = 0; i < sw_count(lines); i++) {
		say(fd, lines[i]);
		expect_bytes(fd, "503 5.5.1 Bad sequence of commands\r\n");
	}
	say(fd, "Q");
	sd_event_run(loop, TURN_USEC);
	say(fd, "UIT\r");
	sd_event_run(loop, TURN_USEC);
	say(fd, "\n");
	expect_bytes(fd, "221 2.0.0 Bye\r\n");
	expect_close(fd);
}

/* Neither many lines nor a long one is listened to for ever. */
static void test_talkers(void **state)
{
	autoanswers struct sw_answers *answers = sw_answers_new(loop);
	struct sw_answer_ports ports = listening(answers, 0, TEXT);
	sw_autoclose int lines = connected(ports.ipv4), bytes = connected(ports.ipv4);
	char long_line[8192], rest[4096];

	(void)state;
	expect_bytes(lines, GREETING);
	expect_bytes(bytes, GREETING);
	for (int i = 0; i < 100; i++)
		say(lines, "NOOP\r\n");
	memset(long_line, 'x', sizeof(long_line));
	assert_int_equal(send(bytes, long_line, sizeof(long_line), MSG_NOSIGNAL),
			 sizeof(long_line));
	expect_close(bytes);
	for (int i = 0; i < TURNS_MAX && sw_answers_clients(answers); i++)
		sd_event_run(loop, TURN_USEC);
	assert_int_equal(sw_answers_clients(answers), 0);
	while (recv(lines, rest, sizeof(rest), MSG_DONTWAIT) > 0)
		;
	expect_close(lines);
}

/* One more than are waited for: greeted all the same, and let go. */
static void test_many(void **state)
{
	autoanswers struct sw_answers *answers = sw_answers_new(loop);
	struct sw_answer_ports ports = listening(answers, 0, TEXT);
	int fds[SW_ANSWER_CLIENTS + 1];

	(void)state;
	for (size_t i = 0; i < sw_count(fds); i++) {
		fds[i] = connected(ports.ipv4);
		expect_bytes(fds[i], GREETING);
	}
	assert_int_equal(sw_answers_clients(answers), SW_ANSWER_CLIENTS);
	expect_close(fds[SW_ANSWER_CLIENTS]);
	close(fds[0]);
	for (int i = 0; i < TURNS_MAX && sw_answers_clients(answers) == SW_ANSWER_CLIENTS; i++)
		sd_event_run(loop, TURN_USEC);
	assert_int_equal(sw_answers_clients(answers), SW_ANSWER_CLIENTS - 1);
	for (size_t i = 1; i < sw_count(fds); i++)
		close(fds[i]);
}

/* One socket for one text, as long as a slot needs it. */
static void test_slots(void **state)
{
	autoanswers struct sw_answers *answers = sw_answers_new(loop);
	struct sw_answer_ports first = listening(answers, 0, TEXT);
	struct sw_answer_ports again = listening(answers, 1, TEXT);
	struct sw_answer_ports other = listening(answers, 1, "Another one.");
	sw_autoclose int fd = -1;

	(void)state;
	assert_int_equal(first.ipv4, again.ipv4);
	assert_int_equal(first.ipv6, again.ipv6);
	assert_int_not_equal(first.ipv4, other.ipv4);
	sw_answers_release(answers, 1);
	assert_int_equal(try_connect(AF_INET, other.ipv4), -ECONNREFUSED);
	fd = connected(first.ipv4);
	expect_bytes(fd, GREETING);
	sw_answers_release(answers, 0);
	assert_int_equal(try_connect(AF_INET, first.ipv4), -ECONNREFUSED);
}

/* After a restart the ports that a policy in force names are taken again, also while connections of the
   socket before linger; ports that somebody else has are not. */
static void test_same_ports(void **state)
{
	struct sw_answers *answers = sw_answers_new(loop);
	struct sw_answer_ports ports = listening(answers, 0, TEXT), wanted = ports, taken = ports;
	autoanswers struct sw_answers *second = NULL;
	sw_autoclose int fd = connected(ports.ipv4), after = -1;

	(void)state;
	expect_bytes(fd, GREETING);
	sw_answers_close(answers);
	second = sw_answers_new(loop);
	assert_int_equal(sw_answers_listen(second, 0, TEXT, &wanted), 0);
	assert_int_equal(wanted.ipv4, ports.ipv4);
	assert_int_equal(wanted.ipv6, ports.ipv6);
	after = connected(wanted.ipv4);
	expect_bytes(after, GREETING);
	assert_int_equal(sw_answers_listen(second, 0, "Another one.", &taken), 0);
	assert_int_not_equal(taken.ipv4, 0);
	assert_int_not_equal(taken.ipv4, ports.ipv4);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_greets_and_takes_quit),
		cmocka_unit_test(test_ipv6),
		cmocka_unit_test(test_other_commands),
		cmocka_unit_test(test_talkers),
		cmocka_unit_test(test_many),
		cmocka_unit_test(test_slots),
		cmocka_unit_test(test_same_ports),
	};

	return cmocka_run_group_tests(tests, setup, teardown);
}
