/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The control socket: requests and answers, streams of events, and peers that do harm. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

#include <arpa/inet.h>
#include <fcntl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>

#include "daemon/base.h"
#include "daemon/control.h"
#include "daemon/proto.h"

#define TURNS_MAX 20000 /* turns of the loop before something is taken for never happening */

static const struct sw_control_limits limits = {
	.connections = 8,
	.reserved_root = 2,
	.per_user = 4,
	.request_bytes = 1024,
	.half_usec = 1500000,
	.idle_usec = 3000000,
};

#define TRAIL (256 << 10) /* bytes */

struct world {
	char folder[32], path[64];
	sd_event *loop;
	struct sw_trail *trail;
	struct sw_control *control;
	struct sw_peer peer; /* of the last request */
	size_t n_fds;
};

/* Echoes "say"; {"stream": true} asks for the events; "big" is an answer of that many bytes. */
static json_t *handle(void *data, const struct sw_peer *peer, const json_t *request, const int *fds,
		      size_t n_fds, struct sw_stream *stream)
{
	struct world *world = data;
	const json_t *say = json_object_get(request, "say"), *big = json_object_get(request, "big");

	world->peer = *peer;
	world->n_fds = n_fds;
	for (size_t i = 0; i < n_fds; i++)
		assert_true(fcntl(fds[i], F_GETFD) >= 0);
	if (json_is_true(json_object_get(request, "stream"))) {
		stream->wanted = true;
		stream->search = sw_search_all;
		stream->follow = json_is_true(json_object_get(request, "follow"));
		sw_trail_bounds(world->trail, &stream->next, &stream->end);
		return json_null();
	}
	if (big) {
		sw_autofree char *text = calloc(1, (size_t)json_integer_value(big) + 1);

		memset(text, 'x', (size_t)json_integer_value(big));
		return json_pack("{s:i, s:s}", "status", 0, "big", text);
	}
	return json_pack("{s:i, s:O?}", "status", 0, "say", say);
}

static int setup(void **state)
{
	struct world *world = calloc(1, sizeof(*world));
	struct sw_fault fault;

	assert_non_null(world);
	snprintf(world->folder, sizeof(world->folder), "/tmp/sw-control-XXXXXX");
	assert_non_null(mkdtemp(world->folder));
	snprintf(world->path, sizeof(world->path), "%s/control", world->folder);
	world->trail = sw_trail_new(TRAIL, 0);
	assert_int_equal(sd_event_new(&world->loop), 0);
	if (sw_control_open(world->loop, world->path, (gid_t)-1, &limits, world->trail, handle,
			    world, &world->control, &fault) < 0)
		fail_msg("%s", fault.text);
	*state = world;
	return 0;
}

static int teardown(void **state)
{
	struct world *world = *state;

	sw_control_close(world->control);
	assert_int_equal(access(world->path, F_OK), -1);
	sd_event_unref(world->loop);
	sw_trail_free(world->trail);
	rmdir(world->folder);
	free(world);
	return 0;
}

/* One turn; waits for at most 10 ms, which only says how finely the tests wait. */
static void turn(struct world *world)
{
	assert_true(sd_event_run(world->loop, 10000) >= 0);
}

static void turn_all(struct world *world)
{
	while (sd_event_run(world->loop, 0) > 0)
		;
}

static int dial(struct world *world)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);

	assert_true(fd >= 0);
	memcpy(address.sun_path, world->path, sizeof(world->path));
	assert_int_equal(connect(fd, (struct sockaddr *)&address, sizeof(address)), 0);
	turn_all(world);
	return fd;
}

static void tell(int fd, const char *json)
{
	json_auto_t *message = json_loads(json, 0, NULL);

	assert_non_null(message);
	assert_int_equal(sw_send(fd, message, NULL, 0), 0);
}

/* The next message; NULL: the connection was closed. */
static json_t *hear(struct world *world, int fd)
{
	struct sw_reader reader;
	json_t *message = NULL;

	sw_reader_init(&reader, SW_FRAME_MAX);
	for (int i = 0; i < TURNS_MAX; i++) {
		int r = sw_reader_read(&reader, fd, &message);

		if (r == 1)
			return message;
		if (r == -EAGAIN)
			turn(world);
		else if (r < 0)
			return NULL;
	}
	fail_msg("no answer came");
	return NULL;
}

static json_int_t hear_status(struct world *world, int fd)
{
	json_auto_t *answer = hear(world, fd);

	assert_non_null(answer);
	return json_integer_value(json_object_get(answer, "status"));
}

static void add_event(struct world *world, int number)
{
	struct sw_record record;

	sw_record_init(&record);
	record.pid = (uint32_t)number;
	record.time_ns = (uint64_t)number;
	assert_int_equal(sw_trail_add(world->trail, &record), number);
	sw_control_wake(world->control);
}

static void test_request(void **state)
{
	struct world *world = *state;
	sw_autoclose int fd = dial(world);

	for (int i = 0; i < 3; i++) {
		json_auto_t *answer = NULL;

		tell(fd, "{\"say\": \"hello\"}");
		answer = hear(world, fd);
		assert_string_equal(json_string_value(json_object_get(answer, "say")), "hello");
	}
	assert_int_equal(world->peer.uid, getuid());
	assert_int_equal(world->peer.pid, getpid());
	assert_int_equal(world->peer.root, getuid() == 0);
	assert_int_equal(world->peer.reader, getuid() == 0);
}

static void test_socket_mode(void **state)
{
	struct world *world = *state;
	struct stat st;

	assert_int_equal(stat(world->path, &st), 0);
	assert_int_equal(st.st_mode & 07777, 0600);
}

/* Both frames arrive in one piece; each is answered. */
static void test_two_at_once(void **state)
{
	struct world *world = *state;
	sw_autoclose int fd = dial(world);

	tell(fd, "{\"say\": 1}");
	tell(fd, "{\"say\": 2}");
	for (int i = 1; i <= 2; i++) {
		json_auto_t *answer = hear(world, fd);

		assert_int_equal(json_integer_value(json_object_get(answer, "say")), i);
	}
}

static void test_descriptors(void **state)
{
	struct world *world = *state;
	sw_autoclose int fd = dial(world), null = open("/dev/null", O_RDONLY | O_CLOEXEC);
	const int fds[] = {null, null};
	json_auto_t *message = json_pack("{s:i}", "say", 1);

	assert_int_equal(sw_send(fd, message, fds, 2), 0);
	assert_int_equal(hear_status(world, fd), 0);
	assert_int_equal(world->n_fds, 2);
	/* The next request does not inherit them. */
	tell(fd, "{\"say\": 2}");
	assert_int_equal(hear_status(world, fd), 0);
	assert_int_equal(world->n_fds, 0);
}

/* Garbage gets an answer and the end; others are served on. */
static void test_garbage(void **state)
{
	static const struct {
		const char *bytes;
		size_t n;
	} cases[] = {
		{"\0\0\0\0", 4},
		{"\xff\xff\xff\xff", 4},
		{"\0\0\4\1", 4},
		{"\0\0\0\3abc", 7},
		{"\0\0\0\2[]", 6},
		{"\0\0\0\4null", 8},
		{"GET / HTTP/1.0\r\n", 16},
	};
	struct world *world = *state;
	sw_autoclose int good = dial(world);

	for (size_t i = 0; i < sw_count(cases); i++) {
		sw_autoclose int fd = dial(world);
		json_t *end;

		assert_int_equal(send(fd, cases[i].bytes, cases[i].n, MSG_NOSIGNAL), cases[i].n);
		assert_int_equal(hear_status(world, fd), SW_STATUS_BAD);
		end = hear(world, fd);
		assert_null(end);
		tell(good, "{}");
		assert_int_equal(hear_status(world, good), 0);
	}
	assert_int_equal(sw_control_connections(world->control), 1);
}

/* A peer that leaves in the middle of anything is forgotten. */
static void test_leaving(void **state)
{
	struct world *world = *state;
	int fds[3];

	for (size_t i = 0; i < sw_count(fds); i++)
		fds[i] = dial(world);
	assert_int_equal(send(fds[1], "\0\0", 2, MSG_NOSIGNAL), 2);
	tell(fds[2], "{\"big\": 3000000}");
	for (int i = 0; i < 10; i++)
		turn(world);
	assert_int_equal(sw_control_connections(world->control), 3);
	for (size_t i = 0; i < sw_count(fds); i++)
		close(fds[i]);
	for (int i = 0; i < TURNS_MAX && sw_control_connections(world->control); i++)
		turn(world);
	assert_int_equal(sw_control_connections(world->control), 0);
}

/* An answer larger than the socket holds arrives whole. */
static void test_large_answer(void **state)
{
	struct world *world = *state;
	sw_autoclose int fd = dial(world);
	json_auto_t *answer = NULL;

	tell(fd, "{\"big\": 3000000}");
	answer = hear(world, fd);
	assert_non_null(answer);
	assert_int_equal(json_string_length(json_object_get(answer, "big")), 3000000);
	tell(fd, "{}");
	assert_int_equal(hear_status(world, fd), 0);
}

/* Idle peers make room, the one that has been idle longest first. */
static void test_too_many(void **state)
{
	struct world *world = *state;
	int fds[20];

	if (getuid() != 0)
		skip();
	for (size_t i = 0; i < sw_count(fds); i++)
		fds[i] = dial(world);
	assert_int_equal(sw_control_connections(world->control), limits.connections);
	tell(fds[sw_count(fds) - 1], "{}");
	assert_int_equal(hear_status(world, fds[sw_count(fds) - 1]), 0);
	assert_null(hear(world, fds[0]));
	for (size_t i = 0; i < sw_count(fds); i++)
		close(fds[i]);
}

/* Peers of one user other than root: a few, and never all places. */
static void test_quota(void **state)
{
	struct world *world = *state;
	sw_autoclose int root = -1;
	int fds[6];

	if (getuid() != 0)
		skip();
	assert_int_equal(chmod(world->folder, 0711), 0);
	assert_int_equal(chmod(world->path, 0666), 0);
	assert_int_equal(seteuid(65534), 0);
	for (size_t i = 0; i < sw_count(fds); i++)
		fds[i] = dial(world);
	assert_int_equal(seteuid(0), 0);
	assert_int_equal(sw_control_connections(world->control), limits.per_user);
	assert_null(hear(world, fds[limits.per_user]));
	tell(fds[0], "{}");
	assert_int_equal(hear_status(world, fds[0]), 0);
	assert_int_equal(world->peer.uid, 65534);
	assert_false(world->peer.root || world->peer.reader);
	root = dial(world);
	tell(root, "{}");
	assert_int_equal(hear_status(world, root), 0);
	for (size_t i = 0; i < sw_count(fds); i++)
		close(fds[i]);
}

/* No descriptor left to accept with: the daemon waits, and serves when there is one again. */
static void test_no_descriptors(void **state)
{
	struct world *world = *state;
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	sw_autoclose int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	sw_autoclose int next = dup(fd);
	struct rlimit old, low;
	int turns = 0;

	memcpy(address.sun_path, world->path, sizeof(world->path));
	assert_int_equal(getrlimit(RLIMIT_NOFILE, &old), 0);
	low = (struct rlimit){.rlim_cur = (rlim_t)next + 1, .rlim_max = old.rlim_max};
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &low), 0);
	assert_int_equal(connect(fd, (struct sockaddr *)&address, sizeof(address)), 0);
	while (sd_event_run(world->loop, 0) > 0 && turns < 100)
		turns++;
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &old), 0);
	assert_true(turns < 100);
	assert_int_equal(sw_control_connections(world->control), 0);
	tell(fd, "{}");
	assert_int_equal(hear_status(world, fd), 0);
}

/* A frame begun and an idle connection end; one that was served in time does not yet. */
static void test_timeouts(void **state)
{
	struct world *world = *state;
	sw_autoclose int half = dial(world), idle = dial(world), follower = dial(world);

	tell(follower, "{\"stream\": true, \"follow\": true}");
	assert_int_equal(send(half, "\0\0\0", 3, MSG_NOSIGNAL), 3);
	assert_null(hear(world, half));
	assert_int_equal(sw_control_connections(world->control), 2);
	assert_null(hear(world, idle));
	assert_int_equal(sw_control_connections(world->control), 1);
	add_event(world, 1);
	assert_int_equal(hear_status(world, follower), 0);
}

static json_int_t number_of(const json_t *message)
{
	return json_integer_value(json_object_get(json_object_get(message, "event"), "id"));
}

static void expect_event(struct world *world, int fd, int number)
{
	json_auto_t *event = hear(world, fd);

	assert_non_null(event);
	assert_int_equal(number_of(event), number);
}

static void test_stream(void **state)
{
	struct world *world = *state;
	sw_autoclose int fd = dial(world);
	json_auto_t *end = NULL;

	for (int i = 1; i <= 100; i++)
		add_event(world, i);
	tell(fd, "{\"stream\": true}");
	for (int i = 1; i <= 100; i++)
		expect_event(world, fd, i);
	end = hear(world, fd);
	assert_true(json_is_true(json_object_get(end, "end")));
	/* The connection is good for more. */
	tell(fd, "{}");
	assert_int_equal(hear_status(world, fd), 0);
}

static void test_follow(void **state)
{
	struct world *world = *state;
	sw_autoclose int fd = dial(world);

	add_event(world, 1);
	tell(fd, "{\"stream\": true, \"follow\": true}");
	expect_event(world, fd, 1);
	for (int i = 2; i < 50; i++) {
		add_event(world, i);
		expect_event(world, fd, i);
	}
}

/* Who does not read is told how many it lost; events and losses add up. */
static void test_slow_reader(void **state)
{
	struct world *world = *state;
	sw_autoclose int fd = dial(world);
	const int total = 4 * TRAIL / 200;
	int seen = 0, last = 0;
	json_int_t lost = 0;

	tell(fd, "{\"stream\": true, \"follow\": true}");
	turn_all(world);
	for (int i = 1; i <= total; i++)
		add_event(world, i);
	while (last < total) {
		json_auto_t *message = hear(world, fd);
		json_int_t number = number_of(message);

		assert_non_null(message);
		lost += json_integer_value(json_object_get(message, "lost"));
		if (number) {
			assert_int_equal(number, last + 1 + lost - (last - seen));
			last = (int)number;
			seen++;
		}
	}
	assert_true(lost > 0);
	assert_int_equal(seen + lost, total);
}

static void test_flush(void **state)
{
	struct world *world = *state;
	sw_autoclose int fd = dial(world);
	json_auto_t *answer = NULL;

	tell(fd, "{\"say\": \"bye\"}");
	turn_all(world);
	sw_control_flush(world->control, 1000000);
	answer = hear(world, fd);
	assert_string_equal(json_string_value(json_object_get(answer, "say")), "bye");
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_request),        TEST(test_socket_mode), TEST(test_two_at_once),
		TEST(test_descriptors),    TEST(test_garbage),     TEST(test_leaving),
		TEST(test_large_answer),   TEST(test_too_many),    TEST(test_quota),
		TEST(test_no_descriptors), TEST(test_timeouts),    TEST(test_stream),
		TEST(test_follow),         TEST(test_slow_reader), TEST(test_flush),
	};

	return cmocka_run_group_tests_name("control", tests, NULL, NULL);
}
