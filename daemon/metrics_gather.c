/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * metrics_gather.c - what the daemon knows, as the numbers of metrics.h. Cheap enough to be asked for
 * several times a second: the self-check's last answers are taken, not new ones, and no table is walked.
 */
#include <dirent.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>

#include "daemon/audit/trail.h"
#include "daemon/daemon.h"
#include "daemon/metrics.h"
#include "daemon/metrics_http.h"

#define RINGS 2
#define TABLES 3

static void gather_policy(struct sw_daemon *daemon, struct sw_metrics_policy *policy)
{
	const struct sw_slot *active = sw_slots_active(&daemon->slots);

	if (!active)
		return;
	policy->generation = active->generation;
	memcpy(policy->sha256, active->info.sha256, sizeof(policy->sha256));
	policy->n_rules = active->n_rules;
	policy->applied_ns = active->info.applied_ns;
	policy->mode = sw_daemon_mode(daemon);
}

static bool gather_hooks(const struct sw_daemon *daemon, struct sw_metrics_hook hooks[SW_HOOK_MAX])
{
	bool all = true;

	for (int i = 0; i < SW_HOOK_MAX; i++) {
		hooks[i] =
			(struct sw_metrics_hook){daemon->hooks[i].name, daemon->hooks[i].attached};
		all &= hooks[i].attached;
	}
	return all;
}

static void gather_edge(const struct sw_daemon *daemon, struct sw_metrics *metrics)
{
	unsigned int slot = sw_kernel_active(daemon->kernel);
	const struct sw_edges_interface *list;
	size_t n;

	list = sw_edges_list(daemon->edges, &n);
	for (size_t i = 0; i < n; i++) {
		if (!list[i].entry.named[slot])
			continue;
		if (list[i].attached && list[i].hook.xdp && list[i].hook.tc)
			metrics->edge_guarded++;
		else
			metrics->edge_unguarded++;
	}
}

static size_t gather_rings(const struct sw_daemon *daemon, struct sw_metrics_room rooms[RINGS])
{
	rooms[0].name = "events";
	sw_kernel_events_lag(daemon->kernel, &rooms[0].used, &rooms[0].size);
	rooms[1].name = "samples";
	sw_kernel_samples_lag(daemon->kernel, &rooms[1].used, &rooms[1].size);
	return RINGS;
}

/*
 * Of the other tables it cannot be told cheaply: `flows` and `limiter` give the place of the oldest entry
 * away and have no count, `sockets` and `gates` lie at the sockets, those of policies are made as large as
 * they need be; how many gates of the edge are taken, only a walk tells (smtpwall status).
 */
static size_t gather_tables(const struct sw_daemon *daemon, struct sw_metrics_room rooms[TABLES])
{
	const struct sw_edges_interface *list;
	size_t n = 0, n_list;

	rooms[n++] = (struct sw_metrics_room){"local", daemon->n_local,
					      sw_kernel_local_size(daemon->kernel)};
	if (!sw_edge_is_open(daemon->kernel))
		return n;
	rooms[n] = (struct sw_metrics_room){.name = "edge_flows"};
	sw_edge_flows_room(daemon->kernel, &rooms[n].used, &rooms[n].size);
	n++;
	rooms[n] = (struct sw_metrics_room){.name = "interfaces", .size = SW_EDGE_INTERFACES};
	list = sw_edges_list(daemon->edges, &n_list);
	for (size_t i = 0; i < n_list; i++)
		rooms[n].used += list[i].written;
	return n + 1;
}

static size_t gather_sinks(const struct sw_daemon *daemon,
			   struct sw_metrics_sink sinks[SW_SINKS_MAX])
{
	struct sw_sink_state states[SW_SINKS_MAX];
	size_t n = sw_sinks_states(daemon->sinks, states);
	uint64_t first, next;

	/* After the states: the newest event is never behind what a sink has written. */
	sw_trail_bounds(daemon->trail, &first, &next);
	for (size_t i = 0; i < n; i++)
		sinks[i] = (struct sw_metrics_sink){.name = states[i].name,
						    .written = states[i].written,
						    .lost = states[i].lost,
						    .retries = states[i].retries,
						    .behind = next - 1 - states[i].position,
						    .failing = states[i].failing};
	return n;
}

static const struct sw_metrics_store *gather_store(const struct sw_daemon *daemon,
						   struct sw_metrics_store *store)
{
	struct sw_store_size size;

	if (!daemon->store)
		return NULL;
	sw_store_sink_size(daemon->store, &size);
	*store = (struct sw_metrics_store){.bytes = size.bytes,
					   .limit_bytes = daemon->options.store_bytes,
					   .events = size.events,
					   .sessions = size.sessions,
					   .oldest_ns = size.oldest_ns,
					   .removed = size.removed};
	return store;
}

static uint64_t count_fds(void)
{
	DIR *folder = opendir("/proc/self/fd");
	uint64_t n = 0;

	if (!folder)
		return 0;
	while (readdir(folder))
		n++;
	closedir(folder);
	/* Without "." and "..", and the folder's own. */
	return n > 3 ? n - 3 : 0;
}

static void gather_process(const struct sw_daemon *daemon, struct sw_metrics_process *process)
{
	sw_autofclose FILE *memory = fopen("/proc/self/statm", "re");
	uint64_t page = (uint64_t)sysconf(_SC_PAGESIZE);
	unsigned long long size, resident;
	struct rlimit limit;

	process->started = (double)daemon->since_ns / 1e9;
	process->cpu = (double)sw_now_ns(CLOCK_PROCESS_CPUTIME_ID) / 1e9;
	if (memory && fscanf(memory, "%llu %llu", &size, &resident) == 2) {
		process->virtual_bytes = size * page;
		process->resident_bytes = resident * page;
	}
	process->fds = count_fds();
	if (getrlimit(RLIMIT_NOFILE, &limit) == 0)
		process->fds_max = limit.rlim_cur;
}

static char *gather(void *data, size_t *length)
{
	struct sw_daemon *daemon = data;
	struct sw_metrics_hook hooks[SW_HOOK_MAX];
	struct sw_metrics_room rings[RINGS] = {}, tables[TABLES] = {};
	struct sw_metrics_sink sinks[SW_SINKS_MAX];
	struct sw_metrics_store store;
	struct sw_metrics metrics = {
		.version = SW_VERSION,
		.confirm_pending = sw_kernel_head(daemon->kernel)->confirm_before != 0,
		.reload_failed = daemon->reload_failed,
		.hooks = hooks,
		.n_hooks = SW_HOOK_MAX,
		.problems = daemon->next_incident,
		.bad_records = daemon->bad_records,
		.pretended = daemon->pretended,
		.totals = &daemon->totals,
		.rings = rings,
		.tables = tables,
		.sinks = sinks,
	};
	bool all = gather_hooks(daemon, hooks);

	gather_policy(daemon, &metrics.policy);
	metrics.enforcing =
		all && metrics.policy.generation && strcmp(metrics.policy.mode, "audit") != 0;
	gather_edge(daemon, &metrics);
	metrics.has_counters = sw_kernel_counters(daemon->kernel, metrics.counters) == 0;
	metrics.n_rings = gather_rings(daemon, rings);
	metrics.n_tables = gather_tables(daemon, tables);
	metrics.n_sinks = gather_sinks(daemon, sinks);
	metrics.store = gather_store(daemon, &store);
	gather_process(daemon, &metrics.process);
	return sw_metrics_text(&metrics, length);
}

int sw_daemon_open_metrics(struct sw_daemon *daemon, gid_t readers, struct sw_fault *fault)
{
	const char *address = daemon->options.metrics;

	if (!address || sw_metrics_http_open(daemon->loop, address, readers, gather, daemon,
					     &daemon->metrics, fault) == 0)
		return 0;
	if (fault->status == SW_EXIT_USAGE)
		return -1;
	/* Any user may have taken the port, and must not keep the policy from being enforced by it. */
	sw_daemon_incident(daemon, "%s; no metrics are given until a restart", fault->text);
	return 0;
}
