/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * passed.h - is a packet what connect() let through? The socket's memory says to which port; and where
 * the permission rested on the address, what the socket did since must not have led it elsewhere.
 *
 * Address translation is the administrator's and stays possible; a route of the program's own choice
 * is not: a source route, or a device that has another machine with an address of this one.
 */
#ifndef SW_PASSED_H
#define SW_PASSED_H

#include "bpf/kernel.h"
#include "bpf/maps_host.h"
#include "bpf/parse.h"

#define SW_LOOPBACK 1 /* index of `lo` in every network namespace */

/* Does the storage say that connect() let this socket through to `port`? */
SW_INLINE int sw_passed(const struct sw_sock *st, __u32 port)
{
	__u8 state = SW_READ_ONCE(st->state);

	return (state == SW_SOCK_PASSED || state == SW_SOCK_EXISTING) && st->port == port;
}

/* A VRF's own traffic to itself leaves through the VRF's device, as that of others through `lo`. */
static __noinline int sw_is_vrf(struct __sk_buff *skb)
{
	struct sk_buff *kernel_skb = (struct sk_buff *)(unsigned long)sw_address(skb);
	struct net_device *device = BPF_CORE_READ(kernel_skb, dev);
	__u64 master = bpf_core_enum_value(enum netdev_priv_flags, IFF_L3MDEV_MASTER);

	return !!(BPF_CORE_READ_BITFIELD_PROBED(device, priv_flags) & master);
}

/* Let through because it goes to this machine, it was tied to a device (SO_BINDTODEVICE, or the scope
   of a link-local address) where another one has that address. */
SW_INLINE int sw_has_left(struct __sk_buff *skb, const struct bpf_sock *sk,
			  const struct sw_sock *st)
{
	if (!st->to_local || SW_READ_ONCE(st->state) != SW_SOCK_PASSED)
		return 0;
	if (!sk->bound_dev_if || sk->bound_dev_if == SW_LOOPBACK || skb->ifindex == SW_LOOPBACK)
		return 0;
	return !sw_is_vrf(skb);
}

/* For a packet with IP options or extension headers: it goes somewhere else first (loose source route,
   routing header). */
SW_INLINE int sw_is_detour(const struct __sk_buff *skb, const struct sw_packet *packet,
			   const struct sw_sock *st)
{
	const __u32 *to = (const __u32 *)packet->dst, *passed = (const __u32 *)st->flow.dst;

	if (SW_READ_ONCE(st->state) != SW_SOCK_PASSED || skb->ifindex == SW_LOOPBACK)
		return 0;
	return to[0] != passed[0] || to[1] != passed[1] || to[2] != passed[2] || to[3] != passed[3];
}

#endif
