/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "tests/bench/guard.h"

#include <errno.h>
#include <pthread.h>
#include <string.h>
#include <time.h>

#include <bpf/libbpf.h>

#include "bpf/host.skel.h"
#include "daemon/base.h"
#include "tests/bench/host_empty.skel.h"
#include "tests/prog/fixture.h"
#include "tests/prog/internal.h"

static struct bpf_link *attach(const struct worker *worker, struct bpf_program *program)
{
	struct bpf_link *link = bpf_program__attach_cgroup(program, worker->guarded_fd);

	if (!link)
		workers_fail(bpf_program__name(program));
	return link;
}

/* ---- events ---- */

static int forget(void *context, void *data, size_t size)
{
	(void)context;
	(void)data;
	(void)size;
	return 0;
}

/* As the daemon reads: at once what comes after a quiet time, from then on every few milliseconds. */
static void *read_events(void *data)
{
	const struct timespec batch = {.tv_nsec = 5000000};
	int n;

	do {
		n = ring_buffer__poll(data, -1);
		while (n > 0) {
			nanosleep(&batch, NULL);
			n = ring_buffer__consume(data);
		}
	} while (n >= 0 || n == -EINTR);
	return NULL;
}

/* A thread for each ring: as each has a daemon. */
static void begin_reading(struct sw_host *skel)
{
	struct ring_buffer *ring =
		ring_buffer__new(bpf_map__fd(skel->maps.events), forget, NULL, NULL);
	pthread_t thread;

	if (!ring || pthread_create(&thread, NULL, read_events, ring))
		workers_fail("events");
	pthread_detach(thread);
}

/* ---- programs ---- */

static void attach_smtpwall(struct guard *guard, const struct worker *worker, guard_policy *policy)
{
	struct sw_host *skel = sw_host__open_and_load();

	if (!skel)
		workers_fail("programs");
	fx.skel = skel;
	fx.cgroup_id = worker->guarded_id;
	fx_begin(1);
	fx_begin(0);
	policy();
	fx_apply();
	begin_reading(skel);
	attach(worker, skel->progs.sw_connect4);
	attach(worker, skel->progs.sw_connect6);
	attach(worker, skel->progs.sw_getpeername4);
	attach(worker, skel->progs.sw_getpeername6);
	attach(worker, skel->progs.sw_egress);
	attach(worker, skel->progs.sw_sockops);
	guard->ingress = attach(worker, skel->progs.sw_ingress);
}

static struct bpf_program *egress_of(const struct sw_host_empty *skel, enum guard_programs programs)
{
	switch (programs) {
	case GUARD_LEAST:
		return skel->progs.least_egress;
	case GUARD_LEAST_TOLD:
		return skel->progs.least_told_egress;
	case GUARD_LEAST_TOLD_BOTH:
		return skel->progs.least_told_both_egress;
	case GUARD_LEAST_TOLD_KNOWN:
		return skel->progs.least_told_known_egress;
	default:
		return skel->progs.empty_egress;
	}
}

static void attach_empty(struct guard *guard, const struct worker *worker,
			 enum guard_programs programs)
{
	struct sw_host_empty *skel = sw_host_empty__open_and_load();

	if (!skel)
		workers_fail("empty programs");
	if (programs == GUARD_EMPTY_REFUSE) {
		attach(worker, skel->progs.empty_refuse4);
		return;
	}
	attach(worker, skel->progs.empty_connect4);
	if (programs == GUARD_EMPTY_CONNECT)
		return;
	attach(worker, skel->progs.empty_connect6);
	attach(worker, skel->progs.empty_getpeername4);
	attach(worker, skel->progs.empty_getpeername6);
	attach(worker, egress_of(skel, programs));
	attach(worker, skel->progs.empty_sockops);
	guard->ingress = attach(worker, skel->progs.empty_ingress);
}

void guard_attach(struct guard *guard, const struct worker *worker, enum guard_programs programs,
		  guard_policy *policy)
{
	*guard = (struct guard){};
	if (programs == GUARD_SMTPWALL)
		attach_smtpwall(guard, worker, policy);
	else if (programs != GUARD_NONE)
		attach_empty(guard, worker, programs);
}

void guard_only_out(struct guard *guard)
{
	/* Workers that were started since have the link open as well. */
	if (guard->ingress)
		bpf_link__detach(guard->ingress);
	bpf_link__destroy(guard->ingress);
	guard->ingress = NULL;
}
