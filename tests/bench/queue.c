/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "tests/bench/queue.h"

#include <arpa/inet.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/socket.h>

#include <libnetfilter_queue/libnetfilter_queue.h>
#include <linux/netfilter.h>

static int accept_packet(struct nfq_q_handle *queue, struct nfgenmsg *message,
			 struct nfq_data *packet, void *data)
{
	const struct nfqnl_msg_packet_hdr *header = nfq_get_msg_packet_hdr(packet);

	(void)message;
	(void)data;
	return header ? nfq_set_verdict(queue, ntohl(header->packet_id), NF_ACCEPT, 0, NULL) : -1;
}

void *queue_open(void)
{
	struct nfq_handle *handle = nfq_open();
	struct nfq_q_handle *queue =
		handle ? nfq_create_queue(handle, 0, accept_packet, NULL) : NULL;

	if (queue && nfq_set_mode(queue, NFQNL_COPY_PACKET, 256) >= 0)
		return handle;
	if (handle)
		nfq_close(handle);
	return NULL;
}

void queue_serve(void *queue)
{
	struct nfq_handle *handle = queue;
	char packet[4096];
	ssize_t n = 0;

	while (n >= 0) {
		n = recv(nfq_fd(handle), packet, sizeof(packet), 0);
		if (n >= 0)
			nfq_handle_packet(handle, packet, (int)n);
	}
}
