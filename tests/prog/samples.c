/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The maps that tell of connections: `flows` and the ring buffer `samples`. */
#include <errno.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include <bpf/bpf.h>
#include <bpf/libbpf.h>

#include "bpf/host.skel.h"
#include "daemon/base.h"
#include "tests/prog/fixture.h"
#include "tests/prog/internal.h"

#define SAMPLES_MAX 64

static struct {
	struct ring_buffer *ring;
	uint8_t *samples[SAMPLES_MAX];
	size_t sizes[SAMPLES_MAX], n;
	uint8_t *memory; /* of the ring: a page with the writers' place, then the bytes */
	size_t memory_size, page;
} own;

static int take_sample(void *context, void *data, size_t size)
{
	(void)context;
	if (own.n == SAMPLES_MAX || size < sizeof(struct sw_sample))
		fx_fail("sample");
	own.samples[own.n] = malloc(size);
	if (!own.samples[own.n])
		fx_fail("sample");
	memcpy(own.samples[own.n], data, size);
	own.sizes[own.n++] = size;
	return 0;
}

void fx_samples_up(void)
{
	int fd = bpf_map__fd(fx.skel->maps.samples);

	own.page = (size_t)sysconf(_SC_PAGESIZE);
	own.memory_size = own.page + bpf_map__max_entries(fx.skel->maps.samples);
	own.memory = mmap(NULL, own.memory_size, PROT_READ, MAP_SHARED, fd, (off_t)own.page);
	own.ring = ring_buffer__new(fd, take_sample, NULL, NULL);
	if (own.memory == MAP_FAILED || !own.ring)
		fx_fail("samples");
}

static void drop_samples(void)
{
	while (own.n)
		free(own.samples[--own.n]);
}

void fx_samples_down(void)
{
	drop_samples();
	ring_buffer__free(own.ring);
	munmap(own.memory, own.memory_size);
}

size_t fx_samples(void)
{
	drop_samples();
	if (ring_buffer__consume(own.ring) < 0)
		fx_fail("samples");
	return own.n;
}

const struct sw_sample *fx_sample(size_t index, size_t *n)
{
	assert_true(index < own.n);
	*n = own.sizes[index];
	return (const struct sw_sample *)own.samples[index];
}

uint64_t fx_wipe(void)
{
	static const uint8_t packet[64];
	LIBBPF_OPTS(bpf_test_run_opts, run, .data_in = packet, .data_size_in = sizeof(packet));

	if (bpf_prog_test_run_opts(bpf_program__fd(fx.skel->progs.sw_wipe), &run))
		fx_fail("wipe");
	return __atomic_load_n((uint64_t *)own.memory, __ATOMIC_ACQUIRE);
}

const uint8_t *fx_samples_memory(size_t *n)
{
	*n = own.memory_size - own.page;
	return own.memory + own.page;
}

bool fx_flow(uint64_t cookie, struct sw_flow *flow)
{
	uint32_t at = cookie % (SW_FLOWS_MAX / SW_FLOW_WAYS) * SW_FLOW_WAYS;

	for (uint32_t end = at + SW_FLOW_WAYS; at < end; at++) {
		if (bpf_map_lookup_elem(bpf_map__fd(fx.skel->maps.flows), &at, flow))
			fx_fail("flows");
		if (flow->cookie == cookie)
			return true;
	}
	return false;
}

uint64_t fx_cookie(int fd)
{
	uint64_t cookie = 0;
	socklen_t size = sizeof(cookie);

	if (getsockopt(fd, SOL_SOCKET, SO_COOKIE, &cookie, &size))
		fx_fail("cookie");
	return cookie;
}
