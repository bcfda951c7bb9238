/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * load_edge_tc.c - the filter at clsact egress of an interface. No pin holds it: it stays with the interface,
 * and others may have filters beside it.
 */
#include <errno.h>

#include "daemon/load_edge_internal.h"

static struct bpf_tc_hook egress(uint32_t interface)
{
	return (struct bpf_tc_hook){.sz = sizeof(struct bpf_tc_hook),
				    .ifindex = (int)interface,
				    .attach_point = BPF_TC_EGRESS};
}

/* Nobody says whose the queueing discipline is; it has no use without filters. */
static int remove_unused_qdisc(uint32_t interface)
{
	struct bpf_tc_hook hook = egress(interface);
	struct sw_edge_filters filters;
	int error = sw_edge_ask_filters(interface, &filters);

	if (error || filters.id || filters.others)
		return error;
	hook.attach_point = BPF_TC_INGRESS | BPF_TC_EGRESS;
	error = bpf_tc_hook_destroy(&hook);
	/* -ENOENT, -EINVAL: there was none, or another kind of it that has no egress. */
	return error == -ENOENT || error == -EINVAL ? 0 : error;
}

/* 0, or -errno; -EBUSY when another kind of queueing discipline is in its place. */
static int make_qdisc(uint32_t interface, bool *made)
{
	struct bpf_tc_hook hook = egress(interface);
	bool clsact;
	int error = sw_edge_ask_clsact(interface, &clsact);

	if (error == -ENOENT) {
		error = bpf_tc_hook_create(&hook);
		*made = error == 0;
		return error;
	}
	return error || clsact ? error : -EBUSY;
}

int sw_edge_filter_put(uint32_t interface, int program, uint32_t id,
		       struct sw_edge_filter_undo *undo)
{
	LIBBPF_OPTS(bpf_tc_opts, opts, .handle = SW_EDGE_FILTER_HANDLE,
		    .priority = SW_EDGE_FILTER_PRIORITY, .prog_fd = program,
		    .flags = BPF_TC_F_REPLACE);
	struct bpf_tc_hook hook = egress(interface);
	struct sw_edge_filters filters;
	int error = sw_edge_ask_filters(interface, &filters);

	*undo = (struct sw_edge_filter_undo){};
	if (error || filters.id == id)
		return error;
	error = make_qdisc(interface, &undo->qdisc);
	if (error)
		return error;
	error = bpf_tc_attach(&hook, &opts);
	if (error && undo->qdisc)
		remove_unused_qdisc(interface);
	undo->made = !error && !filters.id;
	undo->was = error ? 0 : filters.id;
	return error;
}

int sw_edge_filter_remove(uint32_t interface, bool qdisc)
{
	LIBBPF_OPTS(bpf_tc_opts, opts, .handle = SW_EDGE_FILTER_HANDLE,
		    .priority = SW_EDGE_FILTER_PRIORITY);
	struct bpf_tc_hook hook = egress(interface);
	struct sw_edge_filters filters;
	int error = sw_edge_ask_filters(interface, &filters);

	if (!error && filters.id) {
		error = bpf_tc_detach(&hook, &opts);
		if (!error && qdisc)
			error = remove_unused_qdisc(interface);
	}
	/* Without the interface there is no filter. */
	return error == -ENODEV ? 0 : error;
}
