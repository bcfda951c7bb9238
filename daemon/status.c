/* SPDX-License-Identifier: GPL-2.0-or-later */
/* status.c - the answer to `status`: what the daemon does now. */
#include <string.h>
#include <unistd.h>

#include "daemon/daemon.h"
#include "daemon/members.h"
#include "daemon/policy/policy.h"
#include "daemon/proto.h"

static json_t *policy_json(struct sw_daemon *daemon)
{
	const struct sw_slot *active = sw_slots_active(&daemon->slots);
	char hash[2 * sizeof(active->info.sha256) + 1];
	json_t *policy = json_object();

	if (!active) {
		json_object_set_new(policy, "generation", json_integer(0));
		return policy;
	}
	for (size_t i = 0; i < sizeof(active->info.sha256); i++)
		snprintf(hash + 2 * i, 3, "%02x", active->info.sha256[i]);
	json_object_set_new(policy, "path", json_string(active->info.path));
	json_object_set_new(policy, "sha256", json_string(hash));
	json_object_set_new(policy, "generation", json_integer((json_int_t)active->generation));
	json_object_set_new(policy, "applied", sw_json_time(active->info.applied_ns));
	json_object_set_new(policy, "rules", json_integer(active->n_rules));
	return policy;
}

static json_t *hooks_json(const struct sw_daemon *daemon, bool *all_attached)
{
	json_t *hooks = json_array();

	*all_attached = true;
	for (int i = 0; i < SW_HOOK_MAX; i++) {
		const struct sw_hook_state *hook = &daemon->hooks[i];

		*all_attached &= hook->attached;
		json_array_append_new(hooks,
				      json_pack("{s:s, s:i, s:i, s:b, s:s?}", "hook", hook->name,
						"program_id", (int)hook->program_id, "link_id",
						(int)hook->link_id, "attached", (int)hook->attached,
						"problem", *hook->problem ? hook->problem : NULL));
	}
	return hooks;
}

static json_t *counters_json(const struct sw_daemon *daemon)
{
	static const char *const names[SW_COUNT_MAX] = {
		[SW_COUNT_CONNECT] = "connect",
		[SW_COUNT_ALLOWED] = "allowed",
		[SW_COUNT_REFUSED] = "refused",
		[SW_COUNT_REDIRECTED] = "redirected",
		[SW_COUNT_AUDITED] = "audited",
		[SW_COUNT_UNIDENTIFIED] = "unidentified",
		[SW_COUNT_PACKET_DROPPED] = "packet_dropped",
		[SW_COUNT_EXISTING] = "existing",
		[SW_COUNT_EVENTS] = "events",
		[SW_COUNT_SUPPRESSED] = "suppressed",
		[SW_COUNT_LOST] = "lost",
		[SW_COUNT_TLS] = "tls",
		[SW_COUNT_CONDEMNED] = "condemned",
		[SW_COUNT_GATE_DROPPED] = "gate_dropped",
		[SW_COUNT_GATE_HELD] = "gate_held",
		[SW_COUNT_SAMPLES] = "samples",
		[SW_COUNT_SAMPLES_LOST] = "samples_lost",
		[SW_COUNT_SESSIONS] = "sessions",
		[SW_COUNT_SERVE_CONNECT] = "serve_connect",
		[SW_COUNT_SERVE_ALLOWED] = "serve_allowed",
		[SW_COUNT_SERVE_REFUSED] = "serve_refused",
		[SW_COUNT_SERVE_AUDITED] = "serve_audited",
		[SW_COUNT_SERVE_TLS] = "serve_tls",
		[SW_COUNT_SERVE_CONDEMNED] = "serve_condemned",
		[SW_COUNT_SERVE_DROPPED] = "serve_dropped",
		[SW_COUNT_SERVE_HELD] = "serve_held",
		[SW_COUNT_ELSEWHERE] = "elsewhere",
	};
	uint64_t values[SW_COUNT_MAX] = {};
	json_t *counters = json_object();

	if (sw_kernel_counters(daemon->kernel, values) < 0)
		return counters;
	/* Those without a name here are the edge's. */
	for (int i = 0; i < SW_COUNT_MAX; i++)
		if (names[i])
			json_object_set_new(counters, names[i],
					    json_integer((json_int_t)values[i]));
	json_object_set_new(counters, "taken",
			    json_integer((json_int_t)sw_kernel_head(daemon->kernel)->taken));
	json_object_set_new(counters, "pretended", json_integer((json_int_t)daemon->pretended));
	return counters;
}

static json_t *problems_json(const struct sw_daemon *daemon)
{
	json_t *problems = json_array();

	for (unsigned int i = 0; i < SW_INCIDENTS; i++) {
		const struct sw_incident *incident =
			&daemon->incidents[(daemon->next_incident + i) % SW_INCIDENTS];
		char time[SW_TIME_SIZE];

		if (!incident->time_ns)
			continue;
		sw_time_format(incident->time_ns, time);
		json_array_append_new(problems, json_sprintf("%s: %s", time, incident->text));
	}
	if (daemon->reload_failed)
		json_array_append_new(
			problems, json_sprintf("%s could not be loaded; what is in force is older",
					       daemon->policy_path));
	if (daemon->bad_records)
		json_array_append_new(problems,
				      json_sprintf("%llu records from the kernel were not readable",
						   (unsigned long long)daemon->bad_records));
	return problems;
}

/* What sinks do beside the store, which is told of on its own. */
static json_t *sinks_json(const struct sw_daemon *daemon)
{
	struct sw_sink_state states[SW_SINKS_MAX];
	size_t n = sw_sinks_states(daemon->sinks, states);
	json_t *sinks = json_array();

	for (size_t i = 0; i < n; i++)
		json_array_append_new(
			sinks, json_pack("{s:s, s:I, s:I, s:I, s:I, s:s?}", "sink", states[i].name,
					 "written", (json_int_t)states[i].written, "lost",
					 (json_int_t)states[i].lost, "position",
					 (json_int_t)states[i].position, "retries",
					 (json_int_t)states[i].retries, "problem",
					 states[i].failing ? states[i].problem : NULL));
	return sinks;
}

json_t *sw_daemon_status(struct sw_daemon *daemon)
{
	const struct sw_head *head = sw_kernel_head(daemon->kernel);
	const char *mode = sw_daemon_mode(daemon);
	json_t *answer = json_object();
	uint64_t first, next;
	bool attached;

	/* What the kernel says now, not two seconds ago. */
	sw_daemon_check(daemon);
	json_object_set_new(answer, "version", json_string(SW_VERSION));
	json_object_set_new(answer, "pid", json_integer(getpid()));
	json_object_set_new(answer, "since", sw_json_time(daemon->since_ns));
	json_object_set_new(answer, "mode", json_string(mode));
	json_object_set_new(answer, "policy", policy_json(daemon));
	if (head->confirm_before)
		json_object_set_new(answer, "confirm_before", sw_json_time(head->confirm_before));
	json_object_set_new(answer, "cgroup", json_string(daemon->cgroup));
	json_object_set_new(answer, "hooks", hooks_json(daemon, &attached));
	json_object_set_new(answer, "enforcing",
			    json_boolean(attached && sw_slots_active(&daemon->slots) &&
					 strcmp(mode, "audit") != 0));
	json_object_set_new(answer, "counters", counters_json(daemon));
	sw_trail_bounds(daemon->trail, &first, &next);
	json_object_set_new(answer, "newest", json_integer((json_int_t)next - 1));
	json_object_set_new(answer, "sinks", sinks_json(daemon));
	json_object_set_new(answer, "edge", sw_daemon_edge_status(daemon));
	json_object_set_new(answer, "problems", problems_json(daemon));
	return answer;
}
