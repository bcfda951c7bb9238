/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * connections.c - the answer to `flows`: the kernel's map joined with what inspection found and with
 * what TCP counts.
 */
#include <string.h>
#include <time.h>

#include "daemon/daemon.h"
#include "daemon/proto.h"

/* Room in a frame for what is not a connection. */
#define FRAME_REST 4096

#define EVENTS_EVERY 64

struct list {
	struct sw_flow *entries;
	size_t n;
	struct sw_traffic *traffic;
	size_t n_traffic;
};

static void list_cleanup(struct list *list)
{
	free(list->entries);
	free(list->traffic);
}

/* Whatever wrote the map, texts end. */
static void end_texts(struct sw_caller *caller)
{
	caller->comm[sizeof(caller->comm) - 1] = '\0';
	caller->exe[sizeof(caller->exe) - 1] = '\0';
	caller->cgroup[sizeof(caller->cgroup) - 1] = '\0';
}

static int live_then_newest(const void *a, const void *b)
{
	const struct sw_flow *left = a;
	const struct sw_flow *right = b;

	if (!left->ended_ns != !right->ended_ns)
		return left->ended_ns ? 1 : -1;
	return left->opened_ns > right->opened_ns ? -1 : left->opened_ns < right->opened_ns;
}

static int read_list(struct sw_daemon *daemon, struct list *list, struct sw_fault *fault)
{
	int error = sw_kernel_flows(daemon->kernel, &list->entries, &list->n);

	if (error)
		return sw_fault(fault, SW_EXIT_KERNEL, "cannot read the connections: %s",
				strerror(-error));
	if (sw_connections_traffic(&list->traffic, &list->n_traffic, fault) < 0)
		return -1;
	for (size_t i = 0; i < list->n; i++) {
		struct sw_flow *entry = &list->entries[i];

		/* Its end may have come between the two look-ups. */
		if (!entry->ended_ns &&
		    !sw_traffic_find(list->traffic, list->n_traffic, entry->cookie))
			sw_kernel_flow(daemon->kernel, entry->cookie, entry);
		end_texts(&entry->caller);
	}
	if (list->n)
		qsort(list->entries, list->n, sizeof(*list->entries), live_then_newest);
	return 0;
}

static json_t *flow_json(struct sw_daemon *daemon, const struct list *list,
			 const struct sw_flow *flow)
{
	char cipher[SW_INSPECT_CIPHER] = "";
	struct sw_flow_about about = {
		.now_ns = sw_now_ns(CLOCK_BOOTTIME),
		.facts = sw_flows_find(daemon->flows, flow->cookie),
		.rule = sw_slots_rule(&daemon->slots, flow->generation, flow->rule),
		.user = sw_names_user(daemon->names, flow->caller.uid),
		.group = sw_names_group(daemon->names, flow->caller.gid),
		.cipher = cipher,
		.traffic = sw_traffic_find(list->traffic, list->n_traffic, flow->cookie),
	};

	about.boot_ns = sw_now_ns(CLOCK_REALTIME) - about.now_ns;
	if (flow->tls_version)
		sw_inspect_cipher(daemon->inspector, flow->cipher, cipher);
	return sw_flow_json(flow, &about);
}

/* Does the object of the edge come before the connection of the host? Live ones first, then the newest. */
static bool edge_first(const json_t *edge, const struct sw_flow *host, uint64_t now_ns)
{
	bool live = json_is_true(json_object_get(edge, "live"));
	json_int_t age = json_integer_value(json_object_get(edge, "age_seconds"));

	if (live != !host->ended_ns)
		return live;
	return now_ns > host->opened_ns && (uint64_t)age < (now_ns - host->opened_ns) / 1000000000u;
}

/* The objects of one answer, as long as there is room. */
struct answer {
	json_t *flows;
	size_t room;
};

/* Takes `object`. False: there is no room for it. */
static bool put(struct answer *answer, json_t *object)
{
	size_t size = object ? json_dumpb(object, NULL, 0, JSON_COMPACT) + 1 : 0;

	if (!object || size > answer->room) {
		json_decref(object);
		return false;
	}
	answer->room -= size;
	json_array_append_new(answer->flows, object);
	return true;
}

/* Both lists are in order; they become one. Returns how many did not fit. */
static size_t merge(struct sw_daemon *daemon, const struct list *list, const json_t *edge,
		    struct answer *answer)
{
	uint64_t now_ns = sw_now_ns(CLOCK_BOOTTIME);
	size_t host_at = 0, edge_at = 0, total = list->n + json_array_size(edge);

	for (size_t i = 0; i < total; i++) {
		json_t *next = json_array_get(edge, edge_at);
		bool from_edge = next && (host_at == list->n ||
					  edge_first(next, &list->entries[host_at], now_ns));

		/* A long list takes a while, and no violation is to wait for it. */
		if (i % EVENTS_EVERY == 0)
			sw_kernel_events_read(daemon->kernel);
		if (!put(answer, from_edge ? json_incref(next)
					   : flow_json(daemon, list, &list->entries[host_at])))
			return total - i;
		if (from_edge)
			edge_at++;
		else
			host_at++;
	}
	return 0;
}

json_t *sw_daemon_flows(struct sw_daemon *daemon, struct sw_fault *fault)
{
	sw_cleanup(list_cleanup) struct list list = {};
	struct answer all = {.room = SW_FRAME_MAX - FRAME_REST};
	size_t left_out, more;
	json_auto_t *edge = NULL;
	json_t *answer;

	if (read_list(daemon, &list, fault) < 0)
		return NULL;
	edge = sw_daemon_edge_flows(daemon, &more, fault);
	if (!edge)
		return NULL;
	all.flows = json_array();
	left_out = more + merge(daemon, &list, edge, &all);
	/* Nothing else may come that would tell the events which have been put off for their sample. */
	sw_daemon_read_samples(daemon);
	answer = json_pack("{s:o, s:I}", "flows", all.flows, "left_out", (json_int_t)left_out);
	if (!answer)
		sw_fault(fault, SW_EXIT_KERNEL, "out of memory");
	return answer;
}
