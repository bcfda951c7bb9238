/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "ctl/capture.h"

#include <errno.h>
#include <fcntl.h>
#include <pcap/pcap.h>
#include <string.h>
#include <unistd.h>

#include "daemon/base.h"

struct sw_capture {
	pcap_t *pcap;
	enum sw_layer link;
};

static const struct {
	int type;
	enum sw_layer link;
} links[] = {
	{DLT_EN10MB, SW_LAYER_ETHERNET},
	{DLT_LINUX_SLL, SW_LAYER_COOKED},
	{DLT_LINUX_SLL2, SW_LAYER_COOKED2},
	{DLT_RAW, SW_LAYER_IP},
	{DLT_IPV4, SW_LAYER_IP},
	{DLT_IPV6, SW_LAYER_IP},
	{DLT_NULL, SW_LAYER_FAMILY},
	{DLT_LOOP, SW_LAYER_FAMILY},
};

static int find_link(int type, enum sw_layer *link, char error[static SW_CAPTURE_ERROR_SIZE])
{
	const char *name = pcap_datalink_val_to_name(type),
		   *words = pcap_datalink_val_to_description(type);

	for (size_t i = 0; i < sw_count(links); i++) {
		if (links[i].type != type)
			continue;
		*link = links[i].link;
		return 0;
	}
	snprintf(
		error, SW_CAPTURE_ERROR_SIZE,
		"its packets are of link type %d (%s%s%s); read are Ethernet, Linux cooked, raw IP "
		"and loopback",
		type, name ? name : "unknown", words ? ", " : "", words ? words : "");
	return -EPROTONOSUPPORT;
}

struct sw_capture *sw_capture_open_file(FILE *file, char error[static SW_CAPTURE_ERROR_SIZE])
{
	struct sw_capture *capture = calloc(1, sizeof(*capture));
	char said[PCAP_ERRBUF_SIZE] = "";

	if (capture)
		capture->pcap = pcap_fopen_offline_with_tstamp_precision(
			file, PCAP_TSTAMP_PRECISION_NANO, said);
	if (!capture || !capture->pcap) {
		snprintf(error, SW_CAPTURE_ERROR_SIZE, "it is no pcap or pcapng capture: %s",
			 capture ? said : strerror(ENOMEM));
		fclose(file);
		free(capture);
		return NULL;
	}
	if (!find_link(pcap_datalink(capture->pcap), &capture->link, error))
		return capture;
	sw_capture_close(capture);
	return NULL;
}

struct sw_capture *sw_capture_open(const char *name, char error[static SW_CAPTURE_ERROR_SIZE])
{
	bool is_stdin = !strcmp(name, "-");
	int fd = is_stdin ? fcntl(STDIN_FILENO, F_DUPFD_CLOEXEC, 3)
			  : open(name, O_RDONLY | O_CLOEXEC);
	FILE *file = fd < 0 ? NULL : fdopen(fd, "rb");

	if (!file) {
		snprintf(error, SW_CAPTURE_ERROR_SIZE, "%s", strerror(errno));
		return NULL;
	}
	return sw_capture_open_file(file, error);
}

void sw_capture_close(struct sw_capture *capture)
{
	if (!capture)
		return;
	pcap_close(capture->pcap);
	free(capture);
}

enum sw_layer sw_capture_link(const struct sw_capture *capture)
{
	return capture->link;
}

int sw_capture_next(struct sw_capture *capture, struct sw_captured *packet,
		    char error[static SW_CAPTURE_ERROR_SIZE])
{
	struct pcap_pkthdr *head;
	const u_char *bytes;
	int r = pcap_next_ex(capture->pcap, &head, &bytes);

	if (r == PCAP_ERROR_BREAK)
		return 0;
	if (r != 1) {
		snprintf(error, SW_CAPTURE_ERROR_SIZE, "%s", pcap_geterr(capture->pcap));
		return -EBADMSG;
	}
	/* With nanoseconds asked for, that is what tv_usec holds. */
	packet->time_ns = (uint64_t)head->ts.tv_sec * 1000000000u + (uint64_t)head->ts.tv_usec;
	packet->bytes = bytes;
	packet->n = head->caplen;
	packet->whole = head->len;
	return 1;
}

size_t sw_capture_at(const struct sw_capture *capture)
{
	long at = ftell(pcap_file(capture->pcap));

	return at < 0 ? 0 : (size_t)at;
}
