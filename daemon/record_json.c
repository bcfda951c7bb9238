/* SPDX-License-Identifier: GPL-2.0-or-later */
/* record_json.c - the event object. Texts of records are escaped already. */
#include "daemon/record_json.h"

#include <assert.h>
#include <string.h>

#include "bpf/vocabulary.h"
#include "daemon/members.h"
#include "daemon/policy/policy.h"
#include "daemon/proto.h"

const char *sw_record_kind_name(unsigned int kind)
{
	static const char *const kinds[] = {
		[0] = "?",
		[SW_EVENT_CONNECT] = "connect",
		[SW_EVENT_PACKET] = "packet",
		[SW_EVENT_GATE] = "gate",
		[SW_EVENT_EDGE] = "edge",
		[SW_EVENT_SESSION] = "session",
		[SW_EVENT_SERVE] = "serve",
		[SW_EVENT_ELSEWHERE] = "elsewhere",
	};
	static_assert(sw_count(kinds) == SW_EVENT_KIND_MAX, "a name for each kind");
	return kinds[kind < sw_count(kinds) ? kind : 0];
}

bool sw_record_is_gates(const struct sw_record *record)
{
	return record->kind == SW_EVENT_GATE || record->kind == SW_EVENT_EDGE ||
	       record->kind == SW_EVENT_SERVE;
}

static json_t *text(const struct sw_record *record, enum sw_record_text which)
{
	return *record->text[which] ? json_string(record->text[which]) : json_null();
}

static json_t *number_or_null(uint64_t number)
{
	return number ? json_integer((json_int_t)number) : json_null();
}

static void set_rule(json_t *object, const struct sw_record *record)
{
	json_object_set_new(object, "rule", number_or_null(record->rule));
	json_object_set_new(object, "line", number_or_null(record->line));
	json_object_set_new(object, "rule_text", text(record, SW_TEXT_RULE));
	json_object_set_new(object, "text", text(record, SW_TEXT_SENTENCE));
	json_object_set_new(object, "scope", json_string(sw_scope_name(record->scope)));
}

static void set_ends(json_t *object, const struct sw_record *record)
{
	bool bound = sw_record_is_bound(record);

	json_object_set_new(object, "port", json_integer(record->dst_port));
	/* Most sockets get their own address only when the connection is let through. */
	json_object_set_new(object, "src", bound ? sw_json_address(record->src) : json_null());
	json_object_set_new(object, "src_port",
			    bound ? json_integer(record->src_port) : json_null());
	json_object_set_new(object, "dst", sw_json_address(record->dst));
	json_object_set_new(object, "dst_port", json_integer(record->dst_port));
	/* One that is refused with an answer goes to the daemon, which is nobody's redirect. */
	json_object_set_new(object, "redirect",
			    record->new_port && record->verdict != SW_VERDICT_REJECT
				    ? sw_json_end(record->new_dst, record->new_port)
				    : json_null());
}

static void set_caller(json_t *object, const struct sw_record *record)
{
	json_object_set_new(object, "pid", json_integer(record->pid));
	json_object_set_new(object, "exe", text(record, SW_TEXT_EXE));
	json_object_set_new(object, "exe_note", text(record, SW_TEXT_EXE_NOTE));
	json_object_set_new(object, "comm", text(record, SW_TEXT_COMM));
	json_object_set_new(object, "uid", sw_json_id(record->uid));
	json_object_set_new(object, "gid", sw_json_id(record->gid));
	json_object_set_new(object, "user", text(record, SW_TEXT_USER));
	json_object_set_new(object, "group", text(record, SW_TEXT_GROUP));
	json_object_set_new(object, "unit", text(record, SW_TEXT_UNIT));
	json_object_set_new(object, "cgroup", text(record, SW_TEXT_CGROUP));
}

static void set_where(json_t *object, const struct sw_record *record)
{
	json_t *vlan = json_array();
	char mac[SW_MAC_SIZE];

	for (size_t i = 0; i < sw_count(record->vlan); i++)
		if (record->vlan[i])
			json_array_append_new(vlan, json_integer(record->vlan[i]));
	json_object_set_new(object, "interface", text(record, SW_TEXT_INTERFACE));
	json_object_set_new(object, "mac",
			    sw_record_mac(record, mac) ? json_string(mac) : json_null());
	json_object_set_new(object, "vlan", vlan);
	json_object_set_new(object, "pppoe_session", number_or_null(record->pppoe_session));
}

static void set_tls(json_t *object, const struct sw_record *record)
{
	bool told = sw_record_is_gates(record) || record->kind == SW_EVENT_SESSION;
	char verb[SW_COMMAND_SIZE];

	json_object_set_new(object, "tls",
			    told ? json_string(sw_tls_name(record->tls)) : json_null());
	json_object_set_new(object, "sni", text(record, SW_TEXT_SNI));
	if (told)
		json_object_set_new(object, "tls_version", sw_json_version(record->tls_version));
	if (!sw_record_is_gates(record))
		return;
	json_object_set_new(object, "from", json_string(record->from_server ? "server" : "client"));
	if (sw_command_name(record->verb, record->verb_length, record->mechanism, verb))
		json_object_set_new(object, "verb_length", json_integer(record->verb_length));
	json_object_set_new(object, "verb", sw_json_text(verb));
}

static void set_session(json_t *object, const struct sw_record *record)
{
	json_object_set_new(object, "cipher_suite", sw_json_version(record->cipher));
	json_object_set_new(object, "opened", sw_json_time(record->opened_ns));
	json_object_set_new(object, "sent", json_integer((json_int_t)record->sent));
	json_object_set_new(object, "received", json_integer((json_int_t)record->received));
}

json_t *sw_record_json(const struct sw_record *record)
{
	json_t *object = json_object();

	if (!object)
		return NULL;
	json_object_set_new(object, "time", sw_json_time(record->time_ns));
	json_object_set_new(object, "id", number_or_null(record->id));
	json_object_set_new(object, "kind", json_string(sw_record_kind_name(record->kind)));
	json_object_set_new(object, "verdict", json_string(sw_verdict_name(record->verdict)));
	json_object_set_new(object, "reason", json_string(sw_reason_name(record->reason)));
	set_rule(object, record);
	set_ends(object, record);
	if (record->kind == SW_EVENT_EDGE) {
		sw_json_set_no_caller(object);
		set_where(object, record);
	} else {
		set_caller(object, record);
	}
	set_tls(object, record);
	if (record->kind == SW_EVENT_SESSION)
		set_session(object, record);
	json_object_set_new(object, "generation", json_integer((json_int_t)record->generation));
	json_object_set_new(object, "suppressed", json_integer(record->suppressed));
	return object;
}
