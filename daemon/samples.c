/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * samples.c - the second look at what the gate let through: facts about each connection for `flows`,
 * and the end of those that only pretended to speak TLS.
 *
 * The bytes stay where the kernel put them, in the ring, and are looked at there. A real hello holds
 * nothing that must not be known; a pretender's may hold anything, so after one the ring is overwritten.
 */
#include <string.h>
#include <time.h>

#include "daemon/daemon.h"

/* The policy that let a connection through, if the kernel still has it. */
static const struct sw_rule *rule_of(const struct sw_daemon *daemon, const struct sw_flow *flow)
{
	const struct sw_head *head = sw_kernel_head(daemon->kernel);

	for (int i = 0; i < 2; i++)
		if (head->slot[i].generation == flow->generation && flow->rule < SW_RULES_MAX)
			return &head->slot[i].rules[flow->rule];
	return NULL;
}

static void make_event(const struct sw_flow *flow, uint64_t cookie, uint8_t reason,
		       bool from_server, struct sw_event *event)
{
	bool moved = sw_flow_moved(flow);

	*event = (struct sw_event){
		.version = SW_ABI_VERSION,
		.size = sizeof(*event),
		.kind = flow->served ? SW_EVENT_SERVE : SW_EVENT_GATE,
		.served = flow->served,
		.reason = reason,
		.family = flow->family,
		.time_ns = sw_now_ns(CLOCK_BOOTTIME),
		.generation = flow->generation,
		.cookie = cookie,
		.rule = flow->rule,
		.src_port = flow->src_port,
		.dst_port = flow->asked_port,
		.new_port = moved ? flow->dst_port : 0,
		.from_server = from_server,
		.tls_version = flow->tls_version,
		.tls = flow->tls,
		.interface = SW_INTERFACE_UNKNOWN,
		.caller = flow->caller,
	};
	memcpy(event->src, flow->src, sizeof(event->src));
	memcpy(event->dst, flow->asked, sizeof(event->dst));
	if (moved)
		memcpy(event->new_dst, flow->dst, sizeof(event->new_dst));
}

/* Ends a connection for what was found, or only records it where its rule has it so. A rule that is not
   known any more is taken for one that enforces. */
static void condemn(struct sw_daemon *daemon, struct sw_facts *facts, const struct sw_flow *flow,
		    uint8_t reason, bool from_server)
{
	const struct sw_rule *rule = rule_of(daemon, flow);
	bool recorded = rule && (rule->action != SW_ACTION_TLS || rule->flags & SW_RULE_AUDIT);
	struct sw_event event;

	if (facts->reason || flow->reason)
		return;
	daemon->pretended++;
	facts->reason = reason;
	make_event(flow, facts->cookie, reason, from_server, &event);
	if (reason == SW_REASON_TLS_TOO_OLD)
		event.tls_version = facts->server.version;
	/* What could not be ended, in another network namespace, goes on: so it is said to be recorded. */
	facts->recorded = recorded || !sw_daemon_reset(daemon, &event);
	event.verdict = facts->recorded ? SW_VERDICT_AUDIT : SW_VERDICT_RESET;
	sw_kernel_took(daemon->kernel, false);
	sw_daemon_event(daemon, &event);
}

static void take_client(struct sw_daemon *daemon, struct sw_facts *facts,
			const struct sw_sample *sample, const uint8_t *hello, size_t n)
{
	struct sw_client_facts found;
	struct sw_flow flow;

	if (sw_inspect_client(daemon->inspector, hello, n, sample->whole, &found) !=
	    SW_INSPECTED_PRETENDED) {
		facts->client = found;
		facts->has_client = true;
		return;
	}
	daemon->wipe = true;
	if (sw_kernel_flow(daemon->kernel, sample->cookie, &flow) == 0)
		condemn(daemon, facts, &flow, SW_REASON_NOT_TLS, false);
}

static void take_server(struct sw_daemon *daemon, struct sw_facts *facts,
			const struct sw_sample *sample, const uint8_t *hello, size_t n)
{
	const char *sni = facts->has_client ? facts->client.sni : "";
	const struct sw_rule *rule;
	struct sw_flow flow;

	facts->has_server = sw_inspect_server(daemon->inspector, hello, n, sni, &facts->server);
	if (!facts->has_server || sw_kernel_flow(daemon->kernel, sample->cookie, &flow) < 0)
		return;
	/* The gate has read this as well; what it missed ends here. */
	rule = rule_of(daemon, &flow);
	if (rule && facts->server.version && facts->server.version < rule->tls_version)
		condemn(daemon, facts, &flow, SW_REASON_TLS_TOO_OLD, true);
}

void sw_daemon_sample(void *data, const void *bytes, size_t size)
{
	struct sw_daemon *daemon = data;
	const uint8_t *at = bytes;
	struct sw_sample sample;
	struct sw_facts *facts;

	/* Whatever number of samples there is, no violation waits for more than one of them. */
	sw_kernel_events_read(daemon->kernel);
	if (size < sizeof(sample)) {
		daemon->bad_records++;
		return;
	}
	memcpy(&sample, at, sizeof(sample));
	if (sample.version != SW_ABI_VERSION || sample.length > size - sizeof(sample) ||
	    sample.from_server > 1) {
		daemon->bad_records++;
		return;
	}
	facts = sw_flows_make(daemon->flows, sample.cookie);
	if (!facts)
		return;
	at += sizeof(sample);
	if (sample.from_server)
		take_server(daemon, facts, &sample, at, sample.length);
	else
		take_client(daemon, facts, &sample, at, sample.length);
}

/* Wiping reads what waits, which may be the next pretender's: so often. What is left after that goes with
   the sample that comes next. */
#define WIPES 8

static void wipe(struct sw_daemon *daemon)
{
	int error;

	daemon->wipe = false;
	error = sw_kernel_samples_wipe(daemon->kernel);
	if (!error) {
		daemon->wipe_failed = false;
		return;
	}
	daemon->wipe = true;
	if (daemon->wipe_failed)
		return;
	daemon->wipe_failed = true;
	sw_daemon_incident(daemon,
			   "what a client sent that only pretended to begin TLS could not be "
			   "wiped from the kernel's buffer: %s",
			   strerror(-error));
}

void sw_daemon_read_samples(struct sw_daemon *daemon)
{
	sw_kernel_samples_read(daemon->kernel);
	for (int i = 0; i < WIPES && daemon->wipe; i++)
		wipe(daemon);
	for (unsigned int i = 0; i < daemon->n_waiting; i++)
		sw_daemon_event(daemon, &daemon->waiting[i]);
	daemon->n_waiting = 0;
}
