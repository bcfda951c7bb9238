/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * framer.c - one end of a link whose frames have something between Ethernet and IP.
 *
 *     framer DEVICE TUN PEER-MAC LINK
 *
 * LINK is what stands there, from the outside: "vlan:ID", "qinq:ID" (tags of 802.1Q and 802.1ad) or, last,
 * "pppoe:SESSION" (RFC 2516), with commas between. Makes the tun interface TUN; an IP packet sent through it
 * leaves DEVICE in such a frame to PEER-MAC, and each such frame that comes in comes out of it. Needs nothing
 * of the kernel but tun: no VLAN devices, no PPP. Prints "ready" and runs until it is killed.
 */
#include <arpa/inet.h>
#include <fcntl.h>
#include <linux/if_ether.h>
#include <linux/if_packet.h>
#include <linux/if_tun.h>
#include <net/if.h>
#include <poll.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <unistd.h>

#define PACKET 2048
#define HEADER 32 /* as long as any may be */
#define MACS 12
#define TAG 4

/* The tags, as they lie behind the addresses; then the type, or the header of PPPoE. */
struct ends {
	int wire, tun;
	bool session;
	size_t tags; /* bytes */
	uint8_t header[HEADER];
	uint16_t id;
};

static void die(const char *what)
{
	perror(what);
	exit(1);
}

static void put16(uint8_t *at, unsigned int number)
{
	at[0] = (uint8_t)(number >> 8);
	at[1] = (uint8_t)number;
}

static unsigned int get16(const uint8_t *at)
{
	return (unsigned int)at[0] << 8 | at[1];
}

static int open_tun(const char *name)
{
	struct ifreq request;
	int fd = open("/dev/net/tun", O_RDWR | O_CLOEXEC);

	memset(&request, 0, sizeof(request));
	snprintf(request.ifr_name, sizeof(request.ifr_name), "%s", name);
	request.ifr_flags = IFF_TUN | IFF_NO_PI;
	if (fd < 0 || ioctl(fd, TUNSETIFF, &request))
		die(name);
	return fd;
}

/* The kernel takes the outer tag off what comes in: it is asked for it. */
static int open_wire(const char *name, uint8_t own[6])
{
	struct sockaddr_ll address;
	struct ifreq request;
	int one = 1, fd = socket(AF_PACKET, SOCK_RAW | SOCK_CLOEXEC, 0);

	memset(&request, 0, sizeof(request));
	snprintf(request.ifr_name, sizeof(request.ifr_name), "%s", name);
	if (fd < 0 || ioctl(fd, SIOCGIFHWADDR, &request) ||
	    setsockopt(fd, SOL_PACKET, PACKET_AUXDATA, &one, sizeof(one)) ||
	    setsockopt(fd, SOL_PACKET, PACKET_IGNORE_OUTGOING, &one, sizeof(one)))
		die(name);
	memcpy(own, request.ifr_hwaddr.sa_data, 6);
	memset(&address, 0, sizeof(address));
	address.sll_family = AF_PACKET;
	address.sll_protocol = htons(ETH_P_ALL);
	address.sll_ifindex = (int)if_nametoindex(name);
	if (bind(fd, (struct sockaddr *)&address, sizeof(address)))
		die(name);
	return fd;
}

static bool read_link(char *text, struct ends *ends)
{
	char *save = NULL, *word = strtok_r(text, ",", &save);
	int id;

	for (; word; word = strtok_r(NULL, ",", &save)) {
		uint8_t *tag = ends->header + MACS + ends->tags;

		if (ends->session || ends->tags > 2 * TAG)
			return false;
		if (sscanf(word, "pppoe:%d", &id) == 1) {
			ends->session = true;
			ends->id = (uint16_t)id;
			continue;
		}
		if (sscanf(word, "vlan:%d", &id) == 1)
			put16(tag, ETH_P_8021Q);
		else if (sscanf(word, "qinq:%d", &id) == 1)
			put16(tag, ETH_P_8021AD);
		else
			return false;
		put16(tag + 2, (unsigned int)id);
		ends->tags += TAG;
	}
	return true;
}

static size_t header_length(const struct ends *ends)
{
	return MACS + ends->tags + 2 + (ends->session ? 8 : 0);
}

/* A packet that cannot be written is lost, as on any link. */
static void to_wire(const struct ends *ends)
{
	uint8_t frame[HEADER + PACKET], *at = frame + MACS + ends->tags;
	size_t before = header_length(ends);
	ssize_t n = read(ends->tun, frame + before, PACKET);
	bool is_4 = frame[before] >> 4 == 4;

	if (n <= 0)
		return;
	memcpy(frame, ends->header, MACS + ends->tags);
	put16(at, is_4 ? ETH_P_IP : ETH_P_IPV6);
	if (ends->session) {
		put16(at, ETH_P_PPP_SES);
		put16(at + 2, 0x1100); /* version, type, code */
		put16(at + 4, ends->id);
		put16(at + 6, (unsigned int)n + 2);
		put16(at + 8, is_4 ? 0x0021 : 0x0057);
	}
	if (write(ends->wire, frame, before + (size_t)n) < 0)
		perror("to the wire");
}

/* Reads to frame + TAG; returns where the frame begins, with the tag that the kernel took off. */
static uint8_t *receive(int wire, uint8_t *frame, size_t room, size_t *length)
{
	union {
		struct cmsghdr head;
		uint8_t room[CMSG_SPACE(sizeof(struct tpacket_auxdata))];
	} control;
	struct iovec part = {.iov_base = frame + TAG, .iov_len = room - TAG};
	struct msghdr message = {.msg_iov = &part,
				 .msg_iovlen = 1,
				 .msg_control = &control,
				 .msg_controllen = sizeof(control)};
	ssize_t n = recvmsg(wire, &message, 0);
	struct cmsghdr *head = n > MACS ? CMSG_FIRSTHDR(&message) : NULL;
	struct tpacket_auxdata aux;

	*length = n > 0 ? (size_t)n : 0;
	if (!head || head->cmsg_type != PACKET_AUXDATA)
		return frame + TAG;
	memcpy(&aux, CMSG_DATA(head), sizeof(aux));
	if (!(aux.tp_status & TP_STATUS_VLAN_VALID))
		return frame + TAG;
	memmove(frame, frame + TAG, MACS);
	put16(frame + MACS, aux.tp_vlan_tpid);
	put16(frame + MACS + 2, aux.tp_vlan_tci);
	*length += TAG;
	return frame;
}

static void to_tun(const struct ends *ends)
{
	uint8_t room[HEADER + PACKET];
	size_t n, before = header_length(ends);
	uint8_t *frame = receive(ends->wire, room, sizeof(room), &n);
	const uint8_t *at = frame + MACS + ends->tags;

	if (n <= before || memcmp(frame + MACS, ends->header + MACS, ends->tags))
		return;
	if (ends->session) {
		if (get16(at) != ETH_P_PPP_SES || get16(at + 2) != 0x1100 ||
		    get16(at + 4) != ends->id || get16(at + 6) < 2 ||
		    get16(at + 6) + before - 2 > n)
			return;
		n = get16(at + 6) + before - 2; /* without what fills a short frame */
		/* RFC 1661: an odd byte is all of the protocol (compressed); Linux takes it so. */
		if (at[8] & 1)
			before--;
		if (at[8] & 1 ? at[8] != 0x21 && at[8] != 0x57
			      : get16(at + 8) != 0x0021 && get16(at + 8) != 0x0057)
			return;
	} else if (get16(at) != ETH_P_IP && get16(at) != ETH_P_IPV6) {
		return;
	}
	if (write(ends->tun, frame + before, n - before) < 0)
		perror("to the tun interface");
}

int main(int argc, char **argv)
{
	struct ends ends;
	struct pollfd fds[2];
	uint8_t *p = ends.header;

	memset(&ends, 0, sizeof(ends));
	if (argc != 5 || !read_link(argv[4], &ends) ||
	    sscanf(argv[3], "%hhx:%hhx:%hhx:%hhx:%hhx:%hhx", p, p + 1, p + 2, p + 3, p + 4,
		   p + 5) != 6) {
		fprintf(stderr, "usage: framer DEVICE TUN PEER-MAC LINK\n");
		return 2;
	}
	ends.tun = open_tun(argv[2]);
	ends.wire = open_wire(argv[1], ends.header + 6);
	fds[0] = (struct pollfd){.fd = ends.tun, .events = POLLIN};
	fds[1] = (struct pollfd){.fd = ends.wire, .events = POLLIN};
	puts("ready");
	fflush(stdout);
	while (poll(fds, 2, -1) >= 0) {
		if (fds[0].revents)
			to_wire(&ends);
		if (fds[1].revents)
			to_tun(&ends);
	}
	die("poll");
}
