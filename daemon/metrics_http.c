/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "daemon/metrics_http.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <stdbool.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <time.h>

#include "daemon/base.h"
#include "daemon/metrics_library.h"

/* So many clients in one turn of the loop, and so many turns in a time. Behind everything that enforces. */
#define ACCEPTS 4
#define TURNS 20
#define TURNS_USEC 100000
#define PRIORITY (SD_EVENT_PRIORITY_NORMAL + 60)

#define CACHE_USEC 250000ull
#define PEER_USEC (SW_METRICS_SECONDS * 1000000ull)
/* Those that were told to go, and are not gone yet, count for the library. */
#define PEERS_MAX (2u * SW_METRICS_PEERS)

struct peer {
	struct peer *next;
	int fd; /* the library's */
	uint64_t since_usec;
	bool answered; /* the answer is being sent */
	bool told;     /* to go */
};

enum page { PAGE_INDEX, PAGE_NOT_FOUND, PAGE_METHOD, PAGE_BROKEN, PAGE_MAX };

struct sw_metrics_http {
	int fd;
	char *path; /* of the socket that we made; NULL: none */
	sd_event *loop;
	struct sw_mhd mhd;
	struct MHD_Daemon *library;
	sd_event_source *listen, *io, *timer;
	sw_metrics_body *body;
	void *data;
	struct peer *peers; /* the newest first */
	unsigned int n_peers;
	struct MHD_Response *pages[PAGE_MAX];
	struct MHD_Response *metrics; /* made at made_usec; NULL: not yet */
	uint64_t made_usec;
};

static uint64_t now_usec(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (uint64_t)now.tv_sec * 1000000u + (uint64_t)now.tv_nsec / 1000u;
}

/* ---- where to listen ---- */

union address {
	struct sockaddr any;
	struct sockaddr_in ipv4;
	struct sockaddr_in6 ipv6;
	struct sockaddr_un local;
};

static int refuse_address(struct sw_fault *fault, const char *text)
{
	return sw_fault(
		fault, SW_EXIT_USAGE,
		"--metrics %s: will not do: it must be 127.0.0.1:PORT, [::1]:PORT or "
		"unix:/PATH, as the numbers are given without encryption to whoever asks. For a "
		"Prometheus on another machine put a reverse proxy with TLS and a password "
		"before it",
		text);
}

/* A port in digits; 0: it is none. */
static uint16_t parse_port(const char *text)
{
	unsigned long port = 0;

	if (!*text || strlen(text) > 5 || strspn(text, "0123456789") != strlen(text))
		return 0;
	port = strtoul(text, NULL, 10);
	return port <= UINT16_MAX ? (uint16_t)port : 0;
}

static bool is_loopback(const union address *address)
{
	if (address->any.sa_family == AF_INET)
		return ntohl(address->ipv4.sin_addr.s_addr) >> 24 == IN_LOOPBACKNET;
	return IN6_IS_ADDR_LOOPBACK(&address->ipv6.sin6_addr);
}

/* "HOST:PORT" or "[HOST]:PORT", in numbers. The length of *to; 0: it is neither, or not of loopback. */
static socklen_t parse_inet(const char *text, union address *to)
{
	char host[INET6_ADDRSTRLEN + 2];
	const char *colon = strrchr(text, ':');
	size_t length = colon ? (size_t)(colon - text) : 0;
	uint16_t port = colon ? parse_port(colon + 1) : 0;

	if (!port || !length || length >= sizeof(host))
		return 0;
	memcpy(host, text, length);
	host[length] = 0;
	if (*host == '[' && host[length - 1] == ']') {
		host[length - 1] = 0;
		to->ipv6.sin6_family = AF_INET6;
		to->ipv6.sin6_port = htons(port);
		if (inet_pton(AF_INET6, host + 1, &to->ipv6.sin6_addr) != 1 || !is_loopback(to))
			return 0;
		return sizeof(to->ipv6);
	}
	to->ipv4.sin_family = AF_INET;
	to->ipv4.sin_port = htons(port);
	if (inet_pton(AF_INET, host, &to->ipv4.sin_addr) != 1 || !is_loopback(to))
		return 0;
	return sizeof(to->ipv4);
}

/* The absolute path of "unix:PATH". NULL: it is another kind of address. */
static const char *parse_unix(const char *text, union address *to)
{
	const char *path = text + strlen("unix:");

	if (strncmp(text, "unix:", strlen("unix:")) != 0 || *path != '/' ||
	    strlen(path) >= sizeof(to->local.sun_path))
		return NULL;
	to->local.sun_family = AF_UNIX;
	memcpy(to->local.sun_path, path, strlen(path) + 1);
	return path;
}

static int bind_inet(int fd, const char *text, const union address *address, socklen_t length,
		     struct sw_fault *fault)
{
	static const int on = 1;

	/* After a restart connections of the old socket may still be there; early at boot loopback may
	   not be up. */
	(void)setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
	(void)setsockopt(fd, IPPROTO_IP, IP_FREEBIND, &on, sizeof(on));
	if (bind(fd, &address->any, length) < 0)
		return sw_fault(fault, SW_EXIT_KERNEL, "--metrics %s: cannot be used: %s", text,
				strerror(errno));
	return 0;
}

/* Removes a socket that nobody listens on, the rest of a daemon that was killed. False: something else is
   there, or somebody listens. */
static bool make_way(const union address *address)
{
	sw_autoclose int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	const char *path = address->local.sun_path;
	struct stat stat;

	if (lstat(path, &stat) < 0)
		return errno == ENOENT;
	if (!S_ISSOCK(stat.st_mode) || fd < 0)
		return false;
	if (connect(fd, &address->any, sizeof(address->local)) == 0 || errno != ECONNREFUSED)
		return false;
	return unlink(path) == 0;
}

static int bind_unix(struct sw_metrics_http *http, const union address *address, gid_t readers,
		     struct sw_fault *fault)
{
	const char *path = address->local.sun_path;
	mode_t mask;
	int bound;

	if (!make_way(address))
		return sw_fault(fault, SW_EXIT_KERNEL,
				"--metrics unix:%s: something else is there, or another process "
				"listens on it",
				path);
	/* Nobody else may connect between bind and chmod. */
	mask = umask(0177);
	bound = bind(http->fd, &address->any, sizeof(address->local));
	umask(mask);
	if (bound < 0)
		return sw_fault(fault, SW_EXIT_KERNEL, "--metrics unix:%s: cannot be made: %s",
				path, strerror(errno));
	http->path = strdup(path);
	if (!http->path)
		return sw_fault(fault, SW_EXIT_KERNEL, "out of memory");
	if (readers != (gid_t)-1 && (chown(path, 0, readers) < 0 || chmod(path, 0660) < 0))
		return sw_fault(fault, SW_EXIT_KERNEL,
				"--metrics unix:%s: cannot be given to its group: %s", path,
				strerror(errno));
	return 0;
}

static int open_socket(struct sw_metrics_http *http, const char *text, gid_t readers,
		       struct sw_fault *fault)
{
	union address address = {};
	const char *path = parse_unix(text, &address);
	socklen_t length = path ? 0 : parse_inet(text, &address);

	if (!path && !length)
		return refuse_address(fault, text);
	http->fd = socket(address.any.sa_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (http->fd < 0)
		return sw_fault(fault, SW_EXIT_KERNEL, "--metrics %s: cannot make a socket: %s",
				text, strerror(errno));
	if (path ? bind_unix(http, &address, readers, fault) < 0
		 : bind_inet(http->fd, text, &address, length, fault) < 0)
		return -1;
	if (listen(http->fd, SOMAXCONN) < 0)
		return sw_fault(fault, SW_EXIT_KERNEL, "--metrics %s: cannot listen: %s", text,
				strerror(errno));
	return 0;
}

/* ---- what is answered ---- */

static bool add_header(struct sw_metrics_http *http, struct MHD_Response *response,
		       const char *name, const char *value)
{
	return response && http->mhd.add_response_header(response, name, value) == MHD_YES;
}

/* Each connection is for one request: so its time can be bounded, whatever it sends. */
static struct MHD_Response *page_new(struct sw_metrics_http *http, char *text, size_t length,
				     enum MHD_ResponseMemoryMode mode, const char *type)
{
	struct MHD_Response *response = http->mhd.create_response_from_buffer(length, text, mode);

	if (!response && mode == MHD_RESPMEM_MUST_FREE)
		free(text);
	if (add_header(http, response, MHD_HTTP_HEADER_CONTENT_TYPE, type) &&
	    add_header(http, response, MHD_HTTP_HEADER_CONNECTION, "close"))
		return response;
	if (response)
		http->mhd.destroy_response(response);
	return NULL;
}

static int pages_new(struct sw_metrics_http *http, struct sw_fault *fault)
{
	static char texts[PAGE_MAX][64] = {
		[PAGE_INDEX] = "smtpwalld: its numbers for Prometheus are at /metrics\n",
		[PAGE_NOT_FOUND] = "There is only /metrics here.\n",
		[PAGE_METHOD] = "Only GET and HEAD are answered here.\n",
		[PAGE_BROKEN] = "There is no memory for the numbers.\n",
	};

	for (int i = 0; i < PAGE_MAX; i++) {
		http->pages[i] = page_new(http, texts[i], strlen(texts[i]), MHD_RESPMEM_PERSISTENT,
					  "text/plain; charset=utf-8");
		if (!http->pages[i])
			return sw_fault(fault, SW_EXIT_KERNEL, "out of memory");
	}
	if (!add_header(http, http->pages[PAGE_METHOD], MHD_HTTP_HEADER_ALLOW, "GET, HEAD"))
		return sw_fault(fault, SW_EXIT_KERNEL, "out of memory");
	return 0;
}

/* A flood of requests asks the kernel no more often than the cache lets it. */
static struct MHD_Response *metrics_page(struct sw_metrics_http *http)
{
	uint64_t now = now_usec();
	struct MHD_Response *page;
	size_t length;
	char *text;

	if (http->metrics && now - http->made_usec < CACHE_USEC)
		return http->metrics;
	text = http->body(http->data, &length);
	page = text ? page_new(http, text, length, MHD_RESPMEM_MUST_FREE,
			       "text/plain; version=0.0.4; charset=utf-8")
		    : NULL;
	if (!page)
		return NULL;
	/* Who is still being sent the old one keeps it. */
	if (http->metrics)
		http->mhd.destroy_response(http->metrics);
	http->metrics = page;
	http->made_usec = now;
	return page;
}

static enum MHD_Result on_request(void *data, struct MHD_Connection *connection, const char *url,
				  const char *method, const char *version, const char *upload,
				  size_t *upload_size, void **state)
{
	const union MHD_ConnectionInfo *info;
	struct sw_metrics_http *http = data;
	struct MHD_Response *page;
	struct peer *peer;

	info = http->mhd.get_connection_info(connection, MHD_CONNECTION_INFO_SOCKET_CONTEXT);
	peer = info ? info->socket_context : NULL;
	if (peer)
		peer->answered = true;
	(void)version;
	(void)upload;
	(void)upload_size;
	(void)state;
	/* Answered when the headers are there: what a client would upload is not read. */
	if (strcmp(method, MHD_HTTP_METHOD_GET) != 0 && strcmp(method, MHD_HTTP_METHOD_HEAD) != 0)
		return http->mhd.queue_response(connection, MHD_HTTP_METHOD_NOT_ALLOWED,
						http->pages[PAGE_METHOD]);
	if (strcmp(url, "/") == 0)
		return http->mhd.queue_response(connection, MHD_HTTP_OK, http->pages[PAGE_INDEX]);
	if (strcmp(url, "/metrics") != 0)
		return http->mhd.queue_response(connection, MHD_HTTP_NOT_FOUND,
						http->pages[PAGE_NOT_FOUND]);
	page = metrics_page(http);
	if (!page)
		return http->mhd.queue_response(connection, MHD_HTTP_SERVICE_UNAVAILABLE,
						http->pages[PAGE_BROKEN]);
	return http->mhd.queue_response(connection, MHD_HTTP_OK, page);
}

/* ---- connections ---- */

/* The library sees the end of it as it would see the client's, in its next turn. */
static void tell_to_go(struct peer *peer)
{
	peer->told = true;
	shutdown(peer->fd, SHUT_RDWR);
}

/* Of those that were not told to go. */
static struct peer *oldest(const struct sw_metrics_http *http)
{
	struct peer *found = NULL;

	for (struct peer *peer = http->peers; peer; peer = peer->next)
		if (!peer->told)
			found = peer;
	return found;
}

/* The one that has had the longest time to ask makes room, so that those who say nothing keep nobody out;
   where all have asked, the one that reads its answer the slowest. */
static void make_room(struct sw_metrics_http *http)
{
	struct peer *found = NULL;

	for (struct peer *peer = http->peers; peer; peer = peer->next)
		if (!peer->told && !peer->answered)
			found = peer;
	if (!found)
		found = oldest(http);
	if (found)
		tell_to_go(found);
}

static void on_connection(void *data, struct MHD_Connection *connection, void **context,
			  enum MHD_ConnectionNotificationCode what)
{
	struct sw_metrics_http *http = data;
	const union MHD_ConnectionInfo *info;
	struct peer *peer;

	if (what == MHD_CONNECTION_NOTIFY_STARTED) {
		info = http->mhd.get_connection_info(connection, MHD_CONNECTION_INFO_CONNECTION_FD);
		peer = calloc(1, sizeof(*peer));
		*context = peer;
		if (!peer) {
			shutdown(info->connect_fd, SHUT_RDWR);
			return;
		}
		*peer = (struct peer){
			.next = http->peers, .fd = info->connect_fd, .since_usec = now_usec()};
		http->peers = peer;
		http->n_peers++;
		return;
	}
	peer = *context;
	for (struct peer **at = &http->peers; peer && *at; at = &(*at)->next) {
		if (*at != peer)
			continue;
		*at = peer->next;
		http->n_peers--;
		break;
	}
	free(peer);
}

/* When to look again: the library's next time, or the end of the oldest connection's. */
static void set_timer(struct sw_metrics_http *http)
{
	const struct peer *peer = oldest(http);
	MHD_UNSIGNED_LONG_LONG library_ms;
	uint64_t now = now_usec(), at = peer ? peer->since_usec + PEER_USEC : UINT64_MAX;

	if (http->mhd.get_timeout(http->library, &library_ms) == MHD_YES &&
	    library_ms < PEER_USEC / 1000 && now + library_ms * 1000 < at)
		at = now + library_ms * 1000;
	if (at == UINT64_MAX) {
		sd_event_source_set_enabled(http->timer, SD_EVENT_OFF);
		return;
	}
	/* Not at once: others have their turn. */
	sd_event_source_set_time(http->timer, at < now + 1000 ? now + 1000 : at);
	sd_event_source_set_enabled(http->timer, SD_EVENT_ONESHOT);
}

static void turn(struct sw_metrics_http *http)
{
	uint64_t now = now_usec();

	for (struct peer *peer = http->peers; peer; peer = peer->next)
		if (!peer->told && now - peer->since_usec >= PEER_USEC)
			tell_to_go(peer);
	http->mhd.run(http->library);
	set_timer(http);
}

static int on_io(sd_event_source *source, int fd, uint32_t events, void *data)
{
	(void)source;
	(void)fd;
	(void)events;
	turn(data);
	return 0;
}

static int on_time(sd_event_source *source, uint64_t usec, void *data)
{
	(void)source;
	(void)usec;
	turn(data);
	return 0;
}

static unsigned int staying(const struct sw_metrics_http *http)
{
	unsigned int n = 0;

	for (const struct peer *peer = http->peers; peer; peer = peer->next)
		n += !peer->told;
	return n;
}

/*
 * The library could do this by itself, but takes the length that accept() gives for the address's length in
 * its buffer, which is too short for the path that a client of a unix socket may be bound to (0.9.75).
 */
static int on_listen(sd_event_source *source, int fd, uint32_t events, void *data)
{
	struct sw_metrics_http *http = data;
	const struct sockaddr nobody = {.sa_family = AF_UNSPEC};

	(void)source;
	(void)events;
	for (int i = 0; i < ACCEPTS && http->n_peers < PEERS_MAX; i++) {
		int client = accept4(fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);

		if (client < 0)
			break;
		if (staying(http) >= SW_METRICS_PEERS)
			make_room(http);
		http->mhd.add_connection(http->library, client, &nobody, sizeof(nobody));
	}
	turn(http);
	return 0;
}

/* ---- from outside ---- */

static int start_library(struct sw_metrics_http *http, struct sw_fault *fault)
{
	const union MHD_DaemonInfo *info;

	http->library = http->mhd.start_daemon(
		MHD_USE_EPOLL | MHD_USE_NO_LISTEN_SOCKET, 0, NULL, NULL, on_request, http,
		MHD_OPTION_CONNECTION_LIMIT, PEERS_MAX, MHD_OPTION_CONNECTION_TIMEOUT,
		(unsigned int)SW_METRICS_SECONDS, MHD_OPTION_CONNECTION_MEMORY_LIMIT,
		(size_t)SW_METRICS_REQUEST_BYTES, MHD_OPTION_CONNECTION_MEMORY_INCREMENT,
		(size_t)1024, MHD_OPTION_NOTIFY_CONNECTION, on_connection, http, MHD_OPTION_END);
	if (!http->library)
		return sw_fault(fault, SW_EXIT_KERNEL, "--metrics: libmicrohttpd does not start");
	info = http->mhd.get_daemon_info(http->library, MHD_DAEMON_INFO_EPOLL_FD);
	if (!info ||
	    sd_event_add_io(http->loop, &http->io, info->epoll_fd, EPOLLIN, on_io, http) < 0)
		return sw_fault(fault, SW_EXIT_KERNEL, "--metrics: cannot be watched");
	return 0;
}

static int watch(struct sw_metrics_http *http, struct sw_fault *fault)
{
	int error = sd_event_add_io(http->loop, &http->listen, http->fd, EPOLLIN, on_listen, http);

	if (error >= 0)
		error = sd_event_add_time(http->loop, &http->timer, CLOCK_MONOTONIC, UINT64_MAX,
					  1000, on_time, http);
	if (error >= 0)
		error = sd_event_source_set_priority(http->listen, PRIORITY);
	if (error >= 0)
		error = sd_event_source_set_priority(http->io, PRIORITY);
	if (error >= 0)
		error = sd_event_source_set_priority(http->timer, PRIORITY);
	/* Also when there are no descriptors left and nobody can be accepted. */
	if (error >= 0)
		error = sd_event_source_set_ratelimit(http->listen, TURNS_USEC, TURNS);
	if (error >= 0)
		error = sd_event_source_set_ratelimit(http->io, TURNS_USEC, TURNS);
	if (error < 0)
		return sw_fault(fault, SW_EXIT_KERNEL, "--metrics: cannot be watched: %s",
				strerror(-error));
	return 0;
}

static void close_cleanup(struct sw_metrics_http **http)
{
	sw_metrics_http_close(*http);
}

int sw_metrics_http_open(sd_event *loop, const char *address, gid_t readers, sw_metrics_body *body,
			 void *data, struct sw_metrics_http **http, struct sw_fault *fault)
{
	sw_cleanup(close_cleanup) struct sw_metrics_http *new = calloc(1, sizeof(*new));

	if (!new)
		return sw_fault(fault, SW_EXIT_KERNEL, "out of memory");
	*new = (struct sw_metrics_http){.fd = -1, .loop = loop, .body = body, .data = data};
	if (open_socket(new, address, readers, fault) < 0 || sw_mhd_load(&new->mhd, fault) < 0 ||
	    pages_new(new, fault) < 0 || start_library(new, fault) < 0 || watch(new, fault) < 0)
		return -1;
	*http = sw_take(new);
	return 0;
}

void sw_metrics_http_close(struct sw_metrics_http *http)
{
	if (!http)
		return;
	sd_event_source_disable_unref(http->listen);
	sd_event_source_disable_unref(http->io);
	sd_event_source_disable_unref(http->timer);
	if (http->library)
		http->mhd.stop_daemon(http->library);
	for (int i = 0; i < PAGE_MAX; i++)
		if (http->pages[i])
			http->mhd.destroy_response(http->pages[i]);
	if (http->metrics)
		http->mhd.destroy_response(http->metrics);
	sw_close_cleanup(&http->fd);
	if (http->path)
		unlink(http->path);
	free(http->path);
	free(http);
}
