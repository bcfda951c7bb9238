/* SPDX-License-Identifier: GPL-2.0-or-later */
/* host_empty.bpf.c - programs that do nothing, one for each hook of the host side: what the hooks alone cost. */
#include "bpf/kernel.h"

char sw_license[] SEC("license") = "GPL";

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

/* Refuses whatever comes. */
SEC("cgroup/connect4")
int empty_refuse4(struct bpf_sock_addr *ctx)
{
	(void)ctx;
	return 0;
}
