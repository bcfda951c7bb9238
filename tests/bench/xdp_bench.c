/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "tests/bench/xdp_bench.h"

#include <arpa/inet.h>
#include <net/if.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

#include <bpf/bpf.h>
#include <bpf/libbpf.h>

#include "tests/bench/xdp_packet.h"
#include "tests/bench/xdp_programs.skel.h"

#define FILTER "/usr/lib/x86_64-linux-gnu/bpf/xdpfilt_alw_tcp.o"
#define FILTER_DESTINATION 2 /* xdp-filter's marks of a port: packets to it, of TCP */
#define FILTER_TCP 4

struct sw_xdp_programs *xb_programs(void)
{
	static struct sw_xdp_programs *programs;

	if (!programs)
		programs = sw_xdp_programs__open_and_load();
	if (!programs)
		ex_fail("programs to compare with");
	return programs;
}

int xb_edge(void)
{
	return bpf_program__fd(bpf_object__find_program_by_name(ex_object(), "sw_edge"));
}

/* ---- xdp-filter ---- */

static void set_port(const struct bpf_object *filter)
{
	int n = libbpf_num_possible_cpus();
	uint64_t *values = calloc((size_t)(n > 0 ? n : 1), sizeof(*values));
	uint32_t port = htons(XDP_REFUSED_PORT);

	for (int i = 0; values && i < n; i++)
		values[i] = FILTER_DESTINATION | FILTER_TCP;
	if (!values || bpf_map_update_elem(bpf_object__find_map_fd_by_name(filter, "filter_ports"),
					   &port, values, BPF_ANY))
		ex_fail("xdp-filter's ports");
	free(values);
}

struct bpf_object *xb_filter(void)
{
	libbpf_print_fn_t print;
	struct bpf_object *filter;
	struct bpf_map *map;

	if (access(FILTER, R_OK)) {
		fprintf(stderr, "xdp-filter is left out: %s is not there (xdp-tools)\n", FILTER);
		return NULL;
	}
	print = libbpf_set_print(NULL); /* it has sections for libxdp */
	filter = bpf_object__open_file(FILTER, NULL);
	libbpf_set_print(print);
	if (!filter)
		ex_fail(FILTER);
	/* Its own loader pins them. */
	bpf_object__for_each_map(map, filter) bpf_map__set_pin_path(map, NULL);
	if (bpf_object__load(filter))
		ex_fail(FILTER);
	set_port(filter);
	return filter;
}

int xb_filter_program(const struct bpf_object *filter)
{
	return bpf_program__fd(bpf_object__next_program(filter, NULL));
}

/* ---- the policy ---- */

void xb_turn(unsigned int slot)
{
	static struct sw_head *head;

	if (!head)
		head = mmap(NULL, sizeof(*head), PROT_READ | PROT_WRITE, MAP_SHARED, ex_map("head"),
			    0);
	if (head == MAP_FAILED)
		ex_fail("head");
	__atomic_store_n(&head->active, (head->active & ~1u) | slot, __ATOMIC_SEQ_CST);
}

/* ---- interfaces ---- */

void xb_command(const char *format, ...)
{
	char command[1024];
	va_list args;

	va_start(args, format);
	vsnprintf(command, sizeof(command), format, args);
	va_end(args);
	if (system(command))
		ex_fail(command);
}

void xb_attach(const char *interface, int program, uint32_t flags)
{
	int error = bpf_xdp_attach((int)if_nametoindex(interface), program, flags, NULL);

	if (error) {
		fprintf(stderr, "XDP program on %s: error %d\n", interface, error);
		exit(1);
	}
}
