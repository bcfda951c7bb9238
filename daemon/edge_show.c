/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "daemon/edge_show.h"

#include <assert.h>
#include <string.h>

#include "daemon/base.h"
#include "daemon/members.h"
#include "daemon/policy/policy.h"
#include "daemon/policy/prefix.h"
#include "daemon/proto.h"

#define NS 1000000000ull

static json_t *moment(uint64_t boottime_ns, const struct sw_edge_about *about)
{
	return sw_json_time(boottime_ns + about->boot_ns);
}

static json_t *interface_name(uint32_t index, const struct sw_edge_about *about)
{
	return about->interface ? sw_json_text(about->interface) : json_sprintf("%u", index);
}

/* ---- flows ---- */

/* The host's states, where they mean the same; a flow of the edge has one of its own before them. */
static const struct {
	const char *name;
	enum sw_flow_state words;
} states[] = {
	[SW_EDGE_FREE] = {"free", SW_FLOW_OPEN},
	[SW_EDGE_SYN] = {"opening", SW_FLOW_OPEN},
	[SW_EDGE_OPEN] = {"start", SW_FLOW_START},
	[SW_EDGE_GATED] = {"clear", SW_FLOW_CLEAR},
	[SW_EDGE_TLS] = {"tls", SW_FLOW_TLS},
	[SW_EDGE_CONDEMNED] = {"condemned", SW_FLOW_CONDEMNED},
	[SW_EDGE_RECORDED] = {"recorded", SW_FLOW_RECORDED},
	[SW_EDGE_UNREAD] = {"unread", SW_FLOW_UNREAD},
};
static_assert(sw_count(states) == SW_EDGE_STATE_MAX, "a name for each state");

static json_t *state_words(const struct sw_edge_flow *flow)
{
	const char *version = sw_tls_version_name(flow->tls_version);

	switch (flow->state) {
	case SW_EDGE_SYN:
		return json_string("waiting for the server's answer");
	case SW_EDGE_GATED:
		return json_string("waiting for TLS");
	case SW_EDGE_TLS:
		return json_sprintf("TLS%s%s", version ? " " : "", version ? version : "");
	default:
		return json_string(flow->state < sw_count(states)
					   ? sw_flow_words(states[flow->state].words)
					   : "?");
	}
}

/* Null: why the gate ended or recorded it is in the event, not in the table. */
static json_t *reason(const struct sw_edge_flow *flow)
{
	if (flow->state == SW_EDGE_CONDEMNED || flow->state == SW_EDGE_RECORDED)
		return json_null();
	return json_string(sw_reason_name(SW_REASON_NONE));
}

static void set_state(json_t *object, const struct sw_edge_flow *flow,
		      const struct sw_edge_about *about)
{
	bool tls = flow->state == SW_EDGE_TLS;

	json_object_set_new(
		object, "state",
		json_string(flow->state < sw_count(states) ? states[flow->state].name : "?"));
	json_object_set_new(object, "state_words", state_words(flow));
	json_object_set_new(object, "reason", reason(flow));
	json_object_set_new(object, "tls", json_string(sw_tls_name(tls ? flow->tls : SW_TLS_NONE)));
	json_object_set_new(object, "tls_version",
			    tls ? sw_json_version(flow->tls_version) : json_null());
	json_object_set_new(object, "cipher", tls ? sw_json_text(about->cipher) : json_null());
}

/* What only programs and samples of this machine would tell. */
static void set_unknown(json_t *object)
{
	static const char *const names[] = {"redirect", "sni",        "alpn",
					    "ja4",      "sent",       "versions_offered",
					    "received", "certificate"};

	for (size_t i = 0; i < sw_count(names); i++)
		json_object_set_new(object, names[i], json_null());
	sw_json_set_no_caller(object);
}

static void set_life(json_t *object, const struct sw_edge_flow *flow,
		     const struct sw_edge_about *about)
{
	uint64_t opened = flow->opened_s * NS;
	uint64_t age = about->now_ns > opened ? about->now_ns - opened : 0;

	json_object_set_new(object, "live", json_boolean(!flow->ended));
	json_object_set_new(object, "opened", moment(opened, about));
	/* The table says that it has ended, not when. */
	json_object_set_new(object, "ended", json_null());
	json_object_set_new(object, "age_seconds", json_integer((json_int_t)(age / NS)));
}

json_t *sw_edge_flow_json(const struct sw_edge_flow *flow, const struct sw_edge_about *about)
{
	json_t *object = json_object();

	if (!object)
		return NULL;
	set_unknown(object);
	json_object_set_new(object, "scope", json_string(sw_scope_name(SW_SCOPE_EDGE)));
	json_object_set_new(object, "interface", interface_name(flow->interface, about));
	json_object_set_new(object, "src", sw_json_address(flow->src));
	json_object_set_new(object, "src_port", json_integer(flow->src_port));
	json_object_set_new(object, "dst", sw_json_address(flow->dst));
	json_object_set_new(object, "dst_port", json_integer(flow->dst_port));
	json_object_set_new(object, "port", json_integer(flow->dst_port));
	json_object_set_new(object, "rule", json_integer(flow->rule + 1));
	json_object_set_new(object, "line",
			    about->rule ? json_integer(about->rule->line) : json_null());
	json_object_set_new(object, "generation",
			    about->generation ? json_integer((json_int_t)about->generation)
					      : json_null());
	set_state(object, flow, about);
	set_life(object, flow, about);
	return object;
}

/* ---- sources ---- */

/* Refusals in the last whole second; the kernel writes when one comes, so an older count is over. */
static uint32_t per_second(const struct sw_edge_source *source, uint64_t now_s)
{
	if (source->second == now_s)
		return source->before;
	return source->second + 1ull == now_s ? source->now : 0;
}

json_t *sw_edge_source_json(const struct sw_edge_source *source, const struct sw_edge_about *about)
{
	char addr[SW_ADDR_SIZE], text[SW_ADDR_SIZE + 4];

	sw_addr_format(source->addr, addr);
	snprintf(text, sizeof(text), "%s%s", addr, sw_addr_is_v4(source->addr) ? "" : "/64");
	return json_pack("{s:s, s:o, s:I, s:I, s:o, s:o}", "source", text, "interface",
			 interface_name(source->interface, about), "refused",
			 (json_int_t)source->refused, "per_second",
			 (json_int_t)per_second(source, about->now_ns / NS), "first",
			 moment(source->first_ns, about), "last", moment(source->last_ns, about));
}

/* ---- interfaces ---- */

json_t *sw_edge_interface_json(const struct sw_edges_interface *item, unsigned int slot,
			       const struct sw_edge_about *about)
{
	uint64_t until = item->entry.keep_until_ns[slot & 1];
	const char *mode = item->hook.native ? "native" : "generic";

	return json_pack("{s:o, s:I, s:b, s:s?, s:o, s:s?}", "name", sw_json_text(item->link.name),
			 "index", (json_int_t)item->link.index, "attached", (int)item->attached,
			 "mode", item->attached ? mode : NULL, "kept_until",
			 item->attached && until > about->now_ns ? moment(until, about)
								 : json_null(),
			 "problem", *item->problem ? item->problem : NULL);
}
