/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Connections to a collector: frames, what is known of them while they last, and how they end. */
#include <arpa/inet.h>
#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <sys/un.h>

#include <cmocka.h>

#include "daemon/base.h"
#include "daemon/syslog_peer.h"

/* A collector, and the folder for its socket. */
struct world {
	char folder[32], path[64], target[80];
	struct sw_syslog_stop stop;
	int listener;
	struct sw_syslog_peer *peer;
	int end; /* the collector's end of the connection; of datagrams: `listener` */
};

static int setup(void **state)
{
	struct world *world = calloc(1, sizeof(*world));

	assert_non_null(world);
	strcpy(world->folder, "/tmp/syslog-XXXXXX");
	assert_non_null(mkdtemp(world->folder));
	snprintf(world->path, sizeof(world->path), "%s/log", world->folder);
	world->stop.fd = eventfd(0, EFD_NONBLOCK);
	world->listener = world->end = -1;
	*state = world;
	return 0;
}

static int teardown(void **state)
{
	struct world *world = *state;

	sw_syslog_peer_close(world->peer);
	close(world->listener);
	close(world->end);
	close(world->stop.fd);
	unlink(world->path);
	rmdir(world->folder);
	free(world);
	return 0;
}

static void listen_unix(struct world *world, int type)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX};

	strcpy(address.sun_path, world->path);
	unlink(world->path);
	world->listener = socket(AF_UNIX, type, 0);
	assert_int_equal(bind(world->listener, (void *)&address, sizeof(address)), 0);
	if (type == SOCK_STREAM)
		assert_int_equal(listen(world->listener, 8), 0);
	snprintf(world->target, sizeof(world->target), "unix:%s", world->path);
}

static void listen_tcp(struct world *world, int family)
{
	struct sockaddr_storage address = {.ss_family = (sa_family_t)family};
	socklen_t size = sizeof(address);

	world->listener = socket(family, SOCK_STREAM, 0);
	if (family == AF_INET)
		((struct sockaddr_in *)&address)->sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	else
		((struct sockaddr_in6 *)&address)->sin6_addr = in6addr_loopback;
	assert_int_equal(bind(world->listener, (void *)&address, size), 0);
	assert_int_equal(listen(world->listener, 8), 0);
	assert_int_equal(getsockname(world->listener, (void *)&address, &size), 0);
	/* The port lies at the same place in both. */
	snprintf(world->target, sizeof(world->target), "tcp:%s:%u",
		 family == AF_INET ? "127.0.0.1" : "[::1]",
		 ntohs(((struct sockaddr_in *)&address)->sin_port));
}

static void open_peer(struct world *world)
{
	struct sw_syslog_target target;
	struct sw_fault fault;

	assert_int_equal(sw_syslog_target(world->target, &target, &fault), 0);
	world->peer = sw_syslog_peer_open(&target, NULL, &world->stop, &fault);
	assert_non_null(world->peer);
}

static void say(struct world *world, const char *text)
{
	struct sw_fault fault;

	assert_int_equal(sw_syslog_peer_send(world->peer, text, strlen(text), &world->stop, &fault),
			 0);
	assert_int_equal(sw_syslog_peer_flush(world->peer, &world->stop, &fault), 0);
}

static void hear(int fd, const char *expected)
{
	char got[256];
	size_t n = strlen(expected);

	assert_int_equal(recv(fd, got, n, MSG_WAITALL), n);
	assert_memory_equal(got, expected, n);
}

static struct sw_syslog_figures figures(struct world *world)
{
	struct sw_syslog_figures now;

	sw_syslog_peer_figures(world->peer, &now);
	return now;
}

/* The other kernel's answers come when they come. */
static void wait_until_acknowledged(struct world *world)
{
	for (int i = 0; i < 20000; i++) {
		struct sw_syslog_figures now = figures(world);

		if (now.acknowledged == now.bytes)
			return;
		sw_syslog_wait(&world->stop, -1, 0, sw_syslog_now() + 1000);
	}
	fail_msg("never acknowledged");
}

/* What look() says once there is something to see. */
static void expect_end(struct world *world, const char *words)
{
	struct sw_fault fault;

	for (int i = 0; i < 20000; i++) {
		if (sw_syslog_peer_look(world->peer, &fault) < 0) {
			assert_non_null(strstr(fault.text, words));
			assert_non_null(strstr(fault.text, world->target));
			return;
		}
		sw_syslog_wait(&world->stop, -1, 0, sw_syslog_now() + 1000);
	}
	fail_msg("no end seen");
}

/* ---- Unix ---- */

static void test_datagrams(void **state)
{
	struct world *world = *state;
	struct sw_fault fault;
	char got[64];

	listen_unix(world, SOCK_DGRAM);
	open_peer(world);
	say(world, "<20>1 one");
	say(world, "<20>1 two");
	assert_int_equal(figures(world).bytes, 18);
	assert_int_equal(figures(world).acknowledged, 0); /* nobody has read them */
	assert_int_equal(recv(world->listener, got, sizeof(got), 0), 9);
	assert_memory_equal(got, "<20>1 one", 9);
	assert_int_equal(figures(world).acknowledged, 0);
	assert_int_equal(recv(world->listener, got, sizeof(got), 0), 9);
	assert_int_equal(figures(world).acknowledged, 18);
	assert_true(sw_syslog_peer_finish(world->peer, &world->stop));
	/* What dies with the collector's socket was not read, whatever our kernel says. */
	say(world, "<20>1 three");
	close(world->listener);
	assert_int_equal(figures(world).acknowledged, 18);
	listen_unix(world, SOCK_DGRAM);
	assert_int_equal(figures(world).acknowledged, 18);
	assert_int_equal(sw_syslog_peer_send(world->peer, "x", 1, &world->stop, &fault), -1);
	assert_non_null(strstr(fault.text, strerror(ECONNREFUSED)));
}

static void test_unix_stream(void **state)
{
	struct world *world = *state;

	listen_unix(world, SOCK_STREAM);
	open_peer(world);
	world->end = accept(world->listener, NULL, NULL);
	say(world, "<20>1 one");
	say(world, "<20>1 two");
	assert_int_equal(figures(world).acknowledged, 0);
	hear(world->end, "<20>1 one\n<20>1 two\n");
	assert_int_equal(figures(world).acknowledged, 20);
	assert_int_equal(figures(world).unread, 0);
	say(world, "<20>1 three");
	close(world->end); /* with something unread */
	world->end = -1;
	expect_end(world, strerror(ECONNRESET));
	assert_int_equal(figures(world).acknowledged, 20);
}

/* ---- TCP ---- */

static void tcp(struct world *world, int family)
{
	listen_tcp(world, family);
	open_peer(world);
	world->end = accept(world->listener, NULL, NULL);
	assert_true(world->end >= 0);
}

static void test_tcp(void **state)
{
	struct world *world = *state;
	uint64_t before;

	tcp(world, AF_INET);
	wait_until_acknowledged(world);
	before = figures(world).bytes;
	say(world, "<20>1 one");
	say(world, "<20>1 two \xc3\xa9");
	hear(world->end, "9 <20>1 one12 <20>1 two \xc3\xa9");
	wait_until_acknowledged(world);
	assert_int_equal(figures(world).bytes - before, 26);
	assert_true(figures(world).unread >= 65536);
	/* What it says is of no interest. */
	assert_int_equal(send(world->end, "hello", 5, 0), 5);
	for (int i = 0; i < 10; i++) {
		struct sw_fault fault;

		assert_int_equal(sw_syslog_peer_look(world->peer, &fault), 0);
	}
	/* Closed when all was read: in order, and nothing is in doubt. */
	close(world->end);
	world->end = -1;
	expect_end(world, "has closed the connection");
	assert_int_equal(figures(world).unread, 0);
	assert_int_equal(figures(world).acknowledged, figures(world).bytes);
}

static void test_tcp_unread(void **state)
{
	struct world *world = *state;

	tcp(world, AF_INET6);
	say(world, "<20>1 one");
	wait_until_acknowledged(world);
	close(world->end);
	world->end = -1;
	expect_end(world, strerror(ECONNRESET));
	assert_true(figures(world).unread >= 65536);
}

static void *read_and_close(void *data)
{
	int *end = data;
	char got[4096];

	while (recv(*end, got, sizeof(got), 0) > 0)
		;
	close(*end);
	*end = -1;
	return NULL;
}

static void test_finish(void **state)
{
	struct world *world = *state;
	pthread_t thread;

	tcp(world, AF_INET);
	for (int i = 0; i < 1000; i++)
		say(world, "<20>1 one");
	pthread_create(&thread, NULL, read_and_close, &world->end);
	assert_true(sw_syslog_peer_finish(world->peer, &world->stop));
	pthread_join(thread, NULL);
}

/* Nothing takes long once the end is asked for, if nobody reads. */
static void test_stop(void **state)
{
	struct world *world = *state;
	struct sw_fault fault;
	char line[1000];
	uint64_t asked = 0;
	int result;

	tcp(world, AF_INET);
	memset(line, 'a', sizeof(line));
	do {
		if (!asked && figures(world).bytes > 1000000) {
			eventfd_write(world->stop.fd, 1);
			asked = sw_syslog_now();
		}
		result = sw_syslog_peer_send(world->peer, line, sizeof(line), &world->stop, &fault);
	} while (result == 0);
	assert_true(asked);
	assert_non_null(strstr(fault.text, "takes nothing"));
	assert_false(sw_syslog_peer_finish(world->peer, &world->stop));
	assert_true(sw_syslog_now() >= asked + SW_SYSLOG_STOP_USEC);
}

static void test_nobody(void **state)
{
	struct world *world = *state;
	struct sw_syslog_target target;
	struct sw_fault fault;

	listen_tcp(world, AF_INET);
	close(world->listener);
	world->listener = -1;
	assert_int_equal(sw_syslog_target(world->target, &target, &fault), 0);
	assert_null(sw_syslog_peer_open(&target, NULL, &world->stop, &fault));
	assert_non_null(strstr(fault.text, world->target));
	assert_non_null(strstr(fault.text, strerror(ECONNREFUSED)));
	snprintf(world->target, sizeof(world->target), "unix:%s", world->path);
	assert_int_equal(sw_syslog_target(world->target, &target, &fault), 0);
	assert_null(sw_syslog_peer_open(&target, NULL, &world->stop, &fault));
	assert_non_null(strstr(fault.text, strerror(ENOENT)));
	/* A name that is none, by way of the resolver. */
	assert_int_equal(sw_syslog_target("tcp:no-such-host.invalid:514", &target, &fault), 0);
	assert_null(sw_syslog_peer_open(&target, NULL, &world->stop, &fault));
	assert_non_null(strstr(fault.text, "no-such-host.invalid"));
}

static void test_localhost(void **state)
{
	struct world *world = *state;
	char name[80];

	listen_tcp(world, AF_INET);
	snprintf(name, sizeof(name), "tcp:localhost:%s", strrchr(world->target, ':') + 1);
	strcpy(world->target, name);
	open_peer(world);
}

#define test(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		test(test_datagrams),  test(test_unix_stream), test(test_tcp),
		test(test_tcp_unread), test(test_finish),      test(test_stop),
		test(test_nobody),     test(test_localhost),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
