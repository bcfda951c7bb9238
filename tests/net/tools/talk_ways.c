/* SPDX-License-Identifier: GPL-2.0-or-later */
/* talk_ways.c - the ways in which a client can hand bytes to the kernel. */
#include <errno.h>
#include <fcntl.h>
#include <netinet/tcp.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/sendfile.h>
#include <sys/uio.h>
#include <unistd.h>

#include "talk.h"

static size_t first_part(const struct talk *talk, size_t length)
{
	return talk->split < length ? talk->split : length;
}

static void one(struct talk *talk, const uint8_t *data, size_t length)
{
	talk_put(talk, data, length, 0);
}

static void single_bytes(struct talk *talk, const uint8_t *data, size_t length)
{
	talk_option(talk, IPPROTO_TCP, TCP_NODELAY, 1);
	for (size_t i = 0; i < length && talk->ending == GOING; i++)
		talk_put_and_wait(talk, data + i, 1, 0);
}

static void hasty_bytes(struct talk *talk, const uint8_t *data, size_t length)
{
	talk_option(talk, IPPROTO_TCP, TCP_NODELAY, 1);
	for (size_t i = 0; i < length && talk->ending == GOING; i++)
		talk_put(talk, data + i, 1, 0);
}

/* In repair mode TCP takes bytes for sent and does not send them: lost before anybody could see them. It
   sends them again by its own timer. A privilege. */
static void lost_bytes(struct talk *talk, const uint8_t *data, size_t length)
{
	talk_option(talk, IPPROTO_TCP, TCP_NODELAY, 1);
	for (size_t i = 0; i < length && talk->ending == GOING; i++) {
		bool lost = i % 5 == 1;

		if (lost) {
			talk_option(talk, IPPROTO_TCP, TCP_REPAIR, TCP_REPAIR_ON);
			talk_option(talk, IPPROTO_TCP, TCP_REPAIR_QUEUE, TCP_SEND_QUEUE);
		}
		talk_put(talk, data + i, 1, 0);
		if (lost)
			talk_option(talk, IPPROTO_TCP, TCP_REPAIR, TCP_REPAIR_OFF_NO_WP);
	}
}

static void split(struct talk *talk, const uint8_t *data, size_t length)
{
	size_t first = first_part(talk, length);

	talk_option(talk, IPPROTO_TCP, TCP_NODELAY, 1);
	talk_put_and_wait(talk, data, first, 0);
	talk_put(talk, data + first, length - first, 0);
}

static void more(struct talk *talk, const uint8_t *data, size_t length)
{
	for (size_t i = 0; i < length && talk->ending == GOING; i++)
		talk_put(talk, data + i, 1, i + 1 < length ? MSG_MORE : 0);
}

static void split_more(struct talk *talk, const uint8_t *data, size_t length)
{
	size_t first = first_part(talk, length);

	talk_put(talk, data, first, first < length ? MSG_MORE : 0);
	talk_put(talk, data + first, length - first, 0);
}

static void cork(struct talk *talk, const uint8_t *data, size_t length)
{
	talk_option(talk, IPPROTO_TCP, TCP_CORK, 1);
	for (size_t i = 0; i < length && talk->ending == GOING; i++)
		talk_put(talk, data + i, 1, 0);
	talk_option(talk, IPPROTO_TCP, TCP_CORK, 0);
}

static void urgent(struct talk *talk, const uint8_t *data, size_t length)
{
	talk_put(talk, data, length, MSG_OOB);
}

/* The last byte is urgent, those before it are not. */
static void urgent_last(struct talk *talk, const uint8_t *data, size_t length)
{
	if (length > 1)
		talk_put_and_wait(talk, data, length - 1, 0);
	talk_put(talk, data + length - 1, 1, MSG_OOB);
}

/* The kernel may read the pages as long as the connection is there: they are never freed. */
static uint8_t *keep(const uint8_t *data, size_t length)
{
	size_t size = (length + 4095) & ~(size_t)4095;
	uint8_t *pages =
		mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	if (pages == MAP_FAILED)
		exit(2);
	memcpy(pages, data, length);
	return pages;
}

static void zerocopy(struct talk *talk, const uint8_t *data, size_t length)
{
	talk_option(talk, SOL_SOCKET, SO_ZEROCOPY, 1);
	talk_put(talk, keep(data, length), length, MSG_ZEROCOPY);
}

static void count(struct talk *talk, ssize_t n)
{
	if (n >= 0)
		talk->sent += (size_t)n;
	else if (errno == EAGAIN)
		talk_pump(talk, 5);
	else
		talk_end(talk, REFUSED, errno);
}

static void send_file(struct talk *talk, const uint8_t *data, size_t length)
{
	int fd = memfd_create("talk", MFD_CLOEXEC);
	size_t end = talk->sent + length;
	off_t at = 0;

	if (fd < 0 || write(fd, data, length) != (ssize_t)length)
		exit(2);
	while (talk->ending == GOING && talk->sent < end)
		count(talk, sendfile(talk->client, fd, &at, end - talk->sent));
	close(fd);
}

/* Bytes go to a pipe by `fill` and from there to the socket, a pipe's room at a time. */
static void through_pipe(struct talk *talk, const uint8_t *data, size_t length,
			 ssize_t (*fill)(int pipe, const uint8_t *data, size_t length))
{
	int ends[2];

	if (pipe2(ends, O_CLOEXEC | O_NONBLOCK) < 0)
		exit(2);
	while (talk->ending == GOING && length > 0) {
		ssize_t n = fill(ends[1], data, length < 16384 ? length : 16384);
		if (n <= 0)
			exit(2);
		size_t end = talk->sent + (size_t)n;
		while (talk->ending == GOING && talk->sent < end)
			count(talk, splice(ends[0], NULL, talk->client, NULL, end - talk->sent,
					   SPLICE_F_NONBLOCK));
		data += n;
		length -= (size_t)n;
	}
	close(ends[0]);
	close(ends[1]);
}

static ssize_t fill_by_copy(int pipe, const uint8_t *data, size_t length)
{
	return write(pipe, data, length);
}

static ssize_t fill_by_page(int pipe, const uint8_t *data, size_t length)
{
	struct iovec iov = {.iov_base = keep(data, length), .iov_len = length};

	return vmsplice(pipe, &iov, 1, SPLICE_F_NONBLOCK);
}

static void by_splice(struct talk *talk, const uint8_t *data, size_t length)
{
	through_pipe(talk, data, length, fill_by_copy);
}

static void by_vmsplice(struct talk *talk, const uint8_t *data, size_t length)
{
	through_pipe(talk, data, length, fill_by_page);
}

const struct sending sendings[] = {
	{"one", one, "one write"},
	{"bytes", single_bytes, "a segment a byte, each once the one before has arrived"},
	{"hasty", hasty_bytes, "a segment a byte, without waiting"},
	{"lost", lost_bytes, "a segment a byte, every fifth lost before it comes to a hook"},
	{"split", split, "two segments, N bytes in the first"},
	{"more", more, "MSG_MORE, a byte at a time"},
	{"split-more", split_more, "MSG_MORE, N bytes first"},
	{"cork", cork, "TCP_CORK, a byte at a time"},
	{"urgent", urgent, "MSG_OOB"},
	{"urgent-last", urgent_last, "all but the last byte, then that with MSG_OOB"},
	{"zerocopy", zerocopy, "MSG_ZEROCOPY"},
	{"sendfile", send_file, "sendfile()"},
	{"splice", by_splice, "splice() from a pipe that was written to"},
	{"vmsplice", by_vmsplice, "splice() from a pipe that shares the program's pages"},
	{NULL, NULL, NULL},
};
