/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * connect - what a policy costs a connect(), beside what nftables, iptables and a verdict in user space cost it.
 *
 *   connect [--full]
 *
 * Each side is a worker (worker.h) that connects to a listener of its own on loopback. Only the call of connect()
 * is timed: with its SYN, the SYN-ACK that comes back and the ACK, as loopback does all that within the call. The
 * listeners are made outside of the guarded cgroup, as a server on another machine is: only the client's hooks are
 * paid for. The rules of a packet filter can't be kept from the far side's packets: they run three times for a
 * connect, where two would leave this machine.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/syscall.h>

#include "daemon/base.h"
#include "tests/bench/guard.h"
#include "tests/bench/pair.h"
#include "tests/bench/queue.h"
#include "tests/prog/fixture.h"

#define PORT 25      /* that rules name */
#define UNNAMED 2525 /* that none does */
#define CLOSED 9     /* where nobody listens */
#define WARM_UP                                                                                    \
	10000 /* connects: more than `flows` holds, so that it forgets as it does in a long life */
#define BATCH 250
#define RULES SW_RULES_MAX
#define FIRST_USER 200000u
#define USERS 60000u

/* Beside the port, what a worker is asked. */
#define AS_OTHERS (1u << 16) /* each few by another user, so that the limiter lets each be told */

static const char note[] =
	"connect() alone on loopback, client and listener on one CPU, the listener outside of the "
	"guarded cgroup; rules of nft and iptables run three times: the far side's SYN-ACK meets "
	"them too";

/* ---- the work ---- */

struct connects {
	int listeners[2];
	uint64_t n; /* as others */
};

static int listening(uint16_t port)
{
	struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons(port)};
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	if (fd < 0 || bind(fd, (struct sockaddr *)&to, sizeof(to)) || listen(fd, 64))
		workers_fail("listener");
	return fd;
}

static void listen_outside(void *data)
{
	struct connects *connects = data;

	connects->listeners[0] = listening(PORT);
	connects->listeners[1] = listening(UNNAMED);
}

/* Time of one connect(); ns. It ends with a reset: nothing is left in TIME_WAIT. */
static uint64_t connect_once(int listener, uint16_t port, bool *refused)
{
	static const struct linger hard = {.l_onoff = 1};
	struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons(port)};
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), accepted;
	uint64_t before, after;

	to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	if (fd < 0 || setsockopt(fd, SOL_SOCKET, SO_LINGER, &hard, sizeof(hard)))
		workers_fail("socket");
	before = pair_now();
	*refused = connect(fd, (struct sockaddr *)&to, sizeof(to)) != 0;
	after = pair_now();
	if (!*refused) {
		accepted = accept4(listener, NULL, NULL, SOCK_CLOEXEC);
		if (accepted < 0)
			workers_fail("accept");
		close(fd);
		close(accepted);
	} else {
		close(fd);
	}
	return after - before;
}

/* The system call: glibc would tell all threads, of which there are none. */
static void become(uint32_t user)
{
	if (syscall(SYS_setresuid, -1, user, -1))
		workers_fail("user");
}

static void become_another(struct connects *connects)
{
	/* Who has no privileges may not take on another user: root in between. */
	if (connects->n++ % 8)
		return;
	become(0);
	become(FIRST_USER + (uint32_t)(connects->n / 8 % USERS));
}

static double connect_often(void *data, uint32_t what, uint32_t n)
{
	struct connects *connects = data;
	uint16_t port = (uint16_t)what;
	int listener = connects->listeners[port == UNNAMED];
	uint64_t total = 0;
	uint32_t n_refused = 0;
	bool refused;

	for (uint32_t i = 0; i < n; i++) {
		if (what & AS_OTHERS)
			become_another(connects);
		total += connect_once(listener, port, &refused);
		n_refused += refused;
	}
	/* All or none: a side that does not what it is there for is no comparison. */
	if (n_refused && n_refused != n) {
		errno = EIO;
		workers_fail("some were refused, some not");
	}
	return (double)total / n;
}

/* ---- policies ---- */

static const uint32_t worker_user = WORKER_UID;

static const char *this_program(void)
{
	static char path[256];
	ssize_t n = readlink("/proc/self/exe", path, sizeof(path) - 1);

	if (n < 0)
		workers_fail("/proc/self/exe");
	return path;
}

static void by_identity(uint8_t action)
{
	fx_row(fx_rule(action, 0), (struct fx_row){.port = PORT,
						   .user = &worker_user,
						   .exe = this_program(),
						   .unit = WORKER_UNIT});
}

/* All but the last differ from the caller in one thing, each in another one in turn. */
static void by_identity_after_others(uint8_t action)
{
	for (uint32_t i = 0; i < RULES - 1; i++) {
		struct fx_row row = {.port = PORT,
				     .user = &worker_user,
				     .exe = this_program(),
				     .unit = WORKER_UNIT};
		uint32_t user = 1000 + i;
		char name[64];

		snprintf(name, sizeof(name),
			 i % 3 == 1 ? "/usr/sbin/mailer-%u" : "mailer-%u.service", i);
		if (i % 3 == 0)
			row.user = &user;
		else if (i % 3 == 1)
			row.exe = name;
		else
			row.unit = name;
		fx_row(fx_rule(action, 0), row);
	}
	by_identity(action);
}

static void allow_one(void)
{
	by_identity(SW_ACTION_ALLOW);
}

static void allow_last(void)
{
	by_identity_after_others(SW_ACTION_ALLOW);
}

static void tls_one(void)
{
	by_identity(SW_ACTION_TLS);
}

static void tls_last(void)
{
	by_identity_after_others(SW_ACTION_TLS);
}

static void reject(void)
{
	static const uint32_t nobody = 1;

	fx_row(fx_rule(SW_ACTION_ALLOW, 0),
	       (struct fx_row){.port = PORT, .user = &nobody, .exe = "/usr/sbin/mailer"});
	fx_row(fx_rule(SW_ACTION_REJECT, 0), (struct fx_row){.port = PORT});
}

/* ---- the sides ---- */

enum side {
	NONE,
	EMPTY_ALL,
	EMPTY_CONNECT,
	EMPTY_REFUSE,
	ALLOW_1,
	ALLOW_256,
	TLS_1,
	TLS_256,
	REJECT,
	NFT_OTHER_PORT,
	IPTABLES_OTHER_PORT,
	NFT_USER,
	NFT_CGROUP,
	IPTABLES_USER,
	QUEUE,
	NFT_RESET,
	NFT_REJECT,
	SIDES
};

#define NFT(rule)                                                                                  \
	"table inet bench { chain out { type filter hook output priority 0; " rule "; }; }"

static const struct {
	const char *name;
	guard_policy *policy; /* NULL: not smtpwall */
	int empty;            /* enum guard_hooks; -1: none */
	struct worker_rules rules;
} sides[SIDES] = {
	[NONE] = {"no policy", NULL, -1, {}},
	[EMPTY_ALL] = {"empty programs at the same hooks", NULL, GUARD_EMPTY_ALL, {}},
	[EMPTY_CONNECT] = {"empty program at connect alone", NULL, GUARD_EMPTY_CONNECT, {}},
	[EMPTY_REFUSE] = {"empty program that refuses", NULL, GUARD_EMPTY_REFUSE, {}},
	[ALLOW_1] = {"smtpwall, 1 rule", allow_one, -1, {}},
	[ALLOW_256] = {"smtpwall, 256 rules", allow_last, -1, {}},
	[TLS_1] = {"smtpwall, require tls", tls_one, -1, {}},
	[TLS_256] = {"smtpwall, require tls, 256 rules", tls_last, -1, {}},
	[REJECT] = {"smtpwall, reject", reject, -1, {}},
	[NFT_OTHER_PORT] = {"nft, rule for another port",
			    NULL,
			    -1,
			    {.nft = NFT("tcp dport 25 accept")}},
	[IPTABLES_OTHER_PORT] = {"iptables, rule for another port",
				 NULL,
				 -1,
				 {.iptables = "-A OUTPUT -p tcp --dport 25 -j ACCEPT"}},
	[NFT_USER] = {"nft, meta skuid",
		      NULL,
		      -1,
		      {.nft = NFT("tcp dport 25 meta skuid 65534 accept; tcp dport 25 drop")}},
	[NFT_CGROUP] = {"nft, socket cgroupv2",
			NULL,
			-1,
			{.nft = NFT(
				 "tcp dport 25 socket cgroupv2 CGROUP accept; tcp dport 25 drop")}},
	[IPTABLES_USER] =
		{"iptables, owner",
		 NULL,
		 -1,
		 {.iptables = "-A OUTPUT -p tcp --dport 25 -m owner --uid-owner 65534 -j ACCEPT"
			      " && iptables -A OUTPUT -p tcp --dport 25 -j DROP"}},
	[QUEUE] = {"NFQUEUE, user-space verdict",
		   NULL,
		   -1,
		   {.iptables = "-A OUTPUT -p tcp --dport 25 --syn -j NFQUEUE --queue-num 0",
		    .open = queue_open,
		    .serve = queue_serve}},
	[NFT_RESET] = {"nft, reject with tcp reset",
		       NULL,
		       -1,
		       {.nft = NFT("tcp dport 25 reject with tcp reset")}},
	[NFT_REJECT] = {"nft, reject", NULL, -1, {.nft = NFT("tcp dport 25 reject")}},
};

static struct {
	bool there;
	struct worker worker;
} workers[SIDES];

static void begin(enum side side)
{
	struct connects connects = {};
	struct worker_work work = {
		.outside = listen_outside, .run = connect_often, .data = &connects};
	struct worker *worker = &workers[side].worker;
	struct worker_ask warm = {worker, UNNAMED, WARM_UP};

	worker_place(worker, sides[side].name);
	if (sides[side].policy)
		guard_smtpwall(worker, sides[side].policy);
	if (sides[side].empty >= 0)
		guard_empty(worker, (enum guard_hooks)sides[side].empty);
	workers[side].there = worker_start(worker, &work, &sides[side].rules);
	if (!workers[side].there)
		return;
	worker_run(&warm);
	warm.what = PORT;
	if (side != NFT_REJECT)
		worker_run(&warm);
}

/* ---- rows ---- */

struct contest {
	struct pair_row row;
	struct worker_ask asks[PAIR_SIDES_MAX];
	enum side sides[PAIR_SIDES_MAX];
};

static struct contest contest(const char *row, const char *about)
{
	return (struct contest){
		.row = {.table = "connect", .row = row, .unit = "ns", .note = about}};
}

static void side(struct contest *contest, enum side side, uint32_t what, uint32_t n)
{
	size_t i = contest->row.n_sides;

	if (!workers[side].there)
		return;
	contest->asks[i] = (struct worker_ask){&workers[side].worker, what, n};
	contest->sides[i] = side;
	contest->row.sides[i] = (struct pair_side){sides[side].name, worker_run, &contest->asks[i]};
	contest->row.n_sides++;
}

/* Of sides that are there. */
static void aim(struct contest *contest, enum side side, enum side against,
		enum pair_measure measure, double limit, const char *allows)
{
	struct pair_aim aim = {.measure = measure,
			       .at_least = measure == PAIR_FASTER,
			       .limit = limit,
			       .allows = allows};
	int found = 0;

	for (size_t i = 0; i < contest->row.n_sides; i++) {
		if (contest->sides[i] == side) {
			aim.side = i;
			found++;
		}
		if (contest->sides[i] == against) {
			aim.against = i;
			found++;
		}
	}
	if (found == 2)
		contest->row.aims[contest->row.n_aims++] = aim;
}

/* `asks` points into the contest: it must stay where it is. */
static void run(struct contest *contest, int rounds)
{
	for (size_t i = 0; i < contest->row.n_sides; i++)
		contest->row.sides[i].data = &contest->asks[i];
	pair_run(&contest->row, rounds);
}

static void unnamed(int rounds)
{
	static const enum side here[] = {NONE,    EMPTY_ALL,      EMPTY_CONNECT,
					 ALLOW_1, NFT_OTHER_PORT, IPTABLES_OTHER_PORT};
	struct contest row = contest("port nobody named", note);

	for (size_t i = 0; i < sw_count(here); i++)
		side(&row, here[i], UNNAMED, BATCH);
	aim(&row, ALLOW_1, NONE, PAIR_RATIO, 1.025, "1.6 %");
	run(&row, rounds);
}

static void guarded(int rounds)
{
	static const enum side here[] = {NONE,     EMPTY_ALL,  ALLOW_1,       ALLOW_256,
					 NFT_USER, NFT_CGROUP, IPTABLES_USER, QUEUE};
	struct contest row = contest("guarded port, allowed by user, executable and unit", note);

	for (size_t i = 0; i < sw_count(here); i++)
		side(&row, here[i], PORT, BATCH);
	aim(&row, ALLOW_256, NONE, PAIR_RATIO, 1.04, "2.5 %");
	aim(&row, ALLOW_256, NFT_USER, PAIR_RATIO, 1, NULL);
	aim(&row, ALLOW_256, ALLOW_1, PAIR_RATIO, 1.01, NULL);
	run(&row, rounds);
}

static void tls(int rounds)
{
	static const enum side here[] = {NONE, EMPTY_ALL, ALLOW_1, TLS_1, TLS_256};
	struct contest row = contest("guarded port, require tls", note);

	for (size_t i = 0; i < sw_count(here); i++)
		side(&row, here[i], PORT, BATCH);
	run(&row, rounds);
}

static void refused(int rounds)
{
	static const enum side here[] = {NFT_RESET, REJECT, EMPTY_REFUSE};
	struct contest flood = contest("refused connect, a flood", "the limiter tells 16 a second"),
		       told = contest("refused connect, each told",
				      "by ever other users; nft tells nobody of it"),
		       slow = contest(
			       "refused connect, as nft rejects by default",
			       "the ICMP error is lost while connect() holds the socket: it ends "
			       "when the SYN is sent again");

	for (size_t i = 0; i < sw_count(here); i++) {
		side(&flood, here[i], PORT, BATCH);
		side(&told, here[i], PORT | AS_OTHERS, BATCH);
	}
	side(&flood, NONE, CLOSED, BATCH);
	flood.row.sides[flood.row.n_sides - 1].name = "no policy, nobody listens";
	aim(&flood, REJECT, NFT_RESET, PAIR_FASTER, 8.5, "11");
	aim(&told, REJECT, NFT_RESET, PAIR_FASTER, 8.5, "11");
	run(&flood, rounds);
	run(&told, rounds);
	side(&slow, REJECT, PORT, 1);
	side(&slow, NFT_REJECT, PORT, 1);
	run(&slow, 3);
}

int main(int argc, char **argv)
{
	bool full = argc > 1 && !strcmp(argv[1], "--full");
	int rounds = full ? 701 : 121;

	if (!workers_begin())
		return 0;
	for (enum side i = 0; i < SIDES; i++)
		begin(i);
	unnamed(rounds);
	guarded(rounds);
	tls(rounds);
	refused(rounds);
	return 0;
}
