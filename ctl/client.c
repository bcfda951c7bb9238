/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "ctl/client.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/un.h>

#include "daemon/base.h"

#define PATIENCE_S 120

/* A path that is too long for a socket address is reached through a descriptor of its folder. */
static int address_of(const char *run_dir, struct sockaddr_un *address, int *dir)
{
	int n;

	*address = (struct sockaddr_un){.sun_family = AF_UNIX};
	n = snprintf(address->sun_path, sizeof(address->sun_path), "%s/control", run_dir);
	if (n >= 0 && (size_t)n < sizeof(address->sun_path))
		return 0;
	*dir = open(run_dir, O_PATH | O_DIRECTORY | O_CLOEXEC);
	if (*dir < 0)
		return -errno;
	snprintf(address->sun_path, sizeof(address->sun_path), "/proc/self/fd/%d/control", *dir);
	return 0;
}

int sw_client_open(struct sw_client *client, const char *run_dir)
{
	struct timeval patience = {.tv_sec = PATIENCE_S};
	struct sockaddr_un address;
	sw_autoclose int dir = -1, fd = -1;
	int r = address_of(run_dir, &address, &dir);

	if (r)
		return r;
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	/* Both connect() and sends to a daemon that reads nothing end some time. */
	if (fd < 0 || setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof(patience)) ||
	    connect(fd, (struct sockaddr *)&address, sizeof(address)))
		return errno == EAGAIN ? -ETIMEDOUT : -errno;
	sw_reader_init(&client->reader, SW_FRAME_MAX);
	client->fd = sw_take_fd(fd);
	return 0;
}

void sw_client_close(struct sw_client *client)
{
	if (client->fd < 0)
		return;
	sw_reader_reset(&client->reader);
	close(client->fd);
	client->fd = -1;
}

int sw_client_send(struct sw_client *client, const json_t *message, const int *fds, size_t n_fds)
{
	int r = sw_send(client->fd, message, fds, n_fds);

	return r == -EAGAIN ? -ETIMEDOUT : r;
}

/* 0: there is something to read. A reader of standard output that went away ends the wait too:
   there is nobody left to tell. */
static int wait_for(const struct sw_client *client, int stop_fd)
{
	struct pollfd fds[] = {
		{.fd = client->fd, .events = POLLIN},
		{.fd = stop_fd, .events = POLLIN},
		{.fd = stop_fd < 0 ? -1 : STDOUT_FILENO},
	};
	int n = poll(fds, sw_count(fds), stop_fd < 0 ? PATIENCE_S * 1000 : -1);

	if (n < 0)
		return errno == EINTR ? -EAGAIN : -errno;
	if (!n)
		return -ETIMEDOUT;
	if (fds[1].revents || fds[2].revents & POLLERR)
		return -ECANCELED;
	return 0;
}

int sw_client_next(struct sw_client *client, int stop_fd, json_t **message)
{
	int r;

	do {
		r = wait_for(client, stop_fd);
		if (!r)
			r = sw_reader_read(&client->reader, client->fd, message);
	} while (!r || r == -EAGAIN);
	return r == 1 ? 0 : r;
}
