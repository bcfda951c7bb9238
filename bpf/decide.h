/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * decide.h - connect(): the maps' side of match.h. Looks up what the first possible row asks about,
 * no more, and carries out the answer.
 */
#ifndef SW_DECIDE_H
#define SW_DECIDE_H

#include "bpf/cgroup.h"
#include "bpf/emit.h"
#include "bpf/identity.h"
#include "bpf/kernel.h"
#include "bpf/lookup.h"
#include "bpf/maps_host.h"
#include "bpf/match.h"

/* One decision. Only `scratch` points to something that changes while it is made. */
struct sw_call {
	const struct sw_policy *policy;
	struct sw_scratch *scratch;
	__u64 guarded; /* id of the guarded cgroup */
	__u32 slot;
	__u32 ipv4;
};

static __noinline const struct sw_vec *sw_rows_of_name(__u32 slot, const void *name)
{
	void *inner = bpf_map_lookup_elem(&names, &slot);

	return inner ? bpf_map_lookup_elem(inner, name) : 0;
}

/* Its two look-ups in one place. */
static __noinline const struct sw_vec *sw_rows_of(__u32 slot, __u32 dim, __u32 id)
{
	return sw_rows_of_id(slot, dim, id);
}

SW_INLINE const struct sw_vec *sw_rows_of_port(__u32 slot, __u16 port)
{
	return sw_rows_of(slot, SW_DIM_PORT, port); /* scope host is 0 */
}

/* ---- what each dimension finds; NULL: nothing ---- */

static long sw_group_step(__u32 index, struct sw_call *call)
{
	struct group_info *groups = (struct group_info *)(unsigned long)call->scratch->groups_at;
	__u32 gid = 0;

	bpf_probe_read_kernel(&gid, sizeof(gid), &groups->gid[index]);
	sw_vec_or(&call->scratch->groups, sw_rows_of(call->slot, SW_DIM_GROUP, gid));
	return 0;
}

/* Effective group and supplementary ones. Returns whether all were looked at. */
SW_INLINE int sw_find_groups(struct sw_call *call)
{
	struct group_info *groups = (struct group_info *)(unsigned long)call->scratch->groups_at;
	struct sw_scratch *scratch = call->scratch;
	__u32 n;

	__builtin_memset(&scratch->groups, 0, sizeof(scratch->groups));
	if (!groups)
		return 0;
	sw_vec_or(&scratch->groups, sw_rows_of(call->slot, SW_DIM_GROUP, scratch->caller.gid));
	n = BPF_CORE_READ(groups, ngroups);
	if (n > SW_GROUPS_MAX) {
		scratch->caller.flags |= SW_CALLER_GROUPS_MANY;
		return 0;
	}
	bpf_loop(n, sw_group_step, call, 0);
	return 1;
}

static long sw_prefix_step(__u32 index, struct sw_call *call)
{
	void *inner = bpf_map_lookup_elem(&prefixes, &call->slot);
	struct sw_scratch *scratch = call->scratch;
	__u64 at = index, family = !call->ipv4;
	const __u32 *class;

	SW_OPAQUE(at);
	if (!inner || at >= sizeof(call->policy->lengths[0]))
		return 1;
	sw_prefix_cut(&scratch->prefix, call->policy->lengths[family & 1][at]);
	class = bpf_map_lookup_elem(inner, &scratch->prefix);
	if (!class)
		return 0;
	scratch->class = *class;
	return 1;
}

SW_INLINE const struct sw_vec *sw_find_prefix(struct sw_call *call)
{
	struct sw_scratch *scratch = call->scratch;
	__u64 class;

	scratch->class = SW_CLASS_NONE;
	__builtin_memcpy(scratch->prefix.addr, scratch->asked, sizeof(scratch->asked));
	bpf_loop(call->policy->n_lengths[!call->ipv4], sw_prefix_step, call, 0);
	class = scratch->class;
	if (class >= SW_CLASSES_MAX)
		return 0;
	return &call->policy->classes[class];
}

SW_INLINE const struct sw_vec *sw_find_local(struct sw_call *call)
{
	if (sw_is_loopback(call->scratch->asked, call->ipv4) ||
	    bpf_map_lookup_elem(&local, call->scratch->asked))
		return &call->policy->local;
	return 0;
}

/* The key is "/a/b/": a match of a prefix then ends with a whole component. */
SW_INLINE const struct sw_vec *sw_find_cgroup(struct sw_call *call)
{
	struct sw_scratch *scratch = call->scratch;
	void *inner = bpf_map_lookup_elem(&cgroups, &call->slot);
	__u64 length;

	sw_identify_cgroup(scratch, call->guarded);
	bpf_probe_read_kernel(scratch->cgroup.path, sizeof(scratch->cgroup.path),
			      scratch->caller.cgroup);
	length = scratch->cgroup_length;
	if (length > 1) {
		SW_OPAQUE(length);
		length &= SW_NAME_MAX - 1;
		scratch->cgroup.path[length] = '/';
		length++;
	}
	scratch->cgroup.bits = length * 8;
	return inner ? bpf_map_lookup_elem(inner, &scratch->cgroup) : 0;
}

SW_INLINE const struct sw_vec *sw_find_unit(struct sw_call *call)
{
	struct sw_scratch *scratch = call->scratch;
	__u64 at, length;

	sw_identify_cgroup(scratch, call->guarded);
	__builtin_memset(&scratch->unit, 0, sizeof(scratch->unit));
	at = scratch->unit_at;
	length = scratch->unit_length;
	if (!length)
		return 0;
	SW_OPAQUE(at);
	at &= SW_NAME_MAX - 1;
	SW_OPAQUE(length);
	length &= SW_NAME_MAX - 1;
	if (at + length > SW_NAME_MAX)
		return 0;
	bpf_probe_read_kernel(scratch->unit.name, length, &scratch->caller.cgroup[at]);
	return sw_rows_of_name(call->slot, &scratch->unit);
}

SW_INLINE const struct sw_vec *sw_find_exe(struct sw_call *call, int *decided)
{
	struct sw_scratch *scratch = call->scratch;

	*decided = 0;
	if (!scratch->file_at)
		return 0;
	sw_identify_exe(scratch);
	/* A file without a name on the host matches nothing; that is certain. */
	*decided = 1;
	if (scratch->caller.flags & SW_CALLER_EXE_FOREIGN)
		return 0;
	*decided = !(scratch->caller.flags & SW_CALLER_EXE_LONG);
	return *decided ? sw_rows_of_name(call->slot, scratch->caller.exe) : 0;
}

/* ---- the decision ---- */

SW_INLINE const struct sw_vec *sw_find(struct sw_call *call, __u32 dim, int *decided)
{
	struct sw_scratch *scratch = call->scratch;
	const struct sw_vec *found;

	*decided = 1;
	switch (dim) {
	case SW_DIM_USER:
		return sw_rows_of(call->slot, SW_DIM_USER, scratch->caller.uid);
	case SW_DIM_GROUP:
		*decided = sw_find_groups(call);
		return &scratch->groups;
	case SW_DIM_DST:
		return sw_find_prefix(call);
	case SW_DIM_CGROUP:
		found = sw_find_cgroup(call);
		*decided = !(scratch->caller.flags & SW_CALLER_CGROUP_LONG);
		return found;
	case SW_DIM_UNIT:
		found = sw_find_unit(call);
		/* The topmost component may be known although the path is too long. */
		*decided = scratch->unit_length || !(scratch->caller.flags & SW_CALLER_CGROUP_LONG);
		return found;
	default:
		return sw_find_exe(call, decided);
	}
}

#define SW_UNDECIDED 0x100 /* in what sw_dim_give() is told of a dimension */

/* Two of match.h, which the verifier looks at once each by itself: in the loop below it would do so for each way
   that leads there. */
__noinline int sw_dim_next(struct sw_match *match, const struct sw_policy *policy)
{
	return match && policy ? sw_match_next(match, policy) : SW_DIM_MAX;
}

__noinline int sw_dim_give(struct sw_match *match, const struct sw_policy *policy, __u32 dim,
			   const struct sw_vec *found, const struct sw_vec *more)
{
	if (match && policy)
		sw_match_give(match, policy, dim & (SW_UNDECIDED - 1), found, more,
			      !(dim & SW_UNDECIDED));
	return 0;
}

/* Looks up what the first possible row asks about next. */
static long sw_call_step(__u32 index, struct sw_call *call)
{
	struct sw_scratch *scratch = call->scratch;
	__u32 dim = sw_dim_next(&scratch->match, call->policy);
	const struct sw_vec *found, *more = 0;
	int decided;

	(void)index;
	if (dim == SW_DIM_MAX)
		return 1;
	found = sw_find(call, dim, &decided);
	if (dim == SW_DIM_DST)
		more = sw_find_local(call);
	sw_dim_give(&scratch->match, call->policy, decided ? dim : dim | SW_UNDECIDED, found, more);
	return 0;
}

/* Does the row that decided fit this destination as `local`, and not by a prefix? */
SW_INLINE int sw_only_local(const struct sw_call *call)
{
	struct sw_scratch *scratch = call->scratch;
	__u64 class = scratch->class;
	__u32 row = scratch->match.row;

	if (!(scratch->match.given >> SW_DIM_DST & 1) || row == SW_ROW_NONE ||
	    !sw_vec_has(&call->policy->local, row))
		return 0;
	return class >= SW_CLASSES_MAX || !sw_vec_has(&call->policy->classes[class], row);
}

/* NULL: no rule. */
SW_INLINE const struct sw_rule *sw_call_rule(const struct sw_call *call, __u32 rule)
{
	__u64 index = rule;

	if (index >= SW_RULES_MAX)
		return 0;
	SW_OPAQUE(index);
	index &= SW_RULES_MAX - 1;
	return &call->policy->rules[index];
}

/* What the rule says, in memory: one case for what follows, not one for each answer. */
__noinline int sw_judge(const struct sw_rule *rule, __u32 certain, __u32 ipv4,
			struct sw_decision *decision)
{
	if (decision)
		sw_decide(rule, certain, ipv4, decision);
	return 0;
}

/* Which rule says what about the caller and the destination that the scratch holds? `rule`: its index. */
SW_INLINE void sw_call_decide(struct sw_call *call, struct sw_decision *decision, __u32 *rule)
{
	struct sw_scratch *scratch = call->scratch;

	sw_match_begin(&scratch->match, sw_rows_of_port(call->slot, scratch->asked_port));
	bpf_loop(SW_DIM_MAX, sw_call_step, call, 0);
	*rule = sw_match_rule(&scratch->match, call->policy);
	sw_judge(sw_call_rule(call, *rule), scratch->match.certain, call->ipv4, decision);
}

#endif
