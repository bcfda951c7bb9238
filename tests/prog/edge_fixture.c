/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The edge's programs, policies and what became of packets. Packets: edge_frames.c. */
#include <errno.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <linux/if_link.h>

#include "bpf/abi_edge.h"

#include "bpf/edge.skel.h"
#include "bpf/edge_tc.skel.h"
#include "daemon/base.h"
#include "daemon/events.h"
#include "daemon/load_ports.h"
#include "tests/prog/edge_fixture.h"

#define ENTRIES_MAX 1024
#define EVENTS_MAX 4096

static struct {
	struct sw_edge *edge;
	struct sw_edge_tc *served;
	struct ring_buffer *ring;
	struct sw_event *events;
	size_t n_events;
	uint32_t n_flows, n_gates;

	struct sw_head head;
	struct sw_interface interface;
	unsigned int slot; /* that is being filled */
	uint64_t generation;
	int ids[2], prefixes[2];
	uint32_t n_classes;
} own = {.n_flows = EX_FLOWS, .n_gates = EX_GATES};

void ex_fail(const char *what)
{
	printf("Bail out! %s: %s\n", what, strerror(errno));
	fflush(NULL);
	_exit(1);
}

/* ---- up and down ---- */

bool ex_usable(void)
{
	if (geteuid())
		printf("1..0 # SKIP needs root\n");
	return !geteuid();
}

void ex_size(uint32_t flows, uint32_t gates)
{
	own.n_flows = flows;
	own.n_gates = gates;
}

static int take_event(void *context, void *data, size_t size)
{
	(void)context;
	if (own.n_events == EVENTS_MAX || sw_event_check(data, size, &own.events[own.n_events++]))
		ex_fail("event");
	return 0;
}

/* Before loading: sizes, and for the second object the maps of the first. */
static void size_maps(struct bpf_object *object)
{
	struct bpf_map *flows = bpf_object__find_map_by_name(object, "edge_flows");
	struct bpf_map *gates = bpf_object__find_map_by_name(object, "edge_gates");

	if (!flows || !gates || bpf_map__set_max_entries(flows, own.n_flows) ||
	    bpf_map__set_max_entries(gates, own.n_gates))
		ex_fail("size");
}

static void share_maps(struct bpf_object *with)
{
	const struct bpf_map *ours;
	struct bpf_map *map;

	bpf_object__for_each_map(map, with)
	{
		ours = bpf_object__find_map_by_name(own.edge->obj, bpf_map__name(map));
		if (ours && !bpf_map__is_internal(map) && bpf_map__reuse_fd(map, bpf_map__fd(ours)))
			ex_fail(bpf_map__name(map));
	}
}

/* As the daemon does: what the object has for `head` without a look-up is that map. */
static void share_head(void)
{
	LIBBPF_OPTS(bpf_map_create_opts, options, .map_flags = BPF_F_MMAPABLE);
	int fd = bpf_map_create(BPF_MAP_TYPE_ARRAY, "head", sizeof(uint32_t), sizeof(own.head), 1,
				&options);

	if (fd < 0 || bpf_map__reuse_fd(own.edge->maps.head, fd) ||
	    bpf_map__reuse_fd(own.edge->maps.bss, fd))
		ex_fail("head");
	close(fd);
}

static void load(void)
{
	own.edge = sw_edge__open();
	own.served = sw_edge_tc__open();
	if (!own.edge || !own.served)
		ex_fail("open");
	own.edge->rodata->sw_edge_sets = own.n_flows / SW_EDGE_WAYS;
	own.edge->rodata->sw_edge_gate_count = own.n_gates;
	own.served->rodata->sw_edge_sets = own.n_flows / SW_EDGE_WAYS;
	own.served->rodata->sw_edge_gate_count = own.n_gates;
	size_maps(own.edge->obj);
	size_maps(own.served->obj);
	share_head();
	if (sw_edge__load(own.edge))
		ex_fail("load edge");
	share_maps(own.served->obj);
	if (sw_edge_tc__load(own.served))
		ex_fail("load edge_tc");
}

static void set_secret(void)
{
	struct sw_edge_secret secret = {.answers = {0x1716151413121110, 0x1f1e1d1c1b1a1918}};
	uint64_t word = 1;
	uint32_t zero = 0;

	for (size_t i = 0; i < sw_count(secret.flows); i++)
		secret.flows[i] = word = word * 6364136223846793005u + 1442695040888963407u;
	for (size_t i = 0; i < sw_count(secret.sources); i++)
		secret.sources[i] = word = word * 6364136223846793005u + 1442695040888963407u;

	if (bpf_map_update_elem(ex_map("edge_secret"), &zero, &secret, BPF_ANY))
		ex_fail("secret");
}

void ex_stay_on_this_cpu(void)
{
	int cpu = sched_getcpu();
	cpu_set_t set;

	CPU_ZERO(&set);
	CPU_SET((size_t)cpu, &set);
	if (sched_setaffinity(0, sizeof(set), &set))
		ex_fail("affinity");
}

int ex_up(void **state)
{
	(void)state;
	if (unshare(CLONE_NEWNET))
		ex_fail("unshare");
	load();
	set_secret();
	own.events = calloc(EVENTS_MAX, sizeof(*own.events));
	own.ring = ring_buffer__new(ex_map("events"), take_event, NULL, NULL);
	if (!own.events || !own.ring)
		ex_fail("ring buffer");
	return ex_reset(NULL);
}

int ex_down(void **state)
{
	(void)state;
	ring_buffer__free(own.ring);
	free(own.events);
	sw_edge_tc__destroy(own.served);
	sw_edge__destroy(own.edge);
	return 0;
}

void ex_attach(void)
{
	if (bpf_xdp_attach(EX_INTERFACE, bpf_program__fd(own.edge->progs.sw_edge),
			   XDP_FLAGS_SKB_MODE, NULL))
		ex_fail("attach");
}

struct bpf_object *ex_object(void)
{
	return own.edge->obj;
}

struct bpf_object *ex_object_served(void)
{
	return own.served->obj;
}

int ex_map(const char *name)
{
	int fd = bpf_object__find_map_fd_by_name(own.edge->obj, name);

	if (fd < 0)
		ex_fail(name);
	return fd;
}

static void zero_map(const char *name, uint32_t n)
{
	uint32_t size = bpf_map__value_size(bpf_object__find_map_by_name(own.edge->obj, name));
	void *zeros sw_autofree = calloc((size_t)libbpf_num_possible_cpus(), size + 8);

	for (uint32_t key = 0; key < n; key++)
		if (!zeros || bpf_map_update_elem(ex_map(name), &key, zeros, BPF_ANY))
			ex_fail(name);
}

int ex_reset(void **state)
{
	(void)state;
	memset(&own.interface, 0, sizeof(own.interface));
	ex_begin(1);
	ex_begin(0);
	ex_apply();
	zero_map("edge_flows", own.n_flows);
	zero_map("edge_gates", own.n_gates);
	zero_map("edge_sources", SW_EDGE_SOURCES);
	zero_map("answers", 2 * SW_RULES_MAX);
	zero_map("counters", SW_COUNT_MAX);
	zero_map("remembered", 1);
	zero_map("hits", 2 * SW_RULES_MAX);
	ex_events();
	return 0;
}

/* ---- policies ---- */

static struct sw_policy *filling(void)
{
	return &own.head.slot[own.slot];
}

static void new_table(const char *outer, uint32_t key, uint32_t value, int *fd)
{
	int made = bpf_map_create(BPF_MAP_TYPE_HASH, NULL, key, value, ENTRIES_MAX, NULL);
	uint32_t slot = own.slot;

	if (made < 0 || bpf_map_update_elem(ex_map(outer), &slot, &made, BPF_ANY))
		ex_fail(outer);
	if (*fd > 0)
		close(*fd);
	*fd = made;
}

static void set_row(struct sw_vec *rows, uint32_t row)
{
	rows->w[row / 64] |= 1ull << row % 64;
}

void ex_begin(unsigned int slot)
{
	own.slot = slot;
	own.n_classes = 0;
	memset(filling(), 0, sizeof(*filling()));
	memset(&own.interface.rows[slot], 0, sizeof(own.interface.rows[slot]));
	own.interface.keep_until_ns[slot] = 0;
	own.interface.named[slot] = own.interface.enforced[slot] = 0;
	new_table("ids", sizeof(struct sw_id_key), sizeof(struct sw_vec), &own.ids[slot]);
	new_table("prefixes", sizeof(struct sw_prefix_key), sizeof(uint32_t), &own.prefixes[slot]);
}

uint16_t ex_rule(uint8_t action, uint8_t flags)
{
	struct sw_policy *policy = filling();
	uint16_t rule = (uint16_t)policy->n_rules++;

	policy->rules[rule].action = action;
	policy->rules[rule].flags = flags;
	return rule;
}

void ex_version(uint16_t rule, uint16_t tls_version)
{
	filling()->rules[rule].tls_version = tls_version;
}

void ex_answer(uint16_t rule, const char *text)
{
	uint32_t key = own.slot * SW_RULES_MAX + rule, sum = 0;
	struct sw_answer_line line = {};

	line.length = (uint16_t)snprintf((char *)line.bytes, sizeof(line.bytes), "554 5.7.1 %s\r\n",
					 text);
	for (size_t i = 0; i < sizeof(line.bytes); i += 2) {
		uint16_t word;

		memcpy(&word, line.bytes + i, sizeof(word));
		sum += word;
	}
	while (sum >> 16)
		sum = (sum & 0xffff) + (sum >> 16);
	line.sum = (uint16_t)sum;
	filling()->rules[rule].flags |= SW_RULE_ANSWER;
	if (bpf_map_update_elem(ex_map("answers"), &key, &line, BPF_ANY))
		ex_fail("answers");
}

/* Lengths stay sorted, longest first. */
static void add_length(uint8_t *lengths, uint32_t *n, uint8_t bits)
{
	uint32_t at = 0;

	while (at < *n && lengths[at] > bits)
		at++;
	if (at < *n && lengths[at] == bits)
		return;
	memmove(lengths + at + 1, lengths + at, *n - at);
	lengths[at] = bits;
	++*n;
}

/* A class for each prefix, with the rows of nothing else: a test that nests prefixes names the row for both. */
static void add_prefix(const char *text, uint32_t from, uint32_t row)
{
	struct sw_policy *policy = filling();
	struct sw_prefix_key key = {};
	uint32_t class = own.n_classes;
	unsigned int bits, six;
	char addr[64];

	if (sscanf(text, "%63[^/]/%u", addr, &bits) != 2)
		ex_fail(text);
	six = !!strchr(addr, ':');
	bits += six ? 0 : 96;
	ex_mapped(addr, key.addr);
	key.bits = bits | from;
	if (from)
		add_length(policy->from_lengths[six], &policy->n_from_lengths[six], (uint8_t)bits);
	else
		add_length(policy->lengths[six], &policy->n_lengths[six], (uint8_t)bits);
	if (bpf_map_lookup_elem(own.prefixes[own.slot], &key, &class))
		own.n_classes++;
	set_row(&policy->classes[class], row);
	if (bpf_map_update_elem(own.prefixes[own.slot], &key, &class, BPF_ANY))
		ex_fail("prefix");
}

static void add_port(uint16_t port, uint32_t row)
{
	struct sw_id_key key = {.dim = SW_DIM_PORT, .id = 1u << 16 | port};
	struct sw_vec rows = {};

	filling()->edge_guard[port / 64] |= 1ull << port % 64;
	if (bpf_map_lookup_elem(own.ids[own.slot], &key, &rows) && errno != ENOENT)
		ex_fail("look-up");
	set_row(&rows, row);
	if (bpf_map_update_elem(own.ids[own.slot], &key, &rows, BPF_ANY))
		ex_fail("port");
}

void ex_row(uint16_t rule, struct ex_row row)
{
	struct sw_policy *policy = filling();
	uint32_t at = policy->n_rows++;

	policy->row_rule[at] = rule;
	add_port(row.port, at);
	set_row(&own.interface.rows[own.slot], at);
	own.interface.named[own.slot] = 1;
	if (!(policy->rules[rule].flags & SW_RULE_AUDIT))
		own.interface.enforced[own.slot] = 1;
	if (row.from)
		add_prefix(row.from, SW_PREFIX_FROM, at);
	else
		set_row(&policy->any[SW_DIM_FROM], at);
	if (row.prefix)
		add_prefix(row.prefix, 0, at);
	if (row.to_local)
		set_row(&policy->local, at);
	if (!row.prefix && !row.to_local)
		set_row(&policy->any[SW_DIM_DST], at);
}

void ex_keep(uint64_t keep_until_ns)
{
	own.interface.keep_until_ns[own.slot] = keep_until_ns;
}

void ex_audit_all(void)
{
	own.interface.enforced[own.slot] = 0;
}

void ex_link(uint8_t link)
{
	own.interface.link = link;
}

uint64_t ex_apply(void)
{
	uint32_t zero = 0, interface = EX_INTERFACE;

	own.head.abi = SW_ABI_VERSION;
	own.head.active = ((own.head.active | 1) + 1) | own.slot;
	filling()->generation = ++own.generation;
	sw_ports_edge_named(&own.head, own.head.edge_named);
	if (bpf_map_update_elem(ex_map("interfaces"), &interface, &own.interface, BPF_ANY) ||
	    bpf_map_update_elem(ex_map("head"), &zero, &own.head, BPF_ANY))
		ex_fail("apply");
	return own.generation;
}

uint64_t ex_generation(unsigned int slot)
{
	return own.head.slot[slot].generation;
}

void ex_local(const char *addr)
{
	uint8_t key[16], value = 1;

	ex_mapped(addr, key);
	if (bpf_map_update_elem(ex_map("local"), key, &value, BPF_ANY))
		ex_fail("local");
}

void ex_forget(void)
{
	uint32_t zero = 0;

	own.head.active += 2;
	if (bpf_map_update_elem(ex_map("head"), &zero, &own.head, BPF_ANY))
		ex_fail("head");
}

void ex_unknown_interface(void)
{
	uint32_t interface = EX_INTERFACE;

	if (bpf_map_delete_elem(ex_map("interfaces"), &interface))
		ex_fail("interfaces");
	ex_forget();
}

void ex_unnamed_interface(void)
{
	struct sw_interface unnamed = own.interface;
	uint32_t interface = EX_INTERFACE;

	memset(unnamed.named, 0, sizeof(unnamed.named));
	if (bpf_map_update_elem(ex_map("interfaces"), &interface, &unnamed, BPF_ANY))
		ex_fail("interfaces");
	ex_forget();
}

uint16_t ex_simple(uint16_t port, uint8_t action, uint8_t flags)
{
	uint16_t rule;

	ex_begin(0);
	rule = ex_rule(action, flags);
	ex_row(rule, (struct ex_row){.port = port});
	ex_apply();
	return rule;
}

/* ---- runs ---- */

static uint32_t run(const struct bpf_program *program, struct ex_frame *frame)
{
	uint8_t out[EX_FRAME_MAX + 512];
	LIBBPF_OPTS(bpf_test_run_opts, options, .data_in = frame->bytes,
		    .data_size_in = (uint32_t)frame->n, .data_out = out,
		    .data_size_out = sizeof(out));

	if (bpf_prog_test_run_opts(bpf_program__fd(program), &options) ||
	    options.data_size_out > sizeof(frame->bytes))
		ex_fail("run");
	frame->n = options.data_size_out;
	memcpy(frame->bytes, out, frame->n);
	return options.retval;
}

uint32_t ex_run(struct ex_frame *frame)
{
	struct ex_frame question = *frame;
	uint32_t verdict = run(own.edge->progs.sw_edge, frame);

	if (verdict == XDP_TX)
		ex_note(&question, frame);
	return verdict;
}

uint32_t ex_run_served(struct ex_frame *frame)
{
	return run(own.served->progs.sw_edge_served, frame);
}

/* ---- events, flows ---- */

size_t ex_events(void)
{
	own.n_events = 0;
	if (ring_buffer__consume(own.ring) < 0)
		ex_fail("ring buffer");
	return own.n_events;
}

const struct sw_event *ex_event(size_t index)
{
	assert_true(index < own.n_events);
	return &own.events[index];
}

const struct sw_event *ex_one_event(void)
{
	assert_int_equal(ex_events(), 1);
	return ex_event(0);
}

size_t ex_flows(struct sw_edge_flow *flows, size_t most)
{
	struct sw_edge_flow flow;
	size_t n = 0;

	for (uint32_t key = 0; key < own.n_flows; key++) {
		if (bpf_map_lookup_elem(ex_map("edge_flows"), &key, &flow))
			ex_fail("edge_flows");
		if (flow.state == SW_EDGE_FREE)
			continue;
		if (n < most)
			flows[n] = flow;
		n++;
	}
	return n;
}
