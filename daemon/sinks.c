/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "daemon/sinks.h"

#include "daemon/base.h"
#include "daemon/sink_journal.h"
#include "daemon/sink_json.h"

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
};

struct sw_sinks *sw_sinks_new(void)
{
	return calloc(1, sizeof(struct sw_sinks));
}

void sw_sinks_add(struct sw_sinks *sinks, const struct sw_sink_calls *calls, void *data)
{
	sinks->all[sinks->n++] = (struct one){.calls = calls, .data = data};
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
	return 0;
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
	return 0;
}

void sw_sinks_stop(struct sw_sinks *sinks)
{
	for (size_t i = 0; sinks && i < sinks->n; i++) {
		struct one *one = &sinks->all[i];

		sw_sink_stop(one->sink);
		if (one->data && one->calls->close)
			one->calls->close(one->data);
	}
	free(sinks);
}

void sw_sinks_reopen(struct sw_sinks *sinks)
{
	for (size_t i = 0; i < sinks->n; i++)
		if (sinks->all[i].sink)
			sw_sink_reopen(sinks->all[i].sink);
}

size_t sw_sinks_states(struct sw_sinks *sinks, struct sw_sink_state states[static SW_SINKS_MAX])
{
	size_t n = 0;

	for (size_t i = 0; i < sinks->n; i++)
		if (sinks->all[i].sink)
			sw_sink_state(sinks->all[i].sink, &states[n++]);
	return n;
}

void sw_sinks_check(struct sw_sinks *sinks,
		    void (*changed)(void *data, const struct sw_sink_state *state), void *data)
{
	for (size_t i = 0; i < sinks->n; i++) {
		struct one *one = &sinks->all[i];
		struct sw_sink_state state;

		if (!one->sink)
			continue;
		sw_sink_state(one->sink, &state);
		if (state.failing != one->failing)
			changed(data, &state);
		one->failing = state.failing;
	}
}
