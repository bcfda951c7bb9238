/* SPDX-License-Identifier: GPL-2.0-or-later */
/* try_pass.c - sockets that change hands or cgroups between socket() and connect(). */
#include <arpa/inet.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include "try.h"

/* The socket is made here, then this process moves to the cgroup of TRY_MOVE_FD and connects. */
static int way_move_made(const struct target *target)
{
	int fd = tcp_socket(target, 0);

	if (fd < 0)
		return fd;
	return move_here() < 0 ? -EIO : plain_connect(fd, target);
}

/* Connects here, moves, and then opens a second connection. Both are told; the second counts. */
static int way_move_connected(const struct target *target)
{
	char name[64];
	int fd = tcp_socket(target, 0);

	if (fd < 0)
		return fd;
	uint64_t start = now_us();
	int result = plain_connect(fd, target);
	print_result("before ", result, now_us() - start);
	if (result < 0 || move_here() < 0)
		return -EIO;
	start = now_us();
	print_result("open ", read_banner(fd, name, sizeof(name)), now_us() - start);
	int second = tcp_socket(target, 0);
	return second < 0 ? second : plain_connect(second, target);
}

static int send_fd(int to, int fd)
{
	char control[CMSG_SPACE(sizeof(int))] = {0}, byte = 'x';
	struct iovec data = {&byte, 1};
	struct msghdr message = {.msg_iov = &data,
				 .msg_iovlen = 1,
				 .msg_control = control,
				 .msg_controllen = sizeof(control)};
	struct cmsghdr *head = CMSG_FIRSTHDR(&message);

	head->cmsg_level = SOL_SOCKET;
	head->cmsg_type = SCM_RIGHTS;
	head->cmsg_len = CMSG_LEN(sizeof(int));
	memcpy(CMSG_DATA(head), &fd, sizeof(int));
	return sendmsg(to, &message, 0) < 0 ? -errno : 0;
}

static int receive_fd(int from)
{
	char control[CMSG_SPACE(sizeof(int))] = {0}, byte;
	struct iovec data = {&byte, 1};
	struct msghdr message = {.msg_iov = &data,
				 .msg_iovlen = 1,
				 .msg_control = control,
				 .msg_controllen = sizeof(control)};
	int fd;

	if (recvmsg(from, &message, 0) <= 0)
		return -errno;
	const struct cmsghdr *head = CMSG_FIRSTHDR(&message);
	if (!head || head->cmsg_type != SCM_RIGHTS)
		return -EPROTO;
	memcpy(&fd, CMSG_DATA(head), sizeof(int));
	return fd;
}

static int unix_address(const char *path, struct sockaddr_un *address)
{
	if (strlen(path) >= sizeof(address->sun_path))
		return -ENAMETOOLONG;
	*address = (struct sockaddr_un){.sun_family = AF_UNIX};
	memcpy(address->sun_path, path, strlen(path));
	return 0;
}

/* args[0]: path of a Unix socket. Makes an unconnected TCP socket and gives it to the first who
   comes; the target says the address family only. */
static int way_give(const struct target *target)
{
	struct sockaddr_un address;
	int fd = tcp_socket(target, 0);

	if (fd < 0 || target->n_args < 1 || unix_address(target->args[0], &address) < 0)
		return -EINVAL;
	int listener = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	unlink(target->args[0]);
	if (bind(listener, (const struct sockaddr *)&address, sizeof(address)) < 0 ||
	    listen(listener, 1) < 0)
		return -errno;
	chmod(target->args[0], 0666);
	puts("waiting");
	fflush(stdout);
	int peer = accept(listener, NULL, NULL);
	if (peer < 0)
		return -errno;
	int result = send_fd(peer, fd);
	char byte;
	(void)!read(peer, &byte, 1); /* keep our copy until the taker is done */
	return result;
}

/* args[0]: path of a Unix socket. Takes a socket there and connects it. */
static int way_take(const struct target *target)
{
	struct sockaddr_un address;
	int from = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	if (from < 0 || target->n_args < 1 || unix_address(target->args[0], &address) < 0)
		return -EINVAL;
	if (connect(from, (const struct sockaddr *)&address, sizeof(address)) < 0)
		return -EIO;
	int fd = receive_fd(from);
	return fd < 0 ? -EIO : plain_connect(fd, target);
}

const struct way pass_ways[] = {
	{"move-made", way_move_made, "socket(), move to the cgroup on fd 7, connect()"},
	{"move-connected", way_move_connected, "connect(), move to the cgroup on fd 7, again"},
	{"give", way_give, "SOCKET: hand an unconnected socket to the first who comes"},
	{"take", way_take, "SOCKET: take a socket there and connect it"},
	{0},
};
