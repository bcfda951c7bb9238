/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Capture files: kinds of link, times, damage. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "ctl/capture.h"
#include "daemon/base.h"

struct file {
	size_t n;
	uint8_t bytes[256];
};

static void add(struct file *file, const void *bytes, size_t n)
{
	assert_true(n <= sizeof(file->bytes) - file->n);
	memcpy(file->bytes + file->n, bytes, n);
	file->n += n;
}

/* A capture of this byte order with one packet of four bytes, of 60 on the wire. */
static struct file capture_file(uint32_t magic, uint32_t link)
{
	const uint32_t head[] = {magic, 4u << 16 | 2, 0, 0, 65535, link};
	const uint32_t record[] = {1700000000, 123456, 4, 60};
	struct file file = {0};

	add(&file, head, sizeof(head));
	add(&file, record, sizeof(record));
	add(&file, "\1\2\3\4", 4);
	return file;
}

static struct sw_capture *open_file(const struct file *file, char error[SW_CAPTURE_ERROR_SIZE])
{
	/* fmemopen() takes no empty one. */
	FILE *stream = file->n ? fmemopen((void *)(uintptr_t)file->bytes, file->n, "rb")
			       : fopen("/dev/null", "rb");

	assert_non_null(stream);
	error[0] = '\0';
	return sw_capture_open_file(stream, error);
}

static void expect_packet(const struct file *file, enum sw_layer link, uint64_t fraction)
{
	char error[SW_CAPTURE_ERROR_SIZE];
	struct sw_capture *capture = open_file(file, error);
	struct sw_captured packet;

	if (!capture)
		fail_msg("%s", error);
	assert_int_equal(sw_capture_link(capture), link);
	assert_int_equal(sw_capture_next(capture, &packet, error), 1);
	assert_int_equal(packet.time_ns, 1700000000ull * 1000000000 + fraction);
	assert_int_equal(packet.n, 4);
	assert_int_equal(packet.whole, 60);
	assert_memory_equal(packet.bytes, "\1\2\3\4", 4);
	assert_int_equal(sw_capture_at(capture), file->n);
	assert_int_equal(sw_capture_next(capture, &packet, error), 0);
	sw_capture_close(capture);
}

static void test_links(void **state)
{
	/* Numbers of the file format, https://www.tcpdump.org/linktypes.html */
	static const struct {
		uint32_t number;
		enum sw_layer link;
	} links[] = {
		{1, SW_LAYER_ETHERNET}, {113, SW_LAYER_COOKED}, {276, SW_LAYER_COOKED2},
		{101, SW_LAYER_IP},     {228, SW_LAYER_IP},     {229, SW_LAYER_IP},
		{0, SW_LAYER_FAMILY},   {108, SW_LAYER_FAMILY},
	};

	(void)state;
	for (size_t i = 0; i < sw_count(links); i++) {
		struct file file = capture_file(0xa1b2c3d4, links[i].number);

		expect_packet(&file, links[i].link, 123456000);
	}
}

static void test_times(void **state)
{
	struct file nano = capture_file(0xa1b23c4d, 1);

	(void)state;
	expect_packet(&nano, SW_LAYER_ETHERNET, 123456);
}

static void test_refused(void **state)
{
	char error[SW_CAPTURE_ERROR_SIZE];
	struct file wifi = capture_file(0xa1b2c3d4, 105), strange = capture_file(0xa1b2c3d4, 9999),
		    empty = {0}, text = {0};

	(void)state;
	assert_null(open_file(&wifi, error));
	assert_non_null(strstr(error, "IEEE802_11"));
	assert_null(open_file(&strange, error));
	assert_non_null(strstr(error, "9999"));
	assert_null(open_file(&empty, error));
	assert_non_null(strstr(error, "no pcap or pcapng capture"));
	add(&text, "mode enforce\nhost { port 25 { reject } }\n", 40);
	assert_null(open_file(&text, error));
	assert_non_null(strstr(error, "no pcap or pcapng capture"));
	assert_null(sw_capture_open("/nonexistent/file.pcap", error));
	assert_string_equal(error, strerror(ENOENT));
	assert_null(sw_capture_open("/", error));
}

/* Cut at every byte: an error, or the packets before the cut, then an error. */
static void test_damaged(void **state)
{
	char error[SW_CAPTURE_ERROR_SIZE];
	struct file whole = capture_file(0xa1b2c3d4, 1);
	struct sw_captured packet;

	(void)state;
	for (size_t n = 0; n < whole.n; n++) {
		struct file file = whole;
		struct sw_capture *capture;

		file.n = n;
		capture = open_file(&file, error);
		if (n < 24) {
			assert_null(capture);
			assert_true(error[0]);
			continue;
		}
		assert_int_equal(sw_capture_next(capture, &packet, error), n == 24 ? 0 : -EBADMSG);
		assert_true(n == 24 || error[0]);
		sw_capture_close(capture);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_links),
		cmocka_unit_test(test_times),
		cmocka_unit_test(test_refused),
		cmocka_unit_test(test_damaged),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
