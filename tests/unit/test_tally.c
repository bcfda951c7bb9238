/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Sums: of maps that are too small, of records, and of a store against a search of it. */
#include "daemon/audit/tally.h"
#include "tests/unit/report_sample.h"
#include "tests/unit/store_world.h"

#define HOUR SAMPLE_HOUR

static void test_map(void **state)
{
	struct sw_tally_map map;
	struct sw_tally_entry **sorted;

	(void)state;
	sw_tally_map_init(&map, 1000);
	for (unsigned int i = 0; i < 500; i++)
		for (unsigned int j = 0; j <= i % 7; j++)
			assert_int_equal(sw_tally_map_add(&map, &i, sizeof(i), j % SW_OUTCOMES, 2),
					 0);
	assert_int_equal(map.n, 500);
	assert_int_equal(map.short_by, 0);
	for (unsigned int i = 0; i < 500; i++)
		assert_int_equal(sw_tally_sum(sw_tally_map_get(&map, &i, sizeof(i))),
				 2 * (i % 7 + 1));
	assert_null(sw_tally_map_get(&map, "ab", 2));
	sorted = sw_tally_map_sorted(&map);
	for (size_t i = 1; i < map.n; i++)
		assert_true(sw_tally_sum(sorted[i - 1]->n) >= sw_tally_sum(sorted[i]->n));
	free(sorted);
	sw_tally_map_free(&map);
}

/* A million made-up keys neither fill memory nor hide the ten that come often, and the sum stays. */
static void test_map_forgets(void **state)
{
	struct sw_tally_map map;
	uint64_t all = 0, kept = 0;

	(void)state;
	sw_tally_map_init(&map, 1024);
	for (unsigned int i = 0; i < 1000000; i++) {
		unsigned int often = i % 10, key = i % 2 ? 5000 + i : often;

		assert_int_equal(sw_tally_map_add(&map, &key, sizeof(key), SW_OUTCOME_REFUSED, 1),
				 0);
		all++;
		assert_true(map.n <= 1024);
	}
	for (unsigned int i = 0; i < 10; i += 2) {
		uint64_t n = sw_tally_sum(sw_tally_map_get(&map, &i, sizeof(i)));

		assert_true(n <= 100000 && n + map.short_by >= 100000);
	}
	for (size_t i = 0; i < map.n_slots; i++)
		if (map.slots[i])
			kept += sw_tally_sum(map.slots[i]->n);
	assert_true(map.forgotten > 0 && map.short_by > 0);
	assert_int_equal(kept + sw_tally_sum(map.rest), all);
	sw_tally_map_free(&map);
}

static void test_steps(void **state)
{
	(void)state;
	assert_int_equal(sw_tally_step(HOUR), HOUR / 60);
	assert_int_equal(sw_tally_step(24 * HOUR), HOUR);
	assert_int_equal(sw_tally_step(168 * HOUR), 6 * HOUR);
	assert_int_equal(sw_tally_step(31 * 24 * HOUR), 24 * HOUR);
	for (uint64_t days = 1; days < 20000; days += 13)
		assert_true(days * 24 * HOUR / sw_tally_step(days * 24 * HOUR) <= 110);
}

static const uint64_t *count_of(const struct sw_tally *tally, enum sw_tally_by by, const char *name)
{
	const uint64_t *n = sw_tally_map_get(&tally->by[by], name, strlen(name));

	assert_non_null(n);
	return n;
}

static void test_sample(void **state)
{
	struct sw_tally now, before;
	struct sw_tally_sender sender;
	struct sw_tally_entry **clear;
	uint64_t sum = 0, sessions = 0;

	(void)state;
	sample_tallies(&now, &before);
	assert_int_equal(now.n[SW_OUTCOME_AUDIT], 34);
	assert_int_equal(now.n[SW_OUTCOME_OTHER], 1);
	assert_int_equal(sw_tally_sum(now.n), now.events + now.suppressed);
	assert_int_equal(count_of(&now, SW_BY_USER, "backup")[SW_OUTCOME_AUDIT], 34);
	assert_int_equal(count_of(&now, SW_BY_USER, "1003")[SW_OUTCOME_REFUSED], 42);
	assert_int_equal(count_of(&now, SW_BY_UNIT, "")[SW_OUTCOME_REFUSED], 42);
	assert_int_equal(count_of(&now, SW_BY_VERDICT, "drop")[SW_OUTCOME_REFUSED], 42);
	assert_int_equal(count_of(&now, SW_BY_REASON, "smtp_elsewhere")[SW_OUTCOME_OTHER], 1);
	for (size_t i = 0; i < now.n_buckets; i++) {
		sum += sw_tally_sum(now.buckets[i].n);
		sessions += now.buckets[i].sessions;
	}
	assert_int_equal(now.n_buckets, 28);
	assert_int_equal(sum, sw_tally_sum(now.n));
	assert_int_equal(sessions, sw_tally_session_count(&now.sessions[SW_SCOPE_HOST]) +
					   sw_tally_session_count(&now.sessions[SW_SCOPE_SERVE]));
	clear = sw_tally_map_sorted(&now.by[SW_BY_CLEAR]);
	assert_int_equal(now.by[SW_BY_CLEAR].n, 2);
	sw_tally_sender(clear[0], &sender);
	assert_string_equal(sender.user, "backup");
	assert_string_equal(sender.program, "/usr/lib/python3/bin/nightly-mail");
	assert_string_equal(sender.unit, "nightly.service");
	assert_int_equal(sender.verb, SW_VERB_AUTH);
	assert_int_equal(sender.port, 587);
	free(clear);
	sw_tally_free(&now);
	sw_tally_free(&before);
}

/* The bounds of the time: the first moment counts, the last does not. */
static void test_bounds(void **state)
{
	struct sw_tally tally;
	struct sw_record record;

	(void)state;
	assert_int_equal(sw_tally_init(&tally, 1000, 2000, 300), 0);
	assert_int_equal(tally.n_buckets, 4);
	for (uint64_t time = 999; time <= 2000; time++) {
		record = sample_record(time, SW_EVENT_CONNECT, SW_VERDICT_REJECT,
				       SW_REASON_NOT_PERMITTED, "192.0.2.1", 25);
		sample_add(&tally, &record);
	}
	assert_int_equal(tally.events, 1000);
	assert_int_equal(tally.first_ns, 1000);
	assert_int_equal(tally.last_ns, 1999);
	assert_int_equal(tally.buckets[0].n[SW_OUTCOME_REFUSED], 200);
	assert_int_equal(tally.buckets[3].n[SW_OUTCOME_REFUSED], 200);
	sw_tally_free(&tally);
}

/* ---- over a store ---- */

static int add_found(void *data, const struct sw_record *record)
{
	return sw_tally_add(data, record);
}

static void same_map(const struct sw_tally_map *a, const struct sw_tally_map *b)
{
	assert_int_equal(a->n, b->n);
	for (size_t i = 0; i < a->n_slots; i++) {
		const struct sw_tally_entry *entry = a->slots[i];
		const uint64_t *n = entry ? sw_tally_map_get(b, entry->key, entry->length) : NULL;

		if (!entry)
			continue;
		assert_non_null(n);
		assert_memory_equal(entry->n, n, sizeof(entry->n));
	}
}

static void same_tally(const struct sw_tally *a, const struct sw_tally *b)
{
	assert_int_equal(a->events, b->events);
	assert_int_equal(a->suppressed, b->suppressed);
	assert_int_equal(a->first_ns, b->first_ns);
	assert_int_equal(a->last_ns, b->last_ns);
	assert_memory_equal(a->n, b->n, sizeof(a->n));
	assert_memory_equal(a->sessions, b->sessions, sizeof(a->sessions));
	assert_int_equal(a->n_buckets, b->n_buckets);
	assert_memory_equal(a->buckets, b->buckets, a->n_buckets * sizeof(*a->buckets));
	for (int by = 0; by < SW_BYS; by++)
		same_map(&a->by[by], &b->by[by]);
}

/* The tally's own way through the store counts what a search finds, record by record. */
static void test_store(void **state)
{
	struct store_world *world = *state;
	struct sw_store *store = store_open(world, 0, 0);
	struct sw_search search = sw_search_all;
	struct sw_reader_store *reader;
	struct sw_tally found, counted;
	uint64_t oldest = 0;

	assert_int_equal(store_fill(world, store, 1, 5000), 0);
	assert_int_equal(store_fill(world, store, 5001, 3000), 0);
	assert_int_equal(sw_store_read(world->path, &reader, world->error), 0);
	search.since_ns = SPRING + 1000ull * SECOND;
	search.until_ns = SPRING + 7000ull * SECOND;
	assert_int_equal(sw_tally_init(&found, search.since_ns, search.until_ns, 300ull * SECOND),
			 0);
	assert_int_equal(sw_tally_init(&counted, search.since_ns, search.until_ns, 300ull * SECOND),
			 0);
	for (int sessions = 0; sessions < 2; sessions++) {
		search.sessions = sessions;
		assert_int_equal(sw_store_search(reader, &search, add_found, &found, world->error),
				 0);
	}
	assert_int_equal(sw_tally_store(&counted, reader, world->error), 0);
	assert_true(counted.events > 0);
	same_tally(&counted, &found);
	assert_int_equal(sw_tally_oldest(reader, &oldest, world->error), 0);
	assert_true(oldest >= SPRING && oldest <= SPRING + SECOND);
	sw_tally_free(&found);
	sw_tally_free(&counted);
	sw_store_read_end(reader);
	sw_store_close(store);
}

static void test_empty_store(void **state)
{
	struct store_world *world = *state;
	struct sw_store *store = store_open(world, 0, 0);
	struct sw_reader_store *reader;
	struct sw_tally tally;
	uint64_t oldest = 1;

	assert_int_equal(sw_store_read(world->path, &reader, world->error), 0);
	assert_int_equal(sw_tally_init(&tally, 0, UINT64_MAX, 0), 0);
	assert_int_equal(sw_tally_store(&tally, reader, world->error), 0);
	assert_int_equal(tally.events, 0);
	assert_int_equal(sw_tally_oldest(reader, &oldest, world->error), 0);
	assert_int_equal(oldest, 0);
	sw_tally_free(&tally);
	sw_store_read_end(reader);
	sw_store_close(store);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_map),
		cmocka_unit_test(test_map_forgets),
		cmocka_unit_test(test_steps),
		cmocka_unit_test(test_sample),
		cmocka_unit_test(test_bounds),
		cmocka_unit_test_setup_teardown(test_store, store_world_new, store_world_free),
		cmocka_unit_test_setup_teardown(test_empty_store, store_world_new,
						store_world_free),
	};

	return cmocka_run_group_tests_name("tally", tests, NULL, NULL);
}
