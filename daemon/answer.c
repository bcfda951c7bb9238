/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "daemon/answer.h"

#include <errno.h>
#include <netinet/in.h>
#include <stdbool.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <time.h>

#include "bpf/abi_edge.h"
#include "daemon/base.h"
#include "daemon/policy/policy.h"

#define CLIENT_USEC 10000000ull /* from the greeting on; a client has only QUIT to say */
#define CLIENT_BYTES 4096
#define CLIENT_LINES 16

/* Whoever connects again and again keeps nothing else waiting: so many clients in one turn of the loop, and so
   many turns in a time; the others wait in the socket's queue. Behind everything that enforces. */
#define ACCEPTS 16
#define TURNS 50
#define TURNS_USEC 100000
#define PRIORITY (SD_EVENT_PRIORITY_NORMAL + 50)

static const char quit[] = "quit";
static const char bye[] = "221 2.0.0 Bye\r\n";
/* RFC 5321, 3.1: what a server says to whatever comes between its 554 and QUIT. */
static const char not_now[] = "503 5.5.1 Bad sequence of commands\r\n";

struct listener {
	struct listener *next;
	struct sw_answers *answers;
	char *text;
	unsigned int slots; /* bit per slot */
	int fds[2];         /* IPv4, IPv6; -1: none */
	uint16_t ports[2];
	sd_event_source *sources[2];
};

struct client {
	struct client *next;
	struct sw_answers *answers;
	int fd;
	unsigned int bytes, lines;
	unsigned int matched; /* letters of `quit` that the line began with */
	bool other;           /* the line is none of QUIT */
	sd_event_source *io, *timer;
};

struct sw_answers {
	sd_event *loop;
	struct listener *listeners;
	struct client *clients;
	unsigned int n_clients;
};

/* ---- clients ---- */

static void client_free(struct client *client)
{
	struct client **at = &client->answers->clients;

	while (*at != client)
		at = &(*at)->next;
	*at = client->next;
	client->answers->n_clients--;
	sd_event_source_disable_unref(client->io);
	sd_event_source_disable_unref(client->timer);
	/* Before close(), which with bytes unread would send a reset that may overtake the greeting. */
	shutdown(client->fd, SHUT_WR);
	close(client->fd);
	free(client);
}

/* It fits into the socket's buffer, or the client does not read. */
static bool say(int fd, const char *line)
{
	size_t length = strlen(line);

	return send(fd, line, length, MSG_DONTWAIT | MSG_NOSIGNAL) == (ssize_t)length;
}

/* True: a line has ended; it was QUIT when *is_quit. */
static bool take_byte(struct client *client, char byte, bool *is_quit)
{
	if (byte == '\n') {
		*is_quit = !client->other && client->matched == strlen(quit);
		client->matched = 0;
		client->other = false;
		return true;
	}
	if (byte == '\r')
		return false;
	if (!client->other && client->matched < strlen(quit) &&
	    (byte | 0x20) == quit[client->matched])
		client->matched++;
	else if (byte != ' ' || client->matched < strlen(quit))
		client->other = true;
	return false;
}

/* False: it has said enough. */
static bool take_bytes(struct client *client, const char *bytes, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		bool is_quit;

		if (!take_byte(client, bytes[i], &is_quit))
			continue;
		if (is_quit) {
			say(client->fd, bye);
			return false;
		}
		if (++client->lines >= CLIENT_LINES || !say(client->fd, not_now))
			return false;
	}
	client->bytes += (unsigned int)n;
	return client->bytes < CLIENT_BYTES;
}

static int on_client(sd_event_source *source, int fd, uint32_t events, void *data)
{
	struct client *client = data;
	char bytes[512];
	ssize_t n = recv(fd, bytes, sizeof(bytes), MSG_DONTWAIT);
	bool more;

	(void)source;
	(void)events;
	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return 0;
	more = n > 0 && take_bytes(client, bytes, (size_t)n);
	/* It may have been a password. */
	explicit_bzero(bytes, sizeof(bytes));
	if (!more)
		client_free(client);
	return 0;
}

static int on_time(sd_event_source *source, uint64_t usec, void *data)
{
	(void)source;
	(void)usec;
	client_free(data);
	return 0;
}

static void client_new(struct sw_answers *answers, int fd)
{
	struct client *client = calloc(1, sizeof(*client));

	if (!client) {
		close(fd);
		return;
	}
	client->answers = answers;
	client->fd = fd;
	client->next = answers->clients;
	answers->clients = client;
	answers->n_clients++;
	if (sd_event_add_io(answers->loop, &client->io, fd, EPOLLIN, on_client, client) < 0 ||
	    sd_event_add_time_relative(answers->loop, &client->timer, CLOCK_MONOTONIC, CLIENT_USEC,
				       0, on_time, client) < 0 ||
	    sd_event_source_set_priority(client->io, PRIORITY) < 0)
		client_free(client);
}

/* ---- listeners ---- */

static void greet(const struct listener *listener, int fd)
{
	char line[SW_ANSWER_MAX];

	snprintf(line, sizeof(line), SW_ANSWER_CODE " %s\r\n", listener->text);
	if (!say(fd, line)) {
		close(fd);
	} else if (listener->answers->n_clients >= SW_ANSWER_CLIENTS) {
		shutdown(fd, SHUT_WR);
		close(fd);
	} else {
		client_new(listener->answers, fd);
	}
}

static int on_listen(sd_event_source *source, int fd, uint32_t events, void *data)
{
	const struct listener *listener = data;

	(void)source;
	(void)events;
	for (int i = 0; i < ACCEPTS; i++) {
		int client = accept4(fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);

		if (client < 0)
			break;
		greet(listener, client);
	}
	return 0;
}

static socklen_t loopback(int family, uint16_t port, struct sockaddr_storage *to)
{
	struct sockaddr_in6 *ipv6 = (struct sockaddr_in6 *)to;
	struct sockaddr_in *ipv4 = (struct sockaddr_in *)to;

	memset(to, 0, sizeof(*to));
	if (family == AF_INET) {
		*ipv4 = (struct sockaddr_in){.sin_family = AF_INET,
					     .sin_port = htons(port),
					     .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
		return sizeof(*ipv4);
	}
	*ipv6 = (struct sockaddr_in6){.sin6_family = AF_INET6,
				      .sin6_port = htons(port),
				      .sin6_addr = IN6ADDR_LOOPBACK_INIT};
	return sizeof(*ipv6);
}

/* A listening socket, *port (0: any) of loopback; or -errno. */
static int listen_on(int family, uint16_t *port)
{
	sw_autoclose int fd = socket(family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	struct sockaddr_storage address;
	socklen_t length = loopback(family, *port, &address);
	static const int on = 1;

	if (fd < 0)
		return -errno;
	/* After a restart connections of the old socket may still be there. */
	(void)setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
	if (bind(fd, (struct sockaddr *)&address, length) < 0 || listen(fd, SOMAXCONN) < 0 ||
	    getsockname(fd, (struct sockaddr *)&address, &length) < 0)
		return -errno;
	*port = ntohs(family == AF_INET ? ((struct sockaddr_in *)&address)->sin_port
					: ((struct sockaddr_in6 *)&address)->sin6_port);
	return sw_take_fd(fd);
}

static int open_side(struct listener *listener, int side, uint16_t wanted)
{
	int family = side ? AF_INET6 : AF_INET, error;
	uint16_t port = wanted;
	int fd = listen_on(family, &port);

	if (fd < 0 && wanted) {
		port = 0;
		fd = listen_on(family, &port);
	}
	if (fd < 0)
		return fd;
	error = sd_event_add_io(listener->answers->loop, &listener->sources[side], fd, EPOLLIN,
				on_listen, listener);
	if (error >= 0)
		error = sd_event_source_set_priority(listener->sources[side], PRIORITY);
	/* Also when there are no descriptors left and nobody can be accepted. */
	if (error >= 0)
		error = sd_event_source_set_ratelimit(listener->sources[side], TURNS_USEC, TURNS);
	if (error < 0) {
		listener->sources[side] = sd_event_source_disable_unref(listener->sources[side]);
		close(fd);
		return error;
	}
	listener->fds[side] = fd;
	listener->ports[side] = port;
	return 0;
}

static void listener_free(struct listener *listener)
{
	for (int side = 0; side < 2; side++) {
		sd_event_source_disable_unref(listener->sources[side]);
		sw_close_cleanup(&listener->fds[side]);
	}
	free(listener->text);
	free(listener);
}

static struct listener *listener_new(struct sw_answers *answers, const char *text,
				     const struct sw_answer_ports *wanted, int *error)
{
	struct listener *listener = calloc(1, sizeof(*listener));
	int errors[2];

	*error = -ENOMEM;
	if (!listener)
		return NULL;
	listener->answers = answers;
	listener->fds[0] = listener->fds[1] = -1;
	listener->text = strdup(text);
	if (!listener->text) {
		listener_free(listener);
		return NULL;
	}
	errors[0] = open_side(listener, 0, wanted->ipv4);
	errors[1] = open_side(listener, 1, wanted->ipv6);
	/* One will do: a machine may be without the other. */
	if (errors[0] && errors[1]) {
		*error = errors[0];
		listener_free(listener);
		return NULL;
	}
	listener->next = answers->listeners;
	answers->listeners = listener;
	return listener;
}

/* ---- from outside ---- */

struct sw_answers *sw_answers_new(sd_event *loop)
{
	struct sw_answers *answers = calloc(1, sizeof(*answers));

	if (answers)
		answers->loop = loop;
	return answers;
}

void sw_answers_close(struct sw_answers *answers)
{
	if (!answers)
		return;
	while (answers->clients)
		client_free(answers->clients);
	sw_answers_release(answers, 0);
	sw_answers_release(answers, 1);
	free(answers);
}

int sw_answers_listen(struct sw_answers *answers, unsigned int slot, const char *text,
		      struct sw_answer_ports *ports)
{
	struct listener *listener = answers->listeners;
	int error;

	while (listener && strcmp(listener->text, text) != 0)
		listener = listener->next;
	if (!listener)
		listener = listener_new(answers, text, ports, &error);
	*ports = (struct sw_answer_ports){};
	if (!listener)
		return error;
	listener->slots |= 1u << slot;
	*ports = (struct sw_answer_ports){.ipv4 = listener->ports[0], .ipv6 = listener->ports[1]};
	return 0;
}

void sw_answers_release(struct sw_answers *answers, unsigned int slot)
{
	for (struct listener **at = &answers->listeners, *listener; (listener = *at);) {
		listener->slots &= ~(1u << slot);
		if (listener->slots) {
			at = &listener->next;
			continue;
		}
		*at = listener->next;
		listener_free(listener);
	}
}

unsigned int sw_answers_clients(const struct sw_answers *answers)
{
	return answers->n_clients;
}
