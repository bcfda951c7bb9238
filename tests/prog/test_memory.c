/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Memory that decisions share: the scratches of a CPU, and the places of connections in `flows`. */
#include <errno.h>
#include <sched.h>
#include <string.h>

#include <bpf/bpf.h>
#include <bpf/libbpf.h>

#include "bpf/host.skel.h"
#include "tests/prog/internal.h"
#include "tests/prog/talk.h"

#define PORT 25
#define SETS (SW_FLOWS_MAX / SW_FLOW_WAYS)

/* ---- scratches ---- */

/* The first `n` of each CPU are taken, as by decisions that are in their middle; the others are free. */
static void take(uint32_t n)
{
	struct bpf_map *map = fx.skel->maps.scratches;
	size_t size = (bpf_map__value_size(map) + 7) / 8 * 8, cpus = libbpf_num_possible_cpus();
	uint8_t *values sw_autofree = calloc(cpus, size);
	const uint32_t busy = 1;

	assert_non_null(values);
	for (uint32_t i = 0; i < bpf_map__max_entries(map); i++) {
		for (size_t cpu = 0; cpu < cpus; cpu++)
			memcpy(values + cpu * size, i < n ? &busy : (const uint32_t *)values + 1,
			       sizeof(busy));
		if (bpf_map_update_elem(bpf_map__fd(map), &i, values, BPF_ANY))
			fx_fail("scratches");
	}
}

static void one_is_free(void **state)
{
	(void)state;
	fx_simple(PORT, SW_ACTION_ALLOW, 0);
	fx_apply();
	take(bpf_map__max_entries(fx.skel->maps.scratches) - 1);
	assert_int_equal(fx_try("127.0.0.1", PORT), 0);
	take(0);
	assert_int_equal(fx_events(), 0);
}

static void none_is_free(void **state)
{
	const struct sw_event *event;

	(void)state;
	fx_simple(PORT, SW_ACTION_ALLOW, 0);
	fx_apply();
	take(bpf_map__max_entries(fx.skel->maps.scratches));
	assert_int_equal(fx_try("127.0.0.1", PORT), -EACCES);
	take(0);
	event = fx_one_event();
	assert_int_equal(event->verdict, SW_VERDICT_REJECT);
	assert_int_equal(event->reason, SW_REASON_TABLE_FULL);
	assert_int_equal(event->rule, SW_RULE_NONE);
	assert_string_equal(event->caller.exe, "");
	assert_int_equal(fx_try("127.0.0.1", PORT), 0);
}

static void none_is_free_and_nothing_enforced(void **state)
{
	(void)state;
	fx_simple(PORT, SW_ACTION_REJECT, SW_RULE_AUDIT);
	fx_apply();
	take(bpf_map__max_entries(fx.skel->maps.scratches));
	assert_int_equal(fx_try("127.0.0.1", PORT), 0);
	take(0);
	assert_true(fx_events() >= 1);
	assert_int_equal(fx_event(0)->verdict, SW_VERDICT_AUDIT);
	assert_int_equal(fx_event(0)->reason, SW_REASON_TABLE_FULL);
}

/* ---- places ---- */

static uint32_t place(uint64_t cookie, uint32_t way)
{
	return cookie % SETS * SW_FLOW_WAYS + way;
}

static void put(uint32_t at, uint64_t cookie, uint64_t changed_ns, uint64_t ended_ns)
{
	struct sw_flow flow = {.cookie = cookie, .changed_ns = changed_ns, .ended_ns = ended_ns};

	if (bpf_map_update_elem(bpf_map__fd(fx.skel->maps.flows), &at, &flow, BPF_F_LOCK))
		fx_fail("flows");
}

static uint64_t there(uint32_t at)
{
	struct sw_flow flow;

	if (bpf_map_lookup_elem_flags(bpf_map__fd(fx.skel->maps.flows), &at, &flow, BPF_F_LOCK))
		fx_fail("flows");
	return flow.cookie;
}

/* The places of a socket's set are taken by others, whose last change and end are these. Where does its connection go? */
static uint32_t goes_to(const uint64_t changed_ns[SW_FLOW_WAYS],
			const uint64_t ended_ns[SW_FLOW_WAYS])
{
	int fd sw_autoclose = fx_socket("127.0.0.1", SOCK_STREAM, 0);
	uint64_t cookie = fx_cookie(fd);
	uint32_t found = SW_FLOW_WAYS;

	for (uint32_t way = 0; way < SW_FLOW_WAYS; way++)
		put(place(cookie, way), cookie + (way + 1) * SETS, changed_ns[way], ended_ns[way]);
	assert_int_equal(fx_connect(fd, "127.0.0.1", PORT), 0);
	for (uint32_t way = 0; way < SW_FLOW_WAYS; way++) {
		if (there(place(cookie, way)) != cookie)
			continue;
		assert_int_equal(found, SW_FLOW_WAYS);
		found = way;
	}
	return found;
}

static void places(void **state)
{
	static const uint64_t never[SW_FLOW_WAYS];

	(void)state;
	fx_simple(PORT, SW_ACTION_ALLOW, 0);
	fx_apply();
	for (uint32_t way = 0; way < SW_FLOW_WAYS; way++) {
		uint64_t times[SW_FLOW_WAYS] = {4, 3, 5, 6}, one[SW_FLOW_WAYS] = {};
		uint32_t next = (way + 1) % SW_FLOW_WAYS;

		times[way] = 2;
		one[next] = 7;
		assert_int_equal(goes_to(times, never), way);
		assert_int_equal(goes_to(times, one), next);
		assert_int_equal(goes_to(never, times), way);
	}
}

/* Connections of tests before this one may end meanwhile. */
static int has_ended(uint64_t cookie)
{
	size_t n;

	fx_events();
	n = fx_sessions();
	for (size_t i = 0; i < n; i++)
		if (fx_session(i)->cookie == cookie)
			return 1;
	return 0;
}

/* Whose place was taken writes no more. */
static void taken_place(void **state)
{
	struct fx_talk talk sw_autotalk = {-1, -1, -1, 0};
	struct sw_flow flow;
	uint32_t at;

	(void)state;
	fx_gate_policy(SW_ACTION_ALLOW, 0);
	talk = fx_talk_open("127.0.0.1", 0);
	flow = fx_flow_of(&talk);
	at = flow.element - 1;
	assert_int_equal(at / SW_FLOW_WAYS, talk.cookie % SETS);
	put(at, talk.cookie + SETS, 1, 0);
	shutdown(talk.client, SHUT_WR);
	shutdown(talk.server, SHUT_WR);
	while (!has_ended(talk.cookie))
		sched_yield();
	assert_int_equal(there(at), talk.cookie + SETS);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(one_is_free, fx_reset),
		cmocka_unit_test_setup(none_is_free, fx_reset),
		cmocka_unit_test_setup(none_is_free_and_nothing_enforced, fx_reset),
		cmocka_unit_test_setup(places, fx_reset),
		cmocka_unit_test_setup(taken_place, fx_reset),
	};

	if (!fx_usable())
		return 0;
	fx_up(NULL);
	fx_listen(PORT);
	return cmocka_run_group_tests_name("memory", tests, NULL, fx_down);
}
