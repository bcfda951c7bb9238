/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * store_search - how long the usual questions take, and how fast a store is written.
 *
 *   store_search FILE ROWS [BATCH [DSTS [BYTES]]]
 *
 * Fills FILE, where there is none, with ROWS events of the last week to DSTS destinations, BATCH at a
 * time, within BYTES, and says how much processor time that took; then asks, and says how long it took and how many steps of
 * SQLite's machine.
 */
#include <string.h>
#include <time.h>

#include "bpf/vocabulary.h"
#include "daemon/audit/store_internal.h"

#define SECOND 1000000000ull
#define WEEK (7 * 24 * 3600 * SECOND)
#define CALLERS 300

static char error[SW_STORE_ERROR_SIZE];

static void die(const char *what)
{
	fprintf(stderr, "%s\n", what);
	exit(1);
}

static double seconds(clockid_t clock)
{
	struct timespec now;

	clock_gettime(clock, &now);
	return (double)now.tv_sec + (double)now.tv_nsec / 1e9;
}

static uint64_t mix(uint64_t n)
{
	n = (n ^ n >> 31) * 0x9e3779b97f4a7c15u;
	return n ^ n >> 29;
}

/* Few callers and destinations have most of the events: the number of one of them is a product of two. */
static uint64_t uneven(uint64_t random, uint64_t n)
{
	return (random % n) * (random / n % n) / n;
}

static void make(uint64_t id, uint64_t time, uint64_t dsts, struct sw_record *record)
{
	static char text[4][CALLERS][64];
	uint64_t random = mix(id), caller = uneven(random, CALLERS);
	uint32_t dst = (uint32_t)uneven(mix(random), dsts);

	if (!*text[0][caller]) {
		snprintf(text[0][caller], 64, "user%d", (int)caller / 3);
		snprintf(text[1][caller], 64, "/usr/lib/program%d/bin/program", (int)caller % 40);
		snprintf(text[2][caller], 64, "program%d.service", (int)caller);
		snprintf(text[3][caller], 64, "/system.slice/program%d.service", (int)caller);
	}
	sw_record_init(record);
	record->id = id;
	record->time_ns = time;
	record->kind = SW_EVENT_CONNECT;
	record->verdict = random % 3 ? SW_VERDICT_REJECT : SW_VERDICT_AUDIT;
	record->reason = SW_REASON_NOT_PERMITTED;
	record->family = 4;
	record->generation = 1;
	record->rule = (uint16_t)(1 + caller % 5);
	record->line = record->rule;
	record->pid = (uint32_t)(random % 4000000);
	record->uid = 1000 + (uint32_t)caller / 3;
	record->gid = record->uid;
	record->dst_port = random % 4 ? 25 : 587;
	memcpy(record->dst, "\0\0\0\0\0\0\0\0\0\0\xff\xff\xc6\x12", 14);
	record->dst[14] = (uint8_t)(dst >> 8);
	record->dst[15] = (uint8_t)dst;
	record->text[SW_TEXT_USER] = text[0][caller];
	record->text[SW_TEXT_GROUP] = text[0][caller];
	record->text[SW_TEXT_EXE] = text[1][caller];
	record->text[SW_TEXT_COMM] = "program";
	record->text[SW_TEXT_UNIT] = text[2][caller];
	record->text[SW_TEXT_CGROUP] = text[3][caller];
	record->text[SW_TEXT_RULE] = "reject to any";
}

static void fill(const char *path, uint64_t rows, uint64_t batch, uint64_t dsts, uint64_t bytes,
		 uint64_t now)
{
	struct sw_store_limits limits = {.bytes = bytes};
	double cpu = seconds(CLOCK_PROCESS_CPUTIME_ID), began = seconds(CLOCK_MONOTONIC);
	struct sw_store *store;
	struct sw_store_size size;
	struct sw_record record;
	char *note;

	if (sw_store_open(path, &limits, (gid_t)-1, &store, &note, error) < 0)
		die(error);
	for (uint64_t id = 1; id <= rows; id++) {
		make(id, now - WEEK + WEEK / rows * id, dsts, &record);
		if (id % batch == 1 && sw_store_begin(store, error) < 0)
			die(error);
		if (sw_store_add(store, &record, error) < 0)
			die(error);
		if ((id % batch == 0 || id == rows) && sw_store_commit(store, error) < 0)
			die(error);
	}
	sw_store_size(store, &size);
	cpu = seconds(CLOCK_PROCESS_CPUTIME_ID) - cpu;
	printf("%llu rows in batches of %llu to %llu destinations: %.1f s, processor %.1f s (%.2f "
	       "us each), %.0f MiB, "
	       "%llu removed\n",
	       (unsigned long long)rows, (unsigned long long)batch, (unsigned long long)dsts,
	       seconds(CLOCK_MONOTONIC) - began, cpu, cpu * 1e6 / (double)rows,
	       (double)size.bytes / (1 << 20), (unsigned long long)size.removed);
	sw_store_close(store);
}

static int count(void *data, const struct sw_record *record)
{
	(void)record;
	++*(uint64_t *)data;
	return 0;
}

static void ask(const char *path, const char *what, const struct sw_search *search)
{
	double began = seconds(CLOCK_MONOTONIC);
	struct sw_reader_store *reader;
	uint64_t n = 0;

	if (sw_store_read(path, &reader, error) < 0 ||
	    sw_store_search(reader, search, count, &n, error) < 0)
		die(error);
	printf("%-40s %9llu found %8.3f s %11llu steps\n", what, (unsigned long long)n,
	       seconds(CLOCK_MONOTONIC) - began, (unsigned long long)sw_store_steps(reader));
	sw_store_read_end(reader);
}

static void ask_all(const char *path, uint64_t now)
{
	struct sw_search asked[10];
	const struct sw_search all = sw_search_all;

	for (size_t i = 0; i < sw_count(asked); i++)
		asked[i] = all;
	asked[0].limit = 20;
	asked[1].since_ns = now - 3600 * SECOND;
	asked[2].user = "user90";
	asked[3].user = "user3";
	asked[3].limit = 1000;
	asked[4].exe = "/usr/lib/program39/bin/program";
	asked[4].since_ns = now - 24 * 3600 * SECOND;
	asked[5].has_to = true;
	asked[5].to_bits = 128;
	memcpy(asked[5].to, "\0\0\0\0\0\0\0\0\0\0\xff\xff\xc6\x12\x10\x07", 16);
	asked[6].has_to = true;
	asked[6].to_bits = 120;
	memcpy(asked[6].to, "\0\0\0\0\0\0\0\0\0\0\xff\xff\xc6\x12\x20\x00", 16);
	asked[7].user = "1095";
	asked[7].since_ns = now - 24 * 3600 * SECOND;
	asked[8].verdict = SW_VERDICT_REJECT;
	asked[8].limit = 20;
	asked[9].reason = SW_REASON_NOT_TLS; /* there is none: everything is looked at */
	ask(path, "last 20", &asked[0]);
	ask(path, "last hour", &asked[1]);
	ask(path, "one user", &asked[2]);
	ask(path, "last 1000 of a busy user", &asked[3]);
	ask(path, "one program, last day", &asked[4]);
	ask(path, "one destination", &asked[5]);
	ask(path, "one /24", &asked[6]);
	ask(path, "one user by number, last day", &asked[7]);
	ask(path, "last 20 refusals", &asked[8]);
	ask(path, "a reason that never was", &asked[9]);
}

int main(int argc, char **argv)
{
	uint64_t rows, batch, dsts, bytes, now = (uint64_t)time(NULL) * SECOND;

	if (argc < 3)
		die("usage: store_search FILE ROWS [BATCH [DSTS [BYTES]]]");
	rows = strtoull(argv[2], NULL, 10);
	batch = argc > 3 ? strtoull(argv[3], NULL, 10) : 5000;
	dsts = argc > 4 ? strtoull(argv[4], NULL, 10) : 20000;
	bytes = argc > 5 ? strtoull(argv[5], NULL, 10) : 0;
	if (access(argv[1], F_OK) != 0)
		fill(argv[1], rows, batch ? batch : 1, dsts, bytes, now);
	ask_all(argv[1], now);
	return 0;
}
