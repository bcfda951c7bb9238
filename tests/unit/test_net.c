/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Connections of this namespace, on loopback: told by their ends and cookie, counted, reset. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

#include <arpa/inet.h>
#include <net/if.h>
#include <netinet/in.h>
#include <sys/socket.h>

#include "daemon/base.h"
#include "daemon/net.h"
#include "daemon/proto.h"

struct link {
	int listener, client, server;
	uint8_t src[16], dst[16];
	uint16_t src_port, dst_port;
	uint64_t cookie;
};

enum kind { IPV4, MAPPED, IPV6, BOUND, KINDS };

static void fill(struct sockaddr_in6 *to, enum kind kind, uint16_t port)
{
	const char *text = kind == MAPPED ? "::ffff:127.0.0.1" : "::1";
	struct sockaddr_in *four = (struct sockaddr_in *)to;

	memset(to, 0, sizeof(*to));
	if (kind == IPV4) {
		four->sin_family = AF_INET;
		four->sin_port = port;
		four->sin_addr.s_addr = htonl(INADDR_LOOPBACK);
		return;
	}
	to->sin6_family = AF_INET6;
	to->sin6_port = port;
	assert_int_equal(inet_pton(AF_INET6, text, &to->sin6_addr), 1);
}

static void join(struct link *link, enum kind kind)
{
	static const char interface[] = "lo";
	struct sockaddr_in6 addr = {.sin6_family = AF_INET6}, local;
	socklen_t length = sizeof(addr), size = sizeof(local), cookie = sizeof(link->cookie);
	int off = 0, reached;

	link->listener = socket(AF_INET6, SOCK_STREAM | SOCK_CLOEXEC, 0);
	setsockopt(link->listener, IPPROTO_IPV6, IPV6_V6ONLY, &off, sizeof(off));
	assert_int_equal(bind(link->listener, (struct sockaddr *)&addr, length), 0);
	assert_int_equal(listen(link->listener, 1), 0);
	getsockname(link->listener, (struct sockaddr *)&addr, &length);
	link->dst_port = ntohs(addr.sin6_port);
	link->client = socket(kind == IPV4 ? AF_INET : AF_INET6, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (kind == BOUND)
		assert_int_equal(setsockopt(link->client, SOL_SOCKET, SO_BINDTODEVICE, interface,
					    sizeof(interface)),
				 0);
	fill(&addr, kind, addr.sin6_port);
	reached = connect(link->client, (struct sockaddr *)&addr,
			  kind == IPV4 ? sizeof(struct sockaddr_in) : sizeof(addr));
	assert_int_equal(reached, 0);
	link->server = accept4(link->listener, NULL, NULL, SOCK_CLOEXEC);
	assert_true(link->server >= 0);
	getsockname(link->client, (struct sockaddr *)&local, &size);
	/* The port lies at one place in both. */
	link->src_port = ntohs(local.sin6_port);
	sw_addr_parse(kind == IPV4 || kind == MAPPED ? "127.0.0.1" : "::1", link->src);
	memcpy(link->dst, link->src, sizeof(link->dst));
	assert_int_equal(getsockopt(link->client, SOL_SOCKET, SO_COOKIE, &link->cookie, &cookie),
			 0);
}

static void part(struct link *link)
{
	close(link->client);
	close(link->server);
	close(link->listener);
}

static int reset_at(const struct link *link, uint32_t interface, uint64_t cookie)
{
	return sw_connection_close_flow(link->src, link->src_port, link->dst, link->dst_port,
					interface, cookie);
}

static int reset(const struct link *link, uint64_t cookie)
{
	return reset_at(link, SW_INTERFACE_UNKNOWN, cookie);
}

static void test_reset(void **state)
{
	(void)state;
	if (geteuid() != 0)
		skip();
	for (enum kind kind = 0; kind < KINDS; kind++) {
		struct link link;
		char byte;

		join(&link, kind);
		/* Another socket with the same ends is another connection. */
		assert_int_equal(reset(&link, link.cookie + (1ull << 40)), -ENOENT);
		assert_int_equal(send(link.client, "x", 1, MSG_NOSIGNAL), 1);
		assert_int_equal(recv(link.server, &byte, 1, 0), 1);
		assert_int_equal(reset(&link, link.cookie), 0);
		assert_int_equal(recv(link.client, &byte, 1, 0), -1);
		assert_int_equal(errno, ECONNABORTED);
		assert_int_equal(recv(link.server, &byte, 1, 0), -1);
		assert_int_equal(errno, ECONNRESET);
		assert_int_equal(reset(&link, link.cookie), -ENOENT);
		part(&link);
	}
}

/* Nothing is looked for where it is known which socket is meant: in a flood there is no time for it. */
static void test_reset_bound(void **state)
{
	struct link link;
	char byte;

	(void)state;
	if (geteuid() != 0)
		skip();
	join(&link, BOUND);
	assert_int_equal(reset_at(&link, 0, link.cookie), -ENOENT);
	assert_int_equal(reset_at(&link, if_nametoindex("lo"), link.cookie), 0);
	assert_int_equal(recv(link.client, &byte, 1, 0), -1);
	assert_int_equal(errno, ECONNABORTED);
	part(&link);
}

/* Without its own port: found by the cookie alone. */
static void test_reset_by_cookie(void **state)
{
	struct link link;
	char byte;

	(void)state;
	if (geteuid() != 0)
		skip();
	join(&link, IPV4);
	link.src_port = 0;
	assert_int_equal(reset(&link, link.cookie), 0);
	assert_int_equal(recv(link.server, &byte, 1, 0), -1);
	part(&link);
}

static void count(const struct link *link, uint64_t *sent, uint64_t *received, bool *found)
{
	const struct sw_traffic *traffic;
	struct sw_traffic *list;
	struct sw_fault fault;
	size_t n;

	assert_int_equal(sw_connections_traffic(&list, &n, &fault), 0);
	for (size_t i = 1; i < n; i++)
		assert_true(list[i - 1].cookie <= list[i].cookie);
	traffic = sw_traffic_find(list, n, link->cookie);
	*found = traffic != NULL;
	*sent = traffic ? traffic->sent : 0;
	*received = traffic ? traffic->received : 0;
	free(list);
}

/* SYN and FIN are no bytes. */
static void test_traffic(void **state)
{
	(void)state;
	for (enum kind kind = 0; kind < BOUND; kind++) {
		uint64_t sent, received;
		struct link link;
		char bytes[16];
		bool found;

		join(&link, kind);
		count(&link, &sent, &received, &found);
		assert_true(found);
		assert_int_equal(sent, 0);
		assert_int_equal(received, 0);
		assert_int_equal(send(link.client, "hello", 5, 0), 5);
		assert_int_equal(recv(link.server, bytes, sizeof(bytes), 0), 5);
		assert_int_equal(send(link.server, "abc", 3, 0), 3);
		assert_int_equal(recv(link.client, bytes, sizeof(bytes), 0), 3);
		count(&link, &sent, &received, &found);
		assert_int_equal(sent, 5);
		assert_int_equal(received, 3);
		assert_int_equal(shutdown(link.server, SHUT_WR), 0);
		assert_int_equal(recv(link.client, bytes, sizeof(bytes), 0), 0);
		count(&link, &sent, &received, &found);
		assert_int_equal(sent, 5);
		assert_int_equal(received, 3);
		close(link.client);
		link.client = -1;
		assert_int_equal(recv(link.server, bytes, sizeof(bytes), 0), 0);
		part(&link);
		count(&link, &sent, &received, &found);
		assert_false(found);
	}
}

static void test_find_none(void **state)
{
	(void)state;
	assert_null(sw_traffic_find(NULL, 0, 1));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_reset),           cmocka_unit_test(test_reset_bound),
		cmocka_unit_test(test_reset_by_cookie), cmocka_unit_test(test_traffic),
		cmocka_unit_test(test_find_none),
	};

	return cmocka_run_group_tests_name("net", tests, NULL, NULL);
}
