/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Any bytes as a capture file: its packets through the streams, judged by a policy of every action.
 * Each stream is told once, in order, and says nothing but numbers of the fixed lists and plain names.
 */
#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "bpf/vocabulary.h"
#include "ctl/capture.h"
#include "daemon/policy/policy.h"

#define BYTES_MAX 65536

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n);

static const char policy_text[] = "mode enforce\n"
				  "host {\n"
				  "    port 25 { allow to local\n audit }\n"
				  "    port 465 { require tls 1.2 }\n"
				  "    port 587 { require tls starttls proxy }\n"
				  "    port 2525 { mode audit\n require tls }\n"
				  "    port 26 { reject }\n"
				  "}\n"
				  "edge \"lan0\" {\n"
				  "    port 25 { allow from 192.0.2.0/24\n reject \"no\" answer }\n"
				  "    port 465, 587 { require tls }\n"
				  "    port 2525 { audit }\n"
				  "}\n";

static struct sw_image *make_image(void)
{
	struct sw_world world = {0};
	struct sw_diags *diags = sw_diags_new();
	struct sw_policy_ast *policy =
		sw_policy_parse("fuzz", policy_text, strlen(policy_text), diags);
	struct sw_image *image;

	assert(!sw_policy_check(policy, &world, diags));
	image = sw_policy_compile(policy, diags);
	assert(image);
	sw_policy_free(policy);
	sw_diags_free(diags);
	return image;
}

static void check_text(const char *text, size_t size)
{
	assert(memchr(text, '\0', size));
	for (; *text; text++)
		assert(*text >= 0x21 && *text <= 0x7e);
}

static void tell(void *data, const struct sw_stream *stream)
{
	uint64_t *told = data;

	assert(stream->number == (*told)++);
	assert(stream->verdict < SW_VERDICT_MAX && stream->reason < SW_REASON_MAX);
	assert(stream->verb < SW_VERB_MAX && stream->mechanism < SW_MECHANISM_MAX);
	assert(stream->first_verb < SW_VERB_EHLO && stream->tls < SW_TLS_MAX);
	assert(stream->guarded || !stream->rule);
	assert(!stream->violation || (stream->guarded && stream->reason));
	assert(stream->tls || (!stream->sni[0] && !stream->tls_version && !stream->ja4[0]));
	check_text(stream->sni, sizeof(stream->sni));
	check_text(stream->alpn, sizeof(stream->alpn));
	check_text(stream->ja4, sizeof(stream->ja4));
}

static void read_all(struct sw_capture *capture, struct sw_streams *streams)
{
	char error[SW_CAPTURE_ERROR_SIZE] = "";
	struct sw_captured packet;
	int r;

	while ((r = sw_capture_next(capture, &packet, error)) == 1)
		assert(!sw_streams_packet(streams, sw_capture_link(capture), packet.time_ns,
					  packet.bytes, packet.n, packet.whole));
	assert(!r || error[0]);
}

static void judge(struct sw_capture *capture, const struct sw_image *image, bool edge)
{
	struct sw_streams_counts counts;
	struct sw_streams *streams;
	uint64_t told = 0;

	streams = sw_streams_new(image, tell, &told);
	assert(streams);
	if (edge)
		sw_streams_at_edge(streams, NULL);
	read_all(capture, streams);
	assert(!sw_streams_end(streams));
	sw_streams_count(streams, &counts);
	assert(told == counts.streams);
	sw_streams_free(streams);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n)
{
	static struct sw_image *image;

	if (!n || n > BYTES_MAX)
		return 0;
	if (!image)
		image = make_image();
	/* As the machine's own traffic, then as what it forwards. */
	for (int edge = 0; edge < 2; edge++) {
		char error[SW_CAPTURE_ERROR_SIZE] = "";
		FILE *file = fmemopen((void *)(uintptr_t)bytes, n, "rb");
		struct sw_capture *capture;

		assert(file);
		capture = sw_capture_open_file(file, error);
		if (!capture) {
			assert(error[0]);
			return 0;
		}
		judge(capture, image, edge);
		sw_capture_close(capture);
	}
	return 0;
}
