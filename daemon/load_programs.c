/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * load_programs.c - the programs of the hooks, loaded by threads while the rest of a start goes on.
 *
 * What takes long is the kernel's verifier, which looks at one program after the other of one caller, but at
 * those of several callers side by side. libbpf leaves an object to one thread, so each thread opens the object
 * for itself, loads its part of the programs on the maps that the skeleton's object has made, and closes it.
 */
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <string.h>

#include "bpf/host.skel.h"
#include "daemon/load_internal.h"
#include "daemon/load_types.h"

#define PARTS_MAX 4

/* About how long each takes to be verified, in hundredths of all: parts are made equal by it. */
static const unsigned int share[SW_HOOK_MAX] = {
	[SW_HOOK_CONNECT4] = 19,    [SW_HOOK_CONNECT6] = 20, [SW_HOOK_EGRESS] = 27,
	[SW_HOOK_INGRESS] = 24,     [SW_HOOK_SOCKOPS] = 10,  [SW_HOOK_GETPEERNAME4] = 0,
	[SW_HOOK_GETPEERNAME6] = 0,
};

/* What one thread loads. Until the thread has ended it has this for itself; of `kernel` it reads the skeleton. */
struct part {
	const struct sw_kernel *kernel;
	const char *types;
	bool hooks[SW_HOOK_MAX];
	pthread_t thread;
	bool runs;
	int fds[SW_HOOK_MAX];
	int error; /* positive; 0: all are loaded */
	const char *what;
};

struct sw_loading {
	char types[SW_TYPES_PATH];
	unsigned int n;
	struct part parts[PARTS_MAX];
};

/* ---- one part ---- */

static void close_object(struct bpf_object **object)
{
	bpf_object__close(*object);
}

static bool is_in(const struct part *part, const struct bpf_program *program, int *hook)
{
	for (*hook = 0; *hook < SW_HOOK_MAX; ++*hook)
		if (strcmp(bpf_program__name(program), sw_hook_rows[*hook].program) == 0)
			return part->hooks[*hook];
	return false;
}

/* 0 or -errno. */
static int share_maps(const struct part *part, struct bpf_object *object)
{
	struct bpf_map *map;

	bpf_object__for_each_map(map, object)
	{
		const struct bpf_map *made = bpf_object__find_map_by_name(
			part->kernel->skeleton->obj, bpf_map__name(map));
		int error = made ? bpf_map__reuse_fd(map, bpf_map__fd(made)) : -ENOENT;

		if (error)
			return error;
	}
	return 0;
}

/* Keeps the programs when the object goes. 0 or -errno. */
static int keep_programs(struct part *part, struct bpf_object *object)
{
	struct bpf_program *program;

	bpf_object__for_each_program(program, object)
	{
		int hook;

		if (!is_in(part, program, &hook))
			continue;
		part->fds[hook] = fcntl(bpf_program__fd(program), F_DUPFD_CLOEXEC, 3);
		if (part->fds[hook] < 0)
			return -errno;
	}
	return 0;
}

static int failed(struct part *part, const char *what, int error)
{
	part->what = what;
	part->error = error;
	return -1;
}

static int load_part(struct part *part)
{
	LIBBPF_OPTS(bpf_object_open_opts, opts, .btf_custom_path = part->types);
	sw_cleanup(close_object) struct bpf_object *object = NULL;
	struct bpf_program *program;
	size_t size;
	const void *bytes = sw_host__elf_bytes(&size);
	int error, hook;

	object = bpf_object__open_mem(bytes, size, &opts);
	if (!object)
		return failed(part, "cannot open the BPF object", errno);
	bpf_object__for_each_program(program, object)
		bpf_program__set_autoload(program, is_in(part, program, &hook));
	error = share_maps(part, object);
	if (error)
		return failed(part, "cannot share the maps", -error);
	error = bpf_object__load(object);
	if (error)
		return failed(part, "the kernel refused the programs", -error);
	error = keep_programs(part, object);
	return error ? failed(part, "cannot keep the programs", -error) : 0;
}

static void *run_part(void *data)
{
	load_part(data);
	return NULL;
}

/* ---- all parts ---- */

static unsigned int count_parts(void)
{
	cpu_set_t set;
	int n = sched_getaffinity(0, sizeof(set), &set) < 0 ? 1 : CPU_COUNT(&set);

	return n < 1 ? 1 : n > PARTS_MAX ? PARTS_MAX : (unsigned int)n;
}

/* The largest first, each to the part that has least. */
static void deal(struct sw_loading *loading)
{
	unsigned int sums[PARTS_MAX] = {};
	bool dealt[SW_HOOK_MAX] = {};

	for (int i = 0; i < SW_HOOK_MAX; i++) {
		unsigned int least = 0;
		int largest = -1;

		for (int j = 0; j < SW_HOOK_MAX; j++)
			if (!dealt[j] && (largest < 0 || share[j] > share[largest]))
				largest = j;
		for (unsigned int j = 1; j < loading->n; j++)
			if (sums[j] < sums[least])
				least = j;
		dealt[largest] = true;
		sums[least] += share[largest];
		loading->parts[least].hooks[largest] = true;
	}
}

/* Signals are for the thread that began: it is the one that ends in order. */
static void start_parts(struct sw_loading *loading)
{
	sigset_t all, before;

	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &before);
	for (unsigned int i = 0; i < loading->n; i++) {
		struct part *part = &loading->parts[i];

		part->runs = pthread_create(&part->thread, NULL, run_part, part) == 0;
	}
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	/* No thread is to be had: then it goes on when this is done. */
	for (unsigned int i = 0; i < loading->n; i++)
		if (!loading->parts[i].runs)
			load_part(&loading->parts[i]);
}

int sw_programs_begin(struct sw_kernel *kernel, const char *types, struct sw_fault *fault)
{
	struct sw_loading *loading = calloc(1, sizeof(*loading));

	if (!loading)
		return sw_fault(fault, SW_EXIT_KERNEL, "out of memory");
	snprintf(loading->types, sizeof(loading->types), "%s", types);
	loading->n = count_parts();
	for (unsigned int i = 0; i < loading->n; i++) {
		struct part *part = &loading->parts[i];

		part->kernel = kernel;
		part->types = loading->types;
		for (int j = 0; j < SW_HOOK_MAX; j++)
			part->fds[j] = -1;
	}
	deal(loading);
	kernel->loading = loading;
	start_parts(loading);
	return 0;
}

/* The programs of a part are the kernel's from now on. */
static int take_programs(struct sw_kernel *kernel, struct part *part)
{
	for (int i = 0; i < SW_HOOK_MAX; i++) {
		struct bpf_prog_info info = {};
		uint32_t size = sizeof(info);

		if (part->fds[i] < 0)
			continue;
		kernel->programs[i] = kernel->loaded[i] = sw_take_fd(part->fds[i]);
		if (bpf_obj_get_info_by_fd(kernel->programs[i], &info, &size) < 0)
			return -errno;
		kernel->program_ids[i] = info.id;
	}
	return 0;
}

int sw_programs_end(struct sw_kernel *kernel, struct sw_fault *fault)
{
	sw_autofree struct sw_loading *loading = sw_take(kernel->loading);
	int result = 0;

	for (unsigned int i = 0; loading && i < loading->n; i++) {
		struct part *part = &loading->parts[i];

		if (part->runs)
			pthread_join(part->thread, NULL);
		if (!part->error)
			part->error = -take_programs(kernel, part);
		for (int j = 0; j < SW_HOOK_MAX; j++)
			sw_close_cleanup(&part->fds[j]);
		if (part->error && result == 0)
			result = sw_kernel_refused(
				fault, part->what ? part->what : "cannot look at the programs",
				part->error);
	}
	for (int i = 0; i < SW_HOOK_MAX && result == 0; i++)
		if (kernel->programs[i] < 0)
			result = sw_fault(fault, SW_EXIT_KERNEL, "the program %s is not loaded",
					  sw_hook_rows[i].program);
	return result;
}
