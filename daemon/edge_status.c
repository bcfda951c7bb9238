/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * edge_status.c - what `status` and `flows` say of the edge.
 */
#include <errno.h>
#include <string.h>
#include <time.h>

#include "daemon/daemon.h"
#include "daemon/edge_show.h"
#include "daemon/inspect.h"

#define SOURCES_SHOWN 10

/* More do not fit into an answer. */
#define FLOWS_SHOWN 8192

#define EVENTS_EVERY 64

static struct sw_edge_about about_now(void)
{
	struct sw_edge_about about = {.now_ns = sw_now_ns(CLOCK_BOOTTIME)};

	about.boot_ns = sw_now_ns(CLOCK_REALTIME) - about.now_ns;
	return about;
}

static const char *name_of(const struct sw_daemon *daemon, uint32_t index)
{
	const struct sw_edges_interface *item = sw_edges_find(daemon->edges, index);

	return item ? item->link.name : NULL;
}

/* ---- status ---- */

static json_t *interfaces_json(const struct sw_daemon *daemon)
{
	unsigned int slot = sw_kernel_active(daemon->kernel);
	const struct sw_edge_about about = about_now();
	const struct sw_edges_interface *list;
	json_t *array = json_array();
	size_t n;

	list = sw_edges_list(daemon->edges, &n);
	for (size_t i = 0; i < n; i++)
		if (list[i].entry.named[slot] || list[i].attached)
			json_array_append_new(array,
					      sw_edge_interface_json(&list[i], slot, &about));
	return array;
}

static json_t *counters_json(const uint64_t values[SW_COUNT_MAX])
{
	static const struct {
		enum sw_counter counter;
		const char *name;
	} names[] = {
		{SW_COUNT_EDGE_CONNECT, "connect"},     {SW_COUNT_EDGE_ALLOWED, "allowed"},
		{SW_COUNT_EDGE_REFUSED, "refused"},     {SW_COUNT_EDGE_AUDITED, "audited"},
		{SW_COUNT_EDGE_DROPPED, "dropped"},     {SW_COUNT_EDGE_RESETS, "resets"},
		{SW_COUNT_EDGE_ANSWERS, "answers"},     {SW_COUNT_EDGE_MALFORMED, "malformed"},
		{SW_COUNT_EDGE_UNKNOWN, "unknown"},     {SW_COUNT_EDGE_EXISTING, "existing"},
		{SW_COUNT_EDGE_HELD, "held"},           {SW_COUNT_EDGE_TLS, "tls"},
		{SW_COUNT_EDGE_CONDEMNED, "condemned"},
	};
	json_t *object = json_object();

	for (size_t i = 0; i < sw_count(names); i++)
		json_object_set_new(object, names[i].name,
				    json_integer((json_int_t)values[names[i].counter]));
	return object;
}

static json_t *flows_room_json(const uint64_t values[SW_COUNT_MAX], const struct sw_edge_room *room)
{
	return json_pack("{s:I, s:I, s:I, s:I}", "room", (json_int_t)room->flows, "used",
			 (json_int_t)room->flows_used, "evicted",
			 (json_int_t)values[SW_COUNT_EDGE_EVICTED], "evicted_tls",
			 (json_int_t)values[SW_COUNT_EDGE_EVICTED_TLS]);
}

static json_t *sources_json(const struct sw_daemon *daemon)
{
	sw_autofree struct sw_edge_source *sources = NULL;
	struct sw_edge_about about = about_now();
	json_t *array = json_array();
	size_t n = 0;

	if (sw_edge_sources(daemon->kernel, SOURCES_SHOWN, &sources, &n) < 0)
		n = 0;
	for (size_t i = 0; i < n; i++) {
		about.interface = name_of(daemon, sources[i].interface);
		json_array_append_new(array, sw_edge_source_json(&sources[i], &about));
	}
	return array;
}

json_t *sw_daemon_edge_status(struct sw_daemon *daemon)
{
	uint64_t values[SW_COUNT_MAX] = {};
	struct sw_edge_room room = {};

	if (!sw_edge_is_open(daemon->kernel))
		return json_null();
	sw_edge_room(daemon->kernel, &room);
	sw_kernel_counters(daemon->kernel, values);
	return json_pack("{s:o, s:o, s:{s:I, s:I, s:I}, s:o, s:o, s:I}", "interfaces",
			 interfaces_json(daemon), "flows", flows_room_json(values, &room), "gates",
			 "room", (json_int_t)room.gates, "used", (json_int_t)room.gates_used,
			 "evicted", (json_int_t)values[SW_COUNT_EDGE_EVICTED_GATE], "counters",
			 counters_json(values), "sources", sources_json(daemon), "sources_evicted",
			 (json_int_t)values[SW_COUNT_EDGE_EVICTED_SOURCE]);
}

/* ---- flows ---- */

/* An entry has the low bits of the generation; of the two policies that are known they say which. */
static uint64_t whole_generation(const struct sw_daemon *daemon, uint16_t low)
{
	for (int i = 0; i < 2; i++)
		if ((uint16_t)daemon->slots.slot[i].generation == low)
			return daemon->slots.slot[i].generation;
	return 0;
}

static json_t *flow_json(struct sw_daemon *daemon, const struct sw_edge_flow *flow,
			 struct sw_edge_about about)
{
	char cipher[SW_INSPECT_CIPHER] = "";

	about.interface = name_of(daemon, flow->interface);
	about.generation = whole_generation(daemon, flow->generation);
	about.rule = sw_slots_rule(&daemon->slots, about.generation, flow->rule);
	about.cipher = cipher;
	if (flow->state == SW_EDGE_TLS && flow->tls_version)
		sw_inspect_cipher(daemon->inspector, flow->cipher, cipher);
	return sw_edge_flow_json(flow, &about);
}

json_t *sw_daemon_edge_flows(struct sw_daemon *daemon, size_t *left_out, struct sw_fault *fault)
{
	sw_autofree struct sw_edge_flow *flows = NULL;
	const struct sw_edge_about about = about_now();
	json_t *array = json_array();
	size_t n = 0;
	int error = 0;

	*left_out = 0;
	if (sw_edge_is_open(daemon->kernel))
		error = sw_edge_flows(daemon->kernel, FLOWS_SHOWN, &flows, &n, left_out);
	if (error || !array) {
		json_decref(array);
		sw_fault(fault, SW_EXIT_KERNEL, "cannot read the connections through the edge: %s",
			 strerror(error ? -error : ENOMEM));
		return NULL;
	}
	for (size_t i = 0; i < n; i++) {
		/* A long list takes a while, and no violation is to wait for it. */
		if (i % EVENTS_EVERY == 0)
			sw_kernel_events_read(daemon->kernel);
		json_array_append_new(array, flow_json(daemon, &flows[i], about));
	}
	return array;
}
