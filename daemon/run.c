/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * run.c - what the daemon does by itself: records of the kernel, changes of addresses, the
 * self-check, signals.
 */
#include <errno.h>
#include <signal.h>
#include <stdarg.h>
#include <string.h>
#include <sys/epoll.h>
#include <systemd/sd-daemon.h>
#include <time.h>

#include "daemon/daemon.h"
#include "daemon/log.h"
#include "daemon/net.h"
#include "daemon/policy/policy.h"
#include "daemon/proto.h"
#include "daemon/record_json.h"

#define CHECK_USEC 2000000ull

uint64_t sw_now_ns(clockid_t clock)
{
	struct timespec now;

	clock_gettime(clock, &now);
	return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

void sw_daemon_incident(struct sw_daemon *daemon, const char *format, ...)
{
	struct sw_incident *incident = &daemon->incidents[daemon->next_incident++ % SW_INCIDENTS];
	va_list args;

	incident->time_ns = sw_now_ns(CLOCK_REALTIME);
	va_start(args, format);
	vsnprintf(incident->text, sizeof(incident->text), format, args);
	va_end(args);
	sw_log(SW_LOG_ERROR, "%s", incident->text);
}

/* ---- events ---- */

/* More in one second are not shown: who writes lines must not hold up who resets connections. */
#define LINES_PER_SECOND 256

static bool may_show(struct sw_daemon *daemon)
{
	uint64_t second = sw_now_ns(CLOCK_MONOTONIC) / 1000000000u;

	if (second != daemon->shown_second) {
		if (daemon->shown > LINES_PER_SECOND)
			sw_log(SW_LOG_NOTICE,
			       "%llu events came too fast to be shown here; \"smtpwall events\" "
			       "has "
			       "them",
			       (unsigned long long)(daemon->shown - LINES_PER_SECOND));
		daemon->shown_second = second;
		daemon->shown = 0;
	}
	return ++daemon->shown <= LINES_PER_SECOND;
}

static void print_event(const struct sw_record *record, FILE *to)
{
	time_t seconds = (time_t)(record->time_ns / 1000000000u);
	char clock[16];
	struct tm local;

	if (!localtime_r(&seconds, &local) || !strftime(clock, sizeof(clock), "%T", &local))
		strcpy(clock, "--:--:--");
	fprintf(to, "%s  ", clock);
	sw_record_line(record, to);
}

static void show_event(struct sw_daemon *daemon, const struct sw_record *record)
{
	sw_autofree char *line = NULL;
	size_t size;
	FILE *memory;

	if (record->kind == SW_EVENT_SESSION || !may_show(daemon))
		return;
	if (daemon->options.foreground) {
		print_event(record, stdout);
		putchar('\n');
		fflush(stdout);
		return;
	}
	/* With entries of its own the journal needs no second line. */
	if (daemon->options.journal)
		return;
	memory = open_memstream(&line, &size);
	if (!memory)
		return;
	print_event(record, memory);
	fclose(memory);
	sw_log(SW_LOG_NOTICE, "%s", line);
}

/* What was added since the last time is for everybody who waits. */
static void tell_readers(struct sw_daemon *daemon)
{
	if (!daemon->added)
		return;
	daemon->added = false;
	sw_trail_wake(daemon->trail);
	sw_control_wake(daemon->control);
}

/* The backstop dropped the first packet of a connection (a NAT rule sent it to a guarded port, or it
   was on its way when the policy came). TCP would try again for minutes: its program is told now. */
static void end_dropped(const struct sw_event *event)
{
	if (event->kind == SW_EVENT_PACKET && event->verdict == SW_VERDICT_DROP &&
	    event->reason == SW_REASON_UNATTRIBUTED)
		sw_connection_close_opening(event->cookie);
}

/* The gate has dropped what was sent, and drops on; TCP would send it again for minutes. */
bool sw_daemon_reset(struct sw_daemon *daemon, const struct sw_event *event)
{
	bool moved = event->new_port != 0, served = event->served;
	const uint8_t *to = moved ? event->new_dst : event->dst;
	uint16_t to_port = moved ? event->new_port : event->dst_port;
	/* Of one that this machine answers, its own end is where the client came to. */
	int error = sw_connection_close_flow(
		served ? to : event->src, served ? to_port : event->src_port,
		served ? event->src : to, served ? event->src_port : to_port, event->interface,
		event->cookie);

	/* Gone already, or in another network namespace, where we cannot reach it. */
	if (error == 0 || error == -ENOENT || daemon->reset_failed)
		return error == 0;
	daemon->reset_failed = true;
	sw_daemon_incident(daemon,
			   "a connection that broke the policy could not be reset: %s; its packets "
			   "are dropped all the same, and its program waits in vain",
			   strerror(-error));
	return false;
}

/* About a connection that was open, whoever opened it? */
static bool of_gate(const struct sw_event *event)
{
	return event->kind == SW_EVENT_GATE || event->kind == SW_EVENT_SERVE;
}

void sw_daemon_event(struct sw_daemon *daemon, const struct sw_event *event)
{
	const struct sw_facts *facts = sw_flows_find(daemon->flows, event->cookie);
	struct sw_event_about about = {};
	struct sw_event_texts texts;
	struct sw_record record;

	sw_event_totals_add(&daemon->totals, event);
	about.boot_ns = sw_now_ns(CLOCK_REALTIME) - sw_now_ns(CLOCK_BOOTTIME);
	if (event->rule != SW_RULE_NONE)
		about.rule = sw_slots_rule(&daemon->slots, event->generation, event->rule);
	if (event->kind == SW_EVENT_EDGE) {
		const struct sw_edges_interface *where =
			sw_edges_find(daemon->edges, event->interface);

		about.interface = where ? where->link.name : NULL;
	}
	about.user = sw_names_user(daemon->names, event->caller.uid);
	about.group = sw_names_group(daemon->names, event->caller.gid);
	if (event->kind != SW_EVENT_EDGE && facts && facts->has_client)
		about.sni = facts->client.sni;
	sw_event_record(event, &about, &texts, &record);
	sw_trail_add(daemon->trail, &record);
	daemon->added = true;
	show_event(daemon, &record);
}

/* What a server did in its handshake: the client's hello, which says for whom it was meant, may lie in the
   other ring still. */
static bool wait_for_sample(struct sw_daemon *daemon, const struct sw_event *event)
{
	if (!of_gate(event) || !event->from_server || event->tls == SW_TLS_NONE ||
	    daemon->n_waiting == SW_EVENTS_WAITING || sw_flows_find(daemon->flows, event->cookie))
		return false;
	daemon->waiting[daemon->n_waiting++] = *event;
	return true;
}

void sw_daemon_record(void *data, const void *bytes, size_t size)
{
	struct sw_daemon *daemon = data;
	struct sw_event event;

	if (sw_event_check(bytes, size, &event) < 0) {
		daemon->bad_records++;
		return;
	}
	sw_kernel_took(daemon->kernel, true);
	/* First of all: a program waits for this, people can wait for the rest. */
	if (of_gate(&event) && event.verdict == SW_VERDICT_RESET)
		sw_daemon_reset(daemon, &event);
	end_dropped(&event);
	if (!wait_for_sample(daemon, &event))
		sw_daemon_event(daemon, &event);
}

/*
 * Events are read in batches. As long as none come, the ring is polled by its level: the first one wakes us at
 * once. From then on it is read every BATCH_USEC, until a reading finds nothing. Meanwhile the ring is polled
 * by its edge: the kernel wakes us for the first record behind what was read, which we leave lying, and for one
 * that a process waits for (emit.h), upon which all is read.
 *
 * No record is left lying by a wake-up that was missed, as none is needed: either the timer is set, and each
 * reading that finds something sets it again; or the level is polled, and epoll looks at the ring itself when
 * that is asked for, so that what came behind the last reading counts. What is read late by this is BATCH_USEC
 * late at most. The ring has room for 40 ms of 300,000 records a second.
 */
#define BATCH_USEC 5000u

static void batch_over(struct sw_daemon *daemon)
{
	daemon->batching = false;
	sd_event_source_set_io_events(daemon->ring, EPOLLIN);
}

/* Without a timer each event is read as it comes. */
static void batch_after(struct sw_daemon *daemon, uint64_t usec)
{
	if (sd_event_source_set_time_relative(daemon->batch_timer, usec) < 0 ||
	    sd_event_source_set_enabled(daemon->batch_timer, SD_EVENT_ONESHOT) < 0) {
		batch_over(daemon);
		return;
	}
	if (!daemon->batching)
		sd_event_source_set_io_events(daemon->ring, EPOLLIN | EPOLLET);
	daemon->batching = true;
}

static void read_events(struct sw_daemon *daemon)
{
	uint64_t waiting, size;
	unsigned int n;

	daemon->urgent_seen = sw_kernel_head(daemon->kernel)->urgent;
	n = sw_kernel_events_read(daemon->kernel);
	/* Their source comes last: a flood of events would keep them for ever. */
	sw_daemon_read_samples(daemon);
	tell_readers(daemon);
	sw_kernel_events_lag(daemon->kernel, &waiting, &size);
	/* More than are read at once: others have their turn, then it goes on. What waits and cannot be read is
	   being written. */
	if (n || waiting)
		batch_after(daemon, n && waiting > size / 16 ? 0 : BATCH_USEC);
	else
		batch_over(daemon);
}

static int on_events(sd_event_source *source, int fd, uint32_t events, void *data)
{
	struct sw_daemon *daemon = data;

	(void)source;
	(void)fd;
	(void)events;
	if (!daemon->batching || __atomic_load_n(&sw_kernel_head(daemon->kernel)->urgent,
						 __ATOMIC_ACQUIRE) != daemon->urgent_seen)
		read_events(daemon);
	return 0;
}

static int on_batch(sd_event_source *source, uint64_t usec, void *data)
{
	(void)source;
	(void)usec;
	read_events(data);
	return 0;
}

static int on_samples(sd_event_source *source, int fd, uint32_t events, void *data)
{
	(void)source;
	(void)fd;
	(void)events;
	sw_daemon_read_samples(data);
	tell_readers(data);
	return 0;
}

/* ---- addresses ---- */

void sw_daemon_read_addresses(struct sw_daemon *daemon)
{
	uint8_t(*list)[16] = NULL;
	struct sw_fault fault;
	bool incomplete;
	size_t n = 0;

	if (sw_addresses_list(&list, &n, &fault) < 0) {
		sw_daemon_incident(daemon, "%s; `local` stays as it was", fault.text);
		daemon->addresses_incomplete = true;
		return;
	}
	incomplete = sw_kernel_local(daemon->kernel, list, n) < 0;
	if (incomplete && !daemon->addresses_incomplete)
		sw_daemon_incident(
			daemon,
			"not all %zu addresses of this machine fit into the kernel's table: "
			"those left out are not `local`",
			n);
	daemon->addresses_incomplete = incomplete;
	free(daemon->local);
	daemon->local = list;
	daemon->n_local = n;
}

static int on_addresses(sd_event_source *source, int fd, uint32_t events, void *data)
{
	struct sw_daemon *daemon = data;

	(void)source;
	(void)fd;
	(void)events;
	sw_addresses_drain(daemon->addresses);
	sw_daemon_read_addresses(daemon);
	return 0;
}

/* ---- interfaces ---- */

static int on_links(sd_event_source *source, int fd, uint32_t events, void *data)
{
	struct sw_daemon *daemon = data;

	(void)source;
	(void)fd;
	(void)events;
	sw_edges_drain(daemon->edges);
	return 0;
}

/* ---- the self-check ---- */

static void report_hook(struct sw_daemon *daemon, const struct sw_hook_state *before,
			const struct sw_hook_state *now)
{
	/* What lasts is told once; `status` shows it as long as it does. */
	if (*now->problem && strcmp(before->problem, now->problem) != 0)
		sw_daemon_incident(daemon, "hook %s: %s", now->name, now->problem);
	else if (!*now->problem && *before->problem && !before->attached)
		sw_log(SW_LOG_NOTICE, "hook %s is attached again", now->name);
}

void sw_daemon_check(struct sw_daemon *daemon)
{
	struct sw_hook_state states[SW_HOOK_MAX];
	unsigned int repaired;

	sw_kernel_check(daemon->kernel, states, &repaired);
	for (int i = 0; i < SW_HOOK_MAX; i++)
		report_hook(daemon, &daemon->hooks[i], &states[i]);
	memcpy(daemon->hooks, states, sizeof(states));
	sw_edges_check(daemon->edges);
	sw_sinks_check(daemon->sinks, sw_daemon_sink_changed, daemon);
	/* Reading for `status` or `flows` takes events in as well. */
	tell_readers(daemon);
}

void sw_daemon_sink_changed(void *data, const struct sw_sink_state *state)
{
	if (state->failing)
		sw_daemon_incident(data, "%s: %s", state->name, state->problem);
	else
		sw_log(SW_LOG_NOTICE, "%s: events are written again; %llu were lost so far",
		       state->name, (unsigned long long)state->lost);
}

static int on_check(sd_event_source *source, uint64_t usec, void *data)
{
	struct sw_daemon *daemon = data;

	(void)usec;
	sw_daemon_check(daemon);
	sd_event_source_set_time_relative(source, CHECK_USEC);
	return sd_event_source_set_enabled(source, SD_EVENT_ONESHOT);
}

/* ---- what is in force, in words ---- */

const char *sw_daemon_mode(const struct sw_daemon *daemon)
{
	const struct sw_policy *policy = sw_kernel_policy(daemon->kernel);
	uint32_t audit = 0, n = policy->n_rules;

	for (uint32_t i = 0; i < n && i < SW_RULES_MAX; i++)
		audit += policy->rules[i].flags & SW_RULE_AUDIT ? 1 : 0;
	if (!audit)
		return "enforce";
	return audit == n ? "audit" : "mixed";
}

void sw_daemon_tell_status(struct sw_daemon *daemon)
{
	const struct sw_slot *active = sw_slots_active(&daemon->slots);

	if (active)
		sd_notifyf(0, "STATUS=policy %s, generation %llu, mode %s%s", active->info.path,
			   (unsigned long long)active->generation, sw_daemon_mode(daemon),
			   daemon->reload_failed ? "; the last reload failed" : "");
}

/* ---- the loop ---- */

static int on_end(sd_event_source *source, const struct signalfd_siginfo *info, void *data)
{
	(void)info;
	(void)data;
	return sd_event_exit(sd_event_source_get_event(source), 0);
}

static int on_reload(sd_event_source *source, const struct signalfd_siginfo *info, void *data)
{
	(void)source;
	(void)info;
	sw_sinks_reopen(((struct sw_daemon *)data)->sinks);
	sw_daemon_reload(data);
	return 0;
}

static int watch_signals(struct sw_daemon *daemon)
{
	sigset_t set;
	int error;

	sigemptyset(&set);
	sigaddset(&set, SIGTERM);
	sigaddset(&set, SIGINT);
	sigaddset(&set, SIGHUP);
	if (sigprocmask(SIG_BLOCK, &set, NULL) < 0)
		return -errno;
	signal(SIGPIPE, SIG_IGN);
	error = sd_event_add_signal(daemon->loop, NULL, SIGTERM, on_end, daemon);
	if (error >= 0)
		error = sd_event_add_signal(daemon->loop, NULL, SIGINT, on_end, daemon);
	if (error >= 0)
		error = sd_event_add_signal(daemon->loop, NULL, SIGHUP, on_reload, daemon);
	return error;
}

/* Samples, of which anybody can cause many, come behind everything else; and while they are read,
   events come before each of them. */
static int watch_rings(struct sw_daemon *daemon)
{
	sd_event_source *samples = NULL;
	int error =
		sd_event_add_io(daemon->loop, &daemon->ring, sw_kernel_events_fd(daemon->kernel),
				EPOLLIN, on_events, daemon);

	if (error >= 0)
		error = sd_event_add_time(daemon->loop, &daemon->batch_timer, CLOCK_MONOTONIC, 0, 1,
					  on_batch, daemon);
	if (error >= 0)
		error = sd_event_source_set_enabled(daemon->batch_timer, SD_EVENT_OFF);
	if (error >= 0)
		error = sd_event_add_io(daemon->loop, &samples,
					sw_kernel_samples_fd(daemon->kernel), EPOLLIN, on_samples,
					daemon);
	if (error >= 0)
		error = sd_event_source_set_priority(samples, SD_EVENT_PRIORITY_IDLE);
	if (error >= 0)
		error = sd_event_source_set_floating(samples, true);
	sd_event_source_unref(samples);
	return error;
}

int sw_daemon_watch(struct sw_daemon *daemon, struct sw_fault *fault)
{
	int error = watch_signals(daemon);

	if (error >= 0)
		error = watch_rings(daemon);
	if (error >= 0)
		error = sd_event_add_io(daemon->loop, NULL, sw_addresses_fd(daemon->addresses),
					EPOLLIN, on_addresses, daemon);
	if (error >= 0)
		error = sd_event_add_io(daemon->loop, NULL, sw_edges_fd(daemon->edges), EPOLLIN,
					on_links, daemon);
	if (error >= 0)
		error = sd_event_add_time_relative(daemon->loop, &daemon->check_timer,
						   CLOCK_MONOTONIC, CHECK_USEC, 0, on_check,
						   daemon);
	if (error >= 0)
		error = sd_event_set_watchdog(daemon->loop, 1);
	if (error < 0)
		return sw_fault(fault, SW_EXIT_KERNEL, "cannot set up the event loop: %s",
				strerror(-error));
	return 0;
}
