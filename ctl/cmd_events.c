/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * events - one stream out of two: the past from the store, the present from the daemon. Ids of events go
 * on from daemon to daemon, so the seam between them is an id: the store up to it, the daemon behind it.
 * What the daemon had to pass over, because it came too fast, is taken from the store again.
 */
#include <errno.h>
#include <limits.h>
#include <signal.h>
#include <string.h>
#include <sys/signalfd.h>

#include "ctl/client.h"
#include "ctl/ctl.h"
#include "ctl/event.h"
#include "ctl/filter.h"
#include "ctl/past.h"
#include "ctl/when.h"
#include "daemon/proto.h"
#include "daemon/record_json.h"

struct args {
	bool follow;
	long last;
	struct sw_filter filter;
};

#define TEXT(member, word, takes, says)                                                            \
	{                                                                                          \
		.name = word, .value = takes, .kind = SW_OPTION_TEXT,                              \
		.offset = offsetof(struct args, filter.member), .help = says                       \
	}

static const struct sw_option options[] = {
	{.name = "follow",
	 .kind = SW_OPTION_FLAG,
	 .offset = offsetof(struct args, follow),
	 .help = "go on with events as they come, until Ctrl-C"},
	TEXT(since, "since", "T", "not before T: 10m, 2h, 1d, or 2026-01-02T03:04:05Z"),
	TEXT(until, "until", "T", "before T"),
	{.name = "last",
	 .value = "N",
	 .kind = SW_OPTION_NUMBER,
	 .offset = offsetof(struct args, last),
	 .low = 0,
	 .high = INT_MAX,
	 .help = "at most the last N of them"},
	TEXT(user, "user", "U", "of this user, by name or number"),
	TEXT(exe, "exe", "E", "of this program, by its whole path"),
	TEXT(unit, "unit", "N", "of this systemd unit"),
	{.name = "port",
	 .value = "P",
	 .kind = SW_OPTION_NUMBER,
	 .offset = offsetof(struct args, filter.port),
	 .low = 1,
	 .high = UINT16_MAX,
	 .help = "to this port"},
	TEXT(to, "to", "A", "to this address or prefix"),
	TEXT(verdict, "verdict", "V", "with this verdict: reject, audit, ..."),
	TEXT(reason, "reason", "R", "with this reason: not_permitted, ..."),
	{.name = "rule",
	 .value = "N",
	 .kind = SW_OPTION_NUMBER,
	 .offset = offsetof(struct args, filter.rule),
	 .low = 1,
	 .high = UINT16_MAX,
	 .help = "decided by the rule with this number"},
	{.name = "sessions",
	 .kind = SW_OPTION_FLAG,
	 .offset = offsetof(struct args, filter.sessions),
	 .help = "connections that have ended, instead of what was refused"},
};

/* The stream as it is shown. */
struct feed {
	const struct sw_ctl *ctl;
	const struct args *args;
	struct sw_search search; /* what is asked for, ids and limit apart */
	struct sw_past past;
	uint64_t seam;        /* id of the newest event that was shown or need not be */
	bool holes;           /* the daemon has passed over some behind it */
	uint64_t first, next; /* ids that the daemon remembers: [first, next) */
	char today[11];
};

static bool reader_gone(void)
{
	return ferror(stdout) != 0;
}

static void show(const struct feed *feed, json_t *event)
{
	feed->ctl->out->data(event, sw_event_text, feed->today);
}

/* ---- the past ---- */

static int show_record(void *data, const struct sw_record *record)
{
	const struct feed *feed = data;
	json_auto_t *event = sw_record_json(record);

	if (event)
		show(feed, event);
	return reader_gone();
}

/* Shows what the store has of the ids (after, before): the newest `limit` of them, 0: all. */
static int show_past(struct feed *feed, uint64_t after, uint64_t before, uint64_t limit)
{
	struct sw_search search = feed->search;

	search.after = after;
	search.before = before;
	search.limit = limit;
	if (sw_store_search(feed->past.reader, &search, show_record, feed, feed->past.error) >= 0)
		return SW_EXIT_OK;
	sw_complain("%s", feed->past.error);
	return SW_EXIT_NO;
}

/* What is missing in the store is told, never left out in silence. */
static void tell_gaps(struct feed *feed)
{
	uint64_t counts[SW_GAP_MAX] = {0};

	if (sw_store_gaps(feed->past.reader, feed->search.since_ns, feed->search.until_ns, counts,
			  feed->past.error)) {
		sw_complain("%s", feed->past.error);
		return;
	}
	for (int why = 0; why < SW_GAP_MAX; why++)
		if (counts[why])
			sw_complain("%llu events of this time are not recorded (%s)",
				    (unsigned long long)counts[why],
				    sw_gap_words((enum sw_gap)why));
}

/* ---- the present ---- */

/* Ctrl-C comes as a descriptor that can be read, so that it ends a wait and no output. */
static int open_signals(void)
{
	sigset_t set;

	sigemptyset(&set);
	sigaddset(&set, SIGINT);
	sigaddset(&set, SIGTERM);
	sigprocmask(SIG_BLOCK, &set, NULL);
	return signalfd(-1, &set, SFD_CLOEXEC);
}

/* The last N are counted here: the daemon's events are of all kinds, and not all fit. */
static json_t *make_request(const struct feed *feed, bool follow)
{
	json_t *request = sw_filter_request(&feed->search);

	json_object_set_new(request, "follow", json_boolean(follow));
	if (feed->seam)
		json_object_set_new(request, "after", json_integer((json_int_t)feed->seam));
	return request;
}

static void take_lost(struct feed *feed, const json_t *message)
{
	json_int_t lost = sw_integer(message, "lost");

	if (!lost)
		return;
	feed->holes = true;
	if (!feed->past.reader)
		sw_complain("%lld events were lost here: they came faster than they could be "
			    "recorded; the counters of \"smtpwall status\" are exact",
			    (long long)lost);
}

/* Before an event of the daemon: what it passed over in front of it. */
static int fill_holes(struct feed *feed, uint64_t before)
{
	int code = SW_EXIT_OK;

	if (feed->holes && feed->past.reader)
		code = show_past(feed, feed->seam, before, 0);
	feed->holes = false;
	return code;
}

static int show_event(struct feed *feed, json_t *event)
{
	uint64_t id = (uint64_t)sw_integer(event, "id");
	int code;

	if (id && id <= feed->seam && feed->past.reader)
		return SW_EXIT_OK;
	code = fill_holes(feed, id);
	if (code)
		return code;
	show(feed, event);
	feed->seam = id;
	return SW_EXIT_OK;
}

/* Of those that are kept only the last N will be shown. */
static void keep(const struct feed *feed, json_t *event, json_t *kept)
{
	json_array_append(kept, event);
	if (json_array_size(kept) > (size_t)feed->args->last)
		json_array_remove(kept, 0);
}

/* One message of the stream; `kept`: events are added to it instead. -1: go on; else the exit code. */
static int take_message(struct feed *feed, json_t *message, json_t *kept)
{
	json_t *event = json_object_get(message, "event");
	int code = SW_EXIT_OK;

	if (sw_integer(message, "status"))
		return sw_ctl_answer(message);
	if (json_object_get(message, "next")) {
		feed->first = (uint64_t)sw_integer(message, "first");
		feed->next = (uint64_t)sw_integer(message, "next");
		/* It may not remember all that came behind the seam. */
		feed->holes = feed->first > feed->seam + 1;
		code = kept ? SW_EXIT_OK : fill_holes(feed, feed->first);
	}
	take_lost(feed, message);
	if (json_is_object(event) && kept)
		keep(feed, event, kept);
	else if (json_is_object(event))
		code = show_event(feed, event);
	if (code)
		return code;
	return sw_is_true(message, "end") || reader_gone() ? SW_EXIT_OK : -1;
}

/* The daemon's events behind the seam, shown or added to `kept`. Exit code. */
static int show_present(struct feed *feed, bool follow, json_t *kept)
{
	sw_autoclient struct sw_client client = SW_CLIENT_CLOSED;
	sw_autoclose int stop = follow ? open_signals() : -1;
	json_auto_t *request = make_request(feed, follow);
	int code = -1, r = sw_client_open(&client, feed->ctl->run_dir);

	if (!r)
		r = sw_client_send(&client, request, NULL, 0);
	while (!r && code < 0) {
		json_auto_t *message = NULL;

		r = sw_client_next(&client, stop, &message);
		if (r == -ECANCELED)
			return SW_EXIT_OK;
		if (r == -ECONNRESET) {
			sw_complain("smtpwalld has ended%s",
				    feed->past.reader ? "" : ", and its events with it");
			return SW_EXIT_NO_DAEMON;
		}
		if (!r)
			code = take_message(feed, message, kept);
		if (follow)
			fflush(stdout);
	}
	return r ? sw_ctl_unreachable(feed->ctl, r) : code;
}

/* ---- both ---- */

/* The last N over both: what the daemon alone has counts first, as it is newer. Afterwards the seam lies
   behind all that was there. */
static int show_last(struct feed *feed)
{
	json_auto_t *kept = json_array();
	int code = feed->past.daemon ? SW_EXIT_OK : show_present(feed, false, kept);
	uint64_t end = feed->first > feed->seam ? feed->first : feed->seam + 1,
		 last = (uint64_t)feed->args->last, n = json_array_size(kept);
	json_t *event;
	size_t i;

	feed->holes = false;
	if (!code && n < last && feed->past.reader)
		code = show_past(feed, 0, end, last - n);
	json_array_foreach (kept, i, event)
		if (!code)
			code = show_event(feed, event);
	if (feed->next > feed->seam)
		feed->seam = feed->next - 1;
	return code;
}

static int show_stored(struct feed *feed)
{
	if (sw_store_newest(feed->past.reader, &feed->seam, feed->past.error)) {
		sw_complain("%s", feed->past.error);
		return SW_EXIT_NO;
	}
	if (feed->args->last >= 0)
		return SW_EXIT_OK;
	tell_gaps(feed);
	return show_past(feed, 0, feed->seam + 1, 0);
}

/* What can be had of both. */
static int show_all(struct feed *feed)
{
	const struct args *args = feed->args;
	int code = feed->past.reader ? show_stored(feed) : SW_EXIT_OK;

	if (!code && args->last >= 0)
		code = show_last(feed);
	if (args->follow)
		fflush(stdout);
	if (code || feed->past.daemon || reader_gone())
		return code;
	/* The last N have had their present. */
	return args->last < 0 || args->follow ? show_present(feed, args->follow, NULL) : code;
}

/* Says what cannot be had; true: something can. *code: of that which cannot. */
static bool explain(const struct feed *feed, int *code)
{
	const struct sw_past *past = &feed->past;

	*code = SW_EXIT_OK;
	if (!past->daemon) {
		if (past->path && !past->reader)
			sw_complain("%s; these are the events that smtpwalld remembers",
				    past->error);
		return true;
	}
	*code = sw_ctl_unreachable(feed->ctl, past->daemon);
	if (past->reader)
		sw_complain("these are the events in %s", past->path);
	else if (past->fault != -ENOENT)
		sw_complain("%s", past->error);
	return past->reader;
}

static int events(struct sw_ctl *ctl, int argc, char **argv)
{
	struct args args = {.last = -1, .filter = SW_FILTER_NONE};
	struct feed feed = {.ctl = ctl, .args = &args};
	sw_autofree struct sw_filter_texts *texts = calloc(1, sizeof(*texts));
	char error[SW_ERROR_SIZE], now[SW_TIME_SIZE];
	int missing, r = sw_ctl_arguments(ctl, &sw_cmd_events, argc, argv, &args);
	bool had;

	if (r >= 0 || !texts)
		return r >= 0 ? r : SW_EXIT_NO;
	if (sw_filter_search(&args.filter, sw_when_now(), &feed.search, texts, error)) {
		fprintf(stderr, "smtpwall events: %s\ntry: smtpwall events --help\n", error);
		return SW_EXIT_USAGE;
	}
	sw_time_format(sw_when_now(), now);
	memcpy(feed.today, now, sizeof(feed.today) - 1);
	sw_past_open(&feed.past, ctl, false);
	had = explain(&feed, &missing);
	r = had ? show_all(&feed) : missing;
	sw_past_close(&feed.past);
	/* There is nobody to follow. */
	return !r && args.follow ? missing : r;
}

const struct sw_command sw_cmd_events = {
	.name = "events",
	.summary = "what was refused, redirected or recorded, one line each",
	.about = "Prints events, oldest first: when, what was done, to which port and address,\n"
		 "who it was, which line of the policy decided, and why. At the edge who it was\n"
		 "is an address and the interface it came in through. The past is read from\n"
		 "the store of smtpwalld, also when none runs, the present asked of smtpwalld.\n"
		 "In a flood events of one rule and caller, or of one address, are left out;\n"
		 "the next one says how many.",
	.options = options,
	.n_options = sw_count(options),
	.run = events,
};
