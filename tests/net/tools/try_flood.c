/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * try_flood.c - connects without pause and counts every outcome. A connection that opens must go the
 * whole way: the server's greeting is read, QUIT is sent and its answer read, and getpeername() must
 * say what was asked for. Anything between "refused" and "served" has an outcome of its own.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "try.h"

#define OUTCOMES_MAX 32

struct outcome {
	char name[80];
	unsigned long count;
};

static void count_outcome(struct outcome *outcomes, const char *name)
{
	for (size_t i = 0; i < OUTCOMES_MAX; i++) {
		if (!outcomes[i].count)
			snprintf(outcomes[i].name, sizeof(outcomes[i].name), "%s", name);
		if (strcmp(outcomes[i].name, name) == 0) {
			outcomes[i].count++;
			return;
		}
	}
}

static int peer_differs(int fd, const struct target *target)
{
	struct sockaddr_storage peer = {0};
	socklen_t length = sizeof(peer);

	return getpeername(fd, (struct sockaddr *)&peer, &length) < 0 ||
	       memcmp(&peer, &target->addr, target->length) != 0;
}

/* One connection, told as a word: an errno, the server's name, or what went wrong with it. */
static void one_connection(const struct target *target, char *outcome, size_t size)
{
	struct linger reset = {.l_onoff = 1}; /* no TIME_WAIT: ports would run out */
	char name[64], answer[64];
	int fd = tcp_socket(target, 0);
	int result = fd < 0 ? fd : plain_connect(fd, target);

	if (result < 0) {
		snprintf(outcome, size, "%s", errno_name(-result));
	} else if ((result = read_banner(fd, name, sizeof(name))) < 0) {
		snprintf(outcome, size, "no-greeting-%s", errno_name(-result));
	} else if (peer_differs(fd, target)) {
		snprintf(outcome, size, "%s-wrong-peer", name);
	} else if (write(fd, "QUIT\r\n", 6) != 6 || read(fd, answer, sizeof(answer)) < 4 ||
		   strncmp(answer, "221 ", 4) != 0) {
		snprintf(outcome, size, "%s-broken", name);
	} else {
		snprintf(outcome, size, "%s", name);
	}
	if (fd >= 0) {
		setsockopt(fd, SOL_SOCKET, SO_LINGER, &reset, sizeof(reset));
		close(fd);
	}
}

/*
 * args[0]: goes on until this file is there; args[1]: a file that is told the number of connections
 * now and then, so that a test can wait for load. Prints "total N" and "COUNT OUTCOME" per outcome.
 */
static int way_flood(const struct target *target)
{
	struct outcome outcomes[OUTCOMES_MAX] = {0};
	unsigned long total = 0;
	char outcome[80];

	if (target->n_args < 2)
		return -EINVAL;
	alarm(900);
	int progress = open(target->args[1], O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
	while (access(target->args[0], F_OK) < 0) {
		one_connection(target, outcome, sizeof(outcome));
		count_outcome(outcomes, outcome);
		if (++total % 50 == 0)
			dprintf(progress, "%lu\n", total);
	}
	printf("total %lu\n", total);
	for (size_t i = 0; i < OUTCOMES_MAX && outcomes[i].count; i++)
		printf("%lu %s\n", outcomes[i].count, outcomes[i].name);
	return 0;
}

/* args[0]: how many connections; otherwise the same. */
static int way_count(const struct target *target)
{
	struct outcome outcomes[OUTCOMES_MAX] = {0};
	unsigned long total = target->n_args ? strtoul(target->args[0], NULL, 10) : 1;
	char outcome[80];

	for (unsigned long i = 0; i < total; i++) {
		one_connection(target, outcome, sizeof(outcome));
		count_outcome(outcomes, outcome);
	}
	printf("total %lu\n", total);
	for (size_t i = 0; i < OUTCOMES_MAX && outcomes[i].count; i++)
		printf("%lu %s\n", outcomes[i].count, outcomes[i].name);
	return 0;
}

const struct way flood_ways[] = {
	{"flood", way_flood, "STOP PROGRESS: connect until STOP exists, count outcomes"},
	{"count", way_count, "N: connect N times, count outcomes"},
	{0},
};
