/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * subflow.h - MPTCP: additional subflows. The kernel opens them by itself, to addresses and ports that
 * the peer announces; what the first subflow does not get through goes out by them.
 */
#ifndef SW_SUBFLOW_H
#define SW_SUBFLOW_H

#include "bpf/kernel.h"
#include "bpf/maps_host.h"

/* What MPTCP keeps of a subflow. NULL: the socket is none. */
SW_INLINE struct mptcp_subflow_context *sw_subflow(struct bpf_sock *sk)
{
	struct tcp_sock *tcp = (void *)bpf_skc_to_tcp_sock(sk);

	if (!tcp || !bpf_core_type_exists(struct mptcp_subflow_context) || !tcp->is_mptcp)
		return 0;
	return BPF_CORE_READ((struct inet_connection_sock *)(unsigned long)sw_address(sk),
			     icsk_ulp_data);
}

/* Of an additional one. */
SW_INLINE struct mptcp_subflow_context *sw_additional(struct bpf_sock *sk)
{
	struct mptcp_subflow_context *subflow = sw_subflow(sk);

	return subflow && BPF_CORE_READ_BITFIELD_PROBED(subflow, request_join) ? subflow : 0;
}

/* An additional subflow of an MPTCP connection carries bytes out of its middle; the gate reads one
   subflow from its beginning, and could be made to read words in another order than the server. */
SW_INLINE int sw_is_additional(struct bpf_sock *sk)
{
	return !!sw_additional(sk);
}

/* The same of a connection that a client made to us. */
SW_INLINE int sw_is_joined(struct bpf_sock *sk)
{
	struct mptcp_subflow_context *subflow = sw_subflow(sk);

	return subflow && BPF_CORE_READ_BITFIELD_PROBED(subflow, mp_join);
}

/*
 * The port that a connect of this socket, to `port`, is to be judged by. An additional subflow of a
 * connection to a guarded port is part of that one, wherever it goes.
 */
static __noinline __u32 sw_port_of_connection(const struct sw_policy *policy, struct bpf_sock *sk,
					      __u32 port)
{
	struct mptcp_subflow_context *subflow = sk ? sw_additional(sk) : 0;
	struct sock *connection, *first;
	__u32 of_first, of_connection;

	if (!subflow || sw_guarded(policy, port))
		return port;
	connection = BPF_CORE_READ(subflow, conn);
	first = BPF_CORE_READ((struct mptcp_sock *)connection, first);
	of_first = bpf_ntohs(BPF_CORE_READ(first, __sk_common.skc_dport));
	of_connection = bpf_ntohs(BPF_CORE_READ(connection, __sk_common.skc_dport));
	/* The first one may be over. */
	if (sw_guarded(policy, of_first))
		return of_first;
	return sw_guarded(policy, of_connection) ? of_connection : port;
}

#endif
