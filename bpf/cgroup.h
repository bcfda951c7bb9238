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
	struct sw_scratch *scratch;
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
	struct sw_scratch *scratch = climb->scratch;
	struct kernfs_node *node = sw_ancestor(climb->cgroup, scratch->level);

	(void)index;
	if (!scratch->level || BPF_CORE_READ(node, id) == climb->stop)
		return 1;
	scratch->level--;
	return 0;
}

/* Does the component of `length` at path[at] end in ".slice"? */
SW_INLINE int sw_is_slice(const struct sw_scratch *scratch, __u64 at, __u64 length)
{
	static const char slice[] = ".slice";
	__u64 end = at + length - (sizeof(slice) - 1);
	int same = length >= sizeof(slice) - 1;

	SW_OPAQUE(end);
	end &= SW_NAME_MAX - 1;
#pragma unroll
	for (int i = 0; i < (int)sizeof(slice) - 1; i++)
		same &= scratch->cgroup.path[end + i] == slice[i];
	return same;
}

/* Downwards from the guarded cgroup: puts "name/" behind what is there. */
static long sw_descend_step(__u32 index, struct sw_climb *climb)
{
	struct sw_scratch *scratch = climb->scratch;
	__u64 at = scratch->offset, length;
	struct kernfs_node *node = sw_ancestor(climb->cgroup, scratch->level + 1 + index);
	long written;

	SW_OPAQUE(at);
	at &= SW_NAME_MAX - 1;
	written = bpf_probe_read_kernel_str(&scratch->cgroup.path[at], SW_NAME_MAX,
					    BPF_CORE_READ(node, name));
	/* `written` counts the NUL, whose place the slash takes; a NUL must fit behind the whole. */
	if (written <= 1 || at + written >= SW_NAME_MAX) {
		scratch->cgroup_flags = SW_CALLER_CGROUP_LONG;
		return 1;
	}
	length = written - 1;
	if (!scratch->unit_length && !sw_is_slice(scratch, at, length)) {
		scratch->unit_at = at;
		scratch->unit_length = length;
	}
	at += length;
	SW_OPAQUE(at);
	at &= SW_NAME_MAX - 1;
	scratch->cgroup.path[at] = '/';
	scratch->offset = at + 1;
	return 0;
}

/*
 * The cgroup's path from the guarded one down, "/a/b", in caller.cgroup. A caller outside the guarded
 * cgroup (it was moved after it made the socket) has its path told from the root.
 */
__noinline int sw_name_cgroup(struct sw_scratch *scratch, __u64 guarded)
{
	struct cgroup *cgroup = scratch ? (struct cgroup *)(unsigned long)scratch->cgroup_at : 0;
	struct sw_climb climb = {.scratch = scratch, .cgroup = cgroup, .stop = guarded};
	__u32 level = BPF_CORE_READ(cgroup, level);
	__u64 length;

	if (!scratch)
		return -1;
	scratch->cgroup_flags = 0;
	scratch->unit_at = scratch->unit_length = 0;
	__builtin_memset(&scratch->cgroup, 0, sizeof(scratch->cgroup));
	__builtin_memset(scratch->caller.cgroup, 0, sizeof(scratch->caller.cgroup));
	scratch->cgroup.path[0] = '/';
	scratch->offset = 1;
	if (!cgroup || level > SW_CGROUP_DEPTH_MAX) {
		scratch->cgroup_flags = SW_CALLER_CGROUP_LONG;
		level = 0;
	}
	scratch->level = level;
	bpf_loop(SW_CGROUP_DEPTH_MAX, sw_climb_step, &climb, 0);
	bpf_loop(level - scratch->level, sw_descend_step, &climb, 0);
	/* All but the slash at the end, unless it is the only one. */
	length = scratch->offset;
	scratch->cgroup_length = length > 1 ? length - 1 : 1;
	length = scratch->cgroup_length;
	SW_OPAQUE(length);
	length &= SW_NAME_MAX - 1;
	bpf_probe_read_kernel(scratch->caller.cgroup, length, scratch->cgroup.path);
	scratch->named = cgroup ? scratch->caller.cgroup_id : 0;
	scratch->named_below = guarded;
	return 0;
}

SW_INLINE void sw_identify_cgroup(struct sw_scratch *scratch, __u64 guarded)
{
	if (scratch->have & SW_HAVE_CGROUP)
		return;
	scratch->have |= SW_HAVE_CGROUP;
	if (!scratch->named || scratch->named != scratch->caller.cgroup_id ||
	    scratch->named_below != guarded)
		sw_name_cgroup(scratch, guarded);
	scratch->caller.flags |= scratch->cgroup_flags;
}

/* Both names. Not static, so that the verifier looks at it once by itself. */
__noinline int sw_identify_names(struct sw_scratch *scratch, __u64 guarded)
{
	if (!scratch)
		return -1;
	if (scratch->file_at)
		sw_identify_exe(scratch);
	else
		__builtin_memset(scratch->caller.exe, 0, sizeof(scratch->caller.exe));
	sw_identify_cgroup(scratch, guarded);
	return 0;
}

#endif
