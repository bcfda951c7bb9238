/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * control.h - the control socket: who may connect, how many, how long, and the frames (proto.h). It
 * knows no request; each one is handed to the handler, whose answer is sent.
 *
 * Nothing that a peer does ends the daemon or makes its memory grow: a peer that speaks garbage is
 * disconnected, one that does not read what was sent waits or loses events.
 */
#ifndef SW_CONTROL_H
#define SW_CONTROL_H

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>
#include <systemd/sd-event.h>

#include "daemon/audit/store.h"
#include "daemon/audit/trail.h"
#include "daemon/fault.h"

/* What the kernel says of a peer. */
struct sw_peer {
	uid_t uid;
	pid_t pid;
	bool root;   /* may ask anything */
	bool reader; /* may ask what changes nothing: root, or a member of the socket's group */
};

/* Which events a peer wants. */
struct sw_stream {
	bool wanted;
	bool follow;             /* go on when those at hand are sent */
	uint64_t next;           /* id of the next one that is looked at */
	uint64_t end;            /* without follow: the first that is not sent */
	struct sw_search search; /* others are passed over */
	json_t *asked;           /* whom the texts of `search` belong to; owned */
};

/*
 * One request. `fds` came with it and are closed afterwards. Returns the answer (NULL: out of memory,
 * the peer is disconnected). A handler that sets stream->wanted answers with events instead: a
 * returned object is still sent first unless it is JSON null.
 */
typedef json_t *sw_control_handler(void *data, const struct sw_peer *peer, const json_t *request,
				   const int *fds, size_t n_fds, struct sw_stream *stream);

struct sw_control_limits {
	unsigned int connections;      /* all together */
	unsigned int reserved_root;    /* of these, only for uid 0 */
	unsigned int per_user;         /* of one uid other than 0 */
	uint32_t request_bytes;        /* length of a request */
	uint64_t half_usec, idle_usec; /* a frame begun, a peer that asks nothing */
};

extern const struct sw_control_limits sw_control_limits;

struct sw_control;

/*
 * Makes the socket PATH, in place of one that is there (the caller holds the lock of the folder).
 * `group`: who may read besides root; (gid_t)-1: nobody. `trail` and `limits` are borrowed.
 */
int sw_control_open(sd_event *loop, const char *path, gid_t group,
		    const struct sw_control_limits *limits, struct sw_trail *trail,
		    sw_control_handler *handler, void *data, struct sw_control **control,
		    struct sw_fault *fault);
void sw_control_close(struct sw_control *control);

/* Events were added to the trail: those who follow get them. */
void sw_control_wake(struct sw_control *control);

/* Tries to send what is waiting, for at most `usec`; for the answer to `stop`. */
void sw_control_flush(struct sw_control *control, uint64_t usec);

unsigned int sw_control_connections(const struct sw_control *control);

#endif
