/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <errno.h>
#include <poll.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <time.h>

#include "daemon/control.h"
#include "daemon/proto.h"
#include "daemon/record_json.h"

const struct sw_control_limits sw_control_limits = {
	.connections = 128,
	.reserved_root = 32,
	.per_user = 16,
	.request_bytes = 64 << 10,
	.half_usec = 10 * 1000000ull,
	.idle_usec = 30 * 1000000ull,
};

#define TICK_USEC 1000000ull
#define STREAM_CHUNK (64u << 10) /* bytes of events put together for one send */
#define STEPS_AT_ONCE 16         /* reads or accepts before others have their turn */

struct conn {
	struct conn *next;
	struct sw_control *control;
	int fd;
	sd_event_source *io;
	struct sw_peer peer;
	struct sw_reader reader;
	uint64_t active_usec; /* accepted, asked a whole request or took bytes of an answer */
	uint64_t began_usec;  /* first byte of the frame that is being read; 0: none */
	char *out;
	size_t out_at, out_length, out_room;
	bool close_after; /* when everything is sent */
	struct sw_stream stream;
};

struct sw_control {
	sd_event *loop;
	int fd;
	sd_event_source *listen, *tick;
	char *path;
	gid_t group;
	const struct sw_control_limits *limits;
	struct sw_trail *trail;
	sw_control_handler *handler;
	void *data;
	struct conn *conns;
	unsigned int n_conns;
};

static uint64_t now_usec(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (uint64_t)now.tv_sec * 1000000u + (uint64_t)now.tv_nsec / 1000u;
}

static void conn_free(struct conn *conn)
{
	struct conn **at = &conn->control->conns;

	while (*at != conn)
		at = &(*at)->next;
	*at = conn->next;
	conn->control->n_conns--;
	sd_event_source_disable_unref(conn->io);
	sw_reader_reset(&conn->reader);
	close(conn->fd);
	json_decref(conn->stream.asked);
	free(conn->out);
	free(conn);
}

/* ---- sending ---- */

static int append(struct conn *conn, const char *bytes, size_t length)
{
	if (conn->out_length + length > conn->out_room) {
		size_t room = conn->out_length + length;
		char *out = realloc(conn->out, room);

		if (!out)
			return -ENOMEM;
		conn->out = out;
		conn->out_room = room;
	}
	memcpy(conn->out + conn->out_length, bytes, length);
	conn->out_length += length;
	return 0;
}

/* Frees `message`. */
static int append_message(struct conn *conn, json_t *message)
{
	size_t length;
	sw_autofree char *frame = message ? sw_frame(message, &length) : NULL;

	json_decref(message);
	return frame ? append(conn, frame, length) : -ENOMEM;
}

static int append_record(struct conn *conn, const struct sw_record *record)
{
	json_t *event = sw_record_json(record);

	return append_message(conn,
			      json_pack("{s:i, s:o}", "status", SW_STATUS_OK, "event", event));
}

/* Events of the trail that are before `end`. -errno; 0; 1: there may be more. */
static int append_records(struct conn *conn, uint64_t end)
{
	struct sw_stream *stream = &conn->stream;
	char packed[2 * SW_PACKED_MAX];
	struct sw_record record;
	uint64_t lost;
	size_t size =
		sw_trail_read(conn->control->trail, &stream->next, packed, sizeof(packed), &lost);
	int error = 0;

	if (lost)
		error = append_message(conn, json_pack("{s:i, s:I}", "status", SW_STATUS_OK, "lost",
						       (json_int_t)lost));
	for (size_t at = 0, n; !error && at < size; at += n) {
		n = sw_record_unpack(packed + at, size - at, &record);
		if (!n || record.id >= end)
			break;
		if (sw_search_fits(&stream->search, &record))
			error = append_record(conn, &record);
	}
	return error ? error : size != 0;
}

/* The next events into the empty buffer. */
static int fill_stream(struct conn *conn)
{
	struct sw_stream *stream = &conn->stream;
	uint64_t end = stream->follow ? UINT64_MAX : stream->end;
	int more = 1;

	while (more > 0 && stream->next < end && conn->out_length < STREAM_CHUNK)
		more = append_records(conn, end);
	if (more >= 0 && !stream->follow && stream->next >= end) {
		stream->wanted = false;
		more = append_message(conn,
				      json_pack("{s:i, s:b}", "status", SW_STATUS_OK, "end", 1));
	}
	return more < 0 ? more : 0;
}

static void drop_buffer(struct conn *conn)
{
	/* A large answer does not stay in memory with a peer that keeps the connection. */
	if (conn->out_room > 2 * STREAM_CHUNK) {
		free(conn->out);
		conn->out = NULL;
		conn->out_room = 0;
	}
	conn->out_at = conn->out_length = 0;
}

/* Sends until nothing is left or the socket takes no more. -errno: the connection is of no use. */
static int pump(struct conn *conn)
{
	for (;;) {
		ssize_t n;

		if (conn->out_at == conn->out_length) {
			int error = 0;

			drop_buffer(conn);
			if (conn->stream.wanted)
				error = fill_stream(conn);
			if (error)
				return error;
			if (!conn->out_length)
				return conn->close_after ? -ECONNRESET : 0;
		}
		n = send(conn->fd, conn->out + conn->out_at, conn->out_length - conn->out_at,
			 MSG_NOSIGNAL | MSG_DONTWAIT);
		if (n < 0)
			return errno == EAGAIN || errno == EINTR ? 0 : -errno;
		conn->out_at += (size_t)n;
		conn->active_usec = now_usec();
	}
}

/* While an answer is on its way nothing more is read: that bounds what a peer can make us hold. */
static bool busy(const struct conn *conn)
{
	return conn->out_at < conn->out_length || conn->stream.wanted || conn->close_after;
}

static void send_and_watch(struct conn *conn)
{
	uint32_t events = 0; /* a peer that closes is told of all the same */

	if (pump(conn) < 0) {
		conn_free(conn);
		return;
	}
	if (conn->out_at < conn->out_length)
		events |= EPOLLOUT;
	else if (!busy(conn))
		events |= EPOLLIN;
	sd_event_source_set_io_events(conn->io, events);
}

/* ---- receiving ---- */

static void close_fds(int (*fds)[SW_FRAME_FDS])
{
	for (size_t i = 0; i < SW_FRAME_FDS; i++)
		sw_close_cleanup(&(*fds)[i]);
}

static int answer(struct conn *conn, json_t *request)
{
	sw_cleanup(close_fds) int fds[SW_FRAME_FDS];
	const struct sw_control *control = conn->control;
	size_t n_fds = sw_reader_take_fds(&conn->reader, fds);
	json_t *reply =
		control->handler(control->data, &conn->peer, request, fds, n_fds, &conn->stream);

	json_decref(request);
	conn->active_usec = now_usec();
	if (conn->stream.wanted && json_is_null(reply)) {
		json_decref(reply);
		return 0;
	}
	return append_message(conn, reply);
}

static int refuse_garbage(struct conn *conn, int error)
{
	conn->close_after = true;
	return append_message(conn, json_pack("{s:i, s:s}", "status", SW_STATUS_BAD, "error",
					      error == -EMSGSIZE ? "the request is too long"
								 : "this is not a request"));
}

/* One step of reading. 1: go on, 0: nothing there now, -errno: the connection is of no use. */
static int read_step(struct conn *conn)
{
	json_t *request = NULL;
	int r = sw_reader_read(&conn->reader, conn->fd, &request);

	if (r == -EAGAIN)
		return 0;
	if (r == -EMSGSIZE || r == -EBADMSG)
		return refuse_garbage(conn, r);
	if (r < 0)
		return r;
	if (r == 0) {
		if (!conn->began_usec)
			conn->began_usec = now_usec();
		return 1;
	}
	conn->began_usec = 0;
	return answer(conn, request);
}

static int on_io(sd_event_source *source, int fd, uint32_t events, void *data)
{
	struct conn *conn = data;
	int r = 1;

	(void)source;
	(void)fd;
	if (events & EPOLLERR || (events & EPOLLHUP && busy(conn))) {
		conn_free(conn);
		return 0;
	}
	for (int i = 0; i < STEPS_AT_ONCE && r > 0 && !busy(conn); i++)
		r = read_step(conn);
	if (r < 0)
		conn_free(conn);
	else
		send_and_watch(conn);
	return 0;
}

/* ---- who may connect ---- */

static bool in_groups(int fd, gid_t group)
{
	sw_autofree gid_t *groups = NULL;
	socklen_t size = 0;

	if (getsockopt(fd, SOL_SOCKET, SO_PEERGROUPS, NULL, &size) == 0 || errno != ERANGE)
		return false;
	groups = malloc(size);
	if (!groups || getsockopt(fd, SOL_SOCKET, SO_PEERGROUPS, groups, &size) < 0)
		return false;
	for (size_t i = 0; i < size / sizeof(*groups); i++)
		if (groups[i] == group)
			return true;
	return false;
}

static int know_peer(const struct sw_control *control, int fd, struct sw_peer *peer)
{
	struct ucred cred;
	socklen_t size = sizeof(cred);

	if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &cred, &size) < 0)
		return -errno;
	*peer = (struct sw_peer){.uid = cred.uid, .pid = cred.pid, .root = cred.uid == 0};
	peer->reader =
		peer->root || (control->group != (gid_t)-1 &&
			       (cred.gid == control->group || in_groups(fd, control->group)));
	return 0;
}

static unsigned int count(const struct sw_control *control, bool all_but_root, uid_t uid)
{
	unsigned int n = 0;

	for (const struct conn *conn = control->conns; conn; conn = conn->next)
		n += all_but_root ? !conn->peer.root : conn->peer.uid == uid;
	return n;
}

/* Root finds a place as long as some peer only sits there: the one that has done so for longest,
   others' before root's own. */
static struct conn *find_idlest(const struct sw_control *control)
{
	struct conn *found = NULL;

	for (struct conn *conn = control->conns; conn; conn = conn->next) {
		if (busy(conn))
			continue;
		if (!found || (found->peer.root && !conn->peer.root) ||
		    (found->peer.root == conn->peer.root && conn->active_usec < found->active_usec))
			found = conn;
	}
	return found;
}

static bool find_place(struct sw_control *control, const struct sw_peer *peer)
{
	const struct sw_control_limits *limits = control->limits;

	if (!peer->root)
		return control->n_conns < limits->connections &&
		       count(control, true, 0) < limits->connections - limits->reserved_root &&
		       count(control, false, peer->uid) < limits->per_user;
	if (control->n_conns >= limits->connections) {
		struct conn *idlest = find_idlest(control);

		if (!idlest)
			return false;
		conn_free(idlest);
	}
	return true;
}

static void add_conn(struct sw_control *control, int client)
{
	sw_autoclose int fd = client;
	sw_autofree struct conn *conn = calloc(1, sizeof(*conn));
	struct conn *kept;

	if (!conn || know_peer(control, fd, &conn->peer) < 0 || !find_place(control, &conn->peer))
		return;
	conn->control = control;
	conn->active_usec = now_usec();
	sw_reader_init(&conn->reader, control->limits->request_bytes);
	if (sd_event_add_io(control->loop, &conn->io, fd, EPOLLIN, on_io, conn) < 0)
		return;
	conn->fd = sw_take_fd(fd);
	kept = sw_take(conn);
	kept->next = control->conns;
	control->conns = kept;
	control->n_conns++;
}

static int on_listen(sd_event_source *source, int fd, uint32_t events, void *data)
{
	struct sw_control *control = data;

	(void)events;
	for (int i = 0; i < STEPS_AT_ONCE; i++) {
		int client = accept4(fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);

		if (client >= 0) {
			add_conn(control, client);
			continue;
		}
		/* No descriptors or memory left: the peer stays in the queue, which would wake us
		   again at once; the tick looks again. */
		if (errno == EMFILE || errno == ENFILE || errno == ENOBUFS || errno == ENOMEM)
			sd_event_source_set_enabled(source, SD_EVENT_OFF);
		break;
	}
	return 0;
}

/* ---- time ---- */

static bool expired(const struct conn *conn, uint64_t now)
{
	const struct sw_control_limits *limits = conn->control->limits;

	if (conn->began_usec && !busy(conn))
		return now - conn->began_usec > limits->half_usec;
	/* Who follows events may be silent, and so slow that it loses some. */
	if (conn->stream.wanted && conn->stream.follow)
		return false;
	return now - conn->active_usec > limits->idle_usec;
}

static int on_tick(sd_event_source *source, uint64_t usec, void *data)
{
	struct sw_control *control = data;
	uint64_t now = now_usec();

	(void)usec;
	for (struct conn *conn = control->conns, *next; conn; conn = next) {
		next = conn->next;
		if (expired(conn, now))
			conn_free(conn);
	}
	sd_event_source_set_enabled(control->listen, SD_EVENT_ON);
	sd_event_source_set_time_relative(source, TICK_USEC);
	return sd_event_source_set_enabled(source, SD_EVENT_ONESHOT);
}

/* ---- from outside ---- */

void sw_control_wake(struct sw_control *control)
{
	for (struct conn *conn = control->conns, *next; conn; conn = next) {
		next = conn->next;
		/* One with something left to send is woken by its socket. */
		if (conn->stream.wanted && conn->out_at == conn->out_length)
			send_and_watch(conn);
	}
}

static bool anything_left(const struct sw_control *control)
{
	for (const struct conn *conn = control->conns; conn; conn = conn->next)
		if (conn->out_at < conn->out_length && !conn->stream.wanted)
			return true;
	return false;
}

void sw_control_flush(struct sw_control *control, uint64_t usec)
{
	uint64_t until = now_usec() + usec;

	while (anything_left(control) && now_usec() < until) {
		struct pollfd fds[1] = {{.fd = -1}};

		for (struct conn *conn = control->conns, *next; conn; conn = next) {
			next = conn->next;
			if (conn->out_at == conn->out_length || conn->stream.wanted)
				continue;
			fds[0] = (struct pollfd){.fd = conn->fd, .events = POLLOUT};
			send_and_watch(conn);
		}
		poll(fds, 1, 10);
	}
}

unsigned int sw_control_connections(const struct sw_control *control)
{
	return control->n_conns;
}

static int make_socket(struct sw_control *control, struct sw_fault *fault)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	sw_autoclose int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	mode_t mask;
	int bound;

	if (strlen(control->path) >= sizeof(address.sun_path))
		return sw_fault(fault, SW_EXIT_USAGE,
				"%s is too long for a socket (%zu characters at most)",
				control->path, sizeof(address.sun_path) - 1);
	memcpy(address.sun_path, control->path, strlen(control->path) + 1);
	if (fd < 0)
		return sw_fault(fault, SW_EXIT_KERNEL, "cannot make a socket: %s", strerror(errno));
	unlink(control->path);
	/* Nobody else may connect between bind and chmod. */
	mask = umask(0177);
	bound = bind(fd, (const struct sockaddr *)&address, sizeof(address));
	umask(mask);
	if (bound < 0)
		return sw_fault(fault, SW_EXIT_KERNEL, "cannot make the socket %s: %s",
				control->path, strerror(errno));
	if (control->group != (gid_t)-1 &&
	    (chown(control->path, 0, control->group) < 0 || chmod(control->path, 0660) < 0))
		return sw_fault(fault, SW_EXIT_KERNEL, "cannot give %s to its group: %s",
				control->path, strerror(errno));
	if (listen(fd, SOMAXCONN) < 0)
		return sw_fault(fault, SW_EXIT_KERNEL, "cannot listen on %s: %s", control->path,
				strerror(errno));
	control->fd = sw_take_fd(fd);
	return 0;
}

static void close_cleanup(struct sw_control **control)
{
	sw_control_close(*control);
}

int sw_control_open(sd_event *loop, const char *path, gid_t group,
		    const struct sw_control_limits *limits, struct sw_trail *trail,
		    sw_control_handler *handler, void *data, struct sw_control **control,
		    struct sw_fault *fault)
{
	sw_cleanup(close_cleanup) struct sw_control *new = calloc(1, sizeof(*new));

	if (!new)
		return sw_fault(fault, SW_EXIT_KERNEL, "out of memory");
	*new = (struct sw_control){.loop = loop,
				   .fd = -1,
				   .path = strdup(path),
				   .group = group,
				   .limits = limits,
				   .trail = trail,
				   .handler = handler,
				   .data = data};
	if (!new->path)
		return sw_fault(fault, SW_EXIT_KERNEL, "out of memory");
	if (make_socket(new, fault) < 0)
		return -1;
	if (sd_event_add_io(loop, &new->listen, new->fd, EPOLLIN, on_listen, new) < 0 ||
	    sd_event_add_time_relative(loop, &new->tick, CLOCK_MONOTONIC, TICK_USEC, 0, on_tick,
				       new) < 0)
		return sw_fault(fault, SW_EXIT_KERNEL, "cannot watch the control socket");
	*control = sw_take(new);
	return 0;
}

void sw_control_close(struct sw_control *control)
{
	if (!control)
		return;
	while (control->conns)
		conn_free(control->conns);
	sd_event_source_disable_unref(control->listen);
	sd_event_source_disable_unref(control->tick);
	if (control->fd >= 0) {
		unlink(control->path);
		close(control->fd);
	}
	free(control->path);
	free(control);
}
