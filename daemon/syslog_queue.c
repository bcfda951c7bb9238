/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "daemon/syslog_queue.h"

#include <string.h>

#include "daemon/audit/store.h"

#define PAGE_BYTES (16 * SW_PACKED_MAX)

/* Records of one table, packed, in the order of their ids. */
struct part {
	uint64_t last; /* id of the last one; only told when it is cut */
	bool cut;      /* there are more */
	size_t used, at;
	char bytes[PAGE_BYTES];
};

struct sw_syslog_queue {
	char *path;
	bool sessions;
	struct sw_reader_store *store;
	struct part parts[2]; /* events, sessions */
};

struct sw_syslog_queue *sw_syslog_queue_new(const char *path, bool sessions)
{
	struct sw_syslog_queue *queue = calloc(1, sizeof(*queue));

	if (queue)
		queue->path = strdup(path);
	if (!queue || !queue->path) {
		sw_syslog_queue_free(queue);
		return NULL;
	}
	queue->sessions = sessions;
	return queue;
}

static void let_go(struct sw_syslog_queue *queue)
{
	if (queue->store)
		sw_store_read_end(queue->store);
	queue->store = NULL;
}

void sw_syslog_queue_free(struct sw_syslog_queue *queue)
{
	if (!queue)
		return;
	let_go(queue);
	free(queue->path);
	free(queue);
}

/* What cannot be read is opened anew the next time: the file may be another one by then. */
static int unreadable(struct sw_syslog_queue *queue, const char *why, struct sw_fault *fault)
{
	let_go(queue);
	return sw_fault(fault, SW_EXIT_KERNEL, "cannot read %s: %.400s", queue->path, why);
}

static int open_store(struct sw_syslog_queue *queue, struct sw_fault *fault)
{
	char error[SW_STORE_ERROR_SIZE] = "it is not there, or not to be read";

	if (!queue->store && sw_store_read(queue->path, &queue->store, error) < 0) {
		queue->store = NULL;
		return unreadable(queue, error, fault);
	}
	return 0;
}

int sw_syslog_queue_newest(struct sw_syslog_queue *queue, uint64_t *id, struct sw_fault *fault)
{
	char error[SW_STORE_ERROR_SIZE];

	if (open_store(queue, fault) < 0)
		return -1;
	if (sw_store_newest(queue->store, id, error) < 0)
		return unreadable(queue, error, fault);
	return 0;
}

/* ---- one table ---- */

static int take(void *data, const struct sw_record *record)
{
	struct part *part = data;

	if (sw_record_packed_size(record) > sizeof(part->bytes) - part->used) {
		part->cut = true;
		return 1;
	}
	part->used += sw_record_pack(record, part->bytes + part->used);
	part->last = record->id;
	return 0;
}

static int take_first(void *data, const struct sw_record *record)
{
	*(uint64_t *)data = record->id;
	return 1;
}

static int fill(struct sw_syslog_queue *queue, bool sessions, uint64_t after, uint64_t newest,
		struct sw_fault *fault)
{
	struct part *part = &queue->parts[sessions];
	struct sw_search search = sw_search_all;
	char error[SW_STORE_ERROR_SIZE];

	part->used = part->at = 0;
	part->cut = false;
	search.after = after;
	search.before = newest + 1;
	search.sessions = sessions;
	if (sw_store_search(queue->store, &search, take, part, error) < 0)
		return unreadable(queue, error, fault);
	return 0;
}

/* Ids go up from table to table, so what lies between `after` and the oldest that is left is gone. */
static int count_lost(struct sw_syslog_queue *queue, uint64_t after, uint64_t newest,
		      uint64_t *lost, struct sw_fault *fault)
{
	struct sw_search search = sw_search_all;
	char error[SW_STORE_ERROR_SIZE];
	uint64_t oldest = newest + 1;

	for (int sessions = 0; sessions < 2; sessions++) {
		uint64_t first = oldest;

		search.sessions = sessions;
		if (sw_store_search(queue->store, &search, take_first, &first, error) < 0)
			return unreadable(queue, error, fault);
		if (first < oldest)
			oldest = first;
	}
	*lost = oldest > after + 1 ? oldest - after - 1 : 0;
	return 0;
}

/* ---- both ---- */

static bool peek(const struct part *part, struct sw_record *record, size_t *length)
{
	*length = sw_record_unpack(part->bytes + part->at, part->used - part->at, record);
	return *length > 0;
}

/* The next of both in order. */
static bool next(struct sw_syslog_queue *queue, struct sw_record *record)
{
	struct sw_record of[2];
	size_t length[2];
	bool there[2];
	int which;

	for (int i = 0; i < 2; i++)
		there[i] = peek(&queue->parts[i], &of[i], &length[i]);
	if (!there[0] && !there[1])
		return false;
	which = !there[0] || (there[1] && of[1].id < of[0].id);
	*record = of[which];
	queue->parts[which].at += length[which];
	return true;
}

/* Behind the end of a table that was cut nothing of the other one is due. */
static uint64_t end_of_page(const struct sw_syslog_queue *queue, uint64_t newest)
{
	uint64_t end = newest;

	for (int i = 0; i < 2; i++)
		if (queue->parts[i].cut && queue->parts[i].last < end)
			end = queue->parts[i].last;
	return end;
}

static int fill_both(struct sw_syslog_queue *queue, uint64_t after, struct sw_syslog_page *page,
		     struct sw_fault *fault)
{
	/* Asked first: of what comes while the tables are read one after the other, the later ones would
	   be seen without the earlier ones. */
	if (sw_syslog_queue_newest(queue, &page->newest, fault) < 0)
		return -1;
	queue->parts[1].used = queue->parts[1].at = 0;
	queue->parts[1].cut = false;
	if (fill(queue, false, after, page->newest, fault) < 0)
		return -1;
	return queue->sessions ? fill(queue, true, after, page->newest, fault) : 0;
}

/* Is the next record there the one right behind `after`? */
static bool goes_on(const struct sw_syslog_queue *queue, uint64_t after)
{
	for (int i = 0; i < 2; i++) {
		struct sw_record record;
		size_t length;

		if (peek(&queue->parts[i], &record, &length) && record.id == after + 1)
			return true;
	}
	return false;
}

int sw_syslog_queue_read(struct sw_syslog_queue *queue, uint64_t after,
			 int (*each)(void *data, const struct sw_record *record), void *data,
			 struct sw_syslog_page *page, struct sw_fault *fault)
{
	struct sw_record record;

	*page = (struct sw_syslog_page){.upto = after};
	if (fill_both(queue, after, page, fault) < 0)
		return -1;
	if (page->newest <= after)
		return 0;
	page->upto = end_of_page(queue, page->newest);
	if (!goes_on(queue, after) &&
	    count_lost(queue, after, page->newest, &page->lost, fault) < 0)
		return -1;
	while (next(queue, &record) && record.id <= page->upto) {
		if (each(data, &record) < 0)
			return -1;
		page->n++;
	}
	return 0;
}
