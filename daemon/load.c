/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/random.h>
#include <sys/utsname.h>

#include "bpf/host.skel.h"
#include "daemon/load_edge.h"
#include "daemon/load_internal.h"
#include "daemon/load_types.h"

#define OLDEST_MAJOR 6
#define OLDEST_MINOR 1

const char *const sw_map_names[SW_MAP_MAX] = {
	[SW_MAP_NAMES] = "names",
	[SW_MAP_IDS] = "ids",
	[SW_MAP_CGROUPS] = "cgroups",
	[SW_MAP_PREFIXES] = "prefixes",
	[SW_MAP_LOCAL] = "local",
	[SW_MAP_SCRATCHES] = "scratches",
	[SW_MAP_SOCKETS] = "sockets",
	[SW_MAP_GATES] = "gates",
	[SW_MAP_SERVE_WORK] = "serve_work",
	[SW_MAP_GREETED] = "greeted",
	[SW_MAP_FLOWS] = "flows",
	[SW_MAP_COUNTERS] = "counters",
	[SW_MAP_HITS] = "hits",
	[SW_MAP_REMEMBERED] = "remembered",
	[SW_MAP_LIMITER] = "limiter",
	[SW_MAP_EVENTS] = "events",
	[SW_MAP_SAMPLES] = "samples",
	[SW_MAP_RULE_INFO] = "rule_info",
	[SW_MAP_POLICY_INFO] = "policy_info",
	[SW_MAP_HEAD] = "head",
	[SW_MAP_UNASKED] = "unasked",
};

const struct sw_hook_row sw_hook_rows[SW_HOOK_MAX] = {
	[SW_HOOK_CONNECT4] = {"connect4", "sw_connect4", "link_connect4", BPF_CGROUP_INET4_CONNECT},
	[SW_HOOK_CONNECT6] = {"connect6", "sw_connect6", "link_connect6", BPF_CGROUP_INET6_CONNECT},
	[SW_HOOK_GETPEERNAME4] = {"getpeername4", "sw_getpeername4", "link_getpeername4",
				  BPF_CGROUP_INET4_GETPEERNAME},
	[SW_HOOK_GETPEERNAME6] = {"getpeername6", "sw_getpeername6", "link_getpeername6",
				  BPF_CGROUP_INET6_GETPEERNAME},
	[SW_HOOK_SOCKOPS] = {"sockops", "sw_sockops", "link_sockops", BPF_CGROUP_SOCK_OPS},
	[SW_HOOK_INGRESS] = {"ingress", "sw_ingress", "link_ingress", BPF_CGROUP_INET_INGRESS},
	[SW_HOOK_EGRESS] = {"egress", "sw_egress", "link_egress", BPF_CGROUP_INET_EGRESS},
};

/* libbpf has one print function for the process, so its words are kept for the process too. Several threads
   may speak (load_programs.c). */
static struct {
	pthread_mutex_t lock;
	char text[8192];
	size_t used;
	void (*line)(const char *text);
} said = {.lock = PTHREAD_MUTEX_INITIALIZER};

static void forget_words(void)
{
	pthread_mutex_lock(&said.lock);
	said.used = 0;
	said.text[0] = '\0';
	pthread_mutex_unlock(&said.lock);
}

static void keep_line(const char *line)
{
	size_t length = strlen(line);

	/* What came last is nearest to the cause: older lines make room. */
	if (said.used + length >= sizeof(said.text)) {
		size_t drop = said.used + length - sizeof(said.text) + 1;

		drop = drop > said.used ? said.used : drop;
		memmove(said.text, said.text + drop, said.used - drop);
		said.used -= drop;
	}
	memcpy(said.text + said.used, line, length + 1);
	said.used += length;
}

static int keep_words(enum libbpf_print_level level, const char *format, va_list args)
{
	char line[2048];

	if (level == LIBBPF_DEBUG && !said.line)
		return 0;
	vsnprintf(line, sizeof(line), format, args);
	pthread_mutex_lock(&said.lock);
	if (said.line)
		said.line(line);
	if (level != LIBBPF_DEBUG)
		keep_line(line);
	pthread_mutex_unlock(&said.lock);
	return 0;
}

void sw_kernel_capture(void (*line)(const char *text))
{
	said.line = line;
	libbpf_set_print(keep_words);
}

const char *sw_kernel_said(void)
{
	return said.text;
}

static bool kernel_too_old(const struct utsname *name)
{
	unsigned int major = 0, minor = 0;

	if (sscanf(name->release, "%u.%u", &major, &minor) != 2)
		return false;
	return major < OLDEST_MAJOR || (major == OLDEST_MAJOR && minor < OLDEST_MINOR);
}

static bool locked_down(void)
{
	sw_autofclose FILE *file = fopen("/sys/kernel/security/lockdown", "re");
	char line[128];

	return file && fgets(line, sizeof(line), file) && strstr(line, "[confidentiality]");
}

int sw_kernel_refused(struct sw_fault *fault, const char *what, int error)
{
	struct utsname name;
	const char *hint = "";

	if (uname(&name) == 0 && kernel_too_old(&name))
		return sw_fault(fault, SW_EXIT_KERNEL,
				"%s: %s: this kernel is %s, smtpwall needs %d.%d or later", what,
				strerror(error), name.release, OLDEST_MAJOR, OLDEST_MINOR);
	if (access("/sys/kernel/btf/vmlinux", R_OK) < 0)
		hint = ": the kernel gives no type information in /sys/kernel/btf/vmlinux; it must "
		       "be built with CONFIG_DEBUG_INFO_BTF";
	else if (error == EPERM && locked_down())
		hint = ": kernel lockdown is in confidentiality mode, which forbids BPF programs "
		       "to "
		       "read kernel memory; see /sys/kernel/security/lockdown";
	else if (error == EPERM || error == EACCES)
		hint = ": smtpwalld needs to be root with CAP_BPF, CAP_PERFMON and CAP_NET_ADMIN, "
		       "and no program that forbids others may be attached to a cgroup above";
	else if (error == ENOMEM || error == E2BIG || error == ENOSPC)
		hint = ": not enough memory, or a limit of the kernel is reached";
	return sw_fault(fault, SW_EXIT_KERNEL, "%s: %s%s", what, strerror(error), hint);
}

/* The id that kernel programs see is the 64-bit node id that the file handle carries. */
static int cgroup_id(int fd, uint64_t *id)
{
	struct {
		struct file_handle head;
		uint64_t id;
	} handle = {.head.handle_bytes = sizeof(uint64_t)};
	int mount_id;

	if (name_to_handle_at(fd, "", &handle.head, &mount_id, AT_EMPTY_PATH) < 0)
		return -errno;
	memcpy(id, handle.head.f_handle, sizeof(*id));
	return 0;
}

static struct sw_kernel *kernel_new(const char *pin_dir, int cgroup_fd)
{
	struct sw_kernel *kernel = calloc(1, sizeof(*kernel));

	if (!kernel)
		return NULL;
	kernel->pin_dir = strdup(pin_dir);
	if (!kernel->pin_dir) {
		free(kernel);
		return NULL;
	}
	kernel->cgroup_fd = cgroup_fd;
	kernel->head = MAP_FAILED;
	kernel->wipe = kernel->types = -1;
	kernel->fence[0] = kernel->fence[1] = -1;
	for (int i = 0; i < SW_HOOK_MAX; i++)
		kernel->links[i] = kernel->programs[i] = kernel->loaded[i] = -1;
	for (int i = 0; i <= SW_HOOK_MAX; i++)
		kernel->pinned[i] = -1;
	return kernel;
}

void sw_kernel_close(struct sw_kernel *kernel)
{
	struct sw_fault fault;

	if (!kernel)
		return;
	sw_programs_end(kernel, &fault);
	sw_edge_close(kernel);
	sw_reader_close(&kernel->events);
	sw_reader_close(&kernel->samples);
	if (kernel->head != MAP_FAILED)
		munmap(kernel->head, kernel->head_size);
	for (int i = 0; i < SW_HOOK_MAX; i++) {
		sw_close_cleanup(&kernel->links[i]);
		sw_close_cleanup(&kernel->loaded[i]);
	}
	sw_close_cleanup(&kernel->types);
	sw_close_cleanup(&kernel->fence[0]);
	sw_close_cleanup(&kernel->fence[1]);
	sw_programs_close(kernel);
	sw_host__destroy(kernel->skeleton);
	free(kernel->pin_dir);
	free(kernel);
}

static void kernel_close_cleanup(struct sw_kernel **kernel)
{
	sw_kernel_close(*kernel);
}

static void close_all(int (*fds)[SW_MAP_MAX])
{
	for (int i = 0; i < SW_MAP_MAX; i++)
		sw_close_cleanup(&(*fds)[i]);
}

static void keep_model(struct sw_kernel *kernel, enum sw_map map)
{
	const struct bpf_map *inner = bpf_map__inner_map(kernel->maps[map]);

	if (inner)
		kernel->models[map] = (struct sw_model){.type = bpf_map__type(inner),
							.key_size = bpf_map__key_size(inner),
							.value_size = bpf_map__value_size(inner),
							.flags = bpf_map__map_flags(inner)};
}

/* Opens the object for its maps; the programs of the hooks are left to load_programs.c. */
static int open_object(struct sw_kernel *kernel, char types[static SW_TYPES_PATH],
		       struct sw_fault *fault)
{
	LIBBPF_OPTS(bpf_object_open_opts, opts, .btf_custom_path = types);
	struct bpf_program *program;

	kernel->types = sw_types_new(types);
	if (kernel->types < 0)
		return sw_kernel_refused(fault, "cannot make a file in memory", -kernel->types);
	kernel->skeleton = sw_host__open_opts(&opts);
	if (!kernel->skeleton)
		return sw_kernel_refused(fault, "cannot open the BPF object", errno);
	bpf_object__for_each_program(program, kernel->skeleton->obj)
		bpf_program__set_autoload(program, program == kernel->skeleton->progs.sw_wipe);
	for (int i = 0; i < SW_MAP_MAX; i++) {
		kernel->maps[i] =
			bpf_object__find_map_by_name(kernel->skeleton->obj, sw_map_names[i]);
		if (!kernel->maps[i])
			return sw_fault(fault, SW_EXIT_KERNEL, "the BPF object has no map %s",
					sw_map_names[i]);
		keep_model(kernel, i);
	}
	return 0;
}

/* Makes the maps that were not taken over, and begins to load the programs. */
static int load_object(struct sw_kernel *kernel, const char *types, struct sw_fault *fault)
{
	int error = sw_types_fill(kernel->types, SW_TYPES_KERNEL,
				  bpf_object__btf(kernel->skeleton->obj));

	if (error)
		return sw_kernel_refused(fault, "cannot read " SW_TYPES_KERNEL, -error);
	error = sw_host__load(kernel->skeleton);
	if (error)
		return sw_kernel_refused(fault, "the kernel refused the maps", -error);
	kernel->wipe = bpf_program__fd(kernel->skeleton->progs.sw_wipe);
	return sw_programs_begin(kernel, types, fault);
}

static void fresh_head(struct sw_head *head)
{
	head->abi = SW_ABI_VERSION;
	/* Without a random number a store takes the maps for those that it knew: it says so. */
	if (getrandom(&head->instance, sizeof(head->instance), GRND_NONBLOCK) < 0)
		head->instance = 0;
}

static int map_head(struct sw_kernel *kernel, struct sw_fault *fault)
{
	size_t page = (size_t)sysconf(_SC_PAGESIZE);
	struct sw_head *head;

	kernel->head_size = (sizeof(*head) + page - 1) / page * page;
	kernel->head = mmap(NULL, kernel->head_size, PROT_READ | PROT_WRITE, MAP_SHARED,
			    sw_map_fd(kernel, SW_MAP_HEAD), 0);
	head = kernel->head;
	if (head == MAP_FAILED)
		return sw_kernel_refused(fault, "cannot map the policy's head", errno);
	if (kernel->pins != SW_PINS_CURRENT)
		fresh_head(head);
	head->cgroup_id = kernel->cgroup_id;
	for (int i = 0; i < 2; i++)
		if (head->slot[i].generation > kernel->generation)
			kernel->generation = head->slot[i].generation;
	return 0;
}

static bool is_pinned(const struct sw_kernel *kernel)
{
	size_t size;
	const void *bytes = sw_host__elf_bytes(&size);

	return sw_object_is_pinned(kernel, SW_OBJECT_HOST, bytes, size);
}

void sw_host_remember(struct sw_kernel *kernel)
{
	size_t size;
	const void *bytes = sw_host__elf_bytes(&size);

	sw_object_remember(kernel, SW_OBJECT_HOST, bytes, size);
}

/* The pinned programs when they are of this object; else its own. What is in force must not change before it is
   known that they can be had, so where maps are gone on with they are waited for. */
static int load_or_adopt(struct sw_kernel *kernel, const char *types, struct sw_fault *fault)
{
	kernel->went_on = kernel->pins == SW_PINS_CURRENT;
	if (!kernel->went_on)
		return load_object(kernel, types, fault) < 0 ? -1 : map_head(kernel, fault);
	if (map_head(kernel, fault) < 0)
		return -1;
	if (is_pinned(kernel) && sw_programs_adopt(kernel))
		return 0;
	return load_object(kernel, types, fault) < 0 ? -1 : sw_kernel_loaded(kernel, fault);
}

static int adopt_maps(struct sw_kernel *kernel, int fds[static SW_MAP_MAX], struct sw_fault *fault)
{
	for (int i = 0; i < SW_MAP_MAX; i++) {
		int error = fds[i] < 0 ? 0 : bpf_map__reuse_fd(kernel->maps[i], fds[i]);

		if (error)
			return sw_fault(fault, SW_EXIT_KERNEL, "cannot take over the map %s/%s: %s",
					kernel->pin_dir, sw_map_names[i], strerror(-error));
	}
	return 0;
}

int sw_kernel_open(const char *pin_dir, int cgroup_fd, struct sw_kernel **kernel,
		   struct sw_fault *fault)
{
	sw_cleanup(kernel_close_cleanup) struct sw_kernel *new = kernel_new(pin_dir, cgroup_fd);
	sw_cleanup(close_all) int fds[SW_MAP_MAX];
	char types[SW_TYPES_PATH];
	int error;

	forget_words();
	for (int i = 0; i < SW_MAP_MAX; i++)
		fds[i] = -1;
	if (!new)
		return sw_fault(fault, SW_EXIT_KERNEL, "out of memory");
	error = cgroup_id(cgroup_fd, &new->cgroup_id);
	if (error)
		return sw_kernel_refused(fault, "cannot learn the id of the cgroup", -error);
	new->cpus = libbpf_num_possible_cpus();
	if (new->cpus < 1)
		return sw_kernel_refused(fault, "cannot count the CPUs", -new->cpus);
	if (open_object(new, types, fault) < 0 || sw_pins_inspect(new, fds, fault) < 0 ||
	    adopt_maps(new, fds, fault) < 0 || load_or_adopt(new, types, fault) < 0)
		return -1;
	error = sw_fence_open(new);
	if (error)
		return sw_kernel_refused(fault, "cannot make a map", -error);
	*kernel = sw_take(new);
	return 0;
}

int sw_kernel_loaded(struct sw_kernel *kernel, struct sw_fault *fault)
{
	int result = sw_programs_end(kernel, fault);

	sw_close_cleanup(&kernel->types);
	kernel->types = -1;
	return result;
}

enum sw_pins sw_kernel_pins(const struct sw_kernel *kernel)
{
	return kernel->pins;
}
