/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * try.h - what the files of the program `try` share: the target of a try, the result it ends in,
 * and the ways there are.
 */
#ifndef SW_TEST_TRY_H
#define SW_TEST_TRY_H

#include <netinet/in.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/socket.h>

/* Seconds after which a way gives up. A refusal must come long before; who waits this long has hung. */
#define TRY_LIMIT 8

/* fd on which the caller hands in an open cgroup.procs for the ways that move. */
#define TRY_MOVE_FD 7

struct target {
	struct sockaddr_storage addr;
	socklen_t length;
	int family; /* AF_INET or AF_INET6 */
	const char *host;
	uint16_t port;
	char **args; /* what follows the port on the command line */
	int n_args;
};

/* A way does its try and returns 0 for connected (or sent) or a negative errno. It may print lines
   of its own first. TRY_SKIP: this kernel or user cannot do it. */
#define TRY_SKIP (-4096)
typedef int (*way_fn)(const struct target *target);

struct way {
	const char *name;
	way_fn run;
	const char *does;
};

extern const struct way connect_ways[], odd_ways[], pass_ways[], identity_ways[], uring_ways[],
	raw_ways[], flood_ways[];

/* Shared by the ways. */
uint64_t now_us(void);
int tcp_socket(const struct target *target, int protocol); /* with time limits set; fd or -errno */
int plain_connect(int fd, const struct target *target);    /* 0 or -errno, a hang is -ETIMEDOUT */
void print_result(const char *prefix, int result, uint64_t us);
const char *errno_name(int error);
int move_here(void); /* writes this process into the cgroup of TRY_MOVE_FD */
int read_banner(int fd, char *name, size_t size); /* 0: "220 NAME ..." was read */

#endif
