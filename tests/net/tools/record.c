/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * record.c - the far side of what goes through the edge: takes every connection, talks as much SMTP and TLS as
 * keeps it going, and writes down each byte that came.
 *
 *     record DIR SERVER_HELLO PORT...
 *
 * SERVER_HELLO, in hexadecimal digits, answers the first byte that TLS begins with. On 465 it is waited for;
 * other ports greet, offer STARTTLS and say "250 ok" to everything else. Files:
 *     DIR/ready    listening
 *     DIR/taken/N  what the socket of connection N received: TCP has put it together
 *     DIR/wire     every frame that came in, headers included, whether or not a socket took it
 * N begins with the client's port, so a connection is found by it.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/if_ether.h>
#include <linux/if_packet.h>
#include <netinet/in.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#define FDS_MAX 65536 /* what the machine permits may be less */
#define TLS_PORT 465

enum kind { FREE, LISTENER, CLIENT, PACKETS };

struct peer {
	enum kind kind;
	uint16_t port;
	bool tls;
	uint16_t from;
	unsigned int number;
	size_t have;
	char line[512];
};

struct record {
	int epoll, wire, taken; /* the latter a folder */
	unsigned int numbers;
	uint8_t hello[512];
	size_t hello_length;
	struct peer *peers;
};

static void die(const char *what)
{
	perror(what);
	exit(1);
}

static void watch(struct record *record, int fd, enum kind kind, uint16_t port)
{
	struct epoll_event event = {.events = EPOLLIN, .data.fd = fd};

	if (fd >= FDS_MAX || epoll_ctl(record->epoll, EPOLL_CTL_ADD, fd, &event) < 0)
		die("watch");
	record->peers[fd] = (struct peer){.kind = kind, .port = port};
}

static void forget(struct record *record, int fd)
{
	record->peers[fd].kind = FREE;
	close(fd);
}

/* Answers are short and the peer may be gone: what it does not read is its own loss. */
static void say(int fd, const void *bytes, size_t length)
{
	(void)!send(fd, bytes, length, MSG_NOSIGNAL | MSG_DONTWAIT);
}

static void say_line(int fd, const char *line)
{
	say(fd, line, strlen(line));
}

static void answer_line(struct record *record, int fd, const char *line)
{
	struct peer *peer = &record->peers[fd];

	if (!strncasecmp(line, "EHLO", 4)) {
		say_line(fd, "250-record\r\n250 STARTTLS\r\n");
	} else if (!strcasecmp(line, "STARTTLS")) {
		say_line(fd, "220 go ahead\r\n");
		peer->tls = true;
	} else {
		say_line(fd, "250 ok\r\n");
	}
}

/* What was asked is answered line by line, and the beginning of TLS with a ServerHello. */
static void answer_bytes(struct record *record, int fd, const char *bytes, size_t n)
{
	struct peer *peer = &record->peers[fd];

	if (peer->tls) {
		if (bytes[0] == 0x16)
			say(fd, record->hello, record->hello_length);
		return;
	}
	for (size_t i = 0; i < n; i++) {
		if (peer->have < sizeof(peer->line) - 1)
			peer->line[peer->have++] = bytes[i];
		if (bytes[i] != '\n')
			continue;
		peer->line[peer->have] = '\0';
		peer->line[strcspn(peer->line, "\r\n")] = '\0';
		peer->have = 0;
		answer_line(record, fd, peer->line);
	}
}

static void keep(struct record *record, const struct peer *peer, const void *bytes, size_t n)
{
	char name[64];

	snprintf(name, sizeof(name), "%u-%u-%u", peer->from, peer->port, peer->number);
	int file = openat(record->taken, name, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0644);
	if (file < 0 || write(file, bytes, n) != (ssize_t)n)
		die(name);
	close(file);
}

static void read_client(struct record *record, int fd)
{
	char bytes[4096];
	ssize_t n = recv(fd, bytes, sizeof(bytes), MSG_DONTWAIT);

	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return;
	if (n <= 0) {
		forget(record, fd);
		return;
	}
	keep(record, &record->peers[fd], bytes, (size_t)n);
	answer_bytes(record, fd, bytes, (size_t)n);
}

static void welcome(struct record *record, int listener)
{
	struct sockaddr_in6 from;
	socklen_t length = sizeof(from);
	int fd = accept4(listener, (struct sockaddr *)&from, &length, SOCK_CLOEXEC | SOCK_NONBLOCK);
	uint16_t port = record->peers[listener].port;

	if (fd < 0)
		return;
	watch(record, fd, CLIENT, port);
	record->peers[fd].from = ntohs(from.sin6_port);
	record->peers[fd].number = record->numbers++;
	record->peers[fd].tls = port == TLS_PORT;
	/* The mark of a connection, also of one that never sends. */
	keep(record, &record->peers[fd], "", 0);
	if (port != TLS_PORT)
		say_line(fd, "220 record ESMTP\r\n");
}

/* ---- the wire ---- */

static void see_packets(const struct record *record, int fd)
{
	static uint8_t data[1 << 17];
	struct sockaddr_ll from;
	socklen_t from_length = sizeof(from);
	ssize_t n;

	while ((n = recvfrom(fd, data, sizeof(data), MSG_DONTWAIT, (struct sockaddr *)&from,
			     &from_length)) > 0)
		if (from.sll_pkttype != PACKET_OUTGOING && write(record->wire, data, (size_t)n) < 0)
			die("wire");
}

static void open_wire(struct record *record)
{
	int fd = socket(AF_PACKET, SOCK_RAW | SOCK_CLOEXEC, htons(ETH_P_ALL)), room = 64 << 20;

	if (fd < 0)
		die("packets");
	setsockopt(fd, SOL_SOCKET, SO_RCVBUFFORCE, &room, sizeof(room));
	watch(record, fd, PACKETS, 0);
}

/* ---- the whole ---- */

static void listen_on(struct record *record, const char *port_text)
{
	struct sockaddr_in6 at = {.sin6_family = AF_INET6,
				  .sin6_port = htons((uint16_t)atoi(port_text))};
	int fd = socket(AF_INET6, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0), one = 1;

	if (fd < 0 || setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one)) < 0 ||
	    bind(fd, (struct sockaddr *)&at, sizeof(at)) < 0 || listen(fd, 4096) < 0)
		die(port_text);
	watch(record, fd, LISTENER, ntohs(at.sin6_port));
}

static void parse_hello(struct record *record, const char *digits)
{
	unsigned int byte;

	while (record->hello_length < sizeof(record->hello) && sscanf(digits, "%2x", &byte) == 1) {
		record->hello[record->hello_length++] = (uint8_t)byte;
		digits += 2;
	}
}

static void open_files(struct record *record, const char *dir)
{
	int at;

	if (chdir(dir) < 0 || mkdir("taken", 0755) < 0)
		die(dir);
	record->taken = open("taken", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	record->wire = open("wire", O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0644);
	at = open("ready", O_WRONLY | O_CREAT | O_CLOEXEC, 0644);
	if (record->taken < 0 || record->wire < 0 || at < 0)
		die(dir);
	close(at);
}

static void serve(struct record *record)
{
	struct epoll_event events[64];

	for (;;) {
		int n = epoll_wait(record->epoll, events, 64, -1);
		for (int i = 0; i < n; i++) {
			int fd = events[i].data.fd;
			switch (record->peers[fd].kind) {
			case LISTENER:
				welcome(record, fd);
				break;
			case CLIENT:
				read_client(record, fd);
				break;
			case PACKETS:
				see_packets(record, fd);
				break;
			case FREE:
				break;
			}
		}
	}
}

int main(int argc, char **argv)
{
	static struct record record;
	struct rlimit most;

	if (argc < 4) {
		fprintf(stderr, "usage: record DIR SERVER_HELLO PORT...\n");
		return 2;
	}
	signal(SIGPIPE, SIG_IGN);
	if (getrlimit(RLIMIT_NOFILE, &most) < 0)
		die("getrlimit");
	most.rlim_cur = most.rlim_max;
	if (setrlimit(RLIMIT_NOFILE, &most) < 0)
		die("setrlimit");
	record.peers = calloc(FDS_MAX, sizeof(*record.peers));
	record.epoll = epoll_create1(EPOLL_CLOEXEC);
	if (!record.peers || record.epoll < 0)
		die("record");
	parse_hello(&record, argv[2]);
	for (int i = 3; i < argc; i++)
		listen_on(&record, argv[i]);
	open_wire(&record);
	open_files(&record, argv[1]);
	serve(&record);
}
