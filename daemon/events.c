/* SPDX-License-Identifier: GPL-2.0-or-later */
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

static bool ends(const char *text, size_t size)
{
	return memchr(text, '\0', size) != NULL;
}

/* Either form becomes the whole one. */
static bool take_out(const void *bytes, size_t size, struct sw_event *event)
{
	const struct sw_event_short *names = bytes;

	if (size == sizeof(*event)) {
		memcpy(event, bytes, sizeof(*event));
		return event->size == size;
	}
	if (size != sizeof(*names))
		return false;
	memset(event, 0, sizeof(*event));
	memcpy(event, names->head, sizeof(names->head));
	memcpy(event->caller.exe, names->exe, sizeof(names->exe));
	memcpy(event->caller.cgroup, names->cgroup, sizeof(names->cgroup));
	if (event->size != size)
		return false;
	event->size = sizeof(*event);
	return true;
}

int sw_event_check(const void *bytes, size_t size, struct sw_event *event)
{
	if (!take_out(bytes, size, event) || event->version != SW_ABI_VERSION)
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

#define NAMES 4096       /* a web host has as many users */
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

/* ---- records ---- */

static const char *escaped(const char *text, char *to, size_t size)
{
	sw_text_escape(text, strlen(text), to, size);
	return to;
}

static void set_caller(struct sw_record *record, const struct sw_caller *caller,
		       const struct sw_event_about *about, struct sw_event_texts *texts)
{
	const char *note = sw_caller_note(caller);
	char unit[256];

	sw_unit_of_cgroup(caller->cgroup, unit);
	record->pid = caller->pid;
	record->uid = caller->uid;
	record->gid = caller->gid;
	record->text[SW_TEXT_USER] = about->user ? about->user : "";
	record->text[SW_TEXT_GROUP] = about->group ? about->group : "";
	record->text[SW_TEXT_EXE] = escaped(caller->exe, texts->exe, sizeof(texts->exe));
	record->text[SW_TEXT_EXE_NOTE] = note ? note : "";
	record->text[SW_TEXT_COMM] = escaped(caller->comm, texts->comm, sizeof(texts->comm));
	record->text[SW_TEXT_UNIT] = escaped(unit, texts->unit, sizeof(texts->unit));
	record->text[SW_TEXT_CGROUP] =
		escaped(caller->cgroup, texts->cgroup, sizeof(texts->cgroup));
}

static void set_where(struct sw_record *record, const struct sw_event *event,
		      const struct sw_event_about *about, struct sw_event_texts *texts)
{
	if (about->interface)
		escaped(about->interface, texts->interface, sizeof(texts->interface));
	else
		snprintf(texts->interface, sizeof(texts->interface), "%u", event->interface);
	record->text[SW_TEXT_INTERFACE] = texts->interface;
	record->vlan[0] = event->vlan[0];
	record->vlan[1] = event->vlan[1];
	record->pppoe_session = event->session;
	memcpy(record->mac, event->mac, sizeof(record->mac));
}

static void set_ends(struct sw_record *record, const struct sw_event *event)
{
	record->src_port = event->src_port;
	record->dst_port = event->dst_port;
	record->new_port = event->new_port;
	memcpy(record->src, event->src, sizeof(record->src));
	memcpy(record->dst, event->dst, sizeof(record->dst));
	memcpy(record->new_dst, event->new_dst, sizeof(record->new_dst));
	record->family = event->family;
}

static void set_rule(struct sw_record *record, const struct sw_event *event,
		     const struct sw_event_about *about, struct sw_event_texts *texts)
{
	const struct sw_rule_info *rule = about->rule;

	record->generation = event->generation;
	record->rule = event->rule == SW_RULE_NONE ? 0 : event->rule + 1;
	if (event->kind == SW_EVENT_EDGE)
		record->scope = SW_SCOPE_EDGE;
	else
		record->scope = event->served ? SW_SCOPE_SERVE : SW_SCOPE_HOST;
	if (!rule)
		return;
	record->scope = (uint8_t)rule->scope;
	record->line = rule->line;
	record->text[SW_TEXT_RULE] = escaped(rule->rule, texts->rule, sizeof(texts->rule));
	record->text[SW_TEXT_SENTENCE] =
		escaped(rule->text, texts->sentence, sizeof(texts->sentence));
}

void sw_event_record(const struct sw_event *event, const struct sw_event_about *about,
		     struct sw_event_texts *texts, struct sw_record *record)
{
	sw_record_init(record);
	record->time_ns = event->time_ns + about->boot_ns;
	record->kind = event->kind;
	record->verdict = event->verdict;
	record->reason = event->reason;
	record->suppressed = event->suppressed;
	record->tls = event->tls;
	record->tls_version = event->tls_version;
	record->verb = event->verb;
	record->verb_length = event->verb_length;
	record->mechanism = event->mechanism;
	record->from_server = event->from_server;
	if (event->kind == SW_EVENT_SESSION) {
		record->opened_ns = event->opened_ns + about->boot_ns;
		record->sent = event->sent;
		record->received = event->received;
		record->cipher = event->cipher;
	}
	set_rule(record, event, about, texts);
	set_ends(record, event);
	if (event->kind == SW_EVENT_EDGE)
		set_where(record, event, about, texts);
	else
		set_caller(record, &event->caller, about, texts);
	if (about->sni)
		record->text[SW_TEXT_SNI] = escaped(about->sni, texts->sni, sizeof(texts->sni));
}
