/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <errno.h>
#include <linux/if_link.h>
#include <linux/rtnetlink.h>
#include <netlink/attr.h>
#include <netlink/msg.h>
#include <netlink/netlink.h>
#include <netlink/socket.h>
#include <string.h>
#include <sys/socket.h>

#include "daemon/links.h"

/* A message about an interface takes one to two kilobytes. */
#define MESSAGE_SIZE 32768

/* Bytes of messages that may wait: a thousand interfaces at once, several times over. */
#define WAITING_SIZE (4 << 20)

/* A dump that a change overtakes is asked for again, so often. */
#define DUMP_TRIES 8

struct sw_links {
	struct sw_links_calls calls;
	struct nl_sock *socket;
	char message[MESSAGE_SIZE] __attribute__((aligned(NLMSG_ALIGNTO)));
};

static void free_socket(struct nl_sock **socket)
{
	nl_socket_free(*socket);
}

static int failed(struct sw_fault *fault, const char *what, int error)
{
	return sw_fault(fault, SW_EXIT_KERNEL, "%s: %s", what, nl_geterror(error));
}

static struct nl_sock *open_socket(int *error)
{
	struct nl_sock *socket = nl_socket_alloc();

	*error = socket ? nl_connect(socket, NETLINK_ROUTE) : -NLE_NOMEM;
	if (*error < 0) {
		nl_socket_free(socket);
		return NULL;
	}
	return socket;
}

/* ---- messages ---- */

static void take_kind(struct nlattr *info, struct sw_link_info *link)
{
	struct nlattr *kind = info ? nla_find(nla_data(info), nla_len(info), IFLA_INFO_KIND) : NULL;

	if (kind)
		nla_strlcpy(link->kind, kind, sizeof(link->kind));
}

/* False: it says nothing about an interface as such. A bridge sends messages of the same types about its
   ports, with a family; one of those, RTM_DELLINK, says that the port has left the bridge. */
static bool take_link(struct nlmsghdr *header, struct sw_link_info *link)
{
	const struct ifinfomsg *info = nlmsg_data(header);
	struct nlattr *name;

	if ((header->nlmsg_type != RTM_NEWLINK && header->nlmsg_type != RTM_DELLINK) ||
	    nlmsg_datalen(header) < (int)sizeof(*info) || info->ifi_family != AF_UNSPEC ||
	    info->ifi_index <= 0)
		return false;
	*link = (struct sw_link_info){
		.index = (uint32_t)info->ifi_index,
		.type = info->ifi_type,
		.up = info->ifi_flags & IFF_UP,
	};
	name = nlmsg_find_attr(header, sizeof(*info), IFLA_IFNAME);
	/* Events of wireless extensions come without. */
	if (!name)
		return header->nlmsg_type == RTM_DELLINK;
	nla_strlcpy(link->name, name, sizeof(link->name));
	take_kind(nlmsg_find_attr(header, sizeof(*info), IFLA_LINKINFO), link);
	return true;
}

/* ---- changes ---- */

int sw_links_open(const struct sw_links_calls *calls, struct sw_links **links,
		  struct sw_fault *fault)
{
	static const int waiting = WAITING_SIZE;
	sw_cleanup(free_socket) struct nl_sock *socket = NULL;
	sw_autofree struct sw_links *new = calloc(1, sizeof(*new));
	int error;

	if (!new)
		return sw_fault(fault, SW_EXIT_KERNEL, "out of memory");
	socket = open_socket(&error);
	if (socket)
		error = nl_socket_add_memberships(socket, RTNLGRP_LINK, 0);
	if (error < 0)
		return failed(fault, "cannot watch this machine's interfaces", error);
	/* With less room messages are lost sooner, and then the list is read anew. */
	(void)setsockopt(nl_socket_get_fd(socket), SOL_SOCKET, SO_RCVBUFFORCE, &waiting,
			 sizeof(waiting));
	new->calls = *calls;
	new->socket = sw_take(socket);
	*links = sw_take(new);
	return 0;
}

void sw_links_close(struct sw_links *links)
{
	if (!links)
		return;
	nl_socket_free(links->socket);
	free(links);
}

int sw_links_fd(const struct sw_links *links)
{
	return nl_socket_get_fd(links->socket);
}

static void handle(struct sw_links *links, int length)
{
	const struct sw_links_calls *calls = &links->calls;
	struct nlmsghdr *header = (struct nlmsghdr *)links->message;

	for (; nlmsg_ok(header, length); header = nlmsg_next(header, &length)) {
		struct sw_link_info link;

		if (!take_link(header, &link))
			continue;
		if (header->nlmsg_type == RTM_NEWLINK)
			calls->changed(calls->data, &link);
		else
			calls->gone(calls->data, link.index);
	}
}

void sw_links_drain(struct sw_links *links)
{
	bool overrun = false;

	for (;;) {
		struct sockaddr_nl from = {};
		struct iovec part = {.iov_base = links->message, .iov_len = sizeof(links->message)};
		struct msghdr header = {.msg_name = &from,
					.msg_namelen = sizeof(from),
					.msg_iov = &part,
					.msg_iovlen = 1};
		ssize_t n = recvmsg(nl_socket_get_fd(links->socket), &header, MSG_DONTWAIT);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0 && errno != ENOBUFS)
			break;
		if (n < 0 || header.msg_flags & MSG_TRUNC)
			overrun = true;
		else if (!from.nl_pid)
			handle(links, (int)n);
	}
	/* Once, and when nothing waits any more: what waited is older than the list that is read then. */
	if (overrun)
		links->calls.overrun(links->calls.data);
}

/* ---- the list ---- */

struct list {
	struct sw_link_info *links;
	size_t n, room;
	bool full; /* no memory for more */
};

static int add_link(struct nl_msg *message, void *data)
{
	struct list *list = data;
	struct sw_link_info link;

	if (!take_link(nlmsg_hdr(message), &link))
		return NL_SKIP;
	if (list->n == list->room) {
		size_t room = list->room ? 2 * list->room : 64;
		struct sw_link_info *links = reallocarray(list->links, room, sizeof(*links));

		if (!links) {
			list->full = true;
			return NL_STOP;
		}
		list->links = links;
		list->room = room;
	}
	list->links[list->n++] = link;
	return NL_OK;
}

static int dump(struct list *list)
{
	sw_cleanup(free_socket) struct nl_sock *socket = NULL;
	struct ifinfomsg request = {.ifi_family = AF_UNSPEC};
	int error;

	socket = open_socket(&error);
	if (!socket)
		return error;
	nl_socket_modify_cb(socket, NL_CB_VALID, NL_CB_CUSTOM, add_link, list);
	error = nl_send_simple(socket, RTM_GETLINK, NLM_F_DUMP, &request, sizeof(request));
	return error < 0 ? error : nl_recvmsgs_default(socket);
}

int sw_links_list(struct sw_link_info **list, size_t *n, struct sw_fault *fault)
{
	struct list found = {};
	int error = -NLE_DUMP_INTR;

	for (int i = 0; i < DUMP_TRIES && error == -NLE_DUMP_INTR; i++) {
		found.n = 0;
		error = dump(&found);
	}
	if (found.full)
		error = -NLE_NOMEM;
	if (error < 0) {
		free(found.links);
		return failed(fault, "cannot list this machine's interfaces", error);
	}
	*list = found.links;
	*n = found.n;
	return 0;
}
