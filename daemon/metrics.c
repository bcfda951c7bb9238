/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "daemon/metrics.h"

#include <assert.h>
#include <stdio.h>
#include <string.h>

#include "daemon/base.h"
#include "daemon/policy/policy.h"

#define NS 1000000000ull

/* ---- the format ---- */

struct label {
	const char *name, *value;
};

/* As much of labels as any metric has; those without a name are none. */
struct labels {
	struct label label[3];
};

#define NO_LABELS ((struct labels){})
#define LABEL(name_, value_) ((struct labels){{{name_, value_}}})

/* Quotes are only escaped in values of labels. */
static void put_escaped(FILE *to, const char *text, bool value)
{
	for (; *text; text++) {
		if (*text == '\n')
			fputs("\\n", to);
		else if (*text == '\\' || (value && *text == '"'))
			fprintf(to, "\\%c", *text);
		else
			fputc(*text, to);
	}
}

/* Begins a family; its samples follow, none of another between them. */
static void family(FILE *to, const char *name, const char *type, const char *help)
{
	fprintf(to, "# HELP %s ", name);
	put_escaped(to, help, false);
	fprintf(to, "\n# TYPE %s %s\n", name, type);
}

static void put_name(FILE *to, const char *name, const struct labels *labels)
{
	const char *before = "{";

	fputs(name, to);
	for (size_t i = 0; i < sw_count(labels->label); i++) {
		const struct label *label = &labels->label[i];

		if (!label->name)
			continue;
		fprintf(to, "%s%s=\"", before, label->name);
		put_escaped(to, label->value, true);
		fputc('"', to);
		before = ",";
	}
	fputs(*before == ',' ? "} " : " ", to);
}

static void sample(FILE *to, const char *name, struct labels labels, uint64_t value)
{
	put_name(to, name, &labels);
	fprintf(to, "%llu\n", (unsigned long long)value);
}

static void seconds(FILE *to, const char *name, uint64_t ns)
{
	put_name(to, name, &NO_LABELS);
	fprintf(to, "%llu.%03llu\n", (unsigned long long)(ns / NS),
		(unsigned long long)(ns % NS / 1000000));
}

static void single(FILE *to, const char *name, const char *type, const char *help, uint64_t value)
{
	family(to, name, type, help);
	sample(to, name, NO_LABELS, value);
}

/* ---- the kernel's counters ---- */

#define HOST "scope", "host"
#define EDGE "scope", "edge"
#define SERVE "scope", "serve"

/* Rows with one name are one family, whose help is the first one's. */
static const struct counter_row {
	const char *name;
	struct labels labels;
	const char *help;
} counter_rows[] = {
	[SW_COUNT_CONNECT] = {"smtpwall_connects_total",
			      {{{HOST}}},
			      "connect() to a guarded port; at the edge SYNs, each that is sent "
			      "again counts again."},
	[SW_COUNT_ALLOWED] = {"smtpwall_decisions_total",
			      {{{HOST}, {"decision", "allowed"}}},
			      "What was decided on connections; audited: enforcing would have "
			      "refused them."},
	[SW_COUNT_REFUSED] = {"smtpwall_decisions_total", {{{HOST}, {"decision", "refused"}}}, ""},
	[SW_COUNT_REDIRECTED] = {"smtpwall_decisions_total",
				 {{{HOST}, {"decision", "redirected"}}},
				 ""},
	[SW_COUNT_AUDITED] = {"smtpwall_decisions_total", {{{HOST}, {"decision", "audited"}}}, ""},
	[SW_COUNT_UNIDENTIFIED] =
		{"smtpwall_unidentified_total",
		 {},
		 "Connections refused or audited whose caller could not be told."},
	[SW_COUNT_PACKET_DROPPED] = {"smtpwall_backstop_dropped_packets_total",
				     {},
				     "Packets to a guarded port that no connect() had passed: "
				     "dropped."},
	[SW_COUNT_EXISTING] = {"smtpwall_existing_connections_total",
			       {},
			       "Connections older than the policy that were let finish."},
	[SW_COUNT_EVENTS] = {"smtpwall_ring_events_total",
			     {},
			     "Events that the kernel handed to the daemon."},
	[SW_COUNT_SUPPRESSED] = {"smtpwall_events_suppressed_total",
				 {},
				 "Events left out by the flood limiter; decisions are counted all "
				 "the same."},
	[SW_COUNT_LOST] = {"smtpwall_events_lost_total",
			   {},
			   "Events for which the ring buffer had no room."},
	[SW_COUNT_TLS] = {"smtpwall_tls_connections_total",
			  {{{HOST}}},
			  "Connections that came to TLS as the policy requires."},
	[SW_COUNT_CONDEMNED] = {"smtpwall_condemned_connections_total",
				{{{HOST}}},
				"Connections that the gate ended, as they did not come to TLS as "
				"the policy requires."},
	[SW_COUNT_GATE_DROPPED] = {"smtpwall_gate_dropped_packets_total",
				   {},
				   "Packets of connections that the gate ended."},
	[SW_COUNT_GATE_HELD] = {"smtpwall_held_packets_total",
				{{{HOST}}},
				"Packets ahead of what the gate had read: dropped, TCP sends them "
				"again. At the edge also SYNs with data."},
	[SW_COUNT_SAMPLES] = {"smtpwall_samples_total",
			      {},
			      "First bytes of connections that the kernel handed to the daemon."},
	[SW_COUNT_SAMPLES_LOST] = {"smtpwall_samples_lost_total",
				   {},
				   "First bytes for which the ring buffer had no room."},
	[SW_COUNT_SESSIONS] = {"smtpwall_sessions_total",
			       {},
			       "Connections that were let through, and have ended."},
	[SW_COUNT_SERVE_CONNECT] = {"smtpwall_connects_total", {{{SERVE}}}, ""},
	[SW_COUNT_SERVE_ALLOWED] = {"smtpwall_decisions_total",
				    {{{SERVE}, {"decision", "allowed"}}},
				    ""},
	[SW_COUNT_SERVE_REFUSED] = {"smtpwall_decisions_total",
				    {{{SERVE}, {"decision", "refused"}}},
				    ""},
	[SW_COUNT_SERVE_AUDITED] = {"smtpwall_decisions_total",
				    {{{SERVE}, {"decision", "audited"}}},
				    ""},
	[SW_COUNT_SERVE_TLS] = {"smtpwall_tls_connections_total", {{{SERVE}}}, ""},
	[SW_COUNT_SERVE_CONDEMNED] = {"smtpwall_condemned_connections_total", {{{SERVE}}}, ""},
	[SW_COUNT_SERVE_DROPPED] =
		{"smtpwall_serve_dropped_packets_total",
		 {},
		 "Packets of clients that were refused, or whose session the gate ended."},
	[SW_COUNT_SERVE_HELD] = {"smtpwall_held_packets_total", {{{SERVE}}}, ""},
	[SW_COUNT_ELSEWHERE] =
		{"smtpwall_elsewhere_total",
		 {},
		 "Connections in which SMTP was spoken on a port that no rule names."},
	[SW_COUNT_EDGE_CONNECT] = {"smtpwall_connects_total", {{{EDGE}}}, ""},
	[SW_COUNT_EDGE_ALLOWED] = {"smtpwall_decisions_total",
				   {{{EDGE}, {"decision", "allowed"}}},
				   ""},
	[SW_COUNT_EDGE_REFUSED] = {"smtpwall_decisions_total",
				   {{{EDGE}, {"decision", "refused"}}},
				   ""},
	[SW_COUNT_EDGE_AUDITED] = {"smtpwall_decisions_total",
				   {{{EDGE}, {"decision", "audited"}}},
				   ""},
	[SW_COUNT_EDGE_DROPPED] = {"smtpwall_edge_dropped_packets_total",
				   {},
				   "Forwarded packets of every kind that did not pass."},
	[SW_COUNT_EDGE_RESETS] = {"smtpwall_edge_resets_total", {}, "RSTs sent to clients."},
	[SW_COUNT_EDGE_ANSWERS] = {"smtpwall_edge_answers_total",
				   {},
				   "554 greetings sent to refused clients."},
	[SW_COUNT_EDGE_MALFORMED] = {"smtpwall_edge_malformed_packets_total",
				     {},
				     "Forwarded packets dropped: headers that cannot be walked, "
				     "fragments."},
	[SW_COUNT_EDGE_UNKNOWN] = {"smtpwall_edge_unknown_packets_total",
				   {},
				   "Packets refused of connections whose beginning is not known."},
	[SW_COUNT_EDGE_EXISTING] = {"smtpwall_edge_existing_packets_total",
				    {},
				    "Such packets that passed under `existing keep`."},
	[SW_COUNT_EDGE_HELD] = {"smtpwall_held_packets_total", {{{EDGE}}}, ""},
	[SW_COUNT_EDGE_TLS] = {"smtpwall_tls_connections_total", {{{EDGE}}}, ""},
	[SW_COUNT_EDGE_CONDEMNED] = {"smtpwall_condemned_connections_total", {{{EDGE}}}, ""},
	[SW_COUNT_EDGE_OPENED] = {"smtpwall_edge_flows_opened_total",
				  {},
				  "Entries of the edge's flow table taken."},
	[SW_COUNT_EDGE_ENDED] = {"smtpwall_edge_flows_ended_total",
				 {},
				 "Of them: ended, or taken for another flow."},
	[SW_COUNT_EDGE_EVICTED] = {"smtpwall_edge_evicted_total",
				   {{{"table", "flows"}}},
				   "Entries in use whose place was taken for another, as a table "
				   "was full; flows_tls: flows in TLS."},
	[SW_COUNT_EDGE_EVICTED_TLS] = {"smtpwall_edge_evicted_total",
				       {{{"table", "flows_tls"}}},
				       ""},
	[SW_COUNT_EDGE_EVICTED_GATE] = {"smtpwall_edge_evicted_total", {{{"table", "gates"}}}, ""},
	[SW_COUNT_EDGE_EVICTED_SOURCE] = {"smtpwall_edge_evicted_total",
					  {{{"table", "sources"}}},
					  ""},
};
/* A unit test sees to it that none is missing between. */
static_assert(sw_count(counter_rows) == SW_COUNT_MAX, "a metric for each counter");

const char *sw_metrics_counter(enum sw_counter counter)
{
	return counter < SW_COUNT_MAX ? counter_rows[counter].name : NULL;
}

static bool same_family(size_t a, size_t b)
{
	return counter_rows[a].name && counter_rows[b].name &&
	       strcmp(counter_rows[a].name, counter_rows[b].name) == 0;
}

static bool is_first(size_t row)
{
	for (size_t i = 0; i < row; i++)
		if (same_family(i, row))
			return false;
	return counter_rows[row].name != NULL;
}

static void put_counters(FILE *to, const struct sw_metrics *metrics)
{
	for (size_t first = 0; first < SW_COUNT_MAX; first++) {
		if (!is_first(first))
			continue;
		family(to, counter_rows[first].name, "counter", counter_rows[first].help);
		for (size_t i = first; i < SW_COUNT_MAX && metrics->has_counters; i++)
			if (same_family(first, i))
				sample(to, counter_rows[i].name, counter_rows[i].labels,
				       metrics->counters[i]);
	}
}

/* ---- events ---- */

static const char *const kind_names[] = {
	[SW_EVENT_CONNECT] = "connect",     [SW_EVENT_PACKET] = "packet",
	[SW_EVENT_GATE] = "gate",           [SW_EVENT_EDGE] = "edge",
	[SW_EVENT_SESSION] = "session",     [SW_EVENT_SERVE] = "serve",
	[SW_EVENT_ELSEWHERE] = "elsewhere",
};
static_assert(sw_count(kind_names) == SW_EVENT_KIND_MAX, "a name for each kind");

#define V(name) (1u << SW_VERDICT_##name)
#define R(name) (1u << SW_REASON_##name)
#define R_GATE                                                                                     \
	(R(MALFORMED) | R(CLEARTEXT_COMMAND) | R(STARTTLS_INJECTION) | R(STARTTLS_STRIPPED) |      \
	 R(NOT_TLS) | R(TLS_TOO_OLD) | R(RESEND_MISMATCH) | R(TOO_LONG))

/*
 * Series that are there from the start, with 0: a series that begins with its first event hides that
 * one from rate() and increase(). What is not in here is there once it has happened.
 */
static const struct {
	enum sw_event_kind kind;
	uint32_t verdicts, reasons;
} expected[] = {
	{SW_EVENT_CONNECT, V(REJECT) | V(DROP) | V(AUDIT), R(NOT_PERMITTED) | R(UNIDENTIFIED)},
	{SW_EVENT_CONNECT, V(REJECT) | V(AUDIT), R(TABLE_FULL) | R(NO_TARGET)},
	{SW_EVENT_CONNECT, V(REDIRECT) | V(AUDIT), R(NONE)},
	{SW_EVENT_PACKET, V(DROP) | V(AUDIT), R(UNATTRIBUTED) | R(MALFORMED)},
	{SW_EVENT_GATE, V(RESET) | V(AUDIT), R_GATE | R(SHARED_PAGES)},
	{SW_EVENT_EDGE, V(REJECT) | V(DROP) | V(RESET) | V(AUDIT), R(NOT_PERMITTED)},
	{SW_EVENT_EDGE, V(DROP), R(MALFORMED)},
	{SW_EVENT_EDGE, V(RESET) | V(AUDIT), R_GATE | R(UNATTRIBUTED) | R(TABLE_FULL)},
	{SW_EVENT_SESSION, V(ALLOW), R(NONE)},
	{SW_EVENT_SERVE, V(RESET) | V(AUDIT), R_GATE},
	{SW_EVENT_ELSEWHERE, V(RESET) | V(AUDIT), R(SMTP_ELSEWHERE)},
};
static_assert(SW_VERDICT_MAX <= 32 && SW_REASON_MAX <= 32, "sets of them are bits");

static bool is_expected(unsigned int kind, unsigned int verdict, unsigned int reason)
{
	for (size_t i = 0; i < sw_count(expected); i++)
		if (expected[i].kind == kind && expected[i].verdicts >> verdict & 1 &&
		    expected[i].reasons >> reason & 1)
			return true;
	return false;
}

void sw_event_totals_add(struct sw_event_totals *totals, const struct sw_event *event)
{
	if (event->kind >= SW_EVENT_KIND_MAX || event->verdict >= SW_VERDICT_MAX ||
	    event->reason >= SW_REASON_MAX)
		return;
	totals->events[event->kind][event->verdict][event->reason]++;
	if (event->verb == SW_VERB_AUTH)
		totals->credentials[event->kind][event->verdict == SW_VERDICT_AUDIT ||
						 event->verdict == SW_VERDICT_ALLOW]++;
}

static void put_kind(FILE *to, const struct sw_event_totals *totals, unsigned int kind)
{
	for (unsigned int verdict = 0; verdict < SW_VERDICT_MAX; verdict++) {
		for (unsigned int reason = 0; reason < SW_REASON_MAX; reason++) {
			uint64_t n = totals->events[kind][verdict][reason];

			if (n || is_expected(kind, verdict, reason))
				sample(to, "smtpwall_events_total",
				       (struct labels){{{"kind", kind_names[kind]},
							{"verdict", sw_verdict_name(verdict)},
							{"reason", sw_reason_name(reason)}}},
				       n);
		}
	}
}

static void put_events(FILE *to, const struct sw_event_totals *totals)
{
	static const unsigned int gated[] = {SW_EVENT_GATE, SW_EVENT_EDGE, SW_EVENT_SERVE};
	static const char *const results[] = {"stopped", "passed"};

	family(to, "smtpwall_events_total", "counter",
	       "Events as the daemon took them, since it started. Decisions are counted by the "
	       "kernel: events may be suppressed or lost.");
	for (unsigned int kind = 1; kind < SW_EVENT_KIND_MAX; kind++)
		put_kind(to, totals, kind);
	family(to, "smtpwall_cleartext_credentials_total", "counter",
	       "Events that tell of AUTH before TLS; passed: by a rule that only records.");
	for (size_t i = 0; i < sw_count(gated); i++)
		for (size_t j = 0; j < sw_count(results); j++)
			sample(to, "smtpwall_cleartext_credentials_total",
			       (struct labels){
				       {{"kind", kind_names[gated[i]]}, {"result", results[j]}}},
			       totals->credentials[gated[i]][j]);
}

/* ---- what is in force ---- */

static void put_policy(FILE *to, const struct sw_metrics_policy *policy)
{
	static const char *const modes[] = {"enforce", "audit", "mixed"};
	bool any = policy->generation != 0;
	char generation[24], hash[13];

	snprintf(generation, sizeof(generation), "%llu", (unsigned long long)policy->generation);
	for (size_t i = 0; i < sizeof(hash) / 2; i++)
		snprintf(hash + 2 * i, 3, "%02x", policy->sha256[i]);
	family(to, "smtpwall_policy_info", "gauge",
	       "The policy in force: its number, and how its SHA-256 begins.");
	if (any)
		sample(to, "smtpwall_policy_info",
		       (struct labels){{{"generation", generation}, {"sha256", hash}}}, 1);
	single(to, "smtpwall_policy_rules", "gauge", "Rules of the policy in force.",
	       any ? policy->n_rules : 0);
	family(to, "smtpwall_policy_applied_timestamp_seconds", "gauge",
	       "When the policy in force was applied.");
	if (any)
		seconds(to, "smtpwall_policy_applied_timestamp_seconds", policy->applied_ns);
	family(to, "smtpwall_mode", "gauge",
	       "1 for the mode of the policy in force; mixed: some rules only record.");
	for (size_t i = 0; i < sw_count(modes); i++)
		sample(to, "smtpwall_mode", LABEL("mode", modes[i]),
		       any && strcmp(policy->mode, modes[i]) == 0);
}

static void put_force(FILE *to, const struct sw_metrics *metrics)
{
	single(to, "smtpwall_enforcing", "gauge",
	       "1: a policy that refuses is in force, and all hooks of the host are attached.",
	       metrics->enforcing);
	put_policy(to, &metrics->policy);
	single(to, "smtpwall_policy_confirm_pending", "gauge",
	       "1: the policy in force is taken back unless it is confirmed.",
	       metrics->confirm_pending);
	single(to, "smtpwall_policy_reload_failed", "gauge",
	       "1: the policy file could not be loaded; what is in force is older.",
	       metrics->reload_failed);
	family(to, "smtpwall_hook_attached", "gauge",
	       "1: the program of this hook runs on the guarded cgroup.");
	for (size_t i = 0; i < metrics->n_hooks; i++)
		sample(to, "smtpwall_hook_attached", LABEL("hook", metrics->hooks[i].name),
		       metrics->hooks[i].attached);
	family(to, "smtpwall_edge_interfaces", "gauge",
	       "Interfaces that the policy's edge blocks name; unguarded: should be and is not.");
	sample(to, "smtpwall_edge_interfaces", LABEL("state", "guarded"), metrics->edge_guarded);
	sample(to, "smtpwall_edge_interfaces", LABEL("state", "unguarded"),
	       metrics->edge_unguarded);
	single(to, "smtpwall_problems_total", "counter",
	       "Problems that the daemon met since it started: smtpwall status names the last.",
	       metrics->problems);
}

/* ---- rooms, sinks, the store ---- */

static void put_rooms(FILE *to, const char *label, const struct sw_metrics_room *rooms, size_t n,
		      const char *const family_of[2][2])
{
	for (size_t which = 0; which < 2; which++) {
		family(to, family_of[which][0], "gauge", family_of[which][1]);
		for (size_t i = 0; i < n; i++)
			sample(to, family_of[which][0], LABEL(label, rooms[i].name),
			       which ? rooms[i].size : rooms[i].used);
	}
}

static void put_all_rooms(FILE *to, const struct sw_metrics *metrics)
{
	static const char *const rings[2][2] = {
		{"smtpwall_ring_waiting_bytes", "Bytes that wait in a ring buffer to be read."},
		{"smtpwall_ring_size_bytes", "Size of a ring buffer."},
	};
	static const char *const tables[2][2] = {
		{"smtpwall_map_entries", "Entries in use of a table in the kernel."},
		{"smtpwall_map_max_entries", "Entries that a table in the kernel has room for."},
	};

	put_rooms(to, "ring", metrics->rings, metrics->n_rings, rings);
	put_rooms(to, "map", metrics->tables, metrics->n_tables, tables);
}

static const struct sink_row {
	const char *name, *type, *help;
	size_t offset;
} sink_rows[] = {
	{"smtpwall_sink_written_total", "counter", "Events that a sink has written.",
	 offsetof(struct sw_metrics_sink, written)},
	{"smtpwall_sink_lost_total", "counter",
	 "Events that were gone from memory before a sink could write them.",
	 offsetof(struct sw_metrics_sink, lost)},
	{"smtpwall_sink_retries_total", "counter",
	 "Batches that a sink could not write at the first try.",
	 offsetof(struct sw_metrics_sink, retries)},
	{"smtpwall_sink_behind_events", "gauge",
	 "Events in memory that a sink has not come to yet.",
	 offsetof(struct sw_metrics_sink, behind)},
};

/* Two of one kind would be one series twice: the second is told by its number. */
static void sink_name(const struct sw_metrics *metrics, size_t at, char *name, size_t size)
{
	unsigned int number = 1;

	for (size_t i = 0; i < at; i++)
		number += strcmp(metrics->sinks[i].name, metrics->sinks[at].name) == 0;
	if (number > 1)
		snprintf(name, size, "%s_%u", metrics->sinks[at].name, number);
	else
		snprintf(name, size, "%s", metrics->sinks[at].name);
}

static void put_sinks(FILE *to, const struct sw_metrics *metrics)
{
	char name[64];

	for (size_t row = 0; row < sw_count(sink_rows); row++) {
		family(to, sink_rows[row].name, sink_rows[row].type, sink_rows[row].help);
		for (size_t i = 0; i < metrics->n_sinks; i++) {
			uint64_t value;

			memcpy(&value, (const char *)&metrics->sinks[i] + sink_rows[row].offset,
			       sizeof(value));
			sink_name(metrics, i, name, sizeof(name));
			sample(to, sink_rows[row].name, LABEL("sink", name), value);
		}
	}
	family(to, "smtpwall_sink_failing", "gauge", "1: a sink could not write its last batch.");
	for (size_t i = 0; i < metrics->n_sinks; i++) {
		sink_name(metrics, i, name, sizeof(name));
		sample(to, "smtpwall_sink_failing", LABEL("sink", name), metrics->sinks[i].failing);
	}
}

static void put_store(FILE *to, const struct sw_metrics_store *store)
{
	family(to, "smtpwall_store_bytes", "gauge", "Size of the event store with its log.");
	if (store)
		sample(to, "smtpwall_store_bytes", NO_LABELS, store->bytes);
	family(to, "smtpwall_store_limit_bytes", "gauge",
	       "Size at which the oldest events are removed.");
	if (store && store->limit_bytes)
		sample(to, "smtpwall_store_limit_bytes", NO_LABELS, store->limit_bytes);
	family(to, "smtpwall_store_rows", "gauge", "What the event store holds.");
	if (store) {
		sample(to, "smtpwall_store_rows", LABEL("table", "events"), store->events);
		sample(to, "smtpwall_store_rows", LABEL("table", "sessions"), store->sessions);
	}
	family(to, "smtpwall_store_oldest_timestamp_seconds", "gauge",
	       "Time of the oldest event in the store.");
	if (store && store->oldest_ns)
		seconds(to, "smtpwall_store_oldest_timestamp_seconds", store->oldest_ns);
	family(to, "smtpwall_store_removed_total", "counter",
	       "Rows that were removed as too old or too many.");
	if (store)
		sample(to, "smtpwall_store_removed_total", NO_LABELS, store->removed);
}

/* ---- the process ---- */

static void put_process(FILE *to, const struct sw_metrics *metrics)
{
	const struct sw_metrics_process *process = &metrics->process;

	family(to, "smtpwall_build_info", "gauge", "The version of smtpwalld.");
	sample(to, "smtpwall_build_info", LABEL("version", metrics->version), 1);
	family(to, "process_start_time_seconds", "gauge", "When the daemon started.");
	fprintf(to, "process_start_time_seconds %.3f\n", process->started);
	family(to, "process_cpu_seconds_total", "counter", "Processor time of the daemon.");
	fprintf(to, "process_cpu_seconds_total %.3f\n", process->cpu);
	single(to, "process_resident_memory_bytes", "gauge", "Memory of the daemon.",
	       process->resident_bytes);
	single(to, "process_virtual_memory_bytes", "gauge", "Address space of the daemon.",
	       process->virtual_bytes);
	single(to, "process_open_fds", "gauge", "Open descriptors of the daemon.", process->fds);
	single(to, "process_max_fds", "gauge", "Descriptors that it may open.", process->fds_max);
}

char *sw_metrics_text(const struct sw_metrics *metrics, size_t *length)
{
	char *text = NULL;
	FILE *to = open_memstream(&text, length);
	bool failed;

	if (!to)
		return NULL;
	put_force(to, metrics);
	put_counters(to, metrics);
	single(to, "smtpwall_pretended_connections_total", "counter",
	       "Connections that began as TLS does and went on with something else: ended, or "
	       "recorded.",
	       metrics->pretended);
	put_events(to, metrics->totals);
	single(to, "smtpwall_bad_records_total", "counter",
	       "Records of the kernel that the daemon could not read.", metrics->bad_records);
	put_all_rooms(to, metrics);
	put_sinks(to, metrics);
	put_store(to, metrics->store);
	put_process(to, metrics);
	failed = ferror(to);
	failed |= fclose(to) != 0;
	if (!failed)
		return text;
	free(text);
	return NULL;
}
