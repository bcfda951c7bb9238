/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * load_edge_hooks.c - interfaces: putting the programs on them, keeping them there, taking them off.
 *
 * The filter stands before XDP does and goes after it: XDP holds what a client sends until the server has
 * been heard.
 */
#include <errno.h>
#include <linux/if_link.h>
#include <string.h>
#include <sys/stat.h>

#include "daemon/load_edge_internal.h"

/* ---- places ---- */

/* Where an interface is in the list, or would be. */
static size_t place_index(const struct sw_edge_objects *edge, uint32_t interface)
{
	size_t low = 0, high = edge->n_places;

	while (low < high) {
		size_t middle = low + (high - low) / 2;

		if (edge->places[middle].interface < interface)
			low = middle + 1;
		else
			high = middle;
	}
	return low;
}

static struct sw_edge_place *find_place(const struct sw_edge_objects *edge, uint32_t interface)
{
	size_t at = place_index(edge, interface);

	return at < edge->n_places && edge->places[at].interface == interface ? &edge->places[at]
									      : NULL;
}

static int add_place(struct sw_edge_objects *edge, uint32_t interface)
{
	size_t at = place_index(edge, interface);

	if (find_place(edge, interface))
		return 0;
	if (edge->n_places == edge->room) {
		size_t more = edge->room ? edge->room * 2 : 16;
		struct sw_edge_place *grown = realloc(edge->places, more * sizeof(*grown));

		if (!grown)
			return -ENOMEM;
		edge->places = grown;
		edge->room = more;
	}
	memmove(&edge->places[at + 1], &edge->places[at],
		(edge->n_places - at) * sizeof(*edge->places));
	edge->places[at] = (struct sw_edge_place){.interface = interface};
	edge->n_places++;
	return 0;
}

static void remove_place(struct sw_edge_objects *edge, uint32_t interface)
{
	size_t at = place_index(edge, interface);

	if (!find_place(edge, interface))
		return;
	edge->n_places--;
	memmove(&edge->places[at], &edge->places[at + 1],
		(edge->n_places - at) * sizeof(*edge->places));
}

/* ---- the link ---- */

/* The pinned link, when it holds a program on this very interface: one that went to another network namespace
   keeps its link, and may keep its number there. -1: there is none such. */
static int live_link(const struct sw_kernel *kernel, uint32_t interface,
		     const struct sw_edge_xdp *xdp, struct bpf_link_info *info)
{
	sw_autoclose int fd = sw_edge_link_open(kernel->pin_dir, interface, info);

	if (fd < 0 || info->xdp.ifindex != interface || !xdp->id || info->prog_id != xdp->id)
		return -1;
	return sw_take_fd(fd);
}

/* Pins it before it counts: what is not pinned would be gone with this process. */
static int create_link(const struct sw_kernel *kernel, uint32_t interface, uint32_t flags)
{
	LIBBPF_OPTS(bpf_link_create_opts, opts, .flags = flags);
	sw_autoclose int fd = bpf_link_create(kernel->edge->programs[SW_EDGE_XDP].fd,
					      (int)interface, BPF_XDP, &opts);
	char name[SW_EDGE_LINK_SIZE];

	if (fd < 0)
		return -errno;
	mkdir(kernel->pin_dir, 0700);
	sw_edge_link_name(name, interface);
	return sw_pin_put(kernel->pin_dir, name, fd);
}

/* Errors that another mode would meet as well. */
static bool is_final(int error)
{
	return error == -EPERM || error == -ENODEV || error == -EBUSY || error == -EEXIST ||
	       error == -ENOSPC || error == -ENOMEM;
}

/* A native XDP_TX of these reaches its peer only when that has NAPI, as with a native program of its own, and is
   dropped without a word otherwise. */
static bool loses_answers(const char *driver)
{
	return driver && strcmp(driver, "veth") == 0;
}

static int create_in_mode(const struct sw_kernel *kernel, uint32_t interface, const char *driver,
			  enum sw_xdp_mode mode)
{
	int error = -EOPNOTSUPP;

	if (mode == SW_XDP_NATIVE || (mode == SW_XDP_AUTO && !loses_answers(driver)))
		error = create_link(kernel, interface, XDP_FLAGS_DRV_MODE);
	if (mode == SW_XDP_GENERIC || (mode == SW_XDP_AUTO && error && !is_final(error)))
		error = create_link(kernel, interface, XDP_FLAGS_SKB_MODE);
	return error;
}

/* "id 12, \"name\"": the name is told to those who may open it by its id only. */
static void describe(uint32_t id, char *text, size_t size)
{
	sw_autoclose int fd = bpf_prog_get_fd_by_id(id);
	struct bpf_prog_info info = {};
	uint32_t length = sizeof(info);

	if (fd >= 0 && bpf_obj_get_info_by_fd(fd, &info, &length) == 0 && info.name[0])
		snprintf(text, size, "id %u, \"%s\"", id, info.name);
	else
		snprintf(text, size, "id %u", id);
}

static int foreign(const char *name, uint32_t id, struct sw_fault *fault)
{
	char text[64];

	describe(id, text, sizeof(text));
	return sw_fault(fault, SW_EXIT_KERNEL,
			"%s carries an XDP program that is not this smtpwalld's (%s): it was left "
			"alone. See: bpftool prog show id %u; bpftool net show dev %s",
			name, text, id, name);
}

static int refused(const char *what, const char *name, int error, struct sw_fault *fault)
{
	char text[128];

	snprintf(text, sizeof(text), "cannot attach %s to %s", what, name);
	return sw_kernel_refused(fault, text, -error);
}

static int filter_refused(const char *name, int error, struct sw_fault *fault)
{
	if (error == -EBUSY)
		return sw_fault(
			fault, SW_EXIT_KERNEL,
			"%s has a queueing discipline \"ingress\", in the place of which "
			"smtpwalld needs clsact, which does what it does and egress too: it "
			"was left alone. See: tc qdisc show dev %s",
			name, name);
	if (error == -EINVAL || error == -EEXIST)
		return sw_fault(fault, SW_EXIT_KERNEL,
				"cannot attach the filter at clsact egress to %s: %s: a filter of "
				"another kind may have priority %u there. See: tc filter show dev "
				"%s egress",
				name, strerror(-error), SW_EDGE_FILTER_PRIORITY, name);
	return refused("the filter at clsact egress", name, error, fault);
}

static int put_xdp(const struct sw_kernel *kernel, uint32_t interface, const char *name,
		   const char *driver, enum sw_xdp_mode mode, struct sw_fault *fault)
{
	const struct sw_edge_program *program = &kernel->edge->programs[SW_EDGE_XDP];
	sw_autoclose int link = -1;
	struct bpf_link_info info;
	struct sw_edge_xdp xdp;
	int error = sw_edge_ask_xdp(interface, &xdp);

	if (error)
		return refused("XDP", name, error, fault);
	link = live_link(kernel, interface, &xdp, &info);
	if (link < 0 && xdp.id)
		return foreign(name, xdp.id, fault);
	if (link < 0)
		error = create_in_mode(kernel, interface, driver, mode);
	else if (info.prog_id != program->id && bpf_link_update(link, program->fd, NULL) < 0)
		error = -errno;
	if (!error)
		return 0;
	/* Somebody was quicker. */
	if (link < 0 && sw_edge_ask_xdp(interface, &xdp) == 0 && xdp.id)
		return foreign(name, xdp.id, fault);
	if (mode == SW_XDP_NATIVE && error == -EOPNOTSUPP)
		return sw_fault(fault, SW_EXIT_KERNEL,
				"cannot attach XDP to %s: its driver has no native XDP, which "
				"--xdp native asks for; --xdp auto takes generic where it must",
				name);
	return refused("XDP", name, error, fault);
}

/* ---- attaching ---- */

static void undo_filter(const struct sw_kernel *kernel, uint32_t interface,
			const struct sw_edge_filter_undo *undo)
{
	const struct sw_edge_program *previous = &kernel->edge->previous[SW_EDGE_TC];
	struct sw_edge_filter_undo unused;

	if (undo->made)
		sw_edge_filter_remove(interface, undo->qdisc);
	else if (undo->was && previous->fd >= 0 && previous->id == undo->was)
		sw_edge_filter_put(interface, previous->fd, previous->id, &unused);
}

/* What the kernel says of both. */
static void look(const struct sw_kernel *kernel, uint32_t interface, struct sw_edge_hook *hook)
{
	const struct sw_edge_program *programs = kernel->edge->programs;
	sw_autoclose int link = -1;
	struct sw_edge_filters filters;
	struct bpf_link_info info;
	struct sw_edge_xdp xdp;

	*hook = (struct sw_edge_hook){.interface = interface,
				      .program_id = programs[SW_EDGE_XDP].id};
	if (sw_edge_ask_xdp(interface, &xdp) < 0)
		return;
	link = live_link(kernel, interface, &xdp, &info);
	hook->native = xdp.native;
	hook->xdp = link >= 0 && info.prog_id == programs[SW_EDGE_XDP].id;
	hook->link_id = link >= 0 ? info.id : 0;
	hook->tc = sw_edge_ask_filters(interface, &filters) == 0 && filters.id &&
		   filters.id == programs[SW_EDGE_TC].id;
}

/* A link's mode is for its life, and to end it would let packets through undecided. */
static void tell_mode(struct sw_edge_hook *hook, enum sw_xdp_mode mode)
{
	if ((mode == SW_XDP_NATIVE && !hook->native) || (mode == SW_XDP_GENERIC && hook->native))
		snprintf(hook->problem, sizeof(hook->problem),
			 "XDP stays in %s mode, as it was attached, until it is taken off",
			 hook->native ? "native" : "generic");
}

int sw_edge_attach(struct sw_kernel *kernel, uint32_t interface, const char *name,
		   const char *driver, enum sw_xdp_mode mode, struct sw_edge_hook *hook,
		   struct sw_fault *fault)
{
	struct sw_edge_objects *edge = kernel->edge;
	struct sw_edge_filter_undo undo;
	struct sw_edge_place *place;
	int error;

	*hook = (struct sw_edge_hook){.interface = interface};
	if (!edge || !interface)
		return sw_fault(fault, SW_EXIT_KERNEL, "the edge is not open");
	if (add_place(edge, interface) < 0)
		return sw_fault(fault, SW_EXIT_KERNEL, "out of memory");
	error = sw_edge_filter_put(interface, edge->programs[SW_EDGE_TC].fd,
				   edge->programs[SW_EDGE_TC].id, &undo);
	if (error)
		return filter_refused(name, error, fault);
	if (put_xdp(kernel, interface, name, driver, mode, fault) < 0) {
		undo_filter(kernel, interface, &undo);
		return -1;
	}
	look(kernel, interface, hook);
	place = find_place(edge, interface);
	place->flags = hook->native ? XDP_FLAGS_DRV_MODE : XDP_FLAGS_SKB_MODE;
	place->mode = mode;
	tell_mode(hook, mode);
	return 0;
}

int sw_edge_detach(struct sw_kernel *kernel, uint32_t interface)
{
	if (kernel->edge)
		remove_place(kernel->edge, interface);
	return sw_edge_take_off(kernel->pin_dir, interface);
}

void sw_edge_detach_all(struct sw_kernel *kernel)
{
	while (kernel->edge && kernel->edge->n_places)
		sw_edge_detach(kernel, kernel->edge->places[kernel->edge->n_places - 1].interface);
}

/* ---- the self-check ---- */

static int repair_xdp(const struct sw_kernel *kernel, uint32_t interface, char *why, size_t size)
{
	const struct sw_edge_place *place = find_place(kernel->edge, interface);
	enum sw_xdp_mode mode =
		place && place->flags == XDP_FLAGS_DRV_MODE ? SW_XDP_NATIVE : SW_XDP_GENERIC;
	struct sw_fault fault = {};
	char name[IF_NAMESIZE];

	if (!if_indextoname(interface, name))
		snprintf(name, sizeof(name), "%u", interface);
	if (put_xdp(kernel, interface, name, NULL, mode, &fault) == 0)
		return 0;
	snprintf(why, size, "%.*s", (int)size - 1, fault.text);
	return -1;
}

static void repair(const struct sw_kernel *kernel, uint32_t interface,
		   const struct sw_edge_hook *found, char *text, size_t size, bool *repaired)
{
	const struct sw_edge_program *tc = &kernel->edge->programs[SW_EDGE_TC];
	const char *what = found->tc    ? "XDP was detached"
			   : found->xdp ? "the filter at clsact egress was removed"
					: "XDP and the filter at clsact egress were removed";
	struct sw_edge_filter_undo undo;
	char why[sizeof(found->problem)] = "";
	int error = sw_edge_filter_put(interface, tc->fd, tc->id, &undo);

	if (error)
		snprintf(why, sizeof(why), "%s", strerror(-error));
	*repaired = !error;
	if (!found->xdp && repair_xdp(kernel, interface, why, sizeof(why)) < 0)
		*repaired = false;
	snprintf(text, size, "%s; %s%s", what,
		 *repaired ? "put back" : "it cannot be put back: ", *repaired ? "" : why);
}

void sw_edge_check(struct sw_kernel *kernel, uint32_t interface, struct sw_edge_hook *hook,
		   bool *repaired)
{
	const struct sw_edge_place *place;
	char problem[sizeof(hook->problem)];
	struct sw_edge_xdp xdp;
	int error;

	*repaired = false;
	*hook = (struct sw_edge_hook){.interface = interface};
	if (!kernel->edge)
		return;
	look(kernel, interface, hook);
	place = find_place(kernel->edge, interface);
	if (hook->xdp && hook->tc && place)
		tell_mode(hook, place->mode);
	if (hook->xdp && hook->tc)
		return;
	error = sw_edge_ask_xdp(interface, &xdp);
	if (error) {
		snprintf(hook->problem, sizeof(hook->problem), "%s",
			 error == -ENODEV ? "the interface is gone" : strerror(-error));
		return;
	}
	repair(kernel, interface, hook, problem, sizeof(problem), repaired);
	look(kernel, interface, hook);
	memcpy(hook->problem, problem, sizeof(problem));
}

/* ---- what stands ---- */

int sw_edge_attached(struct sw_kernel *kernel, uint32_t **interfaces, size_t *n)
{
	size_t count, kept = 0;
	int error = sw_edge_links(kernel->pin_dir, interfaces, &count);

	*n = 0;
	if (error)
		return error;
	for (size_t i = 0; i < count; i++) {
		uint32_t interface = (*interfaces)[i];
		struct bpf_link_info info;
		sw_autoclose int fd = sw_edge_link_open(kernel->pin_dir, interface, &info);

		if (fd >= 0 && info.xdp.ifindex == interface) {
			(*interfaces)[kept++] = interface;
			continue;
		}
		/* Gone, with everything that was on it; or away in another network namespace. */
		sw_edge_detach(kernel, interface);
		if (kernel->edge)
			sw_edge_remove_interface(kernel, interface);
	}
	*n = kept;
	return 0;
}
