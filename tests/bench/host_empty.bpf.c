/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * host_empty.bpf.c - programs that do nothing, one for each hook of the host side: what the hooks alone cost. And the
 * least that each policy of ports must know.
 */
#include "bpf/kernel.h"

char sw_license[] SEC("license") = "GPL";

struct known {
	__u64 words[8];
};

struct {
	__uint(type, BPF_MAP_TYPE_SK_STORAGE);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, int);
	__type(value, struct known);
} known SEC(".maps");

SEC("cgroup/connect4")
int empty_connect4(struct bpf_sock_addr *ctx)
{
	(void)ctx;
	return 1;
}

SEC("cgroup/connect6")
int empty_connect6(struct bpf_sock_addr *ctx)
{
	(void)ctx;
	return 1;
}

SEC("cgroup/getpeername4")
int empty_getpeername4(struct bpf_sock_addr *ctx)
{
	(void)ctx;
	return 1;
}

SEC("cgroup/getpeername6")
int empty_getpeername6(struct bpf_sock_addr *ctx)
{
	(void)ctx;
	return 1;
}

SEC("sockops")
int empty_sockops(struct bpf_sock_ops *ctx)
{
	(void)ctx;
	return 1;
}

SEC("cgroup_skb/ingress")
int empty_ingress(struct __sk_buff *skb)
{
	(void)skb;
	return 1;
}

SEC("cgroup_skb/egress")
int empty_egress(struct __sk_buff *skb)
{
	(void)skb;
	return 1;
}

SW_INLINE int other_port(struct __sk_buff *skb)
{
	const __u8 *data = (void *)(unsigned long)skb->data;

	if (data + 40 > (const __u8 *)(unsigned long)skb->data_end || data[0] != 0x45 ||
	    data[9] != SW_IPPROTO_TCP)
		return 1;
	return *(const __u16 *)(data + 22) != bpf_htons(25);
}

/* The port that a packet of TCP over IPv4 goes to, as its header has it, is not this one. */
SEC("cgroup_skb/egress")
int least_egress(struct __sk_buff *skb)
{
	return other_port(skb);
}

/* The same, and what is known of its socket, from the first packet on. */
SEC("cgroup_skb/egress")
int least_known_egress(struct __sk_buff *skb)
{
	struct bpf_sock *sk = skb->sk;
	const struct known *is;

	if (!other_port(skb))
		return 0;
	sk = sk ? bpf_sk_fullsock(sk) : 0;
	is = sk ? bpf_sk_storage_get(&known, sk, 0, BPF_SK_STORAGE_GET_F_CREATE) : 0;
	return !is || !is->words[0];
}

/* Refuses whatever comes. */
SEC("cgroup/connect4")
int empty_refuse4(struct bpf_sock_addr *ctx)
{
	(void)ctx;
	return 0;
}
