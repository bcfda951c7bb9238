/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * elsewhere - what recognising SMTP on ports that no rule names costs a packet.
 *
 *   elsewhere [ROUNDS]
 *
 * Loopback traffic of a cgroup of its own, with the option off and on in turn, and what the kernel says of the run
 * time of the two programs on packets. Of what it prints the ratios are to be trusted.
 */
#include <string.h>
#include <unistd.h>

#include <bpf/bpf.h>
#include <bpf/libbpf.h>

#include "bpf/host.skel.h"
#include "daemon/base.h"
#include "tests/bench/pair.h"
#include "tests/prog/fixture.h"
#include "tests/prog/internal.h"
#include "tests/prog/talk.h"

#define PORT 8080 /* that no rule names */
#define TURNS 4000
#define VISITS 300
#define ROUNDS_MAX 101

enum { EGRESS, INGRESS, SIDES };

struct figure {
	double ns[SIDES]; /* a run of the program */
};

struct run {
	uint64_t ns, n;
};

static struct run run_of(const struct bpf_program *program)
{
	struct bpf_prog_info info = {};
	__u32 size = sizeof(info);

	if (bpf_obj_get_info_by_fd(bpf_program__fd(program), &info, &size))
		fx_fail("program");
	return (struct run){info.run_time_ns, info.run_cnt};
}

static void die_unless(bool good, const char *what)
{
	if (!good)
		fx_fail(what);
}

static void pass(int from, int to, const char *text, size_t n)
{
	char got[64];

	die_unless(send(from, text, n, 0) == (ssize_t)n, "send");
	die_unless(recv(to, got, n, MSG_WAITALL) == (ssize_t)n, "recv");
}

static void meet(int listener, int *client, int *server)
{
	*client = fx_socket("127.0.0.1", SOCK_STREAM, 0);
	die_unless(fx_connect(*client, "127.0.0.1", PORT) == 0, "connect");
	*server = accept4(listener, NULL, NULL, SOCK_CLOEXEC);
	die_unless(*server >= 0, "accept");
}

/* A connection that lives: question and answer. */
static void established(int listener)
{
	int client sw_autoclose = -1, server sw_autoclose = -1;

	meet(listener, &client, &server);
	pass(client, server, "GET / HTTP/1.1\r\n\r\n", 18);
	for (int i = 0; i < TURNS; i++) {
		pass(server, client, "an answer of some length", 24);
		pass(client, server, "a question", 10);
	}
}

/* Many that are short. `greeting` comes first, so that each is looked at. */
static void short_ones(int listener, const char *greeting)
{
	for (int i = 0; i < VISITS; i++) {
		int client sw_autoclose = -1, server sw_autoclose = -1;

		meet(listener, &client, &server);
		pass(server, client, greeting, strlen(greeting));
		pass(client, server, "USER somebody\r\n", 15);
		pass(server, client, "331 who\r\n", 9);
	}
}

static void hurried(int listener)
{
	short_ones(listener, "SSH-2.0-OpenSSH\r\n");
}

static void greeted(int listener)
{
	short_ones(listener, "220 ready\r\n");
}

static struct figure measure(void (*traffic)(int listener), int listener, bool on)
{
	const struct bpf_program *programs[SIDES] = {fx.skel->progs.sw_egress,
						     fx.skel->progs.sw_ingress};
	struct run before[SIDES], after;
	struct figure figure;

	fx_elsewhere(on);
	for (int i = 0; i < SIDES; i++)
		before[i] = run_of(programs[i]);
	traffic(listener);
	for (int i = 0; i < SIDES; i++) {
		after = run_of(programs[i]);
		figure.ns[i] = (double)(after.ns - before[i].ns) / (double)(after.n - before[i].n);
	}
	return figure;
}

static void compare(const char *name, void (*traffic)(int listener), int listener, int rounds)
{
	static const char *const sides[SIDES] = {"egress", "ingress"};
	double off[SIDES][ROUNDS_MAX], on[SIDES][ROUNDS_MAX], ratio[SIDES][ROUNDS_MAX];

	for (int i = 0; i < rounds; i++) {
		struct figure without = measure(traffic, listener, false);
		struct figure with = measure(traffic, listener, true);

		for (int side = 0; side < SIDES; side++) {
			off[side][i] = without.ns[side];
			on[side][i] = with.ns[side];
			ratio[side][i] = with.ns[side] / without.ns[side];
		}
	}
	for (int side = 0; side < SIDES; side++)
		printf("%-12s %-8s off %6.1f ns, on %6.1f ns, ratio %.2f\n", name, sides[side],
		       pair_quantile(off[side], (size_t)rounds, 0.5),
		       pair_quantile(on[side], (size_t)rounds, 0.5),
		       pair_quantile(ratio[side], (size_t)rounds, 0.5));
}

int main(int argc, char **argv)
{
	int rounds = argc > 1 ? atoi(argv[1]) : 21, stats sw_autoclose = -1,
	    listener sw_autoclose = -1;

	if (!fx_usable())
		return 0;
	if (rounds < 1 || rounds > ROUNDS_MAX)
		rounds = ROUNDS_MAX;
	fx_up(NULL);
	fx_simple(25, SW_ACTION_ALLOW, 0);
	fx_apply();
	stats = bpf_enable_stats(BPF_STATS_RUN_TIME);
	die_unless(stats >= 0, "run statistics of the kernel");
	listener = fx_listening("127.0.0.1", PORT, 0);
	compare("established", established, listener, rounds);
	compare("short", hurried, listener, rounds);
	compare("greeted 220", greeted, listener, rounds);
	fx_down(NULL);
	return 0;
}
