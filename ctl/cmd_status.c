/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <string.h>

#include "ctl/ctl.h"
#include "ctl/when.h"
#include "daemon/proto.h"

static void line(FILE *to, const char *label, const char *text)
{
	sw_autofree char *shown = sw_escaped(text);

	fprintf(to, "%-10s%s\n", label, shown);
}

/* "2026-01-02 03:04:05Z (2 h 5 min ago)", or how long it is until then. */
static void moment(FILE *to, const char *label, const char *time)
{
	char text[SW_TIME_TEXT_SIZE], span[SW_SPAN_SIZE];
	uint64_t now = sw_when_now(), then;

	if (!*time)
		return;
	sw_time_text(time, 0, text);
	if (sw_time_parse(time, &then)) {
		fprintf(to, "%-10s%s\n", label, text);
		return;
	}
	sw_span_format(then > now ? then - now : now - then, span);
	fprintf(to, then > now ? "%-10s%s (in %s)\n" : "%-10s%s (%s ago)\n", label, text, span);
}

static void show_policy(FILE *to, const json_t *policy)
{
	long long rules = sw_integer(policy, "rules");

	if (!sw_integer(policy, "generation")) {
		line(to, "policy", "none is in force: nothing is guarded");
		return;
	}
	line(to, "policy", sw_string(policy, "path"));
	fprintf(to, "%-10sgeneration %lld, %lld rule%s, sha256 %.16s\n", "",
		(long long)sw_integer(policy, "generation"), rules, rules == 1 ? "" : "s",
		sw_string(policy, "sha256"));
	moment(to, "applied", sw_string(policy, "applied"));
}

static void show_mode(FILE *to, const json_t *data)
{
	const char *mode = sw_string(data, "mode");
	bool enforcing = sw_is_true(data, "enforcing");
	sw_autofree char *shown = sw_escaped(mode);

	fprintf(to, "%-10s%s%s%s", "mode", sw_color(to, enforcing ? SW_GREEN : SW_RED), shown,
		sw_color(to, SW_PLAIN));
	if (!enforcing)
		fputs(strcmp(mode, "audit") ? " (not enforced: see hooks and problems)"
					    : " (recorded, nothing is refused)",
		      to);
	else if (!strcmp(mode, "mixed"))
		fputs(" (some blocks enforce, some only record)", to);
	fputc('\n', to);
}

static void show_hooks(FILE *to, const json_t *hooks)
{
	static const char *const heads[] = {"HOOK", ">PROGRAM", ">LINK", "STATE"};
	struct sw_table *table = sw_table_new(heads, sw_count(heads));
	size_t i;
	json_t *hook;

	json_array_foreach (hooks, i, hook) {
		const char *problem = sw_string(hook, "problem");
		char program[24], link[24];

		snprintf(program, sizeof(program), "%lld",
			 (long long)sw_integer(hook, "program_id"));
		snprintf(link, sizeof(link), "%lld", (long long)sw_integer(hook, "link_id"));
		if (!*problem)
			problem = sw_is_true(hook, "attached") ? "attached" : "NOT ATTACHED";
		sw_table_row(table, (const char *const[]){sw_string(hook, "hook"), program, link,
							  problem});
	}
	fputc('\n', to);
	sw_table_print(table, to);
	sw_table_free(table);
}

/* The daemon's counters in the order in which they are read, each with what it counts. */
static const struct counter {
	const char *name, *words;
} counters[] = {
	{"connect", "connections to guarded ports were asked for"},
	{"allowed", "allowed"},
	{"refused", "refused"},
	{"redirected", "sent elsewhere"},
	{"audited", "let through that would have been refused"},
	{"unidentified", "of those refused or let through so: caller not identified"},
	{"packet_dropped", "packets dropped that no allowed connection sent"},
	{"existing", "connections older than the policy, let finish"},
	{"tls", "connections that came to TLS as required"},
	{"condemned", "connections ended for what they sent before TLS"},
	{"gate_dropped", "packets of theirs dropped"},
	{"pretended", "connections that inspection ended or recorded, since smtpwalld started"},
	{"gate_held", "packets ahead of what was read, dropped and sent again by TCP"},
	{"sessions", "connections that were let through, and have ended"},
	{"events", "events told to smtpwalld"},
	{"suppressed", "events left out in floods, counted"},
	{"lost", "events lost for want of room"},
	{"samples", "first bytes handed to inspection"},
	{"samples_lost", "of those lost for want of room: shown without names"},
};

static void show_counter(FILE *to, const json_t *values, const struct counter *counter)
{
	json_int_t value = sw_integer(values, counter->name);
	bool alarming =
		value && (!strcmp(counter->name, "lost") || !strcmp(counter->name, "samples_lost"));

	fprintf(to, "%s%12lld%s  %s\n", alarming ? sw_color(to, SW_RED) : "", (long long)value,
		alarming ? sw_color(to, SW_PLAIN) : "", counter->words);
}

static void show_counters(FILE *to, const json_t *values)
{
	fputc('\n', to);
	for (size_t i = 0; i < sw_count(counters); i++)
		show_counter(to, values, &counters[i]);
}

static const struct counter edge_counters[] = {
	{"connect", "SYNs to ports that are guarded at the edge"},
	{"allowed", "allowed"},
	{"refused", "refused"},
	{"audited", "SYNs and connections let through that would have been refused"},
	{"dropped", "packets of every kind that did not pass"},
	{"resets", "resets sent to clients"},
	{"answers", "554 greetings sent to clients"},
	{"malformed", "packets dropped: headers that cannot be walked, fragments"},
	{"unknown", "packets refused of connections whose beginning was not seen"},
	{"existing", "packets of such connections let through for the time of \"existing keep\""},
	{"held", "packets ahead of what was read, dropped and sent again by TCP"},
	{"tls", "connections that came to TLS as required"},
	{"condemned", "connections ended for what was sent before TLS"},
};

static void show_interfaces(FILE *to, const json_t *interfaces)
{
	static const char *const heads[] = {"INTERFACE", ">INDEX", "MODE", "STATE"};
	struct sw_table *table = sw_table_new(heads, sw_count(heads));
	size_t i;
	json_t *one;

	json_array_foreach (interfaces, i, one) {
		const char *problem = sw_string(one, "problem"), *mode = sw_string(one, "mode"),
			   *kept = sw_string(one, "kept_until");
		sw_autofree char *state = NULL;
		char index[24], until[SW_TIME_TEXT_SIZE];
		uint64_t then = 0;
		bool keeps = *kept && !sw_time_parse(kept, &then) && then > sw_when_now();

		snprintf(index, sizeof(index), "%lld", (long long)sw_integer(one, "index"));
		sw_time_text(kept, 0, until);
		if (asprintf(&state, "%s%s%s%s%s",
			     sw_is_true(one, "attached") ? "attached" : "NOT ATTACHED",
			     *problem ? ": " : "", problem,
			     keeps ? "; older connections pass until " : "",
			     keeps ? until : "") < 0)
			continue;
		sw_table_row(table, (const char *const[]){sw_string(one, "name"), index,
							  *mode ? mode : "-", state});
	}
	fputc('\n', to);
	if (json_array_size(interfaces))
		sw_table_print(table, to);
	else
		fputs("edge      no interface is there that an edge block names\n", to);
	sw_table_free(table);
}

/* "flows     812 of 1048576 in use (0.1 %); 3 lost their place to others". */
static void show_fill(FILE *to, const char *label, const json_t *fill)
{
	json_int_t used = sw_integer(fill, "used"), room = sw_integer(fill, "room");
	json_int_t evicted = sw_integer(fill, "evicted"), tls = sw_integer(fill, "evicted_tls");

	fprintf(to, "%-10s%lld of %lld in use (%.1f %%)", label, (long long)used, (long long)room,
		room > 0 ? 100.0 * (double)used / (double)room : 0.0);
	if (evicted || tls)
		fprintf(to, "; %s%lld lost their place to others%s", sw_color(to, SW_RED),
			(long long)(evicted + tls), sw_color(to, SW_PLAIN));
	if (tls)
		fprintf(to, ", %lld of them in TLS", (long long)tls);
	fputc('\n', to);
}

static void show_sources(FILE *to, const json_t *edge)
{
	static const char *const heads[] = {"REFUSED MOST", "INTERFACE", ">REFUSED", ">PER SECOND",
					    "LAST"};
	const json_t *sources = json_object_get(edge, "sources");
	struct sw_table *table = sw_table_new(heads, sw_count(heads));
	size_t i;
	json_t *one;

	json_array_foreach (sources, i, one) {
		char refused[24], rate[24], last[SW_TIME_TEXT_SIZE];

		snprintf(refused, sizeof(refused), "%lld", (long long)sw_integer(one, "refused"));
		snprintf(rate, sizeof(rate), "%lld", (long long)sw_integer(one, "per_second"));
		sw_time_text(sw_string(one, "last"), 0, last);
		sw_table_row(table, (const char *const[]){sw_string(one, "source"),
							  sw_string(one, "interface"), refused,
							  rate, last});
	}
	if (json_array_size(sources)) {
		fputc('\n', to);
		sw_table_print(table, to);
	}
	sw_table_free(table);
	if (sw_integer(edge, "sources_evicted"))
		fprintf(to, "%12lld  sources lost their place in this list to others\n",
			(long long)sw_integer(edge, "sources_evicted"));
}

static void show_edge(FILE *to, const json_t *edge)
{
	const json_t *values = json_object_get(edge, "counters");

	if (!json_is_object(edge))
		return;
	show_interfaces(to, json_object_get(edge, "interfaces"));
	fputc('\n', to);
	show_fill(to, "flows", json_object_get(edge, "flows"));
	show_fill(to, "gates", json_object_get(edge, "gates"));
	fputc('\n', to);
	for (size_t i = 0; i < sw_count(edge_counters); i++)
		show_counter(to, values, &edge_counters[i]);
	show_sources(to, edge);
}

static void show_sinks(FILE *to, const json_t *sinks)
{
	static const char *const heads[] = {"EVENTS TO", ">WRITTEN", ">LOST", "STATE"};
	struct sw_table *table = sw_table_new(heads, sw_count(heads));
	size_t i;
	json_t *sink;

	json_array_foreach (sinks, i, sink) {
		const char *problem = sw_string(sink, "problem");
		char written[24], lost[24];

		snprintf(written, sizeof(written), "%lld", (long long)sw_integer(sink, "written"));
		snprintf(lost, sizeof(lost), "%lld", (long long)sw_integer(sink, "lost"));
		sw_table_row(table, (const char *const[]){sw_string(sink, "sink"), written, lost,
							  *problem ? problem : "in order"});
	}
	if (json_array_size(sinks)) {
		fputc('\n', to);
		sw_table_print(table, to);
	}
	sw_table_free(table);
}

static void show_problems(FILE *to, const json_t *problems)
{
	size_t i;
	json_t *problem;

	if (json_array_size(problems))
		fputc('\n', to);
	json_array_foreach (problems, i, problem) {
		const char *text = json_string_value(problem);
		sw_autofree char *shown = sw_escaped(text ? text : "");

		fprintf(to, "%sproblem%s   %s\n", sw_color(to, SW_RED), sw_color(to, SW_PLAIN),
			shown);
	}
}

static void status_text(FILE *to, const json_t *data, const void *context)
{
	sw_autofree char *version = sw_escaped(sw_string(data, "version"));
	const char *confirm_before = sw_string(data, "confirm_before");

	(void)context;
	fprintf(to, "%-10s%s, process %lld\n", "smtpwalld", version,
		(long long)sw_integer(data, "pid"));
	moment(to, "since", sw_string(data, "since"));
	show_mode(to, data);
	show_policy(to, json_object_get(data, "policy"));
	moment(to, "confirm", confirm_before);
	if (*confirm_before)
		fprintf(to, "%-10sthen the policy before comes back, unless it is confirmed\n", "");
	line(to, "cgroup", sw_string(data, "cgroup"));
	show_hooks(to, json_object_get(data, "hooks"));
	show_counters(to, json_object_get(data, "counters"));
	show_sinks(to, json_object_get(data, "sinks"));
	show_edge(to, json_object_get(data, "edge"));
	show_problems(to, json_object_get(data, "problems"));
}

static int status(struct sw_ctl *ctl, int argc, char **argv)
{
	json_auto_t *request = json_pack("{s:s}", "request", "status"), *answer = NULL;
	int r = sw_ctl_arguments(ctl, &sw_cmd_status, argc, argv, NULL);

	if (r >= 0)
		return r;
	r = sw_ctl_ask(ctl, request, NULL, 0, &answer);
	if (!r)
		ctl->out->data(answer, status_text, NULL);
	return r;
}

const struct sw_command sw_cmd_status = {
	.name = "status",
	.summary = "mode, policy, hooks, counters, losses, since when",
	.about =
		"Shows what smtpwalld does now: the policy in force, whether the kernel has every\n"
		"hook attached, how much was decided, and what was lost; and of the edge its\n"
		"interfaces, how full its tables are, and which clients were refused most.",
	.run = status,
};
