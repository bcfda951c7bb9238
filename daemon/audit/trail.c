/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Records lie in `bytes` from `tail` to `head`, both counted from the beginning of time; a record that
 * does not fit before the end of the ring starts at its beginning, and a filler says so. Of every
 * STRIDE-th record the place is remembered, so that a reader finds its own without walking from the
 * oldest one.
 */
#include "daemon/audit/trail.h"

#include <errno.h>
#include <pthread.h>
#include <string.h>
#include <time.h>

#include "daemon/base.h"

#define STRIDE 64
#define MARKS 4096 /* of the places remembered; those of records that are gone are not used */

struct sw_trail {
	pthread_mutex_t lock;
	pthread_cond_t more;
	uint64_t first, next; /* ids */
	uint64_t tail, head;
	size_t size;
	bool closed;
	struct mark {
		uint64_t id, at;
	} marks[MARKS];
	unsigned char bytes[];
};

struct sw_trail *sw_trail_new(size_t bytes, uint64_t last)
{
	struct sw_trail *trail;
	pthread_condattr_t clock;

	bytes -= bytes % sizeof(uint32_t);
	trail = calloc(1, sizeof(*trail) + bytes);
	if (!trail)
		return NULL;
	trail->size = bytes;
	trail->first = trail->next = last + 1;
	pthread_mutex_init(&trail->lock, NULL);
	pthread_condattr_init(&clock);
	pthread_condattr_setclock(&clock, CLOCK_MONOTONIC);
	pthread_cond_init(&trail->more, &clock);
	pthread_condattr_destroy(&clock);
	return trail;
}

void sw_trail_free(struct sw_trail *trail)
{
	if (!trail)
		return;
	pthread_cond_destroy(&trail->more);
	pthread_mutex_destroy(&trail->lock);
	free(trail);
}

/* A length in front of each record and each filler; SKIP: the rest of the ring is unused. */
#define SKIP UINT32_MAX

static uint32_t length_at(const struct sw_trail *trail, uint64_t at)
{
	uint32_t length;

	memcpy(&length, trail->bytes + at % trail->size, sizeof(length));
	return length;
}

static void put_length(struct sw_trail *trail, uint64_t at, uint32_t length)
{
	memcpy(trail->bytes + at % trail->size, &length, sizeof(length));
}

/* The place of the record that begins at `at`, or behind the filler there. Places are multiples of four,
   as is the size of the ring, so a length always fits before the end. */
static uint64_t record_at(const struct sw_trail *trail, uint64_t at)
{
	if (length_at(trail, at) == SKIP)
		at += trail->size - at % trail->size;
	return at;
}

static uint64_t behind(const struct sw_trail *trail, uint64_t at)
{
	return at + sizeof(uint32_t) + (length_at(trail, at) + 3u) / 4u * 4u;
}

static void drop_oldest(struct sw_trail *trail)
{
	trail->tail = behind(trail, record_at(trail, trail->tail));
	trail->first++;
}

/* Room for `need` bytes in one piece; returns where. */
static uint64_t make_room(struct sw_trail *trail, size_t need)
{
	size_t left = trail->size - trail->head % trail->size;
	bool skip = left < need;
	uint64_t at = skip ? trail->head + left : trail->head;

	while (trail->first < trail->next && at + need - trail->tail > trail->size)
		drop_oldest(trail);
	if (trail->first == trail->next)
		trail->tail = at; /* it is empty: nothing reads the filler */
	else if (skip)
		put_length(trail, trail->head, SKIP);
	return at;
}

uint64_t sw_trail_add(struct sw_trail *trail, const struct sw_record *record)
{
	struct sw_record numbered = *record;
	char packed[SW_PACKED_MAX];
	uint64_t at;
	size_t size, need;

	pthread_mutex_lock(&trail->lock);
	numbered.id = trail->next;
	size = sw_record_pack(&numbered, packed);
	need = sizeof(uint32_t) + (size + 3) / 4 * 4;
	at = make_room(trail, need);
	put_length(trail, at, (uint32_t)size);
	memcpy(trail->bytes + at % trail->size + sizeof(uint32_t), packed, size);
	if (numbered.id % STRIDE == 0)
		trail->marks[numbered.id / STRIDE % MARKS] =
			(struct mark){.id = numbered.id, .at = at};
	trail->head = at + need;
	trail->next++;
	pthread_mutex_unlock(&trail->lock);
	return numbered.id;
}

void sw_trail_wake(struct sw_trail *trail)
{
	pthread_mutex_lock(&trail->lock);
	pthread_cond_broadcast(&trail->more);
	pthread_mutex_unlock(&trail->lock);
}

void sw_trail_close(struct sw_trail *trail)
{
	pthread_mutex_lock(&trail->lock);
	trail->closed = true;
	pthread_cond_broadcast(&trail->more);
	pthread_mutex_unlock(&trail->lock);
}

void sw_trail_bounds(struct sw_trail *trail, uint64_t *first, uint64_t *next)
{
	pthread_mutex_lock(&trail->lock);
	*first = trail->first;
	*next = trail->next;
	pthread_mutex_unlock(&trail->lock);
}

/* Where the record of this id lies, which is there. */
static uint64_t find(const struct sw_trail *trail, uint64_t id)
{
	const struct mark *mark = &trail->marks[id / STRIDE % MARKS];
	bool marked = mark->id <= id && mark->id >= trail->first && mark->id;
	uint64_t at = marked ? mark->at : trail->tail;

	for (uint64_t i = marked ? mark->id : trail->first; i < id; i++)
		at = behind(trail, record_at(trail, at));
	return at;
}

size_t sw_trail_read(struct sw_trail *trail, uint64_t *next, void *to, size_t size, uint64_t *lost)
{
	size_t used = 0;
	uint64_t at;

	pthread_mutex_lock(&trail->lock);
	*lost = *next < trail->first ? trail->first - *next : 0;
	*next += *lost;
	at = *next < trail->next ? find(trail, *next) : 0;
	while (*next < trail->next) {
		uint32_t length;

		at = record_at(trail, at);
		length = length_at(trail, at);
		if (length > size - used)
			break;
		memcpy((char *)to + used, trail->bytes + at % trail->size + sizeof(length), length);
		used += length;
		at = behind(trail, at);
		++*next;
	}
	pthread_mutex_unlock(&trail->lock);
	return used;
}

static struct timespec moment(uint64_t usec)
{
	struct timespec at;

	clock_gettime(CLOCK_MONOTONIC, &at);
	at.tv_sec += (time_t)(usec / 1000000u);
	at.tv_nsec += (long)(usec % 1000000u) * 1000;
	if (at.tv_nsec >= 1000000000) {
		at.tv_nsec -= 1000000000;
		at.tv_sec++;
	}
	return at;
}

bool sw_trail_wait(struct sw_trail *trail, uint64_t next, uint64_t usec)
{
	struct timespec until = moment(usec);
	bool open;

	pthread_mutex_lock(&trail->lock);
	if (!trail->closed && trail->next <= next)
		pthread_cond_timedwait(&trail->more, &trail->lock, &until);
	open = !trail->closed;
	pthread_mutex_unlock(&trail->lock);
	return open;
}

bool sw_trail_pause(struct sw_trail *trail, uint64_t usec)
{
	struct timespec until = moment(usec);
	bool open;
	int error = 0;

	pthread_mutex_lock(&trail->lock);
	while (!trail->closed && error != ETIMEDOUT)
		error = pthread_cond_timedwait(&trail->more, &trail->lock, &until);
	open = !trail->closed;
	pthread_mutex_unlock(&trail->lock);
	return open;
}
