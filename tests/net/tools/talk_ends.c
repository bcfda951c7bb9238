/* SPDX-License-Identifier: GPL-2.0-or-later */
/* talk_ends.c - the two ends of a dialogue, and what can be seen of it there. */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/tcp.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#include "talk.h"

#define LOST_US 10000000

#ifndef IPPROTO_MPTCP
#define IPPROTO_MPTCP 262
#endif

static void die(const char *what)
{
	perror(what);
	exit(2);
}

uint64_t now_us(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (uint64_t)now.tv_sec * 1000000 + (uint64_t)now.tv_nsec / 1000;
}

void bytes_add(struct bytes *bytes, const void *data, size_t length)
{
	if (bytes->length + length > bytes->size) {
		bytes->size = 2 * (bytes->length + length);
		bytes->data = realloc(bytes->data, bytes->size);
		if (!bytes->data)
			die("memory");
	}
	memcpy(bytes->data + bytes->length, data, length);
	bytes->length += length;
}

/* The first ending stays. */
void talk_end(struct talk *talk, enum ending ending, int error)
{
	if (talk->ending == GOING) {
		talk->ending = ending;
		talk->error = error;
	}
}

void talk_option(struct talk *talk, int level, int name, int value)
{
	if (setsockopt(talk->client, level, name, &value, sizeof(value)) < 0)
		talk_end(talk, SKIPPED, errno);
}

/* Asks for the server's end. It comes once the far side has accepted the connection. */
static void ask_for_server(struct talk *talk)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX};

	talk->asking = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	snprintf(address.sun_path, sizeof(address.sun_path), "%s", talk->control);
	if (talk->asking < 0 ||
	    connect(talk->asking, (struct sockaddr *)&address, sizeof(address)) < 0 ||
	    write(talk->asking, &talk->src_port, sizeof(talk->src_port)) < 0)
		die(talk->control);
}

static void take_server(struct talk *talk)
{
	char room[CMSG_SPACE(sizeof(int))], byte;
	struct iovec iov = {.iov_base = &byte, .iov_len = 1};
	struct msghdr message = {.msg_iov = &iov,
				 .msg_iovlen = 1,
				 .msg_control = room,
				 .msg_controllen = sizeof(room)};
	int one = 1;

	if (recvmsg(talk->asking, &message, MSG_CMSG_CLOEXEC) != 1 || !CMSG_FIRSTHDR(&message))
		die("the far side's end");
	memcpy(&talk->server, CMSG_DATA(CMSG_FIRSTHDR(&message)), sizeof(int));
	close(talk->asking);
	talk->asking = -1;
	fcntl(talk->server, F_SETFL, O_NONBLOCK);
	setsockopt(talk->server, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
	setsockopt(talk->server, SOL_SOCKET, SO_OOBINLINE, &one, sizeof(one));
}

static uint16_t port_of(int fd)
{
	struct sockaddr_in6 own = {0};
	socklen_t length = sizeof(own);

	if (getsockname(fd, (struct sockaddr *)&own, &length) < 0)
		return 0;
	return ntohs(own.sin6_port); /* lies where sin_port does */
}

/* How often a socket's oldest unacknowledged bytes were sent again. What a hook refuses counts as a
   probe, as TCP takes it for not sent. */
uint32_t talk_sent_again(int fd)
{
	struct tcp_info info = {0};
	socklen_t length = sizeof(info);

	if (fd < 0 || getsockopt(fd, IPPROTO_TCP, TCP_INFO, &info, &length) < 0)
		return 0;
	return info.tcpi_total_retrans + info.tcpi_probes;
}

/* Reads what is there at both ends. */
static void drain(struct talk *talk)
{
	uint8_t data[65536];
	ssize_t n = 1;

	while (talk->server >= 0 && (n = recv(talk->server, data, sizeof(data), 0)) > 0)
		bytes_add(&talk->arrived, data, (size_t)n);
	bool far_over = talk->server >= 0 && (n == 0 || (errno != EAGAIN && errno != EINTR));

	if (talk->client >= 0) {
		while ((n = recv(talk->client, data, sizeof(data), 0)) > 0)
			talk->received += (size_t)n;
		if (n == 0)
			talk_end(talk, REFUSED, 0);
		else if (errno != EAGAIN && errno != EINTR)
			talk_end(talk, REFUSED, errno);
	}
	/* An end that both see is told as the client sees it, which may take it a moment. */
	if (far_over) {
		close(talk->server);
		talk->server = -1;
		talk->far_over_us = now_us();
	}
	if (talk->far_over_us && now_us() - talk->far_over_us > LOST_US)
		talk_end(talk, LOST, 0);
}

/* One look at both ends; waits for something to happen there. */
void talk_pump(struct talk *talk, int milliseconds)
{
	struct pollfd fds[3] = {{.fd = talk->client, .events = POLLIN},
				{.fd = talk->server, .events = POLLIN},
				{.fd = talk->asking, .events = POLLIN}};

	poll(fds, 3, milliseconds);
	if (fds[2].revents)
		take_server(talk);
	drain(talk);
	if (talk->ending != GOING)
		return;
	if (talk_sent_again(talk->client) >= talk->client_again + talk->patience ||
	    (talk->server >= 0 &&
	     talk_sent_again(talk->server) >= talk->server_again + talk->patience))
		talk_end(talk, HELD, 0);
}

void talk_open(struct talk *talk)
{
	talk->client = socket(talk->to.ss_family, SOCK_STREAM | SOCK_CLOEXEC,
			      talk->mptcp ? IPPROTO_MPTCP : 0);
	if (talk->client < 0) {
		talk_end(talk, SKIPPED, errno);
		return;
	}
	if (*talk->device && setsockopt(talk->client, SOL_SOCKET, SO_BINDTODEVICE, talk->device,
					strlen(talk->device)) < 0) {
		talk_end(talk, SKIPPED, errno);
		return;
	}
	if (!talk->fast_open) {
		if (connect(talk->client, (struct sockaddr *)&talk->to, talk->to_length) < 0) {
			talk_end(talk, UNCONNECTED, errno);
			return;
		}
		talk->src_port = port_of(talk->client);
		ask_for_server(talk);
	}
	fcntl(talk->client, F_SETFL, O_NONBLOCK);
	while (talk->ending == GOING && talk->asking >= 0)
		talk_pump(talk, 20);
}

void talk_wait_arrived(struct talk *talk)
{
	while (talk->ending == GOING && talk->arrived.length < talk->sent)
		talk_pump(talk, 20);
}

void talk_wait_received(struct talk *talk)
{
	while (talk->ending == GOING && talk->received < talk->said)
		talk_pump(talk, 20);
}

/* ---- sending ---- */

/* With fast open, connecting is a part of sending. */
static ssize_t put_some(struct talk *talk, const uint8_t *data, size_t length, int flags)
{
	if (talk->src_port || !talk->fast_open)
		return send(talk->client, data, length, flags | MSG_NOSIGNAL);
	ssize_t n = sendto(talk->client, data, length, flags | MSG_FASTOPEN | MSG_NOSIGNAL,
			   (struct sockaddr *)&talk->to, talk->to_length);
	if (n < 0 && errno == EINPROGRESS)
		errno = EAGAIN; /* no data was taken along */
	talk->src_port = port_of(talk->client);
	if (n >= 0 || errno == EAGAIN) {
		int error = errno;
		ask_for_server(talk);
		errno = error;
	}
	return n;
}

void talk_put(struct talk *talk, const uint8_t *data, size_t length, int flags)
{
	while (length > 0 && talk->ending == GOING) {
		ssize_t n = put_some(talk, data, length, flags);
		if (n > 0) {
			data += n;
			length -= (size_t)n;
			talk->sent += (size_t)n;
		} else if (errno == EAGAIN || errno == ENOTCONN || errno == EINPROGRESS) {
			talk_pump(talk, 5);
		} else {
			talk_end(talk, REFUSED, errno);
		}
	}
}

void talk_put_and_wait(struct talk *talk, const uint8_t *data, size_t length, int flags)
{
	talk_put(talk, data, length, flags);
	talk_wait_arrived(talk);
}

void talk_say(struct talk *talk, const uint8_t *data, size_t length)
{
	while (length > 0 && talk->ending == GOING) {
		if (talk->server < 0) {
			talk_pump(talk, 20);
			continue;
		}
		ssize_t n = send(talk->server, data, length, MSG_NOSIGNAL);
		if (n > 0) {
			data += n;
			length -= (size_t)n;
			talk->said += (size_t)n;
		} else {
			talk_pump(talk, 5);
		}
	}
}

/* Both ends are closed at once; what still came to the far side is read to the end first. */
void talk_hang_up(struct talk *talk)
{
	struct linger linger = {.l_onoff = 1};

	if (talk->client >= 0) {
		setsockopt(talk->client, SOL_SOCKET, SO_LINGER, &linger, sizeof(linger));
		close(talk->client);
		talk->client = -1;
	}
	if (talk->asking >= 0)
		close(talk->asking);
	if (talk->server >= 0) {
		drain(talk);
		setsockopt(talk->server, SOL_SOCKET, SO_LINGER, &linger, sizeof(linger));
		if (talk->server >= 0)
			close(talk->server);
		talk->server = -1;
	}
}
