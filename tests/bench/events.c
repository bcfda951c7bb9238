/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * events - what an event costs: its record in the kernel, and the daemon that takes it as far as the queue of
 * its sinks. The records are made by the code that the programs make them with; the daemon is the real one, and
 * reads them from the ring buffer that it has pinned.
 *
 *   events [--full]
 */
#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/mman.h>
#include <unistd.h>

#include <bpf/bpf.h>
#include <bpf/libbpf.h>

#include "bpf/abi.h"
#include "daemon/base.h"
#include "tests/bench/events.skel.h"
#include "tests/bench/pair.h"
#include "tests/bench/place.h"

#define TABLE "events"
#define AT_ONCE 1000u /* records a run; the ring has room for five times as many */
#define BATCH_USEC 5000
#define RUNS 10u            /* for one measurement of a record */
#define FLOOD 200000u       /* events for one measurement of the daemon */
#define STREAM 60000u       /* one by one, */
#define STREAM_RATE 300000u /* so many a second */
#define USERS 64u           /* that they are about, in turn */

enum way { WAY_NONE, WAY_EVENT, WAY_BARE, WAY_WAKING };

struct request {
	uint32_t n, way, done;
};

/* The two positions of a ring: bytes read, and bytes written. */
struct positions {
	const volatile uint64_t *read, *written;
};

static struct sw_events *skeleton;
static struct positions ring;
static pid_t daemon_pid;

static uint32_t emit(uint32_t n, enum way way)
{
	struct request request = {.n = n, .way = way};
	LIBBPF_OPTS(bpf_test_run_opts, run, .ctx_in = &request, .ctx_size_in = sizeof(request));

	if (bpf_prog_test_run_opts(bpf_program__fd(skeleton->progs.emit_events), &run) < 0)
		place_fail("program run");
	return request.done;
}

/* struct sw_sock is the kernel side's; the caller lies in its flow, which the file below knows the place of. */
static void name_subject(uint32_t user)
{
	struct bpf_map *map = skeleton->maps.subject;
	size_t size = bpf_map__value_size(map), at = skeleton->rodata->flow_at;
	sw_autofree char *value = calloc(1, size);
	struct sw_flow flow = {.caller = {.cgroup_id = 1,
					  .exe_inode = 2,
					  .pid = 1000,
					  .uid = 1000 + user,
					  .gid = 1000 + user,
					  .comm = "php-fpm8.2",
					  .exe = "/usr/sbin/php-fpm8.2",
					  .cgroup = "/system.slice/php8.2-fpm.service"}};

	memcpy(value + at, &flow, sizeof(flow));
	if (bpf_map__update_elem(map, &(uint32_t){0}, 4, value, size, BPF_ANY) < 0)
		place_fail("subject");
}

/* With `pins` the daemon's ring and counters are used, else ones of our own. */
static void load(bool pins)
{
	struct bpf_map *map;
	int fd;

	skeleton = sw_events__open();
	if (!skeleton)
		place_fail("open");
	bpf_object__for_each_map(map, skeleton->obj)
	{
		bool shared = map == skeleton->maps.events || map == skeleton->maps.counters;
		char pin[64];

		if (!shared && map != skeleton->maps.subject && map != skeleton->maps.head &&
		    !bpf_map__is_internal(map))
			bpf_map__set_autocreate(map, false);
		if (!shared || !pins)
			continue;
		snprintf(pin, sizeof(pin), "bpf/pin/%s", bpf_map__name(map));
		fd = bpf_obj_get(place_path(pin));
		if (fd < 0 || bpf_map__reuse_fd(map, fd) < 0)
			place_fail(pin);
		close(fd);
	}
	if (sw_events__load(skeleton) < 0)
		place_fail("load");
	name_subject(0);
}

static void map_positions(void)
{
	size_t page = (size_t)sysconf(_SC_PAGESIZE);
	const char *at =
		mmap(NULL, 2 * page, PROT_READ, MAP_SHARED, bpf_map__fd(skeleton->maps.events), 0);

	if (at == MAP_FAILED)
		place_fail("mmap");
	ring.read = (const volatile uint64_t *)at;
	ring.written = (const volatile uint64_t *)(at + page);
}

static void stay_on(pid_t thread, int cpu)
{
	cpu_set_t set;

	CPU_ZERO(&set);
	CPU_SET(cpu, &set);
	if (sched_setaffinity(thread, sizeof(set), &set) < 0 && errno != EINVAL)
		place_fail("affinity");
}

/* ---- a record ---- */

static int drop(void *data, void *bytes, size_t size)
{
	(void)data;
	(void)bytes;
	(void)size;
	return 0;
}

static volatile bool reading;

static volatile enum way reads;

/* Takes what there is when it is woken, or in batches as smtpwalld does. */
static void *read_ring(void *data)
{
	struct ring_buffer *buffer = data;

	stay_on(0, 1);
	while (reading) {
		if (reads == WAY_WAKING)
			ring_buffer__poll(buffer, 1);
		else
			usleep(BATCH_USEC);
		ring_buffer__consume(buffer);
	}
	return NULL;
}

/* ns of a step that makes a record in this way. */
static double record(void *data)
{
	const enum way *way = data;
	uint64_t began, took = 0;

	reads = *way;
	for (unsigned int i = 0; i < RUNS; i++) {
		began = pair_now();
		emit(AT_ONCE, *way);
		took += pair_now() - began;
		/* Outside of what is measured: the reader has seen them, whoever woke it. */
		while (*ring.read != *ring.written)
			sched_yield();
	}
	return (double)took / RUNS / AT_ONCE;
}

static void records(int rounds)
{
	static enum way ways[] = {WAY_NONE, WAY_EVENT, WAY_BARE, WAY_WAKING};
	const struct pair_row row = {
		.table = TABLE,
		.row = "a record in the kernel: reserved, filled, submitted",
		.unit = "ns",
		.note = "304 bytes each; a reader waits for them on the other CPU",
		.n_sides = 4,
		.sides = {{"no record", record, &ways[0]},
			  {"smtpwall", record, &ways[1]},
			  {"empty, nobody woken", record, &ways[2]},
			  {"reader woken for each", record, &ways[3]}},
		.n_aims = 1,
		.aims = {{.side = 1,
			  .against = 0,
			  .measure = PAIR_DIFFERENCE,
			  .limit = 20,
			  .allows = "ring buffer: millions a second"}},
	};
	struct ring_buffer *buffer;
	pthread_t thread;

	load(false);
	map_positions();
	buffer = ring_buffer__new(bpf_map__fd(skeleton->maps.events), drop, NULL, NULL);
	reading = true;
	if (!buffer || pthread_create(&thread, NULL, read_ring, buffer) != 0)
		place_fail("reader");
	pair_run(&row, rounds);
	reading = false;
	pthread_join(thread, NULL);
	ring_buffer__free(buffer);
	sw_events__destroy(skeleton);
}

/* ---- the daemon ---- */

static uint64_t flood_ns;

/* CPU ns of the daemon's main thread for an event, from the ring to the queue of the sinks. */
static double flood(void *data)
{
	const uint64_t room = (uint64_t)bpf_map__max_entries(skeleton->maps.events) * 3 / 4;
	uint64_t began = pair_now(), before = place_cpu(daemon_pid, daemon_pid);
	uint32_t done = 0;

	(void)data;
	for (unsigned int i = 0; done < FLOOD; i++) {
		while (*ring.written - *ring.read > room)
			usleep(100);
		if (i % 8 == 0)
			name_subject(i / 8 % USERS);
		done += emit(AT_ONCE / 4, WAY_EVENT);
	}
	while (*ring.read != *ring.written)
		usleep(100);
	flood_ns = pair_now() - began;
	return (double)(place_cpu(daemon_pid, daemon_pid) - before) / done;
}

/* The same at 300,000 a second, one after the other: whoever reads them as they come reads each for itself. */
static double stream(void *data)
{
	uint64_t began = pair_now(), before = place_cpu(daemon_pid, daemon_pid);
	uint32_t done = 0;

	(void)data;
	while (done < STREAM)
		if ((pair_now() - began) * STREAM_RATE / 1000000000u > done)
			done += emit(1, WAY_EVENT);
	while (*ring.read != *ring.written)
		usleep(100);
	return (double)(place_cpu(daemon_pid, daemon_pid) - before) / done;
}

static double flood_rate(void *data)
{
	flood(data);
	return FLOOD * 1e9 / (double)flood_ns / 1000;
}

static void tell_memory(const char *row, double limit)
{
	struct place_memory memory = place_memory(daemon_pid);
	const double values[] = {memory.rss, memory.mapped};
	const struct pair_row told = {
		.table = TABLE,
		.row = row,
		.unit = "MiB",
		.n_sides = 2,
		.sides = {{.name = "smtpwalld"}, {.name = "mapped of the kernel's maps"}},
		.n_aims = 1,
		.aims = {{.measure = PAIR_VALUE, .limit = limit, .allows = "queue and SQLite"}},
	};

	pair_told(&told, values);
}

static void taking(int rounds)
{
	const struct pair_row cost = {
		.table = TABLE,
		.row = "the daemon takes an event: CPU of its reading thread",
		.unit = "ns",
		.note = "from the ring buffer to the queue of its sinks; these write on the other "
			"CPU",
		.n_sides = 1,
		.sides = {{"smtpwalld", flood, NULL}},
		.n_aims = 1,
		.aims = {{.measure = PAIR_VALUE, .limit = 3333, .allows = ""}},
	};
	const struct pair_row steady = {
		.table = TABLE,
		.row = "the same, 300,000 a second one by one",
		.unit = "ns",
		.n_sides = 1,
		.sides = {{"smtpwalld", stream, NULL}},
		.n_aims = 1,
		.aims = {{.measure = PAIR_VALUE, .limit = 3333, .allows = ""}},
	};
	const struct pair_row rate = {
		.table = TABLE,
		.row = "the daemon takes events on one CPU, all that come",
		.unit = "thousand a second",
		.n_sides = 1,
		.sides = {{"smtpwalld", flood_rate, NULL}},
		.n_aims = 1,
		.aims = {{.measure = PAIR_VALUE, .at_least = true, .limit = 300, .allows = ""}},
	};

	place_policy("policy", 4, 0, false);
	daemon_pid = place_daemon(NULL, NULL);
	stay_on(0, 0);
	stay_on(daemon_pid, 1);
	load(true);
	map_positions();
	flood(NULL);
	sleep(4);
	tell_memory("memory after 200,000 events", 20);
	pair_run(&cost, rounds);
	pair_run(&steady, rounds);
	pair_run(&rate, rounds);
	sleep(4);
	tell_memory("memory after all of them", 20);
	sw_events__destroy(skeleton);
}

int main(int argc, char **argv)
{
	bool full = argc > 1 && strcmp(argv[1], "--full") == 0;

	if (!place_up())
		return 0;
	records(full ? 201 : 31);
	taking(full ? 31 : 5);
	place_down();
	return 0;
}
