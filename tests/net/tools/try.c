/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * try.c - tries one way of opening a TCP connection and says what came of it, on one line:
 *     connected OK MICROSECONDS
 *     refused ERRNO MICROSECONDS     (hung ETIMEDOUT: it was neither, until the limit)
 *     skipped ENOTSUP 0              (this kernel or this user cannot do it)
 * Exit code: 0 connected, 1 refused, 2 wrong usage, 3 skipped, 4 hung. Links statically, so that it
 * runs where nothing else is installed.
 */
#include "try.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

static const struct way *const tables[] = {connect_ways, odd_ways, pass_ways, identity_ways,
					   uring_ways,   raw_ways, flood_ways};

uint64_t now_us(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (uint64_t)now.tv_sec * 1000000 + (uint64_t)now.tv_nsec / 1000;
}

const char *errno_name(int error)
{
	const char *name = strerrorname_np(error);

	return name ? name : "EUNKNOWN";
}

int tcp_socket(const struct target *target, int protocol)
{
	struct timeval limit = {.tv_sec = TRY_LIMIT};
	int fd = socket(target->family, SOCK_STREAM | SOCK_CLOEXEC, protocol);

	if (fd < 0)
		return -errno;
	/* connect() obeys the send limit. */
	setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof(limit));
	setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof(limit));
	return fd;
}

int plain_connect(int fd, const struct target *target)
{
	if (connect(fd, (const struct sockaddr *)&target->addr, target->length) == 0)
		return 0;
	return errno == EINPROGRESS || errno == EAGAIN ? -ETIMEDOUT : -errno;
}

int move_here(void)
{
	return write(TRY_MOVE_FD, "0\n", 2) == 2 ? 0 : -errno;
}

int read_banner(int fd, char *name, size_t size)
{
	char line[512];
	size_t have = 0;

	while (have < sizeof(line) - 1) {
		ssize_t n = read(fd, line + have, sizeof(line) - 1 - have);
		if (n <= 0)
			return n < 0 ? -errno : -ECONNRESET;
		have += (size_t)n;
		line[have] = '\0';
		if (strchr(line, '\n'))
			break;
	}
	if (strncmp(line, "220 ", 4) != 0)
		return -EPROTO;
	snprintf(name, size, "%.*s", (int)strcspn(line + 4, " \r\n"), line + 4);
	return 0;
}

void print_result(const char *prefix, int result, uint64_t us)
{
	const char *what = "refused";

	if (result == TRY_SKIP) {
		printf("%sskipped ENOTSUP 0\n", prefix);
		return;
	}
	if (result == 0)
		what = "connected";
	else if (result == -ETIMEDOUT)
		what = "hung";
	printf("%s%s %s %llu\n", prefix, what, result ? errno_name(-result) : "OK",
	       (unsigned long long)us);
	fflush(stdout);
}

static int parse_target(struct target *target, char **argv, int argc)
{
	struct sockaddr_in *v4 = (struct sockaddr_in *)&target->addr;
	struct sockaddr_in6 *v6 = (struct sockaddr_in6 *)&target->addr;
	char *end;
	unsigned long port = strtoul(argv[1], &end, 10);

	if (*end || port > 65535)
		return -EINVAL;
	target->host = argv[0];
	target->port = (uint16_t)port;
	target->args = argv + 2;
	target->n_args = argc - 2;
	if (inet_pton(AF_INET, argv[0], &v4->sin_addr) == 1) {
		v4->sin_family = AF_INET;
		v4->sin_port = htons((uint16_t)port);
		target->length = sizeof(*v4);
	} else if (inet_pton(AF_INET6, argv[0], &v6->sin6_addr) == 1) {
		v6->sin6_family = AF_INET6;
		v6->sin6_port = htons((uint16_t)port);
		target->length = sizeof(*v6);
	} else {
		return -EINVAL;
	}
	target->family = target->addr.ss_family;
	return 0;
}

static int usage(void)
{
	fputs("usage: try WAY ADDRESS PORT [ARGUMENT ...]\n", stderr);
	for (size_t i = 0; i < sizeof(tables) / sizeof(tables[0]); i++)
		for (const struct way *way = tables[i]; way->name; way++)
			fprintf(stderr, "  %-18s %s\n", way->name, way->does);
	return 2;
}

static const struct way *find_way(const char *name)
{
	for (size_t i = 0; i < sizeof(tables) / sizeof(tables[0]); i++)
		for (const struct way *way = tables[i]; way->name; way++)
			if (strcmp(way->name, name) == 0)
				return way;
	return NULL;
}

int main(int argc, char **argv)
{
	struct target target = {0};
	const struct way *way = argc >= 4 ? find_way(argv[1]) : NULL;

	if (!way || parse_target(&target, argv + 2, argc - 2) < 0)
		return usage();
	signal(SIGPIPE, SIG_IGN);
	alarm(4 * TRY_LIMIT); /* nothing here may outlive the test that asked */
	uint64_t start = now_us();
	int result = way->run(&target);
	print_result("", result, now_us() - start);
	if (result == TRY_SKIP)
		return 3;
	return result == 0 ? 0 : result == -ETIMEDOUT ? 4 : 1;
}
