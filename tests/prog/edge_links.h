/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * edge_links.h - what the tests of daemon/load_edge.h share: a veth pair for each test in a network
 * namespace of the program's own, pins in a bpffs of its own, and what iproute2 and libbpf say of them.
 */
#ifndef SW_TEST_EDGE_LINKS_H
#define SW_TEST_EDGE_LINKS_H

#include <net/if.h>

#include <bpf/bpf.h>

#include "daemon/base.h"
#include "daemon/load_edge.h"
#include "tests/prog/fixture.h"

#define LE_FLOWS 4096

extern char le_pin_dir[64];

/* Of the test that runs. */
struct le {
	struct sw_kernel *kernel;
	struct sw_fault fault;
	struct sw_edge_hook hook;
	uint32_t interface;
	char name[IF_NAMESIZE];
	bool replaced;
};

extern struct le le;

/* Before and after all tests. 0; le_up() ends the program when it fails. */
void le_up(void);
int le_down(void **state);

/* Before and after each. */
int le_setup(void **state);
int le_teardown(void **state);

#define LE_TEST(name) cmocka_unit_test_setup_teardown(name, le_setup, le_teardown)

/* ---- the daemon ---- */

void le_start(uint32_t flows);
void le_leave(void); /* as kill -9 does: what is pinned stays */
int le_attach(const char *driver, enum sw_xdp_mode mode);
void le_attach_well(const char *driver, enum sw_xdp_mode mode); /* fails the test if it cannot */

/* ---- what is there ---- */

/* Runs a command of iproute2; its status. */
int le_run(const char *format, ...) sw_printf(1, 2);
bool le_has_qdisc(const char *name);                    /* clsact */
bool le_has_filter(const char *name, const char *what); /* at egress */
uint32_t le_xdp_id(uint32_t interface);
bool le_is_pinned(uint32_t interface); /* its link */
int le_pinned(const char *name);       /* a descriptor, -1 with errno */
int le_pinned_link(void);
void le_remove_pin(void);
void le_assert_bare(void); /* nothing of anybody is on the interface */

/* ---- others ---- */

int le_other_program(enum bpf_prog_type type); /* "other_program", which lets everything pass */

#endif
