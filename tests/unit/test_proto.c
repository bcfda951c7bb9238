/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Frames over a socket and from memory, times, addresses. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

#include <arpa/inet.h>
#include <dirent.h>
#include <fcntl.h>
#include <sys/socket.h>
#include <sys/stat.h>

#include "daemon/base.h"
#include "daemon/proto.h"

#define LIMIT 4096u

/* Both ends of a socket, the reader on one, and how many descriptors the process had before. */
struct pair {
	int near, far;
	int fds_before;
	struct sw_reader reader;
};

static int count_fds(void)
{
	DIR *dir = opendir("/proc/self/fd");
	int n = 0;

	assert_non_null(dir);
	while (readdir(dir))
		n++;
	closedir(dir);
	return n;
}

static int setup(void **state)
{
	struct pair *pair = calloc(1, sizeof(*pair));
	int fds[2];

	assert_non_null(pair);
	pair->fds_before = count_fds();
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, fds),
			 0);
	pair->near = fds[0];
	pair->far = fds[1];
	sw_reader_init(&pair->reader, LIMIT);
	*state = pair;
	return 0;
}

/* Every test ends with as many descriptors as it began with. */
static int teardown(void **state)
{
	struct pair *pair = *state;
	int before = pair->fds_before;

	sw_reader_reset(&pair->reader);
	close(pair->near);
	if (pair->far >= 0)
		close(pair->far);
	free(pair);
	return count_fds() == before ? 0 : -1;
}

/* A frame of `body`, whatever it is. */
static size_t frame_of(const char *body, size_t n, char to[static LIMIT + 64])
{
	uint32_t head = htonl(n);

	memcpy(to, &head, sizeof(head));
	memcpy(to + sizeof(head), body, n);
	return sizeof(head) + n;
}

static int read_whole(struct pair *pair, json_t **message)
{
	int r = 0;

	while (!r)
		r = sw_reader_read(&pair->reader, pair->near, message);
	return r;
}

static void test_round_trip(void **state)
{
	struct pair *pair = *state;
	json_t *sent = json_pack("{s:s, s:[i,i], s:b}", "request", "why", "groups", 1, 2, "x", 1);
	json_t *got = NULL;

	assert_int_equal(sw_send(pair->far, sent, NULL, 0), 0);
	assert_int_equal(sw_send(pair->far, sent, NULL, 0), 0);
	for (int i = 0; i < 2; i++) {
		assert_int_equal(read_whole(pair, &got), 1);
		assert_true(json_equal(sent, got));
		json_decref(got);
	}
	assert_int_equal(sw_reader_read(&pair->reader, pair->near, &got), -EAGAIN);
	json_decref(sent);
}

static void test_one_byte_at_a_time(void **state)
{
	struct pair *pair = *state;
	char bytes[LIMIT + 64];
	size_t n = frame_of("{\"a\": \"\xc3\xa4\"}", 11, bytes);
	json_t *got = NULL;

	for (size_t i = 0; i < n; i++) {
		assert_int_equal(sw_reader_read(&pair->reader, pair->near, &got), -EAGAIN);
		assert_int_equal(send(pair->far, bytes + i, 1, 0), 1);
		assert_int_equal(sw_reader_read(&pair->reader, pair->near, &got), i == n - 1);
	}
	assert_string_equal(json_string_value(json_object_get(got, "a")), "\xc3\xa4");
	json_decref(got);
}

static void test_two_frames_in_one_write(void **state)
{
	struct pair *pair = *state;
	char bytes[2 * (LIMIT + 64)];
	size_t n = frame_of("{\"n\":1}", 7, bytes), used;
	json_t *got = NULL;

	n += frame_of("{\"n\":2}", 7, bytes + n);
	assert_int_equal(send(pair->far, bytes, n, 0), n);
	for (int i = 1; i <= 2; i++) {
		assert_int_equal(read_whole(pair, &got), 1);
		assert_int_equal(json_integer_value(json_object_get(got, "n")), i);
		json_decref(got);
	}
	assert_int_equal(sw_reader_feed(&pair->reader, bytes, n, &used, &got), 1);
	assert_int_equal(used, n / 2);
	json_decref(got);
}

static void test_not_frames(void **state)
{
	static const struct {
		const char *body;
		size_t n;
	} bad[] = {
		{"x", 1},
		{"[]", 2},
		{"null", 4},
		{"\"text\"", 6},
		{"{", 1},
		{"{} {}", 5},
		{"{}\0", 3},
		{"{\"a\":\"\xff\"}", 9},
		{"{\"a\":1e999}", 11},
		{"{\"a\":1,\"a\":2}", 13},
		{"{\"a\":\"\\u0000\"}", 14},
		{"{\"a\":99999999999999999999}", 26},
	};
	struct pair *pair = *state;
	char bytes[LIMIT + 64];

	for (size_t i = 0; i < sw_count(bad); i++) {
		json_t *got = NULL;
		size_t n = frame_of(bad[i].body, bad[i].n, bytes), used;

		assert_int_equal(sw_reader_feed(&pair->reader, bytes, n, &used, &got), -EBADMSG);
		assert_int_equal(send(pair->far, bytes, n, 0), n);
		assert_int_equal(read_whole(pair, &got), -EBADMSG);
		assert_null(got);
		assert_null(pair->reader.body);
	}
}

static void test_lengths(void **state)
{
	static const struct {
		uint32_t length;
		int answer;
	} heads[] = {
		{0, -EBADMSG},           {LIMIT, 0},
		{LIMIT + 1, -EMSGSIZE},  {0x7fffffff, -EMSGSIZE},
		{0xffffffff, -EMSGSIZE},
	};
	struct pair *pair = *state;

	for (size_t i = 0; i < sw_count(heads); i++) {
		uint32_t head = htonl(heads[i].length);
		json_t *got = NULL;
		size_t used;

		assert_int_equal(sw_reader_feed(&pair->reader, &head, 4, &used, &got),
				 heads[i].answer);
		sw_reader_reset(&pair->reader);
		assert_int_equal(send(pair->far, &head, 4, 0), 4);
		assert_int_equal(sw_reader_read(&pair->reader, pair->near, &got), heads[i].answer);
		sw_reader_reset(&pair->reader);
	}
}

static void test_limit_is_never_over_the_largest_frame(void **state)
{
	struct pair *pair = *state;

	sw_reader_init(&pair->reader, UINT32_MAX);
	assert_int_equal(pair->reader.limit, SW_FRAME_MAX);
}

static void test_deep_nesting(void **state)
{
	static char bytes[LIMIT + 64], body[LIMIT];
	struct pair *pair = *state;
	json_t *got = NULL;
	size_t used, n;

	memset(body, '[', sizeof(body));
	memcpy(body, "{\"a\":", 5);
	n = frame_of(body, sizeof(body), bytes);
	assert_int_equal(sw_reader_feed(&pair->reader, bytes, n, &used, &got), -EBADMSG);
	assert_int_equal(used, n);
}

static void test_peer_closes(void **state)
{
	struct pair *pair = *state;
	json_t *got = NULL;

	/* In the middle of a frame. */
	assert_int_equal(send(pair->far, "\0\0\0\7{\"n", 7, 0), 7);
	close(pair->far);
	pair->far = -1;
	assert_int_equal(read_whole(pair, &got), -ECONNRESET);
	assert_null(pair->reader.body);
	assert_int_equal(sw_reader_read(&pair->reader, pair->near, &got), -ECONNRESET);
}

static void test_send_to_nobody(void **state)
{
	struct pair *pair = *state;
	json_t *message = json_object();

	close(pair->far);
	pair->far = -1;
	/* A SIGPIPE would end the test program here. */
	assert_int_equal(sw_send(pair->near, message, NULL, 0), -EPIPE);
	json_decref(message);
}

static void test_descriptors(void **state)
{
	struct pair *pair = *state;
	json_t *message = json_pack("{s:s}", "request", "apply"), *got = NULL;
	int send_fds[2] = {open("/dev/null", O_RDONLY | O_CLOEXEC),
			   open("/dev/zero", O_RDONLY | O_CLOEXEC)};
	int fds[SW_FRAME_FDS];

	assert_int_equal(sw_send(pair->far, message, send_fds, 2), 0);
	assert_int_equal(read_whole(pair, &got), 1);
	assert_int_equal(sw_reader_take_fds(&pair->reader, fds), 2);
	for (int i = 0; i < 2; i++) {
		struct stat sent, received;

		assert_int_equal(fstat(send_fds[i], &sent), 0);
		assert_int_equal(fstat(fds[i], &received), 0);
		assert_int_equal(sent.st_ino, received.st_ino);
		assert_true(fcntl(fds[i], F_GETFD) & FD_CLOEXEC);
		close(fds[i]);
		close(send_fds[i]);
	}
	assert_int_equal(sw_reader_take_fds(&pair->reader, fds), 0);
	assert_int_equal(fds[0], -1);
	json_decref(got);
	json_decref(message);
}

static void test_descriptors_with_a_frame_larger_than_a_buffer(void **state)
{
	static char long_text[LIMIT - 64];
	struct pair *pair = *state;
	int null = open("/dev/null", O_RDONLY | O_CLOEXEC), fds[SW_FRAME_FDS];
	json_t *got = NULL, *message;

	memset(long_text, 'a', sizeof(long_text) - 1);
	message = json_pack("{s:s}", "text", long_text);
	assert_int_equal(sw_send(pair->far, message, &null, 1), 0);
	assert_int_equal(read_whole(pair, &got), 1);
	assert_true(json_equal(got, message));
	assert_int_equal(sw_reader_take_fds(&pair->reader, fds), 1);
	close(fds[0]);
	close(null);
	json_decref(got);
	json_decref(message);
}

/* Sends raw bytes with `n_fds` descriptors of /dev/null. */
static void send_raw(int fd, const void *bytes, size_t n, size_t n_fds)
{
	union {
		struct cmsghdr align;
		char bytes[CMSG_SPACE(sizeof(int) * 8)];
	} control = {0};
	struct iovec part = {.iov_base = (void *)bytes, .iov_len = n};
	struct msghdr header = {.msg_iov = &part,
				.msg_iovlen = 1,
				.msg_control = &control,
				.msg_controllen = CMSG_SPACE(sizeof(int) * n_fds)};
	struct cmsghdr *c = CMSG_FIRSTHDR(&header);
	int null = open("/dev/null", O_RDONLY | O_CLOEXEC);

	c->cmsg_level = SOL_SOCKET;
	c->cmsg_type = SCM_RIGHTS;
	c->cmsg_len = CMSG_LEN(sizeof(int) * n_fds);
	for (size_t i = 0; i < n_fds; i++)
		memcpy(CMSG_DATA(c) + i * sizeof(int), &null, sizeof(int));
	assert_int_equal(sendmsg(fd, &header, 0), n);
	close(null);
}

/* teardown() counts: in none of these may a descriptor stay open. */
static void test_descriptors_with_garbage(void **state)
{
	struct pair *pair = *state;
	json_t *got = NULL;

	send_raw(pair->far, "\0\0\0\4abcd", 8, 2);
	assert_int_equal(read_whole(pair, &got), -EBADMSG);
	assert_int_equal(pair->reader.n_fds, 0);
	send_raw(pair->far, "\xff\xff\xff\xff", 4, 1);
	assert_int_equal(read_whole(pair, &got), -EMSGSIZE);
	assert_int_equal(pair->reader.n_fds, 0);
}

static void test_more_descriptors_than_a_frame_has(void **state)
{
	struct pair *pair = *state;
	json_t *got = NULL;

	send_raw(pair->far, "\0\0\0\2{}", 6, 5);
	assert_int_equal(read_whole(pair, &got), -EBADMSG);
}

static void test_descriptors_behind_the_first_byte(void **state)
{
	struct pair *pair = *state;
	json_t *got = NULL;

	assert_int_equal(send(pair->far, "\0\0", 2, 0), 2);
	/* The kernel joins what lies unread, so only what comes later can be told apart. */
	assert_int_equal(sw_reader_read(&pair->reader, pair->near, &got), 0);
	send_raw(pair->far, "\0\2{}", 4, 1);
	assert_int_equal(read_whole(pair, &got), -EBADMSG);
}

static void test_descriptors_nobody_takes(void **state)
{
	struct pair *pair = *state;
	json_t *got = NULL;
	int fds[SW_FRAME_FDS];

	send_raw(pair->far, "\0\0\0\2{}", 6, 2);
	assert_int_equal(read_whole(pair, &got), 1);
	json_decref(got);
	assert_int_equal(send(pair->far, "\0\0\0\2{}", 6, 0), 6);
	assert_int_equal(read_whole(pair, &got), 1);
	json_decref(got);
	assert_int_equal(sw_reader_take_fds(&pair->reader, fds), 0);
}

static void test_frame(void **state)
{
	json_t *message = json_pack("{s:i}", "n", 1), *huge;
	size_t n = 0;
	char *frame = sw_frame(message, &n), *text;

	(void)state;
	assert_int_equal(n, 4 + 7);
	assert_memory_equal(frame, "\0\0\0\7{\"n\":1}", n);
	free(frame);
	json_decref(message);

	text = calloc(1, SW_FRAME_MAX + 1);
	assert_non_null(text);
	memset(text, 'a', SW_FRAME_MAX);
	huge = json_pack("{s:s}", "n", text);
	assert_null(sw_frame(huge, &n));
	json_decref(huge);
	free(text);
}

static void test_time_format(void **state)
{
	static const struct {
		uint64_t ns;
		const char *text;
	} times[] = {
		{0, "1970-01-01T00:00:00.000000Z"},
		{1767323045678901234ull, "2026-01-02T03:04:05.678901Z"},
		{1709164800000000000ull, "2024-02-29T00:00:00.000000Z"},
		{UINT64_MAX, "2554-07-21T23:34:33.709551Z"},
	};

	(void)state;
	for (size_t i = 0; i < sw_count(times); i++) {
		char text[SW_TIME_SIZE];
		uint64_t back;

		sw_time_format(times[i].ns, text);
		assert_string_equal(text, times[i].text);
		assert_int_equal(sw_time_parse(text, &back), 0);
		assert_true(back == times[i].ns / 1000 * 1000);
	}
}

static void test_time_parse(void **state)
{
	static const struct {
		const char *text;
		uint64_t ns;
	} good[] = {
		{"2026-01-02T03:04:05Z", 1767323045000000000ull},
		{"2026-01-02t03:04:05z", 1767323045000000000ull},
		{"2026-01-02 03:04:05Z", 1767323045000000000ull},
		{"2026-01-02T03:04:05.5Z", 1767323045500000000ull},
		{"2026-01-02T03:04:05.1234567899Z", 1767323045123456789ull},
		{"2026-01-02T04:34:05+01:30", 1767323045000000000ull},
		{"2026-01-01T22:04:05-05:00", 1767323045000000000ull},
		{"2016-12-31T23:59:60Z", 1483228800000000000ull},
	};
	static const char *const bad[] = {
		"",
		"now",
		"2026-01-02",
		"2026-01-02T03:04:05",
		"2026-01-02T03:04Z",
		"2026-01-02T03:04:05.Z",
		"2026-01-02T03:04:05Zx",
		"2026-13-02T03:04:05Z",
		"2026-02-30T03:04:05Z",
		"2025-02-29T03:04:05Z",
		"2026-01-02T24:04:05Z",
		"2026-01-02T03:60:05Z",
		"2026-01-02T03:04:61Z",
		"2026-01-02T03:04:05+24:00",
		"2026-01-02T03:04:05+0130",
		"+026-01-02T03:04:05Z",
		"1969-12-31T23:59:59Z",
		"2554-07-22T00:00:00Z",
		"1970-01-01T00:00:00+00:01",
	};
	uint64_t ns;

	(void)state;
	for (size_t i = 0; i < sw_count(good); i++) {
		assert_int_equal(sw_time_parse(good[i].text, &ns), 0);
		assert_true(ns == good[i].ns);
	}
	for (size_t i = 0; i < sw_count(bad); i++) {
		ns = 7;
		assert_int_equal(sw_time_parse(bad[i], &ns), -EINVAL);
		assert_true(ns == 7);
	}
}

static void test_addresses(void **state)
{
	static const char *const same[] = {
		"203.0.113.5", "0.0.0.0",     "255.255.255.255", "::",
		"::1",         "2001:db8::1", "fe80::1:0:0:1",
	};
	static const char *const bad[] = {
		"",         "1.2.3", "1.2.3.4.5",  "01.2.3.4", "256.0.0.1",
		"1.2.3.4 ", "::g",   "fe80::1%lo", "[::1]",    "2001:db8::/32",
	};
	uint8_t addr[16], before[16];
	char text[SW_ADDR_SIZE];

	(void)state;
	for (size_t i = 0; i < sw_count(same); i++) {
		assert_int_equal(sw_addr_parse(same[i], addr), 0);
		sw_addr_format(addr, text);
		assert_string_equal(text, same[i]);
	}
	memset(addr, 0x5a, sizeof(addr));
	memcpy(before, addr, sizeof(addr));
	for (size_t i = 0; i < sw_count(bad); i++) {
		assert_int_equal(sw_addr_parse(bad[i], addr), -EINVAL);
		assert_memory_equal(addr, before, sizeof(addr));
	}
	assert_int_equal(sw_addr_parse("::ffff:10.0.0.1", addr), 0);
	sw_addr_format(addr, text);
	assert_string_equal(text, "10.0.0.1");
	assert_int_equal(sw_addr_parse("2001:0DB8:0:0:0:0:0:1", addr), 0);
	sw_addr_format(addr, text);
	assert_string_equal(text, "2001:db8::1");
}

#define TEST(function) cmocka_unit_test_setup_teardown(function, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_round_trip),
		TEST(test_one_byte_at_a_time),
		TEST(test_two_frames_in_one_write),
		TEST(test_not_frames),
		TEST(test_lengths),
		TEST(test_limit_is_never_over_the_largest_frame),
		TEST(test_deep_nesting),
		TEST(test_peer_closes),
		TEST(test_send_to_nobody),
		TEST(test_descriptors),
		TEST(test_descriptors_with_a_frame_larger_than_a_buffer),
		TEST(test_descriptors_with_garbage),
		TEST(test_more_descriptors_than_a_frame_has),
		TEST(test_descriptors_behind_the_first_byte),
		TEST(test_descriptors_nobody_takes),
		cmocka_unit_test(test_frame),
		cmocka_unit_test(test_time_format),
		cmocka_unit_test(test_time_parse),
		cmocka_unit_test(test_addresses),
	};

	return cmocka_run_group_tests_name("proto", tests, NULL, NULL);
}
