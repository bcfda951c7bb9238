/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <errno.h>
#include <limits.h>
#include <signal.h>
#include <string.h>
#include <sys/signalfd.h>

#include "ctl/client.h"
#include "ctl/ctl.h"
#include "ctl/event.h"
#include "ctl/when.h"
#include "daemon/proto.h"

struct args {
	bool follow;
	long last;
	const char *since;
};

static const struct sw_option options[] = {
	{.name = "follow",
	 .kind = SW_OPTION_FLAG,
	 .offset = offsetof(struct args, follow),
	 .help = "go on with events as they come, until Ctrl-C"},
	{.name = "since",
	 .value = "T",
	 .kind = SW_OPTION_TEXT,
	 .offset = offsetof(struct args, since),
	 .help = "not before T: 10m, 2h, 1d, or 2026-01-02T03:04:05Z"},
	{.name = "last",
	 .value = "N",
	 .kind = SW_OPTION_NUMBER,
	 .offset = offsetof(struct args, last),
	 .low = 0,
	 .high = INT_MAX,
	 .help = "at most the last N of them"},
};

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

static json_t *make_request(const struct args *args, uint64_t since)
{
	json_t *request = json_pack("{s:s, s:b}", "request", "events", "follow", (int)args->follow);
	char time[SW_TIME_SIZE];

	if (args->since) {
		sw_time_format(since, time);
		json_object_set_new(request, "since", json_string(time));
	}
	if (args->last >= 0)
		json_object_set_new(request, "last", json_integer(args->last));
	return request;
}

/* What the daemon could not keep or hand on is told, never left out in silence. */
static void tell_lost(const json_t *message)
{
	json_int_t lost = sw_integer(message, "lost");

	if (lost)
		sw_complain("%lld events were lost here: they came faster than they could be "
			    "recorded; the counters of \"smtpwall status\" are exact",
			    (long long)lost);
}

/* One message of the stream. -1: go on; else the exit code. */
static int show_message(const struct sw_ctl *ctl, json_t *message)
{
	json_t *event = json_object_get(message, "event");

	if (sw_integer(message, "status"))
		return sw_ctl_answer(message);
	tell_lost(message);
	if (json_is_object(event))
		ctl->out->data(event, sw_event_text, NULL);
	if (sw_is_true(message, "end"))
		return SW_EXIT_OK;
	return ferror(stdout) ? SW_EXIT_OK : -1;
}

static int stream(const struct sw_ctl *ctl, struct sw_client *client, const struct args *args)
{
	sw_autoclose int stop = args->follow ? open_signals() : -1;
	int code = -1;

	while (code < 0) {
		json_auto_t *message = NULL;
		int r = sw_client_next(client, stop, &message);

		if (r == -ECANCELED)
			return SW_EXIT_OK;
		if (r == -ECONNRESET) {
			sw_complain("smtpwalld has ended, and its events with it");
			return SW_EXIT_NO_DAEMON;
		}
		if (r)
			return sw_ctl_unreachable(ctl, r);
		code = show_message(ctl, message);
		if (args->follow)
			fflush(stdout);
	}
	return code;
}

static int events(struct sw_ctl *ctl, int argc, char **argv)
{
	sw_autoclient struct sw_client client = SW_CLIENT_CLOSED;
	struct args args = {.last = -1};
	json_auto_t *request = NULL;
	uint64_t since = 0;
	int r = sw_ctl_arguments(ctl, &sw_cmd_events, argc, argv, &args);

	if (r >= 0)
		return r;
	if (args.since && sw_when_parse(args.since, sw_when_now(), &since)) {
		fprintf(stderr,
			"smtpwall events: --since takes a time like 10m, 2h, 1d or "
			"2026-01-02T03:04:05Z, not \"%s\"\ntry: smtpwall events --help\n",
			args.since);
		return SW_EXIT_USAGE;
	}
	request = make_request(&args, since);
	r = sw_client_open(&client, ctl->run_dir);
	if (!r)
		r = sw_client_send(&client, request, NULL, 0);
	return r ? sw_ctl_unreachable(ctl, r) : stream(ctl, &client, &args);
}

const struct sw_command sw_cmd_events = {
	.name = "events",
	.summary = "what was refused, redirected or recorded, one line each",
	.about = "Prints recent events, oldest first: when, what was done, to which port\n"
		 "and address, who it was, which line of the policy decided, and why. At the\n"
		 "edge who it was is an address and the interface it came in through. In a\n"
		 "flood events of one rule and caller, or of one address, are left out; the\n"
		 "next one says how many.",
	.options = options,
	.n_options = sw_count(options),
	.run = events,
};
