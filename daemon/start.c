/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * start.c - from nothing to a daemon that enforces. Whatever can fail comes before the links are
 * attached, and a policy lies in the maps by then.
 */
#include <errno.h>
#include <grp.h>
#include <pthread.h>
#include <signal.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>

#include "daemon/daemon.h"
#include "daemon/lock.h"
#include "daemon/log.h"
#include "daemon/mounts.h"
#include "daemon/privileges.h"
#include "daemon/proto.h"
#include "daemon/source.h"

/* Members of this group may read what the daemon knows. */
#define READERS_GROUP "smtpwall"

/* Some 25,000 events: half a second of as many as the kernel can tell of. */
#define TRAIL_BYTES (6u << 20)

#define DAY_NS 86400000000000ull

static void source_cleanup(struct sw_source *source)
{
	sw_source_free(source);
}

static int make_folder(const char *path, mode_t mode, struct sw_fault *fault)
{
	if (mkdir(path, mode) < 0 && errno != EEXIST)
		return sw_fault(fault, SW_EXIT_KERNEL, "cannot make the folder %s: %s", path,
				strerror(errno));
	return 0;
}

static int prepare(struct sw_daemon *daemon, struct sw_fault *fault)
{
	const struct sw_options *options = &daemon->options;

	if (make_folder(options->run_dir, 0755, fault) < 0 ||
	    make_folder(options->state_dir, 0750, fault) < 0)
		return -1;
	daemon->run_lock = sw_lock_run_dir(options->run_dir, fault);
	if (daemon->run_lock < 0)
		return -1;
	daemon->cgroup = options->cgroup ? realpath(options->cgroup, NULL) : sw_cgroup2_root(fault);
	if (!daemon->cgroup && options->cgroup)
		return sw_fault(fault, SW_EXIT_KERNEL, "cannot open the cgroup %s: %s",
				options->cgroup, strerror(errno));
	if (!daemon->cgroup)
		return -1;
	daemon->cgroup_fd = sw_cgroup_open(daemon->cgroup, fault);
	if (daemon->cgroup_fd < 0 || sw_pin_dir_make(options->pin_dir, fault) < 0)
		return -1;
	daemon->pin_lock = sw_lock_pin_dir(options->pin_dir, fault);
	return daemon->pin_lock < 0 ? -1 : 0;
}

/* The path that `apply` of the same file would be told. */
static char *absolute(const char *path)
{
	sw_autofree char *here = NULL;
	char *whole;

	if (*path == '/')
		return strdup(path);
	here = getcwd(NULL, 0);
	return here && asprintf(&whole, "%s/%s", here, path) >= 0 ? whole : NULL;
}

/* ---- which policy ---- */

void sw_daemon_read_image(struct sw_daemon *daemon)
{
	sw_cleanup(source_cleanup) struct sw_source source = {};
	struct sw_slot *active = sw_slots_active(&daemon->slots);

	if (!active || active->image)
		return;
	sw_source_open(&source, active->info.path, false);
	if (source.image &&
	    sw_slots_is_active(&daemon->slots, source.image->sha256, active->info.path))
		sw_slots_remember(&daemon->slots, sw_take(source.image));
}

static void tell_adopted(const struct sw_slot *active)
{
	char time[SW_TIME_SIZE];

	sw_time_format(active->info.applied_ns, time);
	sw_log(SW_LOG_NOTICE, "policy %s, applied %s (generation %llu), is in force and stays so",
	       active->info.path, time, (unsigned long long)active->generation);
}

static int put_in(struct sw_daemon *daemon, struct sw_source *source, struct sw_fault *fault)
{
	struct sw_apply apply = {.path = daemon->policy_path, .image = sw_take(source->image)};

	daemon->fresh = true;
	return sw_daemon_apply(daemon, &apply, fault);
}

/* A policy is pinned and in force, and it is not what the policy file says. */
static int go_on(struct sw_daemon *daemon, struct sw_source *source, struct sw_fault *fault)
{
	if (!source->image) {
		sw_daemon_incident(daemon,
				   "%s has errors and is not in force; what is in force is "
				   "%s (generation %llu)",
				   daemon->policy_path, sw_slots_active(&daemon->slots)->info.path,
				   (unsigned long long)sw_slots_active(&daemon->slots)->generation);
		daemon->reload_failed = true;
	} else if (sw_kernel_head(daemon->kernel)->confirm_before) {
		sw_log(SW_LOG_WARNING,
		       "%s is not loaded: the policy in force waits to be confirmed",
		       daemon->policy_path);
	} else if (!sw_daemon_is_configured(daemon, source->image->sha256)) {
		sw_log(SW_LOG_NOTICE, "%s is another policy than the one in force",
		       daemon->policy_path);
		return put_in(daemon, source, fault);
	}
	tell_adopted(sw_slots_active(&daemon->slots));
	return 0;
}

/* The policy in force is what the policy file says: its lists need not be read. */
static bool is_unchanged(struct sw_daemon *daemon)
{
	uint8_t sum[32];

	if (!sw_source_sum(daemon->policy_path, sum) ||
	    !sw_slots_is_active(&daemon->slots, sum, daemon->policy_path))
		return false;
	sw_daemon_set_configured(daemon, sum);
	tell_adopted(sw_slots_active(&daemon->slots));
	return true;
}

static void on_edge_problem(void *data, const char *text)
{
	sw_daemon_incident(data, "%s", text);
}

static void on_edge_note(void *data, const char *text)
{
	(void)data;
	sw_log(SW_LOG_NOTICE, "%s", text);
}

/* What an earlier daemon left of the edge, and of answers, before a policy is chosen. */
static int resume_slots(struct sw_daemon *daemon, struct sw_fault *fault)
{
	const struct sw_edges_calls calls = {
		.data = daemon, .problem = on_edge_problem, .note = on_edge_note};

	if (sw_edges_open(daemon->kernel, daemon->options.edge_flows, daemon->options.xdp, &calls,
			  &daemon->edges, fault) < 0)
		return -1;
	daemon->slots.edges = daemon->edges;
	daemon->slots.answers = daemon->answers;
	if (sw_slots_open(&daemon->slots, daemon->kernel, fault) < 0 ||
	    sw_edges_ready(daemon->edges, sw_kernel_policy(daemon->kernel), fault) < 0)
		return -1;
	sw_slots_resume_answers(&daemon->slots);
	return 0;
}

static int choose_policy(struct sw_daemon *daemon, struct sw_fault *fault)
{
	sw_cleanup(source_cleanup) struct sw_source source = {};
	bool current = sw_kernel_pins(daemon->kernel) == SW_PINS_CURRENT &&
		       sw_slots_active(&daemon->slots);

	if (current && sw_daemon_resume_confirm(daemon, fault) < 0)
		return -1;
	if (current && is_unchanged(daemon))
		return 0;
	sw_source_open(&source, daemon->policy_path,
		       daemon->options.foreground && isatty(STDERR_FILENO));
	if (source.said && *source.said)
		sw_log(source.image ? SW_LOG_WARNING : SW_LOG_ERROR, "%s", source.said);
	if (current)
		return go_on(daemon, &source, fault);
	if (!source.image)
		return sw_fault(fault, SW_EXIT_NO, "%s has errors; %s", daemon->policy_path,
				sw_kernel_pins(daemon->kernel) == SW_PINS_REPLACE
					? "what an older smtpwalld left in force stays so"
					: "nothing is enforced");
	daemon->replaced = sw_kernel_pins(daemon->kernel) == SW_PINS_REPLACE;
	return put_in(daemon, &source, fault);
}

/* ---- the start ---- */

static gid_t readers_group(void)
{
	const struct group *readers = getgrnam(READERS_GROUP);

	return readers ? readers->gr_gid : (gid_t)-1;
}

/* What is opened by a thread of its own, as it takes a while and needs nothing of what comes before it. */
struct beside {
	pthread_t thread;
	bool runs;
	struct sw_inspector *inspector; /* NULL: `fault` says why */
	struct sw_fault fault;
	gid_t readers;
};

static void *open_beside(void *data)
{
	struct beside *beside = data;

	beside->inspector = sw_inspector_new(&beside->fault);
	beside->readers = readers_group();
	return NULL;
}

/* The thread leaves signals to the others. */
static void begin_beside(struct beside *beside)
{
	sigset_t all, before;

	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &before);
	beside->runs = pthread_create(&beside->thread, NULL, open_beside, beside) == 0;
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	if (!beside->runs)
		open_beside(beside);
}

static int end_beside(struct beside *beside, struct sw_daemon *daemon, struct sw_fault *fault)
{
	if (beside->runs)
		pthread_join(beside->thread, NULL);
	daemon->inspector = beside->inspector;
	daemon->readers = beside->readers;
	if (!daemon->inspector)
		*fault = beside->fault;
	return daemon->inspector ? 0 : -1;
}

/* The kernel's part first of all, as it takes longest: programs are verified while the rest is opened. */
static int open_first(struct sw_daemon *daemon, struct sw_fault *fault)
{
	struct beside beside = {};
	struct sw_fault other;
	int result;

	begin_beside(&beside);
	result = prepare(daemon, fault) < 0 ||
				 sw_kernel_open(daemon->options.pin_dir, daemon->cgroup_fd,
						&daemon->kernel, fault) < 0
			 ? -1
			 : 0;
	return end_beside(&beside, daemon, result < 0 ? &other : fault) < 0 ? -1 : result;
}

static int open_control(struct sw_daemon *daemon, struct sw_fault *fault)
{
	sw_autofree char *path = NULL;

	if (asprintf(&path, "%s/control", daemon->options.run_dir) < 0)
		return sw_fault(fault, SW_EXIT_KERNEL, "out of memory");
	return sw_control_open(daemon->loop, path, daemon->readers, &sw_control_limits,
			       daemon->trail, sw_daemon_request, daemon, &daemon->control, fault);
}

static int open_parts(struct sw_daemon *daemon, struct sw_fault *fault)
{
	int error = sd_event_default(&daemon->loop);

	if (error < 0)
		return sw_fault(fault, SW_EXIT_KERNEL, "cannot make an event loop: %s",
				strerror(-error));
	daemon->policy_path = absolute(daemon->options.policy);
	daemon->sinks = sw_sinks_new();
	daemon->names = sw_names_new();
	daemon->flows = sw_flows_new();
	daemon->answers = sw_answers_new(daemon->loop);
	if (!daemon->policy_path || !daemon->sinks || !daemon->names || !daemon->flows ||
	    !daemon->answers)
		return sw_fault(fault, SW_EXIT_KERNEL, "out of memory");
	return sw_addresses_open(&daemon->addresses, fault);
}

/* A store that cannot be opened keeps nothing from being enforced. */
static int open_store(struct sw_daemon *daemon, struct sw_fault *fault)
{
	const struct sw_options *options = &daemon->options;
	const struct sw_store_limits limits = {.bytes = options->store_bytes,
					       .age_ns = options->keep_days * DAY_NS};
	gid_t readers = daemon->readers;
	sw_autofree char *problem = NULL;

	if (!options->store_bytes)
		return 0;
	if (asprintf(&daemon->store_path, "%s/" SW_STORE_NAME, options->state_dir) < 0)
		daemon->store_path = NULL;
	/* They could not come by the folder otherwise. */
	if (readers != (gid_t)-1 && chown(options->state_dir, (uid_t)-1, readers) < 0)
		sw_log(SW_LOG_WARNING, "cannot give %s to the group " READERS_GROUP ": %s",
		       options->state_dir, strerror(errno));
	if (daemon->store_path)
		daemon->store = sw_store_sink_open(daemon->store_path, &limits, readers, &problem);
	if (!daemon->store)
		return sw_fault(fault, SW_EXIT_KERNEL, "out of memory");
	sw_sinks_add(daemon->sinks, &sw_sink_store, daemon->store);
	if (problem)
		sw_daemon_incident(daemon, "%s", problem);
	return 0;
}

/* Ids of events go on where the store ends. */
static int open_trail(struct sw_daemon *daemon, struct sw_fault *fault)
{
	const struct sw_head *head = sw_kernel_head(daemon->kernel);
	uint64_t missing = 0;

	if (daemon->store)
		missing = sw_store_sink_account(daemon->store, head->instance, head->taken);
	if (missing)
		sw_daemon_incident(
			daemon, "%llu events were not recorded, as the smtpwalld before was killed",
			(unsigned long long)missing);
	daemon->trail =
		sw_trail_new(TRAIL_BYTES, daemon->store ? sw_store_sink_last(daemon->store) : 0);
	if (!daemon->trail)
		return sw_fault(fault, SW_EXIT_KERNEL, "out of memory");
	return 0;
}

/* Ports in numbers: "25, 465 and 587"; empty when there is none. */
static char *port_list(const uint64_t ports[65536 / 64])
{
	unsigned int n = 0, total = 0;
	char *text = NULL;
	size_t size;
	FILE *to = open_memstream(&text, &size);

	if (!to)
		return NULL;
	for (size_t i = 0; i < 65536 / 64; i++)
		total += (unsigned int)__builtin_popcountll(ports[i]);
	for (unsigned int port = 0; port < 65536; port++) {
		if (!(ports[port / 64] >> (port % 64) & 1))
			continue;
		n++;
		fprintf(to, "%s%u", n == 1 ? "" : n == total ? " and " : ", ", port);
	}
	fclose(to);
	return text;
}

/* The interfaces as the policy has them: "lan0, tap*". */
static void print_patterns(const struct sw_policy *policy, FILE *to)
{
	for (uint32_t i = 0; i < policy->n_patterns && i < SW_PATTERNS_MAX; i++) {
		bool again = false;

		for (uint32_t j = 0; j < i; j++)
			again |= strcmp(policy->patterns[i].text, policy->patterns[j].text) == 0;
		if (!again)
			fprintf(to, "%s%s", i ? ", " : "", policy->patterns[i].text);
	}
}

static char *guarded_words(const struct sw_daemon *daemon)
{
	const struct sw_policy *policy = sw_kernel_policy(daemon->kernel);
	const char *mode = sw_daemon_mode(daemon);
	uint64_t host[65536 / 64], edge[65536 / 64];
	sw_autofree char *host_ports = NULL, *edge_ports = NULL;
	char *text = NULL;
	size_t size;
	FILE *to = open_memstream(&text, &size);

	if (!to)
		return NULL;
	memcpy(host, policy->guard, sizeof(host));
	memcpy(edge, policy->edge_guard, sizeof(edge));
	host_ports = port_list(host);
	edge_ports = port_list(edge);
	fputs(strcmp(mode, "audit") == 0 ? "watching " : "guarding ", to);
	if (!policy->n_patterns || (host_ports && *host_ports))
		fprintf(to, "outbound TCP to port %s of every process below %s%s",
			host_ports && *host_ports ? host_ports : "none", daemon->cgroup,
			policy->n_patterns ? ", and " : "");
	if (policy->n_patterns) {
		fprintf(to, "forwarded TCP to port %s that comes in through ",
			edge_ports && *edge_ports ? edge_ports : "none");
		print_patterns(policy, to);
	}
	fprintf(to, ": %u rules, mode %s", policy->n_rules, mode);
	fclose(to);
	return text;
}

static void say_what_is_guarded(const struct sw_daemon *daemon)
{
	const struct sw_policy *policy = sw_kernel_policy(daemon->kernel);
	sw_autofree char *line = guarded_words(daemon);

	if (!line)
		return;
	if (!daemon->options.foreground) {
		sw_log(SW_LOG_NOTICE, "%s", line);
		return;
	}
	puts(line);
	for (uint32_t i = 0; i < policy->n_rules && i < SW_RULES_MAX; i++) {
		const struct sw_rule_info *rule =
			sw_slots_rule(&daemon->slots, policy->generation, i);

		if (rule)
			printf("  line %u: %s%s\n", rule->line,
			       policy->rules[i].flags & SW_RULE_AUDIT ? "(only recorded) " : "",
			       rule->rule);
	}
	fflush(stdout);
}

static void treat_existing(struct sw_daemon *daemon)
{
	struct sw_apply apply = {};

	/* A restart that goes on with what is in force meets no connection for the first time. */
	if (!daemon->fresh)
		return;
	sw_daemon_existing(daemon, &apply);
	free(apply.connections);
}

int sw_daemon_start(struct sw_daemon *daemon, struct sw_fault *fault)
{
	daemon->since_ns = sw_now_ns(CLOCK_REALTIME);
	if (open_first(daemon, fault) < 0 || open_parts(daemon, fault) < 0 ||
	    sw_daemon_open_metrics(daemon, daemon->readers, fault) < 0 ||
	    open_store(daemon, fault) < 0 ||
	    sw_sinks_open(daemon->sinks, &daemon->options, fault) < 0 ||
	    resume_slots(daemon, fault) < 0 ||
	    sw_kernel_set_elsewhere(daemon->kernel, daemon->options.elsewhere, fault) < 0)
		return -1;
	sw_daemon_read_addresses(daemon);
	if (choose_policy(daemon, fault) < 0 ||
	    sw_kernel_events_open(daemon->kernel, sw_daemon_record, daemon, fault) < 0 ||
	    sw_kernel_samples_open(daemon->kernel, sw_daemon_sample, daemon, fault) < 0 ||
	    open_trail(daemon, fault) < 0 || open_control(daemon, fault) < 0 ||
	    sw_daemon_watch(daemon, fault) < 0 || sw_kernel_loaded(daemon->kernel, fault) < 0 ||
	    sw_privileges_drop(fault) < 0 ||
	    sw_sinks_start(daemon->sinks, daemon->trail, fault) < 0 ||
	    sw_kernel_attach(daemon->kernel, fault) < 0)
		return -1;
	daemon->attached = true;
	/* An interface that cannot be guarded keeps nothing else from being enforced. */
	sw_edges_start(daemon->edges);
	sw_daemon_check(daemon);
	/* After maps were replaced: what was open stays so. What was being opened is not known to the new
	   maps; if its SYN must be sent again it is dropped, and the event of that ends the socket. */
	if (!daemon->replaced)
		treat_existing(daemon);
	if (daemon->fresh)
		sw_daemon_tell_policy(daemon);
	say_what_is_guarded(daemon);
	return 0;
}

void sw_daemon_end(struct sw_daemon *daemon)
{
	uint64_t unwritten;

	sw_control_close(daemon->control);
	sw_metrics_http_close(daemon->metrics);
	if (daemon->trail)
		sw_trail_close(daemon->trail);
	unwritten = sw_sinks_stop(daemon->sinks);
	if (unwritten)
		sw_log(SW_LOG_WARNING, "%llu events could not be written in the end",
		       (unsigned long long)unwritten);
	sw_trail_free(daemon->trail);
	sw_addresses_close(daemon->addresses);
	sd_event_source_disable_unref(daemon->ring);
	sd_event_source_disable_unref(daemon->batch_timer);
	sd_event_source_disable_unref(daemon->check_timer);
	sd_event_source_disable_unref(daemon->confirm_timer);
	sw_slots_close(&daemon->slots);
	sw_edges_close(daemon->edges);
	sw_answers_close(daemon->answers);
	sw_kernel_close(daemon->kernel);
	/* Made by a start that then failed: an empty folder goes, one with pins cannot. */
	if (!daemon->attached && daemon->pin_lock >= 0)
		rmdir(daemon->options.pin_dir);
	sw_names_free(daemon->names);
	sw_flows_free(daemon->flows);
	sw_inspector_free(daemon->inspector);
	sd_event_unref(daemon->loop);
	sw_close_cleanup(&daemon->cgroup_fd);
	sw_close_cleanup(&daemon->pin_lock);
	sw_close_cleanup(&daemon->run_lock);
	free(daemon->local);
	free(daemon->cgroup);
	free(daemon->policy_path);
	free(daemon->store_path);
}
