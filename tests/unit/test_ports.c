/* SPDX-License-Identifier: GPL-2.0-or-later */
/* daemon/load_ports.h: what programs are told of ports before they look at a policy. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "daemon/base.h"
#include "daemon/load_ports.h"

static struct sw_head *empty_head(void)
{
	struct sw_head *head = calloc(1, sizeof(*head));

	assert_non_null(head);
	return head;
}

static void name(__u64 *ports, uint32_t port)
{
	ports[port / 64] |= 1ull << port % 64;
}

/* As programs read it. */
static bool is_in(const __u64 *ports, uint32_t port)
{
	return ports[SW_UNASKED_BIT(port) / 64] >> SW_UNASKED_BIT(port) % 64 & 1;
}

static unsigned int n_asked(const __u64 *ports)
{
	unsigned int n = 0;

	for (uint32_t port = 0; port < 65536; port++)
		n += !is_in(ports, port);
	return n;
}

static void none_is_named(void **state)
{
	struct sw_head *head sw_autofree = empty_head();
	struct sw_unasked unasked;

	(void)state;
	sw_ports_unasked(head, &unasked);
	assert_int_equal(n_asked(unasked.to), 0);
	assert_int_equal(n_asked(unasked.from), 0);
}

/* Of either slot; of host blocks where packets go, of serve blocks where servers are. Each has 256 ports asked about,
   those that share its bit. */
static void either_slot_counts(void **state)
{
	struct sw_head *head sw_autofree = empty_head();
	struct sw_unasked unasked;

	(void)state;
	for (uint32_t port = 1; port < 65536; port += 97) {
		struct sw_policy *policy = &head->slot[port & 1], *other = &head->slot[~port & 1];

		memset(policy->guard, 0, sizeof(policy->guard));
		memset(other->guard, 0, sizeof(other->guard));
		memset(head->slot[0].serve_guard, 0, sizeof(policy->serve_guard));
		memset(head->slot[1].serve_guard, 0, sizeof(policy->serve_guard));
		name(policy->guard, port);
		name(other->serve_guard, 65535 - port);
		sw_ports_unasked(head, &unasked);
		assert_false(is_in(unasked.to, port));
		assert_false(is_in(unasked.from, 65535 - port));
		assert_int_equal(n_asked(unasked.to), 256);
		assert_int_equal(n_asked(unasked.from), 256);
	}
}

/* What mail goes to does not slow down what most machines talk to. */
static void usual_ports_do_not_meet(void **state)
{
	static const uint16_t named[] = {25, 465, 587, 2525};
	static const uint16_t others[] = {22,  53,  80,   110,  123,  143,  389,  443,  636,
					  853, 993, 3306, 5432, 6379, 8080, 8443, 9200, 11211};
	struct sw_head *head sw_autofree = empty_head();
	struct sw_unasked unasked;

	(void)state;
	for (size_t i = 0; i < sw_count(named); i++)
		name(head->slot[0].guard, named[i]);
	sw_ports_unasked(head, &unasked);
	for (size_t i = 0; i < sw_count(named); i++)
		assert_false(is_in(unasked.to, named[i]));
	for (size_t i = 0; i < sw_count(others); i++)
		assert_true(is_in(unasked.to, others[i]));
}

/* Every packet is asked about then, but for what servers of this machine have to do with it. */
static void smtp_elsewhere(void **state)
{
	struct sw_head *head sw_autofree = empty_head();
	struct sw_unasked unasked;

	(void)state;
	head->elsewhere = 1;
	name(head->slot[1].serve_guard, 25);
	sw_ports_unasked(head, &unasked);
	assert_int_equal(n_asked(unasked.to), 65536);
	assert_int_equal(n_asked(unasked.from), 256);
}

/* As ports are in a packet. */
static void edge_blocks(void **state)
{
	struct sw_head *head sw_autofree = empty_head();
	__u64 want[65536 / 64] = {};

	(void)state;
	memset(head->edge_named, 0xff, sizeof(head->edge_named));
	name(head->slot[0].edge_guard, 25);
	name(head->slot[1].edge_guard, 587);
	name(head->slot[1].guard, 465);
	name(want, 25 << 8);
	name(want, 0x4b02);
	sw_ports_edge_named(head, head->edge_named);
	assert_memory_equal(head->edge_named, want, sizeof(want));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(none_is_named),
		cmocka_unit_test(either_slot_counts),
		cmocka_unit_test(usual_ports_do_not_meet),
		cmocka_unit_test(smtp_elsewhere),
		cmocka_unit_test(edge_blocks),
	};

	return cmocka_run_group_tests_name("ports", tests, NULL, NULL);
}
