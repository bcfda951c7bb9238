/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "ctl/event.h"

#include <string.h>

#include "ctl/ctl.h"

static const struct {
	const char *verdict, *word;
	enum sw_color color;
} verdicts[] = {
	{"allow", "allowed", SW_GREEN},   {"reject", "refused", SW_RED},
	{"drop", "dropped", SW_RED},      {"redirect", "redirected", SW_YELLOW},
	{"audit", "recorded", SW_YELLOW}, {"reset", "reset", SW_RED},
};

static void show_verdict(FILE *to, const char *verdict)
{
	for (size_t i = 0; i < sw_count(verdicts); i++) {
		if (strcmp(verdicts[i].verdict, verdict))
			continue;
		fprintf(to, " %s%-10s%s", sw_color(to, verdicts[i].color), verdicts[i].word,
			sw_color(to, SW_PLAIN));
		return;
	}
	fprintf(to, " %-10s", "?");
}

static void show(FILE *to, const char *before, const char *text, const char *behind)
{
	sw_autofree char *shown = sw_escaped(text);

	if (*text)
		fprintf(to, "%s%s%s", before, shown, behind);
}

static void show_destination(FILE *to, const json_t *event)
{
	fprintf(to, " %5lld ->", (long long)sw_integer(event, "dst_port"));
	show(to, " ", sw_string(event, "dst"), "");
	show(to, " (sent to ", sw_string(event, "redirect"), ")");
}

/* Who it was at the edge: "198.51.100.7 (tap3 02:00:00:00:00:07 vlan 100.7 session 4)". */
static void show_client(FILE *to, const json_t *event)
{
	json_t *id;
	size_t i;

	show(to, "  ", sw_string(event, "src"), "");
	show(to, " (", sw_string(event, "interface"), "");
	show(to, " ", sw_string(event, "mac"), "");
	json_array_foreach (json_object_get(event, "vlan"), i, id)
		fprintf(to, "%s%lld", i ? "." : " vlan ", (long long)json_integer_value(id));
	if (json_is_integer(json_object_get(event, "pppoe_session")))
		fprintf(to, " session %lld", (long long)sw_integer(event, "pppoe_session"));
	fputc(')', to);
}

/* Who it was: by name where there is one, and by program or, without a path, by its short name. */
static void show_caller(FILE *to, const json_t *event)
{
	const char *user = sw_string(event, "user"), *exe = sw_string(event, "exe"),
		   *unit = sw_string(event, "unit"), *cgroup = sw_string(event, "cgroup");

	if (*user)
		show(to, "  ", user, "");
	else if (json_is_integer(json_object_get(event, "uid")))
		fprintf(to, "  %lld", (long long)sw_integer(event, "uid"));
	if (*exe)
		show(to, " ", exe, "");
	else
		show(to, " [", sw_string(event, "comm"), "]");
	show(to, " <", sw_string(event, "exe_note"), ">");
	/* The guarded cgroup itself says nothing. */
	if (*unit || strcmp(cgroup, "/"))
		show(to, " (", *unit ? unit : cgroup, ")");
}

/* What the gate saw: ": AUTH PLAIN", ": A..." of a command that was refused in its first letters. */
static void show_gate(FILE *to, const json_t *event)
{
	bool cut = json_is_integer(json_object_get(event, "verb_length"));

	show(to, ": ", sw_string(event, "verb"), cut ? "..." : "");
	if (!strcmp(sw_string(event, "from"), "server"))
		fputs(" from the server", to);
	show(to, " (", sw_string(event, "sni"), ")");
}

static void show_why(FILE *to, const json_t *event)
{
	const char *reason = sw_string(event, "reason");

	if (sw_integer(event, "line"))
		fprintf(to, " line %lld", (long long)sw_integer(event, "line"));
	if (strcmp(reason, "none"))
		show(to, " ", reason, "");
	show_gate(to, event);
	if (sw_integer(event, "suppressed"))
		fprintf(to, " (and %lld like it before)",
			(long long)sw_integer(event, "suppressed"));
}

void sw_event_text(FILE *to, const json_t *event, const void *context)
{
	char time[SW_TIME_TEXT_SIZE];

	(void)context;
	sw_time_text(sw_string(event, "time"), 6, time);
	fputs(time, to);
	show_verdict(to, sw_string(event, "verdict"));
	show_destination(to, event);
	if (strcmp(sw_string(event, "kind"), "edge"))
		show_caller(to, event);
	else
		show_client(to, event);
	show_why(to, event);
	fputc('\n', to);
}
