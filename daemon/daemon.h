/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * daemon.h - the running daemon: what its parts share. start.c builds one up, run.c keeps it going,
 * apply.c changes the policy, requests.c answers the control socket. These are the top layer: they
 * log what the layers below return.
 */
#ifndef SW_DAEMON_H
#define SW_DAEMON_H

#include <stdbool.h>
#include <stdint.h>
#include <systemd/sd-event.h>

#include "daemon/answer.h"
#include "daemon/control.h"
#include "daemon/edge.h"
#include "daemon/events.h"
#include "daemon/flows.h"
#include "daemon/inspect.h"
#include "daemon/load.h"
#include "daemon/metrics.h"
#include "daemon/metrics_http.h"
#include "daemon/net.h"
#include "daemon/options.h"
#include "daemon/sink_store.h"
#include "daemon/sinks.h"
#include "daemon/slots.h"

#define SW_INCIDENTS 16
#define SW_EVENTS_WAITING 16

/* What happened that somebody should know of, the last few. */
struct sw_incident {
	uint64_t time_ns; /* CLOCK_REALTIME; 0: none */
	char text[480];
};

struct sw_daemon {
	struct sw_options options;
	char *policy_path; /* options.policy, resolved */
	char *cgroup;
	int cgroup_fd, run_lock, pin_lock;
	uint64_t since_ns; /* CLOCK_REALTIME */

	struct sw_kernel *kernel;
	struct sw_edges *edges;
	struct sw_answers *answers;
	struct sw_slots slots;
	struct sw_hook_state hooks[SW_HOOK_MAX];
	bool attached; /* sw_kernel_attach() was done */
	bool fresh;    /* this start put a policy in force */
	bool replaced; /* this start took over from maps that it could not go on with */

	sd_event *loop;
	sd_event_source *check_timer, *confirm_timer;
	sd_event_source *ring, *batch_timer; /* events, see run.c */
	bool batching;
	uint64_t urgent_seen; /* of struct sw_head, as of the last reading */
	struct sw_addresses *addresses;
	uint8_t (*local)[16]; /* as in the map `local`, sorted */
	size_t n_local;
	struct sw_control *control;
	struct sw_metrics_http *metrics; /* NULL: not asked for, or not to be had */
	struct sw_event_totals totals;
	struct sw_trail *trail;
	struct sw_sinks *sinks;
	struct sw_store_sink *store; /* one of them; NULL: there is no store */
	char *store_path;
	bool added;                   /* to the trail, and nobody was woken yet */
	uint64_t shown_second, shown; /* lines about events, in this second */
	struct sw_names *names;
	struct sw_inspector *inspector;
	gid_t readers; /* the group that may read what the daemon knows; -1: there is none */
	struct sw_flows *flows;
	uint64_t pretended; /* connections that inspection ended or recorded */
	/* Events that wait for what the sample of their connection says; their sockets do not. */
	struct sw_event waiting[SW_EVENTS_WAITING];
	unsigned int n_waiting;
	bool wipe; /* what was read from `samples` may hold anything: it must go */

	struct sw_incident incidents[SW_INCIDENTS];
	unsigned int next_incident;
	bool addresses_incomplete, reload_failed;
	bool wipe_failed, reset_failed; /* told once */
	uint64_t bad_records;
	bool detached; /* `stop` has taken enforcement off */
};

/* ---- run.c ---- */

uint64_t sw_now_ns(clockid_t clock);

/* Logs an error and keeps it for `status`. */
void sw_daemon_incident(struct sw_daemon *daemon, const char *format, ...) sw_printf(2, 3);

/* Reads this machine's addresses into `local`. */
void sw_daemon_read_addresses(struct sw_daemon *daemon);

/* Hooks: ask the kernel, repair, report. */
void sw_daemon_check(struct sw_daemon *daemon);

/* Tells the service manager, in a line, what is in force. */
void sw_daemon_tell_status(struct sw_daemon *daemon);

/* Sets up timers, signals and everything else that is waited for. */
int sw_daemon_watch(struct sw_daemon *daemon, struct sw_fault *fault);

/* A record of the ring buffer; `data` is the daemon. */
void sw_daemon_record(void *data, const void *bytes, size_t size);

/* A sink began to fail, or goes on; `data` is the daemon. */
void sw_daemon_sink_changed(void *data, const struct sw_sink_state *state);

/* An event that is already known to be one: keeps and shows it. */
void sw_daemon_event(struct sw_daemon *daemon, const struct sw_event *event);

/* Resets the connection that an event of the gate is about, so that its program learns at once. False:
   it is not there (any more), or in a network namespace that is out of reach. */
bool sw_daemon_reset(struct sw_daemon *daemon, const struct sw_event *event);

/* "enforce", "audit" or "mixed": the policy in force. */
const char *sw_daemon_mode(const struct sw_daemon *daemon);

/* ---- start.c ---- */

/* Everything up to the first turn of the loop. On failure nothing stays attached that was not. */
int sw_daemon_start(struct sw_daemon *daemon, struct sw_fault *fault);
void sw_daemon_end(struct sw_daemon *daemon);

/* A start that goes on with the policy in force does not read its lists. Reads them now, so that the slot in force
   has its image, if the file still says the same. */
void sw_daemon_read_image(struct sw_daemon *daemon);

/* ---- apply.c ---- */

struct sw_apply {
	/* in */
	const char *path;         /* resolved */
	struct sw_image *image;   /* taken */
	uint32_t confirm_seconds; /* 0: none */
	bool close;               /* reset connections that are older */
	/* out; `connections` is malloc'ed */
	bool unchanged;
	struct sw_connection *connections;
	size_t n_connections;
};

/* SW_EXIT_NO: another policy waits to be confirmed. */
int sw_daemon_apply(struct sw_daemon *daemon, struct sw_apply *apply, struct sw_fault *fault);

/* Connections of the guarded cgroup to guarded ports, after a policy was put in force: each is older
   than it. They are listed, logged and with `close` reset. */
void sw_daemon_existing(struct sw_daemon *daemon, struct sw_apply *apply);

/* Logs what is in force: there must be something. */
void sw_daemon_tell_policy(struct sw_daemon *daemon);

int sw_daemon_confirm(struct sw_daemon *daemon, struct sw_fault *fault);
int sw_daemon_rollback(struct sw_daemon *daemon, struct sw_fault *fault);

/* After a start: goes back at once when the time to confirm has passed, else waits on. */
int sw_daemon_resume_confirm(struct sw_daemon *daemon, struct sw_fault *fault);

/* Reads the policy file again (SIGHUP). */
void sw_daemon_reload(struct sw_daemon *daemon);

/* What the policy file said when it was last taken in: a start that finds the same puts nothing
   else in the place of a policy that was applied since. */
bool sw_daemon_is_configured(const struct sw_daemon *daemon, const uint8_t sha256[static 32]);
void sw_daemon_set_configured(const struct sw_daemon *daemon, const uint8_t sha256[static 32]);

/* ---- samples.c ---- */

/* Reads what waits in the ring buffer `samples`, and wipes it where that is called for; then no event
   waits any more. */
void sw_daemon_read_samples(struct sw_daemon *daemon);

/* A record of it; `data` is the daemon. */
void sw_daemon_sample(void *data, const void *bytes, size_t size);

/* ---- connections.c ---- */

/* Every connection that the kernel knows of, live ones first, of each kind the newest first: members
   `flows` and `left_out` of the answer in proto.h. NULL after filling *fault. */
json_t *sw_daemon_flows(struct sw_daemon *daemon, struct sw_fault *fault);

/* ---- edge_status.c ---- */

/* The member `edge` of the answer to `status`: null while nothing of it is in the kernel. */
json_t *sw_daemon_edge_status(struct sw_daemon *daemon);

/* Connections through the edge, as objects of proto.h, live ones first, of each kind the newest first; *left_out
   is how many more there are. NULL after filling *fault. */
json_t *sw_daemon_edge_flows(struct sw_daemon *daemon, size_t *left_out, struct sw_fault *fault);

/* ---- metrics_gather.c ---- */

/* Serves metrics where the options say; nothing happens when they do not. -1: the address will not do. One
   that cannot be had is a problem that `status` shows. */
int sw_daemon_open_metrics(struct sw_daemon *daemon, gid_t readers, struct sw_fault *fault);

/* ---- status.c ---- */

/* The members of the answer to `status`, but for "status". */
json_t *sw_daemon_status(struct sw_daemon *daemon);

/* ---- requests.c ---- */

sw_control_handler sw_daemon_request;

#endif
