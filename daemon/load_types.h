/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * load_types.h - the kernel's types (BTF), of them only those that an object of ours asks for.
 *
 * libbpf moves the programs' accesses to where the running kernel has its fields (CO-RE). It reads all of the
 * kernel's types for that, some 130,000 in 5 MiB, for each object anew, and goes through all of them for each
 * name: half of what a start takes besides the verifier. The few that are asked for, by name, are a file of
 * 100 KiB that every object of the same names can share.
 */
#ifndef SW_LOAD_TYPES_H
#define SW_LOAD_TYPES_H

#include <bpf/btf.h>

#define SW_TYPES_KERNEL "/sys/kernel/btf/vmlinux"
#define SW_TYPES_PATH 32

/* An empty file in memory, and in `path` how libbpf is told of it (bpf_object_open_opts.btf_custom_path) when
   an object is opened; libbpf reads it when the object is loaded. The fd, or -errno. */
int sw_types_new(char path[static SW_TYPES_PATH]);

/*
 * Writes those types of the file `from` (SW_TYPES_KERNEL but for tests) into `fd` that carry a name of a
 * struct, union, enum or typedef of `ours`, and what they consist of. Left out is what a pointer points to: it
 * is void, as relocations end at a pointer. Types have other numbers than the kernel's, so nothing that needs
 * those (kfuncs, typed ksyms, bpf_core_type_id_kernel()) may be relocated by the file.
 *
 * Types of a kind that is not known here are no failure: everything is written then, as it is. 0 or -errno.
 */
int sw_types_fill(int fd, const char *from, const struct btf *ours);

#endif
