/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What is known of a source's net decides as a search through all lengths of prefixes does: random lists, and sources
 * at their edges, under a policy that the bits and leaves are of and then under one that they are not of. SW_SEED says
 * which.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <bpf/bpf.h>
#include <netinet/tcp.h>

#include "daemon/base.h"
#include "daemon/load_edge.h"
#include "tests/prog/edge_fixture.h"

#define ROUNDS 30
#define RULES 8
#define PREFIXES 40
#define SOURCES 400

static struct {
	struct sw_prefix_key keys[PREFIXES + 1];
	uint32_t classes[PREFIXES + 1];
	size_t n;
} list;

static int by_address(const void *a, const void *b)
{
	const struct sw_prefix_key *one = a, *other = b;
	int order = memcmp(one->addr, other->addr, sizeof(one->addr));

	return order ? order : (int)one->bits - (int)other->bits;
}

/* The prefixes that the fixture has put into the slot. */
static int inner_map(void)
{
	uint32_t slot = 0, id;
	int fd;

	assert_return_code(bpf_map_lookup_elem(ex_map("prefixes"), &slot, &id), errno);
	fd = bpf_map_get_fd_by_id(id);
	assert_return_code(fd, errno);
	return fd;
}

static void read_list(void)
{
	struct sw_prefix_key key, *last = NULL;
	int fd sw_autoclose = inner_map();

	for (list.n = 0; bpf_map_get_next_key(fd, last, &key) == 0; list.n++) {
		assert_true(list.n < sw_count(list.keys));
		list.keys[list.n] = key;
		last = &list.keys[list.n];
	}
	qsort(list.keys, list.n, sizeof(*list.keys), by_address);
	for (size_t i = 0; i < list.n; i++)
		assert_return_code(bpf_map_lookup_elem(fd, &list.keys[i], &list.classes[i]), errno);
}

static void put_listed(uint64_t generation)
{
	struct sw_edge_prefixes prefixes = {list.keys, list.classes, list.n};

	assert_int_equal(sw_edge_put_listed(ex_map("edge_listed"), ex_map("edge_leaves"), 0,
					    generation, &prefixes),
			 0);
}

static void write_address(char text[INET_ADDRSTRLEN], uint32_t addr)
{
	addr = htonl(addr);
	inet_ntop(AF_INET, &addr, text, INET_ADDRSTRLEN);
}

static uint32_t any(void)
{
	return (uint32_t)rand() << 16 ^ (uint32_t)rand();
}

/* Near to each other, so that they lie in each other. */
static uint32_t any_near(void)
{
	return 0x0a000000 | (any() & 0x3ffff);
}

static void make_policy(void)
{
	uint16_t rules[RULES];
	char text[64];

	ex_begin(0);
	for (size_t i = 0; i < RULES; i++)
		rules[i] = ex_rule(i & 1 ? SW_ACTION_ALLOW : SW_ACTION_DROP, 0);
	for (size_t i = 0; i < PREFIXES; i++) {
		/* Each length is there, and most are about as long as a net. */
		uint32_t bits = i ? 14 + (uint32_t)rand() % 19 : (uint32_t)rand() % 14;

		write_address(text, any_near() & (bits ? ~0u << (32 - bits) : 0));
		sprintf(text + strlen(text), "/%u", bits);
		ex_row(rules[(unsigned int)rand() % RULES],
		       (struct ex_row){.port = 25, .from = text});
	}
	ex_row(rules[1], (struct ex_row){.port = 25});
	ex_row(rules[0], (struct ex_row){.port = 25, .from = "2001:db8::/32"});
	read_list();
}

static uint32_t source(size_t i)
{
	uint32_t first, last, bits;

	if (i / 4 >= list.n || list.keys[i / 4].addr[10] != 0xff)
		return any_near();
	memcpy(&first, list.keys[i / 4].addr + 12, sizeof(first));
	first = ntohl(first);
	bits = (list.keys[i / 4].bits & 0xff) - 96;
	last = bits ? first | (uint32_t)(~0ull >> 32 >> bits) : ~0u;
	return i % 4 == 0 ? first : i % 4 == 1 ? last : i % 4 == 2 ? first - 1 : last + 1;
}

static void as_a_search_decides(void **state)
{
	const char *text = getenv("SW_SEED");
	unsigned int seed = text && *text ? (unsigned int)strtoul(text, NULL, 0) : 20261130;
	static uint32_t sources[SOURCES], verdicts[SOURCES];
	char from[INET_ADDRSTRLEN];
	size_t dropped = 0;

	(void)state;
	print_message("# SW_SEED=%u\n", seed);
	srand(seed);
	for (size_t round = 0; round < ROUNDS; round++) {
		make_policy();
		put_listed(ex_apply());
		for (size_t pass = 0; pass < 2; pass++) {
			for (size_t i = 0; i < SOURCES; i++) {
				uint32_t verdict;

				if (!pass)
					sources[i] = source(i);
				write_address(from, sources[i]);
				verdict = ex_send(
					(struct ex_segment){.from = from, .flags = TH_SYN}, NULL);
				if (!pass)
					verdicts[i] = verdict;
				else if (verdict != verdicts[i])
					fail_msg("round %zu: %s: %u, a search says %u", round, from,
						 verdicts[i], verdict);
				dropped += verdict == XDP_DROP;
			}
			ex_events();
			ex_apply();
		}
	}
	assert_in_range(dropped, ROUNDS * SOURCES / 4, ROUNDS * SOURCES * 2 - ROUNDS * SOURCES / 4);
}

/* And does without one: the prefixes are not in the map that would be searched. */
static void leaves_alone_decide(void **state)
{
	static const struct {
		const char *from;
		uint32_t verdict;
	} cases[] = {
		{"192.0.2.1", XDP_DROP},    {"192.0.3.255", XDP_DROP},  {"192.0.4.0", XDP_PASS},
		{"198.51.100.7", XDP_DROP}, {"198.51.101.7", XDP_PASS}, {"203.0.113.9", XDP_PASS},
	};
	int fd sw_autoclose = -1;

	(void)state;
	ex_begin(0);
	ex_row(ex_rule(SW_ACTION_DROP, 0), (struct ex_row){.port = 25, .from = "192.0.2.0/23"});
	ex_row(0, (struct ex_row){.port = 25, .from = "198.51.100.0/24"});
	ex_row(0,
	       (struct ex_row){.port = 25, .from = "203.0.113.9/32"}); /* has no leaf of its own */
	ex_row(ex_rule(SW_ACTION_ALLOW, 0), (struct ex_row){.port = 25});
	read_list();
	put_listed(ex_apply());
	fd = inner_map();
	for (size_t i = 0; i < list.n; i++)
		assert_return_code(bpf_map_delete_elem(fd, &list.keys[i]), errno);
	for (size_t i = 0; i < sw_count(cases); i++)
		assert_int_equal(
			ex_send((struct ex_segment){.from = cases[i].from, .flags = TH_SYN}, NULL),
			cases[i].verdict);
}

/* More nets than leaves are made of: all lengths are searched. */
static void a_list_of_everything(void **state)
{
	(void)state;
	ex_begin(0);
	ex_row(ex_rule(SW_ACTION_DROP, 0), (struct ex_row){.port = 25, .from = "0.0.0.0/0"});
	ex_row(ex_rule(SW_ACTION_ALLOW, 0), (struct ex_row){.port = 25, .from = "192.0.2.1/32"});
	ex_row(0, (struct ex_row){.port = 25});
	read_list();
	put_listed(ex_apply());
	assert_int_equal(ex_send((struct ex_segment){.from = "192.0.2.1", .flags = TH_SYN}, NULL),
			 XDP_PASS);
	assert_int_equal(ex_send((struct ex_segment){.from = "192.0.2.2", .flags = TH_SYN}, NULL),
			 XDP_DROP);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(as_a_search_decides, ex_reset),
		cmocka_unit_test_setup(leaves_alone_decide, ex_reset),
		cmocka_unit_test_setup(a_list_of_everything, ex_reset),
	};

	if (!ex_usable())
		return 0;
	return cmocka_run_group_tests_name("edge_listed", tests, ex_up, ex_down);
}
