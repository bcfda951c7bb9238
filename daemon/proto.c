/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * proto.c - frames, times, addresses, answers that both sides give. Every byte that comes in is taken for
 * hostile: a length is checked before memory is asked for, and descriptors are closed unless somebody
 * takes them.
 */
#include "daemon/proto.h"

#include <arpa/inet.h>
#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>

#include "daemon/base.h"
#include "daemon/policy/policy.h"

#define SW_NS_PER_S 1000000000ull

static void close_fds(struct sw_reader *reader)
{
	for (size_t i = 0; i < reader->n_fds; i++)
		close(reader->fds[i]);
	reader->n_fds = 0;
}

/* The frame is done with; descriptors stay, as they belong to the message just handed out. */
static void next_frame(struct sw_reader *reader)
{
	free(reader->body);
	reader->body = NULL;
	reader->have = 0;
	reader->length = 0;
}

void sw_reader_init(struct sw_reader *reader, uint32_t limit)
{
	memset(reader, 0, sizeof(*reader));
	reader->limit = limit < SW_FRAME_MAX ? limit : SW_FRAME_MAX;
	for (size_t i = 0; i < SW_FRAME_FDS; i++)
		reader->fds[i] = -1;
}

void sw_reader_reset(struct sw_reader *reader)
{
	close_fds(reader);
	next_frame(reader);
}

size_t sw_reader_take_fds(struct sw_reader *reader, int fds[static SW_FRAME_FDS])
{
	size_t n = reader->n_fds;

	for (size_t i = 0; i < SW_FRAME_FDS; i++)
		fds[i] = i < n ? sw_take_fd(reader->fds[i]) : -1;
	reader->n_fds = 0;
	return n;
}

/* Where the next bytes go, and how many at most: never past the end of the head or of the body, so
   that no byte of the frame behind is taken. */
static void *wanted(struct sw_reader *reader, size_t *n)
{
	if (reader->have < sizeof(reader->head)) {
		*n = sizeof(reader->head) - reader->have;
		return reader->head + reader->have;
	}
	*n = sizeof(reader->head) + reader->length - reader->have;
	return reader->body + (reader->have - sizeof(reader->head));
}

static int head_done(struct sw_reader *reader)
{
	uint32_t length;

	memcpy(&length, reader->head, sizeof(length));
	reader->length = ntohl(length);
	if (!reader->length)
		return -EBADMSG;
	if (reader->length > reader->limit)
		return -EMSGSIZE;
	reader->body = malloc(reader->length);
	return reader->body ? 0 : -ENOMEM;
}

/* An object without doubled members; jansson itself refuses NULs, bad UTF-8 and depth over 2048. */
static int body_done(struct sw_reader *reader, json_t **message)
{
	json_error_t error;
	json_t *object = json_loadb(reader->body, reader->length, JSON_REJECT_DUPLICATES, &error);

	if (!json_is_object(object)) {
		json_decref(object);
		return -EBADMSG;
	}
	next_frame(reader);
	*message = object;
	return 1;
}

/* `n` bytes have been put where wanted() said. */
static int took(struct sw_reader *reader, size_t n, json_t **message)
{
	int r = 0;

	reader->have += n;
	if (reader->have == sizeof(reader->head))
		r = head_done(reader);
	else if (reader->have > sizeof(reader->head) &&
		 reader->have - sizeof(reader->head) == reader->length)
		r = body_done(reader, message);
	if (r < 0)
		sw_reader_reset(reader);
	return r;
}

int sw_reader_feed(struct sw_reader *reader, const void *bytes, size_t n, size_t *used,
		   json_t **message)
{
	const uint8_t *from = bytes;
	int r = 0;

	*used = 0;
	while (!r && *used < n) {
		size_t room;
		void *to = wanted(reader, &room);

		if (room > n - *used)
			room = n - *used;
		memcpy(to, from + *used, room);
		*used += room;
		r = took(reader, room, message);
	}
	return r;
}

/* Looks at every descriptor that the kernel installed, also when they are refused: nobody else
   would close them. They come with the first byte of a frame or not at all. */
static int collect_fds(struct sw_reader *reader, struct msghdr *header, bool first)
{
	bool bad = header->msg_flags & MSG_CTRUNC;

	for (struct cmsghdr *c = CMSG_FIRSTHDR(header); c; c = CMSG_NXTHDR(header, c)) {
		size_t n = c->cmsg_level == SOL_SOCKET && c->cmsg_type == SCM_RIGHTS
				   ? (c->cmsg_len - CMSG_LEN(0)) / sizeof(int)
				   : 0;

		for (size_t i = 0; i < n; i++) {
			int fd;

			memcpy(&fd, CMSG_DATA(c) + i * sizeof(fd), sizeof(fd));
			bad |= !first || reader->n_fds == SW_FRAME_FDS;
			if (bad)
				close(fd);
			else
				reader->fds[reader->n_fds++] = fd;
		}
	}
	return bad ? -EBADMSG : 0;
}

int sw_reader_read(struct sw_reader *reader, int fd, json_t **message)
{
	union {
		struct cmsghdr align;
		char bytes[CMSG_SPACE(sizeof(int) * SW_FRAME_FDS)];
	} control;
	struct iovec part;
	struct msghdr header = {
		.msg_iov = &part,
		.msg_iovlen = 1,
		.msg_control = &control,
		.msg_controllen = sizeof(control),
	};
	bool first = !reader->have;
	ssize_t n;

	/* Nobody took the descriptors of the message before: they must not pass for this one's. */
	if (first)
		close_fds(reader);
	part.iov_base = wanted(reader, &part.iov_len);
	n = recvmsg(fd, &header, MSG_CMSG_CLOEXEC);
	if (n < 0)
		return errno == EINTR || errno == EWOULDBLOCK ? -EAGAIN : -errno;
	if (collect_fds(reader, &header, first)) {
		sw_reader_reset(reader);
		return -EBADMSG;
	}
	if (!n) {
		sw_reader_reset(reader);
		return -ECONNRESET;
	}
	return took(reader, n, message);
}

char *sw_frame(const json_t *message, size_t *length)
{
	size_t n = json_dumpb(message, NULL, 0, JSON_COMPACT);
	sw_autofree char *frame = NULL;
	uint32_t head;

	if (!n || n > SW_FRAME_MAX)
		return NULL;
	frame = malloc(sizeof(head) + n);
	if (!frame || json_dumpb(message, frame + sizeof(head), n, JSON_COMPACT) != n)
		return NULL;
	head = htonl(n);
	memcpy(frame, &head, sizeof(head));
	*length = sizeof(head) + n;
	return sw_take(frame);
}

/* Sends what it can; descriptors go with the first byte. */
static ssize_t send_part(int fd, const char *bytes, size_t n, const int *fds, size_t n_fds)
{
	union {
		struct cmsghdr align;
		char bytes[CMSG_SPACE(sizeof(int) * SW_FRAME_FDS)];
	} control = {0};
	struct iovec part = {.iov_base = (void *)bytes, .iov_len = n};
	struct msghdr header = {.msg_iov = &part, .msg_iovlen = 1};

	if (n_fds) {
		header.msg_control = &control;
		header.msg_controllen = CMSG_SPACE(sizeof(int) * n_fds);

		struct cmsghdr *c = CMSG_FIRSTHDR(&header);
		c->cmsg_level = SOL_SOCKET;
		c->cmsg_type = SCM_RIGHTS;
		c->cmsg_len = CMSG_LEN(sizeof(int) * n_fds);
		memcpy(CMSG_DATA(c), fds, sizeof(int) * n_fds);
	}
	return sendmsg(fd, &header, MSG_NOSIGNAL);
}

int sw_send(int fd, const json_t *message, const int *fds, size_t n_fds)
{
	size_t length, done = 0;
	sw_autofree char *frame = NULL;

	if (n_fds > SW_FRAME_FDS)
		return -EINVAL;
	frame = sw_frame(message, &length);
	if (!frame)
		return -EMSGSIZE;
	while (done < length) {
		ssize_t n = send_part(fd, frame + done, length - done, fds, done ? 0 : n_fds);

		if (n < 0 && errno != EINTR)
			return -errno;
		if (n > 0)
			done += n;
	}
	return 0;
}

void sw_time_format(uint64_t ns, char to[static SW_TIME_SIZE])
{
	time_t s = ns / SW_NS_PER_S;
	struct tm tm;

	/* Sixty-four bits of nanoseconds end in the year 2554, so four digits always do. */
	gmtime_r(&s, &tm);
	strftime(to, SW_TIME_SIZE, "%Y-%m-%dT%H:%M:%S", &tm);
	snprintf(to + 19, SW_TIME_SIZE - 19, ".%06uZ", (unsigned int)(ns % SW_NS_PER_S / 1000));
}

/* Exactly `digits` digits, from low to high; moves *at on. -1 when it is not that. */
static int number(const char **at, int digits, int low, int high)
{
	int value = 0;

	for (int i = 0; i < digits; i++) {
		char c = **at;

		if (c < '0' || c > '9')
			return -1;
		value = value * 10 + (c - '0');
		++*at;
	}
	return value >= low && value <= high ? value : -1;
}

static bool one_of(const char **at, const char *set)
{
	if (!**at || !strchr(set, **at))
		return false;
	++*at;
	return true;
}

/* ".678901": digits behind the ninth are dropped, as a nanosecond is all that is kept. */
static int fraction(const char **at, uint64_t *ns)
{
	uint64_t unit = SW_NS_PER_S / 10;

	*ns = 0;
	if (!one_of(at, "."))
		return 0;
	if (**at < '0' || **at > '9')
		return -EINVAL;
	for (; **at >= '0' && **at <= '9'; ++*at, unit /= 10)
		*ns += unit * (uint64_t)(**at - '0');
	return 0;
}

/* "Z" or "+hh:mm" to the end of the text; seconds east of Greenwich. */
static int offset(const char **at, int *seconds)
{
	int sign = **at == '-' ? -1 : 1, hours, minutes;

	*seconds = 0;
	if (one_of(at, "Zz"))
		return **at ? -EINVAL : 0;
	if (!one_of(at, "+-"))
		return -EINVAL;
	hours = number(at, 2, 0, 23);
	if (hours < 0 || !one_of(at, ":"))
		return -EINVAL;
	minutes = number(at, 2, 0, 59);
	if (minutes < 0 || **at)
		return -EINVAL;
	*seconds = sign * (hours * 3600 + minutes * 60);
	return 0;
}

/* "2026-01-02T03:04:05"; a day that the month does not have is refused. */
static int date(const char **at, time_t *seconds)
{
	struct tm tm = {0};
	int year = number(at, 4, 0, 9999), month, day, hour, minute, second;

	if (year < 0 || !one_of(at, "-"))
		return -EINVAL;
	month = number(at, 2, 1, 12);
	if (month < 0 || !one_of(at, "-"))
		return -EINVAL;
	day = number(at, 2, 1, 31);
	if (day < 0 || !one_of(at, "Tt "))
		return -EINVAL;
	hour = number(at, 2, 0, 23);
	if (hour < 0 || !one_of(at, ":"))
		return -EINVAL;
	minute = number(at, 2, 0, 59);
	if (minute < 0 || !one_of(at, ":"))
		return -EINVAL;
	second = number(at, 2, 0, 60);
	if (second < 0)
		return -EINVAL;
	tm = (struct tm){.tm_year = year - 1900, .tm_mon = month - 1, .tm_mday = day};
	*seconds = timegm(&tm) + hour * 3600 + minute * 60 + second;
	return tm.tm_mday == day ? 0 : -EINVAL;
}

int sw_time_parse(const char *text, uint64_t *ns)
{
	const char *at = text;
	uint64_t part;
	time_t s;
	int east;

	if (date(&at, &s) || fraction(&at, &part) || offset(&at, &east))
		return -EINVAL;
	s -= east;
	if (s < 0 || (uint64_t)s > (UINT64_MAX - part) / SW_NS_PER_S)
		return -EINVAL;
	*ns = (uint64_t)s * SW_NS_PER_S + part;
	return 0;
}

static const uint8_t mapped[12] = {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff};

void sw_addr_format(const uint8_t addr[static 16], char to[static SW_ADDR_SIZE])
{
	if (!memcmp(addr, mapped, sizeof(mapped)))
		inet_ntop(AF_INET, addr + sizeof(mapped), to, SW_ADDR_SIZE);
	else
		inet_ntop(AF_INET6, addr, to, SW_ADDR_SIZE);
}

int sw_addr_parse(const char *text, uint8_t addr[static 16])
{
	uint8_t bytes[16];

	memcpy(bytes, mapped, sizeof(mapped));
	if (inet_pton(AF_INET, text, bytes + sizeof(mapped)) != 1 &&
	    inet_pton(AF_INET6, text, bytes) != 1)
		return -EINVAL;
	memcpy(addr, bytes, sizeof(bytes));
	return 0;
}

static json_t *text_or_null(const char *text)
{
	return text && *text ? json_string(text) : json_null();
}

static json_t *tls_json(const struct sw_answer *found)
{
	if (!found->tls)
		return json_null();
	return json_pack("{s:s, s:s?, s:b}", "way", sw_answer_way(found), "version",
			 sw_tls_version_name(found->tls_version), "proxy",
			 (int)sw_answer_proxy(found));
}

json_t *sw_answer_json(const struct sw_answer *found)
{
	json_t *answer = json_object();
	char addr[SW_ADDR_SIZE];

	json_object_set_new(answer, "guarded", json_boolean(found->guarded));
	json_object_set_new(answer, "verdict", json_string(sw_verdict_name(found->verdict)));
	json_object_set_new(answer, "reason", json_string(sw_reason_name(found->reason)));
	json_object_set_new(answer, "reason_words", json_string(sw_reason_words(found->reason)));
	json_object_set_new(answer, "rule", found->rule ? json_integer(found->rule) : json_null());
	json_object_set_new(answer, "line", found->rule ? json_integer(found->line) : json_null());
	json_object_set_new(answer, "rule_text", text_or_null(found->rule_text));
	json_object_set_new(answer, "text", text_or_null(found->text));
	json_object_set_new(answer, "audit", json_boolean(found->audit));
	json_object_set_new(answer, "tls_required", tls_json(found));
	json_object_set_new(answer, "answer", json_boolean(found->answer));
	if (found->new_port) {
		sw_addr_format(found->new_to, addr);
		json_object_set_new(answer, "redirect",
				    json_sprintf(strchr(addr, ':') ? "[%s]:%u" : "%s:%u", addr,
						 found->new_port));
	}
	return answer;
}
