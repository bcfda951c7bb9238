/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Records in one piece, and the trail: what is kept, what is lost, and that readers know how much. */
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "daemon/audit/trail.h"
#include "daemon/base.h"

#define RING (4 * SW_PACKED_MAX)

static void sample(struct sw_record *record, uint32_t pid, const char *exe)
{
	sw_record_init(record);
	record->time_ns = 1700000000000000000u + pid;
	record->pid = pid;
	record->dst_port = 25;
	record->text[SW_TEXT_EXE] = exe;
	record->text[SW_TEXT_USER] = "www-data";
}

static void test_pack(void **state)
{
	struct sw_record record, back;
	char packed[SW_PACKED_MAX];
	size_t size;

	(void)state;
	sample(&record, 7, "/usr/bin/php8.2");
	record.text[SW_TEXT_SENTENCE] = "Port 25 is closed here.";
	size = sw_record_pack(&record, packed);
	assert_int_equal(size, sw_record_packed_size(&record));
	assert_int_equal(sw_record_unpack(packed, size, &back), size);
	assert_int_equal(back.pid, 7);
	assert_int_equal(back.uid, UINT32_MAX);
	for (int i = 0; i < SW_TEXTS; i++)
		assert_string_equal(back.text[i], record.text[i]);
	/* Cut anywhere it is none, and nothing is read behind its end. */
	for (size_t n = 0; n < size; n++) {
		sw_autofree char *part = malloc(n ? n : 1);

		memcpy(part, packed, n);
		assert_int_equal(sw_record_unpack(part, n, &back), 0);
	}
	packed[size - 1] = 'x';
	assert_int_equal(sw_record_unpack(packed, size, &back), 0);
}

static void test_pack_long(void **state)
{
	struct sw_record record, back;
	char packed[SW_PACKED_MAX], text[9000];
	size_t size;

	(void)state;
	memset(text, 0, sizeof(text));
	for (size_t i = 0; i + 2 < sizeof(text); i += 2)
		memcpy(text + i, "\xc3\xa9", 2);
	sample(&record, 7, text + 1); /* so that a cut would fall into a character */
	for (int i = 0; i < SW_TEXTS; i++)
		record.text[i] = text;
	size = sw_record_pack(&record, packed);
	assert_true(size <= SW_PACKED_MAX);
	assert_int_equal(sw_record_unpack(packed, size, &back), size);
	for (int i = 0; i < SW_TEXTS; i++) {
		assert_int_equal(strlen(back.text[i]) % 2, 0);
		assert_memory_equal(back.text[i], text, strlen(back.text[i]));
	}
}

/* Reads all there is with a buffer of `size`; checks that ids follow each other. */
static uint64_t read_all(struct sw_trail *trail, uint64_t *next, size_t size, uint64_t *lost)
{
	sw_autofree char *buffer = malloc(size);
	uint64_t n = 0, missing, before = *next;
	size_t used;

	*lost = 0;
	do {
		used = sw_trail_read(trail, next, buffer, size, &missing);
		*lost += missing;
		before += missing;
		for (size_t at = 0; at < used; n++) {
			struct sw_record record;
			size_t length = sw_record_unpack(buffer + at, used - at, &record);

			assert_true(length);
			assert_int_equal(record.id, before++);
			assert_int_equal(record.pid, record.id);
			at += length;
		}
	} while (used);
	assert_int_equal(*next, before);
	return n;
}

static void add(struct sw_trail *trail, uint32_t from, uint32_t n)
{
	static const char name[] = "/a/path/whose/length/differs/from/one/record/to/the/next";
	struct sw_record record;

	for (uint32_t i = from; i < from + n; i++) {
		sample(&record, i, name + i % (sizeof(name) - 1));
		assert_int_equal(sw_trail_add(trail, &record), i);
	}
}

static void test_trail(void **state)
{
	struct sw_trail *trail = sw_trail_new(RING, 41);
	uint64_t next = 42, first, lost;
	uint32_t at = 42;

	(void)state;
	assert_int_equal(read_all(trail, &next, SW_PACKED_MAX, &lost), 0);
	add(trail, at, 10);
	at += 10;
	assert_int_equal(read_all(trail, &next, SW_PACKED_MAX, &lost), 10);
	assert_int_equal(lost, 0);
	/* Round the ring many times, in pieces of many sizes, without losing one. */
	for (uint32_t n = 1; n < 70; n++) {
		add(trail, at, n % 40);
		at += n % 40;
		assert_int_equal(read_all(trail, &next, SW_PACKED_MAX, &lost), n % 40);
		assert_int_equal(lost, 0);
	}
	sw_trail_bounds(trail, &first, &next);
	assert_int_equal(next, at);
	assert_true(first < next);
	sw_trail_free(trail);
}

static void test_trail_overrun(void **state)
{
	struct sw_trail *trail = sw_trail_new(RING, 0);
	uint64_t next = 1, late = 500, first, end, lost, n;

	(void)state;
	add(trail, 1, 1000);
	sw_trail_bounds(trail, &first, &end);
	n = read_all(trail, &next, 2 * SW_PACKED_MAX, &lost);
	assert_int_equal(n + lost, 1000);
	assert_int_equal(lost, first - 1);
	assert_true(n > RING / 1024); /* and not next to nothing */
	/* Who asks for the future, or from the middle, gets what there is of it. */
	n = read_all(trail, &late, 2 * SW_PACKED_MAX, &lost);
	assert_int_equal(late, 1001);
	assert_int_equal(n + lost, 501);
	next = 990;
	assert_int_equal(read_all(trail, &next, SW_PACKED_MAX, &lost), 11);
	sw_trail_free(trail);
}

#define MANY 200000

static void *read_as_they_come(void *data)
{
	struct sw_trail *trail = data;
	uint64_t next = 1, lost, sum = 0;
	bool open;

	do {
		open = sw_trail_wait(trail, next, 10000000);
		sum += read_all(trail, &next, 2 * SW_PACKED_MAX, &lost) + lost;
	} while (open);
	sum += read_all(trail, &next, 2 * SW_PACKED_MAX, &lost) + lost;
	return (void *)(uintptr_t)sum;
}

/* Each of them gets or misses each record once. */
static void test_trail_threads(void **state)
{
	struct sw_trail *trail = sw_trail_new(RING, 0);
	pthread_t threads[3];

	(void)state;
	for (size_t i = 0; i < sw_count(threads); i++)
		pthread_create(&threads[i], NULL, read_as_they_come, trail);
	for (uint32_t i = 1; i <= MANY; i += 50) {
		add(trail, i, 50);
		sw_trail_wake(trail);
	}
	sw_trail_close(trail);
	for (size_t i = 0; i < sw_count(threads); i++) {
		void *sum;

		pthread_join(threads[i], &sum);
		assert_int_equal((uintptr_t)sum, MANY);
	}
	assert_false(sw_trail_wait(trail, MANY + 1, 60000000));
	assert_false(sw_trail_pause(trail, 60000000));
	sw_trail_free(trail);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_pack),          cmocka_unit_test(test_pack_long),
		cmocka_unit_test(test_trail),         cmocka_unit_test(test_trail_overrun),
		cmocka_unit_test(test_trail_threads),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
