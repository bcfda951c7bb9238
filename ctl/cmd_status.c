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
static const struct {
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
	{"events", "events recorded"},
	{"suppressed", "events left out in floods, counted"},
	{"lost", "events lost for want of room"},
	{"samples", "first bytes handed to inspection"},
	{"samples_lost", "of those lost for want of room: shown without names"},
};

static void show_counters(FILE *to, const json_t *values)
{
	fputc('\n', to);
	for (size_t i = 0; i < sw_count(counters); i++) {
		json_int_t value = sw_integer(values, counters[i].name);
		bool alarming = value && (!strcmp(counters[i].name, "lost") ||
					  !strcmp(counters[i].name, "samples_lost"));

		fprintf(to, "%s%12lld%s  %s\n", alarming ? sw_color(to, SW_RED) : "",
			(long long)value, alarming ? sw_color(to, SW_PLAIN) : "",
			counters[i].words);
	}
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
		"hook attached, how much was decided, and what was lost.",
	.run = status,
};
