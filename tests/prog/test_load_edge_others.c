/* SPDX-License-Identifier: GPL-2.0-or-later */
/* load_edge.h where others have programs on an interface, take ours off, or the interface goes. */
#include <errno.h>
#include <sched.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include <bpf/libbpf.h>
#include <linux/if_link.h>

#include "tests/prog/edge_links.h"

static void assert_repaired(const char *what)
{
	bool repaired;

	sw_edge_check(le.kernel, le.interface, &le.hook, &repaired);
	assert_true(repaired);
	assert_non_null(strstr(le.hook.problem, what));
	assert_true(le.hook.xdp && le.hook.tc);
	sw_edge_check(le.kernel, le.interface, &le.hook, &repaired);
	assert_false(repaired);
	assert_string_equal(le.hook.problem, "");
	assert_true(le.hook.xdp && le.hook.tc);
}

/* A filter of somebody else at clsact, in the same priority as ours. */
static void put_other_filter(enum bpf_tc_attach_point point)
{
	int program sw_autoclose = le_other_program(BPF_PROG_TYPE_SCHED_CLS);
	LIBBPF_OPTS(bpf_tc_hook, hook, .ifindex = (int)le.interface, .attach_point = point);
	LIBBPF_OPTS(bpf_tc_opts, opts, .prog_fd = program, .handle = 1, .priority = 1);

	bpf_tc_hook_create(&hook);
	assert_int_equal(bpf_tc_attach(&hook, &opts), 0);
}

static void remove_our_filter(void)
{
	assert_int_equal(le_run("tc filter del dev %s egress pref 1 handle 0x5357 bpf", le.name),
			 0);
}

static void assert_refused_for(int program)
{
	struct bpf_prog_info info = {};
	uint32_t size = sizeof(info);
	char id[32];

	assert_int_equal(bpf_obj_get_info_by_fd(program, &info, &size), 0);
	assert_int_equal(le_attach("veth", SW_XDP_AUTO), -1);
	assert_int_equal(le.fault.status, SW_EXIT_KERNEL);
	snprintf(id, sizeof(id), "id %u,", info.id);
	assert_non_null(strstr(le.fault.text, id));
	assert_non_null(strstr(le.fault.text, "other_program"));
	assert_non_null(strstr(le.fault.text, le.name));
	assert_int_equal(le_xdp_id(le.interface), info.id);
	assert_false(le_has_qdisc(le.name));
	assert_false(le_is_pinned(le.interface));
}

static void somebody_elses_xdp(void **state)
{
	int program sw_autoclose = le_other_program(BPF_PROG_TYPE_XDP), link sw_autoclose = -1;
	int index = (int)le.interface;

	(void)state;
	le_start(LE_FLOWS);
	assert_int_equal(bpf_xdp_attach(index, program, XDP_FLAGS_SKB_MODE, NULL), 0);
	assert_refused_for(program);
	assert_int_equal(bpf_xdp_detach(index, XDP_FLAGS_SKB_MODE, NULL), 0);
	assert_int_equal(bpf_xdp_attach(index, program, XDP_FLAGS_DRV_MODE, NULL), 0);
	assert_refused_for(program);
	assert_int_equal(bpf_xdp_detach(index, XDP_FLAGS_DRV_MODE, NULL), 0);
	link = bpf_link_create(program, index, BPF_XDP, NULL);
	assert_return_code(link, errno);
	assert_refused_for(program);
	assert_int_equal(bpf_link_detach(link), 0);
	le_attach_well("veth", SW_XDP_AUTO);
}

static uint32_t filter_id(void)
{
	LIBBPF_OPTS(bpf_tc_hook, hook, .ifindex = (int)le.interface, .attach_point = BPF_TC_EGRESS);
	LIBBPF_OPTS(bpf_tc_opts, opts, .handle = 0x5357, .priority = 1);

	assert_int_equal(bpf_tc_query(&hook, &opts), 0);
	return opts.prog_id;
}

/* Programs of a run before, and then somebody else's XDP: what is left of ours stays as it was. */
static void half_of_ours(void **state)
{
	int program sw_autoclose = le_other_program(BPF_PROG_TYPE_XDP), link sw_autoclose = -1;
	uint32_t before;

	(void)state;
	le_start(LE_FLOWS);
	le_attach_well("veth", SW_XDP_AUTO);
	before = filter_id();
	le_leave();
	link = le_pinned_link();
	assert_int_equal(bpf_link_detach(link), 0);
	assert_int_equal(bpf_xdp_attach((int)le.interface, program, XDP_FLAGS_SKB_MODE, NULL), 0);
	le_start(2 * LE_FLOWS);
	assert_int_equal(le_attach("veth", SW_XDP_AUTO), -1);
	assert_int_equal(filter_id(), before);
	assert_int_equal(bpf_xdp_detach((int)le.interface, XDP_FLAGS_SKB_MODE, NULL), 0);
	le_attach_well("veth", SW_XDP_AUTO);
	assert_int_not_equal(filter_id(), before);
}

static void somebody_elses_filter(void **state)
{
	(void)state;
	le_start(LE_FLOWS);
	put_other_filter(BPF_TC_EGRESS);
	le_attach_well("veth", SW_XDP_AUTO);
	assert_true(le_has_filter(le.name, "other_program"));
	assert_int_equal(sw_edge_detach(le.kernel, le.interface), 0);
	assert_true(le_has_filter(le.name, "other_program"));
	assert_false(le_has_filter(le.name, "sw_edge_served"));
	/* At ingress it counts as well. */
	assert_int_equal(le_run("tc qdisc del dev %s clsact", le.name), 0);
	put_other_filter(BPF_TC_INGRESS);
	le_attach_well("veth", SW_XDP_AUTO);
	assert_int_equal(sw_edge_detach(le.kernel, le.interface), 0);
	assert_true(le_has_qdisc(le.name));
}

static void queue_in_the_way(void **state)
{
	(void)state;
	le_start(LE_FLOWS);
	assert_int_equal(le_run("tc qdisc add dev %s ingress", le.name), 0);
	assert_int_equal(le_attach("veth", SW_XDP_AUTO), -1);
	assert_non_null(strstr(le.fault.text, "\"ingress\""));
	assert_int_equal(le_xdp_id(le.interface), 0);
	assert_false(le_is_pinned(le.interface));
	assert_int_equal(le_run("tc qdisc del dev %s ingress", le.name), 0);
	assert_int_equal(le_run("tc qdisc add dev %s clsact", le.name), 0);
	assert_int_equal(le_run("tc filter add dev %s egress pref 1 u32 match u32 0 0", le.name),
			 0);
	assert_int_equal(le_attach("veth", SW_XDP_AUTO), -1);
	assert_non_null(strstr(le.fault.text, "priority"));
	assert_int_equal(le_xdp_id(le.interface), 0);
}

static void puts_back(void **state)
{
	int other sw_autoclose = le_other_program(BPF_PROG_TYPE_XDP);
	int link sw_autoclose = -1, newer sw_autoclose = -1;

	(void)state;
	le_start(LE_FLOWS);
	le_attach_well("veth", SW_XDP_NATIVE);
	remove_our_filter();
	assert_repaired("filter");
	assert_int_equal(le_run("tc qdisc del dev %s clsact", le.name), 0);
	assert_repaired("filter");
	link = le_pinned_link();
	assert_int_equal(bpf_link_detach(link), 0);
	assert_repaired("XDP");
	assert_true(le.hook.native);
	le_remove_pin();
	remove_our_filter();
	assert_repaired("XDP and the filter");
	assert_true(le_is_pinned(le.interface));
	newer = le_pinned_link();
	assert_return_code(newer, errno);
	assert_int_equal(bpf_link_update(newer, other, NULL), 0);
	assert_repaired("XDP");
}

static void cannot_be_put_back(void **state)
{
	int other sw_autoclose = le_other_program(BPF_PROG_TYPE_XDP), link sw_autoclose = -1;
	bool repaired;

	(void)state;
	le_start(LE_FLOWS);
	le_attach_well("veth", SW_XDP_AUTO);
	link = le_pinned_link();
	assert_int_equal(bpf_link_detach(link), 0);
	assert_int_equal(bpf_xdp_attach((int)le.interface, other, XDP_FLAGS_SKB_MODE, NULL), 0);
	sw_edge_check(le.kernel, le.interface, &le.hook, &repaired);
	assert_false(repaired);
	assert_false(le.hook.xdp);
	assert_true(le.hook.tc);
	assert_non_null(strstr(le.hook.problem, "other_program"));
}

static void interface_deleted(void **state)
{
	bool repaired;

	(void)state;
	le_start(LE_FLOWS);
	le_attach_well("veth", SW_XDP_AUTO);
	le_run("ip link del %s", le.name);
	sw_edge_check(le.kernel, le.interface, &le.hook, &repaired);
	assert_false(repaired || le.hook.xdp || le.hook.tc);
	assert_non_null(strstr(le.hook.problem, "gone"));
	assert_int_equal(sw_edge_detach(le.kernel, le.interface), 0);
	assert_false(le_is_pinned(le.interface));
	assert_int_equal(le_attach("veth", SW_XDP_AUTO), -1);
	assert_false(le_is_pinned(le.interface));
}

static void deleted_before_a_start(void **state)
{
	struct sw_interface entry = {.named = {1, 1}};
	uint32_t *interfaces sw_autofree = NULL;
	size_t n;

	(void)state;
	le_start(LE_FLOWS);
	assert_int_equal(sw_edge_set_interface(le.kernel, le.interface, &entry), 0);
	le_attach_well("veth", SW_XDP_AUTO);
	le_leave();
	le_run("ip link del %s", le.name);
	le_start(LE_FLOWS);
	assert_int_equal(sw_edge_attached(le.kernel, &interfaces, &n), 0);
	assert_int_equal(n, 0);
	assert_false(le_is_pinned(le.interface));
	assert_int_equal(sw_edge_get_interface(le.kernel, le.interface, &entry), -ENOENT);
}

/* A child in a network namespace of its own, until the descriptor is closed. */
static pid_t elsewhere(int *until)
{
	int ready[2], go[2];
	char byte;
	pid_t pid;

	assert_return_code(pipe(ready), errno);
	assert_return_code(pipe(go), errno);
	pid = fork();
	assert_return_code(pid, errno);
	if (!pid) {
		close(go[1]);
		if (unshare(CLONE_NEWNET) || write(ready[1], "", 1) != 1)
			_exit(1);
		_exit(read(go[0], &byte, 1) != 0);
	}
	close(ready[1]);
	close(go[0]);
	assert_int_equal(read(ready[0], &byte, 1), 1);
	close(ready[0]);
	*until = go[1];
	return pid;
}

/* It keeps its XDP and its number there, loses its filters, and is none of ours any more. */
static void moved_away(void **state)
{
	int link sw_autoclose = -1, until, status;
	struct bpf_link_info info = {};
	uint32_t size = sizeof(info);
	pid_t pid = elsewhere(&until);

	(void)state;
	le_start(LE_FLOWS);
	le_attach_well("veth", SW_XDP_AUTO);
	link = le_pinned_link();
	assert_int_equal(le_run("ip link set %s netns %d", le.name, pid), 0);
	assert_int_equal(bpf_obj_get_info_by_fd(link, &info, &size), 0);
	assert_int_not_equal(info.xdp.ifindex, 0);
	assert_int_equal(le_run("ip link add %s index %u type bridge", le.name, le.interface), 0);
	le_attach_well("bridge", SW_XDP_AUTO);
	assert_int_not_equal(le.hook.link_id, info.id);
	assert_int_equal(sw_edge_detach(le.kernel, le.interface), 0);
	le_assert_bare();
	close(until);
	assert_int_equal(waitpid(pid, &status, 0), pid);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		LE_TEST(somebody_elses_xdp),
		LE_TEST(half_of_ours),
		LE_TEST(somebody_elses_filter),
		LE_TEST(queue_in_the_way),
		LE_TEST(puts_back),
		LE_TEST(cannot_be_put_back),
		LE_TEST(interface_deleted),
		LE_TEST(deleted_before_a_start),
		LE_TEST(moved_away),
	};

	if (!fx_usable())
		return 0;
	le_up();
	return cmocka_run_group_tests_name("load edge, others", tests, NULL, le_down);
}
