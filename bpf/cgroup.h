/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * cgroup.h - the path of a caller's cgroup, and the systemd unit in it. Names of cgroups never change,
 * so a path walked without a lock is a true one.
 */
#ifndef SW_CGROUP_H
#define SW_CGROUP_H

#include "bpf/identity.h"
#include "bpf/kernel.h"
#include "bpf/maps_host.h"

#define SW_CGROUP_DEPTH_MAX 64

struct sw_climb {
	struct sw_sock *st;
	struct cgroup *cgroup;
	__u64 stop; /* id of the guarded cgroup */
};

SW_INLINE struct kernfs_node *sw_ancestor(const struct cgroup *cgroup, __u32 level)
{
	struct cgroup *ancestor = 0;
	__u64 at = (unsigned long)cgroup;

	at += bpf_core_field_offset(struct cgroup, ancestors) + (__u64)level * sizeof(ancestor);
	bpf_probe_read_kernel(&ancestor, sizeof(ancestor), (void *)(unsigned long)at);
	return BPF_CORE_READ(ancestor, kn);
}

/* From the caller's cgroup upwards: where is the guarded one? */
static long sw_climb_step(__u32 index, struct sw_climb *climb)
{
	struct sw_sock *st = climb->st;
	struct kernfs_node *node = sw_ancestor(climb->cgroup, st->level);

	(void)index;
	if (!st->level || BPF_CORE_READ(node, id) == climb->stop)
		return 1;
	st->level--;
	return 0;
}

/* Does the component of `length` at path[at] end in ".slice"? */
SW_INLINE int sw_is_slice(const struct sw_sock *st, __u64 at, __u64 length)
{
	static const char slice[] = ".slice";
	__u64 end = at + length - (sizeof(slice) - 1);
	int same = length >= sizeof(slice) - 1;

	SW_OPAQUE(end);
	end &= SW_NAME_MAX - 1;
#pragma unroll
	for (int i = 0; i < (int)sizeof(slice) - 1; i++)
		same &= st->cgroup.path[end + i] == slice[i];
	return same;
}

/* Downwards from the guarded cgroup: puts "name/" behind what is there. */
static long sw_descend_step(__u32 index, struct sw_climb *climb)
{
	struct sw_sock *st = climb->st;
	__u64 at = st->offset, length;
	struct kernfs_node *node = sw_ancestor(climb->cgroup, st->level + 1 + index);
	long written;

	SW_OPAQUE(at);
	at &= SW_NAME_MAX - 1;
	written = bpf_probe_read_kernel_str(&st->cgroup.path[at], SW_NAME_MAX,
					    BPF_CORE_READ(node, name));
	/* `written` counts the NUL, whose place the slash takes; a NUL must fit behind the whole. */
	if (written <= 1 || at + written >= SW_NAME_MAX) {
		st->flow.caller.flags |= SW_CALLER_CGROUP_LONG;
		return 1;
	}
	length = written - 1;
	if (!st->unit_length && !sw_is_slice(st, at, length)) {
		st->unit_at = at;
		st->unit_length = length;
	}
	at += length;
	SW_OPAQUE(at);
	at &= SW_NAME_MAX - 1;
	st->cgroup.path[at] = '/';
	st->offset = at + 1;
	return 0;
}

/*
 * The cgroup's path from the guarded one down, "/a/b", in caller.cgroup. A caller outside the guarded
 * cgroup (it was moved after it made the socket) has its path told from the root.
 */
SW_INLINE void sw_identify_cgroup(struct sw_sock *st, const struct sw_who *who, __u64 guarded)
{
	struct cgroup *cgroup = who->cgroup;
	struct sw_climb climb = {.st = st, .cgroup = cgroup, .stop = guarded};
	__u32 level = BPF_CORE_READ(cgroup, level);
	__u64 length;

	if (st->have & SW_HAVE_CGROUP)
		return;
	st->have |= SW_HAVE_CGROUP;
	__builtin_memset(&st->cgroup, 0, sizeof(st->cgroup));
	st->cgroup.path[0] = '/';
	st->offset = 1;
	if (!cgroup || level > SW_CGROUP_DEPTH_MAX) {
		st->flow.caller.flags |= SW_CALLER_CGROUP_LONG;
		level = 0;
	}
	st->level = level;
	bpf_loop(SW_CGROUP_DEPTH_MAX, sw_climb_step, &climb, 0);
	bpf_loop(level - st->level, sw_descend_step, &climb, 0);
	/* All but the slash at the end, unless it is the only one. */
	length = st->offset;
	st->cgroup_length = length > 1 ? length - 1 : 1;
	length = st->cgroup_length;
	SW_OPAQUE(length);
	length &= SW_NAME_MAX - 1;
	bpf_probe_read_kernel(st->flow.caller.cgroup, length, st->cgroup.path);
}

/* Both names. Not static, so that the verifier looks at it once by itself. */
__noinline int sw_identify_names(struct sw_sock *st, const struct sw_who *who, __u64 guarded)
{
	if (!st || !who)
		return -1;
	sw_identify_exe(st, who);
	sw_identify_cgroup(st, who, guarded);
	return 0;
}

#endif
