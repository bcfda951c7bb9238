/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * xdp_run - what the program of the edge costs a packet, by program runs (BPF_PROG_TEST_RUN).
 *
 *   xdp_run [--full]
 *
 * Each run is of many packets in one system call, timed by the clock. The programs are attached to interfaces of a
 * network namespace of this process: a repeated run of one that is attached nowhere pays two grace periods. Where
 * packets are to differ a small program changes them and goes on to the measured one by a tail call; it does the
 * same for the base.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <linux/if_link.h>
#include <netinet/tcp.h>

#include "bpf/edge_hash.h"
#include "daemon/base.h"
#include "daemon/load_edge.h"
#include "tests/bench/pair.h"
#include "tests/bench/xdp_bench.h"
#include "tests/bench/xdp_packet.h"
#include "tests/bench/xdp_programs.skel.h"
#include "tests/prog/edge_talk.h"

#define FLOWS_MAX (1u << 20)
#define GATES 4096
#define FLOWS (1u << 17) /* in TLS */
#define LIST_SHORT 1000
#define LIST_LONG 1000000
#define ANY_VERDICT (~0u)
#define RUNS_DIRECT 1000000
#define RUNS_VARIED 400000

static struct sw_xdp_programs *programs;
static struct ex_frame frame;
static int rounds = 11;

/* A program and the packets that it is run on. */
struct run {
	int program;      /* that is run */
	int driver;       /* by this one; 0: directly */
	uint32_t repeat;  /* packets */
	uint32_t verdict; /* that each must have */
	int slot;         /* of the policy; -1: whatever is in force */
	int counter;      /* of smtpwall, that each adds one to; -1: none */
};

static uint64_t run_all(const struct run *run)
{
	LIBBPF_OPTS(bpf_test_run_opts, options, .data_in = frame.bytes,
		    .data_size_in = (uint32_t)frame.n, .repeat = (int)run->repeat);
	uint64_t before = pair_now(), after;

	if (bpf_prog_test_run_opts(run->driver ? run->driver : run->program, &options))
		ex_fail("run");
	after = pair_now();
	if (run->verdict != ANY_VERDICT && options.retval != run->verdict) {
		fprintf(stderr, "verdict %u instead of %u\n", options.retval, run->verdict);
		exit(1);
	}
	return after - before;
}

/* ns a packet. */
static double cost(void *data)
{
	const struct run *run = data;
	uint64_t counted = 0, ns;
	uint32_t zero = 0;

	if (run->slot >= 0) {
		xb_turn((unsigned int)run->slot);
		programs->bss->list = (unsigned int)run->slot;
	}
	if (run->driver && bpf_map_update_elem(bpf_map__fd(programs->maps.measured), &zero,
					       &run->program, BPF_ANY))
		ex_fail("tail call");
	if (run->counter >= 0)
		counted = ex_counter((enum sw_counter)run->counter);
	ns = run_all(run);
	if (run->counter >= 0 &&
	    ex_counter((enum sw_counter)run->counter) - counted != run->repeat) {
		fprintf(stderr, "not each packet went the way that is measured\n");
		exit(1);
	}
	return (double)ns / run->repeat;
}

static void attach(const char *name, int program)
{
	xb_command("ip link add %s type veth peer name %s-far", name, name);
	xb_attach(name, program, XDP_FLAGS_SKB_MODE);
}

static int fd_of(const struct bpf_program *program)
{
	return bpf_program__fd(program);
}

/* ---- rows: one packet, again and again ---- */

static void unnamed_port(const struct bpf_object *filter)
{
	struct run minimal = {.program = fd_of(programs->progs.minimal)}, empty = minimal, ours,
		   other;
	struct pair_row row = {
		.table = "xdp-run",
		.row = "packet to a port nobody named",
		.unit = "ns",
		.n_sides = filter ? 4 : 3,
		.sides = {{"minimal", cost, &minimal},
			  {"empty", cost, &empty},
			  {"smtpwall", cost, &ours},
			  {"xdp-filter", cost, &other}},
		.n_aims = 1,
		.aims = {{.side = 2, .measure = PAIR_RATIO, .limit = 1.15, .allows = "1.0"}},
	};

	minimal.repeat = RUNS_DIRECT;
	minimal.verdict = XDP_PASS;
	minimal.slot = minimal.counter = -1;
	empty = ours = other = minimal;
	empty.program = fd_of(programs->progs.empty);
	ours.program = xb_edge();
	other.program = filter ? xb_filter_program(filter) : 0;
	ex_begin(0);
	ex_row(ex_rule(SW_ACTION_DROP, 0), (struct ex_row){.port = 25});
	ex_row(ex_rule(SW_ACTION_TLS, 0), (struct ex_row){.port = 587});
	ex_apply();
	ex_segment(&frame, (struct ex_segment){.dst_port = 443, .flags = TH_ACK});
	pair_run(&row, rounds * 3);
}

/* ---- lists of sources ---- */

/* Four lengths, as blocklists have them: single hosts, and networks. */
static const struct length {
	uint32_t bits, percent;
	const char *example;
} lengths[] = {
	{32, 70, "203.0.113.9/32"},
	{24, 25, "203.0.113.0/24"},
	{22, 3, "203.0.112.0/22"},
	{19, 2, "203.0.96.0/19"},
};

static uint32_t length_by_chance(void)
{
	uint32_t percent = (uint32_t)rand() % 100, i = 0;

	for (; percent >= lengths[i].percent; i++)
		percent -= lengths[i].percent;
	return lengths[i].bits;
}

static int by_address(const void *a, const void *b)
{
	const struct sw_prefix_key *one = a, *other = b;
	int order = memcmp(one->addr, other->addr, sizeof(one->addr));

	return order ? order : (int)one->bits - (int)other->bits;
}

/* The same for the least program that knows a list. */
static void fill_least_list(uint32_t slot, const struct sw_prefix_key *keys, uint32_t n)
{
	int map = bpf_map_create(BPF_MAP_TYPE_HASH, NULL, sizeof(uint64_t), sizeof(uint32_t), n,
				 NULL);
	uint32_t addr, bits, none = 0;

	for (uint32_t i = 0; map >= 0 && i < n; i++) {
		memcpy(&addr, keys[i].addr + 12, sizeof(addr));
		bits = (keys[i].bits & ~SW_PREFIX_FROM) - 96;
		if (bpf_map_update_elem(map, &(uint64_t){XDP_PREFIX(ntohl(addr), bits)}, &none,
					BPF_ANY))
			ex_fail("prefix");
	}
	if (map < 0 || bpf_map_update_elem(bpf_map__fd(programs->maps.lists), &slot, &map, BPF_ANY))
		ex_fail("list");
	close(map);
}

/* Puts `n` prefixes in place of the policy's own, each of the class of the first. */
static void fill_list(uint32_t slot, uint64_t generation, uint32_t n)
{
	int map = bpf_map_create(BPF_MAP_TYPE_HASH, NULL, sizeof(struct sw_prefix_key),
				 sizeof(uint32_t), n, NULL);
	struct sw_prefix_key *keys sw_autofree = calloc(n, sizeof(*keys));
	uint32_t *classes sw_autofree = calloc(n, sizeof(*classes));
	uint32_t addr, bits, done = 0;

	if (!keys || !classes)
		ex_fail("memory");
	srand(1);
	while (map >= 0 && done < n) {
		struct sw_prefix_key key = {.addr = {[10] = 0xff, [11] = 0xff}};

		bits = length_by_chance();
		addr = (uint32_t)rand() << 16 ^ (uint32_t)rand();
		addr = htonl(addr & ~0u << (32 - bits));
		memcpy(key.addr + 12, &addr, sizeof(addr));
		key.bits = (96 + bits) | SW_PREFIX_FROM;
		if (!bpf_map_update_elem(map, &key, &classes[0], BPF_NOEXIST))
			keys[done++] = key;
		else if (errno != EEXIST)
			ex_fail("prefix");
	}
	fill_least_list(slot, keys, n);
	qsort(keys, n, sizeof(*keys), by_address);
	if (map < 0 || bpf_map_update_elem(ex_map("prefixes"), &slot, &map, BPF_ANY) ||
	    sw_edge_put_listed(ex_map("edge_listed"), ex_map("edge_leaves"), slot, generation,
			       &(struct sw_edge_prefixes){keys, classes, n}))
		ex_fail("list");
	close(map);
}

/* Port 25: `listed` for what a list of `n` names, `rest` for the rest. */
static void policy_with_list(uint32_t slot, uint32_t n, uint8_t listed, uint8_t rest)
{
	uint16_t rule;

	ex_begin(slot);
	rule = ex_rule(listed, 0);
	for (size_t i = 0; i < sizeof(lengths) / sizeof(*lengths); i++)
		ex_row(rule, (struct ex_row){.port = 25, .from = lengths[i].example});
	ex_row(ex_rule(rest, 0), (struct ex_row){.port = 25});
	fill_list(slot, ex_apply(), n);
}

static void refused(const struct bpf_object *filter)
{
	struct run minimal = {.program = fd_of(programs->progs.minimal)}, ours, other;
	struct pair_row row = {
		.table = "xdp-run",
		.row = "refused SYN, source list of 1,000, counted",
		.unit = "ns",
		.n_sides = filter ? 3 : 2,
		.sides = {{"minimal", cost, &minimal},
			  {"smtpwall", cost, &ours},
			  {"xdp-filter", cost, &other}},
		.n_aims = 1,
		.aims = {{.side = 1, .measure = PAIR_RATIO, .limit = 2, .allows = "1.75"}},
	};

	minimal.repeat = RUNS_DIRECT;
	minimal.verdict = XDP_DROP;
	minimal.slot = minimal.counter = -1;
	ours = other = minimal;
	ours.program = xb_edge();
	ours.counter = SW_COUNT_EDGE_REFUSED;
	other.program = filter ? xb_filter_program(filter) : 0;
	policy_with_list(0, LIST_SHORT, SW_ACTION_ALLOW, SW_ACTION_DROP);
	ex_segment(&frame, (struct ex_segment){.flags = TH_SYN});
	pair_run(&row, rounds * 3);
}

static void refused_crowd(void)
{
	struct run minimal = {.program = fd_of(programs->progs.minimal)}, ours;
	struct pair_row row = {
		.table = "xdp-run",
		.row = "refused SYN, the same of a million sources by chance",
		.unit = "ns",
		.n_sides = 2,
		.sides = {{"minimal", cost, &minimal}, {"smtpwall", cost, &ours}},
	};

	minimal.driver = fd_of(programs->progs.vary_flow);
	minimal.repeat = RUNS_VARIED;
	minimal.verdict = XDP_DROP;
	minimal.slot = minimal.counter = -1;
	ours = minimal;
	ours.program = xb_edge();
	ours.counter = SW_COUNT_EDGE_REFUSED;
	programs->bss->flow_mask = (1u << 20) - 1;
	ex_segment(&frame, (struct ex_segment){.flags = TH_SYN});
	pair_run(&row, rounds);
}

static void long_list(void)
{
	struct run minimal = {.program = fd_of(programs->progs.minimal)}, few, many, least_few,
		   least_many;
	struct pair_row row = {
		.table = "xdp-run",
		.row = "SYN held against a list of sources, from anywhere",
		.unit = "ns",
		.note = "Four lengths of prefixes; sources by chance, most of them in no list. "
			"\"minimal and hashes\" looks once for each length in a hash of the "
			"kernel.",
		.n_sides = 5,
		.sides = {{"minimal", cost, &minimal},
			  {"smtpwall, 1,000 prefixes", cost, &few},
			  {"smtpwall, 1,000,000 prefixes", cost, &many},
			  {"minimal and hashes, 1,000 prefixes", cost, &least_few},
			  {"minimal and hashes, 1,000,000 prefixes", cost, &least_many}},
		.n_aims = 2,
		.aims = {{.side = 1,
			  .measure = PAIR_DIFFERENCE,
			  .limit = 35,
			  .allows = "one hash for each length"},
			 {.side = 2,
			  .measure = PAIR_DIFFERENCE,
			  .limit = 35,
			  .allows = "one hash for each length"}},
	};

	minimal.driver = fd_of(programs->progs.vary_source);
	minimal.repeat = RUNS_VARIED;
	minimal.verdict = ANY_VERDICT;
	minimal.slot = minimal.counter = -1;
	few = minimal;
	few.program = xb_edge();
	few.slot = 0;
	few.counter = SW_COUNT_EDGE_CONNECT;
	many = few;
	many.slot = 1;
	least_few = few;
	least_few.program = fd_of(programs->progs.minimal_list);
	least_few.counter = -1;
	least_many = least_few;
	least_many.slot = 1;
	policy_with_list(0, LIST_SHORT, SW_ACTION_DROP, SW_ACTION_ALLOW);
	policy_with_list(1, LIST_LONG, SW_ACTION_DROP, SW_ACTION_ALLOW);
	ex_segment(&frame, (struct ex_segment){.flags = TH_SYN});
	pair_run(&row, rounds);
}

/* ---- flows ---- */

static void set_flow(struct sw_edge_flow *flow, uint32_t number)
{
	uint32_t addr = htonl(XDP_FLOW_SOURCE(number));

	memcpy(flow->src + 12, &addr, sizeof(addr));
}

/* Where the program looks for a flow. */
static uint32_t place_of(const struct sw_edge_flow *flow)
{
	struct sw_edge_secret secret;
	__u64 words[5];
	uint32_t zero = 0;

	if (bpf_map_lookup_elem(ex_map("edge_secret"), &zero, &secret))
		ex_fail("secret");
	memcpy(words, flow->src, sizeof(words));
	return sw_edge_flow_place(sw_edge_flow_hash(&secret, words), FLOWS_MAX / SW_EDGE_WAYS);
}

/* Into the first free entry of its set; where there is none, it is left out: one of some thousands. */
static void add_flow(const struct sw_edge_flow *flow)
{
	uint32_t place = place_of(flow), at;
	struct sw_edge_flow there;

	for (uint32_t way = 0; way < SW_EDGE_WAYS; way++) {
		at = place ^ way;
		if (bpf_map_lookup_elem(ex_map("edge_flows"), &at, &there))
			ex_fail("flow");
		if (there.state != SW_EDGE_FREE)
			continue;
		if (bpf_map_update_elem(ex_map("edge_flows"), &at, flow, BPF_ANY))
			ex_fail("flow");
		return;
	}
}

/* Brings one flow to TLS by what client and server say, and then others to where the programs would have put
   them. */
static void fill_flows(void)
{
	struct et et = {.from = "10.0.0.0", .client = 1000, .server = 2000};
	struct sw_edge_flow first, there;
	uint32_t at;

	et = et_open(et);
	et_come_to_tls(&et);
	first = et_flow(&et);
	at = place_of(&first);
	if (first.state != SW_EDGE_TLS || bpf_map_lookup_elem(ex_map("edge_flows"), &at, &there) ||
	    memcmp(&there, &first, sizeof(first)))
		ex_fail("a flow is not where it is looked for");
	for (uint32_t i = 1; i < FLOWS; i++) {
		set_flow(&first, i);
		add_flow(&first);
	}
}

/* One rule for the port; flows that found no place in the table pass as well, or a RST would be what is left of the
   packet for all that follow. */
static void policy_of_flows(void)
{
	ex_begin(0);
	ex_row(ex_rule(SW_ACTION_TLS, 0), (struct ex_row){.port = 587});
	ex_keep(UINT64_MAX);
	ex_apply();
}

/* What memory costs whoever looks up a flow: no program that knows flows is below it. */
#define LINE_NOTE                                                                                  \
	"\"minimal and a line\" reads one line of 64 bytes of a table as large as that of flows, " \
	"by the source."

static void settled(void)
{
	uint64_t unknown = ex_counter(SW_COUNT_EDGE_EXISTING);
	struct run minimal = {.program = fd_of(programs->progs.minimal)}, line, told, ours;
	struct pair_row row = {
		.table = "xdp-run",
		.row = "packet of a flow already in TLS, of 131,072 by chance",
		.unit = "ns",
		.note = LINE_NOTE
		" \"A flow's line\": by a keyed hash, and compared with all of its key.",
		.n_sides = 4,
		.sides = {{"minimal", cost, &minimal},
			  {"minimal and a line", cost, &line},
			  {"minimal and a flow's line", cost, &told},
			  {"smtpwall", cost, &ours}},
		.n_aims = 1,
		.aims = {{.side = 3,
			  .measure = PAIR_DIFFERENCE,
			  .limit = 30,
			  .allows = "one cold line"}},
	};

	minimal.driver = fd_of(programs->progs.vary_flow);
	minimal.repeat = RUNS_VARIED;
	minimal.verdict = XDP_PASS;
	minimal.slot = minimal.counter = -1;
	line = told = ours = minimal;
	line.program = fd_of(programs->progs.minimal_line);
	told.program = fd_of(programs->progs.minimal_told);
	ours.program = xb_edge();
	for (size_t i = 0; i < sizeof(programs->bss->secret) / sizeof(uint64_t); i++)
		programs->bss->secret[i] = (uint64_t)random() << 33 ^ (uint64_t)random();
	programs->bss->flow_mask = FLOWS - 1;
	policy_of_flows();
	fill_flows();
	ex_segment(&frame, (struct ex_segment){.dst_port = 587,
					       .flags = TH_ACK | TH_PUSH,
					       .payload = "ciphertext",
					       .n = 10});
	pair_run(&row, rounds);
	unknown = ex_counter(SW_COUNT_EDGE_EXISTING) - unknown;
	if (unknown > (uint64_t)RUNS_VARIED * (uint64_t)rounds / 1000) {
		fprintf(stderr, "%llu packets of flows that are not in the table\n",
			(unsigned long long)unknown);
		exit(1);
	}
	programs->bss->flow_mask = 0;
	row.row = "packet of a flow already in TLS, the same again";
	row.n_aims = 0;
	pair_run(&row, rounds);
}

static void first_packet(void)
{
	struct run minimal = {.program = fd_of(programs->progs.minimal)}, line, kept, waited, flow,
		   ours;
	struct pair_row row = {
		.table = "xdp-run",
		.row = "first packet of a flow to a TLS port",
		.unit = "ns",
		.note = LINE_NOTE
		" \"Kept\": a word of it is added to, as other CPUs may; \"waited for\": no other "
		"packet is begun meanwhile. \"In a hash\": a key new to an LRU hash of the kernel.",
		.n_sides = 6,
		.sides = {{"minimal", cost, &minimal},
			  {"minimal and a line", cost, &line},
			  {"minimal and a line kept", cost, &kept},
			  {"minimal and a line kept, waited for", cost, &waited},
			  {"minimal and in a hash", cost, &flow},
			  {"smtpwall", cost, &ours}},
		.n_aims = 1,
		.aims = {{.side = 5, .measure = PAIR_DIFFERENCE, .limit = 40, .allows = "20"}},
	};

	minimal.driver = fd_of(programs->progs.vary_new);
	minimal.repeat = RUNS_VARIED;
	minimal.verdict = XDP_PASS;
	minimal.slot = minimal.counter = -1;
	line = kept = waited = flow = ours = minimal;
	line.program = fd_of(programs->progs.minimal_line);
	kept.program = fd_of(programs->progs.minimal_kept);
	waited.program = fd_of(programs->progs.minimal_waited);
	flow.program = fd_of(programs->progs.minimal_flow);
	ours.program = xb_edge();
	ours.counter = SW_COUNT_EDGE_ALLOWED;
	ex_segment(&frame, (struct ex_segment){.dst_port = 587, .flags = TH_SYN});
	pair_run(&row, rounds);
}

int main(int argc, char **argv)
{
	struct bpf_object *filter;

	if (argc > 1 && !strcmp(argv[1], "--full"))
		rounds = 101;
	if (!ex_usable())
		return 0;
	ex_size(FLOWS_MAX, GATES);
	ex_up(NULL);
	programs = xb_programs();
	filter = xb_filter();
	attach("minimal", fd_of(programs->progs.minimal));
	attach("line", fd_of(programs->progs.minimal_line));
	attach("told", fd_of(programs->progs.minimal_told));
	attach("kept", fd_of(programs->progs.minimal_kept));
	attach("waited", fd_of(programs->progs.minimal_waited));
	attach("hash", fd_of(programs->progs.minimal_flow));
	attach("list", fd_of(programs->progs.minimal_list));
	attach("empty", fd_of(programs->progs.empty));
	attach("source", fd_of(programs->progs.vary_source));
	attach("flow", fd_of(programs->progs.vary_flow));
	attach("new", fd_of(programs->progs.vary_new));
	attach("edge", xb_edge());
	if (filter)
		attach("filter", xb_filter_program(filter));
	unnamed_port(filter);
	refused(filter);
	refused_crowd();
	settled();
	first_packet();
	long_list();
	bpf_object__close(filter);
	ex_down(NULL);
	return 0;
}
