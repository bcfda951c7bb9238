/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "daemon/syslog_connect.h"

#include <errno.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>

#define CONNECT_USEC 5000000u /* for each address */
#define LOOKUP_USEC 10000000u
#define LOOKUP_STEP_NSEC 50000000

/* An idle connection is asked after, so that one whose other end is gone is noticed. */
#define KEEPALIVE_IDLE 60
#define KEEPALIVE_STEP 10
#define KEEPALIVE_TRIES 5

static int failed(struct sw_fault *fault, const char *why)
{
	return sw_fault(fault, SW_EXIT_KERNEL, "%s", why);
}

/* ---- Unix ---- */

int sw_syslog_connect_unix(const char *path, int type)
{
	sw_autoclose int fd = socket(AF_UNIX, type | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	struct sockaddr_un address = {.sun_family = AF_UNIX};

	snprintf(address.sun_path, sizeof(address.sun_path), "%s", path);
	if (fd < 0 || connect(fd, (struct sockaddr *)&address, sizeof(address)) < 0)
		return -1;
	return sw_take_fd(fd);
}

static int connect_unix(const char *path, bool *datagram, struct sw_fault *fault)
{
	int fd = sw_syslog_connect_unix(path, SOCK_DGRAM);

	*datagram = fd >= 0;
	if (fd < 0 && errno == EPROTOTYPE)
		fd = sw_syslog_connect_unix(path, SOCK_STREAM);
	return fd < 0 ? failed(fault, strerror(errno)) : fd;
}

/* ---- names ---- */

static void free_addresses(struct addrinfo **list)
{
	if (*list)
		freeaddrinfo(*list);
}

/* What a lookup reads must stay while it goes on, and one that nobody waits for any more is not to be
   cancelled: then it is left to end by itself, with its memory. */
struct lookup {
	struct gaicb request;
	struct addrinfo hints;
	struct sw_syslog_target target;
};

static int wait_for_lookup(struct lookup *lookup, struct sw_syslog_stop *stop)
{
	const struct gaicb *list[] = {&lookup->request};
	const struct timespec step = {.tv_nsec = LOOKUP_STEP_NSEC};
	uint64_t until = sw_syslog_now() + LOOKUP_USEC;
	int error;

	while ((error = gai_error(&lookup->request)) == EAI_INPROGRESS &&
	       !sw_syslog_stopping(stop) && sw_syslog_in_time(stop, until))
		gai_suspend(list, 1, &step);
	return error;
}

static int look_up(const struct sw_syslog_target *target, struct sw_syslog_stop *stop,
		   struct addrinfo **list)
{
	struct lookup *lookup = calloc(1, sizeof(*lookup));
	struct gaicb *requests[1];
	int error;

	if (!lookup)
		return EAI_MEMORY;
	lookup->target = *target;
	lookup->hints = (struct addrinfo){.ai_socktype = SOCK_STREAM, .ai_flags = AI_NUMERICSERV};
	lookup->request = (struct gaicb){.ar_name = lookup->target.host,
					 .ar_service = lookup->target.port,
					 .ar_request = &lookup->hints};
	requests[0] = &lookup->request;
	error = getaddrinfo_a(GAI_NOWAIT, requests, 1, NULL);
	if (!error)
		error = wait_for_lookup(lookup, stop);
	if (error == EAI_INPROGRESS && gai_cancel(&lookup->request) != EAI_CANCELED)
		return EAI_AGAIN;
	*list = lookup->request.ar_result;
	free(lookup);
	return error == EAI_INPROGRESS ? EAI_AGAIN : error;
}

static int addresses_of(const struct sw_syslog_target *target, struct sw_syslog_stop *stop,
			struct addrinfo **list, struct sw_fault *fault)
{
	const struct addrinfo numeric = {.ai_socktype = SOCK_STREAM,
					 .ai_flags = AI_NUMERICHOST | AI_NUMERICSERV};
	int error = getaddrinfo(target->host, target->port, &numeric, list);

	if (error == EAI_NONAME)
		error = look_up(target, stop, list);
	if (error)
		return sw_fault(fault, SW_EXIT_KERNEL, "cannot look up %s: %s", target->host,
				gai_strerror(error));
	return 0;
}

/* ---- TCP ---- */

static void keep_alive(int fd)
{
	const int on = 1, idle = KEEPALIVE_IDLE, step = KEEPALIVE_STEP, tries = KEEPALIVE_TRIES;

	/* Without them the end of the other side is noticed later: nothing to fail for. */
	setsockopt(fd, SOL_SOCKET, SO_KEEPALIVE, &on, sizeof(on));
	setsockopt(fd, IPPROTO_TCP, TCP_KEEPIDLE, &idle, sizeof(idle));
	setsockopt(fd, IPPROTO_TCP, TCP_KEEPINTVL, &step, sizeof(step));
	setsockopt(fd, IPPROTO_TCP, TCP_KEEPCNT, &tries, sizeof(tries));
	/* Messages are put together before they are written. */
	setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
}

/* What came of it: 0 or an errno. */
static int outcome(int fd)
{
	int error = 0;
	socklen_t size = sizeof(error);

	return getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &size) < 0 ? errno : error;
}

static int connect_one(const struct addrinfo *address, struct sw_syslog_stop *stop, int *error)
{
	sw_autoclose int fd =
		socket(address->ai_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, IPPROTO_TCP);
	uint64_t until = sw_syslog_now() + CONNECT_USEC;

	*error = errno;
	if (fd < 0)
		return -1;
	if (connect(fd, address->ai_addr, address->ai_addrlen) == 0) {
		*error = 0;
	} else if (errno != EINPROGRESS) {
		*error = errno;
	} else {
		*error = sw_syslog_wait(stop, fd, POLLOUT, until) ? outcome(fd) : ETIMEDOUT;
	}
	if (*error)
		return -1;
	keep_alive(fd);
	return sw_take_fd(fd);
}

static int connect_tcp(const struct sw_syslog_target *target, struct sw_syslog_stop *stop,
		       struct sw_fault *fault)
{
	sw_cleanup(free_addresses) struct addrinfo *list = NULL;
	int error = 0;

	if (addresses_of(target, stop, &list, fault) < 0)
		return -1;
	for (const struct addrinfo *at = list; at && !sw_syslog_stopping(stop); at = at->ai_next) {
		int fd = connect_one(at, stop, &error);

		if (fd >= 0)
			return fd;
	}
	return failed(fault, strerror(stop->asked ? EINTR : error));
}

int sw_syslog_connect(const struct sw_syslog_target *target, struct sw_syslog_stop *stop,
		      bool *datagram, struct sw_fault *fault)
{
	*datagram = false;
	if (target->transport == SW_SYSLOG_UNIX)
		return connect_unix(target->host, datagram, fault);
	return connect_tcp(target, stop, fault);
}
