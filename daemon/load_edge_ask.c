/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * load_edge_ask.c - what the kernel says of one interface, over netlink. libbpf asks the same by reading the
 * list of all interfaces, which is too much when each of a thousand is asked about.
 */
#include <errno.h>
#include <linux/if_link.h>
#include <linux/pkt_cls.h>
#include <linux/pkt_sched.h>
#include <linux/rtnetlink.h>
#include <string.h>
#include <sys/socket.h>

#include "daemon/load_edge_internal.h"

typedef void take_message(void *data, const struct nlmsghdr *message);

/* 1: more is to come, 0: that was all, or -errno. */
static int take_messages(const char *buffer, size_t size, take_message *take, void *data)
{
	const struct nlmsghdr *message = (const struct nlmsghdr *)buffer;

	for (; NLMSG_OK(message, size); message = NLMSG_NEXT(message, size)) {
		if (message->nlmsg_type == NLMSG_ERROR)
			return ((const struct nlmsgerr *)NLMSG_DATA(message))->error;
		if (message->nlmsg_type == NLMSG_DONE)
			return 0;
		take(data, message);
	}
	return 1;
}

/* A request for one thing must ask for an acknowledgement (NLM_F_ACK): it ends the answer, as NLMSG_DONE does for a
   list. */
static int ask(const struct nlmsghdr *request, take_message *take, void *data)
{
	sw_autoclose int fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_ROUTE);
	_Alignas(struct nlmsghdr) char buffer[32768];
	int result = 1;

	if (fd < 0 || send(fd, request, request->nlmsg_len, 0) < 0)
		return -errno;
	while (result == 1) {
		ssize_t n = recv(fd, buffer, sizeof(buffer), MSG_TRUNC);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return -errno;
		if ((size_t)n > sizeof(buffer))
			return -EMSGSIZE;
		result = take_messages(buffer, (size_t)n, take, data);
	}
	return result;
}

static uint32_t number(const struct rtattr *attribute)
{
	uint32_t value = 0;

	if (RTA_PAYLOAD(attribute) >= sizeof(value))
		memcpy(&value, RTA_DATA(attribute), sizeof(value));
	return value;
}

static void take_nested(struct sw_edge_xdp *xdp, const struct rtattr *nest)
{
	const struct rtattr *attribute = RTA_DATA(nest);
	size_t left = RTA_PAYLOAD(nest);

	for (; RTA_OK(attribute, left); attribute = RTA_NEXT(attribute, left)) {
		uint32_t id = number(attribute);

		switch (attribute->rta_type) {
		case IFLA_XDP_DRV_PROG_ID:
			xdp->id = id;
			xdp->native = true;
			break;
		case IFLA_XDP_SKB_PROG_ID:
		case IFLA_XDP_HW_PROG_ID:
			/* One of the hardware's may stand beside one of the driver's. */
			if (!xdp->id)
				xdp->id = id;
			break;
		default:
			break;
		}
	}
}

static void take_link(void *data, const struct nlmsghdr *message)
{
	const struct rtattr *attribute = IFLA_RTA(NLMSG_DATA(message));
	size_t left = IFLA_PAYLOAD(message);

	for (; RTA_OK(attribute, left); attribute = RTA_NEXT(attribute, left))
		if ((attribute->rta_type & NLA_TYPE_MASK) == IFLA_XDP)
			take_nested(data, attribute);
}

int sw_edge_ask_xdp(uint32_t interface, struct sw_edge_xdp *xdp)
{
	struct {
		struct nlmsghdr head;
		struct ifinfomsg link;
		struct rtattr mask;
		uint32_t filter;
	} request = {
		.head = {.nlmsg_len = sizeof(request),
			 .nlmsg_type = RTM_GETLINK,
			 .nlmsg_flags = NLM_F_REQUEST | NLM_F_ACK},
		.link = {.ifi_family = AF_UNSPEC, .ifi_index = (int)interface},
		.mask = {.rta_len = RTA_LENGTH(sizeof(uint32_t)), .rta_type = IFLA_EXT_MASK},
		.filter = RTEXT_FILTER_SKIP_STATS,
	};

	*xdp = (struct sw_edge_xdp){};
	return ask(&request.head, take_link, xdp);
}

static bool is_kind(const struct rtattr *attribute, const char *kind)
{
	return (attribute->rta_type & NLA_TYPE_MASK) == TCA_KIND &&
	       RTA_PAYLOAD(attribute) == strlen(kind) + 1 &&
	       memcmp(RTA_DATA(attribute), kind, strlen(kind)) == 0;
}

static uint32_t program_of(const struct rtattr *options)
{
	const struct rtattr *attribute = RTA_DATA(options);
	size_t left = RTA_PAYLOAD(options);

	for (; RTA_OK(attribute, left); attribute = RTA_NEXT(attribute, left))
		if (attribute->rta_type == TCA_BPF_ID)
			return number(attribute);
	return 0;
}

#define EGRESS TC_H_MAKE(TC_H_CLSACT, TC_H_MIN_EGRESS)
#define INGRESS TC_H_MAKE(TC_H_CLSACT, TC_H_MIN_INGRESS)

/* A priority is told like a filter without a handle, before its filters: of ours alone that says nothing. */
static void take_filter(void *data, const struct nlmsghdr *message)
{
	const struct tcmsg *filter = NLMSG_DATA(message);
	const struct rtattr *attribute = TCA_RTA(filter);
	size_t left = TCA_PAYLOAD(message);
	struct sw_edge_filters *filters = data;
	uint32_t id = 0;
	bool bpf = false, ours;

	for (; RTA_OK(attribute, left); attribute = RTA_NEXT(attribute, left)) {
		bpf |= is_kind(attribute, "bpf");
		if ((attribute->rta_type & NLA_TYPE_MASK) == TCA_OPTIONS)
			id = program_of(attribute);
	}
	ours = bpf && filter->tcm_parent == EGRESS &&
	       TC_H_MAJ(filter->tcm_info) >> 16 == SW_EDGE_FILTER_PRIORITY;
	if (ours && filter->tcm_handle == SW_EDGE_FILTER_HANDLE)
		filters->id = id;
	else if (!ours || filter->tcm_handle)
		filters->others++;
}

struct qdisc {
	bool there, clsact;
};

static void take_qdisc(void *data, const struct nlmsghdr *message)
{
	const struct rtattr *attribute = TCA_RTA(NLMSG_DATA(message));
	size_t left = TCA_PAYLOAD(message);
	struct qdisc *qdisc = data;

	qdisc->there = true;
	for (; RTA_OK(attribute, left); attribute = RTA_NEXT(attribute, left))
		qdisc->clsact |= is_kind(attribute, "clsact");
}

int sw_edge_ask_clsact(uint32_t interface, bool *clsact)
{
	struct {
		struct nlmsghdr head;
		struct tcmsg qdisc;
	} request = {
		.head = {.nlmsg_len = sizeof(request),
			 .nlmsg_type = RTM_GETQDISC,
			 /* Without the echo listeners are told, but not who asked. */
			 .nlmsg_flags = NLM_F_REQUEST | NLM_F_ACK | NLM_F_ECHO},
		.qdisc = {.tcm_family = AF_UNSPEC,
			  .tcm_ifindex = (int)interface,
			  .tcm_parent = TC_H_INGRESS},
	};

	struct qdisc qdisc = {};
	int error = ask(&request.head, take_qdisc, &qdisc);

	*clsact = qdisc.clsact;
	/* Where there was one once the kernel says nothing at all. */
	return error || qdisc.there ? error : -ENOENT;
}

int sw_edge_ask_filters(uint32_t interface, struct sw_edge_filters *filters)
{
	static const uint32_t parents[] = {EGRESS, INGRESS};

	*filters = (struct sw_edge_filters){};
	for (size_t i = 0; i < sw_count(parents); i++) {
		struct {
			struct nlmsghdr head;
			struct tcmsg filter;
		} request = {
			.head = {.nlmsg_len = sizeof(request),
				 .nlmsg_type = RTM_GETTFILTER,
				 .nlmsg_flags = NLM_F_REQUEST | NLM_F_DUMP},
			.filter = {.tcm_family = AF_UNSPEC,
				   .tcm_ifindex = (int)interface,
				   .tcm_parent = parents[i]},
		};
		int error = ask(&request.head, take_filter, filters);

		if (error)
			return error;
	}
	return 0;
}
