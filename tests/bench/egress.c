/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * egress - what a policy costs a packet of an established connection on its way out.
 *
 *   egress [--full]
 *
 * Each side is a worker (worker.h) with a connection on loopback, both ends in one thread. The server's end is
 * outside of the guarded cgroup, as another machine's is. Two kinds of traffic:
 *
 *   turns     one byte there and one back, each acknowledged: two packets in each direction
 *   segments  full ones, SEGMENTS of them by one call, each acknowledged
 *
 * With turns programs are on both directions, with segments on egress alone: then each of the client's packets is
 * seen once. A rule in nft's output chain sees those of the server as well, on loopback. What nft adds is therefore divided by all packets that were sent, as
 * `lo` counts them.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include <netinet/tcp.h>

#include "daemon/base.h"
#include "tests/bench/contest.h"
#include "tests/prog/fixture.h"
#include "tests/prog/talk.h"

#define PORT 587     /* that the rule names */
#define UNNAMED 2525 /* that it does not */
#define PARTS 25     /* of a batch */
#define TURNS 40     /* in a part */
#define SEGMENTS 8   /* in a call: less than TCP begins with */
#define SEGMENT 500  /* as the server asks for */
#define PAYLOAD 488  /* of one: without the time stamps */
#define CALLS 10     /* in a part */
#define ROUNDS_MAX PAIR_ROUNDS_MAX

/* Segments one by one, and each acknowledged at once: no timer decides when the next may be sent. */
#define LOOPBACK                                                                                   \
	"ip link set lo gso_max_segs 1 && ip route replace local 127.0.0.1 dev lo table local "    \
	"proto kernel scope host src 127.0.0.1 quickack 1"

/* ---- the work ---- */

/* What a worker is asked. */
enum {
	TURN = 0,
	SEGMENTED = 1,
	PACKETS =
		2, /* flag: not the time, but how many packets were sent for one of the client's */
};

struct turns {
	uint16_t port;
	bool tls;
	struct fx_talk talk;
};

static void listen_outside(void *data)
{
	struct turns *turns = data;

	static const int segment = SEGMENT;

	turns->talk.listener = fx_listening("127.0.0.1", turns->port, 0);
	if (setsockopt(turns->talk.listener, IPPROTO_TCP, TCP_MAXSEG, &segment, sizeof(segment)) ||
	    system(LOOPBACK))
		workers_fail("segments of lo");
}

static void set_nodelay(int fd)
{
	static const int one = 1;

	if (setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one)))
		workers_fail("TCP_NODELAY");
}

static void open_inside(void *data)
{
	struct turns *turns = data;
	struct fx_talk *talk = &turns->talk;
	struct sw_flow flow;

	talk->client = fx_socket("127.0.0.1", SOCK_STREAM, 0);
	errno = -fx_connect(talk->client, "127.0.0.1", turns->port);
	if (errno)
		workers_fail("connect");
	talk->server = accept4(talk->listener, NULL, NULL, SOCK_CLOEXEC);
	if (talk->server < 0)
		workers_fail("accept");
	set_nodelay(talk->client);
	set_nodelay(talk->server);
	if (!turns->tls)
		return;
	fx_come_to_tls(talk, 0x0304);
	fx_say(talk->client, talk->server, FX_FINISHED);
	if (!fx_flow(fx_cookie(talk->client), &flow) || flow.state != SW_FLOW_TLS) {
		errno = EPROTO;
		workers_fail("the gate does not see TLS");
	}
}

static void pass(int from, int to)
{
	char byte = 'x';

	if (send(from, &byte, 1, 0) != 1 || recv(to, &byte, 1, 0) != 1)
		workers_fail("a turn");
}

static void take_turns(const struct fx_talk *talk)
{
	for (int i = 0; i < TURNS; i++) {
		pass(talk->client, talk->server);
		pass(talk->server, talk->client);
	}
}

static void send_segments(const struct fx_talk *talk)
{
	char bytes[SEGMENTS * PAYLOAD] = "";

	for (int i = 0; i < CALLS; i++)
		if (send(talk->client, bytes, sizeof(bytes), 0) != sizeof(bytes) ||
		    recv(talk->server, bytes, sizeof(bytes), MSG_WAITALL) != sizeof(bytes))
			workers_fail("segments");
}

static unsigned long sent_by_lo(void)
{
	FILE *file sw_autofclose = fopen("/proc/self/net/dev", "re");
	unsigned long n = 0;
	char line[512];

	while (file && fgets(line, sizeof(line), file))
		if (sscanf(line, " lo: %*u %*u %*u %*u %*u %*u %*u %*u %*u %lu", &n) == 1)
			return n;
	workers_fail("packets of lo");
}

/* One batch, in parts, of which the median counts; ns of one of the client's packets. */
static double send_often(void *data, uint32_t what, uint32_t n)
{
	const struct turns *turns = data;
	bool segmented = what & SEGMENTED;
	int in_part = segmented ? CALLS * SEGMENTS : 2 * TURNS;
	unsigned long packets = sent_by_lo();
	double parts[PARTS];

	for (uint32_t i = 0; i < n; i++) {
		uint64_t before = pair_now();

		segmented ? send_segments(&turns->talk) : take_turns(&turns->talk);
		parts[i] = (double)(pair_now() - before) / in_part;
	}
	if (what & PACKETS)
		return (double)(sent_by_lo() - packets) / in_part / n;
	return pair_quantile(parts, n, 0.5);
}

/* ---- the sides ---- */

static void require_tls(void)
{
	fx_row(fx_rule(SW_ACTION_TLS, 0), (struct fx_row){.port = PORT});
}

enum side {
	NONE,
	AGAIN,
	EMPTY,
	LEAST,
	LEAST_TOLD,
	LEAST_TOLD_BOTH,
	LEAST_TOLD_KNOWN,
	OTHER_PORT,
	IN_TLS,
	NFT_PORT,
	NFT_CONNTRACK,
	SIDES
};

static struct contest_side sides[SIDES] = {
	[NONE] = {.name = "no program"},
	[AGAIN] = {.name = "no program, another process"},
	[EMPTY] = {.name = "empty program", .programs = GUARD_EMPTY},
	[LEAST] = {.name = "least, one port", .programs = GUARD_LEAST},
	[LEAST_TOLD] = {.name = "least, ports of a map", .programs = GUARD_LEAST_TOLD},
	[LEAST_TOLD_BOTH] = {.name = "least, ports of header and socket",
			     .programs = GUARD_LEAST_TOLD_BOTH},
	[LEAST_TOLD_KNOWN] = {.name = "least, ports of a map and the socket",
			      .programs = GUARD_LEAST_TOLD_KNOWN},
	[OTHER_PORT] = {.name = "smtpwall, port nobody named",
			.programs = GUARD_SMTPWALL,
			.policy = require_tls},
	[IN_TLS] = {.name = "smtpwall, in TLS on 587",
		    .programs = GUARD_SMTPWALL,
		    .policy = require_tls},
	[NFT_PORT] = {.name = "nft, rule for another port",
		      .rules.nft = CONTEST_NFT("tcp dport 25 drop")},
	[NFT_CONNTRACK] = {.name = "nft, conntrack",
			   .rules.nft = CONTEST_NFT(
				   "ct state established,related accept; tcp dport 25 drop")},
};

static void begin(enum side side)
{
	struct turns turns = {.port = side == IN_TLS ? PORT : UNNAMED, .tls = side == IN_TLS};
	const struct worker_work work = {.outside = listen_outside,
					 .inside = open_inside,
					 .run = send_often,
					 .data = &turns};

	contest_begin(&sides[side], &work);
}

/* ---- what is added to a packet ---- */

/* Costs of the sides by round, as pair_run() asked for them; a base is asked twice. */
static struct recorded {
	double cost[2 * (ROUNDS_MAX + 1)];
	size_t n;
	struct worker_ask ask;
} recorded[SIDES];

static double record(void *data)
{
	struct recorded *to = data;
	double cost = worker_run(&to->ask);

	to->cost[to->n++] = cost;
	return cost;
}

/* How many packets nft sees for one of the client's. */
static double packets_for_one(const struct recorded *of)
{
	struct worker_ask ask = of->ask;

	ask.what |= PACKETS;
	return worker_run(&ask);
}

/* The median over the rounds of what a side costs more than no program. */
static double added(const struct recorded *of, size_t rounds)
{
	const double *base = recorded[NONE].cost;
	double more[ROUNDS_MAX + 1];

	/* The first round is the one that warms up. */
	for (size_t i = 1; i <= rounds; i++)
		more[i - 1] = of->cost[i] - (base[2 * i] + base[2 * i + 1]) / 2;
	return pair_quantile(more, rounds, 0.5);
}

static void aim(struct contest *of)
{
	contest_aim(of, OTHER_PORT, EMPTY,
		    (struct pair_aim){.measure = PAIR_RATIO, .limit = 1.05, .allows = "1.0"});
	contest_aim(of, OTHER_PORT, NFT_PORT,
		    (struct pair_aim){.measure = PAIR_RATIO, .limit = 0.8, .allows = "0.73"});
	contest_aim(of, IN_TLS, EMPTY,
		    (struct pair_aim){.measure = PAIR_DIFFERENCE, .limit = 20, .allows = "7 ns"});
	contest_aim(of, IN_TLS, NFT_CONNTRACK,
		    (struct pair_aim){.measure = PAIR_FASTER, .at_least = true, .limit = 4});
}

static void tell_added(const struct contest *from, const char *row, size_t rounds)
{
	struct contest of = {
		.row = {.table = "egress",
			.row = row,
			.unit = "ns",
			.note = "more than with no program; what nft adds is divided by "
				"all packets that its chain sees"},
		.all = sides};
	double values[SIDES];

	for (size_t i = 1; i < from->row.n_sides; i++) {
		enum side side = (enum side)from->sides[i];

		contest_add(&of, side, 0, 0);
		values[i - 1] = added(&recorded[side], rounds);
		if (side == NFT_PORT || side == NFT_CONNTRACK)
			values[i - 1] /= packets_for_one(&recorded[side]);
	}
	if (from->asks[0].what == SEGMENTED)
		aim(&of);
	pair_told(&of.row, values);
}

/* ---- rows ---- */

static void compare(const char *row, uint32_t what, int rounds)
{
	struct contest contest = {
		.row = {.table = "egress",
			.row = row,
			.unit = "ns",
			.note = "client and server on one CPU, in one thread; nft's chain sees "
				"the packets of both"},
		.all = sides};
	char row_added[128];

	for (enum side side = 0; side < SIDES; side++)
		contest_add(&contest, side, what, PARTS);
	for (size_t i = 0; i < contest.row.n_sides; i++) {
		struct recorded *to = &recorded[contest.sides[i]];

		to->n = 0;
		to->ask = contest.asks[i];
		contest.row.sides[i].run = record;
		contest.row.sides[i].data = to;
	}
	pair_run(&contest.row, rounds);
	snprintf(row_added, sizeof(row_added), "added, %s", row);
	tell_added(&contest, row_added, (size_t)rounds);
}

int main(int argc, char **argv)
{
	bool full = argc > 1 && !strcmp(argv[1], "--full");

	if (!workers_begin())
		return 0;
	for (enum side side = 0; side < SIDES; side++)
		begin(side);
	compare("a packet out and one in", TURN, full ? 501 : 61);
	for (enum side side = 0; side < SIDES; side++)
		guard_only_out(&sides[side].guard);
	compare("a segment out", SEGMENTED, full ? 1001 : 151);
	return 0;
}
