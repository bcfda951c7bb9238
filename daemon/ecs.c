/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "daemon/ecs.h"

#include <assert.h>
#include <ctype.h>
#include <stdio.h>
#include <string.h>

#include "bpf/vocabulary.h"
#include "daemon/base.h"
#include "daemon/policy/policy.h"
#include "daemon/proto.h"
#include "daemon/record_json.h"

/* ---- members that ECS has a field for ---- */

enum change {
	AS_IT_IS = 0,
	AS_TEXT, /* ECS has numbers that only name something as text */
	AS_MAC,  /* RFC 7042: upper case, with hyphens */
	NOWHERE, /* said by another field, see set_derived() */
};

static const struct mapping {
	const char *member; /* of the event object */
	const char *field;
	enum change change;
} mappings[] = {
	{"time", "@timestamp", AS_IT_IS},
	{"id", "event.sequence", AS_IT_IS},
	{"reason", "event.code", AS_IT_IS},
	{"opened", "event.start", AS_IT_IS},
	{"rule", "rule.id", AS_TEXT},
	{"rule_text", "rule.name", AS_IT_IS},
	{"generation", "rule.version", AS_TEXT},
	{"src", "source.ip", AS_IT_IS},
	{"src_port", "source.port", AS_IT_IS},
	{"mac", "source.mac", AS_MAC},
	{"dst", "destination.ip", AS_IT_IS},
	{"dst_port", "destination.port", AS_IT_IS},
	{"port", NULL, NOWHERE},
	{"redirect", NULL, NOWHERE},
	{"sent", NULL, NOWHERE},
	{"received", NULL, NOWHERE},
	{"pid", "process.pid", AS_IT_IS},
	{"comm", "process.name", AS_IT_IS},
	{"exe", "process.executable", AS_IT_IS},
	{"uid", "user.id", AS_TEXT},
	{"user", "user.name", AS_IT_IS},
	{"gid", "user.group.id", AS_TEXT},
	{"group", "user.group.name", AS_IT_IS},
	{"interface", "observer.ingress.interface.name", AS_IT_IS},
	{"vlan", NULL, NOWHERE},
	{"tls_version", NULL, NOWHERE},
	{"sni", "tls.client.server_name", AS_IT_IS},
	/* As ECS asks for. */
	{"sni", "destination.domain", AS_IT_IS},
};

/* Puts a value (taken) at a path like "source.ip", making the objects on the way. */
static void set(json_t *object, const char *path, json_t *value)
{
	for (const char *dot; (dot = strchr(path, '.')); path = dot + 1) {
		json_t *inner = json_object_getn(object, path, (size_t)(dot - path));

		if (!inner) {
			inner = json_object();
			json_object_setn_new(object, path, (size_t)(dot - path), inner);
		}
		object = inner;
	}
	json_object_set_new(object, path, value);
}

static void set_text(json_t *object, const char *path, const char *text)
{
	if (text && *text)
		set(object, path, json_string(text));
}

static void set_number(json_t *object, const char *path, uint64_t number)
{
	set(object, path, json_integer((json_int_t)number));
}

static json_t *mac(const char *text)
{
	char to[32] = "";

	for (size_t i = 0; text[i] && i < sizeof(to) - 1; i++)
		to[i] = text[i] == ':' ? '-' : (char)toupper((unsigned char)text[i]);
	return json_string(to);
}

static json_t *changed(json_t *value, enum change change)
{
	if (change == AS_TEXT && json_is_integer(value))
		return json_sprintf("%" JSON_INTEGER_FORMAT, json_integer_value(value));
	if (change == AS_MAC && json_is_string(value))
		return mac(json_string_value(value));
	return json_incref(value);
}

/* pid 0 and an empty list say that there is none. */
static bool is_known(const char *member, const json_t *value)
{
	if (strcmp(member, "pid") == 0 && json_integer_value(value) == 0)
		return false;
	return !json_is_null(value) && !(json_is_array(value) && json_array_size(value) == 0);
}

static void set_members(json_t *object, json_t *event)
{
	const char *member;
	json_t *value;

	json_object_foreach (event, member, value) {
		bool mapped = false;

		if (!is_known(member, value))
			continue;
		for (size_t i = 0; i < sw_count(mappings); i++) {
			const struct mapping *mapping = &mappings[i];

			if (strcmp(mapping->member, member) != 0)
				continue;
			mapped = true;
			if (mapping->change != NOWHERE)
				set(object, mapping->field, changed(value, mapping->change));
		}
		if (!mapped) {
			char path[64];

			snprintf(path, sizeof(path), "smtpwall.%s", member);
			set(object, path, json_incref(value));
		}
	}
}

/* ---- what happened, in the words of ECS ---- */

/* The first part of event.action: what it was about. */
static const char *const subjects[] = {
	[SW_EVENT_CONNECT] = "connect",     [SW_EVENT_PACKET] = "packet",
	[SW_EVENT_GATE] = "session",        [SW_EVENT_EDGE] = "forward",
	[SW_EVENT_SESSION] = "session",     [SW_EVENT_SERVE] = "serve",
	[SW_EVENT_ELSEWHERE] = "elsewhere",
};
static_assert(sw_count(subjects) == SW_EVENT_KIND_MAX, "a subject for each kind");

static const char *subject(unsigned int kind)
{
	return kind < sw_count(subjects) && subjects[kind] ? subjects[kind] : "unknown";
}

/* The second part, and whether it was let through. */
static const struct {
	const char *verb, *type;
} outcomes[] = {
	[SW_VERDICT_ALLOW] = {"allowed", "allowed"},
	[SW_VERDICT_REJECT] = {"refused", "denied"},
	[SW_VERDICT_DROP] = {"refused", "denied"},
	[SW_VERDICT_REDIRECT] = {"redirected", "allowed"},
	[SW_VERDICT_AUDIT] = {"recorded", "allowed"},
	[SW_VERDICT_RESET] = {"reset", "denied"},
};
static_assert(sw_count(outcomes) == SW_VERDICT_MAX, "an outcome for each verdict");

/* Was it about what was said on a connection, rather than about opening one? */
static bool is_about_protocol(const struct sw_record *record)
{
	return record->kind == SW_EVENT_GATE || record->kind == SW_EVENT_SERVE ||
	       record->kind == SW_EVENT_ELSEWHERE || record->verdict == SW_VERDICT_RESET;
}

static void set_event(json_t *object, const struct sw_record *record)
{
	bool ended = record->kind == SW_EVENT_SESSION;
	unsigned int verdict =
		record->verdict < SW_VERDICT_MAX ? record->verdict : SW_VERDICT_AUDIT;
	const char *verb = ended ? "ended" : outcomes[verdict].verb;
	json_t *types = json_array();

	/* ECS: an alert is what firewalls and the like send; also where they only would have refused. */
	set_text(object, "event.kind", record->reason && !ended ? "alert" : "event");
	set(object, "event.category", json_pack("[s]", "network"));
	json_array_append_new(types, json_string("connection"));
	if (!ended && is_about_protocol(record))
		json_array_append_new(types, json_string("protocol"));
	json_array_append_new(types, json_string(ended ? "end" : outcomes[verdict].type));
	set(object, "event.type", types);
	set(object, "event.action", json_sprintf("%s-%s", subject(record->kind), verb));
	set_text(object, "event.module", "smtpwall");
	set_text(object, "event.provider", "smtpwalld");
}

static void set_session(json_t *object, const struct sw_record *record)
{
	/* What this machine sent; of a session that it answers it is the destination. */
	bool served = record->scope == SW_SCOPE_SERVE;
	char time[SW_TIME_SIZE];

	sw_time_format(record->time_ns, time);
	set_text(object, "event.end", time);
	if (record->time_ns >= record->opened_ns)
		set_number(object, "event.duration", record->time_ns - record->opened_ns);
	set_number(object, "source.bytes", served ? record->received : record->sent);
	set_number(object, "destination.bytes", served ? record->sent : record->received);
}

static void set_network(json_t *object, const struct sw_record *record)
{
	static const char *const directions[] = {
		/* ECS: of what a host sees, and of what passes at the border of a network. */
		[SW_SCOPE_HOST] = "egress",
		[SW_SCOPE_EDGE] = "outbound",
		[SW_SCOPE_SERVE] = "ingress",
	};
	bool smtp = record->verb || record->tls == SW_TLS_STARTTLS ||
		    record->kind == SW_EVENT_ELSEWHERE;
	static_assert(sw_count(directions) == SW_SCOPE_MAX, "a direction for each scope");

	set_text(object, "network.transport", "tcp");
	set_text(object, "network.type", record->family == 6 ? "ipv6" : "ipv4");
	set_text(object, "network.protocol", smtp ? "smtp" : "");
	if (record->scope < sw_count(directions))
		set_text(object, "network.direction", directions[record->scope]);
	if (record->vlan[0])
		set(object, "network.vlan.id", json_sprintf("%u", record->vlan[0]));
	if (record->vlan[1])
		set(object, "network.inner.vlan.id", json_sprintf("%u", record->vlan[1]));
	if (record->verdict == SW_VERDICT_REDIRECT && record->new_port) {
		char addr[SW_ADDR_SIZE];

		sw_addr_format(record->new_dst, addr);
		set_text(object, "destination.nat.ip", addr);
		set_number(object, "destination.nat.port", record->new_port);
	}
}

static void set_tls(json_t *object, const struct sw_record *record)
{
	const char *version = sw_tls_version_name(record->tls_version);

	if (record->kind == SW_EVENT_SESSION)
		set(object, "tls.established", json_boolean(record->tls != SW_TLS_NONE));
	set_text(object, "tls.version", version);
	if (version)
		set_text(object, "tls.version_protocol", "tls");
}

static void set_observer(json_t *object)
{
	set_text(object, "ecs.version", SW_ECS_VERSION);
	set_text(object, "observer.product", "smtpwall");
	set_text(object, "observer.type", "firewall");
	set_text(object, "observer.version", SW_VERSION);
}

static void set_message(json_t *object, const struct sw_record *record)
{
	sw_autofree char *line = NULL;
	size_t size;
	FILE *to = open_memstream(&line, &size);

	if (!to)
		return;
	sw_record_line(record, to);
	fclose(to);
	set_text(object, "message", line);
}

json_t *sw_ecs_json(const struct sw_record *record)
{
	json_t *object = json_object(), *event = sw_record_json(record);

	if (!object || !event) {
		json_decref(object);
		json_decref(event);
		return NULL;
	}
	set_members(object, event);
	set_event(object, record);
	set_network(object, record);
	set_tls(object, record);
	if (record->kind == SW_EVENT_SESSION)
		set_session(object, record);
	set_observer(object);
	set_message(object, record);
	json_decref(event);
	return object;
}

json_t *sw_ecs_lost(uint64_t time_ns, uint64_t first, uint64_t n)
{
	json_t *object = json_object();
	char time[SW_TIME_SIZE];

	if (!object)
		return NULL;
	sw_time_format(time_ns, time);
	set_text(object, "@timestamp", time);
	set_number(object, "event.sequence", first);
	/* ECS: data may be missing. */
	set_text(object, "event.kind", "pipeline_error");
	set_text(object, "event.action", "events-lost");
	set_text(object, "event.module", "smtpwall");
	set_text(object, "event.provider", "smtpwalld");
	set_number(object, "smtpwall.lost", n);
	set_observer(object);
	set(object, "message",
	    json_sprintf("%llu events could not be written", (unsigned long long)n));
	return object;
}
