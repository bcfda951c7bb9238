/* SPDX-License-Identifier: GPL-2.0-or-later */
/* try_odd.c - sockets that go through more states than connect() meets in ordinary programs. */
#include <arpa/inet.h>
#include <errno.h>
#include <linux/seg6.h>
#include <netinet/tcp.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "try.h"

#ifndef IPPROTO_SMC
#define IPPROTO_SMC 256
#endif
#define RACE_ROUNDS 200

/* The same address with another port; sin_port and sin6_port lie at the same place. */
static struct target with_port(const struct target *target, const char *port)
{
	struct target other = *target;

	((struct sockaddr_in *)&other.addr)->sin_port = htons((uint16_t)atoi(port));
	return other;
}

static int disconnect(int fd)
{
	struct sockaddr unspec = {.sa_family = AF_UNSPEC};

	return connect(fd, &unspec, sizeof(unspec)) < 0 ? -errno : 0;
}

/* ---- two threads, one socket ---- */

struct race {
	struct target to[2];
	int fd, rounds;
	pthread_barrier_t *start;
};

static void *race_other(void *data)
{
	struct race *race = data;

	for (int i = 0; i < race->rounds; i++) {
		pthread_barrier_wait(race->start);
		plain_connect(race->fd, &race->to[1]);
		pthread_barrier_wait(race->start);
	}
	return NULL;
}

/* args[0]: a port that anybody may connect to. Two threads connect one socket, one to each port,
   again and again; "connected" when its peer ever was the target. What connect() answers says nothing:
   while the other thread's is under way, it waits for that one and answers 0. */
static int way_race(const struct target *target)
{
	pthread_barrier_t barrier;
	struct sockaddr_in6 peer;
	pthread_t thread;
	int result = -EACCES, opened = 0;

	if (target->n_args < 1)
		return -EINVAL;
	struct race race = {.to = {*target, with_port(target, target->args[0])},
			    .fd = tcp_socket(target, 0),
			    .rounds = RACE_ROUNDS,
			    .start = &barrier};
	if (race.fd < 0 || pthread_barrier_init(&barrier, NULL, 2) != 0 ||
	    pthread_create(&thread, NULL, race_other, &race) != 0)
		return -EIO;
	for (int i = 0; i < race.rounds; i++) {
		socklen_t length = sizeof(peer);

		pthread_barrier_wait(&barrier);
		plain_connect(race.fd, &race.to[0]);
		pthread_barrier_wait(&barrier);
		if (getpeername(race.fd, (struct sockaddr *)&peer, &length) == 0) {
			opened++;
			if (ntohs(peer.sin6_port) == target->port)
				result = 0;
		}
		disconnect(race.fd);
	}
	pthread_join(thread, NULL);
	printf("opened %d of %d to the other port\n", opened, race.rounds);
	return result;
}

/* ---- one socket, more than one life ---- */

/* A listener that stops listening and connects. */
static int way_listen_first(const struct target *target)
{
	int fd = tcp_socket(target, 0);

	if (fd < 0)
		return fd;
	if (listen(fd, 1) < 0 || disconnect(fd) < 0)
		return -EIO;
	return plain_connect(fd, target);
}

/* args[0]: a port. A fast-open connect to it is put off until the first write; then the socket is
   disconnected, connected to the target, and written to. */
static int way_tfo_switch(const struct target *target)
{
	int one = 1, fd = tcp_socket(target, 0);

	if (fd < 0 || target->n_args < 1)
		return -EINVAL;
	struct target other = with_port(target, target->args[0]);
	if (setsockopt(fd, IPPROTO_TCP, TCP_FASTOPEN_CONNECT, &one, sizeof(one)) < 0)
		return TRY_SKIP;
	if (plain_connect(fd, &other) < 0 || disconnect(fd) < 0)
		return -EIO;
	int result = plain_connect(fd, target);
	if (dprintf(fd, "EHLO switch\r\n") < 0 && result == 0)
		return -errno;
	return result;
}

/* args[0]: a port. An IPv6 socket is connected to it over IPv4, becomes an IPv4 socket, and is
   disconnected and connected to the target. */
static int way_addrform(const struct target *target)
{
	struct sockaddr_in6 mapped = {.sin6_family = AF_INET6};
	struct target as6 = {.family = AF_INET6};
	int inet = AF_INET, fd = tcp_socket(&as6, 0);

	if (fd < 0 || target->n_args < 1 || target->family != AF_INET)
		return -EINVAL;
	mapped.sin6_port = htons((uint16_t)atoi(target->args[0]));
	mapped.sin6_addr.s6_addr[10] = mapped.sin6_addr.s6_addr[11] = 0xff;
	memcpy(mapped.sin6_addr.s6_addr + 12,
	       &((const struct sockaddr_in *)&target->addr)->sin_addr, 4);
	if (connect(fd, (const struct sockaddr *)&mapped, sizeof(mapped)) < 0)
		return -EIO;
	if (setsockopt(fd, IPPROTO_IPV6, IPV6_ADDRFORM, &inet, sizeof(inet)) < 0)
		return TRY_SKIP;
	return disconnect(fd) < 0 ? -EIO : plain_connect(fd, target);
}

/* In repair mode connect() makes an open connection without a packet. Needs CAP_NET_ADMIN. */
static int way_repair(const struct target *target)
{
	int on = TCP_REPAIR_ON, off = TCP_REPAIR_OFF, fd = tcp_socket(target, 0);

	if (fd < 0)
		return fd;
	if (setsockopt(fd, IPPROTO_TCP, TCP_REPAIR, &on, sizeof(on)) < 0)
		return TRY_SKIP;
	int result = plain_connect(fd, target);
	if (setsockopt(fd, IPPROTO_TCP, TCP_REPAIR, &off, sizeof(off)) < 0)
		return -EIO;
	if (result == 0 && send(fd, "EHLO repair\r\n", 13, 0) < 0)
		return -errno;
	return result;
}

/* args[0]: a uid. The socket is made before the change and connected after it. */
static int way_user_made(const struct target *target)
{
	int fd = tcp_socket(target, 0);

	if (fd < 0 || target->n_args < 1)
		return -EINVAL;
	uid_t uid = (uid_t)atol(target->args[0]);
	return setresuid(uid, uid, uid) < 0 ? TRY_SKIP : plain_connect(fd, target);
}

/* ---- by another way than the address says ---- */

/* args[0]: a device. The target is sought there, wherever else it would be. */
static int way_device(const struct target *target)
{
	int fd = tcp_socket(target, 0);

	if (fd < 0 || target->n_args < 1)
		return -EINVAL;
	if (setsockopt(fd, SOL_SOCKET, SO_BINDTODEVICE, target->args[0],
		       (socklen_t)strlen(target->args[0])) < 0)
		return TRY_SKIP;
	return plain_connect(fd, target);
}

/* args[0]: an address where the packets go first, by a loose source route or a segment list. */
static int way_source_route(const struct target *target)
{
	uint8_t route4[12] = {1, 131, 11, 4}; /* no-op, then: type, length, pointer, hop, last */
	struct {
		struct ipv6_sr_hdr head;
		struct in6_addr hops[2];
	} route6 = {.head = {.hdrlen = 4, .type = 4, .segments_left = 1, .first_segment = 1}};
	int error, fd = tcp_socket(target, 0);

	if (fd < 0 || target->n_args < 1)
		return -EINVAL;
	if (target->family == AF_INET) {
		inet_pton(AF_INET, target->args[0], route4 + 4);
		memcpy(route4 + 8, &((const struct sockaddr_in *)&target->addr)->sin_addr, 4);
		error = setsockopt(fd, IPPROTO_IP, IP_OPTIONS, route4, sizeof(route4));
	} else {
		inet_pton(AF_INET6, target->args[0], &route6.hops[1]);
		error = setsockopt(fd, IPPROTO_IPV6, IPV6_RTHDR, &route6, sizeof(route6));
	}
	if (error < 0) {
		printf("route %s\n", errno_name(errno));
		return TRY_SKIP;
	}
	return plain_connect(fd, target);
}

/* SMC as a protocol of IP sockets: it makes a TCP socket of its own inside. */
static int way_smc_ip(const struct target *target)
{
	int fd = tcp_socket(target, IPPROTO_SMC);

	return fd < 0 ? TRY_SKIP : plain_connect(fd, target);
}

const struct way odd_ways[] = {
	{"race", way_race, "PORT0: two threads connect one socket, to PORT0 and the target"},
	{"listen-first", way_listen_first, "a listener, AF_UNSPEC, then the target"},
	{"tfo-switch", way_tfo_switch, "PORT0: put off by fast open, AF_UNSPEC, then the target"},
	{"addrform", way_addrform, "PORT0: an IPv6 socket made an IPv4 one, then the target"},
	{"repair", way_repair, "TCP_REPAIR: open without a packet, then data"},
	{"user-made", way_user_made, "UID: socket(), become UID, connect()"},
	{"device", way_device, "DEVICE: SO_BINDTODEVICE, then the target"},
	{"source-route", way_source_route, "HOP: to the target by way of HOP"},
	{"smc-ip", way_smc_ip, "an SMC socket of the families of IP"},
	{0},
};
