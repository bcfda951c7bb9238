/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * load_fill.c - the two policy slots: filling the one that is not in force, and the switch.
 *
 * A program reads `active` once and works on that slot to its end. So a slot may be written when
 * it is not active and every program that began while it was has ended; each switch waits for that.
 */
#include <errno.h>
#include <string.h>
#include <time.h>

#include "daemon/load_edge.h"
#include "daemon/load_internal.h"
#include "daemon/load_ports.h"

/* The kernel's internal errno for "not supported", which it lets out to user space. */
#define ENOTSUPP 524

/* Entries handed over in one call: a call cannot be interrupted. */
#define BATCH 65536

/* One large table of an image. */
struct table {
	enum sw_map map;
	const void *keys, *values;
	size_t n;
};

static int put_entries(int fd, const struct table *table, size_t key_size, size_t value_size)
{
	DECLARE_LIBBPF_OPTS(bpf_map_batch_opts, opts);
	bool batch = true;

	for (size_t at = 0; at < table->n;) {
		const char *key = (const char *)table->keys + at * key_size;
		const char *value = (const char *)table->values + at * value_size;
		uint32_t n = table->n - at < BATCH ? (uint32_t)(table->n - at) : BATCH;

		if (batch && bpf_map_update_batch(fd, key, value, &n, &opts) == 0) {
			at += n;
			continue;
		}
		/* Not every kernel can do batches for every kind of map; one by one always goes. */
		if (batch && errno != EINVAL && errno != ENOTSUPP && errno != EOPNOTSUPP)
			return -errno;
		batch = false;
		if (bpf_map_update_elem(fd, key, value, BPF_ANY) < 0)
			return -errno;
		at++;
	}
	return 0;
}

/* Makes the inner map of a table and hangs it into the outer map's slot. */
static int fill_table(struct sw_kernel *kernel, unsigned int slot, const struct table *table)
{
	const struct sw_model *model = &kernel->models[table->map];
	DECLARE_LIBBPF_OPTS(bpf_map_create_opts, opts, .map_flags = model->flags);
	sw_autoclose int fd =
		bpf_map_create(model->type, sw_map_names[table->map], model->key_size,
			       model->value_size, table->n ? (uint32_t)table->n : 1, &opts);
	int error;

	if (fd < 0)
		return -errno;
	error = put_entries(fd, table, model->key_size, model->value_size);
	if (error)
		return error;
	if (bpf_map_update_elem(sw_map_fd(kernel, table->map), &slot, &fd, BPF_ANY) < 0)
		return -errno;
	return 0;
}

static int fill_tables(struct sw_kernel *kernel, unsigned int slot, const struct sw_image *image,
		       struct sw_fault *fault)
{
	const struct table tables[] = {
		{SW_MAP_IDS, image->ids, image->id_rows, image->n_ids},
		{SW_MAP_NAMES, image->names, image->name_rows, image->n_names},
		{SW_MAP_CGROUPS, image->cgroups, image->cgroup_rows, image->n_cgroups},
		{SW_MAP_PREFIXES, image->prefixes, image->prefix_classes, image->n_prefixes},
	};

	for (size_t i = 0; i < sw_count(tables); i++) {
		int error = fill_table(kernel, slot, &tables[i]);
		char what[128];

		snprintf(what, sizeof(what), "cannot put %zu entries into the map %s", tables[i].n,
			 sw_map_names[tables[i].map]);
		if (error)
			return sw_kernel_refused(fault, what, -error);
	}
	return 0;
}

static int clear_hits(struct sw_kernel *kernel, unsigned int slot)
{
	sw_autofree uint64_t *zero = calloc((size_t)kernel->cpus, sizeof(*zero));

	if (!zero)
		return -ENOMEM;
	for (uint32_t i = 0; i < SW_RULES_MAX; i++) {
		uint32_t key = slot * SW_RULES_MAX + i;

		if (bpf_map_update_elem(sw_map_fd(kernel, SW_MAP_HITS), &key, zero, BPF_ANY) < 0)
			return -errno;
	}
	return 0;
}

static uint64_t realtime_ns(void)
{
	struct timespec now;

	clock_gettime(CLOCK_REALTIME, &now);
	return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

static int write_info(struct sw_kernel *kernel, unsigned int slot, const struct sw_image *image,
		      const char *path)
{
	struct sw_policy_info info = {.applied_ns = realtime_ns()};
	uint32_t key = slot;

	snprintf(info.path, sizeof(info.path), "%s", path);
	memcpy(info.sha256, image->sha256, sizeof(info.sha256));
	if (bpf_map_update_elem(sw_map_fd(kernel, SW_MAP_POLICY_INFO), &key, &info, BPF_ANY) < 0)
		return -errno;
	for (uint32_t i = 0; i < image->policy.n_rules && i < SW_RULES_MAX; i++) {
		key = slot * SW_RULES_MAX + i;
		if (bpf_map_update_elem(sw_map_fd(kernel, SW_MAP_RULE_INFO), &key, &image->info[i],
					BPF_ANY) < 0)
			return -errno;
	}
	return 0;
}

static int tell_unasked(struct sw_kernel *kernel, struct sw_fault *fault)
{
	struct sw_unasked unasked;
	uint32_t zero = 0;

	sw_ports_unasked(kernel->head, &unasked);
	if (bpf_map_update_elem(sw_map_fd(kernel, SW_MAP_UNASKED), &zero, &unasked, BPF_ANY) < 0)
		return sw_kernel_refused(fault, "cannot write which ports are named", errno);
	return 0;
}

/* Before the slot comes into force, and while the other one is. */
static int name_ports(struct sw_kernel *kernel, struct sw_fault *fault)
{
	struct sw_head *head = kernel->head;
	__u64 named[sw_count(head->edge_named)];

	sw_ports_edge_named(head, named);
	for (size_t i = 0; i < sw_count(named); i++)
		__atomic_store_n(&head->edge_named[i], named[i], __ATOMIC_SEQ_CST);
	return tell_unasked(kernel, fault);
}

int sw_kernel_fill(struct sw_kernel *kernel, const struct sw_image *image, const char *path,
		   struct sw_fault *fault)
{
	unsigned int slot = !sw_kernel_active(kernel);
	struct sw_policy *policy = &kernel->head->slot[slot];
	int error;

	policy->generation = 0;
	if (fill_tables(kernel, slot, image, fault) < 0)
		return -1;
	error = clear_hits(kernel, slot);
	if (!error)
		error = write_info(kernel, slot, image, path);
	if (!error && kernel->edge)
		error = sw_edge_fill(kernel, slot, image);
	if (error)
		return sw_kernel_refused(fault, "cannot write the policy's particulars", -error);
	memcpy(policy, &image->policy, sizeof(*policy));
	if (policy->serves)
		__atomic_fetch_or(&kernel->head->serves, 1u << slot, __ATOMIC_SEQ_CST);
	else
		__atomic_fetch_and(&kernel->head->serves, ~(1u << slot), __ATOMIC_SEQ_CST);
	if (name_ports(kernel, fault) < 0)
		return -1;
	policy->generation = ++kernel->generation;
	sw_head_changed(kernel);
	return 0;
}

/*
 * The fence. The kernel has no call "wait for running programs", but an update of any map of maps
 * returns only after every program that ran has ended (maybe_wait_bpf_programs). One of our own,
 * that no program uses, serves for that alone.
 */
int sw_fence_open(struct sw_kernel *kernel)
{
	DECLARE_LIBBPF_OPTS(bpf_map_create_opts, opts);

	kernel->fence[1] = bpf_map_create(BPF_MAP_TYPE_ARRAY, "fence_inner", 4, 4, 1, NULL);
	if (kernel->fence[1] < 0)
		return -errno;
	opts.inner_map_fd = (uint32_t)kernel->fence[1];
	kernel->fence[0] = bpf_map_create(BPF_MAP_TYPE_ARRAY_OF_MAPS, "fence", 4, 4, 1, &opts);
	return kernel->fence[0] < 0 ? -errno : 0;
}

static int wait_for_programs(struct sw_kernel *kernel)
{
	uint32_t key = 0;

	return bpf_map_update_elem(kernel->fence[0], &key, &kernel->fence[1], BPF_ANY) < 0 ? -errno
											   : 0;
}

int sw_kernel_switch(struct sw_kernel *kernel, struct sw_fault *fault)
{
	int error;

	__atomic_fetch_xor(&kernel->head->active, 1, __ATOMIC_SEQ_CST);
	error = wait_for_programs(kernel);
	if (!error)
		return 0;
	/* Without the wait the old slot could be written while a program reads it. */
	__atomic_fetch_xor(&kernel->head->active, 1, __ATOMIC_SEQ_CST);
	return sw_kernel_refused(fault, "cannot wait for the programs that run", -error);
}

const struct sw_head *sw_kernel_head(const struct sw_kernel *kernel)
{
	return kernel->head;
}

unsigned int sw_kernel_active(const struct sw_kernel *kernel)
{
	return __atomic_load_n(&kernel->head->active, __ATOMIC_RELAXED) & 1;
}

const struct sw_policy *sw_kernel_policy(const struct sw_kernel *kernel)
{
	return &kernel->head->slot[sw_kernel_active(kernel)];
}

void sw_kernel_set_confirm(struct sw_kernel *kernel, uint64_t realtime_ns)
{
	__atomic_store_n(&kernel->head->confirm_before, realtime_ns, __ATOMIC_SEQ_CST);
}

void sw_kernel_set_answer_ports(struct sw_kernel *kernel, unsigned int slot, unsigned int rule,
				uint16_t port4, uint16_t port6)
{
	struct sw_rule *to = &kernel->head->slot[slot & 1].rules[rule % SW_RULES_MAX];

	__atomic_store_n(&to->port4, port4, __ATOMIC_SEQ_CST);
	__atomic_store_n(&to->port6, port6, __ATOMIC_SEQ_CST);
}

void sw_kernel_set_existing_close(struct sw_kernel *kernel, uint64_t generation)
{
	__atomic_store_n(&kernel->head->existing_close, generation, __ATOMIC_SEQ_CST);
}

int sw_kernel_set_elsewhere(struct sw_kernel *kernel, bool on, struct sw_fault *fault)
{
	__atomic_store_n(&kernel->head->elsewhere, on, __ATOMIC_SEQ_CST);
	return tell_unasked(kernel, fault);
}

int sw_kernel_policy_info(struct sw_kernel *kernel, unsigned int slot, struct sw_policy_info *info)
{
	if (bpf_map_lookup_elem(sw_map_fd(kernel, SW_MAP_POLICY_INFO), &slot, info) < 0)
		return -errno;
	info->path[sizeof(info->path) - 1] = '\0';
	return 0;
}

int sw_kernel_rule_info(struct sw_kernel *kernel, unsigned int slot, unsigned int rule,
			struct sw_rule_info *info)
{
	uint32_t key = slot * SW_RULES_MAX + rule;

	if (bpf_map_lookup_elem(sw_map_fd(kernel, SW_MAP_RULE_INFO), &key, info) < 0)
		return -errno;
	info->rule[sizeof(info->rule) - 1] = '\0';
	info->text[sizeof(info->text) - 1] = '\0';
	return 0;
}
