/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * xdp_bench.h - what the benchmarks of the edge share. A failed step ends the program, with a line on standard
 * error.
 */
#ifndef SW_BENCH_XDP_BENCH_H
#define SW_BENCH_XDP_BENCH_H

#include <stdbool.h>
#include <stdint.h>

#include "tests/prog/edge_fixture.h"

struct bpf_program;
struct bpf_object;

/* The programs of xdp_programs.bpf.c, one copy. */
struct sw_xdp_programs *xb_programs(void);

/* The program of sw_edge that ex_up() loaded. */
int xb_edge(void);

/* xdp-filter of xdp-tools, as `xdp-filter load -f tcp; xdp-filter port 25` has it, without libxdp's dispatcher in
   front of it. NULL, with a line on standard error: it is not installed. */
struct bpf_object *xb_filter(void);
int xb_filter_program(const struct bpf_object *filter);

/* Which slot of the policy is in force, from now on. */
void xb_turn(unsigned int slot);

/* Runs a command for the machine's own tools; fails if it does. */
void xb_command(const char *format, ...) __attribute__((format(printf, 1, 2)));

/* Attaches a program to an interface of this network namespace. `flags`: XDP_FLAGS_*. */
void xb_attach(const char *interface, int program, uint32_t flags);

#endif
