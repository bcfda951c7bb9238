/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <arpa/inet.h>
#include <assert.h>
#include <errno.h>
#include <linux/inet_diag.h>
#include <linux/rtnetlink.h>
#include <linux/sock_diag.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <netlink/cache.h>
#include <netlink/msg.h>
#include <netlink/netlink.h>
#include <netlink/route/addr.h>
#include <netlink/socket.h>
#include <string.h>
#include <sys/socket.h>

#include "daemon/net.h"

/* Of connections: neither listeners nor what is over. */
#define OPEN_STATES (~(1u << TCP_CLOSE | 1u << TCP_TIME_WAIT | 1u << TCP_LISTEN))

/* A dump that a change overtakes is asked for again, so often. */
#define DUMP_TRIES 8

struct sw_addresses {
	struct nl_sock *socket;
};

static void free_socket(struct nl_sock **socket)
{
	nl_socket_free(*socket);
}

static void free_cache(struct nl_cache **cache)
{
	nl_cache_free(*cache);
}

static void free_message(struct nl_msg **message)
{
	nlmsg_free(*message);
}

static int failed(struct sw_fault *fault, const char *what, int error)
{
	return sw_fault(fault, SW_EXIT_KERNEL, "%s: %s", what, nl_geterror(error));
}

/* A connected socket of a netlink protocol, or NULL with libnl's (negative) error. */
static struct nl_sock *open_socket(int protocol, int *error)
{
	struct nl_sock *socket = nl_socket_alloc();

	*error = socket ? nl_connect(socket, protocol) : -NLE_NOMEM;
	if (*error < 0) {
		nl_socket_free(socket);
		return NULL;
	}
	return socket;
}

/* ---- addresses ---- */

int sw_addresses_open(struct sw_addresses **addresses, struct sw_fault *fault)
{
	sw_cleanup(free_socket) struct nl_sock *socket = NULL;
	sw_autofree struct sw_addresses *new = calloc(1, sizeof(*new));
	int error;

	if (!new)
		return sw_fault(fault, SW_EXIT_KERNEL, "out of memory");
	socket = open_socket(NETLINK_ROUTE, &error);
	if (socket)
		error = nl_socket_add_memberships(socket, RTNLGRP_IPV4_IFADDR, RTNLGRP_IPV6_IFADDR,
						  0);
	if (error >= 0)
		error = nl_socket_set_nonblocking(socket);
	if (error < 0)
		return failed(fault, "cannot watch this machine's addresses", error);
	new->socket = sw_take(socket);
	*addresses = sw_take(new);
	return 0;
}

void sw_addresses_close(struct sw_addresses *addresses)
{
	if (!addresses)
		return;
	nl_socket_free(addresses->socket);
	free(addresses);
}

int sw_addresses_fd(const struct sw_addresses *addresses)
{
	return nl_socket_get_fd(addresses->socket);
}

void sw_addresses_drain(struct sw_addresses *addresses)
{
	char buffer[8192];

	/* ENOBUFS says that messages were lost, which tells no less than the messages do. */
	while (recv(nl_socket_get_fd(addresses->socket), buffer, sizeof(buffer), MSG_DONTWAIT) >
		       0 ||
	       errno == ENOBUFS)
		;
}

static void map_ipv4(const void *ipv4, uint8_t to[16])
{
	memset(to, 0, 10);
	to[10] = to[11] = 0xff;
	memcpy(to + 12, ipv4, 4);
}

static bool copy_address(const struct nl_addr *from, uint8_t to[16])
{
	if (from && nl_addr_get_family(from) == AF_INET && nl_addr_get_len(from) == 4)
		map_ipv4(nl_addr_get_binary_addr(from), to);
	else if (from && nl_addr_get_family(from) == AF_INET6 && nl_addr_get_len(from) == 16)
		memcpy(to, nl_addr_get_binary_addr(from), 16);
	else
		return false;
	return true;
}

int sw_addresses_list(uint8_t (**list)[16], size_t *n, struct sw_fault *fault)
{
	sw_cleanup(free_socket) struct nl_sock *socket = NULL;
	sw_cleanup(free_cache) struct nl_cache *cache = NULL;
	uint8_t(*all)[16];
	int error;

	socket = open_socket(NETLINK_ROUTE, &error);
	if (socket)
		error = rtnl_addr_alloc_cache(socket, &cache);
	if (error < 0)
		return failed(fault, "cannot read this machine's addresses", error);
	all = calloc((size_t)nl_cache_nitems(cache) + 1, sizeof(*all));
	if (!all)
		return sw_fault(fault, SW_EXIT_KERNEL, "out of memory");
	*n = 0;
	for (struct nl_object *object = nl_cache_get_first(cache); object;
	     object = nl_cache_get_next(object))
		*n += copy_address(rtnl_addr_get_local((struct rtnl_addr *)object), all[*n]);
	*list = all;
	return 0;
}

/* ---- connections ---- */

struct dump {
	uint32_t states;             /* bit per TCP_* */
	const uint64_t *ports;       /* NULL: every port */
	uint16_t src_port, dst_port; /* the kernel leaves out what has others; 0: any */
	uint64_t listening[65536 / 64];
	struct sw_connection *list;
	size_t n, room;
	int error;
};

static bool has(const uint64_t *ports, uint16_t port)
{
	return ports[port / 64] >> (port % 64) & 1;
}

static void diag_address(uint8_t family, const void *from, uint8_t to[16])
{
	if (family == AF_INET)
		map_ipv4(from, to);
	else
		memcpy(to, from, 16);
}

static uint64_t diag_cgroup(struct nlmsghdr *header)
{
	const struct nlattr *attr =
		nlmsg_find_attr(header, sizeof(struct inet_diag_msg), INET_DIAG_CGROUP_ID);

	return attr && nla_len(attr) == sizeof(uint64_t) ? nla_get_u64(attr) : 0;
}

static void add_connection(struct dump *dump, const struct inet_diag_msg *diag, uint64_t cgroup_id)
{
	struct sw_connection *connection;

	if (dump->n == dump->room) {
		size_t room = dump->room ? 2 * dump->room : 64;
		struct sw_connection *list = reallocarray(dump->list, room, sizeof(*list));

		if (!list) {
			dump->error = -NLE_NOMEM;
			return;
		}
		dump->list = list;
		dump->room = room;
	}
	connection = &dump->list[dump->n++];
	*connection = (struct sw_connection){
		.src_port = ntohs(diag->id.idiag_sport),
		.dst_port = ntohs(diag->id.idiag_dport),
		.uid = diag->idiag_uid,
		.inode = diag->idiag_inode,
		.cgroup_id = cgroup_id,
		.family = diag->idiag_family,
		.interface = diag->id.idiag_if,
		.cookie = {diag->id.idiag_cookie[0], diag->id.idiag_cookie[1]},
	};
	diag_address(diag->idiag_family, diag->id.idiag_src, connection->src);
	diag_address(diag->idiag_family, diag->id.idiag_dst, connection->dst);
}

static int take_socket(struct nl_msg *message, void *data)
{
	struct nlmsghdr *header = nlmsg_hdr(message);
	const struct inet_diag_msg *diag = nlmsg_data(header);
	struct dump *dump = data;
	uint16_t port;

	if (nlmsg_datalen(header) < (int)sizeof(*diag))
		return NL_SKIP;
	port = ntohs(diag->id.idiag_sport);
	if (diag->idiag_state == TCP_LISTEN)
		dump->listening[port / 64] |= 1ull << (port % 64);
	else if (!dump->ports || has(dump->ports, ntohs(diag->id.idiag_dport)))
		add_connection(dump, diag, diag_cgroup(header));
	return NL_OK;
}

static int dump_once(struct nl_sock *socket, const struct inet_diag_req_v2 *request)
{
	sw_cleanup(free_message) struct nl_msg *message =
		nlmsg_alloc_simple(SOCK_DIAG_BY_FAMILY, NLM_F_REQUEST | NLM_F_DUMP);
	int error;

	if (!message)
		return -NLE_NOMEM;
	error = nlmsg_append(message, (void *)request, sizeof(*request), NLMSG_ALIGNTO);
	if (error >= 0)
		error = nl_send_auto(socket, message);
	return error < 0 ? error : nl_recvmsgs_default(socket);
}

static int dump_families_once(nl_recvmsg_msg_cb_t take, void *to, struct inet_diag_req_v2 *request)
{
	static const uint8_t families[] = {AF_INET, AF_INET6};

	for (size_t i = 0; i < sw_count(families); i++) {
		sw_cleanup(free_socket) struct nl_sock *socket = NULL;
		int error;

		socket = open_socket(NETLINK_SOCK_DIAG, &error);
		if (!socket)
			return error;
		nl_socket_modify_cb(socket, NL_CB_VALID, NL_CB_CUSTOM, take, to);
		request->sdiag_family = families[i];
		error = dump_once(socket, request);
		if (error < 0)
			return error;
	}
	return 0;
}

static int dump_families(struct dump *dump)
{
	struct inet_diag_req_v2 request = {
		.sdiag_protocol = IPPROTO_TCP,
		.idiag_states = dump->states,
		.id = {.idiag_sport = htons(dump->src_port), .idiag_dport = htons(dump->dst_port)},
	};
	int error = -NLE_DUMP_INTR;

	for (int i = 0; i < DUMP_TRIES && error == -NLE_DUMP_INTR; i++) {
		dump->n = 0;
		error = dump_families_once(take_socket, dump, &request);
	}
	return error < 0 ? error : dump->error;
}

static void leave_out_passive(struct dump *dump)
{
	size_t kept = 0;

	for (size_t i = 0; i < dump->n; i++)
		if (!has(dump->listening, dump->list[i].src_port))
			dump->list[kept++] = dump->list[i];
	dump->n = kept;
}

int sw_connections_list(const uint64_t ports[static 65536 / 64], struct sw_connection **list,
			size_t *n, struct sw_fault *fault)
{
	sw_autofree struct dump *dump = calloc(1, sizeof(*dump));
	int error;

	if (!dump)
		return sw_fault(fault, SW_EXIT_KERNEL, "out of memory");
	/* What is closed or only waits for late packets is no connection any more. */
	dump->states = ~(1u << TCP_CLOSE | 1u << TCP_TIME_WAIT);
	dump->ports = ports;
	error = dump_families(dump);
	if (error < 0) {
		free(dump->list);
		return failed(fault, "cannot list TCP connections", error);
	}
	leave_out_passive(dump);
	*list = dump->list;
	*n = dump->n;
	return 0;
}

static void diag_put_address(uint8_t family, const uint8_t from[16], uint32_t to[4])
{
	if (family == AF_INET)
		memcpy(to, from + 12, 4);
	else
		memcpy(to, from, 16);
}

/* libnl's error is coarser than the kernel's: the handler keeps the latter. */
static int keep_error(struct sockaddr_nl *from, struct nlmsgerr *answer, void *data)
{
	(void)from;
	*(int *)data = answer->error;
	return NL_STOP;
}

int sw_connection_close(struct sw_connection *connection)
{
	sw_cleanup(free_socket) struct nl_sock *socket = NULL;
	sw_cleanup(free_message) struct nl_msg *message =
		nlmsg_alloc_simple(SOCK_DESTROY, NLM_F_REQUEST | NLM_F_ACK);
	struct inet_diag_req_v2 request = {
		.sdiag_family = connection->family,
		.sdiag_protocol = IPPROTO_TCP,
		.idiag_states = ~0u,
		.id = {.idiag_sport = htons(connection->src_port),
		       .idiag_dport = htons(connection->dst_port),
		       .idiag_if = connection->interface,
		       .idiag_cookie = {connection->cookie[0], connection->cookie[1]}},
	};
	int error, answer = 0;

	diag_put_address(connection->family, connection->src, request.id.idiag_src);
	diag_put_address(connection->family, connection->dst, request.id.idiag_dst);
	socket = open_socket(NETLINK_SOCK_DIAG, &error);
	if (!socket || !message)
		return -ENOMEM;
	nl_socket_modify_err_cb(socket, NL_CB_CUSTOM, keep_error, &answer);
	if (nlmsg_append(message, &request, sizeof(request), NLMSG_ALIGNTO) < 0 ||
	    nl_send_auto(socket, message) < 0)
		return -EIO;
	error = nl_wait_for_ack(socket);
	if (answer)
		return answer;
	connection->closed = error >= 0;
	return error < 0 ? -EIO : 0;
}

/* Looks through all sockets for the one with this cookie. */
static int close_by_cookie(struct dump *dump, uint64_t cookie)
{
	int r = -ENOENT;

	if (dump_families(dump) < 0)
		r = -EIO;
	for (size_t i = 0; i < dump->n && r == -ENOENT; i++) {
		struct sw_connection *connection = &dump->list[i];

		if (((uint64_t)connection->cookie[1] << 32 | connection->cookie[0]) == cookie)
			r = sw_connection_close(connection);
	}
	free(dump->list);
	return r;
}

int sw_connection_close_opening(uint64_t cookie)
{
	sw_autofree struct dump *dump = calloc(1, sizeof(*dump));

	if (!dump)
		return -ENOMEM;
	dump->states = 1u << TCP_SYN_SENT;
	return close_by_cookie(dump, cookie);
}

int sw_connection_close_flow(const uint8_t src[16], uint16_t src_port, const uint8_t dst[16],
			     uint16_t dst_port, uint32_t interface, uint64_t cookie)
{
	static const uint8_t mapped[12] = {[10] = 0xff, [11] = 0xff};
	sw_autofree struct dump *dump = NULL;
	struct sw_connection connection = {
		.src_port = src_port,
		.dst_port = dst_port,
		/* An IPv6 socket whose peer is IPv4 is found as IPv4 just as well. */
		.family = memcmp(dst, mapped, sizeof(mapped)) == 0 ? AF_INET : AF_INET6,
		.interface = interface == SW_INTERFACE_UNKNOWN ? 0 : interface,
		.cookie = {(uint32_t)cookie, (uint32_t)(cookie >> 32)},
	};
	int r = -ENOENT;

	memcpy(connection.src, src, sizeof(connection.src));
	memcpy(connection.dst, dst, sizeof(connection.dst));
	if (src_port)
		r = sw_connection_close(&connection);
	/* The kernel does not find one that is bound to an interface, as each to a link-local address
	   is, unless it is told which. */
	if (r != -ENOENT || (src_port && interface != SW_INTERFACE_UNKNOWN))
		return r;
	dump = calloc(1, sizeof(*dump));
	if (!dump)
		return -ENOMEM;
	dump->states = OPEN_STATES;
	dump->src_port = src_port;
	dump->dst_port = dst_port;
	return close_by_cookie(dump, cookie);
}

/* ---- traffic ---- */

/* What the kernel tells; struct tcp_info of netinet/tcp.h, which libnl's headers need, is its beginning,
   and linux/tcp.h cannot be read beside it. */
struct counts {
	struct tcp_info known;
	uint64_t pacing_rate, max_pacing_rate;
	uint64_t bytes_acked, bytes_received;
};
static_assert(offsetof(struct counts, bytes_acked) == 120, "as in linux/tcp.h");

struct traffic {
	struct sw_traffic *list;
	size_t n, room;
	bool full; /* no memory for more */
};

/* The kernel counts our SYN where it opened the connection, and our FIN once that is acknowledged, as a
   byte each; and the FIN of the other side. */
static uint64_t sent(uint64_t acknowledged, uint8_t state, bool accepted)
{
	uint64_t flags = (state == TCP_FIN_WAIT2) + !accepted;

	return acknowledged > flags ? acknowledged - flags : 0;
}

static uint64_t received(uint64_t bytes, uint8_t state)
{
	bool fin = state == TCP_CLOSE_WAIT || state == TCP_LAST_ACK || state == TCP_CLOSING;

	return fin && bytes ? bytes - 1 : bytes;
}

static int take_traffic(struct nl_msg *message, void *data)
{
	struct nlmsghdr *header = nlmsg_hdr(message);
	const struct inet_diag_msg *diag = nlmsg_data(header);
	struct traffic *traffic = data;
	struct counts info = {};
	const struct nlattr *attr;

	if (nlmsg_datalen(header) < (int)sizeof(*diag))
		return NL_SKIP;
	attr = nlmsg_find_attr(header, sizeof(*diag), INET_DIAG_INFO);
	if (attr)
		nla_memcpy(&info, attr, sizeof(info));
	if (traffic->n == traffic->room) {
		size_t room = traffic->room ? 2 * traffic->room : 256;
		struct sw_traffic *list = reallocarray(traffic->list, room, sizeof(*list));

		if (!list) {
			traffic->full = true;
			return NL_STOP;
		}
		traffic->list = list;
		traffic->room = room;
	}
	traffic->list[traffic->n++] = (struct sw_traffic){
		.cookie = (uint64_t)diag->id.idiag_cookie[1] << 32 | diag->id.idiag_cookie[0],
		.sent = sent(info.bytes_acked, diag->idiag_state, false),
		.sent_accepted = sent(info.bytes_acked, diag->idiag_state, true),
		.received = received(info.bytes_received, diag->idiag_state),
	};
	return NL_OK;
}

static int by_cookie(const void *a, const void *b)
{
	uint64_t left = ((const struct sw_traffic *)a)->cookie;
	uint64_t right = ((const struct sw_traffic *)b)->cookie;

	return left < right ? -1 : left > right;
}

int sw_connections_traffic(struct sw_traffic **list, size_t *n, struct sw_fault *fault)
{
	struct inet_diag_req_v2 request = {
		.sdiag_protocol = IPPROTO_TCP,
		.idiag_states = OPEN_STATES,
		.idiag_ext = 1u << (INET_DIAG_INFO - 1),
	};
	struct traffic traffic = {};
	int error = -NLE_DUMP_INTR;

	for (int i = 0; i < DUMP_TRIES && error == -NLE_DUMP_INTR; i++) {
		traffic.n = 0;
		error = dump_families_once(take_traffic, &traffic, &request);
	}
	if (error < 0 || traffic.full) {
		free(traffic.list);
		return failed(fault, "cannot list TCP connections",
			      traffic.full ? -NLE_NOMEM : error);
	}
	if (traffic.n)
		qsort(traffic.list, traffic.n, sizeof(*traffic.list), by_cookie);
	*list = traffic.list;
	*n = traffic.n;
	return 0;
}

const struct sw_traffic *sw_traffic_find(const struct sw_traffic *list, size_t n, uint64_t cookie)
{
	const struct sw_traffic key = {.cookie = cookie};

	return n ? bsearch(&key, list, n, sizeof(*list), by_cookie) : NULL;
}
