/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <ftw.h>
#include <unistd.h>

#include "tests/unit/store_world.h"

int store_world_new(void **state)
{
	struct store_world *world = calloc(1, sizeof(*world));

	assert_non_null(world);
	snprintf(world->folder, sizeof(world->folder), "/tmp/test_store.XXXXXX");
	assert_non_null(mkdtemp(world->folder));
	snprintf(world->path, sizeof(world->path), "%s/%s", world->folder, SW_STORE_NAME);
	snprintf(world->log, sizeof(world->log), "%s-wal", world->path);
	*state = world;
	return 0;
}

static int remove_one(const char *path, const struct stat *is, int kind, struct FTW *at)
{
	(void)is;
	(void)kind;
	(void)at;
	return remove(path);
}

int store_world_free(void **state)
{
	struct store_world *world = *state;

	nftw(world->folder, remove_one, 8, FTW_DEPTH | FTW_PHYS);
	free(world);
	return 0;
}

uint64_t store_random(uint64_t below)
{
	static uint64_t state = 88172645463325252u; /* Marsaglia, Xorshift RNGs: 13, 7, 17 */

	state ^= state << 13;
	state ^= state >> 7;
	state ^= state << 17;
	return (state >> 11) % below;
}

static void random_address(uint8_t address[16])
{
	static const uint8_t mapped[12] = {[10] = 0xff, [11] = 0xff};

	if (store_random(4)) {
		memcpy(address, mapped, sizeof(mapped));
		address[12] = (uint8_t)(192 + store_random(2));
		address[13] = 0;
		address[14] = (uint8_t)store_random(3);
	} else {
		memset(address, 0, 16);
		address[0] = 0x20;
		address[1] = (uint8_t)store_random(2);
	}
	address[15] = (uint8_t)store_random(6);
}

static const char *random_text(enum sw_record_text which)
{
	static const char *const users[] = {"root", "www-data", "1000", "", "\xc3\xa4ngstrom"};
	static const char *const exes[] = {"/usr/bin/php8.2", "/usr/sbin/exim4", "", "/tmp/x\\x0ay",
					   "/usr/bin/it's"};
	static const char *const others[] = {"", "a", "b \"c\"", "cron.service"};

	switch (which) {
	case SW_TEXT_USER:
		return users[store_random(sw_count(users))];
	case SW_TEXT_EXE:
		return exes[store_random(sw_count(exes))];
	default:
		return others[store_random(sw_count(others))];
	}
}

void store_record(struct sw_record *record, uint64_t id, uint64_t time_ns)
{
	sw_record_init(record);
	record->id = id;
	record->time_ns = time_ns;
	record->kind = (uint8_t)(1 + store_random(SW_EVENT_KIND_MAX - 1));
	record->opened_ns = record->kind == SW_EVENT_SESSION ? time_ns - store_random(SECOND) : 0;
	record->sent = store_random(3) ? store_random(UINT32_MAX) : UINT64_MAX;
	record->received = store_random(UINT64_MAX);
	record->generation = 1 + store_random(3);
	record->line = (uint32_t)store_random(4);
	record->pid = (uint32_t)store_random(1 << 22);
	record->uid = store_random(5) ? (uint32_t)(998 + store_random(4)) : UINT32_MAX;
	record->gid = store_random(2) ? 33 : UINT32_MAX;
	record->suppressed = (uint32_t)store_random(3);
	record->rule = (uint16_t)store_random(4);
	record->src_port = (uint16_t)store_random(65536);
	record->dst_port = store_random(3) ? 25 : 587;
	record->new_port = (uint16_t)store_random(2);
	record->tls_version = (uint16_t)(store_random(2) ? 0x0303 : 0);
	record->cipher = (uint16_t)store_random(65536);
	record->vlan[0] = (uint16_t)store_random(4096);
	record->vlan[1] = (uint16_t)store_random(2);
	record->pppoe_session = (uint16_t)store_random(2);
	record->verdict = (uint8_t)store_random(SW_VERDICT_MAX);
	record->reason = (uint8_t)store_random(SW_REASON_MAX);
	record->scope = (uint8_t)store_random(3);
	record->family = store_random(2) ? 4 : 6;
	record->tls = (uint8_t)store_random(SW_TLS_MAX);
	record->verb = (uint8_t)store_random(SW_VERB_MAX);
	record->verb_length = (uint8_t)store_random(9);
	record->mechanism = (uint8_t)store_random(SW_MECHANISM_MAX);
	record->from_server = (uint8_t)store_random(2);
	random_address(record->dst);
	if (store_random(2))
		random_address(record->src);
	if (!store_random(4))
		random_address(record->new_dst);
	if (store_random(2))
		memcpy(record->mac, "\x02\x00\x00\x00\x00\x07", 6);
	for (int i = 0; i < SW_TEXTS; i++)
		record->text[i] = random_text(i);
}

void store_equal(const struct sw_record *got, const struct sw_record *wanted)
{
	char a[SW_PACKED_MAX], b[SW_PACKED_MAX];
	size_t size = sw_record_pack(wanted, b);

	/* Packed, members and texts lie behind each other. */
	assert_int_equal(got->id, wanted->id);
	assert_int_equal(sw_record_pack(got, a), size);
	for (int i = 0; i < SW_TEXTS; i++)
		assert_string_equal(got->text[i], wanted->text[i]);
	assert_memory_equal(got, wanted, offsetof(struct sw_record, text));
}

struct sw_store *store_open(struct store_world *world, uint64_t bytes, uint64_t age_ns)
{
	struct sw_store_limits limits = {bytes, age_ns};
	sw_autofree char *note = NULL;
	struct sw_store *store = NULL;

	if (sw_store_open(world->path, &limits, (gid_t)-1, &store, &note, world->error) < 0)
		fail_msg("%s", world->error);
	assert_null(note);
	return store;
}

/* As on a real machine. */
static void few_callers(struct sw_record *record)
{
	for (int i = 0; i < SW_TEXTS; i++)
		if (i != SW_TEXT_USER && i != SW_TEXT_EXE)
			record->text[i] = "";
	record->gid = 33;
	record->generation = 1;
}

int store_fill(struct store_world *world, struct sw_store *store, uint64_t first, uint64_t n)
{
	struct sw_record record;

	if (sw_store_begin(store, world->error) < 0)
		return -1;
	for (uint64_t id = first; id < first + n; id++) {
		store_record(&record, id, SPRING + id * SECOND);
		few_callers(&record);
		if (sw_store_add(store, &record, world->error) < 0)
			return -1;
	}
	return sw_store_commit(store, world->error);
}

int64_t store_ask(const struct store_world *world, const char *sql)
{
	sqlite3_stmt *statement = NULL;
	sqlite3 *db = NULL;
	int64_t answer;

	if (sqlite3_open_v2(world->path, &db, SQLITE_OPEN_READONLY, NULL) != SQLITE_OK ||
	    sqlite3_prepare_v2(db, sql, -1, &statement, NULL) != SQLITE_OK ||
	    sqlite3_step(statement) != SQLITE_ROW)
		fail_msg("%s: %s", sql, sqlite3_errmsg(db));
	answer = sqlite3_column_int64(statement, 0);
	sqlite3_finalize(statement);
	sqlite3_close(db);
	return answer;
}

void store_check(const struct store_world *world)
{
	assert_int_equal(
		store_ask(world, "SELECT integrity_check = 'ok' FROM pragma_integrity_check"), 1);
}

static int count_one(void *data, const struct sw_record *record)
{
	(void)record;
	++*(uint64_t *)data;
	return 0;
}

uint64_t store_count(struct store_world *world, const struct sw_search *search)
{
	struct sw_reader_store *reader = NULL;
	uint64_t n = 0;

	if (sw_store_read(world->path, &reader, world->error) < 0 ||
	    sw_store_search(reader, search, count_one, &n, world->error) < 0)
		fail_msg("%s", world->error);
	sw_store_read_end(reader);
	return n;
}
