/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * crowd.c - many connections of one client that live at the same time.
 *
 *     crowd ADDRESS PORT CLIENT_HELLO
 *
 * Reads commands, one a line, and prints one line for each when all that it set going has come to an end:
 *     open COUNT WAY     that many more connections, one after the other. WAY: `syn` (the handshake of TCP alone),
 *                        `clear` (a greeting is read), `tls` (CLIENT_HELLO, in hexadecimal digits, is sent and
 *                        the first bytes of an answer are read, and answered)  -> opened N refused N
 *     send WORD...       each that is left sends that in one segment, with CR LF; taken: the other end has
 *                        acknowledged it                            -> taken N reset N silent N
 *     close              all                                        -> closed N
 */
#include <arpa/inet.h>
#include <errno.h>
#include <linux/sockios.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define MOST 60000
#define PATIENCE 5000 /* ms without any progress */

enum way { SYN, CLEAR, TLS };

struct crowd {
	struct sockaddr_storage to;
	socklen_t to_length;
	uint8_t hello[2048];
	size_t hello_length;
	int fds[MOST];
	size_t n;
};

static void die(const char *what)
{
	perror(what);
	exit(1);
}

static int64_t now_ms(void)
{
	struct timespec at;

	clock_gettime(CLOCK_MONOTONIC, &at);
	return at.tv_sec * 1000 + at.tv_nsec / 1000000;
}

/* ---- opening ---- */

enum step { CONNECTING, GREETED, DONE, FAILED };

enum fate { WAITING, TAKEN, RESET };

static enum fate fate_of(int fd)
{
	int error = 0, left = 0;
	socklen_t length = sizeof(error);

	if (getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &length) < 0 || error)
		return RESET;
	if (ioctl(fd, SIOCOUTQ, &left) < 0)
		return RESET;
	return left ? WAITING : TAKEN;
}

/* What was sent has got there: the next connection comes behind it. */
static bool was_taken(int fd)
{
	struct pollfd none = {.fd = -1};
	int64_t until = now_ms() + PATIENCE;
	enum fate fate;

	while ((fate = fate_of(fd)) == WAITING && now_ms() < until)
		poll(&none, 1, 1);
	return fate == TAKEN;
}

/* One step of a connection that became ready. In TLS a client has the next word: a ChangeCipherSpec. */
static enum step go_on(const struct crowd *crowd, int fd, enum way way, enum step step)
{
	static const uint8_t more[] = {0x14, 3, 3, 0, 1, 1};
	char bytes[4096];
	int error = 0;
	socklen_t length = sizeof(error);

	if (getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &length) < 0 || error)
		return FAILED;
	if (step == CONNECTING) {
		if (way == SYN)
			return DONE;
		if (way == TLS && send(fd, crowd->hello, crowd->hello_length, MSG_NOSIGNAL) < 0)
			return FAILED;
		return GREETED;
	}
	if (recv(fd, bytes, sizeof(bytes), MSG_DONTWAIT) <= 0)
		return FAILED;
	if (way == TLS && send(fd, more, sizeof(more), MSG_NOSIGNAL) < 0)
		return FAILED;
	return was_taken(fd) ? DONE : FAILED;
}

static int begin(const struct crowd *crowd)
{
	int fd = socket(crowd->to.ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0),
	    one = 1;

	if (fd < 0)
		die("socket");
	setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
	if (connect(fd, (const struct sockaddr *)&crowd->to, crowd->to_length) < 0 &&
	    errno != EINPROGRESS) {
		close(fd);
		return -1;
	}
	return fd;
}

/* -1: refused, or nothing came for too long. */
static int open_one(const struct crowd *crowd, enum way way)
{
	struct pollfd at = {.fd = begin(crowd), .events = POLLOUT};
	enum step step = at.fd < 0 ? FAILED : CONNECTING;

	while (step == CONNECTING || step == GREETED) {
		step = poll(&at, 1, PATIENCE) > 0 ? go_on(crowd, at.fd, way, step) : FAILED;
		at.events = POLLIN;
	}
	if (step == DONE)
		return at.fd;
	if (at.fd >= 0)
		close(at.fd);
	return -1;
}

/* One behind the other: those that are being opened side by side would make room for each other. */
static void open_all(struct crowd *crowd, size_t count, enum way way)
{
	size_t opened = 0;

	for (size_t i = 0; i < count && crowd->n < MOST; i++) {
		int fd = open_one(crowd, way);

		if (fd < 0)
			continue;
		crowd->fds[crowd->n++] = fd;
		opened++;
	}
	printf("opened %zu refused %zu\n", opened, count - opened);
}

/* ---- sending ---- */

/* Those that were reset are no longer of the crowd. */
static void send_all(struct crowd *crowd, const char *line)
{
	char bytes[512];
	size_t counts[RESET + 1] = {0}, left = 0, before = SIZE_MAX;
	int length = snprintf(bytes, sizeof(bytes), "%s\r\n", line);
	static enum fate fates[MOST];
	int64_t until = now_ms() + PATIENCE;
	struct pollfd none = {.fd = -1};

	for (size_t i = 0; i < crowd->n; i++)
		fates[i] = send(crowd->fds[i], bytes, (size_t)length, MSG_NOSIGNAL) == length
				   ? WAITING
				   : RESET;
	do {
		left = 0;
		for (size_t i = 0; i < crowd->n; i++) {
			if (fates[i] == WAITING)
				fates[i] = fate_of(crowd->fds[i]);
			left += fates[i] == WAITING;
		}
		if (left < before)
			until = now_ms() + PATIENCE;
		before = left;
		poll(&none, 1, left ? 10 : 0);
	} while (left && now_ms() < until);
	left = 0;
	for (size_t i = 0; i < crowd->n; i++) {
		counts[fates[i]]++;
		if (fates[i] == RESET)
			close(crowd->fds[i]);
		else
			crowd->fds[left++] = crowd->fds[i];
	}
	crowd->n = left;
	printf("taken %zu reset %zu silent %zu\n", counts[TAKEN], counts[RESET], counts[WAITING]);
}

/* By a reset: so many in TIME-WAIT would keep their ports. */
static void close_all(struct crowd *crowd)
{
	struct linger at_once = {1, 0};

	for (size_t i = 0; i < crowd->n; i++) {
		setsockopt(crowd->fds[i], SOL_SOCKET, SO_LINGER, &at_once, sizeof(at_once));
		close(crowd->fds[i]);
	}
	printf("closed %zu\n", crowd->n);
	crowd->n = 0;
}

static void obey(struct crowd *crowd, char *line)
{
	char way[16];
	size_t count;

	line[strcspn(line, "\n")] = '\0';
	if (sscanf(line, "open %zu %15s", &count, way) == 2)
		open_all(crowd, count,
			 !strcmp(way, "tls")     ? TLS
			 : !strcmp(way, "clear") ? CLEAR
						 : SYN);
	else if (!strncmp(line, "send ", 5))
		send_all(crowd, line + 5);
	else if (!strcmp(line, "close"))
		close_all(crowd);
	else
		printf("what is %s?\n", line);
	fflush(stdout);
}

static void parse_address(struct crowd *crowd, const char *address, const char *port_text)
{
	struct sockaddr_in *v4 = (struct sockaddr_in *)&crowd->to;
	struct sockaddr_in6 *v6 = (struct sockaddr_in6 *)&crowd->to;
	uint16_t port = htons((uint16_t)atoi(port_text));

	if (inet_pton(AF_INET, address, &v4->sin_addr) == 1) {
		v4->sin_family = AF_INET;
		v4->sin_port = port;
		crowd->to_length = sizeof(*v4);
	} else if (inet_pton(AF_INET6, address, &v6->sin6_addr) == 1) {
		v6->sin6_family = AF_INET6;
		v6->sin6_port = port;
		crowd->to_length = sizeof(*v6);
	} else {
		die(address);
	}
}

int main(int argc, char **argv)
{
	static struct crowd crowd;
	struct rlimit most;
	char line[512];
	unsigned int byte;

	if (argc != 4) {
		fprintf(stderr, "usage: crowd ADDRESS PORT CLIENT_HELLO\n");
		return 2;
	}
	signal(SIGPIPE, SIG_IGN);
	if (getrlimit(RLIMIT_NOFILE, &most) < 0)
		die("getrlimit");
	most.rlim_cur = most.rlim_max;
	if (setrlimit(RLIMIT_NOFILE, &most) < 0)
		die("setrlimit");
	parse_address(&crowd, argv[1], argv[2]);
	for (const char *at = argv[3];
	     crowd.hello_length < sizeof(crowd.hello) && sscanf(at, "%2x", &byte) == 1; at += 2)
		crowd.hello[crowd.hello_length++] = (uint8_t)byte;
	while (fgets(line, sizeof(line), stdin))
		obey(&crowd, line);
	return 0;
}
