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

#include "bpf/host.skel.h"
#include "tests/prog/fixture.h"

#define MOST (1000000 / 4)

static void instructions_of_each(void **state)
{
	struct sw_host *skeleton = sw_host__open_and_load();
	struct bpf_program *program;
	unsigned int n = 0;

	(void)state;
	assert_non_null(skeleton);
	bpf_object__for_each_program(program, skeleton->obj)
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
	sw_host__destroy(skeleton);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(instructions_of_each),
	};

	if (!fx_usable())
		return 0;
	return cmocka_run_group_tests_name("verifier", tests, NULL, NULL);
}
