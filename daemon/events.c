/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <assert.h>
#include <errno.h>
#include <grp.h>
#include <pwd.h>
#include <string.h>
#include <time.h>

#include "daemon/base.h"
#include "daemon/events.h"
#include "daemon/members.h"
#include "daemon/policy/policy.h"
#include "daemon/policy/text.h"
#include "daemon/proto.h"

#define MAC_SIZE 18

static bool ends(const char *text, size_t size)
{
	return memchr(text, '\0', size) != NULL;
}

int sw_event_check(const void *bytes, size_t size, struct sw_event *event)
{
	if (size != sizeof(*event))
		return -EINVAL;
	memcpy(event, bytes, sizeof(*event));
	if (event->version != SW_ABI_VERSION || event->size != sizeof(*event))
		return -EINVAL;
	if (event->kind < SW_EVENT_CONNECT || event->kind >= SW_EVENT_KIND_MAX ||
	    event->verdict >= SW_VERDICT_MAX || event->reason >= SW_REASON_MAX)
		return -EINVAL;
	if (event->family != 4 && event->family != 6)
		return -EINVAL;
	if (event->rule >= SW_RULES_MAX && event->rule != SW_RULE_NONE)
		return -EINVAL;
	if (event->verb >= SW_VERB_MAX || event->mechanism >= SW_MECHANISM_MAX ||
	    event->tls >= SW_TLS_MAX || event->from_server > 1 || event->served > 1)
		return -EINVAL;
	if (!ends(event->caller.comm, sizeof(event->caller.comm)) ||
	    !ends(event->caller.exe, sizeof(event->caller.exe)) ||
	    !ends(event->caller.cgroup, sizeof(event->caller.cgroup)))
		return -EINVAL;
	return 0;
}

/* ---- names ---- */

#define NAMES 256
#define NAME_SECONDS 600 /* how long a name, or that there is none, is believed */

struct name {
	time_t until; /* CLOCK_MONOTONIC seconds; 0: empty */
	uint32_t id;
	bool found;
	char text[64];
};

struct sw_names {
	struct name users[NAMES], groups[NAMES];
};

struct sw_names *sw_names_new(void)
{
	return calloc(1, sizeof(struct sw_names));
}

void sw_names_free(struct sw_names *names)
{
	free(names);
}

static bool find_user(uint32_t id, char *to, size_t size)
{
	struct passwd entry, *result = NULL;
	char buffer[4096];

	if (getpwuid_r(id, &entry, buffer, sizeof(buffer), &result) != 0 || !result)
		return false;
	sw_text_escape(entry.pw_name, strlen(entry.pw_name), to, size);
	return true;
}

static bool find_group(uint32_t id, char *to, size_t size)
{
	struct group entry, *result = NULL;
	/* A group comes with its members; one that has too many for this stays a number. */
	char buffer[16384];

	if (getgrgid_r(id, &entry, buffer, sizeof(buffer), &result) != 0 || !result)
		return false;
	sw_text_escape(entry.gr_name, strlen(entry.gr_name), to, size);
	return true;
}

static const char *look_up(struct name table[static NAMES], uint32_t id,
			   bool (*find)(uint32_t id, char *to, size_t size))
{
	struct name *name = &table[id % NAMES];
	struct timespec now;

	if (id == UINT32_MAX)
		return NULL;
	clock_gettime(CLOCK_MONOTONIC, &now);
	if (name->until <= now.tv_sec || name->id != id) {
		name->id = id;
		name->until = now.tv_sec + NAME_SECONDS;
		name->found = find(id, name->text, sizeof(name->text));
	}
	return name->found ? name->text : NULL;
}

const char *sw_names_user(struct sw_names *names, uint32_t uid)
{
	return look_up(names->users, uid, find_user);
}

const char *sw_names_group(struct sw_names *names, uint32_t gid)
{
	return look_up(names->groups, gid, find_group);
}

/* ---- objects ---- */

static void set_rule(json_t *object, const struct sw_event *event, const struct sw_rule_info *rule)
{
	bool none = event->rule == SW_RULE_NONE;

	json_object_set_new(object, "rule", none ? json_null() : json_integer(event->rule + 1));
	json_object_set_new(object, "line", rule ? json_integer(rule->line) : json_null());
	json_object_set_new(object, "rule_text", sw_json_text(rule ? rule->rule : NULL));
	json_object_set_new(object, "text", sw_json_text(rule ? rule->text : NULL));
	json_object_set_new(
		object, "scope",
		json_string(sw_scope_name(rule                           ? rule->scope
					  : event->kind == SW_EVENT_EDGE ? SW_SCOPE_EDGE
									 : SW_SCOPE_HOST)));
}

static void set_ends(json_t *object, const struct sw_event *event)
{
	static const uint8_t none[16];
	bool bound = event->src_port || memcmp(event->src, none, sizeof(none)) != 0;

	json_object_set_new(object, "port", json_integer(event->dst_port));
	/* Most sockets get their own address only when the connection is let through. */
	json_object_set_new(object, "src", bound ? sw_json_address(event->src) : json_null());
	json_object_set_new(object, "src_port",
			    bound ? json_integer(event->src_port) : json_null());
	json_object_set_new(object, "dst", sw_json_address(event->dst));
	json_object_set_new(object, "dst_port", json_integer(event->dst_port));
	/* One that is refused with an answer goes to the daemon, which is nobody's redirect. */
	json_object_set_new(object, "redirect",
			    event->new_port && event->verdict != SW_VERDICT_REJECT
				    ? sw_json_end(event->new_dst, event->new_port)
				    : json_null());
}

/* ---- what the gate saw ---- */

static bool command(const struct sw_event *event, char to[static SW_COMMAND_SIZE])
{
	return sw_command_name(event->verb, event->verb_length, event->mechanism, to);
}

static void set_gate(json_t *object, const struct sw_event *event,
		     const struct sw_event_about *about)
{
	bool gate = event->kind == SW_EVENT_GATE || event->kind == SW_EVENT_EDGE;
	char verb[SW_COMMAND_SIZE];

	json_object_set_new(object, "tls",
			    gate ? json_string(sw_tls_name(event->tls)) : json_null());
	json_object_set_new(object, "sni", sw_json_text(about->sni));
	if (!gate)
		return;
	json_object_set_new(object, "tls_version", sw_json_version(event->tls_version));
	json_object_set_new(object, "from", json_string(event->from_server ? "server" : "client"));
	if (command(event, verb))
		json_object_set_new(object, "verb_length", json_integer(event->verb_length));
	json_object_set_new(object, "verb", sw_json_text(verb));
}

/* ---- where it came in ---- */

static bool has_mac(const struct sw_event *event)
{
	static const uint8_t none[sizeof(event->mac)];

	return memcmp(event->mac, none, sizeof(none)) != 0;
}

static void mac_text(const struct sw_event *event, char to[static MAC_SIZE])
{
	const uint8_t *mac = event->mac;

	snprintf(to, MAC_SIZE, "%02x:%02x:%02x:%02x:%02x:%02x", mac[0], mac[1], mac[2], mac[3],
		 mac[4], mac[5]);
}

static void interface_text(const struct sw_event *event, const struct sw_event_about *about,
			   char to[static SW_SHOWN_SIZE])
{
	if (about->interface)
		sw_text_escape(about->interface, strlen(about->interface), to, SW_SHOWN_SIZE);
	else
		snprintf(to, SW_SHOWN_SIZE, "%u", event->interface);
}

static void set_where(json_t *object, const struct sw_event *event,
		      const struct sw_event_about *about)
{
	char name[SW_SHOWN_SIZE], mac[MAC_SIZE];
	json_t *vlan = json_array();

	interface_text(event, about, name);
	mac_text(event, mac);
	for (size_t i = 0; i < sw_count(event->vlan); i++)
		if (event->vlan[i])
			json_array_append_new(vlan, json_integer(event->vlan[i]));
	json_object_set_new(object, "interface", json_string(name));
	json_object_set_new(object, "mac", has_mac(event) ? json_string(mac) : json_null());
	json_object_set_new(object, "vlan", vlan);
	json_object_set_new(object, "pppoe_session",
			    event->session ? json_integer(event->session) : json_null());
}

json_t *sw_event_json(const struct sw_event *event, const struct sw_event_about *about)
{
	static const char *const kinds[] = {
		[SW_EVENT_CONNECT] = "connect",     [SW_EVENT_PACKET] = "packet",
		[SW_EVENT_GATE] = "gate",           [SW_EVENT_EDGE] = "edge",
		[SW_EVENT_SESSION] = "session",     [SW_EVENT_SERVE] = "serve",
		[SW_EVENT_ELSEWHERE] = "elsewhere",
	};
	static_assert(sw_count(kinds) == SW_EVENT_KIND_MAX, "a name for each kind");
	json_t *object = json_object();
	char time[SW_TIME_SIZE];

	if (!object)
		return NULL;
	sw_time_format(event->time_ns + about->boot_ns, time);
	json_object_set_new(object, "time", json_string(time));
	json_object_set_new(object, "kind", json_string(kinds[event->kind]));
	json_object_set_new(object, "verdict", json_string(sw_verdict_name(event->verdict)));
	json_object_set_new(object, "reason", json_string(sw_reason_name(event->reason)));
	set_rule(object, event, about->rule);
	set_ends(object, event);
	if (event->kind == SW_EVENT_EDGE) {
		sw_json_set_no_caller(object);
		set_where(object, event, about);
	} else {
		sw_json_set_caller(object, &event->caller, about->user, about->group);
	}
	set_gate(object, event, about);
	json_object_set_new(object, "generation", json_integer((json_int_t)event->generation));
	json_object_set_new(object, "suppressed", json_integer(event->suppressed));
	return object;
}

/* ---- lines ---- */

/* At the edge: the gate's reasons, those of a connection that was let through first. */
static bool did_wrong(const struct sw_event *event)
{
	return event->reason >= SW_REASON_CLEARTEXT_COMMAND;
}

static const char *what_happened(const struct sw_event *event)
{
	switch (event->verdict) {
	case SW_VERDICT_ALLOW:
		return "passed";
	case SW_VERDICT_REDIRECT:
		return "redirected";
	case SW_VERDICT_RESET:
		return "reset";
	case SW_VERDICT_AUDIT:
		/* Of a connection that was open the words that follow say what it did. */
		if (event->kind == SW_EVENT_EDGE)
			return did_wrong(event) || !event->reason ? "recorded" : "would be refused";
		return event->reason && event->kind != SW_EVENT_GATE ? "would be refused"
								     : "recorded";
	case SW_VERDICT_DROP:
		/* A program is told; who sends through the edge waits in vain. */
		return event->kind == SW_EVENT_EDGE ? "dropped" : "refused";
	default:
		return "refused";
	}
}

static void print_caller(const struct sw_caller *caller, const char *user, FILE *to)
{
	char exe[SW_SHOWN_SIZE], unit[256], unit_shown[SW_SHOWN_SIZE];
	const char *name = *caller->exe ? caller->exe : caller->comm;

	sw_text_escape(name, strlen(name), exe, sizeof(exe));
	sw_unit_of_cgroup(caller->cgroup, unit);
	sw_text_escape(unit, strlen(unit), unit_shown, sizeof(unit_shown));
	if (user)
		fprintf(to, "user %s (", user);
	else if (caller->uid == UINT32_MAX)
		fputs("unknown user (", to);
	else
		fprintf(to, "user %u (", caller->uid);
	fputs(*exe ? exe : "a program without a name", to);
	if (*unit)
		fprintf(to, ", unit %s", unit_shown);
	if (sw_caller_note(caller))
		fprintf(to, "; %s", sw_caller_note(caller));
	fputc(')', to);
}

/* "192.0.2.7 port 40000 (tap3, 52:54:00:12:34:56, VLAN 7)" */
static void print_source(const struct sw_event *event, const struct sw_event_about *about, FILE *to)
{
	char src[SW_ADDR_SIZE], name[SW_SHOWN_SIZE], mac[MAC_SIZE];

	sw_addr_format(event->src, src);
	interface_text(event, about, name);
	mac_text(event, mac);
	fprintf(to, "%s", src);
	if (event->src_port)
		fprintf(to, " port %u", event->src_port);
	fprintf(to, " (%s%s", about->interface ? "" : "interface ", name);
	if (has_mac(event))
		fprintf(to, ", %s", mac);
	for (size_t i = 0; i < sw_count(event->vlan); i++)
		if (event->vlan[i])
			fprintf(to, ", VLAN %u", event->vlan[i]);
	if (event->session)
		fprintf(to, ", PPPoE session %u", event->session);
	fputc(')', to);
}

/* The command in a sentence: "AUTH PLAIN", "a command that begins with A", "a command". */
static void print_command(const struct sw_event *event, FILE *to)
{
	char text[SW_COMMAND_SIZE];

	if (command(event, text))
		fprintf(to, "a command that begins with %s", text);
	else
		fputs(*text ? text : "a command", to);
}

/* What was sent that should not have been. False: the words of the reason say it as well. */
static bool print_gate(const struct sw_event *event, FILE *to)
{
	const char *older = sw_tls_version_name(event->tls_version);

	switch (event->reason) {
	case SW_REASON_CLEARTEXT_COMMAND:
		print_command(event, to);
		fputs(" was sent before TLS began", to);
		return true;
	case SW_REASON_STARTTLS_STRIPPED:
		print_command(event, to);
		fputs(" was sent without TLS, as the server did not offer STARTTLS", to);
		return true;
	case SW_REASON_STARTTLS_INJECTION:
		fputs(event->from_server ? "the server sent what was not asked for before TLS began"
					 : "plain bytes were sent behind STARTTLS",
		      to);
		return true;
	case SW_REASON_NOT_TLS:
		if (event->from_server)
			fputs("the server's answer to the ClientHello", to);
		else if (event->verb)
			print_command(event, to);
		else
			fputs("what was sent", to);
		fputs(event->verb && !event->from_server ? " was sent where TLS was due"
							 : " is not TLS",
		      to);
		return true;
	case SW_REASON_TLS_TOO_OLD:
		if (older)
			fprintf(to, "the server chose TLS %s", older);
		return older != NULL;
	default:
		return false;
	}
}

static void print_reason(const struct sw_event *event, FILE *to)
{
	bool edge = event->kind == SW_EVENT_EDGE;

	if ((edge || event->kind == SW_EVENT_GATE) && print_gate(event, to))
		return;
	/* The reason's words are about sockets of this machine. */
	if (edge && event->reason == SW_REASON_UNATTRIBUTED)
		fputs("the beginning of the connection was not seen, or is forgotten", to);
	else
		fputs(sw_reason_words(event->reason), to);
}

static void print_why(const struct sw_event *event, const struct sw_rule_info *rule, FILE *to)
{
	char text[4 * sizeof(rule->rule)];

	if (rule) {
		sw_text_escape(rule->rule, strlen(rule->rule), text, sizeof(text));
		fprintf(to, ": line %u: %s", rule->line, text);
	} else if (event->rule != SW_RULE_NONE) {
		fprintf(to, ": rule %u of an earlier policy", event->rule + 1u);
	}
	/* "A rule says so" says nothing next to the rule. */
	if (event->reason != SW_REASON_NONE && event->reason != SW_REASON_NOT_PERMITTED) {
		fputs(": ", to);
		print_reason(event, to);
	}
	if (event->suppressed)
		fprintf(to, " (and %u more like it)", event->suppressed);
}

void sw_event_line(const struct sw_event *event, const struct sw_event_about *about, FILE *to)
{
	time_t seconds = (time_t)((event->time_ns + about->boot_ns) / 1000000000u);
	char clock[16], dst[SW_ADDR_SIZE];
	struct tm local;

	if (!localtime_r(&seconds, &local) || !strftime(clock, sizeof(clock), "%T", &local))
		strcpy(clock, "--:--:--");
	sw_addr_format(event->dst, dst);
	fprintf(to, "%s  %s  ", clock, what_happened(event));
	if (event->kind == SW_EVENT_EDGE)
		print_source(event, about, to);
	else
		print_caller(&event->caller, about->user, to);
	fprintf(to, " -> %s port %u", dst, event->dst_port);
	if (event->new_port && event->verdict == SW_VERDICT_REJECT) {
		fputs(" (and told so)", to);
	} else if (event->new_port) {
		sw_addr_format(event->new_dst, dst);
		fprintf(to, ", to %s port %u instead", dst, event->new_port);
	}
	if (event->kind == SW_EVENT_PACKET)
		fputs(" (a packet)", to);
	print_why(event, about->rule, to);
}

/* ---- history ---- */

struct sw_history *sw_history_new(void)
{
	struct sw_history *history = calloc(1, sizeof(*history));

	if (history)
		history->first = history->next = 1;
	return history;
}

void sw_history_free(struct sw_history *history)
{
	for (size_t i = 0; history && i < SW_HISTORY_SIZE; i++)
		free(history->entries[i].frame);
	free(history);
}

void sw_history_add(struct sw_history *history, uint64_t time_ns, char *frame, size_t length)
{
	struct sw_history_entry *entry = &history->entries[history->next % SW_HISTORY_SIZE];

	free(entry->frame);
	*entry = (struct sw_history_entry){.time_ns = time_ns, .frame = frame, .length = length};
	history->next++;
	if (history->next - history->first > SW_HISTORY_SIZE)
		history->first = history->next - SW_HISTORY_SIZE;
}

const struct sw_history_entry *sw_history_get(const struct sw_history *history, uint64_t number)
{
	if (number < history->first || number >= history->next)
		return NULL;
	return &history->entries[number % SW_HISTORY_SIZE];
}
