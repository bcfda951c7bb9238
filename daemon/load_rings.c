/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * load_rings.c - the ring buffers: events, and the first bytes of connections, which are overwritten on
 * demand.
 */
#include <errno.h>
#include <string.h>
#include <sys/mman.h>

#include "daemon/load_internal.h"

/* Records read in one go, so that a flood of them does not keep the control socket waiting. */
#define RECORDS_AT_ONCE 512

/* Each round overwrites what is free, all but one record of the whole ring when nobody else writes. */
#define WIPE_ROUNDS 16

static int one_record(void *data, void *bytes, size_t size)
{
	struct sw_reader *reader = data;

	reader->record(reader->data, bytes, size);
	/* A negative answer ends the reading; this record counts as read. */
	return --reader->left ? 0 : -EAGAIN;
}

static size_t page_size(void)
{
	return (size_t)sysconf(_SC_PAGESIZE);
}

static int reader_open(struct sw_kernel *kernel, struct sw_reader *reader, enum sw_map map,
		       void (*record)(void *data, const void *bytes, size_t size), void *data,
		       struct sw_fault *fault)
{
	void *positions;

	/* Each of the first two pages of a ring begins with a position; the data follow. */
	positions = mmap(NULL, 2 * page_size(), PROT_READ, MAP_SHARED, sw_map_fd(kernel, map), 0);
	if (positions == MAP_FAILED)
		return sw_kernel_refused(fault, "cannot map the ring buffer", errno);
	reader->positions = positions;
	reader->size = bpf_map__max_entries(kernel->maps[map]);
	reader->record = record;
	reader->data = data;
	reader->ring = ring_buffer__new(sw_map_fd(kernel, map), one_record, reader, NULL);
	if (!reader->ring)
		return sw_kernel_refused(fault, "cannot open the ring buffer", errno);
	return 0;
}

void sw_reader_close(struct sw_reader *reader)
{
	ring_buffer__free(reader->ring);
	if (reader->positions)
		munmap((void *)reader->positions, 2 * page_size());
}

/* The place that is read at next, and the one that programs write at next: bytes since the ring was made. */
static uint64_t reader_begin(const struct sw_reader *reader)
{
	return __atomic_load_n((const uint64_t *)reader->positions, __ATOMIC_ACQUIRE);
}

static uint64_t reader_end(const struct sw_reader *reader)
{
	const char *second = (const char *)reader->positions + page_size();

	return __atomic_load_n((const uint64_t *)second, __ATOMIC_ACQUIRE);
}

static void reader_lag(const struct sw_reader *reader, uint64_t *waiting, uint64_t *size)
{
	uint64_t begin;

	*waiting = *size = 0;
	if (!reader->positions)
		return;
	/* In this order: programs only go on, so the difference is never negative. */
	begin = reader_begin(reader);
	*waiting = reader_end(reader) - begin;
	*size = reader->size;
}

static unsigned int reader_read(struct sw_reader *reader)
{
	reader->left = RECORDS_AT_ONCE;
	reader->reading = true;
	ring_buffer__consume(reader->ring);
	reader->reading = false;
	return RECORDS_AT_ONCE - reader->left;
}

int sw_kernel_events_open(struct sw_kernel *kernel,
			  void (*record)(void *data, const void *bytes, size_t size), void *data,
			  struct sw_fault *fault)
{
	struct sw_head *head = kernel->head;

	if (reader_open(kernel, &kernel->events, SW_MAP_EVENTS, record, data, fault) < 0)
		return -1;
	/* A daemon was killed after it had counted a record and before the ring let go of it: it comes
	   again. */
	if (head->taken && head->taken_at[(head->taken - 1) & 1] == reader_begin(&kernel->events))
		head->taken--;
	return 0;
}

void sw_kernel_took(struct sw_kernel *kernel, bool of_ring)
{
	struct sw_head *head = kernel->head;
	uint64_t at = UINT64_MAX;

	if (of_ring)
		at = reader_begin(&kernel->events);
	/* The place first: a daemon that is killed in between has not counted it. */
	__atomic_store_n(&head->taken_at[head->taken & 1], at, __ATOMIC_RELAXED);
	__atomic_store_n(&head->taken, head->taken + 1, __ATOMIC_RELEASE);
}

int sw_kernel_events_fd(const struct sw_kernel *kernel)
{
	return sw_map_fd(kernel, SW_MAP_EVENTS);
}

unsigned int sw_kernel_events_read(struct sw_kernel *kernel)
{
	return kernel->events.ring ? reader_read(&kernel->events) : 0;
}

void sw_kernel_events_lag(const struct sw_kernel *kernel, uint64_t *waiting, uint64_t *size)
{
	reader_lag(&kernel->events, waiting, size);
}

/* ---- first bytes ---- */

int sw_kernel_samples_open(struct sw_kernel *kernel,
			   void (*sample)(void *data, const void *bytes, size_t size), void *data,
			   struct sw_fault *fault)
{
	return reader_open(kernel, &kernel->samples, SW_MAP_SAMPLES, sample, data, fault);
}

int sw_kernel_samples_fd(const struct sw_kernel *kernel)
{
	return ring_buffer__epoll_fd(kernel->samples.ring);
}

void sw_kernel_samples_read(struct sw_kernel *kernel)
{
	reader_read(&kernel->samples);
}

void sw_kernel_samples_lag(const struct sw_kernel *kernel, uint64_t *waiting, uint64_t *size)
{
	reader_lag(&kernel->samples, waiting, size);
}

int sw_kernel_samples_wipe(struct sw_kernel *kernel)
{
	static const uint8_t packet[64]; /* a test run wants an Ethernet header; nobody reads it */
	LIBBPF_OPTS(bpf_test_run_opts, run, .data_in = packet, .data_size_in = sizeof(packet));
	uint64_t begin;

	if (kernel->samples.reading || !kernel->samples.positions)
		return -EBUSY; /* what is being read would be read again */
	begin = reader_end(&kernel->samples);
	for (int i = 0; i < WIPE_ROUNDS; i++) {
		uint64_t end;

		/* Makes room: what is read is free, and so is what the last round left behind. */
		reader_read(&kernel->samples);
		if (bpf_prog_test_run_opts(kernel->wipe, &run) < 0)
			return -errno;
		end = reader_end(&kernel->samples);
		if (end - begin >= kernel->samples.size) {
			reader_read(&kernel->samples);
			return 0;
		}
	}
	return -EAGAIN;
}
