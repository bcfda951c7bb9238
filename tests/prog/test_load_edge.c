/* SPDX-License-Identifier: GPL-2.0-or-later */
/* load_edge.h with the real programs: attaching, going on after a restart, taking off, maps. Others on the same
   interface: test_load_edge_others.c. */
#include <errno.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <bpf/libbpf.h>

#include "bpf/edge_match.h"
#include "daemon/privileges.h"
#include "tests/prog/edge_links.h"

/* ---- attaching ---- */

static void modes(void **state)
{
	(void)state;
	le_start(LE_FLOWS);
	le_attach_well("veth", SW_XDP_NATIVE);
	assert_true(le.hook.native);
	assert_true(le_is_pinned(le.interface));
	assert_true(le_has_filter(le.name, "sw_edge_served"));
	assert_int_equal(sw_edge_detach(le.kernel, le.interface), 0);
	le_assert_bare();
	le_attach_well("veth", SW_XDP_GENERIC);
	assert_false(le.hook.native);
	assert_int_equal(sw_edge_detach(le.kernel, le.interface), 0);
	/* Native answers of a veth would be lost. */
	le_attach_well("veth", SW_XDP_AUTO);
	assert_false(le.hook.native);
	assert_int_equal(sw_edge_detach(le.kernel, le.interface), 0);
	le_attach_well("", SW_XDP_AUTO);
	assert_true(le.hook.native);
	/* As it was attached, until it is taken off. */
	assert_int_equal(le_attach("veth", SW_XDP_GENERIC), 0);
	assert_true(le.hook.native && le.hook.xdp && le.hook.tc);
	assert_string_not_equal(le.hook.problem, "");
	assert_int_equal(sw_edge_detach(le.kernel, le.interface), 0);
	le_assert_bare();
	assert_int_equal(sw_edge_detach(le.kernel, le.interface), 0);
}

static void driver_without_native(void **state)
{
	(void)state;
	le_start(LE_FLOWS);
	le_run("ip link del %s", le.name);
	assert_int_equal(le_run("ip link add %s type bridge", le.name), 0);
	le.interface = if_nametoindex(le.name);
	le_attach_well("bridge", SW_XDP_AUTO);
	assert_false(le.hook.native);
	assert_int_equal(sw_edge_detach(le.kernel, le.interface), 0);
	assert_int_equal(le_attach("bridge", SW_XDP_NATIVE), -1);
	assert_non_null(strstr(le.fault.text, le.name));
	assert_non_null(strstr(le.fault.text, "--xdp auto"));
	le_assert_bare();
}

static void goes_on(void **state)
{
	struct sw_interface entry = {.named = {1, 0}, .keep_until_ns = {77, 0}}, found;
	struct sw_edge_hook before;
	uint32_t *interfaces sw_autofree = NULL;
	uint8_t secret[2][sizeof(struct sw_edge_secret)] = {};
	int fd sw_autoclose = -1, again sw_autoclose = -1;
	size_t n;

	(void)state;
	le_start(LE_FLOWS);
	assert_int_equal(sw_edge_set_interface(le.kernel, le.interface, &entry), 0);
	le_attach_well("veth", SW_XDP_AUTO);
	before = le.hook;
	fd = le_pinned("edge_secret");
	assert_int_equal(bpf_map_lookup_elem(fd, &(uint32_t){0}, secret[0]), 0);
	assert_memory_not_equal(secret[0], secret[1], sizeof(secret[0]));
	le_leave();
	/* As after kill -9: what is pinned is in force. */
	assert_int_equal(le_xdp_id(le.interface), before.program_id);
	le_start(LE_FLOWS);
	assert_false(le.replaced);
	assert_int_equal(sw_edge_attached(le.kernel, &interfaces, &n), 0);
	assert_int_equal(n, 1);
	assert_int_equal(interfaces[0], le.interface);
	le_attach_well("veth", SW_XDP_AUTO);
	assert_memory_equal(&before, &le.hook, sizeof(before));
	assert_int_equal(sw_edge_get_interface(le.kernel, le.interface, &found), 0);
	assert_memory_equal(&entry, &found, sizeof(entry));
	again = le_pinned("edge_secret");
	assert_int_equal(bpf_map_lookup_elem(again, &(uint32_t){0}, secret[1]), 0);
	assert_memory_equal(secret[0], secret[1], sizeof(secret[0]));
	assert_int_equal(sw_edge_remove_interface(le.kernel, le.interface), 0);
	assert_int_equal(sw_edge_get_interface(le.kernel, le.interface, &found), -ENOENT);
}

/* Constants of the programs change with it, so the programs do. */
static void another_size(void **state)
{
	struct sw_edge_hook before;
	struct sw_edge_room room;

	(void)state;
	le_start(LE_FLOWS);
	le_attach_well("veth", SW_XDP_AUTO);
	before = le.hook;
	le_leave();
	le_start(2 * LE_FLOWS + 1);
	assert_true(le.replaced);
	sw_edge_room(le.kernel, &room);
	assert_int_equal(room.flows, 2 * LE_FLOWS + SW_EDGE_WAYS);
	assert_int_equal(room.gates, 64);
	assert_int_equal(room.gates_used, 0);
	assert_int_equal(room.sources, SW_EDGE_SOURCES);
	le_attach_well("veth", SW_XDP_AUTO);
	assert_int_equal(le.hook.link_id, before.link_id);
	assert_int_not_equal(le.hook.program_id, before.program_id);
	le_leave();
	le_start(2 * LE_FLOWS + 1);
	assert_false(le.replaced);
}

/* ---- taking off ---- */

static void takes_everything_off(void **state)
{
	bool found;

	(void)state;
	le_start(LE_FLOWS);
	le_attach_well("veth", SW_XDP_AUTO);
	assert_int_equal(sw_kernel_detach(le.kernel, &le.fault), 0);
	le_assert_bare();
	assert_int_equal(access(le_pin_dir, F_OK), -1);
	le_leave();
	assert_return_code(mkdir(le_pin_dir, 0700), errno);
	le_start(LE_FLOWS);
	le_attach_well("veth", SW_XDP_AUTO);
	le_leave();
	assert_int_equal(sw_pins_detach(le_pin_dir, &found, &le.fault), 0);
	assert_true(found);
	le_assert_bare();
	assert_int_equal(access(le_pin_dir, F_OK), -1);
	assert_return_code(mkdir(le_pin_dir, 0700), errno);
	/* The filter too, where the pin that tells of it is gone. */
	le_start(LE_FLOWS);
	le_attach_well("veth", SW_XDP_AUTO);
	le_remove_pin();
	assert_true(le_has_filter(le.name, "sw_edge_served"));
	assert_int_equal(sw_kernel_detach(le.kernel, &le.fault), 0);
	le_assert_bare();
	assert_return_code(mkdir(le_pin_dir, 0700), errno);
}

/* What a name must not be. */
static void strange_pins(void **state)
{
	static const char *const names[] = {"link_xdp_", "link_xdp_01", "link_xdp_1x"};
	char path[160];
	int fd sw_autoclose = -1;

	(void)state;
	le_start(LE_FLOWS);
	le_attach_well("veth", SW_XDP_AUTO);
	le_leave();
	fd = le_pinned_link();
	for (size_t i = 0; i < sw_count(names); i++) {
		snprintf(path, sizeof(path), "%s/%s", le_pin_dir, names[i]);
		assert_return_code(bpf_obj_pin(fd, path), errno);
		assert_int_equal(sw_kernel_open(le_pin_dir, fx_cgroup_fd(), &le.kernel, &le.fault),
				 -1);
		assert_non_null(strstr(le.fault.text, names[i]));
		assert_return_code(unlink(path), errno);
	}
}

/* ---- maps ---- */

static void answers_and_flows(void **state)
{
	struct sw_image *image sw_autofree = calloc(1, sizeof(*image));
	struct sw_edge_flow *flows sw_autofree = NULL, flow = {.state = SW_EDGE_TLS, .used = 1};
	struct sw_edge_source *sources sw_autofree = NULL, source = {};
	int flows_fd sw_autoclose = -1, sources_fd sw_autoclose = -1, fd sw_autoclose = -1;
	struct sw_answer_line line;
	size_t n, left_out;

	(void)state;
	le_start(LE_FLOWS);
	image->answers[3].length = 9;
	assert_true(sw_kernel_fill(le.kernel, image, "test", &le.fault) >= 0);
	fd = le_pinned("answers");
	assert_int_equal(bpf_map_lookup_elem(fd, &(uint32_t){SW_RULES_MAX + 3}, &line), 0);
	assert_int_equal(line.length, 9);
	flows_fd = le_pinned("edge_flows");
	for (uint32_t key = LE_FLOWS - 5; key < LE_FLOWS; key++) {
		flow.src_port = (uint16_t)key;
		assert_int_equal(bpf_map_update_elem(flows_fd, &key, &flow, BPF_F_LOCK), 0);
	}
	assert_int_equal(sw_edge_flows(le.kernel, 3, &flows, &n, &left_out), 0);
	assert_int_equal(n, 3);
	assert_int_equal(left_out, 2);
	assert_int_equal(flows[0].state, SW_EDGE_TLS);
	assert_int_equal(flows[0].src_port, LE_FLOWS - 5);
	assert_int_equal(flows[0].lock, 0);
	sources_fd = le_pinned("edge_sources");
	for (uint32_t key = 0; key < 3; key++) {
		source.refused = key == 1 ? 100 : 7 + key;
		assert_int_equal(
			bpf_map_update_elem(sources_fd, &(uint32_t){key * 5000}, &source, 0), 0);
	}
	assert_int_equal(sw_edge_sources(le.kernel, 2, &sources, &n), 0);
	assert_int_equal(n, 2);
	assert_int_equal(sources[0].refused, 100);
	assert_int_equal(sources[1].refused, 9);
}

/* What programs remember, as if they had counted: two SYNs of one source on the first CPU, and on the last what is left
   of another policy. */
static void remember(uint64_t generation)
{
	int cpus = libbpf_num_possible_cpus(), fd sw_autoclose = le_pinned("remembered");
	struct sw_edge_recents *recents sw_autofree = calloc((size_t)cpus, sizeof(*recents));
	struct sw_edge_recent *first = recents[0].of, *last = recents[cpus - 1].of;

	first[3] = (struct sw_edge_recent){.src = {1, 2},
					   .interface = 5,
					   .second = 9,
					   .refused = 10,
					   .resets = 4,
					   .settled = 7,
					   .hit = SW_RULES_MAX + 1,
					   .hit_generation = generation,
					   .hit_settled = 6};
	last[SW_EDGE_RECENT - 1] = (struct sw_edge_recent){
		.refused = 1, .hit = SW_RULES_MAX + 1, .hit_generation = generation - 1};
	assert_int_equal(bpf_map_update_elem(fd, &(uint32_t){0}, recents, 0), 0);
}

static void counted_on_the_short_way(void **state)
{
	struct sw_edge_source *sources sw_autofree = NULL, source = {.interface = 5,
								     .refused = 100,
								     .second = 9,
								     .now = 2};
	struct sw_image *image sw_autofree = calloc(1, sizeof(*image));
	uint64_t counters[SW_COUNT_MAX] = {}, hits[SW_RULES_MAX] = {}, src[2] = {1, 2};
	int fd sw_autoclose = -1;
	size_t n;

	(void)state;
	le_start(LE_FLOWS);
	assert_true(sw_kernel_fill(le.kernel, image, "test", &le.fault) >= 0);
	remember(sw_kernel_head(le.kernel)->slot[1].generation);
	assert_int_equal(sw_kernel_counters(le.kernel, counters), 0);
	assert_int_equal(counters[SW_COUNT_EDGE_CONNECT], 11);
	assert_int_equal(counters[SW_COUNT_EDGE_REFUSED], 11);
	assert_int_equal(counters[SW_COUNT_EDGE_DROPPED], 11);
	assert_int_equal(counters[SW_COUNT_SUPPRESSED], 11);
	assert_int_equal(counters[SW_COUNT_EDGE_RESETS], 4);
	assert_int_equal(sw_kernel_hits(le.kernel, 1, 3, hits), 0);
	assert_int_equal(hits[0] + hits[2], 0);
	assert_int_equal(hits[1], 4);
	assert_int_equal(sw_kernel_hits(le.kernel, 0, 3, hits), 0);
	assert_int_equal(hits[0] + hits[1] + hits[2], 0);
	fd = le_pinned("edge_sources");
	memcpy(source.addr, src, sizeof(src));
	assert_int_equal(bpf_map_update_elem(fd, &(uint32_t){77}, &source, 0), 0);
	assert_int_equal(sw_edge_sources(le.kernel, 2, &sources, &n), 0);
	assert_int_equal(n, 1);
	assert_int_equal(sources[0].refused, 103);
	assert_int_equal(sources[0].now, 5);
	assert_int_equal(sources[0].suppressed, 3);
}

/* Whatever a decision rests on: the word that programs compare is another one then. */
static void changes_are_counted(void **state)
{
	struct sw_image *image sw_autofree = calloc(1, sizeof(*image));
	const struct sw_head *head;
	struct sw_interface entry = {};
	uint32_t before;

	(void)state;
	le_start(LE_FLOWS);
	head = sw_kernel_head(le.kernel);
	image->policy.edge_guard[587 / 64] = 1ull << 587 % 64;
	before = head->active;
	assert_true(sw_kernel_fill(le.kernel, image, "test", &le.fault) >= 0);
	assert_int_equal(head->active, before + 2);
	/* As the port is in a packet. */
	assert_int_equal(head->edge_named[0x4b02 / 64], 1ull << 0x4b02 % 64);
	assert_int_equal(sw_kernel_switch(le.kernel, &le.fault), 0);
	assert_int_equal(head->active, (before + 2) ^ 1);
	before = head->active;
	memset(image->policy.edge_guard, 0, sizeof(image->policy.edge_guard));
	assert_true(sw_kernel_fill(le.kernel, image, "test", &le.fault) >= 0);
	assert_int_equal(head->edge_named[0x4b02 / 64], 1ull << 0x4b02 % 64);
	assert_int_equal(sw_edge_set_interface(le.kernel, le.interface, &entry), 0);
	assert_int_equal(head->active, before + 4);
	assert_int_equal(sw_edge_remove_interface(le.kernel, le.interface), 0);
	assert_int_equal(head->active, before + 6);
}

/* What the policy's lists of sources hold comes to the program with the policy, marked as its own. */
static void lists_of_sources(void **state)
{
	struct sw_prefix_key prefix = {.bits = 128 | SW_PREFIX_FROM,
				       .addr = {[10] = 0xff, 0xff, 192, 0, 2, 1}};
	__u32 class = 0;
	struct sw_edge_listed *listed sw_autofree = calloc(1, sizeof(*listed));
	struct sw_image *image sw_autofree = calloc(1, sizeof(*image));
	int fd sw_autoclose = -1;

	(void)state;
	le_start(LE_FLOWS);
	image->prefixes = &prefix;
	image->prefix_classes = &class;
	image->n_prefixes = 1;
	assert_true(sw_kernel_fill(le.kernel, image, "test", &le.fault) >= 0);
	fd = le_pinned("edge_listed");
	assert_int_equal(bpf_map_lookup_elem(fd, &(uint32_t){1}, listed), 0);
	assert_int_equal(listed->generation, sw_kernel_head(le.kernel)->slot[1].generation);
	assert_true(sw_edge_may_be_listed(listed, 0xc0000263));
	assert_false(sw_edge_may_be_listed(listed, 0xc0000363));
}

/* Most entries of a table that was full once are of connections that have ended; those are not what is asked for. */
static void live_flows_first(void **state)
{
	struct sw_edge_flow *flows sw_autofree = NULL, flow = {.state = SW_EDGE_TLS};
	int fd sw_autoclose = -1;
	size_t n, left_out;

	(void)state;
	le_start(LE_FLOWS);
	fd = le_pinned("edge_flows");
	for (uint32_t key = 0; key < LE_FLOWS; key++) {
		flow.ended = key % 16 != 15;
		flow.opened_s = 1000 + key;
		assert_int_equal(bpf_map_update_elem(fd, &key, &flow, BPF_F_LOCK), 0);
	}
	assert_int_equal(sw_edge_flows(le.kernel, 3, &flows, &n, &left_out), 0);
	assert_int_equal(n, 3);
	assert_int_equal(left_out, LE_FLOWS - 3);
	for (uint32_t i = 0; i < 3; i++) {
		assert_int_equal(flows[i].ended, 0);
		assert_int_equal(flows[i].opened_s, 1000 + LE_FLOWS - 1 - i * 16);
	}
}

/* Counters go on when the table is another one, and need not fit what is in it. */
static void flows_in_use(void **state)
{
	struct sw_edge_flow flow = {.state = SW_EDGE_TLS};
	struct sw_edge_room room;

	(void)state;
	le_start(LE_FLOWS);
	sw_edge_room(le.kernel, &room);
	assert_int_equal(room.flows_used, 0);
	for (uint32_t key = 0; key < 7; key++) {
		int fd sw_autoclose = le_pinned("edge_flows");

		flow.ended = key > 4;
		assert_int_equal(bpf_map_update_elem(fd, &key, &flow, BPF_F_LOCK), 0);
	}
	sw_edge_compare(le.kernel);
	sw_edge_room(le.kernel, &room);
	assert_int_equal(room.flows_used, 5);
	le_leave();
	le_start(LE_FLOWS);
	sw_edge_room(le.kernel, &room);
	assert_int_equal(room.flows_used, 5);
	le_leave();
	le_start(2 * LE_FLOWS);
	assert_true(le.replaced);
	sw_edge_room(le.kernel, &room);
	assert_int_equal(room.flows_used, 0);
}

/* A start that pinned another table and programs, and ended before it could put them in place. */
static void broken_off(void **state)
{
	(void)state;
	le_start(LE_FLOWS);
	le_attach_well("veth", SW_XDP_AUTO);
	le_leave();
	le_start(2 * LE_FLOWS);
	assert_true(le.replaced);
	le_leave();
	le_start(2 * LE_FLOWS);
	assert_true(le.replaced);
	le_attach_well("veth", SW_XDP_AUTO);
	le_leave();
	le_start(2 * LE_FLOWS);
	assert_false(le.replaced);
}

static void released(void **state)
{
	(void)state;
	le_start(LE_FLOWS);
	le_attach_well("veth", SW_XDP_AUTO);
	assert_false(sw_edge_release(le.kernel));
	assert_true(sw_edge_is_open(le.kernel));
	assert_int_equal(sw_edge_detach(le.kernel, le.interface), 0);
	assert_true(sw_edge_release(le.kernel));
	assert_false(sw_edge_is_open(le.kernel));
	le_assert_bare();
	le_leave();
	le_start(LE_FLOWS);
	assert_false(le.replaced);
	le_attach_well("veth", SW_XDP_AUTO);
}

/* A mode other than the one that was asked for is told as long as it lasts. */
static void another_mode(void **state)
{
	bool repaired;

	(void)state;
	le_start(LE_FLOWS);
	le_attach_well("veth", SW_XDP_AUTO);
	assert_false(le.hook.native);
	le_leave();
	le_start(LE_FLOWS);
	assert_int_equal(le_attach("veth", SW_XDP_NATIVE), 0);
	sw_edge_check(le.kernel, le.interface, &le.hook, &repaired);
	assert_false(repaired);
	assert_non_null(strstr(le.hook.problem, "generic"));
}

/* ---- privileges ---- */

/* As the daemon does it: opened as root, the rest with what it keeps. Returns the step that failed. */
static int with_few_privileges(void *data)
{
	struct sw_fault fault = {};
	struct sw_edge_hook hook;
	bool replaced, repaired;

	(void)data;
	if (sw_privileges_drop(&fault) < 0)
		return 1;
	if (sw_edge_open(le.kernel, LE_FLOWS, &replaced, &fault) < 0)
		return 2;
	if (sw_kernel_attach(le.kernel, &fault) < 0)
		return 3;
	if (sw_edge_attach(le.kernel, le.interface, le.name, "veth", SW_XDP_AUTO, &hook, &fault) <
	    0)
		return 4;
	sw_edge_check(le.kernel, le.interface, &hook, &repaired);
	if (!hook.xdp || !hook.tc || repaired)
		return 5;
	if (sw_edge_detach(le.kernel, le.interface) < 0)
		return 6;
	if (sw_kernel_detach(le.kernel, &fault) < 0)
		return 7;
	return 0;
}

static void few_privileges(void **state)
{
	(void)state;
	assert_int_equal(sw_kernel_open(le_pin_dir, fx_cgroup_fd(), &le.kernel, &le.fault), 0);
	assert_int_equal(sw_kernel_loaded(le.kernel, &le.fault), 0);
	assert_int_equal(fx_child(with_few_privileges, NULL), 0);
	le_assert_bare();
	assert_return_code(mkdir(le_pin_dir, 0700), errno);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		LE_TEST(modes),
		LE_TEST(driver_without_native),
		LE_TEST(goes_on),
		LE_TEST(another_size),
		LE_TEST(takes_everything_off),
		LE_TEST(strange_pins),
		LE_TEST(answers_and_flows),
		LE_TEST(counted_on_the_short_way),
		LE_TEST(changes_are_counted),
		LE_TEST(lists_of_sources),
		LE_TEST(live_flows_first),
		LE_TEST(flows_in_use),
		LE_TEST(broken_off),
		LE_TEST(released),
		LE_TEST(another_mode),
		LE_TEST(few_privileges),
	};

	if (!fx_usable())
		return 0;
	le_up();
	return cmocka_run_group_tests_name("load edge", tests, NULL, le_down);
}
