/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * load_internal.h - shared by load*.c alone.
 */
#ifndef SW_LOAD_INTERNAL_H
#define SW_LOAD_INTERNAL_H

#include <bpf/bpf.h>
#include <bpf/libbpf.h>

#include "bpf/abi_edge.h"
#include "daemon/load.h"

/* The maps, in the order in which they are pinned: `head` last, as its pin says that the set is
   whole. */
enum sw_map {
	SW_MAP_NAMES = 0,
	SW_MAP_IDS,
	SW_MAP_CGROUPS,
	SW_MAP_PREFIXES,
	SW_MAP_LOCAL,
	SW_MAP_SCRATCHES,
	SW_MAP_SOCKETS,
	SW_MAP_GATES,
	SW_MAP_SERVE_WORK,
	SW_MAP_GREETED,
	SW_MAP_FLOWS,
	SW_MAP_COUNTERS,
	SW_MAP_HITS,
	SW_MAP_REMEMBERED,
	SW_MAP_LIMITER,
	SW_MAP_EVENTS,
	SW_MAP_SAMPLES,
	SW_MAP_RULE_INFO,
	SW_MAP_POLICY_INFO,
	SW_MAP_UNASKED,
	SW_MAP_HEAD,
	SW_MAP_MAX
};

extern const char *const sw_map_names[SW_MAP_MAX];

struct sw_hook_row {
	const char *name;    /* as status shows it */
	const char *program; /* in the object, and as pinned */
	const char *link;    /* as pinned */
	enum bpf_attach_type type;
};

extern const struct sw_hook_row sw_hook_rows[SW_HOOK_MAX];

#define SW_WIPE_PROGRAM "sw_wipe" /* it is on no hook; pinned like the others */

/* The form of an inner map. */
struct sw_model {
	enum bpf_map_type type;
	uint32_t key_size, value_size, flags;
};

/* A ring buffer and whom its records are handed to. */
struct sw_reader {
	struct ring_buffer *ring;
	/* Mapped, two pages: how far the records were read, and how far programs have written, in bytes. */
	const void *positions;
	uint64_t size; /* of the ring, in bytes */
	void (*record)(void *data, const void *bytes, size_t size);
	void *data;
	unsigned int left; /* records, in this reading */
	bool reading;
};

struct sw_loading; /* load_programs.c */

struct sw_kernel {
	char *pin_dir;
	int cgroup_fd; /* borrowed */
	uint64_t cgroup_id;
	enum sw_pins pins;
	struct sw_host *skeleton;           /* the maps, and of the programs `wipe` alone */
	struct sw_loading *loading;         /* threads that load the others; NULL: none */
	int types;                          /* the file of the kernel's types that they read; -1 */
	struct bpf_map *maps[SW_MAP_MAX];   /* the skeleton's */
	struct sw_model models[SW_MAP_MAX]; /* of the outer maps; libbpf forgets them on loading */
	int programs[SW_HOOK_MAX];          /* borrowed: `loaded` or `pinned` */
	int loaded[SW_HOOK_MAX];            /* -1 */
	int pinned[SW_HOOK_MAX +
		   1]; /* programs that were not loaded anew, the last is `wipe`; -1 */
	uint32_t program_ids[SW_HOOK_MAX]; /* in effect: ours, or the pinned equal */
	int links[SW_HOOK_MAX];
	struct sw_head *head; /* mapped from the kernel */
	size_t head_size;
	uint64_t generation; /* the highest given out so far */
	int fence[2];        /* an outer map of our own and its inner map: see load_fill.c */
	int cpus;
	struct sw_reader events, samples;
	int wipe;                     /* the program that overwrites them; borrowed */
	bool went_on;                 /* the maps were pinned and current when this was opened */
	struct sw_edge_objects *edge; /* load_edge_internal.h; NULL: not open */
};

static inline int sw_map_fd(const struct sw_kernel *kernel, enum sw_map map)
{
	return bpf_map__fd(kernel->maps[map]);
}

/* Something that decisions rest on has changed: what programs remember does not hold any longer. */
static inline void sw_head_changed(struct sw_kernel *kernel)
{
	__atomic_fetch_add(&kernel->head->active, 2, __ATOMIC_SEQ_CST);
}

/* load.c: a fault for a refusal of the kernel: `what` failed with `error` (positive), and what the
   administrator can do about it. Returns -1. */
int sw_kernel_refused(struct sw_fault *fault, const char *what, int error);

/*
 * load_programs.c: loads the programs of all hooks, on the maps of the skeleton, which stand by then. `types`
 * is the path of the file of the kernel's types (load_types.h), which stays until the end. The end waits for
 * the threads and sets `loaded`, `programs` and `program_ids`; it fails when there is no program for a hook then.
 */
int sw_programs_begin(struct sw_kernel *kernel, const char *types, struct sw_fault *fault);
int sw_programs_end(struct sw_kernel *kernel, struct sw_fault *fault);

/* load_maps.c: the map `remembered`, of each CPU one, malloc'ed; NULL with errno. */
struct sw_edge_recents *sw_kernel_recents(const struct sw_kernel *kernel);

/* load.c: the pinned programs are of this object from now on. */
void sw_host_remember(struct sw_kernel *kernel);

/* load_pins.c: the objects a pin can be. */
enum sw_pin_kind { SW_PIN_MISSING = 0, SW_PIN_MAP, SW_PIN_PROGRAM, SW_PIN_LINK, SW_PIN_OTHER };

/* Opens PIN_DIR/NAME: its kind, and the fd in *fd (-1 when missing or other). */
enum sw_pin_kind sw_pin_open(const char *pin_dir, const char *name, int *fd);

/* Pins fd as PIN_DIR/NAME, in place of what is there, so that the name is never missing. 0 or
   -errno. */
int sw_pin_put(const char *pin_dir, const char *name, int fd);
int sw_pin_remove(const char *pin_dir, const char *name);

/* What lies in pin_dir: sets kernel->pins and, when current, the fds of the maps for adoption. */
int sw_pins_inspect(struct sw_kernel *kernel, int fds[static SW_MAP_MAX], struct sw_fault *fault);

/* Pins maps and programs, in place of older ones. */
int sw_pins_write(struct sw_kernel *kernel, struct sw_fault *fault);

/* Removes the pins of maps and programs. */
void sw_pins_remove_objects(const char *pin_dir);

/* load_hooks.c: id and cgroup (0: detached) of a link; 0 or -errno. */
int sw_link_info(int fd, struct bpf_link_info *info);

/* load_hooks.c: the same instructions on the same maps? */
bool sw_same_program(int a, int b);

/* load_edge_pins.c: the edge's part of what load_pins.c and load_hooks.c do. */
enum sw_pin_kind sw_edge_pin_kind(const char *name); /* as kind_expected() */
void sw_edge_pins_remove_objects(const char *pin_dir);

/* *found is set when there was something, else left as it is. */
int sw_edge_pins_detach(const char *pin_dir, bool *found, struct sw_fault *fault);

/* load_edge_hooks.c: from what this process attached to, where pins may be gone. */
void sw_edge_detach_all(struct sw_kernel *kernel);

/* load_rings.c */
void sw_reader_close(struct sw_reader *reader);

/* load_again.c: is what is pinned of this object (`bytes`: the whole file)? To be forgotten before pins change,
   and remembered when they have. */
enum sw_object { SW_OBJECT_HOST = 0, SW_OBJECT_XDP, SW_OBJECT_TC };

bool sw_object_is_pinned(const struct sw_kernel *kernel, enum sw_object object, const void *bytes,
			 size_t n);
void sw_object_forget(struct sw_kernel *kernel, enum sw_object object);
void sw_object_remember(struct sw_kernel *kernel, enum sw_object object, const void *bytes,
			size_t n);

/* Opens the pinned programs of the host. False: one is missing, or is not on our maps. */
bool sw_programs_adopt(struct sw_kernel *kernel);
void sw_programs_close(struct sw_kernel *kernel);

uint32_t sw_map_id(int fd); /* 0: it is none */

/* Does a program use no other maps than those of these ids? */
bool sw_uses_only(int program, const uint32_t *maps, size_t n);

/* load_fill.c: the fence; 0 or -errno. */
int sw_fence_open(struct sw_kernel *kernel);

#endif
