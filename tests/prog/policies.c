/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Policies written by hand, row by row, straight into the maps. */
#include <arpa/inet.h>
#include <errno.h>
#include <string.h>

#include <bpf/bpf.h>
#include <bpf/libbpf.h>

#include "bpf/host.skel.h"
#include "daemon/base.h"
#include "daemon/load_ports.h"
#include "tests/prog/fixture.h"
#include "tests/prog/internal.h"

#define ENTRIES_MAX 1024

static struct {
	struct sw_head head;
	unsigned int slot; /* that is being filled */
	uint64_t generation;
	int ids[2], names[2], cgroups[2], prefixes[2];
	uint32_t n_classes;
} own;

static struct sw_policy *filling(void)
{
	return &own.head.slot[own.slot];
}

/* A new table in the outer map's place `slot`, in the shape of the outer map's model. */
static void new_table(struct bpf_map *outer, int type, uint32_t key, uint32_t value, uint32_t flags,
		      int *fd)
{
	LIBBPF_OPTS(bpf_map_create_opts, options, .map_flags = flags);
	int made = bpf_map_create(type, NULL, key, value, ENTRIES_MAX, &options);
	uint32_t slot = own.slot;

	if (made < 0 || bpf_map_update_elem(bpf_map__fd(outer), &slot, &made, BPF_ANY))
		fx_fail("table");
	if (*fd > 0)
		close(*fd);
	*fd = made;
}

void fx_begin(unsigned int slot)
{
	own.slot = slot;
	own.n_classes = 0;
	memset(filling(), 0, sizeof(*filling()));
	new_table(fx.skel->maps.ids, BPF_MAP_TYPE_HASH, sizeof(struct sw_id_key),
		  sizeof(struct sw_vec), 0, &own.ids[slot]);
	new_table(fx.skel->maps.names, BPF_MAP_TYPE_HASH, sizeof(struct sw_name_key),
		  sizeof(struct sw_vec), 0, &own.names[slot]);
	new_table(fx.skel->maps.cgroups, BPF_MAP_TYPE_LPM_TRIE, sizeof(struct sw_cgroup_key),
		  sizeof(struct sw_vec), BPF_F_NO_PREALLOC, &own.cgroups[slot]);
	new_table(fx.skel->maps.prefixes, BPF_MAP_TYPE_HASH, sizeof(struct sw_prefix_key),
		  sizeof(uint32_t), 0, &own.prefixes[slot]);
}

static void set_row(struct sw_vec *rows, uint32_t row)
{
	rows->w[row / 64] |= 1ull << row % 64;
}

/* Adds the row to what the table already holds for the key. */
static void add_to_table(int fd, const void *key, uint32_t row)
{
	struct sw_vec rows = {};

	if (bpf_map_lookup_elem(fd, key, &rows) && errno != ENOENT)
		fx_fail("look-up");
	set_row(&rows, row);
	if (bpf_map_update_elem(fd, key, &rows, BPF_ANY))
		fx_fail("entry");
}

static void add_id(uint32_t dim, uint32_t id, uint32_t row)
{
	struct sw_id_key key = {.dim = dim, .id = id};

	add_to_table(own.ids[own.slot], &key, row);
}

static void add_name(const char *name, uint32_t row)
{
	struct sw_name_key key = {};

	snprintf(key.name, sizeof(key.name), "%s", name);
	add_to_table(own.names[own.slot], &key, row);
}

static void add_cgroup(const char *path, uint32_t row)
{
	struct sw_cgroup_key key = {};

	snprintf(key.path, sizeof(key.path), "%s/", path);
	key.bits = (uint32_t)strlen(key.path) * 8;
	add_to_table(own.cgroups[own.slot], &key, row);
}

/* Lengths stay sorted, longest first. */
static void add_length(uint8_t *lengths, uint32_t *n, uint8_t bits)
{
	uint32_t at = 0;

	while (at < *n && lengths[at] > bits)
		at++;
	if (at < *n && lengths[at] == bits)
		return;
	memmove(&lengths[at + 1], &lengths[at], *n - at);
	lengths[at] = bits;
	++*n;
}

/* A class for each prefix, with the rows of nothing else: a test that nests prefixes names the row
   for both. `table`: 0, or SW_PREFIX_FROM. */
static void add_prefix(const char *text, uint32_t table, uint32_t row)
{
	struct sw_policy *policy = filling();
	struct sw_prefix_key key = {};
	uint32_t class = own.n_classes;
	unsigned int bits;
	char addr[64];
	bool ipv4;

	if (sscanf(text, "%63[^/]/%u", addr, &bits) != 2)
		fx_fail(text);
	ipv4 = !strchr(addr, ':');
	fx_mapped(addr, key.addr);
	key.bits = ipv4 ? bits + 96 : bits;
	if (table)
		add_length(policy->from_lengths[!ipv4], &policy->n_from_lengths[!ipv4],
			   (uint8_t)key.bits);
	else
		add_length(policy->lengths[!ipv4], &policy->n_lengths[!ipv4], (uint8_t)key.bits);
	key.bits |= table;
	if (bpf_map_lookup_elem(own.prefixes[own.slot], &key, &class))
		own.n_classes++;
	set_row(&policy->classes[class], row);
	if (bpf_map_update_elem(own.prefixes[own.slot], &key, &class, BPF_ANY))
		fx_fail("prefix");
}

uint16_t fx_rule(uint8_t action, uint8_t flags)
{
	struct sw_policy *policy = filling();
	uint16_t rule = (uint16_t)policy->n_rules++;

	policy->rules[rule].action = action;
	policy->rules[rule].flags = flags;
	return rule;
}

void fx_version(uint16_t rule, uint16_t tls_version)
{
	filling()->rules[rule].tls_version = tls_version;
}

void fx_target(uint16_t rule, const char *addr, uint16_t port)
{
	struct sw_rule *to = &filling()->rules[rule];

	if (strchr(addr, ':')) {
		fx_mapped(addr, to->target6);
		to->port6 = port;
	} else {
		fx_mapped(addr, to->target4);
		to->port4 = port;
	}
}

void fx_guard(uint16_t port)
{
	filling()->guard[port / 64] |= 1ull << port % 64;
}

/* Sets the row in any[dim] when it does not ask about the dimension. */
static bool asks(bool asked, enum sw_dim dim, uint32_t row)
{
	if (!asked)
		set_row(&filling()->any[dim], row);
	return asked;
}

void fx_row(uint16_t rule, struct fx_row row)
{
	struct sw_policy *policy = filling();
	uint32_t at = policy->n_rows++;

	policy->row_rule[at] = rule;
	if (row.serve) {
		policy->serve_guard[row.port / 64] |= 1ull << row.port % 64;
		policy->serves = 1;
	} else {
		fx_guard(row.port);
	}
	add_id(SW_DIM_PORT, row.serve ? SW_SERVE_PORT_ID(row.port) : row.port, at);
	if (asks(row.from, SW_DIM_FROM, at))
		add_prefix(row.from, SW_PREFIX_FROM, at);
	if (asks(row.user, SW_DIM_USER, at))
		add_id(SW_DIM_USER, *row.user, at);
	if (asks(row.group, SW_DIM_GROUP, at))
		add_id(SW_DIM_GROUP, *row.group, at);
	if (asks(row.exe, SW_DIM_EXE, at))
		add_name(row.exe, at);
	if (asks(row.unit, SW_DIM_UNIT, at))
		add_name(row.unit, at);
	if (asks(row.cgroup, SW_DIM_CGROUP, at))
		add_cgroup(row.cgroup, at);
	if (asks(row.prefix || row.to_local, SW_DIM_DST, at)) {
		if (row.prefix)
			add_prefix(row.prefix, 0, at);
		if (row.to_local)
			set_row(&policy->local, at);
	}
}

static void write_head(void)
{
	struct sw_unasked unasked;
	uint32_t zero = 0;

	sw_ports_unasked(&own.head, &unasked);
	if (bpf_map_update_elem(bpf_map__fd(fx.skel->maps.unasked), &zero, &unasked, BPF_ANY) ||
	    bpf_map_update_elem(bpf_map__fd(fx.skel->maps.head), &zero, &own.head, BPF_ANY))
		fx_fail("head");
}

void fx_say_nothing_of_ports(void)
{
	const struct sw_unasked nothing = {};
	uint32_t zero = 0;

	if (bpf_map_update_elem(bpf_map__fd(fx.skel->maps.unasked), &zero, &nothing, BPF_ANY))
		fx_fail("unasked");
}

void fx_flip(unsigned int slot)
{
	own.head.active = slot;
	write_head();
}

void fx_elsewhere(bool on)
{
	own.head.elsewhere = on;
	write_head();
}

uint64_t fx_apply(void)
{
	own.head.abi = SW_ABI_VERSION;
	own.head.cgroup_id = fx.cgroup_id;
	filling()->generation = ++own.generation;
	own.head.serves &= ~(1u << own.slot);
	own.head.serves |= filling()->serves << own.slot;
	write_head();
	fx_flip(own.slot);
	return own.generation;
}

void fx_local(const char *addr)
{
	uint8_t key[16], value = 1;

	fx_mapped(addr, key);
	if (bpf_map_update_elem(bpf_map__fd(fx.skel->maps.local), key, &value, BPF_ANY))
		fx_fail("local");
}

uint16_t fx_simple(uint16_t port, uint8_t action, uint8_t flags)
{
	uint16_t rule;

	fx_begin(own.head.active ^ 1);
	rule = fx_rule(action, flags);
	fx_row(rule, (struct fx_row){.port = port});
	return rule;
}
