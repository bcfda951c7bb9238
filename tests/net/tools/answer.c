/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * answer.c - the far side of the program `talk`: takes connections and hands each to the talk that
 * asks for it, and writes down what the wire brought.
 *
 *     answer DIR [-m] ADDRESS PORT [ADDRESS PORT ...]
 *
 * -m: what follows listens with MPTCP. DIR/control is a Unix socket: who writes the two bytes of a
 * port (as a uint16_t) there gets the connection from that port as a descriptor, once it is there.
 * DIR/wire has the payload of every TCP packet that came in to one of the ports, whether or not a
 * socket took it: what is not in there did not leave the other machine.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/if_ether.h>
#include <linux/if_packet.h>
#include <netinet/in.h>
#include <netinet/ip.h>
#include <netinet/ip6.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#ifndef IPPROTO_MPTCP
#define IPPROTO_MPTCP 262
#endif

#define FDS_MAX 1024

enum kind { FREE, LISTENER, CONNECTION, CONTROL, ASKING, PACKETS };

struct answer {
	int epoll, wire;
	bool ports[65536];
	struct peer {
		enum kind kind;
		uint16_t port; /* the client's: of a connection, or asked for */
	} peers[FDS_MAX];
};

static void die(const char *what)
{
	perror(what);
	exit(1);
}

static void watch(struct answer *answer, int fd, enum kind kind)
{
	struct epoll_event event = {.events = kind == CONNECTION ? 0 : EPOLLIN, .data.fd = fd};

	if (fd < 0 || fd >= FDS_MAX || epoll_ctl(answer->epoll, EPOLL_CTL_ADD, fd, &event) < 0)
		die("watch");
	answer->peers[fd] = (struct peer){.kind = kind};
}

static void forget(struct answer *answer, int fd)
{
	answer->peers[fd].kind = FREE;
	close(fd);
}

static void listen_on(struct answer *answer, const char *address, const char *port_text,
		      int protocol)
{
	struct sockaddr_in6 v6 = {.sin6_family = AF_INET6};
	struct sockaddr_in v4 = {.sin_family = AF_INET};
	bool is6 = inet_pton(AF_INET6, address, &v6.sin6_addr) == 1;
	uint16_t port = (uint16_t)atoi(port_text);
	int one = 1, queue = 64;
	int fd = socket(is6 ? AF_INET6 : AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK,
			protocol);

	if (fd < 0 && protocol)
		return; /* this kernel has no MPTCP; the test that wants it finds nobody there */
	if (fd < 0 || (!is6 && inet_pton(AF_INET, address, &v4.sin_addr) != 1))
		die(address);
	v4.sin_port = v6.sin6_port = htons(port);
	setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
	setsockopt(fd, IPPROTO_TCP, TCP_FASTOPEN, &queue, sizeof(queue));
	if (bind(fd, is6 ? (void *)&v6 : (void *)&v4, is6 ? sizeof(v6) : sizeof(v4)) < 0 ||
	    listen(fd, 128) < 0)
		die(address);
	answer->ports[port] = true;
	watch(answer, fd, LISTENER);
}

static void open_control(struct answer *answer, const char *dir)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

	snprintf(address.sun_path, sizeof(address.sun_path), "%s/control", dir);
	unlink(address.sun_path);
	if (fd < 0 || bind(fd, (struct sockaddr *)&address, sizeof(address)) < 0 ||
	    chmod(address.sun_path, 0666) < 0 || listen(fd, 16) < 0)
		die(address.sun_path);
	watch(answer, fd, CONTROL);
}

static int open_wire(struct answer *answer, const char *dir)
{
	int size = 32 << 20, fd = socket(AF_PACKET, SOCK_DGRAM | SOCK_CLOEXEC, htons(ETH_P_ALL));
	char path[512];

	if (fd < 0)
		die("packet socket");
	setsockopt(fd, SOL_SOCKET, SO_RCVBUFFORCE, &size, sizeof(size));
	watch(answer, fd, PACKETS);
	snprintf(path, sizeof(path), "%s/wire", dir);
	return open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0644);
}

/* ---- connections ---- */

static void hand_over(int to, int connection)
{
	char room[CMSG_SPACE(sizeof(int))] = {0}, byte = 0;
	struct iovec iov = {.iov_base = &byte, .iov_len = 1};
	struct msghdr message = {.msg_iov = &iov,
				 .msg_iovlen = 1,
				 .msg_control = room,
				 .msg_controllen = sizeof(room)};
	struct cmsghdr *head = CMSG_FIRSTHDR(&message);

	head->cmsg_level = SOL_SOCKET;
	head->cmsg_type = SCM_RIGHTS;
	head->cmsg_len = CMSG_LEN(sizeof(int));
	memcpy(CMSG_DATA(head), &connection, sizeof(int));
	(void)!sendmsg(to, &message, MSG_NOSIGNAL);
}

/* Brings those together that are both there. */
static void match(struct answer *answer, uint16_t port)
{
	int asking = -1, connection = -1;

	for (int fd = 0; fd < FDS_MAX; fd++) {
		if (answer->peers[fd].port != port)
			continue;
		if (answer->peers[fd].kind == ASKING)
			asking = fd;
		else if (answer->peers[fd].kind == CONNECTION)
			connection = fd;
	}
	if (asking < 0 || connection < 0)
		return;
	hand_over(asking, connection);
	forget(answer, asking);
	forget(answer, connection);
}

static void welcome(struct answer *answer, int listener)
{
	struct sockaddr_in6 from = {0};
	socklen_t length = sizeof(from);
	int fd = accept4(listener, (struct sockaddr *)&from, &length, SOCK_CLOEXEC);

	if (fd < 0)
		return; /* reset before it was taken */
	watch(answer, fd, CONNECTION);
	answer->peers[fd].port = ntohs(from.sin6_port); /* lies where sin_port does */
	match(answer, answer->peers[fd].port);
}

static void hear(struct answer *answer, int fd)
{
	uint16_t port;

	if (read(fd, &port, sizeof(port)) != sizeof(port)) {
		forget(answer, fd); /* gave up */
		return;
	}
	answer->peers[fd].port = port;
	match(answer, port);
}

/* ---- the wire ---- */

/* Where the TCP header begins; 0: there is none to be found. */
static size_t tcp_header(const uint8_t *data, size_t length, uint16_t protocol)
{
	if (protocol == htons(ETH_P_IP) && length >= sizeof(struct iphdr))
		return data[9] == IPPROTO_TCP ? (data[0] & 15u) * 4u : 0;
	if (protocol != htons(ETH_P_IPV6) || length < sizeof(struct ip6_hdr))
		return 0;
	uint8_t next = data[6];
	size_t at = sizeof(struct ip6_hdr);
	while (at + 8 <= length &&
	       (next == IPPROTO_HOPOPTS || next == IPPROTO_DSTOPTS || next == IPPROTO_ROUTING)) {
		next = data[at];
		at += 8u + data[at + 1] * 8u;
	}
	return next == IPPROTO_TCP ? at : 0;
}

static void see_packet(const struct answer *answer, int fd)
{
	static uint8_t data[1 << 18];
	struct sockaddr_ll from;
	struct tcphdr tcp;
	socklen_t from_length = sizeof(from);
	ssize_t n = recvfrom(fd, data, sizeof(data), MSG_DONTWAIT, (struct sockaddr *)&from,
			     &from_length);

	if (n <= 0 || from.sll_pkttype == PACKET_OUTGOING)
		return;
	size_t length = (size_t)n, at = tcp_header(data, length, from.sll_protocol);
	if (!at || at + sizeof(tcp) > length)
		return;
	memcpy(&tcp, data + at, sizeof(tcp));
	at += tcp.doff * 4u;
	if (answer->ports[ntohs(tcp.dest)] && at < length &&
	    write(answer->wire, data + at, length - at) < 0)
		die("wire");
}

static void serve(struct answer *answer)
{
	struct epoll_event events[64];

	for (;;) {
		int n = epoll_wait(answer->epoll, events, 64, -1);
		for (int i = 0; i < n; i++) {
			int fd = events[i].data.fd;
			switch (answer->peers[fd].kind) {
			case LISTENER:
				welcome(answer, fd);
				break;
			case CONTROL:
				watch(answer, accept4(fd, NULL, NULL, SOCK_CLOEXEC), ASKING);
				break;
			case ASKING:
				hear(answer, fd);
				break;
			case PACKETS:
				see_packet(answer, fd);
				break;
			case CONNECTION:
				forget(answer, fd);
				break; /* reset, and nobody asks for it */
			case FREE:
				break;
			}
		}
	}
}

int main(int argc, char **argv)
{
	static struct answer answer;
	int protocol = 0;

	if (argc < 4) {
		fputs("usage: answer DIR [-m] ADDRESS PORT [ADDRESS PORT ...]\n", stderr);
		return 2;
	}
	signal(SIGPIPE, SIG_IGN);
	answer.epoll = epoll_create1(EPOLL_CLOEXEC);
	for (int i = 2; i < argc; i++) {
		if (strcmp(argv[i], "-m") == 0)
			protocol = IPPROTO_MPTCP;
		else if (i + 1 < argc)
			listen_on(&answer, argv[i], argv[i + 1], protocol), i++;
	}
	answer.wire = open_wire(&answer, argv[1]);
	if (answer.wire < 0)
		die(argv[1]);
	open_control(&answer, argv[1]); /* who sees it may come */
	serve(&answer);
}
