/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "daemon/sinks.h"

#include "daemon/audit/store.h"
#include "daemon/base.h"
#include "daemon/sink_journal.h"
#include "daemon/sink_json.h"
#include "daemon/syslog.h"

/* Each kind of sink opens what it writes to: *data is for its thread; NULL: the options do not ask for it. 0
   or -1. */
static const struct kind {
	int (*open)(const struct sw_options *options, void **data, struct sw_fault *fault);
	const struct sw_sink_calls *calls;
} kinds[] = {
	{sw_sink_journal_open, &sw_sink_journal},
	{sw_sink_json_open, &sw_sink_json},
	{NULL, NULL},
};

struct sw_sinks {
	size_t n;
	struct one {
		const struct sw_sink_calls *calls;
		void *data; /* until the thread has it */
		struct sw_sink *sink;
		bool failing; /* as it was last told */
	} all[SW_SINKS_MAX];
	struct sw_syslog *syslog; /* reads the store, so it ends last; NULL: not asked for */
	bool syslog_failing;
};

struct sw_sinks *sw_sinks_new(void)
{
	return calloc(1, sizeof(struct sw_sinks));
}

void sw_sinks_add(struct sw_sinks *sinks, const struct sw_sink_calls *calls, void *data)
{
	sinks->all[sinks->n++] = (struct one){.calls = calls, .data = data};
}

static int open_syslog(struct sw_sinks *sinks, const struct sw_options *options,
		       struct sw_fault *fault)
{
	sw_autofree char *store = NULL;
	struct sw_syslog_config config = {.target = options->syslog,
					  .state_dir = options->state_dir,
					  .sessions = options->syslog_sessions,
					  .tls = {.ca = options->syslog_ca,
						  .cert = options->syslog_cert,
						  .key = options->syslog_key,
						  .name = options->syslog_name}};

	if (!options->store_bytes)
		return sw_fault(fault, SW_EXIT_USAGE,
				"--syslog needs the audit store, in which events wait for the "
				"collector, and --store-size 0 says that there is none");
	if (asprintf(&store, "%s/" SW_STORE_NAME, options->state_dir) < 0)
		return sw_fault(fault, SW_EXIT_KERNEL, "out of memory");
	config.store = store;
	return sw_syslog_open(&config, &sinks->syslog, fault);
}

int sw_sinks_open(struct sw_sinks *sinks, const struct sw_options *options, struct sw_fault *fault)
{
	for (size_t i = 0; kinds[i].open; i++) {
		void *data = NULL;

		if (kinds[i].open(options, &data, fault) < 0)
			return -1;
		if (data)
			sw_sinks_add(sinks, kinds[i].calls, data);
	}
	return options->syslog ? open_syslog(sinks, options, fault) : 0;
}

int sw_sinks_start(struct sw_sinks *sinks, struct sw_trail *trail, struct sw_fault *fault)
{
	uint64_t first, next;

	sw_trail_bounds(trail, &first, &next);
	for (size_t i = 0; i < sinks->n; i++) {
		struct one *one = &sinks->all[i];

		one->sink = sw_sink_start(trail, one->calls, sw_take(one->data), first - 1, fault);
		if (!one->sink)
			return -1;
	}
	if (sinks->syslog && sw_syslog_start(sinks->syslog, trail, first - 1, fault) < 0) {
		sinks->syslog = NULL;
		return -1;
	}
	return 0;
}

uint64_t sw_sinks_stop(struct sw_sinks *sinks)
{
	uint64_t unwritten = 0;

	for (size_t i = 0; sinks && i < sinks->n; i++) {
		struct one *one = &sinks->all[i];

		unwritten += sw_sink_stop(one->sink);
		if (one->data && one->calls->close)
			one->calls->close(one->data);
	}
	if (sinks)
		sw_syslog_stop(sinks->syslog);
	free(sinks);
	return unwritten;
}

void sw_sinks_reopen(struct sw_sinks *sinks)
{
	for (size_t i = 0; i < sinks->n; i++)
		if (sinks->all[i].sink)
			sw_sink_reopen(sinks->all[i].sink);
}

static struct sw_sink_state syslog_state(struct sw_sinks *sinks)
{
	struct sw_syslog_state state;

	sw_syslog_state(sinks->syslog, &state);
	return state.sink;
}

size_t sw_sinks_states(struct sw_sinks *sinks, struct sw_sink_state states[static SW_SINKS_MAX])
{
	size_t n = 0;

	for (size_t i = 0; i < sinks->n; i++)
		if (sinks->all[i].sink)
			sw_sink_state(sinks->all[i].sink, &states[n++]);
	if (sinks->syslog)
		states[n++] = syslog_state(sinks);
	return n;
}

static void tell_change(const struct sw_sink_state *state, bool *failing,
			void (*changed)(void *data, const struct sw_sink_state *state), void *data)
{
	if (state->failing != *failing)
		changed(data, state);
	*failing = state->failing;
}

void sw_sinks_check(struct sw_sinks *sinks,
		    void (*changed)(void *data, const struct sw_sink_state *state), void *data)
{
	struct sw_sink_state state;

	for (size_t i = 0; i < sinks->n; i++) {
		struct one *one = &sinks->all[i];

		if (!one->sink)
			continue;
		sw_sink_state(one->sink, &state);
		tell_change(&state, &one->failing, changed, data);
	}
	if (!sinks->syslog)
		return;
	state = syslog_state(sinks);
	tell_change(&state, &sinks->syslog_failing, changed, data);
}
