/* SPDX-License-Identifier: GPL-2.0-or-later */
/* load.h with the real programs: pins, links, what an older version left, connections, first bytes. */
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include <bpf/bpf.h>

#include "daemon/load.h"
#include "tests/prog/fixture.h"
#include "tests/unit/policy_image.h"

#define PORT 5871

static char bpffs[] = "/tmp/smtpwall-test-XXXXXX", pin_dir[64];

static void kernel_cleanup(struct sw_kernel **kernel)
{
	struct sw_fault fault = {};

	if (*kernel && sw_kernel_detach(*kernel, &fault) < 0)
		print_error("%s\n", fault.text);
	sw_kernel_close(*kernel);
}

#define autokernel sw_cleanup(kernel_cleanup)

static struct sw_kernel *opened(void)
{
	struct sw_kernel *kernel = NULL;
	struct sw_fault fault = {};

	if (sw_kernel_open(pin_dir, fx_cgroup_fd(), &kernel, &fault) < 0)
		print_error("%s\n", fault.text);
	assert_non_null(kernel);
	return kernel;
}

static void attach(struct sw_kernel *kernel)
{
	struct sw_hook_state states[SW_HOOK_MAX];
	struct sw_fault fault = {};
	unsigned int repaired;

	if (sw_kernel_attach(kernel, &fault) < 0)
		print_error("%s\n", fault.text);
	assert_int_equal(sw_kernel_check(kernel, states, &repaired), 0);
	assert_int_equal(repaired, 0);
	for (int i = 0; i < SW_HOOK_MAX; i++) {
		assert_true(states[i].attached);
		assert_string_equal(states[i].problem, "");
	}
	assert_string_equal(states[SW_HOOK_SOCKOPS].name, "sockops");
	assert_string_equal(states[SW_HOOK_INGRESS].name, "ingress");
}

static int setup(void **state)
{
	(void)state;
	return mkdir(pin_dir, 0700) && errno != EEXIST;
}

static void pinned(const char *name, char path[static 128])
{
	snprintf(path, 128, "%s/%s", pin_dir, name);
}

static int pinned_fd(const char *name)
{
	char path[128];
	int fd;

	pinned(name, path);
	fd = bpf_obj_get(path);
	assert_return_code(fd, errno);
	return fd;
}

static void goes_on(void **state)
{
	struct sw_kernel *kernel autokernel = opened();

	(void)state;
	assert_int_equal(sw_kernel_pins(kernel), SW_PINS_NONE);
	attach(kernel);
	sw_kernel_close(kernel);
	kernel = opened();
	assert_int_equal(sw_kernel_pins(kernel), SW_PINS_CURRENT);
	attach(kernel);
}

static uint32_t map_id(int fd)
{
	struct bpf_map_info info = {};
	__u32 size = sizeof(info);

	assert_return_code(bpf_obj_get_info_by_fd(fd, &info, &size), errno);
	return info.id;
}

/* Does a program of that name use this map? Other tests may have loaded programs of the same name. */
static bool is_program_on(int fd, const char *name, uint32_t map)
{
	uint32_t maps[64];
	struct bpf_prog_info info = {.map_ids = (uintptr_t)maps, .nr_map_ids = sw_count(maps)};
	__u32 size = sizeof(info);

	if (fd < 0 || bpf_obj_get_info_by_fd(fd, &info, &size) < 0 || strcmp(info.name, name) != 0)
		return false;
	for (uint32_t i = 0; i < info.nr_map_ids && i < sw_count(maps); i++)
		if (maps[i] == map)
			return true;
	return false;
}

/* How many programs of this name there are on the maps that are pinned. */
static unsigned int programs_named(const char *name)
{
	int head sw_autoclose = pinned_fd("head");
	uint32_t map = map_id(head);
	unsigned int n = 0;
	__u32 id = 0;

	while (bpf_prog_get_next_id(id, &id) == 0) {
		int fd sw_autoclose = bpf_prog_get_fd_by_id(id);

		n += is_program_on(fd, name, map);
	}
	return n;
}

/* What is pinned of the same object is not loaded again; in doubt it is. */
static void loads_no_program_twice(void **state)
{
	struct sw_kernel *kernel autokernel = opened();
	unsigned int before;
	struct sw_head *head;
	char path[128];

	(void)state;
	attach(kernel);
	sw_kernel_close(kernel);
	before = programs_named("sw_connect4");
	kernel = opened();
	assert_int_equal(programs_named("sw_connect4"), before);
	attach(kernel);
	sw_kernel_close(kernel);
	/* One of them is gone. */
	pinned("sw_wipe", path);
	assert_return_code(unlink(path), errno);
	kernel = opened();
	assert_int_equal(programs_named("sw_connect4"), before + 1);
	attach(kernel);
	assert_return_code(access(path, F_OK), errno);
	sw_kernel_close(kernel);
	/* They are of another object. */
	kernel = opened();
	assert_int_equal(programs_named("sw_connect4"), before);
	head = (struct sw_head *)sw_kernel_head(kernel);
	head->objects[0][0] ^= 1;
	sw_kernel_close(kernel);
	kernel = opened();
	assert_int_equal(programs_named("sw_connect4"), before + 1);
	attach(kernel);
}

/* The least number of descriptors among which `n` are free. */
static rlim_t room_for(unsigned int n)
{
	int fd = 0;

	for (; n; fd++)
		n -= fcntl(fd, F_GETFD) < 0;
	return (rlim_t)fd;
}

static unsigned int open_files(void)
{
	unsigned int n = 0;

	for (int fd = 0; fd < 1024; fd++)
		n += fcntl(fd, F_GETFD) >= 0;
	return n;
}

/* Programs are loaded by threads: what becomes of them when the kernel refuses, and when nobody waits. */
static void leaves_nothing_when_refused(void **state)
{
	unsigned int files = open_files(), more;
	struct sw_kernel *kernel = opened();
	struct rlimit before, few;
	struct sw_fault fault = {};
	int error;

	(void)state;
	assert_int_equal(sw_kernel_loaded(kernel, &fault), 0);
	more = open_files() - files;
	sw_kernel_close(kernel);
	assert_return_code(getrlimit(RLIMIT_NOFILE, &before), errno);
	/* As many as it holds in the end: too few for those who load programs on the same maps. */
	few = before;
	few.rlim_cur = room_for(more);
	assert_return_code(setrlimit(RLIMIT_NOFILE, &few), errno);
	error = sw_kernel_open(pin_dir, fx_cgroup_fd(), &kernel, &fault);
	if (error == 0) {
		error = sw_kernel_loaded(kernel, &fault);
		assert_int_equal(sw_kernel_attach(kernel, &(struct sw_fault){}), -1);
		sw_kernel_close(kernel);
	} else {
		print_error("%s\n", fault.text);
	}
	assert_return_code(setrlimit(RLIMIT_NOFILE, &before), errno);
	assert_int_equal(error, -1);
	assert_int_equal(fault.status, SW_EXIT_KERNEL);
	assert_non_null(strstr(fault.text, strerror(EMFILE)));
	assert_null(strstr(fault.text, "refused the maps"));
	/* Neither pinned nor held by a descriptor, so they are gone. */
	assert_int_equal(open_files(), files);
	assert_return_code(rmdir(pin_dir), errno);
}

static void waits_for_its_threads(void **state)
{
	unsigned int files = open_files();

	(void)state;
	sw_kernel_close(opened());
	/* Neither pinned nor held by a descriptor, so they are gone. */
	assert_int_equal(open_files(), files);
	assert_return_code(rmdir(pin_dir), errno);
}

static void puts_back(void **state)
{
	static const char *const links[] = {"link_ingress", "link_sockops"};
	struct sw_kernel *kernel autokernel = opened();
	struct sw_hook_state states[SW_HOOK_MAX];
	unsigned int repaired;

	(void)state;
	attach(kernel);
	for (size_t i = 0; i < 2; i++) {
		int fd sw_autoclose = pinned_fd(links[i]);

		assert_return_code(bpf_link_detach(fd), errno);
	}
	assert_int_equal(sw_kernel_check(kernel, states, &repaired), 0);
	assert_int_equal(repaired, 2);
	assert_string_not_equal(states[SW_HOOK_INGRESS].problem, "");
	assert_string_not_equal(states[SW_HOOK_SOCKOPS].problem, "");
	assert_int_equal(sw_kernel_check(kernel, states, &repaired), 0);
	assert_int_equal(repaired, 0);
}

/* As version 1 left it: fewer hooks and maps, and its number in `head`. */
static void replaces_an_older_version(void **state)
{
	static const char *const newer[] = {"link_ingress", "link_sockops", "sw_ingress",
					    "sw_sockops",   "gates",        "flows",
					    "samples",      "scratches"};
	struct sw_kernel *kernel autokernel = opened();
	size_t size = (sizeof(struct sw_head) + 4095) / 4096 * 4096;
	char path[128];
	int fd sw_autoclose = -1;
	struct sw_head *head;

	(void)state;
	attach(kernel);
	fd = pinned_fd("head");
	head = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	assert_true(head != MAP_FAILED);
	head->abi = 1;
	munmap(head, size);
	for (size_t i = 0; i < sw_count(newer); i++) {
		pinned(newer[i], path);
		assert_return_code(unlink(path), errno);
	}
	sw_kernel_close(kernel);
	kernel = opened();
	assert_int_equal(sw_kernel_pins(kernel), SW_PINS_REPLACE);
	attach(kernel);
	for (size_t i = 0; i < sw_count(newer); i++) {
		pinned(newer[i], path);
		assert_return_code(access(path, F_OK), errno);
	}
	assert_int_equal(sw_kernel_head(kernel)->abi, SW_ABI_VERSION);
}

/* ---- ports ---- */

static void assert_unasked(bool to_25, bool to_587, bool from_25)
{
	int fd sw_autoclose = pinned_fd("unasked");
	struct sw_unasked now;
	uint32_t zero = 0;

	assert_return_code(bpf_map_lookup_elem(fd, &zero, &now), errno);
	assert_int_equal(now.to[0] >> 25 & 1, to_25);
	assert_int_equal(now.to[SW_UNASKED_BIT(587) / 64] >> SW_UNASKED_BIT(587) % 64 & 1, to_587);
	assert_int_equal(now.from[0] >> 25 & 1, from_25);
}

static void fill(struct sw_kernel *kernel, const char *text)
{
	struct sw_image *image autoimage = compiled(text, NULL);
	struct sw_fault fault = {};

	if (sw_kernel_fill(kernel, image, "test", &fault) < 0)
		print_error("%s\n", fault.text);
	assert_string_equal(fault.text, "");
}

/* What a policy names is told of before it comes into force, and as long as the other slot has it. */
static void ports_are_told_before_the_turn(void **state)
{
	static const char *const mail = "mode enforce\nhost {\nport 25 { reject }\n}\n"
					"serve {\nport 25 { require tls }\n}\n",
				 *const submission =
					 "mode enforce\nhost {\nport 587 { require tls }\n}\n";
	struct sw_kernel *kernel autokernel = opened();
	struct sw_fault fault = {};

	(void)state;
	attach(kernel);
	assert_unasked(false, false, false); /* not known yet */
	fill(kernel, mail);
	assert_unasked(false, true, false);
	assert_int_equal(sw_kernel_switch(kernel, &fault), 0);
	fill(kernel, submission);
	assert_unasked(false, false, false);
	assert_int_equal(sw_kernel_switch(kernel, &fault), 0);
	fill(kernel, submission);
	assert_unasked(true, false, true);
	assert_int_equal(sw_kernel_set_elsewhere(kernel, true, &fault), 0);
	assert_unasked(false, false, true);
	sw_kernel_close(kernel);
	kernel = opened();
	assert_unasked(false, false, true);
	assert_int_equal(sw_kernel_set_elsewhere(kernel, false, &fault), 0);
	assert_unasked(true, false, true);
}

/* ---- connections ---- */

static struct {
	size_t n, wrong;
	uint64_t cookie;
} seen;

static void take_sample(void *data, const void *bytes, size_t size)
{
	const struct sw_sample *sample = bytes;

	(void)data;
	seen.n++;
	seen.wrong += size < sizeof(*sample) || sample->version != SW_ABI_VERSION;
	seen.cookie = sample->cookie;
}

/* A ClientHello that the gate takes, with a mark in its random number. */
static const char hello[] = "\x16\3\1\0\x2f\1\0\0\x2b\3\3"
			    "wipe-this-mark!!wipe-this-mark!!\0\0\2\x13\1\1\0\0\0";

static uint64_t say_hello(void)
{
	struct timeval limit = {.tv_sec = 20};
	int fd sw_autoclose = fx_socket("127.0.0.1", SOCK_STREAM, 0);

	setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof(limit));
	assert_int_equal(fx_connect(fd, "127.0.0.1", PORT), 0);
	assert_int_equal(send(fd, hello, sizeof(hello) - 1, 0), sizeof(hello) - 1);
	return fx_cookie(fd);
}

static bool marked(const uint8_t *memory, size_t n)
{
	return memmem(memory, n, "wipe-this-mark", 14);
}

static void samples_and_flows(void **state)
{
	struct sw_kernel *kernel autokernel = opened();
	struct sw_image *image autoimage =
		compiled("mode enforce\nhost {\nport 5871 { require tls implicit }\n}\n", NULL);
	struct sw_flow *entries sw_autofree = NULL;
	size_t size = 1 << 18, page = (size_t)sysconf(_SC_PAGESIZE), n;
	struct sw_fault fault = {};
	int fd sw_autoclose = -1;
	struct sw_flow flow;
	uint64_t cookie;
	uint8_t *memory;

	(void)state;
	assert_true(sw_kernel_fill(kernel, image, "test", &fault) >= 0);
	assert_int_equal(sw_kernel_switch(kernel, &fault), 0);
	attach(kernel);
	assert_int_equal(sw_kernel_samples_open(kernel, take_sample, NULL, &fault), 0);
	assert_true(sw_kernel_samples_fd(kernel) >= 0);
	fd = pinned_fd("samples");
	memory = mmap(NULL, size, PROT_READ, MAP_SHARED, fd, (off_t)(2 * page));
	assert_true(memory != MAP_FAILED);
	say_hello();
	cookie = say_hello();
	sw_kernel_samples_read(kernel);
	assert_int_equal(seen.n, 2);
	assert_int_equal(seen.wrong, 0);
	assert_int_equal(seen.cookie, cookie);
	assert_true(marked(memory, size));
	assert_int_equal(sw_kernel_samples_wipe(kernel), 0);
	assert_false(marked(memory, size));
	assert_int_equal(seen.n, 2);
	munmap(memory, size);
	assert_int_equal(sw_kernel_flow(kernel, cookie, &flow), 0);
	assert_int_equal(flow.asked_port, PORT);
	assert_int_equal(flow.state, SW_FLOW_HELLO_SENT);
	assert_int_equal(sw_kernel_flow(kernel, 1ull << 63, &flow), -ENOENT);
	assert_int_equal(sw_kernel_flows(kernel, &entries, &n), 0);
	assert_int_equal(n, 2);
	assert_int_equal(entries[1].cookie, cookie);
	assert_memory_equal(&entries[1].caller, &flow.caller, sizeof(flow.caller));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(goes_on, setup),
		cmocka_unit_test_setup(loads_no_program_twice, setup),
		cmocka_unit_test_setup(leaves_nothing_when_refused, setup),
		cmocka_unit_test_setup(waits_for_its_threads, setup),
		cmocka_unit_test_setup(puts_back, setup),
		cmocka_unit_test_setup(replaces_an_older_version, setup),
		cmocka_unit_test_setup(ports_are_told_before_the_turn, setup),
		cmocka_unit_test_setup(samples_and_flows, setup),
	};
	int failed;

	if (!fx_usable())
		return 0;
	/* The mount is seen by this process alone, and goes with it. */
	if (!mkdtemp(bpffs) || unshare(CLONE_NEWNS) ||
	    mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) ||
	    mount("bpf", bpffs, "bpf", 0, NULL))
		return 1;
	snprintf(pin_dir, sizeof(pin_dir), "%s/pins", bpffs);
	fx_up(NULL);
	for (int i = 0; i < FX_PROGRAMS; i++)
		fx_detach(i);
	fx_listen(PORT);
	failed = cmocka_run_group_tests_name("load", tests, NULL, fx_down);
	umount(bpffs);
	rmdir(bpffs);
	return failed;
}
