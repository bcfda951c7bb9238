/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * load_edge_listed.c - what a policy's lists of sources hold of each net of 24 bits, so that the programs need not
 * look for prefixes of each length; struct sw_edge_listed of abi_edge.h.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "bpf/edge_match.h"
#include "daemon/load_edge_internal.h"

#define WORDS ((1u << 24) / 64)

/* A prefix of sources of IPv4, as nets of 24 bits. */
struct nets {
	uint32_t first, n;
	bool longer; /* a part of the one net */
};

static bool take_nets(const struct sw_prefix_key *prefix, struct nets *nets)
{
	const uint8_t *addr = prefix->addr;
	uint32_t bits = prefix->bits & (SW_PREFIX_FROM - 1);

	if (!(prefix->bits & SW_PREFIX_FROM) || bits < 96 || !sw_addr_is_ipv4(addr))
		return false;
	nets->first = (uint32_t)addr[12] << 16 | (uint32_t)addr[13] << 8 | addr[14];
	nets->longer = bits > 120;
	nets->n = nets->longer ? 1 : 1u << (120 - bits);
	return true;
}

void sw_edge_list(struct sw_edge_listed *listed, const struct sw_edge_prefixes *prefixes)
{
	uint32_t rank = 0;
	struct nets nets;

	for (size_t i = 0; i < prefixes->n; i++) {
		if (!take_nets(&prefixes->keys[i], &nets))
			continue;
		for (uint32_t net = nets.first; net < nets.first + nets.n; net++)
			listed->nets[net / 64] |= 1ull << net % 64;
	}
	for (uint32_t word = 0; word < WORDS; word++) {
		listed->ranks[word] = rank;
		rank += (uint32_t)__builtin_popcountll(listed->nets[word]);
	}
	listed->n_leaves = rank > SW_EDGE_LEAVES_MAX ? 0 : rank;
}

void sw_edge_list_leaves(const struct sw_edge_listed *listed,
			 const struct sw_edge_prefixes *prefixes, struct sw_edge_leaves *leaves)
{
	struct nets nets;

	for (size_t i = 0; i < prefixes->n; i++) {
		uint32_t first;

		if (!take_nets(&prefixes->keys[i], &nets))
			continue;
		/* All of them are listed, so their leaves follow each other. */
		first = sw_edge_leaf_of(listed, nets.first << 8);
		for (uint32_t at = first; at < first + nets.n; at++) {
			__u16 *leaf = &leaves[at / SW_EDGE_LEAVES].leaf[at % SW_EDGE_LEAVES];

			if (nets.longer)
				*leaf |= SW_EDGE_LEAF_LONGER;
			else
				*leaf = (__u16)((*leaf & SW_EDGE_LEAF_LONGER) |
						(prefixes->classes[i] + 1));
		}
	}
}

/* Makes the map of the leaves and hangs it into the slot. 0 or -errno. */
static int put_leaves(int outer, uint32_t slot, const struct sw_edge_listed *listed,
		      const struct sw_edge_prefixes *prefixes)
{
	DECLARE_LIBBPF_OPTS(bpf_map_create_opts, opts, .map_flags = SW_EDGE_LEAVES_FLAGS);
	uint32_t n = (uint32_t)(listed->n_leaves / SW_EDGE_LEAVES + 1);
	size_t size = n * sizeof(struct sw_edge_leaves);
	sw_autoclose int fd = bpf_map_create(BPF_MAP_TYPE_ARRAY, "edge_leaves", sizeof(uint32_t),
					     sizeof(struct sw_edge_leaves), n, &opts);
	struct sw_edge_leaves *leaves;

	if (fd < 0)
		return -errno;
	if (listed->n_leaves) {
		leaves = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
		if (leaves == MAP_FAILED)
			return -errno;
		sw_edge_list_leaves(listed, prefixes, leaves);
		munmap(leaves, size);
	}
	return bpf_map_update_elem(outer, &slot, &fd, BPF_ANY) < 0 ? -errno : 0;
}

int sw_edge_put_listed(int listed_fd, int leaves_fd, uint32_t slot, uint64_t generation,
		       const struct sw_edge_prefixes *prefixes)
{
	sw_autofree struct sw_edge_listed *listed = calloc(1, sizeof(*listed));
	int error;

	if (!listed)
		return -ENOMEM;
	listed->generation = generation;
	sw_edge_list(listed, prefixes);
	error = put_leaves(leaves_fd, slot, listed, prefixes);
	if (error)
		return error;
	return bpf_map_update_elem(listed_fd, &slot, listed, BPF_ANY) < 0 ? -errno : 0;
}
