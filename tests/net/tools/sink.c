/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * sink.c - the receiving side: a mail server that takes everything and writes down what arrived.
 *
 *     sink [-p] [-m] DIR NAME ADDRESS PORT [ADDRESS PORT ...]
 *
 * It greets with "220 NAME". DIR/log has a line for each thing that happened:
 *     ready
 *     accept PORT SOURCE
 *     mail PORT                 one more message; its text is appended to DIR/mail
 *     syn PORT                  -p: a SYN came in to this port, seen on the wire
 *     tcp 25                    -p: any other TCP packet came in to port 25
 *     fragment first|later      -p: a fragment came in
 * DIR/bytes has every byte that clients sent. -m listens with MPTCP. Lines are written with one
 * system call each, so a reader never sees half of one.
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
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#ifndef IPPROTO_MPTCP
#define IPPROTO_MPTCP 262
#endif

#define FDS_MAX 4096

enum kind { FREE, LISTENER, CLIENT, PACKETS };

struct peer {
	enum kind kind;
	uint16_t port;
	bool in_data;
	size_t have;
	char line[2048];
};

struct sink {
	const char *name;
	int epoll, log, bytes, mail;
	struct peer peers[FDS_MAX];
};

static void die(const char *what)
{
	perror(what);
	exit(1);
}

static void note(const struct sink *sink, const char *format, ...)
	__attribute__((format(printf, 2, 3)));

static void note(const struct sink *sink, const char *format, ...)
{
	char line[128];
	va_list args;

	va_start(args, format);
	int length = vsnprintf(line, sizeof(line), format, args);
	va_end(args);
	if (write(sink->log, line, (size_t)length) != length)
		die("log");
}

static void watch(struct sink *sink, int fd, enum kind kind, uint16_t port)
{
	struct epoll_event event = {.events = EPOLLIN, .data.fd = fd};

	if (fd >= FDS_MAX || epoll_ctl(sink->epoll, EPOLL_CTL_ADD, fd, &event) < 0)
		die("watch");
	memset(&sink->peers[fd], 0, sizeof(sink->peers[fd]));
	sink->peers[fd].kind = kind;
	sink->peers[fd].port = port;
}

static void say(int fd, const char *code, const char *text)
{
	char line[256];
	int length = snprintf(line, sizeof(line), "%s %s\r\n", code, text);

	/* Answers are short and the peer may be gone: what it does not read is its own loss. */
	(void)!send(fd, line, (size_t)length, MSG_NOSIGNAL | MSG_DONTWAIT);
}

static void listen_on(struct sink *sink, const char *address, const char *port_text, int protocol)
{
	struct sockaddr_in6 v6 = {.sin6_family = AF_INET6};
	struct sockaddr_in v4 = {.sin_family = AF_INET};
	bool is6 = inet_pton(AF_INET6, address, &v6.sin6_addr) == 1;
	uint16_t port = (uint16_t)atoi(port_text);
	int one = 1, queue = 64;
	int fd = socket(is6 ? AF_INET6 : AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK,
			protocol);

	if (fd < 0 || (!is6 && inet_pton(AF_INET, address, &v4.sin_addr) != 1))
		die(address);
	v4.sin_port = v6.sin6_port = htons(port);
	setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
	if (is6)
		setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &one, sizeof(one));
	setsockopt(fd, IPPROTO_TCP, TCP_FASTOPEN, &queue, sizeof(queue));
	if (bind(fd, is6 ? (void *)&v6 : (void *)&v4, is6 ? sizeof(v6) : sizeof(v4)) < 0 ||
	    listen(fd, 1024) < 0)
		die(address);
	watch(sink, fd, LISTENER, port);
}

static void welcome(struct sink *sink, int listener)
{
	struct sockaddr_storage from;
	socklen_t length = sizeof(from);
	char text[INET6_ADDRSTRLEN] = "?";
	int fd = accept4(listener, (struct sockaddr *)&from, &length, SOCK_CLOEXEC | SOCK_NONBLOCK);

	if (fd < 0)
		return; /* reset before it was taken: nothing was exchanged */
	if (from.ss_family == AF_INET)
		inet_ntop(AF_INET, &((struct sockaddr_in *)&from)->sin_addr, text, sizeof(text));
	else
		inet_ntop(AF_INET6, &((struct sockaddr_in6 *)&from)->sin6_addr, text, sizeof(text));
	watch(sink, fd, CLIENT, sink->peers[listener].port);
	note(sink, "accept %u %s\n", sink->peers[listener].port, text);
	say(fd, "220", sink->name);
}

static void answer(struct sink *sink, int fd, const char *line)
{
	struct peer *peer = &sink->peers[fd];

	if (peer->in_data) {
		if (strcmp(line, ".") == 0) {
			peer->in_data = false;
			note(sink, "mail %u\n", peer->port);
			say(fd, "250", "taken");
		} else {
			dprintf(sink->mail, "%s\n", line);
		}
	} else if (strncasecmp(line, "DATA", 4) == 0) {
		peer->in_data = true;
		say(fd, "354", "go ahead");
	} else if (strncasecmp(line, "QUIT", 4) == 0) {
		say(fd, "221", "bye");
		shutdown(fd, SHUT_WR);
	} else {
		say(fd, "250", sink->name);
	}
}

static void hear(struct sink *sink, int fd)
{
	struct peer *peer = &sink->peers[fd];
	ssize_t n = read(fd, peer->line + peer->have, sizeof(peer->line) - 1 - peer->have);

	if (n <= 0) {
		if (n < 0 && errno == EAGAIN)
			return;
		peer->kind = FREE;
		close(fd);
		return;
	}
	if (write(sink->bytes, peer->line + peer->have, (size_t)n) != n)
		die("bytes");
	peer->have += (size_t)n;
	peer->line[peer->have] = '\0';
	for (char *end; (end = strchr(peer->line, '\n'));) {
		*end = '\0';
		if (end > peer->line && end[-1] == '\r')
			end[-1] = '\0';
		answer(sink, fd, peer->line);
		peer->have -= (size_t)(end + 1 - peer->line);
		memmove(peer->line, end + 1, peer->have + 1);
	}
	if (peer->have == sizeof(peer->line) - 1) /* a line without end: only its bytes count */
		peer->have = 0;
}

static void note_tcp(const struct sink *sink, const uint8_t *data, size_t length)
{
	struct tcphdr tcp = {0};

	memcpy(&tcp, data, length < sizeof(tcp) ? length : sizeof(tcp));
	if (length < 4)
		return;
	if (tcp.syn && !tcp.ack)
		note(sink, "syn %u\n", ntohs(tcp.dest));
	else if (ntohs(tcp.dest) == 25)
		note(sink, "tcp %u\n", ntohs(tcp.dest));
}

static void note_ip4(const struct sink *sink, const uint8_t *data, size_t length)
{
	struct iphdr ip;

	memcpy(&ip, data, sizeof(ip));
	unsigned int offset = ntohs(ip.frag_off);
	if (ip.protocol != IPPROTO_TCP)
		return;
	if (offset & (IP_MF | IP_OFFMASK))
		note(sink, "fragment %s\n", offset & IP_OFFMASK ? "later" : "first");
	if (!(offset & IP_OFFMASK) && length > ip.ihl * 4u)
		note_tcp(sink, data + ip.ihl * 4u, length - ip.ihl * 4u);
}

static void note_ip6(const struct sink *sink, const uint8_t *data, size_t length)
{
	uint8_t next = data[6];
	size_t at = sizeof(struct ip6_hdr);

	while (at + 8 <= length) {
		const uint8_t *head = data + at;
		if (next == IPPROTO_TCP) {
			note_tcp(sink, head, length - at);
			return;
		}
		if (next == IPPROTO_FRAGMENT) {
			bool later = (head[2] << 8 | (head[3] & 0xf8)) != 0;
			note(sink, "fragment %s\n", later ? "later" : "first");
			if (later)
				return;
			at += 8;
		} else if (next == IPPROTO_HOPOPTS || next == IPPROTO_DSTOPTS ||
			   next == IPPROTO_ROUTING) {
			at += 8u + head[1] * 8u;
		} else {
			return;
		}
		next = head[0];
	}
}

/* What the wire brought, whether or not a socket here would take it. */
static void see_packet(const struct sink *sink, int fd)
{
	uint8_t data[512];
	struct sockaddr_ll from;
	socklen_t from_length = sizeof(from);
	ssize_t n = recvfrom(fd, data, sizeof(data), MSG_DONTWAIT, (struct sockaddr *)&from,
			     &from_length);

	if (n < (ssize_t)sizeof(struct iphdr) || from.sll_pkttype == PACKET_OUTGOING)
		return;
	if (from.sll_protocol == htons(ETH_P_IP))
		note_ip4(sink, data, (size_t)n);
	else if (from.sll_protocol == htons(ETH_P_IPV6) && n >= (ssize_t)sizeof(struct ip6_hdr))
		note_ip6(sink, data, (size_t)n);
}

static void watch_packets(struct sink *sink)
{
	int fd = socket(AF_PACKET, SOCK_DGRAM | SOCK_CLOEXEC, htons(ETH_P_ALL));

	if (fd < 0)
		die("packet socket");
	watch(sink, fd, PACKETS, 0);
}

static int open_file(const char *dir, const char *name)
{
	char path[512];

	snprintf(path, sizeof(path), "%s/%s", dir, name);
	int fd = open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0644);
	if (fd < 0)
		die(path);
	return fd;
}

static void serve(struct sink *sink)
{
	struct epoll_event events[64];

	for (;;) {
		int n = epoll_wait(sink->epoll, events, 64, -1);
		for (int i = 0; i < n; i++) {
			int fd = events[i].data.fd;
			if (sink->peers[fd].kind == LISTENER)
				welcome(sink, fd);
			else if (sink->peers[fd].kind == CLIENT)
				hear(sink, fd);
			else if (sink->peers[fd].kind == PACKETS)
				see_packet(sink, fd);
		}
	}
}

int main(int argc, char **argv)
{
	static struct sink sink;
	bool packets = false, mptcp = false;
	int option;

	while ((option = getopt(argc, argv, "pm")) != -1) {
		packets |= option == 'p';
		mptcp |= option == 'm';
	}
	if (argc - optind < 4 || (argc - optind) % 2 != 0) {
		fputs("usage: sink [-p] [-m] DIR NAME ADDRESS PORT [ADDRESS PORT ...]\n", stderr);
		return 2;
	}
	signal(SIGPIPE, SIG_IGN);
	const char *dir = argv[optind];
	sink.name = argv[optind + 1];
	sink.log = open_file(dir, "log");
	sink.bytes = open_file(dir, "bytes");
	sink.mail = open_file(dir, "mail");
	sink.epoll = epoll_create1(EPOLL_CLOEXEC);
	for (int i = optind + 2; i < argc; i += 2)
		listen_on(&sink, argv[i], argv[i + 1], mptcp ? IPPROTO_MPTCP : 0);
	if (packets)
		watch_packets(&sink);
	note(&sink, "ready\n");
	serve(&sink);
}
