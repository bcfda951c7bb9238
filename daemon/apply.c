/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * apply.c - changing the policy of a running daemon: apply, confirm, rollback, reload.
 */
#include <errno.h>
#include <fcntl.h>
#include <malloc.h>
#include <string.h>
#include <systemd/sd-daemon.h>
#include <time.h>

#include "daemon/daemon.h"
#include "daemon/log.h"
#include "daemon/mounts.h"
#include "daemon/policy/policy.h"
#include "daemon/proto.h"
#include "daemon/source.h"

#define NS 1000000000u

/* Connections named in the log one by one; the answer to `apply` has them all. */
#define CONNECTIONS_LOGGED 20

/* ---- confirm ---- */

static int on_confirm_time(sd_event_source *source, uint64_t usec, void *data)
{
	struct sw_daemon *daemon = data;
	struct sw_fault fault;

	(void)source;
	(void)usec;
	if (sw_daemon_rollback(daemon, &fault) < 0) {
		sw_kernel_set_confirm(daemon->kernel, 0);
		sw_daemon_incident(daemon, "the policy was not confirmed in time, but: %s",
				   fault.text);
	} else {
		sw_daemon_incident(daemon,
				   "the policy was not confirmed in time: %s is in force again",
				   sw_slots_active(&daemon->slots)->info.path);
	}
	return 0;
}

static void stop_timer(struct sw_daemon *daemon)
{
	daemon->confirm_timer = sd_event_source_disable_unref(daemon->confirm_timer);
}

/* The running time counts, not the clock: setting the clock neither shortens nor lengthens it. */
static int start_timer(struct sw_daemon *daemon, uint64_t in_ns, struct sw_fault *fault)
{
	int error;

	stop_timer(daemon);
	error = sd_event_add_time_relative(daemon->loop, &daemon->confirm_timer, CLOCK_BOOTTIME,
					   in_ns / 1000, 1000, on_confirm_time, daemon);
	if (error < 0)
		return sw_fault(fault, SW_EXIT_KERNEL, "cannot set a timer: %s", strerror(-error));
	return 0;
}

int sw_daemon_resume_confirm(struct sw_daemon *daemon, struct sw_fault *fault)
{
	uint64_t until = sw_kernel_head(daemon->kernel)->confirm_before;
	uint64_t now = sw_now_ns(CLOCK_REALTIME);
	const struct sw_slot *active = sw_slots_active(&daemon->slots);
	const struct sw_slot *other = sw_slots_other(&daemon->slots);

	if (!until)
		return 0;
	/* Only the newest policy waits. An older one in force: we ended between setting the time
	   and the switch, or between the switch back and clearing the time. */
	if (!active || !other || active->generation < other->generation) {
		sw_kernel_set_confirm(daemon->kernel, 0);
		return 0;
	}
	if (until > now)
		return start_timer(daemon, until - now, fault);
	if (sw_daemon_rollback(daemon, fault) < 0)
		return -1;
	sw_daemon_incident(
		daemon,
		"the policy was not confirmed in time, which passed while no daemon ran: "
		"%s is in force again",
		sw_slots_active(&daemon->slots)->info.path);
	return 0;
}

int sw_daemon_confirm(struct sw_daemon *daemon, struct sw_fault *fault)
{
	if (!sw_kernel_head(daemon->kernel)->confirm_before)
		return sw_fault(fault, SW_EXIT_NO, "no policy waits to be confirmed");
	sw_kernel_set_confirm(daemon->kernel, 0);
	stop_timer(daemon);
	sw_log(SW_LOG_NOTICE, "policy %s is confirmed", sw_slots_active(&daemon->slots)->info.path);
	return 0;
}

int sw_daemon_rollback(struct sw_daemon *daemon, struct sw_fault *fault)
{
	if (sw_slots_rollback(&daemon->slots, fault) < 0)
		return -1;
	stop_timer(daemon);
	sw_log(SW_LOG_NOTICE, "back to the policy before: %s (generation %llu)",
	       sw_slots_active(&daemon->slots)->info.path,
	       (unsigned long long)sw_slots_active(&daemon->slots)->generation);
	sw_daemon_tell_status(daemon);
	return 0;
}

/* ---- connections that are older ---- */

static void log_connection(const struct sw_connection *connection, const char *what)
{
	char src[SW_ADDR_SIZE], dst[SW_ADDR_SIZE];

	sw_addr_format(connection->src, src);
	sw_addr_format(connection->dst, dst);
	sw_log(SW_LOG_NOTICE,
	       "connection older than the policy %s: user %u, %s port %u -> %s port %u", what,
	       connection->uid, src, connection->src_port, dst, connection->dst_port);
}

static const char *treat_connection(struct sw_connection *connection, bool close)
{
	int error;

	if (!close)
		return "may finish";
	error = sw_connection_close(connection);
	if (error == -ENOENT)
		return "has ended by itself";
	return error ? "could not be reset" : "was reset";
}

static int by_id(const void *a, const void *b)
{
	uint64_t left = *(const uint64_t *)a, right = *(const uint64_t *)b;

	return left < right ? -1 : left > right;
}

/* Of these connections, the ones that processes below the guarded cgroup have opened: what the
   policy is not for stays out of the list, and open. */
static int keep_guarded(const struct sw_daemon *daemon, struct sw_apply *apply,
			struct sw_fault *fault)
{
	sw_autofree uint64_t *ids = NULL;
	size_t n, kept = 0;

	if (sw_cgroup_tree(daemon->cgroup, &ids, &n, fault) < 0)
		return -1;
	for (size_t i = 0; ids && i < apply->n_connections; i++)
		if (bsearch(&apply->connections[i].cgroup_id, ids, n, sizeof(*ids), by_id))
			apply->connections[kept++] = apply->connections[i];
	if (ids)
		apply->n_connections = kept;
	return 0;
}

/* All connections of the guarded cgroup to ports of the policy in force. */
static int list_guarded(const struct sw_daemon *daemon, struct sw_apply *apply,
			struct sw_fault *fault)
{
	const struct sw_policy *policy = sw_kernel_policy(daemon->kernel);
	uint64_t ports[65536 / 64];

	for (size_t i = 0; i < sw_count(ports); i++)
		ports[i] = policy->guard[i];
	if (sw_connections_list(ports, &apply->connections, &apply->n_connections, fault) == 0 &&
	    keep_guarded(daemon, apply, fault) == 0)
		return 0;
	apply->n_connections = 0;
	return -1;
}

void sw_daemon_existing(struct sw_daemon *daemon, struct sw_apply *apply)
{
	struct sw_fault fault;

	if (list_guarded(daemon, apply, &fault) < 0) {
		sw_daemon_incident(daemon, "connections older than the policy are not known: %s",
				   fault.text);
		return;
	}
	for (size_t i = 0; i < apply->n_connections; i++) {
		const char *what = treat_connection(&apply->connections[i], apply->close);

		if (i < CONNECTIONS_LOGGED)
			log_connection(&apply->connections[i], what);
	}
	if (apply->n_connections > CONNECTIONS_LOGGED)
		sw_log(SW_LOG_NOTICE, "and %zu more such connections",
		       apply->n_connections - CONNECTIONS_LOGGED);
}

/* ---- apply ---- */

/* The policy in force is applied again: nothing changes but the time to confirm it. */
static int apply_unchanged(struct sw_daemon *daemon, const struct sw_apply *apply,
			   struct sw_fault *fault)
{
	uint64_t in = (uint64_t)apply->confirm_seconds * NS;

	if (!apply->confirm_seconds)
		return 0;
	if (start_timer(daemon, in, fault) < 0)
		return -1;
	sw_kernel_set_confirm(daemon->kernel, sw_now_ns(CLOCK_REALTIME) + in);
	return 0;
}

void sw_daemon_tell_policy(struct sw_daemon *daemon)
{
	const struct sw_slot *active = sw_slots_active(&daemon->slots);

	sw_log(SW_LOG_NOTICE, "policy %s is in force: generation %llu, %u rules, mode %s",
	       active->info.path, (unsigned long long)active->generation, active->n_rules,
	       sw_daemon_mode(daemon));
}

static void tell_unanswered(struct sw_daemon *daemon)
{
	unsigned int n = sw_slots_unanswered(&daemon->slots);

	if (n)
		sw_daemon_incident(daemon,
				   "no socket on loopback could be opened for the answers of %u "
				   "rules: what they refuse is refused without a word",
				   n);
}

static int apply_changed(struct sw_daemon *daemon, struct sw_apply *apply, struct sw_fault *fault)
{
	uint64_t in = (uint64_t)apply->confirm_seconds * NS;
	uint64_t until = in ? sw_now_ns(CLOCK_REALTIME) + in : 0;
	struct sw_slot *active;

	/* With --confirm there must be a policy to go back to. */
	if (in && !sw_slots_active(&daemon->slots)) {
		sw_image_free(sw_take(apply->image));
		return sw_fault(fault, SW_EXIT_NO, "there is no policy to go back to");
	}
	if (sw_slots_apply(&daemon->slots, sw_take(apply->image), apply->path, until, fault) < 0)
		return -1;
	if (in && start_timer(daemon, in, fault) < 0)
		return -1;
	active = sw_slots_active(&daemon->slots);
	sw_kernel_set_existing_close(daemon->kernel, apply->close ? active->generation : 0);
	tell_unanswered(daemon);
	/* A start that fails from here on has put nothing in force: it tells when it is through. */
	if (daemon->attached)
		sw_daemon_tell_policy(daemon);
	if (strcmp(apply->path, daemon->policy_path) == 0)
		sw_daemon_set_configured(daemon, active->info.sha256);
	return 0;
}

/* The policy file, whoever had it applied: what was wrong with it before is over. */
static void loaded(struct sw_daemon *daemon, const struct sw_apply *apply, int result)
{
	if (result == 0 && strcmp(apply->path, daemon->policy_path) == 0)
		daemon->reload_failed = false;
}

int sw_daemon_apply(struct sw_daemon *daemon, struct sw_apply *apply, struct sw_fault *fault)
{
	bool pending = sw_kernel_head(daemon->kernel)->confirm_before != 0;
	bool same = sw_slots_is_active(&daemon->slots, apply->image->sha256, apply->path);
	int result;

	if (same && (!apply->confirm_seconds || pending)) {
		apply->unchanged = true;
		/* After an adoption the image may not have been known until now. */
		sw_slots_remember(&daemon->slots, sw_take(apply->image));
		result = apply_unchanged(daemon, apply, fault);
		loaded(daemon, apply, result);
		return result;
	}
	/* A second policy on top would take the place of the one to go back to. */
	if (pending) {
		sw_image_free(sw_take(apply->image));
		return sw_fault(
			fault, SW_EXIT_NO,
			"the policy in force waits to be confirmed; confirm it or roll it back "
			"first");
	}
	result = apply_changed(daemon, apply, fault);
	loaded(daemon, apply, result);
	/* A long list leaves much freed memory behind. */
	malloc_trim(0);
	sw_daemon_tell_status(daemon);
	return result;
}

/* ---- reload ---- */

static void source_cleanup(struct sw_source *source)
{
	sw_source_free(source);
}

static void reload(struct sw_daemon *daemon)
{
	sw_cleanup(source_cleanup) struct sw_source source = {};
	struct sw_apply apply = {.path = daemon->policy_path};
	struct sw_fault fault;

	sw_source_open(&source, daemon->policy_path, false);
	daemon->reload_failed = !source.image;
	if (!source.image) {
		sw_daemon_incident(daemon, "%s has errors; the policy in force stays",
				   daemon->policy_path);
		sw_log(SW_LOG_ERROR, "%s", source.said);
		return;
	}
	if (source.said && *source.said)
		sw_log(SW_LOG_WARNING, "%s", source.said);
	apply.image = sw_take(source.image);
	if (sw_daemon_apply(daemon, &apply, &fault) < 0) {
		daemon->reload_failed = true;
		sw_daemon_incident(daemon, "%s was not loaded: %s", daemon->policy_path,
				   fault.text);
		return;
	}
	if (apply.unchanged)
		sw_log(SW_LOG_NOTICE, "%s is unchanged", daemon->policy_path);
	else
		sw_daemon_existing(daemon, &apply);
	free(apply.connections);
}

void sw_daemon_reload(struct sw_daemon *daemon)
{
	sd_notifyf(0, "RELOADING=1\nMONOTONIC_USEC=%llu",
		   (unsigned long long)sw_now_ns(CLOCK_MONOTONIC) / 1000);
	reload(daemon);
	sd_notify(0, "READY=1");
	sw_daemon_tell_status(daemon);
}

/* ---- the policy file as it was last taken in ---- */

static char *configured_path(const struct sw_daemon *daemon)
{
	char *path;

	return asprintf(&path, "%s/configured", daemon->options.run_dir) < 0 ? NULL : path;
}

/* One line: the hash, a blank, the path. */
static char *configured_line(const struct sw_daemon *daemon, const uint8_t sha256[static 32])
{
	char hash[2 * 32 + 1], *line;

	for (size_t i = 0; i < 32; i++)
		snprintf(hash + 2 * i, 3, "%02x", sha256[i]);
	return asprintf(&line, "%s %s\n", hash, daemon->policy_path) < 0 ? NULL : line;
}

bool sw_daemon_is_configured(const struct sw_daemon *daemon, const uint8_t sha256[static 32])
{
	sw_autofree char *path = configured_path(daemon), *want = configured_line(daemon, sha256);
	sw_autofclose FILE *file = path ? fopen(path, "re") : NULL;
	char have[8192];
	size_t n;

	if (!file || !want)
		return false;
	n = fread(have, 1, sizeof(have) - 1, file);
	have[n] = '\0';
	return strcmp(have, want) == 0;
}

void sw_daemon_set_configured(const struct sw_daemon *daemon, const uint8_t sha256[static 32])
{
	sw_autofree char *path = configured_path(daemon), *line = configured_line(daemon, sha256);
	sw_autofree char *new = NULL;
	FILE *file;

	if (!path || !line || asprintf(&new, "%s.new", path) < 0)
		return;
	file = fopen(new, "we");
	if (!file || fputs(line, file) < 0)
		sw_log(SW_LOG_WARNING, "cannot write %s: %s", new, strerror(errno));
	if (file && (fclose(file) != 0 || rename(new, path) < 0)) {
		sw_log(SW_LOG_WARNING, "cannot write %s: %s", path, strerror(errno));
		unlink(new);
	}
}
