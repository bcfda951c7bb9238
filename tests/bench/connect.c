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
#include "tests/bench/contest.h"
#include "tests/bench/queue.h"
#include "tests/prog/fixture.h"

#define PORT 25      /* that rules name */
#define UNNAMED 2525 /* that none does */
#define CLOSED 9     /* where nobody listens */
/* Batches: more connects than `flows` holds, so that it forgets as it does in a long life. */
#define WARM_UP 40
#define BATCH 250
#define RULES SW_RULES_MAX
#define FIRST_USER 200000u
#define USERS 60000u

/* Beside the port, what a worker is asked. */
#define AS_OTHERS (1u << 16) /* each few by another user, so that the limiter lets each be told */

static const char note[] =
	"connect() alone on loopback, client and listener on one CPU, the listener outside of the "
	"guarded cgroup; medians of batches; rules of nft and iptables run three times: the far "
	"side's SYN-ACK meets "
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
	if (fd < 0 || bind(fd, (struct sockaddr *)&to, sizeof(to)) || listen(fd, 2 * BATCH))
		workers_fail("listener");
	return fd;
}

static void listen_outside(void *data)
{
	struct connects *connects = data;

	connects->listeners[0] = listening(PORT);
	connects->listeners[1] = listening(UNNAMED);
}

static int new_client(void)
{
	/* It ends with a reset: nothing is left in TIME_WAIT. */
	static const struct linger hard = {.l_onoff = 1};
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	if (fd < 0 || setsockopt(fd, SOL_SOCKET, SO_LINGER, &hard, sizeof(hard)))
		workers_fail("socket");
	return fd;
}

/* ns; whether it was refused. */
static double connect_once(int fd, uint16_t port, bool *refused)
{
	struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons(port)};
	uint64_t before;

	to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	before = pair_now();
	*refused = connect(fd, (struct sockaddr *)&to, sizeof(to)) != 0;
	return (double)(pair_now() - before);
}

static void close_all(const int *fds, uint32_t n, int listener)
{
	for (uint32_t i = 0; i < n; i++) {
		int accepted = listener < 0 ? -1 : accept4(listener, NULL, NULL, SOCK_CLOEXEC);

		if (listener >= 0 && accepted < 0)
			workers_fail("accept");
		close(fds[i]);
		if (accepted >= 0)
			close(accepted);
	}
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

/*
 * The sockets are there before and closed after, so that it is connect() after connect(). The median: what disturbs
 * one is many times what is looked for here.
 */
static double connect_often(void *data, uint32_t what, uint32_t n)
{
	struct connects *connects = data;
	uint16_t port = (uint16_t)what;
	double times[BATCH];
	int fds[BATCH];
	uint32_t n_refused = 0;
	bool refused;

	for (uint32_t i = 0; i < n; i++)
		fds[i] = new_client();
	for (uint32_t i = 0; i < n; i++) {
		if (what & AS_OTHERS)
			become_another(connects);
		times[i] = connect_once(fds[i], port, &refused);
		n_refused += refused;
	}
	/* All or none: a side that does not what it is there for is no comparison. */
	if (n_refused && n_refused != n) {
		errno = EIO;
		workers_fail("a batch of connects that are not all allowed or all refused");
	}
	close_all(fds, n, n_refused ? -1 : connects->listeners[port == UNNAMED]);
	return pair_quantile(times, n, 0.5);
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
	AGAIN,
	EMPTY,
	EMPTY_CONNECT,
	EMPTY_REFUSE,
	ALLOW_1,
	ALLOW_256,
	TLS_1,
	TLS_256,
	REJECT,
	NFT_OTHER,
	IPTABLES_OTHER,
	NFT_USER,
	NFT_CGROUP,
	IPTABLES_USER,
	QUEUE,
	NFT_RESET,
	NFT_REJECT,
	SIDES
};

static struct contest_side sides[SIDES] = {
	[NONE] = {.name = "no policy"},
	[AGAIN] = {.name = "no policy, another process"},
	[EMPTY] = {.name = "empty programs at the same hooks", .programs = GUARD_EMPTY},
	[EMPTY_CONNECT] = {.name = "empty program at connect alone",
			   .programs = GUARD_EMPTY_CONNECT},
	[EMPTY_REFUSE] = {.name = "empty program that refuses", .programs = GUARD_EMPTY_REFUSE},
	[ALLOW_1] = {.name = "smtpwall, 1 rule", .programs = GUARD_SMTPWALL, .policy = allow_one},
	[ALLOW_256] = {.name = "smtpwall, 256 rules",
		       .programs = GUARD_SMTPWALL,
		       .policy = allow_last},
	[TLS_1] = {.name = "smtpwall, require tls", .programs = GUARD_SMTPWALL, .policy = tls_one},
	[TLS_256] = {.name = "smtpwall, require tls, 256 rules",
		     .programs = GUARD_SMTPWALL,
		     .policy = tls_last},
	[REJECT] = {.name = "smtpwall, reject", .programs = GUARD_SMTPWALL, .policy = reject},
	[NFT_OTHER] = {.name = "nft, rule for another port",
		       .rules.nft = CONTEST_NFT("tcp dport 25 accept")},
	[IPTABLES_OTHER] = {.name = "iptables, rule for another port",
			    .rules.iptables = "-A OUTPUT -p tcp --dport 25 -j ACCEPT"},
	[NFT_USER] = {.name = "nft, meta skuid",
		      .rules.nft = CONTEST_NFT(
			      "tcp dport 25 meta skuid 65534 accept; tcp dport 25 drop")},
	[NFT_CGROUP] = {.name = "nft, socket cgroupv2",
			.rules.nft = CONTEST_NFT(
				"tcp dport 25 socket cgroupv2 CGROUP accept; tcp dport 25 drop")},
	[IPTABLES_USER] =
		{.name = "iptables, owner",
		 .rules.iptables =
			 "-A OUTPUT -p tcp --dport 25 -m owner --uid-owner 65534 -j ACCEPT"
			 " && iptables -A OUTPUT -p tcp --dport 25 -j DROP"},
	[QUEUE] = {.name = "NFQUEUE, user-space verdict",
		   .rules = {.iptables =
				     "-A OUTPUT -p tcp --dport 25 --syn -j NFQUEUE --queue-num 0",
			     .open = queue_open,
			     .serve = queue_serve}},
	[NFT_RESET] = {.name = "nft, reject with tcp reset",
		       .rules.nft = CONTEST_NFT("tcp dport 25 reject with tcp reset")},
	[NFT_REJECT] = {.name = "nft, reject", .rules.nft = CONTEST_NFT("tcp dport 25 reject")},
};

static void begin(enum side side)
{
	struct connects connects = {};
	const struct worker_work work = {
		.outside = listen_outside, .run = connect_often, .data = &connects};
	struct worker_ask warm = {&sides[side].worker, UNNAMED, BATCH};

	contest_begin(&sides[side], &work);
	if (!sides[side].there)
		return;
	for (int i = 0; i < WARM_UP; i++)
		worker_run(&warm);
	warm.what = PORT;
	for (int i = 0; i < WARM_UP && side != NFT_REJECT; i++)
		worker_run(&warm);
}

/* ---- rows ---- */

static struct contest contest(const char *row, const char *about)
{
	return (struct contest){
		.row = {.table = "connect", .row = row, .unit = "ns", .note = about}, .all = sides};
}

static void add_all(struct contest *to, const enum side *here, size_t n, uint32_t what)
{
	for (size_t i = 0; i < n; i++)
		contest_add(to, here[i], what, BATCH);
}

static void at_most(struct contest *to, enum side side, enum side against, double limit,
		    const char *allows)
{
	contest_aim(to, side, against,
		    (struct pair_aim){.measure = PAIR_RATIO, .limit = limit, .allows = allows});
}

static void unnamed(int rounds)
{
	static const enum side here[] = {NONE,    AGAIN,     EMPTY,         EMPTY_CONNECT,
					 ALLOW_1, NFT_OTHER, IPTABLES_OTHER};
	struct contest row = contest("port nobody named", note);

	add_all(&row, here, sw_count(here), UNNAMED);
	at_most(&row, ALLOW_1, NONE, 1.025, "1.6 %");
	contest_run(&row, rounds);
}

static void guarded(int rounds)
{
	static const enum side here[] = {NONE,     AGAIN,      EMPTY,         ALLOW_1, ALLOW_256,
					 NFT_USER, NFT_CGROUP, IPTABLES_USER, QUEUE};
	struct contest row = contest("guarded port, allowed by user, executable and unit", note);

	add_all(&row, here, sw_count(here), PORT);
	at_most(&row, ALLOW_256, NONE, 1.04, "2.5 %");
	at_most(&row, ALLOW_256, NFT_USER, 1, NULL);
	at_most(&row, ALLOW_256, ALLOW_1, 1.01, NULL);
	contest_run(&row, rounds);
}

static void tls(int rounds)
{
	static const enum side here[] = {NONE, EMPTY, ALLOW_1, TLS_1, TLS_256};
	struct contest row = contest("guarded port, require tls", note);

	add_all(&row, here, sw_count(here), PORT);
	contest_run(&row, rounds);
}

static void refused(int rounds)
{
	static const enum side here[] = {NFT_RESET, REJECT, EMPTY_REFUSE};
	static const struct pair_aim faster = {
		.measure = PAIR_FASTER, .at_least = true, .limit = 8.5, .allows = "11"};
	struct contest flood = contest("refused connect, a flood", "the limiter tells 16 a second"),
		       told = contest("refused connect, each told",
				      "by ever other users; nft tells nobody of it"),
		       slow = contest(
			       "refused connect, as nft rejects by default",
			       "the ICMP error is lost while connect() holds the socket: it ends "
			       "when the SYN is sent again");

	add_all(&flood, here, sw_count(here), PORT);
	contest_add(&flood, NONE, CLOSED, BATCH);
	flood.row.sides[flood.row.n_sides - 1].name = "no policy, nobody listens";
	contest_aim(&flood, REJECT, NFT_RESET, faster);
	contest_run(&flood, rounds);
	add_all(&told, here, sw_count(here), PORT | AS_OTHERS);
	contest_aim(&told, REJECT, NFT_RESET, faster);
	contest_run(&told, rounds);
	contest_add(&slow, REJECT, PORT, 1);
	contest_add(&slow, NFT_REJECT, PORT, 1);
	contest_run(&slow, 3);
}

int main(int argc, char **argv)
{
	bool full = argc > 1 && !strcmp(argv[1], "--full");
	int rounds = full ? 701 : 91;

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
