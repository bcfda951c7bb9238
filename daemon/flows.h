/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * flows.h - what inspection found about connections, kept by the cookie of their sockets, and the
 * objects that show a connection: the kernel's facts (map `flows`) with these. Pure.
 */
#ifndef SW_FLOWS_H
#define SW_FLOWS_H

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>

#include "bpf/abi.h"
#include "daemon/inspect.h"
#include "daemon/net.h"

/* What is kept of one connection. Nothing that was sent but names, numbers and a fingerprint. */
struct sw_facts {
	uint64_t cookie;
	uint8_t reason; /* enum sw_reason: why the daemon ended or recorded it; 0: it did not */
	bool recorded;  /* only recorded: such is the mode of its rule, or it was out of reach */
	bool has_client, has_server;
	struct sw_client_facts client;
	struct sw_server_facts server;
};

/* As many as the kernel's map has at most. A new one takes the place of the oldest of its set, so
   memory is bounded whatever comes. */
struct sw_flows;
struct sw_flows *sw_flows_new(void);
void sw_flows_free(struct sw_flows *flows);

/* NULL: nothing is known of it. Valid until the next sw_flows_make(). */
const struct sw_facts *sw_flows_find(const struct sw_flows *flows, uint64_t cookie);

/* The same, made when it is not there. NULL: out of memory. */
struct sw_facts *sw_flows_make(struct sw_flows *flows, uint64_t cookie);

/* What an object says besides the kernel's entry; each pointer may be NULL. */
struct sw_flow_about {
	uint64_t boot_ns; /* CLOCK_REALTIME minus CLOCK_BOOTTIME */
	uint64_t now_ns;  /* CLOCK_BOOTTIME */
	const struct sw_facts *facts;
	const struct sw_rule_info *rule;
	const char *user, *group;
	const char *cipher;               /* the name of flow->cipher */
	const struct sw_traffic *traffic; /* the socket is open in this network namespace */
};

/* Was it redirected? */
bool sw_flow_moved(const struct sw_flow *flow);

/* The flow object of proto.h. NULL: out of memory. */
json_t *sw_flow_json(const struct sw_flow *flow, const struct sw_flow_about *about);

#endif
