/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * scratch.h - memory for one decision. Programs of a cgroup stay on their CPU but may be preempted by another one
 * there, in the middle of a decision: each takes an element that nobody has.
 */
#ifndef SW_SCRATCH_H
#define SW_SCRATCH_H

#include "bpf/kernel.h"
#include "bpf/maps_host.h"

/* Nobody. A name is empty until it is looked for; what stands behind its end says nothing. */
SW_INLINE void sw_caller_clear(struct sw_scratch *scratch)
{
	__builtin_memset(&scratch->caller, 0, __builtin_offsetof(struct sw_caller, exe));
	scratch->caller.exe[0] = 0;
	scratch->have = 0;
	scratch->file_at = scratch->groups_at = scratch->cgroup_at = 0;
}

/* Takes the first that is free and tells its number; SW_SCRATCHES: none is. Not static: looked at by the verifier
   once. */
__noinline int sw_scratch_search(void)
{
	struct sw_scratch *scratch;
	__u32 at;

#pragma nounroll
	for (__u32 i = 0; i < SW_SCRATCHES; i++) {
		at = i;
		scratch = bpf_map_lookup_elem(&scratches, &at);
		if (scratch && !__sync_lock_test_and_set(&scratch->busy, 1))
			return i;
	}
	return SW_SCRATCHES;
}

/* NULL: none is free. Whoever takes one gives it back by sw_scratch_leave(), on each way out. */
SW_INLINE struct sw_scratch *sw_scratch_take(void)
{
	__u32 at = sw_scratch_search();

	return bpf_map_lookup_elem(&scratches, &at);
}

SW_INLINE void sw_scratch_leave(struct sw_scratch *scratch)
{
	__sync_lock_test_and_set(&scratch->busy, 0);
}

#endif
