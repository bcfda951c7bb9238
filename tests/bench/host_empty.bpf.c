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

/* A bit for each port that a policy names, as nobody wrote it. */
struct ports {
	__u64 to[4];
	__u64 from[4];
};

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct ports);
} ports SEC(".maps");

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

/* The port that a packet of TCP over IPv4 goes to, as its header has it; 0: it is another packet. */
SW_INLINE __u64 port_of(struct __sk_buff *skb)
{
	const __u8 *data = (void *)(unsigned long)skb->data;

	if (data + 40 > (const __u8 *)(unsigned long)skb->data_end || data[0] != 0x45 ||
	    data[9] != SW_IPPROTO_TCP)
		return 0;
	return *(const __u16 *)(data + 22);
}

SW_INLINE int other_port(struct __sk_buff *skb)
{
	return port_of(skb) != bpf_htons(25);
}

/* `port`: as it is in the header. */
SW_INLINE __u64 is_named(const __u64 *named, __u64 port)
{
	SW_OPAQUE(port);
	port &= 255;
	return named[port / 64] >> (port & 63) & 1;
}

/* The same of ports that are not part of the program. */
SW_INLINE int unnamed_port(struct __sk_buff *skb)
{
	__u64 port = port_of(skb);
	const struct ports *of;
	__u32 zero = 0;

	of = bpf_map_lookup_elem(&ports, &zero);
	return !of || !is_named(of->to, port);
}

/* And of the socket's own: DNAT may have changed the header, and a server sends from a port that is named. */
SW_INLINE int unnamed_ports(struct __sk_buff *skb)
{
	const struct bpf_sock *sk = skb->sk;
	__u64 port = port_of(skb);
	const struct ports *of;
	__u32 zero = 0;

	of = bpf_map_lookup_elem(&ports, &zero);
	return !of || !sk || port != sk->dst_port ||
	       !(is_named(of->to, port) | is_named(of->from, sk->src_port));
}

/* What is known of the packet's socket, from the first packet on. */
SW_INLINE int known_to_pass(struct __sk_buff *skb)
{
	struct bpf_sock *sk = skb->sk;
	const struct known *is;

	sk = sk ? bpf_sk_fullsock(sk) : 0;
	is = sk ? bpf_sk_storage_get(&known, sk, 0, BPF_SK_STORAGE_GET_F_CREATE) : 0;
	return !is || !is->words[0];
}

SEC("cgroup_skb/egress")
int least_egress(struct __sk_buff *skb)
{
	return other_port(skb);
}

SEC("cgroup_skb/egress")
int least_told_egress(struct __sk_buff *skb)
{
	return unnamed_port(skb);
}

SEC("cgroup_skb/egress")
int least_told_both_egress(struct __sk_buff *skb)
{
	return unnamed_ports(skb);
}

SEC("cgroup_skb/egress")
int least_told_known_egress(struct __sk_buff *skb)
{
	return unnamed_port(skb) && known_to_pass(skb);
}

/* Refuses whatever comes. */
SEC("cgroup/connect4")
int empty_refuse4(struct bpf_sock_addr *ctx)
{
	(void)ctx;
	return 0;
}
