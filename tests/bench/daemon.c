/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * daemon - what smtpwalld takes of memory and time: resident memory, checking and applying a long list,
 * from its start to the first refusal, and a restart during which somebody connects all the time.
 *
 *   daemon [--full]
 */
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include <bpf/bpf.h>

#include "bpf/abi_edge.h"
#include "daemon/base.h"
#include "tests/bench/pair.h"
#include "tests/bench/place.h"

#define TABLE "daemon"
#define RULES 256
#define MILLION 1000000u
#define FLOWS_AT_ONCE 4096u

static int rounds = 3;

static double median_ms(uint64_t (*once)(void))
{
	double values[PAIR_ROUNDS_MAX];

	for (int i = 0; i < rounds; i++)
		values[i] = (double)once() / 1e6;
	return pair_quantile(values, (size_t)rounds, 0.5);
}

static void tell(const char *row, const char *unit, const char *note, double limit, double value)
{
	const struct pair_row told = {
		.table = TABLE,
		.row = row,
		.unit = unit,
		.note = note,
		.n_sides = 1,
		.sides = {{.name = "smtpwall"}},
		.n_aims = 1,
		.aims = {{.measure = PAIR_VALUE, .limit = limit, .allows = ""}},
	};

	pair_told(&told, &value);
}

static void tell_memory(const char *row, double limit, pid_t pid)
{
	struct place_memory memory = place_memory(pid);
	const double values[] = {memory.rss, memory.mapped, memory.kernel};
	const struct pair_row told = {
		.table = TABLE,
		.row = row,
		.unit = "MiB",
		.note = "maps of the kernel are its memory; of those that are mapped a part is in "
			"the process's resident size as well",
		.n_sides = 3,
		.sides = {{.name = "smtpwalld"},
			  {.name = "mapped of the kernel's maps"},
			  {.name = "maps in the kernel"}},
		.n_aims = 1,
		.aims = {{.measure = PAIR_VALUE, .limit = limit, .allows = "SQLite and libraries"}},
	};

	pair_told(&told, values);
}

/* ---- a million connections through the edge ---- */

/* Makes the `n` elements from `from` on connections in TLS. Their keys say where they lie; nobody's packets look for
   them, the daemon reads them all. */
static void fill_some(int flows, uint32_t from, uint32_t n)
{
	static struct sw_edge_flow values[FLOWS_AT_ONCE];
	static uint32_t keys[FLOWS_AT_ONCE];
	LIBBPF_OPTS(bpf_map_batch_opts, options);
	uint32_t count = n;

	for (uint32_t i = 0; i < n; i++) {
		keys[i] = from + i;
		values[i] = (struct sw_edge_flow){
			.state = SW_EDGE_TLS,
			.used = 1,
			.tls = SW_TLS_STARTTLS,
			.src_port = (uint16_t)(1024 + from),
			.dst_port = 587,
			.interface = 1,
			.tls_version = 0x0304,
			.cipher = 0x1301,
		};
		memcpy(values[i].src + 12, &keys[i], sizeof(keys[i]));
	}
	if (bpf_map_update_batch(flows, keys, values, &count, &options) < 0)
		place_fail("edge_flows");
}

/* The whole table, and each command that reads it. */
static void fill_flows(void)
{
	int flows sw_autoclose = bpf_obj_get(place_path("bpf/pin/edge_flows"));

	if (flows < 0)
		place_fail("edge_flows");
	for (uint32_t i = 0; i < SW_EDGE_FLOWS_DEFAULT; i += FLOWS_AT_ONCE)
		fill_some(flows, i, FLOWS_AT_ONCE);
	place_command((const char *const[]){"flows", NULL});
	place_command((const char *const[]){"status", NULL});
}

/* ---- start and restart ---- */

/* From nothing to the first connect that is refused. */
static uint64_t start(void)
{
	volatile struct place_probe *probe = place_probe_start();
	uint64_t began = pair_now(), enforced;

	place_daemon(NULL, NULL);
	while (!probe->first_refused_ns)
		usleep(100);
	enforced = probe->first_refused_ns - began;
	place_probe_stop();
	place_daemon_end(SIGTERM);
	place_detach();
	return enforced;
}

/* The same without anybody who connects, until it says that it is ready. */
static uint64_t start_alone(void)
{
	uint64_t ready;

	place_daemon(NULL, &ready);
	place_daemon_end(SIGTERM);
	place_detach();
	return ready;
}

static uint64_t refused, undecided;

/* From the start of the next daemon until it is ready; what an earlier one left in force decides meanwhile. */
static uint64_t restart(void)
{
	volatile struct place_probe *probe = place_probe_start();
	uint64_t ready;

	place_daemon_end(SIGTERM);
	place_daemon(NULL, &ready);
	undecided += probe->undecided;
	refused += probe->refused;
	place_probe_stop();
	return ready;
}

/* ---- check and apply ---- */

static uint64_t check(void)
{
	return place_command((const char *const[]){"check", place_path("large"), NULL});
}

/* The large policy, and back, so that each time there is something to apply. */
static uint64_t apply(void)
{
	uint64_t took = place_command((const char *const[]){"apply", place_path("large"), NULL});

	place_command((const char *const[]){"apply", place_path("policy"), NULL});
	return took;
}

static void tell_connects(void)
{
	const double values[] = {(double)refused, (double)undecided};
	const struct pair_row told = {
		.table = TABLE,
		.row = "connects during the restarts",
		.unit = "connects",
		.n_sides = 2,
		.sides = {{.name = "refused"}, {.name = "decided by nobody"}},
		.n_aims = 1,
		.aims = {{.side = 1, .measure = PAIR_VALUE, .limit = 0, .allows = "0"}},
	};

	pair_told(&told, values);
}

int main(int argc, char **argv)
{
	pid_t pid;

	if (argc > 1 && strcmp(argv[1], "--full") == 0)
		rounds = 21;
	if (!place_up())
		return 0;
	place_policy("policy", 4, 0, false);
	tell("start to the first refused connect", "ms", NULL, 150, median_ms(start));
	tell("start until ready", "ms", NULL, 150, median_ms(start_alone));
	pid = place_daemon(NULL, NULL);
	usleep(500000);
	tell_memory("memory, four rules, nothing going on", 20, pid);
	place_policy("large", RULES, MILLION, false);
	tell("check of 256 rules and a million prefixes", "ms", NULL, 1500, median_ms(check));
	tell("apply of 256 rules and a million prefixes", "ms", NULL, 3000, median_ms(apply));
	place_daemon_end(SIGTERM);
	place_detach();
	place_policy("policy", RULES, MILLION, true);
	pid = place_daemon(NULL, NULL);
	sleep(2);
	tell_memory("memory, a million prefixes, room for a million flows at the edge", 200, pid);
	fill_flows();
	tell_memory("memory, a million prefixes, a million flows at the edge, listed once", 200,
		    pid);
	tell("restart with a million prefixes until ready", "ms",
	     "somebody connects all the time: each connect was refused", 200, median_ms(restart));
	tell_connects();
	place_down();
	return 0;
}
