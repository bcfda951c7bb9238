/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * proto.h - what smtpwall and smtpwalld say to each other over RUN_DIR/control, a Unix stream
 * socket. A message is a frame: four bytes of length (network order, 1 to SW_FRAME_MAX), then that
 * many bytes of one JSON object (RFC 8259, UTF-8). The peer's user is what the kernel says
 * (SO_PEERCRED), never what the message says.
 *
 * A request is {"request": NAME, ...}; its answer is one object, or for `events` a stream of them
 * that ends with {"end": true} (or goes on, with "follow"). Every answer has
 *     "status": 0            done
 *     "status": 1            the answer is no ("error" says why, "diagnostics" may list places)
 *     "status": 2            not a request that is known, or a member of a wrong type
 *     "status": 4            the kernel refused
 *     "status": 5            not permitted for this user
 *     "error": "a sentence"  when status is not 0
 * Unknown members are passed over, so that both sides can grow.
 *
 * Requests. Those marked (root) are for uid 0 only; the others also for members of the group that
 * owns the socket. Times are strings, RFC 3339 with microseconds, UTC.
 *
 *  status    -> version, pid, since, mode ("enforce" | "audit" | "mixed"), enforcing (bool),
 *               policy {path, sha256, generation, applied, rules},
 *               confirm_before (time, absent when nothing waits),
 *               cgroup, hooks [{hook, program_id, link_id, attached (bool), problem}],
 *               counters {connect, allowed, refused, redirected, audited, unidentified,
 *                         packet_dropped, existing, events, suppressed, lost, tls, condemned,
 *                         gate_dropped, gate_held, samples, samples_lost, sessions (that have
 *                         ended), serve_connect, serve_allowed, serve_refused, serve_audited,
 *                         serve_tls, serve_condemned, serve_dropped, serve_held (of clients that
 *                         come to this machine's servers), elsewhere, taken (events that smtpwalld
 *                         has in hand), pretended (ended or recorded by inspection since the daemon
 *                         started)},
 *               problems ["a sentence", ...],
 *               newest (id of the newest event),
 *               sinks [{sink ("store" | "journal" | "json" | "syslog"), written, lost, position (id of
 *                       the last event that was written or lost), retries, problem (null)}],
 *               edge: null while no policy with an edge block was in force, else {
 *                 interfaces [{name, index, attached (bool), mode ("native" | "generic", null),
 *                              kept_until (time, null), problem (null)}],
 *                 flows {room, used, evicted, evicted_tls}, gates {room, used, evicted},
 *                 counters {connect, allowed, refused, audited, dropped, resets, answers, malformed,
 *                           unknown, existing, held, tls, condemned},
 *                 sources [{source, interface, refused, per_second, first, last}: the first 10],
 *                 sources_evicted}
 *  rules     -> path, generation, rules [{rule, line, scope, text, audit (bool), hits}]
 *  why       {port, scope, exe, uid, gid, groups [..], unit, cgroup, to, from, iface}, all but port
 *               optional -> guarded, verdict, reason, reason_words, rule, line, rule_text, text,
 *               redirect ("ADDR:PORT"), audit (bool), tls_required (null | {way ("implicit" |
 *               "starttls" | "any"), version ("1.2", null: any), proxy (bool)}), answer (bool: refused
 *               with a 554 greeting). `from` or `iface` ask for the edge, as scope "edge" does; with
 *               scope "serve" it is about a client, `from`, of a server of this machine that listens on
 *               `port`, `to` is where the client comes to
 *  events    {follow (bool), last (count), after (id, exclusive), since, until (times), user, exe, unit,
 *               port, to (address or prefix), verdict, reason, rule, sessions (bool: those, instead of
 *               all others)} -> first {store (path of the store, null), first, next (ids that the daemon
 *               has itself: from, and before)}, then of these the event objects (below) that fit, then
 *               end; between them {"lost": N}: N events that were not kept long enough to be sent. `last`
 *               counts before the other members are looked at
 *  flows     -> flows [flow objects (below): live ones first, of each kind the newest first],
 *               left_out (how many more there are than fit into an answer)
 *  apply     (root) {path, confirm (seconds, 0: none), existing ("keep" | "close")} with two
 *               descriptors as SCM_RIGHTS on the first byte of the frame: the policy file open for
 *               reading, and its folder, to which list files are relative
 *               -> generation, unchanged (bool), confirm_before,
 *               diagnostics [{severity, file, line, column, message}], text (as printed, with carets),
 *               existing [{src, src_port, dst, dst_port, uid, inode, closed (bool)}]
 *  confirm   (root) -> generation
 *  rollback  (root) -> generation, path: the policy before is in force again
 *  stop      (root) {detach (bool)} -> then the daemon ends
 *
 *  An event: "event": {time, id, kind ("connect" | "packet" | "gate" | "edge" | "session" | "serve" |
 *               "elsewhere"), verdict, reason, rule, line,
 *               rule_text, scope, port, src, src_port, dst, dst_port, redirect, pid, exe, exe_note,
 *               comm, uid, gid, user, group, unit, cgroup, tls, sni, text, generation, suppressed}.
 *               id is one more for each event, also from one daemon to the next of one store;
 *               src and src_port are null while the socket is not bound;
 *               rule is null when no rule decided; port is dst_port; tls and sni are null but for kind
 *               "gate", which has tls ("none" | "starttls" | "implicit"), sni as far as it is known,
 *               and also from ("client" | "server": whose bytes were at fault), tls_version ("0x0303",
 *               null), verb ("AUTH PLAIN", null when it is none that is known) and, only when the verb
 *               was refused before it had ended, verb_length: verb then has that many letters ("A").
 *               Kind "edge": scope is "edge", who sent it is null throughout (pid to cgroup), and it has
 *               the members of "gate" and interface (name, or its index as text when it is gone), mac,
 *               vlan [ids], pppoe_session (null).
 *               Kind "session": a connection has ended that was let through; it has tls, tls_version, sni,
 *               cipher_suite ("0x1302", null), opened (time), sent and received (bytes of payload).
 *               Kind "serve": scope is "serve", a client did not do as the rule of a server here has it, or
 *               may not come; src is the client, dst what it came to; uid, user, unit and cgroup are those of
 *               the server's socket, pid is 0 and exe null; it has the members of "gate". Kind "elsewhere":
 *               SMTP on a port that no host block names, reason "smtp_elsewhere", rule null.
 *
 *  A flow: {pid, exe, exe_note, comm, uid, gid, user, group, unit, cgroup, src, src_port, dst,
 *               dst_port, port, redirect, rule, line, generation, state, state_words, reason, tls,
 *               tls_version, cipher, sni, alpn, ja4, versions_offered ["0x0304", ...], certificate
 *               {subject, names, more_names, not_before, not_after, matches}, live, sent, received,
 *               opened, ended, age_seconds}.
 *               dst is what the program asked for, redirect ("ADDR:PORT", null) where it went instead;
 *               reason is "none" unless the gate ended or recorded it. What is not known is null: live
 *               (and sent, received) when no end was noted and the socket is not in the daemon's network
 *               namespace; certificate when it was encrypted (TLS 1.3) or longer than the sample;
 *               matches when no name was asked for. age_seconds is how long ago it was opened.
 *               Each has scope ("host" | "edge" | "serve"). One of the edge has interface; what concerns
 *               programs, samples and bytes is null. Of one that this machine answers (serve) src is the
 *               client, dst what it came to, and user, unit and cgroup are those of the server's socket;
 *               exe and gid are null, pid is 0.
 */
#ifndef SW_PROTO_H
#define SW_PROTO_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define SW_FRAME_MAX (4u << 20)
#define SW_FRAME_FDS 2

#define SW_STATUS_OK 0
#define SW_STATUS_NO 1
#define SW_STATUS_BAD 2
#define SW_STATUS_KERNEL 4
#define SW_STATUS_DENIED 5

/*
 * A reader collects one frame at a time from bytes as they come. `limit` bounds a frame's length
 * (a server takes far less than it sends). Descriptors that came along are owned by the reader
 * until sw_reader_take_fds(); whatever is left is closed by sw_reader_reset().
 */
struct sw_reader {
	uint32_t limit;
	uint8_t head[4];
	uint32_t have; /* bytes so far, head included */
	uint32_t length;
	char *body;
	int fds[SW_FRAME_FDS];
	size_t n_fds;
};

void sw_reader_init(struct sw_reader *reader, uint32_t limit);
void sw_reader_reset(struct sw_reader *reader); /* forget what came, keep the limit */

/*
 * Reads once from a socket (recvmsg, MSG_CMSG_CLOEXEC). 1: *message is a whole object, owned by the
 * caller; 0: more must come; -EAGAIN: nothing there now; -ECONNRESET: the peer has closed (in the
 * middle of a frame or not); -EMSGSIZE, -EBADMSG: not a frame, close the connection.
 */
int sw_reader_read(struct sw_reader *reader, int fd, json_t **message);

/* The same from memory, for tests and fuzzers: *used says how many bytes were taken. */
int sw_reader_feed(struct sw_reader *reader, const void *bytes, size_t n, size_t *used,
		   json_t **message);

/* Moves the descriptors out; returns how many. */
size_t sw_reader_take_fds(struct sw_reader *reader, int fds[static SW_FRAME_FDS]);

/* A frame as bytes: malloc'ed, with the head. NULL: out of memory or over SW_FRAME_MAX. */
char *sw_frame(const json_t *message, size_t *length);

/* Blocking send of one message with descriptors. 0 or -errno; SIGPIPE is not raised. */
int sw_send(int fd, const json_t *message, const int *fds, size_t n_fds);

/* "2026-01-02T03:04:05.678901Z", 28 bytes with the NUL; ns since 1970. Parsing takes any RFC 3339
   time with or without a fraction; -EINVAL. */
#define SW_TIME_SIZE 28
void sw_time_format(uint64_t ns, char to[static SW_TIME_SIZE]);
int sw_time_parse(const char *text, uint64_t *ns);

/* Address of sixteen bytes as text: dotted for v4-mapped, RFC 5952 otherwise. 46 bytes. */
#define SW_ADDR_SIZE 46
void sw_addr_format(const uint8_t addr[static 16], char to[static SW_ADDR_SIZE]);
int sw_addr_parse(const char *text, uint8_t addr[static 16]);

/* The members of an answer to `why` (but for "status"): the command gives it as well, for a file. */
struct sw_answer;
json_t *sw_answer_json(const struct sw_answer *found);

#endif
