/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "daemon/flows.h"

#include <assert.h>
#include <string.h>

#include "daemon/base.h"
#include "daemon/members.h"
#include "daemon/policy/policy.h"
#include "daemon/proto.h"

/* ---- the table ---- */

#define SETS 2048
#define WAYS 4

struct sw_flows {
	/* Of each set the newest stands first. */
	struct sw_facts *sets[SETS][WAYS];
};

struct sw_flows *sw_flows_new(void)
{
	return calloc(1, sizeof(struct sw_flows));
}

void sw_flows_free(struct sw_flows *flows)
{
	for (size_t i = 0; flows && i < SETS; i++)
		for (size_t j = 0; j < WAYS; j++)
			free(flows->sets[i][j]);
	free(flows);
}

const struct sw_facts *sw_flows_find(const struct sw_flows *flows, uint64_t cookie)
{
	struct sw_facts *const *set = flows->sets[cookie % SETS];

	for (size_t i = 0; i < WAYS; i++)
		if (set[i] && set[i]->cookie == cookie)
			return set[i];
	return NULL;
}

struct sw_facts *sw_flows_make(struct sw_flows *flows, uint64_t cookie)
{
	struct sw_facts **set = flows->sets[cookie % SETS], *facts = NULL;

	for (size_t i = 0; i < WAYS; i++)
		if (set[i] && set[i]->cookie == cookie)
			return set[i];
	facts = set[WAYS - 1] ? set[WAYS - 1] : malloc(sizeof(*facts));
	if (!facts)
		return NULL;
	memmove(set + 1, set, (WAYS - 1) * sizeof(*set));
	*facts = (struct sw_facts){.cookie = cookie};
	set[0] = facts;
	return facts;
}

/* ---- objects ---- */

static json_t *number_or_null(uint64_t number)
{
	return number ? json_integer((json_int_t)number) : json_null();
}

static json_t *day(int64_t seconds)
{
	/* Certificates that were made to confuse readers of dates are no reason to name one. */
	if (seconds <= 0 || seconds > INT64_MAX / 1000000000)
		return json_null();
	return sw_json_time((uint64_t)seconds * 1000000000u);
}

bool sw_flow_moved(const struct sw_flow *flow)
{
	return flow->asked_port != flow->dst_port || memcmp(flow->asked, flow->dst, 16) != 0;
}

/* As in an event: the destination is what the program asked for. */
static void set_ends(json_t *object, const struct sw_flow *flow)
{
	bool moved = sw_flow_moved(flow);

	json_object_set_new(object, "src",
			    flow->src_port ? sw_json_address(flow->src) : json_null());
	json_object_set_new(object, "src_port", number_or_null(flow->src_port));
	json_object_set_new(object, "dst", sw_json_address(flow->asked));
	json_object_set_new(object, "dst_port", json_integer(flow->asked_port));
	json_object_set_new(object, "port", json_integer(flow->asked_port));
	json_object_set_new(object, "redirect",
			    moved ? sw_json_end(flow->dst, flow->dst_port) : json_null());
}

static json_t *certificate(const struct sw_certificate *from)
{
	json_t *object = json_object(), *names = json_array();

	for (unsigned int i = 0; i < from->n_names; i++)
		json_array_append_new(names, sw_json_text(from->names[i]));
	json_object_set_new(object, "subject", sw_json_text(from->subject));
	json_object_set_new(object, "names", names);
	json_object_set_new(object, "more_names", json_boolean(from->more_names));
	json_object_set_new(object, "not_before", day(from->not_before));
	json_object_set_new(object, "not_after", day(from->not_after));
	json_object_set_new(object, "matches",
			    from->asked ? json_boolean(from->matches) : json_null());
	return object;
}

static json_t *versions(const struct sw_client_facts *client)
{
	json_t *list = json_array();

	for (unsigned int i = 0; i < client->n_versions; i++)
		json_array_append_new(list, sw_json_version(client->versions[i]));
	return list;
}

/* The kernel reads version and cipher of every connection; a sample may have been lost. */
static void set_tls(json_t *object, const struct sw_flow *flow, const struct sw_flow_about *about)
{
	const struct sw_client_facts *client =
		about->facts && about->facts->has_client ? &about->facts->client : NULL;
	const struct sw_server_facts *server =
		about->facts && about->facts->has_server ? &about->facts->server : NULL;
	uint16_t negotiated = flow->tls_version;
	const char *cipher = about->cipher;

	if (server && !negotiated)
		negotiated = server->version;
	if (server && !flow->tls_version)
		cipher = server->cipher_name;
	json_object_set_new(object, "tls", json_string(sw_tls_name(flow->tls)));
	json_object_set_new(object, "tls_version", sw_json_version(negotiated));
	json_object_set_new(object, "cipher", negotiated ? sw_json_text(cipher) : json_null());
	json_object_set_new(object, "sni", sw_json_text(client ? client->sni : NULL));
	json_object_set_new(object, "alpn", sw_json_text(client ? client->alpn : NULL));
	json_object_set_new(object, "ja4", sw_json_text(client ? client->ja4 : NULL));
	json_object_set_new(object, "versions_offered", client ? versions(client) : json_null());
	json_object_set_new(object, "certificate",
			    server && server->has_certificate ? certificate(&server->certificate)
							      : json_null());
}

static uint8_t reason_of(const struct sw_flow *flow, const struct sw_facts *facts)
{
	return facts && facts->reason ? facts->reason : flow->reason;
}

/* "TLS 1.3, mail.example.net" */
static json_t *state_words(const struct sw_flow *flow, const struct sw_flow_about *about)
{
	const struct sw_facts *facts = about->facts;
	const char *number = sw_tls_version_name(flow->tls_version);
	bool named = facts && facts->has_client && *facts->client.sni;
	bool recorded = flow->state == SW_FLOW_RECORDED || (facts && facts->recorded);

	if (reason_of(flow, facts))
		return json_sprintf("%s: %s",
				    sw_flow_words(recorded ? SW_FLOW_RECORDED : SW_FLOW_CONDEMNED),
				    sw_reason_name(reason_of(flow, facts)));
	if (flow->state != SW_FLOW_TLS)
		return json_string(sw_flow_words(flow->state));
	return json_sprintf("TLS%s%s%s%s", number ? " " : "", number ? number : "",
			    named ? ", " : "", named ? facts->client.sni : "");
}

static void set_state(json_t *object, const struct sw_flow *flow, const struct sw_flow_about *about)
{
	static const char *const names[] = {
		[SW_FLOW_OPEN] = "open",         [SW_FLOW_START] = "start",
		[SW_FLOW_CLEAR] = "clear",       [SW_FLOW_ASKED] = "asked",
		[SW_FLOW_HELLO] = "hello",       [SW_FLOW_HELLO_SENT] = "hello_sent",
		[SW_FLOW_TLS] = "tls",           [SW_FLOW_CONDEMNED] = "condemned",
		[SW_FLOW_RECORDED] = "recorded", [SW_FLOW_UNREAD] = "unread",
	};
	static_assert(sw_count(names) == SW_FLOW_STATE_MAX, "a name for each state");
	json_object_set_new(object, "state",
			    json_string(flow->state < sw_count(names) ? names[flow->state] : "?"));
	json_object_set_new(object, "state_words", state_words(flow, about));
	json_object_set_new(object, "reason",
			    json_string(sw_reason_name(reason_of(flow, about->facts))));
}

/* Live: true or false where it is known. An entry without an end whose socket is not in this network
   namespace may be open in another one, or its end was not noted. */
static void set_life(json_t *object, const struct sw_flow *flow, const struct sw_flow_about *about)
{
	const struct sw_traffic *traffic = flow->ended_ns ? NULL : about->traffic;
	uint64_t age = about->now_ns > flow->opened_ns ? about->now_ns - flow->opened_ns : 0;
	json_t *sent = json_null(), *received = json_null(), *live = json_null();

	if (flow->ended_ns || traffic) {
		sent = json_integer((json_int_t)(!traffic       ? flow->sent
						 : flow->served ? traffic->sent_accepted
								: traffic->sent));
		received = json_integer((json_int_t)(traffic ? traffic->received : flow->received));
		live = json_boolean(traffic != NULL);
	}
	json_object_set_new(object, "live", live);
	json_object_set_new(object, "sent", sent);
	json_object_set_new(object, "received", received);
	json_object_set_new(object, "opened", sw_json_time(flow->opened_ns + about->boot_ns));
	json_object_set_new(object, "ended",
			    flow->ended_ns ? sw_json_time(flow->ended_ns + about->boot_ns)
					   : json_null());
	json_object_set_new(object, "age_seconds", json_integer((json_int_t)(age / 1000000000u)));
}

json_t *sw_flow_json(const struct sw_flow *flow, const struct sw_flow_about *about)
{
	json_t *object = json_object();

	if (!object)
		return NULL;
	json_object_set_new(
		object, "scope",
		json_string(sw_scope_name(flow->served ? SW_SCOPE_SERVE : SW_SCOPE_HOST)));
	sw_json_set_caller(object, &flow->caller, about->user, about->group);
	set_ends(object, flow);
	json_object_set_new(object, "rule",
			    flow->rule == SW_RULE_NONE ? json_null()
						       : json_integer(flow->rule + 1));
	json_object_set_new(object, "line", number_or_null(about->rule ? about->rule->line : 0));
	json_object_set_new(object, "generation", json_integer((json_int_t)flow->generation));
	set_state(object, flow, about);
	set_tls(object, flow, about);
	set_life(object, flow, about);
	return object;
}
