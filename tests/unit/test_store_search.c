/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What is written is what is read, and a search gives just what sw_search_fits() says. */
#include "daemon/audit/store_internal.h"
#include "tests/unit/store_world.h"

#define RECORDS 6000
#define SEARCHES 400

struct world {
	struct store_world *files;
	struct sw_record *records; /* in the order of their ids */
	size_t n;
};

/* Ids have holes, and once the clock is set back by an hour. */
static void write_all(struct world *world)
{
	struct sw_store *store = store_open(world->files, 0, 0);
	uint64_t id = 0, time = SPRING;

	world->records = calloc(RECORDS, sizeof(*world->records));
	world->n = RECORDS;
	for (size_t i = 0; i < RECORDS; i++) {
		if (i % 500 == 0 && sw_store_begin(store, world->files->error) < 0)
			fail_msg("%s", world->files->error);
		id += 1 + (store_random(4) ? 0 : store_random(7));
		time += store_random(2 * SECOND);
		if (i == RECORDS / 2)
			time -= 3600ull * SECOND;
		store_record(&world->records[i], id, time);
		if (sw_store_add(store, &world->records[i], world->files->error) < 0)
			fail_msg("%s", world->files->error);
		if (i % 500 == 499 && sw_store_commit(store, world->files->error) < 0)
			fail_msg("%s", world->files->error);
	}
	assert_int_equal(sw_store_last(store), id);
	sw_store_close(store);
}

/* The next of those that are expected. */
struct check {
	const struct world *world;
	const struct sw_search *search;
	size_t at, n;
	uint64_t skip; /* of those that fit */
};

static bool expected(const struct check *check, size_t at)
{
	return sw_search_fits(check->search, &check->world->records[at]);
}

static int compare(void *data, const struct sw_record *record)
{
	struct check *check = data;

	for (; check->at < check->world->n; check->at++) {
		if (!expected(check, check->at))
			continue;
		if (!check->skip)
			break;
		check->skip--;
	}
	if (check->at == check->world->n)
		fail_msg("record %llu was not to be found", (unsigned long long)record->id);
	store_equal(record, &check->world->records[check->at++]);
	check->n++;
	return 0;
}

static size_t search(const struct world *world, struct sw_reader_store *reader,
		     const struct sw_search *search)
{
	struct check check = {.world = world, .search = search};
	size_t fit = 0;

	for (size_t i = 0; i < world->n; i++)
		fit += expected(&check, i);
	if (search->limit && fit > search->limit) {
		check.skip = fit - search->limit;
		fit = search->limit;
	}
	assert_int_equal(sw_store_search(reader, search, compare, &check, world->files->error), 0);
	assert_int_equal(check.n, fit);
	return fit;
}

static void random_search(const struct world *world, struct sw_search *search)
{
	const struct sw_record *like = &world->records[store_random(world->n)];
	const struct sw_record *other = &world->records[store_random(world->n)];

	*search = sw_search_all;
	search->sessions = store_random(4) == 0;
	if (!store_random(3))
		search->since_ns = like->time_ns;
	if (!store_random(3))
		search->until_ns = other->time_ns;
	if (!store_random(6))
		search->after = other->id;
	if (!store_random(6))
		search->before = like->id;
	if (!store_random(4))
		search->user = store_random(2) ? like->text[SW_TEXT_USER] : "999";
	if (!store_random(5))
		search->exe = like->text[SW_TEXT_EXE];
	if (!store_random(6))
		search->unit = like->text[SW_TEXT_UNIT];
	if (!store_random(5))
		search->port = like->dst_port;
	if (!store_random(3)) {
		search->has_to = true;
		search->to_bits = (uint8_t)(store_random(2) ? 128 : store_random(129));
		memcpy(search->to, like->dst, 16);
	}
	if (!store_random(6))
		search->verdict = like->verdict;
	if (!store_random(6))
		search->reason = like->reason;
	if (!store_random(6))
		search->kind = like->kind;
	if (!store_random(6))
		search->rule = like->rule;
	if (!store_random(3))
		search->limit = 1 + store_random(store_random(2) ? 20 : 3000);
}

static void test_searches(void **state)
{
	struct world world = {.files = *state};
	struct sw_reader_store *reader = NULL;
	struct sw_search asked = sw_search_all;
	size_t found = 0, empty = 0;
	uint64_t newest;

	write_all(&world);
	assert_int_equal(sw_store_read(world.files->path, &reader, world.files->error), 0);
	assert_int_equal(sw_store_newest(reader, &newest, world.files->error), 0);
	assert_int_equal(newest, world.records[world.n - 1].id);
	found = search(&world, reader, &asked);
	asked.sessions = true;
	assert_int_equal(found + search(&world, reader, &asked), world.n);
	for (int i = 0; i < SEARCHES; i++) {
		random_search(&world, &asked);
		found = search(&world, reader, &asked);
		empty += found == 0;
	}
	assert_true(empty < SEARCHES / 2); /* or it tells nothing */
	sw_store_read_end(reader);
	free(world.records);
}

static int stop_at_third(void *data, const struct sw_record *record)
{
	(void)record;
	return ++*(int *)data == 3 ? 42 : 0;
}

/* Who has seen enough ends it. */
static void test_stop(void **state)
{
	struct store_world *world = *state;
	struct sw_store *store = store_open(world, 0, 0);
	struct sw_reader_store *reader = NULL;
	int seen = 0;

	assert_int_equal(store_fill(world, store, 1, 2000), 0);
	assert_int_equal(sw_store_read(world->path, &reader, world->error), 0);
	assert_int_equal(
		sw_store_search(reader, &sw_search_all, stop_at_third, &seen, world->error), 42);
	assert_int_equal(seen, 3);
	sw_store_read_end(reader);
	sw_store_close(store);
}

/* ---- what a search costs ---- */

#define MANY 200000
#define RARE 5000 /* of so many events one is of the rare user, to the rare destination */

static void write_many(struct store_world *world)
{
	struct sw_store *store = store_open(world, 0, 0);
	struct sw_record record;

	for (uint64_t id = 1; id <= MANY; id++) {
		if (id % 10000 == 1 && sw_store_begin(store, world->error) < 0)
			fail_msg("%s", world->error);
		store_record(&record, id, SPRING + id * SECOND);
		record.kind = SW_EVENT_CONNECT;
		record.uid = 1 + (uint32_t)store_random(100);
		for (int i = 0; i < SW_TEXTS; i++)
			record.text[i] = i == SW_TEXT_EXE ? record.text[i] : "";
		if (id % RARE == 0) {
			record.uid = 4000;
			record.text[SW_TEXT_EXE] = "/usr/bin/rare";
			memset(record.dst, 7, sizeof(record.dst));
		}
		if (sw_store_add(store, &record, world->error) < 0 ||
		    (id % 10000 == 0 && sw_store_commit(store, world->error) < 0))
			fail_msg("%s", world->error);
	}
	sw_store_close(store);
}

static int count(void *data, const struct sw_record *record)
{
	(void)record;
	++*(uint64_t *)data;
	return 0;
}

/* Not by time, which says nothing on a busy machine: a look at each event would take 5 steps or more. */
static void expect_cost(struct store_world *world, const char *what, const struct sw_search *search,
			uint64_t wanted)
{
	struct sw_reader_store *reader = NULL;
	uint64_t found = 0, steps;

	if (sw_store_read(world->path, &reader, world->error) < 0 ||
	    sw_store_search(reader, search, count, &found, world->error) < 0)
		fail_msg("%s", world->error);
	steps = sw_store_steps(reader);
	sw_store_read_end(reader);
	print_message("# %s: %llu found, %llu steps\n", what, (unsigned long long)found,
		      (unsigned long long)steps);
	assert_int_equal(found, wanted);
	assert_true(steps < 20000 + 150 * found);
}

/* The usual questions look at what they find, and little else. */
static void test_cost(void **state)
{
	struct store_world *world = *state;
	struct sw_search search = sw_search_all;

	write_many(world);
	search.limit = 20;
	expect_cost(world, "last 20", &search, 20);
	search = sw_search_all;
	search.since_ns = SPRING + (MANY - 3600ull) * SECOND;
	expect_cost(world, "last hour", &search, 3601);
	search.until_ns = search.since_ns + 60ull * SECOND;
	expect_cost(world, "a minute", &search, 60);
	search = sw_search_all;
	search.user = "4000";
	expect_cost(world, "one user", &search, MANY / RARE);
	search.limit = 5;
	expect_cost(world, "last 5 of a user", &search, 5);
	search = sw_search_all;
	search.exe = "/usr/bin/rare";
	expect_cost(world, "one program", &search, MANY / RARE);
	search = sw_search_all;
	search.has_to = true;
	search.to_bits = 128;
	memset(search.to, 7, sizeof(search.to));
	expect_cost(world, "one destination", &search, MANY / RARE);
	search.to_bits = 20;
	expect_cost(world, "one network", &search, MANY / RARE);
	search.to[0] = 8;
	expect_cost(world, "a network that nobody asked for", &search, 0);
	search = sw_search_all;
	search.user = "nobody";
	expect_cost(world, "a user who did nothing", &search, 0);
	search = sw_search_all;
	search.after = MANY - 10;
	expect_cost(world, "what is new", &search, 10);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_searches, store_world_new, store_world_free),
		cmocka_unit_test_setup_teardown(test_cost, store_world_new, store_world_free),
		cmocka_unit_test_setup_teardown(test_stop, store_world_new, store_world_free),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
