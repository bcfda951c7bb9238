/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Segments of TCP, byte by byte. */
#include <arpa/inet.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "daemon/base.h"
#include "tests/prog/edge_fixture.h"
#include "tests/prog/edge_words.h"

static const char *from_of(const struct ex_segment *segment)
{
	return segment->from ? segment->from : "192.0.2.1";
}

static const char *to_of(const struct ex_segment *segment)
{
	return segment->to ? segment->to : "198.51.100.1";
}

static bool is_ipv6(const struct ex_segment *segment)
{
	return strchr(from_of(segment), ':');
}

void ex_mapped(const char *text, uint8_t addr[16])
{
	memset(addr, 0, 16);
	if (inet_pton(AF_INET6, text, addr) == 1)
		return;
	memset(addr + 10, 0xff, 2);
	if (inet_pton(AF_INET, text, addr + 12) != 1)
		ex_fail(text);
}

uint32_t ex_sum(const uint8_t *at, size_t n, uint32_t sum)
{
	for (size_t i = 0; i < n; i++)
		sum += i % 2 ? at[i] : (uint32_t)at[i] << 8;
	while (sum >> 16)
		sum = (sum & 0xffff) + (sum >> 16);
	return sum;
}

static void put_u16(uint8_t *at, uint32_t value)
{
	at[0] = (uint8_t)(value >> 8);
	at[1] = (uint8_t)value;
}

static void put_u32(uint8_t *at, uint32_t value)
{
	put_u16(at, value >> 16);
	put_u16(at + 2, value);
}

uint8_t *ex_add(struct ex_frame *frame, size_t n)
{
	uint8_t *at = frame->bytes + frame->n;

	assert_true(frame->n + n <= sizeof(frame->bytes));
	memset(at, 0, n);
	frame->n += n;
	return at;
}

static void add_link(struct ex_frame *frame, const struct ex_segment *segment)
{
	const char *text = segment->link;
	unsigned int value;
	int length;

	if (!text)
		text = is_ipv6(segment) ? "86dd" : "0800";
	if (!*text)
		return;
	memcpy(ex_add(frame, 12), "\x02\0\0\0\0\x02\x02\0\0\0\0\x01", 12);
	if (segment->from_edge)
		memcpy(frame->bytes, "\x02\0\0\0\0\x01\x02\0\0\0\0\x02", 12);
	for (; sscanf(text, "%x%n", &value, &length) == 1; text += length)
		put_u16(ex_add(frame, 2), value);
}

size_t ex_ip_at(const struct ex_segment *segment)
{
	struct ex_frame frame = {};

	add_link(&frame, segment);
	return frame.n;
}

static void add_ipv4(struct ex_frame *frame, const struct ex_segment *segment, size_t length)
{
	uint8_t *ip = ex_add(frame, 20 + segment->ip_options);

	memset(ip + 20, 1, segment->ip_options);
	ip[0] = (uint8_t)(0x45 + segment->ip_options / 4);
	put_u16(ip + 2, (uint32_t)(20 + segment->ip_options + length));
	ip[6] = segment->from_edge ? 0x40 : 0;
	ip[8] = 64;
	ip[9] = 6;
	if (inet_pton(AF_INET, from_of(segment), ip + 12) != 1 ||
	    inet_pton(AF_INET, to_of(segment), ip + 16) != 1)
		ex_fail(from_of(segment));
	put_u16(ip + 10, ~ex_sum(ip, 20 + segment->ip_options, 0));
}

static void add_ipv6(struct ex_frame *frame, const struct ex_segment *segment, size_t length)
{
	uint8_t *ip = ex_add(frame, 40);

	ip[0] = 0x60;
	put_u16(ip + 4, (uint32_t)length);
	ip[6] = 6;
	ip[7] = 64;
	if (inet_pton(AF_INET6, from_of(segment), ip + 8) != 1 ||
	    inet_pton(AF_INET6, to_of(segment), ip + 24) != 1)
		ex_fail(from_of(segment));
}

void ex_segment(struct ex_frame *frame, struct ex_segment segment)
{
	size_t length = 20 + segment.tcp_options + segment.n, addr;
	uint8_t *tcp, *ip;
	uint32_t sum;

	frame->n = 0;
	add_link(frame, &segment);
	ip = frame->bytes + frame->n;
	if (is_ipv6(&segment))
		add_ipv6(frame, &segment, length);
	else
		add_ipv4(frame, &segment, length);
	tcp = ex_add(frame, length);
	put_u16(tcp, segment.src_port ? segment.src_port : 40000);
	put_u16(tcp + 2, segment.dst_port ? segment.dst_port : 25);
	put_u32(tcp + 4, segment.seq);
	put_u32(tcp + 8, segment.ack);
	tcp[12] = (uint8_t)((5 + segment.tcp_options / 4) << 4);
	tcp[13] = segment.flags;
	put_u16(tcp + 14, !segment.from_edge ? 64240 : segment.flags & SW_TCP_RST ? 0 : 65535);
	memset(tcp + 20, 1, segment.tcp_options);
	if (segment.n)
		memcpy(tcp + 20 + segment.tcp_options, segment.payload, segment.n);
	addr = is_ipv6(&segment) ? 8 : 12;
	sum = ex_sum(ip + addr, is_ipv6(&segment) ? 32 : 8, 6 + (uint32_t)length);
	put_u16(tcp + 16, ~ex_sum(tcp, length, sum));
}

uint32_t ex_send(struct ex_segment segment, struct ex_frame *frame)
{
	struct ex_frame own;

	frame = frame ? frame : &own;
	ex_segment(frame, segment);
	return ex_run(frame);
}

uint32_t ex_serve(struct ex_segment segment, struct ex_frame *frame)
{
	struct ex_frame own;

	frame = frame ? frame : &own;
	ex_segment(frame, segment);
	return ex_run_served(frame);
}

/* ---- answers ---- */

struct ex_segment ex_turned(struct ex_segment segment)
{
	struct ex_segment answer = {
		.from = to_of(&segment),
		.to = from_of(&segment),
		.src_port = segment.dst_port ? segment.dst_port : 25,
		.dst_port = segment.src_port ? segment.src_port : 40000,
		.link = segment.link,
	};

	return answer;
}

struct ex_segment ex_reset_of(struct ex_segment segment)
{
	struct ex_segment answer = ex_turned(segment);

	answer.flags = SW_TCP_RST;
	if (segment.flags & SW_TCP_ACK) {
		answer.seq = segment.ack;
		return answer;
	}
	answer.flags |= SW_TCP_ACK;
	answer.ack = segment.seq + (uint32_t)segment.n + !!(segment.flags & SW_TCP_SYN) +
		     !!(segment.flags & SW_TCP_FIN);
	return answer;
}

void ex_expect(const struct ex_frame *frame, struct ex_segment expected)
{
	struct ex_frame other;

	expected.from_edge = true;
	ex_segment(&other, expected);
	assert_int_equal(frame->n, other.n);
	assert_memory_equal(frame->bytes, other.bytes, other.n);
}

static void note_hex(FILE *file, const struct ex_frame *frame, char end)
{
	for (size_t i = 0; i < frame->n; i++)
		fprintf(file, "%02x", frame->bytes[i]);
	fputc(end, file);
}

void ex_note(const struct ex_frame *question, const struct ex_frame *answer)
{
	const char *path = getenv("SW_EDGE_FRAMES");
	FILE *file sw_cleanup(sw_fclose_cleanup) = NULL;

	if (!path || question->bytes[0] >> 4 == 4 || question->bytes[0] >> 4 == 6)
		return;
	file = fopen(path, "ae");
	if (!file)
		ex_fail(path);
	note_hex(file, question, ' ');
	note_hex(file, answer, '\n');
}
