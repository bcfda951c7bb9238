/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * image.h - the compiled policy as it lies in memory on its way into the kernel: the fixed part is
 * abi.h's own struct, the tables are arrays of map entries. Read by load.c and eval.c.
 */
#ifndef SW_IMAGE_H
#define SW_IMAGE_H

#include <stddef.h>

#include "bpf/abi_edge.h"

struct sw_image {
	struct sw_policy policy; /* generation 0: the loader numbers it */
	struct sw_rule_info info[SW_RULES_MAX];
	struct sw_answer_line answers[SW_RULES_MAX]; /* length 0: that rule says nothing */

	struct sw_id_key *ids;
	struct sw_vec *id_rows;
	size_t n_ids;

	struct sw_name_key *names;
	struct sw_vec *name_rows;
	size_t n_names;

	struct sw_cgroup_key *cgroups; /* rows of ancestors already included */
	struct sw_vec *cgroup_rows;
	size_t n_cgroups;

	struct sw_prefix_key *prefixes; /* rows of covering prefixes already included, by class */
	__u32 *prefix_classes;
	size_t n_prefixes;

	__u8 sha256[32];
};

#endif
