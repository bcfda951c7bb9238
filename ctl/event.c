/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "ctl/event.h"

#include <stdlib.h>
#include <string.h>

#include "ctl/ctl.h"
#include "ctl/when.h"
#include "daemon/policy/policy.h"
#include "daemon/proto.h"

/* Columns that most addresses and users fit into: a wider one moves its own line alone. */
#define ADDRESS 15
#define USER 8

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

/* Padded to so many columns. */
static void show_padded(FILE *to, const char *text, size_t columns)
{
	sw_autofree char *shown = sw_escaped(text);
	size_t width = sw_width(shown);

	fprintf(to, "%s%*s", shown, width < columns ? (int)(columns - width) : 0, "");
}

/* "25 -> 203.0.113.5"; of what this machine answers, the client: "25 <- 203.0.113.5". */
static void show_peer(FILE *to, const json_t *event)
{
	bool serve = !strcmp(sw_string(event, "scope"), "serve");

	fprintf(to, " %5lld %s ", (long long)sw_integer(event, "dst_port"), serve ? "<-" : "->");
	show_padded(to, sw_string(event, serve ? "src" : "dst"), ADDRESS);
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

	char number[24] = "";

	if (json_is_integer(json_object_get(event, "uid")))
		snprintf(number, sizeof(number), "%lld", (long long)sw_integer(event, "uid"));
	fputs("  ", to);
	show_padded(to, *user ? user : number, USER);
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

/* "12.3 kB" */
static void show_bytes(FILE *to, const char *before, json_int_t n, const char *behind)
{
	static const char *const units[] = {"kB", "MB", "GB", "TB"};
	double value = (double)n / 1000;
	size_t unit = 0;

	if (n < 1000) {
		fprintf(to, "%s%lld B%s", before, (long long)n, behind);
		return;
	}
	for (; value >= 1000 && unit < sw_count(units) - 1; unit++)
		value /= 1000;
	fprintf(to, "%s%.1f %s%s", before, value, units[unit], behind);
}

/* "1.3" of "0x0304"; "": not known. */
static const char *version_of(const json_t *event)
{
	const char *name = sw_tls_version_name(
		(unsigned int)strtoul(sw_string(event, "tls_version"), NULL, 16));

	return name ? name : "";
}

/* How a session went: " STARTTLS 1.3, sent 5.0 kB, received 700 B, in 2 s (mail.example.net)". */
static void show_session(FILE *to, const json_t *event)
{
	const char *tls = sw_string(event, "tls"), *version = version_of(event);
	uint64_t opened, ended;
	char span[SW_SPAN_SIZE];

	if (!strcmp(tls, "none"))
		fputs(" in clear", to);
	else
		fprintf(to, " %s%s%s", strcmp(tls, "starttls") ? "TLS" : "STARTTLS",
			*version ? " " : "", version);
	show_bytes(to, ", sent ", sw_integer(event, "sent"), "");
	show_bytes(to, ", received ", sw_integer(event, "received"), "");
	if (!sw_time_parse(sw_string(event, "opened"), &opened) &&
	    !sw_time_parse(sw_string(event, "time"), &ended) && ended >= opened) {
		sw_span_format(ended - opened, span);
		fprintf(to, ", in %s", span);
	}
	show(to, " (", sw_string(event, "sni"), ")");
}

/* "03:04:05.678Z" of today, with its date of any other day. */
static void show_time(FILE *to, const json_t *event, const char *today)
{
	char time[SW_TIME_TEXT_SIZE];
	size_t date = today ? strlen(today) : 0;

	sw_time_text(sw_string(event, "time"), 3, time);
	fputs(date && !strncmp(time, today, date) && time[date] == ' ' ? time + date + 1 : time,
	      to);
}

void sw_event_text(FILE *to, const json_t *event, const void *today)
{
	const char *kind = sw_string(event, "kind");
	bool session = !strcmp(kind, "session");

	show_time(to, event, today);
	if (session)
		fprintf(to, " %-10s", "ended");
	else
		show_verdict(to, sw_string(event, "verdict"));
	show_peer(to, event);
	if (strcmp(kind, "edge"))
		show_caller(to, event);
	else
		show_client(to, event);
	(session ? show_session : show_why)(to, event);
	fputc('\n', to);
}
