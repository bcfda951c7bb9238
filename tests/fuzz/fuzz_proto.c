/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Any bytes, in any portions, through the reader of frames; the same bytes as a time and as an
 * address. What is accepted must survive a round trip.
 */
#include <assert.h>
#include <string.h>

#include "daemon/base.h"
#include "daemon/proto.h"

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n);

static void check_round_trip(const json_t *message)
{
	struct sw_reader reader;
	size_t length = 0, used;
	sw_autofree char *frame = sw_frame(message, &length);
	json_t *again = NULL;

	/* Escapes make text longer, so what came in under the limit may not go out. */
	if (!frame)
		return;
	sw_reader_init(&reader, SW_FRAME_MAX);
	assert(sw_reader_feed(&reader, frame, length, &used, &again) == 1);
	assert(used == length && json_equal((json_t *)message, again));
	json_decref(again);
	sw_reader_reset(&reader);
}

/* The first byte says how large the portions are: the answer must not depend on them. */
static void feed(const uint8_t *bytes, size_t n)
{
	size_t portion = bytes[0] % 7 + 1, at = 1;
	struct sw_reader reader;

	sw_reader_init(&reader, 65536);
	while (at < n) {
		size_t some = portion < n - at ? portion : n - at, used;
		json_t *message = NULL;
		int r = sw_reader_feed(&reader, bytes + at, some, &used, &message);

		assert(used >= 1 && used <= some);
		assert((r == 1) == !!message);
		at += used;
		if (message)
			check_round_trip(message);
		json_decref(message);
		if (r < 0)
			break;
	}
	sw_reader_reset(&reader);
}

static void parse_text(const char *text)
{
	char time[SW_TIME_SIZE], address[SW_ADDR_SIZE];
	uint8_t addr[16], addr2[16];
	uint64_t ns, ns2;

	if (!sw_time_parse(text, &ns)) {
		sw_time_format(ns, time);
		assert(!sw_time_parse(time, &ns2) && ns2 == ns / 1000 * 1000);
	}
	if (!sw_addr_parse(text, addr)) {
		sw_addr_format(addr, address);
		assert(!sw_addr_parse(address, addr2) && !memcmp(addr, addr2, sizeof(addr)));
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n)
{
	char text[128];

	if (!n)
		return 0;
	feed(bytes, n);
	if (n < sizeof(text)) {
		memcpy(text, bytes, n);
		text[n] = '\0';
		parse_text(text);
	}
	return 0;
}
