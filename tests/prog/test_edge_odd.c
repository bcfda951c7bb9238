/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Packets at the edge that lie or are written otherwise than most: IPv4 addresses in an IPv6 header, IP behind
 * LLC and SNAP, a first piece of memory that ends anywhere in the headers.
 */
#include <errno.h>
#include <string.h>

#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <linux/if_ether.h>
#include <netinet/tcp.h>

#include "daemon/base.h"
#include "tests/prog/edge_talk.h"

/* ---- IPv4 addresses in an IPv6 header ---- */

static const struct ex_segment mapped = {
	.from = "::ffff:192.0.2.1", .to = "::ffff:198.51.100.1", .dst_port = ET_PORT};

/* They are nobody's on a wire (RFC 4291, 2.5.5.2); Linux takes them for those of IPv4. */
static void mapped_sources_have_no_rule(void **state)
{
	struct ex_segment syn = {.from = "::ffff:192.0.2.9", .to = "2001:db8::25", .flags = TH_SYN};
	uint16_t allow, reject;

	(void)state;
	ex_begin(0);
	allow = ex_rule(SW_ACTION_ALLOW, 0);
	reject = ex_rule(SW_ACTION_REJECT, 0);
	ex_row(allow, (struct ex_row){.port = 25, .from = "192.0.2.9/32"});
	ex_row(allow, (struct ex_row){.port = 25, .from = "2001:db8::9/128"});
	ex_row(reject, (struct ex_row){.port = 25});
	ex_apply();
	assert_int_equal(ex_send(syn, NULL), XDP_DROP);
	assert_int_equal(ex_counter(SW_COUNT_EDGE_MALFORMED), 1);
	assert_int_equal(ex_one_event()->reason, SW_REASON_MALFORMED);
	syn.dst_port = 26;
	assert_int_equal(ex_send(syn, NULL), XDP_PASS);
}

static void mapped_packets_are_of_no_flow(void **state)
{
	static const char line[] = "MAIL FROM:<a@example>\r\n";
	struct et et = {.client = 5, .server = 7};
	struct ex_segment segment = mapped;

	(void)state;
	ex_simple(ET_PORT, SW_ACTION_TLS, 0);
	et = et_open(et);
	et_come_to_tls(&et);
	segment.flags = TH_ACK;
	segment.seq = et.client;
	segment.payload = line;
	segment.n = sizeof(line) - 1;
	assert_int_equal(ex_send(segment, NULL), XDP_DROP);
	assert_int_equal(ex_counter(SW_COUNT_EDGE_MALFORMED), 1);
	et_expect_state(&et, SW_EDGE_TLS);
}

static void mapped_packets_are_no_answer(void **state)
{
	struct et et = {.client = 5, .server = 7};
	struct ex_segment answer = {.from = mapped.to,
				    .to = mapped.from,
				    .src_port = ET_PORT,
				    .dst_port = 40000,
				    .seq = 7,
				    .ack = 6,
				    .flags = TH_SYN | TH_ACK};

	(void)state;
	ex_simple(ET_PORT, SW_ACTION_TLS, 0);
	assert_int_equal(et_syn(&et), XDP_PASS);
	assert_int_equal(ex_serve(answer, NULL), ET_PASS);
	et_expect_state(&et, SW_EDGE_SYN);
}

/* ---- LLC and SNAP ---- */

/* RFC 1042: hosts should read them, and some routers do. */
static void snap_is_not_read(void **state)
{
	static const struct {
		const char *link;
		uint32_t verdict;
	} table[] = {
		{"0030 aaaa 0300 0000 0800", XDP_DROP},
		{"0030 aaaa 0300 0000 86dd", XDP_DROP},
		{"8100 000a 0030 aaaa 0300 0000 0800", XDP_DROP},
		{"0030 aaaa 0300 0000 8100 000a 0800", XDP_DROP},
		{"0030 aaaa 0300 000c 2000", XDP_PASS}, /* CDP */
		{"0030 aaaa 0300 0000 80f3", XDP_PASS}, /* AppleTalk's ARP */
		{"0026 4242 0300 0000 0000", XDP_PASS}, /* spanning tree */
		{"0030 e0e0 0300", XDP_PASS},           /* IPX */
	};
	struct ex_segment syn = {.flags = TH_SYN};
	struct ex_frame frame;

	(void)state;
	ex_simple(25, SW_ACTION_REJECT, 0);
	for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++) {
		syn.link = table[i].link;
		assert_int_equal(ex_send(syn, NULL), table[i].verdict);
	}
	/* Ends behind the length. */
	frame.n = 0;
	memcpy(ex_add(&frame, 16), "\x02\0\0\0\0\x02\x02\0\0\0\0\x01\0\x03\xaa\xaa", 16);
	assert_int_equal(ex_run(&frame), XDP_PASS);
}

/* ---- pieces ---- */

/* The frame with a first piece of `linear` bytes. -EINVAL: this kernel makes none so short. */
static int run_in_pieces(struct ex_frame *frame, uint32_t linear, uint32_t *verdict)
{
	uint8_t out[EX_FRAME_MAX + 512];
	struct xdp_md context = {.data_end = linear};
	LIBBPF_OPTS(bpf_test_run_opts, options, .data_in = frame->bytes,
		    .data_size_in = (uint32_t)frame->n, .data_out = out,
		    .data_size_out = sizeof(out), .ctx_in = &context,
		    .ctx_size_in = sizeof(context));
	int fd = bpf_program__fd(bpf_object__find_program_by_name(ex_object(), "sw_edge"));
	int failed = bpf_prog_test_run_opts(fd, &options);

	if (failed)
		return failed;
	assert_true(options.data_size_out <= sizeof(frame->bytes));
	frame->n = options.data_size_out;
	memcpy(frame->bytes, out, frame->n);
	*verdict = options.retval;
	return 0;
}

static void each_length_of_the_first_piece(void **state)
{
	static const char *const links[] = {NULL, "8100 000a 0800",
					    "88a8 0064 8100 000a 8864 1100 0001 0800 0021"};
	static uint8_t bytes[1200];
	struct ex_segment segment = {.flags = TH_SYN, .payload = bytes, .n = sizeof(bytes)};
	struct ex_frame frame;
	uint32_t verdict, passes;
	size_t whole;

	(void)state;
	for (size_t i = 0; i < 2 * sizeof(links) / sizeof(links[0]); i++) {
		ex_begin(0);
		ex_row(ex_rule(SW_ACTION_REJECT, 0), (struct ex_row){.port = 25});
		ex_apply();
		segment.link = links[i / 2];
		segment.dst_port = i & 1 ? 26 : 25;
		passes = segment.dst_port == 26;
		ex_segment(&frame, segment);
		whole = frame.n;
		for (uint32_t linear = ETH_HLEN; linear < 100; linear++) {
			ex_segment(&frame, segment);
			if (run_in_pieces(&frame, linear, &verdict)) {
				if (errno != EINVAL)
					ex_fail("pieces");
				skip();
			}
			if (verdict != (passes ? XDP_PASS : XDP_TX))
				fail_msg("%zu, %u: %u", i, linear, verdict);
			if (passes)
				assert_int_equal(frame.n, whole);
			else if (i < 2 * 2)
				ex_expect(&frame, ex_reset_of(segment));
		}
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(mapped_sources_have_no_rule, ex_reset),
		cmocka_unit_test_setup(mapped_packets_are_of_no_flow, ex_reset),
		cmocka_unit_test_setup(mapped_packets_are_no_answer, ex_reset),
		cmocka_unit_test_setup(snap_is_not_read, ex_reset),
		cmocka_unit_test_setup(each_length_of_the_first_piece, ex_reset),
	};

	if (!ex_usable())
		return 0;
	return cmocka_run_group_tests_name("edge: odd packets", tests, ex_up, ex_down);
}
