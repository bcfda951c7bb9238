/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * host.bpf.c - the hooks of the host side: adapters onto connect.h and backstop.h. Attached by links to
 * the guarded cgroup; a socket belongs to the cgroup that it was made in, whatever becomes of the
 * process or its network namespace.
 */
#include "bpf/arrival.h"
#include "bpf/backstop.h"
#include "bpf/connect.h"
#include "bpf/flows.h"
#include "bpf/gated.h"
#include "bpf/samples.h"
#include "bpf/served.h"

char sw_license[] SEC("license") = "GPL";

SEC("cgroup/connect4")
int sw_connect4(struct bpf_sock_addr *ctx)
{
	return sw_connect(ctx, 0);
}

/* v4-mapped destinations come here as well, and only here. */
SEC("cgroup/connect6")
int sw_connect6(struct bpf_sock_addr *ctx)
{
	return sw_connect(ctx, 1);
}

SEC("cgroup/getpeername4")
int sw_getpeername4(struct bpf_sock_addr *ctx)
{
	return sw_getpeername(ctx, 0);
}

SEC("cgroup/getpeername6")
int sw_getpeername6(struct bpf_sock_addr *ctx)
{
	return sw_getpeername(ctx, 1);
}

SEC("cgroup_skb/egress")
int sw_egress(struct __sk_buff *skb)
{
	return sw_backstop(skb);
}

SEC("cgroup_skb/ingress")
int sw_ingress(struct __sk_buff *skb)
{
	return sw_arrival(skb);
}

SEC("sockops")
int sw_sockops(struct bpf_sock_ops *ctx)
{
	if (ctx->op == BPF_SOCK_OPS_PASSIVE_ESTABLISHED_CB)
		sw_served_begin(ctx);
	else
		sw_flow_ops(ctx);
	return 1;
}

/* Never attached: the daemon runs it to have what it read from `samples` overwritten. */
SEC("cgroup_skb/egress")
int sw_wipe(struct __sk_buff *skb)
{
	(void)skb;
	sw_wipe_samples();
	return SW_SKB_PASS;
}
