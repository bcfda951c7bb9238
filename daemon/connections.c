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
	struct sw_flow_entry *entries;
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
	const struct sw_flow *left = &((const struct sw_flow_entry *)a)->flow;
	const struct sw_flow *right = &((const struct sw_flow_entry *)b)->flow;

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
		struct sw_flow_entry *entry = &list->entries[i];

		/* Its end may have come between the two look-ups. */
		if (!entry->flow.ended_ns &&
		    !sw_traffic_find(list->traffic, list->n_traffic, entry->cookie))
			sw_kernel_flow(daemon->kernel, entry->cookie, &entry->flow);
		end_texts(&entry->flow.caller);
	}
	if (list->n)
		qsort(list->entries, list->n, sizeof(*list->entries), live_then_newest);
	return 0;
}

static json_t *flow_json(struct sw_daemon *daemon, const struct list *list,
			 const struct sw_flow_entry *entry)
{
	const struct sw_flow *flow = &entry->flow;
	char cipher[SW_INSPECT_CIPHER] = "";
	struct sw_flow_about about = {
		.now_ns = sw_now_ns(CLOCK_BOOTTIME),
		.facts = sw_flows_find(daemon->flows, entry->cookie),
		.rule = sw_slots_rule(&daemon->slots, flow->generation, flow->rule),
		.user = sw_names_user(daemon->names, flow->caller.uid),
		.group = sw_names_group(daemon->names, flow->caller.gid),
		.cipher = cipher,
		.traffic = sw_traffic_find(list->traffic, list->n_traffic, entry->cookie),
	};

	about.boot_ns = sw_now_ns(CLOCK_REALTIME) - about.now_ns;
	if (flow->tls_version)
		sw_inspect_cipher(daemon->inspector, flow->cipher, cipher);
	return sw_flow_json(flow, &about);
}

json_t *sw_daemon_flows(struct sw_daemon *daemon, struct sw_fault *fault)
{
	sw_cleanup(list_cleanup) struct list list = {};
	size_t room = SW_FRAME_MAX - FRAME_REST, size, i;
	json_t *flows, *answer;

	if (read_list(daemon, &list, fault) < 0)
		return NULL;
	flows = json_array();
	for (i = 0; i < list.n; i++) {
		json_t *object;

		/* A long list takes a while, and no violation is to wait for it. */
		if (i % EVENTS_EVERY == 0)
			sw_kernel_events_read(daemon->kernel);
		object = flow_json(daemon, &list, &list.entries[i]);
		size = json_dumpb(object, NULL, 0, JSON_COMPACT) + 1;
		if (!object || size > room) {
			json_decref(object);
			break;
		}
		room -= size;
		json_array_append_new(flows, object);
	}
	/* Nothing else may come that would tell the events which have been put off for their sample. */
	sw_daemon_read_samples(daemon);
	answer = json_pack("{s:o, s:I}", "flows", flows, "left_out", (json_int_t)(list.n - i));
	if (!answer)
		sw_fault(fault, SW_EXIT_KERNEL, "out of memory");
	return answer;
}
