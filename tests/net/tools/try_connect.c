/* SPDX-License-Identifier: GPL-2.0-or-later */
/* try_connect.c - ways of calling connect(), and of having a connection without calling it. */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "try.h"

#ifndef IPPROTO_MPTCP
#define IPPROTO_MPTCP 262
#endif

static int way_connect(const struct target *target)
{
	int fd = tcp_socket(target, 0);

	return fd < 0 ? fd : plain_connect(fd, target);
}

static int wait_connected(int fd)
{
	struct pollfd poll_fd = {.fd = fd, .events = POLLOUT};
	int error = 0;
	socklen_t length = sizeof(error);

	if (poll(&poll_fd, 1, TRY_LIMIT * 1000) <= 0)
		return -ETIMEDOUT;
	getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &length);
	return -error;
}

static int way_nonblock(const struct target *target)
{
	int fd = tcp_socket(target, 0);

	if (fd < 0)
		return fd;
	fcntl(fd, F_SETFL, O_NONBLOCK);
	if (connect(fd, (const struct sockaddr *)&target->addr, target->length) == 0)
		return 0;
	return errno == EINPROGRESS ? wait_connected(fd) : -errno;
}

/* An IPv4 address asked for over an IPv6 socket. */
static int way_v4mapped(const struct target *target)
{
	struct target mapped = *target;
	struct sockaddr_in6 *v6 = (struct sockaddr_in6 *)&mapped.addr;
	struct in_addr v4 = ((const struct sockaddr_in *)&target->addr)->sin_addr;

	if (target->family != AF_INET)
		return -EINVAL;
	memset(v6, 0, sizeof(*v6));
	v6->sin6_family = AF_INET6;
	v6->sin6_port = htons(target->port);
	v6->sin6_addr.s6_addr[10] = v6->sin6_addr.s6_addr[11] = 0xff;
	memcpy(v6->sin6_addr.s6_addr + 12, &v4, 4);
	mapped.family = AF_INET6;
	mapped.length = sizeof(*v6);
	return way_connect(&mapped);
}

static int way_mptcp(const struct target *target)
{
	int fd = tcp_socket(target, IPPROTO_MPTCP);

	if (fd == -EPROTONOSUPPORT || fd == -ENOPROTOOPT)
		return TRY_SKIP;
	return fd < 0 ? fd : plain_connect(fd, target);
}

/* An SMC socket makes a TCP connection inside the kernel and falls back to it. */
static int way_smc(const struct target *target)
{
	int fd = socket(AF_SMC, SOCK_STREAM | SOCK_CLOEXEC, target->family == AF_INET6);

	return fd < 0 ? TRY_SKIP : plain_connect(fd, target);
}

/*
 * Holds an MPTCP connection open until standard input ends, so that the kernel's worker can add the
 * subflow that the far side asks for. Says "open" when it stands.
 */
static int way_mptcp_hold(const struct target *target)
{
	char byte;
	int fd = tcp_socket(target, IPPROTO_MPTCP);

	if (fd < 0)
		return fd == -EPROTONOSUPPORT ? TRY_SKIP : fd;
	int result = plain_connect(fd, target);
	if (result == 0) {
		/* A byte each way: subflows are added to established connections only. */
		char name[64];
		read_banner(fd, name, sizeof(name));
		if (write(fd, "NOOP\r\n", 6) < 0)
			return -errno;
		puts("open");
		fflush(stdout);
		while (read(0, &byte, 1) > 0)
			;
	}
	return result;
}

/* args[0]: a word for the far side to read in the data that the SYN carries. */
static int fastopen(const struct target *target, int protocol)
{
	char data[128];
	int length = snprintf(data, sizeof(data), "EHLO %s\r\n",
			      target->n_args ? target->args[0] : "fast-open");
	int fd = tcp_socket(target, protocol);

	if (fd < 0)
		return fd == -EPROTONOSUPPORT ? TRY_SKIP : fd;
	if (sendto(fd, data, (size_t)length, MSG_FASTOPEN, (const struct sockaddr *)&target->addr,
		   target->length) < 0) {
		if (errno == EOPNOTSUPP) /* MPTCP before 6.2 */
			return TRY_SKIP;
		return errno == EINPROGRESS || errno == EAGAIN ? -ETIMEDOUT : -errno;
	}
	return 0;
}

static int way_tfo(const struct target *target)
{
	return fastopen(target, 0);
}

static int way_tfo_mptcp(const struct target *target)
{
	return fastopen(target, IPPROTO_MPTCP);
}

/* connect() returns before the SYN leaves; the first write sends it. */
static int way_tfo_connect(const struct target *target)
{
	const char *word = target->n_args ? target->args[0] : "fast-open-connect";
	int one = 1, fd = tcp_socket(target, 0);

	if (fd < 0)
		return fd;
	if (setsockopt(fd, IPPROTO_TCP, TCP_FASTOPEN_CONNECT, &one, sizeof(one)) < 0)
		return TRY_SKIP;
	int result = plain_connect(fd, target);
	if (result < 0)
		return result;
	return dprintf(fd, "EHLO %s\r\n", word) < 0 ? -errno : 0;
}

/* IP options, and an IPv6 destination-options header, on an ordinary socket: a parser that knows
   only the plain header finds no port. */
static int way_options(const struct target *target)
{
	static const uint8_t nops[4] = {1, 1, 1, 0};
	static const uint8_t pad[8] = {0, 0, 1, 4, 0, 0, 0, 0};
	int fd = tcp_socket(target, 0);

	if (fd < 0)
		return fd;
	int error = target->family == AF_INET
			    ? setsockopt(fd, IPPROTO_IP, IP_OPTIONS, nops, sizeof(nops))
			    : setsockopt(fd, IPPROTO_IPV6, IPV6_DSTOPTS, pad, sizeof(pad));
	if (error < 0)
		return errno == EPERM ? TRY_SKIP : -errno;
	return plain_connect(fd, target);
}

static int open_and_disconnect(const struct target *target, uint16_t port)
{
	struct sockaddr unspec = {.sa_family = AF_UNSPEC};
	struct target other = *target;
	int fd = tcp_socket(target, 0);

	if (fd < 0)
		return fd;
	/* sin_port and sin6_port lie at the same place. */
	((struct sockaddr_in *)&other.addr)->sin_port = htons(port);
	int result = plain_connect(fd, &other);
	if (result < 0)
		return result;
	printf("first connection open\n");
	return connect(fd, &unspec, sizeof(unspec)) < 0 ? -errno : fd;
}

/* Connects to the port in args[0], disconnects with AF_UNSPEC, and connects the same socket to the
   target. With a cgroup on TRY_MOVE_FD it moves there in between. */
static int way_reconnect(const struct target *target)
{
	if (target->n_args < 1)
		return -EINVAL;
	int fd = open_and_disconnect(target, (uint16_t)atoi(target->args[0]));
	if (fd < 0)
		return fd == -EACCES ? -EIO : fd;
	if (fcntl(TRY_MOVE_FD, F_GETFD) >= 0 && move_here() < 0)
		return -EIO;
	return plain_connect(fd, target);
}

/* Holds a connection open until a line comes on standard input, then asks the server for an answer:
   whether the connection still carries anything both ways. */
static int way_hold(const struct target *target)
{
	char name[64], line[16], answer[64];
	int fd = tcp_socket(target, 0);

	if (fd < 0)
		return fd;
	int result = plain_connect(fd, target);
	if (result == 0)
		result = read_banner(fd, name, sizeof(name));
	if (result < 0)
		return result;
	puts("open");
	fflush(stdout);
	if (!fgets(line, sizeof(line), stdin))
		return -EIO;
	if (write(fd, "NOOP\r\n", 6) < 0)
		return -errno;
	ssize_t n = read(fd, answer, sizeof(answer));
	if (n < 0)
		return errno == EAGAIN ? -ETIMEDOUT : -errno;
	return n == 0 ? -ECONNRESET : 0;
}

static void print_peer(int fd)
{
	struct sockaddr_storage peer = {0};
	socklen_t length = sizeof(peer);
	char text[INET6_ADDRSTRLEN] = "?";
	const struct sockaddr_in6 *v6 = (const void *)&peer;
	const struct sockaddr_in *v4 = (const void *)&peer;

	if (getpeername(fd, (struct sockaddr *)&peer, &length) < 0) {
		printf("peer %s\n", errno_name(errno));
		return;
	}
	if (peer.ss_family == AF_INET6)
		inet_ntop(AF_INET6, &v6->sin6_addr, text, sizeof(text));
	else
		inet_ntop(AF_INET, &v4->sin_addr, text, sizeof(text));
	printf("peer %s %u\n", text, ntohs(v4->sin_port));
}

static int peer_of(int fd, const struct target *target)
{
	char name[64];

	if (fd < 0)
		return fd;
	int result = plain_connect(fd, target);
	if (result < 0)
		return result;
	print_peer(fd);
	result = read_banner(fd, name, sizeof(name));
	if (result == 0)
		printf("server %s\n", name);
	return result;
}

/* Prints what getpeername() says and which server answered. */
static int way_peer(const struct target *target)
{
	return peer_of(tcp_socket(target, 0), target);
}

static int way_peer_v4mapped(const struct target *target)
{
	struct target mapped = *target;
	struct sockaddr_in6 *v6 = (struct sockaddr_in6 *)&mapped.addr;
	char text[INET6_ADDRSTRLEN + 8];

	snprintf(text, sizeof(text), "::ffff:%s", target->host);
	memset(v6, 0, sizeof(*v6));
	v6->sin6_family = mapped.family = AF_INET6;
	v6->sin6_port = htons(target->port);
	mapped.length = sizeof(*v6);
	if (inet_pton(AF_INET6, text, &v6->sin6_addr) != 1)
		return -EINVAL;
	return peer_of(tcp_socket(&mapped, 0), &mapped);
}

const struct way connect_ways[] = {
	{"connect", way_connect, "plain blocking connect()"},
	{"nonblock", way_nonblock, "non-blocking connect(), then poll()"},
	{"v4mapped", way_v4mapped, "an IPv4 address over an IPv6 socket"},
	{"mptcp", way_mptcp, "an MPTCP socket"},
	{"mptcp-hold", way_mptcp_hold, "an MPTCP connection kept until standard input ends"},
	{"hold", way_hold, "a connection kept until a line comes, then used"},
	{"smc", way_smc, "an SMC socket"},
	{"tfo", way_tfo, "sendto(MSG_FASTOPEN): data in the SYN, no connect()"},
	{"tfo-mptcp", way_tfo_mptcp, "the same on an MPTCP socket"},
	{"tfo-connect", way_tfo_connect, "TCP_FASTOPEN_CONNECT: the first write sends the SYN"},
	{"options", way_options, "IP options or an IPv6 extension header on the socket"},
	{"reconnect", way_reconnect, "PORT0: open to PORT0, AF_UNSPEC, then the target"},
	{"peer", way_peer, "prints getpeername() and the server's name"},
	{"peer-v4mapped", way_peer_v4mapped, "the same over an IPv6 socket"},
	{0},
};
