/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * fixture.h - the real programs on a cgroup of the test's own, with policies written by hand.
 *
 * fx_up() loads the object, makes a child cgroup, enters it, unshares the network (so ports are free
 * and nothing leaves), brings loopback up and attaches by links. fx_down() undoes it; the kernel
 * would too if the test died, but for the empty cgroup. A failed step ends the test program.
 */
#ifndef SW_TEST_FIXTURE_H
#define SW_TEST_FIXTURE_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <netinet/in.h>
#include <stdbool.h>
#include <sys/socket.h>

#include "bpf/abi.h"

/* A program of the object and the link that attaches it. */
enum fx_program {
	FX_CONNECT4,
	FX_CONNECT6,
	FX_PEER4,
	FX_PEER6,
	FX_SOCKOPS,
	FX_INGRESS,
	FX_EGRESS,
	FX_PROGRAMS
};

int fx_up(void **state);
int fx_down(void **state);
int fx_reset(void **state); /* cmocka setup: empty policies, counters zero, in the guarded cgroup */

bool fx_usable(void); /* false, with a line of TAP: not root, or no cgroup2 */
void fx_detach(enum fx_program program);
void fx_attach(enum fx_program program);

/* ---- cgroups ---- */

/* Moves a process (0: this one) to the cgroup `path` below the guarded one, made if need be; "" is the
   guarded cgroup. fx_down() removes what was made. */
void fx_enter(int pid, const char *path);

int fx_cgroup_fd(void); /* of the guarded cgroup; borrowed */

/* ---- policies ---- */

/* A row; members that are 0 or NULL are not asked about. */
struct fx_row {
	uint16_t port;
	const uint32_t *user, *group;
	const char *exe, *unit, *cgroup;
	const char *prefix; /* "192.0.2.0/24" */
	bool to_local;
	bool serve; /* the port is a server's; but for `prefix`, `to_local` and this one nothing */
	const char *from; /* is asked then: clients of "192.0.2.0/24" */
};

void fx_begin(unsigned int slot); /* empties the slot at rest and its tables */
uint16_t fx_rule(uint8_t action, uint8_t flags);
void fx_version(uint16_t rule, uint16_t tls_version); /* the oldest that may be negotiated */
void fx_target(uint16_t rule, const char *addr, uint16_t port); /* of the address's family */
void fx_row(uint16_t rule, struct fx_row row);
void fx_guard(uint16_t port); /* fx_row() does it too */
uint64_t fx_apply(void);      /* the slot begun last is in force; returns its generation */
void fx_flip(unsigned int slot);
void fx_elsewhere(bool on); /* SMTP on ports that no rule names is recognised; fx_reset(): not */
/* As if the map `unasked` had never been written, until fx_apply(). */
void fx_say_nothing_of_ports(void);
void fx_local(const char *addr);

/* One rule for everybody on one port: what most tests begin with. */
uint16_t fx_simple(uint16_t port, uint8_t action, uint8_t flags);

/* ---- what became of it ---- */

uint64_t fx_counter(enum sw_counter counter);
void fx_take_gate(int fd); /* as if another CPU looked at packets of both halves, for good */
uint64_t fx_hits(unsigned int slot, uint16_t rule);

/* Takes what is in the ring buffer; returns how many there were. fx_event(i) is valid until then. */
size_t fx_events(void);
const struct sw_event *fx_event(size_t index);
/* The same, but waits until there is one; 0 after a time that only a failure takes. */
size_t fx_await_events(void);
/* The only event since the last fx_events(). */
const struct sw_event *fx_one_event(void);
/* Ends of connections are no events here: how many of them the last of the above found. */
size_t fx_sessions(void);
/* As fx_events(), but waits until that many connections have ended, or for a time that only a failure takes. */
size_t fx_await_sessions(size_t n);
const struct sw_event *fx_session(size_t index);

/* The connection's entry in `flows`; false: there is none. */
bool fx_flow(uint64_t cookie, struct sw_flow *flow);
uint64_t fx_cookie(int fd);

/* Takes what is in `samples`, as fx_events() does; n: its size. */
size_t fx_samples(void);
const struct sw_sample *fx_sample(size_t index, size_t *n);

/* One run of sw_wipe; returns how far the ring `samples` is written then, in bytes. */
uint64_t fx_wipe(void);
/* The whole ring `samples`, as its reader has it in memory. */
const uint8_t *fx_samples_memory(size_t *n);

/* ---- sockets ---- */

struct fx_addr {
	struct sockaddr_storage storage;
	socklen_t length;
};

struct fx_addr fx_addr(const char *text, uint16_t port); /* "::ffff:a.b.c.d" is an IPv6 socket's */
void fx_mapped(const char *text, uint8_t addr[16]);      /* as events have it */
int fx_socket(const char *text, int type, int protocol);
/* 0 or -errno. */
int fx_connect(int fd, const char *text, uint16_t port);
/* A TCP socket, connected and closed: 0 or -errno. */
int fx_try(const char *text, uint16_t port);
/* Listens on a port of IPv4 and IPv6 both, until fx_down(). */
void fx_listen(uint16_t port);

/* Runs `body` in a child and returns its exit status; the child keeps no descriptor of the fixture.
   It may exit with the errno of a connect. */
int fx_child(int (*body)(void *data), void *data);

#endif
