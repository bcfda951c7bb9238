/* SPDX-License-Identifier: GPL-2.0-or-later */
/* xdp_packet.h - what xdp_programs.bpf.c and those who use it must agree on. */
#ifndef SW_BENCH_XDP_PACKET_H
#define SW_BENCH_XDP_PACKET_H

#define XDP_MEASURED_MAX 8
#define XDP_REFUSED_PORT 25
#define XDP_LINES_BITS 20
#define XDP_FLOWS_MAX (1u << 20) /* of the kernel's own table */

/* A prefix in the least key that it has: its address in host order, its length in the upper half. */
#define XDP_PREFIX(addr, bits) ((unsigned long long)(bits) << 32 | (addr))

/* In a frame of TCP over IPv4 without options of IP. */
#define XDP_SOURCE_AT 26
#define XDP_PORT_AT 34
#define XDP_SUM_AT 50

/* The client of a flow by its number, host order: 10.0.0.0/8. */
#define XDP_FLOW_SOURCE(number) (0x0a000000u | ((number)&0xffffffu))

/* A SYN without options, as long as a RST: of a frame that comes back to be sent again the kernel does not set the
   length anew. */
#define XDP_PACKET 54

struct xdp_words {
	unsigned int word[13];
};

/* Its bytes as they lie in memory. */
struct xdp_packet {
	struct xdp_words words;
	unsigned short last, reserved;
};

#endif
