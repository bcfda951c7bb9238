/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "daemon/syslog_peer.h"

#include <errno.h>
#include <linux/sockios.h>
#include <linux/tcp.h>
#include <netinet/in.h>
#include <poll.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/stat.h>

#include "daemon/syslog_connect.h"
#include "daemon/syslog_message.h"

#define HANDSHAKE_USEC 10000000u
#define SEND_USEC UINT64_MAX /* a collector that stands still is waited for */
#define FINISH_USEC 5000000u

/* Written together. A frame is longer than its message by its length and a space. */
#define FRAME_MAX (SW_SYSLOG_MESSAGE_MAX + 8)
#define BUFFER (4 * FRAME_MAX)

/* A kernel that has not answered for so long while there is something to acknowledge is gone. */
#define SILENCE_MSEC 60000u

/*
 * How much may lie unread at the other side. Its window says how much more it would take, so nothing
 * beyond the largest one that it has offered can be there when it begins to stand still; the buffer
 * grows once more at most when nobody reads. Never less than what Linux begins with.
 */
#define UNREAD_WINDOWS 2u
#define UNREAD_LEAST (256u << 10)

struct sw_syslog_peer {
	struct sw_syslog_target target;
	int fd;
	bool datagram;
	bool has_ended, ended_in_order; /* the latter: whatever was acknowledged was read */
	struct stat socket;             /* Unix: the one that was connected to */
	struct sw_syslog_tls *tls;
	uint64_t bytes; /* Unix */
	struct sw_syslog_figures figures;
	uint32_t window; /* largest that the other side has offered */
	size_t used;
	char buffer[BUFFER];
};

/* ---- reading and writing, as the events of poll() have it ---- */

static ssize_t step(struct sw_syslog_peer *peer, ssize_t n, short wanted, short *events,
		    struct sw_fault *fault)
{
	*events = wanted;
	if (n > 0)
		return n;
	if (n < 0 && (errno == EAGAIN || errno == EINTR || errno == ENOBUFS))
		return 0;
	if (n == 0 && wanted == POLLIN) {
		peer->ended_in_order = true;
		return sw_fault(fault, SW_EXIT_KERNEL, "the collector has closed the connection");
	}
	return sw_fault(fault, SW_EXIT_KERNEL, "%s", strerror(errno));
}

static ssize_t write_some(struct sw_syslog_peer *peer, const char *bytes, size_t n, short *events,
			  struct sw_fault *fault)
{
	if (peer->tls)
		return sw_syslog_tls_write(peer->tls, bytes, n, events, fault);
	return step(peer, send(peer->fd, bytes, n, MSG_NOSIGNAL), POLLOUT, events, fault);
}

static ssize_t read_some(struct sw_syslog_peer *peer, char *bytes, size_t n, short *events,
			 struct sw_fault *fault)
{
	if (peer->tls)
		return sw_syslog_tls_read(peer->tls, bytes, n, events, fault);
	return step(peer, recv(peer->fd, bytes, n, 0), POLLIN, events, fault);
}

/* Under TLS: did its TCP close in order? A socket that is closed with something unread in it sends a
   reset, on every system that follows RFC 1122, 4.2.2.13. */
static void see_how_it_ended(struct sw_syslog_peer *peer)
{
	char byte;

	peer->has_ended = true;
	if (peer->tls && recv(peer->fd, &byte, sizeof(byte), MSG_DONTWAIT) == 0)
		peer->ended_in_order = true;
}

/* ---- open ---- */

static int shake_hands(struct sw_syslog_peer *peer, struct sw_syslog_tls_context *context,
		       struct sw_syslog_stop *stop, struct sw_fault *fault)
{
	uint64_t until = sw_syslog_now() + HANDSHAKE_USEC;
	short events = 0;
	int done = 0;

	peer->tls = sw_syslog_tls_new(context, peer->fd);
	if (!peer->tls)
		return sw_fault(fault, SW_EXIT_KERNEL, "out of memory");
	while (done == 0 && !stop->asked && sw_syslog_in_time(stop, until)) {
		done = sw_syslog_tls_handshake(peer->tls, &events, fault);
		if (done == 0)
			sw_syslog_wait(stop, peer->fd, events, until);
	}
	if (done == 0)
		return sw_fault(fault, SW_EXIT_KERNEL, "no end of the TLS handshake");
	return done > 0 ? 0 : -1;
}

static int open_peer(struct sw_syslog_peer *peer, struct sw_syslog_tls_context *context,
		     struct sw_syslog_stop *stop, struct sw_fault *fault)
{
	const struct sw_syslog_target *target = &peer->target;

	/* Looked at first: should another one take its place meanwhile, it is not taken for this. */
	if (target->transport == SW_SYSLOG_UNIX && stat(target->host, &peer->socket) < 0)
		return sw_fault(fault, SW_EXIT_KERNEL, "%s", strerror(errno));
	peer->fd = sw_syslog_connect(target, stop, &peer->datagram, fault);
	if (peer->fd < 0)
		return -1;
	return target->transport == SW_SYSLOG_TLS ? shake_hands(peer, context, stop, fault) : 0;
}

struct sw_syslog_peer *sw_syslog_peer_open(const struct sw_syslog_target *target,
					   struct sw_syslog_tls_context *context,
					   struct sw_syslog_stop *stop, struct sw_fault *fault)
{
	struct sw_syslog_peer *peer = calloc(1, sizeof(*peer));
	struct sw_fault why;

	if (!peer) {
		sw_fault(fault, SW_EXIT_KERNEL, "out of memory");
		return NULL;
	}
	peer->target = *target;
	peer->fd = -1;
	if (open_peer(peer, context, stop, &why) < 0) {
		sw_fault(fault, SW_EXIT_KERNEL, "no connection to %s: %.400s", target->text,
			 why.text);
		sw_syslog_peer_close(peer);
		return NULL;
	}
	return peer;
}

void sw_syslog_peer_close(struct sw_syslog_peer *peer)
{
	if (!peer)
		return;
	sw_syslog_tls_free(peer->tls);
	if (peer->fd >= 0)
		close(peer->fd);
	free(peer);
}

/* ---- figures ---- */

/* Does the process that was connected to still have its socket? One that is gone has taken with it what
   it had not read, which our kernel then counts as read. */
static bool is_still_there(const struct sw_syslog_peer *peer)
{
	const struct stat *before = &peer->socket;
	struct stat now;
	int fd;

	if (!peer->datagram) {
		struct pollfd ended = {.fd = peer->fd, .events = POLLRDHUP};

		return poll(&ended, 1, 0) == 0;
	}
	fd = sw_syslog_connect_unix(peer->target.host, SOCK_DGRAM);
	if (fd < 0)
		return false;
	close(fd);
	return stat(peer->target.host, &now) == 0 && now.st_ino == before->st_ino &&
	       now.st_dev == before->st_dev && now.st_ctim.tv_sec == before->st_ctim.tv_sec &&
	       now.st_ctim.tv_nsec == before->st_ctim.tv_nsec;
}

/* Of a Unix socket the kernel says how much the other process has not read. */
static void unix_figures(struct sw_syslog_peer *peer)
{
	struct sw_syslog_figures *figures = &peer->figures;
	int unread = 0;

	figures->bytes = peer->bytes;
	if (figures->acknowledged != peer->bytes && ioctl(peer->fd, SIOCOUTQ, &unread) == 0 &&
	    unread == 0 && is_still_there(peer))
		figures->acknowledged = peer->bytes;
}

static void tcp_figures(struct sw_syslog_peer *peer)
{
	struct sw_syslog_figures *figures = &peer->figures;
	struct tcp_info info = {};
	socklen_t size = sizeof(info);
	int queued = 0;

	/* First what is not acknowledged: what is meanwhile counts twice, and makes the sum too large,
	   never too small. */
	if (ioctl(peer->fd, SIOCOUTQ, &queued) < 0 ||
	    getsockopt(peer->fd, IPPROTO_TCP, TCP_INFO, &info, &size) < 0)
		return;
	figures->acknowledged = info.tcpi_bytes_acked;
	figures->bytes = info.tcpi_bytes_acked + (uint64_t)queued;
	if (info.tcpi_snd_wnd > peer->window)
		peer->window = info.tcpi_snd_wnd;
	figures->unread = (uint64_t)UNREAD_WINDOWS * peer->window;
	if (figures->unread < UNREAD_LEAST)
		figures->unread = UNREAD_LEAST;
}

void sw_syslog_peer_figures(struct sw_syslog_peer *peer, struct sw_syslog_figures *figures)
{
	if (peer->target.transport != SW_SYSLOG_UNIX)
		tcp_figures(peer);
	else if (!peer->has_ended)
		unix_figures(peer);
	if (peer->ended_in_order)
		peer->figures.unread = 0;
	/* A stream that has ended in order was read to its end. */
	if (peer->ended_in_order && peer->target.transport == SW_SYSLOG_UNIX)
		peer->figures.acknowledged = peer->bytes;
	*figures = peer->figures;
}

/* ---- sending ---- */

static int over(struct sw_syslog_peer *peer, struct sw_fault *why, struct sw_fault *fault)
{
	see_how_it_ended(peer);
	return sw_fault(fault, SW_EXIT_KERNEL, "the connection to %s has ended: %.400s",
			peer->target.text, why->text);
}

static int is_silent(const struct sw_syslog_peer *peer, struct sw_fault *why)
{
	struct tcp_info info = {};
	socklen_t size = sizeof(info);

	if (peer->target.transport == SW_SYSLOG_UNIX ||
	    getsockopt(peer->fd, IPPROTO_TCP, TCP_INFO, &info, &size) < 0 || !info.tcpi_unacked ||
	    info.tcpi_last_ack_recv < SILENCE_MSEC)
		return 0;
	return sw_fault(why, SW_EXIT_KERNEL, "its machine does not answer any more");
}

int sw_syslog_peer_look(struct sw_syslog_peer *peer, struct sw_fault *fault)
{
	char scrap[1024];
	short events;
	struct sw_fault why;
	ssize_t n;

	do {
		n = read_some(peer, scrap, sizeof(scrap), &events, &why);
	} while (n > 0);
	if (n < 0 || is_silent(peer, &why) < 0)
		return over(peer, &why, fault);
	return 0;
}

static int write_all(struct sw_syslog_peer *peer, const char *bytes, size_t n,
		     struct sw_syslog_stop *stop, struct sw_fault *fault)
{
	struct sw_fault why;

	while (n > 0) {
		short events = 0;
		ssize_t done = write_some(peer, bytes, n, &events, &why);

		if (done < 0)
			return over(peer, &why, fault);
		if (done > 0) {
			bytes += done;
			n -= (size_t)done;
			peer->bytes += (uint64_t)done;
			continue;
		}
		if (!sw_syslog_in_time(stop, SEND_USEC))
			return sw_fault(fault, SW_EXIT_KERNEL, "%s takes nothing",
					peer->target.text);
		sw_syslog_wait(stop, peer->fd, (short)(events | POLLRDHUP),
			       sw_syslog_now() + 1000000u);
		if (sw_syslog_peer_look(peer, fault) < 0)
			return -1;
	}
	return 0;
}

int sw_syslog_peer_flush(struct sw_syslog_peer *peer, struct sw_syslog_stop *stop,
			 struct sw_fault *fault)
{
	size_t n = peer->used;

	peer->used = 0;
	return write_all(peer, peer->buffer, n, stop, fault);
}

int sw_syslog_peer_send(struct sw_syslog_peer *peer, const char *message, size_t length,
			struct sw_syslog_stop *stop, struct sw_fault *fault)
{
	bool unix_stream = peer->target.transport == SW_SYSLOG_UNIX;

	if (peer->datagram)
		return write_all(peer, message, length, stop, fault);
	if (sizeof(peer->buffer) - peer->used < length + 8 &&
	    sw_syslog_peer_flush(peer, stop, fault) < 0)
		return -1;
	if (!unix_stream)
		peer->used += (size_t)sprintf(peer->buffer + peer->used, "%zu ", length);
	memcpy(peer->buffer + peer->used, message, length);
	peer->used += length;
	if (unix_stream)
		peer->buffer[peer->used++] = '\n';
	return 0;
}

bool sw_syslog_peer_finish(struct sw_syslog_peer *peer, struct sw_syslog_stop *stop)
{
	uint64_t until = sw_syslog_now() + FINISH_USEC;
	struct sw_syslog_figures figures;
	char scrap[1024];
	ssize_t n = -1;

	if (peer->datagram) {
		do {
			sw_syslog_peer_figures(peer, &figures);
			if (figures.acknowledged == figures.bytes)
				return true;
			sw_syslog_wait(stop, -1, 0, sw_syslog_now() + 10000u);
		} while (sw_syslog_in_time(stop, until));
		return false;
	}
	if (peer->tls)
		sw_syslog_tls_end(peer->tls);
	shutdown(peer->fd, SHUT_WR);
	/* TLS or not: what comes is not looked at any more. */
	while (sw_syslog_in_time(stop, until) &&
	       (n = recv(peer->fd, scrap, sizeof(scrap), 0)) != 0) {
		if (n < 0 && errno != EAGAIN && errno != EINTR)
			return false;
		sw_syslog_wait(stop, peer->fd, POLLIN, until);
	}
	return n == 0;
}
