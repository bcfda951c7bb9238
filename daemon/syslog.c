/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "daemon/syslog.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <string.h>
#include <sys/eventfd.h>

#include "daemon/record_json.h"
#include "daemon/syslog_marks.h"
#include "daemon/syslog_message.h"
#include "daemon/syslog_peer.h"
#include "daemon/syslog_position.h"
#include "daemon/syslog_queue.h"

#define BACKOFF_LEAST 1000000u
#define BACKOFF_MOST 30000000u
#define STEADY_USEC 10000000u /* a connection that was one */
#define IDLE_USEC 1000000u
#define STORE_USEC 100000u /* for the store to get what the trail has */
#define POSITION_USEC 1000000u

struct sw_syslog {
	struct sw_syslog_target target;
	struct sw_syslog_tls_context *tls;
	struct sw_syslog_origin origin;
	struct sw_syslog_queue *queue;
	int state_dir;
	struct sw_trail *trail;
	pthread_t thread;
	bool started;
	struct sw_syslog_stop stop;

	/* The thread's own. */
	struct sw_syslog_peer *peer; /* NULL: no connection */
	uint64_t sent;               /* id: everything up to it was sent over this connection */
	uint64_t most;               /* the largest that `sent` has been */
	uint64_t kept,
		kept_usec; /* position on disk (UINT64_MAX: not known), and when it was written */
	uint64_t since;    /* when this connection began */
	uint64_t backoff;
	struct sw_syslog_marks marks;

	pthread_mutex_t lock; /* of what follows */
	struct sw_syslog_state state;
};

/* ---- what is told ---- */

static void set_problem(struct sw_syslog *syslog, const struct sw_fault *fault)
{
	struct sw_sink_state *state = &syslog->state.sink;

	pthread_mutex_lock(&syslog->lock);
	state->retries++;
	state->failing = true;
	snprintf(state->problem, sizeof(state->problem), "%.399s", fault->text);
	pthread_mutex_unlock(&syslog->lock);
}

static void set_connected(struct sw_syslog *syslog, bool connected)
{
	pthread_mutex_lock(&syslog->lock);
	syslog->state.connected = connected;
	if (connected) {
		syslog->state.sink.failing = false;
		*syslog->state.sink.problem = '\0';
	}
	pthread_mutex_unlock(&syslog->lock);
}

static void set_delivered(struct sw_syslog *syslog)
{
	pthread_mutex_lock(&syslog->lock);
	syslog->state.delivered = syslog->marks.delivered;
	pthread_mutex_unlock(&syslog->lock);
}

static void set_sent(struct sw_syslog *syslog, const struct sw_syslog_page *page, uint64_t again)
{
	struct sw_sink_state *state = &syslog->state.sink;

	pthread_mutex_lock(&syslog->lock);
	state->written += page->n - again;
	/* Of what is read a second time the loss has been told. */
	if (page->upto > syslog->most)
		state->lost += page->lost;
	state->position = page->upto > syslog->most ? page->upto : syslog->most;
	syslog->state.again += again;
	pthread_mutex_unlock(&syslog->lock);
}

void sw_syslog_state(struct sw_syslog *syslog, struct sw_syslog_state *state)
{
	pthread_mutex_lock(&syslog->lock);
	*state = syslog->state;
	pthread_mutex_unlock(&syslog->lock);
}

/* ---- how far the collector is ---- */

static void settle(struct sw_syslog *syslog)
{
	struct sw_syslog_figures figures;

	sw_syslog_peer_figures(syslog->peer, &figures);
	sw_syslog_marks_settle(&syslog->marks, figures.acknowledged, figures.unread,
			       sw_syslog_now());
	set_delivered(syslog);
}

static void keep_position(struct sw_syslog *syslog, bool now)
{
	uint64_t at = sw_syslog_now();
	struct sw_fault fault;

	if (syslog->marks.delivered == syslog->kept ||
	    (!now && at < syslog->kept_usec + POSITION_USEC))
		return;
	syslog->kept_usec = at;
	if (sw_syslog_position_write(syslog->state_dir, syslog->marks.delivered, &fault) < 0) {
		set_problem(syslog,
			    &fault); /* sending goes on; after a restart more is sent again */
		return;
	}
	syslog->kept = syslog->marks.delivered;
	if (syslog->peer)
		set_connected(syslog, true);
}

/* ---- sending ---- */

struct batch {
	struct sw_syslog *syslog;
	uint64_t again;
	struct sw_fault *fault;
};

static int send_record(void *data, const struct sw_record *record)
{
	struct batch *batch = data;
	struct sw_syslog *syslog = batch->syslog;
	char message[SW_SYSLOG_MESSAGE_MAX];
	sw_autofree char *sentence = NULL;
	size_t size, length;
	FILE *to = open_memstream(&sentence, &size);

	if (to) {
		sw_record_line(record, to);
		fclose(to);
	}
	batch->again += record->id <= syslog->most;
	length = sw_syslog_message(&syslog->origin, record, sentence ? sentence : "", message);
	return sw_syslog_peer_send(syslog->peer, message, length, &syslog->stop, batch->fault);
}

/* Sends a page of what is there. 1: there was something, 0: nothing new, -1 after filling *fault: the
   connection is over, or (its `upto` is 0) the store cannot be read. */
static int send_page(struct sw_syslog *syslog, struct sw_syslog_page *page, struct sw_fault *fault)
{
	struct batch batch = {.syslog = syslog, .fault = fault};
	struct sw_syslog_figures figures;

	if (sw_syslog_queue_read(syslog->queue, syslog->sent, send_record, &batch, page, fault) <
		    0 ||
	    sw_syslog_peer_flush(syslog->peer, &syslog->stop, fault) < 0)
		return -1;
	if (page->upto <= syslog->sent)
		return 0;
	set_sent(syslog, page, batch.again);
	syslog->sent = page->upto;
	if (syslog->sent > syslog->most)
		syslog->most = syslog->sent;
	sw_syslog_peer_figures(syslog->peer, &figures);
	sw_syslog_marks_add(&syslog->marks, syslog->sent, figures.bytes, sw_syslog_now());
	return page->n > 0;
}

/* ---- connections ---- */

static void connect_peer(struct sw_syslog *syslog)
{
	struct sw_fault fault;

	syslog->peer = sw_syslog_peer_open(&syslog->target, syslog->tls, &syslog->stop, &fault);
	if (!syslog->peer) {
		if (!syslog->stop.asked)
			set_problem(syslog, &fault);
		return;
	}
	sw_syslog_marks_begin(&syslog->marks, syslog->marks.delivered);
	syslog->sent = syslog->marks.delivered;
	syslog->since = sw_syslog_now();
	set_connected(syslog, true);
}

/* From here on everything that is not delivered is to be sent again. */
static void drop_peer(struct sw_syslog *syslog, const struct sw_fault *fault)
{
	settle(syslog);
	/* Who takes connections and ends them at once is asked less and less often. */
	if (sw_syslog_now() >= syslog->since + STEADY_USEC)
		syslog->backoff = BACKOFF_LEAST;
	sw_syslog_peer_close(syslog->peer);
	syslog->peer = NULL;
	set_connected(syslog, false);
	set_problem(syslog, fault);
}

static void pause_before_retry(struct sw_syslog *syslog)
{
	uint64_t until = sw_syslog_now() + syslog->backoff;

	while (!syslog->stop.asked && sw_syslog_in_time(&syslog->stop, until))
		sw_syslog_wait(&syslog->stop, -1, 0, until);
	syslog->backoff *= 2;
	if (syslog->backoff > BACKOFF_MOST)
		syslog->backoff = BACKOFF_MOST;
}

/* ---- the thread ---- */

/* Until there may be something new; the end of the connection is looked for once a second. */
static void wait_for_more(struct sw_syslog *syslog, const struct sw_syslog_page *page)
{
	uint64_t first, next;
	bool open;

	sw_trail_bounds(syslog->trail, &first, &next);
	if (page->newest + 1 < next)
		open = sw_trail_pause(syslog->trail, STORE_USEC);
	else
		open = sw_trail_wait(syslog->trail, next, IDLE_USEC);
	if (!open)
		sw_syslog_wait(&syslog->stop, -1, 0, sw_syslog_now() + STORE_USEC);
}

static void go_on(struct sw_syslog *syslog)
{
	struct sw_syslog_page page;
	struct sw_fault fault;
	int sent = -1;

	if (sw_syslog_peer_look(syslog->peer, &fault) == 0)
		sent = send_page(syslog, &page, &fault);
	if (sent < 0) {
		drop_peer(syslog, &fault);
		return;
	}
	settle(syslog);
	keep_position(syslog, false);
	if (sent == 0)
		wait_for_more(syslog, &page);
}

/* What is left goes out, and the collector says by its close that it has read all of it. */
static void end(struct sw_syslog *syslog)
{
	struct sw_syslog_page page;
	struct sw_fault fault;
	int sent = 1;

	while (sent > 0 && sw_syslog_in_time(&syslog->stop, UINT64_MAX)) {
		sent = sw_syslog_peer_look(syslog->peer, &fault);
		if (sent == 0)
			sent = send_page(syslog, &page, &fault);
	}
	settle(syslog);
	if (sent == 0 && sw_syslog_peer_finish(syslog->peer, &syslog->stop))
		syslog->marks.delivered = syslog->sent;
	set_delivered(syslog);
	sw_syslog_peer_close(syslog->peer);
	syslog->peer = NULL;
}

static void *run(void *data)
{
	struct sw_syslog *syslog = data;

	keep_position(syslog, true);
	while (!sw_syslog_stopping(&syslog->stop)) {
		if (!syslog->peer)
			connect_peer(syslog);
		if (syslog->peer)
			go_on(syslog);
		if (!syslog->peer)
			pause_before_retry(syslog);
	}
	if (syslog->peer)
		end(syslog);
	keep_position(syslog, true);
	return NULL;
}

/* ---- open, start, stop ---- */

static void free_syslog(struct sw_syslog *syslog)
{
	sw_syslog_queue_free(syslog->queue);
	sw_syslog_tls_close(syslog->tls);
	if (syslog->state_dir >= 0)
		close(syslog->state_dir);
	if (syslog->stop.fd >= 0)
		close(syslog->stop.fd);
	pthread_mutex_destroy(&syslog->lock);
	free(syslog);
}

static int open_tls(struct sw_syslog *syslog, const struct sw_syslog_config *config,
		    struct sw_fault *fault)
{
	struct sw_syslog_tls_files files = config->tls;

	if (syslog->target.transport != SW_SYSLOG_TLS && (files.ca || files.cert || files.name))
		return sw_fault(
			fault, SW_EXIT_USAGE,
			"--syslog-ca, --syslog-cert and --syslog-name are for tls: targets");
	if (files.key && !files.cert)
		return sw_fault(fault, SW_EXIT_USAGE, "--syslog-key needs --syslog-cert");
	if (syslog->target.transport != SW_SYSLOG_TLS)
		return 0;
	if (!files.name)
		files.name = syslog->target.host;
	return sw_syslog_tls_open(&files, &syslog->tls, fault);
}

static int open_parts(struct sw_syslog *syslog, const struct sw_syslog_config *config,
		      struct sw_fault *fault)
{
	int there;

	if (sw_syslog_target(config->target, &syslog->target, fault) < 0 ||
	    open_tls(syslog, config, fault) < 0)
		return -1;
	syslog->queue = sw_syslog_queue_new(config->store, config->sessions);
	syslog->stop.fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	syslog->state_dir = open(config->state_dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (!syslog->queue || syslog->stop.fd < 0 || syslog->state_dir < 0)
		return sw_fault(fault, SW_EXIT_KERNEL, "--syslog: cannot open %s: %s",
				config->state_dir, strerror(errno));
	there = sw_syslog_position_read(syslog->state_dir, &syslog->sent, fault);
	if (there == 0)
		syslog->sent = UINT64_MAX;
	return there < 0 ? -1 : 0;
}

int sw_syslog_open(const struct sw_syslog_config *config, struct sw_syslog **syslog,
		   struct sw_fault *fault)
{
	struct sw_syslog *made = calloc(1, sizeof(*made));

	if (!made)
		return sw_fault(fault, SW_EXIT_KERNEL, "out of memory");
	made->state_dir = made->stop.fd = -1;
	made->backoff = BACKOFF_LEAST;
	made->state.sink.name = "syslog";
	pthread_mutex_init(&made->lock, NULL);
	sw_syslog_origin(&made->origin);
	if (open_parts(made, config, fault) < 0) {
		free_syslog(made);
		return -1;
	}
	*syslog = made;
	return 0;
}

/* Where to go on. A store that has less than was delivered is another one: its ids began anew. */
static void place(struct sw_syslog *syslog, uint64_t last)
{
	if (syslog->sent > last)
		syslog->sent = last;
	syslog->most = syslog->sent;
	syslog->kept = UINT64_MAX;
	syslog->state.sink.position = syslog->state.delivered = syslog->sent;
	sw_syslog_marks_begin(&syslog->marks, syslog->sent);
}

int sw_syslog_start(struct sw_syslog *syslog, struct sw_trail *trail, uint64_t last,
		    struct sw_fault *fault)
{
	sigset_t all, before;
	int error;

	syslog->trail = trail;
	place(syslog, last);
	/* Signals are the event loop's; SIGPIPE would come to whoever writes, and OpenSSL cannot help it. */
	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &before);
	error = pthread_create(&syslog->thread, NULL, run, syslog);
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	syslog->started = !error;
	if (!error)
		return 0;
	free_syslog(syslog);
	return sw_fault(fault, SW_EXIT_KERNEL, "cannot start a thread for syslog: %s",
			strerror(error));
}

void sw_syslog_stop(struct sw_syslog *syslog)
{
	if (!syslog)
		return;
	if (syslog->started) {
		eventfd_write(syslog->stop.fd, 1);
		pthread_join(syslog->thread, NULL);
	}
	free_syslog(syslog);
}
