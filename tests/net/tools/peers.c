/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * peers.c - bad company on a Unix stream socket.
 *
 *     peers idle SOCKET N       N connections that say nothing, held until standard input ends;
 *                               says "idle M" when M of them stand
 *     peers half SOCKET N       the same, but each has sent the first half of a message
 *     peers flood SOCKET N      N connections, one after another, each closed at once
 *     peers send SOCKET         sends standard input and ends when the other side has closed, or
 *                               after a while: prints "closed BYTES" or "open BYTES", what came back
 *     peers apply SOCKET FILE DIR   asks for FILE to be applied, unchecked, as the protocol says: the
 *                               answer goes to standard output
 */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#define WAIT_MS 5000

static int dial(const char *path)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	if (fd < 0 || strlen(path) >= sizeof(address.sun_path))
		return -1;
	memcpy(address.sun_path, path, strlen(path));
	if (connect(fd, (const struct sockaddr *)&address, sizeof(address)) < 0) {
		close(fd);
		return -1;
	}
	return fd;
}

static int hold(const char *path, long n, const void *first, size_t length)
{
	long stand = 0;
	char byte;

	for (long i = 0; i < n; i++) {
		int fd = dial(path);
		if (fd < 0)
			continue;
		/* A server may have closed already: that is its right, and told below by nobody. */
		if (length && send(fd, first, length, MSG_NOSIGNAL) < 0)
			continue;
		stand++;
	}
	printf("idle %ld\n", stand);
	fflush(stdout);
	while (read(0, &byte, 1) > 0)
		;
	return 0;
}

static int flood(const char *path, long n)
{
	long done = 0;

	for (long i = 0; i < n; i++) {
		int fd = dial(path);
		if (fd < 0)
			continue;
		close(fd);
		done++;
	}
	printf("flood %ld\n", done);
	return 0;
}

static int send_input(const char *path)
{
	char data[65536];
	size_t back = 0;
	ssize_t n = 0;
	int fd = dial(path);

	if (fd < 0) {
		printf("refused %s\n", strerrorname_np(errno));
		return 1;
	}
	while ((n = read(0, data, sizeof(data))) > 0)
		if (send(fd, data, (size_t)n, MSG_NOSIGNAL) < 0)
			break;
	shutdown(fd, SHUT_WR);
	for (struct pollfd poll_fd = {.fd = fd, .events = POLLIN};
	     poll(&poll_fd, 1, WAIT_MS) > 0;) {
		n = read(fd, data, sizeof(data));
		if (n <= 0) {
			printf("closed %zu\n", back);
			return 0;
		}
		back += (size_t)n;
	}
	printf("open %zu\n", back);
	return 0;
}

static int send_fds(int to, const void *data, size_t length, const int fds[2])
{
	char control[CMSG_SPACE(2 * sizeof(int))] = {0};
	struct iovec part = {(void *)(uintptr_t)data, length};
	struct msghdr message = {.msg_iov = &part,
				 .msg_iovlen = 1,
				 .msg_control = control,
				 .msg_controllen = sizeof(control)};
	struct cmsghdr *head = CMSG_FIRSTHDR(&message);

	head->cmsg_level = SOL_SOCKET;
	head->cmsg_type = SCM_RIGHTS;
	head->cmsg_len = CMSG_LEN(2 * sizeof(int));
	memcpy(CMSG_DATA(head), fds, 2 * sizeof(int));
	return sendmsg(to, &message, MSG_NOSIGNAL) == (ssize_t)length ? 0 : -1;
}

static int apply_unchecked(const char *path, const char *file, const char *dir)
{
	char frame[8192], answer[65536];
	int fd = dial(path), fds[2] = {open(file, O_RDONLY | O_CLOEXEC),
				       open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC)};
	int length = snprintf(frame + 4, sizeof(frame) - 4,
			      "{\"request\": \"apply\", \"path\": \"%s\"}", file);
	uint32_t head = htonl((uint32_t)length);
	ssize_t n;

	memcpy(frame, &head, 4);
	if (fd < 0 || fds[0] < 0 || fds[1] < 0 || length >= (int)sizeof(frame) - 4 ||
	    send_fds(fd, frame, (size_t)length + 4, fds) < 0) {
		perror("apply");
		return 1;
	}
	shutdown(fd, SHUT_WR);
	for (size_t skip = 4; (n = read(fd, answer, sizeof(answer))) > 0; skip = 0)
		if ((size_t)n > skip)
			fwrite(answer + skip, 1, (size_t)n - skip, stdout);
	putchar('\n');
	return 0;
}

int main(int argc, char **argv)
{
	/* A head that announces 64 bytes, and the beginning of them. */
	static const uint8_t half[] = {0, 0, 0, 64, '{', '"', 'r', 'e', 'q'};
	struct rlimit files;
	long n = argc > 3 ? atol(argv[3]) : 0;

	signal(SIGPIPE, SIG_IGN);
	if (getrlimit(RLIMIT_NOFILE, &files) == 0) {
		files.rlim_cur = files.rlim_max;
		setrlimit(RLIMIT_NOFILE, &files);
	}
	if (argc == 4 && strcmp(argv[1], "idle") == 0)
		return hold(argv[2], n, NULL, 0);
	if (argc == 4 && strcmp(argv[1], "half") == 0)
		return hold(argv[2], n, half, sizeof(half));
	if (argc == 4 && strcmp(argv[1], "flood") == 0)
		return flood(argv[2], n);
	if (argc == 3 && strcmp(argv[1], "send") == 0)
		return send_input(argv[2]);
	if (argc == 5 && strcmp(argv[1], "apply") == 0)
		return apply_unchecked(argv[2], argv[3], argv[4]);
	fputs("usage: peers idle|half|flood SOCKET N | peers send SOCKET |\n"
	      "       peers apply SOCKET FILE DIR\n",
	      stderr);
	return 2;
}
