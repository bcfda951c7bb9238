/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Addresses, sockets and listeners. */
#include <arpa/inet.h>
#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "daemon/base.h"
#include "tests/prog/fixture.h"
#include "tests/prog/internal.h"

#define LISTENERS_MAX 16

static struct {
	int fds[LISTENERS_MAX];
	size_t n;
} own;

struct fx_addr fx_addr(const char *text, uint16_t port)
{
	struct fx_addr addr = {};
	struct sockaddr_in6 *in6 = (struct sockaddr_in6 *)&addr.storage;
	struct sockaddr_in *in = (struct sockaddr_in *)&addr.storage;

	if (inet_pton(AF_INET, text, &in->sin_addr) == 1) {
		in->sin_family = AF_INET;
		in->sin_port = htons(port);
		addr.length = sizeof(*in);
	} else if (inet_pton(AF_INET6, text, &in6->sin6_addr) == 1) {
		in6->sin6_family = AF_INET6;
		in6->sin6_port = htons(port);
		addr.length = sizeof(*in6);
	} else {
		fx_fail(text);
	}
	return addr;
}

void fx_mapped(const char *text, uint8_t addr[16])
{
	memset(addr, 0, 16);
	addr[10] = addr[11] = 0xff;
	if (inet_pton(AF_INET, text, addr + 12) != 1 && inet_pton(AF_INET6, text, addr) != 1)
		fx_fail(text);
}

int fx_socket(const char *text, int type, int protocol)
{
	int fd = socket(strchr(text, ':') ? AF_INET6 : AF_INET, type | SOCK_CLOEXEC, protocol);

	if (fd < 0)
		fx_fail("socket");
	return fd;
}

int fx_connect(int fd, const char *text, uint16_t port)
{
	struct fx_addr addr = fx_addr(text, port);

	return connect(fd, (struct sockaddr *)&addr.storage, addr.length) ? -errno : 0;
}

int fx_try(const char *text, uint16_t port)
{
	int fd sw_autoclose = fx_socket(text, SOCK_STREAM, 0);

	return fx_connect(fd, text, port);
}

/* A backlog that no test fills: nobody accepts. */
void fx_listen(uint16_t port)
{
	struct fx_addr addr = fx_addr("::", port);
	int fd = fx_socket("::", SOCK_STREAM, 0), one = 1;

	if (own.n == LISTENERS_MAX)
		fx_fail("too many listeners");
	setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
	if (bind(fd, (struct sockaddr *)&addr.storage, addr.length) || listen(fd, 4096))
		fx_fail("listen");
	own.fds[own.n++] = fd;
}

void fx_stop_listening(void)
{
	while (own.n)
		close(own.fds[--own.n]);
}
