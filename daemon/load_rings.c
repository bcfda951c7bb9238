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

static int reader_open(struct sw_kernel *kernel, struct sw_reader *reader, enum sw_map map,
		       void (*record)(void *data, const void *bytes, size_t size), void *data,
		       struct sw_fault *fault)
{
	reader->record = record;
	reader->data = data;
	reader->ring = ring_buffer__new(sw_map_fd(kernel, map), one_record, reader, NULL);
	if (!reader->ring)
		return sw_kernel_refused(fault, "cannot open the ring buffer", errno);
	return 0;
}

static void reader_read(struct sw_reader *reader)
{
	reader->left = RECORDS_AT_ONCE;
	reader->reading = true;
	ring_buffer__consume(reader->ring);
	reader->reading = false;
}

int sw_kernel_events_open(struct sw_kernel *kernel,
			  void (*record)(void *data, const void *bytes, size_t size), void *data,
			  struct sw_fault *fault)
{
	size_t page = (size_t)sysconf(_SC_PAGESIZE);
	struct sw_head *head = kernel->head;
	void *read;

	/* The first page of a ring begins with the place that is read at next. */
	read = mmap(NULL, page, PROT_READ, MAP_SHARED, sw_map_fd(kernel, SW_MAP_EVENTS), 0);
	if (read == MAP_FAILED)
		return sw_kernel_refused(fault, "cannot map the ring buffer", errno);
	kernel->events_read = read;
	/* A daemon was killed after it had counted a record and before the ring let go of it: it comes
	   again. */
	if (head->taken && head->taken_at[(head->taken - 1) & 1] == *kernel->events_read)
		head->taken--;
	return reader_open(kernel, &kernel->events, SW_MAP_EVENTS, record, data, fault);
}

void sw_kernel_took(struct sw_kernel *kernel, bool of_ring)
{
	struct sw_head *head = kernel->head;
	uint64_t at = UINT64_MAX;

	if (of_ring)
		at = __atomic_load_n(kernel->events_read, __ATOMIC_RELAXED);
	/* The place first: a daemon that is killed in between has not counted it. */
	__atomic_store_n(&head->taken_at[head->taken & 1], at, __ATOMIC_RELAXED);
	__atomic_store_n(&head->taken, head->taken + 1, __ATOMIC_RELEASE);
}

int sw_kernel_events_fd(const struct sw_kernel *kernel)
{
	return ring_buffer__epoll_fd(kernel->events.ring);
}

void sw_kernel_events_read(struct sw_kernel *kernel)
{
	if (kernel->events.ring)
		reader_read(&kernel->events);
}

/* ---- first bytes ---- */

int sw_kernel_samples_open(struct sw_kernel *kernel,
			   void (*sample)(void *data, const void *bytes, size_t size), void *data,
			   struct sw_fault *fault)
{
	size_t page = (size_t)sysconf(_SC_PAGESIZE);
	void *end;

	/* The second page of a ring begins with the place that programs write at next. */
	end = mmap(NULL, page, PROT_READ, MAP_SHARED, sw_map_fd(kernel, SW_MAP_SAMPLES),
		   (off_t)page);
	if (end == MAP_FAILED)
		return sw_kernel_refused(fault, "cannot map the ring buffer", errno);
	kernel->samples_end = end;
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

int sw_kernel_samples_wipe(struct sw_kernel *kernel)
{
	static const uint8_t packet[64]; /* a test run wants an Ethernet header; nobody reads it */
	LIBBPF_OPTS(bpf_test_run_opts, run, .data_in = packet, .data_size_in = sizeof(packet));
	uint64_t begin;

	if (kernel->samples.reading || !kernel->samples_end)
		return -EBUSY; /* what is being read would be read again */
	begin = __atomic_load_n(kernel->samples_end, __ATOMIC_ACQUIRE);
	for (int i = 0; i < WIPE_ROUNDS; i++) {
		uint64_t end;

		/* Makes room: what is read is free, and so is what the last round left behind. */
		reader_read(&kernel->samples);
		if (bpf_prog_test_run_opts(kernel->wipe, &run) < 0)
			return -errno;
		end = __atomic_load_n(kernel->samples_end, __ATOMIC_ACQUIRE);
		if (end - begin >= bpf_map__max_entries(kernel->maps[SW_MAP_SAMPLES])) {
			reader_read(&kernel->samples);
			return 0;
		}
	}
	return -EAGAIN;
}
