/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * storm.c - refused connects at a given rate, each by another user, so that the flood limiter, which
 * counts by caller, lets all of them be told.
 *
 *     storm ADDRESS PORT PER_SECOND SECONDS USERS
 *
 * Must begin as root; users are 200000 and on. Prints at its end what came of it, the truth that counters
 * and sinks are held against:
 *     refused N other N behind N
 * `behind`: how many fewer than asked for there was time to make.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#define FIRST_USER 200000u

static uint64_t now_ns(void)
{
	struct timespec at;

	clock_gettime(CLOCK_MONOTONIC, &at);
	return (uint64_t)at.tv_sec * 1000000000u + (uint64_t)at.tv_nsec;
}

static void become(uint32_t user)
{
	/* The system call: glibc would tell all threads, of which there are none. */
	if (syscall(SYS_setresuid, -1, user, -1) < 0) {
		perror("setresuid");
		exit(1);
	}
}

/* Refused: 1. */
static int attempt(const struct sockaddr_in *to, uint32_t user)
{
	int fd, refused;

	/* Who has no privileges may not take on another user: root in between. */
	become(0);
	become(user);
	fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (fd < 0) {
		perror("socket");
		exit(1);
	}
	refused = connect(fd, (const struct sockaddr *)to, sizeof(*to)) < 0 && errno == EACCES;
	close(fd);
	return refused;
}

int main(int argc, char **argv)
{
	struct sockaddr_in to = {.sin_family = AF_INET};
	uint64_t begin, rate, wanted, done = 0, refused = 0;
	uint32_t users;

	if (argc != 6 || inet_pton(AF_INET, argv[1], &to.sin_addr) != 1) {
		fprintf(stderr, "usage: storm ADDRESS PORT PER_SECOND SECONDS USERS\n");
		return 2;
	}
	to.sin_port = htons((uint16_t)atoi(argv[2]));
	rate = strtoull(argv[3], NULL, 10);
	wanted = rate * strtoull(argv[4], NULL, 10);
	users = (uint32_t)atoi(argv[5]);
	begin = now_ns();
	while (done < wanted) {
		uint64_t passed = now_ns() - begin;

		/* As many as are due; then a millisecond for others. What cannot be made in twice the
		   time is left. */
		if (passed / 2 > wanted * 1000000000u / rate)
			break;
		for (uint64_t due = passed * rate / 1000000000u; done < due && done < wanted;
		     done++)
			refused += (uint64_t)attempt(&to, FIRST_USER + (uint32_t)(done % users));
		nanosleep(&(struct timespec){.tv_nsec = 1000000}, NULL);
	}
	printf("refused %llu other %llu behind %llu\n", (unsigned long long)refused,
	       (unsigned long long)(done - refused), (unsigned long long)(wanted - done));
	return 0;
}
