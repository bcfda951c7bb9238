/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What the verifier of the running kernel had to do for each program. It gives up at a million
 * instructions; a quarter of that is the most that a program may take, so that another kernel's verifier,
 * which may see more cases, has room.
 */
#include <errno.h>
#include <string.h>

#include <bpf/bpf.h>
#include <bpf/libbpf.h>

#include "bpf/abi_edge.h"

#include "bpf/edge.skel.h"
#include "bpf/edge_tc.skel.h"
#include "bpf/host.skel.h"
#include "tests/prog/fixture.h"

#define MOST (1000000 / 4)

static void instructions_of(const struct bpf_object *object)
{
	struct bpf_program *program;
	unsigned int n = 0;

	bpf_object__for_each_program(program, object)
	{
		struct bpf_prog_info info = {};
		__u32 size = sizeof(info);

		assert_return_code(bpf_obj_get_info_by_fd(bpf_program__fd(program), &info, &size),
				   errno);
		print_message("# verifier: %s %u\n", bpf_program__name(program),
			      info.verified_insns);
		assert_in_range(info.verified_insns, 1, MOST);
		n++;
	}
	assert_true(n > 0);
}

static void instructions_of_host(void **state)
{
	struct sw_host *skeleton = sw_host__open_and_load();

	(void)state;
	assert_non_null(skeleton);
	instructions_of(skeleton->obj);
	sw_host__destroy(skeleton);
}

/* The table of flows as small as it may be: its size is nothing that the verifier looks at. */
#define FEW 64

static void instructions_of_edge(void **state)
{
	struct sw_edge *edge = sw_edge__open();
	struct sw_edge_tc *served = sw_edge_tc__open();

	(void)state;
	assert_non_null(edge);
	assert_non_null(served);
	assert_return_code(bpf_map__set_max_entries(edge->maps.edge_flows, FEW), errno);
	assert_return_code(bpf_map__set_max_entries(edge->maps.edge_gates, FEW), errno);
	assert_return_code(bpf_map__set_max_entries(served->maps.edge_flows, FEW), errno);
	assert_return_code(bpf_map__set_max_entries(served->maps.edge_gates, FEW), errno);
	assert_return_code(sw_edge__load(edge), errno);
	assert_return_code(sw_edge_tc__load(served), errno);
	instructions_of(edge->obj);
	instructions_of(served->obj);
	sw_edge_tc__destroy(served);
	sw_edge__destroy(edge);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(instructions_of_host),
		cmocka_unit_test(instructions_of_edge),
	};

	if (!fx_usable())
		return 0;
	return cmocka_run_group_tests_name("verifier", tests, NULL, NULL);
}
