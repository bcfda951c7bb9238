/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * sink_journal.c - events as native entries of the systemd journal.
 *
 * sd_journal_sendv() sends a datagram for each. Two things it leaves to us. Where there is no socket it
 * says that all went well: so we look ourselves, before and after each batch. And it waits for room in
 * the socket of a journald that does not read, for as long as that takes: a timer interrupts it.
 */
#include <assert.h>
#include <errno.h>
#include <signal.h>
#include <stdarg.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>

#define SD_JOURNAL_SUPPRESS_LOCATION
#include <systemd/sd-journal.h>

#include "bpf/vocabulary.h"
#include "daemon/policy/policy.h"
#include "daemon/proto.h"
#include "daemon/record_json.h"
#include "daemon/sink_journal.h"

#define SOCKET "/run/systemd/journal/socket"

#define WAIT_SECONDS 2 /* for a journald that does not read */

/* The ids stand in smtpwalld(8): people select by them. */
static const char *const message_ids[] = {
	[SW_EVENT_CONNECT] = "cb6ff406428e48a79e28916a61dabe08",
	[SW_EVENT_PACKET] = "a1700c3c91bf4e52ba28cf31300fac79",
	[SW_EVENT_GATE] = "b82babb17db24c0abf775853d9f62cf1",
	[SW_EVENT_EDGE] = "7a2d4a69d21e461cb29fab57feb93337",
	[SW_EVENT_SESSION] = "43e4080d61ae4ef898d4be6f9e0cacc9",
	[SW_EVENT_SERVE] = "66b2e7d0f00b4f16a2377247a5626cab",
	[SW_EVENT_ELSEWHERE] = "8dddbbb5f3bf46cc97fad0384b419f4e",
};
static_assert(sw_count(message_ids) == SW_EVENT_KIND_MAX, "an id for each kind");

#define LOST_ID "e3bee5a6375a480fb96a8a6b9549133b"

/* Of syslog. */
enum priority { WARNING = 4, NOTICE = 5, INFO = 6 };

#define FIELDS_MAX 64

struct journal_sink {
	timer_t timer;
	bool has_timer;
	uint64_t before,
		reached; /* ids of the last events that were sent: when the batch began, and now */
	struct sw_fault fault;
	bool failed; /* since begin(): `fault` says why; nothing more is sent */

	/* The entry that is being made: "NAME=value" one behind the other. */
	FILE *entry;
	char *bytes;
	size_t size;
	size_t at[FIELDS_MAX + 1]; /* where each begins, and where the last one ends */
	int n;
};

/* ---- reaching journald ---- */

static void fail(struct journal_sink *sink, int error)
{
	sink->failed = true;
	if (error == EINTR)
		sw_fault(&sink->fault, SW_EXIT_KERNEL,
			 "systemd-journald has read nothing for %d s: it is stopped or overloaded",
			 WAIT_SECONDS);
	else
		sw_fault(&sink->fault, SW_EXIT_KERNEL,
			 "cannot send to the journal (%s): %s; is systemd-journald running?",
			 SOCKET, strerror(error));
}

static int look_for_journald(void)
{
	static const struct sockaddr_un address = {.sun_family = AF_UNIX, .sun_path = SOCKET};
	sw_autoclose int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

	if (fd < 0)
		return -errno;
	if (connect(fd, (const struct sockaddr *)&address, sizeof(address)) < 0)
		return -errno;
	return 0;
}

/* The signal has done its work when it has ended the system call. */
static void on_timer(int number)
{
	(void)number;
}

/* The timer's signal goes to the thread that calls this, and to no other. */
static int make_timer(struct journal_sink *sink)
{
	struct sigevent event = {.sigev_notify = SIGEV_THREAD_ID, .sigev_signo = SIGALRM};
	sigset_t set;

	if (sink->has_timer)
		return 0;
	event._sigev_un._tid = gettid();
	sigemptyset(&set);
	sigaddset(&set, SIGALRM);
	if (timer_create(CLOCK_MONOTONIC, &event, &sink->timer) < 0)
		return -errno;
	sink->has_timer = true;
	return -pthread_sigmask(SIG_UNBLOCK, &set, NULL);
}

/* It goes off again and again, in case it does so just before the call that is to be ended. */
static void set_timer(struct journal_sink *sink, time_t seconds)
{
	const struct itimerspec when = {.it_value = {.tv_sec = seconds},
					.it_interval = {.tv_sec = seconds}};

	if (sink->has_timer)
		timer_settime(sink->timer, 0, &when, NULL);
}

/* ---- entries ---- */

sw_printf(3, 4) static void field(struct journal_sink *sink, const char *name, const char *format,
				  ...)
{
	va_list args;

	if (!sink->entry || sink->n == FIELDS_MAX)
		return;
	fprintf(sink->entry, "%s=", name);
	va_start(args, format);
	vfprintf(sink->entry, format, args);
	va_end(args);
	sink->at[++sink->n] = (size_t)ftell(sink->entry);
}

static void text_field(struct journal_sink *sink, const char *name, const char *text)
{
	if (text && *text)
		field(sink, name, "%s", text);
}

/* 0: not known. */
static void number_field(struct journal_sink *sink, const char *name, uint64_t number)
{
	if (number)
		field(sink, name, "%llu", (unsigned long long)number);
}

static void id_field(struct journal_sink *sink, const char *name, uint32_t id)
{
	if (id != UINT32_MAX)
		field(sink, name, "%u", id);
}

static void address_fields(struct journal_sink *sink, const char *name, const char *port_name,
			   const uint8_t address[16], uint16_t port)
{
	char text[SW_ADDR_SIZE];

	sw_addr_format(address, text);
	text_field(sink, name, text);
	field(sink, port_name, "%u", port);
}

static void start_entry(struct journal_sink *sink, const char *id, enum priority priority)
{
	sink->n = 0;
	sink->at[0] = 0;
	sink->entry = open_memstream(&sink->bytes, &sink->size);
	text_field(sink, "MESSAGE_ID", id);
	field(sink, "PRIORITY", "%d", priority);
	field(sink, "SYSLOG_IDENTIFIER", "smtpwalld");
}

/* Returns whether it was sent. */
static bool send_entry(struct journal_sink *sink)
{
	struct iovec parts[FIELDS_MAX];
	int error = -ENOMEM;

	if (sink->entry && fclose(sw_take(sink->entry)) == 0) {
		for (int i = 0; i < sink->n; i++)
			parts[i] = (struct iovec){.iov_base = sink->bytes + sink->at[i],
						  .iov_len = sink->at[i + 1] - sink->at[i]};
		error = sd_journal_sendv(parts, sink->n);
	}
	free(sw_take(sink->bytes));
	if (error < 0)
		fail(sink, -error);
	return error >= 0;
}

/* ---- events ---- */

static enum priority priority_of(const struct sw_record *record)
{
	if (record->kind == SW_EVENT_SESSION)
		return INFO;
	switch (record->verdict) {
	case SW_VERDICT_REJECT:
	case SW_VERDICT_DROP:
	case SW_VERDICT_RESET:
		return WARNING;
	default:
		return record->reason ? NOTICE : INFO;
	}
}

static void message_field(struct journal_sink *sink, const struct sw_record *record)
{
	if (!sink->entry)
		return;
	fputs("MESSAGE=", sink->entry);
	sw_record_line(record, sink->entry);
	sink->at[++sink->n] = (size_t)ftell(sink->entry);
}

static void decision_fields(struct journal_sink *sink, const struct sw_record *record)
{
	char time[SW_TIME_SIZE];

	sw_time_format(record->time_ns, time);
	text_field(sink, "SMTPWALL_TIME", time);
	number_field(sink, "SMTPWALL_ID", record->id);
	text_field(sink, "SMTPWALL_KIND", sw_record_kind_name(record->kind));
	text_field(sink, "SMTPWALL_VERDICT", sw_verdict_name(record->verdict));
	text_field(sink, "SMTPWALL_REASON", sw_reason_name(record->reason));
	text_field(sink, "SMTPWALL_SCOPE", sw_scope_name(record->scope));
	number_field(sink, "SMTPWALL_RULE", record->rule);
	number_field(sink, "SMTPWALL_LINE", record->line);
	text_field(sink, "SMTPWALL_RULE_TEXT", record->text[SW_TEXT_RULE]);
	text_field(sink, "SMTPWALL_TEXT", record->text[SW_TEXT_SENTENCE]);
	number_field(sink, "SMTPWALL_GENERATION", record->generation);
	number_field(sink, "SMTPWALL_SUPPRESSED", record->suppressed);
}

static void end_fields(struct journal_sink *sink, const struct sw_record *record)
{
	char mac[SW_MAC_SIZE];

	if (sw_record_is_bound(record))
		address_fields(sink, "SMTPWALL_SRC", "SMTPWALL_SRC_PORT", record->src,
			       record->src_port);
	address_fields(sink, "SMTPWALL_DST", "SMTPWALL_DST_PORT", record->dst, record->dst_port);
	if (record->new_port && record->verdict != SW_VERDICT_REJECT)
		address_fields(sink, "SMTPWALL_NEW_DST", "SMTPWALL_NEW_DST_PORT", record->new_dst,
			       record->new_port);
	text_field(sink, "SMTPWALL_INTERFACE", record->text[SW_TEXT_INTERFACE]);
	text_field(sink, "SMTPWALL_MAC", sw_record_mac(record, mac) ? mac : "");
	number_field(sink, "SMTPWALL_VLAN", record->vlan[0]);
	number_field(sink, "SMTPWALL_INNER_VLAN", record->vlan[1]);
	number_field(sink, "SMTPWALL_PPPOE_SESSION", record->pppoe_session);
}

static void caller_fields(struct journal_sink *sink, const struct sw_record *record)
{
	const char *unit = record->text[SW_TEXT_UNIT], *suffix = strrchr(unit, '.');

	number_field(sink, "SMTPWALL_PID", record->pid);
	id_field(sink, "SMTPWALL_UID", record->uid);
	text_field(sink, "SMTPWALL_USER", record->text[SW_TEXT_USER]);
	id_field(sink, "SMTPWALL_GID", record->gid);
	text_field(sink, "SMTPWALL_GROUP", record->text[SW_TEXT_GROUP]);
	text_field(sink, "SMTPWALL_EXE", record->text[SW_TEXT_EXE]);
	text_field(sink, "SMTPWALL_EXE_NOTE", record->text[SW_TEXT_EXE_NOTE]);
	text_field(sink, "SMTPWALL_COMM", record->text[SW_TEXT_COMM]);
	text_field(sink, "SMTPWALL_UNIT", unit);
	text_field(sink, "SMTPWALL_CGROUP", record->text[SW_TEXT_CGROUP]);
	/* So that `journalctl -u` and `systemctl status` of the unit show it. Not OBJECT_PID: journald would
	   look up what the pid is by now, and the process may be gone and its number somebody else's. */
	if (suffix && (strcmp(suffix, ".service") == 0 || strcmp(suffix, ".scope") == 0))
		text_field(sink, "OBJECT_SYSTEMD_UNIT", unit);
}

static void session_fields(struct journal_sink *sink, const struct sw_record *record)
{
	char verb[SW_COMMAND_SIZE], opened[SW_TIME_SIZE];
	bool ended = record->kind == SW_EVENT_SESSION;

	if (sw_record_is_gates(record) || ended) {
		text_field(sink, "SMTPWALL_TLS", sw_tls_name(record->tls));
		text_field(sink, "SMTPWALL_TLS_VERSION", sw_tls_version_name(record->tls_version));
	}
	text_field(sink, "SMTPWALL_SNI", record->text[SW_TEXT_SNI]);
	if (sw_record_is_gates(record)) {
		sw_command_name(record->verb, record->verb_length, record->mechanism, verb);
		text_field(sink, "SMTPWALL_VERB", verb);
		text_field(sink, "SMTPWALL_FROM", record->from_server ? "server" : "client");
	}
	if (!ended)
		return;
	sw_time_format(record->opened_ns, opened);
	text_field(sink, "SMTPWALL_OPENED", opened);
	field(sink, "SMTPWALL_SENT", "%llu", (unsigned long long)record->sent);
	field(sink, "SMTPWALL_RECEIVED", "%llu", (unsigned long long)record->received);
}

/* ---- the sink ---- */

static void begin(void *data)
{
	struct journal_sink *sink = data;
	int error = look_for_journald();

	sink->failed = false;
	sink->before = sink->reached;
	if (error == 0)
		error = make_timer(sink);
	if (error < 0)
		fail(sink, -error);
	else
		set_timer(sink, WAIT_SECONDS);
}

static void lost(void *data, uint64_t first, uint64_t n)
{
	struct journal_sink *sink = data;

	if (sink->failed)
		return;
	start_entry(sink, LOST_ID, WARNING);
	field(sink, "MESSAGE", "%llu events could not be sent to the journal",
	      (unsigned long long)n);
	number_field(sink, "SMTPWALL_ID", first);
	number_field(sink, "SMTPWALL_LOST", n);
	if (send_entry(sink))
		sink->reached = first + n - 1;
}

static void put(void *data, const struct sw_record *record)
{
	struct journal_sink *sink = data;

	if (sink->failed)
		return;
	start_entry(sink, record->kind < sw_count(message_ids) ? message_ids[record->kind] : NULL,
		    priority_of(record));
	message_field(sink, record);
	decision_fields(sink, record);
	end_fields(sink, record);
	caller_fields(sink, record);
	session_fields(sink, record);
	if (send_entry(sink))
		sink->reached = record->id;
}

static int commit(void *data, struct sw_fault *fault)
{
	struct journal_sink *sink = data;

	set_timer(sink, 0);
	/* Gone meanwhile, and nobody knows since when. */
	if (look_for_journald() == -ENOENT) {
		sink->reached = sink->before;
		fail(sink, ENOENT);
	}
	if (!sink->failed)
		return 0;
	*fault = sink->fault;
	return -1;
}

static uint64_t reached(void *data)
{
	return ((struct journal_sink *)data)->reached;
}

static void journal_close(void *data)
{
	struct journal_sink *sink = data;

	if (sink->has_timer)
		timer_delete(sink->timer);
	free(sink);
}

const struct sw_sink_calls sw_sink_journal = {
	.name = "journal",
	.interval_usec = 20000,
	.begin = begin,
	.lost = lost,
	.put = put,
	.commit = commit,
	.close = journal_close,
	.reached = reached,
};

int sw_sink_journal_open(const struct sw_options *options, void **data, struct sw_fault *fault)
{
	/* Without SA_RESTART: system calls end with EINTR. */
	const struct sigaction action = {.sa_handler = on_timer};

	*data = NULL;
	if (!options->journal)
		return 0;
	if (sigaction(SIGALRM, &action, NULL) < 0)
		return sw_fault(fault, SW_EXIT_KERNEL, "cannot take the signal SIGALRM: %s",
				strerror(errno));
	*data = calloc(1, sizeof(struct journal_sink));
	return *data ? 0 : sw_fault(fault, SW_EXIT_KERNEL, "out of memory");
}
