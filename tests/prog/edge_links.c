/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <errno.h>
#include <sched.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>

#include <bpf/libbpf.h>

#include "tests/prog/edge_links.h"
#include "tests/prog/internal.h"

char le_pin_dir[64];
struct le le;

static char bpffs[] = "/tmp/smtpwall-test-XXXXXX";

int le_run(const char *format, ...)
{
	char command[512];
	va_list args;

	va_start(args, format);
	vsnprintf(command, sizeof(command), format, args);
	va_end(args);
	return system(command);
}

static uint32_t make_veth(const char *name)
{
	assert_int_equal(le_run("ip link add %s type veth peer name %s-far", name, name), 0);
	assert_int_equal(le_run("ip link set %s up", name), 0);
	assert_int_equal(le_run("ip link set %s-far up", name), 0);
	return if_nametoindex(name);
}

static bool says(const char *command, const char *what)
{
	FILE *pipe = popen(command, "r");
	char line[1024];
	bool found = false;

	assert_non_null(pipe);
	while (fgets(line, sizeof(line), pipe))
		found |= strstr(line, what) != NULL;
	pclose(pipe);
	return found;
}

bool le_has_qdisc(const char *name)
{
	char command[128];

	snprintf(command, sizeof(command), "tc qdisc show dev %s", name);
	return says(command, "clsact");
}

bool le_has_filter(const char *name, const char *what)
{
	char command[128];

	snprintf(command, sizeof(command), "tc filter show dev %s egress", name);
	return says(command, what);
}

uint32_t le_xdp_id(uint32_t interface)
{
	LIBBPF_OPTS(bpf_xdp_query_opts, opts);

	assert_int_equal(bpf_xdp_query((int)interface, 0, &opts), 0);
	return opts.prog_id;
}

bool le_is_pinned(uint32_t interface)
{
	char path[160];

	snprintf(path, sizeof(path), "%s/link_xdp_%u", le_pin_dir, interface);
	return access(path, F_OK) == 0;
}

int le_pinned(const char *name)
{
	char path[160];

	snprintf(path, sizeof(path), "%s/%s", le_pin_dir, name);
	return bpf_obj_get(path);
}

int le_pinned_link(void)
{
	char name[64];

	snprintf(name, sizeof(name), "link_xdp_%u", le.interface);
	return le_pinned(name);
}

void le_remove_pin(void)
{
	char path[160];

	snprintf(path, sizeof(path), "%s/link_xdp_%u", le_pin_dir, le.interface);
	assert_return_code(unlink(path), errno);
}

void le_assert_bare(void)
{
	assert_int_equal(le_xdp_id(le.interface), 0);
	assert_false(le_has_qdisc(le.name));
	assert_false(le_is_pinned(le.interface));
}

int le_other_program(enum bpf_prog_type type)
{
	const struct bpf_insn pass[] = {
		{.code = BPF_ALU64 | BPF_MOV | BPF_K,
		 .dst_reg = 0,
		 .imm = type == BPF_PROG_TYPE_XDP ? 2 : -1},
		{.code = BPF_JMP | BPF_EXIT},
	};
	LIBBPF_OPTS(bpf_prog_load_opts, opts,
		    .expected_attach_type = type == BPF_PROG_TYPE_XDP ? BPF_XDP : 0);
	int fd = bpf_prog_load(type, "other_program", "GPL", pass, sw_count(pass), &opts);

	assert_return_code(fd, errno);
	return fd;
}

static void open_kernel(uint32_t flows)
{
	if (sw_kernel_open(le_pin_dir, fx_cgroup_fd(), &le.kernel, &le.fault) < 0 ||
	    sw_edge_open(le.kernel, flows, &le.replaced, &le.fault) < 0) {
		print_error("%s\n", le.fault.text);
		fail();
	}
	assert_true(sw_edge_is_open(le.kernel));
}

void le_start(uint32_t flows)
{
	open_kernel(flows);
	if (sw_kernel_attach(le.kernel, &le.fault) < 0) {
		print_error("%s\n", le.fault.text);
		fail();
	}
}

void le_leave(void)
{
	sw_kernel_close(le.kernel);
	le.kernel = NULL;
}

int le_attach(const char *driver, enum sw_xdp_mode mode)
{
	return sw_edge_attach(le.kernel, le.interface, le.name, driver, mode, &le.hook, &le.fault);
}

void le_attach_well(const char *driver, enum sw_xdp_mode mode)
{
	if (le_attach(driver, mode) < 0) {
		print_error("%s\n", le.fault.text);
		fail();
	}
	assert_true(le.hook.xdp && le.hook.tc);
	assert_string_equal(le.hook.problem, "");
	assert_int_equal(le.hook.interface, le.interface);
	assert_int_equal(le.hook.program_id, le_xdp_id(le.interface));
}

int le_setup(void **state)
{
	static unsigned int
		n; /* a name of its own for each: the kernel removes some of them later */

	(void)state;
	memset(&le, 0, sizeof(le));
	snprintf(le.name, sizeof(le.name), "sw%u%c", (unsigned int)getpid() % 1000000,
		 'a' + n++ % 26);
	le.interface = make_veth(le.name);
	return mkdir(le_pin_dir, 0700) && errno != EEXIST;
}

int le_teardown(void **state)
{
	bool found;

	(void)state;
	le_leave();
	le_run("ip link del %s 2>/dev/null", le.name);
	return sw_pins_detach(le_pin_dir, &found, &le.fault);
}

void le_up(void)
{
	/* The mount is seen by this process alone, and goes with it. */
	if (!mkdtemp(bpffs) || unshare(CLONE_NEWNS) ||
	    mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) ||
	    mount("bpf", bpffs, "bpf", 0, NULL))
		fx_fail("bpffs");
	snprintf(le_pin_dir, sizeof(le_pin_dir), "%s/pins", bpffs);
	fx_up(NULL);
	for (int i = 0; i < FX_PROGRAMS; i++)
		fx_detach(i);
}

int le_down(void **state)
{
	umount(bpffs);
	rmdir(bpffs);
	return fx_down(state);
}
