/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Loading, attaching, cgroups, counters and events. Policies: policies.c; sockets: sockets.c. */
#include <errno.h>
#include <fcntl.h>
#include <net/if.h>
#include <sched.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include <bpf/bpf.h>
#include <bpf/libbpf.h>

#include "bpf/host.skel.h"
#include "daemon/base.h"
#include "daemon/events.h"
#include "tests/prog/fixture.h"
#include "tests/prog/internal.h"
#include "tests/unit/gate_host.h"

#define CGROUPS_MAX 64
#define EVENTS_MAX 16384 /* more than the ring has room for */

struct fx fx;

static struct {
	char root[256];    /* mount point of cgroup2 */
	char guarded[320]; /* the guarded cgroup's folder */
	char home[512];    /* cgroup.procs that this process came from */
	char made[CGROUPS_MAX][512];
	size_t n_made;
	struct bpf_link *links[FX_PROGRAMS];
	struct ring_buffer *ring;
	struct sw_event *events, *sessions;
	size_t n_events, n_sessions;
	int cgroup_fd;
	pid_t pid; /* that made the cgroups */
} own = {.cgroup_fd = -1};

static void remove_cgroups(void)
{
	int fd sw_autoclose = open(own.home, O_WRONLY | O_CLOEXEC);

	if (fd < 0 || dprintf(fd, "0") < 0)
		return;
	while (own.n_made)
		rmdir(own.made[--own.n_made]);
}

void fx_fail(const char *what)
{
	printf("Bail out! %s: %s\n", what, strerror(errno));
	fflush(NULL);
	if (own.pid == getpid())
		remove_cgroups();
	_exit(1);
}

/* ---- cgroups ---- */

static bool find_cgroup2(void)
{
	FILE *mounts sw_cleanup(sw_fclose_cleanup) = fopen("/proc/self/mounts", "re");
	char line[1024], type[64];

	while (mounts && fgets(line, sizeof(line), mounts))
		if (sscanf(line, "%*s %255s %63s", own.root, type) == 2 && !strcmp(type, "cgroup2"))
			return true;
	return false;
}

static void find_home(void)
{
	FILE *file sw_cleanup(sw_fclose_cleanup) = fopen("/proc/self/cgroup", "re");
	char line[512];

	while (file && fgets(line, sizeof(line), file))
		if (!strncmp(line, "0::", 3)) {
			line[strcspn(line, "\n")] = 0;
			snprintf(own.home, sizeof(own.home), "%s%.200s/cgroup.procs", own.root,
				 line + 3);
		}
}

static void write_pid(const char *path, int pid)
{
	int fd sw_autoclose = open(path, O_WRONLY | O_CLOEXEC);

	if (fd < 0 || dprintf(fd, "%d", pid) < 0)
		fx_fail(path);
}

static void make_cgroup(const char *path)
{
	if (!mkdir(path, 0755)) {
		if (own.n_made == CGROUPS_MAX)
			fx_fail("too many cgroups");
		snprintf(own.made[own.n_made++], sizeof(own.made[0]), "%s", path);
	} else if (errno != EEXIST) {
		fx_fail(path);
	}
}

void fx_enter(int pid, const char *path)
{
	char whole[1024];
	size_t base = (size_t)snprintf(whole, sizeof(whole), "%s", own.guarded);

	for (const char *at = path; *at;) {
		size_t length = strcspn(at, "/");

		base += (size_t)snprintf(whole + base, sizeof(whole) - base, "/%.*s", (int)length,
					 at);
		make_cgroup(whole);
		at += length + (at[length] == '/');
	}
	snprintf(whole + base, sizeof(whole) - base, "/cgroup.procs");
	write_pid(whole, pid);
}

int fx_cgroup_fd(void)
{
	return own.cgroup_fd;
}

/* ---- up and down ---- */

bool fx_usable(void)
{
	const char *why = NULL;

	if (geteuid())
		why = "needs root";
	else if (!find_cgroup2())
		why = "needs a cgroup2 mount";
	if (why)
		printf("1..0 # SKIP %s\n", why);
	return !why;
}

static void bring_loopback_up(void)
{
	int fd sw_autoclose = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	struct ifreq request = {.ifr_name = "lo", .ifr_flags = IFF_UP | IFF_RUNNING};

	if (fd < 0 || ioctl(fd, SIOCSIFFLAGS, &request))
		fx_fail("loopback");
}

static struct bpf_program *program_of(enum fx_program program)
{
	switch (program) {
	case FX_CONNECT4:
		return fx.skel->progs.sw_connect4;
	case FX_CONNECT6:
		return fx.skel->progs.sw_connect6;
	case FX_PEER4:
		return fx.skel->progs.sw_getpeername4;
	case FX_PEER6:
		return fx.skel->progs.sw_getpeername6;
	case FX_SOCKOPS:
		return fx.skel->progs.sw_sockops;
	case FX_INGRESS:
		return fx.skel->progs.sw_ingress;
	default:
		return fx.skel->progs.sw_egress;
	}
}

void fx_detach(enum fx_program program)
{
	bpf_link__destroy(own.links[program]);
	own.links[program] = NULL;
}

void fx_attach(enum fx_program program)
{
	own.links[program] = bpf_program__attach_cgroup(program_of(program), own.cgroup_fd);
	if (!own.links[program])
		fx_fail("attach");
}

/* What the verifier did and how large the code became: a figure to watch, not a test. */
static void tell_size(const struct bpf_program *program)
{
	struct bpf_prog_info info = {};
	__u32 size = sizeof(info);

	if (!bpf_obj_get_info_by_fd(bpf_program__fd(program), &info, &size))
		printf("# %-15s %6u instructions verified, %5u bytes of code\n", info.name,
		       info.verified_insns, info.jited_prog_len);
}

static void tell_sizes(void)
{
	for (int i = 0; i < FX_PROGRAMS; i++)
		tell_size(program_of(i));
	tell_size(fx.skel->progs.sw_wipe);
}

static int take_event(void *context, void *data, size_t size)
{
	struct sw_event event;

	(void)context;
	if (sw_event_check(data, size, &event) || own.n_events == EVENTS_MAX ||
	    own.n_sessions == EVENTS_MAX)
		fx_fail("event");
	if (event.kind == SW_EVENT_SESSION)
		own.sessions[own.n_sessions++] = event;
	else
		own.events[own.n_events++] = event;
	return 0;
}

int fx_up(void **state)
{
	struct stat st;

	(void)state;
	own.pid = getpid();
	find_home();
	snprintf(own.guarded, sizeof(own.guarded), "%s/smtpwall-test-%d", own.root, getpid());
	make_cgroup(own.guarded);
	own.cgroup_fd = open(own.guarded, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (own.cgroup_fd < 0 || fstat(own.cgroup_fd, &st))
		fx_fail(own.guarded);
	fx.cgroup_id = st.st_ino;
	fx_enter(0, "");
	if (unshare(CLONE_NEWNET))
		fx_fail("unshare");
	bring_loopback_up();
	fx.skel = sw_host__open_and_load();
	if (!fx.skel)
		fx_fail("load");
	for (int i = 0; i < FX_PROGRAMS; i++)
		fx_attach(i);
	own.events = calloc(EVENTS_MAX, sizeof(*own.events));
	own.sessions = calloc(EVENTS_MAX, sizeof(*own.sessions));
	own.ring = ring_buffer__new(bpf_map__fd(fx.skel->maps.events), take_event, NULL, NULL);
	if (!own.events || !own.sessions || !own.ring)
		fx_fail("ring buffer");
	fx_samples_up();
	tell_sizes();
	return fx_reset(NULL);
}

/* Each decision has given back what it decided in. */
static void check_scratches(void)
{
	struct bpf_map *map = fx.skel->maps.scratches;
	size_t size = (bpf_map__value_size(map) + 7) / 8 * 8, cpus = libbpf_num_possible_cpus();
	uint8_t *values sw_autofree = calloc(cpus, size);

	for (uint32_t i = 0; i < bpf_map__max_entries(map); i++) {
		if (!values || bpf_map_lookup_elem(bpf_map__fd(map), &i, values))
			fx_fail("scratches");
		for (size_t cpu = 0; cpu < cpus; cpu++)
			if (*(uint32_t *)(values + cpu * size))
				fx_fail("a scratch is still taken");
	}
}

int fx_down(void **state)
{
	(void)state;
	check_scratches();
	fx_stop_listening();
	fx_samples_down();
	ring_buffer__free(own.ring);
	free(own.events);
	free(own.sessions);
	for (int i = 0; i < FX_PROGRAMS; i++)
		fx_detach(i);
	sw_host__destroy(fx.skel);
	close(own.cgroup_fd);
	remove_cgroups();
	return 0;
}

/* ---- counters and events ---- */

static uint64_t sum(struct bpf_map *map, uint32_t key)
{
	uint64_t values[512] = {}, total = 0;
	int n = libbpf_num_possible_cpus();

	if (n < 0 || n > 512 || bpf_map_lookup_elem(bpf_map__fd(map), &key, values))
		fx_fail("counter");
	for (int i = 0; i < n; i++)
		total += values[i];
	return total;
}

uint64_t fx_counter(enum sw_counter counter)
{
	return sum(fx.skel->maps.counters, counter);
}

/* struct sw_gated: the gate, then two sides of one size, each of which begins with its word `busy`. */
void fx_take_gate(int fd)
{
	const struct bpf_map *gates = fx.skel->maps.gates;
	size_t size = bpf_map__value_size(gates), side = (size - sizeof(struct sw_gate)) / 2;
	static const uint32_t busy = 1;
	uint8_t *value sw_autofree = calloc(1, size);

	if (!value || bpf_map__lookup_elem(gates, &fd, sizeof(fd), value, size, 0))
		fx_fail("gate of a socket");
	memcpy(value + sizeof(struct sw_gate), &busy, sizeof(busy));
	memcpy(value + sizeof(struct sw_gate) + side, &busy, sizeof(busy));
	/* Not in place: a socket of 6.1 may not have the memory for an old one and a new one. */
	if (bpf_map__delete_elem(gates, &fd, sizeof(fd), 0) ||
	    bpf_map__update_elem(gates, &fd, sizeof(fd), value, size, BPF_NOEXIST))
		fx_fail("gate of a socket");
}

uint64_t fx_hits(unsigned int slot, uint16_t rule)
{
	return sum(fx.skel->maps.hits, slot * SW_RULES_MAX + rule);
}

static void zero(struct bpf_map *map, uint32_t n)
{
	static const uint64_t zeros[512];

	for (uint32_t key = 0; key < n; key++)
		if (bpf_map_update_elem(bpf_map__fd(map), &key, zeros, BPF_ANY))
			fx_fail("zero");
}

int fx_reset(void **state)
{
	(void)state;
	fx_enter(0, "");
	fx_begin(1);
	fx_begin(0);
	fx_apply();
	fx_elsewhere(false);
	fx_events();
	fx_samples();
	zero(fx.skel->maps.counters, SW_COUNT_MAX);
	zero(fx.skel->maps.hits, 2 * SW_RULES_MAX);
	return 0;
}

size_t fx_events(void)
{
	own.n_events = own.n_sessions = 0;
	if (ring_buffer__consume(own.ring) < 0)
		fx_fail("ring buffer");
	return own.n_events;
}

/* `of`: the events or the sessions of this fixture. */
static void await(const size_t *of, size_t n)
{
	int found = 1;

	while (*of < n && found > 0)
		found = ring_buffer__poll(own.ring, 30000);
	if (found < 0)
		fx_fail("ring buffer");
}

size_t fx_await_events(void)
{
	own.n_events = own.n_sessions = 0;
	await(&own.n_events, 1);
	return own.n_events;
}

size_t fx_await_sessions(size_t n)
{
	own.n_events = own.n_sessions = 0;
	await(&own.n_sessions, n);
	return own.n_events;
}

size_t fx_sessions(void)
{
	return own.n_sessions;
}

const struct sw_event *fx_session(size_t index)
{
	assert_true(index < own.n_sessions);
	return &own.sessions[index];
}

const struct sw_event *fx_event(size_t index)
{
	assert_true(index < own.n_events);
	return &own.events[index];
}

const struct sw_event *fx_one_event(void)
{
	/* What a packet brings about may come later than the call that sent it. */
	fx_events();
	await(&own.n_events, 1);
	assert_int_equal(own.n_events, 1);
	return fx_event(0);
}

/* ---- children ---- */

int fx_child(int (*body)(void *data), void *data)
{
	int status;
	pid_t pid;

	fflush(NULL);
	pid = fork();
	if (pid < 0)
		fx_fail("fork");
	if (!pid) {
		int code = body(data);

		_exit(code < 0 ? -code : code);
	}
	if (waitpid(pid, &status, 0) != pid || !WIFEXITED(status))
		fx_fail("child");
	return WEXITSTATUS(status);
}
