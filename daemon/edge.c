/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * edge.c - the edge's interfaces. The entry of an interface has a part for each slot, so that a switch of
 * policies, forth or back, finds it as it should be; nothing reads the part of the slot at rest.
 */
#include "daemon/edge.h"

#include <errno.h>
#include <net/if_arp.h>
#include <stdarg.h>
#include <string.h>
#include <time.h>

#include "daemon/policy/policy.h"

#define NS 1000000000ull

struct sw_edges {
	struct sw_kernel *kernel;
	uint32_t flows;
	enum sw_xdp_mode mode;
	struct sw_edges_calls calls;
	struct sw_links *links;
	struct sw_edges_interface *items;
	size_t n, room;
	bool loaded;  /* the programs are there */
	bool started; /* interfaces are attached as they come */
	bool fresh; /* the flow table is a new one: what it knew must be let pass as after an attach */
	bool blind; /* the list of interfaces could not be read */
};

/* NULL: there is none in this slot. */
static const struct sw_policy *policy_of(const struct sw_edges *edges, unsigned int slot)
{
	const struct sw_policy *policy = &sw_kernel_head(edges->kernel)->slot[slot];

	return policy->generation ? policy : NULL;
}

static uint64_t now_ns(void)
{
	struct timespec now;

	clock_gettime(CLOCK_BOOTTIME, &now);
	return (uint64_t)now.tv_sec * NS + (uint64_t)now.tv_nsec;
}

/* ---- what a policy means for an interface ---- */

bool sw_edges_match(const struct sw_policy *policy, const struct sw_link_info *link,
		    struct sw_vec *rows, bool *enforced, uint32_t *keep_seconds)
{
	bool named = false;

	*rows = (struct sw_vec){};
	*enforced = false;
	*keep_seconds = UINT32_MAX;
	for (uint32_t i = 0; i < policy->n_patterns && i < SW_PATTERNS_MAX; i++) {
		const struct sw_pattern *pattern = &policy->patterns[i];

		/* Nothing is forwarded from loopback: "*" does not mean it, its name does. */
		if (!sw_interface_matches(pattern->text, link->name) ||
		    (link->type == ARPHRD_LOOPBACK && strcmp(pattern->text, link->name) != 0))
			continue;
		named = true;
		for (size_t w = 0; w < SW_WORDS; w++)
			rows->w[w] |= pattern->rows.w[w];
		*enforced |= pattern->enforced;
		if (pattern->keep_seconds < *keep_seconds)
			*keep_seconds = pattern->keep_seconds;
	}
	return named;
}

/* How connections that are open already are treated in a slot. */
enum keep {
	KEEP_AS_IS, /* the time that was set stays, unless the interface was not named before */
	KEEP_ANEW,
};

/* `policy`: NULL: none is in the slot. */
static void set_slot(struct sw_edges_interface *item, unsigned int slot,
		     const struct sw_policy *policy, enum keep keep)
{
	struct sw_interface *entry = &item->entry;
	bool was = entry->named[slot], enforced = false;
	uint64_t until = entry->keep_until_ns[slot];
	uint32_t seconds = 0;

	entry->rows[slot] = (struct sw_vec){};
	entry->named[slot] = policy && sw_edges_match(policy, &item->link, &entry->rows[slot],
						      &enforced, &seconds);
	entry->enforced[slot] = enforced;
	if (!entry->named[slot] || !seconds)
		until = 0;
	else if (!was || keep == KEEP_ANEW)
		until = now_ns() + seconds * NS;
	entry->keep_until_ns[slot] = until;
}

/* Does the policy guard a port that the one in force leaves alone? */
static bool guards_more(const struct sw_policy *policy, const struct sw_policy *active)
{
	for (size_t i = 0; active && i < sw_count(policy->edge_guard); i++)
		if (policy->edge_guard[i] & ~active->edge_guard[i])
			return true;
	return !active;
}

/*
 * The part of the slot that comes into force next. Connections that began where nothing was guarded are let
 * pass for a time; where the policy in force has seen all beginnings that matter, its time goes on: a policy
 * that is applied again and again leaves no door open.
 */
static void set_next(struct sw_edges *edges, struct sw_edges_interface *item, unsigned int slot,
		     const struct sw_policy *policy)
{
	struct sw_interface *entry = &item->entry;
	bool anew = edges->fresh || !entry->named[!slot] || !item->attached ||
		    guards_more(policy, policy_of(edges, !slot));

	set_slot(item, slot, policy, KEEP_ANEW);
	if (!anew && entry->keep_until_ns[slot] > entry->keep_until_ns[!slot])
		entry->keep_until_ns[slot] = entry->keep_until_ns[!slot];
}

/* ---- the map ---- */

static bool is_named(const struct sw_edges_interface *item)
{
	return item->entry.named[0] || item->entry.named[1];
}

static bool is_wanted(const struct sw_edges *edges, const struct sw_edges_interface *item)
{
	return item->entry.named[sw_kernel_active(edges->kernel)];
}

static void tell(struct sw_edges *edges, struct sw_edges_interface *item, const char *text)
{
	/* What lasts is told once; `status` shows it as long as it does. */
	if (*text && strcmp(item->problem, text) != 0)
		edges->calls.problem(edges->calls.data, text);
	snprintf(item->problem, sizeof(item->problem), "%s", text);
}

static void sw_printf(2, 3) note(struct sw_edges *edges, const char *format, ...)
{
	char text[256];
	va_list args;

	va_start(args, format);
	vsnprintf(text, sizeof(text), format, args);
	va_end(args);
	edges->calls.note(edges->calls.data, text);
}

static int write_entry(struct sw_edges *edges, struct sw_edges_interface *item,
		       struct sw_fault *fault)
{
	int error = sw_edge_set_interface(edges->kernel, item->link.index, &item->entry);

	if (error)
		return sw_fault(fault, SW_EXIT_KERNEL,
				"cannot note the interface %s for the kernel: %s", item->link.name,
				strerror(-error));
	item->written = true;
	return 0;
}

static void remove_entry(struct sw_edges *edges, struct sw_edges_interface *item)
{
	if (item->written && edges->loaded)
		sw_edge_remove_interface(edges->kernel, item->link.index);
	item->written = false;
}

/* ---- attaching ---- */

/* How frames begin there. False: in none of the ways that the programs read. */
static bool set_link(struct sw_edges_interface *item)
{
	switch (item->link.type) {
	case ARPHRD_ETHER:
	case ARPHRD_LOOPBACK:
		item->entry.link = SW_LINK_ETHERNET;
		return true;
	case ARPHRD_NONE:
	case ARPHRD_PPP:
	case ARPHRD_RAWIP:
	case ARPHRD_TUNNEL:
	case ARPHRD_TUNNEL6:
	case ARPHRD_SIT:
		item->entry.link = SW_LINK_IP;
		return true;
	default:
		return false;
	}
}

static bool is_there(const struct sw_edges_interface *item)
{
	char name[IF_NAMESIZE];

	return if_indextoname(item->link.index, name) != NULL;
}

/* 0 also for an interface that has gone meanwhile: the message about it is on its way. */
static int attach(struct sw_edges *edges, struct sw_edges_interface *item, struct sw_fault *fault)
{
	if (!set_link(item))
		return sw_fault(fault, SW_EXIT_KERNEL,
				"interface %s cannot be guarded: its frames (hardware type %u) are "
				"neither Ethernet's nor bare IP packets",
				item->link.name, item->link.type);
	if (write_entry(edges, item, fault) == 0 &&
	    sw_edge_attach(edges->kernel, item->link.index, item->link.name, item->link.kind,
			   edges->mode, &item->hook, fault) == 0) {
		item->attached = true;
		item->problem[0] = '\0';
		return 0;
	}
	return is_there(item) ? -1 : 0;
}

static void detach(struct sw_edges *edges, struct sw_edges_interface *item)
{
	char text[sizeof(item->problem)];
	int error = item->attached && edges->loaded
			    ? sw_edge_detach(edges->kernel, item->link.index)
			    : 0;

	item->attached = false;
	item->hook = (struct sw_edge_hook){};
	if (!error || error == -ENODEV || error == -ENOENT)
		return;
	snprintf(text, sizeof(text), "the programs could not be taken off the interface %s: %s",
		 item->link.name, strerror(-error));
	edges->calls.problem(edges->calls.data, text);
}

/* Brings what is attached and what lies in the map in line with the entry. */
static void follow(struct sw_edges *edges, struct sw_edges_interface *item)
{
	struct sw_fault fault;

	if (!edges->loaded || !edges->started)
		return;
	/* Thousands of interfaces take seconds, and no violation is to wait for them. */
	sw_kernel_events_read(edges->kernel);
	if (!is_wanted(edges, item)) {
		/* First the program: while it runs without an entry it refuses. */
		detach(edges, item);
		item->problem[0] = '\0';
	} else if (!item->attached && attach(edges, item, &fault) < 0) {
		tell(edges, item, fault.text);
	}
	if (!is_named(item))
		remove_entry(edges, item);
	else if (write_entry(edges, item, &fault) < 0)
		tell(edges, item, fault.text);
}

/* ---- interfaces come and go ---- */

static struct sw_edges_interface *find(const struct sw_edges *edges, uint32_t index)
{
	for (size_t i = 0; i < edges->n; i++)
		if (edges->items[i].link.index == index)
			return &edges->items[i];
	return NULL;
}

static struct sw_edges_interface *add(struct sw_edges *edges, uint32_t index)
{
	if (edges->n == edges->room) {
		size_t room = edges->room ? 2 * edges->room : 64;
		struct sw_edges_interface *items = reallocarray(edges->items, room, sizeof(*items));

		if (!items)
			return NULL;
		edges->items = items;
		edges->room = room;
	}
	edges->items[edges->n] = (struct sw_edges_interface){.link.index = index};
	return &edges->items[edges->n++];
}

static void on_changed(void *data, const struct sw_link_info *link)
{
	struct sw_edges *edges = data;
	struct sw_edges_interface *item = find(edges, link->index);
	bool same = item && strcmp(item->link.name, link->name) == 0 &&
		    item->link.type == link->type && strcmp(item->link.kind, link->kind) == 0;

	if (!item)
		item = add(edges, link->index);
	if (!item) {
		edges->calls.problem(edges->calls.data,
				     "out of memory: an interface is not watched");
		return;
	}
	item->link = *link;
	/* Most messages are of traffic counters and carriers. */
	if (same)
		return;
	for (unsigned int slot = 0; slot < 2; slot++)
		set_slot(item, slot, policy_of(edges, slot), KEEP_AS_IS);
	follow(edges, item);
}

static void on_gone(void *data, uint32_t index)
{
	struct sw_edges *edges = data;
	struct sw_edges_interface *item = find(edges, index);

	if (!item)
		return;
	/* The kernel has taken its programs off; there is a pin left of them. */
	item->attached |= item->written;
	detach(edges, item);
	remove_entry(edges, item);
	*item = edges->items[--edges->n];
}

static bool in_list(const struct sw_link_info *list, size_t n, uint32_t index)
{
	for (size_t i = 0; i < n; i++)
		if (list[i].index == index)
			return true;
	return false;
}

static int read_list(struct sw_edges *edges, struct sw_fault *fault)
{
	sw_autofree struct sw_link_info *list = NULL;
	size_t n;

	if (sw_links_list(&list, &n, fault) < 0)
		return -1;
	for (size_t i = edges->n; i-- > 0;)
		if (!in_list(list, n, edges->items[i].link.index))
			on_gone(edges, edges->items[i].link.index);
	for (size_t i = 0; i < n; i++)
		on_changed(edges, &list[i]);
	return 0;
}

static void on_overrun(void *data)
{
	struct sw_edges *edges = data;
	struct sw_fault fault;

	edges->blind = read_list(edges, &fault) < 0;
	if (edges->blind)
		edges->calls.problem(edges->calls.data, fault.text);
}

/* ---- from outside ---- */

static void edges_cleanup(struct sw_edges **edges)
{
	sw_edges_close(*edges);
}

int sw_edges_open(struct sw_kernel *kernel, uint32_t flows, enum sw_xdp_mode mode,
		  const struct sw_edges_calls *calls, struct sw_edges **edges,
		  struct sw_fault *fault)
{
	sw_cleanup(edges_cleanup) struct sw_edges *new = calloc(1, sizeof(*new));
	struct sw_links_calls links = {
		.data = new, .changed = on_changed, .gone = on_gone, .overrun = on_overrun};

	if (!new)
		return sw_fault(fault, SW_EXIT_KERNEL, "out of memory");
	new->kernel = kernel;
	new->flows = flows;
	new->mode = mode;
	new->calls = *calls;
	/* Watched first: what changes while the list is read is told as well. */
	if (sw_links_open(&links, &new->links, fault) < 0 || read_list(new, fault) < 0)
		return -1;
	*edges = sw_take(new);
	return 0;
}

void sw_edges_close(struct sw_edges *edges)
{
	if (!edges)
		return;
	sw_links_close(edges->links);
	free(edges->items);
	free(edges);
}

int sw_edges_fd(const struct sw_edges *edges)
{
	return sw_links_fd(edges->links);
}

void sw_edges_drain(struct sw_edges *edges)
{
	sw_links_drain(edges->links);
}

/* What an earlier daemon left: entries keep their times, and of what is attached nothing is done twice. */
static int adopt(struct sw_edges *edges, struct sw_fault *fault)
{
	sw_autofree uint32_t *attached = NULL;
	size_t n = 0;
	int error = sw_edge_attached(edges->kernel, &attached, &n);

	if (error)
		return sw_fault(fault, SW_EXIT_KERNEL,
				"cannot read what is attached to interfaces: %s", strerror(-error));
	for (size_t i = 0; i < n; i++) {
		struct sw_edges_interface *item = find(edges, attached[i]);

		if (!item) {
			sw_edge_detach(edges->kernel, attached[i]);
			sw_edge_remove_interface(edges->kernel, attached[i]);
			continue;
		}
		item->attached = true;
		item->written =
			sw_edge_get_interface(edges->kernel, item->link.index, &item->entry) == 0;
	}
	return 0;
}

int sw_edges_ready(struct sw_edges *edges, const struct sw_policy *policy, struct sw_fault *fault)
{
	bool replaced = false;

	if (edges->loaded || (!(policy && policy->n_patterns) && !sw_edge_is_open(edges->kernel)))
		return 0;
	if (sw_edge_open(edges->kernel, edges->flows, &replaced, fault) < 0 ||
	    adopt(edges, fault) < 0)
		return -1;
	edges->loaded = true;
	edges->fresh = replaced;
	if (replaced)
		note(edges, "the edge's flow table is a new one: connections through the edge "
			    "that are open are not known to it");
	for (size_t i = 0; i < edges->n; i++)
		for (unsigned int slot = 0; slot < 2; slot++)
			set_slot(&edges->items[i], slot, policy_of(edges, slot),
				 replaced ? KEEP_ANEW : KEEP_AS_IS);
	return 0;
}

/* One interface of a policy that comes into force. */
static int prepare(struct sw_edges *edges, struct sw_edges_interface *item, struct sw_fault *fault)
{
	sw_kernel_events_read(edges->kernel);
	if (write_entry(edges, item, fault) < 0)
		return -1;
	return edges->started && !item->attached ? attach(edges, item, fault) : 0;
}

int sw_edges_prepare(struct sw_edges *edges, unsigned int slot, const struct sw_policy *policy,
		     struct sw_fault *fault)
{
	struct sw_fault problem;

	if (!edges->loaded)
		return 0;
	/* Those that there are now, not at the last turn of the loop. */
	sw_edges_drain(edges);
	for (size_t i = 0; i < edges->n; i++) {
		struct sw_edges_interface *item = &edges->items[i];

		set_next(edges, item, slot, policy);
		if (!item->entry.named[slot] || prepare(edges, item, fault ? fault : &problem) == 0)
			continue;
		if (!fault) {
			tell(edges, item, problem.text);
			continue;
		}
		sw_edges_settle(edges);
		return -1;
	}
	return 0;
}

/* No policy that is there, in force or to go back to, has an edge block: what it takes is given back. */
static void release(struct sw_edges *edges)
{
	if (!edges->started)
		return;
	for (unsigned int slot = 0; slot < 2; slot++)
		if (policy_of(edges, slot) && policy_of(edges, slot)->n_patterns)
			return;
	edges->loaded = !sw_edge_release(edges->kernel);
}

void sw_edges_settle(struct sw_edges *edges)
{
	if (!edges->loaded)
		return;
	for (size_t i = 0; i < edges->n; i++) {
		for (unsigned int slot = 0; slot < 2; slot++)
			set_slot(&edges->items[i], slot, policy_of(edges, slot), KEEP_AS_IS);
		follow(edges, &edges->items[i]);
	}
	release(edges);
}

void sw_edges_start(struct sw_edges *edges)
{
	edges->started = true;
	if (!edges->loaded)
		return;
	/* Also what is attached already: it may run the programs of an earlier daemon. */
	for (size_t i = 0; i < edges->n; i++) {
		struct sw_edges_interface *item = &edges->items[i];

		if (is_wanted(edges, item))
			item->attached = false;
		follow(edges, item);
	}
	/* Until now programs of an earlier daemon may have gone on with a table of theirs. */
	if (edges->fresh)
		sw_edge_compare(edges->kernel);
	edges->fresh = false;
	release(edges);
}

void sw_edges_stop(struct sw_edges *edges)
{
	if (edges)
		edges->started = edges->loaded = false;
}

static void check_attached(struct sw_edges *edges, struct sw_edges_interface *item)
{
	char text[sizeof(item->problem)] = "";
	bool repaired = false;

	sw_kernel_events_read(edges->kernel);
	sw_edge_check(edges->kernel, item->link.index, &item->hook, &repaired);
	if (*item->hook.problem)
		snprintf(text, sizeof(text), "interface %s: %s", item->link.name,
			 item->hook.problem);
	else if (*item->problem)
		note(edges, "interface %s is guarded again", item->link.name);
	tell(edges, item, text);
	if (!item->hook.xdp || !item->hook.tc)
		item->attached = false;
}

void sw_edges_check(struct sw_edges *edges)
{
	unsigned int slot = sw_kernel_active(edges->kernel);

	if (!edges->loaded || !edges->started)
		return;
	sw_edges_drain(edges);
	if (edges->blind)
		on_overrun(edges);
	for (size_t i = 0; i < edges->n; i++) {
		struct sw_edges_interface *item = &edges->items[i];

		if (!is_wanted(edges, item))
			continue;
		if (item->attached)
			check_attached(edges, item);
		if (item->attached)
			continue;
		/* What began while it was not guarded began unseen. */
		set_slot(item, slot, policy_of(edges, slot), KEEP_ANEW);
		follow(edges, item);
	}
}

const struct sw_edges_interface *sw_edges_list(const struct sw_edges *edges, size_t *n)
{
	*n = edges->n;
	return edges->items;
}

const struct sw_edges_interface *sw_edges_find(const struct sw_edges *edges, uint32_t index)
{
	return find(edges, index);
}
